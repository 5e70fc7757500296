"""Files of a run are found again where they are now."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from qhyper.errors import ConfigurationError, MissingError, StorageError
from qhyper.run.comparison import execute, load_generator
from qhyper.run.config import read
from qhyper.run.directory import Run
from qhyper.run.places import beside

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

ASKED = ("--seeds", "1", "--evaluations", "200", "--generators", "bernoulli")


def write_rows(path: Path, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, x=rng.normal(size=(40, 2)), y=rng.integers(0, 2, 40))


@pytest.fixture
def project(cli, tmp_path: Path, monkeypatch) -> Path:
    """A folder with data/rows.npz and an unfinished run of it in runs/."""
    home = tmp_path / "home"
    write_rows(home / "data" / "rows.npz")
    monkeypatch.chdir(home)
    code, _, err = cli("compare", "--data", "data/rows.npz", *ASKED)
    assert code == 0, err
    (run,) = (home / "runs").iterdir()
    (run / "summary.json").unlink()
    return home


def the_run(project: Path) -> Run:
    (path,) = (project / "runs").iterdir()
    return Run.open(path)


def test_a_project_that_moved_as_a_whole_is_resumed(project, tmp_path, monkeypatch):
    moved = shutil.move(project, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    run = the_run(Path(moved))
    outcome = execute(run, warn=pytest.fail)
    assert outcome.summary.seeds == [0]
    assert load_generator(run).n_bits == 24
    # the configuration still says where the data were, and needs them no more
    assert run.config.data == str(project / "data" / "rows.npz")


def test_a_run_that_moved_alone_finds_the_data_where_they_were(project, tmp_path):
    path = Path(shutil.move(the_run(project).path, tmp_path / "alone"))
    assert Run.open(path).found_config.data == str(project / "data" / "rows.npz")


@pytest.mark.parametrize("place", [".", "..", "../.."])
def test_data_that_were_put_beside_the_run_are_found(place, project):
    run = the_run(project)
    data = project / "data" / "rows.npz"
    there = (run.path / place / "rows.npz").resolve()
    shutil.move(data, there)
    assert run.found_config.data == str(there)
    execute(run, warn=pytest.fail)


def test_other_data_of_the_same_name_are_refused(project):
    run = the_run(project)
    (project / "data" / "rows.npz").unlink()
    write_rows(run.path / "rows.npz", seed=1)
    with pytest.raises(StorageError, match=r"are not those that .* began with"):
        execute(run)


def test_all_places_that_were_tried_are_told(project, tmp_path, cli):
    (project / "data" / "rows.npz").unlink()
    moved = Path(shutil.move(project, tmp_path / "elsewhere"))
    path = the_run(moved).path
    places = [
        project / "data" / "rows.npz", moved / "data" / "rows.npz", path / "rows.npz",
        moved / "runs" / "rows.npz", moved / "rows.npz",
    ]  # fmt: skip
    said = f"There is no file {', nor '.join(map(str, places))}. Put it back at one of these places"
    with pytest.raises(MissingError, match=re.escape(said)):
        the_run(moved).found_config  # noqa: B018
    code, _, err = cli("resume", str(path))
    assert code == 3
    assert said in err
    shown = the_run(moved)  # what needs no data is read all the same
    assert shown.config.seeds == [0]


def test_a_test_file_and_a_table_move_too(cli, tmp_path, monkeypatch):
    home = tmp_path / "home"
    write_rows(home / "data" / "rows.npz")
    write_rows(home / "data" / "more.npz", seed=1)
    np.save(home / "costs.npy", np.arange(8.0))
    monkeypatch.chdir(home)
    files = ("--data", "data/rows.npz", "--test", "data/more.npz")
    assert cli("compare", *files, *ASKED)[0] == 0
    table = ("--target", "table", "--target-option", "path=costs.npy", "--out", "tables")
    assert cli("compare", *table, *ASKED)[0] == 0
    moved = Path(shutil.move(home, tmp_path / "elsewhere"))
    assert the_run(moved).found_config.test == str(moved / "data" / "more.npz")
    (path,) = (moved / "tables").iterdir()
    assert Run.open(path).found_config.target_options == {"path": str(moved / "costs.npy")}
    assert "data" not in Run.open(path).found_config.model_fields_set
    (path / "summary.json").unlink()
    np.save(moved / "costs.npy", np.arange(8.0) + 1)
    with pytest.raises(StorageError, match=r"'table costs.npy' are not those that .* began with"):
        execute(Run.open(path))


def test_the_configuration_of_a_run_that_moved_is_taken_again(project, tmp_path, cli, monkeypatch):
    moved = Path(shutil.move(project, tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path)
    config = the_run(moved).path / "config.toml"
    code, out, err = cli("compare", "--config", str(config), "--json")
    assert code == 0, err
    assert json.loads(out)["data"] == str(moved / "data" / "rows.npz")
    assert f"is not there: taking {moved / 'data' / 'rows.npz'}." in err


def test_a_relative_path_is_from_here_or_from_the_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "settings" / "mine.toml"
    write_rows(tmp_path / "settings" / "rows.npz")
    file.write_text('data = "rows.npz"')
    assert beside(read(file), file) == {"data": str(file.parent / "rows.npz")}
    shutil.copy(file.parent / "rows.npz", tmp_path)
    assert beside(read(file), file) == {"data": "rows.npz"}  # the same rows
    write_rows(tmp_path / "rows.npz", seed=1)
    with pytest.raises(ConfigurationError, match=r"two different files that it can mean: .* and "):
        beside(read(file), file)
    (file.parent / "rows.npz").unlink()
    assert beside(read(file), file) == {"data": "rows.npz"}
    assert beside({"data": "toy", "seeds": [1]}, file) == {"data": "toy", "seeds": [1]}
    assert beside({"data": "nowhere.csv"}, file) == {"data": "nowhere.csv"}
