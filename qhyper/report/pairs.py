"""Certificates and settings as pairs of words: what it is, and what it says."""

from collections.abc import Mapping
from typing import Any

CERTIFICATE = {
    "minimum_loss": "Minimum of the loss",
    "accuracy_at_minimum": "Accuracy at that minimum",
    "best_accuracy": "Best accuracy of any setting",
    "bits": "Bits",
    "configurations": "Weight settings",
    "functions": "Different functions among them",
    "optimal_bitstrings": "Settings that reach the minimum",
    "optimum": "One of them (bit 0 first)",
    "uniform_hit_probability": "Chance that a uniform draw hits",
    "expected_draws": "Uniform draws expected until a hit",
    "temperature": "Temperature T",
    "log_Z": "log Z(T)",
    "method": "Method",
    "evaluations": "Evaluations that the proof took",
}


def certificate_pairs(certificate: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a certificate says, as pairs of words."""
    return [
        (title, _words(certificate[key]))
        for key, title in CERTIFICATE.items()
        if certificate.get(key) is not None
    ]


SETTINGS = {
    "draws": "Draws",
    "learning_rate": "Learning rate",
    "restarts": "Restarts",
    "optimizer": "Optimiser",
    "schedule": "Schedule",
}
"""Training settings with a column of their own, wherever an entry has them."""


def entry_settings(
    config: Mapping[str, Any],
) -> tuple[list[str], list[list[str]], list[tuple[str, str]]]:
    """A configuration as a table of its entries (headings, rows) and pairs with all the rest.

    Training settings without a column of their own are pairs where all trainings agree in them,
    and columns where not.
    """
    entries = [
        {**entry, "options": entry.get("options") or {}, "training": entry.get("training") or {}}
        for entry in config.get("entries") or ()
    ]
    trainings = [dict(entry["training"]) for entry in entries]
    for training in trainings:
        # their options stand in the same cell
        for key in ("estimator", "risk", "optimizer", "schedule"):
            words = [training.get(key), _in_one_cell(training.pop(f"{key}_options", None) or {})]
            if any(words):
                training[key] = ": ".join(filter(None, words))
    trained = [training for training in trainings if training]
    columns = [key for key in SETTINGS if any(key in training for training in trained)]
    rest = {key: value for key, value in config.items() if key != "entries"}
    agreed: dict[str, Any] = {}
    for key in dict.fromkeys(key for training in trained for key in training):
        if key in SETTINGS:
            continue
        if any(training.get(key) != trained[0].get(key) for training in trained):
            columns.append(key)
        elif key not in rest or rest[key] != trained[0][key]:
            agreed[key] = trained[0][key]
    agreeing = flat_pairs(rest) + (flat_pairs(agreed, "training") if agreed else [])
    headings = ["Entry", "Options"]
    headings += [SETTINGS.get(key, key.replace("_", " ").capitalize()) for key in columns]
    rows = []
    for entry, training in zip(entries, trainings, strict=True):
        title = entry.get("label") or entry["name"]
        title += f" ({entry['name']})" if title != entry["name"] else ""
        cells = [_words(training[key]) if key in training else "–" for key in columns]
        rows.append([title, _in_one_cell(entry["options"]) or "–", *cells])
    return headings, rows, agreeing


def _in_one_cell(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in flat_pairs(values))


def _words(value: Any) -> str:
    """A setting or number as words."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e6 else f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value)) or "–"
    return str(value)


def flat_pairs(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as flat (dotted name, value) pairs."""
    if not isinstance(values, Mapping):
        return [(prefix, str(values) if type(values) is int else _words(values))]
    return [
        pair
        for key, value in values.items()
        for pair in flat_pairs(value, f"{prefix}.{key}" if prefix else str(key))
    ]
