"""How numbers and outcomes are said: the same words for terminal, page and figures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qhyper.report.statistics import Interval
from qhyper.report.summary import budget_of

SIGNIFICANT = 0.05
"""A pair of generators is told apart by a corrected p below this."""
COLUMNS = (
    ("parameters", "Parameters"),
    ("shots", "Shots"),
    ("circuits", "Circuits"),
    ("regret", "Regret"),
    ("hit_share", "Seeds that hit"),
    ("evaluations_to_hit", "Evaluations to hit"),
    ("final_loss", "Final mean loss"),
    ("final_risk", "Final risk"),
    ("train_accuracy", "Train accuracy"),
    ("test_accuracy", "Test accuracy"),
    ("seconds_per_step", "ms per step"),
)
TEST_COLUMNS = ("Quantum", "Classical", "Median difference", "p", "p (Holm)", "Final mean loss")
RISK_NOTE = "Entries are compared by mean loss, whatever risk they were trained for."
NONE = ("–", "")


def format_loss(value: float) -> str:
    """Four decimals tell the plateaus apart; smaller losses keep one digit, larger ones three."""
    if 0 < abs(value) < 5e-5:
        return f"{value:.0e}"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.3f}"


def format_count(value: float) -> str:
    """950, 4.52k, 131k, 1.2M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def format_regret(value: float) -> str:
    """As a loss, and 0 where there is none."""
    return "0" if value == 0 else format_loss(value)


def _share(value: float) -> str:
    return f"{100 * value:.0f}"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g}" if seconds < 1 else f"{1000 * seconds:,.0f}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def listed(names: Sequence[str]) -> str:
    """Names in quotes: one may be called "quantum", and is not the whole kind."""
    words = [f"“{name}”" for name in names]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def counts(spent: Mapping[str, int], units: Sequence[str], joined: str = " and ") -> str:
    """What is spent, unit by unit, without those of which nothing is: "64 shots in 1 circuit"."""
    words = [
        f"{spent[unit]:,} {unit.removesuffix('s') if spent[unit] == 1 else unit}"
        for unit in units
        if spent.get(unit)
    ]
    return joined.join(words)


def _interval(interval: Interval, show: Callable[[float], str]) -> str:
    low, high = interval["low"], interval["high"]
    if low is None or high is None or low == high or show(low) == show(high):
        return ""
    return f"{show(low)}–{show(high)}"


def row_cells(entry: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """One row as words: for each column the value and, in a second line, its interval or ""."""
    return {
        "parameters": (f"{entry['parameters']:,}", ""),
        "shots": (f"{entry.get('shots') or 0:,}", ""),
        "circuits": (f"{entry['circuits']:,}" if entry.get("circuits") else "–", ""),
        "regret": _median(entry["regret"], format_regret),
        "hit_share": _hits(entry["hit_share"], entry["seeds"]),
        "evaluations_to_hit": _to_hit(entry["evaluations_to_hit"], entry["evaluations"]),
        "final_loss": _median(entry["final_loss"], format_loss),
        "final_risk": _median(entry.get("final_risk"), format_loss),
        "train_accuracy": _median(entry["train_accuracy"], "{:.4f}".format),
        "test_accuracy": _median(entry["test_accuracy"], "{:.4f}".format),
        "seconds_per_step": _median(entry["seconds_per_step"], _milliseconds),
    }


def _median(interval: Interval | None, show: Callable[[float], str]) -> tuple[str, str]:
    if interval is None or interval["median"] is None:
        return NONE
    return show(interval["median"]), _interval(interval, show)


def _hits(share: Interval | None, seeds: int) -> tuple[str, str]:
    if share is None or share["value"] is None:
        return NONE
    return f"{round(share['value'] * seeds)} of {seeds}", _interval(share, _share) + "\u00a0%"


def _to_hit(interval: Interval | None, budget: int) -> tuple[str, str]:
    if interval is None:
        return NONE
    median, low, high = interval["median"], interval["low"], interval["high"]
    beyond = f"> {format_count(budget)}"
    value = beyond if median is None else format_count(median)
    if low is not None and high is None:
        return value, f"{format_count(low)} to {beyond}"
    return value, _interval(interval, format_count)


def setting_line(comparison: Mapping[str, Any]) -> str:
    """What was compared, in one line."""
    seeds, budget = len(comparison["seeds"]), budget_of(comparison)
    left = [
        [(entry.get(unit) or 0) < limit for unit, limit in budget.items()]
        for entry in comparison["generators"]
    ]
    some_less = any(map(any, left))
    in_steps = any(map(all, left))  # no limit is met, since one more step would be past it
    named = (comparison["data"], comparison["network"], comparison["loss"].replace("_", " "))
    return (
        f"{', '.join(dict.fromkeys(named))}; "  # an own objective has one name for all three
        f"{'up to ' * some_less}{counts(budget, list(budget))}"
        f"{', in whole steps,' * in_steps} for each of {seeds} "
        f"seed{'s' if seeds > 1 else ''}; {comparison['reference']['kind']} "
        f"{comparison['reference']['loss']:.6f}"
    )


def kind_words(entry: Mapping[str, Any]) -> str:
    """The kind, and where and how it was trained as far as that is not the usual way."""
    usual = {"backend": "mps", "estimator": "score-function", "risk": "expectation"}
    unusual = [entry[key] for key in usual if entry.get(key) not in (None, usual[key])]
    return " · ".join([entry["kind"], *unusual])


def other_risks(comparison: Mapping[str, Any]) -> bool:
    """Whether anything was trained for another risk than the expectation."""
    return any(entry.get("risk") not in (None, "expectation") for entry in comparison["generators"])


def columns_shown(comparison: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The columns that say something: without accuracies or steps theirs are left out."""
    optional = ("final_risk", "train_accuracy", "test_accuracy", "seconds_per_step")
    entries = comparison["generators"]
    estimators = {entry.get("estimator") for entry in entries} - {None, "score-function"}
    by_circuit = bool(estimators) or set(budget_of(comparison)) != {"evaluations"}
    return [
        (key, title)
        for key, title in COLUMNS
        if (key not in optional or any(entry.get(key) is not None for entry in entries))
        and (key not in ("shots", "circuits") or by_circuit)
    ]


def lower_kind(test: Mapping[str, Any]) -> str | None:
    """Which kind has the lower losses, or None where the test cannot tell."""
    if test["p_holm"] >= SIGNIFICANT:
        return None
    return "quantum" if test["median_difference"] < 0 else "classical"


def test_cells(test: Mapping[str, Any]) -> tuple[str, ...]:
    """One paired test as words, a cell for each of TEST_COLUMNS."""
    difference = f"{test['median_difference']:+.4f}".replace("-", "−")
    lower = lower_kind(test)
    return (
        test["quantum"],
        test["classical"],
        difference,
        _p(test["p"]),
        _p(test["p_holm"]),
        "not told apart" if lower is None else f"{test[lower]} is lower",
    )


def too_few_seeds(comparison: Mapping[str, Any]) -> str:
    """Says so where no outcome could pass the corrected tests: 2 / 2^seeds is the smallest p."""
    tests, seeds = comparison["tests"], len(comparison["seeds"])
    if not tests or len(tests) * 2.0 ** (1 - seeds) < SIGNIFICANT:
        return ""
    return f"{seeds} seeds are too few for any outcome to tell a pair apart"
