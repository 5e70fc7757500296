"""The networks of the study, which its tables and pictures name too."""

from collections.abc import Mapping

from classical.binarized import Binarisation

HIDDEN = (1024, 128)
"""Units of the hidden layer: the networks are (784, HIDDEN, 10)."""
RATES: Mapping[Binarisation, float] = {"stochastic": 0.03, "deterministic": 0.03, "none": 0.001}
"""The kinds of network, and Adam's learning rate of each at the start."""
