"""Tables of circuits under noise, and of training under it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.markdown import table
from experiments.qhn import PROBLEMS
from experiments.qhn_tables import median
from qhyper.statistics import median_interval

Results = Mapping[str, Any]

SHOWN = 6
"""Strengths in a table, spread over all of them."""
FLIPS = 2 / 3
"""Share of the Pauli errors of one qubit that flip its bit: X and Y."""
QUANTITIES = {
    "cost": "⟨C⟩ above the minimum",
    "p_optimum": "P(optimum)",
    "p_near": "P(within 1e-4)",
}


def tables(results: Results) -> str:
    """All tables, in Markdown."""
    of_problems = [
        text
        for name in problems(results)
        for text in (
            *(_under_noise(results, name, key) for key in QUANTITIES), _each(results, name)
        )
    ]  # fmt: skip
    exact = [_against_exact(results, name) for name in problems(results) if _known(results, name)]
    trained = [_training(results, name) for name in problems(results) if strengths(results, name)]
    devices = [_devices(results)] if _has_devices(results) else []
    return "\n\n".join([*of_problems, *exact, *trained, *devices])


def problems(results: Results) -> list[str]:
    """The problems of a run."""
    return [name for name in PROBLEMS if any(f"-{name}-" in part for part in results)]


def depths(results: Results, name: str) -> list[int]:
    """Sublayers of the circuits of a problem, shallow ones first."""
    return _numbers(results, f"circuit-{name}-")


def strengths(results: Results, name: str) -> list[int]:
    """The strengths that circuits were trained under, weak ones first."""
    return _numbers(results, f"training-{name}-")


def sublayers(depth: int) -> str:
    """The name of a circuit; two sublayers are one layer of the paper."""
    return f"{depth} sublayers" if depth else "product"


def above(found: Mapping[str, Any], key: str, value: float) -> float:
    """A cost as what it is above the minimum; a probability as it is."""
    return value - found["minimum"] if key == "cost" else value


def measured(results: Results) -> dict[str, float]:
    """The numbers that can be checked, by name."""
    numbers: dict[str, float] = {}
    for name in problems(results):
        for depth in depths(results, name):
            found, label = results[f"circuit-{name}-{depth}"], f"{name}-depth-{depth}"
            numbers[f"{label}-gap"] = found["value"] - found["minimum"]
            numbers[f"{label}-beyond-bound"] = _beyond_bound(found, name)
            numbers[f"{label}-hurt-less-than-product"] = _less_hurt(
                found, results[f"circuit-{name}-0"]
            )
            if found["exact"]:
                numbers[f"{label}-deviation"] = deviation(found)
        for s in strengths(results, name):
            change = median_interval(results[f"training-{name}-{s}"]["difference"])
            label = f"{name}-trained-at-{s}"
            numbers |= {f"{label}-{key}": float(change[key] or 0.0) for key in ("median", "high")}
        if _known(results, name):
            numbers[f"{name}-product-off"] = _off_closed_form(results, name)
    return numbers


def deviation(found: Mapping[str, Any]) -> float:
    """The largest deviation of trajectories from the exact channel, in standard errors."""
    largest = 0.0
    for key, exact in found["exact"].items():
        for estimate, value in zip(found["trajectories"][key], exact, strict=True):
            off = abs(estimate["mean"] - value)
            if off > 1e-9:  # without noise there is only rounding
                largest = max(largest, off / max(estimate["error"], 1e-12))
    return largest


def survives(n_bits: int, s: float) -> float:
    """The largest probability of any one bitstring after one rotation on each bit.

    A depolarising channel of strength p flips a measured bit with probability p / 2, which is
    `FLIPS` of the probability 0.001 s of a Pauli error, whatever the state. So this is P(optimum)
    of a product circuit that is in the optimum, and no circuit that ends with rotations on all
    qubits has more.
    """
    return (1 - FLIPS * 0.001 * s) ** n_bits


def _beyond_bound(found: Mapping[str, Any], name: str) -> float:
    """By how many standard errors at most P(optimum) is larger than can be.

    The error is that of shots at the bound, the largest that means of as many trajectories have.
    """
    n_bits, count = PROBLEMS[name].n_bits, found["count"]
    largest = 0.0
    for s, estimate in zip(found["strengths"], found["trajectories"]["p_optimum"], strict=True):
        bound = survives(n_bits, s)
        error = max((bound * (1 - bound) / count) ** 0.5, 1e-9)
        largest = max(largest, (estimate["mean"] - bound) / error)
    return largest


def _less_hurt(found: Mapping[str, Any], product: Mapping[str, Any]) -> float:
    """By how many standard errors at most noise costs a circuit less than the product circuit."""
    largest = 0.0
    start = found["trajectories"]["cost"][0]["mean"] - product["trajectories"]["cost"][0]["mean"]
    pairs = zip(found["trajectories"]["cost"], product["trajectories"]["cost"], strict=True)
    for own, other in list(pairs)[1:]:
        error = max(np.hypot(own["error"], other["error"]), 1e-12)
        largest = max(largest, (other["mean"] - own["mean"] + start) / error)
    return float(largest)


def _off_closed_form(results: Results, name: str) -> float:
    """How far the exact P(optimum) of the product circuit is from its closed form, at most."""
    found = results[f"circuit-{name}-0"]
    closed = [survives(PROBLEMS[name].n_bits, s) for s in found["strengths"]]
    return float(np.abs(np.array(found["exact"]["p_optimum"]) - closed).max())


def _numbers(results: Results, beginning: str) -> list[int]:
    return sorted(int(part.removeprefix(beginning)) for part in results if beginning in part)


def _known(results: Results, name: str) -> bool:
    """Whether the exact channels are known."""
    return bool(results[f"circuit-{name}-{depths(results, name)[0]}"]["exact"])


def _has_devices(results: Results) -> bool:
    return any(found.get("devices") for found in results.values())


def _shown(of: Sequence[float]) -> list[int]:
    """Which of the strengths a table has."""
    return sorted({round(k) for k in np.linspace(0, len(of) - 1, min(SHOWN, len(of)))})


def _under_noise(results: Results, name: str, key: str) -> str:
    """A quantity of the best circuit of each depth, by the strength of the noise."""
    rows, of = [], results[f"circuit-{name}-0"]["strengths"]
    for depth in depths(results, name):
        found = results[f"circuit-{name}-{depth}"]
        estimates = found["trajectories"][key]
        rows.append([
            sublayers(depth),
            *(_estimate(above(found, key, estimates[k]["mean"]), estimates[k]["error"])
              for k in _shown(of)),
        ])  # fmt: skip
    count = results[f"circuit-{name}-0"]["count"]
    title = f"{PROBLEMS[name].title}: {QUANTITIES[key]}, best circuit, {count:,} trajectories"
    return table(title, ["circuit", *(f"s = {of[k]:g}" for k in _shown(of))], rows)


def _each(results: Results, name: str) -> str:
    """⟨C⟩ of the restarts by the strength of the noise: which depth is best to train once."""
    rows, first = [], results[f"circuit-{name}-0"]["restarts"]
    for depth in depths(results, name):
        found = results[f"circuit-{name}-{depth}"]
        gaps = np.array(found["restarts"]["cost"]) - found["minimum"]
        rows.append([sublayers(depth), *(median(gap.tolist(), ".4f") for gap in gaps)])
    count = len(first["cost"][0])
    title = f"{PROBLEMS[name].title}: ⟨C⟩ above the minimum, median of {count} restarts"
    return table(title, ["circuit", *(f"s = {s:g}" for s in first["strengths"])], rows)


def _against_exact(results: Results, name: str) -> str:
    """Trajectories beside the exact channels, at the largest strength."""
    rows = []
    for depth in depths(results, name):
        found = results[f"circuit-{name}-{depth}"]
        cells = []
        for key in QUANTITIES:
            last = found["trajectories"][key][-1]
            cells += [
                f"{above(found, key, found['exact'][key][-1]):.5f}",
                _estimate(above(found, key, last["mean"]), last["error"], 5),
            ]
        rows.append([sublayers(depth), *cells, f"{deviation(found):.1f}"])
    of = results[f"circuit-{name}-0"]["strengths"]
    head = ["circuit"]
    for what in QUANTITIES.values():
        head += [f"{what}: exact", "trajectories"]
    title = f"{PROBLEMS[name].title}: exact channels and trajectories at s = {of[-1]:g}"
    return table(title, [*head, "largest deviation at any s, in standard errors"], rows)


def _training(results: Results, name: str) -> str:
    """Circuits trained with and without noise, judged under it."""
    rows = []
    for s in strengths(results, name):
        found = results[f"training-{name}-{s}"]
        minimum, change = found["minimum"], np.array(found["difference"])
        judged = {key: np.array(values) - minimum for key, values in found["judged"].items()}
        picked = {key: int(np.argmin(found["own"][key])) for key in judged}
        rows.append([
            f"{s}", median(judged["without"], ".4f"), median(judged["under"], ".4f"),
            median(change.tolist(), "+.4f"), f"{(change < 0).sum()} of {len(change)}",
            f"{np.median(found['difference_error']):.4f}",
            f"{np.median(np.array(found['own']['under']) - minimum):.4f}",
            *(f"{judged[key][picked[key]]:.4f}" for key in ("without", "under")),
        ])  # fmt: skip
    found = results[f"training-{name}-{strengths(results, name)[0]}"]
    head = [
        "s", "trained without noise", "under it", "difference", "better under it",
        "error of a difference", "under it, as training saw it", "picked: without", "under",
    ]  # fmt: skip
    title = (
        f"{PROBLEMS[name].title}: trained without and under noise "
        f"({found['trajectories']} trajectories), ⟨C⟩ above the minimum at s"
    )
    return table(title, head, rows)


def _devices(results: Results) -> str:
    """The best circuits with the noise of devices."""
    rows = []
    for name in problems(results):
        for depth in depths(results, name):
            found = results[f"circuit-{name}-{depth}"]
            for device, at in found["devices"].items():
                rows.append([
                    PROBLEMS[name].title, device.replace("fake_", ""), sublayers(depth),
                    *(_estimate(above(found, key, at[key]["mean"]), at[key]["error"])
                      for key in QUANTITIES),
                    *(_gates(results, name, depth, device) if found["exact"] else ("–", "–")),
                ])  # fmt: skip
    rows.sort(key=lambda row: row[:2])
    head = [
        "problem", "device", "circuit", *QUANTITIES.values(), "left of product's P(optimum)",
        "as much left at s",
    ]  # fmt: skip
    return table("With the noise of devices, gates and readout", head, rows, words=3)


def _gates(results: Results, name: str, depth: int, device: str) -> tuple[str, str]:
    """What the gates leave of P(optimum), and the strength of noise that leaves as much.

    It is relative to the product circuit, which has all readout errors and hardly a gate, and runs
    on the same qubits of the device.
    """
    if not depth:
        return "1", "–"
    own, product = (results[f"circuit-{name}-{at}"] for at in (depth, 0))
    curve = np.array(own["exact"]["p_optimum"]) / product["exact"]["p_optimum"]
    on_device = (at["devices"][device]["p_optimum"]["mean"] for at in (own, product))
    left = float(np.divide(*on_device) / curve[0])
    curve = curve / curve[0]
    if left < curve[-1]:
        return f"{left:.3f}", f"> {own['strengths'][-1]:g}"
    return f"{left:.3f}", f"{np.interp(-left, -curve, own['strengths']):.1f}"


def _estimate(value: float, error: float, digits: int = 4) -> str:
    return f"{value:.{digits}f}" + (f" ± {error:.{digits}f}" if error > 1e-12 else "")
