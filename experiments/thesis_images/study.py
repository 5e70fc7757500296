"""How well can images of so few pixels be classified, and how well by weights of their own?

E. Oey, "Hypernetworks for binary neural networks" (Leiden, 2023), looks at her images in figures 5
to 10 and gives each of them weights of its own, for the digits 0 and 1 in 2 × 2 pixels; other data
are future work. No classifier tells identical images apart, and that bound is counted here:

    python -m experiments run thesis-images
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from classical.straight_through import StraightThroughHyperNetwork
from classical.supervised import accuracy, fit_classifier
from experiments.oey import PRECISION, conditional, own_accuracy, train_conditional
from experiments.thesis_images import pictures
from experiments.thesis_images import tables as written
from experiments.thesis_images.identical import Identical, counted, identical, labels
from qhyper import BinaryNetwork, Dataset, Samples, Streams, load

TITLE = "The thesis' images: what can any classifier make of them, and what weights of their own?"

SHARED = ("oey.py",)

HIDDEN, CLASSES = 6, 2
PAIRS = ((0, 1), (3, 7), (4, 9))
"""Digits whose images are given weights of their own; hers, and two that are harder."""
SIDES = (2, 4)
"""Pixels in each direction."""
BOUND_SIDES = (2, 3, 4, 5, 7)
DEPTHS = (2, 4, 6)
"""Of circuits that see the image, which enters before every entangling layer but the last."""
BINS = 50
"""Of figures 9 and 10, by the published notebook."""


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    thinned: int
    """one of so many images is used in trainings, and of their tests"""
    seeds: int
    epochs: int
    evaluations: int
    """of each seed of what is trained without gradients of the target"""


FULL = Size(thinned=1, seeds=3, epochs=50, evaluations=150_000)
QUICK = Size(thinned=100, seeds=2, epochs=4, evaluations=1_024)


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """Her pictures, the bounds, and trainings."""
    size = QUICK if quick else FULL
    found: dict[str, Callable[[], Any]] = {
        "images-toy": partial(explored, "toy"),
        "images-mnist": partial(explored, "mnist"),
        "bounds": partial(bounds, SIDES if quick else BOUND_SIDES),
    }
    for side in reversed(SIDES):
        for pair in PAIRS:
            name = f"{pair[0]}-{pair[1]}-{side}"
            found[f"straight-{name}"] = partial(straight, pair, side, size)
            found[f"classical-{name}"] = partial(drawn, pair, side, size)
            found[f"shared-{name}"] = partial(shared_by_all, pair, side, size)
    found["shared-toy"] = partial(shared_by_all, None, SIDES[0], size)
    found["as-printed"] = partial(as_printed, size)
    for depth in reversed(DEPTHS):
        found[f"depth-{depth}-toy"] = partial(drawn, None, 2, size, depth=depth)
        for pair in PAIRS if depth == DEPTHS[0] else PAIRS[:1]:
            name = f"depth-{depth}-{pair[0]}-{pair[1]}-2"
            found[name] = partial(drawn, pair, 2, size, depth=depth)
    return found


# -- what there is to see --------------------------------------------------------------------------


def explored(data: str) -> dict[str, Any]:
    """Figures 5 to 10: an image, the mean image and the histogram of mean pixels of each class."""
    dataset = load(data)
    x = dataset.train.x * 128 + 127.5  # exact: quarters at 2 × 2
    classes = []
    for label in range(CLASSES):
        images = x[dataset.train.y == label]
        brightness = images.mean(axis=1) / 127.5 - 1
        counts, edges = np.histogram(brightness, bins=BINS)
        classes.append({
            "images": len(images),
            "black": int((images == 0).all(axis=1).sum()),
            "example": images[10].tolist(),
            "mean": images.mean(axis=0).tolist(),
            "counts": counts.tolist(),
            "edges": edges.tolist(),
        })  # fmt: skip
    return {"classes": classes, **_identical(dataset)}


def _identical(dataset: Dataset) -> dict[str, Any]:
    return _both(identical(dataset.train), identical(dataset.test))


def _both(train: Identical, test: Identical) -> dict[str, Any]:
    parts = {"train": train, "test": test}
    return {name: asdict(one) | {"accuracy": one.accuracy} for name, one in parts.items()}


def bounds(sides: Sequence[int]) -> dict[str, Any]:
    """The best accuracy of any classifier, for all pairs of digits and sizes."""
    found: dict[str, Any] = {}
    for side in sides:
        everything = load("mnist", options={"digits": "all", "size": side})
        train, test = labels(everything.train), labels(everything.test)
        for pair in combinations(range(10), 2):
            found[f"{pair[0]}-{pair[1]}-{side}"] = _both(
                counted(train[:, pair]), counted(test[:, pair])
            )
    return found


# -- weights of an image's own ---------------------------------------------------------------------


@cache
def _data(pair: tuple[int, int] | None, side: int, size: Size) -> Dataset:
    """A pair of digits, or toy."""
    whole = load("mnist", options={"digits": list(pair), "size": side}) if pair else load("toy")
    thinned = (
        Samples(part.x[:: size.thinned], part.y[:: size.thinned])
        for part in (whole.train, whole.test)
    )
    return Dataset(whole.name, *thinned)


def straight(pair: tuple[int, int] | None, side: int, size: Size) -> dict[str, Any]:
    """Her hypernetwork, whose straight-through gradients reach both layers of the target.

    Judged as it is trained, with sign(0) = 0.
    """
    dataset = _data(pair, side, size)
    network = StraightThroughHyperNetwork(
        (side**2, HIDDEN, CLASSES), both_layers=True, seeds=range(size.seeds), dtype=PRECISION
    )
    fit_classifier(network, dataset.train, epochs=size.epochs, batch=32, learning_rate=1e-4)
    return {"own_accuracy": accuracy(network, dataset.test).tolist(), **_identical(dataset)}


def as_printed(size: Size) -> dict[str, Any]:
    """The published notebook's training on toy, and the accuracy on its training images.

    Keras prints that of the batches of an epoch as they come, by the weights of that time: here
    the mean of what it is before and after the last epoch.
    """
    dataset = _data(None, 2, size)
    network = StraightThroughHyperNetwork(
        (4, HIDDEN, CLASSES), seeds=range(size.seeds), dtype=PRECISION
    )
    by_epoch = []

    def look(epoch: int, epochs: int) -> None:
        if epoch >= epochs - 1:
            by_epoch.append(accuracy(network, dataset.train))

    fit_classifier(
        network, dataset.train, epochs=size.epochs, batch=32, learning_rate=1e-4, progress=look
    )
    return {
        "training_accuracy": np.mean(by_epoch, axis=0).tolist(),
        "own_accuracy": accuracy(network, dataset.test).tolist(),
    }


def drawn(
    pair: tuple[int, int] | None, side: int, size: Size, *, depth: int | None = None
) -> dict[str, Any]:
    """The classical conditional generator, or a circuit of `depth`; w(x) scored on x alone.

    Trained as in the study `thesis`, but from one start whatever the budget, so that the loss can
    be followed; judged on all test images.
    """
    dataset = _data(pair, side, size)
    network = BinaryNetwork((side**2, HIDDEN, CLASSES))
    generator = conditional(network, depth=depth, seeds=range(size.seeds))
    trainer = train_conditional(
        generator, network, dataset.train, evaluations=size.evaluations, training={"restarts": 1}
    )
    rng = Streams(generator.seeds)(2, "evaluate")
    bits = generator.sample(1, rng=rng, inputs=dataset.test.x).bits[:, :, 0]
    return {
        "own_accuracy": own_accuracy(network, dataset.test, bits).tolist(),
        "parameters": generator.n_parameters,
        "steps": trainer.step,
        "loss": _thirds([point["mean_loss"] for point in trainer.curve]),
        **_identical(dataset),
    }


def _thirds(curve: list[list[float]]) -> list[list[float]]:
    """Training loss of each seed at the end of each third of its training: [third][seed].

    Means over a thirtieth of the training, from those of the points of a curve [point][seed].
    """
    points = np.array(curve)
    width = max(1, len(points) // 30)
    ends = [len(points) * third // 3 for third in (1, 2, 3)]
    return [points[max(0, end - width) : max(1, end)].mean(axis=0).tolist() for end in ends]


def shared_by_all(pair: tuple[int, int] | None, side: int, size: Size) -> dict[str, Any]:
    """Test accuracy of what every image shares: logistic regression, and constant weights.

    The constant weights are those of the certified least training loss, with sign(0) = +1 as drawn
    weights are judged, and with 0 as hers are. 4 × 4 pixels make 108 of them, which no certificate
    counts.
    """
    dataset = _data(pair, side, size)
    linear = LogisticRegression(C=np.inf, tol=1e-6, max_iter=1000)  # no penalty
    linear.fit(dataset.train.x, dataset.train.y)
    found = {
        "logistic": linear.score(dataset.test.x, dataset.test.y),
        "one_class": float(max(dataset.test.y.mean(), 1 - dataset.test.y.mean())),
    }
    if side == SIDES[0]:
        for name, sign_of_zero in (("constant", 1), ("constant_0", 0)):
            network = BinaryNetwork((side**2, HIDDEN, CLASSES), sign_of_zero=sign_of_zero)
            best = network.objective(dataset.train).certify().optimum
            found[name] = float(network.accuracy(best, dataset.test))
    return found


tables = written.tables
measured = written.measured
draw = pictures.draw
