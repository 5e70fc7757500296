"""Packed networks from torch modules, and back: the same predictions, ties included.

A module is a torch.nn.Sequential of layers: a Linear whose weights are all -1 or +1, with a bias or
not, then a BatchNorm1d (or `Affine`) or not, and `Sign` behind every layer but the last. What
stands between a sum and its sign is folded into an integer: a unit is +1 for as many of its sums
as the module says so in float64. Behind the last layer it stays float64, as a scale and a shift;
or its units vote, with `Sign` and `Votes`. Either way, outputs are compared on random rows.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import numpy as np
import numpy.typing as npt
import torch

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError, unknown
from qhyper.targets.conversion import (
    check_same,
    scale_and_shift,
    tied_rows,
    warn_of_mode,
    warn_of_rounding,
    warn_of_ties,
)
from qhyper.targets.packed.plain_module import (
    called,
    check_no_global_hooks,
    check_numbers,
    check_plain,
    copy_in_float64,
    kind_of,
    other_than_numbers,
)
from qhyper.targets.packed.shape import Packed, PackedShape
from qhyper.targets.sign import Sign

Network = TypeVar("Network", bound=Packed)

InputKind = Literal["signs", "pixels"]
_PLANES = {"signs": 1, "pixels": 8}
_WITHOUT_EFFECT = (torch.nn.Identity, torch.nn.Dropout)
"""What is left out: in eval mode these do nothing."""
_OF_IMAGES = (
    torch.nn.Conv2d,
    torch.nn.BatchNorm2d,
    torch.nn.MaxPool2d,
    torch.nn.AvgPool2d,
    torch.nn.AdaptiveAvgPool2d,
    torch.nn.Flatten,
)
_EXPECTED = (
    "expected a torch.nn.Sequential of Linear, BatchNorm1d (or none) and "
    "qhyper.targets.sign.Sign, layer by layer, with no Sign behind the last Linear "
    "unless Votes follows"
)
_ROUNDED_SUMS = "Leave out biases in front of a batch normalisation, or make them whole numbers."
_ROWS = 1000
"""Random rows that outputs are compared on, of networks that are not too large for so many."""
_WEIGHTS, _NUMBERS = 2**30, 2**24
"""Weights that these rows meet at the most, and numbers of a layer's outputs."""


class Votes(torch.nn.Module):
    """The number of +1 in each group of `label_bits` units: [row, unit] to [row, class]."""

    def __init__(self, label_bits: int) -> None:
        super().__init__()
        self.label_bits = label_bits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Votes of x [row, unit] of -1 and +1, as numbers of x's dtype, [row, class]."""
        return (x.unflatten(1, (-1, self.label_bits)) > 0).sum(-1).to(x.dtype)

    def extra_repr(self) -> str:
        """What torch prints between the brackets."""
        return f"label_bits={self.label_bits}"


class Affine(torch.nn.Module):
    """x times a `scale` plus a `shift`, float64 [class] both."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, scale: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("shift", torch.tensor(shift))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scaled and shifted x [row, class]."""
        return x * self.scale + self.shift


class _Layer(NamedTuple):
    """One layer of a module, in eval mode and float64."""

    bits: Bits
    """[unit, input]"""
    bias: torch.Tensor
    norm: torch.nn.Module | None
    sign: Sign | None

    @property
    def affine(self) -> bool:
        """Whether anything stands behind the sums."""
        return self.norm is not None or bool((self.bias != 0).any())


_PARTS = (torch.nn.Linear, torch.nn.BatchNorm1d, Affine, Sign, Votes, *_WITHOUT_EFFECT)


@torch.no_grad()
def from_module(
    module: torch.nn.Module, make: Callable[..., Network], *, inputs: InputKind
) -> Network:
    """What `make` makes of the parts of a binary network: a PackedNetwork of its predictions.

    These are the module's in eval mode and float64, on any device: a copy of it, so converted, is
    packed and compared with the result on up to 1,000 random rows. `inputs` says what the module
    takes: `signs`, -1 and +1 (packed, they are bits), or `pixels`, whole numbers from 0 to 255 as
    they are. Ties included, with two exceptions, in which torch's own rounding varies: biases of
    Linear that are no whole numbers, where it depends on the batch, and the last batch
    normalisation on processors without fused multiply-add. A warning says on how many of the rows
    that gives another class.

    A module of float32, bfloat16 or float16 rounds more than in float64, and may decide otherwise
    itself where a sum comes near to a threshold or two outputs come near to each other. Its
    predictions in its own type are compared on the same rows: a warning says on how many they
    differ, and comes for 16 bits in any case. So are those of a module that is handed over in train
    mode, or parts of which are, as it is: a warning says on how many these differ.

    Raises ConfigurationError if the module is of other parts, of subclasses of these, or they do
    not fit one another; if it has forward hooks or methods that an instance has of its own
    (parametrised layers have their weights as computed); if a weight is neither -1 nor +1, a batch
    normalisation has no running statistics or a variance that is not positive, a sign of zero is
    0, or a number is not finite; and if outputs differ on random rows.
    """
    if inputs not in get_args(InputKind):
        raise unknown("kind of inputs", str(inputs), get_args(InputKind))
    module = _checked_parts(module)
    copied = copy_in_float64(module)
    with torch.random.fork_rng(devices=[]):  # what computes a weight may draw from it
        network = make(*_parts_of(copied, inputs))
        rows = _random_rows(network)
        x = _as_seen(rows, network)
        expected = _run(copied, x)
        found = network.outputs(rows)
        check_same("The packed network", found, expected, lambda: tied_rows(copied, x))
        warn_of_ties(found, expected, _ROUNDED_SUMS)
        warn_of_mode(module, x, expected)
        warn_of_rounding(module, x, found)
    return network


def _parts_of(module: torch.nn.Sequential, inputs: InputKind) -> tuple[Any, ...]:
    """The arguments of PackedNetwork that pack a module of float64 in eval mode."""
    layers, votes = _parsed(module)
    shape = PackedShape((layers[0].bits.shape[1], *(len(layer.bits) for layer in layers)))
    matrices: list[Bits] = []
    limits = [np.zeros(0, np.int64)]
    scale = shift = None
    for layer in layers:
        planes = 1 if matrices else _PLANES[inputs]
        if layer.sign:
            bits, limit = _folded(layer, planes)
            matrices.append(bits)
            limits.append(limit)
        else:
            matrices.append(layer.bits)
            if layer.affine:
                scale, shift = _scaled(layer)
    return (
        shape, shape.pack(matrices), np.concatenate(limits), _PLANES[inputs],
        votes.label_bits if votes else None, scale, shift,
    )  # fmt: skip


def to_torch(network: Packed) -> torch.nn.Sequential:
    """The network as a torch module in float64 that takes -1 and +1, or pixels from 0 to 255.

    Limits become biases of Linear. `PackedNetwork.from_torch` packs it into the same network
    again. Raises ConfigurationError for inputs of other than 1 or 8 planes, and if outputs differ
    on random rows.
    """
    if network.planes not in _PLANES.values():
        raise ConfigurationError(
            f"Got a network whose inputs have {network.planes} planes; expected 1 (signs) or 8 "
            "(pixels)."
        )
    parts: list[torch.nn.Module] = []
    matrices, at = network.shape.unpack(network.words), 0
    for k, bits in enumerate(matrices):
        n_out, n_in = bits.shape
        start, step = _sum_of(bits, 1 if k else network.planes)
        limits = network.limits[at : at + n_out]
        at += n_out
        # on `meta` it has no numbers yet, and takes none from torch's random stream
        linear = torch.nn.Linear(n_in, n_out, bias=len(limits) > 0, device="meta")
        linear.weight = torch.nn.Parameter(torch.from_numpy(2.0 * bits - 1))
        parts.append(linear)
        if len(limits):  # +1 from the sum at the limit on
            linear.bias = torch.nn.Parameter(torch.from_numpy(1.0 * (step * limits - start)))
            parts.append(Sign())
    if network.label_bits is not None:
        parts.append(Votes(network.label_bits))
    elif network.scale is not None and network.shift is not None:
        parts.append(Affine(network.scale, network.shift))
    module = torch.nn.Sequential(*parts).eval().requires_grad_(False)
    rows = _random_rows(network)
    x = _as_seen(rows, network)
    expected = network.outputs(rows).astype(np.float64)
    check_same("The torch module", _run(module, x), expected, lambda: tied_rows(module, x))
    return module


# -- outputs on random rows ------------------------------------------------------------------------


def _random_rows(network: Packed) -> npt.NDArray[np.int64]:
    """Rows [row, input] such as the network takes, always the same ones.

    They are of any share of ones, or near to the weights of a unit of the first layer or to their
    opposites. Pixels are dark and bright in place of 0 and 1, by a little or by any number.
    """
    layers, rng = network.shape.layers, np.random.default_rng(0)
    count = min(_WEIGHTS // network.shape.n_weights, _NUMBERS // max(layers), _ROWS)
    size = (max(count, 32), layers[0])
    ones = rng.random(size) < np.where(rng.random(size[0]) < 0.5, 0.5, rng.random(size[0]))[:, None]
    weights = network.shape.unpack(network.words)[0]
    like = rng.integers(len(weights), size=size[0])
    flipped = rng.random(size) < rng.random(size[0])[:, None]
    near = rng.random(size[0]) < 0.3
    ones[near] = (weights[like] ^ flipped)[near]
    high = (1 << network.planes) - 1
    depth = rng.choice([0, min(3, high // 2), high // 2], size=(size[0], 1))
    dark = rng.integers(0, depth + 1, size=size)
    return np.where(ones, high - dark, dark)


def _as_seen(rows: npt.NDArray[np.int64], network: Packed) -> torch.Tensor:
    """The rows as a torch module takes them, float64: -1 and +1, or pixels."""
    return torch.from_numpy((2.0 * rows - 1) if network.planes == 1 else 1.0 * rows)


@torch.no_grad()
def _run(module: torch.nn.Module, x: torch.Tensor) -> npt.NDArray[np.float64]:
    """What comes out of a module, float64; ConfigurationError if it fails."""
    try:
        return module(x).to(torch.float64).numpy()
    except Exception as error:  # whatever a user's module does
        raise ConfigurationError(
            f"The module fails in float64 and eval mode on rows [row, input] = {list(x.shape)}: "
            f"{type(error).__name__}: {error}. Let it run on such rows first."
        ) from error


# -- the parts of a module -------------------------------------------------------------------------


def _checked_parts(module: torch.nn.Module) -> torch.nn.Sequential:
    """A Sequential of the parts that we know, as they are, or ConfigurationError."""
    sequential = kind_of(module) is torch.nn.Sequential
    if not isinstance(module, torch.nn.Sequential) or not sequential or not len(module):
        known = hasattr(module, "evaluation_network")
        hint = " Pass its evaluation_network()." if known else ""
        hint += _hint_of_images(module)
        raise ConfigurationError(f"Got {called(type(module), _PARTS)}; {_EXPECTED}.{hint}")
    check_no_global_hooks()
    check_plain(module, "all layers")
    number = 0
    for part in module:
        kind = kind_of(part)
        if kind not in _PARTS:
            above = next((known.__name__ for known in _PARTS if isinstance(part, known)), None)
            hint = f" A subclass of {above} may compute anything: make it a plain {above}."
            hint = (hint if above else "") + _hint_of_images(module)
            raise ConfigurationError(
                f"Got {called(kind, _PARTS)} in layer {number}; {_EXPECTED}.{hint}"
            )
        number += kind is torch.nn.Linear
        check_plain(part, f"layer {max(number - 1, 0)}")
    check_numbers(module)
    return module


def _hint_of_images(module: torch.nn.Module) -> str:
    """Where a network with layers of images is packed."""
    parts = module.modules() if isinstance(module, torch.nn.Module) else ()
    there = any(isinstance(part, _OF_IMAGES) for part in parts)
    return " Convolutional networks are packed by ConvolutionalNetwork.from_torch." * there


def _parsed(module: torch.nn.Sequential) -> tuple[list[_Layer], Votes | None]:
    """The layers of a module, and the votes behind them."""
    parts = [part for part in module if not isinstance(part, _WITHOUT_EFFECT)]
    if not parts:
        raise ConfigurationError(f"Got no Linear; {_EXPECTED}.")
    votes = parts.pop() if isinstance(parts[-1], Votes) else None
    layers: list[_Layer] = []
    while parts:
        linear = parts.pop(0)
        if not isinstance(linear, torch.nn.Linear) or (layers and layers[-1].sign is None):
            raise ConfigurationError(
                f"Got {type(linear).__name__} in layer {len(layers)}; {_EXPECTED}."
            )
        norm = sign = None
        if parts and isinstance(parts[0], torch.nn.BatchNorm1d | Affine):
            norm = parts.pop(0)
        if parts and isinstance(parts[0], Sign):
            sign = parts.pop(0)
            assert isinstance(sign, Sign)
        layers.append(_checked(linear, norm, sign, len(layers)))
        taken = layers[-1].bits.shape[1]
        if len(layers) > 1 and taken != len(layers[-2].bits):
            raise ConfigurationError(
                f"Layer {len(layers) - 1} takes {taken} inputs, but the one before it "
                f"has {len(layers[-2].bits)} units. Make them the same."
            )
    if not layers:
        raise ConfigurationError(f"Got no Linear; {_EXPECTED}.")
    if (layers[-1].sign is None) != (votes is None):
        raise ConfigurationError(
            f"Got {'no ' if layers[-1].sign is None else ''}Sign behind the last Linear and "
            f"{'no ' if votes is None else ''}Votes; {_EXPECTED}."
        )
    assert votes is None or isinstance(votes, Votes)
    return layers, votes


def _checked(
    linear: torch.nn.Linear, norm: torch.nn.Module | None, sign: Sign | None, number: int
) -> _Layer:
    """One layer, or ConfigurationError."""
    weight = _tensor(linear.weight, f"weight of layer {number}", 2).numpy()
    if not np.isin(weight, (-1.0, 1.0)).all():
        other = weight[~np.isin(weight, (-1.0, 1.0))][0]
        raise ConfigurationError(
            f"Got the weight {other:g} in layer {number}; expected -1 and +1 alone. Take the "
            "weights' signs first."
        )
    units = len(weight)
    bias = torch.zeros(units, dtype=torch.float64, device="cpu")
    if linear.bias is not None:
        bias = _tensor(linear.bias, f"bias of layer {number}", 1)
        if len(bias) != units:
            raise ConfigurationError(
                f"Got {len(bias)} biases for {units} units in layer {number}. Make them the same."
            )
    if norm is not None:
        _check_norm(norm, units, number)
    if not bool(bias.isfinite().all()):
        raise ConfigurationError(f"Got a number that is not finite in layer {number}.")
    if sign is not None and sign.of_zero not in (-1, 1):
        raise ConfigurationError(
            f"Got Sign(of_zero={sign.of_zero}) in layer {number}; expected +1 or -1: a bit has no "
            "third value."
        )
    return _Layer((weight > 0).astype(np.uint8), bias, norm, sign)


def _check_norm(norm: torch.nn.Module, units: int, number: int) -> None:
    """Raise ConfigurationError if what stands behind the sums of a layer's units does not fit."""
    if isinstance(norm, torch.nn.BatchNorm1d):
        mean, var = norm.running_mean, norm.running_var
        if mean is None or var is None:
            raise ConfigurationError(
                f"The BatchNorm1d of layer {number} has no running statistics, so that outputs "
                "depend on the batch. Make it with track_running_stats=True."
            )
        if mean.shape != (units,) or var.shape != mean.shape or not (var + norm.eps > 0).all():
            raise ConfigurationError(
                f"The BatchNorm1d of layer {number} has {len(mean)} units and variances from "
                f"{var.min():g}; expected {units} units and variances above 0."
            )
        if not norm.eps >= 0:
            raise ConfigurationError(
                f"The BatchNorm1d of layer {number} has eps = {norm.eps:g}, which torch does not "
                "compute with; expected 0 or more. Set its eps."
            )
        numbers = [mean, var, norm.weight, norm.bias]
    else:
        assert isinstance(norm, Affine)
        numbers = [norm.scale, norm.shift]
    for tensor in numbers:
        if tensor is not None and _tensor(tensor, f"layer {number}", 1).shape != (units,):
            raise ConfigurationError(
                f"Got {len(tensor)} numbers behind the {units} units of layer {number}. Make them "
                "the same."
            )
        if tensor is not None and not bool(tensor.isfinite().all()):
            raise ConfigurationError(f"Got a number that is not finite in layer {number}.")


def _tensor(tensor: Any, what: str, dimensions: int) -> torch.Tensor:
    """A tensor of float64 with so many dimensions, or ConfigurationError."""
    if got := other_than_numbers(tensor, dimensions):
        raise ConfigurationError(
            f"Got the {what} as {got}; expected a parameter of floating point numbers, [unit, "
            "input] for weights and [unit] for all else. Assign a torch.nn.Parameter."
        )
    return tensor.detach()


def _sum_of(bits: Bits, planes: int) -> tuple[npt.NDArray[np.int64], int]:
    """A module's sum is start - step m, m the weighted count of differing bits: start, step."""
    if planes == 1:
        return np.full(len(bits), bits.shape[1], np.int64), 2
    return ((1 << planes) - 1) * bits.sum(axis=1, dtype=np.int64), 1


def _folded(layer: _Layer, planes: int) -> tuple[Bits, npt.NDArray[np.int64]]:
    """Weights and limits of a layer's units, whose signs are then those of the module.

    What stands behind a sum never falls as the sum grows, or never rises: then the unit's weights
    are turned round. The largest count of differing bits that still gives +1 is found by bisection
    on the module's own numbers.
    """
    n_out, n_in = layer.bits.shape
    start, step = _sum_of(layer.bits, planes)
    most = ((1 << planes) - 1) * n_in

    def plus(differing: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        z = torch.from_numpy((start - step * differing).astype(np.float64))[None] + layer.bias
        assert layer.sign is not None
        with torch.no_grad():
            return (layer.sign(z if layer.norm is None else layer.norm(z))[0] > 0).numpy()

    turned = ~plus(np.zeros(n_out, np.int64)) & plus(np.full(n_out, most))
    yes, no = np.full(n_out, -1), np.full(n_out, most + 1)
    while (open_ := no - yes > 1).any():
        middle = np.where(open_, (yes + no) // 2, 0)
        found = plus(np.where(turned, most - middle, middle))
        yes, no = np.where(open_ & found, middle, yes), np.where(open_ & ~found, middle, no)
    return layer.bits ^ turned[:, None].astype(np.uint8), yes


def _scaled(layer: _Layer) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Scale and shift of what stands behind the last sums, as torch works them out."""
    norm, scale = layer.norm, torch.ones_like(layer.bias)
    if isinstance(norm, torch.nn.BatchNorm1d):
        scale = torch.from_numpy(scale_and_shift(norm)[0])
    elif isinstance(norm, Affine):
        scale = norm.scale
    with torch.no_grad():
        shift = layer.bias if norm is None else norm(layer.bias[None])[0]
    return scale.detach().numpy(), shift.numpy()
