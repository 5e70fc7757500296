"""The natural gradient: the score-function gradient, preconditioned by the Fisher matrix."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.gradients.estimator import (
    Float,
    GradientEstimate,
    GradientEstimator,
    check_log_prob,
    check_risk,
    check_shots,
)
from qhyper.gradients.score import measure
from qhyper.hypernetwork import HyperNetwork
from qhyper.risk import MMD, CVaR, Expectation, FreeEnergy, Risk
from qhyper.spending import Spending
from qhyper.streams import Rngs
from qhyper.targets.target import Losses

_CONSISTENT = "a quotient of unbiased estimates: bias of order 1/shots"
DENSE_BYTES = 2**29
"""Memory up to which the scores of all draws are kept; above, they are computed anew."""
TOLERANCE = 1e-6
"""Of the conjugate gradients: residual over right-hand side, for each replica."""
STEPS = 10
"""Most of the conjugate gradients for each parameter; without rounding one would do."""


@dataclass(frozen=True)
class NaturalGradient(GradientEstimator):
    """(F + damping)⁻¹ ∇R with the Fisher matrix F = 1/K Σ s sᵀ of the draws' scores s = ∇ log p.

    Amari (1998, eq. 6), damped as by Martens (2020, section 6). F is the classical Fisher matrix of
    the measured distribution, not the quantum metric of Stokes et al. (2020). ∇R is the
    score-function gradient with the leave-one-out baseline. The solve is dense, in the smaller of
    parameters and draws; where the scores of all draws would take more than half a GiB it is
    matrix-free, by conjugate gradients over blocks of draws.

    - damping: added to the Fisher matrix's diagonal

    Raises ConfigurationError unless shots >= 2 and damping > 0.
    """

    shots: int
    damping: float = 1e-3

    bias: ClassVar[Mapping[type, str]] = dict.fromkeys(
        (Expectation, FreeEnergy, MMD, CVaR, Risk), _CONSISTENT
    )

    def __post_init__(self) -> None:
        why = ", for the leave-one-out baseline"
        check_shots("The natural gradient", self.shots, 2, why)
        if not 0 < self.damping < np.inf:
            raise ConfigurationError(
                f"The natural gradient needs a damping above 0; got {self.damping}."
            )

    def check(self, generator: HyperNetwork, risk: Risk) -> None:
        """Raise ConfigurationError without log p, or for a risk that is not supported."""
        check_log_prob("The natural gradient", generator)
        check_risk("The natural gradient", self.bias, risk, generator)
        check_shots("The natural gradient", self.shots, risk.min_shots, " for this risk")

    def cost(
        self, generator: HyperNetwork, risk: Risk, *, n_inputs: int = 1, objective: Any = None
    ) -> Spending:
        """As the score function's."""
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
        """Add the natural gradient of the risk to `.grad` of the generator's parameters.

        Raises ConfigurationError if conjugate gradients do not converge: the damping is too low.
        """
        self.check(generator, risk)
        drawn, coefficients, estimate = measure(
            generator, objective, risk, self.shots, "leave-one-out", rng, inputs
        )
        n_parameters = sum(p[0].numel() for p in generator.trained_parameters)
        draws = coefficients[0].size
        if 8 * draws * n_parameters * generator.replicas <= DENSE_BYTES:
            scores = generator.scores(drawn.bits, inputs=inputs)
            scores = scores.reshape(generator.replicas, draws, n_parameters)
            steps = [
                solve(own, _combined(coefficient, own), self.damping)
                for own, coefficient in zip(
                    scores, coefficients.reshape(generator.replicas, draws), strict=True
                )
            ]
        else:
            steps = self._matrix_free(generator, drawn.bits, coefficients, inputs)
        _add(generator, np.stack(steps))
        return estimate

    def _matrix_free(
        self, generator: HyperNetwork, bits: Bits, coefficients: Float, inputs: Any
    ) -> list[Float]:
        """The steps of all replicas, with the scores of a block of draws at a time."""
        replicas, n_inputs, shots, _ = bits.shape
        n_parameters = sum(p[0].numel() for p in generator.trained_parameters)
        block = max(1, DENSE_BYTES // (8 * n_inputs * n_parameters * replicas))

        def over_blocks(weights: Callable[[Float, slice], Float]) -> Float:
            """Σ over draws of weights(scores) · scores, [replica, parameter]."""
            total = np.zeros((replicas, n_parameters))
            for first in range(0, shots, block):
                part = slice(first, first + block)
                scores = generator.scores(np.ascontiguousarray(bits[:, :, part]), inputs=inputs)
                total += np.einsum("rik,rikp->rp", weights(scores, part), scores)
            return total

        gradient = over_blocks(lambda scores, part: coefficients[:, :, part])

        def damped_fisher(vectors: Float) -> Float:
            product = over_blocks(lambda s, part: np.einsum("rikp,rp->rik", s, vectors))
            return product / (n_inputs * shots) + self.damping * vectors

        found = _conjugate_gradients(damped_fisher, gradient)
        if found is None:
            raise ConfigurationError(
                f"The natural gradient did not converge in {STEPS * n_parameters} "
                f"conjugate-gradient steps. Raise its damping ({self.damping})."
            )
        return list(found)


def _conjugate_gradients(product: Callable[[Float], Float], right: Float) -> Float | None:
    """x with product(x) = right, both [replica, parameter]; None if it takes too many steps.

    Hestenes and Stiefel (1952), every replica with step lengths of its own.
    """
    found, residual, direction = np.zeros_like(right), right, right
    square = (right**2).sum(axis=1, keepdims=True)
    goal = TOLERANCE**2 * square
    for _ in range(STEPS * right.shape[1]):
        open_ = ~(square <= goal)  # NaN stays open
        if not open_.any():
            return found
        image = product(direction)
        curvature = (direction * image).sum(axis=1, keepdims=True)
        length = np.divide(square, curvature, out=np.zeros_like(square), where=open_)
        found = found + length * direction
        residual = residual - length * image
        before, square = square, (residual**2).sum(axis=1, keepdims=True)
        turn = np.divide(square, before, out=np.zeros_like(square), where=open_)
        direction = residual + turn * direction
    return None


def solve(scores: Float, gradient: Float, damping: float) -> Float:
    """(scoresᵀ scores / K + damping)⁻¹ gradient, of scores [K, parameter].

    In the draws where they are fewer, by the identity of Woodbury. In torch, whose threads
    `one_torch_thread` holds back: NumPy's would wait for one another on a busy machine.
    """
    draws, n_parameters = scores.shape
    rows, right = torch.from_numpy(scores), torch.from_numpy(gradient)
    if n_parameters <= draws:
        fisher = rows.T @ rows / draws
        return _positive_solve(fisher, right, damping).numpy()
    inner = _positive_solve(rows @ rows.T, rows @ right, draws * damping)
    return ((right - rows.T @ inner) / damping).numpy()


def _positive_solve(matrix: torch.Tensor, vector: torch.Tensor, damping: float) -> torch.Tensor:
    """(matrix + damping)⁻¹ vector by Cholesky; the matrix is overwritten."""
    matrix.diagonal().add_(damping)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed or not torch.isfinite(factor).all():
        raise ConfigurationError(
            "The Fisher matrix is not finite and positive: the scores are too large. Lower the "
            "learning rate, or raise the damping."
        )
    return torch.cholesky_solve(vector[:, None], factor)[:, 0]


def _combined(coefficients: Float, scores: Float) -> Float:
    return (torch.from_numpy(coefficients) @ torch.from_numpy(scores)).numpy()


def _add(generator: HyperNetwork, steps: Float) -> None:
    """Add steps [replica, parameter] to `.grad`, parameter tensor by parameter tensor."""
    at = 0
    for parameter in generator.trained_parameters:
        size = parameter[0].numel()
        part = torch.from_numpy(steps[:, at : at + size]).to(parameter).reshape(parameter.shape)
        parameter.grad = part.clone() if parameter.grad is None else parameter.grad + part
        at += size
