"""EliteSearch: the best of the children of an elite, each its parent with bits flipped.

The elite evolution of Fontana (2022), appendix .2, on any objective: losses in place of counts, so
that lower scores are better. `classical.evolution.elite_step` is the same on packed majority
networks alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np

from classical.generations import Scores, check_budget, check_search, flipped, uniform, usual_p
from qhyper.errors import ConfigurationError
from qhyper.streams import Rngs
from qhyper.targets.target import Objective
from qhyper.training.search import Evaluated
from qhyper.training.space import Range


class EliteSearch:
    """An elite, whose children's bits flip with probability p; the best are the next elite.

    - p: by default that of `usual_p`, by which the fourth root of n_bits flips on average
    - networks: bitstrings of the elite
    - children: of each of them
    - weights: (a, b) of a child's own loss and its parent's score
    - batch: rows of a mini-batch, None for all rows

    Parents themselves do not stay. A child's score is

        (a · own loss + b · parent's score) / (a + b),

    a mean over the line of descent, in which the past fades by b / (a + b) a generation (as the
    inherited fitness of Morse and Stanley 2016); the thesis prints no coefficients. Of equal scores
    the earlier child comes first. All children of a generation are scored on the same rows.

    Raises ConfigurationError for n_bits, networks or children < 1, for what is no probability or
    batch, and unless the weights are finite numbers a > 0 and b >= 0.
    """

    tuned: ClassVar[Mapping[str, Range]] = {
        "p": Range(low=0.001, high=0.5, log=True),
        "networks": Range(low=1, high=16, log=True),
        "children": Range(low=2, high=32, log=True),
    }

    def __init__(
        self,
        n_bits: int,
        *,
        p: float | None = None,
        networks: int = 2,
        children: int = 8,
        weights: Sequence[float] = (1, 1),
        batch: int | None = None,
    ) -> None:
        check_search(n_bits, batch, {} if p is None else {"p": p})
        if networks < 1 or children < 1:
            raise ConfigurationError(
                f"Got an elite of networks={networks} with children={children} each; expected 1 or "
                "more of both."
            )
        real = len(weights) == 2 and all(isinstance(w, int | float) for w in weights)
        if not real or not 0 < weights[0] < np.inf or not 0 <= weights[1] < np.inf:
            raise ConfigurationError(
                f"Got weights={tuple(weights)} of a child's own loss and its parent's score; "
                "expected numbers a > 0 and b >= 0, such as (1, 1)."
            )
        self.n_bits, self.batch = n_bits, batch
        self.p = usual_p(n_bits) if p is None else float(p)
        self.networks, self.children = networks, children
        self.weights = (float(weights[0]), float(weights[1]))

    def describe(self) -> str:
        """One line on what this search is, for reports."""
        return (
            f"Elite evolution, {self.children} children of each of {self.networks}, "
            f"{self.p * self.n_bits:.3g} flips on average"
        )

    def search(self, objective: Objective, *, evaluations: int, rng: Rngs) -> Iterator[Evaluated]:
        """Spend exactly `evaluations` for each replica (one rng a replica), by generations.

        The first generation is of uniform draws, as many as all children; of the last one are
        evaluated as many as are left, first those of the best parents. `current` are the losses of
        the elite, [replica, k], best score first. Raises ConfigurationError for too few
        evaluations or rows.
        """
        advice = "Give more, or fewer networks or children."
        check_budget(evaluations, self.networks * self.children, advice)
        return self._generations(Scores.of(objective, self.batch), evaluations, rng)

    def _generations(self, scores: Scores, evaluations: int, rng: Rngs) -> Iterator[Evaluated]:
        size, (a, b) = self.networks * self.children, self.weights
        bits = uniform(size, self.n_bits, rng)
        losses = score = scores.fresh(bits, rng)
        for left in range(evaluations - size, -size, -size):
            best = np.argsort(score, axis=1, kind="stable")[:, : self.networks]
            elite = np.take_along_axis(bits, best[..., None], axis=1)
            inherited = np.take_along_axis(score, best, axis=1)
            current = np.take_along_axis(losses, best, axis=1)
            held = None if self.batch is None else elite[:, 0]
            yield Evaluated(bits, losses, current=current, held=held)
            if left <= 0:
                return
            parents = np.arange(min(size, left)) // self.children
            bits = np.stack(
                [flipped(of_one[parents], self.p, r) for of_one, r in zip(elite, rng, strict=True)]
            )
            losses = scores.fresh(bits, rng)
            score = (a * losses + b * inherited[:, parents]) / (a + b)
