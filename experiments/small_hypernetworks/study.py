"""Small hypernetworks for 36 binary weights: the exact optimum of each, beside the certificate.

    python -m experiments run small-hypernetworks

A hypernetwork here is a map, fixed before the data are seen, of few free parameters to the 36
weights of a 4-6-2 network. Nothing is trained: of every map the best setting of its parameters is
found by enumeration, or down the list of all strings in the order of their loss.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from experiments.small_hypernetworks import maps, pictures
from experiments.small_hypernetworks import tables as written
from experiments.small_hypernetworks.codes import AffineCode, random_code, random_tying, tying
from experiments.small_hypernetworks.landscape import Best, Landscape
from experiments.small_hypernetworks.tables import DATA, families, regrets, universal_bits
from qhyper import BinaryNetwork, load
from qhyper.bits import all_bitstrings, pack
from qhyper.targets.target import SAME_LOSS

TITLE = "Small hypernetworks for 36 binary weights: exact regret against their size"

NETWORK = BinaryNetwork((4, 6, 2))

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    tied: int
    """free bits of codes and of tied weights, at most"""
    latent: int
    """latent bits of fixed generators, at most"""
    large: int
    """the same of few maps"""
    signs: int
    """the same of two layers of signs"""
    width: int
    """of embeddings of units"""
    real: int
    """real parameters, at most"""
    seeds: int
    few: int
    """seeds of those that take longest"""
    many: int
    """codes of each size of which only is asked whether they reach the optimum"""


FULL = Size(
    tied=36, latent=22, large=24, signs=18, width=4, real=5, seeds=31, few=3, many=1000
)  # fmt: skip
QUICK = Size(tied=10, latent=9, large=10, signs=8, width=2, real=2, seeds=5, few=3, many=20)
REACH = range(12, 37)
"""Sizes of those codes."""


@cache
def _landscape(data: str) -> Landscape:
    return Landscape(NETWORK, load(data).train)


@cache
def _on_test(data: str) -> Any:
    return NETWORK.objective(load(data).test, "accuracy")


def _outcome(data: str, sizes: Iterable[int], found: Sequence[Sequence[Best]]) -> dict[str, Any]:
    """Losses and accuracies [size][map] of the best strings [size][map]."""
    right = _on_test(data)
    return {
        "sizes": list(sizes),
        "loss": [[best.loss for best in maps_of_size] for maps_of_size in found],
        "accuracy": [
            np.round(1 - right(np.array([best.bits for best in maps_of_size])), 6).tolist()
            for maps_of_size in found
        ],
    }


def _rng(*of: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(of))


# -- the target, and what is known without any map -------------------------------------------------


def target(data: str) -> dict[str, Any]:
    """The certificate; the null model; and how many bits a map for all data needs."""
    found = _landscape(data).certificate
    draws = [2.0**k for k in range(37)]
    return {
        "minimum": found.minimum_loss,
        "accuracy": float(1 - _on_test(data)(found.optimum[None])[0]),
        "optimal_strings": found.optimal_bitstrings,
        "functions": found.functions,
        "losses": len(found.levels),
        "mean_regret": [expected_regret(found, n) for n in draws],
        "chance": [float(-np.expm1(n * np.log1p(-found.uniform_hit_probability))) for n in draws],
    }


def expected_regret(certificate: Any, draws: float) -> float:
    """The mean regret of the best of so many uniform strings, by the spectrum.

    E[min] = l_0 + Σ_i (l_i - l_(i-1)) P(every draw is above l_(i-1)).
    """
    counts = certificate.multiplicities
    below = np.cumsum(counts)[:-1] / certificate.configurations
    return float(np.diff(certificate.levels) @ np.exp(draws * np.log1p(-below)))


# -- families of maps ------------------------------------------------------------------------------


def codes(data: str, size: Size) -> dict[str, Any]:
    """Random affine codes over GF(2): the first k columns of one matrix, for every k."""
    sizes = range(1, size.tied + 1)
    landscape = _landscape(data)
    found = [
        landscape.best_of_prefixes(random_code(36, _rng(1, seed)), sizes)
        for seed in range(size.seeds)
    ]
    return _outcome(data, sizes, list(zip(*found, strict=True)))


def tied(data: str, size: Size, *, signs: bool) -> dict[str, Any]:
    """Random balanced tying of the 36 weights, with or without a random sign of each."""
    sizes = range(1, size.tied + 1)
    landscape = _landscape(data)

    def best(k: int, seed: int) -> Best:
        return landscape.best_of_code(random_tying(36, k, _rng(2, k, seed), signs=signs))

    return _outcome(data, sizes, [[best(k, seed) for seed in range(size.seeds)] for k in sizes])


def reach(data: str, size: Size) -> dict[str, Any]:
    """The share of single codes that have an optimal string, [size] by family.

    Codes of single sizes, as `codes` and `tied` have them, but many: only the optimal strings are
    looked for.
    """
    optimal = _landscape(data).optimal

    def share(code: Callable[[int, int], AffineCode]) -> list[float]:
        return [
            float(np.mean([code(k, seed).contains(optimal).any() for seed in range(size.many)]))
            for k in REACH
        ]

    whole = [random_code(36, _rng(1, seed)) for seed in range(size.many)]
    return {
        "sizes": list(REACH),
        "maps": size.many,
        "codes": share(lambda k, seed: whole[seed].first(k)),
        "tied": share(lambda k, seed: random_tying(36, k, _rng(2, k, seed), signs=False)),
        "tied-signs": share(lambda k, seed: random_tying(36, k, _rng(2, k, seed), signs=True)),
    }


def by_structure(data: str, size: Size) -> dict[str, Any]:
    """Tying by the target's structure: one map each."""
    codes = {name: code for name, code in structures().items() if code.n_bits <= size.tied}
    landscape = _landscape(data)
    names, sizes = list(codes), [code.n_bits for code in codes.values()]
    found = [landscape.best_of_code(code) for code in codes.values()]
    if size.tied >= 30:  # too many to enumerate, but not in one order of the units
        names.append("first layer free, opposite outputs")
        sizes.append(30)
        units = np.array([[*bits[:5], 1 - bits[4]] for bits in all_bitstrings(5)])
        found.append(landscape.best(maps.in_one_order(NETWORK, units)))
    return {"names": names, **_outcome(data, sizes, [[best] for best in found])}


def structures() -> dict[str, AffineCode]:
    """Codes by what shares a bit: i is an input, j a hidden unit, o an output.

    "Opposite outputs" means that a unit's two output weights are a bit and its opposite.
    """
    i, j = (index.ravel() for index in np.indices((4, 6)))
    unit, o = (index.ravel() for index in np.indices((6, 2)))
    plain, opposite = np.zeros(36, int), np.r_[np.zeros(24, int), 1 - o]

    def code(first: Any, second: Any, minus: Any = plain) -> AffineCode:
        """Labels of both layers, made of arrays or single numbers."""
        label = np.r_[np.broadcast_to(first, 24), np.broadcast_to(second, 12)]
        return tying(label, minus)

    found = {
        "all weights": code(0, 0),
        "all, opposite outputs": code(0, 0, opposite),
        "a layer": code(0, 1),
        "a layer, opposite outputs": code(0, 1, opposite),
        "first layer in one, an output": code(0, 1 + o),
        "an input; opposite outputs": code(i, 4, opposite),
        "an input, an output": code(i, 4 + o),
        "a unit; opposite outputs": code(j, unit, opposite),
        "a unit in each layer; opposite outputs": code(j, 6 + unit, opposite),
    }
    for distinct in (2, 3, 4):
        which, after = j % distinct, unit % distinct
        found[f"{distinct} units, each used again; opposite outputs"] = code(
            5 * which + i, 5 * after + 4, opposite
        )
        found[f"{distinct} units, each used again"] = code(6 * which + i, 6 * after + 4 + o)
    weights = np.arange(24)
    found["first layer free, outputs fixed at -1, +1"] = code(weights, -1, np.r_[weights * 0, o])
    return found


def fewer_units(data: str, size: Size) -> dict[str, Any]:
    """The target of fewer hidden units: the others have no effect, whatever their inputs."""
    units = [j for j in range(1, 7) if 6 * j <= size.tied]
    found, right = [], []
    for j in units:
        network = BinaryNetwork((4, j, 2))
        best = network.objective(load(data).train).certify()
        found.append(best.minimum_loss)
        right.append(float(network.accuracy(best.optimum, load(data).test)))
    return {
        "sizes": [6 * j for j in units],
        "loss": [[loss] for loss in found],
        "accuracy": [[share] for share in right],
    }


GENERATORS = {
    "linear": (maps.linear, 3),
    "two-layers": (maps.two_layers, 4),
    "two-sign-layers": (maps.two_sign_layers, 4),
}
"""Fixed ±1 generators of latent bits, and the number of their random stream: the last two have the
same matrices."""


def latent(data: str, name: str, seeds: Mapping[int, int]) -> dict[str, Any]:
    """Learned latent bits through a fixed random ±1 generator: so many `seeds` of each size."""
    make, stream = GENERATORS[name]

    def best(k: int, seed: int) -> Best:
        return _landscape(data).best(make(36, k, _rng(stream, k, seed)))

    found = [[best(k, seed) for seed in range(n)] for k, n in seeds.items()]
    return _outcome(data, seeds, found)


def strings(size: Size) -> dict[str, Any]:
    """How many strings a fixed ±1 generator reaches, the median of the seeds, [size] by name."""

    def reached(name: str, k: int, seed: int) -> int:
        make, stream = GENERATORS[name]
        words = [pack(bits)[:, 0] for bits in make(36, k, _rng(stream, k, seed))]
        return len(np.unique(np.concatenate(words)))

    sizes = range(2, size.signs + 1, 2)
    found = {
        name: [float(np.median([reached(name, k, seed) for seed in range(size.seeds)]))
               for k in sizes]
        for name in GENERATORS
    }  # fmt: skip
    return {"sizes": list(sizes), **found}


def unit_layer(data: str, widths: Sequence[int]) -> dict[str, Any]:
    """A generator of a unit's six bits: its ±1 layer is learned, the embeddings of units fixed.

    For every choice of the embeddings: kind by kind, each as often as there are choices.
    """

    def best(width: int) -> list[Best]:
        found: list[Best] = []
        for choices, embedding in maps.embeddings(NETWORK.layers[1], width):
            found += choices * [_landscape(data).best(maps.learned_layer(NETWORK, embedding))]
        return found

    return _outcome(data, [6 * width for width in widths], [best(width) for width in widths])


def unit_embeddings(data: str, widths: Sequence[int], seeds: int) -> dict[str, Any]:
    """The other way round: the layer is fixed and random, and the units' embeddings are learned."""

    def best(width: int, seed: int) -> Best:
        return _landscape(data).best(maps.learned_embeddings(NETWORK, width, _rng(7, width, seed)))

    found = [[best(width, seed) for seed in range(seeds)] for width in widths]
    return _outcome(data, [6 * width for width in widths], found)


def unit_both(data: str, widths: Sequence[int]) -> dict[str, Any]:
    """Layer and embeddings are both learned, and nothing is fixed: 12 bits times the width."""
    found = [[_landscape(data).best(maps.both_learned(NETWORK, width))] for width in widths]
    return _outcome(data, [12 * width for width in widths], found)


def real(data: str, size: Size) -> dict[str, Any]:
    """w = sign(A t + b) of p real numbers t, with A and b normal: every cell is tried."""
    sizes = range(1, size.real + 1)

    def best(p: int, seed: int) -> Best:
        rng = _rng(6, p, seed)
        strings = maps.cells(rng.standard_normal((36, p)), rng.standard_normal(36))
        return _landscape(data).best([strings])

    found = [[best(p, seed) for seed in range(size.few)] for p in sizes]
    return _outcome(data, sizes, found)


# -- the study -------------------------------------------------------------------------------------


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """The families on both data sets: those that take longest, and the others."""
    size = QUICK if quick else FULL
    long = {f"{data}-long": partial(long_ones, data, size) for data in DATA}
    other = {f"{data}-others": partial(others, data, size) for data in DATA}
    return long | other | {"strings": partial(strings, size)}


def long_ones(data: str, size: Size) -> dict[str, Any]:
    """Families of up to 2^24 settings that are all evaluated."""
    seeds = dict.fromkeys(range(1, size.latent + 1), size.seeds)
    seeds |= dict.fromkeys(range(size.latent + 1, size.large + 1), size.few)
    return {
        "unit-layer": unit_layer(data, range(1, size.width + 1)),
        "linear": latent(data, "linear", seeds),
        "two-layers": latent(data, "two-layers", seeds),
    }


def others(data: str, size: Size) -> dict[str, Any]:
    """The target, and all other families."""
    signs = dict.fromkeys(range(1, size.signs + 1), size.seeds)
    return {
        "target": target(data),
        "structure": by_structure(data, size),
        "fewer-units": fewer_units(data, size),
        "unit-both": unit_both(data, [1, 2][: size.width // 2]),
        "unit-embeddings": unit_embeddings(data, range(1, size.width + 1), size.seeds),
        "real": real(data, size),
        "codes": codes(data, size),
        "tied-signs": tied(data, size, signs=True),
        "tied": tied(data, size, signs=False),
        "two-sign-layers": latent(data, "two-sign-layers", signs),
        "reach": reach(data, size),
    }


tables = written.tables
draw = pictures.draw


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name: medians over maps, and shares of them."""
    numbers: dict[str, float] = {}
    for data in DATA:
        found = families(results, data)
        known, reached = found.pop("target"), found.pop("reach")
        numbers[f"{data}-minimum"] = known["minimum"]
        for k in (1, 2, 4, 8, 16):
            numbers[f"{data}-null-{k}-regret"] = known["mean_regret"][k]
        for name, of in found.items():
            for k, regret in zip(of["sizes"], regrets(results, name, data), strict=True):
                key = f"{data}-{name}-{k}-regret"  # of structures of the same size the best
                numbers[key] = min(numbers.get(key, np.inf), float(np.median(regret)))
                numbers[f"{data}-{name}-{k}-reach"] = float(np.mean(regret <= SAME_LOSS))
        for name in ("codes", "tied", "tied-signs"):
            for k, share in zip(reached["sizes"], reached[name], strict=True):
                numbers[f"{data}-{name}-{k}-many-reach"] = share
    for name in GENERATORS:
        for k, n in zip(results["strings"]["sizes"], results["strings"][name], strict=True):
            numbers[f"{name}-{k}-strings"] = n
    numbers["universal-at-least"], numbers["universal-enough"] = map(float, universal_bits(results))
    return numbers
