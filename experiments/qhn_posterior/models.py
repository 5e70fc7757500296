"""The target of the study, and the generators that are trained on its posterior."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from classical.autoregressive import Autoregressive
from classical.bernoulli import Bernoulli
from classical.categorical import Categorical
from qhyper import (
    BinaryNetwork,
    Brickwork,
    HyperNetwork,
    Product,
    QuantumHyperNetwork,
    UnitChain,
)

NETWORK = BinaryNetwork((4, 6, 2))
SPACE = NETWORK.space
TEMPERATURE = {"mnist": 0.05, "toy": 0.02}
DEPTHS = (2, 4, 6, 8)
ORDERS = ("row", "unit", "split")
Make = Callable[[Sequence[int]], HyperNetwork]


def _circuit(ansatz: Any, order: str | None, seeds: Sequence[int]) -> HyperNetwork:
    return QuantumHyperNetwork(
        36, ansatz=ansatz, order=order, layout=SPACE.layout, seeds=list(seeds)
    )


def _of(ansatz: Any, order: str | None = None) -> Make:
    return partial(_circuit, ansatz, order)


class Setting(NamedTuple):
    """How a model is trained."""

    rate: float
    """of Adam, at the start of a cosine"""
    heat: float
    """temperature at the start, in those of the posterior; it falls by equal factors"""


@dataclass(frozen=True)
class Model:
    """A generator."""

    title: str
    make: Make
    rates: tuple[float, ...] = (0.05,)
    quantum: bool = True
    heats: tuple[float, ...] = (1.0, 2.4)


RATES = (0.02, 0.05, 0.2)
"""What is tried on the tuning seeds; entangled circuits, which take longest, have one rate."""
HOT = (2.4,)
"""Of the chains, chosen beforehand on seeds 100 to 107: two seeds cannot tell its heats apart."""
MODELS: Mapping[str, Model] = {
    "chain-signs": Model("chain of units with signs", _of(UnitChain(6, 4, signs=True)), heats=HOT),
    "chain": Model("chain of units", _of(UnitChain(6, 4)), heats=HOT),
    **{
        f"depth-{depth}-{order}": Model(
            f"brickwork, depth {depth}, {order}", _of(Brickwork(depth), order)
        )
        for depth in DEPTHS[::-1]
        for order in ORDERS
    },
    "product": Model("product circuit", _of(Product(), "row"), RATES),
    "autoregressive": Model(
        "autoregressive (MADE)", lambda seeds: Autoregressive(36, seeds=list(seeds)), RATES, False
    ),
    "autoregressive-1": Model(
        "autoregressive, 1 hidden unit",
        lambda seeds: Autoregressive(36, seeds=list(seeds), hidden=1),
        RATES,
        False,
    ),
    "categorical": Model(
        "six 64-way categoricals",
        lambda seeds: Categorical(36, seeds=list(seeds), layout=SPACE.layout),
        RATES,
        False,
    ),
    "bernoulli": Model("Bernoulli", lambda seeds: Bernoulli(36, seeds=list(seeds)), RATES, False),
}
CLAIMED = {"mnist": "chain", "toy": "chain-signs"}
"""The circuit of each data set whose KL is the study's bar, chosen on seeds from 100 up."""
WITH_MMD = ("product", "depth-4-unit", "bernoulli", "autoregressive")
"""Models that are also trained on E[L] + weight · MMD², which needs no log p."""
