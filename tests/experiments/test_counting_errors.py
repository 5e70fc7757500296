"""The study of counting errors: all parts on made-up images, ties, tables and pictures."""

import itertools
import xml.etree.ElementTree as ElementTree
from functools import cache

import numpy as np
import pytest

from classical.evolution import EliteEvolution
from classical.majority import MajorityNetwork
from experiments.counting_errors import study, tables
from experiments.study import find
from qhyper.data.images import Images

SMALL = study.Sizes(
    generations=20, elite_generations=5, seeds=2, rows=200, kernel_rows=100, epochs=1, deepest=5,
    label_bits=study.FULL.label_bits,
)  # fmt: skip


@cache
def made_images():
    """Images of ten classes that differ in two rows of pixels, to train on and to test."""
    rng, found = np.random.default_rng(0), []
    for n in (360, 80):
        labels = np.arange(n) % 10
        pixels = rng.integers(140, size=(n, 28, 28), dtype=np.uint8)
        pixels[np.arange(n), 2 * labels] += 115
        found.append(Images(pixels.reshape(n, 784), labels))
    return tuple(found)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(study, "_images", made_images)
    monkeypatch.setattr(study, "QUICK", SMALL)
    for name, value in {"WIDTH": 16, "BITS": 5, "HELD_OUT": 60, "HIDDEN": 8}.items():
        monkeypatch.setattr(study, name, value)
    monkeypatch.setattr(study, "SHARES_OF", MajorityNetwork((784, 16, 16, 20), 2))
    monkeypatch.setattr(study, "ELITE", EliteEvolution(0.001, rows=50, children=3, networks=2))


def test_parts_are_every_depth_by_every_reading():
    parts = study.parts(quick=False)
    assert sum(name.startswith("depth-") for name in parts) == 4 * len(study.RULES)
    assert study.FULL.label_bits == (1, 2, 5, 10, 20, 50, 100)
    assert {rule.reading for rule in study.RULES.values()} == {
        "all-weights", "contributions", "wrong-bits",
    }  # fmt: skip
    assert set(tables.RULES) == set(study.RULES)


@pytest.mark.parametrize(("bits", "classes"), [(1, 2), (1, 4), (2, 3), (3, 4), (5, 2)])
def test_ties_of_fair_bits_are_those_of_all_strings(bits, classes):
    ties = 0
    for string in itertools.product((0, 1), repeat=bits * classes):
        ones = sorted(sum(string[c * bits : (c + 1) * bits]) for c in range(classes))
        ties += ones[-1] == ones[-2]
    assert study.fair_ties(bits, classes) == pytest.approx(ties / 2 ** (bits * classes), abs=1e-12)


@pytest.mark.parametrize(
    ("bits", "ties"),
    [(1, 0.99), (2, 0.81), (5, 0.52), (10, 0.39), (20, 0.29), (50, 0.20), (100, 0.14)],
)
def test_ties_of_fair_bits_of_ten_classes(bits, ties):
    assert study.fair_ties(bits) == pytest.approx(ties, abs=0.005)


@pytest.mark.usefixtures("small")
def test_tables_pictures_and_numbers_of_a_small_run(tmp_path):
    results = {name: work() for name, work in study.parts(quick=True).items()}
    text = study.tables(results)
    assert "nan" not in text
    for rule in tables.RULES.values():
        assert f"| {rule} |" in text
    for name, found in results.items():
        if name.startswith("depth-"):
            rows = {tried["rows"]: tried for tried in found["tried"]}
            assert set(rows) == set(study.ROWS)
            assert found["best"]["held_out"] == max(tried["held_out"] for tried in rows.values())
            assert found["best"]["history"][-1][0] == SMALL.generations
    for found in results["bits"]:
        assert 0 <= found["ties"] <= 1
        assert abs(found["by_lot"] - found["test"]) <= found["ties"]
    as_printed, _ = results["elite"]
    assert as_printed["scored"] == as_printed["test"]
    study.draw(results, tmp_path)
    for picture in ("depth.svg", "bits.svg"):
        ElementTree.parse(tmp_path / picture)
    measured = study.measured(results)
    assert np.isfinite(list(measured.values())).all()
    for quick in (True, False):
        assert set(find("counting-errors").expectations(quick)) <= set(measured)
