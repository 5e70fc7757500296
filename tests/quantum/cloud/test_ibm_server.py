"""IBM's adapter on IBM's own client, end to end, against a TLS server that breaks in every way.

The circuit turns qubits by 0 or π and then adds them up with CNOTs: its bits are known without a
simulator.
"""

import json
from contextlib import contextmanager

import numpy as np
import pytest

from qhyper.errors import JobError, MissingError
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.cloud.door import Rejected
from qhyper.quantum.cloud.questions import Patience

pytest.importorskip("qiskit_ibm_runtime")

from qhyper.quantum.cloud.ibm import IBMService

CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/1:2::"
HASTE = Patience(grace=0.3, first_poll=0.01, last_poll=0.02, attempts=4)
QUBITS, SHOTS, JOBS = 3, 8, 2
GATES = [Gate("rx", (q,), q) for q in range(QUBITS)]
CIRCUIT = Circuit(QUBITS, (*GATES, Gate("cx", (0, 1)), Gate("cx", (1, 2))))
TURNED = np.array([[0, 0, 1], [0, 1, 0], [1, 1, 0], [1, 1, 1]])
EXPECTED = np.cumsum(TURNED, axis=1) % 2


class Run:
    """A run of four rows, two in a job, session after session; `heard` is what it warned of.

    Connections are kept in `services`, by their options.
    """

    def __init__(self, folder, services):
        self.folder, self.services, self.heard = folder, services, []

    def service(self, **options):
        """(service, compiled circuit)."""
        if str(options) not in self.services:
            service = IBMService("ibm_manila", instance=CRN, gate_budget=4, **options)
            isa = CloudBackend(service, level=1).compile(CIRCUIT).isa
            self.services[str(options)] = service, isa
        return self.services[str(options)]

    @contextmanager
    def session(self, **options):
        """(dispatcher, request, isa) of the request."""
        service, isa = self.service(**options)
        backend = CloudBackend(service, patience=HASTE, deadline=10.0, level=1)
        with backend.connected(
            self.folder, "a run", "training", 10**6, warn=self.heard.append
        ) as dispatcher:
            request = backend.request(backend.scope, "step 0", isa, np.pi * TURNED, SHOTS)
            yield dispatcher, request, isa

    def measure(self, **options):
        """Whether every bit of every shot is right; errors pass."""
        with self.session(**options) as (dispatcher, request, isa):
            bits = dispatcher.measure(request, isa, 5.0)
            return bits.shape == (len(TURNED), SHOTS, QUBITS) and (bits == EXPECTED[:, None]).all()

    def jobs(self):
        with self.session() as (dispatcher, _, _):
            return dispatcher.ledger.jobs()

    def states(self):
        return [str(record.state) for record in self.jobs()]

    def resend(self):
        """What `qhyper jobs --resend all` does."""
        with self.session() as (dispatcher, _, _):
            for record in dispatcher.ledger.jobs():
                if record.state in ("unknown", "failed", "refused"):
                    found = dispatcher.look_up(record)
                    if found.state not in ("submitted", "done"):
                        dispatcher.ledger.again(record.key)


@pytest.fixture(scope="module")
def services():
    return {}


@pytest.fixture
def run(tmp_path, ibm_cloud, services):
    return Run(tmp_path / "run", services)


def posts(ibm_cloud):
    return ibm_cloud.count("POST", "/jobs")


def trouble(run, kind=(JobError, MissingError)):
    """The words with which a session ends."""
    with pytest.raises(kind) as error:
        run.measure()
    return str(error.value)


def program_of(body):
    """(circuits, arguments) of what is posted, which are taken out of it."""
    from qiskit_ibm_runtime.quantum_program.params_converters import (
        QUANTUM_PROGRAM_PARAMS_CONVERTERS as CONVERTERS,
    )

    posted = CONVERTERS[body["params"]["schema_version"]].model.model_validate(body["params"])
    for name in ("circuits", "items"):  # packed with the time, and with a set in any order
        del body["params"]["quantum_program"][name]
    items = posted.quantum_program.items
    arguments = [getattr(item, "circuit_arguments", None) or item.samplex_arguments[
        "parameter_values"] for item in items]  # fmt: skip
    return posted.quantum_program.circuits.to_python(), [a.to_numpy() for a in arguments]


# -- as it should be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {}, {"twirling": True}, {"dynamical_decoupling": "XY4"}, {"mode": "batch"},
        {"mode": "session", "session_seconds": 60, "max_execution_time": 9},
        {"twirling": {"gates": False}, "dynamical_decoupling": True},
    ],
    ids=str,
)  # fmt: skip
def test_every_bit_is_right_end_to_end(ibm_cloud, run, options):
    """IBM's own sampler, encoder, client, decoder and post-processor: nothing is replaced."""
    ibm_cloud.metrics = {"usage": {"status": "completed", "qpu_charge_time_seconds": 3}}
    assert run.measure(**options)
    assert posts(ibm_cloud) == len(ibm_cloud.jobs) == JOBS
    assert run.measure(**options)  # from the ledger
    assert posts(ibm_cloud) == JOBS
    assert run.heard == []
    session = "" if options.get("mode") in (None, "job") else "s1"
    assert [record.session for record in run.jobs()] == [session] * JOBS
    assert [record.charged for record in run.jobs()] == ["3 s of quantum time"] * JOBS
    assert ibm_cloud.closed == ["s1"] * bool(session)


def test_the_preflight_and_draws_of_a_whole_device(ibm_cloud, run):
    """As a training does it: known bitstrings first, then the draws."""
    service, _ = run.service()
    backend = CloudBackend(service, patience=HASTE, deadline=10.0, level=3)
    with backend.connected(run.folder, "a run", "training", 10**6) as dispatcher:
        backend.begin("step 0")
        draws = backend.compile(CIRCUIT).at(np.pi * TURNED[None]).sample(SHOTS, None)
        records = dispatcher.ledger.jobs()
    np.testing.assert_array_equal(draws, np.repeat(EXPECTED[None, :, None], SHOTS, axis=2))
    assert {record.purpose.split()[0] for record in records} == {"preflight", "step"}
    assert posts(ibm_cloud) == len(records)


def test_a_copy_of_the_run_directory_pays_for_nothing(ibm_cloud, run, tmp_path):
    """Restored from a backup, say: the service knows more than the ledger."""
    assert run.measure()
    copy = Run(tmp_path / "copy", run.services)
    assert copy.measure()
    assert posts(ibm_cloud) == JOBS
    assert f"has {JOBS} of the jobs that were to be sent already" in copy.heard[0]


@pytest.mark.parametrize(
    "options",
    [{}, {"mode": "batch", "max_execution_time": 9}, {"twirling": True}],
    ids=str,
)
def test_a_preview_is_what_is_posted(ibm_cloud, run, options):
    """All of it, once unpacked, but for a batch's number; twirling draws its circuits anew."""
    with run.session(**options) as (dispatcher, request, isa):
        service = dispatcher.service
        asked = len(ibm_cloud.asked)
        preview = service.preview([(isa.circuit, request.rows[:2])], SHOTS, tag="qhyper-0")
        assert len(ibm_cloud.asked) == asked  # it takes no network
        dispatcher.measure(request, isa, 5.0)
        tag = dispatcher.ledger.jobs()[0].tag
    shown, sent = json.loads(preview.replace("qhyper-0", tag)), ibm_cloud.jobs[0]["body"]
    assert sent["tags"] == [tag]
    if options.get("mode") == "batch":
        assert (shown.pop("session_id"), sent.pop("session_id")) == ("…", "s1")
        assert sent["cost"] == 9
    for body in (shown, sent):
        circuits, arguments = program_of(body)
        np.testing.assert_array_equal(arguments, [request.rows[:2]])
        assert "twirling" in options or circuits == [isa.circuit]
    assert shown == sent
    assert shown["backend"] == "ibm_manila"


# -- breaking in ten ways: nothing is paid for twice, nothing is lost -----------------------------


@pytest.mark.parametrize("how", ["cut", "shut", "502 after"])
@pytest.mark.parametrize("listed_after", [0, 3])
def test_a_post_whose_reply_is_lost_is_found_by_its_tag(ibm_cloud, run, how, listed_after):
    """Read and acted on, and then TLS breaks, the connection ends or a gateway does not answer."""
    ibm_cloud.fault("POST", "/jobs", how, times=2)
    ibm_cloud.listed_after = listed_after
    assert run.measure()
    assert posts(ibm_cloud) == len(ibm_cloud.jobs) == JOBS  # the SDK alone would send more
    assert len(run.heard) == 2
    assert all("did not confirm a job" in word for word in run.heard)
    assert all("Looking for it by its tag." in word for word in run.heard)


def test_ibms_client_by_itself_sends_such_a_post_again(ibm_cloud):
    """Why it is not left to itself: the server breaks as a real one would."""
    from qiskit_ibm_runtime import QiskitRuntimeService
    from qiskit_ibm_runtime.api.exceptions import RequestsApiError

    client = QiskitRuntimeService(instance=CRN)._active_api_client
    ibm_cloud.fault("POST", "/jobs", "cut")
    with pytest.raises(RequestsApiError), client._session:
        client.program_run("executor", "ibm_manila", {}, None, None, None)
    assert len(ibm_cloud.jobs) == 6


def test_a_post_that_always_breaks_is_sent_once(ibm_cloud, run):
    """Nothing was taken, which nobody knows: unknown, and sent again on the user's word alone."""
    ibm_cloud.fault("POST", "/jobs", "cut before")
    said = trouble(run, JobError)
    assert "ibm:ibm_manila lists no job with the tag qhyper-" in said
    assert "Find it among the vendor's jobs and say `qhyper jobs --adopt KEY JOB_ID`" in said
    assert "only if it is not there, `qhyper jobs --resend KEY`, which pays for it once" in said
    assert posts(ibm_cloud) == JOBS
    assert run.states() == ["unknown"] * JOBS
    assert "unknown" in trouble(run, JobError)  # the same command asks for them, and sends none
    ibm_cloud.faults.clear()
    run.resend()
    assert run.measure()
    assert len(ibm_cloud.jobs) == JOBS


def test_an_unknown_job_that_turns_up_is_not_sent_again(ibm_cloud, run):
    """IBM lists it long after the grace time; asked for again by mistake, it is found."""
    ibm_cloud.fault("POST", "/jobs", "cut", times=1)
    ibm_cloud.listed_after = 10**6
    trouble(run, JobError)
    assert run.states().count("unknown") == 1
    for job in ibm_cloud.jobs:
        job["hidden"] = 0
    run.resend()
    assert run.measure()
    assert posts(ibm_cloud) == len(ibm_cloud.jobs) == JOBS


@pytest.mark.parametrize(
    ("method", "path", "status", "state"),
    [
        ("POST", "/jobs", 401, "planned"),
        ("POST", "/jobs", 403, "planned"),
        ("GET", "/jobs", 401, "planned"),
        ("GET", "/backends/ibm_manila/status", 403, "planned"),
        ("GET", r"/jobs/d\d", 401, "submitted"),
        ("GET", r"/jobs/d\d", 403, "submitted"),
        ("GET", r"/jobs/d\d/results", 401, "submitted"),
    ],
)
def test_a_login_that_expired_changes_no_job(ibm_cloud, run, method, path, status, state):
    ibm_cloud.fault(method, path, (status, "the key has expired"))
    said = trouble(run, MissingError)
    assert "ibm:ibm_manila does not let this account in" in said
    assert "the key has expired" in said
    assert "Log in again, or renew the key; no job has changed its state, and the same" in said
    assert run.states() == [state] * JOBS
    ibm_cloud.faults.clear()
    assert run.measure()
    assert len(ibm_cloud.jobs) == JOBS


@pytest.mark.parametrize("path", [r"/jobs/d\d", r"/jobs/d\d/results"])
def test_a_done_job_that_ibm_does_not_know_is_unknown(ibm_cloud, run, path):
    """Of another instance, say: never failed, and never sent again without a look."""
    ibm_cloud.fault("GET", path, (404, "Job not found"))
    with run.session() as (dispatcher, request, isa):
        records = dispatcher.send(request, isa)
        for record in records:  # as if sent long ago: some know a job after a while only
            dispatcher.ledger._update(record.key, sent=1.0)
        dispatcher.fetch(records, 5.0)
        with pytest.raises(JobError) as error:
            dispatcher.bits(records)
    said = str(error.value)
    assert "It may have run there all the same, under another account, region or instance" in said
    assert "and have been paid for. Find it among the vendor's jobs" in said
    assert run.states() == ["unknown"] * JOBS
    ibm_cloud.faults.clear()
    run.resend()
    assert run.measure()
    assert posts(ibm_cloud) == len(ibm_cloud.jobs) == JOBS


def test_too_many_requests_and_too_many_jobs_wait(ibm_cloud, run):
    ibm_cloud.fault("POST", "/jobs", (429, "slow down"), times=2)
    assert run.measure()
    assert posts(ibm_cloud) == JOBS + 2
    assert len(ibm_cloud.jobs) == JOBS
    assert run.heard == []


def test_the_open_plans_limit_of_pending_jobs_waits(ibm_cloud, run):
    """One fits; the second is sent once it is done."""
    ibm_cloud.at_once = 1
    ibm_cloud.state = lambda job_id: "Completed" if ibm_cloud.count("GET", "/jobs/d0") else "Queued"
    assert run.measure()
    assert len(ibm_cloud.jobs) == JOBS
    assert posts(ibm_cloud) > JOBS
    assert run.states() == ["done"] * JOBS


READS = {
    "list of instances": ("GET", "/backends"),
    "usage": ("GET", "/instances/usage"),
    "status": ("GET", "/backends/ibm_manila/status"),
    "configuration": ("GET", "/backends/ibm_manila/configuration"),
    "properties": ("GET", "/backends/ibm_manila/properties"),
    "find": ("GET", "/jobs"),
    "job": ("GET", r"/jobs/d\d"),
    "results": ("GET", r"/jobs/d\d/results"),
    "metrics": ("GET", r"/jobs/d\d/metrics"),
}


@pytest.mark.parametrize("read", READS)
def test_a_read_that_breaks_is_repeated(ibm_cloud, run, read):
    """A gateway, and TLS itself; on a connection of its own, which reads everything once."""
    run.services = {}
    ibm_cloud.fault(*READS[read], (502, "bad gateway"), times=2)
    ibm_cloud.fault(*READS[read], "cut before", times=2)
    assert run.measure()
    assert not any(fault.times for fault in ibm_cloud.faults)
    assert posts(ibm_cloud) == len(ibm_cloud.jobs) == JOBS
    assert run.heard == []


@pytest.mark.parametrize("read", ["usage", "status", "find", "job", "results"])
def test_a_read_that_stays_broken_for_longer_is_asked_again(ibm_cloud, run, read):
    """More often than the client repeats it: the dispatcher pauses, and asks again.

    At first; and after the first question, which for some is just before the POST.
    """
    ibm_cloud.fault(*READS[read], (502, "bad gateway"), times=7)
    ibm_cloud.fault(*READS[read], (502, "bad gateway"), times=7, after=1)
    assert run.measure()
    assert posts(ibm_cloud) == len(ibm_cloud.jobs) == JOBS


@pytest.mark.parametrize(
    ("read", "state"),
    [("usage", "planned"), ("status", "planned"), ("find", "planned"), ("job", "submitted"),
     ("results", "submitted")],
)  # fmt: skip
def test_a_read_that_is_broken_for_good_loses_nothing(ibm_cloud, run, read, state):
    ibm_cloud.fault(*READS[read], (502, "bad gateway"))
    said = trouble(run, MissingError)
    assert "ibm:ibm_manila does not answer" in said
    assert "502" in said
    assert run.states() in ([state] * JOBS, [])
    ibm_cloud.faults.clear()
    assert run.measure()
    assert posts(ibm_cloud) == len(ibm_cloud.jobs) == JOBS


@pytest.mark.parametrize("path", ["/instances/usage", "/backends/ibm_manila/status", "/backends"])
def test_what_breaks_before_the_post_was_not_sent(ibm_cloud, run, path):
    """Between the dispatcher's questions and the POST: nothing is waited for, or unknown."""
    with run.session() as (dispatcher, request, isa):
        ibm_cloud.fault("GET", path, (502, "bad gateway"))
        with pytest.raises(Rejected, match="no job was sent: ") as refused:
            dispatcher.service.run([(isa.circuit, request.rows)], SHOTS, tag="t")
    assert refused.value.again
    assert posts(ibm_cloud) == 0


def newer(result):
    return result | {"schema_version": "v9.0"}


def damaged(result):
    return json.dumps(result)[:200]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (newer, "cannot be read: ValueError: No decoder found for schema version v9.0. It is"),
        (damaged, "the result of d0 cannot be read: "),
        (1, "returned shots of shape (2, 7, 3); expected [row, shot, bit] = [2, 8, 3]"),
        (lambda _: "", "has no result for d0: it was deleted, or could be read once and was read"),
    ],
    ids=["newer schema", "damaged", "one shot short", "none"],
)
def test_a_result_that_cannot_be_read_is_kept(ibm_cloud, run, spoil, said):
    if spoil == 1:
        ibm_cloud.short = 1
    else:
        ibm_cloud.spoil = spoil
    heard = trouble(run, JobError)
    assert said in heard
    assert "It is done and paid for: do not send it again. `qhyper fetch`" in heard
    assert run.states() == ["unreadable"] * JOBS
    with run.session() as (dispatcher, _, _):
        record = dispatcher.ledger.jobs()[0]
        raw = dispatcher.ledger.raw_file(record.key)
        assert raw.is_file() == ("no result" not in said)
    if spoil is newer:
        assert json.loads(raw.read_bytes())["schema_version"] == "v9.0"
    ibm_cloud.spoil, ibm_cloud.short = lambda result: result, 0
    assert run.measure()
    assert posts(ibm_cloud) == len(ibm_cloud.jobs) == JOBS


@pytest.mark.parametrize("results", [True, False])
def test_a_job_that_failed_at_ibm_is_failed(ibm_cloud, run, results):
    """Also where IBM has no text for it."""
    ibm_cloud.state, ibm_cloud.reason = "Failed", "the fridge is warm"
    ibm_cloud.spoil = lambda _: "a long log"
    if not results:
        ibm_cloud.fault("GET", r"/jobs/d\d/results", (404, "no results"))
    said = trouble(run, JobError)
    assert "failed by ibm:ibm_manila: " in said
    assert "the fridge is warm" in said
    assert "its bill says whether it costs something. Send it again with `qhyper jobs" in said
    assert run.states() == ["failed"] * JOBS


def test_a_refusal_is_refused(ibm_cloud, run):
    ibm_cloud.fault("POST", "/jobs", (400, "the circuit is not for this device"))
    said = trouble(run, JobError)
    assert "is refused: " in said
    assert "the circuit is not for this device" in said
    assert "It was not taken and costs nothing." in said
    assert run.states() == ["refused"] * JOBS
    ibm_cloud.faults.clear()
    run.resend()
    assert run.measure()
    assert len(ibm_cloud.jobs) == JOBS


# -- when the device is gone ----------------------------------------------------------------------


def test_jobs_are_in_reach_when_the_device_is_retired(ibm_cloud, run):
    """Found, fetched and cancelled with the account alone; only sending needs the device."""
    with run.session() as (dispatcher, request, isa):
        dispatcher.send(request, isa)
    ibm_cloud.devices.clear()  # for a connection that has never seen it
    service = IBMService("ibm_manila", instance=CRN)
    backend = CloudBackend(service, patience=HASTE)
    with backend.connected(run.folder, "a run", "training", 10**6) as dispatcher:
        records = dispatcher.ledger.jobs()
        assert service.find(records[0].tag) == ["d0"]
        bits = dispatcher.bits(dispatcher.fetch(records, 5.0))
    np.testing.assert_array_equal(bits, np.repeat(EXPECTED[:, None], SHOTS, axis=1))
    ibm_cloud.state = "Queued"
    service.cancel("d1")
    assert ibm_cloud.cancelled == ["d1"]
    with pytest.raises(MissingError, match="Jobs that it has run can still be fetched"):
        _ = service.device
