"""SPSA: simultaneous perturbation stochastic approximation (Spall, 1992)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import torch

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.gradients.estimator import (
    GradientEstimate,
    GradientEstimator,
    check_mitigation,
    check_risk,
    check_shots,
    check_whole,
    evaluate,
    mitigated,
    over_inputs,
)
from qhyper.hypernetwork import Draw, HasAngles, HyperNetwork
from qhyper.risk import MMD, CVaR, Expectation, FreeEnergy, Risk
from qhyper.spending import Spending
from qhyper.streams import Rngs, check_rng
from qhyper.targets.target import Losses


@dataclass(frozen=True)
class SPSA(GradientEstimator):
    """Mean over `directions` of (R(θ + cΔ) - R(θ - cΔ)) / 2c · Δ, with Δ = ±1 drawn anew.

    Spall (1992, eq. 2.2); c is `step`, in units of the parameters (radians for a circuit). Two
    circuits for each direction and input, in one call for a circuit, whatever the number of
    parameters; one more with `value`. Its mean is the gradient up to terms of order step².

    - step: how far along a direction, c, in units of the parameters, radians for a circuit
    - directions: random directions in a step, whose mean is taken

    Raises ConfigurationError unless shots >= 1, step > 0 and directions >= 1.
    """

    shots: int
    step: float = 0.1
    directions: int = 1
    value: bool = False

    bias: ClassVar[Mapping[type, str]] = {
        **dict.fromkeys((Expectation, FreeEnergy, MMD, Risk), "bias of order step²"),
        CVaR: "bias of order step² and 1/shots",
    }

    def __post_init__(self) -> None:
        check_shots("SPSA", self.shots, 1, "")
        if not 0 < self.step < np.inf:
            raise ConfigurationError(f"SPSA needs a step above 0; got {self.step}.")
        check_whole("SPSA's number of directions", self.directions)
        if self.directions < 1:
            raise ConfigurationError(f"SPSA needs at least 1 direction; got {self.directions}.")

    def check(self, generator: HyperNetwork, risk: Risk) -> None:
        """Raise ConfigurationError for a risk that is not supported."""
        check_risk("SPSA", self.bias, risk, generator)
        check_mitigation("SPSA", generator, risk)
        check_shots("SPSA", self.shots, risk.min_shots, " for this risk")

    def cost(
        self, generator: HyperNetwork, risk: Risk, *, n_inputs: int = 1, objective: Any = None
    ) -> Spending:
        """2 circuits for each direction and input, or one more; every shot is evaluated."""
        circuits = (2 * self.directions + self.value) * n_inputs
        return Spending.of_circuits(circuits, self.shots)

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
        check_rng(rng, generator.replicas)
        parameters = generator.trained_parameters
        directions = [
            [_signs(parameter, rng) for parameter in parameters] for _ in range(self.directions)
        ]
        offsets = [
            [sign * self.step * delta for delta in direction]
            for direction in directions
            for sign in (1, -1)
        ]
        if self.value:
            offsets.append([torch.zeros_like(parameter) for parameter in parameters])
        samples = _sample_at(generator, offsets, self.shots, rng, inputs)
        values, errors, means, losses = [], [], [], []
        for offset, bits in zip(offsets, samples, strict=True):
            with _moved(generator, offset):
                drawn = evaluate(generator, bits, objective, risk, inputs=inputs)
            clean = mitigated(generator, drawn)
            value, error = over_inputs(*risk.value(clean))
            values.append(value)
            errors.append(error)
            means.append(clean.losses.mean(axis=(1, 2)))
            losses.append(drawn.losses)
        for number, direction in enumerate(directions):
            slope = (values[2 * number] - values[2 * number + 1]) / (2 * self.step)
            for parameter, delta in zip(parameters, direction, strict=True):
                along = torch.from_numpy(slope / self.directions).to(parameter)
                part = along.reshape(-1, *[1] * (parameter.ndim - 1)) * delta
                parameter.grad = part if parameter.grad is None else parameter.grad + part
        return GradientEstimate(
            value=values[-1] if self.value else None,
            standard_error=errors[-1] if self.value else None,
            mean_loss=means[-1] if self.value else None,
            draw=Draw(np.concatenate(samples, axis=2)),
            losses=np.concatenate(losses, axis=2),
            spent=self.cost(generator, risk, n_inputs=losses[0].shape[1]),
        )


def _signs(parameter: torch.Tensor, rng: Rngs) -> torch.Tensor:
    """±1 for every entry; each replica from its own generator."""
    rows = [2.0 * stream.integers(0, 2, parameter.shape[1:]) - 1 for stream in rng]
    return torch.from_numpy(np.stack(rows)).to(parameter)


def _sample_at(
    generator: HyperNetwork,
    offsets: list[list[torch.Tensor]],
    shots: int,
    rng: Rngs,
    inputs: Any,
) -> list[Bits]:
    """Draws [replica, input, shot, bit] at each offset; of a circuit, all in one call."""
    if not generator.capabilities.angles:
        drawn = []
        for offset in offsets:
            with _moved(generator, offset):
                drawn.append(generator.sample(shots, rng=rng, inputs=inputs).bits)
        return drawn
    circuit = cast(HasAngles, generator)
    rows = []
    for offset in offsets:
        with _moved(generator, offset), torch.no_grad():
            rows.append(circuit.angles(inputs=inputs).cpu().numpy().copy())
    bits = circuit.sample_angles(np.concatenate(rows, axis=1), shots, rng=rng)
    return np.split(bits, len(offsets), axis=1)


@contextmanager
def _moved(generator: HyperNetwork, offset: list[torch.Tensor]) -> Iterator[None]:
    """Within, the trained parameters are moved by `offset`."""
    parameters = generator.trained_parameters
    before = [parameter.detach().clone() for parameter in parameters]
    try:
        with torch.no_grad():
            for parameter, moved in zip(parameters, offset, strict=True):
                parameter.add_(moved)
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)
