"""What the postgresql and pgbouncer collectors are made of: one kept connection, questions, and their answers."""
