"""Commands that take results further: names, lists, files, merged runs."""

import csv
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

SMALL = ["--data", "digits", "--evaluations", "300", "--generators", "bernoulli,random",
         "--processes", "1"]  # fmt: skip


@pytest.fixture
def run_of(cli):
    """Carries out a small comparison: its folder and what it printed."""

    def carried_out(name: str, seeds: str, *more: str) -> tuple[Path, dict]:
        code, out, err = cli("compare", *SMALL, "--seeds", seeds, "--name", name, "--json", *more)
        assert code == 0, err
        printed = json.loads(out)
        return Path(printed["run"]), printed

    return carried_out


def test_json_has_every_seed_and_the_path(run_of, cli, tmp_path: Path) -> None:
    path, printed = run_of("mine", "4,2")
    assert path.parent == tmp_path / "runs"
    assert "-mine-" in path.name
    assert [(row["entry"], row["seed"]) for row in printed["results"]] == [
        ("bernoulli", 4), ("bernoulli", 2), ("random", 4), ("random", 2),
    ]  # fmt: skip
    stored = json.loads((path / "bernoulli" / "result.json").read_text())
    for row, loss, bits in zip(
        printed["results"][:2], stored["final_loss"], stored["best_bits"], strict=True
    ):
        assert (row["final_loss"], row["best_bits"]) == (loss, bits)
        assert (row["run"], row["name"]) == (str(path), "mine")
    summary = json.loads((path / "summary.json").read_text())
    assert {key: printed[key] for key in summary} == summary  # what was there before still is
    for command in ("report", "resume"):
        assert json.loads(cli(command, str(path), "--json")[1]) == printed


def test_names_are_checked_before_anything_runs(cli, tmp_path: Path) -> None:
    for command in ("compare", "train"):
        code, _, err = cli(command, "--name", "a/b")
        assert code == 2
        assert "Got 'a/b' as the name of a run" in err
    assert list(tmp_path.iterdir()) == []
    code, _, err = cli("train", "--data", "digits", "--generator", "bernoulli", "--evaluations",
                       "100", "--draws", "10", "--name", "one", "--json")  # fmt: skip
    assert code == 0, err
    (path,) = (tmp_path / "runs").iterdir()
    assert "-one-" in path.name


def test_runs_are_listed(run_of, cli, tmp_path: Path) -> None:
    assert cli("runs")[0] == 3
    path, _ = run_of("mine", "2")
    code, _, err = cli("compare", *SMALL[:-2], "--name", "later", "--prepare")
    assert code == 0, err
    code, out, _ = cli("runs")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    (mine,) = [line for line in lines if line[:1] == ["mine"]]
    assert mine[3:] == ["digits", "2", "2", "complete", path.name]
    (later,) = [line for line in lines if line[:1] == ["later"]]
    assert later[3:10] == ["digits", "0", "of", "2", "10", "not", "begun"]
    found = json.loads(cli("runs", str(tmp_path / "runs"), "--json")[1])
    states = {run["name"]: run["state"] for run in found}  # in any order within a second
    assert states == {"mine": "complete", "later": "not begun"}
    assert len(json.loads(cli("runs", str(path), "--json")[1])) == 1


def test_several_runs_are_exported_to_one_file(run_of, cli, tmp_path: Path) -> None:
    runs = [run_of("a", "0,1"), run_of("b", "2")]
    rows = [row for _, printed in runs for row in printed["results"]]
    paths = [str(path) for path, _ in runs]
    for name in ("deep/all.csv", "all.parquet", "all.tex"):
        code, out, err = cli("export", *paths, "--to", name)
        assert (code, out) == (0, ""), err
        assert f"Results: {Path(name)}" in err
    with Path("deep/all.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [(row["run"], row["entry"], int(row["seed"])) for row in found] == [
        (row["run"], row["entry"], row["seed"]) for row in rows
    ]
    from pyarrow import parquet

    assert parquet.read_table("all.parquet").to_pylist() == rows
    table = Path("all.tex").read_text()
    assert all(rf"\textit{{{Path(path).name}}}" in table for path in paths)
    assert len([line for line in table.splitlines() if line.startswith("bernoulli & ")]) == 2


def test_figures_of_several_runs_have_a_folder_each(run_of, cli, monkeypatch) -> None:
    monkeypatch.setattr("qhyper.report.paper.DOTS", 30)
    monkeypatch.setattr("qhyper.report.paper.FORMATS", ("png",))
    runs = [run_of("a", "0,1")[0], run_of("b", "2")[0]]
    assert cli("export", str(runs[0]), "--figures", "one")[0] == 0
    assert {path.name for path in Path("one").iterdir()} == {
        f"{figure}-{columns}.png"
        for figure in ("learning", "hits", "draws")
        for columns in ("one-column", "two-columns")
    }
    code, _, err = cli("export", *map(str, runs), "--figures", "both", "--to", "both/all.csv")
    assert code == 0, err
    assert {path.name for path in Path("both").iterdir()} == {
        "all.csv", *(path.name for path in runs),
    }  # fmt: skip


def test_what_cannot_be_exported_is_refused(run_of, cli, tmp_path: Path) -> None:
    run = str(run_of("a", "1")[0])
    for arguments, said in (
        ([run], "Nothing to write: give --to FILE"),
        ([run, "--to", "all.xlsx"], "ends in .csv, .parquet, .tex"),
        ([run, f"{run}/../{Path(run).name}", "--to", "all.csv"], "A run stands twice"),
        ([str(tmp_path), "--to", "all.csv"], "is not a run directory"),
        ([run, "--to", f"{run}/config.toml/all.csv"], "Cannot read or write"),
    ):
        code, _, err = cli("export", *arguments)
        assert code == 2, arguments
        assert said in err
    (Path(run) / "summary.json").unlink()
    code, _, err = cli("export", run, "--to", "all.csv")
    assert (code, Path("all.csv").exists()) == (2, False)
    assert "is not complete" in err


def test_shards_are_merged(run_of, cli, tmp_path: Path) -> None:
    shards = [str(run_of(name, seeds)[0]) for name, seeds in (("a", "2,3"), ("b", "0,1"))]
    whole, expected = run_of("whole", "4")
    code, out, err = cli("merge", *shards, "--out", "merged", "--name", "both", "--json")
    assert code == 0, err
    found = json.loads(out)
    path = Path(found["run"])
    assert path.parent == tmp_path / "merged"
    assert found["seeds"] == [0, 1, 2, 3]
    assert path.name.rpartition("-")[2] == whole.name.rpartition("-")[2]
    for told in (found, expected):
        for row in told["results"]:
            row["run"] = row["name"] = None
        for entry in told["generators"]:
            entry["seconds_per_step"] = None
    assert found == expected | {"run": str(path)}
