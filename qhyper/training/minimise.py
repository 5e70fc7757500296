"""Exact training: the risk of all probabilities, minimised by L-BFGS, one replica at a time."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.optimize
import torch

from qhyper.arrays import brief, counted
from qhyper.errors import ConfigurationError
from qhyper.gradients.estimator import check_whole
from qhyper.gradients.exact import Exact
from qhyper.hypernetwork import HyperNetwork
from qhyper.progress import Progress, shown
from qhyper.risk import Expectation, Risk
from qhyper.targets.target import Losses
from qhyper.threads import one_blas_thread, one_torch_thread

Float = npt.NDArray[np.float64]

_EXPECTATION = Expectation()
_LINE_SEARCH = 20
"""Evaluations of a line search at most."""


@dataclass(frozen=True, eq=False)
class Minima:
    """Where each replica began and ended."""

    before: Float
    """[replica]: the risk at the parameters that it began with"""
    value: Float
    """[replica]: the risk at the parameters found"""
    evaluations: npt.NDArray[np.int64]
    """[replica]: how often risk and gradient were computed"""
    converged: npt.NDArray[np.bool_]
    """[replica]: whether it ended by itself, not at a limit nor in a failed line search"""
    messages: tuple[str, ...]
    """[replica]: why it ended, in SciPy's words"""

    def __repr__(self) -> str:
        done = f"{int(self.converged.sum()):,} of {counted(len(self.value), 'replica')} converged"
        return f"Minima({brief(self.value)}; from {brief(self.before)}; {done})"

    @property
    def best(self) -> int:
        """The replica of the least value."""
        return int(self.value.argmin())


def minimise(
    generator: HyperNetwork,
    objective: Losses,
    risk: Risk = _EXPECTATION,
    *,
    max_iterations: int = 1000,
    tolerance: float = 1e-10,
    on_replica: Callable[[int, float], None] | None = None,
    progress: Progress | Literal[False] | None = None,
) -> Minima:
    """Minimise the exact risk of every replica, from the parameters that it has.

    L-BFGS-B (Byrd et al., 1995) mixes all parameters that it is given, so each replica, a start of
    its own, is minimised alone. A replica ends when an iteration lowers its risk by less than
    `tolerance` times the larger of 1 and the risk, or no component of its gradient is larger than
    `tolerance`. Then the generator holds its parameters, and `on_replica` is called with its number
    and its risk: whatever is raised in between leaves the replicas finished so far. `progress` is
    called with a title, the replicas done and all replicas; unless told, a notebook shows it by
    itself, and False is silent.

    Nothing is drawn. `objective`, from bits [..., bit] to losses [...], is evaluated once for each
    of the 2^n bitstrings, and is not to change. Raises ConfigurationError if the generator has not
    all probabilities and their derivatives (`Exact.check`) or depends on inputs, if the risk has a
    schedule or is not finite, and for limits that make no sense.
    """
    if not callable(objective):
        raise ConfigurationError(
            f"Got {type(objective).__name__} as the objective; expected losses of bits, such as "
            "network.objective(data.train) or tabulate(...) of it."
        )
    exact = Exact()
    exact.check(generator, risk)
    _check(generator, risk, max_iterations, tolerance)
    options = {
        "maxiter": max_iterations,
        "maxfun": 1 + _LINE_SEARCH * max_iterations,
        "maxls": _LINE_SEARCH,
        "ftol": tolerance,
        "gtol": tolerance,
    }
    functions, results = [], []
    with one_torch_thread(), one_blas_thread(), shown(progress, "minimise") as show:
        for index in range(generator.replicas):
            function = _RiskOf(generator.replica(index), exact, objective, risk)
            result = scipy.optimize.minimize(
                function, function.parameters(), jac=True, method="L-BFGS-B", options=options
            )
            function.load(result.x)
            _keep(function.generator, generator, index)
            functions.append(function)
            results.append(result)
            if on_replica is not None:
                on_replica(index, float(result.fun))
            show("minimise", index + 1, generator.replicas)
    return Minima(
        before=np.array([function.values[0] for function in functions]),
        value=np.array([float(result.fun) for result in results]),
        evaluations=np.array([len(function.values) for function in functions]),
        converged=np.array([bool(result.success) for result in results]),
        messages=tuple(str(result.message) for result in results),
    )


def _check(generator: HyperNetwork, risk: Risk, max_iterations: int, tolerance: float) -> None:
    if generator.n_inputs:
        raise ConfigurationError(
            f"{generator.describe()} depends on inputs of {generator.n_inputs} features, and the "
            "exact risk here has none. Use an unconditional generator, or the estimator exact "
            "with inputs."
        )
    if risk.at(0.0) != risk:
        raise ConfigurationError(
            f"The risk {risk!r} has a schedule, and a minimum is of one risk. Pass that of one "
            "moment, such as risk.at(1)."
        )
    check_whole("max_iterations", max_iterations)
    if max_iterations < 1:
        raise ConfigurationError(f"max_iterations must be at least 1; got {max_iterations}.")
    if not 0 < tolerance < 1:
        raise ConfigurationError(
            f"tolerance is a share of the risk, above 0 and below 1; got {tolerance!r}."
        )


def _keep(alone: HyperNetwork, generator: HyperNetwork, index: int) -> None:
    """Set the parameters of one replica of `generator` to those of `alone`."""
    with torch.no_grad():
        for own, all_of in zip(alone.parameters(), generator.parameters(), strict=True):
            all_of[index] = own[0]


class _RiskOf:
    """The exact risk of a generator of one replica, as a function of its parameters, flat."""

    def __init__(
        self, generator: HyperNetwork, exact: Exact, objective: Losses, risk: Risk
    ) -> None:
        self.generator, self.exact, self.objective, self.risk = generator, exact, objective, risk
        self.values: list[float] = []
        """of every call"""

    def parameters(self) -> Float:
        """The parameters as they are, float64 [parameter]."""
        return _flat([p.detach() for p in self.generator.trained_parameters])

    def load(self, x: Float) -> None:
        """Set the parameters to x [parameter]."""
        trained = self.generator.trained_parameters
        parts = torch.from_numpy(x).split([p.numel() for p in trained])
        with torch.no_grad():
            for parameter, part in zip(trained, parts, strict=True):
                parameter.copy_(part.view_as(parameter))

    def __call__(self, x: Float) -> tuple[float, Float]:
        """(risk, gradient [parameter]) at parameters x."""
        self.load(x)
        self.generator.zero_grad()
        estimate = self.exact(self.generator, self.objective, self.risk)
        assert estimate.value is not None
        value = float(estimate.value[0])
        trained = self.generator.trained_parameters
        gradient = _flat([torch.zeros_like(p) if p.grad is None else p.grad for p in trained])
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            raise ConfigurationError(
                f"The risk of {self.generator.describe()} with seed {self.generator.seeds[0]} is "
                f"{value}, or its gradient is not finite; expected finite numbers. Begin at other "
                "parameters: generator.initialise()."
            )
        self.values.append(value)
        return value, gradient


def _flat(tensors: list[torch.Tensor]) -> Float:
    """All numbers of the tensors, float64 [number]."""
    return torch.cat([t.flatten().double().cpu() for t in tensors]).numpy()
