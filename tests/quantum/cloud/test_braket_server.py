"""Amazon's own clients against a server that breaks: nothing is paid twice, nothing is lost.

The server speaks Braket's, S3's and STS's REST over TLS. Each way of breaking says what the ledger
makes of it, how many tasks the account was charged for, and what the user is told.
"""

import importlib.util
import json
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("qiskit_braket_provider")
pytest.importorskip("cryptography")

from qhyper.errors import ConfigurationError, JobError, MissingError
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.cloud.amazon_braket import BraketService
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.cloud.ledger import Ledger
from qhyper.quantum.cloud.questions import Patience

_path = Path(__file__).with_name("servers") / "aws_server.py"
_spec = importlib.util.spec_from_file_location("qhyper_tests_aws_server", _path)
aws_server = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(aws_server)

HASTE = Patience(grace=0.5, first_poll=0.01, last_poll=0.02, attempts=4)
READS = ("GetQuantumTask", "SearchQuantumTasks", "GetDevice", "GetObject")
RESULTS = "results.json"


@pytest.fixture(scope="module")
def models():
    """What AWS's packages read of its interfaces, once instead of for every connection."""
    from botocore.loaders import create_loader

    return create_loader()


@pytest.fixture
def aws(models, monkeypatch, tmp_path):
    """An account behind TLS; jobs of three rows at the most."""
    account = aws_server.Account()
    account.devices[aws_server.GARNET] = ("Garnet", "QPU", aws_server.garnet(rows=3))
    monkeypatch.setattr("botocore.session.create_loader", lambda path=None: models)
    with aws_server.serving(account, tmp_path) as (address, certificate):
        for name, value in {
            "HOME": str(tmp_path),
            "AWS_ENDPOINT_URL": address,
            "AWS_CA_BUNDLE": str(certificate),
            "AWS_ACCESS_KEY_ID": "AKIAPLANTED",
            "AWS_SECRET_ACCESS_KEY": "PLANTEDsecretPLANTEDsecret",
            "AWS_DEFAULT_REGION": "eu-north-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",  # of S3's reads; Braket's are never repeated
        }.items():
            monkeypatch.setenv(name, value)
        for name in ("AWS_REGION", "AWS_PROFILE", "AMZN_BRAKET_OUT_S3_BUCKET"):
            monkeypatch.delenv(name, raising=False)
        yield account


class Bench:
    """A run of a small circuit at an account: 6 rows of 8 shots, two jobs."""

    def __init__(self, folder):
        self.folder, self.heard = folder, []
        folder.mkdir()
        gates = [Gate("ry", (q,), q) for q in range(3)] + [Gate("cz", (0, 1)), Gate("cz", (1, 2))]
        self.circuit = Circuit(3, tuple(gates))
        self.angles = np.array([[q * np.pi for q in map(int, f"{row:03b}")] for row in range(6)])

    @contextmanager
    def session(self, name=aws_server.GARNET):
        backend = CloudBackend(
            BraketService(name), level=1, patience=HASTE, deadline=10.0, identity="garnet"
        )
        isa = backend.compile(self.circuit).isa
        with backend.connected(
            self.folder, "a run", "training", 10**6, warn=self.heard.append
        ) as dispatcher:
            yield dispatcher, backend.request(backend.scope, "step 0", isa, self.angles, 8), isa

    def measure(self):
        """The shots [row, shot, bit], in a session of its own."""
        with self.session() as (dispatcher, request, isa):
            return dispatcher.measure(request, isa, 5.0)

    def send(self):
        """Send the jobs, and end before any is asked for."""
        with self.session() as (dispatcher, request, isa):
            dispatcher.send(request, isa)

    def jobs(self):
        with Ledger(self.folder, "a run") as ledger:
            return ledger.jobs()

    def states(self):
        return [str(record.state) for record in self.jobs()]

    def resend(self):
        """As the user's `qhyper jobs --resend all` does."""
        with self.session() as (dispatcher, _, _):
            for record in dispatcher.ledger.jobs():
                if record.state in ("unknown", "refused", "failed"):
                    found = dispatcher.look_up(record)
                    if found.state != "submitted":
                        dispatcher.ledger.again(record.key)

    def right(self, bits):
        """Every row is the one that was asked for: it prepares its own number, without noise."""
        expected = (self.angles > 1).astype(np.uint8)
        return bool((bits == expected[:, None]).all())


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path / "run")


def test_a_run_end_to_end(aws, bench):
    """Also the account's own bucket, which is asked for and made, and results in parts."""
    aws.in_parts = True
    assert bench.right(bench.measure())
    assert bench.states() == ["done", "done"]
    assert len(aws.tasks) == 2
    assert aws.sent["outputS3Bucket"] == aws_server.BUCKET
    assert aws.count("CreateBucket") == aws.count("SearchQuantumTasks") == 1
    assert bench.heard == []


# -- ten ways of breaking -------------------------------------------------------------------------


def test_tls_cut_after_the_body(aws, bench):
    """The tasks were taken: their tags find them."""
    aws.fail["CreateQuantumTask"] = ["lost", "lost"]
    assert bench.right(bench.measure())
    assert bench.states() == ["done", "done"]
    assert len(aws.tasks) == aws.count("CreateQuantumTask") == 2
    assert len(bench.heard) == 2
    assert all(words.startswith("braket:arn:") for words in bench.heard)
    assert all(words.endswith("Looking for it by its tag.") for words in bench.heard)


def test_tls_cut_before(aws, bench):
    """The tasks were not taken, which nobody can know but by the tags."""
    aws.fail["CreateQuantumTask"] = ["cut", "cut"]
    with pytest.raises(JobError) as told:
        bench.measure()
    assert bench.states() == ["unknown", "unknown"]
    first = bench.jobs()[0]
    assert str(told.value) == (
        f"2 of 2 jobs on braket:{aws_server.GARNET} did not succeed. {first.key} is unknown: "
        f"braket:{aws_server.GARNET} lists no job with the tag {first.tag} for this account, "
        "0.5 s after it was sent. Find it among the vendor's jobs and say `qhyper jobs --adopt "
        "KEY JOB_ID`; only if it is not there, `qhyper jobs --resend KEY`, which pays for it "
        "once more."
    )
    assert not aws.tasks
    bench.resend()
    assert bench.right(bench.measure())
    assert len(aws.tasks) == 2


@pytest.mark.parametrize(
    "fault", [(401, "UnauthorizedException"), (403, "ExpiredTokenException")], ids=["401", "403"]
)
@pytest.mark.parametrize("operation", ["CreateQuantumTask", "SearchQuantumTasks", "GetDevice"])
def test_denied_while_sending(aws, bench, fault, operation):
    with bench.session() as (dispatcher, request, isa):
        aws.fail[operation] = [fault]
        with pytest.raises(MissingError) as told:
            dispatcher.measure(request, isa, 5.0)
    advice = (
        "Log in again, or renew the key; no job has changed its state, and the same command goes "
        "on."
    )
    assert "does not let this account in: " in str(told.value)
    assert fault[1] in str(told.value)
    assert str(told.value).endswith(advice)
    assert bench.states() == ["planned", "planned"]
    assert bench.right(bench.measure())
    assert len(aws.tasks) == 2


@pytest.mark.parametrize(
    "fault", [(401, "UnauthorizedException"), (403, "ExpiredTokenException")], ids=["401", "403"]
)
@pytest.mark.parametrize("operation", ["GetQuantumTask", "GetObject"])
def test_denied_while_fetching(aws, bench, fault, operation):
    bench.send()
    with bench.session() as (dispatcher, request, isa):
        aws.fail[operation] = [fault]
        with pytest.raises(MissingError, match="Log in again, or renew the key; no job has chang"):
            dispatcher.measure(request, isa, 5.0)
    assert bench.states() == ["submitted", "submitted"]
    assert bench.right(bench.measure())
    assert len(aws.tasks) == 2


def test_404_for_done_jobs_whose_results_are_there(aws, bench):
    bench.send()
    aws.tasks.clear()
    assert bench.right(bench.measure())
    assert bench.states() == ["done", "done"]
    assert aws.count("CreateQuantumTask") == 2


def test_404_for_done_jobs_in_everything(aws, bench):
    """As with another account's key: the jobs are unknown, and found again with the right one."""
    bench.send()
    kept = dict(aws.tasks), dict(aws.results)
    aws.tasks.clear(), aws.results.clear()
    time.sleep(HASTE.grace)  # until then, a job may be one that is not known yet
    with pytest.raises(JobError) as told:
        bench.measure()
    assert bench.states() == ["unknown", "unknown"]
    assert "It may have run there all the same, under another account, region" in str(told.value)
    assert str(told.value).endswith(
        "Find it among the vendor's jobs and say `qhyper jobs --adopt KEY JOB_ID`; only if it is "
        "not there, `qhyper jobs --resend KEY`, which pays for it once more."
    )
    aws.tasks.update(kept[0]), aws.results.update(kept[1])
    bench.resend()
    assert bench.states() == ["submitted", "submitted"]
    assert bench.right(bench.measure())
    assert aws.count("CreateQuantumTask") == 2


@pytest.mark.parametrize("operation", ["CreateQuantumTask", *READS])
def test_429(aws, bench, operation):
    """Too many requests: a little later they are answered."""
    with bench.session() as (dispatcher, request, isa):
        aws.fail[operation] = [(429, "ThrottlingException")] * 2
        assert bench.right(dispatcher.measure(request, isa, 5.0))
    assert bench.states() == ["done", "done"]
    assert len(aws.tasks) == 2
    assert bench.heard == []


@pytest.mark.parametrize("operation", READS)
def test_502_at_a_read(aws, bench, operation):
    with bench.session() as (dispatcher, request, isa):
        aws.fail[operation] = [(502, "BadGateway"), "cut"]
        assert bench.right(dispatcher.measure(request, isa, 5.0))
    assert bench.states() == ["done", "done"]
    assert len(aws.tasks) == 2
    assert bench.heard == []


def test_502_at_every_read(aws, bench):
    bench.send()
    with bench.session() as (dispatcher, request, isa):
        aws.fail["GetQuantumTask"] = [(502, "BadGateway")] * 100
        with pytest.raises(MissingError, match=r"does not answer: .*BadGateway.*Nothing is lost"):
            dispatcher.measure(request, isa, 5.0)
    aws.fail.clear()
    assert bench.states() == ["submitted", "submitted"]
    assert bench.right(bench.measure())
    assert len(aws.tasks) == 2


def test_502_at_the_post(aws, bench):
    """Nobody knows whether the task was taken: it is looked for, and never sent again by itself."""
    aws.fail["CreateQuantumTask"] = [(502, "BadGateway")]
    with pytest.raises(JobError, match=r"1 of 2 jobs .*is unknown: .*lists no job with the tag"):
        bench.measure()
    assert bench.states() == ["unknown", "done"]
    assert len(aws.tasks) == 1


def test_late_listing(aws, bench):
    """A task that the service lists only at the fifth look is found, and not sent again."""
    aws.hidden = 4
    aws.fail["CreateQuantumTask"] = ["lost", "lost"]
    assert bench.right(bench.measure())
    assert bench.states() == ["done", "done"]
    assert len(aws.tasks) == aws.count("CreateQuantumTask") == 2
    assert aws.count("SearchQuantumTasks") >= 6


UNREADABLE = (
    "It is done and paid for: do not send it again. `qhyper fetch` (a training: `qhyper resume`) "
    "reads it once more; other versions of qhyper or of the vendor's package may read what this "
    "one could not."
)


def newer(result):
    result["braketSchemaHeader"]["version"] = "7"


def one_short(result):
    del result["programResults"][0]["executableResults"][1]["measurements"][0]


def swapped(result):
    result["programResults"][0]["executableResults"].reverse()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (newer, "returned a result that cannot be read: "),
        (one_short, "returned 3 rows of shape [(7, 3), (8, 3)]; expected [(8, 3)]."),
        (swapped, "returned rows in another order than they were sent in, or other rows: "),
    ],
)
def test_results_that_cannot_be_read(aws, bench, spoil, words):
    """A newer schema, one shot short, rows in another order: what was paid for is kept."""
    bench.send()
    whole = dict(aws.results)
    spoilt = json.loads(whole[aws_server.BUCKET, f"tasks/0/{RESULTS}"])
    spoil(spoilt)
    aws.results[aws_server.BUCKET, f"tasks/0/{RESULTS}"] = json.dumps(spoilt).encode()
    with pytest.raises(JobError) as told:
        bench.measure()
    assert bench.states() == ["unreadable", "done"]
    assert words in str(told.value)
    assert str(told.value).endswith(UNREADABLE)
    first = bench.jobs()[0]
    with bench.session() as (dispatcher, _, _):
        assert json.loads(dispatcher.ledger.raw_file(first.key).read_bytes()) == spoilt
    # who can read it has it
    aws.results.update(whole)
    assert bench.right(bench.measure())
    assert len(aws.tasks) == 2


# -- more -----------------------------------------------------------------------------------------


def test_a_program_set_that_failed_in_part(aws, bench):
    """Its good rows are kept, and the bad one alone is sent again."""
    bench.send()
    result = json.loads(aws.results[aws_server.BUCKET, f"tasks/0/{RESULTS}"])
    rows = result["programResults"][0]["executableResults"]
    rows[1] = {
        "braketSchemaHeader": {
            "name": "braket.task_result.program_set_executable_failure",
            "version": "1",
        },
        "inputsIndex": 1,
        "failureMetadata": {"failureReason": "laser", "retryable": True, "category": "DEVICE"},
    }
    aws.results[aws_server.BUCKET, f"tasks/0/{RESULTS}"] = json.dumps(result).encode()
    aws.state = "FAILED"
    assert bench.right(bench.measure())
    assert bench.states() == ["done"] * 3
    assert [task["shots"] for task in aws.tasks.values()] == [24, 24, 8]
    assert "did not run 1 of the 3 rows" in bench.heard[0]


def test_two_copies_of_a_run_pay_once(aws, bench, tmp_path):
    """The second one finds the first one's tasks, or AWS knows their tokens."""
    other = Bench(tmp_path / "copy")
    bench.send()
    assert other.right(other.measure())
    assert "Is a copy of this run directory at work elsewhere" in other.heard[0]
    assert len(aws.tasks) == 2
    # and where no list shows them yet
    third = Bench(tmp_path / "third")
    aws.unlisted = dict.fromkeys(aws.tasks, 100)
    assert third.right(third.measure())
    assert len(aws.tasks) == 2


def test_refused_and_failed(aws, bench):
    aws.fail["CreateQuantumTask"] = [(400, "ValidationException")]
    with pytest.raises(JobError) as told:
        bench.measure()
    assert bench.states() == ["refused", "done"]
    assert str(told.value).endswith(
        "It was not taken and costs nothing. Mend what was refused, and send it with `qhyper jobs "
        "--resend KEY`."
    )
    bench.resend()
    assert bench.right(bench.measure())
    assert len(aws.tasks) == 2


def test_a_task_that_failed(aws, bench):
    bench.send()
    aws.state, aws.reason = "FAILED", "calibration lost"
    aws.results.clear()
    with pytest.raises(JobError) as told:
        bench.measure()
    assert bench.states() == ["failed", "failed"]
    assert "calibration lost. What it measured, if anything, is in s3://amazon-braket-eu" in str(
        told.value
    )
    assert str(told.value).endswith(
        "The vendor had it: its bill says whether it costs something. Send it again with `qhyper "
        "jobs --resend KEY`, which may pay for it once more."
    )


def test_cancel_asks_the_vendor(aws, bench):
    bench.send()
    aws.state = "QUEUED"
    with bench.session() as (dispatcher, _, _):
        (first, _) = dispatcher.ledger.jobs()
        assert dispatcher.questions.queue(first.job_id) == (
            "queued, position 3 in the queue (Normal)"
        )
        assert dispatcher.questions.called(first.job_id) == first.tag
        dispatcher.cancel(first)
    assert ("CancelQuantumTask", first.job_id) in aws.asked
    assert aws.state == "CANCELLED"
    with bench.session() as (dispatcher, _, _):
        aws.fail["CancelQuantumTask"] = [(409, "ConflictException")]
        with pytest.raises(ConfigurationError, match="does not cancel arn"):
            dispatcher.cancel(first)


def test_the_preview_is_the_very_request(aws, bench):
    """What the server gets is what is shown, but for the tag that is not known before."""
    with bench.session() as (dispatcher, request, isa):
        service = dispatcher.service
        pubs = [(isa.circuit, request.rows[:3])]
        preview = service.preview(pubs, 8, tag="qhyper-a")
        assert not aws.tasks
        service.run(pubs, 8, tag="qhyper-a")
    assert json.loads(preview) == aws.sent


def test_a_rehearsal_on_sv1(aws, bench):
    """A task for each row; what was charged is in the ledger."""
    with bench.session("SV1") as (dispatcher, request, isa):
        assert bench.right(dispatcher.measure(request, isa, 5.0))
        records = dispatcher.ledger.jobs()
    assert len(aws.tasks) == len(records) == 6
    assert {record.charged for record in records} == {
        "about 0.0056 US dollars by the list: 4.5 s of simulation"
    }
