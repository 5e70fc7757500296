"""One registry: whatever can be named is registered under an entry point, or is `module:Class`.

Ours are registered in pyproject.toml in the same way as anybody's. The options of a named thing are
the arguments of its class or function, except those that we give it.
"""

import importlib
import inspect
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from qhyper.errors import ConfigurationError, unknown


@dataclass(frozen=True)
class Kind:
    """A kind of thing that can be named."""

    group: str
    """its entry-point group"""
    takes: str
    """what its class or function is called with, in words"""
    has: tuple[str, ...] = ()
    """methods that things of this kind have, and others have not"""
    holds: tuple[str, ...] = ()
    """what they hold besides, once they are made"""
    options: str = "options"
    """the setting that holds its options"""
    word: str = ""
    """what messages call it; its name unless told"""


KINDS = {
    "generator": Kind("qhyper.generators", "(n_bits, *, seeds, ...)", ("sample", "initialise")),
    "control": Kind("qhyper.controls", "(n_bits, ...)", ("search",)),
    "estimator": Kind(
        "qhyper.estimators", "its options", ("check", "cost"), options="estimator_options"
    ),
    "risk": Kind("qhyper.risks", "its options", ("costs", "value"), options="risk_options"),
    "ansatz": Kind("qhyper.ansaetze", "its options", ("build",)),
    "simulator": Kind(
        "qhyper.simulators", "its options", ("compile",), ("capabilities",), "backend_options",
        word="backend",
    ),
    "service": Kind(
        "qhyper.services", "its options", ("run", "job"), ("device", "limits"), "backend_options",
        word="backend",
    ),
    "target": Kind(
        "qhyper.targets", "(dataset, ...)", ("objective",), ("n_bits",), "target_options"
    ),
    "data set": Kind("qhyper.datasets", "its options", (), ("train", "test"), "data_options"),
    "loss": Kind("qhyper.losses", "(logits)"),
}  # fmt: skip


# -- found -----------------------------------------------------------------------------------------


def load_object(path: str) -> Any:
    """The object that `module:name` names.

    Modules that are installed stand before those of the working directory, and a warning says
    where one hides a file there. Raises ConfigurationError, saying what could not be imported.
    """
    if "/" in path or "\\" in path:
        raise ConfigurationError(
            f"Got '{path}', a path; expected module:name, such as mymodule:my_loss of a file "
            "mymodule.py in this folder, or in one that PYTHONPATH names. (Data come from a path "
            "that ends in .npz or .csv.)"
        )
    module, colon, attribute = path.partition(":")
    if not (module and colon and attribute):
        raise ConfigurationError(f"Got '{path}'; expected module:name, such as mymodule:my_loss.")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a user's module can fail in any way
        raise ConfigurationError(
            f"Cannot load '{path}': {type(error).__name__}: {error}. {_hidden(module)}Expected "
            "module:name, with the module importable from here: check the name, and stand in the "
            "folder that holds it, or name that folder in PYTHONPATH."
        ) from error
    if hidden := _hidden(module):
        warnings.warn(f"'{path}' is not from your file. {hidden}".strip(), stacklevel=1)
    return found


def _hidden(module: str) -> str:
    """That a file in the working directory is hidden by another module of its name, or nothing."""
    name = module.partition(".")[0]
    own = _origin(PathFinder.find_spec(name, [str(Path.cwd())]))
    specs = (finder.find_spec(name, None) for finder in sys.meta_path)
    first = _imported(name) or next((spec for spec in specs if spec is not None), None)
    if own is None or first is None or own == _origin(first):
        return ""
    return (
        f"The name '{name}' is that of {_origin(first) or 'a module of Python'}, which stands "
        f"before {own}: give your file another name. "
    )


def _imported(name: str) -> Any:
    """What a package of ours was imported from: installed in place, it may be found last."""
    ours = name in ("qhyper", "classical", "experiments")
    return getattr(sys.modules.get(name), "__spec__", None) if ours else None


def _origin(spec: Any) -> Path | None:
    """The file, or the folder of a package without one, that a module is made of."""
    if spec is None or spec.origin in ("built-in", "frozen"):
        return None
    if spec.origin is not None:
        return Path(spec.origin).resolve()
    return next((Path(place).resolve() for place in spec.submodule_search_locations or ()), None)


def names(kind: str) -> list[str]:
    """Registered names of a kind, sorted."""
    return sorted(_points(KINDS[kind].group, tuple(sys.path)))


def is_registered(kind: str, name: str) -> bool:
    """Whether `name` is registered as a thing of this kind."""
    return name in _points(KINDS[kind].group, tuple(sys.path))


def packages(kind: str, name: str) -> list[str]:
    """Packages that have registered `name` as a thing of this kind, sorted."""
    points = _points(KINDS[kind].group, tuple(sys.path)).get(name, [])
    return sorted({point.dist.name if point.dist else "a package" for point in points})


def where(kind: str, name: str) -> str | None:
    """The module:name that `name` is registered as; None if nothing is, or several things are."""
    points = _points(KINDS[kind].group, tuple(sys.path)).get(name, [])
    values = {point.value for point in points}
    return values.pop() if len(values) == 1 else None


def find(kind: str, name: str) -> Any:
    """What is registered as `name`, or what `module:name` names.

    Of a registered thing that has an `after_colon`, the name of an argument, `name:value` is the
    thing with that argument. Raises ConfigurationError for an unknown name, with the nearest known
    one, for a name that two packages have registered, and for what cannot be loaded.
    """
    head, colon, rest = name.partition(":")
    if not colon:
        return _registered(kind, name)
    if is_registered(kind, head):
        found = _registered(kind, head)
        if hasattr(found, "after_colon"):
            return partial(found, **{found.after_colon: rest})
    return load_object(name)


def _registered(kind: str, name: str) -> Any:
    points = _points(KINDS[kind].group, tuple(sys.path))
    word = KINDS[kind].word or kind
    if name not in points:
        raise unknown(word, name, points)
    by_value = {point.value: point for point in points[name]}
    if len(by_value) > 1:
        owners = " and ".join(f"{_owner(point)} ({value})" for value, point in by_value.items())
        raise ConfigurationError(
            f"Several packages have registered the {word} '{name}': {owners}. Uninstall all but "
            "one, or give yours another name, or name it as module:Class."
        )
    (point,) = by_value.values()
    try:
        return point.load()
    except Exception as error:  # a package can fail in any way
        raise ConfigurationError(
            f"The {word} '{name}' is registered by {_owner(point)} as {point.value}, which cannot "
            f"be loaded: {type(error).__name__}: {error}. {_taken(point)}Mend or reinstall that "
            "package."
        ) from error


def _taken(point: EntryPoint) -> str:
    """That a file elsewhere is taken for the module of an entry point, or nothing."""
    name = point.module.partition(".")[0]
    found = _origin(getattr(sys.modules.get(name), "__spec__", None))
    if name == point.module or found is None or found.name == "__init__.py":
        return ""
    return f"Python takes {found} for the package '{name}': give that file another name. "


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "an unnamed package"


@cache
def _points(group: str, _path: tuple[str, ...]) -> dict[str, list[EntryPoint]]:
    """Entry points of a group by name; read once for each state of sys.path."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    return found


# -- built -----------------------------------------------------------------------------------------


def build(
    kind: str,
    name: str,
    *arguments: Any,
    options: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
    offered: Mapping[str, Any] | None = None,
) -> Any:
    """The thing called `name`, made with `arguments` and its `options`.

    By keyword it gets what is `given`, and of what is `offered` the arguments that it names.
    Raises ConfigurationError for an unknown name or option, with the nearest known one, for an
    option that is missing or cannot have its value, and for a thing of another kind.
    """
    return make(
        kind, name, find(kind, name), *arguments, options=options, given=given, offered=offered
    )


def make(
    kind: str,
    name: str,
    factory: Any,
    *arguments: Any,
    options: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
    offered: Mapping[str, Any] | None = None,
) -> Any:
    """As `build`, by a class or function that is there already; `name` is for messages."""
    check_factory(kind, name, factory)
    given, offered, chosen = given or {}, offered or {}, dict(options or {})
    parameters = _parameters(kind, name, factory)
    positional = [key for key, p in parameters.items() if p.kind in _BY_POSITION][: len(arguments)]
    known = options_of(kind, name, factory, ours=(*positional, *given, *offered))
    check_options(kind, name, known, chosen)
    taken = {key: value for key, value in offered.items() if key in parameters}
    try:
        made = factory(*arguments, **given, **taken, **chosen)
    except ConfigurationError:
        raise
    except (TypeError, ValueError) as error:
        values = ", ".join(f"{key}={v!r} ({type(v).__name__})" for key, v in chosen.items())
        listed = ", ".join(key for key, p in known.items() if p.kind not in _VARIADIC)
        raise ConfigurationError(
            f"The {KINDS[kind].word or kind} '{name}' could not be built with "
            f"{values or 'no options'}: {error}. Its options are {listed or '(none)'}; set them as "
            f"{KINDS[kind].options}. It is called with {KINDS[kind].takes}."
        ) from error
    check_made(kind, name, made)
    return made


def options_of(
    kind: str, name: str, factory: Callable[..., Any], *, ours: Iterable[str] = ()
) -> dict[str, inspect.Parameter]:
    """The options that a class or function takes: its arguments without those that are `ours`.

    What a functools.partial fixes is what its name stands for, and no option. Raises
    ConfigurationError for what cannot be called.
    """
    fixed = {*ours, *getattr(factory, "keywords", {})}
    parameters = _parameters(kind, name, factory)
    return {key: p for key, p in parameters.items() if key not in fixed}


def takes_option(kind: str, name: str, option: str) -> bool:
    """Whether the thing called `name` has an option of that name among its arguments.

    Options that it would only hand on (`**options`) do not count. Raises ConfigurationError if
    there is nothing of that name.
    """
    return option in options_of(kind, name, find(kind, name))


def check_options(
    kind: str, name: str, known: Mapping[str, inspect.Parameter], options: Mapping[str, Any]
) -> None:
    """Raise ConfigurationError unless these options are `known`, and those that are needed.

    A number has to be one where the argument is annotated as `int` or `float`, or None as well.
    """
    word, where = KINDS[kind].word or kind, KINDS[kind].options
    takes_any = any(p.kind is p.VAR_KEYWORD for p in known.values())
    named = {key: p for key, p in known.items() if p.kind not in _VARIADIC}
    for option, value in options.items():
        if option not in named:
            if takes_any:
                continue
            raise unknown(f"option of the {word} {name}:", option, named or ["(none)"])
        expected = _number(named[option].annotation)
        if expected and (not isinstance(value, expected[0]) or isinstance(value, bool)):
            raise ConfigurationError(
                f"Got {option}={value!r} ({type(value).__name__}) for the {word} {name}; expected "
                f"{expected[1]}. Set it as {where}.{option}."
            )
    for option, parameter in named.items():
        if option not in options and parameter.default is parameter.empty:
            raise ConfigurationError(
                f"The {word} '{name}' needs the option `{option}`; set it as {where}.{option}."
            )


def check_factory(kind: str, name: str, factory: Any) -> None:
    """Raise ConfigurationError for what cannot be called, or for a class of another kind."""
    if not callable(factory):
        raise ConfigurationError(
            f"'{name}' is of type {type(factory).__name__}; expected the class of "
            f"{_a(kind)}, or a function that makes one, called with "
            f"{KINDS[kind].takes}."
        )
    made = getattr(factory, "func", factory)  # what a partial calls
    if isinstance(made, type):
        _check(kind, f"'{name}' is the class {made.__name__}", made, KINDS[kind].has)


def check_made(kind: str, name: str, made: Any) -> None:
    """Raise ConfigurationError unless `made` has what things of this kind have."""
    wanted = (*KINDS[kind].has, *KINDS[kind].holds)
    _check(kind, f"'{name}' made a {type(made).__name__}", made, wanted)


def _check(kind: str, what: str, thing: Any, wanted: tuple[str, ...]) -> None:
    # what a class works out when it is first asked for is not asked for here
    lacking = [
        attribute
        for attribute in wanted
        if inspect.getattr_static(thing, attribute, None) is None and not hasattr(thing, attribute)
    ]
    if not lacking:
        return
    others = [
        other
        for other, its in KINDS.items()
        if its.has and all(hasattr(thing, attribute) for attribute in its.has)
    ]
    seems = f" It seems to be {' or '.join(map(_a, others))}." if others else ""
    raise ConfigurationError(
        f"{what}, which is no {kind}: it has no {' and no '.join(f'`{a}`' for a in lacking)}."
        f"{seems} Expected {_a(kind)}, called with {KINDS[kind].takes}."
    )


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "ae" else f"a {kind}"


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _parameters(
    kind: str, name: str, factory: Callable[..., Any]
) -> Mapping[str, inspect.Parameter]:
    try:
        try:
            return inspect.signature(factory, eval_str=True).parameters
        except NameError:  # an annotation that only type checkers can read
            return inspect.signature(factory).parameters
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"'{name}' is no {KINDS[kind].word or kind}: expected a class or function called with "
            f"{KINDS[kind].takes}."
        ) from None


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
