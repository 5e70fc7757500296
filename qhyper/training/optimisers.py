"""Optimisers and schedules of torch, by name, as a trainer takes them."""

from collections.abc import Callable
from functools import partial

import torch

from qhyper.errors import ConfigurationError, unknown
from qhyper.hypernetwork import HyperNetwork
from qhyper.training.settings import TrainingSettings

ELEMENTWISE = frozenset(
    {"SGD", "ASGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "Adagrad"}
) | {"Adadelta"}  # fmt: skip
"""Optimisers that treat every parameter alone, and so keep replicas independent."""

COSINE_FLOOR = 0.02


def check_optimizer(name: str, replicas: int) -> None:
    """Raise ConfigurationError unless torch has it and it keeps so many replicas independent."""
    known = {n for n, c in vars(torch.optim).items() if isinstance(c, type)}
    known -= {"Optimizer", "SparseAdam"}  # gradients here are dense
    if name not in known:
        raise unknown("optimiser of torch.optim", name, known)
    if name == "LBFGS":
        raise ConfigurationError(
            "torch.optim.LBFGS re-evaluates its objective inside a step, which a sampled gradient "
            f"cannot do. Use one of {', '.join(sorted(ELEMENTWISE))}; for the exact risk there is "
            "qhyper.minimise, which is L-BFGS."
        )
    if name not in ELEMENTWISE and replicas > 1:
        raise ConfigurationError(
            f"{name} would mix the {replicas} replicas: it does not treat every parameter alone. "
            f"Use one of {', '.join(sorted(ELEMENTWISE))}, or a single seed."
        )


def build_optimizer(generator: HyperNetwork, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimiser of the settings; ConfigurationError for options that it refuses."""
    kind = getattr(torch.optim, settings.optimizer)
    try:
        return kind(generator.parameters(), lr=settings.learning_rate, **settings.optimizer_options)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"torch.optim.{settings.optimizer} refused its options "
            f"{settings.optimizer_options}: {error}."
        ) from error


def _left(share: Callable[[], float], step: int) -> float:
    """How much of a start is left, from 1 to 0."""
    return max(0.0, 1 - share())


def build_schedule(
    optimizer: torch.optim.Optimizer,
    settings: TrainingSettings,
    steps: int,
    share: Callable[[], float],
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """The schedule of a start of so many steps, None if constant; `share` is how much is over.

    Raises ConfigurationError for an unknown one, and for options that it refuses.
    """
    name, options = settings.schedule, dict(settings.schedule_options)
    if name == "constant":
        return None
    schedules = torch.optim.lr_scheduler
    if name == "linear":  # of the share that is over: by steps, or by time where that is limited
        return schedules.LambdaLR(optimizer, partial(_left, share))
    known = {
        n for n, c in vars(schedules).items()
        if isinstance(c, type) and issubclass(c, schedules.LRScheduler)
    } - {"LRScheduler", "ReduceLROnPlateau"}  # fmt: skip
    if name not in known:
        raise unknown("schedule of torch.optim.lr_scheduler", name, known | {"constant", "linear"})
    if name == "CosineAnnealingLR":
        floor = COSINE_FLOOR * settings.learning_rate
        options = {"T_max": steps, "eta_min": floor, **options}
    try:
        return getattr(schedules, name)(optimizer, **options)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"torch.optim.lr_scheduler.{name} refused its options {options}: {error}."
        ) from error
