"""Function classes: the few functions that many bitstrings compute, counted exactly.

A hidden unit reads its input through one of 2^inputs sign patterns p and adds u h_p to the
margin (logit 1 minus logit 0, in steps of the factor below), where h_p is the pattern's activation:

- two outputs: u = (w[1] - w[0]) / 2, which is -1, 0, 0 or +1, and a factor of 2;
- one output: u = w, which is -1 or +1, and a factor of 1.

So a network computes Σ_p k_p h_p, where the integer k_p is the sum of u over the units of pattern
p, and `Σ_p |k_p|` is at most the number of hidden units H. With sign(0) = 0 opposite patterns have
opposite activations and share one entry of k. The number of bitstrings of a vector k counts the
ways to deal H units out to its entries and to the units without effect. In exponential generating
functions it is

    H! [t^H] exp(null t) Π_p Σ_{a - b = k_p} (c t)^(a + b) / (a! b!),

with c the patterns of one entry (1, or 2 with sign(0) = 0) and null the choices of one unit that
have u = 0 (2 · 2^inputs with two outputs, none with one). It depends on the sorted `|k_p|` alone,
and is computed once for each such partition, in integers.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits, all_bitstrings
from qhyper.machine import njit
from qhyper.threads import in_threads

if TYPE_CHECKING:
    from qhyper.targets.layered.plain import PlainNetwork


class RowTables(NamedTuple):
    """What is summed over the rows to get the loss and accuracy of a vector k."""

    signs: npt.NDArray[np.int8]
    """activation of the pattern of every entry of k, [entry, row]"""
    losses: npt.NDArray[np.float64]
    """share of the mean loss at margin m - H, [row, m]"""
    correct: npt.NDArray[np.int64]
    """correct samples at margin m - H, [row, m]"""


@dataclass(frozen=True)
class FunctionClasses:
    """The vectors k of a network's shape, numbered from 0."""

    inputs: int
    hidden: int
    outputs: int
    entries: int
    """of k: patterns, or pairs of opposite ones"""
    sizes: list[list[int]]
    """[n][b]: number of vectors of n entries with `Σ|k| <= b` (of the parity of b, with one output,
    as each of its units counts)"""

    @classmethod
    def of(cls, network: "PlainNetwork") -> "FunctionClasses":
        """The classes of a network with one hidden layer and one or two outputs."""
        inputs, hidden, outputs = network.layers
        entries = 1 << (inputs if network.sign_of_zero == 1 else inputs - 1)
        sizes = [[int(outputs == 2 or b % 2 == 0) for b in range(hidden + 1)]]
        for _ in range(entries):
            last = sizes[-1]
            sizes.append([last[b] + 2 * sum(last[:b]) for b in range(hidden + 1)])
        return cls(inputs, hidden, outputs, entries, sizes)

    def multiplicities(self) -> dict[tuple[int, ...], int]:
        """The number of bitstrings of every partition: the `|k_p|` above 0, falling.

        Counted as words: coefficient n of a series is the number of ways to fill n given units, so
        a product is Σ_j C(n, j) a_j b_(n - j).
        """
        n = self.hidden + 1
        choose = [[math.comb(i, j) for j in range(i + 1)] for i in range(n)]
        patterns_per_entry = (1 << self.inputs) // self.entries
        null = 2 << self.inputs if self.outputs == 2 else 0

        def entry(k: int) -> list[int]:  # a + b = i units, of which a - b = k
            return [
                choose[i][(i - k) // 2] * patterns_per_entry**i
                if i >= k and (i - k) % 2 == 0
                else 0
                for i in range(n)
            ]

        def coefficient(a: list[int], b: list[int], i: int) -> int:
            return sum(choose[i][j] * a[j] * b[i - j] for j in range(i + 1) if a[j])

        def times(a: list[int], b: list[int]) -> list[int]:
            return [coefficient(a, b, i) for i in range(n)]

        most_parts = min(self.entries, self.hidden)
        series = [entry(k) for k in range(n)]
        rest = [null**i for i in range(n)]  # entries that are 0, and units without effect
        for _ in range(self.entries - most_parts):
            rest = times(rest, series[0])
        rests = [rest]  # by the number of parts, from the most down
        for _ in range(most_parts):
            rests.append(times(rests[-1], series[0]))
        rests.reverse()

        found: dict[tuple[int, ...], int] = {}

        def grow(parts: tuple[int, ...], product: list[int], left: int) -> None:
            found[parts] = coefficient(product, rests[len(parts)], self.hidden)
            if len(parts) < most_parts:
                for k in range(1, min(left, parts[-1] if parts else left) + 1):
                    grow((*parts, k), times(product, series[k]), left - k)

        grow((), [1] + [0] * self.hidden, self.hidden)
        return found

    def kinds(self, partitions: Iterable[tuple[int, ...]]) -> npt.NDArray[np.int32]:
        """Which partition comes of adding `|k|` to each: int32 [partition, `|k|`]; -1 if none.

        Partitions are numbered in the order given.
        """
        number = {parts: i for i, parts in enumerate(partitions)}
        following = np.full((len(number), self.hidden + 1), -1, dtype=np.int32)
        for parts, i in number.items():
            for k in range(1, self.hidden + 1 - sum(parts)):
                following[i, k] = number.get(tuple(sorted((*parts, k), reverse=True)), -1)
        return following

    def evaluate(
        self, first: int, stop: int, kinds: npt.NDArray[np.int32], rows: RowTables
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Loss, correct samples and partition of the vectors number `first` to `stop` - 1."""
        n = stop - first
        losses, correct = np.empty(n), np.empty(n, dtype=np.int64)
        found = np.empty(n, dtype=np.int32)
        in_threads(_walk, n, first, np.array(self.sizes), kinds, *rows, losses, correct, found)
        return losses, correct, found

    def bits(self, index: int, network: "PlainNetwork") -> Bits:
        """One bitstring of vector number `index`."""
        entry, value, left, depth = _seek(index, np.array(self.sizes))
        k = zip(entry[1 : depth + 1], value[1 : depth + 1], strict=True)
        units = [(p, int(np.sign(v))) for p, v in k for _ in range(abs(v))]
        # the other units do nothing: equal outputs, or in pairs of opposite ones
        for i in range(left[depth]):
            units.append((0, 0 if self.outputs == 2 else (-1) ** i))
        patterns = 2 * all_bitstrings(self.inputs).astype(np.int64) - 1
        first = np.stack([patterns[p] for p, _ in units], axis=1)
        second = [[u] if self.outputs == 1 else [-1 if u == 0 else -u, u or -1] for _, u in units]
        return network.space.encode([first, second])


# Vectors k are numbered in depth-first order: a vector comes before those that continue it with
# another nonzero entry further on. The path to a vector is a stack of its nonzero entries: which,
# their values, and how much of Σ|k| <= H is left (level 0 is the vector of zeros).

_jit = njit(nogil=True, error_model="numpy")


@_jit
def _next_sibling(entry, value, left, depth, n_entries):
    """Replace the last nonzero entry by the next choice, 1, -1, 2, ... and then further on."""
    most = left[depth - 1]
    if value[depth] > 0:
        value[depth] = -value[depth]
    elif -value[depth] < most:
        value[depth] = 1 - value[depth]
    elif entry[depth] + 1 < n_entries:
        entry[depth] += 1
        value[depth] = 1
    else:
        return False
    left[depth] = most - abs(value[depth])
    return True


@_jit
def _first_child(entry, value, left, depth, n_entries):
    """Add the first nonzero entry after the last, if there is room."""
    if left[depth] == 0 or entry[depth] + 1 == n_entries:
        return False
    entry[depth + 1] = entry[depth] + 1
    value[depth + 1] = 1
    left[depth + 1] = left[depth] - 1
    return True


@_jit
def _seek(index, sizes):
    """The path to vector number `index`: (entry, value, left), and its depth."""
    n_entries, hidden = sizes.shape[0] - 1, sizes.shape[1] - 1
    entry, value = np.full(hidden + 1, -1), np.zeros(hidden + 1, np.int64)
    left = np.full(hidden + 1, hidden)
    depth = 0
    while True:
        if sizes[0, left[depth]] == 1:  # 0 if one output cannot leave this many units over
            if index == 0:
                return entry, value, left, depth
            index -= 1
        _first_child(entry, value, left, depth, n_entries)
        depth += 1
        while index >= sizes[n_entries - 1 - entry[depth], left[depth]]:
            index -= sizes[n_entries - 1 - entry[depth], left[depth]]
            _next_sibling(entry, value, left, depth, n_entries)


@_jit
def _walk(
    first, last, offset, sizes, next_kind, signs, loss_of, correct_of, losses, correct, kinds
):
    """Loss, correct samples and kind of the vectors number offset + first to offset + last - 1."""
    n_entries, hidden, n_rows = sizes.shape[0] - 1, sizes.shape[1] - 1, signs.shape[1]
    entry, value, left, depth = _seek(offset + first, sizes)
    margin = np.full((hidden + 1, n_rows), hidden, np.int16)  # by level, H added
    kind = np.zeros(hidden + 1, np.int32)
    for level in range(1, depth):
        for row in range(n_rows):
            step = np.int16(value[level] * signs[entry[level], row])
            margin[level, row] = margin[level - 1, row] + step
        kind[level] = next_kind[kind[level - 1], abs(value[level])]
    i = first
    while True:
        if depth > 0:
            factor = np.int16(value[depth])
            for row in range(n_rows):
                step = np.int16(factor * signs[entry[depth], row])
                margin[depth, row] = margin[depth - 1, row] + step
            kind[depth] = next_kind[kind[depth - 1], abs(value[depth])]
        if sizes[0, left[depth]] == 1:
            loss, right = 0.0, 0
            for row in range(n_rows):
                m = np.uint64(margin[depth, row])
                loss += loss_of[row, m]
                right += correct_of[row, m]
            losses[i], correct[i], kinds[i] = loss, right, kind[depth]
            i += 1
            if i == last:
                return
        if _first_child(entry, value, left, depth, n_entries):
            depth += 1
        else:
            while not _next_sibling(entry, value, left, depth, n_entries):
                depth -= 1
