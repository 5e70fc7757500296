"""FullPrecisionNetwork: the target with real weights and sigmoids, trained by gradients."""

from collections.abc import Sequence

import torch

from classical.supervised import Classifier


class FullPrecisionNetwork(Classifier):
    """A layered network without biases: hidden = σ(x W1), ..., logits = hidden W_last.

    `weights`, one [replica, in, out] a layer, start at Glorot and Bengio's (2010) uniform draws.
    Raises ConfigurationError as Classifier does.
    """

    def __init__(
        self,
        layers: Sequence[int],
        *,
        seeds: Sequence[int] = (0,),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(layers, seeds=seeds, dtype=dtype)
        rng = self._start()
        self.weights = torch.nn.ParameterList(
            self._glorot(rng, *shape) for shape in self.space.shapes
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [replica, row, class] of x [replica, row, feature], or [row, feature] for all.

        Raises ConfigurationError if x has another shape or dtype than the network.
        """
        first, *later = self.weights
        z = torch.bmm(self._as_inputs(x), first)
        for weight in later:
            z = torch.bmm(z.sigmoid(), weight)
        return z
