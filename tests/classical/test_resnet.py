"""ResNet18: parameter counts, eval mode as plain layers, training, and bad input."""

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from classical.fit_images import accuracy, fit_images
from classical.residual_blocks import Convolution
from classical.resnet import ResNet18
from qhyper.data.images import Images
from qhyper.errors import ConfigurationError

SMALL = (3, 8, 16)
ABLATIONS = [
    {},
    {"preactivation": False},
    {"recu": False},
    {"shift": 0.3},
    {"shift": 0.3, "preactivation": False},
    {"precision": "cyclic"},
    {"weights": "real"},
    {"weights": "real", "preactivation": False},
    {"weights": "real", "precision": "cyclic"},
]


def made_images(n, seed, shape=SMALL):
    """Images of four classes, by where they are bright."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    pixels = rng.integers(0, 120, (n, *shape))
    for image, label in zip(pixels, labels, strict=True):
        image[:, :, 4 * label : 4 * label + 4] += 100
    return Images(pixels.reshape(n, -1).astype(np.uint8), labels, shape)


def planes(n, seed, image=SMALL):
    drawn = np.random.default_rng(seed).integers(0, 256, (n, *image), dtype=np.uint8)
    return torch.from_numpy(drawn)


def trained(seed=0, **options):
    """A network after two steps, so that no statistics or factors are as they start."""
    network = ResNet18(SMALL, 4, width=1 / 16, seed=seed, **options)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.05)
    images = made_images(32, seed)
    for step in range(2):
        network.train()
        network.begin_step(step, 2)
        loss = cross_entropy(network(network.inputs_of(images)), torch.tensor(images.labels))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        network.after_step()
    return network.eval()


def count(*, classes, **options):
    network = ResNet18((3, 32, 32), classes, **options)
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("classes", "expected"), [(10, 11_005_002), (100, 11_051_172)])
def test_at_full_width_it_has_the_parameters_of_recu(classes, expected):
    assert count(classes=classes, preactivation=False) == expected
    parts = 1_728 + 10_985_472 + 3_840 + 7_808 + 1_024 + 512 * classes + classes
    assert parts == expected


def test_the_numbers_of_parameters_of_other_architectures_differ_by_what_they_lack():
    # a preactivated block normalises what goes in, of fewer channels where a stage begins
    fewer = 2 * (64 + 128 + 256)
    assert count(classes=10) == 11_005_002 - fewer
    factors, last_norm, projections = 3_840, 1_024, 64 * 128 + 128 * 256 + 256 * 512
    # the standard one for CIFAR, with 1×1 convolutions in shortcuts, and normalisation behind them
    standard = {10: 11_173_962, 100: 11_220_132}
    norms = 2 * (128 + 256 + 512)
    for classes, printed in standard.items():
        ours = count(classes=classes, weights="real", preactivation=False)
        assert ours == count(classes=classes, preactivation=False) - factors
        assert ours == printed - projections - norms + last_norm
    # preactivated, with 1×1 convolutions alone, and no normalisation of the first layer
    preactivated = count(classes=10, weights="real")
    assert preactivated == 11_171_146 - projections + 2 * 64 + last_norm


@pytest.mark.parametrize("options", ABLATIONS)
def test_the_evaluation_network_is_eval_mode_in_plain_layers(options):
    network = trained(**options)
    x = planes(40, 1)
    plain = network.evaluation_network()
    exact = copy.deepcopy(network).double()
    with torch.no_grad():
        expected, found = exact(x), plain(x.double())
        single = network(x)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert torch.equal(found.argmax(1), expected.argmax(1))
    assert (single.argmax(1) == found.argmax(1)).float().mean() > 0.9
    binary = [
        module.weight for module in plain.modules()
        if isinstance(module, torch.nn.Conv2d) and set(module.weight.unique().tolist()) == {-1, 1}
    ]  # fmt: skip
    assert len(binary) == (0 if options.get("weights") == "real" else 16)
    assert not any(isinstance(module, Convolution) for module in plain.modules())
    own = {tensor.data_ptr() for tensor in network.state_dict().values()}
    assert not own & {tensor.data_ptr() for tensor in plain.state_dict().values()}


@pytest.mark.parametrize("options", ABLATIONS)
def test_all_parameters_get_a_gradient(options):
    network = ResNet18(SMALL, 4, width=1 / 16, **options)
    network.begin_step(0, 64)
    x = planes(16, 2)
    cross_entropy(network(x), torch.arange(16) % 4).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.count_nonzero(parameter.grad) > 0, name


def test_training_and_eval_mode_differ_by_normalisation_alone_in_floating_point():
    for options in ABLATIONS:
        network = trained(**{**options, "precision": "float"})
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
                module.momentum = 1.0
        x = planes(64, 3)
        with torch.no_grad():
            first = network.train()(x)
            found = network.eval()(x)
        # running variances are of n - 1
        assert (first.argmax(1) == found.argmax(1)).float().mean() > 0.8


def test_a_shift_is_another_beginning_of_the_biases():
    shifted, plain = ResNet18(SMALL, 4, width=1 / 16, shift=0.4), ResNet18(SMALL, 4, width=1 / 16)
    with torch.no_grad():
        for block in plain.blocks:
            for norm in (block.norm1, block.norm2):
                norm.bias -= 0.4
    x = planes(8, 4)
    assert torch.equal(shifted(x), plain(x))


def test_cyclic_precision_is_of_training_alone_and_of_every_binary_layer():
    network = ResNet18(SMALL, 4, width=1 / 16, precision="cyclic", cycles=2)
    x = planes(16, 5)
    found = []
    for step in (0, 9, 10, 19):
        network.begin_step(step, 20)
        found.append(network.phase.bits)
        gradient = torch.autograd.grad(network(x).sum(), network.blocks[0].convolution1.weight)
        assert torch.isfinite(gradient[0]).all()
    assert found == [3, 8, 3, 8]
    network.eval()
    few = network(x)
    network.set_bits(None)
    assert torch.equal(few, network(x))
    floating = ResNet18(SMALL, 4, width=1 / 16)
    floating.begin_step(0, 20)
    assert floating.phase.bits is None


def of_few_bits(bits, **options):
    """Logits of training, and a gradient, in float64."""
    # with a shift, what is normalised to 0 but for rounding is not at the limit of a sign
    network = ResNet18(SMALL, 4, width=1 / 4, shift=0.3, **options).double()
    network.set_bits(bits)
    logits = network(planes(16, 6))
    (gradient,) = torch.autograd.grad(logits.square().sum(), network.blocks[0].convolution1.weight)
    return logits, gradient


@pytest.mark.parametrize("recu", [True, False])
@pytest.mark.parametrize("preactivation", [True, False])
def test_few_bits_of_what_signs_are_taken_of_change_gradients_alone(recu, preactivation):
    options = {"recu": recu, "preactivation": preactivation}
    exact, gradient = of_few_bits(None, **options)
    for bits in (2, 3, 8):
        few, other = of_few_bits(bits, **options)
        assert torch.equal(few, exact)
        assert not torch.allclose(other, gradient)


def test_few_bits_of_real_weights_change_what_is_computed():
    assert not torch.equal(of_few_bits(3, weights="real")[0], of_few_bits(None, weights="real")[0])


def test_tau_rises_with_the_epochs():
    network = ResNet18(SMALL, 4, width=1 / 64)
    taus = []
    for number in (1, 2, 3):
        network.begin_epoch(number, 3)
        taus.append(network.phase.tau)
    assert taus[0] == pytest.approx(0.85)
    assert taus == sorted(taus)
    assert taus[-1] < 0.99


def test_latent_weights_stay_in_range_without_recu():
    network = ResNet18(SMALL, 4, width=1 / 64, recu=False)
    latent = [m.weight for m in network.modules() if isinstance(m, Convolution)]
    with torch.no_grad():
        for weight in latent:
            weight.mul_(50)
    network.after_step()
    assert max(float(weight.detach().abs().max()) for weight in latent) == 1


@pytest.mark.parametrize("options", [{}, {"preactivation": False}, {"precision": "cyclic"}])
def test_a_small_one_learns_64_images_by_heart(options):
    images = made_images(64, 7)
    network = ResNet18(SMALL, 4, width=1 / 8, cycles=2, seed=1, **options)
    record = fit_images(network, images, images, epochs=40, batch=32, learning_rate=0.01)
    assert accuracy(network, images) == max(epoch.accuracy for epoch in record) == 1


@pytest.mark.parametrize("weights", ["binary", "real"])
def test_an_interrupted_training_ends_as_an_undisturbed_one(weights, tmp_path):
    images, held_out = made_images(48, 8), made_images(20, 9)

    def fit(network, path, **options):
        return fit_images(
            network, images, held_out, epochs=3, batch=16, learning_rate=0.01, checkpoint=path,
            **options,
        )  # fmt: skip

    def new():
        return ResNet18(
            SMALL, 4, width=1 / 32, weights=weights, precision="cyclic", cycles=2, seed=3
        )

    whole, halves = new(), new()
    expected = fit(whole, tmp_path / "whole")

    def stop(epoch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(new(), tmp_path / "halves", progress=stop)
    found = fit(halves, tmp_path / "halves")
    assert [(e.loss, e.accuracy) for e in found] == [(e.loss, e.accuracy) for e in expected]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, halves.state_dict()[name]), name


def test_the_same_seed_gives_the_same_network_and_nothing_is_drawn_globally():
    before = torch.get_rng_state()
    first, second = (ResNet18(SMALL, 4, width=1 / 64, seed=5) for _ in range(2))
    other = ResNet18(SMALL, 4, width=1 / 64, seed=6)
    for network in (first, second):
        network.begin_step(0, 1)
        network.evaluation_network()
    assert torch.equal(first.stem, second.stem)
    assert not torch.equal(first.stem, other.stem)
    assert torch.equal(torch.get_rng_state(), before)


def test_bad_settings_are_refused():
    for width, channels in ((1 / 128, "0.5"), (0, "0"), (0.3, "19.2"), (-0.25, "-16")):
        with pytest.raises(ConfigurationError, match=f"leaves {channels} channels of 64"):
            ResNet18(SMALL, 4, width=width)
    for width in (float("nan"), float("inf"), "0.25", None):
        with pytest.raises(ConfigurationError, match=f"width={width!r}.*Choose a multiple of 1/64"):
            ResNet18(SMALL, 4, width=width)
    for name in ("recu", "preactivation"):
        with pytest.raises(ConfigurationError, match=f"Got {name}='no'; expected True or False"):
            ResNet18(SMALL, 4, **{name: "no"})
    with pytest.raises(ConfigurationError, match="shift='a'; expected a finite number"):
        ResNet18(SMALL, 4, shift="a")
    with pytest.raises(ConfigurationError, match=r"image=3; expected \(channels, rows, columns\)"):
        ResNet18(3, 4)
    with pytest.raises(ConfigurationError, match=r"28 × 28 pixels.*Pad them, such as 28 to 32"):
        ResNet18((1, 28, 28), 10)
    with pytest.raises(ConfigurationError, match="kind of weights 'ternary'"):
        ResNet18(SMALL, 4, weights="ternary")
    with pytest.raises(ConfigurationError, match="precision 'static'"):
        ResNet18(SMALL, 4, precision="static")
    with pytest.raises(ConfigurationError, match="shift=inf; expected a finite number"):
        ResNet18(SMALL, 4, shift=float("inf"))
    with pytest.raises(ConfigurationError, match="cycles=0; expected 1 or more"):
        ResNet18(SMALL, 4, cycles=0)
    network = ResNet18(SMALL, 4, width=1 / 64)
    with pytest.raises(ConfigurationError, match="bits=99; expected 2 to 16"):
        network.set_bits(99)
    with pytest.raises(ConfigurationError, match=r"x of shape \(2, 3, 8, 8\)"):
        network(planes(2, 0, (3, 8, 8)))
    with pytest.raises(ConfigurationError, match="Make the network for these images"):
        network.inputs_of(made_images(3, 0, (1, 8, 16)))
