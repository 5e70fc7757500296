"""Azure Quantum against a server of the tests' own, below Microsoft's packages."""

import json

import numpy as np
import pytest

pytest.importorskip("azure.quantum")
pytest.importorskip("qdk")

from azure.core.exceptions import HttpResponseError

from qhyper.errors import ConfigurationError, MissingError
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.cloud.azure_quantum import AzureService
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.cloud.door import (
    Denied,
    JobState,
    Limits,
    NotFound,
    Rejected,
    Unreachable,
    Unreadable,
)
from qhyper.quantum.cloud.qiskit_isa import transpiled
from qhyper.quantum.cloud.questions import Patience
from qhyper.quantum.cloud.readout import preparation
from qhyper.quantum.cloud.record import State
from qhyper.quantum.simulators.state_vector import StateVectorBackend
from qhyper.streams import Streams
from tests.quantum.cloud.servers.azure_server import ACCOUNT, FORMATS, HOSTS, KEY, TARGET, Azure
from tests.quantum.cloud.servers.local_https import CUT_AFTER, CUT_BEFORE, certificate, serving


@pytest.fixture
def azure(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AZURE_QUANTUM_CONNECTION_STRING", ACCOUNT)
    # its clients wait before they ask again
    monkeypatch.setattr("azure.core.pipeline.transport.RequestsTransport.sleep", lambda *_: None)
    with serving(Azure(), certificate(tmp_path, *HOSTS), monkeypatch) as there:
        yield there


def asked(azure, method, part):
    """How often it was asked for something."""
    return sum(m == method and part in path for m, path in azure.asked)


def prepared(service, row=0, n=5):
    isa = transpiled(preparation(n), service.device, level=1)
    bits = np.random.default_rng(4).integers(0, 2, (2, n))[row : row + 1]
    return [(isa.circuit, isa.rows(np.pi * bits))], bits


@pytest.mark.parametrize("layout", [None, [5, 1, 4, 0, 3]])
def test_a_circuit_comes_back_as_it_was_sent(azure, tmp_path, layout):
    """Asymmetric circuit of 5 qubits; 3 rows, 2,000 shots, 5 sigma."""
    n = 5
    gates = [Gate("ry", (q,), q) for q in range(n)]
    gates += [Gate("cz", (q, q + 1)) for q in range(n - 1)]
    gates += [Gate("rx", (q,), n + q) for q in range(n)]
    circuit = Circuit(n, tuple(gates))
    angles = np.random.default_rng(6).uniform(0, np.pi, (1, 3, 2 * n))
    angles[..., :n] *= np.linspace(0.1, 1, n)
    backend = CloudBackend(AzureService(TARGET), level=1, layout=layout)
    executable = backend.compile(circuit)
    with backend.connected(tmp_path, "run", "training", 10**6) as dispatcher:
        backend.begin("step 0")
        bits = executable.at(angles).sample(2000, Streams([0])(0))
        records = dispatcher.ledger.jobs()
    p = StateVectorBackend().compile(circuit).at(angles).probabilities()
    p = p @ (np.arange(1 << n)[:, None] >> np.arange(n) & 1)
    assert (np.abs(bits.mean(axis=2) - p) <= 5 * np.sqrt(p * (1 - p) / 2000)).all()

    # a row a job: six for the preflight, three for the step
    assert [record.rows for record in records] == [1] * 9
    assert [record.job_id for record in records] == list(azure.jobs)
    assert [(job["name"], job["tags"]) for job in azure.jobs.values()] == [
        (record.tag, [record.tag]) for record in records
    ]
    assert {job["target"] for job in azure.jobs.values()} == {TARGET}
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in stored


def test_a_job_is_found_by_its_number_and_by_its_tag(azure):
    service = AzureService(TARGET)
    pubs, bits = prepared(service)
    number = service.run(pubs, 7, tag="qhyper-a").job_id
    service.run(pubs, 7, tag="qhyper-b")
    later = AzureService(TARGET)
    assert later.find("qhyper-a") == [number]
    assert later.find("qhyper-c") == []
    job = later.job(number)
    assert job.state() == JobState.DONE
    measured = job.measured((1, 7, 5), seed=1)
    np.testing.assert_array_equal(measured.bits, np.repeat(bits[:, None], 7, axis=1))
    assert measured.note == ""
    with pytest.raises(JobError, match=r"nothing under 99: .*it is not there.*Check the number"):
        later.job("99")


def test_the_same_request_again_is_the_same_job(azure):
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    first = service.run(pubs, 5, tag="qhyper-a").job_id
    assert service.run(pubs, 5, tag="qhyper-a").job_id == first
    assert len(azure.jobs) == 1
    # an earlier request arrives after it was asked for in vain
    azure.fail["GET", "jobs"] = [404]
    azure.fail["PUT", "jobs"] = [409]
    assert service.run(pubs, 5, tag="qhyper-a").job_id == first
    # what failed is not taken again
    azure.status = "Failed"
    second = service.run(pubs, 5, tag="qhyper-a").job_id
    assert service.find("qhyper-a") == [first, second] == list(azure.jobs)


def test_a_lost_reply_is_found_by_the_ledger_and_paid_once(azure, tmp_path):
    patience = Patience(first_poll=0.01, last_poll=0.02, grace=5)
    backend = CloudBackend(AzureService(TARGET), level=1, patience=patience)
    executable = backend.compile(preparation(3))
    heard = []
    with backend.connected(tmp_path, "run", "draws", 10**5, warn=heard.append) as dispatcher:
        azure.fail["PUT", "jobs"] = ["lost"] * 4  # so often its client tries
        backend.begin("draws")
        executable.at(np.zeros((1, 1, 3))).sample(10, Streams([0])(0))
        assert {record.state for record in dispatcher.ledger.jobs()} == {State.DONE}
    assert len(azure.jobs) == 5
    assert "did not confirm a job" in heard[0]
    assert KEY not in "".join(heard)


@pytest.mark.parametrize(("status", "again"), [(400, False), (401, False), (403, False)])
def test_a_refusal_says_so(azure, status, again):
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    azure.fail["PUT", "jobs"] = [status]
    with pytest.raises(Rejected, match="no such luck") as refused:
        service.run(pubs, 5, tag="qhyper-a")
    assert refused.value.again == again
    assert not azure.jobs
    # what was uploaded for it is not in the way
    assert service.run(pubs, 5, tag="qhyper-a").job_id in azure.jobs


def test_too_many_requests_are_sent_later(azure):
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    azure.fail["PUT", "jobs"] = [429] * 10
    with pytest.raises(Rejected, match="no such luck") as refused:
        service.run(pubs, 5, tag="qhyper-a")
    assert refused.value.again
    with pytest.raises(Rejected, match="takes one row a job; got 2"):
        service.run([(pubs[0][0], np.repeat(pubs[0][1], 2, axis=0))], 5, tag="qhyper-b")


def test_an_error_of_the_service_leaves_it_open(azure):
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    azure.fail["PUT", "jobs"] = [500] * 10
    with pytest.raises(HttpResponseError, match="no such luck"):
        service.run(pubs, 5, tag="qhyper-a")


def test_nothing_is_sent_before_azure_has_said_what_is_there(azure):
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    for place in (("GET", "jobs"), ("POST", "storage")):
        azure.fail[place] = ["away"] * 10
        with pytest.raises(Rejected, match=r"Nothing was sent yet: .*no route") as refused:
            service.run(pubs, 5, tag="qhyper-a")
        assert refused.value.again
        azure.fail.clear()
    assert ("PUT", "jobs") not in azure.asked
    azure.fail["GET", "jobs"] = ["away"] * 10
    with pytest.raises(Unreachable, match="no route to host"):
        service.find("qhyper-a")


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ("Waiting", JobState.QUEUED),
        ("Queued", JobState.QUEUED),
        ("Executing", JobState.RUNNING),
        ("Finishing", JobState.RUNNING),
        ("CancellationRequested", JobState.RUNNING),
        ("Completed", JobState.DONE),
        ("Succeeded", JobState.DONE),
        ("Failed", JobState.FAILED),
        ("Cancelled", JobState.CANCELLED),
    ],
)
def test_states_and_reasons(azure, told, state):
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    job = service.run(pubs, 5, tag="qhyper-a")
    assert job.message() == ""
    azure.status, azure.error = told, {"code": "Oven", "message": "too warm"}
    assert job.state() == state
    assert job.message() == "Oven: too warm"


def test_a_state_that_nobody_knows_is_no_answer(azure):
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    job = service.run(pubs, 5, tag="qhyper-a")
    azure.status = "Levitating"
    with pytest.raises(Unreachable, match="says that the job is 'Levitating'"):
        job.state()


def test_frequencies_are_expanded_and_the_note_says_so(azure):
    azure.form = "microsoft.quantum-results.v1"
    service = AzureService(TARGET)
    pubs, bits = prepared(service)
    job = service.run(pubs, 7, tag="qhyper-a")
    measured = job.measured((1, 7, 5), seed=3)
    np.testing.assert_array_equal(measured.bits, np.repeat(bits[:, None], 7, axis=1))
    assert measured.note == "expanded from counts, in an order drawn with seed 3"


def test_what_is_no_shots_is_refused(azure):
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    job = service.run(pubs, 8, tag="qhyper-a")
    with pytest.raises(JobError, match="got 8 shots in memory; expected 9"):
        job.measured((1, 9, 5), seed=1)
    with pytest.raises(JobError, match="expected 4 bits"):
        job.measured((1, 8, 4), seed=1)
    azure.spoil = lambda shots: [["-", *shot[1:]] for shot in shots]  # a lost atom
    with pytest.raises(JobError, match=r"got the outcome '-\d{4}'; expected 5 bits"):
        job.measured((1, 8, 5), seed=1)
    azure.form = "acme.results.v7"
    with pytest.raises(JobError, match=r"results of the format acme\.results\.v7; expected"):
        job.measured((1, 8, 5), seed=1)
    azure.form = "microsoft.quantum-results.v2"
    azure.spoil = lambda shots: None
    with pytest.raises(JobError, match="a result that cannot be read"):
        job.measured((1, 8, 5), seed=1)


def test_what_the_target_says_about_itself(azure):
    service = AzureService(TARGET)
    assert str(service) == f"azure:{TARGET}"
    assert service.searchable
    assert not service.local
    assert (service.limits.qubits, service.limits.rows) == (6, 1)
    assert service.price(1, 1, 1) is None
    assert service.unavailable() is None
    azure.availability = "Unavailable"
    assert service.unavailable() == (
        "the workspace says that it is unavailable. See https://acme.example/status."
    )
    azure.fail["GET", "providerStatus"] = ["away"] * 10
    assert "Azure does not answer: " in service.unavailable()
    assert service.about(36) == ""


def test_no_workspace_no_network_and_no_such_target(azure, monkeypatch):
    with pytest.raises(ConfigurationError, match=r"target 'acme.qpi'. Did you mean 'acme.qpu'\?"):
        AzureService("acme.qpi")
    azure.fail["GET", "providerStatus"] = ["away"] * 10
    with pytest.raises(MissingError, match=r"no route to host.*no network, or Azure does not know"):
        AzureService(TARGET)
    monkeypatch.delenv("AZURE_QUANTUM_CONNECTION_STRING")
    with pytest.raises(
        MissingError, match=r"workspace not fully specified.*AZURE_QUANTUM_SUB"
    ) as e:
        AzureService(TARGET)
    assert e.value.exit_code == 3


def test_the_local_simulators_counts_are_expanded():
    """Its samples are counts: the note says so."""
    service = AzureService("local")
    pubs, bits = prepared(service)
    measured = service.run(pubs, 6, tag="qhyper-a").measured((1, 6, 5), seed=4)
    np.testing.assert_array_equal(measured.bits, np.repeat(bits[:, None], 6, axis=1))
    assert measured.note == "expanded from counts, in an order drawn with seed 4"


def test_the_local_simulator_has_no_width(monkeypatch):
    """It keeps amplitudes that are not zero: 70 qubits, of which one is turned halfway."""
    from qiskit import QuantumCircuit

    service = AzureService("local")
    assert str(service.limits) == "qubits not known; a job: no limit known"
    circuit = QuantumCircuit(70, 70)
    circuit.x(0)
    circuit.h(1)
    circuit.measure(range(70), range(70))
    bits = (
        service.run([(circuit, np.zeros((1, 0)))], 40, tag="t").measured((1, 40, 70), seed=1).bits
    )
    assert bits[..., 0].all()
    assert set(np.unique(bits[..., 1])) == {0, 1}
    assert not bits[..., 2:].any()

    def fail(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(service.device, "run", fail)
    with pytest.raises(Rejected, match="RuntimeError: out of memory"):
        service.run([(circuit, np.zeros((1, 0)))], 40, tag="t")


@pytest.mark.parametrize("option", ["resource_id", "location"])
def test_options_are_text(option):
    with pytest.raises(ConfigurationError, match=f"Got {option}=3; expected text, or nothing"):
        AzureService("local", **{option: 3})


def test_what_is_used_of_the_sdk_without_being_public_is_there(azure):
    """No payment hangs on these: without them nothing is sent."""
    service = AzureService(TARGET)
    lost = "azure-quantum has changed: no job can be made, and none is paid for: "
    for name in ("_get_input_params", "_translate_input", "_prepare_job_metadata", "_config"):
        assert hasattr(service.device, name), lost + name
    keys = {"provider_id", "blob_name", "content_type", "input_data_format", "output_data_format"}
    assert keys <= set(service.device._config.azure), lost + "_config.azure"
    assert callable(service.device._config.get), lost + "_config.get"
    assert callable(service._workspace._get_target_status), lost + "_get_target_status"


def test_payment_hangs_on_the_jobs_number(azure):
    import inspect

    from azure.quantum import Job

    unsafe = "PAYMENT: Azure no longer takes the number of a job from us: a lost one is sent twice"
    parameters = inspect.signature(Job.from_input_data).parameters
    assert {"job_id", "submit_job"} <= set(parameters) or "kwargs" in parameters, unsafe
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    service._prepared(pubs[0][0].assign_parameters(pubs[0][1][0]), 5, "qhyper-a", "our-number")
    assert ("PUT", "jobs") not in azure.asked, "PAYMENT: a job is submitted while it is prepared"
    job = service.run(pubs, 5, tag="qhyper-a")
    assert list(azure.jobs) == [job.job_id], unsafe


def troubles(azure):
    """Calls that raise or return what Azure says."""
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    job = service.run(pubs, 5, tag="qhyper-a")
    azure.fail["PUT", "jobs"] = [400]
    yield lambda: service.run(pubs, 5, tag="qhyper-b")
    azure.fail["POST", "storage"] = [403]
    yield lambda: service.run(pubs, 5, tag="qhyper-c")
    azure.fail["GET", "jobs"] = [403, 404]
    yield job.state
    yield job.state
    azure.fail["GET", "providerStatus"] = [403] * 2
    yield service.unavailable
    yield lambda: AzureService(TARGET)
    azure.error = {"code": "Oven", "message": azure.says}
    yield job.message
    azure.form = azure.says
    yield lambda: job.measured((1, 5, 5), seed=1)
    azure.status = azure.says
    yield job.state
