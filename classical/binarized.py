"""Binarised networks of any size, trained by gradients that go straight through.

Each layer is a linear map without bias, then batch normalisation, and between layers an
activation. Binarised, weights and activations are -1 and +1 (Courbariaux et al. 2016); full
precision has real weights and ReLU, and all else the same. What is trained is evaluated, and
exported, as a plain network of signs.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch.nn.functional import batch_norm, linear

from classical.image_classifier import ImageClassifier
from classical.straight_through import sign, within
from qhyper.data.images import Images
from qhyper.errors import ConfigurationError, unknown
from qhyper.targets.sign import Sign

Binarisation = Literal["none", "deterministic", "stochastic"]

STATISTICS = 10_000
"""Training rows over which the statistics of batch normalisation are taken, at most."""


class _StochasticSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        ctx.save_for_backward(x)
        drawn = torch.rand(x.shape, dtype=x.dtype, generator=generator).to(x.device)
        # +1 where 2u - 1 < x, in place, which is several times as quick as torch.where
        return drawn.mul_(2).sub_(1).lt_(x).mul_(2).sub_(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[torch.Tensor, None]:
        (x,) = ctx.saved_tensors
        return within(x) * gradients[0], None


def stochastic_sign(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """+1 with probability clip((x + 1)/2, 0, 1), else -1; gradient `g 1[|x| <= 1]`.

    That is the derivative of the expectation, clip(x, -1, 1), but at ±1 (Courbariaux et al. 2016,
    eqs. 2 to 4). Every number of x has a draw of its own, of a generator on the CPU.
    """
    return _StochasticSign.apply(x, generator)


class BinarizedNetwork(ImageClassifier):
    """A classifier of layers such as (784, 128, 10): linear, batch normalisation, activation, ...

    `binarisation` says what weights and activations are while it is trained:

    - "none": real weights and ReLU, the network of full precision
    - "deterministic": the signs of latent weights and of batch normalisation's outputs
    - "stochastic": -1 or +1 at random, by `stochastic_sign`, anew in each forward pass

    `fit_images` trains it, on pixels [row, input] as they are. After each epoch the statistics of
    batch normalisation are those of the first STATISTICS rows. Stochastic weights want a learning
    rate that takes most latent weights towards ±1, such as 0.03: those near zero are a coin's toss
    in training, and a sign after it.

    In eval mode both binarised kinds take signs, with sign(0) = +1. The latent weights, one
    [out, in] a layer, start at Glorot and Bengio's (2010) uniform draws; those of binarised
    networks are kept in [-1, 1] by `after_step`. Nothing is drawn from torch's global stream.

    Raises ConfigurationError unless there are two layers or more, of one unit or more each, and
    for another binarisation.
    """

    def __init__(self, layers: Sequence[int], *, binarisation: Binarisation, seed: int = 0) -> None:
        sizes = tuple(layers)
        if len(sizes) < 2 or not all(type(n) is int and n >= 1 for n in sizes):
            raise ConfigurationError(
                f"Got layers={layers}; expected two numbers of units or more, each 1 or more, such "
                "as (784, 128, 10)."
            )
        if binarisation not in get_args(Binarisation):
            raise unknown("binarisation", str(binarisation), get_args(Binarisation))
        super().__init__((1, 1, sizes[0]), sizes[-1], seed=seed)
        self.layers = sizes
        self.binarisation: Binarisation = binarisation
        (rng,) = self.streams(0, "initialise")
        self.latent = torch.nn.ParameterList()
        for n_in, n_out in zip(self.layers, self.layers[1:], strict=False):
            limit = math.sqrt(6 / (n_in + n_out))
            start = torch.from_numpy(rng.uniform(-limit, limit, (n_out, n_in)))
            self.latent.append(torch.nn.Parameter(start.float()))
        self.norms = torch.nn.ModuleList(torch.nn.BatchNorm1d(n) for n in self.layers[1:])

    def describe(self) -> str:
        """The network and its options, but the seed, as text."""
        return f"{super().describe()}, layers={self.layers}, binarisation={self.binarisation}"

    @property
    def binary(self) -> bool:
        """Whether weights and activations are -1 and +1."""
        return self.binarisation != "none"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [row, class] of x [row, input], of the network's dtype.

        x may hold whole numbers of any dtype, such as pixels: batch normalisation takes out the
        scale of the first layer's sums. Raises ConfigurationError if x has another shape.
        """
        h = self._as_inputs(x)
        *hidden, last = zip(self.latent, self.norms, strict=True)
        for latent, norm in hidden:
            h = self._activation(norm(linear(h, self._weight(latent))))
        latent, norm = last
        return norm(linear(h, self._weight(latent)))

    @torch.no_grad()
    def after_step(self) -> None:
        """Clip the latent weights of a binarised network to [-1, 1]: beyond, they are stuck."""
        if self.binary:
            for latent in self.latent:
                latent.clamp_(-1, 1)

    def after_epoch(self, x: torch.Tensor) -> None:
        """Take the statistics of batch normalisation, from the first rows of x.

        x are the pixels of all training images, uint8 [row, input].
        """
        self.set_statistics(x[:STATISTICS])

    def inputs_of(self, images: Images) -> torch.Tensor:
        """The pixels, uint8 [image, input]; ConfigurationError for another number of them."""
        inputs = self.layers[0]
        if images.pixels.shape[1] != inputs:
            raise ConfigurationError(
                f"Got pixels of shape {images.pixels.shape}, but the network {self.layers} has "
                f"{inputs} inputs. Choose layers that begin with the pixels of an image."
            )
        return torch.tensor(images.pixels)

    @torch.no_grad()
    def set_statistics(self, x: torch.Tensor) -> None:
        """Batch normalisation's means and variances in eval mode: those of the rows of x.

        x is [row, input], two rows or more, of any dtype. The network of signs has other
        statistics than the random ones that training has seen. Leaves the network in eval mode.
        Raises ConfigurationError if x has another shape.
        """
        self.eval()
        h = self._as_inputs(x)
        if len(h) < 2:
            raise ConfigurationError("Statistics need two rows or more; got one. Pass more rows.")
        for latent, norm in zip(self.latent, self.norms, strict=True):
            assert isinstance(norm, torch.nn.BatchNorm1d)
            sums = linear(h, self._weight(latent))
            variance, mean = torch.var_mean(sums, dim=0)
            norm.running_mean, norm.running_var = mean, variance
            h = self._activation(
                batch_norm(sums, mean, variance, norm.weight, norm.bias, eps=norm.eps)
            )

    @torch.no_grad()
    def evaluation_network(self) -> torch.nn.Sequential:
        """The network of eval mode as plain torch layers, in eval mode and float64.

        It is Linear without bias, BatchNorm1d, then Sign (or ReLU, of full precision), Linear, and
        so on; weights of a binarised network are exactly -1 and +1. It maps x [row, input] of
        float64 to logits [row, class], is on the CPU, and has its own copy of all numbers.
        """
        modules: list[torch.nn.Module] = []
        for latent, norm in zip(self.latent, self.norms, strict=True):
            assert isinstance(norm, torch.nn.BatchNorm1d)
            n_out, n_in = latent.shape
            if modules:
                modules.append(Sign() if self.binary else torch.nn.ReLU())
            # on `meta` it has no numbers yet, and takes none from torch's random stream
            plain = torch.nn.Linear(n_in, n_out, bias=False, device="meta")
            weight = sign(latent) if self.binary else latent
            plain.weight = torch.nn.Parameter(weight.detach().cpu().to(torch.float64, copy=True))
            copied = torch.nn.BatchNorm1d(n_out, eps=norm.eps)
            copied.load_state_dict(norm.state_dict())
            modules += [plain, copied]
        return torch.nn.Sequential(*modules).double().eval()

    def _weight(self, latent: torch.Tensor) -> torch.Tensor:
        return self._binarised(latent) if self.binary else latent

    def _activation(self, z: torch.Tensor) -> torch.Tensor:
        return self._binarised(z) if self.binary else torch.relu(z)

    def _binarised(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and self.binarisation == "stochastic":
            return stochastic_sign(x, self.draws)
        return sign(x)

    def _as_inputs(self, x: torch.Tensor) -> torch.Tensor:
        if x.ndim != 2 or x.shape[1] != self.layers[0]:
            raise ConfigurationError(
                f"Got x of shape {tuple(x.shape)}; expected [row, {self.layers[0]}], as many "
                f"numbers a row as the network {self.layers} has inputs."
            )
        return x.to(self.latent[0].dtype)
