"""`python -m qhyper` is the `qhyper` command."""

from qhyper.cli.main import main

main()
