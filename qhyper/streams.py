"""Random streams: a tree of seeds, so that nothing depends on a global generator.

A run has one seed a replica. The stream of a replica at a step, for a purpose, depends on these
three alone: replicas are independent, a resumed run continues exactly, and adding a replica
changes no other.
"""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qhyper.errors import ConfigurationError, unknown

Rngs = Sequence[np.random.Generator]
"""One generator a replica."""


def check_rng(rng: Rngs, replicas: int) -> None:
    """Raise ConfigurationError unless there is one random generator for each replica."""
    if not isinstance(rng, Sequence) or len(rng) != replicas:
        got = f"{len(rng)} random generators" if isinstance(rng, Sequence) else repr(rng)
        raise ConfigurationError(
            f"Got {got} for {replicas} replicas; expected one a replica, such as "
            "Streams(generator.seeds)(step)."
        )


Purpose = Literal["initialise", "draw", "evaluate", "search", "batch"]
_PURPOSES: tuple[Purpose, ...] = ("initialise", "draw", "evaluate", "search", "batch")


@dataclass(frozen=True)
class Streams:
    """The random streams of a run with one seed a replica: `streams(step)` -> one rng a replica."""

    seeds: tuple[int, ...]

    def __init__(self, seeds: Sequence[int]) -> None:
        object.__setattr__(self, "seeds", tuple(int(seed) for seed in seeds))

    def __repr__(self) -> str:
        return f"Streams(seeds={reprlib.repr(self.seeds)})"

    def __call__(self, step: int, purpose: Purpose = "draw") -> list[np.random.Generator]:
        """The generators of a step, one a replica.

        Raises ConfigurationError for a purpose that no stream has.
        """
        if purpose not in _PURPOSES:
            raise unknown("purpose of a random stream", str(purpose), _PURPOSES)
        key = (_PURPOSES.index(purpose), step)
        return [
            np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
            for seed in self.seeds
        ]
