"""How much memory backends need, and which one suits a circuit."""

import math
import re

import numpy as np
import pytest

from qhyper.errors import ConfigurationError
from qhyper.quantum import backend
from qhyper.quantum.ansatz import Brickwork, HardwareEfficient, Product
from qhyper.quantum.backend import (
    GIB,
    BackendCapabilities,
    acts,
    check_memory,
    footprints,
    matrix_product_bonds,
    matrix_product_bytes,
    state_vector_bytes,
    suitable,
)
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.quantum.simulators.mps_kernels import site_tensors
from qhyper.quantum.simulators.mps_program import compile_circuit

ALL_TO_ALL_OF_12 = HardwareEfficient(2, "all-to-all").build(12)


@pytest.fixture
def has(monkeypatch):
    """Sets the bytes of memory that there seem to be."""
    return lambda size: monkeypatch.setattr(backend, "memory", lambda: size)


# -- memory ---------------------------------------------------------------------------------------


def test_a_state_vector_has_16_bytes_for_every_string():
    assert state_vector_bytes(0) == 16
    assert state_vector_bytes(10) == 16 * 1024
    assert state_vector_bytes(36, 3) == 3 * 2**40
    amplitudes = np.zeros((2,) * 12, complex)
    assert state_vector_bytes(12) == amplitudes.nbytes
    assert state_vector_bytes(2 * 6) == np.zeros((2**6, 2**6), complex).nbytes  # a density matrix


@pytest.mark.parametrize(
    ("name", "qubits", "touched", "does"),
    [
        ("cx", (0, 1), {0}, True),
        ("cx", (0, 1), {1}, False),
        ("cx", (0, 1), {0, 1}, True),
        ("cx", (0, 1), set(), False),
        ("cx", (1, 0), {1, 2}, True),
        ("cz", (0, 1), {0}, False),
        ("cz", (0, 1), {1}, False),
        ("cz", (0, 1), {0, 1, 5}, True),
        ("cz", (0, 1), set(), False),
    ],
)
def test_a_gate_acts_only_on_qubits_that_have_left_zero(name, qubits, touched, does):
    assert acts(name, qubits, touched) is does


def rx(*qubits, first=0):
    return [Gate("rx", (q,), first + k) for k, q in enumerate(qubits)]


@pytest.mark.parametrize(
    ("n", "gates", "bonds"),
    [
        (3, [], [0, 0, 0, 0]),
        (3, rx(0, 1, 2), [0, 0, 0, 0]),
        (2, [*rx(0), Gate("cx", (0, 1))], [0, 1, 0]),
        (2, [*rx(1), Gate("cx", (0, 1))], [0, 0, 0]),
        (2, [Gate("cx", (0, 1)), *rx(0)], [0, 0, 0]),
        (2, [*rx(0), Gate("cz", (0, 1))], [0, 0, 0]),
        (2, [*rx(0, 1), Gate("cz", (1, 0))], [0, 1, 0]),
        # a control over two others, either way round
        (4, [*rx(0), Gate("cx", (0, 3))], [0, 1, 1, 1, 0]),
        (4, [*rx(2), Gate("cx", (2, 0))], [0, 1, 1, 0, 0]),
        # CX takes its target out of |0>, so that the next one acts
        (3, [*rx(0), Gate("cx", (0, 1)), Gate("cx", (1, 2))], [0, 1, 1, 0]),
        (3, [*rx(0), Gate("cx", (1, 2)), Gate("cx", (0, 1))], [0, 1, 0, 0]),
        (3, [*rx(0), Gate("cz", (0, 1)), Gate("cx", (1, 2))], [0, 0, 0, 0]),
        (3, [*rx(0, 1), Gate("cx", (0, 1)), Gate("cx", (0, 1))], [0, 2, 0, 0]),
    ],
    ids=str,
)
def test_bonds_by_hand(n, gates, bonds):
    circuit = Circuit(n, tuple(gates))
    assert matrix_product_bonds(circuit) == bonds
    assert compile_circuit(circuit).bond.tolist() == [2**bond for bond in bonds]


def test_bonds_of_ansaetze_by_hand():
    assert matrix_product_bonds(Brickwork(4).build(6)) == [0, 1, 2, 1, 2, 1, 0]
    assert matrix_product_bonds(HardwareEfficient(3).build(4)) == [0, 3, 3, 3, 0]
    assert matrix_product_bonds(HardwareEfficient(2, "ring").build(4)) == [0, 4, 4, 4, 0]
    # Across bond k of n, k (n - k) pairs.
    assert matrix_product_bonds(HardwareEfficient(2, "all-to-all").build(5)) == [
        2 * k * (5 - k) for k in range(6)
    ]


def test_the_estimate_of_a_matrix_product_by_hand():
    # Bonds 1, 2, 1: tensors 6 (2 + 2) entries, matrices 2 (1 + 4 + 1) of them for each row, and
    # vectors of 64 draws in 2 · 64 (1 + 2 + 1).
    assert matrix_product_bytes([0, 1, 0]) == 16 * (24 + 12 + 512)
    assert matrix_product_bytes([0, 1, 0], rows=5) == 16 * (5 * (24 + 12) + 512)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    "circuit",
    [Product().build(9), Brickwork(8).build(12), HardwareEfficient(1, "all-to-all").build(5)],
    ids=["product", "brickwork", "all-to-all"],
)
def test_the_estimate_covers_what_is_allocated_and_not_much_more(circuit, rows):
    program = compile_circuit(circuit, rows=rows)
    tensors = site_tensors(program, np.zeros((rows, circuit.n_angles))).nbytes
    # tensors and their gradients for score, tensors and matrices for sample
    allocated = 2 * tensors + 16 * rows * 2 * int((program.bond[:-1] ** 2).sum())
    estimate = matrix_product_bytes(matrix_product_bonds(circuit), rows)
    vectors = 16 * 2 * 64 * int(program.bond.sum())
    assert allocated <= estimate <= 3 * allocated + vectors


def test_footprints_of_every_exact_simulator():
    circuit = Brickwork(4).build(6)
    assert footprints(circuit) == {
        "mps": matrix_product_bytes([0, 1, 2, 1, 2, 1, 0]),
        "statevector": 4 * 16 * 2**6,
        "pennylane:lightning.qubit": 10 * 16 * 2**6,
        "aer:statevector": 2 * 16 * 2**6,
    }


# -- what does not fit ----------------------------------------------------------------------------


def refusal(circuit, name, needed):
    with pytest.raises(ConfigurationError) as error:
        check_memory(circuit, name, needed)
    return str(error.value)


def test_what_fits_is_not_refused(has):
    has(1000)
    check_memory(ALL_TO_ALL_OF_12, "mps", 1000)
    check_memory(ALL_TO_ALL_OF_12, "mps", 0)


def test_a_refusal_names_the_backends_that_can(has):
    has(24 * GIB)
    product = footprints(ALL_TO_ALL_OF_12)["mps"]
    assert refusal(ALL_TO_ALL_OF_12, "mps", product) == (
        f"The backend mps would need about {product / GIB:.3g} GiB for this circuit of 12 qubits "
        "and 168 gates; this machine has 24 GiB. It fits on statevector, "
        "pennylane:lightning.qubit, aer:statevector."
    )
    # 2^12 · 16 bytes, 2 of them for Aer and 4 for Lightning.
    has(2 * 2**16)
    assert refusal(ALL_TO_ALL_OF_12, "mps", product).endswith("It fits on aer:statevector.")
    circuit = Brickwork(2).build(36)
    assert refusal(circuit, "aer:statevector", 2**41) == (
        "The backend aer:statevector would need about 2,048 GiB for this circuit of 36 qubits "
        "and 179 gates; this machine has 0.000122 GiB. It fits on mps."
    )


def test_a_refusal_says_if_no_backend_can(has):
    has(2**16)
    assert refusal(ALL_TO_ALL_OF_12, "aer:statevector", 2**17).endswith(
        "No simulator holds it here: use fewer entangling gates across each bond (a smaller "
        "depth), or fewer qubits."
    )


def test_a_refusal_says_if_one_replica_would_fit(has):
    circuit = Brickwork(4).build(12)
    one = matrix_product_bytes(matrix_product_bonds(circuit))
    has(2 * one)
    compile_circuit(circuit)
    with pytest.raises(ConfigurationError, match=r"GiB\. Use fewer replicas at a time\.$"):
        compile_circuit(circuit, rows=100)


def test_sizes_past_the_range_of_a_float_are_powers_of_two(has):
    has(GIB)
    assert "about 2^1970 GiB" in refusal(ALL_TO_ALL_OF_12, "mps", 2**2000)
    assert "about 1,000 GiB" in refusal(ALL_TO_ALL_OF_12, "mps", 1000 * GIB)
    assert f"about {2.0**869:.3g} GiB" in refusal(ALL_TO_ALL_OF_12, "mps", 2**899)


# -- the suitable one -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("circuit", "name"),
    [
        (Brickwork(4).build(36), "mps"),
        (Brickwork(2).build(1000), "mps"),
        (Product().build(5), "mps"),
        (HardwareEfficient(1, "all-to-all").build(4), "mps"),
        (ALL_TO_ALL_OF_12, "statevector"),
        (HardwareEfficient(20).build(20), "statevector"),
        (HardwareEfficient(8).build(28), "mps"),  # 230 MiB against 16 GiB
    ],
    ids=["brickwork", "1,000 qubits", "product", "small", "all-to-all", "deep", "wide"],
)
def test_the_backend_that_suits(has, circuit, name):
    has(24 * GIB)
    assert suitable(circuit) == name


def test_the_matrix_product_runs_what_no_state_vector_can_hold(has):
    # Bonds of 2^10 on 36 qubits: 35 tensors and as many matrices of 2^20 entries of 16 bytes,
    # (6 + 2) · 35 · 2^24 = 4.4 GiB at most; the state vector would need 4 TiB.
    circuit = HardwareEfficient(10).build(36)
    has(24 * GIB)
    assert suitable(circuit) == "mps"
    has(4 * GIB)
    with pytest.raises(ConfigurationError, match=r"mps would need about 4\.\d+ GiB"):
        suitable(circuit)


def test_no_backend_suits_what_does_not_fit(has):
    has(24 * GIB)
    message = (
        r"The backend mps would need about 2\^\d+ GiB for this circuit of 40 qubits and 2500 "
        r"gates; this machine has 24 GiB\. No simulator holds it here: use fewer entangling"
    )
    circuit = HardwareEfficient(3, "all-to-all").build(40)
    with pytest.raises(ConfigurationError, match=message):
        suitable(circuit)
    with pytest.raises(ConfigurationError, match=message):
        QuantumHyperNetwork(40, ansatz=circuit)
    # Across the middle, 3 · 20 · 20 pairs: two bonds about that of 2^1200 have 2^2399 entries.
    exponent = int(
        re.search(r"2\^(\d+) GiB", refusal(circuit, "mps", footprints(circuit)["mps"]))[1]
    )
    assert exponent == pytest.approx(2400 + math.log2(16) - 30, abs=4)


def test_a_generator_chooses_the_suitable_backend(has):
    has(24 * GIB)
    assert str(QuantumHyperNetwork(36, ansatz=Brickwork(4)).backend) == "mps"


def test_a_backend_can_nothing_besides_sampling_unless_it_says_so():
    assert BackendCapabilities() == BackendCapabilities(
        log_prob=False, probability_bits=0, expectation=False
    )
