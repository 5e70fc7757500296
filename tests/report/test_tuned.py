"""What is said of searches of settings: both budgets, and what was found within them."""

import json
from io import StringIO

import pytest
from rich.console import Console

from qhyper.errors import StorageError
from qhyper.report.latex import latex_table
from qhyper.report.page import page
from qhyper.report.summary import Summary, summarise
from qhyper.report.table import table, tuned_table
from qhyper.report.tuning import Searches, Tuned
from qhyper.report.tuning_words import tuned_words, tuning_line
from qhyper.spending import Spending
from tests.conftest import ABOUT, CERTIFICATE

SEARCHES = Searches(
    budget={"evaluations": 90_000},
    settings=10,
    seeds=[50, 51, 52],
    sampler="tpe",
    measure="final_loss",
    optuna="4.9.0",
    entries=[
        Tuned(
            name="product",
            settings=10,
            failed=2,
            spent=Spending(89_280, 89_280, 1395, 89_280),
            found={"training.learning_rate": 0.0315, "training.draws": 128},
            loss=0.1234,
            loss_before=None,
        ),
        Tuned(name="random", settings=0, failed=0, spent=Spending(), found={}, loss=None,
              loss_before=None),
    ],
)  # fmt: skip


@pytest.fixture
def summary(result) -> Summary:
    results = [result("product", "quantum", [0, 1, 1]), result("random", "control", [3, 3, 3])]
    return summarise(
        results, certificate=CERTIFICATE, no_certificate=None, tuning=SEARCHES, **ABOUT
    )


def text_of(renderable) -> str:
    console = Console(file=StringIO(), width=400, color_system=None)
    console.print(renderable)
    return " ".join(console.file.getvalue().split())


def test_the_table_says_both_budgets(summary) -> None:
    text = text_of(table(summary))
    assert "3,000 evaluations for each of 3 seeds" in text
    assert (
        "settings of each entry found before, within 90,000 evaluations (10 settings, 3 other "
        "seeds)" in text
    )


def test_the_table_of_searches_says_what_was_spent_and_found(summary) -> None:
    text = text_of(tuned_table(summary))
    assert (
        "product 10 (2 failed) 89,280 evaluations – 0.1234 learning_rate 0.0315, draws 128" in text
    )
    assert "random 0 – – – –" in text
    assert "The TPE of Optuna 4.9.0 chose settings" in text
    assert "within 90,000 evaluations for each entry, all tuning seeds together" in text
    assert "tuning seeds 50, 51, 52, of which the comparison sees none" in text


def test_the_page_says_both_budgets_and_each_search(summary, result) -> None:
    results = [result("product", "quantum", [0, 1, 1]), result("random", "control", [3, 3, 3])]
    text = page(summary, results)
    assert text.count("within 90,000 evaluations (10 settings, 3 other seeds)") == 2
    assert "settings found by qhyper tune, 10 tried, 89,280 evaluations on 3 other seeds" in text
    assert "no settings to search" in text
    assert "How settings were found" in text
    assert "learning_rate 0.0315, draws 128" in text


def test_the_table_of_latex_says_both_budgets_where_it_is_printed(
    summary, ten_seeds, certified
) -> None:
    before = "within 90,000 evaluations (10 settings, 3 other seeds)"
    one = latex_table([("mine", summary)])
    columns = len(one.splitlines()[4].split(" & "))
    comments = [line for line in one.splitlines() if line.startswith("%")]
    assert f"settings of each entry found before, {before}" in comments[-1]
    note = one.splitlines()[-2 - (not one.splitlines()[-1])]
    assert note == (
        rf"\multicolumn{{{columns}}}{{p{{0.95\linewidth}}}}{{\footnotesize Settings of each entry "
        rf"found before, {before}.}} \\"
    )
    both = latex_table([("mine", summary), ("un_tuned", certified(ten_seeds))])
    assert both.count(before) == 2  # where it is printed, and in a comment
    assert rf"\footnotesize mine: settings of each entry found before, {before}." in both


def test_without_searches_nothing_is_said_of_them(ten_seeds, certified) -> None:
    summary = certified(ten_seeds)
    assert tuned_table(summary) is None
    assert tuning_line(summary) == tuned_words(None, "product") == ""
    assert "tune" not in page(summary, ten_seeds)
    assert "found before" not in latex_table([("mine", summary)])


def test_a_summary_comes_back_from_its_file(summary, ten_seeds, certified) -> None:
    assert Summary.from_json(json.loads(json.dumps(summary.to_json()))) == summary
    found = json.loads(json.dumps(certified(ten_seeds).to_json()))
    del found["tuning"]  # of a version that had none
    assert Summary.from_json(found).tuning is None
    found = json.loads(json.dumps(summary.to_json()))
    found["tuning"]["entries"][0]["best"] = 1
    with pytest.raises(StorageError, match="has best, which this version does not know"):
        Summary.from_json(found)
