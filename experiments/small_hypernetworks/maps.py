"""Binary hypernetworks as maps of free bits to the bits of a target, and a real one of few numbers.

Each yields the strings that it reaches, those of all settings of its free bits, in blocks
[string, bit], which are only good until the next one. Sums are of whole numbers; sign(0) = +1, as
everywhere.
"""

from collections.abc import Iterator
from itertools import chain, combinations, combinations_with_replacement, permutations, product
from math import comb

import numpy as np
import numpy.typing as npt

from qhyper import BinaryNetwork
from qhyper.bits import Bits, all_bitstrings, pack, unpack

Signs = npt.NDArray[np.int8]

LOW = 16
"""Free bits that are enumerated together."""
BLOCK = 1 << LOW
NEAR = 1e-9
"""A plane's height over a vertex, by the size of both, that rounding may hide."""
HIDDEN = 16
"""Hidden units of Oey's hypernetwork."""


def _sign(sums: npt.NDArray) -> Bits:
    return (sums >= 0).astype(np.uint8)


def _random_signs(rng: np.random.Generator, *shape: int) -> Signs:
    return (2 * rng.integers(0, 2, shape) - 1).astype(np.int8)


def _all_signs(k: int) -> Signs:
    """All of {-1, +1}^k, [setting, bit]."""
    return (2 * all_bitstrings(k).astype(np.int8) - 1).astype(np.int8)


def _constants(k: int) -> int:
    """Constant inputs beside k free ones, so that their number is odd and no sum is zero.

    One or two, never none: without any, z and -z would give opposite weights, which compute the
    same function but for ties.
    """
    return 1 if k % 2 == 0 else 2


# -- learned latent bits, a fixed map --------------------------------------------------------------


def linear(n_bits: int, k: int, rng: np.random.Generator) -> Iterator[Bits]:
    """w = sign(M z), M uniform ±1, of all z [k]."""
    return _signs_of_sums(_random_signs(rng, k + _constants(k), n_bits), k)


def two_layers(n_bits: int, k: int, rng: np.random.Generator) -> Iterator[Bits]:
    """w = sign(M2 M1 z), uniform ±1, with biases: Oey's k-16-36, whose 16 hidden units are linear.

    Hers has real weights (2023, section 4.2.3). A bias is one constant input of its layer; the
    first has two where k is odd, as in `linear`. So hidden units are odd, and no sum is zero.
    """
    above, below = _two_layers(n_bits, k, rng)
    fixed = below.astype(np.int16) @ above[:HIDDEN]
    fixed[-1] += above[HIDDEN]
    return _signs_of_sums(fixed, k)


def two_sign_layers(n_bits: int, k: int, rng: np.random.Generator) -> Iterator[Bits]:
    """w = sign(M2 sign(M1 z)): `two_layers` of the same matrices, with signs as hidden units."""
    above, below = _two_layers(n_bits, k, rng)
    exact = above.astype(np.float32)  # and faster than whole numbers
    for hidden in _signs_of_sums(below, k):
        yield _sign((2 * hidden.astype(np.float32) - 1) @ exact[:HIDDEN] + exact[HIDDEN])


def _two_layers(n_bits: int, k: int, rng: np.random.Generator) -> tuple[Signs, Signs]:
    """M2 and M1 with their constant inputs, [input, output]."""
    above = _random_signs(rng, HIDDEN + 1, n_bits)
    return above, _random_signs(rng, k + _constants(k), HIDDEN)


def _signs_of_sums(fixed: npt.NDArray[np.int8 | np.int16], k: int) -> Iterator[Bits]:
    """Signs of z W for all z [k], W = `fixed` [input, bit], whose inputs beyond k are constants."""
    low = min(k, LOW)
    sums = _all_signs(low) @ fixed[:low]
    for high in _all_signs(k - low):
        rest = high @ fixed[low:k] + fixed[k:].sum(axis=0, dtype=fixed.dtype)
        yield (sums >= -rest).view(np.uint8)


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


def embeddings(n_units: int, width: int) -> Iterator[tuple[int, Signs]]:
    """Kinds of embeddings of units, ±1, each used as often as others: choices, and one of them.

    One is [unit, width], in one order of the units, on which the loss does not depend. Choices are
    of a kind if a signed permutation of the numbers turns one into the other: a learned layer of
    all signs makes up for it.
    """
    table = _all_signs(width)
    number = {tuple(code): i for i, code in enumerate(table.tolist())}
    turned = [
        [number[tuple(code)] for code in (table[:, order] * flip).tolist()]
        for order in permutations(range(width))
        for flip in table
    ]
    each, more = divmod(n_units, len(table))
    seen: set[tuple[int, ...]] = set()
    for again in combinations(range(len(table)), more):  # those used once more
        if again not in seen:
            kind = {tuple(sorted(codes[i] for i in again)) for codes in turned}
            seen |= kind
            yield len(kind), table[[*range(len(table))] * each + [*again]]


def learned_layer(network: BinaryNetwork, embedding: Signs) -> Iterator[Bits]:
    """A unit's bits are sign(A e): A learned, shared by units; e the unit's row of `embedding`.

    Free bits: the width of embeddings times the bits of a unit. Each bit of the units, over all of
    them, is one of 2^width choices.
    """
    index = by_unit(network)
    width, each = embedding.shape[1], index.shape[1]
    choices = _sign(_all_signs(width) @ embedding.T)  # [choice, unit]
    rest = np.indices((1 << width,) * (each - 2)).reshape(each - 2, -1)
    bits = np.empty((rest.shape[1], index.size), np.uint8)
    for bit, choice in enumerate(rest, start=2):
        bits[:, index[:, bit]] = choices[choice]
    for one, other in product(choices, repeat=2):
        bits[:, index[:, 0]], bits[:, index[:, 1]] = one, other
        yield bits


def learned_embeddings(
    network: BinaryNetwork, width: int, rng: np.random.Generator
) -> Iterator[Bits]:
    """A unit's bits are sign(A e): A fixed and random, and e the free bits of every unit.

    In one order of the units.
    """
    fixed = _random_signs(rng, width, by_unit(network).shape[1])
    return in_one_order(network, _sign(_all_signs(width) @ fixed))


def in_one_order(network: BinaryNetwork, units: Bits) -> Iterator[Bits]:
    """All networks of `units` [unit, bit of the unit], in blocks [string, bit].

    In one order of the units only, on which the loss does not depend.
    """
    index = by_unit(network)
    orders = combinations_with_replacement(range(len(units)), len(index))
    which = np.fromiter(chain.from_iterable(orders), np.int8).reshape(-1, len(index))
    for first in range(0, len(which), BLOCK):
        yield _spread(units[which[first : first + BLOCK]], index)


def both_learned(network: BinaryNetwork, width: int) -> Iterator[Bits]:
    """A unit's bits are sign(A e), and A and all e are free: in one order of the units."""
    each = by_unit(network).shape[1]
    for layer in _all_signs(width * each).reshape(-1, width, each):
        yield from in_one_order(network, _sign(_all_signs(width) @ layer))


# -- real parameters -------------------------------------------------------------------------------


def cells(slopes: npt.NDArray[np.float64], offsets: npt.NDArray[np.float64]) -> Bits:
    """All strings sign(A t + b), t in R^p, of slopes A [bit, p] and offsets b [bit]: [string, bit].

    They are the cells of an arrangement of hyperplanes in general position, Σ_{i <= p} C(n, i) of
    them (Buck, 1943). Every cell has a vertex, where p planes meet, and lies on one of the 2^p
    sides of these: so all of them are found, and none is missed if their number is right.

    Raises ArithmeticError if it is not, or if a plane nearly goes through a vertex of others.
    """
    n, p = slopes.shape
    planes = np.array(list(combinations(range(n), p)))
    vertices = np.linalg.solve(slopes[planes], -offsets[planes][..., None])[..., 0]
    found, general = [], True
    for first in range(0, len(planes), BLOCK):
        some, at = planes[first : first + BLOCK], vertices[first : first + BLOCK]
        heights = at @ slopes.T + offsets
        np.put_along_axis(heights, some, -np.inf, axis=1)
        size = 1 + np.abs(at).max(axis=1, keepdims=True)
        general &= bool((np.abs(heights) > NEAR * size).all())
        words = pack((heights > 0).astype(np.uint8))
        sides = np.zeros((len(some), 1), np.uint64)
        for plane in some.T:
            bit = np.uint64(1) << plane.astype(np.uint64)[:, None]
            sides = np.concatenate([sides, sides | bit], axis=1)
        found.append(np.unique(words | sides))
    words = np.unique(np.concatenate(found))
    expected = sum(comb(n, i) for i in range(p + 1))
    if len(words) != expected or not general:
        raise ArithmeticError(
            f"Got {len(words):,} cells of {n} planes in R^{p}, expected {expected:,}. The planes "
            "are not in general position, or nearly so: draw others."
        )
    return unpack(words[:, None], n)
