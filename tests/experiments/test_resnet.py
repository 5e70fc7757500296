"""The study of the binary ResNet-18: parts on made-up images, tables, picture and command."""

import json
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest

from experiments.resnet import study
from experiments.resnet import train as command
from experiments.resnet.settings import ABLATIONS, FULL, MAIN, PROPOSED, QUICK
from experiments.resnet.tables import PRINTED
from experiments.study import find
from qhyper.data.images import Images
from qhyper.errors import ConfigurationError

SMALL = replace(
    QUICK,
    training=128,
    held_out=20,
    test=30,
    width=1 / 32,
    epochs=2,
    steps=1,
    packed=((1 / 32, 20),),
)


def made_images(n, seed):
    """Images of ten classes that differ in three rows of pixels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n)
    pixels = rng.integers(0, 100, (n, 3, 32, 32))
    for image, label in zip(pixels, labels, strict=True):
        image[:, 3 * label : 3 * label + 3] += 150
    return Images(pixels.reshape(n, -1).astype(np.uint8), labels, (3, 32, 32))


@pytest.fixture
def small(monkeypatch, tmp_path):
    for module in (study, command):
        monkeypatch.setattr(
            module, "load_images", lambda name: (made_images(160, 0), made_images(40, 1))
        )
    monkeypatch.setattr(study, "QUICK", SMALL)
    monkeypatch.setattr(study, "BATCH", 32)
    monkeypatch.setattr(study, "REPEATS", 1)
    monkeypatch.setattr(study, "CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.setattr(command, "FULL", SMALL)
    monkeypatch.setattr("experiments.resnet.training.BATCH", 32)


def test_parts_are_the_trainings_of_the_document_each_option_removed_and_what_is_measured():
    parts = study.parts(quick=False)
    assert set(parts) == {*MAIN, *ABLATIONS, "step-time", "packed"}
    assert set(PRINTED) == set(MAIN)
    options = [name for name in ABLATIONS if name.startswith("without-")]
    assert options == [
        f"without-{option}"
        for option in ("preactivation", "recu", "shift", "cyclic-precision", "cosine",
                       "augmentation")
    ]  # fmt: skip


def test_each_ablation_differs_from_the_proposed_training_in_one_option():
    whole = {**vars(PROPOSED), **PROPOSED.network}
    for name, recipe in ABLATIONS.items():
        found = {**vars(recipe), **recipe.network}
        differ = {key for key in whole if key != "network" and whole[key] != found[key]}
        assert len(differ) == (0 if name == "all-options" else 1), name


def test_tables_and_picture_of_a_small_run(small, tmp_path):
    results = {name: work() for name, work in study.parts(quick=True).items()}
    results = json.loads(json.dumps(results))
    text = study.tables(results)
    for name, printed in PRINTED.items():
        found = results[name]
        line = next(s for s in text.splitlines() if s.startswith(f"| {printed.words} |"))
        assert f"| {100 * found['accuracy']:.2f} |" in line
        assert f"| {printed.accuracy:g} |" in line
        assert len(found["losses"]) == len(found["held_out"]) == 2
        assert found["chosen"] == int(np.argmax(found["held_out"])) + 1
        assert ("packed" in found) == (name != "full-precision")
    for name in ABLATIONS:
        assert f"| {name.replace('-', ' ')} |" in text
    assert results["step-time"]["seconds"].keys() >= {"full precision", "binary, 3 bits"}
    assert sum(results["step-time"]["shares"].values()) == pytest.approx(1)
    for found in (*results["packed"], *(results[name].get("packed") for name in MAIN)):
        if found:
            assert found["disagreements"] == 0
            assert found["packed_bytes"] < found["torch_bytes"]
    study.draw(results, tmp_path)
    ElementTree.parse(tmp_path / "accuracy.svg")
    measured = study.measured(results)
    assert set(find("resnet").expectations(True)) <= set(measured)


def test_what_is_expected_of_the_full_run_is_measured():
    packed = {"torch_bytes": 64, "packed_bytes": 2, "disagreements": 0}
    results = {name: {"accuracy": 0.5} for name in (*MAIN, *ABLATIONS)}
    for name in ("adam", "sgd", "recu"):
        results[name]["packed"] = packed
    results["packed"] = [packed | {"width": width} for width, _ in FULL.packed]
    measured = study.measured(results)
    assert measured["adam-size-ratio"] == measured["width-1-size-ratio"] == 32
    assert set(find("resnet").expectations(False)) <= set(measured)


def test_memory_that_is_not_known_is_left_out(small, monkeypatch):
    monkeypatch.setattr(study, "peak", lambda: None)
    found = study.step_time(SMALL)
    assert set(found["memory"].values()) == {None}
    from experiments.resnet.tables import _step

    rows = [s.split(" | ") for s in _step({"step-time": found}).splitlines()[4:]]
    assert rows
    assert all(row[4:6] == ["–", "–"] for row in rows)


def test_an_interrupted_part_goes_on_from_its_checkpoint(small, monkeypatch, tmp_path):
    name = "without-shift"

    def work(folder):
        monkeypatch.setattr(study, "CHECKPOINTS", tmp_path / folder)
        return study.training(name, ABLATIONS[name], SMALL)

    def interrupted(*given, **options):
        def stop(epoch):
            raise KeyboardInterrupt

        return fit(*given, **{**options, "progress": stop})

    expected = work("whole")
    fit = sys.modules["experiments.resnet.training"].fit_images
    with monkeypatch.context() as patch:
        patch.setattr("experiments.resnet.training.fit_images", interrupted)
        with pytest.raises(KeyboardInterrupt):
            work("halves")
    found = work("halves")
    for number in ("accuracy", "losses", "held_out"):
        assert found[number] == expected[number]


def test_the_command_trains_tests_and_packs_and_goes_on_where_it_was(small, tmp_path, capsys):
    path = tmp_path / "out" / "recu-cifar-10-width-0.03125.pt"
    for turn in range(2):
        command.run(tmp_path / "out", recipe="recu", width=1 / 32, epochs=1)
        said = capsys.readouterr()
        assert said.out.startswith("Test accuracy")
        assert ("epoch 1: loss" in said.err) == (turn == 0)
        assert str(path.with_suffix(".npz")) in said.out
    assert json.loads(path.with_suffix(".json").read_text())["chosen"] == 1
    with pytest.raises(ConfigurationError, match=r"recipe 'adm'.*adam"):
        command.run(tmp_path / "out", recipe="adm")
