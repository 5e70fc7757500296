"""Which weights of a packed network the errors of a batch are laid to (Fontana 2022).

A rule on bits alone, of section 4.1.5 and appendix .3: which outputs are wrong, which weights voted
for that, and what follows for the layers below.
"""

from collections.abc import Iterable
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from qhyper.bits import Words, n_words, unpack
from qhyper.errors import ConfigurationError
from qhyper.targets.packed.inputs import PackedInputs
from qhyper.targets.packed.population import activations, check_groups
from qhyper.targets.packed.shape import PackedShape

_TOGETHER = 1 << 17
"""Words of rows that are counted together."""


def wrong_weights(
    shape: PackedShape,
    words: Words,
    inputs: PackedInputs,
    labels: npt.NDArray[np.integer],
    label_bits: int = 1,
) -> tuple[npt.NDArray[np.int64], Words]:
    """The weights that the errors of a batch are laid to, of one network `words` uint64 [word].

    An output bit should be 1 in the label's own group of `label_bits` units and 0 elsewhere; it is
    wrong if it is not so on at least half of the rows. A weight of a wrong bit is wrong if, on at
    least half of the rows, the bit was not as it should be and the weight voted for that: its
    input equalled it where the output is 1, and differed where it is 0. An input of the last layer
    is wrong if more than half of its weights are. In the layers below, all weights of a wrong unit
    are wrong, and an input is if more than half of its weights are: there, all inputs or none.

    Returns numbers int64 [k] of those of `words` that hold wrong weights, and a mask uint64 [k] of
    them. Raises ConfigurationError as `activations` does, for inputs of several planes, and unless
    the last layer is a whole number of groups.
    """
    check_groups(shape, label_bits)
    if inputs.planes != 1:
        raise ConfigurationError(
            f"Got inputs of {inputs.planes} planes; errors are laid to weights by bits alone. Pack "
            "them by pack_bits."
        )
    shape.check(words)
    n_hidden, n_units = shape.layers[-2:]
    n_below, rows = shape.n_words - n_units * n_words(n_hidden), len(inputs)
    below = PackedShape(shape.layers[:-1]) if len(shape.layers) > 2 else None
    hidden = inputs
    if below is not None:
        hidden = PackedInputs(activations(below, words[None, :n_below], inputs), n_hidden)
    out = activations(PackedShape((n_hidden, n_units)), words[None, n_below:], hidden)[0]
    predicted = unpack(np.ascontiguousarray(out.T), n_units)
    should = np.arange(n_units) // label_bits == np.asarray(labels)[:, None]
    errors = predicted != should
    units = np.flatnonzero(2 * errors.sum(axis=0) >= rows)

    where = n_below + np.arange(shape.n_words - n_below).reshape(n_units, -1)[units]
    own, x = words[where], hidden.words[0].T
    ones, counts = (-bits[:, units].astype(np.uint64) for bits in (predicted, errors))
    # an XOR is 1 where input and stored bit are equal, and voted for what equals it
    together = max(1, _TOGETHER // max(1, own.size))
    contributed = (
        (x[some, None] ^ own ^ ones[some, :, None]) & counts[some, :, None]
        for some in (slice(first, first + together) for first in range(0, rows, together))
    )
    masks = _at_least(contributed, (rows + 1) // 2) & shape.ones[where]
    found = [(where.ravel(), masks.ravel())]

    wrong = np.zeros(n_hidden, bool)
    if 2 * len(units) > n_units:  # or else no input can have so many
        n_wrong = unpack(masks, n_hidden).sum(axis=0, dtype=np.int64)
        wrong = 2 * n_wrong > n_units
    end = n_below
    for n_out, n_in in reversed(below.matrices if below is not None else ()):
        start = end - n_out * n_words(n_in)
        where = np.arange(start, end).reshape(n_out, -1)[wrong].ravel()
        found.append((where, shape.ones[where]))
        wrong = np.full(n_in, 2 * wrong.sum() > n_out)
        end = start
    numbers, bits = (np.concatenate(part) for part in zip(*found, strict=True))
    return numbers[bits != 0], bits[bits != 0]


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
