"""Which runs a folder has, and how far each one is."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qhyper.errors import ConfigurationError, Interrupted, MissingError
from qhyper.run.comparison import execute, plan
from qhyper.run.config import Config, Entry
from qhyper.run.directory import Run, check_name
from qhyper.run.lease import claimant
from qhyper.run.listing import listed
from qhyper.run.lock import alone


def quiet(message: str) -> None:
    """Nothing is said."""


ENTRIES = [Entry(name="random"), Entry(name="annealing")]


def made(root: Path, name: str) -> Run:
    config = Config(data="digits", evaluations=60, seeds=[0, 1], entries=ENTRIES)
    return Run.create(root, name, plan(config, quiet).config)


def state_of(run: Run) -> tuple[str, str | None]:
    (found,) = listed(run.path)
    return found.state, found.detail


def test_a_run_is_listed_with_what_it_is_about(tmp_path: Path) -> None:
    run = made(tmp_path, "mine")
    execute(run, warn=quiet)
    (tmp_path / "other").mkdir()
    (tmp_path / "notes.txt").write_text("no run")
    (found,) = listed(tmp_path)
    assert found.to_json() == {
        "path": str(run.path.resolve()), "name": "mine", "data": "digits", "entries": 2, "done": 2,
        "seeds": 2, "state": "complete", "detail": None,
        "begun": run.read_json("provenance.json")["utc"],
    }  # fmt: skip


def test_runs_are_in_the_order_of_their_folders(tmp_path: Path) -> None:
    paths = [str(made(tmp_path, name).path.resolve()) for name in ("b", "a", "c")]
    assert [found.path for found in listed(tmp_path)] == sorted(paths)


def test_states_from_the_beginning_to_the_end(tmp_path: Path) -> None:
    run = made(tmp_path, "mine")
    assert state_of(run) == ("not begun", None)
    after_one = iter([False, True])
    with pytest.raises(Interrupted):
        execute(run, stop=lambda: next(after_one, True), warn=quiet)
    assert state_of(run) == ("interrupted", None)
    with alone(run.path):
        who = f"Another process ({os.getpid()} on {socket.gethostname()})"
        assert state_of(run) == ("at work", who)
    (run.path / "annealing").mkdir(exist_ok=True)
    (run.path / "annealing" / "failed.json").write_text(json.dumps({"reason": "it failed"}))
    assert state_of(run) == ("given up", "annealing: it failed")
    assert listed(tmp_path)[0].done == 1
    execute(run, warn=quiet)
    assert state_of(run) == ("complete", None)


def test_who_has_claimed_an_entry_is_at_work_and_who_is_gone_is_not(tmp_path: Path) -> None:
    run = made(tmp_path, "mine")
    folder = run.path / "random"
    assert claimant(folder) is None
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom qhyper.run.lease import Leases\n"
        "with Leases() as leases:\n    leases.claim(Path(sys.argv[1]))\n"
        "    print('claimed', flush=True)\n    time.sleep(60)\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, folder], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "claimed\n"
        who = f"Another process ({other.pid} on {socket.gethostname()})"
        assert claimant(folder) == who
        assert state_of(run) == ("at work", who)
    finally:
        other.kill()
        other.communicate()
    assert claimant(folder) is None
    assert state_of(run) == ("interrupted", None)


def test_a_claim_of_another_machine_counts_as_long_as_it_is_fresh(tmp_path: Path) -> None:
    path = tmp_path / "attempt-1"
    path.write_bytes(json.dumps({"host": "elsewhere", "pid": 7}).encode() + b"\n...")
    assert claimant(tmp_path) == "Another process (7 on elsewhere)"
    long_ago = time.time() - 3600
    os.utime(path, (long_ago, long_ago))
    assert claimant(tmp_path) is None
    path.write_bytes(json.dumps({"death": "exit code -9"}).encode())
    assert claimant(tmp_path) is None
    path.write_bytes(b"{")
    assert claimant(tmp_path) is None


@pytest.mark.parametrize("damage", ["data = 3\n", "[[[", ""])
def test_a_damaged_run_is_listed_as_one(tmp_path: Path, damage: str) -> None:
    good, bad = made(tmp_path, "good"), made(tmp_path, "bad")
    (bad.path / "config.toml").write_text(damage)
    if not damage:
        (bad.path / "provenance.json").write_text("{")
    found = {Path(run.path).name: run for run in listed(tmp_path)}
    assert found[good.path.name].state == "not begun"
    assert found[bad.path.name].state == "damaged"
    assert found[bad.path.name].detail


def test_a_run_of_before_has_no_name(tmp_path: Path) -> None:
    run = made(tmp_path, "mine")
    told = run.read_json("provenance.json")
    del told["name"]
    run.write("provenance.json", json.dumps(told))
    assert run.name is None
    assert listed(tmp_path)[0].name is None


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"There is no folder .*nothing.*runs/ unless --out"):
        listed(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["a", "MNIST-2x2_v1.0", "läuft", "7", "x" * 48])
def test_names_of_runs_are_parts_of_folders(name: str, tmp_path: Path) -> None:
    run = Run.create(tmp_path, name, Config(seeds=[0]))
    assert f"Z-{name}-" in run.path.name
    assert Run.open(run.path).name == name


@pytest.mark.parametrize(
    "name", ["", "a b", "../a", "a/b", "-a", ".a", "_", "a:b", "x" * 49, "a\n"]
)
def test_other_names_are_refused(name: str, tmp_path: Path) -> None:
    for refuses in (check_name, lambda name: Run.create(tmp_path, name, Config(seeds=[0]))):
        with pytest.raises(ConfigurationError, match="as the name of a run; expected up to 48"):
            refuses(name)
    assert list(tmp_path.iterdir()) == []
