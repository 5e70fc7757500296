"""Known bitstrings, prepared and read out: the preflight of a backend, and its readout errors.

One circuit makes any bitstring: a rotation RX on every qubit, by π for a 1 and by 0 for a 0. It is
measured on the same qubits of the device as the circuit that it stands for.
"""

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.errors import JobError
from qhyper.quantum.circuit import Circuit, Gate

PREFLIGHT_SHOTS = 32
"""Of each row."""
AGREEMENT = 0.75
"""Share of the shots of all rows in which every bit has to be as prepared. A device that reads
every bit rightly with 94 % falls short with a probability of 3e-7 at the most, for 1 to 36 bits; a
bit of noise gets there with 4e-5 in 64 shots, and 6e-9 in 128."""
ROW_AGREEMENT = 0.4
"""The same, of every single row. A bit read rightly with 79 % falls short with 5e-7, one that
is wrong in this row, and read rightly with 94 % else, gets there with 2e-8."""
WORST_READOUT = 0.15
"""Readout error above which a qubit is not worth a try: with it, one falls short in a hundred
preflights of 64 shots, and in a thousand of 128 (of 1 and 2 bits, and of 3 and 4)."""
_LISTED = 8

Float = npt.NDArray[np.float64]


class PreflightError(JobError):
    """Known bitstrings did not come back as they were prepared."""


def preparation(n_qubits: int) -> Circuit:
    """The circuit whose angles π · bits, [row, qubit], prepare these bits."""
    return Circuit(n_qubits, tuple(Gate("rx", (qubit,), qubit) for qubit in range(n_qubits)))


def angles_of(bits: Bits) -> npt.NDArray[np.float64]:
    """The angles [row, qubit] that prepare the bits [row, qubit]."""
    return np.pi * bits.astype(np.float64)


def preflight_bits(n_qubits: int) -> Bits:
    """What a preflight prepares, [row, qubit]: binary digits of qubits' numbers, then complements.

    ⌈log2 n⌉ digits, and one at least: no two qubits and no two rows are alike, and every qubit is
    0 in half of the rows. So each order of the qubits but their own is seen, and each of the rows.
    The number of qubit q is the triangular number q (q + 1) / 2, modulo a power of two: as
    different as q itself, and there are fewer wrong orders of qubits and rows *together* that look
    like the right one: none for 17 to 24 and 33 to 57 qubits, and few for most others; for a
    power of two it is any order of the digits, and of a digit and its complement.
    """
    digits = max(1, (n_qubits - 1).bit_length())
    qubits = np.arange(n_qubits)
    words = qubits * (qubits + 1) // 2
    rows = (words >> np.arange(digits)[:, None]) & 1
    return np.concatenate([rows, 1 - rows]).astype(np.uint8)


def check_preflight(bits: Bits, qubits: tuple[int, ...], service: str) -> None:
    """Raise PreflightError unless all bits [row, shot, qubit] are read as they were prepared.

    Each is to be as prepared in AGREEMENT of all shots, and in ROW_AGREEMENT of every row's. The
    error says what is wrong where it is known: no memory (all zero), noise, bits or rows in another
    order, all inverted, or single bits. `qubits` are where on the device the bits are.
    """
    prepared, ones = preflight_bits(bits.shape[2]), bits.mean(axis=1)
    right = _agreement(ones, prepared)
    if (right >= ROW_AGREEMENT).all() and (right.mean(axis=0) >= AGREEMENT).all():
        return
    wrong, advice = _unprepared(ones) or _reordered(ones, prepared), ""
    if not wrong:
        wrong, bad = _single_bits(ones, prepared, bits.shape[1], qubits)
        advice = (
            f" Leave them out with the option avoid={[qubits[bit] for bit in bad]} (a training: "
            "in a new run), or use another backend."
        )
    raise PreflightError(
        f"Preflight of {service}: {wrong}. No job of this circuit was sent: what it measured "
        f"could not be trusted.{advice}"
    )


def _agreement(ones: Float, prepared: Bits) -> Float:
    """Shares of shots that are as prepared, of shares of ones; shapes are broadcast."""
    return np.where(prepared == 1, ones, 1 - ones)


def _unprepared(ones: Float) -> str:
    """What is wrong where no bit depends on what was prepared; else nothing."""
    if not ones.any():
        return (
            "got zeros alone where known bitstrings and their complements were prepared. It "
            "returns counts where shots are read, or does not run the circuit"
        )
    if (np.abs(ones - 0.5) < 0.4).all() and abs(ones.mean() - 0.5) < 0.1:
        return "it returns noise: every bit of every row is 0 about as often as 1"
    return ""


def _reordered(ones: Float, prepared: Bits) -> str:
    """In which order the bits or rows are, where it is that alone; else nothing.

    Where this has several explanations they are all told: inverted bits are rows that changed
    places with their complements, too.
    """
    found = [
        _order("bit", "qubit", _sources(ones.T, prepared.T)),
        "every bit comes back inverted" * _is_own(_sources(1 - ones.T, prepared.T)),
        _order("row", "row", _sources(ones, prepared)),
    ]
    return ", or ".join(filter(None, found))


def _sources(ones: Float, prepared: Bits) -> npt.NDArray[np.int64]:
    """Which of the things prepared [thing, part] each of those measured is; -1 for none."""
    right = _agreement(ones[:, None], prepared[None])
    alike = (right > 0.5).all(axis=-1) & (right.mean(axis=-1) >= AGREEMENT)
    return np.where(alike.any(axis=1), alike.argmax(axis=1), -1)


def _is_own(sources: npt.NDArray[np.int64]) -> bool:
    return bool((sources == np.arange(len(sources))).all())


def _order(what: str, of: str, sources: npt.NDArray[np.int64]) -> str:
    """A permutation in words; nothing if it is none, or changes nothing."""
    every = np.arange(len(sources))
    if _is_own(sources) or (np.sort(sources) != every).any():
        return ""
    if (sources == every[::-1]).all():
        return f"the {what}s come back in reversed order"
    moved = np.flatnonzero(sources != every).tolist()
    if (sources[sources] == every).all():
        pairs = [f"{one} and {sources[one]}" for one in moved if one < sources[one]]
        return f"{what}s come back exchanged: {_listed(pairs)}"
    carried = [f"{what} {one} carries {of} {sources[one]}" for one in moved]
    return f"the {what}s come back in another order: {_listed(carried)}"


def _single_bits(
    ones: Float, prepared: Bits, shots: int, qubits: tuple[int, ...]
) -> tuple[str, list[int]]:
    """What is wrong with bits, one by one, and which they are."""
    right, sources = _agreement(ones, prepared), _sources(ones.T, prepared.T)
    other = right < ROW_AGREEMENT
    bad = np.flatnonzero((right.mean(axis=0) < AGREEMENT) | other.any(axis=0)).tolist()
    told = []
    for bit in bad:
        rows = np.flatnonzero(other[:, bit]).tolist()
        words = f"bit {bit} (the device's qubit {qubits[bit]}): {right[:, bit].mean():.0%}"
        if sources[bit] >= 0:
            words += f", it carries qubit {sources[bit]}"
        elif 2 * len(rows) < len(right) and rows:
            words += f", wrong in row{'s' * (len(rows) > 1)} {', '.join(map(str, rows))}"
        told.append(words)
    words = (
        f"{len(bad)} of {len(qubits)} bits are not as prepared in {AGREEMENT:.0%} of "
        f"{shots * len(ones)} shots, and in {ROW_AGREEMENT:.0%} of every row's: "
        f"{_listed(told)}"
    )
    return words, bad


def _listed(words: list[str]) -> str:
    more = len(words) - _LISTED
    return ", ".join(words[:_LISTED]) + (f" and {more} more" if more > 0 else "")
