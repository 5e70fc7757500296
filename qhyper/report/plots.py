"""The figures of a comparison, each with its caption, its data, and what is seen in words."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from qhyper.report.drawing import svg
from qhyper.report.figures import draw
from qhyper.report.plot import Plot
from qhyper.report.results import Result, Spectrum
from qhyper.report.shown import (
    UNITS,
    best_curves,
    draws_in_bins,
    ends_of_draws,
    final_draws,
    hit_times,
    learning_curves,
    uniform_share,
    unit_of,
)
from qhyper.report.summary import Summary
from qhyper.report.words import format_count, format_loss

NAMED = 12
"""Entries that a description names; the table of results has all."""

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

Data = tuple[str, Sequence[str], Sequence[Sequence[Any]]]
"""What is seen in words, and columns and rows of the data."""


def plots(
    summary: Summary, results: Sequence[Result], spectrum: Spectrum | None
) -> dict[str, Plot]:
    """Figures by name: "learning", "hits" or, without certificate, "best", and "draws".

    A figure without anything to show is left out.
    """
    data: dict[str, Callable[[], Data]] = {
        "learning": lambda: _learning(summary, results),
        "hits": lambda: _hits(summary, results),
        "best": lambda: _best(summary, results),
        "draws": lambda: _draws(summary, results, spectrum),
    }
    made = {}
    for name, figure in draw(summary, results, spectrum).items():
        title, _ = FIGURES[name]
        seen, columns, rows = data[name]()
        made[name] = Plot(
            name, title, _caption(name, summary, results, spectrum), seen,
            svg(figure, name, title, seen), columns, rows,
        )  # fmt: skip
    return made


def _caption(
    name: str, summary: Summary, results: Sequence[Result], spectrum: Spectrum | None
) -> str:
    controls = [result for result in results if result.kind == "control"]
    shows_control = {
        "learning": any(result.curve.evaluations for result in controls),
        "draws": any(any(map(len, result.final_losses)) for result in controls),
    }
    caption = FIGURES[name][1]
    if shows_control.get(name):
        caption += CONTROL_CAPTIONS[name]
    caption = caption.format(unit=UNITS[unit_of(summary)])
    if name == "draws" and spectrum is not None:
        caption = SPECTRUM_CAPTION + "Below it, " + caption[0].lower() + caption[1:]
    return caption


def _learning(summary: Summary, results: Sequence[Result]) -> Data:
    unit, curves = unit_of(summary), learning_curves(summary, results)
    seen = (
        f"Curves of the mean loss against {unit}. At their ends, from the lowest: "
        f"{_ranked({name: float(q[1, -1]) for name, (_, q) in curves.items()})}. "
        f"{_reference(summary)}"
    )
    rows = [
        (name, int(at), float(low), float(median), float(high))
        for name, (spent, quartiles) in curves.items()
        for at, (low, median, high) in zip(spent, quartiles.T, strict=True)
    ]
    return seen, ("entry", unit, "lower_quartile", "median", "upper_quartile"), rows


def _hits(summary: Summary, results: Sequence[Result]) -> Data:
    hits, rows = hit_times(summary, results), []
    of = {result.name: result for result in results}
    for name, found in hits.items():
        seeds, end = len(of[name].seeds), of[name].evaluations
        steps = [*enumerate(found, 1), (len(found), end)]
        uniform = uniform_share(summary, np.array([at for _, at in steps], dtype=np.float64))
        chances = [None] * len(steps) if uniform is None else uniform.tolist()
        rows += [
            (name, at, hit, seeds, hit / seeds, chance)
            for (hit, at), chance in zip(steps, chances, strict=True)
        ]
    most = sorted((name for name in hits if hits[name]), key=lambda name: -len(hits[name]))
    words = [
        f"“{name}” {len(hits[name])} of {len(of[name].seeds)}, the first after "
        f"{format_count(hits[name][0])} evaluations"
        for name in most
    ]
    never = len(hits) - len(most)
    if never:
        words.append("no seed of any entry" if not most else f"none of {never} others")
    seen = f"Steps up with every seed that hits. Seeds that hit: {'; '.join(words[:NAMED])}."
    columns = ("entry", "evaluations", "seeds_hit", "seeds", "share", "uniform_share")
    return seen, columns, rows


def _best(summary: Summary, results: Sequence[Result]) -> Data:
    grid, medians = best_curves(results)
    seen = (
        "Steps down of the best loss so far. At their ends, from the lowest: "
        f"{_ranked({name: float(median[-1]) for name, median in medians.items()})}. "
        f"{_reference(summary)}"
    )
    rows = [
        (name, int(at), float(loss))
        for name, median in medians.items()
        for k, (at, loss) in enumerate(zip(grid, median, strict=True))
        if k in (0, len(grid) - 1) or loss != median[k - 1]
    ]
    return seen, ("entry", "evaluations", "median_best_loss"), rows


def _draws(summary: Summary, results: Sequence[Result], spectrum: Spectrum | None) -> Data:
    draws = final_draws(results)
    edges, bins = draws_in_bins(draws, *ends_of_draws(summary, draws, spectrum))
    seen = (
        "Histograms of the losses of draws, a row an entry. Their medians, from the lowest: "
        f"{_ranked({name: float(np.median(losses)) for name, losses in draws.items()})}. "
        f"{_reference(summary)}"
    )
    rows = [
        (name, float(edges[k]), float(edges[k + 1]), int(counts[k]))
        for name, counts in bins.items()
        for k in np.flatnonzero(counts)
    ]
    if spectrum is not None:
        there = [k for k, count in enumerate(spectrum.bitstrings) if count]
        first, last = spectrum.edges[there[0]], spectrum.edges[there[-1] + 1]
        most = max(there, key=lambda k: spectrum.bitstrings[k])
        seen += (
            f" Above them all {sum(spectrum.bitstrings):,} bitstrings, with losses from "
            f"{format_loss(first)} to {format_loss(last)}, most of them near "
            f"{format_loss(spectrum.edges[most])}."
        )
        edges_of = spectrum.edges
        rows += [
            ("all bitstrings", edges_of[k], edges_of[k + 1], spectrum.bitstrings[k]) for k in there
        ]
    return seen, ("entry", "loss_from", "loss_to", "count"), rows


def _ranked(losses: Mapping[str, float]) -> str:
    """Names with their losses, from the lowest: the first ones of many."""
    order = sorted(losses, key=lambda name: losses[name])
    words = [f"“{name}” {format_loss(losses[name])}" for name in order[:NAMED]]
    if len(order) > NAMED:
        words.append(f"and {len(order) - NAMED} more")
    return ", ".join(words)


def _reference(summary: Summary) -> str:
    return f"The {summary.reference.kind} is {format_loss(summary.reference.loss)}."
