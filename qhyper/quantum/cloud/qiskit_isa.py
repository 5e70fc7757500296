"""From our circuits to a device's own gates: transpiled once, then reused for every row of angles.

ISA is Qiskit's word (instruction set architecture) for a circuit in the gates and couplings of a
device.
"""

import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.errors import ConfigurationError, StorageError
from qhyper.quantum.circuit import Circuit
from qhyper.quantum.cloud.door import Rows
from qhyper.quantum.cloud.readout import WORST_READOUT
from qhyper.quantum.qiskit_circuits import qiskit_with_angles
from qhyper.storage import storage, write_whole

LEVELS = (0, 1, 2, 3)
_NO_GATES = ("barrier", "measure")
_TIMES_WORSE, _WORSE_BY = 2.0, 0.005
"""From when on an error counts as one that has moved: both."""
_LISTED = 8


@dataclass(frozen=True)
class Isa:
    """A measured circuit in a device's own gates; classical bit q is our qubit q."""

    circuit: Any
    """a Qiskit QuantumCircuit"""
    columns: npt.NDArray[np.int64]
    """the number of our angle for each of the circuit's parameters, [parameter]"""
    qubits: tuple[int, ...]
    """where on the device each of our qubits is when it is measured"""
    one_qubit_gates: int
    two_qubit_gates: int
    two_qubit_depth: int
    depth: int
    fingerprint: str
    """a hash of the circuit that was asked for, and of how it was to be transpiled"""

    @property
    def gates(self) -> tuple[int, int]:
        """Gates of one qubit and of two."""
        return self.one_qubit_gates, self.two_qubit_gates

    def rows(self, angles: Rows) -> Rows:
        """Our angles [row, angle] as the circuit's parameters [row, parameter], in radians."""
        return np.ascontiguousarray(angles[:, self.columns])


def transpiled(
    circuit: Circuit,
    device: Any,
    *,
    level: int = 3,
    layout: Sequence[int] | None = None,
    avoid: Sequence[int] = (),
) -> Isa:
    """The circuit for a Qiskit BackendV2, measured, by Qiskit's preset pass manager.

    - level: 0 to 3, Qiskit's optimisation level; at 3 it takes, of the layouts without swaps, the
      one with the smallest errors that it finds, by the device's own report
    - layout: the device's qubit for each of ours, instead
    - avoid: qubits of the device that are not to be used

    Unless there is a layout, qubits whose readout error, by the device's report, is above
    WORST_READOUT are left out too, if the circuit would be measured on one and there is a place
    without. Random choices have a fixed seed. Raises ConfigurationError if the device has too few
    qubits, or the level or layout cannot be.
    """
    from qiskit import ClassicalRegister

    n, available = circuit.n_qubits, device.num_qubits
    if available is not None and n > available:
        raise ConfigurationError(
            f"The circuit has {n} qubits; {device.name} has {available}. Use a larger backend or a "
            "smaller target network."
        )
    if level not in LEVELS or isinstance(level, bool):
        raise ConfigurationError(f"Got the level {level!r}; expected one of 0, 1, 2 and 3.")
    if layout is not None:
        _check_layout(layout, n, available)
    _check_avoid(avoid, available or 0)
    _, gates = qiskit_with_angles(circuit)
    gates.add_register(ClassicalRegister(n, "c"))
    gates.measure(range(n), range(n))
    placed = _placed(gates, device, level, layout, set(avoid))
    bad = _badly_read(device.target)
    if layout is None and bad & set(_measured(placed)):
        with suppress(ConfigurationError):  # no place without them: the preflight will tell
            placed = _placed(gates, device, level, None, bad | set(avoid))
    placed.metadata = {
        "fingerprint": fingerprint(circuit, level, layout, avoid),
        "errors": {place: _error(device.target, place) for place in _places(placed)},
    }
    return _isa(placed)


def moved(isa: Isa, device: Any) -> str:
    """Which errors of a circuit's gates and measurements have grown since it was transpiled.

    In words; nothing if none has, or if that is not known: of a circuit that an earlier version
    has written, and of a device that reports no errors. An error has grown that is twice what it
    was or more, and by half a percent at the least.
    """
    told = []
    for place, before in (isa.circuit.metadata.get("errors") or {}).items():
        now = _error(device.target, place)
        if before is None or now is None:
            continue
        if now >= _TIMES_WORSE * before and now - before >= _WORSE_BY:
            told.append(f"{place} {before:.1%}, now {now:.1%}")
    if not told:
        return ""
    more = f" and {len(told) - _LISTED} more" * (len(told) > _LISTED)
    return (
        f"The errors of {device.name} have grown since this circuit was transpiled for it: "
        f"{', '.join(told[:_LISTED])}{more}. It is sent to the same qubits all the same; a new "
        "run or submission would choose others."
    )


def save(isa: Isa, path: Path) -> None:
    """Write the circuit as Qiskit's QPY, whole or not at all; StorageError if it cannot be."""
    from qiskit import qpy

    buffer = io.BytesIO()
    qpy.dump(isa.circuit, buffer)
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, buffer.getvalue())


def load(path: Path) -> Isa:
    """A saved circuit, on the same qubits as when it was sent; StorageError if it is damaged."""
    from qiskit import qpy

    try:
        (placed,) = qpy.load(io.BytesIO(path.read_bytes()))
        return _isa(placed)
    except Exception as error:  # QPY has many ways to fail
        raise StorageError(
            f"{path} cannot be read as a circuit: {error}. Put it back, or use the version of "
            "Qiskit that wrote it."
        ) from error


def _isa(placed: Any) -> Isa:
    """A transpiled circuit with measurements, and what is to be known about it."""

    def entangling(step: Any) -> bool:
        return step.operation.num_qubits == 2

    def alone(step: Any) -> bool:
        return step.operation.num_qubits == 1 and step.operation.name not in _NO_GATES

    return Isa(
        circuit=placed,
        # the elements of a ParameterVector know their number
        columns=np.array([parameter.index for parameter in placed.parameters], dtype=np.int64),
        qubits=_measured(placed),
        one_qubit_gates=sum(alone(step) for step in placed.data),
        two_qubit_gates=sum(entangling(step) for step in placed.data),
        two_qubit_depth=placed.depth(entangling),
        depth=placed.depth(),
        fingerprint=placed.metadata["fingerprint"],
    )


def _check_layout(layout: Sequence[int], n: int, available: int | None) -> None:
    whole = all(isinstance(qubit, int) and not isinstance(qubit, bool) for qubit in layout)
    inside = whole and all(0 <= qubit < (available or qubit + 1) for qubit in layout)
    if len(layout) != n or not inside or len(set(layout)) != n:
        last = "" if available is None else f" to {available - 1}"
        raise ConfigurationError(
            f"Got the layout {list(layout)}; expected {n} different qubits of the device, from "
            f"0{last}: one for each qubit of the circuit."
        )


def _check_avoid(avoid: Sequence[int], known: int) -> None:
    if not all(isinstance(q, int) and not isinstance(q, bool) and 0 <= q < known for q in avoid):
        raise ConfigurationError(
            f"Got avoid={list(avoid)}; expected qubits of the device, from 0 to {known - 1}."
        )


def _placed(
    gates: Any, device: Any, level: int, layout: Sequence[int] | None, left_out: set[int]
) -> Any:
    """The circuit on the device without some of its qubits; ConfigurationError without a place."""
    from qiskit.transpiler import TranspilerError, generate_preset_pass_manager

    try:
        manager = generate_preset_pass_manager(
            level,
            backend=device,
            target=_without(device.target, left_out) if left_out else device.target,
            initial_layout=None if layout is None else list(layout),  # type: ignore[arg-type]
            seed_transpiler=0,
        )
        placed = manager.run(gates)
        used = sorted(left_out.intersection(_measured(placed)))
    except (TranspilerError, ValueError) as error:
        without = f" without the qubits {sorted(left_out)}" * bool(left_out)
        raise ConfigurationError(
            f"Qiskit cannot place this circuit of {gates.num_qubits} qubits on "
            f"{device.name}{without}: {error}. Use another layout, level or backend."
        ) from error
    if used:
        raise ConfigurationError(
            f"Qiskit found no place on {device.name} without the qubits {used}, which were to be "
            "avoided. Use level 3, avoid fewer qubits, or give a layout."
        )
    return placed


def _without(target: Any, qubits: Collection[int]) -> Any:
    """A copy of a target on which nothing can be done with these qubits."""
    from qiskit.transpiler import Target

    same = ("num_qubits", "dt", "granularity", "min_length", "pulse_alignment",
            "acquire_alignment", "qubit_properties", "concurrent_measurements")  # fmt: skip
    kept = Target(**{name: getattr(target, name) for name in same})
    for name in target.operation_names:
        operation, places = target.operation_from_name(name), target[name]
        if not places or None in places:  # possible everywhere, such as control flow
            kept.add_instruction(operation, name=name)
        elif left := {at: about for at, about in places.items() if not set(at) & set(qubits)}:
            kept.add_instruction(operation, left, name=name)
    return kept


def _badly_read(target: Any) -> set[int]:
    """The qubits whose readout error, by the device's report, is above WORST_READOUT."""
    every = range(target.num_qubits or 0)
    return {qubit for qubit in every if (_error(target, f"measure {qubit}") or 0) > WORST_READOUT}


def _places(placed: Any) -> list[str]:
    """What a circuit does, and on which qubits of the device, each once: `cz 3 4`."""
    steps = (
        (step.operation.name, *(placed.find_bit(qubit).index for qubit in step.qubits))
        for step in placed.data
        if step.operation.name != "barrier"
    )
    return [" ".join(map(str, step)) for step in sorted(set(steps))]


def _error(target: Any, place: str) -> float | None:
    """The error that the device reports for `cz 3 4`; None if it reports none."""
    name, *qubits = place.split()
    places: Mapping[Any, Any] = (target[name] if name in target.operation_names else None) or {}
    return getattr(places.get(tuple(map(int, qubits))), "error", None)


def _measured(placed: Any) -> tuple[int, ...]:
    """The device's qubit that each classical bit is measured from."""
    found = {
        placed.find_bit(step.clbits[0]).index: placed.find_bit(step.qubits[0]).index
        for step in placed.data
        if step.operation.name == "measure"
    }
    return tuple(found[bit] for bit in range(len(found)))


def fingerprint(
    circuit: Circuit, level: int, layout: Sequence[int] | None, avoid: Sequence[int]
) -> str:
    """A hash of a circuit's gates, and of how they are to be transpiled; angles are not in it."""
    gates = [
        (gate.name, tuple(int(qubit) for qubit in gate.qubits)) for gate, _ in circuit.numbered()
    ]
    places = (None if layout is None else list(layout), sorted(avoid))
    asked = (circuit.n_qubits, gates, level, *places)
    return hashlib.sha256(repr(asked).encode()).hexdigest()
