"""The command line: parse, call, print. Results go to stdout, everything else to stderr."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from qhyper.cli import cloud
from qhyper.cli.check import check
from qhyper.cli.completion import completed
from qhyper.cli.doctor import doctor
from qhyper.cli.export import export
from qhyper.cli.help import BUDGET, HELP, HOW, WHAT, Command, Group, show_version
from qhyper.cli.merge import merge
from qhyper.cli.options import (
    KEY_VALUE,
    NUMBER,
    Activation,
    Biases,
    Circuits,
    ConfigFile,
    Data,
    DataFile,
    DataOption,
    Device,
    Drop,
    DryRun,
    Evaluations,
    HeldOut,
    Json,
    Label,
    Layers,
    Log,
    Loss,
    MaxCost,
    MaxCostPerDay,
    MaxJobs,
    MaxJobsPerDay,
    Missing,
    Name,
    NumberOfBits,
    Optional,
    Out,
    OwnObjective,
    PaidShots,
    Prepare,
    Processes,
    Rows,
    RunFolder,
    RunFolders,
    Scale,
    Scheduler,
    Set,
    Shots,
    SignOfZero,
    Target,
    TargetOption,
    Test,
    Tests,
    Values,
    Yes,
)
from qhyper.cli.runs import runs
from qhyper.cli.sweep import print_sweep, sweep
from qhyper.cli.terminal import (
    counted_titles,
    output,
    print_comparison,
    print_outcome,
    print_pairs,
    progress,
    warn,
)
from qhyper.cli.tune import tune_by
from qhyper.cli.values import (
    check_where,
    combinations,
    entry_tables,
    files_and_pairs,
    names,
    one_entry,
    read_values,
    seeds_of,
)
from qhyper.errors import ConfigurationError, Interrupted, JobError, PendingError, QhyperError
from qhyper.quantum.cloud.redaction import redacted, traceback_of

app = typer.Typer(
    cls=Group,
    help="Compare classical and quantum generators of binary networks, against a proven optimum.",
    epilog="""
    qhyper compare
    qhyper compare mine.csv --label species --evaluations 10k --seeds 5
    qhyper train --data digits --generator quantum-depth4
    """,
    context_settings={"help_option_names": list(HELP)},
    rich_markup_mode=None,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
)
Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=show_version, is_eager=True, help="Print the version, and stop."
    ),
]

ASK = "Ask"
GO_ON = "Go on"
RESULTS = "Look at results"
COMPUTERS = "Quantum computers"
OWN = "Your own code, and this machine"


@app.callback()
def qhyper(ctx: typer.Context, version: Version = False) -> None:
    """Without a command it says what there is."""
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def command(heading: str, examples: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a command of a function, under a heading of the help."""
    return app.command(cls=Command, rich_help_panel=heading, epilog=examples)


@command(
    ASK,
    """
    qhyper compare --evaluations 10k --seeds 5
    qhyper compare mine.csv --label species --generators product,bernoulli
    qhyper compare --data digits --backends mps,aer --dry-run
    """,
)
def compare(
    file: DataFile = None,
    generators: Annotated[
        str | None,
        typer.Option(
            "--generators",
            metavar="NAMES",
            help="Names with commas between (the usual ones).\nGenerators and controls, which "
            "`qhyper doctor` lists, or module:Class of your own.",
            rich_help_panel=WHAT,
            autocompletion=completed("generator", "control"),
        ),
    ] = None,
    config: ConfigFile = None,
    data: Data = None,
    label: Label = None,
    drop: Drop = None,
    missing: Missing = None,
    data_option: DataOption = None,
    test: Tests = None,
    scale: Scale = None,
    held_out: HeldOut = None,
    target: Target = None,
    target_option: TargetOption = None,
    layers: Layers = None,
    biases: Biases = None,
    values: Values = None,
    activation: Activation = None,
    optional: Optional = None,
    loss: Loss = None,
    sign_of_zero: SignOfZero = None,
    evaluations: Evaluations = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds",
            metavar="N|LIST",
            help="How many (10), or which, such as 3,5,8.",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    shots: Shots = None,
    circuits: Circuits = None,
    rows: Rows = None,
    backends: Annotated[
        str | None,
        typer.Option(
            "--backends",
            metavar="NAMES",
            help="Run each circuit on each of these.",
            rich_help_panel=HOW,
            autocompletion=completed("simulator"),
        ),
    ] = None,
    estimators: Annotated[
        str | None,
        typer.Option(
            "--estimators",
            metavar="NAMES",
            help="Train with each of these gradient estimators.",
            rich_help_panel=HOW,
            autocompletion=completed("estimator"),
        ),
    ] = None,
    risks: Annotated[
        str | None,
        typer.Option(
            "--risks",
            metavar="NAMES",
            help="Train for each of these risks.",
            rich_help_panel=HOW,
            autocompletion=completed("risk"),
        ),
    ] = None,
    device: Device = None,
    objective: OwnObjective = None,
    bits: NumberOfBits = None,
    setting: Set = None,
    paid_shots: PaidShots = None,
    max_cost: MaxCost = None,
    max_jobs: MaxJobs = None,
    max_cost_per_day: MaxCostPerDay = None,
    max_jobs_per_day: MaxJobsPerDay = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    prepare: Prepare = False,
    processes: Processes = None,
    scheduler: Scheduler = None,
    name: Name = None,
    log: Log = None,
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """Compare generators at the same budget, against the proven optimum."""
    file_of_tests, tested = files_and_pairs(test)
    asked = locals() | {"test": file_of_tests}
    given = read_values(config, setting, asked)
    if tested:
        given["tests"] = tested
    if seeds is not None:
        given["seeds"] = seeds_of(seeds, "--seeds")
    if generators is not None:
        listed = {entry.get("label", entry.get("name")): entry for entry in entry_tables(given)}
        given["entries"] = [listed.get(title, {"name": title}) for title in names(generators)]
    axes = {"backend": names(backends), "estimator": names(estimators), "risk": names(risks)}
    combined = any(axes.values())
    if combined:
        given["entries"] = combinations(entry_tables(given), axes)
    _start(
        name or ("tune" if "tune" in given else "compare"), given, out, as_json,
        combined=combined, yes=yes, dry_run=dry_run, prepare=prepare, processes=processes,
        scheduler=scheduler, log=log,
    )  # fmt: skip


@command(
    ASK,
    """
    qhyper train --data digits --generator quantum-depth4 --draws 128
    qhyper train mine.csv --generator mlp --option latent_bits=8
    qhyper train --objective mine:loss --bits 12 --risk cvar
    """,
)
def train(
    file: DataFile = None,
    generator: Annotated[
        str | None,
        typer.Option(
            "--generator",
            metavar="NAME",
            help="A name, or module:Class (quantum-depth2).",
            rich_help_panel=WHAT,
            autocompletion=completed("generator", "control"),
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            **KEY_VALUE,
            help="An option of the generator; repeatable.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    config: ConfigFile = None,
    data: Data = None,
    label: Label = None,
    drop: Drop = None,
    missing: Missing = None,
    data_option: DataOption = None,
    test: Test = None,
    scale: Scale = None,
    held_out: HeldOut = None,
    target: Target = None,
    target_option: TargetOption = None,
    layers: Layers = None,
    biases: Biases = None,
    values: Values = None,
    activation: Activation = None,
    optional: Optional = None,
    loss: Loss = None,
    sign_of_zero: SignOfZero = None,
    evaluations: Evaluations = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", **NUMBER, help="Which seed (0).", rich_help_panel=BUDGET),
    ] = None,
    restarts: Annotated[
        int | None,
        typer.Option(
            "--restarts",
            **NUMBER,
            help="Fresh starts that share the budget.",
            rich_help_panel=BUDGET.rest,
        ),
    ] = None,
    shots: Shots = None,
    circuits: Circuits = None,
    rows: Rows = None,
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            metavar="NAME",
            help="Where circuits run (chosen by the circuit).\nmps, statevector, "
            "pennylane:DEVICE or aer:METHOD; or a quantum computer, as for submit. Its options are "
            "--option backend_options.KEY=VALUE.",
            rich_help_panel=HOW,
            autocompletion=completed("simulator", "service"),
        ),
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(
            "--estimator",
            metavar="NAME",
            help="Gradient estimator (score-function).",
            rich_help_panel=HOW,
            autocompletion=completed("estimator"),
        ),
    ] = None,
    risk: Annotated[
        str | None,
        typer.Option(
            "--risk",
            metavar="NAME",
            help="What is minimised (expectation).\nOr cvar, free-energy, mmd.",
            rich_help_panel=HOW,
            autocompletion=completed("risk"),
        ),
    ] = None,
    device: Device = None,
    draws: Annotated[
        int | None,
        typer.Option(
            "--draws",
            **NUMBER,
            help="Bitstrings drawn of each circuit in a step (64).",
            rich_help_panel=HOW,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate", metavar="R", help="Step size at the start.", rich_help_panel=HOW
        ),
    ] = None,
    training: Annotated[
        list[str] | None,
        typer.Option(
            "--training",
            **KEY_VALUE,
            help="A setting, such as optimizer=SGD; repeatable.",
            rich_help_panel=HOW,
        ),
    ] = None,
    objective: OwnObjective = None,
    bits: NumberOfBits = None,
    setting: Set = None,
    paid_shots: PaidShots = None,
    max_cost: MaxCost = None,
    max_jobs: MaxJobs = None,
    max_cost_per_day: MaxCostPerDay = None,
    max_jobs_per_day: MaxJobsPerDay = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    name: Name = None,
    log: Log = None,
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """Train one generator."""
    asked = locals()
    given = read_values(config, setting, asked)
    if seed is not None or "seeds" not in given:
        given["seeds"] = [seed or 0]
    given["entries"] = [
        one_entry(entry_tables(given), generator, option or [], training or [], backend,
                  {"draws": draws, "learning_rate": learning_rate, "restarts": restarts,
                   "estimator": estimator, "risk": risk})
    ]  # fmt: skip
    _start(name or "train", given, out, as_json, yes=yes, dry_run=dry_run, log=log)


@command(
    ASK,
    """
    qhyper certify --data digits
    qhyper certify mine.csv --label species --layers 4,3,2 --json
    """,
)
def certify(
    file: DataFile = None,
    config: ConfigFile = None,
    data: Data = None,
    label: Label = None,
    drop: Drop = None,
    missing: Missing = None,
    data_option: DataOption = None,
    test: Test = None,
    scale: Scale = None,
    held_out: HeldOut = None,
    target: Target = None,
    target_option: TargetOption = None,
    layers: Layers = None,
    biases: Biases = None,
    values: Values = None,
    activation: Activation = None,
    optional: Optional = None,
    loss: Loss = None,
    sign_of_zero: SignOfZero = None,
    temperature: Annotated[
        float | None,
        typer.Option("--temperature", metavar="T", help="Of log Z (0.05).", rich_help_panel=HOW),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            help="auto, classes or enumeration.",
            rich_help_panel=HOW,
            autocompletion=lambda: ["auto", "classes", "enumeration"],
        ),
    ] = "auto",
    objective: OwnObjective = None,
    bits: NumberOfBits = None,
    setting: Set = None,
    as_json: Json = False,
) -> None:
    """Prove the optimum of a landscape, with best accuracy and log Z."""
    asked = locals()
    from qhyper.run.cautions import before
    from qhyper.run.config import Config
    from qhyper.run.problem import build_problem

    settings = Config(**read_values(config, setting, asked))
    problem = build_problem(settings)
    objective_ = problem.objective
    for caution in before(problem):
        warn(caution)
    with progress() as show:
        exact = objective_.certify(
            temperature=settings.temperature, method=method,
            progress=lambda share: show("certificate", int(100 * share), 100),
        )  # fmt: skip
    certificate = {"data": problem.name, **exact.to_dict()}
    if as_json:
        print(json.dumps(certificate))
        return
    print_pairs(f"Certificate of {objective_.name}", certificate)
    if words := objective_.describe(exact.optimum):
        print(words)


@command(GO_ON, "qhyper resume runs/20250102-030405-compare-1a2b3c4d")
def resume(
    run: RunFolder,
    processes: Processes = None,
    scheduler: Scheduler = None,
    log: Log = None,
    as_json: Json = False,
) -> None:
    """Go on with a run that was interrupted.

    It ends as if it never had been.
    """
    from qhyper.run.directory import Run

    check_where(processes, scheduler)
    _execute(Run.open(run), as_json, processes, scheduler, log=log)


@command(
    GO_ON,
    """
    qhyper compare --data digits --prepare     # prints the run directory
    qhyper work runs/...-compare-1a2b3c4d      # on every machine that is to help
    """,
)
def work(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="Run directory or sweep, on a disk that all can see."),
    ],
    processes: Processes = None,
    as_json: Json = False,
) -> None:
    """Help with a run or a sweep, on any machine that sees its folder.

    Any number of these can help. Each claims trials that no other has, and goes on with those of
    one that was killed. The last one writes the report. The run is made by `qhyper compare ...
    --prepare` or `qhyper sweep FILE --prepare`, or is under way.
    """
    from qhyper.run.comparison import work as help_with
    from qhyper.run.directory import Run, stop_on_signals
    from qhyper.run.listing import GIVEN_UP, listed
    from qhyper.run.lock import at_work
    from qhyper.run.places import SWEEP
    from qhyper.run.sweep import help_with_sweep
    from qhyper.run.sweep_file import is_sweep
    from qhyper.threads import n_threads

    together = n_threads() if processes is None else processes
    opened = None if is_sweep(run) else Run.open(run)
    shown = progress({} if opened is None else counted_titles(opened.config))
    with stop_on_signals() as stop, shown as show:
        told: dict[str, Any] = {"stop": stop, "progress": show, "warn": warn}
        try:
            if opened is None:
                outcome = help_with_sweep(run, together, **told)
            else:
                outcome = help_with(opened, processes=together, **told)
        except Interrupted:
            raise Interrupted(
                f"Stopped by a signal; what was done is kept. Go on with: qhyper work {run}"
            ) from None
    if outcome is None:
        again = f"sweep {run / SWEEP} --out {run}" if is_sweep(run) else f"resume {run}"
        (found,) = listed(run)
        if found.state == GIVEN_UP:
            raise QhyperError(f"Given up: {found.detail}. Try again with: qhyper {again}")
        who = at_work(run)
        ends = f"qhyper {again} ends it" if who is None else f"{who} ends it"
        print(f"Nothing is left to do here: {ends}.", file=sys.stderr)
    elif isinstance(outcome, list):
        print_sweep(outcome, run, as_json)
    else:
        print_comparison(outcome, run, as_json)


@command(RESULTS, "qhyper report runs/*-compare-*")
def report(runs: RunFolders, as_json: Json = False) -> None:
    """Print the results of finished runs, and write their pages anew."""
    from qhyper.run.comparison import stored, write_report
    from qhyper.run.directory import Run
    from qhyper.submit.page import write_page
    from qhyper.submit.stored import submissions

    opened = [Run.open(path) for path in runs]
    outcomes = [stored(run) for run in opened]
    if as_json:
        found = [outcome.to_json() for outcome in outcomes]
        print(json.dumps(found[0] if len(found) == 1 else found))
    for run, outcome in zip(opened, outcomes, strict=True):
        report_file = write_report(run, outcome)
        if not as_json:
            print_outcome(outcome)
        print(f"Report: {report_file}", file=sys.stderr)
        for submission in submissions(run):
            if submission.read().found is not None:
                print(f"{submission.title}: {write_page(submission)}", file=sys.stderr)


command(
    ASK,
    """
    qhyper tune --data digits --generators bernoulli,product --evaluations 10k
    qhyper tune mine.csv --tuning-seeds 5 --tuning-evaluations 1M
    """,
)(tune_by(compare))
command(
    ASK,
    """
    qhyper sweep mine.toml --dry-run
    qhyper sweep mine.toml --processes 4
    """,
)(sweep)
command(RESULTS, "qhyper runs")(runs)
command(
    RESULTS,
    """
    qhyper export runs/*-compare-* --to all.csv
    qhyper export runs/...-compare-1a2b3c4d --figures figures
    """,
)(export)
command(GO_ON, "qhyper merge runs/*-shard-* --name whole")(merge)
command(
    COMPUTERS,
    """
    qhyper submit runs/...-train-1a2b3c4d --backend ibm:ibm_torino --dry-run
    qhyper submit runs/...-train-1a2b3c4d --backend ibm:ibm_torino --yes
    """,
)(cloud.submit)
command(
    COMPUTERS,
    """
    qhyper jobs --refresh
    qhyper jobs runs/...-train-1a2b3c4d --resend all
    """,
)(cloud.jobs)
command(COMPUTERS, "qhyper fetch runs/...-train-1a2b3c4d --wait 600")(cloud.fetch)
command(
    OWN,
    """
    qhyper check mine:Generator --option dim=8
    qhyper check bernoulli
    """,
)(check)
command(OWN, "qhyper doctor")(doctor)


def main() -> None:
    """Entry point of the `qhyper` command; errors on purpose become one line and an exit code."""
    # a user's own module:Class is found from where they stand, after everything that is installed
    if "" not in sys.path:
        sys.path.append("")
    try:
        with output():
            app(prog_name="qhyper")
    except QhyperError as error:
        print(f"qhyper: {redacted(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except MemoryError as error:
        print(f"qhyper: Out of memory: {str(error) or 'no more can be had'}. Lower the number of "
              "seeds, draws, bits or --processes, or raise the limit (ulimit -v).",
              file=sys.stderr)  # fmt: skip
        sys.exit(2)
    except Exception as error:  # a fault of ours, or of a package; the trace may hold a secret
        print(traceback_of(error), file=sys.stderr, end="")
        sys.exit(1)


# -- shared by the commands ------------------------------------------------------------------------


def _start(
    name: str,
    values: dict[str, Any],
    out: Path,
    as_json: bool,
    *,
    combined: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    prepare: bool = False,
    processes: int | None = None,
    scheduler: str | None = None,
    log: str | None = None,
) -> None:
    from qhyper.run.config import Config
    from qhyper.run.directory import Run, check_name
    from qhyper.run.named import check_named
    from qhyper.storage import check_folder

    if prepare and (scheduler or log or processes):
        raise ConfigurationError(
            "Got --prepare, which carries nothing out, with --processes, --scheduler or --log. "
            "Give these to what does: qhyper resume RUN, or --processes to qhyper work RUN."
        )
    check_where(processes, scheduler)
    check_name(name)
    config = Config(**values)
    if not combined:  # else what cannot work is left out
        check_named(config.entries or [])
    if not dry_run:
        check_folder(out)
    if scheduler is not None:
        from qhyper.run.cluster import check_scheduler

        check_scheduler(scheduler)
    print("Preparing: data, target and entries are read and checked.", file=sys.stderr)
    from qhyper.run.cautions import before
    from qhyper.run.comparison import plan

    # before a folder is made
    if log is not None:
        from qhyper.run.sinks import find_sink

        find_sink(log)
    made = plan(config, warn, combined=combined, paid=yes or dry_run)
    if made.problem.dataset is not None:
        print(f"Data: {made.problem.dataset}", file=sys.stderr)
    if not dry_run:
        run = Run.create(out, name, made.config)
        if prepare:
            print(run.path)
            print(f"Carry it out with: qhyper work {run.path}", file=sys.stderr)
            return
        _execute(run, as_json, processes, scheduler, made, log)
        return
    for caution in before(made.problem):
        warn(caution)
    from qhyper.cli.dry_run import print_plan
    from qhyper.threads import n_threads

    print_plan(name, made, n_threads() if processes is None else processes, as_json)


def _execute(
    run: Any,
    as_json: bool,
    processes: int | None,
    scheduler: str | None = None,
    made: Any = None,
    log: str | None = None,
) -> None:
    """Carry out what is not finished yet, and print the outcome."""
    from qhyper.machine import ignored_threads
    from qhyper.run.comparison import execute
    from qhyper.run.directory import stop_on_signals
    from qhyper.threads import n_threads

    for name, text in ignored_threads().items():
        warn(f"{name}={text} is no number of threads from 1 up, and is ignored.")
    together = n_threads() if processes is None else processes
    print(f"Run directory: {run.path}", file=sys.stderr)
    shown = progress(counted_titles(run.config))
    with stop_on_signals() as stop, shown as show, _logged(run, log, show) as (show, end):
        try:
            outcome = execute(
                run, made, processes=together, scheduler=scheduler, stop=stop, progress=show,
                warn=warn,
            )  # fmt: skip
            end(outcome)
        except Interrupted:
            raise Interrupted(
                f"Stopped by a signal; what was done is kept. Go on with: qhyper resume {run.path}"
            ) from None
        except (JobError, PendingError) as error:
            raise type(error)(f"{error} Go on with: qhyper resume {run.path}") from None
    print_comparison(outcome, run.path, as_json)


@contextmanager
def _logged(run: Any, log: str | None, show: Any) -> Iterator[tuple[Any, Any]]:
    """Within, progress that is logged too, and what logs the outcome."""
    if log is None:
        yield show, lambda outcome: None
        return
    from qhyper.run.sinks import Followed, build_sink

    with Followed(run, build_sink(log, run), show, warn) as followed:
        yield followed, followed.end
