"""What an error of qiskit-ibm-runtime says of a request: which answer, to what, and how certain."""

from collections.abc import Iterator

_UNDECIDED = (408, 409)
"""Answers 4xx of a server that may have taken the job all the same: too late, a conflict."""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it came from, also where the SDK hides them (`from None`)."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _passed(error: BaseException) -> Iterator[tuple[str, str]]:
    """(module, function) of every call that an error came out of."""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        yield str(frame.f_globals.get("__name__")), frame.f_code.co_name
        trace = trace.tb_next


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


def before_sending(error: BaseException) -> bool:
    """Whether the error arose while the sampler prepared the job, before any request."""
    prepare = "qiskit_ibm_runtime.executor_sampler.prepare"
    return any(module == prepare for module, _ in _passed(error))


def refusal(error: BaseException) -> int | None:
    """The 4xx with which IBM answered the request to run a job; None if that is not certain.

    An answer to another request does not count: the SDK makes some of them after the job is taken.
    """
    for link in _chain(error):
        code = _code(link)
        if code is not None and any(name == "program_run" for _, name in _passed(link)):
            certain = 400 <= code < 500 and code not in _UNDECIDED
            return code if certain else None
    return None


def of_network(error: BaseException) -> bool:
    """Whether an error of IBM's client or of the network is in its chain."""
    from qiskit_ibm_runtime.exceptions import IBMError

    return any(isinstance(link, IBMError | OSError) for link in _chain(error))
