"""Files of published data sets: where they lie, downloaded, and their checksums.

Files are looked for in the folder that the environment variable QHYPER_DATA names, then in the
cache, and downloaded only if they are in neither. Nothing is ever made up in their place.
"""

import hashlib
import os
from pathlib import Path

from qhyper.errors import MissingError, StorageError


def cache() -> Path:
    """The folder in which downloaded files are kept; it need not be there yet."""
    import pooch

    return Path(pooch.os_cache("qhyper"))


def places(name: str, *, bare: bool) -> list[Path]:
    """Folders in which files of the data set `name` may lie, in the order of their precedence.

    They are the folder `name` of the one that QHYPER_DATA names, and that of the cache; if `bare`,
    for files that no other data set can have, also those two themselves.

    Raises MissingError if QHYPER_DATA names something that is not a folder.
    """
    folders = [cache()]
    if named := os.environ.get("QHYPER_DATA"):
        folder = Path(named).expanduser()
        if not folder.is_dir():
            raise MissingError(
                f"QHYPER_DATA names {folder}, which is not a folder. Correct it, or unset it."
            )
        folders.insert(0, folder)
    return [place for folder in folders for place in (folder / name, *([folder] * bare))]


def find(file: str, places: list[Path]) -> Path | None:
    """The path of a file in the first of the places that has it; None if none has."""
    return next((place / file for place in places if (place / file).is_file()), None)


def download(name: str, title: str, url: str, file: str, sha256: str) -> Path:
    """Download `file` of the data set `name` to the cache, and check it.

    Raises MissingError, which says what to put where, if there is no network, the cache cannot be
    written, or the checksum is another.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    folder = cache() / name
    try:
        return Path(pooch.retrieve(url + file, f"sha256:{sha256}", file, folder))
    except (OSError, ValueError) as error:
        raise MissingError(
            f"The file {file} of {title} is not on this machine and could not be downloaded "
            f"from {url} ({type(error).__name__}: {error}). Get the file with SHA-256 "
            f"{sha256} and put it in {folder}, or in the folder {name} of a folder that "
            "QHYPER_DATA names."
        ) from error


def read(path: Path) -> bytes:
    """Bytes of a file; StorageError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"Cannot read {path}: {error}. Check its permissions.") from error


def check_sum(content: bytes, expected: str, what: str, advice: str) -> None:
    """Raise StorageError, which names `what` it is and advises, if a checksum is another.

    It is written as `sha256:` or `md5:` and the digits.
    """
    kind, _, digits = expected.partition(":")
    got = hashlib.new(kind, content, usedforsecurity=False).hexdigest()
    if got != digits:
        label = {"sha256": "SHA-256", "md5": "MD5"}[kind]
        raise StorageError(
            f"{what} is damaged or another file: got {label} {got}, expected {digits}. {advice}"
        )
