"""A sweep: a comparison at every point that is asked for; each is a run that can be opened.

Its files::

    <folder>/
      sweep.toml               what was asked last: a configuration, and the table [sweep]
      points.json              the points of that, each with its folder
      points/<point>/<seeds>/  runs: a point, with the seeds that were asked for at a time
      certificates/            of each problem, once
      results.csv              one row a seed and entry
      sweep.html

Points go by their settings, and seeds by their numbers: what is asked again is there already, and
more points, more seeds or other settings cost no more than what is new.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qhyper.errors import QhyperError
from qhyper.report.export import as_csv
from qhyper.report.sweep_page import sweep_page
from qhyper.report.sweep_summary import summarise_points
from qhyper.run.cluster import Cluster
from qhyper.run.comparison import (
    CERTIFICATE,
    check_same_code,
    check_same_data,
    check_same_versions,
    finish,
    plan,
)
from qhyper.run.directory import Run, identity
from qhyper.run.lock import alone, unless_others
from qhyper.run.places import SWEEP, without_folders
from qhyper.run.sweep_file import Asked, blocks_of, is_whole, read_sweep, runs_of
from qhyper.run.sweep_prepare import Prepared, check_folder, largest_trials, once, prepare
from qhyper.run.sweep_rows import Index, sweep_rows
from qhyper.run.sweep_trials import firsts, share, tasks_of
from qhyper.run.trials import Where, executor_for, from_text, problem_of, problem_text
from qhyper.run.work import Executor, Failure, Progress, Stop, Task, Warn, carry_out
from qhyper.storage import storage, write_whole


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
    told: dict[str, Any] = {"progress": progress, "warn": once(warn)}
    check_folder(folder)
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
    told: dict[str, Any] = {"stop": stop, "progress": progress, "warn": once(warn)}
    unfinished = [run for run in runs if not is_whole(run)]
    if unfinished:
        digests = {}
        for run in unfinished:
            check_same_code(run)
            problem = problem_of(run.found_config)
            check_same_data(run, problem)
            digests[run.path] = problem.digest
        trials = largest_trials(unfinished, warn)
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
