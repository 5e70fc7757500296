"""The score function with a control variate: a polynomial of the bits, fitted to the losses.

With any function f̂ of the bits, E[L] = E[f̂] + E[L - f̂]. Of E[f̂] the gradient is exact; the score
function is left with the residuals, which vary less the better f̂ fits. It is fitted by least
squares to the *other* half of the draws (cross-fitting), so that it does not know the draw that it
is taken from, and the estimate stays unbiased. No draw is evaluated twice, and none more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import torch

from qhyper.bits import Bits, all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.gradients.estimator import (
    UNBIASED,
    Float,
    GradientEstimate,
    GradientEstimator,
    check_log_prob,
    check_risk,
    check_shots,
    check_whole,
    evaluate,
    measured,
)
from qhyper.hypernetwork import HyperNetwork
from qhyper.risk import Expectation, Risk
from qhyper.spending import Spending
from qhyper.streams import Rngs
from qhyper.targets.target import Losses

MOST_BITS = 16
"""For which the polynomial is tabulated."""
_DRAWS_A_TERM = 2
"""Below, a fit would add more noise than it takes away."""


@dataclass(frozen=True)
class ControlVariate(GradientEstimator):
    """Score function of residuals, and the exact gradient of a polynomial of the bits' signs.

    - order: the largest number of bits that a term multiplies; a lower one is taken where half of
      the `shots` are fewer than twice the terms

    Baselines are leave-one-out, within a half. For generators with exact probabilities of up to 16
    bits. Unbiased. Raises ConfigurationError unless `order` is 1 or more and `shots` are 2 or more,
    whole numbers both.
    """

    shots: int
    order: int = 2

    bias: ClassVar[Mapping[type, str]] = {Expectation: UNBIASED}

    def __post_init__(self) -> None:
        check_shots("The control variate", self.shots, 2, ", one in each half")
        check_whole("The control variate's order", self.order)
        if self.order < 1:
            raise ConfigurationError(
                f"The control variate is a polynomial of order 1 or more; got order={self.order}."
            )

    def check(self, generator: HyperNetwork, risk: Risk) -> None:
        """Raise ConfigurationError without log p or exact probabilities, or for other risks."""
        check_log_prob("The control variate", generator)
        if generator.n_bits > min(MOST_BITS, generator.differentiable_bits):
            raise ConfigurationError(
                f"The control variate needs all 2^{generator.n_bits} probabilities and their "
                f"derivatives, of up to {MOST_BITS} bits, and {generator.describe()} does not give "
                "them. Use score-function, or block-expectation where bits fall into blocks."
            )
        check_risk("The control variate", self.bias, risk, generator)

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
        bits = generator.sample(self.shots, rng=rng, inputs=inputs).bits
        drawn = evaluate(generator, bits, objective, risk, inputs=inputs)
        n_inputs = bits.shape[1]
        table, coefficients = self._split(bits, drawn.losses)
        generator.accumulate_scores(bits, coefficients / (self.shots * n_inputs), inputs=inputs)
        costs = torch.from_numpy(table / n_inputs)
        generator.expectation(costs, inputs=inputs).sum().backward()
        return measured(drawn, risk, self.cost(generator, risk, n_inputs=n_inputs))

    def _split(self, bits: Bits, losses: Float) -> tuple[Float, Float]:
        """(the mean polynomial [replica, input, 2^n], centred residuals [replica, input, shot])."""
        n, half = bits.shape[-1], self.shots // 2
        terms = _terms(n, self.order, half // _DRAWS_A_TERM)
        numbers = bits @ (1 << np.arange(n))
        table = np.zeros((*bits.shape[:2], 1 << n))
        residuals = np.empty_like(losses)
        parts = (slice(half), slice(half, None))
        for own, other in (parts, parts[::-1]):
            for at in np.ndindex(bits.shape[:2]):
                seen, mine = numbers[at][other], numbers[at][own]
                fitted, *_ = np.linalg.lstsq(terms[seen], losses[at][other], rcond=1e-6)
                polynomial = terms @ fitted
                left = losses[at][own] - polynomial[mine]
                others = (left.sum() - left) / max(1, len(left) - 1)
                residuals[at][own] = left - others
                table[at] += polynomial * len(left) / self.shots
        return table, residuals


@cache
def _terms(n: int, order: int, most: int) -> Float:
    """Products of signs [2^n, term] of up to `order` bits, the constant first.

    Of as high an order as there are at the most `most` terms, if 0.
    """
    signs = 2.0 * all_bitstrings(n) - 1
    columns = [np.ones(1 << n)]
    for size in range(1, min(order, n) + 1):
        more = [signs[:, list(chosen)].prod(axis=1) for chosen in combinations(range(n), size)]
        if len(columns) + len(more) > most:
            break
        columns += more
    return np.stack(columns, axis=1)
