"""One training of the study, resumable: what it came to, and the network."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from classical.fit_images import Epoch, accuracy, fit_images
from classical.resnet import ResNet18
from experiments.resnet.settings import BATCH, Recipe
from qhyper.data.images import Images


def train(
    recipe: Recipe,
    images: tuple[Images, Images, Images],
    *,
    classes: int,
    width: float,
    epochs: int,
    cycles: int,
    checkpoint: Path,
    device: str = "cpu",
    threads: int = 1,
    progress: Callable[[Epoch], None] = lambda epoch: None,
) -> tuple[ResNet18, dict[str, Any]]:
    """The network as in its best epoch, and what the training came to, as JSON has it.

    `images` are those to train on, to choose the epoch by, and to test. Goes on from `checkpoint`
    where it is there: seconds are then those of all epochs, wherever they were spent.
    """
    training, held_out, test = images
    assert training.shape is not None
    network = ResNet18(
        training.shape, classes, width=width, cycles=cycles, seed=recipe.seed, **recipe.network
    ).to(device)
    record = fit_images(
        network, training, held_out, epochs=epochs, batch=min(BATCH, len(training)),
        learning_rate=recipe.learning_rate, optimizer=recipe.optimizer,
        optimizer_options=recipe.optimizer_options, schedule=recipe.schedule,
        warm_up=min(recipe.warm_up, epochs - 1), augmentation=recipe.augmentation,
        checkpoint=checkpoint, threads=threads, progress=progress,
    )  # fmt: skip
    began = time.perf_counter()
    found = {
        "accuracy": accuracy(network, test, threads=threads),
        "chosen": max(record, key=lambda epoch: epoch.accuracy).number,
        "losses": [epoch.loss for epoch in record],
        "held_out": [epoch.accuracy for epoch in record],
        "epoch_seconds": [epoch.seconds for epoch in record],
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }
    return network, found | {"test_seconds": time.perf_counter() - began}
