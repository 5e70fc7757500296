"""Binary networks trained by gradients that go straight through the sign."""

from collections.abc import Sequence
from typing import Any

import torch

from classical.supervised import Classifier
from qhyper.bits import Bits
from qhyper.errors import ConfigurationError


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, of_zero: int) -> torch.Tensor:
        ctx.save_for_backward(x)
        return signs(x, of_zero)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[torch.Tensor, None]:
        (x,) = ctx.saved_tensors
        return within(x) * gradients[0], None


def signs(x: torch.Tensor, of_zero: int = 1) -> torch.Tensor:
    """-1 below zero, +1 above, `of_zero` (-1, 0 or 1) at zero, NaN for NaN; without a gradient.

    Of the shape and dtype of x, and several times as quick as comparing.
    """
    found = x.sign()
    return found.add_(of_zero / 2).sign_() if of_zero else found


def within(x: torch.Tensor) -> torch.Tensor:
    """1[|x| <= 1], of the shape and dtype of x."""
    return x.abs().le_(1)


def sign(x: torch.Tensor, of_zero: int = 1) -> torch.Tensor:
    """-1 below zero, +1 above, `of_zero` (-1, 0 or 1) at zero; gradient `g 1[|x| <= 1]`.

    The straight-through estimator with clipping (Courbariaux et al. 2016, eq. 4).
    """
    if of_zero not in (-1, 0, 1):
        raise ConfigurationError(f"of_zero is -1, 0 or 1, the sign of zero; got {of_zero}.")
    return _Sign.apply(x, of_zero)


class StraightThroughNetwork(Classifier):
    """A binary network trained by straight-through gradients (Courbariaux et al. 2016).

    hidden = sign(x sign(W1)), ..., logits = hidden sign(W_last), with sign(0) = +1 for weights
    and `sign_of_zero` for hidden units; inputs stay as they are. The real weights behind the
    signs, `latent`, one [replica, in, out] a layer, start at Glorot and Bengio's (2010) uniform
    draws and are clipped to [-1, 1] after each step.

    Raises ConfigurationError as Classifier does, and unless sign_of_zero is +1 or 0.
    """

    def __init__(
        self,
        layers: Sequence[int],
        *,
        seeds: Sequence[int] = (0,),
        sign_of_zero: int = 1,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(layers, seeds=seeds, dtype=dtype)
        if sign_of_zero not in (0, 1):
            raise ConfigurationError(f"sign_of_zero is +1 or 0; got {sign_of_zero}.")
        self.sign_of_zero = sign_of_zero
        rng = self._start()
        self.latent = torch.nn.ParameterList(
            self._glorot(rng, *shape) for shape in self.space.shapes
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [replica, row, class] of x [replica, row, feature], or [row, feature] for all.

        Raises ConfigurationError if x has another shape or dtype than the network.
        """
        first, *later = (sign(latent) for latent in self.latent)
        z = torch.bmm(self._as_inputs(x), first)
        for weight in later:
            z = torch.bmm(sign(z, self.sign_of_zero), weight)
        return z

    def after_step(self) -> None:
        """Clip the latent weights to [-1, 1]: beyond, they would get no gradient ever again."""
        with torch.no_grad():
            for latent in self.latent:
                latent.clamp_(-1, 1)

    def bits(self) -> Bits:
        """The binary weights as bits, uint8 [replica, n_bits], in the order of WeightSpace."""
        with torch.no_grad():
            return self.space.encode([sign(latent).cpu().numpy() for latent in self.latent])


class StraightThroughHyperNetwork(Classifier):
    """Each input's own binary weights, from a linear hypernetwork (E. Oey, LIACS 2023).

    Bits are sign(l) of l = (x V1 + c1) V2 + c2, with sign(0) = -1 and the straight-through
    gradient `1[|l| <= 1]`: the same as 2 round(clip(l/2 + 1/2, 0, 1)) - 1 with the gradient of the
    clip. They are the weights W1, W2 of the target that classifies this input: hidden =
    sign(x W1) with sign(0) = 0, logits = hidden W2. No gradient goes through the hidden sign, so
    that W2 alone is learnt, as in the published notebooks; with `both_layers` it goes straight
    through, and W1 is learnt too.

    Parameters `V1` [replica, feature, hidden], `c1` [replica, hidden], `V2`
    [replica, hidden, bit], `c2` [replica, bit]; matrices start at Glorot and Bengio's (2010)
    uniform draws, biases at zero. Raises ConfigurationError as Classifier does, unless there are
    three layers, and if hidden < 1.
    """

    def __init__(
        self,
        layers: Sequence[int],
        *,
        hidden: int = 16,
        both_layers: bool = False,
        seeds: Sequence[int] = (0,),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(layers, seeds=seeds, dtype=dtype)
        self.both_layers = both_layers
        if len(self.layers) != 3:
            raise ConfigurationError(
                f"The hypernetwork makes the weights of one hidden layer; got layers "
                f"{self.layers}. Choose three sizes, such as (4, 6, 2)."
            )
        if hidden < 1:
            raise ConfigurationError(
                f"hidden is the number of hidden units, 1 or more; got {hidden}."
            )
        rng = self._start()
        n_bits = self.space.n_bits

        def bias(size: int) -> torch.nn.Parameter:
            return torch.nn.Parameter(torch.zeros(self.replicas, size, dtype=self.dtype))

        self.V1 = self._glorot(rng, self.layers[0], hidden)
        self.c1 = bias(hidden)
        self.V2 = self._glorot(rng, hidden, n_bits)
        self.c2 = bias(n_bits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [replica, row, class] of x [replica, row, feature], or [row, feature] for all.

        Raises ConfigurationError if x has another shape or dtype than the hypernetwork.
        """
        x = self._as_inputs(x)
        first, second = (
            part.unflatten(-1, shape)
            for part, shape in zip(self._split(self._latent(x)), self.space.shapes, strict=True)
        )
        if self.both_layers:
            hidden = sign(x.unsqueeze(-2) @ sign(first, -1), 0)
        else:
            hidden = (x.unsqueeze(-2) @ sign(first.detach(), -1)).sign()
        return (hidden @ sign(second, -1)).squeeze(-2)

    def weights(self, x: torch.Tensor) -> Bits:
        """The bits of each input's weights, uint8 [replica, row, n_bits], as WeightSpace has them.

        Takes the same x as `forward`, and raises as it does.
        """
        with torch.no_grad():
            return (self._latent(self._as_inputs(x)) > 0).cpu().numpy().view("uint8")

    def _latent(self, x: torch.Tensor) -> torch.Tensor:
        """What the bits are the signs of, [replica, row, bit]."""
        hidden = torch.baddbmm(self.c1[:, None], x, self.V1)
        return torch.baddbmm(self.c2[:, None], hidden, self.V2)

    def _split(self, latent: torch.Tensor) -> Sequence[torch.Tensor]:
        return latent.split([rows * columns for rows, columns in self.space.shapes], dim=-1)
