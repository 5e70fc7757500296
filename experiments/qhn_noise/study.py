"""What does noise do to the circuits that exact training finds, and does training under it help?

    python -m experiments run qhn-noise

Noise of strength s, as of Carrasquilla et al. (2023, arXiv:2301.08292): after each rotation a
Pauli error with probability 0.001 s, after each CX one with probability 0.00375 s, gates that act
on |0> included.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.qhn import NEAR, circuit, cost_table
from experiments.qhn_noise import pictures
from experiments.qhn_noise import tables as written
from qhyper import QuantumHyperNetwork
from qhyper.lbfgs import minimise
from qhyper.quantum.simulators.depolarising import strength
from qhyper.quantum.simulators.qiskit_aer_simulator import AerBackend
from qhyper.quantum.simulators.trajectories import TrajectoryBackend
from qhyper.search import SAME_LOSS

TITLE = "Does depth pay under noise, and does it help to train under it?"
SHARED = ("qhn.py",)

Float = npt.NDArray[np.float64]

ROTATION, CX = 0.001, 0.00375
"""Probabilities of a Pauli error at strength 1."""
TRAINED_DEPTH = 4
"""Sublayers of the circuits trained under noise, as in the paper."""
TOLERANCE = 1e-6
"""Of training under noise and of what it is compared with: ⟨C⟩ within some 1e-4."""
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
    devices: Mapping[int, Sequence[str]]
    """snapshots by the depth of the circuits that they run"""
    shots: int
    """where a device has no exact probabilities"""


DEVICES = ("fake_torino", "fake_brisbane")
FULL = Size(
    {"digits-01": Work(20, 1000, 6, 30), "small-37": Work(20, 4000, 20, 100)},
    (0, 2, 4, 6, 8),
    tuple(k / 5 for k in range(11)),
    (0.0, 1.0, 2.0),
    (1, 2, 4, 8),
    dict.fromkeys((0, 2, 4, 8), DEVICES),
    shots=1000,
)
QUICK = Size(
    {"digits-01": Work(2, 100, 1, 5), "small-37": Work(5, 1000, 5, 50)},
    (0, 2, 4),
    (0.0, 1.0, 2.0),
    (0.0, 1.0, 2.0),
    (8,),
    {},
    shots=0,
)


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """Every depth, and training under each strength; long ones first."""
    return parts_of(QUICK if quick else FULL)


def parts_of(size: Size) -> dict[str, Callable[[], Any]]:
    """The pieces of work of a size."""
    found: dict[str, Callable[[], Any]] = {}
    for name in size.work:
        for depth in sorted(size.depths, reverse=True):
            found[f"circuit-{name}-{depth}"] = partial(without_noise, name, depth, size)
        for s in sorted(size.training, reverse=True):
            found[f"training-{name}-{s}"] = partial(under_noise, name, s, size.work[name])
    return found


def noise(s: float) -> dict[str, float]:
    """The strengths of depolarising channels, as backends take them."""
    return {"one": strength(ROTATION * s, 1), "two": strength(CX * s, 2)}


# -- circuits found without noise ------------------------------------------------------------------


def without_noise(name: str, depth: int, size: Size) -> dict[str, Any]:
    """Exact training, then the best circuit, and every restart, under noise of each strength."""
    # built first: a missing package is to show before minutes of training
    devices = {device: AerBackend(snapshot=device) for device in size.devices.get(depth, ())}
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
        "devices": {
            device: on_device(best, name, backend, size.shots)
            for device, backend in devices.items()
        },
    }


def by_trajectories(
    generator: QuantumHyperNetwork, costs: Float, s: float, trajectories: int, seed: int
) -> Float:
    """⟨C⟩ of each trajectory, [replica, trajectory], of a generator in the order of its bits."""
    backend = TrajectoryBackend(depolarising=noise(s), trajectories=trajectories, seed=seed)
    executable = backend.compile(generator.circuit)
    return executable.expectations(_angles(generator), costs[None, None])[:, 0]


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
    return backend.compile(generator.circuit).probabilities(_angles(generator))[:, 0]  # type: ignore[attr-defined]


def on_device(
    generator: QuantumHyperNetwork, name: str, backend: AerBackend, shots: int
) -> dict[str, dict[str, float]]:
    """The quantities with a device's noise: exact if the circuit is small, else by shots."""
    executable: Any = backend.compile(generator.circuit)
    if generator.n_bits <= backend.capabilities.probability_bits:
        p = executable.probabilities(_angles(generator))[0, 0]
        return {
            key: {"mean": float(p @ costs), "error": 0.0} for key, costs in _costs(name).items()
        }
    draws = executable.sample(_angles(generator), shots, [np.random.default_rng(SEED)])[0, 0]
    numbers = draws @ (1 << np.arange(generator.n_bits))
    return {key: _estimate(costs[numbers]) for key, costs in _costs(name).items()}


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


def under_noise(name: str, s: int, work: Work) -> dict[str, Any]:
    """Training with and without noise from the same starts, judged under it, a number a start.

    The judge is the exact channel for small circuits, else trajectories that no training saw, the
    same for both.
    """
    table = cost_table(name)
    backend = TrajectoryBackend(
        depolarising=noise(s), trajectories=work.training, seed=TRAINING_SEED
    )
    seeds = range(work.starts)
    plain = circuit(name, TRAINED_DEPTH, seeds)
    noisy = circuit(name, TRAINED_DEPTH, seeds, backend=backend)
    ideal = minimise(plain, table, tolerance=TOLERANCE)
    trained = minimise(noisy, table, tolerance=TOLERANCE)
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
    }  # fmt: skip


def _judged(generator: QuantumHyperNetwork, costs: Float, s: float, work: Work) -> Float:
    """⟨C⟩ [replica, trajectory] on fresh trajectories; exactly, with one column, if small."""
    p = probabilities(generator, s)
    if p is not None:
        return p @ costs[:, None]
    return by_trajectories(generator, costs, s, work.trajectories, JUDGING_SEED)


def _means(values: Float) -> list[float]:
    return values.mean(axis=1).tolist()


# -- what came out ---------------------------------------------------------------------------------


def tables(results: Mapping[str, Any]) -> str:
    """All tables, in Markdown."""
    return written.tables(results)


def measured(results: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    return written.measured(results)


draw = pictures.draw
