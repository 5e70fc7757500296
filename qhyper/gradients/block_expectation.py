"""Block expectation gradients: exact over all strings of one block at a time.

If the bits fall into blocks that are independent of each other, p(w) = Π_c p_c(w_c), then
∂E[L] = Σ_c Σ_s ∂p_c(s) · E[L(w with block c as s)], all other bits drawn: the local expectation
gradient (Titsias and Lázaro-Gredilla, 2015) of blocks in place of bits. However entangled the bits
of a block are, one draw with all strings of every block gives an unbiased gradient.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from qhyper.errors import ConfigurationError
from qhyper.gradients.estimator import (
    UNBIASED,
    GradientEstimate,
    GradientEstimator,
    check_risk,
    check_shots,
    measured,
)
from qhyper.hypernetwork import HyperNetwork
from qhyper.risk import Expectation, Risk, Sample
from qhyper.spending import Spending
from qhyper.streams import Rngs
from qhyper.targets.objective import (
    blocks_by_evaluation,
    check_blocks,
    checked,
    strings_of_blocks,
)


@dataclass(frozen=True)
class BlockExpectation(GradientEstimator):
    """Σ over blocks and strings of ∂p_c(s) · mean over `shots` draws of L(block c as s) - L.

    For a generator with `independent_blocks`: the chunks of a static hypernetwork, single bits
    where all are independent, or all bits of one with exact probabilities. Unbiased.
    """

    shots: int

    bias: ClassVar[Mapping[type, str]] = {Expectation: UNBIASED}

    def __post_init__(self) -> None:
        check_shots("The block expectation gradient", self.shots, 1, "")

    def check(self, generator: HyperNetwork, risk: Risk) -> None:
        """Raise ConfigurationError without known blocks of 12 bits or fewer, or for other risks."""
        if generator.n_inputs or generator.independent_blocks is None:
            raise ConfigurationError(
                "The block expectation gradient needs blocks of bits that are independent of each "
                f"other, with exact probabilities, and {generator.describe()} has none. Use "
                "score-function, which needs log p, or spsa."
            )
        check_blocks(generator.independent_blocks, generator.n_bits)
        check_risk("The block expectation gradient", self.bias, risk, generator)

    def cost(
        self, generator: HyperNetwork, risk: Risk, *, n_inputs: int = 1, objective: Any = None
    ) -> Spending:
        """One circuit; a draw with all strings of its blocks is what the objective says it is."""
        plan = generator.independent_blocks
        assert plan is not None
        each = getattr(objective, "block_evaluations", None)
        evaluations = strings_of_blocks(plan) if each is None else each(plan)
        return Spending(self.shots * evaluations, self.shots, 1)

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
        plan = generator.independent_blocks
        assert plan is not None
        bits = generator.sample(self.shots, rng=rng).bits
        scored = checked(objective)
        if hasattr(scored, "blocks"):
            losses, differences = scored.blocks(bits, plan)
        else:
            losses, differences = blocks_by_evaluation(scored, bits, plan)
        by_shot = differences[:, 0]
        costs = torch.from_numpy(by_shot.mean(axis=1) if self.shots > 1 else by_shot[:, 0])
        device = next(iter(generator.parameters())).device
        generator.block_expectation(costs.to(device)).sum().backward()
        return measured(Sample(bits, losses), risk, self.cost(generator, risk, objective=objective))
