"""The page of a sweep: what is ranked and named, what is left out, and what figures show."""

import itertools
import re
from html import unescape

import numpy as np
import pytest

from qhyper.report.sweep_effects import Effect
from qhyper.report.sweep_figures import curves, heat_maps, importance, middle
from qhyper.report.sweep_page import MAPS, PANELS, SHOWN, sweep_page
from qhyper.report.sweep_summary import summarise_points
from tests.report.reading import read_page
from tests.report.test_sweep_summary import row


def page_of(rows, **told):
    told = {"title": "Sweep mine", "asked": {"data": "toy"}, "command": "qhyper sweep x"} | told
    page = sweep_page(summarise_points(rows), **told)
    read_page(page)
    return page


def words_of(page):
    """A page without its tags and figures."""
    page = re.sub(r"(?s)<(svg|style)\b.*?</\1>", "", page)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def names_in(svg):
    """Texts that a figure draws, as Matplotlib notes them beside their outlines."""
    return [unescape(words) for words in re.findall(r"<!-- (.*?) -->", svg)]


def tables_of(page):
    """Rows of every ranking, each the texts of its cells."""
    return [
        [[words_of(cell) for cell in re.findall(r"(?s)<t[hd]\b.*?</t[hd]>", line)]
         for line in re.findall(r"(?s)<tr>.*?</tr>", table)]
        for table in re.findall(r"(?s)<table class=\"ranking\".*?</table>", page)
    ]  # fmt: skip


def test_the_best_of_each_entry_comes_first_and_the_rest_below() -> None:
    losses = {"mlp": [0.5, 0.3, 0.4], "product": [0.35, 0.6], "random": [0.45]}
    rows = [
        row({"rate": 0.1 * n}, loss, entry=entry)
        for entry, of_points in losses.items()
        for n, loss in enumerate(of_points, 1)
    ]
    best, others = tables_of(page_of(rows))
    assert [[cells[0], cells[1].split()[0], *cells[2:4]] for cells in best[1:]] == [
        ["1", "mlp", "3", "0.2"], ["2", "product", "2", "0.1"], ["4", "random", "1", "0.1"]
    ]  # fmt: skip
    assert [cells[0] for cells in others[1:]] == ["3", "5", "6"]
    words = words_of(page_of(rows))
    assert "The lowest final loss is 0.3000: mlp at rate 0.2, the best of its 3 points." in words
    assert "best other entry has 0.3500: product at rate 0.1, the best of its 2 points." in words


def test_every_budget_has_a_ranking_of_its_own() -> None:
    rows = [
        row({"evaluations": budget, "rate": rate}, rate / budget)
        for budget in (1000, 2000)
        for rate in (0.1, 0.2)
    ]
    words, tables = words_of(page_of(rows)), tables_of(page_of(rows))
    assert words.index("Within 2,000 evaluations a seed") < words.index("Within 1,000 evaluations")
    assert [len(table) - 1 for table in tables] == [1, 1, 1, 1]  # best and others of each
    assert all("evaluations" not in table[0] for table in tables)
    many = words_of(page_of([row({"evaluations": n}, 1 / n) for n in range(1, 8)]))
    assert "this is an order of points, and no comparison at equal cost" in many


def test_what_is_left_out_is_said() -> None:
    entries = [f"entry number {n}" for n in range(PANELS + 2)]
    rows = [
        row({"rate": rate}, rate + n, entry=entry)
        for n, entry in enumerate(entries)
        for rate in (0.1, 0.2, 0.3, 0.4)
    ]
    page = page_of(rows)
    left_out = 3 * len(entries) - SHOWN
    assert f"the first {SHOWN} of {3 * len(entries)}" in words_of(page)
    assert f"{left_out} more are in results.csv" in words_of(page)
    assert f"no panel of the entries that rank last: {', '.join(entries[-2:])}." in words_of(page)
    panels = [name for name in names_in(page) if name.startswith("entry")]
    assert panels == entries[:PANELS]
    best = tables_of(page)[0]
    assert [cells[1].removesuffix(" classical") for cells in best[1:]] == entries


def test_what_matters_most_is_drawn_first() -> None:
    levels = list(itertools.product(range(3), repeat=4))
    rows = [row({"a": a, "b": b, "c": c, "d": d}, 0.1 * b + c + 10 * d) for a, b, c, d in levels]
    page = page_of(rows)
    titles = re.findall(r"<h3>(.*?)</h3>", page)
    assert titles == [
        "Which settings matter", *(f"Final loss along {key}" for key in "dcba"),
        "Final loss over d and c", "Final loss over d and b", "Final loss over d and a",
    ]  # fmt: skip
    assert f"These are {MAPS} of 6 pairs of settings, those with the largest shares." in page


def test_a_warning_stands_once_with_how_many_points_it_is_of() -> None:
    rows = [
        row({"rate": rate}, rate, entry=entry, path=f"points/{rate}",
            warnings=["Few draws."] + ["Too wide."] * (rate > 1))
        for rate in (1, 2, 3)
        for entry in ("mlp", "product")
    ]  # fmt: skip
    page = page_of(rows)
    assert re.findall(r'class="warning"><strong>Warning:</strong> (.*?)</p>', page) == [
        "Few draws. (3 of 3 points)", "Too wide. (2 of 3 points)"
    ]  # fmt: skip
    rows = [row({"rate": n}, n, warnings=[f"The {n}th." for n in range(n)]) for n in (1, 9)]
    page = page_of(rows)
    assert page.count('class="warning"') == 9
    assert page.index("The 2th.") < page.index("6 more warnings") < page.index("The 3th.")
    assert 'class="warning"' not in page_of([row({"rate": 1}, 1), row({"rate": 2}, 1)])


def test_every_run_of_a_point_has_a_link() -> None:
    rows = [
        row({"rate": rate}, rate, seed=seed, path=f"points/{rate}", run=run)
        for rate in (1, 2)
        for seed, run in ((0, "seeds-0"), *([(1, "seeds-1")] * (rate == 2)))
    ]
    links = re.findall(r'<a href="(.*?)"', page_of(rows))
    assert links == ["points/2/seeds-0", "points/2/seeds-1", "points/1/seeds-0"]


def test_it_says_how_many_points_were_asked_for() -> None:
    rows = [row({"rate": 1}, 1), row({"rate": 2}, 1)]
    assert "2 points, 1 entry" in words_of(page_of(rows))
    assert "1,200 points, 1 entry" in words_of(page_of(rows, points=1200))


def test_the_same_setting_of_many_entries_is_one_column() -> None:
    names = [f"mlp{n}" for n in range(4)]
    keys = [f"entries.{name}.training.learning_rate" for name in names]
    rows = [
        row({key: rate if key == f"entries.{name}.training.learning_rate" else None
             for key in keys}, rate, entry=name)
        for name in names
        for rate in (0.1, 0.2)
    ]  # fmt: skip
    page = page_of(rows)
    assert tables_of(page)[0][0].count("learning_rate") == 1
    assert "entries.mlp" not in words_of(page)
    assert page.count("<svg role") == 1


# -- figures ---------------------------------------------------------------------------------------


def test_long_names_of_panels_are_told_apart() -> None:
    names = [f"quantum-with-a-very-long-name-of-a-setting-{n}" for n in (1, 2)]
    rows = [row({"rate": rate}, rate, entry=name) for name in names for rate in (1, 2)]
    drawn = "".join(names_in(curves(summarise_points(rows), "rate", name="x")))
    assert all(name in drawn for name in names)


def test_categories_stand_at_even_places_under_their_names() -> None:
    rows = [
        row({"optimizer": name, "rate": rate}, rate + len(name))
        for name in ("SGD", "Adam", "RMSprop")
        for rate in (1, 2, 3)
    ]
    own = summarise_points(rows)
    assert middle(own, "optimizer") == (["Adam", "RMSprop", "SGD"], [6.0, 9.0, 5.0])
    drawn = names_in(curves(own, "optimizer", name="x"))
    assert [name for name in drawn if name in ("SGD", "Adam", "RMSprop")] == [
        "Adam", "RMSprop", "SGD"
    ]  # fmt: skip
    assert {"Adam", "RMSprop", "SGD"} <= set(
        names_in(heat_maps(own, "optimizer", "rate", name="x"))
    )


def test_a_line_goes_through_medians_of_values_that_repeat() -> None:
    rows = [
        row({"rate": rate, "depth": depth}, rate * depth) for rate in (1, 2) for depth in (1, 2, 6)
    ]
    assert middle(summarise_points(rows), "rate") == ([1, 2], [2.0, 4.0])


def test_a_line_goes_through_groups_of_a_drawn_range_and_not_through_its_points() -> None:
    rng = np.random.default_rng(0)
    rates, depths = rng.random(15), rng.random(15)
    rows = [
        row({"rate": float(x), "depth": float(y)}, x + y)
        for x, y in zip(rates, depths, strict=True)
    ]
    order = np.argsort(rates).reshape(5, 3)
    along, medians = middle(summarise_points(rows), "rate")
    assert along == pytest.approx(np.median(rates[order], axis=1).tolist())
    assert medians == pytest.approx(np.median((rates + depths)[order], axis=1).tolist())
    assert middle(summarise_points(rows[:5]), "rate") == ([], [])


def test_a_line_goes_through_all_points_where_nothing_else_differs() -> None:
    rows = [row({"rate": rate}, -rate) for rate in range(1, 13)]
    assert middle(summarise_points(rows), "rate") == (
        list(range(1, 13)), [-float(rate) for rate in range(1, 13)]
    )  # fmt: skip


def test_importance_has_its_entries_in_order_and_settings_by_their_means() -> None:
    shares = {"one": {"a": 0.1, "b": 0.2}, "other": {"a": 0.9, "b": 0.3}}
    found = [
        Effect(entry, "classical", key, share)
        for entry, own in shares.items()
        for key, share in own.items()
    ]
    drawn = [name for name in names_in(importance(found, name="x")) if not name.endswith("%")]
    assert [name for name in drawn if name in shares] == ["one", "other"]
    assert [name for name in drawn if name in "ab"] == ["b", "a", "b", "a"]  # from below


def test_lists_as_values_are_drawn() -> None:
    rows = [
        row({"layers": layers, "rate": rate}, rate * len(layers))
        for layers in ([4, 2], [4, 3, 2])
        for rate in (1, 2)
    ]
    page = page_of(rows)
    assert page.count("<svg role") == 3
    assert "[4, 3, 2]" in names_in(page)


def test_hostile_names_stay_text() -> None:
    rows = [row({'a"><b>': n}, n, entry="<i>$x_1$") for n in (1, 2)]
    page = page_of(rows)
    assert "<b>" not in page
    assert "<i>" not in re.sub(r"<!--.*?-->", "", page)
