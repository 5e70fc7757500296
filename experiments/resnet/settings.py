"""The trainings of the study, which its tables and pictures name too."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from classical.augmentation import Augmentation

IMAGES, CLASSES = "cifar-10", 10
BATCH = 128
WIDTH = 0.25
SHIFT = 0.25
"""Of the hardtanh."""


@dataclass(frozen=True)
class Size:
    """How much is trained on: everything, or little to see that it runs."""

    training: int
    held_out: int
    test: int
    width: float
    epochs: int
    """of the four main trainings"""
    ablation_epochs: int
    ablation_training: int
    """images"""
    cycles: int
    """of precision, in a training"""
    steps: int
    """of each kind that are timed"""
    packed: tuple[tuple[float, int], ...]
    """widths of untrained networks that are timed, and how many images each classifies"""


FULL = Size(
    45_000, 5_000, 10_000, WIDTH, 30, 8, 15_000, 32, 7, ((WIDTH, 1_000), (1.0, 100))
)  # fmt: skip
QUICK = Size(512, 100, 200, 1 / 16, 2, 1, 512, 2, 1, ((1 / 16, 50),))


@dataclass(frozen=True)
class Recipe:
    """A training: options of ResNet18 and of fit_images."""

    network: Mapping[str, Any]
    optimizer: str = "Adam"
    learning_rate: float = 0.0025
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    schedule: str = "cosine"
    warm_up: int = 0
    augmentation: Augmentation | None = None
    seed: int = 0


SGD = {"momentum": 0.9, "weight_decay": 5e-4}
"""With the learning rate 0.1, what ReCU's released code has."""
CROP_AND_FLIP = Augmentation(crop=4, flip=True)
ROTATED_TOO = Augmentation(crop=4, flip=True, rotation=10.0)

PROPOSED = Recipe(
    {"preactivation": True, "recu": True, "shift": SHIFT, "precision": "cyclic"},
    augmentation=ROTATED_TOO,
)

MAIN: Mapping[str, Recipe] = {
    "recu": Recipe(
        {"preactivation": False}, "SGD", 0.1, SGD, warm_up=2, augmentation=CROP_AND_FLIP
    ),
    "full-precision": Recipe(
        {"weights": "real", "preactivation": False}, "SGD", 0.1, SGD, augmentation=CROP_AND_FLIP
    ),
    "adam": PROPOSED,
    "sgd": replace(PROPOSED, optimizer="SGD", learning_rate=0.1, optimizer_options=SGD),
}
"""The four trainings that the document has too."""


def _without(**options: Any) -> Recipe:
    return replace(PROPOSED, network={**PROPOSED.network, **options})


ABLATIONS: Mapping[str, Recipe] = {
    "all-options": PROPOSED,
    "all-options-again": replace(PROPOSED, seed=1),
    "without-preactivation": _without(preactivation=False),
    "without-recu": _without(recu=False),
    "without-shift": _without(shift=0.0),
    "without-cyclic-precision": _without(precision="float"),
    "without-cosine": replace(PROPOSED, schedule="constant"),
    "without-augmentation": replace(PROPOSED, augmentation=None),
}
"""The proposed training with Adam, shorter, less one option each; twice with all, to see noise."""
