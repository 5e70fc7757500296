"""Azure Quantum: the targets of a workspace, and Microsoft's simulator on this machine.

A job is one circuit, as QIR. Azure leaves it to the client to number a job, so that its number is
made of its tag here: a request that comes twice is the same job, and a lost one is found at once.
"""

import uuid
import warnings
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from qhyper.errors import JobError, MissingError, unknown
from qhyper.machine import needs
from qhyper.quantum.cloud.door import (
    CloudJob,
    JobState,
    Limits,
    LocalJob,
    Measured,
    Pub,
    Rejected,
    Service,
    Unreachable,
    kept,
)
from qhyper.quantum.cloud.frequencies import counts_of
from qhyper.quantum.cloud.options import check_text
from qhyper.quantum.cloud.qiskit_result import measured_of
from qhyper.quantum.cloud.redaction import redacted, words_of

LOCAL = "local"
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


class AzureService(Service):
    """One target of an Azure Quantum workspace.

    - name: "local" for Microsoft's simulator on this machine; otherwise the target's name
      ("ionq.qpu.forte-1", "quantinuum.qpu.h2-1", "rigetti.sim.qvm")
    - resource_id, location: of the workspace, if the environment variables AZURE_QUANTUM_… do not
      say which

    The account is the one that Azure's own tools are signed in with (`az login`, or the
    environment). A job takes one row. Raises MissingError where a package, the workspace, an
    account or the network is missing, ConfigurationError for an unknown target.
    """

    after_colon: ClassVar[str] = "name"

    def __init__(
        self, name: str, *, resource_id: str | None = None, location: str | None = None
    ) -> None:
        check_text("resource_id", resource_id)
        check_text("location", location)
        self.name = name
        self.local = name == LOCAL
        self.searchable = not self.local
        self._workspace: Any = None if self.local else _workspace(resource_id, location)
        self.device = _simulator() if self.local else _target(self._workspace, name)
        # the simulator on this machine keeps only amplitudes that are not zero: it has no width
        self.limits = (
            Limits(None)
            if self.local
            else Limits(self.device.num_qubits, rows=1, shots=self.device._config.get("max_shots"))
        )
        self._jobs: WeakValueDictionary[str, CloudJob] = WeakValueDictionary()
        """of the simulator on this machine, as long as somebody is waiting for them"""

    def __str__(self) -> str:
        return f"azure:{self.name}"

    # -- sending ------------------------------------------------------------------------------

    def run(self, pubs: Sequence[Pub], shots: int, *, tag: str) -> "AzureJob | LocalJob":
        """Send one job; see `Service`.

        If a job with this tag is there that has not failed, it is taken instead of being paid for
        a second time.
        """
        circuits = [_bound(circuit, row) for circuit, rows in pubs for row in rows]
        if self.local:
            return self._simulated(circuits, shots, tag)
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

    def _simulated(self, circuits: Sequence[Any], shots: int, tag: str) -> LocalJob:
        try:
            results = [self.device.run(c, shots=shots).result().results[0] for c in circuits]
        except Exception as error:
            raise Rejected(words_of(error)) from error
        whole, name = SimpleNamespace(results=results), str(self)
        job = LocalJob(tag, lambda shape, seed: measured_of(whole, shape, seed, name))
        self._jobs[tag] = job
        return job

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

    def job(self, job_id: str) -> CloudJob:
        """The job with this number; see `Service`."""
        if self.local:
            return kept(self, self._jobs, job_id)
        job = AzureJob(self._workspace, job_id, str(self))
        job.state()
        return job

    def find(self, tag: str) -> list[str]:
        """The numbers of the jobs with this tag, oldest first; see `Service`."""
        if self.local:
            return super().find(tag)
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
        """Why the target takes no jobs; see `Service`."""
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
        page = f" See {redacted(status.status_page)}." if status.status_page else ""
        return f"the workspace says that it is unavailable.{page}"


class AzureJob:
    """A job in a workspace: a `CloudJob`.

    All of its questions raise JobError if the workspace has nothing under its number.
    """

    def __init__(self, workspace: Any, job_id: str, service: str) -> None:
        self.job_id, self._workspace, self._service = job_id, workspace, service

    def state(self) -> JobState:
        """What Azure says about the job; see `CloudJob`."""
        told = self._job().details.status
        status = str(getattr(told, "value", told))
        if status not in _STATES:
            raise Unreachable(f"{self._service} says that the job is '{redacted(status)}'.")
        return _STATES[status]

    def message(self) -> str:
        """The provider's own words about a failed job; raises Unreachable."""
        error = self._job().details.error_data
        return "" if error is None else redacted(f"{error.code}: {error.message}")

    def measured(self, shape: tuple[int, int, int], *, seed: int) -> Measured:
        """The shots of the job's one row; see `CloudJob`.

        `seed` is used where the target gives frequencies alone.
        """
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
                    f"{self._service} returned results of the format {redacted(str(form))}; "
                    f"expected {_SHOTS_FORMAT} or {_FREQUENCIES_FORMAT}. Nothing was made of them."
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

    def _ask(self, question: Callable[[], Any]) -> Any:
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
    with needs("azure", "Azure Quantum"):
        from qdk.qiskit import QSharpBackend
    return QSharpBackend(skip_transpilation=True)


def _workspace(resource_id: str | None, location: str | None) -> Any:
    with needs("azure", "Azure Quantum"):
        from azure.core.exceptions import AzureError
        from azure.quantum import Workspace
    try:
        return Workspace(resource_id=resource_id, location=location)
    except ValueError as error:
        raise MissingError(
            f"Azure does not know which workspace: {words_of(error)} Give the option "
            "resource_id, or set AZURE_QUANTUM_SUBSCRIPTION_ID, AZURE_QUANTUM_WORKSPACE_RG and "
            "AZURE_QUANTUM_WORKSPACE_NAME; sign in with `az login`. azure:local needs none of them."
        ) from error
    except (AzureError, OSError, RuntimeError) as error:
        raise _silent(error) from error


def _target(workspace: Any, name: str) -> Any:
    """The target as a Qiskit BackendV2."""
    with needs("azure", "Azure Quantum"), warnings.catch_warnings():
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
        raise unknown("Azure Quantum target", name, [LOCAL, *listed]) from error
    except (AzureError, OSError, RuntimeError) as error:
        raise _silent(error) from error
    if not isinstance(found, AzureQirBackend):
        raise MissingError(f"azure:{name} takes no QIR. Use another target.")
    return found


def _silent(error: Exception) -> MissingError:
    return MissingError(
        f"Azure Quantum said nothing: {words_of(error)} Either there is no network, or Azure does "
        "not know you or your workspace: sign in with `az login`, and check the resource ID. "
        "azure:local needs neither."
    )
