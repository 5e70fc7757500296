"""The user's own modules that a configuration names: what results depend on beside versions."""

import ast
import functools
import hashlib
import importlib.util
import re
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qhyper.run.config import Config

_NAMED = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_]\w*")
_OURS = ("qhyper", "classical")
"""Packages that go by their version and source as a whole."""
_STANDARD = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
_INSTALLED = ("site-packages", "dist-packages")


def code_of(config: Config) -> dict[str, str]:
    """The SHA-256 of the source of every module that is named as module:name, by the module.

    With what they import, and what that does, from the folder that they lie in; of an installed
    module it is that alone. Imports within functions count; what is loaded in other ways does not.
    """
    found: dict[str, str] = {}
    for text in _texts(config.model_dump(exclude={"tests"})):
        named = _NAMED.fullmatch(text)
        if named and named[1] not in found:
            sources = _sources(named[1])
            found |= {each: file_digest(path, _changed(path)) for each, path in sources.items()}
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


def _sources(module: str) -> dict[str, Path]:
    """The file of a module and those of all that it imports from beside it, by their modules."""
    path = None if module.partition(".")[0] in _OURS else _found(module)
    if path is None:
        return {}
    root = path.parents[module.count(".") + (path.stem == "__init__")]
    found = {module: path}  # even if it is not to be found again by its name, or no text
    if root in _STANDARD or root.name in _INSTALLED:
        return found
    left = [module.rpartition(".")[0], *_imported(module, path, _changed(path))]
    while left:
        name = left.pop()
        path = _in(root, name)
        if path is None or name in found or name.partition(".")[0] in _OURS:
            continue
        found[name] = path
        left += [name.rpartition(".")[0], *_imported(name, path, _changed(path))]
    return found


def _found(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # whoever needs it says so
        return None
    path = None if spec is None or spec.origin is None else Path(spec.origin).absolute()
    return path if path is not None and path.is_file() else None


def _in(root: Path, module: str) -> Path | None:
    """The file of a module below `root`, if it is there."""
    if not module:
        return None
    place = root.joinpath(*module.split("."))
    files = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((file for file in files if file.is_file()), None)


@functools.lru_cache(maxsize=256)
def _imported(module: str, path: Path, changed: int) -> tuple[str, ...]:
    """What may be modules that a file imports; nothing of one that is no Python."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # whoever imports it says so
        return ()
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            parts = [*(above if node.level else ()), *filter(None, [node.module])]
            base = ".".join(filter(None, parts))
            found += [base, *(f"{base}.{each.name}" if base else each.name for each in node.names)]
    return tuple(dict.fromkeys(found))


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns
