"""Executor on a cluster of dask.distributed: so on Slurm, PBS, SGE, LSF, HTCondor and Kubernetes.

Each worker has one task at a time, sent to it alone: dask would blame whatever waits at a worker
that dies, and try it elsewhere without telling. Where a worker sees the folder of its task, it
keeps checkpoints there; elsewhere the files come back with the result.
"""

import queue
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from qhyper.errors import ConfigurationError, Interrupted, MissingError, StorageError
from qhyper.run.directory import identity
from qhyper.run.processes import portable
from qhyper.run.work import Ended, Progress, Stop, Task, Warn, Work
from qhyper.storage import write_whole
from qhyper.threads import limit_threads

CONNECTING = 10.0
"""Seconds that a scheduler has to answer."""
_LOOK = 1.0
"""Seconds between two looks at which workers there are."""
_QUIET = 0.2
"""Seconds between two reports of a task's progress."""
_STOPPING = 30.0
"""Seconds that tasks have for a checkpoint."""
_ANSWER = 10.0
"""Seconds that workers have to say what they are; who says nothing is asked again after a while."""
_AGAIN = 60.0
"""Seconds until then."""


class Cluster:
    """The workers of a scheduler.

    Raises MissingError without dask.distributed or where no scheduler answers, ConfigurationError
    for one of another version, or without a worker that can be sent tasks. A cluster that grows and
    shrinks by itself sees no more tasks than it has workers: give it a number of them.
    """

    def __init__(self, address: str, *, progress: Progress, warn: Warn) -> None:
        self._progress, self._warn = progress, warn
        self._client = _connected(address)
        self._topic = f"qhyper-{uuid4().hex}"
        self._news: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._client.subscribe_topic(self._topic, lambda event: self._news.put(event[1]))
        self._running: dict[Any, tuple[str, str, Task]] = {}
        """by future: address and id of its worker, and its task"""
        self._workers: dict[str, str] = {}
        """those that can be sent tasks: an id that no other has, by address"""
        self._refused: dict[str, float] = {}
        """ids of those that cannot, and until when"""
        self._leaving: set[str] = set()
        """keys of tasks whose workers are about to end"""
        self._looked = 0.0
        try:
            self._look()
        except BaseException:
            self._client.close()
            raise
        if not self._workers:
            warn(f"The scheduler {address} has no workers yet: waiting for some.")

    @property
    def slots(self) -> int:
        """How many workers there are now."""
        return len(self._workers)

    def start(self, task: Task, work: Work) -> None:
        """Send a task to a worker that has none."""
        busy = {worker for worker, *_ in self._running.values()}
        worker = min(set(self._workers) - busy)
        future = self._client.submit(
            _carried_out, task, work, self._topic, workers=[worker], pure=False,
            key=f"{self._topic}-{uuid4().hex}",
        )  # fmt: skip
        future.add_done_callback(lambda done: self._news.put(("done", done)))
        self._running[future] = (worker, self._workers[worker], task)

    def wait(self, seconds: float) -> list[Ended]:
        """What has ended; progress and warnings are passed on meanwhile."""
        ended = []
        with suppress(queue.Empty):
            kind, content = self._news.get(timeout=seconds)
            while True:
                if kind == "progress":
                    self._progress(*content)
                elif kind == "warn":
                    self._warn(content)
                elif kind == "leaving":
                    self._leaving.add(content)
                elif (running := self._running.pop(content, None)) is not None:
                    ended.append(self._ended(content, *running))
                kind, content = self._news.get_nowait()
        return ended + self._lost()

    def _lost(self) -> list[Ended]:
        """Tasks of workers that are there no more."""
        if time.monotonic() < self._looked + _LOOK:
            return []
        self._look()
        ended = []
        for future, (worker, its_id, task) in list(self._running.items()):
            if self._workers.get(worker) != its_id and not future.done():
                del self._running[future]
                future.cancel()
                if future.key in self._leaving or self._was_to_end(worker):
                    self._warn(f"The worker {worker} has ended; {task.name} goes on elsewhere.")
                    ended.append(Ended(task, error=Interrupted("Its worker has ended.")))
                else:
                    ended.append(Ended(task, death=f"the worker {worker} was lost"))
        return ended

    def _was_to_end(self, worker: str) -> bool:
        """Whether a worker that is there no more was retired, as at the end of its lifetime."""
        try:
            events = self._told(self._client.scheduler.events, _ANSWER, topic=worker)
        except OSError:  # the next look tells of it
            return False
        removed = [event for _, event in events if event.get("action") == "remove-worker"]
        return bool(removed) and bool(removed[-1].get("expected"))

    def _look(self) -> None:
        """Learn which workers there are; one of another version is left out.

        Raises MissingError if the scheduler is there no more, ConfigurationError if it has workers,
        and none that can be sent tasks.
        """
        try:
            found = self._told(self._client.scheduler.identity, _STOPPING)
            there = {address: str(one["id"]) for address, one in found["workers"].items()}
            known = {a: its_id for a, its_id in self._workers.items() if there.get(a) == its_id}
            now = time.monotonic()
            new = sorted(
                address
                for address, its_id in there.items()
                if address not in known and self._refused.get(its_id, now) <= now
            )
            ours, theirs = identity(), self._asked(new)
        except OSError as error:
            raise MissingError(
                f"The scheduler does not answer any more: {error}. What was done is kept: begin "
                "a scheduler, and go on."
            ) from error
        refusal = ""
        for worker, told in theirs.items():
            if isinstance(told, OSError):  # it is gone by now
                continue
            if refusal := _refusal(worker, ours, told):
                self._refuse(there[worker], refusal)
            else:
                known[worker] = there[worker]
        self._workers, self._looked = known, time.monotonic()
        if refusal and not known:
            raise ConfigurationError(refusal)

    def _told(self, call: Any, seconds: float, *args: Any, **kwargs: Any) -> Any:
        """What the scheduler answers; OSError if it does not within so many seconds."""
        try:
            return self._client.sync(call, *args, callback_timeout=seconds, **kwargs)
        except RuntimeError as error:  # the client has given up to reach it
            raise ConnectionError(str(error)) from error

    def _asked(self, workers: list[str]) -> dict[str, Any]:
        """What each of these is, or what asking it has raised."""
        if not workers:
            return {}
        try:
            return self._told(
                self._client._run, _ANSWER, identity, workers=workers, on_error="return"
            )
        except TimeoutError:  # one of them hangs, and nobody says which: each alone
            if len(workers) > 1:
                return {k: told for each in workers for k, told in self._asked([each]).items()}
            return {workers[0]: MissingError(f"no answer in {_ANSWER:g} seconds")}

    def _refuse(self, its_id: str, why: str) -> None:
        """Send a worker nothing for a while."""
        self._refused[its_id] = time.monotonic() + _AGAIN
        self._warn(f"{why} It is sent nothing.")

    def _ended(self, future: Any, worker: str, its_id: str, task: Task) -> Ended:
        """What a future tells, its files stored."""
        from distributed.client import FutureCancelledError  # type: ignore[import-not-found]

        status, waiting = future.status, {"timeout": _STOPPING}
        try:
            if status == "finished":
                result, error, files = future.result(**waiting)
                if isinstance(error, StorageError | MissingError):
                    return self._cannot(worker, its_id, task, error)
                for name, data in files.items():
                    path = task.folder / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_whole(path, data)
                return Ended(task, result, error)
            if status == "error":
                error = future.exception(**waiting)
                if type(error).__name__ == "KilledWorker":
                    return Ended(task, death="its workers were killed")
                return Ended(task, error=portable(error))
        except TimeoutError:  # the worker that has the result is gone
            future.cancel()
            return Ended(task, death="its worker was lost with the result")
        except (OSError, FutureCancelledError):
            pass
        self._look()  # where the scheduler is gone, all are cancelled at once
        return Ended(task, error=Interrupted("Cancelled by the scheduler."))

    def _cannot(self, worker: str, its_id: str, task: Task, error: Exception) -> Ended:
        """A task goes to others where its worker lacks something, until none is left."""
        self._workers.pop(worker, None)
        if not self._workers:
            return Ended(task, error=error)
        self._refuse(its_id, f"The worker {worker} cannot carry out {task.name}: {error}")
        return Ended(task, error=Interrupted("Its worker lacks something."))

    def close(self) -> list[Ended]:
        """Ask tasks to stop after a checkpoint, wait for that, and leave the scheduler."""
        ended: list[Ended] = []
        try:
            ended += self.wait(0)
            keys = [future.key for future in self._running]
            if keys:
                self._client.cancel(list(self._running))
                deadline = time.monotonic() + _STOPPING
                while time.monotonic() < deadline:
                    at_work = self._told(
                        self._client._run, _ANSWER, _at_work, keys, on_error="ignore"
                    )
                    if not any((at_work or {}).values()):
                        break
                    time.sleep(0.1)
        except (OSError, MissingError):  # there is no scheduler any more
            pass
        finally:
            self._running = {}
            self._client.close(timeout=2)
        return ended


def check_scheduler(address: str) -> None:
    """Raise what `Cluster` does of the scheduler, before anything else is done."""
    _connected(address).close()


def _connected(address: str) -> Any:
    try:
        import distributed  # type: ignore[import-not-found]
    except ImportError as error:
        raise MissingError(
            f"Got --scheduler {address}, which needs dask.distributed. Install it in the "
            "checkout of qhyper: pip install -e '.[cluster]'. It does not go together with "
            "amazon-braket-sdk (cloudpickle), so "
            "take an environment of its own."
        ) from error
    try:
        client = distributed.Client(address, timeout=CONNECTING, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise MissingError(
            f"No scheduler answers at {address}: {error}. Begin one with `dask scheduler --host "
            "127.0.0.1 --no-dashboard`, and give its address, such as tcp://127.0.0.1:8786."
        ) from error
    found = client.get_versions()
    ours, theirs = (found[who]["packages"]["distributed"] for who in ("client", "scheduler"))
    if ours != theirs:
        client.close()
        raise ConfigurationError(
            f"The scheduler at {address} has dask.distributed {theirs}; here it is {ours}. Install "
            "the same version on both sides."
        )
    return client


def _refusal(worker: str, ours: dict[str, Any], found: Any) -> str:
    """Why a worker cannot be sent tasks; nothing if it can."""
    if isinstance(found, BaseException):
        return (
            f"The worker {worker} has no qhyper that works: {found}. Install the same version as "
            "here in its environment."
        )
    differing = [
        f"{name} {found.get(name)} (here {version})"
        for name, version in ours.items()
        if found.get(name) != version
    ]
    if not differing:
        return ""
    return (
        f"The worker {worker} has {', '.join(differing)}: results would not be the same. Install "
        "the same versions on both sides."
    )


# -- on a worker -----------------------------------------------------------------------------------


def _carried_out(
    task: Task, work: Work, topic: str
) -> tuple[bytes | None, Exception | None, dict[str, bytes]]:
    """(result, error, files that the coordinator does not see) of a task."""
    from distributed.core import Status  # type: ignore[import-not-found]
    from distributed.worker import get_worker, thread_state  # type: ignore[import-not-found]

    limit_threads(1)
    worker, key = get_worker(), thread_state.key
    last = [0.0]

    def stop() -> bool:
        at_work = worker.state.tasks.get(key)
        if worker.status in (Status.closing, Status.closing_gracefully):
            worker.log_event(topic, ("leaving", key))
            return True
        return at_work is None or at_work.state == "cancelled"

    def progress(title: str, spent: int, total: int) -> None:
        told = title, spent, total
        if spent == total or time.monotonic() > last[0] + _QUIET:
            last[0] = time.monotonic()
            worker.log_event(topic, ("progress", told))

    def warn(words: str) -> None:
        worker.log_event(topic, ("warn", words))

    if any(task.folder.glob("attempt-*")):  # the coordinator's claim
        return *_tried(task, work, stop, progress, warn), {}
    try:
        with tempfile.TemporaryDirectory(prefix="qhyper-") as folder:
            own = replace(task, folder=Path(folder), result=Path(folder) / task.result.name)
            return *_tried(own, work, stop, progress, warn), _files(Path(folder))
    except OSError as error:
        return None, StorageError(f"Its own disk: {error}."), {}


def _tried(
    task: Task, work: Work, stop: Stop, progress: Callable[..., None], warn: Warn
) -> tuple[bytes | None, Exception | None]:
    try:
        return work(task, stop, progress, warn), None
    except (Exception, SystemExit) as error:
        return None, portable(error)


def _files(folder: Path) -> dict[str, bytes]:
    """What a task has left in its folder, but for checkpoints."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in found
        if "checkpoints" not in path.relative_to(folder).parts
    }


def _at_work(keys: list[str], dask_worker: Any = None) -> bool:
    """Whether a worker is at work on one of these."""
    return any(key in keys for key in dask_worker.active_threads.values())
