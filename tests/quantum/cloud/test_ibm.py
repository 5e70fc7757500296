"""IBM's adapter: snapshots on this machine, and IBM's own client against a server of the tests."""

import numpy as np
import pytest

from qhyper.errors import ConfigurationError, JobError, MissingError
from qhyper.quantum.backends import build_cloud_backend
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.cloud.door import (
    Denied,
    JobState,
    NotFound,
    PlannedJobs,
    Rejected,
    Unreachable,
    asked,
)
from qhyper.quantum.cloud.qiskit_isa import transpiled

pytest.importorskip("qiskit_ibm_runtime")

from qhyper.quantum.cloud import ibm_job
from qhyper.quantum.cloud.ibm import IBMService

CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/1:2::"
OTHER_CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/1:3::"
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


@pytest.fixture
def client(ibm_cloud):
    """IBM, as its client finds it."""
    return ibm_cloud


@pytest.fixture
def service(client):
    return device()


def device(**options):
    return IBMService("ibm_manila", **{"instance": CRN, **options})


def send(service, tag="qhyper-1", shots=SHOTS):
    return service.run([pub(service)], shots, tag=tag)


# -- sending --------------------------------------------------------------------------------------


def test_a_job_carries_its_tag_and_is_not_private(client, service):
    assert (str(service), service.local, service.searchable) == ("ibm:ibm_manila", False, True)
    assert service.place == "ibm:ibm_manila"
    job = send(service)
    assert job.job_id == "d0"
    sent = client.jobs[0]["body"]
    assert sent["tags"] == ["qhyper-1"]
    assert not {"private", "session_id", "cost"} & set(sent)
    assert sent["backend"] == "ibm_manila"
    assert sent["params"]["quantum_program"]["shots"] == SHOTS
    assert job.state() == JobState.DONE
    assert job.session == ""


def test_options_are_passed_on(client):
    service = device(
        dynamical_decoupling="XY4", twirling={"measure": False, "num_randomizations": 10},
        max_execution_time=30,
    )  # fmt: skip
    send(service)
    sent = client.jobs[0]["body"]
    program = sent["params"]["quantum_program"]
    options = program["passthrough_data"]["post_processor"]["options"]
    assert options["environment"]["job_tags"] == ["qhyper-1"]
    assert options["environment"]["private"] is False
    assert options["dynamical_decoupling"]["enable"]
    assert options["dynamical_decoupling"]["sequence_type"] == "XY4"
    twirling = options["twirling"]
    assert (twirling["enable_gates"], twirling["enable_measure"]) == (True, False)
    # 8 is the largest divisor of 64 up to 10: no more shots are paid than were asked for
    assert twirling["num_randomizations"] == 8
    assert twirling["shots_per_randomization"] == program["shots"] == 8
    assert program["items"][0]["shape"] == [8, 2]
    assert sent["cost"] == 30


@pytest.mark.parametrize(
    ("shots", "said"),
    [
        (1021, "Got 1,021 shots of a row with twirling: they can be shared out evenly over 1 rando"
               "mization of up to 32, expected 8 at the least. Take a multiple of 32, such as 1,02"
               "4 shots, or leave twirling out."),
        (7, "over 7 randomizations of up to 32, expected 8"),
        (3 * 1021, "over 3 randomizations of up to 32"),
    ],
)  # fmt: skip
def test_twirling_of_few_randomizations_is_refused(client, shots, said):
    service = device(twirling=True)
    with pytest.raises(Rejected, match=said) as refused:
        send(service, shots=shots)
    assert not refused.value.again
    with pytest.raises(ConfigurationError, match=said):
        service.preview([pub(service)], shots, tag="t")
    assert client.jobs == []


def test_fractional_gates_where_the_device_has_them(client):
    service = IBMService("ibm_fractional", instance=CRN, fractional_gates=True)
    assert {"rx", "rzz"} <= set(service.device.operation_names)
    isa = transpiled(pattern_circuit(), service.device, level=3)
    circuit, rows = isa.circuit, isa.rows(ROWS)
    assert {"rx", "rzz"} <= set(circuit.count_ops())
    angles = [step.operation.params[0] for step in circuit.get_instructions("rzz")]
    assert all(0 <= float(angle) <= np.pi / 2 for angle in angles)  # IBM takes no others
    job = service.run([(circuit, rows)], SHOTS, tag="t")
    assert (job.measured((2, SHOTS, QUBITS), seed=0).bits == EXPECTED[:, None]).all()
    without = IBMService("ibm_fractional", instance=CRN)
    assert not {"rx", "rzz"} & set(without.device.operation_names)
    with pytest.raises(ConfigurationError, match=r"ibm_manila has no fractional gates: .*out"):
        _ = device(fractional_gates=True).device


def test_batch_takes_the_jobs_sent_together_and_is_closed(client):
    service = device(mode="batch")
    with service.sending():
        pass
    assert client.sessions == []  # nothing sent, nothing opened

    def two_and_an_error():
        with service.sending():
            assert send(service, "a").session == "s1"
            send(service, "b")
            assert client.closed == []
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        two_and_an_error()
    assert [(s["backend"], s["mode"]) for s in client.sessions] == [("ibm_manila", "batch")]
    assert [job["body"]["session_id"] for job in client.jobs] == ["s1", "s1"]
    assert client.closed == ["s1"]
    with service.sending():
        send(service, "c")
    assert client.jobs[2]["body"]["session_id"] == "s2"
    assert service.job("d2").session == "s2"


def test_a_session_is_opened_by_the_first_job_and_closed_by_close(client):
    with pytest.raises(ConfigurationError, match="A session reserves the device and costs"):
        device(mode="session")
    service = device(mode="session", session_seconds=120)
    assert client.sessions == []
    with service.sending():
        send(service, "a")
    assert client.closed == []
    client.fault("POST", "/jobs", (500, "gone"))
    with service.sending(), pytest.raises(Exception, match="gone"):
        send(service, "b")
    service.close()
    service.close()
    assert client.sessions == [
        {"mode": "dedicated", "backend": "ibm_manila", "instance": CRN, "max_ttl": 120}
    ]
    assert client.closed == ["s1"]


def test_a_session_that_cannot_be_closed_is_named(client):
    service = device(mode="session", session_seconds=120)
    send(service)
    client.fault("PATCH", "/sessions/s1", (502, "no route"), times=3)
    service.close()  # it costs for as long as it is open: asked again
    assert client.closed == ["s1"]
    send(service)
    client.fault("PATCH", "/sessions/s2", (500, "no route"))
    with pytest.raises(MissingError, match=r"the session s2 could not be closed: .*no route.* 120"):
        service.close()


@pytest.mark.parametrize(
    ("how", "kind", "again"),
    [
        ("cut before", Rejected, True),
        ((429, "slow down"), Rejected, True),
        ((500, "oops"), Rejected, True),
        ((400, "no such device"), Rejected, False),
        ((403, "your plan has no batches"), Denied, None),
    ],
)
def test_no_job_is_sent_where_no_batch_opens(client, how, kind, again):
    service = device(mode="batch")
    client.fault("POST", "/sessions", how)
    with pytest.raises(kind, match="no batch was opened: RequestsApiError") as refused:
        send(service)
    assert getattr(refused.value, "again", None) is again
    assert client.jobs == []
    assert client.count("POST", "/sessions") == 1


# -- never paying twice: which errors are answers -------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "again"),
    [
        (400, Rejected, False), (404, Rejected, False), (413, Rejected, False),
        (429, Rejected, True), (401, Denied, None), (403, Denied, None),
    ],
)  # fmt: skip
def test_a_refusal_of_the_server_is_certain(client, service, status, kind, again):
    client.fault("POST", "/jobs", (status, "the words of IBM"))
    with pytest.raises(kind, match="the words of IBM") as refused:
        send(service)
    assert getattr(refused.value, "again", None) is again
    assert client.count("POST", "/jobs") == 1


@pytest.mark.parametrize(
    "said",
    [
        '{"errors":[{"code":3458,"message":"Full."}]}',
        '{"error": {"code": 3458, "message": "Full."}}',
        "You have reached the limit of 3 pending jobs.",
    ],
)
@pytest.mark.parametrize("status", [400, 403])
def test_a_plan_whose_jobs_all_wait_has_room_later(client, service, said, status):
    """Whichever status IBM answers with, and however its words are packed."""
    client.fault("POST", "/jobs", (status, said))
    with pytest.raises(Rejected) as refused:
        send(service)
    assert refused.value.again


@pytest.mark.parametrize("how", [(408, ""), (409, ""), (500, ""), (503, ""), (504, ""), "cut"])
def test_any_other_error_leaves_it_open(client, service, how):
    client.fault("POST", "/jobs", how)
    with pytest.raises(Exception, match="Failed to run program") as open_one:
        send(service)
    assert not isinstance(open_one.value, Rejected | Denied)
    assert client.count("POST", "/jobs") == 1
    assert service.find("qhyper-1") == ["d0"] * (how == "cut")


def test_a_refusal_of_another_question_does_not_count(client, service):
    """After it has taken a job elsewhere, IBM's SDK asks for that backend; a 403 there is open."""
    taken = client.post_job
    client.post_job = lambda *asked: (200, taken(*asked)[1] | {"backend": "ibm_fractional"})
    send(service)  # it is described
    client.fault("GET", "/backends/ibm_fractional/configuration", (403, "not yours"))
    with pytest.raises(Exception, match="No backend matches") as open_one:
        send(device())
    assert not isinstance(open_one.value, Rejected | Denied)
    assert len(client.jobs) == 2


def test_an_invalid_request_never_leaves(client, service):
    circuit, rows = pub(service)
    with pytest.raises(Rejected, match="ValueError") as refused:
        service.run([(circuit, rows[:, :-1])], SHOTS, tag="t")
    assert not refused.value.again
    assert client.jobs == []


# -- jobs -----------------------------------------------------------------------------------------


def test_jobs_are_found_oldest_first_whether_done_or_not(client, service):
    for tag in ("t", "other", "t"):
        send(service, tag)
    assert service.find("t") == ["d0", "d2"]
    assert service.job("d1").called() == "other"
    client.fault("GET", "/jobs.*", (502, "no route"))
    with pytest.raises(Unreachable, match="no route"):
        service.find("t")
    with pytest.raises(Unreachable, match="no route"):
        service.job("d0")


def test_a_job_by_its_number(client, service):
    send(service)
    job = service.job("d0")
    found = job.measured((2, SHOTS, QUBITS), seed=0)
    assert (found.bits == EXPECTED[:, None]).all()
    assert found.note == ""
    with pytest.raises(NotFound, match=r"ibm:ibm_manila knows no job d9: .*Check the number, the"):
        service.job("d9")
    client.fault("GET", "/jobs/d8", (400, "no number"))
    with pytest.raises(NotFound, match="no number"):
        service.job("d8")
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
    client.state, client.reason = "Failed", "the fridge is warm"
    job = service.job("d0")
    assert job.state() == JobState.FAILED
    assert "the fridge is warm" in job.message()
    with pytest.raises(JobError, match=r"ibm:ibm_manila: .*the fridge is warm"):
        job.measured((2, SHOTS, QUBITS), seed=0)
    client.state = "Cancelled"
    with pytest.raises(JobError, match="Job was cancelled"):
        service.job("d0").measured((2, SHOTS, QUBITS), seed=0)


def test_no_answer(client, service):
    send(service)
    client.fault("GET", "/jobs.*", (502, "no route"))
    job = ibm_job.IBMJob("ibm:ibm_manila", send(service)._job)
    for question in (job.state, job.queue, job.charged):
        with pytest.raises(Unreachable, match=r"no route"):
            question()
    with pytest.raises(Unreachable, match="no route"):
        job.measured((2, SHOTS, QUBITS), seed=0)
    assert "no route" in job.message()


def test_queue_and_charges(client, service):
    job = send(service)
    assert (asked(job, "queue"), asked(job, "charged")) == ("", "")
    client.metrics = {"position_in_queue": 4, "usage": {"status": "pending"}}
    assert (asked(job, "queue"), asked(job, "charged")) == ("place 4 in the queue", "")
    client.metrics = {"usage": {"status": "completed", "qpu_charge_time_seconds": 3}}
    assert (asked(job, "queue"), asked(job, "charged")) == ("", "3 s of quantum time")
    client.metrics = {"usage": {"status": "pending", "quantum_seconds": 2.5}}
    assert asked(job, "charged") == "2.5 s of quantum time so far"


def test_a_waiting_job_is_cancelled_and_a_done_one_is_not(client, service):
    send(service)
    with pytest.raises(ConfigurationError, match=r"cannot cancel d0: .*It has ended; fetch it"):
        service.cancel("d0")
    client.state = "Queued"
    service.cancel("d0")
    assert client.cancelled == ["d0"]
    assert service.job("d0").state() == JobState.CANCELLED
    with pytest.raises(NotFound, match="Job not found: d9"):
        service.cancel("d9")
    client.fault("POST", "/jobs/d0/cancel", (502, "no route"))
    with pytest.raises(Unreachable, match="no route"):
        service.cancel("d0")


def test_registers_stand_side_by_side():
    from qiskit.primitives import BitArray, DataBin, PrimitiveResult, SamplerPubResult

    bits = np.random.default_rng(3).integers(0, 2, (2, 7, 12)).astype(bool)
    data = DataBin(
        meas=BitArray.from_bool_array(bits[..., :9], order="little"),
        c=BitArray.from_bool_array(bits[..., 9:], order="little"),
        shape=(2,),
    )
    np.testing.assert_array_equal(
        ibm_job._unpacked(PrimitiveResult([SamplerPubResult(data)])), bits
    )


# -- connecting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("instance", [None, "auto"])
def test_the_instance_that_pays_is_named_by_the_user(client, instance):
    with pytest.raises(ConfigurationError, match=r"instance.* free plans first"):
        IBMService("ibm_manila", instance=instance)


def test_an_instance_by_its_name(client):
    service = device(instance="mine")
    send(service)
    assert len(client.jobs) == 1


def test_a_name_of_several_instances_is_refused(client):
    """Each has its own bill; IBM's client would take the first that has the device."""
    client.instances = [(CRN, "mine"), (OTHER_CRN, "mine")]
    with pytest.raises(ConfigurationError, match="2 instances are called 'mine', and each") as bad:
        device(instance="mine")
    assert f"{CRN}, {OTHER_CRN}. Give the CRN of the one that pays" in str(bad.value)
    send(device(instance=OTHER_CRN))
    assert len(client.jobs) == 1


def test_no_account():
    """IBM's own code, on a home folder without accounts."""
    with pytest.raises(
        MissingError, match=r"no IBM Quantum account: .*save_account.*takes a token"
    ):
        IBMService("ibm_manila", instance=CRN)
    with pytest.raises(MissingError, match="Account with the name nope does not exist on disk"):
        IBMService("ibm_manila", instance=CRN, account="nope")


def test_a_wrong_token_and_no_network_are_both_said(client, monkeypatch):
    token = "t0psecret-t0psecret-t0psecret"
    monkeypatch.setenv("QISKIT_IBM_TOKEN", token)
    client.fault("POST", "/identity/token", (400, f"no such key: {token}"))
    with pytest.raises(MissingError, match="a wrong token and for no network") as error:
        device()
    assert error.value.exit_code == 3
    assert token not in str(error.value)
    assert "Unable to retrieve instances" in str(error.value)


@pytest.mark.parametrize("instance", ["theirs", OTHER_CRN])
def test_an_instance_that_is_not_the_accounts(client, instance):
    with pytest.raises(ConfigurationError, match=f"IBM does not accept the instance '{instance}'"):
        device(instance=instance)


def test_an_unknown_backend_has_near_names(client):
    """It is looked up when it is first asked for: jobs are in reach without."""
    service = IBMService("ibm_manilla", instance=CRN)
    with pytest.raises(ConfigurationError, match="Did you mean 'ibm_manila'"):
        _ = service.device
    client.devices.clear()
    with pytest.raises(MissingError, match="the instance lists no such backend"):
        _ = service.limits


def test_maintenance_price_and_limits(client):
    service = device(gate_budget=9000)
    assert service.unavailable() is None
    client.status = {"state": False, "status": "maintenance"}
    assert service.unavailable() == "maintenance."
    client.status = {"state": True, "status": "active"}
    client.usage = {"usage_limit_reached": True}
    assert service.unavailable().startswith("the instance has used up its time")
    for status, kind in ((502, Unreachable), (404, Unreachable), (401, Denied)):
        client.faults.clear()
        client.fault("GET", "/backends/ibm_manila/status", (status, "no route"))
        with pytest.raises(kind, match="no route"):
            service.unavailable()
    assert service.limits.executions == 10_000_000
    assert service.limits.gates == 9000
    assert service.limits.qubits == QUBITS
    configuration = service.device.configuration()
    configuration.default_rep_delay = 250e-6
    price = service.price([PlannedJobs(1, 100, 1_000, (3, 6))])
    assert "an estimate: 25 s of quantum time" in price.words
    assert price.amount is None
    longer = device(mode="session", session_seconds=60)
    longer.device.configuration().default_rep_delay = 250e-6
    words = longer.price([PlannedJobs(1, 1, 10, (3, 6))]).words
    assert "a session costs for as long as it is open, here up to 60 s" in words
    del configuration.default_rep_delay
    assert service.price([PlannedJobs(1, 1, 1, (3, 6))]) is None


def test_what_does_not_change_what_is_measured_makes_no_new_job(client):
    plain = build_cloud_backend("ibm:ibm_manila", {"instance": CRN})
    other = build_cloud_backend(
        "ibm:ibm_manila",
        {"instance": "mine", "mode": "session", "session_seconds": 9, "gate_budget": 7,
         "max_execution_time": 8},
    )  # fmt: skip
    twirled = build_cloud_backend("ibm:ibm_manila", {"instance": CRN, "twirling": True})
    assert plain.identity == other.identity == "ibm:ibm_manila"
    assert twirled.identity == "ibm:ibm_manila twirling=True"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "sesion"}, "Unknown mode of IBM jobs 'sesion'. Did you mean 'session'"),
        ({"dynamical_decoupling": "XY"}, "Unknown sequence of dynamical decoupling 'XY'"),
        ({"twirling": {"gate": True}}, "Unknown option of twirling: 'gate'. Did you mean 'gates'"),
        ({"twirling": {"num_randomizations": 0}}, "Got num_randomizations=0"),
        (
            {"twirling": {"num_randomizations": 7}},
            "num_randomizations=7; expected a whole number from 8",
        ),
        ({"fractional_gates": "yes"}, "Got fractional_gates='yes'; expected true or false"),
        ({"fractional_gates": True, "twirling": True}, "Got fractional_gates with twirling of ga"),
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
    with pytest.raises(ConfigurationError, match="fractional_gates is for devices; the snapshot"):
        IBMService("fake_torino", fractional_gates=True)


@pytest.mark.parametrize(
    "options",
    [
        {}, {"dynamical_decoupling": True}, {"twirling": True}, {"mode": "batch"},
        {"dynamical_decoupling": "XpXm", "twirling": {"gates": True, "num_randomizations": 9}},
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
    with pytest.raises(NotFound, match="only by the process that sent them"):
        service.job("elsewhere")
    with pytest.raises(ConfigurationError, match="cannot cancel jobs"):
        service.cancel(job.job_id)
    assert service.preview([pub(service)], SHOTS, tag="t") == ""
    assert (job.session, asked(job, "queue"), asked(job, "charged")) == ("", "", "")


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


def test_payment_hangs_on_the_sdks_clients(client, service):
    """Every client that can post has our transport, for every address."""
    from qhyper.quantum.cloud.ibm_transport import Once, mount

    unsafe = (
        "PAYMENT: qiskit-ibm-runtime has changed, and may send a job again by itself; mend "
        "ibm_account: "
    )
    own = service._account.service
    clients = [*own._api_clients.values(), own._active_api_client, service.device._api_client]
    for one in clients:
        assert one._session.adapters, unsafe + "_session"
        for adapter in one._session.adapters.values():
            assert isinstance(adapter, Once), unsafe + "adapters"
    before = service._account.posts
    send(service)
    assert service._account.posts == before + 1, unsafe + "POSTs go another way"
    with pytest.raises(MissingError, match=r"could send a job twice\. Nothing was sent\."):
        mount(object(), Once())


def test_payment_hangs_on_names_in_the_sdks_tracebacks():
    """A refusal counts if it came out of `program_run`."""
    from qiskit_ibm_runtime.api.client import RuntimeClient

    assert RuntimeClient.program_run.__code__.co_name == "program_run", (
        "not payment: without `program_run` every refusal of IBM's is taken as open, and such jobs "
        "stay unknown; mend ibm_errors.refusal"
    )


def troubles(client):
    """Calls that raise or return what IBM says."""
    service = device()
    job = send(service)
    client.fault("POST", "/jobs", (400, client.says))
    yield lambda: send(service)
    client.fault("POST", "/sessions", (429, client.says), times=1)
    yield lambda: send(device(mode="batch"))
    client.faults.clear()
    client.fault("PATCH", "/sessions/s1", (500, client.says))
    longer = device(mode="session", session_seconds=60)
    send(longer)
    yield longer.close
    client.spoil = lambda result: {"schema_version": client.says}
    yield lambda: service.job(job.job_id).measured((2, SHOTS, QUBITS), seed=0)
    client.status = {"state": False, "status": client.says}
    yield service.unavailable
    client.fault("GET", ".*", (502, client.says))
    yield service.unavailable
    yield send_state(service, client)
    yield lambda: service.job("d0")
    yield lambda: service.find("t")


def send_state(service, client):
    """The question for the state of a job that has not ended."""
    faults, client.faults = client.faults, []
    job = send(service)
    client.faults = faults
    return job.state
