"""A job as the ledger has it, its states, and the request that it belongs to."""

import hashlib
import json
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import numpy as np

from qhyper.quantum.cloud.door import Rows
from qhyper.quantum.cloud.scope import Scope

PREFLIGHT = "preflight"
"""The word with which the purpose of a preflight begins."""
CALIBRATION = "calibration"
"""The same of circuits from which readout errors are learnt."""
KNOWN = (PREFLIGHT, CALIBRATION)
AGAIN = " again "
"""In the purpose of what is repeated after a day, before its number."""


class State(StrEnum):
    """Where a job is; see the module."""

    PLANNED = "planned"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    UNREADABLE = "unreadable"
    UNKNOWN = "unknown"


OPEN = (State.REFUSED, State.FAILED, State.UNREADABLE, State.UNKNOWN)
"""What did not succeed, and waits for the user's word."""


@dataclass(frozen=True)
class Record:
    """A job in the ledger."""

    key: str
    scope: Scope
    """what its shots are counted with"""
    purpose: str
    """what it is for within the scope: a training step, the draws, a preflight"""
    chunk: int
    """its number among the jobs of the purpose"""
    service: str
    first_row: int
    rows: int
    """parameter rows"""
    first_shot: int
    shots: int
    """of each row"""
    width: int
    """measured bits"""
    state: State = State.PLANNED
    job_id: str | None = None
    message: str = ""
    """the service's words, or ours, about a failure"""
    note: str = ""
    """how the shots came about"""
    attempts: int = 0
    """how often it was sent, as far as is known"""
    planned: float = 0.0
    """when, in seconds since 1970"""
    sent: float | None = None
    ended: float | None = None
    cost: float | None = 0.0
    """US dollars that its attempts cost by the price that was known before; None if none was"""
    charged: str = ""
    """what the service says that it charged"""
    session: str = ""
    """the service's number of the session or batch that it was sent to"""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of its shots: [row, shot, bit]."""
        return (self.rows, self.shots, self.width)

    @property
    def tag(self) -> str:
        """What the job is called at the service."""
        return self.tags[-1]

    @property
    def tags(self) -> tuple[str, ...]:
        """What all of its attempts are called, the last one at the end.

        One tag an attempt: a job sent again is never taken for the one that failed before it.
        """
        more = (f"qhyper-{self.key}-{attempt}" for attempt in range(2, self.attempts + 1))
        return (f"qhyper-{self.key}", *more)

    @property
    def next_tag(self) -> str:
        """What its next attempt will be called."""
        return f"qhyper-{self.key}" + (f"-{self.attempts + 1}" if self.attempts else "")

    @property
    def known(self) -> str:
        """PREFLIGHT or CALIBRATION for a job of known bitstrings, nothing for others."""
        first = self.purpose.split(" ")[0]
        return first if first in KNOWN else ""

    def values(self) -> dict[str, Any]:
        """Its fields in their order as plain values, ready for SQLite and JSON."""
        plain = {name: getattr(self, name) for name in COLUMNS}
        return plain | {"scope": str(self.scope), "state": str(self.state)}


COLUMNS = tuple(field.name for field in fields(Record))


@dataclass(frozen=True)
class Request:
    """Shots that are wanted: rows of one circuit on one service, for one purpose.

    `rows` are the circuit's parameters, [row, parameter]. `circuit` is the circuit's fingerprint.
    `scope` and `purpose` say what it is for, as in Record. `formerly` is what earlier versions
    called the service: jobs that they sent answer it too.
    """

    scope: Scope
    purpose: str
    service: str
    circuit: str
    rows: Rows
    shots: int
    width: int
    formerly: str = ""

    def content(self) -> str:
        """A hash of all that is asked of the service, however it is cut into jobs."""
        return self.contents()[0]

    def contents(self) -> tuple[str, ...]:
        """Its content, and the one that it had by the service's former name."""
        asked = (self.circuit, rows_digest(self.rows), self.shots, self.width)
        names = dict.fromkeys((self.service, self.formerly or self.service))
        return tuple(digest(name, *asked) for name in names)


def rows_digest(rows: Rows) -> str:
    """A hash of parameter rows [row, parameter]."""
    array = np.ascontiguousarray(rows, dtype="<f8")
    return hashlib.sha256(str(array.shape).encode() + array.tobytes()).hexdigest()


def digest(*parts: Any) -> str:
    """A hash of what jobs are told apart by."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()
