"""What every gradient estimator must do, with every generator, backend and risk.

A pair either works, and then counts what it spends and keeps to its random streams, or is refused
with what is missing. Which it is follows from the declared capabilities alone.
"""

from functools import cache
from importlib.metadata import entry_points

import numpy as np
import pytest
import torch

from classical.conditional import ConditionalBernoulli
from qhyper.errors import ConfigurationError
from qhyper.gradients.block_expectation import BlockExpectation
from qhyper.gradients.control_variate import ControlVariate
from qhyper.gradients.estimator import build_estimator
from qhyper.gradients.exact import Exact
from qhyper.gradients.local_expectation import LocalExpectation
from qhyper.gradients.natural import NaturalGradient
from qhyper.gradients.parameter_shift import ParameterShift, StochasticParameterShift
from qhyper.gradients.score import ScoreFunction
from qhyper.gradients.spsa import SPSA
from qhyper.gradients.stein import Stein
from qhyper.hypernetwork import HyperNetwork, build_generator
from qhyper.quantum.ansatz import Ansatz, Brickwork, Reuploading
from qhyper.quantum.backends import build_backend
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.registry import names
from qhyper.risk import MMD, CVaR, Expectation, FreeEnergy, Risk, build_risk
from qhyper.spending import Spending
from qhyper.streams import Streams
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.layout import Block, Layout
from qhyper.targets.objective import Objective

SPACE = WeightSpace((2, 1, 2))
ONE_RISK = ("local-expectation", "block-expectation", "control-variate", "stein")
"""Estimators that refuse most risks."""
LAYOUT = Layout((Block("0.weight", (2, 1), (0, 1)), Block("1.weight", (1, 2), (1, 2))))
N = SPACE.n_bits
SEEDS = (11, 12)
SHOTS = 3
"""As few as all risks can do with."""
TABLE = np.random.default_rng(1).normal(size=2**N) + 2

RISK_OPTIONS = {
    "expectation": {},
    "cvar": {"alpha": 0.9},
    "free-energy": {"temperature": 0.5},
    "mmd": {"weight": 2.0, "kappa": 0.4},
}

ESTIMATORS_HERE = {
    "score-function": lambda: build_estimator("score-function", SHOTS),
    "score-function without baseline": lambda: build_estimator(
        "score-function", SHOTS, {"baseline": "none"}
    ),
    "natural-gradient": lambda: build_estimator("natural-gradient", SHOTS, {"damping": 0.1}),
    "parameter-shift": lambda: build_estimator("parameter-shift", SHOTS),
    "parameter-shift without value": lambda: ParameterShift(SHOTS),
    "stochastic-parameter-shift": lambda: build_estimator(
        "stochastic-parameter-shift", SHOTS, {"angles": 3}
    ),
    "spsa": lambda: build_estimator("spsa", SHOTS, {"directions": 2}),
    "spsa without value": lambda: SPSA(SHOTS),
    "exact": lambda: build_estimator("exact", SHOTS),
    "local-expectation": lambda: build_estimator("local-expectation", SHOTS),
    "block-expectation": lambda: build_estimator("block-expectation", SHOTS),
    "control-variate": lambda: build_estimator("control-variate", SHOTS),
    "stein": lambda: build_estimator("stein", SHOTS),
}


# -- generators ------------------------------------------------------------------------------------

TIED = Circuit(
    N,
    (
        *(Gate("ry", (q,), Angle({0: 1.0, 1: 0.5 * q})) for q in range(N)),
        *(Gate("cx", (q, q + 1)) for q in range(N - 1)),
        *(Gate("rx", (q,), Angle({0: -2.0, 2: 1.0}, offset=0.3)) for q in range(N)),
        *(Gate("ry", (q,), Angle(offset=0.4 * q)) for q in range(N)),
    ),
)
ENTANGLED = Circuit(
    N,
    (
        *(Gate("ry", (q,), q) for q in range(N)),
        *(Gate("cx", (q, q + 1)) for q in range(N - 1)),
        Gate("rx", (1,), N),
    ),
)
ENCODED = Circuit(
    N,
    (
        *(Gate("ry", (q,), Angle({q: 1.0}, {q % 2: 0.7})) for q in range(N)),
        *(Gate("cx", (q, q + 1)) for q in range(N - 1)),
        Gate("rx", (1,), Angle({N: 0.5, 0: 1.0}, {1: -1.0}, 0.2)),
    ),
)
INPUTS = [[0.3, -1.0], [1.2, 0.4]]


class SamplesOnly(HyperNetwork):
    """Bits of one probability; neither log p nor angles."""

    def __init__(self, n_bits, *, seeds=(0,)):
        super().__init__(n_bits, seeds=seeds)
        self.p = torch.nn.Parameter(torch.zeros(len(seeds), 1).double())
        self.initialise()

    def _initialise(self, rng):
        self.p.fill_(0.4)

    def _sample(self, shots, rng, inputs):
        p = self.p.detach().numpy()
        drawn = [r.random((1, shots, self.n_bits)) < q for r, q in zip(rng, p, strict=True)]
        return np.stack(drawn).astype(np.uint8)


@cache
def backend(name):
    if name == "noisy aer":
        return build_backend("aer", {"depolarising": 0.02, "readout": 0.01})
    return build_backend(name)


def circuit(where, ansatz: Ansatz | Circuit = ENTANGLED):
    return lambda seeds: QuantumHyperNetwork(
        N, ansatz=ansatz, start="uniform", order=[2, 0, 3, 1], backend=backend(where), seeds=seeds
    )


BACKENDS = (
    "mps",
    "statevector",
    "pennylane:lightning.qubit",
    "pennylane:default.qubit",
    "aer:statevector",
    "aer:matrix_product_state",
    "noisy aer",
)
REGISTERED = sorted({point.name for point in entry_points(group="qhyper.generators")})
OPTIONS = {
    "tied-bernoulli": {"image": (1, 2), "basis": (1, 2)},
    "static-entangled": {"chunk": 1},  # nothing larger cuts this layout
}
MAKERS = {
    **{
        name: lambda seeds, name=name: build_generator(
            name, N, seeds=seeds, layout=LAYOUT, options=OPTIONS.get(name)
        )
        for name in REGISTERED
    },
    **{f"circuit on {name}": circuit(name) for name in BACKENDS},
    "tied circuit": circuit("mps", TIED),
    "circuit with inputs": circuit("mps", ENCODED),
    "circuit with inputs on statevector": circuit("statevector", ENCODED),
    "circuit with inputs on pennylane:lightning.qubit": circuit(
        "pennylane:lightning.qubit", ENCODED
    ),
    "circuit with inputs on aer:matrix_product_state": circuit("aer:matrix_product_state", ENCODED),
    "re-uploading circuit": circuit("mps", Reuploading(Brickwork(2), 2)),
    "conditional bernoulli": lambda seeds: ConditionalBernoulli(
        N, n_inputs=2, hidden=3, seeds=seeds
    ),
    "samples only": lambda seeds: SamplesOnly(N, seeds=seeds),
}
WITH_INPUTS = ("circuit with inputs", "re-uploading circuit", "conditional bernoulli")


def inputs_of(generator):
    return INPUTS if generator.n_inputs else None


def table_objective():
    return Objective(lambda bits: TABLE[bits.astype(int) @ (1 << np.arange(N))], N)


# -- what is counted -------------------------------------------------------------------------------


class Counting:
    """The calls, parameter settings and shots that a generator's sampler is asked for, by replica.

    Of a circuit that is its executable, of any other generator itself: what is made of circuits is
    one of them.
    """

    def __init__(self, generator):
        self.calls, self.settings, self.shots = 0, 0, 0
        self._generator = generator
        if hasattr(generator, "_executable"):
            self._own, generator._executable = generator._executable, self
        else:
            self._own, generator._sample = generator._sample, self._sample
            if hasattr(generator, "sample_angles"):
                self._at, generator.sample_angles = generator.sample_angles, self._sample_angles

    def __getattr__(self, name):
        return getattr(self._own, name)

    def at(self, angles):
        assert len(angles) == self._generator.replicas
        return CountingAt(self._own.at(angles), angles.shape, self._count)

    def _sample(self, shots, rng, inputs):
        self._count(1 if inputs is None else inputs.shape[1], shots)
        return self._own(shots, rng, inputs)

    def _sample_angles(self, angles, shots, *, rng):
        self._count(angles.shape[1], shots)
        return self._at(angles, shots, rng=rng)

    def _count(self, settings, shots):
        self.calls += 1
        self.settings += settings
        self.shots += settings * shots


class CountingAt:
    """What an executable prepares, with its calls of `sample` counted."""

    def __init__(self, own, shape, count):
        self._own, self._shape, self._count = own, shape, count

    def __getattr__(self, name):
        return getattr(self._own, name)

    def sample(self, shots, rng):
        self._count(self._shape[1], shots)
        assert self._shape[0] == len(rng)  # one stream a replica
        return self._own.sample(shots, rng)


def gradient(generator):
    """[replica, parameter]"""
    grads = [p.grad.reshape(generator.replicas, -1) for p in generator.parameters()]
    return torch.cat(grads, dim=1).numpy().copy()


def estimate(estimator, generator, risk, objective=None):
    """(gradient [replica, parameter], what was measured)"""
    generator.zero_grad()
    got = estimator(
        generator,
        objective or table_objective(),
        risk,
        rng=Streams(generator.seeds)(3),
        inputs=inputs_of(generator),
    )
    return gradient(generator), got


def missing(estimator, risk, generator):
    """What the error must say for a pair that cannot work, by what is declared; None if it can."""
    able = generator.capabilities
    if estimator.startswith(("score-function", "natural-gradient")) and not able.log_prob:
        return "needs log p, and {} has none: it can only be sampled"
    if "parameter-shift" in estimator and not able.angles:
        return "shifts the angles of a circuit, and {} has none"
    if estimator == "local-expectation":
        if not generator.has_marginals:
            return "needs the exact probability of each bit, and {} does not give it"
        if risk not in ("expectation", "free-energy"):
            return "which it does not support; it supports Expectation, FreeEnergy"
        if risk == "free-energy" and able.log_prob and not able.independent:
            return "of FreeEnergy is for independent bits, and those of {} are not"
    if estimator in ("control-variate", "stein"):
        if not able.log_prob:
            return "needs log p, and {} has none: it can only be sampled"
        if risk != "expectation":
            return "which it does not support; it supports Expectation"
    if estimator == "block-expectation":
        if generator.n_inputs or generator.independent_blocks is None:
            return "needs blocks of bits that are independent of each other, with exact probabi"
        if risk != "expectation":
            return "which it does not support; it supports Expectation"
    if risk == "free-energy" and not able.log_prob:
        return "The risk FreeEnergy needs log p, and {} has none"
    if estimator == "exact" and not (able.log_prob or able.probability_bits):
        return f"needs all 2^{N} probabilities and their derivatives, and {{}} does not give them"
    return None


# -- the contract ----------------------------------------------------------------------------------


@pytest.mark.parametrize("risk", names("risk"))
@pytest.mark.parametrize("estimator", ESTIMATORS_HERE)
@pytest.mark.parametrize("generator", MAKERS)
def test_a_pair_works_or_is_refused_with_what_is_missing(generator, estimator, risk):
    make, name = MAKERS[generator], estimator
    generator, estimator = make(SEEDS), ESTIMATORS_HERE[estimator]()
    lacking = missing(name, risk, generator)
    risk = build_risk(risk, RISK_OPTIONS[risk])
    if lacking is None:
        works(make, generator, estimator, risk, measured="without value" not in name)
    else:
        is_refused(generator, estimator, risk, lacking.format(generator.describe()))


def works(make, generator, estimator, risk, measured):
    replicas, inputs = len(SEEDS), inputs_of(generator)
    n_inputs = len(inputs) if inputs else 1
    before = [p.detach().clone() for p in generator.parameters()]
    counted, objective = Counting(generator), table_objective()
    estimator.check(generator, risk)
    found, got = estimate(estimator, generator, risk, objective)

    # a gradient of each parameter, which stays as it is
    assert np.isfinite(found).all()
    assert found.any()
    for parameter, value in zip(generator.parameters(), before, strict=True):
        assert torch.equal(parameter, value)
        assert parameter.grad.shape == parameter.shape

    # what is reported is what the backend and the objective were asked for
    promised = estimator.cost(generator, risk, n_inputs=n_inputs, objective=objective)
    each = N + 1 if isinstance(estimator, LocalExpectation) else 1  # a draw, and all its flips
    if isinstance(estimator, BlockExpectation):  # or all strings of its blocks
        plan = generator.independent_blocks
        each = 1 + len(plan) * (2 ** plan.shape[1] - 1)
    if isinstance(estimator, Exact):  # one table for all replicas, in the first call
        assert (counted.calls, objective.evaluations) == (0, 2**N)
        assert got.spent == promised + Spending(evaluations=2**N)
        assert promised == Spending(circuits=n_inputs)
    else:
        assert got.spent == promised
        assert got.spent == Spending(each * counted.shots, counted.shots, counted.settings)
        assert objective.evaluations == replicas * each * counted.shots
        # of a circuit all in one call
        assert counted.calls == 1 or not generator.capabilities.angles

    # what was drawn
    if isinstance(estimator, Exact):
        assert (got.draw, got.losses) == (None, None)
    else:
        assert got.draw.bits.shape == (*got.losses.shape, N)
        assert got.draw.bits.dtype == np.uint8
        assert got.losses.shape[0] == replicas
        assert got.losses[0].size == got.spent.shots
        np.testing.assert_array_equal(got.losses, TABLE[got.draw.bits @ (1 << np.arange(N))])

    # the value is measured wherever it is asked for or needed
    numbers = (got.value, got.standard_error, got.mean_loss)
    if measured or (risk.needs_reference and isinstance(estimator, ParameterShift)):
        assert all(number.shape == (replicas,) for number in numbers)
        assert all(np.isfinite(number).all() for number in numbers)
        assert (got.standard_error >= 0).all()
        assert (got.mean_loss > TABLE.min() - 1e-12).all()
    else:
        assert numbers == (None, None, None)

    # the same random streams give the same again, and a replica is as it is alone
    again, _ = estimate(estimator, generator, risk, objective)
    np.testing.assert_array_equal(again, found)
    alone, of_it = estimate(estimator, make(SEEDS[1:]), risk)
    np.testing.assert_allclose(alone[0], found[1], rtol=0, atol=1e-9)
    if got.draw is not None:
        np.testing.assert_array_equal(of_it.draw.bits[0], got.draw.bits[1])


def is_refused(generator, estimator, risk, text):
    counted, objective = Counting(generator), table_objective()
    for attempt in (
        lambda: estimator.check(generator, risk),
        lambda: estimate(estimator, generator, risk, objective),
    ):
        with pytest.raises(ConfigurationError) as caught:
            attempt()
        assert text in str(caught.value)
        assert "Use " in str(caught.value) or "use " in str(caught.value)  # what to do instead
    assert counted.calls == objective.evaluations == 0
    assert all(p.grad is None for p in generator.parameters())


def test_all_estimators_and_risks_are_here():
    assert {name.split(" ")[0] for name in ESTIMATORS_HERE} == set(names("estimator"))
    assert set(RISK_OPTIONS) == set(names("risk"))


# -- what is declared ------------------------------------------------------------------------------


def test_the_declared_bias():
    """The tests of each estimator hold it to this."""
    unbiased, by_shots = "unbiased", "bias of order 1/shots"
    of_shift = {Expectation: unbiased, FreeEnergy: unbiased, MMD: unbiased, CVaR: by_shots}
    of_shift[Risk] = "as its costs are"
    of_solve = "a quotient of unbiased estimates: bias of order 1/shots"
    of_step = "bias of order step²"
    kinds = (Expectation, FreeEnergy, MMD, CVaR)
    assert dict(ScoreFunction.bias) == of_shift
    assert dict(ParameterShift.bias) == dict(StochasticParameterShift.bias) == of_shift
    assert dict(NaturalGradient.bias) == dict.fromkeys((*kinds, Risk), of_solve)
    assert dict(SPSA.bias) == {
        **dict.fromkeys((*kinds[:3], Risk), of_step),
        CVaR: "bias of order step² and 1/shots",
    }
    assert dict(ControlVariate.bias) == dict(Stein.bias) == {Expectation: unbiased}
    assert dict(BlockExpectation.bias) == {Expectation: unbiased}
    assert dict(LocalExpectation.bias) == {Expectation: unbiased, FreeEnergy: unbiased}
    assert dict(Exact.bias) == dict.fromkeys((*kinds, Risk), "exact")


@pytest.mark.parametrize(
    "estimator",
    [
        "score-function",
        "parameter-shift",
        "stochastic-parameter-shift",
        "local-expectation",
        "block-expectation",
        "control-variate",
        "stein",
    ],
)
@pytest.mark.parametrize("generator", [*REGISTERED, "tied circuit", *WITH_INPUTS])
def test_what_is_declared_unbiased_is(generator, estimator):
    # Seeds 0 to 299, all with the same parameters, 3 shots: the mean of 300 estimates is within 5
    # standard errors of the exact gradient for each parameter (chance 1e-6 for each of some
    # hundreds, which are far from independent).
    make, estimator = MAKERS[generator], ESTIMATORS_HERE[estimator]()
    one, many = make((5,)), make(range(300))
    rng = np.random.default_rng(6)
    for own, all_of in zip(one.parameters(), many.parameters(), strict=True):
        own.data += torch.from_numpy(rng.normal(0, 0.5, own.shape))
        all_of.data[:] = own.data
    for name in ("expectation", "free-energy", "mmd"):
        risk = build_risk(name, RISK_OPTIONS[name])
        if not agrees(estimator, one, risk):
            continue
        if isinstance(estimator, LocalExpectation) and not one.capabilities.independent:
            assert estimator.bias_for(one) != "unbiased"
            continue
        assert estimator.bias[type(risk)] == "unbiased"
        expected, _ = estimate(Exact(), one, risk)
        found, _ = estimate(estimator, many, risk)
        error = found.std(axis=0, ddof=1) / np.sqrt(300)
        assert (abs(found.mean(axis=0) - expected[0]) <= 5 * error + 1e-9).all()


def agrees(estimator, generator, risk):
    try:
        estimator.check(generator, risk)
    except ConfigurationError:
        return False
    return True


# -- risks of one's own, and bad input -------------------------------------------------------------


@pytest.fixture(params=ESTIMATORS_HERE)
def estimator(request):
    return ESTIMATORS_HERE[request.param]()


class Own:
    """What looks like a risk and is none, which no estimator takes."""

    needs_log_prob, needs_reference, min_shots = False, False, 1

    def at(self, progress):
        return self

    def value(self, drawn):
        return Expectation().value(drawn)

    def costs(self, drawn, reference):
        return drawn.losses

    def own_costs(self, drawn):
        return Expectation().own_costs(drawn)

    def exact(self, probabilities, losses):
        return Expectation().exact(probabilities, losses)


def test_a_risk_that_is_not_declared_is_refused(estimator):
    generator = MAKERS["circuit on mps"](SEEDS)
    with pytest.raises(ConfigurationError) as caught:
        estimate(estimator, generator, Own())
    assert "which it does not support; it supports Expectation, " in str(caught.value)
    for kind in estimator.bias:
        assert kind.__name__ in str(caught.value)


def test_a_subclass_of_a_declared_risk_is_taken(estimator):
    known = CVaR(0.4) if CVaR in estimator.bias else Expectation()

    class Mine(type(known)):
        pass

    found, _ = estimate(estimator, MAKERS["circuit on mps"](SEEDS), Mine(**vars(known)))
    expected, _ = estimate(estimator, MAKERS["circuit on mps"](SEEDS), known)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("number", [0, 1, 3])
@pytest.mark.parametrize("generator", ["circuit on mps", "bernoulli", *WITH_INPUTS])
def test_a_wrong_number_of_random_generators_is_refused(estimator, generator, number):
    generator = MAKERS[generator](SEEDS)
    if isinstance(estimator, Exact) or not agrees(estimator, generator, Expectation()):
        return
    before = [p.detach().clone() for p in generator.parameters()]
    objective = table_objective()
    with pytest.raises(ConfigurationError, match=f"Got {number} random generators for 2 replicas"):
        estimator(
            generator,
            objective,
            Expectation(),
            rng=Streams(range(number))(0),
            inputs=inputs_of(generator),
        )
    assert objective.evaluations == 0
    for parameter, value in zip(generator.parameters(), before, strict=True):
        assert torch.equal(parameter, value)


@pytest.mark.parametrize("generator", WITH_INPUTS)
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, "depends on inputs of 2 features; got none"),
        ([0.3, 0.4], r"Got inputs of shape \(2,\)"),
        ([[0.3]], r"Got inputs of shape \(2, 1, 1\)"),
        ([[0.3, np.inf]], "Inputs must be finite"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(estimator, generator, inputs, message):
    generator = MAKERS[generator](SEEDS)
    rng = Streams(SEEDS)(0)
    for risk in (Expectation(), FreeEnergy(0.5)):
        if not agrees(estimator, generator, risk):
            continue
        with pytest.raises(ConfigurationError, match=message):
            estimator(generator, table_objective(), risk, rng=rng, inputs=inputs)
    assert all(p.grad is None for p in generator.parameters())


@pytest.mark.parametrize("shots", [0, -1])
@pytest.mark.parametrize("name", sorted(set(names("estimator")) - {"exact"}))
def test_no_shots_are_refused(name, shots):
    with pytest.raises(ConfigurationError, match=f"needs at least . shots?.*; got {shots}"):
        build_estimator(name, shots)


@pytest.mark.parametrize("name", sorted(set(names("estimator")) - {"exact", *ONE_RISK}))
def test_too_few_shots_for_mmd_are_refused(name):
    generator = MAKERS["circuit on mps"](SEEDS)
    with pytest.raises(ConfigurationError, match="at least 3 shots for this risk; got 2"):
        build_estimator(name, 2).check(generator, MMD())


class Worst(Risk):
    """A user's own: the mean loss of the worse half. Only `costs` is written."""

    needs_reference = True

    def costs(self, drawn, reference):
        median = np.median(reference.losses, axis=-1, keepdims=True)
        return median + 2 * np.maximum(drawn.losses - median, 0)


def test_a_risk_of_ones_own_is_taken(estimator):
    generator = MAKERS["circuit on mps"](SEEDS)
    if isinstance(estimator, LocalExpectation | BlockExpectation | ControlVariate | Stein):
        with pytest.raises(ConfigurationError, match=r"got the risk .*Worst.*, which it does not"):
            estimate(estimator, generator, Worst())
        return
    if isinstance(estimator, Exact):
        with pytest.raises(ConfigurationError, match="The risk Worst has no exact value"):
            estimate(estimator, generator, Worst())
        return
    found, _ = estimate(estimator, generator, Worst())
    assert np.isfinite(found).all()
    assert found.any()


def test_estimators_are_built_by_name():
    assert build_estimator("spsa", 7, {"step": 0.2}) == SPSA(7, step=0.2, value=True)
    by_path = build_estimator("qhyper.gradients.score:ScoreFunction", 7, {"baseline": "none"})
    assert by_path == ScoreFunction(7, "none")
    for name, options, message in (
        ("scorefunction", {}, r"Unknown estimator 'scorefunction'\. Did you mean 'score-function'"),
        ("spsa", {"steps": 1}, r"Unknown option of the estimator spsa: 'steps'.*mean 'step'"),
        ("spsa", {"shots": 1}, r"Unknown option of the estimator spsa: 'shots'"),
        ("exact", {"step": 1}, r"Unknown option of the estimator exact: 'step'.*\(none\)"),
        (
            "spsa",
            {"step": "far"},
            r"Got step='far' \(str\) for the estimator spsa; expected",
        ),
        ("spsa", {"step": -1.0}, r"SPSA needs a step above 0; got -1\.0"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            build_estimator(name, 7, options)
