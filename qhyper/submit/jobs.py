"""The jobs that runs have sent to quantum computers; lost ones are settled on the user's word."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from qhyper.errors import ConfigurationError, MissingError
from qhyper.quantum.backends import build_cloud_backend, is_cloud
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.cloud.dispatch import Dispatcher
from qhyper.quantum.cloud.ledger import Ledger
from qhyper.quantum.cloud.ledger_file import exists
from qhyper.quantum.cloud.record import PREFLIGHT, Record, State
from qhyper.run.directory import Run
from qhyper.storage import storage
from qhyper.submit.stored import Identity

Warn = Callable[[str], None]
ALL = "all"


def records(run: Run) -> list[Record]:
    """The jobs in a run's ledger, none if it has no ledger."""
    if not exists(run.path):
        return []
    with Ledger(run.path, run.identity) as ledger:
        return ledger.jobs()


def resend(runs: Sequence[Run], key: str, warn: Warn) -> Iterator[str]:
    """Plan a job that did not succeed anew, or `all` of them; what was done with each.

    The service is asked first whether it has a job under any of its tags. Raises
    ConfigurationError if there is no such job, or if it is in another state, and MissingError if
    the service does not answer.
    """
    for run, record in _chosen(runs, key, warn):
        with _connected(run, record, warn) as dispatcher:
            found = record if _settled(record) else dispatcher.look_up(record)
            if record.state == State.UNREADABLE:
                warn(f"{record.key} is done and paid for: sent again, it is paid for once more.")
            if found.state in (State.SUBMITTED, State.DONE):
                yield (
                    f"{record.key} is not sent again: {dispatcher.name} has it as {found.job_id}. "
                    f"Get it with {_next(run, record)}."
                )
                continue
            dispatcher.ledger.again(record.key)
        yield f"{record.key} is planned again; it is sent by {_next(run, record)}."


def adopt(runs: Sequence[Run], key: str, job_id: str, warn: Warn) -> str:
    """Take `job_id` at the service for a failed or unknown job; what was done.

    Raises ConfigurationError if there is no such job, here or there, if it is in another state, if
    another job has that number, or if the service calls it otherwise.
    """
    run, record = _find(runs, key)
    with _connected(run, record, warn) as dispatcher:
        called = dispatcher.questions.called(job_id)
        if called and called not in record.tags:
            raise ConfigurationError(
                f"{dispatcher.name} calls the job {job_id} '{called}'; expected "
                f"{' or '.join(record.tags)}, as {record.key} was called. Check the number: it is "
                "another job's, or another run's."
            )
        dispatcher.ledger.adopt(record.key, job_id)
        if not called:
            warn(f"{dispatcher.name} does not say what {job_id} is called: it is taken unchecked.")
    return f"{record.key} is {job_id}. Get it with {_next(run, record)}."


def pairs(path: Path) -> list[tuple[str, str]]:
    """The pairs of a key and a job's number in a file, one a line; ConfigurationError otherwise."""
    with storage(path):
        lines = path.read_text(encoding="utf-8").splitlines()
    found = [tuple(line.split()) for line in lines if line.strip()]
    for number, pair in enumerate(found, 1):
        if len(pair) != 2:
            raise ConfigurationError(
                f"{path}, entry {number}: got '{' '.join(pair)}'; expected KEY JOB_ID, one pair a "
                "line."
            )
    return found  # type: ignore[return-value]


def cancel(runs: Sequence[Run], key: str, warn: Warn) -> str:
    """Ask the service to cancel a job; what was done.

    Raises ConfigurationError if there is no such job, or if it is not submitted.
    """
    run, record = _find(runs, key)
    with _connected(run, record, warn) as dispatcher:
        dispatcher.cancel(record)
        dispatcher.fetch([record], 0.0)
        state = dispatcher.ledger.job(record.key).state
    return f"{record.key} ({record.job_id}): asked {dispatcher.name} to cancel it; it is {state}."


def queues(run: Run, warn: Warn) -> dict[str, str]:
    """What services say about a run's submitted jobs, by key; those that ended are stored.

    What a job was charged is asked for again where the service had not billed it yet.
    """
    told = {}
    for record in records(run):
        unbilled = record.state == State.DONE and not record.charged
        if record.job_id is None or not (unbilled or record.state == State.SUBMITTED):
            continue
        try:
            with _connected(run, record, warn) as dispatcher:
                if unbilled:
                    dispatcher.bill(record)
                    continue
                told[record.key] = dispatcher.questions.queue(record.job_id)
                dispatcher.fetch([record], 0.0)
        except (ConfigurationError, MissingError) as error:
            told[record.key] = f"not known now: {error}"
    return told


def _settled(record: Record) -> bool:
    """Whether the service has nothing to say about a job that would change whether it is sent."""
    # a preflight that failed is done there, and came back otherwise than it was prepared
    wrong = record.known == PREFLIGHT and record.state == State.FAILED
    return wrong or record.state in (State.UNREADABLE, State.REFUSED)


def _chosen(runs: Sequence[Run], key: str, warn: Warn) -> list[tuple[Run, Record]]:
    """The job whose key begins so, or all that may be sent again without a word about each."""
    if key != ALL:
        return [_find(runs, key)]
    chosen = (State.FAILED, State.REFUSED, State.UNKNOWN)  # what can be read is not paid for again
    listed = [(run, record) for run in runs for record in records(run) if record.state in chosen]
    taken = [r for _, r in listed if r.state == State.UNKNOWN and r.job_id is not None]
    if taken:
        warn(
            f"{', '.join(record.key[:8] for record in taken)}: the vendor gave a number to each, "
            "and does not know it for this account, instance or region. Look there before they are "
            "paid for again: name each with --resend KEY."
        )
    found = [(run, record) for run, record in listed if record not in taken]
    if not found:
        raise ConfigurationError(
            "No job failed, was refused or is unknown: nothing is to be sent again. See `qhyper "
            "jobs`."
        )
    return found


def _find(runs: Sequence[Run], key: str) -> tuple[Run, Record]:
    """The one job among the ledgers of runs whose key begins so."""
    found = [(run, record) for run in runs for record in records(run) if record.key.startswith(key)]
    if len(found) != 1 or not key:
        raise ConfigurationError(
            f"Got the key '{key}', with which {len(found) or 'no'} jobs begin in "
            f"{', '.join(str(run.path) for run in runs) or 'no run'}; expected one. See the keys "
            "with `qhyper jobs RUN`."
        )
    return found[0]


@contextmanager
def _connected(run: Run, record: Record, warn: Warn) -> Iterator[Dispatcher]:
    """Within, the ledger of a job and its service."""
    backend = _backend(run, record)
    with backend.connected(run.path, run.identity, record.scope, 0, warn=warn) as dispatcher:
        yield dispatcher


def _backend(run: Run, record: Record) -> CloudBackend:
    """Where a job was sent, or was to be."""
    if record.scope.number is not None:
        settings = Identity(run, record.scope.number).read().settings
        return build_cloud_backend(settings.backend, settings.options)
    for entry in run.config.entries or []:
        name, options = entry.options.get("backend"), entry.options.get("backend_options")
        if isinstance(name, str) and is_cloud(name):
            backend = build_cloud_backend(name, options)
            if record.service in backend.former_names:
                return backend
    raise ConfigurationError(
        f"{record.key} was sent to {record.service}, which is no backend of the configuration of "
        f"{run.path}. Put the configuration back that it was sent with."
    )


def _next(run: Run, record: Record) -> str:
    """The command that goes on with what a job belongs to."""
    command = "resume" if record.scope.number is None else "fetch"
    return f"`qhyper {command} {run.path}`"
