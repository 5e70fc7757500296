"""What a comparison found, in words: tables for the terminal, and one HTML page with the figures.

`table` and `tests_table` are for the terminal, `page` puts everything on one page that needs
nothing else. All take the plain dicts that `summary.json` holds; the same words and numbers reach
terminal and page. Rich and jinja2 are imported where used.
"""

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from qhyper.report.figures import (
    CONTROL_CAPTIONS,
    FIGURES,
    SPECTRUM_CAPTION,
    UNITS,
    figures,
    styles_of,
    unit_of,
)
from qhyper.report.statistics import Interval
from qhyper.report.summary import CERTIFIED, budget_of
from qhyper.report.wording import format_count, format_loss

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


def _counts(spent: Mapping[str, int], units: Sequence[str], joined: str = " and ") -> str:
    """What is spent, unit by unit, without those of which nothing is: "64 shots in 1 circuit"."""
    words = [
        f"{spent[unit]:,} {unit.removesuffix('s') if spent[unit] == 1 else unit}"
        for unit in units
        if spent.get(unit)
    ]
    return joined.join(words)


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
    ("final_risk", "Final risk"),
    ("train_accuracy", "Train accuracy"),
    ("test_accuracy", "Test accuracy"),
    ("seconds_per_step", "ms per step"),
)


NONE = ("–", "")
RISK_NOTE = "Entries are compared by mean loss, whatever risk they were trained for."


def _cells(entry: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """One row as words: for each column the value and, in a second line, its interval or ""."""
    return {
        "parameters": (f"{entry['parameters']:,}", ""),
        "shots": (f"{entry.get('shots') or 0:,}", ""),
        "circuits": (f"{entry['circuits']:,}" if entry.get("circuits") else "–", ""),
        "regret": _median(entry["regret"], _regret),
        "hit_share": _hits(entry["hit_share"], entry["seeds"]),
        "evaluations_to_hit": _to_hit(entry["evaluations_to_hit"], entry["evaluations"]),
        "final_loss": _median(entry["final_loss"], format_loss),
        "final_risk": _median(entry.get("final_risk"), format_loss),
        "train_accuracy": _median(entry["train_accuracy"], "{:.4f}".format),
        "test_accuracy": _median(entry["test_accuracy"], "{:.4f}".format),
        "seconds_per_step": _median(entry["seconds_per_step"], _milliseconds),
    }


def _median(interval: Interval | None, show: Callable[[float], str]) -> tuple[str, str]:
    if interval is None or interval["median"] is None:
        return NONE
    return show(interval["median"]), _interval(interval, show)


def _hits(share: Interval | None, seeds: int) -> tuple[str, str]:
    if share is None or share["value"] is None:
        return NONE
    return f"{round(share['value'] * seeds)} of {seeds}", _interval(share, _share) + "\u00a0%"


def _to_hit(interval: Interval | None, budget: int) -> tuple[str, str]:
    if interval is None:
        return NONE
    median, low, high = interval["median"], interval["low"], interval["high"]
    beyond = f"> {format_count(budget)}"
    value = beyond if median is None else format_count(median)
    if low is not None and high is None:
        return value, f"{format_count(low)} to {beyond}"
    return value, _interval(interval, format_count)


def _setting(comparison: Mapping[str, Any]) -> str:
    """What was compared, in one line."""
    seeds, budget = len(comparison["seeds"]), budget_of(comparison)
    left = [
        [(entry.get(unit) or 0) < limit for unit, limit in budget.items()]
        for entry in comparison["generators"]
    ]
    some_less = any(map(any, left))
    in_steps = any(map(all, left))  # no limit is met, since one more step would be past it
    named = (comparison["data"], comparison["network"], comparison["loss"].replace("_", " "))
    return (
        f"{', '.join(dict.fromkeys(named))}; "  # an own objective has one name for all three
        f"{'up to ' * some_less}{_counts(budget, list(budget))}"
        f"{', in whole steps,' * in_steps} for each of {seeds} "
        f"seed{'s' if seeds > 1 else ''}; {comparison['reference']['kind']} "
        f"{comparison['reference']['loss']:.6f}"
    )


def _kind(entry: Mapping[str, Any]) -> str:
    """The kind, and where and how it was trained as far as that is not the usual way."""
    usual = {"backend": "mps", "estimator": "score-function", "risk": "expectation"}
    unusual = [entry[key] for key in usual if entry.get(key) not in (None, usual[key])]
    return " · ".join([entry["kind"], *unusual])


def _other_risks(comparison: Mapping[str, Any]) -> bool:
    return any(entry.get("risk") not in (None, "expectation") for entry in comparison["generators"])


def _columns_shown(comparison: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The columns that say something: without accuracies or steps theirs are left out."""
    optional = ("final_risk", "train_accuracy", "test_accuracy", "seconds_per_step")
    entries = comparison["generators"]
    estimators = {entry.get("estimator") for entry in entries} - {None, "score-function"}
    by_circuit = bool(estimators) or set(budget_of(comparison)) != {"evaluations"}
    return [
        (key, title)
        for key, title in COLUMNS
        if (key not in optional or any(entry.get(key) is not None for entry in entries))
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
    entries = [e for e in comparison["generators"] if e["hit_share"] is not None]
    limits = budget_of(comparison)
    goal, budget = _goal(comparison), f"within {_counts(limits, list(limits))}"
    if not entries:
        return "No training drew anything on its way."
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
    """Median regrets, names with the same one together; and who has none."""
    groups: dict[str, list[str]] = {}
    drew = [entry for entry in comparison["generators"] if entry["regret"] is not None]
    silent = [e["name"] for e in comparison["generators"] if e["regret"] is None]
    for entry in sorted(drew, key=lambda entry: entry["regret"]["median"]):
        groups.setdefault(_regret(entry["regret"]["median"]), []).append(entry["name"])
    run = "of the run" if len(comparison["seeds"]) == 1 else "in the median run"
    far = "; ".join(f"{distance} for {_listed(names)}" for distance, names in groups.items())
    sentences = [f"Distance of the best network {run} from that loss: {far}."] if far else []
    if silent:
        sentences.append(
            f"{_listed(silent)} trained without drawing: regret and hits are not defined there."
        )
    return " ".join(sentences)


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
    caption = _setting(comparison)
    caption += "; ms per step of all seeds together" * ("seconds_per_step" in columns)
    caption += f". {RISK_NOTE}" * _other_risks(comparison)
    # Texts, not strings: a name in brackets is no markup.
    shown = Table(
        box=box.SIMPLE_HEAD,
        caption=Text(caption),
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    # Where it is too narrow, intervals break before names of usual length do.
    longest = max(14, *(len(entry["name"]) for entry in comparison["generators"]))
    shown.add_column("Generator", overflow="fold", width=longest if longest <= 16 else None)
    accuracies = [key for key in ("train_accuracy", "test_accuracy") if columns.pop(key, "")]
    spending = [key for key in ("shots", "circuits") if columns.pop(key, "")]
    if spending:  # one below the other
        columns["parameters"] += " shots cir-\ncuits"
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
        kind = "\n".join(textwrap.wrap(_kind(entry), longest))  # after a hyphen, if it must
        row: list[RenderableType] = [_TwoLines(entry["name"], kind)]
        spent = "\n".join(cells[key][0] for key in spending)
        cells["parameters"] = cells["parameters"][0], spent
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
        caption = caption.format(unit=UNITS[unit_of(comparison)])
        if name == "draws" and spectrum is not None:
            caption = SPECTRUM_CAPTION + "Below it, " + caption[0].lower() + caption[1:]
        shown.append({"name": name, "title": title, "caption": caption, "svg": Markup(svg)})
    return rendered(
        "report/report.html.j2",
        title=_title(comparison),
        setting=_setting(comparison),
        answer=_answer(comparison),
        columns=_columns_shown(comparison),
        rows=[
            {
                "entry": entry,
                "kind": _kind(entry),
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
        risk_note=RISK_NOTE if _other_risks(comparison) else "",
        silent=any(entry["regret"] is None for entry in comparison["generators"]),
        figures=shown,
        test_columns=TEST_COLUMNS,
        tests=[_test_cells(test) for test in comparison["tests"]],
        too_few=_too_few(comparison),
        certificate=certificate_facts(comparison["certificate"] or {}),
        no_certificate=comparison["no_certificate"],
        setting_headings=headings,
        setting_rows=entries,
        facts=[
            (title, pairs)
            for title, pairs in (
                ("Configuration", agreed),
                ("Provenance", facts(comparison.get("provenance") or {})),
            )
            if pairs
        ],
    )


def rendered(template: str, **values: Any) -> str:
    """One of the package's templates, filled in; it may include others."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(lambda n: files("qhyper").joinpath(n).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def certificate_facts(certificate: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a certificate says, as pairs of words."""
    return [
        (title, _fact(certificate[key]))
        for key, title in CERTIFICATE.items()
        if certificate.get(key) is not None
    ]


def _title(comparison: Mapping[str, Any]) -> str:
    names = [entry["name"] for entry in comparison["generators"]]
    what = names[0] if len(names) == 1 else f"{len(names)} searches"
    return f"{what} on {comparison['data']}"


def _spent(entry: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    """What each seed spent of what the budget limits, and in which steps."""
    words = f"{_counts(entry, list(budget_of(comparison)))} each"
    if entry.get("step"):
        return f"{words}, in whole steps of {_counts(entry['step'], ('shots', 'circuits'), ' in ')}"
    return words


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
        # their options stand in the same cell
        for key in ("estimator", "risk", "optimizer", "schedule"):
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
    pairs = facts(rest) + (facts(agreed, "training") if agreed else [])
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
    return ", ".join(f"{key} {value}" for key, value in facts(values))


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


def facts(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as flat (dotted name, value) pairs."""
    if not isinstance(values, Mapping):
        return [(prefix, str(values) if type(values) is int else _fact(values))]
    return [
        fact
        for key, value in values.items()
        for fact in facts(value, f"{prefix}.{key}" if prefix else str(key))
    ]
