"""What a comparison found, as one HTML page with the figures that needs nothing else.

The words and numbers are those of the terminal. jinja2 is imported where used.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from qhyper.report.answer import answer
from qhyper.report.pairs import certificate_pairs, entry_settings, flat_pairs
from qhyper.report.plots import plots
from qhyper.report.results import Result, Spectrum
from qhyper.report.styles import styles_of
from qhyper.report.summary import EntrySummary, Summary
from qhyper.report.templates import rendered
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
    config = config or {}
    headings, entries, agreed = entry_settings(config)
    controls = [result for result in results if result.kind == "control"]
    shared = _shared(summary, results, spectrum)
    return rendered(
        "report/report.html.j2",
        **shared,
        best_note=best_note(summary),
        interval_note=interval_note(summary),
        no_proof=no_proof(summary),
        fresh_draws=_fresh_draws(config),
        trained=len(controls) < len(results),
        controls=bool(controls),
        risk_note=RISK_NOTE if other_risks(summary) else "",
        held_out_note=HELD_OUT_NOTE if summary.chosen_on_held_out else "",
        regret_shown=summary.certificate is not None and "regret" in dict(shared["columns"]),
        silent=any(entry.drew_nothing for entry in summary.generators),
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


def fragment(summary: Summary, results: Sequence[Result], spectrum: Spectrum | None = None) -> str:
    """What was found as a part of a notebook or any page: the table, tested pairs and figures.

    Its styles stay inside it, and it has the colours of what surrounds it.
    """
    return rendered("report/fragment.html.j2", **_shared(summary, results, spectrum))


def _shared(
    summary: Summary, results: Sequence[Result], spectrum: Spectrum | None
) -> dict[str, Any]:
    """What page and fragment show alike."""
    styles = styles_of(summary.generators)
    n, seeds = len(summary.generators), len(summary.seeds)
    return {
        "title": _title(summary),
        "setting": "; ".join(filter(None, [setting_line(summary), tuning_line(summary)])),
        "answer": answer(summary),
        "warnings": summary.warnings,
        "caption": f"Figures of merit of {n} entr{'y' if n == 1 else 'ies'}: medians over {seeds} "
        f"seed{'s' if seeds > 1 else ''}",
        "columns": columns_shown(summary),
        "rows": [
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
        "figures": list(plots(summary, results, spectrum).values()),
        "test_columns": TEST_COLUMNS,
        "tests": [test_cells(test) for test in summary.tests],
    }


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
