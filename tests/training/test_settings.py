"""Training settings at the ends of what they may be."""

import numpy as np
import pytest

from qhyper.errors import ConfigurationError
from qhyper.training.settings import TrainingSettings

LEAST = {
    "evaluations": 1, "shots": 1, "circuits": 1, "rows": 1, "draws": 1, "restarts": 1,
    "watch_every": 1, "checkpoint_every": 1, "final_draws": 2,
}  # fmt: skip


@pytest.mark.parametrize("name", LEAST)
def test_whole_numbers_have_a_least_one(name):
    least = LEAST[name]
    assert getattr(TrainingSettings(**{name: least}), name) == least
    message = f"{name} = {least - 1}: .*greater than or equal to {least}"
    with pytest.raises(ConfigurationError, match=message):
        TrainingSettings(**{name: least - 1})
    with pytest.raises(ConfigurationError, match=f"{name} = 2.5"):
        TrainingSettings(**{name: 2.5})


@pytest.mark.parametrize("name", ["learning_rate", "minutes"])
def test_rates_and_times_are_above_zero_and_finite(name):
    least = 5e-324
    made = TrainingSettings(**{name: least, "schedule": "linear"})
    assert getattr(made, name) == least
    for wrong in (0, -1e-9, float("inf"), float("nan")):
        with pytest.raises(ConfigurationError, match=rf"{name} = (0|-1e-09|inf|nan): .*"):
            TrainingSettings(**{name: wrong, "schedule": "linear"})


@pytest.mark.parametrize(
    ("batch", "expected"), [(1, 1), (np.int64(7), 7), ("all", "all"), (None, None)]
)
def test_mini_batches_are_of_one_row_or_more_or_of_all(batch, expected):
    found = TrainingSettings(batch=batch).batch
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("batch", [0, -1, True, False, 1.0, 2.5, "some", "7"])
def test_other_mini_batches_are_refused(batch):
    message = f"batch: expected a whole number of rows, 1 or more, or 'all', but got {batch!r}"
    with pytest.raises(ConfigurationError, match=message):
        TrainingSettings(batch=batch)
