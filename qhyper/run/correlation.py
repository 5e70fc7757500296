"""What the correlations between a trained generator's bits are worth.

Two numbers say whether it is the entanglement: the total correlation, by how many bits the entropy
of the joint distribution lies below that of the product of its own marginals, and the loss of that
product beside the generator's own. They are looks at what was trained, and no part of any budget.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import entr

from qhyper.bits import Bits, all_bitstrings
from qhyper.gradients.estimator import losses_of
from qhyper.hypernetwork import HyperNetwork
from qhyper.report.results import Correlation
from qhyper.streams import Rngs
from qhyper.targets.target import Losses

Floats = npt.NDArray[np.float64]

EXACT_BITS = 12
"""Up to so many bits all probabilities are summed up, where a generator gives them."""
SUMMED_BITS = 16
"""Up to so many bits exact marginals may come from a sum over all strings."""
TINY = 1e-15
"""Marginals are kept so far from 0 and 1: the logarithm of none is infinite."""


@dataclass(frozen=True)
class _Estimate:
    """Means [replica], with their squared standard errors."""

    mean: Floats
    variance: Floats


def correlation_of(
    generator: HyperNetwork, objective: Losses, bits: Bits, losses: Floats, *, rng: Rngs
) -> Correlation:
    """What the bits of a generator without inputs are worth together.

    `bits` [replica, 1, shot, bit] are draws of it with their `losses` [replica, 1, shot]. All is
    exact where bits are independent, and where a generator has the probabilities of up to 12 bits,
    or of blocks of so many that are independent of each other; the losses, where there are no more
    strings than draws besides. Else as many draws again are made, with `rng`, of the product of the
    marginals, which are the frequencies of `bits` where there are no exact ones. Without log p, as
    where noise is simulated, there is no total correlation.
    """
    own = losses[:, 0].mean(axis=1)
    if generator.capabilities.independent:
        zero = [0.0] * len(own)
        return Correlation(
            total_correlation=zero, total_correlation_error=None,
            loss=own.tolist(), product_loss=own.tolist(), loss_error=None,
        )  # fmt: skip
    blocks = _blocks(generator)
    marginals = _exact_marginals(generator, blocks)
    if blocks is not None and len(blocks.plan) == 1 and blocks.p.shape[-1] <= bits.shape[2]:
        return _enumerated(objective, blocks)
    q = bits[:, 0].mean(axis=1) if marginals is None else marginals
    fresh = np.stack([r.random(bits.shape[2:]) < p for r, p in zip(rng, q, strict=True)])
    of_product = losses_of(objective, fresh.view(np.uint8)[:, None])[:, 0]
    before, after = _mean(losses[:, 0]), _mean(of_product)
    total = blocks.total_correlation() if blocks else _drawn_total(generator, bits, q)
    if blocks is None and total is not None and marginals is None:
        total = _without_bias(total, bits[:, 0])
    return Correlation(
        total_correlation=None if total is None else total.mean.tolist(),
        total_correlation_error=_error(None if blocks is not None else total),
        loss=before.mean.tolist(),
        product_loss=after.mean.tolist(),
        loss_error=np.sqrt(before.variance + after.variance).tolist(),
    )


@dataclass(frozen=True)
class _Blocks:
    """Blocks of few bits that are independent of each other, with all their probabilities."""

    plan: npt.NDArray[np.int64]
    """[block, bit], every bit once"""
    p: Floats
    """[replica, block, string]"""

    def marginals(self) -> Floats:
        """The probability of a 1 of every bit, [replica, bit]."""
        found = np.empty((len(self.p), self.plan.size))
        found[:, self.plan] = self.p @ all_bitstrings(self.plan.shape[1])
        return np.clip(found, 0.0, 1.0)  # sums of rounded numbers may be above 1

    def total_correlation(self) -> _Estimate:
        """The entropies of all bits alone, minus those of the blocks, in bits, exact."""
        q = self.marginals()[:, self.plan]
        alone = (entr(q) + entr(1 - q)).sum(axis=-1)
        each = np.maximum(alone - entr(self.p).sum(axis=-1), 0.0)  # [replica, block]
        return _Estimate(each.sum(axis=1) / np.log(2), np.zeros(len(q)))


def _blocks(generator: HyperNetwork) -> _Blocks | None:
    """All bits as blocks whose probabilities are exact and few."""
    if not generator.capabilities.log_prob:  # they may be means over some trajectories
        return None
    with torch.no_grad():
        if generator.n_bits <= min(generator.max_probability_bits, EXACT_BITS):
            plan, p = np.arange(generator.n_bits)[None], generator.probabilities()
        else:
            plan = generator.independent_blocks
            if plan is None or plan.shape[1] > EXACT_BITS:
                return None
            p = generator.block_probabilities()
    p = p.cpu().numpy()
    if not np.isfinite(p).all():
        return None
    p = np.clip(p, 0, None)
    return _Blocks(plan, p / p.sum(axis=-1, keepdims=True))


def _exact_marginals(generator: HyperNetwork, blocks: _Blocks | None) -> Floats | None:
    """The probability of a 1 of every bit, [replica, bit], where it is exact."""
    if blocks is not None:
        return blocks.marginals()
    few = generator.n_bits <= SUMMED_BITS and generator.has_marginals
    if not (generator.capabilities.marginals or few):
        return None
    with torch.no_grad():
        return generator.marginals()[:, 0].cpu().numpy()


def _enumerated(objective: Losses, blocks: _Blocks) -> Correlation:
    """All of it from all strings, of one block."""
    table, marginals = blocks.p[:, 0], blocks.marginals()
    strings = all_bitstrings(marginals.shape[1])
    costs = losses_of(objective, np.ascontiguousarray(strings[None, None]))[0, 0]
    product = np.exp(np.stack([_log_product(strings, q) for q in marginals]))
    return Correlation(
        total_correlation=blocks.total_correlation().mean.tolist(),
        total_correlation_error=None,
        loss=(table @ costs).tolist(),
        product_loss=(product @ costs).tolist(),
        loss_error=None,
    )


def _drawn_total(generator: HyperNetwork, bits: Bits, marginals: Floats) -> _Estimate | None:
    """The mean of log2(p / q) over draws: unbiased where the marginals are exact."""
    if not generator.capabilities.log_prob:
        return None
    with torch.no_grad():
        log_p = generator.log_prob(bits)[:, 0].cpu().numpy()
    if not np.isfinite(log_p).all():  # it does not know its own draws: no number is made of it
        return None
    log_q = np.stack([_log_product(w, q) for w, q in zip(bits[:, 0], marginals, strict=True)])
    return _mean((log_p - log_q) / np.log(2))


def _without_bias(total: _Estimate, bits: Bits) -> _Estimate:
    """Entropies of frequencies are too low, by 1 / (2 · shots) nats a bit (Miller, 1955)."""
    shots = bits.shape[1]
    ones = bits.sum(axis=1, dtype=np.int64)
    free = ((ones > 0) & (ones < shots)).sum(axis=1)
    # what a bit's frequency adds is a chi-squared of one degree of freedom over 2 · shots, with
    # this variance, and in the spread of the draws it is counted twice
    chance = free / (2 * shots**2) / np.log(2) ** 2
    variance = np.maximum(total.variance - chance, chance)
    return _Estimate(total.mean + free / (2 * shots) / np.log(2), variance)


def _log_product(bits: Bits, marginals: Floats) -> Floats:
    """log of the product of marginals [bit] at bits [shot, bit], in nats [shot]."""
    q = np.clip(marginals, TINY, 1 - TINY)
    return bits @ (np.log(q) - np.log1p(-q)) + np.log1p(-q).sum()


def _mean(values: Floats) -> _Estimate:
    """Of values [replica, shot]."""
    return _Estimate(values.mean(axis=1), values.var(axis=1, ddof=1) / values.shape[1])


def _error(estimate: _Estimate | None) -> list[float] | None:
    return None if estimate is None else np.sqrt(estimate.variance).tolist()
