"""What the mysql collector is made of: its connection, statements and answers."""
