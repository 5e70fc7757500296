"""Any BackendV2: imitations of what vendors return, and the simulators that are installed."""

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.providers import BackendV2, JobStatus, JobV1, Options
from qiskit.providers import JobError as QiskitJobError
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.result import Result
from qiskit.result.models import ExperimentResult, ExperimentResultData

from qhyper.errors import ConfigurationError, JobError
from qhyper.quantum.backends import build_cloud_backend
from qhyper.quantum.cloud.door import JobState, NotFound, PlannedJobs, Rejected, Unreachable
from qhyper.quantum.cloud.qiskit_backend import QiskitService
from qhyper.quantum.cloud.qiskit_result import measured_of, state_of

WIDTH, SHOTS = 5, 4
# per row the outcomes of the shots, column q is clbit q
TRUTH = np.array(
    [[[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 1]], [[0, 1, 0, 1, 1]] * 4],
    dtype=np.uint8,
)


def texts(row):
    return ["".join(str(bit) for bit in shot[::-1]) for shot in row]


def hexadecimal(row):
    return {"memory": [hex(int(text, 2)) for text in texts(row)]}


def bitstrings(row):
    return {"memory": texts(row)}


def spaced(row):
    return {"memory": [f"{text[:2]} {text[2:]}" for text in texts(row)]}


def counts(row):
    found = texts(row)
    return {"counts": {text: found.count(text) for text in found}}


def hexadecimal_counts(row):
    return {"counts": {hex(int(text, 2)): n for text, n in counts(row)["counts"].items()}}


def result_of(data, success=True, header=None):
    experiments = [
        ExperimentResult(SHOTS, success, ExperimentResultData(**part), header=header)
        for part in data
    ]
    return Result(backend_name="imitation", results=experiments, success=success)


class Imitation(BackendV2):
    """A backend that returns TRUTH in the way of a vendor."""

    shape = staticmethod(hexadecimal)
    fault = None

    def __init__(self):
        super().__init__(name="imitation")
        self._target = GenericBackendV2(WIDTH, seed=1).target
        self.calls, self.jobs = [], {}

    @property
    def target(self):
        return self._target

    @property
    def max_circuits(self):
        return 100

    @classmethod
    def _default_options(cls):
        return Options(shots=1024)

    def run(self, circuits, **options):
        self.calls.append((circuits, options))
        if self.fault is not None:
            raise self.fault
        job = ImitationJob(self, f"job-{len(self.calls)}")
        self.jobs[job.job_id()] = job
        return job

    def retrieve_job(self, job_id):
        return self.jobs[job_id]


class ImitationJob(JobV1):
    answer = None

    def submit(self):
        raise AssertionError("run has sent it")

    def result(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or result_of([self.backend().shape(row) for row in TRUTH])

    def status(self):
        return JobStatus.DONE


class CountsOnly(Imitation):
    """As Azure's local one: counts, and no option for memory."""

    shape = staticmethod(counts)

    def run(self, circuits, shots=1024):
        return super().run(circuits, shots=shots)


def pub():
    circuit, angle = QuantumCircuit(WIDTH), Parameter("a")
    circuit.add_register(ClassicalRegister(WIDTH, "c"))
    circuit.rx(angle, 0)
    circuit.measure(range(WIDTH), range(WIDTH))
    return circuit, np.array([[0.25], [0.5]])


def measured(service, shape=TRUTH.shape, seed=3):
    job = service.run([pub()], SHOTS, tag="qhyper-1")
    assert job.state() == JobState.DONE
    return job.measured(shape, seed=seed)


# -- what vendors return --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [hexadecimal, bitstrings, spaced])
def test_memory_is_taken_as_it_is(shape):
    backend = Imitation()
    backend.shape = shape
    found = measured(QiskitService(backend))
    np.testing.assert_array_equal(found.bits, TRUTH)
    assert found.bits.dtype == np.uint8
    assert found.note == ""
    circuits, options = backend.calls[0]
    assert [circuit.data[0].operation.params[0] for circuit in circuits] == [0.25, 0.5]
    assert options == {"shots": SHOTS, "memory": True}


@pytest.mark.parametrize("shape", [counts, hexadecimal_counts])
def test_counts_are_expanded_and_the_seed_is_said(shape):
    backend = CountsOnly()
    backend.shape = shape
    found = measured(QiskitService(backend))
    assert backend.calls[0][1] == {"shots": SHOTS}  # its `run` has no option for memory
    assert found.note == "expanded from counts, in an order drawn with seed 3"
    for row, truth in zip(found.bits, TRUTH, strict=True):
        assert sorted(map(tuple, row)) == sorted(map(tuple, truth))
    np.testing.assert_array_equal(found.bits, measured(QiskitService(backend)).bits)


def test_the_order_of_expanded_shots_depends_on_seed_and_row_alone():
    one = [{"counts": {"00001": 500, "10000": 500}}] * 2
    shape = (2, 1000, WIDTH)
    first = measured_of(result_of(one), shape, 3, "vendor").bits
    other = measured_of(result_of(one), shape, 4, "vendor").bits
    assert (first != other).any()
    assert (first[0] != first[1]).any()
    # half of the ones in the first half of the shots: 5 sigma of a hypergeometric, 7.9 each
    assert abs(int(first[0, :500, 0].sum()) - 250) < 40


def test_rows_with_memory_and_rows_with_counts():
    data = [hexadecimal(TRUTH[0]), counts(TRUTH[1])]
    found = measured_of(result_of(data), TRUTH.shape, 9, "vendor")
    np.testing.assert_array_equal(found.bits, TRUTH)
    assert found.note == "expanded from counts in 1 of 2 rows, in an order drawn with seed 9"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([{}, {}], "got neither memory nor counts, expected 4 shots"),
        ([{"memory": [], "counts": {}}] * 2, "got neither memory nor counts, expected 4 shots"),
        ([{"memory": ["0x1"] * 3}] * 2, "got 3 shots in memory; expected 4"),
        ([{"memory": [None] * 4}] * 2, "got the outcome None; expected 5 bits"),
        ([{"memory": ["0x20"] * 4}] * 2, "got the outcome '0x20'; expected 5 bits"),
        ([{"memory": ["-0x1"] * 4}] * 2, "got the outcome '-0x1'; expected 5 bits"),
        ([{"memory": ["0xzz"] * 4}] * 2, "got the outcome '0xzz'; expected 5 bits"),
        ([{"memory": ["0101"] * 4}] * 2, "got the outcome '0101'; expected 5 bits"),
        ([{"memory": ["01012"] * 4}] * 2, "got the outcome '01012'; expected 5 bits"),
        ([{"memory": [0.25 + 1j] * 4}] * 2, "got the outcome .*; expected 5 bits"),
        ([{"counts": {"00001": 3}}] * 2, "got 3 counts; expected 4 shots. Shots are never made"),
        ([{"counts": {"00001": 5}}] * 2, "got 5 counts; expected 4 shots"),
        ([{"counts": {"00001": 0.5}}] * 2, "got counts that are not whole numbers"),
        ([{"counts": {"00001": float("nan")}}] * 2, "got counts that are not whole numbers"),
        ([{"counts": {"00001": 5, "00010": -1}}] * 2, "got counts that are not whole numbers"),
        ([{"counts": {"0001": 4}}] * 2, "got the outcome '0001'; expected 5 bits"),
        ([{"memory": ["0x1"] * 4}], "returned a result with 1 circuits; 2 were sent"),
        ([], "returned a result with 0 circuits; 2 were sent"),
    ],
)
def test_nothing_is_made_of_a_result_without_shots(data, message):
    with pytest.raises(JobError, match=message):
        measured_of(result_of(data), TRUTH.shape, 3, "vendor")


def test_failed_experiments_and_wrong_registers_are_named():
    bad = result_of([hexadecimal(TRUTH[0])] * 2, success=False)
    bad.results[0].status = "ERROR: out of memory"
    with pytest.raises(JobError, match=r"vendor, circuit 1 of 2: .* failed: ERROR: out of memory"):
        measured_of(bad, TRUTH.shape, 3, "vendor")
    wide = result_of([hexadecimal(TRUTH[0])] * 2, header={"memory_slots": 7})
    with pytest.raises(JobError, match="got 7 classical bits; expected 5"):
        measured_of(wide, TRUTH.shape, 3, "vendor")
    with pytest.raises(JobError, match="0 circuits; 2 were sent"):
        measured_of(None, TRUTH.shape, 3, "vendor")


def test_wide_outcomes_keep_every_bit():
    bits = np.random.default_rng(5).integers(0, 2, (1, 3, 127)).astype(np.uint8)
    found = measured_of(result_of([hexadecimal(bits[0])]), bits.shape, 0, "vendor")
    np.testing.assert_array_equal(found.bits, bits)


# -- sending and asking ---------------------------------------------------------------------------


def test_an_error_while_sending_leaves_open_whether_the_job_was_taken():
    backend = Imitation()
    backend.fault = TypeError("memory is not an option of mine")
    service = QiskitService(backend)
    assert not service.local
    with pytest.raises(TypeError, match="not an option of mine"):
        service.run([pub()], SHOTS, tag="t")
    assert len(backend.calls) == 1  # never tried a second time by itself
    with pytest.raises(Rejected, match="TypeError: memory is not an option of mine"):
        QiskitService(backend, local=True).run([pub()], SHOTS, tag="t")
    without = QiskitService(backend, memory=False)
    backend.fault = None
    without.run([pub()], SHOTS, tag="t")
    assert backend.calls[-1][1] == {"shots": SHOTS}


def test_jobs_come_back_by_their_number():
    backend = Imitation()
    job = QiskitService(backend).run([pub()], SHOTS, tag="t")
    later = QiskitService(backend).job(job.job_id)
    np.testing.assert_array_equal(later.measured(TRUTH.shape, seed=0).bits, TRUTH)
    with pytest.raises(Unreachable, match="KeyError: 'job-9'"):
        QiskitService(backend).job("job-9")
    simulator = QiskitService(GenericBackendV2(2, seed=1))
    with pytest.raises(NotFound, match="knows no job 9: its jobs can be fetched only by the pro"):
        simulator.job("9")
    assert simulator.find("t") == []
    assert QiskitService(backend).retrievable
    assert simulator.retrievable  # a local job is sent again instead
    with pytest.raises(Unreachable, match="cannot look up jobs by their tag t"):
        QiskitService(backend).find("t")


def test_a_paid_job_that_the_backend_does_not_give_back_is_held():
    """Also when nobody else holds it; in another process there is none."""
    backend = GenericBackendV2(WIDTH, seed=1)
    service = QiskitService(backend, local=False)
    assert not service.retrievable
    number = service.run([pub()], SHOTS, tag="t").job_id
    assert service.job(number).measured(TRUTH.shape, seed=0).bits.shape == TRUTH.shape
    with pytest.raises(NotFound, match=r"only by the process that sent them\.$"):
        QiskitService(backend, local=False).job(number)
    simulator = QiskitService(backend)
    number = simulator.run([pub()], SHOTS, tag="t").job_id  # nobody is waiting for this one
    with pytest.raises(NotFound, match=r"Send it again; it costs nothing\.$"):
        simulator.job(number)


def test_states_messages_and_failures_of_a_job():
    backend = Imitation()
    service = QiskitService(backend)
    job = service.run([pub()], SHOTS, tag="t")
    inner = backend.jobs[job.job_id]
    inner.status = lambda: JobStatus.ERROR
    inner.answer = QiskitJobError("the laser is off")
    assert job.state() == JobState.FAILED
    assert "the laser is off" in job.message()
    with pytest.raises(JobError, match=r"qiskit:imitation gave no result: .*the laser is off"):
        job.measured(TRUTH.shape, seed=0)
    inner.answer = ConnectionError("no route")
    with pytest.raises(Unreachable, match="no route"):
        job.measured(TRUTH.shape, seed=0)

    def away():
        raise ConnectionError("no route")

    inner.status = away
    with pytest.raises(Unreachable, match="ConnectionError: no route"):
        job.state()
    named = {"QUEUED": "queued", "VALIDATING": "queued", "CANCELLED": "cancelled", "odd": "running"}
    assert {name: state_of(name) for name in named} == named


def test_a_backend_in_maintenance_says_so():
    backend = Imitation()
    service = QiskitService(backend)
    assert service.unavailable() is None
    backend.status = lambda: type("S", (), {"operational": False, "status_msg": "maintenance"})
    assert service.unavailable() == "maintenance."
    assert service.price([PlannedJobs(1, 1, 1, (3, 6))]) is None
    assert service.limits.rows == 100


# -- names ----------------------------------------------------------------------------------------


def test_backends_by_name_class_function_and_object(monkeypatch):
    service = QiskitService("qiskit_aer:AerSimulator")
    assert str(service) == "qiskit:qiskit_aer:AerSimulator"
    assert service.local
    assert str(QiskitService(Imitation())) == "qiskit:imitation"
    backend = build_cloud_backend("qiskit:qiskit_aer:AerSimulator", {"max_shots": 10})
    assert backend.service.limits.shots == 10


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("qiskit_aer", "expected module:name"),
        ("qiskit_aer:Nothing", "Cannot load 'qiskit_aer:Nothing'"),
        ("builtins:dict", "Got dict for the backend qiskit:builtins:dict; expected a Qiskit Back"),
        ("operator:add", "without arguments gave TypeError"),
        (3, "Got int for the backend"),
    ],
)
def test_what_is_no_backend_is_refused(target, message):
    with pytest.raises(ConfigurationError, match=message):
        QiskitService(target)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_shots": 0}, "Got max_shots=0; expected a whole number from 1, or nothing"),
        ({"max_shots": "x"}, "Got max_shots='x'; expected a whole number from 1, or nothing"),
        ({"max_shots": True}, "Got max_shots=True; expected a whole number from 1, or nothing"),
        ({"memory": "no"}, "Got memory='no'; expected true or false, or nothing"),
        ({"local": 1}, "Got local=1; expected true or false, or nothing"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ConfigurationError, match=message):
        QiskitService(Imitation(), **options)


@pytest.fixture
def imitation():
    backend = Imitation()
    backend.says = ""
    return backend


def troubles(imitation):
    """Calls that raise or return what a backend says."""
    service = QiskitService(imitation)
    job = service.run([pub()], SHOTS, tag="t")
    inner = imitation.jobs[job.job_id]
    inner.answer = QiskitJobError(imitation.says)
    yield lambda: job.measured(TRUTH.shape, seed=0)
    yield job.message
    inner.answer = ConnectionError(imitation.says)
    yield lambda: job.measured(TRUTH.shape, seed=0)
    inner.answer = result_of([{"memory": [imitation.says] * SHOTS}] * 2)
    yield lambda: job.measured(TRUTH.shape, seed=0)
    inner.answer = result_of([hexadecimal(TRUTH[0])] * 2, success=False)
    inner.answer.results[0].status = imitation.says
    yield lambda: job.measured(TRUTH.shape, seed=0)
    imitation.fault = ValueError(imitation.says)
    yield lambda: QiskitService(imitation, local=True).run([pub()], SHOTS, tag="t")
    imitation.status = lambda: type("S", (), {"operational": False, "status_msg": imitation.says})
    yield service.unavailable


# -- installed simulators -------------------------------------------------------------------------


def aer():
    from qiskit_aer import AerSimulator

    return AerSimulator(seed_simulator=1)


def braket():
    provider = pytest.importorskip("qiskit_braket_provider")
    return provider.BraketLocalBackend()


def basic():
    from qiskit.providers.basic_provider import BasicSimulator

    return BasicSimulator()


def fake():
    provider = pytest.importorskip("qiskit_ibm_runtime.fake_provider")
    return provider.FakeManilaV2()


@pytest.mark.parametrize(("make", "agreement"), [(aer, 1), (basic, 1), (braket, 1), (fake, 0.8)])
def test_an_asymmetric_pattern_on_installed_simulators(make, agreement, tmp_path, monkeypatch):
    """Row r turns qubit 0 by r·π; qubits 1 and 3 are always on: no reversal looks the same."""
    from qiskit import transpile

    monkeypatch.setenv("HOME", str(tmp_path))
    backend = make()
    service = QiskitService(backend)
    assert service.local
    circuit, angle = QuantumCircuit(WIDTH, WIDTH), Parameter("a")
    circuit.rx(angle, 0)
    circuit.x([1, 3])
    circuit.measure(range(WIDTH), range(WIDTH))
    isa = transpile(circuit, backend, optimization_level=1, seed_transpiler=0)
    job = service.run([(isa, np.array([[0.0], [np.pi]]))], 64, tag="t")
    found = job.measured((2, 64, WIDTH), seed=1).bits
    expected = np.array([[0, 1, 0, 1, 0], [1, 1, 0, 1, 0]])
    assert ((found == expected[:, None]).mean(axis=1) >= agreement).all()
