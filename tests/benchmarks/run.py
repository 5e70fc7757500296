"""`make bench`: run every benchmark here and print one line a bar; exit 1 if one is short.

    python tests/benchmarks/run.py [NAME ...]   only the bars whose name contains one of these

A bar is a function marked with `@bar` in a module `bench_*.py` of this folder.
"""

import importlib
import sys
from pathlib import Path

from bars import BARS


def main(wanted: list[str]) -> int:
    for module in sorted(Path(__file__).parent.glob("bench_*.py")):
        importlib.import_module(module.stem)
    short = False
    for bar in BARS:
        if wanted and not any(part in bar.name for part in wanted):
            continue
        for line in bar.measure():
            print(line, flush=True)
            short |= line.short
    return int(short)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
