"""The pictures of the study: regret against size, and the least bits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing import legend_below, new_panels, save
from experiments.small_hypernetworks.tables import (
    BINARY,
    DATA,
    OTHERS,
    TITLES,
    families,
    least_bits,
    regrets,
)
from qhyper.report.drawing import COLOURS, INK

Results = Mapping[str, Any]

LINES = {
    "tied-signs": COLOURS["classical"][0],
    "codes": COLOURS["quantum"][0],
    "linear": COLOURS["quantum"][2],
    "two-layers": COLOURS["classical"][1],
}
MARKS = {
    "linear-large": ("sign(M z), large", "o", COLOURS["quantum"][2]),
    "structure": ("tied by structure", "+", INK),
    "fewer-units": (OTHERS["fewer-units"], "s", COLOURS["classical"][2]),
    "unit-layer": (OTHERS["unit-layer"], "v", COLOURS["control"][1]),
    "unit-embeddings": (OTHERS["unit-embeddings"], "^", COLOURS["control"][1]),
    "real": (OTHERS["real"], "D", COLOURS["quantum"][1]),
}
LINEAR = 1e-5
"""Below this regret the axis is linear, so that 0 is on it."""


def draw(results: Results, folder: Path) -> None:
    """Write regret.svg and least.svg."""
    save(_regret(results), folder / "regret.svg", "Regret against the number of parameters")
    save(_least(results), folder / "least.svg", "Share of maps that reach the optimum")


def _line(label: str, **style: Any) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **style)


def _regret(results: Results) -> Any:
    figure, panels = new_panels((8.6, 5.2), 1, 2, sharey=True)
    for axes, data in zip(panels[0], DATA, strict=True):
        mean = families(results, data)["target"]["mean_regret"]
        axes.plot(range(1, 37), mean[1:], color=INK, linestyle=":", linewidth=1.2)
        for name, colour in LINES.items():
            sizes, regret = families(results, data)[name]["sizes"], regrets(results, name, data)
            axes.fill_between(
                sizes, regret.min(axis=0), regret.max(axis=0), color=colour, alpha=0.1, linewidth=0
            )
            axes.plot(sizes, np.median(regret, axis=0), color=colour, linewidth=1.4)
        for name, (_, mark, colour) in MARKS.items():
            sizes = families(results, data)[name]["sizes"]
            middle = np.median(regrets(results, name, data), axis=0)
            axes.plot(sizes, middle, color=colour, linestyle="none", marker=mark, markersize=5)
        axes.set_yscale("symlog", linthresh=LINEAR, linscale=0.4)
        axes.set_yticks([0, *(10.0**e for e in range(-5, 1))])
        axes.set_ylim(-2e-6, 10)
        axes.set_xlim(0, 37)
        axes.set_xticks([1, 2, 4, 8, 16, 24, 30, 36])
        axes.set_xlabel("parameters: free bits, or real numbers (diamonds)")
        axes.set_title(TITLES[data])
    panels[0][0].set_ylabel("exact regret of the best setting")
    handles = [_line(BINARY[name], color=colour) for name, colour in LINES.items()]
    handles.append(_line("random strings (mean)", color=INK, linestyle=":"))
    handles += [
        _line(title, color=colour, linestyle="none", marker=mark)
        for title, mark, colour in MARKS.values()
    ]
    legend_below(figure, handles, 3)
    return figure


def _least(results: Results) -> Any:
    figure, panels = new_panels((8.6, 3.6), 1, 2, sharey=True)
    for axes, data in zip(panels[0], DATA, strict=True):
        known = families(results, data)["target"]
        axes.plot(range(37), known["chance"], color=INK, linestyle=":", linewidth=1.2)
        for name, colour in LINES.items():
            found = families(results, data)[name]
            least = [least_bits(of, found["sizes"], known["minimum"]) for of in found["loss"]]
            share = [np.mean([k is not None and k <= at for k in least]) for at in found["sizes"]]
            axes.step(found["sizes"], share, where="post", color=colour, linewidth=1.6)
        axes.set_xlim(0, 37)
        axes.set_xticks([1, 2, 4, 8, 16, 24, 30, 36])
        axes.set_xlabel("free bits, at most")
        axes.set_title(TITLES[data])
    panels[0][0].set_ylabel("share of seeds that reach the optimum")
    handles = [_line(BINARY[name], color=colour) for name, colour in LINES.items()]
    handles.append(_line("random strings (chance)", color=INK, linestyle=":"))
    legend_below(figure, handles, 3)
    return figure
