"""TiedBernoulli: independent weights, those of a unit that sees an image tied by a smooth basis.

The first layer sees an image, and its logits are smooth ones: each unit's are an image of few
frequencies, and the trained parameters are its coefficients. That ties neighbouring weights, which
a mini-batch tells little about one by one.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit
from torch.nn.functional import logsigmoid

from qhyper.bits import Bits
from qhyper.compose.fields import cosines
from qhyper.errors import ConfigurationError, UnsuitableError
from qhyper.hypernetwork import Capabilities, HyperNetwork
from qhyper.streams import Rngs
from qhyper.targets.layout import Layout

Reals = npt.NDArray[np.float64]


class Cosines:
    """Images of few frequencies: the first `kept` (rows, columns) of the cosine transform.

    The transform is the orthonormal DCT-II (Ahmed, Natarajan and Rao 1974) of `image` = (height,
    width). Raises ConfigurationError unless at least one frequency is kept, and no more than the
    image has, along each side.
    """

    def __init__(self, image: tuple[int, int], kept: tuple[int, int]) -> None:
        if len(image) != 2 or len(kept) != 2 or not all(
            1 <= k <= size for k, size in zip(kept, image, strict=True)
        ):  # fmt: skip
            raise ConfigurationError(
                f"Got basis={kept} for images of {image}; expected two numbers of frequencies, "
                "each from 1 to the side of the image, such as (10, 10) of (28, 28)."
            )
        self.image, self.kept = tuple(image), tuple(kept)
        self.rows, self.columns = (cosines(*side) for side in zip(image, kept, strict=True))

    def images(self, coefficients: Reals) -> Reals:
        """Images [..., height * width] of coefficients [..., kept rows, kept columns]."""
        images = self.rows.T @ coefficients @ self.columns
        return images.reshape(*coefficients.shape[:-2], -1)

    def coefficients(self, images: Reals) -> Reals:
        """The transpose of `images`, and its inverse on images of these frequencies alone."""
        squares = images.reshape(*images.shape[:-1], *self.image)
        return self.rows @ squares @ self.columns.T


class TiedBernoulli(HyperNetwork):
    """Independent weights of a network, the logits of the first layer tied by cosines, or free.

    - basis: how many frequencies of the image a unit of the first layer keeps: (rows, columns), a
      number for both, of which a smaller image keeps all it has, or None: every logit is free
    - image: (height, width) that the inputs are the pixels of; a square unless told. Inputs that
      are no square are no image, and their logits are free

    Parameters, float64: the first layer's coefficients [replica, unit, kept rows, kept columns] or
    its logits [replica, unit, input], and the logits of every other block of the layout, of a
    matrix as [replica, unit, input]. They start at N(0, 1).

    Raises UnsuitableError without a layout that begins with a weight matrix, ConfigurationError if
    the inputs are not the pixels of the image.
    """

    capabilities = Capabilities(log_prob=True, marginals=True, independent=True)
    recipe: Mapping[str, Any] = {
        "estimator": "local-expectation",
        "draws": 1,
        "learning_rate": 0.3,
        "optimizer_options": {"betas": [0.9, 0.99], "eps": 1e-12, "fused": True},
        "schedule": "linear",
        "final_draws": 64,
    }

    def __init__(
        self,
        n_bits: int,
        *,
        layout: Layout | None = None,
        basis: int | Sequence[int] | None = 10,
        image: Sequence[int] | None = None,
        seeds: Sequence[int] = (0,),
    ) -> None:
        super().__init__(n_bits, seeds=seeds)
        if layout is None or len(layout.blocks[0].layers) != 2:
            raise UnsuitableError(
                "TiedBernoulli ties the weights of the units of a first layer, and needs the "
                f"layout of a target that begins with a weight matrix; got {layout}. Use Bernoulli."
            )
        layout.check(n_bits)
        n_inputs, n_units = layout.blocks[0].shape
        square = math.isqrt(n_inputs) ** 2 == n_inputs
        self.basis = None
        if basis is not None and (square or image is not None or not isinstance(basis, int)):
            self.basis = _cosines(n_inputs, basis, image)
        self._shapes = [block.shape for block in layout.blocks]
        first = (n_units, n_inputs) if self.basis is None else (n_units, *self.basis.kept)
        self.coefficients = torch.nn.ParameterList(
            torch.empty(self.replicas, *shape, dtype=torch.float64)
            for shape in (first, *(shape[::-1] for shape in self._shapes[1:]))
        )
        self.initialise()

    def describe(self) -> str:
        """One line on what this generator is, for reports."""
        if self.basis is None:
            return "Bernoulli, every weight by itself, from N(0, 1)"
        kept, image = ("×".join(map(str, sides)) for sides in (self.basis.kept, self.basis.image))
        return f"Bernoulli, first layer tied by {kept} cosines of {image} inputs"

    def _initialise(self, rng: Rngs) -> None:
        for parameter in self.coefficients:
            start = np.stack([stream.normal(size=parameter.shape[1:]) for stream in rng])
            parameter.copy_(torch.from_numpy(start))

    def matrix_probabilities(self) -> list[Reals]:
        """The probability of a 1 of every block, [replica, ...] with a matrix as [unit, input]."""
        first, *others = (p.detach().cpu().numpy() for p in self.coefficients)
        logits = first if self.basis is None else self.basis.images(first)
        return [expit(logits), *(expit(other) for other in others)]

    def flat(self, blocks: Sequence[npt.NDArray]) -> npt.NDArray:
        """Blocks [replica, ...] of [unit, input] as [replica, bit], of the same dtype.

        There matrices are [in, out], as the bits are.
        """
        return np.concatenate([b.swapaxes(1, -1).reshape(len(b), -1) for b in blocks], axis=1)

    def derivatives(self, slopes: Reals, probabilities: Sequence[Reals]) -> list[Reals]:
        """Derivatives by the parameters, each [replica, ...] as its parameter.

        By the chain rule, from `slopes` [replica, bit], those by the marginals; `probabilities`
        [replica, ...] are those of `matrix_probabilities`.
        """
        ends = np.cumsum([math.prod(shape) for shape in self._shapes])[:-1]
        parts = np.split(slopes, ends, axis=1)
        by_logits = []
        for part, shape, p in zip(parts, self._shapes, probabilities, strict=True):
            matrix = np.ascontiguousarray(part.reshape(-1, *shape).swapaxes(1, -1))
            by_logits.append(matrix * p * (1 - p))
        if self.basis is not None:
            by_logits[0] = self.basis.coefficients(by_logits[0])
        return by_logits

    def _sample(self, shots: int, rng: Rngs, inputs: Any) -> Bits:
        probabilities = self.matrix_probabilities()
        bits = np.empty((self.replicas, 1, shots, self.n_bits), np.uint8)
        for replica, stream in enumerate(rng):
            own = [p[replica] for p in probabilities]
            for shot in range(shots):
                drawn = [(stream.random(p.shape) < p).view(np.uint8)[None] for p in own]
                bits[replica, 0, shot] = self.flat(drawn)[0]
        return bits

    def _marginals(self, inputs: Any) -> torch.Tensor:
        return _Marginals.apply(self, *self.coefficients)[:, None]

    def _log_prob(self, bits: Bits, inputs: Any) -> torch.Tensor:
        first, *others = self.coefficients
        if self.basis is not None:
            rows, columns = (
                torch.from_numpy(m).to(first.device) for m in (self.basis.rows, self.basis.columns)
            )
            first = (rows.T @ first @ columns).flatten(2)
        logits = torch.cat([b.swapaxes(1, -1).flatten(1) for b in (first, *others)], dim=1)
        # log σ(l) = l + log σ(-l): the bits enter in a product alone, which is fast.
        w = torch.as_tensor(bits.astype(np.float64), device=logits.device)
        logits = logits[:, None, None]
        return (w @ logits.mT)[..., 0] + logsigmoid(-logits).sum(-1)


class _Marginals(torch.autograd.Function):
    """p [replica, bit] of the parameters: in NumPy, whose matrix products need no copies here."""

    @staticmethod
    def forward(ctx: Any, generator: TiedBernoulli, *parameters: torch.Tensor) -> torch.Tensor:
        ctx.generator, ctx.probabilities = generator, generator.matrix_probabilities()
        return torch.from_numpy(generator.flat(ctx.probabilities)).to(parameters[0].device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        slopes = gradient.cpu().numpy()
        found = ctx.generator.derivatives(slopes, ctx.probabilities)
        return (None, *(torch.from_numpy(g).to(gradient.device) for g in found))


def _cosines(n_inputs: int, basis: int | Sequence[int], image: Sequence[int] | None) -> Cosines:
    """The basis of the first layer, of an image of as many pixels as there are inputs."""
    side = math.isqrt(n_inputs)
    sides = (side, side) if image is None else tuple(image)
    if len(sides) != 2 or math.prod(sides) != n_inputs:
        raise ConfigurationError(
            f"Got images of {tuple(sides)} for {n_inputs} inputs. Say which image the inputs are "
            "the pixels of, as image=(height, width), or leave the weights free, basis=None."
        )
    if isinstance(basis, int):
        return Cosines(sides, (min(basis, sides[0]), min(basis, sides[1])))
    return Cosines(sides, tuple(basis))  # type: ignore[arg-type]
