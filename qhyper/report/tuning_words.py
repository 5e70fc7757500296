"""How searches of settings are said: the same words for terminal and page."""

from collections.abc import Mapping
from typing import Any

from qhyper.report.pairs import flat_pairs
from qhyper.report.summary import Summary
from qhyper.report.tuning import Searches, Tuned
from qhyper.report.words import counts, format_loss

TUNED_COLUMNS = ("Entry", "Settings tried", "Spent", "As it stood", "Found", "What was found")


def tuning_line(summary: Summary) -> str:
    """The budget of the searches in one line, beside that of the comparison; empty without any."""
    searches = summary.tuning
    if searches is None:
        return ""
    seeds = len(searches.seeds)
    return (
        f"settings of each entry found before, within {counts(searches.budget, [*searches.budget])}"
        f" ({searches.settings:,} setting{'s' * (searches.settings > 1)}, {seeds} other "
        f"seed{'s' * (seeds > 1)})"
    )


def tuned_words(searches: Searches | None, name: str) -> str:
    """What the search of one entry was, in brackets of its description; empty without one."""
    if searches is None:
        return ""
    one = searches.of(name)
    if not one.settings:
        return "; no settings to search"
    return (
        f"; settings found by qhyper tune, {one.settings:,} tried, {_spent(searches, one)} on "
        f"{len(searches.seeds)} other seed{'s' * (len(searches.seeds) > 1)}"
    )


def tuned_rows(summary: Summary) -> list[tuple[str, ...]]:
    """The search of each entry, a cell for each of TUNED_COLUMNS; none without searches."""
    searches = summary.tuning
    if searches is None:
        return []
    return [
        (
            one.name,
            f"{one.settings:,}" + f" ({one.failed:,} failed)" * bool(one.failed),
            _spent(searches, one) or "–",
            _loss(one.loss_before),
            _loss(one.loss),
            _settings(one.found) or "–",
        )
        for one in searches.entries
    ]


def tuning_note(summary: Summary) -> str:
    """What that table shows; empty without searches."""
    searches = summary.tuning
    if searches is None:
        return ""
    sampler = {"tpe": "TPE", "random": "random sampler"}[searches.sampler]
    losses = {"final_loss": "final mean losses", "best_loss": "best losses"}[searches.measure]
    budget = counts(searches.budget, [*searches.budget])
    return (
        f"The {sampler} of Optuna {searches.optuna} chose settings within {budget} for each entry, "
        "all tuning seeds together: the first is the entry as it stood, and each may spend what a "
        f"seed of the comparison may. Losses are {losses}, in the mean over the tuning "
        f"seeds {', '.join(map(str, searches.seeds))}, of which the comparison sees none; the "
        "least of many is lower than what it will be on fresh seeds"
    )


def _spent(searches: Searches, one: Tuned) -> str:
    return counts(vars(one.spent), [*searches.budget])


def _loss(loss: float | None) -> str:
    return "–" if loss is None else format_loss(loss)


def _settings(found: Mapping[str, Any]) -> str:
    words = flat_pairs(dict(found))
    return ", ".join(f"{name.partition('.')[2]} {value}" for name, value in words)
