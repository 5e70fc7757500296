"""The sign as a layer."""

import pytest
import torch

from qhyper.targets.sign import Sign


@pytest.mark.parametrize("of_zero", [1, 0])
def test_sign_at_above_and_below_zero(of_zero):
    x = torch.tensor([[-2.0, -0.0, 0.0, 5e-324]], dtype=torch.float64)
    found = Sign(of_zero)(x)
    assert found.tolist() == [[-1, of_zero, of_zero, 1]]
    assert found.dtype == x.dtype
    assert repr(Sign(of_zero)) == f"Sign(of_zero={of_zero})"
