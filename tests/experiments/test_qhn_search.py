"""The search for the best 36 weights: what is stripped, and that tables show what was found."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from experiments.qhn_search import study
from experiments.study import find
from qhyper.data.sets import availability
from qhyper.quantum.simulators.mps import MatrixProductBackend

needs_mnist = pytest.mark.skipif(
    not availability()["mnist"].startswith("found"),
    reason="MNIST: QHYPER_DATA is not set",
)


def test_a_stripped_circuit_has_the_same_angles_and_independent_bits():
    for name in ("depth-2", "depth-4"):
        whole, stripped = (study.CIRCUITS[part][1].build(36) for part in (name, f"{name}-stripped"))
        assert stripped.n_parameters == whole.n_parameters
        assert stripped.angles == whole.angles
        assert all(gate.angle is not None for gate in stripped.gates)
        assert MatrixProductBackend().compile(stripped).program.bond.max() == 1


@needs_mnist
def test_tables_and_picture_of_a_small_run(monkeypatch, tmp_path):
    monkeypatch.setattr(study, "QUICK", (3, 640))
    results = {name: work() for name, work in study.parts(quick=True).items()}
    text = study.tables(results)
    for data in study.DATA:
        for name, (words, _) in study.CIRCUITS.items():
            found = results[f"{name}-{data}"]
            near = sum(loss <= 1.05 * found["minimum"] for loss in found["final"])
            row = next(line for line in text.splitlines() if f"| {words} |" in line)
            assert row.split(" | ")[1] == str(found["parameters"])
            assert f"| {near} of 3 |" in text
            assert min(found["best"]) >= found["minimum"] - 1e-12
    study.draw(results, tmp_path)
    ElementTree.parse(tmp_path / "final.svg")
    measured = study.measured(results)
    assert np.isfinite(list(measured.values())).all()
    for quick in (True, False):
        assert set(find("qhn-search").expectations(quick)) <= set(measured)
