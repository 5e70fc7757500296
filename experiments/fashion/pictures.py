"""The picture of the study: accuracy by epoch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.drawing import legend_below, new_panels, save
from experiments.fashion.settings import HIDDEN
from experiments.fashion.tables import KINDS, PRINTED
from qhyper.report.drawing import COLOURS, INK

COLOUR = {
    "none": COLOURS["control"][0],
    "deterministic": COLOURS["classical"][0],
    "stochastic": COLOURS["quantum"][0],
}


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write accuracy.svg."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    figure, panels = new_panels((8.2, 3.4), 1, 2, sharey=True)
    for axes, n in zip(panels[0], sorted(HIDDEN), strict=True):
        for kind, colour in COLOUR.items():
            accuracy = [100 * share for share in results[f"{kind}-{n}"]["held_out"]]
            axes.plot(range(1, len(accuracy) + 1), accuracy, color=colour, linewidth=1.3)
            axes.axhline(PRINTED[f"{kind}-{n}"].test, color=colour, linewidth=0.9, linestyle=":")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_title(f"784-{n}-10")
    panels[0][0].set_ylabel("held-out accuracy, %")
    handles = [Line2D([], [], color=COLOUR[kind], label=words) for kind, words in KINDS.items()]
    handles.append(Line2D([], [], color=INK, linestyle=":", label="test accuracy, as printed"))
    legend_below(figure, handles, 4)
    save(figure, folder / "accuracy.svg", "Accuracy on held-out images by epoch")
