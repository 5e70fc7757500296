import numpy as np
import pytest

from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.objective import Objective


def test_counts_evaluations_and_keeps_the_shape():
    objective = Objective(lambda bits: bits.sum(axis=1), 5)
    bits = np.random.default_rng(0).integers(0, 2, (3, 4, 5))
    np.testing.assert_array_equal(objective(bits), bits.sum(axis=-1))
    assert objective.evaluations == 12
    assert objective(bits[0, 0]).shape == ()
    assert objective.evaluations == 13


def test_the_function_gets_wide_signed_bits_of_its_own():
    def loss(bits):
        assert (bits.shape, bits.dtype) == ((6, 2), np.int64)
        assert ((2 * bits - 1) == 2 * bits.astype(int) - 1).all()
        bits[:] = 1
        return np.zeros(6)

    draws = np.random.default_rng(0).integers(0, 2, (2, 3, 2), dtype=np.uint8)
    before = draws.copy()
    Objective(loss, 2)(draws)
    np.testing.assert_array_equal(draws, before)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_losses_that_are_not_finite_are_refused_and_not_counted(value):
    objective = Objective(lambda bits: np.where(bits[:, 0] == 1, value, 0.0), 2, name="mine")
    with pytest.raises(ConfigurationError, match=f"mine returned {value} for bitstring 1"):
        objective([[0, 0], [1, 0]])
    assert objective.evaluations == 0


def test_refusals():
    with pytest.raises(ConfigurationError, match=r"losses of shape \(2, 1\) for 2 .*\(2,\)"):
        Objective(lambda bits: bits[:, :1], 3)(np.zeros((2, 3)))
    with pytest.raises(ConfigurationError, match="Got bitstrings of 2 bits, expected 3"):
        Objective(lambda bits: bits[:, 0], 3)(np.zeros((2, 2)))
    with pytest.raises(ConfigurationError, match="at least 1 bit; got n_bits=0"):
        Objective(lambda bits: bits[:, 0], 0)


@pytest.mark.parametrize("together", [1, 20, 21, 63, 10**6])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 1, 3, 5)])
def test_flips_are_evaluated_some_bits_at_a_time(shape, together, monkeypatch):
    """Each string with one bit flipped, whatever is evaluated together, and each counts."""
    monkeypatch.setattr("qhyper.targets.objective._FLIPPED_TOGETHER", together)
    rng = np.random.default_rng(4)
    table, powers = rng.normal(size=32), 1 << np.arange(5)
    objective = Objective(lambda bits: table[bits.astype(int) @ powers], 5)
    bits = rng.integers(0, 2, shape, dtype=np.uint8)
    losses, differences = objective.flips(bits)
    number = bits.astype(int) @ powers
    np.testing.assert_array_equal(losses, table[number])
    expected = table[number[..., None] ^ powers] - table[number][..., None]
    np.testing.assert_array_equal(differences, expected)
    assert objective.evaluations == losses.size * objective.flip_evaluations == losses.size * 6


def test_rows_are_counted_with_evaluations():
    objective = Objective(lambda bits: bits[:, 0], 3, n_rows=7)
    objective(np.zeros((4, 3)))
    objective.count(2)
    objective.count(2, 5)
    assert (objective.evaluations, objective.rows) == (8, 6 * 7 + 2 * 5)


def test_network_objective_is_the_plain_loss():
    rng = np.random.default_rng(2)
    network = BinaryNetwork((4, 6, 2))
    data = Samples(rng.integers(-3, 4, (200, 4)), rng.integers(0, 2, 200))
    bits = rng.integers(0, 2, (2, 7, 36), dtype=np.uint8)
    objective = network.objective(data, "squared-error")
    np.testing.assert_allclose(
        objective(bits), network.losses(bits, data, "squared_error"), rtol=0, atol=1e-12
    )
    assert objective.evaluations == 14
    assert objective.loss == "squared_error"
    with pytest.raises(ConfigurationError, match="features"):
        BinaryNetwork((5, 2)).objective(data)
