"""Circuits from and to Qiskit and PennyLane.

What is taken over is the unitary part: all qubits start in |0>, all are measured at the end, and
column q of the draws is qubit q, or wire q, whatever classical bit it was measured into. Other
gates are decomposed into rx, ry, rz, cx and cz by the SDK's own rules: exactly up to a global
phase, but evolutions under sums that do not commute become the SDK's product formula. Angles must
be affine in the parameters and inputs, with real coefficients.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qhyper.errors import ConfigurationError, unknown
from qhyper.quantum.circuit import ROTATIONS, Angle, Circuit, Gate

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

Float = npt.NDArray[np.float64]

_TOLERANCE = 1e-9
"""How far an angle, in radians, may be from the affine function that was found for it."""
_ROUNDING = 1e-12
"""Coefficients that are so near to a number of nine decimals are that number."""


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


def _is_qiskit(thing: Any) -> bool:
    return any(
        kind.__name__ == "QuantumCircuit" and kind.__module__.partition(".")[0] == "qiskit"
        for kind in type(thing).__mro__
    )


def _type_name(thing: Any) -> str:
    if isinstance(thing, type):
        return f"the class {thing.__name__} itself"
    return f"an object of type {type(thing).__module__}.{type(thing).__qualname__}"


def _circuit(
    n_qubits: int, gates: Sequence[tuple[str, Sequence[int]]], angles: Sequence[Angle],
    parameters: Sequence[str], inputs: Sequence[str],
) -> Circuit:  # fmt: skip
    """The circuit of gates, of which the rotations take the angles in their order.

    Raises ConfigurationError if no angle depends on one of the parameters or inputs.
    """
    for kind, names in (("parameters", parameters), ("inputs", inputs)):
        used = {number for angle in angles for number in getattr(angle, kind)}
        idle = [name for number, name in enumerate(names) if number not in used]
        if idle:
            raise ConfigurationError(
                f"No angle depends on the {kind} {', '.join(idle)}; expected all of them in the "
                "angle of some gate. Leave out what is not used."
            )
    rest = iter(angles)
    built = [
        Gate(name, tuple(int(q) for q in qubits), _short(next(rest)) if name in ROTATIONS else None)
        for name, qubits in gates
    ]
    return Circuit(n_qubits, tuple(built))


def _angle(row: Mapping[int, float], offset: float, n_parameters: int) -> Angle:
    """The angle with coefficients by column, the parameters followed by the inputs."""
    return Angle(
        {column: value for column, value in row.items() if value and column < n_parameters},
        {column - n_parameters: v for column, v in row.items() if v and column >= n_parameters},
        offset,
    )


def _short(angle: Angle) -> Angle | int:
    """The number of a parameter, where that is all of the angle."""
    number = next(iter(angle.parameters), 0)
    return number if angle == Angle({number: 1.0}) else angle


def _near(values: Float, expected: Float) -> npt.NDArray[np.bool_]:
    return abs(values - expected) <= _TOLERANCE * (1 + abs(expected))


def _real(value: Any) -> float | None:
    """A finite real number as a float, None for anything else."""
    try:
        number = complex(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    return number.real if np.isfinite(number) and number.imag == 0 else None


# -- Qiskit ----------------------------------------------------------------------------------------

_GATES_ONLY = "all qubits start in |0>, and only gates prepare states"
_NOT_UNITARY = {
    **dict.fromkeys(("reset", "initialize", "state_preparation"), _GATES_ONLY),
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
    input features, in the order given. Barriers and measurements at the end are dropped; column q
    of the draws is qubit q, not classical bit q. Raises ConfigurationError, naming the
    instruction, for a measurement before the end, reset, state preparation, delay, control flow
    and gates without a decomposition; and, naming the expression, for angles that are not affine.
    """
    from qiskit import QiskitError, transpile
    from qiskit.circuit.library import CXGate, CZGate, RXGate, RYGate, RZGate

    columns, n_inputs = _columns([p.name for p in circuit.parameters], inputs)
    n_parameters = len(columns) - n_inputs
    _check_instructions(circuit)
    kinds = {"rx": RXGate, "ry": RYGate, "rz": RZGate, "cx": CXGate, "cz": CZGate}
    if not all(item.operation.name in (*kinds, "barrier", "measure") for item in circuit.data):
        try:
            # level 0 only translates: no layout, nothing merged and no angle rounded
            circuit = transpile(circuit, basis_gates=list(kinds), optimization_level=0)
        except QiskitError as error:
            raise ConfigurationError(
                f"Qiskit cannot decompose this circuit into {', '.join(kinds)}: {error.message}. "
                "Give its gates a definition, or write them out."
            ) from error
        _check_instructions(circuit)
    gates, angles = [], []
    for item in circuit.data:
        name, qubits = item.operation.name, _qubits(circuit, item)
        if name in ("barrier", "measure"):
            continue
        if not isinstance(item.operation, kinds.get(name, ())):
            raise _refused(name, qubits, f"Qiskit does not decompose it into {', '.join(kinds)}")
        gates.append((name, qubits))
        if name in ROTATIONS:
            row, offset = _affine_expression(item.operation.params[0], columns, name, qubits[0])
            angles.append(_angle(row, offset, n_parameters))
    names = list(columns)
    return _circuit(circuit.num_qubits, gates, angles, names[:n_parameters], names[n_parameters:])


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


def _check_instructions(circuit: "QuantumCircuit") -> None:
    """Refuse what is known not to be unitary, and measurements that are not at the end."""
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
        if name == "measure":
            clbit = circuit.find_bit(item.clbits[0]).index
            if clbit in measured.values():
                raise _refused(name, qubits, f"classical bit {clbit} is measured into twice")
            measured[qubits[0]] = clbit


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
        else _real(expression)
        for x in points.tolist()
    ]
    if None not in slopes and None not in values:
        offset, exact = float(values[0] or 0), np.array(slopes, dtype=np.float64)
        if _near(np.array(values, dtype=np.float64), offset + points @ exact).all():
            names = (columns[symbol.name] for symbol in symbols)
            return dict(sorted(zip(names, exact.tolist(), strict=True))), offset
    raise ConfigurationError(
        f"The angle of {gate} on qubit {qubit} is '{expression}'; expected a real affine "
        "expression of the parameters, such as 2*a + b - 0.3. Make what it depends on a parameter "
        "of its own."
    )


def _attempt(method: Callable[[Any], Any], argument: Any) -> float | None:
    try:
        return _real(method(argument))
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
        angle = [] if number is None else [_value(circuit.angles[number], theta, x)]
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


def _value(angle: Angle, parameters: Any, inputs: Any) -> Any:
    """An angle at parameters and inputs of any type that can be multiplied and added."""
    value = angle.offset
    for terms, values in ((angle.parameters, parameters), (angle.inputs, inputs)):
        for number, coefficient in terms.items():
            value = value + coefficient * values[number]
    return value


# -- PennyLane -------------------------------------------------------------------------------------


class _Recorded(NamedTuple):
    """What a PennyLane function does at one point: its own gates, and the decomposed ones."""

    own: list[tuple[str, list[Any]]]
    gates: list[tuple[str, list[Any]]]
    angles: Float


def from_pennylane(
    function: Callable[..., Any],
    *,
    n_qubits: int,
    n_parameters: int | None = None,
    n_inputs: int | None = None,
) -> Circuit:
    """The circuit of a PennyLane QNode or quantum function, on the wires 0 to n_qubits - 1.

    It is called with parameters float64 [n_parameters] and, if `n_inputs` > 0, inputs float64
    [n_inputs]; unless told, these numbers are its attributes of the same names (0 inputs if there
    is none). What it returns is ignored: all wires are measured, and column q of the draws is
    wire q. Every wire must be used, if only by a measurement or `qml.Identity`.

    Angles are found by recording the function some ten times, or once for each parameter and
    input if an angle depends on several, and are checked at other values. Raises
    ConfigurationError if the gates depend on the values or an angle is not affine in them, to
    1e-9; if a parameter or wire is not used, or a wire is none of these; and, naming it, for
    mid-circuit measurements, state preparations, channels and whatever PennyLane cannot decompose.
    """
    n_parameters = _count(function, "n_parameters", n_parameters)
    n_inputs = _count(function, "n_inputs", n_inputs, default=0)
    size = n_parameters + n_inputs

    def record(point: Float) -> _Recorded:
        parameters, inputs = point[:n_parameters].copy(), point[n_parameters:].copy()
        tape = _tape(function, (parameters, inputs) if n_inputs else (parameters,))
        return _recorded(tape, n_qubits, _name(function))

    # Values without a meaning, for at zeros some decompositions leave gates out, and with few
    # binary digits, so that differences are exact.
    rng = np.random.default_rng(0)
    start = np.round(rng.uniform(-np.pi, np.pi, size) * 1024) / 1024
    first = record(start)

    def change(step: Float) -> Float:
        moved = record(start + step)
        _check_same(first.gates, moved.gates, _name(function))
        return moved.angles - first.angles

    matrix = _rounded(_matrix(change, len(first.angles), rng.uniform(-np.pi, np.pi, size)))
    offset = _rounded(first.angles - matrix @ start)
    _check_same(first.own, record(np.zeros(size)).own, _name(function))
    points = rng.uniform(-3 * np.pi, 3 * np.pi, (6, size))
    points[0], points[1] = 13.1, -13.2  # past two turns, for what is clipped or wrapped
    for point in points:
        other = record(point)
        _check_same(first.own, other.own, _name(function))
        _check_same(first.gates, other.gates, _name(function))
        _check_affine(other, offset + matrix @ point, _name(function))

    angles = [
        _angle(dict(enumerate(row)), value, n_parameters)
        for row, value in zip(matrix.tolist(), offset.tolist(), strict=True)
    ]
    numbers = ([f"number {k}" for k in range(count)] for count in (n_parameters, n_inputs))
    return _circuit(n_qubits, first.gates, angles, *numbers)


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _count(function: Any, name: str, given: int | None, default: int | None = None) -> int:
    count = getattr(function, name, default) if given is None else given
    if count is None:
        raise ConfigurationError(
            f"The PennyLane function {_name(function)} does not say how many parameters it takes: "
            f"set {_name(function)}.n_parameters = ... (and .n_inputs, if it takes inputs too), or "
            "call from_pennylane with n_parameters."
        )
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 0:
        raise ConfigurationError(
            f"Got {name} = {count!r} for {_name(function)}; expected a whole number of at least 0."
        )
    return int(count)


def _tape(function: Any, arguments: tuple[Float, ...]) -> Any:
    """What the function records when it is called, after a QNode's own transforms."""
    from pennylane import QNode
    from pennylane.tape import make_qscript
    from pennylane.workflow import construct_batch

    try:
        if not isinstance(function, QNode):
            return make_qscript(function)(*arguments)
        tapes, _ = construct_batch(function, level="user")(*arguments)
    except Exception as error:  # a user's function can fail in any way
        shapes = " and ".join(
            f"{kind} [{len(values)}]"
            for kind, values in zip(("parameters", "inputs"), arguments, strict=False)
        )
        raise ConfigurationError(
            f"The PennyLane function {_name(function)} failed, called with {shapes}: "
            f"{type(error).__name__}: {error}. Check its arguments, n_parameters and n_inputs."
        ) from error
    if len(tapes) != 1:
        raise ConfigurationError(
            f"The transforms of the QNode {_name(function)} make {len(tapes)} circuits of it; "
            "expected one. Leave out the transforms that split it."
        )
    return tapes[0]


def _recorded(tape: Any, n_qubits: int, function: str) -> _Recorded:
    """The gates of a tape, before and after decomposition, and the angles of the rotations."""
    import pennylane as qml
    from pennylane.transforms import decompose

    kinds = {qml.RX: "rx", qml.RY: "ry", qml.RZ: "rz", qml.CNOT: "cx", qml.CZ: "cz"}
    for operation in tape.operations:
        if operation.name == "MidMeasureMP":
            raise _not_taken(operation, function, "circuits are measured at the end alone")
        if isinstance(operation, qml.operation.StatePrepBase):
            raise _not_taken(operation, function, _GATES_ONLY)
    batch: Any = decompose(
        tape,
        gate_set={*kinds, qml.GlobalPhase},
        # what has no decomposition is refused below
        stopping_condition=lambda operation: not operation.has_decomposition,
    )
    (decomposed,), _ = batch
    used = tape.wires + decomposed.wires  # a decomposition may bring wires of its own
    if set(used) != set(range(n_qubits)):
        raise ConfigurationError(
            f"The PennyLane function {function} uses the wires {used.tolist()}; expected all "
            f"wires from 0 to {n_qubits - 1}, one a bit. Put qml.Identity on a wire without gates."
        )
    gates, angles = [], []
    for operation in decomposed.operations:
        if isinstance(operation, qml.GlobalPhase | qml.Identity | qml.Barrier):
            continue
        name = kinds.get(type(operation))
        if name is None:
            raise _not_taken(
                operation, function, "PennyLane does not decompose it into RX, RY, RZ, CNOT and CZ"
            )
        if name in ROTATIONS:
            angle = _real(operation.data[0])
            if angle is None:
                raise _not_taken(
                    operation,
                    function,
                    f"its angle is {operation.data[0]!r}, not one finite real number",
                )
            angles.append(angle)
        gates.append((name, operation.wires.tolist()))
    own = [(operation.name, operation.wires.tolist()) for operation in tape.operations]
    return _Recorded(own, gates, np.array(angles, dtype=np.float64))


def _not_taken(operation: Any, function: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"Cannot take over {operation.name} on wires {operation.wires.tolist()} of the PennyLane "
        f"function {function}: {reason}."
    )


def _check_same(one: list[Any], other: list[Any], function: str) -> None:
    if one == other:
        return
    number = next(
        (k for k, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )
    first, second = (
        f"{gates[number][0]} on wires {gates[number][1]}" if number < len(gates) else "none"
        for gates in (one, other)
    )
    raise ConfigurationError(
        f"The gates of the PennyLane function {function} depend on the values of its parameters or "
        f"inputs: gate number {number} is {first} for some values and {second} for others. "
        "Expected the same gates always, with angles that are affine in the values."
    )


def _check_affine(recorded: _Recorded, expected: Float, function: str) -> None:
    rotations = [gate for gate in recorded.gates if gate[0] in ROTATIONS]
    for number in np.flatnonzero(~_near(recorded.angles, expected)).tolist():
        name, wires = rotations[number]
        raise ConfigurationError(
            f"The angle of {name.upper()} on wire {wires[0]}, rotation number {number} of the "
            f"PennyLane function {function}, is not affine in its parameters and inputs: it is "
            f"{recorded.angles[number]:.6g} where an affine one would be {expected[number]:.6g}. "
            "Make what it depends on a parameter of its own, or write the gate out if PennyLane "
            "decomposes it by its numbers."
        )


def _matrix(change: Callable[[Float], Float], n_angles: int, step: Float) -> Float:
    """The matrix [n_angles, values] with change(step) = matrix @ step, if change is linear.

    Two steps are enough where every angle follows a single value: by 1 in all values for the
    coefficient, and by 1, 2, 3... for the number of the value. The given step tells whether they
    were; if not, there is one step for each value.
    """
    size = len(step)
    matrix = np.zeros((n_angles, size))
    coefficient, rising = change(np.ones(size)), change(np.arange(1.0, size + 1.0))
    angle = np.flatnonzero(abs(coefficient) > _ROUNDING)
    value = np.rint(rising[angle] / coefficient[angle]) - 1
    angle, value = (array[(value >= 0) & (value < size)] for array in (angle, value))
    matrix[angle, value.astype(np.int64)] = coefficient[angle]
    if not _near(change(step), matrix @ step).all():
        for number in range(size):
            matrix[:, number] = change(np.eye(size)[number])
    return matrix


def _rounded(values: Float) -> Float:
    """Values freed from rounding errors, where they are numbers of nine decimals without them."""
    short = np.round(values, 9)
    return np.where(abs(values - short) < _ROUNDING, short, values)


def to_pennylane(circuit: Circuit) -> Callable[..., None]:
    """A PennyLane quantum function (parameters, inputs=None) that applies the gates.

    parameters [n_parameters] and inputs [n_inputs] are arrays or tensors of any library that
    PennyLane differentiates. It measures nothing; its attributes `n_parameters` and `n_inputs`
    are those that `as_circuit` reads. The function raises ConfigurationError for other lengths.
    """
    import pennylane as qml

    operations = {"rx": qml.RX, "ry": qml.RY, "rz": qml.RZ, "cx": qml.CNOT, "cz": qml.CZ}
    idle = set(range(circuit.n_qubits)).difference(*(gate.qubits for gate in circuit.gates))

    def apply(parameters: Any, inputs: Any = None) -> None:
        for kind, values, size in (
            ("parameters", parameters, circuit.n_parameters),
            ("inputs", () if inputs is None else inputs, circuit.n_inputs),
        ):
            if len(values) != size:
                raise ConfigurationError(f"Got {len(values)} {kind}; expected {size}.")
        for gate, number in circuit.numbered():
            angle = () if number is None else (_value(circuit.angles[number], parameters, inputs),)
            operations[gate.name](*angle, wires=gate.qubits)
        for wire in sorted(idle):
            qml.Identity(wire)  # so that PennyLane knows of it, and measures it

    apply.__dict__.update(n_parameters=circuit.n_parameters, n_inputs=circuit.n_inputs)
    return apply
