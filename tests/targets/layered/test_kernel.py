"""The packed kernel against the plain forward pass, which is the oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qhyper.data.samples import Samples
from qhyper.targets.layered.kernel import PackedKernel
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layered.rows import PACKED, PATTERN, REAL, collapse
from qhyper.targets.loss import LOSSES

WIDTHS = (1, 2, 63, 64, 65, 70, 784)
HIDDEN = ((), (1,), (3,), (63,), (64,), (65,), (3, 5), (65, 4))


def inputs(rng, kind, rows, width):
    if kind == "signs":
        return rng.choice([-1.0, 1.0], (rows, width))
    if kind == "integers":  # few values, so that sums are often 0
        return rng.integers(-1, 2, (rows, width)).astype(float)
    return rng.normal(size=(rows, width))


def compare(layers, kind, sign_of_zero, seed, rows=12):
    """Logits (exactly) and all losses of random draws; returns the collapsed rows."""
    rng = np.random.default_rng(seed)
    network = BinaryNetwork(layers, sign_of_zero=sign_of_zero)
    data = Samples(inputs(rng, kind, rows, layers[0]), rng.integers(0, network.n_classes, rows))
    bits = rng.integers(0, 2, (5, network.n_bits), dtype=np.uint8)
    for loss in LOSSES:
        np.testing.assert_allclose(
            network.objective(data, loss)(bits),
            network.losses(bits, data, loss),
            rtol=0,
            atol=1e-12,
        )
    # one row at a time is never collapsed, so its logits can be compared exactly
    whole = collapse(data, layers, sign_of_zero)
    expected = network.logits(bits, data.x)
    for row in range(0, rows, 4):
        one = collapse(Samples(data.x[row : row + 1], data.y[row : row + 1]), layers, sign_of_zero)
        got = PackedKernel(layers, one, sign_of_zero).logits(bits)
        np.testing.assert_array_equal(got[:, 0], expected[:, row])
    # and the collapsed rows, as a set, are those of the data
    packed = PackedKernel(layers, whole, sign_of_zero).logits(bits)
    for draw in range(len(bits)):
        np.testing.assert_array_equal(
            np.unique(packed[draw], axis=0), np.unique(expected[draw], axis=0)
        )
    return whole


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    width=st.sampled_from(WIDTHS),
    hidden=st.sampled_from(HIDDEN),
    outputs=st.sampled_from((1, 2, 3)),
    kind=st.sampled_from(("signs", "integers", "floats")),
    sign_of_zero=st.sampled_from((0, 1)),
    seed=st.integers(0, 2**32 - 1),
)
def test_kernel_equals_the_plain_pass(width, hidden, outputs, kind, sign_of_zero, seed):
    compare((width, *hidden, outputs), kind, sign_of_zero, seed)


# Every path at least once, whatever the random choices above
@pytest.mark.parametrize("sign_of_zero", [0, 1])
@pytest.mark.parametrize("outputs", [1, 2, 3])
@pytest.mark.parametrize(
    ("width", "hidden", "kind", "first"),
    [
        (4, (6,), "integers", PATTERN),
        (4, (6, 5), "integers", PATTERN),
        (8, (65, 3), "floats", PATTERN),
        (9, (6,), "integers", REAL),
        (4, (), "integers", REAL),
        (4, (6,), "signs", PACKED),
        (6, (), "signs", PACKED),
        (70, (64, 64), "signs", PACKED),
    ],
)
def test_every_first_layer(width, hidden, kind, first, outputs, sign_of_zero):
    rows = compare((width, *hidden, outputs), kind, sign_of_zero, seed=7, rows=40)
    assert rows.first == first


@pytest.mark.parametrize("kind", ["signs", "integers"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layers", [(2, 3, 2), (2, 3, 3), (2, 2)])
def test_collapsed_rows_have_the_mean_of_all(layers, loss, kind):
    rng = np.random.default_rng(3)
    network = BinaryNetwork(layers)
    data = Samples(inputs(rng, kind, 500, 2), rng.integers(0, network.n_classes, 500))
    bits = rng.integers(0, 2, (8, network.n_bits), dtype=np.uint8)
    objective = network.objective(data, loss)
    rows = objective.kernel.rows
    assert rows.n_rows <= 9
    assert rows.counts.sum() == 500
    np.testing.assert_allclose(
        objective(bits), network.losses(bits, data, loss), rtol=0, atol=1e-12
    )


def test_negative_zero_is_zero():
    data = Samples(np.array([[0.0], [-0.0]]), np.array([0, 1]))
    assert collapse(data, (1, 2), 1).n_rows == 1
    assert collapse(data, (1, 1, 2), 1).n_rows == 1


def test_many_draws_in_threads_equal_few():
    rng = np.random.default_rng(4)
    network = BinaryNetwork((4, 6, 2))
    data = Samples(rng.integers(-3, 4, (100, 4)), rng.integers(0, 2, 100))
    bits = rng.integers(0, 2, (10_000, 36), dtype=np.uint8)
    objective = network.objective(data)
    parts = np.concatenate([objective(part) for part in np.split(bits, 10)])
    np.testing.assert_array_equal(objective(bits), parts)
    assert objective(bits[:0]).shape == (0,)


def random_case(layers, kind, sign_of_zero=1, rows=30):
    """A network, data with many equal rows, and draws."""
    rng = np.random.default_rng(5)
    network = BinaryNetwork(layers, sign_of_zero=sign_of_zero)
    data = Samples(inputs(rng, kind, rows, layers[0]), rng.integers(0, network.n_classes, rows))
    return network, data, rng.integers(0, 2, (5, network.n_bits), dtype=np.uint8)


TAKEN = [((3, 4, 2), "integers"), ((9, 3, 1), "floats"), ((3, 3), "integers"), ((3, 4, 2), "signs")]


@pytest.mark.parametrize("sign_of_zero", [0, 1])
@pytest.mark.parametrize(("layers", "kind"), TAKEN)
def test_every_sample_knows_its_row(layers, kind, sign_of_zero):
    network, data, bits = random_case(layers, kind, sign_of_zero)
    rows = collapse(data, layers, sign_of_zero)
    by_row = PackedKernel(layers, rows, sign_of_zero).logits(bits)
    np.testing.assert_array_equal(by_row[:, rows.member], network.logits(bits, data.x))


@pytest.mark.parametrize("sign_of_zero", [0, 1])
@pytest.mark.parametrize(("layers", "kind"), TAKEN)
def test_taken_samples_are_rows_in_their_order(layers, kind, sign_of_zero):
    network, data, bits = random_case(layers, kind, sign_of_zero)
    rows = collapse(data, layers, sign_of_zero)
    samples = np.array([7, 7, 0, 29, 3])
    taken = rows.take(samples, data.y[samples])
    assert (taken.first, taken.n_rows) == (rows.first, 5)
    np.testing.assert_array_equal(taken.counts, np.eye(network.n_classes)[data.y[samples]])
    found = PackedKernel(layers, taken, sign_of_zero).logits(bits)
    np.testing.assert_array_equal(found, network.logits(bits, data.x[samples]))
    # and once more: what was taken are samples of their own
    again = taken.take(np.array([3, 1]), data.y[samples[[3, 1]]])
    found = PackedKernel(layers, again, sign_of_zero).logits(bits)
    np.testing.assert_array_equal(found, network.logits(bits, data.x[samples[[3, 1]]]))


@pytest.mark.parametrize(("layers", "kind"), TAKEN)
def test_a_kernel_can_be_asked_for_every_loss_in_any_order(layers, kind):
    network, data, bits = random_case(layers, kind)
    kernel = PackedKernel(layers, collapse(data, layers, 1), 1)
    for loss in (*LOSSES, *LOSSES[::-1]):
        expected = network.losses(bits, data, loss)
        np.testing.assert_allclose(kernel.losses(bits, loss), expected, rtol=0, atol=1e-12)


def test_a_table_of_many_rows_and_margins():
    """More entries than 16 bits number: 300 rows or so of 129 margins."""
    rng = np.random.default_rng(6)
    network = BinaryNetwork((6, 32, 2))
    data = Samples(rng.normal(size=(400, 6)), rng.integers(0, 2, 400))
    kernel = network.objective(data).kernel
    assert kernel.rows.first == PATTERN
    assert kernel.rows.n_rows * 129 > 2**15
    bits = rng.integers(0, 2, (3, network.n_bits), dtype=np.uint8)
    np.testing.assert_allclose(
        kernel.losses(bits, "cross_entropy"), network.losses(bits, data), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5])
def test_a_few_rows_of_each_number(rows):
    """Rows are summed four at a time, and what is left."""
    rng = np.random.default_rng(rows)
    network = BinaryNetwork((4, 3, 2))
    data = Samples(rng.normal(size=(rows, 4)) * 10, rng.integers(0, 2, rows))
    bits = rng.integers(0, 2, (20, network.n_bits), dtype=np.uint8)
    objective = network.objective(data)
    assert objective.kernel.rows.n_rows == rows
    np.testing.assert_allclose(objective(bits), network.losses(bits, data), rtol=0, atol=1e-12)


@pytest.mark.parametrize("together", [1, 7, 60, 10**6])
def test_a_loss_of_ones_own_is_computed_from_some_logits_at_a_time(together, monkeypatch):
    own = "qhyper.targets.loss:cross_entropy"
    network, data, bits = random_case((3, 4, 2), "integers")
    monkeypatch.setattr("qhyper.targets.layered.kernel._LOGITS", together)
    expected = network.losses(bits, data)
    np.testing.assert_allclose(network.objective(data, own)(bits), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("width", [200, 500])
def test_sums_of_more_units_than_8_bits_count(width):
    """All weights and activations alike: the sums are as large as they can be."""
    for layers in ((width, 3), (2, width, 2), (width, 2, 3)):
        network = BinaryNetwork(layers)
        x = np.ones((2, layers[0]))
        x[1] = -1
        data = Samples(x, np.array([0, 1]))
        bits = np.stack([np.zeros(network.n_bits), np.ones(network.n_bits)]).astype(np.uint8)
        rows = collapse(data, layers, 1)
        found = PackedKernel(layers, rows, 1).logits(bits)[:, rows.member]
        np.testing.assert_array_equal(found, network.logits(bits, x))
        assert abs(found).max() >= min(layers[-2], width)
