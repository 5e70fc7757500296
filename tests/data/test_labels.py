"""Labels as files have them: missing ones, and classes that look alike."""

import numpy as np
import pytest

from qhyper.data.sets import load
from qhyper.errors import ConfigurationError, StorageError


@pytest.fixture
def read(tmp_path):
    """Read rows of these labels."""

    def read_labels(labels, test=None, **options):
        for name, given in (("mine.csv", labels), ("other.csv", test)):
            lines = [f"{i % 5 - 2.5},{i % 3},{label}\n" for i, label in enumerate(given or ())]
            (tmp_path / name).write_text("u,v,kind\n" + "".join(lines), encoding="utf-8")
        other = None if test is None else tmp_path / "other.csv"
        return load(tmp_path / "mine.csv", test=other, options=options)

    return read_labels


WORDS = ("NULL", "null", "None", "none", "NA", "N.A.", "n.a.", "#VALUE!", "#REF!", "#N/A", "-", "")


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("classes", [("no", "yes"), ("0", "1")])
def test_a_missing_label_is_no_class(classes, word, read):
    labels = [*classes, word] * 4
    with pytest.raises(ConfigurationError, match=r"4 missing value.*; write what is a class other"):
        read(labels)
    data = read(labels, missing="drop")
    assert (data.classes, data.left_out) == (classes, 4)
    assert len(data.train) + len(data.test) == 8


def test_a_word_that_may_be_a_class_is_not_left_out_without_a_word(read):
    data = read(["EU", "NA", "AS"] * 4, missing="drop")
    note = "4 rows with the label 'NA' are left out as missing. If that is a class, write it in"
    assert data.notes[0].startswith(note)
    assert data.about()["notes"] == data.notes
    assert not read(["EU", "", "AS"] * 4, missing="drop").notes
    assert not read(["1", "NA", "2"] * 4, missing="drop").notes
    assert read(["None", "mild"] * 4).classes == ("None", "mild")
    assert read(["+", "-"] * 4).classes == ("+", "-")


@pytest.mark.parametrize("word", [None, float("nan"), "NULL", "NaT"])
def test_labels_of_arrays_that_were_missing_are_refused(word, tmp_path):
    y = np.array(["a", "b", word] * 4, dtype=object)
    path, x = tmp_path / "mine.npz", np.ones((12, 2))
    np.savez(path, x=x, y=y)
    with pytest.raises(StorageError, match=r"y.astype\(str\), without the rows .* None or NaN"):
        load(path)
    np.savez(path, x=x, y=y.astype(str))
    message = rf"4 missing value\(s\) in y, the first, '{word}', in row 2 .*Leave these rows out"
    with pytest.raises(ConfigurationError, match=message):
        load(path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("class A", "class\u00a0A"), ("class A", "class  A"), ("caf\u00e9", "cafe\u0301"),
        ("A", "A\u200b"), ("A", "\ufeffA"), ("'a'", "a"), ("Yes", "YES"), ("A", "\uff21"),
    ],
)  # fmt: skip
def test_classes_that_look_alike_are_refused(one, other, read):
    message = r"Got the label '.*' in line [23] beside '.*'; expected one spelling of a class"
    for labels in ([one, other, "B"], [other, one, "B"]):
        with pytest.raises(ConfigurationError, match=message):
            read(labels * 4)
    with pytest.raises(ConfigurationError, match="in line 2 of the test file, expected one of the"):
        read([one, "B"] * 4, [other, "B"])


@pytest.mark.parametrize(("one", "other"), [("01", "1"), ("1E1", "10E0"), ("1e1", "10")])
def test_whole_numbers_in_two_spellings_are_refused(one, other, read):
    message = f"label '{other}' in line 3{{}} beside '{one}'; expected one spelling"
    with pytest.raises(ConfigurationError, match=message.format("")):
        read([one, other, "2"] * 4)
    with pytest.raises(ConfigurationError, match=message.format(" of the test file")):
        read([one, "2"] * 4, ["2", other])
    assert read(["01", "02"] * 4, ["02", "01", "01"]).classes == ("1", "2")


@pytest.mark.parametrize(
    "cell", ["1e-400", "-0.001e-330", "9007199254740993.0", "9007199254740993"]
)
def test_numbers_that_would_become_others_are_refused(cell, tmp_path):
    (tmp_path / "mine.csv").write_text(f"1,0\n{cell},1\n0e0,0\n9007199254740992.0,1\n1,1\n")
    with pytest.raises(ConfigurationError, match=f"Got '{cell}' in line 2, column 1"):
        load(tmp_path / "mine.csv")


def test_the_training_file_is_no_test_file(read, tmp_path):
    labels = ["a", "b"] * 4
    message = r"Got the test file .*csv, which has what is in .*mine\.csv; expected other rows"
    with pytest.raises(ConfigurationError, match=message):
        read(labels, labels)
    with pytest.raises(ConfigurationError, match=message):
        load(tmp_path / "mine.csv", test=tmp_path / "." / "mine.csv")


def test_numbers_with_decimals_can_be_classes(read):
    data = read(["1.0", "1.5", "2.0"] * 4, predict="classes")
    assert data.classes == ("1", "1.5", "2")
    assert np.bincount(data.train.y).tolist() == [3, 3, 3]
    with pytest.raises(ConfigurationError, match=r"'1.10' in line 3 beside '1.1'; expected one sp"):
        read(["1.1", "1.10", "1.2"] * 4, predict="classes")


def test_labels_that_would_be_rounded_are_said_to_be_so(read):
    message = "'9007199254740993' in line 2, a number of more digits than are told apart.* a letter"
    with pytest.raises(ConfigurationError, match=message):
        read(["9007199254740993", "9007199254740992"] * 4)


def test_one_class_may_be_another_column(read):
    with pytest.raises(ConfigurationError, match=r"only the class 0.*is the label, --label"):
        read(["0"] * 8)
