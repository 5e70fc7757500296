"""Columns that are no features, and the column of the label."""

import numpy as np
import pytest

from qhyper.data.sets import load
from qhyper.errors import ConfigurationError, StorageError

RNG = np.random.default_rng(5)


@pytest.fixture
def read(tmp_path):
    """Read a text."""

    def read_text(text, **options):
        (tmp_path / "mine.csv").write_text(text, encoding="utf-8")
        return load(tmp_path / "mine.csv", options=options)

    return read_text


def beside(numbers, header="{},u,v,label", hole=None):
    """A table with these numbers in its first column; the row `hole` lacks a value."""
    name = header.format("first") if "{}" in header else header
    lines = [
        f"{k},{i % 4 - 1.5},{'NA' if i == hole else i % 3},{'ab'[i % 2]}\n"
        for i, k in enumerate(numbers)
    ]
    return (f"{name}\n" if name else "") + "".join(lines)


COUNTED = range(1, 15)
NAMES = ("first", "row.names", "V1", "X1", "level_0", "Nr.", "Nummer", "obs", "Sr. No.", "caseid",
         "uid", "sample", "Row Labels", "index_col", "n", "count", "X", "")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hole", [None, 7])
def test_a_first_column_that_counts_is_refused_whatever_its_name(name, hole, read):
    text = beside(COUNTED, header=f"{name},u,v,label" if name else "", hole=hole)
    advice = f'"{name}"' if " " in name else name or "1"
    options = {} if hole is None else {"missing": "drop"}
    with pytest.raises(ConfigurationError, match=rf"numbers the rows \(1, 2, 3.*--drop {advice}"):
        read(text, **options)
    data = read(text, drop=name or "1", **options)
    assert data.n_features == 2
    assert not data.notes


@pytest.mark.parametrize(
    "numbers",
    {
        "from 0": range(12),
        "nine": range(1, 10),
        "some left out": [1, 2, 4, 7, 8, 9, 11, 12, 14, 15],
        "shuffled": RNG.permutation(14) + 1,
        "shuffled and some left out": RNG.permutation(40)[:30],
    }.values(),
)
@pytest.mark.parametrize("header", ["{},u,v,label", "X,u,v,label", ""])
def test_row_numbers_are_refused_whatever_became_of_the_rows(numbers, header, read):
    with pytest.raises(ConfigurationError, match=r"numbers the rows .*put it behind another col"):
        read(beside(numbers, header))
    text = "u,k,label\n" + "".join(f"{i % 3},{k},{'ab'[i % 2]}\n" for i, k in enumerate(numbers))
    assert read(text).n_features == 2  # as the message says


def test_row_numbers_with_large_gaps_are_refused_or_said(read):
    gaps = [i * i + 1 for i in range(14)]
    with pytest.raises(ConfigurationError, match="column 'X' that numbers the rows"):
        read(beside(gaps, "X,u,v,label"))
    assert (
        "column 1, which has another whole number in every row" in read(beside(gaps, "")).notes[0]
    )


@pytest.mark.parametrize("header", ["account,u,v,label", ""])
def test_identifiers_in_front_are_said(header, read):
    ids = [8670, *(100_200_300 + 7 * k for k in RNG.permutation(13))]
    data = read(beside(ids, header))
    column = "column 'account'" if header else "column 1"
    assert f"begin with {column}, which has another whole number in every row" in data.notes[0]
    assert f"--drop {'account' if header else 1} if it is no feature" in data.notes[0]
    assert not read(beside(ids, header), drop=1).notes


@pytest.mark.parametrize(
    "numbers",
    [
        [i % 6 for i in range(14)],
        [5, 3, 8, 1, 9, 2, 7, 4],  # few
        [10 * i + 5 for i in RNG.permutation(14)],
        [i + 0.5 for i in range(14)],
        range(1990, 2004),
        [-3, -2, -1, 0, 1, 2, 3],
        [1_000_000, *range(2_000_000, 2_000_012), 1_000_000],
    ],
)
def test_other_first_columns_are_features_without_a_word(numbers, read):
    for header in ("{},u,v,label", ""):
        if header == "" and list(numbers)[:1] == [1990]:
            continue
        data = read(beside(numbers, header))
        assert data.n_features == 3
        assert not data.notes


def test_numbers_of_which_one_is_missing_are_no_row_numbers(read):
    text = beside(range(14)).replace("\n0,", "\n?,", 1)
    assert read(text, missing="drop").n_features == 3


def test_the_only_feature_may_count(read):
    data = read("time,label\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(12)))
    assert data.n_features == 1
    assert "column 'time', which has another whole number" in data.notes[0]


# The label


def values(header):
    """Rows of whole numbers that may be classes, under a header."""
    n = header.count(",") + 1
    return f"{header}\n" + "".join(
        ",".join(str(v) for v in RNG.integers(0, 3, n)) + "\n" for _ in range(30)
    )


@pytest.mark.parametrize(
    ("header", "label"),
    [
        ("u,class_label,v", "class_label"),
        ("u,Class Label,v", '"Class Label"'),
        ("target_class,u,v", "target_class"),
        ("Klasse,u,v", "Klasse"),
        ("u,classLabel,v", "classLabel"),
        ("u,v,y_true,fold", "y_true"),
        ("kind,x,y", "kind"),
        ("class,x,y", "class"),
        ("u,label,prediction", "label"),
    ],
)
def test_another_column_that_is_called_the_label_is_said(header, label, read):
    last = header.split(",")[-1]
    message = rf"in a header that ends with '{last}'.*--label {label}, or --label {last}\."
    with pytest.raises(ConfigurationError, match=message):
        read(values(header))
    assert read(values(header), label=label.strip('"')).label == label.strip('"')
    assert read(values(header), label=last).label == last


@pytest.mark.parametrize(
    "header",
    ["x,y,cluster", "x1,x2,y", "x,y", "u,v,kind", "u,pclass,v", "y_pos,x_pos,group", "u,v,y_true",
     "class_share,u,label", "u,v,Class Label"],
)  # fmt: skip
def test_the_last_column_is_the_label_where_none_says_otherwise(header, read):
    assert read(values(header)).label == header.split(",")[-1]


@pytest.mark.parametrize("n", [2, 3, 4])
def test_columns_of_one_class_each_are_no_features(n, read):
    names = [f"is_{k}" for k in range(n)]
    rows = [f"{i % 5 - 2.5}," + ",".join(str(int(i % n == k)) for k in range(n)) for i in range(24)]
    text = "\n".join(["u," + ",".join(names), *rows]) + "\n"
    with pytest.raises(ConfigurationError, match=r"'is_0', .* at the end.*\(one-hot\).*--drop"):
        read(text)
    with pytest.raises(ConfigurationError, match="one-hot"):
        read(text, label="is_0")
    assert read(text, label="is_0", drop=names[1:]).n_features == 1
    other = text.replace("u,", "first,", 1).replace("\n", ",4\n").replace(",4\n", ",v\n", 1)
    lines = other.splitlines()
    lines[1:] = [line[:-1] + str(i * 7 % 3) for i, line in enumerate(lines[1:])]
    assert read("\n".join(lines)).n_features == n + 1  # features of one category


# Advice that helps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",0,1,2,label\n0,5,6,7,a\n1,6,5,5,b\n", "Give it a name in the first line, and leave it"),
        ("1,2,a,\n2,1,b,\n", "no value in column 4; expected one in every row.*--drop 4.*ends e"),
        ("u,v,label\n1,,a\n2,,b\n", "no value in column 'v'.*--drop v"),
        ("u,v,label\ncm,kg,\n1,2,a\n2,1,b\n", "If line 2 has units, remove it"),
        ("".join(f"{i},5,{i % 3},5,a\n" for i in range(9)), "1 that numbers.*commas are dec"),
        ('"u" "v" "label"\n"1" 0.5 1.5 "a"\n', "no comma, semicolon or tab in line 1.*spaces"),
        ("d,u,label\n2020-01-01,1,a\n2020-01-02,2,b\n", "no date or time: a number of days"),
        ("d,u,label\n01.02.2020 10:30,1,a\n01.02.2020 11:30,2,b\n", "no date or time"),
        ("d,u,label\n2020-01-01T10:30:00Z,1,a\n2020-01-01T10:30:00Z,2,b\n", "no date or time"),
        ("d,u,label\n12%,1,a\n15%,2,b\n", "without a percent sign"),
        ("d,u,label\n1'200,1,a\n1'300,2,b\n", "without marks of thousands"),
    ],
)  # fmt: skip
def test_the_advice_is_about_what_is_there(text, message, read):
    with pytest.raises(ConfigurationError, match=message):
        read(text)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ('[{"u":1,"label":"a"},{"u":2,"label":"b"}]', "JSON"),
        ('{"u": [1, 2]}', "JSON"),
        ("<html><body>404, not found</body></html>", "a web page"),
    ],
)
def test_what_is_no_table_is_called_by_its_name(content, kind, read):
    with pytest.raises(StorageError, match=f"it is {kind}. Save it as CSV"):
        read(content)


def test_empty_columns_at_the_end_are_no_columns(read):
    data = read("u,v,label,,,\n1,2,a,,,\n2,1,b,,,\n3,1,a,,,\n0,1,b,,,\n")
    assert (data.features, data.classes) == (("u", "v"), ("a", "b"))
