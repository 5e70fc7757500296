"""The tables of the study, beside the numbers that the report printed."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from classical.binarized import Binarisation
from experiments.fashion.settings import HIDDEN, RATES
from experiments.markdown import table

Results = Mapping[str, Any]

KINDS: Mapping[Binarisation, str] = {
    "none": "full precision",
    "deterministic": "deterministic",
    "stochastic": "stochastic",
}


class Printed(NamedTuple):
    """What the report prints of one network, as it is printed; None: nothing."""

    epochs: int
    training: float
    """accuracy on training images in percent"""
    test: float
    """accuracy on test images in percent"""
    memory: float
    """megabytes of the process in training"""
    seconds: float | None = None
    """of the whole training"""
    epoch_seconds: str = "–"
    """of an epoch, in its digits"""


PRINTED = {
    "none-128": Printed(1000, 83.8, 82.5, 1016.32, 7084, "7"),
    "deterministic-128": Printed(1000, 68.7, 67.9, 869.63, 5073, "5"),
    "stochastic-128": Printed(500, 69.2, 68.3, 869.63),
    "none-1024": Printed(1000, 90.6, 87.2, 1867.32, 28496, "28.5"),
    "deterministic-1024": Printed(1000, 87.1, 85.1, 1364.09, 16293, "16.3"),
    "stochastic-1024": Printed(1000, 84.0, 82.6, 923.57),
}
"""Its sections III.A to III.D."""
SHORTER = Printed(500, 68.2, 67.3, 931.56)
"""The deterministic network of 128 units once more, in section III.D."""


def tables(results: Results) -> str:
    """Accuracy, training, and classification."""
    return "\n\n".join([_accuracy(results), _training(results), _classifying(results)])


def _rows(results: Results) -> Iterator[tuple[list[str], dict[str, Any], Printed]]:
    """The first words of each row, what was found, and what was printed."""
    for n in sorted(HIDDEN):
        for kind, words in KINDS.items():
            name = f"{kind}-{n}"
            yield [f"784-{n}-10", words], results[name], PRINTED[name]


def _accuracy(results: Results) -> str:
    rows = [
        [
            *words, f"{100 * found['accuracy']:.2f}", f"{printed.test:.1f}",
            f"{100 * found['accuracy'] - printed.test:+.1f}",
            f"{100 * found['training_accuracy']:.2f}", f"{printed.training:.1f}",
            f"{found['chosen']} of {len(found['losses'])}", f"{printed.epochs}",
        ]
        for words, found, printed in _rows(results)
    ]  # fmt: skip
    head = ["network", "binarisation", "test accuracy, %", "printed", "difference",
            "training accuracy, %", "printed", "epoch chosen", "epochs of the report"]  # fmt: skip
    again = (
        f"The report trains the deterministic network of 128 units a second time, for "
        f"{SHORTER.epochs} epochs beside the stochastic one: it prints {SHORTER.test} % of the "
        f"test images, {SHORTER.training} % of the training images and {SHORTER.memory} MB."
    )
    return f"{table('Accuracy', head, rows, words=2)}\n\n{again}"


def _training(results: Results) -> str:
    rows = []
    for words, found, printed in _rows(results):
        seconds = printed.seconds
        rows.append(
            [
                *words, f"{found['seconds']:.0f}", "–" if seconds is None else f"{seconds:.0f}",
                f"{np.median(found['epoch_seconds']):.2f}",
                printed.epoch_seconds,
                *_megabytes(found), f"{printed.memory:.2f}",
            ]
        )  # fmt: skip
    head = ["network", "binarisation", "training, s", "printed", "s an epoch",
            "printed", "peak memory, MB", "of it for training", "printed"]  # fmt: skip
    rates = ", ".join(f"{RATES[kind]:g} {words}" for kind, words in KINDS.items())
    return f"{table('Training', head, rows, words=2)}\n\nLearning rates: {rates}."


def _classifying(results: Results) -> str:
    rows = []
    for words, found, _ in _rows(results):
        torch_ms, torch_bytes = 1000 * found["torch_seconds"], found["torch_bytes"]
        row = [*words, f"{torch_ms:.1f}", "–", "–", "–", f"{torch_bytes:,}", "–", "–", "–"]
        if "packed_seconds" in found:
            packed_ms, packed_bytes = 1000 * found["packed_seconds"], found["packed_bytes"]
            row[3:6] = [f"{packed_ms:.1f}", f"{torch_ms / packed_ms:.1f}",
                        f"{1000 * found['packing_seconds']:.1f}"]  # fmt: skip
            row[7:] = [f"{packed_bytes:,}", f"{torch_bytes / packed_bytes:.1f}",
                       f"{found['disagreements']}"]  # fmt: skip
        rows.append(row)
    head = ["network", "binarisation", "torch, ms", "packed, ms", "ratio", "packing the images, ms",
            "torch, bytes", "packed, bytes", "ratio", "predictions that differ"]  # fmt: skip
    return table("Classifying the 10,000 test images, and size on disk", head, rows, words=2)


def _megabytes(found: Mapping[str, Any]) -> list[str]:
    """Peak of the process, and how far it is above what the process held before."""
    if found["memory"] is None or found["idle_memory"] is None:
        return ["–", "–"]
    return [f"{found['memory']:.0f}", f"{found['memory'] - found['idle_memory']:.0f}"]
