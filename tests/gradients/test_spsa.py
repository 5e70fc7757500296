"""SPSA against the exact central differences along the directions that it drew."""

import numpy as np
import pytest
import torch

from classical.bernoulli import Bernoulli
from classical.mlp import MLP
from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.gradients.spsa import SPSA
from qhyper.hypernetwork import HyperNetwork
from qhyper.quantum.ansatz import Brickwork, HardwareEfficient
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.risk import MMD, CVaR, Expectation, FreeEnergy
from qhyper.spending import Spending
from qhyper.streams import Streams
from qhyper.targets.objective import Objective

N = 4
STRINGS = all_bitstrings(N)
TABLE = np.random.default_rng(1).normal(size=2**N) + 2
DIFFERING = (STRINGS[:, None] != STRINGS[None]).sum(-1)

RISKS = [Expectation(), CVaR(0.3), FreeEnergy(0.5), MMD(2.0, 0.4)]

TIED = Circuit(
    N,
    (
        *(Gate("ry", (q,), Angle({0: 1.0, 1: 0.5 * q})) for q in range(N)),
        *(Gate("cx", (q, q + 1)) for q in range(N - 1)),
        *(Gate("rx", (q,), Angle({0: -2.0, 2: 1.0}, offset=0.3)) for q in range(N)),
    ),
)
ENCODED = Circuit(
    N,
    (
        *(Gate("ry", (q,), Angle({q: 1.0}, {q % 2: 0.7})) for q in range(N)),
        *(Gate("cx", (q, q + 1)) for q in range(N - 1)),
        *(Gate("rx", (q,), Angle({q: 0.5, N + q: 1.0}, {1: -1.0}, 0.2)) for q in range(N)),
    ),
)
INPUTS = [[0.3, -1.0], [1.2, 0.4], [-0.5, 0.0]]


def circuit(ansatz, seeds, **options):
    return QuantumHyperNetwork(N, ansatz=ansatz, start="uniform", seeds=seeds, **options)


MAKERS = {
    "circuit": lambda seeds: circuit(Brickwork(1), seeds, order=[2, 0, 3, 1]),
    "tied": lambda seeds: circuit(TIED, seeds),
    "encoded": lambda seeds: circuit(ENCODED, seeds),
    "bernoulli": lambda seeds: Bernoulli(N, seeds=seeds),
    "mlp": lambda seeds: MLP(N, seeds=seeds, latent_bits=2, hidden=2),
}


def copies(name, number):
    """`number` replicas at the same parameters: one call gives as many estimates."""
    one, many = MAKERS[name]((5,)), MAKERS[name](range(number))
    for own, all_of in zip(one.parameters(), many.parameters(), strict=True):
        all_of.data[:] = own.data
    return many


def inputs_of(name):
    return INPUTS if name == "encoded" else None


def table_objective():
    return Objective(lambda bits: TABLE[bits.astype(int) @ (1 << np.arange(N))], N)


def plain_values(generator, risk, inputs=None):
    """The risk as it is defined, [replica]: the mean over the inputs."""
    with torch.no_grad():
        q = generator.probabilities(inputs=inputs).numpy()
    values = q @ TABLE
    if isinstance(risk, CVaR):
        order = np.argsort(TABLE)
        below = np.minimum(q[..., order].cumsum(axis=-1), risk.alpha)
        values = np.diff(below, axis=-1, prepend=0) @ TABLE[order] / risk.alpha
    if isinstance(risk, FreeEnergy):
        values = values + risk.temperature * (q * np.log(q)).sum(axis=-1)
    if isinstance(risk, MMD):
        off = q - 1 / q.shape[-1]
        values = values + risk.weight * (off @ risk.kappa**DIFFERING * off).sum(axis=-1)
    return values.mean(axis=1)


def drawn_directions(generator, number, step=0):
    """The first numbers of every replica's stream, as ±1: [direction][parameter tensor]."""
    rngs = Streams(generator.seeds)(step)
    return [
        [
            np.stack([2.0 * rng.integers(0, 2, p.shape[1:]) - 1 for rng in rngs])
            for p in generator.parameters()
        ]
        for _ in range(number)
    ]


def central_differences(generator, risk, directions, step, inputs=None):
    """The mean of the directions times the slopes along them, flat [replica, parameter]."""
    total = 0.0
    for direction in directions:
        ends = []
        for change in (step, -2 * step, step):  # the last one goes back
            for parameter, delta in zip(generator.parameters(), direction, strict=True):
                parameter.data += change * torch.from_numpy(delta)
            ends.append(plain_values(generator, risk, inputs))
        slope = (ends[0] - ends[1]) / (2 * step)
        flat = np.concatenate([d.reshape(len(slope), -1) for d in direction], axis=1)
        total = total + slope[:, None] * flat / len(directions)
    return total


def gradient(generator):
    """[replica, parameter]"""
    grads = [p.grad.reshape(generator.replicas, -1) for p in generator.parameters()]
    return torch.cat(grads, dim=1).numpy().copy()


def estimate(estimator, generator, risk=None, *, inputs=None, step=0, objective=None):
    """(gradient [replica, parameter], what was measured)"""
    generator.zero_grad()
    rng = Streams(generator.seeds)(step)
    target = objective or table_objective()
    got = estimator(generator, target, risk or Expectation(), rng=rng, inputs=inputs)
    return gradient(generator), got


# -- estimates -------------------------------------------------------------------------------------


@pytest.mark.parametrize("directions", [1, 4])
@pytest.mark.parametrize("name", MAKERS)
def test_without_shot_noise_it_is_the_central_differences_along_its_directions(name, directions):
    """The loss of every draw is the exact expectation at the parameters, where they are then."""
    generator, inputs = MAKERS[name]((3, 4)), inputs_of(name)

    def expectations(bits):
        with torch.no_grad():
            means = generator.probabilities(inputs=inputs).numpy() @ TABLE
        return np.repeat(means[:, :, None], bits.shape[2], axis=2)

    drawn = drawn_directions(generator, directions)
    expected = central_differences(generator, Expectation(), drawn, 0.3, inputs)
    value = plain_values(generator, Expectation(), inputs)
    found, got = estimate(
        SPSA(2, step=0.3, directions=directions, value=True),
        generator,
        inputs=inputs,
        objective=expectations,
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(got.value, value, rtol=0, atol=1e-10)


@pytest.mark.parametrize("risk", RISKS, ids=lambda risk: type(risk).__name__)
@pytest.mark.parametrize("name", MAKERS)
def test_is_about_the_central_differences_along_its_directions(name, risk):
    # Seeds 0 to 799 with 10 shots; 0 to 99 with 1,000 for CVaR, whose bias is of order 1/shots.
    # Every replica is compared along its own 2 directions. The mean of the differences is within 5
    # standard errors of 0 for each parameter (at most 40 of them: chance 3e-5, and 1e-4 with 99
    # degrees of freedom), and so is that of the values at the parameters themselves.
    replicas, shots = (100, 1000) if isinstance(risk, CVaR) else (800, 10)
    many, inputs = copies(name, replicas), inputs_of(name)
    expected = central_differences(many, risk, drawn_directions(many, 2), 0.3, inputs)
    value = plain_values(many, risk, inputs)[0]
    step = SPSA(shots, step=0.3, directions=2, value=True)
    found, got = estimate(step, many, risk, inputs=inputs)
    off = found - expected
    error = off.std(axis=0, ddof=1) / np.sqrt(replicas)
    assert (abs(off.mean(axis=0)) < 5 * error).all()
    assert abs(got.value.mean() - value) < 5 * got.value.std(ddof=1) / np.sqrt(replicas)
    # Most of what an estimate differs by from replica to replica are its directions.
    assert np.linalg.norm(error) < 0.5 * np.linalg.norm(expected.std(axis=0))


def test_its_mean_over_directions_is_the_gradient_up_to_the_square_of_the_step():
    """All 2^8 directions of 8 angles, without noise: bias of order step²."""
    generator = circuit(HardwareEfficient(1), (3,))
    exact = []
    for column in range(8):
        direction = [[np.eye(8)[column : column + 1]]]
        exact.append(central_differences(generator, Expectation(), direction, 1e-5)[0, column])
    signs = 2.0 * all_bitstrings(8) - 1
    off = []
    for step in (0.1, 0.2):
        every = [
            central_differences(generator, Expectation(), [[sign[None]]], step)[0] for sign in signs
        ]
        off.append(np.linalg.norm(np.mean(every, axis=0) - exact))
    assert off[1] / off[0] == pytest.approx(4, rel=0.1)


def test_directions_are_fair_and_of_each_replica_alone():
    # Seeds 0 to 999: of 8 signs, each is +1 in 500 ± 16 replicas, and 5 sigma are 80.
    generator = copies("circuit", 1000)
    (direction,) = drawn_directions(generator, 1)[0]
    assert set(np.unique(direction)) == {-1.0, 1.0}
    assert (abs((direction > 0).sum(axis=0) - 500) < 80).all()
    found, got = estimate(SPSA(1, step=0.5), generator)
    ends = got.losses[:, 0]  # one draw at either end
    slope = (ends[:, 0] - ends[:, 1]) / 1.0
    np.testing.assert_allclose(found, slope[:, None] * direction, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MAKERS)
def test_a_replica_has_the_gradient_that_it_has_alone(name):
    step, inputs = SPSA(5, directions=2), inputs_of(name)
    together, _ = estimate(step, MAKERS[name]((4, 5, 6)), FreeEnergy(0.5), inputs=inputs)
    for replica, seed in enumerate((4, 5, 6)):
        alone, _ = estimate(step, MAKERS[name]((seed,)), FreeEnergy(0.5), inputs=inputs)
        np.testing.assert_allclose(alone[0], together[replica], rtol=0, atol=1e-10)


# -- parameters and spending -----------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
def test_parameters_come_back_to_the_bit(name):
    generator, inputs = MAKERS[name]((3, 4)), inputs_of(name)
    before = [p.detach().clone() for p in generator.parameters()]
    estimate(SPSA(3, step=0.3, directions=3, value=True), generator, inputs=inputs)

    def broken(bits):
        raise RuntimeError("no losses today")

    with pytest.raises(RuntimeError, match="no losses today"):
        estimate(SPSA(3, step=0.3), generator, inputs=inputs, objective=broken)
    for parameter, value in zip(generator.parameters(), before, strict=True):
        assert torch.equal(parameter, value)


def test_parameters_come_back_when_the_backend_fails(monkeypatch):
    generator = MAKERS["circuit"]((3, 4))
    before = generator.theta.detach().clone()
    monkeypatch.setattr(generator, "sample_angles", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        estimate(SPSA(3), generator)
    assert torch.equal(generator.theta, before)


@pytest.mark.parametrize("value", [False, True])
@pytest.mark.parametrize("name", ["circuit", "encoded"])
def test_two_circuits_a_direction_and_one_for_the_value_in_one_call(monkeypatch, name, value):
    generator, inputs = MAKERS[name]((3, 4)), inputs_of(name)
    calls, at = [], generator._executable.at

    def recorded(angles):
        prepared = at(angles)
        sample = prepared.sample
        prepared.sample = lambda shots, rng: calls.append((angles, shots)) or sample(shots, rng)
        return prepared

    monkeypatch.setattr(generator._executable, "at", recorded)
    n_inputs, objective = len(inputs or [0]), table_objective()
    step = SPSA(5, directions=3, value=value)
    _, got = estimate(step, generator, inputs=inputs, objective=objective)
    circuits = (6 + value) * n_inputs
    ((angles, shots),) = calls
    assert (angles.shape[:2], shots) == ((2, circuits), 5)
    assert got.spent == Spending(5 * circuits, 5 * circuits, circuits)
    assert got.spent == step.cost(generator, Expectation(), n_inputs=n_inputs)
    assert objective.evaluations == 2 * 5 * circuits
    assert got.draw.bits.shape == (2, n_inputs, 5 * (6 + value), N)
    if not value:
        assert (got.value, got.standard_error, got.mean_loss) == (None, None, None)
        return
    # the last row is at the parameters themselves
    at = generator.angles(inputs=inputs).detach().numpy()
    np.testing.assert_allclose(angles[:, -n_inputs:], at, rtol=0, atol=1e-14)
    own = got.losses[:, :, -5:]
    np.testing.assert_allclose(got.value, own.mean(axis=(1, 2)), rtol=1e-13)
    np.testing.assert_allclose(got.mean_loss, got.value, rtol=1e-13)
    errors = np.sqrt((own.var(axis=2, ddof=1) / 5).sum(axis=1)) / n_inputs
    np.testing.assert_allclose(got.standard_error, errors, rtol=1e-12)


def test_adds_to_the_gradient_of_what_is_trained():
    generator = MAKERS["mlp"]((3, 4))
    generator.W1.requires_grad_(False)
    for _ in range(2):
        SPSA(4)(generator, table_objective(), Expectation(), rng=Streams((3, 4))(0))
        assert generator.W1.grad is None
    twice = generator.b1.grad.clone()
    generator.zero_grad()
    SPSA(4)(generator, table_objective(), Expectation(), rng=Streams((3, 4))(0))
    torch.testing.assert_close(twice, 2 * generator.b1.grad)


class SamplesOnly(HyperNetwork):
    """Bits of one probability, and no log p."""

    def __init__(self, n_bits, *, seeds=(0,)):
        super().__init__(n_bits, seeds=seeds)
        self.p = torch.nn.Parameter(torch.zeros(len(seeds), 1).double())
        self.initialise()

    def _initialise(self, rng):
        self.p.fill_(0.3)

    def _sample(self, shots, rng, inputs):
        p = self.p.detach().numpy()
        drawn = [r.random((1, shots, self.n_bits)) < q for r, q in zip(rng, p, strict=True)]
        return np.stack(drawn).astype(np.uint8)


def test_needs_draws_alone():
    # Seeds 0 to 999: the number of ones has the slope N, within 5 standard errors.
    generator = SamplesOnly(N, seeds=range(1000))
    ones = Objective(lambda bits: bits.sum(axis=1), N)
    found, _ = estimate(SPSA(10), generator, objective=ones)
    assert abs(found.mean() - N) < 5 * found.std(ddof=1) / np.sqrt(1000)


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0, -0.1, np.nan, np.inf])
def test_a_step_that_is_not_above_zero_is_refused(step):
    with pytest.raises(ConfigurationError, match=f"SPSA needs a step above 0; got {step}"):
        SPSA(5, step=step)


@pytest.mark.parametrize("directions", [0, -2])
def test_no_direction_is_refused(directions):
    message = f"SPSA needs at least 1 direction; got {directions}"
    with pytest.raises(ConfigurationError, match=message):
        SPSA(5, directions=directions)


@pytest.mark.parametrize("shots", [0, -2])
def test_no_shots_are_refused(shots):
    with pytest.raises(ConfigurationError, match=f"SPSA needs at least 1 shot; got {shots}"):
        SPSA(shots)


def test_too_few_shots_for_a_risk_are_refused():
    with pytest.raises(ConfigurationError, match="SPSA needs at least 3 shots for this risk; got"):
        SPSA(2).check(MAKERS["circuit"]((0,)), MMD())
    SPSA(5).check(MAKERS["circuit"]((0,)), CVaR(0.25))
    SPSA(1).check(MAKERS["circuit"]((0,)), CVaR(1))


def test_a_free_energy_without_log_p_is_refused_before_anything_is_spent():
    objective = table_objective()
    message = "The risk FreeEnergy needs log p, and SamplesOnly has none.*Use the risk MMD"
    with pytest.raises(ConfigurationError, match=message):
        estimate(SPSA(4), SamplesOnly(N), FreeEnergy(1.0), objective=objective)
    assert objective.evaluations == 0
