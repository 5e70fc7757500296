"""Columns that are no features, and the column of the label."""

import numpy as np
import pytest

from qhyper.data.sets import load
from qhyper.errors import ConfigurationError

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


def test_the_only_feature_may_count(read):
    data = read("time,label\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(12)))
    assert data.n_features == 1
    assert "column 'time', which has another whole number" in data.notes[0]
