"""What a sweep has found, as tidy rows: read from its folder alone, wherever that lies."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from qhyper.errors import StorageError
from qhyper.report.results import Result
from qhyper.report.summary import Summary
from qhyper.report.tidy import tidy
from qhyper.run.config import OF_PROBLEM
from qhyper.run.directory import SO_FAR, Run
from qhyper.run.points import Point
from qhyper.run.sweep_file import Asked, Place, blocks_of, numbered
from qhyper.storage import storage, write_whole

INDEX = "points.json"


@dataclass(frozen=True)
class Index:
    """The points that a sweep's folder was asked for last."""

    seeds: list[int]
    keys: list[str]
    """of the settings that tell points apart"""
    file: str
    """of the sweep, which asked"""
    titles: list[str]
    """of the entries, by which keys name them: a point may call them otherwise"""
    points: Sequence[tuple[str, Point]]
    """each with its folder in the sweep's"""

    @classmethod
    def of(cls, asked: Asked, places: Sequence[Place], folder: Path, file: Path) -> Self:
        """That of what is asked for, at these places, whose sweep is in `folder`."""
        points = [(place.folder.relative_to(folder).as_posix(), place.point) for place in places]
        keys = [axis.key for axis in asked.points.axes]
        return cls(places[0].config.seeds, keys, str(file), asked.titles, points)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """That of a sweep's folder; StorageError if it has none, or a damaged one."""
        if not (folder / INDEX).is_file():
            raise StorageError(
                f"{folder} has no {INDEX}: no sweep is prepared there yet. `qhyper sweep FILE "
                f"--out {folder}` does it."
            )
        with storage(folder / INDEX):
            text = (folder / INDEX).read_text(encoding="utf-8")
        try:
            found = json.loads(text)
            points = [(at, dict(point)) for at, point in found["points"]]
            return cls(found["seeds"], found["keys"], found["file"], found["titles"], points)
        except (ValueError, LookupError, TypeError) as error:
            raise StorageError(
                f"{folder / INDEX} is damaged: {error}. The sweep's command makes it again."
            ) from error

    def write(self, folder: Path) -> None:
        """Keep it in a sweep's folder."""
        write_whole(folder / INDEX, json.dumps(vars(self), indent=1).encode())


def sweep_rows(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Tidy rows, one a point, entry and seed that is asked for, and their columns point.KEY.

    As far as they are there: of an entry that was given up there are none. Beside the usual
    columns: `point`, its values by key, None for what is no setting of the entry; `path`, its
    folder in the sweep's; `problem`, within which losses compare; and the `warnings` of its run.
    Points that differ in nothing that is an entry's have its rows once. Raises StorageError for a
    folder that is no sweep's, and if a result that was there is lost.
    """
    index = Index.read(folder)
    columns = {f"point.{key}": key for key in index.keys}
    rows = [
        {**row, **{column: row["point"][key] for column, key in columns.items()}}
        for row in _rows(folder, index)
    ]
    return rows, list(columns)


def _rows(folder: Path, index: Index) -> Iterator[dict[str, Any]]:
    seen = set[tuple[Any, ...]]()
    for path, point in index.points:
        for run in blocks_of(folder / path):
            summary = run.read_summary() or run.read_summary(SO_FAR)
            if summary is None:
                continue
            numbers = {each.title: str(n) for n, each in enumerate(run.config.entries or [])}
            for row in tidy(summary, _results(run, summary), run=str(run.path.resolve())):
                own = _own(point, row, numbers[row["entry"]], index.titles)
                key = (repr(own), row["entry"], row["seed"])
                if row["seed"] in index.seeds and key not in seen:
                    seen.add(key)
                    about = {"path": path, "problem": _problem(row, own)}
                    yield {**row, **about, "point": own, "warnings": summary.warnings}


def _results(run: Run, summary: Summary) -> list[Result]:
    """Of the entries that were done when it was written."""
    names, found = {each.name for each in summary.generators}, []
    for entry in run.config.entries or []:
        if entry.title in names:
            if (result := run.read_result(entry.folder)) is None:
                raise StorageError(
                    f"{run.path} has lost the result.json of '{entry.title}'. Put it back, or the "
                    "sweep's command works it out again."
                )
            found.append(result)
    return found


def _problem(row: Mapping[str, Any], own: Point) -> str:
    """What a point is about, in words."""
    words = [row["data"], row["network"], row["loss"]]
    settings = {key: value for key, value in own.items() if key.partition(".")[0] in OF_PROBLEM}
    return ", ".join([*words, *(f"{key} {value}" for key, value in settings.items())])


def _own(
    point: Point, row: Mapping[str, Any], number: str, titles: Sequence[str]
) -> dict[str, Any]:
    """A point's values; None for a setting of other entries than that of this number."""
    own = {}
    for key, value in point.items():
        of, setting = numbered(key, titles)
        trains = of is not None and setting.startswith("training.") and row["kind"] == "control"
        own[key] = None if of not in (None, "*", number) or trains else value
    return own
