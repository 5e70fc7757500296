"""The target's landscape: the best string of a set, and all strings in the order of their loss.

A hidden unit of a network with two outputs reads its input through one of 2^inputs patterns and
adds -1, 0 or +1 times its sign to the margin (`qhyper.targets.exact.classes`). So a string's loss
depends on which units there are, in any order, and a set of units stands for many strings: all
their orders, times 2 · 2^inputs for each unit without effect (its two outputs are equal).
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain, combinations, combinations_with_replacement, permutations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from experiments.small_hypernetworks.codes import AffineCode
from qhyper import BinaryNetwork, Certificate, Samples
from qhyper.bits import Bits, all_bitstrings, pack, unpack
from qhyper.errors import UnsuitableError

Float = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]

BLOCK = 1 << 16
"""Strings that are evaluated together."""
HEAVY = 16
"""Distinct rows on which strings are evaluated first: those of most samples."""
FORWARD = 18
"""A code of so many bits is enumerated; one of more is looked for among the best strings, of which
one in 2^(36 - bits) is in it."""
LISTED = 1 << 22
"""Strings of the list of the best, at least."""
AT_ONCE = 1 << 23
"""The list ends before a set of units that stands for more strings."""


class Best(NamedTuple):
    """The best string of a set: its loss, and its bits [bit]."""

    loss: float
    bits: Bits


class Landscape:
    """The mean loss of all strings of a network with one hidden layer and two outputs."""

    def __init__(self, network: BinaryNetwork, data: Samples) -> None:
        self.network = network
        self.objective = network.objective(data)
        rows = self.objective.distinct
        heavy = np.argsort(-rows.counts.sum(axis=1), kind="stable")[:HEAVY]
        inside = np.isin(rows.member, heavy)
        self._heavy = network.objective(Samples(data.x[inside], data.y[inside]))
        self._share = float(inside.mean())

    @cached_property
    def certificate(self) -> Certificate:
        """The exact minimum and spectrum."""
        return self.objective.certify()

    def best(self, blocks: Iterable[Bits]) -> Best:
        """The best string of blocks [string, bit].

        Every one is evaluated on the heaviest rows, and on all of them unless these alone, whose
        part of the mean is a lower bound as no loss is below 0, are worse than the best so far.
        """
        best = Best(np.inf, np.empty(0, np.uint8))
        for bits in blocks:
            hopeful = bits[self._share * self._heavy(bits) < best.loss]
            if len(hopeful):
                losses = self.objective(hopeful)
                first = int(losses.argmin())
                if losses[first] < best.loss:
                    best = Best(float(losses[first]), hopeful[first].copy())
        return best

    def blocks(self, words: Words) -> Iterator[Bits]:
        """Strings [string] of one word each, as blocks of bits."""
        for first in range(0, len(words), BLOCK):
            yield unpack(words[first : first + BLOCK, None], self.network.n_bits)

    def losses(self, words: Words) -> Float:
        """The loss of every string, [string]."""
        return np.concatenate([self.objective(bits) for bits in self.blocks(words)])

    # -- codes: by enumeration, or down the list of the best strings -------------------------------

    def best_of_code(self, code: AffineCode, forward: int = FORWARD) -> Best:
        """The best string of a code.

        Raises UnsuitableError if the code is too large to enumerate, and the list has none of it.
        """
        if code.n_bits > forward:
            found = code.first_of(self.in_order)
            if found is not None:
                bits = unpack(self.in_order[found : found + 1, None], self.network.n_bits)
                return Best(float(self.objective(bits)[0]), bits[0])
            if code.n_bits > 24:
                raise UnsuitableError(
                    f"Got a code of {code.n_bits} bits, of which none of the "
                    f"{len(self.in_order):,} best strings is a word; expected one. Take a code of "
                    "at most 24 bits, which is enumerated, or a longer list."
                )
        return self.best(self.blocks(code.words()))

    def best_of_prefixes(self, code: AffineCode, sizes: Iterable[int]) -> list[Best]:
        """The best string of the code of the first k columns, for every k of `sizes`."""
        sizes = list(sizes)
        words = code.first(min(max(sizes), FORWARD)).words()
        losses = self.losses(words)
        found = []
        for k in sizes:
            if k <= FORWARD:
                at = int(losses[: 1 << k].argmin())
                bits = unpack(words[at : at + 1, None], self.network.n_bits)[0]
                found.append(Best(float(losses[at]), bits))
            else:
                found.append(self.best_of_code(code.first(k)))
        return found

    @cached_property
    def in_order(self) -> Words:
        """The best strings, best first: uint64 [string]; LISTED of them or more.

        Whole sets of units, so that no string is left out that is better than the last one.
        """
        hidden = self.network.layers[1]
        place = self._places()
        n_effects = place.shape[1]
        sets = combinations_with_replacement(range(n_effects), hidden)
        units = np.fromiter(chain.from_iterable(sets), np.int16).reshape(-1, hidden)
        words = np.bitwise_or.reduce(place[np.arange(hidden), units, 0], axis=1)
        found, total = [], 0
        for number in np.argsort(self.losses(words), kind="stable"):
            strings = _arrangements(units[number], place)
            if strings is None:
                break
            found.append(strings)
            total += len(strings)
            if total >= min(LISTED, 1 << self.network.n_bits):
                break
        return np.concatenate(found)

    @cached_property
    def optimal(self) -> Words:
        """The strings of least loss: uint64 [string], the first of `in_order`."""
        return self.in_order[: self.certificate.optimal_bitstrings]

    def _places(self) -> Words:
        """The bits of every effect in every unit: uint64 [unit, effect, way].

        Effect 0 is none, in 2 · 2^inputs ways; the others, of one way each, repeat it.
        """
        inputs, hidden, _ = self.network.layers
        first, second = self.network.layout.bits.values()
        patterns = all_bitstrings(inputs)
        place = np.zeros((hidden, 1 + 2 * len(patterns), 2 * len(patterns)), np.uint64)
        for unit in range(hidden):
            effects = [
                [(pattern, out) for pattern in patterns for out in ((0, 0), (1, 1))],
                *([(pattern, out)] for pattern in patterns for out in ((0, 1), (1, 0))),
            ]
            for effect, ways in enumerate(effects):
                bits = np.zeros((len(ways), self.network.n_bits), np.uint8)
                for way, (pattern, out) in enumerate(ways):
                    bits[way, first[:, unit]], bits[way, second[unit]] = pattern, out
                place[unit, effect] = pack(bits)[:, 0]
        return place


def _arrangements(units: npt.NDArray[np.int16], place: Words) -> Words | None:
    """All strings of a set of effects [unit], uint64 [string]; None if more than AT_ONCE."""
    hidden, _, ways = place.shape
    acting = [int(effect) for effect in units if effect]
    orders = np.array(sorted(set(permutations(acting))), np.int64)  # [order, acting unit]
    without = list(combinations(range(hidden), hidden - len(acting)))
    if len(without) * len(orders) * ways ** (hidden - len(acting)) > AT_ONCE:
        return None
    found = []
    for idle in without:
        busy = [unit for unit in range(hidden) if unit not in idle]
        words = np.zeros(len(orders), np.uint64)
        for column, unit in enumerate(busy):
            words |= place[unit, orders[:, column], 0]
        for unit in idle:
            words = (words[:, None] | place[unit, 0]).ravel()
        found.append(words)
    return np.concatenate(found)
