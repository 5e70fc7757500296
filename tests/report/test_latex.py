import re
from dataclasses import replace

import pytest

from qhyper.report.latex import escaped, latex_table


def unescaped(text):
    """What LaTeX would print of it, by another table than the one under test."""
    printed = {
        r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^",
        r"\textless{}": "<", r"\textgreater{}": ">", r"\textbar{}": "|", r"\textquotedbl{}": '"',
        r"\textquotesingle{}": "'", r"\textasciigrave{}": "`",
    }  # fmt: skip
    pattern = "|".join(map(re.escape, printed)) + r"|\\[{}$&#%_]"
    return re.sub(pattern, lambda found: printed.get(found[0], found[0][-1]), text)


def test_every_letter_of_ascii_is_printed_as_it_is():
    text = "".join(map(chr, range(32, 127)))
    assert unescaped(escaped(text)) == text
    left = re.sub(r"\\[a-z]+\{\}|\\[{}$&#%_]", "", escaped(text))
    assert not set(left) & set("\\{}$&#%_~^<>|\"'`")


def test_an_escaped_text_is_one_line():
    assert escaped("a\nb\r\n% c\x00") == r"a b  \% c "
    assert escaped("0.1–0.2\u00a0%, −3 ± 1") == r"0.1--0.2~\%, $-$3 $\pm$ 1"


def body(table):
    """The cells of each row."""
    lines = [line for line in table.splitlines() if line.endswith(r"\\")]
    return [re.split(r"(?<!\\) & ", line.removesuffix(r" \\")) for line in lines]


def test_a_table_has_one_row_an_entry_with_the_intervals_of_the_page(ten_seeds, certified):
    table = latex_table([("20261130T000000Z-mine", certified(ten_seeds))])
    title, *rows = body(table)
    assert " | ".join(title) == (
        "Generator | Parameters | Regret | Seeds that hit | Evaluations to hit | Final mean loss | "
        "Train accuracy | Test accuracy | ms per step"
    )
    assert [row[0] for row in rows] == [result.name for result in ten_seeds]
    assert {len(row) for row in rows} == {9}
    assert r"\begin{tabular}{lrrrrrrrr}" in table
    for rule in ("toprule", "midrule", "bottomrule"):
        assert table.count(rf"\{rule}") == 1
    product = dict(zip(title, rows[0], strict=True))
    assert product["Seeds that hit"] == r"3 of 10 {\scriptsize(11--60~\%)}"
    assert product["Evaluations to hit"].startswith(r"\textgreater{} 3k")
    assert product["Regret"] == r"0.0005 {\scriptsize(0--0.0005)}"
    assert table.count("{") == table.count("}")


def test_several_runs_are_one_table_with_all_their_columns(ten_seeds, certified, uncertified):
    hostile = [replace(result, name=f"{result.name}_1 & 2%") for result in ten_seeds]
    table = latex_table([("a_b", certified(ten_seeds)), ("c\nd", uncertified(hostile))])
    title, *rows = body(table)
    assert {"Regret", "Above best seen"} <= set(title)
    headings = [row[0] for row in rows if len(row) == 1]
    assert headings == [
        rf"\multicolumn{{{len(title)}}}{{l}}{{\textit{{{name}}}}}" for name in (r"a\_b", "c d")
    ]
    assert {len(row) for row in rows} == {1, len(title)}
    assert [row[0] for row in rows][-1] == r"random\_1 \& 2\%"
    assert all(line.startswith(("%", "\\")) or line.endswith(r"\\") for line in table.splitlines())


@pytest.mark.parametrize("letter", ["é", "Ω", "量"])
def test_letters_of_other_scripts_are_left_to_the_engine(letter):
    assert escaped(letter) == letter
