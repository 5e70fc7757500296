"""A binary ResNet-18 on CIFAR-10: which of its tricks pay, and what do few bits save?

python -m experiments run resnet
"""

import copy
import hashlib
import io
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import convert_conv2d_weight_memory_format

from classical.fit_images import Epoch
from classical.precision import LEAST, MOST, bits_of_step
from classical.resnet import ResNet18
from experiments import runner
from experiments.images import split
from experiments.memory import peak, reset_peak
from experiments.resnet.settings import (
    ABLATIONS,
    BATCH,
    CLASSES,
    FULL,
    IMAGES,
    MAIN,
    PROPOSED,
    QUICK,
    Recipe,
    Size,
)
from experiments.resnet.training import train
from experiments.study import find
from experiments.timing import medians
from qhyper.data.images import Images, load_images
from qhyper.run.directory import versions
from qhyper.targets.convolutional.network import ConvolutionalNetwork
from qhyper.threads import n_threads, torch_threads

TITLE = "A binary ResNet-18 on CIFAR-10: which of its tricks pay, and what do few bits save?"

SHARED = ("images.py", "memory.py", "timing.py")

CHECKPOINTS = Path("runs") / "resnet-checkpoints"
"""Where trainings go on from after an interruption, whatever the folder of the results.

A folder for each state of the sources and set of package versions."""
REPEATS = 5
"""Times that images are classified, of which the median is taken."""

Results = Mapping[str, Any]


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """The four trainings of the document, the ablations, and what is measured of untrained ones."""
    size = QUICK if quick else FULL
    smaller = replace(size, training=size.ablation_training, epochs=size.ablation_epochs)
    trainings = {
        name: partial(training, name, recipe, of_kind)
        for recipes, of_kind in ((MAIN, size), (ABLATIONS, smaller))
        for name, recipe in recipes.items()
    }
    return trainings | {"step-time": partial(step_time, size), "packed": partial(packed, size)}


def training(name: str, recipe: Recipe, size: Size) -> dict[str, Any]:
    """One training; a binary network of MAIN is packed as well."""
    whole, test = load_images(IMAGES)
    images = (*split(whole, size.held_out, size.training), test.take(slice(size.test)))
    depends_on = f"{runner.sources(find('resnet'))} {versions()}"
    folder = CHECKPOINTS / hashlib.sha256(depends_on.encode()).hexdigest()[:12]
    network, found = train(
        recipe, images, classes=CLASSES, width=size.width, epochs=size.epochs,
        cycles=size.cycles, progress=partial(_say, name, size.epochs),
        checkpoint=folder / f"{name}-{size.training}.pt",
    )  # fmt: skip
    if name in MAIN and recipe.network.get("weights") != "real":
        found["packed"] = _packed(network, images[-1], timed=len(images[-1]))
    return found


def _say(name: str, epochs: int, epoch: Epoch) -> None:
    share = f"{100 * epoch.accuracy:.1f} % of held-out images"
    print(f"{name}: epoch {epoch.number} of {epochs}, {share}", file=sys.stderr, flush=True)


# -- a step of training ----------------------------------------------------------------------------


def step_time(size: Size) -> dict[str, Any]:
    """Seconds and peak memory of a step, of floating point and of each number of bits.

    A mini-batch of CIFAR-10, forwards and backwards and one step of Adam. Kinds take turns.
    """
    whole, _ = load_images(IMAGES)
    images = whole.take(slice(BATCH))
    kinds: dict[str, tuple[dict[str, Any], int | None]] = {
        "full precision": ({"weights": "real", "preactivation": False}, None),
        "binary": ({**PROPOSED.network, "precision": "float"}, None),
        **{f"binary, {bits} bits": (dict(PROPOSED.network), bits) for bits in _range()},
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    memory: dict[str, list[float]] = {kind: [] for kind in kinds}
    for turn in range(size.steps + 1):
        for kind, (options, bits) in kinds.items():
            idle = reset_peak()
            step = _step(images, size.width, options, bits)
            step()  # the first has to allocate
            began = time.perf_counter()
            step()
            if turn:  # the first turn warms up
                seconds[kind].append(time.perf_counter() - began)
            top = peak()
            if turn and idle is not None and top is not None:
                memory[kind].append(top - idle)
            del step
    shares = np.bincount([bits_of_step(step, 1000, cycles=1) for step in range(1000)]) / 1000
    return {
        "width": size.width,
        "batch": BATCH,
        "seconds": {kind: float(np.median(times)) for kind, times in seconds.items()},
        "memory": {kind: float(np.median(of)) if of else None for kind, of in memory.items()},
        "shares": {str(bits): float(shares[bits]) for bits in _range()},
    }


def _range() -> range:
    return range(LEAST, MOST + 1)


def _step(
    images: Images, width: float, options: Mapping[str, Any], bits: int | None
) -> Callable[[], None]:
    network = ResNet18((3, 32, 32), CLASSES, width=width, **options)
    optimiser = torch.optim.Adam(network.parameters(), lr=PROPOSED.learning_rate, fused=True)
    network.set_bits(bits)
    x, y = network.inputs_of(images), torch.tensor(images.labels)

    def step() -> None:
        optimiser.zero_grad()
        cross_entropy(network(x), y).backward()
        optimiser.step()

    return step


# -- packed networks -------------------------------------------------------------------------------


def packed(size: Size) -> list[dict[str, Any]]:
    """What packing saves of untrained networks, at each width."""
    _, test = load_images(IMAGES)
    found = []
    for width, n in size.packed:
        network = ResNet18((3, 32, 32), CLASSES, width=width, shift=PROPOSED.network["shift"])
        with torch.no_grad():  # statistics of batch normalisation
            network.train()(network.inputs_of(test.take(slice(64))))
        found.append({"width": width} | _packed(network.eval(), test.take(slice(n)), timed=n))
    return found


def _packed(network: ResNet18, images: Images, timed: int) -> dict[str, Any]:
    """Disagreements with torch in float64, seconds to classify, and bytes on disk."""
    plain = network.evaluation_network()
    single = convert_conv2d_weight_memory_format(
        copy.deepcopy(plain).float(), torch.channels_last
    )  # fmt: skip
    stored = io.BytesIO()
    torch.save(single.state_dict(), stored)
    turned = ConvolutionalNetwork.from_torch(plain, image=network.image)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.npz"
        turned.save(path)
        packed_bytes = path.stat().st_size
    x, few = torch.tensor(images.planes), images.planes[:timed]
    numbers = x[:timed].float().contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def by_torch() -> None:
        for chunk in numbers.split(100):
            single(chunk)

    with torch.no_grad():
        expected = torch.cat([plain(chunk.double()).argmax(1) for chunk in x.split(100)]).numpy()
    with torch_threads(n_threads()):
        torch_seconds, packed_seconds = medians(
            by_torch, lambda: turned.predict(few), repeats=REPEATS
        )
    return {
        "images": len(images), "timed": timed, "threads": n_threads(),
        "torch_bytes": len(stored.getvalue()), "packed_bytes": packed_bytes,
        "torch_seconds": torch_seconds, "packed_seconds": packed_seconds,
        "disagreements": int((turned.predict(images.planes) != expected).sum()),
    }  # fmt: skip


# -- what came out ---------------------------------------------------------------------------------


def tables(results: Results) -> str:
    """All tables."""
    from experiments.resnet import tables as shown

    return shown.tables(results)


def draw(results: Results, folder: Path) -> None:
    """Write accuracy.svg."""
    from experiments.resnet import pictures

    pictures.draw(results, folder)


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    numbers = {
        f"{name}-accuracy": found["accuracy"]
        for name, found in results.items()
        if name in MAIN or name in ABLATIONS
    }
    ways = {name: results[name]["packed"] for name in MAIN if "packed" in results[name]}
    ways |= {f"width-{found['width']:g}": found for found in results["packed"]}
    numbers |= {f"{name}-disagreements": found["disagreements"] for name, found in ways.items()}
    return numbers | {
        f"{name}-size-ratio": found["torch_bytes"] / found["packed_bytes"]
        for name, found in ways.items()
    }
