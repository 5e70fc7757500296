"""Tables of one's own: seven classics as raw CSV files, as `qhyper compare FILE` finds them."""

import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bars import Line, bar
from sklearn import datasets

from qhyper.data.samples import Dataset
from qhyper.data.sets import load
from qhyper.run import cautions
from qhyper.run.comparison import compare
from qhyper.run.config import Config
from qhyper.run.problem import build_problem
from qhyper.targets.layered.network import layered

SEEDS = range(4)
EVALUATIONS = 60_000
ENTRIES = ["bernoulli", "annealing"]


def _tables() -> Iterator[tuple[str, np.ndarray, np.ndarray, list[str]]]:
    """Name, features, labels and names of classes, none of them centred or scaled."""
    for name in ("iris", "wine", "breast_cancer", "digits"):
        found = getattr(datasets, f"load_{name}")()
        yield name, found.data, found.target, [f"class {c}" for c in found.target_names]
    found = datasets.load_diabetes(scaled=False)
    yield "diabetes", found.data, (found.target > np.median(found.target)) * 1, ["low", "high"]
    for name in ("moons", "circles"):
        x, y = getattr(datasets, f"make_{name}")(500, noise=0.1, random_state=0)
        yield name, 20 + 5 * x, y, ["inner", "outer"]


def _write(path: Path, x: np.ndarray, y: np.ndarray, classes: list[str]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"feature {i}" for i in range(x.shape[1])), "kind"])
        writer.writerows([*row.tolist(), classes[k]] for row, k in zip(x, y, strict=True))


def _best(data: Dataset) -> tuple[float, float]:
    """Training loss and test accuracy of the best network found, by training loss."""
    network = layered(data)
    outcome = compare(
        network.objective(data.train), ENTRIES, seeds=SEEDS, evaluations=EVALUATIONS,
        test=data.test, warn=lambda _: None,
    )  # fmt: skip
    found = [
        (loss, accuracy)
        for result in outcome.results
        for loss, accuracy in zip(result.best_loss, result.test_accuracy or (), strict=True)
    ]
    return min(found)


@bar
def tables_of_ones_own() -> Iterator[Line]:
    """What the warning advises, or the file as it is where there is none, against all scalings."""
    with tempfile.TemporaryDirectory() as folder:
        for name, x, y, classes in _tables():
            path = Path(folder, f"{name}.csv")
            _write(path, x, y, classes)
            raw = load(path)
            warned = bool(cautions.before(build_problem(Config(data=str(path)))))
            scale = cautions.advised_scale(raw.train.x)
            found = {by: _best(raw.scaled(by)) for by in ("none", "standard", "median", "minmax")}
            (_, by_hand), (_, advised) = (
                min(found.values()),
                found[scale if warned else "none"],
            )
            detail = ", ".join(f"{by} {accuracy:.3f}" for by, (_, accuracy) in found.items())
            yield Line(
                f"{name}-below-best-by-hand", by_hand - advised, at_most=0.02,
                detail=f"{f'--scale {scale}' if warned else 'not warned'}; {detail}",
            )  # fmt: skip
