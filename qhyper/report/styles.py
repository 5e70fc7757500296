"""How entries look: the same in every figure, legend and table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qhyper.report.drawing import COLOURS
from qhyper.report.results import Result
from qhyper.report.summary import KINDS, EntrySummary


@dataclass(frozen=True)
class Style:
    """How one generator looks in every figure; line and marker tell kinds apart without colour."""

    colour: str
    line: Any
    dashes: str
    marker: str
    filled: bool

    def marks(self) -> dict[str, Any]:
        """Keyword arguments of a Matplotlib line."""
        return {
            "color": self.colour,
            "linestyle": self.line,
            "linewidth": 1.5,
            "marker": self.marker,
            "markersize": 4.5,
            "markerfacecolor": self.colour if self.filled else "none",
        }


LINES = {"quantum": "-", "classical": (0, (5, 2)), "control": (0, (1, 1.5))}
DASHES = {"quantum": "none", "classical": "7 3", "control": "1.5 2.5"}
MARKERS = {"quantum": "osD^", "classical": "osD^", "control": "x+1"}


def styles_of(entries: Sequence[EntrySummary | Result]) -> dict[str, Style]:
    """Styles by name; the n-th of a kind looks the same in every figure and in the table."""
    styles: dict[str, Style] = {}
    seen: dict[str, int] = dict.fromkeys(KINDS, 0)
    for entry in entries:
        kind = entry.kind
        colours, markers, nth = COLOURS[kind], MARKERS[kind], seen[kind]
        seen[kind] += 1
        styles[entry.name] = Style(
            colour=colours[nth % len(colours)],
            line=LINES[kind],
            dashes=DASHES[kind],
            # Past the last colour the markers move on by one, so that no pair repeats soon.
            marker=markers[(nth + nth // len(colours)) % len(markers)],
            filled=kind == "quantum",
        )
    return styles
