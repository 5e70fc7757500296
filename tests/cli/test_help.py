"""The help of every command says what its options were given to say."""

import pytest
import typer

from qhyper.cli.main import app


def commands(command, path=()):
    """All commands, as words of the command line, with those of groups."""
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


def squeezed(text):
    """Without what only lays a text out: spaces, line ends and borders."""
    return "".join(text.replace("│", "").split())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_keeps_its_brackets(path, cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    code, out, _ = cli(*path, "--help")
    assert code == 0
    for parameter in COMMANDS[path].params:
        text = (getattr(parameter, "help", None) or "").replace("\\[", "[")
        assert squeezed(text) in squeezed(out), parameter.name
    assert ("[row, class] and labels [row]" in " ".join(out.replace("│", " ").split())) == (
        "--loss" in out
    )
