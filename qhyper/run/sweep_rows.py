"""What a sweep has found, as tidy rows: read from its folder alone, wherever that lies."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from qhyper.errors import StorageError
from qhyper.report.tidy import tidy
from qhyper.run.comparison import stored
from qhyper.run.config import OF_PROBLEM
from qhyper.run.points import Point
from qhyper.run.sweep_file import Place, blocks_of
from qhyper.storage import storage, write_whole

INDEX = "points.json"


@dataclass(frozen=True)
class Index:
    """The points that a sweep's folder was asked for last."""

    seeds: list[int]
    keys: list[str]
    """of the settings that tell points apart"""
    points: list[tuple[str, Point]]
    """each with its folder in the sweep's"""

    @classmethod
    def of(cls, places: Sequence[Place], keys: Sequence[str], folder: Path) -> Self:
        """That of these places, whose sweep is in `folder`."""
        points = [(place.folder.relative_to(folder).as_posix(), place.point) for place in places]
        return cls(places[0].config.seeds, list(keys), points)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """That of a sweep's folder; StorageError if it has none, or a damaged one."""
        with storage(folder / INDEX):
            text = (folder / INDEX).read_text(encoding="utf-8")
        try:
            found = json.loads(text)
            return cls(found["seeds"], found["keys"], [(at, dict(p)) for at, p in found["points"]])
        except (ValueError, LookupError, TypeError) as error:
            raise StorageError(
                f"{folder / INDEX} is damaged: {error}. The sweep's command makes it again."
            ) from error

    def write(self, folder: Path) -> None:
        """Keep it in a sweep's folder."""
        write_whole(folder / INDEX, json.dumps(vars(self), indent=1).encode())


def sweep_rows(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Tidy rows, one a point, entry and seed that is asked for, and their columns point.KEY.

    As far as they are there. Beside the usual columns: `point`, its values by key, None for what is
    no setting of the entry; `path`, its folder in the sweep's; `problem`, within which losses
    compare; and the `warnings` of its run. Points that differ in nothing that is an entry's have
    its rows once. Raises StorageError for a folder that is no sweep's.
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
            if not run.complete:
                continue
            outcome = stored(run)
            titles = [entry.title for entry in run.config.entries or []]
            for row in tidy(outcome.summary, outcome.results, run=str(run.path.resolve())):
                own = _own(point, row, titles)
                key = (repr(own), row["entry"], row["seed"])
                if row["seed"] in index.seeds and key not in seen:
                    seen.add(key)
                    about = {"path": path, "problem": _problem(row, own)}
                    yield {**row, **about, "point": own, "warnings": outcome.summary.warnings}


def _problem(row: Mapping[str, Any], own: Point) -> str:
    """What a point is about, in words."""
    words = [row["data"], row["network"], row["loss"]]
    settings = {key: value for key, value in own.items() if key.partition(".")[0] in OF_PROBLEM}
    return ", ".join([*words, *(f"{key} {value}" for key, value in settings.items())])


def _own(point: Point, row: Mapping[str, Any], titles: Sequence[str]) -> dict[str, Any]:
    """A point's values; None for a setting of other entries."""
    number = str(titles.index(row["entry"])) if row["entry"] in titles else ""
    own = {}
    for key, value in point.items():
        first, _, rest = key.partition(".")
        named = "" if first != "entries" else rest.partition(".")[0]
        trains = rest.partition(".")[2].startswith("training.") and row["kind"] == "control"
        others = named and (named not in ("*", number, row["entry"]) or trains)
        own[key] = None if others else value
    return own
