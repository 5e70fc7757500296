"""The command that writes results for other programs, and figures for papers."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qhyper.cli.help import OUTPUT
from qhyper.cli.terminal import warn
from qhyper.errors import ConfigurationError, StorageError

if TYPE_CHECKING:
    from qhyper.run.comparison import Comparison

SUFFIXES = (".csv", ".parquet", ".tex")
ADVICE = "Free some space or choose another place."


def export(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Run directories; for CSV and Parquet, sweeps too."),
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FILE",
            help=".csv or .parquet: one row a seed and entry; .tex: a table of LaTeX, one row an "
            "entry. Replaced if it is there.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            "--figures",
            metavar="FOLDER",
            help="Figures as SVG, PDF and PNG for one column (3.35 inches) and two (6.9 inches).",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
) -> None:
    """Write the results of finished runs to a file, or their figures.

    A sweep's rows have a column point.KEY for each setting that it goes over.
    """
    if to is None and figures is None:
        raise ConfigurationError("Nothing to write: give --to FILE, --figures FOLDER, or both.")
    if to is not None and to.suffix.lower() not in SUFFIXES:
        raise ConfigurationError(
            f"Got --to {to}; expected a file that ends in {', '.join(SUFFIXES)}."
        )
    if len({path.resolve() for path in runs}) < len(runs):
        raise ConfigurationError(
            "A run stands twice, and its rows would: give each run directory once."
        )
    from qhyper.run.comparison import stored
    from qhyper.run.directory import Run
    from qhyper.run.sweep_file import is_sweep
    from qhyper.storage import storage, write_whole

    sweeps = [path for path in runs if is_sweep(path)]
    if sweeps and (figures is not None or (to is not None and to.suffix.lower() == ".tex")):
        raise ConfigurationError(
            f"{sweeps[0]} is a sweep: it goes to .csv or .parquet. Its page has its figures; for "
            "those of a point and for LaTeX, give runs of its folder points/."
        )
    outcomes = [stored(Run.open(path)) for path in runs if path not in sweeps]
    if to is not None:
        content = _content(outcomes, sweeps, to.suffix.lower())
        with storage(to, advice=ADVICE):
            to.parent.mkdir(parents=True, exist_ok=True)
        write_whole(to, content, advice=ADVICE)
        print(f"Results: {to}", file=sys.stderr)
    if figures is not None:
        for folder, outcome in zip(_folders(figures, outcomes), outcomes, strict=True):
            _write_figures(folder, outcome)
            print(f"Figures: {folder}", file=sys.stderr)


def _content(outcomes: "list[Comparison]", sweeps: list[Path], suffix: str) -> bytes:
    from qhyper.report.export import as_csv, as_parquet
    from qhyper.report.latex import latex_table
    from qhyper.run.listing import COMPLETE, listed
    from qhyper.run.sweep_rows import sweep_rows
    from qhyper.storage import as_utf8

    if suffix == ".tex":
        return as_utf8(latex_table([(_title(each), each.summary) for each in outcomes]))
    rows, points = [row for each in outcomes for row in each.tidy()], dict[str, None]()
    for folder in sweeps:
        of_sweep, columns = sweep_rows(folder)
        (found,) = listed(folder)
        if not of_sweep:
            raise StorageError(
                f"{folder} has no results yet: {found.detail}. Carry it out with: qhyper work "
                f"{folder}"
            )
        if found.state != COMPLETE:
            warn(f"{folder} is {found.state}: {found.detail}. What is there is written.")
        rows += of_sweep
        points |= dict.fromkeys(columns)
    _check_once(rows)
    before = list(points)
    return as_parquet(rows, before) if suffix == ".parquet" else as_utf8(as_csv(rows, before))


def _check_once(rows: list[dict[str, Any]]) -> None:
    """Raise ConfigurationError if a row stands twice, as of a sweep and of a run of its points."""
    seen = set[tuple[str, str, int]]()
    for row in rows:
        key = (row["run"], row["entry"], row["seed"])
        if key in seen:
            raise ConfigurationError(
                f"{row['run']} stands twice, and its rows would: give each run directory once, and "
                "none that is of a sweep which is given, too."
            )
        seen.add(key)


def _title(outcome: "Comparison") -> str:
    """The name of a run, and of its folder where that says when it was."""
    assert outcome.run is not None
    return outcome.run.path.resolve().name


def _folders(root: Path, outcomes: "list[Comparison]") -> list[Path]:
    """Where the figures of each run go: below the root, where there are several runs."""
    if len(outcomes) == 1:
        return [root]
    titles = [_title(outcome) for outcome in outcomes]
    if len(set(titles)) < len(titles):
        raise ConfigurationError(
            "Two run directories have the same name, and their figures would have the same folder. "
            "Export them one by one."
        )
    return [root / title for title in titles]


def _write_figures(folder: Path, outcome: "Comparison") -> None:
    from qhyper.report.paper import figure_files
    from qhyper.storage import storage, write_whole

    files = figure_files(outcome.summary, outcome.results, outcome.spectrum)
    with storage(folder, advice=ADVICE):
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_whole(folder / name, content, advice=ADVICE)
