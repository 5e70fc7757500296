"""The package `experiments` is not installed: it is found in the checkout."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qhyper.targets.layered.objective import NetworkObjective
from tests.conftest import certified_once

sys.path.insert(0, str(Path(__file__).parents[2]))


@pytest.fixture(scope="module", name="certified_once")
def _certified_once() -> Iterator[None]:
    """Parts of a study, which are processes of their own elsewhere, share the certificate here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NetworkObjective, "certify", certified_once)
        yield
