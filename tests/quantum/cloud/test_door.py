"""The same contract for every service that runs on this machine, through ledger and preflight."""

import importlib.util

import numpy as np
import pytest

from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.cloud.backend import CloudBackend, build_cloud_backend
from qhyper.quantum.cloud.dispatch import Patience
from qhyper.quantum.cloud.ledger import State
from qhyper.quantum.simulators.state_vector import StateVectorBackend
from qhyper.streams import Streams

SERVICES = {
    # name of the backend: (packages, options, bias of a marginal that its noise may cause)
    "ibm:fake_torino": (("qiskit_ibm_runtime",), {"noise": "none", "seed": 1}, 0.0),
    "ibm:fake_sherbrooke": (("qiskit_ibm_runtime",), {"noise": "readout", "seed": 1}, 0.10),
    "ibm:fake_guadalupe": (("qiskit_ibm_runtime",), {"seed": 1}, 0.15),
    "qiskit:qiskit_aer:AerSimulator": (("qiskit_aer",), {}, 0.0),
    "braket:local": (("qiskit_braket_provider",), {}, 0.0),
    "azure:local": (("qdk",), {}, 0.0),
}
"""Services whose jobs live in this process. Add one here, and every test below covers it."""
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
    p = StateVectorBackend().compile(circuit()).probabilities(angles())
    bits = np.arange(1 << QUBITS)[:, None] >> np.arange(QUBITS) & 1
    return p @ bits


@pytest.fixture(params=SERVICES)
def built(request, tmp_path, monkeypatch):
    packages, options, bias = SERVICES[request.param]
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # SDKs write there
    backend = build_cloud_backend(request.param, {**options, "level": 3})
    patient = Patience(first_poll=0.01, last_poll=0.1)
    return CloudBackend(
        backend.service, level=3, deadline=60.0, patience=patient, identity=backend.identity
    ), bias


def test_draws_of_a_circuit_have_the_exact_marginals(built, tmp_path):
    """512 shots a row; 5 sigma of the worst of 24 marginals, and the stated bias of the noise."""
    backend, bias = built
    executable = backend.compile(circuit(), rows=ROWS)
    with backend.connected(tmp_path, "run", "training", 10**6) as dispatcher:
        backend.begin("step 0")
        bits = executable.sample(angles(), SHOTS, Streams([0])(0))
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
        again = executable.sample(angles(), SHOTS, Streams([0])(0))
        np.testing.assert_array_equal(again, bits)
        assert len(dispatcher.ledger.jobs()) == len(records)


def test_shots_are_fresh_in_every_job(built, tmp_path):
    backend, _ = built
    executable = backend.compile(circuit(), rows=1)
    with backend.connected(tmp_path, "run", "training", 10**6):
        draws = []
        for step in range(2):
            backend.begin(f"step {step}")
            draws.append(executable.sample(angles(rows=1), 64, Streams([0])(0)))
    assert (draws[0] != draws[1]).any()


def test_what_a_service_says_about_itself(built):
    service = built[0].service
    assert service.local
    assert service.unavailable() is None
    assert service.price(1, 1, 100) == "nothing: it is simulated on this machine"
    assert service.limits.qubits >= QUBITS
    with service.sending():
        pass
    service.close()
    service.close()
