"""Outputs compared: what is rounding, what is a tie, and what is another function."""

import numpy as np
import pytest
import torch

from qhyper.errors import ConfigurationError
from qhyper.targets.conversion import check_same, tied_rows
from qhyper.targets.sign import Sign

EXPECTED = np.array([[1.0, 1e-12], [2.0, 3e-12], [-4.0, 0.0]])


def test_rounding_is_no_difference():
    check_same("It", EXPECTED * (1 + 1e-15), EXPECTED)
    check_same("It", EXPECTED + np.array([1e-10, 0]), EXPECTED)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (EXPECTED + np.array([0, 1e-12]), "It gives other outputs than .* on 3 of 3 random rows"),
        (EXPECTED * [[1], [1.1], [1]], "It gives other .* on 1 of 3 random rows. .* plain layers"),
        (np.where(EXPECTED == 2, np.nan, EXPECTED), "It gives other .* on 1 of 3 random rows"),
        (EXPECTED[:, :1], r"shape \(3, 1\) where it was made from something that gives \(3, 2\)"),
    ],
)
def test_differences_are_counted(found, message):
    with pytest.raises(ConfigurationError, match=message):
        check_same("It", found, EXPECTED)


def test_rows_that_are_tied_may_differ():
    found = EXPECTED + np.array([[0, 0], [1, 0], [1, 0]])
    check_same("It", found, EXPECTED, lambda: np.array([False, True, True]))
    with pytest.raises(ConfigurationError, match="on 1 of 3 random rows"):
        check_same("It", found, EXPECTED, lambda: np.array([True, True, False]))


def test_outputs_that_are_not_finite_are_no_oracle():
    with pytest.raises(ConfigurationError, match="outputs are not finite on 1 of 3 random rows"):
        check_same("It", EXPECTED, np.where(EXPECTED == 2, np.inf, EXPECTED))


def test_what_is_tied():
    """Sums of x: 0.1 + 0.2 - 0.3 is no longer 0, and is near to it; 1 + 1 - 2 is 0."""

    def net(weights):
        layer = torch.nn.Linear(3, 1, bias=False, dtype=torch.float64)
        layer.weight.data = torch.tensor([weights], dtype=torch.float64)
        return torch.nn.Sequential(layer, Sign())

    x = torch.tensor([[1.0, 1.0, -1.0], [1.0, 1.0, 1.0], [1.0, 1.0, -0.999]], dtype=torch.float64)
    assert tied_rows(net([0.1, 0.2, 0.3]), x).tolist() == [True, False, False]
    assert tied_rows(net([1.0, 1.0, 2.0]), x).tolist() == [False, False, False]


def test_sums_that_are_all_zero_are_no_ties():
    """A unit that a normalisation multiplies by 0 is the same in every row."""
    layer = torch.nn.Linear(3, 1, dtype=torch.float64)
    norm = torch.nn.BatchNorm1d(1, dtype=torch.float64)
    torch.nn.init.zeros_(norm.weight)
    net = torch.nn.Sequential(layer, norm, Sign()).eval()
    x = torch.tensor([[1.0, -1.0, 1.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    assert tied_rows(net, x).tolist() == [False, False]
