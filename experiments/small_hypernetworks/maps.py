"""Binary hypernetworks as maps of free bits to the bits of a target, and a real one of few numbers.

A map takes free bits z [setting, bit], -1 or +1 as float32, and returns the target's bits
[setting, bit]. Sums are of few ±1, so float32 is exact; sign(0) = +1, as everywhere.
"""

from collections.abc import Callable, Iterator
from itertools import chain, combinations, combinations_with_replacement
from math import comb

import numpy as np
import numpy.typing as npt

from qhyper import BinaryNetwork
from qhyper.bits import Bits, all_bitstrings, pack, unpack

Array = npt.NDArray[np.float32]
Map = Callable[[Array], Bits]

BLOCK = 1 << 16
HIDDEN = 16
"""Hidden units of Oey's hypernetwork."""


def images(of: Map, k: int) -> Iterator[Bits]:
    """The image of all 2^k settings of the free bits, in blocks [setting, bit]."""
    for first in range(0, 1 << k, BLOCK):
        bits = all_bitstrings(k, first, min(first + BLOCK, 1 << k))
        yield of(bits.astype(np.float32) * 2 - 1)


def _sign(sums: npt.NDArray) -> Bits:
    return (sums >= 0).astype(np.uint8)


def _random_signs(rng: np.random.Generator, *shape: int) -> Array:
    return rng.integers(0, 2, shape).astype(np.float32) * 2 - 1


def _constants(k: int) -> int:
    """Constant inputs beside k free ones, so that their number is odd and no sum is zero.

    One or two, never none: without any, z and -z would give opposite weights, which compute the
    same function but for ties.
    """
    return 1 if k % 2 == 0 else 2


# -- learned latent bits, a fixed map --------------------------------------------------------------


def linear(n_bits: int, k: int, rng: np.random.Generator) -> Map:
    """w = sign(M z), M uniform ±1."""
    fixed = _random_signs(rng, k + _constants(k), n_bits)
    return lambda z: _sign(z @ fixed[:k] + fixed[k:].sum(axis=0))


def two_layers(n_bits: int, k: int, rng: np.random.Generator) -> Map:
    """w = sign(M2 sign(M1 z)) with 16 hidden units and biases, all fixed: k-16-36 of Oey.

    A bias is one constant input; there are two where k is odd, as in `linear`.
    """
    below, above = linear(HIDDEN, k, rng), _random_signs(rng, HIDDEN + 1, n_bits)
    return lambda z: _sign((2.0 * below(z) - 1) @ above[:HIDDEN] + above[HIDDEN])


# -- by unit: one layer for the six bits of every unit ---------------------------------------------


def by_unit(network: BinaryNetwork) -> npt.NDArray[np.int64]:
    """The bits of every hidden unit, [unit, bit of the unit]: its inputs', then its outputs'."""
    first, second = network.layout.bits.values()
    return np.concatenate([first.T, second], axis=1)


def _spread(units: Bits, index: npt.NDArray[np.int64]) -> Bits:
    """Bits of units [setting, unit, bit of the unit] at their places, [setting, bit]."""
    bits = np.empty((len(units), index.size), np.uint8)
    bits[:, index.ravel()] = units.reshape(len(units), -1)
    return bits


def learned_layer(network: BinaryNetwork, width: int, rng: np.random.Generator) -> Map:
    """A unit's bits are sign(A e): A learned, shared by units, and e a fixed embedding of each.

    Embeddings are random and differ as far as there are enough of them; free bits: width x the
    bits of a unit.
    """
    index = by_unit(network)
    n_units, each = index.shape
    codes = [rng.permutation(1 << width) for _ in range(-(-n_units >> width))]
    embedding = all_bitstrings(width)[np.concatenate(codes)[:n_units]].astype(np.float32) * 2 - 1

    def of(z: Array) -> Bits:
        sums = z.reshape(len(z) * each, width) @ embedding.T
        return _spread(_sign(sums.reshape(len(z), each, n_units).transpose(0, 2, 1)), index)

    return of


def learned_embeddings(
    network: BinaryNetwork, width: int, rng: np.random.Generator
) -> Iterator[Bits]:
    """A unit's bits are sign(A e): A fixed and random, and e the free bits of every unit.

    Yields the image in blocks [string, bit], in one order of the units.
    """
    embedding = all_bitstrings(width).astype(np.float32) * 2 - 1
    fixed = _random_signs(rng, width, by_unit(network).shape[1])
    return in_one_order(network, _sign(embedding @ fixed))


def in_one_order(network: BinaryNetwork, units: Bits) -> Iterator[Bits]:
    """All networks of `units` [unit, bit of the unit], in blocks [string, bit].

    In one order of the units only, on which the loss does not depend.
    """
    index = by_unit(network)
    orders = combinations_with_replacement(range(len(units)), len(index))
    which = np.fromiter(chain.from_iterable(orders), np.int8).reshape(-1, len(index))
    for first in range(0, len(which), BLOCK):
        yield _spread(units[which[first : first + BLOCK]], index)


def both_learned(network: BinaryNetwork, width: int) -> Map:
    """A unit's bits are sign(A e), and A and all e are free."""
    index = by_unit(network)
    n_units, each = index.shape

    def of(z: Array) -> Bits:
        embedding = z[:, : n_units * width].reshape(-1, n_units, width)
        shared = z[:, n_units * width :].reshape(-1, width, each)
        return _spread(_sign(embedding @ shared), index)

    return of


# -- real parameters -------------------------------------------------------------------------------


def cells(slopes: npt.NDArray[np.float64], offsets: npt.NDArray[np.float64]) -> Bits:
    """All strings sign(A t + b), t in R^p, of slopes A [bit, p] and offsets b [bit]: [string, bit].

    They are the cells of an arrangement of hyperplanes in general position, Σ_{i <= p} C(n, i) of
    them (Buck, 1943). Every cell has a vertex, where p planes meet, and lies on one of the 2^p
    sides of these: so all of them are found, and none is missed if their number is right.

    Raises ArithmeticError if it is not.
    """
    n, p = slopes.shape
    planes = np.array(list(combinations(range(n), p)))
    vertices = np.linalg.solve(slopes[planes], -offsets[planes][..., None])[..., 0]
    found = []
    for first in range(0, len(planes), BLOCK):
        some = planes[first : first + BLOCK]
        above = (vertices[first : first + BLOCK] @ slopes.T + offsets > 0).astype(np.uint8)
        np.put_along_axis(above, some, np.uint8(0), axis=1)
        words = pack(above)
        sides = np.zeros((len(some), 1), np.uint64)
        for plane in some.T:
            bit = np.uint64(1) << plane.astype(np.uint64)[:, None]
            sides = np.concatenate([sides, sides | bit], axis=1)
        found.append(np.unique(words | sides))
    words = np.unique(np.concatenate(found))
    expected = sum(comb(n, i) for i in range(p + 1))
    if len(words) != expected:
        raise ArithmeticError(
            f"Got {len(words):,} cells of {n} planes in R^{p}, expected {expected:,}. The planes "
            "are not in general position, or nearly so: draw others."
        )
    return unpack(words[:, None], n)
