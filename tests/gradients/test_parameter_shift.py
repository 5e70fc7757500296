"""Parameter shift: its rows against exact expectations, its estimates against exact gradients."""

import numpy as np
import pytest
import torch

from classical.bernoulli import Bernoulli
from qhyper.errors import ConfigurationError
from qhyper.gradients.exact import Exact
from qhyper.gradients.parameter_shift import ParameterShift, StochasticParameterShift
from qhyper.quantum.ansatz import Brickwork, HardwareEfficient, Product
from qhyper.quantum.backends import build_backend
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.risk import MMD, CVaR, Expectation, FreeEnergy
from qhyper.spending import Spending
from qhyper.streams import Streams
from qhyper.targets.objective import Objective

N = 4
TABLE = np.random.default_rng(1).normal(size=2**N) + 2

UNBIASED = [Expectation(), FreeEnergy(0.5), MMD(2.0, 0.4)]

TIED = Circuit(
    N,
    (
        *(Gate("ry", (q,), Angle({0: 1.0, 1: 0.5 * q})) for q in range(N)),
        *(Gate("cx", (q, q + 1)) for q in range(N - 1)),
        *(Gate("rx", (q,), Angle({0: -2.0, 2: 1.0}, offset=0.3)) for q in range(N)),
        Gate("cz", (0, 3)),
        *(Gate("ry", (q,), Angle(offset=0.4 * q)) for q in range(N)),  # these are not shifted
    ),
)
ENCODED = Circuit(
    N,
    (
        *(Gate("ry", (q,), Angle({q: 1.0}, {q % 2: 0.7})) for q in range(N)),
        *(Gate("cx", (q, q + 1)) for q in range(N - 1)),
        Gate("rz", (1,), Angle(inputs={0: 2.0})),  # nor is this one
        *(Gate("rx", (q,), Angle({q: 0.5, N + q: 1.0}, {1: -1.0}, 0.2)) for q in range(N)),
    ),
)
INPUTS = [[0.3, -1.0], [1.2, 0.4], [-0.5, 0.0]]
ANSATZE = {
    "brickwork": Brickwork(2),
    "entangled": HardwareEfficient(1),
    "tied": TIED,
    "encoded": ENCODED,
}


def circuit(name, seeds, **options):
    options = {"start": "uniform", "order": [2, 0, 3, 1], **options}
    return QuantumHyperNetwork(N, ansatz=ANSATZE[name], seeds=seeds, **options)


def copies(name, number, **options):
    """`number` replicas at the same parameters: one call gives as many estimates. And one alone."""
    one = circuit(name, (5,), **options)
    start = one.theta.detach().numpy()[0].tolist()
    return circuit(name, range(number), **{**options, "start": start}), one


def inputs_of(name):
    return INPUTS if name == "encoded" else None


def table_objective():
    return Objective(lambda bits: TABLE[bits.astype(int) @ (1 << np.arange(N))], N)


def estimate(estimator, generator, risk=None, *, inputs=None, step=0, objective=None):
    """(gradient [replica, parameter], what was measured)"""
    generator.zero_grad()
    rng = Streams(generator.seeds)(step)
    target = objective or table_objective()
    got = estimator(generator, target, risk or Expectation(), rng=rng, inputs=inputs)
    return generator.theta.grad.numpy().copy(), got


class Recorded:
    """The executable of a generator, with a record of what it was asked for."""

    def __init__(self, generator):
        self._own, self.calls = generator._executable, []
        generator._executable = self

    def __getattr__(self, name):
        return getattr(self._prepared, name)

    def at(self, angles):
        self._angles, self._prepared = angles.copy(), self._own.at(angles)
        return self

    def sample(self, shots, rng):
        self.calls.append((self._angles, shots))
        return self._prepared.sample(shots, rng)


# -- without shot noise ----------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [ParameterShift, StochasticParameterShift])
@pytest.mark.parametrize("name", ["brickwork", "tied", "encoded"])
def test_with_exact_expectations_of_the_rows_it_is_autograd_of_the_exact_expectation(
    name, estimator
):
    """The loss of every draw is the exact expectation at the angles of its row."""
    generator, inputs = circuit(name, (3, 4), order="row"), inputs_of(name)
    recorded = Recorded(generator)

    def expectations(bits):
        ((angles, _),) = recorded.calls
        rows = (recorded.at(angles).probabilities() @ TABLE).reshape(2, bits.shape[1], -1, 1)
        return np.repeat(rows, 2, axis=-1).reshape(bits.shape[:-1])

    options = {} if estimator is ParameterShift else {"angles": len(generator.trained_angles)}
    found, _ = estimate(estimator(2, **options), generator, inputs=inputs, objective=expectations)
    generator.zero_grad()
    p = generator.probabilities(inputs=inputs)
    (p @ torch.from_numpy(TABLE)).mean(dim=1).sum().backward()
    np.testing.assert_allclose(found, generator.theta.grad.numpy(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["tied", "encoded"])
def test_the_rows_are_the_trained_angles_shifted_by_a_quarter_turn(name):
    generator, inputs = circuit(name, (3, 4)), inputs_of(name)
    recorded = Recorded(generator)
    estimate(ParameterShift(1, value=True), generator, inputs=inputs)
    ((angles, shots),) = recorded.calls
    at = generator.angles(inputs=inputs).detach().numpy()
    trained = [k for k, angle in enumerate(generator.circuit.angles) if angle.parameters]
    expected = []
    for sign in (1, -1):
        for k in trained:
            row = at.copy()
            row[:, :, k] += sign * np.pi / 2
            expected.append(row)
    expected = np.stack([*expected, at], axis=2).reshape(angles.shape)
    assert shots == 1
    np.testing.assert_allclose(angles, expected, rtol=0, atol=1e-14)


# -- estimates -------------------------------------------------------------------------------------

ESTIMATORS = {
    "all": ParameterShift(6, value=True),
    "some": StochasticParameterShift(6, angles=3, value=True),
}


@pytest.mark.parametrize("risk", UNBIASED, ids=lambda risk: type(risk).__name__)
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", ["entangled", "tied", "encoded"])
def test_unbiased(name, estimator, risk):
    # Seeds 0 to 999, 6 shots: the mean of 1,000 estimates is within 5 standard errors of the
    # exact gradient for each parameter (3 or 8 of them: chance 5e-6), and so is the value.
    many, one = copies(name, 1000)
    inputs = inputs_of(name)
    exact = Exact()(one, table_objective(), risk, inputs=inputs)
    expected = one.theta.grad.numpy()[0]
    found, got = estimate(ESTIMATORS[estimator], many, risk, inputs=inputs)
    error = found.std(axis=0, ddof=1) / np.sqrt(1000)
    assert (abs(found.mean(axis=0) - expected) < 5 * error).all()
    # the errors are small enough for that to mean something
    assert np.linalg.norm(error) < 0.2 * np.linalg.norm(expected)
    for mean, own in ((got.value, exact.value), (got.mean_loss, exact.mean_loss)):
        assert abs(mean.mean() - own[0]) < 5 * mean.std(ddof=1) / np.sqrt(1000)


@pytest.mark.parametrize(
    "backend",
    ["statevector", "pennylane:lightning.qubit", "aer:statevector", "aer:matrix_product_state"],
)
def test_unbiased_on_other_backends(backend):
    # Seeds 0 to 3, 1,000 shots in each of 16 rows. The error of a derivative is known from the
    # draws of its two rows, so χ² is of 32 degrees of freedom: between 8.0 and 77, chance 2e-5.
    start = np.random.default_rng(4).uniform(-np.pi, np.pi, 8).tolist()
    one = circuit("entangled", (0,), start=start)
    Exact()(one, table_objective(), Expectation())
    elsewhere = circuit("entangled", range(4), start=start, backend=backend)
    found, got = estimate(ParameterShift(1000), elsewhere)
    variance = got.losses.reshape(4, 2, 8, 1000).var(axis=-1, ddof=1).sum(axis=1) / 1000 / 4
    errors = (found - one.theta.grad.numpy()) / np.sqrt(variance)
    assert 8.0 < (errors**2).sum() < 77
    assert abs(errors.mean()) < 5 / np.sqrt(32)


def test_unbiased_with_noise():
    # Seeds 0 to 3, 1,000 shots in each of 16 rows, about central differences of the exact noisy
    # probabilities: χ² of 32 degrees of freedom, as above.
    noisy = build_backend("aer", {"depolarising": 0.05, "readout": 0.03})
    start = np.random.default_rng(4).uniform(-np.pi, np.pi, 8)
    generator = circuit(
        "entangled", range(4), start=start.tolist(), backend=noisy, order=list(range(N))
    )
    ends = start + 1e-4 * np.concatenate([np.eye(8), -np.eye(8)])
    values = generator._executable.at(ends[None]).probabilities()[0] @ TABLE
    expected = (values[:8] - values[8:]) / 2e-4
    found, got = estimate(ParameterShift(1000), generator)
    variance = got.losses.reshape(4, 2, 8, 1000).var(axis=-1, ddof=1).sum(axis=1) / 1000 / 4
    errors = (found - expected) / np.sqrt(variance)
    assert 8.0 < (errors**2).sum() < 77
    # noise takes far more from the gradient than that
    one = circuit("entangled", (0,), start=start.tolist(), order=list(range(N)))
    Exact()(one, table_objective(), Expectation())
    without = (found - one.theta.grad.numpy()) / np.sqrt(variance)
    assert (without**2).sum() > 120


def test_unbiased_where_shifted_draws_are_impossible_at_the_parameters():
    # At angles 0 only 0000 has a chance, and log p of all other strings is -inf: they cost their
    # loss. The gradient is 0 by symmetry. Seeds 0 to 1,999: 5 standard errors, 4 parameters.
    generator = QuantumHyperNetwork(N, ansatz=Product(), start=[0.0] * N, seeds=range(2000))
    found, got = estimate(ParameterShift(6, value=True), generator, FreeEnergy(0.5))
    assert np.isfinite(found).all()
    assert (abs(found.mean(axis=0)) < 5 * found.std(axis=0, ddof=1) / np.sqrt(2000)).all()
    assert found.std() > 0.01
    np.testing.assert_allclose(got.value, TABLE[0])


def test_the_bias_of_cvar_falls_as_one_over_the_shots():
    # Seeds 0 to 11,999, alpha = 1/2, 8 and 32 shots, losses spread over 256 values so that the
    # quantile is nearly continuous. The biases are some 0.045 and 0.013, with errors of less than
    # 0.003 and 0.002, so the ratio, which tends to 4, has one of 0.4. It would be 2 for a bias of
    # 1/√shots and 16 for one of 1/shots².
    n = 8
    losses = 0.5 ** np.arange(n)
    objective = Objective(lambda bits: bits @ losses + 0.3 * (bits @ losses) ** 2, n)
    some = Circuit(
        n,
        tuple(Gate("ry", (q,), q if q < 3 else Angle(offset=np.pi / 2)) for q in range(n)),
    )
    one, many = (
        QuantumHyperNetwork(n, ansatz=some, start=[1.2, 1.9, 1.4], seeds=range(number))
        for number in (1, 12_000)
    )
    Exact()(one, objective, CVaR(0.5))
    bias = []
    for shots in (8, 32):
        found, _ = estimate(ParameterShift(shots), many, CVaR(0.5), step=shots, objective=objective)
        bias.append(np.linalg.norm(found.mean(axis=0) - one.theta.grad.numpy()[0]))
        assert bias[-1] > 8 * np.linalg.norm(found.std(axis=0)) / np.sqrt(12_000)
    assert 2.7 < bias[0] / bias[1] < 5.5


# -- which angles ----------------------------------------------------------------------------------


def test_random_angles_are_drawn_anew_without_repetition():
    """A plain circuit: the gradient of a parameter that was not shifted is exactly 0."""
    generator = circuit("brickwork", range(300), order="row")
    step = StochasticParameterShift(4, angles=5)
    recorded = Recorded(generator)
    estimate(step, generator)
    ((angles, _),) = recorded.calls
    moved = angles - generator.angles().detach().numpy()
    assert angles.shape == (300, 10, 16)
    np.testing.assert_allclose(moved[:, :5], -moved[:, 5:], atol=1e-14)
    plus = moved[:, :5]
    np.testing.assert_allclose(plus.max(axis=2), np.pi / 2)
    assert ((abs(plus) > 1e-9).sum(axis=2) == 1).all()  # one angle a row
    chosen = plus.argmax(axis=2)
    assert all(len(set(own)) == 5 for own in chosen.tolist())
    # Each angle is chosen in a share 5/16 of 300 replicas: 94 ± 8.0, and 5 sigma are 40.
    counts = np.bincount(chosen.ravel(), minlength=16)
    assert (abs(counts - 300 * 5 / 16) < 40).all()
    recorded.calls.clear()
    estimate(step, generator, step=1)
    assert (recorded.calls[0][0] != angles).any()


def test_the_derivative_of_a_random_angle_is_scaled_and_the_others_are_zero():
    generator = circuit("brickwork", range(6), order="row")
    found, got = estimate(StochasticParameterShift(4, angles=5), generator)
    means = got.losses.reshape(6, 10, 4).mean(axis=2)
    slopes = 16 / 5 * (means[:, :5] - means[:, 5:]) / 2
    rng = Streams(generator.seeds)(0)
    for own, slope, stream in zip(found, slopes, rng, strict=True):
        expected = np.zeros(16)
        expected[np.sort(stream.permutation(16)[:5])] = slope
        np.testing.assert_allclose(own, expected, rtol=0, atol=1e-12)


def test_the_same_angles_are_shifted_for_all_inputs():
    generator = circuit("encoded", (3, 4))
    recorded = Recorded(generator)
    estimate(StochasticParameterShift(2, angles=2), generator, inputs=INPUTS)
    at = generator.angles(inputs=INPUTS).detach().numpy()
    moved = recorded.calls[0][0].reshape(2, 3, 4, -1) - at[:, :, None]
    np.testing.assert_allclose(moved[:, 1:], moved[:, :1].repeat(2, axis=1), atol=1e-14)


# -- what is measured and spent --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("risk", "value", "extra"),
    [
        (Expectation(), False, 0),
        (Expectation(), True, 1),
        (FreeEnergy(0.5), False, 0),
        (FreeEnergy(0.5), True, 1),
        (CVaR(0.3), False, 1),
        (CVaR(0.3), True, 1),
        (MMD(), False, 1),
        (MMD(), True, 1),
    ],
)
@pytest.mark.parametrize("name", ["brickwork", "encoded"])
def test_two_circuits_an_angle_and_one_where_it_is_needed_in_one_call(name, risk, value, extra):
    generator, inputs = circuit(name, (3, 4)), inputs_of(name)
    recorded = Recorded(generator)
    n_inputs = len(inputs or [0])
    angles = {"brickwork": 16, "encoded": 8}[name]
    for step, shifted in (
        (ParameterShift(5, value=value), angles),
        (StochasticParameterShift(5, angles=3, value=value), 3),
    ):
        recorded.calls.clear()
        objective = table_objective()
        _, got = estimate(step, generator, risk, inputs=inputs, objective=objective)
        circuits = (2 * shifted + extra) * n_inputs
        assert [(rows.shape, shots) for rows, shots in recorded.calls] == [
            ((2, circuits, generator.circuit.n_angles), 5)
        ]
        assert got.spent == Spending(5 * circuits, 5 * circuits, circuits)
        assert got.spent == step.cost(generator, risk, n_inputs=n_inputs)
        assert objective.evaluations == 2 * got.spent.evaluations
        measured = (got.value, got.standard_error, got.mean_loss)
        if not extra:
            assert measured == (None, None, None)
            continue
        assert all(np.isfinite(numbers).all() for numbers in measured)
        assert all(numbers.shape == (2,) for numbers in measured)
        central = got.losses.reshape(2, n_inputs, -1, 5)[:, :, -1]
        np.testing.assert_allclose(got.mean_loss, central.mean(axis=(1, 2)), rtol=1e-13)
        if isinstance(risk, Expectation):
            np.testing.assert_allclose(got.value, got.mean_loss, rtol=1e-13)
            errors = central.var(axis=2, ddof=1) / 5
            np.testing.assert_allclose(
                got.standard_error, np.sqrt(errors.sum(axis=1)) / n_inputs, rtol=1e-12
            )


def test_adds_to_the_gradient():
    generator = circuit("tied", (3, 4))
    once, _ = estimate(ParameterShift(4), generator)
    rng = Streams((3, 4))(0)
    ParameterShift(4)(generator, table_objective(), Expectation(), rng=rng)
    np.testing.assert_allclose(generator.theta.grad.numpy(), 2 * once, rtol=1e-12)


def test_one_shot_is_enough_for_the_gradient():
    generator = circuit("tied", (3, 4))
    found, got = estimate(ParameterShift(1, value=True), generator, FreeEnergy(0.5))
    assert np.isfinite(found).all()
    assert np.isfinite(got.value).all()
    assert np.isinf(got.standard_error).all()


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shots", [0, -4])
def test_no_shots_are_refused(shots):
    message = f"arameter shift needs at least 1 shot; got {shots}"
    with pytest.raises(ConfigurationError, match=f"^P{message}"):
        ParameterShift(shots)
    with pytest.raises(ConfigurationError, match=f"^Stochastic p{message}"):
        StochasticParameterShift(shots)


@pytest.mark.parametrize("angles", [0, -1])
def test_no_angle_is_refused(angles):
    message = f"Stochastic parameter shift shifts at least 1 angle; got angles={angles}"
    with pytest.raises(ConfigurationError, match=message):
        StochasticParameterShift(5, angles=angles)


def test_more_angles_than_are_trained_are_refused():
    generator = circuit("tied", (0,))
    StochasticParameterShift(5, angles=8).check(generator, Expectation())
    message = "was to shift 9 angles of .* which has 8 that are trained. Lower `angles`"
    with pytest.raises(ConfigurationError, match=message):
        StochasticParameterShift(5, angles=9).check(generator, Expectation())


@pytest.mark.parametrize("estimator", [ParameterShift(2), StochasticParameterShift(2, angles=2)])
def test_too_few_shots_at_the_parameters_are_refused(estimator):
    generator = circuit("tied", (0,))
    estimator.check(generator, CVaR(0.6))
    with pytest.raises(ConfigurationError, match="needs at least 5 shots for this risk; got 2"):
        estimator.check(generator, CVaR(0.25))
    with pytest.raises(ConfigurationError, match="needs at least 3 shots for this risk; got 2"):
        estimator.check(generator, MMD())


def test_a_value_needs_as_many_shots_as_its_risk():
    class OfThree(Expectation):
        min_shots = 3

    generator = circuit("tied", (0,))
    ParameterShift(2).check(generator, OfThree())  # a gradient alone needs none of them
    ParameterShift(3, value=True).check(generator, OfThree())
    for estimator in (ParameterShift(2, value=True), StochasticParameterShift(2, value=True)):
        with pytest.raises(ConfigurationError, match="needs at least 3 shots for this risk; got 2"):
            estimator.check(generator, OfThree())


@pytest.mark.parametrize("estimator", [ParameterShift(4), StochasticParameterShift(4, angles=2)])
def test_a_generator_without_angles_is_refused_before_anything_is_spent(estimator):
    objective = table_objective()
    message = "arameter shift shifts the angles of a circuit, and .* has none. Use score-function"
    with pytest.raises(ConfigurationError, match=message):
        estimator(Bernoulli(N), objective, Expectation(), rng=Streams((0,))(0))
    assert objective.evaluations == 0
