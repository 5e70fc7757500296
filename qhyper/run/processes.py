"""Entries side by side: processes of one thread each, which share nothing but what they began with.

A worker is forked, so that it has the problem, its data and its trial at once. Where a system
cannot fork safely, entries are carried out one after another in this process; nothing of the
results depends on it.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from qhyper.errors import Interrupted, QhyperError
from qhyper.threads import limit_threads

Item = TypeVar("Item")
Progress = Callable[[str, int, int], None]
"""Called with an entry's title, how much of its budget is spent, and all of it, in steps or
evaluations."""
Work = Callable[[Any, Callable[[], bool], Progress, Callable[[str], None]], Any]
"""Called with an item, stop, progress and warn; its result is pickled."""


class WorkerError(RuntimeError):
    """What failed in another process, and is no error on purpose, with its traceback in words."""


_POLL = 0.1
"""Seconds between two looks at the signal."""


def side_by_side(
    items: Sequence[Item],
    work: Work,
    processes: int,
    *,
    stop: Callable[[], bool],
    progress: Progress,
    warn: Callable[[str], None],
) -> Iterator[tuple[Item, Any]]:
    """(item, result) of every item, as they are done, at most so many `processes` at a time.

    The first error of a worker ends the others, which keep their checkpoints, and is raised;
    so does Interrupted once `stop` returns true.
    """
    if min(processes, len(items)) < 2 or sys.platform != "linux":
        for item in items:
            yield item, work(item, stop, progress, warn)
        return
    context = multiprocessing.get_context("fork")
    waiting, running = list(items), dict[Any, tuple[Any, Item]]()
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                item = waiting.pop(0)
                receiver, sender = context.Pipe(duplex=False)
                worker = context.Process(target=_work, args=(work, item, sender), daemon=True)
                worker.start()
                sender.close()
                running[receiver] = (worker, item)
            for receiver in wait(list(running), timeout=_POLL):
                assert isinstance(receiver, Connection)
                done = _received(receiver, running[receiver], progress, warn)
                if done is not None:
                    worker, item = running.pop(receiver)
                    worker.join()
                    yield item, done[0]
            if stop():
                raise Interrupted("Stopped by a signal.")
    finally:
        _end([worker for worker, _ in running.values()])


def _received(
    receiver: Connection, of: tuple[Any, Any], progress: Progress, warn: Callable[[str], None]
) -> tuple[Any] | None:
    """Take one message of a worker: the result in a tuple, or None as long as it works."""
    try:
        kind, content = receiver.recv()
    except EOFError:
        of[0].join()
        raise QhyperError(
            f"A process that carried out an entry ended with exit code {of[0].exitcode} and no "
            "word: it was killed, perhaps for its memory. Go on with fewer at a time: "
            "--processes 1."
        ) from None
    if kind == "progress":
        progress(*content)
    elif kind == "warn":
        warn(content)
    elif kind == "error":
        raise content
    else:
        return (content,)
    return None


def _work(work: Work, item: Any, sender: Connection) -> None:
    """In a worker: carry out an item, and send what there is to say."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends its workers
    limit_threads(1)
    parent = os.getppid()

    def stop() -> bool:
        return bool(stopped) or os.getppid() != parent

    try:
        result = work(
            item, stop, lambda *told: sender.send(("progress", told)),
            lambda words: sender.send(("warn", words)),
        )  # fmt: skip
        sender.send(("result", result))
    except BrokenPipeError:  # nobody listens any more
        os._exit(1)
    except Exception as error:
        sender.send(("error", _portable(error)))
    sender.close()
    os._exit(0)  # what the parent registered for its own end is not for a worker


def _portable(error: Exception) -> Exception:
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


def _end(workers: Sequence[Any]) -> None:
    """Ask workers to stop after a checkpoint, and wait for them."""
    for worker in workers:
        if worker.is_alive():
            worker.terminate()
    for worker in workers:
        worker.join(timeout=30)
        if worker.is_alive():
            worker.kill()
            worker.join()
