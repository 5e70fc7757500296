"""Shared by all tests: a small problem that trains in milliseconds."""

from collections.abc import Iterator

import pytest

from qhyper.data import Samples, load
from qhyper.target.network import BinaryNetwork
from qhyper.target.objective import NetworkObjective
from qhyper.threads import one_torch_thread


@pytest.fixture(autouse=True)
def _one_torch_thread() -> Iterator[None]:
    """Tests run on busy machines."""
    with one_torch_thread():
        yield


@pytest.fixture(scope="session")
def digits() -> Samples:
    return load("digits").train


@pytest.fixture
def objective(digits: Samples) -> NetworkObjective:
    """Cross-entropy of a 4-6-2 network on the digits 0 and 1; 36 bits."""
    return BinaryNetwork((4, 6, 2)).objective(digits)
