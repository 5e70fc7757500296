"""Training by flips: its slopes and its loop against literal ones."""

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logsumexp
from sklearn.datasets import load_digits

from classical.flips import train_by_flips
from classical.tied_bernoulli import Cosines
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.streams import Streams
from qhyper.targets.packed.inputs import pack_bits
from qhyper.targets.packed.population import correct
from qhyper.targets.packed.shape import PackedShape
from qhyper.targets.packed.target import PackedTarget

SHAPE = PackedShape((64, 32, 10))
SETTINGS: dict[str, Any] = {
    "held_out": 500,
    "image": (8, 8),
    "basis": (6, 6),
    "batch": 300,
    "every": 50,
}


@pytest.fixture(scope="module")
def images():
    """8×8 digits as bits, packed, and their labels."""
    pixels, labels = load_digits(return_X_y=True)
    return pack_bits((pixels >= 8).astype(np.uint8)), labels


def plain_loss(weights, bits, labels, scale):
    """Of two layers' weights ±1 [unit, input] on rows of bits, sign(0) = +1."""
    first, last = weights
    hidden = np.where((2.0 * bits - 1) @ first.T >= 0, 1, -1)
    z = hidden @ last.T / scale
    return np.mean(logsumexp(z, axis=1) - z[np.arange(len(z)), labels])


# -- the slopes -----------------------------------------------------------------------------------


def test_slopes_have_the_derivative_of_the_expected_loss_as_their_mean():
    # over all 2^10 networks of 3-2-2, each with its probability
    rng = np.random.default_rng(0)
    rows, labels = rng.integers(0, 2, (9, 3), dtype=np.uint8), rng.integers(0, 2, 9)
    data, target = Samples(2.0 * rows - 1, labels), PackedTarget((3, 2, 2), scale=2.0)
    draws = np.array(list(itertools.product((0, 1), repeat=10)), dtype=np.uint8)
    matrices = [(draw[:6].reshape(3, 2).T, draw[6:].reshape(2, 2).T) for draw in draws]
    losses = [plain_loss([2.0 * w - 1 for w in own], rows, labels, 2.0) for own in matrices]
    found, differences = target.objective(data).flips(draws)
    np.testing.assert_allclose(found, losses, rtol=1e-12)
    slopes = np.where(draws, -differences, differences)  # L(w_i = 1) - L(w_i = 0)

    def probabilities(p):
        return np.where(draws, p, 1 - p).prod(1)

    p = rng.uniform(0.1, 0.9, 10)
    mean = probabilities(p) @ slopes
    for i in range(10):  # the expected loss is linear in every p_i
        sure, never = p.copy(), p.copy()
        sure[i], never[i] = 1, 0
        derivative = (probabilities(sure) - probabilities(never)) @ losses
        assert mean[i] == pytest.approx(derivative, rel=1e-12, abs=1e-14)
    assert np.abs(mean).max() > 0.01


# -- the loop -------------------------------------------------------------------------------------


@pytest.mark.parametrize("basis", [(2, 2), None], ids=["cosines", "free"])
def test_is_a_literal_loop_of_brute_force_and_adam(basis):
    rng = np.random.default_rng(3)
    rows, labels = rng.integers(0, 2, (50, 6), dtype=np.uint8), rng.integers(0, 3, 50)
    shape, steps, batch, scale = PackedShape((6, 4, 3)), 12, 9, 2.0
    trained = train_by_flips(
        shape.layers, pack_bits(rows), labels, held_out=10, seed=5, steps=steps, batch=batch,
        scale=scale, learning_rate=0.3, image=(2, 3), basis=basis, every=5,
    )  # fmt: skip

    def stream(purpose):
        return Streams((5,))(0, purpose)[0]

    start, draw, order = stream("initialise"), stream("draw"), stream("batch")
    spread = np.eye(6)  # logits of a unit = parameters @ spread
    if basis:
        spread = Cosines((2, 3), basis).images(np.eye(4).reshape(4, 2, 2))
    parameters = [start.normal(size=(4, len(spread))), start.normal(size=(3, 4))]
    mean, square = ([np.zeros(p.shape) for p in parameters] for _ in range(2))
    batches, best = [], -1
    points, words = [], np.zeros(0)
    for step in range(1, steps + 1):
        if not batches:
            shuffled = order.permutation(40)
            batches = [shuffled[first : first + batch] for first in (0, 9, 18, 27)]
        chosen = batches.pop(0)
        p = [expit(parameters[0] @ spread), expit(parameters[1])]
        weights = [np.where(draw.random(q.shape) < q, 1.0, -1.0) for q in p]
        gradients = []
        for weight, q in zip(weights, p, strict=True):
            gradient = np.empty(weight.shape)
            for i in np.ndindex(weight.shape):
                drawn = weight[i]
                of_sign = []
                for weight[i] in (1, -1):
                    of_sign.append(plain_loss(weights, rows[chosen], labels[chosen], scale))
                weight[i] = drawn
                gradient[i] = (of_sign[0] - of_sign[1]) * q[i] * (1 - q[i])
            gradients.append(gradient)
        gradients[0] = gradients[0] @ spread.T
        for k, gradient in enumerate(gradients):
            mean[k] = 0.9 * mean[k] + 0.1 * gradient
            square[k] = 0.99 * square[k] + 0.01 * gradient**2
            unbiased = mean[k] / (1 - 0.9**step), square[k] / (1 - 0.99**step)
            rate = 0.3 * (1 - (step - 1) / steps)
            parameters[k] = parameters[k] - rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-12)
        if step in (5, 10, 12):
            bits = [parameters[0] @ spread > 0, parameters[1] > 0]
            of_step = shape.pack([w.astype(np.uint8) for w in bits])
            right = correct(shape, of_step[None], pack_bits(rows[40:]), labels[40:])[0]
            points.append((step, right / 10))
            if right > best:
                best, words = right, of_step
    assert [(point.step, point.accuracy) for point in trained.history] == points
    assert np.array_equal(trained.network.words, words)


@pytest.mark.parametrize("basis", [(6, 6), None], ids=["cosines", "free"])
def test_learns_digits(images, basis):
    seen = []
    settings: dict[str, Any] = SETTINGS | {"basis": basis, "steps": 600}
    trained = train_by_flips(SHAPE.layers, *images, **settings, progress=seen.append)
    assert seen == trained.history
    assert [point.step for point in seen] == list(range(50, 601, 50))
    assert sorted(point.seconds for point in seen) == [point.seconds for point in seen]
    inputs, labels = images
    right = correct(
        SHAPE, trained.network.words[None], inputs.take(slice(-500, None)), labels[-500:]
    )[0]
    assert right / 500 == max(point.accuracy for point in seen)
    assert right / 500 > 0.75  # of ten classes


def test_the_same_seed_gives_the_same_network(images):
    one, two, other = (
        train_by_flips(SHAPE.layers, *images, **SETTINGS, steps=60, seed=seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(one.network.words, two.network.words)
    assert not np.array_equal(one.network.words, other.network.words)
    assert [p.accuracy for p in one.history] == [p.accuracy for p in two.history]


def test_held_out_rows_are_not_trained_on(images):
    inputs, labels = images
    changed = labels.copy()
    changed[-500:] = (labels[-500:] + 1) % 10  # only what is kept can change: here one look alone
    once: dict[str, Any] = SETTINGS | {"every": 40, "steps": 40}
    one, two = (train_by_flips(SHAPE.layers, inputs, of, **once) for of in (labels, changed))
    assert np.array_equal(one.network.words, two.network.words)
    assert one.history[0].accuracy != two.history[0].accuracy


def test_minutes_end_the_training(images):
    trained = train_by_flips(SHAPE.layers, *images, **SETTINGS, steps=10**9, minutes=0.005)
    assert trained.history[-1].step < 10**9
    assert 0.3 <= trained.history[-1].seconds < 5


def test_refuses_what_cannot_work(images):
    def refused(match, shape: PackedShape = SHAPE, labels=images[1], **changes):
        settings: dict[str, Any] = SETTINGS | {"steps": 2} | changes
        with pytest.raises(ConfigurationError, match=match):
            train_by_flips(shape.layers, images[0], labels, **settings)

    for name in ("held_out", "steps", "batch", "every"):
        none: dict[str, Any] = {name: 0}
        refused("held_out, steps, batch and every are whole numbers of 1 or more", **none)
    refused("Of 1797 rows, 1796 are to be held out, and", held_out=1796)
    refused("minutes is a finite number above 0", minutes=0)
    refused("minutes is a finite number above 0", minutes=np.nan)
    refused("learning_rate is a finite number above 0", learning_rate=-1)
    beyond, between = images[1].copy(), images[1] + 0.5
    beyond[-1] = 10  # in a row that only the looks would see
    for labels in (images[1][1:], beyond, beyond - 10, between):
        refused("expected whole numbers from 0 to 9, one for each of 1797 rows", labels=labels)
    refused("one hidden layer; got layers", shape=PackedShape((64, 8, 8, 10)))
    refused("scale divides the sums", scale=0)
    refused("Got 64 inputs a row of 1 planes; expected 60 bits", PackedShape((60, 8, 10)),
            image=(6, 10))  # fmt: skip
    refused(r"Got images of \(4, 8\) for 64 inputs", image=(4, 8), basis=(2, 2))
    for basis in ((0, 3), (3, 9), (3,)):
        refused("expected two numbers of frequencies", basis=basis)
