"""From results to figures of merit: regret, hits, evaluations to a hit, and paired tests."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qhyper.errors import ConfigurationError
from qhyper.report.statistics import (
    Interval,
    censored_median,
    median_interval,
    paired_tests,
    wilson,
)
from qhyper.targets.target import SAME_LOSS
from qhyper.training.search import first_hits

CERTIFIED = "certified minimum"
BEST_SEEN = "best loss seen"
KINDS = ("quantum", "classical", "control")


def summarise(
    results: Sequence[Mapping[str, Any]],
    *,
    certificate: Mapping[str, Any] | None,
    no_certificate: str | None,
    data: str,
    network: str,
    loss: str,
    budget: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Results of several searches over the same seeds as one comparison, ready for JSON.

    The reference is the certified minimum, or else the best loss that any of them saw (after
    training, where no search drew anything on its way); a hit is a loss within 1e-9 of it. A
    training without draws has best losses of None, and so None for regret, hits and evaluations
    to hit. Medians over the seeds come with bootstrap intervals, shares with Wilson's. `budget` is
    what each seed could spend, evaluations alone unless told. Raises ConfigurationError if there
    are no results, names repeat, a kind is unknown, seeds differ, or a loss lies below the
    certified minimum.
    """
    _check(results)
    best = min(_seen(results))
    if certificate is None:
        reference, kind = float(best), BEST_SEEN
    else:
        reference, kind = float(certificate["minimum_loss"]), CERTIFIED
        if best < reference - SAME_LOSS:
            raise ConfigurationError(
                f"A search found the loss {best}, below the certified minimum {reference}: this "
                "certificate belongs to another objective. Certify this data and loss, or compare "
                "without a certificate."
            )
    final_losses = {result["name"]: result["final_loss"] for result in results}
    names = {
        kind: [result["name"] for result in results if result["kind"] == kind]
        for kind in ("quantum", "classical")
    }
    return {
        "data": data,
        "network": network,
        "loss": loss,
        "evaluations": max(result["evaluations"] for result in results),
        "budget": dict(budget or {"evaluations": max(r["evaluations"] for r in results)}),
        "seeds": list(results[0]["seeds"]),
        "certificate": None if certificate is None else dict(certificate),
        "no_certificate": no_certificate,
        "reference": {"loss": reference, "kind": kind},
        "generators": [_summary(result, reference) for result in results],
        "tests": paired_tests(final_losses, names["quantum"], names["classical"]),
    }


def budget_of(comparison: Mapping[str, Any]) -> dict[str, int]:
    """What each seed could spend; runs of before knew evaluations alone."""
    return comparison.get("budget") or {"evaluations": comparison["evaluations"]}


def drew(result: Mapping[str, Any]) -> bool:
    """Whether a search drew anything on its way: exact gradients do not."""
    return None not in result["best_loss"]


def _seen(results: Sequence[Mapping[str, Any]]) -> list[float]:
    """The best losses of those that drew anything, or else the losses after training."""
    best = [loss for result in results if drew(result) for loss in result["best_loss"]]
    if best:
        return best
    return [
        loss
        for result in results
        for losses in (result["final_loss"], *result["final_losses"])
        for loss in losses
    ]


def _check(results: Sequence[Mapping[str, Any]]) -> None:
    if not results:
        raise ConfigurationError("There are no results to compare.")
    for result in results:
        if result["kind"] not in KINDS:
            raise ConfigurationError(
                f"Unknown kind '{result['kind']}' of {result['name']}; known: {', '.join(KINDS)}."
            )
    names = [result["name"] for result in results]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"Each result needs a name of its own; got {', '.join(names)}.")
    if any(list(result["seeds"]) != list(results[0]["seeds"]) for result in results):
        seeds = {result["name"]: result["seeds"] for result in results}
        raise ConfigurationError(f"A comparison needs the same seeds for all; got {seeds}.")


def _summary(result: Mapping[str, Any], reference: float) -> dict[str, Any]:
    return {
        "name": result["name"],
        "kind": result["kind"],
        "description": result["description"],
        "parameters": result["parameters"],
        "seeds": len(result["seeds"]),
        "evaluations": result["evaluations"],
        "shots": result.get("shots", result["evaluations"]),  # runs of before had no others
        "circuits": result.get("circuits"),
        **{key: result.get(key) for key in ("step", "estimator", "risk", "backend")},
        **_search(result, reference),
        "final_loss": median_interval(result["final_loss"]),
        "final_risk": _median(result.get("final_risk")),
        "train_accuracy": _median(result["train_accuracy"]),
        "test_accuracy": _median(result["test_accuracy"]),
        "seconds_per_step": _seconds(result["seconds_per_step"]),
    }


def _search(result: Mapping[str, Any], reference: float) -> dict[str, Interval | None]:
    """How good the draws on the way were, and when."""
    if not drew(result):
        return dict.fromkeys(("regret", "best_loss", "hit_share", "evaluations_to_hit"))
    regret = np.asarray(result["best_loss"], dtype=np.float64) - reference
    regret[np.abs(regret) < SAME_LOSS] = 0.0
    hits = first_hits(result["improvements"], reference)
    return {
        "regret": median_interval(regret),
        "best_loss": median_interval(result["best_loss"]),
        "hit_share": wilson(sum(hit is not None for hit in hits), len(hits)),
        "evaluations_to_hit": censored_median(hits, result["evaluations"]),
    }


def _seconds(times: Sequence[float] | float | None) -> Interval | None:
    """Of the times of single steps, or of one time for all."""
    known = [] if times is None else np.ravel(times)
    return median_interval(known) if len(known) else None


def _median(values: Sequence[float | None] | None) -> Interval | None:
    known = [value for value in values or () if value is not None]
    return median_interval(known) if known else None
