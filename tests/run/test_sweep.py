"""Sweeps: every point a run, extended without paying again, the same on any processes."""

import csv
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from qhyper.errors import ConfigurationError, Interrupted, MissingError, QhyperError, StorageError
from qhyper.report.tidy import COLUMNS
from qhyper.run import trials as trials_module
from qhyper.run.comparison import execute, stored
from qhyper.run.directory import Run
from qhyper.run.lease import Leases
from qhyper.run.listing import listed
from qhyper.run.lock import alone
from qhyper.run.sweep import carry_out_sweep, help_with_sweep
from qhyper.run.sweep_file import places, read_sweep
from qhyper.run.trials import Where

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

TEXT = """
data = "digits"
layers = [4, 3, 2]
evaluations = 64
seeds = [0, 1]

[[entries]]
name = "bernoulli"
training = {{ draws = 16 }}

[[entries]]
name = "random"

[sweep]
{sweep}
"""
RATES = '[sweep.over]\n"entries.*.training.learning_rate" = [0.1, 0.3]\n'


def quiet(*told: object) -> None:
    """Nothing is said."""


@pytest.fixture
def asked(tmp_path):
    """The sweep of a file with these lines."""

    def write(sweep: str = RATES, **changes: str):
        text = TEXT.format(sweep=sweep)
        for old, new in changes.values():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return read_sweep(path, quiet)

    return write


def carry_out(asked, folder: Path, processes: int = 2, **told):
    return carry_out_sweep(asked, folder, Where(processes), **{"warn": quiet, **told})


def written(folder: Path) -> dict[str, int]:
    """Every result, and when it was written."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in folder.glob("points/*/*/*/result.json")
    }


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in written(folder)}


def test_every_point_is_a_run(asked, tmp_path) -> None:
    folder = tmp_path / "sweep"
    carry_out(asked(), folder)
    found = places(asked(), folder)
    assert [dict(place.point) for place in found] == [
        {"entries.*.training.learning_rate": rate} for rate in (0.1, 0.3)
    ]
    for place in found:
        (run,) = place.blocks()
        outcome = stored(run)
        assert [result.name for result in outcome.results] == ["bernoulli", "random"]
        (rate,) = place.point.values()
        assert run.config.entries[0].training["learning_rate"] == rate
        assert outcome.summary.certificate is not None  # of 18 bits, worked out once
    assert len(list((folder / "certificates").iterdir())) == 1


def test_the_same_again_works_out_nothing(asked, tmp_path) -> None:
    folder = tmp_path / "sweep"
    carry_out(asked(), folder)
    before = written(folder)
    assert len(before) == 4
    carry_out(asked(), folder, warn=pytest.fail)
    assert written(folder) == before


@pytest.mark.parametrize(
    ("change", "new"),
    [
        ({"seeds": ("seeds = [0, 1]", "seeds = [0, 1, 2, 5]")}, 4),
        ({"points": ("[0.1, 0.3]", "[0.1, 0.3, 0.2]")}, 2),
        ({"both": ("[0.1, 0.3]", "[0.1]"), "seeds": ("[0, 1]", "[1]")}, 0),
    ],
)
def test_only_what_is_new_is_worked_out(asked, tmp_path, change, new) -> None:
    folder = tmp_path / "sweep"
    carry_out(asked(), folder)
    before = written(folder)
    more = asked(**change)
    rows = carry_out(more, folder)
    after = written(folder)
    assert before.items() <= after.items()
    assert len(after) - len(before) == new
    seeds, points = more.base["seeds"], more.points.size
    assert len(rows) == (points + 1) * len(seeds)  # a rate is nothing to a control
    assert {row["seed"] for row in rows} == set(seeds)


def test_one_process_two_and_helpers_give_the_same_bytes(asked, tmp_path) -> None:
    one, two, helped = (tmp_path / name for name in ("one", "two", "helped"))
    carry_out(asked(), one, 1)
    carry_out(asked(), two, 2)
    assert content(one) == content(two)
    with pytest.raises(Interrupted):
        carry_out(asked(), helped, 1, stop=lambda: bool(written(helped)))
    assert len(written(helped)) < 4
    assert help_with_sweep(helped, 1, stop=lambda: False, progress=quiet, warn=quiet)
    assert content(helped) == content(one)
    assert (helped / "sweep.html").is_file()


def test_another_that_writes_the_tables_is_left_to_it(cli, asked, tmp_path) -> None:
    (tmp_path / "mine.toml").write_text(TEXT.format(sweep=RATES))
    cli("sweep", "mine.toml", "--prepare")
    with alone(tmp_path / "runs" / "mine"):
        code, out, err = cli("work", "runs/mine", "--processes", "1")
    assert (code, out) == (0, "")
    assert f"Nothing is left to do here: Another process ({os.getpid()}" in err
    assert len(written(tmp_path / "runs" / "mine")) == 4


def test_rows_and_page(asked, tmp_path) -> None:
    folder, mine = tmp_path / "sweep", asked()
    carry_out(mine, folder, command="qhyper sweep mine.toml")
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    key = "point.entries.*.training.learning_rate"
    trained = [row for row in rows if row["entry"] == "bernoulli"]
    assert sorted({row[key] for row in trained}) == ["0.1", "0.3"]
    assert {row[key] for row in rows if row["entry"] == "random"} == {""}  # it trains nothing
    for row in trained:
        run = Run.open(Path(row["run"]))
        (result,) = (r for r in stored(run).results if r.name == "bernoulli")
        place = list(result.seeds).index(int(row["seed"]))
        assert float(row["final_loss"]) == result.final_loss[place]
    page = (folder / "sweep.html").read_text()
    assert "qhyper sweep mine.toml" in page
    assert page.count("<svg role") == 1  # along the rates; two points do not tell what matters


@pytest.mark.parametrize(
    "over",
    [
        "layers = [[4, 3, 2], [4, 2, 2]]",
        '"entries.bernoulli.training.learning_rate" = [0.1, 0.3]\n'
        '"entries.product.training.learning_rate" = [0.1, 0.2]',
        'loss = ["cross_entropy", "accuracy"]\nevaluations = [64, 128, 192]',
    ],
)
def test_lists_settings_of_different_entries_and_losses_have_a_page(asked, tmp_path, over) -> None:
    mine = asked(f"[sweep.over]\n{over}\n", names=('name = "random"', 'name = "product"'))
    rows = carry_out(mine, tmp_path / "sweep")
    page = (tmp_path / "sweep" / "sweep.html").read_text()
    problems = {row["problem"] for row in rows}
    assert all(f"<h2>{problem}</h2>" in page for problem in problems)
    assert len(problems) == (1 if "entries" in over else 2)
    keys = [(repr(row["point"]), row["entry"], row["seed"]) for row in rows]
    assert len(set(keys)) == len(keys)


def test_what_was_killed_while_points_were_made_is_gone_on_with(asked, tmp_path) -> None:
    folder = tmp_path / "sweep"
    carry_out(asked(), folder)
    before = content(folder)
    for path in folder.glob("points/*0.3*/*/config.toml"):
        path.unlink()
        for result in path.parent.glob("*/result.json"):
            result.unlink()
    carry_out(asked(), folder)
    assert content(folder) == before


def test_a_trial_that_several_points_share_is_carried_out_once(asked, tmp_path) -> None:
    both = {"names": ('name = "random"', 'name = "product"\ntraining = { draws = 16 }')}
    over = (
        '[sweep.over]\n"entries.bernoulli.training.learning_rate" = [0.1, 0.2, 0.3]\n'
        '"entries.product.training.learning_rate" = [0.1, 0.2]\n'
    )
    titles = []
    carry_out(
        asked(over, **both), tmp_path / "sweep",
        progress=lambda title, done, total: titles.append((title, total)),
    )  # fmt: skip
    assert len(written(tmp_path / "sweep")) == 12
    assert ("trials", 5) in titles
    for point in (tmp_path / "sweep" / "points").iterdir():
        for entry in ("bernoulli", "product"):
            (run,) = (Run.open(path) for path in point.iterdir())
            alone_ = trained_alone(run, entry, tmp_path)
            assert (run.path / entry / "result.json").read_bytes() == alone_


def test_results_of_old_data_are_not_those_of_new_ones(tmp_path) -> None:
    """Stopped after its first trial, with other data then: nothing of before is taken."""
    data, file = tmp_path / "mine.csv", tmp_path / "mine.toml"
    old, new = "a,b,y\n" + "1,2,0\n3,1,1\n" * 20, "a,b,y\n" + "1,2,0\n3,1,0\n2,2,1\n" * 20
    data.write_text(old)
    file.write_text(
        'data = "mine.csv"\nlayers = [2, 2, 2]\nevaluations = 32\nseeds = [0]\n'
        '[[entries]]\nname = "random"\n[[entries]]\nname = "annealing"\n'
        "[sweep.over]\ntemperature = [0.05, 0.1]\n"
    )
    mixed, fresh = tmp_path / "mixed", tmp_path / "fresh"
    with pytest.raises(Interrupted):
        carry_out(read_sweep(file, quiet), mixed, 1, stop=lambda: bool(written(mixed)))
    data.write_text(new)
    with pytest.raises(StorageError, match=r"The data '.*mine\.csv' are not those that"):
        carry_out(read_sweep(file, quiet), mixed)
    carry_out(read_sweep(file, quiet), fresh)
    assert not set(content(mixed).values()) & set(content(fresh).values())


def test_trials_of_another_source_are_others(tmp_path, monkeypatch) -> None:
    module, file, folder = tmp_path / "my_losses.py", tmp_path / "mine.toml", tmp_path / "sweep"
    monkeypatch.syspath_prepend(tmp_path)
    file.write_text(
        'objective = "my_losses:ones"\nbits = 8\nevaluations = 32\nseeds = [0, 1]\n'
        '[[entries]]\nname = "random"\n[sweep.over]\ntemperature = [0.1, 0.2]\n'
    )
    module.write_text("def ones(bits):\n    return bits.mean(axis=-1)\n")
    carry_out(read_sweep(file, quiet), folder, 2)
    module.write_text("def ones(bits):\n    return 2.0 * bits.mean(axis=-1) + 1\n# another\n")
    monkeypatch.delitem(sys.modules, "my_losses", raising=False)
    trials_module._problem.cache_clear()
    rows = carry_out(read_sweep(file, quiet), folder, 2)
    assert len(rows) == 4
    assert min(row["best_loss"] for row in rows) >= 1


DEADLY = """
class Deadly:
    def __init__(self, n_bits: int) -> None:
        self.n_bits = n_bits

    def search(self, objective, *, evaluations, rng):
        yield from ()
        raise RuntimeError("it cannot be")
"""


def test_an_entry_that_is_given_up_leaves_the_others_their_rows(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "deadly_search.py").write_text(DEADLY)
    file = tmp_path / "mine.toml"
    file.write_text(TEXT.format(sweep=RATES).replace('"random"', '"deadly_search:Deadly"'))
    with pytest.raises(QhyperError, match=r"^1 of 3 trials were given up, .*; the others are in "):
        carry_out(read_sweep(file, quiet), tmp_path / "sweep")
    with (tmp_path / "sweep" / "results.csv").open() as found:
        rows = list(csv.DictReader(found))
    assert {row["entry"] for row in rows} == {"bernoulli"}
    assert len(rows) == 4
    assert all(row["certified_minimum"] for row in rows)


def test_new_points_have_their_seeds_in_the_blocks_that_there_are(asked, tmp_path) -> None:
    folder, trials = tmp_path / "sweep", []

    def count(title: str, done: int, total: int) -> None:
        if title == "trials":
            trials.append(total)

    carry_out(asked(), folder)
    carry_out(asked(seeds=("seeds = [0, 1]", "seeds = [0, 1, 2]")), folder)
    more = {"seeds": ("seeds = [0, 1]", "seeds = [0, 1, 2]"), "points": ("0.3]", "0.3, 0.2]")}
    rows = carry_out(asked(**more), folder, progress=count)
    assert set(trials) == {2}  # of bernoulli, in two blocks; the control is there
    assert len(rows) == 3 * 3 + 3


def test_a_folder_is_of_one_file(cli, tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.toml").write_text(TEXT.format(sweep=RATES))
    assert cli("sweep", "a/mine.toml", "--prepare")[0] == 0
    code, _, err = cli("sweep", "b/mine.toml", "--prepare")
    assert code == StorageError.exit_code
    assert f"runs/mine holds the sweep of {tmp_path / 'a' / 'mine.toml'}, not of" in err
    code, out, _ = cli("sweep", "runs/mine/sweep.toml", "--prepare")
    assert (code, out) == (0, "runs/mine\n")


def test_what_is_not_there_yet_is_not_exported(cli, tmp_path) -> None:
    (tmp_path / "mine.toml").write_text(TEXT.format(sweep=RATES))
    cli("sweep", "mine.toml", "--prepare")
    code, _, err = cli("export", "runs/mine", "--to", "all.csv")
    assert code == StorageError.exit_code
    assert "runs/mine has no results yet: a sweep, 0 of 2 points. Carry it out with" in err
    assert not (tmp_path / "all.csv").exists()
    (tmp_path / "runs" / "mine" / "points.json").unlink()
    code, _, err = cli("work", "runs/mine")
    assert code == StorageError.exit_code
    assert "no sweep is prepared there yet. `qhyper sweep FILE --out runs/mine` does it." in err
    assert cli("sweep", "mine.toml", "--prepare")[0] == 0
    (tmp_path / "runs" / "mine" / "sweep.toml").unlink()  # killed between the two
    for points in (tmp_path / "runs" / "mine").glob("points"):
        shutil.rmtree(points)
    assert cli("sweep", "mine.toml", "--prepare")[0] == 0


def test_a_shared_result_that_is_half_written_is_named(asked, tmp_path) -> None:
    carry_out(asked(), tmp_path / "sweep")
    for result in tmp_path.glob("sweep/points/*/*/random/result.json"):
        result.write_bytes(result.read_bytes()[:100])
    with pytest.raises(StorageError, match=r"random/result\.json cannot be read as JSON: "):
        carry_out(asked(RATES.replace("0.3]", "0.3, 0.2]")), tmp_path / "sweep")


def trained_alone(run: Run, entry: str, tmp_path: Path) -> bytes:
    """The result of an entry of a run, in a comparison of its own."""
    config = run.config.model_copy(
        update={"entries": [each for each in run.config.entries if each.title == entry]}
    )
    own = Run.create(tmp_path, "alone", config)
    execute(own, warn=quiet)
    return (own.path / entry / "result.json").read_bytes()


def test_an_added_entry_and_another_label_cost_what_is_new_alone(asked, tmp_path) -> None:
    folder, trials = tmp_path / "sweep", []

    def count(title: str, done: int, total: int) -> None:
        if title == "trials":
            trials.append(total)

    carry_out(asked(), folder, progress=count)
    assert set(trials) == {3}
    trials.clear()
    labelled = (
        'name = "random"',
        'name = "random"\nlabel = "guesses"\n[[entries]]\nname="product"',
    )
    rows = carry_out(asked(names=labelled), folder, progress=count)
    assert set(trials) == {2}
    assert {row["entry"] for row in rows} == {"bernoulli", "guesses", "product"}
    named = [Run.open(path.parent) for path in folder.glob("points/*/*/config.toml")]
    found = [r.name for run in named for r in stored(run).results]
    assert sorted(set(found)) == ["bernoulli", "guesses", "product", "random"]


@pytest.mark.parametrize("moved", [False, True])
def test_a_sweep_is_the_same_from_any_folder(cli, tmp_path, monkeypatch, moved) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "mine.csv").write_text("a,b,y\n" + "1,2,0\n3,1,1\n" * 20)
    (home / "other.csv").write_text("a,b,y\n" + "1,2,0\n3,1,1\n2,2,1\n" * 20)
    (home / "mine.toml").write_text(
        'evaluations = 32\nseeds = [0]\n[[entries]]\nname = "random"\n'
        '[sweep.over]\ndata = ["mine.csv", "other.csv"]\n'
    )
    monkeypatch.chdir(home)
    assert cli("sweep", "mine.toml", "--prepare")[0] == 0
    if moved:
        home = home.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    sweep = home / "runs" / "mine"
    assert cli("work", str(sweep), "--processes", "1")[0] == 0
    before = written(sweep)
    assert len(before) == 2
    code, _, _ = cli("sweep", f"{home.name}/mine.toml", "--out", str(sweep))
    assert (code, written(sweep)) == (0, before)
    assert cli("export", str(sweep), "--to", "all.csv")[0] == 0
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 3


def test_a_sweep_is_no_run_and_says_so(cli, tmp_path) -> None:
    (tmp_path / "mine.toml").write_text(TEXT.format(sweep=RATES))
    cli("sweep", "mine.toml", "--prepare")
    for command in ("report", "resume"):
        code, _, err = cli(command, "runs/mine")
        assert code == StorageError.exit_code
        assert "runs/mine is a sweep: its page is runs/mine/sweep.html" in err
        assert "Go on with it by `qhyper work runs/mine`." in err
    (listing,) = listed(tmp_path / "runs")
    assert listing.name == "mine"


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("entries.*.training.draws", "entries.bernoulli.training.draws", "entries.0.training"),
        ("entries.0.training.draws", "entries.bernoulli.training.draws", "entries.0.training"),
        ("data_options", "data_options.size", "data_options.size"),
    ],
)
def test_two_keys_that_set_the_same_are_refused(asked, one, other, shared) -> None:
    message = f"Got {one} and {other} in [sweep.over], which set the same: {shared}"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        asked(f'[sweep.over]\n"{one}" = [16, 32]\n"{other}" = [16, 64]\n')


def test_other_data_are_refused(tmp_path) -> None:
    data, file = tmp_path / "mine.csv", tmp_path / "mine.toml"
    data.write_text("a,b,y\n" + "1,2,0\n3,1,1\n" * 20)
    file.write_text(
        'data = "mine.csv"\nevaluations = 32\nseeds = [0]\n[[entries]]\nname = "random"\n'
        "[sweep.over]\nlayers = [[2, 2, 2]]\n"
    )
    carry_out(read_sweep(file, quiet), tmp_path / "sweep")
    data.write_text("a,b,y\n" + "1,2,0\n3,1,0\n2,2,1\n" * 20)
    file.write_text(file.read_text().replace("[0]", "[0, 1]"))
    with pytest.raises(StorageError, match=r"The data '.*mine\.csv' are not those that"):
        carry_out(read_sweep(file, quiet), tmp_path / "sweep")


def test_a_sweep_made_now_is_carried_out_later(cli, tmp_path) -> None:
    (tmp_path / "mine.toml").write_text(TEXT.format(sweep=RATES))
    code, out, err = cli("sweep", "mine.toml", "--prepare")
    assert (code, out) == (0, "runs/mine\n")
    assert "Carry it out with: qhyper work runs/mine" in err
    assert written(tmp_path / "runs" / "mine") == {}
    code, out, err = cli("work", "runs/mine", "--processes", "1")
    assert code == 0
    assert "learning_rate" in out
    assert "Report: runs/mine/sweep.html, runs/mine/results.csv" in err
    assert len(written(tmp_path / "runs" / "mine")) == 4
    code, again, _ = cli("sweep", "mine.toml")
    assert (code, again) == (0, out)


def test_what_kills_its_workers_fails_alone_and_is_named(asked, tmp_path, monkeypatch) -> None:
    (tmp_path / "deadly_loss.py").write_text(
        "import os\ndef loss(bits):\n    os.kill(os.getpid(), 9)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "deadly.toml"
    path.write_text(
        'seeds = [0]\nevaluations = 32\nobjective = "deadly_loss:loss"\nbits = 40\n'
        '[[entries]]\nname = "random"\n[sweep.over]\ntemperature = [0.1]\n'
    )
    with pytest.raises(QhyperError, match=r"1 of 1 trials were given up, the first: .* 3 proc"):
        carry_out(read_sweep(path, quiet), tmp_path / "sweep")


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("[sweep.over]\nevaluation = [1]", "At the point evaluation=1: Unknown key in the config"),
        ("[sweep.over]\nevaluation = [1]", "Did you mean 'evaluations'?"),
        (
            '[sweep.over]\n"entries.bernoulli.training.learning_rat" = [1.0]',
            "Unknown key in the training 'learning_rat'. Did you mean 'learning_rate'?",
        ),
        ('[sweep.over]\n"entries.mlp.options.hidden" = [1]', "no entry 'mlp'. Entries go by their"),
        ("[sweep.over]\nseeds = [1, 2]", "Got seeds in [sweep.over], which makes no other point."),
        ('[sweep.over]\n"tune.evaluations" = [9]', "Got tune.evaluations in [sweep.over], and a"),
        ("[sweep.over]\nevaluations = [-1]", "At the point evaluations=-1: evaluations = -1"),
    ],
)
def test_keys_and_values_that_do_not_exist_are_refused_before_anything_runs(
    asked, tmp_path, sweep, message
) -> None:
    folder = tmp_path / "sweep"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        places(asked(sweep), folder)
    assert not folder.exists()


def test_an_option_that_does_not_exist_is_refused_before_anything_runs(asked, tmp_path) -> None:
    folder = tmp_path / "sweep"
    mine = asked('[sweep.over]\n"entries.bernoulli.options.hiden" = [1, 2]')
    with pytest.raises(ConfigurationError, match="hiden"):
        carry_out(mine, folder)
    mine = asked('[sweep.over]\n"entries.*.options.depth" = [1, 2]')
    with pytest.raises(ConfigurationError, match=r"depth.* to set it for one, write its title"):
        carry_out(mine, folder)
    assert not list(folder.glob("points"))


def test_a_sweep_that_is_to_search_as_well_is_refused(asked) -> None:
    with pytest.raises(ConfigurationError, match=r"has a table \[tune\], and a sweep searches"):
        asked(RATES + "[tune]\nevaluations = 1000\n")


def test_what_is_no_sweep_is_refused(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(MissingError, match="There is no configuration file"):
        read_sweep(path)
    path.write_text("seeds = [0]")
    with pytest.raises(ConfigurationError, match=r"has no table \[sweep\]: there is nothing to go"):
        read_sweep(path)


def test_a_folder_of_something_else_is_refused(asked, tmp_path) -> None:
    with pytest.raises(StorageError, match=r"holds files that are no sweep \(mine\.toml\)"):
        carry_out(asked(), tmp_path)


def test_points_that_other_versions_made_are_not_gone_on_with(asked, tmp_path) -> None:
    folder = tmp_path / "sweep"
    carry_out(asked(), folder)
    for path in folder.glob("points/*/*/provenance.json"):
        begun = json.loads(path.read_text())
        begun["versions"]["numpy"] = "0.1"
        path.write_text(json.dumps(begun))
    with pytest.raises(StorageError, match=r"other versions than there are here: numpy"):
        carry_out(asked(seeds=("[0, 1]", "[0, 1, 2]")), folder)


def test_sweeps_are_listed_among_the_runs(cli, tmp_path) -> None:
    (tmp_path / "mine.toml").write_text(TEXT.format(sweep=RATES))
    cli("sweep", "mine.toml", "--prepare")
    (found,) = listed(tmp_path / "runs")
    assert (found.state, found.detail) == ("not begun", "a sweep, 0 of 2 points")
    assert (found.data, found.entries, found.seeds) == ("digits", 2, 2)
    cli("work", "runs/mine", "--processes", "1")
    (found,) = listed(tmp_path / "runs" / "mine")
    assert (found.state, found.detail) == ("complete", "a sweep, 2 of 2 points")


@pytest.mark.parametrize("lost", ["bernoulli/result.json", "."])
def test_a_point_that_is_lost_is_told_of_and_worked_out_again(cli, tmp_path, lost) -> None:
    (tmp_path / "mine.toml").write_text(TEXT.format(sweep=RATES))
    cli("sweep", "mine.toml", "--processes", "1")
    sweep = tmp_path / "runs" / "mine"
    whole, table = content(sweep), (sweep / "results.csv").read_bytes()
    path = next(sweep.glob("points/*/*")) / lost
    shutil.rmtree(path.parent) if path.is_dir() else path.unlink()
    if lost == ".":
        (found,) = listed(tmp_path / "runs")
        assert (found.state, found.detail) == ("interrupted", "a sweep, 1 of 2 points")
        err = cli("export", "runs/mine", "--to", "all.csv")[2]
        assert "runs/mine is interrupted: a sweep, 1 of 2 points. What is there is written." in err
    else:
        code, _, err = cli("export", "runs/mine", "--to", "all.csv")
        assert code == StorageError.exit_code
        assert "has lost the result.json of 'bernoulli'. Put it back, or the sweep's" in err
    dry = json.loads(cli("sweep", "mine.toml", "--dry-run", "--json")[1])
    assert dry["trials to carry out"] == 1  # random is another point's, too
    cli("sweep", "mine.toml", "--processes", "1")
    assert content(sweep) == whole
    assert (sweep / "results.csv").read_bytes() == table


def test_a_sweep_that_was_made_longer_is_not_complete(cli, tmp_path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(TEXT.format(sweep=RATES))
    cli("sweep", "mine.toml", "--processes", "1")
    file.write_text(TEXT.format(sweep=RATES).replace("[0, 1]", "[0, 1, 2]"))
    cli("sweep", "mine.toml", "--prepare")
    (found,) = listed(tmp_path / "runs")
    assert (found.state, found.detail) == ("interrupted", "a sweep, 0 of 2 points")


def test_what_is_of_a_sweep_is_not_exported_twice(cli, tmp_path) -> None:
    (tmp_path / "mine.toml").write_text(TEXT.format(sweep=RATES))
    cli("sweep", "mine.toml", "--processes", "1")
    run = next((tmp_path / "runs" / "mine" / "points").glob("*/*"))
    code, _, err = cli("export", "runs/mine", str(run), "--to", "all.csv")
    assert code == 2
    assert f"{run} stands twice, and its rows would" in err
    assert not (tmp_path / "all.csv").exists()


@pytest.mark.parametrize("name", ["bernoulli", "0"])
@pytest.mark.parametrize("setting", ["name", "label"])
def test_points_that_call_an_entry_otherwise_are_all_there(asked, tmp_path, name, setting) -> None:
    sweep = (
        f'[sweep.over]\n"entries.{name}.training.learning_rate" = [0.1, 0.3]\n'
        f'"entries.{name}.{setting}" = ["bernoulli", "product"]\n'
    )
    rows = carry_out(asked(sweep), tmp_path / "sweep")
    rate, called = (f"entries.{name}.{key}" for key in ("training.learning_rate", setting))
    found = [(row["entry"], row["point"][rate], row["point"][called]) for row in rows]
    assert sorted(set(found) - {("random", None, None)}) == [
        (title, value, title) for title in ("bernoulli", "product") for value in (0.1, 0.3)
    ]
    assert len(found) == 2 * 5


def test_data_of_points_that_are_asked_for_no_more_may_be_gone(tmp_path) -> None:
    gone, file = tmp_path / "gone.csv", tmp_path / "mine.toml"
    gone.write_text("a,b,y\n" + "1,2,0\n3,1,1\n" * 20)
    text = TEXT.format(sweep='[sweep.over]\ndata = ["digits", "gone.csv"]\n')
    text = text.replace('data = "digits"\nlayers = [4, 3, 2]\n', "", 1)
    file.write_text(text)
    carry_out(read_sweep(file, quiet), tmp_path / "sweep")
    before = written(tmp_path / "sweep")
    gone.unlink()
    file.write_text(text.replace(', "gone.csv"', "").replace("seeds = [0, 1]", "seeds = [0, 2]"))
    carry_out(read_sweep(file, quiet), tmp_path / "sweep")
    assert before.items() < written(tmp_path / "sweep").items()


def test_entries_of_which_keys_are_have_to_be_named(tmp_path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[sweep.over]\n"entries.*.training.draws" = [16, 32]\n')
    with pytest.raises(ConfigurationError, match=r"and .*mine\.toml has no \[\[entries\]\]: say"):
        read_sweep(file, quiet)
    file.write_text('[sweep.over]\n"entries[0].training.draws" = [16, 32]\n')
    with pytest.raises(ConfigurationError, match=r"by their titles or numbers .*, as entries\.0"):
        read_sweep(file, quiet)


def test_a_sweep_is_no_comparison_and_says_so(cli, tmp_path) -> None:
    (tmp_path / "mine.toml").write_text(TEXT.format(sweep=RATES))
    for command in ("compare", "tune"):
        code, _, err = cli(command, "--config", "mine.toml")
        assert code == 2
        assert "mine.toml has a table [sweep], which `qhyper sweep mine.toml` goes over." in err


def test_a_sweep_that_only_helpers_work_on_is_at_work(cli, tmp_path) -> None:
    (tmp_path / "mine.toml").write_text(TEXT.format(sweep=RATES))
    cli("sweep", "mine.toml", "--prepare")
    (run, *_) = sorted((tmp_path / "runs" / "mine" / "points").glob("*/*"))
    with Leases() as leases:
        leases.claim(run / "bernoulli")
        (found,) = listed(tmp_path / "runs")
    assert found.state == "at work"
    assert str(os.getpid()) in found.detail


def test_rows_of_a_sweep_go_to_csv_and_parquet(cli, tmp_path) -> None:
    pandas = pytest.importorskip("pandas")
    over = '"entries.*.training.learning_rate" = [0.1, 0.3]\nloss = ["cross_entropy", "accuracy"]\n'
    (tmp_path / "mine.toml").write_text(TEXT.format(sweep=f"[sweep.over]\n{over}"))
    cli("sweep", "mine.toml", "--processes", "1")
    assert cli("export", "runs/mine", "--to", "all.csv")[0] == 0
    assert (tmp_path / "all.csv").read_bytes() == (
        tmp_path / "runs" / "mine" / "results.csv"
    ).read_bytes()
    assert cli("export", "runs/mine", "--to", "all.parquet")[0] == 0
    frame = pandas.read_parquet(tmp_path / "all.parquet")
    rates = frame.pop("point.entries.*.training.learning_rate")
    assert rates.dtype == float
    assert set(rates[frame["kind"] == "control"].isna()) == {True}
    assert set(frame.pop("point.loss")) == {"cross_entropy", "accuracy"}
    assert list(frame) == list(COLUMNS)
    code, _, err = cli("export", "runs/mine", "--figures", "here")
    assert code == 2
    assert "runs/mine is a sweep: it goes to .csv or .parquet." in err


def test_the_command(cli, tmp_path) -> None:
    (tmp_path / "mine.toml").write_text(TEXT.format(sweep=RATES))
    code, out, _ = cli("sweep", "mine.toml", "--dry-run")
    assert code == 0
    assert "runs/mine: a dry run" in out
    assert "Nothing is stored or sent; a moment of each entry is tried" in out
    code, out, _ = cli("sweep", "mine.toml", "--dry-run", "--json")
    found = json.loads(out)
    assert 0 < found.pop("estimated seconds") < 600
    assert found == {
        "points": 2, "seeds": 2, "runs to make": 2, "runs to end": 0, "trials to carry out": 3
    }  # fmt: skip
    assert not (tmp_path / "runs").exists()
    code, out, err = cli("sweep", "mine.toml", "--processes", "1")
    assert code == 0
    assert "learning_rate" in out
    assert "Report: runs/mine/sweep.html, runs/mine/results.csv" in err
    code, out, _ = cli("sweep", "mine.toml", "--json")
    assert code == 0
    assert len(json.loads(out)) == 6
    code, out, _ = cli("sweep", "mine.toml", "--dry-run", "--json")
    assert json.loads(out)["estimated seconds"] == 0
    assert json.loads(out)["trials to carry out"] == 0
