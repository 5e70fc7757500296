"""The job ledger: what was sent to a quantum computer, written down before it is sent.

One SQLite file in the run directory, `jobs.sqlite`, and the measured shots beside it, in
`samples/`. A job goes planned → submitting → submitted → done, unless something befalls it:

- planned:    not sent; only planned jobs are ever sent
- submitting: written before the call to the service, so that a crash inside it leaves a trace
- submitted:  the service has given it a number
- done:       its shots are stored here
- refused:    the service has not taken it, and charges nothing
- failed:     the service says that it failed or was cancelled
- unreadable: it is done, and paid for, but what was returned cannot be read here; it is kept
- unknown:    nobody knows whether the service took it: only the user may have it sent again

A job's key is a hash of everything that it is: run, purpose, chunk, circuit, parameter rows, shots
and backend. So the same request made again, after a crash or by mistake, finds the jobs that are
there. The job carries the key as a tag.
"""

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from qhyper.bits import Bits, pack, unpack
from qhyper.errors import ConfigurationError, StorageError
from qhyper.quantum.cloud.caps import NO_CAPS, Caps
from qhyper.quantum.cloud.chunks import Chunk
from qhyper.quantum.cloud.door import Measured
from qhyper.quantum.cloud.ledger_file import LedgerFile
from qhyper.quantum.cloud.record import (
    AGAIN,
    CALIBRATION,
    COLUMNS,
    OPEN,
    PREFLIGHT,
    Record,
    Request,
    State,
    digest,
    rows_digest,
)
from qhyper.quantum.cloud.scope import Scope
from qhyper.storage import storage, write_whole

_FORMERLY = "Sent before as"


class Ledger(LedgerFile):
    """The ledger of one run, made if it is not there.

    Raises StorageError if the file is damaged, of another version, or of another run.
    """

    # -- plans --------------------------------------------------------------------------------

    def plan(
        self, request: Request, chunks: Sequence[Chunk] | Callable[[], Sequence[Chunk]]
    ) -> list[Record]:
        """The jobs of a request: those that are there, or new ones, one a chunk.

        `chunks` may be a function, which is asked for new ones alone. Raises StorageError if jobs
        of this purpose were sent with other content: what they measured is no answer to this
        request.
        """
        content, where = request.content(), (str(request.scope), request.purpose)
        with self._transaction():
            found = self.jobs(request.scope, request.purpose)
            known = self._ask("SELECT content FROM requests WHERE scope = ? AND purpose = ?", where)
            if found and known and known[0][0] in request.contents():
                self._base.execute(
                    "UPDATE requests SET content = ? WHERE scope = ? AND purpose = ?",
                    (content, *where),
                )
                return found
            if any(record.attempts or record.state != State.PLANNED for record in found):
                raise StorageError(
                    f"{self.path} has jobs for {request.scope}, {request.purpose}, that were sent "
                    "with another circuit, other angles, shots or options than are asked for now. "
                    "They would be paid a second time. Resume with the configuration, the machine "
                    "and the versions that the run began with, or begin a new run."
                )
            self._base.execute("DELETE FROM jobs WHERE scope = ? AND purpose = ?", where)
            self._base.execute(
                "INSERT OR REPLACE INTO requests VALUES (?, ?, ?)", (*where, content)
            )
            for number, (first_row, rows, first_shot, shots) in enumerate(
                chunks() if callable(chunks) else chunks
            ):
                part = request.rows[first_row : first_row + rows]
                key = digest(self.run, *where, number, request.circuit, rows_digest(part),
                              first_shot, shots, request.service)[:32]  # fmt: skip
                self._insert(Record(
                    key, request.scope, request.purpose, number, request.service, first_row, rows,
                    first_shot, shots, request.width, planned=time.time(),
                ))  # fmt: skip
        return self.jobs(request.scope, request.purpose)

    def answered(self, request: Request, *, since: float) -> list[Record]:
        """The jobs of an earlier request for the same purpose and content, if all are done.

        One that was made again counts. None of them may have ended before `since`, in seconds since
        1970.
        """
        for content in request.contents():
            requests = self._ask(
                "SELECT scope, purpose FROM requests WHERE content = ?2 "
                "AND (purpose = ?1 OR purpose LIKE ?1 || ?3 || '%')",
                (request.purpose, content, AGAIN),
            )
            for scope, purpose in requests:
                found = self.jobs(self._scope(scope), purpose)
                if found and all(r.state == State.DONE and (r.ended or 0) >= since for r in found):
                    return found
        return []

    def outdated(self, request: Request, since: float) -> bool:
        """Whether the request's jobs are there, all done, and ended before `since`."""
        found = self.jobs(request.scope, request.purpose)
        done = bool(found) and all(record.state == State.DONE for record in found)
        return done and min(record.ended or 0 for record in found) < since

    def complete(self, record: Record, missing: Sequence[int]) -> None:
        """Plan the rows that a job of several did not measure anew, as jobs of their own, once.

        The shot budget does not count them twice.
        """
        starts = [row for row in missing if row - 1 not in missing]
        with self._transaction():
            of_purpose = self.jobs(record.scope, record.purpose)
            known = {each.key for each in of_purpose}
            chunk = max(each.chunk for each in of_purpose) + 1
            for number, start in enumerate(starts):
                rows = next(n for n in range(1, record.rows + 1) if start + n not in missing)
                key = digest(record.key, "rows", start, rows)[:32]
                if key in known:  # it was fetched before, and its shots are gone
                    continue
                self._base.execute(
                    "UPDATE budgets SET shots = shots + ? WHERE scope = ?",
                    (rows * record.shots, str(record.scope)),
                )
                self._insert(Record(
                    key, record.scope, record.purpose, chunk + number, record.service,
                    record.first_row + start, rows, record.first_shot, record.shots, record.width,
                    planned=time.time(),
                ))  # fmt: skip

    def allow(self, scope: Scope, shots: int) -> None:
        """Raise the shot budget of a scope to `shots`: its jobs never have more than that.

        A job that is sent again, on the user's word, counts once.
        """
        with self._transaction():
            self._base.execute(
                "INSERT INTO budgets VALUES (?1, ?2) "
                "ON CONFLICT (scope) DO UPDATE SET shots = MAX(shots, ?2)",
                (str(scope), shots),
            )

    def allowed(self, scope: Scope) -> int:
        """The shot budget of a scope; 0 if it has none."""
        found = self._ask("SELECT shots FROM budgets WHERE scope = ?", (str(scope),))
        return found[0][0] if found else 0

    def sent_shots(self, scope: Scope) -> int:
        """Shots of the jobs of a scope that were sent, or may have been.

        What is sent again, on the user's word, is counted once, and so are known bitstrings.
        """
        query = (
            "SELECT SUM(rows * shots) FROM jobs WHERE scope = ?1 AND attempts > 0 "
            "AND purpose NOT LIKE ?2 || ' %' || ?4 || '%' "
            "AND purpose NOT LIKE ?3 || ' %' || ?4 || '%'"
        )
        return self._ask(query, (str(scope), PREFLIGHT, CALIBRATION, AGAIN))[0][0] or 0

    # -- jobs ---------------------------------------------------------------------------------

    def jobs(self, scope: Scope | None = None, purpose: str | None = None) -> list[Record]:
        """The jobs of a scope and purpose, or all, in the order in which they were planned."""
        found = self._ask(
            f"SELECT {', '.join(COLUMNS)} FROM jobs WHERE (?1 IS NULL OR scope = ?1) "
            "AND (?2 IS NULL OR purpose = ?2) ORDER BY rowid",
            (None if scope is None else str(scope), purpose),
        )
        return [self._record(row) for row in found]

    def job(self, key: str) -> Record:
        """The job whose key begins with `key`; ConfigurationError unless there is exactly one."""
        rows = self._ask(f"SELECT {', '.join(COLUMNS)} FROM jobs WHERE key = ?", (key,))
        if rows:
            return self._record(rows[0])
        found = [record for record in self.jobs() if record.key.startswith(key)]
        if len(found) != 1 or not key:
            raise ConfigurationError(
                f"Got the key '{key}', which {len(found) or 'no'} job"
                f"{'s' * (len(found) != 1)} of {self.folder} begin{'s' * (len(found) == 1)} with; "
                "expected one. See the keys with `qhyper jobs`."
            )
        return found[0]

    def claim(self, key: str, *, caps: Caps = NO_CAPS, cost: float | None = None) -> bool:
        """planned → submitting, durably, before the call; False if the job is not planned.

        `cost` is what it costs in US dollars; None if that is not known. Raises ConfigurationError
        if the scope's shot budget or the run's caps do not cover it.
        """
        with caps.alone(self.folder), self._transaction():
            record = self.job(key)
            if record.state != State.PLANNED:
                return False
            sent = self.sent_shots(record.scope)
            uncounted = record.attempts or (record.known and AGAIN in record.purpose)
            more = 0 if uncounted else record.rows * record.shots
            if sent + more > self.allowed(record.scope) and more:
                raise ConfigurationError(
                    f"The shot budget of {record.scope} is {self.allowed(record.scope):,}; "
                    f"{sent:,} were sent, and the next job has {more:,}. It was not sent. "
                    "Raise `paid_shots`: in a training's config.toml, or with --paid-shots of "
                    "`qhyper submit`."
                )
            caps.check(self.folder, cost)
            before = record.cost if record.attempts else 0.0  # none, in a ledger of before
            paid = None if before is None or cost is None else before + cost
            self._update(key, state=State.SUBMITTING, attempts=record.attempts + 1,
                         sent=time.time(), cost=paid, message="")  # fmt: skip
        return True

    def unclaim(self, key: str, state: State, message: str, *, cost: float | None = None) -> None:
        """submitting → planned or refused: the service has certainly not taken the job."""
        with self._transaction():
            record = self.job(key)
            paid = None if record.cost is None or cost is None else record.cost - cost
            attempts = record.attempts - 1
            paid = paid if attempts else 0.0
            self._update(key, state=state, attempts=attempts, cost=paid, message=message)

    def submitted(self, key: str, job_id: str, *, session: str = "") -> None:
        """The service has the job under this number."""
        with self._transaction():
            record = self.job(key)
            sent = record.sent or time.time()
            self._update(key, state=State.SUBMITTED, job_id=job_id, message="", sent=sent,
                         session=session or record.session, attempts=max(1, record.attempts),
                         ended=None)  # fmt: skip

    def found(self, key: str, job_id: str, *, cost: float | None) -> None:
        """The service has a planned job, which somebody else has sent, and which costs this."""
        with self._transaction():
            record = self.job(key)
            before = record.cost if record.attempts else 0.0
            paid = None if before is None or cost is None else before + cost
            self._update(key, state=State.SUBMITTED, job_id=job_id, message="", sent=time.time(),
                         cost=paid, attempts=record.attempts + 1, ended=None)  # fmt: skip

    def unknown(self, key: str, message: str) -> None:
        """Nobody knows whether the service took the job."""
        with self._transaction():
            self._update(key, state=State.UNKNOWN, message=message)

    def failed(self, key: str, message: str) -> None:
        """The service says that the job failed, or was cancelled."""
        with self._transaction():
            self._update(key, state=State.FAILED, message=message, ended=time.time())

    def unreadable(self, key: str, message: str, raw: bytes) -> None:
        """The job is done, but what it returned, `raw`, cannot be read here: it is kept."""
        if raw:
            with storage(self.raw_file(key)):
                self.raw_file(key).parent.mkdir(exist_ok=True)
            write_whole(self.raw_file(key), raw)
        with self._transaction():
            self._update(key, state=State.UNREADABLE, message=message, ended=time.time())

    def charged(self, key: str, words: str) -> None:
        """What the service says that it charged for a job."""
        with self._transaction():
            self._update(key, charged=words)

    def again(self, key: str) -> None:
        """Open → planned, on the user's word, which the shot budget does not limit."""
        with self._transaction():
            record = self.job(key)
            if record.state not in OPEN:
                raise ConfigurationError(
                    f"The job {key} is {record.state}; only failed, refused, unreadable and "
                    "unknown jobs can be sent again."
                )
            note = record.note
            if record.job_id is not None:  # where a service has no tags, the only witness
                note = f"{note} {_FORMERLY} {record.job_id}.".strip()
            self._update(record.key, state=State.PLANNED, job_id=None, ended=None, note=note)

    def adopt(self, key: str, job_id: str) -> None:
        """Failed or unknown → submitted, as the job that the user found under this number.

        One that could not be written down when it was taken is still *submitting*.
        """
        with self._transaction():
            record = self.job(key)
            if record.state not in (State.FAILED, State.UNKNOWN, State.SUBMITTING):
                raise ConfigurationError(
                    f"The job {key} is {record.state}; only failed and unknown jobs can adopt one."
                )
            owner = [r for r in self.jobs() if r.job_id == job_id and r.key != record.key]
            if owner:
                raise ConfigurationError(
                    f"{job_id} is already the job of {owner[0].key}: it cannot be that of "
                    f"{record.key} too. Check the number."
                )
            sent = record.sent or time.time()
            self._update(record.key, state=State.SUBMITTED, job_id=job_id, message="", sent=sent,
                         attempts=max(1, record.attempts), ended=None)  # fmt: skip

    # -- shots --------------------------------------------------------------------------------

    def store(self, key: str, measured: Measured) -> None:
        """Store what a job measured, and only then say that it is done."""
        buffer = io.BytesIO()
        np.savez(buffer, words=pack(measured.bits), n_bits=measured.bits.shape[-1])
        with storage(self._file(key)):
            self._file(key).parent.mkdir(exist_ok=True)
        write_whole(self._file(key), buffer.getvalue())
        with self._transaction():
            _, formerly, numbers = self.job(key).note.partition(_FORMERLY)
            note = f"{measured.note} {formerly}{numbers}".strip()
            self._update(key, state=State.DONE, note=note, ended=time.time(), message="")

    def load(self, record: Record) -> Bits | None:
        """The stored shots of a job [row, shot, bit]; None if they are not there or damaged."""
        try:
            # NumPy leaves a damaged file open: it gets the bytes
            with np.load(io.BytesIO(self._file(record.key).read_bytes())) as file:
                bits = unpack(file["words"], int(file["n_bits"]))
        except Exception:  # whatever a reader of archives makes of damaged ones
            return None
        return bits if bits.shape == record.shape else None

    def lost(self, record: Record) -> None:
        """done → submitted: the stored shots are gone, and are to be fetched again."""
        with self._transaction():
            self._update(record.key, state=State.SUBMITTED, ended=None)

    def _file(self, key: str) -> Path:
        return self.folder / "samples" / f"{key}.npz"

    def raw_file(self, key: str) -> Path:
        """Where what an unreadable job returned is kept."""
        return self.folder / "samples" / f"{key}.raw"
