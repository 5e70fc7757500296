"""Tables of circuits under noise, and of training under it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.markdown import table
from experiments.qhn import PROBLEMS
from experiments.qhn_noise.bounds import survives
from experiments.qhn_tables import median

Results = Mapping[str, Any]

SHOWN = 6
"""Strengths in a table, spread over all of them."""
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
    devices = [_devices(results)] if _has_devices(results, "circuit") else []
    devices += [_transfer(results)] if _has_devices(results, "training") else []
    devices += [
        _on_snapshot(results, name) for name in problems(results) if snapshots(results, name)
    ]
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


def snapshots(results: Results, name: str) -> list[str]:
    """The parts that train for a device."""
    return [part for part in results if part.startswith(f"snapshot-{name}-")]


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
            numbers[f"{label}-below-least"] = _below_least(found)
            if found["exact"]:
                numbers[f"{label}-deviation"] = deviation(found)
        for s in strengths(results, name):
            change = results[f"training-{name}-{s}"]["difference"]
            numbers[f"{name}-trained-at-{s}-median"] = float(np.median(change))
        if _known(results, name):
            numbers[f"{name}-product-off"] = _off_closed_form(results, name)
            numbers[f"{name}-exactly-below-least"] = _exactly_below_least(results, name)
        for part in snapshots(results, name):
            numbers |= {
                f"{part}-{label}-rise": of["cost"][1] - of["cost"][0]
                for label, of in results[part]["before_after"].items()
            }
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


def _below_least(found: Mapping[str, Any]) -> float:
    """By how many standard errors at most ⟨C⟩ is smaller than that of any circuit.

    A mean over few trajectories may have met no error at all, and then knows nothing of its own:
    its error is at least that of the bitstring that has the least ⟨C⟩.
    """
    largest = 0.0
    for bound, estimate in zip(found["least"], found["trajectories"]["cost"], strict=True):
        error = max(estimate["error"], bound["deviation"] / found["count"] ** 0.5, 1e-9)
        largest = max(largest, (bound["mean"] - estimate["mean"]) / error)
    return largest


def _exactly_below_least(results: Results, name: str) -> float:
    """By how much an exact ⟨C⟩ under noise is smaller than that of any circuit, at most."""
    off = [
        bound["mean"] - value
        for depth in depths(results, name)
        for found in (results[f"circuit-{name}-{depth}"],)
        for bound, value in zip(found["least"], found["exact"]["cost"], strict=True)
    ] + [
        found["least"]["mean"] - value
        for s in strengths(results, name)
        for found in (results[f"training-{name}-{s}"],)
        for values in found["judged"].values()
        for value in values
    ]
    return max(0.0, *off)


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


def _has_devices(results: Results, kind: str) -> bool:
    return any(found.get("devices") for part, found in results.items() if part.startswith(kind))


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
            f"{np.median(np.array(found['ideal']) - minimum):.0e}",
            *(f"{judged[key][picked[key]]:.4f}" for key in ("without", "under")),
        ])  # fmt: skip
    found = results[f"training-{name}-{strengths(results, name)[0]}"]
    head = [
        "s", "trained without noise", "under it", "difference", "better under it",
        "error of a difference", "under it, as training saw it", "without, at s = 0",
        "picked: without", "under",
    ]  # fmt: skip
    title = (
        f"{PROBLEMS[name].title}: trained without and under noise "
        f"({found['trajectories']} trajectories), ⟨C⟩ above the minimum at s"
    )
    return table(title, head, rows)


def _transfer(results: Results) -> str:
    """The circuits trained with and without depolarising noise, with the noise of devices."""
    rows = []
    for name in problems(results):
        for s in strengths(results, name):
            found = results[f"training-{name}-{s}"]
            for device, at in found["devices"].items():
                cost = {key: np.array(of["cost"]) - found["minimum"] for key, of in at.items()}
                change = cost["under"] - cost["without"]
                rows.append([
                    PROBLEMS[name].title, _short(device), f"{s}",
                    *(median(cost[key].tolist(), ".4f") for key in ("without", "under")),
                    median(change.tolist(), "+.4f"), f"{(change < 0).sum()} of {len(change)}",
                    *(median(at[key]["p_near"], ".4f") for key in ("without", "under")),
                ])  # fmt: skip
    rows.sort(key=lambda row: row[:2])
    head = [
        "problem", "device", "s", "trained without noise", "under depolarising noise",
        "difference", "better under it", "P(within 1e-4): without", "under",
    ]  # fmt: skip
    title = "Trained under depolarising noise of strength s, ⟨C⟩ above the minimum on devices"
    return table(title, head, rows, words=2)


def _on_snapshot(results: Results, name: str) -> str:
    """Training under the noise of a device, before and after."""
    labels = {"found": "found without noise", "start": "random angles"}
    rows = []
    for part in snapshots(results, name):
        found = results[part]
        for label, of in found["before_after"].items():
            rows.append([
                labels[label], _short(found["device"]), part.removeprefix(f"snapshot-{name}-"),
                *(f"{value - found['minimum']:.5f}" for value in of["cost"]),
                f"{of['cost'][1] - of['cost'][0]:+.1e}",
                *(f"{value:.5f}" for value in of["p_near"]), f"{found['circuits']}",
            ])  # fmt: skip
    head = [
        "begins with", "device", "seed", "⟨C⟩ above the minimum: before", "after", "difference",
        "P(within 1e-4): before", "after", "circuits",
    ]  # fmt: skip
    return table(f"{PROBLEMS[name].title}: trained on a device, exactly", head, rows, words=2)


def _short(device: str) -> str:
    return device.replace("fake_", "")


def _devices(results: Results) -> str:
    """The best circuits with the noise of devices."""
    rows = []
    for name in problems(results):
        for depth in depths(results, name):
            found = results[f"circuit-{name}-{depth}"]
            for device, at in found["devices"].items():
                rows.append([
                    PROBLEMS[name].title, _short(device), sublayers(depth),
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
