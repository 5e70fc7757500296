"""The figures of a submission: a device's draws compared with the simulator's.

Matplotlib is imported where it is used.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from qhyper.report.drawing import COLOURS, INK, legend, loss_axis, new_figure, svg, text
from qhyper.report.plot import Plot
from qhyper.report.words import format_loss
from qhyper.submit.draws import DrawsComparison, ReplicaDraws

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REPLICAS = 8
"""So many are drawn, one below the other; the table has all."""
FIGURES = {
    "losses": (
        "Losses of the draws",
        "Shares of the draws in bins of the loss (log scale): the line is the device, the grey "
        "area the simulator.",
    ),
    "marginals": (
        "Each bit",
        "P(bit = 1) on the device minus that on the simulator. The band is two standard errors "
        "of shot noise. Filled dots are bits that the simulator has mostly at 1, open ones mostly "
        "at 0: where filled ones lie low and open ones high, bits are misread or decay.",
    ),
}
GROUPED = (
    "Bits in {groups} groups, from those that half of the simulator's draws have mostly at 0 to "
    "those mostly at 1: the mean P(bit = 1) of each on the device minus that in the simulator's "
    "other half. The band is two standard errors of shot noise. Filled dots are groups mostly at "
    "1, open ones mostly at 0: where filled ones lie low and open ones high, bits are misread or "
    "decay."
)
"""The caption of the marginals of many bits."""
_COLOUR = COLOURS["quantum"][0]


def submission_figures(outcome: DrawsComparison, seeds: Sequence[int]) -> list[Plot]:
    """The losses and the marginals."""
    replicas = outcome.replicas[:REPLICAS]
    shown = list(seeds[: len(replicas)])
    names = [f"seed {seed}" for seed in shown]
    drawn = {
        "losses": _losses(outcome, replicas, names),
        "marginals": _marginals(replicas, names),
    }
    captions = {name: caption for name, (_, caption) in FIGURES.items()}
    first = replicas[0].marginals
    if first.grouped:
        captions["marginals"] = GROUPED.format(groups=len(first.measured))
    data = {
        "losses": _loss_data(outcome, replicas, shown),
        "marginals": _marginal_data(replicas, shown),
    }
    made = []
    for name, (title, _) in FIGURES.items():
        seen, columns, rows = data[name]
        picture = svg(drawn[name], name, title, seen)
        made.append(Plot(name, title, captions[name], seen, picture, columns, rows))
    return made


Data = tuple[str, Sequence[str], Sequence[Sequence[Any]]]


def _loss_data(
    outcome: DrawsComparison, replicas: Sequence[ReplicaDraws], seeds: Sequence[int]
) -> Data:
    """What is seen of the losses in words, and columns and rows of its data."""
    ours, theirs = (
        format_loss(float(np.mean([side.mean_loss for side in sides])))
        for sides in zip(*((r.measured, r.simulated) for r in replicas), strict=True)
    )
    seen = (
        f"Histograms of the losses. Mean loss on the device {ours}, on the simulator {theirs}; the "
        f"two differ by {float(np.mean([r.losses.variation for r in replicas])):.3f} in total "
        f"variation, and by noise alone would by "
        f"{float(np.mean([r.losses.noise for r in replicas])):.3f}."
    )
    if outcome.minimum is not None:
        seen += f" The certified minimum is {format_loss(outcome.minimum)}."
    rows = [
        (
            seed, low, high, replica.measured.counts[k] / replica.measured.draws,
            replica.simulated.counts[k] / replica.simulated.draws,
        )
        for seed, replica in zip(seeds, replicas, strict=True)
        for k, (low, high) in enumerate(pairwise(outcome.edges))
        if replica.measured.counts[k] or replica.simulated.counts[k]
    ]  # fmt: skip
    return seen, ("seed", "loss_from", "loss_to", "share_device", "share_simulator"), rows


def _marginal_data(replicas: Sequence[ReplicaDraws], seeds: Sequence[int]) -> Data:
    """The same of the marginals."""
    rows = [
        (seed, bit, *values)
        for seed, replica in zip(seeds, replicas, strict=True)
        for bit, values in enumerate(
            zip(
                replica.marginals.measured, replica.marginals.simulated, replica.marginals.error,
                strict=True,
            )
        )
    ]  # fmt: skip
    beyond = sum(abs(device - simulator) > 2 * error for _, _, device, simulator, error in rows)
    what = "group of bits" if replicas[0].marginals.grouped else "bit"
    seen = (
        f"Dots, one for each {what}. {beyond:,} of {len(rows):,} lie outside of two standard "
        "errors of shot noise."
    )
    columns = ("seed", what.replace(" ", "_"), "p_device", "p_simulator", "standard_error")
    return seen, columns, rows


def _losses(
    outcome: DrawsComparison, replicas: Sequence[ReplicaDraws], names: Sequence[str]
) -> "Figure":
    edges, minimum = np.asarray(outcome.edges), outcome.minimum
    figure, *rows = new_figure(height=_height(replicas), rows=[1.0] * len(replicas))
    low = edges[0] if minimum is None else min(edges[0], minimum)
    loss_axis(rows[-1].xaxis, float(low), float(edges[-1]))
    for axes, replica, name in zip(rows, replicas, names, strict=True):
        ours, theirs = (
            np.asarray(side.counts) / side.draws for side in (replica.measured, replica.simulated)
        )
        axes.stairs(theirs, edges, fill=True, color=INK, alpha=0.3, linewidth=0)
        axes.stairs(ours, edges, color=_COLOUR, linewidth=1.5)
        axes.set_yscale("log")
        axes.set_ylim(0.5 / replica.measured.draws, 1.5 * max(ours.max(), theirs.max()))
        axes.yaxis.set_minor_formatter("")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        if len(names) > 1:
            axes.set_ylabel(name)
        if minimum is not None:
            axes.axvline(minimum, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
    if minimum is not None:
        label = f"certified minimum {format_loss(minimum)}"
        text(rows[0], minimum, 1.0, label, va="bottom", side="x")
    _share_x(rows)
    rows[-1].set_xlabel("loss")
    simulator = {"color": INK, "alpha": 0.3, "linewidth": 7}
    legend(figure, {"device": {"color": _COLOUR}, "simulator": simulator})
    return figure


def _marginals(replicas: Sequence[ReplicaDraws], names: Sequence[str]) -> "Figure":
    from matplotlib.ticker import MaxNLocator

    figure, *rows = new_figure(height=_height(replicas), rows=[1.0] * len(replicas))
    for axes, replica, name in zip(rows, replicas, names, strict=True):
        marginals = replica.marginals
        measured, simulated, error = map(
            np.asarray, (marginals.measured, marginals.simulated, marginals.error)
        )
        bits, difference = np.arange(len(error)), measured - simulated
        size = min(4.5, max(1.5, 200 / len(bits)))
        edges = np.append(bits - 0.5, len(bits) - 0.5)
        axes.stairs(2 * error, edges, baseline=-2 * error, fill=True, color=INK, alpha=0.2, lw=0)
        axes.axhline(0, color=INK, linewidth=0.8)
        for chosen, face in ((simulated >= 0.5, _COLOUR), (simulated < 0.5, "none")):
            axes.plot(bits[chosen], difference[chosen], "o", color=_COLOUR, markerfacecolor=face,
                      markersize=size)  # fmt: skip
        largest = max(float(np.abs(difference).max()), float(2 * error.max()), 1e-3)
        axes.set_ylim(-1.1 * largest, 1.1 * largest)
        axes.set_xlim(-0.8, len(bits) - 0.2)
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        if len(names) > 1:
            axes.set_ylabel(name)
    _share_x(rows)
    rows[-1].set_xlabel("group of bits" if replicas[0].marginals.grouped else "bit")
    if len(names) == 1:
        rows[0].set_ylabel("device − simulator")
    dot = {"color": _COLOUR, "marker": "o", "linestyle": "none", "markersize": 4.5}
    band = {"color": INK, "alpha": 0.2, "linewidth": 7}
    legend(
        figure,
        {"mostly 1": dot, "mostly 0": dot | {"markerfacecolor": "none"}, "shot noise": band},
    )
    return figure


def _height(replicas: Sequence[ReplicaDraws]) -> float:
    return 3.6 if len(replicas) == 1 else 0.9 + 1.25 * len(replicas)


def _share_x(rows: "Sequence[Axes]") -> None:
    for axes in rows[:-1]:
        axes.tick_params(axis="x", which="both", labelbottom=False, length=0)
