"""One small hypernetwork for all kernels of a convolutional network: what is lost and saved?

python -m experiments run static-conv
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from classical.augmentation import Augmentation
from classical.fit_images import Epoch, accuracy, fit_images
from classical.static_convolutional import Generated, StaticConvolutional
from experiments.images import split
from experiments.static_conv import pictures
from experiments.static_conv import tables as written
from experiments.static_conv.settings import (
    BATCH,
    BINARY,
    BIT_BATCH,
    BIT_DRAWS,
    BIT_IMAGES,
    BITS,
    BLOCKS,
    CROP,
    DEFAULT_RATES,
    PICTURED,
    RATES,
    VARIANTS,
    architecture,
    generated,
    images_of,
)
from qhyper.data.images import Images, load_images
from qhyper.data.samples import Samples
from qhyper.hypernetwork import build_generator
from qhyper.spending import Budget
from qhyper.streams import Streams
from qhyper.targets.convolutional.network import ConvolutionalNetwork
from qhyper.targets.convolutional.target import ConvolutionalTarget
from qhyper.training.trainer import settings_for, train

TITLE = (
    "One small hypernetwork for all kernels of a convolutional network: what is lost, and saved?"
)

SHARED = ("images.py",)

DRAWS = 16
"""Kernels drawn of a trained generator."""

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    epochs: Mapping[str, int] = field(hash=False)
    """of each network"""
    seeds: int
    more_seeds: int
    """of the models that `MORE` names"""
    variant_seeds: int
    binary_seeds: int
    bit_seeds: int
    bit_steps: int
    """steps of a generator of bits"""
    held_out: int = 5_000
    training: int | None = None
    """images to train on; all others unless told"""
    test: int | None = None


MORE = ("mnist-conv", "mnist-5-5")
"""Models with more seeds, enough for an interval of the median."""
FULL = Size(
    epochs={"mnist": 6, "block1": 16, "block2": 20, "block3": 20}, seeds=2, more_seeds=6,
    variant_seeds=1, binary_seeds=1, bit_seeds=1, bit_steps=1_000,
)  # fmt: skip
QUICK = Size(
    epochs=dict.fromkeys(FULL.epochs, 1), seeds=1, more_seeds=1, variant_seeds=1,
    binary_seeds=1, bit_seeds=1, bit_steps=5, held_out=100, training=400, test=100,
)  # fmt: skip


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """Every training with every seed, long ones first."""
    size = QUICK if quick else FULL
    found: dict[str, Callable[[], Any]] = {}
    for data in reversed(BLOCKS):
        rates = {f"-{1000 * rate:g}": rate for rate in RATES} if data == "mnist" else {"": None}
        for model, sizes in BLOCKS[data].items():
            seeds = size.more_seeds if f"{data}-{model}" in MORE else size.seeds
            for suffix, rate in rates.items():
                for seed in range(seeds):
                    name = f"{data}-{model}{suffix}-{seed}"
                    found[name] = partial(
                        one, data, generated(sizes), seed, size, rate=rate,
                        pictured=name in PICTURED,
                    )  # fmt: skip
        for model in BINARY[data]:
            for seed in range(size.binary_seeds):
                work = partial(one, data, generated(BLOCKS[data][model]), seed, size, binary=True)
                found[f"{data}-{model}-binary-{seed}"] = work
    for kind in BITS:
        for seed in range(size.bit_seeds):
            found[f"bits-{kind}-{seed}"] = partial(bits, kind, seed, size)
    for name, variant in VARIANTS.items():
        for data in variant.data:
            for seed in range(size.variant_seeds):
                work = partial(one, data, generated(variant.sizes, **variant.options), seed, size)
                found[f"{data}-{name}-{seed}"] = work
    return found


@cache
def _data(name: str, size: Size) -> tuple[Images, Images, Images]:
    """Images to train on, held out, and to test on."""
    training, test = load_images(name)
    return *split(training, size.held_out, size.training), test.take(slice(size.test))


def one(
    data: str,
    generated: Generated | None,
    seed: int,
    size: Size,
    *,
    rate: float | None = None,
    binary: bool = False,
    pictured: bool = False,
) -> dict[str, Any]:
    """Train a network, and test it as in its best epoch on the held-out images."""
    *_, test = _data(images_of(data), size)
    began = time.perf_counter()
    network, record = _trained(data, generated, seed, size, binary=binary, rate=rate)
    found = {
        "parameters": network.n_kernel,
        "dense": network.n_dense,
        "whole": sum(parameter.numel() for parameter in network.parameters()),
        "losses": [epoch.loss for epoch in record],
        "held_out": [epoch.accuracy for epoch in record],
        "test": accuracy(network, test),
        "epoch_seconds": [epoch.seconds for epoch in record],
        "seconds": time.perf_counter() - began,
    }
    if binary:
        found["disagreements"] = _disagreements(network, test)
    if pictured:
        found["kernels"] = _grey(network.kernels()[0])
    return found


def _trained(
    data: str,
    generated: Generated | None,
    seed: int,
    size: Size,
    *,
    binary: bool,
    rate: float | None,
) -> tuple[StaticConvolutional, list[Epoch]]:
    """A network as in its best epoch on the held-out images, and all epochs."""
    images = images_of(data)
    training, held_out, _ = _data(images, size)
    about = architecture(data, generated=generated is not None, binary=binary)
    network = StaticConvolutional(about, generated=generated, binary=binary, seed=seed)
    record = fit_images(
        network, training, held_out, epochs=size.epochs[data], batch=BATCH[images],
        learning_rate=DEFAULT_RATES[data][generated is not None] if rate is None else rate,
        augmentation=Augmentation(crop=CROP[images]),
        autocast=None if binary else torch.bfloat16,
    )  # fmt: skip
    return network, record


@torch.no_grad()
def _disagreements(network: StaticConvolutional, test: Images) -> int:
    """Test images on which the packed network has another class than torch in float64."""
    plain, parts = network.evaluation_network(), network.inputs_of(test).split(500)
    expected = torch.cat([plain(part.double()).argmax(1) for part in parts])
    return int((_packed(network).predict(test.planes) != expected.numpy()).sum())


def _packed(network: StaticConvolutional) -> ConvolutionalNetwork:
    """A binary network, packed."""
    return ConvolutionalNetwork.from_torch(network.evaluation_network(), image=network.image)


def _grey(kernel: torch.Tensor) -> list[list[list[list[int]]]]:
    """A kernel [out, in, row, column] as whole numbers from -15 to 15, in the same ratios."""
    numbers = kernel.detach().numpy()
    return np.rint(15 * numbers / np.abs(numbers).max()).astype(int).tolist()


# -- a distribution over bits ----------------------------------------------------------------------


def bits(kind: str, seed: int, size: Size) -> dict[str, Any]:
    """Train a generator of the bits of a kernel, without a gradient through the network.

    The network is the binary ConvModel of one block, and all else in it stays as it was trained.
    """
    training, held_out, test = _data("cifar-10", size)
    network = _trained("block1", None, seed, size, binary=True, rate=None)[0]
    target = ConvolutionalTarget.from_network(_packed(network))
    objective, watch, tested = (
        target.objective(Samples((images.pixels - 127.5) / 128, images.labels))
        for images in (training.take(slice(BIT_IMAGES)), held_out, test)
    )
    about = BITS[kind]
    generator = build_generator(about.name, objective.n_bits, seeds=[seed], options=about.options)
    settings = settings_for(
        generator,
        {"estimator": "score-function", "draws": BIT_DRAWS, "batch": BIT_BATCH,
         "learning_rate": about.rate, "watch_every": 100},
        Budget(rows=size.bit_steps * BIT_DRAWS * BIT_BATCH),
        objective=objective, watch=watch,
    )  # fmt: skip
    began = time.perf_counter()
    trainer = train(generator, objective, settings, watch=watch)
    streams = Streams(generator.seeds)
    draws = generator.sample(DRAWS, rng=streams(0, "evaluate")).bits[0, 0]
    (rng,) = streams(1, "evaluate")
    mode = generator.mode()
    assert mode is not None
    return {
        "parameters": sum(p.numel() for p in generator.parameters() if p.requires_grad),
        "bits": objective.n_bits,
        "steps": trainer.step,
        "rows": trainer.spent.rows,
        "seconds": time.perf_counter() - began,
        "looks": [[look.step, float(look.losses[0])] for look in trainer.looks],
        "draws": tested.accuracy(draws).tolist(),
        "mode": float(tested.accuracy(mode)[0]),
        "own": float(tested.accuracy(target.own_bits)),
        "random": tested.accuracy(rng.integers(0, 2, draws.shape, dtype=np.uint8)).tolist(),
    }


# -- what came out ---------------------------------------------------------------------------------


def tables(results: Results) -> str:
    """All tables."""
    return written.tables(results)


def draw(results: Results, folder: Path) -> None:
    """Write kernels.svg."""
    pictures.draw(results, folder)


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    return written.measured(results)
