"""What the figures of a comparison show, in numbers: curves, bins and times that are drawn.

Tables and words of the same numbers are in `qhyper.report.told`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from qhyper.report.drawing import BEFORE_LOWEST, loss_limits
from qhyper.report.results import Result, Spectrum, first_hits
from qhyper.report.summary import Summary

POINTS_OF_A_CURVE = 160
BINS = 180

UNITS = {
    "evaluations": "evaluations of the objective",
    "shots": "shots, the bitstrings drawn",
    "circuits": "circuits, the parameter settings sampled or simulated",
    "rows": "rows, each of the data that a network was evaluated on",
}
"""What the figure of learning counts along, in words for its caption."""

Floats = NDArray[np.float64]


def unit_of(summary: Summary) -> str:
    """What the figure of learning counts along: the first unit that the budget limits.

    It is circuits where they are limited and an entry has the exact gradient, which draws nothing.
    """
    limited = [unit for unit in UNITS if unit in summary.budget]
    exact = any(entry.estimator == "exact" for entry in summary.generators)
    return "circuits" if exact and "circuits" in limited else limited[0]


def learning_curves(
    summary: Summary, results: Sequence[Result]
) -> dict[str, tuple[Floats, Floats]]:
    """Of each entry with a curve what it had spent [point], and quartiles [3, point] of its loss.

    The loss is the lowest mean of the draws so far, of a control its mean at that time.
    """
    curves = {}
    for result in results:
        spent = np.asarray(getattr(result.curve, unit_of(summary)), dtype=np.float64)
        if spent.size:
            losses = np.asarray(result.curve.mean_loss, dtype=np.float64)
            keep = np.unique(np.linspace(0, len(spent) - 1, POINTS_OF_A_CURVE).astype(int))
            # Restarts, inside the budget, would draw teeth. Controls have none: the lowest of
            # their noisy means would fall, as if random search learned.
            if result.kind != "control":
                losses = np.minimum.accumulate(losses, axis=1)
            quartiles = np.quantile(losses[:, keep], [0.25, 0.5, 0.75], axis=0)
            curves[result.name] = spent[keep], quartiles
    return curves


def hit_times(summary: Summary, results: Sequence[Result]) -> dict[str, list[int]]:
    """Of each entry that can hit, the evaluations at which its seeds did, in order."""
    return {
        result.name: sorted(
            at for at in first_hits(result.improvements, summary.reference.loss) if at is not None
        )
        for result in results
        if result.best_by_training_loss
    }


def uniform_share(summary: Summary, evaluations: Floats) -> Floats | None:
    """The exact chance that uniform search has hit by then; None where it is not known."""
    chance = (summary.certificate or {}).get("uniform_hit_probability")
    if chance is None:
        return None
    with np.errstate(divide="ignore"):  # every draw may be optimal
        return -np.expm1(evaluations * np.log1p(-chance))


def best_curves(results: Sequence[Result]) -> tuple[Floats, dict[str, Floats]]:
    """Evaluations [point] and, of each entry, the median over the seeds of its best loss so far."""
    results = [
        result for result in results if result.best_by_training_loss and all(result.improvements)
    ]
    if not results:
        return np.empty(0), {}
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
    return grid.astype(np.float64), medians


def final_draws(results: Sequence[Result]) -> dict[str, Floats]:
    """Of each entry that has any, the losses of its final draws, all seeds together."""
    return {
        result.name: np.concatenate([np.ravel(losses) for losses in result.final_losses])
        for result in results
        if any(len(losses) for losses in result.final_losses)
    }


def ends_of_draws(
    summary: Summary, draws: Mapping[str, Floats], spectrum: Spectrum | None
) -> tuple[float, float]:
    """The lowest and highest loss that the figure of draws has to show."""
    low = min(summary.reference.loss, *(float(losses.min()) for losses in draws.values()))
    high = max(float(losses.max()) for losses in draws.values())
    if spectrum is not None:
        filled = np.flatnonzero(np.asarray(spectrum.bitstrings, dtype=np.float64))
        high = max(high, float(spectrum.edges[filled[-1] + 1]))
    return low, high


def draws_in_bins(
    draws: Mapping[str, Floats], low: float, high: float
) -> tuple[Floats, dict[str, NDArray[np.int64]]]:
    """Edges [bin + 1] over the axis of losses, even on it, and the draws in each bin by entry."""
    logarithmic, ends = loss_limits(low, high, below=BEFORE_LOWEST["x"])
    edges = (np.geomspace if logarithmic else np.linspace)(*ends, BINS + 1)
    return edges, {name: np.histogram(losses, edges)[0] for name, losses in draws.items()}
