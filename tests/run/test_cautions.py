"""What is said of data that a network cannot see, of useless networks, and of problems too easy."""

import json
from typing import ClassVar

import numpy as np
import pytest
from scipy.optimize import minimize

from qhyper.data.samples import Samples
from qhyper.data.sets import load
from qhyper.run.cautions import advised_scale, after, before, constant_loss
from qhyper.run.comparison import compare
from qhyper.run.config import Config
from qhyper.run.problem import Problem, build_problem
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.loss import label_losses
from qhyper.targets.objective import Objective
from qhyper.targets.target import ObjectiveCapabilities

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

SEARCHES = ["bernoulli", "random"]


def three_classes(offset=0.0):
    """150 rows of three classes by two of nine features, and a column of `offset`."""
    rng = np.random.default_rng(3)
    y = np.arange(150) % 3
    x = rng.normal(0, 0.3, (150, 9))
    x[:, :2] += np.array([[1, 1], [-1, 1], [0, -1]])[y]
    return Samples(np.column_stack([x, np.full(150, offset)]), y)


def compared(data, layers):
    """(warnings before and after, those of the summary) of a short comparison."""
    said: list[str] = []
    objective = BinaryNetwork(layers).objective(data)
    found = compare(
        objective, SEARCHES, seeds=[0, 1], evaluations=1500, test=data, warn=said.append
    )  # fmt: skip
    return [one for one in said if "steps in a start" not in one], list(found.summary.warnings)


def test_a_network_that_sees_nothing_is_told_before_and_after():
    said, warnings = compared(three_classes(offset=1000.0), (10, 6, 3))
    unseen, constant, easy = warnings
    assert said == warnings
    assert unseen.startswith(
        "BinaryNetwork((10, 6, 3)) sees only 1 different row in 150 of the training data: it "
        "can classify 0.333 of them at the most, where one answer for all is right for 0.333 and "
    )
    assert unseen.endswith("Scale the features: --scale standard.")
    assert constant == (
        "The best network found is no better than one answer for all rows: its training accuracy "
        "is 0.333 against 0.333, its cross entropy is 1.0986 against 1.0986, its test accuracy is "
        "0.333 against 0.333. Scale the features: --scale standard. Or choose more units or a "
        "larger budget."
    )
    assert easy.startswith("Every entry found the same best loss in every seed: by what they find")


def test_an_objective_of_somebodys_own_needs_none_of_it():
    """It has what the protocol asks for, and capabilities that say no to the rest."""

    class Own:
        n_bits, name, loss, layout, n_rows = 24, "own", "own", None, 1
        capabilities, subject = ObjectiveCapabilities(), "own"
        usual_training: ClassVar = {}
        usual_budget: ClassVar = {}
        evaluations = rows = 0

        def __call__(self, bits):
            self.evaluations += int(np.prod(bits.shape[:-1]))
            self.rows = self.evaluations
            return np.asarray(bits).mean(axis=-1)

    said: list[str] = []
    found = compare(Own(), ["random"], seeds=[0], evaluations=300, warn=said.append)  # type: ignore[arg-type]
    assert found.results[0].best_loss[0] is not None


def test_scaled_features_raise_no_alarm():
    assert compared(three_classes(), (10, 6, 3)) == ([], [])


@pytest.mark.parametrize("name", ["toy", "digits"])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error", "accuracy"])
def test_sets_of_ours_raise_no_alarm(name, loss):
    data, said = load(name), []
    found = compare(
        BinaryNetwork((4, 6, 2)).objective(data.train, loss), SEARCHES, seeds=[0, 1],
        evaluations=3000, test=data.test, warn=said.append,
    )  # fmt: skip
    assert found.summary.warnings == []
    assert said == []


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_the_loss_of_a_constant_is_the_least_that_there_is(loss):
    labels = np.array([0, 0, 0, 1, 1, 2])
    of_labels = minimize(lambda z: label_losses(z[None], loss)[0, labels].mean(), np.zeros(3)).fun
    assert constant_loss(labels, loss) == pytest.approx(of_labels, abs=1e-6)
    assert constant_loss(labels, "accuracy") == 0.5
    assert constant_loss(labels, "mine") is None
    assert constant_loss(np.array([2, 2]), loss) == 0


@pytest.mark.parametrize(
    ("loss", "train", "test", "told"),
    [
        (0.3, 0.9, 0.9, []),
        (0.3, 0.5, 0.9, ["its training accuracy is 0.500 against 0.500"]),
        (0.3, 0.9, 0.4, ["its test accuracy is 0.400 against 0.500"]),
        (0.7, 0.54, 0.9, ["its cross entropy is 0.7000 against 0.6931"]),
        (0.7, 0.56, 0.9, []),  # it is too sure, but has learned
    ],
)
def test_the_best_network_is_held_against_one_answer(loss, train, test, told, result):
    data = Samples(np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2)
    problem = Problem(BinaryNetwork((2, 2, 2)).objective(data), test=data)
    worse = result("worse", "control", [5])
    best = result("best", "quantum", [0])
    best = best.__class__(**vars(best) | {
        "best_loss": [loss], "train_accuracy": [train], "test_accuracy": [test],
    })  # fmt: skip
    worse = worse.__class__(**vars(worse) | {"best_loss": [5.0], "train_accuracy": [0.1]})
    found = after(problem, [worse, best], None)
    assert [one.split(": ")[1].split(". ")[0] for one in found] == told


def easy(share_of_bits):
    """The loss is 0 where the first bits are all 1: a share 2^-k of the bitstrings."""
    return Objective(lambda bits: 1.0 - bits[:, :share_of_bits].all(axis=1), 10, name="mine")


@pytest.mark.parametrize(("k", "told"), [(1, True), (3, True), (9, False)])
def test_what_uniform_search_finds_as_well_tells_nothing_apart(k, told):
    """Of 3,000 uniform draws one hits with 99.7 % for k = 9, but after 355: training is quicker."""
    found = compare(
        easy(k), SEARCHES, seeds=[0, 1, 2], evaluations=3000, warn=lambda _: None
    ).summary
    assert bool(found.warnings) == told
    if told:
        after = {1: "1 evaluation in", 3: "5 evaluations in"}[k]  # log 1/2 / log(1 - 2^-k)
        (warning,) = found.warnings
        assert warning.startswith(
            f"Uniform random search finds the optimum as well and as quickly, after {after} the "
            "median: this problem does not tell generators apart. Choose a harder one"
        )
    json.dumps(found.to_json(), allow_nan=False)


def test_one_entry_alone_and_entries_that_differ_are_not_said_to_be_equal():
    flat = Objective(lambda bits: np.ones(len(bits)), 24, name="mine")
    alone = compare(flat, ["random"], seeds=[0, 1], evaluations=500, warn=lambda _: None).summary
    assert alone.warnings == []
    both = compare(flat, SEARCHES, seeds=[0, 1], evaluations=500, warn=lambda _: None).summary
    assert both.certificate is None
    assert len(both.warnings) == 1
    linear = Objective(lambda bits: bits.mean(axis=1), 24, name="mine")
    assert (
        compare(linear, SEARCHES, seeds=[0], evaluations=500, warn=lambda _: None).summary.warnings
        == []
    )


@pytest.mark.parametrize(
    ("offset", "scale", "told"), [(0.0, None, False), (5.0, None, True), (5.0, "standard", False)]
)
def test_features_of_a_file_that_are_not_centred_are_told(tmp_path, offset, scale, told):
    """Labels are by chance, so that nothing is lost by rows that look the same."""
    rng = np.random.default_rng(1)
    x = rng.normal(offset, 2.0, (90, 4)) * [1, -1, 3, -3]
    np.savez(tmp_path / "mine.npz", x=x, y=np.arange(90) % 2)
    said = before(build_problem(Config(data=str(tmp_path / "mine.npz"), scale=scale)))
    assert said == (
        [
            "4 of 4 features are further from 0 than they spread, and taken as they are: units see "
            "the signs of sums. Scale the features: --scale standard."
        ]
        if told
        else []
    )


@pytest.mark.parametrize(
    ("x", "scale"),
    [
        (np.array([[0, 16, 3], [16, 0, 9], [8, 2, 4]]), "minmax"),  # grey levels of three pixels
        (np.array([[0, 16, 3, 1], [16, 1, 9, 2], [8, 2, 4, 3]]), "standard"),
        (np.array([[0, 1], [1, 0]]), "standard"),
    ],
)
def test_features_of_one_range_are_scaled_by_it(x, scale):
    assert advised_scale(x.astype(float)) == scale
