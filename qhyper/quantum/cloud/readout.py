"""Known bitstrings, prepared and read out: the preflight of a backend, and its readout errors.

One circuit makes any bitstring: a rotation RX on every qubit, by π for a 1 and by 0 for a 0. It is
measured on the same qubits of the device as the circuit that it stands for.
"""

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.errors import JobError
from qhyper.quantum.circuit import Circuit, Gate

PREFLIGHT_CIRCUITS = 2
PREFLIGHT_SHOTS = 32
"""Of the pattern, and again of its complement: a bit that never changes is right in one alone."""
AGREEMENT = 0.8
"""Share of the shots in which every bit has to be as prepared. Of 64, a device that reads a bit
rightly with 94 % falls short with a probability of 1e-4, and one that returns noise gets there
with 2e-7."""


class PreflightError(JobError):
    """Known bitstrings did not come back as they were prepared."""


def preparation(n_qubits: int) -> Circuit:
    """The circuit whose angles π · bits, [row, qubit], prepare these bits."""
    return Circuit(n_qubits, tuple(Gate("rx", (qubit,), qubit) for qubit in range(n_qubits)))


def angles_of(bits: Bits) -> npt.NDArray[np.float64]:
    """The angles [row, qubit] that prepare the bits [row, qubit]."""
    return np.pi * bits.astype(np.float64)


def pattern(n_qubits: int) -> Bits:
    """An asymmetric bitstring [qubit]: the binary numbers 1, 10, 11, 100, … in a row.

    Neither reversed nor shifted by one is it itself.
    """
    digits = "".join(f"{number:b}" for number in range(1, n_qubits + 2))
    bits = np.array([int(digit) for digit in digits[:n_qubits]], dtype=np.uint8)
    if n_qubits > 1 and (bits == bits[::-1]).all():
        bits[-1] ^= 1
    return bits


def preflight_bits(n_qubits: int) -> Bits:
    """What a preflight prepares, [row, qubit]: the pattern and its complement."""
    expected = pattern(n_qubits)
    return np.stack([expected, 1 - expected])


def check_preflight(bits: Bits, qubits: tuple[int, ...], service: str) -> None:
    """Raise PreflightError unless every bit [row, shot, qubit] is as prepared in most of the shots.

    The error says what is wrong where it is known: no memory (all zero), bits in reversed order,
    all inverted, or single bits. `qubits` are where on the device the bits are.
    """
    n = bits.shape[2]
    prepared, expected = preflight_bits(n)[:, None], _text(pattern(n))
    share = (bits == prepared).mean(axis=(0, 1))
    if (share >= AGREEMENT).all():
        return
    advice = "No job of this circuit was sent: what it measured could not be trusted."
    if not bits.any():
        raise PreflightError(
            f"Preflight of {service}: got zeros alone where {expected} and its complement were "
            "prepared. It returns counts where shots are read, or does not run the circuit. "
            + advice
        )
    if ((bits == prepared[..., ::-1]).mean(axis=(0, 1)) >= AGREEMENT).all():
        raise PreflightError(
            f"Preflight of {service}: the bits come back in reversed order: got "
            f"{expected[::-1]}, expected {expected}. " + advice
        )
    if (share <= 1 - AGREEMENT).all():
        raise PreflightError(
            f"Preflight of {service}: every bit comes back inverted: got {_text(1 - pattern(n))}, "
            f"expected {expected}. " + advice
        )
    bad = np.flatnonzero(share < AGREEMENT).tolist()
    wrong = [f"bit {bit} (the device's qubit {qubits[bit]}): {share[bit]:.0%}" for bit in bad]
    listed = ", ".join(wrong[:8]) + (f" and {len(wrong) - 8} more" if len(wrong) > 8 else "")
    raise PreflightError(
        f"Preflight of {service}: {len(wrong)} of {n} bits are not as prepared in "
        f"{AGREEMENT:.0%} of {bits.shape[0] * bits.shape[1]} shots: {listed}. {advice} Leave "
        f"them out with the option avoid={[qubits[bit] for bit in bad]} (a training: in a "
        "new run), or use another backend."
    )


def _text(bits: Bits) -> str:
    return "".join(str(bit) for bit in bits)
