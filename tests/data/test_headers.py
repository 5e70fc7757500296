"""The first line of a table: names, a row, or refused because it may be either."""

import numpy as np
import pytest

from qhyper.data.sets import load
from qhyper.errors import ConfigurationError


@pytest.fixture
def read(tmp_path):
    """Read texts as the training file, and as the test file if there are two."""

    def read_texts(text, test=None, **options):
        for name, content in (("mine.csv", text), ("other.csv", test)):
            if content is not None:
                (tmp_path / name).write_text(content, encoding="utf-8")
        other = None if test is None else tmp_path / "other.csv"
        return load(tmp_path / "mine.csv", test=other, options=options)

    return read_texts


def rows(cells, classes, n=8):
    """Rows that begin with `cells(i)`, and the classes in turn."""
    return "".join(f"{cells(i)},{classes[i % len(classes)]}\n" for i in range(n))


def decimals(i):
    return f"{(i * 7 % 5) - 2.25},{(i * 3 % 7) + 0.5}"


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ("y", "n"), ("Y", "N"), ("target", "nontarget"), ("survived", "died"), ("outcome", "x"),
        ("class", "none of them"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("cells", ["1.5,2.5", "1,2", "22.0,7.25", "True,False", "400,410"])
def test_a_first_row_whose_label_comes_again_is_a_row(first, other, cells, read):
    truths = cells.startswith("True")
    text = f"{cells},{first}\n" + rows(lambda _: "False,True" if truths else "3,4", (other, first))
    data = read(text, text + f"{cells},{other}\n")
    assert data.features is None
    assert data.classes == tuple(sorted((first, other)))
    assert (len(data.train), len(data.test)) == (9, 10)
    assert data.train.x[0].tolist() == ([1, 0] if truths else [float(c) for c in cells.split(",")])


@pytest.mark.parametrize("names", ["a,b,y", "a,b,target", "400,410,label", "400.5,410,420.5,label"])
def test_names_over_numbers_are_a_header_whatever_the_classes_are_called(names, read):
    *features, label = names.split(",")
    classes = ("other", "y" if label == "label" else label)
    data = read(f"{names}\n" + rows(lambda i: "1,2,3"[: 2 * len(features) - 1], classes))
    assert data.features == tuple(features)
    assert len(data.train) + len(data.test) == 8


@pytest.mark.parametrize(
    ("first", "below"),
    {
        "columns left out": ("0,1,3", rows(lambda i: f"{i * 5 % 8 + 3},{7 - i}", "0123")),
        "columns left out, from 1": (
            "1,2,4,5",
            rows(lambda i: f"{i * 5 % 8 + 3},{i},{7 - i}", "56"),
        ),
        "years": ("2018,2019,2020", rows(decimals, ("1.5", "2.5", "0.5", "9.5"))),
        "made by pandas": ("0,0.1,0.2,5", rows(lambda i: f"{i * 5 % 8},{8 - i},{i % 3}", "56")),
        "beside a label that is a class": ("0,1,2,y", rows(lambda i: f"{decimals(i)},1.5", "yn")),
    }.values(),
)
def test_numbers_that_may_be_names_are_refused(first, below, read):
    message = f"Got {first[:1]}.* in line 1, which may be a header.*write a header of names above"
    with pytest.raises(ConfigurationError, match=message):
        read(f"{first}\n{below}")
    names = ",".join("abcd"[: first.count(",")])
    assert len(read(f"{names},label\n{below}").train) >= 4


@pytest.mark.parametrize(
    "text",
    [
        "0,1,3\n2,3,4\n" + rows(lambda i: f"{i},{i + 1}", "34"),  # all rise
        "2018,2020,2021\n2017,2018,2021\n" + rows(lambda i: f"{i},{i + 1}", ("2020", "2021")),
        "5,3,0\n" + rows(lambda i: f"{i},{8 - i}", "01"),
        "0,0.5,1\n" + rows(decimals, "01"),
        "3,7,9\n" + rows(lambda i: f"{i},{i + 1}", "89"),
    ],
)
def test_other_numbers_are_a_row(text, read):
    data = read(text)
    assert data.features is None
    assert len(data.train) + len(data.test) == text.count("\n")


def test_a_class_that_only_the_first_row_has_is_no_name(read):
    message = "'u' in line 1|'variety' in line 1|'outcome' in line 1"
    below = rows(decimals, "pq")
    for first in ("22.5,7.25,u", "400,410,variety", "22.5,7.25,outcome"):
        with pytest.raises(ConfigurationError, match=message):
            read(f"{first}\n{below}", below)
        with pytest.raises(ConfigurationError, match=message):
            read(f"{first}\n{below}1,2,c\n", below)
    truths = rows(lambda i: f"{i % 2 == 0},{i % 3 == 0}", "pq")
    data = read(f"True,False,u\n{truths}", truths)
    assert (len(data.train), data.classes) == (9, ("p", "q", "u"))


def test_a_missing_value_in_the_only_feature_is_no_name(read):
    with pytest.raises(ConfigurationError, match=r"1 missing value.* 'NA', in line 1, column 1"):
        read("NA,a\n1.5,b\n2.5,b\n3.5,a\n4.5,a\n")
    data = read("NA,label\n1.5,b\n2.5,b\n3.5,a\n4.5,a\n")
    assert data.features == ("NA",)
    assert np.concatenate([data.train.x, data.test.x]).sum() == 12
