"""Errors of one gradient by evaluations, and losses of trainings by what they cost."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing import legend_below, new_panels, save
from experiments.gradients.settings import CHUNKED_TRAINED, TRAINED, errors_of
from experiments.gradients.tables import EXACT, LABELS, title_of
from qhyper.report.drawing import INK, loss_axis

STYLES: Mapping[str, tuple[str, Any, str]] = {
    "score-function": ("#0072b2", "-", "o"),
    "score-function-no-baseline": ("#56b4e9", "--", "o"),
    "natural-gradient": ("#cc79a7", "-", "D"),
    "control-variate": ("#8c564b", "-", "v"),
    "stein": ("#8c564b", "--", "v"),
    "block-expectation": ("#7f3fbf", "-", "P"),
    "local-expectation": ("#a6a400", "-", "X"),
    "rao-blackwell": ("#8a8f98", "-", "d"),
    "rao-blackwell-1": ("#8a8f98", "--", "d"),
    "parameter-shift": ("#d55e00", "-", "s"),
    "stochastic-shift": ("#e69f00", "--", "s"),
    "spsa": ("#009e73", "-", "^"),
    "spsa-16": ("#5fbf9f", "--", "^"),
}
"""How each is drawn: colour, line, marker."""


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write error.svg and training.svg."""
    save(_errors(results), folder / "error.svg", "Error of one gradient against its evaluations")
    save(_training(results), folder / "training.svg", "Mean loss against shots and evaluations")


def _errors(results: Mapping[str, Any]) -> Any:
    """Sizes are rows, starts columns; what is exact has no place on the axis."""
    figure, panels = new_panels((8.2, 7.4), 2, 2, sharex=True, sharey="row")
    for axes, (name, found) in zip(panels.flat, errors_of(results), strict=True):
        for estimator, points in found["errors"].items():
            colour, line, marker = STYLES[estimator]
            drawn = [point for point in points if point["relative_mse"] > EXACT]
            axes.plot(
                [point["evaluations"] for point in drawn],
                [point["relative_mse"] for point in drawn],
                color=colour, linestyle=line, marker=marker, markersize=4,
            )  # fmt: skip
        axes.set(xscale="log", yscale="log", title=title_of(name))
    for row in panels:
        row[0].set_ylabel("mean squared error / |gradient|²")
    for axes in panels[1]:
        axes.set_xlabel("evaluations of one gradient")
    _legend(figure, LABELS, markers=True)
    return figure


def _training(results: Mapping[str, Any]) -> Any:
    """Median and quartiles over the seeds; the certified minimum dotted."""
    figure, panels = new_panels((8.2, 4.4), 1, 2, sharey=True)
    highest, minimum = 0.0, results["training-score-function"]["minimum"]
    for axes, part, unit, names, title in (
        (panels[0][0], "training", "shots", TRAINED, "36 qubits, depth 2"),
        (panels[0][1], "chunked-training", "evaluations", CHUNKED_TRAINED,
         "36 bits in chunks of 6"),
    ):  # fmt: skip
        for name in names:
            colour, line, _ = STYLES[name]
            curve = results[f"{part}-{name}"]["curve"]
            low, median, high = np.quantile(curve["mean_loss"], (0.25, 0.5, 0.75), axis=0)
            axes.plot(curve[unit], median, color=colour, linestyle=line, linewidth=1.4)
            axes.fill_between(curve[unit], low, high, color=colour, alpha=0.15, linewidth=0)
            highest = max(highest, float(high.max()))
        axes.axhline(minimum, color=INK, linewidth=0.8, linestyle=":")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set(xlabel=unit, title=title)
    loss_axis(panels[0][0].yaxis, minimum, highest)
    panels[0][0].set_ylabel("mean loss")
    _legend(figure, [name for name in LABELS if name in {*TRAINED, *CHUNKED_TRAINED}])
    return figure


def _legend(figure: Any, names: Iterable[str], *, markers: bool = False) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=STYLES[name][0], linestyle=STYLES[name][1],
               marker=STYLES[name][2] if markers else "", markersize=4, label=LABELS[name])
        for name in names
    ]  # fmt: skip
    legend_below(figure, handles, 3)
