"""Options that several commands take, as typer reads them."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file of settings; paths in it are from here or beside it."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Any setting of the configuration; repeatable."
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="toy, digits, mnist, fashion-mnist, cifar-10, cifar-100, gaussians, a path to .npz, "
        ".csv or .tsv, or module:function.",
    ),
]
DataFile = Annotated[
    str | None,
    typer.Argument(help="Your data, in short for --data: a path to .csv, .tsv or .npz, or a name."),
]
Label = Annotated[
    str | None,
    typer.Option(
        "--label", metavar="NAME", help="Column of the labels in your table (the last one)."
    ),
]
Drop = Annotated[
    list[str] | None,
    typer.Option(
        "--drop",
        metavar="NAME",
        help="Column of your table to leave out, such as names or row numbers; repeatable.",
    ),
]
Missing = Annotated[
    str | None,
    typer.Option(
        "--missing", metavar="drop", help="Leave out rows of your table with missing values."
    ),
]
Scale = Annotated[
    str | None,
    typer.Option(
        "--scale",
        help="Shift and scale features by the training rows: standard, median, minmax or none.",
    ),
]
DataOption = Annotated[
    list[str] | None,
    typer.Option(
        "--data-option",
        metavar="KEY=VALUE",
        help="An option of the data set, such as size=28 or digits=all of mnist; repeatable.",
    ),
]
HeldOut = Annotated[
    float | None,
    typer.Option(
        "--held-out",
        help="Share of the training rows on which networks are chosen (a sixth where training sees "
        "mini-batches, else none).",
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        help="What the bits mean: layered or packed (by size unless told), convolutional, "
        "callable, table, or module:Class.",
    ),
]
TargetOption = Annotated[
    list[str] | None,
    typer.Option("--target-option", metavar="KEY=VALUE", help="An option of the target."),
]
Test = Annotated[str | None, typer.Option("--test", help="File of test rows for a path as data.")]
Tests = Annotated[
    list[str] | None,
    typer.Option(
        "--test",
        metavar="A:B",
        help="Test entry A against entry B, in place of the usual pairs; repeatable. Or a file of "
        "test rows for a path as data.",
    ),
]
Layers = Annotated[
    str | None, typer.Option("--layers", help="Units of the target's layers, such as 4,6,2.")
]
Biases = Annotated[bool | None, typer.Option("--biases", help="Give the target's units biases.")]
Values = Annotated[
    list[str] | None,
    typer.Option(
        "--values",
        metavar="LOW,HIGH",
        help="What bit 0 and bit 1 of a weight stand for (-1,1); repeated, bits choose.",
    ),
]
Activation = Annotated[
    str | None,
    typer.Option("--activation", help="sign, relu, sigmoid or tanh; of several, bits choose."),
]
Optional = Annotated[
    str | None, typer.Option("--optional", help="What bits can leave out: biases, units, layers.")
]
Loss = Annotated[
    str | None,
    typer.Option(
        "--loss",
        help="cross_entropy, squared_error, accuracy, or module:function, your own loss of logits "
        r"\[row, class] and labels \[row].",  # escaped: typer reads brackets as rich's markup
    ),
]
SignOfZero = Annotated[int | None, typer.Option("--sign-of-zero", help="1 (default) or 0.")]
Evaluations = Annotated[
    int | None, typer.Option("--evaluations", help="Budget of each seed, in evaluations (300000).")
]
Shots = Annotated[
    int | None,
    typer.Option("--shots", help="Budget of each seed, in shots (of one circuit: --draws)."),
]
Circuits = Annotated[
    int | None, typer.Option("--circuits", help="Budget of each seed, in circuits.")
]
Rows = Annotated[
    int | None,
    typer.Option("--rows", help="Budget of each seed, in evaluations times rows of data."),
]
Processes = Annotated[
    int | None,
    typer.Option(
        "--processes",
        min=1,
        help="Entries side by side, each by one thread (all cores); same results.",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Carry the entries out on the workers of this scheduler of dask.distributed, such as "
        "tcp://127.0.0.1:8786; same results.",
    ),
]
Prepare = Annotated[
    bool,
    typer.Option(
        "--prepare", help="Make the run directory and stop: `qhyper work` carries it out."
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", help="Where generators compute: cpu (default) or cuda.")
]
PaidShots = Annotated[
    int | None,
    typer.Option("--paid-shots", help="Shots that quantum computers may be sent (100000)."),
]
MaxCost = Annotated[
    float | None,
    typer.Option("--max-cost", help="US dollars that the run's jobs may cost, by known prices."),
]
MaxJobs = Annotated[
    int | None, typer.Option("--max-jobs", help="Jobs that the run may send, every attempt.")
]
MaxCostPerDay = Annotated[
    float | None,
    typer.Option("--max-cost-per-day", help="The same in 24 hours, for all runs in the folder."),
]
MaxJobsPerDay = Annotated[
    int | None,
    typer.Option("--max-jobs-per-day", help="The same in 24 hours, for all runs in the folder."),
]
Yes = Annotated[
    bool, typer.Option("--yes", help="Allow as many paid shots as the plan takes: see --dry-run.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what it would take, and run nothing.")
]
OwnObjective = Annotated[
    str | None,
    typer.Option("--objective", help="Your own loss, module:callable, in place of data."),
]
NumberOfBits = Annotated[int | None, typer.Option("--bits", help="Bits of your own objective.")]
Name = Annotated[
    str | None,
    typer.Option("--name", help="What the run is called, in its folder's name too."),
]
Log = Annotated[
    str | None,
    typer.Option(
        "--log",
        metavar="SINK",
        help="Log learning curves and results: tensorboard (in the run's folder), mlflow or wandb "
        "(where their environment says), or module:Class.",
    ),
]
Out = Annotated[Path, typer.Option("--out", help="Folder that run directories are made in.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
