"""The matrix product in torch against the compiled one, whose oracles are in test_mps.

Everything runs on the device cpu, by the same code that runs on a GPU; test_devices repeats it
there. Draws are equal bit for bit: a bit could differ only if its uniform number stood within
rounding of its probability, which does not happen with the seeds here.
"""

import numpy as np
import pytest
import torch

from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.machine import torch_device
from qhyper.quantum.ansatz import Brickwork, HardwareEfficient, Product
from qhyper.quantum.backends import build_backend
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.quantum.simulators import mps_program, mps_torch
from qhyper.quantum.simulators.mps import MatrixProduct, MatrixProductBackend
from qhyper.quantum.simulators.mps_torch import MatrixProductOn
from qhyper.streams import Streams

SEEDS = (3, 4)
ROWS, SHOTS = 3, 70

LONG_RANGE = Circuit(
    6,
    (
        *(Gate(name, (q,), 2 * q + k) for q in range(5) for k, name in enumerate(("ry", "rx"))),
        Gate("cx", (0, 5)),
        Gate("cz", (4, 1)),
        Gate("rz", (1,), Angle(offset=0.4)),
        Gate("ry", (1,), 10),
        Gate("cx", (3, 0)),
        Gate("rx", (5,), 11),
        Gate("cx", (5, 2)),
        Gate("ry", (2,), 12),
    ),
)
"""Gates that pass over other qubits, with the control above the target too."""

CIRCUITS = {
    **{f"brickwork {d}, phase {p}": Brickwork(d, p).build(7) for d in range(1, 5) for p in (0, 1)},
    "product": Product().build(5),
    "one qubit": Brickwork(3).build(1),
    "two qubits": Brickwork(4).build(2),
    "ring": HardwareEfficient(2, "ring", "cx", ("ry", "rx")).build(6),
    "ring of cz": HardwareEfficient(2, "ring", "cz", ("ry", "rz", "rx")).build(5),
    "all-to-all": HardwareEfficient(1, "all-to-all").build(5),
    "long range": LONG_RANGE,
    "36 qubits": Brickwork(4).build(36),
}


def both(circuit):
    """The circuit compiled twice, and random angles [replica, row, angle] for it."""
    rng = np.random.default_rng(circuit.n_angles)
    angles = rng.uniform(-np.pi, np.pi, (len(SEEDS), ROWS, circuit.n_angles))
    return MatrixProduct(circuit), MatrixProductOn(circuit, "cpu"), angles


def assert_agree(circuit, rng_seed=0):
    compiled, in_torch, angles = both(circuit)
    bits = compiled.at(angles).sample(SHOTS, Streams(SEEDS)(0))
    np.testing.assert_array_equal(in_torch.at(angles).sample(SHOTS, Streams(SEEDS)(0)), bits)

    log_p = in_torch.at(angles).log_prob(bits)
    assert log_p.dtype == np.float64
    np.testing.assert_allclose(log_p, compiled.at(angles).log_prob(bits), rtol=0, atol=1e-10)

    coefficients = np.random.default_rng(rng_seed).normal(size=bits.shape[:3])
    score = in_torch.at(angles).score(bits, coefficients)
    expected = compiled.at(angles).score(bits, coefficients)
    np.testing.assert_allclose(score, expected, rtol=0, atol=1e-8)
    scores = in_torch.at(angles).scores(bits)
    np.testing.assert_allclose(scores, compiled.at(angles).scores(bits), rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", CIRCUITS)
def test_draws_log_p_and_scores_are_those_of_the_compiled_one(name):
    assert_agree(CIRCUITS[name])


@pytest.mark.parametrize("seed", range(15))
def test_random_circuits_agree(seed):
    rng = np.random.default_rng(seed)
    n, angle, gates = int(rng.integers(1, 6)), 0, []
    for _ in range(rng.integers(1, 20)):
        if n > 1 and rng.random() < 0.3:
            control, target = rng.permutation(n)[:2].tolist()
            gates.append(Gate(("cx", "cz")[rng.integers(2)], (control, target)))
        else:
            gates.append(Gate(("rx", "ry", "rz")[rng.integers(3)], (int(rng.integers(n)),), angle))
            angle += 1
    assert_agree(Circuit(n, tuple(gates)))


@pytest.mark.parametrize("name", [name for name in CIRCUITS if name != "36 qubits"])
def test_probabilities_are_those_of_the_compiled_one(name):
    compiled, in_torch, angles = both(CIRCUITS[name])
    p = in_torch.at(angles).probabilities()
    assert p.shape == (len(SEEDS), ROWS, 2 ** CIRCUITS[name].n_qubits)
    np.testing.assert_allclose(p, compiled.at(angles).probabilities(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=0, atol=1e-12)


def test_scores_agree_with_central_differences():
    circuit = CIRCUITS["ring of cz"]
    _, in_torch, angles = both(circuit)
    bits = in_torch.at(angles).sample(5, Streams(SEEDS)(0))
    scores = in_torch.at(angles).scores(bits)
    step = 1e-6
    for k in range(circuit.n_angles):
        shift = step * np.eye(circuit.n_angles)[k]
        above, below = (in_torch.at(angles + s * shift).log_prob(bits) for s in (1, -1))
        np.testing.assert_allclose(scores[..., k], (above - below) / (2 * step), atol=1e-6)


def test_a_circuit_without_gates_is_all_zeros():
    in_torch = MatrixProductOn(Circuit(3, ()), "cpu")
    angles = np.zeros((2, 1, 0))
    bits = np.repeat(all_bitstrings(3)[None, None], 2, axis=0)
    assert not in_torch.at(angles).sample(9, Streams(SEEDS)(0)).any()
    expected = [[[0.0] + [-np.inf] * 7]] * 2
    np.testing.assert_array_equal(in_torch.at(angles).log_prob(bits), expected)
    assert in_torch.at(angles).score(bits, np.ones(bits.shape[:3])).shape == angles.shape
    assert in_torch.at(angles).scores(bits).shape == (2, 1, 8, 0)


# -- impossible strings ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["brickwork 4, phase 0", "product", "ring", "ring of cz"])
def test_impossible_strings_have_minus_infinity_and_score_zero(name):
    circuit = CIRCUITS[name]
    in_torch = MatrixProductOn(circuit, "cpu")
    angles = np.zeros((1, 1, circuit.n_angles))
    bits = all_bitstrings(circuit.n_qubits)[None, None]
    expected = [0.0] + [-np.inf] * (2**circuit.n_qubits - 1)
    np.testing.assert_allclose(
        in_torch.at(angles).log_prob(bits)[0, 0], expected, rtol=0, atol=1e-12
    )
    np.testing.assert_array_equal(in_torch.at(angles).scores(bits), 0)
    np.testing.assert_array_equal(
        in_torch.at(angles).score(bits, np.ones((1, 1, len(expected)))), 0
    )


def test_impossible_strings_beside_possible_ones_change_no_score():
    circuit = Brickwork(2).build(4)
    compiled, in_torch = MatrixProduct(circuit), MatrixProductOn(circuit, "cpu")
    angles = np.zeros((1, 1, circuit.n_angles))
    angles[..., -8:-4] = [0.0, 0.3, 0.0, -0.8]  # last Ry of qubits 1 and 3
    bits = all_bitstrings(4)[None, None]
    log_p = in_torch.at(angles).log_prob(bits)
    possible = np.isfinite(log_p)
    assert possible.sum() == 4
    np.testing.assert_array_equal(possible, np.isfinite(compiled.at(angles).log_prob(bits)))
    coefficients = np.random.default_rng(0).normal(size=possible.shape)
    score = in_torch.at(angles).score(bits, coefficients)
    expected = compiled.at(angles).score(bits, np.where(possible, coefficients, 0))
    np.testing.assert_allclose(score, expected, rtol=0, atol=1e-12)
    scores = in_torch.at(angles).scores(bits)
    assert not scores[~possible].any()
    np.testing.assert_allclose(scores, compiled.at(angles).scores(bits), rtol=0, atol=1e-12)


# -- rows and draws are independent ---------------------------------------------------------------


def results(executable, angles, seeds=SEEDS):
    bits = executable.at(angles).sample(SHOTS, Streams(seeds)(0))
    coefficients = np.cos(np.arange(SHOTS)) * np.ones((*angles.shape[:2], 1))
    return (
        bits,
        executable.at(angles).log_prob(bits),
        executable.at(angles).score(bits, coefficients),
        executable.at(angles).scores(bits),
    )


def assert_same(results, expected):
    np.testing.assert_array_equal(results[0], expected[0])
    for one, other in zip(results[1:], expected[1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-11)


def test_replicas_do_not_depend_on_one_another():
    _, in_torch, angles = both(CIRCUITS["ring"])
    together = results(in_torch, angles)
    for replica, seed in enumerate(SEEDS):
        own = slice(replica, replica + 1)
        alone = results(in_torch, angles[own], (seed,))
        assert_same(alone, [part[own] for part in together])


def test_results_do_not_depend_on_how_much_goes_together(monkeypatch):
    _, in_torch, angles = both(CIRCUITS["ring"])
    whole = results(in_torch, angles)
    sizes = []

    def counted(tensors, drawn):
        sizes.append(drawn.shape[2])
        return log_prob(tensors, drawn)

    log_prob = mps_torch._log_prob
    monkeypatch.setattr(mps_torch, "_log_prob", counted)
    monkeypatch.setattr(mps_torch, "_DRAWS_BYTES", 400_000)
    monkeypatch.setattr(mps_program, "ROWS_BYTES", 1)
    assert_same(results(in_torch, angles), whole)
    assert len(sizes) > 1
    assert sum(sizes) == SHOTS


@pytest.mark.parametrize(("kept", "builds"), [(2**26, 1), (0, 6)])
def test_the_tensors_are_built_once_if_they_may_be_kept(monkeypatch, kept, builds):
    _, in_torch, angles = both(CIRCUITS["ring"])
    expected = results(in_torch, angles)
    monkeypatch.setattr(mps_program, "KEPT_BYTES", kept)
    calls, build = [], in_torch.tensors
    monkeypatch.setattr(in_torch, "tensors", lambda angles: calls.append(1) or build(angles))
    at = in_torch.at(angles)
    coefficients = np.cos(np.arange(SHOTS)) * np.ones((*angles.shape[:2], 1))
    bits = at.sample(SHOTS, Streams(SEEDS)(0))
    found = (bits, at.log_prob(bits), at.score(bits, coefficients), at.scores(bits))
    assert_same(found, expected)
    np.testing.assert_array_equal(at.sample(SHOTS, Streams(SEEDS)(0)), bits)
    np.testing.assert_array_equal(at.score(bits, coefficients), found[2])  # the graph is kept too
    assert len(calls) == builds


def test_arrays_are_neither_changed_nor_kept():
    _, in_torch, angles = both(CIRCUITS["product"])
    bits = in_torch.at(angles).sample(SHOTS, Streams(SEEDS)(0))
    coefficients = np.ones(bits.shape[:3])
    for array in (angles, bits, coefficients):
        array.flags.writeable = False
    log_p = in_torch.at(angles).log_prob(bits)
    in_torch.at(angles).score(bits, coefficients)
    in_torch.at(angles).scores(bits)
    log_p += 1
    np.testing.assert_array_equal(in_torch.at(angles).log_prob(bits), log_p - 1)


# -- devices --------------------------------------------------------------------------------------


def test_every_tensor_is_made_on_the_device():
    # A tensor made without `device` would be on the default device, and could not be used here.
    circuit = CIRCUITS["long range"]
    _, in_torch, angles = both(circuit)
    expected = results(in_torch, angles)
    with torch.device("meta"):
        assert_same(results(MatrixProductOn(circuit, "cpu"), angles), expected)


def test_the_score_works_where_gradients_are_off():
    compiled, in_torch, angles = both(CIRCUITS["ring"])
    with torch.no_grad():
        assert_same(results(in_torch, angles), results(compiled, angles))


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta"])
def test_a_device_that_torch_cannot_compute_on_is_refused(name):
    message = rf"Got the device '{name}', .*Available: cpu.*Use one of these; cuda needs an NVIDIA"
    for call in (
        lambda: torch_device(name),
        lambda: build_backend("mps", {"device": name}).compile(CIRCUITS["product"]),
    ):
        with pytest.raises(ConfigurationError, match=message):
            call()


def test_cuda_without_a_gpu_is_refused(monkeypatch):
    def none(*_, **__):
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch, "zeros", none)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = r"'cuda', .* precision here: Torch not compiled with CUDA enabled\. Available: cpu\. "
    with pytest.raises(ConfigurationError, match=message):
        torch_device("cuda")


def test_a_circuit_that_does_not_fit_on_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**31))
    cuda = torch.device("cuda:0")
    mps_torch._check_memory(cuda, 2**31)
    message = "need about 2.5 GiB for this circuit; the device cuda:0 has 2 GiB. Use the device cpu"
    with pytest.raises(ConfigurationError, match=message):
        mps_torch._check_memory(cuda, 5 * 2**29)
    mps_torch._check_memory(torch.device("cpu"), 2**60)  # the host's memory was checked before


def test_a_circuit_that_does_not_fit_on_the_host_is_refused():
    with pytest.raises(ConfigurationError, match="The backend mps would need about"):
        MatrixProductOn(Brickwork(60).build(36), "cpu")


def test_the_backend_compiles_for_its_device():
    circuit = CIRCUITS["product"]
    assert type(MatrixProductBackend().compile(circuit)) is MatrixProduct
    elsewhere = build_backend("mps", {"device": "cpu:0"})
    assert str(elsewhere) == "mps"
    assert type(elsewhere.compile(circuit)) is MatrixProductOn


def test_a_generator_that_moves_compiles_its_matrix_product_anew(monkeypatch):
    # Nothing is computed on the device meta: it stands for a GPU, as parameters can move there.
    compiled = []

    def compile_for(backend, circuit, *, rows=1):
        compiled.append((backend.device, circuit.n_qubits, rows))
        return "executable"

    generator = QuantumHyperNetwork(5, ansatz=Product(), backend="mps", seeds=SEEDS)
    monkeypatch.setattr(MatrixProductBackend, "compile", compile_for)
    assert generator.to(torch.float64).to("cpu") is generator
    assert not compiled
    generator.to("meta")
    assert compiled == [("meta", 5, 2)]
    assert generator._executable == "executable"


def test_a_backend_of_the_cpu_alone_does_not_move():
    class Own(MatrixProductBackend):
        def __str__(self):
            return "own"

    generator = QuantumHyperNetwork(5, ansatz=Product(), backend=Own())
    with pytest.raises(ConfigurationError, match="The backend own runs on the cpu alone; got the"):
        generator.to("meta")
