"""Packed networks from torch modules, and back: the same predictions, ties included.

A module is a torch.nn.Sequential of layers: a Linear whose weights are all -1 or +1, with a bias or
not, then a BatchNorm1d (or `Affine`) or not, and `Sign` behind every layer but the last. What
stands between a sum and its sign is folded into an integer: a unit is +1 for as many of its sums
as the module says so in float64. Behind the last layer it stays float64, as a scale and a shift;
or its units vote, with `Sign` and `Votes`.
"""

import copy
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError, unknown
from qhyper.targets.packed.shape import Packed, PackedShape
from qhyper.targets.sign import Sign

InputKind = Literal["signs", "pixels"]
_PLANES = {"signs": 1, "pixels": 8}
_WITHOUT_EFFECT = (torch.nn.Identity, torch.nn.Dropout)
"""What is left out: in eval mode these do nothing."""
_EXPECTED = (
    "expected a torch.nn.Sequential of Linear, BatchNorm1d (or none) and "
    "qhyper.targets.sign.Sign, layer by layer, with no Sign behind the last Linear "
    "unless Votes follows"
)


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


def parts_of(module: torch.nn.Module, *, inputs: InputKind) -> tuple[Any, ...]:
    """The arguments of PackedNetwork that pack a binary network.

    Its predictions are those of the module in eval mode and float64.
    `inputs` says what the module takes: `signs`, -1 and +1 (packed, they are bits), or `pixels`,
    whole numbers from 0 to 255 as they are. Ties included, with two exceptions, in which torch's
    own rounding varies: biases of Linear that are no whole numbers, where it depends on the batch,
    and the last batch normalisation on processors without fused multiply-add.

    Raises ConfigurationError if the module is of other parts or they do not fit one another, a
    weight is neither -1 nor +1, a batch normalisation has no running statistics or a variance that
    is not positive, a sign of zero is 0, or a number is not finite.
    """
    if inputs not in get_args(InputKind):
        raise unknown("kind of inputs", str(inputs), get_args(InputKind))
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
    again. Raises ConfigurationError for inputs of other than 1 or 8 planes.
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
        linear = torch.nn.Linear(n_in, n_out, bias=len(limits) > 0, dtype=torch.float64)
        linear.weight = torch.nn.Parameter(torch.from_numpy(2.0 * bits - 1))
        parts.append(linear)
        if len(limits):  # +1 from the sum at the limit on
            linear.bias = torch.nn.Parameter(torch.from_numpy(1.0 * (step * limits - start)))
            parts.append(Sign())
    if network.label_bits is not None:
        parts.append(Votes(network.label_bits))
    elif network.scale is not None and network.shift is not None:
        parts.append(Affine(network.scale, network.shift))
    return torch.nn.Sequential(*parts).eval().requires_grad_(False)


def _parsed(module: torch.nn.Module) -> tuple[list[_Layer], Votes | None]:
    """The layers of a module, and the votes behind them."""
    if not isinstance(module, torch.nn.Sequential) or not len(module):
        hint = ""
        if hasattr(module, "evaluation_network"):
            hint = " Pass its evaluation_network()."
        raise ConfigurationError(f"Got {type(module).__name__}; {_EXPECTED}.{hint}")
    parts = [copy.deepcopy(part).to("cpu", torch.float64).eval() for part in module]
    parts = [part for part in parts if not isinstance(part, _WITHOUT_EFFECT)]
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
        if len(layers) > 1 and linear.in_features != len(layers[-2].bits):
            raise ConfigurationError(
                f"Layer {len(layers) - 1} takes {linear.in_features} inputs, but the one before it "
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
    weight = linear.weight.detach().numpy()
    if not np.isin(weight, (-1.0, 1.0)).all():
        other = weight[~np.isin(weight, (-1.0, 1.0))][0]
        raise ConfigurationError(
            f"Got the weight {other:g} in layer {number}; expected -1 and +1 alone. Take the "
            "weights' signs first."
        )
    if isinstance(norm, torch.nn.BatchNorm1d) and norm.running_mean is None:
        raise ConfigurationError(
            f"The BatchNorm1d of layer {number} has no running statistics, so that outputs depend "
            "on the batch. Make it with track_running_stats=True."
        )
    if isinstance(norm, torch.nn.BatchNorm1d):
        assert norm.running_var is not None
        if norm.num_features != len(weight) or not (norm.running_var + norm.eps > 0).all():
            raise ConfigurationError(
                f"The BatchNorm1d of layer {number} has {norm.num_features} units and variances "
                f"from {norm.running_var.min():g}; expected {len(weight)} units and variances "
                "above 0."
            )
    numbers = [] if linear.bias is None else [linear.bias]
    numbers += [*norm.parameters(), *norm.buffers()] if norm is not None else []
    if not all(bool(tensor.isfinite().all()) for tensor in numbers):
        raise ConfigurationError(f"Got a number that is not finite in layer {number}.")
    if sign is not None and sign.of_zero not in (-1, 1):
        raise ConfigurationError(
            f"Got Sign(of_zero={sign.of_zero}) in layer {number}; expected +1 or -1: a bit has no "
            "third value."
        )
    bias = torch.zeros(len(weight), dtype=torch.float64)
    if linear.bias is not None:
        bias = linear.bias.detach()
    return _Layer((weight > 0).astype(np.uint8), bias, norm, sign)


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
        assert norm.running_var is not None
        scale = 1 / torch.sqrt(norm.running_var + norm.eps)
        scale = scale if norm.weight is None else scale * norm.weight
    elif isinstance(norm, Affine):
        scale = norm.scale
    with torch.no_grad():
        shift = layer.bias if norm is None else norm(layer.bias[None])[0]
    return scale.detach().numpy(), shift.numpy()
