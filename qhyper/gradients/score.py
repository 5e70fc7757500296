"""The score-function gradient: ∇E[L] = E[L ∇ log p] (Williams, 1992, REINFORCE)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from qhyper.errors import unknown
from qhyper.gradients.estimator import (
    ALL_UNBIASED,
    ORDER_1_OVER_SHOTS,
    Float,
    GradientEstimate,
    GradientEstimator,
    check_log_prob,
    check_risk,
    check_shots,
    evaluate,
    measured,
)
from qhyper.hypernetwork import HyperNetwork
from qhyper.risk import CVaR, Risk, Sample
from qhyper.spending import Spending
from qhyper.streams import Rngs
from qhyper.targets.target import Losses

Baseline = Literal["leave-one-out", "none"]


@dataclass(frozen=True)
class ScoreFunction(GradientEstimator):
    """Score function, 1/K Σ (c_k - b_k) ∇ log p(w_k) with the costs c of the risk.

    - baseline: what b_k is: `leave-one-out`, the mean cost of the other draws, or `none`, 0

    With the baseline `leave-one-out`, b_k is the mean cost of the other draws, so that the
    estimate stays unbiased (Kool et al., 2019) and varies less; with `none` it is 0. `shots` is K
    for each replica and input, at least 2 with the baseline. Raises ConfigurationError for fewer
    shots or another baseline.
    """

    shots: int
    baseline: Baseline = "leave-one-out"

    bias: ClassVar[Mapping[type, str]] = {**ALL_UNBIASED, CVaR: ORDER_1_OVER_SHOTS}

    def __post_init__(self) -> None:
        if self.baseline not in ("leave-one-out", "none"):
            raise unknown("baseline", self.baseline, ("leave-one-out", "none"))
        least = 2 if self.baseline == "leave-one-out" else 1
        why = ", for the leave-one-out baseline" * (least == 2)
        check_shots("The score function", self.shots, least, why)

    def check(self, generator: HyperNetwork, risk: Risk) -> None:
        """Raise ConfigurationError without log p, or for a risk that is not supported."""
        check_log_prob("The score function", generator)
        check_risk("The score function", self.bias, risk, generator)
        check_shots("The score function", self.shots, risk.min_shots, " for this risk")

    def cost(
        self, generator: HyperNetwork, risk: Risk, *, n_inputs: int = 1, objective: Any = None
    ) -> Spending:
        """One circuit for each input, every shot evaluated."""
        return Spending.of_circuits(n_inputs, self.shots)

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
            generator, objective, risk, self.shots, self.baseline, rng, inputs
        )
        generator.accumulate_scores(drawn.bits, coefficients, inputs=inputs)
        return estimate


def measure(
    generator: HyperNetwork,
    objective: Losses,
    risk: Risk,
    shots: int,
    baseline: Baseline,
    rng: Rngs,
    inputs: Any,
) -> tuple[Sample, Float, GradientEstimate]:
    """(draws, coefficient of each draw's score in the gradient, what was measured)."""
    bits = generator.sample(shots, rng=rng, inputs=inputs).bits
    drawn = evaluate(generator, bits, objective, risk, inputs=inputs)
    costs, others = risk.own_costs(drawn) if shots > 1 else (risk.costs(drawn, drawn), 0.0)
    n_inputs = bits.shape[1]
    centred = costs - others if baseline == "leave-one-out" else costs
    estimate = measured(drawn, risk, Spending.of_circuits(n_inputs, shots))
    return drawn, centred / (shots * n_inputs), estimate
