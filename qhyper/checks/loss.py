"""What a loss of logits must do: one finite number for each row, of that row alone."""

from dataclasses import dataclass

import numpy as np

from qhyper.checks.finding import LeftOut, expect, expect_same
from qhyper.checks.randomness import keeps_to_its_streams
from qhyper.targets.loss import NOT_BY_ROW, is_by_row, label_losses, mean_losses

LOGITS = np.random.default_rng(0).normal(0, 3, (5, 7, 2))
"""[draw, row, class], from tame to certain."""
TIED = np.zeros((1, 7, 2))
WIDE = np.random.default_rng(1).integers(-300, 301, (3, 7, 2)).astype(np.float64)
LABELS = np.array([0, 1, 1, 0, 1, 0, 0])


@dataclass(frozen=True)
class Loss:
    """A loss to be tried, by its name."""

    name: str

    def __call__(self, logits: np.ndarray, labels: np.ndarray = LABELS) -> np.ndarray:
        """The mean loss [draw]."""
        return mean_losses(logits, labels, self.name)


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
    found = subject(LOGITS[:, ::-1], LABELS[::-1])
    expect_same("A loss of rows in another order", found, subject(LOGITS), "Use no order.", 1e-9)


def rows_are_by_themselves(subject: Loss) -> None:
    """The loss of a row depends on that row alone, by which kernels and proofs are quick."""
    if not is_by_row(subject.name, 2):
        raise LeftOut(f"it {NOT_BY_ROW}: it works, one draw at a time")
    every = label_losses(LOGITS, subject.name)
    some = label_losses(LOGITS[:2, 3:5], subject.name)
    do = "Let the loss of a row be a function of its logits and label."
    expect_same("A loss of few rows", some, every[:2, 3:5], do, 1e-6)


CHECKS = (
    it_gives_finite_numbers,
    it_can_be_repeated,
    it_does_not_depend_on_the_order_of_rows,
    rows_are_by_themselves,
)
