"""The study of the thesis' images: counts by brute force, and a quick run end to end."""

import json
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch

from classical.straight_through import StraightThroughHyperNetwork
from experiments.oey import own_accuracy
from experiments.study import find
from experiments.thesis_images import study, tables
from experiments.thesis_images.identical import identical
from qhyper import BinaryNetwork, Samples, load
from qhyper.data.sets import availability

needs_mnist = pytest.mark.skipif(
    not availability()["mnist"].startswith("found"),
    reason="MNIST: QHYPER_DATA is not set",
)


def by_dictionary(samples):
    """Labels of every image, counted one image after the other."""
    labels = defaultdict(Counter)
    for image, label in zip(samples.x.tolist(), samples.y.tolist(), strict=True):
        labels[tuple(image)][label] += 1
    return {
        "images": sum(count.total() for count in labels.values()),
        "different": len(labels),
        "of_both": sum(count.total() for count in labels.values() if len(count) > 1),
        "wrong": sum(count.total() - max(count.values()) for count in labels.values()),
    }


def test_identical_images_by_hand():
    x = [[0, 0], [0, 0], [0, 0], [1, 0], [0, 1], [0, 1]]
    found = identical(Samples(x, [0, 0, 1, 1, 0, 1]))
    assert (found.images, found.different, found.of_both, found.wrong) == (6, 3, 5, 2)
    assert found.accuracy == pytest.approx(4 / 6)


@pytest.mark.parametrize("classes", [2, 3])
def test_identical_images_by_a_dictionary(classes):
    rng = np.random.default_rng(0)
    samples = Samples(rng.integers(0, 4, size=(500, 3)) / 4, rng.integers(classes, size=500))
    assert vars(identical(samples)) == by_dictionary(samples)


@pytest.mark.parametrize("pixels", [4, 16])
def test_weights_of_an_images_own_make_every_linear_classifier(pixels):
    """First-layer weights sign(x_i) make x · w = Σ |x_i| > 0, and the output's sign is the answer.

    The hypernetwork's bits are signs of linear functions of the image, so that it is enough to
    write these down: pixel i for row i of the first layer, ±(a · x + b) for the two outputs.
    """
    rng = np.random.default_rng(6)
    images, slope, offset = rng.normal(size=(300, pixels)), rng.normal(size=pixels), 0.3
    network = StraightThroughHyperNetwork((pixels, 6, 2), hidden=16, dtype=torch.float64)
    bits = np.concatenate(
        [np.repeat(np.eye(pixels), 6, axis=1), np.tile(np.outer(slope, [-1, 1]), 6)], axis=1
    )
    with torch.no_grad():
        network.V1.zero_()[0, :, :pixels] = torch.eye(pixels)
        network.V2.zero_()[0, :pixels] = torch.from_numpy(bits)
        network.c2[0, 6 * pixels :] = torch.tensor([-offset, offset] * 6)
        logits = network(torch.from_numpy(images))[0].numpy()
    linear = (images @ slope + offset > 0).astype(np.int64)
    assert 0.2 < linear.mean() < 0.8
    assert (logits.argmax(axis=1) == linear).all()
    own = network.weights(torch.from_numpy(images))
    assert own_accuracy(BinaryNetwork((pixels, 6, 2)), Samples(images, linear), own) == [1.0]


def test_own_accuracy_image_by_image():
    network, rng = BinaryNetwork((4, 6, 2)), np.random.default_rng(7)
    samples = Samples(rng.normal(size=(30, 4)), rng.integers(2, size=30))
    bits = rng.integers(2, size=(3, 30, 36), dtype=np.uint8)
    for run, found in zip(bits, own_accuracy(network, samples, bits), strict=True):
        one_by_one = [
            network.accuracy(own, Samples(samples.x[[k]], samples.y[[k]]))
            for k, own in enumerate(run)
        ]
        assert found == pytest.approx(np.mean(one_by_one))


def test_losses_at_the_ends_of_thirds():
    curve = [[float(point), 2.0 * point] for point in range(90)]
    assert study._thirds(curve) == [[28, 56], [58, 116], [88, 176]]
    assert study._thirds(curve[:3]) == [[0, 0], [1, 2], [2, 4]]


@needs_mnist
def test_the_numbers_of_her_images():
    data = load("mnist")
    for samples in (data.train, data.test):
        assert vars(identical(samples)) == by_dictionary(samples)
    black = (data.train.x == -127.5 / 128).all(axis=1)
    assert [int((black & (data.train.y == label)).sum()) for label in (0, 1)] == [396, 5218]


@needs_mnist
def test_bounds_of_a_pair_are_those_of_its_own_data_set():
    pair = load("mnist", options={"digits": [3, 7], "size": 2})
    found = study.bounds([2])["3-7-2"]
    for name, samples in (("train", pair.train), ("test", pair.test)):
        assert {key: found[name][key] for key in by_dictionary(samples)} == by_dictionary(samples)


@needs_mnist
def test_the_quick_setting_gives_tables_pictures_and_numbers(certified_once, tmp_path):
    done = {name: work() for name, work in study.parts(quick=True).items()}
    results = json.loads(json.dumps(done))
    text = study.tables(results)
    assert text.count("### ") == 7
    assert "nan" not in text
    study.draw(results, tmp_path)
    drawn = sorted(path.name for path in tmp_path.glob("*.svg"))
    assert drawn == ["bounds.svg", "images.svg"]
    for name in drawn:
        ElementTree.parse(tmp_path / name)
    numbers = study.measured(results)
    assert np.isfinite(list(numbers.values())).all()
    assert set(find("thesis-images").expectations(quick=False)) <= set(numbers)
    expected = find("thesis-images").expectations(quick=True)
    assert {name for name, bound in expected.items() if not bound.holds(numbers[name])} == set()


def test_both_settings_have_the_same_parts_and_the_tables_know_them():
    names = list(study.parts(True))
    assert names == list(study.parts(False))
    assert (tables.SIDES, tables.DEPTHS) == (study.SIDES, study.DEPTHS)
    assert list(tables.PAIRS) == ["-".join(map(str, pair)) for pair in study.PAIRS]
