"""Directives of the reference: tables of options and settings, and the command line's commands.

`{options} estimator` is every registered one, with a section each; `{settings} module:Name` the
fields of a model, or the keyword arguments of a class; `{commands} module:app` a command line.
"""

import importlib
import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import described
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from qhyper import registry


class Generated(SphinxDirective):
    """A directive whose content is Markdown that it writes itself."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """The nodes of what was written."""
        text = "\n".join(self.lines(self.arguments[0]))
        return self.parse_text_to_nodes(text, allow_section_headings=True)

    def lines(self, argument: str) -> Iterable[str]:
        """The Markdown."""
        raise NotImplementedError


class Options(Generated):
    """All that is registered of a kind: a section each, with a table of its options."""

    def lines(self, argument: str) -> Iterable[str]:
        """The Markdown."""
        for kind, name in described.registered():
            if kind == argument:
                yield from self.one(kind, name)

    def one(self, kind: str, name: str) -> Iterable[str]:
        """The section of one name."""
        factory = registry.find(kind, name)
        text = described.text_of(factory)
        yield f"({registry.KINDS[kind].group.removeprefix('qhyper.')}-{name})="
        yield f"## `{name}`\n"
        yield f"{plain(described.first_sentence(text))}\n"
        stands = [f"`{key} = {value!r}`".replace("'", '"')
                  for key, value in described.fixed(factory).items()]  # fmt: skip
        if stands:
            yield f"The name stands for {' and '.join(stands)}.\n"
        where = str(registry.where(kind, name)).replace(":", ".")
        yield f"In Python: {{py:class}}`{where}`.\n"
        found = [self.as_named(name, factory, one) for one in described.options(kind, name)]
        yield from table(found, "option") if found else ["No options.\n"]

    def as_named(self, name: str, factory: Any, one: described.Option) -> described.Option:
        """An option as a row: what stands after the colon of a name says so."""
        if one.name != getattr(factory, "after_colon", None):
            return one
        where = f"after the colon, as `{name}:{one.name.upper()}`"
        return replace(one, meaning=f"{where}; {one.meaning}")


class Settings(Generated):
    """A table of the fields of a model, or of the keyword arguments of a class, `module:Name`."""

    def lines(self, argument: str) -> Iterable[str]:
        """The Markdown."""
        path, *left_out = argument.split()
        found = registry.load_object(path)
        if hasattr(found, "model_fields"):
            rows = described.fields(found)
        else:
            known = registry.options_of("service", path, found, ours=left_out)
            rows = described.read(known, described.text_of(found))
        return table([row for row in rows if row.name not in left_out], "setting")


class Docstring(Generated):
    """The docstring of a module, as it stands."""

    def lines(self, argument: str) -> Iterable[str]:
        """The Markdown."""
        text = inspect.getdoc(importlib.import_module(argument)) or ""
        for paragraph in text.split("\n\n")[1:]:
            tree = textwrap.dedent(paragraph)
            is_tree = "\n  " in tree
            yield f"```text\n{tree}\n```\n" if is_tree else f"{plain(tree).replace('::', ':')}\n"


class Commands(Generated):
    """The commands of a typer app, `module:app`: a section each, its options by their groups."""

    def lines(self, argument: str) -> Iterable[str]:
        """The Markdown."""
        import typer.main

        group: Any = typer.main.get_command(registry.load_object(argument))
        for name, command in sorted(group.commands.items()):
            yield f"(qhyper-{name})="
            yield f"## `qhyper {name}`\n"
            yield f"{help_of(command.help)}\n"
            asked = [_argument(p) for p in command.params if p.param_type_name == "argument"]
            yield f"```text\n{' '.join(['qhyper', name, '[OPTIONS]', *asked])}\n```\n"
            yield from self.parameters(command)
            if command.epilog:
                yield f"{help_of(command.epilog)}\n"

    def parameters(self, command: Any) -> Iterable[str]:
        """Its arguments, and its options: a table for each group of the help."""
        groups: dict[str, list[Any]] = {}
        for parameter in command.params:
            usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
            group = getattr(parameter, "rich_help_panel", None) or usual
            groups.setdefault(group, []).append(parameter)
        for group, parameters in groups.items():
            yield f"| {group} | meaning |\n|---|---|"
            for parameter in parameters:
                yield row(self.cells(parameter))
            yield ""

    def cells(self, parameter: Any) -> Sequence[str]:
        """A row of one of them."""
        if parameter.param_type_name == "argument":
            shown = f"`{_argument(parameter)}`"
        else:
            value = "" if parameter.is_flag else f" {_value(parameter)}"
            *others, last = (*parameter.opts, *parameter.secondary_opts)
            shown = ", ".join(f"`{name}`" for name in (*others, f"{last}{value}"))
        default = parameter.default
        usual = default not in (None, False, True, (), []) and not callable(default)
        told = f" (`{default}`)" if usual and str(default) not in parameter.help else ""
        return shown, f"{help_of(parameter.help)}{told}"


_VALUES = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}


def _argument(parameter: Any) -> str:
    """An argument as usage lines have it."""
    name = (parameter.metavar or parameter.name).upper().strip("[]")
    return (name if parameter.required else f"[{name}]") + ("..." if parameter.nargs == -1 else "")


def _value(parameter: Any) -> str:
    """What stands after an option."""
    annotation = parameter.type_descriptor.annotation
    of_one = get_args(annotation)[0] if get_args(annotation) else annotation
    return parameter.metavar or _VALUES.get(of_one, "TEXT")


def table(rows: Sequence[described.Option], head: str) -> Iterable[str]:
    """A table of options, in Markdown."""
    yield f"| {head} | values | default | meaning |\n|---|---|---|---|"
    for one in rows:
        yield row([f"`{one.name}`", one.values, one.default, plain(one.meaning)])
    yield ""


def row(cells: Sequence[str]) -> str:
    """A row of a table in Markdown; a bar would end its cell."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def plain(text: str) -> str:
    """Text of a docstring as Markdown: what is in backticks is code, and nothing else is markup."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"([*_<>\[\]$])", r"\\\1", part) for part in parts
    )


def help_of(text: str | None) -> str:
    """Help of the command line as Markdown: paragraphs, with rich's markup and marks removed."""
    bare = (text or "").replace("\b", "").replace("\\[", "[")
    paragraphs = re.split(r"\n\s*\n", bare.strip())
    return "\n\n".join(_paragraph(one) for one in paragraphs)


def _paragraph(text: str) -> str:
    lines = [line.rstrip() for line in text.splitlines()]
    if any(line.lstrip().startswith(("qhyper ", "$ qhyper ")) for line in lines):  # examples
        return "\n".join(["```sh", *(line.strip() for line in lines), "```"])
    text = " ".join(line.strip() for line in lines)
    return plain(re.sub(r"(?<![\w`-])--[a-z][a-z-]*", r"`\g<0>`", text))


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx of the directives."""
    app.add_directive("options", Options)
    app.add_directive("settings", Settings)
    app.add_directive("commands", Commands)
    app.add_directive("docstring", Docstring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
