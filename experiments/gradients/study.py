"""Which gradient, at which budget? Error at 12 and 36 bits, and loss at equal budgets at 36.

python -m experiments run gradients
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from experiments.gradients import pictures
from experiments.gradients import tables as written
from experiments.gradients.neighbours import RaoBlackwell
from experiments.gradients.settings import (
    CHUNKED_TRAINED,
    SHOWN,
    STARTS,
    TRAINED,
    Results,
    errors_of,
    regret,
    shown,
)
from qhyper import BinaryNetwork, Brickwork, QuantumHyperNetwork, Streams, load
from qhyper.bits import all_bitstrings
from qhyper.gradients.block_expectation import BlockExpectation
from qhyper.gradients.control_variate import ControlVariate
from qhyper.gradients.estimator import Float
from qhyper.gradients.exact import Exact
from qhyper.gradients.local_expectation import LocalExpectation
from qhyper.gradients.natural import NaturalGradient
from qhyper.gradients.parameter_shift import ParameterShift, StochasticParameterShift
from qhyper.gradients.score import ScoreFunction
from qhyper.gradients.spsa import SPSA
from qhyper.gradients.stein import Stein
from qhyper.hypernetwork import HyperNetwork, build_generator
from qhyper.risk import Expectation
from qhyper.run.comparison import compare
from qhyper.run.config import Entry

TITLE = "Which gradient estimator is worth its shots?"


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    estimates: int
    """independent ones, of each gradient at 12 bits"""
    few: int
    """the same at 36 bits"""
    budgets: tuple[int, ...]
    """evaluations of one gradient; the tables show those of `SHOWN`"""
    reference: int
    """draws of block expectation that stand for the exact gradient at 36 bits"""
    tuning: range
    """seeds on which a training's settings are chosen"""
    seeds: range
    spent: int
    """shots, or evaluations, of each seed of a training"""


FULL = Size(200, 40, (1_000, 3_000, SHOWN, 30_000), 40_000, range(100, 104), range(10), 100_000)
QUICK = Size(20, 4, (SHOWN,), 4_000, range(100, 102), range(2), 5_000)


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """The error at each start and size, and the training of each estimator; long ones first."""
    size = QUICK if quick else FULL
    found: dict[str, Callable[[], Any]] = {}
    for start in STARTS:
        found[f"error-{start}"] = partial(error, start, size)
        found[f"chunked-{start}"] = partial(chunked_error, start, size)
    for name in TRAINED:
        found[f"training-{name}"] = partial(training, name, size)
    for name in CHUNKED_TRAINED:
        found[f"chunked-training-{name}"] = partial(chunked_training, name, size)
    return found


# -- error of one gradient -------------------------------------------------------------------------

RATE = 0.05
"""Of the steps that lead to a start."""
TOGETHER = 10
"""Estimates made by replicas of one generator, at most."""


def _errors(
    one: HyperNetwork,
    make: Callable[[Sequence[int]], HyperNetwork],
    objective: Any,
    estimators: Callable[[int], Mapping[str, Any]],
    budgets: Sequence[int],
    estimates: int,
    expected: Callable[[str], Float],
) -> dict[str, list[dict[str, float]]]:
    """Error, signal-to-noise, cost and time of every estimator at the parameters of `one`.

    `estimators` are those of a budget in evaluations, `expected` the gradient that one should give.
    """
    errors: dict[str, list[dict[str, float]]] = {}
    for budget in budgets:
        for name, estimator in estimators(budget).items():
            found, seconds = _estimates(one, make, objective, estimator, estimates)
            spent = estimator.cost(one, Expectation(), objective=objective)
            errors.setdefault(name, []).append({
                "budget": budget, "evaluations": spent.evaluations, "circuits": spent.circuits,
                "seconds": seconds, **_compared(found, expected(name)),
            })  # fmt: skip
    return errors


def _descend(generator: HyperNetwork, objective: Any, steps: int, estimator: Any = None) -> None:
    """So many steps of Adam with the exact gradient, or with an estimate of it."""
    optimizer, estimator = torch.optim.Adam(generator.parameters(), lr=RATE), estimator or Exact()
    for step in range(steps):
        optimizer.zero_grad()
        estimator(generator, objective, Expectation(), rng=Streams(generator.seeds)(step))
        optimizer.step()


def _gradient(generator: HyperNetwork, objective: Any, estimator: Any) -> Float:
    """One estimate by each replica [replica, parameter]."""
    generator.zero_grad()
    estimator(generator, objective, Expectation(), rng=Streams(generator.seeds)(0))
    return _flat([parameter.grad for parameter in generator.trained_parameters])


def _flat(tensors: Sequence[torch.Tensor | None]) -> Float:
    parts = [tensor.flatten(1) for tensor in tensors if tensor is not None]
    assert len(parts) == len(tensors)
    return torch.cat(parts, dim=1).numpy().copy()


def _estimates(
    one: HyperNetwork,
    make: Callable[[Sequence[int]], HyperNetwork],
    objective: Any,
    estimator: Any,
    n: int,
) -> tuple[Float, float]:
    """(independent estimates [n, parameter] at the same parameters, median seconds of one).

    The seconds are the processor's, of all threads: they do not depend on what else runs.
    """
    rows, seconds = [], []
    for first in range(0, n, TOGETHER):
        many = make(range(first, min(first + TOGETHER, n)))
        with torch.no_grad():
            for own, same in zip(many.parameters(), one.parameters(), strict=True):
                own.copy_(same.expand_as(own))
        began = time.process_time()
        with threadpool_limits(1):  # threads that wait would count
            rows.append(_gradient(many, objective, estimator))
        seconds.append((time.process_time() - began) / many.replicas)
    return np.concatenate(rows), float(np.median(seconds))


def _compared(estimates: Float, exact: Float) -> dict[str, float]:
    """E|g - G|² / |G|², |E g| / √E|g - E g|² and the median cosine, over estimates g [n, angle]."""
    n, mean = len(estimates), estimates.mean(axis=0)
    spread = np.sqrt(((estimates - mean) ** 2).sum(axis=1).mean() * n / (n - 1))
    signal = max(0.0, (mean**2).sum() - spread**2 / n)  # without the noise of the mean
    cosine = estimates @ exact / np.linalg.norm(estimates, axis=1) / np.linalg.norm(exact)
    squares = ((estimates - exact) ** 2).sum(axis=1)
    return {
        "relative_mse": float(squares.mean() / (exact**2).sum()),
        "signal_to_noise": float(np.sqrt(signal) / spread) if spread else np.inf,
        "cosine": float(np.median(cosine)),
    }


# -- 12 qubits, all entangled ----------------------------------------------------------------------

QUBITS, DEPTH, ANGLES = 12, 4, 96
DAMPING = 1e-2


def error(start: str, size: Size) -> dict[str, Any]:
    """Of every estimator against the exact gradient, by evaluations."""
    objective = BinaryNetwork((2, 3, 2)).objective(load("gaussians").train)
    one = _circuit([0])
    _descend(one, objective, STARTS[start][1])
    exact = _gradient(one, objective, Exact())[0]
    natural = _exact_natural(one, exact)

    def expected(name: str) -> Float:
        return natural if name == "natural-gradient" else exact

    errors = _errors(one, _circuit, objective, _estimators, size.budgets, size.estimates, expected)
    return {"norm": float(np.linalg.norm(exact)), "errors": errors}


def _circuit(seeds: Sequence[int]) -> QuantumHyperNetwork:
    return QuantumHyperNetwork(QUBITS, ansatz=Brickwork(DEPTH), seeds=seeds)


def _estimators(evaluations: int) -> dict[str, Any]:
    """Every estimator that can spend so many on one gradient, in equal circuits."""
    found: dict[str, Any] = {
        **_of_any_size(evaluations, QUBITS, 2 * ANGLES),
        "natural-gradient": NaturalGradient(evaluations, DAMPING),
        "control-variate": ControlVariate(evaluations),
    }
    if evaluations >= 2**QUBITS:
        found["block-expectation"] = BlockExpectation(1)
    return found


def _of_any_size(evaluations: int, n_bits: int, shifted: int) -> dict[str, Any]:
    """Those without all probabilities; `shifted` are the circuits of parameter shift."""
    found: dict[str, Any] = {
        "score-function": ScoreFunction(evaluations),
        "score-function-no-baseline": ScoreFunction(evaluations, "none"),
        "local-expectation": LocalExpectation(evaluations // (1 + n_bits)),
        "rao-blackwell": RaoBlackwell(evaluations // (1 + n_bits), n_bits),
        "rao-blackwell-1": RaoBlackwell(evaluations // 2, 1),
        "stochastic-shift": StochasticParameterShift(evaluations // 16, 8),
        "spsa": SPSA(evaluations // 2),
        "spsa-16": SPSA(evaluations // 32, directions=16),
    }
    if evaluations <= SHOWN:  # more would take most of the study's time
        found["stein"] = Stein(evaluations)
    if evaluations >= shifted:
        found["parameter-shift"] = ParameterShift(evaluations // shifted)
    return found


def _exact_natural(generator: QuantumHyperNetwork, gradient: Float) -> Float:
    """The damped natural gradient with the exact Fisher matrix, of all bitstrings."""
    p = generator.probabilities().detach().numpy()[0, 0]
    scores = generator.scores(all_bitstrings(QUBITS)[None, None])[0, 0]
    fisher = (scores * p[:, None]).T @ scores
    return np.linalg.solve(fisher + DAMPING * np.eye(len(gradient)), gradient)


# -- 36 bits, entangled within chunks of 6 ---------------------------------------------------------

BITS, CHUNK = 36, 6
SHIFTED = 2 * 6 * 48
"""Circuits of parameter shift: two for each angle of each chunk."""
STEP_DRAWS = 2_000
"""Draws of block expectation for each step that leads to a start."""


def chunked_error(start: str, size: Size) -> dict[str, Any]:
    """Of every estimator against block expectation with many draws, by evaluations."""
    objective = _network()
    one = _chunked([0])
    _descend(one, objective, STARTS[start][1], BlockExpectation(STEP_DRAWS))
    seeds = range(1_000, 1_000 + 2 * TOGETHER)  # no estimate has these
    many, _ = _estimates(
        one, lambda drawn: _chunked([seeds[k] for k in drawn]), objective,
        BlockExpectation(size.reference // len(seeds)), len(seeds),
    )  # fmt: skip
    reference = many.mean(axis=0)
    uncertain = (many.var(axis=0, ddof=1) / len(seeds)).sum() / (reference**2).sum()
    errors = _errors(
        one, _chunked, objective, _chunked_estimators, size.budgets, size.few, lambda _: reference
    )
    return {
        "norm": float(np.linalg.norm(reference)), "reference_mse": float(uncertain),
        "errors": errors,
    }  # fmt: skip


def _network() -> Any:
    return BinaryNetwork((4, 6, 2)).objective(load("toy").train)


def _chunked(seeds: Sequence[int]) -> HyperNetwork:
    """Six chunks of six bits, each drawn by one entangled circuit at its learned embedding."""
    return build_generator("chunked", BITS, seeds=seeds, options={"chunk": CHUNK})


def _chunked_estimators(evaluations: int) -> dict[str, Any]:
    """As `_estimators`; block expectation scores 1 + 6 · 63 strings a draw."""
    strings = 1 + BITS // CHUNK * (2**CHUNK - 1)
    return {
        **_of_any_size(evaluations, BITS, SHIFTED),
        "block-expectation": BlockExpectation(evaluations // strings),
    }


# -- loss at equal budgets, 36 bits ----------------------------------------------------------------

RATES = (0.03, 0.1, 0.3)
DRAWS = {"parameter-shift": (4, 16)}
CHUNKED_DRAWS = {"local-expectation": (1, 4), "block-expectation": (1, 4)}


def training(name: str, size: Size) -> dict[str, Any]:
    """Loss of quantum-depth2 with one estimator, at equal shots."""
    draws = DRAWS.get(name, (16, 64))
    return _trained("quantum-depth2", name, TRAINED[name], draws, size, {"shots": size.spent})


def chunked_training(name: str, size: Size) -> dict[str, Any]:
    """Loss of the chunks with one estimator, at equal evaluations."""
    draws = CHUNKED_DRAWS.get(name, (16, 64))
    budget = {"evaluations": size.spent}
    return _trained("chunked", name, {"estimator": name}, draws, size, budget)


def _trained(
    generator: str,
    name: str,
    settings: Mapping[str, Any],
    draws: Sequence[int],
    size: Size,
    budget: Mapping[str, Any],
) -> dict[str, Any]:
    """Learning rate and draws are chosen on other seeds."""
    objective = _network()
    trials = [
        Entry(
            name=generator, label=f"{name} {rate} {each}",
            training={**settings, "learning_rate": rate, "draws": each, "restarts": 1},
        )
        for rate in RATES
        for each in draws
    ]  # fmt: skip
    tried = compare(objective, trials, seeds=size.tuning, **budget, warn=_say)
    losses = [float(np.median(result.final_loss)) for result in tried.results]
    best = trials[int(np.argmin(losses))]
    outcome = compare(objective, [best], seeds=size.seeds, **budget, warn=_say)
    (result,) = outcome.results
    return {
        "learning_rate": best.training["learning_rate"],
        "draws": best.training["draws"],
        **budget,
        "minimum": outcome.summary.reference.loss,
        "circuits": result.circuits,
        "final_loss": result.final_loss,
        "best_loss": result.best_loss,
        "curve": result.curve.to_json(),
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr)


# -- what came out ---------------------------------------------------------------------------------


def tables(results: Results) -> str:
    """The errors at each start and size, and the losses at equal budgets."""
    return written.tables(results)


def draw(results: Results, folder: Path) -> None:
    """Write error.svg and training.svg."""
    pictures.draw(results, folder)


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    numbers = {}
    for start, found in errors_of(results):
        numbers[f"{start}-norm"] = found["norm"]
        baseline = shown(found, "score-function")
        for name in found["errors"]:
            at = shown(found, name)
            numbers[f"{start}-{name}-mse"] = at["relative_mse"]
            numbers[f"{start}-{name}-ratio"] = at["relative_mse"] / baseline["relative_mse"]
        if "reference_mse" in found:
            numbers[f"{start}-reference-mse"] = found["reference_mse"]
    for part, found in results.items():
        if "final_loss" in found:
            numbers[f"{part}-loss"] = float(np.median(found["final_loss"]))
            numbers[f"{part}-regret"] = regret(found)
    return numbers
