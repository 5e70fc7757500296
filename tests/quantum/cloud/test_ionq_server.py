"""IonQ by TLS on a bad day: no job is paid for twice, no result is lost, no advice is wrong.

Each test is a user who sends one job of two rows, and says the same command again once the day is
better. What the server took, and measured, is the oracle.
"""

import json
import re
import warnings
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("qiskit_ionq")
pytest.importorskip("cryptography")

from qhyper.errors import JobError, MissingError, PendingError
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.cloud.ionq import IonQService
from qhyper.quantum.cloud.qiskit_isa import transpiled
from qhyper.quantum.cloud.questions import Patience
from qhyper.quantum.cloud.readout import preparation
from qhyper.quantum.cloud.record import State
from tests.quantum.cloud.servers.ionq_server import TOKEN, IonQ
from tests.quantum.cloud.servers.local_https import CUT_AFTER, CUT_BEFORE, certificate, serving

SHOTS, N = 8, 3
ANGLES = np.array([[np.pi, 0, np.pi / 2], [np.pi / 2, np.pi, 0]])
HASTE = Patience(grace=1.0, first_poll=0.01, last_poll=0.1, attempts=3)


class User:
    """Who sends one job, session after session."""

    def __init__(self, folder, ionq):
        self.folder, self.ionq, self.heard = folder / "run", ionq, []
        self.folder.mkdir()
        self.isa = transpiled(preparation(N), IonQService("qpu.forte-1").device, level=1)

    def ledger(self, use):
        """What `use` returns of (dispatcher, request, isa) in a session of its own."""
        backend = CloudBackend(IonQService("qpu.forte-1"), level=1, patience=HASTE)
        isa = self.isa
        with backend.connected(
            self.folder, "a run", "draws", 10**6, warn=self.heard.append
        ) as dispatcher:
            request = backend.request(backend.scope, "draws", isa, ANGLES, SHOTS)
            return use(dispatcher, request, isa)

    def measures(self):
        """Measure, and compare with what the one job that the server took has measured."""
        bits = self.ledger(lambda dispatcher, request, isa: dispatcher.measure(request, isa, 60.0))
        (job,) = self.ionq.jobs.values()
        for row, drawn in enumerate(job["shots"].values()):
            theirs = np.array(drawn)[:, None] >> np.array(self.isa.qubits) & 1
            np.testing.assert_array_equal(bits[row], theirs)
        assert (self.state(), len(self.ionq.bodies)) == (State.DONE, 1)

    def fails(self, error, words):
        with pytest.raises(error, match=re.escape(words)) as trouble:
            self.ledger(lambda dispatcher, request, isa: dispatcher.measure(request, isa, 60.0))
        return str(trouble.value)

    def record(self):
        (record,) = self.ledger(lambda dispatcher, request, isa: dispatcher.ledger.jobs())
        return record

    def state(self):
        return self.record().state

    def resends(self):
        """As `qhyper jobs --resend` does: looked up first."""

        def again(dispatcher, request, isa):
            record = dispatcher.look_up(dispatcher.ledger.jobs()[0])
            if record.state != State.SUBMITTED:
                dispatcher.ledger.again(record.key)

        self.ledger(again)


@pytest.fixture
def user(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # the vendor's package reads .env files
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("QISKIT_IONQ_API_TOKEN", "IONQ_API_TOKEN", "QISKIT_IONQ_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IONQ_API_KEY", TOKEN)
    monkeypatch.setenv("IONQ_API_URL", "https://quantum.example/v0.4")
    with serving(IonQ(), certificate(tmp_path, "quantum.example"), monkeypatch) as there:
        yield User(tmp_path, there)


@pytest.mark.parametrize("fault", [CUT_AFTER, (502,), (504,)])
def test_cut_after_the_body(user, fault):
    user.ionq.fails("POST", "jobs", fault)
    user.measures()
    (words,) = user.heard
    assert "ionq:qpu.forte-1 did not confirm a job: " in words
    assert "Looking for it by its tag." in words


@pytest.mark.parametrize("fault", [CUT_BEFORE, 502])
def test_cut_before_the_body(user, fault):
    """Nobody can tell that from the one above, but by looking."""
    user.ionq.fails("POST", "jobs", fault)
    words = user.fails(JobError, "1 of 1 jobs on ionq:qpu.forte-1 did not succeed.")
    key = user.record().key
    assert f"{key} is unknown: ionq:qpu.forte-1 lists no job with the tag qhyper-{key}" in words
    assert "Find it among the vendor's jobs and say `qhyper jobs --adopt KEY JOB_ID`" in words
    assert user.state() == State.UNKNOWN
    assert not user.ionq.jobs
    user.resends()
    user.measures()


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("method", "path", "state"),
    [("POST", "/jobs", State.PLANNED), ("GET", "/jobs/job-0", State.SUBMITTED)],
)
def test_not_let_in(user, status, method, path, state):
    user.ionq.fails(method, path, status)
    user.fails(
        MissingError,
        f"ionq:qpu.forte-1 does not let this account in: HTTP {status}: no such luck. Log in "
        "again, or renew the key; no job has changed its state, and the same command goes on.",
    )
    assert user.state() == state
    user.measures()


def test_a_done_job_that_is_not_known(user):
    user.ionq.gone = True
    words = user.fails(JobError, " is unknown: IonQ knows nothing at ")
    assert (
        "Check the number and the key. It may have run there all the same, under another account, "
        "region or instance, and have been paid for. Find it among the vendor's jobs"
    ) in words
    assert user.state() == State.UNKNOWN
    user.ionq.gone = False
    user.resends()  # on somebody's word too
    user.measures()


def test_too_many_requests(user):
    user.ionq.fails("POST", "jobs", 429, 429)
    user.measures()


def test_too_many_requests_for_long(user):
    user.ionq.fails("POST", "jobs", *[429] * 50)
    words = user.fails(
        PendingError, "1 of 1 jobs on ionq:qpu.forte-1 are not done (0 submitted, 1 "
    )
    assert "Nothing is lost." in words
    assert (user.state(), user.ionq.jobs) == (State.PLANNED, {})
    user.ionq.faults.clear()
    user.measures()


def test_a_gateway_that_fails_at_each_read(user):
    """One 502 at the first read, at the second, and so on: lists, states, circuits and results."""
    ionq, place = user.ionq, [0, None]

    def fault(method, path):
        place[0] += method == "GET" and "/jobs" in path
        return 502 if method == "GET" and "/jobs" in path and place[0] == place[1] else None

    ionq.fault = fault
    user.measures()
    reads = place[0]
    assert reads >= 8
    for number in range(1, reads + 1):
        folder = user.folder.parent / str(number)
        folder.mkdir()
        place[:] = [0, number]
        ionq.jobs.clear()
        ionq.bodies.clear()
        User(folder, ionq).measures()
        assert place[0] >= number


def test_a_gateway_that_fails_for_long(user):
    user.ionq.fails("GET", "/jobs/job-0", *[502] * 3)
    words = user.fails(MissingError, "ionq:qpu.forte-1 does not answer: HTTP 502: no such luck")
    assert "Nothing is lost. Fetch again later." in words
    assert user.state() == State.SUBMITTED
    user.measures()


def test_a_job_that_is_listed_late(user):
    user.ionq.fails("POST", "jobs", CUT_AFTER)
    user.ionq.late = 2
    user.measures()


def test_a_job_that_is_listed_after_the_grace_time(user):
    user.ionq.fails("POST", "jobs", CUT_AFTER)
    user.ionq.late = 10**6
    user.fails(JobError, "Find it among the vendor's jobs and say `qhyper jobs --adopt")
    assert user.state() == State.UNKNOWN
    user.ionq.late = 0
    user.resends()
    user.measures()


@pytest.mark.parametrize(
    ("broken", "mended", "words"),
    [
        (
            {"kinds": ("ionq.result.shots.json.v9",)},
            {"kinds": ("shots",)},
            "it has no results that can be read; got ['ionq.result.shots.json.v9'], expected shots",
        ),
        ({"short": 1}, {"short": 0}, "got 7 shots in memory; expected 8"),
        (
            {"backend": "qpu.forte-2"},
            {"backend": None},
            "says that the job ran with the backend 'qpu.forte-2'; expected 'qpu.forte-1'",
        ),
    ],
)
def test_a_result_that_cannot_be_read(user, broken, mended, words):
    vars(user.ionq).update(broken)
    told = user.fails(JobError, words)
    assert " is unreadable: " in told
    assert (
        "It is done and paid for: do not send it again. `qhyper fetch` (a training: `qhyper "
        "resume`) reads it once more;"
    ) in told
    assert user.state() == State.UNREADABLE
    path = user.ledger(lambda d, request, isa: d.ledger.raw_file(d.ledger.jobs()[0].key))
    raw = json.loads(path.read_bytes())
    assert raw["jobs/job-0"]["id"] == "job-0"
    assert TOKEN not in path.read_text()
    vars(user.ionq).update(mended)
    user.ledger(lambda dispatcher, request, isa: dispatcher.fetch(dispatcher.ledger.jobs(), 60.0))
    user.measures()


def test_what_was_charged_is_in_the_ledger(user):
    user.measures()
    assert user.record().charged == "24.83 USD charged by IonQ"


def test_a_circuit_that_failed_is_sent_again_alone(user):
    """The one that was done is paid for, and kept."""
    user.ionq.broken = {"job-0", "job-0-1"}
    for _ in range(2):  # the second finds what the first has measured
        bits = user.ledger(lambda dispatcher, request, isa: dispatcher.measure(request, isa, 60.0))
    assert len(user.ionq.jobs) == 2
    assert [len(job["shots"]) for job in user.ionq.jobs.values()] == [2, 1]
    qubits = user.ledger(lambda dispatcher, request, isa: np.array(isa.qubits))
    kept = [user.ionq.jobs["job-0"]["shots"]["job-0-0"], user.ionq.jobs["job-1"]["shots"]["job-1"]]
    for row, drawn in enumerate(kept):
        np.testing.assert_array_equal(bits[row], np.array(drawn)[:, None] >> qubits & 1)


def test_ionqs_own_client_reads_what_the_server_says(user):
    """The server is IonQ's as far as its own client can tell."""
    from qiskit_ionq import IonQProvider

    user.measures()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        device = IonQProvider().get_backend("qpu.forte-1")
        job = device.retrieve_job("job-0")
        assert job.status().name == "DONE"
        theirs = [job.get_counts(row) for row in range(2)]
    bits = user.ledger(lambda dispatcher, request, isa: dispatcher.measure(request, isa, 60.0))
    for row in range(2):
        ours = Counter("".join(map(str, shot[::-1])) for shot in bits[row])
        assert {text: int(times) for text, times in theirs[row].items()} == ours
