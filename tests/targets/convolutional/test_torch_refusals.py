"""Torch modules that are not packed, and what is said of them."""

import numpy as np
import pytest
import torch

from qhyper.errors import ConfigurationError
from qhyper.targets.convolutional.modules import Affine2d, ChannelScale, PadMinusOne, Residual
from qhyper.targets.convolutional.network import ConvolutionalNetwork
from qhyper.targets.sign import Sign
from tests.targets.convolutional.modules import affine, binary, linear, norm, real

nn = torch.nn
RNG = np.random.default_rng(0)


def refused(match, *parts, image=(3, 8, 8)):
    with pytest.raises(ConfigurationError, match=match):
        ConvolutionalNetwork.from_torch(nn.Sequential(*parts).eval(), image=image)


def signs():
    return real(RNG, 3, 4, 1), Sign()


def end(channels=4):
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear(RNG, channels, 3)


class MyConv(nn.Conv2d):
    pass


class Conv2d(nn.Module):
    pass


def test_only_a_sequential_is_taken():
    expected = r"Got Linear; expected a torch.nn.Sequential of Conv2d, Linear, BatchNorm2d, .*Sign"
    with pytest.raises(ConfigurationError, match=expected):
        ConvolutionalNetwork.from_torch(nn.Linear(2, 2), image=(2, 1, 1))


@pytest.mark.parametrize("image", [(3, 8), (3, 8, 0), "388", 5, (3, 8, 8.5)])
def test_an_image_is_three_whole_numbers(image):
    module = nn.Sequential(nn.Flatten(), linear(RNG, 24, 2))
    with pytest.raises(
        ConfigurationError,
        match=r"expected \(channels, rows, columns\), whole numbers of 1 or more",
    ):
        ConvolutionalNetwork.from_torch(module, image=image)


def test_unknown_parts_are_named_with_their_place():
    refused("Got LeakyReLU as layer 1; expected a torch", *signs()[:1], nn.LeakyReLU(), *end())
    refused("Got MyConv as layer 0.*A subclass of Conv2d may compute", MyConv(3, 4, 1), *end())
    refused(r"Got tests.*test_torch_refusals.Conv2d as layer 0", Conv2d(), *end())
    body = nn.Sequential(real(RNG, 4, 4, 1), nn.Sequential(nn.GELU()))
    refused("Got GELU as layer 1.body.1.0", *signs()[:1], Residual(body, nn.Sequential()), *end())
    block = Residual(real(RNG, 4, 4, 1), nn.Sequential())
    refused("Got Conv2d as 1.body; expected", *signs()[:1], block, *end())


def test_a_module_with_an_evaluation_network_is_told_of_it():
    class Model(nn.Module):
        def evaluation_network(self):
            return None

    with pytest.raises(ConfigurationError, match=r"Got Model.*Pass its evaluation_network\(\)"):
        ConvolutionalNetwork.from_torch(Model(), image=(1, 2, 2))


def test_hooks_and_methods_of_an_instance_are_refused():
    hooked = real(RNG, 4, 4, 1)
    hooked.register_forward_hook(lambda *_: None)
    block = Residual(nn.Sequential(hooked), nn.Sequential())
    refused("the hook <lambda> on the Conv2d of layer 1.body.0", *signs()[:1], block, *end())
    patched = real(RNG, 3, 4, 1)
    patched.forward = lambda x: x
    refused("Conv2d of layer 0 with a method `forward` of its own", patched, *end())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"padding": 1, "padding_mode": "reflect"}, "padding_mode='reflect'; expected 'zeros'"),
        ({"groups": 2}, "Layer 2, Conv2d: got groups=2; expected 1 alone"),
        ({"dilation": 2}, r"got dilation=\(2, 2\); expected \(1, 1\)"),
        ({"padding": "same"}, "got padding='same'; expected numbers"),
    ],
)
def test_convolutions_of_other_kinds_are_refused(options, match):
    refused(match, *signs(), nn.Conv2d(4, 4, 3, dtype=torch.float64, **options), *end())


@pytest.mark.parametrize(
    ("part", "match"),
    [
        (nn.MaxPool2d(2, dilation=2), "got dilation=2; expected 1"),
        (nn.MaxPool2d(2, ceil_mode=True), "got ceil_mode=True; expected False"),
        (nn.MaxPool2d(2, return_indices=True), "got return_indices=True"),
        (nn.AvgPool2d(2, padding=1), "Layer 1, AvgPool2d: got padding=1; expected 0"),
        (nn.AvgPool2d(2, ceil_mode=True), "got ceil_mode=True"),
        (nn.AvgPool2d(2, divisor_override=3), "got divisor_override=3; expected None"),
        (nn.AdaptiveAvgPool2d(2), "got output_size=2; expected 1. Take AvgPool2d"),
        (nn.AvgPool2d(9), "windows of 9×9 do not fit into 8×8"),
        (nn.Flatten(2), r"flattens other than all of an image. Take Flatten\(\)"),
        (Sign(0), r"Layer 1, Sign: got of_zero=0; expected \+1 or -1: a bit has no third value"),
        (PadMinusOne(1, 1), "no Conv2d follows it"),
        (norm(RNG, 4, kind=nn.BatchNorm1d), "it takes rows, and gets real numbers of 4×8×8"),
        (norm(RNG, 5), "got 5 numbers as its mean; expected 4 finite ones"),
        (affine(RNG, 3), "got 3 numbers as its scale; expected 4 finite ones"),
        (ChannelScale(torch.tensor([1.0, 2.0, 3.0, np.nan])), "as its factor; expected 4 finite"),
        (ChannelScale(torch.arange(4)), "got its factor as torch.int64 and shape"),
        (nn.BatchNorm2d(4, track_running_stats=False), "has no running statistics"),
        (nn.BatchNorm2d(4, eps=-3), "variances from 1 and eps = -3; expected variances above 0"),
        (
            Affine2d(torch.full((4,), 1e308, dtype=torch.float64), torch.zeros(4)),
            "may not fit float64",
        ),
        (real(RNG, 5, 4, 1), "Layer 1, Conv2d: its kernel is for 5 channels, and it gets real"),
        (linear(RNG, 8, 4), "Layer 1, Linear: it takes rows, and gets .*Put a Flatten before it"),
    ],
)
def test_layers_that_do_not_fit_are_refused(part, match):
    refused(match, *signs()[:1], part, *end())


def test_behind_a_sign_numbers_are_small_again():
    huge = ChannelScale(torch.full((4,), 1e250, dtype=torch.float64))
    last = linear(RNG, 4, 3)
    last.weight.data *= 1e200
    module = nn.Sequential(*signs()[:1], huge, Sign(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)
    ConvolutionalNetwork.from_torch(module.eval(), image=(3, 8, 8))


def test_numbers_that_do_not_fit_are_refused_also_where_they_would_be_folded():
    huge = Affine2d(torch.full((4,), 1e308, dtype=torch.float64), torch.zeros(4))
    none = ChannelScale(torch.zeros(4))
    match = "Layer 2, Affine2d: its outputs may not fit"
    refused(match, *signs()[:1], nn.ReLU(), huge, none, Sign(), *end())


@pytest.mark.parametrize(
    ("part", "match"),
    [
        (norm(RNG, 4), "takes real numbers or sums, and gets signs. Put a convolution before it"),
        (nn.ReLU(), "Layer 2, ReLU: it takes real numbers or sums, and gets signs"),
        (Residual(nn.Sequential(), nn.Sequential()), "its body ends with bits of 4×8×8"),
    ],
)
def test_layers_that_take_no_signs_are_refused(part, match):
    refused(match, *signs(), part, *end())


def test_a_binary_convolution_has_a_bias_of_whole_numbers():
    part = binary(RNG, 4, 4, 1, bias=True)
    part.bias.data[2] = 0.25
    match = "Layer 2, Conv2d: got the bias 0.25 beside weights -1 and \\+1.*Affine2d behind"
    refused(match, *signs(), part, *end())


def test_places_of_minus_one_go_with_binary_convolutions_alone():
    match = "a PadMinusOne stands before it, which goes with weights"
    refused(match, *signs(), PadMinusOne(1, 1), real(RNG, 4, 4, 3), *end())
    refused(match, *signs()[:1], PadMinusOne(1, 1), binary(RNG, 4, 4, 3), *end())
    both = binary(RNG, 4, 4, 3, padding=1)
    refused("both it and a PadMinusOne before it pad", *signs(), PadMinusOne(1, 1), both, *end())


def test_ways_of_a_residual_are_alike():
    ways = nn.Sequential(real(RNG, 4, 5, 1)), nn.Sequential()
    match = "Layer 1, Residual: its body ends with real numbers of 5×8×8, and its shortcut"
    refused(match, *signs()[:1], Residual(*ways), *end())
    ways = nn.Sequential(nn.AdaptiveAvgPool2d(1)), nn.Sequential(nn.Flatten())
    match = "one of its ways ends with rows and one with images"
    refused(match, *signs()[:1], Residual(*ways), *end())


def test_behind_flatten_stand_layers_of_rows():
    refused("Conv2d: it takes images, and stands behind a Flatten", nn.Flatten(), *signs())
    flat = nn.Flatten(), norm(RNG, 192, kind=nn.BatchNorm1d), linear(RNG, 192, 2)
    refused("rows of a flattened image, real numbers of 3×8×8.*BatchNorm2d before", *flat)
    refused("it takes 100 inputs, and gets 192: real numbers", nn.Flatten(), linear(RNG, 100, 2))


def test_numbers_are_finite_and_real():
    part = real(RNG, 3, 4, 1)
    part.weight.data[0, 0] = np.inf
    refused("Layer 0, Conv2d: Got weight of shape .* with inf", part, *end())
    part = real(RNG, 3, 4, 1)
    part.weight = nn.Parameter(part.weight.data.to(torch.complex128))
    refused("Got 0.weight of torch.complex128", part, *end())
    part = real(RNG, 3, 4, 1)
    part.weight = nn.Parameter(part.weight.data[0, 0])
    refused("got its weight as torch.float64 and shape .*expected floating", part, *end())


def test_outputs_are_one_number_a_class():
    refused("outputs are real numbers of 4×8×8 for images of 3×8×8; expected one", *signs()[:1])
    refused("outputs are real numbers of 3×8×8", nn.Flatten())
    refused("outputs are signs, 2 of them.*Leave out the last Sign", real(RNG, 3, 2, 8), Sign())


def test_images_of_another_size_do_not_fit():
    module = nn.Sequential(nn.Flatten(), linear(RNG, 192, 2))
    with pytest.raises(ConfigurationError, match="it takes 192 inputs, and gets 147"):
        ConvolutionalNetwork.from_torch(module, image=(3, 7, 7))


def test_a_module_that_fails_says_so(monkeypatch):
    def fails(self, x):
        raise RuntimeError("out of order")

    module = nn.Sequential(nn.Flatten(), linear(RNG, 192, 2))
    monkeypatch.setattr(nn.Linear, "forward", fails)
    with pytest.raises(ConfigurationError, match=r"fails in float64 .* RuntimeError: out of order"):
        ConvolutionalNetwork.from_torch(module, image=(3, 8, 8))
