"""How much of their rows networks can see."""

import numpy as np
import pytest

from qhyper.data.samples import Samples
from qhyper.data.sets import load
from qhyper.errors import UnsuitableError
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.objective import Objective
from qhyper.targets.packed.target import PackedTarget
from qhyper.targets.sight import sight


def bars(width, factor=1.0, offset=0.0):
    """Two classes that the first of some features tells apart, 60 rows of each."""
    rng = np.random.default_rng(width)
    y = np.repeat([0, 1], 60)
    x = rng.normal(0, 0.3, (120, width)) + offset
    x[:, 0] += factor * (2 * y - 1)
    return Samples(x, y)


@pytest.mark.parametrize("width", [3, 12])
def test_features_of_one_sign_are_constants(width):
    """A column of 1,000 beside small ones decides the sign of every unit, for all rows."""
    data = bars(width)
    large = Samples(np.column_stack([data.x, np.full(120, 1000.0)]), data.y)
    for target in (BinaryNetwork((width + 1, 4, 2)), BinaryNetwork((width + 1, 4, 3, 2))):
        found = target.objective(large).sight()
        assert (found.rows, found.told_apart) == (120, 1)
        assert found.left == found.constant == 0.5
        assert found.by_neighbours > 0.8
        assert found.merged
    assert not BinaryNetwork((width, 4, 2)).objective(data).sight().merged
    # what has no sign between features and logits sees all
    for space in (
        WeightSpace((width + 1, 2)), WeightSpace((width + 1, 4, 2), activation="relu"),
    ):  # fmt: skip
        found = BinaryNetwork(space).objective(large).sight()
        assert (found.told_apart, found.merged) == (120, False)


def test_packed_networks_see_signs_or_pixels():
    data = bars(5, offset=9.0)
    found = PackedTarget((5, 4, 2)).objective(data).sight()
    assert (found.told_apart, found.merged) == (1, True)
    signs = PackedTarget((5, 4, 2)).objective(bars(5)).sight()
    assert (signs.told_apart, signs.merged) == (len(np.unique(bars(5).x >= 0, axis=0)), False)
    pixels = Samples((np.arange(240).reshape(120, 2) % 256 - 127.5) / 128, data.y)
    assert PackedTarget((2, 4, 2), inputs="pixels").objective(pixels).sight().told_apart == 120


def test_groups_by_brute_force():
    """Rows of 3 features on all 8 units, with sign(0) = +1."""
    rng = np.random.default_rng(0)
    data = Samples(rng.integers(-2, 3, (80, 3)).astype(float), rng.integers(0, 3, 80))
    units = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1)
    groups: dict[tuple[bool, ...], list[int]] = {}
    for row, label in zip(data.x, data.y, strict=True):
        groups.setdefault(tuple(row @ units >= 0), []).append(int(label))
    found = BinaryNetwork((3, 5, 3)).objective(data).sight()
    assert found.told_apart == len(groups)
    assert found.left == sum(np.bincount(of).max() for of in groups.values()) / 80
    assert found.constant == np.bincount(data.y).max() / 80
    assert found.rows == len(np.unique(data.x, axis=0))


@pytest.mark.parametrize("name", ["toy", "digits", "gaussians"])
@pytest.mark.parametrize("biases", [False, True])
def test_sets_of_few_rows_by_nature_are_not_merged(name, biases):
    train = load(name).train
    space = WeightSpace((train.x.shape[1], 6, 2), biases=biases)
    found = BinaryNetwork(space).objective(train).sight()
    assert found.told_apart < 100 < found.rows
    assert not found.merged


def test_classes_that_overlap_and_features_that_tell_nothing_are_no_loss():
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], 500)
    overlap = Samples(rng.normal(size=(1000, 2)) + 0.7 * y[:, None], y)
    noise = Samples(rng.normal(size=(1000, 5)) + 10, y)
    for data in (overlap, noise):
        objective = BinaryNetwork((data.x.shape[1], 6, 2)).objective(data)
        assert objective.sight().told_apart <= 4
        assert not objective.sight().merged


def test_one_row_and_large_data_are_looked_at():
    one = sight(np.ones((1, 2)), np.zeros(1, int), np.ones((1, 2)))
    assert (one.rows, one.told_apart, one.constant, one.merged) == (1, 1, 1.0, False)
    many = Samples(np.random.default_rng(0).normal(size=(5000, 2)), np.arange(5000) % 2)
    assert BinaryNetwork((2, 6, 2)).objective(many).sight().rows == 2000


def test_what_has_no_rows_has_no_sight():
    objective = Objective(lambda bits: bits.mean(axis=1), 3, name="mine")
    assert not objective.capabilities.sight
    with pytest.raises(UnsuitableError, match="mine sees no rows of features"):
        objective.sight()
