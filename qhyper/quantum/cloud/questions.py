"""Questions to a service, asked with patience: nobody loses a job to an answer that is late."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qhyper.errors import ConfigurationError, MissingError, QhyperError
from qhyper.quantum.cloud.door import Denied, NotFound, Service, asked
from qhyper.quantum.cloud.redaction import redacted, words_of


@dataclass(frozen=True)
class Patience:
    """How long to wait for what, in seconds."""

    grace: float = 120.0
    """a job whose reply was lost is looked for by its tag until so long after it was sent"""
    first_poll: float = 1.0
    """between two questions about a job, at first; doubled after each"""
    last_poll: float = 60.0
    """between two questions, at the most"""
    attempts: int = 6
    """of a call that the service refuses for now or does not answer; pauses double"""


class Questions:
    """Questions to one service, which is called `name`; `sleep` waits for so many seconds."""

    def __init__(
        self, service: Service, name: str, patience: Patience, sleep: Callable[[float], None]
    ) -> None:
        self.service, self.name, self.patience, self._sleep = service, name, patience, sleep

    def answered(self, question: Callable[..., Any], *about: Any) -> Any:
        """What the service answers, asked again with pauses where it does not.

        Raises MissingError if it does not answer at all, or does not let the account in.
        """
        pause = self.patience.first_poll
        for left in reversed(range(self.patience.attempts)):
            try:
                return question(*about)
            except (QhyperError, NotFound):
                raise
            except Denied as error:
                raise self.denied(error) from error
            except Exception as error:  # of an SDK: as good as no answer
                if not left:
                    raise self.silent(error) from error
            self._sleep(pause)
            pause = min(2 * pause, self.patience.last_poll)
        raise AssertionError("a service is asked once at the least")

    def denied(self, error: Denied) -> MissingError:
        """The error for an account that is not let in."""
        return MissingError(
            f"{self.name} does not let this account in: {redacted(str(error)).rstrip('.')}. Log in "
            "again, or renew the key; no job has changed its state, and the same command goes on."
        )

    def silent(self, error: Exception) -> MissingError:
        """The error for a service that does not answer."""
        return MissingError(
            f"{self.name} does not answer: {words_of(error)} Nothing more was sent. Check the "
            "network and the account; the same command goes on from here."
        )

    def called(self, job_id: str) -> str:
        """The tag or name that a job has at the service; nothing if that is not known.

        Raises ConfigurationError if the service knows no such job.
        """
        try:
            return self.answered(lambda: asked(self.service.job(job_id), "called"))
        except NotFound as error:
            raise ConfigurationError(
                f"{self.name} knows no job {job_id}: {redacted(str(error)).rstrip('.')}. Check the "
                "number, the account and the region."
            ) from error

    def queue(self, job_id: str) -> str:
        """The service's words on where a job is: its state, and its place in the queue."""
        try:
            job = self.answered(self.service.job, job_id)
            told = (str(self.answered(job.state)), self.answered(asked, job, "queue"))
        except NotFound:
            return "not known to the service, for this account at least"
        return ", ".join(word for word in told if word)

    def cancel(self, job_id: str) -> None:
        """Ask the service to cancel a job; ConfigurationError if it has none, or cannot."""
        try:
            self.answered(self.service.cancel, job_id)
        except NotFound as error:
            raise ConfigurationError(
                f"{self.name} knows no job {job_id}: {redacted(str(error)).rstrip('.')}. Nothing "
                "was cancelled."
            ) from error
