"""Any Qiskit `BackendV2`: memory where it gives it, else counts, else an error."""

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from qhyper.errors import ConfigurationError, JobError
from qhyper.names import load_object
from qhyper.quantum.cloud.door import (
    CloudJob,
    JobState,
    Limits,
    Measured,
    Pub,
    Rejected,
    Unreachable,
)
from qhyper.quantum.cloud.qiskit_result import measured_of, state_of
from qhyper.quantum.cloud.redaction import redacted, words_of

_SIMULATORS = (
    "qiskit_aer.",
    "qiskit.providers.basic_provider",
    "qiskit.providers.fake_provider",
    "qiskit_ibm_runtime.fake_provider",
    "qiskit_braket_provider.providers.braket_backend.BraketLocalBackend",
    "iqm.qiskit_iqm.fake_backends",
)
"""Where the classes are that run within this process."""


class QiskitService:
    """A Qiskit `BackendV2` as a service, `qiskit:MODULE:OBJECT`.

    - target: the backend, or `module:object` of one, or of a class or function without arguments
      that gives one
    - memory: whether shots are asked for one by one, where `run` of the backend takes the option;
      without them its counts are expanded, in a random order whose seed is recorded
    - max_shots: of a row in a job, where the backend has a limit
    - local: whether it costs nothing, and its jobs end with this process; unless told this holds
      for the simulators of Qiskit, IBM, Amazon and IQM alone

    The backend is asked for jobs by their number with its `retrieve_job`, if it has one. Jobs
    cannot be found by a tag. Raises ConfigurationError if the target is no such backend.
    """

    searchable = False

    def __init__(
        self,
        target: Any,
        *,
        memory: bool = True,
        max_shots: int | None = None,
        local: bool | None = None,
    ) -> None:
        self.device = _backend(target)
        self._name = f"qiskit:{target if isinstance(target, str) else self.device.name}"
        self.local = _is_simulator(self.device) if local is None else local
        self.memory = memory and _takes_memory(self.device)
        if max_shots is not None and (isinstance(max_shots, bool) or max_shots < 1):
            raise ConfigurationError(f"Got max_shots={max_shots!r}; expected a number from 1.")
        self.limits = Limits(
            qubits=self.device.num_qubits or 0,
            rows=getattr(self.device, "max_circuits", None),
            shots=max_shots,
        )
        self._jobs: dict[str, QiskitJob] = {}

    def __str__(self) -> str:
        return self._name

    def run(self, pubs: Sequence[Pub], shots: int, *, tag: str) -> "QiskitJob":
        """Send one job; see `Service`. The tag stays here."""
        bound = [circuit.assign_parameters(row) for circuit, rows in pubs for row in rows]
        options = {"memory": True} if self.memory else {}
        try:
            taken = self.device.run(bound, shots=shots, **options)
        except Exception as error:
            if self.local:
                raise Rejected(words_of(error)) from error
            raise  # it may have been sent: nobody but the vendor knows
        job = QiskitJob(self, taken)
        self._jobs[job.job_id] = job
        return job

    def job(self, job_id: str) -> CloudJob:
        """A job by its number; see `Service`."""
        if job_id in self._jobs:
            return self._jobs[job_id]
        if not hasattr(self.device, "retrieve_job"):
            raise JobError(
                f"{self} knows no job {job_id}: this backend cannot give a job back, so that its "
                "jobs can be fetched only by the process that sent them."
            )
        try:
            return QiskitJob(self, self.device.retrieve_job(job_id))
        except Exception as error:  # an unknown job and no network are told apart by no rule
            raise Unreachable(words_of(error)) from error

    def find(self, tag: str) -> list[str]:
        """Nothing: a BackendV2 has no tags."""
        return []

    def unavailable(self) -> str | None:
        """Why it takes no jobs now, where the backend says so; see `Service`."""
        if not callable(getattr(self.device, "status", None)):
            return None
        try:
            status = self.device.status()
        except Exception as error:
            return f"its status cannot be read: {words_of(error)}"
        if getattr(status, "operational", True):
            return None
        return f"{redacted(str(getattr(status, 'status_msg', ''))) or 'it is not operational'}."

    def price(self, jobs: int, rows: int, shots: int) -> str | None:
        """Nothing for a simulator, else not known."""
        return "nothing: it is simulated on this machine" if self.local else None

    def sending(self) -> AbstractContextManager[None]:
        """Nothing: every job is sent by itself."""
        return nullcontext()

    def close(self) -> None:
        """Nothing: there is nothing open."""


class QiskitJob:
    """A job of a Qiskit backend: a `CloudJob`."""

    def __init__(self, service: QiskitService, job: Any) -> None:
        self._service, self._job = service, job
        self.job_id = str(job.job_id())

    def state(self) -> JobState:
        """What the backend says about it; see `CloudJob`."""
        try:
            return state_of(self._job.status())
        except Exception as error:
            raise Unreachable(words_of(error)) from error

    def message(self) -> str:
        """The backend's own words about a failed job."""
        try:
            if callable(getattr(self._job, "error_message", None)):
                return redacted(str(self._job.error_message() or ""))
            return redacted(str(self._job.result().status))
        except Exception as error:
            return words_of(error)

    def measured(self, shape: tuple[int, int, int], *, seed: int) -> Measured:
        """What it measured; see `CloudJob` and `measured_of`."""
        from qiskit.providers import JobError as QiskitJobError

        try:
            result = self._job.result()
        except Exception as error:
            if self._service.local or isinstance(error, QiskitJobError):
                raise JobError(f"{self._service} gave no result: {words_of(error)}") from error
            raise Unreachable(words_of(error)) from error
        return measured_of(result, shape, seed, str(self._service))


def _backend(target: Any) -> Any:
    from qiskit.providers import BackendV2

    found = load_object(target) if isinstance(target, str) else target
    if callable(found) and not isinstance(found, BackendV2):
        try:
            found = found()
        except Exception as error:
            raise ConfigurationError(
                f"Calling '{target}' without arguments gave {words_of(error)} Expected a Qiskit "
                "BackendV2, or a class or function without arguments that gives one."
            ) from error
    if not isinstance(found, BackendV2):
        raise ConfigurationError(
            f"Got {type(found).__name__} for the backend qiskit:{target}; expected a Qiskit "
            "BackendV2, or a class or function without arguments that gives one."
        )
    return found


def _is_simulator(backend: Any) -> bool:
    paths = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(backend).__mro__]
    return any(path.startswith(_SIMULATORS) for path in paths)


def _takes_memory(backend: Any) -> bool:
    """Whether `run` takes the option; asked beforehand, as a refused call could have sent a job."""
    parameters = inspect.signature(backend.run).parameters.values()
    return any(p.name == "memory" or p.kind is p.VAR_KEYWORD for p in parameters)
