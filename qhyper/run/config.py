"""Typed configuration, to and from TOML."""

import codecs
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import Field, field_validator, model_validator

from qhyper.data.scaling import ScaleName
from qhyper.errors import ConfigurationError, MissingError
from qhyper.quantum.cloud.caps import Caps
from qhyper.spending import Budget
from qhyper.targets.loss import check_loss
from qhyper.training.settings import (
    BUDGETS,
    DEFAULT_EVALUATIONS,
    Limits,
    Strict,
    TrainingSettings,
)
from qhyper.training.space import Tuning

COMPARED = (
    "product", "quantum-depth2", "quantum-depth4",
    "bernoulli", "categorical", "mlp", "autoregressive",
    "random", "annealing",
)  # fmt: skip
"""What `qhyper compare` compares by default."""

FULL_SIZE = ("tied-bernoulli", "bernoulli", "product", "random", "elite-evolution")
"""The same, for networks of full size, whose budget is one of rows."""

TARGET_CHOICES = ("biases", "values", "activation", "optional", "sign_of_zero")
"""Settings that are options of the layered target, and stand beside `target_options`."""

DATA_ALONE = {"data", "data_options", "test", "scale", "data_seed", "held_out", "loss"}
"""Settings that have no meaning with a target that needs no data."""

OF_DATA = {*DATA_ALONE, "layers", *TARGET_CHOICES}
"""Settings that have no meaning with an own objective."""

OF_PROBLEM = {*OF_DATA, "target", "target_options", "objective", "bits"}
"""Settings that say what a run is about: the rest says what is tried on it."""

DEFAULT_PAID_SHOTS = 100_000

TAKEN = {
    "samples", "circuits", "submissions", "tuning", "tensorboard", "wandb", "con", "prn", "aux",
    "nul",
} | {f"{device}{number}" for device in ("com", "lpt") for number in range(10)}  # fmt: skip
"""Folders of a run that are no entry's, and names that Windows gives to devices."""


class Entry(Strict):
    """One generator or control, with its options and what differs from its training recipe."""

    _name = "entry"

    name: str
    """a registered name, or module:Class"""
    label: str | None = None
    """what it is called in tables; its name unless told"""
    options: dict[str, Any] = Field(default={})
    """arguments of its constructor"""
    training: dict[str, Any] = Field(default={})
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
        """What its folder in a run directory is called, on every system."""
        name = re.sub(r"[^\w-]", "_", self.title)
        return f"{name}_" if name.casefold() in TAKEN else name


class Config(Limits):
    """A whole run: the problem, and what is tried on it.

    A run directory's `config.toml` has every entry's training in full. ConfigurationError for bad
    settings.
    """

    _name = "configuration"

    data: str = "toy"
    """a data set's name, or a path to .npz, .csv or .tsv"""
    data_options: dict[str, Any] = Field(default={})
    """of a data set, such as size and digits of mnist, or label, drop and missing of a table"""
    test: str | None = None
    """a file of test rows, for data that are a path"""
    scale: ScaleName | None = None
    """what features are shifted and scaled by: standard, median, minmax, or none unless told;
    fitted on the training rows"""
    data_seed: int = 0
    """of generated data, and of the split of data without a test file"""
    held_out: float | None = Field(default=None, ge=0, lt=1)
    """share of the training rows on which networks are chosen, and not trained: a sixth for a
    packed target, none for others, unless told"""
    target: str | None = None
    """what the bits mean: layered, packed, callable, table, or module:Class; by the size of the
    network unless told"""
    target_options: dict[str, Any] = Field(default={})
    """of the target, besides the next six"""
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
    sign_of_zero: int | None = Field(default=None, ge=0, le=1)
    """+1 unless told"""
    loss: str = "cross_entropy"
    """a loss by name, or module:function of logits"""
    objective: str | None = None
    """module:callable from bits [draws, bit] to one loss a draw, in place of data and network"""
    bits: int | None = Field(default=None, ge=1)
    """number of bits of the own objective"""
    seeds: list[int] = Field(default=list(range(10)), min_length=1)
    """each is one replica of every entry"""
    device: str = "cpu"
    """where generators compute: cpu or cuda"""
    paid_shots: int | None = Field(default=None, ge=0)
    """shots that quantum computers may be sent, by all entries and seeds together; 100,000 unless
    told"""
    max_cost: float | None = Field(default=None, ge=0)
    """US dollars that the run's jobs on quantum computers may cost; no cap unless told"""
    max_jobs: int | None = Field(default=None, ge=0)
    """jobs that the run may send to quantum computers"""
    max_cost_per_day: float | None = Field(default=None, ge=0)
    """US dollars in 24 hours, by all runs in the folder of this one"""
    max_jobs_per_day: int | None = Field(default=None, ge=0)
    """jobs in 24 hours, by all runs in the folder of this one"""
    temperature: float = Field(default=0.05, gt=0)
    """of the certificate's log Z, in the unit of the loss"""
    entries: list[Entry] | None = Field(default=None, min_length=1)
    """generators and controls; unless told, those of `COMPARED` that the problem admits"""
    tests: list[str] | None = None
    """pairs of entries that are tested against one another, such as "quantum-depth2:product";
    every entangled circuit with the same without entanglement, and with the best classical entry,
    unless told"""
    tune: Tuning | None = None
    """how every entry searches its settings before; as they stand, they are compared without"""

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What is printed: entries by their titles alone."""
        for name, value in super().__repr_args__():
            yield name, [entry.title for entry in value] if name == "entries" else value

    @property
    def caps(self) -> Caps:
        """What its jobs on quantum computers may cost, and how many there may be."""
        return Caps(self.max_cost, self.max_jobs, self.max_cost_per_day, self.max_jobs_per_day)

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

    @model_validator(mode="after")
    def _fresh_seeds(self) -> "Config":
        seen = sorted(set(self.seeds) & set(self.tune.seeds if self.tune else ()))
        if seen:
            raise ValueError(
                f"settings would be tried on the seeds {', '.join(map(str, seen))}, on which the "
                "comparison is to be: choose other --tuning-seeds (tune.seeds), or other --seeds"
            )
        return self

    @property
    def budget(self) -> Budget:
        """What each seed may spend at the most; what is usual for few weights unless told."""
        limits = {name: getattr(self, name) for name in BUDGETS}
        if all(limit is None for limit in limits.values()):
            return Budget(evaluations=DEFAULT_EVALUATIONS)
        return Budget(**limits)

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
        folders = [entry.folder.casefold() for entry in entries]  # some systems take A for a
        for entry, folder in zip(entries, folders, strict=True):
            if folders.count(folder) > 1:
                raise ValueError(
                    f"'{entry.folder}' stands twice, as the name of a folder; give each entry its "
                    "own `label`"
                )
        return entries


def read(path: Path) -> dict[str, Any]:
    """The values in a TOML file, not yet checked; in UTF-8, with or without a byte order mark."""
    try:
        return tomllib.loads(_text(path.read_bytes()))
    except FileNotFoundError:
        raise MissingError(f"There is no configuration file {path}. Check the path.") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} is not a readable TOML file: {error}.") from error


def _text(data: bytes) -> str:
    """The text of a file in UTF-8; ValueError, with advice, for another encoding."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
        raise ValueError(
            "it is in UTF-16, as Windows PowerShell's > writes it, and TOML is in UTF-8; save it "
            "as UTF-8 (Out-File -Encoding utf8, or the editor's choice of encoding)"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"line {line} has a character that is not in UTF-8, as TOML is; save the file as UTF-8"
        ) from error


def to_toml(config: Config) -> str:
    """The resolved configuration as TOML."""
    without = OF_DATA if config.objective is not None else set()
    if "data" not in config.model_fields_set:  # a target that needs none
        without = without | DATA_ALONE
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
    put(values, path.strip(), value)


def put(values: dict[str, Any], path: str, value: Any) -> None:
    """Set `a.b` in nested `values`; an entry goes by its title, or its number from 0.

    Raises ConfigurationError for a path that leads nowhere.
    """
    *parents, last = path.split(".")
    at: Any = values
    for nth, parent in enumerate(parents):
        if isinstance(at, list):
            titles = [str(each.get("label") or each.get("name")) for each in at]
            if parent not in (*titles, *map(str, range(len(at)))):
                raise ConfigurationError(
                    f"Got the key {path}, and no entry '{parent}'. Entries go by their titles "
                    f"({', '.join(titles)}) or are numbered from 0."
                )
            at = at[titles.index(parent) if parent in titles else int(parent)]
        else:
            at = at.setdefault(parent, {})
        if not isinstance(at, dict) and not _are_tables(at):
            raise ConfigurationError(
                f"Got the key {path}, but {'.'.join(parents[: nth + 1])} is not a table of "
                "settings."
            )
    if not isinstance(at, dict):
        raise ConfigurationError(f"Got the key {path}, which names no setting of an entry.")
    at[last] = value


def _are_tables(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(each, dict) for each in found)
