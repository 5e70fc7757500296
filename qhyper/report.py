"""What a comparison found: `summarise` makes the numbers, the rest shows them.

`table` and `tests_table` are for the terminal, `figures` gives SVG, and `page` puts everything on
one HTML page that needs nothing else. All take the plain dicts that `summary.json` holds; the same
words and numbers reach terminal and page. Matplotlib, rich and jinja2 are imported where used.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qhyper.errors import ConfigurationError
from qhyper.search import SAME_LOSS
from qhyper.statistics import Figure, censored_median, median_interval, paired_tests, wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from rich.table import Table

CERTIFIED = "certified minimum"
BEST_SEEN = "best loss seen"
SIGNIFICANT = 0.05
POINTS_OF_A_CURVE = 160

# -- numbers --------------------------------------------------------------------------------------


def summarise(
    results: Sequence[Mapping[str, Any]],
    *,
    certificate: Mapping[str, Any] | None,
    no_certificate: str | None,
    data: str,
    network: str,
    loss: str,
) -> dict[str, Any]:
    """Results of several searches over the same seeds as one comparison, ready for JSON.

    The reference is the certified minimum, or else the best loss that any of them saw; a hit is a
    loss within 1e-9 of it. Medians over the seeds come with bootstrap intervals, shares with
    Wilson's. Raises ConfigurationError if there are no results, names repeat, seeds differ, or a
    loss lies below the certified minimum.
    """
    _check(results)
    best = min(min(result["best_loss"]) for result in results)
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
        "seeds": list(results[0]["seeds"]),
        "certificate": None if certificate is None else dict(certificate),
        "no_certificate": no_certificate,
        "reference": {"loss": reference, "kind": kind},
        "generators": [_summary(result, reference) for result in results],
        "tests": paired_tests(final_losses, names["quantum"], names["classical"]),
    }


def _check(results: Sequence[Mapping[str, Any]]) -> None:
    if not results:
        raise ConfigurationError("There are no results to compare.")
    names = [result["name"] for result in results]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"Each result needs a name of its own; got {', '.join(names)}.")
    if any(list(result["seeds"]) != list(results[0]["seeds"]) for result in results):
        seeds = {result["name"]: result["seeds"] for result in results}
        raise ConfigurationError(f"A comparison needs the same seeds for all; got {seeds}.")


def _summary(result: Mapping[str, Any], reference: float) -> dict[str, Any]:
    regret = np.asarray(result["best_loss"], dtype=np.float64) - reference
    regret[np.abs(regret) < SAME_LOSS] = 0.0
    hits = _first_hits(result, reference)
    return {
        "name": result["name"],
        "kind": result["kind"],
        "description": result["description"],
        "parameters": result["parameters"],
        "seeds": len(result["seeds"]),
        "evaluations": result["evaluations"],
        "regret": median_interval(regret),
        "best_loss": median_interval(result["best_loss"]),
        "hit_share": wilson(sum(hit is not None for hit in hits), len(hits)),
        "evaluations_to_hit": censored_median(hits, result["evaluations"]),
        "final_loss": median_interval(result["final_loss"]),
        "train_accuracy": _accuracy(result["train_accuracy"]),
        "test_accuracy": _accuracy(result["test_accuracy"]),
        "seconds_per_step": result["seconds_per_step"],
    }


def _first_hits(result: Mapping[str, Any], reference: float) -> list[int | None]:
    """For each seed, the evaluations at its first loss within 1e-9 of the reference."""
    return [
        next((at for at, loss in found if loss <= reference + SAME_LOSS), None)
        for found in result["improvements"]
    ]


def _accuracy(values: Sequence[float | None] | None) -> Figure | None:
    known = [value for value in values or () if value is not None]
    return median_interval(known) if known else None


# -- words ----------------------------------------------------------------------------------------


def _loss(value: float) -> str:
    """Four decimals tell the plateaus apart; smaller ones keep one digit."""
    return f"{value:.0e}" if 0 < abs(value) < 5e-5 else f"{value:.4f}"


def _regret(value: float) -> str:
    return "0" if value == 0 else _loss(value)


def _share(value: float) -> str:
    return f"{100 * value:.0f}"


def _count(value: float) -> str:
    """950, 4.52k, 131k, 1.2M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _interval(figure: Mapping[str, float | None], show: Any) -> str:
    low, high = figure["low"], figure["high"]
    if low is None or high is None or low == high or show(low) == show(high):
        return ""
    return f"{show(low)}–{show(high)}"


COLUMNS = (
    ("parameters", "Parameters"),
    ("regret", "Regret"),
    ("hit_share", "Seeds that hit"),
    ("evaluations_to_hit", "Evaluations to hit"),
    ("final_loss", "Final mean loss"),
    ("train_accuracy", "Train accuracy"),
    ("test_accuracy", "Test accuracy"),
    ("seconds_per_step", "ms per step"),
)


def _cells(entry: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """One row as words: for each column the value and, in a second line, its interval or ""."""
    hits = round(entry["hit_share"]["value"] * entry["seeds"])
    seconds = entry["seconds_per_step"]
    cells = {
        "parameters": (f"{entry['parameters']:,}", ""),
        "regret": (_regret(entry["regret"]["median"]), _interval(entry["regret"], _regret)),
        "hit_share": (
            f"{hits} of {entry['seeds']}",
            _interval(entry["hit_share"], _share) + " %",
        ),
        "evaluations_to_hit": _to_hit(entry["evaluations_to_hit"], entry["evaluations"]),
        "final_loss": (
            _loss(entry["final_loss"]["median"]),
            _interval(entry["final_loss"], _loss),
        ),
        "seconds_per_step": ("–" if seconds is None else f"{1000 * seconds:.3g}", ""),
    }
    for key in ("train_accuracy", "test_accuracy"):
        figure = entry[key]
        cells[key] = (
            ("–", "")
            if figure is None
            else (f"{figure['median']:.4f}", _interval(figure, "{:.4f}".format))
        )
    return cells


def _to_hit(figure: Figure, budget: int) -> tuple[str, str]:
    never = f"> {_count(budget)}"
    median, low, high = (
        never if figure[key] is None else _count(figure[key]) for key in ("median", "low", "high")
    )
    return median, "" if low == high else f"{low}–{high}".replace("–>", " to >")


def _setting(comparison: Mapping[str, Any]) -> str:
    """What was compared, in one line."""
    seeds = len(comparison["seeds"])
    return (
        f"{comparison['data']}, {comparison['network']}, {comparison['loss'].replace('_', ' ')}; "
        f"{comparison['evaluations']:,} evaluations for each of {seeds} "
        f"seed{'s' if seeds > 1 else ''}; {comparison['reference']['kind']} "
        f"{comparison['reference']['loss']:.6f}"
    )


def _columns_shown(comparison: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The columns that say something: without accuracies or steps theirs are left out."""
    optional = ("train_accuracy", "test_accuracy", "seconds_per_step")
    return [
        (key, title)
        for key, title in COLUMNS
        if key not in optional or any(entry[key] is not None for entry in comparison["generators"])
    ]


def _verdict(test: Mapping[str, Any]) -> str:
    if test["p_holm"] >= SIGNIFICANT:
        return "not told apart"
    return f"{test['quantum' if test['median_difference'] < 0 else 'classical']} is lower"


def _test_cells(test: Mapping[str, Any]) -> tuple[str, ...]:
    difference = f"{test['median_difference']:+.4f}".replace("-", "−")
    return (
        test["quantum"],
        test["classical"],
        difference,
        _p(test["p"]),
        _p(test["p_holm"]),
        _verdict(test),
    )


TEST_COLUMNS = ("Quantum", "Classical", "Median difference", "p", "p (Holm)", "Final mean loss")

# -- the answer -----------------------------------------------------------------------------------


def _answer(comparison: Mapping[str, Any]) -> str:
    """What was found, in one paragraph written from the numbers."""
    sentences = [_who_hits(comparison), _how_far(comparison)]
    if comparison["tests"]:
        sentences.append(_what_tests_say(comparison["tests"]))
    certificate = comparison["certificate"]
    if certificate is not None:
        sentences.append(
            "The optimum is proven: all "
            f"{certificate['configurations']:,} weight settings are accounted for."
        )
    else:
        reason = comparison["no_certificate"]
        sentences.append(
            "Whether a better network exists is not known"
            + (f": {reason.rstrip('.')}." if reason else ".")
        )
    return " ".join(sentence for sentence in sentences if sentence)


def _goal(comparison: Mapping[str, Any]) -> str:
    reference = comparison["reference"]
    goal = "the proven optimum" if reference["kind"] == CERTIFIED else "the best loss that was seen"
    return f"{goal} ({_loss(reference['loss'])})"


def _who_hits(comparison: Mapping[str, Any]) -> str:
    entries = comparison["generators"]
    share = max(entry["hit_share"]["value"] for entry in entries)
    budget = f"within {comparison['evaluations']:,} evaluations"
    if share == 0:
        return (
            f"No seed of {_listed([e['name'] for e in entries])} reached {_goal(comparison)} "
            + (f"{budget}.")
        )
    first = [entry for entry in entries if entry["hit_share"]["value"] == share]
    hits, interval = _cells(first[0])["hit_share"]
    reached = f"{hits} seeds reached {_goal(comparison)} {budget}"
    if len(entries) == 1:
        return f"{first[0]['name']}: {reached} (95 % interval {interval})."
    if len(first) > 1:
        names = _listed([entry["name"] for entry in first])
        return f"{names} find the best network equally often: {reached} (95 % interval {interval})."
    leader = first[0]
    answer = (
        f"{leader['name']} ({leader['kind']}) finds the best network most often: {reached} "
        f"(95 % interval {interval})."
    )
    near = [
        entry["name"]
        for entry in entries
        if entry is not leader and entry["hit_share"]["high"] >= leader["hit_share"]["low"]
    ]
    if near:
        answer += f" That interval overlaps with {_listed(near)}."
    return answer


def _how_far(comparison: Mapping[str, Any]) -> str:
    """Median regrets, with those that read the same told together."""
    groups: dict[str, list[str]] = {}
    for entry in sorted(comparison["generators"], key=lambda entry: entry["regret"]["median"]):
        groups.setdefault(_regret(entry["regret"]["median"]), []).append(entry["name"])
    what = "at it" if len(comparison["seeds"]) == 1 else "at it in the median over the seeds"
    parts = [
        f"{_listed(names)} {what if distance == '0' else distance + ' above'}"
        for distance, names in groups.items()
    ]
    lead = (
        "The best network of a run"
        if len(comparison["seeds"]) == 1
        else "The median run's best network"
    )
    parts = [
        f"{'at it' if distance == '0' else f'{distance} above it'} for {_listed(names)}"
        for distance, names in groups.items()
    ]
    return f"{lead} lies {'; '.join(parts)}."


def _what_tests_say(tests: Sequence[Mapping[str, Any]]) -> str:
    won = {
        kind: sum(_verdict(test) == f"{test[kind]} is lower" for test in tests)
        for kind in ("quantum", "classical")
    }
    pairs = "the one pair" if len(tests) == 1 else f"{len(tests)} pairs"
    return (
        f"By final mean loss, of {pairs} of a quantum and a classical generator the quantum one is "
        f"lower in {won['quantum']}, the classical one in {won['classical']}, and "
        f"{len(tests) - sum(won.values())} cannot be told apart (paired tests, corrected)."
    )
