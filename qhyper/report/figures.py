"""The figures of a comparison, as SVG in the page's text colour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qhyper.report.drawing import COLOURS, INK, legend, loss_axis, new_figure, short, svg, text
from qhyper.report.results import Result, Spectrum, first_hits
from qhyper.report.summary import KINDS, EntrySummary, Summary
from qhyper.report.words import format_count, format_loss

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS_OF_A_CURVE = 160

FIGURES = {
    "learning": (
        "Learning",
        "Lowest mean loss of the draws so far, against {unit}: a training "
        "starts anew inside its budget, and the start kept at the end is the best one. The line is "
        "the median over the seeds, the band goes from the lower to the upper quartile.",
    ),
    "draws": (
        "Where the draws end",
        "The losses of fresh draws of each trained generator, from the start that was kept; all "
        "seeds together, each row to its own height.",
    ),
    "hits": (
        "When the optimum is found",
        "Share of the seeds that have drawn a network with the minimal loss by then. The thin "
        "line is the exact chance of uniform search; the table has the intervals.",
    ),
    "best": (
        "Best network so far",
        "The lowest loss drawn so far: the median over the seeds.",
    ),
}
UNITS = {
    "evaluations": "evaluations of the objective",
    "shots": "shots, the bitstrings drawn",
    "circuits": "circuits, the parameter settings sampled or simulated",
    "rows": "rows, each of the data that a network was evaluated on",
}
"""What the figure of learning counts along, in words for its caption."""
CONTROL_CAPTIONS = {
    "learning": " Controls are shown without that minimum: theirs is the mean loss at that time, "
    "for annealing of its state, for random search of its batch.",
    "draws": " A control's row is what it held last: for annealing its last state, for random "
    "search its last batch.",
}
"""What a figure's caption says besides where it shows a control."""
SPECTRUM_CAPTION = (
    "On top the exact spectrum: how many of all bitstrings have a loss in each bin (log scale). "
)


@dataclass(frozen=True)
class Style:
    """How one generator looks in every figure; line and marker tell kinds apart without colour."""

    colour: str
    line: Any
    dashes: str
    marker: str
    filled: bool

    def marks(self) -> dict[str, Any]:
        """Keyword arguments of a Matplotlib line."""
        return {
            "color": self.colour,
            "linestyle": self.line,
            "linewidth": 1.5,
            "marker": self.marker,
            "markersize": 4.5,
            "markerfacecolor": self.colour if self.filled else "none",
        }


LINES = {"quantum": "-", "classical": (0, (5, 2)), "control": (0, (1, 1.5))}
DASHES = {"quantum": "none", "classical": "7 3", "control": "1.5 2.5"}
MARKERS = {"quantum": "osD^", "classical": "osD^", "control": "x+1"}


def styles_of(entries: Sequence[EntrySummary | Result]) -> dict[str, Style]:
    """Styles by name; the n-th of a kind looks the same in every figure and in the table."""
    styles: dict[str, Style] = {}
    seen: dict[str, int] = dict.fromkeys(KINDS, 0)
    for entry in entries:
        kind = entry.kind
        colours, markers, nth = COLOURS[kind], MARKERS[kind], seen[kind]
        seen[kind] += 1
        styles[entry.name] = Style(
            colour=colours[nth % len(colours)],
            line=LINES[kind],
            dashes=DASHES[kind],
            # Past the last colour the markers move on by one, so that no pair repeats soon.
            marker=markers[(nth + nth // len(colours)) % len(markers)],
            filled=kind == "quantum",
        )
    return styles


def unit_of(summary: Summary) -> str:
    """What the figure of learning counts along: the first unit that the budget limits.

    It is circuits where they are limited and an entry has the exact gradient, which draws nothing.
    """
    limited = [unit for unit in UNITS if unit in summary.budget]
    exact = any(entry.estimator == "exact" for entry in summary.generators)
    return "circuits" if exact and "circuits" in limited else limited[0]


def figures(
    summary: Summary, results: Sequence[Result], spectrum: Spectrum | None
) -> dict[str, str]:
    """SVG elements by name, as `draw` has them.

    They can stand inline in one page, where they take its text colour.
    """
    return {
        name: svg(figure, name, FIGURES[name][0])
        for name, figure in draw(summary, results, spectrum).items()
    }


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
    curves = {}
    unit = unit_of(summary)
    for result in results:
        spent = np.asarray(getattr(result.curve, unit), dtype=np.float64)
        if spent.size:
            losses = np.asarray(result.curve.mean_loss, dtype=np.float64)
            keep = np.unique(np.linspace(0, len(spent) - 1, POINTS_OF_A_CURVE).astype(int))
            # Restarts, inside the budget, would draw teeth. Controls have none: the lowest of
            # their noisy means would fall, as if random search learned.
            if result.kind != "control":
                losses = np.minimum.accumulate(losses, axis=1)
            quartiles = np.quantile(losses[:, keep], [0.25, 0.5, 0.75], axis=0)
            curves[result.name] = spent[keep], quartiles
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
    axes.set_xlabel(unit)
    axes.set_ylabel("mean loss")
    legend(figure, {name: styles[name].marks() for name in curves})
    return figure


def _draws(
    summary: Summary,
    results: Sequence[Result],
    spectrum: Spectrum | None,
    styles: Mapping[str, Style],
) -> "Figure | None":
    draws = {
        result.name: np.concatenate([np.ravel(losses) for losses in result.final_losses])
        for result in results
        if any(len(losses) for losses in result.final_losses)
    }
    if not draws:
        return None
    reference = summary.reference.loss
    low = min(reference, *(float(losses.min()) for losses in draws.values()))
    high = max(float(losses.max()) for losses in draws.values())
    if spectrum is not None:
        filled = np.flatnonzero(np.asarray(spectrum.bitstrings, dtype=np.float64))
        high = max(high, float(spectrum.edges[filled[-1] + 1]))
    heights = [4.0] * (spectrum is not None) + [1.0] * len(draws)
    # On a wide page it stands beside two others, and is about as high as both.
    row = min(max(6.4 / sum(heights), 0.32), 0.6)
    figure, *rows = new_figure(height=0.75 + row * sum(heights), rows=heights)
    bottom = rows[-1]
    logarithmic = loss_axis(bottom.xaxis, low, high)
    if spectrum is not None:
        top = rows.pop(0)
        counts = np.asarray(spectrum.bitstrings, dtype=np.float64)
        top.stairs(counts, spectrum.edges, fill=True, color=INK, alpha=0.45, linewidth=0)
        top.set_yscale("log")
        top.set_ylim(bottom=0.7)
        top.set_ylabel("bitstrings")
        top.grid(visible=False)
    low, high = bottom.get_xlim()
    edges = np.geomspace(low, high, 181) if logarithmic else np.linspace(low, high, 181)
    for axes, (name, losses) in zip(rows, draws.items(), strict=True):
        style = styles[name]
        counts, _ = np.histogram(losses, edges)
        # Each row to its own height: one row may sit on a plateau, another spread over all bins.
        share = counts / max(1, counts.max())
        axes.stairs(
            share,
            edges,
            fill=True,
            facecolor=(style.colour, 0.45),
            edgecolor=style.colour,
            linewidth=1.1,
        )
        axes.set_ylim(0, 1.15)
        axes.set_yticks([])
        axes.set_ylabel(short(name), rotation=0, ha="right", va="center", parse_math=False)
        axes.yaxis.label.set_color(style.colour)
    for axes in figure.axes:
        axes.axvline(reference, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
    for axes in figure.axes[:-1]:
        axes.tick_params(axis="x", which="both", labelbottom=False, length=0)
    text(figure.axes[0], reference, 1.0, _reference_label(summary), va="bottom", side="x")
    bottom.set_xlabel("loss")
    return figure


def _hits(
    summary: Summary, results: Sequence[Result], styles: Mapping[str, Style]
) -> "Figure | None":
    from matplotlib.ticker import MaxNLocator

    results = [result for result in results if result.best_by_training_loss]
    if not results:
        return None
    reference = summary.reference.loss
    hits = {
        result.name: sorted(
            at for at in first_hits(result.improvements, reference) if at is not None
        )
        for result in results
    }
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
    chance = (summary.certificate or {}).get("uniform_hit_probability")
    if chance is not None:
        evaluations = np.geomspace(start, budget, 80)
        with np.errstate(divide="ignore"):  # every draw may be optimal
            shares = -np.expm1(evaluations * np.log1p(-chance))
        axes.plot(evaluations, shares, color=INK, linewidth=0.9)
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
    extra = {} if chance is None else {"uniform (exact)": {"color": INK, "linewidth": 0.9}}
    marks = {result.name: styles[result.name].marks() for result in results}
    legend(figure, marks | extra)
    return figure


def _best(
    summary: Summary, results: Sequence[Result], styles: Mapping[str, Style]
) -> "Figure | None":
    results = [
        result for result in results if result.best_by_training_loss and all(result.improvements)
    ]
    if not results:
        return None
    budget = max(result.evaluations for result in results)
    start = max(found[0][0] for result in results for found in result.improvements)
    grid = np.unique(np.geomspace(start, budget, POINTS_OF_A_CURVE).astype(int))
    medians = {}
    for result in results:
        seeds = []
        for found in result.improvements:
            at, losses = np.asarray(found, dtype=np.float64).T
            seeds.append(losses[np.searchsorted(at, grid, side="right") - 1])
        medians[result.name] = np.median(seeds, axis=0)
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
    axes.set_xlim(grid[0], max(budget, grid[0] + 1))
    axes.xaxis.set_major_formatter(lambda value, _: format_count(value))
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("evaluations")
    axes.set_ylabel("best loss so far")
    legend(figure, {name: styles[name].marks() for name in medians})
    return figure


def _reference_label(summary: Summary) -> str:
    return f"{summary.reference.kind} {format_loss(summary.reference.loss)}"
