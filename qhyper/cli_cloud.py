"""The commands for quantum computers: submit, jobs, fetch."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from qhyper.errors import ConfigurationError, PendingError, StorageError
from qhyper.terminal import console, print_pairs, warn

RunFolder = Annotated[Path, typer.Argument(help="Run directory.")]
RunFolders = Annotated[
    list[Path] | None, typer.Argument(help="Run directories; all of runs/ unless told.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def submit(
    run: RunFolder,
    backend: Annotated[
        str,
        typer.Option("--backend", help="ibm:NAME, braket:NAME, ionq:NAME, azure:NAME, …"),
    ],
    entry: Annotated[
        str | None, typer.Option("--entry", help="Which generator of the run, if it has several.")
    ] = None,
    seeds: Annotated[
        str, typer.Option("--seeds", help="best (lowest mean loss), all, or a list such as 0,3.")
    ] = "best",
    shots: Annotated[int, typer.Option("--shots", help="Draws of each seed.")] = 1024,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="An option of the backend."),
    ] = None,
    mitigate: Annotated[
        bool, typer.Option("--mitigate", help="Measure the readout errors too, for mthree.")
    ] = False,
    paid_shots: Annotated[
        int | None, typer.Option("--paid-shots", help="Shots that may be sent (100000).")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Allow as many shots as it takes: see --dry-run.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Send what an earlier submission has sent once more.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what it would take, and send nothing.")
    ] = False,
    wait: Annotated[
        float, typer.Option("--wait", help="Seconds to wait for the preflight.")
    ] = 60.0,
    as_json: Json = False,
) -> None:
    """Send a trained circuit to a quantum computer, and return; `qhyper fetch` gets the draws."""
    from qhyper import submission
    from qhyper.config import assign
    from qhyper.runs import Run

    options: dict[str, Any] = {}
    for assignment in option or []:
        assign(options, assignment)
    opened = Run.open(run)
    chosen = submission.entry_of(opened, entry)
    asked = submission.Asked(
        entry=chosen.title,
        seeds=_seeds(seeds, opened, chosen),
        shots=shots,
        backend=backend,
        options=options,
        calibration_shots=submission.CALIBRATION_SHOTS if mitigate else 0,
    )
    if dry_run:
        _print(f"submit {run}: nothing was sent",
               submission.Submission(opened, 0, asked).outlook(), as_json)  # fmt: skip
        return
    sent = submission.submit(opened, asked, paid_shots=paid_shots, paid=yes, again=again)
    _carry_on(opened, sent, preflight_wait=wait, wait=0.0, strict=False, as_json=as_json)


def fetch(
    run: RunFolder,
    number: Annotated[
        int | None, typer.Option("--submission", help="Which one; all unless told.")
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", help="Seconds to wait for jobs that are not done.")
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Store what submitted jobs have measured, and score it beside the simulator's draws.

    Jobs of a submission that were not sent yet are sent. Exit code 5 if some are not done.
    """
    from qhyper import submission
    from qhyper.runs import Run

    opened = Run.open(run)
    asked = submission.numbers(opened) if number is None else [number]
    if not asked:
        raise StorageError(
            f"{run} has no submissions. Make one with `qhyper submit {run} --backend …`."
        )
    late: Exception | None = None
    for each in asked:
        written = submission.read(opened, each)
        if "outcome" in written:
            _show(opened, written, as_json)
            continue
        try:
            _carry_on(opened, submission.reopen(opened, each), preflight_wait=wait, wait=wait,
                      strict=True, as_json=as_json)  # fmt: skip
        except PendingError as error:  # one that is not done holds up no other
            warn(f"Submission {each}: {error}")
            late = error
    if late is not None:
        raise late


def jobs(
    runs: RunFolders = None,
    resend: Annotated[
        str | None,
        typer.Option("--resend", metavar="KEY", help="Send a failed or unknown job again."),
    ] = None,
    adopt: Annotated[
        tuple[str, str] | None,
        typer.Option("--adopt", metavar="KEY JOB_ID", help="Say which job at the vendor it is."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of run directories.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """Show the jobs that were sent to quantum computers, or settle one that failed or is unknown.

    --resend pays for a job a second time if the vendor has the first one after all: its tag is
    looked up before, where the vendor can.
    """
    from qhyper import settlement
    from qhyper.quantum.cloud.ledger import exists
    from qhyper.runs import Run

    folders = runs or sorted(path for path in out.glob("*") if exists(path))
    opened = [Run.open(path) for path in folders]
    if resend is not None and adopt is not None:
        raise ConfigurationError("Got --resend and --adopt; expected one of them at a time.")
    if resend is not None:
        print(settlement.resend(opened, resend, warn), file=sys.stderr)
    if adopt is not None:
        print(settlement.adopt(opened, *adopt), file=sys.stderr)
    found = [(run, record) for run in opened for record in settlement.records(run)]
    if as_json:
        print(json.dumps([{"run": str(run.path), **settlement.shown(r)} for run, r in found]))
        return
    _print_jobs(found)


def _seeds(text: str, run: Any, entry: Any) -> tuple[int, ...]:
    from qhyper.submission import best_seed

    if text == "best":
        return (best_seed(run, entry),)
    if text == "all":
        return tuple(run.config.seeds)
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError:
        seeds = ()
    if not seeds or not set(seeds) <= set(run.config.seeds) or len(set(seeds)) < len(seeds):
        raise ConfigurationError(
            f"Got --seeds {text}; expected best, all, or some of the seeds of the run: "
            f"{', '.join(map(str, run.config.seeds))}."
        )
    return seeds


def _carry_on(run: Any, sent: Any, *, preflight_wait: float, wait: float, strict: bool,
              as_json: bool) -> None:  # fmt: skip
    """Send and fetch; show the outcome, or how far it is."""
    from qhyper.quantum.cloud.dispatch import check_ended
    from qhyper.runs import stop_on_signals

    with stop_on_signals() as stop:
        records, outcome = sent.carry_on(
            preflight_wait=preflight_wait, wait=wait, stop=stop, warn=warn
        )
    if outcome is not None:
        _show(run, outcome, as_json)
        return
    if strict:
        check_ended(records, str(sent.backend))
    states = {state: sum(r.state == state for r in records) for state in {r.state for r in records}}
    how = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    if as_json:
        print(json.dumps({"submission": sent.number, "jobs": states}))
    print(
        f"Submission {sent.number}: {how}. See `qhyper jobs {run.path}`; get the draws with "
        f"`qhyper fetch {run.path}`.",
        file=sys.stderr,
    )


def _show(run: Any, outcome: dict[str, Any], as_json: bool) -> None:
    from qhyper.hardware import table

    if as_json:
        print(json.dumps(outcome))
    else:
        console().print(table(outcome))
    page = run.path / "submissions" / f"{outcome['number']:03d}" / "report.html"
    print(f"Report: {page}", file=sys.stderr)


def _print(title: str, pairs: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(pairs))
    else:
        print_pairs(title, pairs)


def _print_jobs(found: list[tuple[Any, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Jobs on quantum computers")
    for column in ("run", "key", "for", "backend", "state", "rows × shots", "sent", "job", "note"):
        table.add_column(column, overflow="fold")
    for run, record in found:
        sent = "" if record.sent is None else time.strftime("%F %T", time.localtime(record.sent))
        cells = (
            run.path.name, record.key[:12], f"{record.scope}, {record.purpose} #{record.chunk}",
            record.service, str(record.state), f"{record.rows} × {record.shots}", sent,
            record.job_id or "", record.message or record.note,
        )  # fmt: skip
        table.add_row(*map(escape, cells))
    console().print(table)
