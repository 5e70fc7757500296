"""A comparison's table in LaTeX, with the rules of the package booktabs."""

from collections.abc import Iterable, Sequence

from qhyper.report.summary import Summary
from qhyper.report.tuning_words import tuning_line
from qhyper.report.words import COLUMNS, columns_shown, row_cells, setting_line

_LETTERS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}", "`": r"\textasciigrave{}", "–": "--", "−": "$-$", "\u00a0": "~",
    "·": r"\textperiodcentered{}", "±": r"$\pm$", "“": "``", "”": "''", "’": "'", "…": r"\dots{}",
    "⟨": r"$\langle$", "⟩": r"$\rangle$",
}  # fmt: skip
_NEEDS = r"% Needs \usepackage{booktabs}, and \usepackage[T1]{fontenc} for quotation marks."


def escaped(text: str) -> str:
    """A text as LaTeX prints it, letter by letter, in one line."""
    return "".join(_LETTERS.get(letter, letter) for letter in _one_line(text))


def latex_table(runs: Sequence[tuple[str, Summary]]) -> str:
    """One row an entry: medians over the seeds with the intervals that the page has.

    Each run comes with its title, which heads its rows where there are several; columns are those
    that any of them shows. Below them stands within which budget settings were searched, if any
    were.
    """
    found = {key for _, summary in runs for key, _ in columns_shown(summary)}
    shown = {key: title for key, title in COLUMNS if key in found}
    titles = ["Generator", *shown.values()]
    lines = [_NEEDS]
    for title, summary in runs:
        setting = "; ".join(filter(None, [setting_line(summary), tuning_line(summary)]))
        lines.append(f"% {_one_line(f'{title}: {setting}')}")
    lines += [rf"\begin{{tabular}}{{l{'r' * len(shown)}}}", r"\toprule"]
    lines += [_row(map(escaped, titles)), r"\midrule"]
    for number, (title, summary) in enumerate(runs):
        if len(runs) > 1:
            heading = rf"\multicolumn{{{len(titles)}}}{{l}}{{\textit{{{escaped(title)}}}}}"
            lines += [r"\addlinespace"] * (number > 0) + [_row([heading])]
        for entry in summary.generators:
            cells = row_cells(entry)
            lines.append(_row([escaped(entry.name), *(_cell(*cells[key]) for key in shown)]))
    lines.append(r"\bottomrule")
    for title, summary in runs:
        words = tuning_line(summary)
        if words:
            words = f"{title}: {words}" if len(runs) > 1 else words[0].upper() + words[1:]
            lines.append(_row([_note(words, len(titles))]))
    return "\n".join([*lines, r"\end{tabular}", ""])


def _note(words: str, columns: int) -> str:
    """Words over all columns of a table, in as many lines as they need."""
    return rf"\multicolumn{{{columns}}}{{p{{0.95\linewidth}}}}{{\footnotesize {escaped(words)}.}}"


def _cell(value: str, interval: str) -> str:
    return escaped(value) + (rf" {{\scriptsize({escaped(interval)})}}" if interval else "")


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _one_line(text: str) -> str:
    """Without line ends and other letters that print nothing; a no-break space is kept."""
    return "".join(letter if letter.isprintable() or letter == "\u00a0" else " " for letter in text)
