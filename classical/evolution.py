"""Training without floating point: the three evolutionary schemes of Fontana (2022), section 4.1.

Each `..._step` is one of the thesis's appendices .1 to .3, on one batch. Scores are numbers of rows
classified correctly: networks and scores are bits and whole numbers, and the one other number in a
step is the probability of a flip.
`evolve` repeats a scheme on batches of the training rows, and keeps the network that is best on
rows held out.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from classical.majority import MajorityNetwork, PackedSamples, mutate
from qhyper.bits import Words
from qhyper.errors import ConfigurationError
from qhyper.targets.packed.wrong import Reading

ONE = 1 << 20
"""What one row counts in a score: fractions of a row are kept to this part."""


@dataclass(frozen=True)
class Population:
    """Networks `words` uint64 [network, word], best first, and their `scores` int64 [network]."""

    words: Words
    scores: npt.NDArray[np.int64]


def naive_step(
    network: MajorityNetwork,
    words: Words,
    batch: PackedSamples,
    *,
    p: float,
    rng: np.random.Generator,
) -> Words:
    """Appendix .1: flip every weight with probability p; the old network only if it is better.

    `words` and the result are one network, uint64 [word]: the new one also where both are equally
    good. Raises ConfigurationError unless 0 <= p <= 1.
    """
    pair = np.stack([words, words])
    _flip_all(network, pair[1:], p, rng)
    old, new = network.correct(pair, batch)
    return pair[0] if old > new else pair[1]


def elite_step(
    network: MajorityNetwork, elite: Population, batch: PackedSamples, *, p: float, children: int,
    elite_size: int, weights: tuple[int, int], rng: np.random.Generator,
) -> Population:  # fmt: skip
    """Appendix .2: the best of the children of an elite, each its parent with weights flipped.

    Every parent has `children`, whose weights flip with probability p; parents themselves do not
    stay. The score is a linear combination of a child's own accuracy and its ancestors', for which
    the thesis prints no coefficients. Here `weights` (a, b) are whole numbers, and with `own` the
    number of rows that the child classifies correctly, its score is

        (a · own · 2^20 + b · parent's score) // (a + b),

    a mean over the line of descent, in units of 2^-20 rows, in which the past fades by b / (a + b)
    a generation (as the inherited fitness of Morse and Stanley 2016). Of equal scores the earlier
    child comes first. Raises ConfigurationError unless 0 <= p <= 1, there are children enough for
    the elite, and the weights are a > 0 and b >= 0.
    """
    parents = np.repeat(np.arange(len(elite.words)), max(children, 0))
    if not 1 <= elite_size <= len(parents):
        raise ConfigurationError(
            f"Got an elite of {elite_size} from {len(elite.words)} networks with {children} "
            "children each; expected 1 or more, and children enough for it."
        )
    a, b = weights
    whole = type(a) is int and type(b) is int
    # so that scores fit 63 bits
    if not whole or a < 1 or b < 0 or (a + b) * len(batch) >= 1 << 43:
        raise ConfigurationError(
            f"Got weights={weights} of a network's own score and its ancestors'; expected whole "
            "numbers a > 0 and b >= 0, such as (1, 1)."
        )
    words = elite.words[parents]
    _flip_all(network, words, p, rng)
    own = network.correct(words, batch)
    scores = (a * own * ONE + b * elite.scores[parents]) // (a + b)
    best = np.argsort(-scores, kind="stable")[:elite_size]
    return Population(words[best], scores[best])


def counting_step(
    network: MajorityNetwork, words: Words, batch: PackedSamples, *, p: float, p_all: float,
    children: int, rng: np.random.Generator, reading: Reading = "all-weights",
    voters_below: bool = False,
) -> Words:  # fmt: skip
    """Appendix .3: the best of children with weights flipped that count as wrong.

    Weights that `network.wrong_weights` finds on the batch, by its `reading` and with its
    `voters_below`, flip with probability p. The last line before sorting, "flip the w with
    probability p", says neither which w nor whether p is the same: here every weight then flips
    with probability `p_all`, which may be 0. Children are compared on the batch; the first of the
    best is the result, even if the parent was better. `words` and the result are one network,
    uint64 [word].

    Raises ConfigurationError unless p and p_all are from 0 to 1 and children >= 1, and for no
    reading.
    """
    _check_probability("p", p)
    if children < 1:
        raise ConfigurationError(f"Got children={children}; expected 1 or more.")
    where, masks = network.wrong_weights(words, batch, reading=reading, voters_below=voters_below)
    population = np.repeat(words[None], children, axis=0)
    mutate(population, where, masks, p, rng)
    _flip_all(network, population, p_all, rng)
    if children == 1:
        return population[0]
    return population[network.correct(population, batch).argmax()]


def _flip_all(network: MajorityNetwork, words: Words, p: float, rng: np.random.Generator) -> None:
    """Flip every weight with probability p, in place."""
    _check_probability("p", p)
    mutate(words, np.arange(network.shape.n_words), network.shape.ones, p, rng)


def _check_probability(name: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ConfigurationError(f"Got {name}={p}; expected a probability, from 0 to 1.")


# -- what is repeated ------------------------------------------------------------------------------


class Scheme(ABC):
    """A way to train: how many networks it keeps, and what it does in a generation."""

    networks: int = 1
    """How many it starts with."""

    @abstractmethod
    def generation(
        self,
        network: MajorityNetwork,
        old: Population,
        data: PackedSamples,
        rng: np.random.Generator,
    ) -> Population:
        """The next population, from batches of `data`."""


@dataclass(frozen=True)
class NaivePerturbation(Scheme):
    """`naive_step` on `rows` random rows a generation."""

    p: float
    rows: int

    def generation(
        self,
        network: MajorityNetwork,
        old: Population,
        data: PackedSamples,
        rng: np.random.Generator,
    ) -> Population:
        """One step."""
        batch = _draw(data, self.rows, rng)
        words = naive_step(network, old.words[0], batch, p=self.p, rng=rng)
        return Population(words[None], old.scores)


@dataclass(frozen=True)
class EliteEvolution(Scheme):
    """`elite_step` on `rows` random rows a generation."""

    p: float
    rows: int
    children: int
    networks: int
    """Size of the elite."""
    weights: tuple[int, int] = (1, 1)

    def generation(
        self,
        network: MajorityNetwork,
        old: Population,
        data: PackedSamples,
        rng: np.random.Generator,
    ) -> Population:
        """One step; raises ConfigurationError as `elite_step` does."""
        return elite_step(
            network, old, _draw(data, self.rows, rng), p=self.p, children=self.children,
            elite_size=self.networks, weights=self.weights, rng=rng,
        )  # fmt: skip


@dataclass(frozen=True)
class CountingErrors(Scheme):
    """`counting_step` on `rows` random rows a generation, all of one class if `one_class`."""

    p: float
    rows: int
    children: int
    p_all: float = 0.0
    one_class: bool = False
    """On rows of all classes, a bit that is always 0 is as it should be on nine rows of ten."""
    reading: Reading = "all-weights"
    """What makes an input of a layer wrong, as `qhyper.targets.packed.wrong` explains."""
    voters_below: bool = False
    """Whether only weights that voted for what a wrong hidden unit was are wrong, and not all."""

    def generation(
        self,
        network: MajorityNetwork,
        old: Population,
        data: PackedSamples,
        rng: np.random.Generator,
    ) -> Population:
        """One step."""
        batch = _draw(data, self.rows, rng, one_class=self.one_class)
        words = counting_step(
            network, old.words[0], batch, p=self.p, p_all=self.p_all, children=self.children,
            rng=rng, reading=self.reading, voters_below=self.voters_below,
        )  # fmt: skip
        return Population(words[None], old.scores)


def _draw(
    data: PackedSamples, rows: int, rng: np.random.Generator, *, one_class: bool = False
) -> PackedSamples:
    """So many random rows, with replacement; with `one_class` all of a random row's class."""
    if rows < 1:
        raise ConfigurationError(f"Got batches of {rows} rows; expected 1 or more.")
    among = np.arange(len(data))
    if one_class:
        among = np.flatnonzero(data.labels == data.labels[rng.integers(len(data))])
    return data.take(among[rng.integers(len(among), size=rows)])


class Check(NamedTuple):
    """What was found on the rows held out, and when."""

    seconds: float
    """of the training so far"""
    generation: int
    accuracy: float


@dataclass(frozen=True)
class Evolved:
    """The network `words` uint64 [word] that was best on the rows held out, and all checks."""

    words: Words
    history: list[Check]


def evolve(
    network: MajorityNetwork,
    scheme: Scheme,
    data: PackedSamples,
    held_out: PackedSamples,
    *,
    rng: np.random.Generator,
    minutes: float | None = None,
    generations: int | None = None,
    check_every: int = 100,
    progress: Callable[[Check], None] = lambda check: None,
) -> Evolved:
    """Train from random networks, for so many minutes or generations, whichever ends first.

    The first network of the population is checked on the rows held out at the start, every
    `check_every` generations and at the end; the first of the best is kept. With `generations`
    alone the result depends on `rng` alone. `progress` is called with every check.

    Raises ConfigurationError without minutes and generations or if one of them, or check_every, is
    not above 0; for labels that are no classes; and as the scheme's step does.
    """
    given = [limit for limit in (minutes, generations, check_every) if limit is not None]
    whole = type(generations) in (int, type(None)) and type(check_every) is int
    if not whole or len(given) == 1 or not min(given) > 0:
        raise ConfigurationError(
            f"Got minutes={minutes}, generations={generations} and check_every={check_every}; "
            "expected numbers above 0, whole ones but for minutes, and minutes or generations, or "
            "both, to end training."
        )
    for batch in (data, held_out):
        if not isinstance(batch, PackedSamples):
            raise ConfigurationError(
                f"Got {type(batch).__name__} to train on or to hold out; expected "
                "PackedSamples, such as PackedSamples(pack_bits(images.bits), images.labels)."
            )
        network.check(batch)
    if scheme.networks < 1:
        raise ConfigurationError(f"Got networks={scheme.networks}; expected 1 or more.")
    population = Population(
        network.random(scheme.networks, rng), np.zeros(scheme.networks, np.int64)
    )
    history: list[Check] = []
    kept, most, generation, began, over = population.words[0], -1, 0, time.perf_counter(), False
    while True:
        seconds = time.perf_counter() - began
        over = generation == generations or (minutes is not None and seconds >= 60 * minutes)
        if over or generation % check_every == 0:
            right = int(network.correct(population.words[:1], held_out)[0])
            if right > most:
                kept, most = population.words[0], right
            history.append(Check(seconds, generation, right / len(held_out)))
            progress(history[-1])
        if over:
            return Evolved(kept, history)
        population = scheme.generation(network, population, data, rng)
        generation += 1
