"""Circuits of Qiskit and PennyLane as ours.

What is taken over is the unitary part: all qubits start in `|0>`, all are measured at the end, and
columns of the draws are the classical bits that the circuit measures them into, or the qubits or
wires in their order if it does not measure them all. Other gates are decomposed into rx, ry, rz, cx
and cz by the SDK's own rules: exactly up to a global phase, but evolutions under sums that do not
commute become the SDK's product formula. Angles must be affine in the parameters and inputs, with
real coefficients. Circuits of up to 10 qubits and 1,000 gates are compared with the SDK's own
simulation.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_float
from qhyper.errors import ConfigurationError
from qhyper.quantum.circuit import Circuit
from qhyper.quantum.pennylane_circuits import from_pennylane
from qhyper.quantum.qiskit_circuits import from_qiskit, qiskit_with_angles


def as_circuit(thing: Any, n_qubits: int) -> Circuit:
    """The circuit that `thing` is, on `n_qubits` qubits.

    `thing` is a Circuit, a qiskit QuantumCircuit without inputs, or a PennyLane QNode or function
    with the attribute `n_parameters`, and `n_inputs` if it takes inputs. For anything else that
    `from_qiskit` and `from_pennylane` can do, call them and hand over the Circuit. Raises
    ConfigurationError for another type or width, and for what cannot be taken over.
    """
    if isinstance(thing, Circuit):
        circuit = thing
    elif _is_qiskit(thing):
        circuit = from_qiskit(thing)
    elif callable(thing) and not isinstance(thing, type):
        circuit = from_pennylane(thing, n_qubits=n_qubits)
    else:
        raise ConfigurationError(
            f"Got {_type_name(thing)}; expected a qhyper Circuit, a qiskit QuantumCircuit, or a "
            "PennyLane function or QNode."
        )
    if circuit.n_qubits != n_qubits:
        raise ConfigurationError(
            f"Got a circuit of {circuit.n_qubits} qubits for {n_qubits} bits; expected one qubit "
            "a bit."
        )
    return circuit


def to_qasm3(circuit: Circuit, angles: npt.ArrayLike) -> str:
    """The circuit at its angles [n_angles], in radians, as an OpenQASM 3 program.

    All qubits are measured at the end, qubit q into bit q of the register `c`. Of a trained
    generator: `to_qasm3(generator.circuit, generator.angles().detach()[replica, row])`. Angles are
    written to 1e-12 or better. Raises ConfigurationError unless there is one finite angle for each
    of the circuit's.
    """
    given = as_float(angles, "angles", "finite angles")
    if given.shape != (circuit.n_angles,) or not np.isfinite(given).all():
        raise ConfigurationError(
            f"Got angles of shape {given.shape}; expected {circuit.n_angles} finite ones, "
            "[n_angles]. Of a generator choose one replica and row: angles()[replica, row]."
        )
    from qiskit import ClassicalRegister, qasm3

    parameters, built = qiskit_with_angles(circuit)
    built.add_register(ClassicalRegister(circuit.n_qubits, "c"))
    built.measure(range(circuit.n_qubits), range(circuit.n_qubits))
    return qasm3.dumps(built.assign_parameters(dict(zip(parameters, given.tolist(), strict=True))))


def _is_qiskit(thing: Any) -> bool:
    return any(
        kind.__name__ == "QuantumCircuit" and kind.__module__.partition(".")[0] == "qiskit"
        for kind in type(thing).__mro__
    )


def _type_name(thing: Any) -> str:
    if isinstance(thing, type):
        return f"the class {thing.__name__} itself"
    return f"an object of type {type(thing).__module__}.{type(thing).__qualname__}"
