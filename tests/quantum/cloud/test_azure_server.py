"""Azure Quantum by TLS on a bad day: no job is paid for twice, no result lost, no advice wrong.

Each test is a user who sends one job, and says the same command again once the day is better. What
the server took, and measured, is the oracle. Microsoft's packages ask up to four times by
themselves; a job has the same number each time.
"""

import re

import numpy as np
import pytest

pytest.importorskip("azure.quantum")
pytest.importorskip("qdk")

from qhyper.errors import JobError, MissingError, PendingError
from qhyper.quantum.cloud.azure_quantum import AzureService
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.cloud.qiskit_isa import transpiled
from qhyper.quantum.cloud.questions import Patience
from qhyper.quantum.cloud.readout import preparation
from qhyper.quantum.cloud.record import State
from tests.quantum.cloud.servers.azure_server import ACCOUNT, FORMATS, HOSTS, KEY, TARGET, Azure
from tests.quantum.cloud.servers.local_https import CUT_AFTER, CUT_BEFORE, certificate, serving

SHOTS, N, TRIES = 8, 3, 4
ANGLES = np.array([[np.pi, 0, np.pi / 2]])
HASTE = Patience(grace=1.0, first_poll=0.01, last_poll=0.1, attempts=3)
JOBS = "workspaces/desk/jobs"


class User:
    """Who sends one job, session after session."""

    def __init__(self, folder, azure):
        self.folder, self.azure, self.heard = folder / "run", azure, []
        self.folder.mkdir()
        self.isa = transpiled(preparation(N), AzureService(TARGET).device, level=1)

    def ledger(self, use):
        """What `use` returns of (dispatcher, request, isa) in a session of its own."""
        backend = CloudBackend(AzureService(TARGET), level=1, patience=HASTE)
        isa = self.isa
        with backend.connected(
            self.folder, "a run", "draws", 10**6, warn=self.heard.append
        ) as dispatcher:
            request = backend.request(backend.scope, "draws", isa, ANGLES, SHOTS)
            return use(dispatcher, request, isa)

    def measures(self):
        """Measure, and compare with what the one job that the server took has measured."""
        bits = self.ledger(lambda dispatcher, request, isa: dispatcher.measure(request, isa, 60.0))
        (job,) = self.azure.jobs.values()
        np.testing.assert_array_equal(bits[0], np.array(self.azure.shots(job))[:, ::-1])
        assert self.state() == State.DONE

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
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AZURE_QUANTUM_CONNECTION_STRING", ACCOUNT)
    # its clients wait before they ask again
    for kind in ("HttpTransport", "RequestsTransport"):
        monkeypatch.setattr(f"azure.core.pipeline.transport.{kind}.sleep", lambda *_: None)
    with serving(Azure(), certificate(tmp_path, *HOSTS), monkeypatch) as there:
        yield User(tmp_path, there)


@pytest.mark.parametrize("fault", [CUT_AFTER, (502,)])
@pytest.mark.parametrize("times", [1, TRIES])
def test_cut_after_the_body(user, fault, times):
    """Once, its own client sends the same number again; always, it is looked up by that number."""
    user.azure.fails("PUT", JOBS, *[fault] * times)
    user.measures()
    assert len(user.azure.posted) == max(times, 2)  # of one number
    assert len(user.heard) == (times == TRIES)
    assert all("azure:acme.qpu did not confirm a job: " in words for words in user.heard)


@pytest.mark.parametrize("fault", [CUT_BEFORE, 502])
def test_cut_before_the_body(user, fault):
    user.azure.fails("PUT", JOBS, *[fault] * TRIES)
    words = user.fails(JobError, "1 of 1 jobs on azure:acme.qpu did not succeed.")
    key = user.record().key
    assert f"{key} is unknown: azure:acme.qpu lists no job with the tag qhyper-{key}" in words
    assert "Find it among the vendor's jobs and say `qhyper jobs --adopt KEY JOB_ID`" in words
    assert (user.state(), user.azure.jobs) == (State.UNKNOWN, {})
    user.resends()
    user.measures()


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("method", "path", "skipped", "state"),
    [
        ("PUT", JOBS, 0, State.PLANNED),
        ("POST", "storage", 0, State.PLANNED),
        ("GET", JOBS, 3, State.SUBMITTED),
        ("GET", "output", 0, State.SUBMITTED),
    ],
)
def test_not_let_in(user, status, method, path, skipped, state):
    """The first three questions about a job are whether it is there already."""
    user.azure.fails(method, path, *[None] * skipped, status)
    words = user.fails(MissingError, "azure:acme.qpu does not let this account in: ")
    assert words.endswith(
        "Log in again, or renew the key; no job has changed its state, and the same command goes "
        "on."
    )
    assert user.state() == state
    user.measures()


def test_a_done_job_that_is_not_known(user):
    user.azure.gone = True
    words = user.fails(JobError, " is unknown: Azure knows no such thing: ResourceNotFoundError: ")
    assert (
        "Check the number and the workspace. It may have run there all the same, under another "
        "account, region or instance, and have been paid for. Find it among the vendor's jobs"
    ) in words
    assert user.state() == State.UNKNOWN
    user.azure.gone = False
    user.resends()  # on somebody's word too
    user.measures()


@pytest.mark.parametrize("times", [1, 2 * TRIES])
def test_too_many_requests(user, times):
    user.azure.fails("PUT", JOBS, *[429] * times)
    user.measures()


def test_too_many_requests_for_long(user):
    user.azure.fails("PUT", JOBS, *[429] * 100)
    words = user.fails(PendingError, "on azure:acme.qpu are not done (0 submitted, 1 not")
    assert "Nothing is lost." in words
    assert (user.state(), user.azure.jobs) == (State.PLANNED, {})
    user.azure.faults.clear()
    user.measures()


@pytest.mark.parametrize(("times", "fault"), [(1, 502), (TRIES, CUT_BEFORE)])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", JOBS), ("GET", "providerStatus"), ("POST", "storage"), ("PUT", "inputData"),
     ("GET", "output")],
)  # fmt: skip
def test_a_gateway_that_fails_at_each_read(user, method, path, times, fault):
    """Once, and as often as its own client asks: then our own patience."""
    user.azure.fault = only_after(user.azure, 1 if path == "providerStatus" else 0)
    user.azure.fails(method, path, *[fault] * times)
    user.measures()
    assert not user.azure.faults


def only_after(azure, questions):
    """The faults of a vendor, that begin after so many questions about its targets."""
    usual, left = azure.fault, [questions]

    def fault(method, path):
        if left[0]:
            left[0] -= "providerStatus" in path
            return None
        return usual(method, path)

    return fault


def test_a_gateway_that_fails_for_long(user):
    azure = user.azure
    usual = azure.fault
    azure.fault = lambda method, path: (
        502 if azure.jobs and method == "GET" else usual(method, path)
    )
    words = user.fails(MissingError, "azure:acme.qpu does not answer: ")
    assert "Nothing is lost. Fetch again later." in words
    azure.fault = usual
    assert user.state() == State.SUBMITTED
    user.measures()


def test_a_job_that_is_known_late(user):
    user.azure.fails("PUT", JOBS, *[CUT_AFTER] * TRIES)
    user.azure.fails("GET", JOBS, *[404] * 5)
    user.measures()


def test_a_job_that_is_known_after_the_grace_time(user):
    user.azure.fails("PUT", JOBS, *[CUT_AFTER] * TRIES)
    user.azure.gone = True
    user.fails(JobError, "Find it among the vendor's jobs and say `qhyper jobs --adopt")
    assert user.state() == State.UNKNOWN
    user.azure.gone = False
    user.resends()
    user.measures()


@pytest.mark.parametrize(
    ("broken", "mended", "words"),
    [
        (
            {"form": "microsoft.quantum-results.v3"},
            {"form": FORMATS["v2"]},
            "returned results of the format microsoft.quantum-results.v3; expected microsoft.quan",
        ),
        (
            {"spoil": lambda shots: shots[1:]},
            {"spoil": lambda shots: shots},
            "got 7 shots in memory; expected 8",
        ),
        (
            {"target": "acme.sim"},
            {"target": None},
            "says that the job ran on 'acme.sim'; expected 'acme.qpu'",
        ),
    ],
)
def test_a_result_that_cannot_be_read(user, broken, mended, words):
    vars(user.azure).update(broken)
    told = user.fails(JobError, words)
    assert " is unreadable: " in told
    assert (
        "It is done and paid for: do not send it again. `qhyper fetch` (a training: `qhyper "
        "resume`) reads it once more;"
    ) in told
    assert user.state() == State.UNREADABLE
    path = user.ledger(lambda d, request, isa: d.ledger.raw_file(d.ledger.jobs()[0].key))
    if "target" not in broken:  # then its result was not asked for
        assert b'"DataFormat": "' in path.read_bytes()
        assert KEY.encode() not in path.read_bytes()
    vars(user.azure).update(mended)
    user.ledger(lambda dispatcher, request, isa: dispatcher.fetch(dispatcher.ledger.jobs(), 60.0))
    user.measures()


def test_what_was_charged_is_in_the_ledger(user):
    user.azure.cost = {"currencyCode": "USD", "estimatedTotal": 12.42, "events": []}
    user.measures()
    assert user.record().charged == "12.42 USD by Azure's estimate"


def test_azures_own_packages_read_what_the_server_says(user):
    """The server is Azure's as far as Microsoft's packages can tell."""
    from azure.quantum import Workspace

    user.measures()
    (number,) = user.azure.jobs
    job = Workspace().get_job(number)
    assert job.details.tags == [job.details.name]
    assert job.get_results_shots() == user.azure.shots(user.azure.jobs[number])
