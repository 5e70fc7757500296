"""Options that several commands take, as typer reads them.

The first line of each help stands alone in a short help; the whole is what is shown in full.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from qhyper.cli.completion import completed
from qhyper.cli.help import BUDGET, DEVICES, HOW, NETWORK, OUTPUT, TABLE, WHAT, WHERE
from qhyper.cli.numbers import count

KEY_VALUE: Any = {"metavar": "KEY=VALUE"}
NUMBER: Any = {"metavar": "N", "parser": count}
"""Of an option that is a whole number."""

# -- what ------------------------------------------------------------------------------------------

DataFile = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        help="A name (toy), or your .csv, .tsv or .npz file.\nIn short for --data.",
        autocompletion=completed("data set"),
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="TOML file of settings; options go before it.\n"
        "Paths in it are from here or beside it.",
        rich_help_panel=WHAT.rest,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        **KEY_VALUE,
        help="Any setting of the configuration; repeatable.",
        rich_help_panel=WHAT.rest,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="NAME",
        help="toy, digits, mnist, fashion-mnist, cifar-10, cifar-100, gaussians, a path to .npz, "
        ".csv or .tsv, or module:function.",
        rich_help_panel=WHAT.rest,
        autocompletion=completed("data set"),
    ),
]
DataOption = Annotated[
    list[str] | None,
    typer.Option(
        "--data-option",
        **KEY_VALUE,
        help="An option of the data set, such as size=28 or digits=all of mnist; repeatable.",
        rich_help_panel=WHAT.rest,
    ),
]
# -- budget ----------------------------------------------------------------------------------------

Evaluations = Annotated[
    int | None,
    typer.Option(
        "--evaluations",
        **NUMBER,
        help="Bitstrings that are scored (300000); or 10k, 1e6.",
        rich_help_panel=BUDGET,
    ),
]
Shots = Annotated[
    int | None,
    typer.Option(
        "--shots",
        **NUMBER,
        help="Bitstrings that are drawn, by all steps together (in a step: draws).",
        rich_help_panel=BUDGET.rest,
    ),
]
Circuits = Annotated[
    int | None,
    typer.Option(
        "--circuits",
        **NUMBER,
        help="Circuits that are run, by all steps together.",
        rich_help_panel=BUDGET.rest,
    ),
]
Rows = Annotated[
    int | None,
    typer.Option(
        "--rows",
        **NUMBER,
        help="Evaluations times the rows of data of each.",
        rich_help_panel=BUDGET.rest,
    ),
]

# -- data or loss of one's own ---------------------------------------------------------------------

Label = Annotated[
    str | None,
    typer.Option(
        "--label",
        metavar="NAME",
        help="Column of the labels in a table (the last one).",
        rich_help_panel=TABLE,
    ),
]
Drop = Annotated[
    list[str] | None,
    typer.Option(
        "--drop",
        metavar="NAME",
        help="Column of a table to leave out; repeatable.\nSuch as names or row numbers.",
        rich_help_panel=TABLE.rest,
    ),
]
Missing = Annotated[
    str | None,
    typer.Option(
        "--missing",
        metavar="drop",
        help="Leave out rows of a table with missing values.",
        rich_help_panel=TABLE.rest,
    ),
]
Scale = Annotated[
    str | None,
    typer.Option(
        "--scale",
        metavar="NAME",
        help="Shift and scale features by the training rows: standard, median, minmax or none.",
        rich_help_panel=TABLE.rest,
        autocompletion=lambda: ["standard", "median", "minmax", "none"],
    ),
]
Test = Annotated[
    str | None,
    typer.Option(
        "--test",
        metavar="FILE",
        help="File of test rows for a path as data.",
        rich_help_panel=TABLE.rest,
    ),
]
HeldOut = Annotated[
    float | None,
    typer.Option(
        "--held-out",
        metavar="SHARE",
        help="Share of the training rows on which networks are chosen (a sixth where training sees "
        "mini-batches, else none).",
        rich_help_panel=TABLE.rest,
    ),
]

OwnObjective = Annotated[
    str | None,
    typer.Option(
        "--objective",
        metavar="MODULE:NAME",
        help="Your own loss of so many --bits, in place of data.\n"
        "A callable from bits [draw, bit] to one loss a draw.",
        rich_help_panel=TABLE,
    ),
]
NumberOfBits = Annotated[
    int | None,
    typer.Option(
        "--bits", **NUMBER, help="How many bits your own loss is of.", rich_help_panel=TABLE.rest
    ),
]

# -- the network -----------------------------------------------------------------------------------

Layers = Annotated[
    str | None,
    typer.Option(
        "--layers",
        metavar="N,N,...",
        help="Units of its layers, such as 4,6,2.",
        rich_help_panel=NETWORK,
    ),
]
Loss = Annotated[
    str | None,
    typer.Option(
        "--loss",
        metavar="NAME",
        help="cross_entropy, squared_error, accuracy, or module:function, your own loss of logits "
        "[row, class] and labels [row].",
        rich_help_panel=NETWORK.rest,
        autocompletion=completed("loss"),
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="NAME",
        help="What the bits mean: layered or packed (by size unless told), convolutional, "
        "callable, table, or module:Class.",
        rich_help_panel=NETWORK.rest,
        autocompletion=completed("target"),
    ),
]
TargetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--target-option",
        **KEY_VALUE,
        help="An option of the target; repeatable.",
        rich_help_panel=NETWORK.rest,
    ),
]
Biases = Annotated[
    bool | None,
    typer.Option("--biases/--no-biases", help="Give units biases.", rich_help_panel=NETWORK.rest),
]
Values = Annotated[
    list[str] | None,
    typer.Option(
        "--values",
        metavar="LOW,HIGH",
        help="What bit 0 and bit 1 of a weight stand for (-1,1); repeated, bits choose.",
        rich_help_panel=NETWORK.rest,
    ),
]
Activation = Annotated[
    str | None,
    typer.Option(
        "--activation",
        metavar="NAMES",
        help="sign, relu, sigmoid or tanh; of several, bits choose.",
        rich_help_panel=NETWORK.rest,
    ),
]
Optional = Annotated[
    str | None,
    typer.Option(
        "--optional",
        metavar="NAMES",
        help="What bits can leave out: biases, units, layers.",
        rich_help_panel=NETWORK.rest,
    ),
]
SignOfZero = Annotated[
    int | None,
    typer.Option(
        "--sign-of-zero", metavar="1|0", help="1 (default) or 0.", rich_help_panel=NETWORK.rest
    ),
]

# -- how -------------------------------------------------------------------------------------------

Tests = Annotated[
    list[str] | None,
    typer.Option(
        "--test",
        metavar="A:B|FILE",
        help="A pair of entries to test, or a file of test rows.\n"
        "Entry A against entry B, in place of the usual pairs; repeatable. A file is for a path as "
        "data.",
        rich_help_panel=HOW,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Where generators compute: cpu or cuda.",
        rich_help_panel=WHERE.rest,
        autocompletion=lambda: ["cpu", "cuda"],
    ),
]

# -- where -----------------------------------------------------------------------------------------

Processes = Annotated[
    int | None,
    typer.Option(
        "--processes",
        min=1,
        metavar="N",
        help="Entries side by side (all cores); same results.\nEach is carried out by one thread.",
        rich_help_panel=WHERE.rest,
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Carry the entries out on the workers of this scheduler of dask.distributed, such as "
        "tcp://127.0.0.1:8786; same results.",
        rich_help_panel=WHERE.rest,
    ),
]
Prepare = Annotated[
    bool,
    typer.Option(
        "--prepare",
        help="Make the run directory and stop: `qhyper work` carries it out.",
        rich_help_panel=WHERE.rest,
    ),
]

# -- quantum computers -----------------------------------------------------------------------------

PaidShots = Annotated[
    int | None,
    typer.Option(
        "--paid-shots",
        **NUMBER,
        help="Shots that quantum computers may be sent in all (100000).",
        rich_help_panel=DEVICES.rest,
    ),
]
MaxCost = Annotated[
    float | None,
    typer.Option(
        "--max-cost",
        metavar="DOLLARS",
        help="US dollars that the run's jobs may cost, by known prices.",
        rich_help_panel=DEVICES.rest,
    ),
]
MaxJobs = Annotated[
    int | None,
    typer.Option(
        "--max-jobs",
        **NUMBER,
        help="Jobs that the run may send, every attempt.",
        rich_help_panel=DEVICES.rest,
    ),
]
MaxCostPerDay = Annotated[
    float | None,
    typer.Option(
        "--max-cost-per-day",
        metavar="DOLLARS",
        help="US dollars in 24 hours, for all runs in the folder.",
        rich_help_panel=DEVICES.rest,
    ),
]
MaxJobsPerDay = Annotated[
    int | None,
    typer.Option(
        "--max-jobs-per-day",
        **NUMBER,
        help="Jobs in 24 hours, for all runs in the folder.",
        rich_help_panel=DEVICES.rest,
    ),
]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes",
        help="Allow as many paid shots as the plan takes: see --dry-run.",
        rich_help_panel=DEVICES.rest,
    ),
]

# -- output ----------------------------------------------------------------------------------------

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Print what it would take, and how long; no more.\n"
        "Nothing is stored or sent; a moment of each entry is tried, your own code with it.",
        rich_help_panel=OUTPUT,
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="What the run is called, in its folder's name too.",
        rich_help_panel=OUTPUT.rest,
    ),
]
Log = Annotated[
    str | None,
    typer.Option(
        "--log",
        metavar="SINK",
        help="Log learning curves and results: tensorboard (in the run's folder), mlflow or wandb "
        "(where their environment says), or module:Class.",
        rich_help_panel=OUTPUT.rest,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FOLDER",
        help="Folder that run directories are in (runs).",
        rich_help_panel=OUTPUT,
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print JSON instead of tables.", rich_help_panel=OUTPUT),
]

# -- arguments -------------------------------------------------------------------------------------

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")]
RunFolders = Annotated[list[Path], typer.Argument(metavar="RUN", help="Run directories.")]
