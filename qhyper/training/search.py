"""What a search spends and finds: the control protocol, and the record of the best draws."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from qhyper.arrays import brief, counted
from qhyper.bits import Bits
from qhyper.errors import ConfigurationError, unknown
from qhyper.registry import build, is_registered, load_object, names
from qhyper.streams import Rngs
from qhyper.targets.target import SAME_LOSS, Objective


@dataclass(frozen=True)
class Evaluated:
    """A batch of evaluated bitstrings, in the order in which they were evaluated."""

    bits: Bits
    """[replica, shot, bit]"""
    losses: npt.NDArray[np.float64]
    """[replica, shot]"""
    current: npt.NDArray[np.float64]
    """[replica, k]: losses of what the search holds now; its mean is the search's mean loss."""
    held: Bits | None = None
    """[replica, bit]: the best that the search holds now, of one that works on mini-batches: their
    losses do not compare, and this is tried on held-out rows"""

    def __repr__(self) -> str:
        replicas, shots, n_bits = self.bits.shape
        least = f"; losses from {self.losses.min():.6g}" if self.losses.size else ""
        return (
            f"Evaluated({counted(replicas, 'replica')}, {counted(shots, 'bitstring')} each of "
            f"{counted(n_bits, 'bit')}{least})"
        )


class Control(Protocol):
    """A search without a generator that spends an objective's budget.

    One that can work on mini-batches takes the argument `batch`, rows of a mini-batch or None for
    all rows, and has it as an attribute.
    """

    def __init__(self, n_bits: int) -> None: ...

    def search(self, objective: Objective, *, evaluations: int, rng: Rngs) -> Iterator[Evaluated]:
        """Spend exactly `evaluations` for each replica (one rng a replica), batch by batch.

        What it checks before it returns the iterator is refused before anything runs. With
        mini-batches, each evaluation is on `batch` rows of `objective.mini_batches(batch)`.
        """
        ...


def is_control(name: str) -> bool:
    """Whether `name`, of a generator or a control, is that of a control.

    A class `module:Class` is a control if it has `search`, which no generator has. Raises
    ConfigurationError if nothing of that name is registered, or a generator and a control.
    """
    if ":" in name:
        return hasattr(load_object(name), "search")
    control, generator = is_registered("control", name), is_registered("generator", name)
    if control and generator:
        raise ConfigurationError(
            f"'{name}' is registered as a generator and as a control. Name the one that is meant "
            "as module:Class, or uninstall the package of the other."
        )
    if not control and not generator:
        raise unknown("generator or control", name, names("generator") + names("control"))
    return control


def build_control(name: str, n_bits: int, options: Mapping[str, Any] | None = None) -> Control:
    """The control registered as `name` (or `module:Class`), with its options.

    Raises ConfigurationError for an unknown name or option, with the nearest known one.
    """
    return build("control", name, n_bits, options=options)


@dataclass
class SearchRecord:
    """The best bitstring of each replica, and when each improvement was found."""

    best_loss: npt.NDArray[np.float64]
    """[replica], inf before the first evaluation"""
    best_bits: Bits
    """[replica, bit]"""
    evaluations: int = 0
    """spent so far by each replica"""
    improvements: list[list[tuple[int, float]]] = field(default_factory=list)
    """[replica][k]: (evaluations spent when found, loss), losses falling"""

    def __repr__(self) -> str:
        return (
            f"SearchRecord({counted(len(self.best_loss), 'replica')}, "
            f"{counted(self.evaluations, 'evaluation')} each; best loss {brief(self.best_loss)})"
        )

    @classmethod
    def empty(cls, replicas: int, n_bits: int) -> "SearchRecord":
        """The record before the first evaluation."""
        return cls(
            best_loss=np.full(replicas, np.inf),
            best_bits=np.zeros((replicas, n_bits), dtype=np.uint8),
            improvements=[[] for _ in range(replicas)],
        )

    def update(self, bits: Bits, losses: npt.NDArray[np.float64]) -> None:
        """Take in a batch: bits [replica, shot, bit] and losses [replica, shot], in order."""
        lowest = losses.min(axis=1)
        for replica in np.flatnonzero(lowest < self.best_loss - SAME_LOSS):
            row, best = losses[replica], self.best_loss[replica]
            before = np.minimum.accumulate(np.concatenate([[best], row[:-1]]))
            for shot in np.flatnonzero(row < before):
                if row[shot] < best - SAME_LOSS:  # falls of less than a level can add up to one
                    best = row[shot]
                    self.best_bits[replica] = bits[replica, shot]
                    at = self.evaluations + int(shot) + 1
                    self.improvements[replica].append((at, float(best)))
            self.best_loss[replica] = best
        self.evaluations += losses.shape[1]

    def note(self, bits: Bits, losses: npt.NDArray[np.float64], at: int) -> None:
        """Take in one bitstring of each replica, [replica, bit] and [replica], found at `at`."""
        for replica in np.flatnonzero(losses < self.best_loss - SAME_LOSS):
            self.best_bits[replica] = bits[replica]
            self.best_loss[replica] = losses[replica]
            self.improvements[replica].append((at, float(losses[replica])))
