"""The one door to quantum computers, shaped like Qiskit's sampler primitive.

A service takes `run([(isa circuit, parameter rows)], shots) -> job`, and gives a job back by its
number on any later day. Everything that costs money goes through it, and through the ledger.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.errors import JobError

Rows = npt.NDArray[np.float64]
"""Parameter rows [row, parameter], columns in the order of the circuit's `parameters`."""
Pub = tuple[Any, Rows]
"""A measured Qiskit circuit in the device's own gates, and the rows of its parameters."""


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


class Unreachable(Exception):  # noqa: N818
    """The service did not answer a question about a job; it may a little later."""


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


class CloudJob(Protocol):
    """A job that a service has taken."""

    job_id: str

    def state(self) -> JobState:
        """What the service says about it; raises Unreachable if it does not answer."""
        ...

    def message(self) -> str:
        """The service's own words about a failed job."""
        ...

    def measured(self, shape: tuple[int, int, int], *, seed: int) -> Measured:
        """What a job that is done measured, of `shape` [row, shot, clbit].

        `seed` is for the order of shots that the service gives as counts alone. Raises JobError
        where there are no such shots, and Unreachable if the service does not answer.
        """
        ...


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
    """

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

        Raises Rejected if the service says for certain that it has not taken the job. Any other
        error leaves that open.
        """

    @abstractmethod
    def job(self, job_id: str) -> CloudJob:
        """A job by its number; raises JobError if the service knows none, or Unreachable."""

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

    def price(self, jobs: int, rows: int, total_shots: int) -> str | None:
        """What so many jobs with so many rows and shots, all of them together, would cost.

        Source and reservations included; None where the vendor's model is not known.
        """
        return "nothing: it is simulated on this machine" if self.local else None

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
    """A job of those that live in this process alone; raises JobError for any other number."""
    job = jobs.get(job_id)
    if job is None:
        again = " Send it again; it costs nothing." * service.local
        raise JobError(
            f"{service} knows no job {job_id}: its jobs can be fetched only by the process that "
            f"sent them.{again}"
        )
    return job


def as_measured(bits: Any, shape: tuple[int, int, int], service: str, note: str = "") -> Measured:
    """Bits that a service returned, checked; raises JobError if they are not zeros and ones."""
    array = np.asarray(bits)
    if array.shape != shape:
        raise JobError(
            f"{service} returned shots of shape {array.shape}; expected [row, shot, bit] = "
            f"{list(shape)}. Nothing was made of them; the job's record is kept."
        )
    if array.dtype.kind not in "bui" or (array.size and (array.min() < 0 or array.max() > 1)):
        raise JobError(f"{service} returned shots that are not zeros and ones; nothing was made "
                       "of them.")  # fmt: skip
    return Measured(np.ascontiguousarray(array, dtype=np.uint8), note)
