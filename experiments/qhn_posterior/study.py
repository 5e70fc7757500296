"""How near do generators come to the exact posterior of 36 weights? Evidence, KL, predictive.

python -m experiments run qhn-posterior
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from classical.autoregressive import Autoregressive
from classical.bernoulli import Bernoulli
from classical.categorical import Categorical
from experiments.qhn_posterior.predictive import exact_draws, predictive
from qhyper import (
    BinaryNetwork,
    Brickwork,
    HyperNetwork,
    Product,
    QuantumHyperNetwork,
    Streams,
    TrainingSettings,
    certify,
    load,
    train,
)
from qhyper.quantum.ansatz import UnitChain, in_qubits
from qhyper.risk import MMD, FreeEnergy
from qhyper.training import Trainer

TITLE = "How near do circuits come to the exact posterior of 36 binary weights?"

NETWORK = BinaryNetwork((4, 6, 2))
SPACE = NETWORK.space
TEMPERATURE = {"mnist": 0.05, "toy": 0.02}

DEPTHS = (2, 4, 6, 8)
ORDERS = ("row", "unit", "split")

Results = Mapping[str, Any]
Make = Callable[[Sequence[int]], HyperNetwork]


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    evaluations: int
    """of each seed"""
    seeds: range
    tuning: range
    """seeds on which learning rate and starts are chosen"""
    draws: int
    """at the end, for the free energy"""


FULL = Size(300_000, range(10), range(100, 103), 50_000)
QUICK = Size(20_000, range(3), range(100, 102), 10_000)

SHOTS = 128
PREDICTIVE = 2000
"""Networks that are averaged."""


# -- models ----------------------------------------------------------------------------------------


def _circuit(ansatz: Any, order: str, seeds: Sequence[int]) -> HyperNetwork:
    return QuantumHyperNetwork(36, ansatz=ansatz, order=order, space=SPACE, seeds=list(seeds))


def _chain(signs: bool, seeds: Sequence[int]) -> HyperNetwork:
    order = SPACE.order("unit-centre")
    units = in_qubits([block.tolist() for block in SPACE.unit_blocks()], order.tolist())
    return _circuit(UnitChain(units, signs=signs), "unit-centre", seeds)


@dataclass(frozen=True)
class Model:
    """A generator, and the settings that are tried for it: (learning rate, starts)."""

    title: str
    make: Make
    settings: tuple[tuple[float, int], ...]
    quantum: bool = True


_CLASSICAL = tuple((rate, starts) for rate in (0.02, 0.05, 0.1, 0.2) for starts in (1, 4))
_CHAIN = ((0.05, 4),)

MODELS: Mapping[str, Model] = {
    "chain": Model("chain of units", partial(_chain, False), _CHAIN),
    "chain-signs": Model("chain of units with signs", partial(_chain, True), _CHAIN),
    **{
        f"depth-{depth}-{order}": Model(
            f"brickwork, depth {depth}, {order}",
            partial(_circuit, Brickwork(depth), order),
            ((0.05, 1),),
        )
        for depth in DEPTHS[::-1]
        for order in ORDERS
    },
    "product": Model("product circuit", partial(_circuit, Product(), "row"), _CLASSICAL),
    "autoregressive": Model(
        "autoregressive (MADE)",
        lambda seeds: Autoregressive(36, seeds=list(seeds)),
        _CLASSICAL,
        False,
    ),
    "categorical": Model(
        "six 64-way categoricals",
        lambda seeds: Categorical(36, seeds=list(seeds), space=SPACE),
        _CLASSICAL,
        False,
    ),
    "bernoulli": Model(
        "Bernoulli", lambda seeds: Bernoulli(36, seeds=list(seeds)), _CLASSICAL, False
    ),
}
WITH_MMD = ("product", "depth-4-unit", "chain", "bernoulli", "autoregressive")
"""Models that are also trained on E[L] + weight · MMD², which needs no log p."""
MMD_WEIGHTS = {"mnist": (0.3, 3.0, 30.0), "toy": (0.3, 3.0, 30.0)}


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """Every model on both data sets, with the free energy and some with MMD; the posterior."""
    size = QUICK if quick else FULL
    found: dict[str, Callable[[], Any]] = {}
    for data in TEMPERATURE:
        for name in MODELS:
            found[f"{data}-{name}"] = partial(fitted, data, name, size)
        for name in WITH_MMD:
            found[f"{data}-{name}-mmd"] = partial(fitted_by_mmd, data, name, size)
        found[f"{data}-posterior"] = partial(posterior, data)
    return found


# -- parts -----------------------------------------------------------------------------------------


@cache
def _certificate(data: str) -> Any:
    return certify(NETWORK, load(data).train, temperature=TEMPERATURE[data])


def fitted(data: str, name: str, size: Size) -> dict[str, Any]:
    """A model trained on the free energy: settings chosen on other seeds, then KL of each seed."""
    risk = {"temperature": TEMPERATURE[data]}

    def run(setting: tuple[float, int], seeds: Sequence[int]) -> Trainer:
        rate, starts = setting
        return _train(data, name, seeds, size, rate, starts, "free-energy", risk)

    model, chosen = MODELS[name], MODELS[name].settings[0]
    if len(model.settings) > 1:
        tried = {
            setting: float(np.median(_judged(run(setting, size.tuning), data, size)["kl"]))
            for setting in model.settings
        }
        chosen = min(tried, key=lambda setting: tried[setting])
    trainer = run(chosen, size.seeds)
    rate, starts = chosen
    return {
        "parameters": trainer.generator.n_parameters, "learning_rate": rate, "starts": starts,
        **_judged(trainer, data, size),
    }  # fmt: skip


def fitted_by_mmd(data: str, name: str, size: Size) -> dict[str, Any]:
    """The same with MMD in the place of the entropy; its weight is chosen by KL on other seeds."""
    rate, starts = (0.02 if name == "autoregressive" else 0.05), 1

    def run(weight: float, seeds: Sequence[int]) -> Trainer:
        risk = {"weight": weight, "kappa": MMD().kappa}
        return _train(data, name, seeds, size, rate, starts, "mmd", risk)

    tried = {
        weight: float(np.median(_judged(run(weight, size.tuning), data, size)["kl"]))
        for weight in MMD_WEIGHTS[data]
    }
    weight = min(tried, key=lambda one: tried[one])
    trainer = run(weight, size.seeds)
    return {
        "parameters": trainer.generator.n_parameters, "learning_rate": rate, "starts": starts,
        "weight": weight, **_judged(trainer, data, size),
    }  # fmt: skip


def _train(
    data: str, name: str, seeds: Sequence[int], size: Size, rate: float, starts: int, risk: str,
    options: Mapping[str, float],
) -> Trainer:  # fmt: skip
    settings = TrainingSettings(
        evaluations=size.evaluations, draws=SHOTS, learning_rate=rate, restarts=starts, risk=risk,
        risk_options=dict(options),
    )  # fmt: skip
    generator = MODELS[name].make(seeds)
    return train(generator, NETWORK.objective(load(data).train), settings)


def _judged(trainer: Trainer, data: str, size: Size) -> dict[str, Any]:
    """KL to the posterior, the evidence that draws show, and the predictive of each seed."""
    generator, objective, temperature = trainer.generator, trainer.objective, TEMPERATURE[data]
    log_z = _certificate(data).log_Z
    rng = Streams(generator.seeds)(0, "evaluate")
    draw = generator.sample(size.draws, rng=rng)
    log_q = generator.log_prob(draw.bits).detach().numpy()[:, 0]
    losses = objective(draw.bits)[:, 0]  # pyright: ignore[reportCallIssue]
    free = losses + temperature * log_q
    kl = FreeEnergy(temperature).kl(free.mean(axis=1), log_z)
    weights = -losses / temperature - log_q  # log p̃ / q
    evidence = np.logaddexp.reduce(weights, axis=1) - np.log(size.draws)
    test = load(data).test
    return {
        "kl": kl.tolist(),
        "kl_error": (free.std(axis=1) / temperature / np.sqrt(size.draws)).tolist(),
        "mean_loss": losses.mean(axis=1).tolist(),
        "evidence_error": (evidence - log_z).tolist(),
        "predictive": [predictive(NETWORK, b[0, :PREDICTIVE], test) for b in draw.bits],
        "single": [
            predictive(NETWORK, b[0, [int(of.argmin())]], test)
            for b, of in zip(draw.bits, losses, strict=True)
        ],
    }  # fmt: skip


def posterior(data: str) -> dict[str, Any]:
    """The exact posterior: log Z, mean loss and predictive; and the best network's."""
    dataset, temperature = load(data), TEMPERATURE[data]
    found = _certificate(data)
    weights = np.log(found.multiplicities.astype(float)) - found.levels / temperature
    p = np.exp(weights - found.log_Z)
    draws = exact_draws(NETWORK, dataset.train, temperature, PREDICTIVE, np.random.default_rng(0))
    uniform = np.random.default_rng(1).integers(0, 2, (PREDICTIVE, 36), dtype=np.uint8)
    return {
        "temperature": temperature,
        "log_z": found.log_Z,
        "mean_loss": float(p @ found.levels),
        "minimum": found.minimum_loss,
        "uniform_kl": float(found.log_Z - 36 * np.log(2) + _mean_loss(found) / temperature),
        "predictive": predictive(NETWORK, draws, dataset.test),
        "optimum": predictive(NETWORK, found.optimum[None], dataset.test),
        "uniform": predictive(NETWORK, uniform, dataset.test),
    }


def _mean_loss(found: Any) -> float:
    """Of a uniform bitstring."""
    shares = found.multiplicities / found.configurations
    return float(np.asarray(shares, dtype=np.float64) @ found.levels)


# -- what came out ---------------------------------------------------------------------------------


def tables(results: Results) -> str:
    """All tables."""
    from experiments.qhn_posterior import tables as shown

    return shown.tables(results)


def draw(results: Results, folder: Path) -> None:
    """Write kl.svg and calibration.svg."""
    from experiments.qhn_posterior import pictures

    pictures.draw(results, folder)


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    numbers = {}
    for data in TEMPERATURE:
        numbers[f"{data}-log-z"] = results[f"{data}-posterior"]["log_z"]
        for name in MODELS:
            numbers[f"{data}-{name}-kl"] = float(np.median(results[f"{data}-{name}"]["kl"]))
        circuits = [name for name, model in MODELS.items() if model.quantum]
        best = min(numbers[f"{data}-{name}-kl"] for name in circuits)
        numbers[f"{data}-best-circuit-kl"] = best
    return numbers
