"""What the kernel says of this host, a file for each subject: its families, and where their values stand."""
