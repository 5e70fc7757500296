"""Known bitstrings, sent once a day: the preflight, and the calibration of readout mitigation.

Nothing else is sent to a device before the preflight's bitstrings have come back from it.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from qhyper.bits import Bits
from qhyper.quantum.cloud.dispatch import Dispatcher
from qhyper.quantum.cloud.mthree_mitigation import Float, calibration_bits, confusion
from qhyper.quantum.cloud.qiskit_isa import Isa, moved, transpiled
from qhyper.quantum.cloud.readout import (
    PREFLIGHT_SHOTS,
    PreflightError,
    angles_of,
    check_preflight,
    preflight_bits,
    preparation,
)
from qhyper.quantum.cloud.record import AGAIN, CALIBRATION, PREFLIGHT, Record, Request
from qhyper.quantum.cloud.scope import Scope

SECONDS = 86_400.0
"""They hold for a day: devices are calibrated, and qubits change their places."""
_READ = 4_096
"""Shots of all rows of a calibration together: each bit is read 2,048 times in each state."""


def calibration_shots(n_qubits: int) -> int:
    """Shots of each calibration circuit."""
    return max(1, _READ // len(calibration_bits(n_qubits)))


def preflight(dispatcher: Dispatcher, scope: Scope, service: str, isa: Isa, wait: float) -> None:
    """Prepare known bitstrings and read them, once a day for a service and set of qubits.

    Raises JobError if it comes back wrong, PendingError if it is not back after `wait`.
    """
    if time.time() - dispatcher.passed.get((service, isa.qubits), -SECONDS) < SECONDS:
        return
    if grown := moved(isa, dispatcher.service.device):
        dispatcher.warn(f"{dispatcher.name}: {grown}")
    bits = preflight_bits(len(isa.qubits))
    now = time.time()
    records = _sent(dispatcher, scope, service, isa, PREFLIGHT, bits, PREFLIGHT_SHOTS, wait, now)
    try:
        check_preflight(dispatcher.bits(records), isa.qubits, dispatcher.name)
    except PreflightError as error:  # to be sent again once the device is mended
        for record in records:
            dispatcher.ledger.failed(record.key, str(error))
        raise
    dispatcher.passed[service, isa.qubits] = min(r.ended or 0.0 for r in records)


def calibration(
    dispatcher: Dispatcher, scope: Scope, service: str, isa: Isa, wait: float, sent: float = 0.0
) -> Float:
    """Each qubit's assignment matrix, as `confusion` has it, measured once a day.

    `sent` is when what it is for was sent, in seconds since 1970; 0 is now. Raises JobError if a
    job failed, PendingError if one is not back after `wait`.
    """
    when = sent or time.time()
    known = dispatcher.calibrated.get((service, isa.qubits))
    if known is not None and abs(when - known[0]) < SECONDS:
        return known[1]
    bits, shots = calibration_bits(len(isa.qubits)), calibration_shots(len(isa.qubits))
    records = _sent(dispatcher, scope, service, isa, CALIBRATION, bits, shots, wait, when)
    matrices = confusion(dispatcher.bits(records))
    dispatcher.calibrated[service, isa.qubits] = (min(r.ended or 0.0 for r in records), matrices)
    return matrices


def _sent(
    dispatcher: Dispatcher, scope: Scope, service: str, isa: Isa, what: str, bits: Bits,
    shots: int, wait: float, when: float,
) -> Sequence[Record]:  # fmt: skip
    """The jobs that read known bits [row, qubit] on a circuit's qubits, of the day before `when`.

    In seconds since 1970.
    """
    ledger, since = dispatcher.ledger, when - SECONDS
    n = len(isa.qubits)
    probe = transpiled(preparation(n), dispatcher.service.device, level=1, layout=isa.qubits)
    rows = probe.rows(angles_of(bits))
    request = Request(scope, what, service, probe.fingerprint, rows, shots, n)
    # other qubits, which a device may suggest after its calibration, are another purpose
    purpose = f"{what} {request.content()[:8]}"
    request, number = replace(request, purpose=purpose), 1
    while ledger.outdated(request, since):
        request, number = replace(request, purpose=f"{purpose}{AGAIN}{number}"), number + 1
    answered = ledger.answered(replace(request, purpose=purpose), since=since)
    return answered or dispatcher.obtain(request, probe, wait)
