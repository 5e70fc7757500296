"""The search of one entry's settings, step by step: what is tried next, and what it was worth.

The folder of a search has one line in tried.jsonl for each setting that was tried. The next one
depends on those before alone: a search that is resumed ends as if it never had been interrupted.
"""

import json
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qhyper.errors import ConfigurationError, MissingError, StorageError
from qhyper.run.config import Config, Entry
from qhyper.run.problem import Problem
from qhyper.run.spaces import Settings, settings_of, space_of, with_settings
from qhyper.run.trials import same_problem_of
from qhyper.run.work import Progress, Stop, Task, Warn
from qhyper.spending import Spending
from qhyper.storage import restored, storage, write_whole
from qhyper.streams import Streams
from qhyper.training.space import Range

TRIED = "tried.jsonl"
"""In the folder of a search: one line for each setting so far."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A setting that was tried."""

    settings: Settings
    loss: float | None
    """the mean of the next; None where it could not be trained"""
    losses: Sequence[float] | None
    """[seed]: as `Tuning.measure` says"""
    spent: Spending
    """by all seeds together; of what failed, all that it could have spent"""
    error: str | None = None


def load_optuna() -> Any:
    """The package; MissingError without it."""
    try:
        import optuna
    except ImportError as error:
        raise MissingError(
            "To search settings needs Optuna, which is not installed. Install it in the checkout "
            "of qhyper: pip install -c constraints.txt -e '.[tune]'"
        ) from error
    return optuna


def proposed(
    ranges: Mapping[str, Range], tried: Sequence[Tried], *, sampler: str, seed: int
) -> Settings:
    """The settings to try next: a function of those that were tried, and of the seed, alone.

    What could not be trained counts as worse than all else.
    """
    optuna = load_optuna()
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


def title_of(entry: Entry) -> str:
    """What the task of searching an entry's settings is called."""
    return f"tuning {entry.title}"


@dataclass(frozen=True)
class Search:
    """Carries out the search of an entry, in this process or in one that was forked from it."""

    config: Config
    problem: Problem

    def __call__(self, task: Task, stop: Stop, progress: Progress, warn: Warn) -> bytes:
        """The settings that were tried, one JSON object a line."""
        tuning = self.config.tune
        assert tuning is not None
        (entry,) = (entry for entry in self.config.entries or [] if title_of(entry) == task.name)
        ranges = space_of(entry, tuning).ranges
        settings = tuning.settings(self.config.budget) if ranges else 0
        with storage(task.folder):
            task.folder.mkdir(parents=True, exist_ok=True)
        so_far = task.folder / TRIED
        tried = read_tried(so_far) if so_far.is_file() else []
        while len(tried) < settings:
            number = len(tried)

            def share(title: str, spent: int, total: int, number: int = number) -> None:
                if spent < total:  # of this setting
                    progress(task.name, number * total + spent, settings * total)

            if number == 0:
                values = settings_of(entry, ranges)
            else:
                values = proposed(ranges, tried, sampler=tuning.sampler, seed=tuning.seeds[0])
            folder = task.folder / f"setting-{number}"
            tried.append(self._try(entry, values, folder, stop, share))
            write_whole(so_far, _lines(tried))
            shutil.rmtree(folder, ignore_errors=True)
            progress(task.name, number + 1, settings)
        return _lines(tried)

    def _try(
        self, entry: Entry, settings: Settings, folder: Path, stop: Stop, progress: Progress
    ) -> Tried:
        """Train an entry with them on the tuning seeds; what cannot be trained are bad ones."""
        import torch

        from qhyper.run.trial import Trial

        config = self.config
        assert config.tune is not None
        seeds = tuple(config.tune.seeds)
        try:
            entry = with_settings(entry, settings)
            trial = Trial(entry, self.problem, seeds, config.budget, device=config.device)
            # that a start has few steps, or the like, is for nobody to mend
            result = trial.execute(folder, stop, progress, lambda words: None)
        except (ConfigurationError, MemoryError, torch.OutOfMemoryError) as error:
            spent = Spending(**config.tune.each(config.budget))
            words = f"{type(error).__name__}: {error}"
            return Tried(settings=settings, loss=None, losses=None, spent=spent, error=words)
        spent = Spending(**{unit: n * len(seeds) for unit, n in vars(result.spent).items()})
        losses = [float("nan") if x is None else x for x in getattr(result, config.tune.measure)]
        if not np.isfinite(losses).all():
            words = f"its {config.tune.measure} is no number on every seed: {losses}"
            return Tried(settings=settings, loss=None, losses=None, spent=spent, error=words)
        return Tried(settings=settings, loss=float(np.mean(losses)), losses=losses, spent=spent)


@dataclass(frozen=True)
class SearchFromText:
    """Carries out searches of a configuration in full, in any process: all is made of the text."""

    config: str
    """in TOML"""
    digest: str
    """of the problem's data; empty without any"""

    def __call__(self, task: Task, stop: Stop, progress: Progress, warn: Warn) -> bytes:
        """Build the problem, and carry the search out; StorageError if the data are others here."""
        config = Config(**tomllib.loads(self.config))
        return Search(config, same_problem_of(config, self.digest))(task, stop, progress, warn)


def _lines(tried: Sequence[Tried]) -> bytes:
    return "".join(json.dumps(asdict(one)) + "\n" for one in tried).encode()


def read_tried(path: Path) -> list[Tried]:
    """The settings that a file of a search has; StorageError for what is none."""
    with storage(path):
        lines = path.read_bytes().splitlines()
    try:
        found = [json.loads(line) for line in lines]
        parts = [{**one, "spent": restored(Spending, one["spent"], str(path))} for one in found]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise StorageError(
            f"{path} is damaged: {error}. Remove it, and its entry searches again from its start."
        ) from error
    return [restored(Tried, one, str(path)) for one in parts]
