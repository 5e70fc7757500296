"""Amazon Braket against an AWS of the tests' own, below all of Amazon's packages.

It answers HTTP requests, keeps tasks as AWS does, and measures them on Braket's local simulator.
"""

import io
import json
import urllib.parse
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("qiskit_braket_provider")

from botocore.awsrequest import AWSResponse
from braket.devices import LocalSimulator
from braket.ir.openqasm import ProgramSet as IrProgramSet

from qhyper.errors import ConfigurationError, JobError, MissingError
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.cloud.amazon_braket import BraketService
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.cloud.door import JobState, Rejected, Unreachable
from qhyper.quantum.cloud.qiskit_isa import transpiled
from qhyper.quantum.cloud.questions import Patience
from qhyper.quantum.cloud.readout import preflight_bits, preparation
from qhyper.quantum.cloud.record import State
from qhyper.quantum.simulators.state_vector import StateVectorBackend
from qhyper.streams import Streams

ARN = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
SECRET = "PLANTEDsecretPLANTEDsecretPLANTED"
LABELS = (2, 3, 5, 7, 11, 13)
"""The device's qubits: a line, not numbered from 0."""


def capabilities(*, sets=True, cost=True):
    def header(name):
        return {"name": f"braket.device_schema.{name}", "version": "1"}

    graph = {
        str(q): [str(r) for r in LABELS if abs(LABELS.index(q) - LABELS.index(r)) == 1]
        for q in LABELS
    }
    action = {
        "braket.ir.openqasm.program": {
            "actionType": "braket.ir.openqasm.program",
            "version": ["1"],
            "supportedOperations": ["prx", "cz", "rx"],
            "supportedResultTypes": [],
        }
    }
    if sets:
        action["braket.ir.openqasm.program_set"] = {
            "actionType": "braket.ir.openqasm.program_set",
            "version": ["1"],
            "maximumExecutables": 100,
            "maximumTotalShots": 200_000,
        }
    return {
        "braketSchemaHeader": header("iqm.iqm_device_capabilities"),
        "service": {
            "braketSchemaHeader": header("device_service_properties"),
            "executionWindows": [
                {
                    "executionDay": "Everyday",
                    "windowStartHour": "09:00",
                    "windowEndHour": "17:00",
                }
            ],
            "shotsRange": [1, 20_000],
            "deviceCost": {"price": 0.00145, "unit": "shot"} if cost else None,
        },
        "action": action,
        "paradigm": {
            "braketSchemaHeader": header("gate_model_qpu_paradigm_properties"),
            "qubitCount": len(LABELS),
            "nativeGateSet": ["cz", "prx"],
            "connectivity": {"fullyConnected": False, "connectivityGraph": graph},
        },
        "deviceParameters": {},
    }


class Aws:
    """An account with one device; what it took is in `tasks`, every request in `asked`."""

    def __init__(self):
        self.device, self.status = capabilities(), "ONLINE"
        self.tasks, self.tokens, self.asked = {}, {}, []
        self.says = "no such luck"
        self.fail = {}  # (method, first part of the path): list of (status, error code) or "lost"
        self.state, self.reason, self.results = "COMPLETED", None, {}

    def send(self, session, request):
        address = urllib.parse.urlsplit(request.url)
        parts = [urllib.parse.unquote(part) for part in address.path.strip("/").split("/")]
        self.asked.append((request.method, *parts))
        body = json.loads(request.body) if request.method == "POST" and request.body else {}
        fault = (self.fail.get((request.method, parts[0])) or [None]).pop(0)
        if isinstance(fault, tuple):
            return self.reply(request, fault[0], {"message": self.says}, fault[1])
        answer = self.answer(request.method, parts, body)
        if fault == "lost":
            from botocore.exceptions import ReadTimeoutError

            raise ReadTimeoutError(endpoint_url=request.url)
        if answer is None:
            code = "NoSuchKey" if "s3" in address.netloc else "ResourceNotFoundException"
            return self.reply(request, 404, {"message": "it is not there"}, code)
        return self.reply(request, 200, answer)

    def reply(self, request, status, answer, code=None):
        headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code or ""}
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        if code and "s3" in request.url:
            body = f"<Error><Code>{code}</Code><Message>gone</Message></Error>".encode()

        class Raw(io.BytesIO):
            def stream(self):
                yield self.read()

        return AWSResponse(request.url, status, headers, Raw(body))

    def answer(self, method, parts, body):
        if parts[0] == "device":
            return self.described(parts[1]) if parts[1] == ARN else None
        if parts[0] == "devices":
            wanted = [f["values"] for f in body["filters"] if f["name"] == "deviceName"]
            fits = "Garnet" in wanted[0] if wanted else True
            return {"devices": [self.described(ARN)] if fits else []}
        if parts[0] == "quantum-task" and method == "POST":
            return {"quantumTaskArn": self.create(body)}
        if parts[0] == "quantum-task":
            task = self.tasks.get(parts[1])
            return None if task is None else {**task, "status": self.state, **self.why()}
        if parts[0] == "quantum-tasks":  # pages of one, newest first
            listed = sorted(self.tasks.values(), key=lambda t: t["createdAt"], reverse=True)
            at = int(body.get("nextToken") or 0)
            page = {"quantumTasks": [{**t, "status": self.state} for t in listed[at : at + 1]]}
            return {**page, "nextToken": str(at + 1)} if at + 1 < len(listed) else page
        return self.results.get("/".join(parts[-2:]))

    def described(self, arn):
        return {
            "deviceArn": arn,
            "deviceName": "Garnet",
            "providerName": "IQM",
            "deviceType": "QPU",
            "deviceStatus": self.status,
            "deviceCapabilities": json.dumps(self.device),
        }

    def why(self):
        return {"failureReason": self.reason} if self.reason else {}

    def create(self, body):
        if body["clientToken"] in self.tokens:
            return self.tokens[body["clientToken"]]
        number = len(self.tasks)
        arn = f"arn:aws:braket:eu-north-1:123456789012:quantum-task/{number}"
        self.tokens[body["clientToken"]] = arn
        self.tasks[arn] = {
            "quantumTaskArn": arn,
            "deviceArn": body["deviceArn"],
            "shots": body["shots"],
            "outputS3Bucket": body["outputS3Bucket"],
            "outputS3Directory": f"{body['outputS3KeyPrefix']}/{number}",
            "createdAt": f"2026-01-01T00:00:{number:02}Z",
            "deviceParameters": "{}",
            "tags": body.get("tags", {}),
            "actionMetadata": {"actionType": "braket.ir.openqasm.program_set"},
        }
        self.sent = body
        programs = IrProgramSet.parse_raw(body["action"])
        measured = LocalSimulator()._delegate.run(programs, shots=body["shots"])
        self.results[f"{number}/results.json"] = measured.json().encode()
        return arn


@pytest.fixture(scope="module")
def models():
    """What AWS's packages read of its interfaces, once instead of for every connection."""
    from botocore.loaders import create_loader

    return create_loader()


@pytest.fixture
def aws(models, monkeypatch, tmp_path):
    account = Aws()
    monkeypatch.setattr("botocore.session.create_loader", lambda path=None: models)
    # Amazon's package waits before it asks again
    monkeypatch.setattr("backoff._sync.time", SimpleNamespace(sleep=lambda _: None))
    for name, value in {
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "AKIAPLANTED",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "eu-north-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "AMZN_BRAKET_OUT_S3_BUCKET": "amazon-braket-results",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        "botocore.httpsession.URLLib3Session.send",
        lambda session, request: account.send(session, request),
    )
    return account


def prepared(service, layout=None):
    """The preflight's circuit on the device, and two of its rows."""
    n = len(LABELS)
    isa = transpiled(preparation(n), service.device, level=1, layout=layout)
    bits = preflight_bits(n)[:2]
    return [(isa.circuit, isa.rows(np.pi * bits))], bits


def test_a_circuit_comes_back_through_aws_as_it_was_sent(aws, tmp_path):
    """Asymmetric circuit of 6 qubits on labels with gaps; 3 rows, 2,000 shots, 5 sigma."""
    n = len(LABELS)
    gates = [Gate("ry", (q,), q) for q in range(n)]
    gates += [Gate("cz", (q, q + 1)) for q in range(n - 1)]
    gates += [Gate("rx", (q,), n + q) for q in range(n)]
    circuit = Circuit(n, tuple(gates))
    angles = np.random.default_rng(5).uniform(0, np.pi, (1, 3, 2 * n))
    angles[..., :n] *= np.linspace(0.1, 1, n)
    # against the grain: our qubits run along the line from its far end
    layout = list(range(n))[::-1]
    backend = CloudBackend(BraketService(ARN), level=1, layout=layout)
    executable = backend.compile(circuit)
    with backend.connected(tmp_path, "run", "training", 10**6) as dispatcher:
        backend.begin("step 0")
        bits = executable.at(angles).sample(2000, Streams([0])(0))
        records = dispatcher.ledger.jobs()
    p = StateVectorBackend().compile(circuit).at(angles).probabilities()
    p = p @ (np.arange(1 << n)[:, None] >> np.arange(n) & 1)
    assert (np.abs(bits.mean(axis=2) - p) <= 5 * np.sqrt(p * (1 - p) / 2000)).all()

    # a task for the preflight and one for all rows, each with its tag
    assert [record.job_id for record in records] == list(aws.tasks)
    assert [task["tags"] for task in aws.tasks.values()] == [{"qhyper": r.tag} for r in records]
    assert aws.sent["shots"] == 3 * 2000
    # verbatim, on the device's own numbers of the qubits that were asked for
    source = json.loads(aws.sent["action"])["programs"][0]["source"]
    assert "#pragma braket verbatim" in source
    measured = [line.split("$")[1] for line in source.splitlines() if "measure" in line]
    assert measured == [f"{label};" for label in LABELS[::-1]]


def test_the_program_set_is_the_one_that_amazons_sampler_sends(aws):
    from qiskit_braket_provider import BraketSampler

    service = BraketService(ARN)
    pubs, _ = prepared(service)
    service.run(pubs, 10, tag="qhyper-a")
    ours = aws.sent
    circuit = pubs[0][0].copy()
    circuit.global_phase = 0
    BraketSampler(service.device, verbatim=True).run([(circuit, pubs[0][1])], shots=10)
    theirs = aws.sent
    assert json.loads(ours.pop("action")) == json.loads(theirs.pop("action"))
    assert ours.pop("tags") == {"qhyper": "qhyper-a"}
    assert ours.pop("clientToken") == "qhyper-a-0"
    theirs.pop("clientToken")
    assert ours == theirs


def test_a_job_is_found_by_its_number_and_by_its_tag(aws):
    service = BraketService(ARN)
    pubs, bits = prepared(service)
    tags = ["qhyper-a", "qhyper-b", "qhyper-c"]
    sent = [service.run(pubs, 7, tag=tag).job_id for tag in tags]
    later = BraketService(ARN)
    assert [later.find(tag) for tag in tags] == [[arn] for arn in sent]
    assert later.find("qhyper-d") == []
    job = later.job(sent[1])
    assert job.state() == JobState.DONE
    measured = job.measured((2, 7, len(LABELS)), seed=1)
    np.testing.assert_array_equal(measured.bits, np.repeat(bits[:, None], 7, axis=1))
    assert measured.note == ""
    with pytest.raises(JobError, match=r"nothing under arn.*/99: .*it is not there.*Check the num"):
        later.job("arn:aws:braket:eu-north-1:123456789012:quantum-task/99")


def test_the_same_request_again_is_the_same_task(aws):
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    first = service.run(pubs, 5, tag="qhyper-a")
    # by AWS itself, which knows the token
    assert service.run(pubs, 5, tag="qhyper-a").job_id == first.job_id
    # and where AWS has forgotten it, by the tag
    aws.tokens.clear()
    assert BraketService(ARN).run(pubs, 5, tag="qhyper-a").job_id == first.job_id
    assert len(aws.tasks) == 1
    # what failed is not taken again
    aws.state = "FAILED"
    assert BraketService(ARN).run(pubs, 5, tag="qhyper-a").job_id != first.job_id
    assert len(aws.tasks) == 2
    assert BraketService(ARN).find("qhyper-a") == list(aws.tasks)


def test_botocore_sends_a_lost_request_again_with_the_same_token(aws, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    aws.fail["POST", "quantum-task"] = ["lost"]
    service.run(pubs, 5, tag="qhyper-a")
    assert aws.asked.count(("POST", "quantum-task")) == 2
    assert len(aws.tasks) == 1


def test_a_lost_reply_is_found_by_the_ledger_and_paid_once(aws, tmp_path):
    patience = Patience(first_poll=0.01, last_poll=0.02, grace=5)
    backend = CloudBackend(BraketService(ARN), level=1, patience=patience)
    executable = backend.compile(preparation(3))
    heard = []
    with backend.connected(tmp_path, "run", "draws", 10**5, warn=heard.append) as dispatcher:
        aws.fail["POST", "quantum-task"] = ["lost"]
        backend.begin("draws")
        executable.at(np.zeros((1, 1, 3))).sample(10, Streams([0])(0))
        assert {record.state for record in dispatcher.ledger.jobs()} == {State.DONE}
    assert len(aws.tasks) == 2
    assert "did not confirm a job" in heard[0]
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET.encode() not in stored + "".join(heard).encode()


@pytest.mark.parametrize(
    ("fault", "again"),
    [
        ((400, "ValidationException"), False),
        ((403, "AccessDeniedException"), False),
        ((424, "DeviceOfflineException"), False),
        ((402, "ServiceQuotaExceededException"), True),
        ((429, "ThrottlingException"), True),
    ],
)
def test_a_refusal_says_so(aws, fault, again):
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    aws.fail["POST", "quantum-task"] = [fault]
    with pytest.raises(Rejected, match=f"{fault[1]}.*no such luck") as refused:
        service.run(pubs, 5, tag="qhyper-a")
    assert refused.value.again == again
    assert not aws.tasks


def test_an_error_of_the_service_leaves_it_open(aws):
    from botocore.exceptions import ClientError

    service = BraketService(ARN)
    pubs, _ = prepared(service)
    aws.fail["POST", "quantum-task"] = [(500, "InternalServiceException")]
    with pytest.raises(ClientError, match="InternalServiceException"):
        service.run(pubs, 5, tag="qhyper-a")


def test_nothing_is_sent_before_aws_has_said_what_is_there(aws):
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    aws.fail["POST", "quantum-tasks"] = [(500, "InternalServiceException")] * 2
    with pytest.raises(Rejected, match=r"Nothing was sent yet: .*InternalServiceException") as why:
        service.run(pubs, 5, tag="qhyper-a")
    assert why.value.again
    assert ("POST", "quantum-task") not in aws.asked
    with pytest.raises(Unreachable, match="InternalServiceException"):
        service.find("qhyper-a")


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ("CREATED", JobState.QUEUED),
        ("QUEUED", JobState.QUEUED),
        ("RUNNING", JobState.RUNNING),
        ("CANCELLING", JobState.RUNNING),
        ("COMPLETED", JobState.DONE),
        ("FAILED", JobState.FAILED),
        ("CANCELLED", JobState.CANCELLED),
    ],
)
def test_states_and_reasons(aws, told, state):
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    job = service.run(pubs, 5, tag="qhyper-a")
    aws.state, aws.reason = told, "calibration lost"
    assert job.state() == state
    assert job.message() == "calibration lost"


def test_a_service_that_does_not_answer_is_unreachable(aws):
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    job = service.run(pubs, 5, tag="qhyper-a")
    aws.fail["GET", "quantum-task"] = [(500, "InternalServiceException"), "lost"]
    for reason in ("InternalServiceException", "Read timeout"):
        with pytest.raises(Unreachable, match=reason):
            job.state()


def result_with(aws, change):
    """The one task's result, changed."""
    stored = json.loads(aws.results["0/results.json"])
    for program in stored["programResults"]:
        for executable in program["executableResults"]:
            change(executable)
    aws.results["0/results.json"] = json.dumps(stored).encode()


def test_frequencies_are_expanded_and_the_note_says_so(aws):
    service = BraketService(ARN)
    pubs, bits = prepared(service)
    job = service.run(pubs, 8, tag="qhyper-a")
    text = ["".join(map(str, row)) for row in bits]

    def change(executable):
        executable["measurements"] = None
        executable["measurementProbabilities"] = {text[0]: 0.25, text[1]: 0.75}

    result_with(aws, change)
    measured = job.measured((2, 8, len(LABELS)), seed=3)
    assert (measured.bits == bits[0]).all(axis=-1).sum(axis=1).tolist() == [2, 2]
    assert (measured.bits == bits[1]).all(axis=-1).sum(axis=1).tolist() == [6, 6]
    assert measured.note == "expanded from counts, in an order drawn with seed 3"


def test_what_is_no_shots_is_refused(aws):
    n = len(LABELS)
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    job = service.run(pubs, 8, tag="qhyper-a")
    with pytest.raises(JobError, match=r"2 rows of shape \[\(8, 6\)\]; expected 3 of \[\(8, 6\)\]"):
        job.measured((3, 8, n), seed=1)
    with pytest.raises(JobError, match=r"expected 2 of \[\(8, 5\)\]"):
        job.measured((2, 8, n - 1), seed=1)

    whole = aws.results["0/results.json"]

    def probabilities(executable):
        executable["measurements"] = None
        executable["measurementProbabilities"] = {"000000": 0.3, "111111": 0.7}

    result_with(aws, probabilities)
    with pytest.raises(
        JobError, match=r"frequency 0.3 of the outcome 000000.*no whole number of 8"
    ):
        service.job(job.job_id).measured((2, 8, n), seed=1)

    aws.results["0/results.json"] = whole
    stored = json.loads(whole)
    stored["programResults"][0]["executableResults"][1] = {
        "braketSchemaHeader": {
            "name": "braket.task_result.program_set_executable_failure",
            "version": "1",
        },
        "inputsIndex": 1,
        "failureMetadata": {
            "failureReason": "laser off",
            "retryable": False,
            "category": "DEVICE",
        },
    }
    aws.results["0/results.json"] = json.dumps(stored).encode()
    with pytest.raises(JobError, match=r"row 2 of 2 failed: .*laser off"):
        service.job(job.job_id).measured((2, 8, n), seed=1)

    aws.results["0/results.json"] = b'{"braketSchemaHeader": {"name": "no", "version": "1"}}'
    with pytest.raises(JobError, match=r"a result that cannot be read: .*record is kept"):
        service.job(job.job_id).measured((2, 8, n), seed=1)

    aws.results.clear()
    with pytest.raises(JobError, match=r"NoSuchKey.*the bucket"):
        service.job(job.job_id).measured((2, 8, n), seed=1)


def test_what_the_device_says_about_itself(aws):
    service = BraketService("Garnet")
    assert str(service) == "braket:Garnet"
    assert service.searchable
    assert not service.local
    limits = service.limits
    assert (limits.qubits, limits.rows, limits.shots, limits.executions) == (6, 100, 20000, 200000)
    # 2 tasks at 0.30 and 20,000 shots at 0.00145
    assert service.price(2, 10, 20_000) == (
        "about 29.60 US dollars: 2 tasks at 0.30 (Amazon Braket's pricing page) and 20,000 shots "
        "at 0.00145 (the device's own data at AWS); other prices hold for reservations"
    )
    assert service.unavailable() is None
    aws.status = "OFFLINE"
    assert service.unavailable() == (
        "its status is OFFLINE. It runs tasks Everyday 09:00 to 17:00 UTC."
    )
    aws.fail["GET", "device"] = [(500, "InternalServiceException")]
    assert "AWS does not answer: " in service.unavailable()
    assert service.about(36) == ""
    aws.device = capabilities(cost=False)
    assert BraketService(ARN).price(1, 1, 1) is None
    aws.device["service"]["deviceCost"] = {"price": 0.075, "unit": "minute"}
    assert BraketService(ARN).price(1, 1, 1).startswith("0.075 US dollars a minute")


def test_devices_that_cannot_be_used(aws, monkeypatch):
    with pytest.raises(ConfigurationError, match=r"device 'Garnett'. Did you mean 'Garnet'\?"):
        BraketService("Garnett")
    with pytest.raises(ConfigurationError, match="'arn:aws:braket:eu-north-1::device/qpu/iqm/No'"):
        BraketService("arn:aws:braket:eu-north-1::device/qpu/iqm/No")
    aws.device = capabilities(sets=False)
    with pytest.raises(MissingError, match="takes no program sets") as missing:
        BraketService("Garnet")
    assert missing.value.exit_code == 3


def test_no_account_no_region_and_no_network(aws, monkeypatch):
    advice = r"no network, or AWS does not know you: .*aws configure.*AWS_PROFILE"
    aws.fail["POST", "devices"] = [(403, "UnrecognizedClientException")] * 20
    with pytest.raises(MissingError, match=f"UnrecognizedClientException.*{advice}"):
        BraketService("Garnet")
    aws.fail["GET", "device"] = ["lost"]
    with pytest.raises(MissingError, match=f"Read timeout.*{advice}"):
        BraketService(ARN)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(MissingError, match=f"Unable to locate credentials.*{advice}"):
        BraketService("Garnet")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(MissingError, match=f"must specify a region.*{advice}") as missing:
        BraketService("Garnet")
    assert missing.value.exit_code == 3


def test_a_local_name_that_is_misspelt_where_aws_cannot_be_asked(aws, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(
        MissingError, match=r"Did you mean 'local'\?.* there are braket_dm, braket_sv, local"
    ):
        BraketService("locl")


def test_a_local_name_that_is_misspelt_where_aws_can_be_asked(aws):
    with pytest.raises(ConfigurationError, match=r"'locl'. Did you mean 'local'\?.*Garnet"):
        BraketService("locl")


@pytest.mark.parametrize("region", [3, "", True, ["us-east-1"]])
def test_a_region_is_text(region):
    with pytest.raises(ConfigurationError, match=r"Got region=.*; expected text, or nothing"):
        BraketService("local", region=region)


def test_what_is_used_of_the_sdks_without_being_public_is_there(aws):
    """No payment hangs on these: without them nothing is sent."""
    from qiskit_braket_provider.providers.adapter import rename_parameter

    service = BraketService(ARN)
    lost = "qiskit-braket-provider has changed: no task can be made or sent, and none is paid for"
    assert callable(rename_parameter), lost
    assert service._braket is service.device._device, lost
    assert tuple(service.device.qubit_labels) == LABELS, lost


def test_payment_hangs_on_the_client_token(aws):
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    service.run(pubs, 5, tag="qhyper-a")
    session = service._braket.aws_session
    shape = session.braket_client.meta.service_model.operation_model("CreateQuantumTask")
    unsafe = "PAYMENT: AWS no longer knows a request that comes twice by our own client token"
    assert "clientToken" in shape.input_shape.members, unsafe
    assert aws.sent["clientToken"] == "qhyper-a-0", unsafe
    assert aws.sent["tags"] == {"qhyper": "qhyper-a"}, "PAYMENT: lost tasks have no tag"


def troubles(aws):
    """Calls that raise or return what AWS says."""
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    job = service.run(pubs, 5, tag="qhyper-a")
    aws.fail["POST", "quantum-task"] = [(400, "ValidationException")]
    yield lambda: service.run(pubs, 5, tag="qhyper-b")
    aws.fail["POST", "quantum-tasks"] = [(500, "InternalServiceException")]
    yield lambda: BraketService(ARN).run(pubs, 5, tag="qhyper-c")
    aws.fail["POST", "quantum-tasks"] = [(500, "InternalServiceException")]
    yield lambda: service.find("qhyper-a")
    aws.fail["GET", "quantum-task"] = [(500, "InternalServiceException")] * 9
    yield job.state
    aws.fail["GET", "quantum-task"] = [(404, "ResourceNotFoundException")] * 9
    yield job.state
    aws.fail.clear()
    aws.fail["GET", "device"] = [(403, "AccessDeniedException")] * 2
    yield service.unavailable
    yield lambda: BraketService(ARN)
    aws.reason = aws.says
    yield job.message
    aws.state = aws.says
    yield job.state
