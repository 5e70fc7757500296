"""What a comparison found, as tables for the terminal; rich is imported where used."""

import re
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qhyper.report.summary import Summary
from qhyper.report.tuning_words import TUNED_COLUMNS, tuned_rows, tuning_line, tuning_note
from qhyper.report.words import (
    CORRELATION_COLUMNS,
    HELD_OUT_NOTE,
    RISK_NOTE,
    TEST_COLUMNS,
    columns_shown,
    correlation_note,
    correlation_rows,
    kind_words,
    other_risks,
    row_cells,
    setting_line,
    test_cells,
    too_few_seeds,
)

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text


def table(summary: Summary) -> "Table":
    """The comparison as a rich table: one row a generator, 95 % intervals in the second line."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    columns = dict(columns_shown(summary))
    caption = setting_line(summary)
    caption += f"; {tuning_line(summary)}" * (summary.tuning is not None)
    caption += "; ms per step of all seeds together" * ("seconds_per_step" in columns)
    caption += f". {RISK_NOTE}" * other_risks(summary)
    caption += f". {HELD_OUT_NOTE}" * summary.chosen_on_held_out
    # Texts, not strings: a name in brackets is no markup.
    shown = Table(
        box=box.SIMPLE_HEAD,
        caption=Text(caption),
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    # Where it is too narrow, intervals break before names of usual length do.
    longest = max(14, *(len(entry.name) for entry in summary.generators))
    shown.add_column("Generator", overflow="fold", width=longest if longest <= 16 else None)
    accuracies = [key for key in ("train_accuracy", "test_accuracy") if columns.pop(key, "")]
    units = {"shots": "shots", "circuits": "cir-\ncuits", "rows": "rows"}
    spending = [key for key in units if columns.pop(key, "")]
    columns["parameters"] += "".join(f" {units[key]}" for key in spending)  # below one another
    # Narrow headings, and no zero before the point in the small print: it fits 80 columns.
    narrow = {" ": "\n", "Parameters": "Param-\neters", "Evaluations": "Evalu-\nations"}
    for title in columns.values():
        for wide, lines in narrow.items():
            title = title.replace(wide, lines)
        shown.add_column(title, justify="right", overflow="fold")
    if accuracies:
        shown.add_column("Accu-\nracy\ntrain\ntest", justify="right", overflow="fold")
    for entry in summary.generators:
        cells = row_cells(entry)
        kind = "\n".join(textwrap.wrap(kind_words(entry), longest))  # after a hyphen, if it must
        row: list[RenderableType] = [_TwoLines(entry.name, kind)]
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


def tests_table(summary: Summary) -> "Table":
    """The paired tests as a rich table; no rows where there are none."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    caption = (
        "Wilcoxon signed-rank on final mean losses of the same seeds; p with Holm's correction"
    )
    if too_few_seeds(summary):
        caption += f"; {too_few_seeds(summary)}"
    shown = Table(box=box.SIMPLE_HEAD, caption=Text(caption), padding=0, show_edge=False)
    for index, title in enumerate(TEST_COLUMNS):
        justify = "right" if index in (2, 3, 4) else "left"
        title = title.replace("Median ", "Median\n").replace("mean ", "mean\n")
        shown.add_column(title, justify=justify, overflow="fold")
    for test in summary.tests:
        shown.add_row(*map(Text, test_cells(test)))
    return shown


def correlation_table(summary: Summary) -> "Table | None":
    """What the bits of each generator are worth together; None where nothing is known of it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = correlation_rows(summary)
    if not rows:
        return None
    caption = Text(correlation_note(summary))
    shown = Table(box=box.SIMPLE_HEAD, caption=caption, padding=(0, 1, 0, 0))
    for index, title in enumerate(CORRELATION_COLUMNS):
        title = title.replace(" (", "\n(").replace("As a ", "As a\n")
        shown.add_column(title, justify="right" if index else "left", overflow="fold")
    for row in rows:
        shown.add_row(*map(Text, row))
    return shown


def tuned_table(summary: Summary) -> "Table | None":
    """What the search of each entry spent and found; None where nothing was searched."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = tuned_rows(summary)
    if not rows:
        return None
    caption = Text(tuning_note(summary))
    shown = Table(box=box.SIMPLE_HEAD, caption=caption, padding=(0, 1, 0, 0))
    for index, title in enumerate(TUNED_COLUMNS):
        title = title.replace("Settings ", "Settings\n").replace("As it ", "As it\n")
        shown.add_column(title, justify="right" if 1 <= index <= 4 else "left", overflow="fold")
    for row in rows:
        shown.add_row(*map(Text, row))
    return shown
