"""Sending jobs and fetching what they measured, so that no job is ever paid for twice.

Every step is in the ledger before it is taken. Whatever happens in between, a crash, a lost reply,
a service that is away, the next call with the same request goes on from there.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qhyper.bits import Bits
from qhyper.errors import Interrupted, JobError, MissingError, PendingError, QhyperError
from qhyper.quantum.cloud.door import (
    CloudJob,
    JobState,
    Limits,
    Measured,
    Rejected,
    Service,
    Unreachable,
)
from qhyper.quantum.cloud.ledger import PREFLIGHT, Ledger, Record, Request, State
from qhyper.quantum.cloud.qiskit_isa import Isa, transpiled
from qhyper.quantum.cloud.readout import (
    PREFLIGHT_SHOTS,
    angles_of,
    check_preflight,
    preflight_bits,
    preparation,
)
from qhyper.quantum.cloud.redaction import redacted, words_of
from qhyper.quantum.cloud.scope import Scope

_TELL_FIRST, _TELL_EVERY = 20.0, 600.0
"""Seconds of waiting after which the user hears of it, at first and then."""
_GIVE_UP_AFTER = 2
"""Calls in a row that end without an answer, after which no more are made for now."""
_LOCAL_POLL = 0.05
"""Seconds between two questions about a job of this process."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for what, in seconds."""

    grace: float = 120.0
    """a job whose reply was lost is looked for by its tag until so long after it was sent"""
    first_poll: float = 1.0
    """between two questions about a job, at first; doubled after each"""
    last_poll: float = 60.0
    """between two questions, at the most"""
    attempts: int = 6
    """of a call that the service refuses for now or does not answer; pauses double"""


class Dispatcher:
    """Sends the requests of one run to one service, by way of the ledger.

    To be used within `ledger.working()`. `name` is what the service is called. `stop` is asked
    while waiting; once it returns true, Interrupted is raised. `warn` hears what a user should
    know.
    """

    def __init__(
        self,
        service: Service,
        ledger: Ledger,
        *,
        patience: Patience,
        name: str | None = None,
        stop: Callable[[], bool] = lambda: False,
        warn: Callable[[str], None] = print,
    ) -> None:
        self.service, self.ledger, self.patience = service, ledger, patience
        self.name = name or str(service)
        self._stop, self._warn = stop, warn
        self._live: dict[str, CloudJob] = {}
        self._passed: set[tuple[str, tuple[int, ...]]] = set()
        """Services and qubits whose preflight this session has looked at."""
        self._warned = False

    # -- sending ------------------------------------------------------------------------------

    def send(self, request: Request, isa: Isa) -> list[Record]:
        """Send the jobs of a request that are not sent yet; does not wait for any.

        Jobs that a crash left open are looked up first. Raises MissingError if the service takes
        no jobs now, ConfigurationError if the scope's shot budget is too small for the request.
        """
        parts = chunks(self.service.limits, len(request.rows), request.shots, isa.two_qubit_gates)
        records = self.ledger.plan(request, parts)
        self.recover(records)
        waiting = [r for r in self._now(records) if r.state == State.PLANNED]
        if waiting:
            try:
                waiting = self._new(waiting)
                reason = self.service.unavailable() if waiting else None
            except QhyperError:
                raise
            except Exception as error:
                raise MissingError(
                    f"{self.name} does not answer: {words_of(error)} Nothing was sent. Check the "
                    "network and the account, and try again."
                ) from error
            if reason:
                raise MissingError(
                    f"{self.name} takes no jobs now: {redacted(reason)} Nothing was sent. Try "
                    "again later, or use another backend."
                )
            self._send(waiting, request, isa)
        return self._now(records)

    def _new(self, planned: Sequence[Record]) -> list[Record]:
        """Those planned jobs that the service does not have.

        A run directory that was copied, or restored from a backup, knows less than the service.
        """
        if self.service.local or not self.service.searchable:
            return list(planned)
        new = []
        for record in planned:
            found = [] if record.attempts else self.service.find(record.tag)
            if found:
                self._found(record, found)
            else:
                new.append(record)
        return new

    def _send(self, waiting: Sequence[Record], request: Request, isa: Isa) -> None:
        pause = self.patience.first_poll
        open_ones: list[Record] = []
        attempts, ended = 0, time.time()
        while waiting and attempts < self.patience.attempts:
            refused, in_a_row, taken = [], 0, False
            with self.service.sending():
                for number, record in enumerate(waiting):
                    if self._stop():
                        raise Interrupted("Stopped by a signal.")
                    if in_a_row == _GIVE_UP_AFTER or not self.ledger.claim(record.key):
                        continue
                    record = self.ledger.job(record.key)
                    rows = request.rows[record.first_row : record.first_row + record.rows]
                    try:
                        job = self.service.run([(isa.circuit, rows)], record.shots, tag=record.tag)
                    except Rejected as refusal:
                        state = State.PLANNED if refusal.again else State.FAILED
                        self.ledger.unclaim(record.key, state, redacted(str(refusal)))
                        if refusal.again:  # the others would be refused too
                            refused = list(waiting[number:])
                            break
                    except Exception as error:  # was the job taken or not? the tag tells
                        open_ones.append(record)
                        in_a_row, ended = in_a_row + 1, time.time()
                        looked = " Looking for it by its tag." * self.service.searchable
                        self._warn(f"{self.name} did not confirm a job: {words_of(error)}{looked}")
                    else:
                        self.ledger.submitted(record.key, job.job_id)
                        self._live[job.job_id] = job
                        in_a_row, taken = 0, True
            waiting = refused
            attempts, pause = (1, self.patience.first_poll) if taken else (attempts + 1, pause)
            if waiting and attempts < self.patience.attempts:
                self._sleep(pause)
                pause = min(2 * pause, self.patience.last_poll)
        self.recover(open_ones, since=ended)

    def recover(self, records: Sequence[Record], *, since: float = 0.0) -> None:
        """Settle jobs that were on their way to the service when a process or a call ended.

        Their tags are looked up until the grace time after they were sent, or after `since`, is
        over. What is not found then is unknown; where the service cannot look up tags, at once.
        Unknown jobs are looked up once more each time.
        """
        records = self._now(records)
        if self.service.local:  # its jobs ended with the process, and cost nothing
            for record in records:
                gone = record.state == State.SUBMITTED and record.job_id not in self._live
                if gone or record.state == State.SUBMITTING:
                    self.ledger.unclaim(record.key, State.PLANNED, "")
            return
        lost = [r for r in records if r.state in (State.SUBMITTING, State.UNKNOWN)]
        if not self.service.searchable:
            for record in lost:
                self.ledger.unknown(
                    record.key, f"the reply of {self.name} was lost, and it cannot look up tags"
                )
            return
        pause, silent = self.patience.first_poll, 0
        end = time.monotonic() + self.patience.grace  # at the latest, whatever the clock says
        while lost:
            still, trouble = [], None
            for record in lost:
                try:
                    found = self.service.find(record.tag)
                except Unreachable as error:
                    trouble = error
                    still.append(record)
                    continue
                if found:
                    self._found(record, found)
                elif (
                    time.time() < max(record.sent or 0, since) + self.patience.grace
                    and time.monotonic() < end
                ):
                    still.append(record)
                else:
                    self.ledger.unknown(
                        record.key,
                        f"{self.name} lists no job with the tag {record.tag}, "
                        f"{self.patience.grace:g} s after it was sent",
                    )
            silent = silent + 1 if trouble else 0
            if trouble is not None and silent >= self.patience.attempts:
                raise MissingError(
                    f"{self.name} does not answer: {redacted(str(trouble))} {len(still)} "
                    f"job{'s' * (len(still) != 1)} may have been taken or not. Check the network; "
                    "the same command looks them up again."
                )
            lost = still
            if lost:
                self._sleep(pause)
                pause = min(2 * pause, self.patience.last_poll)

    def _found(self, record: Record, found: Sequence[str]) -> None:
        self.ledger.submitted(record.key, found[0])
        if len(found) > 1:
            self._warn(
                f"{self.name} lists {len(found)} jobs with the tag {record.tag}: "
                f"{', '.join(found)}. The first one is taken; ask the vendor about the others."
            )

    # -- fetching -----------------------------------------------------------------------------

    def fetch(self, records: Sequence[Record], wait: float) -> list[Record]:
        """Store what the submitted jobs measured; at the most `wait` seconds for all of them.

        A failed or stuck job holds up no other. Raises MissingError if the service does not
        answer for several questions in a row.
        """
        end = time.monotonic() + wait
        told = time.monotonic() + _TELL_FIRST
        pause, silent = self.patience.first_poll, 0
        longest = self.patience.last_poll
        if self.service.local:  # asking costs nothing, and its jobs are done soon
            pause = longest = min(pause, _LOCAL_POLL)
        waiting = [r for r in self._now(records) if r.state == State.SUBMITTED]
        while waiting:
            still, trouble, answered = [], None, False
            for record in waiting:
                self._check_stop()
                try:
                    if not self._settled(record):
                        still.append(record)
                    answered = True
                except Unreachable as error:
                    trouble = error
                    still.append(record)
                except QhyperError:
                    raise
                except Exception as error:  # of an SDK: as good as no answer
                    trouble = Unreachable(words_of(error))
                    still.append(record)
            silent = 0 if answered else silent + 1
            waiting = still
            left = end - time.monotonic()
            if silent >= self.patience.attempts or (trouble is not None and left <= 0):
                raise MissingError(
                    f"{self.name} does not answer: {redacted(str(trouble))} {len(waiting)} "
                    f"job{'s' * (len(waiting) != 1)} may still be running there. {self._safe} "
                    "Fetch again later."
                )
            if not waiting or left <= 0:
                break
            if time.monotonic() >= told:
                self._warn(
                    f"{len(waiting)} of {len(records)} jobs on {self.name} are not done; "
                    f"waiting for up to {left / 60:,.0f} minutes more. " + self._safe
                )
                told = time.monotonic() + _TELL_EVERY
            self._sleep(min(pause, left))
            pause = min(2 * pause, longest)
        return self._now(records)

    def _settled(self, record: Record) -> bool:
        """Whether a submitted job has ended; its shots or failure are in the ledger then."""
        assert record.job_id is not None
        try:
            job = self._live.get(record.job_id) or self.service.job(record.job_id)
        except JobError as error:  # some know a job by its number only after a while
            if time.time() >= (record.sent or 0) + self.patience.grace:
                self.ledger.failed(record.key, redacted(str(error)))
                return True
            return False
        try:
            state = job.state()
            if state in (JobState.FAILED, JobState.CANCELLED):
                words = redacted(job.message()) or "without a word"
                self.ledger.failed(record.key, f"{state} by {self.name}: {words}")
            elif state == JobState.DONE:
                measured = job.measured(record.shape, seed=int(record.key[:12], 16))
                self.ledger.store(record.key, self._checked(measured, record))
            else:
                return False
        except JobError as error:
            self.ledger.failed(record.key, redacted(str(error)))
        self._live.pop(record.job_id, None)
        return True

    def _checked(self, measured: Measured, record: Record) -> Measured:
        if measured.bits.shape != record.shape:
            raise JobError(
                f"{self.name} returned shots of shape {measured.bits.shape}; expected [row, "
                f"shot, bit] = {list(record.shape)}. Nothing was made of them."
            )
        return measured

    def bits(self, records: Sequence[Record]) -> Bits:
        """The shots [row, shot, bit] of a request's jobs, put together.

        Raises JobError if a job failed or is unknown, PendingError if one is not done.
        """
        records = self._now(records)
        loaded = {}
        for record in records:
            if record.state == State.DONE:
                loaded[record.key] = self.ledger.load(record)
                if loaded[record.key] is None:
                    self._warn(f"The stored shots of {record.key} are gone or damaged.")
                    self.ledger.lost(record)
        check_ended(self._now(records), self.name)
        rows = max(record.first_row + record.rows for record in records)
        shots = max(record.first_shot + record.shots for record in records)
        bits = np.empty((rows, shots, records[0].width), np.uint8)
        for record in records:
            row, shot = record.first_row, record.first_shot
            bits[row : row + record.rows, shot : shot + record.shots] = loaded[record.key]
        return bits

    def measure(self, request: Request, isa: Isa, wait: float) -> Bits:
        """Send a request, wait for it, and return its shots [row, shot, bit]; see the parts."""
        records = self.send(request, isa)
        return self.bits(self.fetch(records, wait))

    # -- preflight ----------------------------------------------------------------------------

    def preflight(self, scope: Scope, service: str, isa: Isa, wait: float) -> None:
        """Prepare known bitstrings and read them, once a service and set of qubits.

        Raises JobError if it comes back wrong, PendingError if it is not back after `wait`.
        """
        if (service, isa.qubits) in self._passed:
            return
        n = len(isa.qubits)
        circuit = preparation(n)
        probe = transpiled(circuit, self.service.device, level=1, layout=isa.qubits)
        request = Request(
            scope, PREFLIGHT, service, probe.fingerprint,
            probe.rows(angles_of(preflight_bits(n))), PREFLIGHT_SHOTS, n,
        )  # fmt: skip
        # other qubits, which a device may suggest after its calibration, are another purpose
        request = replace(request, purpose=f"{PREFLIGHT} {request.content()[:8]}")
        records = self.ledger.answered(request) or self.fetch(self.send(request, probe), wait)
        bits = self.bits(records)
        try:
            check_preflight(bits, isa.qubits, self.name)
        except JobError as error:  # to be sent again once the device is mended
            for record in records:
                self.ledger.failed(record.key, str(error))
            raise
        self._passed.add((service, isa.qubits))

    # -- shared -------------------------------------------------------------------------------

    def _now(self, records: Sequence[Record]) -> list[Record]:
        return [self.ledger.job(record.key) for record in records]

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._check_stop()
            time.sleep(min(left, 0.2))

    def _check_stop(self) -> None:
        """Raise Interrupted after a signal, unless that would lose jobs; then say so, once."""
        if not self._stop():
            return
        if not self._lossy:
            raise Interrupted("Stopped by a signal.")
        if not self._warned:
            self._warn(
                f"{self.name} gives its jobs to this process alone: waiting for {len(self._live)} "
                "of them, which would be lost. A second signal ends it all the same."
            )
            self._warned = True

    @property
    def _lossy(self) -> bool:
        """Whether jobs are running that no other process could fetch, and that cost money."""
        return bool(self._live) and not (self.service.local or self.service.retrievable)

    @property
    def _safe(self) -> str:
        return "Only this process can fetch them." if self._lossy else "Nothing is lost."


def chunks(limits: Limits, rows: int, shots: int, gates: int) -> list[tuple[int, int, int, int]]:
    """(first row, rows, first shot, shots) of the fewest jobs that the limits allow.

    `gates` are the two-qubit gates of the circuit.
    """
    most_shots = min(n for n in (shots, limits.shots, limits.executions) if n is not None)
    most_rows = rows
    if limits.rows is not None:
        most_rows = min(most_rows, limits.rows)
    if limits.executions is not None:
        most_rows = min(most_rows, limits.executions // most_shots)
    if limits.gates is not None and gates:
        most_rows = min(most_rows, max(1, limits.gates // gates))
    return [
        (row, min(most_rows, rows - row), shot, min(most_shots, shots - shot))
        for row in range(0, rows, most_rows)
        for shot in range(0, shots, most_shots)
    ]


def check_ended(records: Sequence[Record], service: str) -> None:
    """Raise JobError if a job failed or is unknown, PendingError if one is not done."""
    bad = [r for r in records if r.state in (State.FAILED, State.UNKNOWN)]
    if bad:
        first = bad[0]
        again = (
            "Find it among the vendor's jobs and say `qhyper jobs --adopt KEY JOB_ID`; only if it "
            "is not there, `qhyper jobs --resend KEY`, which pays for it once more."
            if first.state == State.UNKNOWN
            else "Send it again with `qhyper jobs --resend KEY`."
        )
        raise JobError(
            f"{len(bad)} of {len(records)} jobs on {service} did not succeed. {first.key} is "
            f"{first.state}: {first.message.rstrip('.')}. {again}"
        )
    pending = [r for r in records if r.state != State.DONE]
    if pending:
        sent = sum(r.state == State.SUBMITTED for r in pending)
        raise PendingError(
            f"{len(pending)} of {len(records)} jobs on {service} are not done ({sent} submitted, "
            f"{len(pending) - sent} not taken yet). Nothing is lost."
            + "".join(f" {r.message}" for r in pending[:1] if r.message)
        )
