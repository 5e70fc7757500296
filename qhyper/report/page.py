"""What a comparison found, as one HTML page with the figures that needs nothing else.

The words and numbers are those of the terminal. jinja2 is imported where used.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from qhyper.report.answer import answer
from qhyper.report.figures import (
    CONTROL_CAPTIONS,
    FIGURES,
    SPECTRUM_CAPTION,
    UNITS,
    figures,
    styles_of,
    unit_of,
)
from qhyper.report.pairs import certificate_pairs, entry_settings, flat_pairs
from qhyper.report.results import Result, Spectrum
from qhyper.report.summary import EntrySummary, Summary
from qhyper.report.tuning_words import (
    TUNED_COLUMNS,
    tuned_rows,
    tuned_words,
    tuning_line,
    tuning_note,
)
from qhyper.report.words import (
    CORRELATION_COLUMNS,
    HELD_OUT_NOTE,
    RISK_NOTE,
    TEST_COLUMNS,
    best_note,
    columns_shown,
    correlation_note,
    correlation_rows,
    counts,
    interval_note,
    kind_words,
    no_proof,
    other_risks,
    row_cells,
    setting_line,
    test_cells,
    too_few_seeds,
)


def page(
    summary: Summary,
    results: Sequence[Result],
    spectrum: Spectrum | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> str:
    """The whole report as one HTML page that loads nothing from elsewhere.

    - spectrum: of all bitstrings, where there is a certificate
    - config: settings of the run, with "entries" (name, label, options, training); shown if given
    - provenance: what the run was made with; shown if given

    Works for one result, one seed, no certificate.
    """
    from markupsafe import Markup

    styles = styles_of(summary.generators)
    drawn = figures(summary, results, spectrum)
    config = config or {}
    headings, entries, agreed = entry_settings(config)
    controls = [result for result in results if result.kind == "control"]
    columns = columns_shown(summary)
    shows_control = {
        "learning": any(result.curve.evaluations for result in controls),
        "draws": any(any(map(len, result.final_losses)) for result in controls),
    }
    shown = []
    for name, svg in drawn.items():
        title, caption = FIGURES[name]
        if shows_control.get(name):
            caption += CONTROL_CAPTIONS[name]
        caption = caption.format(unit=UNITS[unit_of(summary)])
        if name == "draws" and spectrum is not None:
            caption = SPECTRUM_CAPTION + "Below it, " + caption[0].lower() + caption[1:]
        shown.append({"name": name, "title": title, "caption": caption, "svg": Markup(svg)})
    return rendered(
        "report/report.html.j2",
        title=_title(summary),
        setting="; ".join(filter(None, [setting_line(summary), tuning_line(summary)])),
        answer=answer(summary),
        columns=columns,
        rows=[
            {
                "entry": entry,
                "kind": kind_words(entry),
                "style": styles[entry.name],
                "cells": row_cells(entry),
                "spent": _spent(entry, list(summary.budget))
                + tuned_words(summary.tuning, entry.name),
            }
            for entry in summary.generators
        ],
        best_note=best_note(summary),
        interval_note=interval_note(summary),
        warnings=summary.warnings,
        no_proof=no_proof(summary),
        fresh_draws=_fresh_draws(config),
        trained=len(controls) < len(results),
        controls=bool(controls),
        risk_note=RISK_NOTE if other_risks(summary) else "",
        held_out_note=HELD_OUT_NOTE if summary.chosen_on_held_out else "",
        regret_shown=summary.certificate is not None and "regret" in dict(columns),
        silent=any(entry.drew_nothing for entry in summary.generators),
        figures=shown,
        test_columns=TEST_COLUMNS,
        tests=[test_cells(test) for test in summary.tests],
        too_few=too_few_seeds(summary),
        correlation_columns=CORRELATION_COLUMNS,
        correlations=correlation_rows(summary),
        correlation_note=correlation_note(summary),
        tuned_columns=TUNED_COLUMNS,
        tuned=tuned_rows(summary),
        tuning_note=tuning_note(summary),
        certificate=certificate_pairs(summary.certificate or {}),
        setting_headings=headings,
        setting_rows=entries,
        details=[
            (title, told)
            for title, told in (
                ("Configuration", agreed),
                ("Provenance", flat_pairs(provenance or {})),
            )
            if told
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


def _title(summary: Summary) -> str:
    names = [entry.name for entry in summary.generators]
    what = names[0] if len(names) == 1 else f"{len(names)} searches"
    return f"{what} on {summary.data}"


def _spent(entry: EntrySummary, limited: Sequence[str]) -> str:
    """What each seed spent of what the budget limits, and in which steps."""
    words = f"{counts(vars(entry.spent), limited)} each"
    if entry.step is not None:
        step = counts(vars(entry.step), ("shots", "circuits"), " in ")
        if "rows" in limited:
            step += f", {counts(vars(entry.step), ('rows',))}"
        return f"{words}, in whole steps of {step}"
    return words


def _fresh_draws(config: Mapping[str, Any]) -> str:
    """How many final draws a generator made, where it is known and the same for all."""
    numbers = {
        (entry.get("training") or {}).get("final_draws") for entry in config.get("entries") or ()
    } - {None}
    return f"{numbers.pop():,} fresh draws" if len(numbers) == 1 else "fresh draws"
