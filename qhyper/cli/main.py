"""The command line: parse, call, print. Results go to stdout, everything else to stderr."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from qhyper.cli import cloud
from qhyper.cli.check import check
from qhyper.cli.doctor import doctor
from qhyper.cli.export import export
from qhyper.cli.merge import merge
from qhyper.cli.options import (
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
    integers,
    names,
    one_entry,
    read_values,
)
from qhyper.errors import ConfigurationError, Interrupted, JobError, PendingError, QhyperError
from qhyper.quantum.cloud.redaction import redacted, traceback_of

app = typer.Typer(
    help="Compare classical and quantum generators of binary networks, against a proven optimum.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def compare(
    file: DataFile = None,
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
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="How many (10), or a list such as 3,5,8.")
    ] = None,
    evaluations: Evaluations = None,
    shots: Shots = None,
    circuits: Circuits = None,
    rows: Rows = None,
    generators: Annotated[
        str | None,
        typer.Option("--generators", help="Names of generators and controls, with commas."),
    ] = None,
    backends: Annotated[
        str | None, typer.Option("--backends", help="Run each circuit on each of these.")
    ] = None,
    estimators: Annotated[
        str | None, typer.Option("--estimators", help="Train with each of these estimators.")
    ] = None,
    risks: Annotated[
        str | None, typer.Option("--risks", help="Train for each of these risks.")
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
    """Compare generators and controls at the same budget, against the certified optimum."""
    file_of_tests, tested = files_and_pairs(test)
    asked = locals() | {"test": file_of_tests}
    given = read_values(config, setting, asked)
    if tested:
        given["tests"] = tested
    if seeds is not None:
        numbers = integers(seeds, "--seeds") or []
        if len(numbers) == 1 and numbers[0] < 1:
            raise ConfigurationError(f"Got --seeds {seeds}; expected at least 1 seed.")
        given["seeds"] = numbers if "," in seeds else list(range(numbers[0]))
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


@app.command()
def train(
    file: DataFile = None,
    generator: Annotated[
        str | None, typer.Option("--generator", help="A name, or module:Class (quantum-depth2).")
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
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the run (0).")] = None,
    evaluations: Evaluations = None,
    shots: Shots = None,
    circuits: Circuits = None,
    rows: Rows = None,
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            help="mps, statevector, pennylane:DEVICE or aer:METHOD; chosen by the circuit unless "
            "told. Or a quantum computer, as for submit; its options are --option "
            "backend_options.KEY=VALUE.",
        ),
    ] = None,
    estimator: Annotated[
        str | None, typer.Option("--estimator", help="Gradient estimator (score-function).")
    ] = None,
    risk: Annotated[
        str | None, typer.Option("--risk", help="expectation, cvar, free-energy or mmd.")
    ] = None,
    device: Device = None,
    draws: Annotated[int | None, typer.Option("--draws", help="Shots of each circuit.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Step size at the start.")
    ] = None,
    restarts: Annotated[
        int | None, typer.Option("--restarts", help="Fresh starts that share the budget.")
    ] = None,
    training: Annotated[
        list[str] | None,
        typer.Option("--training", metavar="KEY=VALUE", help="A setting, such as optimizer=SGD."),
    ] = None,
    objective: OwnObjective = None,
    bits: NumberOfBits = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="An option of the generator."),
    ] = None,
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


@app.command()
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
        float | None, typer.Option("--temperature", help="Of log Z (0.05).")
    ] = None,
    method: Annotated[str, typer.Option("--method", help="auto, classes or enumeration.")] = "auto",
    objective: OwnObjective = None,
    bits: NumberOfBits = None,
    setting: Set = None,
    as_json: Json = False,
) -> None:
    """Prove the optimum: exact minimum, best accuracy, spectrum and log Z of a landscape."""
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


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    processes: Processes = None,
    scheduler: Scheduler = None,
    log: Log = None,
    as_json: Json = False,
) -> None:
    """Go on with a run that was interrupted; it ends as if it never had been."""
    from qhyper.run.directory import Run

    check_where(processes, scheduler)
    _execute(Run.open(run), as_json, processes, scheduler, log=log)


@app.command()
def work(
    run: Annotated[
        Path, typer.Argument(help="Run directory or sweep, on a disk that all can see.")
    ],
    processes: Processes = None,
    as_json: Json = False,
) -> None:
    """Help with a run or a sweep: any number of these, on any machines that see its folder.

    Each claims trials that no other has, and goes on with those of one that was killed. The last
    one writes the report. It is made by `qhyper compare ... --prepare` or `qhyper sweep
    FILE --prepare`, or is under way.
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
    with stop_on_signals() as stop, progress() as show:
        told: dict[str, Any] = {"stop": stop, "progress": show, "warn": warn}
        try:
            if is_sweep(run):
                outcome = help_with_sweep(run, together, **told)
            else:
                outcome = help_with(Run.open(run), processes=together, **told)
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


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories.")], as_json: Json = False
) -> None:
    """Print the results of finished runs again, and write their pages anew."""
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


app.command()(sweep)
app.command()(export)
app.command()(runs)
app.command()(merge)
app.command()(tune_by(compare))
app.command()(check)
app.command()(doctor)
app.command()(cloud.submit)
app.command()(cloud.jobs)
app.command()(cloud.fetch)


def main() -> None:
    """Entry point of the `qhyper` command; errors on purpose become one line and an exit code."""
    # a user's own module:Class is found from where they stand, after everything that is installed
    if "" not in sys.path:
        sys.path.append("")
    try:
        with output():
            app()
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
    entries = made.outlook()
    if as_json:
        print(json.dumps(entries))
        return
    for entry in entries:
        print_pairs(f"{name} {entry.pop('entry')}: nothing was run", entry)


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
    with stop_on_signals() as stop, progress() as show, _logged(run, log, show) as (show, end):
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
