"""Spaces of entries: which settings of each a search may choose, and the entry with others."""

from collections.abc import Iterable, Mapping
from typing import Any

from qhyper import registry
from qhyper.run.config import Entry
from qhyper.training.search import is_control
from qhyper.training.space import TRAINED, Range, Space, Tuning

Settings = Mapping[str, Any]
"""Values by name: "options.p", "training.learning_rate"."""


def space_of(entry: Entry, tuning: Tuning) -> Space:
    """What the search of an entry may choose: what it was given, or else what is usual.

    Options that have ranges in the attribute `tuned` of the class of a generator, a control or an
    estimator, and for what is trained the settings of `TRAINED`.
    """
    if entry.title in tuning.space:
        return tuning.space[entry.title]
    if is_control(entry.name):
        return Space(options=_declared("control", entry.name))
    estimator = entry.training.get("estimator", "score-function")
    of_estimator = _declared("estimator", estimator)
    training = {f"estimator_options.{key}": of_one for key, of_one in of_estimator.items()}
    options = _declared("generator", entry.name)
    return Space(options=options, training={**TRAINED.training, **training})


def _declared(kind: str, name: str) -> dict[str, Range]:
    made = registry.find(kind, name)
    fixed = getattr(made, "keywords", {})
    ranges = getattr(getattr(made, "func", made), "tuned", {})
    return {key: of_one for key, of_one in ranges.items() if key not in fixed}


def with_settings(entry: Entry, settings: Settings) -> Entry:
    """The entry with other values of some settings; ConfigurationError for bad ones."""
    values = entry.model_dump()
    for name, value in settings.items():
        *tables, last = name.split(".")
        at = values
        for table in tables:
            at = at.setdefault(table, {})
        at[last] = value
    return Entry(**values)


def settings_of(entry: Entry, names: Iterable[str]) -> Settings:
    """The values that an entry has of these settings, as far as it or its class says them."""
    found = {}
    kind = "control" if is_control(entry.name) else "generator"
    options = registry.options_of(kind, entry.name, registry.find(kind, entry.name))
    for name in names:
        head, _, option = name.partition(".")
        at: Any = entry.model_dump()
        for part in name.split("."):
            at = at.get(part) if isinstance(at, Mapping) else None
        if at is None and head == "options" and option in options:
            at = options[option].default
        if isinstance(at, bool | int | float | str):
            found[name] = at
    return found
