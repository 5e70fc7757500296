"""One bitstring as the network that it stands for: in words, as a torch module, as an ONNX file.

Units and layers that are left out are gone, not zeroed. Sums run in whatever order torch or the
ONNX runtime likes. That is exact for numbers that are exact in binary and short, such as pixels in
multiples of 1/256 and weights of -1 and +1; with others, ties of a sign may fall otherwise than in
`BinaryNetwork.logits`, whose sums run from left to right. Modules and files are compared with that
on random rows before they are given out, but for such ties. The class of a row is that of
`qhyper.targets.loss.predictions`: the lowest within 1e-9 of the largest logit, and no bare argmax.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import torch

from qhyper.bits import Bits, as_bits
from qhyper.data.scaling import Scaling
from qhyper.errors import ConfigurationError
from qhyper.machine import needs
from qhyper.storage import check_new, write_whole
from qhyper.targets.conversion import check_same, tied_rows
from qhyper.targets.layered.space import ACTIVATIONS, Activation, WeightSpace
from qhyper.targets.sign import Sign

if TYPE_CHECKING:
    from onnx import NodeProto

    from qhyper.targets.layered.plain import PlainNetwork

_SHOWN = (32, 16)
"""Rows and columns of the largest matrix that is shown."""

_ROWS = 128
"""Random rows that logits are compared on."""
_OPSET, _IR = 17, 8
"""Of ONNX 1.12 (2022): old enough for most runtimes, and all that is used takes float64."""


def describe(network: "PlainNetwork", bits: npt.ArrayLike) -> str:
    """The network of one bitstring [n_bits] in words, with its weights and biases as tables.

    A row of a table is an input, a column an output; tables of more than 32 rows or 16 columns are
    left out. Layers and units have the numbers of `WeightSpace.names`.
    Raises ConfigurationError unless `bits` is one bitstring of the network.
    """
    space, bits = network.space, _one(network, bits)
    layers = {layer.number: layer for layer in _layers(network, bits)}
    low, high = (_number(value) for value in _values(space, bits))
    found = "present" if _has_biases(space, bits) else "left out" if space.biases else "none"
    lines = [
        f"inputs: {space.layers[0]}, outputs: {space.layers[-1]}",
        f"values: bit 0 is {low}, bit 1 is {high}",
        f"biases: {found}",
    ]
    if len(space.layers) > 2:
        activation = ACTIVATIONS[space.decode(bits).activation]
        zero = f", {_number(network.sign_of_zero)} at 0" if activation == "sign" else ""
        lines.append(f"activation: {activation}{zero}")
    for number, size in enumerate(space.layers[1:], start=1):
        if number not in layers:
            lines.append(f"layer {number}: left out")
            continue
        layer = layers[number]
        rows, columns = layer.weight.shape
        of = "outputs" if number == len(space.shapes) else "units"
        gone = np.setdiff1d(np.arange(size), layer.units)
        names = [f"{number}.{unit}" for unit in gone]
        which = ", ".join(names) if size <= _SHOWN[0] else f"{len(names)} of {size}"
        without = f", left out: {which}" if names else ""
        lines.append(f"layer {number}: {rows} inputs, {columns} {of}{without}")
        lines += _table(f"W{number}", layer.weight)
        if layer.bias is not None:
            lines += _table(f"b{number}", layer.bias[None])
    return "\n".join(lines)


class Scale(torch.nn.Module):
    """(x - shift) / scale of inputs [row, feature]: a Scaling as a layer."""

    def __init__(self, scaling: Scaling) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor(scaling.shift, dtype=torch.float64))
        self.register_buffer("scale", torch.tensor(scaling.scale, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scaled inputs."""
        return (x - self.get_buffer("shift")) / self.get_buffer("scale")


def to_torch(
    network: "PlainNetwork",
    bits: npt.ArrayLike,
    *,
    dtype: torch.dtype = torch.float64,
    scaling: Scaling | None = None,
) -> torch.nn.Sequential:
    """The network of one bitstring, bits [n_bits], as torch's Linear layers and activations.

    It maps inputs [row, input] to logits [row, output], both of `dtype`: float64, as the sums
    decide ties, or float32. A Linear has a bias where the bitstring has biases; its weight is
    [out, in], as torch has it. Give it `torch.tensor(data.x)`: samples are read-only, which
    `torch.from_numpy` warns of. With the `scaling` of a data set the module takes features as they
    were before, and scales them first.
    Raises ConfigurationError for another dtype, for a scaling of other features, unless `bits` is
    one bitstring of the network, and if its logits in float64 are not those of the network on
    random rows.
    """
    if dtype not in (torch.float64, torch.float32):
        raise ConfigurationError(
            f"Got dtype={dtype!r}; expected torch.float64, or torch.float32 where ties do not "
            "matter. Convert the module for anything else."
        )
    bits = _one(network, bits)
    _check_scaling(network, scaling)
    module = _module(network, bits, scaling)
    x, expected = _random_rows(network, bits, scaling)
    found = _run(module, x)
    check_same("The torch module", found, expected, lambda: _tied(module, x))
    return module.to(dtype)


def _module(network: "PlainNetwork", bits: Bits, scaling: Scaling | None) -> torch.nn.Sequential:
    """The network of one bitstring in float64."""
    modules: list[torch.nn.Module] = []
    if scaling is not None:
        modules.append(Scale(scaling))
    for layer in _layers(network, bits):
        modules.append(_linear(layer))
        if layer.activation == "sign":
            modules.append(Sign(network.sign_of_zero))
        elif layer.activation is not None:
            kinds = {"relu": torch.nn.ReLU, "sigmoid": torch.nn.Sigmoid, "tanh": torch.nn.Tanh}
            modules.append(kinds[layer.activation]())
    return torch.nn.Sequential(*modules)


def to_onnx(
    network: "PlainNetwork",
    bits: npt.ArrayLike,
    path: Path | str,
    *,
    scaling: Scaling | None = None,
) -> None:
    """Write the network of one bitstring, bits [n_bits], to a new ONNX file, all in float64.

    Its input `x` is [row, input] and its output `logits` [row, output], of any number of rows. Sign
    is written as comparisons, as ONNX's own gives 0 at zero. With the `scaling` of a data set, `x`
    are features as they were before.
    Raises ConfigurationError unless `bits` is one bitstring of the network, for a scaling of other
    features, and if its logits by ONNX's reference are not those of the network on random rows;
    StorageError if the file is there already, or cannot be written; MissingError without the extra
    `onnx`.
    """
    with needs("onnx", "An ONNX file"):
        from onnx import TensorProto, checker, helper, numpy_helper
        from onnx.reference import ReferenceEvaluator
    bits, path = _one(network, bits), Path(path)
    _check_scaling(network, scaling)
    layers = _layers(network, bits)
    check_new(path)
    nodes: list[NodeProto] = []
    numbers: dict[str, npt.NDArray[np.float64]] = {}
    if any(layer.activation == "sign" for layer in layers):
        for name, value in (("zero", 0), ("one", 1), ("minus_one", -1)):
            numbers[name] = np.array(value, dtype=np.float64)
        numbers["sign_of_zero"] = np.array(network.sign_of_zero, dtype=np.float64)

    def node(kind: str, inputs: list[str], output: str) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name=output))
        return output

    at = "x"
    if scaling is not None:
        numbers["shift"], numbers["scale"] = np.array(scaling.shift), np.array(scaling.scale)
        at = node("Div", [node("Sub", [at, "shift"], "shifted"), "scale"], "scaled")
    for layer in layers:
        n = layer.number
        numbers[f"W{n}"] = layer.weight
        total = "logits" if layer.activation is None else f"total{n}"
        if layer.bias is None:
            at = node("MatMul", [at, f"W{n}"], total)
        else:
            numbers[f"b{n}"] = layer.bias
            product = node("MatMul", [at, f"W{n}"], f"product{n}")
            at = node("Add", [product, f"b{n}"], total)
        if layer.activation == "sign":
            below = node("Less", [at, "zero"], f"below{n}")
            above = node("Greater", [at, "zero"], f"above{n}")
            other = node("Where", [below, "minus_one", "sign_of_zero"], f"not_above{n}")
            at = node("Where", [above, "one", other], f"hidden{n}")
        elif layer.activation is not None:
            kind = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}[layer.activation]
            at = node(kind, [at], f"hidden{n}")
    ends = [
        helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["row", units])
        for name, units in (("x", network.layers[0]), ("logits", network.layers[-1]))
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in numbers.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "network", ends[:1], ends[1:], constants),
        producer_name="qhyper",
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
    )
    checker.check_model(model, full_check=True)
    module = _module(network, bits, scaling)
    x, expected = _random_rows(network, bits, scaling)
    (found,) = cast(list[npt.NDArray], ReferenceEvaluator(model).run(None, {"x": x}))
    check_same("The ONNX file", found, expected, lambda: _tied(module, x))
    write_whole(path, model.SerializeToString())


def _check_scaling(network: "PlainNetwork", scaling: Scaling | None) -> None:
    if scaling is not None and len(scaling.shift) != network.layers[0]:
        raise ConfigurationError(
            f"Got a scaling of {len(scaling.shift)} features for the network {network.layers}; "
            f"expected {network.layers[0]}. Take that of the data set that it was trained on."
        )


# -- the layers that are left ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Layer:
    """A layer of a decoded network, of the units that are left."""

    number: int
    """in the space, from 1: that of W1"""
    units: npt.NDArray[np.int64]
    """which of the units are left"""
    weight: npt.NDArray[np.float64]
    """[in, out]"""
    bias: npt.NDArray[np.float64] | None
    """[out]"""
    activation: Activation | None
    """None: these are the logits"""


def _one(network: "PlainNetwork", bits: npt.ArrayLike) -> Bits:
    """`bits` as uint8 [n_bits]; raises ConfigurationError unless it is exactly one bitstring."""
    array = as_bits(bits, network.n_bits)
    if array.ndim != 1:
        raise ConfigurationError(
            f"Got bitstrings of shape {array.shape}; expected exactly one, of shape "
            f"({network.n_bits},). Pass one of them, such as bits[0]."
        )
    return array


def _layers(network: "PlainNetwork", bits: Bits) -> list[_Layer]:
    """The layers that are left, of one bitstring."""
    space = network.space
    found, biased = space.decode(bits), _has_biases(space, bits)
    last = len(found.weights) - 1
    inputs = np.arange(space.layers[0])
    layers = []
    for k, (weight, bias) in enumerate(zip(found.weights, found.biases, strict=True)):
        if k < last and not found.layers[k]:
            continue  # as many inputs as units: they pass on with the numbers that they have
        units = np.flatnonzero(found.units[k]) if k < last else np.arange(space.layers[-1])
        layers.append(
            _Layer(
                number=k + 1,
                units=units,
                weight=weight[np.ix_(inputs, units)].astype(np.float64),
                bias=bias[units].astype(np.float64) if biased else None,
                activation=ACTIVATIONS[found.activation] if k < last else None,
            )
        )
        inputs = units
    return layers


def _has_biases(space: WeightSpace, bits: Bits) -> bool:
    """Whether there are biases, and the bitstring does not leave them out."""
    choice = space.choices.get("biases")
    return space.biases and (choice is None or bool(bits[choice].all()))


def _values(space: WeightSpace, bits: Bits) -> npt.NDArray:
    """The numbers that bit 0 and bit 1 of a weight stand for, [2], by the example of W1[0,0]."""
    both = np.stack([bits, bits])
    both[:, 0] = (0, 1)
    return space.decode(both).weights[0][:, 0, 0]


def _random_rows(
    network: "PlainNetwork", bits: Bits, scaling: Scaling | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Rows [row, input], always the same, and the network's logits on them once they are scaled.

    They are numbers of some eight bits, every second of -1, 0, 1: without a scaling sums of them do
    not round, and are often 0.
    """
    rng, size = np.random.default_rng(0), (_ROWS, network.layers[0])
    x = rng.integers(-256, 257, size) / 256
    x[::2] = rng.integers(-1, 2, size)[::2]
    if scaling is None:
        return x, network.logits(bits, x)
    raw = x * np.array(scaling.scale) + np.array(scaling.shift)
    return raw, network.logits(bits, scaling(raw))


@torch.no_grad()
def _run(module: torch.nn.Sequential, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return module(torch.from_numpy(x)).numpy()


def _tied(module: torch.nn.Sequential, x: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return tied_rows(module, torch.from_numpy(x))


def _linear(layer: _Layer) -> torch.nn.Linear:
    rows, columns = layer.weight.shape
    with warnings.catch_warnings():
        # a layer whose units are all left out has nothing to initialise, of which torch warns
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
        # on `meta` it has no numbers yet, and takes none from torch's random stream
        linear = torch.nn.Linear(rows, columns, bias=layer.bias is not None, device="meta")
    weight = np.ascontiguousarray(layer.weight.T)
    linear.weight = torch.nn.Parameter(torch.from_numpy(weight))
    if layer.bias is not None:
        linear.bias = torch.nn.Parameter(torch.tensor(layer.bias))
    return linear


def _table(name: str, matrix: npt.NDArray[np.float64]) -> list[str]:
    """The lines of a matrix; none if it is empty, and its name alone if it is too large."""
    rows, columns = matrix.shape
    if not matrix.size:
        return []
    if rows > _SHOWN[0] or columns > _SHOWN[1]:
        return [f"  {name}: [{rows}, {columns}], too large to show"]
    cells = [[_number(value) for value in row] for row in matrix]
    width = max(len(cell) for row in cells for cell in row)
    return [f"  {name}:", *("    " + " ".join(c.rjust(width) for c in row) for row in cells)]


def _number(value: float) -> str:
    """A number with its sign; 0 has none."""
    return f"{value:+.12g}" if value else "0"
