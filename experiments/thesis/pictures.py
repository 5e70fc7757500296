"""Figures 13 to 20 of the thesis with every generator of this study, and the landscape."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing import legend_below, new_panels, save
from experiments.thesis.tables import BLIND, DATA, SEEING, by_class
from qhyper.report.drawing import COLOURS, INK

CLASSES = {
    "toy": ("class 'right-above-white'", "class 'left-under-white'"),
    "mnist": ("digit 0", "digit 1"),
}
LINES: Mapping[str, tuple[str, Any]] = {
    "oey": (INK, "-"),
    "classical-own": (COLOURS["classical"][0], (0, (4, 2))),
    "classical-batch": (COLOURS["classical"][0], "-"),
    "quantum-own": (COLOURS["quantum"][0], (0, (4, 2))),
    "quantum-batch": (COLOURS["quantum"][0], "-"),
    "quantum-depth2": (COLOURS["quantum"][2], (0, (1, 1.5))),
}
"""Colour and line of the generators that are drawn; the dotted one does not see the image."""
POINTS = 200
"""Of a curve."""


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write the SVG files of all pictures."""
    for data, name in (("toy", "figures-13-to-16"), ("mnist", "figures-17-to-20")):
        figure = _by_image(results, data)
        save(figure, folder / f"{name}.svg", f"Accuracy of the weights of each image, {data}")
    save(_landscape(results), folder / "landscape.svg", "Where trainings end in the landscape")


def _by_image(results: Mapping[str, Any], data: str) -> Any:
    """Rows: class of the image. Left: her hypernetwork, first run. Right: all, in falling order."""
    from matplotlib.lines import Line2D

    figure, panels = new_panels((8.2, 5.4), 2, 2, sharey=True)
    best = results[f"landscape-{data}"]["test_accuracy"]
    for label, (scattered, ordered) in enumerate(panels):
        of_hers = by_class(results[f"oey-{data}"])[label][0]
        scattered.plot(of_hers, color=INK, alpha=0.6, linestyle="none", marker=".", markersize=3)
        scattered.set_title(f"{CLASSES[data][label]}: as the thesis trained it, run 0")
        scattered.set_ylabel("test accuracy of its weights")
        for name, (colour, line) in LINES.items():
            falling = by_class(results[f"{name}-{data}"])[label].ravel()
            share = np.linspace(0, 1, POINTS)
            ordered.plot(
                share, np.quantile(falling, 1 - share), color=colour, linestyle=line, linewidth=1.4
            )
        ordered.axhline(best, color=INK, linewidth=0.7, alpha=0.6)
        ordered.set_title("in falling order, all runs")
    panels[1][0].set_xlabel("training image")
    panels[1][1].set_xlabel("share of the images")
    panels[0][1].annotate(
        f"at the certified minimum loss: {best:.3f}", (0.02, best), xytext=(0, 3),
        textcoords="offset points", fontsize=8, color=INK,
    )  # fmt: skip
    panels[0][0].set_ylim(0.0, 1.0)
    named = SEEING | {name: f"{what}, which does not see it" for name, what in BLIND.items()}
    handles = [
        Line2D([], [], color=colour, linestyle=line, label=named[name])
        for name, (colour, line) in LINES.items()
    ]
    legend_below(figure, handles, 2)
    return figure


def _landscape(results: Mapping[str, Any]) -> Any:
    """Above where trainings end, below the exact spectrum and the least losses by working units."""
    figure, panels = new_panels((8.2, 4.4), 2, 2, sharex=True, height_ratios=(1, 1.7))
    ends = {
        "circuit of depth 2,\nmean loss": ("quantum-depth2", "mean_loss", COLOURS["quantum"][2]),
        "Bernoulli,\nmean loss": ("bernoulli", "mean_loss", COLOURS["classical"][2]),
        "straight-through\nnetwork": ("straight-through", "loss", INK),
    }
    for above, below, (data, title) in zip(*panels, DATA.items(), strict=True):
        for height, (part, what, colour) in enumerate(ends.values()):
            losses = results[f"{part}-{data}"][what]
            above.plot(
                losses, np.full(len(losses), height), color=colour, alpha=0.6, linestyle="none",
                marker="o", markersize=4, markeredgewidth=0,
            )  # fmt: skip
        above.set_ylim(-0.6, len(ends) - 0.4)
        above.set_yticks(range(len(ends)), ends if data == "toy" else [""] * len(ends))
        above.set_title(title)
        known = results[f"landscape-{data}"]
        edges = np.array(known["spectrum"]["edges"])
        shown = np.maximum(np.array(known["spectrum"]["bitstrings"], dtype=np.float64), 0.5)
        below.stairs(shown, edges, color=INK, alpha=0.3, fill=True, baseline=0.5)
        below.set_yscale("log")
        below.set_ylim(0.5, 1e12)
        below.set_xlim(0, 1.05)
        below.set_xlabel("training loss")
        least = np.inf
        for j, level in enumerate(known["working_units"], start=1):
            if level["loss"] > least - 5e-4:
                continue  # this unit does not help
            close, least = least - level["loss"] < 0.02, level["loss"]
            for axes in (above, below):
                axes.axvline(least, color=INK, linewidth=0.7, linestyle=":")
            below.annotate(
                str(j), (least, 3e11 if j % 2 else 3e10), xytext=(-2 if close else 2, 0),
                textcoords="offset points", fontsize=8, color=INK, ha="right" if close else "left",
            )  # fmt: skip
    panels[1][0].set_ylabel("bitstrings in a bin")
    return figure
