"""`qhyper work`: any number of processes on a run, killed or not, make what one makes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qhyper.errors import StorageError
from qhyper.run.comparison import execute, stored, work
from qhyper.run.config import Config, Entry
from qhyper.run.directory import Run
from qhyper.run.lease import Leases
from qhyper.run.lock import alone


def quiet(*told: object) -> None:
    """Nothing is said."""


def config(**changes) -> Config:
    entries = [Entry(name="random"), Entry(name="bernoulli"), Entry(name="product")]
    return Config(
        **{"data": "digits", "seeds": [0, 1], "evaluations": 640, "entries": entries} | changes
    )


@pytest.mark.skipif(sys.platform != "linux", reason="it forks")
@pytest.mark.parametrize(("who", "kills"), [("helper", 6), ("coordinator", 3), ("worker", 3)])
def test_who_is_killed_loses_nothing_and_nothing_is_done_twice(
    tmp_path: Path, who: str, kills: int
) -> None:
    """SIGKILL at random moments (seed 0); more of them are in the benchmark."""
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    program = Path(__file__).with_name("killed_workers.py")
    done = subprocess.run(
        [sys.executable, program, tmp_path, "0", str(kills), who],
        capture_output=True, text=True, env=one_thread,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    left = json.loads(done.stdout)
    assert left[0] < left[-1] < 8  # they struck on the way
    whole, killed = (next((tmp_path / name).iterdir()) for name in ("whole", "killed"))
    results = {path.parent.name: path.read_bytes() for path in whole.glob("*/result.json")}
    assert len(results) == 8
    assert results == {p.parent.name: p.read_bytes() for p in killed.glob("*/result.json")}
    assert not list(killed.glob("*/attempt-*"))


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
