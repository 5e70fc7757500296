"""Problem: what a run is about, made once: objective, held-out rows, test rows, certificate."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from qhyper import registry
from qhyper.data.samples import Dataset, Samples, hold_out
from qhyper.data.sets import load
from qhyper.errors import ConfigurationError
from qhyper.run.config import DATA_ALONE, TARGET_CHOICES, Config
from qhyper.targets.loss import LOSSES
from qhyper.targets.objective import checked
from qhyper.targets.target import Objective, Target

MANY_BITS = 4096
"""A network of more weights is packed, unless told: the layered target is for few."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What every entry of a run works on, with what it is measured by.

    Raises ConfigurationError if `test` are no Samples, or do not fit the objective.
    """

    objective: Objective
    """on the training rows"""
    watch: Objective | None = None
    """on the held-out rows, by which networks are chosen where training sees mini-batches: by their
    errors where they classify, since that is what users compare, else by the loss"""
    test: Samples | None = None
    name: str = "own data"
    """what the data are called in tables"""
    dataset: Dataset | None = None

    @cached_property
    def digest(self) -> str | None:
        """SHA-256 of the data, or of a table of costs; None where there are neither."""
        digest = hashlib.sha256()
        if self.objective.capabilities.table:
            digest.update(self.objective.losses.data)
        elif self.dataset is None:
            return None
        else:
            for part in (self.dataset.train, self.dataset.test):
                digest.update(str(part.x.shape).encode())
                digest.update(part.x.data)
                digest.update(part.y.data)
        return digest.hexdigest()

    def __post_init__(self) -> None:
        object.__setattr__(self, "objective", checked(self.objective))
        if self.watch is not None:
            object.__setattr__(self, "watch", checked(self.watch))
        if self.test is not None and not isinstance(self.test, Samples):
            raise ConfigurationError(
                f"Got {type(self.test).__name__} as test; expected Samples, such as dataset.test."
            )
        if self.test is not None and self.objective.capabilities.accuracy:
            # checks them, and whatever is made of them is made once
            self.objective.accuracy(np.zeros((1, self.objective.n_bits), np.uint8), self.test)


def build_problem(config: Config, *, tested: bool = True) -> Problem:
    """The problem that a configuration asks for; its data are read once.

    Without test rows unless `tested`: to make them ready takes a second, where compiled code is
    loaded for it.
    Raises ConfigurationError if data, target and loss do not go together, with what would.
    """
    name = config.target or ("callable" if config.objective is not None else None)
    dataset = None
    if name is None or "dataset" in _parameters(name):
        dataset = load(
            config.data, seed=config.data_seed, test=config.test, options=config.data_options
        )
        dataset = dataset.scaled(config.scale or "none")
        name = name or _suitable(config, dataset)
    target = _target(name, config, dataset)
    if dataset is None:
        ignored = sorted(config.model_fields_set & DATA_ALONE)
        if ignored:
            raise ConfigurationError(
                f"The target '{name}' takes no data (it has no argument `dataset`), and "
                f"{', '.join(ignored)} would be ignored: leave them out."
            )
        objective = target.objective(None)  # type: ignore[arg-type]
        return Problem(objective, name=objective.name)
    _check_fit(target, config, dataset)
    share = config.held_out
    if share is None:
        share = getattr(target, "usual_held_out", 0.0)
    train, watch, n_held = dataset.train, None, round(share * len(dataset.train.y))
    if n_held:
        rng = np.random.default_rng(np.random.SeedSequence(config.data_seed, spawn_key=(1,)))
        train, held = hold_out(train, n_held, rng)
    objective = target.objective(train, config.loss)
    if config.loss not in LOSSES:  # what is no loss is refused before anything runs
        objective(np.zeros((1, objective.n_bits), np.uint8))
        objective = target.objective(train, config.loss)
    if n_held:
        classifies = objective.capabilities.accuracy
        watch = target.objective(held, "accuracy" if classifies else config.loss)
    return Problem(objective, watch, dataset.test if tested else None, dataset.name, dataset)


def _target(name: str, config: Config, dataset: Dataset | None) -> Target:
    """The target called `name`, with the options that the configuration gives it."""
    given: dict[str, Any] = {} if dataset is None else {"dataset": dataset}
    options = dict(config.target_options)
    if config.objective is not None:
        options |= {"function": config.objective}
        if config.bits is not None:
            options |= {"bits": config.bits}
    for choice in ("layers", *TARGET_CHOICES):
        value = getattr(config, choice)
        if value is not None and choice in config.model_fields_set:
            options[choice] = value
    return registry.build("target", name, options=options, offered=given)


def _parameters(name: str) -> Mapping[str, Any]:
    return registry.options_of("target", name, registry.find("target", name))


def _suitable(config: Config, dataset: Dataset) -> str:
    """The target for these data unless told: packed where a network has many plain weights."""
    chosen = {choice for choice in TARGET_CHOICES if choice in config.model_fields_set}
    if chosen & {"biases", "values", "activation", "optional"} or config.sign_of_zero == 0:
        return "layered"
    layers = config.layers or (dataset.n_features, 6, dataset.n_classes)
    weights = sum(a * b for a, b in pairwise(layers))
    return "packed" if weights > MANY_BITS else "layered"


def _check_fit(target: Target, config: Config, dataset: Dataset) -> None:
    """Raise ConfigurationError if layers do not fit the data, naming the options that make them."""
    layers = target.layout.layers
    if not layers:
        return
    inputs, outputs = layers[0], max(2, layers[-1])
    if inputs == dataset.n_features and dataset.n_classes <= outputs:
        return
    hints = []
    if registry.is_registered("data set", config.data):
        known = registry.options_of("data set", config.data, registry.find("data set", config.data))
        side = math.isqrt(inputs)
        if inputs != dataset.n_features and "size" in known and side * side == inputs <= 784:
            hints.append(f"size={side}")
        which = next((o for o in ("digits", "classes") if o in known), None)
        if which and outputs != dataset.n_classes and outputs <= 10:
            hints.append(f"{which}={'all' if outputs == 10 else list(range(outputs))}")
    advice = f"Choose layers that begin with {dataset.n_features} and end with {dataset.n_classes}"
    if hints:
        advice += ", or other data, " + " ".join(f"--data-option {hint}" for hint in hints)
    raise ConfigurationError(
        f"The layers {','.join(map(str, layers))} have {inputs} inputs and tell {outputs} classes "
        f"apart; the data '{dataset.name}' have {dataset.n_features} features and "
        f"{dataset.n_classes} classes. {advice}."
    )
