"""What a notebook shows of an outcome, and the figures of one by name."""

import csv
import io
import re
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from qhyper.report.page import fragment, page
from qhyper.report.plots import plots
from qhyper.run.comparison import Comparison
from tests.report.reading import Reader, read


@pytest.fixture
def outcome(ten_seeds, certified, spectrum):
    return Comparison(certified(ten_seeds), ten_seeds, spectrum)


def rows_of(plot):
    return list(csv.DictReader(io.StringIO(plot.csv())))


def test_a_notebook_shows_the_table_the_tested_pairs_and_the_figures(outcome):
    root = read(outcome._repr_html_())
    captions = [caption.text for caption in root.all("caption")]
    assert captions == ["Figures of merit of 5 entries: medians over 10 seeds", "Paired tests"]
    assert [figure.attributes["aria-label"] for figure in root.all("figure")] == [
        "Learning", "When the optimum is found", "Where the draws end"
    ]  # fmt: skip
    assert "finds the best network most often" in root.text
    assert not list(root.all("h1", "h2", "h3"))  # headings are the notebook's own
    assert outcome._repr_html_() == outcome._repr_html_()


def test_its_styles_stay_inside_it(outcome):
    html = outcome._repr_html_()
    (sheet,) = re.findall(r"(?s)<style>(.*?)</style>", html)
    rules = re.sub(r"@(?:media|container)[^{]*\{", "", sheet)
    selectors = re.findall(r"([^{}]+)\{", rules)
    assert all(re.match(r"\s*\.qhyper\b", selector) for selector in selectors)
    # the theme of a notebook is not the system's, and its colours are those of the text around
    assert "prefers-color-scheme" not in html
    assert not re.search(r"--qhyper-\w+:", html)
    root = Reader(html).root
    assert root.children[0].attributes == {"class": "qhyper"}
    assert len(root.children) == 1


def test_two_outcomes_in_one_notebook_share_no_id(outcome, ten_seeds, certified):
    other = fragment(certified(ten_seeds[:2]), ten_seeds[:2])
    read(outcome._repr_html_() + other)


def test_one_figure_alone_has_its_drawing_and_its_data(outcome):
    figures = outcome.figures()
    assert list(figures) == ["learning", "hits", "draws"]
    assert repr(figures["hits"]).startswith("Plot 'hits': When the optimum is found; ")
    for plot in figures.values():
        ElementTree.fromstring(plot.svg)
        (drawn,) = read(plot._repr_html_()).all("svg")
        assert "".join(drawn.children[1].words) == plot.description


def test_the_data_of_hits_are_those_of_the_results(outcome):
    hits = outcome.figures()["hits"]
    found = {row["entry"]: row for row in rows_of(hits)}  # the last of each: where it ends
    for entry in outcome.summary.generators:
        last = found[entry.name]
        assert float(last["share"]) == pytest.approx(entry.hit_share.value)
        assert int(last["evaluations"]) == entry.evaluations
        chance = outcome.summary.certificate["uniform_hit_probability"]
        by_uniform = 1 - (1 - chance) ** entry.evaluations
        assert float(last["uniform_share"]) == pytest.approx(by_uniform, rel=1e-4)
    assert "“autoregressive” 8 of 10" in hits.description


def test_the_data_of_draws_count_every_draw(outcome, spectrum):
    counted = {}
    for row in rows_of(outcome.figures()["draws"]):
        counted[row["entry"]] = counted.get(row["entry"], 0) + int(row["count"])
    assert counted.pop("all bitstrings") == sum(spectrum.bitstrings)
    assert counted == {
        result.name: sum(map(len, result.final_losses))
        for result in outcome.results
        if any(map(len, result.final_losses))
    }


def test_who_does_not_see_the_curves_is_told_where_they_end(outcome):
    learning = outcome.figures()["learning"]
    last = {row["entry"]: float(row["median"]) for row in rows_of(learning)}
    order = re.findall("“(.*?)” ", learning.description)
    assert order == sorted(last, key=lambda name: last[name])
    assert "certified minimum is 0.1160" in learning.description


def test_without_a_certificate_the_best_so_far_is_told(ten_seeds, uncertified):
    best = plots(uncertified(ten_seeds), ten_seeds, None)["best"]
    assert list(rows_of(best)[0]) == ["entry", "evaluations", "median_best_loss"]
    falling = {}
    for row in rows_of(best):
        falling.setdefault(row["entry"], []).append(float(row["median_best_loss"]))
    assert all(losses == sorted(losses, reverse=True) for losses in falling.values())


def test_what_a_page_offers_to_keep_is_the_figure_and_its_data(outcome):
    html = page(outcome.summary, outcome.results, outcome.spectrum)
    kept = {
        link.attributes["download"]: link.attributes["href"]
        for link in Reader(html).root.all("a")
        if "download" in link.attributes
    }
    for name, plot in outcome.figures().items():
        kind, _, content = kept[f"{name}.csv"].partition(",")
        assert kind == "data:text/csv;charset=utf-8"
        assert unquote(content) == plot.csv()
        kind, _, content = kept[f"{name}.svg"].partition(",")
        assert kind == "data:image/svg+xml;charset=utf-8"
        drawn = ElementTree.fromstring(unquote(content))
        assert [e.tag for e in drawn.iter()] == [
            e.tag for e in ElementTree.fromstring(plot.svg).iter()
        ]
