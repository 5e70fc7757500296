import json
import re
import subprocess
import sys
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from qhyper.report import page as report
from qhyper.report import table as tables
from qhyper.report import words as wording
from qhyper.report.pairs import entry_settings
from qhyper.report.results import Curve
from qhyper.report.summary import summarise
from qhyper.spending import Spending
from tests.report.reading import read_page


def text_of(renderable, width=80):
    console = Console(file=StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()


def read(comparison, results, spectrum=None, **documents):
    html = report.page(comparison, results, spectrum, **documents)
    words = read_page(html).text
    # Nothing missing is shown by the name Python has for it.
    assert not re.search(r"\b(nan|none|inf|null|undefined)\b", words, re.IGNORECASE)
    assert not re.search(r"\bnan\b", html, re.IGNORECASE)
    return words


def test_budgets_that_differ_are_told(ten_seeds, certified):
    ten_seeds[0] = replace(ten_seeds[0], evaluations=3000 - 8)
    comparison = certified(ten_seeds)
    assert "up to 3,000 evaluations, in whole steps, for each" in wording.setting_line(comparison)
    words = read(comparison, ten_seeds)
    assert "2,992 evaluations each)" in words
    assert "3,000 evaluations each)" in words


@pytest.fixture
def by_shots(result):
    """A training by shifts of angles and a control, with a budget of 3,000 shots."""
    shifted = replace(
        result("shifted", "quantum", [0, 1]),
        shots=2880,
        circuits=180,
        step=Spending(evaluations=144, shots=144, circuits=9),
        estimator="spsa",
        risk="cvar",
        backend="statevector",
        final_risk=[0.0321, 0.0345],
    )
    return [shifted, result("random", "control", [1, 1])]


def summary(results, **budget):
    about = {"data": "toy", "network": "own", "loss": "own"}
    return summarise(
        results, certificate=None, no_certificate="it is a test", budget=budget, **about
    )


def test_steps_are_told_in_shots_and_circuits(by_shots):
    comparison = summary(by_shots, shots=3000)
    assert "up to 3,000 shots, in whole steps, for each" in wording.setting_line(comparison)
    words = read(comparison, by_shots)
    assert "2,880 shots each, in whole steps of 144 shots in 9 circuits)" in words
    assert "(control, 2 seeds, 3,000 shots each)" in words
    both = summary(by_shots, shots=2880, circuits=200)
    # a limit is met exactly: it is not for the size of a step that the other is not
    assert "up to 2,880 shots and 200 circuits for each" in wording.setting_line(both)
    by_shots[0] = replace(by_shots[0], step=Spending(circuits=1))
    words = read(summary(by_shots, shots=3000), by_shots)
    assert "in whole steps of 1 circuit)" in words


def test_what_was_minimised_and_how_stands_below_the_name(by_shots):
    comparison = summary(by_shots, shots=3000)
    words = read(comparison, by_shots)
    assert "shifted quantum · statevector · spsa · cvar 72" in words
    assert "random control 72" in words
    assert wording.RISK_NOTE in words
    assert "Final mean loss Final risk Train accuracy" in words
    assert wording.row_cells(comparison.generators[0])["final_risk"] == (
        "0.0333",
        "",  # of two seeds
    )
    assert wording.row_cells(comparison.generators[1])["final_risk"] == ("–", "")
    assert "the lowest loss drawn so far" in words.lower()
    assert "against shots, the bitstrings drawn:" in words
    shown = text_of(tables.table(comparison))
    assert max(map(len, shown.splitlines())) <= 80
    for line in (
        r"shifted .* 72 ",
        r"quantum · .* 2,880 ",
        r"statevector · .* 180 ",
        r"spsa · cvar",
    ):
        assert re.search(f"(?m)^{line}", shown)
    assert "0.0333" in shown
    assert wording.RISK_NOTE in " ".join(shown.split())


def test_the_usual_way_is_not_told(by_shots):
    by_shots[0] = replace(
        by_shots[0], estimator="score-function", risk="expectation", backend="mps", final_risk=None
    )
    words = read(summary(by_shots, shots=3000), by_shots)
    assert "shifted quantum 72" in words
    assert "Final risk" not in words
    assert wording.RISK_NOTE not in words


def without_draws(result):
    return replace(
        result("exact", "quantum", [0, 0]),
        improvements=[[], []], best_loss=[None] * 2, best_bits=[None] * 2,
        train_accuracy=None, test_accuracy=None, estimator="exact",
    )  # fmt: skip


def test_a_training_without_draws_has_dashes(certified, uncertified, result, spectrum):
    results = [without_draws(result), result("a", "quantum", [0, 1])]
    comparison = certified(results)
    cells = wording.row_cells(comparison.generators[0])
    assert {cells[key] for key in ("regret", "hit_share", "evaluations_to_hit")} == {("–", "")}
    words = read(comparison, results, spectrum)
    assert "“a” finds" not in words  # there is nobody to compare it with
    assert "“a”: 1 of 2 seeds reached" in words
    assert "“exact” trained without drawing: regret and hits are not defined there." in words
    assert "draws nothing on its way" in words
    text_of(tables.table(comparison))
    for compared in (certified(results[:1]), uncertified(results[:1])):
        words = read(compared, results[:1])
        assert "No training drew anything on its way." in words
        assert "Distance" not in words


@pytest.mark.usefixtures("undrawn")
def test_networks_chosen_on_held_out_rows_are_told(certified, uncertified, result, spectrum):
    held = replace(result("held", "quantum", [0, 0]), held_out_loss=[0.2, 0.4])
    other = replace(held, name="other", kind="classical", held_out_loss=[0.1, 0.1])
    words = read(uncertified([held, other]), [held, other])
    assert (
        "Best networks were chosen on held-out rows; their loss there in the median run: 0.1000 "
        "for “other”; 0.3000 for “held”."
    ) in words
    assert f"{wording.HELD_OUT_NOTE} The held-out loss is theirs on those rows." in words
    assert "Parameters Held-out loss Final mean loss" in words
    for absent in ("Regret", "Seeds that hit", "without drawing", "draws nothing", "drew anything"):
        assert absent not in words
    results = [held, result("a", "classical", [0, 1])]
    words = read(certified(results), results, spectrum)
    assert "“a”: 1 of 2 seeds reached" in words
    assert "theirs on those rows, and they have no regret and no hits." in words
    words = read(certified(results[1:]), results[1:])
    assert "held-out" not in words.lower()


def test_a_budget_in_rows_is_told(result):
    trained = replace(
        result("a", "quantum", [0, 1]),
        rows=2_990_000, step=Spending(64, 64, 1, 6400),
        curve=Curve(evaluations=[320], rows=[32_000], mean_loss=[[0.5], [0.6]]),
    )  # fmt: skip
    comparison = summary([trained], rows=3_000_000)
    words = read(comparison, [trained])
    assert "up to 3,000,000 rows, in whole steps, for each of 2 seeds" in words
    assert "Parameters Rows Regret" in words
    assert "72 2.99M" in words
    assert "2,990,000 rows each, in whole steps of 64 shots in 1 circuit, 6,400 rows)" in words
    assert "against rows, each of the data that a network was evaluated on:" in words
    assert "within 3,000,000 rows" in words


# -- page -----------------------------------------------------------------------------------------
def test_page_answers_in_words(ten_seeds, certified, spectrum):
    words = read(certified(ten_seeds), ten_seeds, spectrum)
    assert "“autoregressive” finds the best network most often: 8 of 10 seeds reached" in words
    assert "the proven optimal loss (0.1160) within 3,000 evaluations" in words
    assert "The intervals of “product” overlap with that." in words
    assert "0 for “autoregressive”; 0.0005 for “product”, “quantum” and “bernoulli”" in words
    assert "0.1240 for “random”" in words
    assert "the lowest of all 68,719,476,736 weight settings" in words
    assert (
        "of 2 tested pairs: “quantum” is lower than “autoregressive” (large effect); 1 cannot"
        in words
    )
    assert "too few" not in words
    assert "1,884,961" in words
    assert "exact spectrum" in words
    assert "the start kept at the end is the best one" in words


@pytest.mark.usefixtures("undrawn")
def test_page_shows_how_it_was_run(ten_seeds, certified, spectrum):
    words = read(
        certified(ten_seeds), ten_seeds, spectrum,
        provenance={"versions": {"torch": "2.9.0"}, "git": {"dirty": False, "tag": None}},
        config={"training": {"shots": 2048, "rate": 0.05}},
    )  # fmt: skip
    assert "versions.torch 2.9.0" in words
    assert "git.dirty no git.tag –" in words
    assert "training.shots 2048 training.rate 0.05" in words
    assert "the product of the tests" in words
    assert "Entry Options" not in words


TRAINING = {
    "evaluations": 3000, "draws": 64, "restarts": 2, "learning_rate": 0.1, "optimizer": "Adam",
    "optimizer_options": {"betas": [0.9, 0.99]}, "schedule": "CosineAnnealingLR",
    "schedule_options": {}, "checkpoint_every": 500, "final_draws": 1024,
}  # fmt: skip


@pytest.mark.usefixtures("undrawn")
def test_page_shows_the_settings_of_each_entry_as_a_row(ten_seeds, certified, spectrum):
    entries = [
        {"name": "product", "options": {"order": "split"}, "training": TRAINING},
        {"name": "quantum-depth2", "label": "quantum", "options": {}, "training": TRAINING},
        {"name": "bernoulli", "training": {**TRAINING, "checkpoint_every": 7}},
        {"name": "random", "label": None, "options": {}, "training": {}},
    ]
    config = {"data": "toy", "evaluations": 3000, "test": None, "entries": entries}
    comparison = certified(ten_seeds)
    words = read(comparison, ten_seeds, spectrum, config=config)
    adam = "Adam: betas 0.9, 0.99 CosineAnnealingLR"
    assert (
        "Entry Options Draws Learning rate Restarts Optimiser Schedule Checkpoint every "
        f"product order split 64 0.1 2 {adam} 500 "
        f"quantum (quantum-depth2) – 64 0.1 2 {adam} 500 "
        f"bernoulli – 64 0.1 2 {adam} 7 "
        "random – – – – – – – "
        "Configuration data toy evaluations 3000 test – training.final_draws 1024"
    ) in words
    assert "(quantum, 10 seeds, 3,000 evaluations each)" in words
    assert "(control, 10 seeds, 3,000 evaluations each)" in words
    assert "that of 1,024 fresh draws after training, from the start that was kept" in words
    controls = [{"name": "random", "options": {}, "training": {}}]
    words = read(comparison, ten_seeds, config={"entries": controls})
    assert words.count("Entry Options random –") == 1
    read(comparison, ten_seeds, config={"data": "toy", "entries": None})


def test_options_of_estimators_and_risks_are_words():
    spsa = {
        "estimator": "spsa", "estimator_options": {"directions": 4},
        "risk": "cvar", "risk_options": {"alpha": 0.5},
    }  # fmt: skip
    usual = {
        "estimator": "score-function", "estimator_options": {},
        "risk": "expectation", "risk_options": {},
    }  # fmt: skip
    entries = [
        {"name": "product", "training": TRAINING | spsa},
        {"name": "bernoulli", "training": TRAINING | usual},
    ]
    headings, rows, _ = entry_settings({"entries": entries})
    told = [dict(zip(headings, row, strict=True)) for row in rows]
    assert [row["Estimator"] for row in told] == ["spsa: directions 4", "score-function"]
    assert [row["Risk"] for row in told] == ["cvar: alpha 0.5", "expectation"]
    entries[1]["training"] = TRAINING | spsa
    headings, _, agreed = entry_settings({"entries": entries})
    assert "Risk" not in headings
    assert {
        ("training.estimator", "spsa: directions 4"),
        ("training.risk", "cvar: alpha 0.5"),
    } <= set(agreed)
    assert not any("options" in key for key, _ in agreed)


def test_notes_say_what_is_measured(ten_seeds, certified, result):
    words = read(certified(ten_seeds), ten_seeds)
    assert (
        "that of fresh draws after training, from the start that was kept. For a control" in words
    )
    assert "“ms per step” is the time of one step of all seeds together, the median over" in words
    assert "The losses of fresh draws of each trained generator" in words
    assert "for random search its last batch" in words
    assert "shown without that minimum" not in words  # this control has no curve
    alone = [replace(result("annealing", "control", [1, 1]), seconds_per_step=[])]
    words = read(certified(alone), alone)
    assert "The final mean loss is that of what it held last: for annealing the loss of" in words
    assert "shown without that minimum" in words
    assert "after training" not in words
    assert "ms per step" not in words
    generator = [result("a", "quantum", [1, 1])]
    words = read(certified(generator), generator)
    assert "annealing" not in words
    shown = " ".join(text_of(tables.table(certified(generator))).split())
    assert "ms per step of all seeds together" in shown


def test_an_interval_that_reaches_past_the_budget_has_both_ends(certified, result):
    half = result("a", "quantum", [0] * 5 + [1] * 5)
    (entry,) = certified([half]).generators
    assert wording.row_cells(entry)["evaluations_to_hit"] == ("> 3k", "501 to > 3k")
    most = result("a", "quantum", [0] * 7 + [1] * 3)
    (entry,) = certified([most]).generators
    assert wording.row_cells(entry)["evaluations_to_hit"] == ("501", "501 to > 3k")
    assert "501 to > 3k" in read(certified([half]), [half])


@pytest.mark.parametrize("seeds", [1, 3])
def test_page_of_one_run(seeds, certified, uncertified, result):
    results = [result("product", "quantum", [1] * seeds)]
    words = read(certified(results), results)
    assert "Tested pairs" not in words
    assert "No run reached the proven optimal loss (0.1160)" in words
    words = read(uncertified(results, reason="it has 100 bits."), results)
    assert "Tested pairs" not in words
    assert "The best loss that “product” found within 3,000 evaluations is 0.1165." in words
    assert "Whether a better network exists is not known: it has 100 bits." in words
    assert "so there is no regret and no hit: it has 100 bits." in words
    assert "product quantum 72 – – – 0.12" in words
    for wrong in ("seeds reached", "reached the best", f"{seeds} of {seeds}", "Distance"):
        assert wrong not in words
    words = read(certified([result("product", "quantum", [0] * seeds)]), results)
    assert ("“product”: 3 of 3 seeds" if seeds == 3 else "one seed cannot tell") in words


@pytest.mark.usefixtures("undrawn")
def test_without_a_proof_entries_are_held_against_the_best_seen(uncertified, result):
    results = [result("a", "quantum", [1] * 6), result("b", "classical", [2] * 6)]
    words = read(uncertified(results), results)
    assert "Above best seen Seeds that hit Evaluations to hit" in words
    assert "The best loss seen within 3,000 evaluations is 0.1165." in words
    assert "in the median run from that loss: 0 for “a”; 0.0785 for “b”." in words
    assert "the lowest that any run saw, which may lie above the true minimum" in words
    assert "Regret is" not in words


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("seeds", "medians"), [(5, False), (6, True)])
def test_95_per_cent_are_said_where_they_are_true(seeds, medians, certified, uncertified, result):
    results = [result("a", "quantum", [0] * seeds)]
    words = read(certified(results), results)
    few = "fewer than 6 seeds give no 95 % interval of a median."
    assert (few in words) != medians
    both = "the approximate 95 % interval (bootstrap for medians, Wilson for shares)."
    assert (both in words) == medians
    assert ("Wilson’s approximate 95 % interval of a share." in words) != medians
    cells = wording.row_cells(certified(results).generators[0])
    assert (cells["final_loss"][1] != "") == medians
    assert cells["hit_share"][1] != ""
    words = read(uncertified(results), results)
    assert "Wilson" not in words


@pytest.mark.usefixtures("undrawn")
def test_warnings_stand_above_the_results(certified, result):
    results = [result("a", "quantum", [0])]
    warned = replace(certified(results), warnings=["2 < 3 rows: <b>scale</b>."])
    words = read(warned, results)
    assert "Warning: 2 < 3 rows: <b>scale</b>. Results" in words
    assert wording.remarks(warned) == ["Warning: 2 < 3 rows: <b>scale</b>."]


@pytest.mark.usefixtures("undrawn")
def test_page_without_reason_or_hits_in_common(certified, uncertified, result):
    results = [result("a", "quantum", [0, 0]), result("b", "classical", [0, 0])]
    words = read(certified(results), results)
    assert "“a” and “b” find the best network equally often: for each, 2 of 2 seeds" in words
    words = read(uncertified(results, reason=None), results)
    assert "is not known." in words
    assert "so there is no regret and no hit." in words
    too_few = "2 seeds are too few for any outcome to tell a pair apart"
    assert f"1 cannot be told apart (paired tests with Holm's correction; {too_few})." in words
    assert f"{too_few}: the smallest possible p is not small enough." in words
    shown = text_of(tables.tests_table(uncertified(results)))
    assert too_few in " ".join(shown.split())


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "_own:Gen", "$x_{", "a&b" * 20])
def test_page_takes_any_name_as_text(name, certified, result, spectrum):
    named = replace(result(name, "quantum", [0, 1]), description="<b>bold</b>")
    results = [named, result("b", "classical", [1, 1])]
    words = read(certified(results), results, spectrum)
    assert name in words
    assert "<b>bold</b>" in words


@pytest.mark.parametrize("losses", [[0.0, 0.0], [-3.0, -1.0], [1e-7, 2.0]])
def test_page_of_any_objective(losses, uncertified, result):
    each = [[loss] for loss in losses]
    odd = replace(
        result("own", "quantum", [1, 1]),
        best_loss=losses, improvements=[[(1, loss)] for loss in losses], final_loss=losses,
        final_losses=each, curve=Curve(evaluations=[3000], mean_loss=each),
    )  # fmt: skip
    read(uncertified([odd]), [odd])


def test_an_objective_that_every_draw_solves(certified, result):
    easy = replace(result("easy", "quantum", [0]), improvements=[[(1, 0.1160)]], evaluations=1)
    comparison = certified([easy], uniform_hit_probability=1.0)
    assert "“easy” reached the proven optimal loss (0.1160)" in read(comparison, [easy])


def test_importing_report_is_light():
    code = (
        "import sys, qhyper.report.page;"
        "print([m for m in ('matplotlib', 'rich', 'jinja2', 'scipy.stats') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_pyplot_is_never_loaded(ten_seeds, certified, spectrum):
    code = (
        "import sys, json; from qhyper.report.page import page;"
        "from qhyper.report.results import Result, Spectrum;"
        "from qhyper.report.summary import Summary;"
        "r, c, s = json.load(sys.stdin);"
        "page(Summary.from_json(c), [Result.from_json(one) for one in r], Spectrum(**s));"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    # What the files of a run hold is enough to make the page.
    results = [one.to_json() for one in ten_seeds]
    stored = json.dumps([results, certified(ten_seeds).to_json(), vars(spectrum)])
    run = subprocess.run(
        [sys.executable, "-c", code], input=stored, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"
