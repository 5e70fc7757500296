"""Generators, controls, estimators and risks by name, and which backends there are.

A package registers generators and controls under the entry-point groups `qhyper.generators` and
`qhyper.controls`, ours in the same way as anybody's. Wherever a name is accepted, so is
`module:Class`.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from numbers import Integral, Real
from types import UnionType
from typing import Any, Union, get_args, get_origin

from qhyper.errors import ConfigurationError, unknown
from qhyper.gradients.estimator import GradientEstimator
from qhyper.hypernetwork import HyperNetwork
from qhyper.machine import torch_device
from qhyper.names import load_object
from qhyper.risk import RISKS, Risk
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.target import Layout
from qhyper.training.search import Control

GENERATORS = "qhyper.generators"
CONTROLS = "qhyper.controls"


def names(group: str) -> list[str]:
    """Registered names of a group, sorted."""
    return sorted({point.name for point in entry_points(group=group)})


def is_control(name: str) -> bool:
    """Whether `name` has a `search`, and so is a control; a generator has none.

    Raises ConfigurationError if nothing of that name is registered.
    """
    factory = _find(name)
    return hasattr(factory, "search")


def takes_option(name: str, option: str) -> bool:
    """Whether the generator or control `name` has an option of that name among its arguments.

    Options that it would only hand on (`**options`) do not count. Raises ConfigurationError if
    nothing of that name is registered.
    """
    return option in _parameters(name, _find(name))


def build_generator(
    name: str,
    n_bits: int,
    *,
    seeds: Sequence[int] = (0,),
    space: WeightSpace | None = None,
    layout: Layout | None = None,
    options: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> HyperNetwork:
    """The generator registered as `name` (or `module:Class`), one replica a seed.

    `space` and `layout` go to factories that take them. `device` is the torch device of the
    parameters: cpu, cuda, cuda:1. Raises ConfigurationError for an unknown name or option, with the
    nearest known one, and for a device that torch cannot use here, with those that it can.
    """
    if device != "cpu":
        torch_device(device)
    factory = _find(name)
    arguments: dict[str, Any] = {"seeds": tuple(seeds)}
    if "space" in _parameters(name, factory):
        arguments["space"] = space
    if "layout" in _parameters(name, factory):
        arguments["layout"] = layout
    generator = _call(name, factory, n_bits, **arguments, **_checked(name, factory, options))
    if not isinstance(generator, HyperNetwork):
        raise ConfigurationError(
            f"'{name}' made a {type(generator).__name__}; expected a HyperNetwork. Subclass "
            "qhyper.HyperNetwork, or write a control with a `search` method."
        )
    return generator.to(device)


def build_control(name: str, n_bits: int, options: Mapping[str, Any] | None = None) -> Control:
    """The control registered as `name` (or `module:Class`)."""
    factory = _find(name)
    return _call(name, factory, n_bits, **_checked(name, factory, options))


ESTIMATORS = {
    "score-function": "qhyper.gradients.score:ScoreFunction",
    "natural-gradient": "qhyper.gradients.natural:NaturalGradient",
    "parameter-shift": "qhyper.gradients.parameter_shift:ParameterShift",
    "stochastic-parameter-shift": "qhyper.gradients.parameter_shift:StochasticParameterShift",
    "spsa": "qhyper.gradients.spsa:SPSA",
    "exact": "qhyper.gradients.exact:Exact",
    "local-expectation": "qhyper.gradients.local_expectation:LocalExpectation",
}
"""Gradient estimators by name."""


def find_estimator(name: str) -> Callable[..., Any]:
    """The class of the estimator called `name` (or `module:Class`); ConfigurationError if none."""
    return _named("estimator", name, ESTIMATORS)


def find_risk(name: str) -> Callable[..., Any]:
    """The class of the risk called `name` (or `module:Class`); ConfigurationError if none."""
    known = {risk: f"{kind.__module__}:{kind.__name__}" for risk, kind in RISKS.items()}
    return _named("risk", name, known)


def build_estimator(
    name: str, shots: int, options: Mapping[str, Any] | None = None
) -> GradientEstimator:
    """The estimator called `name` (or `module:Class`), which measures the value as well.

    `shots` goes to those that take it. Raises ConfigurationError for an unknown name or option,
    and for an option that is missing or cannot have its value.
    """
    factory = find_estimator(name)
    parameters = _parameters(name, factory)
    fixed = {"shots": shots, "value": True}
    given = {key: value for key, value in fixed.items() if key in parameters}
    return _built("estimator", name, factory, given, options)


def build_risk(name: str, options: Mapping[str, Any] | None = None) -> Risk:
    """The risk called `name` (or `module:Class`), with its options.

    Raises ConfigurationError for an unknown name or option, and for an option that is missing or
    cannot have its value.
    """
    return _built("risk", name, find_risk(name), {}, options)


def backends() -> list[str]:
    """Names of the backends that are installed; of PennyLane's, the simulators of state vectors."""
    devices = {point.name for point in entry_points(group="pennylane.plugins")}
    exact = [n for n in sorted(devices) if n == "default.qubit" or n.startswith("lightning.")]
    aer = ["aer"] if find_spec("qiskit_aer") else []
    return ["mps", "statevector", "trajectories", *(f"pennylane:{name}" for name in exact), *aer]


def _named(kind: str, name: str, known: Mapping[str, str]) -> Callable[..., Any]:
    if ":" not in name and name not in known:
        raise unknown(kind, name, known)
    return load_object(known.get(name, name))


def _built(
    kind: str,
    name: str,
    factory: Callable[..., Any],
    fixed: Mapping[str, Any],
    options: Mapping[str, Any] | None,
) -> Any:
    known = {key: p for key, p in _parameters(name, factory).items() if key not in _OURS}
    given = dict(options or {})
    for option, value in given.items():
        if option not in known:
            raise unknown(f"option of the {kind} {name}:", option, known or ["(none)"])
        expected = _number(known[option].annotation)
        if expected and (not isinstance(value, expected[0]) or isinstance(value, bool)):
            raise ConfigurationError(
                f"Got {option}={value!r} ({type(value).__name__}) for the {kind} {name}; expected "
                f"{expected[1]}. Set it as {kind}_options.{option}."
            )
    for option, parameter in known.items():
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if option not in given and parameter.default is parameter.empty and not variadic:
            raise ConfigurationError(
                f"The {kind} '{name}' needs the option `{option}`; set it as "
                f"{kind}_options.{option}."
            )
    try:
        return factory(**fixed, **given)
    except ConfigurationError:
        raise
    except (TypeError, ValueError) as error:
        values = ", ".join(f"{key}={v!r} ({type(v).__name__})" for key, v in given.items())
        raise ConfigurationError(
            f"The {kind} '{name}' could not be built with {values or 'no options'}: {error}. Its "
            f"options are {', '.join(known) or '(none)'}; set them as {kind}_options."
        ) from error


_OURS = ("shots", "value")
"""Arguments of estimators that the training gives, and are no options."""


def _number(annotation: Any) -> tuple[tuple[type, ...], str] | None:
    """(types of a value, in words) of an argument that is a number, or None; else nothing.

    NumPy's numbers count as well, which a value from Python may be.
    """
    union = get_origin(annotation) in (Union, UnionType)
    kinds = list(get_args(annotation)) if union else [annotation]
    missing = (type(None),) if type(None) in kinds else ()
    numbers = [kind for kind in kinds if kind is not type(None)]
    if numbers == [int]:
        return (Integral, *missing), "a whole number"
    if numbers in ([float], [int, float], [float, int]):
        return (Real, *missing), "a number"
    return None


def _find(name: str) -> Callable[..., Any]:
    if ":" in name:
        return load_object(name)
    for group in (GENERATORS, CONTROLS):
        for point in entry_points(group=group, name=name):
            return point.load()
    raise unknown("generator or control", name, names(GENERATORS) + names(CONTROLS))


def _call(name: str, factory: Callable[..., Any], n_bits: int, **arguments: Any) -> Any:
    try:
        return factory(n_bits, **arguments)
    except TypeError as error:
        ours = ("seeds", "space", "layout")
        given = [f"{k}={v!r}" for k, v in arguments.items() if k not in ours]
        raise ConfigurationError(
            f"'{name}' could not be built with {', '.join(given) or 'no options'}: {error}. A "
            "generator takes (n_bits, *, seeds, ...), a control (n_bits, ...), and their options "
            "have defaults or are given."
        ) from error


def _checked(
    name: str, factory: Callable[..., Any], options: Mapping[str, Any] | None
) -> dict[str, Any]:
    # what a partial fixes is what its name stands for
    reserved = {"n_bits", "seeds", "space", "layout", *getattr(factory, "keywords", {})}
    parameters = _parameters(name, factory).values()
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    known = [p.name for p in parameters if p.name not in reserved and p.kind is not p.VAR_KEYWORD]
    for option in options or {}:
        if option in reserved or (option not in known and not takes_any):
            raise unknown(f"option for {name}:", option, known or ["(none)"])
    return dict(options or {})


def _parameters(name: str, factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"'{name}' is not a class or function that builds a generator: expected one that takes "
            "n_bits and seeds."
        ) from None
