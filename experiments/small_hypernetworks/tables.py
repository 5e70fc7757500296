"""The tables of the study."""

from collections.abc import Mapping, Sequence
from math import ceil, log2
from typing import Any

import numpy as np

from experiments.markdown import table
from qhyper.targets.target import SAME_LOSS

Results = Mapping[str, Any]

TITLES = {"toy": "toy", "mnist": "2×2 MNIST"}
DATA = tuple(TITLES)
BINARY = {
    "tied": "tied at random",
    "tied-signs": "tied at random, with random signs",
    "codes": "random code over GF(2)",
    "linear": "sign(M z)",
    "two-layers": "sign(M₂ sign(M₁ z)), 16 hidden",
}
"""Families of which there is a map of every size."""
OTHERS = {
    "linear-large": "sign(M z), large",
    "fewer-units": "fewer hidden units, 6 bits each",
    "unit-layer": "by unit: layer learned, embeddings fixed",
    "unit-embeddings": "by unit: embeddings learned, layer fixed",
    "unit-both": "by unit: both learned",
    "real": "sign(A t + b), t real",
}
SIZES = (1, 2, 4, 8, 16)


def tables(results: Results) -> str:
    """The target, the least bits, regret and accuracy against size, and structures."""
    shown = [_target(results), _least(results)]
    shown += [_some_sizes(results, data) for data in DATA]
    shown += [_all_sizes(results, data) for data in DATA]
    shown += [_others(results), _structures(results)]
    return "\n\n".join(shown)


def families(results: Results, data: str) -> dict[str, Any]:
    """What every family came to on a data set, by name."""
    return {**results[f"{data}-others"], **results[f"{data}-long"]}


def least_bits(losses: Sequence[float], sizes: Sequence[int], minimum: float) -> int | None:
    """The least size whose loss is the minimum; None if no size reaches it."""
    reached = [k for k, loss in zip(sizes, losses, strict=True) if loss <= minimum + SAME_LOSS]
    return min(reached, default=None)


def universal_bits(results: Results) -> tuple[int, int]:
    """Bits that a map needs, and that suffice, to reach the optimum of every data set.

    Every function of the network is the only optimum of some labels of the images (those that
    have its own probabilities), and functions of different losses are different.
    """
    seen = max(families(results, data)["target"]["losses"] for data in DATA)
    return ceil(log2(seen)), ceil(log2(families(results, DATA[0])["target"]["functions"]))


def regrets(results: Results, name: str, data: str) -> np.ndarray:
    """Of the best settings of a family, [seed, size]."""
    found = np.array(families(results, data)[name]["loss"])
    return np.maximum(found - families(results, data)["target"]["minimum"], 0)


def _regret(value: float) -> str:
    return "0" if value <= SAME_LOSS else f"{value:.2g}" if value < 0.1 else f"{value:.3f}"


def _range(values: Sequence[float] | np.ndarray) -> str:
    """The median, and the least and the largest value if they differ."""
    median, low, high = np.median(values), np.min(values), np.max(values)
    if high - low <= SAME_LOSS:
        return _regret(median)
    return f"{_regret(median)} ({_regret(low)} to {_regret(high)})"


def _accuracy(values: Sequence[float] | np.ndarray) -> str:
    return f"{np.median(values):.4f}"


def _target(results: Results) -> str:
    rows = []
    for data in DATA:
        known = families(results, data)["target"]
        half = next(k for k, chance in enumerate(known["chance"]) if chance >= 0.5)
        rows.append(
            [
                TITLES[data], f"{known['minimum']:.6f}", f"{known['accuracy']:.4f}",
                f"{known['optimal_strings']:,}", f"{known['functions']:,}",
                f"{known['losses']:,}", str(half),
            ]
        )  # fmt: skip
    head = ["data", "least loss", "its test accuracy", "strings that reach it", "functions",
            "different losses", "bits of random strings: chance ½"]  # fmt: skip
    least, enough = universal_bits(results)
    note = (
        f"A map that reaches the optimum of *every* data set needs {least} bits or more, and "
        f"{enough} suffice. A map made for one data set needs none: it can be its optimum."
    )
    return table("The target", head, rows) + f"\n\n{note}"


def _least(results: Results) -> str:
    rows = []
    for name, title in {**BINARY, **OTHERS}.items():
        if name == "real" or name not in families(results, DATA[0]):
            continue
        cells: list[str] = []
        for data in DATA:
            found = families(results, data)[name]
            minimum = families(results, data)["target"]["minimum"]
            least = [least_bits(of, found["sizes"], minimum) for of in found["loss"]]
            reached = sorted(k for k in least if k is not None)
            middle = float(np.median([k or np.inf for k in least]))
            cells += [
                f"{len(reached)} of {len(least)}", str(reached[0]) if reached else "–",
                f"{middle:g}" if np.isfinite(middle) else f"above {max(found['sizes'])}",
            ]  # fmt: skip
        rows.append([title, str(max(families(results, DATA[0])[name]["sizes"])), *cells])
    head = ["map, fixed before the data", "bits tried, at most"]
    for data in DATA:
        head += [f"{TITLES[data]}: seeds that reach 0", "least", "median"]
    return table("The least number of bits that reaches the target's optimum", head, rows)


def _some_sizes(results: Results, data: str) -> str:
    known, rows = families(results, data)["target"], []
    rows.append(
        ["2^k random strings (mean)", *(_regret(known["mean_regret"][k]) for k in SIZES), "–"]
    )
    for name, title in BINARY.items():
        found = families(results, data)[name]
        at = [found["sizes"].index(k) for k in SIZES if k in found["sizes"]]
        cells = [_range(regrets(results, name, data)[:, i]) for i in at]
        right = ", ".join(_accuracy(np.array(found["accuracy"])[:, i]) for i in at)
        rows.append([title, *cells, *["–"] * (len(SIZES) - len(cells)), right])
    head = ["map", *(f"{k} bit{'s' * (k > 1)}" for k in SIZES), "test accuracy of each, median"]
    title = f"{TITLES[data]}: regret of the best setting, median (least to largest)"
    return table(title, head, rows)


def _all_sizes(results: Results, data: str) -> str:
    known = families(results, data)["target"]
    medians = {
        name: dict(
            zip(
                families(results, data)[name]["sizes"],
                np.median(regrets(results, name, data), axis=0),
                strict=True,
            )
        )
        for name in BINARY
    }
    sizes = sorted(set().union(*medians.values()))
    rows = [
        [
            str(k), _regret(known["mean_regret"][k]),
            *(_regret(found[k]) if k in found else "–" for found in medians.values()),
        ]
        for k in sizes
    ]  # fmt: skip
    head = ["bits", "random strings (mean)", *BINARY.values()]
    return table(f"{TITLES[data]}: median regret of every size", head, rows)


def _others(results: Results) -> str:
    rows = []
    for name, title in OTHERS.items():
        if name not in families(results, DATA[0]):
            continue
        for i, k in enumerate(families(results, DATA[0])[name]["sizes"]):
            cells: list[str] = []
            for data in DATA:
                right = np.array(families(results, data)[name]["accuracy"])[:, i]
                cells += [_range(regrets(results, name, data)[:, i]), _accuracy(right)]
            rows.append([title, str(k), *cells])
    return table("Other maps", ["map", "parameters", *_pairs()], rows)


def _structures(results: Results) -> str:
    names = families(results, DATA[0])["structure"]["names"]
    rows = []
    for i in np.argsort(families(results, DATA[0])["structure"]["sizes"], kind="stable"):
        cells: list[str] = []
        for data in DATA:
            found = families(results, data)["structure"]
            cells += [_regret(regrets(results, "structure", data)[0, i])]
            cells += [f"{found['accuracy'][0][i]:.4f}"]
        rows.append([names[i], str(found["sizes"][i]), *cells])
    return table("Tied by structure: one bit for", ["tied", "bits", *_pairs()], rows)


def _pairs() -> list[str]:
    return [f"{TITLES[data]}: {what}" for data in DATA for what in ("regret", "test accuracy")]
