"""The file of a job ledger: made, checked, renewed, locked, written and read."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from qhyper.errors import ConfigurationError, StorageError
from qhyper.quantum.cloud.record import COLUMNS, Record, State
from qhyper.quantum.cloud.scope import Scope
from qhyper.storage import check_locks, storage

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


class LedgerFile:
    """The SQLite file of one run's ledger, made if it is not there.

    Raises StorageError if it is damaged, of another version, or of another run.
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
        lock = None
        try:
            try:
                lock = sqlite3.connect(self.folder / _LOCK, timeout=0, isolation_level=None)
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
            if lock is not None:
                lock.close()

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
