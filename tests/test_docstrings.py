"""Every public name says what it is, its axes, its units and its errors: read from signatures.

Public are the names of `qhyper`, whatever is registered, what README and docs import, show or name
by its module, the classes that these take, hold or give, and the public methods and properties of
all these classes. What a base class says of a method holds for those that override it, and what a
class says of its arguments and fields for its methods.

- sentence: the docstring begins with a line that ends in a full stop.
- shape: a sentence that names an argument or a field of arrays has its axes, such as [row, class],
  or says scalar, or same shape; and so has the docstring for each array that is returned.
- dtype: where an annotation has none (torch.Tensor, a bare NDArray), the docstring has.
- unit: a sentence that names an argument or a field that is listed in UNITS has its unit, or one
  that names another of the same unit: of a start and an end, one says it.
- error: each of our errors that a function raises, by itself or in a private function of its module
  that it calls, is named. Those that come from a public function, that one names.
"""

import ast
import builtins
import dataclasses
import functools
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import qhyper
from qhyper import registry
from qhyper.arrays import Float
from qhyper.bits import Bits
from qhyper.errors import QhyperError, unknown

ROOT = Path(__file__).parents[1]
OURS = ("qhyper", "classical")
MODULE = r"(?:qhyper|classical)(?:\.[a-z]\w*)+"

AXES = r"\[(?:[^\[\]]*[A-Za-z][^\[\]]*|\.\.\.)\]"
SHAPE = re.compile(AXES + r"|\bscalars?\b|\bsame (?:shape|axes)\b|\bshaped (?:like|as)\b")
ERROR = re.compile(r"\b[A-Z][A-Za-z]*Error\b")
DTYPE = re.compile(r"\b(?:u?int\d+|b?float\d+|complex\d+|bool|dtypes?)\b")
UNITS = {
    r"\w*seconds|\w*execution_time|\w*timeout|wait|patience": r"seconds?",
    r"\w*minutes": r"minutes?",
    r"\w*_every": r"steps?|generations?|epochs?|minutes?|seconds?",
    r"\w*temperature|t_start|t_end": r"loss(?:es)?",
    r"angles?|\w+_angles|thetas?|offset|step": r"radians?",
    r"rotation": r"degrees?",
    r"max_cost\w*|price\w*": r"dollars?",
    r"\w*memory|\w*bytes": r"bytes",
    r"learning_rate": r"steps?",
    r"readout|depolarising": r"probability",
    r"warm_up": r"epochs?",
    r"crop": r"pixels?",
    r"kl|\w*entropy": r"nats|bits",
}
"""Names of numbers that have a unit, as patterns, and the words of which one says it."""
COUNTS_TOO = r"\w*(?:seconds|time|timeout|minutes|wait|every|memory|bytes|warm_up|crop)"
"""Names of whole numbers that have one; others are counts, as `angles` = 8 of them."""


# -- what is public --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Name:
    """A public function, method, property or class, and what is written about it."""

    label: str
    function: Callable[..., Any] | None
    """None for a class"""
    home: type | None
    """the class itself, or that in which the method is defined"""
    own: str
    """its docstring, and those of the methods that it overrides"""
    text: str
    """the same, and that of its class"""


def names() -> list[Name]:
    found = [name for label, thing in public().items() for name in names_of(label, thing)]
    taken = {kind for name in found for value in values(name).values() for kind in classes(value)}
    for kind in sorted(taken - {*public().values()}, key=lambda kind: kind.__qualname__):
        found += names_of(f"{kind.__module__}.{kind.__qualname__}", kind)
    return list({name.label: name for name in found}.values())


def classes(annotation: Any) -> Iterator[type]:
    """Our own classes in an annotation, however deep."""
    kind = typing.get_origin(annotation) or annotation
    if isinstance(kind, type) and ours(kind):
        yield kind
    for inner in annotation if isinstance(annotation, list) else typing.get_args(annotation):
        yield from classes(inner)


@functools.cache
def public() -> dict[str, Any]:
    """Classes and functions by the name that they are found under, each once."""
    found = {f"qhyper.{name}": getattr(qhyper, name) for name in qhyper.__all__}
    for kind in registry.KINDS:
        found |= {f"{kind} {name}": registry.find(kind, name) for name in registry.names(kind)}
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    named = set(re.findall(rf"(?:`|:: )({MODULE})\.(\w+)\b", text))
    for module, imported in re.findall(rf"from ({MODULE}) import ([\w, ]+)", text):
        named |= {(module, name) for name in re.findall(r"\w+", imported)}
    found |= {f"{module}.{name}": resolved(module, name) for module, name in sorted(named)}
    labels: dict[Any, str] = {}
    for label, thing in found.items():
        thing = thing.func if isinstance(thing, partial) else thing
        if isinstance(thing, type) or inspect.isfunction(thing):
            labels.setdefault(thing, label)
    return {label: thing for thing, label in labels.items()}


def resolved(module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None


def names_of(label: str, thing: Any) -> Iterator[Name]:
    """A function; or a class with its public methods and properties that are ours."""
    if not isinstance(thing, type):
        doc = inspect.getdoc(thing) or ""
        yield Name(label, thing, None, doc, doc)
        return
    yield Name(label, None, thing, class_text(thing), class_text(thing))
    for attribute in inspect.classify_class_attrs(thing):
        home, function = attribute.defining_class, as_function(attribute.object)
        hidden = attribute.name.startswith("_") and attribute.name != "__call__"
        if hidden or not ours(home) or function is None:
            continue
        own = "\n\n".join(
            inspect.cleandoc(doc)
            for base in filter(ours, home.__mro__)
            if (doc := getattr(as_function(vars(base).get(attribute.name)), "__doc__", None))
        )
        place = f"{home.__module__}.{home.__qualname__}.{attribute.name}"
        yield Name(place, function, home, own, f"{own}\n\n{class_text(home)}")


def ours(thing: Any) -> bool:
    return thing.__module__ == __name__ or thing.__module__.partition(".")[0] in OURS


def as_function(member: Any) -> Callable[..., Any] | None:
    for inner in ("fget", "func", "__func__"):  # property, cached property, class method
        member = getattr(member, inner, member)
    return member if inspect.isfunction(member) and ours(member) else None


@functools.cache
def class_text(thing: type) -> str:
    """Docstrings of a class and those that it is made from, and what stands under their fields."""
    parts = []
    for base in filter(ours, thing.__mro__):
        doc = base.__doc__ or ""
        parts.append("" if doc.startswith(f"{base.__name__}(") else inspect.cleandoc(doc))
        node = tree(base.__module__).get(base.__qualname__)
        for field, below in zip(node.body, node.body[1:], strict=False) if node else ():
            if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                parts.append(f"- {ast.unparse(field.target)}: {ast.literal_eval(below.value)}")
    return "\n\n".join(filter(None, parts))


@functools.cache
def tree(module: str) -> dict[str, Any]:
    """Functions, classes and methods of a module, as they are written."""
    found = {}
    for node in ast.parse(Path(sys.modules[module].__file__ or "").read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
            methods = (n for n in node.body if isinstance(n, ast.FunctionDef))
            found |= {f"{node.name}.{method.name}": method for method in methods}
    return found


# -- what a signature asks for ---------------------------------------------------------------------


def values(name: Name) -> dict[str, Any]:
    """Annotations: of arguments and `return`, or of the fields and the constructor of a class."""
    found: dict[str, Any] = {}
    if name.function is not None:
        found = hints(name.function)
    for base in filter(ours, reversed(name.home.__mro__)) if name.function is None else ():
        own = vars(base).get("__annotations__", {})
        found |= {key: value for key, value in hints(base).items() if key in own}
        found |= hints(base.__init__) if inspect.isfunction(vars(base).get("__init__")) else {}
        found.pop("return", None)
    return {key: value for key, value in found.items() if key[0] != "_"}


def hints(thing: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(thing)
    except NameError:  # an annotation that only type checkers can read
        return dict(inspect.get_annotations(thing))


def arrays_in(annotation: Any) -> Iterator[Any]:
    """Arrays and tensors in an annotation, however deep, and what can be made one."""
    kind = typing.get_origin(annotation) or annotation
    if isinstance(annotation, str):
        yield from re.findall(r"\b(?:Tensor|NDArray|Bits|Float)\b", annotation)
    elif isinstance(kind, type) and (
        issubclass(kind, np.ndarray | torch.Tensor) or kind.__name__ == "_SupportsArray"
    ):  # the last of ArrayLike
        yield annotation
    else:
        inner = annotation if isinstance(annotation, list) else typing.get_args(annotation)
        for one in inner:
            yield from arrays_in(one)


def has_dtype(array: Any) -> bool:
    """Whether an array's annotation has one; what can be made an array needs none."""
    if isinstance(array, str):
        return array in ("Bits", "Float")
    dtypes = [kind for part in typing.get_args(array)[1:] for kind in typing.get_args(part)]
    return "_SupportsArray" in str(array) or any(isinstance(kind, type) for kind in dtypes)


def unit_of(name: str, annotation: Any) -> str:
    """The unit of a real number, or of an array of them, of that name; empty if it has none."""
    kinds = [annotation, *typing.get_args(annotation)]
    reals = [array for array in arrays_in(annotation) if not re.search(r"int\d|bool", str(array))]
    if float in kinds or reals or (int in kinds and re.fullmatch(COUNTS_TOO, name)):
        return next((unit for known, unit in UNITS.items() if re.fullmatch(known, name)), "")
    return ""


@functools.cache
def raised(module: str, name: str, *, deeper: bool = True) -> set[type[QhyperError]]:
    """Our errors that a function raises, itself or in private ones of its module."""
    scope, found = vars(sys.modules[module]), set()
    for node in ast.walk(tree(module).get(name, ast.Pass())):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            made = scope.get(ast.unparse(node.exc.func))
            if inspect.isfunction(made):  # such as `unknown`
                made = hints(made).get("return")
            found |= {made} if isinstance(made, type) and issubclass(made, QhyperError) else set()
        elif deeper and isinstance(node, ast.Call):
            called = re.sub(r"^(self|cls)\.", f"{name.partition('.')[0]}.", ast.unparse(node.func))
            if called.rpartition(".")[2].startswith("_"):
                found |= raised(module, called, deeper=False)
    return found


# -- what a docstring lacks ------------------------------------------------------------------------


def lacks(name: Name) -> Iterator[str]:
    """What the docstring lacks: the rule, and words."""
    if not name.own.partition("\n")[0].endswith("."):
        yield "sentence: a first line that is a sentence and ends in a full stop"
    given = values(name)
    returned = given.pop("return", None)
    for key, annotation in given.items():
        arrays = list(arrays_in(annotation))
        said = [part for part in sentences(name.text) if says(part, key)]
        if arrays and not any(map(SHAPE.search, said)):
            yield f"shape: axes such as [row, class] in a sentence that names {key}"
        if not all(map(has_dtype, arrays)) and not DTYPE.search(name.text):
            yield f"dtype: the dtype of {key}, such as float64"
        unit = unit_of(key, annotation)
        alike = "|".join(k for k, of in given.items() if unit_of(k, of) == unit)
        if unit and not any(
            says(part, alike) and says(part, unit) for part in sentences(name.text)
        ):
            yield f"unit: {unit} in a sentence that names {key}"
    if name.function is not None:
        yield from lacks_of_returned(name, given, returned)
    for error in sorted(errors_of(name), key=lambda error: error.__name__):
        kinds = "|".join(kind.__name__ for kind in error.__mro__ if issubclass(kind, QhyperError))
        if not says(name.own, kinds):
            yield f"error: Raises {error.__name__} if ..."


def lacks_of_returned(name: Name, given: dict[str, Any], returned: Any) -> Iterator[str]:
    assert name.function is not None
    arrays, said = list(arrays_in(returned)), [p for p in sentences(name.own) if SHAPE.search(p)]
    arguments = [key for key, value in given.items() if any(arrays_in(value))]
    shapes = len(SHAPE.findall(name.own)) - sum(any(says(p, k) for p in said) for k in arguments)
    parts = typing.get_args(returned) if typing.get_origin(returned) is tuple else [returned]
    if shapes < sum(any(arrays_in(part)) for part in parts):
        yield "shape: axes such as [row, class] of what is returned"
    if not all(map(has_dtype, arrays)) and not DTYPE.search(name.own):
        yield "dtype: the dtype of what is returned, such as float64"
    unit = unit_of(name.function.__name__, returned)
    if unit and not says(name.own, unit):
        yield f"unit: {unit}, of what is returned"


def errors_of(name: Name) -> set[type[QhyperError]]:
    if name.function is not None:
        return raised(name.function.__module__, name.function.__qualname__)
    return {
        error
        for base in filter(ours, name.home.__mro__)
        for method in ("__init__", "__post_init__")
        for error in raised(base.__module__, f"{base.__qualname__}.{method}")
    }


def says(part: str, words: str) -> bool:
    return pattern(words).search(part) is not None


@functools.cache
def pattern(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)


@functools.cache
def sentences(text: str) -> list[str]:
    return re.split(r"\n\s*\n|\n\s*- |(?<=[.!?;])\s+(?=[A-Z`(])", "\n" + text)


def test_every_public_name_says_all_of_it() -> None:
    found = sorted({f"{name.label}: lacks {gap}" for name in names() for gap in lacks(name)})
    assert not found, f"{len(found)} gaps:\n" + "\n".join(found)


def poor(bits: Bits, x: torch.Tensor, wait: float) -> tuple[Float, Float]:
    """Losses"""
    return _refused(bits)


def rich(bits: Bits, x: torch.Tensor, wait: float) -> tuple[Float, Float]:
    """Losses [draw] of bits [draw, bit] and their weights [draw].

    - x: float64 [row, feature]
    - wait: seconds at the most

    Raises ConfigurationError if there are no bits.
    """
    return _refused(bits)


def _refused(bits: Bits) -> Any:
    raise unknown("string of bits", str(bits), ())


def test_the_check_finds_what_is_lacking() -> None:
    found = {gap for name in names_of("poor", poor) for gap in lacks(name)}
    assert found == {
        "sentence: a first line that is a sentence and ends in a full stop",
        "shape: axes such as [row, class] in a sentence that names bits",
        "shape: axes such as [row, class] in a sentence that names x",
        "shape: axes such as [row, class] of what is returned",
        "dtype: the dtype of x, such as float64",
        "unit: seconds? in a sentence that names wait",
        "error: Raises ConfigurationError if ...",
    }
    assert [gap for name in names_of("rich", rich) for gap in lacks(name)] == []


def test_no_docstring_names_an_error_that_does_not_exist() -> None:
    paths = [path for package in OURS for path in sorted((ROOT / package).rglob("*.py"))]
    texts = {path: path.read_text("utf-8") for path in paths}
    there = {name for text in texts.values() for name in re.findall(r"^class (\w+)", text, re.M)}
    found = []
    for path, text in texts.items():
        if wrong := {*ERROR.findall(text)} - there - {*vars(builtins)}:
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
                    named = wrong & {*ERROR.findall(ast.get_docstring(node) or "")}
                    found += [(path.name, getattr(node, "name", ""), error) for error in named]
    assert found == []
