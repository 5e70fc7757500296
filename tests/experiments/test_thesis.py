"""The study of the thesis: its quick setting end to end, and what its own functions compute."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from experiments.study import find
from experiments.thesis import study, tables
from qhyper import BinaryNetwork, Samples, load
from qhyper.data.sets import availability

needs_mnist = pytest.mark.skipif(
    not availability()["mnist"].startswith("found"),
    reason="MNIST: QHYPER_DATA is not set",
)


@pytest.fixture(scope="module")
def results():
    return {name: work() for name, work in study.parts(quick=True).items()}


@needs_mnist
def test_the_quick_setting_gives_tables_pictures_and_numbers(results, tmp_path):
    text = study.tables(results)
    assert text.count("### ") == 12
    assert "nan" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for title in (*tables.SEEING.values(), tables.AS_TRAINED, *tables.BLIND.values()):
        assert sum(f"| {title} |" in row for row in rows) >= 4, title
    right = results["straight-through-toy"]["test_accuracy"]
    cells = f"| 0.8440 ± 0.0242 | {np.mean(right):.4f} ± {np.std(right):.4f} |"
    assert any(cells in row for row in rows)
    minimum = results["landscape-mnist"]["certificate"]["minimum_loss"]
    close = (np.array(results["mlp-mnist"]["mean_loss"]) <= 1.05 * minimum).sum()
    assert any(row.startswith(f"| MNIST | MLP | classical | {close} (") for row in rows)
    study.draw(results, tmp_path)
    drawn = sorted(path.name for path in tmp_path.glob("*.svg"))
    assert drawn == ["figures-13-to-16.svg", "figures-17-to-20.svg", "landscape.svg"]
    for name in drawn:
        assert ElementTree.parse(tmp_path / name).getroot().tag.endswith("svg")
    numbers = study.measured(results)
    assert np.isfinite(list(numbers.values())).all()
    assert set(find("thesis").expectations(quick=False)) <= set(numbers)
    expected = find("thesis").expectations(quick=True)
    assert {name for name, bound in expected.items() if not bound.holds(numbers[name])} == set()


@needs_mnist
def test_the_same_seeds_give_the_same_numbers(results):
    again = study.parts(quick=True)["quantum-batch-mnist"]()
    kept = results["quantum-batch-mnist"]
    assert again["accuracy"] == kept["accuracy"]
    assert again["own_accuracy"] == kept["own_accuracy"]


def test_patterns_are_the_directions_that_a_network_depends_on():
    """Against the function itself: the weights of each pattern, found from the logits."""
    network, rng = BinaryNetwork((4, 6, 2)), np.random.default_rng(5)
    corners = np.array(np.meshgrid(*[(-1, 1)] * 4)).reshape(4, -1).T
    half = corners[corners[:, 0] == 1]
    x = rng.normal(size=(400, 4))  # no ties, so that sign(-v x) = -sign(v x)
    features = np.sign(x @ half.T)
    for bits in rng.integers(2, size=(50, 36), dtype=np.uint8):
        logits = network.logits(bits, x)
        effect, *_ = np.linalg.lstsq(features, logits[:, 1] - logits[:, 0], rcond=None)
        assert study._patterns(bits) == (abs(effect) > 1e-6).sum()


def test_where_networks_stand():
    data = study._load("toy", study.QUICK).train
    bits = np.random.default_rng(1).integers(2, size=(3, 36), dtype=np.uint8)
    objective = study.NETWORK.objective(data)
    found = study._standing(bits, "toy", study.QUICK)
    assert found["loss"] == pytest.approx(study.NETWORK.losses(bits, data))
    for one, better, null in zip(bits, found["better_flips"], found["null_units"], strict=True):
        flipped = np.array([one ^ (np.arange(36) == k) for k in range(36)]).astype(np.uint8)
        assert better == (objective(flipped) < objective(one) - 1e-9).sum()
        assert null == sum(a == b for a, b in one[24:].reshape(6, 2))
    # the share below is that of uniform draws: 20,000 of them, seed 2, within 5 sigma
    uniform = objective(np.random.default_rng(2).integers(2, size=(20_000, 36), dtype=np.uint8))
    for loss, share in zip(found["loss"], found["share_below"], strict=True):
        sigma = np.sqrt(share * (1 - share) / 20_000)
        assert abs((uniform < loss - 1e-9).mean() - share) <= 5 * sigma


def test_the_judged_images_are_of_both_classes_and_always_the_same():
    data = load("digits").train
    images = study._images(data, 20)
    assert data.y[images].tolist() == [0] * 20 + [1] * 20
    assert len(set(images)) == 40
    assert (images == study._images(data, 20)).all()


@pytest.mark.parametrize("constant", [True, False])
def test_bits_that_differ_between_images(constant):
    """The closed form over pairs of different images, against all pairs."""
    rng = np.random.default_rng(3)
    size = study.QUICK
    drawn = rng.integers(2, size=(2, 2 * size.inputs, 36), dtype=np.uint8)
    if constant:
        drawn[:] = drawn[:, :1]

    def weights(x, draw):
        return drawn[:, : len(x)]

    found = study._judged(weights, "toy", size)
    for own, closed in zip(drawn, found["hamming_between_images"], strict=True):
        pairs = (own[:, None] != own[None]).sum(-1)
        n = len(own)
        assert closed == pytest.approx(pairs.sum() / (n * (n - 1)), abs=1e-9)
    assert found["hamming_of_two_draws"] == [0.0, 0.0]
    test = load("toy").test
    first = study.NETWORK.accuracy(drawn[0, 0], test)
    assert found["accuracy"][0][0] == pytest.approx(first, abs=1e-5)


def test_pixels_of_the_full_precision_network():
    samples = Samples([[-127.5 / 128, 127.5 / 128]], [0])  # black and white
    assert study._scaled(samples, "[0, 1]").x.tolist() == [[0.0, 1.0]]
    assert study._scaled(samples, "[-1, 1]").x.tolist() == [[-1.0, 1.0]]


def test_both_settings_have_the_same_parts():
    assert list(study.parts(True)) == list(study.parts(False))
