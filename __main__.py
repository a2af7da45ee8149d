"""`python -m wheelwork` is the `wheelwork` command."""

from .cli import main

main()
