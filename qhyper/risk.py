"""Risks: what is minimised of the distribution of losses.

A risk R(q) of the distribution q changes by Σ_w δq(w) c(w) when q changes by δq: c is its *first
variation*. So its gradient is that of an expectation of the costs c, held fixed, and every
estimator of ∇E[c] is one of ∇R. For the expectation the costs are the losses; for the others
they also depend on q, through log p, a quantile or a kernel, and so on draws at the parameters.

Draws have axes [..., shot, bit], losses, log p and costs [..., shot], values [...].
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from qhyper.arrays import HUGE, as_float, as_number
from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.registry import build

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Draws of a distribution with their losses, and log p under it where a risk needs that."""

    bits: Bits
    """[..., shot, bit]"""
    losses: Float
    """[..., shot]"""
    log_prob: Float | None = None
    """[..., shot]"""


class Risk(ABC):
    """What is minimised. A risk of one's own needs `costs`, and `exact` for the exact gradient.

    Estimators ask for what a risk needs, and refuse what they cannot give.
    """

    needs_log_prob: ClassVar[bool] = False
    """`costs` needs `log_prob` of the draws."""
    needs_reference: ClassVar[bool] = False
    """`costs` depends on draws at the parameters themselves."""
    min_shots: ClassVar[int] = 1
    """Draws that one value needs."""

    def at(self, progress: float) -> "Risk":
        """The risk at a share of the training, from 0 to 1: itself, unless it has a schedule."""
        return self

    @abstractmethod
    def costs(self, drawn: Sample, reference: Sample) -> Float:
        """The costs [..., shot] of draws, about the distribution that gave `reference`.

        `drawn.log_prob` is log p under that distribution too. The mean of a distribution's own
        costs is the risk.
        """

    def value(self, drawn: Sample) -> tuple[Float, Float]:
        """The risk [...] of the distribution that gave the draws, and its standard error [...]."""
        return _mean(self.costs(drawn, drawn))

    def own_costs(self, drawn: Sample) -> tuple[Float, Float]:
        """Costs [..., shot] of draws about their own distribution, and baselines [..., shot].

        A baseline is made of the other draws alone.
        """
        costs = self.costs(drawn, drawn)
        return costs, _others(costs)

    def exact(self, probabilities: Float, losses: Float) -> tuple[Float, Float]:
        """The risk [...] and the costs [..., 2^n], of the distribution itself.

        From all `probabilities` [..., 2^n] and `losses` [..., 2^n], bit 0 fastest.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Expectation(Risk):
    """The mean loss of the draws, E[L]."""

    def costs(self, drawn: Sample, reference: Sample) -> Float:
        """The losses."""
        return drawn.losses

    def exact(self, probabilities: Float, losses: Float) -> tuple[Float, Float]:
        """As in Risk."""
        return (probabilities * losses).sum(-1), losses


@dataclass(frozen=True)
class CVaR(Risk):
    """The mean of the best share `alpha` of the losses (for circuits: Barkoutsos et al., 2020).

    - alpha: share of the best draws, above 0, to 1

    CVaR = E[v + min(L - v, 0) / alpha] with v the alpha-quantile (Rockafellar and Uryasev, 2000).
    The quantile of K draws makes value and gradient biased by O(1/K), and their standard error
    leaves out that of the quantile. alpha · K has to be above 1, or no draw would lie below the
    quantile; alpha = 1 is the expectation. Raises ConfigurationError unless 0 < alpha <= 1.
    """

    alpha: float = 0.25

    needs_reference: ClassVar[bool] = True

    @property
    def min_shots(self) -> int:  # type: ignore[override]
        """The least K with alpha · K above 1."""
        return 1 if self.alpha == 1 else math.floor((1 + 1e-9) / self.alpha) + 1

    def __post_init__(self) -> None:
        if not 0 < as_number(self.alpha) <= 1:
            raise ConfigurationError(
                f"CVaR needs 0 < alpha <= 1, the share of the best draws; got {self.alpha!r}."
            )

    def costs(self, drawn: Sample, reference: Sample) -> Float:
        """As in Risk."""
        return self._about(drawn.losses, self._quantile(reference.losses))

    def exact(self, probabilities: Float, losses: Float) -> tuple[Float, Float]:
        """As in Risk."""
        losses = np.broadcast_to(losses, probabilities.shape)
        order = np.argsort(losses, axis=-1, kind="stable")
        total = np.take_along_axis(probabilities, order, axis=-1).cumsum(axis=-1)
        last = (total < self.alpha * (1 - 1e-12)).sum(-1, keepdims=True)
        at = np.minimum(last, losses.shape[-1] - 1)
        quantile = np.take_along_axis(np.take_along_axis(losses, order, -1), at, -1)
        costs = self._about(losses, quantile)
        return (probabilities * costs).sum(-1), costs

    def _about(self, losses: Float, quantile: Float) -> Float:
        return quantile + np.minimum(losses - quantile, 0) / self.alpha

    def _quantile(self, losses: Float) -> Float:
        """The loss [..., 1] up to which a share alpha of the draws lies."""
        rank = max(0, math.ceil(self.alpha * losses.shape[-1] - 1e-9) - 1)
        return np.partition(losses, rank, axis=-1)[..., rank : rank + 1]


@dataclass(frozen=True)
class FreeEnergy(Risk):
    """F = E[L] + T E[log q], whose minimum is the posterior exp(-L/T) / Z of a uniform prior.

    - temperature: T, at the start, in units of the loss
    - end_temperature: T at the end of a training, if it changes, in the same unit of the loss
    - schedule: how it gets there: by equal factors, `geometric`, or by equal steps, `linear`;
      geometric unless told

    KL(q || posterior) = (F + T log Z) / T. Raises ConfigurationError for a negative temperature,
    for a schedule without an end, and for a geometric one from or to 0.
    """

    temperature: float = 0.05
    end_temperature: float | None = None
    schedule: Literal["geometric", "linear"] | None = None

    needs_log_prob: ClassVar[bool] = True

    def __post_init__(self) -> None:
        end = self.end_temperature
        ends = [self.temperature] if end is None else [self.temperature, end]
        for temperature in ends:
            if not 0 <= as_number(temperature) < HUGE:
                raise ConfigurationError(
                    f"The free energy needs a temperature of 0 or more, below {HUGE:g}; got "
                    f"{temperature!r:.40}. Choose one on the scale of the losses."
                )
        if self.schedule not in ("geometric", "linear", None):
            raise ConfigurationError(
                f"A temperature schedule is 'geometric' or 'linear'; got {self.schedule!r}."
            )
        if self.end_temperature is None and self.schedule is not None:
            raise ConfigurationError(
                f"Got schedule={self.schedule!r} without an end_temperature to go to: give one, or "
                "leave the schedule out."
            )
        if self.end_temperature is not None and self.schedule != "linear" and 0 in ends:
            raise ConfigurationError(
                f"A geometric schedule cannot go from {self.temperature} to "
                f"{self.end_temperature}: use schedule='linear', or temperatures above 0."
            )

    def at(self, progress: float) -> "FreeEnergy":
        """The free energy at the temperature of a share of the training."""
        if self.end_temperature is None:
            return self
        begin, end = self.temperature, self.end_temperature
        if self.schedule == "linear":
            now = begin + (end - begin) * progress
        else:
            now = begin * (end / begin) ** progress
        return replace(self, temperature=now, end_temperature=None, schedule=None)

    def kl(self, value: npt.ArrayLike, log_z: float) -> Float:
        """KL(q || posterior) in nats [...], from the value [...] of F and the exact log Z at T.

        Never negative but by the noise of a sampled value. Raises ConfigurationError at
        temperature 0, where there is no posterior, while the temperature has a schedule, and where
        it is too large for a number.
        """
        if self.end_temperature is not None:
            raise ConfigurationError(
                "The temperature has a schedule: take the free energy of one moment, such as "
                "risk.at(1).kl(...)."
            )
        if self.temperature == 0:
            raise ConfigurationError("At temperature 0 there is no posterior to compare with.")
        free_energy = as_float(value, "the free energy")
        with np.errstate(over="ignore"):
            kl = free_energy / self.temperature + log_z
        if not np.isfinite(kl).all():
            raise ConfigurationError(
                f"KL at the temperature {self.temperature:g} is no finite number: the free energy "
                "divided by the temperature is beyond float64. Take a higher temperature."
            )
        return np.where((kl < 0) & (kl > -_ROUNDING), 0.0, kl)

    def costs(self, drawn: Sample, reference: Sample) -> Float:
        """L + T log q, up to a constant."""
        assert drawn.log_prob is not None
        # a draw of a shifted circuit may be impossible at the parameters themselves
        possible = np.isfinite(drawn.log_prob)
        return drawn.losses + self.temperature * np.where(possible, drawn.log_prob, 0.0)

    def exact(self, probabilities: Float, losses: Float) -> tuple[Float, Float]:
        """As in Risk; a string of probability 0 counts 0 · log 0 = 0."""
        possible = probabilities > 0
        log_q = np.log(probabilities, where=possible, out=np.zeros_like(probabilities))
        costs = losses + self.temperature * log_q
        return (probabilities * costs).sum(-1), costs


@dataclass(frozen=True)
class MMD(Risk):
    """E[L] + weight · MMD²(q, uniform), a stand-in for the free energy that needs no log p.

    - weight: of MMD² beside the mean loss, from 0
    - kappa: the kernel's factor for each bit that differs, between 0 and 1

    With the kernel k(w, v) = kappa^Hamming(w, v) over n bits, MMD² = E_{q,q} k -
    ((1 + kappa) / 2)^n, estimated by the U-statistic over pairs of draws (Gretton et al., 2012,
    eq. 3; as a surrogate of the ELBO: Nepote et al., 2025, arXiv:2506.05888). Raises
    ConfigurationError unless weight >= 0 and 0 < kappa < 1.
    """

    weight: float = 1.0
    kappa: float = 0.5

    needs_reference: ClassVar[bool] = True
    min_shots: ClassVar[int] = 3

    def __post_init__(self) -> None:
        if not 0 <= as_number(self.weight) < HUGE:
            raise ConfigurationError(
                f"MMD needs a weight of 0 or more, below {HUGE:g}; got {self.weight!r:.40}."
            )
        if not 0 < as_number(self.kappa) < 1:
            raise ConfigurationError(
                f"MMD needs 0 < kappa < 1, the kernel's factor for each bit that differs; got "
                f"{self.kappa}."
            )

    def value(self, drawn: Sample) -> tuple[Float, Float]:
        """As in Risk; the standard error is that of the U-statistic to first order in 1/K."""
        kernel = self._to_others(drawn.bits)
        costs = drawn.losses + 2 * self.weight * kernel
        value = drawn.losses.mean(-1) + self.weight * (
            kernel.mean(-1) - self._uniform(drawn.bits.shape[-1])
        )
        return value, _mean(costs)[1]

    def costs(self, drawn: Sample, reference: Sample) -> Float:
        """L + 2 · weight · mean kernel to the reference."""
        kernel = _kernel_sums(drawn.bits, reference.bits, self.kappa)
        return drawn.losses + 2 * self.weight * kernel / reference.bits.shape[-2]

    def own_costs(self, drawn: Sample) -> tuple[Float, Float]:
        """As in Risk; the baseline of a draw takes in only pairs without it."""
        shots = drawn.bits.shape[-2]
        sums = self._to_others(drawn.bits) * (shots - 1)
        without = sums.sum(-1, keepdims=True) - 2 * sums
        baseline = _others(drawn.losses) + 2 * self.weight * without / ((shots - 1) * (shots - 2))
        return drawn.losses + 2 * self.weight * sums / (shots - 1), baseline

    def exact(self, probabilities: Float, losses: Float) -> tuple[Float, Float]:
        """As in Risk."""
        size = probabilities.shape[-1]
        n_bits = size.bit_length() - 1
        kernel = probabilities  # K q, bit by bit: K is a product of [[1, kappa], [kappa, 1]]
        for bit in range(n_bits):
            pairs = kernel.reshape(*probabilities.shape[:-1], size >> (bit + 1), 2, 1 << bit)
            mixed = pairs + self.kappa * pairs[..., ::-1, :]
            kernel = mixed.reshape(probabilities.shape)
        square = (probabilities * kernel).sum(-1) - self._uniform(n_bits)
        value = (probabilities * losses).sum(-1) + self.weight * square
        return value, losses + 2 * self.weight * kernel

    def _uniform(self, n_bits: int) -> float:
        """E k of a uniform draw and any other."""
        return ((1 + self.kappa) / 2) ** n_bits

    def _to_others(self, bits: Bits) -> Float:
        """Mean kernel of each draw to the others, [..., shot]."""
        return (_kernel_sums(bits, bits, self.kappa) - 1) / (bits.shape[-2] - 1)


def build_risk(name: str, options: Mapping[str, Any] | None = None) -> Risk:
    """The risk registered as `name` (or `module:Class`), with its options.

    Raises ConfigurationError for an unknown name or option, and for an option that is missing or
    cannot have its value.
    """
    return build("risk", name, options=options)


def _mean(costs: Float) -> tuple[Float, Float]:
    """(mean, its standard error) over the shots; infinite from one shot."""
    shots = costs.shape[-1]
    if shots == 1:
        return costs[..., 0], np.full(costs.shape[:-1], np.inf)
    return costs.mean(-1), np.sqrt(costs.var(-1, ddof=1) / shots)


def _others(costs: Float) -> Float:
    """For each draw the mean of the others, [..., shot]."""
    return (costs.sum(-1, keepdims=True) - costs) / (costs.shape[-1] - 1)


_ROUNDING = 1e-9
"""Nats below zero that are rounding."""
_BLOCK = 2**24
"""Entries of a block of the kernel matrix."""


def _kernel_sums(drawn: Bits, reference: Bits, kappa: float) -> Float:
    """Σ over the reference of kappa^Hamming to each draw, [..., shot]; leading axes as NumPy's."""
    n_bits = drawn.shape[-1]
    powers = kappa ** np.arange(n_bits + 1, dtype=np.float64)
    lead = np.broadcast_shapes(drawn.shape[:-2], reference.shape[:-2])
    drawn = np.broadcast_to(drawn, (*lead, *drawn.shape[-2:]))
    reference = np.broadcast_to(reference, (*lead, *reference.shape[-2:]))
    sums = np.empty(drawn.shape[:-1])
    block = max(1, _BLOCK // reference.shape[-2])
    for index in np.ndindex(lead):
        signs = 2 * reference[index].astype(np.float32) - 1
        for first in range(0, drawn.shape[-2], block):
            some = 2 * drawn[index][first : first + block].astype(np.float32) - 1
            equal_minus_different = some @ signs.T  # exact: small integers
            differing = ((n_bits - equal_minus_different) / 2).astype(np.intp)
            sums[index][first : first + block] = powers[differing].sum(-1)
    return sums
