"""Arrays as users have them: taken exactly, or refused in words; never rounded or cut unseen."""

import warnings
from decimal import Decimal
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
import torch

from qhyper.arrays import as_array, as_float
from qhyper.bits import as_bits
from qhyper.data.images import Images
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import build_generator
from qhyper.streams import Streams
from qhyper.targets.exact.table import CostTable
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layout import permutation
from qhyper.targets.objective import Objective, checked
from qhyper.targets.packed.inputs import pack_bits, pack_pixels
from qhyper.targets.packed.network import PackedNetwork


class Frame:
    """What has an array inside, as a table of pandas has."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class Broken:
    """What fails while it is read."""

    def __array__(self, dtype=None, copy=None):
        raise OSError("the file is gone")


GRADIENT = torch.ones(2, 2, requires_grad=True)
EXACT = {
    "a list": [[1, 1], [1, 1]],
    "a list of tensors that need gradients": [list(GRADIENT[0]), GRADIENT[1]],
    "a tensor that needs a gradient": GRADIENT,
    "what is computed of one": GRADIENT * 1.0,
    "bfloat16": torch.ones(2, 2, dtype=torch.bfloat16),
    "float8": torch.ones(2, 2).to(torch.float8_e5m2),
    "bfloat16 of other libraries": np.ones((2, 2), ml_dtypes.bfloat16),
    "a tensor marked as negative": torch.full((2, 2), -1j, dtype=torch.complex64).conj().imag,
    "bools": np.ones((2, 2), bool),
    "a mask of nothing": np.ma.array(np.ones((2, 2)), mask=np.zeros((2, 2))),
    "a frame": Frame(np.ones((2, 2), np.int16)),
    "longer floats that are short": np.ones((2, 2), np.longdouble),
}


@pytest.mark.parametrize("values", EXACT.values(), ids=EXACT)
def test_numbers_of_all_kinds_are_taken_exactly(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(as_array(values, "x"), np.ones((2, 2)))
        found = as_float(values, "x")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, np.ones((2, 2)))


@pytest.mark.parametrize("value", [1.0078125, -3.140625, 2.0**-126, 2.0**-133, 3.38e38])
def test_bfloat16_loses_nothing(value):
    tensor = torch.tensor([value], dtype=torch.bfloat16)
    assert as_float(tensor, "x")[0] == float(tensor[0])


def test_arrays_are_not_copied_and_tensors_keep_their_graph():
    x = np.ones(3)
    assert as_array(x, "x") is x
    assert as_float(x, "x") is x
    as_float(GRADIENT, "x")
    assert GRADIENT.requires_grad


MASKED = np.ma.array([[0, 1], [1, 0]], mask=[[0, 0], [1, 0]])
REFUSED = {
    "masked": (MASKED, r"Got x with 1 of 4 entries masked; expected .*Fill them in"),
    "masked in a list": ([MASKED[0], MASKED[1]], "with 1 of 2 entries masked"),
    "a masked constant": ([[0, np.ma.masked], [0, 1]], "entries masked"),
    "complex": (np.ones((2, 2), complex), "Got x of complex128 and shape .2, 2.; expected"),
    "complex tensors": (torch.ones(2, 2, dtype=torch.complex64), "Got x of complex64"),
    "objects": (np.ones((2, 2), object), r"of object .*Convert it first, such as by astype"),
    "decimals": (
        [Decimal("0.5")],
        r"of object .*Convert it first, .* np.array\(..., dtype=float\)",
    ),
    "fractions": ([[Fraction(1, 3), 1]], r"of object .*np.array\(..., dtype=float\)"),
    "whole numbers of 65 bits": ([2**64, 1], r"of object .*np.array\(..., dtype=float\)"),
    "a frame with gaps": (Frame(np.array([[1, None]], object)), "Got x of object"),
    "text": ([["0", "1"]], "Got x of <U1 .*Convert it first"),
    "dates": (np.array([["2020-01-01"]], "M8[D]"), "Got x of datetime64"),
    "records": (np.zeros((2, 2), [("a", int)]), "Got x of .*expected real numbers"),
    "nothing": (None, "Got x of object and shape"),
    "a set": ({0, 1}, "Got x of object"),
    "rows of different lengths": ([[0, 1], [0]], "Got rows of different lengths in x"),
    "sparse": (torch.eye(2).to_sparse(), r"sparse; pass tensor.to_dense"),
    "without data": (torch.empty(2, 2, device="meta"), "cannot be read .NotImplementedError"),
    "what fails": (Broken(), "Broken, which cannot be read .OSError: the file is gone"),
}


@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("read", [as_array, as_float])
def test_what_is_no_array_of_numbers_is_refused(read, values, message):
    with pytest.raises(ConfigurationError, match=message):
        read(values, "x")


ROUNDED = {
    "int64": np.array([0, 2**53 + 1]),
    "negative": np.array([-(2**53) - 1]),
    "uint64": np.array([2**64 - 1], np.uint64),
    "a list": [0, 2**53 + 1],
    "a list with fractions": [0.5, 2**53 + 1],
    "nested": [[0.5, 1], [2**63 + 1, -1]],
    "a tensor": torch.tensor([2**53 + 1]),
}


@pytest.mark.parametrize("values", ROUNDED.values(), ids=ROUNDED)
def test_numbers_that_float64_rounds_are_refused(values):
    with pytest.raises(ConfigurationError, match=r"float64 rounds to.*yourself"):
        as_float(values, "x")


def test_longer_floats_are_rounded_to_the_nearest_float64():
    third = np.array([1, np.nan, np.inf, 0], np.longdouble) / 3
    found = as_float(third, "x")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [1 / 3, np.nan, np.inf, 0])
    assert as_float(list(third[:1]), "x")[0] == 1 / 3


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(float).max, reason="no longer float")
def test_longer_floats_beyond_float64_are_refused():
    with pytest.raises(ConfigurationError, match=r"beyond float64; expected numbers up to 1.8e308"):
        as_float(np.array(["1e400", "1"], np.longdouble), "x")


@pytest.mark.parametrize("value", [2**53, -(2**53), 2**60, 2**63])
def test_large_whole_numbers_that_float64_has_are_taken(value):
    assert as_float([value], "x")[0] == value
    assert as_float([value, 0.5], "x")[0] == value


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_left_to_the_caller(value):
    assert as_float([value], "x").tolist() == pytest.approx([value], nan_ok=True)


# -- wherever arrays are taken --------------------------------------------------------------------

NET = BinaryNetwork((2, 2))
TAKERS = {
    "features": lambda v: Samples(v, [0, 1]),
    "labels": lambda v: Samples(np.ones((4, 1)), np.ravel(v) if type(v) is list else v.reshape(-1)),
    "bits": lambda v: as_bits(v, 2),
    "images": lambda v: Images(v, [0, 1]),
    "packed bits": pack_bits,
    "packed numbers": pack_pixels,
    "losses of a table": lambda v: CostTable(v.reshape(-1)),
    "losses of one's own": lambda v: Objective(lambda bits: v.reshape(-1), 2)([[0, 0]] * 4),
    "losses of any function": lambda v: checked(lambda bits: v.reshape(-1))(np.zeros((4, 2))),
    "logits": lambda v: NET.logits([0, 1, 1, 0], v),
    "an order": lambda v: permutation(v.reshape(-1), 4, None, kind="order", entry="goes"),
    "weights": lambda v: NET.space.encode([v]),
    "a packed draw": lambda v: PackedNetwork.from_bits((2, 2), v.reshape(-1)),
    "log p": lambda v: build_generator("bernoulli", 2).log_prob(v[None, None]),
    "angles": lambda v: build_generator("product", 2).sample_angles(
        v[None], 1, rng=Streams([0])(0)
    ),
    "a start": lambda v: build_generator("product", 4, options={"start": v.reshape(-1)}),
    "inputs": lambda v: build_generator(
        "classical.conditional:ConditionalBernoulli", 2, options={"n_inputs": 2}
    ).sample(1, rng=Streams([0])(0), inputs=v),
}


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
def test_masked_entries_are_refused_wherever_arrays_are_taken(take):
    with pytest.raises(ConfigurationError, match="1 of 4 entries masked"):
        take(MASKED)


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
@pytest.mark.parametrize("kind", [complex, object])
def test_other_types_are_refused_wherever_arrays_are_taken(take, kind):
    with pytest.raises(ConfigurationError, match=np.dtype(kind).name):
        take(np.array([[0, 1], [1, 0]], kind))


# -- what functions of users get ------------------------------------------------------------------


def labs(bits):
    """The energy of low autocorrelation: sums of int8 wrap from 128 bits on."""
    rows = 2 * bits - 1
    found = [np.correlate(row, row, "full")[len(row) :] for row in rows]
    return [float((each.astype(float) ** 2).sum()) for each in found]


@pytest.mark.parametrize("n", [127, 128, 200, 300])
def test_sums_of_many_bits_do_not_wrap(n):
    spins = (2 * np.random.default_rng(0).integers(0, 2, n) - 1).astype(np.int8)
    overlap = Objective(lambda bits: -((2 * bits - 1) @ spins), n)
    assert overlap((spins > 0)[None]).tolist() == [-n]
    ones = np.ones((1, n), np.uint8)
    assert Objective(labs, n)(ones)[0] == sum((n - k) ** 2 for k in range(1, n))
    product = Objective(lambda bits: bits.prod(axis=1) * bits.sum(axis=1) ** 2, n)
    assert product(ones)[0] == n**2


class Scored:
    """Somebody's own objective, of no class of ours."""

    name = "own"

    def __call__(self, bits):
        assert bits.dtype == np.int64
        return (2 * bits - 1).sum(-1)

    def flips(self, bits):
        return self(bits), 2 - 4 * bits


def test_objectives_of_no_class_of_ours_get_wide_bits_too():
    bits = np.zeros((1, 1, 2, 300), np.uint8)
    own = checked(Scored())
    assert own(bits).tolist() == [[[-300.0, -300.0]]]
    losses, differences = own.flips(bits)
    assert losses[0, 0, 0] == -300
    assert differences.dtype == np.float64
    assert (differences == 2).all()
    assert own.name == "own"
    ours = Objective(labs, 3)
    assert checked(ours) is ours


@pytest.mark.parametrize("values", [GRADIENT[0], torch.ones(2, dtype=torch.bfloat16)])
def test_losses_may_be_tensors(values):
    assert Objective(lambda bits: values, 3)(np.zeros((2, 3))).tolist() == [1, 1]
