"""Shared by the tests of data: no network, and made-up files of MNIST."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from qhyper.data import idx_files


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise ConnectionError("no network in tests")

    monkeypatch.setattr("pooch.retrieve", refuse)


@pytest.fixture
def places(monkeypatch, tmp_path):
    """The folders QHYPER_DATA and cache, and the published checksums, for made-up MNIST files."""
    rng = np.random.default_rng(0)
    contents = {}
    for prefix, labels in (("train", [5, 0, 1, 1, 9]), ("t10k", [1, 2, 0])):
        images = rng.integers(0, 256, size=(len(labels), 28, 28), dtype=np.uint8)
        images[labels.index(1), 6:8, 20:22] = [[250, 252], [253, 253]]
        head = struct.pack(">IIII", 2051, len(labels), 28, 28)
        contents[f"{prefix}-images-idx3-ubyte.gz"] = gzip.compress(head + images.tobytes())
        head = struct.pack(">II", 2049, len(labels))
        contents[f"{prefix}-labels-idx1-ubyte.gz"] = gzip.compress(head + bytes(labels))
    sums = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
    source = idx_files.SOURCES["mnist"]
    assert set(sums) == set(source.sha256)
    monkeypatch.setitem(idx_files.SOURCES, "mnist", source._replace(sha256=sums))
    named, cache = tmp_path / "named", tmp_path / "cache"
    named.mkdir()
    monkeypatch.setenv("QHYPER_DATA", str(named))
    monkeypatch.setattr("pooch.os_cache", lambda project: cache)

    def fill(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            (folder / file).write_bytes(content)

    return named, cache, fill
