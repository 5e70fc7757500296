"""The user's own modules that a configuration names: what results depend on beside versions."""

import functools
import hashlib
import importlib.util
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qhyper.run.config import Config

_NAMED = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_]\w*")


def code_of(config: Config) -> dict[str, str]:
    """The SHA-256 of the source of every module that is named as module:name, by the module.

    What these modules import is not looked at.
    """
    found = {}
    for text in _texts(config.model_dump(exclude={"tests"})):
        named = _NAMED.fullmatch(text)
        if named and (path := _source(named[1])) is not None:
            found[named[1]] = file_digest(path, path.stat().st_mtime_ns)
    return found


@functools.lru_cache(maxsize=256)
def file_digest(path: Path, changed: int) -> str:
    """The SHA-256 of a file, read once as long as it is not `changed`, in nanoseconds."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _texts(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from _texts(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _texts(value)


def _source(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # whoever needs it says so
        return None
    path = None if spec is None or spec.origin is None else Path(spec.origin)
    return path if path is not None and path.is_file() else None
