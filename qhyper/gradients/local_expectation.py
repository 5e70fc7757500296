"""Local expectation gradients: exact differences of single flips, one bit at a time.

∂E[L]/∂p_i = E[L(w_i = 1) - L(w_i = 0)], all other bits drawn (Titsias and Lázaro-Gredilla, 2015,
"Local expectation gradients for black box variational inference"). One draw with all its flips
gives every derivative, where the score function gets one number from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from qhyper.errors import ConfigurationError
from qhyper.gradients.estimator import (
    UNBIASED,
    Float,
    GradientEstimate,
    GradientEstimator,
    check_risk,
    check_shots,
    measured,
)
from qhyper.hypernetwork import HyperNetwork
from qhyper.risk import Expectation, FreeEnergy, Risk, Sample
from qhyper.spending import Spending
from qhyper.streams import Rngs
from qhyper.targets.objective import checked
from qhyper.targets.target import Losses, MiniBatches

MEAN_FIELD = "that of taking the bits as independent"
_LEAST = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class LocalExpectation(GradientEstimator):
    """Σ_i ∂p_i/∂θ · mean over `shots` draws of L(w_i = 1) - L(w_i = 0), p_i the bits' marginals.

    Unbiased where bits are independent, and then for the free energy too, whose entropy is known
    exactly. For other generators it is a mean-field gradient: it follows the marginals, as if
    nothing tied the bits (`bias_for`).
    """

    shots: int

    bias: ClassVar[Mapping[type, str]] = {Expectation: UNBIASED, FreeEnergy: UNBIASED}

    def __post_init__(self) -> None:
        check_shots("The local expectation gradient", self.shots, 1, "")

    @staticmethod
    def bias_for(generator: HyperNetwork) -> str:
        """What is known of the estimate's bias for this generator."""
        return UNBIASED if generator.capabilities.independent else MEAN_FIELD

    def check(self, generator: HyperNetwork, risk: Risk) -> None:
        """Raise ConfigurationError without exact marginals, or for a risk not supported."""
        if not generator.has_marginals:
            raise ConfigurationError(
                f"The local expectation gradient needs the exact probability of each bit, and "
                f"{generator.describe()} does not give it. Use score-function, which needs log p, "
                "or spsa."
            )
        check_risk("The local expectation gradient", self.bias, risk, generator)
        if not generator.capabilities.independent and not isinstance(risk, Expectation):
            raise ConfigurationError(
                f"The local expectation gradient of {type(risk).__name__} is for independent bits, "
                f"and those of {generator.describe()} are not. Use the risk Expectation, or "
                "score-function."
            )

    def check_objective(self, objective: Losses | MiniBatches) -> None:
        """Raise ConfigurationError unless the objective has flips."""
        capabilities = getattr(objective, "capabilities", None)
        if capabilities is None or not capabilities.flips:
            raise ConfigurationError(
                "The local expectation gradient needs the differences of single flips, and the "
                "objective does not give them. Wrap a function of bits [draws, bit] as "
                "Objective(function, n_bits), or use score-function."
            )

    def cost(
        self,
        generator: HyperNetwork,
        risk: Risk,
        *,
        n_inputs: int = 1,
        objective: Any = None,
    ) -> Spending:
        """One circuit for each input; a draw and its flips are what the objective says they are."""
        each = generator.n_bits + 1 if objective is None else objective.flip_evaluations
        return Spending(n_inputs * self.shots * each, n_inputs * self.shots, n_inputs)

    def __call__(
        self,
        generator: HyperNetwork,
        objective: Any,
        risk: Risk,
        *,
        rng: Rngs,
        inputs: Any = None,
    ) -> GradientEstimate:
        """Add the gradient of the risk to `.grad` of the generator's parameters."""
        self.check(generator, risk)
        marginals = generator.marginals(inputs=inputs)
        bits = generator.sample(self.shots, rng=rng, inputs=inputs).bits
        losses, differences = checked(objective).flips(bits)
        slopes = np.where(bits, -differences, differences).mean(axis=2)
        n_inputs = bits.shape[1]
        drawn = Sample(bits, losses)
        if isinstance(risk, FreeEnergy):
            p = marginals.detach().cpu().numpy()
            slopes += risk.temperature * _logit(p)
            with torch.no_grad():
                log_p = generator.log_prob(bits, inputs=inputs).cpu().numpy()
            drawn = Sample(bits, losses, log_p)
        gradient = torch.from_numpy(slopes / n_inputs).to(marginals.device)
        torch.autograd.backward(marginals, gradient)
        spent = self.cost(generator, risk, n_inputs=n_inputs, objective=objective)
        return measured(drawn, risk, spent)


def _logit(p: Float) -> Float:
    """log p - log (1 - p), finite at 0 and 1, where p (1 - p) takes it to nothing."""
    return np.log(np.maximum(p, _LEAST)) - np.log(np.maximum(1 - p, _LEAST))
