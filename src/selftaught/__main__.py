"""`python -m selftaught` is the command line."""

from .cli import main

main()
