"""Whole numbers as people write them, wherever a command takes one."""

from pathlib import Path

import pytest
import typer

from qhyper.cli.main import app
from qhyper.cli.numbers import count, whole_number
from qhyper.run.config import Config


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("5000", 5000), ("-3", -3), ("1e5", 100_000), ("1E5", 100_000),
        ("1e+05", 100_000), ("2.5e3", 2500), ("10k", 10_000), ("10K", 10_000), ("2M", 2_000_000),
        ("1.5k", 1500),
        ("0.25M", 250_000), ("300_000", 300_000), ("300,000", 300_000), ("1,234,567", 1_234_567),
        (" 7 ", 7), ("1e18", 10**18), ("2.5e5", 250_000),
    ],
)  # fmt: skip
def test_what_is_a_whole_number_is_taken(text, value):
    assert whole_number(text) == value
    assert isinstance(whole_number(text), int)


@pytest.mark.parametrize(
    "text",
    ["", "many", "1.5", "1e-1", "1.5e0", "0.0001k", "10m", "10G", "1_", "_1", "1__0", "30,00",
     "3,0000", "1,5", "nan", "inf", "1e99", "9e18", "0x10", "10 k", "ten", "1e5k", "--",
     "300.000", "4.000", "100.0", "1.000.000", "300_000.0", "٣٠٠"],
)  # fmt: skip
def test_anything_else_is_refused_with_what_was_got_and_examples(text):
    with pytest.raises(ValueError, match="expected a whole number, such as 5000, 10k, 2M, 1e5"):
        whole_number(text)
    with pytest.raises(typer.BadParameter, match="such as 5000, 10k") as caught:
        count(text)
    assert str(caught.value).startswith(f"got {text!r}; ")


def test_a_point_alone_is_refused_since_it_has_two_meanings(cli):
    for text in ("300.000", "4.000", "1.000.000", "1.5"):
        with pytest.raises(ValueError, match="Leave the point out: some read it as thousands"):
            whole_number(text)
    with pytest.raises(ValueError, match=r"or 300_000$"):
        whole_number("many")
    for written in (["--evaluations", "300.000"], ["--set", "evaluations=300.000"],
                    ["--seeds", "4.000"]):  # fmt: skip
        code, _, err = cli("compare", *written)
        assert code == 2
        assert written[-1].partition("=")[2] or written[-1] in " ".join(err.split())


@pytest.fixture
def asked(cli, monkeypatch):
    """The configuration that a command line asks for; nothing is planned."""
    found = {}
    monkeypatch.setattr(
        "qhyper.cli.main.start", lambda name, values, *_, **__: found.update(values)
    )

    def given(*arguments):
        found.clear()
        code, _, err = cli(*arguments)
        assert code == 0, err
        return Config(**found)

    return given


@pytest.mark.parametrize(
    "written",
    [["--evaluations", "10k"], ["--evaluations", "1e4"], ["--evaluations", "10,000"],
     ["--set", "evaluations=10_000"], ["--set", "evaluations=1e4"], ["--set", "evaluations=10k"]],
    ids=" ".join,
)  # fmt: skip
def test_a_budget_can_be_written_in_any_of_these_ways(asked, written):
    assert asked("compare", *written).evaluations == 10_000


def test_settings_that_are_whole_numbers_take_them_in_tables_too(asked):
    config = asked("train", "--training", "draws=1e2", "--option", "depth=1e1", "--training",
                   "risk_options.alpha=0.5", "--set", "tune.shots=2M")  # fmt: skip
    (entry,) = config.entries
    assert entry.training == {"draws": 100, "risk_options": {"alpha": 0.5}}
    assert entry.options == {"depth": 10}
    assert type(entry.options["depth"]) is int
    assert config.tune.shots == 2_000_000


def test_what_is_not_known_to_be_a_whole_number_stays_as_it_is(asked):
    config = asked("train", "--option", "tag=12e3", "--option", "name=10k", "--option",
                   "evaluations=1e5", "--data-option", "label=1e5", "--training",
                   "optimizer_options.draws=1e1")  # fmt: skip
    (entry,) = config.entries
    assert entry.options == {"tag": 12e3, "name": "10k", "evaluations": 1e5}
    assert {type(entry.options[key]) for key in ("tag", "evaluations")} == {float}
    assert type(config.data_options["label"]) is float
    assert type(entry.training["optimizer_options"]["draws"]) is float


def test_settings_of_an_entry_go_by_its_title(asked):
    mine = "[[entries]]\nname = 'quantum-depth2'\nlabel = 'mine'\n"
    Path("mine.toml").write_text(mine)
    config = asked("compare", "--config", "mine.toml", "--set", "entries.mine.options.depth=1e1",
                   "--set", "entries.0.training.draws=1k")  # fmt: skip
    (entry,) = config.entries
    assert entry.options == {"depth": 10}
    assert type(entry.options["depth"]) is int
    assert entry.training == {"draws": 1000}


def test_seeds_can_be_counted_so(asked, cli):
    assert asked("compare", "--seeds", "1e1").seeds == list(range(10))
    assert asked("compare", "--seeds", "3,5,8").seeds == [3, 5, 8]
    assert asked("tune", "--tuning-seeds", "2", "--tuning-shots", "1M").tune.seeds == [1000, 1001]
    code, _, err = cli("compare", "--seeds", "1e9")
    assert code == 2
    assert "Got --seeds 1e9; expected at least 1 seed, and at most 1,000,000" in err


def test_every_option_that_is_a_number_of_things_takes_them():
    """No option says N and reads it in another way."""
    commands = typer.main.get_command(app).commands
    counts = {
        f"{name} {param.opts[0]}"
        for name, command in commands.items()
        for param in command.params
        if param.metavar == "N" and "--processes" not in param.opts
    }
    parsed = {
        f"{name} {param.opts[0]}"
        for name, command in commands.items()
        for param in command.params
        if param.type_descriptor.parameter_info.parser is count
    }
    assert counts == parsed
    assert {"compare --evaluations", "train --draws", "tune --tuning-rows", "submit --shots",
            "submit --paid-shots", "certify --bits"} <= counts  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "--evaluations", "1.5"], "Invalid value for '--evaluations': got '1.5'; exp"),
        (["train", "--draws", "many"], "Invalid value for '--draws': got 'many'; expected a whole"),
        (["submit", "runs/x", "--backend", "x", "--shots", "1e-3"], "for '--shots': got '1e-3';"),
        (["compare", "--set", "evaluations=10q"], "evaluations = '10q'"),
        (["compare", "--set", "evaluations=1.5"], "evaluations = 1.5"),
        (["compare", "--seeds", "1,000"], "Got --seeds 1,000; expected whole numbers with commas"),
        (["compare", "--layers", "784,1,024,10"], "write a thousand as 1k or 1000."),
        (["compare", "--seeds", "1.5"], "Got --seeds 1.5; expected whole numbers with commas"),
    ],
)
def test_what_is_no_whole_number_is_named(cli, arguments, said):
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())
