"""The jobs that runs have sent to quantum computers; lost ones are settled on the user's word."""

from collections.abc import Callable, Sequence

from qhyper.errors import ConfigurationError
from qhyper.quantum.backends import build_cloud_backend, is_cloud
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.cloud.ledger import Ledger, Record, State, exists
from qhyper.run.directory import Run
from qhyper.submit.stored import Identity


def records(run: Run) -> list[Record]:
    """The jobs in a run's ledger, none if it has no ledger."""
    if not exists(run.path):
        return []
    with Ledger(run.path, run.identity) as ledger:
        return ledger.jobs()


def resend(runs: Sequence[Run], key: str, warn: Callable[[str], None]) -> str:
    """Plan a failed or unknown job anew, unless the service has it after all; what was done.

    Raises ConfigurationError if there is no such job, or if it is in another state.
    """
    run, record = _find(runs, key)
    backend = _backend(run, record)
    with backend.connected(run.path, run.identity, record.scope, 0, warn=warn) as dispatcher:
        if record.state == State.UNKNOWN:
            dispatcher.recover([record])
            record = dispatcher.ledger.job(record.key)
            if record.state == State.SUBMITTED:
                return (
                    f"{record.key} is not sent again: {backend} has it as {record.job_id}. Get it "
                    f"with {_next(run, record)}."
                )
        dispatcher.ledger.again(record.key)
    return f"{record.key} is planned again; it is sent by {_next(run, record)}."


def adopt(runs: Sequence[Run], key: str, job_id: str) -> str:
    """Take `job_id` at the service for a failed or unknown job; what was done.

    Raises ConfigurationError if there is no such job, if it is in another state, or if another job
    has that number.
    """
    run, record = _find(runs, key)
    with Ledger(run.path, run.identity) as ledger, ledger.working():
        ledger.adopt(record.key, job_id)
    return f"{record.key} is {job_id}. Get it with {_next(run, record)}."


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


def _backend(run: Run, record: Record) -> CloudBackend:
    """Where a job was sent, or was to be."""
    if record.scope.number is not None:
        settings = Identity(run, record.scope.number).read().settings
        return build_cloud_backend(settings.backend, settings.options)
    for entry in run.config.entries or []:
        name, options = entry.options.get("backend"), entry.options.get("backend_options")
        if isinstance(name, str) and is_cloud(name):
            backend = build_cloud_backend(name, options)
            if record.service in (backend.identity, backend.service_name):
                return backend
    raise ConfigurationError(
        f"{record.key} was sent to {record.service}, which is no backend of the configuration of "
        f"{run.path}. Put the configuration back that it was sent with."
    )


def _next(run: Run, record: Record) -> str:
    """The command that goes on with what a job belongs to."""
    command = "resume" if record.scope.number is None else "fetch"
    return f"`qhyper {command} {run.path}`"
