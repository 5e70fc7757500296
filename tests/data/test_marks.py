"""Decimal commas and points, and what may be thousands as well."""

import pytest

from qhyper.data.sets import load
from qhyper.errors import ConfigurationError

EITHER = "which may be a decimal number or thousands"


@pytest.fixture
def read(tmp_path):
    """Read texts as the training file, and as the test file if there are two; both end with a."""

    def read_texts(text, test=None, **options):
        for name, content in (("mine.csv", text), ("other.csv", test)):
            if content is not None:
                (tmp_path / name).write_text(content, encoding="utf-8")
        other = None if test is None else tmp_path / "other.csv"
        return load(tmp_path / "mine.csv", test=other, options=options)

    return read_texts


def table(*columns, mark=";", header="u,v,label"):
    lines = [mark.join(row) for row in zip(*columns, strict=True)]
    return "\n".join([header.replace(",", mark), *lines]) + "\n"


AB = ("a", "b", "a", "b")
PLAIN = ("4", "7", "5", "9")
MIXED = ("1.234", "999", "850", "2.100")


def first(data):
    return sorted([*data.train.x[:, 0], *data.test.x[:, 0]])


@pytest.mark.parametrize("mark", [";", "\t"])
@pytest.mark.parametrize("cells", [MIXED, ("-1.234", "999", "0", "+12.100")])
def test_points_that_may_be_thousands_beside_whole_numbers_are_refused(cells, mark, read):
    message = rf"{EITHER}.*\(1234\).*\(1\.2340\).*--drop"
    for columns in ((cells, PLAIN, AB), (PLAIN, cells, AB), (PLAIN, PLAIN[::-1], cells)):
        with pytest.raises(ConfigurationError, match=rf"1\.234' in line 2 beside.*{message}"):
            read(table(*columns, mark=mark))
    assert first(read(table(cells, PLAIN, AB, mark=mark), drop="u")) == [4, 5, 7, 9]
    without = [cell.replace(".", "") for cell in cells]
    assert max(first(read(table(without, PLAIN, AB, mark=mark)))) in (2100, 12100)


def test_a_table_with_semicolons_whose_points_all_may_be_thousands_is_refused(read):
    cells = ("1.234", "12.500", "3.999", "45.100")
    with pytest.raises(ConfigurationError, match=f"'1.234' in line 2, {EITHER}"):
        read(table(cells, cells, AB))
    assert first(read(table(cells, cells, AB, mark="\t"))) == [1.234, 3.999, 12.5, 45.1]
    assert first(read(table(cells, ("0.5", "1", "2", "3"), AB))) == [1.234, 3.999, 12.5, 45.1]


@pytest.mark.parametrize(
    "cells",
    [
        ("1.234", "0.999", "850", "2.1"),
        ("1.234", "0.125", "1", "2.100"),
        ("1.234", "1500", "850", "2.100"),  # whoever marks thousands writes 1.500
        ("1.234e0", "999", "850", "2.100"),
    ],
)
def test_numbers_that_say_that_points_are_decimal_are_read(cells, read):
    assert first(read(table(cells, PLAIN, AB))) == sorted(map(float, cells))


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_test_file_alone_may_have_thousands(mark, read):
    train = table(("1000", "2000", "3000", "4000"), PLAIN, AB, mark=",")
    test = table(("1.000", "2.000", "3.000", "4.000"), PLAIN, AB, mark=mark)
    with pytest.raises(ConfigurationError, match=f"other.csv: Got '1.000' in line 2.*{EITHER}"):
        read(train, test)
    decimal = table(("1.000", "2.5", "3.000", "4.000"), PLAIN, AB, mark=mark)
    assert read(train, decimal).test.x[0, 0] == 1


@pytest.mark.parametrize("mark", [";", "\t"])
def test_commas_are_judged_column_by_column_in_those_in_use(mark, read):
    note, halves = ("12,5", "1,5", "2,5", "3,5"), ("1,034", "1,950", "2,125", "950")
    text = table(halves, note, AB, mark=mark)
    for options in ({}, {"drop": "v"}):
        with pytest.raises(ConfigurationError, match=f"'1,034' in line 2, {EITHER}.*without a com"):
            read(text, **options)
    assert first(read(text, drop="u")) == [1.5, 2.5, 3.5, 12.5]
    with pytest.raises(ConfigurationError, match=f"'1,034' in line 2, {EITHER}"):
        read(table(halves, PLAIN, note, mark=mark))
    with pytest.raises(ConfigurationError, match=f"'1,034' in line 2, {EITHER}"):
        read(table(PLAIN, PLAIN[::-1], halves, mark=mark))
    said = ("1,034", "0,950", "2,125", "950")
    assert first(read(table(said, PLAIN, AB, mark=mark))) == [0.95, 1.034, 2.125, 950]


def test_commas_and_points_do_not_stand_together_in_columns_in_use(read):
    text = table(("1,5", "2,5", "3,5", "4,5"), ("1.5", "2", "3", "4"), AB)
    with pytest.raises(ConfigurationError, match=r"'1,5' in line 2 and '1.5' in line 2.*not both"):
        read(text)
    assert first(read(text, drop="v")) == [1.5, 2.5, 3.5, 4.5]
