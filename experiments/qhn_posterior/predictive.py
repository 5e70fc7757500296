"""Averages of drawn networks: how accurate and how calibrated; and exact draws of a posterior."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from qhyper import BinaryNetwork, Samples
from qhyper.bits import Bits
from qhyper.targets.exact.classes import FunctionClasses, RowTables
from qhyper.targets.layered.rows import collapse_patterns
from qhyper.targets.loss import label_losses, predictions

BINS = 15
"""Of the calibration error, equal in width."""


def predictive(network: BinaryNetwork, bits: Bits, data: Samples) -> dict[str, Any]:
    """The mean of softmax(logits) over drawn networks [draw, n_bits], judged on data.

    - accuracy; nll, the mean -log p of the true class in nats; brier, the mean Σ_c (p_c - [c = y])²
    - ece, the expected calibration error of the larger class: Σ_b n_b/n |accuracy_b - confidence_b|
      (Guo et al., 2017, eq. 3), and bins, [samples, accuracy, confidence] of each
    """
    rows = network.collapse(data)
    logits = network.kernel(rows).logits(np.ascontiguousarray(bits))
    p = softmax(logits, axis=-1).mean(axis=0)[rows.member]  # [sample, class]
    of_truth = p[np.arange(len(p)), data.y]
    right, confidence = p.argmax(axis=1) == data.y, p.max(axis=1)
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = [
        [int(some.sum()), float(right[some].mean()), float(confidence[some].mean())]
        if (some := which == b).any()
        else [0, 0.0, 0.0]
        for b in range(BINS)
    ]
    truth = np.eye(p.shape[1])[data.y]
    return {
        "accuracy": float(right.mean()),
        "nll": float(-np.log(of_truth).mean()),
        "brier": float(((p - truth) ** 2).sum(axis=1).mean()),
        "ece": float(sum(n * abs(a - c) for n, a, c in bins) / len(p)),
        "bins": bins,
    }


def exact_draws(
    network: BinaryNetwork, data: Samples, temperature: float, draws: int, rng: np.random.Generator
) -> Bits:
    """Networks drawn from exp(-L/T) / Z by their functions: uint8 [draw, n_bits].

    A function class has the mass multiplicity · exp(-L/T); each draw is one bitstring of its class,
    always the same one, so that only what depends on the function is distributed exactly.
    """
    classes = FunctionClasses.of(network)
    signs, counts = collapse_patterns(data, network.sign_of_zero)
    margins = classes.outputs * np.arange(-classes.hidden, classes.hidden + 1)[:, None]
    losses_of = counts @ label_losses(margins, "cross_entropy").T / len(data.y)
    correct_of = counts.astype(np.int64)[:, predictions(margins)]
    rows = RowTables(signs[: classes.entries], losses_of, correct_of)
    ways = classes.multiplicities()
    total = classes.sizes[-1][-1]
    losses, _, kinds = classes.evaluate(0, total, classes.kinds(ways), rows)
    weights = np.log(np.array(list(ways.values()), dtype=float))[kinds] - losses / temperature
    cumulative: npt.NDArray[np.float64] = np.exp(weights - weights.max()).cumsum()
    found = np.searchsorted(cumulative, rng.random(draws) * cumulative[-1], side="right")
    return np.stack([classes.bits(int(index), network) for index in found])
