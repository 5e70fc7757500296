"""Generators, sizes and budgets of the study, which its tables and pictures name too."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LAYERS = (784, 128, 10)
DATA: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "mnist": ("MNIST", {"size": 28, "digits": "all"}),
    "fashion": ("Fashion-MNIST", {}),
}
"""The data sets: in words, and options of `load`."""
NAMES = {"mnist": "mnist", "fashion": "fashion-mnist"}

SIZES: Mapping[str, Mapping[str, Any]] = {
    "500": {"kept": 5, "each": 4, "rest": "signs"},
    "1400": {"kept": 7, "each": 11, "rest": "signs"},
    "3200": {"kept": 7, "each": 25, "rest": "signs"},
    "6300": {"kept": 7, "rest": "signs"},
    "14000": {"kept": 10},
}
"""Fields by roughly the number of their parameters."""


@dataclass(frozen=True)
class Kind:
    """A generator that is asked once a chunk."""

    title: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    """beside its recipe, at the budget that all have; chosen on held-out rows"""
    long_training: Mapping[str, Any] = field(default_factory=dict)
    """the same at the long budget"""


KINDS: Mapping[str, Kind] = {
    "bernoulli": Kind(
        "Bernoulli",
        "static-bernoulli",
        training={"learning_rate": 1.0},
        long_training={"learning_rate": 0.5},
    ),
    "mlp": Kind("MLP", "static-mlp"),
    "product": Kind("circuit, product", "static-product"),
    "unentangled": Kind(
        "circuit of depth 2 without its CZ", "static-entangled", {"entangled": False}
    ),
    "entangled": Kind("circuit of depth 2, entangled", "static-entangled"),
    "frozen": Kind(
        "circuit of depth 2, entangled, random and frozen",
        "static-entangled",
        {"frozen": True, "start": "uniform", "scale": 1.0},
    ),
}

SHORT: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "entangled": {"mnist": ("14000", "3200"), "fashion": ("14000",)},
    "frozen": {"mnist": ("14000",)},
    "unentangled": {"mnist": ("14000", "3200"), "fashion": ("14000",)},
    "product": {"mnist": tuple(SIZES), "fashion": ("1400", "3200", "14000")},
    "mlp": {"mnist": ("3200", "14000"), "fashion": ("3200", "14000")},
    "bernoulli": {"mnist": tuple(SIZES), "fashion": ("1400", "3200", "14000")},
}
"""The sizes of each kind, by data set, at the budget that all have."""
LONG = {"product": ("14000",), "bernoulli": ("14000", "3200", "1400")}
"""Those that are trained for as long as 15 minutes allow, too, on MNIST."""
CONTROLS = ("elite-evolution", "counting-errors")

SOURCES: Mapping[str, tuple[str, float]] = {
    "circuit": ("Quantum-Train", 1e-3),
    "frozen": ("Quantum-Train, its circuit frozen", 1e-2),
    "free": ("Quantum-Train, a free vector in place of its circuit", 1e-2),
}
"""Where the rival's probabilities come from: in words, and Adam's rate."""
SHOTS = (10**3, 10**4, 10**5, 10**6)
"""From which a trained Quantum-Train network is made, beside its exact probabilities."""
DEVICE = "ibm:fake_torino"
PASS_SHOTS = 16
"""Of one pass over all chunks, in what a device would need."""
