"""Sending and fetching: every bad day of a service, and what it may not cost.

The shots that an undisturbed session measures are the oracle of all others: the stub's shots
depend on the job's key alone.
"""

import shutil
import sqlite3
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qhyper.errors import (
    ConfigurationError,
    Interrupted,
    JobError,
    MissingError,
    PendingError,
    StorageError,
)
from qhyper.quantum.cloud.chunks import chunks, n_chunks
from qhyper.quantum.cloud.door import Limits
from qhyper.quantum.cloud.preflight import preflight
from qhyper.quantum.cloud.questions import Patience
from qhyper.quantum.cloud.record import State
from qhyper.quantum.cloud.scope import TRAINING


@pytest.fixture
def undisturbed(tmp_path, stub):
    """The shots of the bench's request on a vendor of its own, from a ledger of its own."""
    from qhyper.quantum.cloud.backend import CloudBackend

    def measure(bench, rows=2):
        folder = tmp_path / "undisturbed"
        folder.mkdir()
        backend = CloudBackend(stub.StubService(folder / "vendor", qubits=3, rows=rows))
        isa = backend.compile(bench.circuit).isa
        with backend.connected(folder, "a run", "training", 10**6) as dispatcher:
            return dispatcher.measure(
                backend.request(TRAINING, "step 0", isa, bench.angles, 8), isa, 5.0
            )

    return measure


def paid_once(bench, jobs=3):
    keys = [tag.split("-")[1] for tag in bench.accepted()]
    return len(keys) == len(set(keys)) == jobs


# -- good days ------------------------------------------------------------------------------------


def test_the_same_request_is_paid_once_however_often_it_is_made(bench, undisturbed):
    first = bench.measure()
    assert first.shape == (6, 8, 3)
    for _ in range(3):
        np.testing.assert_array_equal(bench.measure(), first)
    np.testing.assert_array_equal(first, undisturbed(bench))
    assert paid_once(bench)
    assert bench.accepted() == [record.tag for record in bench.jobs()]


def test_chunks_come_together_in_their_places(bench, stub, stub_service):
    """Row by row and shot by shot, against the vendor's own record of each job."""
    bits = bench.measure(rows=4, shots=5)
    records = bench.jobs()
    assert [(r.first_row, r.rows, r.first_shot, r.shots) for r in records] == [
        (0, 4, 0, 5), (0, 4, 5, 3), (4, 2, 0, 5), (4, 2, 5, 3),
    ]  # fmt: skip
    service = stub_service()
    for record in records:
        told = service.job(record.job_id).measured(record.shape, seed=0).bits
        rows = slice(record.first_row, record.first_row + record.rows)
        shots = slice(record.first_shot, record.first_shot + record.shots)
        np.testing.assert_array_equal(bits[rows, shots], told)


def test_limits_that_change_between_sessions_change_no_job(bench, undisturbed):
    with bench.session(faults=[None] + ["busy"] * 100) as (dispatcher, request, isa):
        dispatcher.send(request, isa)
    assert len(bench.accepted()) == 1
    np.testing.assert_array_equal(bench.measure(rows=6), undisturbed(bench))
    assert paid_once(bench)


# -- lost replies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("listed_after", [0.0, 0.15])
def test_a_job_whose_reply_was_lost_is_found_by_its_tag(bench, undisturbed, listed_after):
    bits = bench.measure(faults=[None, "lost"], listed_after=listed_after)
    np.testing.assert_array_equal(bits, undisturbed(bench))
    assert paid_once(bench)
    assert [text for text in bench.heard if "did not confirm" in text] == [
        "stub did not confirm a job: ConnectionError: connection reset by peer. Looking for it "
        "by its tag."
    ]


def test_a_job_listed_after_the_grace_time_is_unknown_and_found_later_all_the_same(
    bench, undisturbed
):
    message = (
        r"1 of 3 jobs on stub did not succeed. \w{32} is unknown: stub lists no job with the tag "
        r"qhyper-\w{32} for this account, 0.3 s after it was sent. Find it among "
        r"the vendor's jobs and say `qhyper jobs --adopt KEY JOB_ID`; only if it is not "
        r"there, `qhyper jobs --resend KEY`, which pays for it once more."
    )
    with pytest.raises(JobError, match=message):
        bench.measure(faults=["lost"], listed_after=1000.0)
    assert bench.states() == ["unknown", "done", "done"]
    np.testing.assert_array_equal(bench.measure(), undisturbed(bench))
    assert paid_once(bench)


def test_without_tags_only_the_user_knows(bench, stub_service, undisturbed):
    for _ in range(2):
        with pytest.raises(JobError, match="reply of stub was lost, and it cannot look up tags"):
            bench.measure(tags=False, faults=["lost"])
    assert paid_once(bench)
    with bench.session(tags=False) as (dispatcher, request, isa):
        (lost,) = [r for r in dispatcher.ledger.jobs() if r.state == State.UNKNOWN]
        (number,) = [number for number, tag in stub_service().accepted() if tag == lost.tag]
        dispatcher.ledger.adopt(lost.key[:8], number)
        np.testing.assert_array_equal(dispatcher.measure(request, isa, 5.0), undisturbed(bench))
    assert paid_once(bench)


def test_a_job_that_was_never_taken_is_sent_again_on_the_users_word_alone(bench, undisturbed):
    with pytest.raises(JobError, match="is unknown: stub lists no job with the tag"):
        bench.measure(faults=["never"])
    assert paid_once(bench, jobs=2)
    with pytest.raises(JobError, match="is unknown"):
        bench.measure()
    assert paid_once(bench, jobs=2)
    with bench.session() as (dispatcher, request, isa):
        (lost,) = [r for r in dispatcher.ledger.jobs() if r.state == State.UNKNOWN]
        dispatcher.ledger.again(lost.key)
        np.testing.assert_array_equal(dispatcher.measure(request, isa, 5.0), undisturbed(bench))
    assert paid_once(bench)


def test_a_job_sent_again_is_not_taken_for_the_one_that_failed_before(bench):
    """The reply of the second attempt is lost: the first job has the key too, and has failed."""
    with pytest.raises(JobError, match="failed by stub"):
        bench.measure(spoiled={0: "failed"})
    with bench.session(spoiled={0: "failed"}, faults=["lost"]) as (dispatcher, request, isa):
        (failed,) = [r for r in dispatcher.ledger.jobs() if r.state == State.FAILED]
        dispatcher.ledger.again(failed.key)
        assert dispatcher.measure(request, isa, 5.0).shape == (6, 8, 3)
        assert dispatcher.ledger.job(failed.key).tag == f"qhyper-{failed.key}-2"
    assert len(bench.accepted()) == 4


def test_a_clock_set_back_does_not_make_it_wait_for_ever(bench):
    """Sent an hour in the future, as it seems after the clock was put right."""
    with bench.session() as (dispatcher, request, _):
        (record,) = dispatcher.ledger.plan(request, [(0, 6, 0, 8)])
        dispatcher.ledger.claim(record.key)
        dispatcher.ledger._update(record.key, sent=time.time() + 3600)
    with pytest.raises(JobError, match="is unknown"):
        bench.measure()
    assert bench.accepted() == []


# -- late, failed and spoiled jobs ----------------------------------------------------------------


def test_a_late_job_is_pending_and_fetched_later(bench, undisturbed):
    message = r"3 of 3 jobs on stub are not done \(3 submitted, 0 not taken yet\). Nothing is lost."
    with pytest.raises(PendingError, match=message) as late:
        bench.measure(wait=0.05, late=1000.0)
    assert late.value.exit_code == 5
    np.testing.assert_array_equal(bench.measure(), undisturbed(bench))
    assert paid_once(bench)


SPOILED = {
    "failed": "is failed: failed by stub: calibration lost. The vendor had it: its bill says",
    "cancelled": "is failed: cancelled by stub: calibration lost. The vendor had it: its bill",
    "counts": "is unreadable: stub returned counts alone; shots are expected. It is done and paid",
    "width": r"returned shots of shape \(2, 8, 2\); expected \[row, shot, bit\] = \[2, 8, 3\]",
    "short": r"returned shots of shape \(2, 7, 3\); expected \[row, shot, bit\] = \[2, 8, 3\]",
}


@pytest.mark.parametrize("kind", SPOILED)
def test_one_failed_job_holds_up_no_other(bench, undisturbed, kind):
    with pytest.raises(JobError, match=f"1 of 3 jobs on stub did not succeed.*{SPOILED[kind]}"):
        bench.measure(spoiled={1: kind})
    state = "failed" if kind in ("failed", "cancelled") else "unreadable"
    assert bench.states() == ["done", state, "done"]
    with pytest.raises(JobError, match="did not succeed"):  # and nothing is sent again unasked
        bench.measure(spoiled={1: kind})
    assert paid_once(bench)
    if state == "unreadable":  # what was paid for is read once it can be
        np.testing.assert_array_equal(bench.measure(), undisturbed(bench))
        assert paid_once(bench)
        return
    with bench.session() as (dispatcher, request, isa):
        (failed,) = [r for r in dispatcher.ledger.jobs() if r.state == State.FAILED]
        dispatcher.ledger.again(failed.key)
        np.testing.assert_array_equal(dispatcher.measure(request, isa, 5.0), undisturbed(bench))
    assert len(bench.accepted()) == 4


def test_one_stuck_job_holds_up_no_other(bench, undisturbed):
    with pytest.raises(PendingError, match=r"1 of 3 jobs on stub are not done \(1 submitted"):
        bench.measure(wait=0.1, spoiled={0: "stuck"})
    assert bench.states() == ["submitted", "done", "done"]
    np.testing.assert_array_equal(bench.measure(), undisturbed(bench))
    assert paid_once(bench)


def test_one_job_that_cannot_be_asked_about_holds_up_no_other(bench, undisturbed):
    """The others become done only after more questions than the service may leave unanswered."""
    with pytest.raises(MissingError, match="stub does not answer: gateway timeout 1 job may still"):
        bench.measure(wait=0.5, late=0.3, spoiled={1: "unreachable"})
    assert bench.states() == ["done", "submitted", "done"]
    np.testing.assert_array_equal(bench.measure(), undisturbed(bench))
    assert paid_once(bench)


def test_results_that_can_be_read_once_are_read_once(bench, undisturbed):
    bits = bench.measure(spoiled="read once")
    np.testing.assert_array_equal(bench.measure(spoiled="read once"), bits)
    np.testing.assert_array_equal(bits, undisturbed(bench))
    assert paid_once(bench)


def test_a_job_whose_number_is_known_only_later_is_not_given_up(bench, stub, undisturbed):
    with bench.session() as (dispatcher, request, isa):
        dispatcher.send(request, isa)
    np.testing.assert_array_equal(bench.measure(known_after=0.15), undisturbed(bench))
    assert paid_once(bench)


def test_a_number_that_the_service_does_not_know_is_a_failure(bench):
    with bench.session() as (dispatcher, request, isa):
        dispatcher.send(request, isa)
    haste = Patience(grace=0.0, first_poll=0.01)
    with pytest.raises(
        JobError, match=r"is unknown: stub knows no job \w+. Check the number. It may"
    ):
        bench.measure(known_after=1000.0, patience=haste)
    assert paid_once(bench)


@pytest.mark.parametrize("damage", ["deleted", "damaged", "empty"])
def test_stored_shots_that_are_gone_are_fetched_again_and_not_paid(bench, undisturbed, damage):
    bench.measure()
    for path in (bench.folder / "samples").iterdir():
        if damage == "deleted":
            path.unlink()
        else:
            path.write_bytes(b"" if damage == "empty" else path.read_bytes()[:-30])
    with pytest.raises(PendingError, match=r"3 of 3 jobs on stub are not done \(3 submitted"):
        bench.measure()
    assert len([text for text in bench.heard if text.endswith("are gone or damaged.")]) == 3
    np.testing.assert_array_equal(bench.measure(), undisturbed(bench))
    assert paid_once(bench)


# -- services that refuse or are away -------------------------------------------------------------


def test_a_busy_service_is_asked_again_after_a_pause(bench, undisturbed):
    bits = bench.measure(faults=["busy", None, "busy", "busy", None, "busy", "busy", None])
    np.testing.assert_array_equal(bits, undisturbed(bench))
    assert paid_once(bench)


def test_a_busy_service_is_not_asked_for_ever(bench, undisturbed):
    message = (
        r"2 of 3 jobs on stub are not done \(0 submitted, 2 not taken yet\).* too many requests"
    )
    with (
        bench.session(faults=[None] + ["busy"] * 100) as (dispatcher, request, isa),
        pytest.raises(PendingError, match=message),
    ):
        dispatcher.measure(request, isa, 1.0)
    # one taken, refused in the same round, then as many rounds as are left of 4; and 4 more once
    # the one is done, which may have made room
    assert dispatcher.service.calls["run"] == 1 + 1 + 3 + 4
    assert bench.states() == ["done", "planned", "planned"]
    np.testing.assert_array_equal(bench.measure(), undisturbed(bench))
    assert paid_once(bench)


def test_pauses_double_up_to_the_longest(bench, monkeypatch):
    pauses = []
    patience = Patience(first_poll=1.0, last_poll=3.0, attempts=5)
    with bench.session(faults=["busy"] * 5, patience=patience) as (dispatcher, request, isa):
        monkeypatch.setattr(dispatcher, "_sleep", pauses.append)
        dispatcher.send(request, isa)
    assert pauses == [1.0, 2.0, 3.0, 3.0]
    assert bench.accepted() == []


def test_a_job_refused_for_good_costs_nothing(bench):
    with pytest.raises(
        JobError,
        match=r"is refused: this circuit is not allowed: calibration lost. It was not taken",
    ):
        bench.measure(faults=["refused"])
    assert bench.states() == ["refused", "done", "done"]
    with bench.session() as (dispatcher, request, isa):
        assert dispatcher.ledger.sent_shots(TRAINING) == 2 * 16
        dispatcher.ledger.again(dispatcher.ledger.jobs()[0].key)
        dispatcher.measure(request, isa, 5.0)
    assert paid_once(bench)


def test_a_service_in_maintenance_is_sent_nothing(bench):
    message = "stub takes no jobs now: Calibration until noon. Nothing was sent. Try again later"
    with pytest.raises(MissingError, match=message):
        bench.measure(maintenance="Calibration until noon.")
    assert bench.accepted() == []
    assert bench.states() == ["planned"] * 3


def test_what_is_sent_is_fetched_during_maintenance(bench, undisturbed):
    with bench.session() as (dispatcher, request, isa):
        dispatcher.send(request, isa)
    bits = bench.measure(maintenance="Calibration until noon.")
    np.testing.assert_array_equal(bits, undisturbed(bench))


def test_a_service_that_goes_away_while_jobs_are_sent(bench, undisturbed):
    """Two calls without an answer are enough; what was not tried stays planned."""
    message = (
        "stub does not answer: the network is gone: calibration lost 2 jobs may have been taken or "
        "not. Check the network; the same command looks them up again."
    )
    with pytest.raises(MissingError, match=message) as gone:
        bench.measure(rows=1, away_after=2)
    assert gone.value.exit_code == 3
    assert bench.states() == ["submitted"] * 2 + ["submitting"] * 2 + ["planned"] * 2
    with pytest.raises(JobError, match="2 of 6 jobs on stub did not succeed"):  # back, without them
        bench.measure()
    assert paid_once(bench, jobs=4)
    with bench.session() as (dispatcher, request, isa):
        for record in dispatcher.ledger.jobs():
            if record.state == State.UNKNOWN:
                dispatcher.ledger.again(record.key)
        np.testing.assert_array_equal(
            dispatcher.measure(request, isa, 5.0), undisturbed(bench, rows=1)
        )
    assert paid_once(bench, jobs=6)


def test_a_service_that_goes_away_for_good_loses_nothing(bench, undisturbed):
    with bench.session() as (dispatcher, request, isa):
        dispatcher.send(request, isa)
    message = (
        "stub does not answer: the network is gone: calibration lost 3 jobs may still be running "
        "there. Nothing is lost. Fetch again later."
    )
    for wait in (0.0, 5.0):
        with (
            bench.session(away=True) as (dispatcher, _, _),
            pytest.raises(MissingError, match=message) as gone,
        ):
            dispatcher.fetch(dispatcher.ledger.jobs(), wait)
        assert gone.value.exit_code == 3
    np.testing.assert_array_equal(bench.measure(), undisturbed(bench))
    assert paid_once(bench)


def test_a_signal_ends_every_wait(bench):
    with bench.session(late=1000.0) as (dispatcher, request, isa):
        records = dispatcher.send(request, isa)
        dispatcher._stop = lambda: True
        with pytest.raises(Interrupted, match="Stopped by a signal"):
            dispatcher.fetch(records, 1000.0)
        with pytest.raises(Interrupted, match="Stopped by a signal"):
            dispatcher._sleep(1000.0)
    assert bench.states() == ["submitted"] * 3


def test_jobs_of_this_process_alone_are_planned_again(bench, monkeypatch):
    """A simulator's jobs end with the process, and cost nothing."""
    with bench.session(late=1000.0) as (dispatcher, request, isa):
        dispatcher.send(request, isa)
        keys = [record.key for record in dispatcher.ledger.jobs()]
    with bench.session() as (dispatcher, request, isa):
        dispatcher.service.local = True
        dispatcher.measure(request, isa, 5.0)
        assert [record.key for record in dispatcher.ledger.jobs()] == keys
        assert dispatcher.ledger.sent_shots(TRAINING) == 3 * 16
    assert len(bench.accepted()) == 6
    next((bench.folder / "samples").iterdir()).unlink()
    with bench.session() as (dispatcher, request, isa):
        dispatcher.service.local = True
        with pytest.raises(PendingError, match="1 of 3 jobs"):
            dispatcher.measure(request, isa, 5.0)
        assert dispatcher.measure(request, isa, 5.0).shape == (6, 8, 3)


# -- budgets and chunks ---------------------------------------------------------------------------


def test_the_shot_budget_stops_the_next_job(bench, undisturbed):
    with pytest.raises(ConfigurationError, match="budget of training is 40; 32 were sent, and the"):
        bench.measure(budget=40)
    assert paid_once(bench, jobs=2)
    np.testing.assert_array_equal(bench.measure(budget=48), undisturbed(bench))
    assert paid_once(bench)


LIMITS = st.builds(
    Limits,
    qubits=st.just(5),
    rows=st.none() | st.integers(1, 30),
    shots=st.none() | st.integers(1, 30),
    executions=st.none() | st.integers(1, 200),
    gates=st.none() | st.integers(1, 200),
)


@given(LIMITS, st.integers(1, 40), st.integers(1, 40), st.integers(0, 50))
def test_chunks_cover_every_shot_once_and_obey_every_limit(limits, rows, shots, gates):
    covered = np.zeros((rows, shots), dtype=int)
    for row, n_rows, shot, n_shots in chunks(limits, rows, shots, gates):
        covered[row : row + n_rows, shot : shot + n_shots] += 1
        assert n_rows >= 1
        assert n_shots >= 1
        assert row + n_rows <= rows
        assert shot + n_shots <= shots
        assert limits.rows is None or n_rows <= limits.rows
        assert limits.shots is None or n_shots <= limits.shots
        assert limits.executions is None or n_rows * n_shots <= limits.executions
        # one circuit cannot be cut: the service may refuse it
        assert limits.gates is None or n_rows == 1 or n_rows * gates <= limits.gates
    assert (covered == 1).all()


@pytest.mark.parametrize(
    ("limits", "jobs"),
    [
        (Limits(5), 1),
        (Limits(5, rows=50), 5),
        (Limits(5, shots=512), 2),
        (Limits(5, executions=216 * 1024), 1),
        (Limits(5, executions=216 * 1024 - 1), 2),
        (Limits(5, gates=105 * 216), 1),
        (Limits(5, gates=105 * 215), 2),
        (Limits(5, rows=100, shots=1000), 6),
    ],
)
def test_no_more_jobs_than_the_limits_ask_for(limits, jobs):
    assert len(chunks(limits, 216, 1024, 105)) == jobs


# -- what a real account does ---------------------------------------------------------------------


def test_a_service_that_answers_late_is_asked_again(bench, undisturbed):
    np.testing.assert_array_equal(bench.measure(silent=3), undisturbed(bench))
    assert paid_once(bench)


def test_a_service_that_never_answers_before_sending_is_sent_nothing(bench):
    with pytest.raises(MissingError, match=r"stub does not answer: .*HTTP 502.* Nothing more was"):
        bench.measure(silent=1000)
    assert bench.accepted() == []


@pytest.mark.parametrize("late", [False, True])
def test_an_expired_login_fails_no_job(bench, undisturbed, late):
    message = "stub does not let this account in: the login is too old. Log in again"
    if late:
        with bench.session() as (dispatcher, request, isa):
            dispatcher.send(request, isa)
    with pytest.raises(MissingError, match=message):
        bench.measure(denied=True)
    assert bench.states() == (["submitted"] if late else ["planned"]) * 3
    np.testing.assert_array_equal(bench.measure(), undisturbed(bench))
    assert paid_once(bench)


def test_a_job_that_is_not_found_is_unknown_and_comes_back(bench, undisturbed):
    with bench.session() as (dispatcher, request, isa):
        dispatcher.send(request, isa)
    haste = Patience(grace=0.0, first_poll=0.01)
    for _ in range(2):
        with pytest.raises(
            JobError, match=r"is unknown: .* may have run there all the same, under"
        ):
            bench.measure(spoiled="forgotten", patience=haste)
        assert bench.states() == ["unknown"] * 3
    np.testing.assert_array_equal(bench.measure(), undisturbed(bench))
    assert paid_once(bench)


@pytest.mark.parametrize("tags", [True, False])
def test_what_is_sent_again_is_looked_up_first(bench, undisturbed, tags):
    """Three finished, paid jobs whose lookup answers 404: nothing is paid for again."""
    with bench.session(tags=tags) as (dispatcher, request, isa):
        dispatcher.send(request, isa)
    haste = Patience(grace=0.0, first_poll=0.01)
    with pytest.raises(JobError, match="is unknown"):
        bench.measure(spoiled="forgotten", patience=haste, tags=tags)
    with bench.session(tags=tags) as (dispatcher, _, _):
        found = [dispatcher.look_up(record).state for record in dispatcher.ledger.jobs()]
    assert found == [State.SUBMITTED] * 3
    np.testing.assert_array_equal(bench.measure(tags=tags), undisturbed(bench))
    assert paid_once(bench)


def test_a_job_that_failed_is_looked_up_under_all_its_tags(bench):
    with pytest.raises(JobError, match="is failed"):
        bench.measure(spoiled={1: "failed"})
    with bench.session(spoiled={1: "failed"}) as (dispatcher, _, _):
        record = dispatcher.ledger.jobs()[1]
        assert dispatcher.look_up(record).state == State.FAILED  # the vendor says the same
    with bench.session() as (dispatcher, _, _):
        assert dispatcher.look_up(record).state == State.SUBMITTED  # the vendor says otherwise
    with (
        bench.session(silent=1000) as (dispatcher, _, _),
        pytest.raises(MissingError, match="stub does not answer"),
    ):
        dispatcher.look_up(dispatcher.ledger.jobs()[1])


def test_rows_that_were_not_run_are_sent_alone(bench, undisturbed):
    bits = bench.measure(spoiled={1: "part"})
    records = bench.jobs()
    assert [(r.first_row, r.rows) for r in records] == [(0, 2), (2, 2), (4, 2), (3, 1)]
    expected = undisturbed(bench)
    good = [0, 1, 2, 4, 5]
    np.testing.assert_array_equal(bits[good], expected[good])
    assert len(bench.accepted()) == 4
    assert "did not run 1 of the 2 rows" in " ".join(bench.heard)
    np.testing.assert_array_equal(bench.measure(), bits)  # and nothing is sent once more
    assert len(bench.accepted()) == 4
    for path in (bench.folder / "samples").iterdir():
        path.unlink()
    with pytest.raises(PendingError, match="4 of 4 jobs on stub are not done"):
        bench.measure(spoiled={1: "part"})
    np.testing.assert_array_equal(bench.measure(spoiled={1: "part"}), bits)
    assert len(bench.accepted()) == 4  # what was fetched again is planned once
    service = bench.stub_service()
    alone = service.job(records[3].job_id).measured((1, 8, 3), seed=0).bits
    np.testing.assert_array_equal(bits[3], alone[0])


def test_what_cannot_be_read_is_kept(bench):
    with pytest.raises(JobError, match="is unreadable: stub returned counts alone"):
        bench.measure(spoiled={1: "counts"})
    with bench.session(spoiled={1: "counts"}) as (dispatcher, _, _):
        record = dispatcher.ledger.jobs()[1]
        raw = dispatcher.ledger.raw_file(record.key).read_bytes()
    number = bench.accepted().index(record.tag)
    assert raw == bench.stub_service().packed(number)


def test_what_was_charged_is_written_down(bench):
    bench.measure()
    assert [record.charged for record in bench.jobs()] == ["0.30 stub dollars"] * 3


def test_a_number_that_cannot_be_written_down_is_said(bench, monkeypatch):
    def full(*arguments, **options):
        raise StorageError("the disk is full")

    with bench.session() as (dispatcher, request, isa):
        monkeypatch.setattr(dispatcher.ledger, "submitted", full)
        with pytest.raises(StorageError, match="the disk is full"):
            dispatcher.send(request, isa)
        key = dispatcher.ledger.jobs()[0].key
    (number,) = [number for number, _ in bench.stub_service().accepted()]
    assert f"stub has taken the job {key} as {number}, which could not be" in bench.heard[-1]
    assert f"`qhyper jobs --adopt {key[:8]} {number}`" in bench.heard[-1]


def test_a_copy_of_the_run_is_noticed(bench, tmp_path, undisturbed):
    with bench.session() as (dispatcher, request, _isa):
        dispatcher.ledger.plan(request, chunks(dispatcher.service.limits, 6, 8, 2))
    shutil.copytree(bench.folder, tmp_path / "copy")
    bench.measure()
    here, bench.folder = bench.folder, tmp_path / "copy"
    np.testing.assert_array_equal(bench.measure(), undisturbed(bench))
    assert paid_once(bench)
    assert "Is a copy of this run directory at work elsewhere" in " ".join(bench.heard)
    bench.folder = here


def test_a_fourth_job_waits_where_three_may_be_pending(bench, undisturbed):
    """An open plan: the fourth is refused for as long as three are not done."""
    bits = bench.measure(rows=1, pending=3, late=0.05)
    np.testing.assert_array_equal(bits, undisturbed(bench, rows=1))
    assert paid_once(bench, jobs=6)


def test_a_job_is_cancelled_and_its_queue_is_asked_for(bench):
    with bench.session(late=100.0) as (dispatcher, request, isa):
        first, *_ = dispatcher.send(request, isa)
        assert dispatcher.questions.queue(first.job_id) == "queued, third in the queue"
        assert dispatcher.questions.called(first.job_id) == first.tag
        dispatcher.cancel(first)
        (found,) = dispatcher.fetch([first], 0.0)
        assert (found.state, found.message) == (State.FAILED, "cancelled by stub: calibration lost")
        with pytest.raises(ConfigurationError, match="is failed; only submitted jobs can be canc"):
            dispatcher.cancel(found)
        with pytest.raises(
            ConfigurationError, match=r"stub knows no job 9: stub knows no job 9. Ch"
        ):
            dispatcher.questions.called("9")


def test_a_preflight_holds_for_a_day(bench):
    def fly():
        with bench.session(rows=None) as (dispatcher, _, isa):
            preflight(dispatcher, TRAINING, "stub", isa, 5.0)

    for _ in range(2):
        fly()
    assert len(bench.accepted()) == 1
    base = sqlite3.connect(bench.folder / "jobs.sqlite")
    with base:
        base.execute("UPDATE jobs SET ended = ended - 86401")
    base.close()
    for _ in range(2):
        fly()
    assert len(bench.accepted()) == 2


@pytest.mark.parametrize("shots", [1, 10**13])
def test_a_plan_of_any_size_is_counted(shots):
    limits = Limits(36, rows=100, shots=10_000, executions=10**7, gates=10**5)
    if shots == 1:
        assert n_chunks(limits, 250, 30_001, 35) == len(chunks(limits, 250, 30_001, 35)) == 12
    else:
        assert n_chunks(limits, 1, shots, 35) == 10**9


def test_errors_that_have_grown_since_transpilation_are_said(bench, monkeypatch):
    with bench.session() as (dispatcher, _, isa):
        monkeypatch.setattr("qhyper.quantum.cloud.preflight.moved", lambda *about: "They grew.")
        preflight(dispatcher, TRAINING, "stub", isa, 5.0)
    assert bench.heard[-1] == "stub: They grew."


# -- copies, accounts and dead ends ----------------------------------------------------------------


def failed_in_two_copies(bench, tmp_path):
    """A run whose second job failed, planned again in two copies of its directory."""
    with pytest.raises(JobError, match="is failed"):
        bench.measure(spoiled={1: "failed"})
    with bench.session(spoiled={1: "failed"}) as (dispatcher, _, _):
        dispatcher.ledger.again(dispatcher.ledger.jobs()[1].key)
    shutil.copytree(bench.folder, tmp_path / "copy")


def test_two_copies_that_resend_pay_once(bench, tmp_path):
    failed_in_two_copies(bench, tmp_path)
    bits = bench.measure()
    bench.folder = tmp_path / "copy"
    np.testing.assert_array_equal(bench.measure(), bits)
    assert len(bench.accepted()) == len(set(bench.accepted())) == 4


def test_what_a_copy_has_sent_counts_for_the_caps(bench, tmp_path):
    """0.3 dollars a job and 0.001 a shot: 0.316 for each of three jobs."""
    with bench.session() as (dispatcher, request, _isa):
        dispatcher.ledger.plan(request, chunks(dispatcher.service.limits, 6, 8, 2))
    shutil.copytree(bench.folder, tmp_path / "copy")
    bench.measure()
    bench.folder = tmp_path / "copy"
    bench.measure()
    assert [record.cost for record in bench.jobs()] == pytest.approx([0.316] * 3)


def test_a_preflight_is_repeated_in_a_process_that_runs_for_days(bench, monkeypatch):
    begun = time.time()
    with bench.session(rows=None) as (dispatcher, _, isa):
        for days, jobs in ((0, 1), (0.9, 1), (1.1, 2), (1.2, 2)):
            monkeypatch.setattr("qhyper.quantum.cloud.preflight.time.time",
                                lambda days=days: begun + 86_400 * days)  # fmt: skip
            preflight(dispatcher, TRAINING, "stub", isa, 5.0)
            assert len(bench.accepted()) == jobs


def test_an_exact_budget_is_enough_for_what_is_measured_again(bench):
    """6 rows of 8 shots, and a preflight of 4 rows of 32."""
    with bench.session(rows=None, budget=48 + 128) as (dispatcher, _, isa):
        preflight(dispatcher, TRAINING, "stub", isa, 5.0)
    base = sqlite3.connect(bench.folder / "jobs.sqlite")
    with base:
        base.execute("UPDATE jobs SET ended = ended - 86401")
    base.close()
    with bench.session(rows=None, budget=48 + 128) as (dispatcher, _, isa):
        preflight(dispatcher, TRAINING, "stub", isa, 5.0)
    bench.measure(spoiled={3: "part"}, budget=48 + 128)
    assert len(bench.accepted()) == 2 + 3 + 1


def test_a_job_sent_again_keeps_its_former_number(bench):
    with pytest.raises(JobError, match="is failed"):
        bench.measure(spoiled={1: "failed"})
    with bench.session(spoiled={1: "failed"}) as (dispatcher, _, _):
        record = dispatcher.ledger.jobs()[1]
        dispatcher.ledger.again(record.key)
    bench.measure()
    assert bench.jobs()[1].note == f"Sent before as {record.job_id}."


def test_what_is_kept_stays_unreadable_when_the_service_forgets_it(bench):
    for spoiled in ("counts", "forgotten"):
        with pytest.raises(JobError, match="is unreadable: stub returned counts alone"):
            bench.measure(spoiled={1: spoiled}, patience=Patience(grace=0.0, first_poll=0.01))


def test_a_service_without_tags_that_is_silent_ends_in_words(bench):
    with bench.session(tags=False) as (dispatcher, request, isa):
        dispatcher.send(request, isa)
    haste = Patience(grace=0.0, first_poll=0.01, attempts=3)
    with pytest.raises(JobError, match="is unknown"):
        bench.measure(tags=False, spoiled="forgotten", patience=haste)
    with pytest.raises(MissingError, match="stub does not answer"):
        bench.measure(tags=False, silent=1000, patience=haste)


def test_a_number_that_was_said_is_adopted(bench, monkeypatch):
    with bench.session() as (dispatcher, request, isa):
        monkeypatch.setattr(dispatcher.ledger, "submitted", lambda *a, **b: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            dispatcher.send(request, isa)
        monkeypatch.undo()
        first, *_ = dispatcher.ledger.jobs()
        ((number, _),) = dispatcher.service.accepted()
        assert first.state == State.SUBMITTING
        dispatcher.ledger.adopt(first.key, number)
    bench.measure()
    assert paid_once(bench)
