"""What the door to quantum computers costs, and what it sends: on snapshots of IBM's devices."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bars import Line, bar, paired_seconds

from qhyper.data.sets import load
from qhyper.gradients.parameter_shift import ParameterShift
from qhyper.gradients.score import ScoreFunction
from qhyper.quantum.ansatz import Brickwork, HardwareEfficient
from qhyper.quantum.backends import build_cloud_backend
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.risk import Expectation
from qhyper.streams import Streams
from qhyper.targets.layered.network import BinaryNetwork

BITS, SHOTS, DEPTH = 36, 1024, 3
LAYERS = HardwareEfficient(depth=2, pairs="linear", gate="cz")
"""108 angles: a gradient has 216 rows."""


@bar
def door_against_the_vendor_by_hand() -> Iterator[Line]:
    """216 rows of 36 qubits × 1,024 shots: ledger, dispatch and storage, against the sampler."""
    from qiskit_ibm_runtime.executor_sampler import Sampler

    backend = build_cloud_backend("ibm:fake_torino", {"noise": "none", "seed": 1})
    generator = QuantumHyperNetwork(BITS, ansatz=LAYERS, start="uniform")
    executable = backend.compile(generator.circuit)
    rows = np.random.default_rng(1).uniform(0, np.pi, (1, 216, generator.circuit.n_angles))
    streams, number = Streams([0]), iter(range(1000))

    def ours() -> None:
        backend.begin(f"gradient {next(number)}")
        bits = executable.at(rows).sample(SHOTS, streams(0))
        assert bits.shape == (1, 216, SHOTS, BITS)

    circuit, values = executable.isa.circuit, executable.isa.rows(rows[0])
    simulator = backend.service._simulator([(circuit, values)])

    def by_hand() -> None:
        sampler = Sampler(mode=simulator, options={"simulator": {"seed_simulator": 1}})
        data = sampler.run([(circuit, values)], shots=SHOTS).result()[0].data
        assert data["c"].array.shape[:2] == (216, SHOTS)

    with tempfile.TemporaryDirectory() as folder, _connected(backend, folder) as dispatcher:
        door, hand = paired_seconds(ours, by_hand, 3)
        records = dispatcher.ledger.jobs()
    yield Line(
        "door-vs-vendor-by-hand", door / hand, "x", at_most=1.15,
        detail=f"door {door:.2f} s, by hand {hand:.2f} s, one preflight before, not counted",
    )  # fmt: skip
    jobs = sum(not record.known for record in records)
    yield Line("door-jobs-of-216-rows", jobs / 4, "", at_most=1)


@bar
def jobs_of_a_gradient() -> Iterator[Line]:
    """A parameter-shift gradient of 36 qubits with 108 parameters, 1,024 shots, in one job."""
    objective = BinaryNetwork((4, 6, 2)).objective(load("toy").train)
    backend = build_cloud_backend("ibm:fake_torino", {"noise": "none", "seed": 1})
    generator = QuantumHyperNetwork(BITS, ansatz=LAYERS, start="uniform", backend=backend)
    with tempfile.TemporaryDirectory() as folder, _connected(backend, folder) as dispatcher:
        backend.begin("gradient")
        ParameterShift(SHOTS)(generator, objective, Expectation(), rng=Streams(generator.seeds)(0))
        records = dispatcher.ledger.jobs()
    sent = [record for record in records if not record.known]
    yield Line(
        "jobs-of-a-gradient", len(sent), "", at_most=1,
        detail=f"{sent[0].rows} rows × {sent[0].shots} shots, P = {generator.theta.shape[1]}; "
        f"with the first one, {len(records) - len(sent)} preflight",
    )  # fmt: skip


@bar
def two_qubit_gates_on_a_device() -> Iterator[Line]:
    """A trained 36-qubit circuit on snapshots with 127 qubits and more: no swaps."""
    objective = BinaryNetwork((4, 6, 2)).objective(load("toy").train)
    generator = QuantumHyperNetwork(BITS, ansatz=Brickwork(DEPTH), start="uniform")
    estimator, streams = ScoreFunction(256), Streams(generator.seeds)
    for step in range(20):  # the angles do not change the circuit's shape; these are trained ones
        generator.zero_grad()
        estimator(generator, objective, Expectation(), rng=streams(step))
        generator.theta.data -= 0.1 * generator.theta.grad
    had = sum(len(gate.qubits) == 2 for gate, _ in generator.circuit.numbered())
    for name in ("fake_brisbane", "fake_sherbrooke", "fake_washington", "fake_torino"):
        isa = build_cloud_backend(f"ibm:{name}").compile(generator.circuit).isa
        yield Line(
            f"two-qubit-gates-{name}", isa.two_qubit_gates / had, "x", at_most=1,
            detail=f"{isa.two_qubit_gates} of {had}, two-qubit depth {isa.two_qubit_depth}",
        )  # fmt: skip


def _connected(backend: CloudBackend, folder: str):
    return backend.connected(Path(folder), "benchmark", "training", 10**9)
