"""Tuning: every entry searches its own settings, on seeds of its own, within the same budget.

A comparison whose settings were found by hand may be one of efforts (Bowles et al. 2024,
arXiv:2403.07059). Here each setting that is tried is a training or search at the comparison's own
budget, since a good learning rate depends on how many steps there are; so a budget is a number of
settings, the same for every entry. They are measured by the mean, over the tuning seeds, of the
final losses or of the best ones; the seeds are replicas of one training. The fresh draws by which
generators are measured are outside the budget, as in the comparison.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qhyper.errors import ConfigurationError, unknown
from qhyper.report.tuning import Searches, Tuned
from qhyper.run.cluster import Cluster
from qhyper.run.config import Config, Entry, to_toml
from qhyper.run.named import check_named
from qhyper.run.problem import Problem
from qhyper.run.settings_search import (
    Search,
    SearchFromText,
    Tried,
    load_optuna,
    read_tried,
    title_of,
)
from qhyper.run.spaces import space_of, with_settings
from qhyper.run.trials import Where, error_of, executor_for
from qhyper.run.work import Executor, Failure, Progress, Stop, Task, Warn, Work, carry_out
from qhyper.spending import Spending
from qhyper.training.search import is_control

if TYPE_CHECKING:  # torch takes its time: what can be refused without it is
    from qhyper.run.trial import Trial

FOLDER = "tuning"
"""Of all searches, in the run directory."""
SEARCH = "search.jsonl"
"""In the folder of a search that is over: all that it tried."""
SETTINGS = 20
"""How many settings each entry tries unless told."""


def checked(config: Config, trials: "Sequence[Trial]") -> Config:
    """The configuration of a comparison with the budget of the searches in full.

    Raises MissingError without Optuna; ConfigurationError for a budget below one start, for
    settings that there are not, where there is nothing to search, and for quantum computers.
    """
    tuning = config.tune
    assert tuning is not None
    if not tuning.limits:
        each = tuning.each(config.budget)
        limits = {unit: SETTINGS * limit for unit, limit in each.items()}
        tuning = tuning.model_copy(update=limits)
    tuning.settings(config.budget)
    entries = [trial.entry for trial in trials]
    titles = [entry.title for entry in entries]
    for title in tuning.space:
        if title not in titles:
            raise unknown("entry in the search space", title, titles)
    spaces = [space_of(entry, tuning) for entry in entries]
    if not any(space.ranges for space in spaces):
        raise ConfigurationError(
            f"There is nothing to search: {', '.join(titles)} have no settings with ranges. Give "
            "them some, such as [tune.space.NAME.options] p = {low = 0.01, high = 0.5} in the "
            "configuration file, or compare them as they stand: qhyper compare."
        )
    for entry, space in zip(entries, spaces, strict=True):
        if space.training and is_control(entry.name):
            raise ConfigurationError(
                f"'{entry.title}' is a control: it has no training to search. Give "
                f"[tune.space.{entry.title}.options]."
            )
        some = [{name: value} for name, r in space.ranges.items() for value in r.some]
        check_named(with_settings(entry, settings) for settings in some)
    for trial in trials:
        if trial.paid:
            raise ConfigurationError(
                f"{trial.entry.title} would send all settings that it tries to {trial.backend}. "
                "Search on a simulator, and compare with what was found there."
            )
    load_optuna()
    return config.model_copy(update={"tune": tuning})


def outlook(config: Config) -> dict[str, str]:
    """What each entry's search would spend, in words; nothing where nothing is searched."""
    tuning = config.tune
    if tuning is None:
        return {}
    settings, seeds = tuning.settings(config.budget), len(tuning.seeds)
    return {
        "budget of its search": " and ".join(f"{n:,} {unit}" for unit, n in tuning.limits.items()),
        "settings that it tries": f"{settings:,}, each on {seeds} tuning seed{'s' * (seeds > 1)}",
    }


def trainings(config: Config) -> float:
    """How many times as much as an entry of the comparison its search takes, by seeds."""
    tuning = config.tune
    if tuning is None:
        return 0.0
    return tuning.settings(config.budget) * len(tuning.seeds) / len(config.seeds)


def tuned(
    config: Config,
    problem: Problem,
    trials: "Sequence[Trial]",
    folder: Path,
    where: Where,
    *,
    again: bool = True,
    stop: Stop,
    progress: Progress,
    warn: Warn,
) -> tuple[Config, Searches]:
    """The configuration with the settings that each entry's search found, and what these spent.

    Of settings that are equally good the first one tried is kept, and that is the entry as it
    stands. Searches are kept in `folder`; what is there is not searched again. Those that were
    given up are tried `again`, and what they raise is raised once the others are over.
    """
    tuning = config.tune
    assert tuning is not None
    config = config.model_copy(update={"entries": [trial.entry for trial in trials]})
    tasks = {}
    for trial in trials:
        own = folder / trial.entry.folder
        tasks[Task(title_of(trial.entry), own, own / SEARCH)] = trial
    missing = [task for task in tasks if not task.done]
    failures = []
    if missing:
        for task in missing if again else ():
            task.retry()
        work: Work = Search(config, problem)
        told: dict[str, Any] = {"progress": progress, "warn": warn}
        if where.scheduler is not None:
            made: Executor = Cluster(where.scheduler, **told)
            work = SearchFromText(to_toml(config), problem.digest or "")
        else:
            made = executor_for(
                work, (tasks[task] for task in missing),
                processes=min(where.processes, len(missing)),
                apart=where.processes > 1 or not again, stop=stop, **told,
            )  # fmt: skip
        for ended in carry_out(missing, work, made, stop=stop):
            if isinstance(ended, Failure):
                warn(f"{ended.task.name} was given up: {ended.reason}. The others go on.")
                failures.append(ended)
    if failures:
        raise error_of(failures, " Carry the run out again, and they are tried again.")
    entries, found = [], []
    for task, trial in tasks.items():
        tried = read_tried(task.result)
        outcome = _outcome(trial.entry, tried)
        if tried and outcome.loss is None:
            warn(f"{trial.entry.title} stays as it stands: no setting could be trained. "
                 f"The first one: {tried[0].error}")  # fmt: skip
        found.append(outcome)
        entries.append(with_settings(trial.entry, outcome.found))
    searches = Searches(
        budget=tuning.limits, settings=tuning.settings(config.budget), seeds=tuning.seeds,
        sampler=tuning.sampler, measure=tuning.measure, optuna=load_optuna().__version__,
        entries=found,
    )  # fmt: skip
    return config.model_copy(update={"entries": entries}), searches


def _outcome(entry: Entry, tried: Sequence[Tried]) -> Tuned:
    """What the search of an entry has found and spent."""
    trained = [one for one in tried if one.loss is not None]
    best = min(trained, key=lambda one: one.loss or 0.0, default=None)
    return Tuned(
        name=entry.title,
        settings=len(tried),
        failed=len(tried) - len(trained),
        spent=sum((one.spent for one in tried), Spending()),
        found={} if best is None else best.settings,
        loss=None if best is None else best.loss,
        loss_before=tried[0].loss if tried else None,
    )
