"""The run directory: nothing is lost, whatever stops a run."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from qhyper.data.sets import load
from qhyper.errors import ConfigurationError, Interrupted, StorageError
from qhyper.report.summary import Summary
from qhyper.run.comparison import execute, load_generator, stored
from qhyper.run.config import COMPARED, Config, Entry
from qhyper.run.directory import Checkpoints, Metrics, Run, provenance, stop_on_signals, versions
from qhyper.run.merge import merge
from qhyper.run.problem import build_problem
from qhyper.storage import write_whole
from qhyper.targets.layered.space import WeightSpace

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

TRAINING = {"draws": 16, "checkpoint_every": 7, "restarts": 2}


def config(**changes) -> Config:
    entries = [Entry(name="quantum-depth2", training=TRAINING)]
    base = {"data": "digits", "seeds": [0, 1], "evaluations": 6000, "entries": entries}
    return Config(**{**base, **changes})


def outcome_of(run: Run, title: str) -> dict:
    result = run.read_json(f"{title}/result.json")
    result["seconds_per_step"] = None  # the one figure that a clock decides
    return result


def test_killed_at_twenty_moments_a_run_ends_as_the_undisturbed_one(tmp_path: Path) -> None:
    """SIGKILL at 20 random moments (seed 0); every start resumes what the one before left."""
    quiet = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    program = Path(__file__).with_name("killed.py")
    done = subprocess.run(
        [sys.executable, program, tmp_path, "0"], capture_output=True, text=True, env=quiet
    )
    assert done.returncode == 0, done.stderr
    left = json.loads(done.stdout)
    assert len(left) == 20
    assert sorted(left) == left  # what a checkpoint holds is never lost
    assert len(set(left)) > 10  # most kills struck a training on its way
    undisturbed, killed = (
        Run.open(next((tmp_path / name).iterdir())) for name in ("whole", "killed")
    )
    whole, resumed = stored(undisturbed), stored(killed)
    title = "quantum-depth2"
    assert outcome_of(killed, title) == outcome_of(undisturbed, title)
    assert without_times(resumed.summary) == without_times(whole.summary)
    metrics = [run.path / title / "metrics.jsonl" for run in (killed, undisturbed)]
    assert metrics[0].read_text() == metrics[1].read_text()
    one, other = (torch.load(run.path / title / "generator.pt") for run in (killed, undisturbed))
    assert all(torch.equal(one[key], other[key]) for key in other)


def without_times(summary: Summary) -> Summary:
    entries = [replace(entry, seconds_per_step=None) for entry in summary.generators]
    return replace(summary, generators=entries)


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    whole = Run.create(tmp_path / "whole", "train", config())
    execute(whole)
    stopped = Run.create(tmp_path / "stopped", "train", config())
    for patience in (3, 50, 111):
        calls = iter(range(10**6))
        with pytest.raises(Interrupted, match="Stopped by a signal"):
            execute(stopped, stop=lambda calls=calls, patience=patience: next(calls) >= patience)
    execute(stopped)
    assert outcome_of(stopped, "quantum-depth2") == outcome_of(whole, "quantum-depth2")


def test_what_is_gone_on_with_by_another_source_says_so(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "mine_loss.py"
    module.write_text("def loss(bits):\n    return bits.sum(axis=1) / 8\n")
    names = [Entry(name="random"), Entry(name="annealing")]
    mine = Config(objective="mine_loss:loss", bits=8, seeds=[0], evaluations=100, entries=names)
    run = Run.create(tmp_path / "runs", "mine", mine)
    execute(run)
    for file in ("summary.json", "annealing/result.json"):
        (run.path / file).unlink()
    module.write_text("def loss(bits):\n    return 1 - bits.sum(axis=1) / 8\n")
    told = run.read_json("provenance.json")
    told["versions"]["numpy"] = "0.1"
    run.write("provenance.json", json.dumps(told))
    summary = execute(run, warn=lambda text: None).summary
    (said,) = (text for text in summary.warnings if "was gone on with by other" in text)
    assert "than it began with (numpy" in said
    assert "another source of mine_loss; begun before: random)" in said
    (run.path / "summary.json").unlink()
    told = run.read_json("provenance.json") | {"versions": versions()}  # as if all were as before
    run.write("provenance.json", json.dumps(told))
    assert execute(run, warn=lambda text: None).summary.warnings == summary.warnings
    with pytest.raises(StorageError, match=r"was gone on with by other .* Carry it out anew"):
        merge([run, run], tmp_path, warn=lambda text: None)


def test_a_run_made_by_hand_is_planned_when_it_is_executed(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "mine", Config(data="digits", seeds=[0, 1], evaluations=300))
    first = execute(run)
    again = execute(Run.open(str(run.path)))
    assert [result.name for result in again.results] == list(COMPARED)
    assert again.summary == first.summary
    with pytest.raises(ConfigurationError, match="'random' is a control"):
        load_generator(run, "random")


def test_data_that_changed_meanwhile_are_refused(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    run = Run.create(tmp_path, "train", config(data=str(tmp_path / "mine.npz")))
    with pytest.raises(Interrupted, match="Stopped by a signal"):
        execute(run, stop=lambda: True)
    np.savez(tmp_path / "mine.npz", x=-x, y=y)
    with pytest.raises(StorageError, match=r"are not those that .* began with"):
        execute(run)


def test_finished_entries_are_not_run_again(tmp_path: Path) -> None:
    entries = [Entry(name="random"), Entry(name="bernoulli", training=TRAINING)]
    run = Run.create(tmp_path, "compare", config(entries=entries, evaluations=2000))
    first = execute(run)
    seen = []
    again = execute(run, progress=lambda title, spent, total: seen.append(title))
    assert seen == []
    assert again.summary == first.summary


def test_a_run_of_another_version_is_refused(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "compare", config(entries=[Entry(name="random")], evaluations=200))
    execute(run)
    for name, lacking in (("random/result.json", "rows"), ("summary.json", "budget")):
        whole = run.read_json(name)
        run.write(name, json.dumps({key: whole[key] for key in whole if key != lacking}))
        with pytest.raises(
            StorageError,
            match=f"{name} was written by another version of qhyper: it lacks {lacking}. Read it",
        ):
            stored(run)
        run.write(name, json.dumps(whole))
    stored(run)


def test_a_trained_generator_comes_back(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "train", config())
    with pytest.raises(StorageError, match="is not there: the entry is not finished"):
        load_generator(run)
    execute(run)
    generator = load_generator(str(run.path))
    assert generator.replicas == 2
    state = torch.load(run.path / "quantum-depth2" / "generator.pt")
    assert torch.equal(generator.state_dict()["theta"], state["theta"])
    with pytest.raises(ConfigurationError, match="Got title='mlp'; expected one of the entries"):
        load_generator(run, "mlp")


def test_choices_of_the_target_survive_a_stop(tmp_path: Path) -> None:
    rows = load("gaussians").train
    np.savez(tmp_path / "few.npz", x=rows.x[:40], y=rows.y[:40])
    entry = Entry(name="quantum-depth2", options={"order": "unit"}, training=TRAINING)
    asked = config(
        data=str(tmp_path / "few.npz"), layers=[2, 2, 1], biases=True, entries=[entry],
        activation=["relu", "sigmoid"], optional=["units"], evaluations=3000,
        values=[[-1, 1], [-0.5, 2]],
    )  # fmt: skip
    whole, stopped = (Run.create(tmp_path / name, "train", asked) for name in ("whole", "stopped"))
    outcome = execute(whole)
    calls = iter(range(10**6))
    with pytest.raises(Interrupted, match="Stopped by a signal"):
        execute(stopped, stop=lambda: next(calls) >= 40)
    again = Run.open(stopped.path)
    assert again.config.entries == stopped.config.entries
    execute(again)
    assert outcome_of(again, "quantum-depth2") == outcome_of(whole, "quantum-depth2")
    space = build_problem(again.config).objective.network.space
    assert outcome.summary.network == f"BinaryNetwork({space})"
    assert space == WeightSpace(
        (2, 2, 1), biases=True, values=((-1, 1), (-0.5, 2)), activation=("relu", "sigmoid"),
        optional=("units",),
    )  # fmt: skip
    generator = load_generator(again.path)
    assert generator.n_bits == space.n_bits == 13
    assert (generator.order == space.layout.order("unit")).all()


# -- checkpoints -------------------------------------------------------------------------------


def test_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in range(5):
        checkpoints.save(step, {"step": step})
    assert len(list(tmp_path.iterdir())) == 2
    assert checkpoints.load(warn=pytest.fail) == {"step": 4}


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in range(3):
        checkpoints.save(step, {"step": step, "x": torch.arange(100)})
    newest = max(tmp_path.iterdir())
    data = bytearray(newest.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    newest.write_bytes({"cut": data[:-10], "flip": data, "empty": b""}[damage])
    heard: list[str] = []
    state = checkpoints.load(heard.append)
    assert state is not None
    assert state["step"] == 1
    assert "is damaged" in heard[0]
    assert "Using the one before" in heard[0]
    for file in tmp_path.iterdir():
        file.write_bytes(b"")
    with pytest.raises(StorageError, match=r"All checkpoints in .* are damaged"):
        checkpoints.load(heard.append)


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none").load(warn=pytest.fail) is None


# -- metrics -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", [b"", b'{"step": 3}\n', b'{"ste', b'{"step": 3}\n{"st'])
def test_metrics_keep_what_the_checkpoint_knows(tmp_path: Path, tail: bytes) -> None:
    metrics = Metrics(tmp_path / "metrics.jsonl")
    metrics.append([{"step": 1}, {"step": 2}])
    with metrics.path.open("ab") as file:
        file.write(tail)
    metrics.write([{"step": 1}, {"step": 2}])
    metrics.append([{"step": 3}])
    steps = [json.loads(line)["step"] for line in metrics.path.read_text().splitlines()]
    assert steps == [1, 2, 3]


# -- what cannot be read or written ------------------------------------------------------------


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is not a run directory: expected a folder with"):
        Run.open(tmp_path)
    with pytest.raises(StorageError, match=r"There is no folder .*none\. `qhyper runs` lists"):
        Run.open(tmp_path / "none")


def test_two_runs_of_one_second_do_not_meet(tmp_path: Path) -> None:
    paths = {Run.create(tmp_path, "train", config()).path for _ in range(5)}
    assert len(paths) == 5


def test_a_full_disk_says_so_and_keeps_what_was(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "result.json"
    write_whole(path, b"before")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"No space left on device.*Free some space"):
        write_whole(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StorageError, match=r"Cannot read or write .*--out"):
        Run.create(blocked, "train", config())


def test_a_changed_file_of_the_run(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "train", config())
    run.write("summary.json", "{")
    with pytest.raises(StorageError, match="cannot be read as JSON"):
        run.read_json("summary.json")
    (run.path / "config.toml").unlink()
    with pytest.raises(StorageError, match="is not a run directory"):
        Run.open(run.path)


def test_provenance_holds_no_environment() -> None:
    found = provenance([1, 2])
    assert found["seed_entropy"] == [1, 2]
    assert found["versions"]["torch"] is not None
    assert "environ" not in json.dumps(found)


def test_a_run_without_its_configuration_file_names_it(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "train", config())
    text = (run.path / "config.toml").read_text()
    (run.path / "config.toml").write_text(text.replace("evaluations", "evaluatons"))
    with pytest.raises(ConfigurationError, match="Did you mean 'evaluations'"):
        Run.open(run.path)


def refusing(times: int, number: int | None):
    """A rename that is refused so many times, on Windows with its own error number."""
    real, left = Path.replace, [times]

    def replace(path, target):
        if left[0]:
            left[0] -= 1
            error = PermissionError(13, "Permission denied")
            if number is not None:
                error.winerror = number
            raise error
        return real(path, target)

    return replace


def test_a_file_that_another_program_has_open_is_tried_again_on_windows(tmp_path, monkeypatch):
    monkeypatch.setattr("qhyper.storage.time.sleep", lambda seconds: None)
    path = tmp_path / "report.html"
    write_whole(path, b"before")
    monkeypatch.setattr(Path, "replace", refusing(3, 32))
    write_whole(path, b"after")
    assert path.read_bytes() == b"after"
    for times, number in ((9, 32), (1, None)):  # for ever; or not on Windows
        monkeypatch.setattr(Path, "replace", refusing(times, number))
        with pytest.raises(StorageError, match=r"report\.html: Permission denied"):
            write_whole(path, b"never")
        assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
        assert path.read_bytes() == b"after"


def test_old_checkpoints_that_cannot_be_removed_stay(tmp_path, monkeypatch):
    def unlink(path, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", unlink)
    checkpoints = Checkpoints(tmp_path)
    for step in range(4):
        checkpoints.save(step, {"step": step})
    assert len(list(tmp_path.iterdir())) == 4
    found = checkpoints.load(print)
    assert found is not None
    assert found["step"] == 3


def test_signals_are_those_that_a_system_has(monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.delattr(signal, "SIGTERM")
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    with stop_on_signals() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGUSR1)
        assert stop()
        assert signal.getsignal(signal.SIGINT) == before  # a second one is not caught
    assert signal.getsignal(signal.SIGINT) == before


def test_another_thread_hears_no_signals():
    heard = []

    def work():
        with stop_on_signals() as stop:
            heard.append(stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert heard == [False]


def test_arguments_that_are_no_text_here_do_not_end_a_run(monkeypatch):
    """In a locale without UTF-8, the bytes of a path are not taken for letters."""
    path = b"/tmp/t\xc3\xa4st"
    monkeypatch.setattr(sys, "argv", ["qhyper", path.decode("ascii", "surrogateescape")])
    found = provenance([0])["argv"]
    assert json.dumps(found, ensure_ascii=False).encode() == b'["qhyper", "/tmp/t\xc3\xa4st"]'


def test_a_path_that_is_no_text_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ConfigurationError, match=r"udce4.*, with bytes .* Set PYTHONUTF8=1"):
        Run.create(tmp_path, "test", config(data="t\udce4st.csv"))
    assert not list(tmp_path.iterdir())


def test_a_path_that_python_cannot_decode_is_written_as_it_is(tmp_path):
    """As where the locale is ASCII, and a folder is called é."""
    run = Run.create(tmp_path / "o_\udcc3\udca9", "compare", Config())
    path = run.write("report.html", f"<p>{run.path}</p>")
    assert f"{tmp_path}/o_é/" in path.read_text(encoding="utf-8")


def test_a_checkout_tells_its_revision() -> None:
    root = Path(__file__).parents[2]
    told = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--show-toplevel", "HEAD"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if told.returncode or not told.stdout.startswith(str(root)):
        pytest.skip("this is no checkout of git")
    assert provenance([])["git"]["revision"] == told.stdout.split()[-1]
