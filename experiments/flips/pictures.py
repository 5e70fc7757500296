"""Flips and losses over time, and where training ends, by method."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from experiments.drawing import legend_below, new_panels, save
from experiments.flips.outcome import (
    DATA,
    LIMITS,
    METHODS,
    OPTIMISERS,
    Numbers,
    Part,
    Results,
    having,
    part,
)
from experiments.flips.recording import PHASES
from qhyper.report.drawing import COLOURS, INK

COLOUR = {"clip": INK, "recu": COLOURS["quantum"][0], "quantiles": COLOURS["classical"][0]}
DASH = {"constant": "-", "cosine": ":"}


def draw(results: Results, folder: Path) -> None:
    """Write flips.svg and course.svg, flips and loss over time, and regret.svg, of every seed."""
    middle, end = (np.arange(PHASES) + 0.5) * 100 / PHASES, (np.arange(PHASES) + 1) * 100 / PHASES
    _over_time(results, folder / "flips.svg", middle, Part.per_step, "flips a step", (0.1, 0.3, 1))
    _over_time(
        results, folder / "course.svg", end, lambda one: 100 * one.course(),
        "mean loss above the minimum, %", (50, 100, 200, 400),
    )  # fmt: skip
    _regret(results, folder / "regret.svg")


def _over_time(
    results: Results, path: Path, time: Numbers, value: Callable[[Part], Numbers], words: str,
    ticks: Sequence[float],
) -> None:  # fmt: skip
    """Of every method `value` [phase] at `time` [phase], in percent of the steps."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import NullLocator

    figure, panels = new_panels((8.2, 5.4), 2, 2, sharex=True, sharey=True)
    for row, (data, title) in zip(panels, DATA.items(), strict=True):
        for axes, (optimiser, name) in zip(row, OPTIMISERS.items(), strict=True):
            for one in having(results, data, optimiser):
                axes.plot(time, value(one), color=COLOUR[one.limit], linestyle=DASH[one.schedule])
            axes.set_yscale("log")
            axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.yaxis.set_minor_locator(NullLocator())
            axes.set_title(f"{title}: {name}")
    for axes in panels[:, 0]:
        axes.set_ylabel(words)
    for axes in panels[1]:
        axes.set_xlabel("% of the steps")
    handles = [Line2D([], [], color=COLOUR[k], label=words) for k, words in LIMITS.items()]
    handles += [Line2D([], [], color=INK, linestyle=d, label=k) for k, d in DASH.items()]
    legend_below(figure, handles, 5)
    save(figure, path, f"{words.capitalize()} over time")


def _regret(results: Results, path: Path) -> None:
    from matplotlib.lines import Line2D

    dot = {"linestyle": "none", "marker": "o", "markersize": 3.5, "clip_on": False}
    figure, panels = new_panels((8.2, 4.6), 1, 2, sharey=True)
    for axes, (data, title) in zip(panels[0], DATA.items(), strict=True):
        for place, method in enumerate(METHODS):
            one = part(results, data, method)
            end, best = (100 * one.regret(which) for which in ("end", "best"))
            spread = place + np.linspace(-0.3, 0.3, len(end))
            axes.plot(end, spread, markerfacecolor="none", markeredgecolor=INK, alpha=0.5, **dot)
            axes.plot(best, spread, color=COLOURS["classical"][0], markeredgewidth=0, **dot)
        axes.set_xscale("symlog", linthresh=0.1)
        axes.set_xlim(0, None)
        axes.set_xlabel("loss above the certified minimum, %")
        axes.set_title(title)
    panels[0][0].set_yticks(range(len(METHODS)), [m.replace("-", ", ") for m in METHODS])
    panels[0][0].set_ylim(len(METHODS) - 0.4, -0.6)
    handles = [
        Line2D([], [], color=COLOURS["classical"][0], markeredgewidth=0, label="best met", **dot),
        Line2D([], [], markerfacecolor="none", markeredgecolor=INK, label="at the end", **dot),
    ]
    legend_below(figure, handles, 2)
    save(figure, path, "Regret of every seed")
