"""One small hypernetwork for all kernels of a convolutional network: what is lost and saved?

python -m experiments run static-conv
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from classical.augmentation import Augmentation
from classical.fit_images import accuracy, fit_images
from classical.static_convolutional import Generated, StaticConvolutional
from experiments.static_conv import pictures
from experiments.static_conv import tables as written
from experiments.static_conv.settings import (
    BATCH,
    BINARY,
    BLOCKS,
    CIFAR_RATES,
    CROP,
    PICTURED,
    RATES,
    VARIANTS,
    architecture,
    generated,
    images_of,
)
from qhyper.data.images import Images, load_images
from qhyper.data.samples import hold_out
from qhyper.streams import Streams

TITLE = (
    "One small hypernetwork for all kernels of a convolutional network: what is lost, and saved?"
)

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    mnist_epochs: int
    cifar_epochs: int
    seeds: int
    more_seeds: int
    """of the models that `MORE` names"""
    held_out: int = 5_000
    training: int | None = None
    """images to train on; all others unless told"""
    test: int | None = None

    @property
    def epochs(self) -> Mapping[str, int]:
        """By data set."""
        return {"mnist": self.mnist_epochs, "cifar-10": self.cifar_epochs}


MORE = ("mnist-conv", "mnist-5-5")
"""Models with more seeds, enough for an interval of the median."""
FULL = Size(mnist_epochs=8, cifar_epochs=15, seeds=2, more_seeds=6)
QUICK = Size(
    mnist_epochs=1, cifar_epochs=1, seeds=1, more_seeds=1, held_out=100, training=400, test=100
)


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
            for seed in range(size.seeds):
                work = partial(one, data, generated(BLOCKS[data][model]), seed, size, binary=True)
                found[f"{data}-{model}-binary-{seed}"] = work
    for name, variant in VARIANTS.items():
        for data in variant.data:
            for seed in range(size.seeds):
                work = partial(one, data, generated(variant.sizes, **variant.options), seed, size)
                found[f"{data}-{name}-{seed}"] = work
    return found


@cache
def _data(name: str, size: Size) -> tuple[Images, Images, Images]:
    """Images to train on, held out, and to test on."""
    training, test = load_images(name)
    training, held_out = hold_out(training, size.held_out, Streams([0])(0, "search")[0])
    return training.take(slice(size.training)), held_out, test.take(slice(size.test))


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
    images = images_of(data)
    training, held_out, test = _data(images, size)
    network = StaticConvolutional(architecture(data), generated=generated, binary=binary, seed=seed)
    began = time.perf_counter()
    record = fit_images(
        network, training, held_out, epochs=size.epochs[images], batch=BATCH[images],
        learning_rate=CIFAR_RATES[generated is not None, binary] if rate is None else rate,
        augmentation=Augmentation(crop=CROP[images]),
    )  # fmt: skip
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
    return found | ({"kernels": _grey(network.kernels()[0])} if pictured else {})


def _grey(kernel: torch.Tensor) -> list[list[list[list[int]]]]:
    """A kernel [out, in, row, column] as whole numbers from -15 to 15, in the same ratios."""
    numbers = kernel.detach().numpy()
    return np.rint(15 * numbers / np.abs(numbers).max()).astype(int).tolist()


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
