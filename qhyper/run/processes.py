"""Executors on this machine: in this process, or in several of one thread each.

A worker is made for each task, and leaves nothing behind. On Linux it is forked, so that it has the
problem, its data and its trial at once. Other systems cannot fork safely: there it is begun anew,
which takes seconds, if the work can be pickled. Nothing of the results depends on it.
"""

import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from qhyper.errors import QhyperError
from qhyper.run.work import Ended, Executor, Progress, Stop, Task, Warn, Work
from qhyper.threads import limit_threads, n_threads, one_blas_thread

_STOPPING = 30.0
"""Seconds that workers have for a checkpoint."""
METHOD = "fork" if sys.platform == "linux" else "spawn"
"""How workers are made."""


class WorkerError(RuntimeError):
    """What failed in another process, and is no error on purpose, with its traceback in words."""


def executor(processes: int, work: Work, *, stop: Stop, progress: Progress, warn: Warn) -> Executor:
    """So many processes of this machine, each with its share of the cores.

    One, too, is another process: this one outlives what kills a worker. Where workers are not
    forked, and the work cannot be pickled, it is this process.
    """
    if METHOD != "fork" and not _can_be_pickled(work):
        return Here(stop=stop, progress=progress, warn=warn)
    return Processes(processes, progress=progress, warn=warn)


class Here:
    """In this process: a task is over once it is started."""

    slots = 1

    def __init__(self, *, stop: Stop, progress: Progress, warn: Warn) -> None:
        self._told = stop, progress, warn
        self._ended: list[Ended] = []

    def start(self, task: Task, work: Work) -> None:
        """Carry it out."""
        try:
            with one_blas_thread():  # as in a worker
                ended = Ended(task, work(task, *self._told))
        except Exception as error:
            ended = Ended(task, error=error)
        self._ended.append(ended)

    def wait(self, seconds: float) -> list[Ended]:
        """What has ended; nothing is ever to be waited for."""
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> list[Ended]:
        """Nothing runs."""
        return self.wait(0)


class Processes:
    """Other processes of this machine, one for each task that runs."""

    def __init__(
        self,
        slots: int,
        *,
        progress: Progress,
        warn: Warn,
        confined: bool = False,
        method: str = METHOD,
    ) -> None:
        self.slots = slots
        self._progress, self._warn = progress, warn
        self._context: Any = multiprocessing.get_context(method)
        self._threads = max(1, n_threads() // slots)
        self._free = _shares(slots) if confined else [[]] * slots
        """cores that the next workers are confined to; none if they are not"""
        self._running: dict[Any, tuple[Any, Task, list[int]]] = {}

    def start(self, task: Task, work: Work) -> None:
        """Make a worker."""
        receiver, sender = self._context.Pipe(duplex=False)
        cores = self._free.pop()
        forked = self._context.get_start_method() == "fork"
        arguments = (task, work, sender, cores, self._threads, forked)
        worker = self._context.Process(target=_work, args=arguments, daemon=True)
        worker.start()
        sender.close()
        self._running[receiver] = (worker, task, cores)

    def wait(self, seconds: float) -> list[Ended]:
        """What has ended; progress and warnings are passed on meanwhile."""
        ended = []
        for receiver in wait(list(self._running), timeout=seconds) if self._running else ():
            assert isinstance(receiver, Connection)
            found = self._received(receiver)
            if found is not None:
                worker, _, cores = self._running.pop(receiver)
                receiver.close()
                worker.join()
                self._free.append(cores)
                ended.append(found)
        return ended

    def _received(self, receiver: Connection) -> Ended | None:
        """Take one message of a worker; None as long as it works."""
        worker, task, _ = self._running[receiver]
        try:
            kind, content = receiver.recv()
        except (EOFError, OSError):
            worker.join()
            return Ended(task, death=f"exit code {worker.exitcode}")
        if kind == "progress":
            self._progress(*content)
        elif kind == "warn":
            self._warn(content)
        else:
            return Ended(task, **{kind: content})
        return None

    def close(self) -> list[Ended]:
        """Ask workers to stop after a checkpoint, and wait for them: how they ended."""
        for worker, *_ in self._running.values():
            if worker.is_alive():
                worker.terminate()
        deadline, ended = time.monotonic() + _STOPPING, []
        while self._running and time.monotonic() < deadline:
            ended += self.wait(0.1)
        for receiver, (worker, *_) in self._running.items():
            worker.kill()
            worker.join()
            receiver.close()
        self._running = {}
        return ended


def _shares(workers: int) -> list[list[int]]:
    """The cores of each worker; empty lists where the system cannot confine it to them."""
    if not hasattr(os, "sched_setaffinity"):
        return [[]] * workers
    cores = sorted(os.sched_getaffinity(0))
    return [cores[k::workers] or [cores[k % len(cores)]] for k in range(workers)]


def _work(
    task: Task, work: Work, sender: Connection, cores: Sequence[int], threads: int, forked: bool
) -> None:
    """In a worker: carry out a task, and send what there is to say."""
    # the parent's may be those of a progress bar, whose lock another thread had at the fork
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends its workers
    _end_with_parent()
    if cores:
        os.sched_setaffinity(0, cores)
    limit_threads(threads, forked=forked)

    def send(kind: str, content: Any) -> None:
        try:
            sender.send((kind, content))
        except BrokenPipeError:  # nobody listens any more
            os._exit(1)

    try:
        result = work(
            task, lambda: bool(stopped), lambda *told: send("progress", told),
            lambda words: send("warn", words),
        )  # fmt: skip
        send("result", result)
    except (Exception, SystemExit) as error:
        send("error", portable(error))
    sender.close()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError):
            stream.flush()
    os._exit(0)  # what the parent registered for its own end is not for a worker


def _end_with_parent() -> None:
    """End this process with its parent: whoever goes on with the task then is to be alone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    if sys.platform == "linux":  # at once, whatever this process is at
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
        if not parent.is_alive():  # it died before
            os._exit(1)
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _can_be_pickled(work: Work) -> bool:
    try:
        pickle.dumps(work)
    except Exception:  # an object of a user's own can fail in any way
        return False
    return True


def portable(error: BaseException) -> Exception:
    """The error as it can be sent; where it cannot, one that says the same, with its traceback."""
    try:
        if isinstance(error, QhyperError) and type(pickle.loads(pickle.dumps(error))) is type(
            error
        ):
            return error
    except Exception:  # an error of a user's own can fail in any way
        pass
    if isinstance(error, MemoryError):
        return MemoryError(str(error))
    return WorkerError(
        f"A process that carried out an entry failed with {type(error).__name__}: {error}. Its "
        f"traceback:\n{''.join(traceback.format_exception(error))}"
    )
