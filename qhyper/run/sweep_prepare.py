"""What a sweep's folder does not hold yet: every point checked, then run directories made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from qhyper.errors import ConfigurationError, Interrupted, StorageError
from qhyper.run.comparison import (
    Plan,
    about_data,
    check_same_data,
    check_same_versions,
    plan,
)
from qhyper.run.config import OF_PROBLEM, Config
from qhyper.run.directory import SUMMARY, Run, identity, provenance
from qhyper.run.lock import FILE as LOCK
from qhyper.run.lock import alone
from qhyper.run.own_code import code_of
from qhyper.run.places import SWEEP, absolute
from qhyper.run.sweep_file import (
    Asked,
    Place,
    at_point,
    in_words,
    is_whole,
    places,
    runs_of,
    seeds_name,
)
from qhyper.run.sweep_rows import INDEX, Index
from qhyper.run.sweep_time import Cost, Shapes
from qhyper.run.sweep_trials import alike, done_in, tasks_of
from qhyper.run.trials import problem_of
from qhyper.run.work import Progress, Stop, Warn
from qhyper.storage import storage, write_whole

if TYPE_CHECKING:  # torch takes its time: what can be refused without it is
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
    """that are there and not whole"""
    digests: Mapping[Path, str | None]
    """of the data of all of these, by their folders"""
    trials: "Sequence[Trial]"
    """of the largest, which tell what a trial takes of the machine"""
    shapes: Shapes = field(default_factory=Shapes)
    """of all trials of these, which tell how long they take"""
    costs: Mapping[Path, Mapping[str, Cost]] = field(default_factory=dict)
    """of the trials of a point, by its folder and their titles"""


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
    runs: list[Run] = []
    digests: dict[Path, str | None] = {}
    largest: list[Trial] = []
    shapes, costs = Shapes(), dict[Path, Mapping[str, Cost]]()
    for number, place in enumerate(all_places, 1):
        if stop():
            raise Interrupted("Stopped by a signal.")
        own = place.blocks()
        done = {seed for run in own for seed in run.config.seeds}
        missing = [seed for seed in place.config.seeds if seed not in done]
        unfinished = [run for run in own if not is_whole(run)]
        together = [*_in_blocks(missing, blocks), *(run.config.seeds for run in unfinished)]
        if together:
            seeds = max(together, key=len)
            made = _planned(place, place.config.model_copy(update={"seeds": seeds}), warn)
            if (run := begun.get(_of_problem(made.config))) is not None:
                check_same_data(run, made.problem)
            largest = max(largest, made.trials, key=_bytes)
            costs[place.folder] = shapes.add(made.config, _of_problem(made.config), made.trials)
            more = [
                New(
                    place.folder / seeds_name(block),
                    made.config.model_copy(update={"seeds": block}),
                    about_data(made.problem),
                )
                for block in _in_blocks(missing, blocks)
            ]
            digests |= {each.path: made.problem.digest for each in (*unfinished, *more)}
            runs += unfinished
            new += more
        progress("points checked", number, len(all_places))
    return Prepared(all_places, new, runs, digests, largest, shapes, costs)


def _in_blocks(seeds: Sequence[int], known: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Seeds that are missing, together as they are elsewhere: trials of the same are shared."""
    left, found = list(seeds), []
    for block in known:
        if set(block) <= set(left):
            found.append(list(block))
            left = [seed for seed in left if seed not in block]
    return [*found, left] if left else found


def outlook(
    asked: Asked, folder: Path, *, processes: int, stop: Stop, progress: Progress, warn: Warn
) -> dict[str, Any]:
    """What a sweep would carry out, in numbers; nothing is written.

    The seconds are those of all trials that there are to carry out, by so many `processes`; None
    where that is not known (`qhyper.run.sweep_time`).
    """
    made = missing_of(asked, folder, stop=stop, progress=progress, warn=once(warn))
    shared: dict[str, tuple[Cost | None, int]] = {}
    """how long each trial takes, and its seeds, by its digest"""
    for each in made.new:
        digest, code = made.digests[each.path], code_of(each.config)
        costs = made.costs[each.path.parent]
        for entry in each.config.entries or []:
            cost = costs.get(entry.title), len(each.config.seeds)
            shared[alike(each.config, entry, digest, code)] = cost
    for run in made.runs:
        costs = made.costs[run.path.parent]
        for task, digest in tasks_of(run, made.digests[run.path]).items():
            shared[digest] = costs.get(task.about[1]), len(run.config.seeds)
    for run in runs_of(folder) if shared else ():
        for digest in done_in(run):
            shared.pop(digest, None)
    told: dict[str, Any] = {"stop": stop, "warn": warn}
    seconds = made.shapes.seconds(shared.values(), processes=processes, **told) if shared else 0.0
    return {
        "points": len(made.places),
        "seeds": len(made.places[0].config.seeds),
        "runs to make": len(made.new),
        "runs to end": len(made.runs),
        "trials to carry out": len(shared),
        "estimated seconds": seconds,
    }


def prepare(asked: Asked, folder: Path, *, stop: Stop, progress: Progress, warn: Warn) -> Prepared:
    """Make what is missing of a sweep's folder; nothing is made before all points are checked."""
    made = missing_of(asked, folder, stop=stop, progress=progress, warn=warn)
    Index.of(asked, made.places, folder, _file_of(asked, folder)).write(folder)
    write_whole(folder / SWEEP, tomli_w.dumps(asked.values).encode())
    for run in made.runs:  # of one that has lost a result, or was damaged: it is written again
        with storage(run.path / SUMMARY):
            (run.path / SUMMARY).unlink(missing_ok=True)
    about = provenance([])
    runs = [Run.make(each.path, each.config, about, each.data) for each in made.new]
    runs = [*made.runs, *runs]
    return replace(made, new=[], runs=runs, shapes=Shapes(), costs={})


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
    check_folder(folder)
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        return prepare(asked, folder, stop=stop, progress=progress, warn=once(warn))


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


def largest_trials(runs: Sequence[Run], warn: Warn) -> "list[Trial]":
    """The trials of the run that takes most of the memory."""
    return max((plan(config, warn).trials for config in _sizes(runs)), key=_bytes)


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


def once(warn: Warn) -> Warn:
    """Says the same but once: most of what is to be said of a point is so of all."""
    said = set[str]()

    def told(text: str) -> None:
        if text not in said:
            said.add(text)
            warn(text)

    return told


def check_folder(folder: Path) -> None:
    """Raise StorageError if a folder holds anything but a sweep."""
    with storage(folder):
        found = [path.name for path in folder.iterdir()] if folder.exists() else []
    if SWEEP not in found and not set(found) <= {LOCK, INDEX}:
        raise StorageError(
            f"{folder} holds files that are no sweep ({found[0]}). Choose another folder with "
            "--out."
        )
