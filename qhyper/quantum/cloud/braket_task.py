"""A quantum task at AWS, looked up by its ARN and read from the bucket of its results.

AWS forgets its tasks after a while; what they measured stays in the account's bucket, under a name
that the ARN alone decides, unless the user chose another bucket: then the job's number says which.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from qhyper.errors import JobError
from qhyper.quantum.cloud.braket_programs import measured, parsed, ran
from qhyper.quantum.cloud.door import (
    UNDECIDED,
    Denied,
    JobState,
    Measured,
    NotFound,
    Rejected,
    Unreachable,
    Unreadable,
)
from qhyper.quantum.cloud.redaction import redacted, words_of

TAG = "qhyper"
"""The key of the AWS tag that says which job a task is."""
INPUTS_TAG = "qhyper-inputs"
"""The key of the AWS tag with a hash of the inputs of a task's rows."""
FOLDER = "tasks"
"""Where results are in the bucket, if the user does not say otherwise."""

_STATES = {
    "CREATED": JobState.QUEUED,
    "QUEUED": JobState.QUEUED,
    "RUNNING": JobState.RUNNING,
    "CANCELLING": JobState.RUNNING,
    "COMPLETED": JobState.DONE,
    "FAILED": JobState.FAILED,
    "CANCELLED": JobState.CANCELLED,
}
_GONE = ("ResourceNotFoundException", "ValidationException", "NoSuchKey", "NoSuchBucket")
_DENIED = (
    "AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException",
    "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken", "SignatureDoesNotMatch",
    "UnrecognizedClientException",
)  # fmt: skip
_CLOSED = "(AccessDenied)"
"""What a bucket that may not be listed says of what is not in it."""
_LATER = ("ThrottlingException", "TooManyRequestsException", "ServiceQuotaExceededException")
"""A full queue is a quota too."""
_RESULTS = "results.json"


@contextmanager
def answering(what: str) -> Iterator[None]:
    """Within, what AWS answers instead is told as NotFound, Denied or Unreachable.

    `what` is what was asked for, as it stands in the message.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        code, words = error.response.get("Error", {}).get("Code"), f"{what}: {words_of(error)}"
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if denied(error):
            raise Denied(words) from error
        if code in _GONE or status == 404:
            raise NotFound(words) from error
        raise Unreachable(words) from error
    except (BotoCoreError, ResponseParserError, OSError) as error:
        kind = Denied if denied(error) else Unreachable
        raise kind(f"{what}: {words_of(error)}") from error
    except KeyError as error:  # somebody else has answered, such as a network that wants a login
        raise Unreachable(f"{what}: the answer has no {error}.") from error


def denied(error: BaseException) -> bool:
    """Whether an error of Amazon's package says that the account is not let in."""
    from botocore import exceptions as of

    if isinstance(error, of.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status in (401, 403) or error.response.get("Error", {}).get("Code") in _DENIED
    return isinstance(error, (
        of.NoCredentialsError, of.PartialCredentialsError, of.CredentialRetrievalError,
        of.NoAuthTokenError, of.TokenRetrievalError, of.SSOError, of.LoginError,
        of.ProfileNotFound,
    ))  # fmt: skip


def refusal(error: BaseException) -> Denied | Rejected | None:
    """What an error of a request for a task says for certain; None if the task may be there."""
    from botocore import exceptions as of

    words = words_of(error)
    if denied(error):
        return Denied(words)
    if isinstance(error, of.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        later = status == 429 or error.response.get("Error", {}).get("Code") in _LATER
        certain = later or (400 <= status < 500 and status not in UNDECIDED)
        return Rejected(words, again=later) if certain else None
    if isinstance(error, of.ParamValidationError):
        return Rejected(words)
    unsent = (of.EndpointConnectionError, of.ConnectTimeoutError, of.ProxyConnectionError)
    if isinstance(error, unsent):
        return Rejected(f"Nothing was sent: {words}", again=True)
    return None


def region_of(arn: str) -> str:
    """The region in an ARN; nothing if it has none."""
    parts = arn.split(":")
    return parts[3] if len(parts) > 3 else ""


def job_id_of(arn: str, bucket: str, directory: str) -> str:
    """The number of a task: its ARN, and @bucket/folder unless those are Amazon's own choice."""
    folder = directory.rpartition("/")[0]
    usual = (bucket, folder) == _usual(arn)
    return arn if usual else f"{arn}@{bucket}/{folder}"


def arn_of(job_id: str) -> str:
    """The ARN in a task's number."""
    return job_id.partition("@")[0]


class BraketJob:
    """A quantum task at AWS: a `CloudJob`.

    - session: how AWS is reached, in the task's region
    - job_id: as of `job_id_of`
    - charge: what a device takes for (successful shots, milliseconds of simulation), in words
    """

    def __init__(
        self, session: Any, job_id: str, service: str, charge: Callable[[int, float | None], str]
    ) -> None:
        self.job_id, self._arn = job_id, arn_of(job_id)
        self._session, self._service, self._charge = session, service, charge
        self._task: dict[str, Any] | None = None
        """what AWS said about the task at last; nothing where it has forgotten it"""
        self._raw: bytes | None = None
        """its results, once they are here"""
        self._result: Any = None
        """and once they have been read"""
        self._milliseconds: float | None = None
        """how long a simulator took"""

    def state(self) -> JobState:
        """What AWS says about the task; done if it has forgotten it, and its results are there.

        A failed program set of which some rows were run is done: the others are missing.
        """
        try:
            self._task = self._described()
        except NotFound as gone:
            self._task = None
            if why := self._missing():
                raise NotFound(f"{gone} Nor are there results: {why}") from gone
            return JobState.DONE
        status = self._task["status"]
        if status not in _STATES:
            raise Unreachable(f"{self._service} says that the task is '{redacted(str(status))}'.")
        state = _STATES[status]
        return JobState.DONE if state == JobState.FAILED and self._in_part() else state

    def message(self) -> str:
        """AWS's own words about a task that did not succeed, and where its results would be."""
        task = self._known()
        reason = redacted(str(task.get("failureReason") or "no reason is given")).rstrip(". ")
        return f"{reason}. What it measured, if anything, is in s3://{'/'.join(self._place(task))}"

    def called(self) -> str:
        """The tag of the task; nothing where AWS has forgotten it."""
        return str(self._known().get("tags", {}).get(TAG, ""))

    def queue(self) -> str:
        """The task's place in the queue, in words; nothing if it is in none."""
        told = self._known().get("queueInfo") or {}
        position = str(told.get("position") or "None")
        if position == "None":
            return ""
        return redacted(f"position {position} in the queue ({told.get('queuePriority', 'Normal')})")

    def charged(self) -> str:
        """What the device takes for what the task ran, by its prices; nothing if not known."""
        shots = self._known().get("numSuccessfulShots")
        return "" if shots is None else self._charge(shots, self._milliseconds)

    def measured(self, shape: tuple[int, int, int], *, seed: int) -> Measured:
        """The shots of all rows, in their order; see `CloudJob`.

        `seed` is used where a device gives shares of its shots instead of the shots. Raises
        Unreadable if there are no results, or they cannot be read.
        """
        try:
            raw = self._results()
        except NotFound as error:
            raise Unreadable(f"It is done, but its results are not there: {error}") from error
        result = self._parsed(raw)
        simulated = getattr(getattr(result, "additional_metadata", None), "simulatorMetadata", None)
        self._milliseconds = getattr(simulated, "executionDuration", None)
        sent = str((self._task or {}).get("tags", {}).get(INPUTS_TAG, ""))
        try:
            return measured(result, shape, seed, self._service, sent)
        except JobError as error:
            raise Unreadable(str(error), raw=raw) from error

    # -- AWS ----------------------------------------------------------------------------------

    def _described(self) -> dict[str, Any]:
        with answering(f"{self._service} was asked for {self._arn}"):
            task = self._session.braket_client.get_quantum_task(
                quantumTaskArn=self._arn, additionalAttributeNames=["QueueInfo"]
            )
            return task | {"status": task["status"]}

    def _known(self) -> dict[str, Any]:
        """What AWS said about the task; it is asked if it was not yet."""
        if self._task is None and self._raw is None:
            self.state()
        return self._task or {}

    def _place(self, task: dict[str, Any]) -> tuple[str, str]:
        """(bucket, folder) of the task's results."""
        if task:
            return task["outputS3Bucket"], task["outputS3Directory"]
        bucket, _, folder = self.job_id.partition("@")[2].partition("/")
        if not bucket:
            bucket, folder = _usual(self._arn)
        return bucket, f"{folder}/{self._arn.rpartition('/')[2]}"

    def _results(self) -> bytes:
        """The results as they are in the bucket; NotFound if they are not."""
        if not self._arn.startswith("arn:"):
            raise NotFound(f"{self._arn} is no ARN of a quantum task.")
        if self._raw is None:
            bucket, folder = self._place(self._task or {})
            key = f"{folder}/{_RESULTS}"
            with answering(f"{self._service} was asked for s3://{bucket}/{key}"):
                found = self._session.s3_client.get_object(Bucket=bucket, Key=key)
                self._raw = found["Body"].read()
        assert self._raw is not None
        return self._raw

    def _missing(self) -> str:
        """Why there are no results in the bucket; nothing if there are."""
        try:
            self._results()
        except NotFound as error:
            return str(error)
        except Denied as error:
            if _CLOSED not in str(error):
                raise
            return str(error)
        return ""

    def _parsed(self, raw: bytes) -> Any:
        """The results as Amazon's package reads them, from several files where they are many."""
        if self._result is not None:
            return self._result
        try:
            with answering(f"{self._service} was asked for the parts of {self._arn}"):
                self._result = _read(raw)
                return self._result
        except (Denied, Unreachable):
            raise
        except Exception as error:  # of a package that reads what others wrote
            raise Unreadable(
                f"{self._service} returned a result that cannot be read: {words_of(error)} Nothing "
                "was made of it; the job's record is kept.", raw=raw,
            ) from error  # fmt: skip

    def _in_part(self) -> bool:
        """Whether a failed task has results: rows that were run, or what cannot be read here."""
        if self._missing():
            return False
        try:
            return ran(self._parsed(self._results()))
        except Unreadable:
            return True


def _read(raw: bytes) -> Any:
    try:
        return parsed(raw)
    except KeyError as error:  # of the result itself, which has been answered
        raise ValueError(f"it has no {error}") from error


def _usual(arn: str) -> tuple[str, str]:
    """(bucket, folder) of the results of a task's account and region, if nobody chose others."""
    parts = [*arn.split(":"), "", "", "", "", ""]
    return f"amazon-braket-{parts[3]}-{parts[4]}", FOLDER
