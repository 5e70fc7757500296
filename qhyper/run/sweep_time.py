"""How long a sweep takes, about: a moment of every shape of its trials, scaled to all of them.

Trials of one shape differ in their budgets, seeds and learning rates alone. One of them is
measured, and the others take as long for a step of a seed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qhyper.run.config import Config
from qhyper.run.estimate import seconds_of, together
from qhyper.run.own_code import code_of
from qhyper.run.work import Stop, Warn

if TYPE_CHECKING:  # torch takes its time: what can be refused without it is
    from qhyper.run.trial import Trial

MOST_SHAPES = 24
"""That are measured; of a sweep with more of them no time is said."""


@dataclass(frozen=True)
class Cost:
    """What decides how long a trial takes."""

    shape: str
    steps: int
    """of each seed"""


@dataclass
class Shapes:
    """Trials of a sweep, one of each shape: that of most steps, whatever the order of points."""

    trials: "dict[str, Trial]" = field(default_factory=dict)
    own: bool = False
    """whether code of the user's own is among them"""
    too_many: bool = False

    def add(self, config: Config, problem: str, trials: "Sequence[Trial]") -> dict[str, Cost]:
        """The costs of a point's trials by their titles; `problem` is what they work on."""
        self.own = self.own or bool(code_of(config))
        costs = {trial.entry.title: _cost(problem, trial) for trial in trials}
        for trial, cost in zip(trials, costs.values(), strict=True):
            known = self.trials.get(cost.shape)
            if known is None and len(self.trials) == MOST_SHAPES:
                self.too_many = True
            elif known is None or _amount(trial) > _amount(known):
                self.trials[cost.shape] = trial
        return costs

    def seconds(
        self, asked: "Iterable[tuple[Cost | None, int]]", *, processes: int, stop: Stop, warn: Warn
    ) -> float | None:
        """Seconds of trials, each with so many seeds, by so many `processes`; None if unknown."""
        asked = list(asked)
        if self.too_many or any(cost is None for cost, _ in asked):
            return None
        shapes = list(dict.fromkeys(cost.shape for cost, _ in asked if cost is not None))
        trials = [self.trials[shape] for shape in shapes]
        found = seconds_of(trials, processes=processes, own=self.own, stop=stop, warn=warn)
        rates = {
            shape: seconds / _amount(trial)
            for shape, trial, seconds in zip(shapes, trials, found, strict=True)
            if seconds is not None
        }
        if len(rates) < len(shapes):
            return None
        each = [rates[cost.shape] * cost.steps * seeds for cost, seeds in asked if cost is not None]
        return together(sorted(each, reverse=True), processes)


def _cost(problem: str, trial: "Trial") -> Cost:
    entry = trial.entry
    training = {key: value for key, value in entry.training.items() if key != "learning_rate"}
    about = [problem, entry.name, entry.options, training, trial.device]
    if trial.most_seconds is not None:  # its time does not go by steps
        about.append(trial.steps)
    return Cost(repr(about), trial.steps)


def _amount(trial: "Trial") -> int:
    """Steps of all seeds."""
    return trial.steps * len(trial.seeds)
