"""More weights than qubits: how well do circuits of 8 qubits generate 101,632 binary weights?

python -m experiments run static
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from classical.quantum_train import QuantumTrain
from classical.supervised import accuracy, fit_classifier
from experiments.static import pictures
from experiments.static import tables as written
from experiments.static.settings import (
    CONTROLS,
    DATA,
    DEVICE,
    KINDS,
    LAYERS,
    LONG,
    NAMES,
    PASS_SHOTS,
    SHORT,
    SHOTS,
    SIZES,
    SOURCES,
)
from qhyper import PackedTarget, load
from qhyper.data.samples import Samples, hold_out
from qhyper.hypernetwork import HyperNetwork, build_generator
from qhyper.quantum.backends import build_cloud_backend
from qhyper.run.comparison import compare
from qhyper.run.correlation import correlation_of
from qhyper.spending import Budget
from qhyper.streams import Streams
from qhyper.submit.rows import rows_of
from qhyper.targets.packed.target import PackedObjective
from qhyper.training.trainer import settings_for, train

TITLE = "More weights than qubits: how well do small circuits generate a large binary network?"

TARGET = PackedTarget(LAYERS)
DRAWS = 64
"""Networks drawn of a trained generator."""

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    seeds: int
    rows: int
    """of the budget that every generator has"""
    long_rows: int
    """of the budget of `LONG`"""
    held_out: int
    epochs: int
    """of Quantum-Train"""
    batch: int
    """rows of a training step"""
    watch_every: int
    """steps between two looks at the rows held out"""
    images: int | None = None
    """of the training set, all unless told"""


FULL = Size(
    seeds=3, rows=2_500_000, long_rows=20_000_000, held_out=10_000, epochs=5, batch=4_000,
    watch_every=100,
)  # fmt: skip
QUICK = Size(
    seeds=1, rows=20_000, long_rows=40_000, held_out=500, epochs=1, batch=500,
    watch_every=10, images=2_500,
)  # fmt: skip


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """Every training with every seed, long ones first; what a device would need."""
    size = QUICK if quick else FULL
    found: dict[str, Callable[[], Any]] = {}
    for kind, of_data in SHORT.items():
        for data, fields in of_data.items():
            for number in fields:
                for seed in range(size.seeds):
                    work = partial(generated, kind, number, data, seed, size, long=False)
                    found[f"{kind}-{number}-{data}-{seed}"] = work
    for kind, fields in LONG.items():
        for number in fields:
            for seed in range(size.seeds):
                work = partial(generated, kind, number, "mnist", seed, size, long=True)
                found[f"{kind}-{number}-mnist-long-{seed}"] = work
    for source in SOURCES:
        for data in DATA if source == "circuit" else ("mnist",):
            for seed in range(size.seeds):
                work = partial(rival, source, data, seed, size)
                found[f"quantum-train-{source}-{data}-{seed}"] = work
    for name in CONTROLS:
        for data in DATA:
            found[f"control-{name}-{data}"] = partial(control, name, data, size)
    return found | {"device": device}


@cache
def _data(name: str, size: Size) -> tuple[Samples, Samples, Samples]:
    """Rows to train on, rows held out, and test rows."""
    dataset = load(NAMES[name], options=DATA[name][1])
    train_rows = dataset.train
    if size.images is not None:
        train_rows = train_rows.take(np.arange(size.images))
    training, held_out = hold_out(train_rows, size.held_out, Streams([0])(0, "search")[0])
    return training, held_out, dataset.test


def _objectives(name: str, size: Size) -> list[PackedObjective]:
    """Of the rows to train on, held out, and to test on."""
    return [TARGET.objective(samples) for samples in _data(name, size)]


# -- generators ------------------------------------------------------------------------------------


def generated(
    kind: str, number: str, data: str, seed: int, size: Size, *, long: bool
) -> dict[str, Any]:
    """Train one generator, and test its most probable network and draws of it."""
    objective, watch, test = _objectives(data, size)
    about = KINDS[kind]
    options = {**SIZES[number], **about.options}
    generator = build_generator(
        about.name, TARGET.n_bits, seeds=[seed], options=options, layout=TARGET.layout
    )
    own, rows = (about.long_training, size.long_rows) if long else (about.training, size.rows)
    training = {**own, "batch": size.batch, "watch_every": size.watch_every}
    settings = settings_for(
        generator, training, Budget(rows=rows), objective=objective, watch=watch
    )
    began = time.perf_counter()
    trainer = train(generator, objective, settings, watch=watch)
    seconds = time.perf_counter() - began
    spent = trainer.spent
    return {
        "parameters": sum(p.numel() for p in generator.parameters() if p.requires_grad),
        "steps": trainer.step,
        "rows": spent.rows,
        "shots": spent.shots,
        "chunks": _chunks(generator),
        "seconds": seconds,
        "looks": [[look.step, float(look.losses[0])] for look in trainer.looks],
        **_tested(generator, watch, test),
    }


def _chunks(generator: HyperNetwork) -> int:
    """How often the generator is asked for one network."""
    return rows_of(generator).n_rows if generator.capabilities.quantum else TARGET.n_bits // 8


def _tested(
    generator: HyperNetwork, watch: PackedObjective, test: PackedObjective
) -> dict[str, Any]:
    """Test accuracies, and on held-out rows the loss beside that of the marginals' product."""
    streams = Streams(generator.seeds)
    bits = generator.sample(DRAWS, rng=streams(0, "evaluate")).bits
    drawn = correlation_of(generator, watch, bits, watch(bits), rng=streams(1, "evaluate"))
    assert drawn.total_correlation is not None
    mode, marginals = generator.mode(), generator.marginals()[0, 0].detach().numpy()
    assert mode is not None
    uniforms = streams(2, "evaluate")[0].random((DRAWS, TARGET.n_bits))
    return {
        "mode": float(test.accuracy(mode)[0]),
        "draws": test.accuracy(bits[0, 0]).tolist(),
        "product_draws": test.accuracy((uniforms < marginals).astype(np.uint8)).tolist(),
        "total_correlation": drawn.total_correlation[0],
        "loss": drawn.loss[0],
        "product_loss": drawn.product_loss[0],
        "loss_error": None if drawn.loss_error is None else drawn.loss_error[0],
    }


def control(name: str, data: str, size: Size) -> dict[str, Any]:
    """A search without a generator, which looks at all rows each time, with the long budget."""
    objective, watch, _ = _objectives(data, size)
    *_, tested = _data(data, size)
    outcome = compare(
        objective, [name], seeds=range(size.seeds), rows=size.long_rows, watch=watch, test=tested,
        warn=lambda line: None,
    )  # fmt: skip
    (result,) = outcome.results
    return {"rows": result.rows, "accuracy": result.test_accuracy}


# -- the rival, and a device -----------------------------------------------------------------------


def rival(source: str, data: str, seed: int, size: Size) -> dict[str, Any]:
    """Quantum-Train's real weights: test accuracy from exact probabilities, and from shots."""
    training, _, test = _data(data, size)
    _, rate = SOURCES[source]
    model = QuantumTrain(source, seeds=[seed])  # type: ignore[arg-type]
    began = time.perf_counter()
    fit_classifier(model, training, epochs=size.epochs, batch=128, learning_rate=rate)
    seconds = time.perf_counter() - began
    counted = SHOTS if source == "circuit" else ()
    return {
        "parameters": model.n_trained,
        "accuracy": float(accuracy(model, test)[0]),
        "rows": size.epochs * len(training.y),
        "seconds": seconds,
        "by_shots": {
            str(shots): [
                float(accuracy(model.network(shots, step=k), test)[0]) for k in range(3)
            ]
            for shots in counted
        },
    }  # fmt: skip


def device() -> dict[str, Any]:
    """What a quantum computer would need for one pass over all chunks."""
    found = {}
    for kind in ("product", "entangled"):
        generator = build_generator(
            KINDS[kind].name, TARGET.n_bits, seeds=[0], layout=TARGET.layout
        )
        rows, backend = rows_of(generator), build_cloud_backend(DEVICE, {})
        isa = backend.compile(rows.circuit).isa
        told = backend.plan(isa, {"draws": (1, rows.n_rows, PASS_SHOTS)})
        found[kind] = {"rows": rows.n_rows, "qubits": rows.circuit.n_qubits} | {
            key: told[key] for key in ("circuits", "shots", "jobs", "two-qubit gates")
        }
    return found


# -- what came out ---------------------------------------------------------------------------------


def tables(results: Results) -> str:
    """All tables."""
    return written.tables(results)


def draw(results: Results, folder: Path) -> None:
    """Write accuracy.svg."""
    pictures.draw(results, folder)


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    return written.measured(results)
