"""Rows: one circuit at several angles, from which all bits of a generator are measured.

A plain circuit has one row. A static hypernetwork has one a chunk, and a shot of all of them
together is one draw.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError

if TYPE_CHECKING:  # torch takes its time
    from qhyper.hypernetwork import HyperNetwork
    from qhyper.quantum.circuit import Circuit


@dataclass(frozen=True)
class CircuitRows:
    """The circuit of a generator, its angles, and where its qubits' bits belong."""

    circuit: "Circuit"
    angles: npt.NDArray[np.float64]
    """[replica, row, angle]"""
    places: npt.NDArray[np.int64]
    """[row, qubit]: which bit of a draw is measured there; each bit once"""

    @property
    def n_rows(self) -> int:
        """Rows of one replica."""
        return len(self.places)

    def draws(self, measured: Bits) -> Bits:
        """Draws [..., shot, bit] of what was measured, [..., row, shot, qubit]."""
        by_shot = measured.swapaxes(-3, -2)
        flat = by_shot.reshape(*by_shot.shape[:-2], self.places.size)
        placed = np.empty_like(flat)
        placed[..., self.places.ravel()] = flat
        return placed


def rows_of(generator: "HyperNetwork") -> CircuitRows:
    """The rows of a circuit, or of one that is asked once a chunk, in any order of the bits.

    Raises ConfigurationError for what sees an input, for parts that are joined, and for what is no
    circuit.
    """
    from qhyper.compose.joined import Joined

    if any(isinstance(module, Joined) for module in generator.modules()):
        raise ConfigurationError(
            f"Got {generator.describe()}; expected one circuit for all bits: a submission sends "
            "rows of one circuit, and what is joined has a generator for each block. Train one for "
            "all of them, such as static-product or chunked."
        )
    if generator.n_inputs:
        raise ConfigurationError(
            f"Got {generator.describe()}, which depends on inputs; only unconditional circuits are "
            "submitted, and those that are asked once a chunk."
        )
    circuit, places = _placed(generator)
    angles = generator.angles().detach().cpu().numpy()  # type: ignore[attr-defined]
    return CircuitRows(circuit, angles.reshape(len(angles), len(places), circuit.n_angles), places)


def _placed(generator: "HyperNetwork") -> "tuple[Circuit, npt.NDArray[np.int64]]":
    """The circuit, and the bit [row, qubit] of each of its rows' qubits."""
    from qhyper.compose.chunked import Chunked
    from qhyper.compose.ordered import Ordered
    from qhyper.quantum.generator import QuantumHyperNetwork

    if isinstance(generator, QuantumHyperNetwork):
        return generator.circuit, generator.order[None]
    if isinstance(generator, Ordered):
        circuit, inner = _placed(generator.generator)
        return circuit, generator.order[inner]
    if isinstance(generator, Chunked):
        circuit, inner = _placed(generator.generator)
        first = generator.generator.n_bits * np.arange(generator.chunks)
        return circuit, first[:, None] + inner
    raise ConfigurationError(
        f"Got {generator.describe()}, and no circuit: there is nothing to run on a quantum "
        "computer."
    )
