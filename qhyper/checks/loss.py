"""What a loss of logits must do: one finite number for each row, of that row alone."""

from dataclasses import dataclass

import numpy as np

from qhyper.checks.finding import LeftOut, expect, expect_same
from qhyper.checks.randomness import keeps_to_its_streams
from qhyper.errors import ConfigurationError
from qhyper.targets.loss import NOT_BY_ROW, is_by_row, label_losses, mean_losses

LOGITS = np.random.default_rng(0).normal(0, 3, (5, 7, 2))
"""[draw, row, class], from tame to certain."""
TIED = np.zeros((1, 7, 2))
WIDE = np.random.default_rng(1).integers(-300, 301, (3, 7, 2)).astype(np.float64)
LABELS = np.array([0, 1, 1, 0, 1, 0, 0])
MANY = 331
"""Rows that are tried together: a prime, and so no multiple of the size of any mini-batch."""
CLASSES = (2, 3)
"""Numbers of classes that are tried."""
SINGLE = 1e-6
"""How near means have to be where a loss computes in single precision."""


@dataclass(frozen=True)
class Loss:
    """A loss to be tried, by its name."""

    name: str

    def __call__(self, logits: np.ndarray, labels: np.ndarray = LABELS) -> np.ndarray:
        """The mean loss [draw]."""
        return mean_losses(logits, labels, self.name)


def many_rows(n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits [draw, row, class] and labels [row], of which each class has some."""
    rng = np.random.default_rng(n_classes)
    labels = rng.permutation(np.arange(MANY) % n_classes)
    return rng.normal(0, 3, (4, MANY, n_classes)), labels


def it_gives_finite_numbers(subject: Loss) -> None:
    """It gives finite numbers, for logits that are tied and for large ones too."""
    for logits in (LOGITS, TIED, WIDE, 0.25 * WIDE[..., :1]):
        expect(np.isfinite(subject(logits)).all(), "A loss is not finite.")


def it_can_be_repeated(subject: Loss) -> None:
    """It gives the same again, whatever the global random generators, and for one draw alone."""
    first = subject(LOGITS)
    do = "Let it be a function of logits and labels alone."
    keeps_to_its_streams(lambda: subject(LOGITS))
    expect_same("A loss asked for twice", subject(LOGITS), first, do)
    alone = [float(subject(one[None])[0]) for one in LOGITS]
    expect_same("A loss of one draw alone", alone, first, do, 1e-9)


def it_does_not_depend_on_the_order_of_rows(subject: Loss) -> None:
    """The order of the rows does not matter: those that are the same are counted, not kept."""
    do = "Use no order, and every row."
    for logits, labels in ((LOGITS, LABELS), many_rows(2)):
        found, expected = subject(logits[:, ::-1], labels[::-1]), subject(logits, labels)
        expect_same("A loss of rows in another order", found, expected, do, SINGLE)


def it_is_a_mean(subject: Loss) -> None:
    """Rows that are all there twice have the loss that they have once: it is a mean, no sum."""
    logits, labels = many_rows(2)
    found = subject(np.concatenate([logits, logits], axis=1), np.concatenate([labels, labels]))
    do = "Divide by the number of rows: losses on more rows or fewer are compared."
    expect_same("A loss of all rows twice", found, subject(logits, labels), do, SINGLE)


def every_class_counts(subject: Loss) -> None:
    """The logits of each class matter, and so do the rows of each, with two classes and three."""
    for n_classes in CLASSES:
        logits, labels = many_rows(n_classes)
        try:
            first = subject(logits, labels)
        except ConfigurationError as error:
            if n_classes == 2:
                raise
            raise LeftOut(f"it refuses {n_classes} classes: {error}") from error
        do = f"Use all of the logits [row, class], or refuse {n_classes} classes: raise ValueError."
        for label in range(n_classes):
            lower, rows = logits.copy(), labels == label
            lower[..., label] -= 5
            moved, what = (subject(lower, labels) != first).any(), f"With {n_classes} classes"
            expect(moved, f"{what} the logits of class {label} do not count. {do}")
            other = logits.copy()
            other[:, rows] = -logits[:, rows]
            moved = (subject(other, labels) != first).any()
            expect(moved, f"{what} rows of class {label} do not count. {do}")
            told = np.where(rows, (label + 1) % n_classes, labels)
            moved = (subject(logits, told) != first).any()
            expect(moved, f"{what} it takes the label {label} for another. {do}")


def rows_are_by_themselves(subject: Loss) -> None:
    """The loss of a row depends on that row alone, by which kernels and proofs are quick."""
    if not is_by_row(subject.name, 2):
        raise LeftOut(f"it {NOT_BY_ROW}: it works, one draw at a time")
    do = "Let the loss of a row be a function of its logits and label."
    for logits, first in ((LOGITS, 3), (many_rows(2)[0], MANY - 2)):
        every = label_losses(logits, subject.name)
        some = label_losses(logits[-2:, first : first + 2], subject.name)
        expect_same("A loss of few rows", some, every[-2:, first : first + 2], do, SINGLE)


CHECKS = (
    it_gives_finite_numbers,
    it_can_be_repeated,
    it_does_not_depend_on_the_order_of_rows,
    it_is_a_mean,
    every_class_counts,
    rows_are_by_themselves,
)
