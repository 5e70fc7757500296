"""Files that are there whole or not at all, and refusals of the operating system in words."""

import errno
import os
import secrets
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, cast

from qhyper.errors import StorageError

T = TypeVar("T")

OF_RUNS = (
    "Free some space or choose another folder with --out; what was saved before is kept, and a "
    "resumed run goes on from it."
)


def write_whole(path: Path, data: bytes, *, advice: str = OF_RUNS) -> None:
    """Write a file in one piece: temporary file, fsync, rename.

    Raises StorageError, with the advice, if it cannot be written; what was there before stays.
    """
    # its own: another process may be about to write the same
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    with storage(path, advice=advice):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            _replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def _replace(temporary: Path, path: Path) -> None:
    """Rename; again for some seconds on Windows, where another program may have the file open."""
    for seconds in (0.05, 0.2, 0.5, 2.0):
        try:
            temporary.replace(path)
            return
        except PermissionError as error:
            if not hasattr(error, "winerror"):
                raise
            time.sleep(seconds)
    temporary.replace(path)


def check_new(path: Path) -> None:
    """Raise StorageError if there is a file of that name, or none can be looked for."""
    with storage(path):
        there = path.exists()
    if there:
        raise StorageError(
            f"{path} is there already, and is not overwritten. Choose another path, or remove it."
        )


def check_folder(path: Path) -> None:
    """Raise StorageError if a folder cannot be made or written to at `path`, as far as is known."""
    there = next((each for each in (path, *path.absolute().parents) if each.exists()), path)
    with storage(path):
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{there} is a file")
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, f"{there} cannot be written to")


def check_locks(folder: Path) -> None:
    """Raise StorageError if the file system of a folder has no locks of the kind SQLite needs."""
    try:
        import fcntl

        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, PermissionError):  # Windows locks in its own way; whether it can be read
        return
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
            return
        raise StorageError(
            f"The file system of {folder} has no locks ({error.strerror}), which a job ledger "
            "needs: without them, two processes could pay for a job twice. Begin the run on "
            "another file system, such as a local disk, with --out."
        ) from error


@contextmanager
def storage(path: Path, *, advice: str = OF_RUNS) -> Iterator[None]:
    """Turn an operating system's refusal into a StorageError that says what to do."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Cannot read or write {path}: {error.strerror or error}. {advice}"
        ) from error


def restored(
    kind: type[T], found: Mapping[str, Any], where: str, *, optional: Collection[str] = ()
) -> T:
    """The dataclass whose fields, all but the `optional` ones, `found` has, and no other.

    Raises StorageError, which names `where` they stand, for what another version wrote.
    """
    known = {field.name for field in fields(cast(Any, kind))}
    lacks = sorted(known - set(optional) - set(found))
    unknown = sorted(set(found) - known)
    if lacks or unknown:
        told = [f"lacks {', '.join(lacks)}"] * bool(lacks)
        told += [f"has {', '.join(unknown)}, which this version does not know"] * bool(unknown)
        raise StorageError(
            f"{where} was written by another version of qhyper: it {' and '.join(told)}. Read it "
            "with that version, or carry out the run anew with this one."
        )
    return kind(**found)


def as_utf8(text: str) -> bytes:
    """A text as files have it; a path in it that Python could not decode keeps its bytes."""
    return text.encode("utf-8", errors="surrogateescape")
