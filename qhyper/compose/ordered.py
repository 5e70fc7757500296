"""Ordered: the bits of a generator in another order."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from qhyper.bits import Bits
from qhyper.compose.parts import Float, check_parts, reordered, with_angles
from qhyper.hypernetwork import HyperNetwork
from qhyper.streams import Rngs
from qhyper.targets.layout import Layout, permutation


class Ordered(HyperNetwork):
    """Another generator with its bits in another order: bit q of `generator` becomes `order[q]`.

    `order` is a permutation, or a name that `Layout.order` knows, with the target's `layout`. The
    generator keeps its parameters. Raises ConfigurationError for what is no permutation of its
    bits.
    """

    generator: HyperNetwork

    def __init__(
        self, generator: HyperNetwork, order: str | Sequence[int], *, layout: Layout | None = None
    ) -> None:
        check_parts([generator])
        super().__init__(generator.n_bits, seeds=generator.seeds, n_inputs=generator.n_inputs)
        self.order = permutation(
            order, self.n_bits, layout, kind="order", entry="the generator's bit q becomes"
        )
        self._from = np.argsort(self.order)
        self._name = f"order {order}" if isinstance(order, str) else "bits in an order of their own"
        self.generator = generator
        self.capabilities, self.recipe = generator.capabilities, generator.recipe

    def describe(self) -> str:
        """One line on what this generator is, for reports."""
        return f"{self.generator.describe()}, {self._name}"

    def _initialise(self, rng: Rngs) -> None:
        self.generator._initialise(rng)

    def _placed(self, bits: Bits) -> Bits:
        placed = np.empty_like(bits)
        placed[..., self.order] = bits
        return placed

    def _inner(self, bits: Bits) -> Bits:
        return np.ascontiguousarray(bits[..., self.order])

    def _sample(self, shots: int, rng: Rngs, inputs: torch.Tensor | None) -> Bits:
        return self._placed(self.generator.sample(shots, rng=rng, inputs=inputs).bits)

    def _log_prob(self, bits: Bits, inputs: torch.Tensor | None) -> torch.Tensor:
        return self.generator.log_prob(self._inner(bits), inputs=inputs)

    def accumulate_scores(self, bits: Bits, coefficients: Float, *, inputs: Any = None) -> None:
        """As in HyperNetwork, in the way of the generator."""
        own = self._inner(self._checked(bits, self._as_inputs(inputs)))
        self.generator.accumulate_scores(own, coefficients, inputs=inputs)

    def _scores(self, bits: Bits, inputs: Any) -> Float:
        own = self._inner(self._checked(bits, self._as_inputs(inputs)))
        return self.generator.scores(own, inputs=inputs)

    @property
    def differentiable_bits(self) -> int:
        """Those of the generator."""
        return self.generator.differentiable_bits

    @property
    def max_probability_bits(self) -> int:
        """Those of the generator."""
        return self.generator.max_probability_bits

    def _probabilities(self, inputs: torch.Tensor | None) -> torch.Tensor:
        return reordered(self.generator.probabilities(inputs=inputs), self.order)

    def _marginals(self, inputs: torch.Tensor | None) -> torch.Tensor:
        return self.generator.marginals(inputs=inputs)[..., self._from]

    @property
    def independent_blocks(self) -> npt.NDArray[np.int64] | None:
        """As in HyperNetwork: those of the generator."""
        found = self.generator.independent_blocks
        return None if found is None else self.order[found]

    def block_probabilities(self) -> torch.Tensor:
        """As in HyperNetwork, in the way of the generator."""
        return self.generator.block_probabilities()

    def block_expectation(self, costs: torch.Tensor) -> torch.Tensor:
        """As in HyperNetwork, in the way of the generator."""
        return self.generator.block_expectation(costs)

    def expectation(self, costs: torch.Tensor, *, inputs: Any = None) -> torch.Tensor:
        """As in HyperNetwork, in the way of the generator."""
        own = reordered(torch.as_tensor(costs), self._from)
        return self.generator.expectation(own, inputs=inputs)

    def angles(self, *, inputs: Any = None) -> torch.Tensor:
        """Those of the generator in radians, differentiable float64 [replica, input, angle]."""
        return with_angles(self.generator).angles(inputs=inputs)

    @property
    def trained_angles(self) -> npt.NDArray[np.int64]:
        """The numbers of the angles that depend on a parameter, int64 [trained angle]."""
        return with_angles(self.generator).trained_angles

    def sample_angles(self, angles: Float, shots: int, *, rng: Rngs) -> Bits:
        """Draws [replica, row, shot, bit] at angles [replica, row, angle] in radians."""
        return self._placed(with_angles(self.generator).sample_angles(angles, shots, rng=rng))
