"""`python -m experiments`: run, verify, publish and list studies, from a checkout."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments import runner
from experiments.study import Study, find, studies
from qhyper.errors import QhyperError, unknown
from qhyper.threads import n_threads

app = typer.Typer(
    help="Run the studies of experiments/, and check what came out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Name = Annotated[str, typer.Argument(help="The study: see `list`.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder of the results (runs/NAME, runs/NAME-quick).")
]
Quick = Annotated[bool, typer.Option("--quick", help="The small setting of the study.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Parts at a time (one for each core).")
]


@app.command("list")
def list_studies() -> None:
    """Names and titles of all studies, and which can be run and verified from here."""
    from rich.markup import escape
    from rich.table import Table

    from qhyper.cli.terminal import console

    table = Table("study", "title", "run", "verify")
    for study in studies():
        how = "yes" if study.runnable else "see its README.md"
        table.add_row(study.name, escape(study.title), how, "yes" if study.verifiable else "no")
    console().print(table)


@app.command()
def run(name: Name, out: Out = None, quick: Quick = False, workers: Workers = None) -> None:
    """Work out the parts that are missing, and print the tables."""
    study = _found(name)
    folder = _folder(study, out, quick)
    runner.run(study, folder, quick=quick, workers=workers or n_threads())
    print(runner.report(study, folder), end="")
    print(f"Results: {folder / 'results.md'}", file=sys.stderr)


@app.command()
def verify(name: Name, out: Out = None, quick: Quick = False, workers: Workers = None) -> None:
    """Run, and check the measured numbers against expected.toml; exit code 1 if one is off."""
    study = _found(name)
    expected = study.expectations(quick)
    folder = _folder(study, out, quick)
    results = runner.run(study, folder, quick=quick, workers=workers or n_threads())
    runner.report(study, folder)
    measured = study.module.measured(results)
    for number in expected:
        if number not in measured:
            raise unknown("number in expected.toml:", number, measured)
    holds = {number: bound.holds(measured[number]) for number, bound in expected.items()}
    print("| name | measured | expected | |\n|---|--:|--:|---|")
    for number, ok in holds.items():
        verdict = "ok" if ok else "OFF"
        print(f"| {number} | {measured[number]:.6g} | {expected[number]} | {verdict} |")
    if not all(holds.values()):
        raise typer.Exit(1)


@app.command()
def publish(name: Name, out: Out = None) -> None:
    """Put the tables and pictures of a complete run into the study's folder."""
    study = _found(name)
    runner.publish(study, _folder(study, out, quick=False))


def main() -> None:
    """Entry point; errors on purpose become one line and an exit code."""
    try:
        app()
    except QhyperError as error:
        print(f"experiments: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _found(name: str) -> Study:
    """The study of that name; ConfigurationError if there is none, or it has no parts to run."""
    study = find(name)
    study.check()
    return study


def _folder(study: Study, out: Path | None, quick: bool) -> Path:
    return out or Path("runs") / (f"{study.name}-quick" if quick else study.name)


if __name__ == "__main__":
    main()
