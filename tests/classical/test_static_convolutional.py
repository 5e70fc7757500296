"""Networks with own and generated kernels against plain torch; parameter counts as printed."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from classical.fit_images import fit_images
from classical.static_convolutional import (
    MNIST,
    Architecture,
    Generated,
    StaticConvolutional,
    vgg,
)
from qhyper.data.images import Images
from qhyper.errors import ConfigurationError
from qhyper.targets.convolutional.network import ConvolutionalNetwork

SMALL = Architecture(
    (2, 8, 8), kernel=3, blocks=((16, 16), (32,)), dense=(12,), dropout=0.3, dense_dropout=0.2,
    classes=3,
)  # fmt: skip


def made_images(n, seed=0):
    """Noisy copies of one image a class."""
    prototypes = np.random.default_rng(99).integers(0, 256, (3, 128))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    noise = rng.integers(-40, 41, (n, 128))
    return Images(np.clip(prototypes[labels] + noise, 0, 255).astype(np.uint8), labels, (2, 8, 8))


def spread(network, seed=1):
    """Biases that are not 0, and statistics of images."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.from_numpy(rng.normal(0, 0.1, parameter.shape)))
        network.train()
        network(torch.from_numpy(made_images(200).planes))
    return network.double().eval()


# -- parameters ------------------------------------------------------------------------------------

PRINTED = {
    # table 2, and 6 and 7
    ("mnist", 4, 4): 4_244, ("mnist", 4, 5): 5_108, ("mnist", 4, 6): 5_972,
    ("mnist", 5, 5): 5_189, ("mnist", 6, 6): 6_166, ("mnist", 4, 7): 6_836,
    ("mnist", 4, 8): 7_700, ("mnist", 7, 7): 7_175,
    # table 3
    (1, 4, 4): 1_044, (1, 6, 6): 1_686, (1, 4, 5): 1_268, (1, 4, 6): 1_492,
    # table 4
    (2, 4, 4): 1_056, (2, 6, 6): 1_722, (2, 8, 8): 2_504, (2, 16, 16): 6_912,
    # table 5
    (3, 8, 8): 2_696, (3, 8, 16): 7_196, (3, 16, 16): 7_196, (3, 32, 32): 22_640,
}  # fmt: skip
WRONG = {(2, 4, 4): 1_068, (3, 8, 16): 5_000, (3, 16, 16): 7_296}
"""What three of the printed numbers should be."""
OWN = {"mnist": 12_560, 1: 2_320, 2: 16_208, 3: 71_632}
WHOLE = {"mnist": 21_210, 1: 528_474, 2: 280_218, 3: 204_570}


def architecture(which):
    return MNIST if which == "mnist" else vgg(which)


@pytest.mark.parametrize("row", PRINTED, ids=str)
def test_parameters_of_generated_kernels_are_as_printed_but_for_three_errors(row):
    which, embedding, projection = row
    network = StaticConvolutional(architecture(which), generated=Generated(embedding, projection))
    f, n = network.architecture.kernel, {"mnist": 1, 1: 1, 2: 7, 3: 31}[which]
    formula = 16 * projection * (embedding + 1) + 16 * f**2 * (projection + 1) + n * embedding
    assert network.n_kernel == formula == WRONG.get(row, PRINTED[row])
    assert (network.n_kernel != PRINTED[row]) == (row in WRONG)


@pytest.mark.parametrize("which", OWN)
def test_parameters_of_own_kernels_and_of_whole_networks_are_as_printed(which):
    network = StaticConvolutional(architecture(which))
    whole = sum(parameter.numel() for parameter in network.parameters())
    assert (network.n_kernel, whole) == (OWN[which], WHOLE[which])
    first = sum(p.numel() for p in (network.first, network.first_bias))
    assert first + network.n_kernel + network.n_dense == whole


@pytest.mark.parametrize("generated", [None, Generated(4, 4)])
def test_binary_kernels_need_no_parameter_more(generated):
    real, binary = (
        StaticConvolutional(vgg(2), generated=generated, binary=binary) for binary in (False, True)
    )
    biases = 16 + 32 + 32 if generated is None else 0
    assert binary.n_kernel == real.n_kernel - biases
    assert binary.n_dense == real.n_dense


def test_a_generator_for_each_layer_has_the_parameters_of_each():
    tied, untied = (
        StaticConvolutional(vgg(2), generated=Generated(4, 4, tied=tied)) for tied in (True, False)
    )
    assert untied.n_kernel == 3 * (tied.n_kernel - 7 * 4) + 7 * 4
    biased = StaticConvolutional(vgg(2), generated=Generated(4, 4, bias=True))
    assert biased.n_kernel == tied.n_kernel + 16 + 32 + 32


# -- what is computed ------------------------------------------------------------------------------


def plain_logits(network, x, kernels):
    """The network of eval mode, of torch's modules alone."""
    h = (x.double() - 127.5) / 64
    weights = [network.first, *kernels]
    biases = [network.first_bias, *(network.biases or [None] * len(kernels))]
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        h = functional.conv2d(h, weight, bias, padding="same")
        if not network.binary:
            h = functional.relu(h)
        if number in (1, 2):
            h = functional.max_pool2d(h, 2)
        if network.binary:
            norm = network.norms[number]
            mean, variance = (v[:, None, None] for v in (norm.running_mean, norm.running_var))
            h = (h - mean) / torch.sqrt(variance + norm.eps)
            h = h.clip(-1, 1) if number == 2 else torch.where(h >= 0, 1.0, -1.0).double()
    (w1, w2), (b1, b2) = network.dense, network.dense_biases
    return functional.relu(h.flatten(1) @ w1.T + b1) @ w2.T + b2


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(
    "generated", [None, Generated(3, 2), Generated(3, 2, tied=False, bias=True)]
)
def test_logits_are_those_of_plain_torch(generated, binary):
    network = spread(StaticConvolutional(SMALL, generated=generated, binary=binary))
    x = torch.from_numpy(made_images(20, seed=3).planes)
    kernels = network.kernels()
    assert [tuple(kernel.shape) for kernel in kernels] == [(16, 16, 3, 3), (32, 16, 3, 3)]
    if binary:
        assert all(set(kernel.unique().tolist()) == {-1, 1} for kernel in kernels)
    torch.testing.assert_close(network(x), plain_logits(network, x, kernels), atol=1e-9, rtol=0)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("generated", [None, Generated(3, 2)])
def test_the_evaluation_network_has_the_same_logits_in_plain_layers(generated, binary):
    network = spread(StaticConvolutional(SMALL, generated=generated, binary=binary))
    state = torch.random.get_rng_state()
    plain = network.evaluation_network()
    assert torch.equal(torch.random.get_rng_state(), state)
    x = torch.from_numpy(made_images(20, seed=3).planes)
    with torch.no_grad():
        torch.testing.assert_close(plain(x.double()), network(x), atol=1e-9, rtol=0)
        network.first.zero_()
        assert plain[1].weight.any()  # a copy


def test_the_evaluation_network_scales_pixels_in_float64():
    network = spread(StaticConvolutional(dataclasses.replace(SMALL, shift=12.3, scale=99.9)))
    x = torch.from_numpy(made_images(20, seed=3).planes).double()
    with torch.no_grad():
        scaled = network.evaluation_network()[0](x)
    torch.testing.assert_close(scaled, (x - 12.3) / 99.9, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("generated", [None, Generated(3, 2)])
def test_the_evaluation_network_of_another_device_is_on_the_cpu(generated, monkeypatch):
    network = StaticConvolutional(SMALL, generated=generated, binary=True)
    norms = copy.deepcopy(network.norms)
    network.to("meta").norms = norms
    # nothing can be copied from `meta`; everything else is as on a device
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: torch.ones(x.shape, dtype=x.dtype))
    plain = network.evaluation_network()
    assert {tensor.device.type for tensor in plain.state_dict().values()} == {"cpu"}


def test_generated_kernels_are_put_together_and_scaled_layer_by_layer():
    network = StaticConvolutional(vgg(2), generated=Generated(4, 4), seed=3)
    (generator,) = network.generators
    basic = generator()
    first, second, third = network.kernels()
    torch.testing.assert_close(first, basic[0] * (2 / 144) ** 0.5)
    torch.testing.assert_close(second[16:], basic[2] * (2 / 144) ** 0.5)
    torch.testing.assert_close(third[16:, :16], basic[5] * (2 / 288) ** 0.5)
    as_they_are = StaticConvolutional(vgg(2), generated=Generated(4, 4, start=0.1), seed=3)
    (generator,) = as_they_are.generators
    torch.testing.assert_close(as_they_are.kernels()[2][16:, :16], generator()[5])


def test_gradients_of_generated_binary_kernels_pass_straight_through():
    network = StaticConvolutional(SMALL, generated=Generated(3, 2), binary=True)
    (generator,) = network.generators
    first, _ = network.kernels()
    (found,) = torch.autograd.grad(first.sum(), generator.B_out)
    (expected,) = torch.autograd.grad(generator()[0].sum(), generator.B_out)
    torch.testing.assert_close(found, expected * (2 / 144) ** 0.5)


def test_own_latent_weights_of_binary_kernels_stay_within_1():
    network = StaticConvolutional(SMALL, binary=True)
    with torch.no_grad():
        network.own[0].fill_(3)
        network.first.fill_(3)
    network.after_step()
    assert (network.own[0] == 1).all()
    assert (network.first == 3).all()


def test_kernels_of_all_layers_start_with_the_variance_of_he():
    network = StaticConvolutional(vgg(3), generated=Generated(900, 64))
    for kernel in network.kernels():
        assert kernel.var().item() * kernel[0].numel() / 2 == pytest.approx(1, abs=0.2)


# -- dropout ---------------------------------------------------------------------------------------


def test_dropout_keeps_the_mean_and_its_share():
    network = StaticConvolutional(SMALL).train()
    h = network._dropped(torch.ones(50, 16, 20, 20), 0.3)
    assert h.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert h.mean().item() == pytest.approx(1, abs=0.01)
    assert (h == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    network.eval()
    assert torch.equal(network._dropped(torch.ones(3), 0.3), torch.ones(3))


def test_dropout_draws_from_the_networks_own_stream():
    x = torch.from_numpy(made_images(5).planes)
    state = torch.random.get_rng_state()
    one, same, other = (StaticConvolutional(SMALL, seed=seed).train() for seed in (0, 0, 1))
    with torch.no_grad():
        other.load_state_dict({**one.state_dict()})
        first, second = one(x), one(x)
        assert torch.equal(first, same(x))
        assert torch.equal(second, same(x))
    assert not torch.equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), state)


# -- training --------------------------------------------------------------------------------------


@pytest.mark.parametrize("generated", [None, Generated(4, 4)])
@pytest.mark.parametrize("binary", [False, True])
def test_training_learns_noisy_copies(generated, binary):
    network = StaticConvolutional(SMALL, generated=generated, binary=binary)
    record = fit_images(
        network, made_images(300), made_images(100, seed=1), epochs=4, batch=30,
        learning_rate=0.005,
    )  # fmt: skip
    assert record[-1].loss < record[0].loss
    assert max(epoch.accuracy for epoch in record) > 0.9


def test_a_resumed_training_ends_as_an_undisturbed_one(tmp_path):
    class StopError(Exception):
        pass

    def stop(epoch):
        if epoch.number == 2:
            raise StopError

    def fit(network, **options):
        return fit_images(
            network, made_images(120), made_images(40, seed=1), epochs=4, batch=30,
            learning_rate=0.01, **options,
        )  # fmt: skip

    def new():
        return StaticConvolutional(SMALL, generated=Generated(3, 2))

    undisturbed, resumed, path = new(), new(), tmp_path / "state.pt"
    record = fit(undisturbed)
    with pytest.raises(StopError):
        fit(new(), checkpoint=path, progress=stop)
    again = fit(resumed, checkpoint=path)
    assert [epoch.loss for epoch in again] == [epoch.loss for epoch in record]
    for one, other in zip(undisturbed.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


# -- bad input -------------------------------------------------------------------------------------


def test_images_of_another_size_or_number_of_channels_are_refused():
    network = StaticConvolutional(SMALL)
    with pytest.raises(ConfigurationError, match=r"the network takes \(2, 8, 8\)"):
        network.inputs_of(Images(np.zeros((1, 128), np.uint8), np.zeros(1, np.int64), (2, 4, 16)))
    with pytest.raises(ConfigurationError, match=r"expected \[image, channel, row, column\]"):
        network(torch.zeros(1, 3, 8, 8))


def test_channels_that_cannot_be_generated_are_refused():
    odd = dataclasses.replace(SMALL, blocks=((16, 24),))
    StaticConvolutional(odd)
    with pytest.raises(ConfigurationError, match="24 channels out are no multiple of the 16"):
        StaticConvolutional(odd, generated=Generated(4, 4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": 4}, "Got kernel=4; expected an odd number"),
        ({"blocks": ()}, "channels out of one convolution or more in each block"),
        ({"blocks": ((16,), ())}, "channels out of one convolution or more in each block"),
        ({"image": (2, 3, 8)}, "2 maxima of 2 x 2 leave nothing"),
        ({"dropout": 1.0}, "Got dropout=1.0; expected a share from 0 to below 1"),
        ({"dense_dropout": -0.1}, "Got dense_dropout=-0.1; expected a share"),
        ({"scale": 0.0}, "a finite number above 0; got 0.0"),
        ({"scale": np.nan}, "a finite number above 0; got nan"),
        ({"scale": np.inf}, "a finite number above 0; got inf"),
        ({"scale": "a"}, "a finite number above 0; got 'a'"),
        ({"shift": np.nan}, "a shift is taken, a finite number; got nan"),
        ({"shift": -np.inf}, "a shift is taken, a finite number; got -inf"),
        ({"blocks": ((16, -16),)}, r"blocks=\(\(16, -16\),\); expected channels out"),
        ({"blocks": ((16.0,),)}, r"blocks=\(\(16.0,\),\); expected channels out"),
        ({"blocks": (16,)}, r"blocks=\(16,\); expected channels out"),
        ({"blocks": 16}, r"blocks=16; expected channels out"),
        ({"dense": (0,)}, r"dense=\(0,\); expected units"),
        ({"dense": 12}, r"dense=12; expected units"),
        ({"dropout": np.nan}, "Got dropout=nan; expected a share"),
        ({"image": 3}, r"image=3; expected \(channels, rows, columns\)"),
    ],
)
def test_an_architecture_that_cannot_be_is_refused(change, message):
    with pytest.raises(ConfigurationError, match=message):
        dataclasses.replace(SMALL, **change)


@pytest.mark.parametrize("start", [np.nan, 0, -0.1])
def test_a_start_that_cannot_be_is_refused(start):
    with pytest.raises(ConfigurationError, match=f"Got start={start!r}; expected the deviation"):
        StaticConvolutional(SMALL, generated=Generated(3, 2, start=start))


def test_what_is_neither_true_nor_false_is_refused():
    for name in ("tied", "bias"):
        with pytest.raises(ConfigurationError, match=f"Got {name}='no'; expected True or False"):
            Generated(3, 2, **{name: "no"})
    with pytest.raises(ConfigurationError, match="Got binary='no'; expected True or False"):
        StaticConvolutional(SMALL, binary="no")


@pytest.mark.parametrize("blocks", [0, 4, 1.0])
def test_vgg_has_1_to_3_blocks(blocks):
    with pytest.raises(ConfigurationError, match="expected 1, 2 or 3"):
        vgg(blocks)


# -- packed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("generated", [None, Generated(3, 2)])
def test_a_binary_network_is_packed_with_the_same_predictions(generated):
    network = spread(StaticConvolutional(SMALL, generated=generated, binary=True))
    plain = network.evaluation_network()
    packed = ConvolutionalNetwork.from_torch(plain, image=network.image)
    assert packed.n_binary == sum(kernel.numel() for kernel in network.kernels())
    images = made_images(200, seed=3)
    with torch.no_grad():
        expected = plain(torch.from_numpy(images.planes).double()).argmax(1)
    np.testing.assert_array_equal(packed.predict(images.planes), expected.numpy())
