"""Typed configuration, to and from TOML."""

import re
import tomllib
from pathlib import Path
from typing import Any, ClassVar

import tomli_w
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from qhyper.errors import ConfigurationError, MissingError, unknown
from qhyper.spending import Budget
from qhyper.targets.loss import check_loss

COMPARED = (
    "product", "quantum-depth2", "quantum-depth4",
    "bernoulli", "categorical", "mlp", "autoregressive",
    "random", "annealing",
)  # fmt: skip
"""What `qhyper compare` compares by default."""

CHOICES = ("biases", "values", "activation", "optional")
"""Settings that go to the target's WeightSpace as they are."""

OF_DATA = {"data", "test", "data_seed", "layers", *CHOICES, "sign_of_zero", "loss"}
"""Settings that have no meaning with an own objective."""

BUDGETS = ("evaluations", "shots", "circuits")
DEFAULT_EVALUATIONS = 300_000
DEFAULT_PAID_SHOTS = 100_000


class _Strict(BaseModel):
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


class _Budgeted(_Strict):
    """A model with a budget for each seed; of 300,000 evaluations if none is set."""

    evaluations: int | None = Field(default=None, ge=1)
    """objective evaluations"""
    shots: int | None = Field(default=None, ge=1)
    """bitstrings drawn"""
    circuits: int | None = Field(default=None, ge=1)
    """parameter settings sampled or simulated: one a step for the score function"""

    @model_validator(mode="before")
    @classmethod
    def _some_budget(cls, values: Any) -> Any:
        if isinstance(values, dict) and all(values.get(name) is None for name in BUDGETS):
            return {**values, "evaluations": DEFAULT_EVALUATIONS}
        return values

    @property
    def budget(self) -> Budget:
        """What each seed may spend at the most."""
        return Budget(self.evaluations, self.shots, self.circuits)


class TrainingSettings(_Budgeted):
    """How a generator is trained within its budget, all restarts together.

    ConfigurationError for bad settings.
    """

    _name = "training"

    draws: int = Field(default=64, ge=1)
    """shots of each circuit; the score function has one circuit a step"""
    estimator: str = "score-function"
    """a gradient estimator by name, or module:Class"""
    estimator_options: dict[str, Any] = {}
    risk: str = "expectation"
    """what is minimised, by name, or module:Class"""
    risk_options: dict[str, Any] = {}
    restarts: int = Field(default=1, ge=1)
    """fresh starts that share the budget; the one with the lowest mean loss is kept"""
    learning_rate: float = Field(default=0.1, gt=0)
    optimizer: str = "Adam"
    """a class of torch.optim"""
    optimizer_options: dict[str, Any] = {}
    schedule: str = "CosineAnnealingLR"
    """a class of torch.optim.lr_scheduler; the cosine falls to 2 % within each start"""
    schedule_options: dict[str, Any] = {}
    checkpoint_every: int = Field(default=500, ge=1)
    """steps"""
    final_draws: int = Field(default=1024, ge=2)
    """fresh draws of the trained generator, outside the budget, for its mean loss"""


class Entry(_Strict):
    """One generator or control, with its options and what differs from its training recipe."""

    _name = "entry"

    name: str
    """a registered name, or module:Class"""
    label: str | None = None
    """what it is called in tables; its name unless told"""
    options: dict[str, Any] = {}
    """arguments of its constructor"""
    training: dict[str, Any] = {}
    """fields of TrainingSettings"""

    @field_validator("training")
    @classmethod
    def _known_settings(cls, training: dict[str, Any]) -> dict[str, Any]:
        for name in BUDGETS:
            if name in training:
                raise ValueError(f"the budget is the whole run's: set `{name}` there")
        TrainingSettings(**training)
        return training

    @property
    def title(self) -> str:
        """What it is called in tables."""
        return self.label or self.name

    @property
    def folder(self) -> str:
        """What its folder in a run directory is called."""
        return re.sub(r"[^\w-]", "_", self.title)


class Config(_Budgeted):
    """A whole run: the problem, and what is tried on it.

    A run directory's `config.toml` has every entry's training in full. ConfigurationError for bad
    settings.
    """

    _name = "configuration"

    data: str = "toy"
    """a data set's name, or a path to .npz or .csv"""
    test: str | None = None
    """a file of test rows, for data that are a path"""
    data_seed: int = 0
    """of generated data, and of the split of data without a test file"""
    layers: list[int] | None = None
    """of the target network; (features, 6, classes) unless told, one output for none"""
    biases: bool | None = None
    """whether its units have biases; this and the next three are as WeightSpace has them"""
    values: list[Any] | None = None
    """pair of numbers that bit 0 and bit 1 of a weight stand for, or a list of such pairs"""
    activation: str | list[str] | None = None
    """of its hidden layers, or a list to choose from"""
    optional: list[str] | None = None
    """what can be left out: biases, units, layers"""
    sign_of_zero: int = Field(default=1, ge=0, le=1)
    loss: str = "cross_entropy"
    objective: str | None = None
    """module:callable from bits [draws, bit] to one loss a draw, in place of data and network"""
    bits: int | None = Field(default=None, ge=1)
    """number of bits of the own objective"""
    seeds: list[int] = Field(default=list(range(10)), min_length=1)
    device: str = "cpu"
    """where generators compute: cpu or cuda"""
    paid_shots: int | None = Field(default=None, ge=0)
    """shots that quantum computers may be sent, by all entries and seeds together; 100,000 unless
    told"""
    temperature: float = Field(default=0.05, gt=0)
    """of the certificate's log Z"""
    entries: list[Entry] | None = Field(default=None, min_length=1)
    """generators and controls; unless told, those of `COMPARED` that the problem admits"""

    @model_validator(mode="after")
    def _one_problem(self) -> "Config":
        ignored = sorted(self.model_fields_set & OF_DATA)
        if self.objective is not None and ignored:
            raise ValueError(
                f"with an own objective, {', '.join(ignored)} would be ignored: leave them out"
            )
        if self.objective is None and self.bits is not None:
            raise ValueError("`bits` is for an own objective: leave it out, or set `objective`")
        return self

    @field_validator("loss")
    @classmethod
    def _known_loss(cls, loss: str) -> str:
        return check_loss(loss)

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds) or min(seeds) < 0:
            raise ValueError(f"expected different seeds, from 0 up, but got {seeds}")
        return seeds

    @field_validator("entries")
    @classmethod
    def _distinct_titles(cls, entries: list[Entry] | None) -> list[Entry] | None:
        if entries is None:
            return None
        titles = [entry.folder for entry in entries]
        for title in titles:
            if titles.count(title) > 1:
                raise ValueError(f"'{title}' stands twice; give each its own `label`")
        return entries


def read(path: Path) -> dict[str, Any]:
    """The values in a TOML file, not yet checked."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingError(f"There is no configuration file {path}. Check the path.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} is not a readable TOML file: {error}.") from error


def to_toml(config: Config) -> str:
    """The resolved configuration as TOML."""
    without = OF_DATA if config.objective is not None else set()
    return tomli_w.dumps(config.model_dump(exclude_none=True, exclude=without))


def assign(values: dict[str, Any], assignment: str) -> None:
    """Set `a.b=value` in nested `values`; the value is read as TOML, or else as text."""
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise ConfigurationError(f"Got '--set {assignment}'; expected --set key=value.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = path.strip().split(".")
    at: Any = values
    for parent in parents:
        if isinstance(at, list) and parent.isdigit() and int(parent) < len(at):
            at = at[int(parent)]
        else:
            at = at.setdefault(parent, {}) if isinstance(at, dict) else None
    if not isinstance(at, dict):
        raise ConfigurationError(
            f"Got '--set {assignment}', but {'.'.join(parents)} is not a table of settings. "
            "Entries are numbered from 0, and have to stand in the configuration file."
        )
    at[last] = value
