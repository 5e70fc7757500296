"""`qhyper work`: any number of processes on a run, killed or not, make what one makes."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qhyper.errors import StorageError
from qhyper.run import lock
from qhyper.run.comparison import execute, stored, work
from qhyper.run.config import Config, Entry
from qhyper.run.directory import Run
from qhyper.run.lease import Leases
from qhyper.run.lock import alone, unless_others

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

RESULTS = "*/*/result.json"


def quiet(*told: object) -> None:
    """Nothing is said."""


def config(**changes) -> Config:
    entries = [Entry(name="random"), Entry(name="bernoulli"), Entry(name="product")]
    return Config(
        **{"data": "digits", "seeds": [0, 1], "evaluations": 640, "entries": entries} | changes
    )


@pytest.mark.skipif(sys.platform != "linux", reason="it forks")
def test_who_is_killed_loses_nothing_and_nothing_is_done_twice(tmp_path: Path) -> None:
    """SIGKILL at random moments (seed 0); more of them are in the benchmark."""
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    program = Path(__file__).with_name("killed_workers.py")
    kills = {"helper": 5, "coordinator": 3, "worker": 3}
    done = subprocess.run(
        [sys.executable, program, tmp_path, "0", *(f"{who}={n}" for who, n in kills.items())],
        capture_output=True, text=True, env=one_thread,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = {
        who: {path.parent.name: path.read_bytes() for path in (tmp_path / who).glob(RESULTS)}
        for who in ("whole", *kills)
    }
    assert len(results["whole"]) == 8
    for who, left in json.loads(done.stdout).items():
        assert len(left) == kills[who]
        assert left[0] < 8, who  # they struck on the way
        assert results[who] == results["whole"], who


def test_neither_locks_of_the_file_system_nor_sqlite_are_needed(tmp_path, monkeypatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock, "_system_lock", lambda: refuse)
    monkeypatch.setattr("sqlite3.connect", pytest.fail)
    run = Run.create(tmp_path, "mine", config())
    assert work(run, warn=quiet) is not None


def test_a_result_half_written_is_named_and_worked_out_again_once_removed(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "mine", config())
    before = work(run, warn=quiet)
    assert before is not None
    result = run.path / "product" / "result.json"
    (run.path / "summary.json").unlink()
    result.write_bytes(result.read_bytes()[:100])
    with pytest.raises(StorageError, match=r"product/result\.json cannot be read as JSON: "):
        work(run, warn=quiet)
    result.unlink()
    again = work(run, warn=quiet)
    assert again is not None
    assert [each.final_losses for each in again.results] == [
        each.final_losses for each in before.results
    ]


def test_one_alone_ends_the_run(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "mine", config())
    found = work(run, warn=quiet)
    assert found is not None
    assert [result.name for result in found.results] == ["random", "bernoulli", "product"]
    assert found.summary == stored(run).summary == work(run, warn=quiet).summary
    assert (run.path / "report.html").is_file()


def test_what_another_has_claimed_is_left_to_it(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "mine", config())
    with Leases() as leases:
        lease = leases.claim(run.path / "bernoulli")

        def stop() -> bool:
            done = {path.parent.name for path in run.path.glob("*/result.json")}
            if done == {"random", "product"}:
                leases.release(lease)
            return False

        assert work(run, stop=stop, warn=quiet) is not None


def test_another_that_writes_the_outcome_is_left_to_it(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "mine", config())
    with alone(run.path):
        assert work(run, warn=quiet) is None
    assert len(list(run.path.glob("*/result.json"))) == 3
    assert not run.complete
    assert execute(run, warn=quiet).summary == stored(run).summary


def test_other_versions_are_refused(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "mine", config())
    begun = run.read_json("provenance.json")
    begun["versions"]["torch"] = "0.1"
    run.write("provenance.json", json.dumps(begun))
    with pytest.raises(
        StorageError, match=r"began with other versions .*: torch .* \(there 0\.1\)"
    ):
        work(run, warn=quiet)
    assert not list(run.path.glob("*/"))


def test_a_run_can_be_made_now_and_carried_out_later(cli) -> None:
    options = "--data digits --seeds 2 --evaluations 320 --generators random,product"
    code, out, err = cli("compare", *options.split(), "--prepare")
    assert code == 0
    folder = out.strip()
    assert f"Carry it out with: qhyper work {folder}" in err
    assert not list(Path(folder).glob("*/"))
    code, out, err = cli("work", folder, "--processes", "1")
    assert code == 0
    assert "product" in out
    assert f"Report: {folder}/report.html" in err
    assert cli("work", folder)[1] == out


def test_who_has_nothing_left_to_do_says_who_ends_the_run(cli, tmp_path) -> None:
    run = Run.create(tmp_path, "mine", config())
    with alone(run.path):
        code, out, err = cli("work", str(run.path))
    assert (code, out) == (0, "")
    assert f"Nothing is left to do here: Another process ({os.getpid()}" in err


def test_an_entry_that_was_given_up_is_an_error_with_its_reason(cli, tmp_path) -> None:
    run = Run.create(tmp_path, "mine", config())
    (run.path / "random").mkdir()
    (run.path / "random" / "failed.json").write_text(json.dumps({"reason": "it was killed"}))
    code, out, err = cli("work", str(run.path), "--processes", "1")
    assert (code, out) == (2, "")
    assert f"Given up: random: it was killed. Try again with: qhyper resume {run.path}" in err


def test_options_that_prepare_does_not_use_are_refused(cli, tmp_path) -> None:
    code, _, err = cli("compare", "--prepare", "--processes", "2")
    assert code == 2
    assert "Got --prepare, which carries nothing out, with --processes" in err
    assert cli("compare", "--processes", "0")[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_was_held_for_a_moment_is_tried_again(tmp_path) -> None:
    calls = []

    def end() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise StorageError("another process was looking")
        return "ended"

    assert unless_others(tmp_path, end) == "ended"
    with pytest.raises(StorageError, match="full"):
        unless_others(tmp_path, lambda: (_ for _ in ()).throw(StorageError("full")))
    with alone(tmp_path):
        assert unless_others(tmp_path, lambda: (_ for _ in ()).throw(StorageError("x"))) is None
