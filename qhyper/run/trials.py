"""The trials of a run as tasks: where each one lives on the disk, and how it is carried out."""

import functools
import json
import socket
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from qhyper.errors import ConfigurationError, QhyperError, StorageError
from qhyper.machine import memory
from qhyper.quantum.cloud.scope import TRAINING
from qhyper.run.cluster import Cluster
from qhyper.run.config import DEFAULT_PAID_SHOTS, OF_PROBLEM, Config, Entry, to_toml
from qhyper.run.directory import RESULT, SECONDS, Run
from qhyper.run.places import files_of
from qhyper.run.problem import Problem, build_problem
from qhyper.run.processes import Here, executor
from qhyper.run.work import Executor, Failure, Progress, Stop, Task, Warn, Work, carry_out
from qhyper.storage import write_whole

if TYPE_CHECKING:  # torch takes its time: what can be refused without it is
    from qhyper.report.results import Result
    from qhyper.run.trial import Trial


def task_of(run: Run, entry: Entry, text: str, digest: str | None, *, before: str = "") -> Task:
    """The task that an entry is in a run.

    `text` is the configuration in full, in TOML, and `digest` that of the problem's data: what any
    process needs. The task's name is the entry's title, with words `before` it.
    """
    folder = run.path.resolve() / entry.folder  # for whoever stands elsewhere
    about = (text, entry.title, digest or "")
    return Task(f"{before}{entry.title}", folder, folder / RESULT, about)


def _stored(trials: "Mapping[str, Trial]", run: Run) -> "list[Result]":
    found = [run.read_result(trial.entry.folder) for trial in trials.values()]
    return [result for result in found if result is not None]


@dataclass(frozen=True)
class Where:
    """Where trials are carried out: at most so many processes of this machine, or a cluster."""

    processes: int = 1
    scheduler: str | None = None
    """address of a scheduler of dask.distributed"""


def results_of(
    config: Config,
    trials: "Iterable[Trial]",
    run: Run | None,
    where: Where,
    *,
    stop: Stop,
    progress: Progress,
    warn: Warn,
) -> "list[Result]":
    """What every trial has measured: stored already, or worked out now, and stored.

    Without a run nothing is kept, and the first error ends all. In a run the others go on; the
    errors are raised at the end, and whoever carries the run out again tries these trials again.

    What sends jobs to quantum computers comes last, one after another in this process: there are
    the ledger and the tokens.
    """
    if run is None:
        with tempfile.TemporaryDirectory(prefix="qhyper-") as folder:
            place = Run(Path(folder), config)
            work = _Prepared(trials, config, None)
            for ended in _carried_out(work, place, where, stop=stop, progress=progress, warn=warn):
                if isinstance(ended, Failure):
                    raise error_of([ended], "")
            return _stored(work.trials, place)
    work, failures = _Prepared(trials, config, run), []
    for ended in _carried_out(work, run, where, stop=stop, progress=progress, warn=warn):
        if isinstance(ended, Failure):
            warn(f"{ended.task.name} was given up: {ended.reason}. The others go on.")
            failures.append(ended)
    if failures:
        raise error_of(failures, f" Go on with: qhyper resume {run.path}")
    return _stored(work.trials, run)


def help_out(
    config: Config,
    trials: "Iterable[Trial]",
    run: Run,
    processes: int,
    *,
    stop: Stop,
    progress: Progress,
    warn: Warn,
) -> bool:
    """Carry out what no other process has claimed, until nothing is left: whether all is done.

    What sends jobs to quantum computers is left to `results_of`, and what was given up is not tried
    again.
    """
    work, text = _Prepared(trials, config, run), to_toml(config)
    tasks = {
        task_of(run, trial.entry, text, trial.problem.digest): trial
        for trial in work.trials.values()
    }
    free = [task for task, trial in tasks.items() if not trial.paid and not task.done]
    told: dict[str, Any] = {"stop": stop, "progress": progress, "warn": warn}
    made = executor_for(
        work, (tasks[task] for task in free), processes=min(processes, max(1, len(free))),
        apart=True, **told,
    )  # fmt: skip
    for ended in carry_out(free, work, made, stop=stop):
        if isinstance(ended, Failure):
            warn(f"{ended.task.name} was given up: {ended.reason}. The others go on.")
    return all(task.done for task in tasks)


def _carried_out(
    work: "_Prepared", place: Run, where: Where, *, stop: Stop, progress: Progress, warn: Warn
) -> Iterator[Task | Failure]:
    """How the tasks ended that `place` does not hold yet."""
    text = "" if work.run is None else to_toml(work.config)
    missing = {
        task_of(place, trial.entry, text, trial.problem.digest if text else None): trial
        for trial in work.trials.values()
    }
    missing = {task: trial for task, trial in missing.items() if not task.done}
    told: dict[str, Any] = {"progress": progress, "warn": warn}
    for paid in (False, True):
        tasks = {task: trial for task, trial in missing.items() if trial.paid == paid}
        if not tasks:
            continue
        for task in tasks:
            task.retry()
        if where.scheduler is not None and not paid:
            cluster = Cluster(where.scheduler, **told)
            yield from carry_out(tasks, from_text, cluster, stop=stop)
            continue
        apart = where.processes > 1 and not paid
        made = executor_for(
            work, tasks.values(), processes=min(where.processes, len(tasks)), apart=apart,
            stop=stop, **told,
        )  # fmt: skip
        yield from carry_out(tasks, work, made, stop=stop)


class _Prepared:
    """Carries out trials that have been built in this process, or in the one it was forked from."""

    def __init__(self, trials: "Iterable[Trial]", config: Config, run: Run | None) -> None:
        self.trials = {trial.entry.title: trial for trial in trials}
        self.config, self.run = config, run

    def __call__(self, task: Task, stop: Stop, progress: Progress, warn: Warn) -> bytes:
        trial = self.trials[task.name]
        with _connected(trial, self.config, self.run, stop, warn):
            return _carry_out(trial, task, stop, progress, warn, keep=self.run is not None)


def from_text(task: Task, stop: Stop, progress: Progress, warn: Warn) -> bytes:
    """Carry out a trial in any process: all is made of the configuration that the task has.

    Raises StorageError if the data are others here than where the task comes from.
    """
    from qhyper.run.trial import Trial

    text, title, digest = task.about
    config = Config(**tomllib.loads(text))
    problem = same_problem_of(config, digest)
    (entry,) = (entry for entry in config.entries or [] if entry.title == title)
    trial = Trial(entry, problem, tuple(config.seeds), config.budget, device=config.device)
    if trial.paid:  # its tokens stay where the ledger is
        raise ConfigurationError(
            f"{title} sends jobs to {trial.backend}, which only the process does that began the "
            "run."
        )
    return _carry_out(trial, task, stop, progress, warn)


def problem_of(config: Config) -> Problem:
    """The problem of a configuration; those of late are kept, since many trials share one.

    A file that has changed since is read again.
    """
    stamps = tuple((path, *_stamp(path)) for path in files_of(config))
    return _problem(problem_text(config), stamps)


def same_problem_of(config: Config, digest: str) -> Problem:
    """The problem of a configuration, whose data have this digest; empty for one without data.

    Raises StorageError for another.
    """
    problem = problem_of(config)
    if digest and problem.digest != digest:
        raise StorageError(
            f"The data '{problem.name}' on {socket.gethostname()} are not those of the run: got "
            f"SHA-256 {problem.digest}, expected {digest}. Put the same data there."
        )
    return problem


def problem_text(config: Config) -> str:
    """What a problem is made of, in TOML: the same for all configurations that share it."""
    about = config.model_dump(include=OF_PROBLEM & config.model_fields_set, exclude_none=True)
    return tomli_w.dumps(about)


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = Path(path).stat()
    except OSError:  # whoever reads it says so
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=4)
def _problem(text: str, stamps: tuple[Any, ...]) -> Problem:
    return build_problem(Config(**tomllib.loads(text)))


def _carry_out(
    trial: "Trial", task: Task, stop: Stop, progress: Progress, warn: Warn, *, keep: bool = True
) -> bytes:
    """The result of a trial as it is stored; checkpoints and the time of steps go to its folder."""
    begun = time.perf_counter()
    result = trial.execute(task.folder if keep else None, stop, progress, warn).to_json()
    seconds = {
        "seconds_per_step": result.pop("seconds_per_step"),
        "seconds": time.perf_counter() - begun,  # since it was last gone on with
    }
    write_whole(task.folder / SECONDS, json.dumps(seconds).encode())
    return json.dumps(result).encode()


def error_of(failures: list[Failure], advice: str) -> Exception:
    """What is raised for trials that were given up: the error itself, where there is but one."""
    errors = [failure.error for failure in failures if failure.error is not None]
    if len(failures) == 1 and errors:
        return errors[0]
    told = "; ".join(f"'{failure.task.name}': {failure.reason}" for failure in failures)
    return QhyperError(f"{len(failures)} of the entries were given up. {told}.{advice}")


def executor_for(
    work: Work,
    trials: "Iterable[Trial]",
    *,
    processes: int,
    apart: bool,
    stop: Stop,
    progress: Progress,
    warn: Warn,
) -> Executor:
    """At most so many workers of this machine: as many as fit in its memory, if all are like these.

    It is this process unless they are to be `apart` from it, so that it outlives what kills one.
    On a GPU it is this process, in which the trials were built there: CUDA does not survive a fork.
    """
    trials = list(trials)
    if not apart or any(trial.device != "cpu" for trial in trials):
        return Here(stop=stop, progress=progress, warn=warn)
    largest = max((trial.bytes for trial in trials), default=0)
    at_once = min(processes, memory() // largest) if largest else processes
    return executor(max(1, at_once), work, stop=stop, progress=progress, warn=warn)


def _connected(
    trial: "Trial", config: Config, run: Run | None, stop: Stop, warn: Warn
) -> AbstractContextManager[Any]:
    """Within, a trial on a quantum computer has its ledger."""
    if not trial.paid:
        return nullcontext()
    if run is None:
        raise ConfigurationError(
            f"{trial.entry.title} sends jobs to {trial.backend}, which need a ledger in a run "
            "directory: pass `run`, or use `qhyper train` or `qhyper compare`."
        )
    allowed = DEFAULT_PAID_SHOTS if config.paid_shots is None else config.paid_shots
    if not trial.backend.service.local:
        warn(f"{trial.entry.title} on {trial.backend}, price of the whole run: {trial.price()}.")
    return trial.backend.connected(
        run.path, run.identity, TRAINING, allowed, caps=config.caps, stop=stop, warn=warn
    )
