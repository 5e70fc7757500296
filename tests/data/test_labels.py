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
