"""Contracts of executors: the same results whoever runs a task, and no silence."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from qhyper import threads
from qhyper.errors import Interrupted, StorageError
from qhyper.run import processes
from qhyper.run.comparison import compare
from qhyper.run.config import Entry
from qhyper.run.processes import Here, Processes, WorkerError
from qhyper.run.work import ATTEMPTS, Failure, Task, carry_out
from qhyper.targets.objective import Objective
from tests.run.executor_contracts import *  # noqa: F403 (tests, and their fixture `tasks`)
from tests.run.executor_contracts import never, quiet, run

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

linux = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")


EXECUTORS = {
    "here": lambda stop, progress, warn: Here(stop=stop, progress=progress, warn=warn),
    "one worker": lambda stop, progress, warn: Processes(1, progress=progress, warn=warn),
    "two workers": lambda stop, progress, warn: Processes(2, progress=progress, warn=warn),
    "five workers": lambda stop, progress, warn: Processes(5, progress=progress, warn=warn),
}
IN_WORKERS = [name for name in EXECUTORS if name != "here"]


@pytest.fixture(params=[pytest.param(n, marks=() if n == "here" else linux) for n in EXECUTORS])
def made(request):
    """Makes the executor of every kind."""
    return EXECUTORS[request.param]


@pytest.fixture(params=[pytest.param(n, marks=linux) for n in IN_WORKERS])
def elsewhere(request):
    """Makes executors whose tasks run in other processes."""
    return EXECUTORS[request.param]


def test_results_progress_and_warnings_come_back(made, tasks) -> None:
    told, warned = [], []

    def work(task, stop, progress, warn):
        progress(task.name, 1, 2)
        warn(f"{task.name} is small")
        return task.name.encode() * 3

    three = tasks("a", "b", "c")
    ended = run(three, work, made, progress=lambda *t: told.append(t), warn=warned.append)
    assert sorted(task.name for task in ended) == ["a", "b", "c"]
    assert [task.result.read_bytes() for task in three] == [b"aaa", b"bbb", b"ccc"]
    assert sorted(told) == [(name, 1, 2) for name in "abc"]
    assert sorted(warned) == [f"{name} is small" for name in "abc"]
    for task in three:  # no claim is left
        assert [path.name for path in task.folder.iterdir()] == ["result"]


def test_a_task_whose_worker_alone_was_told_to_stop_is_begun_again(elsewhere, tasks, tmp_path):
    def work(task, stop, progress, warn):
        if not (tmp_path / "once").exists():
            (tmp_path / "once").touch()
            os.kill(os.getpid(), signal.SIGTERM)
            while not stop():
                time.sleep(0.01)
            raise Interrupted("stopped")
        return b"whole"

    (task,) = tasks("one")
    assert run([task], work, elsewhere) == [task]
    assert [path.name for path in task.folder.iterdir()] == ["result"]


def test_stopping_stops_all(elsewhere, tasks, tmp_path) -> None:
    def work(task, stop, progress, warn):
        (tmp_path / f"{task.name} began").touch()
        while not stop():
            time.sleep(0.01)
        (tmp_path / f"{task.name} saved").touch()
        raise Interrupted("stopped")

    three = tasks(1, 2, 3)
    running = min(3, elsewhere(never, quiet, quiet).slots)
    with pytest.raises(Interrupted, match=r"Stopped by a signal\."):
        run(three, work, elsewhere, stop=lambda: len([*tmp_path.glob("* began")]) == running)
    assert len([*tmp_path.glob("* saved")]) == running
    assert [*tmp_path.glob("*/*")] == []


def test_what_ends_while_all_stop_is_kept(elsewhere, tasks, tmp_path) -> None:
    def work(task, stop, progress, warn):
        (tmp_path / "began").touch()
        while not stop():
            time.sleep(0.01)
        return b"whole"

    (task,) = tasks("one")
    with pytest.raises(Interrupted):
        run([task], work, elsewhere, stop=lambda: (tmp_path / "began").exists())
    assert task.result.read_bytes() == b"whole"
    assert [path.name for path in task.folder.iterdir()] == ["result"]


def test_a_worker_is_another_process_with_its_share_of_the_cores(elsewhere, tasks) -> None:
    def work(task, stop, progress, warn):
        blas = {of["num_threads"] for of in threadpool_info() if of["user_api"] == "blas"}
        own = [threads.n_threads(), torch.get_num_threads()]
        return json.dumps([os.getpid(), *own, *blas]).encode()

    two = tasks(1, 2)
    run(two, work, elsewhere)
    found = [json.loads(task.result.read_bytes()) for task in two]
    assert len({os.getpid(), *(pid for pid, *_ in found)}) == 3
    share = -(-threads.n_threads() // elsewhere(never, quiet, quiet).slots)
    assert all(n <= share and in_torch <= share for _, n, in_torch, *_ in found)
    assert [blas for _, _, _, *blas in found] == [[1], [1]]


def test_numpy_rounds_alike_whoever_runs_a_task(made, tasks) -> None:
    def solved() -> np.ndarray:
        matrix = np.random.default_rng(0).normal(size=(300, 300))
        return np.linalg.solve(matrix @ matrix.T, matrix[0])  # other bits from two threads of BLAS

    (task,) = tasks("one")
    run([task], lambda task, stop, progress, warn: solved().tobytes(), made)
    with threads.one_blas_thread():
        assert task.result.read_bytes() == solved().tobytes()


def test_every_core_is_one_workers(monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 2, 3, 7, 11}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None, raising=False)
    assert processes._shares(1) == [[2, 3, 5, 7, 11]]
    assert processes._shares(2) == [[2, 5, 11], [3, 7]]
    assert processes._shares(7) == [[2], [3], [5], [7], [11], [2], [3]]
    monkeypatch.delattr(os, "sched_setaffinity")
    assert processes._shares(2) == [[], []]


class OddError(Exception):
    """One that cannot be made again from its text."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"odd {one}")


def test_any_error_comes_back_with_its_reason(elsewhere, tasks) -> None:
    class LocalError(Exception):
        pass

    def work(task, stop, progress, warn):
        raise {
            "odd": OddError(3, 4), "local": LocalError("here"), "key": KeyError("x"),
            "pipe": BrokenPipeError(32, "the user's own"), "exit": SystemExit(3),
        }[task.name]  # fmt: skip

    for name, text in (
        ("odd", "OddError: odd 3"), ("local", "LocalError: here"), ("key", "'x'"),
        ("pipe", "BrokenPipeError: [Errno 32] the user's own"), ("exit", "SystemExit: 3"),
    ):  # fmt: skip
        (failure,) = run(tasks(name), work, elsewhere)
        assert isinstance(failure.error, WorkerError)
        assert f"failed with {text}" in str(failure.error) or name == "key"
        assert text in failure.reason
        assert "in work" in failure.reason  # its traceback


class Locked:
    """A stream that nothing in a worker may come to: another thread had its lock at the fork."""

    def write(self, text: str) -> None:
        os._exit(7)

    def flush(self) -> None:
        """Before a fork, this is the parent."""


def test_a_worker_has_streams_of_its_own(elsewhere, tasks, monkeypatch) -> None:
    def work(task, stop, progress, warn):
        print("said")
        print("said", file=sys.stderr)
        return b"said"

    monkeypatch.setattr(sys, "stdout", Locked())
    monkeypatch.setattr(sys, "stderr", Locked())
    (task,) = tasks("one")
    ended = run([task], work, elsewhere)
    monkeypatch.undo()
    assert ended == [task]


@linux
def test_torch_works_in_a_worker_whose_parent_used_several_threads() -> None:
    program = """
import tempfile, torch
from pathlib import Path
from qhyper.run.processes import Processes
from qhyper.run.work import Task, carry_out
def large():
    return torch.ones(4_000_000).sin().sum().item()
torch.set_num_threads(2)
large()
folder = Path(tempfile.mkdtemp())
task = Task("one", folder, folder / "result")
made = Processes(1, progress=print, warn=print)
made._threads = 2
print(list(carry_out([task], lambda *told: str(large()).encode(), made, stop=bool)) == [task])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], timeout=120, check=True, capture_output=True, text=True
    )
    assert done.stdout == "True\n"


def test_memory_that_is_not_there_is_missing_here_too(elsewhere, tasks) -> None:
    (failure,) = run(tasks("one"), lambda *a: bytes(np.zeros(1 << 50)), elsewhere)
    assert isinstance(failure.error, MemoryError)
    assert "Unable to allocate 8" in failure.reason


def test_a_task_that_kills_its_workers_fails_alone(elsewhere, tasks, tmp_path) -> None:
    def work(task, stop, progress, warn):
        if task.name == "deadly":
            with (tmp_path / "deaths").open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
        return b"alive"

    deadly, *others = three = tasks("deadly", "one", "other")
    ended = run(three, work, elsewhere)
    assert {each for each in ended if isinstance(each, Task)} == set(others)
    (failure,) = [each for each in ended if isinstance(each, Failure)]
    assert failure.task == deadly
    assert failure.reason == (
        f"{ATTEMPTS} processes that carried it out ended with no word (exit code -9): they were "
        "killed, perhaps for their memory"
    )
    assert (tmp_path / "deaths").read_text() == "x" * ATTEMPTS


def test_a_worker_that_was_killed_is_followed_by_another(elsewhere, tasks, tmp_path) -> None:
    def work(task, stop, progress, warn):
        if not (tmp_path / "once").exists():
            (tmp_path / "once").touch()
            os._exit(3)
        return b"whole"

    (task,) = tasks("one")
    assert run([task], work, elsewhere) == [task]
    assert [path.name for path in task.folder.iterdir()] == ["result"]


def test_a_read_only_disk_ends_all(made, tasks, monkeypatch) -> None:
    def refuse(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    (task,) = tasks("one")
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StorageError, match=r"Cannot read or write .*: Read-only file system"):
        run([task], lambda *a: b"", made)


def test_a_full_disk_ends_all_and_leaves_no_half_result(made, tasks, monkeypatch) -> None:
    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    (task,) = tasks("one")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match="No space left on device"):
        run([task], lambda *a: b"result", made)
    assert list(task.folder.iterdir()) == []


def _doubled(task, stop, progress, warn) -> bytes:
    warn(f"{os.getpid()}")
    return task.name.encode() * 2


def test_where_workers_are_not_forked_work_is_pickled(tasks, monkeypatch) -> None:
    """As on macOS and Windows."""
    monkeypatch.setattr(processes, "METHOD", "spawn")
    told = {"stop": never, "progress": quiet, "warn": quiet}
    assert isinstance(processes.executor(2, lambda *told: b"", **told), Here)
    assert isinstance(processes.executor(1, _doubled, **told), Processes)
    pids, two = [], tasks("a", "b")
    made = Processes(2, progress=quiet, warn=pids.append, method="spawn")
    assert set(carry_out(two, _doubled, made, stop=never)) == set(two)
    assert [task.result.read_bytes() for task in two] == [b"aa", b"bb"]
    assert len({*pids, str(os.getpid())}) == 3


def test_executors_can_be_closed_unused(made) -> None:
    with closing(made(never, quiet, quiet)) as executor:
        assert executor.wait(0.01) == []


def test_a_comparison_is_the_same_for_any_number_of_processes() -> None:
    entries = ["bernoulli", "product", Entry(name="mlp", training={"draws": 16}), "annealing"]

    def outcome(together: int):
        objective = Objective(lambda bits: (bits.sum(1) - 3.0) ** 2 + bits[:, 0], 6)
        return compare(
            objective, entries, seeds=[0, 3], evaluations=2_000, processes=together, warn=quiet
        )

    one = outcome(1)
    for together in (2, 3, 8):
        other = outcome(together)
        for before, after in zip(one.results, other.results, strict=True):
            first, second = before.to_json(), after.to_json()
            first.pop("seconds_per_step"), second.pop("seconds_per_step")
            assert first == second
