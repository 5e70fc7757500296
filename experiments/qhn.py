"""What the studies of the quantum-hypernetwork papers share: problems, depths, exact training.

A problem is small enough to enumerate, so that every cost is known, circuits are trained on the
exact ⟨C⟩ by L-BFGS, and the probability of the optimum is a number and not an estimate. Paper:
Carrasquilla et al. (2023, arXiv:2301.08292).
"""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from qhyper import (
    BinaryNetwork,
    Brickwork,
    CostTable,
    Product,
    QuantumHyperNetwork,
    WeightSpace,
    load,
    minimise,
    tabulate,
)
from qhyper.bits import to_string
from qhyper.data.samples import Samples
from qhyper.run.comparison import compare
from qhyper.run.config import Entry
from qhyper.targets.target import SAME_LOSS

NEAR = 1e-4
"""A training has found the minimum if its ⟨C⟩ ends this close."""
TOLERANCE = 1e-7
"""Of L-BFGS: half the evaluations of 1e-10; some restarts stop a little more than 1e-4 early."""
WALSH_TERMS = 8
"""Largest terms of the cost that are kept."""

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """One of the paper's problems."""

    title: str
    network: BinaryNetwork
    samples: Callable[[], Samples]
    loss: str = "cross_entropy"
    order: Sequence[int] | None = None
    """bit of each qubit, where the paper lays them out otherwise than WeightSpace"""

    @property
    def n_bits(self) -> int:
        return self.network.n_bits


def _digits(digits: tuple[int, int], size: int) -> Callable[[], Samples]:
    options = {"digits": digits, "size": size, "pixels": "unit"}
    return lambda: load("mnist", options=options).train


_PAIRS = ((0, 1), (-1, 1), (-2, 1), (-3, 1))
_LOGISTIC = WeightSpace((16, 1), biases=True)
_WITH_VALUES = WeightSpace((16, 1), biases=True, values=_PAIRS)

PROBLEMS: Mapping[str, Problem] = {
    "gaussian": Problem(
        "Gaussian mixture, 2-4-1 network, sigmoid or ReLU",
        BinaryNetwork(WeightSpace((2, 4, 1), biases=True, activation=("relu", "sigmoid"))),
        lambda: load("gaussians").train,
        "squared_error",
        order=(*range(12), 16, *range(12, 16), 17),  # the paper has the bias of the output first
    ),
    "digits-01": Problem("0 or 1, ±1", BinaryNetwork(_LOGISTIC), _digits((0, 1), 4)),
    "digits-37": Problem("3 or 7, ±1", BinaryNetwork(_LOGISTIC), _digits((3, 7), 4)),
    "values-01": Problem("0 or 1, pair chosen", BinaryNetwork(_WITH_VALUES), _digits((0, 1), 4)),
    "values-37": Problem("3 or 7, pair chosen", BinaryNetwork(_WITH_VALUES), _digits((3, 7), 4)),
    "small-37": Problem(
        "3 or 7 at 3×3, ±1", BinaryNetwork(WeightSpace((9, 1), biases=True)), _digits((3, 7), 3)
    ),
}


@functools.cache
def cost_table(name: str) -> CostTable:
    """All costs of a problem; enumerated once in a process."""
    problem = PROBLEMS[name]
    return tabulate(problem.network.objective(problem.samples(), problem.loss))


SPREAD = 0.01
"""Of the angles of the start `near`, about the uniform product state, in radians: the 0.05 of
`near-product` outweighs the weak slopes of these costs, and the first step is to follow them."""


def circuit(
    name: str, depth: int, seeds: Sequence[int], *, start: str = "uniform", **options: Any
) -> QuantumHyperNetwork:
    """The paper's circuit for a problem: `depth` sublayers, two to a layer; 0 is the product."""
    problem = PROBLEMS[name]
    ansatz = Brickwork(depth, phase=1) if depth else Product()
    generator = QuantumHyperNetwork(
        problem.n_bits, ansatz=ansatz, order=problem.order, start="uniform", seeds=list(seeds),
        **{"backend": "statevector", **options},
    )  # fmt: skip
    if start == "near":
        last_ry = slice(2 * problem.n_bits * max(0, depth - 1), None)
        with torch.no_grad():
            generator.theta *= SPREAD * np.sqrt(3) / np.pi  # the same deviation as a normal's
            generator.theta[:, last_ry][:, : problem.n_bits] += np.pi / 2
    return generator


# -- parts -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Size:
    """How large a study is."""

    restarts: Mapping[str, Mapping[tuple[str, int], int]]
    """of exact training, for each problem, and there for each start and depth"""
    seeds: int
    """of what draws"""


def parts(size: Size) -> dict[str, Callable[[], Any]]:
    """Every problem of a study at every depth, what draws, and what the costs themselves say."""
    found: dict[str, Callable[[], Any]] = {}
    for name, of in size.restarts.items():
        for (start, depth), restarts in sorted(of.items(), key=lambda one: -one[0][1]):
            found[f"{start}-{depth}-{name}"] = partial(trained, name, start, depth, restarts)
        found[f"landscape-{name}"] = partial(landscape, name)
        for entry in ENTRIES:
            found[f"budget-{entry}-{name}"] = partial(at_equal_budget, name, entry, size.seeds)
    return found


def prepare(names: Collection[str]) -> None:
    """Enumerate the costs that the parts of these names need, on all cores and once for all."""
    for name in PROBLEMS:
        if any(part.endswith(f"-{name}") for part in names):
            cost_table(name)


def landscape(name: str) -> dict[str, Any]:
    """What the table of costs says by itself."""
    problem, table = PROBLEMS[name], cost_table(name)
    above = table.losses[table.losses > table.minimum + SAME_LOSS]
    walsh = table.walsh()
    largest = np.argsort(-np.abs(walsh[1:]))[:WALSH_TERMS] + 1
    named = problem.network.space.names()
    return {
        "bits": problem.n_bits,
        "minimum": table.minimum,
        "next": float(above.min()),
        "mean": float(table.losses.mean()),
        "deviation": float(table.losses.std()),
        "optimal": table.optimal,
        "near": int((table.losses <= table.minimum + NEAR).sum()),
        "optimum": to_string(table.optimum),
        "network": problem.network.describe(table.optimum),
        "accuracy": float(problem.network.accuracy(table.optimum, problem.samples())),
        "body_shares": table.body_shares().tolist(),
        "largest_terms": [
            {
                "bits": [named[bit] for bit in range(problem.n_bits) if int(s) >> bit & 1],
                "coefficient": float(walsh[s]),
            }
            for s in largest
        ],
    }


def trained(name: str, start: str, depth: int, restarts: int) -> dict[str, Any]:
    """Exact training of ⟨C⟩, one restart a seed."""
    table = cost_table(name)
    generator = circuit(name, depth, range(restarts), start=start)
    minima = minimise(generator, table, tolerance=TOLERANCE)
    optimal, near = (table.losses <= table.minimum + room for room in (SAME_LOSS, NEAR))
    found, nearly, ranks = [], [], []
    for replica in range(restarts):
        with torch.no_grad():
            p = generator.replica(replica).probabilities()[0, 0].numpy()
        found.append(float(p[optimal].sum()))
        nearly.append(float(p[near].sum()))
        ranks.append(int((p > p[optimal].max()).sum()) + 1)
    return {
        "value": minima.value.tolist(),
        "start": minima.before.tolist(),
        "evaluations": minima.evaluations.tolist(),
        "converged": minima.converged.tolist(),
        "p_optimum": found,
        "p_near": nearly,
        "rank": ranks,
    }


ENTRIES: Mapping[str, Callable[[Problem], Entry]] = {
    "product": lambda problem: Entry(name="product"),
    "one-layer": lambda problem: _entangled(problem, 2),
    "two-layers": lambda problem: _entangled(problem, 4),
    "bernoulli": lambda problem: Entry(name="bernoulli"),
    "autoregressive": lambda problem: Entry(name="autoregressive"),
    "annealing": lambda problem: Entry(name="annealing"),
    "random": lambda problem: Entry(name="random"),
}
"""Generators that draw, and controls, at the budget of the enumeration."""


def _entangled(problem: Problem, depth: int) -> Entry:
    order = {} if problem.order is None else {"order": list(problem.order)}
    return Entry(
        name="quantum", options={"ansatz": "brickwork", "depth": depth, "phase": 1, **order}
    )


def at_equal_budget(name: str, entry: str, seeds: int) -> dict[str, Any]:
    """One entry over all seeds, with as many evaluations as there are bitstrings."""
    problem, table = PROBLEMS[name], cost_table(name)
    outcome = compare(
        table, [ENTRIES[entry](problem)], seeds=range(seeds), evaluations=table.losses.size,
        name=problem.title,
    )  # fmt: skip
    (result,) = outcome.results
    return {
        "evaluations": table.losses.size,
        "final": result.final_loss,
        "best": result.best_loss,
    }
