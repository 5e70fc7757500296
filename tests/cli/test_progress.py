"""What a person sees while a command works: which entry of how many, and how long it took."""

import io
import re
import sys

import pytest

from qhyper.cli.terminal import counted_titles, in_words, progress
from qhyper.run.config import Config, Entry

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

THREE = Config(entries=[Entry(name="product"), Entry(name="mlp"), Entry(name="mlp", label="b")])


def test_entries_and_their_searches_are_numbered():
    names = counted_titles(THREE)
    assert names["mlp"] == "mlp (2 of 3)"
    assert names["b"] == "b (3 of 3)"
    assert names["tuning b"] == "tuning b (3 of 3)"
    assert counted_titles(Config()) == counted_titles(Config(entries=THREE.entries[:1])) == {}


def test_a_line_says_which_entry_is_done_and_how_long_it_took(capsys, monkeypatch):
    clock = iter([100.0, 112.3])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with progress(counted_titles(THREE)) as show:
        show("mlp", 0, 10)
        monkeypatch.setattr("time.monotonic", lambda: 112.3)
        show("mlp", 5, 10)
        show("mlp", 10, 10)
        show("b", 10, 10)  # it was done before
        show("certificate", 100, 100)
    assert capsys.readouterr().err.splitlines() == [
        "mlp (2 of 3): done in 12 s", "b (3 of 3): done", "certificate: done",
    ]  # fmt: skip


def test_bars_on_a_terminal_say_which_entry_it_is(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    with progress(counted_titles(THREE)) as show:
        show("product", 3, 10)
        show("[b]", 1, 10)
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "product (1 of 3)" in seen
    assert "3/10" in seen
    assert "[b]" in seen


def test_a_run_says_it_of_every_entry(cli):
    code, _, err = cli("compare", "--data", "digits", "--generators", "bernoulli,random",
                       "--evaluations", "640", "--seeds", "2", "--processes", "1")  # fmt: skip
    assert code == 0, err
    assert re.search(r"^bernoulli \(1 of 2\): done in (< 1|\d+) s$", err, re.MULTILINE)
    assert re.search(r"^random \(2 of 2\): done in (< 1|\d+) s$", err, re.MULTILINE)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (0.0, "< 1 s"), (0.99, "< 1 s"), (12.3, "12 s"), (99.0, "99 s"), (99.6, "2 min"),
     (3600.0, "60 min"), (7200.0, "2 h"), (86400.0, "24 h"), (400_000.0, "5 days")],
)  # fmt: skip
def test_times_in_words(seconds, words):
    assert in_words(seconds) == words
