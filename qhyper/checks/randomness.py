"""Whether something reads or changes the global generators of torch, NumPy and Python."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from qhyper.arrays import as_array
from qhyper.checks.finding import Broken
from qhyper.training.randomness import global_states

DO = (
    "Draw from the generators that are given, one a replica (rng[r].random(...)), or seed a "
    "torch.Generator from them."
)


def keeps_to_its_streams(call: Callable[[], Any]) -> None:
    """Raise Broken if `call` changes a global generator, or gives other numbers by its state.

    `call` gives an array, or several; it is called twice, with other global seeds.
    """
    with _put_back():
        found = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            before = global_states()
            found.append([as_array(part, "its numbers") for part in _parts(call())])
            for name, state in global_states().items():
                if state != before[name]:
                    raise Broken(f"It draws from {name}, which other code draws from too. {DO}")
        for one, other in zip(*found, strict=True):
            if one.shape != other.shape or not _equal(one, other):
                raise Broken(
                    "The same seeds and streams gave other numbers the second time, with another "
                    "state of the global generators: something reads one of these, or a generator "
                    f"without a seed. {DO}"
                )


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _parts(found: Any) -> list[Any]:
    return list(found) if isinstance(found, list | tuple) else [found]


@contextmanager
def _put_back() -> Iterator[None]:
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng(devices=()):
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
