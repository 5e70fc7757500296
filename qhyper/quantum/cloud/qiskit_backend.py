"""Any Qiskit `BackendV2`: memory where it gives it, else counts, else an error."""

import inspect
from collections.abc import MutableMapping, Sequence
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from qhyper.errors import ConfigurationError, JobError
from qhyper.quantum.cloud.door import (
    CloudJob,
    JobState,
    Limits,
    Measured,
    Pub,
    Rejected,
    Service,
    Unreachable,
    kept,
)
from qhyper.quantum.cloud.options import check_flag, check_whole
from qhyper.quantum.cloud.qiskit_result import measured_of, state_of
from qhyper.quantum.cloud.redaction import redacted, words_of
from qhyper.registry import load_object

_SIMULATORS = (
    "qiskit_aer.",
    "qiskit.providers.basic_provider",
    "qiskit.providers.fake_provider",
    "qiskit_ibm_runtime.fake_provider",
    "qiskit_braket_provider.providers.braket_backend.BraketLocalBackend",
    "iqm.qiskit_iqm.fake_backends",
)
"""Where the classes are that run within this process."""


class QiskitService(Service):
    """A Qiskit `BackendV2` as a service, `qiskit:MODULE:OBJECT`.

    - target: the backend, or `module:object` of one, or of a class or function without arguments
      that gives one
    - memory: whether shots are asked for one by one, where `run` of the backend takes the option;
      without them its counts are expanded, in a random order whose seed is recorded
    - max_shots: of a row in a job, where the backend has a limit
    - local: whether it costs nothing, and its jobs end with this process; unless told this holds
      for the simulators of Qiskit, IBM, Amazon and IQM alone

    The backend is asked for jobs by their number with its `retrieve_job`; without one, jobs can be
    fetched only by the process that sent them. Jobs cannot be found by a tag. Raises
    ConfigurationError if the target is no such backend, or for an option that cannot be.
    """

    after_colon: ClassVar[str] = "target"
    forms: ClassVar[tuple[str, ...]] = ("qiskit:module:object",)

    def __init__(
        self,
        target: Any,
        *,
        memory: bool = True,
        max_shots: int | None = None,
        local: bool | None = None,
    ) -> None:
        for what, flag in (("memory", memory), ("local", local)):
            check_flag(what, flag)
        check_whole("max_shots", max_shots)
        self.device = _backend(target)
        self._name = f"qiskit:{target if isinstance(target, str) else self.device.name}"
        self.local = _is_simulator(self.device) if local is None else local
        self.retrievable = self.local or hasattr(self.device, "retrieve_job")
        self.memory = bool(memory) and _takes_memory(self.device)
        self.limits = Limits(
            qubits=self.device.num_qubits,
            rows=getattr(self.device, "max_circuits", None),
            shots=max_shots,
        )
        # a job that was paid for and cannot be asked for again is held to the end
        self._jobs: MutableMapping[str, CloudJob] = (
            WeakValueDictionary() if self.retrievable else {}
        )

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
        if self.local or not self.retrievable or job_id in self._jobs:
            return kept(self, self._jobs, job_id)
        try:
            return QiskitJob(self, self.device.retrieve_job(job_id))
        except Exception as error:  # an unknown job and no network are told apart by no rule
            raise Unreachable(words_of(error)) from error

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
        """What it measured; see `CloudJob` and `measured_of`.

        Raises JobError if the job failed after all, Unreachable if nothing answers.
        """
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
