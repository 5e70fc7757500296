"""The package `experiments` is not installed: it is found in the checkout."""

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from qhyper.data import idx_files
from qhyper.targets.layered.objective import NetworkObjective
from tests.conftest import certified_once

sys.path.insert(0, str(Path(__file__).parents[2]))


@pytest.fixture(scope="module", name="certified_once")
def _certified_once() -> Iterator[None]:
    """Parts of a study, which are processes of their own elsewhere, share the certificate here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NetworkObjective, "certify", certified_once)
        yield


@pytest.fixture(scope="module", autouse=True)
def _files_are_read_once() -> Iterator[None]:
    """Parts, which are processes of their own elsewhere, share what is in the files of images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idx_files, "_content", _content_once)
        yield


@cache
def _content_once(*of: Any, **which: Any) -> Any:
    return _content(*of, **which)


_content = idx_files._content
