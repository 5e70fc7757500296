"""`python -m qhyper` is the `qhyper` command."""

from qhyper.cli import main

main()
