"""The one door to quantum computers, shaped like Qiskit's sampler primitive.

A service takes `run([(isa circuit, parameter rows)], shots) -> job`, and gives a job back by its
number on any later day. Everything that costs money goes through it, and through the ledger.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError, JobError

Rows = npt.NDArray[np.float64]
"""Parameter rows [row, parameter], columns in the order of the circuit's `parameters`."""
Pub = tuple[Any, Rows]
"""A measured Qiskit circuit in the device's own gates, and its parameters [row, parameter]."""


class JobState(StrEnum):
    """What a service says about a job."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Rejected(Exception):  # noqa: N818 (an answer, not a fault)
    """The service says for certain that it has not taken a job, and charges nothing for it.

    `again`: the same job may be taken a little later (too many requests, a full queue). Whatever
    else `run` raises leaves open whether the job was taken.
    """

    def __init__(self, message: str, *, again: bool = False) -> None:
        super().__init__(message)
        self.again = again


UNDECIDED = (408, 409)
"""Answers 4xx of a server that may have taken the job all the same: too late, a conflict."""


class Unreachable(Exception):  # noqa: N818
    """The service did not answer a question about a job; it may a little later."""


class NotFound(Exception):  # noqa: N818
    """The service knows no such job, for this account and this region at least.

    It may have run all the same, and have been paid for: nobody may take it for one that failed.
    """


class Denied(Exception):  # noqa: N818
    """The service does not let this account in: a login that expired, a key that is wrong."""


class Unreadable(JobError):  # noqa: N818
    """A job is done, and paid for, but what the service returned cannot be read here.

    `raw` is what it returned, as bytes; empty if there was nothing.
    """

    def __init__(self, message: str, *, raw: bytes = b"") -> None:
        super().__init__(message)
        self.raw = raw


@dataclass(frozen=True)
class Price:
    """What jobs would cost: in words, with their source, and as an amount where it is known."""

    words: str
    amount: float | None = None
    """US dollars"""


@dataclass(frozen=True)
class PlannedJobs:
    """Jobs that are alike, whose price is asked for."""

    jobs: int
    rows: int
    """of all jobs together"""
    shots: int
    """of each row"""
    gates: tuple[int, int]
    """one-qubit and two-qubit gates of a row, as the device runs it"""


@dataclass(frozen=True)
class Limits:
    """What fits in one job; None is no limit, or none that is known."""

    qubits: int | None
    rows: int | None = None
    """parameter rows"""
    shots: int | None = None
    """shots of each row"""
    executions: int | None = None
    """rows times shots"""
    gates: int | None = None
    """rows times two-qubit gates"""

    def __str__(self) -> str:
        parts = {"rows": self.rows, "shots a row": self.shots, "rows × shots": self.executions,
                 "rows × two-qubit gates": self.gates}  # fmt: skip
        known = [f"{number:,} {name}" for name, number in parts.items() if number is not None]
        qubits = "qubits not known" if self.qubits is None else f"{self.qubits} qubits"
        return f"{qubits}; a job: {', '.join(known) or 'no limit known'}"


@dataclass(frozen=True)
class Measured:
    """What a job measured."""

    bits: Bits
    """uint8 [row, shot, clbit]"""
    note: str = ""
    """how the shots came about, where they are not as measured one by one"""
    missing: tuple[int, ...] = ()
    """rows that the service did not run, whose bits mean nothing"""


class CloudJob(Protocol):
    """A job that a service has taken.

    It may say more: see `asked`; and which `session` or batch of the service it is in. Its
    questions raise Unreachable if the service does not answer, NotFound if it knows no such
    job, and Denied if it does not let the account in.
    """

    job_id: str

    def state(self) -> JobState:
        """What the service says about it."""
        ...

    def message(self) -> str:
        """The service's own words about a failed job."""
        ...

    def measured(self, shape: tuple[int, int, int], *, seed: int) -> Measured:
        """What a job that is done measured, of `shape` [row, shot, clbit].

        `seed` is for the order of shots that the service gives as counts alone. Raises Unreadable
        where there are no such shots.
        """
        ...


def asked(job: CloudJob, question: str) -> str:
    """The words that a job has for one of the questions it need not answer; none if it has none.

    These are `queue`, the service's words on its state and its place in the queue, and `charged`,
    what the service has charged for it. They raise as the others do.
    """
    return str(getattr(job, question, str)())


class LocalJob:
    """A job that was simulated in this process, and is done: a `CloudJob`.

    `read` makes its shots of a shape [row, shot, clbit] and the seed for the order of counts.
    """

    def __init__(self, job_id: str, read: Callable[[tuple[int, int, int], int], Measured]) -> None:
        self.job_id, self._read = job_id, read

    def state(self) -> JobState:
        """Done, always."""
        return JobState.DONE

    def message(self) -> str:
        """No words: what fails in this process is raised when it is sent."""
        return ""

    def measured(self, shape: tuple[int, int, int], *, seed: int) -> Measured:
        """What the simulator drew; see `CloudJob`."""
        return self._read(shape, seed)


class Service(ABC):
    """Where jobs are sent: one backend of one vendor. Its `str` is the name it is known by.

    A service of one's own sets `limits` and `device`, and says how a job is sent (`run`), found
    again (`job`) and what the service is called (`__str__`). All else has a default.

    `limits` and `device` may be looked up when they are first asked for: fetching, looking up and
    cancelling do without, so that results are in reach when the device is gone.
    """

    measures: ClassVar[Collection[str] | None] = None
    """Names of the options that change what is measured, all unless told: whatever the others are,
    a job is the same job."""
    limits: Limits
    device: Any
    """The Qiskit BackendV2 that circuits are transpiled for."""
    local: bool = False
    """Whether jobs live and end with this process, and cost nothing."""
    searchable: bool = False
    """Whether `find` can find jobs by their tag."""
    retrievable: bool = True
    """Whether `job` gives a job back in another process than the one that sent it. Where it is
    false and jobs cost money, nobody may leave before they are done."""

    @abstractmethod
    def __str__(self) -> str: ...

    @abstractmethod
    def run(self, pubs: Sequence[Pub], shots: int, *, tag: str) -> CloudJob:
        """Send one job, and do not wait for it; `tag` is stored with it where that is possible.

        Each of `pubs` is a circuit and its parameters, float64 [row, parameter]. Raises Rejected if
        the service says for certain that it has not taken the job. Any other error leaves that
        open.
        """

    @abstractmethod
    def job(self, job_id: str) -> CloudJob:
        """A job by its number; raises NotFound, Unreachable or Denied, as its questions do."""

    @property
    def place(self) -> str:
        """The one name of the device, however it was spelt; nothing if that is as it was given."""
        return ""

    def preview(self, pubs: Sequence[Pub], shots: int, *, tag: str) -> str:
        """The very JSON or program that `run` would send; nothing if that is not known.

        `pubs` are those of `run`, each with parameters [row, parameter].
        """
        return ""

    def cancel(self, job_id: str) -> None:
        """Ask the service to cancel a job; raises ConfigurationError if it cannot.

        Raises NotFound, Unreachable or Denied too.
        """
        raise ConfigurationError(f"{self} cannot cancel jobs. Cancel {job_id} at the vendor.")

    def find(self, tag: str) -> list[str]:
        """The numbers of the jobs with this tag, oldest first; raises Unreachable.

        Without a search of its own, a service that is not local never says that there are none.
        """
        if self.local:
            return []
        raise Unreachable(f"{self} cannot look up jobs by their tag {tag}.")

    def unavailable(self) -> str | None:
        """Why it takes no jobs now (maintenance), in the vendor's words; None if it does."""
        return None

    def price(self, planned: Sequence[PlannedJobs]) -> Price | None:
        """What jobs would cost, all of them together, in words with source and reservations.

        None where the vendor's model is not known; raises Unreachable or Denied where it is asked.
        """
        return Price("nothing: it is simulated on this machine", 0.0) if self.local else None

    def about(self, n_bits: int) -> str:
        """What a reader of draws of so many bits has to know of where they come from.

        A few words without a full stop, such as which errors a simulator has; empty for a quantum
        computer, which is what its name says.
        """
        return "simulated on this machine" if self.local else ""

    def sending(self) -> AbstractContextManager[None]:
        """Within, the jobs that are sent belong together (a batch, where the vendor has them)."""
        return nullcontext()

    def close(self) -> None:  # noqa: B027 (most have nothing to close)
        """End what costs money while it is open (a session)."""


def kept(service: Service, jobs: Mapping[str, CloudJob], job_id: str) -> CloudJob:
    """A job of those that live in this process alone; raises NotFound for any other number."""
    job = jobs.get(job_id)
    if job is None:
        again = " Send it again; it costs nothing." * service.local
        raise NotFound(
            f"{service} knows no job {job_id}: its jobs can be fetched only by the process that "
            f"sent them.{again}"
        )
    return job


def as_measured(bits: Any, shape: tuple[int, int, int], service: str, note: str = "") -> Measured:
    """Bits that a service returned, checked; Unreadable if they are not zeros and ones."""
    array = np.asarray(bits)
    if array.shape != shape:
        raise Unreadable(
            f"{service} returned shots of shape {array.shape}; expected [row, shot, bit] = "
            f"{list(shape)}. Nothing was made of them; the job's record is kept."
        )
    if array.dtype.kind not in "bui" or (array.size and (array.min() < 0 or array.max() > 1)):
        raise Unreadable(f"{service} returned shots that are not zeros and ones; nothing was made "
                       "of them.")  # fmt: skip
    return Measured(np.ascontiguousarray(array, dtype=np.uint8), note)
