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
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from qhyper.bits import Bits, pack, unpack
from qhyper.errors import ConfigurationError, StorageError
from qhyper.quantum.cloud.caps import NO_CAPS, Caps
from qhyper.quantum.cloud.chunks import Chunk
from qhyper.quantum.cloud.door import Measured
from qhyper.quantum.cloud.record import (
    COLUMNS,
    OPEN,
    Record,
    Request,
    State,
    digest,
    rows_digest,
)
from qhyper.quantum.cloud.scope import Scope
from qhyper.storage import check_locks, storage, write_whole

FILE = "jobs.sqlite"
_LOCK = "jobs.lock"
_VERSION = 2
_BUSY_SECONDS = 30.0

_ADDED = {2: ("cost REAL", "charged TEXT NOT NULL DEFAULT ''", "session TEXT NOT NULL DEFAULT ''")}
"""Columns of jobs that a version has and the one before had not."""
_SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE budgets (scope TEXT PRIMARY KEY, shots INTEGER NOT NULL)",
    "CREATE TABLE requests (scope TEXT NOT NULL, purpose TEXT NOT NULL, content TEXT NOT NULL, "
    "PRIMARY KEY (scope, purpose))",
    f"CREATE TABLE jobs ({', '.join(COLUMNS)}, PRIMARY KEY (key))",
)


class Ledger:
    """The ledger of one run, made if it is not there.

    Raises StorageError if the file is damaged, of another version, or of another run.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self.folder, self.path, self.run = folder, folder / FILE, run
        with storage(folder):
            folder.mkdir(parents=True, exist_ok=True)
        check_locks(folder)
        try:
            # transactions are begun by hand, where they are needed
            self._base = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        try:
            self._open()
        except BaseException:
            self._base.close()
            raise

    def _open(self) -> None:
        """Make the tables if there are none, and check that this is the run's own ledger."""
        try:
            self._base.execute("PRAGMA synchronous=FULL")  # what is written survives a power cut
            if (found := self._base.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(" ".join(found.split()))
            # in one transaction: a process killed here leaves no table, or all
            self._base.execute("BEGIN IMMEDIATE")
            if not self._base.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
                if (self.folder / _LOCK).exists():
                    raise sqlite3.DatabaseError(
                        f"it is empty, though {_LOCK} beside it says that it was in use"
                    )
                for table in _SCHEMA:
                    self._base.execute(table)
                self._base.executemany(
                    "INSERT INTO meta VALUES (?, ?)",
                    (("version", str(_VERSION)), ("run", self.run)),
                )
            meta = dict(self._base.execute("SELECT name, value FROM meta").fetchall())
            if meta.get("version") == "1" and meta.get("run") == self.run:
                self._renew()
                meta["version"] = str(_VERSION)
            self._base.execute("COMMIT")
            if not {"version", "run"} <= meta.keys():
                raise sqlite3.DatabaseError("it does not say which run it is of")
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        if meta["run"] != self.run:
            raise StorageError(
                f"{self.path} is the ledger of another run: got the run {meta['run']}, expected "
                f"{self.run}. Put the run's own ledger back; sending jobs with this one could pay "
                "twice."
            )
        if meta["version"] != str(_VERSION):
            raise StorageError(
                f"{self.path} is a ledger of version {meta['version']}; this qhyper reads version "
                f"{_VERSION}. Use the qhyper that wrote it."
            )

    def _renew(self) -> None:
        """Give a ledger of version 1 what it lacks; what it says of its jobs stays."""
        for column in _ADDED[2]:
            self._base.execute(f"ALTER TABLE jobs ADD COLUMN {column}")
        self._base.execute("UPDATE meta SET value = ? WHERE name = 'version'", (str(_VERSION),))

    def _unusable(self, error: sqlite3.Error) -> StorageError:
        return StorageError(
            f"{self.path} cannot be used as a job ledger: {error}. It says which jobs were "
            "paid for: do not remove it before you have compared it with the jobs that the "
            "service lists."
        )

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Within, no other process sends or fetches jobs of this run.

        Raises StorageError at once if another one does. The lock goes with the process.
        """
        lock = sqlite3.connect(self.folder / _LOCK, timeout=0, isolation_level=None)
        try:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.Error as error:
                if "locked" not in str(error):
                    raise StorageError(
                        f"{self.folder / _LOCK} cannot be locked: {error}. Make the folder and "
                        "the file writable. Leave the file where it is: beside an empty ledger it "
                        "says that jobs were sent."
                    ) from error
                raise StorageError(
                    f"Another process is at work on {self.path}. Wait until it is done, or stop "
                    "it: two at a time could send a job twice."
                ) from error
            yield
        finally:
            lock.close()

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

        None of them may have ended before `since`, in seconds since 1970.
        """
        for content in request.contents():
            scopes = self._ask(
                "SELECT scope FROM requests WHERE purpose = ? AND content = ?",
                (request.purpose, content),
            )
            for (scope,) in scopes:
                found = self.jobs(self._scope(scope), request.purpose)
                if found and all(r.state == State.DONE and (r.ended or 0) >= since for r in found):
                    return found
        return []

    def outdated(self, request: Request, since: float) -> bool:
        """Whether the request's jobs are there, all done, and ended before `since`."""
        found = self.jobs(request.scope, request.purpose)
        done = bool(found) and all(record.state == State.DONE for record in found)
        return done and min(record.ended or 0 for record in found) < since

    def complete(self, record: Record, missing: Sequence[int]) -> None:
        """Plan the rows that a job of several did not measure anew, as jobs of their own, once."""
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

        What is sent again, on the user's word, is counted once.
        """
        query = "SELECT SUM(rows * shots) FROM jobs WHERE scope = ? AND attempts > 0"
        return self._ask(query, (str(scope),))[0][0] or 0

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
            more = 0 if record.attempts else record.rows * record.shots
            if sent + more > self.allowed(record.scope) and more:
                raise ConfigurationError(
                    f"The shot budget of {record.scope} is {self.allowed(record.scope):,}; "
                    f"{sent:,} were sent, and the next job has {more:,}. It was not sent. "
                    "Raise `paid_shots`: in a training's config.toml, or with --paid-shots of "
                    "`qhyper submit`."
                )
            caps.check(self.folder, cost)
            paid = None if record.cost is None or cost is None else record.cost + cost
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
        """The service has the job under this number, whoever has sent it."""
        with self._transaction():
            record = self.job(key)
            sent = record.sent or time.time()
            self._update(key, state=State.SUBMITTED, job_id=job_id, message="", sent=sent,
                         session=session or record.session, attempts=max(1, record.attempts),
                         ended=None)  # fmt: skip

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
            self._update(record.key, state=State.PLANNED, job_id=None, ended=None)

    def adopt(self, key: str, job_id: str) -> None:
        """Failed or unknown → submitted, as the job that the user found under this number."""
        with self._transaction():
            record = self.job(key)
            if record.state not in (State.FAILED, State.UNKNOWN):
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
            self._update(key, state=State.DONE, note=measured.note, ended=time.time(), message="")

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

    # -- SQLite -------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:  # a full disk has ended it already
                    self._base.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StorageError(
                f"The job ledger {self.path} cannot be written: {error}. Nothing was sent that is "
                "not in it. Free some space, or end the process that holds it."
            ) from error

    def _ask(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows that a question gets; StorageError if the file cannot be read."""
        try:
            return self._base.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _insert(self, record: Record) -> None:
        marks, values = ", ".join("?" * len(COLUMNS)), tuple(record.values().values())
        columns = ", ".join(COLUMNS)
        self._base.execute(f"INSERT INTO jobs ({columns}) VALUES ({marks})", values)

    def _update(self, key: str, **values: Any) -> None:
        assigned = ", ".join(f"{name} = ?" for name in values)
        changed = self._base.execute(
            f"UPDATE jobs SET {assigned} WHERE key = ?", (*values.values(), key)
        )
        assert changed.rowcount == 1, f"no job {key}"

    def _record(self, row: Sequence[Any]) -> Record:
        values = dict(zip(COLUMNS, row, strict=True))
        try:
            state = State(values["state"])
        except ValueError as error:
            raise self._unreadable(f"the state {values['state']!r}") from error
        return Record(**{**values, "scope": self._scope(values["scope"]), "state": state})

    def _scope(self, words: Any) -> Scope:
        try:
            return Scope.read(words)
        except (ConfigurationError, TypeError) as error:
            raise self._unreadable(f"the scope {words!r}") from error

    def _unreadable(self, what: str) -> StorageError:
        return StorageError(
            f"{self.path} has a job with {what}, which this qhyper does not know. Use the qhyper "
            "that wrote it, or put a copy back from before it was changed; do not remove it: it "
            "says which jobs were paid for."
        )


def exists(folder: Path) -> bool:
    """Whether a run directory has a ledger."""
    return (folder / FILE).is_file()
