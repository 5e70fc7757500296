"""`qhyper tune`: the options of compare and those of the search."""

import json
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

SMALL = ["--data", "digits", "--layers", "4,3,2", "--evaluations", "640", "--seeds", "3"]
TWO = ["--generators", "bernoulli,annealing", "--processes", "1"]
SEARCH = ["--tuning-seeds", "2", "--tuning-evaluations", "3840", "--sampler", "random"]


def test_tune_searches_and_compares_on_fresh_seeds(cli, tmp_path: Path) -> None:
    code, out, err = cli("tune", *SMALL, *TWO, *SEARCH, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["seeds"] == [0, 1, 2]
    assert found["budget"] == {"evaluations": 640}
    searches = found["tuning"]
    assert searches["seeds"] == [1000, 1001]
    assert searches["budget"] == {"evaluations": 3840}
    assert [entry["settings"] for entry in searches["entries"]] == [3, 3]
    assert all(entry["spent"]["evaluations"] <= 3840 for entry in searches["entries"])
    (run,) = (tmp_path / "runs").glob("*-tune-*")
    config = tomllib.loads((run / "config.toml").read_text())
    rate = searches["entries"][0]["found"]["training.learning_rate"]
    assert config["entries"][0]["training"]["learning_rate"] == rate
    assert config["tune"]["sampler"] == "random"
    code, table, err = cli("report", str(run))
    assert code == 0, err
    assert "within 3,840 evaluations" in " ".join(table.split())
    assert "settings found by qhyper tune, 3 tried" in (run / "report.html").read_text()


def test_what_the_file_says_of_the_search_stands_unless_an_option_says_otherwise(
    cli, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(
        'entries = [{name = "annealing"}]\n'
        "[tune]\nseeds = [70, 71]\nevaluations = 6400\n"
        "[tune.space.annealing.options]\nt_start = [0.5, 2.0]\n"
    )
    code, out, err = cli("tune", "--config", "mine.toml", *SMALL, "--dry-run", "--json")
    assert code == 0, err
    (entry,) = json.loads(out)
    assert entry["settings that it tries"] == "5, each on 2 tuning seeds"
    assert entry["budget of its search"] == "6,400 evaluations"
    code, out, err = cli("tune", "--config", "mine.toml", *SMALL, *SEARCH, "--dry-run", "--json")
    assert (code, json.loads(out)[0]["settings that it tries"]) == (0, "3, each on 2 tuning seeds")


def test_a_run_that_is_prepared_is_searched_by_who_helps(cli, tmp_path: Path) -> None:
    code, out, err = cli("tune", *SMALL, *TWO[:2], *SEARCH, "--prepare")
    assert code == 0, err
    code, out, err = cli("work", out.strip(), "--processes", "1", "--json")
    assert code == 0, err
    assert [entry["settings"] for entry in json.loads(out)["tuning"]["entries"]] == [3, 3]


def test_a_tuned_run_has_the_name_that_it_is_given(cli, tmp_path: Path) -> None:
    code, out, err = cli("tune", *SMALL, *TWO[:2], *SEARCH, "--name", "mine", "--prepare")
    assert code == 0, err
    assert "-mine-" in out


def test_the_configuration_of_a_tuned_run_searches_again_and_says_so(cli, tmp_path: Path) -> None:
    run = cli("tune", *SMALL, *TWO[:2], *SEARCH, "--prepare")[1].strip()
    code, _, err = cli("compare", "--config", f"{run}/config.toml", "--dry-run")
    assert code == 0, err
    assert "they search again, from what was found." in " ".join(err.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tuning-seeds", "2,3"], "would be tried on the seeds 2, on which the comparison is"),
        (["--tuning-evaluations", "1000"], "1,000 evaluations for each entry; one start takes "
         "1,920: 640 for each of 3 tuning seeds. Raise --tuning-evaluations"),
        (["--tuning-rows", "1000"], "Got a search budget in rows, and for the comparison one of"),
        (["--tuning-seeds", "none"], "expected whole numbers with commas between"),
        (["--tuning-seeds", "0"], "expected at least 1 seed"),
        (["--sampler", "grid"], "sampler = 'grid'"),
        (["--generators", "random"], "There is nothing to search"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused_before_anything_runs(
    options, words, cli, tmp_path: Path
) -> None:
    code, out, err = cli("tune", *SMALL, *options)
    assert (code, out) == (2, "")
    assert words in err
    assert not (tmp_path / "runs").exists()
