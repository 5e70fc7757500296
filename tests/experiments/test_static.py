"""The study of static hypernetworks: all its parts on made-up images, tables and picture."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from experiments.static import study
from experiments.static.settings import CONTROLS, DATA, KINDS, LONG, SHORT, SIZES, SOURCES
from experiments.study import find
from qhyper.data.samples import Samples
from qhyper.hypernetwork import build_generator
from qhyper.targets.packed.target import PackedTarget

SMALL = study.Size(
    seeds=2, rows=2_000, long_rows=4_000, held_out=0, epochs=1, batch=50, watch_every=10
)


def made_images(n, seed):
    """Images of ten classes that differ in two rows of pixels, in [-1, 1]."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 10
    pixels = rng.uniform(-1, 0.4, (n, 28, 28))
    pixels[np.arange(n), 2 * labels] += 0.6
    return Samples(pixels.reshape(n, 784), labels)


@pytest.fixture
def small(monkeypatch):
    rows = [made_images(n, seed) for seed, n in enumerate((200, 60, 80))]
    monkeypatch.setattr(study, "_data", lambda name, size: rows)
    monkeypatch.setattr(study, "TARGET", PackedTarget((784, 8, 10)))
    monkeypatch.setattr(study, "FULL", SMALL)


def test_parts_are_every_curve_with_every_seed():
    parts = study.parts(quick=False)
    fields = sum(len(fields) for of_data in SHORT.values() for fields in of_data.values())
    long = sum(len(fields) for fields in LONG.values())
    rival = len(DATA) + len(SOURCES) - 1
    assert len(parts) == 3 * (fields + long + rival) + len(CONTROLS) * len(DATA) + 1
    assert next(iter(parts)).startswith("entangled")  # the longest
    assert len(study.parts(quick=True)) == fields + long + rival + len(CONTROLS) * len(DATA) + 1


@pytest.mark.parametrize(
    ("number", "least", "most"),
    [("500", 513, 537), ("1400", 1409, 1433), ("3200", 3201, 3225), ("14000", 14080, 14104)],
)
def test_sizes_have_so_many_parameters(number, least, most):
    """Of all kinds but the MLP, which has 272 more."""
    target = PackedTarget((784, 128, 10))
    for kind in KINDS.values():
        if kind.title == "MLP":
            continue
        options = {**SIZES[number], **kind.options}
        generator = build_generator(kind.name, target.n_bits, layout=target.layout, options=options)
        trained = sum(p.numel() for p in generator.parameters() if p.requires_grad)
        assert least <= trained <= most


def test_tables_and_picture_of_a_small_run(small, tmp_path):
    pytest.importorskip("qiskit_ibm_runtime")
    parts = study.parts(quick=False)
    once = ("control", "device")
    results = {n: work() for n, work in parts.items() if n.endswith("-0") or n.startswith(once)}
    results = json.loads(json.dumps(results))
    text = study.tables(results)
    entangled = results["entangled-14000-mnist-0"]
    assert entangled["chunks"] == (784 * 8 + 80) // 8
    assert entangled["rows"] <= 2_000 < results["product-14000-mnist-long-0"]["rows"] <= 4_000
    assert entangled["total_correlation"] > 0
    assert results["unentangled-14000-mnist-0"]["total_correlation"] == 0
    share = f"{100 * entangled['mode']:.1f}"
    assert f"| circuit of depth 2, entangled | {entangled['parameters']:,} | {share} (" in text
    assert f"| Quantum-Train, its circuit frozen | {DATA['mnist'][0]} | 249 |" in text
    assert "| circuit, product | 794 | 8 | 800 | 12,896 |" in text
    assert "nan" not in text
    study.draw(results, tmp_path)
    drawn = (tmp_path / "accuracy.svg").read_text(encoding="utf-8")
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    found = study.measured(results)
    assert all(np.isfinite(list(found.values())))
    for quick in (False, True):
        assert set(find("static").expectations(quick)) <= set(found)
