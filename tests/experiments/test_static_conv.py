"""The study of static convolutional hypernetworks: parts on made-up images, tables and picture."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from experiments.static_conv import study, tables
from experiments.static_conv.pictures import grid
from experiments.static_conv.settings import BINARY, BITS, BLOCKS, PICTURED, RATES, VARIANTS
from experiments.study import find
from qhyper.data.images import Images

SMALL = study.Size(
    epochs=dict.fromkeys(BLOCKS, 1), seeds=2, more_seeds=3, variant_seeds=1, binary_seeds=1,
    bit_seeds=1, bit_steps=2, held_out=20, training=200, test=30,
)  # fmt: skip


def made_images(n, seed, shape):
    """Images of ten classes that differ in two rows of pixels."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 100, (n, *shape))
    labels = np.arange(n) % 10
    pixels[np.arange(n), :, 2 * labels] += 150
    return Images(pixels.reshape(n, -1).astype(np.uint8), labels, shape)


def load(name):
    shape = (1, 28, 28) if name == "mnist" else (3, 32, 32)
    return made_images(220, 0, shape), made_images(40, 1, shape)


@pytest.fixture
def small(monkeypatch):
    study._data.cache_clear()
    monkeypatch.setattr(study, "load_images", load)
    yield
    study._data.cache_clear()


def made_result(name, seed=0):
    """What a part might find, by its name."""
    accuracy = 0.5 + (sum(map(ord, name)) % 40) / 100
    if name.startswith("bits"):
        return {"parameters": 9, "bits": 2304, "steps": 3, "rows": 1000, "seconds": 60.0,
                "looks": [], "draws": [0.3, 0.4], "mode": 0.5, "own": 0.6,
                "random": [0.1, 0.2]}  # fmt: skip
    return {
        "disagreements": 0,
        "parameters": 100, "dense": 50, "whole": 160, "losses": [2.0], "held_out": [accuracy, 0.1],
        "test": accuracy - 0.01, "epoch_seconds": [1.0], "seconds": 2.0,
        "kernels": (np.arange(16 * 16 * 49) % 31 - 15).reshape(16, 16, 7, 7).tolist(),
    }  # fmt: skip


def test_parts_are_every_row_with_every_seed():
    parts = study.parts(quick=False)
    for data, models in BLOCKS.items():
        for model in models:
            suffixes = [f"-{1000 * rate:g}" for rate in RATES] if data == "mnist" else [""]
            for suffix in suffixes:
                assert f"{data}-{model}{suffix}-0" in parts
                assert f"{data}-{model}{suffix}-1" in parts
    assert {"mnist-5-5-4-5", "mnist-conv-3-5"} <= set(parts)
    assert all(f"{data}-{model}-binary-0" in parts for data in BINARY for model in BINARY[data])
    assert all(f"{data}-{name}-0" in parts for name, v in VARIANTS.items() for data in v.data)
    assert set(PICTURED) < set(parts)
    assert next(iter(parts)).startswith("block3")  # the longest
    assert all(part.endswith("-0") for part in study.parts(quick=True))


def test_tables_name_every_row_of_the_report():
    assert {data: set(models) for data, models in tables.PRINTED.items()} == {
        data: set(models) for data, models in BLOCKS.items()
    }
    assert set(tables.TUNED) == set(BLOCKS["mnist"])
    for model, row in tables.TUNED.items():  # the report takes the best on test images
        assert max(test for _, test in row) == tables.PRINTED["mnist"][model][0]


@pytest.mark.parametrize("name", ["mnist-5-5-4-0", "block1-4-4-0", "block2-untied-0",
                                  "block1-4-4-binary-0", "block2-as-generated-0"])  # fmt: skip
def test_a_part_trains_and_tests_a_network(small, monkeypatch, name):
    monkeypatch.setattr(study, "QUICK", SMALL)
    found = json.loads(json.dumps(study.parts(quick=True)[name]()))
    assert 0 <= found["test"] <= 1
    assert len(found["held_out"]) == len(found["losses"]) == 1
    assert found["whole"] > found["parameters"] + found["dense"]
    assert ("kernels" in found) == (name in PICTURED)
    if name in PICTURED:
        assert np.shape(found["kernels"]) == (16, 16, 7, 7)
        assert np.abs(found["kernels"]).max() == 15


@pytest.mark.parametrize("kind", BITS)
def test_a_generator_of_bits_is_trained_without_a_gradient_through_the_network(
    small, monkeypatch, kind
):
    monkeypatch.setattr(study, "QUICK", SMALL)
    found = json.loads(json.dumps(study.parts(quick=True)[f"bits-{kind}-0"]()))
    assert found["bits"] == 2304
    assert found["steps"] >= 1
    assert found["rows"] <= 2 * 16 * 64
    assert len(found["draws"]) == len(found["random"]) == study.DRAWS
    assert 0 <= found["mode"] <= 1


def test_the_rate_is_chosen_on_validation_seed_by_seed():
    results = {}
    for rate, values in ((3, (0.7, 0.9)), (4, (0.8, 0.8)), (5, (0.6, 0.9))):
        for seed, value in enumerate(values):
            results[f"mnist-4-4-{rate}-{seed}"] = {"held_out": [0.1, value], "test": rate}
    found = tables.chosen(results, "mnist", "4-4")
    assert [one["rate"] for one in found] == [0.004, 0.003]


def test_noise_is_that_of_test_images_and_of_seeds():
    none, some = tables.Spread(0.0, 0), tables.Spread(0.5, 10)
    assert tables.noise_of(98.67, none) == pytest.approx(1.96 * 0.1146 * 2**0.5, abs=1e-3)
    # of 10,000 images, of which half are right, and of Student's t with ten degrees of freedom
    assert tables.noise_of(50, some) == pytest.approx(
        (2 * 0.25 * (1.96**2 + 2.228**2)) ** 0.5, abs=1e-3
    )


def test_tables_and_picture_of_made_up_results(tmp_path):
    results = {name: made_result(name) for name in study.parts(quick=False)}
    text = study.tables(json.loads(json.dumps(results)))
    assert "nan" not in text
    best = tables.best_hypernetwork(results, "block2")
    assert f"printed as the best: {tables.title(best)}." in text
    assert "| Hyper4_4 | 100 | 1,056, wrong |" in text
    assert "Median of Hyper5_5" in text
    assert "| a probability for each bit | 9 | 50.0 | 35.00 (30.00–40.00) | 60.0 |" in text
    study.draw(results, tmp_path)
    ElementTree.parse(tmp_path / "kernels.svg")
    assert (tmp_path / "kernels.svg").stat().st_size < 80_000
    found = study.measured(results)
    assert all(np.isfinite(list(found.values())))
    for quick in (False, True):
        assert set(find("static-conv").expectations(quick)) <= set(found)


def test_the_picture_has_an_input_channel_a_row():
    kernel = np.arange(2 * 3 * 4).reshape(2, 3, 2, 2)
    whole = grid(kernel)
    assert whole.shape == (8, 5)
    np.testing.assert_array_equal(whole[3:5, 3:5], kernel[1, 1])
    assert np.isnan(whole[2]).all()
