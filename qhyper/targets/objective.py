"""Objective: draws in, one loss a draw out, and a count of what was spent."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits, as_bits
from qhyper.data.sets import Samples
from qhyper.errors import ConfigurationError
from qhyper.targets.loss import LossName

if TYPE_CHECKING:
    from qhyper.targets.layered.network import BinaryNetwork


class Objective:
    """Any loss of bitstrings; `function` gets bits [draws, bit] and gives one number each.

    The bits are 0 and 1 as int8, so that 2 * bits - 1 are the weights -1 and +1, and a copy that
    the function may change. Lower is better. `evaluations` counts the draws evaluated so far.
    """

    def __init__(
        self,
        function: Callable[[npt.NDArray[np.int8]], npt.ArrayLike],
        n_bits: int,
        *,
        name: str = "own objective",
    ) -> None:
        if n_bits < 1:
            raise ConfigurationError(f"An objective needs at least 1 bit; got n_bits={n_bits}.")
        self.n_bits = n_bits
        self.name = name
        self.evaluations = 0
        self._function = function

    def __call__(self, bits: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The loss of every bitstring: bits [..., bit] to float64 [...].

        Raises ConfigurationError if the bits do not fit, or if the function returns another
        number of losses, or one that is not finite.
        """
        array = as_bits(bits, self.n_bits)
        flat = array.reshape(-1, self.n_bits)
        losses = np.asarray(self._evaluate(flat), dtype=np.float64)
        if losses.shape != (len(flat),):
            raise ConfigurationError(
                f"{self.name} returned losses of shape {losses.shape} for {len(flat)} bitstrings; "
                f"expected ({len(flat)},): one number for each."
            )
        if not np.isfinite(losses).all():
            first = int(np.flatnonzero(~np.isfinite(losses))[0])
            raise ConfigurationError(
                f"{self.name} returned {losses[first]} for bitstring {first} of the batch; a loss "
                "must be a finite number."
            )
        self.evaluations += len(flat)
        return losses.reshape(array.shape[:-1])

    def _evaluate(self, bits: Bits) -> npt.ArrayLike:
        return self._function(bits.astype(np.int8))


class NetworkObjective(Objective):
    """The mean loss of a binary network over a data set, on the kernel for its space."""

    def __init__(self, network: "BinaryNetwork", data: Samples, loss: LossName) -> None:
        network.check(data)
        self.network, self.data = network, data
        self.loss: LossName = loss
        self.kernel = network.kernel(network.collapse(data))
        super().__init__(
            lambda bits: self._evaluate(bits.view(np.uint8)),
            network.n_bits,
            name=f"{loss} of {network}",
        )

    def _evaluate(self, bits: Bits) -> npt.ArrayLike:
        return self.kernel.losses(bits, self.loss)
