"""Files that are there whole or not at all, and refusals of the operating system in words."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qhyper.errors import StorageError

OF_RUNS = (
    "Free some space or choose another folder with --out; what was saved before is kept, and a "
    "resumed run goes on from it."
)


def write_whole(path: Path, data: bytes, *, advice: str = OF_RUNS) -> None:
    """Write a file in one piece: temporary file, fsync, rename.

    Raises StorageError, with the advice, if it cannot be written; what was there before stays.
    """
    temporary = path.with_name(f".{path.name}.part")
    with storage(path, advice=advice):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def storage(path: Path, *, advice: str = OF_RUNS) -> Iterator[None]:
    """Turn an operating system's refusal into a StorageError that says what to do."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Cannot read or write {path}: {error.strerror or error}. {advice}"
        ) from error
