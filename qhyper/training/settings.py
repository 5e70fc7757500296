"""How a generator is trained, and what it may spend: typed, and checked at once."""

from collections.abc import Iterator
from numbers import Integral
from types import NoneType
from typing import Any, ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from qhyper.errors import ConfigurationError, unknown
from qhyper.spending import Budget

BUDGETS = ("evaluations", "shots", "circuits", "rows")
DEFAULT_EVALUATIONS = 300_000
_SHOWN = 400
"""Characters of settings that are printed."""


class Strict(BaseModel):
    """A model whose errors are ours: unknown keys come with the nearest known one."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )
    _name: ClassVar[str]

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise self._translated(error) from None

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What is printed: the settings that are not as they are unless told."""
        for name, field in type(self).model_fields.items():
            if (value := getattr(self, name)) != field.default:
                yield name, value

    def __repr__(self) -> str:
        text = super().__repr__()
        return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 2]}…)"

    def __str__(self) -> str:
        return repr(self)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_is_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        several = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(one, bool) for one in several):
            kinds = _kinds(cls.model_fields[str(info.field_name)].annotation)
            if kinds <= {int, float, NoneType}:
                raise ValueError(f"expected a number, but got {value!r}")
        return value

    @classmethod
    def _translated(cls, error: ValidationError) -> ConfigurationError:
        errors = error.errors()
        first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, ConfigurationError):  # of a model within this one
            return cause
        path = ".".join(str(part) for part in first["loc"])
        if cause is not None:  # one of the validators here
            return ConfigurationError(f"{path or cls._name}: {cause}.")
        if first["type"] == "extra_forbidden":
            return unknown(f"key in the {cls._name}", path, cls.model_fields)
        return ConfigurationError(
            f"{path or cls._name} = {first['input']!r}: {first['msg']}. Mend it in the {cls._name}."
        )


def _kinds(annotation: Any) -> set[Any]:
    """The types that a field may have, also as the items of a list."""
    inner = get_args(annotation)
    return set().union(*map(_kinds, inner)) if inner else {annotation}


class Limits(Strict):
    """A model with the limits of a budget for each seed."""

    evaluations: int | None = Field(default=None, ge=1)
    """objective evaluations"""
    shots: int | None = Field(default=None, ge=1)
    """bitstrings drawn"""
    circuits: int | None = Field(default=None, ge=1)
    """parameter settings sampled or simulated: one a step for the score function"""
    rows: int | None = Field(default=None, ge=1)
    """evaluations times the rows of data that each is scored on"""


class TrainingSettings(Limits):
    """How a generator is trained within its budget, all restarts together.

    The budget is 300,000 evaluations if none is set.

    ConfigurationError for bad settings.
    """

    _name = "training"

    draws: int = Field(default=64, ge=1)
    """shots of each circuit; the score function has one circuit a step"""
    estimator: str = "score-function"
    """a gradient estimator by name, or module:Class"""
    estimator_options: dict[str, Any] = {}
    """of the estimator"""
    risk: str = "expectation"
    """what is minimised, by name, or module:Class"""
    risk_options: dict[str, Any] = {}
    """of the risk"""
    restarts: int = Field(default=1, ge=1)
    """starts that share the budget; the one with the lowest risk at its end is kept"""
    learning_rate: float = Field(default=0.1, gt=0)
    """of the optimizer's first steps; the schedule changes it"""
    optimizer: str = "Adam"
    """a class of torch.optim"""
    optimizer_options: dict[str, Any] = {}
    """arguments of the optimizer"""
    schedule: str = "CosineAnnealingLR"
    """a class of torch.optim.lr_scheduler, `linear` (to 0 within each start) or `constant`; the
    cosine falls to 2 % within each start"""
    schedule_options: dict[str, Any] = {}
    """arguments of the schedule"""
    batch: int | Literal["all"] | None = None
    """rows of a mini-batch, which every step draws anew; all rows, or what suits the data, unless
    told"""
    watch_every: int = Field(default=250, ge=1)
    """steps after which a network is tried on held-out rows, where there are some"""
    minutes: float | None = Field(default=None, gt=0)
    """after which training ends, if the budget is not spent before: with one start alone, and a run
    that cannot be repeated to the bit"""
    checkpoint_every: int = Field(default=500, ge=1)
    """steps"""
    final_draws: int = Field(default=1024, ge=2)
    """fresh draws of the trained generator, outside the budget, for its mean loss"""

    @model_validator(mode="before")
    @classmethod
    def _some_budget(cls, values: Any) -> Any:
        if isinstance(values, dict) and all(values.get(name) is None for name in BUDGETS):
            return {**values, "evaluations": DEFAULT_EVALUATIONS}
        return values

    @field_validator("batch", mode="before")
    @classmethod
    def _whole_rows(cls, batch: Any) -> Any:
        whole = isinstance(batch, Integral) and not isinstance(batch, bool) and int(batch) >= 1
        if batch in (None, "all") or whole:
            return batch if isinstance(batch, str | None) else int(batch)
        raise ValueError(f"expected a whole number of rows, 1 or more, or 'all', but got {batch!r}")

    @model_validator(mode="after")
    def _one_start(self) -> "TrainingSettings":
        if self.minutes is not None and self.schedule not in ("linear", "constant"):
            raise ValueError(
                f"minutes goes with the schedule linear, which has fallen to 0 by then, or "
                f"constant, and not with {self.schedule}"
            )
        if self.minutes is not None and self.restarts > 1:
            raise ValueError(
                f"minutes is for one start, and restarts={self.restarts}: leave one of them out"
            )
        return self

    @property
    def budget(self) -> Budget:
        """What each seed may spend at the most."""
        return Budget(self.evaluations, self.shots, self.circuits, self.rows)
