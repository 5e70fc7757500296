"""The exact gradient: of all probabilities, with the loss of every bitstring."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch

from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.gradients.estimator import (
    Float,
    GradientEstimate,
    GradientEstimator,
    check_risk,
    losses_of,
)
from qhyper.hypernetwork import HyperNetwork
from qhyper.risk import MMD, CVaR, Expectation, FreeEnergy, Risk
from qhyper.spending import Spending
from qhyper.streams import Rngs
from qhyper.targets.target import Losses, MiniBatches

_CHUNK = 2**20
"""Bitstrings evaluated together."""


class Exact(GradientEstimator):
    """∇R with no sampling at all: the oracle of the other estimators, for small numbers of bits.

    The losses of all 2^n bitstrings are evaluated in the first call for an objective, and kept
    until there is another: it must not change. Later calls spend one simulated circuit for each
    input. Circuits on a backend with adjoint differentiation take one adjoint pass (Jones and
    Gacon, 2020), others autograd through the probabilities.
    """

    bias: ClassVar[Mapping[type, str]] = dict.fromkeys(
        (Expectation, CVaR, FreeEnergy, MMD, Risk), "exact"
    )

    def __init__(self) -> None:
        self._kept: tuple[Losses, Float] | None = None

    def check(self, generator: HyperNetwork, risk: Risk) -> None:
        """Raise ConfigurationError without exact probabilities, or for an unsupported risk."""
        check_risk("The exact gradient", self.bias, risk, generator)
        if type(risk).exact is Risk.exact:
            raise ConfigurationError(
                f"The risk {type(risk).__name__} has no exact value. Write its method `exact`, or "
                "use an estimator that draws."
            )
        limit = generator.differentiable_bits
        if generator.n_bits > limit:
            able = f"gives them up to {limit} bits" if limit else "does not give them"
            raise ConfigurationError(
                f"The exact gradient needs all 2^{generator.n_bits} probabilities and their "
                f"derivatives, and {generator.describe()} {able}. For circuits of up to 24 qubits "
                "use the backend statevector (with noise: trajectories), else an estimator that "
                "draws, such as spsa."
            )

    def cost(
        self, generator: HyperNetwork, risk: Risk, *, n_inputs: int = 1, objective: Any = None
    ) -> Spending:
        """One circuit for each input; the 2^n evaluations of the first call come besides."""
        return Spending(circuits=n_inputs)

    def check_objective(self, objective: Losses | MiniBatches) -> None:
        """Raise ConfigurationError for mini-batches: each is another objective."""
        if hasattr(objective, "draw"):
            raise ConfigurationError(
                "The exact gradient evaluates all bitstrings once, and every mini-batch is another "
                "objective. Use an estimator that draws, such as score-function."
            )

    def cost_once(self, generator: HyperNetwork) -> Spending:
        """The 2^n evaluations of the first call."""
        return Spending(evaluations=1 << generator.n_bits)

    def resume(self, generator: HyperNetwork, objective: Losses) -> None:
        """Evaluate the table again."""
        self.table(objective, generator.n_bits)

    def table(self, objective: Losses, n_bits: int) -> tuple[Float, bool]:
        """The loss of every bitstring [2^n], and whether it was evaluated just now.

        The `objective` takes bits [..., bit] to losses [...].
        """
        size = 1 << n_bits
        if self._kept is not None and self._kept[0] == objective and len(self._kept[1]) == size:
            return self._kept[1], False
        parts = [
            losses_of(objective, all_bitstrings(n_bits, first, min(first + _CHUNK, size)))
            for first in range(0, size, _CHUNK)
        ]
        self._kept = (objective, np.concatenate(parts))
        return self._kept[1], True

    def __call__(
        self,
        generator: HyperNetwork,
        objective: Losses,
        risk: Risk,
        *,
        rng: Rngs | None = None,
        inputs: Any = None,
    ) -> GradientEstimate:
        """Add the exact gradient of the risk to `.grad`; no randomness is used."""
        self.check(generator, risk)
        table, fresh = self.table(objective, generator.n_bits)
        if type(risk) is Expectation:  # the costs are known beforehand: one pass
            costs = torch.from_numpy(table)[None, None]
            expected = generator.expectation(costs, inputs=inputs)
            value = expected.detach().cpu().numpy()
            mean_loss = value
        else:
            with torch.no_grad():
                p = generator.probabilities(inputs=inputs).cpu().numpy()
            value, costs = risk.exact(p, np.broadcast_to(table, p.shape))
            mean_loss = p @ table
            expected = generator.expectation(torch.from_numpy(costs), inputs=inputs)
        torch.autograd.backward(expected.mean(dim=1).sum())
        replicas, n_inputs = value.shape
        return GradientEstimate(
            value=value.mean(axis=1),
            standard_error=np.zeros(replicas),
            mean_loss=mean_loss.mean(axis=1),
            draw=None,
            losses=None,
            spent=Spending(evaluations=len(table) if fresh else 0, circuits=n_inputs),
        )
