import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from qhyper.errors import ConfigurationError, MissingError, StorageError
from qhyper.targets.layered.export import describe, to_onnx, to_torch
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layered.space import ACTIVATIONS, WeightSpace
from qhyper.targets.sign import Sign

EVERYTHING = {
    "biases": True,
    "values": [(-1, 1), (0, 1), (-2, 1), (-0.5, 0.75)],
    "activation": ("sign", "relu", "sigmoid", "tanh"),
    "optional": ("biases", "units", "layers"),
}
"""Whatever bits can choose, for layers of which one at least has as many units as inputs."""

SPACES = {
    "plain": WeightSpace((4, 6, 2)),
    "deep": WeightSpace((4, 5, 3, 1)),
    "no hidden layer": WeightSpace((4, 3)),
    "perceptron of values": WeightSpace(
        (4, 1), biases=True, values=((0, 1), (-1, 1), (-2, 1), (-3, 1))
    ),
    "biases": WeightSpace((4, 6, 2), biases=True),
    "optional biases": WeightSpace((4, 6, 2), biases=True, optional=("biases",)),
    "fractions": WeightSpace((4, 6, 2), biases=True, values=(-0.25, 1.5), activation="relu"),
    "sigmoid": WeightSpace((4, 5, 3), activation="sigmoid"),
    "tanh": WeightSpace((4, 4, 4, 2), activation="tanh", biases=True),
    "optional units": WeightSpace((4, 3, 2), biases=True, optional=("units",)),
    "optional layers": WeightSpace((4, 4, 4, 2), optional=("layers",), activation="relu"),
    "units and layers": WeightSpace((4, 4, 4, 3), optional=("units", "layers")),
    "everything": WeightSpace((4, 4, 5, 4, 2), **EVERYTHING),
}
GREY = np.random.default_rng(5).integers(0, 5, (60, 4)) / 4
"""2×2 images of five shades: sums of them are exact in binary, and often 0."""


def draws(network, count, seed):
    return np.random.default_rng(seed).integers(0, 2, (count, network.n_bits), dtype=np.uint8)


def run_onnx(path, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    [inputs], [outputs] = session.get_inputs(), session.get_outputs()
    assert (inputs.name, inputs.type, outputs.name) == ("x", "tensor(double)", "logits")
    return session.run(["logits"], {"x": x})[0]


def run_torch(network, bits, x):
    with torch.no_grad():
        return to_torch(network, bits)(torch.from_numpy(x)).numpy()


def assert_same(found, network, bits, x):
    """Exact but for sigmoid and tanh, whose values depend on the library in the last digits."""
    expected = network.logits(bits, x)
    assert found.dtype == np.float64
    assert found.shape == expected.shape
    chosen = ACTIVATIONS[network.space.decode(bits).activation]
    smooth = len(network.layers) > 2 and chosen in ("sigmoid", "tanh")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 if smooth else 0)


# -- compared before they are given out -----------------------------------------------------------


class Doubled(BinaryNetwork):
    """A network of other logits than its layers say."""

    def logits(self, bits, x):
        return 2 * super().logits(bits, x)


class Shifted(BinaryNetwork):
    """A network that is another on some rows alone."""

    def sign(self, x):
        return np.where(x > 2, -1, super().sign(x))


@pytest.mark.parametrize("kind", [Doubled, Shifted])
def test_a_network_that_computes_otherwise_is_not_exported(kind, tmp_path):
    network = kind((4, 6, 2))
    bits = draws(network, 1, seed=12)[0]
    message = "{} gives other outputs than what it was made from on .* random rows"
    with pytest.raises(ConfigurationError, match=message.format("The torch module")):
        to_torch(network, bits)
    with pytest.raises(ConfigurationError, match=message.format("The ONNX file")):
        to_onnx(network, bits, tmp_path / "network.onnx")
    with pytest.raises(ConfigurationError, match=message.format("The packed network")):
        network.to_packed(bits)
    assert not (tmp_path / "network.onnx").exists()


class FromRightToLeft(torch.overrides.TorchFunctionMode):
    """Linear layers add up in the other order, as on some other processor."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is not torch.nn.functional.linear:
            return function(*args, **(kwargs or {}))
        x, weight, _ = args
        total = x[:, -1:] * weight[:, -1]
        for i in range(x.shape[1] - 2, -1, -1):
            total = total + x[:, i, None] * weight[:, i]
        return total


def test_ties_that_rounding_decides_are_no_reason_to_refuse():
    """Sums of 0.1 and -0.3 in the second layer: 0.1 + 0.1 + 0.1 - 0.3 depends on their order."""
    network = BinaryNetwork(WeightSpace((4, 8, 8, 2), values=((-0.3, 0.1),)))
    bits = draws(network, 1, seed=0)[0]
    with FromRightToLeft():
        found = to_torch(network, bits)(torch.from_numpy(GREY)).detach().numpy()
    assert (abs(found - network.logits(bits, GREY)) > 0.1).any()  # the order matters


# -- the same logits ------------------------------------------------------------------------------


@pytest.mark.parametrize("sign_of_zero", [1, 0])
@pytest.mark.parametrize("name", SPACES)
def test_the_torch_module_gives_the_logits_of_the_network(name, sign_of_zero):
    network = BinaryNetwork(SPACES[name], sign_of_zero=sign_of_zero)
    for bits in draws(network, 60, seed=0):
        assert_same(run_torch(network, bits, GREY), network, bits, GREY)


@pytest.mark.parametrize("sign_of_zero", [1, 0])
@pytest.mark.parametrize("name", SPACES)
def test_the_onnx_file_gives_the_logits_of_the_network(name, sign_of_zero, tmp_path):
    network = BinaryNetwork(SPACES[name], sign_of_zero=sign_of_zero)
    for number, bits in enumerate(draws(network, 12, seed=1)):
        path = tmp_path / f"{number}.onnx"
        to_onnx(network, bits, path)
        onnx.checker.check_model(path, full_check=True)
        assert_same(run_onnx(path, GREY), network, bits, GREY)


def test_many_sums_of_these_images_are_ties():
    # else the tests above would not see what becomes of 0
    weights = 2.0 * draws(BinaryNetwork((4, 1)), 60, seed=0) - 1
    assert (GREY @ weights.T == 0).mean() > 0.05


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_the_number_of_rows_is_free(rows, tmp_path):
    network = BinaryNetwork((4, 6, 2))
    bits = draws(network, 1, seed=2)[0]
    to_onnx(network, bits, tmp_path / "network.onnx")
    x = GREY[:rows]
    expected = network.logits(bits, x)
    np.testing.assert_array_equal(run_onnx(tmp_path / "network.onnx", x), expected)
    np.testing.assert_array_equal(run_torch(network, bits, x), expected)


def test_float32_where_ties_are_exact_in_it_too():
    network = BinaryNetwork((4, 6, 2))
    bits = draws(network, 1, seed=3)[0]
    module = to_torch(network, bits, dtype=torch.float32)
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}
    found = module(torch.from_numpy(GREY).float())
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.detach().numpy(), network.logits(bits, GREY))


# -- what is left ---------------------------------------------------------------------------------


def shapes(module):
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def test_weights_are_those_of_the_bits_transposed():
    network = BinaryNetwork((4, 6, 2))
    bits = draws(network, 1, seed=4)[0]
    module = to_torch(network, bits)
    w = 2.0 * bits - 1
    assert [type(part) for part in module] == [torch.nn.Linear, Sign, torch.nn.Linear]
    np.testing.assert_array_equal(module.state_dict()["0.weight"], w[:24].reshape(4, 6).T)
    np.testing.assert_array_equal(module.state_dict()["2.weight"], w[24:].reshape(6, 2).T)
    assert shapes(module) == {"0.weight": (6, 4), "2.weight": (2, 6)}


def test_the_state_dict_goes_into_a_module_made_by_hand():
    network = BinaryNetwork(WeightSpace((4, 5, 2), biases=True, activation="tanh"))
    bits = draws(network, 1, seed=5)[0]
    module = to_torch(network, bits)
    fresh = torch.nn.Sequential(
        torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)
    ).double()
    fresh.load_state_dict(module.state_dict())
    x = torch.from_numpy(GREY)
    assert torch.equal(fresh(x), module(x))


def test_units_that_are_left_out_are_gone():
    network = BinaryNetwork(WeightSpace((4, 6, 2), biases=True, optional=("units",)))
    present = [1, 0, 1, 1, 0, 1]
    bits = np.concatenate([draws(network, 1, seed=6)[0][:-6], present])
    w, left = 2.0 * bits - 1, [0, 2, 3, 5]
    module = to_torch(network, bits)
    assert (module[0].out_features, module[2].in_features) == (4, 4)
    np.testing.assert_array_equal(module.state_dict()["0.weight"], w[:24].reshape(4, 6)[:, left].T)
    np.testing.assert_array_equal(module.state_dict()["0.bias"], w[36:42][left])
    np.testing.assert_array_equal(module.state_dict()["2.weight"], w[24:36].reshape(6, 2)[left].T)
    np.testing.assert_array_equal(module.state_dict()["2.bias"], w[42:44])


@pytest.mark.parametrize("present", [1, 0])
def test_biases_that_are_left_out_are_gone(present):
    network = BinaryNetwork(WeightSpace((4, 3, 2), biases=True, optional=("biases",)))
    bits = draws(network, 1, seed=7)[0]
    bits[-1] = present
    assert ("0.bias" in shapes(to_torch(network, bits))) == bool(present)


def test_a_layer_that_is_left_out_passes_on_the_units_that_are_left():
    network = BinaryNetwork(WeightSpace((3, 3, 3, 2), optional=("units", "layers")))
    bits = draws(network, 1, seed=8)[0]
    bits[24:30] = [1, 0, 1, 0, 1, 1]  # what is left of layer 2 does not matter
    bits[30:] = [1, 0]
    module = to_torch(network, bits)
    w = 2.0 * bits - 1
    assert shapes(module) == {"0.weight": (2, 3), "2.weight": (2, 2)}
    np.testing.assert_array_equal(module.state_dict()["0.weight"], w[:9].reshape(3, 3)[:, [0, 2]].T)
    np.testing.assert_array_equal(module.state_dict()["2.weight"], w[18:24].reshape(3, 2)[[0, 2]].T)


def test_without_any_hidden_layer_the_last_matrix_is_left(tmp_path):
    network = BinaryNetwork(WeightSpace((4, 4, 4, 3), activation="relu", optional=("layers",)))
    bits = draws(network, 1, seed=9)[0]
    bits[-2:] = 0
    module = to_torch(network, bits)
    assert shapes(module) == {"0.weight": (3, 4)}
    expected = GREY @ (2.0 * bits[32:44].reshape(4, 3) - 1)
    np.testing.assert_array_equal(run_torch(network, bits, GREY), expected)
    to_onnx(network, bits, tmp_path / "network.onnx")
    np.testing.assert_array_equal(run_onnx(tmp_path / "network.onnx", GREY), expected)


@pytest.mark.parametrize("activation", ["sign", "relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("biases", [False, True])
def test_without_any_unit_the_last_biases_are_the_logits(biases, activation, tmp_path):
    space = WeightSpace((4, 3, 2), biases=biases, activation=activation, optional=("units",))
    network = BinaryNetwork(space)
    bits = draws(network, 1, seed=10)[0]
    bits[-3:] = 0
    last = 2.0 * bits[21:23] - 1 if biases else np.zeros(2)
    expected = np.tile(last, (60, 1))
    np.testing.assert_array_equal(network.logits(bits, GREY), expected)
    np.testing.assert_array_equal(run_torch(network, bits, GREY), expected)
    to_onnx(network, bits, tmp_path / "network.onnx")
    np.testing.assert_array_equal(run_onnx(tmp_path / "network.onnx", GREY), expected)


def test_the_random_stream_of_torch_is_left_alone():
    before = torch.get_rng_state()
    network = BinaryNetwork((4, 6, 2))
    to_torch(network, draws(network, 1, seed=11)[0])
    assert torch.equal(torch.get_rng_state(), before)


# -- files ----------------------------------------------------------------------------------------


def test_a_file_that_is_there_is_not_overwritten(tmp_path):
    network, path = BinaryNetwork((2, 1)), tmp_path / "network.onnx"
    to_onnx(network, [1, 0], path)
    content = path.read_bytes()
    with pytest.raises(StorageError, match=r"network\.onnx is there already.*another path"):
        to_onnx(network, [1, 1], path)
    assert path.read_bytes() == content
    to_onnx(network, [1, 0], str(tmp_path / "again.onnx"))
    assert (tmp_path / "again.onnx").read_bytes() == content
    assert {file.name for file in tmp_path.iterdir()} == {"network.onnx", "again.onnx"}


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(StorageError, match=r"Cannot read or write .*No such file"):
        to_onnx(BinaryNetwork((2, 1)), [1, 0], tmp_path / "nowhere" / "network.onnx")


def test_without_onnx(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    expected = r"An ONNX file needs packages.*pip install .* '\.\[onnx\]'"
    with pytest.raises(MissingError, match=expected):
        to_onnx(BinaryNetwork((2, 1)), [1, 0], tmp_path / "network.onnx")
    assert not list(tmp_path.iterdir())


# -- words ----------------------------------------------------------------------------------------


def test_a_plain_network_in_words():
    network = BinaryNetwork((2, 3, 1))
    assert describe(network, [1, 0, 1, 0, 0, 1, 1, 1, 0]) == (
        "inputs: 2, outputs: 1\n"
        "values: bit 0 is -1, bit 1 is +1\n"
        "biases: none\n"
        "activation: sign, +1 at 0\n"
        "layer 1: 2 inputs, 3 units\n"
        "  W1:\n"
        "    +1 -1 +1\n"
        "    -1 -1 +1\n"
        "layer 2: 3 inputs, 1 outputs\n"
        "  W2:\n"
        "    +1\n"
        "    +1\n"
        "    -1"
    )


def test_choices_in_words():
    space = WeightSpace(
        (2, 2, 2, 1),
        biases=True,
        values=((-1, 1), (0, 0.5)),
        activation=("relu", "tanh"),
        optional=("biases", "units", "layers"),
    )
    network = BinaryNetwork(space)
    weights, biases = [1, 0, 1, 1, 0, 0, 0, 0, 1, 0], [1, 0, 0, 0, 1]
    # the second activation, the second pair, biases, units 1.0, 2.0 and 2.1, layer 1 but not 2
    bits = [*weights, *biases, 1, 1, 1, 1, 0, 1, 1, 1, 0]
    assert describe(network, bits) == (
        "inputs: 2, outputs: 1\n"
        "values: bit 0 is 0, bit 1 is +0.5\n"
        "biases: present\n"
        "activation: tanh\n"
        "layer 1: 2 inputs, 1 units, left out: 1.1\n"
        "  W1:\n"
        "    +0.5\n"
        "    +0.5\n"
        "  b1:\n"
        "    +0.5\n"
        "layer 2: left out\n"
        "layer 3: 1 inputs, 1 outputs\n"
        "  W3:\n"
        "    +0.5\n"
        "  b3:\n"
        "    +0.5"
    )
    bits[17] = bits[18] = 0  # neither biases nor the last unit
    assert "biases: left out\n" in describe(network, bits)
    assert describe(network, bits).endswith(
        "layer 1: 2 inputs, 0 units, left out: 1.0, 1.1\nlayer 2: left out\n"
        "layer 3: 0 inputs, 1 outputs"
    )


def test_sign_of_zero_and_no_hidden_layer_in_words():
    assert "sign, 0 at 0" in describe(BinaryNetwork((2, 1, 1), sign_of_zero=0), [1, 0, 1])
    assert "activation" not in describe(BinaryNetwork((2, 1)), [1, 0])


def test_large_matrices_are_not_shown():
    network = BinaryNetwork(WeightSpace((33, 40, 16, 1), biases=True, optional=("units",)))
    bits = np.ones(network.n_bits, dtype=np.uint8)
    bits[-56:-52] = 0  # the first four of the 40 units
    text = describe(network, bits)
    assert "layer 1: 33 inputs, 36 units, left out: 4 of 40\n" in text
    assert "  W1: [33, 36], too large to show\n  b1: [1, 36], too large to show\n" in text
    assert "  W2: [36, 16], too large to show\n  b2:\n    +1" in text


def test_a_network_is_always_told_in_the_same_words():
    network = BinaryNetwork(SPACES["everything"])
    for bits in draws(network, 20, seed=12):
        assert describe(network, bits) == describe(network, bits.tolist())


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [describe, to_torch, to_onnx])
def test_refusals(function, tmp_path):
    network = BinaryNetwork((2, 1))
    path = (tmp_path / "network.onnx",) if function is to_onnx else ()
    with pytest.raises(ConfigurationError, match=r"shape \(3, 2\); expected exactly one.*bits\[0]"):
        function(network, np.zeros((3, 2)), *path)
    with pytest.raises(ConfigurationError, match="Got bitstrings of 3 bits, expected 2"):
        function(network, [0, 1, 1], *path)
    with pytest.raises(ConfigurationError, match="Bits must be 0 or 1"):
        function(network, [0, -1], *path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", [torch.int64, torch.float16, "float64", np.float64])
def test_a_dtype_that_is_none(dtype):
    with pytest.raises(ConfigurationError, match=r"Got dtype=.*expected torch\.float64, or"):
        to_torch(BinaryNetwork((2, 1)), [0, 1], dtype=dtype)
