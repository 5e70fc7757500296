"""A sweep: a comparison at every point that is asked for; each is a run that can be opened.

<folder>/
  sweep.toml                what was asked last: a configuration, and the table [sweep]
  points/<point>/<seeds>/   run directories: a point, with the seeds that were asked for at a time
  certificates/             of each problem, once
  results.csv               one row a seed and entry
  sweep.html

Points go by their settings, and seeds by their numbers: what is asked again is there already, and
more points, more seeds or other settings cost no more than what is new.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from qhyper.errors import ConfigurationError, Interrupted, QhyperError, StorageError
from qhyper.report.export import as_csv
from qhyper.report.sweep_page import sweep_page
from qhyper.report.sweep_summary import summarise_points
from qhyper.report.tidy import tidy
from qhyper.run.cluster import Cluster
from qhyper.run.comparison import (
    CERTIFICATE,
    Plan,
    check_same_data,
    check_same_versions,
    finish,
    plan,
    stored,
)
from qhyper.run.config import COMPARED, OF_PROBLEM, Config, read, to_toml
from qhyper.run.directory import Run, identity, provenance
from qhyper.run.lock import FILE as LOCK
from qhyper.run.lock import alone, unless_others
from qhyper.run.places import absolute, beside
from qhyper.run.points import Point, Points, configured, read_points
from qhyper.run.trials import Where, executor_for, from_text, problem_of, problem_text, task_of
from qhyper.run.work import Executor, Failure, Progress, Stop, Task, Warn, carry_out
from qhyper.storage import storage, write_whole
from qhyper.training.search import is_control

if TYPE_CHECKING:
    from qhyper.run.trial import Trial

FILE = "sweep.toml"
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
    """all that the file says"""


@dataclass(frozen=True)
class Place:
    """A point of a sweep on the disk."""

    point: Point
    config: Config
    """with the seeds that are asked for now"""
    folder: Path

    def blocks(self) -> list[Run]:
        """Its runs, each with other seeds."""
        found = [Run.open(path.parent) for path in sorted(self.folder.glob("*/config.toml"))]
        return sorted(found, key=lambda run: run.config.seeds)


def is_sweep(folder: Path) -> bool:
    """Whether a folder is one of a sweep."""
    return (folder / FILE).is_file()


def read_sweep(file: Path, warn: Warn = print) -> Asked:
    """The sweep of a file.

    Raises MissingError without the file, ConfigurationError for what is none.
    """
    values = beside(read(file), file, warn)
    if "sweep" not in values:
        raise ConfigurationError(
            f"{file} has no table [sweep]: there is nothing to go over. `qhyper compare --config "
            f"{file}` carries it out once."
        )
    base = {key: value for key, value in values.items() if key != "sweep"}
    if "tune" in values:
        raise ConfigurationError(
            f"{file} has a table [tune], and a sweep searches nothing: it carries out every point. "
            "Use `qhyper tune`, or leave the table out."
        )
    points = read_points(values["sweep"])
    if any(axis.key.startswith("entries.") for axis in points.axes):
        base.setdefault("entries", [{"name": name} for name in COMPARED])
    for axis in points.axes:
        if axis.key.partition(".")[0] in OF_SEEDS | {"sweep"}:
            raise ConfigurationError(
                f"Got {axis.key} in [sweep.over], which makes no other point. Set it beside: more "
                "seeds are worked out for every point."
            )
    return Asked(base, points, values)


def places(asked: Asked, folder: Path) -> list[Place]:
    """Every point, checked as a configuration, once.

    Raises ConfigurationError, which names the point, for a key or a value that does not exist.
    """
    found: dict[Path, Place] = {}
    for point in asked.points:
        try:
            config = Config(**configured(asked.base, _spread(asked.base, point)))
        except ConfigurationError as error:
            raise ConfigurationError(f"At the point {_words(point)}: {error}") from None
        place = Place(point, config, folder / POINTS / _name(point, config))
        found.setdefault(place.folder, place)
    return list(found.values())


@dataclass(frozen=True)
class Prepared:
    """A sweep whose run directories are all there."""

    places: Sequence[Place]
    runs: Sequence[Run]
    """that are not complete"""
    digests: Mapping[Path, str | None]
    """of the data of each of these, by its folder"""
    trials: "Sequence[Trial]"
    """of one of them, which tell what a trial takes of the machine"""


def prepare(asked: Asked, folder: Path, *, stop: Stop, progress: Progress, warn: Warn) -> Prepared:
    """Every point, after run directories are made for what is new.

    Nothing is made before every point has been checked. Raises StorageError if the folder holds
    what other versions made, or other data did.
    """
    all_places, versions = places(asked, folder), identity()
    for path in sorted(folder.glob(f"{POINTS}/*/*/config.toml"))[:1]:
        check_same_versions(Run.open(path.parent), versions)
    new: list[tuple[Path, Config]] = []
    runs, digests, largest = [], {}, []
    for number, place in enumerate(all_places, 1):
        if stop():
            raise Interrupted("Stopped by a signal.")
        blocks = place.blocks()
        there = {seed for run in blocks for seed in run.config.seeds}
        missing = [seed for seed in place.config.seeds if seed not in there]
        unfinished = [run for run in blocks if not run.complete]
        if missing or unfinished:
            config = place.config.model_copy(update={"seeds": missing or [0]})
            made = _planned(place, config, warn)
            for run in blocks:
                check_same_data(run, made.problem)
            digest = made.problem.digest
            digests |= {run.path: digest for run in unfinished}
            runs += unfinished
            largest = max(largest, made.trials, key=_bytes)
            if missing:
                path = place.folder / _seeds_name(missing)
                new.append((path, made.config))
                digests[path] = digest
        progress("points checked", number, len(all_places))
    write_whole(folder / FILE, tomli_w.dumps(asked.values).encode())
    about = provenance([])
    runs += [Run.make(path, config, about) for path, config in new]
    return Prepared(all_places, runs, digests, largest)


def make(asked: Asked, folder: Path, *, stop: Stop, progress: Progress, warn: Warn) -> Prepared:
    """Make the folder of a sweep, with a run directory for every point; nothing is carried out.

    Raises StorageError if it holds anything else, or another process is at work on it.
    """
    _check_folder(folder)
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        return prepare(asked, folder, stop=stop, progress=progress, warn=warn)


def carry_out_sweep(
    asked: Asked,
    folder: Path,
    where: Where,
    *,
    command: str = "qhyper sweep",
    stop: Stop = lambda: False,
    progress: Progress = lambda title, spent, total: None,
    warn: Warn = print,
) -> list[dict[str, Any]]:
    """Work out whatever `folder` does not hold yet; tidy rows of every point, as `rows_of`.

    Writes results.csv and sweep.html, which names the `command` that makes it. Raises Interrupted
    once `stop` returns true, after checkpoints; ConfigurationError before anything runs; and, when
    all others are done and written, QhyperError for trials that were given up.
    """
    told: dict[str, Any] = {"progress": progress, "warn": warn}
    _check_folder(folder)
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        made = prepare(asked, folder, stop=stop, **told)
        tasks = [task for run in made.runs for task in tasks_of(run, made.digests[run.path])]
        missing = [task for task in tasks if not task.done]
        for task in missing:
            task.retry()
        failures = _carry_out(missing, made, where, stop=stop, **told)
        for run in made.runs:
            if all(task.done for task in tasks_of(run, None)):
                _finish(folder, run, **told)
        rows = rows_of(made.places, folder)
        if rows:
            _write(asked, rows, folder, command)
    if failures:
        raise QhyperError(
            f"{len(failures)} of {len(missing)} trials were given up, the first: "
            f"{failures[0].task.name}: {failures[0].reason}. The same command tries them again; "
            f"the others are in {folder / 'sweep.html'}."
        )
    return rows


def help_with_sweep(
    folder: Path, processes: int, *, stop: Stop, progress: Progress, warn: Warn
) -> list[dict[str, Any]] | None:
    """Carry out, beside any other processes, the trials of a sweep that none of them has claimed.

    Returns once nothing is left: what `carry_out_sweep` returns, after writing the same, if all is
    done; None if a trial was given up, or another process is about to write. Raises StorageError
    for other versions or data than the sweep's.
    """
    runs = [Run.open(path.parent) for path in sorted(folder.glob(f"{POINTS}/*/*/config.toml"))]
    for run in runs[:1]:
        check_same_versions(run, identity())
    told: dict[str, Any] = {"stop": stop, "progress": progress, "warn": warn}
    unfinished = [run for run in runs if not run.complete]
    if unfinished:
        made = plan(unfinished[0].found_config, warn)
        digests = {}
        for run in unfinished:
            problem = problem_of(run.found_config)
            check_same_data(run, problem)
            digests[run.path] = problem.digest
        tasks = [task for run in unfinished for task in tasks_of(run, digests[run.path])]
        missing = [task for task in tasks if not task.done]
        about = Prepared([], unfinished, digests, made.trials)
        _carry_out(missing, about, Where(processes), **told)
        if not all(task.done for task in tasks):
            return None
    file = folder / FILE
    command = f"qhyper sweep {file} --out {folder}"
    asked = read_sweep(file, warn)
    return unless_others(
        folder, lambda: carry_out_sweep(asked, folder, Where(), command=command, **told)
    )


def tasks_of(run: Run, digest: str | None) -> list[Task]:
    """The entries of a point's run, as tasks that any process can carry out."""
    text, name = to_toml(run.found_config), f"{run.path.parent.name} {run.path.name} "
    entries = run.config.entries or []
    return [task_of(run, entry, text, digest, before=name) for entry in entries]


def _planned(place: Place, config: Config, warn: Warn) -> Plan:
    """The plan of a point; ConfigurationError, which names it, for what cannot work there."""
    try:
        made = plan(config, warn, problem=problem_of(absolute(config)))
    except ConfigurationError as error:
        raise ConfigurationError(f"At the point {_words(place.point)}: {error}") from None
    if any(trial.paid for trial in made.trials):
        raise ConfigurationError(
            f"At the point {_words(place.point)}, an entry sends jobs to a quantum computer. A "
            "sweep sends none: use `qhyper compare`."
        )
    return made


def _bytes(trials: "Sequence[Trial]") -> int:
    """What the largest of some trials takes of the memory; -1 without any."""
    return max((trial.bytes for trial in trials), default=-1)


def _carry_out(
    tasks: Sequence[Task], made: Prepared, where: Where, *, stop: Stop, progress: Progress,
    warn: Warn,
) -> list[Failure]:  # fmt: skip
    """Carry trials out; those that were given up, of which `warn` has heard."""
    if not tasks:
        return []
    quiet: Progress = lambda *told: None  # noqa: E731 (of one trial among thousands)
    if where.scheduler is not None:
        executor: Executor = Cluster(where.scheduler, progress=quiet, warn=warn)
    else:
        executor = executor_for(
            from_text, made.trials, processes=min(where.processes, len(tasks)), apart=True,
            stop=stop, progress=quiet, warn=warn,
        )  # fmt: skip
    failures = []
    for done, ended in enumerate(carry_out(tasks, from_text, executor, stop=stop), 1):
        progress("trials", done, len(tasks))
        if isinstance(ended, Failure):
            warn(f"{ended.task.name} was given up: {ended.reason}. The others go on.")
            failures.append(ended)
    return failures


def _finish(folder: Path, run: Run, *, progress: Progress, warn: Warn) -> None:
    """Sum a point up, with the certificate that others of the same problem have."""
    config = run.found_config
    problem = problem_of(config)
    about = f"{problem_text(config)} {problem.digest} {config.temperature}"
    digest = hashlib.sha256(about.encode()).hexdigest()[:16]
    shared = folder / "certificates" / f"{digest}.json"
    if shared.is_file():
        write_whole(run.path / CERTIFICATE, shared.read_bytes())
    finish(run, plan(config, warn, problem=problem), progress=progress, warn=warn)
    if not shared.is_file() and (run.path / CERTIFICATE).is_file():
        shared.parent.mkdir(exist_ok=True)
        write_whole(shared, (run.path / CERTIFICATE).read_bytes())


# -- what was found --------------------------------------------------------------------------------


def rows_of(found: Sequence[Place], folder: Path) -> list[dict[str, Any]]:
    """Tidy rows, one a point, entry and seed that is asked for now, as far as they are there.

    Beside the usual columns: `point`, its values by key, None for what is no setting of the entry;
    `path`, its folder in the sweep's; and `problem`, within which losses compare. Points that
    differ in nothing that is an entry's have its rows once.
    """
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for place in found:
        wanted, path = set(place.config.seeds), place.folder.relative_to(folder).as_posix()
        titles = [entry.title for entry in place.config.entries or []]
        for run in place.blocks():
            if not run.complete:
                continue
            outcome = stored(run)
            for row in tidy(outcome.summary, outcome.results, run=str(run.path)):
                own = _own(place.point, row, titles)
                key = (repr(own), row["entry"], row["seed"])
                if row["seed"] in wanted and key not in rows:
                    rows[key] = row | {"path": path, "point": own, "problem": _problem(row, own)}
    return list(rows.values())


def sweep_rows(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Tidy rows of a sweep's folder, as far as they are there, and their columns point.KEY."""
    asked = read_sweep(folder / FILE)
    return _with_columns(rows_of(places(asked, folder), folder), asked)


def _with_columns(
    rows: Sequence[Mapping[str, Any]], asked: Asked
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows with the values of their points in columns, and these."""
    columns = {f"point.{axis.key}": axis.key for axis in asked.points.axes}
    wide = [{**row, **{c: row["point"][key] for c, key in columns.items()}} for row in rows]
    return wide, list(columns)


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


def _write(asked: Asked, rows: Sequence[Mapping[str, Any]], folder: Path, command: str) -> None:
    """Write results.csv, with a column point.KEY for each key, and sweep.html."""
    write_whole(folder / "results.csv", as_csv(*_with_columns(rows, asked)).encode())
    shown = sweep_page(
        summarise_points(rows), title=f"Sweep {folder.name}", asked=asked.values, command=command
    )
    write_whole(folder / "sweep.html", shown.encode())


# -- names -----------------------------------------------------------------------------------------


def _spread(base: Mapping[str, Any], point: Point) -> dict[str, Any]:
    """A point whose keys of all entries, entries.*, are keys of each: of generators, training."""
    found = {}
    for key, value in point.items():
        first, _, rest = key.partition(".*.")
        if first != "entries" or not rest:
            found[key] = value
            continue
        for number, entry in enumerate(base.get("entries", [])):
            if not (rest.startswith("training.") and is_control(entry.get("name", ""))):
                found[f"entries.{number}.{rest}"] = value
    return found


def _name(point: Point, config: Config) -> str:
    """What a point's folder is called: its settings in short, and a digest of all of them."""
    same = config.model_copy(update=dict.fromkeys(OF_SEEDS) | {"seeds": [0]})
    digest = hashlib.sha256(to_toml(absolute(same)).encode()).hexdigest()[:10]
    return f"{re.sub(r'[^A-Za-z0-9_.=,+-]+', '_', _words(point))[:60]}-{digest}"


def _words(point: Point) -> str:
    return ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in point.items())


def _seeds_name(seeds: Sequence[int]) -> str:
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


def _check_folder(folder: Path) -> None:
    """Raise StorageError if a folder holds anything but a sweep."""
    with storage(folder):
        found = [path.name for path in folder.iterdir()] if folder.exists() else []
    if found and FILE not in found and set(found) != {LOCK}:
        raise StorageError(
            f"{folder} holds files that are no sweep ({found[0]}). Choose another folder with "
            "--out."
        )
