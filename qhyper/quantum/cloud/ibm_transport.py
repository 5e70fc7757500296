"""How requests of IBM's client travel: what pays is sent once, and counted.

IBM's client repeats a request to run a job by itself, after some answers 5xx and wherever TLS
breaks, also after the server has read it. Nobody is told, and each may be paid for. Here a job's
tag is looked up instead before anything is sent a second time.
"""

import io
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from qhyper.errors import MissingError

_BACKOFF, _ATTEMPTS = 0.5, 4
_PASSING = (500, 502, 503, 504, 520, 521, 522, 524)
"""Answers after which a request may do better."""


class _Unpaid(Retry):
    """Retries of whatever is not a POST: what reads, and what closes."""

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        return method != "POST" and super().is_retry(method, status_code, has_retry_after)

    def increment(self, method: str | None = None, *about: Any, **more: Any) -> "Retry":
        if method == "POST":
            return Retry(0).increment(method, *about, **more)  # raises
        return super().increment(method, *about, **more)


class Once(HTTPAdapter):
    """Sends each POST once, and counts them; repeats all else that fails, with pauses."""

    def __init__(self) -> None:
        retries = _Unpaid(
            _ATTEMPTS,
            backoff_factor=_BACKOFF,
            status_forcelist=_PASSING,
            raise_on_status=False,
            allowed_methods=Retry.DEFAULT_ALLOWED_METHODS | {"PATCH"},  # which closes a session
        )
        super().__init__(max_retries=retries)
        self.posts = 0

    def send(self, request: PreparedRequest, *options: Any, **more: Any) -> Response:
        """As in HTTPAdapter."""
        self.posts += request.method == "POST"
        return super().send(request, *options, **more)


class Written(Exception):  # noqa: N818 (what was asked for)
    """What would have been posted, as `text`."""

    def __init__(self, text: str) -> None:
        super().__init__("a request that was written, and not sent")
        self.text = text


class Paper(HTTPAdapter):
    """Sends nothing: raises Written for a POST, and answers all else with an empty object."""

    def send(self, request: PreparedRequest, *options: Any, **more: Any) -> Response:
        """As in HTTPAdapter, without a network."""
        if request.method == "POST":
            body = request.body
            raise Written(body.decode() if isinstance(body, bytes) else str(body or ""))
        answer = Response()
        answer.status_code, answer.raw, answer.request = 200, io.BytesIO(b"{}"), request
        return answer


def mount(client: Any, adapter: HTTPAdapter) -> None:
    """Have all requests of IBM's client travel with the adapter.

    Raises MissingError for a client that does not send them with `requests`: it could pay twice.
    """
    session = getattr(client, "_session", None)
    adapters = getattr(session, "adapters", None)
    if session is None or not adapters:
        raise MissingError(
            "This version of qiskit-ibm-runtime sends its requests in a way that is not known "
            "here, and could send a job twice. Nothing was sent. Install another version: pip "
            "install 'qiskit-ibm-runtime>=0.51,<0.52'."
        )
    for prefix in list(adapters):
        session.mount(prefix, adapter)
