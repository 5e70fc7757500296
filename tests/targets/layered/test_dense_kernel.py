"""The dense kernel against the plain forward pass and, for plain spaces, the packed kernel."""

import numpy as np
import pytest

from qhyper.data.samples import Samples
from qhyper.targets.layered import dense_kernel
from qhyper.targets.layered.dense_kernel import DenseKernel
from qhyper.targets.layered.kernel import PackedKernel
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layered.rows import collapse, collapse_real
from qhyper.targets.layered.space import ACTIVATIONS, WeightSpace
from qhyper.targets.loss import LOSSES

FOUR_PAIRS = ((0, 1), (-1, 1), (-2, 1), (-3, 1))
SPACES = [
    WeightSpace((2, 4, 1), biases=True, activation=("relu", "sigmoid")),
    WeightSpace((16, 1), biases=True, values=FOUR_PAIRS),
    WeightSpace((3, 3, 3, 2), biases=True, optional=("biases", "units", "layers")),
    WeightSpace((3, 5, 3), activation=ACTIVATIONS, values=(-0.3, 0.7), optional=("units",)),
    WeightSpace((3, 2, 4, 4, 2), biases=True, activation="tanh", optional=("layers",)),
    WeightSpace((2, 6, 1), values=(0, 1), activation="sigmoid"),
    WeightSpace((2, 3)),
]
ROWS = 700


def samples(network, kind, rows=ROWS, seed=0):
    """Rows of which half occur several times; of reals, more than a block of them are distinct."""
    rng = np.random.default_rng(seed)
    shape = (rows, network.layers[0])
    x = rng.normal(size=shape) if kind == "reals" else rng.integers(-1, 2, shape).astype(float)
    x[rows // 2 :] = x[rng.integers(0, rows // 8, rows - rows // 2)]
    return Samples(x, rng.integers(0, network.n_classes, rows))


def draws(network, count=40, seed=1):
    return np.random.default_rng(seed).integers(0, 2, (count, network.n_bits), dtype=np.uint8)


def dense(network, data):
    """The kernel itself, also where the network has a faster one."""
    rows = collapse_real(data, network.space, network.sign_of_zero)
    return DenseKernel(network.space, rows, network.sign_of_zero)


@pytest.mark.parametrize("kind", ["reals", "integers"])
@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_the_kernel_equals_the_plain_pass(space, kind):
    network = BinaryNetwork(space)
    data, bits = samples(network, kind), draws(network)
    kernel = dense(network, data)
    if space.activation != ("sign",):
        assert (kernel.rows.n_rows > 256) == (kind == "reals" or space.layers[0] == 16)
    assert kernel.rows.counts.max() > 1
    plain = network.logits(bits, data.x)
    np.testing.assert_allclose(
        kernel.logits(bits)[:, kernel.rows.member], plain, rtol=1e-12, atol=1e-12
    )
    for loss in LOSSES:
        off = np.abs(kernel.losses(bits, loss) - network.losses(bits, data, loss))
        assert (off <= 1e-12).all()


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_logits_that_are_equal_but_for_rounding_are_a_tie(activation):
    # opposite units cancel: the logits are equal, but tanh and sigmoid round as they like
    space = WeightSpace((4, 6, 2), activation=activation)
    network = BinaryNetwork(space)
    rng = np.random.default_rng(4)
    x = rng.integers(-8, 9, (500, 4)) / 8
    data, bits = Samples(x, rng.integers(0, 2, 500)), draws(network, 200)
    wrong = np.rint(dense(network, data).losses(bits, "accuracy") * 500)
    np.testing.assert_array_equal(500 - wrong, np.rint(network.accuracy(bits, data) * 500))


@pytest.mark.parametrize("sign_of_zero", [0, 1])
@pytest.mark.parametrize(
    "options",
    [
        {"biases": True},
        {"biases": True, "optional": ("biases", "units")},
        {"values": ((0, 1), (-2, 1))},
        {"biases": True, "values": (-0.5, 2)},
    ],
    ids=str,
)
def test_rows_that_no_sign_tells_apart_are_one(options, sign_of_zero):
    space = WeightSpace((3, 5, 2), **options)
    network = BinaryNetwork(space, sign_of_zero=sign_of_zero)
    rng = np.random.default_rng(2)
    x = rng.integers(-4, 5, (3000, 3)) / 2  # ties are many
    data, bits = Samples(x, rng.integers(0, 2, 3000)), draws(network, 60)
    kernel = dense(network, data)
    assert kernel.rows.n_rows < len(np.unique(x, axis=0))
    plain = network.logits(bits, data.x)
    np.testing.assert_array_equal(kernel.logits(bits)[:, kernel.rows.member], plain)
    np.testing.assert_allclose(
        kernel.losses(bits, "cross_entropy"), network.losses(bits, data), rtol=1e-12
    )


def test_objectives_of_spaces_with_choices_use_it():
    network = BinaryNetwork(SPACES[0])
    data, bits = samples(network, "reals"), draws(network).reshape(2, 20, -1)
    objective = network.objective(data)
    assert isinstance(objective.kernel, DenseKernel)
    assert isinstance(BinaryNetwork((2, 4, 1)).objective(data).kernel, PackedKernel)
    np.testing.assert_allclose(objective(bits), network.losses(bits, data), rtol=0, atol=1e-12)
    assert objective.evaluations == 40
    assert objective(bits[:0]).shape == (0, 20)


@pytest.mark.parametrize("sign_of_zero", [0, 1])
@pytest.mark.parametrize("values", [(-1, 1), (-0.1, 0.3)])
@pytest.mark.parametrize("layers", [(3, 4, 2), (4, 3, 3, 1), (4, 3), (3, 1)])
def test_ties_are_decided_as_in_the_plain_pass(layers, values, sign_of_zero):
    hidden = ("sign", "relu") if len(layers) > 2 else "sign"
    space = WeightSpace(layers, biases=True, values=values, activation=hidden)
    network = BinaryNetwork(space, sign_of_zero=sign_of_zero)
    data, bits = samples(network, "integers", rows=120), draws(network, 300)
    kernel, plain = dense(network, data), network.logits(bits, data.x)
    np.testing.assert_array_equal(kernel.logits(bits)[:, kernel.rows.member], plain)
    wrong = np.rint(kernel.losses(bits, "accuracy") * len(data.y))
    right = np.rint(network.accuracy(bits, data) * len(data.y))
    np.testing.assert_array_equal(len(data.y) - wrong, right)
    if values == (-1, 1):  # there were ties to decide: of logits, and of hidden units
        assert ((plain[..., 0] == plain[..., 1]) if layers[-1] > 1 else plain == 0).any()
        found = space.decode(bits)
        assert (data.x @ found.weights[0] + found.biases[0][:, None] == 0).any()


@pytest.mark.parametrize("loss", LOSSES)
def test_neither_threads_nor_chunks_change_a_loss(loss, monkeypatch):
    network = BinaryNetwork(SPACES[2])
    data, bits = samples(network, "reals", rows=300), draws(network, 50)
    kernel = dense(network, data)
    expected, logits = kernel.losses(bits, loss), kernel.logits(bits)
    for threads, together in ((1, 4096), (2, 7), (7, 4096), (3, 1)):
        monkeypatch.setattr("qhyper.threads.n_threads", lambda threads=threads: threads)
        monkeypatch.setattr(dense_kernel, "_TOGETHER", together)
        np.testing.assert_array_equal(kernel.losses(bits, loss), expected)
        np.testing.assert_array_equal(kernel.logits(bits), logits)
    one_by_one = np.concatenate([kernel.losses(bits[k : k + 1], loss) for k in range(50)])
    np.testing.assert_array_equal(one_by_one, expected)


@pytest.mark.parametrize("sign_of_zero", [0, 1])
@pytest.mark.parametrize("kind", ["reals", "integers"])
@pytest.mark.parametrize("layers", [(4, 6, 2), (9, 3, 1), (3, 4, 5, 3), (4, 2)])
def test_it_agrees_with_the_packed_kernel(layers, kind, sign_of_zero):
    network = BinaryNetwork(layers, sign_of_zero=sign_of_zero)
    data, bits = samples(network, kind, rows=300), draws(network)
    one, packed = dense(network, data), PackedKernel(
        layers, collapse(data, layers, sign_of_zero), sign_of_zero
    )  # fmt: skip
    np.testing.assert_array_equal(
        one.logits(bits)[:, one.rows.member], packed.logits(bits)[:, packed.rows.member]
    )
    for loss in LOSSES:
        np.testing.assert_allclose(
            one.losses(bits, loss), packed.losses(bits, loss), rtol=0, atol=1e-12
        )


def test_a_network_of_nothing_knows_nothing():
    """Without units and biases every logit is 0: a cross-entropy of log 2, a Brier score of ½."""
    network = BinaryNetwork(WeightSpace((2, 3, 1), biases=True, optional=("biases", "units")))
    data = samples(network, "reals")
    bits = draws(network)
    bits[:, -4:] = 0
    kernel = dense(network, data)
    assert not kernel.logits(bits).any()
    np.testing.assert_allclose(kernel.losses(bits, "cross_entropy"), np.log(2), rtol=1e-14)
    np.testing.assert_allclose(kernel.losses(bits, "squared_error"), 0.5, rtol=1e-14)
    np.testing.assert_allclose(kernel.losses(bits, "accuracy"), data.y.mean(), rtol=1e-14)


@pytest.mark.parametrize("outputs", [1, 2])
def test_logits_of_any_size_have_finite_losses(outputs):
    space = WeightSpace((2, 2, outputs), activation=("relu", "sigmoid"), values=(-3, 2))
    network = BinaryNetwork(space)
    data = samples(network, "reals", rows=50)
    data = Samples(1e4 * data.x, data.y)
    kernel, bits = dense(network, data), draws(network)
    assert np.abs(kernel.logits(bits)).max() > 1e4
    for loss in LOSSES:
        expected = network.losses(bits, data, loss)
        np.testing.assert_allclose(kernel.losses(bits, loss), expected, rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize("scored_on", ["own", "batch"])
def test_mini_batches_of_spaces_with_choices(scored_on):
    network = BinaryNetwork(SPACES[2])
    data = samples(network, "reals", rows=60)
    batch = network.batches(data, size=9, scored_on=scored_on).take([[3, 3, 0, 59, 1], [5] * 5])
    bits = np.random.default_rng(2).integers(0, 2, (2, 5, 4, network.n_bits), dtype=np.uint8)
    found = batch(bits)
    for replica, chosen in enumerate(([3, 3, 0, 59, 1], [5] * 5)):
        for k, sample in enumerate(chosen):
            on = [sample] if scored_on == "own" else chosen
            expected = network.losses(bits[replica, k], Samples(data.x[on], data.y[on]))
            np.testing.assert_allclose(found[replica, k], expected, rtol=0, atol=1e-12)
