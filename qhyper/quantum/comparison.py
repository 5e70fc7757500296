"""Circuits taken over are compared with what their SDK makes of them, where that is quick.

The probabilities of all bitstrings are, at random parameters and inputs from a generator of their
own, always the same ones.
"""

from collections.abc import Callable

import numpy as np

from qhyper.errors import ConfigurationError
from qhyper.quantum.affine import Float, angle_value
from qhyper.quantum.circuit import Circuit

_QUBITS, _GATES = 10, 1000
"""Of the largest circuits that are compared: some half a second."""
_POINTS = 2
_ROUNDING = 1e-6
"""How far probabilities may be apart: SDKs find angles of larger gates by iteration."""


def check_distribution(circuit: Circuit, of_sdk: Callable[[Float], Float | None], sdk: str) -> None:
    """Raise ConfigurationError if a circuit has other probabilities than the SDK says.

    `of_sdk` gives them, [2^n] with qubit 0 changing fastest, at values [parameter, then input], or
    None if it cannot. Circuits of more than 10 qubits or 1,000 gates are not compared.
    """
    if circuit.n_qubits > _QUBITS or len(circuit.gates) > _GATES:
        return
    n_parameters, rng = circuit.n_parameters, np.random.default_rng(0)
    for _ in range(_POINTS):
        values = rng.uniform(-np.pi, np.pi, n_parameters + circuit.n_inputs)
        expected = of_sdk(values)
        if expected is None:
            return
        found = probabilities(circuit, values[:n_parameters], values[n_parameters:])
        apart = np.abs(found - expected).max()
        if not apart <= _ROUNDING:
            raise ConfigurationError(
                f"The circuit has other probabilities than {sdk} says: they are up to {apart:.3g} "
                "apart at random parameters. Some gate is not what its name or decomposition "
                "says: write it out in rx, ry, rz, cx and cz."
            )


def probabilities(circuit: Circuit, parameters: Float, inputs: Float) -> Float:
    """The probability of every bitstring, [2^n] with qubit 0 changing fastest: plain and slow."""
    n = circuit.n_qubits
    psi = np.zeros((2,) * n, np.complex128)  # axis q is qubit q
    psi[(0,) * n] = 1
    for gate, number in circuit.numbered():
        if number is not None:
            turn = _rotation(gate.name, angle_value(circuit.angles[number], parameters, inputs))
            (qubit,) = gate.qubits
            psi = np.moveaxis(np.tensordot(turn, psi, axes=(1, qubit)), 0, qubit)
            continue
        control, target = gate.qubits
        one = [slice(None)] * n
        one[control] = slice(1, 2)
        if gate.name == "cx":
            psi[tuple(one)] = np.flip(psi[tuple(one)], target).copy()
        else:
            one[target] = slice(1, 2)
            psi[tuple(one)] *= -1
    return (np.abs(psi) ** 2).transpose().ravel()


def _rotation(name: str, angle: float) -> np.ndarray:
    c, s = np.cos(angle / 2), np.sin(angle / 2)
    return {
        "rx": np.array([[c, -1j * s], [-1j * s, c]]),
        "ry": np.array([[c, -s], [s, c]]),
        "rz": np.diag([c - 1j * s, c + 1j * s]),
    }[name]
