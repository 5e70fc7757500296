"""The score function with a Stein control variate: log p of all strings one flip away.

The Gibbs sampler's step on bit i flips it, w to w^i, with probability p(w^i) / (p(w) + p(w^i)),
and leaves p as it is. So E[p(flip) · (h(w^i) - h(w))] = 0 for any function h: a discrete Stein
operator, of which any multiple may be added to an estimate (RODEO, Shi et al., 2022,
arXiv:2202.09497). Here h is ∇log p times a polynomial of the bits, fitted to the losses of other
draws, and no flip is evaluated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.gradients.estimator import (
    UNBIASED,
    Float,
    GradientEstimate,
    GradientEstimator,
    check_log_prob,
    check_risk,
    check_shots,
)
from qhyper.gradients.score import measure
from qhyper.hypernetwork import HyperNetwork
from qhyper.risk import Expectation, Risk
from qhyper.spending import Spending
from qhyper.streams import Rngs
from qhyper.targets.target import Losses

MOST_BITS = 64
"""Of which every draw's neighbours are asked for log p."""
_TERMS_A_DRAW = 2
"""At the most, in the half that a polynomial is fitted to."""
_RIDGE = 10.0
"""Draws that say of each term that it is 0: where bits are nearly fixed, the others say little."""
_WEIGHT_A_BIT = 0.25
"""Of the operator's mean over bits; near the best one measured at 12 and 36 bits."""


@dataclass(frozen=True)
class Stein(GradientEstimator):
    """Score function, leave-one-out, and the Stein operator of a polynomial of the bits' signs.

    The polynomial is fitted to the other half of the draws: of order 2, or 1 where `shots` are
    fewer than the terms, or none. n + 1 times log p and its gradient for each draw of n bits, 64 at
    the most. Unbiased.
    """

    shots: int

    bias: ClassVar[Mapping[type, str]] = {Expectation: UNBIASED}

    def __post_init__(self) -> None:
        check_shots("The Stein control variate", self.shots, 2, ", one in each half")

    def check(self, generator: HyperNetwork, risk: Risk) -> None:
        """Raise ConfigurationError without log p, for more than 64 bits, or for other risks."""
        check_log_prob("The Stein control variate", generator)
        if generator.n_bits > MOST_BITS:
            raise ConfigurationError(
                f"The Stein control variate asks for log p of all {generator.n_bits:,} strings one "
                f"flip away from each draw; at the most {MOST_BITS} bits are taken. Use "
                "score-function, or block-expectation where bits fall into blocks."
            )
        check_risk("The Stein control variate", self.bias, risk, generator)

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
            generator, objective, risk, self.shots, "leave-one-out", rng, inputs
        )
        generator.accumulate_scores(drawn.bits, coefficients, inputs=inputs)
        values, changes = polynomials(drawn.bits, drawn.losses)
        if changes.any():
            n = generator.n_bits
            weight = _WEIGHT_A_BIT * n / drawn.losses[0].size
            flips = np.broadcast_to(np.arange(n), drawn.bits.shape)
            accumulate_operator(
                generator, drawn.bits, flips, weight * values, weight * changes, inputs
            )
        return estimate


def accumulate_operator(
    generator: HyperNetwork,
    bits: Bits,
    flips: npt.NDArray[np.int64],
    costs: Float,
    changes: Float,
    inputs: Any = None,
) -> None:
    """Add Σ over draws, mean over flips of p(flip) · (h(w^i) - h(w)) to `.grad`, h = cost · ∇log p.

    bits [replica, input, shot, bit]; flips [replica, input, shot, flip], numbers of bits; costs
    [replica, input, shot]; changes [replica, input, shot, flip], of the cost by each flip.
    """
    own = _log_prob(generator, bits, inputs)
    leaving, each = np.zeros_like(costs), flips.shape[-1]
    for k in range(each):
        neighbours, at = bits.copy(), flips[..., k, None]
        np.put_along_axis(neighbours, at, 1 - np.take_along_axis(bits, at, axis=-1), axis=-1)
        ratio = own - _log_prob(generator, neighbours, inputs)
        possible = ratio < np.inf
        probability = np.where(possible, 1 / (1 + np.exp(np.minimum(ratio, 700.0))), 0.0) / each
        neighbours[~possible] = bits[~possible]  # what is impossible has no ∇log p
        arriving = probability * (costs + changes[..., k])
        generator.accumulate_scores(neighbours, arriving, inputs=inputs)
        leaving += probability * costs
    generator.accumulate_scores(bits, -leaving, inputs=inputs)


def _log_prob(generator: HyperNetwork, bits: Bits, inputs: Any) -> Float:
    with torch.no_grad():
        return generator.log_prob(bits, inputs=inputs).cpu().numpy()


def polynomials(bits: Bits, losses: Float) -> tuple[Float, Float]:
    """A polynomial at every draw [..., shot], and what each flip changes in it [..., shot, bit].

    Of bits [replica, input, shot, bit]; it is fitted to the losses of the other half, over which
    its mean is 0.
    """
    signs = 2 * bits.astype(np.float64) - 1
    values, changes, half = np.zeros_like(losses), np.zeros_like(signs), losses.shape[-1] // 2
    parts = (slice(half), slice(half, None))
    for own, other in (parts, parts[::-1]):
        for at in np.ndindex(losses.shape[:2]):
            linear, pairs, mean = _fitted(signs[at][other], losses[at][other])
            s = signs[at][own]
            slopes = linear + s @ pairs
            values[at][own] = (s * (linear + slopes)).sum(axis=-1) / 2 - mean
            changes[at][own] = -2 * s * slopes
    return values, changes


def _fitted(signs: Float, losses: Float) -> tuple[Float, Float, float]:
    """(linear [bit], symmetric and hollow [bit, bit], mean) of a polynomial: ridge regression."""
    shots, n = signs.shape
    pairs = np.zeros((n, n))
    order = sum(terms <= _TERMS_A_DRAW * shots for terms in (1 + n, 1 + n + n * (n - 1) // 2))
    if not order:
        return np.zeros(n), pairs, 0.0
    terms, (first, second) = signs, np.triu_indices(n, 1)
    if order == 2:
        terms = np.concatenate([signs, signs[:, first] * signs[:, second]], axis=1)
    mean = terms.mean(axis=0)
    terms = terms - mean  # so that a constant is fitted besides
    gram = terms.T @ terms
    fitted = np.linalg.solve(gram + _RIDGE * np.eye(len(gram)), losses @ terms)
    if order == 2:
        pairs[first, second] = pairs[second, first] = fitted[n:]
    return fitted[:n], pairs, float(mean @ fitted)
