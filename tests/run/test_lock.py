"""One process at a time on a run directory; other systems and file systems are simulated."""

import builtins
import errno
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from qhyper.errors import StorageError
from qhyper.quantum.cloud.ledger import Ledger
from qhyper.run import lock
from qhyper.run.comparison import execute, load_generator, stored
from qhyper.run.config import Config
from qhyper.run.directory import Run
from qhyper.run.lock import alone, at_work

HERE = f"Another process ({os.getpid()} on {socket.gethostname()})"


def without_locks(monkeypatch, number=errno.ENOLCK):
    def locked(file):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock, "_system_lock", lambda: locked)


def with_locks_of_windows(monkeypatch):
    """No fcntl; a byte that is locked is so for the next that asks."""
    locked: set[tuple[int, int]] = set()

    def locking(descriptor, mode, n_bytes):
        assert (mode, n_bytes) == (2, 1)
        at = os.lseek(descriptor, 0, os.SEEK_CUR)
        assert at > 10**6  # what can be read is not locked
        found = (os.fstat(descriptor).st_ino, at)
        if found in locked:
            raise PermissionError(errno.EACCES, "Permission denied")
        locked.add(found)

    whole = builtins.__import__

    def imported(name, *rest):
        if name == "fcntl":
            raise ImportError(name)
        return whole(name, *rest)

    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    monkeypatch.setattr(builtins, "__import__", imported)


def as_it_is(monkeypatch):
    pass


SYSTEMS = [as_it_is, without_locks, with_locks_of_windows]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_second_one_is_told_who_is_at_work(tmp_path: Path, monkeypatch, system):
    system(monkeypatch)
    assert at_work(tmp_path) is None
    with alone(tmp_path):
        with pytest.raises(StorageError) as refused, alone(tmp_path):
            pass
        assert str(refused.value).startswith(f"{HERE} is at work on {tmp_path}. Wait until")
        assert at_work(tmp_path) == HERE


@pytest.mark.parametrize("system", SYSTEMS[:2])
def test_the_next_one_begins_when_it_is_done_or_failed(tmp_path: Path, monkeypatch, system):
    system(monkeypatch)
    with pytest.raises(ZeroDivisionError), alone(tmp_path):
        _ = 1 / 0
    assert at_work(tmp_path) is None
    with alone(tmp_path):
        pass


HOLD = """
import sys, time
from pathlib import Path
from qhyper.run import lock
if len(sys.argv) > 2:
    def none(file):
        raise OSError(int(sys.argv[2]), "no locks")
    lock._system_lock = lambda: none
with lock.alone(Path(sys.argv[1])):
    print("at work", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [(), (errno.ENOSYS,)], ids=["locks", "no locks"])
def test_a_killed_process_holds_nobody_up(tmp_path: Path, monkeypatch, number):
    if number:
        without_locks(monkeypatch, *number)
    arguments = [sys.executable, "-c", HOLD, str(tmp_path), *map(str, number)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "at work\n"
        with pytest.raises(StorageError, match=rf"Another process \({other.pid} on"):
            alone(tmp_path).__enter__()
        other.kill()
        other.wait()
        with alone(tmp_path):
            assert at_work(tmp_path) == HERE


def said(folder: Path, seconds_ago: float, **words) -> None:
    path = folder / lock.FILE
    path.write_text(json.dumps(words))
    then = time.time() - seconds_ago
    os.utime(path, (then, then))


@pytest.mark.parametrize(
    ("host", "pid", "seconds_ago", "alive"),
    [
        ("elsewhere", 7, 1, True),
        ("elsewhere", 7, 1000, False),  # silent for long
        (socket.gethostname(), 2**22 + 7, 1, False),  # no process has such a number
        (socket.gethostname(), os.getpid(), 1, True),
        (socket.gethostname(), os.getpid(), 1000, False),  # the number is another's now
    ],
    ids=["another host", "silent", "no process", "alive", "another process"],
)
def test_without_locks_signs_of_life_count(tmp_path, monkeypatch, host, pid, seconds_ago, alive):
    without_locks(monkeypatch)
    said(tmp_path, seconds_ago, host=host, pid=pid)
    assert (at_work(tmp_path) is not None) == alive
    if alive:
        with pytest.raises(StorageError, match=rf"\({pid} on {host}\) is at work"):
            alone(tmp_path).__enter__()
    else:
        with alone(tmp_path):
            assert at_work(tmp_path) == HERE


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_file_that_names_nobody_holds_nobody_up(tmp_path: Path, monkeypatch, text):
    without_locks(monkeypatch)
    (tmp_path / lock.FILE).write_text(text)
    with alone(tmp_path):
        pass


def test_without_locks_a_process_gives_signs_of_life(tmp_path: Path, monkeypatch):
    without_locks(monkeypatch)
    monkeypatch.setattr(lock, "BEAT", 0.01)
    with alone(tmp_path):
        os.utime(tmp_path / lock.FILE, (0, 0))
        until = time.monotonic() + 30
        while (tmp_path / lock.FILE).stat().st_mtime == 0:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_a_run_is_carried_out_by_one_process_at_a_time(tmp_path: Path):
    values = {"data": "digits", "evaluations": 200, "seeds": [0], "entries": [{"name": "mlp"}]}
    run = Run.create(tmp_path, "test", Config(**values))
    with alone(run.path):
        with pytest.raises(StorageError, match=r"is at work on .* Wait until it is done"):
            execute(run)
        with pytest.raises(StorageError, match=r"is not complete. Another process \(.* wait"):
            stored(run)
        with pytest.raises(StorageError, match=r"is not finished\. Another process"):
            load_generator(run)
    with pytest.raises(StorageError, match=r"is not complete\. Finish the run with `qhyper resume"):
        stored(run)
    outcome = execute(run, warn=lambda words: None)
    with alone(run.path):  # what is complete is only read
        again = execute(run)
    assert np.array_equal(again.results[0].final_loss, outcome.results[0].final_loss)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_ledger_needs_locks_and_says_so(tmp_path: Path, monkeypatch, number):
    fcntl = pytest.importorskip("fcntl")

    def none(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", none)
    with pytest.raises(StorageError, match=r"file system of .* has no locks \(.* with --out"):
        Ledger(tmp_path, "run")
