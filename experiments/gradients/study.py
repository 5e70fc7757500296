"""Which gradient, at which budget? Error at 12 qubits, and loss at equal shots at 36.

    python experiments/gradients/study.py [error] [training]

writes error.svg and training.svg and prints the tables of the README.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from qhyper import BinaryNetwork, Brickwork, QuantumHyperNetwork, Streams, load
from qhyper.comparison import compare
from qhyper.config import Entry
from qhyper.gradients.exact import Exact
from qhyper.gradients.natural import NaturalGradient
from qhyper.gradients.parameter_shift import ParameterShift, StochasticParameterShift
from qhyper.gradients.score import ScoreFunction
from qhyper.gradients.spsa import SPSA
from qhyper.risk import Expectation
from qhyper.threads import one_torch_thread

FOLDER = Path(__file__).parent
TEXT = "#7a8490"
"""Grey that reads on white and on black."""
STYLES = {
    "score function": ("#0072b2", "-", "o"),
    "score function, no baseline": ("#56b4e9", "--", "o"),
    "natural gradient": ("#cc79a7", "-", "D"),
    "parameter shift": ("#d55e00", "-", "s"),
    "stochastic shift, 8 angles": ("#e69f00", "--", "s"),
    "SPSA": ("#009e73", "-", "^"),
    "SPSA, 16 directions": ("#5fbf9f", "--", "^"),
}

# -- error of one gradient, 12 qubits --------------------------------------------------------------

BUDGETS = (1_000, 3_000, 10_000, 30_000)
ESTIMATES, CHUNK = 200, 10
DAMPING = 1e-2


def estimators(shots: int, angles: int) -> dict:
    """Every estimator that can spend `shots` shots on one gradient, in equal circuits."""
    found = {
        "score function": ScoreFunction(shots),
        "score function, no baseline": ScoreFunction(shots, "none"),
        "natural gradient": NaturalGradient(shots, DAMPING),
        "stochastic shift, 8 angles": StochasticParameterShift(shots // 16, 8),
        "SPSA": SPSA(shots // 2),
        "SPSA, 16 directions": SPSA(shots // 32, directions=16),
    }
    if shots >= 2 * angles:
        found["parameter shift"] = ParameterShift(shots // (2 * angles))
    return found


def error() -> None:
    """Mean squared error and signal-to-noise of every estimator against the exact gradient."""
    network = BinaryNetwork((2, 3, 2))
    objective = network.objective(load("gaussians").train)
    starts = {"near-product start": None, "after 20 exact steps of Adam": 20}
    results = {}
    for name, steps in starts.items():
        one = QuantumHyperNetwork(12, ansatz=Brickwork(4), seeds=[0])
        _descend(one, objective, steps or 0)
        parameters = one.theta.detach().numpy()[0]
        exact = _gradient(one, objective, Exact(), 0)[0]
        natural = _exact_natural(one, exact)
        results[name] = {
            shots: {
                label: _errors(
                    parameters, objective, estimator,
                    natural if label == "natural gradient" else exact,
                )
                for label, estimator in estimators(shots, one.circuit.n_angles).items()
            }
            for shots in BUDGETS
        }  # fmt: skip
        print(f"\n{name}, 12 qubits, 96 angles, |gradient| {np.linalg.norm(exact):.3g}")
        print("| estimator | circuits | relative MSE | signal to noise | cosine |")
        print("|---|--:|--:|--:|--:|")
        for label, (mse, snr, cosine) in results[name][10_000].items():
            circuits = estimators(10_000, 96)[label].cost(one, Expectation()).circuits
            print(f"| {label} | {circuits} | {mse:.3g} | {snr:.3g} | {cosine:.2f} |")
    _draw_errors(results)


def _descend(generator: QuantumHyperNetwork, objective, steps: int) -> None:
    import torch

    optimizer, exact = torch.optim.Adam(generator.parameters(), lr=0.05), Exact()
    for _ in range(steps):
        optimizer.zero_grad()
        exact(generator, objective, Expectation())
        optimizer.step()


def _gradient(generator, objective, estimator, step: int) -> np.ndarray:
    generator.zero_grad()
    streams = Streams(generator.seeds)
    estimator(generator, objective, Expectation(), rng=streams(step))
    return generator.theta.grad.numpy().copy()


def _exact_natural(generator: QuantumHyperNetwork, gradient: np.ndarray) -> np.ndarray:
    """The damped natural gradient with the exact Fisher matrix, of all bitstrings."""
    from qhyper.bits import all_bitstrings

    p = generator.probabilities().detach().numpy()[0, 0]
    scores = generator.scores(all_bitstrings(12)[None, None])[0, 0]
    fisher = (scores * p[:, None]).T @ scores
    return np.linalg.solve(fisher + DAMPING * np.eye(len(gradient)), gradient)


def _errors(parameters, objective, estimator, exact) -> tuple[float, float, float]:
    """(E|g - G|² / |G|², |E g| / √E|g - E g|², median cosine) over independent estimates."""
    rows = []
    for first in range(0, ESTIMATES, CHUNK):
        many = QuantumHyperNetwork(
            12, ansatz=Brickwork(4), start=parameters.tolist(), seeds=range(first, first + CHUNK)
        )
        rows.append(_gradient(many, objective, estimator, 0))
    found = np.concatenate(rows)
    noise = found - exact
    mean = found.mean(axis=0)
    spread = np.sqrt(((found - mean) ** 2).sum(axis=1).mean() * ESTIMATES / (ESTIMATES - 1))
    signal = max(0.0, (mean**2).sum() - spread**2 / ESTIMATES)  # without the noise of the mean
    cosine = found @ exact / np.linalg.norm(found, axis=1) / np.linalg.norm(exact)
    return (
        float((noise**2).sum(axis=1).mean() / (exact**2).sum()),
        float(np.sqrt(signal) / spread),
        float(np.median(cosine)),
    )


def _draw_errors(results: dict) -> None:
    figure = Figure(figsize=(9.5, 3.8), layout="constrained")
    panels = figure.subplots(1, len(results), sharey=True)
    for axes, (name, by_shots) in zip(panels, results.items(), strict=True):
        for label, (colour, line, marker) in STYLES.items():
            points = [(s, found[label][0]) for s, found in by_shots.items() if label in found]
            axes.plot(*zip(*points, strict=True), color=colour, linestyle=line, marker=marker,
                      markersize=4, label=label)  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("shots of one gradient")
        axes.set_title(name, fontsize=10, color=TEXT)
        _grey(axes)
    panels[0].set_ylabel("mean squared error / |gradient|²")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center",
                  frameon=False, labelcolor=TEXT, fontsize=9)  # fmt: skip
    figure.savefig(FOLDER / "error.svg", transparent=True)


# -- loss at equal shots, 36 qubits ----------------------------------------------------------------

SHOTS = 100_000
TRAINED = {
    "score function": {"estimator": "score-function"},
    "score function, no baseline": {
        "estimator": "score-function", "estimator_options": {"baseline": "none"},
    },
    "natural gradient": {
        "estimator": "natural-gradient", "estimator_options": {"damping": 0.01}, "optimizer": "SGD",
    },
    "parameter shift": {"estimator": "parameter-shift"},
    "stochastic shift, 8 angles": {
        "estimator": "stochastic-parameter-shift", "estimator_options": {"angles": 8},
    },
    "SPSA": {"estimator": "spsa"},
    "SPSA, 16 directions": {"estimator": "spsa", "estimator_options": {"directions": 16}},
}  # fmt: skip
DRAWS = {"parameter shift": (4, 16)}
RATES = (0.03, 0.1, 0.3)
TUNING, SEEDS = range(100, 104), range(10)


def training() -> None:
    """Loss reached by every estimator at equal shots; rate and draws tuned on other seeds."""
    data = load("toy")
    objective = BinaryNetwork((4, 6, 2)).objective(data.train)
    with one_torch_thread():
        trials = [
            Entry(
                name="quantum-depth2", label=f"{label} {rate} {draws}",
                training={**how, "learning_rate": rate, "draws": draws, "restarts": 1},
            )
            for label, how in TRAINED.items()
            for rate in RATES
            for draws in DRAWS.get(label, (16, 64))
        ]  # fmt: skip
        tuned = compare(objective, trials, seeds=TUNING, shots=SHOTS, progress=_progress)
    losses = {r["name"]: float(np.median(r["final_loss"])) for r in tuned.results}
    best = []
    for label in TRAINED:
        entry = min(
            (e for e in trials if (e.label or "").startswith(f"{label} 0")),
            key=lambda e: losses[e.label or ""],
        )
        best.append(entry.model_copy(update={"label": label}))
    outcome = compare(objective, best, seeds=SEEDS, shots=SHOTS, progress=_progress)
    minimum = outcome.summary["reference"]["loss"]
    print(f"\n36 qubits, depth 2, {SHOTS:,} shots, {len(SEEDS)} seeds; minimum {minimum:.6f}")
    print("| estimator | draws a circuit | learning rate | circuits | final mean loss | regret |")
    print("|---|--:|--:|--:|--:|--:|")
    for entry, found in zip(best, outcome.summary["generators"], strict=True):
        loss, regret = found["final_loss"], found["regret"]
        print(
            f"| {entry.label} | {entry.training['draws']} | {entry.training['learning_rate']} | "
            f"{found['circuits']:,} | {loss['median']:.4f} ({loss['low']:.4f}–{loss['high']:.4f}) "
            f"| {regret['median']:.4f} |"
        )
    _draw_training(outcome, minimum)


def _draw_training(outcome, minimum: float) -> None:
    figure = Figure(figsize=(7.5, 4), layout="constrained")
    axes = figure.subplots()
    for result in outcome.results:
        colour, line, _ = STYLES[result["name"]]
        shots = result["curve"]["evaluations"]  # every shot is evaluated
        low, median, high = np.quantile(result["curve"]["mean_loss"], (0.25, 0.5, 0.75), axis=0)
        axes.plot(shots, median, color=colour, linestyle=line, label=result["name"])
        axes.fill_between(shots, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.axhline(minimum, color=TEXT, linewidth=0.8, linestyle=":")
    axes.set_xlabel("shots")
    axes.set_ylabel("mean loss")
    axes.set_yscale("log")
    _grey(axes)
    axes.legend(frameon=False, labelcolor=TEXT, fontsize=9, loc="center left",
                bbox_to_anchor=(1, 0.5))  # fmt: skip
    figure.savefig(FOLDER / "training.svg", transparent=True)


def _progress(title: str, done: int, total: int) -> None:
    if done == total:
        print(f"{title}: done", file=sys.stderr)


def _grey(axes) -> None:
    axes.tick_params(colors=TEXT, which="both")
    for side in axes.spines.values():
        side.set_color(TEXT)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(TEXT)


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["error", "training"]
    if "error" in wanted:
        error()
    if "training" in wanted:
        training()
