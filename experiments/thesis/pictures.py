"""Figures 13 to 20 of the thesis with every generator of this study, and the landscape."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing import legend_below, new_figure, save
from experiments.thesis.tables import BLIND, DATA, SEEING
from qhyper.drawing import COLOURS, INK

CLASSES = {
    "toy": ("0, right above white", "1, left under white"),
    "mnist": ("0, digit 0", "1, digit 1"),
}
LINES: Mapping[str, tuple[str, Any]] = {
    "oey": (INK, "-"),
    "classical-own": (COLOURS["classical"][0], (0, (4, 2))),
    "classical-batch": (COLOURS["classical"][0], "-"),
    "quantum-own": (COLOURS["quantum"][0], (0, (4, 2))),
    "quantum-batch": (COLOURS["quantum"][0], "-"),
    "bernoulli": (COLOURS["classical"][2], (0, (1, 1.5))),
    "quantum-depth2": (COLOURS["quantum"][2], (0, (1, 1.5))),
}
"""Colour and line of the generators that are drawn; dotted ones do not see the image."""


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write the SVG files of all pictures."""
    for data, name in (("toy", "figures-13-to-16"), ("mnist", "figures-17-to-20")):
        figure = _by_image(results, data)
        save(figure, folder / f"{name}.svg", f"Accuracy of the weights of each image, {data}")
    save(_landscape(results), folder / "landscape.svg", "Where trainings end in the landscape")


def _by_image(results: Mapping[str, Any], data: str) -> Any:
    """Rows: class of the image. Left: her hypernetwork, first run. Right: all, in falling order."""
    from matplotlib.lines import Line2D

    figure, panels = new_figure((8.2, 5.6), 2, 2, sharey=True)
    best = results[f"landscape-{data}"]["test_accuracy"]
    for label, (scattered, ordered) in enumerate(panels):
        half = np.split(np.array(results[f"oey-{data}"]["accuracy"]), 2, axis=1)[label]
        scattered.scatter(np.arange(half.shape[1]), half[0], s=5, color=INK, alpha=0.6, linewidth=0)
        scattered.set_title(f"class {CLASSES[data][label]}: as the thesis trained it, run 0")
        scattered.set_ylabel("test accuracy of its weights")
        for name, (colour, line) in LINES.items():
            accuracy = np.array(results[f"{name}-{data}"]["accuracy"])
            falling = np.sort(np.split(accuracy, 2, axis=1)[label].ravel())[::-1]
            share = np.linspace(0, 1, len(falling))
            ordered.plot(share, falling, color=colour, linestyle=line, linewidth=1.4)
        ordered.axhline(best, color=INK, linewidth=0.7, alpha=0.6)
        ordered.set_title("in falling order, all runs")
    panels[1][0].set_xlabel("training image")
    panels[1][1].set_xlabel("share of the images")
    panels[0][1].annotate(
        f"certified minimum loss: {best:.4f}", (0.02, best), xytext=(0, 3),
        textcoords="offset points", fontsize=8, color=INK,
    )  # fmt: skip
    panels[0][0].set_ylim(0.0, 1.0)
    named = SEEING | BLIND
    handles = [
        Line2D([], [], color=colour, linestyle=line, label=named[name])
        for name, (colour, line) in LINES.items()
    ]
    legend_below(figure, handles, 2)
    return figure


def _landscape(results: Mapping[str, Any]) -> Any:
    """The exact spectrum, the least losses by working units, and where trainings end."""
    from matplotlib.lines import Line2D

    figure, panels = new_figure((8.2, 3.9), 1, 2)
    ends = {
        "straight-through network": ("straight-through", "loss", INK, "o"),
        "circuit of depth 2, mean loss": (
            "quantum-depth2", "mean_loss", COLOURS["quantum"][2], "D",
        ),
        "Bernoulli, mean loss": ("bernoulli", "mean_loss", COLOURS["classical"][2], "s"),
    }  # fmt: skip
    for axes, (data, title) in zip(panels[0], DATA.items(), strict=True):
        known = results[f"landscape-{data}"]
        edges, counts = np.array(known["spectrum"]["edges"]), known["spectrum"]["bitstrings"]
        shown = np.maximum(np.array(counts, dtype=np.float64), 0.5)
        axes.stairs(shown, edges, color=INK, alpha=0.25, fill=True, baseline=0.5)
        axes.set_yscale("log")
        axes.set_ylim(0.5, 3e15)
        axes.set_yticks(10.0 ** np.arange(0, 11, 2))
        for j, level in enumerate(known["working_units"], start=1):
            if j > 1 and level["loss"] > known["working_units"][j - 2]["loss"] - 5e-3:
                continue  # no further unit helps
            axes.axvline(level["loss"], color=INK, linewidth=0.7, linestyle=":")
            axes.annotate(
                str(j), (level["loss"], 8e14), xytext=(2, 0), textcoords="offset points",
                fontsize=8, color=INK,
            )  # fmt: skip
        for height, (part, what, colour, marker) in zip(10.0 ** np.array([14, 13, 12]),
                                                      ends.values(), strict=True):  # fmt: skip
            losses = results[f"{part}-{data}"][what]
            axes.scatter(losses, np.full(len(losses), height), s=16, color=colour, marker=marker,
                         alpha=0.6, linewidth=0)  # fmt: skip
        axes.set_xlim(0, 2)
        axes.set_title(title)
        axes.set_xlabel("training loss")
    panels[0][0].set_ylabel("bitstrings of such a loss")
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="none", label=label)
        for label, (_, _, colour, marker) in ends.items()
    ]
    dotted = "least loss with so many hidden units at work"
    handles.append(Line2D([], [], color=INK, linewidth=0.7, linestyle=":", label=dotted))
    legend_below(figure, handles, 2)
    return figure
