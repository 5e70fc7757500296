"""WeightSpace: which bit is which weight, bias or choice, and what it stands for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from qhyper.arrays import HUGE, as_array, as_float
from qhyper.bits import Bits, as_bits
from qhyper.errors import ConfigurationError, unknown
from qhyper.targets.layout import Block, Layout

Activation = Literal["sign", "relu", "sigmoid", "tanh"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
Part = Literal["biases", "units", "layers"]
PARTS: tuple[Part, ...] = get_args(Part)

_PLUS_MINUS = (-1, 1)


@dataclass(frozen=True)
class Decoded:
    """What bitstrings [..., n_bits] stand for, as arrays for a forward pass.

    A hidden unit that is left out gives 0; a layer that is left out passes on what it gets.
    """

    weights: list[npt.NDArray]
    """of every layer [..., in, out]; int64 where all values are whole numbers, else float64"""
    biases: list[npt.NDArray]
    """of every layer [..., out], of the same dtype; 0 where there are none"""
    activation: npt.NDArray[np.int64]
    """[...]: number in ACTIVATIONS"""
    units: list[npt.NDArray[np.bool_]]
    """whether each unit is there, of every hidden layer [..., unit]"""
    layers: npt.NDArray[np.bool_]
    """whether each hidden layer is there, [..., hidden layer]"""


@dataclass(frozen=True, repr=False)
class WeightSpace:
    """What every bit of a layered network means; by default weights alone, bit 1 is +1, 0 is -1.

    - layers: units of every layer, inputs first
    - biases: whether every unit but the inputs has one
    - values: the numbers that bit 0 and bit 1 of a weight or bias stand for. Or several such pairs:
      choice bits then pick one for the whole network
    - activation: of the hidden layers: sign, relu, sigmoid or tanh. Or several: choice bits pick
    - optional: what a choice bit can leave out, 1 is present: `biases` (one bit for all), `units`
      (a bit for each hidden unit), `layers` (a bit for each hidden layer with as many units as
      inputs; without it these pass on unchanged)

    Order of the bits: weights layer by layer, each matrix row-major [in, out]; biases layer by
    layer; choices: activation, values, biases, units, layers. Of several bits that pick one of
    2^k alternatives the first is the most significant: 01 is the second. For (4, 6, 2) that is
    W1 = w[:24].reshape(4, 6), W2 = w[24:].reshape(6, 2). As one problem of weights,
    hyperparameters and architecture: Carrasquilla et al. (2023, arXiv:2301.08292).

    Raises ConfigurationError for alternatives whose number is no power of two, and for choices
    without effect.
    """

    layers: tuple[int, ...]
    biases: bool = False
    values: tuple[tuple[float, float], ...] = (_PLUS_MINUS,)
    activation: tuple[Activation, ...] = ("sign",)
    optional: tuple[Part, ...] = ()

    def __init__(
        self,
        layers: Sequence[int],
        *,
        biases: bool = False,
        values: Sequence[float] | Sequence[Sequence[float]] = _PLUS_MINUS,
        activation: Activation | str | Sequence[str] = "sign",
        optional: Sequence[Part] | Sequence[str] = (),
    ) -> None:
        given = list(layers) if isinstance(layers, Sequence | np.ndarray) else [layers]
        whole = all(type(size) is not bool and isinstance(size, int | np.integer) for size in given)
        sizes = tuple(int(size) for size in given) if whole else ()
        if len(sizes) < 2 or min(sizes) < 1:
            raise ConfigurationError(
                f"Got layer sizes {given}; expected at least an input and an output "
                "layer, each of 1 unit or more, such as (4, 6, 2)."
            )
        if not isinstance(biases, bool):
            raise ConfigurationError(f"biases is true or false; got {biases!r}.")
        names, parts = _names("activation", activation), _names("optional", optional)
        for name in names:
            if name not in ACTIVATIONS:
                raise unknown("activation", name, ACTIVATIONS)
        for part in parts:
            if part not in PARTS:
                raise unknown("optional part", part, PARTS)
        object.__setattr__(self, "layers", sizes)
        object.__setattr__(self, "biases", biases)
        object.__setattr__(self, "values", _pairs(values))
        object.__setattr__(self, "activation", names)
        object.__setattr__(self, "optional", tuple(part for part in PARTS if part in parts))
        _check_alternatives("activations", names)
        _check_alternatives("pairs of values", self.values)
        self._check_effect()

    def _check_effect(self) -> None:
        """Refuse choices that no network of these layers can tell apart."""
        without = None
        if len(self.layers) < 3 and self.activation != ("sign",):
            without = "an activation, but no hidden layer"
        elif "biases" in self.optional and not self.biases:
            without = "optional biases, but biases=False"
        elif "units" in self.optional and len(self.layers) < 3:
            without = "optional units, but no hidden layer"
        elif "layers" in self.optional and not self._removable:
            without = "optional layers, but no hidden layer has as many units as inputs"
        if without:
            raise ConfigurationError(
                f"The space of layers {self.layers} has {without}: these bits would change "
                "nothing. Leave the choice out, or change the layers."
            )

    def __repr__(self) -> str:
        more = [
            f"{name}={value}"
            for name, value, default in (
                ("biases", self.biases, False),
                ("values", self.values, (_PLUS_MINUS,)),
                ("activation", self.activation, ("sign",)),
                ("optional", self.optional, ()),
            )
            if value != default
        ]
        return f"WeightSpace({', '.join([str(self.layers), *more])})"

    # -- what the bits are ------------------------------------------------------------------------

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """[in, out] of every weight matrix."""
        return list(pairwise(self.layers))

    @property
    def plain(self) -> bool:
        """Whether every bit is a weight, -1 or +1, between signs: what the packed kernel runs."""
        return self == WeightSpace(self.layers)

    @property
    def n_weights(self) -> int:
        """Number of weights."""
        return sum(rows * columns for rows, columns in self.shapes)

    @property
    def n_bits(self) -> int:
        """Number of weights, biases and choice bits."""
        return sum(count for _, count in self._fields())

    @property
    def choices(self) -> dict[str, npt.NDArray[np.int64]]:
        """The numbers of the bits of every choice that there is, by name, each int64 [bit]."""
        return {
            name: index for name, index in self._index().items() if name not in ("weights", "bias")
        }

    def names(self) -> list[str]:
        """What every bit is, in words: W1[0,3], b2[1], activation, values 0, unit 1.3, layer 2."""
        named = [
            f"W{layer}[{i},{j}]"
            for layer, (rows, columns) in enumerate(self.shapes, start=1)
            for i in range(rows)
            for j in range(columns)
        ]
        if self.biases:
            named += [f"b{k}[{j}]" for k, n in enumerate(self.layers[1:], 1) for j in range(n)]
        hidden = self.layers[1:-1]
        each = {
            "units": [f"unit {k}.{j}" for k, n in enumerate(hidden, 1) for j in range(n)],
            "layers": [f"layer {k + 1}" for k in self._removable],
        }
        for name, index in self.choices.items():
            several = [f"{name} {k}" for k in range(len(index))] if len(index) > 1 else [name]
            named += each.get(name, several)
        return named

    @property
    def layout(self) -> Layout:
        """The blocks of the bits, in their order: weights, biases, choices."""
        hidden = range(1, len(self.layers) - 1)
        blocks = [Block(f"{k}.weight", shape, (k, k + 1)) for k, shape in enumerate(self.shapes)]
        if self.biases:
            blocks += [Block(f"{k}.bias", (n,), (k + 1,)) for k, n in enumerate(self.layers[1:])]
        for name, index in self.choices.items():
            if name == "units":
                blocks += [Block(f"{k - 1}.units", (self.layers[k],), (k,)) for k in hidden]
            else:
                blocks.append(Block(name, (len(index),)))
        return Layout(tuple(blocks))

    @property
    def _removable(self) -> list[int]:
        """The hidden layers, counted from 0, that can be left out."""
        return [k for k, (rows, columns) in enumerate(self.shapes[:-1]) if rows == columns]

    def _fields(self) -> Iterator[tuple[str, int]]:
        """The fields of a bitstring in their order, with the number of their bits."""
        yield "weights", self.n_weights
        yield "bias", sum(self.layers[1:]) if self.biases else 0
        yield "activation", _bits_for(self.activation)
        yield "values", _bits_for(self.values)
        lengths = {
            "biases": 1,
            "units": sum(self.layers[1:-1]),
            "layers": len(self._removable),
        }
        for part in self.optional:
            yield part, lengths[part]

    def _index(self) -> dict[str, npt.NDArray[np.int64]]:
        """The bits of every field that is not empty."""
        fields = [field for field in self._fields() if field[1]]
        ends = np.cumsum([count for _, count in fields])
        return {
            name: np.arange(end - count, end)
            for (name, count), end in zip(fields, ends, strict=True)
        }

    def check(self, n_bits: int) -> None:
        """Raise ConfigurationError unless the space has `n_bits` bits."""
        if self.n_bits != n_bits:
            raise ConfigurationError(
                f"Got n_bits={n_bits}, but the {self} has {self.n_bits} bits. "
                "Pass the n_bits and the space of the same network."
            )

    # -- bits and what they stand for -------------------------------------------------------------

    def decode(self, bits: npt.ArrayLike) -> Decoded:
        """The weights, biases and choices of bits [..., n_bits]."""
        array = as_bits(bits, self.n_bits)
        lead = array.shape[:-1]
        field = {name: array[..., index] for name, index in self._index().items()}

        def picked(name: str) -> npt.NDArray[np.int64]:
            chosen = field.get(name, np.zeros((*lead, 0), np.uint8)).astype(np.int64)
            return chosen @ (1 << np.arange(chosen.shape[-1])[::-1])

        def present(name: str, count: int) -> npt.NDArray[np.bool_]:
            return field[name] == 1 if name in field else np.ones((*lead, count), bool)

        pairs = np.asarray(self.values)
        if (pairs == np.rint(pairs)).all() and (np.abs(pairs) < 2**31).all():
            pairs = pairs.astype(np.int64)
        pair = pairs[picked("values")]
        weights = np.where(field["weights"], pair[..., 1:], pair[..., :1])
        outputs = self.layers[1:]
        if self.biases:
            biases = np.where(field["bias"], pair[..., 1:], pair[..., :1])
            biases = biases * present("biases", 1)
        else:
            biases = np.zeros((*lead, sum(outputs)), pairs.dtype)
        ends = np.cumsum([rows * columns for rows, columns in self.shapes])[:-1]
        layers = np.ones((*lead, len(outputs) - 1), bool)
        if "layers" in field:
            layers[..., self._removable] = present("layers", len(self._removable))
        hidden = self.layers[1:-1]
        names = np.array([ACTIVATIONS.index(name) for name in self.activation])
        return Decoded(
            weights=[
                part.reshape(*lead, *shape)
                for part, shape in zip(np.split(weights, ends, axis=-1), self.shapes, strict=True)
            ],
            biases=np.split(biases, np.cumsum(outputs)[:-1], axis=-1),
            activation=names[picked("activation")],
            units=np.split(present("units", sum(hidden)), np.cumsum(hidden)[:-1], axis=-1)
            if hidden
            else [],
            layers=layers,
        )

    def encode(self, weights: Sequence[npt.ArrayLike]) -> Bits:
        """The bits [..., n_bits] of weight matrices of -1 and +1: the inverse of `decode`.

        Raises ConfigurationError for a space with biases, choices or other values.
        """
        if not (self.n_bits == self.n_weights and self.values == (_PLUS_MINUS,)):
            raise ConfigurationError(
                f"Only weights of -1 and +1 alone are encoded, and the {self} has more. Write its "
                "bits in the order of `names()`."
            )
        if len(weights) != len(self.shapes):
            raise ConfigurationError(
                f"Got {len(weights)} weight matrices, expected {len(self.shapes)} of the shapes "
                f"{self.shapes}."
            )
        parts = []
        for weight, shape in zip(weights, self.shapes, strict=True):
            array = as_array(weight, "a weight matrix", "-1 and +1 alone")
            if array.shape[-2:] != shape or not np.isin(array, (-1, 1)).all():
                raise ConfigurationError(
                    f"Got a weight matrix of shape {array.shape}; expected [..., {shape[0]}, "
                    f"{shape[1]}] with every weight -1 or +1."
                )
            parts.append((array > 0).reshape(*array.shape[:-2], -1))
        return np.concatenate(parts, axis=-1).astype(np.uint8)


def _names(what: str, given: Any) -> tuple[Any, ...]:
    """One name or several, as a tuple."""
    if not isinstance(given, str | Sequence):
        raise ConfigurationError(f"Got {what}={given!r}; expected a name, or a list of them.")
    return (given,) if isinstance(given, str) else tuple(given)


def _pairs(values: Any) -> tuple[tuple[float, float], ...]:
    """`values` as pairs of numbers, one or more."""
    try:
        pairs = np.atleast_2d(as_float(values, "values"))
    except ConfigurationError:
        pairs = np.empty((0, 0))
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs) or not (np.abs(pairs) < HUGE).all():
        raise ConfigurationError(
            f"Got values={values!r}; expected the two numbers that bit 0 and bit 1 stand for, such "
            "as (-1, 1), or several such pairs to choose from."
        )
    for low, high in pairs:
        if low == high:
            raise ConfigurationError(
                f"Got the pair of values ({low:g}, {high:g}); expected two different numbers."
            )
    return tuple((_whole(low), _whole(high)) for low, high in pairs.tolist())


def _whole(number: float) -> float:
    return int(number) if abs(number) < 2**53 and number == int(number) else number


def _bits_for(alternatives: Sequence[Any]) -> int:
    """How many bits pick one of the alternatives."""
    return (len(alternatives) - 1).bit_length()


def _check_alternatives(what: str, alternatives: Sequence[Any]) -> None:
    """Raise ConfigurationError unless bits can pick every alternative, and each is another one."""
    if len(alternatives) != 1 << _bits_for(alternatives):
        raise ConfigurationError(
            f"Got {len(alternatives)} {what} to choose from: {list(alternatives)}; bits can pick "
            "one of 1, 2, 4, 8, ... Leave some out, or add some."
        )
    if len(set(alternatives)) < len(alternatives):
        raise ConfigurationError(
            f"Got the {what} {list(alternatives)}; expected each once: bits that pick the same "
            "would change nothing."
        )
