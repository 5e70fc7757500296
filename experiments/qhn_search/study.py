"""Does an entangled circuit find the best 36 weights reliably, and is it the entanglement?

python -m experiments run qhn-search
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing import new_panels, save
from experiments.markdown import table
from qhyper import (
    BinaryNetwork,
    Brickwork,
    Product,
    QuantumHyperNetwork,
    Streams,
    TrainingSettings,
    Unentangled,
    certify,
    load,
    train,
)
from qhyper.report.drawing import COLOURS, INK
from qhyper.report.statistics import median_interval, wilson
from qhyper.report.words import with_interval
from qhyper.targets.target import SAME_LOSS

TITLE = "Does an entangled circuit find the best 36 weights reliably, and is it the entanglement?"

NETWORK = BinaryNetwork((4, 6, 2))
DATA = {"mnist": "2×2 MNIST", "toy": "toy"}
FULL, QUICK = (40, 300_000), (4, 20_000)
"""Seeds, and evaluations of each."""
DRAWS, RATE, START = 32, 0.1, 10_000
"""The recipe, found on seeds 100 to 119 of MNIST: draws a step, learning rate of Adam with a cosine
decay, and evaluations of one start; of all starts the best is kept."""


CIRCUITS: Mapping[str, tuple[str, Any]] = {
    "depth-2": ("brickwork of depth 2", Brickwork(2)),
    "depth-2-stripped": ("depth 2 without entangling gates", Unentangled(Brickwork(2))),
    "depth-4": ("brickwork of depth 4", Brickwork(4)),
    "depth-4-stripped": ("depth 4 without entangling gates", Unentangled(Brickwork(4))),
    "product": ("product circuit", Product()),
}
"""All in the order `split`, with the start `near-product`."""

Results = Mapping[str, Any]


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """Every circuit on both data sets, by the same recipe."""
    seeds, evaluations = QUICK if quick else FULL
    return {
        f"{name}-{data}": partial(search, name, data, seeds, evaluations)
        for name in ("depth-4", "depth-4-stripped", "depth-2", "depth-2-stripped", "product")
        for data in DATA
    }


@cache
def minimum(data: str) -> float:
    """The certified minimum on a data set."""
    return certify(NETWORK, load(data).train).minimum_loss


def search(name: str, data: str, seeds: int, evaluations: int) -> dict[str, Any]:
    """Final mean loss and best loss of every seed, and the certified minimum."""
    train_rows = load(data).train
    generator = QuantumHyperNetwork(
        36, ansatz=CIRCUITS[name][1], order="split", layout=NETWORK.layout, start="near-product",
        seeds=range(seeds),
    )  # fmt: skip
    settings = TrainingSettings(
        evaluations=evaluations, draws=DRAWS, learning_rate=RATE,
        restarts=max(1, evaluations // START),
    )  # fmt: skip
    objective = NETWORK.objective(train_rows)
    trainer = train(generator, objective, settings)
    draw = generator.sample(settings.final_draws, rng=Streams(generator.seeds)(0, "evaluate"))
    return {
        "minimum": minimum(data),
        "parameters": generator.n_parameters,
        "final": objective(draw.bits)[:, 0].mean(axis=1).tolist(),
        "best": trainer.record.best_loss.tolist(),
    }


# -- what came out ---------------------------------------------------------------------------------


def _within(found: Mapping[str, Any]) -> int:
    return int((np.array(found["final"]) <= 1.05 * found["minimum"]).sum())


def tables(results: Results) -> str:
    """Shares of seeds and final losses."""
    found = []
    for data, title in DATA.items():
        rows = []
        for name, (words, _) in CIRCUITS.items():
            one = results[f"{name}-{data}"]
            n, hits = len(one["final"]), sum(b <= one["minimum"] + SAME_LOSS for b in one["best"])
            share, loss = wilson(_within(one), n), median_interval(one["final"])
            rows.append(
                [
                    words, f"{one['parameters']}", f"{_within(one)} of {n}",
                    f"{share.low:.2f}–{share.high:.2f}",
                    with_interval(loss),
                    f"{max(one['final']):.4f}", f"{hits}",
                ]
            )  # fmt: skip
        head = ["circuit", "parameters", "within 5 %", "Wilson", "final mean loss: median",
                "worst", "seeds that drew the minimum"]  # fmt: skip
        minimum = results[f"depth-2-{data}"]["minimum"]
        found.append(table(f"{title}: certified minimum {minimum:.6f}", head, rows))
    return "\n\n".join(found)


def draw(results: Results, folder: Path) -> None:
    """Write final.svg: where each seed ends."""
    figure, panels = new_panels((8.2, 2.8), 1, 2, sharey=True)
    for axes, (data, title) in zip(panels[0], DATA.items(), strict=True):
        for y, name in enumerate(reversed(CIRCUITS)):
            one = results[f"{name}-{data}"]
            axes.plot(one["final"], np.full(len(one["final"]), y), color=COLOURS["quantum"][0],
                      alpha=0.5, linestyle="none", marker="o", markersize=4,
                      markeredgewidth=0)  # fmt: skip
        axes.axvline(one["minimum"], color=INK, linewidth=0.7)
        axes.axvline(1.05 * one["minimum"], color=INK, linewidth=0.7, linestyle=":")
        axes.set_xlabel("final mean loss")
        axes.set_title(title)
    names = [words for words, _ in reversed(CIRCUITS.values())]
    panels[0][0].set_yticks(range(len(names)), names)
    panels[0][0].set_ylim(-0.6, len(names) - 0.4)
    save(figure, folder / "final.svg", "Final mean loss of every seed")


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    numbers = {f"{name}-within": float(_within(found)) for name, found in results.items()}
    minima = {f"{data}-minimum": results[f"depth-2-{data}"]["minimum"] for data in DATA}
    return numbers | minima
