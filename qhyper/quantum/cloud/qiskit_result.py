"""From Qiskit's own results and job states to ours; nothing is made of a result without shots."""

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qhyper.bits import Bits
from qhyper.errors import JobError
from qhyper.quantum.cloud.door import JobState, Measured, as_measured
from qhyper.quantum.cloud.redaction import redacted

_STATES = {
    "INITIALIZING": JobState.QUEUED,
    "QUEUED": JobState.QUEUED,
    "VALIDATING": JobState.QUEUED,
    "RUNNING": JobState.RUNNING,
    "DONE": JobState.DONE,
    "ERROR": JobState.FAILED,
    "CANCELLED": JobState.CANCELLED,
}


def state_of(status: Any) -> JobState:
    """The state of a job by Qiskit's `JobStatus`, or its name; any other is taken as running."""
    return _STATES.get(str(getattr(status, "name", status)).upper(), JobState.RUNNING)


def measured_of(result: Any, shape: tuple[int, int, int], seed: int, service_name: str) -> Measured:
    """The shots in a Qiskit `Result`, one experiment a row, as uint8 [row, shot, clbit] of `shape`.

    An experiment's memory is taken as it is, whether it is hexadecimal ("0x1f") or bitstrings
    ("0101", with or without spaces between the registers; clbit 0 is the last). Where there is
    none, its counts are expanded and put in a random order that `seed` decides, and the note of
    what is returned says so. Raises JobError for a failed experiment, for neither memory nor
    counts, and if rows, shots or width are not those of `shape`.
    """
    rows, shots, width = shape
    experiments = list(getattr(result, "results", None) or [])
    if len(experiments) != rows:
        raise JobError(
            f"{service_name} returned {_words(result) or 'a result'} with {len(experiments)} "
            f"circuits; {rows} were sent. Nothing was made of it; the job's record is kept."
        )
    drawn: list[Bits] = []
    expanded = 0
    for row, experiment in enumerate(experiments):
        where = f"{service_name}, circuit {row + 1} of {rows}"
        if getattr(experiment, "success", True) is False:
            raise JobError(f"{where}: the experiment failed: {_words(experiment) or 'no reason'}.")
        _check_width(experiment, width, where)
        data = getattr(experiment, "data", None)
        memory, counts = getattr(data, "memory", None), getattr(data, "counts", None)
        if memory is not None and len(memory):
            drawn.append(_of_memory(memory, shots, width, where))
        elif counts:
            drawn.append(
                _of_counts(counts, shots, width, where, np.random.default_rng([seed, row]))
            )
            expanded += 1
        else:
            raise JobError(
                f"{where}: got neither memory nor counts, expected {shots} shots. Nothing was made "
                "of it; the job's record is kept."
            )
    share = "" if expanded == rows else f" in {expanded} of {rows} rows"
    note = f"expanded from counts{share}, in an order drawn with seed {seed}" if expanded else ""
    return as_measured(np.stack(drawn), shape, service_name, note)


def _of_memory(memory: Sequence[Any], shots: int, width: int, where: str) -> Bits:
    """Shots [shot, clbit] of an experiment's memory."""
    if len(memory) != shots:
        raise JobError(f"{where}: got {len(memory)} shots in memory; expected {shots}.")
    return _bits([_number(text, width, where) for text in memory], width)


def _of_counts(
    counts: Mapping[Any, Any], shots: int, width: int, where: str, rng: np.random.Generator
) -> Bits:
    """Shots [shot, clbit] of an experiment's counts, in the order that `rng` draws."""
    times = list(counts.values())
    whole = all(
        isinstance(number, numbers.Real) and float(number).is_integer() and float(number) >= 0
        for number in times
    )
    total = sum(times) if whole else None
    if total != shots:
        got = "counts that are not whole numbers" if total is None else f"{int(total)} counts"
        raise JobError(
            f"{where}: got {got}; expected {shots} shots. Shots are never made up; the job's "
            "record is kept."
        )
    outcomes = _bits([_number(text, width, where) for text in counts], width)
    return rng.permutation(np.repeat(outcomes, [int(number) for number in times], axis=0))


def _number(text: Any, width: int, where: str) -> int:
    """An outcome as the number whose binary digit q is clbit q."""
    digits = text.replace(" ", "") if isinstance(text, str) else ""
    try:
        if digits[:2] in ("0x", "0X"):
            number = int(digits, 16)
            if 0 <= number < 1 << width:
                return number
        elif len(digits) == width and not digits.strip("01"):
            return int(digits, 2)
    except ValueError:
        pass
    raise JobError(
        f"{where}: got the outcome {redacted(repr(text))}; expected {width} bits, as "
        "hexadecimal (0x1f) or as a bitstring (0101). Nothing was made of it; the job's "
        "record is kept."
    )


def _bits(outcomes: Sequence[int], width: int) -> Bits:
    """Numbers as bits [outcome, clbit]."""
    octets = -(-width // 8)
    packed = b"".join(number.to_bytes(octets, "little") for number in outcomes)
    table = np.frombuffer(packed, dtype=np.uint8).reshape(len(outcomes), octets)
    return np.unpackbits(table, axis=-1, count=width, bitorder="little")


def _check_width(experiment: Any, width: int, where: str) -> None:
    """Hexadecimal outcomes do not show how many bits they have; the experiment's header does."""
    header = getattr(experiment, "header", None)
    slots = header.get("memory_slots") if isinstance(header, Mapping) else None
    if isinstance(slots, numbers.Integral) and slots != width:
        raise JobError(
            f"{where}: got {slots} classical bits; expected {width}. Nothing was made of it; the "
            "job's record is kept."
        )


def _words(what: Any) -> str:
    status = getattr(what, "status", None)
    return redacted(str(status)) if status and str(status) != "COMPLETED" else ""
