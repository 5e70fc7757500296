"""PennyLane devices against the matrix-product simulator, one another and the shift rule."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError, MissingError
from qhyper.quantum import backend as backends
from qhyper.quantum.ansatz import Brickwork, Product
from qhyper.quantum.backends import build_backend
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.quantum.simulators.pennylane_device import PennyLaneBackend
from qhyper.streams import Streams

EXACT = ["lightning.qubit", "default.qubit"]
SAMPLED = [*EXACT, "default.mixed", "reference.qubit"]

# Every kind of gate, far pairs in both directions, and qubits 0 and 3 idle.
MIXED = Circuit(
    6,
    (
        Gate("ry", (1,), 0),
        Gate("rx", (4,), 1),
        Gate("cx", (4, 1)),
        Gate("rz", (1,), 2),
        Gate("rx", (1,), 3),
        Gate("cz", (1, 5)),
        Gate("ry", (5,), 4),
        Gate("cx", (5, 2)),
        Gate("cz", (5, 4)),
        Gate("rx", (2,), 5),
    ),
)
CIRCUITS = {
    "brickwork": Brickwork(3).build(4),
    "mixed": MIXED,
    "product": Product().build(3),
    "one qubit": Circuit(1, (Gate("ry", (0,), 0), Gate("rx", (0,), 1))),
    "one angle": Circuit(2, (Gate("ry", (0,), 0), Gate("cx", (0, 1)))),
}
every_circuit = pytest.mark.parametrize("circuit", CIRCUITS.values(), ids=CIRCUITS)
every_exact = pytest.mark.parametrize("device", EXACT)


def compiled(device, circuit):
    return build_backend(f"pennylane:{device}").compile(circuit)


def oracle(circuit):
    return build_backend("mps").compile(circuit)


def random_angles(circuit, replicas=2, rows=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-np.pi, np.pi, (replicas, rows, circuit.n_angles))


def random_bits(angles, circuit, shots=7, seed=1):
    shape = (*angles.shape[:2], shots, circuit.n_qubits)
    return np.random.default_rng(seed).integers(2, size=shape, dtype=np.uint8)


def rngs(*seeds):
    return [np.random.default_rng(seed) for seed in seeds]


def shifted(angles, number, by):
    return angles + by * (np.arange(angles.shape[-1]) == number)


# -- exact: against the matrix product ------------------------------------------------------------


@every_exact
@every_circuit
def test_probabilities_equal_the_matrix_products(device, circuit):
    angles = random_angles(circuit)
    p = compiled(device, circuit).at(angles).probabilities()
    np.testing.assert_allclose(p, oracle(circuit).at(angles).probabilities(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=0, atol=1e-10)


@every_exact
@every_circuit
def test_log_p_and_scores_equal_the_matrix_products(device, circuit):
    angles = random_angles(circuit)
    bits = random_bits(angles, circuit)
    bits[..., 0] *= circuit is not MIXED  # qubits 0 and 3 are idle there
    bits[..., 3:4] *= circuit is not MIXED
    bits[:, :, -1] = bits[:, :, 0]  # a string that comes twice
    coefficients = np.random.default_rng(2).normal(size=bits.shape[:3])
    ours, other = compiled(device, circuit), oracle(circuit)
    log_p = other.at(angles).log_prob(bits)
    assert np.isfinite(log_p).any()
    np.testing.assert_allclose(ours.at(angles).log_prob(bits), log_p, rtol=0, atol=1e-8)
    scores = other.at(angles).scores(bits)
    np.testing.assert_allclose(ours.at(angles).scores(bits), scores, rtol=1e-8, atol=1e-8)
    score = other.at(angles).score(bits, coefficients)
    np.testing.assert_allclose(
        ours.at(angles).score(bits, coefficients), score, rtol=1e-8, atol=1e-8
    )


@every_exact
@every_circuit
def test_an_expectation_and_its_derivatives_follow_from_the_probabilities(device, circuit):
    # The oracle is the two-term shift rule, which is exact, on the matrix product.
    angles = random_angles(circuit)
    costs = np.random.default_rng(3).normal(size=(2, 3, 1 << circuit.n_qubits))
    value, derivatives = compiled(device, circuit).at(angles).expectation(costs)
    exact = oracle(circuit)

    def p(at):
        return exact.at(at).probabilities()

    np.testing.assert_allclose(value, (p(angles) * costs).sum(-1), rtol=0, atol=1e-10)
    for number in range(circuit.n_angles):
        above, below = (p(shifted(angles, number, s * np.pi / 2)) for s in (1, -1))
        expected = ((above - below) * costs).sum(-1) / 2
        np.testing.assert_allclose(derivatives[..., number], expected, rtol=0, atol=1e-10)


@every_exact
def test_derivatives_equal_finite_differences(device):
    circuit = CIRCUITS["brickwork"]
    angles = random_angles(circuit, 1, 1)
    costs = np.random.default_rng(4).normal(size=(1, 1, 16))
    executable = compiled(device, circuit)
    _, derivatives = executable.at(angles).expectation(costs)
    for number in range(0, circuit.n_angles, 5):
        # a step h errs by about h^2 and 1e-16 / h
        above, below = (
            (executable.at(shifted(angles, number, h)).probabilities() * costs).sum()
            for h in (1e-5, -1e-5)
        )
        assert derivatives[0, 0, number] == pytest.approx((above - below) / 2e-5, abs=1e-8)


@every_exact
@pytest.mark.parametrize("n", [1, 2])
def test_costs_of_zero_count_and_stay_as_they_are(device, n):
    circuit = Product().build(n)
    angles = random_angles(circuit, 1, 2)
    costs = np.zeros((1, 2, 1 << n))
    costs[0, 1, -1] = 5.0
    kept = costs.copy()
    value, derivatives = compiled(device, circuit).at(angles).expectation(costs)
    np.testing.assert_array_equal(costs, kept)
    assert value[0, 0] == 0
    assert not derivatives[0, 0].any()
    ones = np.sin(angles[0, 1] / 2) ** 2
    assert value[0, 1] == pytest.approx(5 * ones.prod(), abs=1e-12)
    others = ones.prod() / ones * np.sin(angles[0, 1]) / 2
    np.testing.assert_allclose(derivatives[0, 1], 5 * others, rtol=0, atol=1e-12)


@every_exact
def test_rows_and_replicas_do_not_mix(device):
    circuit = Brickwork(1).build(3)
    angles = random_angles(circuit)
    bits, executable = random_bits(angles, circuit), compiled(device, circuit)
    costs = np.random.default_rng(5).normal(size=(2, 3, 8))
    together = {
        "p": executable.at(angles).probabilities(),
        "log p": executable.at(angles).log_prob(bits),
        "score": executable.at(angles).score(bits, costs[..., 1:]),
        "value": executable.at(angles).expectation(costs)[0],
        "derivatives": executable.at(angles).expectation(costs)[1],
    }
    alone = compiled(device, circuit)
    for replica, row in np.ndindex(2, 3):
        one = np.s_[replica : replica + 1, row : row + 1]
        own = {
            "p": alone.at(angles[one]).probabilities(),
            "log p": alone.at(angles[one]).log_prob(bits[one]),
            "score": alone.at(angles[one]).score(bits[one], costs[one][..., 1:]),
            "value": alone.at(angles[one]).expectation(costs[one])[0],
            "derivatives": alone.at(angles[one]).expectation(costs[one])[1],
        }
        for name, value in own.items():
            np.testing.assert_array_equal(value, together[name][one], err_msg=name)


@every_exact
def test_impossible_strings_have_minus_infinity_and_no_score(device):
    circuit = CIRCUITS["brickwork"]
    angles = np.zeros((1, 1, circuit.n_angles))
    bits = all_bitstrings(4)[None, None]
    executable = compiled(device, circuit)
    np.testing.assert_array_equal(executable.at(angles).log_prob(bits), [[[0.0] + [-np.inf] * 15]])
    ones = np.ones((1, 1, 16))
    np.testing.assert_allclose(executable.at(angles).score(bits, ones), 0, atol=1e-15)
    scores = executable.at(angles).scores(bits)[0, 0]
    assert not scores[1:].any()
    np.testing.assert_allclose(scores[0], 0, atol=1e-15)


@every_exact
def test_a_circuit_without_angles_is_exact_too(device):
    circuit = Circuit(2, (Gate("cx", (1, 0)),))
    executable, angles = compiled(device, circuit), np.zeros((1, 2, 0))
    np.testing.assert_array_equal(executable.at(angles).probabilities(), [[[1, 0, 0, 0]] * 2])
    value, derivatives = executable.at(angles).expectation(np.arange(3.0, 11).reshape(1, 2, 4))
    np.testing.assert_array_equal(value, [[3, 7]])
    assert derivatives.shape == (1, 2, 0)


# -- draws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", SAMPLED)
def test_an_asymmetric_pattern_is_where_it_belongs(device):
    pattern = np.array([1, 1, 0, 1, 0], dtype=np.uint8)
    executable = compiled(device, Product().build(5))
    angles = np.pi * pattern[None, None].astype(float)
    drawn = executable.at(angles).sample(6, rngs(0))
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn, np.broadcast_to(pattern, (1, 1, 6, 5)))
    if device in EXACT:
        p = executable.at(angles).probabilities()[0, 0]
        assert p.argmax() == 1 + 2 + 8  # bit 0 changes fastest
        np.testing.assert_allclose(executable.at(angles).log_prob(drawn), 0, atol=1e-12)


@pytest.mark.parametrize("device", SAMPLED)
def test_draws_follow_the_probabilities(device):
    # Seeds 0 and 1, two rows, 2,000 shots: p > 1e-6 for each of 4 tests.
    circuit = Brickwork(3).build(4)
    angles = random_angles(circuit, 2, 2, seed=6)
    drawn = compiled(device, circuit).at(angles).sample(2000, rngs(0, 1))
    expected = 2000 * oracle(circuit).at(angles).probabilities()
    for place in np.ndindex(2, 2):
        counts = np.bincount(drawn[place] @ (1 << np.arange(4)), minlength=16)
        many = expected[place] >= 5
        observed, mean = (
            np.append(table[many], table[~many].sum()) for table in (counts, expected[place])
        )
        kept = mean > 0
        assert not observed[~kept].any()
        assert chisquare(observed[kept], mean[kept]).pvalue > 1e-6


@pytest.mark.parametrize("device", SAMPLED)
def test_equal_rows_have_draws_of_their_own(device):
    # Seed 3: 2 rows of 1,000 uniform draws of 6 bits; of 6,000 bits 1/2 agree, sigma 0.0065, and
    # the bound is past 5 sigma. The same within a row, of successive draws.
    angles = np.full((1, 2, 6), np.pi / 2)
    executable = compiled(device, Product().build(6))
    stream = rngs(3)
    drawn = executable.at(angles).sample(1000, stream)[0]
    again = executable.at(angles).sample(1000, stream)[0]
    for one, other in [(drawn[0], drawn[1]), (drawn[0], again[0]), (drawn[0, 1:], drawn[0, :-1])]:
        assert abs((one == other).mean() - 0.5) < 0.035


@pytest.mark.parametrize("device", SAMPLED)
def test_draws_depend_on_the_replicas_own_generator_alone(device):
    circuit = Brickwork(2).build(3)
    angles = random_angles(circuit, 3, 2, seed=7)
    executable = compiled(device, circuit)
    together = executable.at(angles).sample(40, rngs(4, 5, 6))
    np.testing.assert_array_equal(executable.at(angles).sample(40, rngs(4, 5, 6)), together)
    for replica, seed in enumerate((4, 5, 6)):
        alone = compiled(device, circuit).at(angles[[replica]]).sample(40, rngs(seed))
        np.testing.assert_array_equal(alone[0], together[replica])
    assert (executable.at(angles).sample(40, rngs(7, 8, 9)) != together).any()


@pytest.mark.parametrize("device", SAMPLED)
def test_the_global_generator_is_left_alone(device):
    before = np.random.get_state()  # noqa: NPY002
    executable = compiled(device, Product().build(2))
    executable.at(np.ones((1, 1, 2))).sample(5, rngs(0))
    for one, other in zip(before, np.random.get_state(), strict=True):  # noqa: NPY002
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("device", SAMPLED)
def test_one_shot_of_one_qubit_keeps_its_axes(device):
    executable = compiled(device, Product().build(1))
    assert executable.at(np.full((1, 1, 1), np.pi)).sample(1, rngs(0)).tolist() == [[[[1]]]]


# -- refusals -------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused():
    circuit = Product().build(2)
    executable = compiled("lightning.qubit", circuit)
    angles, bits = np.ones((2, 1, 2)), np.zeros((2, 1, 3, 2), np.uint8)
    with pytest.raises(ConfigurationError, match="shots must be at least 1; got 0"):
        executable.at(angles).sample(0, rngs(0, 1))
    with pytest.raises(ConfigurationError, match="Got 1 random generators for 2 replicas"):
        executable.at(angles).sample(5, rngs(0))
    with pytest.raises(ConfigurationError, match=r"angles of shape \(2, 1, 3\).* row, 2\]"):
        executable.at(np.ones((2, 1, 3))).sample(5, rngs(0, 1))
    with pytest.raises(ConfigurationError, match=r"costs of shape \(2, 1, 3\); expected .*2, 1, 4"):
        executable.at(angles).expectation(np.ones((2, 1, 3)))
    with pytest.raises(ConfigurationError, match=r"bits of shape \(1, 1, 3, 2\) for angles"):
        executable.at(angles).log_prob(bits[:1])
    with pytest.raises(ConfigurationError, match="bitstrings of 1 bits, expected 2"):
        executable.at(angles).score(bits[..., :1], np.ones((2, 1, 3)))
    with pytest.raises(ConfigurationError, match="Bits must be 0 or 1"):
        executable.at(angles).scores(bits + np.uint8(2))


@pytest.mark.parametrize("device", SAMPLED)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_angles_that_are_not_finite_are_refused(device, value):
    # PennyLane's own devices make draws of them.
    executable, angles = compiled(device, Product().build(2)), np.array([[[0.5, value]]])
    with pytest.raises(ConfigurationError, match="some are NaN or infinite; expected finite"):
        executable.at(angles).sample(5, rngs(0))
    if device in EXACT:
        with pytest.raises(ConfigurationError, match="some are NaN or infinite"):
            executable.at(angles).probabilities()
        with pytest.raises(ConfigurationError, match="some are NaN or infinite"):
            executable.at(angles).expectation(np.ones((1, 1, 4)))


def test_capabilities_are_those_of_the_device():
    for device in SAMPLED:
        backend = build_backend(f"pennylane:{device}")
        assert str(backend) == f"pennylane:{device}"
        able, exact = backend.capabilities, device in EXACT
        assert (able.log_prob, able.expectation) == (exact, exact)
        assert able.probability_bits == (24 if exact else 0)


def test_a_device_that_only_samples_refuses_the_rest():
    generator = QuantumHyperNetwork(2, ansatz=Product(), backend="pennylane:default.mixed")
    assert generator.sample(5, rng=rngs(0)).bits.shape == (1, 1, 5, 2)
    assert generator.max_probability_bits == 0
    bits = np.zeros((1, 1, 3, 2), np.uint8)
    for ask in (
        lambda: generator.log_prob(bits),
        lambda: generator.scores(bits),
        lambda: generator.accumulate_scores(bits, np.ones((1, 1, 3))),
    ):
        with pytest.raises(ConfigurationError, match=r"default\.mixed has no log p"):
            ask()
    with pytest.raises(ConfigurationError, match=r"the limit is 0 bits"):
        generator.probabilities()


def test_an_unknown_device_is_refused_with_the_nearest_name():
    with pytest.raises(
        ConfigurationError,
        match=r"Unknown PennyLane device 'lightning.quibt'\. Did you mean 'lightning.qubit'\?",
    ):
        build_backend("pennylane:lightning.quibt")


def test_options_are_refused():
    message = r"Unknown option of the backend pennylane:lightning\.qubit: 'shots'"
    with pytest.raises(ConfigurationError, match=message):
        build_backend("pennylane:lightning.qubit", {"shots": 5})


@pytest.fixture
def installed(monkeypatch):
    """Devices of PennyLane, to add to or to take from."""
    import pennylane as qml

    devices = dict(qml.plugin_devices)
    monkeypatch.setattr("pennylane.devices.device_constructor.plugin_devices", devices)
    return devices


@pytest.mark.parametrize("kind", ["gpu", "kokkos", "tensor"])
def test_a_device_whose_package_is_missing_says_what_to_install(installed, kind):
    installed.pop(f"lightning.{kind}", None)
    with pytest.raises(MissingError, match=rf"pip install 'pennylane-lightning-{kind}==0\.45\.\*'"):
        build_backend(f"pennylane:lightning.{kind}")


def test_a_plugin_that_lacks_something_says_what(installed):
    def load():
        raise ImportError("This needs quimb. It can be installed with:\n\npip install quimb")

    installed["some.plugin"] = SimpleNamespace(load=load)
    with pytest.raises(MissingError, match=r"some\.plugin needs .* with: pip install quimb"):
        build_backend("pennylane:some.plugin")


@pytest.mark.parametrize("device", ["null.qubit", "default.gaussian", "default.qutrit.mixed"])
def test_devices_that_cannot_sample_qubits_with_a_seed_are_refused(device):
    with pytest.raises(ConfigurationError, match=f"{device} cannot sample a test circuit .*seed"):
        build_backend(f"pennylane:{device}")


def test_a_device_that_measures_wrong_is_refused(installed):
    import pennylane as qml

    class Backwards(qml.devices.DefaultQubit):
        def execute(self, *args, **kwargs):
            return tuple(drawn[:, ::-1] for drawn in super().execute(*args, **kwargs))

    installed["backwards"] = SimpleNamespace(load=lambda: Backwards)
    with pytest.raises(ConfigurationError, match=r"measures \[1, 1, 0, 0\]: it measured \[\[0, 0"):
        build_backend("pennylane:backwards")


def test_a_circuit_that_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(backends, "memory", lambda: 16 * 2**30)
    circuit = Brickwork(2).build(36)
    for device in EXACT:
        with pytest.raises(ConfigurationError) as error:
            PennyLaneBackend(device).compile(circuit)
        assert f"pennylane:{device} would need about " in str(error.value)
        assert "GiB for this circuit of 36 qubits" in str(error.value)
        assert "this machine has 16 GiB. It fits on mps." in str(error.value)
    for device in ("default.mixed", "reference.qubit"):
        PennyLaneBackend(device).compile(Brickwork(2).build(8))
        with pytest.raises(ConfigurationError, match=r"GiB.* on mps, statevector, pennylane:l"):
            PennyLaneBackend(device).compile(Brickwork(2).build(18))


# -- as the backend of a generator ----------------------------------------------------------------

PERMUTATION = [5, 0, 2, 1, 4, 3]
# Tied, scaled and shifted angles, one of them fixed, and one of two parameters.
TIED = Circuit(
    6,
    (
        *(Gate("ry", (q,), Angle({q % 2: 1.0 + q}, offset=0.3)) for q in range(6)),
        *(Gate("cx", (q, q + 1)) for q in range(5)),
        Gate("rx", (3,), Angle({0: 0.5, 2: -1.5})),
        Gate("rz", (0,), Angle(offset=0.7)),
        Gate("cz", (5, 0)),
        *(Gate("ry", (q,), 2) for q in range(6)),
    ),
)
ENCODED = Circuit(
    6,
    (
        *(Gate("rx", (q,), Angle(inputs={q % 2: 0.5 + q})) for q in range(6)),
        *(Gate("ry", (q,), Angle({q: 1.0}, {1: -0.4})) for q in range(6)),
        *(Gate("cx", (q + 1, q)) for q in range(5)),
        *(Gate("ry", (q,), Angle({q: 2.0})) for q in range(6)),
    ),
)
GENERATORS = {
    "brickwork": (Brickwork(3), None, PERMUTATION),
    "in row order": (Brickwork(1), None, "row"),
    "tied": (TIED, None, PERMUTATION),
    "encoded": (ENCODED, [[0.3, -1.2], [0.8, 0.1]], PERMUTATION),
}


@pytest.mark.parametrize(("ansatz", "inputs", "order"), GENERATORS.values(), ids=GENERATORS)
@pytest.mark.parametrize("device", EXACT)
def test_a_generator_equals_the_one_on_matrix_products(device, ansatz, inputs, order):
    ours, other = (
        QuantumHyperNetwork(
            6, ansatz=ansatz, order=order, start="uniform", seeds=(0, 1), backend=name
        )
        for name in (f"pennylane:{device}", "mps")
    )
    assert ours.capabilities.log_prob
    assert ours.max_probability_bits == 24
    assert f"on pennylane:{device}" in ours.describe()
    n_inputs = 1 if inputs is None else len(inputs)
    rng = np.random.default_rng(8)
    bits = rng.integers(2, size=(2, n_inputs, 9, 6), dtype=np.uint8)
    table = torch.from_numpy(rng.normal(size=(2, n_inputs, 64)))
    coefficients = rng.normal(size=bits.shape[:3])
    results = []
    for generator in (ours, other):
        log_p = generator.log_prob(bits, inputs=inputs)
        p = generator.probabilities(inputs=inputs)
        expectation = generator.expectation(table, inputs=inputs)
        found = {"scores": torch.from_numpy(generator.scores(bits, inputs=inputs))}
        values = {"log p": log_p, "p": p, "expectation": expectation}
        losses = {
            "log p": (log_p * torch.from_numpy(coefficients)).sum(),
            "p": (p * table).sum(),
            "expectation": (expectation * torch.arange(1.0, 1 + n_inputs)).sum(),
        }
        for name, loss in losses.items():
            generator.zero_grad()
            loss.backward()
            assert generator.theta.grad.abs().max() > 0.01
            found |= {f"∇ {name}": generator.theta.grad.clone(), name: values[name].detach()}
        generator.zero_grad()
        generator.accumulate_scores(bits, coefficients, inputs=inputs)
        found["∇ by scores"] = generator.theta.grad.clone()
        results.append(found)
    for name, expected in results[1].items():
        torch.testing.assert_close(
            results[0][name], expected, rtol=1e-8, atol=1e-8, msg=lambda m, name=name: name + m
        )


def test_a_generators_draws_are_reproducible_and_in_weight_order():
    generator = QuantumHyperNetwork(
        6, ansatz=Product(), order=PERMUTATION, backend="pennylane:lightning.qubit", seeds=(2, 3)
    )
    pattern = np.array([1, 1, 0, 1, 0, 0], dtype=np.uint8)
    with torch.no_grad():
        generator.theta[:] = torch.from_numpy(np.pi * pattern[PERMUTATION])
    bits = generator.sample(5, rng=Streams((2, 3))(0)).bits
    np.testing.assert_array_equal(bits, np.broadcast_to(pattern, (2, 1, 5, 6)))
    generator.initialise()
    drawn = [generator.sample(50, rng=Streams((2, 3))(step)).bits for step in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
