"""What a comparison found, in words: tables for the terminal, and one HTML page with the figures.

`table` and `tests_table` are for the terminal, `page` puts everything on one page that needs
nothing else. All take the plain dicts that `summary.json` holds; the same words and numbers reach
terminal and page. Rich and jinja2 are imported where used.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from qhyper.figures import CONTROL_CAPTIONS, FIGURES, SPECTRUM_CAPTION, figures, styles_of
from qhyper.statistics import Interval
from qhyper.summary import CERTIFIED
from qhyper.wording import format_count, format_loss

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

SIGNIFICANT = 0.05

# -- words ----------------------------------------------------------------------------------------


def _regret(value: float) -> str:
    return "0" if value == 0 else format_loss(value)


def _share(value: float) -> str:
    return f"{100 * value:.0f}"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g}" if seconds < 1 else f"{1000 * seconds:,.0f}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _listed(names: Sequence[str]) -> str:
    """Names in quotes: one may be called "quantum", and is not the whole kind."""
    words = [f"“{name}”" for name in names]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _interval(interval: Interval, show: Callable[[float], str]) -> str:
    low, high = interval["low"], interval["high"]
    if low is None or high is None or low == high or show(low) == show(high):
        return ""
    return f"{show(low)}–{show(high)}"


COLUMNS = (
    ("parameters", "Parameters"),
    ("shots", "Shots"),
    ("circuits", "Circuits"),
    ("regret", "Regret"),
    ("hit_share", "Seeds that hit"),
    ("evaluations_to_hit", "Evaluations to hit"),
    ("final_loss", "Final mean loss"),
    ("train_accuracy", "Train accuracy"),
    ("test_accuracy", "Test accuracy"),
    ("seconds_per_step", "ms per step"),
)


def _cells(entry: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """One row as words: for each column the value and, in a second line, its interval or ""."""
    hits = round(entry["hit_share"]["value"] * entry["seeds"])
    seconds = entry["seconds_per_step"]
    cells = {
        "parameters": (f"{entry['parameters']:,}", ""),
        "shots": (f"{entry.get('shots') or 0:,}", ""),
        "circuits": (f"{entry['circuits']:,}" if entry.get("circuits") else "–", ""),
        "regret": (_regret(entry["regret"]["median"]), _interval(entry["regret"], _regret)),
        "hit_share": (
            f"{hits} of {entry['seeds']}",
            _interval(entry["hit_share"], _share) + "\u00a0%",
        ),
        "evaluations_to_hit": _to_hit(entry["evaluations_to_hit"], entry["evaluations"]),
        "final_loss": (
            format_loss(entry["final_loss"]["median"]),
            _interval(entry["final_loss"], format_loss),
        ),
        "seconds_per_step": (
            ("–", "")
            if seconds is None
            else (_milliseconds(seconds["median"]), _interval(seconds, _milliseconds))
        ),
    }
    for key in ("train_accuracy", "test_accuracy"):
        figure = entry[key]
        cells[key] = (
            ("–", "")
            if figure is None
            else (f"{figure['median']:.4f}", _interval(figure, "{:.4f}".format))
        )
    return cells


def _to_hit(interval: Interval, budget: int) -> tuple[str, str]:
    median, low, high = interval["median"], interval["low"], interval["high"]
    beyond = f"> {format_count(budget)}"
    value = beyond if median is None else format_count(median)
    if low is not None and high is None:
        return value, f"{format_count(low)} to {beyond}"
    return value, _interval(interval, format_count)


def _setting(comparison: Mapping[str, Any]) -> str:
    """What was compared, in one line."""
    seeds, budget = len(comparison["seeds"]), _budget(comparison)
    some_less = any(
        (entry.get(unit) or 0) < limit
        for unit, limit in budget.items()
        for entry in comparison["generators"]
    )
    allowed = " and ".join(f"{limit:,} {unit}" for unit, limit in budget.items())
    named = (comparison["data"], comparison["network"], comparison["loss"].replace("_", " "))
    return (
        f"{', '.join(dict.fromkeys(named))}; "  # an own objective has one name for all three
        f"{'up to ' * some_less}{allowed}{', in whole steps of draws,' * some_less} for each of "
        f"{seeds} "
        f"seed{'s' if seeds > 1 else ''}; {comparison['reference']['kind']} "
        f"{comparison['reference']['loss']:.6f}"
    )


def _budget(comparison: Mapping[str, Any]) -> dict[str, int]:
    """What each seed could spend; runs of before knew evaluations alone."""
    return comparison.get("budget") or {"evaluations": comparison["evaluations"]}


def _columns_shown(comparison: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The columns that say something: without accuracies or steps theirs are left out."""
    optional = ("train_accuracy", "test_accuracy", "seconds_per_step")
    entries = comparison["generators"]
    estimators = {entry.get("estimator") for entry in entries} - {None, "score-function"}
    by_circuit = bool(estimators) or set(_budget(comparison)) != {"evaluations"}
    return [
        (key, title)
        for key, title in COLUMNS
        if (key not in optional or any(entry[key] is not None for entry in entries))
        and (key not in ("shots", "circuits") or by_circuit)
    ]


def _lower(test: Mapping[str, Any]) -> str | None:
    """Which kind has the lower losses, or None where the test cannot tell."""
    if test["p_holm"] >= SIGNIFICANT:
        return None
    return "quantum" if test["median_difference"] < 0 else "classical"


def _test_cells(test: Mapping[str, Any]) -> tuple[str, ...]:
    difference = f"{test['median_difference']:+.4f}".replace("-", "−")
    lower = _lower(test)
    return (
        test["quantum"],
        test["classical"],
        difference,
        _p(test["p"]),
        _p(test["p_holm"]),
        "not told apart" if lower is None else f"{test[lower]} is lower",
    )


TEST_COLUMNS = ("Quantum", "Classical", "Median difference", "p", "p (Holm)", "Final mean loss")

# -- the answer -----------------------------------------------------------------------------------


def _answer(comparison: Mapping[str, Any]) -> str:
    """What was found, in one paragraph written from the numbers."""
    sentences = [_who_hits(comparison), _how_far(comparison)]
    if comparison["tests"]:
        sentences.append(_what_tests_say(comparison))
    certificate, reason = comparison["certificate"], comparison["no_certificate"]
    if certificate is not None:
        sentences.append(
            f"The optimum is proven: it is the lowest of all {certificate['configurations']:,} "
            "weight settings."
        )
    else:
        because = f": {reason.rstrip('.')}." if reason else "."
        sentences.append(f"Whether a better network exists is not known{because}")
    return " ".join(sentences)


def _goal(comparison: Mapping[str, Any]) -> str:
    reference = comparison["reference"]
    goal = "the proven optimal loss" if reference["kind"] == CERTIFIED else "the best loss seen"
    return f"{goal} ({format_loss(reference['loss'])})"


def _who_hits(comparison: Mapping[str, Any]) -> str:
    entries = comparison["generators"]
    allowed = " and ".join(f"{limit:,} {unit}" for unit, limit in _budget(comparison).items())
    goal, budget = _goal(comparison), f"within {allowed}"
    share = max(entry["hit_share"]["value"] for entry in entries)
    if share == 0:
        return f"No run reached {goal} {budget}."
    first = [entry for entry in entries if entry["hit_share"]["value"] == share]
    names = _listed([entry["name"] for entry in first])
    if first[0]["seeds"] == 1:
        return f"{names} reached {goal} {budget}; one seed cannot tell how often."
    hits, interval = _cells(first[0])["hit_share"]
    reached = f"{hits} seeds reached {goal} {budget} (95\u00a0% interval {interval})."
    if len(entries) == 1:
        return f"{names}: {reached}"
    if len(first) > 1:
        return f"{names} find the best network equally often: for each, {reached}"
    answer = f"{names} finds the best network most often: {reached}"
    low = first[0]["hit_share"]["low"]
    near = [e["name"] for e in entries if e is not first[0] and e["hit_share"]["high"] >= low]
    if near:
        answer += f" The intervals of {_listed(near)} overlap with that."
    return answer


def _how_far(comparison: Mapping[str, Any]) -> str:
    """Median regrets, names with the same one together."""
    groups: dict[str, list[str]] = {}
    for entry in sorted(comparison["generators"], key=lambda entry: entry["regret"]["median"]):
        groups.setdefault(_regret(entry["regret"]["median"]), []).append(entry["name"])
    run = "of the run" if len(comparison["seeds"]) == 1 else "in the median run"
    far = "; ".join(f"{distance} for {_listed(names)}" for distance, names in groups.items())
    return f"Distance of the best network {run} from that loss: {far}."


def _what_tests_say(comparison: Mapping[str, Any]) -> str:
    tests = comparison["tests"]
    lower = [_lower(test) for test in tests]
    too_few = f"; {_too_few(comparison)}" if _too_few(comparison) else ""
    pairs = f"{len(tests)} pair{'s' if len(tests) > 1 else ''}"
    return (
        f"By final mean loss, of {pairs} of a quantum and a classical generator, the quantum one "
        f"is lower in {lower.count('quantum')} and the classical one in "
        f"{lower.count('classical')}; {lower.count(None)} cannot be told apart (paired tests with "
        f"Holm's correction{too_few})."
    )


# -- terminal -------------------------------------------------------------------------------------


def table(comparison: Mapping[str, Any]) -> "Table":
    """The comparison as a rich table: one row a generator, 95 % intervals in the second line."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    columns = dict(_columns_shown(comparison))
    together = "; ms per step of all seeds together" if "seconds_per_step" in columns else ""
    # Texts, not strings: a name in brackets is no markup.
    shown = Table(
        box=box.SIMPLE_HEAD,
        caption=Text(_setting(comparison) + together),
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    # Where it is too narrow, intervals break before names of usual length do.
    longest = max(14, *(len(entry["name"]) for entry in comparison["generators"]))
    shown.add_column("Generator", overflow="fold", width=longest if longest <= 16 else None)
    accuracies = [key for key in ("train_accuracy", "test_accuracy") if columns.pop(key, "")]
    # Narrow headings, and no zero before the point in the small print: it fits 80 columns.
    narrow = {" ": "\n", "Parameters": "Param-\neters", "Evaluations": "Evalu-\nations"}
    for title in columns.values():
        for wide, lines in narrow.items():
            title = title.replace(wide, lines)
        shown.add_column(title, justify="right", overflow="fold")
    if accuracies:
        shown.add_column("Accu-\nracy\ntrain\ntest", justify="right", overflow="fold")
    for entry in comparison["generators"]:
        cells = _cells(entry)
        row: list[RenderableType] = [_TwoLines(entry["name"], entry["kind"])]
        row += [_TwoLines(*cells[key]) for key in columns]
        if accuracies:
            row.append(Text(f"{cells['train_accuracy'][0]}\n{cells['test_accuracy'][0]}"))
        shown.add_row(*row)
    return shown


class _TwoLines:
    """For rich: a value, dim below it the detail; an interval too wide breaks in its middle."""

    def __init__(self, value: str, detail: str) -> None:
        self.value, self.detail = value, re.sub(r"\b0\.", ".", detail)

    def _text(self, detail: str) -> "Text":
        from rich.text import Text

        return Text.assemble(self.value, *([("\n" + detail, "dim")] if detail else []))

    def __rich_measure__(self, console: "Console", options: "ConsoleOptions") -> "Measurement":
        return self._text(self.detail).__rich_measure__(console, options)

    def __rich_console__(
        self, console: "Console", options: "ConsoleOptions"
    ) -> "Iterator[RenderableType]":
        narrow = len(self.detail) > options.max_width
        yield self._text(re.sub("–| to ", r"\g<0>\n", self.detail) if narrow else self.detail)


def tests_table(comparison: Mapping[str, Any]) -> "Table":
    """The paired tests as a rich table; no rows where there are none."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    caption = (
        "Wilcoxon signed-rank on final mean losses of the same seeds; p with Holm's correction"
    )
    if _too_few(comparison):
        caption += f"; {_too_few(comparison)}"
    shown = Table(box=box.SIMPLE_HEAD, caption=Text(caption), padding=(0, 1, 0, 0))
    for index, title in enumerate(TEST_COLUMNS):
        justify = "right" if index in (2, 3, 4) else "left"
        title = title.replace("Median ", "Median\n")
        shown.add_column(title, justify=justify, overflow="fold")
    for test in comparison["tests"]:
        shown.add_row(*map(Text, _test_cells(test)))
    return shown


# -- page -----------------------------------------------------------------------------------------

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
}


def page(
    comparison: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    spectrum: Mapping[str, Any] | None,
) -> str:
    """The whole report as one HTML page that loads nothing from elsewhere.

    `spectrum` holds "edges" [n + 1] and "bitstrings" [n], or is None. Where `comparison` holds
    "config" (with "entries": name, label, options, training) or "provenance" they are shown too.
    Works for one result, one seed, no certificate.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    styles = styles_of(comparison["generators"])
    drawn = figures(comparison, results, spectrum)
    config = comparison.get("config") or {}
    headings, entries, agreed = _entries(config)
    controls = {entry["name"] for entry in comparison["generators"] if entry["kind"] == "control"}
    shows_control = {
        "learning": any(r["curve"]["evaluations"] for r in results if r["name"] in controls),
        "draws": any(any(map(len, r["final_losses"])) for r in results if r["name"] in controls),
    }
    shown = []
    for name, svg in drawn.items():
        title, caption = FIGURES[name]
        if shows_control.get(name):
            caption += CONTROL_CAPTIONS[name]
        if name == "draws" and spectrum is not None:
            caption = SPECTRUM_CAPTION + "Below it, " + caption[0].lower() + caption[1:]
        shown.append({"name": name, "title": title, "caption": caption, "svg": Markup(svg)})
    certificate = comparison["certificate"] or {}
    template = files("qhyper").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(
        title=_title(comparison),
        setting=_setting(comparison),
        answer=_answer(comparison),
        columns=_columns_shown(comparison),
        rows=[
            {
                "entry": entry,
                "style": styles[entry["name"]],
                "cells": _cells(entry),
                "spent": _spent(entry, comparison),
            }
            for entry in comparison["generators"]
        ],
        reference=comparison["reference"]["kind"],
        fresh_draws=_fresh_draws(config),
        trained=len(controls) < len(comparison["generators"]),
        controls=bool(controls),
        figures=shown,
        test_columns=TEST_COLUMNS,
        tests=[_test_cells(test) for test in comparison["tests"]],
        too_few=_too_few(comparison),
        certificate=[
            (title, _fact(certificate[key]))
            for key, title in CERTIFICATE.items()
            if certificate.get(key) is not None
        ],
        no_certificate=comparison["no_certificate"],
        setting_headings=headings,
        setting_rows=entries,
        facts=[
            (title, facts)
            for title, facts in (
                ("Configuration", agreed),
                ("Provenance", _facts(comparison.get("provenance") or {})),
            )
            if facts
        ],
    )


def _title(comparison: Mapping[str, Any]) -> str:
    names = [entry["name"] for entry in comparison["generators"]]
    what = names[0] if len(names) == 1 else f"{len(names)} searches"
    return f"{what} on {comparison['data']}"


def _spent(entry: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    """Evaluations of each seed, and why they are not the whole budget."""
    words = f"{entry['evaluations']:,} evaluations each"
    for asked in (comparison.get("config") or {}).get("entries") or ():
        draws = (asked.get("training") or {}).get("draws")
        if draws and (asked.get("label") or asked["name"]) == entry["name"]:
            return f"{words}, in whole steps of {draws:,} draws"
    return words + ", in whole steps of draws" * (entry["evaluations"] < comparison["evaluations"])


def _fresh_draws(config: Mapping[str, Any]) -> str:
    """How many final draws a generator made, where it is known and the same for all."""
    numbers = {
        (entry.get("training") or {}).get("final_draws") for entry in config.get("entries") or ()
    } - {None}
    return f"{numbers.pop():,} fresh draws" if len(numbers) == 1 else "fresh draws"


SETTINGS = {
    "draws": "Draws",
    "learning_rate": "Learning rate",
    "restarts": "Restarts",
    "optimizer": "Optimiser",
    "schedule": "Schedule",
}
"""Training settings with a column of their own, wherever an entry has them."""


def _entries(
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
        for key in ("optimizer", "schedule"):  # their options stand in the same cell
            words = [training.get(key), _pairs(training.pop(f"{key}_options", None) or {})]
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
    pairs = _facts(rest) + (_facts(agreed, "training") if agreed else [])
    headings = ["Entry", "Options"]
    headings += [SETTINGS.get(key, key.replace("_", " ").capitalize()) for key in columns]
    rows = []
    for entry, training in zip(entries, trainings, strict=True):
        title = entry.get("label") or entry["name"]
        title += f" ({entry['name']})" if title != entry["name"] else ""
        cells = [_fact(training[key]) if key in training else "–" for key in columns]
        rows.append([title, _pairs(entry["options"]) or "–", *cells])
    return headings, rows, pairs


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in _facts(values))


def _too_few(comparison: Mapping[str, Any]) -> str:
    """Says so where no outcome could pass the corrected tests: 2 / 2^seeds is the smallest p."""
    tests, seeds = comparison["tests"], len(comparison["seeds"])
    if not tests or len(tests) * 2.0 ** (1 - seeds) < SIGNIFICANT:
        return ""
    return f"{seeds} seeds are too few for any outcome to tell a pair apart"


def _fact(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e6 else f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_fact, value)) or "–"
    return str(value)


def _facts(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as flat (dotted name, value) pairs."""
    if not isinstance(values, Mapping):
        return [(prefix, str(values) if type(values) is int else _fact(values))]
    return [
        fact
        for key, value in values.items()
        for fact in _facts(value, f"{prefix}.{key}" if prefix else str(key))
    ]
