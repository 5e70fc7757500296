"""From our circuits to a device's own gates: transpiled once, then reused for every row of angles.

ISA is Qiskit's word (instruction set architecture) for a circuit in the gates and couplings of a
device.
"""

import copy
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.errors import ConfigurationError, StorageError
from qhyper.quantum.circuit import Circuit
from qhyper.quantum.cloud.door import Rows
from qhyper.quantum.qiskit_circuits import qiskit_with_angles
from qhyper.storage import storage, write_whole

LEVELS = (0, 1, 2, 3)
_WORST = 0.999


@dataclass(frozen=True)
class Isa:
    """A measured circuit in a device's own gates; classical bit q is our qubit q."""

    circuit: Any
    """a Qiskit QuantumCircuit"""
    columns: npt.NDArray[np.int64]
    """the number of our angle for each of the circuit's parameters"""
    qubits: tuple[int, ...]
    """where on the device each of our qubits is when it is measured"""
    two_qubit_gates: int
    two_qubit_depth: int
    depth: int
    fingerprint: str
    """a hash of the circuit that was asked for, and of how it was to be transpiled"""

    def rows(self, angles: Rows) -> Rows:
        """Rows of our angles [row, angle] as rows of the circuit's parameters."""
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
    - avoid: qubits of the device that are not to be measured, such as ones that read out badly

    Its random choices have a fixed seed. Raises ConfigurationError if the device has too few
    qubits, or the level or layout cannot be.
    """
    from qiskit import ClassicalRegister
    from qiskit.transpiler import TranspilerError, generate_preset_pass_manager

    n, available = circuit.n_qubits, device.num_qubits
    name = device.name
    if available is not None and n > available:
        raise ConfigurationError(
            f"The circuit has {n} qubits; {name} has {available}. Use a larger backend or a "
            "smaller target network."
        )
    if level not in LEVELS or isinstance(level, bool):
        raise ConfigurationError(f"Got the level {level!r}; expected one of 0, 1, 2 and 3.")
    if layout is not None:
        _check_layout(layout, n, available)
    target = device.target if not len(avoid) else _avoiding(device.target, avoid)
    _, gates = qiskit_with_angles(circuit)
    gates.add_register(ClassicalRegister(n, "c"))
    gates.measure(range(n), range(n))
    try:
        manager = generate_preset_pass_manager(
            level,
            backend=device,
            target=target,
            initial_layout=None if layout is None else list(layout),  # type: ignore[arg-type]
            seed_transpiler=0,
        )
        placed = manager.run(gates)
    except (TranspilerError, ValueError) as error:
        raise ConfigurationError(
            f"Qiskit cannot place this circuit of {n} qubits on {name}: {error}. Use another "
            "layout, level or backend."
        ) from error
    placed.metadata = {"fingerprint": fingerprint(circuit, level, layout, avoid)}
    isa = _isa(placed)
    if used := sorted(set(isa.qubits) & set(avoid)):
        raise ConfigurationError(
            f"Qiskit found no place on {name} without the qubits {used}, which were to be avoided. "
            "Use level 3, avoid fewer qubits, or give a layout."
        )
    return isa


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

    return Isa(
        circuit=placed,
        # the elements of a ParameterVector know their number
        columns=np.array([parameter.index for parameter in placed.parameters], dtype=np.int64),
        qubits=_measured(placed),
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


def _avoiding(target: Any, avoid: Sequence[int]) -> Any:
    """A copy of a target on which these qubits have the largest errors."""
    from qiskit.transpiler import InstructionProperties

    known = target.num_qubits or 0
    if not all(isinstance(q, int) and not isinstance(q, bool) and 0 <= q < known for q in avoid):
        raise ConfigurationError(
            f"Got avoid={list(avoid)}; expected qubits of the device, from 0 to {known - 1}."
        )
    worse = copy.deepcopy(target)
    for name in target.operation_names:
        for place in target[name] or ():
            if place is not None and set(place) & set(avoid):
                worse.update_instruction_properties(
                    name, place, InstructionProperties(error=_WORST)
                )
    return worse


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
