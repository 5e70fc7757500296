"""How fast the kernel, a training step, the certificate, `qhyper compare` and the import are."""

import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from bars import Line, bar, paired_seconds, process, seconds

from qhyper.data.sets import load
from qhyper.gradients.score import ScoreFunction
from qhyper.quantum.ansatz import Brickwork, initial_parameters
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.risk import Expectation
from qhyper.streams import Streams
from qhyper.targets.layered.network import BinaryNetwork

BITS, DEPTH, DRAWS = 36, 4, 1024


@bar
def objective_speed() -> Iterator[Line]:
    """Loss of 1,024 fresh draws over 80,000 images, against float32 matrix products in torch."""
    torch.set_num_threads(os.cpu_count() or 1)
    network, data = BinaryNetwork((4, 6, 2)), load("toy").train
    collapse = seconds(lambda: network.objective(data), 3)
    objective = network.objective(data)
    rng = np.random.default_rng(0)
    x, y = torch.tensor(data.x, dtype=torch.float32), torch.tensor(data.y)

    def fresh() -> np.ndarray:
        return rng.integers(0, 2, (DRAWS, BITS), dtype=np.uint8)

    def in_torch() -> None:
        weights = 2 * torch.from_numpy(fresh()).float() - 1
        for chunk in weights.split(8):  # the fastest of 1, 2, 4, 8, 16 and 32
            hidden = torch.sign(x @ chunk[:, :24].reshape(-1, 4, 6))
            hidden[hidden == 0] = 1
            logits = (hidden @ chunk[:, 24:].reshape(-1, 6, 2)).reshape(-1, 2)
            losses = torch.nn.functional.cross_entropy(
                logits, y.repeat(len(chunk)), reduction="none"
            )
            losses.reshape(len(chunk), -1).mean(1)

    def packed() -> None:
        objective(fresh())

    slow = seconds(in_torch, 3)
    fast = seconds(packed, 200)
    torch.set_num_threads(1)
    yield Line("collapse-of-toy", 1e3 * collapse, "ms")
    yield Line(
        "objective-vs-torch", slow / fast, "x", at_least=5000,
        detail=f"torch {slow:.2f} s, packed {1e6 * fast:.0f} us",
    )  # fmt: skip


def _step(qubits: int, seeds: int, draws: int, objective, depth: int = DEPTH):
    generator = QuantumHyperNetwork(qubits, ansatz=Brickwork(depth), seeds=range(seeds))
    estimator, streams = ScoreFunction(draws), Streams(generator.seeds)
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.05)
    count = iter(range(10**9))

    def step() -> None:
        optimizer.zero_grad()
        estimator(generator, objective, Expectation(), rng=streams(next(count)))
        optimizer.step()

    return step


@bar
def step_vs_aer() -> Iterator[Line]:
    """One training step against the parameter-shift gradient on Aer's matrix-product method."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector
    from qiskit_aer.primitives import SamplerV2

    torch.set_num_threads(1)
    circuit = Brickwork(DEPTH).build(BITS)
    angles = ParameterVector("a", circuit.n_angles)
    qiskit_circuit = QuantumCircuit(BITS)
    for gate in circuit.gates:
        if gate.angle is None:
            qiskit_circuit.cx(*gate.qubits)
        else:
            getattr(qiskit_circuit, gate.name)(angles[gate.angle], gate.qubits[0])
    qiskit_circuit.measure_all()
    rng = np.random.default_rng(0)
    rows = np.stack([initial_parameters(circuit, "near-product", rng) for _ in range(16)])
    options = {
        "method": "matrix_product_state",
        "mps_sample_measure_algorithm": "mps_probabilities",
    }
    sampler = SamplerV2(seed=0, options={"backend_options": options})

    def aer() -> None:
        sampler.run([(qiskit_circuit, rows)], shots=DRAWS).result()

    circuits = 2 * circuit.n_angles
    slow = seconds(aer, 3) / len(rows) * circuits
    step = _step(BITS, 1, DRAWS, BinaryNetwork((4, 6, 2)).objective(load("toy").train))
    fast = seconds(step, 200)
    yield Line(
        "step-vs-aer-parameter-shift", slow / fast, "x", at_least=2000,
        detail=f"Aer {slow:.1f} s for {circuits} circuits, step {1e3 * fast:.2f} ms; stretch 4000",
    )  # fmt: skip


@bar
def step_speed() -> Iterator[Line]:
    """A training step by the score function; to compare commits, run both in turn."""
    torch.set_num_threads(1)
    objective = BinaryNetwork((4, 6, 2)).objective(load("toy").train)
    for seeds in (1, 10):
        step = _step(BITS, seeds, DRAWS, objective)
        yield Line(f"step-of-{seeds}", 1e3 * seconds(step, 100), "ms")


@bar
def ten_seeds_together() -> Iterator[Line]:
    """Ten seeds of 256 draws together against one seed of 1,024 draws."""
    torch.set_num_threads(1)
    objective = BinaryNetwork((4, 6, 2)).objective(load("toy").train)
    ten, one = paired_seconds(
        _step(BITS, 10, 256, objective), _step(BITS, 1, DRAWS, objective), 100
    )
    yield Line(
        "ten-seeds-vs-one", ten / one, "x", at_most=2.5,
        detail=f"{1e3 * ten:.2f} ms and {1e3 * one:.2f} ms",
    )  # fmt: skip


@bar
def many_qubits() -> Iterator[Line]:
    """Time per qubit of a step at 10,000 qubits against 36, and peak memory at 10,000."""
    torch.set_num_threads(1)

    def trivial(bits: np.ndarray) -> np.ndarray:
        return bits[..., 0].astype(np.float64)

    small = seconds(_step(36, 1, 256, trivial), 200) / 36
    large = seconds(_step(10_000, 1, 256, trivial), 5) / 10_000
    yield Line(
        "step-per-qubit-10000-vs-36", large / small, "x", at_most=2,
        detail=f"{1e6 * large:.1f} us and {1e6 * small:.1f} us a qubit",
    )  # fmt: skip
    here = str(Path(__file__).parent)
    script = (
        f"import sys; sys.path.insert(0, {here!r}); import numpy, bench_speed;"
        "step = bench_speed._step(10_000, 1, 256, lambda bits: bits[..., 0].astype(float));"
        "step(); step()"
    )
    _, peak = process(["-c", script])
    yield Line("step-10000-qubits-memory", peak, "GiB", at_most=2)


@bar
def certificate_cold() -> Iterator[Line]:
    """`qhyper certify` of toy in a fresh process whose kernels were never compiled."""
    times = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as cache:
            env = {**os.environ, "NUMBA_CACHE_DIR": cache}
            times.append(process(["-m", "qhyper", "certify", "--json"], env)[0])
    yield Line("certificate-of-toy-cold", statistics.median(times), "s", at_most=10)


@bar
def compare_defaults() -> Iterator[Line]:
    """`qhyper compare` with its defaults: wall time and peak memory."""
    runs = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(process(["-m", "qhyper", "compare", "--out", folder]))
    yield Line("compare-defaults", statistics.median(t for t, _ in runs), "s", at_most=150)
    yield Line("compare-defaults-memory", max(peak for _, peak in runs), "GiB", at_most=2)


@bar
def import_time() -> Iterator[Line]:
    """`import qhyper` against `import torch` alone, fresh processes in turn."""
    both = "import torch, qhyper, qhyper.hypernetwork"
    pairs = [(process(["-c", both])[0], process(["-c", "import torch"])[0]) for _ in range(6)][1:]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    yield Line(
        "import-vs-torch", ours / theirs, "x", at_most=1.3,
        detail=f"{ours:.2f} s and {theirs:.2f} s",
    )  # fmt: skip
