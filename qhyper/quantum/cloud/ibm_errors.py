"""What an error of qiskit-ibm-runtime says of a request: which answer, to what, and how certain."""

import re
from collections.abc import Iterator

from qhyper.quantum.cloud.door import UNDECIDED, Denied, NotFound, Unreachable
from qhyper.quantum.cloud.redaction import words_of

_FULL = re.compile(r"pending jobs|\bcode\W+3458\b")
"""IBM's error for an instance that has as many jobs waiting as its plan allows."""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it came from, also where the SDK hides them (`from None`)."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def came_out_of(error: BaseException, function: str) -> bool:
    """Whether an error came out of a call of the function of this name."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_name == function:
            return True
        trace = trace.tb_next
    return False


def _code(error: BaseException) -> int | None:
    """The status code of an answer of IBM's server; None if the error is no such answer."""
    from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError

    if isinstance(error, IBMNotAuthorizedError):
        return 401  # the SDK keeps the number of all others
    code = getattr(error, "status_code", None)
    return code if isinstance(code, int) and code > 0 else None


def status_code(error: BaseException) -> int | None:
    """The first status code in the chain of an error, None if there is none."""
    return next((code for link in _chain(error) if (code := _code(link)) is not None), None)


def of_request(error: BaseException) -> bool:
    """Whether it is of a request that failed, rather than of what the SDK made of an answer."""
    from qiskit_ibm_runtime.api.exceptions import RequestsApiError

    return any(isinstance(e, RequestsApiError | OSError) or _code(e) for e in _chain(error))


def of_running(error: BaseException) -> bool:
    """Whether it came out of the SDK's request to run a job, or of what became of it."""
    return any(came_out_of(link, "program_run") for link in _chain(error))


def refusal(error: BaseException) -> int | None:
    """The 4xx with which IBM answered the request to run a job; None if that is not certain.

    An answer to another request does not count: the SDK makes some of them after the job is taken.
    """
    for link in _chain(error):
        code = _code(link)
        if code is not None and came_out_of(link, "program_run"):
            certain = 400 <= code < 500 and code not in UNDECIDED
            return code if certain else None
    return None


def no_room(error: BaseException) -> bool:
    """Whether IBM takes no more jobs for now: too many requests, or too many that wait."""
    return status_code(error) == 429 or any(
        _code(link) and _FULL.search(str(link)) for link in _chain(error)
    )


def denied(error: BaseException) -> bool:
    """Whether IBM does not let the account in."""
    return status_code(error) in (401, 403) and not no_room(error)


def no_answer(error: Exception) -> Exception:
    """What an error of a question is at the door: Denied, NotFound or Unreachable."""
    from qiskit_ibm_runtime.exceptions import RuntimeJobNotFound

    if denied(error):
        return Denied(words_of(error))
    if isinstance(error, RuntimeJobNotFound) or status_code(error) == 404:
        return NotFound(words_of(error))
    return Unreachable(words_of(error))
