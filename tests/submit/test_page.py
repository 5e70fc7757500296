import re
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from qhyper.errors import StorageError
from qhyper.run.config import Config
from qhyper.run.directory import Run
from qhyper.submit.draws import compare_draws
from qhyper.submit.figures import REPLICAS
from qhyper.submit.page import page, table, write_page
from qhyper.submit.stored import Found, Identity, SubmissionSettings, Written
from tests.report.reading import read_page
from tests.submit.drawn import MEASURED, SIMULATED, Weights, drawn, linear


def written(outcome, **changes):
    """A finished submission; `changes` of what was asked, sent or found."""
    asked = {
        "entry": "product", "backend": "stub:one", "seeds": tuple(range(len(outcome.replicas))),
        "shots": 4, "options": {}, "calibration_shots": 0,
    }  # fmt: skip
    told = {"certificate": None, "about": "", "not_mitigated": "", "jobs": []}
    outlook = changes.pop("outlook", {})
    asked = {key: changes.pop(key, value) for key, value in asked.items()}
    found = Found(**{key: changes.pop(key, value) for key, value in told.items()}, outcome=outcome)
    assert not changes
    return Written(3, SubmissionSettings(**asked), 100, "a hash", outlook, found)


def text_of(renderable, width=80):
    console = Console(file=StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()


def test_of_one_shot_and_without_a_minimum_there_are_dashes():
    assert "–" in text_of(table(written(compare_draws(MEASURED[:, :1], SIMULATED, linear))))
    page(written(compare_draws(SIMULATED, SIMULATED, linear)))


# -- table and page -------------------------------------------------------------------------------


def full(entry="<b>product"):
    p = np.tile(np.linspace(0.1, 0.9, 2), (2, 1))
    outcome = compare_draws(
        drawn(p, 500, 5), drawn(p, 1_000, 6), linear, minimum=1.0, quasi=[Weights()] * 2
    )
    job = {"purpose": "draws", "job_id": "j-17", "rows": 2, "shots": 500, "state": "done",
           "attempts": 1, "sent": 0.0, "ended": 3600.0,
           "note": "expanded from counts with seed 5"}  # fmt: skip
    return written(
        outcome,
        entry=entry,
        about="Snapshot with readout errors alone.",
        seeds=(3, 8),
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
    reader = read_page(html)
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
    text = read_page(page(full())).text
    # of the three jobs one was never sent, and one was sent twice: 2 + 3 rows, 1,000 + 48 shots
    assert "Jobs 2, 1 of them sent more than once Circuits 5 Shots 1,048" in text
    assert "Price, estimated before 12 stub dollars" in text
    for planned in ("99", "98,765", "97"):
        assert f" {planned} " not in text


def test_mitigation_that_has_nothing_to_do_says_so():
    outcome = compare_draws(MEASURED, SIMULATED, linear, quasi=[Weights(covered=None)])
    for words in (
        read_page(page(written(outcome))).text,
        " ".join(text_of(table(written(outcome)), 120).split()),
    ):
        assert "The calibration found no misreadings: there is nothing to mitigate." in words
        assert "mitigated" in words
        assert "no misreadings" in words
        assert "%" not in words.partition("Figures")[0]


def test_why_mitigation_was_not_done_is_said():
    outcome = compare_draws(MEASURED, SIMULATED, linear)
    given = written(outcome, calibration_shots=64, not_mitigated="Qubit 2 is read as noise.")
    because = "asked for, and could not be done: Qubit 2 is read as noise. On average"
    text = read_page(page(given)).text
    assert because in text
    assert "Readout mitigation could not be done: Qubit 2 is read as noise." in text
    assert "quasi-probabilities" not in text
    assert because in " ".join(text_of(table(given), 120).split())


def test_without_a_certificate_the_test_accuracy_stands_in_the_column_of_hits():
    outcome = compare_draws(
        MEASURED, SIMULATED, linear, accuracy=lambda bits: 1 - 0.25 * bits.sum(axis=-1)
    )
    html = page(written(outcome))
    reader = read_page(html)
    assert "Best loss Test accuracy Marginals" in reader.text
    assert "0.6875 best 1.0000" in reader.text
    assert "Of the test rows they get 68.75% right, the simulator's 100.00%." in reader.text
    assert "the share of test rows that a draw gets right" in reader.text
    words = " ".join(text_of(table(written(outcome)), 120).split())
    assert "0.6875" in words
    certified = compare_draws(
        MEASURED, SIMULATED, linear, minimum=1.0, accuracy=lambda bits: 1.0 - bits[..., 0]
    )
    assert "Best loss Hits Marginals" in read_page(page(written(certified))).text


def test_a_page_of_many_bits_is_small_and_says_what_its_groups_are():
    p = np.full((1, 20_000), 0.5)
    html = page(written(compare_draws(drawn(p, 4, 1), drawn(p, 8, 2), linear)))
    assert len(html) < 300_000
    text = read_page(html).text
    assert "20,000 bits" in text
    assert "Bits in 256 groups, from those that half of the simulator's draws have mostly" in text


def test_what_the_backend_is_stands_in_the_terminal_too():
    words = " ".join(text_of(table(full()), 120).split())
    assert "Snapshot with readout errors alone. 2 bits; seeds 3, 8; 500 draws" in words


def test_the_page_does_without_what_is_not_known():
    reader = read_page(page(written(compare_draws(MEASURED, SIMULATED, linear))))
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
    outcome = compare_draws(drawn(p, 50, 7), drawn(p, 50, 8), linear)
    reader = read_page(page(written(outcome)))
    assert f"device seed {replicas - 1}" in reader.text
    assert "The first seeds; 3 more are in the table." in reader.text


def test_the_table_fits_80_columns_and_markup_is_no_markup():
    words = text_of(table(full(entry="[red]product")))
    assert max(map(len, words.splitlines())) <= 80
    assert "[red]product on stub:one" in words
    assert len(re.findall(r"^(?:device|simulator|mitigated) +[\d–]", words, re.M)) == 6
    assert "0.4000" in words


@pytest.fixture
def submission(tmp_path):
    made = Identity(Run.create(tmp_path, "a-run", Config(objective="own:loss", bits=5)), 3)
    made.folder.mkdir(parents=True)
    made.write(replace(full(), found=None))
    return made


def test_a_page_is_written_anew_from_the_outcome(submission):
    submission.write(full())
    assert write_page(submission) == submission.page
    assert submission.page.read_text(encoding="utf-8") == page(full())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no outcome.json: its submission is not finished. Get its draws with `qhyper f"),
        ("{", "outcome.json cannot be read as a submission: .* `qhyper fetch` makes it again"),
    ],
)
def test_a_page_needs_an_outcome(content, message, submission):
    if content is not None:
        (submission.folder / "outcome.json").write_text(content)
    with pytest.raises(StorageError, match=message):
        write_page(submission)
    assert not submission.page.exists()
