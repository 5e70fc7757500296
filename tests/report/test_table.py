"""Tables for the terminal."""

import re
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from qhyper.report import table as tables
from qhyper.report import words as wording
from qhyper.report.results import Correlation


def text_of(renderable, width=80):
    console = Console(file=StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()


def test_table_fits_a_terminal_of_80_columns(ten_seeds, certified):
    shown = text_of(tables.table(certified(ten_seeds)))
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    for words in ("autoregressive", "8 of 10", "49–94", "> 3k", "501", "12.3", "0.9000"):
        assert words in shown
    caption = " ".join(shown.split())
    assert "3,000 evaluations for each of 10 seeds; certified minimum 0.116000" in caption


@pytest.fixture
def nine(result):
    """The built-in generators and controls with results whose intervals are all wide."""
    kinds = {
        "product": "quantum",
        "quantum-depth2": "quantum",
        "quantum-depth4": "quantum",
        "bernoulli": "classical",
        "categorical": "classical",
        "mlp": "classical",
        "autoregressive": "classical",
        "random": "control",
        "annealing": "control",
    }
    results = []
    for name, kind in kinds.items():
        best = [0.1160 + 0.00017 * seed for seed in range(10)]
        one = replace(
            result(name, kind, [0, 1] * 5, steps=kind != "control"),
            parameters=12_345,
            evaluations=300_000,
            shots=300_000,
            best_loss=best,
            improvements=[
                [(1, 0.5), (1_234 + 13_570 * seed, 0.1160 if seed < 9 else loss)]
                for seed, loss in enumerate(best)
            ],
            final_loss=[0.1174 + 0.0003 * (seed + len(results)) for seed in range(10)],
            train_accuracy=[0.9196, 0.9201] * 5,
            test_accuracy=[0.9184, 0.9193] * 5,
            seconds_per_step=[] if kind == "control" else [0.0123, 0.0145, 0.0131, 0.0119],
        )
        results.append(one)
    return results


def test_table_of_nine_is_whole_in_a_file(nine, certified):
    comparison = certified(nine)
    shown = text_of(tables.table(comparison), width=140)
    assert "…" not in shown
    for entry in comparison.generators:
        (line, below) = re.search(rf"(?m)^{entry.name} (.*)\n(.*)", shown).groups()
        cells = wording.row_cells(entry)
        for key in ("parameters", "regret", "hit_share", "evaluations_to_hit", "final_loss"):
            value, interval = cells[key]
            assert value in line
            assert re.sub(r"\b0\.", ".", interval) in below
        assert cells["train_accuracy"][0] in line
        assert cells["test_accuracy"][0] in below


@pytest.mark.parametrize("width", [80, 72])
def test_table_of_nine_loses_nothing_where_it_is_narrow(nine, certified, width):
    comparison = certified(nine)
    shown = text_of(tables.table(comparison), width=width)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    for entry in comparison.generators:
        assert re.search(rf"(?m)^{entry.name} ", shown)
        for key, (value, interval) in wording.row_cells(entry).items():
            assert value in shown
            if "accuracy" in key:  # the terminal has no room for their intervals, the page has
                continue
            # An interval that breaks does so after its dash.
            for part in re.sub(r"\b0\.", ".", interval).replace("–", "– ").split():
                assert part in shown


def test_names_longer_than_the_terminal_fold(result, certified):
    name = "package.of.mine:" + "Generator" * 10
    results = [result(name, "quantum", [1, 1]), result("b", "classical", [1, 1])]
    for shown in (tables.table(certified(results)), tables.tests_table(certified(results))):
        text = text_of(shown)
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text
        assert name in "".join(line.strip().split(" ")[0] for line in text.splitlines())


def test_table_without_certificate_says_so_and_keeps_brackets_in_names(uncertified, result):
    shown = text_of(tables.table(uncertified([result("[red]a", "quantum", [1])])))
    assert "[red]a" in shown
    assert "best loss seen 0.1165" in shown
    assert re.search(r"(?m)^\[red\]a +72 +– +– +– ", shown)
    several = uncertified([result("a", "quantum", [1] * 6), result("b", "classical", [2] * 6)])
    shown = text_of(tables.table(several))
    assert max(map(len, shown.splitlines())) <= 80
    assert "Regret" not in shown
    assert re.search(r"(?m)^a +72 +0 +– +– ", shown)
    assert re.search(r"(?m)^b +72 +0.0785 +– +– ", shown)
    assert wording.remarks(several) == [
        "The optimum is not proven, so there is no regret and no hit: the network has too many "
        "bits."
    ]


def test_a_budget_in_rows_has_a_column_of_rows(result, uncertified):
    found = uncertified([replace(result("a", "quantum", [1, 1]), rows=2_990_000)])
    assert "2.99M" not in text_of(tables.table(found))
    found = replace(found, budget={"rows": 3_000_000})
    shown = text_of(tables.table(found))
    assert re.search(r"(?m)^a .* 72 ", shown)
    assert re.search(r"(?m)^quantum .* 2\.99M ", shown)
    assert "circuits" not in shown  # the budget does not limit them
    caption = " ".join(shown.split())
    assert "up to 3,000,000 rows, in whole steps, for each of 2 seeds" in caption


def test_best_networks_of_held_out_rows_have_their_loss_in_place_of_a_regret(result, uncertified):
    held = replace(result("held", "quantum", [0, 1]), held_out_loss=[0.2, 0.4])
    shown = text_of(tables.table(uncertified([held])))
    assert "0.3000" in shown
    assert "Regret" not in shown
    assert "Seeds" not in shown
    assert wording.HELD_OUT_NOTE in " ".join(shown.split())
    both = uncertified([held, result("a", "quantum", [1, 1])])
    shown = text_of(tables.table(both))
    assert "Regret" not in shown  # there is no other entry to hold the one against
    assert both.generators[0].regret is None
    assert wording.HELD_OUT_NOTE not in text_of(tables.table(uncertified([
        result("a", "quantum", [1, 1])
    ])))  # fmt: skip


def test_tests_table(ten_seeds, certified, result):
    shown = text_of(tables.tests_table(certified(ten_seeds)), width=100)
    numbers = r"−0\.0045 +0\.002 +0\.004 +large \(−1\.00\)"  # 2 / 2^10, and twice that
    assert re.search(f"(?m)^quantum +autoregressive +{numbers} +quantum is lower *$", shown)
    assert shown.count("not told apart") == 1
    tables.tests_table(certified([result("a", "quantum", [1])]))


def test_tests_table_of_nine_is_whole(nine, certified):
    comparison = certified(nine)
    shown = text_of(tables.tests_table(comparison), width=110)
    assert "…" not in shown
    assert len(comparison.tests) == 3
    for test in comparison.tests:
        start, end = f"{test.one} +{test.other} +[+−]0", f"{test.one} is lower"
        assert re.search(rf"(?m)^ *{start}.*large \(−1.00\) +{end} *$", shown)


def correlated(found, total, error, after, loss_error=None):
    of_seeds = len(found.seeds)
    return replace(found, correlation=Correlation(
        total_correlation=None if total is None else [total] * of_seeds,
        total_correlation_error=None if error is None else [error] * of_seeds,
        loss=[0.125] * of_seeds, product_loss=[after] * of_seeds,
        loss_error=None if loss_error is None else [loss_error] * of_seeds,
    ))  # fmt: skip


def test_what_bits_are_worth_together_is_a_table(result, uncertified):
    results = [
        correlated(result("a", "quantum", [0, 1]), 0.41234, 0.0123, 0.25, 0.01),
        correlated(result("b", "classical", [0, 1]), 0.0, None, 0.125),
        correlated(result("sampled", "quantum", [0, 1]), None, None, 0.115, 0.02),
        result("random", "control", [0, 1]),
    ]
    shown = text_of(tables.correlation_table(uncertified(results)))
    assert max(map(len, shown.splitlines())) <= 80
    assert re.search(r"(?m)^ *a +0\.412 ± 0\.012 +0\.1250 +0\.2500 +\+0\.1250 ± 0\.0100 *$", shown)
    assert re.search(r"(?m)^ *b +0\.000 +0\.1250 +0\.1250 +0 *$", shown)
    assert re.search(r"(?m)^ *sampled +– +0\.1250 +0\.1150 +−0\.0100 ± 0\.0200 *$", shown)
    assert "random" not in shown
    assert "± is the standard error of a seed" in " ".join(shown.split())
    exact = text_of(tables.correlation_table(uncertified(results[1:2])))
    assert "All is exact" in " ".join(exact.split())
    assert tables.correlation_table(uncertified(results[3:])) is None
