"""Can evolution train binary networks without floating point, and how well?

    python -m experiments run no-float

Fontana (2022) trained networks of XOR and majority votes on MNIST, each pixel a sign, by three
evolutionary schemes, and ended every run after 30 minutes. Here each scheme is run as it is printed
and with what it leaves free chosen anew, beside two trainers of this project: one that takes no
gradient through the network, and one without floats that learns in depth, with controls that tell
whether it does. Choices were made, and networks are kept, by the last 10,000 training rows.
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from classical.error_propagation import train_by_errors
from classical.evolution import CountingErrors, EliteEvolution, NaivePerturbation, Scheme, evolve
from classical.flips import train_by_flips
from classical.majority import MajorityNetwork, PackedSamples
from experiments.memory import peak, reset_peak
from experiments.no_float import pictures
from experiments.no_float import tables as written
from qhyper import Streams
from qhyper.data.images import load_images
from qhyper.targets.packed.inputs import pack_bits
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.shape import PackedShape

TITLE = "Can evolution train binary networks without floating point, and how well?"

SHARED = ("memory.py",)

History = list[tuple[float, int, float]]
"""Seconds, generation and accuracy on the rows held out."""

HELD_OUT = 10_000
"""The last training rows."""
SEED = 0

MINUTES, PRINTED_MINUTES = 5, 30
"""Of a training in the full setting; of those as printed, which the thesis ended after as many."""

DEEP, BITS = (784, 1024, 1024, 1024, 1024, 1000), 100
"""Five layers and 100 bits a label are printed, for counting errors; hidden widths are not."""
SMALL, SMALL_BITS = (784, 16, 50), 5
SMALL_WEIGHTS = 784 * 16 + 16 * 50


@dataclass(frozen=True)
class Setting:
    """A scheme and its network."""

    title: str
    printed: float | None
    """The best accuracy that the thesis reports for the scheme, at rates and widths of its own."""
    layers: tuple[int, ...]
    label_bits: int
    scheme: Scheme
    check_every: int
    """Generations between two looks at the rows held out."""
    quick: int
    """Generations in the quick setting, which are the same on every machine."""
    minutes: float = MINUTES
    """In the full setting."""


SETTINGS = {
    "elite-printed": Setting(
        "elite evolution, printed steps", 0.48, DEEP, BITS,
        EliteEvolution(p=0.01, rows=100, children=10, networks=10), check_every=100,
        quick=5, minutes=PRINTED_MINUTES,
    ),
    "counting-printed": Setting(
        "counting errors, printed steps", 0.60, DEEP, BITS,
        CountingErrors(p=0.003, rows=1, children=8, p_all=0.003), check_every=100,
        quick=5, minutes=PRINTED_MINUTES,
    ),
    "naive-printed": Setting(
        "naive perturbation, printed steps", 0.10, DEEP, BITS,
        NaivePerturbation(p=0.01, rows=100), check_every=1000, quick=20,
    ),
    "counting-printed-batches": Setting(
        "counting errors, 100 rows a batch, without line 13", None, DEEP, BITS,
        CountingErrors(p=0.003, rows=100, children=8), check_every=100, quick=5,
    ),
    "counting-printed-one": Setting(
        "counting errors, without line 13, one child", None, DEEP, BITS,
        CountingErrors(p=0.003, rows=1, children=1), check_every=500, quick=500,
    ),
    "naive-free": Setting(
        "naive perturbation, free", None, SMALL, SMALL_BITS,
        NaivePerturbation(p=2 / SMALL_WEIGHTS, rows=8192), check_every=1000, quick=2000,
    ),
    "elite-free": Setting(
        "elite evolution, free", None, SMALL, SMALL_BITS,
        EliteEvolution(
            p=3 / SMALL_WEIGHTS, rows=4096, children=16, networks=4, weights=(1, 3)
        ),
        check_every=500, quick=200,
    ),
    "counting-free": Setting(
        "counting errors, free", None, (784, 4096, 500), 50,
        CountingErrors(p=0.002, rows=5, children=1, one_class=True), check_every=1000, quick=1000,
    ),
}  # fmt: skip
"""Printed are the steps of all, and five layers and 100 label bits for counting errors; widths,
rates, rows, children and the size of the elite are not, and ours."""

FLIPS = PackedShape((784, 128, 10))
QUICK_STEPS = 100
FLIP_SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "flips": ("differences of single flips", {"steps": 10_000}),
    "flips-free-logits": (
        "differences of single flips, every logit by itself",
        {"steps": 10_000, "basis": None, "scale": 8.0, "learning_rate": 0.05},
    ),
}
"""What differs from the trainer's defaults."""

HIDDEN = 1024
QUICK_EPOCHS = 1
ERROR_SETTINGS: dict[str, tuple[str, tuple[int, ...], dict[str, int]]] = {
    "errors": ("errors sent down, both hidden layers trained", (784, HIDDEN, HIDDEN, 10), {}),
    "errors-first-random": (
        "errors sent down, first hidden layer random", (784, HIDDEN, HIDDEN, 10),
        {"random_layers": 1},
    ),
    "errors-both-random": (
        "errors sent down, both hidden layers random", (784, HIDDEN, HIDDEN, 10),
        {"random_layers": 2},
    ),
    "errors-one-hidden": ("errors sent down, one hidden layer", (784, HIDDEN, 10), {}),
}  # fmt: skip
"""Networks without floats that learn in depth, and what depth is worth."""
ERROR_OPTIONS: dict[str, int] = {"epochs": 60}
"""Of all of them, besides the trainer's defaults."""


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """Every scheme, errors that go down, and the differences of single flips; long ones first."""
    found: dict[str, Callable[[], Any]] = {
        name: partial(by_scheme, setting, quick) for name, setting in SETTINGS.items()
    }
    found |= {name: partial(by_errors, name, quick) for name in ERROR_SETTINGS}
    return found | {name: partial(by_flips, name, quick) for name in FLIP_SETTINGS}


def by_scheme(setting: Setting, quick: bool) -> dict[str, Any]:
    """Train by a scheme of evolution."""
    network = MajorityNetwork(setting.layers, setting.label_bits)

    def work(data: PackedSamples) -> tuple[PackedNetwork, History]:
        trained = evolve(
            network,
            setting.scheme,
            data.take(slice(0, -HELD_OUT)),
            data.take(slice(-HELD_OUT, None)),
            rng=Streams((SEED,))(0, "search")[0],
            minutes=None if quick else setting.minutes,
            generations=setting.quick if quick else None,
            check_every=setting.quick // 5 if quick else setting.check_every,
        )
        history = [(check.seconds, check.generation, check.accuracy) for check in trained.history]
        return network.packed(trained.words), history

    about = {"title": setting.title, "printed": setting.printed, "how": repr(setting.scheme)}
    return about | {"label_bits": setting.label_bits} | _measured(work)


def by_flips(name: str, quick: bool) -> dict[str, Any]:
    """Train by the exact differences that single flips make."""
    title, options = FLIP_SETTINGS[name]
    options = options | ({"steps": QUICK_STEPS} if quick else {})

    def work(data: PackedSamples) -> tuple[PackedNetwork, History]:
        trained = train_by_flips(
            FLIPS.layers, data.inputs, data.labels, held_out=HELD_OUT, seed=SEED,
            minutes=MINUTES, every=max(1, options["steps"] // 100), **options,
        )  # fmt: skip
        history = [(point.seconds, point.step, point.accuracy) for point in trained.history]
        return trained.network, history

    how = ", ".join(f"{option}={value}" for option, value in options.items())
    about = {"title": title, "printed": None, "how": how}
    return about | {"label_bits": None} | _measured(work)


def by_errors(name: str, quick: bool) -> dict[str, Any]:
    """Train by errors of -1, 0 and +1 that go down; no number of it is a float."""
    title, layers, options = ERROR_SETTINGS[name]
    options = ERROR_OPTIONS | options | ({"epochs": QUICK_EPOCHS} if quick else {})

    def work(data: PackedSamples) -> tuple[PackedNetwork, History]:
        trained = train_by_errors(
            layers, data.inputs, data.labels, held_out=HELD_OUT, seed=SEED,
            seconds=None if quick else 60 * MINUTES, **options,
        )  # fmt: skip
        history = [
            (look.milliseconds / 1000, look.epoch, look.correct / HELD_OUT)
            for look in trained.history
        ]
        return trained.network, history

    how = ", ".join(f"{option}={value}" for option, value in options.items())
    about = {"title": title, "printed": None, "how": how}
    return about | {"label_bits": None} | _measured(work)


def _measured(
    work: Callable[[PackedSamples], tuple[PackedNetwork, History]],
) -> dict[str, Any]:
    """What training gives, and what it takes: time, memory, and the network's file."""
    data = _training()
    before = reset_peak()
    began = time.perf_counter()
    network, history = work(data)
    seconds, most = time.perf_counter() - began, peak()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.npz"
        network.save(path)
        size, network = path.stat().st_size, PackedNetwork.load(path)
    _, test = load_images("mnist")
    bits = test.bits
    accuracy = float((network.predict(bits) == test.labels).mean())
    return {
        "layers": list(network.shape.layers),
        "accuracy": accuracy,
        "seconds": seconds,
        "history": history,
        "memory_before": before,
        "memory_peak": most,
        "inference": min(_seconds(partial(network.predict, bits)) for _ in range(5)),
        "bytes": size,
    }


def _training() -> PackedSamples:
    images, _ = load_images("mnist")
    return PackedSamples(pack_bits(images.bits), images.labels)


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def tables(results: Mapping[str, Any]) -> str:
    """All tables."""
    return written.tables(results)


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write accuracy.svg and depth.svg."""
    pictures.draw(results, folder)


def measured(results: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    return written.measured(results)
