"""IBM's adapter: snapshots on this machine, and the SDK's own service on an imitated network."""

import http.server
import threading

import numpy as np
import pytest

from qhyper.errors import ConfigurationError, JobError, MissingError
from qhyper.quantum.backends import build_cloud_backend
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.cloud.door import JobState, Rejected, Unreachable
from qhyper.quantum.cloud.qiskit_isa import transpiled

ibm = pytest.importorskip("qiskit_ibm_runtime")

from qiskit_ibm_runtime.accounts import AccountNotFoundError, InvalidAccountError  # noqa: E402
from qiskit_ibm_runtime.api.exceptions import RequestsApiError  # noqa: E402
from qiskit_ibm_runtime.exceptions import (  # noqa: E402
    IBMInputValueError,
    IBMNotAuthorizedError,
    IBMRuntimeError,
)
from qiskit_ibm_runtime.fake_provider import FakeManilaV2  # noqa: E402

from qhyper.quantum.cloud import ibm as adapter  # noqa: E402
from qhyper.quantum.cloud.ibm import IBMService  # noqa: E402

CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/1:2::"
QUBITS, SHOTS = 5, 64


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The SDK writes there; and no account of the machine is used."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("TOKEN", "INSTANCE", "CHANNEL", "URL"):
        monkeypatch.delenv(f"QISKIT_IBM_{name}", raising=False)


def pattern_circuit():
    """Row r turns qubit 0 by its angle; qubits 1 and 3 are always on."""
    gates = [Gate("rx", (q,), q) for q in range(QUBITS)]
    gates += [Gate("cz", (q, q + 1)) for q in range(QUBITS - 1)]
    return Circuit(QUBITS, tuple(gates))


ROWS = np.pi * np.array([[0, 1, 0, 1, 0], [1, 1, 0, 1, 0]], dtype=float)
EXPECTED = np.array([[0, 1, 0, 1, 0], [1, 1, 0, 1, 0]], dtype=np.uint8)


def pub(service):
    isa = transpiled(pattern_circuit(), service.device, level=1)
    return isa.circuit, isa.rows(ROWS)


# -- an imitated network under the SDK's own service ----------------------------------------------


class Client:
    """What the SDK asks over the network, and IBM's records."""

    _instance = CRN

    def __init__(self):
        self.jobs, self.sessions, self.closed = [], [], []
        self.fault = self.question_fault = self.session_fault = self.close_fault = None
        self.lost = False
        self.state, self.reason = "Completed", None
        self.status = {"operational": True, "status_msg": "active"}
        self.answer, self.says = None, "no such luck"

    def cloud_usage(self):
        return {}

    def backend_status(self, name):
        self.asked()
        return {"backend_name": name, "backend_version": "1", "pending_jobs": 0, **self.status}

    def program_run(self, **sent):
        if self.fault is not None:
            raise self.fault
        self.jobs.append({"id": f"d{len(self.jobs)}", "tags": sent["job_tags"], "sent": sent})
        if self.lost:
            raise RequestsApiError("read timed out")
        return {"id": self.jobs[-1]["id"], "backend": sent["backend_name"]}

    def create_session(self, backend, instance, max_time, mode):
        if self.session_fault is not None:
            raise self.session_fault
        self.sessions.append((backend, max_time, mode))
        return {"id": f"s{len(self.sessions)}"}

    def close_session(self, session_id):
        if self.close_fault is not None:
            raise self.close_fault
        self.closed.append(session_id)

    def asked(self):
        if self.question_fault is not None:
            raise self.question_fault

    def job_get(self, job_id, exclude_params=True):
        self.asked()
        for job in self.jobs:
            if job["id"] == job_id:
                return {**job, "state": {"status": self.state, "reason": self.reason}}
        raise RequestsApiError("no such job", 404)

    def jobs_get(self, *, limit, skip, job_tags, descending, **_):
        self.asked()
        found = [job for job in self.jobs if set(job_tags or ()) <= set(job["tags"])]
        found = found[::-1] if descending else found
        return {"jobs": found[skip : skip + limit], "count": len(found)}

    def job_results(self, job_id):
        self.asked()
        return self.answer if isinstance(self.answer, str) else "stored"


class Cloud(ibm.QiskitRuntimeService):
    """The SDK's service, connected to a Client."""

    def __init__(self, client):
        self.client = self._active_api_client = client
        self._api_clients = {CRN: client}
        self._channel = "ibm_quantum_platform"
        self._backend_instance_groups = []
        fake, configuration = FakeManilaV2(), FakeManilaV2().configuration()
        configuration.backend_name = "ibm_manila"
        self.one = ibm.IBMBackend(configuration, self, client, instance=CRN)
        self.one._properties, self.one._target = fake.properties(), fake.target

    def backends(self, name=None, **_):
        return [b for b in [self.one] if name in (None, b.name)]

    def _decode_job(self, raw_data):
        client = self.client

        class Stored:
            """What the job measured, as the SDK's decoder gives it."""

            @staticmethod
            def is_applicable(raw):
                return True

            @staticmethod
            def decode(raw):
                if isinstance(client.answer, Exception):
                    raise client.answer
                return client.answer

        return ibm.RuntimeJobV2(
            backend=self.one, api_client=client, service=self, job_id=raw_data["id"],
            program_id="executor", tags=raw_data["tags"], result_decoder=Stored,
        )  # fmt: skip


@pytest.fixture
def client(monkeypatch):
    client = Client()
    monkeypatch.setattr(IBMService, "_connect", staticmethod(lambda account, i: Cloud(client)))
    return client


@pytest.fixture
def service(client):
    return device()


def device(**options):
    return IBMService("ibm_manila", instance=CRN, **options)


def send(service, tag="qhyper-1", shots=SHOTS):
    return service.run([pub(service)], shots, tag=tag)


def measured_locally(shots=SHOTS):
    """A result of the SDK's own type."""
    local = IBMService("fake_manila", noise="none", seed=1)
    return send(local, shots=shots)._job.result()


# -- sending --------------------------------------------------------------------------------------


def test_a_job_carries_its_tag_and_is_not_private(client, service):
    assert (str(service), service.local, service.searchable) == ("ibm:ibm_manila", False, True)
    job = send(service)
    assert job.job_id == "d0"
    sent = client.jobs[0]["sent"]
    assert sent["job_tags"] == ["qhyper-1"]
    assert sent["private"] is False
    assert sent["session_id"] is None
    assert sent["max_execution_time"] is None
    assert sent["backend_name"] == "ibm_manila"
    assert sent["params"]["quantum_program"]["shots"] == SHOTS
    assert job.state() == JobState.DONE


def test_options_are_passed_on(client, monkeypatch):
    seen = []
    from qiskit_ibm_runtime import executor_sampler

    class Seen(executor_sampler.Sampler):
        def run(self, *arguments, **keywords):
            seen.append(self.options)
            return super().run(*arguments, **keywords)

    monkeypatch.setattr(executor_sampler, "Sampler", Seen)
    service = device(
        dynamical_decoupling="XY4", twirling={"measure": False, "num_randomizations": 10},
        max_execution_time=30,
    )  # fmt: skip
    send(service)
    options = seen[0]
    assert options.environment.job_tags == ["qhyper-1"]
    assert options.environment.private is False
    assert options.dynamical_decoupling.enable
    assert options.dynamical_decoupling.sequence_type == "XY4"
    assert (options.twirling.enable_gates, options.twirling.enable_measure) == (True, False)
    # 8 is the largest divisor of 64 up to 10: no more shots are paid than were asked for
    assert options.twirling.num_randomizations == 8
    assert options.twirling.shots_per_randomization == 8
    assert client.jobs[0]["sent"]["max_execution_time"] == 30


def test_batch_takes_the_jobs_sent_together_and_is_closed(client):
    service = device(mode="batch")
    with service.sending():
        pass
    assert client.sessions == []  # nothing sent, nothing opened

    def two_and_an_error():
        with service.sending():
            send(service, "a")
            send(service, "b")
            assert client.closed == []
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        two_and_an_error()
    assert client.sessions == [("ibm_manila", None, "batch")]
    assert [job["sent"]["session_id"] for job in client.jobs] == ["s1", "s1"]
    assert client.closed == ["s1"]
    with service.sending():
        send(service, "c")
    assert client.jobs[2]["sent"]["session_id"] == "s2"


def test_a_session_is_opened_by_the_first_job_and_closed_by_close(client):
    with pytest.raises(ConfigurationError, match="A session reserves the device and costs"):
        device(mode="session")
    service = device(mode="session", session_seconds=120)
    assert client.sessions == []
    with service.sending():
        send(service, "a")
    assert client.closed == []
    client.fault = RequestsApiError("gone")
    with service.sending(), pytest.raises(IBMRuntimeError):
        send(service, "b")
    service.close()
    service.close()
    assert client.sessions == [("ibm_manila", 120, "dedicated")]
    assert client.closed == ["s1"]


def test_a_session_that_cannot_be_closed_is_named(client):
    service = device(mode="session", session_seconds=120)
    send(service)
    client.close_fault = RequestsApiError("no route")
    with pytest.raises(MissingError, match=r"the session s1 could not be closed: .*no route.* 120"):
        service.close()


@pytest.mark.parametrize(
    ("fault", "again"),
    [
        (RequestsApiError("no route"), True),
        (RequestsApiError("slow down", 429), True),
        (RequestsApiError("oops", 500), True),
        (RequestsApiError("your plan has no sessions", 403), False),
    ],
)
def test_no_job_is_sent_where_no_batch_opens(client, fault, again):
    service = device(mode="batch")
    client.session_fault = fault
    with pytest.raises(Rejected, match="no batch was opened: RequestsApiError") as refused:
        send(service)
    assert refused.value.again is again
    assert client.jobs == []


# -- never paying twice: which errors are answers -------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "again"),
    [
        (RequestsApiError("bad circuit", 400), False),
        (IBMNotAuthorizedError("401 Client Error"), False),
        (RequestsApiError("not yours", 403), False),
        (RequestsApiError("no such program", 404), False),
        (RequestsApiError("too large", 413), False),
        (RequestsApiError("slow down", 429), True),
    ],
)
def test_a_refusal_of_the_server_is_certain(client, service, fault, again):
    client.fault = fault
    with pytest.raises(Rejected, match=str(fault).strip("'")) as refused:
        send(service)
    assert refused.value.again is again


@pytest.mark.parametrize(
    "fault",
    [
        RequestsApiError("connection reset by peer"),
        RequestsApiError("request timeout", 408),
        RequestsApiError("conflict", 409),
        RequestsApiError("server error", 500),
        RequestsApiError("gateway timeout", 504),
        ConnectionError("no route"),
        KeyError("id"),
    ],
)
def test_any_other_error_leaves_it_open(client, service, fault):
    client.fault = fault
    with pytest.raises(Exception, match=r"Failed to run program|no route|id") as open_one:
        send(service)
    assert not isinstance(open_one.value, Rejected)


def test_a_lost_reply_is_open_and_the_job_is_found_by_its_tag(client, service):
    client.lost = True
    with pytest.raises(IBMRuntimeError, match="read timed out"):
        send(service)
    assert service.find("qhyper-1") == ["d0"]
    assert service.find("qhyper-2") == []


def test_a_refusal_of_another_question_does_not_count(client, service):
    """After it has taken a job elsewhere, IBM's SDK asks for that backend; a 403 there is open."""
    run = client.program_run

    def moved(**sent):
        return run(**sent) | {"backend": "ibm_elsewhere"}

    backends = service._service.backends

    def forbidden(name=None, **_):
        if name == "ibm_elsewhere":
            raise RequestsApiError("not yours", 403)
        return backends(name)

    client.program_run = moved
    service._service.backends = forbidden
    with pytest.raises(RequestsApiError, match="not yours"):
        send(service)
    assert len(client.jobs) == 1


def test_an_invalid_request_never_leaves(client, service):
    circuit, rows = pub(service)
    with pytest.raises(Rejected, match="ValueError"):
        service.run([(circuit, rows[:, :-1])], SHOTS, tag="t")
    assert client.jobs == []


def test_the_sdk_does_not_repeat_a_post_by_itself(monkeypatch):
    """It would after a 500, up to five times; IBM's own client against a server on this machine."""
    posts = []

    class Failing(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            posts.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(500)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    from qiskit_ibm_runtime.api.client import RuntimeClient
    from qiskit_ibm_runtime.api.rest.runtime import Runtime
    from qiskit_ibm_runtime.api.session import RetrySession

    server = http.server.HTTPServer(("127.0.0.1", 0), Failing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        client = object.__new__(RuntimeClient)
        client._session = RetrySession(f"http://127.0.0.1:{server.server_port}")
        client._session.trust_env = False
        client._api = Runtime(client._session)
        adapter._post_once(client)
        with client._session, pytest.raises(RequestsApiError) as error:
            client.program_run("executor", "ibm_manila", {}, None, None, None)
    finally:
        server.shutdown()
        server.server_close()
    assert error.value.status_code == 500
    assert len(posts) == 1


# -- jobs -----------------------------------------------------------------------------------------


def test_jobs_are_found_oldest_first_whether_done_or_not(client, service):
    for tag in ("t", "other", "t"):
        send(service, tag)
    assert service.find("t") == ["d0", "d2"]
    client.question_fault = RequestsApiError("no route")
    with pytest.raises(Unreachable, match="no route"):
        service.find("t")
    with pytest.raises(Unreachable, match="no route"):
        service.job("d0")


def test_a_job_by_its_number(client, service):
    send(service)
    client.answer = measured_locally()
    job = service.job("d0")
    found = job.measured((2, SHOTS, QUBITS), seed=0)
    assert (found.bits == EXPECTED[:, None]).all()
    assert found.note == ""
    with pytest.raises(JobError, match=r"ibm:ibm_manila knows no job d9: .*Check the number"):
        service.job("d9")
    for shape in ((1, SHOTS, QUBITS), (2, SHOTS + 1, QUBITS), (2, SHOTS, QUBITS - 1)):
        with pytest.raises(JobError, match="returned shots of shape"):
            service.job("d0").measured(shape, seed=0)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("Queued", "queued"), ("Running", "running"), ("Completed", "done"), ("Failed", "failed"),
        ("Cancelled", "cancelled"), ("Something new", "running"),
    ],
)  # fmt: skip
def test_states(client, service, said, state):
    send(service)
    client.state = said
    assert service.job("d0").state() == state


def test_a_failed_job_says_why(client, service):
    send(service)
    client.state, client.reason, client.answer = "Failed", "the fridge is warm", "log"
    job = service.job("d0")
    assert job.state() == JobState.FAILED
    assert "the fridge is warm" in job.message()
    with pytest.raises(JobError, match=r"ibm:ibm_manila: .*the fridge is warm"):
        job.measured((2, SHOTS, QUBITS), seed=0)
    client.state = "Cancelled"
    with pytest.raises(JobError, match="Job was cancelled"):
        service.job("d0").measured((2, SHOTS, QUBITS), seed=0)


def test_no_answer_and_no_result(client, service):
    send(service)
    job = service.job("d0")
    client.question_fault = RequestsApiError("no route")
    with pytest.raises(Unreachable, match=r"RequestsApiError: .*no route"):
        job.state()
    with pytest.raises(Unreachable, match="no route"):
        job.measured((2, SHOTS, QUBITS), seed=0)
    client.question_fault = None
    client.answer = None
    with pytest.raises(JobError, match="has no result for d0: it was deleted, or could be read"):
        service.job("d0").measured((2, SHOTS, QUBITS), seed=0)
    client.answer = KeyError("schema")
    with pytest.raises(JobError, match="the result of d0 cannot be read: KeyError: 'schema'"):
        service.job("d0").measured((2, SHOTS, QUBITS), seed=0)


def test_registers_stand_side_by_side(service):
    from qiskit.primitives import BitArray, DataBin, PrimitiveResult, SamplerPubResult

    bits = np.random.default_rng(3).integers(0, 2, (2, 7, 12)).astype(bool)
    data = DataBin(
        meas=BitArray.from_bool_array(bits[..., :9], order="little"),
        c=BitArray.from_bool_array(bits[..., 9:], order="little"),
        shape=(2,),
    )
    np.testing.assert_array_equal(
        adapter._unpacked(PrimitiveResult([SamplerPubResult(data)])), bits
    )


# -- connecting -----------------------------------------------------------------------------------


def refuse(monkeypatch, error):
    def connect(account, instance):
        raise error

    monkeypatch.setattr(IBMService, "_connect", staticmethod(connect))


@pytest.mark.parametrize("instance", [None, "auto"])
def test_the_instance_that_pays_is_named_by_the_user(client, instance):
    with pytest.raises(ConfigurationError, match=r"instance.* free plans first"):
        IBMService("ibm_manila", instance=instance)


def test_no_account():
    """IBM's own code, on a home folder without accounts."""
    with pytest.raises(
        MissingError, match=r"no IBM Quantum account: .*save_account.*takes a token"
    ):
        IBMService("ibm_manila", instance=CRN)
    with pytest.raises(MissingError, match="Account with the name nope does not exist on disk"):
        IBMService("ibm_manila", instance=CRN, account="nope")


def test_a_wrong_token_and_no_network_are_both_said(monkeypatch):
    token = "t0psecret-t0psecret-t0psecret"
    monkeypatch.setenv("QISKIT_IBM_TOKEN", token)
    refuse(monkeypatch, InvalidAccountError(f"Unable to retrieve instances ({token})"))
    with pytest.raises(MissingError, match="a wrong token and for no network") as error:
        IBMService("ibm_manila", instance=CRN)
    assert error.value.exit_code == 3
    assert token not in str(error.value)
    assert "Unable to retrieve instances" in str(error.value)


def test_an_instance_that_is_not_the_accounts(monkeypatch):
    refuse(monkeypatch, IBMInputValueError("The instance specified (x) is not a valid instance"))
    with pytest.raises(ConfigurationError, match="IBM does not accept the instance 'x'"):
        IBMService("ibm_manila", instance="x")
    refuse(monkeypatch, AccountNotFoundError("Unable to find account."))
    with pytest.raises(MissingError, match="Unable to find account"):
        IBMService("ibm_manila", instance="x")


def test_an_unknown_backend_has_near_names(client, monkeypatch):
    with pytest.raises(ConfigurationError, match="Did you mean 'ibm_manila'"):
        IBMService("ibm_manilla", instance=CRN)

    class Empty(Cloud):
        def backends(self, name=None, **_):
            return []

    monkeypatch.setattr(IBMService, "_connect", staticmethod(lambda a, i: Empty(client)))
    with pytest.raises(MissingError, match="the instance lists no backends"):
        IBMService("ibm_manila", instance=CRN)


def test_maintenance_price_and_limits(client):
    service = device(gate_budget=9000)
    assert service.unavailable() is None
    client.status = {"operational": False, "status_msg": "maintenance"}
    assert service.unavailable() == "maintenance."
    client.question_fault = RequestsApiError("no route")
    assert "IBM does not answer: RequestsApiError" in service.unavailable()
    assert service.limits.executions == 10_000_000
    assert service.limits.gates == 9000
    assert service.limits.qubits == QUBITS
    configuration = service.device.configuration()
    configuration.default_rep_delay = 250e-6
    assert "an estimate: 25 s of quantum time" in service.price(1, 100, 100_000)
    longer = device(mode="session", session_seconds=60)
    longer.device.configuration().default_rep_delay = 250e-6
    assert "a session costs for as long as it is open, here up to 60 s" in longer.price(1, 1, 10)
    del configuration.default_rep_delay
    assert service.price(1, 1, 1) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "sesion"}, "Unknown mode of IBM jobs 'sesion'. Did you mean 'session'"),
        ({"dynamical_decoupling": "XY"}, "Unknown sequence of dynamical decoupling 'XY'"),
        ({"twirling": {"gate": True}}, "Unknown option of twirling: 'gate'. Did you mean 'gates'"),
        ({"twirling": {"num_randomizations": 0}}, "Got num_randomizations=0"),
        ({"max_execution_time": 0}, "Got max_execution_time=0; expected a whole number from 1"),
        ({"gate_budget": 1.5}, "Got gate_budget=1.5; expected a whole number from 1"),
        ({"gate_budget": "abc"}, "Got gate_budget='abc'; expected a whole number from 1, or noth"),
        ({"session_seconds": "abc"}, "Got session_seconds='abc'; expected a whole number from 1"),
        ({"max_execution_time": True}, "Got max_execution_time=True; expected a whole number"),
        ({"account": 3}, "Got account=3; expected text, or nothing"),
        ({"twirling": 5}, "Got twirling=5; expected true, false, or a mapping of gates, measure"),
        ({"twirling": "gates"}, "Got twirling='gates'; expected true, false, or a mapping"),
        ({"twirling": {"gates": "no"}}, "Got gates='no'; expected true or false"),
        ({"twirling": {3: True}}, "Unknown option of twirling: '3'"),
        ({"dynamical_decoupling": 5}, "Unknown sequence of dynamical decoupling '5'"),
        ({"mode": 3}, "Unknown mode of IBM jobs '3'"),
        ({"seed": "x"}, "Got seed='x'; expected a whole number from 0, or nothing"),
        ({"seed": -1}, "Got seed=-1; expected a whole number from 0, or nothing"),
        ({"noise": "full"}, "are for snapshots"),
        ({"seed": 1}, "are for snapshots"),
    ],
)
def test_options_that_cannot_be(client, options, message):
    with pytest.raises(ConfigurationError, match=message):
        device(**options)


def test_an_instance_is_text(client):
    with pytest.raises(ConfigurationError, match="Got instance=3; expected text, or nothing"):
        IBMService("ibm_manila", instance=3)


def test_there_is_no_option_for_a_token(client):
    with pytest.raises(ConfigurationError, match="token"):
        build_cloud_backend("ibm:ibm_manila", {"instance": CRN, "token": "x"})


# -- snapshots ------------------------------------------------------------------------------------


def test_an_unknown_snapshot_has_near_names():
    with pytest.raises(ConfigurationError, match="Did you mean 'fake_torino'"):
        IBMService("fake_turino")
    with pytest.raises(ConfigurationError, match=r"Unknown noise 'ful'. Did you mean 'full'"):
        IBMService("fake_torino", noise="ful")


@pytest.mark.parametrize(
    "options",
    [
        {}, {"dynamical_decoupling": True}, {"twirling": True}, {"mode": "batch"},
        {"dynamical_decoupling": "XpXm", "twirling": {"gates": True, "num_randomizations": 5}},
        {"mode": "session", "session_seconds": 60, "max_execution_time": 60},
    ],
    ids=str,
)  # fmt: skip
def test_a_snapshot_runs_with_every_option(options):
    """Without noise the pattern comes back in every shot, and as many shots as were asked for."""
    service = IBMService("fake_manila", noise="none", seed=1, **options)
    with service.sending():
        job = send(service)
    found = job.measured((2, SHOTS, QUBITS), seed=0)
    assert (found.bits == EXPECTED[:, None]).all()
    assert job.state() == JobState.DONE
    assert service.job(job.job_id) is job
    assert service.find("qhyper-1") == []
    with pytest.raises(JobError, match="only by the process that sent them"):
        service.job("elsewhere")


def test_the_noise_of_a_snapshot():
    """256 shots × 10 bits, of which FakeManila reads 2 to 4 % wrongly, and gates add to that."""
    wrong = {}
    for noise in ("none", "readout", "full", None):
        service = IBMService("fake_manila", noise=noise, seed=1)
        bits = send(service, shots=256).measured((2, 256, QUBITS), seed=0).bits
        wrong[noise] = (bits != EXPECTED[:, None]).mean()
    assert wrong["none"] == 0
    assert 0.005 < wrong["readout"] < wrong["full"] < 0.2
    assert wrong[None] == wrong["full"]  # five qubits are few


def test_a_large_circuit_has_readout_noise_alone():
    n = 36
    circuit = Circuit(n, tuple(Gate("rx", (q,), q) for q in range(n)))
    service = IBMService("fake_torino", seed=1)
    isa = transpiled(circuit, service.device)
    rows = isa.rows(np.full((1, n), np.pi))
    bits = service.run([(isa.circuit, rows)], 64, tag="t").measured((1, 64, n), seed=0).bits
    assert list(service._simulators) == ["readout"]
    assert service.about(n) == (
        "a snapshot of a device, simulated on this machine with readout errors alone: 36 bits are "
        "more than 10 (option noise)"
    )
    assert service.about(10).endswith("with all of its errors (option noise)")
    assert 0.8 < bits.mean() < 1


def test_draws_depend_on_seed_and_tag():
    """RX(π/2) on five qubits: 64 shots of five coins repeat by chance with 2^-320."""
    service = IBMService("fake_manila", noise="none", seed=4)
    isa = transpiled(Circuit(1, (Gate("rx", (0,), 0),)), service.device)
    rows = isa.rows(np.full((5, 1), np.pi / 2))

    def draws(service, tag):
        return service.run([(isa.circuit, rows)], 64, tag=tag).measured((5, 64, 1), seed=0).bits

    first = draws(service, "a")
    np.testing.assert_array_equal(
        first, draws(IBMService("fake_manila", noise="none", seed=4), "a")
    )
    assert (first != draws(service, "b")).any()
    assert (first[0] != first[1]).any()


def test_a_simulation_that_fails_says_why(monkeypatch):
    service = IBMService("fake_manila", noise="none")
    circuit, rows = pub(service)
    with pytest.raises(Rejected, match="ValueError"):
        service.run([(circuit, rows[:, :-1])], SHOTS, tag="t")
    job = send(service)
    job._job._future.result()

    def fail():
        raise RuntimeError("out of memory")

    monkeypatch.setattr(job._job, "result", fail)
    assert job.message() == "RuntimeError: out of memory."
    with pytest.raises(JobError, match="cannot be read: RuntimeError: out of memory"):
        job.measured((2, SHOTS, QUBITS), seed=0)


@pytest.mark.parametrize(
    ("noise", "said"),
    [("full", "with all of its errors"), ("readout", "with readout errors alone"),
     ("none", "without errors")],
)  # fmt: skip
def test_a_snapshot_says_which_errors_it_has(noise, said):
    service = IBMService("fake_manila", noise=noise)
    expected = f"a snapshot of a device, simulated on this machine {said} (option noise)"
    assert service.about(5) == service.about(36) == expected


def test_a_device_has_nothing_to_explain(service):
    assert service.about(36) == ""


# -- what hangs on the SDK's own insides ----------------------------------------------------------


def test_payment_hangs_on_the_sdks_retries():
    import inspect

    from qiskit_ibm_runtime import QiskitRuntimeService
    from qiskit_ibm_runtime.api.session import RetrySession

    unsafe = (
        "PAYMENT: qiskit-ibm-runtime has changed, and may send a job again by itself after an "
        "answer 5xx; mend ibm._post_once: "
    )
    assert "_api_clients" in inspect.getsource(QiskitRuntimeService), unsafe + "_api_clients"
    from qiskit_ibm_runtime.api.client import RuntimeClient

    assert "self._session" in inspect.getsource(RuntimeClient), unsafe + "_session"
    with RetrySession("http://127.0.0.1:1") as session:
        client = type("C", (), {"_session": session})
        before = [set(a.max_retries.status_forcelist) for a in session.adapters.values()]
        assert all(before), unsafe + "where are the retries now?"
        adapter._post_once(client)
        after = [set(a.max_retries.status_forcelist) for a in session.adapters.values()]
    assert not any(after), unsafe + "status_forcelist"


def test_payment_hangs_on_names_in_the_sdks_tracebacks():
    """A refusal counts if it came out of `program_run`, or before anything was sent."""
    from qiskit_ibm_runtime.api.client import RuntimeClient

    assert RuntimeClient.program_run.__code__.co_name == "program_run", (
        "not payment: without `program_run` every refusal of IBM's is taken as open, and such jobs "
        "stay unknown; mend ibm_errors.refusal"
    )
    from qiskit_ibm_runtime.executor_sampler import Sampler, prepare

    assert prepare.__name__ == "qiskit_ibm_runtime.executor_sampler.prepare", (
        "not payment: without `prepare` a circuit that the SDK refuses is taken as open; mend "
        "ibm_errors.before_sending"
    )
    requests = {"program_run", "_request", "post"}
    assert not requests & set(vars(prepare)), (
        "PAYMENT: the module whose errors are taken as certain sends requests now; mend "
        "ibm_errors.before_sending"
    )
    assert callable(Sampler.run)


def troubles(client):
    """Calls that raise or return what IBM says."""
    service = device()
    job = send(service)
    client.fault = RequestsApiError(client.says, 400)
    yield lambda: send(service)
    client.session_fault = RequestsApiError(client.says, 403)
    yield lambda: send(device(mode="batch"))
    client.close_fault, client.session_fault, client.fault = (
        RequestsApiError(client.says),
        None,
        None,
    )
    longer = device(mode="session", session_seconds=60)
    send(longer)
    yield longer.close
    client.answer = KeyError(client.says)
    yield lambda: service.job(job.job_id).measured((2, SHOTS, QUBITS), seed=0)
    client.status = {"operational": False, "status_msg": client.says}
    yield service.unavailable
    client.question_fault = RequestsApiError(client.says)
    yield service.unavailable
    yield job.state
    yield lambda: service.job("d0")
    yield lambda: service.find("t")
    client.question_fault = RequestsApiError(client.says, 400)
    yield lambda: service.job("d0")
