"""The score function, Rao-Blackwellised over single flips. It does not pay: see README.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from qhyper.gradients.estimator import (
    UNBIASED,
    GradientEstimate,
    GradientEstimator,
    check_log_prob,
    check_risk,
    losses_of,
)
from qhyper.gradients.score import measure
from qhyper.gradients.stein import accumulate_operator
from qhyper.hypernetwork import HyperNetwork
from qhyper.risk import Expectation, Risk
from qhyper.spending import Spending
from qhyper.streams import Rngs
from qhyper.targets.target import Losses


@dataclass(frozen=True)
class RaoBlackwell(GradientEstimator):
    """Mean over `flips` random bits of E[(L - b) ∇log p | all other bits], b leave-one-out.

    The conditional expectation of Titsias and Lázaro-Gredilla (2015) where every bit may depend on
    all others: one bit is summed over, and the others stay. Every flip is evaluated. For generators
    without inputs. Unbiased.
    """

    shots: int
    flips: int

    bias: ClassVar[Mapping[type, str]] = {Expectation: UNBIASED}

    def check(self, generator: HyperNetwork, risk: Risk) -> None:
        """Raise ConfigurationError without log p, or for other risks."""
        check_log_prob("Rao-Blackwellisation", generator)
        check_risk("Rao-Blackwellisation", self.bias, risk, generator)

    def cost(
        self, generator: HyperNetwork, risk: Risk, *, n_inputs: int = 1, objective: Any = None
    ) -> Spending:
        """One circuit; every draw and each of its flips is evaluated."""
        return Spending(self.shots * (1 + self.flips), self.shots, 1)

    def __call__(
        self,
        generator: HyperNetwork,
        objective: Losses,
        risk: Risk,
        *,
        rng: Rngs,
        inputs: Any = None,
    ) -> GradientEstimate:
        """Add the gradient of the risk to `.grad` of the generator's parameters."""
        self.check(generator, risk)
        drawn, coefficients, estimate = measure(
            generator, objective, risk, self.shots, "leave-one-out", rng, inputs
        )
        shape = drawn.bits.shape
        chosen = [stream.random(shape[1:]).argsort(axis=-1)[..., : self.flips] for stream in rng]
        flips = np.stack(chosen)
        strings = np.repeat(drawn.bits[..., None, :], self.flips, axis=-2)
        np.put_along_axis(
            strings, flips[..., None], 1 - np.take_along_axis(strings, flips[..., None], -1), -1
        )
        merged = strings.reshape(*shape[:2], -1, shape[-1])
        losses = losses_of(objective, merged).reshape(flips.shape)
        changes = (losses - drawn.losses[..., None]) / self.shots
        generator.accumulate_scores(drawn.bits, coefficients)
        accumulate_operator(generator, drawn.bits, flips, coefficients, changes)
        return estimate
