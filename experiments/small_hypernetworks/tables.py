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
    "tied-signs": "tied, with random signs",
    "codes": "random code over GF(2)",
    "linear": "sign(M z)",
    "two-layers": "sign(M₂ M₁ z), 16 linear units",
    "two-sign-layers": "sign(M₂ sign(M₁ z)), 16 signs",
}
"""Families of which there are maps of every size."""
OTHERS = {
    "fewer-units": "fewer hidden units, 6 bits each",
    "unit-layer": "by unit: layer learned, embeddings fixed",
    "unit-embeddings": "by unit: embeddings learned, layer fixed",
    "unit-both": "by unit: both learned",
    "real": "sign(A t + b), t real",
}
SIZES = (1, 2, 4, 8, 16)
FEW = 3
"""Maps that are too few to tell a half from."""
FIRST = 14
"""Bits from which on the shares that reach the optimum are shown: of fewer they are about 0."""


def tables(results: Results) -> str:
    """The target, who reaches its optimum, regret and accuracy against size, and structures."""
    shown = [_target(results), *(_reach(results, data) for data in DATA)]
    shown += [_some_sizes(results, data) for data in DATA]
    shown += [_all_sizes(results, data) for data in DATA]
    shown += [_strings(results), _others(results), _structures(results)]
    return "\n\n".join(shown)


def families(results: Results, data: str) -> dict[str, Any]:
    """What every family came to on a data set, by name."""
    return {**results[f"{data}-others"], **results[f"{data}-long"]}


def reached(results: Results, name: str, data: str) -> dict[int, tuple[int, int]]:
    """How many of how many maps reach the optimum, by size: of many maps where there are many."""
    found = {
        k: (int((regret <= SAME_LOSS).sum()), len(regret))
        for k, regret in zip(
            families(results, data)[name]["sizes"], regrets(results, name, data), strict=True
        )
    }
    many = families(results, data)["reach"]
    if name in many:
        n = many["maps"]
        more = zip(many["sizes"], many[name], strict=True)
        found |= {k: (round(share * n), n) for k, share in more}
    return found


def universal_bits(results: Results) -> tuple[int, int]:
    """Bits that a map needs, and that suffice, to reach the optimum of every data set.

    Every function of the network is the only optimum of some labels of the images (those that
    have its own probabilities), and functions of different losses are different.
    """
    seen = max(families(results, data)["target"]["losses"] for data in DATA)
    return ceil(log2(seen)), ceil(log2(families(results, DATA[0])["target"]["functions"]))


def half_reach(shares: Mapping[int, tuple[int, int]]) -> tuple[int | None, int]:
    """The first size of which half of the maps reach the optimum, if any; and the largest size.

    Of what `reached` gives; sizes of which there are few maps are left out, if others have more.
    """
    few = FEW if max(n for _, n in shares.values()) > FEW else 0
    sizes = {k: 2 * some >= n for k, (some, n) in shares.items() if n > few}
    return min((k for k, half in sizes.items() if half), default=None), max(sizes)


def regrets(results: Results, name: str, data: str) -> list[np.ndarray]:
    """Of the best settings of a family's maps, [size][map]."""
    minimum = families(results, data)["target"]["minimum"]
    return [np.maximum(np.array(of) - minimum, 0) for of in families(results, data)[name]["loss"]]


def medians(results: Results, name: str, data: str) -> dict[int, float]:
    """The median regret of a family's maps, by size."""
    found = regrets(results, name, data)
    sizes = families(results, data)[name]["sizes"]
    return {k: float(np.median(regret)) for k, regret in zip(sizes, found, strict=True)}


def _regret(value: float) -> str:
    return "0" if value <= SAME_LOSS else f"{value:.2g}" if value < 0.1 else f"{value:.3f}"


def _range(values: Sequence[float] | np.ndarray) -> str:
    """The median, and the least and the largest value if they differ."""
    median, low, high = np.median(values), np.min(values), np.max(values)
    if high - low <= SAME_LOSS:
        return _regret(median)
    return f"{_regret(median)} ({_regret(low)} to {_regret(high)})"


def _accuracy(values: Sequence[float]) -> str:
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


def _reach(results: Results, data: str) -> str:
    chance = families(results, data)["target"]["chance"]
    shares = {name: reached(results, name, data) for name in BINARY}
    half = ["half", str(next(k for k, share in enumerate(chance) if share >= 0.5))]
    for of in shares.values():
        first, tried = half_reach(of)
        half.append(f"above {tried}" if first is None else str(first))
    rows = [
        [str(k), f"{chance[k]:.3f}", *(_share(of.get(k)) for of in shares.values())]
        for k in sorted(set().union(*shares.values()))
        if k >= FIRST
    ]
    title = f"{TITLES[data]}: share of single maps that reach the target's optimum"
    return table(title, ["bits", "random strings (chance)", *BINARY.values()], [*rows, half])


def _share(some_of: tuple[int, int] | None) -> str:
    if some_of is None:
        return "–"
    some, n = some_of
    return f"{some} of {n}" if n < 100 else f"{some / n:.3f}"


def _some_sizes(results: Results, data: str) -> str:
    known, rows = families(results, data)["target"], []
    rows.append(
        ["2^k random strings (mean)", *(_regret(known["mean_regret"][k]) for k in SIZES), "–"]
    )
    for name, title in BINARY.items():
        found = families(results, data)[name]
        at = [found["sizes"].index(k) for k in SIZES if k in found["sizes"]]
        cells = [_range(regrets(results, name, data)[i]) for i in at]
        right = ", ".join(_accuracy(found["accuracy"][i]) for i in at)
        rows.append([title, *cells, *["–"] * (len(SIZES) - len(cells)), right])
    head = ["map", *(f"{k} bit{'s' * (k > 1)}" for k in SIZES), "test accuracy of each, median"]
    title = f"{TITLES[data]}: regret of the best setting, median (least to largest)"
    return table(title, head, rows)


def _all_sizes(results: Results, data: str) -> str:
    known = families(results, data)["target"]
    middle = {name: medians(results, name, data) for name in BINARY}
    rows = [
        [
            str(k), _regret(known["mean_regret"][k]),
            *(_regret(found[k]) if k in found else "–" for found in middle.values()),
        ]
        for k in sorted(set().union(*middle.values()))
    ]  # fmt: skip
    head = ["bits", "random strings (mean)", *BINARY.values()]
    return table(f"{TITLES[data]}: median regret of every size", head, rows)


def _strings(results: Results) -> str:
    found = results["strings"]
    names = [name for name in BINARY if name in found]
    rows = [
        [str(k), f"{2**k:,}", *(f"{found[name][i]:,.0f}" for name in names)]
        for i, k in enumerate(found["sizes"])
    ]
    head = ["latent bits", "settings", *(BINARY[name] for name in names)]
    return table("Different strings that a fixed generator reaches, median of maps", head, rows)


def _others(results: Results) -> str:
    rows = []
    for name, title in OTHERS.items():
        found = {data: families(results, data)[name] for data in DATA}
        for i, k in enumerate(found[DATA[0]]["sizes"]):
            cells: list[str] = []
            for data in DATA:
                regret = regrets(results, name, data)[i]
                cells += [_range(regret), f"{(regret <= SAME_LOSS).sum():,}"]
                cells += [_accuracy(found[data]["accuracy"][i])]
            rows.append([title, str(k), f"{len(found[DATA[0]]['loss'][i]):,}", *cells])
    head = ["map", "parameters", "maps", *_columns("regret", "maps that reach 0", "test accuracy")]
    return table("Other maps", head, rows)


def _structures(results: Results) -> str:
    names = families(results, DATA[0])["structure"]["names"]
    sizes = families(results, DATA[0])["structure"]["sizes"]
    rows = []
    for i in np.argsort(sizes, kind="stable"):
        cells: list[str] = []
        for data in DATA:
            found = families(results, data)["structure"]
            cells.append(_regret(regrets(results, "structure", data)[i][0]))
            cells.append(_regret(medians(results, "tied", data)[sizes[i]]))
            cells.append(_accuracy(found["accuracy"][i]))
        rows.append([names[i], str(sizes[i]), *cells])
    head = ["tied", "bits", *_columns("regret", "tied at random", "test accuracy")]
    return table("Tied by structure: one bit for", head, rows)


def _columns(*what: str) -> list[str]:
    return [f"{TITLES[data]}: {one}" for data in DATA for one in what]
