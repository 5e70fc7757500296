"""Exact matrix-product simulation: sampling, log p and its gradient, linear in the qubits.

The circuit becomes a site program (`mps_program`), which the compiled kernels (`mps_kernels`) run
on the CPU and `mps_torch` on any other device.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.quantum.backend import BackendCapabilities, Named
from qhyper.quantum.circuit import Circuit
from qhyper.quantum.simulators import mps_kernels as kernels
from qhyper.quantum.simulators.mps_program import (
    Float,
    MatrixProductAt,
    Program,
    compile_circuit,
)


class CompiledProduct(Protocol):
    """What the backend compiles to, on any device."""

    program: Program

    def at(self, angles: Float) -> MatrixProductAt:
        """The circuit at angles [replica, row, angle] in radians; see `Executable`."""
        ...


class MatrixProductBackend(Named):
    """Exact matrix products: sampling, log p and its scores, for circuits of small bonds.

    - device: `cpu`, where compiled kernels run, or any other torch device, such as `cuda`
    """

    capabilities = BackendCapabilities(log_prob=True, probability_bits=20)

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def __str__(self) -> str:
        return "mps"

    def compile(self, circuit: Circuit, *, rows: int = 1) -> CompiledProduct:
        """The circuit, ready to run.

        Raises ConfigurationError if it does not fit in memory, or if torch cannot use the device.
        """
        if self.device == "cpu":
            return MatrixProduct(circuit, rows)
        from qhyper.quantum.simulators.mps_torch import MatrixProductOn

        return MatrixProductOn(circuit, self.device, rows)


class MatrixProduct:
    """A circuit as a matrix product on the CPU: an `Executable`."""

    def __init__(self, circuit: Circuit, rows: int = 1) -> None:
        self.program = compile_circuit(circuit, rows=rows)

    def at(self, angles: Float) -> "CompiledAt":
        """As in Executable."""
        return CompiledAt(self.program, angles)


class CompiledAt(MatrixProductAt):
    """A matrix product at angles, by the compiled kernels: `WithLogProb`."""

    def __init__(self, program: Program, angles: Float) -> None:
        super().__init__(program, angles)
        self._flat = _flat(self.angles, 1)
        self._tensors: kernels.Complex | None = None
        self._matrices: kernels.Complex | None = None

    def _site_tensors(self) -> kernels.Complex:
        if self._tensors is not None:
            return self._tensors
        tensors = kernels.site_tensors(self.program, self._flat)
        if self.keeps:
            self._tensors = tensors
        return tensors

    def _weight_matrices(self, tensors: kernels.Complex) -> kernels.Complex:
        if self._matrices is not None:
            return self._matrices
        matrices = kernels.weight_matrices(self.program, tensors)
        if self.keeps:
            self._matrices = matrices
        return matrices

    def _draw(self, rows: slice, uniforms: Float) -> Bits:
        if uniforms.shape[1] == self.angles.shape[1]:  # all rows
            tensors = self._site_tensors()
            matrices = self._weight_matrices(tensors)
        else:
            tensors = kernels.site_tensors(self.program, _flat(self.angles[:, rows], 1))
            matrices = kernels.weight_matrices(self.program, tensors)
        drawn = kernels.sample(self.program, tensors, matrices, _flat(uniforms, 2))
        return drawn.reshape(uniforms.shape)

    def log_prob(self, bits: Bits) -> Float:
        """As in WithLogProb."""
        flat = kernels.log_prob(self.program, self._site_tensors(), _flat(bits, 2))
        return flat.reshape(bits.shape[:3])

    def score(self, bits: Bits, coefficients: Float) -> Float:
        """As in WithLogProb."""
        flat = kernels.score(
            self.program, self._flat, self._site_tensors(), _flat(bits, 2), _flat(coefficients, 1)
        )
        return flat.reshape(self.angles.shape)

    def scores(self, bits: Bits) -> Float:
        """As in WithLogProb."""
        flat = kernels.scores(self.program, self._flat, self._site_tensors(), _flat(bits, 2))
        return flat.reshape(*bits.shape[:3], self.angles.shape[-1])


def _flat(array: npt.NDArray, kept: int) -> npt.NDArray:
    """[replica, row, ...] as [replica and row, ...], with `kept` axes after these."""
    shape = array.shape
    return np.ascontiguousarray(array.reshape(shape[0] * shape[1], *shape[array.ndim - kept :]))
