"""What noise takes from every circuit that ends with a noisy gate on each qubit.

An X or Y error right before the measurement flips a bit, whatever the state. So the measured
distribution is another one, of which every bit is flipped independently with probability f. Its
average of costs C is an average of C_f, the costs after such flips, and cannot be below the least
C_f; and no bitstring has a probability above (1 - f)^n. A product circuit that is in one bitstring
has a single noisy gate a qubit, and so attains both, if its bitstring is the one of the least C_f.
"""

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]

ROTATION = 0.001
"""Probability of a Pauli error after a rotation, at strength 1."""
FLIPS = 2 / 3
"""Share of the Pauli errors of one qubit that flip its bit: X and Y."""


def survives(n_bits: int, s: float) -> float:
    """The largest probability of any one bitstring under noise of strength s: (1 - f)^n."""
    return (1 - _flip(s)) ** n_bits


def least(costs: Float, s: float) -> dict[str, float]:
    """The least C_f of costs [2^n] under noise of strength s, and the deviation of C there.

    {"mean", "deviation"}: of the cost of one bitstring after the flips.
    """
    after, squares = _flipped(costs, s), _flipped(costs**2, s)
    at = int(after.argmin())
    variance = max(0.0, float(squares[at] - after[at] ** 2))
    return {"mean": float(after[at]), "deviation": variance**0.5}


def _flip(s: float) -> float:
    return FLIPS * ROTATION * s


def _flipped(costs: Float, s: float) -> Float:
    """The mean cost [2^n] after every bit of a bitstring is flipped with probability f."""
    f, n_bits = _flip(s), costs.size.bit_length() - 1
    for bit in range(n_bits):
        pairs = costs.reshape(-1, 2, 1 << bit)
        costs = ((1 - f) * pairs + f * pairs[:, ::-1]).reshape(-1)
    return costs
