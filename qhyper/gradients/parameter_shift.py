"""Parameter-shift gradients: exact differences of circuits at shifted angles.

For a gate exp(-i angle G / 2) with G² = 1 and any diagonal cost C,
∂⟨C⟩/∂angle = (⟨C⟩ at angle + π/2 - ⟨C⟩ at angle - π/2) / 2 (Mitarai et al., 2018; Schuld et al.,
2019, eq. 9). All circuits of a gradient go to the backend in one call.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import torch

from qhyper.errors import ConfigurationError
from qhyper.gradients.estimator import (
    ALL_UNBIASED,
    ORDER_1_OVER_SHOTS,
    Float,
    GradientEstimate,
    GradientEstimator,
    check_angles,
    check_mitigation,
    check_risk,
    check_shots,
    check_whole,
    evaluate,
    mitigated,
    over_inputs,
)
from qhyper.hypernetwork import Draw, HasAngles, HyperNetwork
from qhyper.risk import CVaR, Risk, Sample
from qhyper.spending import Spending
from qhyper.streams import Rngs, check_rng
from qhyper.targets.target import Losses

_BIAS: Mapping[type, str] = {**ALL_UNBIASED, CVaR: ORDER_1_OVER_SHOTS}


@dataclass(frozen=True)
class ParameterShift(GradientEstimator):
    """Both shifts of every trained angle: 2P circuits of `shots` shots, for each input.

    Where the risk needs draws at the parameters themselves (CVaR, MMD), or with `value`, one
    more circuit in the same call. A tied parameter's derivative is the sum over its angles.
    """

    shots: int
    value: bool = False

    bias: ClassVar[Mapping[type, str]] = _BIAS

    def __post_init__(self) -> None:
        check_shots("Parameter shift", self.shots, 1, "")

    def check(self, generator: HyperNetwork, risk: Risk) -> None:
        """Raise ConfigurationError without angles, or for a risk that is not supported."""
        _check("Parameter shift", generator, risk, self.shots, self.value)

    def cost(
        self, generator: HyperNetwork, risk: Risk, *, n_inputs: int = 1, objective: Any = None
    ) -> Spending:
        """2P circuits, or 2P + 1, for each input; every shot is evaluated."""
        angles = len(cast(HasAngles, generator).trained_angles)
        return _cost(angles, self.shots, self.value, risk, n_inputs)

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
        trained = cast(HasAngles, generator).trained_angles
        chosen = np.broadcast_to(trained, (generator.replicas, len(trained)))
        return _shift(generator, objective, risk, self.shots, self.value, chosen, rng, inputs)


@dataclass(frozen=True)
class StochasticParameterShift(GradientEstimator):
    """Both shifts of `angles` angles drawn anew in each call, without repetition.

    - angles: how many angles are shifted in a step

    Their derivatives are scaled by P over `angles`, and those of the others are 0: unbiased. The
    same angles are shifted for all inputs of a replica. (The rule of Banchi and Crooks, 2021, of
    the same name is another one, for gates with G² other than 1.) Raises ConfigurationError unless
    `shots` and `angles` are whole numbers of 1 or more.
    """

    shots: int
    angles: int = 8
    value: bool = False

    bias: ClassVar[Mapping[type, str]] = _BIAS

    def __post_init__(self) -> None:
        check_shots("Stochastic parameter shift", self.shots, 1, "")
        check_whole("The number of shifted angles", self.angles)
        if self.angles < 1:
            raise ConfigurationError(
                f"Stochastic parameter shift shifts at least 1 angle; got angles={self.angles}."
            )

    def check(self, generator: HyperNetwork, risk: Risk) -> None:
        """Raise ConfigurationError without angles, too few of them, or for an unsupported risk."""
        name = "Stochastic parameter shift"
        _check(name, generator, risk, self.shots, self.value)
        trained = len(cast(HasAngles, generator).trained_angles)
        if self.angles > trained:
            raise ConfigurationError(
                f"{name} was to shift {self.angles} angles of {generator.describe()}, which has "
                f"{trained} that are trained. Lower `angles`."
            )

    def cost(
        self, generator: HyperNetwork, risk: Risk, *, n_inputs: int = 1, objective: Any = None
    ) -> Spending:
        """2 circuits for each shifted angle and input, or one more; every shot is evaluated."""
        return _cost(self.angles, self.shots, self.value, risk, n_inputs)

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
        trained = cast(HasAngles, generator).trained_angles
        chosen = np.stack([np.sort(stream.permutation(trained)[: self.angles]) for stream in rng])
        return _shift(generator, objective, risk, self.shots, self.value, chosen, rng, inputs)


def _check(name: str, generator: HyperNetwork, risk: Risk, shots: int, value: bool) -> None:
    check_angles(name, generator)
    check_risk(name, _BIAS, risk, generator)
    check_mitigation(name, generator, risk)
    if value or risk.needs_reference:
        check_shots(name, shots, risk.min_shots, " for this risk")


def _cost(angles: int, shots: int, value: bool, risk: Risk, n_inputs: int) -> Spending:
    circuits = (2 * angles + (value or risk.needs_reference)) * n_inputs
    return Spending.of_circuits(circuits, shots)


def _shift(
    generator: HyperNetwork,
    objective: Losses,
    risk: Risk,
    shots: int,
    value: bool,
    chosen: npt.NDArray[np.int64],
    rng: Rngs,
    inputs: Any,
) -> GradientEstimate:
    """Shift the chosen angles, [replica, angle], and add the gradient, scaled to all angles."""
    circuit = cast(HasAngles, generator)
    angles = circuit.angles(inputs=inputs)
    at = angles.detach().cpu().numpy()
    replicas, n_inputs, n_angles = at.shape
    reference = value or risk.needs_reference
    rows = _rows(at, chosen, reference)
    bits = circuit.sample_angles(rows.reshape(replicas, -1, n_angles), shots, rng=rng)
    bits = bits.reshape(replicas, n_inputs, -1, bits.shape[-1])
    drawn = evaluate(generator, bits, objective, risk, inputs=inputs)
    by_row = mitigated(generator, _by_row(drawn, rows.shape[2]))
    shifted = _slice(by_row, slice(0, 2 * chosen.shape[1]))
    central = _slice(by_row, slice(-1, None)) if reference else shifted
    means = risk.costs(shifted, central).mean(-1)
    plus, minus = means[..., : chosen.shape[1]], means[..., chosen.shape[1] :]
    gradient = np.zeros(at.shape)
    scale = len(circuit.trained_angles) / chosen.shape[1] / n_inputs
    at_chosen = np.broadcast_to(chosen[:, None], plus.shape)
    np.put_along_axis(gradient, at_chosen, scale * (plus - minus) / 2, axis=-1)
    torch.autograd.backward(angles, torch.from_numpy(gradient).to(angles))
    measured, error, mean_loss = None, None, None
    if reference:
        measured, error = over_inputs(*(part[..., 0] for part in risk.value(central)))
        mean_loss = central.losses.mean(axis=(1, 2, 3))
    return GradientEstimate(
        value=measured,
        standard_error=error,
        mean_loss=mean_loss,
        draw=Draw(bits),
        losses=drawn.losses,
        spent=_cost(chosen.shape[1], shots, value, risk, n_inputs),
    )


def _rows(at: Float, chosen: npt.NDArray[np.int64], reference: bool) -> Float:
    """The angles of all circuits [replica, input, row, angle]: plus, minus, then unshifted."""
    number = chosen.shape[1]
    rows = np.repeat(at[:, :, None], 2 * number + reference, axis=2)
    replica, row = np.arange(len(at))[:, None], np.arange(number)
    for sign, first in ((1, 0), (-1, number)):
        for own in range(at.shape[1]):
            rows[replica, own, first + row, chosen] += sign * np.pi / 2
    return rows


def _by_row(drawn: Sample, rows: int) -> Sample:
    """Draws [replica, input, row and shot] as [replica, input, row, shot]."""

    def split(array: npt.NDArray) -> npt.NDArray:
        return array.reshape(*array.shape[:2], rows, -1, *array.shape[3:])

    log_prob = None if drawn.log_prob is None else split(drawn.log_prob)
    return Sample(split(drawn.bits), split(drawn.losses), log_prob)


def _slice(drawn: Sample, rows: slice) -> Sample:
    log_prob = None if drawn.log_prob is None else drawn.log_prob[:, :, rows]
    return Sample(drawn.bits[:, :, rows], drawn.losses[:, :, rows], log_prob)
