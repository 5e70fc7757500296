"""Azure Quantum: the targets of a workspace, and Microsoft's simulator on this machine.

A job is one circuit, as QIR. Azure leaves it to the client to number a job, so that its number is
made of its tag here: a request that comes twice is the same job, and a lost one is found at once.
"""

import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from qhyper.errors import JobError, MissingError, unknown
from qhyper.quantum.cloud.door import JobState, Limits, Measured, Pub, Rejected, Unreachable
from qhyper.quantum.cloud.frequencies import counts_of
from qhyper.quantum.cloud.qiskit_result import measured_of
from qhyper.quantum.cloud.redaction import words_of

LOCAL = "local"
_LOCAL_QUBITS = 30
_SHOTS_FORMAT = "microsoft.quantum-results.v2"
_FREQUENCIES_FORMAT = "microsoft.quantum-results.v1"
_STATES = {
    "Waiting": JobState.QUEUED,
    "Queued": JobState.QUEUED,
    "Executing": JobState.RUNNING,
    "Finishing": JobState.RUNNING,
    "CancellationRequested": JobState.RUNNING,
    "Cancelling": JobState.RUNNING,
    "Completed": JobState.DONE,
    "Succeeded": JobState.DONE,
    "Failed": JobState.FAILED,
    "Cancelled": JobState.CANCELLED,
}
_ENDED_BADLY = (JobState.FAILED, JobState.CANCELLED)


class AzureService:
    """One target of an Azure Quantum workspace.

    - name: "local" for Microsoft's simulator on this machine; otherwise the target's name
      ("ionq.qpu.forte-1", "quantinuum.qpu.h2-1", "rigetti.sim.qvm")
    - resource_id, location: of the workspace, if the environment variables AZURE_QUANTUM_… do not
      say which

    The account is the one that Azure's own tools are signed in with (`az login`, or the
    environment). A job takes one row. Raises MissingError where a package, the workspace, an
    account or the network is missing, ConfigurationError for an unknown target.
    """

    def __init__(
        self, name: str, *, resource_id: str | None = None, location: str | None = None
    ) -> None:
        self.name = name
        self.local = name == LOCAL
        self.searchable = not self.local
        self._workspace: Any = None if self.local else _workspace(resource_id, location)
        self.device = _simulator() if self.local else _target(self._workspace, name)
        self.limits = (
            Limits(_LOCAL_QUBITS)
            if self.local
            else Limits(
                self.device.num_qubits or 0, rows=1, shots=self.device._config.get("max_shots")
            )
        )

    def __str__(self) -> str:
        return f"azure:{self.name}"

    # -- sending ------------------------------------------------------------------------------

    def run(self, pubs: Sequence[Pub], shots: int, *, tag: str) -> "AzureJob | LocalJob":
        """Send one job.

        If a job with this tag is there that has not failed, it is taken instead of being paid for
        a second time.
        """
        circuits = [_bound(circuit, row) for circuit, rows in pubs for row in rows]
        if self.local:
            return LocalJob(self.device, circuits, shots, tag, str(self))
        if len(circuits) != 1:
            raise Rejected(f"{self} takes one row a job; got {len(circuits)}")
        from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

        try:
            earlier = self._tagged(tag)
            for job in earlier:
                if job.state() not in _ENDED_BADLY:
                    return job
            number = _number(tag, len(earlier))
            prepared = self._prepared(circuits[0], shots, tag, number)
        except ClientAuthenticationError as error:
            raise Rejected(words_of(error)) from error
        except (AzureError, Unreachable, OSError) as error:
            raise Rejected(f"Nothing was sent yet: {words_of(error)}", again=True) from error
        try:
            prepared.submit()
        except ClientAuthenticationError as error:
            raise Rejected(words_of(error)) from error
        except HttpResponseError as error:
            status = error.status_code or 0
            if status == 409:  # it is there: an earlier reply was lost
                return AzureJob(self._workspace, number, str(self))
            if 400 <= status < 500:
                raise Rejected(words_of(error), again=status == 429) from error
            raise
        return AzureJob(self._workspace, number, str(self))

    def _prepared(self, circuit: Any, shots: int, tag: str, number: str) -> Any:
        """The job with its input uploaded, not submitted."""
        from azure.quantum import Job

        device = self.device
        options = device._get_input_params({}, shots=shots)
        program = device._translate_input(circuit, options)
        about = device._config.azure
        return Job.from_input_data(
            workspace=self._workspace,
            name=tag,
            job_id=number,
            tags=[tag],
            target=device.name,
            provider_id=about["provider_id"],
            input_data=program,
            # a name of its own: what an earlier attempt uploaded cannot be written over
            blob_name=f"{about['blob_name']}-{uuid.uuid4()}",
            content_type=about["content_type"],
            input_data_format=about["input_data_format"],
            output_data_format=about["output_data_format"],
            input_params=options,
            metadata=device._prepare_job_metadata(circuit),
            submit_job=False,
        )

    # -- looking up ---------------------------------------------------------------------------

    def job(self, job_id: str) -> "AzureJob":
        """The job with this number."""
        if self.local:
            raise JobError(f"{self} keeps no jobs: {job_id} ended with the process that ran it.")
        job = AzureJob(self._workspace, job_id, str(self))
        job.state()
        return job

    def find(self, tag: str) -> list[str]:
        """The jobs with this tag, oldest first; raises Unreachable."""
        return [job.job_id for job in self._tagged(tag)]

    def _tagged(self, tag: str) -> "list[AzureJob]":
        """A job that is sent again after it failed has the next number that the tag makes."""
        found: list[AzureJob] = []
        while True:
            job = AzureJob(self._workspace, _number(tag, len(found)), str(self))
            try:
                job.state()
            except JobError:
                return found
            found.append(job)

    def unavailable(self) -> str | None:
        """Why the target takes no jobs."""
        if self.local:
            return None
        try:
            (status,) = [s for _, s in self._workspace._get_target_status(self.name)]
        except ValueError:
            return "the workspace does not list it any more."
        except Exception as error:
            return f"Azure does not answer: {words_of(error)}"
        if status.current_availability != "Unavailable":
            return None
        page = f" See {status.status_page}." if status.status_page else ""
        return f"the workspace says that it is unavailable.{page}"

    def price(self, jobs: int, rows: int, shots: int) -> str | None:
        """Each provider at Azure has its own prices."""
        return "nothing: it is simulated on this machine" if self.local else None

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Jobs do not belong together: no session is opened."""
        yield

    def close(self) -> None:
        """Nothing costs money while it is open."""


class AzureJob:
    """A job in a workspace."""

    def __init__(self, workspace: Any, job_id: str, service: str) -> None:
        self.job_id, self._workspace, self._service = job_id, workspace, service

    def state(self) -> JobState:
        """What Azure says about the job."""
        told = self._job().details.status
        status = str(getattr(told, "value", told))
        if status not in _STATES:
            raise Unreachable(f"{self._service} says that the job is '{status}'")
        return _STATES[status]

    def message(self) -> str:
        """Why it failed."""
        error = self._job().details.error_data
        return "" if error is None else f"{error.code}: {error.message}"

    def measured(self, shape: tuple[int, int, int], *, seed: int) -> Measured:
        """The shots; where the target gives frequencies alone, they are expanded."""
        job = self._job()
        form = job.details.output_data_format
        try:
            if form == _SHOTS_FORMAT:
                shots = self._ask(job.get_results_shots)
                data = SimpleNamespace(memory=[_text(shot) for shot in shots])
            elif form == _FREQUENCIES_FORMAT:
                shares: dict[str, float] = {}
                for outcome, share in self._ask(job.get_results).items():
                    shares[_text(outcome)] = shares.get(_text(outcome), 0.0) + share
                data = SimpleNamespace(counts=counts_of(shares, shape[1], self._service))
            else:
                raise JobError(
                    f"{self._service} returned results of the format {form}; expected "
                    f"{_SHOTS_FORMAT} or {_FREQUENCIES_FORMAT}. Nothing was made of them."
                )
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise JobError(
                f"{self._service} returned a result that cannot be read: {words_of(error)} "
                "Nothing was made of it; the job's record is kept."
            ) from error
        one = SimpleNamespace(results=[SimpleNamespace(data=data)])
        return measured_of(one, shape, seed, self._service)

    def _job(self) -> Any:
        return self._ask(lambda: self._workspace.get_job(self.job_id))

    def _ask(self, question: Any) -> Any:
        from azure.core.exceptions import AzureError, ResourceNotFoundError

        try:
            return question()
        except ResourceNotFoundError as error:
            raise JobError(
                f"{self._service} has nothing under {self.job_id}: {words_of(error)} Check the "
                "number and the workspace."
            ) from error
        except (AzureError, OSError) as error:
            raise Unreachable(words_of(error)) from error


class LocalJob:
    """A job that this machine simulates."""

    def __init__(
        self, device: Any, circuits: Sequence[Any], shots: int, tag: str, service: str
    ) -> None:
        self.job_id, self._service = tag, service
        self._results = [
            device.run(circuit, shots=shots).result().results[0] for circuit in circuits
        ]

    def state(self) -> JobState:
        """It is done."""
        return JobState.DONE

    def message(self) -> str:
        """Nothing went wrong."""
        return ""

    def measured(self, shape: tuple[int, int, int], *, seed: int) -> Measured:
        """The simulator's counts, expanded."""
        return measured_of(SimpleNamespace(results=self._results), shape, seed, self._service)


def _bound(circuit: Any, row: Any) -> Any:
    """The circuit with these parameters, and without the record of where it was placed.

    With that record it is written with the device's own qubits ($0), which QIR does not know; its
    qubits are the same ones, in the same order.
    """
    from qiskit import QuantumCircuit

    plain = QuantumCircuit(*circuit.qregs, *circuit.cregs)
    return plain.compose(circuit.assign_parameters(row))


def _number(tag: str, attempt: int) -> str:
    """The number of a job with this tag, after so many that failed."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{tag}-{attempt}"))


def _text(shot: Any) -> str:
    """A shot as a bitstring with clbit 0 last: a list of bits, a tuple of registers, or its text.

    A qubit that was lost has neither 0 nor 1, and is kept for the reader to refuse.
    """
    if isinstance(shot, str):
        return shot.replace("[", "").replace("]", "").replace(",", "").replace(" ", "")
    if isinstance(shot, tuple):
        return "".join(_text(register) for register in shot)
    return "".join(str(bit) for bit in shot)


def _simulator() -> Any:
    with _installed():
        from qdk.qiskit import QSharpBackend
    return QSharpBackend(skip_transpilation=True)


def _workspace(resource_id: str | None, location: str | None) -> Any:
    with _installed():
        from azure.core.exceptions import AzureError
        from azure.quantum import Workspace
    try:
        return Workspace(resource_id=resource_id, location=location)
    except ValueError as error:
        raise MissingError(
            f"Azure does not know which workspace: {' '.join(str(error).split())} Give the option "
            "resource_id, or set AZURE_QUANTUM_SUBSCRIPTION_ID, AZURE_QUANTUM_WORKSPACE_RG and "
            "AZURE_QUANTUM_WORKSPACE_NAME; sign in with `az login`."
        ) from error
    except (AzureError, OSError, RuntimeError) as error:
        raise _silent(error) from error


def _target(workspace: Any, name: str) -> Any:
    """The target as a Qiskit BackendV2."""
    with _installed(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it imports a package of an old name
        from azure.core.exceptions import AzureError
        from azure.quantum.qiskit import AzureQuantumProvider
        from azure.quantum.qiskit.backends.backend import AzureQirBackend
        from qiskit.providers.exceptions import QiskitBackendNotFoundError
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of its own parts
            found = AzureQuantumProvider(workspace).get_backend(name)
    except QiskitBackendNotFoundError as error:
        listed = [status.id for _, status in workspace._get_target_status()]
        raise unknown("Azure Quantum target", name, listed) from error
    except (AzureError, OSError, RuntimeError) as error:
        raise _silent(error) from error
    if not isinstance(found, AzureQirBackend):
        raise MissingError(f"azure:{name} takes no QIR. Use another target.")
    return found


def _silent(error: Exception) -> MissingError:
    return MissingError(
        f"Azure Quantum said nothing: {words_of(error)} Either there is no network, or Azure does "
        "not know you or your workspace: sign in with `az login`, and check the resource ID."
    )


@contextmanager
def _installed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise MissingError(
            f"Azure Quantum needs packages that are not installed ({error}). Install them with "
            'pip install "qhyper[azure]".'
        ) from error
