"""The training loop: budgets, restarts, independence of replicas, resuming."""

import io
import itertools
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from classical.conditional import ConditionalBernoulli
from qhyper.bits import all_bitstrings
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.gradients.estimator import build_estimator
from qhyper.gradients.score import ScoreFunction
from qhyper.hypernetwork import Capabilities, build_generator
from qhyper.quantum.ansatz import Brickwork, Reuploading
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.risk import Expectation
from qhyper.run.config import TrainingSettings
from qhyper.spending import Budget
from qhyper.streams import Streams
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.objective import Objective
from qhyper.training.optimisers import ELEMENTWISE
from qhyper.training.trainer import Trainer, settings_for, train


def settings(**changes) -> TrainingSettings:
    base = {"evaluations": 3200, "draws": 32, "restarts": 2, "learning_rate": 0.2}
    return TrainingSettings(**{**base, **changes})


def ones(bits: np.ndarray) -> np.ndarray:
    """Least where every bit is 1: an objective whose optimum is known."""
    return 1 - bits.mean(axis=1)


@pytest.mark.parametrize("name", ["product", "quantum-depth2", "bernoulli", "mlp"])
def test_an_easy_objective_is_solved(name: str) -> None:
    objective = Objective(ones, 8)
    generator = build_generator(name, 8, seeds=[0, 1, 2])
    trainer = train(generator, objective, settings(evaluations=20_000))
    draw = generator.sample(200, rng=Streams(generator.seeds)(0, "evaluate"))
    assert ones(draw.bits.reshape(-1, 8)).mean() < 0.1
    assert (trainer.record.best_loss == 0).all()


def test_the_budget_is_spent_and_never_exceeded(objective) -> None:
    generator = build_generator("product", 36, seeds=[0, 1])
    trainer = train(generator, objective, settings(evaluations=1000, draws=64, restarts=3))
    assert trainer.step == 1000 // 64
    assert trainer.record.evaluations == 15 * 64
    assert objective.evaluations == 2 * 15 * 64
    assert trainer.curve[-1]["evaluations"] == 15 * 64


def test_replicas_train_as_if_alone(objective) -> None:
    together = build_generator("quantum-depth2", 36, seeds=[3, 4, 5])
    train(together, objective, settings())
    alone = build_generator("quantum-depth2", 36, seeds=[4])
    train(alone, objective, settings())
    assert isinstance(together.theta, torch.Tensor)
    torch.testing.assert_close(together.theta[1], alone.theta[0], rtol=1e-9, atol=1e-9)


def test_the_best_start_is_kept() -> None:
    """With a loss that rises with every evaluation, the first start is the best one."""
    spent = [0]

    def worse_every_time(bits: np.ndarray) -> np.ndarray:
        spent[0] += len(bits)
        return np.full(len(bits), spent[0]) + bits[:, 0] * 1e-3

    generator = build_generator("product", 4, seeds=[0])
    trainer = Trainer(generator, Objective(worse_every_time, 4), settings(restarts=4))
    while trainer.step < 25:
        trainer.advance()
    first = generator.state_dict()["theta"].clone()
    while not trainer.done:
        trainer.advance()
    torch.testing.assert_close(generator.state_dict()["theta"], first)


# -- between starts --------------------------------------------------------------------------------


def start(steps: int, *tail: float, before: float = 0.0) -> list[float]:
    """Losses of the steps of a start, the last ones given."""
    return [before] * (steps - len(tail)) + list(tail)


STARTS = {
    "the second is better, as is its own tail alone": ([start(20, 1, 1), start(20, 0.5, 0.5)], 1),
    "the first is better, and the last is the worst": (
        [start(20, 1, 1), start(20, 3, 3), start(20, 2, 2)],
        0,
    ),
    "the middle one": ([start(20, 3, 3), start(20, 1, 1), start(20, 2, 2)], 1),
    "of equal ones the first stays": ([start(20, 1, 1), start(20, 1, 1)], 0),
    "the step before the tail does not count": (
        [start(20, 1, 1), start(20, 0.5, 0.5, before=64)],
        1,
    ),
    "the first step of the tail does": ([start(20, 1, 1), start(20, 8, 0.5)], 0),
    "so does the last": ([start(20, 1, 1), start(20, 0.5, 8)], 0),
    "tails of one step and of two compare by their means": ([start(19, 1), start(20, 0.75, 1)], 1),
    "of a few steps the last decides": ([start(5, 1), start(5, 0.5, before=64), start(5, 2)], 1),
    "losses below zero": ([start(20, -1, -1), start(20, -2, -2)], 1),
}


@pytest.mark.parametrize("case", STARTS)
def test_the_start_that_is_kept_has_the_lowest_mean_of_its_last_tenth(case: str) -> None:
    """Equal losses of all draws, which move no parameter: a start ends where it began.

    Two replicas, the second with the losses of the starts in reverse where they are as long.
    """
    starts, kept = STARTS[case]
    alike = len({len(one) for one in starts}) == 1 and case != "of equal ones the first stays"
    of_first = [loss for one in starts for loss in one]
    of_second = [loss for one in starts[::-1] for loss in one] if alike else of_first
    steps = zip(of_first, of_second, strict=True)
    objective = Objective(lambda bits: np.repeat(next(steps), len(bits) // 2), 4)
    generator = build_generator("mlp", 4, seeds=[0, 1])
    trainer = Trainer(
        generator, objective, settings(evaluations=32 * len(of_first), restarts=len(starts))
    )
    began: dict[int, torch.Tensor] = {}
    while not trainer.done:
        trainer.advance()
        began.setdefault(trainer.restart, flat(generator))
    assert trainer.restart == len(starts) - 1
    for one, other in itertools.combinations(began.values(), 2):  # each has its own beginning
        assert (one != other).any(dim=1).all()
    mirrored = len(starts) - 1 - kept if alike else kept
    assert torch.equal(flat(generator)[0], began[kept][0])
    assert torch.equal(flat(generator)[1], began[mirrored][1])


def flat(generator) -> torch.Tensor:
    """All parameters [replica, number], a copy."""
    parts = [p.detach().reshape(generator.replicas, -1) for p in generator.parameters()]
    return torch.cat(parts, dim=1).clone()


def test_a_start_begins_as_its_number_says_and_with_a_fresh_optimiser() -> None:
    generator, alone = (build_generator("bernoulli", 4, seeds=[3]) for _ in range(2))
    trainer = Trainer(generator, Objective(ones, 4), settings(evaluations=320, restarts=5))
    while not trainer.done:
        before = trainer.restart
        trainer.advance()
        if trainer.restart != before or trainer.step == 1:
            alone.initialise(trainer.restart)
            moved = flat(generator) - flat(alone)
            rate = 0.2  # the first step of Adam is as long as its rate
            torch.testing.assert_close(moved.abs(), torch.full_like(moved, rate), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("steps", "restarts"), [(25, 2), (20, 1), (7, 3), (3, 3)])
def test_a_risk_goes_through_its_schedule_within_each_start(steps: int, restarts: int) -> None:
    seen: list[float] = []

    class Recording(Expectation):
        def at(self, progress: float) -> Expectation:
            seen.append(progress)
            return self

    generator = build_generator("bernoulli", 4)
    chosen = settings(evaluations=32 * steps, restarts=restarts)
    trainer = Trainer(generator, Objective(ones, 4), chosen)
    trainer.risk = Recording()
    trainer.run()
    bounds = [steps * k // restarts for k in range(restarts + 1)]
    expected = [np.linspace(0, 1, b - a) for a, b in itertools.pairwise(bounds)]
    np.testing.assert_allclose(seen, np.concatenate(expected), rtol=0, atol=1e-15)


@pytest.mark.parametrize(("steps", "restarts"), [(25, 2), (20, 1), (7, 3), (3, 3)])
@pytest.mark.parametrize("schedule", ["linear", "CosineAnnealingLR"])
def test_a_rate_falls_to_its_end_with_the_last_step_of_each_start(
    schedule: str, steps: int, restarts: int
) -> None:
    generator = build_generator("bernoulli", 4)
    chosen = settings(
        evaluations=32 * steps, restarts=restarts, learning_rate=0.5, schedule=schedule
    )
    trainer = Trainer(generator, Objective(ones, 4), chosen)
    rates = []
    while not trainer.done:
        trainer.advance()
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    bounds = [steps * k // restarts for k in range(restarts + 1)]
    over = np.concatenate(
        [np.arange(1, b - a + 1) / (b - a) for a, b in itertools.pairwise(bounds)]
    )
    cosine = 0.02 + 0.98 * (1 + np.cos(np.pi * over)) / 2
    expected = 1 - over if schedule == "linear" else cosine
    np.testing.assert_allclose(rates, 0.5 * expected, rtol=1e-9, atol=1e-12)


def test_there_may_be_as_many_starts_as_steps_and_no_more() -> None:
    generator = build_generator("bernoulli", 4)
    trainer = train(generator, Objective(ones, 4), settings(evaluations=160, restarts=5))
    assert (trainer.step, trainer.restart) == (5, 4)
    with pytest.raises(ConfigurationError, match=r"has 5 steps of .* too few for 6 start"):
        Trainer(generator, Objective(ones, 4), settings(evaluations=160, restarts=6))


def test_every_step_draws_from_its_own_stream() -> None:
    seen: list[np.ndarray] = []

    def equal(bits: np.ndarray) -> np.ndarray:
        seen.append(bits.copy())
        return np.zeros(len(bits))  # nothing moves

    generator, alone = (build_generator("bernoulli", 6, seeds=[4, 5]) for _ in range(2))
    train(generator, Objective(equal, 6), settings(evaluations=5 * 32, restarts=1))
    for step, bits in enumerate(seen):
        expected = alone.sample(32, rng=Streams([4, 5])(step, "draw")).bits
        np.testing.assert_array_equal(bits, expected.reshape(-1, 6))


# -- the learning curve ----------------------------------------------------------------------------


@pytest.fixture
def thinned(monkeypatch):
    """Makes trainers of 23 steps in 3 starts: four steps a point of the curve, the last three."""
    monkeypatch.setattr("qhyper.training.trainer.CURVE_POINTS", 5)

    def make() -> Trainer:
        generator = build_generator("bernoulli", 4, seeds=[0, 1])
        return Trainer(generator, Objective(ones, 4), settings(evaluations=46, draws=2, restarts=3))

    return make


def test_a_point_of_the_curve_is_the_mean_over_its_steps(thinned) -> None:
    trainer, means = thinned(), []
    inner = trainer.estimator

    class Watching:
        def __call__(self, *given, **options):
            found = inner(*given, **options)
            means.append(found.mean_loss)
            return found

    trainer.estimator = Watching()
    trainer.run()
    ends = [4, 8, 12, 16, 20, 23]
    assert [point["step"] for point in trainer.curve] == ends
    assert [point["evaluations"] for point in trainer.curve] == [2 * end for end in ends]
    assert [point["restart"] for point in trainer.curve] == [0, 1, 1, 2, 2, 2]
    for begin, end, point in zip([0, *ends], ends, trainer.curve, strict=False):
        np.testing.assert_allclose(point["mean_loss"], np.mean(means[begin:end], axis=0))


@pytest.mark.parametrize("at", [2, 7, 8, 9, 22])
def test_a_training_resumed_between_two_points_of_its_curve_has_the_same_curve(thinned, at) -> None:
    undisturbed, resumed = thinned(), thinned()
    while undisturbed.step < at:
        undisturbed.advance()
    resumed.load_state_dict(undisturbed.state_dict())
    undisturbed.run()
    resumed.run()
    assert_same(resumed.state_dict(), undisturbed.state_dict())


def test_training_goes_on_from_the_parameters_that_are_there() -> None:
    objective, once = Objective(ones, 8), settings(evaluations=6400, restarts=1)
    generator = build_generator("product", 8)
    train(generator, objective, once)
    loss = ones(generator.sample(500, rng=Streams([9])(0)).bits.reshape(-1, 8)).mean()
    assert train(generator, objective, once).curve[0]["mean_loss"][0] <= loss + 0.02


def test_a_generator_without_log_p_is_refused() -> None:
    generator = build_generator("bernoulli", 6)
    type(generator).capabilities, before = Capabilities(), type(generator).capabilities
    try:
        with pytest.raises(ConfigurationError, match="score function needs log p, and Bernoulli"):
            Trainer(generator, Objective(ones, 6), settings())
    finally:
        type(generator).capabilities = before


def test_a_resumed_training_ends_as_the_undisturbed_one(objective) -> None:
    undisturbed = Trainer(build_generator("mlp", 36, seeds=[0, 1]), objective, settings())
    states = []
    while not undisturbed.done:
        states.append(undisturbed.state_dict())
        undisturbed.advance()
    end = undisturbed.state_dict()
    for state in states[:: len(states) // 7]:
        resumed = Trainer(build_generator("mlp", 36, seeds=[0, 1]), objective, settings())
        resumed.load_state_dict(state)
        while not resumed.done:
            resumed.advance()
        assert_same(resumed.state_dict(), end)


def test_a_training_resumed_before_its_first_step_pays_for_it() -> None:
    def trainer() -> Trainer:
        chosen = TrainingSettings(evaluations=640, circuits=10, estimator="exact")
        return Trainer(build_generator("bernoulli", 4), Objective(ones, 4), chosen)

    resumed = trainer()
    resumed.load_state_dict(trainer().state_dict())
    resumed.run()
    assert resumed.spent.evaluations == 16


@pytest.mark.parametrize("estimator", ["score-function", "exact"])
def test_a_resumed_record_has_counted_what_the_undisturbed_one_has(estimator: str) -> None:
    def trainer() -> Trainer:
        generator = build_generator("bernoulli", 4, seeds=[0, 1])
        chosen = TrainingSettings(evaluations=640, circuits=10, estimator=estimator)
        return Trainer(generator, Objective(ones, 4), chosen)

    undisturbed, resumed = trainer(), trainer()
    while undisturbed.step < 5:
        undisturbed.advance()
    resumed.load_state_dict(undisturbed.state_dict())
    assert resumed.record.evaluations == undisturbed.record.evaluations
    assert undisturbed.record.evaluations == (5 * 64 if estimator == "score-function" else 0)
    assert resumed.spent == undisturbed.spent
    undisturbed.run()
    resumed.run()  # what was paid for once is not paid for again
    assert resumed.spent == undisturbed.spent
    assert undisturbed.spent.evaluations == (640 if estimator == "score-function" else 16)


def test_looks_survive_a_resume() -> None:
    def trainer() -> Trainer:
        generator = build_generator("bernoulli", 4, seeds=[0, 1])
        chosen = settings(batch=3, evaluations=655, draws=4, watch_every=20)
        return Trainer(
            generator, NETWORK.objective(RIGHT), chosen, watch=NETWORK.objective(CORNERS)
        )

    undisturbed, resumed = trainer(), trainer()
    while undisturbed.step < 50:
        undisturbed.advance()
    file = io.BytesIO()
    torch.save(undisturbed.state_dict(), file)
    resumed.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    for looks in (undisturbed.looks, resumed.looks):
        assert [look.step for look in looks] == [20, 40]
    for run in (undisturbed, resumed):
        run.run()
        assert [look.step for look in run.looks] == [*range(20, 161, 20), 161]
    for found, expected in zip(resumed.looks, undisturbed.looks, strict=True):
        assert found.losses.shape == (2,)
        np.testing.assert_array_equal(found.losses, expected.losses)
    assert [look.seconds for look in resumed.looks[:2]] == [
        look.seconds for look in undisturbed.looks[:2]
    ]
    assert resumed.spent == undisturbed.spent
    assert resumed.record.improvements == undisturbed.record.improvements
    np.testing.assert_array_equal(resumed.record.best_bits, undisturbed.record.best_bits)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", ["bernoulli", "mlp"])
def test_a_look_tries_one_network_and_is_paid_for(name: str, known: bool, monkeypatch) -> None:
    """The most probable one where it is known, else the best of the step's draws."""
    generator = build_generator(name, 4, seeds=[0, 1])
    if not known:
        monkeypatch.setattr(generator, "mode", lambda: None)
    table = np.random.default_rng(2).normal(size=16)  # every string has a loss of its own
    held_out = Objective(lambda bits: table[bits @ np.array([1, 2, 4, 8])], 4, n_rows=5)
    objective = NETWORK.objective(RIGHT)
    chosen = settings(batch=3, evaluations=200, draws=8, watch_every=2, restarts=1)
    trainer = Trainer(generator, objective, chosen, watch=held_out)
    inner, best = trainer.estimator, []

    class Watching:
        def __call__(self, *given, **options):
            found = inner(*given, **options)
            losses, bits = found.losses[:, 0], found.draw.bits[:, 0]
            best.append(bits[np.arange(2), losses.argmin(axis=1)])
            return found

    trainer.estimator = Watching()  # type: ignore[assignment]
    while not trainer.done:
        trainer.advance()
        if trainer.looks and trainer.looks[-1].step == trainer.step:
            tried = best[-1]
            if known:
                likeliest = generator.probabilities()[:, 0].argmax(dim=-1).numpy()
                tried = all_bitstrings(4)[likeliest]
            np.testing.assert_array_equal(trainer.looks[-1].losses, table[tried @ [1, 2, 4, 8]])
    steps, looks = trainer.step, len(trainer.looks)
    assert looks == -(-steps // 2) > 5
    assert trainer.spent.evaluations == 8 * steps + looks == 196
    assert trainer.spent.rows == 3 * 8 * steps + 5 * looks
    assert (objective.evaluations, held_out.evaluations) == (2 * 8 * steps, 2 * looks)
    losses = np.min([look.losses for look in trainer.looks], axis=0)
    np.testing.assert_array_equal(trainer.record.best_loss, losses)
    np.testing.assert_array_equal(table[trainer.record.best_bits @ [1, 2, 4, 8]], losses)


def test_a_bit_that_is_as_likely_as_not_is_tried_as_zero() -> None:
    generator = build_generator("bernoulli", 4)
    generator.logits.data.zero_()
    chosen = settings(batch=3, evaluations=100, restarts=1)
    trainer = Trainer(generator, NETWORK.objective(RIGHT), chosen, watch=NETWORK.objective(CORNERS))
    trainer.estimator = type("Still", (), {"__call__": still(trainer.estimator)})()
    trainer.run()
    assert trainer.record.best_bits.tolist() == [[0, 0, 0, 0]]


def still(estimator):
    """The estimator with no gradient."""

    def __call__(self, generator, *given, **options):  # noqa: N807
        found = estimator(generator, *given, **options)
        generator.zero_grad()
        return found

    return __call__


def assert_same(one, other, path: str = "state") -> None:
    """Equal in every tensor and number but `seconds`, which a clock decides."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one.keys() - {"seconds"}:
            assert_same(one[key], other[key], f"{path}.{key}")
    else:
        assert one == other, path


def test_parameters_that_are_no_longer_finite_end_the_training() -> None:
    generator = build_generator("bernoulli", 6)
    chosen = settings(optimizer="SGD", learning_rate=1e308, schedule="constant")
    with pytest.raises(ConfigurationError, match=r"After step 1: .* is inf at \[0, 0\].*lower"):
        train(generator, Objective(lambda bits: 1e6 * ones(bits), 6), chosen)


def test_parameters_without_the_replica_axis_are_refused() -> None:
    generator = build_generator("bernoulli", 6, seeds=[0, 1])
    generator.shared = torch.nn.Parameter(torch.zeros(3))
    with pytest.raises(ConfigurationError, match=r"'shared' .* has shape \(3,\); expected"):
        Trainer(generator, Objective(ones, 6), settings())


@pytest.mark.parametrize("optimizer", sorted(ELEMENTWISE))
def test_every_elementwise_optimizer_trains_and_resumes(optimizer: str) -> None:
    chosen = settings(evaluations=1280, optimizer=optimizer)
    undisturbed = Trainer(build_generator("mlp", 6, seeds=[0, 1]), Objective(ones, 6), chosen)
    while undisturbed.step < 9:
        undisturbed.advance()
    file = io.BytesIO()
    torch.save(undisturbed.state_dict(), file)
    undisturbed.run()
    resumed = Trainer(build_generator("mlp", 6, seeds=[0, 1]), Objective(ones, 6), chosen)
    resumed.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    resumed.run()
    assert_same(resumed.state_dict(), undisturbed.state_dict())


@pytest.mark.parametrize(
    ("schedule", "options"),
    [("constant", {}), ("ExponentialLR", {"gamma": 0.99}), ("CosineAnnealingLR", {"eta_min": 0})],
)
def test_schedules(schedule: str, options: dict) -> None:
    generator = build_generator("bernoulli", 6)
    chosen = settings(evaluations=640, schedule=schedule, schedule_options=options)
    assert train(generator, Objective(ones, 6), chosen).done


def test_the_cosine_falls_to_two_percent_within_each_start() -> None:
    generator = build_generator("bernoulli", 6)
    trainer = Trainer(generator, Objective(ones, 6), settings(learning_rate=1.0))
    rates = []
    while not trainer.done:
        trainer.advance()
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    assert rates[49] == pytest.approx(0.02)
    assert rates[99] == pytest.approx(0.02)
    assert rates[50] > 0.99


def test_a_schedule_that_fails_on_the_way_says_so() -> None:
    options = {"max_lr": 0.1, "total_steps": 5}
    chosen = settings(schedule="OneCycleLR", schedule_options=options, restarts=1)
    with pytest.raises(ConfigurationError, match=r"At step \d, .* OneCycleLR failed"):
        train(build_generator("bernoulli", 6), Objective(ones, 6), chosen)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "Adamm"}, "Unknown optimiser of torch.optim 'Adamm'. Did you mean 'Adam'"),
        ({"optimizer": "LBFGS"}, "re-evaluates its objective inside a step"),
        ({"optimizer": "Muon"}, "would mix the 2 replicas"),
        ({"optimizer_options": {"beta": 1}}, "torch.optim.Adam refused its options"),
        ({"schedule": "CosineAnealingLR"}, "Did you mean 'CosineAnnealingLR'"),
        ({"schedule": "ReduceLROnPlateau"}, "Unknown schedule"),
        ({"optimizer": "SparseAdam"}, "Unknown optimiser"),
        ({"schedule": "StepLR"}, "torch.optim.lr_scheduler.StepLR refused its options"),
        (
            {"evaluations": 31},
            "31 evaluations has 0 steps of 32 evaluations, 32 shots, 1 circuit and 32 rows, too",
        ),
        ({"restarts": 101}, "too few for 101 start"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict, message: str) -> None:
    generator = build_generator("bernoulli", 6, seeds=[0, 1])
    with pytest.raises(ConfigurationError, match=message):
        Trainer(generator, Objective(ones, 6), settings(**changes))


# -- mini-batches ---------------------------------------------------------------------------------

NETWORK = BinaryNetwork((2, 2))
CORNERS = Samples(np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]), np.array([0, 1, 1, 0]))
"""Exclusive or: no four weights classify more than three, but each corner has its own that do."""
RIGHT = Samples(CORNERS.x, np.array([1, 1, 0, 0]))
"""Whether the first feature is above 0, which weights for all four can say."""

SEEING = {
    "bernoulli": lambda seeds: ConditionalBernoulli(4, n_inputs=2, seeds=seeds),
    "circuit": lambda seeds: QuantumHyperNetwork(
        4, ansatz=Reuploading(Brickwork(3), 2), start="uniform", seeds=seeds
    ),
}


def batches(data=RIGHT, size=8, scored_on: Any = "batch", **options):
    return NETWORK.batches(data, size=size, scored_on=scored_on, **options)


def some_steps(**changes) -> TrainingSettings:
    """20 steps of 4 draws for each of 8 inputs, in two starts."""
    return settings(**{"evaluations": 20 * 32, "draws": 4, **changes})


@pytest.mark.parametrize(("data", "scored_on"), [(CORNERS, "own"), (RIGHT, "batch")])
@pytest.mark.parametrize("name", SEEING)
def test_an_easy_task_is_solved_from_its_inputs(name, data, scored_on) -> None:
    generator = SEEING[name]([0, 1])
    chosen = settings(evaluations=10_000, draws=8, learning_rate=0.1, restarts=1)
    train(generator, batches(data, scored_on=scored_on), chosen)
    draw = generator.sample(500, rng=Streams(generator.seeds)(0, "evaluate"), inputs=data.x)
    scored = batches(data, 4, scored_on, loss="accuracy").take([[0, 1, 2, 3]] * 2)
    assert (scored(draw.bits).mean(axis=(1, 2)) < 0.1).all()


def test_the_corners_need_weights_of_their_own() -> None:
    """What the task above says is true: at best three of the four corners, by all 16 weights."""
    assert NETWORK.accuracy(all_bitstrings(4), CORNERS).max() == 0.75
    assert NETWORK.accuracy(all_bitstrings(4), RIGHT).max() == 1


@pytest.mark.parametrize("name", SEEING)
def test_the_budget_counts_every_input(name) -> None:
    objective, generator = batches(size=8), SEEING[name]([0, 1])
    trainer = train(generator, objective, settings(evaluations=1000, draws=4))
    assert trainer.step == 1000 // (4 * 8)
    assert trainer.spent.evaluations == trainer.spent.shots == 31 * 32
    assert trainer.spent.circuits == 31 * 8
    assert objective.evaluations == 2 * 31 * 32
    assert trainer.curve[-1]["evaluations"] == 31 * 32
    circuits = settings(evaluations=None, circuits=100, draws=4)
    assert Trainer(generator, objective, circuits).total_steps == 100 // 8


class Starting(ConditionalBernoulli):
    recipe: ClassVar = {"draws": 4, "start_steps": 10}


def test_as_many_starts_as_fit_are_counted_with_the_inputs() -> None:
    generator, budget = Starting(4, n_inputs=2), Budget(evaluations=10 * 4 * 24)
    assert settings_for(generator, {}, budget).restarts == 24
    assert settings_for(generator, {}, budget, n_inputs=8).restarts == 3
    assert settings_for(generator, {}, budget, n_inputs=100).restarts == 1
    assert settings_for(generator, {"restarts": 2}, budget, n_inputs=8).restarts == 2


@pytest.mark.parametrize(
    ("evaluations", "starts"), [(39, 1), (79, 1), (80, 2), (119, 2), (120, 3), (4, 1)]
)
def test_a_budget_has_as_many_whole_starts_as_fit(evaluations: int, starts: int) -> None:
    found = settings_for(Starting(4, n_inputs=2), {}, Budget(evaluations=evaluations))
    assert found.restarts == starts  # of 10 steps of 4 draws


def test_a_budget_of_just_all_bitstrings_is_enough_for_the_exact_gradient() -> None:
    def exact(evaluations: int) -> TrainingSettings:
        return TrainingSettings(evaluations=evaluations, circuits=5, estimator="exact")

    trainer = train(build_generator("bernoulli", 4), Objective(ones, 4), exact(16))
    assert (trainer.spent.evaluations, trainer.spent.circuits) == (16, 5)
    with pytest.raises(ConfigurationError, match="evaluates 16 bitstrings once, which are 16 eval"):
        Trainer(build_generator("bernoulli", 4), Objective(ones, 4), exact(15))


def test_seconds_of_steps_are_some_of_those_after_the_first(monkeypatch) -> None:
    trainer = Trainer(build_generator("bernoulli", 4), Objective(ones, 4), settings())
    assert trainer.step_seconds == []
    trainer.advance()
    assert trainer.step_seconds == []
    trainer.advance()
    assert len(trainer.step_seconds) == 1
    monkeypatch.setattr("qhyper.training.trainer.CURVE_POINTS", 2)
    trainer._seconds = [9.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert trainer.step_seconds == [1.0, 4.0]


def test_losses_on_different_batches_leave_no_record() -> None:
    trainer = train(SEEING["bernoulli"]([0, 1]), batches(), some_steps())
    assert trainer.record.improvements == [[], []]
    assert np.isinf(trainer.record.best_loss).all()
    assert trainer.record.evaluations == 0
    assert len(trainer.curve) == 20
    for point in trainer.curve:
        assert point["best_loss"] == [None, None]
        assert np.isfinite(point["mean_loss"]).all()


def test_every_step_and_replica_has_a_batch_of_its_own() -> None:
    """Trained on what `draw` gives for the replica's seed and the step, and on nothing else."""
    seen = []

    class Watched(ConditionalBernoulli):
        def _sample(self, shots, rng, inputs):
            assert inputs is not None
            seen.append(inputs.numpy().copy())
            return super()._sample(shots, rng, inputs)

    objective = batches()
    train(Watched(4, n_inputs=2, seeds=[3, 4]), objective, some_steps())
    assert len(seen) == 1 + 20  # before the first step a draw is tried, and not used
    for step, inputs in enumerate(seen[1:]):
        expected = objective.draw(Streams([3, 4])(step, "batch")).inputs
        np.testing.assert_array_equal(inputs, expected)


@pytest.mark.parametrize("name", SEEING)
def test_replicas_train_on_batches_as_if_alone(name) -> None:
    together, alone = SEEING[name]([3, 4, 5]), SEEING[name]([4])
    for generator in (together, alone):
        train(generator, batches(), some_steps())
    for one, all_of in zip(alone.parameters(), together.parameters(), strict=True):
        torch.testing.assert_close(one[0], all_of[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SEEING)
def test_a_training_on_batches_resumes_as_the_undisturbed_one(name) -> None:
    undisturbed = Trainer(SEEING[name]([0, 1]), batches(), some_steps())
    states = []
    while not undisturbed.done:
        states.append(undisturbed.state_dict())
        undisturbed.advance()
    end = undisturbed.state_dict()
    for state in (states[0], states[7], states[10], states[19]):
        resumed = Trainer(SEEING[name]([0, 1]), batches(), some_steps())
        resumed.load_state_dict(state)
        assert resumed.record.evaluations == 0
        resumed.run()
        assert_same(resumed.state_dict(), end)
        assert resumed.record.evaluations == undisturbed.record.evaluations


@pytest.mark.parametrize("scored_on", ["own", "batch"])
@pytest.mark.parametrize(
    ("name", "estimator", "options"),
    [
        ("bernoulli", "score-function", {}),
        ("bernoulli", "natural-gradient", {"damping": 0.1}),
        ("bernoulli", "spsa", {"directions": 2}),
        ("circuit", "score-function", {"baseline": "none"}),
        ("circuit", "natural-gradient", {"damping": 0.1}),
        ("circuit", "spsa", {}),
        ("circuit", "parameter-shift", {}),
        ("circuit", "stochastic-parameter-shift", {"angles": 3}),
    ],
)
def test_every_estimator_that_draws_takes_a_step(name, estimator, options, scored_on) -> None:
    generator, objective = SEEING[name]([0, 1]), batches(size=3, scored_on=scored_on)
    chosen = settings(
        estimator=estimator, estimator_options=options, evaluations=10_000, draws=4, restarts=1
    )
    trainer = Trainer(generator, objective, chosen)
    before = [p.detach().clone() for p in generator.parameters()]
    trainer.advance()
    cost = build_estimator(estimator, 4, options).cost(generator, Expectation(), n_inputs=3)
    assert trainer.spent == cost.on_rows(1 if scored_on == "own" else 3)
    assert objective.evaluations == 2 * cost.evaluations
    assert objective.rows == 2 * trainer.spent.rows
    for parameter in generator.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
    pairs = zip(generator.parameters(), before, strict=True)
    assert any((now != then).any() for now, then in pairs)


@pytest.mark.parametrize("scored_on", ["own", "batch"])
@pytest.mark.parametrize("name", SEEING)
def test_the_gradient_on_a_batch_is_the_mean_of_those_of_its_inputs(name, scored_on) -> None:
    # Seeds 0 to 999, 4 shots, all with the parameters and samples of one: the mean of 1,000
    # estimates is within 5 standard errors of the exact gradient for each of at most 116
    # parameters (chance 7e-5), of the value too. Losses by the plain pass.
    one, many = SEEING[name]([5]), SEEING[name](range(1000))
    rng, samples = np.random.default_rng(6), [3, 0, 2]
    with torch.no_grad():
        for own, all_of in zip(one.parameters(), many.parameters(), strict=True):
            own += torch.from_numpy(rng.normal(0, 0.5, own.shape))
            all_of[:] = own
    x, y, strings = CORNERS.x[samples], CORNERS.y[samples], all_bitstrings(4)
    by_input, value = [], 0.0
    for own in range(3):
        scored = slice(own, own + 1) if scored_on == "own" else slice(None)
        losses = torch.from_numpy(NETWORK.losses(strings, Samples(x[scored], y[scored])))
        mean = (one.probabilities(inputs=x[own : own + 1])[0, 0] * losses).sum()
        value += float(mean.detach()) / 3
        by_input.append(torch.autograd.grad(mean, list(one.parameters())))
    means = [torch.stack(parts).mean(dim=0).ravel() for parts in zip(*by_input, strict=True)]
    expected = torch.cat(means)

    batch = batches(CORNERS, 3, scored_on).take([samples] * 1000)
    estimate = ScoreFunction(4)(
        many, batch, Expectation(), rng=Streams(many.seeds)(0), inputs=batch.inputs
    )
    grads = torch.cat([p.grad.reshape(1000, -1) for p in many.parameters()], dim=1).numpy()
    assert_unbiased(grads, expected.numpy())
    assert estimate.value is not None
    assert_unbiased(estimate.value[:, None], np.array([value]))


def assert_unbiased(estimates: np.ndarray, expected: np.ndarray) -> None:
    """The mean of estimates [estimate, number] is within 5 standard errors, and these are small."""
    error = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
    assert (abs(estimates.mean(axis=0) - expected) <= 5 * error + 1e-12).all()
    assert np.linalg.norm(expected) > 5 * np.linalg.norm(error)


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (
            lambda: (SEEING["bernoulli"]([0]), NETWORK.objective(RIGHT)),
            {},
            r"Bernoulli of 2 features.* depends on inputs of 2 features, and the objective has "
            r"none\. Train it on mini-batches: network\.batches\(",
        ),
        (
            lambda: (SEEING["circuit"]([0]), Objective(ones, 4)),
            {},
            "that sees 2 features.* depends on inputs of 2 features, and the objective has none",
        ),
        (
            lambda: (build_generator("bernoulli", 4), batches()),
            {},
            r"does not depend on inputs, and these mini-batches have them\. Train it on "
            r"network\.objective\(data\), with `batch` for mini-batches, or take a generator that "
            r"sees the input",
        ),
        (
            lambda: (ConditionalBernoulli(4, n_inputs=3), batches()),
            {},
            r"inputs of 3 features, and the mini-batches have 2\. Make it with n_inputs=2",
        ),
        (
            lambda: (SEEING["bernoulli"]([0]), batches()),
            {"estimator": "exact"},
            "every mini-batch is another objective. Use an estimator that draws",
        ),
        (
            lambda: (SEEING["bernoulli"]([0]), batches()),
            {"evaluations": 255},
            r"\b255 evaluations has 0 .* 256 evaluations, 256 shots, 8 circuits and 2,048 rows",
        ),
    ],
    ids=["no batches", "circuit", "unconditional", "features", "exact", "budget"],
)
def test_generators_and_objectives_that_do_not_fit_are_refused(make, changes, message) -> None:
    generator, objective = make()
    with pytest.raises(ConfigurationError, match=message):
        Trainer(generator, objective, settings(**changes))
    assert objective.evaluations == 0
