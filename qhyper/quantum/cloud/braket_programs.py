"""Rows of a circuit as programs of Amazon Braket, and what came back for them, row by row.

AWS says with a result which inputs each row had and which qubits were measured. That is compared
with what was sent: no row is taken for another one.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from qhyper.quantum.cloud.door import Measured, Pub, Unreadable, as_measured
from qhyper.quantum.cloud.frequencies import counts_of
from qhyper.quantum.cloud.qiskit_result import measured_of

_MEASURE = re.compile(r"\[(\d+)\]\s*=\s*measure\s+(?:\$|\w+\[)(\d+)")
"""A classical bit and the qubit that it is read from, in OpenQASM 3."""


def programs_of(pubs: Sequence[Pub], shots: int, device: Any, *, verbatim: bool) -> Any:
    """The program set, one executable a row, in the order of the rows.

    `verbatim`: the circuits run on the very qubits of the device that they are placed on.
    """
    from braket.program_sets import CircuitBinding, ParameterSets, ProgramSet
    from qiskit_braket_provider import to_braket
    from qiskit_braket_provider.providers.adapter import rename_parameter

    entries: list[Any] = []
    for circuit, rows in pubs:
        # the adapter writes into the gates it is given, and warns of a phase that nobody sees
        copied = circuit.copy()
        column = {parameter: k for k, parameter in enumerate(copied.parameters)}
        copied.global_phase = 0
        program = to_braket(
            copied, qubit_labels=device.qubit_labels, target=device.target, verbatim=verbatim
        )
        values = {
            rename_parameter(parameter): rows[:, column[parameter]].tolist()
            for parameter in copied.parameters
        }
        if values:
            entries.append(CircuitBinding(program, input_sets=ParameterSets(values)))
        else:
            entries += [program] * len(rows)
    return ProgramSet(entries, shots_per_executable=shots)


def single(programs: Any) -> Any:
    """The one program of a program set of one row, for devices that take no program sets."""
    from braket.ir.openqasm import Program

    (program,) = programs.to_ir().programs
    return Program(source=program.source, inputs={k: v for k, (v,) in _inputs(program).items()})


def inputs_digest(programs: Iterable[Any]) -> str:
    """A short hash of the inputs of programs, row by row; nothing if none of them has inputs.

    Six digits of each number count: who passes it on may write it otherwise.
    """
    listed = [
        {name: [f"{float(value) + 0.0:.6e}" for value in values] for name, values in each.items()}
        for each in map(_inputs, programs)
    ]
    text = json.dumps(listed, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16] if any(listed) else ""


def parsed(raw: bytes) -> Any:
    """The result in a task's results.json, read by Amazon's own package; it raises what it may."""
    from braket.schema_common import BraketSchemaBase
    from braket.task_result import GateModelTaskResult, ProgramSetTaskResult
    from braket.tasks import GateModelQuantumTaskResult, ProgramSetQuantumTaskResult

    result = BraketSchemaBase.parse_raw_schema(raw.decode())
    if isinstance(result, ProgramSetTaskResult):
        return ProgramSetQuantumTaskResult.from_object(result)
    if isinstance(result, GateModelTaskResult):
        return GateModelQuantumTaskResult.from_object(result)
    raise TypeError(f"it is a {type(result).__name__}, and no result of circuits")


def ran(result: Any) -> bool:
    """Whether any row of a result was measured."""
    return any(row is not None for row in _rows(result, "Amazon Braket")[0])


def measured(
    result: Any, shape: tuple[int, int, int], seed: int, service: str, sent: str = ""
) -> Measured:
    """The shots [row, shot, bit] of `shape` in a result, as `parsed` and simulators give it.

    `seed` is for the order of shots that are given as shares; `sent` is the `inputs_digest` of
    what was sent, nothing if that is not known. Raises Unreadable, without the raw result, unless
    these are the shots of the rows that were sent.
    """
    rows, programs = _rows(result, service)
    got = inputs_digest(programs)
    if sent and got and got != sent:
        raise Unreadable(
            f"{service} says that other inputs were run than were sent: a hash of {got}; expected "
            f"{sent}. Nothing was made of the result; the job's record is kept."
        )
    if len(rows) != shape[0]:
        raise Unreadable(
            f"{service} returned {len(rows)} rows; expected {shape[0]}. Nothing was made of them; "
            "the job's record is kept."
        )
    there = {number: row for number, row in enumerate(rows) if row is not None}
    missing = tuple(number for number in range(shape[0]) if number not in there)
    bits = np.zeros(shape, np.uint8)
    if not there:
        return Measured(bits, missing=missing)
    some = _shots(list(there.values()), (len(there), *shape[1:]), seed, service)
    bits[list(there)] = some.bits
    return Measured(bits, some.note, missing)


@dataclass(frozen=True)
class _Row:
    """What a row measured."""

    shots: Any
    """[shot, bit], or None where the device gives shares"""
    shares: Mapping[str, float]
    """by the outcome, whose first bit comes first"""


def _rows(result: Any, service: str) -> tuple[list[_Row | None], list[Any]]:
    """(rows in the order of the inputs, None for those that were not run; their programs)."""
    from braket.tasks import GateModelQuantumTaskResult, ProgramSetQuantumTaskResult

    if isinstance(result, GateModelQuantumTaskResult):
        program = getattr(result.additional_metadata, "action", None)
        _check_qubits(program, result.measured_qubits, service)
        from_device = result.measurements_copied_from_device
        shots = np.asarray(result.measurements, dtype=int) if from_device else None
        return [_Row(shots, result.measurement_probabilities)], [program]
    if not isinstance(result, ProgramSetQuantumTaskResult):
        raise Unreadable(
            f"{service} returned {type(result).__name__}; expected the result of circuits. Nothing "
            "was made of it: is this one of the run's own tasks?"
        )
    rows = [row for entry in result.entries for row in _placed(entry, service)]
    return rows, [entry.program for entry in result.entries]


def _placed(entry: Any, service: str) -> list[_Row | None]:
    """What a program measured, by the row of its inputs."""
    inputs = _inputs(entry.program)
    number = len(next(iter(inputs.values()))) if inputs else max(1, len(entry.entries))
    rows: list[_Row | None] = [None] * number
    at = 0
    for executable in entry.entries:
        while at < number and not _ran_with(executable, inputs, at):
            at += 1
        if at == number:
            raise Unreadable(
                f"{service} returned rows in another order than they were sent in, or other rows: "
                f"{executable.inputs if hasattr(executable, 'inputs') else executable} comes too "
                f"late among {number}. Nothing was made of them; the job's record is kept."
            )
        if hasattr(executable, "measurements"):
            _check_qubits(entry.program, executable.measured_qubits, service)
            shots = executable.measurements if executable.measurements_from_device else None
            rows[at] = _Row(shots, executable.probabilities)
        at += 1
    return rows


def _ran_with(executable: Any, inputs: Mapping[str, Sequence[Any]], row: int) -> bool:
    """Whether an executable, or one that failed, is the one with these inputs' row."""
    if not hasattr(executable, "measurements"):
        return executable.inputsIndex == row
    return (executable.inputs or {}) == {name: values[row] for name, values in inputs.items()}


def _check_qubits(program: Any, told: Sequence[int] | None, service: str) -> None:
    """Raise Unreadable if other qubits were measured than the program says, or in another order.

    A device that numbers the measured qubits anew, from 0, has kept their order.
    """
    pairs = _MEASURE.findall(getattr(program, "source", None) or "")
    expected = [int(qubit) for _, qubit in sorted(pairs, key=lambda pair: int(pair[0]))]
    if not expected or told is None or list(told) in (expected, list(range(len(expected)))):
        return
    raise Unreadable(
        f"{service} says that it measured the qubits {list(told)}; expected {expected}, in this "
        "order. Nothing was made of the result; the job's record is kept. If the device sorts "
        "them, use a layout of rising qubits for what is not sent yet."
    )


def _shots(rows: Sequence[_Row], shape: tuple[int, int, int], seed: int, service: str) -> Measured:
    if all(row.shots is not None for row in rows):
        shapes = {np.shape(row.shots) for row in rows}
        if shapes != {shape[1:]}:
            raise Unreadable(
                f"{service} returned {len(rows)} rows of shape {sorted(shapes)}; expected "
                f"{[shape[1:]]}. Nothing was made of them; the job's record is kept."
            )
        return as_measured(np.stack([row.shots for row in rows]), shape, service)
    # the SDK turns shares into shots in the order of the outcomes: ours are put in a random order
    experiments = [
        SimpleNamespace(
            data=SimpleNamespace(
                counts=counts_of(
                    {outcome[::-1]: share for outcome, share in row.shares.items()},
                    shape[1],
                    f"{service}, row {number + 1} of {len(rows)}",
                )
            )
        )
        for number, row in enumerate(rows)
    ]
    return measured_of(SimpleNamespace(results=experiments), shape, seed, service)


def _inputs(program: Any) -> dict[str, list[Any]]:
    """The inputs of a program, by their name: a value for each row."""
    inputs = getattr(program, "inputs", None) or {}
    return {name: v if isinstance(v, list) else [v] for name, v in inputs.items()}
