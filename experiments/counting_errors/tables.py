"""Depth by reading, label bits, elite's score, support vector machines, and signs for pixels."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.markdown import table

Results = Mapping[str, Any]

RULES = {
    "all-weights": "(i) most of all its weights",
    "contributions": "(ii) contributions of half a batch",
    "wrong-bits": "(iii) most of its weights to wrong bits",
    "contributions-voters": "(ii), hidden weights by votes",
    "wrong-bits-voters": "(iii), hidden weights by votes",
}
"""In words."""


def tables(results: Results) -> str:
    """All of them."""
    return "\n\n".join(
        [_shares(results), _depth(results, "test"), _depth(results, "held_out"), _chosen(results),
         _bits(results), _elite(results), _machines(results), _inputs(results)]
    )  # fmt: skip


def by_depth(results: Results) -> dict[str, dict[int, Any]]:
    """What the better number of rows gave, by rule and depth."""
    found: dict[str, dict[int, Any]] = {rule: {} for rule in RULES}
    for name, part in results.items():
        if name.startswith("depth-"):
            found[part["rule"]][part["depth"]] = part["best"]
    return {rule: dict(sorted(of.items())) for rule, of in found.items()}


def _shares(results: Results) -> str:
    rows = [
        [RULES[reading], *(f"{share:.2f}" for share in shares)]
        for reading, shares in results["shares"].items()
    ]
    return table("Inputs of the last layer that count as wrong, random 784-1024⁴-1000 network",
                 ["reading: an input is wrong by", "1 row", "100 rows"], rows)  # fmt: skip


def _depth(results: Results, where: str) -> str:
    found = by_depth(results)
    depths = list(found["all-weights"])
    rows = [
        [RULES[rule], *(f"{100 * of[depth][where]:.1f} %" for depth in depths)]
        for rule, of in found.items()
    ]
    title = {"test": "test images", "held_out": "rows held out"}[where]
    head = ["reading: an input is wrong by", *(f"{depth} layers" for depth in depths)]
    return table(f"Accuracy on {title}, by layers of weights, as many generations each", head, rows)


def _chosen(results: Results) -> str:
    found = by_depth(results)
    depths = list(found["all-weights"])
    rows = [
        [RULES[rule], *(f"{of[d]['rows']}, {of[d]['seconds']:.0f} s" for d in depths)]
        for rule, of in found.items()
    ]
    head = ["reading: an input is wrong by", *(f"{depth} layers" for depth in depths)]
    return table("Rows a generation that were better, and seconds of that training", head, rows)


def _bits(results: Results) -> str:
    rows = [
        [
            str(found["bits"]), f"{found['fair']:.3f}", f"{found['ties']:.3f}",
            f"{100 * found['test']:.1f} %", f"{100 * found['by_lot']:.1f} %",
            f"{100 * found['held_out']:.1f} %",
        ]
        for found in results["bits"]
    ]  # fmt: skip
    head = ["bits a label", "ties of fair bits", "ties when trained",
            "test accuracy", "ties by lot", "held out"]  # fmt: skip
    return table("Label bits, 784-512-10k, reading (i)", head, rows)


def _elite(results: Results) -> str:
    rows = [
        [
            {"test": "10,000 test images, as printed",
             "training": "10,000 training images"}[found["on"]],
            f"{100 * found['scored']:.2f} %", f"{100 * found['test']:.2f} %",
            f"{100 * found['held_out']:.2f} %", f"{found['generations']:,}",
        ]
        for found in results["elite"]
    ]  # fmt: skip
    head = ["children scored and kept on", "accuracy there", "test images", "rows held out",
            "generations"]  # fmt: skip
    return table("Elite evolution, 784-16-50: its score on test images and on others", head, rows)


def _machines(results: Results) -> str:
    rows = [
        [
            found["kind"], {"signs": "signs", "pixels": "8 bits"}[found["seen"]],
            f"{found['rows']:,}", f"{100 * found['test']:.2f} %", f"{found['seconds']:.1f} s",
            f"{found['predictions']:.1f} s",
        ]
        for found in results["machines"]
    ]  # fmt: skip
    head = ["machine", "pixels as", "rows", "test accuracy", "training", "10,000 predictions"]
    title = "Support vector machines (printed: near 90 % after some seconds)"
    return table(title, head, rows, words=2)


def gain(results: Results) -> tuple[float, float]:
    """Accuracy that whole pixels gain over signs: mean over seeds and its standard error."""
    of = results["inputs"]
    differences = np.subtract(of["pixels"], of["signs"])
    return float(differences.mean()), float(differences.std(ddof=1) / len(differences) ** 0.5)


def _inputs(results: Results) -> str:
    of = results["inputs"]
    mean, error = gain(results)
    rows = [
        *(
            [name, f"{100 * np.mean(of[key]):.2f} %", f"{100 * np.std(of[key], ddof=1):.2f}"]
            for key, name in (("signs", "signs"), ("pixels", "8 bits"))
        ),
        ["8 bits gain", f"{100 * mean:+.2f}", f"standard error {100 * error:.2f}"],
    ]
    head = ["pixels as", "test accuracy, mean of seeds", "standard deviation"]
    title = "Binary 784-128-10 by straight-through (printed: signs lose very little)"
    return table(title, head, rows)


def measured(results: Results) -> dict[str, float]:
    """The numbers that can be checked, by name."""
    numbers = {
        f"{name}-accuracy": part["best"]["test"]
        for name, part in results.items()
        if name.startswith("depth-")
    }
    for part in results["bits"]:
        numbers[f"bits-{part['bits']}-accuracy"] = part["test"]
        numbers[f"bits-{part['bits']}-ties"] = part["ties"]
        numbers[f"bits-{part['bits']}-fair"] = part["fair"]
    for reading, shares in results["shares"].items():
        numbers[f"share-{reading}-1"], numbers[f"share-{reading}-100"] = shares
    for part in results["elite"]:
        numbers[f"elite-{part['on']}-accuracy"] = part["test"]
        numbers[f"elite-{part['on']}-optimism"] = part["scored"] - part["held_out"]
    for part in results["machines"]:
        numbers[f"svm-{part['seen']}-{part['kind'].split()[0].lower()}"] = part["test"]
    return numbers | {"pixels-gain": gain(results)[0]}
