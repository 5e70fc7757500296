import numpy as np
import pytest
import torch

from qhyper.errors import ConfigurationError
from qhyper.targets.loss import LOSSES, check_loss, label_losses, predictions


@pytest.mark.parametrize("outputs", [2, 3, 5])
def test_formulas_against_torch(outputs):
    logits = np.random.default_rng(0).normal(size=(40, outputs)) * 5
    z = torch.from_numpy(logits)
    for label in range(outputs):
        labels = torch.full((40,), label)
        expected = torch.nn.functional.cross_entropy(z, labels, reduction="none").numpy()
        np.testing.assert_allclose(
            label_losses(logits, "cross_entropy")[:, label], expected, atol=1e-12
        )
        target = torch.nn.functional.one_hot(labels, outputs)
        brier = ((torch.softmax(z, dim=-1) - target) ** 2).sum(dim=-1).numpy()
        np.testing.assert_allclose(
            label_losses(logits, "squared_error")[:, label], brier, atol=1e-12
        )


def test_values_by_hand():
    # logits (0, log 3): probabilities 1/4 and 3/4
    z = np.array([[0.0, np.log(3)]])
    np.testing.assert_allclose(label_losses(z, "cross_entropy"), [[np.log(4), np.log(4 / 3)]])
    np.testing.assert_allclose(label_losses(z, "squared_error"), [[9 / 8, 1 / 8]])
    np.testing.assert_array_equal(label_losses(z, "accuracy"), [[1, 0]])


@pytest.mark.parametrize("loss", LOSSES)
def test_one_output_stands_for_zero_and_itself(loss):
    z = np.arange(-3.0, 4.0)[:, None]
    two = np.concatenate([np.zeros_like(z), z], axis=1)
    np.testing.assert_array_equal(label_losses(z, loss), label_losses(two, loss))


def test_cross_entropy_of_large_logits_is_finite():
    np.testing.assert_allclose(
        label_losses(np.array([[-2000.0, 2000.0]]), "cross_entropy"), [[4000, 0]]
    )


def test_ties_predict_the_lower_class():
    logits = np.array([[1, 1, 0], [0, 2, 2], [3, 3, 3], [0, 0, 1]])
    assert predictions(logits).tolist() == [0, 1, 0, 2]
    assert predictions(np.array([[0.0], [1.0], [-1.0]])).tolist() == [0, 1, 0]


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_a_row_does_not_see_the_size_of_others(loss):
    rows = np.array([[0.0, 0.0], [2000.0, 1999.0], [-3000.0, -3001.0]])
    alone = np.concatenate([label_losses(row[None], loss) for row in rows])
    assert np.isfinite(alone).all()
    np.testing.assert_array_equal(label_losses(rows, loss), alone)


@pytest.mark.parametrize(
    ("gap", "tie"),
    [
        (0.0, True),
        (1e-12, True),
        (0.9e-9, True),
        (1e-9, True),
        (np.nextafter(1e-9, 1), False),
        (1.1e-9, False),
        (1e-6, False),
        (1e-3, False),
    ],
)
def test_logits_within_1e_9_are_a_tie_and_those_further_apart_are_not(gap, tie):
    for logits, lower in (
        (np.array([[gap]]), 0),
        (np.array([[0.0, gap]]), 0),
        (np.array([[-gap, 0.0, -5.0]]), 0),
        (np.array([[-5.0, 0.0, gap]]), 1),
    ):
        label = lower if tie else lower + 1
        assert predictions(logits).tolist() == [label]
        assert label_losses(logits, "accuracy").argmin() == label
    falling = np.array([[gap, 0.0], [0.0, -gap]])
    assert predictions(falling).tolist() == [0, 0]


def test_names():
    assert check_loss("cross-entropy") == "cross_entropy"
    with pytest.raises(ConfigurationError, match="Did you mean 'accuracy'"):
        check_loss("accurracy")
