"""What a sweep file asks for, and where each of its points lives on the disk.

A point's folder is called by its settings, in which files and modules of the user's own count by
their contents: where the sweep and the files lie, and from where a command is given, makes no other
point.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qhyper.errors import ConfigurationError
from qhyper.run.config import Config, read, to_toml
from qhyper.run.directory import RESULT, Run
from qhyper.run.own_code import code_of, file_digest
from qhyper.run.places import SWEEP, absolute_beside, absolute_value, files_of, without_folders
from qhyper.run.points import Point, Points, configured, flat, read_points
from qhyper.run.work import Warn
from qhyper.training.search import is_control

POINTS = "points"
OF_SEEDS = {"seeds", "paid_shots", "max_cost", "max_jobs", "max_cost_per_day", "max_jobs_per_day"}
"""Settings that tell no point from another."""


@dataclass(frozen=True)
class Asked:
    """What a sweep file asks for."""

    base: Mapping[str, Any]
    """values of the configuration that all points share"""
    points: Points
    values: Mapping[str, Any]
    """all that the file says, with absolute paths"""
    file: Path
    """where it is"""

    @property
    def titles(self) -> list[str]:
        """Of its entries, by which keys name them: a point may call them otherwise."""
        entries = self.base.get("entries", [])
        return [str(entry.get("label") or entry.get("name")) for entry in entries]


@dataclass(frozen=True)
class Place:
    """A point of a sweep on the disk."""

    point: Point
    config: Config
    """with the seeds that are asked for now"""
    folder: Path

    def blocks(self) -> list[Run]:
        """Its runs, each with other seeds."""
        return blocks_of(self.folder)


def is_sweep(folder: Path) -> bool:
    """Whether a folder is one of a sweep."""
    return (folder / SWEEP).is_file()


def is_whole(run: Run) -> bool:
    """Whether a run has ended, and all that it has found is there still."""
    entries = run.config.entries or []
    return run.complete and all((run.path / one.folder / RESULT).is_file() for one in entries)


def blocks_of(folder: Path) -> list[Run]:
    """The runs of a point's folder, each with other seeds."""
    found = [Run.open(path.parent) for path in sorted(folder.glob("*/config.toml"))]
    return sorted(found, key=lambda run: run.config.seeds)


def runs_of(sweep: Path) -> Iterator[Run]:
    """Every run of a sweep's folder, those of points that are not asked for any more as well."""
    for path in sorted(sweep.glob(f"{POINTS}/*/*/config.toml")):
        yield Run.open(path.parent)


def read_sweep(file: Path, warn: Warn = print) -> Asked:
    """The sweep of a file.

    Raises MissingError without the file, ConfigurationError for what is none.
    """
    values = absolute_beside(read(file), file, warn)
    if "sweep" not in values:
        raise ConfigurationError(
            f"{file} has no table [sweep]: there is nothing to go over. `qhyper compare --config "
            f"{file}` carries it out once."
        )
    if "tune" in values:
        raise ConfigurationError(
            f"{file} has a table [tune], and a sweep searches nothing: it carries out every point. "
            "Use `qhyper tune`, or leave the table out."
        )
    points = read_points(values["sweep"])
    over = {
        key: [absolute_value(key, value, file, warn) for value in given]
        if isinstance(given, list)
        else given
        for key, given in flat(values["sweep"]["over"])
    }
    values = {**values, "sweep": {**values["sweep"], "over": over}}
    points = read_points(values["sweep"])
    base = {key: value for key, value in values.items() if key != "sweep"}
    given = base.get("entries", [])
    if not isinstance(given, list) or not all(isinstance(each, Mapping) for each in given):
        raise ConfigurationError(
            f"Got entries = {given!r} in {file}; expected tables, each as [[entries]] and name = "
            '"product".'
        )
    for axis in points.axes:
        first = axis.key.partition(".")[0]
        if first in OF_SEEDS | {"sweep"}:
            raise ConfigurationError(
                f"Got {axis.key} in [sweep.over], which makes no other point. Set it beside: more "
                "seeds are worked out for every point."
            )
        if first == "tune":
            raise ConfigurationError(
                f"Got {axis.key} in [sweep.over], and a sweep searches nothing: it carries out "
                "every point. Use `qhyper tune`."
            )
        if first.startswith("entries["):
            raise ConfigurationError(
                f"Got {axis.key} in [sweep.over]; entries go by their titles or numbers from 0, as "
                f"{axis.key.replace('[', '.', 1).replace(']', '', 1)}."
            )
        if first == "entries" and "entries" not in base:
            raise ConfigurationError(
                f"Got {axis.key} in [sweep.over], and {file} has no [[entries]]: say which they "
                'are, each as [[entries]] and name = "product".'
            )
    asked = Asked(base, points, values, file.resolve())
    _check_apart(asked)
    return asked


def places(asked: Asked, folder: Path) -> list[Place]:
    """Every point, checked as a configuration, once.

    Raises ConfigurationError, which names the point, for a key or a value that does not exist.
    """
    found: dict[Path, Place] = {}
    for point in asked.points:
        try:
            config = Config(**configured(asked.base, _spread(asked, point)))
        except ConfigurationError as error:
            raise at_point(point, error) from None
        place = Place(point, config, folder / POINTS / _name(point, config))
        found.setdefault(place.folder, place)
    return list(found.values())


def at_point(point: Point, error: ConfigurationError) -> ConfigurationError:
    """What is raised for an error of a point's configuration."""
    every = next((key for key in point if key.startswith("entries.*.options.")), None)
    advice = "" if every is None else (
        f" {every} sets it for every entry: to set it for one, write its title in the place of "
        "the *."
    )  # fmt: skip
    return ConfigurationError(f"At the point {in_words(point)}: {error}{advice}")


def in_words(point: Point) -> str:
    """A point's settings in short."""
    return ",".join(f"{key.rpartition('.')[2]}={_short(value)}" for key, value in point.items())


def seeds_name(seeds: Sequence[int]) -> str:
    """What a block of seeds is called: seeds-0-9, seeds-3+5+8."""
    parts: list[list[int]] = []
    for seed in sorted(seeds):
        if parts and parts[-1][-1] == seed - 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    words = "+".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)
    if len(words) > 60:
        words = f"{words[:40]}-{hashlib.sha256(words.encode()).hexdigest()[:10]}"
    return f"seeds-{words}"


def numbered(key: str, titles: Sequence[str]) -> tuple[str | None, str]:
    """Which entry a key is of, by its number or `*`, and of what of it; None and all for others."""
    first, _, rest = key.partition(".")
    named, _, setting = rest.partition(".")
    if first != "entries" or not setting:
        return None, key
    return str(titles.index(named)) if named in titles else named, setting


def _spread(asked: Asked, point: Point) -> dict[str, Any]:
    """A point whose keys of entries have their numbers: `entries.*` those of each.

    Controls are not trained, and are left out of settings of training.
    """
    found, titles = {}, asked.titles
    for key, value in point.items():
        number, setting = numbered(key, titles)
        if number is None:
            found[key] = value
        elif number != "*":
            found[f"entries.{number}.{setting}"] = value
        else:
            for nth, entry in enumerate(asked.base.get("entries", [])):
                if not (setting.startswith("training.") and is_control(entry.get("name", ""))):
                    found[f"entries.{nth}.{setting}"] = value
    return found


def _check_apart(asked: Asked) -> None:
    """Raise ConfigurationError if two keys set the same: one would take the other's place."""
    setting: dict[str, str] = {}
    for axis in asked.points.axes:
        for each in _spread(asked, {axis.key: None}):
            for other, by in setting.items():
                if f"{each}.".startswith(f"{other}.") or f"{other}.".startswith(f"{each}."):
                    raise ConfigurationError(
                        f"Got {by} and {axis.key} in [sweep.over], which set the same: {each}. "
                        "Leave one of them out, or name the entries one by one."
                    )
            setting[each] = axis.key


def _name(point: Point, config: Config) -> str:
    """What a point's folder is called: its settings in short, and a digest of all of them."""
    same = config.model_copy(update=dict.fromkeys(OF_SEEDS) | {"seeds": [0]})
    files = [path for path in map(Path, files_of(config)) if path.is_file()]
    contents = [file_digest(path, path.stat().st_mtime_ns) for path in files]
    text = "\n".join([to_toml(without_folders(same)), *contents, *code_of(config).values()])
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return f"{re.sub(r'[^A-Za-z0-9_.=,+-]+', '_', in_words(point))[:60]}-{digest}"


def _short(value: Any) -> Any:
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
