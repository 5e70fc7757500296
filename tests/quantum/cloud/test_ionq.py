"""IonQ against a service of the tests' own, below the packages that build and send the jobs.

What it is sent it measures itself, from IonQ's own description of the circuits.
"""

import json
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("qiskit_ionq")

import requests

from qhyper.errors import ConfigurationError, JobError, MissingError
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.cloud.door import JobState, Rejected, Unreachable
from qhyper.quantum.cloud.ionq import IonQService
from qhyper.quantum.cloud.qiskit_isa import transpiled
from qhyper.quantum.cloud.questions import Patience
from qhyper.quantum.cloud.readout import preflight_bits, preparation
from qhyper.quantum.cloud.record import State
from qhyper.quantum.simulators.state_vector import StateVectorBackend
from qhyper.streams import Streams

TOKEN = "PLANTEDtokenPLANTEDtoken"
QUBITS = 7
URL = "https://api.ionq.co/v0.4"


class IonQ:
    """A service with two backends; what it took is in `jobs`, every request in `asked`."""

    def __init__(self):
        self.jobs, self.asked, self.fail = {}, [], {}
        self.status, self.listed = "completed", "available"
        self.only_probabilities, self.named, self.shuffled = False, True, False
        self.failure, self.says = None, "no such luck"

    def request(self, method, url, *, data=None, headers=None, timeout=None, **_):
        path = url.removeprefix("https://api.ionq.co").removeprefix("/v0.4").strip("/")
        self.asked.append((method, path))
        if method == "POST" or "jobs" in path:
            assert headers["Authorization"] == f"apiKey {TOKEN}"
        assert timeout
        fault = (self.fail.get((method, path.split("/")[0])) or [None]).pop(0)
        if fault == "away":
            raise requests.exceptions.ConnectionError("no route to host")
        if isinstance(fault, int):
            return self.reply(fault, {"statusCode": fault, "message": self.says}, method)
        if method == "POST":
            answer = self.take(json.loads(data))
            if fault == "lost":
                raise requests.exceptions.ReadTimeout("read timed out")
        else:
            answer = self.tell(path.split("/"))
        return self.reply(404 if answer is None else 200, answer, method)

    def reply(self, status, answer, method):
        text = json.dumps(answer)
        return SimpleNamespace(
            status_code=status,
            text=text,
            headers={},
            json=lambda: json.loads(text),
            request=SimpleNamespace(method=method),
        )

    def take(self, body):
        number = f"job-{len(self.jobs)}"
        single = body["type"] == "ionq.circuit.v1"
        circuits = (
            [{"name": body["name"], "circuit": body["input"]["circuit"]}]
            if single
            else body["input"]["circuits"]
        )
        self.jobs[number] = {
            "body": body,
            "shots": {
                f"{number}-{k}": simulated(c["circuit"], body["shots"], k)
                for k, c in enumerate(circuits)
            },
            "names": {f"{number}-{k}": c["name"] for k, c in enumerate(circuits)},
        }
        return {"id": number, "status": "submitted"}

    def tell(self, path):
        if path[0] == "backends":
            listed = [
                {"backend": "qpu.forte-1", "status": self.listed, "qubits": QUBITS},
                {"backend": "simulator", "status": "available", "qubits": QUBITS},
            ]
            if len(path) == 1:
                return listed
            return next((entry for entry in listed if entry["backend"] == path[1]), None)
        job = self.jobs.get("-".join(path[1].split("-")[:2]))
        if job is None:
            return None
        if path[2:]:
            shots = job["shots"][path[1]]
            if path[-1] == "shots":
                return [str(outcome) for outcome in shots]
            values, times = np.unique(shots, return_counts=True)
            return {str(v): int(t) / len(shots) for v, t in zip(values, times, strict=True)}
        about = {
            "id": path[1],
            "status": self.status,
            "failure": self.failure,
            "metadata": job["body"]["metadata"],
        }
        children = list(job["shots"])
        if path[1] in children or len(children) == 1:
            child = path[1] if path[1] in children else children[0]
            kinds = ("probabilities",) if self.only_probabilities else ("shots", "probabilities")
            about["results"] = {
                kind: {"url": f"/v0.4/jobs/{child}/results/{kind}"} for kind in kinds
            }
            about["name"] = job["names"][child] if self.named else None
        else:
            about["child_job_ids"] = children[::-1] if self.shuffled else children
        return about


def simulated(gates, shots, seed):
    """Outcomes whose binary digit q is qubit q, by matrices written out for this test."""
    state = np.zeros((2,) * QUBITS, dtype=complex)
    state[(0,) * QUBITS] = 1
    x, y, z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
    v = 0.5 * np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]])
    fixed = {
        "x": x, "y": y, "z": z, "h": (x + z) / np.sqrt(2), "v": v, "vi": v.conj().T,
        "s": np.diag([1, 1j]), "si": np.diag([1, -1j]), "t": np.diag([1, np.exp(0.25j * np.pi)]),
        "ti": np.diag([1, np.exp(-0.25j * np.pi)]),
    }  # fmt: skip
    for gate in gates:
        (target,) = gate["targets"]
        if "rotation" in gate:
            half = gate["rotation"] / 2
            axis = {"rx": x, "ry": y, "rz": z}[gate["gate"]]
            matrix = np.cos(half) * np.eye(2) - 1j * np.sin(half) * axis
        else:
            matrix = fixed["x" if gate["gate"] == "not" else gate["gate"]]
        turned = np.moveaxis(np.tensordot(matrix, state, axes=(1, target)), 0, target)
        for control in gate.get("controls", []):
            off = [slice(None)] * QUBITS
            off[control] = 0
            turned[tuple(off)] = state[tuple(off)]
        state = turned
    p = np.abs(state.transpose(range(QUBITS)[::-1]).ravel()) ** 2  # qubit 0 is the last digit
    return np.random.default_rng([11, seed]).choice(p.size, shots, p=p / p.sum())


@pytest.fixture
def ionq(monkeypatch, tmp_path):
    there = IonQ()
    monkeypatch.chdir(tmp_path)  # the vendor's package reads .env files
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("QISKIT_IONQ_API_TOKEN", "IONQ_API_TOKEN", "IONQ_API_URL", "QISKIT_IONQ_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IONQ_API_KEY", TOKEN)
    monkeypatch.setattr(requests, "get", lambda url, **more: there.request("GET", url, **more))
    monkeypatch.setattr(requests, "post", lambda url, **more: there.request("POST", url, **more))
    return there


def prepared(service, n=QUBITS):
    isa = transpiled(preparation(n), service.device, level=1)
    bits = preflight_bits(n)[:2]
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
    bodies = [job["body"] for job in ionq.jobs.values()]
    assert [body["name"] for body in bodies] == [record.tag for record in records]
    assert [body["metadata"]["qhyper"] for body in bodies] == [record.tag for record in records]
    assert all(body["settings"] == {"error_mitigation": {"debiasing": False}} for body in bodies)
    assert all(body["backend"] == "qpu.forte-1" for body in bodies)
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert TOKEN.encode() not in stored


@pytest.mark.parametrize("rows", [1, 2])
def test_a_later_process_reads_a_job_by_its_number(ionq, rows):
    service = IonQService("qpu.forte-1")
    pubs, bits = prepared(service)
    number = service.run([(pubs[0][0], pubs[0][1][:rows])], 9, tag="qhyper-a").job_id
    job = IonQService("qpu.forte-1").job(number)
    assert job.state() == JobState.DONE
    measured = job.measured((rows, 9, QUBITS), seed=1)
    np.testing.assert_array_equal(measured.bits, np.repeat(bits[:rows, None], 9, axis=1))
    assert measured.note == ""
    with pytest.raises(JobError, match=r"knows nothing at .*/jobs/job-99"):
        service.job("job-99")


def test_frequencies_are_expanded_and_the_note_says_so(ionq):
    """The same shots as the service drew, in another order."""
    ionq.only_probabilities, ionq.named = True, False
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


def test_probabilities_are_no_shots(ionq, monkeypatch):
    ionq.only_probabilities = True
    service = IonQService("qpu.forte-1")
    pubs, _ = prepared(service)
    job = service.run(pubs, 8, tag="qhyper-a")
    tell = ionq.tell
    exact = {"0": 0.3, "127": 0.7}
    ionq.tell = lambda path: exact if path[-1] == "probabilities" else tell(path)
    with pytest.raises(JobError, match=r"circuit 1: got the frequency 0.3 .*no whole number of 8"):
        job.measured((2, 8, QUBITS), seed=1)
    exact.update({"127": 0.5, "0": 0.25})
    with pytest.raises(JobError, match="got frequencies that make 6 shots; expected 8"):
        job.measured((2, 8, QUBITS), seed=1)


def test_what_does_not_fit_is_refused(ionq):
    service = IonQService("qpu.forte-1")
    pubs, _ = prepared(service)
    job = service.run(pubs, 8, tag="qhyper-a")
    with pytest.raises(JobError, match="returned 2 circuits, described by 2 headers; 3 were sent"):
        job.measured((3, 8, QUBITS), seed=1)
    with pytest.raises(JobError, match="got 8 shots in memory; expected 9"):
        job.measured((2, 9, QUBITS), seed=1)
    with pytest.raises(JobError, match="expected 6 bits"):
        job.measured((2, 8, QUBITS - 1), seed=1)
    ionq.jobs["job-0"]["body"]["metadata"] = {}
    with pytest.raises(JobError, match="described by 1 headers; 2 were sent"):
        job.measured((2, 8, QUBITS), seed=1)


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ("submitted", JobState.QUEUED),
        ("ready", JobState.QUEUED),
        ("started", JobState.RUNNING),
        ("running", JobState.RUNNING),
        ("completed", JobState.DONE),
        ("failed", JobState.FAILED),
        ("canceled", JobState.CANCELLED),
    ],
)
def test_states_and_reasons(ionq, told, state):
    service = IonQService("qpu.forte-1")
    pubs, _ = prepared(service)
    job = service.run(pubs, 5, tag="qhyper-a")
    ionq.status, ionq.failure = told, {"code": "Oven", "error": "too warm"}
    assert job.state() == state
    assert job.message() == "Oven: too warm"


@pytest.mark.parametrize(("status", "again"), [(400, False), (401, False), (429, True)])
def test_a_refusal_says_so_and_is_sent_once(ionq, status, again):
    service = IonQService("qpu.forte-1")
    pubs, _ = prepared(service)
    ionq.fail["POST", "jobs"] = [status]
    with pytest.raises(Rejected, match=f"HTTP {status}: no such luck") as refused:
        service.run(pubs, 5, tag="qhyper-a")
    assert refused.value.again == again
    assert ionq.asked.count(("POST", "jobs")) == 1


@pytest.mark.parametrize("fault", [502, 503, 504, 524, "away", "lost"])
def test_what_may_have_been_taken_is_sent_once(ionq, fault):
    """IonQ's own client sends a job up to five times after 502, 503, 504 and 520 to 529."""
    service = IonQService("qpu.forte-1")
    pubs, _ = prepared(service)
    ionq.fail["POST", "jobs"] = [fault]
    with pytest.raises(OSError, match=r"no such luck|no route|timed out"):
        service.run(pubs, 5, tag="qhyper-a")
    assert ionq.asked.count(("POST", "jobs")) == 1


def test_a_lost_reply_is_unknown_and_not_sent_again(ionq, tmp_path):
    backend = CloudBackend(IonQService("qpu.forte-1"), level=1, patience=Patience(0.0, 0.01, 0.01))
    executable = backend.compile(preparation(3))
    with backend.connected(tmp_path, "run", "draws", 10**5, warn=lambda _: None) as dispatcher:
        for _ in range(2):
            ionq.fail["POST", "jobs"] = ["lost"]
            backend.begin("draws")
            with pytest.raises(JobError, match=r"unknown: the reply of ionq:qpu.forte-1 was lost"):
                executable.at(np.zeros((1, 1, 3))).sample(10, Streams([0])(0))
        assert [record.state for record in dispatcher.ledger.jobs()] == [State.UNKNOWN]
    assert len(ionq.jobs) == 1


def test_a_service_that_does_not_answer_is_unreachable(ionq):
    service = IonQService("qpu.forte-1")
    pubs, _ = prepared(service)
    job = service.run(pubs, 5, tag="qhyper-a")
    ionq.fail["GET", "jobs"] = [503, "away", 401]
    for reason in ("HTTP 503", "no route to host", "HTTP 401"):
        with pytest.raises(Unreachable, match=reason):
            job.state()
    assert job.state() == JobState.DONE


def test_what_the_backend_says_about_itself(ionq):
    service = IonQService("ionq_qpu.forte-1")
    assert str(service) == "ionq:qpu.forte-1"
    assert not service.searchable
    assert not service.local
    assert (service.limits.qubits, service.limits.shots) == (QUBITS, 10_000)
    assert service.device.num_qubits == QUBITS
    assert service.price(1, 1, 1) is None
    with pytest.raises(Unreachable, match="cannot look up jobs by their tag qhyper-a"):
        service.find("qhyper-a")
    assert service.unavailable() is None
    ionq.listed = "offline"
    assert service.unavailable() == "its status is offline."
    ionq.fail["GET", "backends"] = [503]
    assert "HTTP 503" in service.unavailable()
    assert service.about(36) == ""


def test_the_simulator_needs_noise_to_have_shots(ionq):
    with pytest.raises(ConfigurationError, match=r"probabilities and no shots.*braket:local"):
        IonQService("simulator")
    with pytest.raises(ConfigurationError, match="only IonQ's simulator takes one"):
        IonQService("qpu.forte-1", noise_model="aria-1")
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
        IonQService("qpu.fort-1")
    ionq.fail["GET", "backends"] = ["away"]
    with pytest.raises(MissingError, match=r"no route to host.*no network, or the key in IONQ_API"):
        IonQService("qpu.forte-1")
    # later questions about the qubits, by the vendor's package, are not answered
    ionq.fail["GET", "backends"] = [None, "away", "away", "away"]
    with pytest.raises(MissingError, match="has 7 qubits, and qiskit-ionq that it has 4"):
        IonQService("qpu.forte-1")
    monkeypatch.delenv("IONQ_API_KEY")
    with pytest.raises(
        MissingError, match="put it into the environment variable IONQ_API_KEY"
    ) as e:
        IonQService("qpu.forte-1")
    assert e.value.exit_code == 3


def test_an_address_that_opens_results_to_anybody_is_not_shown(ionq):
    service = IonQService("qpu.forte-1")
    from qhyper.quantum.cloud.ionq import _get_link

    with pytest.raises(JobError, match=r"knows nothing at \S+/v0.4/jobs/job-9\. Check"):
        _get_link(service._client, "/v0.4/jobs/job-9?X-Amz-Signature=0123456789")


def test_a_key_that_would_be_cut_in_two_is_taken_out_before(ionq, monkeypatch):
    service = IonQService("qpu.forte-1")
    job = service.job(service.run(prepared(service)[0], 5, tag="qhyper-a").job_id)
    ionq.says = "x" * 155 + TOKEN
    ionq.fail["GET", "jobs"] = [503]
    with pytest.raises(Unreachable) as trouble:
        job.state()
    assert TOKEN[:6] not in str(trouble.value)


def test_what_is_used_of_the_sdk_without_being_public_is_there(ionq):
    """Jobs are sent here and once: no payment hangs on these, and without them nothing is sent."""
    from qiskit_ionq import helpers
    from qiskit_ionq.constants import ErrorMitigation
    from qiskit_ionq.exceptions import IonQAPIError

    lost = "qiskit-ionq has changed: no job can be made or read, and none is paid for: "
    for name in ("resolve_credentials", "qiskit_to_ionq", "decompress_metadata_string"):
        assert callable(getattr(helpers, name, None)), lost + name
    assert "token" in helpers.resolve_credentials(), lost + "resolve_credentials"
    assert callable(IonQAPIError.from_response), lost + "from_response"
    client = IonQService("qpu.forte-1")._client
    assert client.make_path("jobs").endswith("/jobs"), lost + "make_path"
    assert "Authorization" in client.api_headers, lost + "api_headers"
    # debiasing takes more shots than were asked for, at a higher price
    assert not ErrorMitigation.NO_DEBIASING.value["debiasing"], "PAYMENT: debiasing is not off"


def troubles(ionq):
    """Calls that raise or return what IonQ says."""
    service = IonQService("qpu.forte-1")
    pubs, _ = prepared(service)
    job = service.run(pubs, 5, tag="qhyper-a")
    ionq.fail["POST", "jobs"] = [400]
    yield lambda: service.run(pubs, 5, tag="qhyper-b")
    ionq.fail["POST", "jobs"] = [503]
    yield lambda: service.run(pubs, 5, tag="qhyper-c")
    ionq.fail["GET", "jobs"] = [503]
    yield job.state
    ionq.fail["GET", "backends"] = [401] * 2
    yield service.unavailable
    yield lambda: IonQService("qpu.forte-1")
    ionq.failure = {"code": "Oven", "error": ionq.says}
    yield job.message
    ionq.status = ionq.says
    yield job.state
