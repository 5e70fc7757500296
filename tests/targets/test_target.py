"""Layouts: blocks, orders and units of every kind of target."""

import numpy as np
import pytest

from qhyper.errors import ConfigurationError
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.layout import ORDERS, Block, Layout
from qhyper.targets.packed.target import PackedTarget

FOUR_PAIRS = ((0, 1), (-1, 1), (-2, 1), (-3, 1))
EVERYTHING = WeightSpace(
    (2, 2, 1),
    biases=True,
    values=FOUR_PAIRS,
    activation=("relu", "sigmoid"),
    optional=("layers", "units", "biases"),
)
"""A space with every kind of bit, whose weights and biases are bits 0 to 8."""
SPACES = [
    EVERYTHING,
    WeightSpace((2, 4, 1), biases=True, activation=("relu", "sigmoid")),
    WeightSpace((3, 4, 4, 2), biases=True, optional=("biases", "units", "layers")),
]


def layout_of(*layers):
    return WeightSpace(layers).layout


# -- blocks ----------------------------------------------------------------------------------------


def test_blocks_lie_in_their_order_each_row_major():
    layout = Layout((Block("a", (2, 3), (0, 1)), Block("b", (2,)), Block("c", (3, 1), (1, 2))))
    assert layout.n_bits == 11
    assert layout.bits["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert layout.bits["b"].tolist() == [6, 7]
    assert layout.bits["c"].tolist() == [[8], [9], [10]]
    assert layout.layers == (2, 3, 1)
    assert str(layout) == "layout a 2×3, b 2, c 3×1"
    assert Layout((Block("bits", (5,)),)).layers == ()


@pytest.mark.parametrize("space", [WeightSpace((4, 6, 2)), *SPACES])
def test_blocks_of_a_layered_network_are_the_bits_of_these_names(space):
    layout, names = space.layout, space.names()
    assert layout.n_bits == space.n_bits == len(names)
    assert layout.layers == space.layers
    for k in range(len(space.layers) - 1):
        for (i, j), bit in np.ndenumerate(layout.bits[f"{k}.weight"]):
            assert names[bit] == f"W{k + 1}[{i},{j}]"
        if space.biases:
            for j, bit in enumerate(layout.bits[f"{k}.bias"]):
                assert names[bit] == f"b{k + 1}[{j}]"
    assert [layout.bits[n].tolist() for n in space.choices if n in layout.bits] == [
        bits.tolist() for n, bits in space.choices.items() if n in layout.bits
    ]


@pytest.mark.parametrize("layers", [(4, 6, 2), (5, 3), (2, 3, 4, 2)])
def test_a_packed_network_lies_as_the_layered_one(layers):
    assert PackedTarget(layers).layout == BinaryNetwork(layers).layout


def test_blocks_that_are_none_are_refused():
    for blocks in ((), (Block("a", (2,)), Block("a", (3,))), (Block("a", (2, 0)),)):
        with pytest.raises(ConfigurationError, match="expected one or more, of different names"):
            Layout(blocks)
    with pytest.raises(
        ConfigurationError, match=r"Got n_bits=3, but the layout a 2×2 has 4 bits\. Pass the n_bits"
    ):
        Layout((Block("a", (2, 2)),)).check(3)


# -- orders ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [(4, 6, 2), (2, 3, 1), (2, 3, 4, 2), (784, 1)])
def test_orders_are_permutations(layers):
    layout = layout_of(*layers)
    for name in ORDERS if len(layers) > 2 else ("row", "split"):
        np.testing.assert_array_equal(np.sort(layout.order(name)), np.arange(layout.n_bits))


def test_orders_by_hand():
    layout = layout_of(1, 2, 2)  # bits 0 1 | 2 3 (unit 0), 4 5 (unit 1)
    assert layout.order("row").tolist() == [0, 1, 2, 3, 4, 5]
    assert layout.order("unit").tolist() == [0, 2, 3, 1, 4, 5]
    assert layout.order("split").tolist() == [0, 1, 2, 4, 3, 5]
    assert layout_of(2, 1, 2).order("unit-centre").tolist() == [0, 3, 2, 1]
    assert layout_of(4, 6, 2).order("unit-centre")[:6].tolist() == [0, 6, 25, 24, 12, 18]


@pytest.mark.parametrize("space", [*SPACES, WeightSpace((16, 1), biases=True, values=FOUR_PAIRS)])
def test_orders_of_spaces_with_choices_are_permutations(space):
    for name in ORDERS if len(space.layers) > 2 else ("row", "split"):
        np.testing.assert_array_equal(np.sort(space.layout.order(name)), np.arange(space.n_bits))


def test_orders_with_choices_by_hand():
    assert EVERYTHING.layout.order("unit").tolist() == [
        0, 2, 6, 13, 4,  # inputs, bias, presence and output of the first unit
        1, 3, 7, 14, 5,
        8, 9, 10, 11, 12, 15,
    ]  # fmt: skip
    assert EVERYTHING.layout.order("split").tolist() == list(range(16))
    two = WeightSpace((1, 2, 2), biases=True)  # W2 in bits 2 to 5, by unit
    assert two.layout.order("split").tolist() == [0, 1, 2, 4, 3, 5, 6, 7, 8, 9]


def test_bits_without_structure_have_their_order_alone():
    layout = Layout((Block("bits", (5,)),))
    for name in ("row", "split"):
        assert layout.order(name).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ConfigurationError, match="The layout bits 5 has no hidden units"):
        layout.order("unit")


# -- units -----------------------------------------------------------------------------------------


def test_unit_blocks_hold_the_weights_of_one_unit():
    space = WeightSpace((4, 6, 2))
    for unit, block in enumerate(space.layout.unit_blocks()):
        first, second = (np.ones(shape, dtype=int) for shape in space.shapes)
        first[:, unit], second[unit] = -1, -1
        np.testing.assert_array_equal(
            np.flatnonzero(space.encode([first, second]) == 0), np.sort(block)
        )


@pytest.mark.parametrize("space", SPACES)
def test_unit_blocks_are_the_bits_that_bear_the_number_of_the_unit(space):
    names = space.names()
    for unit, block in enumerate(space.layout.unit_blocks()):
        own = [
            *(f"W1[{i},{unit}]" for i in range(space.layers[0])),
            f"b1[{unit}]",
            *([f"unit 1.{unit}"] if "units" in space.optional else []),
            *(f"W2[{unit},{j}]" for j in range(space.layers[2])),
        ]
        assert [names[bit] for bit in block] == own


def test_refusals():
    with pytest.raises(ConfigurationError, match=r"Unknown order of the bits 'splitt'.*'split'"):
        layout_of(4, 6, 2).order("splitt")
    with pytest.raises(ConfigurationError, match=r"no hidden unit.*expected two layers of weights"):
        layout_of(4, 2).unit_blocks()
