"""Amazon Braket against an AWS of the tests' own, below all of Amazon's packages.

It answers HTTP requests, keeps tasks as AWS does, and measures them on Braket's local simulator.
"""

import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("qiskit_braket_provider")

from botocore.awsrequest import AWSResponse

from qhyper.errors import ConfigurationError, JobError, MissingError
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.cloud.amazon_braket import BraketService
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.cloud.braket_task import refusal
from qhyper.quantum.cloud.door import (
    Denied,
    JobState,
    NotFound,
    PlannedJobs,
    Price,
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

_path = Path(__file__).with_name("servers") / "aws_server.py"
_spec = importlib.util.spec_from_file_location("qhyper_tests_aws", _path)
server = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(server)

ARN, LABELS, BUCKET = server.GARNET, server.LABELS, server.BUCKET
RESULT = (BUCKET, "tasks/0/results.json")
"""Where the results of the first task are."""
PATTERN = np.array([1, 0, 0, 1, 0, 1], np.uint8)
SECRET = "PLANTEDsecretPLANTEDsecretPLANTED"


class Aws(server.Account):
    """The account, asked without a network."""

    def send(self, session, request):
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        answer = self.respond(request.method, request.url, body)
        if answer is None:
            from botocore.exceptions import ReadTimeoutError

            raise ReadTimeoutError(endpoint_url=request.url)
        status, kind, headers, content = answer

        class Raw(io.BytesIO):
            def stream(self):
                yield self.read()

        return AWSResponse(request.url, status, {**headers, "Content-Type": kind}, Raw(content))


@pytest.fixture(scope="module")
def models():
    """What AWS's packages read of its interfaces, once instead of for every connection."""
    from botocore.loaders import create_loader

    return create_loader()


@pytest.fixture
def aws(models, monkeypatch, tmp_path):
    account = Aws()
    monkeypatch.setattr("botocore.session.create_loader", lambda path=None: models)
    for name, value in {
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "AKIAPLANTED",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "eu-north-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "AMZN_BRAKET_OUT_S3_BUCKET": BUCKET,
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        "botocore.httpsession.URLLib3Session.send",
        lambda session, request: account.send(session, request),
    )
    return account


def prepared(service, layout=None, n=6):
    """A circuit that prepares bits, on the device, and rows for a pattern and its complement."""
    isa = transpiled(preparation(n), service.device, level=1, layout=layout)
    bits = np.stack([PATTERN[:n], 1 - PATTERN[:n]])
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
    assert [task["tags"]["qhyper"] for task in aws.tasks.values()] == [r.tag for r in records]
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
    tags = ours.pop("tags")
    assert tags.pop("qhyper") == "qhyper-a"
    assert list(tags) == ["qhyper-inputs"]
    assert ours.pop("clientToken") == "qhyper-a"
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
    for number in ("9", "arn:aws:braket:eu-north-1:123456789012:quantum-task/99"):
        with pytest.raises(NotFound, match=r"was asked for .*it is not there.*Nor are there resul"):
            later.job(number)


def test_the_same_request_again_is_the_same_task(aws):
    """By AWS itself, which knows the token: another process has the same one."""
    pubs, _ = prepared(BraketService(ARN))
    first = BraketService(ARN).run(pubs, 5, tag="qhyper-a")
    assert BraketService(ARN).run(pubs, 5, tag="qhyper-a").job_id == first.job_id
    assert len(aws.tasks) == 1
    assert BraketService(ARN).run(pubs, 5, tag="qhyper-a-2").job_id != first.job_id


def test_a_lost_request_is_not_sent_again_by_amazons_package(aws, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    aws.fail["CreateQuantumTask"] = ["lost"]
    with pytest.raises(Exception, match="Read timeout"):
        service.run(pubs, 5, tag="qhyper-a")
    assert aws.count("CreateQuantumTask") == len(aws.tasks) == 1
    assert service.find("qhyper-a") == list(aws.tasks)


def test_a_lost_reply_is_found_by_the_ledger_and_paid_once(aws, tmp_path):
    patience = Patience(first_poll=0.01, last_poll=0.02, grace=5)
    backend = CloudBackend(BraketService(ARN), level=1, patience=patience)
    executable = backend.compile(preparation(3))
    heard = []
    with backend.connected(tmp_path, "run", "draws", 10**5, warn=heard.append) as dispatcher:
        aws.fail["CreateQuantumTask"] = ["lost"]
        backend.begin("draws")
        executable.at(np.zeros((1, 1, 3))).sample(10, Streams([0])(0))
        assert {record.state for record in dispatcher.ledger.jobs()} == {State.DONE}
    assert len(aws.tasks) == 2
    assert "did not confirm a job" in heard[0]
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET.encode() not in stored + "".join(heard).encode()


def test_many_planned_jobs_are_looked_up_with_one_list(aws):
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    service.run(pubs, 5, tag="qhyper-a")
    assert [service.find(f"qhyper-{k}") for k in "bcdefa"][-1] == list(aws.tasks)
    assert aws.count("SearchQuantumTasks") == 1
    # whoever asks again wants to know what there is now
    aws.tasks.clear()
    assert service.find("qhyper-a") == []
    assert aws.count("SearchQuantumTasks") == 2
    # and no list is older than what was sent last
    sent = service.run(pubs, 5, tag="qhyper-g")
    assert service.find("qhyper-g") == [sent.job_id]


@pytest.mark.parametrize(
    ("fault", "again"),
    [
        ((400, "ValidationException"), False),
        ((424, "DeviceOfflineException"), False),
        ((402, "ServiceQuotaExceededException"), True),
        ((429, "ThrottlingException"), True),
    ],
)
def test_a_refusal_says_so(aws, fault, again):
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    aws.fail["CreateQuantumTask"] = [fault]
    with pytest.raises(Rejected, match=f"{fault[1]}.*no such luck") as refused:
        service.run(pubs, 5, tag="qhyper-a")
    assert refused.value.again == again
    assert not aws.tasks


def test_an_error_of_the_service_leaves_it_open(aws):
    from botocore.exceptions import ClientError

    service = BraketService(ARN)
    pubs, _ = prepared(service)
    aws.fail["CreateQuantumTask"] = [(500, "InternalServiceException")]
    with pytest.raises(ClientError, match="InternalServiceException"):
        service.run(pubs, 5, tag="qhyper-a")


def test_whether_a_request_is_under_way_stays_open(aws):
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    aws.fail["CreateQuantumTask"] = [(409, "ConflictException")]
    with pytest.raises(Exception, match="ConflictException") as open_one:
        service.run(pubs, 5, tag="qhyper-a")
    assert not isinstance(open_one.value, Rejected)


DENIALS = [
    (401, "UnauthorizedException"),
    (403, "AccessDeniedException"),
    (403, "ExpiredTokenException"),
    (400, "UnrecognizedClientException"),
]


@pytest.mark.parametrize("fault", DENIALS)
def test_an_account_that_is_not_let_in(aws, fault):
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    job = service.run(pubs, 5, tag="qhyper-a")
    for operation, question in {
        "CreateQuantumTask": lambda: service.run(pubs, 5, tag="qhyper-b"),
        "GetQuantumTask": job.state,
        "SearchQuantumTasks": lambda: service.find("qhyper-a"),
        "GetDevice": service.unavailable,
        "CancelQuantumTask": lambda: service.cancel(job.job_id),
        "GetObject": lambda: job.measured((2, 5, len(LABELS)), seed=1),
    }.items():
        aws.fail[operation] = [fault]
        with pytest.raises(Denied, match=f"{fault[1]}.*no such luck"):
            question()
    assert len(aws.tasks) == 1


def test_a_service_without_an_answer_says_so(aws):
    """In every question; nobody takes that for an answer."""
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    job = service.run(pubs, 5, tag="qhyper-a")
    questions = {
        "GetQuantumTask": job.state,
        "SearchQuantumTasks": lambda: service.find("qhyper-a"),
        "GetDevice": service.unavailable,
        "CancelQuantumTask": lambda: service.cancel(job.job_id),
        "GetObject": lambda: service.job(job.job_id).measured((2, 5, len(LABELS)), seed=1),
    }
    for fault, words in (((502, "BadGateway"), "BadGateway"), ("cut", "Read timeout")):
        for operation, question in questions.items():
            aws.fail[operation] = [fault]
            with pytest.raises(Unreachable, match=words):
                question()
    for operation, question in questions.items():
        aws.fail[operation] = ["garbled"]
        if operation == "GetObject":
            with pytest.raises(Unreadable, match="cannot be read") as kept:
                question()
            assert kept.value.raw.startswith(b"<html>")
        else:
            with pytest.raises(Unreachable, match="the answer has no '"):
                question()
    aws.fail["CreateQuantumTask"] = ["garbled"]
    with pytest.raises(Exception, match="quantumTaskArn") as open_one:
        service.run(pubs, 5, tag="qhyper-b")
    assert not isinstance(open_one.value, Rejected | Denied)
    aws.fail["GetDevice"] = [(502, "BadGateway")]
    with pytest.raises(MissingError, match=r"said nothing about .*BadGateway"):
        _ = BraketService(ARN).limits


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
    aws.results.clear()
    assert job.state() == state
    assert job.message() == (
        f"calibration lost. What it measured, if anything, is in s3://{BUCKET}/tasks/0"
    )


def result_with(aws, change):
    """The one task's result, changed."""
    stored = json.loads(aws.results[RESULT])
    for program in stored["programResults"]:
        for executable in program["executableResults"]:
            change(executable)
    aws.results[RESULT] = json.dumps(stored).encode()


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
    with pytest.raises(JobError, match=r"returned 2 rows; expected 3\."):
        job.measured((3, 8, n), seed=1)
    with pytest.raises(JobError, match=r"2 rows of shape \[\(8, 6\)\]; expected \[\(8, 5\)\]"):
        job.measured((2, 8, n - 1), seed=1)

    def probabilities(executable):
        executable["measurements"] = None
        executable["measurementProbabilities"] = {"000000": 0.3, "111111": 0.7}

    result_with(aws, probabilities)
    with pytest.raises(JobError, match=r"got the frequency 0\.3 of the outcome 000000"):
        service.job(job.job_id).measured((2, 8, n), seed=1)

    newer = b'{"braketSchemaHeader": {"name": "no", "version": "1"}}'
    aws.results[RESULT] = newer
    with pytest.raises(Unreadable, match=r"a result that cannot be read: .*record is kept") as kept:
        service.job(job.job_id).measured((2, 8, n), seed=1)
    assert kept.value.raw == newer

    aws.results.clear()
    with pytest.raises(Unreadable, match=r"done, but its results are not there: .*NoSuchKey") as no:
        service.job(job.job_id).measured((2, 8, n), seed=1)
    assert no.value.raw == b""


def failure(row):
    return {
        "braketSchemaHeader": {
            "name": "braket.task_result.program_set_executable_failure",
            "version": "1",
        },
        "inputsIndex": row,
        "failureMetadata": {
            "failureReason": "laser off",
            "retryable": False,
            "category": "DEVICE",
        },
    }


def rows_with(aws, change):
    """The one task's list of rows, changed."""
    stored = json.loads(aws.results[RESULT])
    (program,) = stored["programResults"]
    program["executableResults"] = change(program["executableResults"])
    aws.results[RESULT] = json.dumps(stored).encode()


@pytest.mark.parametrize("told", ["COMPLETED", "FAILED"])
@pytest.mark.parametrize(
    "change", [lambda rows: [rows[0], failure(1)], lambda rows: rows[:1]], ids=["told", "left out"]
)
def test_the_good_rows_of_a_program_set_are_fetched(aws, told, change):
    service = BraketService(ARN)
    pubs, bits = prepared(service)
    job = service.run(pubs, 8, tag="qhyper-a")
    aws.state = told
    rows_with(aws, change)
    assert job.state() == JobState.DONE
    measured = job.measured((2, 8, len(LABELS)), seed=1)
    assert measured.missing == (1,)
    assert (measured.bits[0] == bits[0]).all()


def test_results_in_a_file_for_each_row(aws):
    aws.in_parts = True
    service = BraketService(ARN)
    pubs, bits = prepared(service)
    job = service.run(pubs, 8, tag="qhyper-a")
    parts = [key for _, key in aws.results if "executables" in key]
    assert parts == [f"tasks/0/programs/0/executables/{row}.json" for row in range(2)]
    measured = job.measured((2, 8, len(LABELS)), seed=1)
    assert (measured.bits == bits[:, None]).all()
    for operation, error in (((403, "AccessDenied"), Denied), ((503, "SlowDown"), Unreachable)):
        aws.fail["GetObject"] = [None, None, operation]
        with pytest.raises(error, match="asked for the parts of arn"):
            service.job(job.job_id).measured((2, 8, len(LABELS)), seed=1)
    aws.results[BUCKET, parts[1]] = json.dumps(failure(1)).encode()
    assert service.job(job.job_id).measured((2, 8, len(LABELS)), seed=1).missing == (1,)
    del aws.results[BUCKET, parts[1]]
    with pytest.raises(Unreadable, match="NoSuchKey") as kept:
        service.job(job.job_id).measured((2, 8, len(LABELS)), seed=1)
    assert kept.value.raw == aws.results[RESULT]


def test_a_failed_program_set_without_a_good_row_has_failed(aws):
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    job = service.run(pubs, 8, tag="qhyper-a")
    aws.state = "FAILED"
    rows_with(aws, lambda rows: [failure(0), failure(1)])
    assert job.state() == JobState.FAILED
    assert job.message().startswith("no reason is given. What it measured, if anything, is in s3:")
    # what cannot be read here may hold rows that were paid for
    aws.results[RESULT] = b"{}"
    unreadable = service.job(job.job_id)
    assert unreadable.state() == JobState.DONE
    with pytest.raises(Unreadable, match="cannot be read"):
        unreadable.measured((2, 8, len(LABELS)), seed=1)
    # a login may expire in between
    aws.fail["GetObject"] = [(403, "ExpiredToken")]
    with pytest.raises(Denied, match="ExpiredToken"):
        service.job(job.job_id)
    # a bucket that may not be listed denies what is not there
    aws.fail["GetObject"] = [(403, "AccessDenied")] * 2
    assert service.job(job.job_id).state() == JobState.FAILED


def test_rows_in_another_order_are_found(aws):
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    job = service.run(pubs, 8, tag="qhyper-a")
    rows_with(aws, lambda rows: rows[::-1])
    with pytest.raises(
        Unreadable, match=r"in another order than they were sent in.*too late"
    ) as no:
        job.measured((2, 8, len(LABELS)), seed=1)
    assert no.value.raw == aws.results[RESULT]


def test_other_inputs_than_were_sent_are_found(aws):
    """Also where AWS says of both, the rows and their inputs, that they were swapped."""
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    job = service.run(pubs, 8, tag="qhyper-a")
    whole = aws.results[RESULT]
    stored = json.loads(whole)
    inputs = stored["programResults"][0]["source"]["inputs"]
    for name, values in inputs.items():
        inputs[name] = values[::-1]
    aws.results[RESULT] = json.dumps(stored).encode()
    assert job.state() == JobState.DONE
    with pytest.raises(Unreadable, match="says that other inputs were run than were sent"):
        job.measured((2, 8, len(LABELS)), seed=1)
    # another spelling of the same numbers is no other input
    for name, values in inputs.items():
        inputs[name] = [float(f"{value:.12g}") for value in values[::-1]]
    aws.results[RESULT] = json.dumps(stored).encode()
    assert service.job(job.job_id).measured((2, 8, len(LABELS)), seed=1).missing == ()


def test_other_qubits_than_were_sent_are_found(aws):
    n = len(LABELS)
    service = BraketService(ARN)
    pubs, bits = prepared(service, layout=list(range(n))[::-1])
    job = service.run(pubs, 8, tag="qhyper-a")

    def told(qubits):
        result_with(aws, lambda executable: executable.update(measuredQubits=qubits))
        return service.job(job.job_id).measured((2, 8, n), seed=1)

    for qubits in (list(LABELS), list(LABELS[::-1])[1:], [1, *LABELS[:-1]]):
        with pytest.raises(
            Unreadable, match=r"qubits \[.*expected \[13, 11, 7, 5, 3, 2\], in this"
        ):
            told(qubits)
    # numbered anew, in their order
    for qubits in (list(range(n)), list(LABELS[::-1])):
        assert (told(qubits).bits[0] == bits[0]).all()


def test_results_are_read_where_aws_has_forgotten_the_task(aws, monkeypatch):
    service = BraketService(ARN)
    pubs, bits = prepared(service)
    job_id = service.run(pubs, 5, tag="qhyper-a").job_id
    assert job_id == "arn:aws:braket:eu-north-1:123456789012:quantum-task/0"
    # results elsewhere than where Amazon puts them: the number says where
    monkeypatch.setenv("AMZN_BRAKET_TASK_RESULTS_S3_URI", "s3://mine/deep/down/")
    mine = BraketService(ARN).run(pubs, 5, tag="qhyper-b").job_id
    assert mine == "arn:aws:braket:eu-north-1:123456789012:quantum-task/1@mine/deep/down"
    assert aws.count("CreateBucket") == 0
    assert service.find("qhyper-b") == [mine]
    monkeypatch.delenv("AMZN_BRAKET_TASK_RESULTS_S3_URI")
    aws.tasks.clear()
    for number in (job_id, mine):
        job = BraketService("SV1").job(number)
        assert job.state() == JobState.DONE
        measured = job.measured((2, 5, len(LABELS)), seed=1)
        assert (measured.bits == bits[:, None]).all()
        assert (job.called(), job.queue(), job.charged()) == ("", "", "")
    aws.results.clear()
    with pytest.raises(NotFound, match=r"ResourceNotFound.*Nor are there results.*NoSuchKey"):
        BraketService(ARN).job(job_id)


def test_jobs_are_in_reach_without_their_device_and_in_another_region(aws, monkeypatch):
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    job_id = service.run(pubs, 5, tag="qhyper-a").job_id
    del aws.devices[ARN]
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    regions = set()
    whole = aws.respond

    def respond(method, url, body):
        regions.add(url.split(".")[1])
        return whole(method, url, body)

    aws.respond = respond
    for name in (ARN, "Garnet"):
        later = BraketService(name)
        assert later.job(job_id).state() == JobState.DONE
        later.cancel(job_id)
        assert regions == {"eu-north-1"}
        assert later.job(job_id).state() == JobState.CANCELLED
        aws.state = "COMPLETED"
        assert set(later.find("qhyper-a")) == {job_id}
        regions.clear()


def test_what_a_task_says_of_itself(aws):
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    job = service.run(pubs, 500, tag="qhyper-a")
    assert job.called() == "qhyper-a"
    assert job.queue() == "position 3 in the queue (Normal)"
    # 0.30 and 1,000 shots at 0.00145
    assert job.charged() == "about 1.75 US dollars by the list: a task and 1,000 shots"
    aws.tasks[job.job_id]["queueInfo"]["position"] = "None"
    assert service.job(job.job_id).queue() == ""
    service.cancel(job.job_id)
    assert job.state() == JobState.CANCELLED
    aws.fail["CancelQuantumTask"] = [(409, "ConflictException")]
    with pytest.raises(
        ConfigurationError, match=r"does not cancel arn.*Conflict.*It has ended, or"
    ):
        service.cancel(job.job_id)
    aws.tasks.clear()
    with pytest.raises(NotFound, match="was asked to cancel arn"):
        service.cancel(job.job_id)


def test_the_preview_is_what_is_sent(aws):
    for name in (ARN, "SV1"):
        service = BraketService(name)
        pubs, _ = prepared(service, n=3)
        pubs = [(circuit, rows[:1]) for circuit, rows in pubs]
        preview = json.loads(service.preview(pubs, 5, tag="qhyper-a"))
        assert preview["clientToken"] == "qhyper-a"
        assert preview["shots"] == 5
        aws.tokens.clear()
        service.run(pubs, 5, tag="qhyper-a")
        assert aws.sent == preview
    assert aws.count("CreateBucket") == 0
    assert json.loads(BraketService("local").preview(pubs, 5, tag="t"))["programs"]


def test_simulators_of_amazon_get_a_task_for_each_row(aws, tmp_path):
    """Asymmetric circuit of 6 qubits; 3 rows, 2,000 shots, 5 sigma."""
    n = 6
    gates = [Gate("ry", (q,), q) for q in range(n)]
    gates += [Gate("cz", (q, q + 1)) for q in range(n - 1)]
    gates += [Gate("rx", (q,), n + q) for q in range(n)]
    circuit = Circuit(n, tuple(gates))
    angles = np.random.default_rng(5).uniform(0, np.pi, (1, 3, 2 * n))
    angles[..., :n] *= np.linspace(0.1, 1, n)
    service = BraketService("SV1")
    assert service.limits.rows == 1
    assert service.limits.qubits == 34
    assert service.about(6) == "simulated by Amazon"
    executable = CloudBackend(service, level=1).compile(circuit)
    with executable.backend.connected(tmp_path, "run", "training", 10**6) as dispatcher:
        executable.backend.begin("step 0")
        bits = executable.at(angles).sample(2000, Streams([0])(0))
        (record, *_) = dispatcher.ledger.jobs()[::-1]
    p = StateVectorBackend().compile(circuit).at(angles).probabilities()
    p = p @ (np.arange(1 << n)[:, None] >> np.arange(n) & 1)
    assert (np.abs(bits.mean(axis=2) - p) <= 5 * np.sqrt(p * (1 - p) / 2000)).all()
    action = json.loads(aws.sent["action"])
    assert action["braketSchemaHeader"]["name"] == "braket.ir.openqasm.program"
    assert "verbatim" not in action["source"]
    assert {type(value) for value in action["inputs"].values()} == {float}
    assert aws.sent["shots"] == 2000
    # 4.5 s at 0.075 a minute
    assert record.charged == "about 0.0056 US dollars by the list: 4.5 s of simulation"
    assert service.price([PlannedJobs(8, 8, 100, (3, 6))]) == Price(
        "0.03 US dollars or more: 8 tasks at 0.075 a minute (the device's own data at AWS), each "
        "billed for 3 s at the least (Amazon Braket's pricing page); how long they take is not "
        "known before"
    )
    # a single program is what Amazon's own package makes of it
    from braket.ir.openqasm import Program

    ours = aws.sent
    service._braket.run(
        Program.parse_obj(action), s3_destination_folder=(BUCKET, "tasks"), shots=2000
    )
    theirs = dict(aws.sent)
    assert json.loads(theirs.pop("action")) == action
    theirs.pop("clientToken")
    assert theirs == {name: ours[name] for name in theirs}


def test_a_device_has_one_name_however_it_is_spelt(aws):
    forte = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"
    assert BraketService("Forte 1").place == BraketService(forte).place == "braket:forte-1"
    assert BraketService("SV1").place == BraketService(server.SV1).place == "braket:sv1"
    assert BraketService("local").place == BraketService("braket_sv").place == "braket:local"
    assert BraketService("braket_dm").place == "braket:braket_dm"
    assert BraketService("garnet")._braket.arn == ARN
    assert "region" not in BraketService.measures


def test_what_the_device_says_about_itself(aws):
    service = BraketService("Garnet", region="us-west-2")
    assert str(service) == "braket:Garnet"
    assert service.searchable
    assert not service.local
    limits = service.limits
    assert (limits.qubits, limits.rows, limits.shots, limits.executions) == (6, 100, 20000, 200000)
    # 2 tasks at 0.30 and 20,000 shots at 0.00145
    price = service.price([PlannedJobs(2, 10, 2_000, (3, 6))])
    assert price.words == (
        "about 29.60 US dollars: 2 tasks at 0.30 (Amazon Braket's pricing page) and 20,000 shots "
        "at 0.00145 (the device's own data at AWS); other prices hold for reservations"
    )
    assert price.amount == pytest.approx(29.6)
    assert service.unavailable() is None
    assert service.about(36) == ""
    aws.status = "OFFLINE"
    assert service.unavailable() == (
        "its status is OFFLINE. It runs tasks Everyday 09:00 to 17:00 UTC."
    )
    aws.devices.clear()
    assert service.unavailable().startswith("AWS no longer knows it: ")


@pytest.mark.parametrize(
    ("cost", "unit", "words"),
    [
        (None, "shot", None),
        (0.075, "minutes", "0.00 US dollars or more: 1 tasks at 0.075 a minutes"),
        (30.0, "task hour", "30 US dollars a task hour (the device's own data at AWS)"),
    ],
)
def test_other_prices(aws, cost, unit, words):
    capabilities = server.garnet(cost=cost)
    if cost:
        capabilities["service"]["deviceCost"]["unit"] = unit
    aws.devices[ARN] = ("Garnet", "QPU", capabilities)
    price = BraketService(ARN).price([PlannedJobs(1, 1, 1, (3, 6))])
    assert price is None if words is None else price.words.startswith(words)
    assert price is None or price.amount is None


def test_devices_that_cannot_be_used(aws):
    with pytest.raises(ConfigurationError, match=r"device 'Garnett'. Did you mean 'Garnet'\?"):
        _ = BraketService("Garnett").limits
    gone = "arn:aws:braket:eu-north-1::device/qpu/iqm/No"
    with pytest.raises(ConfigurationError, match=f"'{gone}'.*Check the ARN"):
        _ = BraketService(gone).device
    aws.devices[ARN] = ("Garnet", "QPU", server.garnet(sets=False))
    with pytest.raises(MissingError, match="takes no program sets") as missing:
        _ = BraketService("Garnet").limits
    assert missing.value.exit_code == 3


@pytest.mark.filterwarnings("ignore:.*(D|d)evice capabilities")
def test_a_device_that_the_installed_package_cannot_read(aws):
    aws.devices[ARN] = ("Garnet", "QPU", server.garnet() | {"paradigm": {}})
    with pytest.raises(MissingError, match=r"cannot read what braket:Garnet says .*pip install -U"):
        _ = BraketService("Garnet").limits


def test_a_preview_without_an_answer_of_aws(aws, monkeypatch):
    service = BraketService(ARN)
    pubs, _ = prepared(service)
    monkeypatch.delenv("AMZN_BRAKET_OUT_S3_BUCKET")
    service = BraketService(ARN)
    aws.fail["GetCallerIdentity"] = [(403, "ExpiredToken")]
    with pytest.raises(MissingError, match=r"said nothing about .*aws sts get-caller-identity"):
        service.preview(pubs, 5, tag="qhyper-a")


def test_which_errors_are_certain():
    from botocore import exceptions as of

    unsent = "Nothing was sent: "
    for error in (
        of.EndpointConnectionError(endpoint_url="https://x"),
        of.ConnectTimeoutError(endpoint_url="https://x"),
        of.ProxyConnectionError(proxy_url="https://x"),
    ):
        known = refusal(error)
        assert isinstance(known, Rejected)
        assert known.again
        assert str(known).startswith(unsent)
    for error in (
        of.SSLError(endpoint_url="https://x", error="eof"),
        of.ConnectionClosedError(endpoint_url="https://x"),
        of.ReadTimeoutError(endpoint_url="https://x"),
    ):
        assert refusal(error) is None
    assert not refusal(of.ParamValidationError(report="no")).again
    for error in (
        of.NoCredentialsError(),
        of.UnauthorizedSSOTokenError(),
        of.ProfileNotFound(profile="x"),
    ):
        assert isinstance(refusal(error), Denied)


def test_no_account_no_region_and_no_network(aws, monkeypatch):
    advice = r"no network, or AWS does not know you: .*aws configure.*AWS_PROFILE"
    aws.fail["SearchDevices"] = [(403, "UnrecognizedClientException")] * 20
    with pytest.raises(MissingError, match=f"UnrecognizedClientException.*{advice}"):
        _ = BraketService("Garnet").limits
    aws.fail["GetDevice"] = ["lost"]
    with pytest.raises(MissingError, match=f"Read timeout.*{advice}"):
        _ = BraketService(ARN).limits
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(MissingError, match=f"must specify a region.*{advice}") as missing:
        _ = BraketService("Garnet").limits
    assert missing.value.exit_code == 3
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("Garnet", ARN):
        with pytest.raises(MissingError, match=f"Unable to locate credentials.*{advice}"):
            _ = BraketService(name).limits
    with pytest.raises(Denied, match="Unable to locate credentials"):
        BraketService(ARN).job("arn:aws:braket:eu-north-1:1:quantum-task/1")


def test_a_device_is_looked_for_in_all_regions(aws, monkeypatch):
    """A region that says nothing does not hide what another one has, nor say that it is nowhere."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-1")
    aws.fail["SearchDevices"] = [(502, "BadGateway"), (502, "BadGateway")]
    assert BraketService("Garnet").limits.qubits == len(LABELS)
    aws.fail["SearchDevices"] = [None, (502, "BadGateway")]
    with pytest.raises(MissingError, match="BadGateway"):
        _ = BraketService("Nowhere").limits


def test_a_local_name_that_is_misspelt_where_aws_cannot_be_asked(aws, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(
        MissingError, match=r"Did you mean 'local'\?.* there are braket_dm, braket_sv, local"
    ):
        _ = BraketService("locl").limits


def test_a_local_name_that_is_misspelt_where_aws_can_be_asked(aws):
    with pytest.raises(ConfigurationError, match=r"'locl'. Did you mean 'local'\?.*Garnet"):
        _ = BraketService("locl").limits


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
    session = service._home[0]
    shape = session.braket_client.meta.service_model.operation_model("CreateQuantumTask")
    unsafe = "PAYMENT: AWS no longer knows a request that comes twice by our own client token"
    assert "clientToken" in shape.input_shape.members, unsafe
    assert aws.sent["clientToken"] == "qhyper-a", unsafe
    once = session.braket_client.meta.config.retries
    assert once["total_max_attempts"] == 1, "PAYMENT: a request is sent again, unseen"
    assert aws.sent["tags"]["qhyper"] == "qhyper-a", "PAYMENT: lost tasks have no tag"


def troubles(aws):
    """Calls that raise or return what AWS says."""

    def words(question):
        try:
            return question()
        except (NotFound, Denied) as error:
            return str(error)

    service = BraketService(ARN)
    pubs, _ = prepared(service)
    job = service.run(pubs, 5, tag="qhyper-a")
    aws.fail["CreateQuantumTask"] = [(400, "ValidationException")]
    yield lambda: service.run(pubs, 5, tag="qhyper-b")
    aws.fail["SearchQuantumTasks"] = [(500, "InternalServiceException")]
    yield lambda: service.find("qhyper-a")
    aws.fail["GetQuantumTask"] = [(500, "InternalServiceException")]
    yield job.state
    aws.fail["GetQuantumTask"] = [(404, "ResourceNotFoundException")]
    aws.fail["GetObject"] = [(404, "NoSuchKey")]
    yield lambda: words(job.state)
    aws.fail.clear()
    aws.fail["GetDevice"] = [(403, "AccessDeniedException")] * 2
    yield lambda: words(service.unavailable)
    yield lambda: BraketService(ARN).limits
    aws.reason = aws.says
    yield job.message
    aws.state = aws.says
    yield job.state
