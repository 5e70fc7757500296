"""What options there are, and what docstrings say of them: what the reference is made of."""

import ast
import inspect
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from qhyper import registry

OURS: Mapping[str, tuple[str, ...]] = {
    "generator": ("n_bits", "seeds", "layout"),
    "control": ("n_bits",),
    "estimator": ("shots", "value"),
    "ansatz": ("layout", "order"),
    "target": ("dataset",),
    "data set": ("seed",),
    "loss": ("logits",),
}
"""Arguments that a run gives by itself: no options."""
_BULLET = re.compile(r"- (\w+(?:, \w+)*): (.*)")
_WORDS = {
    int: "whole number", float: "number", str: "text", Path: "path", bool: "`true` or `false`",
    Any: "anything",
}  # fmt: skip


@dataclass(frozen=True)
class Option:
    """An option or a setting, as a row of a table."""

    name: str
    values: str
    default: str
    meaning: str


def registered() -> list[tuple[str, str]]:
    """(kind, name) of everything of ours that has a name."""
    return [
        (kind, name)
        for kind in registry.KINDS
        for name in registry.names(kind)
        if registry.packages(kind, name) == ["qhyper"]
    ]


def options(kind: str, name: str) -> list[Option]:
    """The options of what is registered as `name`, each with the meaning that its bullet gives."""
    factory = registry.find(kind, name)
    return read(registry.options_of(kind, name, factory, ours=OURS.get(kind, ())), text_of(factory))


def read(parameters: Mapping[str, inspect.Parameter], text: str) -> list[Option]:
    """Options of arguments, with what `text` says of them: "" where it says nothing."""
    meanings = bullets(text)
    return [
        Option(
            "…" if parameter.kind is parameter.VAR_KEYWORD else name,
            "" if parameter.kind is parameter.VAR_KEYWORD else values(parameter.annotation),
            "" if parameter.kind is parameter.VAR_KEYWORD else default(parameter.default),
            meanings.get(name, ""),
        )
        for name, parameter in parameters.items()
    ]


def fields(model: Any) -> list[Option]:
    """The settings of a pydantic model, each with the docstring that follows it."""
    meanings = _docstrings(model)
    return [
        Option(
            name,
            values(field.annotation),
            "has to be given" if field.is_required() else default(field.default),
            meanings.get(name, ""),
        )
        for name, field in model.model_fields.items()
    ]


def text_of(factory: Callable[..., Any]) -> str:
    """The docstring of a class, a function, or what a partial calls."""
    return inspect.getdoc(getattr(factory, "func", factory)) or ""


def fixed(factory: Callable[..., Any]) -> Mapping[str, Any]:
    """What a name stands for besides: the arguments that a partial fixes."""
    return getattr(factory, "keywords", {})


def first_sentence(text: str) -> str:
    """The first paragraph of a docstring."""
    return " ".join(text.split("\n\n")[0].split())


def bullets(text: str) -> dict[str, str]:
    """What the bullets `- name: text` of a docstring say, by name."""
    found: dict[str, str] = {}
    names: Sequence[str] = ()
    for line in text.splitlines():
        if bullet := _BULLET.fullmatch(line):
            names = bullet[1].split(", ")
            said = bullet[2]
        elif names and line.startswith("  "):
            said = f"{found[names[0]]} {line.strip()}"
        else:
            names = ()
            continue
        found |= dict.fromkeys(names, said)
    return found


def default(value: Any) -> str:
    """A default as TOML has it; a dash where there is none."""
    if value is inspect.Parameter.empty:
        return "has to be given"
    if value is None:
        return "–"
    return f"`{value if isinstance(value, str) else _toml(value)}`"


def values(annotation: Any) -> str:
    """What an option can be, in words; classes, which only Python can give, are left out."""
    if get_origin(annotation) in (Union, types.UnionType):
        several = [values(one) for one in get_args(annotation) if one is not type(None)]
        return " or ".join(dict.fromkeys(one for one in several if one))
    if get_origin(annotation) is Literal:
        return ", ".join(default(one) for one in get_args(annotation))
    if annotation in _WORDS:
        return _WORDS[annotation]
    origin, inner = get_origin(annotation) or annotation, get_args(annotation)
    if not isinstance(origin, type):
        return ""
    if issubclass(origin, Mapping):
        return "table"
    if issubclass(origin, Sequence):
        item = values(inner[0]) if inner and inner[0] is not Any else ""
        return f"list of {_several(item)}" if item else "list"
    return "table" if hasattr(origin, "model_fields") else ""


def _several(item: str) -> str:
    plurals = {"whole number": "whole numbers", "number": "numbers", "text": "texts"}
    plurals |= {"table": "tables", "anything": "values"}
    return plurals.get(item, item.replace("list of", "lists of", 1))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key} = {_toml(one)}' for key, one in value.items())}}}"
    if isinstance(value, float):
        return f"{value:,.10g}".replace(",", "") if value < 1e6 else f"{value:g}"
    return f'"{value}"' if isinstance(value, str) else str(value)


@cache
def _docstrings(model: Any) -> dict[str, str]:
    """Docstrings of the fields of a class and of what it inherits from, by name."""
    found: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if not hasattr(owner, "model_fields") or not owner.__module__.startswith("qhyper"):
            continue
        (tree,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(owner))).body
        assert isinstance(tree, ast.ClassDef)
        for one, after in zip(tree.body, tree.body[1:], strict=False):
            said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and said:
                found[one.target.id] = " ".join(str(after.value.value).split())  # type: ignore
    return found
