"""How near do generators come to the exact posterior of 36 weights? Evidence, KL, predictive.

python -m experiments run qhn-posterior
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.qhn_posterior.models import (
    CLAIMED,
    MODELS,
    NETWORK,
    TEMPERATURE,
    WITH_MMD,
    Setting,
)
from experiments.qhn_posterior.predictive import exact_draws, predictive
from qhyper import (
    FreeEnergy,
    Streams,
    TrainingSettings,
    certify,
    load,
    train,
)

TITLE = "How near do circuits come to the exact posterior of 36 binary weights?"

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    evaluations: int
    """of each seed"""
    seeds: range
    tuning: range
    """seeds on which settings are chosen"""
    draws: int
    """at the end, for the free energy"""


FULL = Size(150_000, range(10), range(100, 102), 50_000)
QUICK = Size(10_000, range(2), range(100, 101), 10_000)

SHOTS = 128
PREDICTIVE = 2000
"""Networks that are averaged."""


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


def prepare(names: Iterable[str]) -> None:
    """Certify the data sets that parts of these names need, once for all of them."""
    for data in {name.partition("-")[0] for name in names}:
        _certificate(data)


# -- parts -----------------------------------------------------------------------------------------


@cache
def _certificate(data: str) -> Any:
    return certify(NETWORK, load(data).train, temperature=TEMPERATURE[data])


def fitted(data: str, name: str, size: Size) -> dict[str, Any]:
    """A model trained on the free energy: settings chosen on other seeds, then KL of each seed."""

    def run(setting: Setting, seeds: Sequence[int]) -> dict[str, Any]:
        end = TEMPERATURE[data]
        risk = {"temperature": setting.heat * end, "end_temperature": end}
        options = {"risk": "free-energy", "risk_options": risk}
        return _trained(data, name, seeds, size, setting.rate, options)

    tried = [Setting(rate, heat) for rate in MODELS[name].rates for heat in MODELS[name].heats]
    chosen = _best(tried, lambda setting: run(setting, size.tuning))
    return {**chosen._asdict(), **run(chosen, size.seeds)}


def fitted_by_mmd(data: str, name: str, size: Size) -> dict[str, Any]:
    """The same with MMD in the place of the entropy, and its weight in the place of the heat."""

    def run(rate: float, weight: float, seeds: Sequence[int]) -> dict[str, Any]:
        options = {"risk": "mmd", "risk_options": {"weight": weight}}
        return _trained(data, name, seeds, size, rate, options)

    tried = [(rate, weight) for rate in MODELS[name].rates for weight in (0.3, 3.0)]
    rate, weight = _best(tried, lambda one: run(*one, size.tuning))
    return {"rate": rate, "weight": weight, **run(rate, weight, size.seeds)}


def _best(settings: Sequence[Any], run: Callable[[Any], dict[str, Any]]) -> Any:
    """The setting of the lowest median KL; no training itself sees a KL."""
    if len(settings) == 1:
        return settings[0]
    return min(settings, key=lambda setting: np.median(run(setting)["kl"]))


def _trained(
    data: str, name: str, seeds: Sequence[int], size: Size, rate: float, options: Mapping[str, Any]
) -> dict[str, Any]:
    """A model trained over seeds: its KL, the evidence that its draws show, its predictive."""
    dataset, temperature = load(data), TEMPERATURE[data]
    generator, objective = MODELS[name].make(seeds), NETWORK.objective(dataset.train)
    settings = TrainingSettings(
        evaluations=size.evaluations, draws=SHOTS, learning_rate=rate, **options
    )
    train(generator, objective, settings)
    log_z = _certificate(data).log_Z
    draw = generator.sample(size.draws, rng=Streams(generator.seeds)(0, "evaluate"))
    log_q = generator.log_prob(draw.bits).detach().numpy()[:, 0]
    losses = objective(draw.bits)[:, 0]
    free = losses + temperature * log_q
    kl = FreeEnergy(temperature).kl(free.mean(axis=1), log_z)
    weights = -losses / temperature - log_q  # log p̃ / q
    evidence = np.logaddexp.reduce(weights, axis=1) - np.log(size.draws)
    best = [bits[0, [int(of.argmin())]] for bits, of in zip(draw.bits, losses, strict=True)]
    return {
        "parameters": generator.n_parameters,
        "kl": kl.tolist(),
        "kl_error": (free.std(axis=1) / temperature / np.sqrt(size.draws)).tolist(),
        "mean_loss": losses.mean(axis=1).tolist(),
        "evidence_error": (evidence - log_z).tolist(),
        "predictive": [
            predictive(NETWORK, bits[0, :PREDICTIVE], dataset.test) for bits in draw.bits
        ],
        "single": [predictive(NETWORK, bits, dataset.test) for bits in best],
    }


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
        numbers[f"{data}-claimed-kl"] = numbers[f"{data}-{CLAIMED[data]}-kl"]
    return numbers
