"""KEY=VALUE as people write it: 10k and 1e5 are whole numbers where the setting is one."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from qhyper.cli.numbers import whole_number
from qhyper.errors import ConfigurationError

Counts = Callable[[str], bool]
"""Whether the setting of a key is a whole number."""
_WHOLE = (int, int | None)
_AS_A_NUMBER = re.compile(r"[+-]?\d[\d.,_]*(?:[eE][+-]?\d+|[kKM])?", re.ASCII)


def assign(values: dict[str, Any], assignment: str, counts: Counts) -> None:
    """As `qhyper.run.config.assign`, with whole numbers as options have them where a key `counts`.

    Anything else is what TOML reads, or text. Raises ConfigurationError for a number that is not
    whole where one is expected.
    """
    from qhyper.run.config import assign as assigned

    key, equals, text = (part.strip() for part in assignment.partition("="))
    if not text.isdecimal() and _AS_A_NUMBER.fullmatch(text) and counts(key):
        try:
            assignment = f"{key}{equals}{whole_number(text)}"
        except ValueError as error:
            raise ConfigurationError(f"Got {key} = {text}; {error}.") from None
    assigned(values, assignment)


def counts_of_training(key: str) -> bool:
    """Whether a setting of the training is a whole number."""
    from qhyper.run.config import TrainingSettings

    return _is_whole(TrainingSettings.model_fields, key)


def counts_of(name: Any, *kinds: str) -> Counts:
    """Whether an option is a whole number for what is called `name`, of one of these kinds.

    None is, of what is not known, or does not say.
    """

    def counts(key: str) -> bool:
        from qhyper.registry import find, options_of

        for kind in kinds if isinstance(name, str) else ():
            with suppress(ConfigurationError):  # whoever builds it says so
                found = find(kind, name)
                known = options_of(kind, name, found)
                if key in known:
                    return known[key].annotation in _WHOLE
                # a circuit by name hands its options on to its ansatz
                ansatz = getattr(found, "keywords", {}).get("ansatz")
                return ansatz is not None and counts_of(ansatz, "ansatz")(key)
        return False

    return counts


def counts_of_settings(values: Mapping[str, Any]) -> Counts:
    """Whether a key of a whole configuration is a whole number; `values` is what is known of it."""

    def counts(key: str) -> bool:
        from qhyper.run.config import Config
        from qhyper.training.space import Tuning

        match key.split("."):
            case [setting]:
                return _is_whole(Config.model_fields, setting)
            case ["tune", setting]:
                return _is_whole(Tuning.model_fields, setting)
            case ["data_options", option]:
                return counts_of(values.get("data"), "data set")(option)
            case ["target_options", option]:
                return counts_of(values.get("target"), "target")(option)
            case ["entries", _, "training", setting]:
                return counts_of_training(setting)
            case ["entries", title, "options", option]:
                return counts_of(_name_of(values, title), "generator", "control")(option)
        return False

    return counts


def _is_whole(fields: Mapping[str, Any], key: str) -> bool:
    return key in fields and fields[key].annotation in _WHOLE


def _name_of(values: Mapping[str, Any], title: str) -> str | None:
    """The name of the entry that goes by a title, or by its number from 0."""
    entries = values.get("entries")
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict) and title in (
            entry.get("label") or entry.get("name"),
            str(number),
        ):
            return entry.get("name")
    return None
