"""Work that any process can carry out: tasks, who runs them, and what becomes of each.

An executor runs tasks side by side: in this process, in others of this machine (`processes`), on a
cluster (`cluster`). `carry_out` hands it every task that nobody else has claimed. Whoever computes
a task, its result has the same bytes, is written whole, and then counts as done.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from qhyper.errors import Interrupted, JobError, PendingError, StorageError
from qhyper.progress import Progress
from qhyper.run.lease import Lease, Leases
from qhyper.storage import storage, write_whole

ATTEMPTS = 3
"""Workers that a task may kill before it is given up. Whoever started them has to see it: what is
killed together with its workers, as at the end of a job's time, tells nothing of a task."""
FAILED = "failed.json"
"""In a task's folder: why it was given up."""

_FOR_ALL = (Interrupted, StorageError, JobError, PendingError)
"""Errors that are not of one task alone: they are raised at once, and the task is not given up."""
_POLL = 0.1
"""Seconds between two looks at the signal."""
_AGAIN = 1.0
"""Seconds between two looks at what other processes have claimed."""

Warn = Callable[[str], None]
Stop = Callable[[], bool]
"""Whether to stop; once true, it stays true."""


@dataclass(frozen=True)
class Task:
    """A piece of work: its name in words, and where on the disk it lives."""

    name: str
    folder: Path
    """of its claims, checkpoints and other files; made when it is begun"""
    result: Path
    """the file that is written last, and whole: its presence means that the task is done"""
    about: tuple[str, ...] = ()
    """what a process that has nothing else makes it of"""

    @property
    def done(self) -> bool:
        """Whether its result is there."""
        return self.result.is_file()

    @property
    def failure(self) -> str | None:
        """Why it was given up, None if it was not."""
        path = self.folder / FAILED
        if not path.is_file():
            return None
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["reason"])
        except (OSError, ValueError, LookupError):
            return f"{path} cannot be read"

    def retry(self) -> None:
        """Forget that it was given up."""
        with storage(self.folder / FAILED):
            (self.folder / FAILED).unlink(missing_ok=True)


Work = Callable[[Task, Stop, Progress, Warn], bytes]
"""Carries out a task and returns its result. It may keep checkpoints in the task's folder, raises
Interrupted once `stop` returns true, after a checkpoint, and raises whatever else goes wrong."""


@dataclass(frozen=True)
class Ended:
    """How a task that an executor ran has ended: with a result, an error, or its process."""

    task: Task
    result: bytes | None = None
    error: Exception | None = None
    death: str = ""
    """how its process ended, in words"""


@dataclass(frozen=True)
class Failure:
    """A task that was given up."""

    task: Task
    reason: str
    error: Exception | None = None
    """what it raised, if that was now"""


class Executor(Protocol):
    """Runs tasks side by side."""

    @property
    def slots(self) -> int:
        """How many at a time."""
        ...

    def start(self, task: Task, work: Work) -> None:
        """Begin a task; there has to be a free slot."""
        ...

    def wait(self, seconds: float) -> list[Ended]:
        """What has ended; if nothing has, waits for it, at most so long."""
        ...

    def close(self) -> list[Ended]:
        """Ask what runs to stop after a checkpoint, and wait until it has: how it ended."""
        ...


def carry_out(
    tasks: Iterable[Task], work: Work, executor: Executor, *, stop: Stop
) -> Iterator[Task | Failure]:
    """Every task, as their results are there, or why it was given up.

    What another process has claimed is waited for. A task that raises is given up; so is one that
    has killed `ATTEMPTS` processes, and one that was given up before; the others go on.

    Raises Interrupted, after checkpoints, once `stop` returns true; StorageError for a disk that
    refuses; and what a quantum computer's jobs raise.
    """
    running: dict[Task, Lease] = {}
    with Leases() as leases:
        try:
            yield from _carried_out(deque(tasks), running, leases, work, executor, stop)
        finally:
            for ended in executor.close():  # some end before they hear that they are to stop
                lease = running[ended.task]
                if ended.result is not None and lease.holds:
                    with suppress(StorageError):  # it is told of already
                        _keep(ended, lease, leases)


def _carried_out(
    waiting: deque[Task],
    running: dict[Task, Lease],
    leases: Leases,
    work: Work,
    executor: Executor,
    stop: Stop,
) -> Iterator[Task | Failure]:
    claimed = deque[tuple[float, Task]]()
    while waiting or claimed or running:
        while claimed and claimed[0][0] <= time.monotonic():
            waiting.append(claimed.popleft()[1])
        while waiting and len(running) < executor.slots:
            task = waiting.popleft()
            if task.done:
                yield task
                continue
            lease = leases.claim(task.folder)
            if lease is None and not task.done:
                claimed.append((time.monotonic() + _AGAIN, task))
            elif (over := _over(task, lease)) is not None:
                if lease is not None:
                    leases.close(lease)
                yield over
            else:
                assert lease is not None
                running[task] = lease
                executor.start(task, work)
        if claimed and not running:  # an executor has nothing to wait for
            time.sleep(_POLL)
        # results first: what is raised must not take them with it
        for ended in sorted(executor.wait(_POLL), key=lambda each: each.result is None):
            task, lease = ended.task, running.pop(ended.task)
            if isinstance(ended.error, Interrupted) and not stop():
                leases.release(lease)  # its worker was told to stop, as at its time's end
                waiting.append(task)
            elif isinstance(ended.error, _FOR_ALL):
                leases.release(lease)
                raise ended.error
            elif not lease.holds:  # taken for dead, it is another process's now
                leases.release(lease)
                waiting.append(task)
            elif ended.result is not None:
                _keep(ended, lease, leases)
                yield task
            elif ended.error is not None:
                reason = f"it failed with {type(ended.error).__name__}: {ended.error}"
                yield _give_up(task, reason, ended.error)
                leases.close(lease)
            elif stop():  # all are being ended, and it was not the task
                leases.release(lease)
            else:
                leases.died(lease, ended.death)
                waiting.appendleft(task)
        if stop():
            raise Interrupted("Stopped by a signal.")


def _keep(ended: Ended, lease: Lease, leases: Leases) -> None:
    """Write a result: the task is done."""
    assert ended.result is not None
    write_whole(ended.task.result, ended.result)
    leases.close(lease)


def _over(task: Task, lease: Lease | None) -> Task | Failure | None:
    """The task, if another process has ended it, or why it was given up, or is now."""
    if task.done:
        return task
    if (reason := task.failure) is not None:
        return Failure(task, reason)
    assert lease is not None
    deaths = lease.deaths()
    if len(deaths) < ATTEMPTS:
        return None
    ends = ", ".join(dict.fromkeys(deaths))
    return _give_up(
        task,
        f"{len(deaths)} processes that carried it out ended with no word ({ends}): they were "
        "killed, perhaps for their memory",
    )


def _give_up(task: Task, reason: str, error: Exception | None = None) -> Failure:
    write_whole(task.folder / FAILED, json.dumps({"reason": reason}).encode())
    return Failure(task, reason, error)
