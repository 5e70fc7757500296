"""Whether log p can be the log p of the draws: what is cheap to see before a generator trains."""

import math

import numpy as np
import numpy.typing as npt
import torch

from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import HyperNetwork
from qhyper.streams import Streams

MAX_BITS = 12
"""Up to so many bits all strings are summed over."""
_DRAWS = 16
_REFUTED = 5000
"""A mean that is at most 1 is so large with a chance of 1/5000 at the most (Markov)."""
_ROUNDING = 1e-3
"""How far a sum of probabilities may be from 1 before training begins."""


def check_log_prob(generator: HyperNetwork, inputs: npt.NDArray[np.float64] | None = None) -> None:
    """Raise ConfigurationError if log p cannot be that of any distribution, or of the draws.

    Up to 12 bits p has to sum to 1 over all strings. For more, with 16 draws of each replica, the
    means of 1 / (2^n p) over draws, and of 2^n p over uniform strings, are at most 1 in expectation
    whatever the distribution, and are refused above 5000. A generator without log p passes.
    `inputs` [replica, input, feature] are those of a generator that sees them.
    """
    if not generator.capabilities.log_prob:
        return
    with torch.no_grad():
        if generator.n_bits <= MAX_BITS:
            _check_total(generator, total_probability(generator, inputs), _ROUNDING)
        else:
            _check_draws(generator, inputs)


def total_probability(
    generator: HyperNetwork, inputs: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.float64]:
    """Σ p over all strings, [replica, input], from log p alone."""
    strings = all_bitstrings(generator.n_bits)
    n_inputs = 1 if inputs is None else np.shape(inputs)[-2]
    every = np.broadcast_to(strings, (1, n_inputs, *strings.shape))
    log_p = generator.log_prob(np.ascontiguousarray(every), inputs=inputs)
    return log_p.detach().exp().sum(-1).cpu().numpy()


def _check_total(generator: HyperNetwork, totals: npt.NDArray[np.float64], within: float) -> None:
    off = np.abs(totals - 1)
    if (off > within).any():
        worst = totals.flat[int(np.nanargmax(off))]
        raise ConfigurationError(
            f"The probabilities of {generator.describe()} sum to {worst:.6g} over all "
            f"2^{generator.n_bits} strings; expected 1. Its log p is that of no distribution: mend "
            "`_log_prob` (is every bit counted once, as a natural logarithm?). To try it: qhyper "
            "check."
        )


def _check_draws(generator: HyperNetwork, inputs: npt.NDArray[np.float64] | None) -> None:
    own = generator.sample(_DRAWS, rng=Streams(generator.seeds)(0), inputs=inputs).bits
    uniform = np.random.default_rng(0).integers(2, size=own.shape, dtype=np.uint8)
    everything = generator.n_bits * math.log(2)
    for bits, sign, words in ((own, -1, "too small"), (uniform, 1, "too large")):
        log_p = generator.log_prob(bits, inputs=inputs).cpu().numpy()
        log_mean = np.logaddexp.reduce(sign * (log_p + everything), axis=-1) - math.log(_DRAWS)
        if (log_mean > math.log(_REFUTED)).any():
            raise ConfigurationError(
                f"The log p of {generator.describe()} is {words} to be that of its draws: of "
                f"{_DRAWS} {'draws' if sign < 0 else 'uniform strings'} it is "
                f"{np.array2string(log_p.reshape(-1, _DRAWS)[0, :3], precision=4)}, …, where a "
                f"uniform distribution has {-everything:.4g}. Mend `_log_prob` (is every bit "
                "counted once, as a natural logarithm?). To try it on few bits: qhyper check."
            )
