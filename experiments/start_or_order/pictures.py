"""Every training as a tile, shares of the variance by epoch, and ends in the landscape."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing import legend_below, new_panels, save
from experiments.start_or_order.tables import DATA, by_epoch
from qhyper.report.drawing import COLOURS, INK

PARTS = {
    "rows": ("start", COLOURS["classical"][0]),
    "columns": ("order of batches", COLOURS["quantum"][0]),
    "remainder": ("remainder: both together, and the last steps", COLOURS["control"][0]),
}


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write the SVG files of all pictures."""
    save(_tiles(results), folder / "trainings.svg", "Test accuracy by start and order of batches")
    save(_shares(results), folder / "shares.svg", "Shares of the variance by epoch")
    save(_landscape(results), folder / "landscape.svg", "Where all trainings end, by start")


def _tiles(results: Mapping[str, Any]) -> Any:
    """Starts and orders as they come, left MNIST."""
    figure, panels = new_panels((8.2, 3.6), 1, len(DATA))
    for axes, (data, title) in zip(panels[0], DATA.items(), strict=True):
        accuracy = np.array(results[data]["epochs"][-1])
        edges = [np.arange(size + 1) - 0.5 for size in accuracy.shape[::-1]]
        shown = axes.pcolormesh(*edges, accuracy, cmap="viridis", rasterized=False)
        axes.grid(False)
        axes.set_aspect("equal")
        axes.set_title(title)
        axes.set_xlabel("order of batches")
        axes.set_ylabel("start")
        bar = figure.colorbar(shown, ax=axes, shrink=0.85)
        bar.ax.tick_params(labelsize=8, color=INK, labelcolor=INK)
        bar.outline.set_visible(False)
    return figure


def _shares(results: Mapping[str, Any]) -> Any:
    """Lines are shares, bands their 95 % intervals."""
    from matplotlib.lines import Line2D

    figure, panels = new_panels((8.2, 3.4), 1, len(DATA), sharey=True)
    for axes, (data, title) in zip(panels[0], DATA.items(), strict=True):
        analyses = by_epoch(results[data])
        for name, (_, colour) in PARTS.items():
            parts = [getattr(one, name) for one in analyses]
            low, high = [part.low for part in parts], [part.high for part in parts]
            axes.fill_between(range(len(parts)), low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot([part.share for part in parts], color=colour, linewidth=1.4)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.set_ylim(0, 1)
    panels[0][0].set_ylabel("share of the variance")
    handles = [Line2D([], [], color=colour, label=what) for what, colour in PARTS.values()]
    legend_below(figure, handles, 3)
    return figure


def _landscape(results: Mapping[str, Any]) -> Any:
    """Above the ends of all trainings of a start in a row, below how many networks there are."""
    figure, panels = new_panels((8.2, 4.6), 2, len(DATA), sharex=True, height_ratios=(1.5, 1))
    for above, below, (data, title) in zip(*panels, DATA.items(), strict=True):
        loss, landscape = np.array(results[data]["loss"]), results[data]["landscape"]
        heights = np.broadcast_to(np.arange(len(loss))[:, None], loss.shape)
        above.plot(
            loss.ravel(), heights.ravel(), color=COLOURS["classical"][0], alpha=0.5,
            linestyle="none", marker="o", markersize=4, markeredgewidth=0,
        )  # fmt: skip
        above.set_title(title)
        edges = np.array(landscape["spectrum"]["edges"])
        counts = np.maximum(np.array(landscape["spectrum"]["bitstrings"], dtype=np.float64), 0.5)
        below.stairs(counts, edges, color=INK, alpha=0.3, fill=True, baseline=0.5)
        below.set_yscale("log")
        below.set_xlabel("training loss")
        minimum = landscape["certificate"]["minimum_loss"]
        for axes in (above, below):
            axes.axvline(minimum, color=INK, linewidth=0.7, linestyle=":")
    panels[0][0].set_ylabel("start")
    panels[1][0].set_ylabel("networks in a bin")
    return figure
