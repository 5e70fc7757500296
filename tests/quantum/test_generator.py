"""QuantumHyperNetwork: weight order whatever the qubits' order, angles from parameters, scores."""

import copy
import pickle
import re

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from classical.bernoulli import Bernoulli
from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import HasAngles, HyperNetwork, build_generator
from qhyper.quantum.ansatz import Brickwork, HardwareEfficient, Mirrored, Product
from qhyper.quantum.backend import BackendCapabilities
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.generator import QuantumHyperNetwork, depth2, depth4, product, quantum
from qhyper.quantum.simulators.mps import MatrixProductBackend
from qhyper.streams import Streams
from qhyper.targets.layered.space import WeightSpace
from qhyper.training.settings import TrainingSettings
from qhyper.training.trainer import train

SPACE = WeightSpace((2, 2, 2))
N = SPACE.n_bits
# Entry q is the bit of qubit q, written by hand: W1 = [[0, 1], [2, 3]], W2 = [[4, 5], [6, 7]].
ORDERS = {
    "row": [0, 1, 2, 3, 4, 5, 6, 7],
    "unit": [0, 2, 4, 5, 1, 3, 6, 7],
    "split": [0, 1, 2, 3, 4, 6, 5, 7],
}
PERMUTATION = [5, 0, 7, 2, 1, 6, 4, 3]


def set_angles(generator, seed=0):
    rng = np.random.default_rng(seed)
    angles = rng.uniform(-np.pi, np.pi, (generator.replicas, generator.circuit.n_angles))
    generator.theta.data = torch.from_numpy(angles)
    return generator


def batch(replicas, shots, seed=0):
    rng = np.random.default_rng(seed)
    bits = rng.integers(2, size=(replicas, 1, shots, N), dtype=np.uint8)
    return bits, rng.normal(size=(replicas, 1, shots))


# -- oracle ---------------------------------------------------------------------------------------


def matrix(name, angle):
    """exp(-i angle P / 2) = cos(angle / 2) - i sin(angle / 2) P."""
    pauli = {"rx": [[0, 1], [1, 0]], "ry": [[0, -1j], [1j, 0]], "rz": [[1, 0], [0, -1]]}[name]
    return np.cos(angle / 2) * np.eye(2) - 1j * np.sin(angle / 2) * np.array(pauli)


def state_vector_probabilities(circuit, angles):
    """p of every string, qubit 0 changing fastest: gates on a vector of 2^n amplitudes."""
    number = np.arange(2**circuit.n_qubits)
    psi, angle = (number == 0).astype(complex), iter(angles)
    for gate in circuit.gates:
        if gate.name == "cx":
            control, target = gate.qubits
            psi = np.where(number >> control & 1, psi[number ^ (1 << target)], psi)
        elif gate.name == "cz":
            one, other = gate.qubits
            psi = np.where(number >> one & number >> other & 1, -psi, psi)
        else:
            (qubit,) = gate.qubits
            u, bit, mask = matrix(gate.name, next(angle)), number >> qubit & 1, 1 << qubit
            psi = u[bit, 0] * psi[number & ~mask] + u[bit, 1] * psi[number | mask]
    assert next(angle, None) is None
    return abs(psi) ** 2


def by_weight(table, order):
    """A table over strings of qubits as one over weight strings: bit order[q] is qubit q."""
    strings = all_bitstrings(len(order))
    return table[strings[:, order] @ (1 << np.arange(len(order)))]


# -- the order of the qubits ----------------------------------------------------------------------


@pytest.mark.parametrize("order", [*ORDERS, PERMUTATION, np.array(PERMUTATION)], ids=str)
def test_an_order_only_relabels_the_bits(order):
    permutation = ORDERS[order] if isinstance(order, str) else order
    ansatz = Brickwork(3)
    plain = set_angles(QuantumHyperNetwork(N, ansatz=ansatz, seeds=(0, 1)))
    other = set_angles(
        QuantumHyperNetwork(N, ansatz=ansatz, order=order, layout=SPACE.layout, seeds=(0, 1))
    )
    bits = all_bitstrings(N)[None, None]
    torch.testing.assert_close(
        other.log_prob(bits), plain.log_prob(bits[..., permutation]), rtol=0, atol=0
    )
    rngs = Streams((0, 1))(0), Streams((0, 1))(0)
    drawn = [g.sample(50, rng=r).bits for g, r in zip((plain, other), rngs, strict=True)]
    np.testing.assert_array_equal(drawn[1][..., permutation], drawn[0])

    bits, coefficients = batch(2, 30)
    other.accumulate_scores(bits, coefficients)
    plain.accumulate_scores(np.ascontiguousarray(bits[..., permutation]), coefficients)
    torch.testing.assert_close(other.theta.grad, plain.theta.grad, rtol=0, atol=0)


@pytest.mark.parametrize("order", [*ORDERS, PERMUTATION], ids=str)
def test_draws_come_back_in_weight_order(order):
    # Ry(π) flips the qubits that carry the ones of an asymmetric pattern.
    pattern = np.array([1, 1, 0, 1, 0, 1, 0, 0], dtype=np.uint8)
    permutation = ORDERS[order] if isinstance(order, str) else order
    generator = QuantumHyperNetwork(N, ansatz=Product(), order=order, layout=SPACE.layout)
    with torch.no_grad():
        for qubit, bit in enumerate(permutation):
            generator.theta[0, qubit] = np.pi if pattern[bit] else 0.0
    bits = generator.sample(7, rng=Streams((0,))(0)).bits
    np.testing.assert_array_equal(bits, np.broadcast_to(pattern, (1, 1, 7, N)))
    assert generator.log_prob(pattern[None, None, None]).item() == pytest.approx(0, abs=1e-12)


def test_the_order_is_row_unless_told():
    np.testing.assert_array_equal(QuantumHyperNetwork(5, ansatz=Product()).order, range(5))


def test_a_circuit_of_ones_own_is_in_the_order_of_the_bits(monkeypatch):
    """Beside a target too: qubit q is bit q unless told, whatever suits an ansatz."""
    circuit = Product().build(N)
    monkeypatch.setattr("qhyper.quantum.generator.load_object", lambda name: circuit)
    for generator in (
        QuantumHyperNetwork(N, ansatz=circuit, layout=SPACE.layout),
        quantum(N, ansatz="mine:circuit", layout=SPACE.layout),
    ):
        assert generator.order.tolist() == ORDERS["row"]
    told = quantum(N, ansatz="mine:circuit", layout=SPACE.layout, order="split")
    assert told.order.tolist() == ORDERS["split"]
    assert quantum(N, layout=SPACE.layout).order.tolist() == ORDERS["split"]


@pytest.mark.parametrize("order", ["unit", "split"])
def test_a_named_order_needs_the_layout(order):
    with pytest.raises(
        ConfigurationError, match=f"order '{order}' depends on the target.* its `layout`"
    ):
        QuantumHyperNetwork(N, ansatz=Product(), order=order)


def test_an_unknown_order_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigurationError, match=r"'splits'\. Did you mean 'split'"):
        QuantumHyperNetwork(N, ansatz=Product(), order="splits", layout=SPACE.layout)


@pytest.mark.parametrize(
    "order",
    [[0, 1, 2], [*range(7), 6], [*range(1, 9)], [0, 0, 1, 2, 3, 4, 5, 6], np.arange(8.0), 3],
    ids=str,
)
def test_an_order_that_is_no_permutation_is_refused(order):
    with pytest.raises(ConfigurationError, match="expected a permutation of 0 to 7"):
        QuantumHyperNetwork(N, ansatz=Product(), order=order)


@pytest.mark.parametrize("order", ["row", "unit", "split"])
@pytest.mark.parametrize("n_bits", [6, 10])
def test_a_layout_of_another_size_is_refused(n_bits, order):
    message = f"Got n_bits={n_bits}, but the layout 0.weight 2×2, 1.weight 2×2 has 8 bits"
    with pytest.raises(ConfigurationError, match=message):
        QuantumHyperNetwork(n_bits, ansatz=Product(), order=order, layout=SPACE.layout)


# -- what does not fit together -------------------------------------------------------------------


@pytest.mark.parametrize("qubits", [7, 9])
def test_a_circuit_of_another_width_is_refused(qubits):
    message = f"Got a circuit of {qubits} qubits for 8 bits; expected one qubit a bit"
    with pytest.raises(ConfigurationError, match=message):
        QuantumHyperNetwork(N, ansatz=Brickwork(1).build(qubits))


@pytest.mark.parametrize(
    "gates",
    [
        (),
        (Gate("cx", (0, 1)),),
        (Gate("ry", (0,), Angle(offset=1.0)),),
        (Gate("ry", (0,), Angle({}, {0: 1.0})),),
    ],
    ids=["nothing", "cx", "fixed", "input"],
)
def test_a_circuit_without_a_parameter_is_refused(gates):
    with pytest.raises(ConfigurationError, match="no parameter to train: give some of its rotati"):
        QuantumHyperNetwork(2, ansatz=Circuit(2, gates))


def test_an_unknown_start_is_refused():
    with pytest.raises(ConfigurationError, match=r"'unifrom'\. Did you mean 'uniform'"):
        QuantumHyperNetwork(N, ansatz=Product(), start="unifrom")


@pytest.mark.parametrize(
    ("start", "shape"),
    [
        (np.zeros(7), "(7,)"),
        (np.zeros((1, 8)), "(1, 8)"),
        ([0.0] * 7 + [np.nan], "(8,)"),
        ([0.0] * 7 + [np.inf], "(8,)"),
        ([], "(0,)"),
    ],
    ids=["short", "two axes", "nan", "inf", "empty"],
)
def test_an_own_start_that_does_not_fit_is_refused(start, shape):
    message = f"Got a start of shape {shape}; expected 8 finite parameters, or one of near-product"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        QuantumHyperNetwork(N, ansatz=Product(), start=start)


def test_an_own_start_is_where_every_replica_begins():
    start = np.linspace(-4, 4, N)
    for given in (start, start.tolist()):
        generator = QuantumHyperNetwork(N, ansatz=Product(), start=given, seeds=(0, 1))
        np.testing.assert_array_equal(generator.theta.detach().numpy(), [start, start])
        generator.initialise(restart=3)
        np.testing.assert_array_equal(generator.theta.detach().numpy(), [start, start])
        assert "own start" in generator.describe()


def test_identity_blocks_are_refused_for_other_circuits():
    with pytest.raises(ConfigurationError, match="'identity-block' needs a circuit of blocks that"):
        QuantumHyperNetwork(N, ansatz=Brickwork(2), start="identity-block")


# -- log p and scores -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ansatz", [Brickwork(1), Brickwork(4), Brickwork(3, 1), Product()], ids=str
)
def test_accumulated_scores_equal_autograd_of_log_p(ansatz):
    generator = set_angles(
        QuantumHyperNetwork(N, ansatz=ansatz, order=PERMUTATION, seeds=(3, 4, 5))
    )
    bits, coefficients = batch(3, 90)
    generator.accumulate_scores(bits, coefficients)
    own = generator.theta.grad.clone()
    generator.zero_grad()
    HyperNetwork.accumulate_scores(generator, bits, coefficients)
    torch.testing.assert_close(own, generator.theta.grad, rtol=0, atol=1e-10)

    generator.zero_grad()
    log_p = generator.log_prob(bits)
    (log_p * torch.from_numpy(coefficients)).sum().backward()
    torch.testing.assert_close(own, generator.theta.grad, rtol=0, atol=1e-10)


def test_scores_accumulate():
    generator = set_angles(QuantumHyperNetwork(N, ansatz=Brickwork(2)))
    bits, coefficients = batch(1, 10)
    generator.accumulate_scores(bits, coefficients)
    once = generator.theta.grad.clone()
    generator.accumulate_scores(bits, coefficients)
    torch.testing.assert_close(generator.theta.grad, 2 * once)


def test_scores_of_bits_that_all_replicas_share():
    generator = set_angles(QuantumHyperNetwork(N, ansatz=Brickwork(2), seeds=(0, 1, 2)))
    bits, _ = batch(1, 9)
    _, coefficients = batch(3, 9)
    generator.accumulate_scores(bits, coefficients)
    shared = generator.theta.grad.clone()
    generator.zero_grad()
    generator.accumulate_scores(np.repeat(bits, 3, axis=0), coefficients)
    torch.testing.assert_close(shared, generator.theta.grad, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(2, 1, 4, N + 1), (2, 1, 4, N - 1)])
def test_scores_of_bits_of_another_width_are_refused(shape):
    generator = QuantumHyperNetwork(N, ansatz=Product(), seeds=(0, 1))
    bits = np.zeros(shape, np.uint8)
    with pytest.raises(ConfigurationError, match=f"Got bitstrings of {shape[-1]} bits, expected 8"):
        generator.accumulate_scores(bits, np.ones(shape[:-1]))


def test_scores_of_bits_of_another_shape_are_refused():
    generator = QuantumHyperNetwork(N, ansatz=Product(), seeds=(0, 1))
    with pytest.raises(ConfigurationError, match=r"expected \[replica, input, shot, bit\]"):
        generator.accumulate_scores(np.zeros((3, 1, 4, N), np.uint8), np.ones((3, 1, 4)))


@pytest.mark.parametrize("order", ["row", PERMUTATION], ids=str)
def test_a_product_circuit_is_a_bernoulli(order):
    circuit = set_angles(QuantumHyperNetwork(N, ansatz=Product(), order=order, seeds=(0, 1)))
    half = circuit.theta.detach() / 2
    bernoulli = Bernoulli(N, seeds=(0, 1))
    with torch.no_grad():
        bernoulli.logits[:, circuit.order] = 2 * (half.sin().abs().log() - half.cos().abs().log())
    bits = all_bitstrings(N)[None, None]
    torch.testing.assert_close(circuit.log_prob(bits), bernoulli.log_prob(bits), rtol=0, atol=1e-10)


def test_a_last_rz_changes_no_bit():
    generator = set_angles(QuantumHyperNetwork(N, ansatz=Brickwork(3)))
    generator.probabilities()[0, 0, :5].sum().backward()
    grad = generator.theta.grad[0]
    assert (grad[-N:].abs() < 1e-15).all()
    assert (grad[-2 * N : -N].abs() > 1e-9).any()


@pytest.mark.parametrize("shape", [(1, 1, 4), (2, 1, 3), (2, 2, 4), (2, 4), (4,)])
def test_coefficients_of_another_shape_are_refused(shape):
    generator = QuantumHyperNetwork(N, ansatz=Product(), seeds=(0, 1))
    message = f"Got coefficients of shape {shape}; expected one a draw, [replica, input, shot] = "
    with pytest.raises(ConfigurationError, match=re.escape(f"{message}[2, 1, 4]")):
        generator.accumulate_scores(np.zeros((2, 1, 4, N), np.uint8), np.ones(shape))


@pytest.mark.parametrize("order", ["row", PERMUTATION], ids=str)
def test_scores_of_draws_equal_autograd_row_by_row(order):
    generator = set_angles(
        QuantumHyperNetwork(N, ansatz=Brickwork(3), order=order, seeds=(0, 1, 2))
    )
    bits, _ = batch(3, 9)
    scores = generator.scores(bits)
    assert scores.shape == (3, 1, 9, generator.n_parameters)
    log_p = generator.log_prob(bits)
    for shot in range(9):
        (rows,) = torch.autograd.grad(log_p[:, 0, shot].sum(), generator.theta, retain_graph=True)
        np.testing.assert_allclose(scores[:, 0, shot], rows.numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(generator.scores(bits[:1])[0], scores[0])


# -- angles that depend on several parameters, and on inputs --------------------------------------

TIED = Circuit(
    3,
    (
        Gate("ry", (0,), 0),
        Gate("ry", (1,), Angle({0: -2.0, 1: 1.0}, offset=0.3)),
        Gate("rx", (2,), 1),
        Gate("cx", (0, 1)),
        Gate("cz", (1, 2)),
        Gate("rz", (1,), Angle({2: 0.5})),
        Gate("ry", (2,), Angle(offset=0.7)),
        Gate("cx", (2, 0)),
        Gate("rx", (1,), 2),
        Gate("ry", (0,), 0),
    ),
)


def tied_angles(theta):
    a, b, c = theta
    return [a, 0.3 - 2 * a + b, b, 0.5 * c, 0.7, c, a]


ENCODED = Circuit(
    3,
    (
        Gate("ry", (0,), 0),
        Gate("ry", (1,), Angle({0: -2.0}, {0: 1.0}, 0.3)),
        Gate("rx", (2,), Angle({}, {1: 0.5}, -0.2)),
        Gate("cx", (0, 1)),
        Gate("cz", (1, 2)),
        Gate("rz", (1,), Angle({0: 0.5, 1: 1.0})),
        Gate("ry", (2,), Angle(offset=0.7)),
        Gate("cx", (2, 0)),
        Gate("rx", (1,), 1),
        Gate("ry", (0,), Angle({2: 1.5}, {0: -1.0, 1: 0.25})),
    ),
)


def encoded_angles(theta, x):
    a, b, c = theta
    return [
        a,
        0.3 - 2 * a + x[0],
        -0.2 + 0.5 * x[1],
        0.5 * a + b,
        0.7,
        b,
        1.5 * c - x[0] + 0.25 * x[1],
    ]


ORDER = [2, 0, 1]
INPUTS = np.random.default_rng(11).normal(size=(4, 2))
OWN_INPUTS = np.random.default_rng(12).normal(size=(2, 4, 2))
"""[replica, input, feature]"""


def encoded(**options):
    options = {"order": ORDER, "seeds": (0, 1), **options}
    return QuantumHyperNetwork(3, ansatz=ENCODED, **options)


def expected_probabilities(circuit, angles):
    """p [replica, input, string] in weight order, of angles [replica, input, angle]."""
    return np.array(
        [
            [by_weight(state_vector_probabilities(circuit, own), ORDER) for own in rows]
            for rows in angles
        ]
    )


AFFINE = pytest.mark.parametrize(
    ("circuit", "by_hand", "inputs"),
    [
        (TIED, lambda theta, _: tied_angles(theta), None),
        (ENCODED, encoded_angles, INPUTS),
        (ENCODED, encoded_angles, INPUTS[:1]),
        (ENCODED, encoded_angles, OWN_INPUTS),
    ],
    ids=["tied", "inputs", "one input", "inputs of each replica"],
)


def affine(circuit, by_hand, inputs):
    """Two replicas, their angles [replica, input, angle] by hand, and all strings for each."""
    generator = QuantumHyperNetwork(3, ansatz=circuit, order=ORDER, seeds=(0, 1))
    shared = np.zeros((1, 0)) if inputs is None else inputs
    each = np.broadcast_to(shared, (2, *shared.shape[-2:]))
    theta = generator.theta.tolist()
    angles = np.array([[by_hand(theta[r], x) for x in each[r]] for r in range(2)])
    bits = np.broadcast_to(all_bitstrings(3), (*angles.shape[:2], 8, 3))
    return generator, angles, np.ascontiguousarray(bits)


@AFFINE
def test_angles_are_affine(circuit, by_hand, inputs):
    generator, expected, _ = affine(circuit, by_hand, inputs)
    assert isinstance(generator, HasAngles)
    angles = generator.angles(inputs=inputs).detach().numpy()
    np.testing.assert_allclose(angles, expected, rtol=0, atol=1e-14)


@AFFINE
def test_log_prob_agrees_with_the_state_vector(circuit, by_hand, inputs):
    generator, angles, bits = affine(circuit, by_hand, inputs)
    p = expected_probabilities(circuit, angles)
    log_p = generator.log_prob(bits, inputs=inputs).detach().numpy()
    np.testing.assert_allclose(np.exp(log_p), p, rtol=0, atol=1e-12)
    table = generator.probabilities(inputs=inputs).detach().numpy()
    np.testing.assert_allclose(table, p, rtol=0, atol=1e-12)


@AFFINE
def test_gradients_agree_with_finite_differences(circuit, by_hand, inputs):
    # Central differences of step 1e-5: errors of about 1e-10 times a third derivative.
    generator, _, bits = affine(circuit, by_hand, inputs)
    weights = torch.from_numpy(np.random.default_rng(1).random(bits.shape[:3]))
    weights *= generator.probabilities(inputs=inputs).detach()  # little for the all but impossible
    (weights * generator.log_prob(bits, inputs=inputs)).sum().backward()
    for index in np.ndindex(*generator.theta.shape):
        values = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                generator.theta[index] += step
                values.append((weights * generator.log_prob(bits, inputs=inputs)).sum().item())
                generator.theta[index] -= step
        slope = (values[0] - values[1]) / 2e-5
        assert generator.theta.grad[index].item() == pytest.approx(slope, rel=1e-6, abs=1e-7)


@AFFINE
def test_scores_by_parameter_equal_autograd_row_by_row(circuit, by_hand, inputs):
    generator, _, bits = affine(circuit, by_hand, inputs)
    scores = generator.scores(bits, inputs=inputs)
    assert scores.shape == (*bits.shape[:3], 3)
    log_p = generator.log_prob(bits, inputs=inputs)
    for index in np.ndindex(*bits.shape[:3]):
        (row,) = torch.autograd.grad(log_p[index], generator.theta, retain_graph=True)
        np.testing.assert_allclose(scores[index], row[index[0]], rtol=1e-9, atol=1e-9)
        assert (row[1 - index[0]] == 0).all()


@AFFINE
def test_accumulated_scores_by_parameter_equal_autograd(circuit, by_hand, inputs):
    generator, _, bits = affine(circuit, by_hand, inputs)
    coefficients = np.random.default_rng(2).normal(size=bits.shape[:3])
    generator.accumulate_scores(bits, coefficients, inputs=inputs)
    own = generator.theta.grad.clone()
    generator.zero_grad()
    log_p = generator.log_prob(bits, inputs=inputs)
    (log_p * torch.from_numpy(coefficients)).sum().backward()
    torch.testing.assert_close(own, generator.theta.grad, rtol=1e-9, atol=1e-9)


@AFFINE
def test_draws_follow_the_probabilities(circuit, by_hand, inputs):
    # Chi-squared of 5,000 draws for each replica and input with the stream of step 4 of seeds
    # 0 and 1; p > 1e-6, so chance fails one of at most 8 once in 100,000.
    generator, angles, _ = affine(circuit, by_hand, inputs)
    bits = generator.sample(5000, rng=Streams((0, 1))(4), inputs=inputs).bits
    assert bits.shape == (*angles.shape[:2], 5000, 3)
    assert_follows(bits, expected_probabilities(circuit, angles))


@AFFINE
def test_the_trained_angles_are_those_that_a_parameter_moves(circuit, by_hand, inputs):
    generator, angles, _ = affine(circuit, by_hand, inputs)
    moved = np.zeros(7, bool)
    for parameter in range(3):
        with torch.no_grad():
            generator.theta[:, parameter] += 1
        moved |= abs(generator.angles(inputs=inputs).detach().numpy() - angles)[0, 0] > 1e-9
        with torch.no_grad():
            generator.theta[:, parameter] -= 1
    assert generator.trained_angles.tolist() == np.flatnonzero(moved).tolist()
    # Angle 4 is fixed in both circuits, angle 2 depends on an input alone where there are any.
    assert np.flatnonzero(~moved).tolist() == ([4] if inputs is None else [2, 4])


def assert_follows(bits, p):
    """Chi-squared of draws [replica, row, shot, bit] against p [replica, row, string]."""
    n = bits.shape[-1]
    for index in np.ndindex(*p.shape[:2]):
        counts = np.bincount(bits[index] @ (1 << np.arange(n)), minlength=2**n)
        expected = p[index] * bits.shape[2]
        common = expected >= 5
        counts = np.append(counts[common], counts[~common].sum())
        expected = np.append(expected[common], expected[~common].sum())
        some = expected > 0
        assert (counts[~some] == 0).all()
        assert chisquare(counts[some], expected[some]).pvalue > 1e-6


def test_an_own_circuit_starts_uniform_and_says_what_it_is():
    generator = encoded()
    assert generator.start == "uniform"
    assert generator.n_inputs == 2
    assert generator.n_parameters == 3
    assert generator.describe() == (
        "own circuit: 3 qubits, 7 angles, 3 two-qubit gates, uniform start"
    )


def test_inputs_that_are_missing_are_refused():
    generator = encoded()
    bits = np.zeros((2, 1, 5, 3), np.uint8)
    message = "own circuit.*depends on inputs of 2 features; got none"
    for refused in (
        lambda: generator.sample(5, rng=Streams((0, 1))(0)),
        lambda: generator.log_prob(bits),
        lambda: generator.scores(bits),
        lambda: generator.accumulate_scores(bits, np.ones((2, 1, 5))),
        lambda: generator.angles(),
        lambda: generator.probabilities(),
    ):
        with pytest.raises(ConfigurationError, match=message):
            refused()


def test_inputs_to_an_unconditional_generator_are_refused():
    generator = QuantumHyperNetwork(3, ansatz=TIED)
    with pytest.raises(ConfigurationError, match=r"own circuit.* is unconditional: it takes no"):
        generator.sample(5, rng=Streams((0,))(0), inputs=INPUTS)
    with pytest.raises(ConfigurationError, match="is unconditional: it takes no inputs"):
        generator.angles(inputs=INPUTS)


@pytest.mark.parametrize("shape", [(4, 3), (4, 1), (2,), (3, 4, 2), (1, 4, 2), (2, 4, 3)])
def test_inputs_of_another_shape_are_refused(shape):
    expected = "; expected [input, 2], or [replica, input, feature] = [2, inputs, 2]."
    message = rf"Got inputs of shape \(.*{re.escape(str(shape)[1:] + expected)}"
    with pytest.raises(ConfigurationError, match=message):
        encoded().sample(5, rng=Streams((0, 1))(0), inputs=np.zeros(shape))


def test_inputs_that_are_no_numbers_are_refused():
    with pytest.raises(ConfigurationError, match="must be finite numbers; got NaN or infinity"):
        encoded().angles(inputs=np.full((4, 2), np.nan))


def test_bits_need_one_entry_for_each_input():
    with pytest.raises(ConfigurationError, match=r"shape \(2, 1, 5, 3\); expected .* 4 input"):
        encoded().log_prob(np.zeros((2, 1, 5, 3), np.uint8), inputs=INPUTS)


# -- draws at given angles ------------------------------------------------------------------------


@pytest.mark.parametrize("order", [ORDER, None], ids=["permuted", "row"])
def test_given_angles_draw_as_sample_does(order):
    generator = encoded(order=order)
    for inputs in (INPUTS[:1], INPUTS, OWN_INPUTS):
        angles = generator.angles(inputs=inputs).detach().numpy()
        bits = generator.sample_angles(angles, 60, rng=Streams((0, 1))(3))
        drawn = generator.sample(60, rng=Streams((0, 1))(3), inputs=inputs).bits
        np.testing.assert_array_equal(bits, drawn)


def test_a_row_alone_draws_the_same_bits():
    generator = set_angles(QuantumHyperNetwork(N, ansatz=Brickwork(3), seeds=(0, 1)))
    angles = generator.angles().detach().numpy()
    drawn = generator.sample(70, rng=Streams((0, 1))(3)).bits
    np.testing.assert_array_equal(
        generator.sample_angles(angles, 70, rng=Streams((0, 1))(3)), drawn
    )
    # The first of several rows comes first out of a replica's stream.
    rows = np.concatenate([angles, angles + 0.1, angles], axis=1)
    together = generator.sample_angles(rows, 70, rng=Streams((0, 1))(3))
    np.testing.assert_array_equal(together[:, :1], drawn)
    assert (together[:, 2:] != drawn).any()


@pytest.mark.parametrize("ansatz", [Brickwork(3), HardwareEfficient(2, "ring")], ids=str)
def test_rows_of_angles_are_each_a_circuit_of_its_own(ansatz):
    # Seed 6, 10,000 draws a row of 2 replicas and 5 rows, and the same rows one by one; chi-squared
    # p > 1e-6 of each of these 20, so chance fails once in 50,000.
    generator = QuantumHyperNetwork(3, ansatz=ansatz, order=ORDER, seeds=(0, 1))
    shape = (2, 5, generator.circuit.n_angles)
    angles = np.random.default_rng(6).uniform(-np.pi, np.pi, shape)
    p = expected_probabilities(generator.circuit, angles)
    together = generator.sample_angles(angles, 10_000, rng=Streams((0, 1))(6))
    assert together.shape == (2, 5, 10_000, 3)
    assert together.dtype == np.uint8
    assert_follows(together, p)
    one_by_one = [
        generator.sample_angles(angles[:, row : row + 1], 10_000, rng=Streams((0, 1))(7 + row))
        for row in range(5)
    ]
    assert_follows(np.concatenate(one_by_one, axis=1), p)


@pytest.mark.parametrize("shape", [(2, 1, 5), (2, 1, 7), (1, 1, 6), (3, 2, 6), (2, 6), (6,)])
def test_angles_of_another_shape_are_refused(shape):
    generator = QuantumHyperNetwork(3, ansatz=HardwareEfficient(1), seeds=(0, 1))
    message = f"Got angles of shape {shape}; expected finite numbers [replica, row, angle] = "
    with pytest.raises(ConfigurationError, match=re.escape(f"{message}[2, rows, 6]")):
        generator.sample_angles(np.zeros(shape), 4, rng=Streams((0, 1))(0))


def test_angles_that_are_no_numbers_are_refused():
    generator = QuantumHyperNetwork(3, ansatz=Product())
    angles = np.array([[[0.0, np.nan, 0.0]]])
    with pytest.raises(ConfigurationError, match="expected finite numbers"):
        generator.sample_angles(angles, 4, rng=Streams((0,))(0))


def test_draws_at_angles_need_shots_and_one_stream_a_replica():
    generator = QuantumHyperNetwork(3, ansatz=Product(), seeds=(0, 1))
    angles = np.zeros((2, 1, 3))
    with pytest.raises(ConfigurationError, match="shots must be at least 1; got 0"):
        generator.sample_angles(angles, 0, rng=Streams((0, 1))(0))
    with pytest.raises(ConfigurationError, match="Got 1 random generators for 2 replicas"):
        generator.sample_angles(angles, 4, rng=Streams((0,))(0))


# -- backends -------------------------------------------------------------------------------------


class Dense:
    """A backend that gives tables from the state vector of this file, in qubit order."""

    capabilities = BackendCapabilities(probability_bits=6, expectation=True)

    def __str__(self):
        return "dense"

    def compile(self, circuit, *, rows=1):
        self.circuit, self.rows = circuit, rows
        return self

    def at(self, angles):
        return DenseAt(self.circuit, angles)


class DenseAt:
    def __init__(self, circuit, angles):
        self.circuit, self.angles = circuit, angles

    def probabilities(self):
        return self.table(self.angles)

    def table(self, angles):
        return np.array(
            [[state_vector_probabilities(self.circuit, own) for own in rows] for rows in angles]
        )

    def expectation(self, costs):
        """Derivatives by the two-term shift rule."""
        angles = self.angles
        assert costs.shape == (*angles.shape[:2], 2**self.circuit.n_qubits)
        derivatives = np.empty_like(angles)
        for index in range(angles.shape[-1]):
            shift = np.zeros(angles.shape[-1])
            shift[index] = np.pi / 2
            above, below = self.table(angles + shift), self.table(angles - shift)
            derivatives[..., index] = ((above - below) * costs).sum(-1) / 2
        return (self.probabilities() * costs).sum(-1), derivatives


class Sampler:
    """A backend that can only sample: every qubit is a fair coin."""

    capabilities = BackendCapabilities()

    def __str__(self):
        return "sampler"

    def compile(self, circuit, *, rows=1):
        self.circuit = circuit
        return self

    def at(self, angles):
        self.rows = angles.shape[1]
        return self

    def sample(self, shots, rng):
        shape = (self.rows, shots, self.circuit.n_qubits)
        return np.stack([stream.integers(2, size=shape, dtype=np.uint8) for stream in rng])


def both(ansatz, order, **options):
    """The same generator on the matrix product and on tables of its probabilities."""
    n = len(order)
    options = {"order": order, "seeds": (0, 1), "start": "uniform", **options}
    product, tables = (
        QuantumHyperNetwork(n, ansatz=ansatz, backend=backend, **options)
        for backend in (MatrixProductBackend(), Dense())
    )
    torch.testing.assert_close(tables.theta, product.theta, rtol=0, atol=0)
    return product, tables


TABLES = pytest.mark.parametrize(
    ("ansatz", "order", "inputs"),
    [
        (Brickwork(3), [2, 0, 1], None),
        (Brickwork(3), [0, 1, 2], None),
        (HardwareEfficient(1, "ring", rotations=("ry", "rx")), [3, 0, 4, 1, 2], None),
        (Mirrored(Product()), [1, 2, 3, 0], None),
        (TIED, ORDER, None),
        (ENCODED, ORDER, INPUTS),
        (ENCODED, ORDER, OWN_INPUTS),
    ],
    ids=["brickwork", "row", "ring", "mirrored", "tied", "inputs", "inputs of each replica"],
)


@TABLES
def test_tables_of_a_backend_come_back_in_weight_order(ansatz, order, inputs):
    product, tables = both(ansatz, order)
    p = tables.probabilities(inputs=inputs)
    every = np.broadcast_to(
        all_bitstrings(len(order)), (2, p.shape[1], 2 ** len(order), len(order))
    )
    log_p = product.log_prob(every, inputs=inputs)
    torch.testing.assert_close(p, log_p.exp(), rtol=0, atol=1e-12)
    costs = torch.from_numpy(np.random.default_rng(3).normal(size=p.shape))
    for generator in (product, tables):
        (generator.probabilities(inputs=inputs) * costs).sum().backward()
    torch.testing.assert_close(tables.theta.grad, product.theta.grad, rtol=0, atol=1e-10)


@TABLES
def test_expectations_are_of_costs_in_weight_order(ansatz, order, inputs):
    product, tables = both(ansatz, order)
    p = product.probabilities(inputs=inputs)
    costs = torch.from_numpy(np.random.default_rng(4).normal(size=p.shape))
    weights = torch.arange(1.0, 1 + p[..., 0].numel(), dtype=torch.float64).reshape(p.shape[:2])
    expected = (p * costs).sum(-1)
    (weights * expected).sum().backward()
    value = tables.expectation(costs, inputs=inputs)
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-12)
    (weights * value).sum().backward()
    torch.testing.assert_close(tables.theta.grad, product.theta.grad, rtol=0, atol=1e-10)
    torch.testing.assert_close(product.expectation(costs, inputs=inputs), expected)
    # Costs that all replicas and inputs share, on either backend.
    shared = (p * costs[:1, :1]).sum(-1)
    for generator in (product, tables):
        torch.testing.assert_close(
            generator.expectation(costs[:1, :1], inputs=inputs), shared, rtol=0, atol=1e-12
        )


def test_tables_by_hand():
    # Ry(π) on qubit 0, which carries bit 2: the string number 4 is sure.
    generator = QuantumHyperNetwork(
        3, ansatz=Product(), order=[2, 0, 1], start=[np.pi, 0, 0], backend=Dense()
    )
    expected = [0, 0, 0, 0, 1, 0, 0, 0]
    p = generator.probabilities().detach().numpy()
    np.testing.assert_allclose(p, [[expected]], rtol=0, atol=1e-12)
    costs = torch.arange(8, dtype=torch.float64).expand(1, 1, 8)
    assert generator.expectation(costs).item() == pytest.approx(4)
    # A small turn of qubit 1, which carries bit 0, leads to 5, and of qubit 2 (bit 1) to 6.
    turned = QuantumHyperNetwork(
        3, ansatz=Product(), order=[2, 0, 1], start=[np.pi, 0.2, 0.4], backend=Dense()
    )
    p = turned.probabilities().detach().numpy()[0, 0]
    one, other = np.sin(0.1) ** 2, np.sin(0.2) ** 2
    by_hand = [(1 - one) * (1 - other), one * (1 - other), (1 - one) * other, one * other]
    np.testing.assert_allclose(p, [0, 0, 0, 0, *by_hand], rtol=0, atol=1e-12)


def test_a_generator_can_what_its_backend_can():
    dense = QuantumHyperNetwork(6, ansatz=Product(), backend=Dense(), seeds=(0, 1, 2))
    assert dense.backend.rows == 3
    assert not dense.capabilities.log_prob
    assert dense.capabilities.angles
    assert dense.capabilities.quantum
    assert dense.capabilities.probability_bits == dense.max_probability_bits == 6
    assert dense.describe().endswith("near-product start, on dense")
    wide = QuantumHyperNetwork(7, ansatz=Product(), backend=Dense())
    with pytest.raises(ConfigurationError, match=r"All 2\^7 probabilities.*limit is 6 bits"):
        wide.probabilities()
    assert quantum(3, backend="mps").capabilities.log_prob


def test_a_backend_that_can_only_sample_has_no_log_prob_and_no_scores():
    generator = QuantumHyperNetwork(3, ansatz=Product(), backend=Sampler(), seeds=(0, 1))
    bits = generator.sample(9, rng=Streams((0, 1))(0)).bits
    assert bits.shape == (2, 1, 9, 3)
    assert generator.capabilities.angles
    for refused in (
        lambda: generator.log_prob(bits),
        lambda: generator.scores(bits),
        lambda: generator.accumulate_scores(bits, np.ones((2, 1, 9))),
    ):
        with pytest.raises(ConfigurationError, match=r"product circuit.*on sampler has no log p: "):
            refused()
    with pytest.raises(ConfigurationError, match=r"All 2\^3 probabilities.*limit is 0 bits"):
        generator.probabilities()


# -- the starts and the registered ones -----------------------------------------------------------


def test_starts_near_the_uniform_distribution():
    # Seeds 0 to 3: each of 4 sublayers tilts each of 8 bits by about N(0, 0.05²), so the likeliest
    # of all strings stands at about 8 · 0.05 · √4 · 0.8 = 0.64 above uniform; 3 is past 5 sigma.
    generator = QuantumHyperNetwork(N, ansatz=Brickwork(4), seeds=range(4))
    log_p = generator.probabilities().log().detach()
    assert (log_p + N * np.log(2)).abs().max() < 3


def test_the_uniform_start_is_another_one():
    near, uniform = (
        QuantumHyperNetwork(N, ansatz=Brickwork(2), start=start, seeds=(0, 1)).theta.detach()
        for start in ("near-product", "uniform")
    )
    assert near.abs().max() < 2
    assert uniform.abs().max() > 2


@pytest.mark.parametrize(
    ("factory", "ansatz"),
    [
        (quantum, Brickwork(4)),
        (depth2, Brickwork(2)),
        (depth4, Brickwork(4)),
        (product, Product()),
    ],
    ids=["brickwork", "depth2", "depth4", "product"],
)
def test_registered_ones_build_their_ansatz_in_their_order(factory, ansatz):
    generator = factory(N, seeds=(7, 8), layout=SPACE.layout)
    assert generator.ansatz == ansatz
    assert generator.seeds == (7, 8)
    assert generator.order.tolist() == ORDERS["split"]
    assert factory(N).order.tolist() == ORDERS["row"]
    assert factory(N, layout=SPACE.layout, order="unit").order.tolist() == ORDERS["unit"]
    assert factory(2, layout=WeightSpace((2, 1)).layout).order.tolist() == [0, 1]
    assert generator.recipe["draws"] >= 2
    assert generator.recipe["learning_rate"] > 0
    assert f"{N} qubits, {generator.circuit.n_angles} angles" in generator.describe()


def test_brickwork_takes_its_options():
    generator = quantum(N, depth=3, phase=1, start="uniform")
    assert generator.ansatz == Brickwork(3, 1)
    assert generator.start == "uniform"
    assert generator.capabilities.log_prob
    assert generator.capabilities.quantum
    assert generator.n_parameters == 2 * N * 3


# -- the state that is kept ------------------------------------------------------------------------


class Asked:
    """An executable that counts how often it is put at angles."""

    def __init__(self, own):
        self.own, self.times = own, 0

    def at(self, angles):
        self.times += 1
        return self.own.at(angles)


def answers(generator, inputs=None):
    """Draws, log p, scores and their sum, at the parameters as they are."""
    bits = generator.sample(70, rng=Streams(generator.seeds)(0), inputs=inputs).bits
    coefficients = np.random.default_rng(0).normal(size=bits.shape[:3])
    generator.zero_grad()
    generator.accumulate_scores(bits, coefficients, inputs=inputs)
    log_p = generator.log_prob(bits, inputs=inputs).detach().numpy()
    return bits, log_p, generator.scores(bits, inputs=inputs), generator.theta.grad.numpy()


def assert_fresh(generator, inputs=None):
    """A generator that has kept a state gives what a new one gives, to the last bit."""
    new = QuantumHyperNetwork(
        generator.n_bits,
        ansatz=generator.ansatz,
        order=generator.order,
        backend=str(generator.backend),
        seeds=generator.seeds,
    )
    with torch.no_grad():
        new.theta.copy_(generator.theta)
    for found, expected in zip(answers(generator, inputs), answers(new, inputs), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("backend", ["mps", "statevector"])
def test_the_questions_of_a_step_share_one_state(backend):
    generator = QuantumHyperNetwork(5, ansatz=Brickwork(2), backend=backend, seeds=(0, 1))
    generator._executable = asked = Asked(generator._executable)
    for step in range(3):
        answers(generator)
        generator.probabilities()
        assert asked.times == step + 1
        with torch.no_grad():
            generator.theta += 0.1


def in_place(generator):
    with torch.no_grad():
        generator.theta[0, 0] = 0.25
    return generator


def by_data(generator):
    generator.theta.data.add_(0.5)  # does not count as a change of the tensor's version
    return generator


def by_numpy(generator):
    generator.theta.detach().numpy()[...] *= -1
    return generator


def by_the_optimizer(generator):
    generator.theta.grad = torch.ones_like(generator.theta)
    torch.optim.SGD(generator.parameters(), lr=0.3).step()
    return generator


def by_load_state_dict(generator):
    generator.load_state_dict({"theta": generator.theta.detach() + 1})
    return generator


def by_initialise(generator):
    generator.initialise(1)
    return generator


def changed_copy(generator):
    return in_place(copy.deepcopy(generator))


@pytest.mark.parametrize("backend", ["mps", "statevector"])
@pytest.mark.parametrize(
    "change",
    [
        in_place,
        by_data,
        by_numpy,
        by_the_optimizer,
        by_load_state_dict,
        by_initialise,
        changed_copy,
        lambda generator: generator.replica(1),
        lambda generator: pickle.loads(pickle.dumps(generator)),
    ],
    ids=["in place", "data", "numpy", "optimizer", "load", "initialise", "copy", "one", "pickle"],
)
def test_a_kept_state_is_never_stale(backend, change):
    order = [3, 0, 4, 1, 2]
    generator = QuantumHyperNetwork(
        5, ansatz=Brickwork(2), order=order, backend=backend, seeds=(0, 1), start="uniform"
    )
    answers(generator)
    changed = change(generator)
    assert_fresh(changed)
    assert_fresh(generator)


def test_a_kept_state_is_of_its_inputs():
    generator = encoded()
    for inputs in (INPUTS, [list(x) for x in INPUTS[::-1]], INPUTS[:1], INPUTS):
        new = encoded()
        new.load_state_dict(generator.state_dict())
        for found, expected in zip(answers(generator, inputs), answers(new, inputs), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_a_backward_pass_is_of_the_angles_of_its_forward_pass():
    generator = QuantumHyperNetwork(5, ansatz=Brickwork(2), backend="mps", seeds=(0, 1))
    bits = np.random.default_rng(0).integers(2, size=(2, 1, 9, 5), dtype=np.uint8)
    generator.log_prob(bits).sum().backward()
    expected = generator.theta.grad.clone()
    generator.zero_grad()
    total = generator.log_prob(bits).sum()
    kept = generator.theta.detach().clone()
    generator.theta.data.add_(1)
    answers(generator)
    generator.zero_grad()
    total.backward()
    torch.testing.assert_close(generator.theta.grad, expected, rtol=0, atol=0)
    assert not torch.equal(generator.theta, kept)


def test_rows_for_parameter_shift_leave_the_kept_state_as_it_is():
    generator = QuantumHyperNetwork(5, ansatz=Brickwork(2), backend="mps", seeds=(0, 1))
    generator._executable = asked = Asked(generator._executable)
    answers(generator)
    rows = generator.angles().detach().numpy() + np.linspace(0, 1, 4)[:, None]
    generator.sample_angles(rows, 3, rng=Streams((0, 1))(1))
    answers(generator)
    assert asked.times == 2


# -- ablations -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"depth": 2},
        {"depth": 3, "n_inputs": 2},
        {"ansatz": "ring", "gate": "cz", "rotations": ["rx", "ry", "rz"], "depth": 2},
        {"ansatz": "mirrored", "depth": 2},
    ],
    ids=["brickwork", "reuploading", "ring", "mirrored"],
)
@pytest.mark.parametrize("backend", ["mps", "statevector"])
def test_without_entanglers_a_circuit_is_the_product_of_its_exact_marginals(options, backend):
    """Against the state vector of all strings; order `unit` is no identity."""
    layout = SPACE.layout
    made = [
        quantum(N, order="unit", layout=layout, seeds=(3, 4), backend=backend, **options, **more)
        for more in ({}, {"entangled": False})
    ]
    whole, bare = made
    assert bare.n_parameters == whole.n_parameters
    assert bare.n_inputs == whole.n_inputs
    assert not bare.circuit.entangled
    assert [g for g in whole.circuit.gates if g.angle is not None] == list(bare.circuit.gates)
    assert torch.equal(bare.theta, whole.theta)
    assert "without its entangling gates" in bare.describe()
    assert bare.capabilities.independent
    assert not whole.capabilities.independent
    rng = np.random.default_rng(0)
    bare.theta.data = torch.from_numpy(rng.uniform(-np.pi, np.pi, bare.theta.shape))
    inputs = rng.normal(size=(1, bare.n_inputs)) if bare.n_inputs else None
    marginals = bare.marginals(inputs=inputs)
    for replica, angles in enumerate(bare.angles(inputs=inputs)[:, 0].detach().numpy()):
        table = by_weight(state_vector_probabilities(bare.circuit, angles), bare.order)
        p = marginals[replica, 0].detach().numpy()
        product_of = np.where(all_bitstrings(N), p, 1 - p).prod(axis=1)
        np.testing.assert_allclose(product_of, table, atol=1e-12)


def test_exact_marginals_of_rotations_are_differentiable():
    generator = quantum(3, ansatz="ring", rotations=["rx", "ry", "rz"], depth=1, entangled=False)
    set_angles(generator)
    generator.marginals().sum().backward()
    found, generator.theta.grad = generator.theta.grad, None
    assert found is not None
    strings = torch.from_numpy(all_bitstrings(3).sum(axis=1).astype(float))
    generator.expectation(strings).sum().backward()  # of the number of ones, by the adjoint pass
    np.testing.assert_allclose(found, generator.theta.grad, atol=1e-12)


def test_an_own_circuit_without_its_entanglers(monkeypatch):
    circuit = Circuit(2, (Gate("ry", (0,), 0), Gate("cx", (0, 1)), Gate("rx", (1,), 0)))
    monkeypatch.setattr("qhyper.quantum.generator.load_object", lambda name: circuit)
    bare = quantum(2, ansatz="mine:circuit", entangled=False)
    assert bare.circuit.gates == (Gate("ry", (0,), 0), Gate("rx", (1,), 0))


def test_a_frozen_circuit_stays_at_its_start_and_its_embeddings_are_trained():
    options = {"generator": "quantum", "depth": 2, "chunk": 2, "frozen": True}
    generator = build_generator("chunked", N, seeds=(0, 1), options=options)
    assert generator.n_parameters == 4 * 2  # chunks, features
    assert "near-product start, frozen" in generator.describe()
    circuit = next(m for m in generator.modules() if isinstance(m, QuantumHyperNetwork))
    start = circuit.theta.clone()
    before = [p.clone() for p in generator.trained_parameters]
    train(generator, lambda bits: bits.mean(-1), TrainingSettings(evaluations=640, draws=32))
    assert torch.equal(circuit.theta, start)
    assert not torch.equal(generator.trained_parameters[0], before[0])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("quantum-depth2", {"frozen": True}, "without inputs nothing surrounds it that could be"),
        ("quantum-depth2", {"entangled": 0}, "entangled is true or false; got 0"),
        ("quantum-depth2", {"frozen": "yes"}, "frozen is true or false; got 'yes'"),
    ],
)
def test_ablations_that_mean_nothing_are_refused(name, options, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        build_generator(name, N, options=options)


def test_nothing_to_train_is_refused():
    options = {"depth": 2, "chunk": 2, "frozen": True, "embeddings": "random"}
    generator = build_generator("chunked", N, options=options)
    with pytest.raises(ConfigurationError, match="has nothing to train: all its parameters are"):
        train(generator, lambda bits: bits.mean(-1), TrainingSettings(evaluations=640))
