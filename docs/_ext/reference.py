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
from typing import Any

import described
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from qhyper import registry
from qhyper.cli import help as cli_help


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
            usage = ["qhyper", name, *command.collect_usage_pieces(None)]
            yield f"```text\n{' '.join(usage)}\n```\n"
            yield from self.parameters(command)
            if command.epilog:
                yield f"{help_of(command.epilog)}\n"

    def parameters(self, command: Any) -> Iterable[str]:
        """Its arguments and options: a table for each group of the help."""
        for heading, parameters in cli_help.grouped(command.params).items():
            yield f"| {heading} | meaning |\n|---|---|"
            for parameter in parameters:
                yield row(self.cells(parameter))
            yield ""

    def cells(self, parameter: Any) -> Sequence[str]:
        """A row of one of them."""
        default = parameter.default
        usual = default not in (None, False, True, (), []) and not callable(default)
        told = f" (`{default}`)" if usual and str(default) not in parameter.help else ""
        return f"`{cli_help.names_of(parameter)}`", f"{help_of(parameter.help)}{told}"


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
    """Help of the command line as Markdown: paragraphs, and examples as code."""
    paragraphs = re.split(r"\n\s*\n", (text or "").strip())
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
