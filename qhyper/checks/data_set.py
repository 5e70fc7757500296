"""What a data set must do: the same rows for the same seed, and a test set of its own."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from qhyper.checks.finding import LeftOut, expect
from qhyper.checks.randomness import keeps_to_its_streams
from qhyper.data.samples import Dataset, Samples, Targets

SIGMAS = 5
"""Standard errors by which more test rows may be known from training than chance would have it."""


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set to be tried: how it is loaded for a seed, and whether it takes one."""

    load: Callable[[int], Dataset]
    takes_seed: bool

    @cached_property
    def loaded(self) -> Dataset:
        """The data of seed 0."""
        return self.load(0)


def arrays(data: Dataset) -> list[Any]:
    """Features and labels of training and test rows."""
    return [data.train.x, data.train.y, data.test.x, data.test.y]


def it_has_rows_of_every_class(subject: DataSet) -> None:
    """It is a Dataset with rows of every class, to train on and to test on."""
    data = subject.loaded
    expect(isinstance(data, Dataset), f"It is a {type(data).__name__}: return a qhyper.Dataset.")
    if isinstance(data.train, Targets):
        return  # numbers to predict, of no class
    for name, samples in (("train", data.train), ("test", data.test)):
        present = len(np.unique(samples.y))
        expect(
            present == data.n_classes,
            f"`{name}` has rows of {present} of the {data.n_classes} classes: split by class.",
        )


def it_can_be_loaded_again(subject: DataSet) -> None:
    """The same seed gives the same rows, and no global random generator is read or changed."""
    keeps_to_its_streams(lambda: arrays(subject.load(0)))


def rows_for_testing_are_its_own(subject: DataSet) -> None:
    """Test rows are found among training rows no more often than these among each other."""
    data = subject.loaded
    train, test = _numbers(data.train), _numbers(data.test)
    known, times = set(train), Counter(train)
    found = sum(row in known for row in test)
    again = sum(times[row] > 1 for row in train) / len(train)
    spread = max(again * (1 - again), 1 / len(train))
    expect(
        found <= again * len(test) + SIGMAS * math.sqrt(spread * len(test)),
        f"{found:,} of {len(test):,} test rows are training rows too, where "
        f"{again:.2%} of the training rows are there twice. Take test rows that are not trained "
        "on, or results on them say nothing.",
    )


def another_seed_gives_other_rows(subject: DataSet) -> None:
    """Another seed gives other rows, or another split, if it has an argument `seed`."""
    if not subject.takes_seed:
        raise LeftOut("it has no argument `seed`: its rows are always the same")
    pairs = zip(arrays(subject.loaded), arrays(subject.load(1)), strict=True)
    expect(
        any(not np.array_equal(one, other) for one, other in pairs),
        "The seeds 0 and 1 give the same rows, in the same split. Draw or split by `seed`: "
        "np.random.default_rng(seed); or leave the argument out.",
    )


def _numbers(samples: Samples) -> list[int]:
    """A number for each row that is the same for the same features alone."""
    return [hash((row + 0.0).tobytes()) for row in samples.x]  # + 0.0 makes -0 the same as 0


CHECKS = (
    it_has_rows_of_every_class,
    it_can_be_loaded_again,
    rows_for_testing_are_its_own,
    another_seed_gives_other_rows,
)
