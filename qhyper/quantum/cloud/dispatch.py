"""Sending jobs and fetching what they measured, so that no job is ever paid for twice.

Every step is in the ledger before it is taken. Whatever happens in between, a crash, a lost reply,
a service that is away, the next call with the same request goes on from there.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError, Interrupted, JobError, MissingError, QhyperError
from qhyper.quantum.cloud.advice import check_ended
from qhyper.quantum.cloud.caps import NO_CAPS, Caps
from qhyper.quantum.cloud.chunks import chunks
from qhyper.quantum.cloud.door import (
    CloudJob,
    Denied,
    JobState,
    NotFound,
    PlannedJobs,
    Rejected,
    Service,
    Unreachable,
    Unreadable,
    asked,
)
from qhyper.quantum.cloud.ledger import Ledger
from qhyper.quantum.cloud.mthree_mitigation import Float
from qhyper.quantum.cloud.qiskit_isa import Isa
from qhyper.quantum.cloud.questions import Patience, Questions
from qhyper.quantum.cloud.record import Record, Request, State
from qhyper.quantum.cloud.redaction import redacted, words_of

_TELL_FIRST, _TELL_EVERY = 20.0, 600.0
"""Seconds of waiting after which the user hears of it, at first and then."""
_GIVE_UP_AFTER = 2
"""Calls in a row that end without an answer, after which no more are made for now."""
_LOCAL_POLL = 0.05
"""Seconds between two questions about a job of this process."""


class Dispatcher:
    """Sends the requests of one run to one service, by way of the ledger.

    To be used within `ledger.working()`. `name` is what the service is called. `stop` is asked
    while waiting; once it returns true, Interrupted is raised. `warn` hears what a user should
    know. No job is sent that the `caps` do not cover.
    """

    def __init__(
        self,
        service: Service,
        ledger: Ledger,
        *,
        patience: Patience,
        name: str | None = None,
        caps: Caps = NO_CAPS,
        stop: Callable[[], bool] = lambda: False,
        warn: Callable[[str], None] = print,
    ) -> None:
        self.service, self.ledger, self.patience = service, ledger, patience
        self.caps = caps
        self.name = name or str(service)
        self._stop, self.warn = stop, warn
        self.questions = Questions(service, self.name, patience, self._sleep)
        self._live: dict[str, CloudJob] = {}
        self.passed: dict[tuple[str, tuple[int, ...]], float] = {}
        """When the preflight of a service and qubits ended that this session has looked at."""
        self.calibrated: dict[tuple[str, tuple[int, ...]], tuple[float, Float]] = {}
        """When a calibration ended, and its assignment matrices, likewise."""
        self._warned = False

    # -- sending ------------------------------------------------------------------------------

    def send(self, request: Request, isa: Isa) -> list[Record]:
        """Send the jobs of a request that are not sent yet; does not wait for any.

        Jobs that a crash left open are looked up first. Raises MissingError if the service takes
        no jobs now, ConfigurationError if the scope's shot budget is too small for the request,
        Interrupted after a signal.
        """
        records = self.ledger.plan(request, lambda: chunks(
            self.service.limits, len(request.rows), request.shots, isa.two_qubit_gates
        ))  # fmt: skip
        self.recover(records)
        waiting = self._new([r for r in self._now(records) if r.state == State.PLANNED], isa)
        if waiting:
            reason = self.questions.answered(self.service.unavailable)
            if reason:
                raise MissingError(
                    f"{self.name} takes no jobs now: {redacted(reason)} Nothing was sent. Try "
                    "again later, or use another backend."
                )
            self._send(waiting, request, isa)
        return self._now(records)

    def _new(self, planned: Sequence[Record], isa: Isa) -> list[Record]:
        """Those planned jobs that the service does not have.

        A run directory that was copied, or restored from a backup, knows less than the service.
        """
        if self.service.local or not self.service.searchable:
            return list(planned)
        new, found = [], 0
        for record in planned:
            numbers = self.questions.answered(self.service.find, record.next_tag)
            if numbers:
                self.ledger.found(record.key, numbers[0], cost=self.cost(record, isa.gates))
                self._say_others(record.next_tag, numbers)
                found += 1
            else:
                new.append(record)
        if found:
            self.warn(
                f"{self.name} has {found} of the jobs that were to be sent already: they are taken "
                "and not paid for again. Is a copy of this run directory at work elsewhere, or was "
                "it restored from a backup? Two at a time can pay twice: stop one of them."
            )
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
                    cost = self.cost(record, isa.gates)
                    if in_a_row == _GIVE_UP_AFTER or not self.ledger.claim(
                        record.key, caps=self.caps, cost=cost
                    ):
                        continue
                    record = self.ledger.job(record.key)
                    rows = request.rows[record.first_row : record.first_row + record.rows]
                    try:
                        job = self.service.run([(isa.circuit, rows)], record.shots, tag=record.tag)
                    except Denied as error:
                        self.ledger.unclaim(record.key, State.PLANNED, "", cost=cost)
                        raise self.questions.denied(error) from error
                    except Rejected as refusal:
                        state = State.PLANNED if refusal.again else State.REFUSED
                        words = redacted(str(refusal))
                        self.ledger.unclaim(record.key, state, words, cost=cost)
                        if refusal.again:  # the others would be refused too
                            refused = list(waiting[number:])
                            break
                    except Exception as error:  # was the job taken or not? the tag tells
                        open_ones.append(record)
                        in_a_row, ended = in_a_row + 1, time.time()
                        looked = " Looking for it by its tag." * self.service.searchable
                        self.warn(f"{self.name} did not confirm a job: {words_of(error)}{looked}")
                    else:
                        self._taken(record, job)
                        in_a_row, taken = 0, True
            waiting = refused
            attempts, pause = (1, self.patience.first_poll) if taken else (attempts + 1, pause)
            if waiting and attempts < self.patience.attempts:
                self._sleep(pause)
                pause = min(2 * pause, self.patience.last_poll)
        self.recover(open_ones, since=ended)

    def _taken(self, record: Record, job: CloudJob) -> None:
        """Write down the number that the service has given to a job."""
        self._live[job.job_id] = job
        try:
            session = getattr(job, "session", "")
            self.ledger.submitted(record.key, job.job_id, session=session)
        except QhyperError:  # the number is known here alone
            self.warn(
                f"{self.name} has taken the job {record.key} as {job.job_id}, which could not be "
                f"written down. Keep this number, and say `qhyper jobs --adopt {record.key[:8]} "
                f"{job.job_id}` once the ledger can be written."
            )
            raise

    def cost(self, record: Record, gates: tuple[int, int]) -> float | None:
        """What a job costs in US dollars by the price that is known before; None if none is.

        `gates` are the one-qubit and two-qubit gates of one of its rows. Under a cap on costs,
        raises MissingError where the service does not answer.
        """
        planned = [PlannedJobs(1, record.rows, record.shots, gates)]
        try:
            price = self.questions.answered(self.service.price, planned)
        except (NotFound, MissingError):
            if self.caps.of_money:
                raise
            return None
        return None if price is None else price.amount

    def recover(self, records: Sequence[Record], *, since: float = 0.0) -> None:
        """Settle jobs that were on their way to the service when a process or a call ended.

        Their tags are looked up until the grace time after they were sent, or after `since`, is
        over. What is not found then is unknown; where the service cannot look up tags, at once.
        Unknown jobs are looked up once more each time. Raises MissingError if the service does not
        answer for several questions in a row.
        """
        records = self._now(records)
        if self.service.local:  # its jobs ended with the process, and cost nothing
            self._plan_anew(records)
            return
        lost = [r for r in records if r.state in (State.SUBMITTING, State.UNKNOWN)]
        if not self.service.searchable:
            self._ask_by_number(lost)
            return
        pause, silent = self.patience.first_poll, 0
        end = time.monotonic() + self.patience.grace  # at the latest, whatever the clock says
        while lost:
            still, trouble = [], None
            for record in lost:
                try:
                    found = self._listed(record)
                except QhyperError:
                    raise
                except Exception as error:  # of an SDK: as good as no answer
                    trouble = error
                    still.append(record)
                    continue
                sent = max(record.sent or 0, since)
                if (
                    not found
                    and time.time() < sent + self.patience.grace
                    and time.monotonic() < end
                ):
                    still.append(record)
                elif not found:
                    self._unknown(
                        record, f"{self.name} lists no job with the tag {record.tag} for this "
                        f"account, {self.patience.grace:g} s after it was sent",
                    )  # fmt: skip
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

    def _plan_anew(self, records: Sequence[Record]) -> None:
        """Plan the jobs of a service of this machine again that ended with their process."""
        for record in records:
            gone = record.state == State.SUBMITTED and record.job_id not in self._live
            if gone or record.state == State.SUBMITTING:
                self.ledger.unclaim(record.key, State.PLANNED, "")

    def _ask_by_number(self, lost: Sequence[Record]) -> None:
        """Settle lost jobs of a service without tags: those without a number are unknown."""
        for record in lost:
            if record.job_id is None or not self.questions.answered(self._listed, record):
                self._unknown(
                    record, f"the reply of {self.name} was lost, and it cannot look up tags"
                )

    def _unknown(self, record: Record, why: str) -> None:
        """Write down that a job was not found; what was said of a job with a number stays."""
        kept = record.message if record.job_id is not None or not self.service.searchable else ""
        self.ledger.unknown(record.key, kept or why)

    def _listed(self, record: Record) -> bool:
        """Whether the service has a job under one of its tags or its number; it is taken then.

        One that failed is not taken. Raises Unreachable, or MissingError for a login that expired.
        """
        try:
            numbers = [] if record.job_id is None else [record.job_id]
            if self.service.searchable:
                for tag in (record.next_tag, *reversed(record.tags)):  # a copy may have sent it
                    numbers += [n for n in self.service.find(tag) if n not in numbers]
            good = [number for number in numbers if self._may_succeed(number)]
        except Denied as error:
            raise self.questions.denied(error) from error
        if good:
            self._found(record, good)
        return bool(good)

    def cancel(self, record: Record) -> None:
        """Ask the service to cancel a submitted job; ConfigurationError for any other."""
        if record.state != State.SUBMITTED or record.job_id is None:
            raise ConfigurationError(
                f"The job {record.key} is {record.state}; only submitted jobs can be cancelled."
            )
        self.questions.cancel(record.job_id)

    def _may_succeed(self, job_id: str) -> bool:
        """Whether the service knows a job, and does not say that it failed."""
        try:
            return self.service.job(job_id).state() not in (JobState.FAILED, JobState.CANCELLED)
        except NotFound:
            return False

    def look_up(self, record: Record) -> Record:
        """A job that is to be sent again, after the service was asked whether it has it.

        Raises MissingError if it does not answer: nothing is sent again without having asked.
        """
        if self.service.searchable or record.job_id is not None:
            self.questions.answered(self._listed, record)
        return self.ledger.job(record.key)

    def _found(self, record: Record, found: Sequence[str]) -> None:
        self.ledger.submitted(record.key, found[0])
        self._say_others(record.tag, found)

    def _say_others(self, tag: str, found: Sequence[str]) -> None:
        if len(found) > 1:
            self.warn(
                f"{self.name} lists {len(found)} jobs with the tag {tag}: "
                f"{', '.join(found)}. The first one is taken; ask the vendor about the others."
            )

    # -- fetching -----------------------------------------------------------------------------

    def fetch(self, records: Sequence[Record], wait: float) -> list[Record]:
        """Store what the submitted jobs measured; at the most `wait` seconds for all of them.

        A failed or stuck job holds up no other; what could not be read before is read again.
        Raises MissingError if the service does not answer for several questions in a row, or does
        not let the account in, and Interrupted after a signal, unless that would lose jobs.
        """
        end = time.monotonic() + wait
        told = time.monotonic() + _TELL_FIRST
        pause, silent = self.patience.first_poll, 0
        longest = self.patience.last_poll
        if self.service.local:  # asking costs nothing, and its jobs are done soon
            pause = longest = min(pause, _LOCAL_POLL)
        asked_for = (State.SUBMITTED, State.UNREADABLE)
        waiting = [r for r in self._now(records) if r.state in asked_for and r.job_id is not None]
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
                except Denied as error:
                    raise self.questions.denied(error) from error
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
                self.warn(
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
            state = job.state()
            if state in (JobState.FAILED, JobState.CANCELLED):
                words = redacted(job.message()) or "without a word"
                self.ledger.failed(record.key, f"{state} by {self.name}: {words}")
            elif state == JobState.DONE:
                self._store(record, job)
            else:
                return False
        except NotFound as error:  # some know a job by its number only after a while
            if self.service.local:  # it ended with its process, and costs nothing
                self.ledger.unclaim(record.key, State.PLANNED, "", cost=0.0)
                return True
            if record.state == State.UNREADABLE:  # what came of it is here, though forgotten there
                return True
            if time.time() < (record.sent or 0) + self.patience.grace:
                return False
            self.ledger.unknown(
                record.key, f"{redacted(str(error)).rstrip('.')}. It may have run there all the "
                "same, under another account, region or instance, and have been paid for",
            )  # fmt: skip
        except JobError as error:
            raw = getattr(error, "raw", b"")
            self.ledger.unreadable(record.key, redacted(str(error)), raw)
        self._live.pop(record.job_id, None)
        return True

    def _store(self, record: Record, job: CloudJob) -> None:
        """Store what a job that is done measured, and what was charged for it."""
        measured = job.measured(record.shape, seed=int(record.key[:12], 16))
        if measured.bits.shape != record.shape:
            raise Unreadable(
                f"{self.name} returned shots of shape {measured.bits.shape}; expected [row, "
                f"shot, bit] = {list(record.shape)}. Nothing was made of them."
            )
        if len(measured.missing) == record.rows:
            raise Unreadable(f"{self.name} ran none of the {record.rows} rows of the job.")
        if measured.missing:
            self.ledger.complete(record, measured.missing)
            self.warn(
                f"{self.name} did not run {len(measured.missing)} of the {record.rows} rows of "
                f"{record.job_id}: the others are kept, and those alone are sent again."
            )
        self.ledger.store(record.key, measured)
        self.bill(record, job)

    def bill(self, record: Record, job: CloudJob | None = None) -> None:
        """Write down what the service says that it charged for a job, if it says so now."""
        assert record.job_id is not None
        try:
            job = self.service.job(record.job_id) if job is None else job
            if words := asked(job, "charged"):
                self.ledger.charged(record.key, redacted(words))
        except Exception as error:  # the vendor's bill says it too
            if isinstance(error, QhyperError):
                raise

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
                    self.warn(f"The stored shots of {record.key} are gone or damaged.")
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
        """Send a request, wait for it, and return its shots [row, shot, bit]; see the parts.

        At the most `wait` seconds.
        """
        return self.bits(self.obtain(request, isa, wait))

    def obtain(self, request: Request, isa: Isa, wait: float) -> list[Record]:
        """The jobs of a request, sent and waited for at the most `wait` seconds, done or not.

        What a service does not take while others of the request are pending is sent after them, and
        so are rows that it did not run.
        """
        end = time.monotonic() + wait
        left = None
        while True:
            self.fetch(self.send(request, isa), max(0.0, end - time.monotonic()))
            records = self.ledger.jobs(request.scope, request.purpose)
            before, left = left, sum(record.state == State.PLANNED for record in records)
            if not left or left == before or time.monotonic() >= end:
                return records

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
            self.warn(
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
