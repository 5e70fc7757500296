"""Jobs for quantum computers are sent by the process that began a run, and by no other."""

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from qhyper.errors import ConfigurationError
from qhyper.run import trials
from qhyper.run.comparison import execute, plan, work
from qhyper.run.config import Config, Entry, to_toml
from qhyper.run.directory import Run
from qhyper.run.trials import from_text, task_of

pytest.importorskip("qiskit_ibm_runtime")

SNAPSHOT = {"backend": "ibm:fake_guadalupe", "backend_options": {"noise": "none", "seed": 1}}


def quiet(*told: object) -> None:
    """Nothing is said."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch) -> Run:
    """Two controls, and a circuit of three qubits on a snapshot of a device."""
    (tmp_path / "shares_of_ones.py").write_text("def ones(bits):\n    return bits.mean(axis=-1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    circuit = Entry(
        name="quantum", options={"depth": 1, **SNAPSHOT},
        training={"estimator": "spsa", "draws": 16, "final_draws": 16},
    )  # fmt: skip
    config = Config(
        objective="shares_of_ones:ones", bits=3, seeds=[0], evaluations=64,
        entries=[Entry(name="random"), circuit, Entry(name="annealing")],
    )  # fmt: skip
    return Run.create(tmp_path / "runs", "mine", plan(config, quiet).config)


def test_a_worker_is_refused(run: Run) -> None:
    config = run.config
    (_, circuit, _) = config.entries or []
    task = task_of(run, circuit, to_toml(config), None)
    with pytest.raises(ConfigurationError, match="which only the process does that began the run"):
        from_text(task, lambda: False, quiet, quiet)


def test_who_helps_leaves_them_to_who_began(run: Run) -> None:
    assert work(run, processes=2, warn=quiet) is None
    assert {path.parent.name for path in run.path.glob("*/result.json")} == {"random", "annealing"}
    assert not list(run.path.glob("jobs.sqlite"))


def test_one_process_sends_them_all_when_the_others_are_over(run: Run, monkeypatch) -> None:
    sent, connected = [], trials._connected

    def watched(trial, *others):
        if not trial.paid:
            return nullcontext()
        there = {path.parent.name for path in run.path.glob("*/result.json")}
        sent.append((os.getpid(), trial.entry.title, there))
        return connected(trial, *others)

    monkeypatch.setattr(trials, "_connected", watched)
    execute(run, processes=2, warn=quiet)
    assert sent == [(os.getpid(), "quantum", {"random", "annealing"})]
    assert (run.path / "jobs.sqlite").is_file()
