"""Amazon Braket: IonQ, IQM, Rigetti and others through one door, and Braket's simulators.

A job is one quantum task: a program set of all its rows, as `BraketSampler` makes them, or one row
where a device takes no program sets. It is not sent with `BraketSampler`, which opens a new
connection for each job and has no way to say who asks: here a job carries a client token, its tag,
by which AWS itself knows a request that comes twice.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from qhyper.errors import ConfigurationError, MissingError, nearest, unknown
from qhyper.machine import needs
from qhyper.quantum.cloud.braket_programs import inputs_digest, measured, programs_of, single
from qhyper.quantum.cloud.braket_task import (
    FOLDER,
    INPUTS_TAG,
    TAG,
    BraketJob,
    answering,
    arn_of,
    job_id_of,
    refusal,
    region_of,
)
from qhyper.quantum.cloud.door import (
    CloudJob,
    Denied,
    Limits,
    LocalJob,
    NotFound,
    PlannedJobs,
    Price,
    Pub,
    Rejected,
    Service,
    Unreachable,
    kept,
)
from qhyper.quantum.cloud.options import check_text
from qhyper.quantum.cloud.redaction import redacted, words_of

LOCAL = {"local": "braket_sv", "braket_sv": "braket_sv", "braket_dm": "braket_dm"}
TASK_FEE = 0.30
"""US dollars for a task on a quantum computer, beside the price of its shots."""
SIMULATED_SECONDS = 3.0
"""What AWS bills at the least for a task on one of its simulators."""

_RESULTS_URI = "AMZN_BRAKET_TASK_RESULTS_S3_URI"
"""The variable of the environment by which Amazon's packages are told where results go."""
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
_LISTING_SECONDS = 10.0
"""How long a list of the tasks answers for several tags."""


class BraketService(Service):
    """One device of Amazon Braket.

    - name: "local" for the state vector simulator on this machine (also "braket_dm"); otherwise
      the device's name ("Ankaa-3", "Garnet", "Forte 1", "SV1") or its ARN
    - region: the AWS region that is asked first, instead of the one that AWS is configured with

    The account is the one that AWS's own tools are configured with (`aws configure`, AWS_PROFILE).
    `device` and `limits` raise MissingError where an account or the network is missing, and
    ConfigurationError for an unknown device; a quantum computer that takes no program sets has no
    limits either. Raises MissingError without the package.
    """

    after_colon: ClassVar[str] = "name"
    measures: ClassVar[tuple[str, ...]] = ()

    def __init__(self, name: str, *, region: str | None = None) -> None:
        check_text("region", region)
        with needs("braket", "Amazon Braket"):
            import qiskit_braket_provider  # noqa: F401
        self.name, self.region = name, region
        self.local = name in LOCAL
        self.searchable = not self.local
        self._sessions: dict[str, Any] = {}
        """how AWS is reached, by the region"""
        self._listed: dict[str, list[str]] = {}
        """the numbers of the tasks at AWS by their tag, oldest first, when they were listed"""
        self._listed_at = -_LISTING_SECONDS
        self._told: set[str] = set()
        """tags for which that list has answered"""
        self._jobs: WeakValueDictionary[str, CloudJob] = WeakValueDictionary()
        """of a local simulator, as long as somebody is waiting for them"""

    def __str__(self) -> str:
        return f"braket:{self.name}"

    @property
    def place(self) -> str:
        """One name for the device's name and its ARN; see `Service`."""
        if self.local:
            return "braket:local" if LOCAL[self.name] == "braket_sv" else str(self)
        return f"braket:{_plain(self.name)}"

    @cached_property
    def device(self) -> Any:
        """The device as a Qiskit BackendV2; see the class."""
        from qiskit_braket_provider import BraketAwsBackend, BraketLocalBackend

        if self.local:
            return BraketLocalBackend(name=LOCAL[self.name])
        return BraketAwsBackend(device=self._braket)

    @cached_property
    def limits(self) -> Limits:
        """What fits in a task, by the device's own data at AWS; see the class.

        Raises MissingError for a quantum computer that takes no program sets.
        """
        if self.local:
            return Limits(self.device.num_qubits)
        shots, sets = self._braket.properties.service.shotsRange[1], self._sets
        if sets is not None:
            return Limits(
                self.device.num_qubits,
                rows=sets.maximumExecutables,
                shots=shots,
                executions=sets.maximumTotalShots,
            )
        if self._is_qpu:
            raise MissingError(
                f"{self} takes no program sets: each row of parameters would be a task of its own, "
                f"with a fee of {TASK_FEE:.2f} US dollars. Use a device that takes them."
            )
        return Limits(self.device.num_qubits, rows=1, shots=shots)

    # -- sending ------------------------------------------------------------------------------

    def run(self, pubs: Sequence[Pub], shots: int, *, tag: str) -> "BraketJob | LocalJob":
        """Send one job as one task; see `Service`.

        AWS answers a tag that it knows with the task that it stands for.
        """
        if self.local:
            return self._simulated(pubs, shots, tag)
        try:
            request, session = self._request(pubs, shots, tag), self._home[0]
            if not os.environ.get(_RESULTS_URI):
                with answering(f"{self}: nothing was sent, and no bucket was made"):
                    session.default_bucket()  # makes Amazon's own, where it is not there yet
        except Denied:
            raise
        except (NotFound, Unreachable) as error:
            raise Rejected(str(error), again=True) from error
        except Exception as error:
            raise Rejected(f"Nothing was sent: {words_of(error)}") from error
        arn = self._create(session, request)
        bucket, folder = request["outputS3Bucket"], request["outputS3KeyPrefix"]
        number = job_id_of(arn, bucket, f"{folder}/")
        return BraketJob(session, number, str(self), self._charge)

    def preview(self, pubs: Sequence[Pub], shots: int, *, tag: str) -> str:
        """The JSON that AWS would be sent, or the program of a local simulator; see `Service`.

        Amazon's package adds a reservation, where its environment has one. Raises MissingError
        if AWS does not say whose account it is.
        """
        if self.local:
            return self._programs(pubs, shots).to_ir().json(indent=2)
        try:
            return json.dumps(self._request(pubs, shots, tag), indent=2, ensure_ascii=False)
        except (Denied, NotFound, Unreachable) as error:
            raise _silent(self.name, str(error)) from error

    def _request(self, pubs: Sequence[Pub], shots: int, tag: str) -> dict[str, Any]:
        """What AWS is asked for, in full."""
        programs = self._programs(pubs, shots)
        action = single(programs) if self._sets is None else programs.to_ir()
        digest = inputs_digest([action] if self._sets is None else action.programs)
        bucket, folder = self._destination()
        return {
            "clientToken": tag,
            "deviceArn": self._home[1],
            "shots": programs.total_shots,
            "outputS3Bucket": bucket,
            "outputS3KeyPrefix": folder,
            "action": action.json(),
            "tags": {TAG: tag} | ({INPUTS_TAG: digest} if digest else {}),
        }

    def _programs(self, pubs: Sequence[Pub], shots: int) -> Any:
        # a quantum computer is given the circuit on the qubits that it was placed on
        return programs_of(pubs, shots, self.device, verbatim=self._is_qpu)

    def _simulated(self, pubs: Sequence[Pub], shots: int, tag: str) -> LocalJob:
        try:
            task = self._braket.run(self._programs(pubs, shots), shots=None)
        except Exception as error:
            raise Rejected(words_of(error)) from error
        name = str(self)
        job = LocalJob(tag, lambda shape, seed: measured(task.result(), shape, seed, name))
        self._jobs[tag] = job
        return job

    def _create(self, session: Any, request: dict[str, Any]) -> str:
        """The ARN of the task that AWS makes of a request; it is sent once, and never repeated."""
        from botocore.exceptions import BotoCoreError, ClientError

        self._listed_at = -_LISTING_SECONDS  # what is sent now is in no list of before
        try:
            return session.create_quantum_task(**request)
        except (BotoCoreError, ClientError) as error:
            if refused := refusal(error):
                raise refused from error
            raise

    def _destination(self) -> tuple[str, str]:
        """The bucket and folder of the results, as the SDK chooses them."""
        from braket.aws import AwsSession

        if chosen := os.environ.get(_RESULTS_URI):
            bucket, folder = AwsSession.parse_s3_uri(chosen)
            return bucket, folder.rstrip("/")
        if bucket := os.environ.get("AMZN_BRAKET_OUT_S3_BUCKET"):
            return bucket, FOLDER
        session = self._home[0]
        with answering(f"{self}: nothing was sent, for it is not known whose account this is"):
            return f"amazon-braket-{session.region}-{session.account_id}", FOLDER

    # -- looking up ---------------------------------------------------------------------------

    def job(self, job_id: str) -> CloudJob:
        """The task with this number, its ARN or what was made of it; see `Service`."""
        if self.local:
            return kept(self, self._jobs, job_id)
        job = self._job(job_id)
        job.state()
        return job

    def find(self, tag: str) -> list[str]:
        """The numbers of the tasks with this tag, oldest first; see `Service`.

        A list of the tasks answers once for each tag, and is fetched anew then, after ten seconds,
        and after every job that is sent. Where AWS no longer knows the device, those of all devices
        are listed.
        """
        if self.local:
            return super().find(tag)
        if tag in self._told or time.monotonic() >= self._listed_at + _LISTING_SECONDS:
            self._listed, self._told = self._list(), set()
            self._listed_at = time.monotonic()
        self._told.add(tag)
        return list(self._listed.get(tag, []))

    def cancel(self, job_id: str) -> None:
        """Ask AWS to cancel a task; see `Service`."""
        if self.local:
            super().cancel(job_id)
        from botocore.exceptions import ClientError

        arn = arn_of(job_id)
        with answering(f"{self} was asked to cancel {arn}"):
            try:
                self._session(region_of(arn)).cancel_quantum_task(arn)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "ConflictException":
                    raise
                raise ConfigurationError(
                    f"{self} does not cancel {arn}: {words_of(error)} It has ended, or is being "
                    "cancelled; see `qhyper jobs --refresh`."
                ) from error

    def unavailable(self) -> str | None:
        """Why the device takes no tasks, and when it does; see `Service`."""
        if self.local:
            return None
        try:
            with answering(f"{self} was asked for"):
                session, arn = self._home
                status = session.get_device(arn)["deviceStatus"]
        except NotFound as error:
            return f"AWS no longer knows it: {error}"
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
        return super().about(n_bits) if self.local or self._is_qpu else "simulated by Amazon"

    def price(self, planned: Sequence[PlannedJobs]) -> Price | None:
        """By the device's own data at AWS and the fee for a task; see `Service`.

        What a simulator takes depends on how long it takes, which nobody knows before.
        """
        if self.local:
            return super().price(planned)
        cost = self._braket.properties.service.deviceCost
        if cost is None:
            return None
        jobs = sum(each.jobs for each in planned)
        total_shots = sum(each.rows * each.shots for each in planned)
        if _unit(cost) != "shot" and _unit(cost) not in _SECONDS:
            return Price(f"{cost.price:g} US dollars a {cost.unit} (the device's own data at AWS)")
        if _unit(cost) != "shot":
            least = jobs * _seconds_in(cost, SIMULATED_SECONDS)
            return Price(
                f"{least:,.2f} US dollars or more: {jobs:,} tasks at {cost.price:g} a {cost.unit} "
                f"(the device's own data at AWS), each billed for {SIMULATED_SECONDS:g} s at the "
                "least (Amazon Braket's pricing page); how long they take is not known before"
            )
        total = jobs * TASK_FEE + total_shots * cost.price
        return Price(
            f"about {total:,.2f} US dollars: {jobs:,} tasks at {TASK_FEE:.2f} (Amazon Braket's "
            f"pricing page) and {total_shots:,} shots at {cost.price:g} (the device's own data at "
            "AWS); other prices hold for reservations",
            total,
        )

    # -- shared -------------------------------------------------------------------------------

    def _job(self, job_id: str) -> BraketJob:
        with answering(f"{self} was asked for {job_id}"):
            session = self._session(region_of(arn_of(job_id)))
        return BraketJob(session, job_id, str(self), self._charge)

    def _charge(self, shots: int, milliseconds: float | None) -> str:
        """What a task of so many successful shots or so long a simulation is charged, in words."""
        cost = self._braket.properties.service.deviceCost
        if cost is None:
            return ""
        if _unit(cost) == "shot":
            total = TASK_FEE + shots * cost.price
            return f"about {total:,.2f} US dollars by the list: a task and {shots:,} shots"
        if milliseconds is None or _unit(cost) not in _SECONDS:
            return ""
        seconds = max(SIMULATED_SECONDS, milliseconds / 1000)
        return (
            f"about {_seconds_in(cost, seconds):,.4f} US dollars by the list: {seconds:g} s of "
            "simulation"
        )

    @property
    def _is_qpu(self) -> bool:
        return not self.local and self._braket.type == "QPU"

    @property
    def _sets(self) -> Any:
        """What the device says of program sets; None if it takes none."""
        from braket.device_schema import DeviceActionType

        return self._braket.properties.action.get(DeviceActionType.OPENQASM_PROGRAM_SET)

    @cached_property
    def _braket(self) -> Any:
        """The device as Amazon's package has it; see the class for what it raises."""
        if self.local:
            return self.device._device
        from braket.aws import AwsDevice

        try:
            with answering(f"{self} was looked for"):
                session, arn = self._home
                device = AwsDevice(arn, session)
        except (Denied, Unreachable) as error:
            raise _silent(self.name, str(error)) from error
        except (ValueError, NotFound) as error:
            raise ConfigurationError(
                f"Amazon Braket does not take the device '{self.name}': {words_of(error)} Check "
                "the ARN, or give the device's name."
            ) from error
        if device.properties is None:
            raise MissingError(
                f"The installed amazon-braket-schemas cannot read what {self} says about itself. "
                "Install newer ones: pip install -U amazon-braket-sdk."
            )
        return device

    @cached_property
    def _home(self) -> tuple[Any, str]:
        """(how AWS is reached in the device's region, its ARN).

        Raises ConfigurationError if AWS knows no such device in any region, Denied and
        Unreachable if a region does not say so.
        """
        if self.name.startswith("arn:"):
            return self._session(region_of(self.name)), self.name
        names, trouble = [], None
        for session in self._everywhere():
            try:
                with answering(f"{self} was looked for in {session.region}"):
                    there = session.search_devices(statuses=["ONLINE", "OFFLINE", "RETIRED"])
            except (Denied, Unreachable, NotFound) as error:
                trouble = trouble or error
                continue
            there.sort(key=lambda device: device["deviceStatus"] == "RETIRED")
            for device in there:
                if _plain(self.name) in (_plain(device["deviceName"]), _plain(device["deviceArn"])):
                    return session, device["deviceArn"]
            names += [each["deviceName"] for each in there if each["deviceStatus"] != "RETIRED"]
        if trouble is not None:
            raise trouble
        raise unknown("Amazon Braket device", self.name, [*LOCAL, *dict.fromkeys(names)])

    def _everywhere(self) -> Iterator[Any]:
        """How AWS is reached in each region that has devices, the configured one first."""
        from braket.aws import AwsDevice

        mine = self._session("")
        yield mine
        yield from (self._session(name) for name in AwsDevice.REGIONS if name != mine.region)

    def _session(self, region: str) -> Any:
        """How AWS is reached in a region; in the configured one if it is empty.

        Nothing is asked or sent twice by itself: who asks decides that.
        """
        if region not in self._sessions:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import NoCredentialsError
            from braket.aws import AwsSession

            account = boto3.Session(
                region_name=region or self.region or os.environ.get("AWS_REGION")
            )
            if account.get_credentials() is None:  # the SDK takes it that there are some
                raise NoCredentialsError
            once = Config(retries={"total_max_attempts": 1})
            self._sessions[region] = AwsSession(account, config=once)
        return self._sessions[region]

    def _list(self) -> dict[str, list[str]]:
        """The numbers of the device's tasks by their tag, oldest first.

        AWS offers no filter by tag, and does not say in which order it lists them.
        """
        try:
            with answering(f"{self} was asked for its tasks"):
                try:
                    session, arn = self._home
                    sessions = [session]
                    chosen = [{"name": "deviceArn", "operator": "EQUAL", "values": [arn]}]
                except ConfigurationError:  # the device has another name now
                    sessions, chosen = list(self._everywhere()), []
                tasks = [task for each in sessions for task in _tasks(each, chosen)]
        except NotFound as error:
            raise Unreachable(str(error)) from error
        found: dict[str, list[str]] = {}
        for task in sorted(tasks, key=lambda task: task["createdAt"]):
            if tag := task.get("tags", {}).get(TAG):
                number = job_id_of(
                    task["quantumTaskArn"], task["outputS3Bucket"], task["outputS3Directory"]
                )
                found.setdefault(tag, []).append(number)
        return found


def _tasks(session: Any, chosen: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All tasks in a region that the filters choose."""
    pages = session.braket_client.get_paginator("search_quantum_tasks")
    for page in pages.paginate(filters=chosen, PaginationConfig={"PageSize": 100}):
        yield from page["quantumTasks"]


def _plain(name: str) -> str:
    """A device's name as its ARN has it at its end, in small letters."""
    return name.rpartition("/")[2].replace(" ", "-").lower()


def _unit(cost: Any) -> str:
    """What a device is paid by: shot, minute and so on."""
    return str(cost.unit).lower().removesuffix("s")


def _seconds_in(cost: Any, seconds: float) -> float:
    """US dollars for so many seconds, where a device is paid by the time."""
    return seconds * cost.price / _SECONDS[_unit(cost)]


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
