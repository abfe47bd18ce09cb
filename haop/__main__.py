"""`python -m haop` is the command `haop`."""

from haop.cli.app import main

main()
