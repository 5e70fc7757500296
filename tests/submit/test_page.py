import json
import re
from html.parser import HTMLParser
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from qhyper.errors import ConfigurationError, StorageError
from qhyper.submit.figures import REPLICAS
from qhyper.submit.page import beside, page, table, write_page


def linear(bits):
    return 1.0 + bits @ np.arange(1.0, bits.shape[-1] + 1)


def drawn(p, shots, seed):
    """Draws [replica, shot, bit] of independent bits with P(1) = p [replica, bit]."""
    rng = np.random.default_rng(seed)
    return (rng.random((len(p), shots, p.shape[1])) < p[:, None]).astype(np.uint8)


class Weights:
    """Quasi-probabilities as `beside` reads them."""

    strings = np.array([[0, 0], [1, 1]], np.uint8)

    def __init__(self, covered=0.25):
        self.covered = covered

    def mean(self, losses):
        assert losses.tolist() == [1.0, 4.0]
        return float(1.2 * losses[0] - 0.2 * losses[1]), 0.5


def shown(outcome, **changes):
    replicas = len(outcome["replicas"])
    return {
        "entry": "product",
        "backend": "stub:one",
        "seeds": list(range(replicas)),
        "outcome": outcome,
    } | changes


def text_of(renderable, width=80):
    console = Console(file=StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()


MEASURED = np.array([[[0, 0], [1, 0], [1, 1], [1, 1]]], np.uint8)
SIMULATED = np.array([[[0, 0], [0, 0]]], np.uint8)


def test_each_number_is_the_one_counted_by_hand():
    outcome = beside(MEASURED, SIMULATED, linear, minimum=1.0, quasi=[Weights()])
    assert json.loads(json.dumps(outcome, allow_nan=False)) == outcome
    (replica,) = outcome["replicas"]
    # losses 1, 2, 4, 4 against 1, 1
    ours, theirs = replica["measured"], replica["simulated"]
    assert (ours["draws"], ours["hits"], ours["share"], ours["best_loss"]) == (4, 1, 0.25, 1.0)
    assert ours["mean_loss"] == 2.75
    assert ours["standard_error"] == pytest.approx(np.sqrt(6.75 / 3 / 4))
    assert (theirs["draws"], theirs["hits"], theirs["share"]) == (2, 2, 1.0)
    assert (theirs["mean_loss"], theirs["standard_error"]) == (1.0, 0.0)
    assert replica["mitigated"] == {
        "mean_loss": pytest.approx(0.4), "standard_error": 0.5, "covered": 0.25,
    }  # fmt: skip
    marginals = replica["marginals"]
    assert marginals["measured"] == [0.75, 0.5]
    assert marginals["simulated"] == [0.0, 0.0]
    assert (marginals["mean"], marginals["largest"]) == (0.625, 0.75)
    # bit 0: 3 of 6 are 1, so √(1/4 · (1/4 + 1/2))
    assert marginals["error"][0] == pytest.approx(np.sqrt(0.25 * 0.75))
    edges = outcome["edges"]
    assert (edges[0], edges[-1]) == (1.0, 4.0)
    for side in (ours, theirs):
        assert sum(side["counts"]) == side["draws"]
    assert replica["losses"]["variation"] == 0.75


def test_without_a_minimum_there_are_no_hits_and_of_one_shot_no_error():
    (replica,) = beside(MEASURED[:, :1], SIMULATED, linear)["replicas"]
    assert replica["measured"]["hits"] is None
    assert replica["measured"]["share"] is None
    assert replica["measured"]["standard_error"] is None
    assert replica["mitigated"] is None
    assert "–" in text_of(table(shown(beside(MEASURED[:, :1], SIMULATED, linear))))


def test_one_level_of_loss_has_one_bin():
    outcome = beside(SIMULATED, SIMULATED, linear)
    assert outcome["edges"] == [0.5, 1.5]
    assert outcome["replicas"][0]["losses"] == {"variation": 0.0, "noise": 0.0}
    page(shown(outcome))


def test_what_shot_noise_alone_gives_is_what_the_same_distribution_gives():
    # seeds 1 and 2; 400 repetitions of 1,000 against 4,000 shots of 12 bits, as replicas.
    # 5 sigma of the repetitions, and 2 % for counts taken as normal.
    p = np.tile(np.linspace(0.05, 0.95, 12), (400, 1))
    measured, simulated = drawn(p, 1_000, 1), drawn(p, 4_000, 2)
    outcome = beside(measured, simulated, linear)
    for part, value, noise in (
        ("marginals", "mean", "mean_noise"),
        ("marginals", "largest", "largest_noise"),
        ("losses", "variation", "noise"),
    ):
        got = np.array([replica[part][value] for replica in outcome["replicas"]])
        expected = np.mean([replica[part][noise] for replica in outcome["replicas"]])
        slack = 5 * got.std() / np.sqrt(400) + 0.02 * expected
        assert abs(got.mean() - expected) < slack, (part, value)


def test_a_device_that_misreads_stands_out_from_shot_noise():
    p = np.full((1, 10), 0.1)
    measured, simulated = drawn(p + 0.1, 2_000, 3), drawn(p, 2_000, 4)
    (replica,) = beside(measured, simulated, linear)["replicas"]
    marginals = replica["marginals"]
    assert marginals["mean"] > 5 * marginals["mean_noise"]
    assert replica["losses"]["variation"] > 3 * replica["losses"]["noise"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measured": MEASURED[0]}, r"measured draws of shape \(4, 2\); expected \[replica"),
        ({"simulated": SIMULATED[:, :0]}, r"simulated draws of shape \(1, 0, 2\)"),
        ({"simulated": SIMULATED[..., :1]}, "expected the same replicas and bits"),
        ({"quasi": []}, "quasi-probabilities of 0 replicas; expected 1"),
        ({"minimum": 1.5}, r"loss 1.0, below the certified minimum 1.5: this certificate belongs"),
    ],
)
def test_what_cannot_be_compared_is_said(changes, message):
    given = {"measured": MEASURED, "simulated": SIMULATED, "objective": linear} | changes
    with pytest.raises(ConfigurationError, match=message):
        beside(given.pop("measured"), given.pop("simulated"), given.pop("objective"), **given)


# -- table and page -------------------------------------------------------------------------------


class Reader(HTMLParser):
    """The visible text, what a browser would load, the ids, and whether tags match."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self, html):
        super().__init__()
        self.open, self.words, self.addresses, self.ids = [], [], [], []
        self.feed(html)
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag, attrs):
        for key, value in attrs:
            if key in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.addresses.append(value)
            if key == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def full():
    p = np.tile(np.linspace(0.1, 0.9, 2), (2, 1))
    outcome = beside(
        drawn(p, 500, 5), drawn(p, 1_000, 6), linear, minimum=1.0, quasi=[Weights()] * 2
    )
    job = {"purpose": "draws", "job_id": "j-17", "rows": 2, "shots": 500, "state": "done",
           "attempts": 1, "sent": 0.0, "ended": 3600.0,
           "note": "expanded from counts with seed 5"}  # fmt: skip
    return shown(
        outcome,
        entry="<b>product",
        about="Snapshot with readout errors alone.",
        seeds=[3, 8],
        outlook={"entry": "<b>product", "circuits": 99, "shots": 98_765, "jobs": 97,
                 "two-qubit gates": 1105, "qubits of the device": [4, 5], "limits": "none",
                 "price": "12 stub dollars"},
        options={"level": 3},
        calibration_shots=1024,
        jobs=[
            job,
            job | {"purpose": "preflight", "rows": 3, "shots": 16, "attempts": 2, "note": ""},
            job | {"job_id": None, "attempts": 0, "sent": None, "ended": None},
        ],
        certificate={"minimum_loss": 1.0, "bits": 2, "optimal_bitstrings": 1},
    )  # fmt: skip


def test_the_page_says_everything_and_loads_nothing():
    html = page(full())
    reader = Reader(html)
    assert all(address.startswith("#") for address in reader.addresses)
    assert len(reader.ids) == len(set(reader.ids))
    assert {address[1:] for address in reader.addresses} <= set(reader.ids)
    assert html.count("<svg") == 2
    for words in (
        "<b>product on stub:one", "Snapshot with readout errors alone", "seeds 3, 8",
        "500 draws each beside 1,000", "The draws from stub:one have a mean loss of",
        "their mean loss is 0.4000 ± 0.3536, with 25% of the misreadings corrected",
        "have the proven optimal loss (1.000)", "mitigated seed 8, 25% corrected",
        "misreadings among these strings alone", "are no draws", "Two-qubit gates 1,105", "4, 5",
        "Option level 3", "mthree, 1,024 shots of each calibration", "Limits none",
        "Note expanded from counts with seed 5", "j-17 2 × 500 done 1970-01-01 00:00:00 UTC",
        "Settings that reach the minimum 1", "shot noise alone would give",
    ):  # fmt: skip
        assert words in reader.text, words
    assert reader.text.count("expanded from counts") == 1
    assert "hardware" not in html
    assert page(full()) == html


def test_what_was_sent_is_told_from_the_jobs_and_not_from_the_plan():
    text = Reader(page(full())).text
    # of the three jobs one was never sent, and one was sent twice: 2 + 3 rows, 1,000 + 48 shots
    assert "Jobs 2, 1 of them sent more than once Circuits 5 Shots 1,048" in text
    assert "Price, estimated before 12 stub dollars" in text
    for planned in ("99", "98,765", "97"):
        assert f" {planned} " not in text


def test_mitigation_that_has_nothing_to_do_says_so():
    outcome = beside(MEASURED, SIMULATED, linear, quasi=[Weights(covered=None)])
    for words in (
        Reader(page(shown(outcome))).text,
        " ".join(text_of(table(shown(outcome)), 120).split()),
    ):
        assert "The calibration found no misreadings: there is nothing to mitigate." in words
        assert "mitigated" in words
        assert "no misreadings" in words
        assert "%" not in words.partition("Figures")[0]


def test_why_mitigation_was_not_done_is_said():
    outcome = beside(MEASURED, SIMULATED, linear)
    given = shown(outcome, calibration_shots=64, not_mitigated="Qubit 2 is read as noise.")
    because = "asked for, and could not be done: Qubit 2 is read as noise. On average"
    text = Reader(page(given)).text
    assert because in text
    assert "Readout mitigation could not be done: Qubit 2 is read as noise." in text
    assert "quasi-probabilities" not in text
    assert because in " ".join(text_of(table(given), 120).split())


def test_what_the_backend_is_stands_in_the_terminal_too():
    words = " ".join(text_of(table(full()), 120).split())
    assert "Snapshot with readout errors alone. 2 bits; seeds 3, 8; 500 draws" in words


def test_the_page_does_without_what_is_not_known():
    reader = Reader(page(shown(beside(MEASURED, SIMULATED, linear))))
    assert "Readout mitigation none" in reader.text
    for words in ("The proof", "Jobs", "A hit is", "quasi-probabilities", "each", "About", "Price"):
        assert words not in reader.text.replace("of each bit", "").replace("Each bit", ""), words


def test_quasi_probabilities_have_no_draws_best_loss_or_hits():
    html = page(full())
    rows = re.findall(r"<tr>\n<th scope=\"row\">mitigated.*?</tr>", html, re.S)
    assert len(rows) == 2
    for row in rows:
        cells = re.findall(r"<td>([^<]*)", row)
        assert cells[0] == cells[2] == cells[3] == "–"
        assert cells[1] == "0.4000"


def test_more_seeds_than_are_drawn_are_in_the_table():
    replicas = REPLICAS + 3
    p = np.full((replicas, 4), 0.5)
    outcome = beside(drawn(p, 50, 7), drawn(p, 50, 8), linear)
    reader = Reader(page(shown(outcome)))
    assert f"device seed {replicas - 1}" in reader.text
    assert "The first seeds; 3 more are in the table." in reader.text


def test_the_table_fits_80_columns_and_markup_is_no_markup():
    words = text_of(table(full() | {"entry": "[red]product"}))
    assert max(map(len, words.splitlines())) <= 80
    assert "[red]product on stub:one" in words
    assert len(re.findall(r"^(?:device|simulator|mitigated) +[\d–]", words, re.M)) == 6
    assert "0.4000" in words


def test_a_page_is_written_anew_from_the_outcome(tmp_path):
    (tmp_path / "outcome.json").write_text(json.dumps(full()))
    assert write_page(tmp_path) == tmp_path / "report.html"
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page(full())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no outcome.json: its submission is not finished. Get its draws with `qhyper f"),
        ("{", "outcome.json cannot be read as JSON: .* `qhyper fetch` makes it again"),
    ],
)
def test_a_page_needs_an_outcome(content, message, tmp_path):
    if content is not None:
        (tmp_path / "outcome.json").write_text(content)
    with pytest.raises(StorageError, match=message):
        write_page(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_it_reads_what_mthree_gives():
    pytest.importorskip("mthree")
    from qhyper.quantum.cloud.mthree_mitigation import quasi_probabilities

    matrices = np.tile([[0.9, 0.2], [0.1, 0.8]], (2, 1, 1))
    p = np.array([[0.3, 0.6]])
    rng = np.random.default_rng(9)
    true = drawn(p, 20_000, 10)
    one = np.where(true == 1, 0.8, 0.1)
    measured = (rng.random(true.shape) < one).astype(np.uint8)
    quasi = [quasi_probabilities(measured[0], matrices)]
    (replica,) = beside(measured, true, linear, quasi=quasi)["replicas"]
    # seeds 9 and 10, 20,000 shots: the loss is 1 + 0.3 + 2 · 0.6 in the mean, within 5 sigma
    mitigated = replica["mitigated"]
    assert abs(mitigated["mean_loss"] - 2.5) < 5 * mitigated["standard_error"]
    assert abs(replica["measured"]["mean_loss"] - 2.5) > 10 * mitigated["standard_error"]
