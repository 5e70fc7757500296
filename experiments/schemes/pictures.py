"""Where each seed's best network lies above the certified minimum."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing import new_panels, save
from experiments.schemes.outcome import PROBLEMS, entries, regret
from qhyper.report.drawing import COLOURS, INK

KINDS = {"autoregressive": "classical", "quantum-depth2": "quantum"}


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write regret.svg: a dot a seed, filled of the best that it met, open of what it ends with."""
    figure, panels = new_panels((8.2, 5.6), 2, 2)
    names = {problem: entries(problem) for problem in PROBLEMS}
    for axes, (problem, title) in zip(panels.flat, PROBLEMS.items(), strict=True):
        for place, entry in enumerate(names[problem]):
            found = results[f"{entry}-{problem}"]
            colour = COLOURS[KINDS.get(entry, "control")][0]
            spread = place + np.linspace(-0.3, 0.3, len(found["best"]))
            shown = {"linestyle": "none", "markersize": 3.5, "clip_on": False, "marker": "o"}
            axes.plot(100 * regret(found, "final"), spread, markerfacecolor="none",
                      markeredgecolor=INK, alpha=0.5, **shown)  # fmt: skip
            axes.plot(100 * regret(found, "best"), spread, color=colour,
                      markeredgewidth=0, **shown)  # fmt: skip
        axes.set_yticks(range(len(names[problem])), names[problem])
        axes.set_ylim(len(names[problem]) - 0.4, -0.6)
        axes.set_xscale("symlog", linthresh=0.1)
        axes.set_xlim(0, None)
        axes.set_title(title)
    for axes in panels[1]:
        axes.set_xlabel("loss above the certified minimum, %")
    save(figure, folder / "regret.svg", "Regret of every seed")
