"""Help as plain text: groups of options, what is often used in one line each, and examples.

A command whose help in full fits a screen shows it. Of any other, `-h` shows the options that are
often used, by the first line of their help, and names the rest; `--help-all` shows everything.
"""

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import metadata
from textwrap import fill, wrap
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from qhyper.errors import nearest

SCREEN = 40
"""Lines of a help that is shown in full."""
COLUMN = 28
"""Where the texts of options begin."""
HELP = ("-h", "--help", "--help-all")
"""Names of the option for help, of every command."""
MEANT = {("submit", "--draws"): "--shots"}
"""What an option of other commands is called in one."""


class Heading(str):
    """A group of options in the help of a command.

    The options of `rest`, which has the same text, are only named where not everything is shown.
    """

    often = True

    @property
    def rest(self) -> "Heading":
        """The same group, for options that few need."""
        found = Heading(self)
        found.often = False
        return found


WHAT = Heading("What")
BUDGET = Heading("Budget of each seed")
SEARCH = Heading("Search of settings")
HOW = Heading("How")
TABLE = Heading("Your own data or loss")
NETWORK = Heading("The network")
WHERE = Heading("Where it runs")
DEVICES = Heading("Quantum computers")
OUTPUT = Heading("Output")
HEADINGS = (WHAT, BUDGET, SEARCH, HOW, TABLE, NETWORK, WHERE, DEVICES, OUTPUT)
"""In their order in a help."""


class Command(TyperCommand):
    """A command whose help is in groups."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Note whether everything is asked for, before the help is printed."""
        ctx.meta[HELP[-1]] = HELP[-1] in args
        with _nearest_named(self, ctx):
            return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Arguments, which a command is mostly called with, before options."""
        arguments = [param for param in self.params if param.param_type_name == "argument"]
        return [*map(_argument, arguments), "[OPTIONS]"]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write it, in full where that is asked for or fits a screen."""
        lines = list(_command(self, ctx, formatter.width, full=True))
        if len(lines) > SCREEN and not ctx.meta.get(HELP[-1]):
            lines = list(_command(self, ctx, formatter.width, full=False))
        formatter.write("\n".join(lines))


class Group(TyperGroup):
    """The command that holds all others: its help has a line for each, in groups."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the nearest option for one that there is not."""
        with _nearest_named(self, ctx):
            return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The same order as that of commands."""
        return ["COMMAND", "[OPTIONS]"]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write it."""
        groups: dict[str, list[tuple[str, str]]] = {}
        commands: dict[str, Any] = dict(self.commands)
        params: list[Any] = list(self.params)
        for name, command in commands.items():
            line = (name, _paragraphs(command.short_help or command.help)[0])
            groups.setdefault(str(command.rich_help_panel), []).append(line)
        lines = [
            _usage(self, ctx),
            "",
            fill(_paragraphs(self.help)[0], formatter.width),
        ]
        for heading, rows in groups.items():
            lines += ["", heading, *_rows(rows, formatter.width, column=12)]
        own = [(names_of(param), param.help or "") for param in params]
        lines += ["", "Options", *_rows([("-h, --help", "This help; of a command: its own."), *own],
                                        formatter.width)]  # fmt: skip
        lines += [*_examples(self), "", f"Documentation: {_documentation()}"]
        formatter.write("\n".join(lines))


def _command(command: Command, ctx: Any, width: int, *, full: bool) -> Iterator[str]:
    """The lines of a command's help."""
    yield _usage(command, ctx)
    paragraphs = _paragraphs(command.help)
    for paragraph in paragraphs if full else paragraphs[:1]:
        yield ""
        yield fill(paragraph, width)
    for heading, params in grouped(command.params).items():
        listed = [param for param in params if full or getattr(heading_of(param), "often", True)]
        named = ", ".join(_flags(param) for param in params if param not in listed)
        yield ""
        if not listed:
            yield from wrap(f"{heading}: {named}", width, subsequent_indent="  ",
                            break_on_hyphens=False)  # fmt: skip
            continue
        yield heading
        yield from _rows(((names_of(param), _text(param, full)) for param in listed), width)
        if heading == OUTPUT and not full:
            yield from _rows([(HELP[-1], "Every option in full.")], width)
        if named:
            yield from wrap(f"also: {named}", width, initial_indent="  ",
                            subsequent_indent="        ", break_on_hyphens=False)  # fmt: skip
    yield from _examples(command)


def _usage(command: Command | Group, ctx: Any) -> str:
    return " ".join(("Usage:", ctx.command_path, *command.collect_usage_pieces(ctx)))


@contextmanager
def _nearest_named(command: Command | Group, ctx: Any) -> Iterator[None]:
    """Within, an option that there is not is refused in our words."""
    try:
        yield
    except Exception as caught:
        error: Any = caught
        got = getattr(error, "option_name", None)
        if got and hasattr(error, "possibilities"):  # it is typer's NoSuchOption
            meant = MEANT.get((str(ctx.info_name), got))
            near = nearest(got, _options(command.get_params(ctx))) if len(got) > 2 else None
            group = ctx.find_root().command
            others = [name for name, each in group.commands.items() if got in _options(each.params)]
            error.possibilities = None
            error.message = f"No such option: {got}."
            if meant:
                error.message += f" In {ctx.info_name} it is {meant}."
            elif near:
                error.message += f" Did you mean {near}?"
            if others:
                error.message += f" It is one of qhyper {', qhyper '.join(others)}."
        raise


def _options(params: Iterable[Any]) -> list[str]:
    """All names of options."""
    return [name for param in params for name in (*param.opts, *param.secondary_opts)]


def heading_of(param: Any) -> str:
    """The group that an option stands in."""
    return param.rich_help_panel or (WHAT if param.param_type_name == "argument" else OUTPUT)


def grouped(params: Iterable[Any]) -> dict[str, list[Any]]:
    """Options by their headings, these in their order."""
    found: dict[str, list[Any]] = {heading: [] for heading in HEADINGS}
    for param in params:
        found.setdefault(heading_of(param), []).append(param)
    return {heading: listed for heading, listed in found.items() if listed}


def _rows(rows: Iterable[tuple[str, str]], width: int, column: int = COLUMN) -> Iterator[str]:
    """Names, and what they mean beside them."""
    for name, text in rows:
        lines = wrap(text, width - column, break_on_hyphens=False) or [""]
        first = f"  {name}"
        if len(first) > column - 2:
            yield first
            first = ""
        yield f"{first:<{column}}{lines[0]}".rstrip()
        for line in lines[1:]:
            yield " " * column + line


def names_of(param: Any) -> str:
    """An option with what it takes, or an argument."""
    if param.param_type_name == "argument":
        return _argument(param)
    flag = getattr(param, "is_flag", False)
    return _flags(param) + ("" if flag else f" {param.metavar or 'TEXT'}")


def _flags(param: Any) -> str:
    """An option alone."""
    return "/".join((*param.opts, *param.secondary_opts))


def _argument(param: Any) -> str:
    """An argument as it stands in the usage: in brackets where it can be left out."""
    name = param.metavar or str(param.name).upper()
    name += "..." * (param.nargs != 1)
    return name if param.required else f"[{name}]"


def _text(param: Any, full: bool) -> str:
    """What an option means: in one line, or in full."""
    lines = (param.help or "").splitlines() or [""]
    return " ".join(lines) if full else lines[0]


def _paragraphs(text: str | None) -> list[str]:
    """The paragraphs of a docstring, each in one line."""
    parts = inspect.cleandoc(text or "").split("\n\n")
    return [" ".join(part.split()) for part in parts]


def _examples(command: Any) -> Iterator[str]:
    """The epilog, as it stands."""
    if command.epilog:
        yield ""
        yield "Examples"
        yield from (f"  {line}" for line in inspect.cleandoc(command.epilog).splitlines())


def _documentation() -> str:
    """Where it is, as the installed package says."""
    listed = metadata("qhyper").get_all("Project-URL") or []
    urls = dict(entry.split(", ", 1) for entry in listed)
    return urls.get("Documentation", "README.md and docs/ of the source")


def show_version(value: bool) -> None:
    """Print the version and stop, if that is asked for."""
    if value:
        print(f"qhyper {metadata('qhyper')['Version']}")
        raise typer.Exit
