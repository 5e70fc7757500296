"""Where the files of a configuration are: by their paths, or found again where they may be now.

A run keeps absolute paths, so that it is resumed from anywhere. A path that leads nowhere any more
is looked for where it would be if the files had moved together with the run, and then beside it.
"""

import contextlib
import filecmp
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from qhyper.data.files import is_data_file
from qhyper.errors import ConfigurationError, MissingError
from qhyper.run.config import Config

PROVENANCE = "provenance.json"
"""Its `folder` is where a run was when its paths were written."""
SWEEP = "sweep.toml"
"""What was asked of the sweep whose folder has this file."""
ABOVE = 2
"""Folders above a run's that are looked into, too: runs/, and the project that it lies in."""

Locate = Callable[[str], str]


def absolute(config: Config) -> Config:
    """The configuration with absolute paths, for whoever stands elsewhere later."""
    return _changed(config, lambda path: str(Path(path).resolve()))


def of_run(config: Config, folder: Path) -> Config:
    """The configuration of the run in `folder`, with paths of files that are there now.

    The check of the data's digest says whether they are the same. Raises MissingError, with all
    places, for a file at none of them.
    """
    return _changed(config, lambda path: _first(_moved(path, folder)))


def files_of(config: Config) -> list[str]:
    """The paths of all files that a configuration names."""
    found: list[str] = []

    def note(path: str) -> str:
        found.append(path)
        return path

    _changed(config, note)
    return found


def without_folders(config: Config) -> Config:
    """The configuration with the names of files alone, to compare it with another machine's."""
    return _changed(config, lambda path: re.split(r"[\\/]", path)[-1])


def beside(
    values: Mapping[str, Any], file: Path, warn: Callable[[str], None] = print
) -> dict[str, Any]:
    """Values of a configuration file, with paths of files that are there.

    A relative path is looked for from where the command is given, then from the file's folder; a
    path of a run's own configuration as in `of_run`, and `warn` hears where it was found. Raises
    ConfigurationError where two different files could be meant. What is nowhere stays as it
    stands, to be refused by whoever reads it, if the command does not say another.
    """

    def locate(path: str) -> str:
        if not Path(path).is_absolute():
            return _either(path, file)
        moved = (place for place in _moved(path, file.parent) if place.is_file())
        ours = file.name == SWEEP or (file.parent / PROVENANCE).is_file()
        if Path(path).is_file() or not ours:
            return path
        found = str(next(moved, path))
        if found != path:
            warn(f"{path}, which {file} names, is not there: taking {found}.")
        return found

    return _with_paths(values, locate)


def absolute_beside(
    values: Mapping[str, Any], file: Path, warn: Callable[[str], None] = print
) -> dict[str, Any]:
    """The same with absolute paths."""
    return _with_paths(beside(values, file, warn), lambda path: str(Path(path).resolve()))


def absolute_value(key: str, value: Any, file: Path, warn: Callable[[str], None] = print) -> Any:
    """A value that a configuration file gives for a key, such as target_options.path, the same."""
    first, _, rest = key.partition(".")
    values = {"target": "table", first: {rest: value} if rest else value}
    found = absolute_beside(values, file, warn)[first]
    return found[rest] if rest else found


def _changed(config: Config, locate: Locate) -> Config:
    before = config.model_dump(include={"data", "test", "target", "target_options"})
    after = _with_paths(before, locate)
    # only what is another: what was set is told from what is so by default
    return config.model_copy(update={key: v for key, v in after.items() if v != before[key]})


def _with_paths(values: Mapping[str, Any], locate: Locate) -> dict[str, Any]:
    """A copy of a configuration's values in which `locate` gives the path of every file."""
    changed = dict(values)
    for key in ("data", "test"):
        if isinstance(values.get(key), str) and is_data_file(values[key]):
            changed[key] = locate(values[key])
    options = values.get("target_options")
    if values.get("target") == "table" and isinstance(options, Mapping):
        path = options.get("path")
        changed["target_options"] = dict(options) | (
            {"path": locate(path)} if isinstance(path, str) else {}
        )
    return changed


def _either(path: str, file: Path) -> str:
    here, there = Path(path), file.parent / path
    if not there.is_file() or there.resolve() == here.resolve():
        return path
    if not here.is_file():
        return str(there)
    if not filecmp.cmp(here, there, shallow=False):
        raise ConfigurationError(
            f"Got the path {path} in {file}, and two different files that it can mean: "
            f"{here.resolve()} and {there.resolve()}. Write the whole path."
        )
    return path


def _first(places: Iterator[Path]) -> str:
    tried = list(dict.fromkeys(places))
    for place in tried:
        if place.is_file():
            return str(place)
    raise MissingError(
        f"There is no file {tried[0]}"
        + "".join(f", nor {place}" for place in tried[1:])
        + ". Put it back at one of these places."
    )


def _moved(path: str, folder: Path) -> Iterator[Path]:
    """Where a file may be now that was at `path`: there, moved with the run, in or above it."""
    yield Path(path)
    folder = folder.resolve()
    begun = _begun(folder)
    if begun is not None and Path(path).is_absolute() and Path(begun).is_absolute():
        with contextlib.suppress(ValueError):  # on two drives of Windows
            yield Path(os.path.normpath(folder / os.path.relpath(path, begun)))
    name = re.split(r"[\\/]", path)[-1]  # from another system, too
    for place in (folder, *list(folder.parents)[:ABOVE]):
        yield place / name


def _begun(folder: Path) -> str | None:
    """Where the run was when its paths were written, as far as it says so."""
    try:
        return json.loads((folder / PROVENANCE).read_text(encoding="utf-8")).get("folder")
    except (OSError, ValueError, AttributeError):
        return None
