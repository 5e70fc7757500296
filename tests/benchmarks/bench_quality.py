"""How good the generators are with 300,000 evaluations a seed, over seeds 0 to 39."""

from collections.abc import Iterator

import numpy as np
import torch
from bars import Line, bar

from qhyper.data.sets import load
from qhyper.report.statistics import wilson
from qhyper.run.comparison import compare
from qhyper.targets.layered.network import BinaryNetwork

SEEDS = tuple(range(40))
EVALUATIONS = 300_000
BARS_OF = {
    ("toy", "product"): 0.90,
    ("toy", "quantum-depth2"): 0.85,
}
CIRCUITS = ("product", "quantum-depth2", "quantum-depth4")


def _shares(data: str) -> Iterator[tuple[str, float, str]]:
    """Name, share of seeds whose final mean loss is within 5 % of the minimum, its interval."""
    torch.set_num_threads(1)
    objective = BinaryNetwork((4, 6, 2)).objective(load(data).train)
    for name in (*CIRCUITS, "bernoulli", "annealing", "random"):
        outcome = compare(objective, [name], seeds=SEEDS, evaluations=EVALUATIONS, name=data)
        minimum = outcome.summary.certificate["minimum_loss"]
        final = np.array(outcome.results[0].final_loss)
        within = wilson(int((final <= 1.05 * minimum).sum()), len(SEEDS))
        hits = outcome.summary.generators[0].hit_share.value
        interval = f"Wilson {within.low:.2f} to {within.high:.2f}; hit {hits:.2f}"
        yield name, float(within.value), interval


@bar
def quality_toy() -> Iterator[Line]:
    for name, share, interval in _shares("toy"):
        needed = BARS_OF.get(("toy", name))
        yield Line(f"within-5%-toy-{name}", share, "", at_least=needed, detail=interval)


@bar
def quality_mnist() -> Iterator[Line]:
    circuits = []
    for name, share, interval in _shares("mnist"):
        if name in CIRCUITS:
            circuits.append((share, f"{name}; {interval}"))
        yield Line(f"within-5%-mnist-{name}", share, detail=interval)
    share, detail = max(circuits)
    yield Line("within-5%-mnist-best-circuit", share, at_least=0.85, detail=detail)
