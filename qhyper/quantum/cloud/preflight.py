"""The preflight: nothing is sent to a device before known bitstrings have come back from it."""

import time
from dataclasses import replace

from qhyper.quantum.cloud.dispatch import Dispatcher
from qhyper.quantum.cloud.qiskit_isa import Isa, moved, transpiled
from qhyper.quantum.cloud.readout import (
    PREFLIGHT_SHOTS,
    PreflightError,
    angles_of,
    check_preflight,
    preflight_bits,
    preparation,
)
from qhyper.quantum.cloud.record import AGAIN, PREFLIGHT, Request
from qhyper.quantum.cloud.scope import Scope

SECONDS = 86_400.0
"""A preflight holds for a day: devices are calibrated, and qubits change their places."""


def preflight(dispatcher: Dispatcher, scope: Scope, service: str, isa: Isa, wait: float) -> None:
    """Prepare known bitstrings and read them, once a day for a service and set of qubits.

    Raises JobError if it comes back wrong, PendingError if it is not back after `wait`.
    """
    if time.time() - dispatcher.passed.get((service, isa.qubits), -SECONDS) < SECONDS:
        return
    if grown := moved(isa, dispatcher.service.device):
        dispatcher.warn(f"{dispatcher.name}: {grown}")
    ledger, since = dispatcher.ledger, time.time() - SECONDS
    n = len(isa.qubits)
    probe = transpiled(preparation(n), dispatcher.service.device, level=1, layout=isa.qubits)
    rows = probe.rows(angles_of(preflight_bits(n)))
    request = Request(scope, PREFLIGHT, service, probe.fingerprint, rows, PREFLIGHT_SHOTS, n)
    # other qubits, which a device may suggest after its calibration, are another purpose
    purpose = f"{PREFLIGHT} {request.content()[:8]}"
    request, number = replace(request, purpose=purpose), 1
    while ledger.outdated(request, since):
        request, number = replace(request, purpose=f"{purpose}{AGAIN}{number}"), number + 1
    answered = ledger.answered(replace(request, purpose=purpose), since=since)
    records = answered or dispatcher.obtain(request, probe, wait)
    try:
        check_preflight(dispatcher.bits(records), isa.qubits, dispatcher.name)
    except PreflightError as error:  # to be sent again once the device is mended
        for record in records:
            ledger.failed(record.key, str(error))
        raise
    dispatcher.passed[service, isa.qubits] = min(r.ended or 0.0 for r in records)
