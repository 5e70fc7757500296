"""RandomSearch: uniform draws, the search that knows nothing."""

from collections.abc import Iterator

import numpy as np

from qhyper.bits import n_words, unpack
from qhyper.errors import ConfigurationError
from qhyper.streams import Rngs
from qhyper.targets.objective import checked
from qhyper.targets.target import Losses
from qhyper.training.search import Evaluated


class RandomSearch:
    """Bitstrings drawn uniformly and independently, evaluated `together` at a time.

    - together: how many are evaluated at once; the result does not depend on it

    Raises ConfigurationError if n_bits or together < 1.
    """

    def __init__(self, n_bits: int, *, together: int = 4096) -> None:
        if n_bits < 1 or together < 1:
            raise ConfigurationError(
                f"Random search needs n_bits and together of 1 or more; got n_bits={n_bits} and "
                f"together={together}."
            )
        self.n_bits = n_bits
        self.together = together

    def describe(self) -> str:
        """One line on what this search is, for reports."""
        return "Random search, uniform draws"

    def search(self, objective: Losses, *, evaluations: int, rng: Rngs) -> Iterator[Evaluated]:
        """Spend exactly `evaluations` for each replica (one rng a replica), batch by batch.

        The `objective` takes bits [..., bit] to losses [...].
        """
        objective = checked(objective)
        for spent in range(0, evaluations, self.together):
            shape = (min(self.together, evaluations - spent), n_words(self.n_bits))
            words = np.stack(
                [stream.integers(2**64, size=shape, dtype=np.uint64) for stream in rng]
            )
            bits = unpack(words, self.n_bits)
            losses = objective(bits)
            yield Evaluated(bits, losses, current=losses)
