"""What a target must do: an objective that is a function of bits alone, and what it declares."""

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits, all_bitstrings, as_bits
from qhyper.checks.finding import Broken, LeftOut, expect, expect_array, expect_same
from qhyper.checks.randomness import keeps_to_its_streams
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.targets.layout import Layout
from qhyper.targets.objective import flips_by_evaluation
from qhyper.targets.target import SAME_LOSS, Objective
from qhyper.targets.target import Target as AnyTarget

ROWS = 40
"""Rows of the data that objectives are made of."""
MAX_BITS = 12
"""Up to so many bits a certificate is compared with all losses."""
MANY = 200
"""Strings of which accuracies are held against losses."""
UPSIDE_DOWN = 0.5
"""A correlation of accuracies and losses from which an accuracy is no accuracy."""
ATTRIBUTES = ("n_bits", "name", "loss", "capabilities", "n_rows", "evaluations", "rows",
              "usual_training", "usual_budget", "subject")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Target:
    """A target to be tried, and some rows of the data that it was made for."""

    target: AnyTarget
    data: Samples | None

    @property
    def objective(self) -> Objective:
        """A fresh objective, which has spent nothing."""
        return self.target.objective(self.data)  # type: ignore[arg-type]

    @property
    def bits(self) -> Bits:
        """Some bitstrings [draw, bit], always the same."""
        rng = np.random.default_rng(0)
        return rng.integers(0, 2, (12, self.target.n_bits), dtype=np.uint8)


def its_layout_has_its_bits(subject: Target) -> None:
    """Its layout has as many bits as it says, and as its objective."""
    target, objective = subject.target, subject.objective
    expect(isinstance(target.layout, Layout), "`layout` is no Layout of named blocks of bits.")
    sizes = f"n_bits = {target.n_bits}, its layout {target.layout.n_bits} bits, and its objective "
    same = target.n_bits == target.layout.n_bits == objective.n_bits
    expect(same, f"It has {sizes}{objective.n_bits}. Let every bit be in one block.")
    expect(objective.layout == target.layout, "`objective.layout` is not the target's: hand it on.")


def its_objective_says_what_it_is(subject: Target) -> None:
    """Its objective has what is asked of every objective."""
    objective = subject.objective
    lacking = [name for name in ATTRIBUTES if not hasattr(objective, name)]
    expect(not lacking, f"It lacks {', '.join(lacking)}: subclass qhyper.Objective.")
    spent = (objective.evaluations, objective.rows)
    expect(spent == (0, 0), f"It has spent {spent} before it was asked: count draws alone.")
    said = objective.describe(subject.bits[0])
    expect(isinstance(said, str), f"describe(bits) gave {said!r}; expected words, or ''.")


def losses_have_their_axes(subject: Target) -> None:
    """Bits [..., bit] give finite losses float64 [...], whatever axes come before."""
    objective, bits = subject.objective, subject.bits
    flat = objective(bits)
    for shape in ((), (12,), (3, 4), (2, 3, 2)):
        some = bits[0] if shape == () else bits.reshape(*shape, -1)
        found = expect_array("A loss", objective(some), shape, "[...]")
        expect(np.isfinite(found).all(), "A loss is not finite.")
        expected = flat[0] if shape == () else flat.reshape(shape)
        expect_same(f"A loss of bits in axes {shape}", found, expected, "Flatten and restore.",
                    1e-9)  # fmt: skip


def losses_depend_on_bits_alone(subject: Target) -> None:
    """A loss is a function of its bits: not of others, their order, or what was asked before."""
    objective, bits = subject.objective, subject.bits
    first = objective(bits)
    do = "Let the loss be a function of the bits alone, without noise, memory or means over draws."
    expect_same("A loss asked for twice", objective(bits), first, do)
    expect_same("A loss in another order", objective(bits[::-1])[::-1], first, do, 1e-9)
    expect_same("A loss alone", [float(objective(one)) for one in bits], first, do, 1e-9)
    expect_same("A loss of another objective", subject.objective(bits), first, do)


def draws_are_left_as_they_are(subject: Target) -> None:
    """The bits that it gets stay as they are."""
    bits = subject.bits.copy()
    subject.objective(bits)
    changed = "It changed the bits that it was given: work on a copy."
    expect(np.array_equal(bits, subject.bits), changed)


def it_counts_what_it_spends(subject: Target) -> None:
    """It counts every bitstring as an evaluation, and as many rows as it was scored on."""
    objective = subject.objective
    objective(subject.bits)
    objective(subject.bits[0])
    spent, n_rows = (objective.evaluations, objective.rows), objective.n_rows
    expect(
        spent == (13, 13 * n_rows),
        f"13 bitstrings counted as {spent[0]} evaluations and {spent[1]} rows; expected 13 and "
        f"13 · n_rows = {13 * n_rows}. Subclass Objective and write `_evaluate`.",
    )


def it_leaves_global_generators_alone(subject: Target) -> None:
    """Losses neither read nor change a global random generator."""
    keeps_to_its_streams(lambda: subject.objective(subject.bits))


def other_bits_are_refused(subject: Target) -> None:
    """Bits of another width, or that are no bits, are refused, and nothing is counted."""
    wrong = (np.zeros((2, subject.target.n_bits + 1), np.uint8), subject.bits + 2)
    for bits in wrong:
        objective = subject.objective
        try:
            objective(bits)
        except ConfigurationError:
            expect(objective.evaluations == 0, "What it refused counts as an evaluation.")
        else:
            raise Broken(f"It took bits of shape {bits.shape}, up to {bits.max()}: subclass "
                         "Objective, which checks them.")  # fmt: skip


def accuracies_are_shares(subject: Target) -> None:
    """Accuracy, where it is declared, is a share of rows, and costs nothing."""
    objective = _able(subject, "accuracy")
    found = expect_array("Accuracy", objective.accuracy(subject.bits), (12,), "[...]")
    expect((found >= 0).all() and (found <= 1).all(), f"Accuracies go to {found.max():.4g}.")
    expect(objective.evaluations == 0, "Accuracy counts as an evaluation: it costs nothing.")
    if subject.data is not None:
        again = objective.accuracy(subject.bits, subject.data)
        expect_same("Accuracy on the same rows, given", again, found, "Score the rows given.")
        rows = np.arange(len(subject.data) // 2)
        some = subject.target.objective(subject.data.take(rows)).accuracy(subject.bits)
        given = objective.accuracy(subject.bits, subject.data.take(rows))
        expect_same("Accuracy on other rows", given, some, "Score the rows given.", 1e-9)


def accuracies_are_no_error_rates(subject: Target) -> None:
    """Accuracy is the share that is right: it falls as losses rise, and is no error rate."""
    objective = _able(subject, "accuracy")
    bits = np.random.default_rng(4).integers(0, 2, (MANY, objective.n_bits), dtype=np.uint8)
    found, losses = objective.accuracy(bits), objective(bits)
    do = "Give the share of rows that are classified as their label."
    if subject.data is not None:
        right = found * len(subject.data)
        expect_same("Accuracy times rows", right, np.round(right), do, 1e-9)
    above, higher = found - found.mean(), losses - losses.mean()
    along, size = above @ higher, np.linalg.norm(above) * np.linalg.norm(higher)
    expect(
        not along > UPSIDE_DOWN * size,
        f"Accuracy rises with the loss (over {MANY} strings their correlation is "
        f"{along / size if size else 0:.2g}), as an error rate does. {do}",
    )
    if "loss" in inspect.signature(subject.target.objective).parameters:
        by_loss = subject.target.objective(subject.data, "accuracy")  # type: ignore[arg-type]
        if by_loss.loss == "accuracy":  # what has a loss of its own alone says so
            expect_same("Accuracy", found, 1 - by_loss(bits), do, 1e-9)


def flips_are_exact(subject: Target) -> None:
    """Flips, where they are declared, are the differences of losses, and count as they say."""
    objective = _able(subject, "flips")
    bits = subject.bits[:2]
    own, differences = objective.flips(bits)
    counted = objective.evaluations
    expect(
        counted == 2 * objective.flip_evaluations,
        f"Flips of two draws counted as {counted} evaluations; flip_evaluations says "
        f"{objective.flip_evaluations} each.",
    )
    losses, expected = flips_by_evaluation(subject.objective, bits)
    expect_same("The loss that flips give", own, losses, "Give that of the draw.", 1e-9)
    expect_same("The difference of a flip", differences, expected,
                "Give L(bit flipped) - L of every bit, [..., bit].", 1e-9)  # fmt: skip


def mini_batches_are_rows(subject: Target) -> None:
    """A mini-batch, where they are declared, is the objective on its own rows."""
    objective = _able(subject, "mini_batches")
    n_rows = objective.n_rows
    bits = subject.bits[None, None]
    whole = objective.mini_batches(n_rows).take(np.arange(n_rows)[None])(bits)[0, 0]
    do = "Let take(rows) score exactly these rows."
    expect_same("A mini-batch of all rows", whole, objective(subject.bits), do, 1e-9)
    if subject.data is None or len(subject.data) != n_rows:
        return
    rows = np.random.default_rng(1).permutation(n_rows)[: max(2, n_rows // 3)]
    some = objective.mini_batches(len(rows)).take(rows[None])(bits)[0, 0]
    labels = subject.data.y[rows]
    if (labels == labels[0]).all():
        return
    expected = subject.target.objective(subject.data.take(rows))(subject.bits)
    expect_same("A mini-batch of some rows", some, expected, do, 1e-9)


def certificates_are_minima(subject: Target) -> None:
    """A certificate, where it is declared and bits are few, is that of all losses."""
    objective = _certified(subject)
    found, losses = objective.certify(temperature=0.05), _all_losses(subject)
    expect(found.n_bits == objective.n_bits, f"The certificate has n_bits = {found.n_bits}.")
    do = "Mend `certify`."
    expect_same("The proven minimum", found.minimum_loss, losses.min(), do, 1e-9)
    optimum = as_bits(found.optimum, objective.n_bits)
    expect_same("The loss of `optimum`", subject.objective(optimum), losses.min(), do, 1e-9)
    levels, times = np.asarray(found.levels), np.asarray(found.multiplicities)
    apart = levels.shape == times.shape and (np.diff(levels) > 0.9 * SAME_LOSS).all()
    expect(apart, "`levels` and `multiplicities` are not [level] of losses that rise. " + do)
    best = int((losses <= losses.min() + SAME_LOSS).sum())
    expect(
        found.optimal_bitstrings == best and times.sum() == len(losses) and (times > 0).all(),
        f"By `multiplicities` {found.optimal_bitstrings} of {times.sum():,} strings reach the "
        f"minimum; of all {len(losses):,} it is {best}. {do}",
    )
    spectrum = np.repeat(levels, times.astype(np.int64))
    expect_same("A loss by `levels`", spectrum, np.sort(losses), do, 3 * SAME_LOSS)


def certified_accuracies_are_true(subject: Target) -> None:
    """The accuracies of a certificate are those of all strings, the best and at the minimum."""
    objective = _certified(subject)
    found, losses = objective.certify(temperature=0.05), _all_losses(subject)
    names = ("accuracy_at_minimum", "best_accuracy", "best_accuracy_bits")
    given = [name for name in (*names, "best_accuracy_bitstrings") if _has(found, name)]
    if not given:
        raise LeftOut("it has none")
    able = objective.capabilities.accuracy
    expect(able, f"It gives `{given[0]}`, and its capabilities have no accuracy: declare it.")
    accuracies = objective.accuracy(all_bitstrings(objective.n_bits))
    most = accuracies >= accuracies.max() - 1e-12
    of_lowest = accuracies[losses <= losses.min() + SAME_LOSS].max()
    true = {
        "accuracy_at_minimum": of_lowest,
        "best_accuracy": accuracies.max(),
        "best_accuracy_bitstrings": most.sum(),
    }
    do = "Mend `certify`."
    for name in set(given) & set(true):
        expect_same(f"`{name}`", getattr(found, name), true[name], do, 1e-9)
    if _has(found, "accuracy_at_minimum"):
        own = objective.accuracy(found.optimum)
        expect_same("The accuracy of `optimum`", own, of_lowest, do, 1e-9)
    if _has(found, "best_accuracy_bits"):
        bits = as_bits(found.best_accuracy_bits, objective.n_bits)
        own = (objective.accuracy(bits), subject.objective(bits))
        expected = (accuracies.max(), losses[most].min())
        expect_same("Accuracy and loss of `best_accuracy_bits`", own, expected, do, 1e-9)


def _has(certificate: Any, name: str) -> bool:
    return getattr(certificate, name, None) is not None


def _certified(subject: Target) -> Objective:
    """A fresh objective with a certificate; LeftOut for many bits."""
    objective = _able(subject, "certificate")
    if objective.n_bits > MAX_BITS:
        raise LeftOut(f"it has {objective.n_bits} bits, too many to try them all")
    return objective


def _all_losses(subject: Target) -> npt.NDArray[np.float64]:
    """The losses of all strings, [string]."""
    return subject.objective(all_bitstrings(subject.target.n_bits))


def _able(subject: Target, capability: str) -> Objective:
    objective = subject.objective
    if not getattr(objective.capabilities, capability):
        raise LeftOut("its capabilities do not have it")
    return objective


def some_rows(data: Any) -> Samples | None:
    """Some rows of a data set, of every class."""
    if data is None:
        return None
    classes = [np.flatnonzero(data.train.y == label) for label in range(data.n_classes)]
    each = -(-ROWS // len(classes))
    return data.train.take(np.sort(np.concatenate([rows[:each] for rows in classes])))


CHECKS = (
    its_layout_has_its_bits,
    its_objective_says_what_it_is,
    draws_are_left_as_they_are,
    losses_depend_on_bits_alone,
    losses_have_their_axes,
    it_counts_what_it_spends,
    it_leaves_global_generators_alone,
    other_bits_are_refused,
    accuracies_are_shares,
    accuracies_are_no_error_rates,
    flips_are_exact,
    mini_batches_are_rows,
    certificates_are_minima,
    certified_accuracies_are_true,
)
