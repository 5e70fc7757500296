"""The main comparison: its quick setting end to end, and that its parts add up to a comparison."""

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest

from experiments.main_comparison import further, outcome, study
from experiments.study import find
from qhyper import load
from qhyper.data.sets import availability
from qhyper.report.statistics import wilson
from qhyper.run.comparison import compare
from qhyper.run.config import COMPARED
from qhyper.threads import one_torch_thread

needs_mnist = pytest.mark.skipif(
    not availability()["mnist"].startswith("found"),
    reason="MNIST: QHYPER_DATA is not set",
)

SEARCHED = ("bernoulli", "mlp")


@pytest.fixture(scope="module")
def results(certified_once):
    """Two entries are tuned; what the others find stands for theirs, for the time it takes."""
    with one_torch_thread():
        found = {
            name: work()
            for name, work in study.parts(quick=True).items()
            if "-tuned-" not in name or name.startswith(SEARCHED)
        }
    for name in study.parts(quick=True):
        if name not in found:
            entry, part = re.split("-(?=toy-|mnist-)", name)
            other, plain = found[f"mlp-{part}"], found[f"{entry}-{part.partition('-')[0]}"]
            who = {key: plain["result"][key] for key in ("name", "kind")}
            found[name] = {**other, "result": {**other["result"], **who}}
    return found


@needs_mnist
def test_the_tables_show_what_the_parts_found(results):
    text = study.tables(results)
    assert "nan" not in text
    assert f"3 seeds of {study.QUICK.evaluations:,} evaluations" in text
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert [row[0] for row in rows[2:11]] == list(COMPARED)
    for name, row in zip(COMPARED, rows[2:11], strict=True):
        assert row[1] == outcome.result(results, f"{name}-toy").kind
        for data, (share, hit, _) in (("toy", row[3:6]), ("mnist", row[6:9])):
            found, minimum = _of(results, name, data)
            near = [loss / minimum - 1 <= 0.05 for loss in found.final_loss]
            hits = [abs(loss - minimum) < 1e-9 for loss in found.best_loss]
            for shown, counted in ((share, near), (hit, hits)):
                interval = wilson(sum(counted), 3)
                low, high = f"{interval.low:.2f}", f"{interval.high:.2f}"
                assert shown == f"{np.mean(counted):.3f} ({low}–{high})"
    for data in outcome.DATA:
        losses = {name: np.array(_of(results, name, data)[0].final_loss) for name in COMPARED}
        difference = np.median(losses["product"] - losses["mlp"])
        assert f"{difference:+.4f} (" in text


@needs_mnist
def test_the_quick_setting_gives_a_picture_and_numbers(results, tmp_path):
    study.draw(results, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hits.svg", "tuned.svg"]
    for path in tmp_path.iterdir():
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
        assert "currentColor" not in path.read_text()  # there is no page around it
    numbers = study.measured(results)
    found, minimum = _of(results, "annealing", "mnist")
    assert numbers["mnist-minimum-loss"] == minimum
    assert numbers["mnist-annealing-within-5-percent"] == pytest.approx(
        np.mean(np.array(found.final_loss) <= 1.05 * minimum)
    )
    assert set(find("main-comparison").expectations(quick=False)) <= set(numbers)
    for name, expected in find("main-comparison").expectations(quick=True).items():
        assert expected.holds(numbers[name]), name


@needs_mnist
def test_one_entry_at_a_time_is_one_comparison(results):
    """Every figure of merit is that of `compare` with all entries, but for measured times."""
    names, dataset = ["categorical", "random", "annealing"], load("toy")
    together = compare(
        outcome.NETWORK.objective(dataset.train), names, seeds=range(3),
        evaluations=study.QUICK.evaluations, test=dataset.test,
    )  # fmt: skip
    apart = {entry.name: entry for entry in outcome.summary(results, "toy").generators}
    for entry in together.summary.generators:
        for key in ("regret", "hit_share", "evaluations_to_hit", "final_loss", "test_accuracy"):
            assert getattr(apart[entry.name], key) == getattr(entry, key), key


@needs_mnist
def test_searches_are_shown_with_what_they_found_and_spent(results):
    text = study.tables(results)
    for name in SEARCHED:
        part = outcome.tuned_part(name, "toy", "best")
        search = results[part]["search"]
        assert search["settings"] == study.QUICK.settings
        budget = study.QUICK.settings * study.QUICK.tuning_seeds * study.QUICK.evaluations
        assert 0.9 * budget < search["spent"]["evaluations"] <= budget
        assert search["loss"] <= search["loss_before"]  # the recipe is the first that is tried
        settings = ", ".join(f"{k.rpartition('.')[2]} {v}" for k, v in search["found"].items())
        (row,) = [
            line for line in text.partition("toy: what each search found")[2].splitlines()
            if line.startswith(f"| {name} ")
        ][:1]  # fmt: skip
        assert f" {settings} | 2 | {search['spent']['evaluations']:,} |" in row
    one, other = (results[part] for part in ("mlp-mnist-tuned-mean", "mlp-mnist"))
    difference = np.median(np.subtract(*(r["result"]["final_loss"] for r in (one, other))))
    _, _, tuned = text.partition("MNIST 0/1 at 2×2: with recipes, and")
    (row,) = [line for line in tuned.splitlines() if line.startswith("| mlp ")][:1]
    assert f" {difference:+.4f} (" in row


@needs_mnist
def test_further_seeds_tell_what_was_found_from_the_recipe(results, tmp_path, monkeypatch, capsys):
    (tmp_path / "parts").mkdir()
    for name, found in results.items():
        (tmp_path / "parts" / f"{name}.json").write_text(json.dumps({"result": found}))
    monkeypatch.setattr(further, "FULL", study.QUICK)
    monkeypatch.setattr(further, "SEEDS", range(3000, 3006))
    monkeypatch.setattr(further, "TUNED", ["product", "bernoulli"])
    further.main(tmp_path)
    tables = capsys.readouterr().out
    files = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("further/*.json")}
    assert len(files) == 2 * 3 * 2
    losses = {name: np.array(found["result"]["final_loss"]) for name, found in files.items()}
    gain = np.median(losses["bernoulli-toy-on-mnist"] - losses["bernoulli-on-mnist"])
    (row,) = (line for line in tables.splitlines() if line.startswith("| bernoulli | toy |"))
    assert f"| {gain:+.4f} (" in row
    circuit = np.median(losses["product-mnist-on-mnist"] - losses["bernoulli-mnist-on-mnist"])
    assert f"| product | {circuit:+.4f} (" in tables
    further.main(tmp_path)  # from what is kept
    assert capsys.readouterr().out == tables


def test_within_5_percent_counts_the_border(result):
    found = replace(result("x", "quantum", [0, 0, 0]), final_loss=[0.2, 1.05 * 0.2, 0.22])
    made = {"certificate": {"minimum_loss": 0.2}, "result": found.to_json()}
    assert outcome.within({"x-toy": made}, "x-toy").value == pytest.approx(2 / 3)


def test_both_settings_have_the_same_parts():
    assert list(study.parts(True)) == list(study.parts(False))


def _of(results, name, data):
    minimum = results[f"{name}-{data}"]["certificate"]["minimum_loss"]
    return outcome.result(results, f"{name}-{data}"), minimum
