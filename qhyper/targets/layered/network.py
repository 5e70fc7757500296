"""BinaryNetwork: the layered target, with all that is made of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qhyper.data.samples import Dataset, Samples, Targets
from qhyper.data.scaling import Scaling
from qhyper.errors import ConfigurationError
from qhyper.targets.layered.plain import PlainNetwork
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.loss import LossName, check_loss

if TYPE_CHECKING:
    import torch

    from qhyper.targets.layered.conditional_batches import Batches, ScoredOn
    from qhyper.targets.layered.objective import NetworkObjective
    from qhyper.targets.layered.regression import RegressionObjective
    from qhyper.targets.packed.network import PackedNetwork

HIDDEN = 6
"""Hidden units, unless told."""
_ROWS = 128
"""Random rows that outputs of a packed network are compared on."""


class BinaryNetwork(PlainNetwork):
    """A layered network whose weights, and other choices, are read from bits.

    By its `layers` alone it has weights in {-1, +1}, sign activations and no biases: hidden =
    sign(x W1), ..., logits = hidden W_last; softmax over the logits, or a sigmoid if there is one
    output. A WeightSpace in their place says what the bits stand for: biases, other values,
    activations, and which parts there are. `sign_of_zero` is +1, or 0 for reproducing others.
    Raises ConfigurationError for another one.
    """

    def objective(
        self, data: Samples, loss: LossName | str = "cross_entropy"
    ) -> "NetworkObjective | RegressionObjective":
        """The mean loss over `data` as an Objective, on the fast kernel for the space.

        Of Targets it is the mean squared error of the output.
        """
        from qhyper.targets.layered.objective import NetworkObjective
        from qhyper.targets.layered.regression import RegressionObjective

        if isinstance(data, Targets):
            return RegressionObjective(self, data, check_loss(loss))
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
        from qhyper.targets.layered.conditional_batches import Batches

        return Batches(self, data, size=size, scored_on=scored_on, loss=check_loss(loss))

    def to_torch(
        self, bits: npt.ArrayLike, *, scaling: Scaling | None = None
    ) -> "torch.nn.Sequential":
        """The network of one bitstring, bits [n_bits], as a torch module; see `export.to_torch`."""
        from qhyper.targets.layered.export import to_torch

        return to_torch(self, bits, scaling=scaling)

    def to_packed(self, bits: npt.ArrayLike) -> "PackedNetwork":
        """The network of one bitstring, bits [n_bits], packed: it sees inputs -1 and +1 as bits.

        Raises ConfigurationError for biases, choices, other values and sign(0) = 0, and if its
        logits are not those of the network on random rows.
        """
        from qhyper.targets.conversion import check_same
        from qhyper.targets.packed.network import PackedNetwork

        if not self.space.plain or self.sign_of_zero != 1:
            raise ConfigurationError(
                f"{self} is more than weights of -1 and +1 between signs with sign(0) = +1: it "
                "cannot be packed. Use to_torch."
            )
        packed = PackedNetwork.from_bits(self.layers, bits)
        rows = np.random.default_rng(0).integers(0, 2, (_ROWS, self.layers[0]))
        expected = self.logits(bits, (2 * rows - 1).astype(np.float64))
        check_same("The packed network", packed.outputs(rows), expected)
        return packed

    def describe(self, bits: npt.ArrayLike) -> str:
        """The network of one bitstring, bits [n_bits], in words; see also `to_torch`."""
        from qhyper.targets.layered.export import describe

        return describe(self, bits)


def layered(
    dataset: Dataset,
    *,
    layers: Sequence[int] | None = None,
    sign_of_zero: int = 1,
    **choices: Any,
) -> BinaryNetwork:
    """The target `layered`: a BinaryNetwork for a data set, (features, 6, classes) unless told.

    - layers: units of every layer, inputs first
    - sign_of_zero: what sign(0) is: 1, or 0 for reproducing others
    - choices: those of WeightSpace: `biases`, `values`, `activation`, `optional`
    """
    sizes = layers or (dataset.n_features, HIDDEN, dataset.n_classes)
    return BinaryNetwork(WeightSpace(sizes, **choices), sign_of_zero=sign_of_zero)
