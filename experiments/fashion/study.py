"""Binary weights and activations on Fashion-MNIST: what do they cost, and what save?

python -m experiments run fashion
"""

import copy
import io
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from classical.binarized import Binarisation, BinarizedNetwork
from classical.fit_images import Epoch, accuracy, fit_images
from experiments.fashion.settings import HIDDEN, RATES
from experiments.images import split
from experiments.memory import peak, reset_peak
from experiments.timing import medians
from qhyper.data.images import Images, load_images
from qhyper.targets.packed.network import PackedNetwork

TITLE = "Binary weights and activations on Fashion-MNIST: what do they cost, and what save?"

SHARED = ("images.py", "memory.py", "timing.py")

BATCH, SEED = 100, 0
FULL, QUICK = (50_000, 10_000, 20), (9_000, 1_000, 3)
"""Images to train on, images to choose the epoch by, and epochs."""
REPEATS = 7
"""Times that all test images are classified, of which the median is taken."""

Results = Mapping[str, Any]


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """Each kind of network in each size."""
    sizes = QUICK if quick else FULL
    return {f"{kind}-{n}": partial(one, kind, n, *sizes) for n in HIDDEN for kind in RATES}


def one(
    kind: Binarisation, hidden: int, training_rows: int, held_out_rows: int, epochs: int
) -> dict[str, Any]:
    """Train a network, classify the test images, and measure what both take."""
    idle = reset_peak()
    training, test = load_images("fashion-mnist")
    training, held_out = split(training, held_out_rows, training_rows)
    network = BinarizedNetwork((784, hidden, 10), binarisation=kind, seed=SEED)
    began = time.perf_counter()
    record = fit_images(
        network, training, held_out, epochs=epochs, batch=BATCH, learning_rate=RATES[kind]
    )
    seconds = time.perf_counter() - began
    memory = peak()
    return {
        "accuracy": accuracy(network, test),
        "training_accuracy": accuracy(network, training),
        "chosen": _chosen(record),
        "losses": [epoch.loss for epoch in record],
        "held_out": [epoch.accuracy for epoch in record],
        "epoch_seconds": [epoch.seconds for epoch in record],
        "seconds": seconds,
        "idle_memory": idle,
        "memory": memory,
        **_inference(network, test),
    }


def _chosen(record: list[Epoch]) -> int:
    """The number of the epoch as which the network ends."""
    return max(record, key=lambda epoch: epoch.accuracy).number


def _inference(network: BinarizedNetwork, test: Images) -> dict[str, Any]:
    """Seconds to classify the test images, and bytes on disk: torch in float32, and packed."""
    plain = network.evaluation_network()
    with torch.no_grad():
        expected = plain(torch.tensor(test.pixels, dtype=torch.float64)).argmax(1).numpy()
    single, numbers = copy.deepcopy(plain).float(), torch.tensor(test.pixels, dtype=torch.float32)
    stored = io.BytesIO()
    torch.save(single.state_dict(), stored)
    found: dict[str, Any] = {"torch_bytes": len(stored.getvalue())}

    @torch.no_grad()
    def by_torch() -> None:
        single(numbers).argmax(1)

    if not network.binary:
        (found["torch_seconds"],) = medians(by_torch, repeats=REPEATS)
        return found
    packed = PackedNetwork.from_torch(plain, inputs="pixels")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.npz"
        packed.save(path)
        found["packed_bytes"] = path.stat().st_size
    inputs = packed.pack(test.pixels)
    found["disagreements"] = int((packed.predict(inputs) != expected).sum())
    found["torch_seconds"], found["packed_seconds"], found["packing_seconds"] = medians(
        by_torch,
        lambda: packed.predict(inputs),
        lambda: packed.pack(test.pixels),
        repeats=REPEATS,
    )
    return found


# -- what came out ---------------------------------------------------------------------------------


def tables(results: Results) -> str:
    """All tables."""
    from experiments.fashion import tables as shown

    return shown.tables(results)


def draw(results: Results, folder: Path) -> None:
    """Write accuracy.svg."""
    from experiments.fashion import pictures

    pictures.draw(results, folder)


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    numbers = {f"{name}-accuracy": found["accuracy"] for name, found in results.items()}
    binary = {name: found for name, found in results.items() if "disagreements" in found}
    numbers |= {f"{name}-disagreements": found["disagreements"] for name, found in binary.items()}
    return numbers | {
        f"{name}-size-ratio": found["torch_bytes"] / found["packed_bytes"]
        for name, found in binary.items()
    }
