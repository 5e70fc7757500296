"""Figures 5 to 10 of the thesis from exact counts, and the bounds of all pairs of digits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing import new_panels, save
from experiments.thesis_images.tables import CLASSES, DATA, PAIRS, sides
from qhyper.report.drawing import COLOURS, INK


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write the SVG files of all pictures."""
    save(_images(results), folder / "images.svg", "Examples, mean images and mean pixels")
    save(_bounds(results), folder / "bounds.svg", "Best accuracy of any classifier")


def _images(results: Mapping[str, Any]) -> Any:
    """A row for each class of both data sets: an image, the mean image, and mean pixels."""
    figure, panels = new_panels((8.2, 7.0), 4, 3, width_ratios=(1, 1, 3))
    rows = [
        (f"{title}: {CLASSES[data][label]}", results[f"images-{data}"]["classes"][label])
        for data, title in DATA.items()
        for label in (0, 1)
    ]
    for (example, mean, histogram), (title, found) in zip(panels, rows, strict=True):
        for axes, pixels, what in (
            (example, found["example"], "an image"), (mean, found["mean"], "the mean"),
        ):  # fmt: skip
            axes.pcolormesh(
                np.reshape(pixels, (2, 2)), cmap="gray", vmin=0, vmax=255, edgecolors=INK,
                linewidth=0.5,
            )  # fmt: skip
            axes.set_aspect("equal")
            axes.invert_yaxis()
            axes.set_axis_off()
            axes.set_title(what)
        histogram.stairs(found["counts"], found["edges"], color=COLOURS["control"][0], fill=True)
        black = found["black"]
        if black:
            histogram.plot(-1, black, color=COLOURS["classical"][0], marker="o", markersize=4)
            histogram.annotate(
                f"{black:,} are black; the bin has {found['counts'][0]:,}", (-1, black),
                xytext=(14, -3), textcoords="offset points", fontsize=8, color=INK,
            )  # fmt: skip
        histogram.set_title(title)
    panels[-1][2].set_xlabel("mean pixel of an image, black -1, white +1")
    return figure


def _bounds(results: Mapping[str, Any]) -> Any:
    """All pairs thin; those that are trained on thick."""
    figure, panels = new_panels((6.0, 3.4), 1, 1)
    axes, across = panels[0][0], sides(results)
    names = sorted({name.rsplit("-", 1)[0] for name in results["bounds"]})
    lines = {
        pair: [100 * (1 - results["bounds"][f"{pair}-{side}"]["train"]["accuracy"])
               for side in across]
        for pair in names
    }  # fmt: skip
    for wrong in lines.values():
        axes.plot(across, wrong, color=INK, alpha=0.2, linewidth=0.7)
    for (pair, title), colour in zip(PAIRS.items(), COLOURS["quantum"], strict=False):
        axes.plot(across, lines[pair], color=colour, linewidth=1.6, marker="o", markersize=4)
        axes.annotate(
            title, (across[0], lines[pair][0]), xytext=(-7, 0), textcoords="offset points",
            fontsize=8, color=colour, ha="right", va="center",
        )  # fmt: skip
    axes.set_xlim(left=across[0] - 0.8)  # all lines begin at the right of their labels
    axes.set_xticks(across)
    axes.set_xlabel("pixels in each direction")
    axes.set_ylabel("wrong for any classifier, %")
    axes.set_ylim(bottom=0)
    return figure
