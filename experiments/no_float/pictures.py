"""Accuracy on the rows held out, as time goes by."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing import legend_below, new_panels, save
from qhyper.report.drawing import COLOURS, INK

SCHEMES = {
    "naive": COLOURS["control"][0],
    "elite": COLOURS["classical"][0],
    "counting": COLOURS["quantum"][0],
    "flips": COLOURS["quantum"][2],
    "errors": COLOURS["classical"][2],
}
"""By the first word of a part's name."""
STYLES = {
    "printed": "--",
    "printed-batches": ":",
    "printed-one": "-.",
    "free": "-",
    "": "-",
    "free-logits": "--",
    "first-random": "--",
    "both-random": ":",
    "one-hidden": "-.",
}
"""By the others."""
DEPTH = (COLOURS["classical"][2], COLOURS["classical"][0], COLOURS["control"][0],
         COLOURS["quantum"][0])  # fmt: skip
"""Of errors that are sent down, and of its three controls."""


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write accuracy.svg, of all that there is, and depth.svg, of errors that are sent down."""
    _accuracy(results, folder)
    _depth({name: found for name, found in results.items() if name.startswith("errors")}, folder)


def _accuracy(results: Mapping[str, Any], folder: Path) -> None:
    """As printed dashed, free ones whole; of flips, free logits dashed."""
    figure, panels = new_panels((8.2, 4.0), 1, 1)
    axes, lines = panels[0][0], []
    for name, found in results.items():
        scheme, *setting = name.split("-")
        seconds, _, accuracy = zip(*found["history"], strict=True)
        lines += axes.plot(
            np.maximum(seconds, 0.1), 100 * np.array(accuracy), color=SCHEMES[scheme],
            linewidth=1.4, linestyle=STYLES["-".join(setting)], label=found["title"],
        )  # fmt: skip
    axes.axhline(10, color=INK, linewidth=0.7, linestyle=":")
    axes.set_xscale("log")
    axes.set_xlabel("seconds of training")
    axes.set_ylabel("accuracy on rows held out, %")
    axes.set_ylim(0, 100)
    legend_below(figure, lines, 2)
    save(figure, folder / "accuracy.svg", "Accuracy on rows held out against time")


def _depth(results: Mapping[str, Any], folder: Path) -> None:
    """What errors that go down reach, epoch by epoch, and what their controls do."""
    figure, panels = new_panels((7.0, 3.6), 1, 1)
    axes, lines = panels[0][0], []
    for colour, (name, found) in zip(DEPTH, results.items(), strict=True):
        _, epochs, accuracy = zip(*found["history"], strict=True)
        style = STYLES[name.partition("-")[2]]
        lines += axes.plot(
            epochs, 100 * np.array(accuracy), color=colour, linewidth=1.4, linestyle=style,
            label=found["title"],
        )  # fmt: skip
    axes.set_xlabel("epoch")
    axes.set_ylabel("accuracy on rows held out, %")
    legend_below(figure, lines, 2)
    save(figure, folder / "depth.svg", "Accuracy on rows held out against epochs, and depth")
