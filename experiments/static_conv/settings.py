"""Networks, seeds and sizes of the study, which its tables and pictures name too."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from classical.static_convolutional import MNIST, Architecture, Generated, vgg

Sizes = tuple[int, int] | None
"""Embedding and projection; None: kernels of their own."""

BLOCKS: Mapping[str, Mapping[str, Sizes]] = {
    "mnist": {
        "conv": None, "4-4": (4, 4), "4-5": (4, 5), "4-6": (4, 6), "5-5": (5, 5), "6-6": (6, 6),
        "4-7": (4, 7), "4-8": (4, 8), "7-7": (7, 7),
    },
    "block1": {"conv": None, "4-4": (4, 4), "6-6": (6, 6), "4-5": (4, 5), "4-6": (4, 6)},
    "block2": {"conv": None, "4-4": (4, 4), "6-6": (6, 6), "8-8": (8, 8), "16-16": (16, 16)},
    "block3": {"conv": None, "8-8": (8, 8), "8-16": (8, 16), "16-16": (16, 16), "32-32": (32, 32)},
}  # fmt: skip
"""The models of tables 2 to 5, by table."""
TITLES = {
    "mnist": "MNIST",
    "block1": "CIFAR-10, VGG-Block1",
    "block2": "CIFAR-10, VGG-Block2",
    "block3": "CIFAR-10, VGG-Block3",
}

RATES = (0.003, 0.004, 0.005)
"""Of Adam on MNIST at first, as printed; the best on validation is taken, seed by seed."""
DEFAULT_RATES: Mapping[str, tuple[float, float]] = {
    "mnist": (0.005, 0.005), "block1": (0.002, 0.004), "block2": (0.002, 0.002),
    "block3": (0.002, 0.002),
}  # fmt: skip
"""Of all other networks, of own kernels and of generated ones, chosen on validation."""
BATCH = {"mnist": 200, "cifar-10": 64}
CROP = {"mnist": 1, "cifar-10": 2}
"""Pixels on each side, of which a random window is taken: 30 x 30 and 36 x 36."""

PICTURED = ("mnist-conv-4-0", "mnist-5-5-4-0")
"""Parts whose kernels are drawn."""

DROPOUT: Mapping[str, tuple[float, float]] = {
    "block1": (0.25, 0.1), "block2": (0.15, 0.1), "block3": (0.15, 0.05),
}  # fmt: skip
"""After each block, of own kernels and of generated ones, chosen on validation; 0.4 is printed.

There is none after the dense layer, and none where kernels are binary.
"""


def architecture(data: str, *, generated: bool, binary: bool) -> Architecture:
    """The network of a table."""
    if data == "mnist":
        return MNIST
    dropout = 0.0 if binary else DROPOUT[data][generated]
    return vgg(int(data[-1]), dropout=dropout, dense_dropout=0.0)


def images_of(data: str) -> str:
    """The data set of a table."""
    return "mnist" if data == "mnist" else "cifar-10"


def generated(sizes: Sizes, **options: bool | float) -> Generated | None:
    """The generator of a model."""
    return None if sizes is None else Generated(*sizes, **options)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Variant:
    """Another generator in the place of Hyper4_4."""

    title: str
    sizes: tuple[int, int]
    options: Mapping[str, bool | float] = field(default_factory=dict)
    data: tuple[str, ...] = ("block1", "block2")


VARIANTS: Mapping[str, Variant] = {
    "untied": Variant("a generator for each layer", (4, 4), {"tied": False}, ("block2",)),
    "untied-small": Variant(
        "Hyper1_1, a generator for each layer", (1, 1), {"tied": False}, ("block2",)
    ),
    "8-4": Variant("a larger embedding: Hyper8_4", (8, 4)),
    "4-8": Variant("a larger projection: Hyper4_8", (4, 8)),
    "biased": Variant("with biases", (4, 4), {"bias": True}),
    "as-generated": Variant("not scaled, all at N(0, 0.01²) at first", (4, 4), {"start": 0.01}),
}
"""What may explain the fall from one block to two."""

BINARY: Mapping[str, tuple[str, ...]] = {
    "mnist": ("conv", "5-5"),
    "block1": ("conv", "4-4"),
    "block2": ("conv", "16-16"),
    "block3": ("conv", "32-32"),
}
"""Models whose kernels are binary as well."""


@dataclass(frozen=True)
class BitGenerator:
    """A distribution over the 2,304 bits of the second kernel of one block."""

    title: str
    name: str
    options: Mapping[str, Any]
    rate: float
    """of Adam, chosen on held-out images"""


_CHUNKS = {"chunk": 9, "features": 6}  # a chunk is the window of one channel in and one out
BITS: Mapping[str, BitGenerator] = {
    "circuit": BitGenerator(
        "256 chunks of 9 bits, each by one circuit that sees an embedding", "chunked",
        {**_CHUNKS, "generator": "quantum", "ansatz": "brickwork", "depth": 4,
         "backend": "statevector"}, 0.1,
    ),
    "linear": BitGenerator(
        "256 chunks of 9 bits, each by one linear generator of an embedding", "chunked",
        {**_CHUNKS, "generator": "classical.conditional:ConditionalBernoulli", "hidden": 8}, 0.05,
    ),
    "free": BitGenerator("a probability for each bit", "bernoulli", {}, 0.1),
}  # fmt: skip
BIT_DRAWS, BIT_BATCH, BIT_IMAGES = 16, 64, 10_000
"""Draws and images of a step, and images that these are taken from."""
