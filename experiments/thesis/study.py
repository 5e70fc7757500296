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
from functools import partial
from typing import Any

import numpy as np
import torch

from classical.conditional import ConditionalBernoulli
from classical.full_precision import FullPrecisionNetwork
from classical.straight_through import StraightThroughHyperNetwork, StraightThroughNetwork
from classical.supervised import accuracy, fit
from experiments.thesis import pictures
from experiments.thesis import tables as written
from qhyper import (
    BinaryNetwork,
    Brickwork,
    Budget,
    QuantumHyperNetwork,
    Reuploading,
    Samples,
    Streams,
    TrainingSettings,
    build_generator,
    certify,
    load,
    train,
)
from qhyper.bits import Bits, to_string
from qhyper.comparison import compare
from qhyper.search import SAME_LOSS
from qhyper.training import settings_for

TITLE = "The hypernetwork thesis (Oey, 2023), reproduced and finished"

DATA = ("toy", "mnist")
NETWORK = BinaryNetwork((4, 6, 2))
GENERATORS = (
    "product", "quantum-depth2", "quantum-depth4", "bernoulli", "categorical", "mlp",
    "autoregressive",
)  # fmt: skip
CONTROLS = ("annealing", "random")
PRECISION = torch.float64
"""Of the straight-through networks: in float32, where a weight is often as near to zero as its
rounding, a run would end elsewhere on another processor."""


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    runs: int
    """seeds of each network and of each hypernetwork that sees the image"""
    epochs: int
    inputs: int
    """images of each class whose weights are judged"""
    seeds: int
    """of each generator that does not see the image"""
    evaluations: int
    """of each seed of whatever is trained without gradients of the target"""


FULL = Size(runs=10, epochs=50, inputs=500, seeds=40, evaluations=300_000)
QUICK = Size(runs=2, epochs=1, inputs=20, seeds=3, evaluations=2_560)


# -- experiment 1: full precision against binary -------------------------------------------------


def full_precision(data: str, size: Size, *, pixels: str) -> dict[str, Any]:
    """Ten networks with sigmoid units; Adam 1e-4, batches of 75, 50 epochs.

    The notebooks give them pixels in [0, 1], and the binary networks pixels in [-1, 1].
    """
    dataset = load(data)
    network = FullPrecisionNetwork(NETWORK.layers, seeds=range(size.runs))
    begun = time.perf_counter()
    fit(network, _scaled(dataset.train, pixels), epochs=size.epochs, batch=75, learning_rate=1e-4)
    seconds = time.perf_counter() - begun
    right = accuracy(network, _scaled(dataset.test, pixels))
    return {"test_accuracy": right.tolist(), "seconds": seconds}


def _scaled(samples: Samples, pixels: str) -> Samples:
    """The same images with pixels in [0, 1] or [-1, 1]: features are (v - 127.5) / 128."""
    centred = samples.x * 128 / 127.5
    return Samples(centred if pixels == "[-1, 1]" else (centred + 1) / 2, samples.y)


def straight_through(data: str, size: Size, *, learning_rate: float) -> dict[str, Any]:
    """Ten binary networks with straight-through gradients, and where they stand in the landscape.

    Their features are (v - 127.5) / 128 instead of v / 127.5 - 1 in float32: a sign network ignores
    the scale, and rounding decides no ties.
    """
    dataset = load(data)
    network = StraightThroughNetwork(NETWORK.layers, seeds=range(size.runs), dtype=PRECISION)
    begun = time.perf_counter()
    fit(network, dataset.train, epochs=size.epochs, batch=75, learning_rate=learning_rate)
    return {
        "test_accuracy": accuracy(network, dataset.test).tolist(),
        "seconds": time.perf_counter() - begun,
        "near_zero": _near_zero(network),
        **_standing(network.bits(), dataset.train),
    }


def _near_zero(network: StraightThroughNetwork) -> list[int]:
    """Of each run, how many of its real weights lie within ten of Adam's steps of a sign change."""
    real = torch.cat([latent.detach().flatten(1) for latent in network.latent], dim=1)
    return (real.abs() < 1e-3).sum(1).tolist()


def _standing(bits: Bits, data: Samples) -> dict[str, Any]:
    """Where networks [run, bit] stand among all 2^36."""
    objective = NETWORK.objective(data)
    certificate = certify(NETWORK, data)
    losses = objective(bits)
    flipped = np.repeat(bits[:, None], NETWORK.n_bits, axis=1)
    each = np.arange(NETWORK.n_bits)
    flipped[:, each, each] ^= 1
    levels = np.searchsorted(certificate.levels, losses - SAME_LOSS)
    _, second = NETWORK.space.decode(bits)
    return {
        "bits": [to_string(one) for one in bits],
        "loss": losses.tolist(),
        "levels_below": levels.tolist(),
        "share_below": [
            float(certificate.multiplicities[:level].sum() / certificate.configurations)
            for level in levels
        ],
        "null_units": (second[..., 0] == second[..., 1]).sum(axis=1).tolist(),
        "patterns": [_patterns(one) for one in bits],
        "better_flips": (objective(flipped) < losses[:, None] - SAME_LOSS).sum(axis=1).tolist(),
    }


def _patterns(bits: Bits) -> int:
    """How many sign patterns of the four pixels the output depends on, v and -v being one.

    Units of the same pattern add up, and those of opposite outputs cancel.
    """
    first, second = NETWORK.space.decode(bits)
    effect: Counter[tuple[int, ...]] = Counter()
    for pattern, outputs in zip(first.T, second, strict=True):
        direction = int(pattern[0])
        effect[tuple((direction * pattern).tolist())] += direction * int(outputs[1] - outputs[0])
    return sum(value != 0 for value in effect.values())


def together(size: Size) -> dict[str, Any]:
    """Seconds of ten runs in the same tensors, and of ten runs one after another."""
    every = 5 if size is FULL else 50
    samples = load("toy").train
    some = Samples(samples.x[::every], samples.y[::every])
    networks = {
        "full precision": (FullPrecisionNetwork, 75),
        "binary": (StraightThroughNetwork, 75),
        "hypernetwork": (StraightThroughHyperNetwork, 32),
    }
    found = {}
    for name, (kind, batch) in networks.items():

        def seconds(seeds: range, kind: Any = kind, batch: int = batch) -> float:
            network = kind(NETWORK.layers, seeds=seeds, dtype=PRECISION)
            begun = time.perf_counter()
            fit(network, some, epochs=1, batch=batch, learning_rate=1e-4)
            return time.perf_counter() - begun

        seconds(range(1))
        pairs = [
            (seconds(range(10)), sum(seconds(range(k, k + 1)) for k in range(10))) for _ in range(3)
        ]
        found[name] = {"together": [a for a, _ in pairs], "one at a time": [b for _, b in pairs]}
    return found


# -- experiment 2: hypernetworks that see the image ------------------------------------------------


def oey(data: str, size: Size) -> dict[str, Any]:
    """Her hypernetwork: straight-through, w(x) scored on x alone, batches of 32, 50 epochs.

    Gradients reach the second layer's weights only. Her code has sign(0) = 0 for hidden units in
    training and +1 where the weights are judged; `as_trained` judges them with 0 too.
    """
    dataset = load(data)
    network = StraightThroughHyperNetwork(NETWORK.layers, seeds=range(size.runs), dtype=PRECISION)
    begun = time.perf_counter()
    fit(network, dataset.train, epochs=size.epochs, batch=32, learning_rate=1e-4)
    seconds = time.perf_counter() - begun

    def weights(x: np.ndarray, draw: int) -> Bits:
        return network.weights(torch.tensor(x, dtype=PRECISION))

    return {
        "seconds": seconds,
        "parameters": sum(p[0].numel() for p in network.parameters()),
        **_judged(weights, data, size),
        "as_trained": _judged(weights, data, size, sign_of_zero=0),
    }


def conditioned(data: str, size: Size, *, kind: str, scored_on: str) -> dict[str, Any]:
    """The same question without gradients of the target: w(x) is drawn, and scored as a number.

    `classical` has the layers of hers, with a draw in the place of rounding; `quantum` is one
    trained circuit, which takes the pixels as angles and is measured once an image.
    """
    dataset, seeds = load(data), range(size.runs)
    generator: Any
    if kind == "classical":
        generator = ConditionalBernoulli(NETWORK.n_bits, n_inputs=4, hidden=16, seeds=seeds)
    else:
        ansatz = Reuploading(Brickwork(depth=2), n_inputs=4)
        generator = QuantumHyperNetwork(
            NETWORK.n_bits, ansatz=ansatz, space=NETWORK.space, seeds=seeds
        )
    batches = NETWORK.batches(dataset.train, size=32, scored_on=scored_on)
    rate = 0.05 if kind == "classical" else 0.1
    settings = TrainingSettings(  # tuned on seeds 100 to 109, scored on mini-batches
        evaluations=size.evaluations, draws=8, learning_rate=rate, restarts=2
    )
    begun = time.perf_counter()
    train(generator, batches, settings)
    seconds = time.perf_counter() - begun

    def weights(x: np.ndarray, draw: int) -> Bits:
        rng = Streams(generator.seeds)(draw, "evaluate")
        return generator.sample(1, rng=rng, inputs=x).bits[:, :, 0]

    return {
        "seconds": seconds,
        "description": generator.describe(),
        "parameters": generator.n_parameters,
        **_judged(weights, data, size),
    }


def _judged(
    weights: Callable[[np.ndarray, int], Bits], data: str, size: Size, *, sign_of_zero: int = 1
) -> dict[str, Any]:
    """As in section 4.4: the weights of training images of each class on the whole test set.

    `weights(x, draw)` gives the bits [replica, input, bit] for images x [input, feature].
    """
    dataset = load(data)
    network = BinaryNetwork(NETWORK.layers, sign_of_zero=sign_of_zero)
    on_train = network.objective(dataset.train)
    on_test = network.objective(dataset.test, "accuracy")
    images = _images(dataset.train, size.inputs)
    bits = weights(dataset.train.x[images], 0)
    losses = on_train(bits)
    minimum = certify(network, dataset.train).minimum_loss
    ones = bits.mean(axis=1)
    between = (2 * ones * (1 - ones)).sum(axis=-1) * len(images) / (len(images) - 1)
    same = (bits != weights(dataset.train.x[images], 1)).sum(axis=-1).mean(axis=1)

    own = _images(dataset.test, size.inputs)
    own_bits = weights(dataset.test.x[own], 2)[:, :, None]
    scored = network.batches(dataset.test, size=len(own), scored_on="own", loss="accuracy")
    wrong = scored.take(np.broadcast_to(own, own_bits.shape[:2]))(own_bits)
    right = 1 - on_test(bits)
    # the corner that would be white in an image of the other class: the brighter, the less clear
    decisive = np.where(dataset.train.y[images] == 0, 2, 1)
    corner = dataset.train.x[images, decisive]
    return {
        "accuracy": np.round(right, 5).tolist(),  # [run][image], class 0 first
        "accuracy_by_corner": [  # dark, middle, bright
            float(right[:, which].mean()) if which.any() else None
            for which in (corner < -1 / 3, abs(corner) <= 1 / 3, corner > 1 / 3)
        ],
        "own_accuracy": (1 - wrong.mean(axis=(1, 2))).tolist(),
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
    """A generator with its recipe, at the budget of the main comparison, over all seeds."""
    dataset = load(data)
    objective = NETWORK.objective(dataset.train)
    generator = build_generator(name, NETWORK.n_bits, seeds=range(size.seeds), space=NETWORK.space)
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
        "description": generator.describe(),
        "parameters": generator.n_parameters,
        "best_loss": trainer.record.best_loss.tolist(),
        "best_test_accuracy": (1 - test(trainer.record.best_bits)).tolist(),
        "mean_loss": objective(drawn).mean(axis=(1, 2)).tolist(),
        **_judged(weights, data, size),
    }


def control(data: str, size: Size, *, name: str) -> dict[str, Any]:
    """A search without a generator, at the same budget."""
    dataset = load(data)
    begun = time.perf_counter()
    outcome = compare(
        NETWORK.objective(dataset.train), [name], seeds=range(size.seeds),
        evaluations=size.evaluations, test=dataset.test, name=data,
    )  # fmt: skip
    (result,) = outcome.results
    return {
        "seconds": time.perf_counter() - begun,
        "kind": "control",
        "description": result["description"],
        "parameters": 0,
        "best_loss": result["best_loss"],
        "best_test_accuracy": result["test_accuracy"],
        "mean_loss": result["final_loss"],
    }


# -- what is true of the landscape -----------------------------------------------------------------


def landscape(data: str) -> dict[str, Any]:
    """The certificate, and the best network of fewer hidden units.

    A hidden unit whose two output weights are equal does nothing, so a 4-6-2 network of which j
    units work is a 4-j-2 network.
    """
    dataset = load(data)
    certificate = certify(NETWORK, dataset.train)
    optimum = certificate.optimum[None]
    edges, counts = certificate.histogram(1200)
    low = int(np.searchsorted(edges, 2.0))
    return {
        "certificate": certificate.to_dict(),
        "test_accuracy": float(1 - NETWORK.objective(dataset.test, "accuracy")(optimum)[0]),
        "patterns": _patterns(certificate.optimum),
        "spectrum": {"edges": edges[: low + 1].tolist(), "bitstrings": counts[:low]},
        "working_units": [
            {"loss": best.minimum_loss, "accuracy": best.accuracy_at_minimum}
            for best in (certify(BinaryNetwork((4, j, 2)), dataset.train) for j in range(1, 7))
        ],
    }


# -- the study -------------------------------------------------------------------------------------


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """All pieces of work: first what fails at once without the data, then long ones first."""
    size = QUICK if quick else FULL
    found: dict[str, Callable[[], Any]] = {}
    for data in DATA:
        found[f"landscape-{data}"] = partial(landscape, data)
    for data in DATA:
        found[f"oey-{data}"] = partial(oey, data, size)
        for name in GENERATORS:
            found[f"{name}-{data}"] = partial(unconditional, data, size, name=name)
    for data in DATA:
        for kind in ("quantum", "classical"):
            for scored_on in ("own", "batch"):
                found[f"{kind}-{scored_on}-{data}"] = partial(
                    conditioned, data, size, kind=kind, scored_on=scored_on
                )
    found["together"] = partial(together, size)
    for data in DATA:
        for name in CONTROLS:
            found[f"{name}-{data}"] = partial(control, data, size, name=name)
        found[f"straight-through-{data}"] = partial(
            straight_through, data, size, learning_rate=1e-4
        )
        found[f"straight-through-fast-{data}"] = partial(
            straight_through, data, size, learning_rate=1e-3
        )
        found[f"full-precision-{data}"] = partial(full_precision, data, size, pixels="[0, 1]")
        found[f"full-precision-centred-{data}"] = partial(
            full_precision, data, size, pixels="[-1, 1]"
        )
    return found


tables = written.tables
measured = written.measured
draw = pictures.draw
