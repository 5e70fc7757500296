"""CloudBackend: a generator and its gradient on a service, and the preflight before them."""

import time

import numpy as np
import pytest

from qhyper.compose.chunked import Chunked
from qhyper.compose.ordered import Ordered
from qhyper.errors import ConfigurationError, JobError, PendingError
from qhyper.gradients.parameter_shift import ParameterShift, StochasticParameterShift
from qhyper.gradients.spsa import SPSA
from qhyper.quantum.ansatz import Brickwork, Reuploading
from qhyper.quantum.backends import build_backend, build_cloud_backend
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.cloud import preflight
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.cloud.preflight import calibration_shots
from qhyper.quantum.cloud.qiskit_isa import transpiled
from qhyper.quantum.cloud.questions import Patience
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.risk import CVaR, Expectation
from qhyper.streams import Streams

HASTE = Patience(grace=0.3, first_poll=0.01, last_poll=0.02)
GATES = [Gate("ry", (q,), q) for q in range(3)] + [Gate("cx", (0, 1)), Gate("rx", (2,), 3)]
CIRCUIT = Circuit(3, tuple(GATES))
RNG = Streams((0,))(0)


@pytest.fixture
def connect(tmp_path, stub_service):
    """A session on the stub: `with connect(...) as backend`."""
    from contextlib import contextmanager

    folder = tmp_path / "run"
    folder.mkdir()

    @contextmanager
    def session(
        *, layout=None, scope="training", budget=10**6, deadline=5.0, mitigate=False, **options
    ):
        backend = CloudBackend(
            stub_service(**options), patience=HASTE, deadline=deadline, layout=layout,
            mitigate=mitigate,
        )  # fmt: skip
        with backend.connected(folder, "a run", scope, budget, warn=lambda text: None):
            backend.begin("step 0")
            yield backend

    return session


def tags(stub_service):
    return [tag for _, tag in stub_service().accepted()]


def test_a_preview_of_many_rows_shows_the_first_and_how_many_there_are(stub_service, monkeypatch):
    service = stub_service(rows=300)
    shown = []

    def preview(pubs, shots, *, tag):
        ((_, rows),) = pubs
        shown.append((len(rows), shots, tag))
        return "the words of the service"

    monkeypatch.setattr(service, "preview", preview)
    backend = CloudBackend(service)
    isa = backend.compile(CIRCUIT).isa
    for rows, head in (
        (128, ""),
        (129, "the first 128 of 129 rows:\n"),
        (302, "job 1 of 2, the first 128 of 300 rows:\n"),
    ):
        text = backend.preview(isa, np.zeros((rows, 4)), 5)
        assert text == f"{head}the words of the service"
        assert shown.pop() == (128, 5, "qhyper-KEY")
    monkeypatch.undo()
    assert backend.preview(isa, np.zeros((500, 4)), 5) == ""  # the stub does not say


# -- draws and gradients --------------------------------------------------------------------------


def test_draws_have_the_distribution_of_the_circuit(connect):
    """20,000 shots at 2 replicas × 2 rows, seeded by their job; every p within 5 σ of exact."""
    angles = np.random.default_rng(0).uniform(0, np.pi, (2, 2, 4))
    with connect(rows=1) as backend:
        drawn = backend.compile(CIRCUIT).at(angles).sample(20_000, RNG)
    assert drawn.shape == (2, 2, 20_000, 3)
    exact = build_backend("statevector").compile(CIRCUIT).at(angles).probabilities()
    number = (drawn * 2 ** np.arange(3)).sum(-1)
    for row in np.ndindex(2, 2):
        share = np.bincount(number[row], minlength=8) / 20_000
        sigma = np.sqrt(exact[row] * (1 - exact[row]) / 20_000)
        assert (np.abs(share - exact[row]) <= 5 * sigma + 1e-9).all()


def test_a_gradient_is_one_job(connect, stub_service):
    """And it is the exact one within 5 σ: 4,096 shots, costs in [0, 3], so σ <= 1.5 / 64 / √2."""
    with connect() as backend:
        generator = QuantumHyperNetwork(3, ansatz=CIRCUIT, start=[0.3, 1.0, 2.0, 0.7],
                                        backend=backend)  # fmt: skip
        spent = ParameterShift(4096)(
            generator, lambda bits: bits.sum(-1) * 1.0, Expectation(), rng=RNG
        ).spent
    assert spent.circuits == 8
    assert len(tags(stub_service)) == 2  # and the preflight
    # ⟨bit⟩: (1 - cos a) / 2 for qubit 0, (1 - cos a cos b) / 2 for 1, (1 - cos c cos d) / 2 for 2
    a, b, c, d = 0.3, 1.0, 2.0, 0.7
    exact = np.array([
        np.sin(a) / 2 * (1 + np.cos(b)), np.cos(a) * np.sin(b) / 2,
        np.sin(c) * np.cos(d) / 2, np.cos(c) * np.sin(d) / 2,
    ])  # fmt: skip
    found = generator.theta.grad.numpy()[0]
    np.testing.assert_allclose(found, exact, atol=5 * 1.5 / 64 / np.sqrt(2))


# -- readout mitigation in the loop ---------------------------------------------------------------

EXACT = np.array([
    np.sin(0.3) / 2 * (1 + np.cos(1.0)), np.cos(0.3) * np.sin(1.0) / 2,
    np.sin(2.0) * np.cos(0.7) / 2, np.cos(2.0) * np.sin(0.7) / 2,
])  # fmt: skip
"""The gradient of the number of ones of CIRCUIT at 0.3, 1.0, 2.0, 0.7: see above."""
MISREAD = np.array([[0.04, 0.10], [0.02, 0.12], [0.05, 0.08]])
"""Of each qubit: P(1 | 0) and P(0 | 1)."""


@pytest.fixture
def misreading(stub, monkeypatch):
    """The stub's device reads the qubits wrongly, by MISREAD; seed 5."""
    simulated, rng = stub._simulated, np.random.default_rng(5)

    def misread(circuit, rows, shots, tag):
        bits = simulated(circuit, rows, shots, tag)
        each = np.resize(MISREAD, (bits.shape[-1], 2))
        wrong = rng.random(bits.shape) < np.where(bits, each[:, 1], each[:, 0])
        return bits ^ wrong

    monkeypatch.setattr(stub, "_simulated", misread)


def number_of_ones(bits):
    return bits.sum(-1) * 1.0


@pytest.mark.usefixtures("misreading")
@pytest.mark.parametrize("shift", [True, False])
def test_readout_errors_are_undone_in_a_gradient(connect, stub_service, shift):
    """16,384 shots: σ <= 1.5 / 128 / √2 by contrasts above 0.86, and those of 2,048 calibration
    shots a state, sqrt(0.1 · 0.9 / 2048) = 0.0066 of a contrast. Without it the derivatives are
    smaller by the contrasts, 0.86 to 0.87: the second one by 0.056."""
    pytest.importorskip("mthree")
    found = {}
    for mitigate in (False, True):
        with connect(mitigate=mitigate, scope=f"{mitigate}") as backend:
            generator = QuantumHyperNetwork(3, ansatz=CIRCUIT, start=[0.3, 1.0, 2.0, 0.7],
                                            backend=backend)  # fmt: skip
            estimator = ParameterShift(16_384, value=True) if shift else SPSA(16_384, 0.05, 1, True)
            estimate = estimator(generator, number_of_ones, Expectation(), rng=RNG)
        found[mitigate] = generator.theta.grad.numpy()[0], estimate
    gradient, estimate = found[True]
    ones = (1 - np.cos(0.3)) / 2 + (1 - np.cos(0.3) * np.cos(1.0)) / 2
    ones += (1 - np.cos(2.0) * np.cos(0.7)) / 2
    assert estimate.value[0] == pytest.approx(ones, abs=5 * 0.02)
    assert estimate.mean_loss[0] == estimate.value[0]
    assert estimate.standard_error[0] < 0.02
    assert estimate.losses.max() == 3.0  # what was drawn is as it was measured
    assert found[False][1].standard_error[0] < estimate.standard_error[0]
    sigma = 1.5 / 128 / np.sqrt(2) / 0.86
    if shift:
        np.testing.assert_allclose(gradient, EXACT, atol=5 * np.hypot(sigma, 0.0066 * 0.5))
        assert EXACT[1] - found[False][0][1] > 5 * sigma * 0.86
    purposes = [record.purpose for record in jobs_of(connect)]
    assert sum(purpose.startswith("calibration") for purpose in purposes) == 1


def jobs_of(connect):
    with connect(scope="True") as again:
        return again.dispatcher.ledger.jobs()


@pytest.mark.usefixtures("misreading")
def test_a_calibration_is_measured_once_a_day(connect, stub_service, monkeypatch):
    pytest.importorskip("mthree")
    angles = np.zeros((1, 1, 4))
    for calls in range(3):
        with connect(mitigate=True) as backend:
            executable = backend.compile(CIRCUIT)
            backend.begin(f"step {calls}")
            bits = executable.at(angles).sample(8, RNG)
            executable.mitigated(bits, number_of_ones(bits))
    assert len(tags(stub_service)) == 2 + 3
    now = time.time()
    monkeypatch.setattr(preflight.time, "time", lambda: now + 86_500)
    with connect(mitigate=True) as backend:
        backend.begin("step 3")
        backend.compile(CIRCUIT).at(angles).sample(8, RNG)
    assert len(tags(stub_service)) == 2 + 3 + 3


def test_what_cannot_be_mitigated_is_refused(connect, stub_service):
    pytest.importorskip("mthree")
    with pytest.raises(ConfigurationError, match="Got mitigate='yes'; expected true or false"):
        CloudBackend(stub_service(), mitigate="yes")
    backend = CloudBackend(stub_service(), mitigate=True)
    with pytest.raises(ConfigurationError, match="has no calibration: measure before"):
        backend.compile(CIRCUIT).mitigated(np.zeros((4, 3), np.uint8), np.zeros(4))
    generator = QuantumHyperNetwork(3, ansatz=CIRCUIT, backend=backend)
    for estimator in (ParameterShift(8), StochasticParameterShift(8, 2), SPSA(8)):
        estimator.check(generator, Expectation())
        with pytest.raises(ConfigurationError, match=r"CVaR.*undone in mean losses alone"):
            estimator.check(generator, CVaR(0.5))
    seeing = QuantumHyperNetwork(3, ansatz=Reuploading(Brickwork(3), 2), backend=backend)
    for compose in (lambda: Ordered(generator, [2, 1, 0]), lambda: Chunked(seeing, 2)):
        with pytest.raises(ConfigurationError, match="readout errors are undone for circuits by"):
            compose()


def test_a_plan_counts_the_calibration(stub_service):
    """4 rows of 1,024 shots for 3 bits."""
    pytest.importorskip("mthree")
    plain, able = (CloudBackend(stub_service(), mitigate=on) for on in (False, True))
    isa = plain.compile(CIRCUIT).isa
    batches = {"steps": (2, 8, 100)}
    assert able.shots(3, batches) - plain.shots(3, batches) == 4 * 1024
    assert able.jobs(isa, batches) == plain.jobs(isa, batches) + 1
    assert "4,096 calibration" in able.plan(isa, batches)["of these"]
    assert calibration_shots(36) == 64


@pytest.mark.usefixtures("misreading")
def test_a_repeated_calibration_is_no_part_of_the_budget(connect, stub_service, monkeypatch):
    """Budget: two preflights' and calibrations' shots are counted once, and two steps of 8."""
    pytest.importorskip("mthree")
    budget = CloudBackend(stub_service(), mitigate=True).shots(3, {"steps": (2, 1, 8)})
    with connect(mitigate=True, budget=budget) as backend:
        backend.compile(CIRCUIT).at(np.zeros((1, 1, 4))).sample(8, RNG)
    now = time.time()
    monkeypatch.setattr(preflight.time, "time", lambda: now + 86_500)
    with connect(mitigate=True, budget=budget) as backend:
        backend.begin("step 1")
        backend.compile(CIRCUIT).at(np.zeros((1, 1, 4))).sample(8, RNG)
    assert len(tags(stub_service)) == 6


@pytest.mark.usefixtures("misreading")
def test_what_was_measured_is_mitigated_by_the_calibration_of_its_day(
    connect, stub_service, monkeypatch
):
    pytest.importorskip("mthree")
    with connect(mitigate=True) as backend:
        executable = backend.compile(CIRCUIT)
        executable.at(np.zeros((1, 1, 4))).sample(8, RNG)
        first = executable._matrices
    now = time.time()
    monkeypatch.setattr(preflight.time, "time", lambda: now + 86_500)
    with connect(mitigate=True) as backend:
        executable = backend.compile(CIRCUIT)
        executable.at(np.zeros((1, 1, 4))).sample(8, RNG)
        np.testing.assert_array_equal(executable._matrices, first)
        backend.begin("step 1")
        executable.at(np.zeros((1, 1, 4))).sample(8, RNG)
        assert (executable._matrices != first).any()


def test_what_could_not_be_mitigated_is_not_paid_for(connect, stub_service, stub, monkeypatch):
    pytest.importorskip("mthree")
    with connect(mitigate=True, qubits=15) as backend:
        wide = Circuit(15, tuple(Gate("ry", (q,), q) for q in range(15)))
        with pytest.raises(ConfigurationError, match=r"20,000 shots of 15 bits.* Use fewer shots"):
            backend.compile(wide).at(np.zeros((1, 1, 15))).sample(20_000, RNG)
    assert not any(record for record in tags(stub_service)[1:])  # a preflight at the most
    simulated, rng = stub._simulated, np.random.default_rng(6)

    def blind(circuit, rows, shots, tag):  # qubit 1 in calibrations
        bits = simulated(circuit, rows, shots, tag)
        if shots == 1024:
            bits[..., 1] = rng.integers(2, size=bits.shape[:-1])
        return bits

    monkeypatch.setattr(stub, "_simulated", blind)
    with connect(mitigate=True, scope="blind") as backend:
        with pytest.raises(ConfigurationError, match="Qubit 1 is read as noise"):
            backend.compile(CIRCUIT).at(np.zeros((1, 1, 4))).sample(8, RNG)
        purposes = [record.purpose.split(" ")[0] for record in backend.dispatcher.ledger.jobs()]
    assert purposes[-1] == "calibration"


@pytest.mark.usefixtures("misreading")
def test_a_mitigation_that_does_little_is_said_once(tmp_path, stub_service):
    """12 bits, nearly uniform, 32 shots: every shot is a string of its own."""
    pytest.importorskip("mthree")
    heard = []
    n = 12
    circuit = Circuit(n, tuple(Gate("ry", (q,), q) for q in range(n)))
    backend = CloudBackend(stub_service(qubits=n), patience=HASTE, mitigate=True)
    with backend.connected(tmp_path, "a run", "training", 10**6, warn=heard.append):
        backend.begin("step 0")
        executable = backend.compile(circuit)
        bits = executable.at(np.full((1, 1, n), np.pi / 2)).sample(32, RNG)
        for _ in range(2):
            executable.mitigated(bits, number_of_ones(bits))
    (said,) = [text for text in heard if "mitigation" in text]
    assert "of the misreadings of stub: nearly every shot is a string of its own" in said


def test_every_call_of_a_step_is_its_own_purpose(connect, stub_service):
    angles = np.zeros((1, 1, 4))
    with connect() as backend:
        executable = backend.compile(CIRCUIT)
        first, second = executable.at(angles).sample(8, RNG), executable.at(angles).sample(8, RNG)
        purposes = [record.purpose for record in backend.dispatcher.ledger.jobs()]
        backend.begin("step 0")  # the step again, as after a crash
        np.testing.assert_array_equal(executable.at(angles).sample(8, RNG), first)
        np.testing.assert_array_equal(executable.at(angles).sample(8, RNG), second)
    assert purposes[1:] == ["step 0", "step 0, call 2"]
    assert len(tags(stub_service)) == 3


def test_nothing_is_sent_without_a_ledger(stub_service):
    executable = CloudBackend(stub_service()).compile(CIRCUIT)
    message = r"stub costs money, and there is no ledger open .* `backend.begin\(purpose\)`"
    with pytest.raises(ConfigurationError, match=message):
        executable.at(np.zeros((1, 1, 4))).sample(8, RNG)


def test_a_session_is_closed_whatever_happens(connect):
    opened = []

    def fail():
        with connect() as backend:
            opened.append(backend)
            raise ZeroDivisionError("by zero")

    with pytest.raises(ZeroDivisionError, match="by zero"):
        fail()
    (backend,) = opened
    assert backend.service.closed == 1
    assert backend.dispatcher is None


@pytest.mark.parametrize("option", ["deadline", "grace"])
@pytest.mark.parametrize("seconds", [-1, np.inf, np.nan, True])
def test_waits_are_finite(stub_service, option, seconds):
    with pytest.raises(ConfigurationError, match=f"{option} must be a number of seconds from 0"):
        CloudBackend(stub_service(), **{option: seconds})


# -- preflight ------------------------------------------------------------------------------------


def preflights(backend):
    return [r for r in backend.dispatcher.ledger.jobs() if r.known == "preflight"]


def test_the_preflight_runs_once_for_a_service_and_its_qubits(connect, stub_service):
    angles = np.zeros((1, 1, 4))
    for scope in ("training", "submission 1"):
        for step in range(2):
            with connect(scope=scope) as backend:
                backend.begin(f"step {step}")
                backend.compile(CIRCUIT).at(angles).sample(8, RNG)
                assert len(preflights(backend)) == 1
    assert len(tags(stub_service)) == 4 + 1


def test_a_training_prepares_its_preflight_once(connect, monkeypatch):
    """Not in every step: transpiling takes longer than all else that is done here."""
    made = []

    def counted(*arguments, **options):
        made.append(arguments)
        return transpiled(*arguments, **options)

    with connect() as backend:
        executable = backend.compile(CIRCUIT)
        monkeypatch.setattr(preflight, "transpiled", counted)
        for step in range(4):
            backend.begin(f"step {step}")
            executable.at(np.zeros((1, 1, 4))).sample(8, RNG)
    assert len(made) == 1


def test_the_preflight_is_made_again_for_other_qubits(connect, stub_service):
    """Within one scope too: a device may suggest other ones after its calibration."""
    angles = np.zeros((1, 1, 4))
    for number, layout in enumerate([(0, 1, 2), (2, 1, 0), (3, 1, 2), (0, 1, 2)]):
        with connect(layout=layout, qubits=5) as backend:
            backend.begin(f"step {number}")
            backend.compile(CIRCUIT).at(angles).sample(8, RNG)
            assert len(preflights(backend)) == min(number + 1, 3)
    assert len(tags(stub_service)) == 4 + 3


WRONG = {
    "zeros": "Preflight of stub: got zeros alone",
    "reversed": "Preflight of stub: the bits come back in reversed order",
    "inverted": "Preflight of stub: every bit comes back inverted",
    "stuck bit": r"Preflight of stub: 1 of 3 bits .* bit 1 \(the device's qubit 1\): 50%",
    "width": r"stub returned shots of shape \(4, 32, 2\); expected",
    "short": r"stub returned shots of shape \(4, 31, 3\); expected",
    "counts": "stub returned counts alone",
    "failed": "failed by stub: calibration lost",
    "cancelled": "cancelled by stub",
}


@pytest.mark.parametrize("kind", WRONG)
def test_nothing_else_is_sent_if_the_preflight_fails(connect, stub_service, kind):
    angles = np.zeros((1, 1, 4))
    for _ in range(2):  # nor the preflight once more
        with (
            pytest.raises(JobError, match=WRONG[kind]),
            connect(spoiled=kind, layout=(0, 1, 2)) as backend,
        ):
            backend.compile(CIRCUIT).at(angles).sample(8, RNG)
        assert len(tags(stub_service)) == 1


def test_a_preflight_is_made_again_on_the_users_word(connect, stub_service):
    angles = np.zeros((1, 1, 4))
    with pytest.raises(JobError, match="reversed order"), connect(spoiled="reversed") as backend:
        backend.compile(CIRCUIT).at(angles).sample(8, RNG)
    with connect() as backend:  # mended
        executable = backend.compile(CIRCUIT)
        with pytest.raises(JobError, match=r"reversed order.* `qhyper jobs --resend KEY`"):
            executable.at(angles).sample(8, RNG)
        (record,) = preflights(backend)
        backend.dispatcher.ledger.again(record.key)
        backend.begin("step 0")
        assert executable.at(angles).sample(8, RNG).shape == (1, 1, 8, 3)
    assert len(tags(stub_service)) == 3


def test_nothing_else_is_sent_while_the_preflight_is_pending(connect, stub_service):
    with pytest.raises(PendingError, match="1 of 1 jobs"), connect(late=100, deadline=0) as backend:
        backend.compile(CIRCUIT).at(np.zeros((1, 1, 4))).sample(8, RNG)
    assert len(tags(stub_service)) == 1


# -- by name --------------------------------------------------------------------------------------


def test_a_service_of_ones_own_is_built_by_its_name(stub, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "own_vendor", stub)
    monkeypatch.setattr(stub.StubService, "measures", None)  # all of them matter, unless told
    options = {"folder": str(tmp_path), "qubits": 4, "level": 1, "deadline": 7.0}
    backend = build_cloud_backend("own_vendor:StubService", options)
    assert (backend.service.limits.qubits, backend.level, backend.deadline) == (4, 1, 7.0)
    assert backend.identity == f"own_vendor:StubService folder={str(tmp_path)!r} qubits=4"
    with pytest.raises(ConfigurationError, match="Did you mean 'qubits'"):
        build_cloud_backend("own_vendor:StubService", {"folder": str(tmp_path), "qubit": 4})
    with pytest.raises(ConfigurationError, match=r"needs the option `folder`; set it as backend_o"):
        build_cloud_backend("own_vendor:StubService")
