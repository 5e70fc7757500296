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


def test_names():
    assert check_loss("cross-entropy") == "cross_entropy"
    with pytest.raises(ConfigurationError, match="Did you mean 'accuracy'"):
        check_loss("accurracy")
