"""What entries name, checked before it is imported: torch alone takes longer than a refusal may.

Names are looked up among the registered ones, and their options in the source of what is
registered. What the source does not tell is checked when the thing is built.
"""

import ast
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from inspect import Parameter
from pathlib import Path
from typing import Any

from qhyper import registry
from qhyper.errors import unknown
from qhyper.quantum.backends import check_backend_name
from qhyper.run.config import Entry, TrainingSettings
from qhyper.training.search import is_control

_POSITIONAL = {"generator": 1, "control": 1}
"""How many arguments we give by position: the number of bits."""
_GIVEN = {
    "generator": {"seeds", "layout"},
    "estimator": {"shots", "value"},
    "ansatz": {"order", "layout"},
}
"""Arguments that we give by name."""

_NO_CHOICE = {"Optimizer", "SparseAdam", "LRScheduler", "ReduceLROnPlateau"}
"""Classes of torch.optim that are no optimisers or schedules of ours."""


def check_named(entries: Iterable[Entry]) -> None:
    """Raise ConfigurationError for a name or an option that is not known, as building would."""
    for entry in entries:
        kind = "generator" if ":" in entry.name or not is_control(entry.name) else "control"
        _check(kind, entry.name, entry.options)
        if isinstance(backend := entry.options.get("backend"), str):
            check_backend_name(backend)
        if kind == "generator":
            training = TrainingSettings(**entry.training)
            _check("estimator", training.estimator, training.estimator_options)
            _check("risk", training.risk, training.risk_options)
            _check_torch("optimiser of torch.optim", training.optimizer, "__init__.py")
            _check_torch("schedule of torch.optim.lr_scheduler", training.schedule,
                         "lr_scheduler.py", besides=("constant", "linear"))  # fmt: skip


def _check(kind: str, name: str, options: Mapping[str, Any]) -> None:
    """Check a registered name and its options; of `module:Class` nothing is known yet."""
    if ":" in name:
        return
    if not registry.is_registered(kind, name):
        registry.find(kind, name)  # says what is known
    found = in_source(kind, name)
    if found is None:
        return
    registry.check_options(kind, name, found.options, options)
    for key, parameter in found.options.items():
        if parameter.kind is parameter.VAR_KEYWORD and key.endswith("_options"):
            # such as **ansatz_options, for which the option `ansatz` says what they are of
            of = key.removesuffix("_options")
            default = found.options[of].default if of in found.options else None
            rest = {**found.fixed, **options}
            chosen = rest.pop(of, default)
            own = {key: value for key, value in rest.items() if key not in found.options}
            if of in registry.KINDS and isinstance(chosen, str):
                _check(of, chosen, own)


def _check_torch(word: str, name: str, file: str, besides: tuple[str, ...] = ()) -> None:
    """Refuse a name that a file of torch.optim has no class for."""
    in_torch = _torch_classes(file)
    if in_torch is None:  # torch will say it itself
        return
    known = in_torch | set(besides)
    if name not in known:
        raise unknown(word, name, known)


@cache
def _torch_classes(file: str) -> frozenset[str] | None:
    """What can be chosen of a file of torch.optim, None where there is none; torch stays out."""
    found = importlib.util.find_spec("torch")
    places = (found and found.submodule_search_locations) or []
    try:
        body = ast.parse(Path(places[0], "optim", file).read_text(encoding="utf-8")).body
    except (IndexError, OSError):
        return None
    known = {node.name for node in body if isinstance(node, ast.ClassDef)}
    for node in body:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("torch.optim."):
            known |= {alias.name for alias in node.names}
    return frozenset(name for name in known - _NO_CHOICE if name[0].isupper())


# -- what a source tells ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """What the source of a registered thing tells."""

    options: dict[str, Parameter]
    """as `registry.options_of` has them; annotations are those of numbers alone"""
    fixed: dict[str, Any] = field(default_factory=dict)
    """what a functools.partial fixes, where that is a plain value"""


def in_source(kind: str, name: str) -> Source | None:
    """What the source of the thing registered as `name` tells of it, None if that is nothing."""
    try:
        module, _, attribute = (registry.where(kind, name) or "").partition(":")
        found = importlib.util.find_spec(module)
        tree = ast.parse(Path(str(found and found.origin)).read_text(encoding="utf-8"))
    except Exception:  # a package can fail in any way, and says so when it is loaded
        return None
    source = _definition(tree, attribute)
    if source is None:
        return None
    ours = list(source.options)[: _POSITIONAL.get(kind, 0)]
    given = {*ours, *_GIVEN.get(kind, ())}
    return replace(source, options={k: p for k, p in source.options.items() if k not in given})


def _definition(tree: ast.Module, name: str) -> Source | None:
    """What a module's source tells of a function, a class or a partial in it."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name and not node.decorator_list:
            return Source(_of_arguments(node.args))
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _of_class(node)
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == [name]:
            return _of_partial(tree, node.value)
    return None


def _of_class(node: ast.ClassDef) -> Source | None:
    decorators = [ast.unparse(each).partition("(")[0] for each in node.decorator_list]
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            arguments = _of_arguments(method.args)
            arguments.pop(next(iter(arguments)))  # self
            return Source(arguments) if not decorators else None
    if decorators != ["dataclass"]:
        return None
    own = [part for part in node.body if isinstance(part, ast.AnnAssign)]
    fields = [part for part in own if "ClassVar" not in ast.unparse(part.annotation)]
    names = [(ast.unparse(part.target), part.annotation, part.value) for part in fields]
    by_name = Parameter.POSITIONAL_OR_KEYWORD
    return Source({name: _parameter(name, by_name, *rest) for name, *rest in names})


def _of_partial(tree: ast.Module, node: ast.expr) -> Source | None:
    if not isinstance(node, ast.Call) or ast.unparse(node.func) != "partial":
        return None
    whole = _definition(tree, ast.unparse(node.args[0]))
    if whole is None or len(node.args) > 1:
        return None
    fixed = {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
    left = {key: p for key, p in whole.options.items() if key not in fixed}
    return Source(left, {**whole.fixed, **fixed})


def _of_arguments(arguments: ast.arguments) -> dict[str, Parameter]:
    """The parameters that a function's arguments are."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    found = [
        *((arg, Parameter.POSITIONAL_OR_KEYWORD, value)
          for arg, value in zip(positional, defaults, strict=True)),
        *((arg, Parameter.KEYWORD_ONLY, value)
          for arg, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)),
    ]  # fmt: skip
    parameters = {a.arg: _parameter(a.arg, kind, a.annotation, value) for a, kind, value in found}
    if arguments.vararg:
        name = arguments.vararg.arg
        parameters[name] = Parameter(name, Parameter.VAR_POSITIONAL)
    if arguments.kwarg:
        name = arguments.kwarg.arg
        parameters[name] = Parameter(name, Parameter.VAR_KEYWORD)
    return parameters


def _parameter(
    name: str, kind: Any, annotation: ast.expr | None, default: ast.expr | None
) -> Parameter:
    numbers = {"int": int, "float": float, "int | None": int | None, "float | None": float | None}
    expected = None if annotation is None else numbers.get(ast.unparse(annotation))
    return Parameter(
        name, kind,
        annotation=Parameter.empty if expected is None else expected,
        default=Parameter.empty if default is None else _value(default),
    )  # fmt: skip


def _value(node: ast.expr) -> Any:
    """The value that a literal stands for; its source, where it is none."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
