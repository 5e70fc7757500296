"""Packed networks of every kind, with random weights and limits."""

import numpy as np

from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.shape import PackedShape


def random_network(rng, layers, *, planes=1, label_bits=None, scaled=False):
    """One with limits about where signs change."""
    shape = PackedShape(layers)
    matrices = [rng.integers(0, 2, m, dtype=np.uint8) for m in shape.matrices]
    limits = shape.limits(planes=planes, of_last=label_bits is not None)
    limits = limits + rng.integers(-2, 3, limits.size)
    numbers = {}
    if scaled:
        numbers = {"scale": rng.normal(size=layers[-1]), "shift": rng.normal(size=layers[-1])}
    return PackedNetwork(
        shape, shape.pack(matrices), limits, planes=planes, label_bits=label_bits, **numbers
    )


KINDS = {
    "sums": {"layers": (70, 9, 4)},
    "one layer": {"layers": (64, 5)},
    "one layer of pixels": {"layers": (70, 5), "planes": 8},
    "pixels": {"layers": (70, 65, 33, 4), "planes": 8},
    "numbers of 16 bits": {"layers": (300, 9, 3), "planes": 16},
    "votes": {"layers": (70, 130, 12), "label_bits": 3},
    "votes of one layer of pixels": {"layers": (70, 12), "planes": 8, "label_bits": 4},
    "scaled": {"layers": (70, 40, 4), "scaled": True},
    "scaled pixels": {"layers": (70, 40, 4), "planes": 8, "scaled": True},
    "scaled, one layer of pixels": {"layers": (20, 4), "planes": 8, "scaled": True},
}
"""What makes a network of each kind."""


def random_inputs(rng, network, rows):
    """As `predict` takes them: uint8 [row, input], or uint16 for more than 8 planes."""
    kind = np.uint8 if network.planes <= 8 else np.uint16
    shape = (rows, network.shape.layers[0])
    return rng.integers(0, 1 << network.planes, shape, dtype=kind)
