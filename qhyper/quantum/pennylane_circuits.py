"""Circuits from and to PennyLane; `convert.py` says what is taken over."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from qhyper.errors import ConfigurationError
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

_ROUNDING = 1e-12
"""Coefficients that are so near to a number of nine decimals are that number."""


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
    is none). All wires are measured, and column q of the draws is wire q; if it returns a sample,
    counts or probabilities of all wires, columns are in their order there. Whatever else it returns
    is ignored. Every wire must be used, if only by a measurement or `qml.Identity`.

    Angles are found by recording the function some ten times, or once for each parameter and
    input if an angle depends on several, and are checked at other values. Raises
    ConfigurationError if the gates depend on the values or an angle is not affine in them, to
    1e-9; if a parameter or wire is not used, or a wire is none of these; naming it, for
    mid-circuit measurements, state preparations, channels and whatever PennyLane cannot decompose;
    and if a circuit of up to 10 wires and 1,000 gates has other probabilities than on
    default.qubit.
    """
    n_parameters = _count(function, "n_parameters", n_parameters)
    n_inputs = _count(function, "n_inputs", n_inputs, default=0)
    size = n_parameters + n_inputs

    def tape(point: Float) -> Any:
        parameters, inputs = point[:n_parameters].copy(), point[n_parameters:].copy()
        return _tape(function, (parameters, inputs) if n_inputs else (parameters,))

    orders: list[list[int]] = []

    def record(point: Float) -> _Recorded:
        recorded = tape(point)
        orders.append(_order(recorded, function, n_qubits))
        return _recorded(recorded, n_qubits, _name(function))

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
        affine_angle(dict(enumerate(row)), value, n_parameters)
        for row, value in zip(matrix.tolist(), offset.tolist(), strict=True)
    ]
    numbers = ([f"number {k}" for k in range(count)] for count in (n_parameters, n_inputs))
    order = orders[0]
    if any(other != order for other in orders):
        raise ConfigurationError(
            f"The PennyLane function {_name(function)} returns wires in an order that depends on "
            "the values of its parameters or inputs. Return them always in the same."
        )
    gates = [(name, [order.index(wire) for wire in wires]) for name, wires in first.gates]
    taken = circuit_of(n_qubits, gates, angles, *numbers)
    check_distribution(taken, lambda point: _simulated(tape(point), order), "PennyLane")
    return taken


def _order(tape: Any, function: Any, n_qubits: int) -> list[int]:
    """The wire of every column: as they are returned, if all are, or else wire q in column q."""
    from pennylane.measurements import CountsMP, ProbabilityMP, SampleMP

    wires: list[Any] = []
    if len(tape.measurements) == 1:
        (returned,) = tape.measurements
        if isinstance(returned, CountsMP | ProbabilityMP | SampleMP) and returned.obs is None:
            wires = list(returned.wires or getattr(getattr(function, "device", None), "wires", ()))
    numbered = list(range(n_qubits))
    return wires if len(wires) == n_qubits and set(wires) == set(numbered) else numbered


def _simulated(tape: Any, order: list[int]) -> Float:
    """Probabilities by PennyLane's default.qubit of strings of columns, number 0 fastest."""
    import pennylane as qml
    from pennylane.tape import QuantumScript

    bare = QuantumScript(tape.operations, [qml.probs(wires=order[::-1])])
    (found,) = qml.execute([bare], qml.device("default.qubit", wires=len(order), seed=0))
    return np.asarray(found, dtype=np.float64)


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
            raise _not_taken(operation, function, GATES_ONLY)
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
            angle = real_number(operation.data[0])
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
    for number in np.flatnonzero(~near(recorded.angles, expected)).tolist():
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
    if not near(change(step), matrix @ step).all():
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
            angle = (
                () if number is None else (angle_value(circuit.angles[number], parameters, inputs),)
            )
            operations[gate.name](*angle, wires=gate.qubits)
        for wire in sorted(idle):
            qml.Identity(wire)  # so that PennyLane knows of it, and measures it

    apply.__dict__.update(n_parameters=circuit.n_parameters, n_inputs=circuit.n_inputs)
    return apply
