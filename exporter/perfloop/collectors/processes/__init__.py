"""What the process collector is made of: who is there, whose group it is, what it used."""
