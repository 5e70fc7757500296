"""The job ledger: keys, states, budgets, and what is damaged."""

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from qhyper.errors import ConfigurationError, StorageError
from qhyper.quantum.cloud.door import Measured
from qhyper.quantum.cloud.ledger import Ledger
from qhyper.quantum.cloud.record import Record, Request, State
from qhyper.quantum.cloud.scope import TRAINING, Scope, submission

ROWS = np.arange(12.0).reshape(4, 3)
REQUEST = Request(TRAINING, "step 0", "stub", "a circuit", ROWS, 8, 3)
CHUNKS = [(0, 2, 0, 8), (2, 2, 0, 8)]
BITS = np.random.default_rng(0).integers(0, 2, (2, 8, 3), dtype=np.uint8)


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path, "a run") as opened:
        opened.allow(TRAINING, 1000)
        yield opened


@pytest.fixture
def keys(ledger):
    return [record.key for record in ledger.plan(REQUEST, CHUNKS)]


# -- plans ----------------------------------------------------------------------------------------


def test_the_same_request_finds_the_jobs_that_are_there(ledger, keys):
    assert [record.key for record in ledger.plan(REQUEST, CHUNKS)] == keys
    assert len(set(keys)) == 2
    assert all(record.state == State.PLANNED for record in ledger.jobs())


def test_other_limits_change_no_job_that_is_planned(ledger, keys):
    assert [record.key for record in ledger.plan(REQUEST, [(0, 4, 0, 8)])] == keys


CHANGES = {
    "circuit": "another circuit",
    "rows": ROWS + 1e-15,
    "shots": 9,
    "service": "another service",
    "width": 4,
}


@pytest.mark.parametrize("field", CHANGES)
def test_other_content_for_the_same_purpose_is_refused_once_a_job_was_sent(ledger, keys, field):
    other = replace(REQUEST, **{field: CHANGES[field]})
    assert other.content() != REQUEST.content()
    ledger.claim(keys[0])
    with pytest.raises(StorageError, match="sent with another circuit, other angles, shots or"):
        ledger.plan(other, CHUNKS)
    assert [record.key for record in ledger.jobs()] == keys


def test_other_content_replaces_jobs_of_which_none_was_sent(ledger, keys):
    new = ledger.plan(replace(REQUEST, circuit="another circuit"), CHUNKS)
    assert {record.key for record in new}.isdisjoint(keys)
    assert ledger.jobs() == new


def test_other_content_is_refused_of_a_job_that_waits_to_be_sent_again(ledger, keys):
    """It is planned, and yet it was sent before."""
    ledger.claim(keys[0])
    ledger.failed(keys[0], "broken")
    ledger.again(keys[0])
    assert {record.state for record in ledger.jobs()} == {State.PLANNED}
    with pytest.raises(StorageError, match="sent with another circuit, other angles, shots or"):
        ledger.plan(replace(REQUEST, circuit="another circuit"), CHUNKS)
    assert [record.key for record in ledger.jobs()] == keys


def test_other_content_is_refused_of_a_job_that_the_service_refused(ledger, keys):
    ledger.claim(keys[0])
    ledger.unclaim(keys[0], State.FAILED, "not allowed")
    assert ledger.job(keys[0]).attempts == 0
    with pytest.raises(StorageError, match="sent with another circuit, other angles, shots or"):
        ledger.plan(replace(REQUEST, circuit="another circuit"), CHUNKS)


def test_other_content_replaces_the_jobs_of_its_own_scope_and_purpose_alone(ledger, keys):
    elsewhere = [
        *ledger.plan(replace(REQUEST, scope=submission(1)), CHUNKS),
        *ledger.plan(replace(REQUEST, purpose="step 1"), CHUNKS),
    ]
    new = ledger.plan(replace(REQUEST, circuit="another circuit"), CHUNKS)
    assert ledger.jobs() == [*elsewhere, *new]


def test_a_plan_that_fails_on_the_way_leaves_what_was_there(ledger, keys, monkeypatch):
    monkeypatch.setattr("qhyper.quantum.cloud.ledger.time.time", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ledger.plan(replace(REQUEST, circuit="another circuit"), CHUNKS)
    assert [record.key for record in ledger.jobs()] == keys
    assert [record.key for record in ledger.plan(REQUEST, CHUNKS)] == keys  # and their content


def test_rows_of_another_shape_are_other_rows_though_their_bytes_are_the_same():
    contents = {replace(REQUEST, rows=ROWS.reshape(shape)).content() for shape in ((4, 3), (3, 4),
                (12, 1), (1, 12))}  # fmt: skip
    assert len(contents) == 4


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_request_is_answered_once_all_its_jobs_are_done(ledger, keys, done):
    later = replace(REQUEST, scope=submission(2))
    for key in keys[:done]:
        ledger.store(key, Measured(BITS))
    found = ledger.answered(later, since=0.0)
    assert [record.key for record in found] == (keys if done == 2 else [])
    assert ledger.answered(replace(later, purpose="step 1"), since=0.0) == []
    assert ledger.answered(replace(later, shots=9), since=0.0) == []


def test_a_request_without_jobs_answers_none(ledger):
    assert ledger.plan(replace(REQUEST, scope=submission(1)), []) == []
    assert ledger.answered(REQUEST, since=0.0) == []
    keys = [record.key for record in ledger.plan(REQUEST, CHUNKS)]
    for key in keys:
        ledger.store(key, Measured(BITS))
    assert [record.key for record in ledger.answered(REQUEST, since=0.0)] == keys


def test_keys_differ_by_run_scope_purpose_and_chunk(tmp_path, keys):
    (tmp_path / "other").mkdir()
    with Ledger(tmp_path / "other", "another run") as other:
        seen = {record.key for record in other.plan(REQUEST, CHUNKS)} | set(keys)
        seen |= {r.key for r in other.plan(replace(REQUEST, scope=submission(1)), CHUNKS)}
        seen |= {r.key for r in other.plan(replace(REQUEST, purpose="step 1"), CHUNKS)}
    assert len(seen) == 8


# written down from the version before scopes had a type: other keys would pay for old jobs again
KEYS = {
    ("training", "step 0"): "0d1cdd6d4586c5c00e4c988eaff8d6ed e1f7c48335b9739e637b3ff67ab8945f",
    ("submission 3", "draws"): "65a0ca41c39afd77c041fdc70f716e47 6a5800628db0a5f1cd5ecd534a4b5d09",
    ("my study", "step 0"): "5a663e0c5f5f68c4326e8451ff40a881 32676857d1e53368b7f2b0b826f7fc09",
    ("eine Übung", "preflight 1a2b3c4d"): (
        "13c6fc4c9e0acc24f3e80dd6e93239be 6ecd115eaa47c8e312cf52a573058f8c"
    ),
}


@pytest.mark.parametrize(("words", "purpose"), KEYS)
def test_keys_tags_and_what_is_stored_never_change(tmp_path, words, purpose):
    request = replace(REQUEST, scope=Scope.read(words), purpose=purpose)
    assert request.content() == "96b3466a15dd60b3f776e090d3c0126b5e6278a56dcc5e491650356f222679bd"
    expected = KEYS[words, purpose].split()
    with Ledger(tmp_path, "a run") as ledger:
        ledger.allow(request.scope, 5)
        records = ledger.plan(request, CHUNKS)
        assert [record.key for record in records] == expected
        assert [record.tag for record in records] == [f"qhyper-{key}" for key in expected]
        assert ledger.jobs(request.scope) == records
        with sqlite3.connect(ledger.path) as base:
            stored = base.execute("SELECT key, scope, state FROM jobs").fetchall()
            assert stored == [(key, words, "planned") for key in expected]
            assert base.execute("SELECT * FROM budgets").fetchall() == [(words, 5)]
            assert base.execute("SELECT scope FROM requests").fetchall() == [(words,)]
        base.close()


def test_a_job_as_plain_values(ledger, keys):
    values = ledger.job(keys[0]).values()
    assert json.loads(json.dumps(values)) == values
    assert list(values) == list(Record.__dataclass_fields__)
    assert (values["scope"], values["state"]) == ("training", "planned")
    assert {type(values[name]) for name in ("scope", "state")} == {str}


def test_jobs_of_a_preflight_say_so(ledger):
    purposes = {"preflight": True, "preflight 1a2b3c4d": True, "preflights": False, "step 0": False}
    for purpose, preflight in purposes.items():
        (record,) = ledger.plan(replace(REQUEST, purpose=purpose), [(0, 4, 0, 8)])
        assert (record.known == "preflight") == preflight


def test_a_tag_names_the_attempt(ledger, keys):
    assert ledger.job(keys[0]).tag == f"qhyper-{keys[0]}"
    ledger.claim(keys[0])
    assert ledger.job(keys[0]).tag == f"qhyper-{keys[0]}"
    ledger.unknown(keys[0], "")
    ledger.again(keys[0])
    ledger.claim(keys[0])
    assert ledger.job(keys[0]).tag == f"qhyper-{keys[0]}-2"


def test_jobs_are_found_by_the_beginning_of_their_key(ledger, keys):
    with pytest.raises(ConfigurationError, match="which no jobs"):
        ledger.job(keys[0][3:15])  # from the middle of one
    assert ledger.job(keys[0][:12]).key == keys[0]
    with pytest.raises(ConfigurationError, match=r"Got the key 'xyz', which no jobs .* expected"):
        ledger.job("xyz")
    with pytest.raises(ConfigurationError, match=r"Got the key '', which 2 jobs .* `qhyper jobs`"):
        ledger.job("")


# -- states ---------------------------------------------------------------------------------------


def test_only_planned_jobs_are_claimed(ledger, keys):
    key = keys[0]
    assert ledger.claim(key)
    for change in (
        lambda: None,
        lambda: ledger.submitted(key, "job 1"),
        lambda: ledger.failed(key, "broken"),
        lambda: ledger.unknown(key, "who knows"),
        lambda: ledger.store(key, Measured(BITS)),
    ):
        change()
        assert not ledger.claim(key)
    assert ledger.job(key).attempts == 1


def test_only_failed_and_unknown_jobs_are_sent_again_or_adopt_one(ledger, keys):
    key = keys[0]
    for state, change in (
        ("planned", lambda: None),
        ("submitting", lambda: ledger.claim(key)),
        ("submitted", lambda: ledger.submitted(key, "job 1")),
        ("done", lambda: ledger.store(key, Measured(BITS))),
    ):
        change()
        only = f"The job {key} is {state}; only failed"
        message = f"{only}, refused, unreadable and unknown jobs can be sent again"
        with pytest.raises(ConfigurationError, match=message):
            ledger.again(key)
        if state != "submitting":  # its number may not have been written down
            with pytest.raises(ConfigurationError, match=f"{only} and unknown jobs can adopt one"):
                ledger.adopt(key, "job 2")


def test_a_number_is_that_of_one_job_alone(ledger, keys):
    ledger.claim(keys[0])
    ledger.submitted(keys[0], "job 1")
    ledger.claim(keys[1])
    ledger.unknown(keys[1], "who knows")
    with pytest.raises(ConfigurationError, match=f"job 1 is already the job of {keys[0]}"):
        ledger.adopt(keys[1], "job 1")
    ledger.adopt(keys[1], "job 2")
    record = ledger.job(keys[1])
    assert (record.state, record.job_id, record.attempts) == (State.SUBMITTED, "job 2", 1)


@pytest.fixture
def clock(monkeypatch):
    """The time as the ledger sees it, one second more with every look."""
    seconds = iter(range(1000, 10_000))
    monkeypatch.setattr("qhyper.quantum.cloud.ledger.time.time", lambda: float(next(seconds)))


def times(record):
    return record.sent, record.ended


@pytest.mark.usefixtures("clock")
def test_when_a_job_was_sent_and_when_it_ended(tmp_path):
    with Ledger(tmp_path, "a run") as ledger:
        ledger.allow(TRAINING, 1000)
        first, second = ledger.plan(REQUEST, CHUNKS)
        assert (first.planned, second.planned) == (1000, 1001)
        assert times(first) == (None, None)
        ledger.claim(first.key)
        sent = ledger.job(first.key).sent
        assert sent == 1002
        ledger.submitted(first.key, "job 1")
        assert times(ledger.job(first.key)) == (sent, None)  # sent when it was, not when known
        ledger.failed(first.key, "broken")
        assert times(ledger.job(first.key)) == (sent, 1003)
        ledger.adopt(first.key, "job 2")
        assert times(ledger.job(first.key)) == (sent, None)
        ledger.unknown(first.key, "who knows")
        ledger.again(first.key)
        assert times(ledger.job(first.key)) == (sent, None)
        ledger.claim(first.key)
        ledger.submitted(first.key, "job 3")
        ledger.store(first.key, Measured(BITS))
        assert times(ledger.job(first.key)) == (1004, 1005)
        ledger.lost(ledger.job(first.key))
        assert times(ledger.job(first.key)) == (1004, None)
        assert ledger.job(first.key).state == State.SUBMITTED
        # what the service has, though this ledger never sent it
        ledger.submitted(second.key, "job 4")
        assert times(ledger.job(second.key)) == (1006, None)


def test_a_job_that_is_sent_again_has_no_number_until_it_has_one(ledger, keys):
    ledger.claim(keys[0])
    ledger.submitted(keys[0], "job 1")
    ledger.failed(keys[0], "broken")
    ledger.again(keys[0])
    record = ledger.job(keys[0])
    assert (record.state, record.job_id, record.ended) == (State.PLANNED, None, None)


def test_a_job_that_the_service_has_was_sent_whoever_sent_it(ledger, keys):
    """As found by its tag, from a run directory that was copied before it was sent."""
    ledger.submitted(keys[0], "job 1")
    assert ledger.job(keys[0]).attempts == 1
    ledger.failed(keys[1], "broken")
    ledger.adopt(keys[1], "job 2")
    assert ledger.job(keys[1]).attempts == 1
    assert ledger.sent_shots(TRAINING) == 2 * 16


def test_a_job_may_adopt_its_own_number_again(ledger, keys):
    ledger.claim(keys[0])
    ledger.submitted(keys[0], "job 1")
    ledger.failed(keys[0], "broken")
    ledger.adopt(keys[0], "job 1")
    assert ledger.job(keys[0]).job_id == "job 1"


# -- budgets --------------------------------------------------------------------------------------


def test_the_shot_budget_is_exact(tmp_path):
    with Ledger(tmp_path, "a run") as ledger:
        first, second = (record.key for record in ledger.plan(REQUEST, CHUNKS))
        with pytest.raises(ConfigurationError, match="The shot budget of training is 0; 0 were s"):
            ledger.claim(first)
        ledger.allow(TRAINING, 31)
        assert ledger.claim(first)
        message = "budget of training is 31; 16 were sent, and the next job has 16. It was not sent"
        with pytest.raises(ConfigurationError, match=message):
            ledger.claim(second)
        assert ledger.job(second).state == State.PLANNED
        ledger.allow(TRAINING, 32)
        assert ledger.claim(second)


def test_what_the_user_sends_again_needs_no_budget_left(tmp_path):
    with Ledger(tmp_path, "a run") as ledger:
        ledger.allow(TRAINING, 16)
        first, second = (record.key for record in ledger.plan(REQUEST, CHUNKS))
        assert ledger.claim(first)
        ledger.failed(first, "broken")
        ledger.again(first)
        assert ledger.claim(first)
        with pytest.raises(ConfigurationError, match="is 16; 16 were sent, and the next job has"):
            ledger.claim(second)


def test_a_budget_is_only_raised_and_is_of_its_scope_alone(ledger):
    ledger.allow(TRAINING, 999)
    assert ledger.allowed(TRAINING) == 1000
    ledger.allow(TRAINING, 1001)
    ledger.allow(submission(1), 5)
    assert (ledger.allowed(TRAINING), ledger.allowed(submission(1))) == (1001, 5)
    assert ledger.allowed(submission(2)) == 0


def test_shots_are_counted_with_their_scope(ledger, keys):
    ledger.allow(submission(1), 16)
    (other, _) = ledger.plan(replace(REQUEST, scope=submission(1)), CHUNKS)
    assert ledger.claim(keys[0])
    assert ledger.claim(other.key)
    assert ledger.sent_shots(TRAINING) == ledger.sent_shots(submission(1)) == 16
    assert ledger.sent_shots(submission(2)) == 0


def test_a_refused_job_costs_nothing_of_the_budget(ledger, keys):
    ledger.claim(keys[0])
    assert ledger.sent_shots(TRAINING) == 16
    ledger.unclaim(keys[0], State.PLANNED, "busy")
    assert ledger.sent_shots(TRAINING) == 0


def test_what_the_user_sends_again_takes_nothing_from_the_others(tmp_path):
    with Ledger(tmp_path, "a run") as ledger:
        ledger.allow(TRAINING, 32)
        first, second = (record.key for record in ledger.plan(REQUEST, CHUNKS))
        for _ in range(3):  # each on the user's word
            assert ledger.claim(first)
            ledger.failed(first, "broken")
            ledger.again(first)
        assert ledger.claim(first)
        assert ledger.claim(second)
        assert ledger.sent_shots(TRAINING) == 2 * 16
        (third,) = ledger.plan(replace(REQUEST, purpose="step 1"), [(0, 1, 0, 1)])
        with pytest.raises(ConfigurationError, match="The shot budget of training is 32; 32 were"):
            ledger.claim(third.key)


# -- shots ----------------------------------------------------------------------------------------


def test_shots_are_stored_before_a_job_is_done(ledger, keys, monkeypatch):
    ledger.claim(keys[0])
    ledger.submitted(keys[0], "job 1")
    with monkeypatch.context() as patch:
        full = StorageError("no space")
        patch.setattr(
            "qhyper.quantum.cloud.ledger.write_whole", lambda *_: (_ for _ in ()).throw(full)
        )
        with pytest.raises(StorageError, match="no space"):
            ledger.store(keys[0], Measured(BITS))
    assert ledger.job(keys[0]).state == State.SUBMITTED
    ledger.store(keys[0], Measured(BITS, "a note"))
    record = ledger.job(keys[0])
    assert (record.state, record.note) == (State.DONE, "a note")
    np.testing.assert_array_equal(ledger.load(record), BITS)


@pytest.mark.parametrize("shape", [(2, 8, 4), (2, 7, 3), (1, 8, 3), (8, 2, 3)])
def test_shots_of_another_shape_are_none(ledger, keys, shape):
    ledger.store(keys[0], Measured(np.zeros(shape, np.uint8)))
    assert ledger.load(ledger.job(keys[0])) is None


def test_damaged_shots_are_never_taken_for_shots(ledger, keys):
    """Every byte is changed, and the file cut off at every length."""
    ledger.store(keys[0], Measured(BITS))
    record = ledger.job(keys[0])
    (path,) = (ledger.folder / "samples").iterdir()
    whole = path.read_bytes()
    for place in range(len(whole)):
        for spoiled in (
            whole[:place],
            whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :],
        ):
            path.write_bytes(spoiled)
            loaded = ledger.load(record)
            assert loaded is None or np.array_equal(loaded, BITS), place
    path.unlink()
    assert ledger.load(record) is None


def test_what_is_written_is_on_the_disk_before_the_next_step(ledger):
    """A power cut must not take back that a job was sent."""
    full = 2
    assert ledger._base.execute("PRAGMA synchronous").fetchone()[0] == full


# -- files ----------------------------------------------------------------------------------------


def test_the_ledger_of_another_run_is_refused(ledger, tmp_path):
    message = "ledger of another run: got the run a run, expected another. Put the run's own"
    with pytest.raises(StorageError, match=message):
        Ledger(tmp_path, "another")


def test_a_ledger_of_another_version_is_refused(ledger, tmp_path):
    with sqlite3.connect(ledger.path) as base:
        base.execute("UPDATE meta SET value = '7' WHERE name = 'version'")
    base.close()
    with pytest.raises(
        StorageError, match=r"ledger of version 7; this qhyper reads version 2. Use"
    ):
        Ledger(tmp_path, "a run")


@pytest.mark.parametrize(
    ("column", "value"),
    [("scope", "submission three"), ("scope", ""), ("scope", None), ("state", "lost")],
)
def test_a_scope_or_state_that_cannot_be_read_is_refused(ledger, keys, column, value):
    with sqlite3.connect(ledger.path) as base:
        base.execute(f"UPDATE jobs SET {column} = ?", (value,))
    base.close()
    message = (
        f"{ledger.path} has a job with the {column} {value!r}, which this qhyper does not know. "
        "Use the qhyper that wrote it, or put a copy back from before it was changed; do not "
        "remove it: it says which jobs were paid for."
    )
    for look in (ledger.jobs, lambda: ledger.job(keys[0]), lambda: ledger.claim(keys[0])):
        with pytest.raises(StorageError) as caught:
            look()
        assert str(caught.value) == message


def test_a_damaged_ledger_is_refused_and_left_as_it_is(tmp_path):
    with Ledger(tmp_path, "a run") as ledger, ledger.working():
        for step in range(60):
            ledger.plan(replace(REQUEST, purpose=f"step {step}"), CHUNKS)
        path = ledger.path
    whole = path.read_bytes()
    torn = whole[:8192] + b"\xff" * 4096 + whole[12288:]
    for damaged in (b"", b"not a ledger" * 100, whole[:5000], torn):
        path.write_bytes(damaged)
        with pytest.raises(StorageError, match=r"cannot be used as a job ledger: .* do not remove"):
            Ledger(tmp_path, "a run")
        assert path.read_bytes() == damaged
    path.unlink()  # jobs may have been sent: no new ledger in its place
    with pytest.raises(StorageError, match=r"it is empty, though jobs.lock beside it says that"):
        Ledger(tmp_path, "a run")


def test_a_folder_that_cannot_be_made_is_no_ledger(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="Cannot read or write"):
        Ledger(tmp_path / "file" / "folder", "a run")


def test_one_session_at_a_time_in_one_process(ledger, tmp_path):
    with (
        Ledger(tmp_path, "a run") as other,
        ledger.working(),
        pytest.raises(StorageError, match="Another process is at work on"),
        other.working(),
    ):
        pass
    with ledger.working():
        pass


OTHER = """
import json, sys
from pathlib import Path
from qhyper.errors import StorageError
from qhyper.quantum.cloud.ledger import Ledger
try:
    with Ledger(Path(sys.argv[1]), "a run") as ledger:
        print(json.dumps([record.key for record in ledger.jobs()]), flush=True)
        with ledger.working():
            print("at work", flush=True)
            sys.stdin.read()
except StorageError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def other_process(folder):
    return subprocess.Popen(
        [sys.executable, "-c", OTHER, folder],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ),
    )  # fmt: skip


def test_two_processes_on_one_ledger(ledger, keys, tmp_path):
    with ledger.working(), other_process(tmp_path) as second:
        out, _ = second.communicate()
    assert second.returncode == 2
    listed, refusal = out.splitlines()
    assert json.loads(listed) == keys  # looking is free
    assert refusal.startswith(f"Another process is at work on {ledger.path}. Wait until it is")


def test_the_lock_goes_with_a_process_that_is_killed(ledger, keys, tmp_path):
    with other_process(tmp_path) as second:
        second.stdout.readline()
        assert second.stdout.readline() == "at work\n"
        with pytest.raises(StorageError, match="Another process is at work"), ledger.working():
            pass
        second.kill()
        second.wait()
        with ledger.working():
            pass


# -- ledgers of earlier versions -------------------------------------------------------------------


def former(path):
    """A ledger as version 1 wrote it: without the columns that version 2 has."""
    base = sqlite3.connect(path)
    with base:
        for column in ("cost", "charged", "session"):
            base.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
        base.execute("UPDATE meta SET value = '1' WHERE name = 'version'")
    base.close()


def test_a_ledger_of_version_1_is_gone_on_with(tmp_path, ledger, keys):
    ledger.claim(keys[0])
    ledger.submitted(keys[0], "job 1")
    before = ledger.jobs()
    ledger.close()
    former(tmp_path / "jobs.sqlite")
    with Ledger(tmp_path, "a run") as renewed:
        found = renewed.jobs()
        assert [replace(r, cost=0.0) for r in found] == [replace(r, cost=0.0) for r in before]
        assert [record.cost for record in found] == [None, None]  # nobody knew
        assert renewed.plan(REQUEST, CHUNKS) == found
        renewed.claim(keys[1], cost=0.5)
        assert renewed.job(keys[1]).state == State.SUBMITTING
    former(tmp_path / "jobs.sqlite")
    with pytest.raises(StorageError, match="is the ledger of another run"):
        Ledger(tmp_path, "another run")


def test_jobs_of_the_service_by_its_former_name_answer_a_request(ledger, keys):
    renamed = replace(REQUEST, service="vendor", formerly="stub")
    assert [record.key for record in ledger.plan(renamed, CHUNKS)] == keys
    ledger.claim(keys[0])
    with pytest.raises(StorageError, match="with another circuit, other angles, shots or options"):
        ledger.plan(replace(REQUEST, service="elsewhere"), CHUNKS)
