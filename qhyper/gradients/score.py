"""The score-function gradient: ∇E[L] = E[L ∇ log p] (Williams, 1992, REINFORCE)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import Draw, HyperNetwork
from qhyper.risk import Expectation
from qhyper.search import Losses
from qhyper.streams import Rngs


@dataclass(frozen=True)
class GradientEstimate:
    """What an estimator measured on the way to a gradient, per replica."""

    value: npt.NDArray[np.float64]
    """[replica]: the risk, estimated at the parameters where the draws were made"""
    standard_error: npt.NDArray[np.float64]
    """[replica]: of `value`"""
    draw: Draw
    losses: npt.NDArray[np.float64]
    """[replica, input, shot]"""
    evaluations: int
    """objective evaluations spent by each replica"""


@dataclass(frozen=True)
class ScoreFunction:
    """Score function with the leave-one-out baseline: 1/(K-1) Σ (L_k - mean L) ∇ log p(w_k).

    Each draw's baseline is the mean loss of the others, so the estimate is unbiased (Kool et al.,
    2019). `shots` is K, at least 2, for each replica and input.
    """

    shots: int

    def __post_init__(self) -> None:
        if self.shots < 2:
            raise ConfigurationError(
                f"The leave-one-out baseline needs at least 2 shots; got {self.shots}."
            )

    def __call__(
        self, generator: HyperNetwork, objective: Losses, risk: Expectation, *, rng: Rngs
    ) -> GradientEstimate:
        """Add the gradient of the risk to `.grad` of the generator's parameters.

        Raises ConfigurationError if the generator has no log p.
        """
        if not generator.capabilities.log_prob:
            raise ConfigurationError(
                f"The score function needs log p, and {generator.describe()} has none: it can only "
                "be sampled. Use an estimator that needs samples alone."
            )
        draw = generator.sample(self.shots, rng=rng)
        losses = objective(draw.bits)
        costs = risk.costs(losses)
        mean = costs.mean(axis=2, keepdims=True)
        inputs = costs.shape[1]
        generator.accumulate_scores(draw.bits, (costs - mean) / ((self.shots - 1) * inputs))
        return GradientEstimate(
            value=mean.mean(axis=(1, 2)),
            standard_error=np.sqrt(costs.var(axis=2, ddof=1).sum(axis=1) / self.shots) / inputs,
            draw=draw,
            losses=losses,
            evaluations=self.shots * inputs,
        )
