"""What a run is about: any target, any data set, made once, or refused before anything runs."""

import numpy as np
import pytest

from qhyper.data.samples import Dataset, Samples
from qhyper.errors import ConfigurationError, MissingError
from qhyper.run import problem as problems
from qhyper.run.comparison import compare, execute, plan
from qhyper.run.config import FULL_SIZE, Config, Entry
from qhyper.run.directory import Run
from qhyper.run.problem import Problem, build_problem
from qhyper.targets.layout import Block, Layout
from qhyper.targets.objective import Objective
from qhyper.targets.packed.target import PackedTarget

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")


def images(rows: int = 600, *, side: int = 8, classes: int = 4, seed: int = 0) -> Samples:
    """Noisy pictures of one of a few patterns of -1 and +1."""
    rng = np.random.default_rng(seed)
    patterns = np.random.default_rng(7).choice([-1.0, 1.0], (classes, side * side))
    y = rng.integers(0, classes, rows)
    return Samples(patterns[y] * rng.choice([-1, 1], (rows, side * side), p=[0.2, 0.8]), y)


def pictures(rows: int = 600) -> Dataset:
    """A data set of one's own, with an option."""
    return Dataset("pictures", images(rows), images(200, seed=1))


class Parity:
    """A target of one's own that needs no data: its loss is the parity of the bits."""

    def __init__(self, *, bits: int = 4) -> None:
        self.n_bits = bits
        self.layout = Layout((Block("bits", (bits,)),))

    def objective(self, data: object = None, loss: str | None = None) -> Objective:
        return Objective(lambda w: w.sum(1) % 2, self.n_bits, name="parity", layout=self.layout)


def wide(dataset: Dataset, *, hidden: int = 3) -> PackedTarget:
    """A target of one's own for a data set: packed, with so many hidden units."""
    return PackedTarget((dataset.n_features, hidden, dataset.n_classes))


@pytest.fixture(autouse=True)
def _own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names under which these are found, wherever pytest imported this file from."""
    for thing in (pictures, Parity, wide):
        monkeypatch.setattr(f"qhyper.run.problem.{thing.__name__}", thing, raising=False)


OWN = {"data": "qhyper.run.problem:pictures"}


@pytest.mark.parametrize(
    ("values", "subject", "n_bits"),
    [
        ({"data": "digits"}, "BinaryNetwork((4, 6, 2))", 36),
        ({"data": "digits", "target": "packed"}, "PackedTarget(4-128-2 on signs)", 768),
        ({**OWN, "layers": [64, 5, 4]}, "BinaryNetwork((64, 5, 4))", 340),
        ({**OWN, "layers": [64, 70, 4]}, "PackedTarget(64-70-4 on signs)", 4760),
        ({**OWN, "layers": [64, 70, 4], "sign_of_zero": 0},
         "BinaryNetwork((64, 70, 4), sign_of_zero=0)", 4760),
        ({**OWN, "target": "packed", "target_options": {"label_bits": 3}},
         "PackedTarget(64-128-12 on signs, 3 votes a class)", 9728),
        ({**OWN, "target": "qhyper.run.problem:wide", "target_options": {"hidden": 2}},
         "PackedTarget(64-2-4 on signs)", 136),
        ({"target": "qhyper.run.problem:Parity", "target_options": {"bits": 5}}, "parity", 5),
    ],
)  # fmt: skip
def test_the_target_is_the_one_that_is_asked_for_or_suits(values, subject, n_bits) -> None:
    problem = build_problem(Config(**values))
    assert (problem.objective.subject, problem.objective.n_bits) == (subject, n_bits)


def test_a_target_without_data_reads_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "load", lambda *a, **k: pytest.fail("read"))
    problem = build_problem(Config(target="qhyper.run.problem:Parity"))
    assert problem.dataset is None
    assert problem.name == "parity"


def test_a_table_of_costs_is_a_target(tmp_path) -> None:
    losses = np.random.default_rng(0).random(16)
    np.save(tmp_path / "costs.npy", losses)
    options = {"path": str(tmp_path / "costs.npy")}
    made = plan(Config(target="table", target_options=options, evaluations=40, seeds=[0, 1],
                       entries=[Entry(name="random")]), print)  # fmt: skip
    outcome = execute(Run.create(tmp_path, "compare", made.config), made)
    assert outcome.summary.to_json()["certificate"]["minimum_loss"] == losses.min()
    with pytest.raises(MissingError, match=r"There is no file .*nowhere\.npy\. Check the path"):
        build_problem(Config(target="table", target_options={"path": "nowhere.npy"}))


def test_held_out_rows_are_neither_trained_on_nor_lost() -> None:
    problem = build_problem(Config(**OWN, held_out=0.25))
    assert problem.watch is not None
    assert (problem.objective.n_rows, problem.watch.n_rows) == (450, 150)
    assert problem.watch.loss == "accuracy"
    again = build_problem(Config(**OWN, held_out=0.25))
    bits = np.random.default_rng(0).integers(0, 2, (3, problem.objective.n_bits))
    np.testing.assert_array_equal(problem.watch(bits), again.watch(bits))
    whole = build_problem(Config(**OWN))
    assert whole.watch is None
    held = build_problem(Config(**OWN, held_out=0.25, loss="accuracy"))
    total = 450 * held.objective(bits) + 150 * held.watch(bits)
    every = build_problem(Config(**OWN, loss="accuracy")).objective(bits)
    np.testing.assert_allclose(total / 600, every, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": "mnist", "layers": [784, 256, 10]},
         r"784 inputs .* features .*--data-option size=28 --data-option digits=all"),
        ({"data": "digits", "layers": [5, 6, 2]}, "begin with 4 and end with 2"),
        ({**OWN, "layers": [64, 6, 3]}, "tell 3 classes apart; the data 'pictures' have 64"),
        ({"data": "digits", "data_options": {"size": 3}}, "Unknown option of the data set digits"),
        ({"data": "mine.csv", "data_options": {"size": 3}},
         r"option\(s\) size for the file mine.csv; expected label"),
        ({"data": "digits", "target": "pakced"}, "Unknown target 'pakced'. Did you mean 'packed'"),
        ({"data": "digits", "target": "packed", "target_options": {"scael": 2}},
         "Unknown option of the target packed: 'scael'. Did you mean 'scale'"),
        ({"data": "digits", "target": "packed", "biases": True},
         "Unknown option of the target packed: 'biases'"),
        ({"data": "digits", "target": "classical.annealing:SimulatedAnnealing"},
         "which is no target"),
        ({"data": "digits", "target": "packed", "target_options": {"scale": 0}}, "at least 0.01"),
        ({"target": "qhyper.run.problem:Parity", "data": "digits", "loss": "accuracy"},
         r"takes no data \(it has no argument `dataset`\), and data, loss would be ignored"),
        ({"target": "callable", "target_options": {"function": "math:sqrt"}},
         "needs the number of bits"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(values, message: str) -> None:
    if values.get("data") == "mnist":
        try:
            build_problem(Config(data="mnist"))
        except MissingError:
            pytest.skip("MNIST is not on this machine")
    with pytest.raises(ConfigurationError, match=message):
        build_problem(Config(**values))


def packed_run(tmp_path, entries, **values):
    config = Config(**OWN, layers=[64, 70, 4], seeds=[0, 1], entries=entries, **values)
    made = plan(config, print)
    return made, Run.create(tmp_path, "compare", made.config)


SMALL = {"draws": 2, "batch": 40, "watch_every": 5, "restarts": 1, "final_draws": 4}


def test_every_budget_in_rows_is_kept_and_spent(tmp_path) -> None:
    """Rows as counted by the objectives themselves are those that results say, and never more."""
    entries = [
        Entry(name="tied-bernoulli", training=SMALL),
        Entry(name="bernoulli", training=SMALL),
        Entry(
            name="bernoulli", label="flips", training={**SMALL, "estimator": "local-expectation"}
        ),
        Entry(name="random"),
        Entry(name="elite-evolution", options={"batch": 50, "children": 3, "networks": 2}),
    ]
    made, run = packed_run(tmp_path, entries, rows=40_000)
    assert made.problem.watch is not None
    for trial in made.trials:
        title, objective, watch = trial.entry.title, trial.objective, made.problem.watch
        before = objective.rows + watch.rows
        found = trial.execute(None, lambda: False, lambda *told: None, print)
        outside = 2 * objective.n_rows * (found.held_out_loss is not None)  # the best one
        if trial.generator is not None:
            outside += 2 * 4 * objective.n_rows  # and the final draws
        if trial.entry.options:
            outside += 2 * objective.n_rows  # what a control on mini-batches holds at the end
        assert objective.rows + watch.rows - before - outside == 2 * found.rows, title
        assert 30_000 <= found.rows <= 40_000, title
    assert (run.path / "config.toml").is_file()


@pytest.mark.parametrize(
    ("options", "budget", "reads"),
    [
        ({}, {"rows": 499}, "reads 500 rows"),
        (
            {"batch": 50},
            {"evaluations": 40},
            "reads 50 rows, after 40 looks at 100 rows each",
        ),
    ],
)
def test_a_control_is_refused_a_budget_of_not_one_evaluation(
    tmp_path, options, budget, reads
) -> None:
    name = "elite-evolution" if options else "random"
    with pytest.raises(ConfigurationError) as error:
        packed_run(tmp_path, [Entry(name=name, options=options)], **budget)
    assert f"is not one evaluation of {name}, which {reads}. Raise it." in str(error.value)


def test_networks_are_chosen_on_held_out_rows(tmp_path) -> None:
    made, run = packed_run(tmp_path, [Entry(name="tied-bernoulli", training=SMALL)], rows=120_000)
    outcome = execute(run, made)
    (result,) = outcome.results
    assert result.held_out_loss is not None
    best = np.array([[int(b) for b in bits] for bits in result.best_bits])
    np.testing.assert_allclose(made.problem.watch(best), result.held_out_loss, atol=1e-12)
    np.testing.assert_allclose(made.problem.objective(best), result.best_loss, atol=1e-12)
    test = made.problem.test
    np.testing.assert_allclose(
        made.problem.objective.accuracy(best, test), result.test_accuracy, atol=1e-12
    )
    assert min(result.test_accuracy) > 0.6  # four patterns with a fifth of the pixels turned over


def test_on_all_rows_held_out_rows_are_no_second_criterion(tmp_path) -> None:
    """Losses of training rows and errors on held-out ones never meet in one record."""
    config = Config(
        data="digits", held_out=0.25, seeds=[0, 1], evaluations=4_000,
        entries=[Entry(name="bernoulli"), Entry(name="random")],
    )  # fmt: skip
    made = plan(config, print)
    outcome = execute(Run.create(tmp_path, "compare", made.config), made)
    for result in outcome.results:
        assert result.held_out_loss is None
        best = np.array([[int(b) for b in bits] for bits in result.best_bits])
        np.testing.assert_allclose(made.problem.objective(best), result.best_loss, atol=1e-12)


@pytest.mark.parametrize("name", ["bernoulli", "elite-evolution"])
def test_mini_batches_without_held_out_rows_choose_on_all_rows(tmp_path, name: str) -> None:
    options = {"batch": 30} if name == "elite-evolution" else {}
    training = {} if options else {"batch": 30, "watch_every": 5}
    config = Config(
        data="digits", seeds=[0, 1], evaluations=3_000,
        entries=[Entry(name=name, options=options, training=training)],
    )  # fmt: skip
    made = plan(config, print)
    (result,) = execute(Run.create(tmp_path, "compare", made.config), made).results
    best = np.array([[int(b) for b in bits] for bits in result.best_bits])
    np.testing.assert_allclose(made.problem.objective(best), result.best_loss, atol=1e-12)
    assert result.held_out_loss is None
    assert result.test_accuracy is not None
    assert result.evaluations <= 3_000


def test_the_same_run_from_python_and_from_a_file(tmp_path) -> None:
    entries = [Entry(name="bernoulli", training=SMALL)]
    made, run = packed_run(tmp_path, entries, rows=40_000)
    first = execute(run, made).results[0]
    problem = build_problem(run.config)
    second = compare(
        problem.objective, entries, seeds=[0, 1], rows=40_000, test=problem.test,
        watch=problem.watch,
    ).results[0]  # fmt: skip
    again = execute(Run.create(tmp_path / "again", "compare", run.config)).results[0]
    for other in (second, again):
        assert other.best_bits == first.best_bits
        assert other.final_loss == first.final_loss


def test_a_run_without_data_is_resumed_from_its_file(tmp_path) -> None:
    config = Config(target="qhyper.run.problem:Parity", seeds=[0], evaluations=100,
                    entries=[Entry(name="random")])  # fmt: skip
    run = Run.create(tmp_path, "compare", plan(config, print).config)
    assert "data" not in (run.path / "config.toml").read_text(encoding="utf-8")
    assert execute(Run.open(run.path)).results[0].best_loss == [0.0]


def test_defaults_at_full_size() -> None:
    made = plan(Config(**OWN, layers=[64, 70, 4], seeds=[0]), print)
    assert made.config.rows == 40_000_000
    assert {trial.entry.name for trial in made.trials} <= set(FULL_SIZE)
    assert all("batch" not in trial.entry.options for trial in made.trials)  # few rows
    many = {"data_options": {"rows": 6000}, "entries": [Entry(name="elite-evolution")]}
    (searched,) = plan(Config(**OWN, **many, layers=[64, 70, 4], seeds=[0]), print).trials
    assert searched.entry.options == {"batch": 4000}
    small = plan(Config(data="digits", seeds=[0], entries=[Entry(name="random")]), print)
    assert small.config.evaluations == 300_000


@pytest.mark.parametrize(
    ("entry", "values", "message"),
    [
        (Entry(name="bernoulli", training={"batch": 1000}), {}, "1000 rows from 500 rows of data"),
        (Entry(name="bernoulli"), {"rows": 1000}, "has 0 steps"),
        (Entry(name="random"), {"rows": 400}, "not one evaluation of random, which reads 500 rows"),
        (Entry(name="elite-evolution", options={"children": 500}), {"rows": 40_000}, "evaluations"),
        (Entry(name="categorical"), {}, "a hidden unit|A hidden unit"),
        (Entry(name="bernoulli", training={"draws": 10**8, "batch": 4}), {},
         r"would need about .* GiB for .* draws of each of 1 seeds; this machine has"),
        (Entry(name="mlp", training={"estimator": "exact"}), {}, "needs all 2.4760 probabilities"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_anything_runs(entry, values, message) -> None:
    config = Config(**OWN, layers=[64, 70, 4], seeds=[0], entries=[entry], **values)
    with pytest.raises(ConfigurationError, match=message):
        plan(config, print)


def test_a_generator_that_needs_units_is_refused_by_a_target_without(tmp_path) -> None:
    config = Config(
        target="qhyper.run.problem:Parity", seeds=[0],
        entries=[Entry(name="quantum", options={"order": "unit", "depth": 1})],
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="layout bits 4 has no hidden units"):
        plan(config, print)


def test_test_rows_that_are_none_are_refused() -> None:
    objective = Objective(lambda bits: bits.sum(1), 3)
    with pytest.raises(ConfigurationError, match="Got list as test; expected Samples"):
        Problem(objective, test=[1])  # type: ignore[arg-type]
