"""Which gradient, at which budget? Error at 12 qubits, and loss at equal shots at 36.

python -m experiments run gradients
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.drawing import legend_below, new_panels, save
from experiments.markdown import table
from qhyper import BinaryNetwork, Brickwork, QuantumHyperNetwork, Streams, load
from qhyper.bits import all_bitstrings
from qhyper.gradients.exact import Exact
from qhyper.gradients.natural import NaturalGradient
from qhyper.gradients.parameter_shift import ParameterShift, StochasticParameterShift
from qhyper.gradients.score import ScoreFunction
from qhyper.gradients.spsa import SPSA
from qhyper.report.drawing import INK, loss_axis
from qhyper.report.statistics import median_interval
from qhyper.report.words import with_interval
from qhyper.risk import Expectation
from qhyper.run.comparison import compare
from qhyper.run.config import Entry

TITLE = "Which gradient estimator is worth its shots?"

ESTIMATORS: Mapping[str, tuple[str, str, Any, str]] = {
    "score-function": ("score function", "#0072b2", "-", "o"),
    "score-function-no-baseline": ("score function, no baseline", "#56b4e9", "--", "o"),
    "natural-gradient": ("natural gradient", "#cc79a7", "-", "D"),
    "parameter-shift": ("parameter shift", "#d55e00", "-", "s"),
    "stochastic-shift": ("stochastic shift, 8 angles", "#e69f00", "--", "s"),
    "spsa": ("SPSA", "#009e73", "-", "^"),
    "spsa-16": ("SPSA, 16 directions", "#5fbf9f", "--", "^"),
}
"""What they are called and how they are drawn: colour, line, marker."""

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    estimates: int
    """independent ones, of each gradient"""
    budgets: tuple[int, ...]
    """shots of one gradient; the tables show those of `SHOWN`"""
    tuning: range
    """seeds on which a training's settings are chosen"""
    seeds: range
    shots: int
    """of each seed of a training"""


SHOWN = 10_000
FULL = Size(200, (1_000, 3_000, SHOWN, 30_000), range(100, 104), range(10), 100_000)
QUICK = Size(20, (3_000, SHOWN), range(100, 102), range(2), 5_000)


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """The error at each start, and the training of each estimator; long ones first."""
    size = QUICK if quick else FULL
    found: dict[str, Callable[[], Any]] = {}
    for start in STARTS:
        found[f"error-{start}"] = partial(error, start, size)
    for name in TRAINED:
        found[f"training-{name}"] = partial(training, name, size)
    return found


# -- error of one gradient, 12 qubits --------------------------------------------------------------

STARTS = {"near-product": ("near-product start", 0), "adam": ("after 20 exact steps of Adam", 20)}
"""Where the gradient is estimated: in words, and how many exact steps lead there."""
QUBITS, DEPTH, ANGLES = 12, 4, 96
DAMPING = 1e-2
CHUNK = 10


def error(start: str, size: Size) -> dict[str, Any]:
    """Error and signal-to-noise of every estimator against the exact gradient, by shots."""
    objective = BinaryNetwork((2, 3, 2)).objective(load("gaussians").train)
    one = QuantumHyperNetwork(QUBITS, ansatz=Brickwork(DEPTH), seeds=[0])
    _descend(one, objective, STARTS[start][1])
    parameters = one.theta.detach().numpy()[0]
    exact = _gradient(one, objective, Exact())[0]
    natural = _exact_natural(one, exact)
    errors: dict[str, list[Any]] = {name: [] for name in ESTIMATORS}
    for shots in size.budgets:
        for name, estimator in _estimators(shots).items():
            estimates = _estimates(parameters, objective, estimator, size.estimates)
            circuits = estimator.cost(one, Expectation()).circuits
            found = _compared(estimates, natural if name == "natural-gradient" else exact)
            errors[name].append({"shots": shots, "circuits": circuits, **found})
    return {"norm": float(np.linalg.norm(exact)), "errors": errors}


def _estimators(shots: int) -> dict[str, Any]:
    """Every estimator that can spend `shots` shots on one gradient, in equal circuits."""
    found: dict[str, Any] = {
        "score-function": ScoreFunction(shots),
        "score-function-no-baseline": ScoreFunction(shots, "none"),
        "natural-gradient": NaturalGradient(shots, DAMPING),
        "stochastic-shift": StochasticParameterShift(shots // 16, 8),
        "spsa": SPSA(shots // 2),
        "spsa-16": SPSA(shots // 32, directions=16),
    }
    if shots >= 2 * ANGLES:
        found["parameter-shift"] = ParameterShift(shots // (2 * ANGLES))
    return found


def _descend(generator: QuantumHyperNetwork, objective: Any, steps: int) -> None:
    optimizer, exact = torch.optim.Adam(generator.parameters(), lr=0.05), Exact()
    for _ in range(steps):
        optimizer.zero_grad()
        exact(generator, objective, Expectation())
        optimizer.step()


def _gradient(generator: QuantumHyperNetwork, objective: Any, estimator: Any) -> np.ndarray:
    """One estimate by each replica [replica, angle]."""
    generator.zero_grad()
    estimator(generator, objective, Expectation(), rng=Streams(generator.seeds)(0))
    assert generator.theta.grad is not None
    return generator.theta.grad.numpy().copy()


def _exact_natural(generator: QuantumHyperNetwork, gradient: np.ndarray) -> np.ndarray:
    """The damped natural gradient with the exact Fisher matrix, of all bitstrings."""
    p = generator.probabilities().detach().numpy()[0, 0]
    scores = generator.scores(all_bitstrings(QUBITS)[None, None])[0, 0]
    fisher = (scores * p[:, None]).T @ scores
    return np.linalg.solve(fisher + DAMPING * np.eye(len(gradient)), gradient)


def _estimates(parameters: np.ndarray, objective: Any, estimator: Any, n: int) -> np.ndarray:
    """Independent estimates [n, angle] at the same parameters."""
    rows = []
    for first in range(0, n, CHUNK):
        many = QuantumHyperNetwork(
            QUBITS, ansatz=Brickwork(DEPTH), start=parameters.tolist(),
            seeds=range(first, first + CHUNK),
        )  # fmt: skip
        rows.append(_gradient(many, objective, estimator))
    return np.concatenate(rows)


def _compared(estimates: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    """E|g - G|² / |G|², |E g| / √E|g - E g|² and the median cosine, over estimates g [n, angle]."""
    n, mean = len(estimates), estimates.mean(axis=0)
    spread = np.sqrt(((estimates - mean) ** 2).sum(axis=1).mean() * n / (n - 1))
    signal = max(0.0, (mean**2).sum() - spread**2 / n)  # without the noise of the mean
    cosine = estimates @ exact / np.linalg.norm(estimates, axis=1) / np.linalg.norm(exact)
    squares = ((estimates - exact) ** 2).sum(axis=1)
    return {
        "relative_mse": float(squares.mean() / (exact**2).sum()),
        "signal_to_noise": float(np.sqrt(signal) / spread),
        "cosine": float(np.median(cosine)),
    }


# -- loss at equal shots, 36 qubits ----------------------------------------------------------------

TRAINED: Mapping[str, dict[str, Any]] = {
    "score-function": {"estimator": "score-function"},
    "score-function-no-baseline": {
        "estimator": "score-function", "estimator_options": {"baseline": "none"},
    },
    "natural-gradient": {
        "estimator": "natural-gradient", "estimator_options": {"damping": 0.01}, "optimizer": "SGD",
    },
    "parameter-shift": {"estimator": "parameter-shift"},
    "stochastic-shift": {
        "estimator": "stochastic-parameter-shift", "estimator_options": {"angles": 8},
    },
    "spsa": {"estimator": "spsa"},
    "spsa-16": {"estimator": "spsa", "estimator_options": {"directions": 16}},
}  # fmt: skip
RATES = (0.03, 0.1, 0.3)
DRAWS = {"parameter-shift": (4, 16)}


def training(name: str, size: Size) -> dict[str, Any]:
    """Loss reached with one estimator; learning rate and draws are chosen on other seeds."""
    objective = BinaryNetwork((4, 6, 2)).objective(load("toy").train)
    trials = [
        Entry(
            name="quantum-depth2", label=f"{name} {rate} {draws}",
            training={**TRAINED[name], "learning_rate": rate, "draws": draws, "restarts": 1},
        )
        for rate in RATES
        for draws in DRAWS.get(name, (16, 64))
    ]  # fmt: skip
    tried = compare(objective, trials, seeds=size.tuning, shots=size.shots, warn=_say)
    losses = [float(np.median(result.final_loss)) for result in tried.results]
    best = trials[int(np.argmin(losses))]
    outcome = compare(objective, [best], seeds=size.seeds, shots=size.shots, warn=_say)
    (result,) = outcome.results
    return {
        "learning_rate": best.training["learning_rate"],
        "draws": best.training["draws"],
        "shots": size.shots,
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
    """The errors at each start, and the losses at equal shots."""
    return "\n\n".join([*(_errors(results, start) for start in STARTS), _losses(results)])


def _errors(results: Results, start: str) -> str:
    rows = []
    for name, (label, *_) in ESTIMATORS.items():
        at = _shown(results, start, name)
        rows.append((
            label, f"{at['circuits']}", f"{at['relative_mse']:.3g}",
            f"{at['signal_to_noise']:.3g}", f"{at['cosine']:.2f}",
        ))  # fmt: skip
    norm = results[f"error-{start}"]["norm"]
    title = f"{SHOWN:,} shots, {STARTS[start][0]}, |g| = {norm:.3g}"
    head = ("estimator", "circuits", "relative MSE", "signal to noise", "cosine")
    return table(title, head, rows)


def _shown(results: Results, start: str, name: str) -> dict[str, float]:
    points = results[f"error-{start}"]["errors"][name]
    return next(point for point in points if point["shots"] == SHOWN)


def _losses(results: Results) -> str:
    rows = []
    for name in TRAINED:
        found = results[f"training-{name}"]
        rows.append((
            ESTIMATORS[name][0], f"{found['draws']}", f"{found['learning_rate']}",
            f"{found['circuits']:,}",
            with_interval(median_interval(found["final_loss"])),
            f"{_regret(found):.4f}",
        ))  # fmt: skip
    one = results["training-score-function"]
    title = (
        f"{one['shots']:,} shots, {len(one['final_loss'])} seeds, certified minimum "
        f"{one['minimum']:.6f}"
    )
    head = (
        "estimator", "draws a circuit", "learning rate", "circuits", "final mean loss", "regret",
    )  # fmt: skip
    return table(title, head, rows)


def _regret(found: Mapping[str, Any]) -> float:
    return float(np.median(found["best_loss"]) - found["minimum"])


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    found = {}
    for start in STARTS:
        found[f"{start}-norm"] = results[f"error-{start}"]["norm"]
        for name in ESTIMATORS:
            found[f"{start}-{name}-mse"] = _shown(results, start, name)["relative_mse"]
    for name in TRAINED:
        one = results[f"training-{name}"]
        found[f"training-{name}-loss"] = float(np.median(one["final_loss"]))
        found[f"training-{name}-regret"] = _regret(one)
    return found


def draw(results: Results, folder: Path) -> None:
    """Write error.svg and training.svg."""
    save(_drawn_errors(results), folder / "error.svg", "Error of one gradient against its shots")
    save(_drawn_training(results), folder / "training.svg", "Mean loss against shots")


def _drawn_errors(results: Results) -> Any:
    figure, panels = new_panels((8.2, 4.2), 1, len(STARTS), sharey=True)
    for axes, (start, (title, _)) in zip(panels[0], STARTS.items(), strict=True):
        for name, points in results[f"error-{start}"]["errors"].items():
            _, colour, line, marker = ESTIMATORS[name]
            axes.plot(
                [point["shots"] for point in points], [point["relative_mse"] for point in points],
                color=colour, linestyle=line, marker=marker, markersize=4,
            )  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel="shots of one gradient", title=title)
    panels[0][0].set_ylabel("mean squared error / |gradient|²")
    _legend(figure, markers=True)
    return figure


def _drawn_training(results: Results) -> Any:
    """Median and quartiles over the seeds."""
    figure, panels = new_panels((8.2, 4.2), 1, 1)
    axes, highest = panels[0][0], 0.0
    for name in TRAINED:
        _, colour, line, _ = ESTIMATORS[name]
        curve = results[f"training-{name}"]["curve"]
        low, median, high = np.quantile(curve["mean_loss"], (0.25, 0.5, 0.75), axis=0)
        axes.plot(curve["shots"], median, color=colour, linestyle=line, linewidth=1.4)
        axes.fill_between(curve["shots"], low, high, color=colour, alpha=0.15, linewidth=0)
        highest = max(highest, float(high.max()))
    minimum = results["training-score-function"]["minimum"]
    axes.axhline(minimum, color=INK, linewidth=0.8, linestyle=":")
    loss_axis(axes.yaxis, minimum, highest)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set(xlabel="shots", ylabel="mean loss")
    _legend(figure, markers=False)
    return figure


def _legend(figure: Any, *, markers: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, linestyle=line, marker=marker if markers else "",
               markersize=4, label=label)
        for label, colour, line, marker in ESTIMATORS.values()
    ]  # fmt: skip
    legend_below(figure, handles, 3)
