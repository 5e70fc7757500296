"""Measured draws compared with simulated ones: losses, hits and marginals, with their noise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_float
from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.quantum.cloud.mthree_mitigation import QuasiProbabilities
from qhyper.targets.objective import checked
from qhyper.targets.target import SAME_LOSS, Losses

Float = npt.NDArray[np.float64]

BINS = 40
MOST_BITS, GROUPS = 1_024, 256
"""Bits whose marginals are kept one by one; the groups that more of them are cut into."""


@dataclass(frozen=True)
class ScoredDraws:
    """The losses of one replica's draws, from the device or the simulator."""

    draws: int
    """how many"""
    mean_loss: float
    standard_error: float | None
    """of the mean; None for a single draw"""
    best_loss: float
    hits: int | None
    """draws within 1e-9 of the minimum; None, as the share, where there is no minimum"""
    share: float | None
    """of the draws that are hits"""
    counts: Sequence[int]
    """[bin] of the losses"""
    accuracy: float | None = None
    """on test rows, in the mean over the draws; None, as the next, where there are none"""
    best_accuracy: float | None = None
    """of the draw with the best loss"""


@dataclass(frozen=True)
class Mitigated:
    """The mean loss that quasi-probabilities give, which are no draws: no hits, no best loss."""

    mean_loss: float
    standard_error: float | None
    """of the shots alone; None for a single one"""
    covered: float | None
    """share of the misreadings that were corrected; None if the calibration found none"""


@dataclass(frozen=True)
class Marginals:
    """P(bit = 1) on the device and on the simulator, and the total variation of each bit.

    The first three are of every bit, or means over groups of many bits, from those mostly at 0 to
    those mostly at 1: half of the simulator's draws order the bits, and the other half are shown.
    Were they the same, the order would choose what chance has made large.
    """

    measured: Sequence[float]
    """[bit], or [group]; so are the next two"""
    simulated: Sequence[float]
    error: Sequence[float]
    """standard error of their difference, from shot noise alone"""
    mean: float
    """of `|p - q|` over the bits"""
    mean_noise: float
    """what shot noise alone would give on average: bits taken as independent, counts as normal"""
    largest: float
    largest_noise: float
    grouped: int = 0
    """how many bits the groups are of; 0 without groups"""

    @property
    def n_bits(self) -> int:
        """How many bits the comparison is of."""
        return self.grouped or len(self.measured)


@dataclass(frozen=True)
class Variation:
    """The total variation between the two histograms of losses, in 0 to 1; it depends on bins."""

    variation: float
    noise: float
    """what shot noise alone would give on average"""


@dataclass(frozen=True)
class ReplicaDraws:
    """One replica's draws from the device and the simulator."""

    measured: ScoredDraws
    simulated: ScoredDraws
    mitigated: Mitigated | None
    marginals: Marginals
    losses: Variation


@dataclass(frozen=True)
class DrawsComparison:
    """The draws of all replicas from the device and the simulator."""

    minimum: float | None
    """certified, if there is a certificate"""
    edges: Sequence[float]
    """[bin + 1] of the losses' bins, shared by all replicas"""
    replicas: Sequence[ReplicaDraws]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, lists and dictionaries."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; raises KeyError or TypeError for anything else."""
        replicas = [
            ReplicaDraws(
                measured=ScoredDraws(**replica["measured"]),
                simulated=ScoredDraws(**replica["simulated"]),
                mitigated=replica["mitigated"] and Mitigated(**replica["mitigated"]),
                marginals=Marginals(**replica["marginals"]),
                losses=Variation(**replica["losses"]),
            )
            for replica in found["replicas"]
        ]
        return cls(found["minimum"], found["edges"], replicas)


def compare_draws(
    measured: Bits,
    simulated: Bits,
    objective: Losses,
    *,
    minimum: float | None = None,
    quasi: Sequence[QuasiProbabilities] | None = None,
    accuracy: Callable[[Bits], Float] | None = None,
) -> DrawsComparison:
    """Measured draws compared with simulated ones.

    - measured, simulated: [replica, shot, bit] in weight order; numbers of shots may differ
    - objective: bits [..., bit] to losses [...]
    - minimum: the certified minimum; a hit is a draw with a loss within 1e-9 of it
    - quasi: for each replica the quasi-probabilities of its measured strings, in weight order.
      They weight the loss and are no draws: a mean comes from them, but no hits and no best loss.
    - accuracy: bits [..., bit] to shares of test rows that are right [...]

    Raises ConfigurationError for other shapes, and for a loss below the certified minimum.
    """
    _check(measured, simulated, quasi)
    losses = [as_float(checked(objective)(bits), "losses") for bits in (measured, simulated)]
    lowest = min(float(values.min()) for values in losses)
    if minimum is not None and lowest < minimum - SAME_LOSS:
        raise ConfigurationError(
            f"A draw has the loss {lowest}, below the certified minimum {minimum}: this "
            "certificate belongs to another objective. Compare with the certificate of this data "
            "and loss."
        )
    edges = _edges(lowest, max(float(values.max()) for values in losses))
    right = [None if accuracy is None else accuracy(bits) for bits in (measured, simulated)]
    replicas = []
    for replica in range(len(measured)):
        ours, theirs = (
            _draws(values[replica], edges, minimum, None if shares is None else shares[replica])
            for values, shares in zip(losses, right, strict=True)
        )
        replicas.append(
            ReplicaDraws(
                measured=ours,
                simulated=theirs,
                mitigated=None if quasi is None else _mitigated(quasi[replica], objective),
                marginals=_marginals(measured[replica], simulated[replica]),
                losses=_variation(ours.counts, theirs.counts),
            )
        )
    return DrawsComparison(None if minimum is None else float(minimum), edges.tolist(), replicas)


def _check(measured: Bits, simulated: Bits, quasi: Sequence[QuasiProbabilities] | None) -> None:
    for name, bits in (("measured", measured), ("simulated", simulated)):
        if bits.ndim != 3 or not bits.size:
            raise ConfigurationError(
                f"Got {name} draws of shape {bits.shape}; expected [replica, shot, bit], of 1 or "
                "more each."
            )
    replicas, _, bits = measured.shape
    if (replicas, bits) != (simulated.shape[0], simulated.shape[2]):
        raise ConfigurationError(
            f"Got measured draws of shape {measured.shape} and simulated ones of shape "
            f"{simulated.shape}; expected the same replicas and bits [replica, shot, bit]."
        )
    if quasi is not None and len(quasi) != replicas:
        raise ConfigurationError(
            f"Got quasi-probabilities of {len(quasi)} replicas; expected {replicas}, one for each."
        )


def _edges(low: float, high: float) -> Float:
    """Of the bins, evenly spaced on the axis that the figure will have."""
    if high - low <= SAME_LOSS:
        return np.array([low - 0.5, low + 0.5])
    if low > 0 and high / low > 10:
        edges = np.geomspace(low, high, BINS + 1)
    else:
        edges = np.linspace(low, high, BINS + 1)
    edges[0], edges[-1] = low, high  # rounding would leave out the extremes
    return edges


def _draws(losses: Float, edges: Float, minimum: float | None, right: Float | None) -> ScoredDraws:
    shots = len(losses)
    hits = None if minimum is None else int((losses <= minimum + SAME_LOSS).sum())
    return ScoredDraws(
        draws=shots,
        mean_loss=float(losses.mean()),
        standard_error=float(losses.std(ddof=1) / np.sqrt(shots)) if shots > 1 else None,
        best_loss=float(losses.min()),
        hits=hits,
        share=None if hits is None else hits / shots,
        counts=np.histogram(losses, edges)[0].tolist(),
        accuracy=None if right is None else float(right.mean()),
        best_accuracy=None if right is None else float(right[losses.argmin()]),
    )


def _mitigated(quasi: QuasiProbabilities, objective: Losses) -> Mitigated:
    mean, error = quasi.mean(checked(objective)(quasi.strings))
    return Mitigated(mean, error, quasi.covered)


def _marginals(measured: Bits, simulated: Bits) -> Marginals:
    p, q = measured.mean(axis=0), simulated.mean(axis=0)
    error = _difference_error(p, len(measured), q, len(simulated))
    difference = np.abs(p - q)
    many = len(p) > MOST_BITS
    shown = _by_group(measured, simulated) if many else (p, q, error)
    return Marginals(
        *(values.tolist() for values in shown),
        mean=float(difference.mean()),
        mean_noise=_expected_magnitude(error, len(error)),
        largest=float(difference.max()),
        largest_noise=_expected_largest(error),
        grouped=len(p) if many else 0,
    )


def _by_group(measured: Bits, simulated: Bits) -> tuple[Float, Float, Float]:
    """Means over groups of bits [group]: of P(1) on either side, and the error of their difference.

    See Marginals.
    """
    half = max(1, len(simulated) // 2)
    ordering, rest = simulated[:half], simulated[half:] if half < len(simulated) else simulated
    order = np.argsort(ordering.mean(axis=0), kind="stable")
    groups = np.array_split(order, GROUPS)
    ours, theirs = (
        np.stack([bits[:, group].mean(axis=1) for group in groups]) for bits in (measured, rest)
    )  # [group, shot]: their spread knows how the bits of a chunk hang together
    variance = sum(each.var(axis=1) / max(1, each.shape[1] - 1) for each in (ours, theirs))
    return ours.mean(axis=1), theirs.mean(axis=1), np.sqrt(variance)


def _variation(measured: Sequence[int], simulated: Sequence[int]) -> Variation:
    p, q = np.array(measured, dtype=np.float64), np.array(simulated, dtype=np.float64)
    ours, theirs = int(p.sum()), int(q.sum())
    p, q = p / ours, q / theirs
    return Variation(
        variation=float(np.abs(p - q).sum() / 2),
        noise=_expected_magnitude(_difference_error(p, ours, q, theirs), 2),
    )


def _difference_error(p: Float, ours: int, q: Float, theirs: int) -> Float:
    """The standard error of p - q if both are shares of one distribution: that of all draws."""
    pooled = (p * ours + q * theirs) / (ours + theirs)
    return np.sqrt(pooled * (1 - pooled) * (1 / ours + 1 / theirs))


def _expected_magnitude(error: Float, parts: int) -> float:
    """Σ `E|x|` / parts of normal x with mean zero and these standard deviations."""
    return float(np.sqrt(2 / np.pi) * error.sum() / parts)


def _expected_largest(error: Float) -> float:
    """`E max |x|` of independent normal x with mean zero and these standard deviations."""
    from scipy.special import erf

    error = error[error > 0]
    if not error.size:
        return 0.0
    x = np.linspace(0, 8 * error.max(), 2001)
    # of many bits most are as often at 1 as some other: each of these errors is met once
    error, times = np.unique(error.round(12), return_counts=True)
    below = (erf(x[:, None] / (np.sqrt(2) * error)) ** times).prod(axis=1)
    return float(np.trapezoid(1 - below, x))
