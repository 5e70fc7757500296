"""What searches by generations share: their flips, and the rows that a generation is scored on."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.streams import Rngs
from qhyper.targets.objective import checked
from qhyper.targets.target import Float, MiniBatch, MiniBatches, Objective

_DRAWN_TOGETHER = 1 << 22
"""Bits that `flipped` draws from at once: a draw may need memory for each."""


def check_search(n_bits: int, batch: int | None, probabilities: dict[str, float]) -> None:
    """Raise ConfigurationError for no bits, a mini-batch of no rows, or what is no probability."""
    if n_bits < 1:
        raise ConfigurationError(f"A search needs at least 1 bit; got n_bits={n_bits}.")
    if batch is not None and (type(batch) is not int or batch < 1):
        raise ConfigurationError(
            f"Got batch={batch!r}; expected rows of a mini-batch, a whole number of 1 or more, or "
            "None for all rows."
        )
    for name, p in probabilities.items():
        if not isinstance(p, int | float) or not 0 <= p <= 1:
            raise ConfigurationError(f"Got {name}={p!r}; expected a probability, from 0 to 1.")


def usual_p(n_bits: int) -> float:
    """The probability by which the fourth root of n_bits flips on average, at most 1/2.

    Found by trial: 2.4 of 36 weights on all rows, and 18 of 101,632 on mini-batches of 4096 rows,
    are near the best there.
    """
    return min(0.5, n_bits**0.25 / n_bits)


def check_budget(evaluations: int, needed: int, advice: str) -> None:
    """Raise ConfigurationError unless there are evaluations enough for one generation."""
    if evaluations < needed:
        raise ConfigurationError(
            f"Got {evaluations} evaluations, too few for one generation of {needed}. {advice}"
        )


def uniform(shots: int, n_bits: int, rng: Rngs) -> Bits:
    """Uniform draws, [replica, shot, bit]."""
    return np.stack([r.integers(2, size=(shots, n_bits), dtype=np.uint8) for r in rng])


def flipped(
    bits: Bits, p: float, rng: np.random.Generator, among: npt.NDArray[np.int64] | None = None
) -> Bits:
    """Bits [..., bit] with each of the bits `among` [k] (of all by default) flipped, or not.

    Each is flipped with probability p, independently. A binomial number of bits, drawn without
    replacement, has the same law as a draw for every bit (as `classical.majority.mutate`).
    """
    found = bits.copy()
    flat = found.reshape(-1, bits.shape[-1])
    among = np.arange(bits.shape[-1]) if among is None else among
    together = max(1, _DRAWN_TOGETHER // max(1, len(among)))
    for first in range(0, len(flat), together):
        part = flat[first : first + together]
        n = len(part) * len(among)
        chosen = rng.choice(n, rng.binomial(n, p), replace=False, shuffle=False) if n else []
        string, bit = np.divmod(np.asarray(chosen, np.int64), max(1, len(among)))
        part[string, among[bit]] ^= 1
    return found


@dataclass(frozen=True, eq=False)
class Scores:
    """Where the bitstrings of a generation are scored: all rows, or mini-batches."""

    objective: Objective
    batches: MiniBatches | None

    @classmethod
    def of(cls, objective: Objective, batch: int | None) -> "Scores":
        """On all rows, or on `batch` at a time; ConfigurationError if there are not as many."""
        return cls(objective, None if batch is None else objective.mini_batches(batch))

    def rows(self, rng: Rngs) -> Objective | MiniBatch:
        """What scores bits [replica, 1, shot, bit]: the objective, or a fresh mini-batch."""
        return checked(self.objective if self.batches is None else self.batches.draw(rng))

    def fresh(self, bits: Bits, rng: Rngs) -> Float:
        """Losses [replica, shot] of bits [replica, shot, bit], on the rows of a generation."""
        return self.rows(rng)(bits[:, None])[:, 0]
