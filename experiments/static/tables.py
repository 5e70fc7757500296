"""Accuracy, correlations, costs, the rival and the controls."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.markdown import table
from experiments.static.settings import (
    CONTROLS,
    DATA,
    DEVICE,
    KINDS,
    LONG,
    PASS_SHOTS,
    SHORT,
    SHOTS,
    SOURCES,
)

Results = Mapping[str, Any]
Found = Sequence[Mapping[str, Any]]


def seeds_of(results: Results, name: str) -> Found:
    """What every seed of a part found."""
    return [found for part, found in results.items() if part.rpartition("-")[0] == name]


def mode(found: Found) -> list[float]:
    """Test accuracy of the most probable network, of each seed."""
    return [one["mode"] for one in found]


def drawn(found: Found) -> list[float]:
    """Mean test accuracy of networks drawn, of each seed."""
    return [float(np.mean(one["draws"])) for one in found]


def tables(results: Results) -> str:
    """All of them."""
    each = [_accuracy(results, data) for data in DATA]
    return "\n\n".join(
        [*each, _long(results), _correlation(results), _rival(results), _shots(results),
         _controls(results), _device(results)]
    )  # fmt: skip


def _percent(values: Sequence[float]) -> str:
    """Mean and range, in per cent."""
    mean, low, high = (100 * f(values) for f in (np.mean, np.min, np.max))
    return f"{mean:.1f} ({low:.1f}–{high:.1f})"


def _accuracy(results: Results, data: str) -> str:
    rows, spent = [], 0
    for kind, of_data in SHORT.items():
        for number in reversed(of_data.get(data, ())):
            found = seeds_of(results, f"{kind}-{number}-{data}")
            spent = max(spent, found[0]["rows"])
            rows.append(_line(kind, found))
    rows.sort(key=lambda row: -int(row[1].replace(",", "")))
    title = f"{DATA[data][0]}, at the most {spent:,} rows a training: test accuracy, mean (range)"
    return table(title, _HEAD, rows)


_HEAD = ["generator", "parameters", "mode, %", "draws, %", "worst draw", "shots", "minutes"]


def _line(kind: str, found: Found) -> list[str]:
    one = found[0]
    shots = f"{one['shots'] * one['chunks']:,}" if kind not in ("bernoulli", "mlp") else "–"
    return [
        KINDS[kind].title, f"{one['parameters']:,}", _percent(mode(found)), _percent(drawn(found)),
        f"{100 * min(min(one['draws']) for one in found):.1f}", shots,
        f"{np.median([one['seconds'] for one in found]) / 60:.1f}",
    ]  # fmt: skip


def _long(results: Results) -> str:
    rows, spent = [], 0
    for kind, fields in LONG.items():
        for number in fields:
            found = seeds_of(results, f"{kind}-{number}-mnist-long")
            spent = max(spent, found[0]["rows"])
            rows.append(_line(kind, found))
    return table(f"MNIST, at the most {spent:,} rows a training", _HEAD, rows)


def _correlation(results: Results) -> str:
    rows = []
    for kind, of_data in SHORT.items():
        if KINDS[kind].name != "static-entangled":
            continue
        for data, fields in of_data.items():
            for number in fields:
                found = seeds_of(results, f"{kind}-{number}-{data}")
                as_product = [float(np.mean(one["product_draws"])) for one in found]
                rows.append([
                    KINDS[kind].title, DATA[data][0], f"{found[0]['parameters']:,}",
                    f"{np.mean([one['total_correlation'] for one in found]):,.1f}",
                    f"{np.mean([one['loss'] for one in found]):.4f}", _difference(found),
                    _percent(drawn(found)), _percent(as_product),
                ])  # fmt: skip
    head = [
        "generator", "data", "parameters", "total correlation, bits", "loss",
        "more as the product of its marginals", "draws, %", "draws of the product, %",
    ]  # fmt: skip
    return table("Is it the entanglement? Held-out loss and test accuracy", head, rows, words=2)


def _difference(found: Found) -> str:
    """By how much the loss of the marginals' product lies above, with its standard error."""
    mean = np.mean([one["product_loss"] - one["loss"] for one in found])
    errors = [one["loss_error"] or 0.0 for one in found]
    return f"{mean:+.4f} ± {np.sqrt(np.square(errors).sum()) / len(errors):.4f}"


def _rival(results: Results) -> str:
    rows = []
    for source, (title, rate) in SOURCES.items():
        for data, (name, _) in DATA.items():
            found = seeds_of(results, f"quantum-train-{source}-{data}")
            if found:
                rows.append([
                    title, name, f"{found[0]['parameters']:,}", f"{rate:g}",
                    _percent([one["accuracy"] for one in found]), f"{found[0]['rows']:,}",
                    f"{np.median([one['seconds'] for one in found]) / 60:.1f}",
                ])  # fmt: skip
    head = ["6,690 real weights", "data", "parameters", "rate", "test accuracy, %", "rows",
            "minutes"]  # fmt: skip
    return table("Quantum-Train, from exact probabilities", head, rows, words=2)


def _shots(results: Results) -> str:
    rows = []
    for data, (name, _) in DATA.items():
        found = seeds_of(results, f"quantum-train-circuit-{data}")
        cells = [
            _percent(np.ravel([one["by_shots"][str(n)] for one in found]).tolist()) for n in SHOTS
        ]
        rows.append([name, *cells])
    return table(
        "The same networks made from shots: test accuracy in %",
        ["data", *(f"{n:,} shots" for n in SHOTS)], rows,
    )  # fmt: skip


def _controls(results: Results) -> str:
    rows = []
    for name in CONTROLS:
        cells = [_percent(results[f"control-{name}-{data}"]["accuracy"]) for data in DATA]
        rows.append([name, *cells])
    spent = results[f"control-{CONTROLS[0]}-mnist"]["rows"]
    head = ["search", *(title for title, _ in DATA.values())]
    return table(f"Searches without a generator, {spent:,} rows: test accuracy in %", head, rows)


def _device(results: Results) -> str:
    keys = ("rows", "qubits", "circuits", "shots", "jobs", "two-qubit gates")
    rows = [
        [KINDS[kind].title, *(_number(found[key]) for key in keys)]
        for kind, found in results["device"].items()
    ]
    head = ["generator", "chunks", "qubits", "circuits, with a preflight", "shots", "jobs",
            "two-qubit gates each"]  # fmt: skip
    return table(f"One pass of {PASS_SHOTS} networks on {DEVICE}", head, rows)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def measured(results: Results) -> dict[str, float]:
    """The numbers that can be checked, by name: means over the seeds."""
    found = {}
    for name in dict.fromkeys(part.rpartition("-")[0] for part in results):
        parts = seeds_of(results, name)
        if parts and "mode" in parts[0]:
            found[f"{name}-mode"] = float(np.mean(mode(parts)))
            found[f"{name}-draws"] = float(np.mean(drawn(parts)))
            found[f"{name}-correlation"] = float(np.mean([p["total_correlation"] for p in parts]))
        elif parts and "by_shots" in parts[0]:
            found[f"{name}-accuracy"] = float(np.mean([p["accuracy"] for p in parts]))
    for name in CONTROLS:
        for data in DATA:
            accuracies = results[f"control-{name}-{data}"]["accuracy"]
            found[f"control-{name}-{data}-accuracy"] = float(np.mean(accuracies))
    found["entangled-two-qubit-gates"] = float(results["device"]["entangled"]["two-qubit gates"])
    found["chunks"] = float(results["device"]["entangled"]["rows"])
    return found
