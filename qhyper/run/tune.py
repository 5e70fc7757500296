"""Tuning: every entry searches its own settings, on seeds of its own, within the same budget.

A comparison whose settings were found by hand may be one of efforts (Bowles et al. 2024,
arXiv:2403.07059). Here each setting that is tried is a training or search at the comparison's own
budget, since a good learning rate depends on how many steps there are; so a budget is a number of
settings, the same for every entry. They are measured by the mean of the final losses over the
tuning seeds, which are replicas of one training.

In a run, `tuning/<entry>/` has one line in tried.jsonl for each setting that was tried, and
search.json once all are. The next setting depends on those before alone: a search that is resumed
ends as if it never had been interrupted.
"""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qhyper import registry
from qhyper.errors import ConfigurationError, MissingError, unknown
from qhyper.report.tuning import Searches, Tuned
from qhyper.run.cluster import Cluster
from qhyper.run.config import Config, Entry, to_toml
from qhyper.run.named import check_named
from qhyper.run.problem import Problem
from qhyper.run.processes import Processes, executor
from qhyper.run.trials import Where, error_of, problem_of, together
from qhyper.run.work import Executor, Failure, Progress, Stop, Task, Warn, Work, carry_out
from qhyper.spending import Budget, Spending
from qhyper.storage import restored, storage, write_whole
from qhyper.streams import Streams
from qhyper.training.search import is_control
from qhyper.training.space import TRAINED, Range, Space, Tuning

if TYPE_CHECKING:  # torch takes its time: what can be refused without it is
    from qhyper.run.trial import Trial

FOLDER = "tuning"
"""Of all searches, in the run directory."""
TRIED, SEARCH = "tried.jsonl", "search.json"
"""Of one search, in its folder."""
SETTINGS = 20
"""How many settings each entry tries unless told."""

Settings = Mapping[str, Any]
"""Values by name: "options.p", "training.learning_rate"."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A setting that was tried."""

    settings: Settings
    loss: float | None
    """the mean of the next; None where it could not be trained"""
    losses: Sequence[float] | None
    """[seed]: final mean loss"""
    spent: Spending
    """by all seeds together; of what failed, all that it could have spent"""
    error: str | None = None


# -- before anything runs --------------------------------------------------------------------------


def checked(config: Config, trials: "Sequence[Trial]") -> Config:
    """The configuration of a comparison with the budget of the searches in full.

    Raises MissingError without Optuna; ConfigurationError for a budget below one start, for
    settings that there are not, where there is nothing to search, and for quantum computers.
    """
    tuning = config.tune
    assert tuning is not None
    if not tuning.limits:
        each = _each(tuning, config.budget)
        limits = {unit: SETTINGS * limit for unit, limit in each.items()}
        tuning = tuning.model_copy(update=limits)
    n_settings(tuning, config.budget)
    entries = [trial.entry for trial in trials]
    titles = [entry.title for entry in entries]
    for title in tuning.space:
        if title not in titles:
            raise unknown("entry in the search space", title, titles)
    spaces = [space_of(entry, tuning).ranges for entry in entries]
    if not any(spaces):
        raise ConfigurationError(
            f"There is nothing to search: {', '.join(titles)} have no settings with ranges. Give "
            "them some, such as [tune.space.NAME.options] p = {low = 0.01, high = 0.5} in the "
            "configuration file, or compare them as they stand: qhyper compare."
        )
    for entry, ranges in zip(entries, spaces, strict=True):
        check_named([with_settings(entry, {key: r.first for key, r in ranges.items()})])
    for trial in trials:
        if trial.paid:
            raise ConfigurationError(
                f"{trial.entry.title} would send all settings that it tries to {trial.backend}. "
                "Search on a simulator, and compare with what was found there."
            )
    _optuna()
    return config.model_copy(update={"tune": tuning})


def n_settings(tuning: Tuning, budget: Budget) -> int:
    """How many settings each entry tries: each may spend `budget` on every tuning seed.

    Raises ConfigurationError if that is none, or if the limits are not in the budget's units.
    """
    each = _each(tuning, budget)
    strange = sorted(set(tuning.limits) - set(each))
    if strange:
        raise ConfigurationError(
            f"Got a search budget in {' and '.join(strange)}, and for the comparison one of "
            f"{budget}. Give both in the same units."
        )
    fitting = min(limit // each[unit] for unit, limit in tuning.limits.items())
    if fitting < 1:
        unit = min(tuning.limits, key=lambda unit: tuning.limits[unit] // each[unit])
        seeds = len(tuning.seeds)
        raise ConfigurationError(
            f"Got a search budget of {tuning.limits[unit]:,} {unit} for each entry, and one start "
            f"takes {each[unit]:,}: {getattr(budget, unit):,} for each of {seeds} tuning "
            f"seed{'s' * (seeds > 1)}. Raise --tuning-{unit} (tune.{unit}), take fewer "
            "--tuning-seeds, or lower the budget of the comparison."
        )
    return fitting


def outlook(config: Config) -> dict[str, str]:
    """What each entry's search would spend, in words; nothing where nothing is searched."""
    tuning = config.tune
    if tuning is None:
        return {}
    settings, seeds = n_settings(tuning, config.budget), len(tuning.seeds)
    return {
        "budget of its search": " and ".join(f"{n:,} {unit}" for unit, n in tuning.limits.items()),
        "settings that it tries": f"{settings:,}, each on {seeds} tuning seed{'s' * (seeds > 1)}",
    }


def _each(tuning: Tuning, budget: Budget) -> dict[str, int]:
    """What one setting may spend, all tuning seeds together."""
    return {unit: limit * len(tuning.seeds) for unit, limit in budget.limits().items()}


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingError(
            "To search settings needs Optuna, which is not installed: pip install 'qhyper[tune]'."
        ) from error
    return optuna


# -- spaces ----------------------------------------------------------------------------------------


def space_of(entry: Entry, tuning: Tuning) -> Space:
    """What the search of an entry may choose: what it was given, or else what is usual.

    Options that have ranges in the attribute `tuned` of the class of a generator, a control or an
    estimator, and for what is trained the settings of `TRAINED`.
    """
    if entry.title in tuning.space:
        return tuning.space[entry.title]
    if is_control(entry.name):
        return Space(options=_declared("control", entry.name))
    estimator = entry.training.get("estimator", "score-function")
    of_estimator = _declared("estimator", estimator)
    training = {f"estimator_options.{key}": of_one for key, of_one in of_estimator.items()}
    options = _declared("generator", entry.name)
    return Space(options=options, training={**TRAINED.training, **training})


def _declared(kind: str, name: str) -> dict[str, Range]:
    made = registry.find(kind, name)
    fixed = getattr(made, "keywords", {})
    ranges = getattr(getattr(made, "func", made), "tuned", {})
    return {key: of_one for key, of_one in ranges.items() if key not in fixed}


def with_settings(entry: Entry, settings: Settings) -> Entry:
    """The entry with other values of some settings; ConfigurationError for bad ones."""
    values = entry.model_dump()
    for name, value in settings.items():
        *tables, last = name.split(".")
        at = values
        for table in tables:
            at = at.setdefault(table, {})
        at[last] = value
    return Entry(**values)


def _settings_of(entry: Entry, names: Iterable[str]) -> Settings:
    """The values that an entry has of these settings, as far as it or its class says them."""
    found = {}
    kind = "control" if is_control(entry.name) else "generator"
    options = registry.options_of(kind, entry.name, registry.find(kind, entry.name))
    for name in names:
        head, _, option = name.partition(".")
        at: Any = entry.model_dump()
        for part in name.split("."):
            at = at.get(part) if isinstance(at, Mapping) else None
        if at is None and head == "options" and option in options:
            at = options[option].default
        if isinstance(at, bool | int | float | str):
            found[name] = at
    return found


# -- one search ------------------------------------------------------------------------------------


def proposed(
    ranges: Mapping[str, Range], tried: Sequence[Tried], *, sampler: str, seed: int
) -> Settings:
    """The settings to try next: a function of those that were tried, and of the seed, alone.

    What could not be trained counts as worse than all else.
    """
    optuna = _optuna()
    kinds = {key: _distribution(optuna, of_one) for key, of_one in ranges.items()}
    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    rng = Streams([seed])(len(tried), "search")[0]
    said = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a study is made each time
    try:
        study = optuna.create_study(sampler=samplers[sampler](seed=int(rng.integers(2**31))))
    finally:
        optuna.logging.set_verbosity(said)
    for one in tried:
        held = {k: v for k, v in one.settings.items() if k in ranges and ranges[k].holds(v)}
        if len(held) == len(ranges):  # else it is the entry as it stood, elsewhere
            loss = float("inf") if one.loss is None else one.loss
            study.add_trial(optuna.trial.create_trial(params=held, distributions=kinds, value=loss))
    found = study.ask(kinds).params
    return {key: of_one.rounded(found[key]) for key, of_one in ranges.items()}


def _distribution(optuna: Any, of_one: Range) -> Any:
    kinds = optuna.distributions
    if of_one.choices is not None:
        return kinds.CategoricalDistribution(of_one.choices)
    kind = kinds.IntDistribution if of_one.whole else kinds.FloatDistribution
    return kind(of_one.low, of_one.high, log=of_one.log)


def _title(entry: Entry) -> str:
    return f"tuning {entry.title}"


@dataclass(frozen=True)
class Search:
    """Carries out the search of an entry, in this process or in one that was forked from it."""

    config: Config
    problem: Problem

    def __call__(self, task: Task, stop: Stop, progress: Progress, warn: Warn) -> bytes:
        """The settings that were tried, as JSON."""
        tuning = self.config.tune
        assert tuning is not None
        (entry,) = (entry for entry in self.config.entries or [] if _title(entry) == task.name)
        ranges = space_of(entry, tuning).ranges
        settings = n_settings(tuning, self.config.budget) if ranges else 0
        with storage(task.folder):
            task.folder.mkdir(parents=True, exist_ok=True)
        tried = _read(task.folder / TRIED)
        while len(tried) < settings:
            number = len(tried)

            def share(title: str, spent: int, total: int, number: int = number) -> None:
                if spent < total:  # of this setting
                    progress(task.name, number * total + spent, settings * total)

            if number == 0:
                values = _settings_of(entry, ranges)
            else:
                values = proposed(ranges, tried, sampler=tuning.sampler, seed=tuning.seeds[0])
            folder = task.folder / f"setting-{number}"
            tried.append(self._try(with_settings(entry, values), values, folder, stop, share))
            write_whole(task.folder / TRIED, _lines(tried))
            shutil.rmtree(folder, ignore_errors=True)
            progress(task.name, number + 1, settings)
        return json.dumps({"tried": [asdict(one) for one in tried]}).encode()

    def _try(
        self, entry: Entry, settings: Settings, folder: Path, stop: Stop, progress: Progress
    ) -> Tried:
        """Train an entry on the tuning seeds; what cannot be trained is a bad setting."""
        import torch

        from qhyper.run.trial import Trial

        config = self.config
        assert config.tune is not None
        seeds = tuple(config.tune.seeds)
        try:
            trial = Trial(entry, self.problem, seeds, config.budget, device=config.device)
            # that a start has few steps, or the like, is for nobody to mend
            result = trial.execute(folder, stop, progress, lambda words: None)
        except (ConfigurationError, MemoryError, torch.OutOfMemoryError) as error:
            spent = Spending(**_each(config.tune, config.budget))
            words = f"{type(error).__name__}: {error}"
            return Tried(settings=settings, loss=None, losses=None, spent=spent, error=words)
        spent = Spending(**{unit: n * len(seeds) for unit, n in vars(result.spent).items()})
        loss = float(np.mean(result.final_loss))
        if not np.isfinite(loss):
            words = f"the final losses were {', '.join(map(str, result.final_loss))}"
            return Tried(settings=settings, loss=None, losses=None, spent=spent, error=words)
        return Tried(settings=settings, loss=loss, losses=list(result.final_loss), spent=spent)


@dataclass(frozen=True)
class SearchFromText:
    """Carries out searches of a configuration in full, in any process: all is made of the text."""

    config: str
    """in TOML"""

    def __call__(self, task: Task, stop: Stop, progress: Progress, warn: Warn) -> bytes:
        """Build the problem, and carry the search out."""
        return Search(*problem_of(self.config))(task, stop, progress, warn)


def _lines(tried: Sequence[Tried]) -> bytes:
    return "".join(json.dumps(asdict(one)) + "\n" for one in tried).encode()


def _read(path: Path) -> list[Tried]:
    """The settings that were tried; none without the file."""
    if not path.is_file():
        return []
    with storage(path):
        lines = path.read_text(encoding="utf-8").splitlines()
    return [_restored(json.loads(line), str(path)) for line in lines]


def _restored(found: Mapping[str, Any], where: str) -> Tried:
    return restored(Tried, {**found, "spent": restored(Spending, found["spent"], where)}, where)


# -- all searches ----------------------------------------------------------------------------------


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
    assert config.tune is not None
    config = config.model_copy(update={"entries": [trial.entry for trial in trials]})
    tasks = {}
    for trial in trials:
        own = folder / trial.entry.folder
        tasks[Task(_title(trial.entry), own, own / SEARCH)] = trial
    missing = [task for task in tasks if not task.done]
    failures = []
    if missing:
        for task in missing if again else ():
            task.retry()
        work: Work = Search(config, problem)
        slots = together((tasks[task] for task in missing), config, where.processes)
        told: dict[str, Any] = {"progress": progress, "warn": warn}
        if where.scheduler is not None:
            made: Executor = Cluster(where.scheduler, **told)
            work = SearchFromText(to_toml(config))
        elif again:
            made = executor(min(slots, len(missing)), work, stop=stop, **told)
        else:  # a search that kills its worker is not to end who helps
            made = Processes(min(slots, len(missing)), **told)
        for ended in carry_out(missing, work, made, stop=stop):
            if isinstance(ended, Failure):
                warn(f"{ended.task.name} was given up: {ended.reason}. The others go on.")
                failures.append(ended)
    if failures:
        raise error_of(failures, " Carry the run out again, and they are tried again.")
    entries, found = [], []
    for task, trial in tasks.items():
        stored = json.loads(task.result.read_text(encoding="utf-8"))
        tried = [_restored(one, str(task.result)) for one in stored["tried"]]
        outcome = _outcome(trial.entry, tried)
        if tried and outcome.loss is None:
            warn(f"{trial.entry.title} stays as it stands: no setting could be trained. "
                 f"The first one: {tried[0].error}")  # fmt: skip
        found.append(outcome)
        entries.append(with_settings(trial.entry, outcome.found))
    searches = Searches(
        budget=config.tune.limits, settings=n_settings(config.tune, config.budget),
        seeds=config.tune.seeds, sampler=config.tune.sampler, entries=found,
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
