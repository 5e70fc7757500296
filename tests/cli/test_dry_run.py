"""A dry run says what every entry would take, in one table, and about how long; it does nothing."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from qhyper.run.comparison import plan
from qhyper.run.config import Config
from qhyper.run.estimate import extrapolated, seconds_of, together

SMALL = ["--data", "digits", "--generators", "quantum-depth2,bernoulli,annealing",
         "--evaluations", "6400", "--seeds", "2"]  # fmt: skip


def test_one_table_has_all_entries_their_total_and_a_time(cli, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = cli("compare", *SMALL, "--dry-run", "--processes", "2")
    assert code == 0, err
    lines = [line.split() for line in out.splitlines()]
    assert out.count("Entry") == 1
    title = "compare: nothing is stored or sent; a moment of each entry is tried. "
    title += "Of each of 2 seeds:"
    assert title in " ".join(out.split())
    assert "About, all seeds" in out
    (circuit,) = [line for line in lines if line[:1] == ["quantum-depth2"]]
    assert circuit[1:6] == ["quantum", "144", "100", "6,400", "100"]
    (control,) = [line for line in lines if line[:1] == ["annealing"]]
    assert control[1:6] == ["control", "–", "–", "6,400", "–"]
    (total,) = [line for line in lines if line[:1] == ["all,"]]
    assert total[3:5] == ["38,400", "400"]
    assert "Time: " in out
    assert "with 2 processes, by a moment of each entry" in " ".join(out.split())
    assert list(tmp_path.iterdir()) == []


def test_what_is_planned_is_what_is_spent(cli) -> None:
    entries = ["product", "bernoulli", "mlp", "annealing", "random"]
    config = Config(data="digits", shots=3000, circuits=100, seeds=[1, 2],
                    entries=[{"name": name} for name in entries])  # fmt: skip
    spends = {trial.entry.title: trial.spends() for trial in plan(config).trials}
    code, out, err = cli("compare", "--data", "digits", "--shots", "3k", "--circuits", "100",
                         "--seeds", "1,2", "--generators", ",".join(entries), "--json")  # fmt: skip
    assert code == 0, err
    for entry in json.loads(out)["results"]:
        spent = spends[entry["entry"]]
        for unit in ("evaluations", "shots", "circuits"):
            assert entry[unit] == getattr(spent, unit), (entry["entry"], unit)


@pytest.mark.parametrize(
    "training",
    [{"batch": 32, "watch_every": 7}, {"estimator": "exact"}, {"estimator": "local-expectation"}],
    ids=str,
)
def test_looks_and_what_is_spent_once_are_planned_too(training, tmp_path: Path) -> None:
    entry = {"name": "product", "training": {"restarts": 2, **training}}
    config = Config(data="digits", layers=[4, 3, 2], circuits=20, held_out=0.2, seeds=[1, 2],
                    entries=[entry])  # fmt: skip
    (trial,) = plan(config).trials
    planned = trial.spends()
    result = trial.execute(tmp_path, lambda: False, lambda *told: None, print)
    spent = (result.evaluations, result.shots, result.circuits, result.rows)
    assert spent == tuple(vars(planned).values())


def test_json_keeps_its_form_and_has_the_seconds(cli) -> None:
    code, out, err = cli("compare", *SMALL, "--dry-run", "--json")
    assert code == 0, err
    circuit, bernoulli, control = json.loads(out)
    assert circuit["steps"] == bernoulli["steps"] == 100
    assert control["budget of a seed"] == "6,400 evaluations"
    for entry in (circuit, bernoulli, control):
        assert 0 < entry["estimated seconds"] < 600


def test_the_time_of_a_search_counts(cli, monkeypatch) -> None:
    monkeypatch.setattr("qhyper.run.estimate.seconds_of", lambda trials, **_: [6.0] * len(trials))
    search = ["--tuning-seeds", "3", "--tuning-evaluations", "192k"]  # ten settings
    code, out, err = cli("tune", *SMALL, *search, "--dry-run", "--json")
    assert code == 0, err
    # ten settings on three seeds, and the comparison on two
    assert {entry["estimated seconds"] for entry in json.loads(out)} == {6.0 * (1 + 10 * 3 / 2)}
    code, out, _ = cli("tune", *SMALL, *search, "--dry-run", "--processes", "1")
    assert "Budget of its search: 192,000 evaluations" in out
    assert "Time: about 5 min with 1 process" in out


def test_what_fails_in_its_first_step_is_said_and_the_others_are_measured(cli) -> None:
    Path("bad.py").write_text(
        "from classical.bernoulli import Bernoulli\n"
        "class Bad(Bernoulli):\n"
        "    def sample(self, *told, **given):\n"
        "        raise RuntimeError('no draws today')\n"
    )
    code, out, err = cli("compare", "--data", "digits", "--generators", "bernoulli,bad:Bad",
                         "--evaluations", "640", "--seeds", "1", "--dry-run", "--json")  # fmt: skip
    assert code == 0, err
    assert "bad:Bad failed when a moment of it was tried: " in err
    assert "no draws today" in err
    assert "Traceback" not in err
    good, bad = json.loads(out)
    assert good["estimated seconds"] > 0
    assert bad["estimated seconds"] is None


OWN = """
import numpy as np

def loss(bits):
    with open("calls.txt", "a") as file:
        file.write(f"{bits.size // bits.shape[-1]}\\n")
    return np.asarray(bits).mean(axis=-1)
"""


@pytest.mark.parametrize("evaluations", [64, 300, 6400])
def test_of_a_loss_of_ones_own_a_moment_is_tried_and_that_is_said(cli, evaluations) -> None:
    Path("counted.py").write_text(OWN)
    code, out, err = cli("compare", "--objective", "counted:loss", "--bits", "6", "--generators",
                         "bernoulli,annealing,random", "--evaluations", str(evaluations),
                         "--seeds", "2", "--dry-run", "--processes", "1")  # fmt: skip
    assert code == 0, err
    assert "a moment of each entry is tried, your own code with it." in " ".join(out.split())
    calls = [int(line) for line in Path("calls.txt").read_text().split()]
    # of each seed two steps of 64 draws, and of each of two controls 64 or fewer
    drawn = 0 if evaluations == 64 else 2 * 64
    planned = 8  # bitstrings or fewer, when the loss is checked
    assert sum(calls) <= 2 * (drawn + 2 * min(64, evaluations // 2)) + planned
    assert sum(calls) < 2 * 3 * evaluations
    assert len(calls) < 80


@pytest.mark.parametrize(("name", "evaluations"), [("bernoulli", 64), ("random", 7)])
def test_own_code_whose_budget_is_hardly_a_step_is_not_tried(
    monkeypatch, name, evaluations
) -> None:
    config = Config(data="digits", evaluations=evaluations, seeds=[0], entries=[{"name": name}])
    (trial,) = plan(config).trials
    monkeypatch.setattr(trial, "shares", lambda *told: pytest.fail("it was tried"))
    assert extrapolated(trial, lambda: False, own=True) is None


class Clock:
    """Stands still, but for steps that say how long they take."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """Steps of trainings take 20 ms, of a product circuit 70 ms; the first one a second more."""
    clock = Clock()

    def advance(trainer) -> None:
        slow = trainer.generator.capabilities.quantum
        clock.now += (0.07 if slow else 0.02) + (trainer.step == 0)
        trainer.step += 1

    monkeypatch.setattr("qhyper.run.estimate.time", clock)
    monkeypatch.setattr("qhyper.training.trainer.Trainer.advance", advance)
    return clock


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.usefixtures("clock")
def test_a_time_is_that_of_all_steps(own) -> None:
    config = Config(data="digits", evaluations=6400, seeds=[0, 1],
                    entries=[{"name": "bernoulli"}, {"name": "product"}])  # fmt: skip
    found = seconds_of(plan(config).trials, processes=1, own=own, stop=lambda: False, warn=print)
    assert found == pytest.approx([100 * 0.02, 100 * 0.07], rel=0.2)


@pytest.mark.usefixtures("clock")
def test_a_long_first_step_is_the_only_one(monkeypatch) -> None:
    monkeypatch.setattr("qhyper.run.estimate.LONG", 0.5)
    config = Config(data="digits", evaluations=6400, seeds=[0], entries=[{"name": "bernoulli"}])
    (trial,) = plan(config).trials
    assert extrapolated(trial, lambda: False, own=True) == pytest.approx(100 * 1.02)
    assert trial.trainer.step == 1


@pytest.mark.parametrize("own", [True, False])
def test_the_beginning_of_a_control_of_one_step_does_not_count(clock, monkeypatch, own) -> None:
    config = Config(data="digits", evaluations=4000, seeds=[0], entries=[{"name": "random"}])
    (trial,) = plan(config).trials
    begun = []

    def search(objective, *, evaluations, rng):
        clock.now += 1.0 * (not begun) + 0.001 * evaluations
        begun.append(evaluations)
        yield SimpleNamespace(losses=np.zeros((1, evaluations)))

    monkeypatch.setattr(trial, "control", SimpleNamespace(search=search))
    assert extrapolated(trial, lambda: False, own=own) == pytest.approx(4000 * 0.001)
    assert sum(begun) <= (64 if own else 2000)


SWEEP = """
data = "digits"
evaluations = 6400
seeds = [0, 1]
[[entries]]
name = "bernoulli"
[[entries]]
name = "product"
[sweep.over]
{over}
"""


def swept(cli, over: str) -> float | None:
    Path("mine.toml").write_text(SWEEP.format(over=over))
    code, out, err = cli("sweep", "mine.toml", "--dry-run", "--json")
    assert code == 0, err
    return json.loads(out)["estimated seconds"]


@pytest.fixture
def one_process(monkeypatch) -> None:
    monkeypatch.setattr("qhyper.threads.n_threads", lambda: 1)


@pytest.mark.usefixtures("clock", "one_process")
@pytest.mark.parametrize(
    ("over", "steps"),
    [("evaluations = [1280, 12800]", 220), ("evaluations = [12800, 1280]", 220),
     ('"entries.*.training.learning_rate" = [0.1, 0.2, 0.3]', 300)],
)  # fmt: skip
def test_the_time_of_a_sweep_is_that_of_every_point_in_any_order(cli, over, steps) -> None:
    assert swept(cli, over) == pytest.approx(steps * (0.02 + 0.07), rel=0.2)


@pytest.mark.usefixtures("clock", "one_process")
def test_a_sweep_of_too_many_shapes_has_no_time(cli, monkeypatch) -> None:
    over = '"entries.*.training.draws" = [16, 32]'
    assert swept(cli, over) == pytest.approx((400 + 200) * (0.02 + 0.07), rel=0.2)
    monkeypatch.setattr("qhyper.run.sweep_time.MOST_SHAPES", 3)
    assert swept(cli, over) is None


@pytest.fixture
def trials():
    config = Config(data="digits", evaluations=640, seeds=[0],
                    entries=[{"name": "bernoulli"}, {"name": "random"}])  # fmt: skip
    return plan(config).trials


def test_a_stop_is_heard(trials) -> None:
    from qhyper.errors import Interrupted

    with pytest.raises(Interrupted):
        seconds_of(trials, processes=2, own=False, stop=lambda: True, warn=print)


def test_training_for_minutes_takes_no_longer() -> None:
    training = {"minutes": 0.5, "schedule": "constant"}
    long = Config(data="digits", evaluations=10**9, seeds=[0],
                  entries=[{"name": "bernoulli", "training": training}])  # fmt: skip
    (seconds,) = seconds_of(
        plan(long).trials, processes=1, own=False, stop=lambda: False, warn=print
    )
    assert seconds == 30


@pytest.mark.parametrize(
    ("seconds", "processes", "whole"),
    [([3.0, 1.0, 2.0], 1, 6.0), ([3.0, 1.0, 2.0], 2, 3.0), ([3.0, 1.0, 2.5], 2, 3.5),
     ([3.0, 1.0], 8, 3.0)],
)  # fmt: skip
def test_processes_take_the_next_that_waits(seconds, processes, whole) -> None:
    assert together(seconds, processes) == whole
