"""Which runs and sweeps a folder has, and how far each one is."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qhyper.errors import MissingError, QhyperError
from qhyper.run.config import read
from qhyper.run.directory import RESULT, SUMMARY, Run
from qhyper.run.lease import claimant
from qhyper.run.lock import at_work
from qhyper.run.places import PROVENANCE
from qhyper.run.sweep_file import POINTS, is_sweep
from qhyper.run.sweep_rows import Index
from qhyper.run.work import FAILED, Task

COMPLETE, AT_WORK, GIVEN_UP = "complete", "at work", "given up"
INTERRUPTED, NOT_BEGUN, DAMAGED = "interrupted", "not begun", "damaged"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A run at a glance; None where its files do not tell."""

    path: str
    name: str | None = None
    begun: str | None = None
    """when it was made, as ISO 8601 in UTC"""
    data: str | None = None
    entries: int | None = None
    done: int | None = None
    """entries that are finished"""
    seeds: int | None = None
    state: str
    """complete, at work, given up (an entry is, and nobody is at work), interrupted, not begun, or
    damaged"""
    detail: str | None = None
    """who is at work, which entries were given up and why, or what is damaged; at how many points
    a sweep is complete"""

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        return asdict(self)


def listed(folder: Path) -> list[Listed]:
    """The runs and sweeps of a folder, or the one that it is, in the order of their folders' names.

    Raises MissingError for a folder that is not there. A run that cannot be read is listed as one.
    """
    if not folder.is_dir():
        raise MissingError(
            f"There is no folder {folder}. Runs are in runs/ unless --out said another."
        )
    places = [folder] if _is_one(folder) else sorted(folder.iterdir())
    return [
        _listed_sweep(path) if is_sweep(path) else _listed(path) for path in places if _is_one(path)
    ]


def _is_one(path: Path) -> bool:
    return is_sweep(path) or (path / PROVENANCE).is_file()


def _listed_sweep(path: Path) -> Listed:
    """A sweep, by the files of the points that were asked for last: there may be thousands."""
    try:
        index = Index.read(path)
        points = [path / folder for folder, _ in index.points]
        complete = sum(_done_seeds(point) >= set(index.seeds) for point in points)
    except QhyperError as error:
        return Listed(path=str(path.resolve()), name=path.resolve().name, state=DAMAGED,
                      detail=str(error))  # fmt: skip

    def found(pattern: str) -> Iterator[Path]:
        return (file.parent for point in points for file in sorted(point.glob(pattern)))

    runs = list(found(f"*/{PROVENANCE}"))
    begun = complete or any(each.is_dir() for run in runs for each in run.iterdir())
    who = at_work(path) or next(filter(None, map(claimant, found("*/*/attempt-*"))), None)
    given_up = None
    if points and complete == len(points):
        state = COMPLETE
    elif who:
        state = AT_WORK
    elif (failed := next(found(f"*/*/{FAILED}"), None)) is not None:
        state, own = GIVEN_UP, failed.relative_to(path / POINTS)
        given_up = f"{own}: {_why(Task('', failed, failed / RESULT))}"
    else:
        state = INTERRUPTED if begun else NOT_BEGUN
    first = _listed(runs[0]) if runs else None
    return Listed(
        path=str(path.resolve()), name=path.resolve().name, begun=first.begun if first else None,
        data=first.data if first else None, seeds=len(index.seeds),
        entries=len(index.titles) or (first.entries if first else None),
        state=state, detail=", ".join(
            filter(None, [f"a sweep, {complete} of {len(points)} points", who, given_up])
        ),
    )  # fmt: skip


def _done_seeds(point: Path) -> set[int]:
    """Seeds of a point's complete runs, read without checking all of their settings."""
    found: set[int] = set()
    for file in point.glob(f"*/{SUMMARY}"):
        config = read(file.with_name("config.toml"))
        if len(list(file.parent.glob(f"*/{RESULT}"))) >= len(config["entries"]):  # none is lost
            found |= set(config["seeds"])
    return found


def _listed(path: Path) -> Listed:
    where = str(path.resolve())
    try:
        run = Run.open(path)
        begun = run.read_json(PROVENANCE)
        name, utc = begun.get("name"), begun.get("utc")
    except (QhyperError, AttributeError) as error:
        return Listed(path=where, state=DAMAGED, detail=str(error))
    config = run.config
    tasks = [
        Task(entry.title, path / entry.folder, path / entry.folder / RESULT)
        for entry in config.entries or []
    ]
    done = sum(task.done for task in tasks)
    state, detail = _state(run, tasks)
    without_data = "data" not in config.model_fields_set
    return Listed(
        path=where, name=name, begun=utc,
        data=config.objective or (config.target if without_data else config.data),
        entries=None if config.entries is None else len(tasks), done=done,
        seeds=len(config.seeds), state=state, detail=detail,
    )  # fmt: skip


def _why(task: Task) -> str:
    """Why it was given up, in a line; its file has the traceback."""
    return (task.failure or "").partition(". Its traceback")[0]


def _state(run: Run, tasks: list[Task]) -> tuple[str, str | None]:
    """How far a run is, and what is to be said of that."""
    if run.complete:
        lost = [task.name for task in tasks if not task.done]
        what = f"it has lost the {RESULT} of {', '.join(lost)}"
        return (DAMAGED, what) if lost else (COMPLETE, None)
    busy = {task: who for task in tasks if (who := claimant(task.folder)) and not task.done}
    who = dict.fromkeys(filter(None, [at_work(run.path), *busy.values()]))
    if who:
        return AT_WORK, ", ".join(who)
    failures = [f"{task.name}: {_why(task)}" for task in tasks if task.failure and not task.done]
    if failures:
        return GIVEN_UP, "; ".join(failures)
    begun = any(task.folder.is_dir() for task in tasks)
    return (INTERRUPTED if begun else NOT_BEGUN), None
