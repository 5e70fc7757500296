"""Convolutional networks against the torch modules that they come from, in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils import parametrize

from qhyper.errors import ConfigurationError
from qhyper.targets.convolutional.modules import Affine2d
from qhyper.targets.convolutional.modules import Residual as ResidualModule
from qhyper.targets.convolutional.network import ConvolutionalNetwork
from qhyper.targets.convolutional.steps import (
    Affine,
    AvgPool,
    BinaryConvolution,
    Clamp,
    Convolution,
    MaxPool,
    Residual,
    Scale,
    Threshold,
)
from qhyper.targets.sign import Sign
from tests.targets.convolutional.modules import (
    affine,
    binary,
    images,
    linear,
    norm,
    outputs,
    random_module,
    real,
    residual_network,
    scale,
)

nn = torch.nn
IMAGE = (3, 8, 8)


def packed(module, image=IMAGE):
    return ConvolutionalNetwork.from_torch(module, image=image)


def kinds(steps):
    return [type(step) for step in steps]


def check(module, image, pixels):
    """Packed, and back, and packed again."""
    network, expected = packed(module, image), outputs(module, pixels)
    np.testing.assert_allclose(network.outputs(pixels), expected, rtol=1e-12, atol=1e-9)
    assert np.array_equal(network.predict(pixels), expected.argmax(axis=1))
    again = network.to_torch()
    np.testing.assert_allclose(outputs(again, pixels), expected, rtol=1e-12, atol=1e-9)
    twice = packed(again, image)
    assert np.array_equal(twice.predict(pixels), expected.argmax(axis=1))
    return network


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    image=st.sampled_from([(1, 6, 6), (3, 7, 5), (2, 9, 12)]),
    seed=st.integers(0, 2**20),
)
def test_predictions_are_the_modules(image, seed):
    rng = np.random.default_rng(seed)
    module = random_module(rng, image)
    network = check(module, image, images(rng, 40, image))
    assert BinaryConvolution in kinds(network.steps)


@pytest.mark.parametrize("minus_one", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_residual_network_with_preactivation(seed, minus_one):
    rng = np.random.default_rng(seed)
    module = residual_network(rng, minus_one=minus_one)
    network = check(module, IMAGE, images(rng, 60, IMAGE))
    blocks = [step for step in network.steps if isinstance(step, Residual)]
    assert len(blocks) == 4
    for block in blocks:
        assert kinds(block.body) == [Threshold, BinaryConvolution, Scale]
    assert kinds(blocks[2].shortcut) == [AvgPool, Convolution]
    assert kinds(blocks[3].shortcut) == []
    assert network.n_binary == 9 * (3 * 3 * 2 + 3 * 6 + 6 * 6)


def test_sums_added_in_a_residual_stay_sums_and_are_folded():
    rng = np.random.default_rng(3)
    way = [nn.Sequential(binary(rng, 3, 4, kernel, padding=kernel // 2)) for kernel in (3, 1)]
    block = ResidualModule(*way)
    module = nn.Sequential(
        Affine2d(torch.ones(3), torch.full((3,), -100.0)).double(), Sign(), block, norm(rng, 4),
        Sign(), nn.Flatten(), linear(rng, 256, 5),
    ).eval()  # fmt: skip
    network = check(module, IMAGE, images(rng, 60, IMAGE))
    assert network.values[2].kind == "sums"
    assert kinds(network.steps) == [Threshold, Residual, Threshold, Convolution]


def test_every_sum_of_every_channel_has_the_modules_sign():
    """All 2^9 patches of signs: means are such sums, so that ties occur."""
    rng = np.random.default_rng(7)
    stem = Affine2d(torch.ones(1), torch.full((1,), -1.0)).double()
    module = nn.Sequential(
        stem, Sign(-1), binary(rng, 1, 40, 3), norm(rng, 40), Sign(), nn.Flatten(),
        linear(rng, 40, 3),
    ).eval()  # fmt: skip
    network = packed(module, (1, 3, 3))
    bits = (np.arange(2**9)[:, None] >> np.arange(9)) & 1
    pixels = (2 * bits).reshape(-1, 1, 3, 3).astype(np.uint8)
    x = torch.tensor(pixels, dtype=torch.float64)
    with torch.no_grad():
        sums, normed, signs = (module[:n](x)[:, :, 0, 0].numpy() for n in (3, 4, 5))
    assert (normed == 0).any()  # ties there were
    threshold = network.steps[2]
    plus = np.where(threshold.above, sums >= threshold.limit, sums <= threshold.limit)
    assert np.array_equal(plus, signs > 0)
    assert np.isinf(threshold.limit).any()  # those with γ = 0
    assert not threshold.above.all()
    assert threshold.above.any()
    assert np.array_equal(network.predict(pixels), outputs(module, pixels).argmax(axis=1))


def test_what_is_folded_and_what_stays():
    rng = np.random.default_rng(5)
    module = nn.Sequential(
        affine(rng, 3, size=0.01), real(rng, 3, 4, 3, padding=1), nn.Dropout2d(), norm(rng, 4),
        nn.ReLU(), scale(rng, 4), affine(rng, 4), nn.Hardtanh(), Sign(),
        binary(rng, 4, 4, 3), nn.MaxPool2d(2), norm(rng, 4), Sign(), Sign(), nn.MaxPool2d(2, 1),
        binary(rng, 4, 6, 1), norm(rng, 6), nn.MaxPool2d(2), Sign(), real(rng, 6, 3, 1),
        norm(rng, 3), nn.ReLU(), scale(rng, 3), affine(rng, 3), nn.Hardtanh(-0.5, 2.0),
    ).eval()  # fmt: skip
    network = check(module, IMAGE, images(rng, 50, IMAGE))
    assert kinds(network.steps) == [
        Affine, Convolution, Threshold, BinaryConvolution, MaxPool, Threshold, MaxPool,
        BinaryConvolution, Threshold, MaxPool, Convolution, Affine, Clamp, Scale, Affine, Clamp,
    ]  # fmt: skip


def test_max_pooling_behind_a_falling_normalisation_is_not_folded():
    rng = np.random.default_rng(8)
    falling = norm(rng, 4)
    falling.weight.data = -falling.weight.data.abs()
    module = nn.Sequential(
        real(rng, 3, 4, 1), Sign(), binary(rng, 4, 4, 3), falling, nn.MaxPool2d(2), norm(rng, 4),
        Sign(), nn.Flatten(), linear(rng, 36, 4),
    ).eval()  # fmt: skip
    network = check(module, IMAGE, images(rng, 80, IMAGE))
    assert kinds(network.steps) == [
        Convolution, Threshold, BinaryConvolution, Affine, MaxPool, Threshold, Convolution,
    ]  # fmt: skip


def test_batch_normalisation_is_rounded_as_in_torch():
    rng = np.random.default_rng(9)
    module = nn.Sequential(norm(rng, 40, whole=False))
    module[0].eps = 3e-4
    bare = nn.BatchNorm2d(40, affine=False, dtype=torch.float64)
    bare.running_var = torch.tensor(rng.uniform(0.1, 2, 40))
    module.append(bare)
    network = packed(module.eval(), (40, 1, 1))
    pixels = rng.integers(0, 256, (300, 40, 1, 1), dtype=np.uint8)
    assert np.array_equal(network.outputs(pixels), outputs(module, pixels))
    assert np.array_equal(outputs(network.to_torch(), pixels), outputs(module, pixels))


def test_thresholds_come_back_from_torch_as_they_were():
    limits = [-np.inf, np.inf, -np.inf, np.inf, 0.0, 0.1, 3e-310, 100.0, 254.5, 200.0]
    above = np.array([True, True, False, False, True, True, True, False, True, False])
    head = Convolution(np.random.default_rng(1).normal(size=(3, 10, 1, 1)))
    network = ConvolutionalNetwork((10, 1, 1), (Threshold(np.array(limits), above), head))
    again = packed(network.to_torch(), (10, 1, 1)).steps[0]
    finite = np.isfinite(limits)
    assert np.array_equal(again.limit[finite], np.array(limits)[finite])
    assert np.array_equal(again.above[finite], above[finite])
    always = [(True, -np.inf), (True, np.inf), (True, np.inf), (True, -np.inf)]
    assert list(zip(again.above, again.limit, strict=True))[:4] == always


def test_steps_that_no_module_has_made():
    rng = np.random.default_rng(2)
    steps = (
        Clamp(3, 200), Threshold(np.full(2, 90.0), np.array([True, False])), MaxPool(3, 1, 1),
        BinaryConvolution(rng.integers(0, 2, (4, 2, 3, 2)), (2, 1), (1, 1), "minus-one"),
        Residual((Scale(rng.normal(size=4)),)), Residual((), (Clamp(1, 1),)), AvgPool((2, 3), 2),
        Convolution(rng.normal(size=(3, 4, 2, 2)), rng.normal(size=3)), Affine(*np.ones((2, 3))),
    )  # fmt: skip
    network = ConvolutionalNetwork((2, 7, 5), steps)
    pixels = images(rng, 30, (2, 7, 5))
    found = outputs(network.to_torch(), pixels)
    np.testing.assert_allclose(found, network.outputs(pixels), rtol=1e-12)
    twice = packed(network.to_torch(), (2, 7, 5))
    assert np.array_equal(twice.predict(pixels), network.predict(pixels))


def test_a_flattened_image_is_in_the_order_of_channels_rows_and_columns():
    rng = np.random.default_rng(4)
    module = nn.Sequential(nn.Flatten(), linear(rng, 2 * 3 * 4, 5))
    weight = packed(module, (2, 3, 4)).steps[0].weight
    assert np.array_equal(weight, module[1].weight.detach().reshape(5, 2, 3, 4).numpy())


def test_a_dense_network_with_signs_behind_flatten():
    rng = np.random.default_rng(6)
    module = nn.Sequential(
        affine(rng, 2, size=0.01), norm(rng, 2), nn.Flatten(), nn.Hardtanh(), Sign(),
        linear(rng, 24, 7, ones=True), norm(rng, 7, kind=nn.BatchNorm1d), scale(rng, 7),
        affine(rng, 7), Sign(-1), linear(rng, 7, 3, ones=True),
    ).eval()  # fmt: skip
    network = check(module, (2, 3, 4), images(rng, 50, (2, 3, 4)))
    assert kinds(network.steps) == [Threshold, BinaryConvolution] * 2
    assert network.outputs(images(rng, 5, (2, 3, 4))).dtype == np.int64


def test_weights_of_one_size_that_are_not_ones_stay_real():
    rng = np.random.default_rng(6)
    half = binary(rng, 3, 4, 8)
    half.weight.data *= 0.5
    module = nn.Sequential(affine(rng, 3), Sign(), half)
    assert kinds(check(module, IMAGE, images(rng, 20, IMAGE)).steps) == [Threshold, Convolution]


def test_the_mean_of_signs_is_a_real_number():
    """And its sign one again."""
    rng = np.random.default_rng(18)
    parts = [
        real(rng, 3, 5, 3),
        Sign(),
        nn.AvgPool2d(2),
        norm(rng, 5),
        Sign(),
        binary(rng, 5, 7, 2),
    ]
    module = nn.Sequential(*parts, Sign(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear(rng, 7, 3))
    network = check(module.eval(), IMAGE, images(rng, 40, IMAGE))
    assert kinds(network.steps)[1:4] == [Threshold, AvgPool, Threshold]


def test_a_module_without_numbers_is_packed():
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    network = packed(module, (3, 4, 4))
    pixels = images(np.random.default_rng(19), 5, (3, 4, 4))
    np.testing.assert_array_equal(network.outputs(pixels), pixels.mean(axis=(2, 3)))


def test_ones_on_real_numbers_stay_real():
    rng = np.random.default_rng(6)
    module = nn.Sequential(binary(rng, 3, 4, 8))
    assert kinds(check(module, IMAGE, images(rng, 20, IMAGE)).steps) == [Convolution]


def test_one_module_may_stand_in_several_places():
    rng = np.random.default_rng(10)
    sign, twice = Sign(), binary(rng, 4, 4, 3, padding=1)
    module = nn.Sequential(
        real(rng, 3, 4, 1), sign, twice, sign, twice, sign, nn.Flatten(), linear(rng, 256, 3)
    )
    network = check(module, IMAGE, images(rng, 30, IMAGE))
    assert kinds(network.steps).count(BinaryConvolution) == 2


class Signs(nn.Module):
    def forward(self, weight):
        return torch.where(weight >= 0, 1.0, -1.0).to(weight.dtype)


def test_parametrised_weights_are_those_that_are_computed():
    rng = np.random.default_rng(11)
    hidden = real(rng, 4, 4, 3, bias=False)
    parametrize.register_parametrization(hidden, "weight", Signs())
    module = nn.Sequential(
        real(rng, 3, 4, 1), Sign(), hidden, nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    network = packed(module)
    pixels = images(rng, 30, IMAGE)
    assert network.n_binary == 144
    assert np.array_equal(network.predict(pixels), outputs(module, pixels).argmax(axis=1))


def test_a_module_is_not_changed_and_draws_nothing():
    rng = np.random.default_rng(12)
    module = residual_network(rng).float()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.random.get_rng_state()
    network = packed(module)
    network.to_torch()
    assert torch.equal(torch.random.get_rng_state(), expected)
    after = module.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert next(module.parameters()).dtype == torch.float32


# -- warnings --------------------------------------------------------------------------------------


def test_a_module_in_train_mode_is_packed_as_in_eval_mode_with_a_warning():
    module = residual_network(np.random.default_rng(0)).train()
    with pytest.warns(
        UserWarning, match=r"eval mode: as it is, \d+ of 64 random images get"
    ) as caught:
        network = ConvolutionalNetwork.from_torch(module, image=IMAGE)
    assert caught[0].filename == __file__
    assert module.training
    pixels = images(np.random.default_rng(1), 30, IMAGE)
    assert np.array_equal(network.predict(pixels), outputs(module, pixels).argmax(axis=1))


def test_a_module_of_sixteen_bits_comes_with_a_warning():
    module = residual_network(np.random.default_rng(0)).bfloat16()
    with pytest.warns(UserWarning, match=r"in bfloat16 \d+ of 64 random images get another class"):
        packed(module)


class Other(ConvolutionalNetwork):
    """A network whose outputs are `more` than they should be, of the last class."""

    more = 0.0

    def outputs(self, pixels):
        found = super().outputs(pixels).astype(np.float64)
        found[:, -1] += self.more * np.abs(found).max()
        return found


def test_classes_that_rounding_decides_come_with_a_warning():
    class Later(Other):
        more = 1e-15

    twice = linear(np.random.default_rng(0), 4, 2)
    twice.weight.data[1], twice.bias.data[1] = twice.weight.data[0], twice.bias.data[0]
    module = nn.Sequential(nn.Flatten(), twice)
    with pytest.warns(UserWarning, match=r"On 64 of 64 random images the module's class depends"):
        Later.from_torch(module, image=(1, 2, 2))


def test_other_outputs_than_the_modules_are_an_error():
    class Wrong(Other):
        more = 1e-3

    module = nn.Sequential(nn.Flatten(), linear(np.random.default_rng(0), 4, 2))
    with pytest.raises(
        ConfigurationError, match=r"The packed network gives other outputs .* images"
    ):
        Wrong.from_torch(module, image=(1, 2, 2))
    network = packed(module, (1, 2, 2))
    with pytest.raises(ConfigurationError, match="The torch module gives other outputs"):
        Wrong(network.image, network.steps).to_torch()
