"""The pictures of the study: regret against size, and the share of maps that reach the optimum."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing import legend_below, new_panels, save
from experiments.small_hypernetworks.tables import (
    BINARY,
    DATA,
    FEW,
    OTHERS,
    TITLES,
    families,
    half_reach,
    medians,
    reached,
    regrets,
)
from qhyper.report.drawing import COLOURS, INK

Results = Mapping[str, Any]

LINES = {
    "tied": COLOURS["classical"][0],
    "codes": COLOURS["quantum"][0],
    "linear": COLOURS["quantum"][2],
    "two-layers": COLOURS["quantum"][1],
    "two-sign-layers": COLOURS["classical"][1],
}
MARKS = {
    "fewer-units": ("s", COLOURS["classical"][2]),
    "unit-layer": ("v", COLOURS["control"][1]),
    "real": ("D", INK),
}
BAND = "codes"
"""The family whose middle half of maps is shown."""
LINEAR = 1e-5
"""Below this regret the axis is linear, so that 0 is on it."""
TICKS = (1, 4, 8, 12, 16, 20, 24, 28, 32, 36)


def draw(results: Results, folder: Path) -> None:
    """Write regret.svg and least.svg."""
    save(_regret(results), folder / "regret.svg", "Regret against the number of parameters")
    save(_least(results), folder / "least.svg", "Share of maps that reach the optimum")


def _line(label: str, **style: Any) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **style)


def _regret(results: Results) -> Any:
    figure, panels = new_panels((9.2, 5.4), 1, 2, sharey=True)
    for axes, data in zip(panels[0], DATA, strict=True):
        mean = families(results, data)["target"]["mean_regret"]
        axes.plot(range(1, 37), mean[1:], color=INK, linestyle=":", linewidth=1.4)
        middle_half = [np.quantile(of, (0.25, 0.75)) for of in regrets(results, BAND, data)]
        sizes = families(results, data)[BAND]["sizes"]
        low, high = np.transpose(middle_half)
        axes.fill_between(sizes, low, high, color=LINES[BAND], alpha=0.18, linewidth=0)
        for name, colour in LINES.items():
            many = {k for k, (_, n) in reached(results, name, data).items() if n > FEW}
            points = medians(results, name, data).items()
            axes.plot(*zip(*((k, y) for k, y in points if k in many), strict=True),
                      color=colour, linewidth=1.4)  # fmt: skip
        for name, (mark, colour) in MARKS.items():
            points = medians(results, name, data)
            axes.plot(list(points), list(points.values()), color=colour, linestyle="none",
                      marker=mark, markersize=5.5)  # fmt: skip
        axes.set_yscale("symlog", linthresh=LINEAR, linscale=0.4)
        axes.set_yticks([0, *(10.0**e for e in range(-5, 1))])
        axes.set_ylim(-2e-6, 3)
        axes.set_title(TITLES[data])
        axes.set_xlabel("parameters: free bits, or real numbers (diamonds)")
        axes.text(0.99, 0.99, _words(results, data), transform=axes.transAxes, color=INK,
                  ha="right", va="top", fontsize=8, linespacing=1.4)  # fmt: skip
    _ticks(panels, 0)
    panels[0][0].set_ylabel("exact regret of the best setting, median of maps")
    handles = _lines("random strings (mean)")
    handles += [
        _line(OTHERS[name], color=colour, linestyle="none", marker=mark)
        for name, (mark, colour) in MARKS.items()
    ]
    legend_below(figure, handles, 3)
    return figure


def _words(results: Results, data: str) -> str:
    """Where half of the maps reach the optimum."""
    chance = families(results, data)["target"]["chance"]
    firsts = {"random strings": next(k for k, share in enumerate(chance) if share >= 0.5)}
    titles = {name: BINARY[name] for name in ("codes", "tied")}
    titles |= {name: OTHERS[name] for name in ("unit-layer", "fewer-units")}
    for name, title in titles.items():
        first, _ = half_reach(reached(results, name, data))
        if first is not None:
            firsts[title] = first
    lines = [f"{title}: {first}" for title, first in firsts.items()]
    return "\n".join(["half of the maps reach 0 at, bits", *lines])


def _least(results: Results) -> Any:
    figure, panels = new_panels((9.2, 3.8), 1, 2, sharey=True)
    for axes, data in zip(panels[0], DATA, strict=True):
        known = families(results, data)["target"]
        axes.plot(range(37), known["chance"], color=INK, linestyle=":", linewidth=1.4)
        for name, colour in LINES.items():
            shares = reached(results, name, data).items()
            points = sorted((k, some / n) for k, (some, n) in shares if n > FEW)
            axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.4)
        axes.set_title(TITLES[data])
        axes.set_xlabel("free bits")
    _ticks(panels, 11.5)
    panels[0][0].set_ylabel("share of maps that reach the optimum")
    legend_below(figure, _lines("random strings (chance)"), 3)
    return figure


def _ticks(panels: Any, first: float) -> None:
    for axes in panels[0]:
        axes.set_xlim(first, 37)
        axes.set_xticks([k for k in TICKS if k > first])


def _lines(random: str) -> list[Any]:
    handles = [_line(BINARY[name], color=colour) for name, colour in LINES.items()]
    return [*handles, _line(random, color=INK, linestyle=":")]
