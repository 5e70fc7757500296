"""Amazon Braket: IonQ, IQM, Rigetti and others through one door, and Braket's local simulators.

A job is one quantum task: a program set of all its rows, as `BraketSampler` makes them. It is not
sent with `BraketSampler`, which opens a new connection for each job and has no way to say who asks:
here a job carries a client token made of its tag, by which AWS itself knows a request that comes
twice.
"""

import os
import warnings
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import numpy as np

from qhyper.errors import ConfigurationError, JobError, MissingError, nearest, unknown
from qhyper.machine import needs
from qhyper.quantum.cloud.door import (
    CloudJob,
    JobState,
    Limits,
    LocalJob,
    Measured,
    Price,
    Pub,
    Rejected,
    Service,
    Unreachable,
    as_measured,
    kept,
)
from qhyper.quantum.cloud.frequencies import counts_of
from qhyper.quantum.cloud.options import check_text
from qhyper.quantum.cloud.qiskit_result import measured_of
from qhyper.quantum.cloud.redaction import redacted, words_of

TAG = "qhyper"
"""The key of the AWS tag that says which job a task is."""
LOCAL = {"local": "braket_sv", "braket_sv": "braket_sv", "braket_dm": "braket_dm"}
TASK_FEE = 0.30
"""US dollars for a task on a quantum computer, beside the price of its shots."""

_STATES = {
    "CREATED": JobState.QUEUED,
    "QUEUED": JobState.QUEUED,
    "RUNNING": JobState.RUNNING,
    "CANCELLING": JobState.RUNNING,
    "COMPLETED": JobState.DONE,
    "FAILED": JobState.FAILED,
    "CANCELLED": JobState.CANCELLED,
}
_ENDED_BADLY = ("FAILED", "CANCELLED")
_LATER = ("ThrottlingException", "TooManyRequestsException", "ServiceQuotaExceededException")
"""A full queue is a quota too."""
_GONE = ("ResourceNotFoundException", "ValidationException", "NoSuchKey", "NoSuchBucket")


class BraketService(Service):
    """One device of Amazon Braket.

    - name: "local" for the state vector simulator on this machine (also "braket_dm"); otherwise
      the device's name ("Ankaa-3", "Garnet", "Forte 1", "SV1") or its ARN
    - region: the AWS region that is asked first, instead of the one that AWS is configured with

    The account is the one that AWS's own tools are configured with (`aws configure`, AWS_PROFILE).
    Raises MissingError where a package, an account or the network is missing, ConfigurationError
    for an unknown device or one that takes no program sets.
    """

    after_colon: ClassVar[str] = "name"

    def __init__(self, name: str, *, region: str | None = None) -> None:
        check_text("region", region)
        self.name = name
        self.local = name in LOCAL
        self.searchable = not self.local
        self.device = _local(LOCAL[name]) if self.local else _on_aws(name, region)
        self._braket = self.device._device
        self._there: dict[str, list[dict[str, Any]]] | None = None
        """the tasks that were there before the first job was sent, by their tag"""
        self._jobs: WeakValueDictionary[str, CloudJob] = WeakValueDictionary()
        """of a local simulator, as long as somebody is waiting for them"""
        self.limits = self._limits()

    def __str__(self) -> str:
        return f"braket:{self.name}"

    # -- sending ------------------------------------------------------------------------------

    def run(self, pubs: Sequence[Pub], shots: int, *, tag: str) -> "BraketJob | LocalJob":
        """Send one job as one task; see `Service`.

        If a task with this tag is there that has not failed, it is taken instead of being paid for
        a second time.
        """
        programs = self._programs(pubs, shots)
        if self.local:
            return self._simulated(programs, tag)
        try:
            if self._there is None:
                self._there = self._tasks()
            earlier = self._there.get(tag, [])
            bucket, folder = self._destination()
        except Exception as error:
            raise Rejected(f"Nothing was sent yet: {words_of(error)}", again=True) from error
        for task in earlier:
            if task["status"] not in _ENDED_BADLY:
                return self._job(task["quantumTaskArn"])
        # AWS answers a token that it knows with the task that it stands for
        return self._job(
            self._create(
                clientToken=f"{tag}-{len(earlier)}",
                deviceArn=self._braket.arn,
                shots=programs.total_shots,
                outputS3Bucket=bucket,
                outputS3KeyPrefix=folder,
                action=programs.to_ir().json(),
                tags={TAG: tag},
            )
        )

    def _simulated(self, programs: Any, tag: str) -> LocalJob:
        try:
            task = self._braket.run(programs, shots=None)
        except Exception as error:
            raise Rejected(words_of(error)) from error
        name = str(self)
        job = LocalJob(tag, lambda shape, seed: _measured(task.result(), shape, seed, name))
        self._jobs[tag] = job
        return job

    def _create(self, **request: Any) -> str:
        from botocore.exceptions import ClientError, NoCredentialsError, ParamValidationError

        try:
            return self._braket.aws_session.create_quantum_task(**request)
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code = error.response.get("Error", {}).get("Code", "")
            if code in _LATER or 400 <= status < 500:
                raise Rejected(words_of(error), again=code in _LATER) from error
            raise
        except (ParamValidationError, NoCredentialsError) as error:  # before anything is sent
            raise Rejected(words_of(error)) from error

    def _programs(self, pubs: Sequence[Pub], shots: int) -> Any:
        """The program set, one executable a row, in the order of the rows."""
        from braket.program_sets import CircuitBinding, ParameterSets, ProgramSet
        from qiskit_braket_provider import to_braket
        from qiskit_braket_provider.providers.adapter import rename_parameter

        entries: list[Any] = []
        for circuit, rows in pubs:
            # the adapter writes into the gates it is given, and warns of a phase that nobody sees
            copied = circuit.copy()
            column = {parameter: k for k, parameter in enumerate(copied.parameters)}
            copied.global_phase = 0
            program = to_braket(
                copied,
                qubit_labels=self.device.qubit_labels,
                target=self.device.target,
                # a quantum computer is given the circuit on the qubits that it was placed on
                verbatim=self._is_qpu(),
            )
            values = {
                rename_parameter(parameter): rows[:, column[parameter]].tolist()
                for parameter in copied.parameters
            }
            if values:
                entries.append(CircuitBinding(program, input_sets=ParameterSets(values)))
            else:
                entries += [program] * len(rows)
        return ProgramSet(entries, shots_per_executable=shots)

    def _destination(self) -> tuple[str, str]:
        """The bucket and folder of the results, as the SDK chooses them."""
        from braket.aws import AwsSession

        if chosen := os.environ.get("AMZN_BRAKET_TASK_RESULTS_S3_URI"):
            return AwsSession.parse_s3_uri(chosen)
        return self._braket.aws_session.default_bucket(), "tasks"

    # -- looking up ---------------------------------------------------------------------------

    def job(self, job_id: str) -> CloudJob:
        """The task with this ARN; see `Service`."""
        if self.local:
            return kept(self, self._jobs, job_id)
        job = self._job(job_id)
        job.state()
        return job

    def find(self, tag: str) -> list[str]:
        """The ARNs of the tasks with this tag, oldest first; see `Service`."""
        if self.local:
            return super().find(tag)
        try:
            return [task["quantumTaskArn"] for task in self._tasks().get(tag, [])]
        except Exception as error:
            raise Unreachable(words_of(error)) from error

    def unavailable(self) -> str | None:
        """Why the device takes no tasks, and when it does; see `Service`."""
        if self.local:
            return None
        try:
            status = self._braket.aws_session.get_device(self._braket.arn)["deviceStatus"]
        except Exception as error:
            return f"AWS does not answer: {words_of(error)}"
        if status == "ONLINE":
            return None
        windows = ", ".join(
            f"{window.executionDay.value} {window.windowStartHour:%H:%M} to "
            f"{window.windowEndHour:%H:%M} UTC"
            for window in self._braket.properties.service.executionWindows
        )
        return f"its status is {redacted(str(status))}. It runs tasks {windows}."

    def about(self, n_bits: int) -> str:
        """Which devices of Amazon's are simulators; see `Service`."""
        return super().about(n_bits) if self.local or self._is_qpu() else "simulated by Amazon"

    def price(self, jobs: int, rows: int, total_shots: int) -> Price | None:
        """By the device's own data at AWS and the fee for a task; see `Service`."""
        if self.local:
            return super().price(jobs, rows, total_shots)
        cost = self._braket.properties.service.deviceCost
        if cost is None:
            return None
        if str(cost.unit).lower() not in ("shot", "shots"):
            return Price(f"{cost.price:g} US dollars a {cost.unit} (the device's own data at AWS)")
        total = jobs * TASK_FEE + total_shots * cost.price
        return Price(
            f"about {total:,.2f} US dollars: {jobs:,} tasks at {TASK_FEE:.2f} (Amazon Braket's "
            f"pricing page) and {total_shots:,} shots at {cost.price:g} (the device's own data at "
            "AWS); other prices hold for reservations",
            total,
        )

    # -- shared -------------------------------------------------------------------------------

    def _job(self, arn: str) -> "BraketJob":
        return BraketJob(self._braket.aws_session, arn, str(self))

    def _tasks(self) -> dict[str, list[dict[str, Any]]]:
        """All tasks of this device by their tag, oldest first.

        AWS offers no filter by tag, and does not say in which order it lists them.
        """
        pages = self._braket.aws_session.braket_client.get_paginator("search_quantum_tasks")
        of_device = {"name": "deviceArn", "operator": "EQUAL", "values": [self._braket.arn]}
        found: dict[str, list[dict[str, Any]]] = {}
        for page in pages.paginate(filters=[of_device], PaginationConfig={"PageSize": 100}):
            for task in page["quantumTasks"]:
                if tag := task.get("tags", {}).get(TAG):
                    found.setdefault(tag, []).append(task)
        for tasks in found.values():
            tasks.sort(key=lambda task: task["createdAt"])
        return found

    def _is_qpu(self) -> bool:
        return not self.local and self._braket.type == "QPU"

    def _limits(self) -> Limits:
        from braket.device_schema import DeviceActionType

        properties = self._braket.properties
        if self.local:
            return Limits(self.device.num_qubits)
        sets = properties.action.get(DeviceActionType.OPENQASM_PROGRAM_SET)
        if sets is None:
            raise MissingError(
                f"{self} takes no program sets: each row of parameters would be a task of its own, "
                f"with a fee of {TASK_FEE:.2f} US dollars. Use a device that takes them."
            )
        return Limits(
            self.device.num_qubits,
            rows=sets.maximumExecutables,
            shots=properties.service.shotsRange[1],
            executions=sets.maximumTotalShots,
        )


class BraketJob:
    """A quantum task at AWS: a `CloudJob`.

    All of its questions raise JobError if AWS has nothing under its ARN, as in another region.
    """

    def __init__(self, session: Any, arn: str, service: str) -> None:
        from braket.aws import AwsQuantumTask

        self.job_id, self._service = arn, service
        self._task = AwsQuantumTask(arn, aws_session=session, quiet=True)

    def state(self) -> JobState:
        """What AWS says about the task; see `CloudJob`."""
        status = self._ask(self._task.metadata)["status"]
        if status not in _STATES:
            raise Unreachable(f"{self._service} says that the task is '{redacted(str(status))}'.")
        return _STATES[status]

    def message(self) -> str:
        """AWS's own words about a failed task; raises Unreachable."""
        return redacted(str(self._ask(lambda: self._task.metadata(True)).get("failureReason", "")))

    def measured(self, shape: tuple[int, int, int], *, seed: int) -> Measured:
        """The shots of the program set, in the order of the rows; see `CloudJob`.

        `seed` is used where a device gives shares of its shots instead of the shots.
        """
        try:
            result = self._ask(self._task.result)
        except (ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
            raise JobError(
                f"{self._service} returned a result that cannot be read: {words_of(error)} Nothing "
                "was made of it; the job's record is kept."
            ) from error
        return _measured(result, shape, seed, self._service)

    def _ask(self, question: Callable[[], Any]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return question()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _GONE:
                raise JobError(
                    f"{self._service} has nothing under {self.job_id}: {words_of(error)} Check the "
                    "number, the region and the bucket."
                ) from error
            raise Unreachable(words_of(error)) from error
        except (BotoCoreError, OSError) as error:
            raise Unreachable(words_of(error)) from error


def _measured(result: Any, shape: tuple[int, int, int], seed: int, service: str) -> Measured:
    from braket.tasks import ProgramSetQuantumTaskResult

    if not isinstance(result, ProgramSetQuantumTaskResult):
        raise JobError(
            f"{service} returned {type(result).__name__}; expected the result of a program set. "
            "Nothing was made of it: is this one of the run's own tasks?"
        )
    rows = [row for program in result.entries for row in program.entries]
    for number, row in enumerate(rows):
        if not hasattr(row, "measurements"):
            reason = getattr(row, "failureMetadata", None) or row
            raise JobError(
                f"{service}: row {number + 1} of {len(rows)} failed: {redacted(str(reason))}."
            )
    if all(row.measurements_from_device for row in rows):
        widths = {np.asarray(row.measurements).shape for row in rows}
        if widths != {shape[1:]} or len(rows) != shape[0]:
            raise JobError(
                f"{service} returned {len(rows)} rows of shape {sorted(widths)}; expected "
                f"{shape[0]} of {[shape[1:]]}. Nothing was made of them; the job's record is kept."
            )
        return as_measured(np.stack([row.measurements for row in rows]), shape, service)
    # the SDK turns shares into shots in the order of the outcomes: ours are put in a random order
    experiments = [
        SimpleNamespace(
            data=SimpleNamespace(
                counts=counts_of(
                    {outcome[::-1]: share for outcome, share in row.probabilities.items()},
                    shape[1],
                    f"{service}, row {number + 1} of {len(rows)}",
                )
            )
        )
        for number, row in enumerate(rows)
    ]
    return measured_of(SimpleNamespace(results=experiments), shape, seed, service)


def _local(name: str) -> Any:
    with needs("braket", "Amazon Braket"):
        from qiskit_braket_provider import BraketLocalBackend
    return BraketLocalBackend(name=name)


def _on_aws(name: str, region: str | None) -> Any:
    """The device as a Qiskit BackendV2."""
    with needs("braket", "Amazon Braket"):
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
        from braket.aws import AwsDevice, AwsSession
        from qiskit_braket_provider import BraketAwsBackend
    try:
        account = boto3.Session(region_name=region or os.environ.get("AWS_REGION"))
        session = AwsSession(account)
        if account.get_credentials() is None:  # the SDK takes it that there are some
            raise NoCredentialsError
        if name.startswith("arn:"):
            return BraketAwsBackend(device=AwsDevice(name, session))
        # a region that refuses to answer is a warning to the SDK, and has no devices
        with warnings.catch_warnings(record=True) as refused:
            warnings.simplefilter("always")
            devices = AwsDevice.get_devices(names=[name], aws_session=session)
            known = devices or AwsDevice.get_devices(aws_session=session)
    except (BotoCoreError, ClientError, OSError) as error:
        raise _silent(name, words_of(error)) from error
    except ValueError as error:
        raise ConfigurationError(
            f"Amazon Braket does not take the device '{name}': {words_of(error)} Check the ARN, or "
            "give the device's name."
        ) from error
    if devices:
        return BraketAwsBackend(device=devices[0])
    if not known:
        told = redacted(str(refused[0].message)) if refused else "no region lists any device"
        raise _silent(name, f"{told.strip().rstrip('.')}.")
    raise unknown("Amazon Braket device", name, [*LOCAL, *(device.name for device in known)])


def _silent(name: str, words: str) -> MissingError:
    near = nearest(name, LOCAL)
    meant = f" Did you mean '{near}'?" if near else ""
    return MissingError(
        f"Amazon Braket said nothing about '{name}': {words}{meant} Either there is no network, or "
        "AWS does not know you: configure an account and a region with AWS's own means (`aws "
        "configure`, or AWS_PROFILE and AWS_REGION), and check them with `aws sts "
        f"get-caller-identity`. Without an account there are {', '.join(sorted(LOCAL))}, on this "
        "machine."
    )
