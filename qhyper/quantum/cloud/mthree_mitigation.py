"""Readout mitigation with mthree: quasi-probabilities that weight the loss, and are no draws.

A device misreads bits. Known bitstrings are prepared and read (`calibration_bits`, by the circuit
of `readout` and through the same door as every paid job, never by mthree's own runners), which
gives each qubit's assignment matrix (`confusion`). With them, mthree's method turns the measured
strings into weights of these strings (`quasi_probabilities`).

The weights sum to 1 and some are negative, so no draws come from them and nothing here makes any:
their one use is the mean of a loss, of draws (`QuasiProbabilities.mean`) or in an estimator of
gradients (`mitigated_losses`).

The method (M3: Nation, Kang, Sundaresan and Gambetta, PRX Quantum 2, 040326, 2021) corrects among
the strings that were measured. Where nearly every shot measures another string, as with many
qubits and a broad distribution, misread strings lead to strings that were not measured, and little
is corrected: `QuasiProbabilities.covered` says how much.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits, as_bits
from qhyper.errors import ConfigurationError
from qhyper.machine import needs

Float = npt.NDArray[np.float64]

LEAST_CONTRAST = 0.2
"""How much oftener a qubit has to read 1 when prepared in 1 than when in 0: less would amplify its
noise more than fivefold."""
MOST_STRINGS = 16_384
"""Different strings that are mitigated together: their matrix takes a gibibyte."""


@dataclass(frozen=True)
class QuasiProbabilities:
    """Weights of the measured strings that undo readout errors in means. They are no draws.

    Columns of the strings are in the order in which the bits and matrices were given.
    """

    strings: Bits
    """[k, qubit]: the different strings that were measured"""
    counts: npt.NDArray[np.int64]
    """[k]: how often each was"""
    weights: Float
    """[k]: their sum is 1; some may be negative"""
    covered: float | None
    """Share of the misreadings of these strings that are themselves among them, 0 to 1: with 1
    the correction is whole, with 0 there is none. None where the matrices know no misreadings."""
    _factors: tuple[Any, Any]
    """LU factors of the assignment matrix [measured, true] over the strings"""

    def unfolded(self, losses: npt.ArrayLike) -> Float:
        """Aᵀ⁻¹ · loss of each string [k], with the assignment matrix A over the strings.

        The mean over the *shots* of these is the mitigated mean of the losses.
        """
        from scipy.linalg import lu_solve

        return lu_solve(self._factors, np.asarray(losses, dtype=np.float64), trans=1)

    def mean(self, losses: npt.ArrayLike) -> tuple[float, float | None]:
        """The mitigated mean of a loss, given for each string [k], and its standard error.

        The mean is Σ weight · loss. It is linear in the measured frequencies, and so the mean over
        the shots of Aᵀ⁻¹ · loss, with the assignment matrix A over the strings: the standard error
        is that of this mean. Not in it: the matrices' own shot noise, and what is not `covered`.
        None for a single shot. Raises ConfigurationError for losses of another shape.
        """
        values = np.asarray(losses, dtype=np.float64)
        if values.shape != self.weights.shape:
            raise ConfigurationError(
                f"Got losses of shape {values.shape}; expected one for each of the "
                f"{len(self.weights)} strings: evaluate `strings`."
            )
        mean, shots = float(self.weights @ values), int(self.counts.sum())
        if shots == 1:
            return mean, None
        unfolded = self.unfolded(values)
        spread = self.counts @ (unfolded - self.counts @ unfolded / shots) ** 2
        return mean, float(np.sqrt(spread / (shots - 1) / shots))


def check_installed() -> None:
    """Raise MissingError without mthree: to be asked before calibration is paid for."""
    with needs("mitigate", "Readout mitigation"):
        import mthree  # noqa: F401


def calibration_bits(n_qubits: int) -> Bits:
    """The bitstrings [row, qubit] to prepare: 2^m rows, the smallest power of two above n_qubits.

    Row r, qubit q is the parity of r & (q + 1), a Hadamard matrix without its constant column, as
    in mthree's balanced scheme. Every qubit is in 0 and in 1 in half of the rows, and any two
    qubits are in 00, 01, 10 and 11 in a quarter each: where a neighbour's state disturbs the
    reading, wherever on the device it is, both of its states are averaged over equally.
    """
    if n_qubits < 1:
        raise ConfigurationError(f"Calibration needs 1 qubit or more; got {n_qubits}.")
    rows = np.arange(1 << n_qubits.bit_length(), dtype=np.uint32)
    columns = np.arange(1, n_qubits + 1, dtype=np.uint32)
    return (np.bitwise_count(rows[:, None] & columns) % 2).astype(np.uint8)


def check_strings(shots: int, n_qubits: int) -> None:
    """Raise ConfigurationError if so many shots may be too many different strings."""
    if min(shots, 1 << n_qubits) > MOST_STRINGS:
        raise ConfigurationError(
            f"Got {shots:,} shots of {n_qubits} bits, which may be as many different strings; at "
            f"the most {MOST_STRINGS:,} are mitigated together. Use fewer shots a circuit."
        )


def confusion(measured: Bits) -> Float:
    """Each qubit's assignment matrix [qubit, measured, prepared]; columns sum to 1.

    `measured` [row, shot, qubit] is what was read of each of the `calibration_bits`. Raises
    ConfigurationError for other shapes.
    """
    if measured.ndim != 3 or not measured.shape[1]:
        raise ConfigurationError(
            f"Got calibration shots of shape {measured.shape}; expected [row, shot, qubit], of 1 "
            "shot or more."
        )
    rows, _, n = measured.shape
    prepared = calibration_bits(n)
    if rows != len(prepared):
        raise ConfigurationError(
            f"Got calibration shots of {rows} rows; expected {len(prepared)}, one for each of the "
            f"strings that `calibration_bits` has for {n} qubits."
        )
    ones = as_bits(measured, n).mean(axis=1)
    # Half of the rows have a qubit in 0, and half in 1.
    p = np.stack(
        [(ones * (prepared == state)).sum(axis=0) / (rows // 2) for state in (0, 1)], axis=-1
    )
    return np.stack([1 - p, p], axis=1)


def quasi_probabilities(bits: Bits, matrices: Float) -> QuasiProbabilities:
    """The weights by which measured strings count, where each qubit is misread independently.

    - bits: [shot, qubit]
    - matrices: [qubit, measured, prepared], of the qubits in the same order as the bits

    The assignment matrix over the measured strings is mthree's, of all Hamming distances. Raises
    MissingError without mthree; ConfigurationError for other shapes, for columns that are no
    probabilities, for a qubit that reads noise, and for more different strings than MOST_STRINGS.
    """
    if bits.ndim != 2 or not bits.size:
        raise ConfigurationError(
            f"Got shots of shape {bits.shape}; expected [shot, qubit], of 1 shot or more."
        )
    n = bits.shape[1]
    check_matrices(matrices, n)
    strings, counts = np.unique(as_bits(bits, n), axis=0, return_counts=True)
    if len(strings) > MOST_STRINGS:
        raise ConfigurationError(
            f"Got {len(strings):,} different strings; at the most {MOST_STRINGS:,} are mitigated "
            "together. Mitigate fewer of the shots."
        )
    check_installed()
    from mthree import M3Mitigation
    from scipy.linalg import lu_factor, lu_solve

    # mthree's strings have qubit 0 rightmost.
    names = ["".join(map(str, row)) for row in strings[:, ::-1].tolist()]
    mitigation = M3Mitigation()
    mitigation.cals_from_matrices(list(matrices))
    matrix, order = mitigation.reduced_cal_matrix(
        dict(zip(names, counts.tolist(), strict=True)), list(range(n)), distance=n
    )
    place = {name: k for k, name in enumerate(names)}
    rank = [place[name] for name in order]
    strings, counts = strings[rank], counts[rank].astype(np.int64)
    own = np.prod(matrices[np.arange(n), strings, strings], axis=1)
    covered = _covered(own, matrix.diagonal().astype(np.float64), counts)
    # Here and not by its apply_correction, which gives the same weights: the standard error needs
    # the factors too.
    factors = lu_factor(matrix, overwrite_a=True)
    weights = lu_solve(factors, counts / counts.sum())
    return QuasiProbabilities(strings, counts, weights / weights.sum(), covered, factors)


def mitigated_losses(bits: Bits, losses: Float, matrices: Float) -> tuple[Float, float | None]:
    """(losses [..., shot] whose means over the shots have no readout errors, what is corrected).

    - bits: [..., shot, qubit]; every row of shots by itself
    - losses: [..., shot]: what each shot's string costs
    - matrices: as in `quasi_probabilities`, whose errors it raises

    See `QuasiProbabilities.unfolded`: a mean and its standard error are those of `mean`. What is
    corrected is the mean of `covered` over the rows, None where no row has misreadings.
    """
    flat = bits.reshape(-1, *bits.shape[-2:])
    found, covered = np.empty((len(flat), flat.shape[1])), []
    for row, (shots, own) in enumerate(zip(flat, losses.reshape(len(flat), -1), strict=True)):
        quasi = quasi_probabilities(shots, matrices)
        place = {string.tobytes(): k for k, string in enumerate(quasi.strings)}
        index = np.array([place[string.tobytes()] for string in np.ascontiguousarray(shots)])
        of_string, mean = np.empty(len(quasi.strings)), own.mean()
        of_string[index] = own - mean  # the factors have single precision
        found[row] = mean + quasi.unfolded(of_string)[index]
        covered += [] if quasi.covered is None else [quasi.covered]
    return found.reshape(losses.shape), float(np.mean(covered)) if covered else None


def _covered(own: Float, reduced: Float, counts: npt.NDArray[np.int64]) -> float | None:
    """See QuasiProbabilities: `own` [k] is the chance that a string is read as it is.

    `reduced` [k] is that chance among the measured strings, and so the quotient is the chance that
    one of these is read. The strings' own share is taken from both.
    """
    misread = counts @ (1 - own)
    among = counts @ (own / reduced - own)
    return float(np.clip(among / misread, 0.0, 1.0)) if misread > 0 else None


def check_matrices(matrices: Float, n: int) -> None:
    """Raise ConfigurationError unless they are assignment matrices of n qubits that are read."""
    if matrices.shape != (n, 2, 2):
        raise ConfigurationError(
            f"Got assignment matrices of shape {matrices.shape} for {n} qubits; expected "
            f"{(n, 2, 2)}: [qubit, measured, prepared]."
        )
    if not ((matrices >= 0) & (np.abs(matrices.sum(axis=1, keepdims=True) - 1) < 1e-6)).all():
        raise ConfigurationError(
            "Assignment matrices hold probabilities [qubit, measured, prepared]: each column must "
            "sum to 1, over what is measured; got others. `confusion` makes them."
        )
    contrast = matrices[:, 1, 1] - matrices[:, 1, 0]
    if (contrast < LEAST_CONTRAST).any():
        read = ", ".join(f"{c:.2f}" for c in contrast[contrast < LEAST_CONTRAST][:8])
        raise ConfigurationError(
            f"{_qubits(contrast < LEAST_CONTRAST)} read as noise: P(1 | 1) - P(1 | 0) is {read}; "
            f"expected {LEAST_CONTRAST} or more. Its readout cannot be undone: choose other qubits "
            "with the option `layout`, or do without mitigation."
        )


def _qubits(bad: npt.NDArray[np.bool_]) -> str:
    numbers = np.flatnonzero(bad).tolist()
    listed = ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")
    return f"Qubit {listed} is" if len(numbers) == 1 else f"Qubits {listed} are"
