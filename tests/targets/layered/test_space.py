import numpy as np
import pytest

from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.targets.layered.space import ACTIVATIONS, WeightSpace


def draws(n_bits, shape, seed=0):
    return np.random.default_rng(seed).integers(0, 2, (*shape, n_bits), dtype=np.uint8)


@pytest.mark.parametrize("layers", [(4, 6, 2), (3, 1), (2, 3, 4, 2), (1, 1)])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
def test_encode_is_the_inverse_of_decode(layers, shape):
    space = WeightSpace(layers)
    bits = draws(space.n_bits, shape)
    weights = space.decode(bits).weights
    assert [w.shape for w in weights] == [(*shape, *s) for s in space.shapes]
    assert all(set(np.unique(w)) <= {-1, 1} for w in weights)
    np.testing.assert_array_equal(space.encode(weights), bits)


def test_bits_are_laid_out_as_in_the_thesis():
    space = WeightSpace((4, 6, 2))
    bits = draws(36, ())
    w = 2 * bits.astype(int) - 1
    first, second = space.decode(bits).weights
    assert space.n_bits == 36
    np.testing.assert_array_equal(first, w[:24].reshape(4, 6))
    np.testing.assert_array_equal(second, w[24:].reshape(6, 2))


def test_refusals():
    space = WeightSpace((4, 6, 2))
    with pytest.raises(ConfigurationError, match="expected at least an input and an output"):
        WeightSpace((4,))
    with pytest.raises(ConfigurationError, match=r"\[4, 0, 2\]"):
        WeightSpace((4, 0, 2))
    with pytest.raises(ConfigurationError, match=r"\[4, 6.5, 2\]"):
        WeightSpace((4, 6.5, 2))
    with pytest.raises(ConfigurationError, match="Got bitstrings of 35 bits, expected 36"):
        space.decode(np.zeros(35, dtype=np.uint8))
    with pytest.raises(ConfigurationError, match="Bits must be 0 or 1"):
        space.decode(np.full(36, 2))
    with pytest.raises(ConfigurationError, match="every weight -1 or"):
        space.encode([np.zeros((4, 6)), np.ones((6, 2))])
    with pytest.raises(ConfigurationError, match="Got 1 weight matrices, expected 2"):
        space.encode([np.ones((4, 6))])


def test_all_bitstrings_decode_to_distinct_weights():
    space = WeightSpace((2, 2, 1))
    flat = np.concatenate(
        [w.reshape(64, -1) for w in space.decode(all_bitstrings(6)).weights], axis=1
    )
    assert len(np.unique(flat, axis=0)) == 64


# -- biases, values, activations and parts ---------------------------------------------------------

FOUR_PAIRS = ((0, 1), (-1, 1), (-2, 1), (-3, 1))
EVERYTHING = WeightSpace(
    (2, 2, 1),
    biases=True,
    values=FOUR_PAIRS,
    activation=("relu", "sigmoid"),
    optional=("layers", "units", "biases"),
)
"""A space with every kind of bit, whose weights and biases are bits 0 to 8."""


def test_every_bit_has_its_name():
    assert EVERYTHING.names() == [
        "W1[0,0]", "W1[0,1]", "W1[1,0]", "W1[1,1]", "W2[0,0]", "W2[1,0]",
        "b1[0]", "b1[1]", "b2[0]",
        "activation", "values 0", "values 1", "biases", "unit 1.0", "unit 1.1", "layer 1",
    ]  # fmt: skip
    assert {name: bits.tolist() for name, bits in EVERYTHING.choices.items()} == {
        "activation": [9], "values": [10, 11], "biases": [12], "units": [13, 14], "layers": [15],
    }  # fmt: skip
    assert (EVERYTHING.n_weights, EVERYTHING.n_bits) == (6, 16)


@pytest.mark.parametrize(
    ("space", "n_bits", "choices"),
    [
        (WeightSpace((4, 6, 2)), 36, {}),
        (
            WeightSpace((2, 4, 1), biases=True, activation=("relu", "sigmoid")),
            18,
            {"activation": 1},
        ),
        (WeightSpace((16, 1), biases=True, values=FOUR_PAIRS), 19, {"values": 2}),
        (WeightSpace((3, 2), biases=True, optional=["biases"]), 9, {"biases": 1}),
        (WeightSpace((3, 3, 2, 3, 2), optional="layers"), 27 + 1, {"layers": 1}),
        (WeightSpace((2, 3, 3, 2), optional=("units", "layers")), 28, {"units": 6, "layers": 1}),
        (WeightSpace((2, 3, 1), values=(0, 0.5), activation="tanh"), 9, {}),
    ],
)
def test_sizes_and_names_of_other_spaces(space, n_bits, choices):
    assert space.n_bits == n_bits == len(space.names())
    assert {name: len(bits) for name, bits in space.choices.items()} == choices
    assert len(set(space.names())) == n_bits
    assert eval(repr(space)) == space
    assert space.plain == (space == WeightSpace((4, 6, 2)))


def test_only_layers_as_wide_as_their_inputs_have_a_bit():
    space = WeightSpace((3, 3, 2, 2, 3, 1), optional="layers")
    assert space.names()[-2:] == ["layer 1", "layer 3"]
    bits = np.zeros(space.n_bits, dtype=np.uint8)
    assert space.decode(bits).layers.tolist() == [False, True, False, True]
    bits[-1] = 1
    assert space.decode(bits).layers.tolist() == [False, True, True, True]


def test_decode_by_hand():
    #       W1          W2    b1    b2 act values biases units layer
    bits = [1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1]
    found = EVERYTHING.decode(bits)
    assert [w.tolist() for w in found.weights] == [[[1, -2], [-2, 1]], [[-2], [1]]]
    assert [b.tolist() for b in found.biases] == [[1, -2], [1]]
    assert ACTIVATIONS[found.activation] == "sigmoid"
    assert [u.tolist() for u in found.units] == [[True, False]]
    assert found.layers.tolist() == [True]
    assert all(part.dtype == np.int64 for part in (*found.weights, *found.biases))
    bits[9] = bits[12] = bits[15] = 0
    found = EVERYTHING.decode(bits)
    assert ACTIVATIONS[found.activation] == "relu"
    assert [b.tolist() for b in found.biases] == [[0, 0], [0]]
    assert found.layers.tolist() == [False]


def test_the_first_of_several_bits_is_the_most_significant():
    for number, (low, high) in enumerate(FOUR_PAIRS):
        bits = np.array([[0] * 9, [1] * 9])
        rest = np.repeat([[0, number >> 1, number & 1, 1, 1, 1, 1]], 2, axis=0)
        found = EVERYTHING.decode(np.concatenate([bits, rest], axis=1))
        for part in (*found.weights, *found.biases):
            assert (part[0] == low).all()  # 01 is the second pair
            assert (part[1] == high).all()
    four = WeightSpace((1, 1, 1), activation=ACTIVATIONS)
    strings = [[0, 0, *pair] for pair in ([0, 0], [0, 1], [1, 0], [1, 1])]
    assert [ACTIVATIONS[k] for k in four.decode(strings).activation] == list(ACTIVATIONS)


def test_values_that_are_not_whole_decode_to_floats():
    space = WeightSpace((1, 2), biases=True, values=(-0.5, 2))
    found = space.decode([[1, 0, 0, 1]])
    assert found.weights[0].dtype == found.biases[0].dtype == np.float64
    assert found.weights[0].tolist() == [[[2, -0.5]]]
    assert found.biases[0].tolist() == [[-0.5, 2]]


@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
def test_leading_axes_are_kept(shape):
    bits = draws(EVERYTHING.n_bits, shape)
    found = EVERYTHING.decode(bits)
    assert [w.shape for w in found.weights] == [(*shape, 2, 2), (*shape, 2, 1)]
    assert [b.shape for b in found.biases] == [(*shape, 2), (*shape, 1)]
    assert found.activation.shape == shape
    assert [u.shape for u in found.units] == [(*shape, 2)]
    assert found.layers.shape == (*shape, 1)


def test_encode_writes_weights_alone():
    relu = WeightSpace((2, 2, 1), activation="relu")  # a fixed activation is no bit
    bits = draws(relu.n_bits, (4,))
    np.testing.assert_array_equal(relu.encode(relu.decode(bits).weights), bits)
    for space in (EVERYTHING, WeightSpace((2, 1), biases=True), WeightSpace((2, 1), values=(0, 1))):
        with pytest.raises(ConfigurationError, match=r"and the WeightSpace\(.* has more"):
            space.encode([np.ones(shape) for shape in space.shapes])


@pytest.mark.parametrize(
    ("layers", "choices", "message"),
    [
        ((4, 2), {"activation": ("sign", "relu")}, "an activation, but no hidden layer"),
        ((4, 3, 2), {"optional": ("biases",)}, "optional biases, but biases=False"),
        ((4, 2), {"optional": ("units",)}, "optional units, but no hidden layer"),
        ((4, 2), {"optional": ("layers",)}, "no hidden layer has as many units as inputs"),
        ((4, 3, 3), {"optional": ("layers",)}, "no hidden layer has as many units as inputs"),
        ((4, 2), {"activation": "swish"}, "Unknown activation 'swish'"),
        ((4, 2), {"optional": ["bias"]}, "Unknown optional part 'bias'. Did you mean 'biases'"),
        ((4, 3, 2), {"activation": ("sign", "relu", "tanh")}, "Got 3 activations to choose from"),
        ((4, 3, 2), {"activation": ()}, "Got 0 activations to choose from"),
        ((4, 3, 2), {"activation": ("relu", "relu")}, "expected each once"),
        ((4, 2), {"values": FOUR_PAIRS[:3]}, "Got 3 pairs of values to choose from"),
        ((4, 2), {"values": ((0, 1), (0.0, 1.0))}, "the pairs of values .* expected each once"),
        ((4, 2), {"values": (1, 1)}, r"the pair of values \(1, 1\); expected two different"),
        ((4, 2), {"values": (0, float("nan"))}, "expected the two numbers that bit 0 and bit 1"),
        ((4, 2), {"values": (0, 1, 2)}, r"Got values=\(0, 1, 2\); expected the two numbers"),
        ((4, 2), {"values": ((0, 1), (2,))}, "expected the two numbers"),
        ((4, 2), {"values": ()}, "expected the two numbers"),
        ((4, 2), {"values": "ab"}, "Got values='ab'; expected the two numbers"),
        ((4, 2), {"values": 3}, "Got values=3; expected the two numbers"),
    ],
)
def test_choices_that_cannot_be_are_refused(layers, choices, message):
    with pytest.raises(ConfigurationError, match=message):
        WeightSpace(layers, **choices)


def test_the_wrong_number_of_bits_names_the_space():
    with pytest.raises(
        ConfigurationError, match=r"WeightSpace\(\(2, 1\), biases=True\) has 3 bits"
    ):
        WeightSpace((2, 1), biases=True).check(2)


@pytest.mark.parametrize(
    ("layers", "choices", "message"),
    [
        (5, {}, r"Got layer sizes \[5\]; expected at least an input"),
        ((True, 2, 1), {}, "Got layer sizes"),
        ((2, 2, 1), {"biases": "no"}, "biases is true or false; got 'no'"),
        ((2, 2, 1), {"activation": None}, "Got activation=None; expected a name"),
        ((2, 2, 1), {"optional": None}, "Got optional=None; expected a name"),
        ((2, 1), {"activation": "relu"}, "an activation, but no hidden layer"),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(layers, choices, message):
    with pytest.raises(ConfigurationError, match=message):
        WeightSpace(layers, **choices)
