"""What one trial measured, as trials make it and tables, figures and pages show it.

It is written as JSON, field by field, and read back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from qhyper.arrays import brief, counted
from qhyper.spending import Spending
from qhyper.storage import restored
from qhyper.targets.target import SAME_LOSS

BySeed = Sequence[float] | None
"""One number a seed; None where it could not be measured."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What each seed had spent at some points of a search, and its mean loss there."""

    mean_loss: Sequence[Sequence[float]]
    """[seed][point]"""
    evaluations: Sequence[int] = ()
    """[point]; so are the next three, () where they were not counted"""
    shots: Sequence[int] = ()
    circuits: Sequence[int] = ()
    rows: Sequence[int] = ()

    def __repr__(self) -> str:
        points = len(self.mean_loss[0]) if self.mean_loss else 0
        ends = [points[-1] for points in self.mean_loss if len(points)]
        last = f", the last {brief(ends)}" * bool(ends)
        return f"Curve({counted(len(self.mean_loss), 'seed')}, {counted(points, 'point')}{last})"

    def to_json(self) -> dict[str, Any]:
        """The losses, and the spending that was counted."""
        return {name: values for name, values in vars(self).items() if len(values)} | {
            "mean_loss": self.mean_loss
        }


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """What the bits of a trained generator are worth together, beside the product of its marginals.

    Standard errors are None where a number is exact.
    """

    total_correlation: BySeed
    """[seed], in bits: the entropies of all bits alone minus the one of all together, 0 where they
    are independent. An estimate may be below. None without log p"""
    total_correlation_error: BySeed
    loss: Sequence[float]
    """[seed]: mean loss of the generator"""
    product_loss: Sequence[float]
    """[seed]: mean loss once it is replaced by the product of its own marginals"""
    loss_error: BySeed
    """of the difference between these two"""

    def __repr__(self) -> str:
        known = self.total_correlation
        total = "not known" if known is None else f"{brief(known)} bits"
        return f"Correlation(total {total}; loss of the product higher by {brief(self.excess)})"

    @property
    def excess(self) -> list[float]:
        """[seed]: by how much the product's loss lies above the generator's own."""
        return [after - before for before, after in zip(self.loss, self.product_loss, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one trial measured: an entry of a comparison carried out, over all seeds."""

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
    rows: int = 0
    best_loss: Sequence[float | None]
    """[seed]; None where nothing was drawn, as by the exact gradient"""
    best_bits: Sequence[str | None]
    """[seed], bit 0 first"""
    improvements: Sequence[Sequence[tuple[int, float]]]
    """[seed][k]: (evaluations spent when found, loss), losses falling"""
    held_out_loss: BySeed = None
    """of the best network, on the held-out rows that it was chosen on; None where it is the one of
    the lowest training loss"""
    train_accuracy: BySeed = None
    """of the best network; so is the next"""
    test_accuracy: BySeed = None
    final_loss: Sequence[float]
    """[seed]: mean loss of fresh draws; of a control, of what it holds"""
    final_losses: Sequence[Sequence[float]]
    """[seed][draw]: of some of these"""
    final_risk: BySeed = None
    """of fresh draws, where the risk is another than the mean loss"""
    seconds_per_step: Sequence[float] = ()
    """of some steps, of all seeds together; kept in a file of their own, as no result"""
    curve: Curve
    step: Spending | None = None
    """what a step costs each seed; this and the rest are of generators alone"""
    estimator: str | None = None
    risk: str | None = None
    backend: str | None = None
    """where its circuit ran; None for what has none"""
    correlation: Correlation | None = None
    """between the bits of the trained generator"""

    def __repr__(self) -> str:
        found = [loss for loss in self.best_loss if loss is not None]
        best = f"; best loss {brief(found)}" * bool(found)
        return (
            f"Result({self.name}, {self.kind}, {counted(self.parameters, 'parameter')}, "
            f"{counted(len(self.seeds), 'seed')}\n  each {self.spent}\n"
            f"  final mean loss {brief(self.final_loss)}{best})"
        )

    @property
    def spent(self) -> Spending:
        """All that each seed spent."""
        return Spending(self.evaluations, self.shots, self.circuits, self.rows)

    @property
    def drew_nothing(self) -> bool:
        """Whether there were no draws on its way, and so no best network: of exact gradients."""
        return None in self.best_loss

    @property
    def chosen_on_held_out(self) -> bool:
        """Whether the best network is the one that did best on held-out rows."""
        return self.held_out_loss is not None

    @property
    def best_by_training_loss(self) -> bool:
        """Whether its best losses are those of training, so that they can be hits."""
        return not (self.drew_nothing or self.chosen_on_held_out)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, lists and dictionaries."""
        return asdict(self) | {"curve": self.curve.to_json()}

    @classmethod
    def from_json(cls, found: Mapping[str, Any], where: str = "The result") -> Self:
        """The result that `to_json` wrote; `where` it stands is named in the error.

        Raises StorageError for what another version wrote.
        """
        values = dict(found)
        if "curve" in found:
            units = set(vars(Spending()))
            values["curve"] = restored(Curve, found["curve"], where, optional=units)
        if found.get("step") is not None:
            values["step"] = restored(Spending, found["step"], where)
        if found.get("correlation") is not None:
            values["correlation"] = restored(Correlation, found["correlation"], where)
        return restored(cls, values, where, optional={"seconds_per_step"})


@dataclass(frozen=True)
class Spectrum:
    """How many of all bitstrings have a loss in each bin."""

    edges: Sequence[float]
    """[bin + 1]"""
    bitstrings: Sequence[int]
    """[bin]"""

    def __repr__(self) -> str:
        return (
            f"Spectrum({counted(sum(self.bitstrings), 'bitstring')} in "
            f"{counted(len(self.bitstrings), 'bin')}, losses {self.edges[0]:.6g} to "
            f"{self.edges[-1]:.6g})"
        )


def first_hits(
    improvements: Sequence[Sequence[tuple[int, float]]], target: float
) -> list[int | None]:
    """For each replica, the evaluations spent until a loss within 1e-9 of `target` or below."""
    return [
        next((at for at, loss in found if loss <= target + SAME_LOSS), None)
        for found in improvements
    ]
