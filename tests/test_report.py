import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from qhyper import report
from qhyper.errors import ConfigurationError

LEVELS = np.array([0.1160, 0.1165, 0.195, 0.24, 0.45, 0.693])
BUDGET = 3000
CERTIFICATE = {
    "data": "toy",
    "bits": 36,
    "configurations": 2**36,
    "functions": 1884961,
    "minimum_loss": 0.1160,
    "accuracy_at_minimum": 0.9184,
    "best_accuracy": 0.9193,
    "optimal_bitstrings": 768,
    "optimum": "01" * 18,
    "temperature": 0.02,
    "log_Z": 19.5,
    "uniform_hit_probability": 768 / 2**36,
    "expected_draws": 2**36 / 768,
    "method": "every function counted",
}
SPECTRUM = {
    "edges": np.linspace(0.1, 3.0, 30).tolist(),
    "bitstrings": [768, 10**6, 0, *[10**9 + k for k in range(26)]],
}
ABOUT = {"data": "toy", "network": "BinaryNetwork((4, 6, 2))", "loss": "cross_entropy"}


def result(name, kind, ends, *, shift=0.0, steps=True):
    """One search whose seeds end at the given levels, finding a level every 100 evaluations."""
    seeds = len(ends)
    final = [float(LEVELS[end]) + shift + 0.01 + 0.001 * seed for seed, end in enumerate(ends)]
    evaluations = np.arange(64, BUDGET + 1, 64)
    return {
        "name": name,
        "kind": kind,
        "description": f"the {name} of the tests",
        "parameters": 72,
        "seeds": list(range(seeds)),
        "evaluations": BUDGET,
        "best_loss": [float(LEVELS[end]) for end in ends],
        "best_bits": ["01" * 18] * seeds,
        "improvements": [
            [[1 + 100 * k, float(LEVELS[5 - k])] for k in range(6 - end)] for end in ends
        ],
        "final_loss": final,
        "final_losses": [[value - 0.005, value + 0.005] for value in final],
        "train_accuracy": [0.9] * seeds if steps else None,
        "test_accuracy": [0.89] * seeds if steps else None,
        "seconds_per_step": 0.0123 if steps else None,
        "curve": {
            "evaluations": evaluations.tolist() if steps else [],
            "mean_loss": [
                (value + 0.8 * np.exp(-evaluations / 400)).tolist() if steps else []
                for value in final
            ],
        },
    }


def ten_seeds():
    return [
        result("product", "quantum", [0, 0, 0] + [1] * 7),
        result("quantum", "quantum", [1] * 10, shift=-0.005),
        result("bernoulli", "classical", [1] * 9 + [2], shift=0.05),
        result("autoregressive", "classical", [0] * 8 + [1] * 2),
        result("random", "control", [3] * 10, shift=0.5, steps=False),
    ]


def certified(results):
    return report.summarise(results, certificate=CERTIFICATE, no_certificate=None, **ABOUT)


def uncertified(results, reason="the network has too many bits"):
    return report.summarise(results, certificate=None, no_certificate=reason, **ABOUT)


def entries(comparison):
    return {entry["name"]: entry for entry in comparison["generators"]}


def text_of(renderable, width=80):
    console = Console(file=StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()


class Reader(HTMLParser):
    """The visible text, the addresses that a browser would load, and whether tags match."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self, html):
        super().__init__()
        self.open, self.text, self.addresses, self.tags, self.ids = [], [], [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self._attributes(attrs)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self._attributes(attrs)

    def _attributes(self, attrs):
        for key, value in attrs:
            if key in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.addresses.append(value)
            if key == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def read(comparison, results, spectrum=None):
    html = report.page(comparison, results, spectrum)
    reader = Reader(html)
    words = " ".join(" ".join(reader.text).split())
    # Self-contained: only references inside the page, each to one element.
    assert all(address.startswith("#") for address in reader.addresses)
    assert not {"script", "link", "iframe", "img"} & set(reader.tags)
    assert not re.search(r"url\((?!#)|@import", html)
    assert len(set(reader.ids)) == len(reader.ids)
    assert {address[1:] for address in reader.addresses} <= set(reader.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", html)) <= set(reader.ids)
    # Nothing missing is shown by the name Python has for it.
    assert not re.search(r"\b(nan|none|inf|null|undefined)\b", words, re.IGNORECASE)
    assert not re.search(r"\bnan\b", html, re.IGNORECASE)
    return words


# -- summarise ------------------------------------------------------------------------------------


def test_summarise_measures_from_the_certified_minimum():
    comparison = certified(ten_seeds())
    assert comparison["reference"] == {"loss": 0.1160, "kind": "certified minimum"}
    assert comparison["evaluations"] == BUDGET
    assert comparison["seeds"] == list(range(10))
    found = entries(comparison)
    assert list(found) == ["product", "quantum", "bernoulli", "autoregressive", "random"]
    assert found["autoregressive"]["regret"]["median"] == 0.0
    assert found["product"]["regret"]["median"] == pytest.approx(0.0005)
    assert found["product"]["seeds"] == 10
    assert found["product"]["hit_share"]["value"] == pytest.approx(0.3)
    assert found["autoregressive"]["evaluations_to_hit"]["median"] == 501
    assert found["product"]["evaluations_to_hit"]["median"] is None
    assert found["random"]["train_accuracy"] is None
    json.dumps(comparison, allow_nan=False)


def test_summarise_without_certificate_measures_from_the_best_loss_seen():
    comparison = uncertified([result("product", "quantum", [1, 2, 2])])
    assert comparison["reference"] == {"loss": 0.1165, "kind": "best loss seen"}
    assert comparison["generators"][0]["hit_share"]["value"] == pytest.approx(1 / 3)
    assert comparison["no_certificate"] == "the network has too many bits"


def test_a_hit_is_a_loss_within_1e_9():
    near = result("near", "quantum", [0, 0])
    near["best_loss"] = [0.1160 + 5e-10, 0.1160 + 5e-9]
    near["improvements"] = [[[1, 0.2], [7, 0.1160 + 5e-10]], [[1, 0.2], [9, 0.1160 + 5e-9]]]
    entry = certified([near])["generators"][0]
    assert entry["hit_share"]["value"] == 0.5
    assert entry["regret"]["median"] == pytest.approx(2.5e-9, rel=1e-3)  # 0 and 5e-9


def test_tests_pair_quantum_with_classical_and_leave_controls_out():
    tests = certified(ten_seeds())["tests"]
    assert [(test["quantum"], test["classical"]) for test in tests] == [
        ("product", "bernoulli"),
        ("product", "autoregressive"),
        ("quantum", "bernoulli"),
        ("quantum", "autoregressive"),
    ]
    assert tests[0]["p"] == pytest.approx(2 / 2**10)
    assert tests[0]["median_difference"] < 0


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([], "no results"),
        ([result("a", "quantum", [1]), result("a", "classical", [1])], "name of its own"),
        ([result("a", "quantum", [1]), result("b", "classical", [1, 1])], "same seeds"),
        ([result("a", "cat", [1])], "Unknown kind"),
    ],
)
def test_summarise_refuses_what_cannot_be_compared(results, message):
    with pytest.raises(ConfigurationError, match=message):
        certified(results)


def test_a_loss_below_the_certified_minimum_is_refused():
    wrong = CERTIFICATE | {"minimum_loss": 0.1162}
    with pytest.raises(ConfigurationError, match="another objective"):
        report.summarise(
            [result("a", "quantum", [0])], certificate=wrong, no_certificate=None, **ABOUT
        )


# -- tables ---------------------------------------------------------------------------------------


def test_table_fits_a_terminal_of_80_columns():
    shown = text_of(report.table(certified(ten_seeds())))
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    for words in ("autoregressive", "8 of 10", "49–94", "> 3k", "501", "12.3", "0.9000"):
        assert words in shown
    caption = " ".join(shown.split())
    assert "3,000 evaluations for each of 10 seeds; certified minimum 0.116000" in caption


def test_table_without_certificate_says_so_and_keeps_brackets_in_names():
    shown = text_of(report.table(uncertified([result("[red]a", "quantum", [1])])))
    assert "[red]a" in shown
    assert "best loss seen 0.1165" in shown


def test_tests_table():
    shown = text_of(report.tests_table(certified(ten_seeds())), width=100)
    assert shown.count("product is lower") == 1
    assert "−0.0" in shown
    assert "0.008" in shown  # 4 · 2 / 2^10
    report.tests_table(certified([result("a", "quantum", [1])]))


def test_budgets_that_differ_are_told():
    results = ten_seeds()
    results[0]["evaluations"] = BUDGET - 8
    assert "up to 3,000 evaluations" in report._setting(certified(results))


# -- figures --------------------------------------------------------------------------------------


def test_figures_are_svg_that_follow_the_page_and_repeat_exactly():
    results = ten_seeds()
    comparison = certified(results)
    drawn = report.figures(comparison, results, SPECTRUM)
    assert list(drawn) == ["learning", "hits", "draws"]
    for svg in drawn.values():
        assert svg.startswith("<svg")
        assert "currentColor" in svg
        assert len(svg) < 200_000
    assert drawn == report.figures(comparison, results, SPECTRUM)


def test_figures_without_certificate_show_the_best_so_far():
    results = ten_seeds()
    assert list(report.figures(uncertified(results), results, None)) == [
        "learning",
        "best",
        "draws",
    ]


def test_figures_with_nothing_to_show_are_left_out():
    bare = result("random", "control", [1], steps=False)
    bare["final_losses"] = [[]]
    assert list(report.figures(certified([bare]), [bare], None)) == ["hits"]


def test_figures_use_no_pyplot_and_change_no_settings():
    import matplotlib

    before = dict(matplotlib.rcParams)
    results = ten_seeds()
    report.figures(certified(results), results, SPECTRUM)
    assert dict(matplotlib.rcParams) == before


def test_styles_differ_by_kind_without_colour_and_by_generator():
    results = [result(f"{kind}{k}", kind, [1]) for kind in report.COLOURS for k in range(6)]
    styles = report._styles(results)
    looks = {(s.colour, s.marker, s.filled, s.dashes) for s in styles.values()}
    assert len(looks) == 18
    assert len({styles[f"{kind}0"].dashes for kind in report.COLOURS}) == 3


@pytest.mark.parametrize("losses", [[0.0, 0.0], [-3.0, -1.0], [1e-7, 2.0]])
def test_figures_of_any_objective(losses):
    odd = result("own", "quantum", [1, 1])
    odd["best_loss"] = losses
    odd["improvements"] = [[[1, loss]] for loss in losses]
    odd["final_loss"], odd["final_losses"] = losses, [[loss] for loss in losses]
    odd["curve"] = {"evaluations": [BUDGET], "mean_loss": [[loss] for loss in losses]}
    read(uncertified([odd]), [odd])


def test_an_objective_that_every_draw_solves():
    easy = result("easy", "quantum", [0])
    easy["improvements"], easy["evaluations"] = [[[1, 0.1160]]], 1
    certain = CERTIFICATE | {"uniform_hit_probability": 1.0}
    comparison = report.summarise([easy], certificate=certain, no_certificate=None, **ABOUT)
    assert "“easy” reached the proven optimal loss (0.1160)" in read(comparison, [easy])


# -- page -----------------------------------------------------------------------------------------


def test_page_answers_in_words():
    results = ten_seeds()
    words = read(certified(results), results, SPECTRUM)
    assert "“autoregressive” finds the best network most often: 8 of 10 seeds reached" in words
    assert "the proven optimal loss (0.1160) within 3,000 evaluations" in words
    assert "The intervals of “product” overlap with that." in words
    assert "0 for “autoregressive”; 0.0005 for “product”, “quantum” and “bernoulli”" in words
    assert "0.1240 for “random”" in words
    assert "the lowest of all 68,719,476,736 weight settings" in words
    assert "the quantum one is lower in 3" in words
    assert "1,884,961" in words
    assert "exact spectrum" in words


def test_page_shows_how_it_was_run():
    results = ten_seeds()
    comparison = certified(results) | {
        "provenance": {"versions": {"torch": "2.9.0"}, "git": {"dirty": False, "tag": None}},
        "config": {"training": {"shots": 2048, "rate": 0.05}},
    }
    words = read(comparison, results, SPECTRUM)
    assert "versions.torch 2.9.0" in words
    assert "git.dirty no git.tag –" in words
    assert "training.shots 2048 training.rate 0.05" in words
    assert "the product of the tests" in words


@pytest.mark.parametrize("certificate", [CERTIFICATE, None])
@pytest.mark.parametrize("seeds", [1, 3])
def test_page_of_one_run(certificate, seeds):
    results = [result("product", "quantum", [1] * seeds)]
    comparison = report.summarise(
        results, certificate=certificate, no_certificate="it has 100 bits.", **ABOUT
    )
    words = read(comparison, results)
    assert "Quantum against classical" not in words
    if certificate is None:
        assert ("“product”: 3 of 3 seeds" if seeds == 3 else "one seed cannot tell") in words
        assert "Whether a better network exists is not known: it has 100 bits." in words
    else:
        assert "No run reached the proven optimal loss (0.1160)" in words


def test_page_without_reason_or_hits_in_common():
    results = [result("a", "quantum", [1, 1]), result("b", "classical", [1, 1])]
    words = read(uncertified(results, reason=None), results)
    assert "“a” and “b” find the best network equally often: for each, 2 of 2 seeds" in words
    assert "is not known." in words
    assert "With so few seeds no outcome could have told a pair apart" in words


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "_own:Gen", "$x_{", "a&b" * 20])
def test_page_takes_any_name_as_text(name):
    results = [result(name, "quantum", [0, 1]), result("b", "classical", [1, 1])]
    results[0]["description"] = "<b>bold</b>"
    words = read(certified(results), results, SPECTRUM)
    assert name in words
    assert "<b>bold</b>" in words


def test_importing_report_is_light():
    code = (
        "import sys, qhyper.report;"
        "print([m for m in ('matplotlib', 'rich', 'jinja2', 'scipy.stats') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_pyplot_is_never_loaded():
    code = (
        "import sys, json; from qhyper import report;"
        "r, c, s = json.load(sys.stdin); report.page(c, r, s);"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    results = ten_seeds()
    # What summary.json holds is enough to make the page.
    stored = json.dumps([results, certified(results), SPECTRUM])
    run = subprocess.run(
        [sys.executable, "-c", code], input=stored, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"
