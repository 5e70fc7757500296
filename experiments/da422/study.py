"""DA422's six networks trained as it says: SGD at 0.2, mini-batches of 5,000, 1,000 epochs.

python -m experiments run da422
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from classical.fit_images import Epoch, accuracy, fit_images
from experiments import runner
from experiments.da422.curves import chosen, kept_accuracy
from experiments.da422.network import ReportNetwork
from experiments.da422.settings import BATCH, BEST, KINDS, RATE, ROWS, SIZES, Row
from experiments.images import split
from experiments.memory import peak, reset_peak
from experiments.study import find
from qhyper.data.images import Images, load_images
from qhyper.run.directory import versions
from qhyper.storage import write_whole

TITLE = "DA422's six binary and real networks, trained by its own recipe: do its claims hold?"

SHARED = ("images.py", "memory.py")

CHECKPOINTS = Path("runs") / "da422-checkpoints"
"""A folder for each state of the sources and set of package versions."""

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    training: int = 50_000
    """images to train on"""
    held_out: int = 10_000
    """images to choose the epoch by"""
    test: int | None = None
    """all, unless told"""
    batch: int = BATCH
    epochs: int | None = None
    """of each training; as ROWS has them unless told"""
    turns: int = 5
    """in which seconds and memory of an epoch are measured"""


FULL = Size()
QUICK_ROWS = (
    "deterministic-1024-glorot", "stochastic-128-glorot-wide", "deterministic-128-glorot",
    "none-128", "mnist-deterministic", "signs-deterministic", "decay-deterministic-1",
)  # fmt: skip
QUICK = Size(training=3_000, held_out=1_000, test=2_000, batch=300, epochs=3, turns=1)


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """The trainings, and what an epoch takes."""
    size = QUICK if quick else FULL
    rows = {name: ROWS[name] for name in (QUICK_ROWS if quick else ROWS)}
    trainings = {name: partial(training, name, row, size) for name, row in rows.items()}
    return trainings | {"epoch": partial(cost_of_an_epoch, size)}


def training(name: str, row: Row, size: Size) -> dict[str, Any]:
    """Train a network, and classify the test images after each epoch.

    The epoch is chosen on held-out images; another epoch in which the work was interrupted may have
    no test accuracy, None.
    """
    if size.epochs is not None:
        row = replace(row, epochs=size.epochs)
    learnt, held_out, test = _images(row.images, size)
    network = _network(row, learnt)
    path = _checkpoint(name, size)
    tested = _Tested(path.with_suffix(".json"), network, test)
    record = fit_images(
        network, learnt, held_out, epochs=row.epochs, batch=size.batch, learning_rate=RATE,
        optimizer="SGD", schedule="ExponentialLR", schedule_options={"gamma": row.decay},
        checkpoint=path, progress=tested,
    )  # fmt: skip
    found: dict[str, Any] = {
        "training_accuracy": accuracy(network, learnt),
        "losses": [epoch.loss for epoch in record],
        "held_out": [epoch.accuracy for epoch in record],
        "tested": [tested.found.get(str(epoch.number)) for epoch in record],
        "epoch_seconds": [epoch.seconds for epoch in record],
    }
    found["tested"][chosen(found) - 1] = accuracy(network, test)  # the network of that epoch
    return found


class _Tested:
    """Test accuracies by epoch, in a file beside the checkpoint, which has none of them."""

    def __init__(self, path: Path, network: ReportNetwork, test: Images) -> None:
        self.path, self.network, self.test = path, network, test
        text = path.read_text(encoding="utf-8") if path.exists() else "{}"
        self.found: dict[str, float] = json.loads(text)

    def __call__(self, epoch: Epoch) -> None:
        """Classify the test images after this epoch."""
        self.found[str(epoch.number)] = accuracy(self.network, self.test)
        write_whole(self.path, json.dumps(self.found).encode())


def cost_of_an_epoch(size: Size) -> dict[str, Any]:
    """Seconds and megabytes of an epoch of each network, in turn: what disturbs one does all.

    Memory is how far the peak is above what the process held before, None where that is not known.
    """
    learnt, held_out, _ = _images("fashion-mnist", size)
    rows = {name: ROWS[name] for n in SIZES for kind in KINDS for name in [f"{kind}-{n}"]}
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    memory: dict[str, list[float]] = {name: [] for name in rows}
    total: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(size.turns + 1):
        for name, row in rows.items():
            idle = reset_peak()
            (epoch,) = fit_images(
                _network(row, learnt), learnt, held_out, epochs=1, batch=size.batch,
                learning_rate=RATE, optimizer="SGD", schedule="constant",
            )  # fmt: skip
            top = peak()
            if turn == 0:  # the first turn warms up
                continue
            seconds[name].append(epoch.seconds)
            if idle is not None and top is not None:
                memory[name].append(top - idle)
                total[name].append(top)
    return {
        name: {"seconds": seconds[name], "memory": memory[name], "total_memory": total[name]}
        for name in rows
    }


def _images(name: str, size: Size) -> tuple[Images, Images, Images]:
    """Images to train on, held out and of the test set."""
    whole, test = load_images(name)
    return *split(whole, size.held_out, min(size.training, len(whole) - size.held_out)), test.take(
        slice(size.test)
    )


def _network(row: Row, images: Images) -> ReportNetwork:
    return ReportNetwork(
        (images.pixels.shape[1], row.hidden, 10), binarisation=row.kind, glorot=row.glorot,
        binarised_gradients=row.binarised_gradients, drawn_weights=row.drawn_weights,
        wide=row.wide,
    )  # fmt: skip


def _checkpoint(name: str, size: Size) -> Path:
    """The file of a training, other files for other sources, packages and sizes."""
    depends_on = f"{runner.sources(find('da422'))} {versions()} {asdict(size)}"
    return CHECKPOINTS / hashlib.sha256(depends_on.encode()).hexdigest()[:12] / f"{name}.pt"


# -- what came out ---------------------------------------------------------------------------------


def tables(results: Results) -> str:
    """All tables."""
    from experiments.da422 import tables as shown

    return shown.tables(results)


def draw(results: Results, folder: Path) -> None:
    """Write cost.svg, error.svg and seconds.svg."""
    from experiments.da422 import pictures

    pictures.draw(results, folder)


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    numbers = {}
    for name in ROWS.keys() & results.keys():
        numbers[f"{name}-accuracy"] = kept_accuracy(results[name])
        numbers[f"{name}-cost"] = results[name]["losses"][-1]
    shorter = f"deterministic-128{BEST['deterministic']}"
    return numbers | {f"{shorter}-500-accuracy": kept_accuracy(results[shorter], 500)}
