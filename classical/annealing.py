"""SimulatedAnnealing: one chain a replica, a flip of one bit a step, cooled over the budget."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from qhyper.arrays import HUGE, as_number
from qhyper.errors import ConfigurationError
from qhyper.streams import Rngs
from qhyper.targets.objective import checked
from qhyper.targets.target import Losses
from qhyper.training.search import Evaluated
from qhyper.training.space import Range

BLOCK = 1000
"""Steps between two reports; random numbers are drawn a block at a time."""


class SimulatedAnnealing:
    """Single flips by the Metropolis rule at a falling temperature (Kirkpatrick et al. 1983).

    - t_start: temperature at the first flip, in units of the loss
    - t_end: temperature at the last, in the same unit of the loss, to which it falls geometrically

    Raises ConfigurationError if n_bits < 1 or unless t_start >= t_end > 0.
    """

    tuned: ClassVar[Mapping[str, Range]] = {
        "t_start": Range(low=0.03, high=10.0, log=True),
        "t_end": Range(low=0.0003, high=0.03, log=True),
    }

    def __init__(self, n_bits: int, *, t_start: float = 1.0, t_end: float = 0.01) -> None:
        if n_bits < 1:
            raise ConfigurationError(f"Annealing needs at least 1 bit; got n_bits={n_bits}.")
        if not HUGE > as_number(t_start) >= as_number(t_end) > 0:
            raise ConfigurationError(
                f"Annealing cools from t_start to t_end, both above 0; got t_start={t_start!r:.40} "
                f"and t_end={t_end!r:.40}. Choose t_start >= t_end, on the scale of the losses."
            )
        self.n_bits = n_bits
        self.t_start = t_start
        self.t_end = t_end

    def describe(self) -> str:
        """One line on what this search is, for reports."""
        return f"Simulated annealing, single flips, T {self.t_start:g} → {self.t_end:g}"

    def search(self, objective: Losses, *, evaluations: int, rng: Rngs) -> Iterator[Evaluated]:
        """Spend exactly `evaluations` for each replica (one rng a replica), block by block.

        The first evaluation is that of the start, a uniform draw, and is reported by itself.
        `current` is the loss of each chain's state, [replica, 1].
        """
        objective = checked(objective)
        state = np.stack([stream.integers(2, size=self.n_bits, dtype=np.uint8) for stream in rng])
        loss = objective(state)
        yield Evaluated(state[:, None], loss[:, None], current=loss[:, None])

        steps = evaluations - 1
        temperatures = np.geomspace(self.t_start, self.t_end, max(steps, 1))
        row_starts = np.arange(len(rng)) * self.n_bits
        for done in range(0, steps, BLOCK):
            n = min(BLOCK, steps - done)
            flips = np.stack([stream.integers(self.n_bits, size=n) for stream in rng], axis=1)
            flips += row_starts
            # Accepting with probability exp(-rise / T) is the same as accepting a rise of at most
            # T times an exponential draw.
            climbs = np.stack([stream.standard_exponential(n) for stream in rng], axis=1)
            climbs *= temperatures[done : done + n, None]

            tried = np.empty((n, *state.shape), dtype=np.uint8)
            losses = np.empty((n, len(rng)))
            for step in range(n):
                candidate = tried[step]
                candidate[:] = state
                candidate.ravel()[flips[step]] ^= 1
                losses[step] = new = objective(candidate)
                accepted = new <= loss + climbs[step]
                loss = np.where(accepted, new, loss)
                state = np.where(accepted[:, None], candidate, state)
            yield Evaluated(tried.swapaxes(0, 1), losses.T, current=loss[:, None])
