"""The command line: parse, call, print. Results go to stdout, everything else to stderr."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from qhyper.cli import cloud
from qhyper.cli.carry_out import resume, start
from qhyper.cli.certify import certify
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
from qhyper.cli.report import report
from qhyper.cli.runs import runs
from qhyper.cli.sweep import sweep
from qhyper.cli.terminal import (
    output,
)
from qhyper.cli.tune import tune_by
from qhyper.cli.values import (
    combinations,
    entry_tables,
    files_and_pairs,
    names,
    one_entry,
    read_values,
    seeds_of,
)
from qhyper.cli.work import work
from qhyper.errors import QhyperError
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
    start(
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
    start(name or "train", given, out, as_json, yes=yes, dry_run=dry_run, log=log)


command(
    ASK,
    """
    qhyper certify --data digits
    qhyper certify mine.csv --label species --layers 4,3,2 --json
    """,
)(certify)
command(GO_ON, "qhyper resume runs/20250102-030405-compare-1a2b3c4d")(resume)
command(
    GO_ON,
    """
    qhyper compare --data digits --prepare     # prints the run directory
    qhyper work runs/...-compare-1a2b3c4d      # on every machine that is to help
    """,
)(work)
command(RESULTS, "qhyper report runs/*-compare-*")(report)
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
