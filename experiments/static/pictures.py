"""Test accuracy against the number of trained parameters: all curves in one picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing import legend_below, new_panels, save
from experiments.static.settings import DATA, KINDS, LONG, SHORT, SOURCES
from experiments.static.tables import drawn, mode, seeds_of
from qhyper.report.drawing import COLOURS, INK

STYLES = {
    "bernoulli": (COLOURS["classical"][0], "s"),
    "mlp": (COLOURS["classical"][1], "D"),
    "product": (COLOURS["quantum"][0], "o"),
    "unentangled": (COLOURS["quantum"][1], "v"),
    "entangled": (COLOURS["quantum"][2], "^"),
    "frozen": (COLOURS["control"][0], "x"),
}
"""Colour and marker of each kind."""
TICKS = {
    "mnist": (10, 50, 70, 80, 85, 90, 93, 95, 97),
    "fashion": (10, 30, 50, 60, 65, 70, 75, 80),
}
LIMITS = {"mnist": (5.0, 98.0), "fashion": (60.0, 82.0)}
"""Accuracies that are shown, of each data set; and lower ones, where there are any."""


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write accuracy.svg: mode and draws, MNIST beside Fashion-MNIST."""
    from matplotlib.lines import Line2D

    figure, panels = new_panels((8.2, 7.0), 2, len(DATA), sharex=True, sharey="col")
    for row, (what, of) in enumerate((("most probable network", mode), ("one draw", drawn))):
        for axes, (data, (title, _)) in zip(panels[row], DATA.items(), strict=True):
            for kind, of_data in SHORT.items():
                _curve(axes, kind, [
                    seeds_of(results, f"{kind}-{n}-{data}") for n in of_data.get(data, ())
                ], of, line="-")  # fmt: skip
            if data == "mnist":
                for kind, fields in LONG.items():
                    _curve(axes, kind, [
                        seeds_of(results, f"{kind}-{n}-mnist-long") for n in fields
                    ], of, line=":")  # fmt: skip
            for source in SOURCES:
                for one in seeds_of(results, f"quantum-train-{source}-{data}"):
                    axes.plot(
                        one["parameters"], 100 * one["accuracy"], color=INK, marker="*",
                        markersize=7, markerfacecolor="none" if source != "circuit" else INK,
                    )  # fmt: skip
            axes.set(xscale="log", title=f"{title}: {what}")
            axes.set_yscale("function", functions=(_by_errors, _of_errors))
            axes.set_yticks(TICKS[data], [str(tick) for tick in TICKS[data]])
            low, high = LIMITS[data]
            axes.set_ylim(min(low, _lowest(results, data) - 2), high)
    for axes in panels[-1]:
        axes.set_xlabel("trained parameters")
        axes.set_xticks([500, 1_500, 5_000, 15_000], ["500", "1,500", "5,000", "15,000"])
        axes.minorticks_off()
    for row in panels:
        row[0].set_ylabel("test accuracy, %")
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=4, label=KINDS[kind].title)
        for kind, (colour, marker) in STYLES.items()
    ] + [
        Line2D([], [], color=INK, linestyle=":", label="dotted: eight times the rows"),
        Line2D([], [], color=INK, linestyle="", marker="*", label="Quantum-Train (real weights)"),
        Line2D([], [], color=INK, linestyle="", marker="*", markerfacecolor="none",
               label="… its circuit frozen, or a free vector"),
    ]  # fmt: skip
    legend_below(figure, handles, 2)
    save(figure, folder / "accuracy.svg", "Test accuracy against trained parameters")


def _lowest(results: Mapping[str, Any], data: str) -> float:
    """The least accuracy in the panels of a data set, in %."""
    found = [
        value
        for kind, of_data in SHORT.items()
        for n in of_data.get(data, ())
        for of in (mode, drawn)
        for value in of(seeds_of(results, f"{kind}-{n}-{data}"))
    ]
    rival = [
        one["accuracy"]
        for source in SOURCES
        for one in seeds_of(results, f"quantum-train-{source}-{data}")
    ]
    return 100 * min(found + rival)


def _by_errors(accuracy: Any) -> Any:
    """Half the errors are a step of equal height everywhere."""
    return -np.log(np.maximum(100.0 - np.asarray(accuracy), 0.1))


def _of_errors(height: Any) -> Any:
    """The inverse."""
    return 100.0 - np.exp(-np.asarray(height))


def _curve(axes: Any, kind: str, points: list[Any], of: Any, *, line: str) -> None:
    """Means of the seeds, and their range as a bar."""
    if not points:
        return
    colour, marker = STYLES[kind]
    points = sorted(points, key=lambda found: found[0]["parameters"])
    each = [100 * np.array(of(found)) for found in points]
    means = np.array([values.mean() for values in each])
    around = [means - [v.min() for v in each], [v.max() for v in each] - means]
    axes.errorbar(
        [found[0]["parameters"] for found in points], means, around, color=colour, marker=marker,
        markersize=4, linewidth=1.3, linestyle=line, elinewidth=0.8,
    )  # fmt: skip
