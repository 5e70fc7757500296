"""The commands for quantum computers: submit, jobs, fetch."""

import json
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from qhyper.cli.assignments import assign, counts_of
from qhyper.cli.completion import completed
from qhyper.cli.help import HOW, OUTPUT, WHAT
from qhyper.cli.numbers import whole_number
from qhyper.cli.options import (
    KEY_VALUE,
    NUMBER,
    Json,
    MaxCost,
    MaxCostPerDay,
    MaxJobs,
    MaxJobsPerDay,
    Out,
    PaidShots,
    RunFolder,
    Yes,
)
from qhyper.cli.terminal import console, print_pairs, warn
from qhyper.errors import (
    ConfigurationError,
    Interrupted,
    PendingError,
    QhyperError,
    StorageError,
)

RunFolders = Annotated[
    list[Path] | None,
    typer.Argument(metavar="RUN", help="Run directories; all of runs/ unless told."),
]


def submit(
    run: RunFolder,
    backend: Annotated[
        str,
        typer.Option(
            "--backend",
            metavar="NAME",
            help="Quantum computer, such as ibm:NAME.\nOr braket:NAME, ionq:NAME, azure:NAME, "
            "qiskit:module:object of a BackendV2, or module:Class of a service of your own.",
            rich_help_panel=WHAT,
            autocompletion=completed("service"),
        ),
    ],
    entry: Annotated[
        str | None,
        typer.Option(
            "--entry",
            metavar="NAME",
            help="Which generator of the run, if it has several.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    seeds: Annotated[
        str,
        typer.Option(
            "--seeds",
            metavar="WHICH",
            help="best (of lowest mean loss), all, or such as 0,3.",
            rich_help_panel=WHAT,
        ),
    ] = "best",
    shots: Annotated[
        int,
        typer.Option(
            "--shots",
            **NUMBER,
            help="Bitstrings that are drawn for each seed (1024).",
            rich_help_panel=HOW,
        ),
    ] = 1024,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            **KEY_VALUE,
            help="An option of the backend; repeatable.",
            rich_help_panel=HOW,
        ),
    ] = None,
    mitigate: Annotated[
        bool,
        typer.Option(
            "--mitigate",
            help="Measure the readout errors too, for mthree.",
            rich_help_panel=HOW,
        ),
    ] = False,
    paid_shots: PaidShots = None,
    max_cost: MaxCost = None,
    max_jobs: MaxJobs = None,
    max_cost_per_day: MaxCostPerDay = None,
    max_jobs_per_day: MaxJobsPerDay = None,
    yes: Yes = False,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Send once more what was sent before.",
            rich_help_panel=HOW,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print what it would take, and send nothing.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    wait: Annotated[
        float,
        typer.Option(
            "--wait",
            metavar="SECONDS",
            help="How long to wait for the preflight (60).",
            rich_help_panel=HOW,
        ),
    ] = 60.0,
    as_json: Json = False,
) -> None:
    """Send a trained circuit to a quantum computer, and return.

    `qhyper fetch` gets what it measures, on any day.
    """
    from qhyper.quantum.cloud.caps import Caps
    from qhyper.run.directory import Run
    from qhyper.submit import submission
    from qhyper.submit.stored import SubmissionSettings

    options: dict[str, Any] = {}
    for assignment in option or []:
        assign(options, assignment, counts_of(backend, "service", "simulator"))
    opened = Run.open(run)
    chosen = submission.entry_of(opened, entry)
    settings = SubmissionSettings(
        entry=chosen.title,
        seeds=_seeds(seeds, opened, chosen),
        shots=shots,
        backend=backend,
        options=options,
        calibration_shots=submission.CALIBRATION_SHOTS if mitigate else 0,
    )
    caps = Caps(max_cost, max_jobs, max_cost_per_day, max_jobs_per_day)
    if dry_run:
        planned = submission.Submission(opened, settings)
        told = planned.outlook() | {"what is sent": planned.preview()}
        _print(f"submit {run}: nothing was sent",
               {key: value for key, value in told.items() if value}, as_json)  # fmt: skip
        return
    sent = submission.submit(
        opened, settings, paid_shots=paid_shots, caps=caps, paid=yes, again=again
    )
    found, told = _carry_on(sent, wait, 0.0, False)
    if as_json:
        print(json.dumps(told))
    elif found:
        _show(sent.identity)


def fetch(
    runs: RunFolders = None,
    number: Annotated[
        int | None,
        typer.Option(
            "--submission",
            **NUMBER,
            help="Which one of a run; all unless told.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(
            "--wait",
            metavar="SECONDS",
            help="How long to wait for jobs that are not done (0).",
            rich_help_panel=HOW,
        ),
    ] = 0.0,
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """Get what submitted jobs have measured, and score it.

    It stands beside what the simulator draws. Draws whose preflight was still on its way are sent.
    Exit code 5 if some are not done.
    """
    from qhyper.run.directory import Run
    from qhyper.submit.stored import FOLDER, Identity, submissions
    from qhyper.submit.submission import begun

    folders = runs or sorted(path.parent for path in out.glob(f"*/{FOLDER}"))
    opened = [Run.open(path) for path in folders]
    if number is not None and len(opened) != 1:
        raise ConfigurationError(f"--submission {number} is of one run; got {len(opened)} runs.")
    asked = [
        each
        for run in opened
        for each in (submissions(run) if number is None else [Identity(run, number)])
    ]
    if not asked:
        where = ", ".join(map(str, folders or [out]))
        raise StorageError(
            f"{where} has no submissions. Make one with `qhyper submit RUN --backend …`."
        )
    told, late = [], []
    for each in asked:
        name = str(each) if len(opened) > 1 else each.title
        written = each.read()
        try:
            if written.found is not None:
                told.append(written.to_json())
                if number is None and not as_json:
                    print(f"{name} was fetched before: {each.page}", file=sys.stderr)
                    continue
            elif not begun(each):
                # what the user was told was not sent is not sent now
                raise PendingError(
                    "it was never sent. The `qhyper submit` that made it, said again, sends it."
                )
            else:
                _collect(each, wait)
                told.append(_carry_on(_reopened(each), wait, wait, True)[1])
            if not as_json:
                _show(each)
        except Interrupted:
            raise
        except QhyperError as error:  # one that failed or is not done holds up no other
            late.append(error)
            told.append({"number": each.number, "error": str(error), "exit_code": error.exit_code})
            if len(asked) > 1:
                warn(f"{name}: {error}")
    if as_json:
        print(json.dumps(told[0] if number is not None else {"submissions": told}))
    if late:
        # a job that is pending may still succeed
        worst = min(late, key=lambda error: error.exit_code == PendingError.exit_code)
        if len(asked) == 1:
            raise type(worst)(f"{asked[0].title}: {worst}")
        raise type(worst)(f"{len(late)} of {len(asked)} submissions are not fetched; see above.")


def jobs(
    runs: RunFolders = None,
    refresh: Annotated[
        bool,
        typer.Option(
            "--refresh",
            help="Ask the vendors where the submitted jobs are.",
            rich_help_panel=HOW,
        ),
    ] = False,
    resend: Annotated[
        str | None,
        typer.Option(
            "--resend",
            metavar="KEY|all",
            help="Send what did not succeed again, one job or all.",
            rich_help_panel=HOW,
        ),
    ] = None,
    adopt: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--adopt",
            metavar="KEY JOB_ID",
            help="Say which job at the vendor it is.",
            rich_help_panel=HOW,
        ),
    ] = None,
    adopt_from: Annotated[
        Path | None,
        typer.Option(
            "--adopt-from",
            metavar="FILE",
            help="The same for many: pairs, one a line.",
            rich_help_panel=HOW,
        ),
    ] = None,
    cancel: Annotated[
        str | None,
        typer.Option(
            "--cancel",
            metavar="KEY",
            help="Ask the vendor to cancel a submitted job.",
            rich_help_panel=HOW,
        ),
    ] = None,
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """Show the jobs that were sent, or settle those that failed.

    --resend pays for a job a second time if the vendor has the first one after all: it is looked
    up under all its tags before, where the vendor can.
    """
    from qhyper.quantum.cloud.ledger_file import exists
    from qhyper.run.directory import Run
    from qhyper.submit import jobs as listed

    folders = runs or sorted(path for path in out.glob("*") if exists(path))
    opened = [Run.open(path) for path in folders]
    given = {"--resend": resend, "--adopt": adopt, "--adopt-from": adopt_from, "--cancel": cancel}
    asked = [option for option, value in given.items() if value is not None]
    if len(asked) > 1:
        raise ConfigurationError(f"Got {' and '.join(asked)}; expected one of them at a time.")
    done: Iterable[str] = ()
    if resend is not None:
        done = listed.resend(opened, resend, warn)
    if adopt is not None or adopt_from is not None:
        pairs = [adopt] if adopt is not None else listed.pairs(adopt_from or Path())
        done = (listed.adopt(opened, *pair, warn) for pair in pairs)
    if cancel is not None:
        done = [listed.cancel(opened, cancel, warn)]
    for line in done:
        print(line, file=sys.stderr)
    queues: dict[str, str] = {}
    if refresh:
        for run in opened:
            queues |= listed.queues(run, warn)
    found = [(run, record) for run in opened for record in listed.records(run)]
    if as_json:
        print(json.dumps([
            {"run": str(run.path), **r.values(), "queue": queues.get(r.key)} for run, r in found
        ]))  # fmt: skip
        return
    _print_jobs(found, ", ".join(map(str, runs or [out])), queues)


def _seeds(text: str, run: Any, entry: Any) -> tuple[int, ...]:
    from qhyper.submit.submission import best_seed

    if text == "best":
        return (best_seed(run, entry),)
    if text == "all":
        return tuple(run.config.seeds)
    try:
        seeds = tuple(whole_number(part) for part in text.split(","))
    except ValueError:
        seeds = ()
    if not seeds or not set(seeds) <= set(run.config.seeds) or len(set(seeds)) < len(seeds):
        raise ConfigurationError(
            f"Got --seeds {text}; expected best, all, or some of the seeds of the run: "
            f"{', '.join(map(str, run.config.seeds))}."
        )
    return seeds


def _collect(submission: Any, wait: float) -> None:
    """Store what was measured, before anything that could be missing on this machine is needed."""
    from qhyper.run.directory import stop_on_signals
    from qhyper.submit.submission import collect

    with stop_on_signals() as stop:
        collect(submission, wait, stop=stop, warn=warn)


def _reopened(submission: Any) -> Any:
    """The submission, ready to be scored; an error says that the shots are safe all the same."""
    from qhyper.submit.submission import reopen

    try:
        return reopen(submission)
    except QhyperError as error:
        raise type(error)(
            f"{error} What was measured so far is stored in {submission.run.path / 'samples'}; "
            "`qhyper fetch` scores it once this is mended."
        ) from error


def _carry_on(
    sent: Any, preflight_wait: float, wait: float, strict: bool
) -> tuple[bool, dict[str, Any]]:
    """Send and fetch: whether it is complete, and as JSON what was found or how far it is.

    If `strict`, what is not done is an error.
    """
    from qhyper.quantum.cloud.advice import check_ended
    from qhyper.run.directory import stop_on_signals

    with stop_on_signals() as stop:
        records, complete = sent.carry_on(
            preflight_wait=preflight_wait, wait=wait, stop=stop, warn=warn
        )
    if complete is not None:
        return True, complete.to_json()
    try:
        check_ended(records, str(sent.backend))
    except PendingError:
        if strict:
            raise
    states = {state: sum(r.state == state for r in records) for state in {r.state for r in records}}
    how = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    print(
        f"{sent.identity.title}: {how}. Get the draws with `qhyper fetch {sent.run.path}`, on any "
        "day.",
        file=sys.stderr,
    )
    return False, {"number": sent.identity.number, "jobs": states}


def _show(submission: Any) -> None:
    from qhyper.submit.page import table

    console().print(table(submission.read()))
    print(f"Report: {submission.page}", file=sys.stderr)


def _print(title: str, pairs: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(pairs))
    else:
        print_pairs(title, pairs)


def _print_jobs(found: list[tuple[Any, Any]], where: str, queues: Mapping[str, str]) -> None:
    from rich.markup import escape
    from rich.table import Table

    if not found:
        print(f"No jobs in {where}.")
        return
    several = len({run.path for run, _ in found}) > 1
    table = Table(title="Jobs on quantum computers")
    for column in ("Key", "For", "State", "Circuits × shots", "Sent", "Job"):
        table.add_column(column, overflow="fold")
    notes, last = [], None
    for run, record in found:
        if several and run.path != last:
            table.add_section()
            table.add_row("", escape(run.path.name))
            last = run.path
        sent = (
            ""
            if record.sent is None
            else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.sent))
        )
        what = record.known or record.purpose
        chunk = f" #{record.chunk}" * bool(record.chunk)
        cells = (
            record.key[:8], f"{record.scope}, {what}{chunk}", str(record.state),
            f"{record.rows} × {record.shots}", sent, record.job_id or "",
        )  # fmt: skip
        table.add_row(*map(escape, cells))
        charged = f"charged: {record.charged}" * bool(record.charged)
        texts = (queues.get(record.key, ""), record.message, record.note, charged)
        notes += [f"{record.key[:8]}: {text}" for text in texts if text]
    console().print(table)
    for note in notes:
        print(note)
