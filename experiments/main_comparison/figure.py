"""Write hits.svg, the README's picture, from a run of `qhyper compare`.

python experiments/main_comparison/figure.py runs/…
"""

import sys
from pathlib import Path

from qhyper.comparison import stored
from qhyper.figures import figures
from qhyper.runs import Run

TEXT = "#7a8490"
"""The page's figures take its text colour; alone, this grey reads on white and on black."""


def main(run: str) -> None:
    outcome = stored(Run.open(Path(run)))
    drawn = figures(outcome.summary, outcome.results, outcome.spectrum)
    svg = drawn["hits"].replace("currentColor", TEXT)
    (Path(__file__).parent / "hits.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
