"""What a data set must do: the same rows for the same seed, and a test set of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from qhyper.checks.finding import expect
from qhyper.checks.randomness import keeps_to_its_streams
from qhyper.data.samples import Dataset


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set to be tried: how it is loaded for a seed."""

    load: Callable[[int], Dataset]

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
    for name, samples in (("train", data.train), ("test", data.test)):
        present = len(np.unique(samples.y))
        expect(
            present == data.n_classes,
            f"`{name}` has rows of {present} of the {data.n_classes} classes: split by class.",
        )


def it_can_be_loaded_again(subject: DataSet) -> None:
    """The same seed gives the same rows, and no global random generator is read or changed."""
    keeps_to_its_streams(lambda: arrays(subject.load(0)))


CHECKS = (it_has_rows_of_every_class, it_can_be_loaded_again)
