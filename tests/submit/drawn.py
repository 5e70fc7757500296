"""Made-up draws of a device and of the simulator, for the tests of submissions."""

import numpy as np


def linear(bits):
    return 1.0 + bits @ np.arange(1.0, bits.shape[-1] + 1)


def drawn(p, shots, seed):
    """Draws [replica, shot, bit] of independent bits with P(1) = p [replica, bit]."""
    rng = np.random.default_rng(seed)
    return (rng.random((len(p), shots, p.shape[1])) < p[:, None]).astype(np.uint8)


class Weights:
    """Quasi-probabilities as `compare_draws` reads them."""

    strings = np.array([[0, 0], [1, 1]], np.uint8)

    def __init__(self, covered=0.25):
        self.covered = covered

    def mean(self, losses):
        assert losses.tolist() == [1.0, 4.0]
        return float(1.2 * losses[0] - 0.2 * losses[1]), 0.5


MEASURED = np.array([[[0, 0], [1, 0], [1, 1], [1, 1]]], np.uint8)
SIMULATED = np.array([[[0, 0], [0, 0]]], np.uint8)
