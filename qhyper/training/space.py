"""Search spaces: what a search of settings may choose from, and what it may spend."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from qhyper.errors import ConfigurationError
from qhyper.spending import Budget
from qhyper.training.settings import BUDGETS, Limits, Strict, TrainingSettings


class Range(Strict):
    """The values that one setting may have: numbers from low to high, or one of several choices.

    Whole numbers, if both ends are. A list stands for its choices.
    """

    _name = "range"

    low: int | float | None = None
    """the least"""
    high: int | float | None = None
    """the most"""
    log: bool = False
    """whether its logarithm is what is spread evenly"""
    choices: list[bool | int | float | str] | None = None
    """two values or more, in place of a range"""

    @model_validator(mode="after")
    def _one_kind(self) -> "Range":
        low, high = self.low, self.high
        if self.choices is not None:
            if low is not None or high is not None or self.log or len(self.choices) < 2:
                raise ValueError(
                    f"got choices = {self.choices} with low = {low}, high = {high} and log = "
                    f"{str(self.log).lower()}; expected two choices or more, and nothing beside"
                )
            if len(set(self.choices)) < len(self.choices):
                raise ValueError(
                    f"got choices = {self.choices}, of which two are equal; expected each once"
                )
        elif low is None or high is None or low >= high or (self.log and low <= 0):
            raise ValueError(
                f"got low = {low} and high = {high}; expected low < high, above 0 with log = true, "
                "such as {low = 0.01, high = 1.0, log = true}, or a list of choices"
            )
        return self

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def some(self) -> list[Any]:
        """Some of them, to see whether all can work: all choices, or the ends and one between."""
        if self.choices is not None:
            return self.choices
        assert self.low is not None
        assert self.high is not None
        between = self.low + 0.37 * (self.high - self.low)
        return [self.low, round(between) if self.whole else self.rounded(between), self.high]

    def holds(self, value: Any) -> bool:
        """Whether a value is one of these."""
        if self.choices is not None:
            return any(value == choice and type(value) is type(choice) for choice in self.choices)
        number = isinstance(value, int if self.whole else int | float)
        if not number or isinstance(value, bool):
            return False
        assert self.low is not None
        assert self.high is not None
        return self.low <= value <= self.high

    def rounded(self, value: Any) -> Any:
        """A value of the range with three significant digits, which can be written down in full."""
        if not isinstance(value, float) or self.choices is not None:
            return value
        assert self.low is not None
        assert self.high is not None
        return min(max(float(f"{value:.3g}"), float(self.low)), float(self.high))


class Space(Strict):
    """The settings of one entry that a search may choose, each with its range.

    A name with dots is one of a table in the table: "estimator_options.eps".
    """

    _name = "search space"

    options: dict[str, Range] = Field(default={})
    """ranges of options, by name"""
    training: dict[str, Range] = Field(default={})
    """ranges of training settings, by name"""

    @field_validator("options", "training", mode="before")
    @classmethod
    def _lists_are_choices(cls, ranges: Any) -> Any:
        if not isinstance(ranges, Mapping):
            return ranges
        return {
            name: {"choices": of_one} if isinstance(of_one, list) else of_one
            for name, of_one in ranges.items()
        }

    @field_validator("training")
    @classmethod
    def _known_settings(cls, training: dict[str, Range]) -> dict[str, Range]:
        for name in training:
            head = name.partition(".")[0]
            if head in BUDGETS or head == "minutes":
                raise ValueError(f"{head} is what a training may spend, the same for all")
            values: list[Any] = training[name].some if head == name else [{}]
            for value in values:
                TrainingSettings(**{head: value})
        return training

    @property
    def ranges(self) -> dict[str, Range]:
        """By name: "options.p", "training.learning_rate"."""
        parts = {"options": self.options, "training": self.training}
        return {
            f"{part}.{name}": of_one
            for part, ranges in parts.items()
            for name, of_one in ranges.items()
        }


TRAINED = Space(
    training={
        "learning_rate": Range(low=0.003, high=3.0, log=True),
        "draws": Range(low=16, high=256, log=True),
        "restarts": Range(low=1, high=32, log=True),
    }
)
"""Of every trained generator unless told: the same, however its recipe was found.

The optimiser is not among them, since to each of them a learning rate means something else.
"""


class Tuning(Limits):
    """How every entry searches its own settings before a comparison: within what, on which seeds.

    The limits are those of the whole search of one entry, all seeds together. Each setting that is
    tried may spend, on every seed, what a seed of the comparison may. ConfigurationError for bad
    settings.
    """

    _name = "tune"

    seeds: list[int] = Field(default=[1000, 1001, 1002], min_length=1)
    """on which settings are tried; none may be one of the comparison"""
    sampler: Literal["tpe", "random"] = "tpe"
    """tree-structured Parzen estimator (Bergstra et al. 2011), or uniform draws"""
    measure: Literal["final_loss", "best_loss"] = "final_loss"
    """what is to be low, in the mean over the seeds: what a trained entry draws, or the best that
    it drew on its way. An entry that is sure of one network early may find fewer of the best"""
    space: dict[str, Space] = Field(default={})
    """by title of an entry, in place of its usual one: learning rate (0.003 to 3), draws (16 to
    256) and restarts (1 to 32) of what is trained, all on a log scale, and the options that its
    class has ranges for in the attribute `tuned`"""

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds) or min(seeds) < 0:
            raise ValueError(f"expected different seeds, from 0 up, but got {seeds}")
        return seeds

    @property
    def limits(self) -> dict[str, int]:
        """The limits that are set, by name."""
        found = {unit: getattr(self, unit) for unit in BUDGETS}
        return {unit: limit for unit, limit in found.items() if limit is not None}

    def each(self, budget: Budget) -> dict[str, int]:
        """What one setting may spend, by name, on all seeds together: `budget` on each."""
        return {unit: limit * len(self.seeds) for unit, limit in budget.limits().items()}

    def settings(self, budget: Budget) -> int:
        """How many settings each entry tries, at what a seed of the comparison may spend.

        Raises ConfigurationError if that is none, or if the limits are not in the budget's units.
        """
        each = self.each(budget)
        strange = sorted(set(self.limits) - set(each))
        if strange:
            raise ConfigurationError(
                f"Got a search budget in {' and '.join(strange)}, and for the comparison one of "
                f"{budget}. Give both in the same units."
            )
        fitting = {unit: limit // each[unit] for unit, limit in self.limits.items()}
        unit = min(fitting, key=lambda unit: fitting[unit])
        if fitting[unit] < 1:
            seeds = f"{len(self.seeds)} tuning seed{'s' * (len(self.seeds) > 1)}"
            raise ConfigurationError(
                f"Got a search budget of {self.limits[unit]:,} {unit} for each entry; one start "
                f"takes {each[unit]:,}: {getattr(budget, unit):,} for each of {seeds}. Raise "
                f"--tuning-{unit} (tune.{unit}), take fewer --tuning-seeds, or lower the budget of "
                "the comparison."
            )
        return fitting[unit]
