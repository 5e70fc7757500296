"""The same contract for every service whose jobs run on this machine, and for the stub."""

import importlib.util
import inspect
import sys
from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit

from qhyper.errors import ConfigurationError, JobError, MissingError
from qhyper.machine import needs
from qhyper.quantum.backends import build_cloud_backend
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.cloud.door import (
    JobState,
    Limits,
    LocalJob,
    Measured,
    NotFound,
    PlannedJobs,
    Price,
    Service,
    Unreachable,
    as_measured,
)
from qhyper.quantum.cloud.qiskit_isa import transpiled
from qhyper.quantum.cloud.questions import Patience
from qhyper.quantum.cloud.readout import preparation
from qhyper.quantum.cloud.record import State
from qhyper.quantum.simulators.state_vector import StateVectorBackend
from qhyper.registry import find, names
from qhyper.streams import Streams

SERVICES = {
    # name of the backend: (packages, options, bias of a marginal that its noise may cause)
    "ibm:fake_torino": (("qiskit_ibm_runtime",), {"noise": "none", "seed": 1}, 0.0),
    "ibm:fake_sherbrooke": (("qiskit_ibm_runtime",), {"noise": "readout", "seed": 1}, 0.10),
    "ibm:fake_guadalupe": (("qiskit_ibm_runtime",), {"seed": 1}, 0.15),
    "qiskit:qiskit_aer:AerSimulator": (("qiskit_aer",), {}, 0.0),
    "braket:local": (("qiskit_braket_provider",), {}, 0.0),
    "azure:local": (("qdk",), {}, 0.0),
    "stub": (("qiskit_aer",), {}, 0.0),
}
"""Add a service here, and every test below covers it."""
ELSEWHERE = {"ionq": "it runs nothing on this machine; see tests/quantum/cloud/test_ionq.py"}
"""Vendors without a service in SERVICES, and why."""
QUBITS, ROWS, SHOTS, SIGMAS = 8, 3, 512, 5.0


def circuit():
    """Two layers whose qubits all differ, and no symmetry under reversal."""
    gates = [Gate("ry", (q,), q) for q in range(QUBITS)]
    gates += [Gate("cz", (q, q + 1)) for q in range(QUBITS - 1)]
    gates += [Gate("rx", (q,), QUBITS + q) for q in range(QUBITS)]
    return Circuit(QUBITS, tuple(gates))


def angles(rows=ROWS):
    """Rows [1, row, angle] that differ, with marginals from 0 to 1."""
    rng = np.random.default_rng(7)
    rows = rng.uniform(0, np.pi, (1, rows, 2 * QUBITS))
    rows[..., :QUBITS] *= np.linspace(0.1, 1, QUBITS)
    return rows


def exact_marginals():
    p = StateVectorBackend().compile(circuit()).at(angles()).probabilities()
    bits = np.arange(1 << QUBITS)[:, None] >> np.arange(QUBITS) & 1
    return p @ bits


def stub_service(folder):
    path = Path(__file__).parents[1] / "quantum" / "cloud" / "stub.py"
    spec = importlib.util.spec_from_file_location("qhyper_contract_stub", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.StubService(folder / "vendor", qubits=QUBITS)


@pytest.fixture(params=SERVICES)
def built(request, tmp_path, monkeypatch):
    """(backend, bias) of a service."""
    packages, options, bias = SERVICES[request.param]
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # SDKs write there
    patient = Patience(first_poll=0.01, last_poll=0.1)
    if request.param == "stub":
        service, identity = stub_service(tmp_path), "stub"
    else:
        backend = build_cloud_backend(request.param, options)
        service, identity = backend.service, backend.identity
    backend = CloudBackend(service, level=3, deadline=60.0, patience=patient, identity=identity)
    return backend, bias


@pytest.fixture
def service(built):
    return built[0].service


def test_every_vendor_is_in_the_contract():
    """Somebody who adds a vendor adds it here, or says why not."""
    covered = {name.partition(":")[0] for name in SERVICES}
    assert covered - {"stub"} | set(ELSEWHERE) == set(names("service"))
    assert not covered & set(ELSEWHERE)


# -- draws ----------------------------------------------------------------------------------------


def test_draws_of_a_circuit_have_the_exact_marginals(built, tmp_path):
    """512 shots a row; 5 sigma of the worst of 24 marginals, and the stated bias of the noise."""
    backend, bias = built
    executable = backend.compile(circuit(), rows=ROWS)
    with backend.connected(tmp_path, "run", "training", 10**6) as dispatcher:
        backend.begin("step 0")
        bits = executable.at(angles()).sample(SHOTS, Streams([0])(0))
        records = dispatcher.ledger.jobs()

        assert bits.shape == (1, ROWS, SHOTS, QUBITS)
        assert bits.dtype == np.uint8
        p = exact_marginals()
        sigma = np.sqrt(np.maximum(p * (1 - p), 1 / SHOTS) / SHOTS)
        assert (np.abs(bits.mean(axis=2) - p) <= SIGMAS * sigma + bias).all()
        # the preflight, then all rows in one job
        assert [record.purpose.split()[0] for record in records] == ["preflight", "step"]
        assert {record.state for record in records} == {State.DONE}

        # the same request again finds what was measured, and sends nothing
        backend.begin("step 0")
        again = executable.at(angles()).sample(SHOTS, Streams([0])(0))
        np.testing.assert_array_equal(again, bits)
        assert len(dispatcher.ledger.jobs()) == len(records)


def test_shots_are_fresh_in_every_job(built, tmp_path):
    """Two jobs of 64 shots of 8 bits, of which two or more are coins: 2^-128 by chance."""
    backend, _ = built
    executable = backend.compile(circuit(), rows=1)
    with backend.connected(tmp_path, "run", "training", 10**6):
        draws = []
        for step in range(2):
            backend.begin(f"step {step}")
            draws.append(executable.at(angles(rows=1)).sample(64, Streams([0])(0)))
    assert (draws[0] != draws[1]).any()


# -- jobs -----------------------------------------------------------------------------------------


def finished(job):
    while job.state() in (JobState.QUEUED, JobState.RUNNING):
        pass
    return job


def test_a_circuit_is_not_changed_by_sending_it(service):
    isa = transpiled(preparation(3), service.device, level=1)
    before = isa.circuit.copy()
    finished(service.run([(isa.circuit, np.zeros((2, 3)))], 4, tag="qhyper-a-0"))
    assert isa.circuit == before
    assert isa.circuit.num_parameters == 3


def test_a_circuit_without_parameters_has_its_rows_too(service):
    """Three rows of 50 coins: all alike with 2^-149."""
    from qiskit import transpile

    plain = QuantumCircuit(2, 2)
    plain.rx(np.pi / 2, 0)
    plain.measure([0, 1], [0, 1])
    plain = transpile(plain, service.device, optimization_level=1, seed_transpiler=0)
    job = finished(service.run([(plain, np.zeros((3, 0)))], 50, tag="qhyper-a-0"))
    bits = job.measured((3, 50, 2), seed=1).bits
    assert bits.dtype == np.uint8
    assert 0 < bits[..., 0].mean() < 1
    assert bits[..., 1].mean() < 0.2  # nothing but errors


def test_another_shape_than_was_measured_is_refused(service):
    isa = transpiled(preparation(3), service.device, level=1)
    job = finished(service.run([(isa.circuit, np.zeros((2, 3)))], 4, tag="qhyper-a-0"))
    assert job.measured((2, 4, 3), seed=1).bits.shape == (2, 4, 3)
    for shape in ((3, 4, 3), (2, 5, 3), (2, 4, 4)):
        with pytest.raises(JobError):
            job.measured(shape, seed=1)


def test_a_job_is_known_by_its_number_to_who_sent_it(service):
    isa = transpiled(preparation(3), service.device, level=1)
    job = finished(service.run([(isa.circuit, np.zeros((1, 3)))], 4, tag="qhyper-a-0"))
    assert service.job(job.job_id).job_id == job.job_id
    with pytest.raises(NotFound, match="knows no job 9") as unknown:
        service.job("9")
    if service.local:
        assert str(unknown.value) == (
            f"{service} knows no job 9: its jobs can be fetched only by the process that sent "
            "them. Send it again; it costs nothing."
        )


def test_what_a_service_says_about_itself(service):
    assert isinstance(service, Service)
    assert str(service)
    assert "\n" not in str(service) + service.about(QUBITS) + str(service.limits)
    assert service.unavailable() is None
    assert service.limits.qubits is None or service.limits.qubits >= QUBITS
    assert service.retrievable
    with service.sending():
        pass
    service.close()
    service.close()
    assert service.find("qhyper-none-0") == []
    parameters = list(inspect.signature(service.price).parameters)
    assert parameters == ["planned"]
    if service.local:
        assert not service.searchable
        assert service.price([PlannedJobs(1, 1, 100, (3, 6))]) == Price(
            "nothing: it is simulated on this machine", 0.0
        )
        assert "simulated on this machine" in service.about(QUBITS)


# -- what is missing ------------------------------------------------------------------------------

MISSING = [
    # vendor, name, module that cannot be imported, extra
    ("ibm", "fake_torino", "qiskit_ibm_runtime.executor_sampler", "ibm"),
    ("braket", "local", "qiskit_braket_provider", "braket"),
    ("braket", "Garnet", "qiskit_braket_provider", "braket"),
    ("ionq", "qpu.forte-1", "qiskit_ionq", "ionq"),
    ("azure", "local", "qdk.qiskit", "azure"),
    ("azure", "acme.qpu", "azure.quantum", "azure"),
]


def test_every_vendor_with_an_extra_is_tried_without_it():
    assert {vendor for vendor, *_ in MISSING} == set(names("service")) - {"qiskit"}


@pytest.mark.parametrize(("vendor", "name", "module", "extra"), MISSING)
def test_without_a_package_it_says_what_to_install(vendor, name, module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingError) as missing:
        find("service", vendor)(name)
    assert f"pip install -c constraints.txt -e '.[{extra}]'" in str(missing.value)
    assert missing.value.exit_code == 3


def test_other_errors_are_not_taken_for_a_missing_package():
    with pytest.raises(ZeroDivisionError), needs("ibm", "Nothing"):
        raise ZeroDivisionError


# -- a service of one's own -----------------------------------------------------------------------


class Least(Service):
    """What has to be said, and nothing else."""

    def __init__(self, *, local=False):
        self.limits, self.device, self.local = Limits(None), None, local

    def __str__(self):
        return "least"

    def run(self, pubs, shots, *, tag):
        return LocalJob(tag, lambda shape, seed: Measured(np.zeros(shape, np.uint8), f"{seed}"))

    def job(self, job_id):
        raise JobError(f"least knows no job {job_id}")


def test_a_service_of_ones_own_says_only_what_it_needs():
    paid, free = Least(), Least(local=True)
    assert (paid.searchable, paid.local, paid.retrievable) == (False, False, True)
    assert paid.unavailable() is None
    assert paid.price([PlannedJobs(1, 2, 1, (3, 6))]) is None
    assert paid.about(36) == ""
    # it never says that there are no such jobs: somebody would send them again
    with pytest.raises(Unreachable, match=r"least cannot look up jobs by their tag t\."):
        paid.find("t")
    with paid.sending():
        job = paid.run([], 4, tag="t")
    paid.close()
    assert (job.job_id, job.state(), job.message()) == ("t", JobState.DONE, "")
    assert job.measured((1, 2, 3), seed=4).bits.shape == (1, 2, 3)
    assert job.measured((1, 2, 3), seed=4).note == "4"
    assert free.find("t") == []
    assert free.price([PlannedJobs(1, 2, 1, (3, 6))]) == Price(
        "nothing: it is simulated on this machine", 0.0
    )
    assert free.about(36) == "simulated on this machine"


@pytest.mark.parametrize("name", ["run", "job", "__str__"])
def test_what_a_service_has_to_say(name):
    kind = type("Lacking", (Least,), {name: getattr(Service, name)})
    with pytest.raises(TypeError, match=name):
        kind()


def test_limits_in_words():
    assert str(Limits(None)) == "qubits not known; a job: no limit known"
    assert str(Limits(5, rows=1000, shots=20)) == "5 qubits; a job: 1,000 rows, 20 shots a row"


def test_what_is_no_shots_is_refused():
    shape = (1, 2, 1)
    assert as_measured([[[True], [False]]], shape, "a vendor").bits.tolist() == [[[1], [0]]]
    for wrong in ([[[0], [2]]], [[[0], [-1]]], [[[0.0], [1.0]]], [[["0"], ["1"]]]):
        with pytest.raises(JobError, match="a vendor returned shots that are not zeros and ones"):
            as_measured(wrong, shape, "a vendor")
    with pytest.raises(JobError, match=r"shots of shape \(1, 1, 1\); expected .* \[1, 2, 1\]"):
        as_measured([[[1]]], shape, "a vendor")


def test_options_of_a_service_are_known_by_name():
    with pytest.raises(ConfigurationError, match=r"Unknown option .*'regoin'. Did you mean 'reg"):
        build_cloud_backend("braket:local", {"regoin": "us-east-1"})
