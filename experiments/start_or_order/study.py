"""Where a straight-through network of 36 weights ends: is it the start, or the order of batches?

E. Oey, "Hypernetworks for binary neural networks" (Leiden, 2023), prints 0.6336 ± 0.1680 for ten
trainings of a binary 4-6-2 network on MNIST, and suspects the random start. In a training drawn
anew the order of batches is new as well. Here every start is trained with every order:

    python -m experiments run start-or-order
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from classical.supervised import accuracy, fit_classifier
from experiments.oey import NETWORK, Watched, proven, standing, thinned
from experiments.start_or_order import pictures
from experiments.start_or_order import tables as written
from qhyper import load

TITLE = "Start or order: what decides where a straight-through network of 36 binary weights ends?"

SHARED = ("oey.py",)

DATA = ("mnist", "toy")
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
    dataset = thinned(load(data), size.thinned)
    starts, orders = (each.ravel().tolist() for each in np.indices((size.each, size.each)))
    steps = -(-len(dataset.train.y) // BATCH)
    network = Watched(starts, last=steps)
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
        **standing(network.bits(), objective, certificate),
    }
    found["regret"] = found["loss"] - certificate.minimum_loss
    square = (size.each, size.each)
    tables = {name: values.reshape(*values.shape[:-1], *square) for name, values in found.items()}
    return {name: table.tolist() for name, table in tables.items()} | {
        "landscape": proven(certificate, dataset.test)
    }


tables = written.tables
measured = written.measured
draw = pictures.draw
