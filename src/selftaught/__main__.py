"""`python -m selftaught` is the command line."""

from selftaught.commands.cli import main

main()
