"""Where each seed's best network, and what it ends with, lie above the certified minimum."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing import legend_below, new_panels, save
from experiments.schemes.outcome import PROBLEMS, regret
from qhyper.report.drawing import COLOURS, INK

DOT = {"linestyle": "none", "markersize": 3.5, "clip_on": False, "marker": "o"}


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write regret.svg: a dot a seed, filled of the best that it met, open of what it ends with."""
    from matplotlib.lines import Line2D

    colour = COLOURS["control"][0]
    figure, panels = new_panels((8.2, 5.6), 2, 2)
    for axes, (problem, title) in zip(panels.flat, PROBLEMS.items(), strict=True):
        minimum, found = results[problem]["minimum"], results[problem]["entries"]
        for place, one in enumerate(found.values()):
            spread = place + np.linspace(-0.3, 0.3, len(one["best"]))
            axes.plot(100 * regret(one, "final", minimum), spread, markerfacecolor="none",
                      markeredgecolor=INK, alpha=0.5, **DOT)  # fmt: skip
            axes.plot(100 * regret(one, "best", minimum), spread, color=colour,
                      markeredgewidth=0, **DOT)  # fmt: skip
        names = [name.split(", ")[-1] for name in found]
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xscale("symlog", linthresh=0.1)
        axes.set_xlim(0, None)
        axes.set_title(title)
    for axes in panels[1]:
        axes.set_xlabel("loss above the certified minimum, %")
    handles = [
        Line2D([], [], color=colour, markeredgewidth=0, label="the best network met", **DOT),
        Line2D([], [], markerfacecolor="none", markeredgecolor=INK, label="held at the end", **DOT),
    ]
    legend_below(figure, handles, 2)
    save(figure, folder / "regret.svg", "Regret of every seed")
