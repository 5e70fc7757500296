"""Entries side by side: the same results for any number of processes, and no silence."""

import os
import signal
import sys
import time

import numpy as np
import pytest

from qhyper import threads
from qhyper.errors import ConfigurationError, Interrupted, QhyperError
from qhyper.run.comparison import compare
from qhyper.run.config import Entry
from qhyper.run.processes import WorkerError, side_by_side
from qhyper.targets.objective import Objective

linux = pytest.mark.skipif(sys.platform != "linux", reason="entries are forked on Linux alone")


def quiet(*told: object) -> None:
    """Nothing is said."""


def run(items, work, processes, stop=lambda: False, progress=quiet, warn=quiet):
    return dict(side_by_side(items, work, processes, stop=stop, progress=progress, warn=warn))


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_results_progress_and_warnings_come_back(processes: int) -> None:
    told, warned = [], []

    def work(item, stop, progress, warn):
        progress(item, 1, 2)
        warn(f"{item} is small")
        return np.full(3, item)

    found = run([1, 2, 3], work, processes, progress=lambda *t: told.append(t), warn=warned.append)
    assert {item: result.tolist() for item, result in found.items()} == {
        k: [k] * 3 for k in (1, 2, 3)
    }
    assert sorted(told) == [(k, 1, 2) for k in (1, 2, 3)]
    assert sorted(warned) == [f"{k} is small" for k in (1, 2, 3)]


@linux
def test_a_worker_is_another_process_with_one_thread() -> None:
    found = run([1, 2], lambda *a: (os.getpid(), threads.n_threads()), 2)
    pids = {pid for pid, _ in found.values()}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert {n for _, n in found.values()} == {1}


@linux
def test_the_first_error_is_raised_and_the_others_stop() -> None:
    def work(item, stop, progress, warn):
        if item == "wrong":
            raise ConfigurationError("it cannot be")
        while not stop():
            time.sleep(0.01)
        raise Interrupted("stopped")

    began = time.monotonic()
    with pytest.raises(ConfigurationError, match="it cannot be"):
        run(["wrong", "long"], work, 2)
    assert time.monotonic() - began < 20


class OddError(Exception):
    """One that cannot be made again from its text."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"odd {one}")


@linux
def test_any_error_comes_back_with_its_reason() -> None:
    class LocalError(Exception):
        pass

    def work(item, stop, progress, warn):
        raise {"odd": OddError(3, 4), "local": LocalError("here"), "key": KeyError("x")}[item]

    for item, text in (("odd", "OddError: odd 3"), ("local", "LocalError: here"), ("key", "'x'")):
        with pytest.raises(WorkerError, match=f"failed with .*{text}") as caught:
            run([item, f"{item}"], work, 2)
        assert "in work" in str(caught.value)  # its traceback


@linux
def test_memory_that_is_not_there_is_missing_here_too() -> None:
    def work(item, stop, progress, warn):
        return np.zeros(1 << 50)

    with pytest.raises(MemoryError, match="Unable to allocate 8"):
        run(["one", "other"], work, 2)


@linux
def test_a_worker_that_is_killed_is_told_of() -> None:
    def work(item, stop, progress, warn):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(QhyperError, match=r"ended with exit code -9 and no word.*--processes 1\."):
        run([1, 2], work, 2)


@linux
def test_stopping_stops_all(tmp_path) -> None:
    def work(item, stop, progress, warn):
        (tmp_path / f"{item}").touch()
        while not stop():
            time.sleep(0.01)
        (tmp_path / f"{item} saved").touch()
        raise Interrupted("stopped")

    with pytest.raises(Interrupted, match=r"Stopped by a signal\."):
        run([1, 2, 3], work, 2, stop=lambda: all((tmp_path / f"{k}").exists() for k in (1, 2)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "1 saved", "2", "2 saved"]


def test_a_comparison_is_the_same_for_any_number_of_processes() -> None:
    entries = ["bernoulli", "product", Entry(name="mlp", training={"draws": 16}), "annealing"]

    def outcome(processes: int):
        objective = Objective(lambda bits: (bits.sum(1) - 3.0) ** 2 + bits[:, 0], 6)
        return compare(
            objective, entries, seeds=[0, 3], evaluations=2_000, processes=processes, warn=quiet
        )

    one = outcome(1)
    for processes in (2, 3, 8):
        other = outcome(processes)
        for before, after in zip(one.results, other.results, strict=True):
            first, second = before.to_json(), after.to_json()
            first.pop("seconds_per_step"), second.pop("seconds_per_step")
            assert first == second
