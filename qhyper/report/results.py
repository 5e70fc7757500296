"""What a run found, typed: results of its entries, as trials make them and pages show them.

They are written as JSON, field by field, and read back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from qhyper.errors import StorageError

BySeed = Sequence[float] | None
"""One number a seed; None where it could not be measured."""


@dataclass(frozen=True)
class Curve:
    """What was spent, and the mean loss of each seed, at some points of a search."""

    mean_loss: Sequence[Sequence[float]]
    """[seed][point]"""
    evaluations: Sequence[int] = ()
    """[point]; so are the others, where they were counted"""
    shots: Sequence[int] = ()
    circuits: Sequence[int] = ()
    rows: Sequence[int] = ()


@dataclass(frozen=True)
class Result:
    """One entry carried out; every figure is one number a seed."""

    name: str
    """its title in tables"""
    kind: str
    """quantum, classical or control"""
    description: str
    parameters: int
    seeds: Sequence[int]
    evaluations: int
    """spent by each seed; so are the next three"""
    shots: int
    circuits: int
    rows: int
    best_loss: Sequence[float | None]
    """None where nothing was drawn, as by the exact gradient"""
    best_bits: Sequence[str | None]
    improvements: Sequence[Sequence[Sequence[float]]]
    """[seed][k]: (evaluations spent when found, loss), losses falling"""
    train_accuracy: BySeed
    test_accuracy: BySeed
    final_loss: Sequence[float]
    """mean loss of fresh draws; of a control, of what it holds"""
    final_losses: Sequence[Sequence[float]]
    """[seed][draw]: of some of these"""
    seconds_per_step: Sequence[float]
    """of some steps, of all seeds together"""
    curve: Curve
    estimator: str | None = None
    """this and the rest are of generators alone"""
    risk: str | None = None
    backend: str | None = None
    step: Mapping[str, int] = field(default_factory=dict)
    """what a step costs each seed"""
    final_risk: BySeed = None
    """of fresh draws, where the risk is another than the mean loss"""

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, lists and dictionaries; spending that was not counted is left out."""
        curve = {name: values for name, values in asdict(self.curve).items() if len(values)}
        return asdict(self) | {"curve": curve}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """The result that `to_json` wrote; StorageError if it is another version's."""
        known = {f.name for f in fields(cls)}
        missing = sorted({"name", "kind", "rows", "curve"} - set(found))
        if missing or not set(found) <= known:
            raise StorageError(
                "The results of this run were written by another version of qhyper: they have "
                f"{'no ' + ', '.join(missing) if missing else sorted(set(found) - known)}. Run it "
                "again with this version, or read it with that one."
            )
        return cls(**{**found, "curve": Curve(**found["curve"])})
