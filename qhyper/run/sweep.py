"""A sweep: a comparison at every point that is asked for; each is a run that can be opened.

<folder>/
  sweep.toml                what was asked last: a configuration, and the table [sweep]
  points.json               the points of that, each with its folder
  points/<point>/<seeds>/   run directories: a point, with the seeds that were asked for at a time
  certificates/             of each problem, once
  results.csv               one row a seed and entry
  sweep.html

Points go by their settings, and seeds by their numbers: what is asked again is there already, and
more points, more seeds or other settings cost no more than what is new.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from qhyper.errors import ConfigurationError, Interrupted, QhyperError, StorageError
from qhyper.report.export import as_csv
from qhyper.report.sweep_page import sweep_page
from qhyper.report.sweep_summary import summarise_points
from qhyper.run.cluster import Cluster
from qhyper.run.comparison import (
    CERTIFICATE,
    Plan,
    about_data,
    check_same_code,
    check_same_data,
    check_same_versions,
    finish,
    plan,
)
from qhyper.run.config import OF_PROBLEM, Config
from qhyper.run.directory import DATA, Run, identity, provenance
from qhyper.run.lock import FILE as LOCK
from qhyper.run.lock import alone, unless_others
from qhyper.run.own_code import code_of
from qhyper.run.places import SWEEP, absolute, without_folders
from qhyper.run.sweep_file import (
    Asked,
    Place,
    at_point,
    blocks_of,
    in_words,
    places,
    read_sweep,
    runs_of,
    seeds_name,
)
from qhyper.run.sweep_rows import INDEX, Index, sweep_rows
from qhyper.run.sweep_trials import alike, firsts, share, tasks_of
from qhyper.run.trials import Where, executor_for, from_text, problem_of, problem_text
from qhyper.run.work import Executor, Failure, Progress, Stop, Task, Warn, carry_out
from qhyper.storage import storage, write_whole

if TYPE_CHECKING:
    from qhyper.run.trial import Trial


@dataclass(frozen=True)
class New:
    """A run that is not there yet: a point, with seeds that are new of it."""

    path: Path
    config: Config
    data: Mapping[str, Any] | None
    """what its data.json is to hold"""


@dataclass(frozen=True)
class Prepared:
    """What a sweep's folder does not hold yet."""

    places: Sequence[Place]
    new: Sequence[New]
    runs: Sequence[Run]
    """that are there and not complete"""
    digests: Mapping[Path, str | None]
    """of the data of all of these, by their folders"""
    trials: "Sequence[Trial]"
    """of the largest, which tell what a trial takes of the machine"""


def missing_of(
    asked: Asked, folder: Path, *, stop: Stop, progress: Progress, warn: Warn
) -> Prepared:
    """What the folder of a sweep does not hold; nothing is written.

    Every point is checked. Raises StorageError if the folder holds what other versions made, or
    other data did.
    """
    all_places, there = places(asked, folder), list(runs_of(folder))
    for run in there[:1]:
        check_same_versions(run, identity())
    begun = {_of_problem(run.config): run for run in there}
    blocks = sorted({tuple(run.config.seeds) for run in there}, key=len, reverse=True)
    new: list[New] = []
    runs, digests, largest = [], {}, []
    for number, place in enumerate(all_places, 1):
        if stop():
            raise Interrupted("Stopped by a signal.")
        own = place.blocks()
        done = {seed for run in own for seed in run.config.seeds}
        missing = [seed for seed in place.config.seeds if seed not in done]
        unfinished = [run for run in own if not run.complete]
        together = [*_in_blocks(missing, blocks), *(run.config.seeds for run in unfinished)]
        if together:
            seeds = max(together, key=len)
            made = _planned(place, place.config.model_copy(update={"seeds": seeds}), warn)
            if (run := begun.get(_of_problem(made.config))) is not None:
                check_same_data(run, made.problem)
            largest = max(largest, made.trials, key=_bytes)
            for block in _in_blocks(missing, blocks):
                path = place.folder / seeds_name(block)
                config = made.config.model_copy(update={"seeds": block})
                new.append(New(path, config, about_data(made.problem)))
            runs += unfinished
            paths = [run.path for run in unfinished] + [each.path for each in new]
            digests |= {path: made.problem.digest for path in paths if path not in digests}
        progress("points checked", number, len(all_places))
    return Prepared(all_places, new, runs, digests, largest)


def _in_blocks(seeds: Sequence[int], known: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Seeds that are missing, together as they are elsewhere: trials of the same are shared."""
    left, found = list(seeds), []
    for block in known:
        if set(block) <= set(left):
            found.append(list(block))
            left = [seed for seed in left if seed not in block]
    return [*found, left] if left else found


def outlook(
    asked: Asked, folder: Path, *, stop: Stop, progress: Progress, warn: Warn
) -> dict[str, int]:
    """What a sweep would carry out, in numbers; nothing is written."""
    made = missing_of(asked, folder, stop=stop, progress=progress, warn=_once(warn))
    tasks: list[tuple[str, bool]] = []
    for each in made.new:
        digest, code = made.digests[each.path], code_of(each.config)
        tasks += [(alike(each.config, e, digest, code), False) for e in each.config.entries or []]
    for run in made.runs:
        found = tasks_of(run, made.digests[run.path])
        tasks += [(digest, task.done) for task, digest in found.items()]
    shared = {digest for digest, _ in tasks}
    if any(not done for _, done in tasks):
        for run in runs_of(folder):
            found = tasks_of(run, (run.read_json(DATA) or {}).get("sha256"))
            shared -= {digest for task, digest in found.items() if task.done}
    return {
        "points": len(made.places),
        "seeds": len(made.places[0].config.seeds),
        "runs to make": len(made.new),
        "runs to end": len(made.runs),
        "trials to carry out": len(shared),
    }


def prepare(asked: Asked, folder: Path, *, stop: Stop, progress: Progress, warn: Warn) -> Prepared:
    """Make what is missing of a sweep's folder; nothing is made before all points are checked."""
    made = missing_of(asked, folder, stop=stop, progress=progress, warn=warn)
    keys, file = [axis.key for axis in asked.points.axes], _file_of(asked, folder)
    Index.of(made.places, keys, folder, file).write(folder)
    write_whole(folder / SWEEP, tomli_w.dumps(asked.values).encode())
    about = provenance([])
    runs = [Run.make(each.path, each.config, about, each.data) for each in made.new]
    return replace(made, new=[], runs=[*made.runs, *runs])


def _file_of(asked: Asked, folder: Path) -> Path:
    """Whose sweep a folder is; StorageError if it is that of another file."""
    try:
        before = Path(Index.read(folder).file)
    except StorageError:  # it is written anew
        return asked.file
    if asked.file == (folder / SWEEP).resolve():
        return before
    if before != asked.file and before.is_file():
        raise StorageError(
            f"{folder} holds the sweep of {before}, not of {asked.file}. Choose another folder "
            "with --out."
        )
    return asked.file


def make(asked: Asked, folder: Path, *, stop: Stop, progress: Progress, warn: Warn) -> Prepared:
    """Make the folder of a sweep, with a run directory for every point; nothing is carried out.

    Raises StorageError if it holds anything else, or another process is at work on it.
    """
    _check_folder(folder)
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        return prepare(asked, folder, stop=stop, progress=progress, warn=_once(warn))


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
    """Work out whatever `folder` does not hold yet; tidy rows, as `sweep_rows`.

    Writes results.csv and sweep.html, which names the `command` that makes it. Raises Interrupted
    once `stop` returns true, after checkpoints; ConfigurationError before anything runs; and, when
    all others are done and written, QhyperError for trials that were given up.
    """
    told: dict[str, Any] = {"progress": progress, "warn": _once(warn)}
    _check_folder(folder)
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        made = prepare(asked, folder, stop=stop, **told)
        failures, tried = _carry_out(made, folder, where, again=True, stop=stop, **told)
        for run in made.runs:
            _finish(folder, run, **told)
        rows, columns = sweep_rows(folder)
        if rows:
            _write(asked, rows, columns, folder, command)
    if failures:
        said = failures[0].reason.partition(". Its traceback")[0]  # which was told already
        others = f"; the others are in {folder / 'sweep.html'}" if rows else ""
        raise QhyperError(
            f"{len(failures)} of {tried} trials were given up, the first: "
            f"{failures[0].task.name}: {said}. The same command tries them again{others}."
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
    runs = [run for path, _ in Index.read(folder).points for run in blocks_of(folder / path)]
    for run in runs[:1]:
        check_same_versions(run, identity())
    told: dict[str, Any] = {"stop": stop, "progress": progress, "warn": _once(warn)}
    unfinished = [run for run in runs if not run.complete]
    if unfinished:
        digests = {}
        for run in unfinished:
            check_same_code(run)
            problem = problem_of(run.found_config)
            check_same_data(run, problem)
            digests[run.path] = problem.digest
        trials = max((plan(c, warn).trials for c in _sizes(unfinished)), key=_bytes)
        made = Prepared([], [], unfinished, digests, trials)
        failures, _ = _carry_out(made, folder, Where(processes), again=False, **told)
        if failures:
            return None
    file = folder / SWEEP
    command = f"qhyper sweep {file} --out {folder}"
    asked = read_sweep(file, warn)
    return unless_others(
        folder, lambda: carry_out_sweep(asked, folder, Where(), command=command, **told)
    )


def _of_problem(config: Config) -> str:
    """What the problem is made of, whether it was set or is so by default."""
    return repr(config.model_dump(include=OF_PROBLEM))


def _planned(place: Place, config: Config, warn: Warn) -> Plan:
    """The plan of a point; ConfigurationError, which names it, for what cannot work there."""
    try:
        made = plan(config, warn, problem=problem_of(absolute(config)))
    except ConfigurationError as error:
        raise at_point(place.point, error) from None
    if any(trial.paid for trial in made.trials):
        raise ConfigurationError(
            f"At the point {in_words(place.point)}, an entry sends jobs to a quantum computer. A "
            "sweep sends none: use `qhyper compare`."
        )
    return made


def _sizes(runs: Sequence[Run]) -> list[Config]:
    """Configurations of runs, one of all that take the same of the memory."""
    found = {}
    for run in runs:
        config = run.found_config
        entries = [(entry.name, entry.options, entry.training.get("draws"))
                   for entry in config.entries or []]  # fmt: skip
        found.setdefault(repr((_of_problem(config), entries, len(config.seeds))), config)
    return list(found.values())


def _bytes(trials: "Sequence[Trial]") -> int:
    """What the largest of some trials takes of the memory; -1 without any."""
    return max((trial.bytes for trial in trials), default=-1)


def _carry_out(
    made: Prepared, folder: Path, where: Where, *, again: bool, stop: Stop, progress: Progress,
    warn: Warn,
) -> tuple[list[Failure], int]:  # fmt: skip
    """Carry out what is not done: what was given up, of which `warn` has heard, and of how many.

    What was given up before is tried `again`. Of trials that are the same one is carried out.
    """
    all_tasks: dict[Task, str] = {}
    for run in made.runs:
        all_tasks |= tasks_of(run, made.digests[run.path])
    share(all_tasks, runs_of(folder))
    tasks = firsts(all_tasks)
    if not tasks:
        return [], 0
    for task in tasks if again else ():
        task.retry()
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
    share(all_tasks, ())
    return failures, len(tasks)


def _finish(folder: Path, run: Run, *, progress: Progress, warn: Warn) -> None:
    """Sum a point up, with the certificate that others of the same problem have."""
    config = run.found_config
    problem = problem_of(config)
    about = f"{problem_text(without_folders(config))} {problem.digest} {config.temperature}"
    digest = hashlib.sha256(about.encode()).hexdigest()[:16]
    shared = folder / "certificates" / f"{digest}.json"
    if shared.is_file():
        write_whole(run.path / CERTIFICATE, shared.read_bytes())
    finish(run, plan(config, warn, problem=problem), progress=progress, warn=warn)
    if not shared.is_file() and (run.path / CERTIFICATE).is_file():
        shared.parent.mkdir(exist_ok=True)
        write_whole(shared, (run.path / CERTIFICATE).read_bytes())


def _write(
    asked: Asked,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    folder: Path,
    command: str,
) -> None:
    """Write results.csv, with a column point.KEY for each key, and sweep.html."""
    write_whole(folder / "results.csv", as_csv(rows, columns).encode())
    shown = sweep_page(
        summarise_points(rows), title=f"Sweep {folder.name}", asked=asked.values, command=command,
        points=len(Index.read(folder).points),
    )  # fmt: skip
    write_whole(folder / "sweep.html", shown.encode())


def _once(warn: Warn) -> Warn:
    """Says the same but once: most of what is to be said of a point is so of all."""
    said = set[str]()

    def told(text: str) -> None:
        if text not in said:
            said.add(text)
            warn(text)

    return told


def _check_folder(folder: Path) -> None:
    """Raise StorageError if a folder holds anything but a sweep."""
    with storage(folder):
        found = [path.name for path in folder.iterdir()] if folder.exists() else []
    if SWEEP not in found and not set(found) <= {LOCK, INDEX}:
        raise StorageError(
            f"{folder} holds files that are no sweep ({found[0]}). Choose another folder with "
            "--out."
        )
