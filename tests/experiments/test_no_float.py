"""The study of training without floating point: a small run end to end, and what it measures."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest

from classical.evolution import CountingErrors, EliteEvolution, NaivePerturbation
from classical.majority import MajorityNetwork
from experiments.no_float import study
from experiments.study import find
from qhyper.data.images import images_availability

needs_mnist = pytest.mark.skipif(
    not images_availability("mnist").startswith("found"),
    reason="MNIST: QHYPER_DATA is not set",
)


def test_every_setting_is_a_network_and_each_scheme_runs_as_printed_and_free():
    kinds: dict[str, set[type]] = {}
    for name, setting in study.SETTINGS.items():
        network = MajorityNetwork(setting.layers, setting.label_bits)
        assert network.classes == 10
        kind = name.split("-")[1]
        kinds.setdefault(kind, set()).add(type(setting.scheme))
        assert setting.minutes <= 30  # as the thesis
        assert kind == "printed" or setting.printed is None
        assert setting.quick % 5 == 0
    expected = {NaivePerturbation, EliteEvolution, CountingErrors}
    assert kinds == {"printed": expected, "free": expected}
    printed = study.SETTINGS["counting-printed"]
    assert (len(printed.layers) - 1, printed.label_bits) == (5, 100)


def test_depth_has_controls_that_differ_in_nothing_else():
    _, deep, trained = study.ERROR_SETTINGS["errors"]
    assert (len(deep), trained) == (4, {})  # two hidden layers, all trained
    controls = {name: found[1:] for name, found in study.ERROR_SETTINGS.items()}
    assert controls["errors-first-random"] == (deep, {"random_layers": 1})
    assert controls["errors-both-random"] == (deep, {"random_layers": 2})
    assert controls["errors-one-hidden"] == ((deep[0], deep[1], deep[-1]), {})
    assert study.MINUTES == 5


@needs_mnist
def test_tables_picture_and_numbers_of_a_small_run(monkeypatch, tmp_path):
    small = {
        name: replace(setting, layers=(784, 6, 20), label_bits=2, quick=5)
        for name, setting in study.SETTINGS.items()
    }
    monkeypatch.setattr(study, "SETTINGS", small)
    monkeypatch.setattr(study, "QUICK_STEPS", 3)
    narrow = {
        name: (title, (*([784, 9, 8][: len(layers) - 1]), 10), options)
        for name, (title, layers, options) in study.ERROR_SETTINGS.items()
    }
    monkeypatch.setattr(study, "ERROR_SETTINGS", narrow)
    results = {name: work() for name, work in study.parts(quick=True).items()}
    text = study.tables(results)
    assert "nan" not in text
    for name, found in results.items():
        assert 0 <= found["accuracy"] <= 1
        assert text.count(f"| {found['title']} |") == 3
        assert f"| {100 * found['accuracy']:.2f} % |" in text
        assert found["history"][0][0] <= found["history"][-1][0] <= found["seconds"]
        if name in small:
            assert [generation for _, generation, _ in found["history"]] == list(range(6))
            weights = 784 * 6 + 6 * 20
            assert weights / 8 < found["bytes"] < weights / 8 + 4000
    for name, (_, layers, _) in narrow.items():
        assert results[name]["layers"] == list(layers)
        assert [epoch for _, epoch, _ in results[name]["history"]] == [1]
    study.draw(results, tmp_path)
    for picture in ("accuracy", "depth"):
        ElementTree.parse(tmp_path / f"{picture}.svg")
    measured = study.measured(results)
    assert np.isfinite(list(measured.values())).all()
    for quick in (True, False):
        assert set(find("no-float").expectations(quick)) <= set(measured)
