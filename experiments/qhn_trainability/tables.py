"""Tables of how derivatives fall, and the laws that fit best."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from experiments.markdown import table
from experiments.qhn_trainability.settings import STARTS

Results = Mapping[str, Any]

COSTS = {
    "mean": "mean of the weights",
    "neighbours": "mean product of neighbours",
    "string": "one string",
    "perceptron": "loss of the perceptron",
}


VANISHED = -2900.0
"""A log2 below this stands for 0."""


def tables(results: Results) -> str:
    """All tables, in Markdown."""
    falls = [_falls(results, cost) for cost in COSTS]
    return "\n\n".join([*falls, _laws(results), _largest(results)])


def qubits(results: Results) -> list[int]:
    """The numbers of qubits of a run, small ones first."""
    return sorted({int(name.split("-")[-2]) for name in results})


def sublayers(results: Results) -> list[int]:
    """The depths of a run, shallow ones first."""
    return sorted({int(name.split("-")[-1]) for name in results})


def law(n: Sequence[int], log2: Sequence[float]) -> dict[str, float]:
    """Least squares of log2 y = a + power · log2 n, and of log2 y = a - rate · n.

    With the root mean squares of what is left, in powers of two.
    """
    found = {}
    for name, x in (("power", np.log2(n)), ("rate", -np.array(n, float))):
        slope, offset = np.polyfit(x, log2, 1)
        left = np.array(log2) - offset - slope * x
        found |= {name: float(slope), f"{name}_left": float(np.sqrt((left**2).mean()))}
    return found


def _series(results: Results, cost: str, start: str, depth: int, what: str) -> list[float]:
    """log2 of a quantity against the qubits."""
    return [results[f"{start}-{n}-{depth}"][cost][what]["log2"] for n in qubits(results)]


def _rows(results: Results) -> Iterator[tuple[str, int]]:
    for start in STARTS:
        for depth in sublayers(results):
            yield start, depth


def _falls(results: Results, cost: str) -> str:
    rows = [
        (start, str(depth), *map(_number, series), _law(qubits(results), series))
        for start, depth in _rows(results)
        for series in [_series(results, cost, start, depth, "mean_square")]
    ]
    head = ("start", "sublayers", *(f"{n} qubits" for n in qubits(results)), "best fit")
    title = f"Mean squared derivative of the {COSTS[cost]}, by qubits"
    return table(title, head, rows)


def _number(log2: float) -> str:
    """2^log2 with two digits, however small."""
    if log2 < VANISHED:
        return "0"
    return f"{Decimal(2) ** Decimal(log2):.1e}"


def _law(n: Sequence[int], log2: Sequence[float]) -> str:
    """The law that fits best, with what is left in powers of two."""
    if min(log2) < VANISHED:
        return "–"
    fit = law(n, log2)
    if fit["power_left"] <= fit["rate_left"]:
        return f"n^{fit['power']:.2f} ({fit['power_left']:.2f})"
    return f"2^{-fit['rate']:.3f}n ({fit['rate_left']:.2f})"


def _laws(results: Results) -> str:
    n, rows = qubits(results), []
    for cost, what in COSTS.items():
        for start, depth in _rows(results):
            medians = [_median(results[f"{start}-{k}-{depth}"][cost]) for k in n]
            rows.append((
                what, start, str(depth),
                _law(n, _series(results, cost, start, depth, "mean_square")), _law(n, medians),
                _law(n, _series(results, cost, start, depth, "variance")),
                _law(n, _series(results, cost, start, depth, "middle")),
            ))  # fmt: skip
    head = (
        "cost", "start", "sublayers", "mean square", "its median over starts", "variance",
        "variance, Ry in the middle",
    )  # fmt: skip
    title = "How they fall with n: powers or halvings, which fits better (root mean square left)"
    return table(title, head, rows, words=2)


def _median(found: Mapping[str, Any]) -> float:
    return float(np.median(found["by_start"]))


def _largest(results: Results) -> str:
    n, rows = max(qubits(results)), []
    for cost, what in COSTS.items():
        for start, depth in _rows(results):
            found = results[f"{start}-{n}-{depth}"][cost]
            square, variance = found["mean_square"], found["variance"]
            rows.append((
                what, start, str(depth), _value(found["value"], cost),
                *(f"{_number(x['log2'])} ({_number(x['low'])} to {_number(x['high'])})"
                  for x in (square, variance)),
                _number(found["middle"]["log2"]), _number(_median(found)),
                f"{share_of_largest(found):.2f}",
            ))  # fmt: skip
    head = (
        "cost", "start", "sublayers", "⟨C⟩ ± sd over starts", "mean squared derivative",
        "variance", "variance, Ry in the middle", "median over starts of the mean square",
        "share of the largest start",
    )  # fmt: skip
    return table(f"At {n} qubits, with 95 % intervals", head, rows, words=2)


def _value(value: Mapping[str, float], cost: str) -> str:
    """Mean ± sd, without what is rounding."""
    mean, sd = value["mean"], value["sd"]
    if cost == "string":
        sd = sd if sd > 1e-9 * mean else 0.0
    else:
        mean, sd = round(mean, 12) + 0.0, round(sd, 12)
    return f"{mean:.2g} ± {sd:.2g}"


def share_of_largest(found: Mapping[str, Any]) -> float:
    """Of the sum of the squares, the share of the start that has most of it."""
    squares = np.exp2(np.array(found["by_start"]) - max(found["by_start"]))
    return float(1 / squares.sum())


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    found, largest = {}, max(qubits(results))
    for cost in COSTS:
        for start, depth in _rows(results):
            name = f"{cost}-{start}-{depth}"
            fit = law(qubits(results), _series(results, cost, start, depth, "mean_square"))
            found[f"{name}-power"], found[f"{name}-rate"] = fit["power"], fit["rate"]
            at = results[f"{start}-{largest}-{depth}"][cost]
            found[f"{name}-log2"] = at["mean_square"]["log2"]
            found[f"{name}-value"] = at["value"]["mean"]
    return found
