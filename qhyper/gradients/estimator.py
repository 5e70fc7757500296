"""What every gradient estimator takes, gives and refuses."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import torch

from qhyper.arrays import HUGE, as_float, brief
from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import Draw, HyperNetwork
from qhyper.registry import build
from qhyper.risk import MMD, Expectation, FreeEnergy, Risk, Sample
from qhyper.spending import Spending
from qhyper.streams import Rngs
from qhyper.targets.objective import checked
from qhyper.targets.target import Losses, MiniBatches

Float = npt.NDArray[np.float64]

UNBIASED = "unbiased"
ORDER_1_OVER_SHOTS = "bias of order 1/shots"


@dataclass(frozen=True)
class GradientEstimate:
    """What an estimator measured on the way to a gradient, per replica."""

    value: Float | None
    """[replica]: the risk at the parameters themselves; None where it was not measured"""
    standard_error: Float | None
    """[replica]: of `value`; 0 where it is exact"""
    mean_loss: Float | None
    """[replica]: E[L] at the parameters themselves; None where it was not measured"""
    draw: Draw | None
    """every bitstring that was evaluated, [replica, input, shot, bit]; None if none was"""
    losses: Float | None
    """[replica, input, shot]: of `draw`"""
    spent: Spending
    """by each replica"""

    def __repr__(self) -> str:
        said = []
        if self.value is not None:
            error = self.standard_error
            around = f" ± {brief(error)}" if error is not None and error.any() else ""
            said.append(f"risk {brief(self.value)}{around}")
        if self.mean_loss is not None and not _same(self.mean_loss, self.value):
            said.append(f"mean loss {brief(self.mean_loss)}")
        said.append(f"spent {self.spent}")
        return f"GradientEstimate({'; '.join(said)})"


def _same(one: Float, other: Float | None) -> bool:
    return other is not None and np.array_equal(one, other)


class GradientEstimator(ABC):
    """Adds the gradient of a risk to `.grad` of a generator's parameters, from losses alone."""

    bias: ClassVar[Mapping[type, str]]
    """The risks that it supports, each with what is known of the estimate's bias."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @abstractmethod
    def check(self, generator: HyperNetwork, risk: Risk) -> None:
        """Raise ConfigurationError if it cannot work for this generator and risk."""

    def check_objective(self, objective: Losses | MiniBatches) -> None:  # noqa: B027 (most can)
        """Raise ConfigurationError if it cannot work on this objective, or its mini-batches.

        An objective takes bits [..., bit] to losses [...].
        """

    @abstractmethod
    def cost(
        self,
        generator: HyperNetwork,
        risk: Risk,
        *,
        n_inputs: int = 1,
        objective: Losses | MiniBatches | None = None,
    ) -> Spending:
        """What each replica spends in one call, in evaluations, shots and circuits.

        `objective`, from bits [..., bit] to losses [...], is for estimators that ask it for more.
        """

    def cost_once(self, generator: HyperNetwork) -> Spending:
        """What the first call for an objective spends besides."""
        return Spending()

    def resume(self, generator: HyperNetwork, objective: Losses) -> None:  # noqa: B027 (few need it)
        """Make ready again, without cost, what earlier calls for this objective had paid for.

        An objective takes bits [..., bit] to losses [...].
        """

    @abstractmethod
    def __call__(
        self,
        generator: HyperNetwork,
        objective: Losses,
        risk: Risk,
        *,
        rng: Rngs,
        inputs: Any = None,
    ) -> GradientEstimate:
        """Add the gradient, and return what was measured; `rng` has one generator a replica.

        The `objective` takes bits [..., bit] to losses [...].
        """


def build_estimator(
    name: str, shots: int, options: Mapping[str, Any] | None = None
) -> GradientEstimator:
    """The estimator registered as `name` (or `module:Class`), which measures the value as well.

    `shots` goes to those that take it. Raises ConfigurationError for an unknown name or option,
    and for an option that is missing or cannot have its value.
    """
    return build("estimator", name, options=options, offered={"shots": shots, "value": True})


ALL_UNBIASED: Mapping[type, str] = {
    Expectation: UNBIASED,
    FreeEnergy: UNBIASED,
    MMD: UNBIASED,
    Risk: "as its costs are",
}
"""Risks whose costs are known, or estimated from independent draws; and those of users."""


def check_risk(name: str, bias: Mapping[type, str], risk: Risk, generator: HyperNetwork) -> None:
    """Raise ConfigurationError unless `risk` is declared, and has the log p that it needs."""
    if not isinstance(risk, tuple(bias)):
        known = ", ".join(kind.__name__ for kind in bias)
        raise ConfigurationError(
            f"{name} got the risk {risk!r}, which it does not support; it supports {known}, and "
            "expects an instance, such as Expectation(). Use one of these, or another estimator."
        )
    if risk.needs_log_prob and not generator.capabilities.log_prob:
        raise ConfigurationError(
            f"The risk {type(risk).__name__} needs log p, and {generator.describe()} has none: it "
            "can only be sampled. Use the risk MMD, or an exact backend."
        )


def check_log_prob(name: str, generator: HyperNetwork) -> None:
    """Raise ConfigurationError unless the generator has log p."""
    if not generator.capabilities.log_prob:
        raise ConfigurationError(
            f"{name} needs log p, and {generator.describe()} has none: it can only be sampled. If "
            "it has, declare `capabilities = Capabilities(log_prob=True)`; else use an estimator "
            "that needs samples alone: parameter-shift, stochastic-parameter-shift or spsa."
        )


def check_mitigation(name: str, generator: HyperNetwork, risk: Risk) -> None:
    """Raise ConfigurationError if readout errors are to be undone in a risk that is no mean."""
    if generator.capabilities.mitigates and not isinstance(risk, Expectation):
        raise ConfigurationError(
            f"{name} got the risk {risk!r} on a backend with the option mitigate=true: readout "
            "errors are undone in mean losses alone. Use the risk Expectation, or leave the option "
            "out."
        )


def mitigated(generator: HyperNetwork, drawn: Sample) -> Sample:
    """The draws [..., shot] with losses whose mean over the shots has no readout errors.

    Unchanged unless the generator's backend mitigates them.
    """
    if not generator.capabilities.mitigates:
        return drawn
    losses = cast(Any, generator).mitigated(drawn.bits, drawn.losses)
    return Sample(drawn.bits, losses, drawn.log_prob)


def check_angles(name: str, generator: HyperNetwork) -> None:
    """Raise ConfigurationError unless the generator has angles."""
    if not generator.capabilities.angles:
        raise ConfigurationError(
            f"{name} shifts the angles of a circuit, and {generator.describe()} has none. Use "
            "score-function or natural-gradient, which need log p, or spsa."
        )


def check_shots(name: str, shots: int, least: int, why: str) -> None:
    """Raise ConfigurationError unless `shots` is a whole number, and enough."""
    check_whole(f"{name}'s shots", shots)
    if shots < least:
        raise ConfigurationError(
            f"{name} needs at least {least} shot{'s' * (least > 1)}{why}; got {shots}."
        )


def check_whole(name: str, number: object) -> None:
    """Raise ConfigurationError unless `number` is a whole number."""
    if not isinstance(number, int | np.integer) or isinstance(number, bool):
        raise ConfigurationError(f"{name} must be a whole number; got {number!r}.")


def losses_of(objective: Losses, bits: Bits) -> Float:
    """The losses [...] of bits [..., bit], whatever callable the objective is.

    Raises ConfigurationError unless it gives one finite number a bitstring.
    """
    losses = as_float(checked(objective)(bits), "losses", "one number a bitstring")
    if losses.shape != bits.shape[:-1]:
        raise ConfigurationError(
            f"The objective gave {losses.dtype} of shape {losses.shape} for bits of shape "
            f"{bits.shape}; expected one number a bitstring, {bits.shape[:-1]}. Wrap a function of "
            "bits [draws, bit] as Objective(function, n_bits)."
        )
    if not (np.abs(losses) < HUGE).all():  # false for NaN as well
        raise ConfigurationError(
            f"The objective gave a loss that is not a finite number below {HUGE:g} in size."
        )
    return losses


def evaluate(
    generator: HyperNetwork, bits: Bits, objective: Losses, risk: Risk, *, inputs: Any = None
) -> Sample:
    """The draws with their losses, and with the generator's log p where the risk needs it."""
    losses = losses_of(objective, bits)
    if not risk.needs_log_prob:
        return Sample(bits, losses)
    with torch.no_grad():
        return Sample(bits, losses, generator.log_prob(bits, inputs=inputs).cpu().numpy())


def measured(drawn: Sample, risk: Risk, spent: Spending) -> GradientEstimate:
    """What draws [replica, input, shot] tell of the risk, with all of them."""
    value, error = over_inputs(*risk.value(drawn))
    return GradientEstimate(
        value=value,
        standard_error=error,
        mean_loss=drawn.losses.mean(axis=(1, 2)),
        draw=Draw(drawn.bits),
        losses=drawn.losses,
        spent=spent,
    )


def over_inputs(value: Float, standard_error: Float) -> tuple[Float, Float]:
    """The mean over inputs of values [replica, input], and its standard error."""
    n_inputs = value.shape[1]
    return value.mean(axis=1), np.sqrt((standard_error**2).sum(axis=1)) / n_inputs
