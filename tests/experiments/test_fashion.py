"""The study of Fashion-MNIST: parts on made-up images, tables and picture."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from experiments.fashion import study
from experiments.fashion.tables import KINDS, PRINTED
from experiments.study import find
from qhyper.data.images import Images


def made_images(n, seed):
    """Images of ten classes that differ in two rows of pixels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n)
    pixels = rng.integers(0, 100, (n, 28, 28))
    pixels[np.arange(n), 2 * labels] += 150
    return Images(pixels.reshape(n, 784).astype(np.uint8), labels)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(
        study, "load_images", lambda name: (made_images(220, 0), made_images(90, 1))
    )
    monkeypatch.setattr(study, "HIDDEN", (16, 8))
    monkeypatch.setattr(study, "QUICK", (200, 20, 2))
    monkeypatch.setattr(study, "REPEATS", 1)
    monkeypatch.setattr("experiments.fashion.tables.HIDDEN", (16, 8))
    monkeypatch.setattr("experiments.fashion.pictures.HIDDEN", (16, 8))
    for n in (8, 16):
        for kind in KINDS:
            monkeypatch.setitem(PRINTED, f"{kind}-{n}", PRINTED[f"{kind}-128"])


def test_parts_are_the_networks_of_the_report():
    parts = study.parts(quick=False)
    assert set(parts) == set(PRINTED)
    assert next(iter(parts)) == "stochastic-1024"  # the longest
    assert set(study.RATES) == set(KINDS)


def test_tables_and_picture_of_a_small_run(small, tmp_path):
    results = {name: work() for name, work in study.parts(quick=True).items()}
    results = json.loads(json.dumps(results))
    text = study.tables(results)
    for name, found in results.items():
        kind, n = name.split("-")
        lines = [s for s in text.splitlines() if f"784-{n}-10 | {KINDS[kind]} |" in s]
        assert len(lines) == 3
        accuracy, training, classifying = lines
        assert f"| {100 * found['accuracy']:.2f} | {PRINTED[name].test:.1f} |" in accuracy
        assert f"| {PRINTED[name].memory:.2f} |" in training
        assert f"| {found['torch_bytes']:,} |" in classifying
        assert len(found["losses"]) == len(found["held_out"]) == len(found["epoch_seconds"]) == 2
        assert found["chosen"] == int(np.argmax(found["held_out"])) + 1
        if kind == "none":
            assert "packed_bytes" not in found
        else:
            assert found["disagreements"] == 0
            assert found["packed_bytes"] < found["torch_bytes"]
    study.draw(results, tmp_path)
    ElementTree.parse(tmp_path / "accuracy.svg")


def test_what_is_expected_is_measured():
    found = {"accuracy": 0.5, "torch_bytes": 64, "packed_bytes": 2, "disagreements": 0}
    full = {"accuracy": 0.5, "torch_bytes": 64}
    results = {name: full if "none" in name else found for name in study.parts(quick=False)}
    measured = study.measured(results)
    assert measured["deterministic-128-size-ratio"] == 32
    for quick in (True, False):
        assert set(find("fashion").expectations(quick)) <= set(measured)


def test_memory_that_is_not_known_is_left_out(small):
    one = study.parts(quick=True)["none-8"]() | {"memory": None, "idle_memory": None}
    results = {f"{kind}-{n}": one for kind in KINDS for n in (8, 16)}
    line = next(s for s in study.tables(results).splitlines() if "peak memory, MB" in s)
    at = line.split(" | ").index("peak memory, MB")
    rows = [s.split(" | ") for s in study.tables(results).splitlines() if "1016.32" in s]
    assert rows
    assert all(row[at : at + 2] == ["–", "–"] for row in rows)
