"""Azure Quantum: the targets of a workspace, and Microsoft's simulator on this machine.

A job is one circuit, as QIR. Azure leaves it to the client to number a job, so that its number is
made of its tag here: a request that comes twice is the same job, and a lost one is found at once.
"""

import json
import uuid
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from types import SimpleNamespace
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from qhyper.errors import ConfigurationError, JobError, MissingError, unknown
from qhyper.machine import needs
from qhyper.quantum.cloud.door import (
    UNDECIDED,
    CloudJob,
    Denied,
    JobState,
    Limits,
    LocalJob,
    Measured,
    NotFound,
    Pub,
    Rejected,
    Service,
    Unreachable,
    Unreadable,
    kept,
)
from qhyper.quantum.cloud.frequencies import counts_of
from qhyper.quantum.cloud.options import check_flag, check_text
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
_NOT_LET_IN = (401, 403)
_IONQ = "ionq.qpu"
"""How the names of those targets begin for which IonQ debiases unless it is told not to."""
_ENDED_BADLY = (JobState.FAILED, JobState.CANCELLED)


class AzureService(Service):
    """One target of an Azure Quantum workspace.

    - name: "local" for Microsoft's simulator on this machine; otherwise the target's name
      ("ionq.qpu.forte-1", "quantinuum.qpu.h2-1", "rigetti.sim.qvm")
    - resource_id, location: of the workspace, if the environment variables `AZURE_QUANTUM_…` do not
      say which
    - debias: whether IonQ mixes the results of many variants of each circuit, at a higher price;
      off unless asked for, which is not what Azure does by itself

    The account is the one that Azure's own tools are signed in with (`az login`, or the
    environment). A job takes one row. Raises MissingError where a package, the workspace, an
    account or the network is missing; so do `device` and `limits`, and ConfigurationError for an
    unknown target.
    """

    after_colon: ClassVar[str] = "name"
    measures: ClassVar[tuple[str, ...]] = ("debias",)

    def __init__(
        self,
        name: str,
        *,
        resource_id: str | None = None,
        location: str | None = None,
        debias: bool = False,
    ) -> None:
        check_text("resource_id", resource_id)
        check_text("location", location)
        check_flag("debias", debias)
        self.name, self.debias = name, debias
        if debias and not self._by_ionq:
            raise ConfigurationError(
                f"Got debias=True for {self}; only IonQ's computers (ionq.qpu.…) do it. Leave it "
                "out."
            )
        self.local = name == LOCAL
        self.searchable = not self.local
        self._workspace: Any = None if self.local else _workspace(resource_id, location)
        if self.local:
            self.device = _simulator()
        self._jobs: WeakValueDictionary[str, CloudJob] = WeakValueDictionary()
        """of the simulator on this machine, as long as somebody is waiting for them"""

    def __str__(self) -> str:
        return f"azure:{self.name}"

    @property
    def place(self) -> str:
        """Its name as Azure compares it, in any case; see `Service`."""
        return str(self).lower()

    @property
    def _by_ionq(self) -> bool:
        return self.name.lower().startswith(_IONQ)

    @cached_property
    def device(self) -> Any:
        """The target as a Qiskit BackendV2; see `Service`.

        Raises ConfigurationError for an unknown target, MissingError if Azure does not answer or
        the target takes no QIR.
        """
        return _target(self._workspace, self.name)

    @cached_property
    def limits(self) -> Limits:
        """What fits in one job; see `Service`."""
        if self.local:  # it keeps only amplitudes that are not zero: it has no width
            return Limits(None)
        shots = self.device._config.get("max_shots")
        return Limits(self.device.num_qubits, rows=1, shots=shots)

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
        from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

        try:
            with _answers():
                earlier = self._tagged(tag)
                for job in earlier:
                    if job.state() not in _ENDED_BADLY:
                        return job
                number = _number(tag, len(earlier))
                prepared = self._prepared(circuits[0], shots, tag, number)
        except (Unreachable, NotFound) as error:
            raise Rejected(f"Nothing was sent yet: {error}", again=True) from error
        try:
            prepared.submit()
        except ClientAuthenticationError as error:
            raise Denied(words_of(error)) from error
        except HttpResponseError as error:
            status = error.status_code or 0
            if status in _NOT_LET_IN:
                raise Denied(words_of(error)) from error
            if 400 <= status < 500 and status not in UNDECIDED:
                raise Rejected(words_of(error), again=status == 429) from error
            if status != 409:  # then it is there: an earlier reply was lost
                raise
        return AzureJob(self, number)

    def _simulated(self, circuits: Sequence[Any], shots: int, tag: str) -> LocalJob:
        try:
            results = [self.device.run(c, shots=shots).result().results[0] for c in circuits]
        except Exception as error:
            raise Rejected(words_of(error)) from error
        whole, name = SimpleNamespace(results=results), str(self)
        job = LocalJob(tag, lambda shape, seed: measured_of(whole, shape, seed, name))
        self._jobs[tag] = job
        return job

    def preview(self, pubs: Sequence[Pub], shots: int, *, tag: str) -> str:
        """The JSON of each row's job without the places of its data, and its QIR; see `Service`."""
        if self.local:
            return ""
        from azure.quantum import JobDetails

        shown = []
        for circuit, rows in pubs:
            for row in rows:
                described, program = self._described(_bound(circuit, row), shots, tag)
                about = JobDetails(container_uri="", **described).as_dict(exclude_readonly=True)
                del about["containerUri"]
                shown += [json.dumps(about, indent=2), program.decode()]
        return "\n".join(shown)

    def _described(self, circuit: Any, shots: int, tag: str) -> tuple[dict[str, Any], bytes]:
        """What the job of a circuit says of itself, and its program."""
        device, about = self.device, self.device._config.azure
        options = device._get_input_params({}, shots=shots)
        program = device._translate_input(circuit, options)
        if self._by_ionq:
            options["error-mitigation"] = {"debias": self.debias}
        return {
            "name": tag,
            "tags": [tag],
            "target": device.name,
            "provider_id": about["provider_id"],
            "input_data_format": about["input_data_format"],
            "output_data_format": about["output_data_format"],
            "input_params": options,
            "metadata": device._prepare_job_metadata(circuit),
        }, program

    def _prepared(self, circuit: Any, shots: int, tag: str, number: str) -> Any:
        """The job with its input uploaded, not submitted."""
        from azure.quantum import Job

        described, program = self._described(circuit, shots, tag)
        about = self.device._config.azure
        return Job.from_input_data(
            workspace=self._workspace,
            job_id=number,
            input_data=program,
            # a name of its own: what an earlier attempt uploaded cannot be written over
            blob_name=f"{about['blob_name']}-{uuid.uuid4()}",
            content_type=about["content_type"],
            submit_job=False,
            **described,
        )

    def cancel(self, job_id: str) -> None:
        """Ask Azure to cancel a job; ConfigurationError if it has ended. See `Service`."""
        if self.local:
            return super().cancel(job_id)
        state = AzureJob(self, job_id).state()
        if state not in (JobState.QUEUED, JobState.RUNNING):
            raise ConfigurationError(
                f"{self} says that {job_id} is {state}: there is nothing to cancel. Fetch it."
            )
        with _answers():
            self._workspace.cancel_job(self._workspace.get_job(job_id))
        return None

    # -- looking up ---------------------------------------------------------------------------

    def job(self, job_id: str) -> CloudJob:
        """The job with this number; see `Service`."""
        if self.local:
            return kept(self, self._jobs, job_id)
        job = AzureJob(self, job_id)
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
            job = AzureJob(self, _number(tag, len(found)))
            try:
                job.state()
            except NotFound:
                return found
            found.append(job)

    def unavailable(self) -> str | None:
        """Why the target takes no jobs; see `Service`."""
        if self.local:
            return None
        status = self.status()
        if status is None:
            return "the workspace does not list it any more."
        if status.current_availability != "Unavailable":
            return None
        page = f" See {redacted(status.status_page)}." if status.status_page else ""
        return f"the workspace says that it is unavailable.{page}"

    def status(self) -> Any:
        """What the workspace says of the target; None if it does not list it."""
        with _answers():
            listed = self._workspace._get_target_status(self.name)
        return listed[0][1] if listed else None

    def details(self, job_id: str) -> Any:
        """Azure's own job of this number; raises NotFound, Denied or Unreachable."""
        with _answers():
            return self._workspace.get_job(job_id)


class AzureJob:
    """A job in a workspace: a `CloudJob`."""

    def __init__(self, service: AzureService, job_id: str) -> None:
        self.job_id, self._service = job_id, service

    def state(self) -> JobState:
        """What Azure says about the job; see `CloudJob`."""
        told = self._details().status
        status = str(getattr(told, "value", told))
        if status not in _STATES:
            raise Unreachable(f"{self._service} says that the job is '{redacted(status)}'.")
        return _STATES[status]

    def message(self) -> str:
        """The provider's own words about a failed job; raises as the other questions do."""
        error = self._details().error_data
        return "" if error is None else redacted(f"{error.code}: {error.message}")

    def called(self) -> str:
        """The name that the job has in the workspace."""
        return redacted(str(self._details().name or ""))

    def queue(self) -> str:
        """How long jobs wait for the target on average, in words; nothing once it runs."""
        if self.state() != JobState.QUEUED:
            return ""
        wait = getattr(self._service.status(), "average_queue_time", None)
        return "" if wait is None else f"{wait / 60:,.0f} minutes of waiting on average"

    def charged(self) -> str:
        """What Azure estimates that the job costs, in words; nothing if it does not."""
        cost = self._details().cost_estimate
        if cost is None or cost.estimated_total is None:
            return ""
        unit = redacted(str(cost.currency_code))
        return f"{cost.estimated_total:,.2f} {unit} by Azure's estimate"

    def measured(self, shape: tuple[int, int, int], *, seed: int) -> Measured:
        """The shots of the job's one row; see `CloudJob`.

        `seed` is used where the target gives frequencies alone. Raises Unreadable, a
        JobError, if there is no result, or it cannot be read.
        """
        job = self._service.details(self.job_id)
        raw = b""
        try:
            self._check_target(job.details)
            with _answers():
                raw = job.download_data(job.details.output_data_uri)
            # Azure's own code reads what was downloaded, which is kept if it cannot
            job.download_data = lambda address: raw
            return self._read(job, shape, seed)
        except NotFound as error:
            words, cause = f"{self._service} has no result of {self.job_id}: {error}", error
        except JobError as error:
            words, cause = str(error), error
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            words, cause = (
                (
                    f"{self._service} returned a result that cannot be read: {words_of(error)} "
                    "Nothing was made of it; the job's record is kept."
                ),
                error,
            )
        raise Unreadable(words, raw=raw) from cause

    def _read(self, job: Any, shape: tuple[int, int, int], seed: int) -> Measured:
        form = job.details.output_data_format
        if form == _SHOTS_FORMAT:
            data = SimpleNamespace(memory=[_text(shot) for shot in job.get_results_shots()])
        elif form == _FREQUENCIES_FORMAT:
            counts: Counter[str] = Counter()
            found = counts_of(job.get_results(), shape[1], str(self._service))
            for outcome, number in found.items():
                counts[_text(outcome)] += number
            data = SimpleNamespace(counts=counts)
        else:
            raise JobError(
                f"{self._service} returned results of the format {redacted(str(form))}; "
                f"expected {_SHOTS_FORMAT} or {_FREQUENCIES_FORMAT}. Nothing was made of them; "
                "the job's record is kept."
            )
        one = SimpleNamespace(results=[SimpleNamespace(data=data)])
        return measured_of(one, shape, seed, str(self._service))

    def _check_target(self, details: Any) -> None:
        """Raise JobError unless the job ran where it was sent."""
        if str(details.target).lower() != self._service.name.lower():
            raise JobError(
                f"{self._service} says that the job ran on {redacted(repr(details.target))}; "
                f"expected {self._service.name!r}. Nothing was made of it; the job's record is "
                "kept. Is this one of the run's own jobs?"
            )

    def _details(self) -> Any:
        return self._service.details(self.job_id).details


@contextmanager
def _answers() -> Iterator[None]:
    """Errors of Azure's packages as answers: NotFound, Denied or Unreachable."""
    from azure.core.exceptions import (
        AzureError,
        ClientAuthenticationError,
        ResourceNotFoundError,
    )

    try:
        yield
    except ResourceNotFoundError as error:
        raise NotFound(f"Azure knows no such thing: {words_of(error)} Check the number and the "
                       "workspace.") from error  # fmt: skip
    except ClientAuthenticationError as error:
        raise Denied(words_of(error)) from error
    except (AzureError, OSError) as error:
        if getattr(error, "status_code", None) in _NOT_LET_IN:
            raise Denied(words_of(error)) from error
        raise Unreachable(words_of(error)) from error


def _bound(circuit: Any, row: Any) -> Any:
    """The circuit with these parameters, and without the record of where it was placed.

    With that record it is written with the device's own qubits ($0), which QIR does not know; its
    qubits are the same ones, in the same order.
    """
    from qiskit import QuantumCircuit

    plain = QuantumCircuit(*circuit.qregs, *circuit.cregs, name="row")
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
