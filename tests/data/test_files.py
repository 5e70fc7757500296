import numpy as np
import pytest

from qhyper.data.sets import load
from qhyper.errors import ConfigurationError, MissingError, StorageError

X = [[0.5, 1.0], [2.0, -3.0], [4.0, 5.0], [6.0, 7.0]]
Y = [0, 1, 0, 1]


def counts(samples):
    return np.bincount(samples.y).tolist()


def test_npz_with_test_rows(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, x=X, y=Y, x_test=X[:1], y_test=Y[:1])
    mine = load(path)
    assert mine.name == str(path)
    assert mine.train.x.tolist() == X
    assert mine.train.y.tolist() == Y
    assert mine.test.x.tolist() == X[:1]


def test_a_file_without_test_rows_is_split_by_class(tmp_path):
    path = tmp_path / "mine.npz"
    x = np.arange(60.0)[:, None]
    y = np.array([0, 2, 1] + 47 * [0] + 10 * [2])
    y[3] = 1
    np.savez(path, x=x, y=y)
    mine = load(str(path))
    assert counts(mine.test) == [9, 1, 2]  # of 47, 2 and 11
    assert counts(mine.train) == [38, 1, 9]
    assert sorted([*mine.train.x[:, 0], *mine.test.x[:, 0]]) == list(range(60))
    for part in (mine.train, mine.test):
        assert np.array_equal(y[part.x[:, 0].astype(int)], part.y)
    assert np.array_equal(load(path).test.x, mine.test.x)
    assert not np.array_equal(load(path, seed=1).test.x, mine.test.x)


@pytest.mark.parametrize("header", ["", "a,b,label\n", "\ufeffa,b,label\r\n", "\n"])
def test_csv_with_and_without_a_header(header, tmp_path):
    train, test = tmp_path / "train.CSV", tmp_path / "test.csv"
    text = f"{header}0.5,1,0\n\n2,-3e0, 1\n4,5,0\n"
    train.write_text(text, encoding="utf-8", newline="")
    test.write_text('"6",7,1\n' if "label" not in header else 'a,b,label\n"6",7,1\n')
    mine = load(train, test=test)
    assert mine.train.x.tolist() == X[:3]
    assert mine.train.y.tolist() == Y[:3]
    assert mine.test.x.tolist() == X[3:]


def test_a_csv_that_is_not_text_is_reported(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StorageError, match=r"bad\.csv as CSV in UTF-8"):
        load(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": X, "y": Y}, "'X'.*Did you mean 'x'"),
        ({"x": X, "y": Y, "x-test": X}, "'x-test'.*Did you mean 'x_test'"),
        ({"x_train": X, "y_train": Y}, "'x_train'.*Did you mean 'x'\\? Rename"),
        ({"x": X, "Train_Y": Y}, "'Train_Y'.*Did you mean 'y'\\? Rename"),
        ({"train_images": X, "train_labels": Y}, "'train_images'.* and y_test. Rename"),
        ({"data": X, "target": Y}, "'data'.* and y_test. Rename"),
        ({"x": X}, "no array 'y' beside x"),
        ({"x": X, "y": Y, "y_test": Y}, "no array 'x_test' beside x, y, y_test"),
        ({}, "no array 'x' beside nothing"),
        ({"x": np.zeros((0, 2)), "y": []}, r"shape \(0, 2\)"),
        ({"x": X, "y": [[0], [1], [0], [1]]}, r"y of shape \(4, 1\).*y.ravel\(\)"),
        ({"x": X, "y": np.eye(4)}, r"y of shape \(4, 4\).*y.argmax\(axis=1\)"),
        ({"x": X, "y": [0, 1, np.nan, 1]}, r"1 missing value\(s\) in y, the first in row 2"),
        ({"x": X, "y": Y, "x_test": [[1.0]], "y_test": [0]}, "2 features .* and 1 in the test"),
        (
            {"x": X, "y": Y, "x_test": X, "y_test": [0, 1, 2, 3]},
            "label '2' in row 2 of y_test.*: 0, 1",
        ),
    ],
)
def test_npz_errors_name_the_file_and_the_array(arrays, message, tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    with pytest.raises(ConfigurationError, match=f"bad.npz.*{message}"):
        load(path)


def test_an_npz_with_python_objects_is_not_unpickled(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, x=np.array([{}, []], dtype=object), y=[0, 1])
    with pytest.raises(StorageError, match=r"bad.npz.*allow_pickle=False"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_an_npz_that_is_no_archive_is_reported(content, tmp_path):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"bad.npz is not an .npz archive"):
        load(path)


def test_a_damaged_npz_is_reported(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, x=X, y=Y)
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(-3.0).tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"Cannot read .*bad.npz.*CRC"):
        load(path)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(MissingError, match=r"no file .*nowhere\.csv"):
        load(tmp_path / "nowhere.csv")
    path = tmp_path / "mine.npz"
    np.savez(path, x=X, y=Y)
    with pytest.raises(MissingError, match=r"no file .*nowhere\.csv"):
        load(path, test="nowhere.csv")


def test_a_test_file_that_does_not_fit_is_refused(tmp_path):
    train, both = tmp_path / "train.npz", tmp_path / "both.npz"
    np.savez(train, x=X, y=Y)
    np.savez(both, x=X, y=Y, x_test=X, y_test=Y)
    with pytest.raises(ConfigurationError, match=r"both\.npz.*, and there is a test file too"):
        load(both, test=train)
    with pytest.raises(ConfigurationError, match=r"both\.npz.*, and there is a test file too"):
        load(train, test=both)
    with pytest.raises(ConfigurationError, match=r"test file test\.txt, expected"):
        load(train, test="test.txt")
    wide = tmp_path / "wide.csv"
    wide.write_text("1,2,3,0\n")
    with pytest.raises(ConfigurationError, match=r"2 features .* and 3 in the test rows"):
        load(train, test=wide)


@pytest.mark.parametrize("name", ["mine.npz", "mine.CSV", "mine.tsv"])
def test_a_file_takes_no_options_of_images(name):
    message = r"option\(s\) size for the file mine\..*; expected label, drop, missing, predict"
    with pytest.raises(ConfigurationError, match=message):
        load(name, options={"size": 4})


def test_arrays_take_no_options_of_columns(tmp_path):
    np.savez(tmp_path / "mine.npz", x=X, y=Y)
    with pytest.raises(ConfigurationError, match="its arrays x and y say what is what"):
        load(tmp_path / "mine.npz", options={"label": "y"})


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([1, 2, 1, 2], ("1", "2")),
        ([-1, 1, 1, -1], ("-1", "1")),
        ([True, False, True, False], ("False", "True")),
        (["b", "a", "b", "a"], ("a", "b")),
        ([10.0, 9.0, 9.0, 10.0], ("9", "10")),
    ],
)
def test_labels_of_arrays_are_classes_in_their_order(labels, classes, tmp_path):
    np.savez(tmp_path / "mine.npz", x=X, y=labels, x_test=X, y_test=labels)
    mine = load(tmp_path / "mine.npz")
    assert mine.classes == classes
    assert [classes[i] for i in mine.train.y] == [str(label).replace(".0", "") for label in labels]
    assert mine.test.y.tolist() == mine.train.y.tolist()
