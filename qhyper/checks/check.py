"""check: the contracts of a kind, tried on one of its things, by name or as an object."""

import inspect
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qhyper import registry
from qhyper.checks import (
    ansatz,
    control,
    data_set,
    estimator,
    generator,
    loss,
    risk,
    service,
    simulator,
    target,
)
from qhyper.checks.finding import Check, Finding, examine, in_words
from qhyper.compose.module import from_module
from qhyper.data.sets import load
from qhyper.errors import ConfigurationError, MissingError, QhyperError, unknown
from qhyper.gradients.estimator import build_estimator
from qhyper.hypernetwork import build_generator, is_plain_module
from qhyper.quantum.ansatz import build_ansatz
from qhyper.quantum.backends import build_backend
from qhyper.risk import build_risk
from qhyper.targets.layout import Block, Layout
from qhyper.targets.own_loss import takes_labels
from qhyper.threads import one_torch_thread
from qhyper.training.search import build_control

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Report:
    """What the checks of one thing found."""

    name: str
    kind: str
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not any(finding.problem for finding in self.findings)

    def __repr__(self) -> str:
        return f"Report({self.name}, {self.kind}: {self.summary})"

    def __str__(self) -> str:
        return "\n".join([_heading(self.name, self.kind), *map(str, self.findings), self.summary])

    @property
    def summary(self) -> str:
        """How many checks were tried, and how many found something wrong."""
        wrong = sum(finding.problem is not None for finding in self.findings)
        tried = sum(finding.left_out is None for finding in self.findings)
        return f"{tried} check{'s' * (tried != 1)}, {wrong} wrong"

    def to_json(self) -> dict[str, Any]:
        """Name, kind, whether all is well, and every check with what it found."""
        checks = [{**vars(f), "ok": f.problem is None} for f in self.findings]
        return {"name": self.name, "kind": self.kind, "ok": self.ok, "checks": checks}


def check(
    what: Any,
    *,
    kind: str | None = None,
    options: Options | None = None,
    bits: int | None = None,
    data: str = "toy",
    say: Callable[[str], None] | None = None,
) -> list[Report]:
    """Try the contracts of its kind on a generator, estimator, risk, control or whatever has one.

    `what` is a registered name, `module:Class`, a class, a function that makes one, or the thing
    itself. `kind` is one of the registry's (`qhyper.registry.KINDS`), found out from what it has
    unless told; a name that several kinds have is tried as each of them. `options` are its own.
    `bits` are those of a generator or control, 8 with the layout of a network 2-2-2 unless told;
    `data` is the data set that a target is made for. Nothing is sent to a service that may charge.
    `say` gets the lines of the reports, each as soon as it is known.

    Raises ConfigurationError for an unknown name or kind, and for what is of no kind.
    """
    name = what if isinstance(what, str) else getattr(what, "__name__", type(what).__name__)
    kinds = [_checked_kind(kind)] if kind else kinds_of(what)
    say, reports = say or _silent, list[Report]()
    with one_torch_thread():
        for each in kinds:
            if reports:
                say("")
            reports.append(_report(each, name, what, dict(options or {}), bits, data, say))
    return reports


def _silent(line: str) -> None:
    pass


def _heading(name: str, kind: str) -> str:
    return f"{name}, as {_a(kind)}"


def _checked_kind(kind: str) -> str:
    spelled = kind.replace("-", " ").replace("_", " ")
    if spelled not in registry.KINDS:
        raise unknown("kind", kind, registry.KINDS)
    return spelled


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "ae" else f"a {kind}"


# -- which kind ------------------------------------------------------------------------------------


def kinds_of(what: Any) -> list[str]:
    """The kinds that a name, class, function or object is of; ConfigurationError if of none."""
    if isinstance(what, str):
        head = what.partition(":")[0]
        registered = [kind for kind in registry.KINDS if registry.is_registered(kind, head)]
        if ":" not in what and not registered:
            every = {name for kind in registry.KINDS for name in registry.names(kind)}
            raise unknown("name", what, every)
        if registered and (":" not in what or any(_after_colon(kind, head) for kind in registered)):
            return registered
        return kinds_of_object(what, registry.load_object(what))
    return kinds_of_object(getattr(what, "__name__", type(what).__name__), what)


def _after_colon(kind: str, head: str) -> bool:
    return hasattr(registry.find(kind, head), "after_colon")


def kinds_of_object(name: str, found: Any) -> list[str]:
    """The kind of an object by what it has, of a function by what it takes."""
    if is_plain_module(found):
        return ["generator"]
    having = [kind for kind, its in registry.KINDS.items() if its.has and _has(found, its)][:1]
    having = having or [k for k, holds in _HOLDS.items() if all(hasattr(found, a) for a in holds)]
    if not having and callable(found) and not isinstance(found, type):
        having = _kind_of_function(found)
    if not having and inspect.isroutine(found):
        raise ConfigurationError(
            f"'{name}' is a function, which is not called to find out what it makes. Say so with "
            f"--kind: {', '.join(registry.KINDS)}. {_AS_USED.format(name)}"
        )
    if not having:
        wanted = "; ".join(
            f"{kind}: {', '.join(its.has)}" for kind, its in registry.KINDS.items() if its.has
        )
        raise ConfigurationError(
            f"'{name}' is of no kind that can be checked, which have ({wanted}). "
            "Write what is missing, or say with --kind what it is to be: "
            f"{', '.join(registry.KINDS)}. {_AS_USED.format(name)}"
        )
    return having


_AS_USED = (
    "A circuit is tried as the generator that it makes: qhyper check quantum --option ansatz={0} "
    "--bits N; a loss of bits as its target: qhyper check callable --kind target --option "
    "function={0} --option bits=N."
)
"""What is of no kind, but used by one."""


_HOLDS = {kind: its.holds for kind, its in registry.KINDS.items() if its.holds and not its.has}


def _has(found: Any, its: registry.Kind) -> bool:
    """Whether it has the methods of a kind; once it is made, what things of it hold besides.

    By methods alone every torch module would be a simulator: it has `compile`.
    """
    wanted = its.has if isinstance(found, type) else (*its.has, *its.holds)
    return all(hasattr(found, attribute) for attribute in wanted)


def _kind_of_function(function: Callable[..., Any]) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return []
    needed = [key for key, p in parameters.items() if p.default is p.empty and p.kind in (0, 1)]
    if "seeds" in parameters and needed == ["n_bits"]:
        return ["generator"]
    if "dataset" in needed:
        return ["target"]
    if (needed and needed[0] == "logits") or _sees_labels(function):
        return ["loss"]
    return []


def _sees_labels(function: Callable[..., Any]) -> bool:
    try:
        return takes_labels(function)
    except ConfigurationError:
        return False


# -- how it is made and tried ----------------------------------------------------------------------


def _report(
    kind: str,
    name: str,
    what: Any,
    options: Options,
    bits: int | None,
    data: str,
    say: Callable[[str], None],
) -> Report:
    say(_heading(name, kind))
    found = []
    for finding in _findings(kind, name, what, options, bits, data):
        found.append(finding)
        say(str(finding))
    report = Report(name, kind, found)
    say(report.summary)
    return report


def _findings(
    kind: str, name: str, what: Any, options: Options, bits: int | None, data: str
) -> Iterator[Finding]:
    layout = generator.LAYOUT if bits is None else Layout((Block("bits", (bits,)),))
    with ExitStack() as stack:
        asked = _Asked(kind, name, what, options, layout, data, stack)
        try:
            subject, checks = _SUBJECTS[kind](asked)
        except MissingError as error:
            yield Finding("It can be made here", left_out=str(error))
        except QhyperError as error:
            yield Finding("It can be made", _by_option(str(error)))
        except Exception as error:  # somebody's own code can fail in any way
            yield Finding("It can be made", in_words(error))
        else:
            yield Finding("It can be made")
            yield from examine(checks, subject)


def _by_option(words: str) -> str:
    """The words with options as this command takes them, not as a configuration has them."""
    one = re.sub(r"\b([Ss]et it) as (?:\w+_)?options\.(\w+)", r"\1 by --option \2=…", words)
    return re.sub(r"\bset them as (?:\w+_)?options\b", "set them by --option KEY=VALUE", one)


@dataclass(frozen=True)
class _Asked:
    """What is to be tried, and with what."""

    kind: str
    name: str
    what: Any
    options: Options
    layout: Layout
    data: str
    stack: ExitStack

    @property
    def by_name(self) -> bool:
        return isinstance(self.what, str)

    def made(self, *arguments: Any, **offered: Any) -> Any:
        """The thing, of a class or function of one's own, or as it is."""
        if not isinstance(self.what, type) and not inspect.isroutine(self.what):
            registry.check_made(self.kind, self.name, self.what)
            return self.what
        return registry.make(
            self.kind, self.name, self.what, *arguments, options=self.options, offered=offered
        )


Tried = tuple[Any, tuple[Check, ...]]


def _generator(asked: _Asked) -> Tried:
    n_bits, layout, options = asked.layout.n_bits, asked.layout, asked.options

    def make(seeds: Any) -> Any:
        if asked.by_name:
            return build_generator(asked.name, n_bits, seeds=seeds, layout=layout, options=options)
        if is_plain_module(asked.what):
            return from_module(n_bits, module=asked.what, name=asked.name, options=options,
                               layout=layout, seeds=seeds)  # fmt: skip
        return asked.made(n_bits, seeds=tuple(seeds), layout=layout)

    if not asked.by_name and not callable(asked.what):
        raise ConfigurationError("Got a generator that is made already; pass its class instead.")
    make(generator.SEEDS)
    return generator.Generator(make), generator.CHECKS


def _control(asked: _Asked) -> Tried:
    def make() -> Any:
        if asked.by_name:
            return build_control(asked.name, control.N, asked.options)
        return asked.made(control.N)

    make()
    return control.Control(make), control.CHECKS


def _estimator(asked: _Asked) -> Tried:
    def make() -> Any:
        if asked.by_name:
            return build_estimator(asked.name, estimator.SHOTS, asked.options)
        return asked.made(shots=estimator.SHOTS, value=True)

    make()
    return estimator.Estimator(make), estimator.CHECKS


def _risk(asked: _Asked) -> Tried:
    made = build_risk(asked.name, asked.options) if asked.by_name else asked.made()
    return risk.Risk(made), risk.CHECKS


def _ansatz(asked: _Asked) -> Tried:
    layout = asked.layout
    if asked.by_name:
        order = list(range(layout.n_bits))
        return (
            ansatz.Ansatz(build_ansatz(asked.name, asked.options, order=order, layout=layout)),
            ansatz.CHECKS,
        )
    return ansatz.Ansatz(asked.made(layout=layout)), ansatz.CHECKS


def _simulator(asked: _Asked) -> Tried:
    name = {"pennylane": "pennylane:default.qubit"}.get(asked.name, asked.name)
    made = build_backend(name, asked.options) if asked.by_name else asked.made()
    return simulator.Simulator(made), simulator.CHECKS


def _target(asked: _Asked) -> Tried:
    options = {**_needed(asked), **asked.options}
    factory = registry.find("target", asked.name) if asked.by_name else asked.what
    data = None
    if not callable(factory):
        registry.check_made("target", asked.name, factory)
        made, data = factory, load(asked.data)
    else:
        if "dataset" in registry.options_of("target", asked.name, factory):
            data = load(asked.data)
        offered = {} if data is None else {"dataset": data}
        made = registry.make("target", asked.name, factory, options=options, offered=offered)
    return target.Target(made, target.some_rows(data)), target.CHECKS


def _needed(asked: _Asked) -> dict[str, Any]:
    """What our targets that are made of something of the user's are tried with."""
    if asked.name == "callable":
        return {"function": lambda bits: bits.sum(axis=1) ** 2, "bits": control.N}
    if asked.name == "table":
        folder = Path(asked.stack.enter_context(tempfile.TemporaryDirectory()))
        np.save(folder / "table.npy", control.TABLE)
        return {"path": str(folder / "table.npy")}
    return {}


def _loss(asked: _Asked) -> Tried:
    if not asked.by_name:
        raise ConfigurationError("A loss is checked by its name: 'module:function'.")
    return loss.Loss(asked.name), loss.CHECKS


def _data_set(asked: _Asked) -> Tried:
    def make(seed: int) -> Any:
        if asked.by_name:
            return load(asked.name, seed=seed, options=asked.options)
        return asked.made(seed=seed)

    maker = registry.find("data set", asked.name) if asked.by_name else asked.what
    known = registry.options_of("data set", asked.name, maker) if callable(maker) else ()
    return data_set.DataSet(make, "seed" in known), data_set.CHECKS


def _service(asked: _Asked) -> Tried:
    found = registry.find("service", asked.name) if asked.by_name else asked.what
    own = getattr(found, "func", found)
    kind = own if isinstance(own, type) else type(own)
    if not callable(found):
        registry.check_made("service", asked.name, found)
        return service.Service(kind, found), service.CHECKS
    known = registry.options_of("service", asked.name, found)
    needed = [
        key
        for key, p in known.items()
        if p.default is p.empty and p.kind not in (2, 4) and key not in asked.options
    ]
    if needed:
        why = f"no {' and no '.join(needed)} was given: --option {needed[0]}=…"
        return service.Service(kind, None, why), service.CHECKS
    made = registry.make("service", asked.name, found, options=asked.options)
    return service.Service(kind, made), service.CHECKS


_SUBJECTS: dict[str, Callable[[_Asked], Tried]] = {
    "generator": _generator,
    "control": _control,
    "estimator": _estimator,
    "risk": _risk,
    "ansatz": _ansatz,
    "simulator": _simulator,
    "service": _service,
    "target": _target,
    "data set": _data_set,
    "loss": _loss,
}
