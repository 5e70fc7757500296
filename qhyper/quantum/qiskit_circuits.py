"""Circuits from and to Qiskit; `convert.py` says what is taken over."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qhyper.errors import ConfigurationError, unknown
from qhyper.quantum.affine import (
    GATES_ONLY,
    Float,
    affine_angle,
    angle_value,
    circuit_of,
    near,
    real_number,
)
from qhyper.quantum.circuit import ROTATIONS, Circuit
from qhyper.quantum.comparison import check_distribution

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

_NOT_UNITARY = {
    **dict.fromkeys(("reset", "initialize", "state_preparation"), GATES_ONLY),
    **dict.fromkeys(
        ("if_else", "for_loop", "while_loop", "switch_case", "break_loop", "continue_loop", "box"),
        "circuits have no control flow; write its gates out",
    ),
    "delay": "circuits have no timing",
}
"""Instructions of Qiskit that are refused before it decomposes them, and why."""


def from_qiskit(circuit: "QuantumCircuit", *, inputs: Sequence[Any] | str = ()) -> Circuit:
    """The circuit of a qiskit QuantumCircuit.

    Parameters are numbered in the order of `circuit.parameters`: by name, elements of a vector by
    index. Those in `inputs`, given as Parameters (a ParameterVector, say) or by name, are the
    input features, in the order given. Barriers and measurements at the end are dropped. If all
    qubits are measured, columns of the draws are the classical bits that are measured into, in
    their order; if none is, or some into the bits of their own numbers, column q is qubit q.

    Raises ConfigurationError, naming the instruction, for a measurement before the end, reset,
    state preparation, delay, control flow and gates without a decomposition; naming the expression,
    for angles that are not affine; if some qubits alone are measured, into other bits; for a
    circuit that Qiskit has given other qubits and that is not measured; and if a circuit of up to
    10 qubits and 1,000 gates has other probabilities than Qiskit's Statevector.
    """
    from qiskit import QiskitError, transpile
    from qiskit.circuit.library import CXGate, CZGate, RXGate, RYGate, RZGate

    columns, n_inputs = _columns([p.name for p in circuit.parameters], inputs)
    n_parameters, given = len(columns) - n_inputs, circuit
    _check_instructions(circuit)
    kinds = {"rx": RXGate, "ry": RYGate, "rz": RZGate, "cx": CXGate, "cz": CZGate}
    if not all(_is(item.operation, kinds) or _dropped(item.operation) for item in circuit.data):
        try:
            # level 0 only translates: no layout, nothing merged and no angle rounded
            circuit = transpile(circuit, basis_gates=list(kinds), optimization_level=0)
        except QiskitError as error:
            raise ConfigurationError(
                f"Qiskit cannot decompose this circuit into {', '.join(kinds)}: {error.message}. "
                "Give its gates a definition, or write them out."
            ) from error
    column = _column_of_qubit(given, _check_instructions(circuit))
    gates, angles = [], []
    for item in circuit.data:
        name, qubits = item.operation.name, _qubits(circuit, item)
        if _dropped(item.operation):
            continue
        if not _is(item.operation, kinds):
            raise _refused(name, qubits, f"Qiskit does not decompose it into {', '.join(kinds)}")
        gates.append((name, [column[qubit] for qubit in qubits]))
        if name in ROTATIONS:
            row, offset = _affine_expression(item.operation.params[0], columns, name, qubits[0])
            angles.append(affine_angle(row, offset, n_parameters))
    names = list(columns)
    taken = circuit_of(
        circuit.num_qubits, gates, angles, names[:n_parameters], names[n_parameters:]
    )

    def of_qiskit(values: Float) -> Float | None:
        at = dict(zip(names, values.tolist(), strict=True))
        found = None if _evolves(given) else _simulated(given, at)
        found = _simulated(circuit, at) if found is None else found
        return None if found is None else _by_column(found, column)

    check_distribution(taken, of_qiskit, "Qiskit")
    return taken


def _is(operation: Any, kinds: Mapping[str, type]) -> bool:
    """Whether it is one of these gates, and not one of its name or a subclass."""
    return kinds.get(operation.name) is _kind(operation)


def _dropped(operation: Any) -> bool:
    from qiskit.circuit import Barrier, Measure

    return _kind(operation) in (Barrier, Measure)


def _kind(operation: Any) -> type:
    """Its class as it is written in Python: Qiskit shares gates by classes of its own."""
    return getattr(operation, "base_class", type(operation))


def _column_of_qubit(circuit: "QuantumCircuit", measured: Mapping[int, int]) -> list[int]:
    """The column of the draws that each qubit is, where `measured` has qubits' classical bits."""
    n = circuit.num_qubits
    if n == len(measured):
        return np.argsort(np.argsort([measured[qubit] for qubit in range(n)])).tolist()
    moved = next((qubit for qubit, bit in measured.items() if qubit != bit), None)
    if moved is not None:
        raise ConfigurationError(
            f"Qubit {moved} is measured into classical bit {measured[moved]}, but only "
            f"{len(measured)} of {n} qubits are measured. Measure all of them, so that columns of "
            "the draws are classical bits, or none."
        )
    layout = None if circuit.layout is None else circuit.layout.final_index_layout()
    if layout is not None and layout != list(range(n)):
        raise ConfigurationError(
            f"Qiskit's transpiler has given the circuit other qubits ({layout}, one for each of "
            "its own), and they are not all measured. Measure before transpiling (measure_all), or "
            "take over the circuit as it was before."
        )
    return list(range(n))


def _by_column(probabilities: Float, column: Sequence[int]) -> Float:
    """Probabilities of strings of qubits as those of strings of columns, number 0 fastest."""
    n = len(column)
    by_qubit = probabilities.reshape((2,) * n).transpose()  # axis q is qubit q
    return by_qubit.transpose(np.argsort(column)).transpose().ravel()


def _simulated(circuit: "QuantumCircuit", values: Mapping[str, float]) -> Float | None:
    """Probabilities by Qiskit's state vector, without measurements; None if it cannot."""
    from qiskit import QiskitError
    from qiskit.quantum_info import Statevector

    bare = circuit.copy_empty_like()
    for item in circuit.data:
        if not _dropped(item.operation):
            bare.append(item)
    try:
        return Statevector(bare.assign_parameters(values)).probabilities()
    except QiskitError:  # measurements inside an instruction
        return None


def _evolves(circuit: "QuantumCircuit") -> bool:
    """Whether it has an evolution, which Statevector takes exactly and decompositions do not."""
    for item in circuit.data:
        if item.operation.name == "PauliEvolution":
            return True
        standard = ".standard_gates." in _kind(item.operation).__module__
        inner = None if standard else getattr(item.operation, "definition", None)
        if inner is not None and _evolves(inner):
            return True
    return False


def _columns(names: list[str], inputs: Sequence[Any] | str) -> tuple[dict[str, int], int]:
    """The column of every name, parameters before inputs, and the number of inputs."""
    wanted = [inputs] if isinstance(inputs, str) else [getattr(p, "name", p) for p in inputs]
    for name in wanted:
        if name not in names:
            raise unknown("parameter of the circuit", str(name), names or ["(none)"])
    if len(set(wanted)) != len(wanted):
        raise ConfigurationError(f"Got the inputs {', '.join(wanted)}; expected each of them once.")
    ordered = [name for name in names if name not in wanted] + wanted
    return {name: column for column, name in enumerate(ordered)}, len(wanted)


def _check_instructions(circuit: "QuantumCircuit") -> dict[int, int]:
    """The classical bits of measured qubits; refuses what is not unitary or measured early."""
    measured: dict[int, int] = {}
    for item in circuit.data:
        name, qubits = item.operation.name, _qubits(circuit, item)
        if name == "barrier":
            continue
        if name in _NOT_UNITARY:
            raise _refused(name, qubits, _NOT_UNITARY[name])
        for qubit in qubits:
            if qubit in measured:
                raise _refused(
                    "measure", (qubit,), f"'{name}' acts on the qubit after it; measure at the end"
                )
        if name == "measure" and item.clbits:
            clbit = circuit.find_bit(item.clbits[0]).index
            if clbit in measured.values():
                raise _refused(name, qubits, f"classical bit {clbit} is measured into twice")
            measured[qubits[0]] = clbit
    return measured


def _qubits(circuit: "QuantumCircuit", item: Any) -> tuple[int, ...]:
    return tuple(circuit.find_bit(qubit).index for qubit in item.qubits)


def _refused(name: str, qubits: Sequence[Any], reason: str) -> ConfigurationError:
    where = ", ".join(map(str, qubits))
    return ConfigurationError(
        f"Cannot take over the instruction '{name}' on qubits {where}: {reason}. Expected unitary "
        "gates, with measurements at the end alone."
    )


def _affine_expression(
    expression: Any, columns: Mapping[str, int], gate: str, qubit: int
) -> tuple[dict[int, float], float]:
    """The coefficients of an angle by column, and its offset."""
    symbols = list(getattr(expression, "parameters", ()))
    slopes = [_attempt(expression.gradient, symbol) for symbol in symbols]
    # the values there must agree with the derivatives
    points = np.random.default_rng(0).uniform(-3 * np.pi, 3 * np.pi, (5, len(symbols)))
    points[0] = 0
    values = [
        _attempt(expression.bind, dict(zip(symbols, x, strict=True)))
        if symbols
        else real_number(expression)
        for x in points.tolist()
    ]
    if None not in slopes and None not in values:
        offset, exact = float(values[0] or 0), np.array(slopes, dtype=np.float64)
        if near(np.array(values, dtype=np.float64), offset + points @ exact).all():
            names = (columns[symbol.name] for symbol in symbols)
            return dict(sorted(zip(names, exact.tolist(), strict=True))), offset
    raise ConfigurationError(
        f"The angle of {gate} on qubit {qubit} is '{expression}'; expected a real affine "
        "expression of the parameters, such as 2*a + b - 0.3. Make what it depends on a parameter "
        "of its own."
    )


def _attempt(method: Callable[[Any], Any], argument: Any) -> float | None:
    try:
        return real_number(method(argument))
    except Exception:  # of many kinds: no derivative of sign(a), a division by zero
        return None


def to_qiskit(circuit: Circuit) -> "QuantumCircuit":
    """The circuit as a qiskit QuantumCircuit, without measurements.

    Its parameters are the ParameterVectors `theta` [n_parameters] and, if there are inputs, `x`
    [n_inputs]; `from_qiskit(..., inputs=)` with the elements of `x` gives the circuit back.
    """
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    theta = ParameterVector("theta", circuit.n_parameters)
    x = ParameterVector("x", circuit.n_inputs)
    built = QuantumCircuit(circuit.n_qubits)
    for gate, number in circuit.numbered():
        angle = [] if number is None else [angle_value(circuit.angles[number], theta, x)]
        getattr(built, gate.name)(*angle, *gate.qubits)
    return built


def qiskit_with_angles(circuit: Circuit) -> "tuple[list[Any], QuantumCircuit]":
    """Parameters, one an angle, and the qiskit QuantumCircuit of them, without measurements.

    There are no controlled rotations in our circuits: Aer gets those wrong from the second row of
    parameters on (https://github.com/Qiskit/qiskit-aer/issues/2391).
    """
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    parameters = list(ParameterVector("angle", circuit.n_angles))
    built = QuantumCircuit(circuit.n_qubits)
    for gate, number in circuit.numbered():
        angle = () if number is None else (parameters[number],)
        getattr(built, gate.name)(*angle, *gate.qubits)
    return parameters, built
