"""Packed networks against the torch modules that they come from, in float64, ties included."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils import parametrize

from qhyper.data.images import images_availability, load_images
from qhyper.errors import ConfigurationError
from qhyper.targets.packed.inputs import pack_pixels
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.shape import PackedShape
from qhyper.targets.packed.torch_module import Affine, Votes, to_torch
from qhyper.targets.sign import Sign


def module(rng, layers, *, bias, norm, label_bits=None, of_zero=1):
    """A binary network; means and biases are whole numbers, so that sums of 0 behind them occur."""
    parts = []
    for k, (n_in, n_out) in enumerate(itertools.pairwise(layers)):
        linear = torch.nn.Linear(n_in, n_out, bias=bias)
        linear.weight.data = torch.tensor(rng.choice([-1.0, 1.0], (n_out, n_in)))
        if bias:
            linear.bias.data = torch.tensor(rng.integers(-3, 4, n_out) * 1.0)
        parts.append(linear)
        if norm:
            batch_norm = torch.nn.BatchNorm1d(n_out)
            batch_norm.weight.data = torch.tensor(rng.normal(size=n_out))
            batch_norm.weight.data[0] = 0  # a unit that is always the same
            batch_norm.bias.data = torch.tensor(rng.normal(size=n_out) * rng.integers(0, 2, n_out))
            batch_norm.running_mean = torch.tensor(rng.integers(-3, 4, n_out) * 1.0)
            batch_norm.running_var = torch.tensor(rng.uniform(0.1, n_in, n_out))
            parts.append(batch_norm)
        if k < len(layers) - 2 or label_bits:
            parts.append(Sign(of_zero))
    if label_bits:
        parts.append(Votes(label_bits))
    return torch.nn.Sequential(*parts).eval()


def outputs(network, x, inputs):
    as_seen = 2.0 * x - 1 if inputs == "signs" else 1.0 * x
    network = network.double().eval()
    with torch.no_grad():
        return network(torch.tensor(as_seen, dtype=torch.float64)).numpy()


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    layers=st.lists(st.sampled_from((1, 3, 6, 12, 64, 65, 100)), min_size=2, max_size=4),
    bias=st.booleans(),
    norm=st.booleans(),
    label_bits=st.sampled_from((None, None, 1, 3)),
    inputs=st.sampled_from(("signs", "pixels")),
    of_zero=st.sampled_from((1, -1)),
    seed=st.integers(0, 2**20),
)
def test_predictions_are_the_modules(layers, bias, norm, label_bits, inputs, of_zero, seed):
    rng = np.random.default_rng(seed)
    if label_bits and layers[-1] % label_bits:
        label_bits = 1
    net = module(rng, layers, bias=bias, norm=norm, label_bits=label_bits, of_zero=of_zero)
    high = 2 if inputs == "signs" else rng.choice([3, 256])
    x = rng.integers(0, high, (200, layers[0]))
    packed = PackedNetwork.from_torch(net, inputs=inputs)
    expected = outputs(net, x, inputs)
    np.testing.assert_allclose(packed.outputs(x), expected, rtol=1e-12, atol=1e-9)
    assert np.array_equal(packed.predict(x), expected.argmax(axis=1))
    # and back
    again = packed.to_torch()
    np.testing.assert_allclose(outputs(again, x, inputs), packed.outputs(x), rtol=1e-12, atol=1e-9)
    twice = PackedNetwork.from_torch(again, inputs=inputs)
    assert np.array_equal(twice.words, packed.words)
    assert np.array_equal(twice.limits, packed.limits)


def test_every_sum_of_every_unit_has_the_modules_sign():
    """All sums that 11 inputs can make, with means that are such sums and shifts of 0."""
    rng = np.random.default_rng(7)
    net = module(rng, (11, 40, 2), bias=False, norm=True)
    packed = PackedNetwork.from_torch(net, inputs="signs")
    x = (np.arange(2**11)[:, None] >> np.arange(11)) & 1
    assert np.array_equal(packed.predict(x), outputs(net, x, "signs").argmax(axis=1))
    hidden = net[:3].double().eval()
    with torch.no_grad():
        signs = hidden(torch.tensor(2.0 * x - 1, dtype=torch.float64)).numpy()
    first = packed.shape.unpack(packed.words)[0]
    differing = (x[:, None, :] != first[None]).sum(axis=2)
    assert np.array_equal(differing <= packed.limits, signs > 0)
    with torch.no_grad():
        before = hidden[:2](torch.tensor(2.0 * x - 1, dtype=torch.float64))
    assert (before == 0).any()  # ties there were


@pytest.mark.parametrize("inputs", ["signs", "pixels"])
@pytest.mark.parametrize("layers", [(30, 9, 4), (6, 4)])
def test_ties_behind_the_last_batch_normalisation(layers, inputs):
    """Equal variances and whole means: many outputs are equal, but for torch's rounding."""
    nearest = np.inf
    for seed in range(6):
        rng = np.random.default_rng(seed)
        net = module(rng, layers, bias=False, norm=True)
        net[-1] = torch.nn.BatchNorm1d(4)
        net[-1].weight.data = torch.tensor([1.0, 1.0, 3.0, 3.0] if seed % 2 else [1.0] * 4)
        net[-1].running_mean = torch.arange(4.0)
        net[-1].running_var = torch.full((4,), 2.7)
        x = rng.integers(0, 2 if inputs == "signs" else 4, (5000, layers[0]))
        expected = outputs(net, x, inputs)
        nearest = min(nearest, np.diff(np.sort(expected)[:, -2:]).min())
        packed = PackedNetwork.from_torch(net, inputs=inputs)
        assert np.array_equal(packed.predict(x), expected.argmax(axis=1))
    assert nearest < 1e-14


def test_a_module_is_not_changed_by_packing():
    net = module(np.random.default_rng(0), (5, 4, 3), bias=True, norm=True).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.warns(UserWarning, match="The module is in train mode"):
        PackedNetwork.from_torch(net, inputs="signs")
    assert net.training
    assert net[0].weight.dtype == torch.float64 or net[0].weight.dtype == torch.float32
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])
        assert tensor.dtype == before[name].dtype


class ByMode(torch.nn.Module):
    """Weights of the opposite sign in train mode."""

    def forward(self, weight):
        return -weight if self.training else weight


def in_train_mode(part):
    net = module(np.random.default_rng(3), (8, 6, 3), bias=False, norm=True).double()
    if part == "normalisation":
        net[1].train()
    elif part == "dropout":
        net.insert(3, torch.nn.Dropout(0.5).train())
    else:
        parametrize.register_parametrization(net[0], "weight", ByMode(), unsafe=True)
        net[0].train()
    return net


@pytest.mark.parametrize("part", ["normalisation", "dropout", "parametrisation"])
def test_a_module_in_train_mode_is_packed_in_eval_mode_with_a_warning(part):
    net = in_train_mode(part)
    modes = [each.training for each in net.modules()]
    state = torch.get_rng_state()
    with pytest.warns(
        UserWarning, match=r"\d+ of 1000 random rows get another class\. Comp"
    ) as caught:
        packed = PackedNetwork.from_torch(net, inputs="signs")
    assert [warning.filename for warning in caught] == [__file__]
    assert torch.equal(torch.get_rng_state(), state)
    assert [each.training for each in net.modules()] == modes
    x = np.random.default_rng(0).integers(0, 2, (300, 8))
    seen = torch.from_numpy(2.0 * x - 1)
    with torch.no_grad():
        assert (net(seen).argmax(1).numpy() != packed.predict(x)).any()
        assert np.array_equal(net.eval()(seen).argmax(1).numpy(), packed.predict(x))


def test_a_single_output_is_a_class_by_its_sign():
    net = module(np.random.default_rng(3), (8, 6, 1), bias=False, norm=True).train()
    net[-1].weight.data.fill_(1)
    with pytest.warns(UserWarning, match=r"is in train mode, .* random rows get another class"):
        PackedNetwork.from_torch(net, inputs="signs")


def test_train_mode_that_changes_nothing_is_no_matter():
    net = module(np.random.default_rng(3), (8, 6, 3), bias=False, norm=False).train()
    assert PackedNetwork.from_torch(net, inputs="signs").shape.layers == (8, 6, 3)


class Drawn(torch.nn.Module):
    """Random signs, others each time."""

    def forward(self, weight):
        return torch.where(torch.rand_like(weight) < 0.5, weight, -weight)


def with_a_dead_unit():
    net = module(np.random.default_rng(3), (8, 6, 3), bias=False, norm=True).double()
    net[0].bias = torch.nn.Parameter(torch.linspace(-1, 1, 6).double() / 7)
    net[1].weight.data[0] = net[1].bias.data[0] = 0
    return net


def test_a_dead_unit_leaves_rows_to_compare():
    """Behind gamma = beta = 0 all sums are 0: that is no tie, and hides no random weights."""
    net = with_a_dead_unit()
    x = np.random.default_rng(0).integers(0, 2, (300, 8))
    packed = PackedNetwork.from_torch(net, inputs="signs")
    assert np.array_equal(packed.predict(x), outputs(net, x, "signs").argmax(axis=1))
    parametrize.register_parametrization(net[0], "weight", Drawn(), unsafe=True)
    with pytest.raises(ConfigurationError, match=r"gives other outputs .* on \d+ of 1000 random"):
        PackedNetwork.from_torch(net, inputs="signs")


def linear(*sizes, value=1.0):
    part = torch.nn.Linear(*sizes, bias=False)
    torch.nn.init.constant_(part.weight, value)
    return part


def sequential(*parts):
    return torch.nn.Sequential(*parts)


def variance(value, **options):
    norm = torch.nn.BatchNorm1d(5, **options)
    norm.running_var.fill_(value)
    return norm


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (linear(2, 2), "Got Linear; expected a torch.nn.Sequential of Linear"),
        (sequential(), "Got Sequential; expected"),
        (sequential(torch.nn.ReLU(), linear(2, 2)), "Got ReLU in layer 0; expected"),
        (sequential(linear(2, 2), torch.nn.ReLU(), linear(2, 2)), "Got ReLU in layer 1"),
        (sequential(linear(2, 2), linear(2, 2)), "Got Linear in layer 1"),
        (sequential(linear(2, 2), Sign()), "Got Sign behind the last Linear and no Votes"),
        (sequential(linear(2, 2), Votes(1)), "Got no Sign behind the last Linear and Votes"),
        (sequential(linear(2, 2, value=0.5)), r"weight 0.5 in layer 0; expected -1 and \+1 alone"),
        (sequential(linear(2, 2, value=0.0)), "weight 0 in layer 0"),
        (sequential(linear(2, 2), Sign(0), linear(2, 2)), r"Got Sign\(of_zero=0\) in layer 0"),
        (
            sequential(linear(2, 2), torch.nn.BatchNorm1d(2, track_running_stats=False)),
            "BatchNorm1d of layer 0 has no running statistics",
        ),
        (
            sequential(linear(2, 2), Affine(np.ones(2), np.array([0, np.nan]))),
            "not finite in layer 0",
        ),
        (sequential(linear(2, 4), Sign(), Votes(3)), "4 units, which are no whole number"),
        (sequential(Votes(1)), "Got no Linear; expected"),
        (
            sequential(torch.nn.ReLU(), torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten()),
            r"Got ReLU in layer 0; .* networks are packed by ConvolutionalNetwork.from_torch\.",
        ),
        (torch.nn.Conv2d(1, 2, 3), r"Got Conv2d; .* packed by ConvolutionalNetwork.from_torch\."),
        (
            sequential(linear(3, 5), Sign(), linear(4, 2)),
            "Layer 1 takes 4 inputs, but the one before it has 5 units",
        ),
        (
            sequential(linear(3, 5), torch.nn.BatchNorm1d(4), Sign(), linear(5, 2)),
            "BatchNorm1d of layer 0 has 4 units .* expected 5 units",
        ),
        (
            sequential(linear(3, 5), torch.nn.BatchNorm1d(5, eps=-1e-5), Sign(), linear(5, 2)),
            "BatchNorm1d of layer 0 has eps = -1e-05, .* expected 0 or more",
        ),
        (
            sequential(linear(3, 5), variance(-1.0), Sign(), linear(5, 2)),
            "variances from -1; expected 5 units and variances above 0",
        ),
        (
            sequential(linear(3, 5), variance(0.0, eps=0.0), Sign(), linear(5, 2)),
            "variances from 0; expected 5 units and variances above 0",
        ),
    ],
)
def test_other_modules_are_refused(net, message):
    with pytest.raises(ConfigurationError, match=message):
        PackedNetwork.from_torch(net, inputs="signs")


def test_what_does_nothing_in_eval_mode_is_left_out():
    net = sequential(torch.nn.Identity(), linear(2, 3), torch.nn.Dropout(0.5)).eval()
    assert PackedNetwork.from_torch(net, inputs="signs").shape.layers == (2, 3)


def test_an_unknown_kind_of_inputs_is_refused():
    with pytest.raises(ConfigurationError, match=r"kind of inputs 'pixel'\. Did you mean"):
        PackedNetwork.from_torch(sequential(linear(2, 2)), inputs="pixel")


def test_other_planes_have_no_torch_module():
    shape = PackedShape((3, 2))
    network = PackedNetwork(shape, np.zeros(2, np.uint64), shape.limits(), planes=3)
    with pytest.raises(ConfigurationError, match=r"inputs have 3 planes; expected 1 .* or 8"):
        to_torch(network)


@pytest.mark.parametrize("inputs", ["signs", "pixels"])
def test_every_test_image_at_full_size(inputs):
    """784-1024-10 with batch normalisations, on Fashion-MNIST's 10,000 test images."""
    if not images_availability("fashion-mnist").startswith("found"):
        pytest.skip("Fashion-MNIST is not here: set QHYPER_DATA to the folder that holds it")
    test = load_images("fashion-mnist")[1]
    x = test.bits if inputs == "signs" else test.pixels
    net = module(np.random.default_rng(4), (784, 1024, 10), bias=False, norm=True)
    packed = PackedNetwork.from_torch(net, inputs=inputs)
    packed_x = packed.pack(x)
    assert np.array_equal(packed.predict(packed_x), outputs(net, x, inputs).argmax(axis=1))


def test_pixels_are_eight_planes():
    packed = PackedNetwork.from_torch(sequential(linear(3, 2)), inputs="pixels")
    assert packed.planes == 8
    assert packed.outputs(pack_pixels([[1, 2, 255]])).tolist() == [[258.0, 258.0]]
