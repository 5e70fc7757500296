"""Which weights of a packed network the errors of a batch are laid to (Fontana 2022).

A rule on bits alone, of section 4.1.5 and appendix .3: which outputs are wrong, which weights voted
for that, and what follows for the layers below. The two texts differ in what makes the input of a
layer wrong, and appendix .3 leaves open what a majority is of; READINGS names what they may mean.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import zip_longest
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits, Words, n_words, unpack
from qhyper.errors import ConfigurationError, unknown
from qhyper.targets.packed.inputs import PackedInputs
from qhyper.targets.packed.population import activations, check_groups
from qhyper.targets.packed.shape import PackedShape

Reading = Literal["all-weights", "contributions", "wrong-bits"]
"""What makes an input of a layer wrong."""

READINGS: tuple[Reading, ...] = get_args(Reading)

_TOGETHER = 1 << 17
"""Words of rows that are counted together."""
_FEW = 32
"""Units whose votes are counted first."""


def wrong_weights(
    shape: PackedShape,
    words: Words,
    inputs: PackedInputs,
    labels: npt.NDArray[np.integer],
    label_bits: int = 1,
    *,
    reading: Reading = "all-weights",
    voters_below: bool = False,
) -> tuple[npt.NDArray[np.int64], Words]:
    """The weights that the errors of a batch are laid to, of one network `words` uint64 [word].

    An output bit should be 1 in the label's own group of `label_bits` units and 0 elsewhere; it is
    wrong if it is not so on at least half of the rows. A weight of a wrong bit is wrong if, on at
    least half of the rows, the bit was not as it should be and the weight voted for that: its
    input equalled it where the output is 1, and differed where it is 0. Whether an input of a
    layer, a unit of the layer below, is then wrong depends on the `reading`:

    - "all-weights", of appendix .3: more than half of its weights are wrong;
    - "contributions", of section 4.1.5: its votes for errors of wrong bits, over rows and bits,
      are at least half as many as there are rows;
    - "wrong-bits", of appendix .3: more than half of its weights to wrong bits are wrong.

    In the layers below, all weights of a wrong unit are wrong, as line 6 of appendix .3 has it; or
    with `voters_below`, as section 4.1.5 ("the same process is continued") may be read, those that
    voted for what the unit was on at least half of the rows. Inputs are wrong by the same reading,
    where a vote for what a wrong unit was, on any row, is one for an error. With all weights of
    wrong units wrong, "all-weights" and "wrong-bits" find all inputs wrong there, or none.

    Returns numbers int64 [k] of those of `words` that hold wrong weights, and a mask uint64 [k] of
    them. Raises ConfigurationError as `activations` does, for inputs of several planes, for no
    reading, and unless the last layer is a whole number of groups.
    """
    check_groups(shape, label_bits)
    check_reading(reading)
    if inputs.planes != 1:
        raise ConfigurationError(
            f"Got inputs of {inputs.planes} planes; errors are laid to weights by bits alone. Pack "
            "them by pack_bits."
        )
    shape.check(words)
    rows, ones = len(inputs), shape.ones
    layers = _forward(shape, words, inputs)
    should = np.arange(shape.layers[-1]) // label_bits == np.asarray(labels)[:, None]
    errors = _bits(layers[-1]) != should
    units = np.flatnonzero(2 * errors.sum(axis=0) >= rows)
    half, end, found = (rows + 1) // 2, shape.n_words, []
    for layer, (n_out, n_in) in reversed(list(enumerate(shape.matrices))):
        start = end - n_out * n_words(n_in)
        where, end = np.arange(start, end).reshape(n_out, -1)[units], start
        last = layer == len(shape.matrices) - 1
        votes = _Votes(layers[layer], words[where], _bits(layers[layer + 1])[:, units],
                       errors[:, units] if last else None)  # fmt: skip
        voted = last or voters_below
        masks = (_at_least(votes.of_weights(), half) if voted else ones[where]) & ones[where]
        found.append((where.ravel(), masks.ravel()))
        if not layer or not len(units):
            break
        if reading == "contributions":
            wrong = _at_least(votes.of_inputs(_FEW), half)  # votes of some units often suffice
            if len(units) > _FEW and unpack(wrong, n_in).sum() < n_in:
                wrong = _at_least(votes.of_inputs(), half)
        else:
            most = (n_out if reading == "all-weights" else len(units)) // 2
            if len(units) <= most:  # no input can have so many
                break
            wrong = _at_least([masks], most + 1) if voted else masks[0]
        units = np.flatnonzero(unpack(wrong, n_in))
    numbers, bits = (np.concatenate(part) for part in zip(*found, strict=True))
    return numbers[bits != 0], bits[bits != 0]


def check_reading(reading: str) -> None:
    """Raise ConfigurationError unless it is one of READINGS."""
    if reading not in READINGS:
        raise unknown("reading", reading, READINGS)


def _forward(shape: PackedShape, words: Words, inputs: PackedInputs) -> list[PackedInputs]:
    """The units of every layer of one network, `inputs` first."""
    layers, end = [inputs], 0
    for n_out, n_in in shape.matrices:
        start, end = end, end + n_out * n_words(n_in)
        out = activations(_one_layer(n_in, n_out), words[None, start:end], layers[-1])
        layers.append(PackedInputs(out, n_out))
    return layers


@lru_cache(maxsize=16)
def _one_layer(n_in: int, n_out: int) -> PackedShape:
    """A shape that is asked for again and again, and keeps its mask."""
    return PackedShape((n_in, n_out))


def _bits(units: PackedInputs) -> Bits:
    """Bits [row, unit]."""
    return unpack(np.ascontiguousarray(units.words[0].T), units.n_inputs)


class _Votes:
    """Votes of inputs for what units, weights `own` [unit, word], were: `outputs` [row, unit].

    They count where `errors` [row, unit], or on all rows.
    """

    def __init__(
        self, inputs: PackedInputs, own: Words, outputs: Bits, errors: npt.NDArray[np.bool_] | None
    ) -> None:
        self._x, self._own = inputs.words[0].T, own
        self._ones = -outputs.astype(np.uint64)
        counted = np.ones_like(outputs) if errors is None else errors
        self._counts = -counted.astype(np.uint64)

    def of_weights(self, units: int | None = None) -> Iterator[Words]:
        """Parts [row, unit, word] of the first so many units, or of all."""
        own = self._own[:units]
        together = max(1, _TOGETHER // max(1, own.size))
        for first in range(0, len(self._x), together):
            some = slice(first, first + together)
            # an XOR is 1 where input and stored bit are equal, and voted for what equals it
            agree = self._x[some, None] ^ own ^ self._ones[some, :units, None]
            yield agree & self._counts[some, :units, None]

    def of_inputs(self, units: int | None = None) -> Iterator[Words]:
        """Parts [row and unit, word] of the same."""
        for part in self.of_weights(units):
            yield part.reshape(-1, part.shape[-1])


def _at_least(parts: Iterable[Words], threshold: int) -> Words:
    """Bits [...] that are set in at least so many of the rows; `parts` of these are [row, ...].

    Counts are kept bit by bit in planes, so that 64 are added up at once.
    """
    counts: list[Words] = []
    for part in parts:
        planes = [part]
        while len(planes[0]) > 1:  # one half is added to the other, so that loops are short
            if len(planes[0]) % 2:
                planes = [np.concatenate([p, np.zeros_like(p[:1])]) for p in planes]
            half = len(planes[0]) // 2
            planes = _sum([p[:half] for p in planes], [p[half:] for p in planes])
        counts = _sum(counts, [plane[0] for plane in planes])
    counts += [np.zeros_like(counts[0])] * (threshold.bit_length() - len(counts))
    more, equal = np.zeros_like(counts[0]), ~np.zeros_like(counts[0])
    for digit in reversed(range(len(counts))):
        if threshold >> digit & 1:
            equal = equal & counts[digit]
        else:
            more, equal = more | equal & counts[digit], equal & ~counts[digit]
    return more | equal


def _sum(a: list[Words], b: list[Words]) -> list[Words]:
    """The sums of whole numbers that are kept in planes, those of the lowest bits first."""
    zero = np.uint64(0)
    total, carry = [], np.zeros_like((a or b)[0])
    for one, other in zip_longest(a, b, fillvalue=zero):
        total.append(one ^ other ^ carry)
        carry = one & other | carry & (one ^ other)
    return [*total, carry] if carry.any() else total
