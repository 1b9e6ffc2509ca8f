"""`python -m perfloop` is the `perfloop` command."""

from perfloop.cli import main

main()
