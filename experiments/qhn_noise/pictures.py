"""Circuits by the strength of the noise, and training with and without it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing import legend_below, new_panels, save
from experiments.qhn import PROBLEMS
from experiments.qhn_noise.tables import (
    QUANTITIES,
    above,
    depths,
    problems,
    strengths,
    sublayers,
)
from qhyper.report.drawing import COLOURS, INK

BY_DEPTH = (*COLOURS["quantum"], COLOURS["classical"][0])
KINDS = {"without": COLOURS["classical"][0], "under": COLOURS["quantum"][0]}


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write strength.svg and training.svg."""
    _by_strength(results, folder / "strength.svg")
    _training(results, folder / "training.svg")


def _by_strength(results: Mapping[str, Any], path: Path) -> None:
    """Best circuit and median restart of each depth against the strength of the noise."""
    from matplotlib.lines import Line2D

    names = problems(results)
    figure, panels = new_panels(
        (8.2, 9.6), len(QUANTITIES) + 1, len(names), sharex=True, sharey="row"
    )
    handles: dict[int, Any] = {}
    for column, name in enumerate(names):
        for depth, colour in zip(depths(results, name), BY_DEPTH, strict=False):
            found = results[f"circuit-{name}-{depth}"]
            style = {"color": colour, "marker": "o", "markersize": 3, "linewidth": 1.4}
            for axes, key in zip(panels[:-1, column], QUANTITIES, strict=True):
                estimates = found["trajectories"][key]
                axes.errorbar(
                    found["strengths"], [above(found, key, at["mean"]) for at in estimates],
                    [at["error"] for at in estimates], **style,
                )  # fmt: skip
            medians = np.median(found["restarts"]["cost"], axis=1) - found["minimum"]
            panels[-1, column].plot(found["restarts"]["strengths"], medians, **style)
            handles[depth] = Line2D([], [], label=sublayers(depth), **style)
        panels[0, column].set_title(PROBLEMS[name].title)
        panels[-1, column].set_xlabel("strength s of the noise")
    labels = (*QUANTITIES.values(), "⟨C⟩ above it, median restart")
    for axes, label in zip(panels[:, 0], labels, strict=True):
        axes.set_ylabel(label)
    legend_below(figure, list(handles.values()), 5)
    save(figure, path, "Circuits by the strength of the noise")


def _training(results: Mapping[str, Any], path: Path) -> None:
    """Each start, trained without and under noise, side by side at each strength."""
    from matplotlib.lines import Line2D

    names = [name for name in problems(results) if strengths(results, name)]
    figure, panels = new_panels((8.2, 3.6), 1, len(names))
    for axes, name in zip(panels[0], names, strict=True):
        for x, s in enumerate(strengths(results, name)):
            found = results[f"training-{name}-{s}"]
            gaps = {key: np.array(found["judged"][key]) - found["minimum"] for key in KINDS}
            for own in zip(*gaps.values(), strict=True):
                axes.plot([x - 0.2, x + 0.2], own, color=INK, alpha=0.2, linewidth=0.8)
            for at, (key, colour) in zip((x - 0.2, x + 0.2), KINDS.items(), strict=True):
                axes.plot(
                    [at] * len(gaps[key]), gaps[key], color=colour, linestyle="none", marker="o",
                    markersize=3.5, alpha=0.6, markeredgewidth=0,
                )  # fmt: skip
                axes.plot(
                    [at - 0.13, at + 0.13], [np.median(gaps[key])] * 2, color=colour, linewidth=2
                )
        axes.set_title(PROBLEMS[name].title)
        axes.set_xticks(range(len(strengths(results, name))), strengths(results, name))
        axes.set_xlabel("strength s of the noise")
        axes.set_ylim(0, 1.05 * axes.dataLim.ymax)
    panels[0][0].set_ylabel("⟨C⟩ above the minimum, under noise")
    labels = {"without": "trained without noise", "under": "trained under it"}
    legend_below(
        figure, [Line2D([], [], color=KINDS[key], label=words, linewidth=2)
                 for key, words in labels.items()], 2,
    )  # fmt: skip
    save(figure, path, "Training with and without noise")
