"""Where a straight-through network of 36 weights ends: is it the start, or the order of batches?

E. Oey, "Hypernetworks for binary neural networks" (Leiden, 2023), prints 0.6336 ± 0.1680 for ten
trainings of a binary 4-6-2 network on MNIST, and suspects the random start. In a training drawn
anew the order of batches is new as well. Here every start is trained with every order:

    python -m experiments run start-or-order
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from classical.straight_through import StraightThroughNetwork
from classical.supervised import accuracy, fit_classifier
from experiments.start_or_order import pictures
from experiments.start_or_order import tables as written
from qhyper import BinaryNetwork, Certificate, Dataset, Samples, load
from qhyper.bits import Bits
from qhyper.targets.layered.objective import NetworkObjective
from qhyper.targets.target import SAME_LOSS

TITLE = "Start or order: what decides where a straight-through network of 36 binary weights ends?"

DATA = ("mnist", "toy")
NETWORK = BinaryNetwork((4, 6, 2))
BATCH = 75
"""As printed."""


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    thinned: int
    """one of so many training images is used"""
    each: int
    """starts, and orders"""
    epochs: int
    """50 are printed"""
    learning_rate: float
    """of Adam; 1e-4 is printed"""


FULL = Size(thinned=1, each=10, epochs=50, learning_rate=1e-4)
QUICK = Size(thinned=40, each=4, epochs=3, learning_rate=1e-2)


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """All trainings on a data set at once, and where they end."""
    size = QUICK if quick else FULL
    return {data: partial(trained, data, size) for data in DATA}


def trained(data: str, size: Size) -> dict[str, Any]:
    """Every start with every order; tables are [start][order], with an epoch first where it says.

    Start k and order k have the seed k, but streams of their own: on the diagonal are the ten
    trainings of the study `thesis`.
    """
    dataset = _thinned(load(data), size.thinned)
    starts, orders = (each.ravel().tolist() for each in np.indices((size.each, size.each)))
    steps = -(-len(dataset.train.y) // BATCH)
    network = _Watched(starts, last=steps)
    by_epoch = [accuracy(network, dataset.test)]
    fit_classifier(
        network, dataset.train, epochs=size.epochs, batch=BATCH,
        learning_rate=size.learning_rate, orders=orders,
        progress=lambda *_: by_epoch.append(accuracy(network, dataset.test)),
    )  # fmt: skip
    on_test = NETWORK.objective(dataset.test, "accuracy")
    objective = NETWORK.objective(dataset.train)
    certificate = objective.certify()
    last = 1 - np.stack([on_test(bits) for bits in network.seen])
    found = {
        "epochs": np.stack(by_epoch),  # the start first
        "last_epoch_mean": last.mean(axis=0),
        "last_epoch_sd": last.std(axis=0),
        **_standing(network.bits(), objective, certificate),
    }
    square = (size.each, size.each)
    tables = {name: values.reshape(*values.shape[:-1], *square) for name, values in found.items()}
    return {name: table.tolist() for name, table in tables.items()} | {
        "landscape": _landscape(certificate, dataset)
    }


def _thinned(whole: Dataset, every: int) -> Dataset:
    some = Samples(whole.train.x[::every], whole.train.y[::every])
    return Dataset(whole.name, train=some, test=whole.test)


class _Watched(StraightThroughNetwork):
    """Remembers its bits after each of the `last` steps.

    In float64: in float32, where a weight is often as near to zero as its rounding, a training
    would end elsewhere on another processor.
    """

    def __init__(self, seeds: list[int], *, last: int) -> None:
        super().__init__(NETWORK.layers, seeds=seeds, dtype=torch.float64)
        self.seen: deque[Bits] = deque(maxlen=last)

    def after_step(self) -> None:
        """Clip, and look."""
        super().after_step()
        signs = [latent.detach().flatten(1) >= 0 for latent in self.latent]
        self.seen.append(torch.cat(signs, dim=1).numpy().astype(np.uint8))


def _standing(
    bits: Bits, objective: NetworkObjective, certificate: Certificate
) -> dict[str, np.ndarray]:
    """Where networks [run, bit] stand among all 2^36: arrays [run]."""
    losses = objective(bits)
    levels = np.searchsorted(certificate.levels, losses - SAME_LOSS)
    below = np.concatenate([[0.0], np.cumsum(certificate.multiplicities, dtype=np.float64)])
    _, second = NETWORK.space.decode(bits).weights
    return {
        "loss": losses,
        "regret": losses - certificate.minimum_loss,
        "levels_below": levels,
        "share_below": below[levels] / certificate.configurations,
        "null_units": (second[..., 0] == second[..., 1]).sum(axis=1),
    }


def _landscape(certificate: Certificate, dataset: Dataset) -> dict[str, Any]:
    """What is proven of all 2^36 networks."""
    edges, counts = certificate.histogram(1200)
    low = int(np.searchsorted(edges, 2.0))
    return {
        "certificate": certificate.to_dict(),
        "test_accuracy": float(NETWORK.accuracy(certificate.optimum, dataset.test)),
        "spectrum": {"edges": edges[: low + 1].tolist(), "bitstrings": counts[:low]},
    }


def tables(results: Mapping[str, Any]) -> str:
    """All tables."""
    return written.tables(results)


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write all pictures."""
    pictures.draw(results, folder)


def measured(results: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    return written.measured(results)
