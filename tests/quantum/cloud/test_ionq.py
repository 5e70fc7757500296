"""IonQ against a server of the tests' own, which speaks its protocol by TLS."""

import base64
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("qiskit_ionq")
pytest.importorskip("cryptography")

from qhyper.errors import ConfigurationError, MissingError
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.cloud.caps import Caps
from qhyper.quantum.cloud.door import (
    Denied,
    JobState,
    Limits,
    NotFound,
    PlannedJobs,
    Price,
    Rejected,
    Unreachable,
    Unreadable,
)
from qhyper.quantum.cloud.ionq import IonQService
from qhyper.quantum.cloud.qiskit_isa import transpiled
from qhyper.quantum.cloud.readout import preparation
from qhyper.quantum.simulators.state_vector import StateVectorBackend
from qhyper.streams import Streams
from tests.quantum.cloud.servers.ionq_server import QUBITS, TOKEN, IonQ
from tests.quantum.cloud.servers.local_https import CUT_AFTER, CUT_BEFORE, certificate, serving


@pytest.fixture
def ionq(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # the vendor's package reads .env files
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("QISKIT_IONQ_API_TOKEN", "IONQ_API_TOKEN", "IONQ_API_URL", "QISKIT_IONQ_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IONQ_API_KEY", TOKEN)
    with serving(
        IonQ(), certificate(tmp_path, "api.ionq.co", "store.example"), monkeypatch
    ) as there:
        yield there


def prepared(service, n=QUBITS):
    isa = transpiled(preparation(n), service.device, level=1)
    bits = np.random.default_rng(3).integers(0, 2, (2, n))
    return [(isa.circuit, isa.rows(np.pi * bits))], bits


def circuit_and_angles(n, rows, seed):
    gates = [Gate("ry", (q,), q) for q in range(n)]
    gates += [Gate("cz", (q, q + 1)) for q in range(n - 1)]
    gates += [Gate("cx", (0, n - 1))]
    gates += [Gate("rx", (q,), n + q) for q in range(n)]
    angles = np.random.default_rng(seed).uniform(0, np.pi, (1, rows, 2 * n))
    angles[..., :n] *= np.linspace(0.1, 1, n)
    return Circuit(n, tuple(gates)), angles


@pytest.mark.parametrize("layout", [None, [6, 1, 4, 0, 3]])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_circuit_comes_back_as_it_was_sent(ionq, tmp_path, layout, shuffled):
    """Asymmetric circuit of 5 qubits; 3 rows, 2,000 shots, 5 sigma."""
    ionq.shuffled = shuffled
    circuit, angles = circuit_and_angles(5, 3, seed=2)
    backend = CloudBackend(IonQService("qpu.forte-1"), level=1, layout=layout)
    executable = backend.compile(circuit)
    with backend.connected(tmp_path, "run", "training", 10**6) as dispatcher:
        backend.begin("step 0")
        bits = executable.at(angles).sample(2000, Streams([0])(0))
        records = dispatcher.ledger.jobs()
    p = StateVectorBackend().compile(circuit).at(angles).probabilities()
    p = p @ (np.arange(32)[:, None] >> np.arange(5) & 1)
    assert (np.abs(bits.mean(axis=2) - p) <= 5 * np.sqrt(p * (1 - p) / 2000)).all()

    # one job for the preflight, one for all rows, named by their tags and without debiasing
    assert len(records) == 2
    bodies = [job["body"] for job in ionq.jobs.values()]
    assert [body["name"] for body in bodies] == [record.tag for record in records]
    assert [body["metadata"]["qhyper"] for body in bodies] == [record.tag for record in records]
    assert all(body["settings"] == {"error_mitigation": {"debiasing": False}} for body in bodies)
    assert all(body["backend"] == "qpu.forte-1" for body in bodies)
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert TOKEN.encode() not in stored


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize(
    "kinds",
    [
        ("shots", "probabilities"),
        ("ionq.result.shots.json.v1", "ionq.result.probabilities.json.v2"),
        ("ionq.result.shots.json.v2", "ionq.result.histogram.json.v2"),
    ],
)
def test_a_later_process_reads_a_job_by_its_number(ionq, rows, kinds):
    """By the links of the first results of IonQ's v0.4, and by the names of formats since then."""
    ionq.kinds = kinds
    service = IonQService("qpu.forte-1")
    pubs, bits = prepared(service)
    number = service.run([(pubs[0][0], pubs[0][1][:rows])], 9, tag="qhyper-a").job_id
    job = IonQService("qpu.forte-1").job(number)
    assert job.state() == JobState.DONE
    assert job.called() == "qhyper-a"
    measured = job.measured((rows, 9, QUBITS), seed=1)
    np.testing.assert_array_equal(measured.bits, np.repeat(bits[:rows, None], 9, axis=1))
    assert (measured.note, measured.missing) == ("", ())


@pytest.mark.parametrize(
    "kind",
    ["probabilities", "ionq.result.probabilities.json.v1", "histogram",
     "ionq.result.histogram.json.v1"],
)  # fmt: skip
def test_counts_are_expanded_and_the_note_says_so(ionq, kind):
    """The same shots as the service drew, in another order."""
    ionq.kinds, ionq.named = (kind,), False
    service = IonQService("qpu.forte-1")
    circuit, angles = circuit_and_angles(QUBITS, 2, seed=4)
    isa = transpiled(circuit, service.device, level=1)
    job = service.run([(isa.circuit, isa.rows(angles[0]))], 500, tag="qhyper-a")
    measured = job.measured((2, 500, QUBITS), seed=3)
    assert measured.note == "expanded from counts, in an order drawn with seed 3"
    drawn = ionq.jobs["job-0"]["shots"]
    for row, child in enumerate(drawn):
        ours = measured.bits[row] @ (1 << np.array(isa.qubits))
        assert sorted(ours) == sorted(drawn[child])


def test_probabilities_are_no_shots(ionq):
    ionq.kinds = ("probabilities",)
    service = IonQService("qpu.forte-1")
    job = service.run(prepared(service)[0], 8, tag="qhyper-a")
    exact = {"0": 0.3, "127": 0.7}
    ionq.result = lambda shots, kind: exact
    with pytest.raises(Unreadable, match=r"circuit 1: got the frequency 0\.3 .*whole number of 8 ")\
            as refused:  # fmt: skip
        job.measured((2, 8, QUBITS), seed=1)
    assert b"0.3" in refused.value.raw
    exact.update({"127": 0.5, "0": 0.25})
    with pytest.raises(Unreadable, match=r"got frequencies that make 6 shots; expected 8"):
        job.measured((2, 8, QUBITS), seed=1)


def test_what_does_not_fit_is_refused_and_kept(ionq):
    service = IonQService("qpu.forte-1")
    job = service.run(prepared(service)[0], 8, tag="qhyper-a")

    def refused(shape=(2, 8, QUBITS)):
        with pytest.raises(Unreadable) as trouble:
            job.measured(shape, seed=1)
        assert json.loads(trouble.value.raw)["jobs/job-0"]["id"] == "job-0"
        return str(trouble.value)

    assert refused((3, 8, QUBITS)) == (
        "ionq:qpu.forte-1 returned 2 circuits, described by 2 headers; expected 3, as many as were "
        "sent. Nothing was made of them; the job's record is kept."
    )
    assert "got 8 shots in memory; expected 9" in refused((2, 9, QUBITS))
    assert "expected 6 bits" in refused((2, 8, QUBITS - 1))
    ionq.kinds = ("ionq.result.shots.json.v9",)
    assert refused() == (
        "ionq:qpu.forte-1, circuit 1: it has no results that can be read; got "
        "['ionq.result.shots.json.v9'], expected shots, a histogram or probabilities. The job's "
        "record is kept."
    )
    ionq.kinds = ("ionq.result.shots.json.v2",)
    result = ionq.result
    ionq.result = lambda shots, kind: {"levitated": True}
    assert "returned a result that cannot be read: KeyError: 'shots'" in refused()
    ionq.result = lambda shots, kind: None
    assert "IonQ knows nothing at" in refused()
    ionq.result, ionq.kinds = result, ("shots",)
    ionq.jobs["job-0"]["body"]["metadata"] = {}
    assert "described by 1 headers; expected 2" in refused()


def test_where_a_job_ran_is_compared(ionq):
    service = IonQService("qpu.forte-1")
    job = service.run(prepared(service)[0], 5, tag="qhyper-a")
    ionq.backend = "qpu.forte-enterprise-1"
    with pytest.raises(
        Unreadable,
        match=r"ionq:qpu\.forte-1 says that the job ran with the backend 'qpu\.forte-enterprise-1';"
        r" expected 'qpu\.forte-1'\. Nothing was made of it; the job's record is kept\. Is this",
    ) as refused:
        job.measured((2, 5, QUBITS), seed=1)
    assert b"qpu.forte-enterprise-1" in refused.value.raw
    ionq.backend = None
    noisy = IonQService("simulator", noise_model="forte-1")
    number = noisy.run(prepared(noisy)[0], 5, tag="qhyper-b").job_id
    assert noisy.job(number).measured((2, 5, QUBITS), seed=1).note == ""
    other = IonQService("simulator", noise_model="aria-1")
    with pytest.raises(Unreadable, match=r"with the noise model 'forte-1'; expected 'aria-1'"):
        other.job(number).measured((2, 5, QUBITS), seed=1)


def test_circuits_that_failed_are_missing_and_the_others_are_kept(ionq):
    service = IonQService("qpu.forte-1")
    pubs, bits = prepared(service)
    job = service.run(pubs, 6, tag="qhyper-a")
    ionq.broken = {"job-0", "job-0-0"}
    assert job.state() == JobState.DONE
    measured = job.measured((2, 6, QUBITS), seed=1)
    assert measured.missing == (0,)
    np.testing.assert_array_equal(measured.bits[1], np.repeat(bits[1:], 6, axis=0))
    ionq.broken |= {"job-0-1"}
    assert job.state() == JobState.FAILED


@pytest.mark.parametrize(
    ("told", "state", "words"),
    [
        ("submitted", JobState.QUEUED, "2 minutes to wait by IonQ's own estimate"),
        ("ready", JobState.QUEUED, "2 minutes to wait by IonQ's own estimate"),
        ("started", JobState.RUNNING, ""),
        ("running", JobState.RUNNING, ""),
        ("completed", JobState.DONE, ""),
        ("failed", JobState.FAILED, ""),
        ("canceled", JobState.CANCELLED, ""),
    ],
)
def test_states_reasons_and_queues(ionq, told, state, words):
    service = IonQService("qpu.forte-1")
    job = service.run(prepared(service)[0], 5, tag="qhyper-a")
    ionq.status, ionq.failure = told, {"code": "Oven", "error": "too warm"}
    assert job.state() == state
    assert job.message() == "Oven: too warm"
    assert job.queue() == words
    ionq.wait = None
    assert job.queue() == ""


def test_a_job_is_cancelled_unless_it_has_ended(ionq):
    service = IonQService("qpu.forte-1")
    number = service.run(prepared(service)[0], 5, tag="qhyper-a").job_id
    with pytest.raises(
        ConfigurationError,
        match=r"ionq:qpu\.forte-1 says that job-0 is done: there is nothing to cancel\. Fetch it\.",
    ):
        service.cancel(number)
    ionq.jobs[number]["status"] = "ready"
    service.cancel(number)
    assert service.job(number).state() == JobState.CANCELLED
    with pytest.raises(NotFound):
        service.cancel("job-9")


def test_what_was_charged(ionq):
    service = IonQService("qpu.forte-1")
    job = service.run(prepared(service)[0], 5, tag="qhyper-a")
    assert job.charged() == "24.83 USD charged by IonQ"
    ionq.cost = None
    assert job.charged() == "25.79 USD estimated, not yet charged by IonQ"


def test_the_price_is_ionqs_own_estimate(ionq):
    """2 jobs of 10 rows of 500 shots: 500 * 10 * (3 * 0.000164 + 6 * 0.001121) = 36.09 each."""
    service = IonQService("qpu.forte-1")
    for ionq.modern in (True, False):
        service = IonQService("qpu.forte-1")
        price = service.price([PlannedJobs(2, 20, 500, (3, 6))])
        assert price.words == "72.18 USD, by IonQ's own estimate: 2 jobs of 36.09"
        assert price.amount == pytest.approx(72.18)
    debiased = IonQService("qpu.forte-1", debias=True)
    assert debiased.price([PlannedJobs(1, 1, 400, (0, 0))]).amount == pytest.approx(25.79)
    assert debiased.price([PlannedJobs(1, 1, 500, (0, 0))]).amount == pytest.approx(6.5 * 25.79)
    noisy = IonQService("simulator", noise_model="forte-1")
    nothing = Price("0.00 USD, by IonQ's own estimate: 3 jobs of 0.00", 0.0)
    assert noisy.price([PlannedJobs(3, 3, 10, (3, 6))]) == nothing
    for fault in (503, 404, 401, CUT_BEFORE):
        ionq.fails("GET", "estimate", fault)
        with pytest.raises((Unreachable, NotFound, Denied)):
            service.price([PlannedJobs(1, 1, 10, (3, 6))])
    ionq.estimate = lambda query: {"estimated_total_cost": "much"}
    with pytest.raises(Unreachable, match="estimates in a way that cannot be read"):
        service.price([PlannedJobs(1, 1, 10, (3, 6))])
    assert len(ionq.bodies) == 0


def test_a_circuit_is_priced_by_its_gates_and_its_estimate_is_asked_for_once(ionq):
    """So that a cap on costs can be kept: two jobs, of 3 rows and of the preflight's 2."""
    backend = CloudBackend(IonQService("qpu.forte-1"))
    isa = backend.compile(Circuit(2, (Gate("ry", (0,), 0), Gate("cx", (0, 1)))), rows=3).isa
    one, two = isa.gates
    assert (one > 0, two) == (True, 1)
    batches = {"steps": (1, 3, 4_000)}
    asked: list[dict] = []
    told = {"estimated_total_cost": 40.0, "estimated_unit": "usd"}
    ionq.fails("GET", "estimate", 503)
    assert backend.price(isa, batches) is None  # not told now
    ionq.estimate = lambda query: asked.append(query) or told
    for _ in range(2):
        price = backend.price(isa, batches)
        assert price.amount == 80.0
    steps, known = asked
    assert (steps["1q_gates"], steps["2q_gates"]) == (str(3 * one), str(3 * two))
    assert (steps["shots"], known["shots"], known["2q_gates"]) == ("4000", "32", "0")
    backend.check_caps(Caps(cost=80.0), Path("nowhere"), isa, batches)
    with pytest.raises(ConfigurationError, match=r"jobs of 0.00 were sent, and 80.00 more would"):
        backend.check_caps(Caps(cost=79.0), Path("nowhere"), isa, batches)
    with pytest.raises(ConfigurationError, match=r"Got debias and mitigate for ionq:qpu\."):
        CloudBackend(IonQService("qpu.forte-1", debias=True), mitigate=True)


@pytest.mark.parametrize("rows", [1, 2])
def test_what_is_shown_is_what_is_posted(ionq, rows):
    """But for the time in the header of its gzip."""
    service = IonQService("qpu.forte-1")
    circuit, rows_of = prepared(service)[0][0]
    pubs = [(circuit, rows_of[:rows])]
    shown = json.loads(service.preview(pubs, 5, tag="qhyper-a"))
    assert not ionq.bodies
    service.run(pubs, 5, tag="qhyper-a")
    (posted,) = map(json.loads, ionq.bodies)
    for body in (shown, posted):
        header = body["metadata"].pop("qiskit_header")
        body["header"] = json.loads(gzip.decompress(base64.b64decode(header)))
    assert shown == posted
    assert (posted["name"], posted["shots"], posted["backend"]) == ("qhyper-a", 5, "qpu.forte-1")
    assert posted["settings"] == {"error_mitigation": {"debiasing": False}}


@pytest.mark.parametrize(("debias", "sent"), [(False, False), (True, True)])
def test_debiasing_is_off_unless_asked_for(ionq, debias, sent):
    service = IonQService("qpu.forte-1", debias=debias)
    service.run(prepared(service)[0], 500, tag="qhyper-a")
    settings = ionq.jobs["job-0"]["body"]["settings"]
    assert settings == {"error_mitigation": {"debiasing": sent}}


@pytest.mark.parametrize(("status", "again"), [(400, False), (404, False), (429, True)])
def test_a_refusal_says_so_and_is_sent_once(ionq, status, again):
    service = IonQService("qpu.forte-1")
    pubs, _ = prepared(service)
    ionq.fails("POST", "jobs", status)
    with pytest.raises(Rejected, match=f"HTTP {status}: no such luck") as refused:
        service.run(pubs, 5, tag="qhyper-a")
    assert refused.value.again == again
    assert ionq.asked.count(("POST", "/v0.4/jobs")) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_who_is_not_let_in_hears_of_it(ionq, status):
    service = IonQService("qpu.forte-1")
    job = service.run(prepared(service)[0], 5, tag="qhyper-a")
    ionq.fails("POST", "jobs", status)
    ionq.fails("GET", "jobs", *[status] * 3)
    ionq.fails("GET", "backends", status)
    for ask in (
        lambda: service.run(prepared(service)[0], 5, tag="qhyper-b"),
        job.state,
        lambda: service.find("qhyper-a"),
        lambda: service.cancel("job-0"),
        service.unavailable,
    ):
        with pytest.raises(Denied, match=f"HTTP {status}: no such luck"):
            ask()


@pytest.mark.parametrize("fault", [302, 502, 503, 504, 524, (502,), CUT_BEFORE, CUT_AFTER])
def test_what_may_have_been_taken_is_sent_once(ionq, fault):
    """IonQ's own client sends a job up to five times after 502, 503, 504 and 520 to 529."""
    service = IonQService("qpu.forte-1")
    pubs, _ = prepared(service)
    ionq.fails("POST", "jobs", fault)
    with pytest.raises(OSError, match=r"no such luck|EOF|aborted|reset"):
        service.run(pubs, 5, tag="qhyper-a")
    assert ionq.asked.count(("POST", "/v0.4/jobs")) == 1


def test_what_was_never_connected_was_not_sent(ionq, monkeypatch):
    service = IonQService("qpu.forte-1")
    pubs, _ = prepared(service)

    def refuse(*_, **__):
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr("urllib3.util.connection.create_connection", refuse)
    with pytest.raises(Rejected, match=r"^Nothing was sent: ConnectionError: ") as refused:
        service.run(pubs, 5, tag="qhyper-a")
    assert refused.value.again
    with pytest.raises(Unreachable, match=r"refused"):
        service.find("qhyper-a")


def test_a_service_that_does_not_answer_is_unreachable(ionq):
    service = IonQService("qpu.forte-1")
    job = service.run(prepared(service)[0], 5, tag="qhyper-a")
    ionq.fails("GET", "jobs", 503, CUT_BEFORE, 429)
    for reason in ("HTTP 503", "EOF|aborted|reset", "HTTP 429"):
        with pytest.raises(Unreachable, match=reason):
            job.state()
    assert job.state() == JobState.DONE
    ionq.describe = lambda *_: {"status": "levitating"}
    with pytest.raises(Unreachable, match=r"says that the job is 'levitating'"):
        job.state()
    ionq.answer = lambda *_: (200, {}, b"<html>")
    with pytest.raises(Unreachable, match=r"no JSON from IonQ: <html>"):
        job.state()


def test_what_ionq_does_not_know_is_not_found(ionq):
    service = IonQService("qpu.forte-1")
    with pytest.raises(
        NotFound, match=r"IonQ knows nothing at \S+/jobs/job-99\. Check the number and the key\."
    ):
        service.job("job-99")


def test_jobs_are_found_by_their_names_page_by_page(ionq):
    """Two to a page, circuits of jobs between them; a job that is sent again has the same name."""
    service = IonQService("qpu.forte-1")
    pubs, _ = prepared(service)
    assert service.find("qhyper-0") == []
    numbers = [service.run(pubs, 2, tag=f"qhyper-{k % 3}").job_id for k in range(5)]
    ionq.asked.clear()
    assert service.find("qhyper-0") == [numbers[0], numbers[3]]  # oldest first
    assert ionq.asked.count(("GET", "/v0.4/jobs")) == 8  # 5 jobs and 10 circuits
    assert service.find("qhyper-2") == [numbers[2]]
    assert service.find("row-0") == service.find("qhyper-9") == []
    assert ionq.asked.count(("GET", "/v0.4/jobs")) == 8  # one list for all
    assert service.find("qhyper-9") == []
    assert ionq.asked.count(("GET", "/v0.4/jobs")) == 16  # but not for the same question again
    sent = service.run(pubs, 2, tag="qhyper-9").job_id
    assert service.find("qhyper-9") == [sent]  # a list from before would not have it


def test_a_list_that_cannot_be_read_never_says_that_there_are_no_jobs(ionq):
    service = IonQService("qpu.forte-1")
    for told in ([], {}, {"jobs": None}, {"jobs": [], "next": "again"}):
        ionq.page = lambda after, told=told: told
        with pytest.raises(Unreachable, match=r"ionq:qpu.forte-1 lists its jobs in a way that"):
            service.find("qhyper-a")
    ionq.page = lambda after: None
    with pytest.raises(Unreachable, match=r"knows nothing at"):
        service.find("qhyper-a")


def test_what_the_backend_says_about_itself(ionq):
    service = IonQService("ionq_qpu.forte-1")
    assert str(service) == service.place == "ionq:qpu.forte-1"
    assert service.searchable
    assert not service.local
    assert service.limits == Limits(QUBITS, rows=5000, shots=10_000, gates=30_000)
    assert service.device.num_qubits == QUBITS
    assert set(service.measures) == {"noise_model", "debias"}
    assert service.unavailable() is None
    ionq.listed = "offline"
    assert service.unavailable() == "its status is offline."
    ionq.fails("GET", "backends", 404)
    assert service.unavailable() == "IonQ does not know it any more."
    ionq.fails("GET", "backends", 503)
    with pytest.raises(Unreachable, match=r"HTTP 503"):
        service.unavailable()
    assert service.about(36) == ""


def test_jobs_are_in_reach_though_the_computer_is_gone(ionq):
    service = IonQService("qpu.forte-1")
    pubs, _ = prepared(service)
    done = service.run(pubs, 5, tag="qhyper-a").job_id
    waiting = service.run(pubs, 5, tag="qhyper-b").job_id
    ionq.jobs[waiting]["status"] = "ready"
    ionq.fails("GET", "backends", *[404] * 9)
    later = IonQService("qpu.forte-1")
    assert later.job(done).measured((2, 5, QUBITS), seed=1).missing == ()
    assert later.find("qhyper-b") == [waiting]
    later.cancel(waiting)
    assert later.job(waiting).state() == JobState.CANCELLED
    assert len(ionq.faults) == 9  # nobody asked about the computer
    ionq.faults.clear()
    ionq.fails("GET", "backends/qpu", 404)
    with pytest.raises(ConfigurationError, match=r"Unknown IonQ backend 'qpu.forte-1'"):
        later.device  # noqa: B018


def test_the_simulator_needs_noise_to_have_shots(ionq):
    with pytest.raises(ConfigurationError, match=r"probabilities and no shots.*braket:local"):
        IonQService("simulator")
    with pytest.raises(ConfigurationError, match=r"only IonQ's simulator takes one"):
        IonQService("qpu.forte-1", noise_model="aria-1")
    with pytest.raises(ConfigurationError, match=r"Got debias=True for ionq:simulator; only Io"):
        IonQService("simulator", noise_model="aria-1", debias=True)
    with pytest.raises(ConfigurationError, match=r"Got debias='no'; expected true or false"):
        IonQService("qpu.forte-1", debias="no")
    for wrong in (3, "", {}):
        with pytest.raises(ConfigurationError, match=r"Got noise_model=.*; expected text, or noth"):
            IonQService("simulator", noise_model=wrong)
    service = IonQService("simulator", noise_model="forte-1")
    assert service.about(36) == "simulated by IonQ with the noise of forte-1 (option noise_model)"
    pubs, _ = prepared(service)
    service.run(pubs, 5, tag="qhyper-a")
    assert ionq.jobs["job-0"]["body"]["noise"]["model"] == "forte-1"


def test_no_key_no_network_and_no_such_backend(ionq, monkeypatch):
    with pytest.raises(ConfigurationError, match=r"'qpu.fort-1'. Did you mean 'qpu.forte-1'\?"):
        IonQService("qpu.fort-1").limits  # noqa: B018
    ionq.fails("GET", "backends", CUT_BEFORE)
    with pytest.raises(
        MissingError, match=r"IonQ said nothing .*no network, or the key in IONQ_API"
    ):
        IonQService("qpu.forte-1").limits  # noqa: B018
    service = IonQService("qpu.forte-1")
    assert service.limits.qubits == QUBITS
    # later questions about the qubits, by the vendor's package, are not answered
    ionq.fails("GET", "backends", *[CUT_BEFORE] * 3)
    with pytest.raises(MissingError, match=r"has 7 qubits, and qiskit-ionq that it has 4"):
        service.device  # noqa: B018
    monkeypatch.delenv("IONQ_API_KEY")
    with pytest.raises(
        MissingError, match=r"put it into the environment variable IONQ_API_KEY"
    ) as e:
        IonQService("qpu.forte-1")
    assert e.value.exit_code == 3


def test_an_address_that_opens_results_to_anybody_is_not_shown(ionq):
    service = IonQService("qpu.forte-1")
    with pytest.raises(NotFound, match=r"knows nothing at \S+/v0.4/jobs/job-9\. Check"):
        service.result("/v0.4/jobs/job-9?X-Amz-Signature=0123456789")


def test_the_key_goes_to_ionq_alone(ionq):
    """Wherever a link leads."""
    service, seen = IonQService("qpu.forte-1"), []

    def answer(method, path, query, headers, body):
        seen.append((headers["Host"], headers["Authorization"]))
        return 200, {}, b"{}"

    ionq.answer = answer
    for link in ("/v0.4/jobs/1", "jobs/1", "https://store.example/1?Signature=0"):
        service.result(link)
    key = f"apiKey {TOKEN}"
    assert seen == [("api.ionq.co", key), ("api.ionq.co", key), ("store.example", None)]


def test_a_key_that_would_be_cut_in_two_is_taken_out_before(ionq):
    service = IonQService("qpu.forte-1")
    job = service.job(service.run(prepared(service)[0], 5, tag="qhyper-a").job_id)
    ionq.says = "x" * 190 + TOKEN
    ionq.fails("GET", "jobs", 503)
    with pytest.raises(Unreachable) as trouble:
        job.state()
    assert TOKEN[:6] not in str(trouble.value)


def test_what_is_used_of_the_sdk_without_being_public_is_there(ionq):
    """Jobs are sent here and once: no payment hangs on these, and without them nothing is sent."""
    from qiskit_ionq import helpers
    from qiskit_ionq.constants import ErrorMitigation

    lost = "qiskit-ionq has changed: no job can be made or read, and none is paid for: "
    for name in ("resolve_credentials", "qiskit_to_ionq", "decompress_metadata_string"):
        assert callable(getattr(helpers, name, None)), lost + name
    assert "token" in helpers.resolve_credentials(), lost + "resolve_credentials"
    client = IonQService("qpu.forte-1")._client
    assert client.make_path("jobs").endswith("/jobs"), lost + "make_path"
    assert "Authorization" in client.api_headers, lost + "api_headers"
    # debiasing takes more shots than were asked for, at a higher price
    assert not ErrorMitigation.NO_DEBIASING.value["debiasing"], "PAYMENT: debiasing is not off"


def said(ask):
    """The words of an answer of IonQ's that is no error of ours."""
    try:
        return ask()
    except (Denied, NotFound) as error:
        return str(error)


def troubles(ionq):
    """Calls that raise or return what IonQ says."""
    service = IonQService("qpu.forte-1")
    pubs, _ = prepared(service)
    job = service.run(pubs, 5, tag="qhyper-a")
    ionq.fails("POST", "jobs", 400, 503, 403)
    yield lambda: service.run(pubs, 5, tag="qhyper-b")
    yield lambda: service.run(pubs, 5, tag="qhyper-c")
    yield lambda: said(lambda: service.run(pubs, 5, tag="qhyper-d"))
    ionq.fails("GET", "jobs", 503, 401)
    yield job.state
    yield lambda: said(job.state)
    ionq.fails("GET", "backends", 401, 401)
    yield lambda: said(service.unavailable)
    yield lambda: IonQService("qpu.forte-1").limits
    ionq.failure = {"code": "Oven", "error": ionq.says}
    yield job.message
    ionq.cost = {"value": 1, "unit": ionq.says}
    yield job.charged
    ionq.backend = ionq.says
    yield lambda: job.measured((2, 5, QUBITS), seed=1)
    ionq.status = ionq.says
    yield job.state
