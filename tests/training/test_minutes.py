"""Training for so many minutes: with one start, from its first step on."""

import time

import pytest

from classical.bernoulli import Bernoulli
from qhyper.errors import ConfigurationError
from qhyper.spending import Budget
from qhyper.targets.objective import Objective
from qhyper.training.settings import TrainingSettings
from qhyper.training.trainer import Trainer, settings_for

ENDLESS = 10**9


def trainer(minutes: float) -> Trainer:
    objective = Objective(lambda bits: bits.sum(1), 4)
    settings = TrainingSettings(evaluations=ENDLESS, draws=4, minutes=minutes, schedule="linear")
    return Trainer(Bernoulli(4, seeds=(0, 1)), objective, settings)


def test_time_begins_with_the_first_step_and_the_rate_has_fallen_by_its_end() -> None:
    late = trainer(minutes=0.005)
    time.sleep(0.5)  # longer than it may train
    late.run()
    assert late.step > 10
    assert late.total_steps == late.step < ENDLESS // 8
    assert late.optimizer.param_groups[0]["lr"] == 0.0
    assert late.record.best_loss.max() == 0.0


def test_a_resumed_training_has_the_time_that_is_left() -> None:
    first = trainer(minutes=0.05)
    while first._seconds_so_far < 1:
        first.advance()
    second = trainer(minutes=0.05)
    second.load_state_dict(first.state_dict())
    began = time.monotonic()
    second.run()
    assert time.monotonic() - began < 2.9  # of 3 seconds, at least one was spent


def test_several_starts_are_refused_and_none_is_chosen_by_the_recipe() -> None:
    with pytest.raises(ConfigurationError, match="minutes is for one start, and restarts=3"):
        TrainingSettings(minutes=1, restarts=3, schedule="constant")
    with pytest.raises(ConfigurationError, match="minutes goes with the schedule linear"):
        TrainingSettings(minutes=1)
    training = {"minutes": 1.0, "schedule": "linear"}
    settings = settings_for(Bernoulli(4), training, Budget(evaluations=10**6))
    assert settings.restarts == 1
