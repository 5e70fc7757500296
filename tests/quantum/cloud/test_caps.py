"""Caps: no job is sent that they do not cover, whatever was sent before and by whom."""

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from qhyper.errors import ConfigurationError
from qhyper.quantum.cloud.caps import Caps
from qhyper.quantum.cloud.ledger import Ledger
from qhyper.quantum.cloud.record import State

# three jobs of two rows of eight shots, at 0.3 dollars and 0.001 a shot: 0.316 each
EACH = 0.316


@pytest.mark.parametrize(
    ("caps", "taken", "message"),
    [
        (Caps(jobs=2), 2, r"The cap of the run is 2 jobs; 2 were sent, and 1 more would be. Nothing"
         r" more was sent. Raise --max-jobs, or send less."),
        (Caps(cost=2.5 * EACH), 2, r"The cap of the run is 0.79 US dollars; jobs of 0.63 were sent,"
         r" and 0.32 more would be. Nothing more was sent. Raise --max-cost, or send less."),
        (Caps(jobs_per_day=1), 1, r"The cap of a day, of all runs in .* is 1 jobs; 1 were sent"),
        (Caps(cost_per_day=EACH * 1.01), 1, r"The cap of a day, .* is 0.32 US dollars; jobs of 0.32"
         r" were sent.* Raise --max-cost-per-day"),
        (Caps(cost=0.0), 0, "The cap of the run is 0.00 US dollars; jobs of 0.00 were sent"),
        (Caps(jobs=0), 0, "The cap of the run is 0 jobs; 0 were sent"),
    ],
)  # fmt: skip
def test_a_cap_is_never_passed(bench, caps, taken, message):
    for _ in range(2):  # and a restart changes nothing
        with pytest.raises(ConfigurationError, match=message):
            bench.measure(caps=caps)
        assert len(bench.accepted()) == taken
    bench.measure(caps=Caps(cost=3 * EACH + 1e-9, jobs=3))  # it is raised, and the rest is sent
    assert len(bench.accepted()) == 3


def test_what_was_refused_counts_for_nothing(bench):
    bench.measure(caps=Caps(cost=3 * EACH + 1e-9, jobs=3), faults=["busy", None, "busy"])
    with Ledger(bench.folder, "a run") as ledger:
        assert [record.cost for record in ledger.jobs()] == pytest.approx([EACH] * 3)


def test_every_attempt_counts(bench):
    with pytest.raises(Exception, match="did not succeed"):
        bench.measure(spoiled={1: "failed"})
    with bench.session() as (dispatcher, _, _):
        (failed,) = [r for r in dispatcher.ledger.jobs() if r.state == State.FAILED]
        dispatcher.ledger.again(failed.key)
    with pytest.raises(ConfigurationError, match="The cap of the run is 3 jobs; 3 were sent"):
        bench.measure(caps=Caps(jobs=3))
    bench.measure(caps=Caps(jobs=4, cost=4 * EACH + 1e-9))
    assert len(bench.accepted()) == 4


def test_a_day_is_of_all_runs_beside_each_other(bench, tmp_path):
    bench.measure()
    with Ledger(bench.folder, "a run") as ledger:
        assert sum(record.attempts for record in ledger.jobs()) == 3
    for beside in (tmp_path / "second", tmp_path / "third"):
        with (
            Ledger(beside, "another"),
            pytest.raises(ConfigurationError, match="is 5 jobs; 3 were sent, and 3 more would be"),
        ):
            Caps(jobs_per_day=5).check(beside, 1.0, 3)
        Caps(jobs_per_day=6, jobs=3, cost_per_day=3 * EACH + 1.0).check(beside, 1.0, 3)
    base = sqlite3.connect(bench.folder / "jobs.sqlite")
    with base:
        base.execute("UPDATE jobs SET sent = ?", (time.time() - 86_401,))
    base.close()
    Caps(jobs_per_day=3).check(tmp_path / "second", 1.0, 3)  # the day is over


def test_a_price_that_is_not_known_has_no_cap(bench, stub_service, monkeypatch):
    monkeypatch.setattr(type(stub_service()), "price", lambda *a: None)
    with pytest.raises(ConfigurationError, match="The price is not known here, so that --max-cost"):
        bench.measure(caps=Caps(cost=100.0))
    assert bench.accepted() == []
    bench.measure(caps=Caps(jobs=3))
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match="jobs were sent whose price is not known"):
        Caps(cost=100.0).check(bench.folder, 1.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cost": -1.0}, "Got --max-cost -1.0; expected US dollars from 0"),
        ({"cost": float("nan")}, "Got --max-cost nan; expected US dollars from 0"),
        ({"jobs": -1}, "Got --max-jobs -1; expected a whole number of jobs from 0"),
        ({"jobs": 1.5}, "Got --max-jobs 1.5; expected a whole number"),
        ({"jobs_per_day": True}, "Got --max-jobs-per-day True; expected a whole number"),
        ({"cost_per_day": "ten"}, "Got --max-cost-per-day ten; expected US dollars"),
    ],
)
def test_caps_are_numbers_from_zero(values, message):
    with pytest.raises(ConfigurationError, match=message):
        replace(Caps(), **values)


def test_a_plan_is_held_against_the_caps_before_anything_is_sent():
    Caps(cost=2.0, jobs=5).check_plan([(2, 1.0), (3, 1.0)])
    with pytest.raises(ConfigurationError, match="is 4 jobs; 0 were sent, and 5 more would be"):
        Caps(jobs=4).check_plan([(2, 1.0), (3, 1.0)])
    with pytest.raises(ConfigurationError, match=r"is 1.99 US dollars; jobs of 0.00 were sent"):
        Caps(cost=1.99).check_plan([(2, 1.0), (3, 1.0)])
    with pytest.raises(ConfigurationError, match="The price is not known here"):
        Caps(cost_per_day=1.99).check_plan([(2, None)])


def test_a_day_is_kept_from_within_the_run_directory(bench, monkeypatch, tmp_path):
    bench.measure()
    monkeypatch.chdir(bench.folder)
    for folder in (Path(), bench.folder):
        with pytest.raises(ConfigurationError, match="is 3 jobs; 3 were sent, and 1 more would be"):
            Caps(jobs_per_day=3).check(folder, 1.0)


@pytest.mark.parametrize("name", ["50 % off", "what?", "#1"])
def test_a_folder_may_be_called_anything(tmp_path, name):
    with Ledger(tmp_path / name, "a run"):
        Caps(jobs=1, jobs_per_day=1).check(tmp_path / name, 1.0)
