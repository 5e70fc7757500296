"""What a comparison found, as one HTML page with the figures that needs nothing else.

It takes the plain dicts that `summary.json` holds; the words and numbers are those of the terminal.
jinja2 is imported where used.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from qhyper.report.answer import answer
from qhyper.report.facts import certificate_facts, entry_settings, facts
from qhyper.report.figures import (
    CONTROL_CAPTIONS,
    FIGURES,
    SPECTRUM_CAPTION,
    UNITS,
    figures,
    styles_of,
    unit_of,
)
from qhyper.report.summary import budget_of
from qhyper.report.words import (
    RISK_NOTE,
    TEST_COLUMNS,
    columns_shown,
    counts,
    kind_words,
    other_risks,
    row_cells,
    setting_line,
    test_cells,
    too_few_seeds,
)


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
    headings, entries, agreed = entry_settings(config)
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
        setting=setting_line(comparison),
        answer=answer(comparison),
        columns=columns_shown(comparison),
        rows=[
            {
                "entry": entry,
                "kind": kind_words(entry),
                "style": styles[entry["name"]],
                "cells": row_cells(entry),
                "spent": _spent(entry, comparison),
            }
            for entry in comparison["generators"]
        ],
        reference=comparison["reference"]["kind"],
        fresh_draws=_fresh_draws(config),
        trained=len(controls) < len(comparison["generators"]),
        controls=bool(controls),
        risk_note=RISK_NOTE if other_risks(comparison) else "",
        silent=any(entry["regret"] is None for entry in comparison["generators"]),
        figures=shown,
        test_columns=TEST_COLUMNS,
        tests=[test_cells(test) for test in comparison["tests"]],
        too_few=too_few_seeds(comparison),
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


def _title(comparison: Mapping[str, Any]) -> str:
    names = [entry["name"] for entry in comparison["generators"]]
    what = names[0] if len(names) == 1 else f"{len(names)} searches"
    return f"{what} on {comparison['data']}"


def _spent(entry: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    """What each seed spent of what the budget limits, and in which steps."""
    words = f"{counts(entry, list(budget_of(comparison)))} each"
    if entry.get("step"):
        return f"{words}, in whole steps of {counts(entry['step'], ('shots', 'circuits'), ' in ')}"
    return words


def _fresh_draws(config: Mapping[str, Any]) -> str:
    """How many final draws a generator made, where it is known and the same for all."""
    numbers = {
        (entry.get("training") or {}).get("final_draws") for entry in config.get("entries") or ()
    } - {None}
    return f"{numbers.pop():,} fresh draws" if len(numbers) == 1 else "fresh draws"
