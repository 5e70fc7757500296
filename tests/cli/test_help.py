"""The help of every command: in full, and what a first user needs of it on one screen."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest
import typer

from qhyper.cli.help import HEADINGS, heading_of
from qhyper.cli.main import app

GROUP = typer.main.get_command(app)
COMMANDS = GROUP.commands
LARGE = ["compare", "train", "certify", "tune", "submit"]
"""Those that have more options than a screen has room for."""


@pytest.fixture
def screen(cli, monkeypatch):
    """The lines of a help, on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def lines(*arguments):
        code, out, err = cli(*arguments)
        assert (code, err) == (0, "")
        return out.splitlines()

    return lines


def words(lines):
    return " ".join(" ".join(lines).split())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_in_full_says_what_every_option_was_given_to_say(name, screen):
    said = words(screen(name, "--help-all"))
    for parameter in COMMANDS[name].params:
        assert " ".join(parameter.help.split()) in said, parameter.name
        assert all(option in said for option in parameter.opts if option.startswith("--"))
    assert ("[row, class] and labels [row]" in said) == ("--loss" in said)
    assert " ".join(COMMANDS[name].help.split()) in said


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_fits_a_screen_and_names_every_option(name, screen):
    lines = screen(*filter(None, [name]), "-h")
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 80
    if name:
        said = words(lines)
        for parameter in COMMANDS[name].params:
            assert all(option in said for option in parameter.opts if option.startswith("--"))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_begins_with_usage_one_sentence_and_what_is_mostly_given(name, screen):
    lines = screen(name, "--help")
    assert lines[0].startswith(f"Usage: qhyper {name} ")
    assert lines[0].endswith("[OPTIONS]")
    assert lines[2].endswith(".")
    assert lines[3] == ""
    if name in LARGE:
        assert lines[4] == "What"
        assert lines[5].split()[0] in ("[DATA]", "RUN")
    assert "Examples" in lines
    examples = lines[lines.index("Examples") + 1 :]
    assert examples
    assert all(line.startswith("  qhyper ") for line in examples)


def test_every_option_of_a_large_command_has_a_place_in_a_group():
    for name in LARGE:
        for parameter in COMMANDS[name].params:
            assert heading_of(parameter) in HEADINGS, (name, parameter.name)


def test_what_is_shown_in_short_takes_one_line_each(screen):
    for name in LARGE:
        lines = screen(name, "-h")
        end = lines.index("Examples")
        assert not [line for line in lines[5:end] if line.startswith(" " * 20)], name


def test_all_names_of_the_option_for_help_say_the_same_where_everything_fits(screen):
    assert screen("runs", "-h") == screen("runs", "--help") == screen("runs", "--help-all")
    assert screen("compare", "-h") == screen("compare", "--help")
    assert len(screen("compare", "--help-all")) > len(screen("compare", "-h"))


def test_the_command_alone_says_what_there_is(screen):
    lines = screen()
    assert lines == screen("-h") == screen("--help")
    for name, command in COMMANDS.items():
        first = command.help.splitlines()[0]
        assert [line for line in lines if line == f"  {name:<10}{first}"], name
    assert len([line for line in lines if line.startswith("  qhyper ")]) == 3
    assert lines[-1].startswith("Documentation: ")


def test_the_version_is_that_of_the_package(screen):
    assert screen("--version") == [f"qhyper {version('qhyper')}"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "--evaluatoins", "5"], "No such option: --evaluatoins. Did you mean --eval"),
        (["train", "--lerning-rate=1"], "No such option: --lerning-rate. Did you mean --learning"),
        (["certify", "--bises"], "Did you mean --biases?"),
        (["comprae"], "No such command 'comprae'. Did you mean 'compare'?"),
        (["--verison"], "No such option: --verison. Did you mean --version?"),
        (["compare", "-x"], "No such option: -x."),
        (["submit", "r", "--draws", "9"], "No such option: --draws. In submit it is --shots."),
        (["compare", "--draws", "9"], "No such option: --draws. Did you mean --rows? It is one of "
         "qhyper train."),
        (
            ["train", "--generator", "quantum", "--option", "detph=3"],
            "'detph'. Did you mean 'depth'",
        ),
        (["train", "--generator", "mlp", "--option", "hiden=3"], "Did you mean 'hidden'"),
        (["train", "--training", "optimiser=SGD"], "Did you mean 'optimizer'"),
        (["compare", "--set", "evaluatons=3"], "Did you mean 'evaluations'"),
        (["compare", "--data-option", "sise=3", "--data", "mnist"], "Did you mean 'size'"),
    ],
)  # fmt: skip
def test_what_is_misspelt_comes_with_the_nearest_name(arguments, said, cli):
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())
    assert "Did you mean -h" not in err


def completed(line, monkeypatch, capsys):
    """What bash is told to complete a line with."""
    words = line.split(" ")
    monkeypatch.setenv("_QHYPER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    with pytest.raises(SystemExit) as stopped:
        app(prog_name="qhyper")
    assert not stopped.value.code
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("qhyper comp", ["compare"]),
        ("qhyper compare --evalu", ["--evaluations"]),
        ("qhyper compare --generators bernoulli,auto", ["bernoulli,autoregressive"]),
        ("qhyper train --generator anneal", ["annealing"]),
        ("qhyper train --estimator sp", ["spsa"]),
        ("qhyper compare --data dig", ["digits"]),
        ("qhyper compare dig", ["digits"]),
        ("qhyper train --backend aer", ["aer"]),
    ],
)
def test_a_shell_completes_commands_options_and_names(line, found, monkeypatch, capsys):
    assert completed(line, monkeypatch, capsys) == found


def test_the_script_for_completion_is_printed(cli, monkeypatch):
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: "bash")
    code, out, _ = cli("--show-completion")
    assert code == 0
    assert "_QHYPER_COMPLETE=complete_bash" in out


def test_help_needs_no_torch():
    script = (
        "import sys, qhyper.cli.main\n"
        "try: qhyper.cli.main.app(['compare', '-h'], prog_name='qhyper')\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'numpy', 'matplotlib') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.splitlines()[-1] == "[]"
