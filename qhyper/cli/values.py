"""What the command line says, as the settings and entries of a configuration."""

import copy
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from qhyper.cli.assignments import (
    Counts,
    assign,
    counts_of,
    counts_of_settings,
    counts_of_training,
)
from qhyper.cli.numbers import whole_number
from qhyper.cli.terminal import warn
from qhyper.errors import ConfigurationError

SETTINGS = (
    "data", "test", "scale", "held_out", "target", "biases", "loss", "sign_of_zero", "evaluations",
    "shots", "circuits", "rows", "device", "objective", "bits", "paid_shots", "max_cost",
    "max_jobs", "max_cost_per_day", "max_jobs_per_day", "temperature",
)  # fmt: skip
"""Options of commands that are settings as they are."""
MOST_SEEDS = 1_000_000
"""Of one run; more would be a slip of the pen, and a list that no memory holds."""


def read_values(
    config: Path | None, setting: list[str] | None, asked: Mapping[str, Any]
) -> dict[str, Any]:
    """The configuration file, then the options that were `asked`, by name, then --set.

    Raises MissingError without the file, ConfigurationError if it, an option or an assignment
    cannot be read.
    """
    from qhyper.run.config import read
    from qhyper.run.places import PROVENANCE, beside

    values = beside(read(config), config, warn) if config is not None else {}
    if "sweep" in values:
        raise ConfigurationError(
            f"{config} has a table [sweep], which `qhyper sweep {config}` goes over. Use that, or "
            "leave the table out."
        )
    if config is not None and "tune" in values and (config.parent / PROVENANCE).is_file():
        warn(
            f"{config} is of a run whose entries have searched their settings: they search again, "
            "from what was found. To compare what was found, leave the table [tune] out."
        )
    if asked.get("file") is not None:
        if asked.get("data") is not None:
            raise ConfigurationError(
                f"Got {asked['file']} and --data {asked['data']}; expected one of them."
            )
        values["data"] = asked["file"]
    given = {name: asked.get(name) for name in SETTINGS} | {
        "layers": integers(asked.get("layers"), "--layers"),
        "values": pairs(asked.get("values")),
        "activation": names(asked.get("activation")) or None,
        "optional": names(asked.get("optional")) or None,
    }
    values.update({key: value for key, value in given.items() if value is not None})
    of_table = {name: asked.get(name) for name in ("label", "drop", "missing")}
    for name, value in of_table.items():
        if value:
            values.setdefault("data_options", {})[name] = value
    for part, kind in (("data", "data set"), ("target", "target")):
        for assignment in asked.get(f"{part}_option") or []:
            options = values.setdefault(f"{part}_options", {})
            assign(options, assignment, counts_of(values.get(part), kind))
    for assignment in setting or []:
        assign(values, assignment, counts_of_settings(values))
    return values


def entry_tables(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of a configuration file; ConfigurationError unless they are tables."""
    entries = values.get("entries", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigurationError(f"Got entries = {entries!r}; expected tables, [[entries]].")
    return entries


def one_entry(
    entries: list[dict[str, Any]],
    generator: str | None,
    options: list[str],
    training: list[str],
    backend: str | None,
    given: dict[str, Any],
) -> dict[str, Any]:
    """The one entry of `qhyper train`: the configuration's, then what the command line says.

    Raises ConfigurationError if the configuration has several, or no tables where it needs them.
    """
    if len(entries) > 1:
        raise ConfigurationError(
            f"`qhyper train` takes one generator; the configuration has {len(entries)} entries. "
            "Use `qhyper compare` for several."
        )
    entry: dict[str, Any] = dict(entries[0]) if entries else {"name": "quantum-depth2"}
    if generator is not None and generator != entry.get("name"):
        entry = {"name": generator, "training": entry.get("training", {})}
    of_options = counts_of(entry.get("name"), "generator", "control")
    parts: tuple[tuple[str, list[str], dict[str, Any], Counts], ...] = (
        ("options", options, {"backend": backend}, of_options),
        ("training", training, given, counts_of_training),
    )
    for part, assignments, choices, counts in parts:
        asked: dict[str, Any] = {}
        for assignment in assignments:
            assign(asked, assignment, counts)
        named = {key: value for key, value in choices.items() if value is not None}
        entry[part] = _without_replaced(entry, part, asked | named)
        for assignment in assignments:
            assign(entry[part], assignment, counts)
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


def files_and_pairs(texts: list[str] | None) -> tuple[str | None, list[str]]:
    """The values of --test: the file of test rows, which ends as one does, and pairs of entries.

    Raises ConfigurationError for several files.
    """
    from qhyper.data.files import is_data_file

    pairs = [text for text in texts or [] if ":" in text and not is_data_file(text)]
    files = [text for text in texts or [] if text not in pairs]
    if len(files) > 1:
        raise ConfigurationError(
            f"Got --test {' --test '.join(files)}; expected one file of test rows. Pairs of "
            "entries to test have a colon between them: --test A:B."
        )
    return (files[0] if files else None), pairs


def names(text: str | None) -> list[str]:
    """Names with commas between; none of nothing."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def combinations(entries: list[dict[str, Any]], axes: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Every entry with every combination of the named backends, estimators and risks.

    Controls stay as they are, and what takes no backend is not multiplied by them. Without
    entries they are those that are compared by default. Raises ConfigurationError for a name that
    is not known, which no entry could work with.
    """
    from qhyper.quantum.backends import build_backend
    from qhyper.registry import find, takes_option
    from qhyper.run.config import COMPARED
    from qhyper.training.search import is_control

    for axis, choices in axes.items():
        for name in choices:
            build_backend(name) if axis == "backend" else find(axis, name)
    found = []
    for entry in entries or [{"name": name} for name in COMPARED]:
        name = entry.get("name", "")
        if is_control(name):
            found.append(entry)
            continue
        taken = {
            axis: choices
            for axis, choices in axes.items()
            if choices and (axis != "backend" or takes_option("generator", name, axis))
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


def integers(text: str | None, option: str) -> list[int] | None:
    """Whole numbers with commas between, the value of `option`; None of None.

    Raises ConfigurationError for anything else.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    expected = f"Got {option} {text}; expected whole numbers with commas between, such as 3,5,8."
    if any(len(part) > 1 and part.startswith("0") for part in parts[1:]):  # 000 of 1,000
        raise ConfigurationError(
            f"{expected} A comma here parts two of them: write a thousand as 1k or 1000."
        )
    try:
        return [whole_number(part) for part in parts]
    except ValueError:
        raise ConfigurationError(expected) from None


def seeds_of(text: str | None, option: str, *, first: int = 0) -> list[int] | None:
    """Seeds that are listed, or so many from the `first` one on; None of None.

    Raises ConfigurationError for anything but whole numbers, and for fewer than one seed.
    """
    numbers = integers(text, option)
    if text is None or numbers is None or "," in text:
        return numbers
    if not 1 <= numbers[0] <= MOST_SEEDS:
        raise ConfigurationError(
            f"Got {option} {text}; expected at least 1 seed, and at most {MOST_SEEDS:,}: how many, "
            "or a list such as 3,5,8."
        )
    return list(range(first, first + numbers[0]))


def pairs(texts: list[str] | None) -> list[list[float]] | None:
    """The two numbers of every --values LOW,HIGH; None without any.

    Raises ConfigurationError for anything but numbers.
    """
    if not texts:
        return None
    try:
        return [[float(part) for part in text.split(",")] for text in texts]
    except ValueError:
        raise ConfigurationError(
            f"Got --values {' --values '.join(texts)}; expected two numbers with a comma between, "
            "such as --values -1,1, and the option again for every other pair."
        ) from None


def check_where(processes: int | None, scheduler: str | None) -> None:
    """Raise ConfigurationError if trials are to be carried out both here and on a cluster."""
    if processes is not None and scheduler is not None:
        raise ConfigurationError(
            f"Got --processes {processes} and --scheduler {scheduler}; expected one of them. How "
            "many trials run at a time on a cluster, its workers say."
        )
