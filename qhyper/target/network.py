"""BinaryNetwork: the target, and its plain forward pass, which is the oracle of the kernel."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from qhyper.data import Samples
from qhyper.errors import ConfigurationError
from qhyper.target.loss import LossName, check_loss, label_losses, predictions
from qhyper.target.space import WeightSpace

if TYPE_CHECKING:
    from qhyper.target.batches import Batches, ScoredOn
    from qhyper.target.objective import NetworkObjective


class BinaryNetwork:
    """A layered network with weights in {-1, +1}, sign activations and no biases.

    hidden = sign(x W1), ..., logits = hidden W_last; softmax over the logits, or a sigmoid if
    there is one output. `sign_of_zero` is +1, or 0 for reproducing others.
    """

    def __init__(self, layers: Sequence[int], *, sign_of_zero: int = 1) -> None:
        if sign_of_zero not in (0, 1):
            raise ConfigurationError(f"sign_of_zero is +1 or 0; got {sign_of_zero}.")
        self.space = WeightSpace(layers)
        self.sign_of_zero = sign_of_zero

    @property
    def layers(self) -> tuple[int, ...]:
        """Units of every layer, inputs first."""
        return self.space.layers

    @property
    def n_bits(self) -> int:
        """Number of weights."""
        return self.space.n_bits

    @property
    def n_classes(self) -> int:
        """Number of classes: one output is a sigmoid between two classes."""
        return max(self.layers[-1], 2)

    def __repr__(self) -> str:
        zero = "" if self.sign_of_zero == 1 else ", sign_of_zero=0"
        return f"BinaryNetwork({self.layers}{zero})"

    def sign(self, x: npt.NDArray) -> npt.NDArray:
        """-1 below zero, +1 above, `sign_of_zero` at zero."""
        return np.where(x > 0, 1, np.where(x < 0, -1, self.sign_of_zero))

    def logits(self, bits: npt.ArrayLike, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Logits [..., row, output] of weights `bits` [..., n_bits] on inputs x [row, input].

        Plain and slow. Sums run over the inputs from left to right in float64, one at a time, so
        that ties are decided the same way everywhere.
        """
        activations: npt.NDArray = np.asarray(x, dtype=np.float64)
        weights = self.space.decode(bits)
        for layer, weight in enumerate(weights):
            total = np.zeros((*weight.shape[:-2], activations.shape[-2], weight.shape[-1]))
            for i in range(weight.shape[-2]):
                total = total + activations[..., :, i, None] * weight[..., None, i, :]
            activations = total if layer == len(weights) - 1 else self.sign(total)
        return activations

    def losses(
        self, bits: npt.ArrayLike, data: Samples, loss: str = "cross_entropy"
    ) -> npt.NDArray[np.float64]:
        """Mean loss over `data` of each bitstring, float64 [...], by the plain forward pass."""
        self.check(data)
        per_label = label_losses(self.logits(bits, data.x), check_loss(loss))
        return per_label[..., np.arange(len(data.y)), data.y].mean(axis=-1)

    def accuracy(self, bits: npt.ArrayLike, data: Samples) -> npt.NDArray[np.float64]:
        """Share of `data` that each bitstring [..., n_bits] classifies correctly."""
        self.check(data)
        return (predictions(self.logits(bits, data.x)) == data.y).mean(axis=-1)

    def objective(
        self, data: Samples, loss: LossName | str = "cross_entropy"
    ) -> "NetworkObjective":
        """The mean loss over `data` as an Objective, on the packed kernel."""
        from qhyper.target.objective import NetworkObjective

        return NetworkObjective(self, data, check_loss(loss))

    def batches(
        self,
        data: Samples,
        *,
        size: int,
        scored_on: "ScoredOn",
        loss: LossName | str = "cross_entropy",
    ) -> "Batches":
        """Mini-batches of `data`, for generators that see the input; see `Batches`."""
        from qhyper.target.batches import Batches

        return Batches(self, data, size=size, scored_on=scored_on, loss=check_loss(loss))

    def check(self, data: Samples) -> None:
        """Raise ConfigurationError unless `data` fits the inputs and outputs."""
        if data.x.shape[1] != self.layers[0]:
            raise ConfigurationError(
                f"The data have {data.x.shape[1]} features, but the network {self.layers} has "
                f"{self.layers[0]} inputs. Choose layers that begin with {data.x.shape[1]}."
            )
        if data.y.max() >= self.n_classes:
            raise ConfigurationError(
                f"The data have the label {data.y.max()}, but the network {self.layers} tells "
                f"{self.n_classes} classes apart: labels are 0 to {self.n_classes - 1}. Choose "
                "layers that end with the number of classes."
            )
