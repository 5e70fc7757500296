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
    PlannedJobs,
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
    for kind in ("HttpTransport", "RequestsTransport"):
        monkeypatch.setattr(f"azure.core.pipeline.transport.{kind}.sleep", lambda *_: None)
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
    assert (job.called(), measured.missing) == ("qhyper-a", ())
    with pytest.raises(
        NotFound,
        match=r"^Azure knows no such thing: ResourceNotFoundError: .*no such luck.* Check",
    ):
        later.job("99")


def test_the_same_request_again_is_the_same_job(azure):
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    first = service.run(pubs, 5, tag="qhyper-a").job_id
    assert service.run(pubs, 5, tag="qhyper-a").job_id == first
    assert len(azure.jobs) == 1
    # an earlier request arrives after it was asked for in vain
    azure.fails("GET", "jobs", 404)
    azure.fails("PUT", "jobs", 409)
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
    folder = tmp_path / "run"
    folder.mkdir()
    with backend.connected(folder, "run", "draws", 10**5, warn=heard.append) as dispatcher:
        azure.fails("PUT", "workspaces/desk/jobs", *[CUT_AFTER] * 4)  # its client tries four times
        backend.begin("draws")
        executable.at(np.zeros((1, 1, 3))).sample(10, Streams([0])(0))
        records = dispatcher.ledger.jobs()
    assert {record.state for record in records} == {State.DONE}
    assert len(azure.jobs) == len(records)
    assert "did not confirm a job" in heard[0]
    assert KEY not in "".join(heard)


@pytest.mark.parametrize("status", [400, 412])
def test_a_refusal_says_so(azure, status):
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    azure.fails("PUT", "workspaces/desk/jobs", status)
    with pytest.raises(Rejected, match="no such luck") as refused:
        service.run(pubs, 5, tag="qhyper-a")
    assert not refused.value.again
    assert not azure.jobs
    # what was uploaded for it is not in the way
    assert service.run(pubs, 5, tag="qhyper-a").job_id in azure.jobs


@pytest.mark.parametrize("status", [401, 403])
def test_who_is_not_let_in_hears_of_it(azure, status):
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    job = service.run(pubs, 5, tag="qhyper-a")
    for method, part, ask in (
        ("PUT", "desk/jobs", lambda: service.run(pubs, 5, tag="qhyper-b")),
        ("POST", "storage", lambda: service.run(pubs, 5, tag="qhyper-b")),
        ("GET", "desk/jobs", lambda: service.run(pubs, 5, tag="qhyper-b")),
        ("GET", "desk/jobs", job.state),
        ("GET", "desk/jobs", lambda: service.find("qhyper-a")),
        ("GET", "desk/jobs", lambda: service.cancel(job.job_id)),
        ("GET", "providerStatus", service.unavailable),
        ("GET", "/output", lambda: job.measured((1, 5, 5), seed=1)),
    ):
        azure.fails(method, part, status)
        with pytest.raises(Denied):
            ask()
        assert not azure.faults
    assert len(azure.jobs) == 1


def test_too_many_requests_are_sent_later(azure):
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    azure.fails("PUT", "desk/jobs", *[429] * 10)
    with pytest.raises(Rejected, match="no such luck") as refused:
        service.run(pubs, 5, tag="qhyper-a")
    assert refused.value.again
    with pytest.raises(Rejected, match="takes one row a job; got 2"):
        service.run([(pubs[0][0], np.repeat(pubs[0][1], 2, axis=0))], 5, tag="qhyper-b")


def test_an_error_of_the_service_leaves_it_open(azure):
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    azure.fails("PUT", "desk/jobs", *[500] * 10)
    with pytest.raises(HttpResponseError, match="no such luck"):
        service.run(pubs, 5, tag="qhyper-a")


def test_nothing_is_sent_before_azure_has_said_what_is_there(azure):
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    for method, part in (("GET", "desk/jobs"), ("POST", "storage"), ("PUT", "store")):
        azure.fails(method, part, *[CUT_BEFORE] * 10)
        if part == "store":  # the upload
            azure.faults = [("PUT", "inputData", CUT_BEFORE)] * 10
        with pytest.raises(Rejected, match=r"^Nothing was sent yet: \w+: ") as refused:
            service.run(pubs, 5, tag="qhyper-a")
        assert refused.value.again
        azure.faults.clear()
    assert not azure.posted
    azure.fails("GET", "desk/jobs", *[CUT_BEFORE] * 10)
    with pytest.raises(Unreachable):
        service.find("qhyper-a")


@pytest.mark.parametrize(
    ("told", "state", "words"),
    [
        ("Waiting", JobState.QUEUED, "5 minutes of waiting on average"),
        ("Queued", JobState.QUEUED, "5 minutes of waiting on average"),
        ("Executing", JobState.RUNNING, ""),
        ("Finishing", JobState.RUNNING, ""),
        ("CancellationRequested", JobState.RUNNING, ""),
        ("Completed", JobState.DONE, ""),
        ("Succeeded", JobState.DONE, ""),
        ("Failed", JobState.FAILED, ""),
        ("Cancelled", JobState.CANCELLED, ""),
    ],
)
def test_states_reasons_and_queues(azure, told, state, words):
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    job = service.run(pubs, 5, tag="qhyper-a")
    assert job.message() == ""
    azure.status, azure.error = told, {"code": "Oven", "message": "too warm"}
    assert job.state() == state
    assert job.message() == "Oven: too warm"
    assert job.queue() == words


def test_a_state_that_nobody_knows_is_no_answer(azure):
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    job = service.run(pubs, 5, tag="qhyper-a")
    azure.status = "Levitating"
    with pytest.raises(Unreachable, match="says that the job is 'Levitating'"):
        job.state()


def test_what_azure_estimates_that_it_cost(azure):
    service = AzureService(TARGET)
    job = service.run(prepared(service)[0], 5, tag="qhyper-a")
    assert job.charged() == ""
    azure.cost = {"currencyCode": "EUR", "estimatedTotal": 97.5, "events": []}
    assert job.charged() == "97.50 EUR by Azure's estimate"


def test_a_job_is_cancelled_unless_it_has_ended(azure):
    service = AzureService(TARGET)
    number = service.run(prepared(service)[0], 5, tag="qhyper-a").job_id
    with pytest.raises(
        ConfigurationError,
        match=rf"azure:acme\.qpu says that {number} is done: there is nothing to cancel\. Fetch it",
    ):
        service.cancel(number)
    azure.jobs[number]["status"] = "Waiting"
    service.cancel(number)
    assert service.job(number).state() == JobState.CANCELLED
    with pytest.raises(NotFound):
        service.cancel("99")
    with pytest.raises(ConfigurationError, match="azure:local cannot cancel jobs"):
        AzureService("local").cancel("99")


@pytest.mark.parametrize(
    ("target", "options", "sent"),
    [
        ("ionq.qpu.forte-1", {}, {"debias": False}),
        ("ionq.qpu.forte-1", {"debias": True}, {"debias": True}),
        ("ionq.simulator", {}, None),
        (TARGET, {}, None),
    ],
)
def test_ionqs_debiasing_is_off_unless_asked_for(azure, target, options, sent):
    """Without a word about it, the target's default holds: on, at a higher price."""
    service = AzureService(target, **options)
    service.run(prepared(service)[0], 5, tag="qhyper-a")
    (posted,) = azure.posted
    assert posted["target"] == target
    assert posted["inputParams"]["shots"] == 5
    assert posted["inputParams"].get("error-mitigation") == sent


def test_only_ionqs_computers_debias(azure):
    for name in (TARGET, "ionq.simulator", "local"):
        with pytest.raises(ConfigurationError, match=f"Got debias=True for azure:{name}; only Ion"):
            AzureService(name, debias=True)
    with pytest.raises(ConfigurationError, match="Got debias=1; expected true or false, or noth"):
        AzureService("ionq.qpu.forte-1", debias=1)


@pytest.mark.parametrize("target", [TARGET, "ionq.qpu.forte-1"])
def test_what_is_shown_is_what_is_sent(azure, target):
    """Its JSON, but for the places of its data in the store, and its QIR."""
    service = AzureService(target)
    pubs, _ = prepared(service)
    shown = service.preview(pubs, 5, tag="qhyper-a")
    assert not azure.posted
    assert not azure.blobs
    service.run(pubs, 5, tag="qhyper-a")
    (posted,), (program,) = azure.posted, azure.blobs.values()
    about, end = json.JSONDecoder().raw_decode(shown)
    assert shown[end:] == "\n" + program.decode()
    places = {"containerUri", "inputDataUri"}
    assert about == {k: v for k, v in posted.items() if k not in places and v is not None}
    assert about["inputParams"]["shots"] == 5
    two = [(pubs[0][0], np.repeat(pubs[0][1], 2, axis=0))]
    assert service.preview(two, 5, tag="qhyper-a") == f"{shown}\n{shown}"
    assert AzureService("local").preview(pubs, 5, tag="qhyper-a") == ""


def test_frequencies_are_expanded_and_the_note_says_so(azure):
    azure.form = FORMATS["v1"]
    service = AzureService(TARGET)
    pubs, bits = prepared(service)
    job = service.run(pubs, 7, tag="qhyper-a")
    measured = job.measured((1, 7, 5), seed=3)
    np.testing.assert_array_equal(measured.bits, np.repeat(bits[:, None], 7, axis=1))
    assert measured.note == "expanded from counts, in an order drawn with seed 3"


def test_what_is_no_shots_is_refused_and_kept(azure):
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    job = service.run(pubs, 8, tag="qhyper-a")

    def refused(shape=(1, 8, 5)):
        with pytest.raises(Unreadable) as trouble:
            job.measured(shape, seed=1)
        assert b"DataFormat" in trouble.value.raw or b"Histogram" in trouble.value.raw
        return str(trouble.value)

    assert "got 8 shots in memory; expected 9" in refused((1, 9, 5))
    assert "expected 4 bits" in refused((1, 8, 4))
    azure.spoil = lambda shots: [["-", *shot[1:]] for shot in shots]  # a lost atom
    assert "got the outcome '-" in refused()
    azure.form = "acme.results.v7"
    assert refused() == (
        "azure:acme.qpu returned results of the format acme.results.v7; expected "
        "microsoft.quantum-results.v2 or microsoft.quantum-results.v1. Nothing was made of them; "
        "the job's record is kept."
    )
    azure.form = FORMATS["v2"]
    azure.spoil = lambda shots: None
    assert "azure:acme.qpu returned a result that cannot be read: TypeError" in refused()
    azure.form = FORMATS["v1"]
    azure.output = lambda job: json.dumps({"Histogram": ["[0]", 0.3, "[1]", 0.7]}).encode()
    assert "got the frequency 0.3 of the outcome [0]; expected a whole number of 8" in refused()
    assert json.loads(azure.output(None)) == {"Histogram": ["[0]", 0.3, "[1]", 0.7]}


def test_where_a_job_ran_is_compared(azure):
    service = AzureService(TARGET)
    job = service.run(prepared(service)[0], 5, tag="qhyper-a")
    azure.target = "acme.sim"
    with pytest.raises(
        Unreadable,
        match=r"^azure:acme\.qpu says that the job ran on 'acme\.sim'; expected 'acme\.qpu'\. Noth",
    ):
        job.measured((1, 5, 5), seed=1)


def test_a_result_that_is_gone_from_the_store_is_kept_in_mind(azure):
    service = AzureService(TARGET)
    job = service.run(prepared(service)[0], 5, tag="qhyper-a")
    azure.fails("GET", "/output", 404)
    with pytest.raises(Unreadable, match=f"azure:acme.qpu has no result of {job.job_id}: Azu"):
        job.measured((1, 5, 5), seed=1)
    assert job.measured((1, 5, 5), seed=1).note == ""


def test_what_the_target_says_about_itself(azure):
    service = AzureService(TARGET)
    assert str(service) == service.place == f"azure:{TARGET}"
    assert AzureService(TARGET.upper()).place == service.place
    assert service.searchable
    assert not service.local
    assert service.measures == ("debias",)
    assert service.limits == Limits(6, rows=1)
    assert service.price([PlannedJobs(1, 1, 1, (3, 6))]) is None
    assert service.unavailable() is None
    azure.availability = "Unavailable"
    assert service.unavailable() == (
        "the workspace says that it is unavailable. See https://acme.example/status."
    )
    azure.fails("GET", "providerStatus", *[CUT_BEFORE] * 10)
    with pytest.raises(Unreachable):
        service.unavailable()
    azure.faults.clear()
    del azure.targets[TARGET]
    assert service.unavailable() == "the workspace does not list it any more."
    assert service.about(36) == ""


def test_jobs_are_in_reach_though_the_target_is_gone(azure):
    service = AzureService(TARGET)
    pubs, bits = prepared(service)
    done = service.run(pubs, 5, tag="qhyper-a").job_id
    waiting = service.run(pubs, 5, tag="qhyper-b").job_id
    azure.jobs[waiting]["status"] = "Waiting"
    del azure.targets[TARGET]
    later = AzureService(TARGET)
    measured = later.job(done).measured((1, 5, 5), seed=1)
    np.testing.assert_array_equal(measured.bits[0], np.repeat(bits, 5, axis=0))
    assert later.find("qhyper-b") == [waiting]
    later.cancel(waiting)
    assert later.job(waiting).state() == JobState.CANCELLED
    with pytest.raises(ConfigurationError, match=r"Unknown Azure Quantum target 'acme.qpu'"):
        later.device  # noqa: B018


def test_no_workspace_no_network_and_no_such_target(azure, monkeypatch):
    with pytest.raises(ConfigurationError, match=r"target 'acme.qpi'. Did you mean 'acme.qpu'\?"):
        AzureService("acme.qpi").limits  # noqa: B018
    azure.fails("GET", "providerStatus", *[CUT_BEFORE] * 10)
    with pytest.raises(MissingError, match=r"said nothing: .*no network, or Azure does not know"):
        AzureService(TARGET).device  # noqa: B018
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
    assert not azure.posted, "PAYMENT: a job is submitted while it is prepared"
    job = service.run(pubs, 5, tag="qhyper-a")
    assert list(azure.jobs) == [job.job_id], unsafe


def said(ask):
    """The words of an answer of Azure's that is no error of ours."""
    try:
        return ask()
    except (Denied, NotFound) as error:
        return str(error)


def troubles(azure):
    """Calls that raise or return what Azure says."""
    service = AzureService(TARGET)
    pubs, _ = prepared(service)
    job = service.run(pubs, 5, tag="qhyper-a")
    azure.fails("PUT", "desk/jobs", 400, 401)
    yield lambda: service.run(pubs, 5, tag="qhyper-b")
    yield lambda: said(lambda: service.run(pubs, 5, tag="qhyper-b"))
    azure.fails("GET", "desk/jobs", 403, 404, *[503] * 4)
    yield lambda: said(job.state)
    yield lambda: said(job.state)
    yield job.state
    azure.fails("GET", "providerStatus", 403, 403)
    yield lambda: said(service.unavailable)
    yield lambda: AzureService(TARGET).device
    azure.error = {"code": "Oven", "message": azure.says}
    yield job.message
    azure.cost = {"currencyCode": azure.says, "estimatedTotal": 1.0}
    yield job.charged
    azure.form = azure.says
    yield lambda: job.measured((1, 5, 5), seed=1)
    azure.target = azure.says
    yield lambda: job.measured((1, 5, 5), seed=1)
    azure.status = azure.says
    yield job.state
