"""The command line: parse, call, print. Results go to stdout, everything else to stderr."""

import copy
import json
import sys
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from qhyper.cli import cloud
from qhyper.cli.terminal import console, print_pairs, progress, warn
from qhyper.errors import ConfigurationError, Interrupted, JobError, PendingError, QhyperError
from qhyper.quantum.cloud.redaction import redacted

app = typer.Typer(
    help="Compare classical and quantum generators of binary networks, against a proven optimum.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

EXTRAS = {
    "qiskit-ibm-runtime": "ibm",
    "qiskit-braket-provider": "braket",
    "qiskit-ionq": "ionq",
    "azure-quantum": "azure",
    "mthree": "mitigate",
}
"""Optional packages, and the extras that bring them."""

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
    str | None, typer.Option("--loss", help="cross_entropy, squared_error or accuracy.")
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
Device = Annotated[
    str | None, typer.Option("--device", help="Where generators compute: cpu (default) or cuda.")
]
PaidShots = Annotated[
    int | None,
    typer.Option("--paid-shots", help="Shots that quantum computers may be sent (100000)."),
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
Out = Annotated[Path, typer.Option("--out", help="Folder that run directories are made in.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


@app.command()
def compare(
    config: ConfigFile = None,
    data: Data = None,
    test: Test = None,
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
    yes: Yes = False,
    dry_run: DryRun = False,
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """Compare generators and controls at the same budget, against the certified optimum."""
    given = _values(config, setting, data=data, test=test, layers=_integers(layers, "--layers"),
                    biases=biases, values=_pairs(values), activation=_names(activation) or None,
                    optional=_names(optional) or None,
                    loss=loss, sign_of_zero=sign_of_zero, evaluations=evaluations, shots=shots,
                    circuits=circuits, device=device, objective=objective, bits=bits,
                    paid_shots=paid_shots)  # fmt: skip
    if seeds is not None:
        numbers = _integers(seeds, "--seeds") or []
        if len(numbers) == 1 and numbers[0] < 1:
            raise ConfigurationError(f"Got --seeds {seeds}; expected at least 1 seed.")
        given["seeds"] = numbers if "," in seeds else list(range(numbers[0]))
    if generators is not None:
        listed = {entry.get("label", entry.get("name")): entry for entry in _tables(given)}
        given["entries"] = [listed.get(title, {"name": title}) for title in _names(generators)]
    axes = {"backend": _names(backends), "estimator": _names(estimators), "risk": _names(risks)}
    combined = any(axes.values())
    if combined:
        given["entries"] = _combinations(_tables(given), axes)
    _start("compare", given, out, as_json, combined=combined, yes=yes, dry_run=dry_run)


@app.command()
def train(
    generator: Annotated[
        str | None, typer.Option("--generator", help="A name, or module:Class (quantum-depth2).")
    ] = None,
    config: ConfigFile = None,
    data: Data = None,
    test: Test = None,
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
    yes: Yes = False,
    dry_run: DryRun = False,
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """Train one generator."""
    given = _values(config, setting, data=data, test=test, layers=_integers(layers, "--layers"),
                    biases=biases, values=_pairs(values), activation=_names(activation) or None,
                    optional=_names(optional) or None,
                    loss=loss, sign_of_zero=sign_of_zero, evaluations=evaluations, shots=shots,
                    circuits=circuits, device=device, objective=objective, bits=bits,
                    paid_shots=paid_shots)  # fmt: skip
    if seed is not None or "seeds" not in given:
        given["seeds"] = [seed or 0]
    given["entries"] = [
        _entry(_tables(given), generator, option or [], training or [], backend,
               {"draws": draws, "learning_rate": learning_rate, "restarts": restarts,
                "estimator": estimator, "risk": risk})
    ]  # fmt: skip
    _start("train", given, out, as_json, yes=yes, dry_run=dry_run)


@app.command()
def certify(
    config: ConfigFile = None,
    data: Data = None,
    test: Test = None,
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
    from qhyper.run.comparison import problem
    from qhyper.run.config import Config
    from qhyper.targets.exact import certificate as landscape
    from qhyper.targets.objective import NetworkObjective

    given = _values(config, setting, data=data, test=test, layers=_integers(layers, "--layers"),
                    biases=biases, values=_pairs(values), activation=_names(activation) or None,
                    optional=_names(optional) or None,
                    loss=loss, sign_of_zero=sign_of_zero, temperature=temperature,
                    objective=objective, bits=bits)  # fmt: skip
    settings = Config(**given)
    asked, dataset = problem(settings)
    if isinstance(asked, NetworkObjective):
        with progress() as show:
            exact = landscape.certify(
                asked.network, asked.data, loss=asked.loss,
                temperature=settings.temperature, method=method,  # type: ignore[arg-type]
                progress=lambda share: show("certificate", round(100 * share), 100),
            )  # fmt: skip
    elif method not in ("auto", "enumeration"):
        raise ConfigurationError(
            f"Got --method {method}; an own objective is certified by enumeration alone."
        )
    else:
        exact = landscape.certify_objective(asked, temperature=settings.temperature)
    certificate = {"data": asked.name if dataset is None else dataset.name, **exact.to_dict()}
    if as_json:
        print(json.dumps(certificate))
        return
    print_pairs(f"Certificate of {asked.name}", certificate)
    if isinstance(asked, NetworkObjective) and not asked.network.space.plain:
        print(asked.network.describe(exact.optimum))


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="Run directory.")], as_json: Json = False
) -> None:
    """Go on with a run that was interrupted; it ends as if it never had been."""
    from qhyper.run.directory import Run

    _execute(Run.open(run), as_json)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories.")], as_json: Json = False
) -> None:
    """Print the results of finished runs again, and write their pages anew."""
    from qhyper.run.comparison import stored, write_report
    from qhyper.run.directory import Run
    from qhyper.submit.page import write_page
    from qhyper.submit.written import submissions

    opened = [Run.open(path) for path in runs]
    outcomes = [stored(run) for run in opened]
    if as_json:
        found = [outcome.summary for outcome in outcomes]
        print(json.dumps(found[0] if len(found) == 1 else found))
    for run, outcome in zip(opened, outcomes, strict=True):
        report_file = write_report(run, outcome)
        if not as_json:
            _print_outcome(outcome)
        print(f"Report: {report_file}", file=sys.stderr)
        for submission in submissions(run):
            if submission.read().found is not None:
                print(f"{submission.title}: {write_page(submission.folder)}", file=sys.stderr)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Show versions, what can be named, threads, devices, and which data are found."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import torch

    from qhyper.data.images import images_availability
    from qhyper.data.sets import availability
    from qhyper.quantum.ansatz import ANSAETZE, STARTS
    from qhyper.quantum.cloud.backend import VENDORS
    from qhyper.registry import CONTROLS, ESTIMATORS, GENERATORS, backends, names
    from qhyper.risk import RISKS
    from qhyper.run.directory import versions
    from qhyper.threads import n_threads

    packages = versions()
    for package in EXTRAS:
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            packages[package] = None
    found = {
        "python": platform.python_version(),
        "versions": packages,
        "threads": n_threads(),
        "devices": ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"],
        "generators": names(GENERATORS),
        "controls": names(CONTROLS),
        "estimators": sorted(ESTIMATORS),
        "risks": sorted(RISKS),
        "backends": backends(),
        "quantum computers": [f"{vendor}:…" for vendor in VENDORS],
        "ansätze": list(ANSAETZE),
        "starts": list(STARTS),
        "data": availability() | {"fashion-mnist": images_availability("fashion-mnist")},
    }
    if as_json:
        print(json.dumps(found))
        return
    flat: dict[str, Any] = {"python": found["python"], "threads": found["threads"]}
    flat |= {
        package: number or f"missing: the extra {EXTRAS[package]}"
        if package in EXTRAS
        else number or "missing"
        for package, number in packages.items()
    }
    flat |= {part: ", ".join(listed) for part, listed in found.items() if isinstance(listed, list)}
    flat |= {f"data: {name}": where for name, where in found["data"].items()}
    print_pairs("qhyper doctor", flat)


app.command()(cloud.submit)
app.command()(cloud.jobs)
app.command()(cloud.fetch)


def main() -> None:
    """Entry point of the `qhyper` command; errors on purpose become one line and an exit code."""
    sys.path.insert(0, "")  # so that a user's own module:Class is found from where they stand
    try:
        app()
    except QhyperError as error:
        print(f"qhyper: {redacted(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)


# -- shared by the commands ------------------------------------------------------------------------


def _values(config: Path | None, setting: list[str] | None, **given: Any) -> dict[str, Any]:
    """The configuration file, then options that were given, then --set."""
    from qhyper.run.config import assign, read

    values = read(config) if config is not None else {}
    values.update({key: value for key, value in given.items() if value is not None})
    for assignment in setting or []:
        assign(values, assignment)
    return values


def _tables(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of a configuration file."""
    entries = values.get("entries", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigurationError(f"Got entries = {entries!r}; expected tables, [[entries]].")
    return entries


def _entry(
    entries: list[dict[str, Any]],
    generator: str | None,
    options: list[str],
    training: list[str],
    backend: str | None,
    given: dict[str, Any],
) -> dict[str, Any]:
    """The one entry of `qhyper train`: the configuration's, then what the command line says."""
    from qhyper.run.config import assign

    if len(entries) > 1:
        raise ConfigurationError(
            f"`qhyper train` takes one generator; the configuration has {len(entries)} entries. "
            "Use `qhyper compare` for several."
        )
    entry: dict[str, Any] = dict(entries[0]) if entries else {"name": "quantum-depth2"}
    if generator is not None and generator != entry.get("name"):
        entry = {"name": generator, "training": entry.get("training", {})}
    parts = (("options", options, {"backend": backend}), ("training", training, given))
    for part, assignments, choices in parts:
        asked: dict[str, Any] = {}
        for assignment in assignments:
            assign(asked, assignment)
        named = {key: value for key, value in choices.items() if value is not None}
        entry[part] = _without_replaced(entry, part, asked | named)
        for assignment in assignments:
            assign(entry[part], assignment)
        entry[part] |= named
    return entry


def _without_replaced(entry: dict[str, Any], part: str, asked: dict[str, Any]) -> dict[str, Any]:
    """A copy of the entry's `part`, without the options of choices that are asked to be others.

    `risk_options` are of one risk, and so on: they mean nothing to the next.
    """
    from qhyper.run.config import TrainingSettings

    values = entry.get(part, {})
    if not isinstance(values, dict):
        raise ConfigurationError(f"Got {part} = {values!r}; expected a table of settings.")
    defaults = {key: field.default for key, field in TrainingSettings.model_fields.items()}
    values = copy.deepcopy(values)
    for key, choice in asked.items():
        if choice != values.get(key, defaults.get(key)):
            values.pop(f"{key}_options", None)
    return values


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _combinations(
    entries: list[dict[str, Any]], axes: dict[str, list[str]]
) -> list[dict[str, Any]]:
    """Every entry with every combination of the named backends, estimators and risks.

    Controls stay as they are, and what takes no backend is not multiplied by them. Without
    entries they are those that are compared by default. Raises ConfigurationError for a name that
    is not known, which no entry could work with.
    """
    from qhyper.quantum.backend import build_backend
    from qhyper.registry import find_estimator, find_risk, is_control, takes_option
    from qhyper.run.config import COMPARED

    known = {"backend": build_backend, "estimator": find_estimator, "risk": find_risk}
    for axis, choices in axes.items():
        for name in choices:
            known[axis](name)
    found = []
    for entry in entries or [{"name": name} for name in COMPARED]:
        name = entry.get("name", "")
        if is_control(name):
            found.append(entry)
            continue
        taken = {
            axis: choices
            for axis, choices in axes.items()
            if choices and (axis != "backend" or takes_option(name, axis))
        }
        for chosen in product(*taken.values()):
            asked = dict(zip(taken, chosen, strict=True))
            where = {key: value for key, value in asked.items() if key == "backend"}
            how = {key: value for key, value in asked.items() if key != "backend"}
            found.append({
                **entry,
                "label": " ".join([entry.get("label") or name, *chosen]),
                "options": _without_replaced(entry, "options", where) | where,
                "training": _without_replaced(entry, "training", how) | how,
            })  # fmt: skip
    return found


def _integers(text: str | None, option: str) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigurationError(
            f"Got {option} {text}; expected whole numbers with commas between."
        ) from None


def _pairs(texts: list[str] | None) -> list[list[float]] | None:
    if not texts:
        return None
    try:
        return [[float(part) for part in text.split(",")] for text in texts]
    except ValueError:
        raise ConfigurationError(
            f"Got --values {' --values '.join(texts)}; expected two numbers with a comma between, "
            "such as --values -1,1, and the option again for every other pair."
        ) from None


def _start(
    name: str,
    values: dict[str, Any],
    out: Path,
    as_json: bool,
    *,
    combined: bool = False,
    yes: bool = False,
    dry_run: bool = False,
) -> None:
    from qhyper.run.comparison import outlook, plan
    from qhyper.run.config import Config
    from qhyper.run.directory import Run

    # before a folder is made
    config = plan(Config(**values), warn, combined=combined, paid=yes or dry_run)
    if not dry_run:
        _execute(Run.create(out, name, config), as_json)
        return
    entries = outlook(config, warn)
    if as_json:
        print(json.dumps(entries))
        return
    for entry in entries:
        print_pairs(f"{name} {entry.pop('entry')}: nothing was run", entry)


def _execute(run: Any, as_json: bool) -> None:
    """Carry out what is not finished yet, and print the outcome."""
    from qhyper.run.comparison import execute
    from qhyper.run.directory import stop_on_signals

    print(f"Run directory: {run.path}", file=sys.stderr)
    with stop_on_signals() as stop, progress() as show:
        try:
            outcome = execute(run, stop=stop, progress=show, warn=warn)
        except Interrupted:
            raise Interrupted(
                f"Stopped by a signal; what was done is kept. Go on with: qhyper resume {run.path}"
            ) from None
        except (JobError, PendingError) as error:
            raise type(error)(f"{error} Go on with: qhyper resume {run.path}") from None
    if as_json:
        print(json.dumps(outcome.summary))
    else:
        _print_outcome(outcome)
    print(f"Report: {run.path / 'report.html'}", file=sys.stderr)


def _print_outcome(outcome: Any) -> None:
    from qhyper.report.page import table, tests_table

    console().print(table(outcome.summary))
    if outcome.summary["tests"]:
        console().print(tests_table(outcome.summary))
