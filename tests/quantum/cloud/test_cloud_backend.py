"""CloudBackend: a generator and its gradient on a service, and the preflight before them."""

import numpy as np
import pytest

from qhyper.errors import ConfigurationError, JobError, PendingError
from qhyper.gradients.parameter_shift import ParameterShift
from qhyper.quantum.backends import build_backend, build_cloud_backend
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.cloud import preflight
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.cloud.qiskit_isa import transpiled
from qhyper.quantum.cloud.questions import Patience
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.risk import Expectation
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
    def session(*, layout=None, scope="training", budget=10**6, deadline=5.0, **options):
        backend = CloudBackend(
            stub_service(**options), patience=HASTE, deadline=deadline, layout=layout
        )
        with backend.connected(folder, "a run", scope, budget, warn=lambda text: None):
            backend.begin("step 0")
            yield backend

    return session


def tags(stub_service):
    return [tag for _, tag in stub_service().accepted()]


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
    return [r for r in backend.dispatcher.ledger.jobs() if r.preflight]


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
