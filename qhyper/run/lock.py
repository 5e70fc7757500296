"""One process at a time on a run directory.

A lock of the operating system goes with its process, however that ends. Where a file system has
none, the file says every few seconds that its process is alive: one that has been silent for a
while, or is no longer there, holds nobody up.
"""

import errno
import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from qhyper.errors import StorageError
from qhyper.storage import storage

T = TypeVar("T")

FILE = "run.lock"
BEAT = 5.0
"""Seconds between two signs of life, where there are no locks."""
SILENCE = 60.0
"""Seconds without one after which a process is taken for dead."""

_FAR = 1 << 30
"""The byte that Windows locks: others can still read what stands before it."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Within, this process is the only one at work on a run.

    Raises StorageError, which names the other process, if there is one.
    """
    with storage(folder / FILE):
        file = (folder / FILE).open("a+", encoding="utf-8")
    with file:
        taken = _lock(file)
        if taken is False or (taken is None and _alive(file)):
            raise StorageError(
                f"{_who(file)} is at work on {folder}. Wait until it is done, or stop it: two at "
                "a time would write into the same files."
            )
        with _named(file), nullcontext() if taken else _beating(file):
            yield


def unless_others(folder: Path, end: Callable[[], T]) -> T | None:
    """What `end` returns, which takes the folder for itself; None if another process has it.

    Whoever but looks (`at_work`) has it for a moment, after which it is tried again.
    """
    for last in (False, True):
        try:
            return end()
        except StorageError:
            if at_work(folder) is not None:
                return None
            if last:
                raise
    return None


def at_work(folder: Path) -> str | None:
    """The process that is at work on a run, in words; None if there is none, or none is known."""
    try:
        with (folder / FILE).open("r+", encoding="utf-8") as file:
            taken = _lock(file)
            return _who(file) if taken is False or (taken is None and _alive(file)) else None
    except OSError:
        return None


def _lock(file: IO[str]) -> bool | None:
    """Lock a file until it is closed: whether that is done; None where there are no locks."""
    try:
        _system_lock()(file)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:  # NFS without its daemon, Lustre without flock, other systems
        return False if error.errno in (errno.EDEADLK, errno.EAGAIN) else None
    return True


def _system_lock() -> Callable[[IO[str]], None]:
    """The call that locks a file or raises OSError, of this operating system."""
    try:
        import fcntl
    except ImportError:
        return _windows_lock
    return lambda file: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _windows_lock(file: IO[str]) -> None:
    try:
        import msvcrt
    except ImportError as error:
        raise OSError(errno.ENOSYS, "no locks") from error
    os.lseek(file.fileno(), _FAR, os.SEEK_SET)
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    finally:
        os.lseek(file.fileno(), 0, os.SEEK_SET)


# -- who it is -------------------------------------------------------------------------------------


@contextmanager
def _named(file: IO[str]) -> Iterator[None]:
    """Within, the file says which process is at work."""
    _write(file, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
    try:
        yield
    finally:
        _write(file, "")


@contextmanager
def _beating(file: IO[str]) -> Iterator[None]:
    """Within, the file is touched every few seconds."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(BEAT):
            with suppress(OSError):
                os.utime(file.name)  # to the clock of the file system

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _write(file: IO[str], text: str) -> None:
    with storage(Path(file.name)):
        file.seek(0)
        file.truncate()
        file.write(text)
        file.flush()


def _read(file: IO[str]) -> dict[str, Any]:
    """What the file says of the process, nothing if it says nothing."""
    try:
        file.seek(0)
        found = json.loads(file.read())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _who(file: IO[str]) -> str:
    found = _read(file)
    return f"Another process ({found.get('pid', '?')} on {found.get('host', 'this machine')})"


def _alive(file: IO[str]) -> bool:
    """Whether the process that the file names is there and has given a sign of life of late."""
    found = _read(file)
    here = found.get("host") == socket.gethostname()
    if not found or (here and not exists(found.get("pid"))):
        return False
    with tempfile.TemporaryFile(dir=Path(file.name).parent) as now:  # by the same clock
        silent = os.fstat(now.fileno()).st_mtime - os.fstat(file.fileno()).st_mtime
    return silent < SILENCE


def exists(pid: Any) -> bool:
    """Whether there is a process of this number here, as far as can be told."""
    if os.name != "posix" or not isinstance(pid, int):
        return True  # elsewhere the question would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        pass
    return True
