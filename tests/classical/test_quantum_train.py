"""Quantum-Train: its circuit against Qiskit's, its mapping against a loop, and its ablations."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from classical.quantum_train import N_QUBITS, QuantumTrain, basis_probabilities, u3
from classical.supervised import accuracy, fit_classifier
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError

SOURCES = ["circuit", "frozen", "free"]


def angles(replicas, blocks, qubits, seed=0):
    drawn = np.random.default_rng(seed).uniform(-math.pi, math.pi, (replicas, blocks, 2, qubits, 3))
    return torch.from_numpy(drawn)


@pytest.fixture(scope="module")
def stripes():
    """Images of ten classes that a few steps tell apart: a bright row for each class, and noise."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 10
    x = rng.normal(-0.8, 0.1, (200, 28, 28))
    for shift in range(2):
        x[np.arange(200), 4 + 2 * y + shift] += 1.5
    return Samples(x.reshape(200, 784), y)


# -- the circuit ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("blocks", "qubits"), [(1, 2), (3, 2), (2, 3), (2, 5), (1, N_QUBITS)])
def test_probabilities_are_those_of_qiskits_circuit(blocks, qubits):
    qiskit = pytest.importorskip("qiskit")
    from qiskit.circuit.library import CU3Gate
    from qiskit.quantum_info import Statevector

    given = angles(2, blocks, qubits)
    found = basis_probabilities(given).numpy()
    for replica in range(2):
        circuit = qiskit.QuantumCircuit(qubits)
        for single, controlled in given[replica].tolist():
            for k in range(qubits):
                circuit.u(*single[k], k)
            for k in range(qubits):
                circuit.append(CU3Gate(*controlled[k]), [k, (k + 1) % qubits])
        # Qiskit's first qubit is the least significant bit
        expected = Statevector(circuit.reverse_bits()).probabilities()
        np.testing.assert_allclose(found[replica], expected, atol=1e-13)
        assert abs(found[replica].sum() - 1) < 1e-12


def test_u3_is_unitary_and_as_in_its_formula():
    given = angles(1, 1, 4)
    matrices = u3(given)
    identity = torch.eye(2, dtype=torch.complex128).expand_as(matrices)
    torch.testing.assert_close(matrices @ matrices.mH, identity)
    theta, phi, lam = given[0, 0, 1, 2].tolist()
    c, s = math.cos(theta / 2), math.sin(theta / 2)
    expected = [[c, -np.exp(1j * lam) * s], [np.exp(1j * phi) * s, np.exp(1j * (phi + lam)) * c]]
    np.testing.assert_allclose(matrices[0, 0, 1, 2].numpy(), expected, atol=1e-15)


def test_probabilities_have_the_gradient_of_finite_differences():
    given = angles(2, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(basis_probabilities, (given,), eps=1e-6, atol=1e-8)


@pytest.mark.parametrize("shape", [(2, 2, 3, 3), (1, 1, 1, 3, 3), (1, 1, 2, 1, 3), (1, 1, 2, 3, 2)])
def test_refuses_angles_of_another_shape(shape):
    with pytest.raises(ConfigurationError, match=r"expected \[replica, block, 2, qubit, 3\], of"):
        basis_probabilities(torch.zeros(shape))


# -- counts, sources and starts ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [("circuit", 16 * 13 * 6 + 249), ("frozen", 249), ("free", 2**13 + 249)],
)
def test_has_as_many_parameters_as_stated(source, expected):
    model = QuantumTrain(source, seeds=(0, 1))
    assert model.n_trained == expected
    assert sum(parameter.numel() for parameter in model.parameters()) == 2 * expected


def test_has_as_many_parameters_as_published():
    model = QuantumTrain()
    assert (N_QUBITS, model.n_trained, model.weights().shape) == (13, 1497, (1, 6690))


@pytest.mark.parametrize("source", SOURCES)
def test_probabilities_sum_to_one_and_each_seed_has_its_own(source):
    model = QuantumTrain(source, seeds=(3, 4), dtype=torch.float64)
    p = model.probabilities().detach()
    assert p.shape == (2, 2**13)
    assert float(p.min()) >= 0
    torch.testing.assert_close(p.sum(1), torch.ones(2, dtype=torch.float64))
    assert not torch.equal(*p)
    alone = QuantumTrain(source, seeds=(4,), dtype=torch.float64)
    torch.testing.assert_close(p[1], alone.probabilities().detach()[0], rtol=1e-10, atol=1e-15)


def test_frozen_starts_as_the_circuit_does():
    frozen, circuit = (QuantumTrain(source, seeds=(5,)) for source in ("frozen", "circuit"))
    assert torch.equal(frozen.probabilities(), circuit.probabilities())
    assert torch.equal(frozen.weights(), circuit.weights())


@pytest.mark.parametrize("source", SOURCES)
def test_probabilities_start_as_those_of_random_states(source):
    """2^13 p is nearly exponential: mean 1, and mean square 2 with error √(20 / 2^13) = 0.05.

    (The variance of the square of an exponential number is 24 - 4.) Seed 0, 5 sigma.
    """
    p = QuantumTrain(source, dtype=torch.float64).probabilities() * 2**13
    assert abs(float(p.detach().square().mean()) - 2) < 5 * math.sqrt(20 / 2**13)


# -- the mapping ---------------------------------------------------------------------------------


def test_weights_are_those_of_the_published_mapping():
    model = QuantumTrain("frozen", seeds=(0, 1), dtype=torch.float64)
    bits = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 13)[:6690]
    for replica in range(2):
        p = model.probabilities()[replica, :6690]
        feature = (0.8 * torch.tanh(0.1 * 2**12 * p)) ** 0.3
        h = torch.column_stack([bits, feature - feature.mean()])
        for matrix, bias in zip(model.matrices, model.biases, strict=True):
            h = h @ matrix[replica] + bias[replica]
        torch.testing.assert_close(model.weights()[replica], (h - h.mean())[:, 0])


def test_weights_are_affine_in_bits_and_feature():
    """So that no more than 14 numbers of a frozen circuit's 249 parameters count."""
    model = QuantumTrain("frozen", seeds=(0,), dtype=torch.float64)
    feature = (0.8 * torch.tanh(0.1 * 2**12 * model.probabilities()[0, :6690])) ** 0.3
    inputs = np.column_stack([model.get_buffer("bits"), feature, np.ones(6690)])
    weights = model.weights()[0].detach().numpy()
    fitted = inputs @ np.linalg.lstsq(inputs, weights)[0]
    np.testing.assert_allclose(fitted, weights, atol=1e-12)


@pytest.mark.parametrize("source", SOURCES)
def test_weights_have_the_gradient_of_finite_differences(source):
    """By all parameters, each in a random direction; that of the target is tested with it."""
    model = QuantumTrain(source, blocks=2, dtype=torch.float64)
    rng, step = np.random.default_rng(1), 1e-7  # f has a steep slope where p is small
    factors = torch.from_numpy(rng.normal(size=(1, 6690)))
    (model.weights() * factors).sum().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        direction = torch.from_numpy(rng.normal(size=tuple(parameter.shape)))

        def value(shift, parameter=parameter, direction=direction):
            with torch.no_grad():
                parameter += shift * direction
                found = float((model.weights() * factors).sum())
                parameter -= shift * direction
            return found

        expected = (value(step) - value(-step)) / (2 * step)
        found = float((parameter.grad * direction).sum())
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_an_impossible_bitstring_has_a_finite_gradient():
    model = QuantumTrain(blocks=1)
    with torch.no_grad():
        model.angles.zero_()  # the state stays |0...0>
    model.weights().square().sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


# -- training and shots --------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
def test_training_lowers_the_loss(source, stripes):
    model = QuantumTrain(source, blocks=2, seeds=(0, 1))
    x, y = torch.tensor(stripes.x, dtype=torch.float32), torch.tensor(stripes.y)

    def losses():
        with torch.no_grad():
            return torch.stack([cross_entropy(logits, y) for logits in model(x)])

    before = losses()
    start = model.probabilities().detach().clone()
    fit_classifier(model, stripes, epochs=3, batch=50, learning_rate=0.01)
    assert bool((losses() < before).all())
    assert torch.equal(model.probabilities().detach(), start) == (source == "frozen")


def test_the_generated_network_answers_as_its_generator(stripes):
    model = QuantumTrain(blocks=1, seeds=(0, 1))
    network = model.network()
    x = torch.tensor(stripes.x[:5], dtype=torch.float32)
    torch.testing.assert_close(network(x), model(x))
    np.testing.assert_array_equal(accuracy(network, stripes), accuracy(model, stripes))


def test_frequencies_are_counts_of_draws_and_the_same_for_the_same_step():
    model = QuantumTrain("frozen", seeds=(0, 1), dtype=torch.float64)
    found = model.frequencies(1000, step=3)
    counts = found * 1000
    torch.testing.assert_close(counts, counts.round())
    torch.testing.assert_close(counts.sum(1), torch.full((2,), 1000.0, dtype=torch.float64))
    assert torch.equal(found, model.frequencies(1000, step=3))
    assert not torch.equal(found, model.frequencies(1000, step=4))
    alone = QuantumTrain("frozen", seeds=(1,), dtype=torch.float64)
    assert torch.equal(found[1], alone.frequencies(1000, step=3)[0])


@pytest.mark.parametrize("shots", [10**3, 10**6])
def test_frequencies_scatter_about_the_probabilities_as_a_multinomial(shots):
    """Pearson's χ² of k = 2^13 equal probabilities: mean k - 1, variance 2 (k - 1)(1 - 1/shots).

    Seed 0, 5 sigma.
    """
    k = 2**13
    model = QuantumTrain("free", dtype=torch.float64)
    with torch.no_grad():
        model.logits.zero_()
    chi_squared = float(((model.frequencies(shots) - 1 / k) ** 2).sum()) * shots * k
    assert abs(chi_squared - (k - 1)) < 5 * math.sqrt(2 * (k - 1) * (1 - 1 / shots))


def test_weights_of_many_shots_come_near_the_exact_ones():
    """The error of f(p) falls with shots, as its square root where p is not small."""
    model = QuantumTrain("frozen", dtype=torch.float64)
    exact = model.weights()
    errors = [
        float((model.network(shots).own - exact).square().mean().sqrt().detach())
        for shots in (10**4, 10**6, 10**8)
    ]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


def test_with_shots_weights_are_those_of_new_draws_and_gradients_go_straight_through():
    exact, noisy = (QuantumTrain(blocks=2, shots=shots, dtype=torch.float64) for shots in (None, 5))
    factors = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 6690)))
    first, second = noisy.weights(), noisy.weights()
    assert not torch.equal(first, second)
    again = QuantumTrain(blocks=2, shots=5, dtype=torch.float64)
    assert torch.equal(first, again.weights())
    ours, theirs = (
        torch.autograd.grad((weights * factors).sum(), model.angles)[0]
        for weights, model in [(second, noisy), (exact.weights(), exact)]
    )
    torch.testing.assert_close(ours, theirs)


def test_a_network_of_exact_probabilities_is_no_draw():
    noisy, exact = QuantumTrain("frozen", shots=5), QuantumTrain("frozen")
    assert torch.equal(noisy.network().own, exact.network().own)
    assert torch.equal(noisy.network(100).own, exact.network(100).own)


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "quantum"}, "source of probabilities.*quantum"),
        ({"blocks": 0}, "Got blocks=0; expected a whole number of 1 or more, such as 16"),
        ({"blocks": 2.0}, "Got blocks=2.0; expected a whole number"),
        ({"shots": 0}, "Got shots=0; expected a whole number of 1 or more, such as 10_000"),
        ({"seeds": ()}, "at least one seed"),
        ({"dtype": torch.bfloat16}, "Got dtype=torch.bfloat16; expected torch.float32 or"),
    ],
)
def test_refuses_what_it_is_not(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        QuantumTrain(**arguments)


@pytest.mark.parametrize("shots", [0, -5, 1e4, True])
def test_refuses_a_number_of_shots_that_is_none(shots):
    with pytest.raises(ConfigurationError, match=rf"Got shots={shots}; expected a whole number"):
        QuantumTrain("frozen", blocks=1).network(shots)


def test_refuses_images_of_another_size():
    with pytest.raises(ConfigurationError, match=r"shape \(5, 4\); expected \[row, 784\]"):
        QuantumTrain("frozen", blocks=1)(torch.zeros(5, 4))
