"""The network of the report: binarised, its weights' gradients scaled or binarised as it says."""

import math
from collections.abc import Sequence

import torch

from classical.binarized import Binarisation, BinarizedNetwork
from classical.image_classifier import check_flags
from classical.straight_through import sign


def glorot_scale(n_in: int, n_out: int) -> float:
    """γ = √((in + out) / 1.5), one over Glorot and Bengio's (2010) coefficient.

    By it the code of Courbariaux et al. (2016) multiplies the learning rate of a layer's weights.
    """
    return math.sqrt((n_in + n_out) / 1.5)


def binarised_gradient(gradient: torch.Tensor) -> torch.Tensor:
    """mean|g| sign(g), with sign(0) = 0: a bit a weight and one number a layer, any shape.

    The scale is the one that comes nearest to g in squares (Rastegari et al. 2016, eq. 6).
    """
    return gradient.abs().mean() * gradient.sign()


class ReportNetwork(BinarizedNetwork):
    """A BinarizedNetwork whose weights get other gradients; batch normalisation's stay.

    - glorot: times `glorot_scale`. For plain SGD it is the same as a learning rate γ η
    - binarised_gradients: `binarised_gradient` of each layer, in the place of the gradient
    - drawn_weights: False takes the signs of latent weights where activations are drawn, as in some
      experiments of Courbariaux et al. (2016, section 1.1)
    - wide: latent weights start uniform in [-1, 1], as in the code of Courbariaux et al. (2016),
      by the same draws as Glorot and Bengio's

    Raises ConfigurationError as BinarizedNetwork does, and for options that are no flags.
    """

    def __init__(
        self,
        layers: Sequence[int],
        *,
        binarisation: Binarisation,
        glorot: bool = False,
        binarised_gradients: bool = False,
        drawn_weights: bool = True,
        wide: bool = False,
        seed: int = 0,
    ) -> None:
        check_flags(
            glorot=glorot, binarised_gradients=binarised_gradients, drawn_weights=drawn_weights,
            wide=wide,
        )  # fmt: skip
        super().__init__(layers, binarisation=binarisation, seed=seed)
        self.glorot, self.binarised_gradients = glorot, binarised_gradients
        self.drawn_weights, self.wide = drawn_weights, wide
        for latent in self.latent:
            if wide:
                n_out, n_in = latent.shape
                latent.data *= glorot_scale(n_in, n_out) / 2  # drawn within ±2/γ
            latent.register_hook(self._changed)

    def describe(self) -> str:
        """The network and its options, but the seed, as text."""
        return (
            f"{super().describe()}, glorot={self.glorot}, "
            f"binarised_gradients={self.binarised_gradients}, "
            f"drawn_weights={self.drawn_weights}, wide={self.wide}"
        )

    def _weight(self, latent: torch.Tensor) -> torch.Tensor:
        if self.binary and not self.drawn_weights:
            return sign(latent)
        return super()._weight(latent)

    def _changed(self, gradient: torch.Tensor) -> torch.Tensor:
        """What the optimiser sees of a layer's gradient [out, in]."""
        if self.binarised_gradients:
            gradient = binarised_gradient(gradient)
        n_out, n_in = gradient.shape
        return glorot_scale(n_in, n_out) * gradient if self.glorot else gradient
