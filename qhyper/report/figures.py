"""The figures of a comparison, drawn in the page's text colour."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qhyper.report.drawing import INK, legend, loss_axis, new_figure, short, text
from qhyper.report.results import Result, Spectrum
from qhyper.report.shown import (
    best_curves,
    draws_in_bins,
    ends_of_draws,
    final_draws,
    hit_times,
    learning_curves,
    uniform_share,
    unit_of,
)
from qhyper.report.styles import Style, styles_of
from qhyper.report.summary import Summary
from qhyper.report.words import format_count, format_loss

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]


def draw(
    summary: Summary, results: Sequence[Result], spectrum: Spectrum | None
) -> "dict[str, Figure]":
    """Figures by name: "learning", "draws", and "hits" or, without certificate, "best".

    A figure without anything to show is left out.
    """
    styles = styles_of(results)
    drawn = {"learning": _learning(summary, results, styles)}
    if summary.certificate is not None:
        drawn["hits"] = _hits(summary, results, styles)
    else:
        drawn["best"] = _best(summary, results, styles)
    drawn["draws"] = _draws(summary, results, spectrum, styles)
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _learning(
    summary: Summary, results: Sequence[Result], styles: Mapping[str, Style]
) -> "Figure | None":
    curves = learning_curves(summary, results)
    if not curves:
        return None
    figure, axes = new_figure(height=3.6)
    for index, (name, (spent, (low, median, high))) in enumerate(curves.items()):
        style = styles[name]
        # Markers every sixth of the curve, and not those of all curves at one place.
        every = max(1, len(spent) // 6)
        axes.plot(
            spent,
            median,
            clip_on=len(spent) > 1,  # one point alone may lie on the edge
            markevery=(index * every // len(curves), every),
            **style.marks(),
        )
        axes.fill_between(spent, low, high, color=style.colour, alpha=0.15, linewidth=0)
    bands = [quartiles for _, quartiles in curves.values()]
    reference = summary.reference.loss
    loss_axis(axes.yaxis, min(reference, *(b.min() for b in bands)), max(b.max() for b in bands))
    axes.axhline(reference, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
    text(axes, 0.995, reference, _reference_label(summary), ha="right", va="top", side="y")
    axes.set_xlim(0, max(at[-1] for at, _ in curves.values()))
    axes.xaxis.set_major_formatter(lambda value, _: format_count(value))
    axes.set_xlabel(unit_of(summary))
    axes.set_ylabel("mean loss")
    legend(figure, {name: styles[name].marks() for name in curves})
    return figure


def _draws(
    summary: Summary,
    results: Sequence[Result],
    spectrum: Spectrum | None,
    styles: Mapping[str, Style],
) -> "Figure | None":
    draws = final_draws(results)
    if not draws:
        return None
    reference = summary.reference.loss
    low, high = ends_of_draws(summary, draws, spectrum)
    heights = [4.0] * (spectrum is not None) + [1.0] * len(draws)
    # On a wide page it stands beside two others, and is about as high as both.
    row = min(max(6.4 / sum(heights), 0.32), 0.6)
    figure, *rows = new_figure(height=0.75 + row * sum(heights), rows=heights)
    bottom = rows[-1]
    loss_axis(bottom.xaxis, low, high)
    if spectrum is not None:
        top = rows.pop(0)
        counts = np.asarray(spectrum.bitstrings, dtype=np.float64)
        top.stairs(
            *_merged(counts, np.asarray(spectrum.edges)),
            fill=True,
            color=INK,
            alpha=0.45,
            linewidth=0,
        )
        top.set_yscale("log")
        top.set_ylim(bottom=0.7)
        top.set_ylabel("bitstrings")
        top.grid(visible=False)
    edges, bins = draws_in_bins(draws, low, high)
    for axes, (name, counts) in zip(rows, bins.items(), strict=True):
        style = styles[name]
        # Each row to its own height: one row may sit on a plateau, another spread over all bins.
        share = counts / max(1, counts.max())
        axes.stairs(
            *_merged(share, edges),
            fill=True,
            facecolor=(style.colour, 0.45),
            edgecolor=style.colour,
            linewidth=1.1,
        )
        axes.set_ylim(0, 1.15)
        axes.set_yticks([])
        axes.set_ylabel(short(name), rotation=0, ha="right", va="center", parse_math=False)
    for axes in figure.axes:
        axes.axvline(reference, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
    for axes in figure.axes[:-1]:
        axes.tick_params(axis="x", which="both", labelbottom=False, length=0)
    text(figure.axes[0], reference, 1.0, _reference_label(summary), va="bottom", side="x")
    bottom.set_xlabel("loss")
    return figure


def _merged(values: Array, edges: Array) -> tuple[Array, Array]:
    """Neighbouring bins of one height as one bin: the same outline of fewer points."""
    first = np.concatenate([[True], values[1:] != values[:-1]])
    return values[first], edges[np.append(first, True)]


def _hits(
    summary: Summary, results: Sequence[Result], styles: Mapping[str, Style]
) -> "Figure | None":
    from matplotlib.ticker import MaxNLocator

    hits = hit_times(summary, results)
    if not hits:
        return None
    results = [result for result in results if result.name in hits]
    budget = max(result.evaluations for result in results)
    earliest = min((at for found in hits.values() for at in found), default=budget)
    start = 10.0 ** np.floor(np.log10(max(1, min(earliest, budget / 100))))
    figure, axes = new_figure(height=3.6)
    for result in results:
        found, seeds = hits[result.name], len(result.seeds)
        shares = [0.0, *(np.arange(1, len(found) + 1) / seeds), len(found) / seeds]
        axes.step(
            [start, *found, result.evaluations],
            shares,
            where="post",
            clip_on=False,
            markevery=range(1, len(shares)),
            **styles[result.name].marks(),
        )
    evaluations = np.geomspace(start, budget, 80)
    uniform = uniform_share(summary, evaluations)
    if uniform is not None:
        axes.plot(evaluations, uniform, color=INK, linewidth=0.9)
    axes.set_xscale("log")
    axes.set_xlim(start, max(budget, start + 1))
    axes.xaxis.set_major_formatter(lambda value, _: format_count(value))
    axes.xaxis.set_minor_formatter("")
    highest = max(len(found) / len(summary.seeds) for found in hits.values())
    axes.set_ylim(0, min(1.0, max(0.2, highest + 0.1)))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))  # whole per cents
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlabel("evaluations")
    axes.set_ylabel("seeds that have hit")
    extra = {} if uniform is None else {"uniform (exact)": {"color": INK, "linewidth": 0.9}}
    marks = {result.name: styles[result.name].marks() for result in results}
    legend(figure, marks | extra)
    return figure


def _best(
    summary: Summary, results: Sequence[Result], styles: Mapping[str, Style]
) -> "Figure | None":
    grid, medians = best_curves(results)
    if not medians:
        return None
    figure, axes = new_figure(height=3.6)
    for index, (name, median) in enumerate(medians.items()):
        every = max(1, len(grid) // 6)
        axes.step(
            grid,
            median,
            where="post",
            markevery=(index * every // len(medians), every),
            **styles[name].marks(),
        )
    reference = summary.reference.loss
    loss_axis(axes.yaxis, reference, max(float(median.max()) for median in medians.values()))
    axes.axhline(reference, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
    text(axes, 0.005, reference, _reference_label(summary), va="top", side="y")
    axes.set_xscale("log")
    axes.set_xlim(grid[0], max(grid[-1], grid[0] + 1))
    axes.xaxis.set_major_formatter(lambda value, _: format_count(value))
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("evaluations")
    axes.set_ylabel("best loss so far")
    legend(figure, {name: styles[name].marks() for name in medians})
    return figure


def _reference_label(summary: Summary) -> str:
    return f"{summary.reference.kind} {format_loss(summary.reference.loss)}"
