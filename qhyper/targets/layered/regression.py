"""The mean squared error of a layered network with one output on a regression."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.data.samples import Samples, Targets, check_classes
from qhyper.errors import ConfigurationError
from qhyper.targets.objective import Objective
from qhyper.targets.target import Float, ObjectiveCapabilities

if TYPE_CHECKING:
    from qhyper.targets.layered.plain import PlainNetwork

_OUTPUTS = 1 << 22
"""Outputs that are held together."""


class RegressionObjective(Objective):
    """The mean over the rows of (output - target)², the output as it is: no sigmoid after it.

    Rows that the network cannot tell apart count once: the squared error is that of their mean
    target, and a constant for their spread around it. Raises ConfigurationError for another loss
    than squared_error, for other than one output, and for data that do not fit the inputs.
    """

    capabilities = ObjectiveCapabilities(flips=True, module=True, constant=True)

    def __init__(self, network: "PlainNetwork", data: Targets, loss: str) -> None:
        if loss != "squared_error":
            check_classes(data)
        if network.layers[-1] != 1:
            raise ConfigurationError(
                f"Got a network {network.layers} of {network.layers[-1]} outputs for numbers to "
                "predict; expected one output. Choose layers that end with 1."
            )
        inputs = Samples(data.x, np.zeros(len(data)))
        network.check(inputs)
        rows = network.collapse(inputs)
        self.network, self.data = network, data
        self.kernel = network.kernel(rows)
        self.weights = np.bincount(rows.member) / len(data)
        self.targets = np.bincount(rows.member, data.y) / len(data) / self.weights
        self.spread = float(((data.y - self.targets[rows.member]) ** 2).mean())
        self.constant_loss = float(data.y.var())
        super().__init__(
            None, network.n_bits, name=f"squared error of {network}", loss=loss,
            layout=network.layout, n_rows=len(data),
        )  # fmt: skip

    @property
    def subject(self) -> str:
        """The network, in words."""
        return str(self.network)

    def _evaluate(self, bits: Bits) -> Float:
        out = np.empty(len(bits))
        together = max(1, _OUTPUTS // len(self.weights))
        for first in range(0, len(bits), together):
            some = slice(first, first + together)
            errors: npt.NDArray = self.kernel.logits(bits[some])[..., 0] - self.targets
            out[some] = errors**2 @ self.weights
        return out + self.spread
