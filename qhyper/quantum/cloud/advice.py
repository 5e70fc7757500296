"""What a user is to do about jobs that did not succeed: a piece of advice for each state."""

from collections.abc import Sequence

from qhyper.errors import JobError, PendingError
from qhyper.quantum.cloud.record import OPEN, Record, State

_ADVICE = {
    State.UNKNOWN: (
        "Find it among the vendor's jobs and say `qhyper jobs --adopt KEY JOB_ID`; only if it is "
        "not there, `qhyper jobs --resend KEY`, which pays for it once more."
    ),
    State.REFUSED: (
        "It was not taken and costs nothing. Mend what was refused, and send it with `qhyper jobs "
        "--resend KEY`."
    ),
    State.FAILED: (
        "The vendor had it: its bill says whether it costs something. Send it again with `qhyper "
        "jobs --resend KEY`, which may pay for it once more."
    ),
    State.UNREADABLE: (
        "It is done and paid for: do not send it again. `qhyper fetch` (a training: `qhyper "
        "resume`) reads it once more; other versions of qhyper or of the vendor's package may "
        "read what this one could not."
    ),
}


def check_ended(records: Sequence[Record], service: str) -> None:
    """Raise JobError if a job did not succeed, PendingError if one is not done."""
    bad = [record for record in records if record.state in OPEN]
    if bad:
        first = bad[0]
        raise JobError(
            f"{len(bad)} of {len(records)} jobs on {service} did not succeed. {first.key} is "
            f"{first.state}: {first.message.rstrip('.')}. {_ADVICE[first.state]}"
        )
    pending = [r for r in records if r.state != State.DONE]
    if pending:
        sent = sum(r.state == State.SUBMITTED for r in pending)
        raise PendingError(
            f"{len(pending)} of {len(records)} jobs on {service} are not done ({sent} submitted, "
            f"{len(pending) - sent} not taken yet). Nothing is lost."
            + "".join(f" {r.message}" for r in pending[:1] if r.message)
        )
