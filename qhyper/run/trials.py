"""The trials of a run as tasks: where each one lives on the disk, and how it is carried out."""

import functools
import json
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qhyper.errors import ConfigurationError, QhyperError
from qhyper.machine import memory
from qhyper.quantum.cloud.scope import TRAINING
from qhyper.run.cluster import Cluster
from qhyper.run.config import DEFAULT_PAID_SHOTS, Config, to_toml
from qhyper.run.directory import RESULT, SECONDS, Run
from qhyper.run.problem import Problem, build_problem
from qhyper.run.processes import Processes, executor
from qhyper.run.work import Executor, Failure, Progress, Stop, Task, Warn, Work, carry_out
from qhyper.storage import write_whole

if TYPE_CHECKING:  # torch takes its time: what can be refused without it is
    from qhyper.report.results import Result
    from qhyper.run.trial import Trial


def task_of(run: Run, trial: "Trial") -> Task:
    """The task that a trial is in a run."""
    folder = run.path / trial.entry.folder
    return Task(trial.entry.title, folder, folder / RESULT)


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
    work = _Prepared(trials, config, run)
    tasks = {task_of(run, trial): trial for trial in work.trials.values()}
    made = Processes(processes, progress=progress, warn=warn)
    for ended in carry_out([task for task in tasks if not tasks[task].paid], work, made, stop=stop):
        if isinstance(ended, Failure):
            warn(f"{ended.task.name} was given up: {ended.reason}. The others go on.")
    return all(task.done for task in tasks)


def _carried_out(
    work: "_Prepared", place: Run, where: Where, *, stop: Stop, progress: Progress, warn: Warn
) -> Iterator[Task | Failure]:
    """How the tasks ended that `place` does not hold yet."""
    missing = {task_of(place, trial): trial for trial in work.trials.values()}
    missing = {task: trial for task, trial in missing.items() if not task.done}
    told: dict[str, Any] = {"progress": progress, "warn": warn}
    for paid in (False, True):
        tasks = {task: trial for task, trial in missing.items() if trial.paid == paid}
        if not tasks:
            continue
        for task in tasks:
            task.retry()
        elsewhere: Work = work
        if where.scheduler is not None and not paid:
            made: Executor = Cluster(where.scheduler, **told)
            elsewhere = FromText(to_toml(work.config))
        else:
            side_by_side = 1 if paid else together(tasks.values(), work.config, where.processes)
            made = executor(min(side_by_side, len(tasks)), work, stop=stop, **told)
        yield from carry_out(tasks, elsewhere, made, stop=stop)


class _Prepared:
    """Carries out trials that have been built in this process, or in the one it was forked from."""

    def __init__(self, trials: "Iterable[Trial]", config: Config, run: Run | None) -> None:
        self.trials = {trial.entry.title: trial for trial in trials}
        self.config, self.run = config, run

    def __call__(self, task: Task, stop: Stop, progress: Progress, warn: Warn) -> bytes:
        trial = self.trials[task.name]
        with _connected(trial, self.config, self.run, stop, warn):
            return _carry_out(trial, task, stop, progress, warn, keep=self.run is not None)


@dataclass(frozen=True)
class FromText:
    """Carries out trials of a configuration in full, in any process: all is made of the text."""

    config: str
    """in TOML"""

    def __call__(self, task: Task, stop: Stop, progress: Progress, warn: Warn) -> bytes:
        """Build the trial, and carry it out."""
        from qhyper.run.trial import Trial

        config, problem = problem_of(self.config)
        (entry,) = (entry for entry in config.entries or [] if entry.title == task.name)
        trial = Trial(entry, problem, tuple(config.seeds), config.budget, device=config.device)
        if trial.paid:  # its tokens stay where the ledger is
            raise ConfigurationError(
                f"{task.name} sends jobs to {trial.backend}, which only the process does that "
                "began the run."
            )
        return _carry_out(trial, task, stop, progress, warn)


@functools.lru_cache(maxsize=2)
def problem_of(text: str) -> tuple[Config, Problem]:
    """The configuration in TOML that a task is made of, and its problem; kept for the next."""
    config = Config(**tomllib.loads(text))
    return config, build_problem(config)


def _carry_out(
    trial: "Trial", task: Task, stop: Stop, progress: Progress, warn: Warn, *, keep: bool = True
) -> bytes:
    """The result of a trial as it is stored; checkpoints and the time of steps go to its folder."""
    result = trial.execute(task.folder if keep else None, stop, progress, warn).to_json()
    seconds = {"seconds_per_step": result.pop("seconds_per_step")}
    write_whole(task.folder / SECONDS, json.dumps(seconds).encode())
    return json.dumps(result).encode()


def error_of(failures: list[Failure], advice: str) -> Exception:
    """What is raised for trials that were given up: the error itself, where there is but one."""
    errors = [failure.error for failure in failures if failure.error is not None]
    if len(failures) == 1 and errors:
        return errors[0]
    told = "; ".join(f"'{failure.task.name}': {failure.reason}" for failure in failures)
    return QhyperError(f"{len(failures)} of the entries were given up. {told}.{advice}")


def together(trials: "Iterable[Trial]", config: Config, processes: int) -> int:
    """How many of the trials may run side by side: as many as fit in memory, on the CPU alone."""
    if config.device != "cpu":
        return 1
    largest = max((trial.bytes for trial in trials), default=0)
    return processes if not largest else max(1, min(processes, memory() // largest))


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
