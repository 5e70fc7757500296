import csv
import io
import sys
from dataclasses import replace

import pytest

from qhyper.errors import MissingError
from qhyper.report.export import as_csv, as_parquet
from qhyper.report.results import Correlation
from qhyper.report.tidy import COLUMNS, as_arrow, as_frame, tidy


@pytest.fixture
def rows(ten_seeds, certified):
    return tidy(certified(ten_seeds), ten_seeds, run="/runs/one", name="mine")


def test_there_is_one_row_a_seed_and_entry_with_all_columns(rows, ten_seeds):
    assert [(row["entry"], row["seed"]) for row in rows] == [
        (result.name, seed) for result in ten_seeds for seed in range(10)
    ]
    assert all(list(row) == list(COLUMNS) for row in rows)
    for row in rows:
        for column, kind in COLUMNS.items():
            assert row[column] is None or type(row[column]) is kind, column
    assert {row["run"] for row in rows} == {"/runs/one"}
    assert {row["name"] for row in rows} == {"mine"}


def test_hits_and_regrets_are_those_of_a_slow_reading(rows, ten_seeds):
    results = {result.name: result for result in ten_seeds}
    for row in rows:
        result, seed = results[row["entry"]], row["seed"]
        first = None
        for at, loss in result.improvements[seed]:
            if first is None and loss <= 0.1160 + 1e-9:
                first = at
        assert row["evaluations_to_hit"] == first
        assert row["hit"] is (first is not None)
        assert row["best_loss"] == result.best_loss[seed]
        assert row["best_regret"] == (0.0 if first else result.best_loss[seed] - 0.1160)
        assert row["final_regret"] == result.final_loss[seed] - 0.1160
        assert row["certified_minimum"] == 0.1160
        assert (row["evaluations"], row["shots"], row["circuits"]) == (3000, 3000, 0)
    assert [row["train_accuracy"] for row in rows if row["entry"] == "random"] == [None] * 10


def test_without_a_certificate_there_is_no_regret_and_no_hit(ten_seeds, uncertified):
    for row in tidy(uncertified(ten_seeds), ten_seeds):
        for column in ("certified_minimum", "best_regret", "final_regret", "hit",
                       "evaluations_to_hit", "run", "name"):  # fmt: skip
            assert row[column] is None
        assert row["best_loss"] is not None


def test_what_was_not_measured_is_none(result, certified):
    drew = result("drew", "classical", [0, 1])
    nothing = replace(drew, name="exact", best_loss=[None, None], best_bits=[None, None],
                      improvements=[[], []])  # fmt: skip
    held = replace(drew, name="held", held_out_loss=[0.3, 0.4])
    bits = Correlation(total_correlation=None, total_correlation_error=None, loss=[0.5, 0.6],
                       product_loss=[0.7, 0.8], loss_error=[0.01, 0.02])  # fmt: skip
    told = replace(drew, name="told", correlation=bits, final_risk=[0.1, 0.2])
    results = [drew, nothing, held, told]
    found = {(row["entry"], row["seed"]): row for row in tidy(certified(results), results)}
    assert [found["exact", 1][c] for c in ("best_loss", "best_bits", "hit", "best_regret")] == [
        None
    ] * 4
    # its best network was not chosen by training loss: it cannot be a hit
    assert (found["held", 0]["held_out_loss"], found["held", 0]["hit"]) == (0.3, None)
    assert found["held", 0]["best_regret"] is None
    assert found["held", 0]["best_loss"] == found["drew", 0]["best_loss"]
    assert found["told", 1]["total_correlation"] is None
    assert [found["told", 1][c] for c in ("joint_loss", "product_loss", "product_loss_error")] == [
        0.6, 0.8, 0.02,
    ]  # fmt: skip
    assert found["told", 1]["final_risk"] == 0.2
    assert found["drew", 1]["joint_loss"] is None


def test_csv_can_be_read_back_to_the_last_digit(rows):
    read = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [list(row) for row in read] == [list(COLUMNS)] * len(rows)
    for text, row in zip(read, rows, strict=True):
        for column, kind in COLUMNS.items():
            value = row[column]
            if value is None:
                assert text[column] == ""
            elif kind is float:
                assert float(text[column]) == value
            else:
                assert text[column] == str(value)


def test_a_frame_has_the_same_types_whatever_is_in_it(rows, ten_seeds, uncertified):
    frame, bare = as_frame(rows), as_frame(tidy(uncertified(ten_seeds), ten_seeds))
    assert frame.shape == (50, len(COLUMNS))
    assert list(frame.columns) == list(COLUMNS)
    assert (frame.dtypes == bare.dtypes).all()
    assert (frame.dtypes == as_frame([]).dtypes).all()
    assert str(frame["hit"].dtype) == "boolean"
    assert frame.groupby("entry")["hit"].sum().to_dict() == {
        "product": 3, "quantum": 0, "bernoulli": 0, "autoregressive": 8, "random": 0,
    }  # fmt: skip
    assert bare["hit"].isna().all()
    assert frame["final_loss"].tolist() == [row["final_loss"] for row in rows]


def test_parquet_keeps_types_and_nulls(rows, tmp_path):
    from pyarrow import parquet

    path = tmp_path / "all.parquet"
    path.write_bytes(as_parquet(rows))
    table = parquet.read_table(path)
    assert table.to_pylist() == rows
    assert table.schema == as_arrow([]).schema


@pytest.mark.parametrize(("package", "made"), [("pandas", as_frame), ("pyarrow", as_arrow)])
def test_without_the_extra_the_error_says_what_to_install(package, made, rows, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingError, match=r"needs packages.*pip install .* '\.\[data\]'"):
        made(rows)
    assert as_csv(rows).startswith("run,name,data,")  # which needs none
