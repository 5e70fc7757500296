"""Progress by itself: in a notebook, whose display is a stand-in here, and nowhere else."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from qhyper import (
    CostTable,
    Objective,
    QuantumHyperNetwork,
    TrainingSettings,
    build_generator,
    certify_objective,
    compare,
    minimise,
    progress,
    tabulate,
    train,
)
from qhyper.errors import ConfigurationError
from qhyper.quantum.ansatz import Product


class Display:
    """What a notebook shows in the places of a cell's output, and all that it ever showed."""

    def __init__(self):
        self.places, self.history = {}, []

    def display(self, data, *, raw, display_id):
        assert raw
        assert display_id not in self.places
        self._put(data, display_id)

    def update_display(self, data, *, raw, display_id):
        assert raw
        assert display_id in self.places
        self._put(data, display_id)

    def _put(self, data, place):
        self.places[place] = data["text/plain"]
        self.history.append(data["text/plain"])

    @property
    def shown(self):
        """What stands in the cell's output."""
        return "\n".join(self.places.values())


@pytest.fixture
def notebook(monkeypatch):
    """A notebook in which everything is slow enough to be shown."""
    display = Display()
    shell = SimpleNamespace(kernel=object())
    ipython = SimpleNamespace(get_ipython=lambda: shell, display=display, shell=shell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(progress, "_AFTER", 0)
    monkeypatch.setattr(progress, "_EVERY", 0)
    return SimpleNamespace(display=display, ipython=ipython)


def own():
    return Objective(lambda bits: bits.mean(axis=1), n_bits=6)


def compared(**told):
    entries = ["bernoulli", "random"]
    told = {"warn": lambda words: None, **told}
    return compare(own(), entries, seeds=range(2), evaluations=1280, **told)


def trained(**told):
    settings = TrainingSettings(evaluations=4 * 64)
    return train(build_generator("bernoulli", 6), own(), settings, **told)


def test_a_comparison_shows_a_line_an_entry_and_one_at_the_end(notebook):
    compared()
    seen = notebook.display.history
    assert any("certificate: done" in text for text in seen)
    assert any("entry 1 of 2: bernoulli, 50 %" in text for text in seen)
    assert any("entry 1 of 2: bernoulli, done\nentry 2 of 2: random, " in text for text in seen)
    assert len(notebook.display.places) == 1
    assert notebook.display.shown.startswith("compare: done in ")
    assert "\n" not in notebook.display.shown


def test_entries_in_other_processes_are_shown_too(notebook):
    compared(processes=2)
    seen = "\n".join(notebook.display.history)
    assert "entry 1 of 2: bernoulli, done" in seen
    assert "entry 2 of 2: random, done" in seen


@pytest.mark.parametrize(
    ("what", "begin"),
    [
        (trained, "train"),
        (lambda: tabulate(own()), "tabulate"),
        (lambda: certify_objective(own()), "certify"),
        (lambda: CostTable(np.arange(8.0)).certify(), "certify"),
        (
            lambda: minimise(
                QuantumHyperNetwork(3, ansatz=Product(), backend="statevector", seeds=range(2)),
                CostTable(np.arange(8.0)),
            ),
            "minimise",
        ),
    ],
)
def test_whatever_takes_long_shows_its_progress(notebook, what, begin):
    what()
    assert notebook.display.history[0].startswith(f"{begin}: ")
    assert notebook.display.shown.startswith(f"{begin}: done in ")


def test_a_function_that_is_given_hears_it_in_place_of_the_notebook(notebook):
    told = []
    trained(progress=lambda *words: told.append(words))
    assert told == [("train", step, 4) for step in (1, 2, 3, 4)]
    tabulate(own(), progress=told.append)
    assert told[-1] == 1
    assert notebook.display.history == []


def test_false_is_silence(notebook):
    trained(progress=False)
    tabulate(own(), progress=False)
    compared(progress=False)
    assert notebook.display.history == []


@pytest.mark.parametrize("wrong", [True, "yes", 1])
@pytest.mark.parametrize("call", [trained, compared, lambda **told: tabulate(own(), **told)])
def test_what_is_no_function_is_refused(call, wrong):
    with pytest.raises(ConfigurationError, match=f"Got progress={wrong!r}; expected a function"):
        call(progress=wrong)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_is_broken_off_leaves_how_far_it_came(notebook, error):
    def after(trainer):
        if trainer.step == 3:
            raise error

    with pytest.raises(error):
        trained(on_step=after)
    lines = notebook.display.shown.splitlines()
    assert lines[0] == "train: 50 %"
    assert lines[1].startswith(f"train: stopped by {error.__name__} after ")


def test_a_quick_thing_leaves_nothing_behind(notebook, monkeypatch):
    monkeypatch.setattr(progress, "_AFTER", 1000)
    trained()
    assert notebook.display.history == []


def test_it_is_shown_a_few_times_a_second_at_the_most(notebook, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress, "_AFTER", 0.5)
    monkeypatch.setattr(progress, "_EVERY", 0.3)
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.shown(None, "work") as show:
        for step in range(100):  # one second
            clock[0] = step / 100
            show("work", step, 100)
    assert notebook.display.history == ["work: 50 %", "work: 80 %", "work: done in 1.0 s"]


def test_of_many_things_the_last_ones_are_shown(notebook):
    with progress.shown(None, "work") as show:
        for thing in range(40):
            show(f"thing {thing}", 1, 4)
    lines = notebook.display.history[-2].splitlines()
    assert lines[0] == "… 28 before"
    assert lines[-1] == "thing 39: 25 %"
    assert len(lines) == 13


def test_the_shell_of_a_terminal_is_silent(notebook):
    notebook.ipython.shell.kernel = None
    trained()
    assert notebook.display.history == []


def test_a_script_is_silent_and_imports_no_ipython(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.partition(".")[0] == "IPython"]:
        monkeypatch.delitem(sys.modules, name)
    trained()
    assert "IPython" not in sys.modules
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
