"""What does noise do to the circuits that exact training finds, and does training under it help?

    python -m experiments run qhn-noise

Noise of strength s, as of Carrasquilla et al. (2023, arXiv:2301.08292): after each rotation a
Pauli error with probability 0.001 s, after each CX one with probability 0.00375 s, gates that act
on |0> included.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.qhn import NEAR, circuit, cost_table
from experiments.qhn_noise import pictures
from experiments.qhn_noise import tables as written
from experiments.qhn_noise.bounds import ROTATION, least
from experiments.qhn_noise.sequential import sweep
from qhyper import QuantumHyperNetwork
from qhyper.quantum.simulators.depolarising import strength
from qhyper.quantum.simulators.qiskit_aer_simulator import AerBackend
from qhyper.quantum.simulators.trajectories import TrajectoryBackend
from qhyper.targets.target import SAME_LOSS
from qhyper.training.minimise import minimise

TITLE = "Does depth pay under noise, and does it help to train under it?"
SHARED = ("qhn.py",)

Float = npt.NDArray[np.float64]

CX = 0.00375
"""Probability of a Pauli error after a CX, at strength 1."""
TRAINED_DEPTH = 4
"""Sublayers of the circuits trained under noise, as in the paper."""
TOLERANCE = 1e-6
"""Of exact training; the best restart goes on with the 1e-10 of `minimise`."""
SEED, TRAINING_SEED, JUDGING_SEED = 0, 1, 2
"""Of trajectories: none is used for two things."""


@dataclass(frozen=True)
class Work:
    """How much is done for a problem."""

    restarts: int
    """of exact training at each depth"""
    trajectories: int
    """of the circuits at each strength, and of judging"""
    starts: int
    """of training under noise"""
    training: int
    """trajectories that it is trained on"""
    tolerance: float
    """of training under noise and of what it is compared with"""


@dataclass(frozen=True)
class Devices:
    """Snapshots of devices, and what runs on them."""

    names: Sequence[str]
    depths: Mapping[str, Sequence[int]]
    """of a problem: the best circuits of which depths run on every device"""
    shots: int
    """where a device has no exact probabilities"""
    trained: str
    """the problem whose circuits are trained for a device"""
    seeds: Sequence[int]
    """of the starts of training on a device, the first one"""


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    work: Mapping[str, Work]
    depths: Sequence[int]
    strengths: Sequence[float]
    each: Sequence[float]
    """strengths at which every restart runs, not the best one alone"""
    training: Sequence[int]
    """strengths"""
    devices: Devices | None


FULL = Size(
    {"digits-01": Work(8, 300, 3, 20, 1e-6), "small-37": Work(10, 1000, 10, 50, 1e-7)},
    (0, 2, 4, 6, 8),
    (0.0, 0.4, 0.8, 1.2, 1.6, 2.0),
    (0.0, 2.0),
    (2, 8),
    Devices(
        ("fake_torino", "fake_brisbane"),
        {"digits-01": (0, 4), "small-37": (0, 4, 8)},
        shots=500,
        trained="small-37",
        seeds=(0,),
    ),
)
QUICK = Size(
    {"digits-01": Work(2, 100, 1, 5, 1e-6), "small-37": Work(5, 1000, 5, 50, 1e-6)},
    (0, 2, 4),
    (0.0, 1.0, 2.0),
    (0.0, 2.0),
    (8,),
    None,
)


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """Every depth, and training under each strength and on a device; long ones first."""
    return parts_of(QUICK if quick else FULL)


def parts_of(size: Size) -> dict[str, Callable[[], Any]]:
    """The pieces of work of a size."""
    found: dict[str, Callable[[], Any]] = {}
    if size.devices:
        trained, first = size.devices.trained, size.devices.names[0]
        for seed in size.devices.seeds:
            found[f"snapshot-{trained}-{seed}"] = partial(
                on_snapshot, trained, TRAINED_DEPTH, seed, first
            )
    for name in size.work:
        for s in sorted(size.training, reverse=True):
            found[f"training-{name}-{s}"] = partial(under_noise, name, s, size)
        for depth in sorted(size.depths, reverse=True):
            found[f"circuit-{name}-{depth}"] = partial(without_noise, name, depth, size)
    return found


def noise(s: float) -> dict[str, float]:
    """The strengths of depolarising channels, as backends take them."""
    return {"one": strength(ROTATION * s, 1), "two": strength(CX * s, 2)}


# -- circuits found without noise ------------------------------------------------------------------


def without_noise(name: str, depth: int, size: Size) -> dict[str, Any]:
    """Exact training, then the best circuit, and every restart, under noise of each strength."""
    # built first: a missing package is to show before minutes of training
    planned = size.devices
    runs = planned is not None and depth in planned.depths.get(name, ())
    devices = _snapshots(planned.names) if planned and runs else {}
    work, table = size.work[name], cost_table(name)
    tried = circuit(name, depth, range(work.restarts))
    best = tried.replica(minimise(tried, table, tolerance=TOLERANCE).best)
    value = float(minimise(best, table).value[0])
    return {
        "minimum": table.minimum,
        "value": value,
        "count": work.trajectories,
        "strengths": list(size.strengths),
        "trajectories": {
            key: [
                _estimate(by_trajectories(best, costs, s, work.trajectories, SEED)[0])
                for s in size.strengths
            ]
            for key, costs in _costs(name).items()
        },
        "restarts": {
            "strengths": list(size.each),
            "cost": [
                _means(by_trajectories(tried, table.losses, s, work.trajectories, SEED))
                for s in size.each
            ],
        },
        "exact": _exact(best, name, size.strengths),
        "least": [least(table.losses, s) for s in size.strengths],
        "devices": {
            device: on_device(best, name, backend, planned.shots if planned else 0)
            for device, backend in devices.items()
        },
    }


def by_trajectories(
    generator: QuantumHyperNetwork, costs: Float, s: float, trajectories: int, seed: int
) -> Float:
    """⟨C⟩ of each trajectory, [replica, trajectory], of a generator in the order of its bits."""
    backend = TrajectoryBackend(depolarising=noise(s), trajectories=trajectories, seed=seed)
    executable = backend.compile(generator.circuit)
    return executable.at(_angles(generator)).expectations(costs[None, None])[:, 0]


def _exact(
    generator: QuantumHyperNetwork, name: str, strengths: Sequence[float]
) -> dict[str, list[float]] | None:
    """The quantities at each strength by the channels themselves, if the circuit is small."""
    found: dict[str, list[float]] = {key: [] for key in _costs(name)}
    for s in strengths:
        p = probabilities(generator, s)
        if p is None:
            return None
        for key, costs in _costs(name).items():
            found[key].append(float(p[0] @ costs))
    return found


def probabilities(generator: QuantumHyperNetwork, s: float) -> Float | None:
    """Exact p of every bitstring, [replica, 2^n], None if there are too many qubits."""
    backend = AerBackend(method="density_matrix", depolarising=noise(s))
    if generator.n_bits > backend.capabilities.probability_bits:
        return None
    return backend.compile(generator.circuit).at(_angles(generator)).probabilities()[:, 0]  # type: ignore[attr-defined]


def on_device(
    generator: QuantumHyperNetwork, name: str, backend: AerBackend, shots: int
) -> dict[str, dict[str, float]]:
    """The quantities with a device's noise: exact if the circuit is small, else by shots."""
    executable: Any = backend.compile(generator.circuit)
    if generator.n_bits <= backend.capabilities.probability_bits:
        p = executable.at(_angles(generator)).probabilities()[0, 0]
        return {
            key: {"mean": float(p @ costs), "error": 0.0} for key, costs in _costs(name).items()
        }
    draws = executable.at(_angles(generator)).sample(shots, [np.random.default_rng(SEED)])[0, 0]
    numbers = draws @ (1 << np.arange(generator.n_bits))
    return {key: _estimate(costs[numbers]) for key, costs in _costs(name).items()}


def _snapshots(names: Sequence[str]) -> dict[str, AerBackend]:
    return {name: AerBackend(snapshot=name) for name in names}


def _costs(name: str) -> dict[str, Float]:
    """What is averaged: the cost, and two indicators; each [2^n]."""
    table = cost_table(name)
    above = table.losses - table.minimum
    return {
        "cost": table.losses,
        "p_optimum": (above <= SAME_LOSS).astype(np.float64),
        "p_near": (above <= NEAR).astype(np.float64),
    }


def _angles(generator: QuantumHyperNetwork) -> Float:
    return generator.angles().detach().numpy()


def _estimate(values: Float) -> dict[str, float]:
    """Mean and standard error of values [n]."""
    return {"mean": float(values.mean()), "error": float(values.std(ddof=1) / len(values) ** 0.5)}


# -- training under noise --------------------------------------------------------------------------


def under_noise(name: str, s: int, size: Size) -> dict[str, Any]:
    """Training with and without noise from the same starts, judged under it, a number a start.

    The judge is the exact channel for small circuits, else trajectories that no training saw, the
    same for both. If circuits of this problem are trained for a device, these run on the devices,
    too.
    """
    planned = size.devices
    devices = _snapshots(planned.names) if planned and name == planned.trained else {}
    work, table = size.work[name], cost_table(name)
    backend = TrajectoryBackend(
        depolarising=noise(s), trajectories=work.training, seed=TRAINING_SEED
    )
    seeds = range(work.starts)
    plain = circuit(name, TRAINED_DEPTH, seeds)
    noisy = circuit(name, TRAINED_DEPTH, seeds, backend=backend)
    ideal = minimise(plain, table, tolerance=work.tolerance)
    trained = minimise(noisy, table, tolerance=work.tolerance)
    own = by_trajectories(plain, table.losses, s, work.training, TRAINING_SEED).mean(axis=1)
    judged = [_judged(generator, table.losses, s, work) for generator in (plain, noisy)]
    difference = judged[1] - judged[0]
    return {
        "minimum": table.minimum,
        "trajectories": work.training,
        "ideal": ideal.value.tolist(),
        "own": {"without": own.tolist(), "under": trained.value.tolist()},
        "judged": {"without": _means(judged[0]), "under": _means(judged[1])},
        "difference": _means(difference),
        "difference_error": (
            difference.std(axis=1, ddof=1 if difference.shape[1] > 1 else 0)
            / difference.shape[1] ** 0.5
        ).tolist(),
        "evaluations": {
            "without": ideal.evaluations.tolist(), "under": trained.evaluations.tolist(),
        },
        "least": least(table.losses, s),
        "devices": {
            device: {
                "without": _exactly(plain, name, backend), "under": _exactly(noisy, name, backend)
            }
            for device, backend in devices.items()
        },
    }  # fmt: skip


def _judged(generator: QuantumHyperNetwork, costs: Float, s: float, work: Work) -> Float:
    """⟨C⟩ [replica, trajectory] on fresh trajectories; exactly, with one column, if small."""
    p = probabilities(generator, s)
    if p is not None:
        return p @ costs[:, None]
    return by_trajectories(generator, costs, s, work.trajectories, JUDGING_SEED)


def _means(values: Float) -> list[float]:
    return values.mean(axis=1).tolist()


# -- training on a device --------------------------------------------------------------------------


def on_snapshot(name: str, depth: int, seed: int, device: str) -> dict[str, Any]:
    """Training under the noise of a device, from a circuit found without noise and from its start.

    Each is one sweep of sequential minimisation over all angles that matter, in random order, with
    exact probabilities: gates and readout.
    """
    backend, table = AerBackend(snapshot=device), cost_table(name)
    start, found = circuit(name, depth, [seed]), circuit(name, depth, [seed])
    minima = minimise(found, table, tolerance=TOLERANCE)
    costs = _costs(name)
    executable: Any = backend.compile(start.circuit)
    order = np.random.default_rng(seed).permutation(_before_measurement(start))

    def probabilities_at(rows: Float) -> Float:
        return executable.at(rows[None]).probabilities()[0]

    judged = {}
    for label, generator in (("found", found), ("start", start)):
        before = _angles(generator)[0, 0]
        after = sweep(lambda rows: probabilities_at(rows) @ costs["cost"], before, order)
        p = probabilities_at(np.stack([before, after]))
        judged[label] = {key: (p @ of).tolist() for key, of in costs.items()}
    return {
        "device": device,
        "minimum": table.minimum,
        "ideal": float(minima.value[0]),
        "circuits": 1 + 2 * len(order),
        "before_after": judged,
    }


def _before_measurement(generator: QuantumHyperNetwork) -> int:
    """The number of angles that can matter: an Rz right before the measurement cannot."""
    gates = generator.circuit.gates
    last = takewhile(lambda gate: gate.name == "rz", reversed(gates))
    return generator.circuit.n_angles - len(list(last))


def _exactly(
    generator: QuantumHyperNetwork, name: str, backend: AerBackend
) -> dict[str, list[float]]:
    """The quantities of every replica, [replica] each, by exact probabilities."""
    executable: Any = backend.compile(generator.circuit)
    p = executable.at(_angles(generator)).probabilities()[:, 0]
    return {key: (p @ costs).tolist() for key, costs in _costs(name).items()}


# -- what came out ---------------------------------------------------------------------------------


def tables(results: Mapping[str, Any]) -> str:
    """All tables, in Markdown."""
    return written.tables(results)


def measured(results: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    return written.measured(results)


draw = pictures.draw
