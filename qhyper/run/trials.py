"""The trials of a run as tasks: where each one lives on the disk, and how it is carried out."""

import json
import tempfile
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qhyper.errors import ConfigurationError, QhyperError
from qhyper.machine import memory
from qhyper.quantum.cloud.scope import TRAINING
from qhyper.run.config import DEFAULT_PAID_SHOTS, Config
from qhyper.run.directory import RESULT, SECONDS, Run
from qhyper.run.processes import executor
from qhyper.run.work import Failure, Progress, Stop, Task, Warn, carry_out
from qhyper.storage import write_whole

if TYPE_CHECKING:  # torch takes its time: what can be refused without it is
    from qhyper.report.results import Result
    from qhyper.run.trial import Trial


def task_of(run: Run, title: str, folder: str) -> Task:
    """The task that an entry of a run is."""
    path = run.path / folder
    return Task(title, path, path / RESULT)


def results_of(
    config: Config,
    trials: "Iterable[Trial]",
    run: Run | None,
    *,
    stop: Stop,
    progress: Progress,
    warn: Warn,
    processes: int,
) -> "list[Result]":
    """What every trial has measured: stored already, or worked out now, and stored.

    Without a run nothing is kept, and the first error ends all. In a run the others go on; the
    errors are raised at the end, and whoever carries the run out again tries these trials again.
    """
    trials = list(trials)
    if run is None:
        with tempfile.TemporaryDirectory(prefix="qhyper-") as folder:
            kept = Run(Path(folder), config)
            _carry_out(config, trials, kept, None, stop, progress, warn, processes)
            return _stored(trials, kept)
    _carry_out(config, trials, run, run, stop, progress, warn, processes)
    return _stored(trials, run)


def _stored(trials: "list[Trial]", run: Run) -> "list[Result]":
    found = [run.read_result(trial.entry.folder) for trial in trials]
    assert None not in found
    return [result for result in found if result is not None]


def _carry_out(
    config: Config,
    trials: "list[Trial]",
    place: Run,
    run: Run | None,
    stop: Stop,
    progress: Progress,
    warn: Warn,
    processes: int,
) -> None:
    """Work out what `place` does not hold yet.

    What sends jobs to quantum computers comes last, one after another in this process: there are
    the ledger and the tokens.
    """
    by_task = {task_of(place, trial.entry.title, trial.entry.folder): trial for trial in trials}
    missing = {task: trial for task, trial in by_task.items() if not task.done}

    def work(task: Task, stop: Stop, progress: Progress, warn: Warn) -> bytes:
        trial = by_task[task]
        with _connected(trial, config, run, stop, warn):
            return carried_out(trial, task, stop, progress, warn, keep=run is not None)

    failures: list[Failure] = []
    for paid in (False, True):
        tasks = {task: trial for task, trial in missing.items() if trial.paid == paid}
        for task in tasks:
            task.retry()
        together = 1 if paid else _together(tasks.values(), config, processes)
        made = executor(min(together, len(tasks)), work, stop=stop, progress=progress, warn=warn)
        for ended in carry_out(tasks, work, made, stop=stop):
            if isinstance(ended, Failure):
                if run is None:
                    raise _error([ended], "")
                warn(f"{ended.task.name} was given up: {ended.reason}. The others go on.")
                failures.append(ended)
    if failures:
        raise _error(failures, f" Go on with: qhyper resume {place.path}")


def carried_out(
    trial: "Trial", task: Task, stop: Stop, progress: Progress, warn: Warn, *, keep: bool = True
) -> bytes:
    """The result of a trial as it is stored; checkpoints and the time of steps go to its folder."""
    result = trial.execute(task.folder if keep else None, stop, progress, warn).to_json()
    seconds = {"seconds_per_step": result.pop("seconds_per_step")}
    write_whole(task.folder / SECONDS, json.dumps(seconds).encode())
    return json.dumps(result).encode()


def _error(failures: list[Failure], advice: str) -> Exception:
    """What is raised for trials that were given up: the error itself, where there is but one."""
    errors = [failure.error for failure in failures if failure.error is not None]
    if len(failures) == 1 and errors:
        return errors[0]
    told = "; ".join(f"'{failure.task.name}': {failure.reason}" for failure in failures)
    return QhyperError(f"{len(failures)} of the entries were given up. {told}.{advice}")


def _together(trials: "Iterable[Trial]", config: Config, processes: int) -> int:
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
