"""PerturbationSearch: one bitstring a replica, all its bits flipped by chance, the better one kept.

The naive perturbation of Fontana (2022), appendix .1, on any objective: losses in place of counts.
`classical.evolution.naive_step` is the same on packed majority networks alone.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from classical.generations import Scores, check_budget, check_search, flipped, uniform, usual_p
from qhyper.bits import Bits
from qhyper.streams import Rngs
from qhyper.targets.target import SAME_LOSS, Float, Objective
from qhyper.training.search import Evaluated
from qhyper.training.space import Range

BLOCK = 1000
"""Generations between two reports on all rows, where one is a single evaluation."""
_BITS = 1 << 22
"""Bits of a replica that are drawn and reported together, in fewer generations if need be."""


class PerturbationSearch:
    """Flip every bit with probability p; the old bitstring stays only if it is better.

    - p: by default that of `usual_p`, by which the fourth root of n_bits flips on average
    - batch: rows of a mini-batch, None for all rows

    Equally good, the new bitstring replaces the old one. On all rows a generation is one
    evaluation, that of the new bitstring. On mini-batches it is two: old and new are scored on the
    same fresh rows. Raises ConfigurationError for n_bits < 1, or what is no probability or batch.
    """

    tuned: ClassVar[Mapping[str, Range]] = {"p": Range(low=0.001, high=0.5, log=True)}

    def __init__(self, n_bits: int, *, p: float | None = None, batch: int | None = None) -> None:
        check_search(n_bits, batch, {} if p is None else {"p": p})
        self.n_bits = n_bits
        self.p = usual_p(n_bits) if p is None else float(p)
        self.batch = batch

    def describe(self) -> str:
        """One line on what this search is, for reports."""
        return f"Naive perturbation, {self.p * self.n_bits:.3g} flips on average"

    def search(self, objective: Objective, *, evaluations: int, rng: Rngs) -> Iterator[Evaluated]:
        """Spend exactly `evaluations` for each replica (one rng a replica).

        The start is a uniform draw. Of an odd number on mini-batches, the last one scores what is
        held. `current` is the loss of that, [replica, 1]. Raises ConfigurationError for too few
        evaluations or rows.
        """
        scores = Scores.of(objective, self.batch)
        if self.batch is None:
            check_budget(evaluations, 1, "Give more.")
            return self._on_all_rows(scores, evaluations, rng)
        check_budget(evaluations, 2, "Give more.")
        return self._on_mini_batches(scores, evaluations, rng)

    def _on_all_rows(self, scores: Scores, evaluations: int, rng: Rngs) -> Iterator[Evaluated]:
        start = uniform(1, self.n_bits, rng)
        found = scores.fresh(start, rng)
        state, loss = start[:, 0], found[:, 0]
        yield Evaluated(start, found, current=found)
        block = max(1, min(BLOCK, _BITS // self.n_bits))
        for done in range(1, evaluations, block):
            tried = self._flips(min(block, evaluations - done), rng)
            losses = np.empty(tried.shape[:2])
            for step in range(tried.shape[1]):
                new = tried[:, step]
                new ^= state
                losses[:, step] = scores.fresh(new[:, None], rng)[:, 0]
                state, loss = _not_worse(state, loss, new, losses[:, step])
            yield Evaluated(tried, losses, current=loss[:, None])

    def _on_mini_batches(self, scores: Scores, evaluations: int, rng: Rngs) -> Iterator[Evaluated]:
        state = uniform(1, self.n_bits, rng)[:, 0]
        for _ in range(evaluations // 2):
            pair = np.stack([state, state ^ self._flips(1, rng)[:, 0]], axis=1)
            losses = scores.fresh(pair, rng)
            state, loss = _not_worse(pair[:, 0], losses[:, 0], pair[:, 1], losses[:, 1])
            yield Evaluated(pair, losses, current=loss[:, None], held=state)
        if evaluations % 2:
            losses = scores.fresh(state[:, None], rng)
            yield Evaluated(state[:, None], losses, current=losses, held=state)

    def _flips(self, generations: int, rng: Rngs) -> Bits:
        """Which bits flip, [replica, generation, bit]."""
        none = np.zeros((generations, self.n_bits), np.uint8)
        return np.stack([flipped(none, self.p, r) for r in rng])


def _not_worse(old: Bits, old_loss: Float, new: Bits, new_loss: Float) -> tuple[Bits, Float]:
    """The new bits [replica, bit] and losses [replica], but the old ones where these are better."""
    better = old_loss < new_loss - SAME_LOSS
    return np.where(better[:, None], old, new), np.where(better, old_loss, new_loss)
