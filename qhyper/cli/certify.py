"""`qhyper certify`: the proven optimum of a landscape."""

import json
from typing import Annotated

import typer

from qhyper.cli.help import HOW
from qhyper.cli.options import (
    Activation,
    Biases,
    ConfigFile,
    Data,
    DataFile,
    DataOption,
    Drop,
    HeldOut,
    Json,
    Label,
    Layers,
    Loss,
    Missing,
    NumberOfBits,
    Optional,
    OwnObjective,
    Scale,
    Set,
    SignOfZero,
    Target,
    TargetOption,
    Test,
    Values,
)
from qhyper.cli.terminal import print_pairs, progress, warn
from qhyper.cli.values import read_values


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
