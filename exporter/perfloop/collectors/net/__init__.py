"""What the kernel says of the network, a file for each subject: its families, and where their values stand."""
