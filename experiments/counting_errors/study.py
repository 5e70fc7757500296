"""Counting errors in depth: what do its readings do, and what else does the section say?

    python -m experiments run counting-errors

Fontana (2022), section 4.1, says in two places, and in neither fully, what makes the input of a
layer wrong. Here every reading trains two to five layers for as many generations. Then the smaller
claims of the section: label bits against ties, a score on test images, support vector machines, and
pixels as signs. The last 10,000 training rows choose all that is chosen, but where the text has it
otherwise.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from classical.binarized import BinarizedNetwork
from classical.evolution import CountingErrors, EliteEvolution, Scheme, evolve
from classical.fit_images import accuracy, fit_images
from classical.majority import DEPTHS, MajorityNetwork, PackedSamples
from experiments.counting_errors import pictures
from experiments.counting_errors import tables as written
from qhyper import Streams
from qhyper.bits import Words
from qhyper.data.images import Images, load_images
from qhyper.targets.packed.inputs import pack_bits
from qhyper.targets.packed.population import votes
from qhyper.targets.packed.wrong import READINGS, Reading

TITLE = "Counting errors: does depth help, by reading, and what of the section's other claims?"

CLASSES, HELD_OUT, SEED = 10, 10_000, 0


@dataclass(frozen=True)
class Rule:
    """What counts as wrong."""

    reading: Reading
    voters_below: bool = False


RULES = {
    "all-weights": Rule("all-weights"),
    "contributions": Rule("contributions"),
    "wrong-bits": Rule("wrong-bits"),
    "contributions-voters": Rule("contributions", voters_below=True),
    "wrong-bits-voters": Rule("wrong-bits", voters_below=True),
}
"""Readings (i), (ii), (iii); and (ii) and (iii) where hidden weights have to vote to be wrong."""


@dataclass(frozen=True)
class Sizes:
    """How large a setting is."""

    generations: int
    """of counting errors"""
    elite_generations: int
    seeds: int
    """of the networks that see signs or whole pixels"""
    rows: int
    """to train these and the linear machine on, of 50,000"""
    kernel_rows: int
    """to train the machines with a kernel on"""
    epochs: int
    deepest: int
    """layers"""
    label_bits: tuple[int, ...]


FULL = Sizes(800, 400, 5, 20_000, 5_000, 3, DEPTHS[-1], (1, 2, 5, 10, 20, 50, 100))
QUICK = Sizes(60, 20, 2, 2_000, 500, 1, 2, (1, 10, 100))

WIDTH, BITS = 512, 50
"""Units of every hidden layer, and label bits, where depth is what differs."""
P, ROWS = 0.002, (1, 5)
"""Probability of a flip, as `no-float` found it for one hidden layer; rows of one class, of which
the better number on rows held out is taken."""
CHECKS = 10
"""Looks at the rows held out in a training: the best network of them is kept."""

ELITE = EliteEvolution(p=3 / 13_344, rows=4096, children=16, networks=4, weights=(1, 3))
ELITE_NETWORK = MajorityNetwork((784, 16, 50), 5)
"""As `no-float` chose them anew: 13,344 weights."""

SHARES_OF = MajorityNetwork((784, 1024, 1024, 1024, 1024, 1000), 100)
"""As printed for counting errors, with widths of ours."""

PENALTY = 0.01
"""Of the linear machines, C of scikit-learn."""
HIDDEN = 128


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """Every piece of work; long ones first."""
    sizes = QUICK if quick else FULL
    found: dict[str, Callable[[], Any]] = {
        f"depth-{depth}-{rule}": partial(in_depth, depth, rule, sizes)
        for depth in reversed(DEPTHS)
        if depth <= sizes.deepest
        for rule in reversed(RULES)
    }
    return found | {
        "inputs": partial(signs_and_pixels, sizes),
        "machines": partial(machines, sizes),
        "elite": partial(elite, sizes),
        "bits": partial(label_bits, sizes),
        "shares": shares,
    }


# -- depth, by reading -----------------------------------------------------------------------------


def shares() -> dict[str, list[float]]:
    """Inputs of the last layer that count as wrong in random networks, with 1 row and with 100."""
    training = _samples(_images()[0])
    found: dict[str, list[float]] = {}
    for reading in READINGS:
        rng, of_rows = _stream(), []
        for rows in (1, 100):
            counted = []
            for words in SHARES_OF.random(3, rng):
                batch = training.take(rng.integers(len(training), size=rows))
                where, masks = SHARES_OF.wrong_weights(words, batch, reading=reading)
                wrong = np.zeros(SHARES_OF.shape.n_words, np.uint64)
                wrong[where] = masks
                counted.append(SHARES_OF.shape.unpack(wrong)[-2].any(axis=1).mean())
            of_rows.append(float(np.mean(counted)))
        found[reading] = of_rows
    return found


def in_depth(depth: int, rule: str, sizes: Sizes) -> dict[str, Any]:
    """Train so many layers by one rule, for each number of rows a generation."""
    layers = (784, *[WIDTH] * (depth - 1), CLASSES * BITS)
    network, of = MajorityNetwork(layers, BITS), RULES[rule]
    tried = []
    for rows in ROWS:
        scheme = _counting(rows, of)
        tried.append({"rows": rows} | _trained(network, scheme, sizes.generations)[0])
    best = max(tried, key=lambda found: found["held_out"])
    return {"depth": depth, "rule": rule, "tried": tried, "best": best}


def _counting(rows: int, rule: Rule) -> CountingErrors:
    return CountingErrors(
        p=P, rows=rows, children=1, one_class=True, reading=rule.reading,
        voters_below=rule.voters_below,
    )  # fmt: skip


def _trained(
    network: MajorityNetwork, scheme: Scheme, generations: int
) -> tuple[dict[str, Any], Words]:
    """What a training on all but the rows held out comes to, and its network, words [word]."""
    training, held_out, test = _split()
    began = time.perf_counter()
    found = evolve(
        network, scheme, training, held_out, rng=_stream(), generations=generations,
        check_every=max(1, generations // CHECKS),
    )  # fmt: skip
    seconds = time.perf_counter() - began
    return {
        "held_out": max(check.accuracy for check in found.history),
        "last": found.history[-1].accuracy,
        "test": _share_right(network, found.words, test),
        "seconds": seconds,
        "history": [(check.generation, check.accuracy) for check in found.history],
    }, found.words


# -- label bits and ties ---------------------------------------------------------------------------


def label_bits(sizes: Sizes) -> list[dict[str, Any]]:
    """What each number of label bits comes to, few first."""
    return [with_label_bits(bits, sizes.generations) for bits in sizes.label_bits]


def with_label_bits(bits: int, generations: int) -> dict[str, Any]:
    """Train one hidden layer with so many label bits; ties among the test images."""
    network = MajorityNetwork((784, WIDTH, CLASSES * bits), bits)
    measured, words = _trained(network, _counting(ROWS[-1], RULES["all-weights"]), generations)
    test = _split()[2]
    (counts,) = votes(network.shape, words[None], test.inputs, bits)
    first = counts == counts.max(axis=1, keepdims=True)
    own = first[np.arange(len(test)), test.labels] / first.sum(axis=1)
    return measured | {
        "bits": bits,
        "ties": float((first.sum(axis=1) > 1).mean()),
        "by_lot": float(own.mean()),
        "fair": fair_ties(bits),
    }


def fair_ties(bits: int, classes: int = CLASSES) -> float:
    """Probability that independent fair bits give two classes or more the most ones.

    One minus that of a single class with the most: classes · Σ_m P(B = m) P(B < m)^(classes - 1),
    where B is binomial of so many bits and 1/2.
    """
    exactly = [comb(bits, m) / 2**bits for m in range(bits + 1)]
    single = sum(p * sum(exactly[:m]) ** (classes - 1) for m, p in enumerate(exactly))
    return 1 - classes * single


# -- the score of elite evolution ------------------------------------------------------------------


def elite(sizes: Sizes) -> list[dict[str, Any]]:
    """The score as it is printed, on test images, and on training images."""
    return [scored_on(on, sizes.elite_generations) for on in ("test", "training")]


def scored_on(on: str, generations: int) -> dict[str, Any]:
    """Elite evolution whose children are scored, and kept, on 10,000 `test` or `training` images.

    The rows held out are seen in neither, and the test images only where they are named.
    """
    training, held_out, test = _split()
    own = test if on == "test" else training.take(slice(HELD_OUT))
    began = time.perf_counter()
    found = evolve(
        ELITE_NETWORK, ELITE, own, own, rng=_stream(), generations=generations,
        check_every=max(1, generations // CHECKS),
    )  # fmt: skip
    seconds = time.perf_counter() - began
    return {
        "on": on,
        "scored": _share_right(ELITE_NETWORK, found.words, own),
        "held_out": _share_right(ELITE_NETWORK, found.words, held_out),
        "test": _share_right(ELITE_NETWORK, found.words, test),
        "seconds": seconds,
        "generations": generations,
    }


# -- support vector machines, and what pixels as signs lose ----------------------------------------


def machines(sizes: Sizes) -> list[dict[str, Any]]:
    """Support vector machines that see signs, and such that see pixels."""
    return [found for seen in ("signs", "pixels") for found in machines_that_see(seen, sizes)]


def machines_that_see(seen: str, sizes: Sizes) -> list[dict[str, Any]]:
    """A linear support vector machine, and one with a Gaussian kernel on fewer rows."""
    from sklearn.svm import SVC, LinearSVC

    training, test = (_as_signs(images) if seen == "signs" else images for images in _images())
    kinds = [("linear", LinearSVC(C=PENALTY, random_state=SEED), sizes.rows),
          ("Gaussian kernel", SVC(C=5.0), sizes.kernel_rows)]  # fmt: skip
    found = []
    for kind, machine, rows in kinds:
        began = time.perf_counter()
        machine.fit(_features(training.take(slice(rows))), training.labels[:rows])
        seconds = time.perf_counter() - began
        right = machine.predict(_features(test)) == test.labels
        asked = time.perf_counter() - began - seconds
        found.append({"kind": kind, "seen": seen, "rows": rows, "test": float(right.mean()),
                      "seconds": seconds, "predictions": asked})  # fmt: skip
    return found


def signs_and_pixels(sizes: Sizes) -> dict[str, list[float]]:
    """Test accuracy [seed] of binarised networks that see signs, and of such that see pixels."""
    training, test = _images()
    found: dict[str, list[float]] = {"signs": [], "pixels": []}
    for seen, of_seeds in found.items():
        own, asked = (_as_signs(x) if seen == "signs" else x for x in (training, test))
        held_out = own.take(slice(-HELD_OUT, None))
        for seed in range(sizes.seeds):
            network = BinarizedNetwork(
                (784, HIDDEN, CLASSES), binarisation="deterministic", seed=seed
            )
            fit_images(
                network, own.take(slice(sizes.rows)), held_out, epochs=sizes.epochs, batch=100,
                learning_rate=0.003,
            )  # fmt: skip
            of_seeds.append(accuracy(network, asked))
    return found


def _as_signs(images: Images) -> Images:
    """Images of 0 and 255: batch normalisation and machines see signs, but for scale and offset."""
    return Images(images.bits * np.uint8(255), images.labels)


def _features(images: Images) -> npt.NDArray[np.float64]:
    """From -1 to 1, float64 [image, pixel]."""
    return images.pixels / 127.5 - 1


# -- images ----------------------------------------------------------------------------------------


def _images() -> tuple[Images, Images]:
    """To train on, and the test images."""
    return load_images("mnist")


def _samples(images: Images) -> PackedSamples:
    return PackedSamples(pack_bits(images.bits), images.labels)


def _split() -> tuple[PackedSamples, PackedSamples, PackedSamples]:
    """To train on, held out, and test images."""
    training, test = (_samples(images) for images in _images())
    return training.take(slice(-HELD_OUT)), training.take(slice(-HELD_OUT, None)), test


def _share_right(network: MajorityNetwork, words: Words, samples: PackedSamples) -> float:
    return int(network.correct(words[None], samples)[0]) / len(samples)


def _stream() -> np.random.Generator:
    return Streams((SEED,))(0, "search")[0]


# -- what came out ---------------------------------------------------------------------------------


def tables(results: Mapping[str, Any]) -> str:
    """All tables."""
    return written.tables(results)


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write depth.svg and bits.svg."""
    pictures.draw(results, folder)


def measured(results: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    return written.measured(results)
