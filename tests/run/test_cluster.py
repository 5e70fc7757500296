"""The executor on dask.distributed, on a local cluster of two worker processes.

It does not go together with Amazon's SDK: `make test` runs these tests in an environment of their
own, `.venv-cluster`, and they are skipped elsewhere.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from qhyper.errors import ConfigurationError, Interrupted, MissingError, StorageError
from qhyper.run import cluster as module
from qhyper.run.cluster import Cluster
from qhyper.run.comparison import execute
from qhyper.run.config import Config, Entry
from qhyper.run.directory import Run
from qhyper.run.work import ATTEMPTS, Failure, Task, carry_out
from tests.run.executor_contracts import *  # noqa: F403 (tests, and their fixture `tasks`)
from tests.run.executor_contracts import never, quiet

distributed = pytest.importorskip("distributed", reason="needs dask.distributed: `make test`")
pytestmark = pytest.mark.filterwarnings("default")  # dask's own are not ours


@pytest.fixture(scope="module")
def local():
    """A cluster of two workers, which know what is defined here."""
    import cloudpickle

    for name in (__name__, "tests.run.executor_contracts"):
        cloudpickle.register_pickle_by_value(sys.modules[name])
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1",
        silence_logs=50,
    ) as made:  # fmt: skip
        yield made


@pytest.fixture
def address(local):
    """The scheduler's, once both workers are there."""
    with distributed.Client(local, set_as_default=False) as client:
        client.wait_for_workers(2)
    return local.scheduler_address


@pytest.fixture
def made(address):
    """Makes an executor on the cluster."""
    return lambda stop, progress, warn: Cluster(address, progress=progress, warn=warn)


def run(tasks, work, address, *, stop=never, progress=quiet, warn=quiet):
    made = Cluster(address, progress=progress, warn=warn)
    return list(carry_out(tasks, work, made, stop=stop))


def tripled(task, stop, progress, warn):
    progress(task.name, 1, 2)
    warn(f"{task.name} is small")
    (task.folder / "beside").write_text(task.name)
    return task.name.encode() * 3


def test_results_progress_and_warnings_come_back(address, tasks) -> None:
    told, warned, five = [], [], tasks(*"abcde")
    ended = run(five, tripled, address, progress=lambda *t: told.append(t), warn=warned.append)
    assert sorted(task.name for task in ended) == [*"abcde"]
    for task in five:
        assert task.result.read_bytes() == task.name.encode() * 3
        assert sorted(path.name for path in task.folder.iterdir()) == ["beside", "result"]
    assert sorted(told) == [(name, 1, 2) for name in "abcde"]
    assert sorted(warned) == [f"{name} is small" for name in "abcde"]


def test_where_a_worker_does_not_see_the_folder_files_come_back(address, tasks, tmp_path) -> None:
    (task,) = tasks("one")
    with distributed.Client(address, set_as_default=False) as client:
        future = client.submit(module._carried_out, task, tripled, "topic", pure=False)
        result, error, files = future.result()
    assert (result, error, files) == (b"oneoneone", None, {"beside": b"one"})
    assert not task.folder.exists()


def wrong(task, stop, progress, warn):
    if task.name == "wrong":
        raise ConfigurationError("it cannot be")
    if task.name == "odd":
        raise KeyError("x")
    return b"right"


def test_a_task_that_raises_is_given_up_and_the_others_go_on(address, tasks) -> None:
    ended = run(tasks("wrong", "odd", "one", "other"), wrong, address)
    failures = {each.task.name: each for each in ended if isinstance(each, Failure)}
    assert set(failures) == {"wrong", "odd"}
    assert failures["wrong"].reason == "it failed with ConfigurationError: it cannot be"
    assert "KeyError: 'x'" in failures["odd"].reason


def deadly(task, stop, progress, warn):
    if task.name == "deadly":
        with (task.folder / "deaths").open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.3)
    return b"alive"


def test_a_task_that_kills_its_workers_fails_alone(address, tasks) -> None:
    three = tasks("deadly", "one", "other")
    ended = run(three, deadly, address)
    (failure,) = [each for each in ended if isinstance(each, Failure)]
    assert failure.task.name == "deadly"
    assert failure.reason.startswith(f"{ATTEMPTS} processes that carried it out ended with no word")
    assert (failure.task.folder / "deaths").read_text() == "x" * ATTEMPTS
    assert len(ended) == 3


def patient(task, stop, progress, warn):
    (task.folder / "began").touch()
    while not stop():
        time.sleep(0.01)
    (task.folder / "saved").touch()
    raise Interrupted("stopped")


def test_stopping_stops_all(address, tasks) -> None:
    three = tasks(1, 2, 3)

    def begun() -> bool:
        return sum((task.folder / "began").exists() for task in three) == 2

    with pytest.raises(Interrupted, match=r"Stopped by a signal\."):
        run(three, patient, address, stop=begun)
    assert sum((task.folder / "saved").exists() for task in three) == 2
    assert not [path for task in three for path in task.folder.glob("attempt-*")]


def test_a_coordinator_that_is_killed_leaves_no_task_running(address, tmp_path) -> None:
    program = f"""
from pathlib import Path
import cloudpickle, sys, time
from qhyper.run.cluster import Cluster
from qhyper.run.work import Task, carry_out
def patient(task, stop, progress, warn):
    (task.folder / "began").touch()
    while not stop():
        time.sleep(0.01)
    (task.folder / "ended").touch()
    return b""
folder = Path({str(tmp_path)!r})
task = Task("one", folder / "one", folder / "one" / "result")
list(carry_out([task], patient, Cluster({address!r}, progress=print, warn=print), stop=bool))
"""
    coordinator = subprocess.Popen([sys.executable, "-c", program])
    deadline = time.monotonic() + 60
    while not (tmp_path / "one" / "began").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    coordinator.kill()
    coordinator.wait()
    while not (tmp_path / "one" / "ended").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # whoever comes next goes on with it
    (task,) = [Task("one", tmp_path / "one", tmp_path / "one" / "result")]
    assert run([task], tripled, address) == [task]


def test_a_worker_that_was_to_end_is_no_death(tasks) -> None:
    """As by --lifetime, at the end of a job's time."""
    (task,) = tasks("one")

    def stop_once() -> bool:
        if (task.folder / "began").exists() and not retired:
            (worker,) = (w for w, keys in client.processing().items() if keys)
            retired.append(worker)
            client.retire_workers([worker])
        return False

    def until_retired(task, stop, progress, warn):
        if (task.folder / "saved").exists():
            return b"gone on with"
        patient(task, stop, progress, warn)

    retired, warned = [], []
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1",
            silence_logs=50,
        ) as short,
        distributed.Client(short, set_as_default=False) as client,
    ):  # fmt: skip
        ended = run(
            [task], until_retired, short.scheduler_address, stop=stop_once, warn=warned.append
        )
    assert ended == [task]
    assert task.result.read_bytes() == b"gone on with"
    assert warned == [f"The worker {retired[0]} has ended; one goes on elsewhere."]


def lacking(task, stop, progress, warn):
    if not (task.folder / "tried").exists():
        (task.folder / "tried").touch()
        raise StorageError("The data are others here.")
    return b"elsewhere"


def test_a_worker_that_lacks_something_is_sent_nothing_more(address, tasks) -> None:
    (task,), warned = tasks("one"), []
    assert run([task], lacking, address, warn=warned.append) == [task]
    assert task.result.read_bytes() == b"elsewhere"
    (words,) = warned
    assert "cannot carry out one: The data are others here. It is sent nothing." in words


def config() -> Config:
    training = {"draws": 16, "checkpoint_every": 7}
    return Config(
        data="digits", layers=[4, 3, 2], seeds=[0, 1], evaluations=640,
        entries=[
            Entry(name="random"),
            *(Entry(name="product", label=f"product {k}", training=training) for k in range(4)),
        ],
    )  # fmt: skip


def results(run: Run) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in run.path.glob("*/result.json")}


def test_a_comparison_has_the_same_bytes_as_in_one_process(address, tmp_path) -> None:
    one, other = (Run.create(tmp_path / name, name, config()) for name in ("one", "other"))
    execute(one, warn=quiet)
    execute(other, scheduler=address, warn=quiet)
    assert results(one) == results(other)
    assert len(results(one)) == 5


def test_who_is_killed_at_random_moments_changes_nothing(tmp_path) -> None:
    """SIGKILL of workers (seed 0); more of them, and of schedulers, are in the benchmark."""
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    program = Path(__file__).with_name("killed_cluster.py")
    done = subprocess.run(
        [sys.executable, program, tmp_path, "0", "worker=2"],
        capture_output=True, text=True, check=False, env=one_thread,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    whole, other = (
        {path.parent.name: path.read_bytes() for path in (tmp_path / who).glob("*/*/result.json")}
        for who in ("whole", "worker")
    )
    assert len(whole) == 8
    assert other == whole


def test_no_scheduler_no_run() -> None:
    with pytest.raises(MissingError, match=r"No scheduler answers at tcp://127\.0\.0\.1:9: "):
        Cluster("tcp://127.0.0.1:9", progress=quiet, warn=quiet)
    with pytest.raises(MissingError, match="Begin one with `dask scheduler --host 127"):
        Cluster("nonsense", progress=quiet, warn=quiet)


def test_another_version_of_the_scheduler_is_refused(address, monkeypatch) -> None:
    found = {
        who: {"packages": {"distributed": version}}
        for who, version in (("client", "2026.8.0"), ("scheduler", "2024.1.0"))
    }
    monkeypatch.setattr(distributed.Client, "get_versions", lambda self: found)
    with pytest.raises(ConfigurationError, match=r"has dask.distributed 2024\.1\.0; here it is"):
        Cluster(address, progress=quiet, warn=quiet)


def test_workers_of_another_version_of_the_project_are_refused(address, monkeypatch) -> None:
    ours = module.identity()
    monkeypatch.setattr(module, "identity", OtherIdentity(replace_version(ours)))
    with pytest.raises(ConfigurationError, match=r"has qhyper 0\.1\.0 \(here 9\.9\): results"):
        Cluster(address, progress=quiet, warn=quiet)


def replace_version(ours: dict) -> dict:
    return {**ours, "qhyper": "9.9"}


class OtherIdentity:
    """Says something else here than on a worker."""

    def __init__(self, here: dict) -> None:
        self.here = here

    def __call__(self) -> dict:
        return self.here

    def __reduce__(self):
        from qhyper.run.directory import identity

        return (_itself, (identity,))


def _itself(function):
    return function


def test_a_scheduler_that_goes_away_is_told_of(tmp_path, tasks) -> None:
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, host="127.0.0.1",
        silence_logs=50,
    ) as short:  # fmt: skip
        made = Cluster(short.scheduler_address, progress=quiet, warn=quiet)
    time.sleep(1.1)
    with closing(made), pytest.raises(MissingError, match="The scheduler does not answer any more"):
        made.wait(0.1)


def test_without_the_package_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingError, match=r"pip install -e '\.\[cluster\]'"):
        Cluster("tcp://127.0.0.1:8786", progress=quiet, warn=quiet)
