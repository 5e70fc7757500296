"""How fast gradient estimators are: against a plain step, and against Aer called by hand."""

from collections.abc import Iterator

import numpy as np
from bars import Line, bar, paired_seconds

from qhyper.data.sets import load
from qhyper.gradients.natural import NaturalGradient
from qhyper.gradients.parameter_shift import ParameterShift
from qhyper.gradients.score import ScoreFunction
from qhyper.quantum.ansatz import Brickwork
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.risk import Expectation
from qhyper.streams import Streams
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.threads import one_torch_thread

BITS, SHOTS = 36, 1024


@bar
def natural_gradient() -> Iterator[Line]:
    """A step of 36 qubits, depth 4, 1,024 draws, against the plain score-function step."""
    objective = BinaryNetwork((4, 6, 2)).objective(load("toy").train)
    generator = QuantumHyperNetwork(BITS, ansatz=Brickwork(4), start="uniform")
    streams = Streams(generator.seeds)

    def step(estimator) -> None:
        generator.zero_grad()
        estimator(generator, objective, Expectation(), rng=streams(0))

    with one_torch_thread():
        natural, plain = paired_seconds(
            lambda: step(NaturalGradient(SHOTS)), lambda: step(ScoreFunction(SHOTS)), 100
        )
    yield Line(
        "natural-vs-score-function", natural / plain, "x", at_most=5,
        detail=f"natural {1e3 * natural:.1f} ms, plain {1e3 * plain:.1f} ms",
    )  # fmt: skip


@bar
def parameter_shift_on_aer() -> Iterator[Line]:
    """A gradient of 36 qubits, depth 3, 1,024 shots, against Aer called by hand."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector
    from qiskit_aer import AerSimulator

    objective = BinaryNetwork((4, 6, 2)).objective(load("toy").train)
    generator = QuantumHyperNetwork(
        BITS, ansatz=Brickwork(3), start="uniform", backend="aer:matrix_product_state"
    )
    calls = _count_calls(generator)
    estimator, streams = ParameterShift(SHOTS), Streams(generator.seeds)
    theta = generator.theta.detach().numpy()[0]
    parameters = ParameterVector("theta", len(theta))
    by_hand = QuantumCircuit(BITS)
    for gate, angle in generator.circuit.numbered():
        arguments = () if angle is None else (parameters[angle],)
        getattr(by_hand, gate.name)(*arguments, *gate.qubits)
    by_hand.measure_all()
    simulator = AerSimulator(
        method="matrix_product_state", mps_sample_measure_algorithm="mps_probabilities"
    )
    half_turn = np.pi / 2 * np.eye(len(theta))
    rows = np.concatenate([theta + half_turn, theta - half_turn])
    binding = {parameter: rows[:, k].tolist() for k, parameter in enumerate(parameters)}

    def ours() -> None:
        generator.zero_grad()
        estimator(generator, objective, Expectation(), rng=streams(0))

    def reference() -> None:
        simulator.run(
            by_hand, shots=SHOTS, parameter_binds=[binding], memory=True, seed_simulator=1
        ).result()

    shift, hand = paired_seconds(ours, reference, 3)
    yield Line(
        "parameter-shift-vs-aer", shift / hand, "x", at_most=1.3,
        detail=f"ours with losses and gradient {shift:.1f} s, Aer by hand {hand:.1f} s",
    )  # fmt: skip
    yield Line("backend-calls-a-gradient", calls[0] / 4, "", at_most=1)


def _count_calls(generator: QuantumHyperNetwork) -> list[int]:
    calls, at = [0], generator.executable.at

    def counted(angles):
        calls[0] += 1  # every one of them is sampled, once
        return at(angles)

    generator.executable.at = counted
    return calls
