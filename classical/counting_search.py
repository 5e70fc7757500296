"""CountingSearch: children with the bits flipped that the errors of the rows are laid to.

The counting of errors of Fontana (2022), section 4.1.5 and appendix .3, on packed networks that see
signs: `qhyper.targets.packed.wrong` says which weights count as wrong, by its reading
`all-weights`, and `classical.evolution.counting_step` is the same on majority networks alone.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from classical.generations import Scores, check_budget, check_search, flipped, uniform
from qhyper.bits import Bits
from qhyper.errors import ConfigurationError, UnsuitableError
from qhyper.streams import Rngs
from qhyper.targets.target import MiniBatch, Objective
from qhyper.training.search import Evaluated
from qhyper.training.space import Range


class CountingSearch:
    """The best of children whose bits flip with probability p where they count as wrong.

    - p: of a bit that counts as wrong on the rows of the generation; wide networks want less
    - p_all: by which every bit flips besides; the thesis leaves open whether any do
    - children: of the one parent; an only child is the next parent untried
    - batch: rows of a mini-batch, None for all rows
    - one_class: whether the rows of a mini-batch are all of one class, a random row's, drawn with
      replacement: by default with mini-batches and an only child. On rows of all classes, an
      output that is always 0 is as it should be on most; and of several children on rows of one
      class, the one would win that sees that class everywhere

    Parents themselves do not stay. What counts as wrong is often nothing, on all rows above all:
    with p_all = 0 the parent then stays as it is. Raises ConfigurationError for n_bits or children
    < 1, for what is no probability or batch, and for several children on rows of one class.
    """

    tuned: ClassVar[Mapping[str, Range]] = {"p": Range(low=0.001, high=0.5, log=True)}

    def __init__(
        self,
        n_bits: int,
        *,
        p: float = 0.03,
        p_all: float = 0.0,
        children: int = 1,
        batch: int | None = None,
        one_class: bool | None = None,
    ) -> None:
        check_search(n_bits, batch, {"p": p, "p_all": p_all})
        if children < 1:
            raise ConfigurationError(f"Got children={children}; expected 1 or more.")
        one_class = (batch is not None and children == 1) if one_class is None else one_class
        if one_class and (batch is None or children > 1):
            raise ConfigurationError(
                f"Got one_class with batch={batch} and children={children}; it chooses the rows of "
                "mini-batches, for an only child. Give `batch` and one child, or leave it out."
            )
        self.n_bits, self.batch = n_bits, batch
        self.p, self.p_all, self.children, self.one_class = p, p_all, children, one_class

    def describe(self) -> str:
        """One line on what this search is, for reports."""
        rows = ", on rows of one class" if self.one_class else ""
        return f"Counting errors, flips of {100 * self.p:g} % of the wrong bits{rows}"

    def search(self, objective: Objective, *, evaluations: int, rng: Rngs) -> Iterator[Evaluated]:
        """Spend exactly `evaluations` for each replica (one rng a replica), by generations.

        The first parent is a uniform draw. A generation evaluates the parent, in the pass that
        finds what is wrong, and its children on the same rows unless there is but one; the last
        has as many as are left. `current` is the loss of the best child, or of the parent where no
        child is tried, [replica, 1]. Raises UnsuitableError for an objective that lays errors to
        no bits, ConfigurationError for too few evaluations or rows.
        """
        capabilities = getattr(objective, "capabilities", None)
        if not getattr(capabilities, "wrong_weights", False):
            name = getattr(objective, "name", type(objective).__name__)
            raise UnsuitableError(
                "Counting errors needs to know which weights the errors are laid to, and only "
                f"packed networks that see signs tell; got {name}. Use elite-evolution, or a "
                "target such as PackedTarget(layers)."
            )
        check_budget(evaluations, 1 if self.children == 1 else 1 + self.children, "Give more.")
        return self._generations(Scores.of(objective, self.batch), evaluations, rng)

    def _generations(self, scores: Scores, evaluations: int, rng: Rngs) -> Iterator[Evaluated]:
        parent, left = uniform(1, self.n_bits, rng), evaluations
        while left:
            rows = self._rows(scores, rng)
            losses, wrong = rows.wrong_weights(parent[:, None])
            losses, wrong = losses[:, 0], wrong[:, 0, 0]
            bits, held, loss = parent, parent[:, 0], losses
            tried = min(self.children, left - 1) if self.children > 1 else 0
            children = self._children(parent, wrong, max(1, tried), rng)
            parent = children[:, :1]
            if tried:
                of_children = rows(children[:, None])[:, 0]
                best = of_children.argmin(axis=1)[:, None]
                parent = np.take_along_axis(children, best[..., None], axis=1)
                loss = np.take_along_axis(of_children, best, axis=1)
                held = parent[:, 0]
                bits = np.concatenate([bits, children], axis=1)
                losses = np.concatenate([losses, of_children], axis=1)
            left -= losses.shape[1]
            yield Evaluated(bits, losses, loss, None if self.batch is None else held)

    def _rows(self, scores: Scores, rng: Rngs) -> Objective | MiniBatch:
        """The rows of a generation."""
        if scores.batches is None or not self.one_class:
            return scores.rows(rng)
        labels, size = scores.objective.labels, scores.batches.size
        chosen = []
        for r in rng:
            of_class = np.flatnonzero(labels == labels[r.integers(len(labels))])
            chosen.append(of_class[r.integers(len(of_class), size=size)])
        return scores.batches.take(np.stack(chosen))

    def _children(
        self, parent: Bits, wrong: npt.NDArray[np.bool_], children: int, rng: Rngs
    ) -> Bits:
        """Children [replica, child, bit] of parents [replica, 1, bit]; wrong [replica, bit]."""
        found = []
        for old, which, r in zip(parent, wrong, rng, strict=True):
            new = flipped(old.repeat(children, axis=0), self.p, r, np.flatnonzero(which))
            found.append(flipped(new, self.p_all, r) if self.p_all else new)
        return np.stack(found)
