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
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from qhyper.errors import ConfigurationError, QhyperError, StorageError
from qhyper.report.export import as_csv
from qhyper.report.sweep_page import sweep_page
from qhyper.report.sweep_summary import summarise_points
from qhyper.report.tidy import tidy
from qhyper.run.cluster import Cluster
from qhyper.run.comparison import CERTIFICATE, Plan, check_same_versions, finish, plan, stored
from qhyper.run.config import COMPARED, Config, read, to_toml
from qhyper.run.directory import Run, identity, provenance
from qhyper.run.lock import FILE as LOCK
from qhyper.run.lock import alone
from qhyper.run.places import beside
from qhyper.run.points import Point, Points, configured, read_points
from qhyper.run.processes import Processes
from qhyper.run.trials import Where, from_text, problem_of, problem_text, task_of, together
from qhyper.run.work import Executor, Failure, Progress, Stop, Task, Warn, carry_out
from qhyper.storage import storage, write_whole
from qhyper.training.search import is_control

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


def prepare(
    asked: Asked,
    folder: Path,
    *,
    progress: Progress,
    warn: Warn,
) -> tuple[list[Place], list[Plan], list[Run]]:
    """(every point, plans and runs of what is not complete), after run directories are made for it.

    Nothing is made before every point has been checked. Raises StorageError if the folder holds
    what other versions made.
    """
    all_places = places(asked, folder)
    new: list[tuple[Place, Plan]] = []
    plans, runs = [], []
    versions, about = identity(), provenance([])
    for number, place in enumerate(all_places, 1):
        blocks = place.blocks()
        for run in blocks:
            if not run.complete:
                check_same_versions(run, versions)
                config = run.found_config
                plans.append(plan(config, warn, problem=problem_of(config)))
                runs.append(run)
        there = {seed for run in blocks for seed in run.config.seeds}
        missing = [seed for seed in place.config.seeds if seed not in there]
        if missing:
            for run in blocks[:1]:
                check_same_versions(run, versions)
            config = place.config.model_copy(update={"seeds": missing})
            made = plan(config, warn, problem=problem_of(config))
            if any(trial.paid for trial in made.trials):
                raise ConfigurationError(
                    f"At the point {_words(place.point)}, an entry sends jobs to a quantum "
                    "computer. A sweep sends none: use `qhyper compare`."
                )
            new.append((place, made))
        progress("points checked", number, len(all_places))
    write_whole(folder / FILE, tomli_w.dumps(asked.values).encode())
    for place, made in new:
        path = place.folder / _seeds_name(made.config.seeds)
        runs.append(Run.make(path, made.config, about))
        plans.append(made)
    return all_places, plans, runs


def carry_out_sweep(
    asked: Asked,
    folder: Path,
    where: Where,
    *,
    stop: Stop = lambda: False,
    progress: Progress = lambda title, spent, total: None,
    warn: Warn = print,
) -> list[Place]:
    """Work out whatever `folder` does not hold yet; every point.

    Raises Interrupted once `stop` returns true, after checkpoints; ConfigurationError before
    anything runs; and, when all others are done, QhyperError for entries that were given up.
    """
    told: dict[str, Any] = {"progress": progress, "warn": warn}
    _check_folder(folder)
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        found, plans, runs = prepare(asked, folder, **told)
        tasks = [task for run in runs for task in tasks_of(run) if not task.done]
        for task in tasks:
            task.retry()
        failures, made = [], _executor(plans, where, **told)
        for done, ended in enumerate(carry_out(tasks, from_text, made, stop=stop), 1):
            progress("trials", done, len(tasks))
            if isinstance(ended, Failure):
                warn(f"{ended.task.name} was given up: {ended.reason}. The others go on.")
                failures.append(ended)
        for run, of_run in zip(runs, plans, strict=True):
            if all(task.done for task in tasks_of(run)):
                _finish(folder, run, of_run, **told)
    if failures:
        raise QhyperError(
            f"{len(failures)} of {len(tasks)} trials were given up, the first: "
            f"{failures[0].task.name}: {failures[0].reason}. The same command tries them again."
        )
    return found


def results(found: Sequence[Place], folder: Path) -> list[dict[str, Any]]:
    """Tidy rows, one a point, entry and seed that is asked for now, as far as they are there.

    Beside the usual columns: `point`, its values by key, and `path`, its folder in the sweep's.
    """
    rows = []
    for place in found:
        wanted, path = set(place.config.seeds), place.folder.relative_to(folder).as_posix()
        titles = [entry.title for entry in place.config.entries or []]
        for run in place.blocks():
            if run.complete:
                outcome = stored(run)
                own = tidy(outcome.summary, outcome.results, run=str(run.path))
                rows += [
                    row | {"path": path, "point": _own(place.point, row, titles)}
                    for row in own
                    if row["seed"] in wanted
                ]
    return rows


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


def write_results(asked: Asked, found: Sequence[Place], folder: Path, command: str) -> None:
    """Write results.csv, with a column point.KEY for each key, and sweep.html."""
    rows = results(found, folder)
    keys = [axis.key for axis in asked.points.axes]
    of_keys = [row | {f"point.{key}": row["point"][key] for key in keys} for row in rows]
    columns = [f"point.{key}" for key in keys]
    write_whole(folder / "results.csv", as_csv(of_keys, columns).encode())
    shown = sweep_page(
        summarise_points(rows), title=f"Sweep {folder.name}", asked=asked.values, command=command
    )
    write_whole(folder / "sweep.html", shown.encode())


def help_with_sweep(
    folder: Path,
    processes: int,
    *,
    stop: Stop,
    progress: Progress,
    warn: Warn,
) -> bool:
    """Carry out trials of a sweep that no other process has claimed: whether all are done."""
    runs = [Run.open(path.parent) for path in sorted(folder.glob(f"{POINTS}/*/*/config.toml"))]
    here = identity()
    for run in runs:
        check_same_versions(run, here)
    tasks = [task for run in runs for task in tasks_of(run) if not task.done]
    made = Processes(processes, progress=lambda *told: None, warn=warn)
    for done, ended in enumerate(carry_out(tasks, from_text, made, stop=stop), 1):
        progress("trials", done, len(tasks))
        if isinstance(ended, Failure):
            warn(f"{ended.task.name} was given up: {ended.reason}. The others go on.")
    return all(task.done for task in tasks)


def tasks_of(run: Run) -> list[Task]:
    """The entries of a point's run, as tasks that any process can carry out."""
    text, name = to_toml(run.config), f"{run.path.parent.name} {run.path.name}"
    return [
        task_of(run, entry, text, f"{name} {entry.title}") for entry in run.config.entries or []
    ]


def _executor(plans: Sequence[Plan], where: Where, *, progress: Progress, warn: Warn) -> Executor:
    """Always other processes: what a trial does to its own is not to end the sweep."""
    quiet: Progress = lambda *told: None  # noqa: E731 (of one trial among thousands)
    if where.scheduler is not None:
        return Cluster(where.scheduler, progress=quiet, warn=warn)
    trials = [trial for made in plans for trial in made.trials]
    at_once = together(trials, plans[0].config, where.processes) if plans else 1
    return Processes(at_once, progress=quiet, warn=warn)


def _finish(folder: Path, run: Run, made: Plan, *, progress: Progress, warn: Warn) -> None:
    """Sum a point up, with the certificate that others of the same problem have."""
    digest = hashlib.sha256(problem_text(run.config).encode()).hexdigest()[:16]
    shared = folder / "certificates" / f"{digest}.json"
    temperature = run.config.temperature
    if shared.is_file() and _temperature(shared) == temperature:
        write_whole(run.path / CERTIFICATE, shared.read_bytes())
    finish(run, made, progress=progress, warn=warn)
    if not shared.is_file() and (run.path / CERTIFICATE).is_file():
        shared.parent.mkdir(exist_ok=True)
        write_whole(shared, (run.path / CERTIFICATE).read_bytes())


def _temperature(certificate: Path) -> float:
    """Of a stored certificate's log Z."""
    return json.loads(certificate.read_text(encoding="utf-8"))["certificate"]["temperature"]


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
    about = config.model_dump(mode="json", exclude=OF_SEEDS)
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:10]
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
