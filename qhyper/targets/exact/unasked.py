"""Certificates of any objective: by enumeration, where nobody has to wait for it."""

import time
from collections.abc import Callable
from typing import Literal

import numpy as np

from qhyper.bits import Bits, all_bitstrings
from qhyper.errors import UnsuitableError
from qhyper.progress import Share
from qhyper.targets.exact.certificate import Certificate, certify_objective
from qhyper.targets.target import SAME_LOSS, Float, Objective

UNASKED_BITS = 20
"""An objective of so many bits is enumerated unasked: a million bitstrings, which are few beside
the 300,000 evaluations of each of ten seeds that an entry spends unless told."""
UNASKED_SECONDS = 10.0
"""Longer than this nobody waits for what he did not ask for."""
_SLOW_CALL = 0.5
"""Seconds of a call of one bitstring after which not even some more are tried."""
_TRIED, _TOGETHER = 64, 1 << 12
"""Bitstrings of a call: a user's function may take much memory for each."""

Clock = Callable[[], float]


def certify_unasked(
    objective: Objective,
    *,
    temperature: float,
    progress: Share | Literal[False] | None = None,
    clock: Clock = time.perf_counter,
) -> Certificate:
    """The certificate of any objective, by evaluating every bitstring; the evaluations count.

    Raises UnsuitableError, with the reason and what would do, for more than 2^20 bitstrings, where
    calls that are tried first tell that it would take more than ten seconds, where the function
    fails or gives a bitstring two losses.
    """
    size = 1 << objective.n_bits
    if objective.n_bits > UNASKED_BITS:
        raise UnsuitableError(
            f"'{objective.subject}' has 2^{objective.n_bits} bitstrings: up to 2^{UNASKED_BITS} "
            "are all evaluated, and of more only small layered networks and tables of costs are "
            f"certified. Choose at most {UNASKED_BITS} bits"
        )
    try:
        seconds = _seconds(objective, clock)
        if seconds > UNASKED_SECONDS:
            raise UnsuitableError(
                f"to evaluate all {size:,} bitstrings of '{objective.subject}' would take about "
                f"{seconds:,.0f} s. `qhyper certify` does it if you ask"
            )
        return certify_objective(
            objective, temperature=temperature, progress=progress, chunk=_TOGETHER
        )
    except UnsuitableError:
        raise
    except Exception as error:  # a user's function can fail in any way, and a run may never notice
        why = str(error).rstrip(".")
        raise UnsuitableError(
            f"evaluating all {size:,} bitstrings of '{objective.subject}' failed: {why}"
        ) from error


def _seconds(objective: Objective, clock: Clock) -> float:
    """What all bitstrings would take, told by one, and where that is quick by some together."""
    size = 1 << objective.n_bits
    for tried in dict.fromkeys((1, min(_TRIED, size))):
        bits = all_bitstrings(objective.n_bits, 0, tried)
        first, seconds = _timed(objective, bits, clock)
        if seconds > UNASKED_SECONDS:
            break
        again, seconds = _timed(objective, bits, clock)  # the first may have compiled or imported
        if np.abs(first - again).max() > SAME_LOSS:
            raise UnsuitableError(
                f"'{objective.subject}' gives a bitstring another loss when it is asked again. "
                "Make it a function of its bits alone"
            )
        if seconds > _SLOW_CALL:
            break
    return seconds / len(bits) * size


def _timed(objective: Objective, bits: Bits, clock: Clock) -> tuple[Float, float]:
    began = clock()
    losses = objective(bits)
    return losses, clock() - began
