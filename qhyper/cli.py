"""The command line: parse, call, print. Results go to stdout, everything else to stderr."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from qhyper.errors import ConfigurationError, QhyperError

app = typer.Typer(
    help="Compare classical and quantum generators of binary networks, against a proven optimum.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file of settings.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Any setting of the configuration; repeatable."
    ),
]
Data = Annotated[
    str | None,
    typer.Option("--data", help="toy, digits, mnist, gaussians, or a path to .npz or .csv."),
]
Test = Annotated[str | None, typer.Option("--test", help="File of test rows for a path as data.")]
Layers = Annotated[
    str | None, typer.Option("--layers", help="Units of the target's layers, such as 4,6,2.")
]
Loss = Annotated[
    str | None, typer.Option("--loss", help="cross_entropy, squared_error or accuracy.")
]
SignOfZero = Annotated[int | None, typer.Option("--sign-of-zero", help="1 (default) or 0.")]
Evaluations = Annotated[
    int | None, typer.Option("--evaluations", help="Objective evaluations of each seed.")
]
OwnObjective = Annotated[
    str | None,
    typer.Option("--objective", help="Your own loss, module:callable, in place of data."),
]
NumberOfBits = Annotated[int | None, typer.Option("--bits", help="Bits of your own objective.")]
Out = Annotated[Path, typer.Option("--out", help="Folder that run directories are made in.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


@app.command()
def compare(
    config: ConfigFile = None,
    data: Data = None,
    test: Test = None,
    layers: Layers = None,
    loss: Loss = None,
    sign_of_zero: SignOfZero = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="How many (10), or a list such as 3,5,8.")
    ] = None,
    evaluations: Evaluations = None,
    generators: Annotated[
        str | None,
        typer.Option("--generators", help="Names of generators and controls, with commas."),
    ] = None,
    objective: OwnObjective = None,
    bits: NumberOfBits = None,
    setting: Set = None,
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """Compare generators and controls at the same budget, against the certified optimum."""
    values = _values(config, setting, data=data, test=test, layers=_integers(layers, "--layers"),
                     loss=loss, sign_of_zero=sign_of_zero, evaluations=evaluations,
                     objective=objective, bits=bits)  # fmt: skip
    if seeds is not None:
        listed = _integers(seeds, "--seeds") or []
        values["seeds"] = listed if "," in seeds else list(range(listed[0]))
    if generators is not None:
        values["entries"] = [{"name": name.strip()} for name in generators.split(",")]
    _start("compare", values, out, as_json)


@app.command()
def train(
    generator: Annotated[
        str | None, typer.Option("--generator", help="A registered name, or module:Class.")
    ] = None,
    config: ConfigFile = None,
    data: Data = None,
    test: Test = None,
    layers: Layers = None,
    loss: Loss = None,
    sign_of_zero: SignOfZero = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the run (0).")] = None,
    evaluations: Evaluations = None,
    draws: Annotated[int | None, typer.Option("--draws", help="Shots of each step.")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate")] = None,
    restarts: Annotated[int | None, typer.Option("--restarts")] = None,
    objective: OwnObjective = None,
    bits: NumberOfBits = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="An option of the generator."),
    ] = None,
    setting: Set = None,
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """Train one generator."""
    from qhyper.config import assign

    values = _values(config, setting, data=data, test=test, layers=_integers(layers, "--layers"),
                     loss=loss, sign_of_zero=sign_of_zero, evaluations=evaluations,
                     objective=objective, bits=bits)  # fmt: skip
    if seed is not None or "seeds" not in values:
        values["seeds"] = [seed or 0]
    entries = values.setdefault("entries", [{"name": generator or "quantum-depth2"}])
    if len(entries) != 1:
        raise ConfigurationError(
            f"`qhyper train` takes one generator; the configuration has {len(entries)} entries. "
            "Use `qhyper compare` for several."
        )
    entry = entries[0]
    if generator is not None:
        entry["name"] = generator
    for assignment in option or []:
        assign(entry.setdefault("options", {}), assignment)
    given = {"draws": draws, "learning_rate": learning_rate, "restarts": restarts}
    training = entry.setdefault("training", {})
    training.update({key: value for key, value in given.items() if value is not None})
    _start("train", values, out, as_json)


@app.command()
def certify(
    config: ConfigFile = None,
    data: Data = None,
    test: Test = None,
    layers: Layers = None,
    loss: Loss = None,
    sign_of_zero: SignOfZero = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="Of log Z (0.05).")
    ] = None,
    method: Annotated[str, typer.Option("--method", help="auto, classes or enumeration.")] = "auto",
    setting: Set = None,
    as_json: Json = False,
) -> None:
    """Prove the optimum: exact minimum, best accuracy, spectrum and log Z of a landscape."""
    from qhyper.comparison import problem
    from qhyper.config import Config, parse
    from qhyper.target.landscape import certify as certify_landscape
    from qhyper.target.objective import NetworkObjective

    values = _values(config, setting, data=data, test=test, layers=_integers(layers, "--layers"),
                     loss=loss, sign_of_zero=sign_of_zero, temperature=temperature)  # fmt: skip
    settings = parse(Config, values)
    objective, dataset = problem(settings)
    if not isinstance(objective, NetworkObjective) or dataset is None:
        raise ConfigurationError("Only the landscape of a binary network on data is certified.")
    exact = certify_landscape(
        objective.network, objective.data, loss=objective.loss,
        temperature=settings.temperature, method=method,  # type: ignore[arg-type]
    )  # fmt: skip
    certificate = {"data": dataset.name, **exact.to_dict()}
    if as_json:
        print(json.dumps(certificate))
        return
    _print_pairs(f"Certificate of {objective.network} on {dataset.name}", certificate)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="Run directory.")], as_json: Json = False
) -> None:
    """Go on with a run that was interrupted; it ends as if it never had been."""
    from qhyper.runs import Run

    _execute(Run.open(run), as_json)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories.")], as_json: Json = False
) -> None:
    """Print the results of finished runs again, and write their report.html anew."""
    from qhyper.errors import StorageError
    from qhyper.runs import Run

    opened = [Run.open(path) for path in runs]
    for run in opened:
        if not run.complete:
            raise StorageError(
                f"{run.path} is not complete. Finish it with `qhyper resume {run.path}`."
            )
    if as_json and len(opened) > 1:
        print(json.dumps([run.read_json("summary.json") for run in opened]))
        return
    for run in opened:
        _execute(run, as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Show versions, registered generators, threads, and which data are found."""
    import platform

    from qhyper.data import availability
    from qhyper.registry import CONTROLS, GENERATORS, names
    from qhyper.runs import versions
    from qhyper.threads import n_threads

    found = {
        "python": platform.python_version(),
        "versions": versions(),
        "threads": n_threads(),
        "generators": names(GENERATORS),
        "controls": names(CONTROLS),
        "data": availability(),
    }
    if as_json:
        print(json.dumps(found))
        return
    flat: dict[str, Any] = {"python": found["python"], "threads": found["threads"]}
    flat |= {package: version or "missing" for package, version in versions().items()}
    flat |= {"generators": ", ".join(found["generators"]), "controls": ", ".join(found["controls"])}
    flat |= {f"data: {name}": where for name, where in found["data"].items()}
    _print_pairs("qhyper doctor", flat)


def main() -> None:
    """Entry point of the `qhyper` command; errors on purpose become one line and an exit code."""
    sys.path.insert(0, "")  # so that a user's own module:Class is found from where they stand
    try:
        app()
    except QhyperError as error:
        print(f"qhyper: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


# -- shared by the commands ------------------------------------------------------------------------


def _values(config: Path | None, setting: list[str] | None, **given: Any) -> dict[str, Any]:
    """The configuration file, then options that were given, then --set."""
    from qhyper.config import assign, read

    values = read(config) if config is not None else {}
    values.update({key: value for key, value in given.items() if value is not None})
    for assignment in setting or []:
        assign(values, assignment)
    return values


def _integers(text: str | None, option: str) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigurationError(
            f"Got {option} {text}; expected whole numbers with commas between."
        ) from None


def _start(name: str, values: dict[str, Any], out: Path, as_json: bool) -> None:
    from qhyper.comparison import check
    from qhyper.config import Config, parse
    from qhyper.runs import Run

    config = parse(Config, values)
    check(config)  # before a folder is made
    _execute(Run.create(out, name, config), as_json)


def _execute(run: Any, as_json: bool) -> None:
    """Run what is not finished yet, then print and write the report."""
    from qhyper.comparison import execute
    from qhyper.report import page, table, tests_table
    from qhyper.runs import Interrupted, stop_on_signals

    print(f"Run directory: {run.path}", file=sys.stderr)
    with stop_on_signals() as stop, _progress() as progress:
        try:
            outcome = execute(run, stop=stop, progress=progress, warn=_warn)
        except Interrupted:
            raise Interrupted(
                f"Stopped by a signal; everything so far is saved. Go on with: qhyper resume "
                f"{run.path}"
            ) from None
    shown = {**outcome.summary, "provenance": run.read_json("provenance.json")}
    report_file = run.write("report.html", page(shown, outcome.results, outcome.spectrum))
    if not run.complete:
        run.write("summary.json", json.dumps(outcome.summary, indent=1))
    if as_json:
        print(json.dumps(outcome.summary))
    else:
        console = _console()
        console.print(table(outcome.summary))
        if outcome.summary["tests"]:
            console.print(tests_table(outcome.summary))
    print(f"Report: {report_file}", file=sys.stderr)


@contextmanager
def _progress() -> Iterator[Any]:
    """A progress bar for each entry on a terminal, one line for each finished entry elsewhere."""
    if not sys.stderr.isatty():
        yield _plain_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:>16}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def show(title: str, spent: int, total: int) -> None:
            if title not in tasks:
                tasks[title] = bars.add_task(title, total=total)
            bars.update(tasks[title], completed=spent)

        yield show


def _plain_progress(title: str, spent: int, total: int) -> None:
    if spent == total:
        print(f"{title}: {total} evaluations of each seed done", file=sys.stderr)


def _warn(message: str) -> None:
    print(f"qhyper: {message}", file=sys.stderr)


def _print_pairs(title: str, pairs: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title=title, show_header=False)
    for key, value in pairs.items():
        table.add_row(key, f"{value:.10g}" if isinstance(value, float) else str(value))
    _console().print(table)


def _console() -> Any:
    """Standard output; wide where it is not a terminal, so that nothing is folded in a file."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 140)
