"""How do gradients of large circuits fall with qubits and depth, from each start, for each cost?

    python -m experiments run qhn-trainability

⟨C⟩ and all its derivatives are exact, on matrix products; only the starts are random.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from experiments.qhn_trainability import pictures
from experiments.qhn_trainability import tables as written
from experiments.qhn_trainability.settings import STARTS
from qhyper import BinaryNetwork, Brickwork, Samples, Streams
from qhyper.quantum.ansatz import Mirrored, Start, initial_parameters
from qhyper.quantum.circuit import Circuit
from qhyper.quantum.simulators.mps_expectation import MatrixProductCost, expectation
from qhyper.quantum.simulators.mps_program import compile_circuit
from qhyper.targets.loss import LossName, check_loss, label_losses

TITLE = "Where do the gradients of large circuits vanish?"

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    qubits: tuple[int, ...]
    sublayers: tuple[int, ...]
    starts: int
    """random ones, of each kind"""
    rows: int
    """of the perceptron"""


FULL = Size((8, 16, 32, 64, 128, 256), (2, 4, 6, 8), starts=100, rows=4)
QUICK = Size((8, 16, 32), (2, 4), starts=20, rows=2)
RESAMPLES = 500
"""Of the bootstrap over the starts."""


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """Every kind of start at every size; long ones first."""
    size = QUICK if quick else FULL
    return {
        f"{start}-{n}-{sublayers}": partial(gradients, start, n, sublayers, size)
        for sublayers in reversed(size.sublayers)
        for n in reversed(size.qubits)
        for start in STARTS
    }


def gradients(start: Start, n: int, sublayers: int, size: Size) -> dict[str, Any]:
    """Of each cost the value, and how large its derivatives are, over random starts."""
    circuit = build(start, n, sublayers)
    program = compile_circuit(circuit)
    angles = np.array([
        initial_parameters(circuit, start, rng)
        for rng in Streams(range(size.starts))(0, "initialise")
    ])  # fmt: skip
    effective, middle = _effective(circuit), _middle(n, sublayers)
    found = {}
    with threadpool_limits(1):  # the other cores have parts of their own
        for name, cost in costs(n, size.rows).items():
            values, derivatives = expectation(program, angles, cost)
            unit = float(abs(derivatives).max())
            found[name] = {
                "value": {"mean": values.mean(), "sd": values.std(ddof=1)},
                **spread(derivatives[:, effective] / unit, unit),
                "middle": spread(derivatives[:, middle] / unit, unit)["variance"],
            }
    return found


def build(start: Start, n: int, sublayers: int) -> Circuit:
    """The circuit of a start: brickwork, or half of it with its mirror image for identity blocks.

    Either way so many sublayers of entanglers and rotations.
    """
    if start == "identity-block":
        return Mirrored(Brickwork(sublayers // 2)).build(n)
    return Brickwork(sublayers).build(n)


def _effective(circuit: Circuit) -> npt.NDArray[np.bool_]:
    """Which angles can matter: all but an Rz right before the measurement."""
    last = {gate.qubits[0]: (gate.name, k) for gate, k in circuit.numbered() if k is not None}
    effective = np.ones(circuit.n_angles, bool)
    effective[[k for name, k in last.values() if name == "rz"]] = False
    return effective


def _middle(n: int, sublayers: int) -> slice:
    """The angles of the Ry of the sublayer before the middle: of either circuit the same."""
    first = 2 * n * (sublayers // 2 - 1)
    return slice(first, first + n)


def costs(n: int, rows: int) -> dict[str, MatrixProductCost]:
    """Two local costs, a global one, and the loss of a binary network, of n weights."""
    return {
        "mean": MatrixProductCost.linear(np.full(n, 1 / n)),
        "neighbours": MatrixProductCost.neighbours(np.full(n - 1, 1 / (n - 1))),
        "string": MatrixProductCost.projector(np.ones(n)),
        "perceptron": perceptron(taught(n, rows)),
    }


def perceptron(data: Samples, loss: LossName | str = "cross_entropy") -> MatrixProductCost:
    """The mean loss over rows x in {-1, +1} of `BinaryNetwork((n, 1))`, sign by sign.

    Its logit Σ w_i x_i is twice the number of agreements w_i = x_i less n. Raises
    ConfigurationError for other rows, labels or losses.
    """
    _, n = data.x.shape
    BinaryNetwork((n, 1)).check(data)
    logits = 2.0 * np.arange(n + 1)[:, None] - n
    losses = label_losses(logits, check_loss(loss)) / len(data.y)  # [agreements, label]
    return MatrixProductCost.agreements(data.x, losses[:, data.y].T)


def taught(n: int, rows: int) -> Samples:
    """Random rows of signs, with the labels that random weights give them."""
    rng = np.random.default_rng(n)
    teacher, x = rng.choice([-1.0, 1.0], n), rng.choice([-1.0, 1.0], (rows, n))
    return Samples(x, (x @ teacher > 0).astype(np.int64))


def spread(derivatives: Float, unit: float) -> dict[str, Any]:
    """Mean square and variance of derivatives [start, angle], means over the angles, as log2.

    With 95 % intervals, of a percentile bootstrap over the starts, and the mean square at each
    start. The derivatives are in units of the largest: squares as small as those of a global cost
    may vanish in double precision.
    """
    n = len(derivatives)
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), RESAMPLES)
    weights = np.vstack([np.ones(n), counts]) / n
    centred = derivatives - derivatives.mean(axis=0)
    variances = (weights @ centred**2 - (weights @ centred) ** 2) * n / (n - 1)
    variances[1:] *= n / (n - 1)  # resampled variances have the mean (n - 1) / n of the sample's
    largest = abs(derivatives).max(axis=1, keepdims=True)
    own = ((derivatives / np.where(largest > 0, largest, 1.0)) ** 2).mean(axis=1)
    return {
        "mean_square": _interval((weights @ derivatives**2).mean(axis=1), unit),
        "variance": _interval(variances.mean(axis=1), unit),
        "by_start": _log2(own, largest[:, 0] * unit).tolist(),
    }


ROUNDING = 1e-13
"""Derivatives smaller than this, in units of the largest, may be rounding errors of 0."""
NOTHING = -3000.0
"""Stands for the log2 of 0, which JSON does not have."""


def _interval(first_and_resampled: Float, unit: float) -> dict[str, float]:
    low, high = np.quantile(first_and_resampled[1:], (0.025, 0.975))
    three = np.array([first_and_resampled[0], low, high])
    log2 = _log2(np.where(three > ROUNDING**2, three, 0.0), np.array(unit))
    return dict(zip(("log2", "low", "high"), log2.tolist(), strict=True))


def _log2(squares: Float, unit: Float) -> Float:
    """log2 of squares · unit²."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log2(squares) + 2 * np.log2(unit), NOTHING)


def tables(results: Mapping[str, Any]) -> str:
    """All tables, in Markdown."""
    return written.tables(results)


def measured(results: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    return written.measured(results)


draw = pictures.draw
