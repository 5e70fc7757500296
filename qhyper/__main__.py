"""`python -m qhyper` is the `qhyper` command."""

import sys

if not sys.flags.safe_path:
    # Python puts the working directory first, where a file that is called as a module of ours, of
    # Python's or of a package hides it; `main` looks there last.
    del sys.path[0]

from qhyper.cli.main import main

main()
