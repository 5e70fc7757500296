"""Cautions: what the numbers of a run do not say of themselves, in words for its user."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.data.files import is_data_file
from qhyper.report.results import Result
from qhyper.run.problem import Problem
from qhyper.targets.target import SAME_LOSS

CLEARLY = 0.05
"""A network that classifies more rows by this share has learned, even if it is so sure of them that
its loss is above that of one answer for all."""
MOST_FEATURES = 0.5
"""Of a file whose features are not centred: one or two of many do no harm."""
ROUNDING = 1e-9
"""Of accuracies."""
AS_WELL = 0.95
"""Uniform search hits as well as any entry if it does within the budget with this probability."""
AS_QUICKLY = 0.5
"""And as quickly if no entry needs less than this share of the evaluations that it needs, or if it
needs no more than the first step of a training, in which nothing is learned yet."""


def before(problem: Problem) -> list[str]:
    """What is to be said before anything runs: of a file, and what a network cannot see of it."""
    notes = [] if problem.dataset is None else list(problem.dataset.notes)
    return notes + (_look_the_same(problem) or _not_centred(problem))


def _not_centred(problem: Problem) -> list[str]:
    """Says so of most features of a user's own file; what is within -1 and 1 is scaled already."""
    dataset = problem.dataset
    if dataset is None or dataset.scaling is not None or not is_data_file(dataset.name):
        return []
    x = dataset.train.x
    far = np.abs(x.mean(axis=0)) > x.std(axis=0)
    if np.abs(x).max() <= 1 or far.mean() < MOST_FEATURES:
        return []
    return [
        f"{far.sum()} of {len(far)} features are further from 0 than they spread, and taken as "
        f"they are: units see the signs of sums. {_advice(problem)}"
    ]


def _look_the_same(problem: Problem) -> list[str]:
    """Says so where rows of other classes do."""
    objective = problem.objective
    if not objective.capabilities.sight:
        return []
    seen = objective.sight()
    if not seen.merged:
        return []
    return [
        f"{objective.subject} sees only {seen.told_apart:,} different "
        f"row{'s' * (seen.told_apart > 1)} in {seen.rows:,} of the training data: it can "
        f"classify {seen.left:.3f} of them at the most, where one answer for all is right for "
        f"{seen.constant:.3f} and that of the nearest neighbour for {seen.by_neighbours:.3f}. "
        f"Features of one sign, or of very different sizes, do that. {_advice(problem)}"
    ]


def _advice(problem: Problem) -> str:
    scaled = problem.dataset is not None and problem.dataset.scaling is not None
    if scaled:
        return "Choose other features."
    scale = "standard" if problem.dataset is None else advised_scale(problem.dataset.train.x)
    return f"Scale the features: --scale {scale}."


def advised_scale(x: npt.NDArray[np.float64]) -> str:
    """The scaling to try first for features [row, feature]: minmax for grey levels and the like.

    Where at least half of the features have one range, they share a unit. To divide each by its own
    deviation would blow up those that hardly vary, such as the corners of images.
    """
    low, high = x.min(axis=0), x.max(axis=0)
    shared = (low == x.min()) & (high == x.max())
    return "minmax" if x.shape[1] > 2 and shared.mean() >= 0.5 else "standard"


def after(
    problem: Problem, results: Sequence[Result], certificate: Mapping[str, Any] | None
) -> list[str]:
    """What is to be said of the outcome."""
    found = [*_no_better_than_a_constant(problem, results), _not_told_apart(results, certificate)]
    return [said for said in found if said]


# -- the best network against a constant -----------------------------------------------------------


def constant_loss(labels: npt.NDArray[np.integer], loss: str) -> float | None:
    """The least mean loss of one prediction for all rows with these labels; None if not known.

    That is the entropy of the classes' shares (cross-entropy) or 1 - Σ shares² (squared error), by
    their shares as probabilities, and by the most frequent class 1 - its share (accuracy).
    """
    shares = np.bincount(labels) / len(labels)
    shares = shares[shares > 0]
    if loss == "cross_entropy":
        return float(-(shares * np.log(shares)).sum())
    if loss == "squared_error":
        return float(1 - (shares**2).sum())
    return float(1 - shares.max()) if loss == "accuracy" else None


def _no_better_than_a_constant(problem: Problem, results: Sequence[Result]) -> list[str]:
    objective = problem.objective
    if objective.capabilities.constant:
        found = [loss for result in results for loss in result.best_loss if loss is not None]
        if not found or min(found) < objective.constant_loss - SAME_LOSS:
            return []
        return [
            "The best network found is no better than one number for all rows: its "
            f"{objective.loss.replace('_', ' ')} is {min(found):.4g} against "
            f"{objective.constant_loss:.4g}. Choose other layers or values, such as biases and "
            "--values -0.5,0.5, or a larger budget; scale features and targets: --scale standard."
        ]
    best = _best(results)
    if not objective.capabilities.sight or best is None:
        return []
    loss, train_accuracy, test_accuracy = best
    labels, told = objective.labels, []
    most = np.bincount(labels).argmax()
    least, share = constant_loss(labels, objective.loss), float((labels == most).mean())
    if train_accuracy <= share + ROUNDING:
        told.append(f"its training accuracy is {train_accuracy:.3f} against {share:.3f}")
    by_loss = objective.loss != "accuracy" and train_accuracy < share + CLEARLY
    if by_loss and least is not None and loss >= least - SAME_LOSS:
        name = objective.loss.replace("_", " ")
        told.append(f"its {name} is {loss:.4f} against {least:.4f}")
    if problem.test is not None and test_accuracy is not None:
        share = float((problem.test.y == most).mean())
        if test_accuracy <= share + ROUNDING:
            told.append(f"its test accuracy is {test_accuracy:.3f} against {share:.3f}")
    if not told:
        return []
    return [
        "The best network found is no better than one answer for all rows: "
        f"{', '.join(told)}. {_advice(problem)} Or choose more units or a larger budget."
    ]


def _best(results: Sequence[Result]) -> tuple[float, float, float | None] | None:
    """Loss, training and test accuracy of the networks of least loss; the best of each."""
    found = []
    for result in results:
        if result.train_accuracy is None or result.drew_nothing:
            continue
        tests = result.test_accuracy or [None] * len(result.seeds)
        found += zip(result.best_loss, result.train_accuracy, tests, strict=True)
    if not found:
        return None
    least = min(loss for loss, *_ in found)
    equal = [one for one in found if one[0] <= least + SAME_LOSS]
    tested = [test for *_, test in equal if test is not None]
    return least, max(train for _, train, _ in equal), max(tested, default=None)


# -- a problem that is too easy --------------------------------------------------------------------


def _not_told_apart(results: Sequence[Result], certificate: Mapping[str, Any] | None) -> str:
    """Says so where all entries find the same, and uniform search would as well and as quickly."""
    searched = [result for result in results if result.best_by_training_loss]
    losses = [loss for result in searched for loss in result.best_loss if loss is not None]
    if len(searched) < 2 or max(losses) - min(losses) > SAME_LOSS:
        return ""
    advice = "Choose a harder one: scaled or other data, a larger network, or a smaller budget."
    if certificate is None:
        return (
            "Every entry found the same best loss in every seed: by what they find, this problem "
            f"does not tell generators apart. {advice}"
        )
    chance = certificate["uniform_hit_probability"]
    budget = max(result.evaluations for result in searched)
    if min(losses) > certificate["minimum_loss"] + SAME_LOSS or not _hits(chance, budget):
        return ""
    quickest = min(
        float(np.median([found[-1][0] for found in result.improvements])) for result in searched
    )
    needed = 1.0 if chance == 1 else max(1.0, float(np.log(0.5) / np.log1p(-chance)))
    first_step = max((r.step.evaluations for r in searched if r.step is not None), default=0)
    if quickest < AS_QUICKLY * needed and needed > first_step:
        return ""
    return (
        "Uniform random search finds the optimum as well and as quickly, after "
        f"{needed:,.0f} evaluation{'s' * (needed >= 1.5)} in the median: this problem does not "
        f"tell generators apart. {advice}"
    )


def _hits(chance: float, budget: int) -> bool:
    """Whether uniform draws hit within the budget as well as anything does."""
    return chance == 1 or -np.expm1(budget * np.log1p(-chance)) >= AS_WELL
