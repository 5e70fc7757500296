import numpy as np
import pytest

from qhyper.data.images import Images
from qhyper.data.samples import Dataset, Samples, hold_out, stratified_split
from qhyper.errors import ConfigurationError

X = [[0.5, 1.0], [2.0, -3.0], [4.0, 5.0], [6.0, 7.0]]
Y = [0, 1, 0, 1]


def test_samples_are_copies_that_nobody_can_change():
    x = np.array(X, dtype=np.float32)
    samples = Samples(x, np.array(Y, dtype=np.uint8))
    assert samples.x.dtype == np.float64
    assert samples.y.dtype == np.int64
    x[0, 0] = 9
    assert samples.x[0, 0] == 0.5
    with pytest.raises(ValueError, match="read-only"):
        samples.x[0, 0] = 9
    with pytest.raises(ValueError, match="read-only"):
        samples.y[0] = 1


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2], [0, 1], r"shape \(2,\).*\[row, feature\]"),
        ([[1, 2], [3]], [0, 1], "different lengths in x"),
        ([["a"], ["b"]], [0, 1], "x of <U1"),
        (X, [Y], r"y of .* shape \(1, 4\).*\[row\]"),
        (X, [0, 1], "4 rows in x and 2 labels in y"),
        (np.zeros((0, 2)), [], r"shape \(0, 2\).*at least one row"),
        (np.zeros((2, 0)), [0, 1], "at least one row and one feature"),
        ([[1, 2], [3, np.nan]], [0, 1], "feature nan in row 1, column 1"),
        ([[1, 2], [-np.inf, np.nan]], [0, 1], "feature -inf in row 1, column 0"),
        (X, [0, 1, 0.5, 1], "label 0.5 in row 2"),
        (X, [0, 1, 1, -1], "label -1 in row 3"),
        (X, [0, np.nan, 1, 1], "label nan in row 1"),
        (X, [0, 1e300, 1, 1], r"label 1e\+300 in row 1"),
    ],
)
def test_samples_refuse_what_is_not_labelled_rows(x, y, message):
    with pytest.raises(ConfigurationError, match=message):
        Samples(x, y)


def test_a_dataset_counts_features_and_classes():
    dataset = Dataset("mine", Samples(X, [0, 1, 2, 3]), Samples(X, [2, 2, 2, 2]))
    assert dataset.n_features == 2
    assert dataset.n_classes == 4


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (Samples(X, [1] * 4), Samples(X, Y), "'mine'.*only the class 1"),
        (Samples(X, [1, 2, 2, 1]), Samples(X, Y), "'mine'.*labels 1, 2 .*every label from 0 to 2"),
        (Samples(X, Y), Samples(X, [0, 1, 2, 1]), "'mine'.*label 2 .*expected 0 to 1"),
        (Samples(X, Y), Samples([[1.0]], [0]), "'mine'.*2 features .* and 1 in the test"),
    ],
)
def test_a_dataset_refuses_parts_that_do_not_fit(train, test, message):
    with pytest.raises(ConfigurationError, match=message):
        Dataset("mine", train, test)


# Memory


def test_large_rows_that_nobody_can_change_are_not_copied():
    x = np.arange(6.0).reshape(3, 2)  # a view
    x.base.setflags(write=False)
    x.setflags(write=False)
    samples = Samples(x, [0, 1, 1])
    assert samples.x is x
    assert Samples(samples.x[1:], [0, 1]).x.base is not None


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x[:],  # somebody can write to what it is a view of
        lambda x: x.astype(np.float32),
        lambda x: np.asfortranarray(x),
        lambda x: np.frombuffer(bytearray(x.tobytes())).reshape(x.shape),
    ],
    ids=["view", "float32", "fortran", "buffer"],
)
def test_other_read_only_rows_are_copied(make):
    x = np.arange(6.0).reshape(3, 2).copy()
    given = make(x)
    given.setflags(write=False)
    samples = Samples(given, [0, 1, 1])
    assert not np.shares_memory(samples.x, given)
    assert np.array_equal(samples.x, x)
    assert samples.x.flags.c_contiguous


# Some of the rows


def numbered(kind, n=6):
    """Samples or images whose labels are the numbers of their rows."""
    rng = np.random.default_rng(0)
    if kind == "samples":
        return Samples(rng.normal(size=(n, 3)), np.arange(n))
    return Images(rng.integers(0, 256, (n, 784), dtype=np.uint8), np.arange(n))


def content(rows):
    return rows.x if isinstance(rows, Samples) else rows.pixels


@pytest.mark.parametrize(
    "rows", [np.array([4, 0, 4]), np.array([True, False] * 3), slice(2, 5)], ids=str
)
def test_taken_rows_are_those_rows_in_their_order(rows):
    whole = numbered("samples")
    taken = whole.take(rows)
    assert len(taken) == len(np.arange(6)[rows])
    assert np.array_equal(taken.y, np.arange(6)[rows])
    assert np.array_equal(taken.x, whole.x[rows])
    assert not taken.x.flags.writeable


def test_taking_no_row_is_refused():
    with pytest.raises(ConfigurationError, match=r"shape \(0, 3\), expected at least one row"):
        numbered("samples").take(slice(0))


@pytest.mark.parametrize("kind", ["samples", "images"])
def test_held_out_rows_are_the_others(kind):
    whole = numbered(kind)
    labels = (lambda rows: rows.y) if kind == "samples" else (lambda rows: rows.labels)
    train, held_out = hold_out(whole, 2, np.random.default_rng(1))
    assert type(train) is type(held_out) is type(whole)
    assert (len(train), len(held_out)) == (4, 2)
    assert sorted([*labels(train), *labels(held_out)]) == [0, 1, 2, 3, 4, 5]
    assert np.array_equal(content(train), content(whole)[labels(train)])
    assert np.array_equal(content(held_out), content(whole)[labels(held_out)])
    assert labels(train).tolist() == sorted(labels(train))
    assert labels(held_out).tolist() == sorted(labels(held_out))
    again = hold_out(whole, 2, np.random.default_rng(1))[1]
    assert np.array_equal(labels(held_out), labels(again))


@pytest.mark.parametrize("kind", ["samples", "images"])
@pytest.mark.parametrize("n", [0, 6, -1])
def test_holding_out_none_or_all_is_refused(kind, n):
    with pytest.raises(ConfigurationError, match=f"n={n} to hold out of 6; expected 1 to 5"):
        hold_out(numbered(kind), n, np.random.default_rng(0))


def test_a_stratified_split_sets_a_fifth_of_each_class_aside():
    samples = Samples(np.arange(23.0)[:, None], [0] * 10 + [1] * 11 + [2] * 2)
    train, test = stratified_split(samples, np.random.default_rng(0), "mine")
    assert np.bincount(train.y).tolist() == [8, 9, 1]
    assert np.bincount(test.y).tolist() == [2, 2, 1]
    assert sorted([*train.x[:, 0], *test.x[:, 0]]) == list(range(23))
    with pytest.raises(ConfigurationError, match="'mine': got a single row of class 1"):
        stratified_split(Samples([[0], [1], [2]], [0, 1, 0]), np.random.default_rng(0), "mine")
