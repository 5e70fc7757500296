"""QuantumHyperNetwork: draws in weight order whatever the qubits' order, and its scores."""

import numpy as np
import pytest
import torch

from classical.bernoulli import Bernoulli
from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import HasScores, HyperNetwork
from qhyper.quantum.ansatz import Brickwork, Product
from qhyper.quantum.generator import QuantumHyperNetwork, depth2, depth4, product, quantum
from qhyper.streams import Streams
from qhyper.target.space import WeightSpace

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


# -- the order of the qubits ----------------------------------------------------------------------


@pytest.mark.parametrize("order", [*ORDERS, PERMUTATION, np.array(PERMUTATION)], ids=str)
def test_an_order_only_relabels_the_bits(order):
    permutation = ORDERS[order] if isinstance(order, str) else order
    ansatz = Brickwork(3)
    plain = set_angles(QuantumHyperNetwork(N, ansatz=ansatz, seeds=(0, 1)))
    other = set_angles(
        QuantumHyperNetwork(N, ansatz=ansatz, order=order, space=SPACE, seeds=(0, 1))
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
    generator = QuantumHyperNetwork(N, ansatz=Product(), order=order, space=SPACE)
    with torch.no_grad():
        for qubit, bit in enumerate(permutation):
            generator.theta[0, qubit] = np.pi if pattern[bit] else 0.0
    bits = generator.sample(7, rng=Streams((0,))(0)).bits
    np.testing.assert_array_equal(bits, np.broadcast_to(pattern, (1, 1, 7, N)))
    assert generator.log_prob(pattern[None, None, None]).item() == pytest.approx(0, abs=1e-12)


def test_the_order_is_row_unless_told():
    np.testing.assert_array_equal(QuantumHyperNetwork(5, ansatz=Product()).order, range(5))


@pytest.mark.parametrize("order", ["unit", "split"])
def test_a_named_order_needs_the_space(order):
    with pytest.raises(ConfigurationError, match=f"order '{order}' depends on the target"):
        QuantumHyperNetwork(N, ansatz=Product(), order=order)


def test_an_unknown_order_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigurationError, match=r"'splits'\. Did you mean 'split'"):
        QuantumHyperNetwork(N, ansatz=Product(), order="splits", space=SPACE)


@pytest.mark.parametrize(
    "order", [[0, 1, 2], [*range(7), 6], [*range(1, 9)], [0, 0, 1, 2, 3, 4, 5, 6]]
)
def test_an_order_that_is_no_permutation_is_refused(order):
    with pytest.raises(ConfigurationError, match="expected a permutation of 0 to 7"):
        QuantumHyperNetwork(N, ansatz=Product(), order=order)


@pytest.mark.parametrize("order", ["row", "unit", "split"])
@pytest.mark.parametrize("n_bits", [6, 10])
def test_a_space_of_another_size_is_refused(n_bits, order):
    with pytest.raises(ConfigurationError, match=f"Got n_bits={n_bits}, but the WeightSpace"):
        QuantumHyperNetwork(n_bits, ansatz=Product(), order=order, space=SPACE)


def test_an_unknown_start_is_refused():
    with pytest.raises(ConfigurationError, match=r"'unifrom'\. Did you mean 'uniform'"):
        QuantumHyperNetwork(N, ansatz=Product(), start="unifrom")


# -- log p and scores -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ansatz", [Brickwork(1), Brickwork(4), Brickwork(3, 1), Product()], ids=str
)
def test_accumulated_scores_equal_autograd_of_log_p(ansatz):
    generator = set_angles(
        QuantumHyperNetwork(N, ansatz=ansatz, order=PERMUTATION, seeds=(3, 4, 5))
    )
    assert isinstance(generator, HasScores)
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
    generator = factory(N, seeds=(7, 8), space=SPACE)
    assert generator.ansatz == ansatz
    assert generator.seeds == (7, 8)
    assert generator.order.tolist() == ORDERS["split"]
    assert factory(N).order.tolist() == ORDERS["row"]
    assert factory(N, space=SPACE, order="unit").order.tolist() == ORDERS["unit"]
    assert factory(2, space=WeightSpace((2, 1))).order.tolist() == [0, 1]
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
