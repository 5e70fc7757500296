"""The pictures of the study: cost, error and seconds against epoch."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.da422.settings import ROWS, SIZES, Row
from experiments.drawing import legend_below, new_panels, save
from experiments.fashion.pictures import COLOUR
from experiments.fashion.tables import KINDS, PRINTED
from qhyper.report.drawing import INK

ACTIVATIONS = (0, (6, 1, 1, 1, 1, 1))
"""Dashes of trainings that draw no weights."""
Curve = Callable[[Mapping[str, Any]], list[float]]


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write cost.svg, error.svg and seconds.svg."""
    _picture(results, folder / "cost.svg", "Cost by epoch", "training cost", _cost)
    _picture(
        results, folder / "error.svg", "Test error by epoch", "test error, %", _error, printed=True
    )
    _picture(
        results, folder / "seconds.svg", "Seconds by epoch", "seconds of training",
        lambda found: np.cumsum(found["epoch_seconds"]).tolist(), log=False,
    )  # fmt: skip


def _dash(row: Row) -> Any:
    if not row.drawn_weights:
        return ACTIVATIONS
    if row.wide:
        return "-."
    return "-" if row.glorot or row.kind == "none" else "--"


def _cost(found: Mapping[str, Any]) -> list[float]:
    return found["losses"]


def _error(found: Mapping[str, Any]) -> list[float]:
    return [np.nan if share is None else 100 * (1 - share) for share in found["tested"]]


def _picture(
    results: Mapping[str, Any], path: Path, title: str, what: str, curve: Curve, *,
    printed: bool = False, log: bool = True,
) -> None:  # fmt: skip
    """One curve of each training that the report prints, a panel a size."""
    from matplotlib.lines import Line2D

    figure, panels = new_panels((8.2, 3.6), 1, 2)
    for axes, hidden in zip(panels[0], SIZES, strict=True):
        for name, row in ROWS.items():
            if name not in results or row.hidden != hidden or not name.startswith(row.kind):
                continue  # not run, or of another panel, or one of those named by something else
            y = curve(results[name])
            axes.plot(
                range(1, len(y) + 1), y, color=COLOUR[row.kind], linewidth=1.2,
                linestyle=_dash(row),
            )  # fmt: skip
        if printed:
            for kind, colour in COLOUR.items():
                axes.axhline(
                    100 - PRINTED[f"{kind}-{hidden}"].test, color=colour, linewidth=0.9,
                    linestyle=":",
                )  # fmt: skip
        if log:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("epoch")
        axes.set_title(f"784-{hidden}-10")
    panels[0][0].set_ylabel(what)
    handles = [Line2D([], [], color=COLOUR[kind], label=words) for kind, words in KINDS.items()]
    handles += [
        Line2D([], [], color=INK, linestyle="--", label="without γ"),
        Line2D([], [], color=INK, linestyle="-.", label="start in [-1, 1]"),
        Line2D([], [], color=INK, linestyle=ACTIVATIONS, label="activations alone drawn"),
    ]
    if printed:
        handles.append(Line2D([], [], color=INK, linestyle=":", label="as printed"))
    legend_below(figure, handles, 3)
    save(figure, path, title)
