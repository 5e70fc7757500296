"""The images that conversions are compared on, and those in which rounding decides."""

import numpy as np
import torch

from qhyper.targets.convolutional.agreement import random_images, tied_images
from qhyper.targets.convolutional.modules import Affine2d, ChannelScale, Residual
from qhyper.targets.convolutional.steps import Convolution
from qhyper.targets.convolutional.steps import Residual as ResidualStep
from qhyper.targets.sign import Sign

nn = torch.nn


def linear_of(stem):
    found = nn.Linear(3, 2, bias=False, dtype=torch.float64)
    found.weight.data = stem.weight.data[:, :, 0, 0]
    return found


def test_images_are_tied_where_rounding_decides_a_sign():
    """Sums of 0.1, 0.2 and -0.3 are 0, but as they are rounded; those of halves are exact."""
    stem = nn.Conv2d(3, 2, 1, bias=False, dtype=torch.float64)
    weight = torch.tensor([[0.1, 0.2, -0.3], [0.5, 0.25, -0.75]], dtype=torch.float64)
    stem.weight.data = weight[:, :, None, None]
    x = np.array([[7, 7, 7], [7, 0, 0], [9, 3, 5]], np.uint8)[:, :, None, None]
    ways = nn.Sequential(stem, ChannelScale(torch.ones(2))), nn.Sequential(stem)
    for module in (
        nn.Sequential(stem, Sign()),
        nn.Sequential(nn.AvgPool2d(1), stem, nn.ReLU(), Sign(), nn.Flatten()),
        nn.Sequential(Residual(*ways), Sign(), nn.AvgPool2d(1)),
        nn.Sequential(nn.Sequential(nn.Flatten(), linear_of(stem)), Sign()),
    ):
        assert tied_images(module, x).tolist() == [True, False, True]
    stem.weight.data[0] = torch.tensor([0.5, 0.5, -1.0])[:, None, None]
    assert not tied_images(nn.Sequential(stem, Sign()), x).any()


def test_products_and_sums_decide_a_sign_where_they_are_rounded_otherwise():
    """0.1 times 3 less 0.3 is nearly 0; a half times 3 less 1.5 is 0, however it is done."""
    x = np.array([3, 9], np.uint8)[:, None, None, None]
    for factor, expected in ((0.1, [True, False]), (0.5, [False, False])):
        numbers = torch.tensor([[factor], [round(-3 * factor, 1)]], dtype=torch.float64)
        way = Residual(nn.Sequential(), nn.Sequential())
        module = nn.Sequential(Affine2d(*numbers), way, Sign())
        assert tied_images(module, x, affine=True).tolist() == expected
        assert tied_images(module, x).tolist() == [False, False]


def test_images_are_few_where_a_network_is_large():
    small = Convolution(np.ones((2, 3, 1, 1)))
    large = Convolution(np.ones((64, 3, 64, 64)), padding=(32, 32))
    assert random_images((3, 9, 5), [small]).shape == (64, 3, 9, 5)
    assert len(random_images((3, 60, 60), [ResidualStep((large,), (large,))])) == 4


def test_images_are_the_same_each_time_and_of_all_brightnesses():
    images = random_images((1, 9, 9), [])
    assert np.array_equal(images, random_images((1, 9, 9), []))
    assert images.dtype == np.uint8
    assert (images[0] == 0).all()
    assert (images[1] == 255).all()
    assert len(np.unique(images)) == 256
