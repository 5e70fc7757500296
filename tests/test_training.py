"""The training loop: budgets, restarts, independence of replicas, resuming."""

import io

import numpy as np
import pytest
import torch

from qhyper.config import TrainingSettings
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import Capabilities
from qhyper.registry import build_generator
from qhyper.streams import Streams
from qhyper.target.objective import Objective
from qhyper.training import ELEMENTWISE, Trainer, train


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


def assert_same(one, other, path: str = "state") -> None:
    """Equal in every tensor and number."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key], f"{path}.{key}")
    else:
        assert one == other, path


def test_parameters_that_are_no_longer_finite_end_the_training() -> None:
    generator = build_generator("bernoulli", 6)
    chosen = settings(optimizer="SGD", learning_rate=1e308, schedule="constant")
    with pytest.raises(ConfigurationError, match=r"are no longer finite. Lower learning_rate"):
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
            "A budget of 31 evaluations has 0 steps of 32 evaluations, 32 shots and 1 circuit",
        ),
        ({"restarts": 101}, "too few for 101 start"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict, message: str) -> None:
    generator = build_generator("bernoulli", 6, seeds=[0, 1])
    with pytest.raises(ConfigurationError, match=message):
        Trainer(generator, Objective(ones, 6), settings(**changes))
