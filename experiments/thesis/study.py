"""E. Oey, "Hypernetworks for binary neural networks" (Leiden, 2023): its experiments, and its end.

The thesis trains a 4-6-2 network in full precision and in binary (experiment 1), and a hypernetwork
that gives every image its own 36 binary weights (experiment 2). It ran out of time for the quantum
hypernetwork. All of that is here, on its two data sets, beside the certified optimum:

    python -m experiments run thesis

Each function below is one piece of that; `parts` puts them together. What was printed stands in
`tables.py`. Details that the text leaves open are those of the published notebooks
(github.com/ElyanneOey/bachelor_thesis).
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, get_args

import numpy as np
import torch

from classical.full_precision import FullPrecisionNetwork
from classical.straight_through import StraightThroughHyperNetwork, StraightThroughNetwork
from classical.supervised import accuracy, fit_classifier
from experiments.oey import (
    NETWORK,
    PRECISION,
    Watched,
    conditional,
    own_accuracy,
    proven,
    standing,
    thinned,
    train_conditional,
)
from experiments.thesis import pictures
from experiments.thesis import tables as written
from qhyper import (
    BinaryNetwork,
    Budget,
    Certificate,
    Dataset,
    Samples,
    Streams,
    build_generator,
    certify,
    load,
    train,
)
from qhyper.bits import Bits, to_string
from qhyper.run.comparison import compare
from qhyper.targets.layered.conditional_batches import ScoredOn
from qhyper.targets.target import SAME_LOSS
from qhyper.training.trainer import settings_for

TITLE = "The hypernetwork thesis (Oey, 2023): what it found, why, and its quantum hypernetwork"

SHARED = ("oey.py",)

DATA = ("toy", "mnist")


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    thinned: int
    """one of so many training images is used"""
    runs: int
    """seeds of each network and of each hypernetwork that sees the image"""
    epochs: int
    """passes over the training images, of straight-through and full-precision training"""
    inputs: int
    """images of each class whose weights are judged"""
    seeds: int
    """of each generator that does not see the image"""
    evaluations: int
    """of each seed of whatever is trained without gradients of the target"""


FULL = Size(thinned=1, runs=10, epochs=50, inputs=500, seeds=40, evaluations=300_000)
QUICK = Size(thinned=20, runs=2, epochs=2, inputs=20, seeds=3, evaluations=2_560)


@cache
def _load(data: str, size: Size) -> Dataset:
    return thinned(load(data), size.thinned)


@cache
def _certified(data: str, size: Size, sign_of_zero: int = 1) -> Certificate:
    network = BinaryNetwork(NETWORK.layers, sign_of_zero=sign_of_zero)
    return certify(network, _load(data, size).train)


# -- experiment 1: full precision against binary -------------------------------------------------


def full_precision(data: str, size: Size, *, pixels: str) -> dict[str, Any]:
    """Ten networks with sigmoid units; Adam 1e-4, batches of 75, 50 epochs.

    The notebooks give them pixels in [0, 1], and the binary networks pixels in [-1, 1].
    """
    dataset = _load(data, size)
    network = FullPrecisionNetwork(NETWORK.layers, seeds=range(size.runs))
    begun = time.perf_counter()
    fit_classifier(
        network, _scaled(dataset.train, pixels), epochs=size.epochs, batch=75, learning_rate=1e-4
    )
    seconds = time.perf_counter() - begun
    right = accuracy(network, _scaled(dataset.test, pixels))
    return {"test_accuracy": right.tolist(), "seconds": seconds}


def _scaled(samples: Samples, pixels: str) -> Samples:
    """The same images with pixels in [0, 1] or [-1, 1]: features are (v - 127.5) / 128."""
    centred = samples.x * 128 / 127.5
    return Samples(centred if pixels == "[-1, 1]" else (centred + 1) / 2, samples.y)


def straight_through(data: str, size: Size, *, learning_rate: float) -> dict[str, Any]:
    """Ten binary networks with straight-through gradients, and where they stand in the landscape.

    Their features are (v - 127.5) / 128 instead of v / 127.5 - 1 in float32, so that rounding
    decides no ties; the scale, 0.4 %, enters the clip of the gradients alone.
    """
    dataset = _load(data, size)
    steps = -(-len(dataset.train.y) // 75)
    network = Watched(range(size.runs), last=steps)
    begun = time.perf_counter()
    fit_classifier(
        network, dataset.train, epochs=size.epochs, batch=75, learning_rate=learning_rate
    )
    seconds = time.perf_counter() - begun
    return {
        "seconds": seconds,
        "test_accuracy": accuracy(network, dataset.test).tolist(),
        **_standing(network.bits(), data, size),
        "last_epoch": _last_epoch(np.stack(network.seen, axis=1), dataset),
    }


def _last_epoch(bits: Bits, dataset: Dataset) -> dict[str, Any]:
    """What networks [run, step, bit] were on the way through the last epoch."""
    right = 1 - NETWORK.objective(dataset.test, "accuracy")(bits)
    flipped = (bits[:, 1:] != bits[:, :-1]).sum(axis=-1)
    return {
        "mean": right.mean(axis=1).tolist(),
        "sd": right.std(axis=1).tolist(),
        "flips_a_step": flipped.mean(axis=1).tolist(),
        "least_loss": NETWORK.objective(dataset.train)(bits).min(axis=1).tolist(),
        "mean_of_runs": right.mean(axis=0).tolist(),  # by step
    }


def _standing(bits: Bits, data: str, size: Size) -> dict[str, Any]:
    """Where networks [run, bit] stand among all 2^36."""
    objective = NETWORK.objective(_load(data, size).train)
    where = standing(bits, objective, _certified(data, size))
    flipped = np.repeat(bits[:, None], NETWORK.n_bits, axis=1)
    each = np.arange(NETWORK.n_bits)
    flipped[:, each, each] ^= 1
    better = objective(flipped) < where["loss"][:, None] - SAME_LOSS
    return {name: values.tolist() for name, values in where.items()} | {
        "bits": [to_string(one) for one in bits],
        "patterns": [_patterns(one) for one in bits],
        "better_flips": better.sum(axis=1).tolist(),
    }


def _patterns(bits: Bits) -> int:
    """How many sign patterns of the four pixels the output depends on.

    v and -v are one, as they are for all images but those with x · v = 0. Units of the same
    pattern add up, and those of opposite outputs cancel.
    """
    first, second = NETWORK.space.decode(bits).weights
    effect: Counter[tuple[int, ...]] = Counter()
    for pattern, outputs in zip(first.T, second, strict=True):
        direction = int(pattern[0])
        effect[tuple((direction * pattern).tolist())] += direction * int(outputs[1] - outputs[0])
    return sum(value != 0 for value in effect.values())


def together(size: Size) -> dict[str, Any]:
    """Seconds of ten runs in the same tensors, and of ten runs one after another."""
    images = load("toy").train
    every = 5 * size.thinned
    some = Samples(images.x[::every], images.y[::every])
    networks: dict[str, tuple[Callable[[range], Any], int]] = {
        "full precision": (lambda seeds: FullPrecisionNetwork(NETWORK.layers, seeds=seeds), 75),
        "binary": (
            lambda seeds: StraightThroughNetwork(NETWORK.layers, seeds=seeds, dtype=PRECISION), 75,
        ),
        "hypernetwork": (
            lambda seeds: StraightThroughHyperNetwork(NETWORK.layers, seeds=seeds, dtype=PRECISION),
            32,
        ),
    }  # fmt: skip

    def seconds(make: Callable[[range], Any], batch: int, seeds: range) -> float:
        begun = time.perf_counter()
        fit_classifier(make(seeds), some, epochs=1, batch=batch, learning_rate=1e-4)
        return time.perf_counter() - begun

    found: dict[str, Any] = {"images": len(some.y)}
    for name, (make, batch) in networks.items():
        seconds(make, batch, range(1))
        pairs = [
            (
                seconds(make, batch, range(10)),
                sum(seconds(make, batch, range(k, k + 1)) for k in range(10)),
            )
            for _ in range(3)
        ]
        found[name] = {"together": [a for a, _ in pairs], "one at a time": [b for _, b in pairs]}
    return found


# -- experiment 2: hypernetworks that see the image ------------------------------------------------


def oey(data: str, size: Size, *, both_layers: bool) -> dict[str, Any]:
    """Her hypernetwork: straight-through, w(x) scored on x alone, batches of 32, 50 epochs.

    In her code gradients reach the second layer's weights only (`both_layers` lets them reach the
    first), and sign(0) of a hidden unit is 0 in training and +1 where the weights are judged;
    `as_trained` judges them with 0 too.
    """
    dataset = _load(data, size)
    network = StraightThroughHyperNetwork(
        NETWORK.layers, both_layers=both_layers, seeds=range(size.runs), dtype=PRECISION
    )
    begun = time.perf_counter()
    fit_classifier(network, dataset.train, epochs=size.epochs, batch=32, learning_rate=1e-4)
    seconds = time.perf_counter() - begun

    def weights(x: np.ndarray, draw: int) -> Bits:
        return network.weights(torch.tensor(x, dtype=PRECISION))

    return {
        "seconds": seconds,
        "parameters": sum(p[0].numel() for p in network.parameters()),
        **_judged(weights, data, size),
        "as_trained": _judged(weights, data, size, sign_of_zero=0),
    }


def conditioned(data: str, size: Size, *, kind: str, scored_on: ScoredOn) -> dict[str, Any]:
    """The same question without gradients of the target: w(x) is drawn, and scored as a number.

    `classical` has the layers of hers, with a draw in the place of rounding; `quantum` is one
    trained circuit, which takes the pixels as angles and is measured once an image.
    """
    dataset = _load(data, size)
    depth = 2 if kind == "quantum" else None
    generator = conditional(NETWORK, depth=depth, seeds=range(size.runs))
    begun = time.perf_counter()
    train_conditional(
        generator, NETWORK, dataset.train, evaluations=size.evaluations, scored_on=scored_on
    )
    seconds = time.perf_counter() - begun

    def weights(x: np.ndarray, draw: int) -> Bits:
        rng = Streams(generator.seeds)(draw, "evaluate")
        return generator.sample(1, rng=rng, inputs=x).bits[:, :, 0]

    return {
        "seconds": seconds,
        "parameters": generator.n_parameters,
        **_judged(weights, data, size),
    }


def _judged(
    weights: Callable[[np.ndarray, int], Bits], data: str, size: Size, *, sign_of_zero: int = 1
) -> dict[str, Any]:
    """As in section 4.4: the weights of training images of each class on the whole test set.

    `weights(x, draw)` gives the bits [replica, input, bit] for images x [input, feature].
    """
    dataset = _load(data, size)
    network = BinaryNetwork(NETWORK.layers, sign_of_zero=sign_of_zero)
    on_train = network.objective(dataset.train)
    on_test = network.objective(dataset.test, "accuracy")
    images = _images(dataset.train, size.inputs)
    bits = weights(dataset.train.x[images], 0)
    losses = on_train(bits)
    minimum = _certified(data, size, sign_of_zero).minimum_loss
    ones = bits.mean(axis=1)
    between = (2 * ones * (1 - ones)).sum(axis=-1) * len(images) / (len(images) - 1)
    same = (bits != weights(dataset.train.x[images], 1)).sum(axis=-1).mean(axis=1)
    right = 1 - on_test(bits)
    # toy's corner that would be white in an image of the other class: bright is unclear
    decisive = np.where(dataset.train.y[images] == 0, 2, 1)
    corner = dataset.train.x[images, decisive]

    own = _images(dataset.test, size.inputs)
    on_own = Samples(dataset.test.x[own], dataset.test.y[own])
    return {
        "accuracy": np.round(right, 5).tolist(),  # [run][image], class 0 first
        "accuracy_by_corner": [  # dark, middle, bright
            float(right[:, which].mean()) if which.any() else None
            for which in (corner < -1 / 3, abs(corner) <= 1 / 3, corner > 1 / 3)
        ],
        "own_accuracy": own_accuracy(network, on_own, weights(on_own.x, 2)).tolist(),
        "at_optimum": (losses <= minimum + SAME_LOSS).mean(axis=1).tolist(),
        "within_5_percent": (losses <= 1.05 * minimum).mean(axis=1).tolist(),
        "hamming_between_images": between.tolist(),
        "hamming_of_two_draws": same.tolist(),
    }


def _images(samples: Samples, each: int) -> np.ndarray:
    """Numbers of `each` images of class 0, then of class 1, always the same ones."""
    rng = np.random.default_rng(np.random.SeedSequence(2023))
    return np.concatenate(
        [rng.choice(np.flatnonzero(samples.y == label), each, replace=False) for label in (0, 1)]
    )


# -- generators that do not see the image, as in `qhyper compare` ----------------------------------


def unconditional(data: str, size: Size, *, name: str) -> dict[str, Any]:
    """A generator with its recipe, at the budget of the main comparison, over all seeds.

    Draws of the first seeds are judged as the weights of images are.
    """
    dataset = _load(data, size)
    objective = NETWORK.objective(dataset.train)
    generator = build_generator(
        name, NETWORK.n_bits, seeds=range(size.seeds), layout=NETWORK.layout
    )
    settings = settings_for(generator, {}, Budget(evaluations=size.evaluations))
    begun = time.perf_counter()
    trainer = train(generator, objective, settings)
    seconds = time.perf_counter() - begun
    drawn = generator.sample(1024, rng=Streams(generator.seeds)(0, "evaluate")).bits

    def weights(x: np.ndarray, draw: int) -> Bits:
        rng = Streams(generator.seeds)(draw, "evaluate")
        return generator.sample(len(x), rng=rng).bits[: size.runs, 0]

    test = NETWORK.objective(dataset.test, "accuracy")
    return {
        "seconds": seconds,
        "kind": "quantum" if generator.capabilities.quantum else "classical",
        "parameters": generator.n_parameters,
        "best_loss": trainer.record.best_loss.tolist(),
        "best_test_accuracy": (1 - test(trainer.record.best_bits)).tolist(),
        "mean_loss": objective(drawn).mean(axis=(1, 2)).tolist(),
        **_judged(weights, data, size),
    }


def control(data: str, size: Size, *, name: str) -> dict[str, Any]:
    """A search without a generator, at the same budget."""
    dataset = _load(data, size)
    begun = time.perf_counter()
    outcome = compare(
        NETWORK.objective(dataset.train), [name], seeds=range(size.seeds),
        evaluations=size.evaluations, test=dataset.test, name=data,
    )  # fmt: skip
    (result,) = outcome.results
    return {
        "seconds": time.perf_counter() - begun,
        "kind": "control",
        "parameters": 0,
        "best_loss": result.best_loss,
        "best_test_accuracy": result.test_accuracy,
        "mean_loss": result.final_loss,
    }


# -- what is true of the landscape -----------------------------------------------------------------


def landscape(data: str, size: Size) -> dict[str, Any]:
    """The certificate, and the best network of fewer hidden units.

    A hidden unit whose two output weights are equal does nothing, so a 4-6-2 network of which at
    most j units have an effect is a 4-j-2 network.
    """
    dataset = _load(data, size)
    certificate = _certified(data, size)
    fewer = []
    for j in range(1, 7):
        network = BinaryNetwork((4, j, 2))
        best = certificate if j == 6 else certify(network, dataset.train)
        right = 1 - network.objective(dataset.test, "accuracy")(best.optimum[None])
        fewer.append({"loss": best.minimum_loss, "test_accuracy": float(right[0])})
    own = _images(dataset.test, size.inputs)
    on_own = Samples(dataset.test.x[own], dataset.test.y[own])
    return {
        **proven(certificate, dataset.test),
        "own_accuracy": float(NETWORK.accuracy(certificate.optimum, on_own)),
        "patterns": _patterns(certificate.optimum),
        "working_units": fewer,
    }


# -- the study -------------------------------------------------------------------------------------


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """All pieces of work: first what fails at once without the data, then long ones first."""
    size = QUICK if quick else FULL
    found: dict[str, Callable[[], Any]] = {}
    for data in DATA:
        found[f"landscape-{data}"] = partial(landscape, data, size)
    for data in DATA:
        found[f"oey-{data}"] = partial(oey, data, size, both_layers=False)
        found[f"oey-both-layers-{data}"] = partial(oey, data, size, both_layers=True)
        for name in written.BLIND:
            found[f"{name}-{data}"] = partial(unconditional, data, size, name=name)
    for data in DATA:
        for kind in ("quantum", "classical"):
            for scored_on in get_args(ScoredOn):
                found[f"{kind}-{scored_on}-{data}"] = partial(
                    conditioned, data, size, kind=kind, scored_on=scored_on
                )
    found["together"] = partial(together, size)
    for data in DATA:
        for name in written.CONTROLS:
            found[f"{name}-{data}"] = partial(control, data, size, name=name)
        for name, rate in (("straight-through", 1e-4), ("straight-through-fast", 1e-3)):
            found[f"{name}-{data}"] = partial(straight_through, data, size, learning_rate=rate)
        for name, pixels in (
            ("full-precision", "[0, 1]"), ("full-precision-centred", "[-1, 1]"),
        ):  # fmt: skip
            found[f"{name}-{data}"] = partial(full_precision, data, size, pixels=pixels)
    return found


tables = written.tables
measured = written.measured
draw = pictures.draw
