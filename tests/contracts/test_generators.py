"""What every registered generator and control must do, ours and anybody's alike.

What `qhyper check` tries as well is in qhyper/checks; here is what else must hold of ours.
"""

import re
from collections import Counter
from importlib.metadata import entry_points

import numpy as np
import pytest
import torch

from classical.bernoulli import Bernoulli
from classical.conditional import ConditionalBernoulli
from qhyper.bits import all_bitstrings
from qhyper.checks import generator as generator_checks
from qhyper.checks.finding import LeftOut
from qhyper.compose.chunked import Chunked
from qhyper.compose.joined import Joined
from qhyper.compose.ordered import Ordered
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import Draw, HyperNetwork, build_generator
from qhyper.spending import Budget
from qhyper.streams import Streams
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.layout import Block, Layout
from qhyper.targets.objective import Objective
from qhyper.targets.packed.target import PackedTarget
from qhyper.training.search import build_control
from qhyper.training.trainer import settings_for

SPACE = WeightSpace((2, 2, 2))
LAYOUT = Layout((Block("0.weight", (2, 2), (0, 1)), Block("1.weight", (2, 2), (1, 2))))
N = SPACE.n_bits
SEEDS = (11, 12, 13)

GENERATORS = {point.name: point for point in entry_points(group="qhyper.generators")}
CONTROLS = {point.name: point for point in entry_points(group="qhyper.controls")}

OPTIONS = {"tied-bernoulli": {"image": (1, 2), "basis": (1, 2)}}
"""For the layout of the tests, where a generator's own defaults do not suit it."""

OURS = {
    "bernoulli",
    "tied-bernoulli",
    "categorical",
    "mlp",
    "autoregressive",
    "product",
    "chunked",
    "joined",
} | {
    "quantum",
    "quantum-depth2",
    "quantum-depth4",
}
OUR_CONTROLS = {"random", "annealing", "naive-perturbation", "elite-evolution", "counting-errors"}

COMPOSED = {
    "ordered": lambda seeds: Ordered(Bernoulli(N, seeds=seeds), [3, 1, 0, 2, 7, 5, 6, 4]),
    "chunked-bernoulli": lambda seeds: Chunked(
        ConditionalBernoulli(4, n_inputs=3, hidden=2, seeds=seeds), 2
    ),
    "ordered-joined-chunked": lambda seeds: Ordered(
        Joined([Chunked(seeing_circuit(3, seeds), 2), Bernoulli(2, seeds=seeds)]),
        "unit",
        layout=LAYOUT,
    ),
}
"""What is made of generators and has no name of its own."""


def seeing_circuit(n_bits, seeds):
    return build_generator("quantum", n_bits, seeds=seeds, options={"depth": 3, "n_inputs": 2})


def build(name, seeds=SEEDS, n_bits=N, layout=LAYOUT):
    if name in COMPOSED:
        return COMPOSED[name](seeds)
    return build_generator(name, n_bits, seeds=seeds, layout=layout, options=OPTIONS.get(name))


def moved(generator):
    """Move the parameters well away from the start, each replica by its own seed."""
    with torch.no_grad():
        for parameter in generator.parameters():
            for values, seed in zip(parameter, generator.seeds, strict=True):
                rng = np.random.default_rng([seed, values.numel()])
                values += torch.from_numpy(rng.normal(0, 0.7, values.shape)).to(values)
    return generator


def draw(generator, shots, step=0):
    return generator.sample(shots, rng=Streams(generator.seeds)(step)).bits


def parameters_of(generator):
    return [p.detach().clone() for p in generator.parameters()]


def test_all_of_ours_are_registered():
    assert set(GENERATORS) >= OURS
    assert set(CONTROLS) >= OUR_CONTROLS


def test_no_two_are_registered_under_one_name():
    for group in ("qhyper.generators", "qhyper.controls"):
        names = Counter(point.name for point in set(entry_points(group=group)))
        assert set(names.values()) == {1}
    assert not set(GENERATORS) & set(CONTROLS)


# -- generators -----------------------------------------------------------------------------------


@pytest.fixture(params=sorted([*GENERATORS, *COMPOSED]))
def name(request):
    return request.param


@pytest.mark.parametrize("kept", generator_checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("composed", COMPOSED)
def test_what_is_made_of_generators_keeps_what_every_one_does(composed, kept):
    """Those that have a name are tried in tests/checks, in the same way."""
    try:
        kept(generator_checks.Generator(COMPOSED[composed]))
    except LeftOut as why:
        pytest.skip(str(why))


def test_can_be_built_and_says_what_it_is(name):
    generator = build(name)
    assert isinstance(generator, HyperNetwork)
    assert generator.n_bits == N
    assert generator.seeds == SEEDS
    assert generator.replicas == 3
    assert generator.describe().strip()
    assert "\n" not in generator.describe()


def test_parameters_have_a_replica_axis(name):
    generator, alone = build(name), build(name, seeds=(11,))
    assert all(p.shape[0] == 3 for p in generator.parameters())
    assert 0 < generator.n_parameters <= sum(p.numel() for p in generator.parameters()) // 3
    assert generator.n_parameters == alone.n_parameters


def test_draws_are_uint8_in_the_agreed_axes(name):
    for seeds in (SEEDS, (5,)):
        generator = build(name, seeds=seeds)
        for shots in (1, 7):
            got = generator.sample(shots, rng=Streams(seeds)(0))
            assert isinstance(got, Draw)
            assert got.bits.shape == (len(seeds), 1, shots, N)
            assert got.bits.dtype == np.uint8
            assert got.bits.max() <= 1
            assert got.shots == shots
            log_p = generator.log_prob(got.bits)
            assert log_p.shape == (len(seeds), 1, shots)
            assert log_p.dtype == torch.float64
        assert generator.probabilities().shape == (len(seeds), 1, 2**N)


def test_a_replica_is_a_copy_that_stands_alone(name):
    together = moved(build(name))
    bits, before = draw(together, 100), parameters_of(together)
    log_p = together.log_prob(bits).detach()
    for replica, seed in enumerate(SEEDS):
        alone = together.replica(replica)
        own = slice(replica, replica + 1)
        assert (alone.seeds, alone.replicas) == ((seed,), 1)
        assert alone.n_parameters == together.n_parameters
        assert alone.describe() == together.describe()
        np.testing.assert_array_equal(draw(alone, 100), bits[own])
        torch.testing.assert_close(alone.log_prob(bits[own]), log_p[own], rtol=0, atol=1e-12)
        alone.log_prob(bits[own]).sum().backward()
        assert all(p.grad is None for p in together.parameters())
        alone.initialise(restart=1)
    for parameter, held in zip(together.parameters(), before, strict=True):
        assert torch.equal(parameter, held)
    for index in (-1, 3):
        with pytest.raises(ConfigurationError, match=f"has no replica {index}; expected 0 to 2"):
            together.replica(index)


def test_the_same_seed_gives_the_same_draws_and_another_one_others(name):
    first, again, other = build(name), build(name), build(name, seeds=(11, 12, 99))
    np.testing.assert_array_equal(draw(first, 50), draw(again, 50))
    np.testing.assert_array_equal(draw(first, 50)[:2], draw(other, 50)[:2])
    assert (draw(first, 50)[2] != draw(other, 50)[2]).any()
    assert (draw(first, 50, step=0) != draw(first, 50, step=1)).any(axis=(1, 2, 3)).all()


def test_log_p_is_differentiable(name):
    generator = moved(build(name))
    bits = draw(generator, 40)
    (-generator.log_prob(bits)).sum().backward()
    gradients = [p.grad.clone() for p in generator.parameters()]
    assert all(torch.isfinite(g).all() for g in gradients)
    assert any((g != 0).any() for g in gradients)
    generator.zero_grad()
    generator.accumulate_scores(bits, -np.ones((3, 1, 40)))
    for gradient, parameter in zip(gradients, generator.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=0, atol=1e-10)


def test_the_mean_score_is_zero(name):
    # Σ p ∇ log p = ∇ Σ p = 0: holds only if the gradient belongs to the probabilities.
    generator = moved(build(name))
    p = generator.probabilities().detach().numpy()
    strings = np.repeat(all_bitstrings(N)[None, None], 3, axis=0)
    generator.accumulate_scores(strings, p)
    for parameter in generator.parameters():
        assert parameter.grad.abs().max() < 1e-10


def test_an_axis_of_one_replica_is_shared_by_all(name):
    generator = moved(build(name))
    strings = all_bitstrings(N)[None, None]
    shared = generator.log_prob(strings)
    repeated = generator.log_prob(np.repeat(strings, 3, axis=0))
    torch.testing.assert_close(shared, repeated, rtol=0, atol=0)


def test_initialise_starts_anew_and_can_be_repeated(name):
    generator = build(name)
    start = parameters_of(generator)
    moved(generator)
    generator.initialise()
    for parameter, before in zip(generator.parameters(), start, strict=True):
        assert torch.equal(parameter, before)
    generator.initialise(restart=1)
    second = parameters_of(generator)
    assert all(
        (one != two).flatten(1).any(dim=1).all() for one, two in zip(start, second, strict=True)
    )
    other = build(name)
    other.initialise(restart=1)
    for parameter, expected in zip(other.parameters(), second, strict=True):
        assert torch.equal(parameter, expected)


def test_the_recipe_is_of_training_settings(name):
    generator = build(name)
    recipe = dict(generator.recipe)
    each = recipe.pop("start_steps", 10**9)
    settings = settings_for(generator, {}, Budget(evaluations=300_000))
    assert {field: getattr(settings, field) for field in recipe} == recipe
    assert settings.restarts == max(1, 300_000 // settings.draws // each)
    assert settings_for(generator, {}, Budget(evaluations=100)).restarts == 1
    assert settings_for(generator, {"restarts": 3}, Budget(evaluations=100)).restarts == 3
    by_circuits = settings_for(generator, {}, Budget(circuits=3 * each))
    starts = 3 if "start_steps" in generator.recipe else 1
    assert (by_circuits.restarts, by_circuits.circuits) == (starts, 3 * each)
    assert by_circuits.evaluations is None


@pytest.mark.parametrize("shots", [0, -1])
def test_no_shots_are_refused(name, shots):
    with pytest.raises(ConfigurationError, match=f"shots must be at least 1; got {shots}"):
        draw(build(name), shots)


@pytest.mark.parametrize("number", [0, 1, 2, 4])
def test_a_wrong_number_of_random_generators_is_refused(name, number):
    with pytest.raises(ConfigurationError, match=f"Got {number} random generators for 3 replicas"):
        build(name).sample(2, rng=Streams(range(number))(0))


@pytest.mark.parametrize("width", [N - 1, N + 1])
def test_bits_of_another_width_are_refused(name, width):
    generator, bits = build(name), np.zeros((3, 1, 2, width), np.uint8)
    message = f"Got bitstrings of {width} bits, expected {N}"
    with pytest.raises(ConfigurationError, match=message):
        generator.log_prob(bits)
    with pytest.raises(ConfigurationError, match=message):
        generator.accumulate_scores(bits, np.ones((3, 1, 2)))


@pytest.mark.parametrize("shape", [(N,), (2, N), (3, 2, N), (2, 1, 4, N), (3, 2, 4, N)])
def test_bits_in_other_axes_are_refused(name, shape):
    with pytest.raises(ConfigurationError, match=r"expected \[replica, input, shot, bit\]"):
        build(name).log_prob(np.zeros(shape, np.uint8))


def test_values_that_are_no_bits_are_refused(name):
    with pytest.raises(ConfigurationError, match="Bits must be 0 or 1"):
        build(name).log_prob(np.full((3, 1, 2, N), -1))


def test_inputs_are_refused_by_the_unconditional(name):
    generator = build(name)
    if generator.n_inputs:
        pytest.skip("takes inputs")
    with pytest.raises(ConfigurationError, match="it takes no inputs"):
        generator.sample(2, rng=Streams(SEEDS)(0), inputs=np.zeros((1, 3)))
    with pytest.raises(ConfigurationError, match="it takes no inputs"):
        generator.log_prob(np.zeros((3, 1, 2, N), np.uint8), inputs=np.zeros((1, 3)))


def test_no_seed_and_no_bit_are_refused(name):
    with pytest.raises(ConfigurationError, match="at least one seed"):
        build(name, seeds=())
    if name in GENERATORS:
        with pytest.raises(ConfigurationError, match="at least 1 bit"):
            build(name, n_bits=0, layout=None)


# -- parameters that are not finite ---------------------------------------------------------------


def questions(generator):
    """Everything that can be asked of a generator, by name."""
    bits = np.zeros((3, 1, 2, N), np.uint8)
    able, rng = generator.capabilities, Streams(generator.seeds)(0)
    asked = {"sample": lambda: generator.sample(2, rng=rng)}
    if able.log_prob:
        asked["log_prob"] = lambda: generator.log_prob(bits)
        asked["scores"] = lambda: generator.scores(bits)
        asked["accumulate"] = lambda: generator.accumulate_scores(bits, np.ones((3, 1, 2)))
    if generator.n_bits <= generator.max_probability_bits:
        costs = torch.zeros(3, 1, 2**N, dtype=torch.float64)
        asked["probabilities"] = generator.probabilities
        asked["expectation"] = lambda: generator.expectation(costs)
    if generator.has_marginals:
        asked["marginals"] = generator.marginals
    if able.angles:
        asked["angles"] = generator.angles
    return asked


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e200])
def test_parameters_that_are_not_finite_are_refused_by_every_question(name, value):
    sound = build(name)
    state = sound.state_dict()
    for number, (key, parameter) in enumerate(sound.named_parameters()):
        bad = parameter.detach().clone()
        bad[1].view(-1)[-1] = value  # one number of one replica
        generator = build(name)
        generator.load_state_dict({**state, key: bad})
        last = key.rpartition(".")[2]  # as the part that has it calls it
        wanted = rf"{re.escape(last)}' of .* is {re.escape(f'{value:g}')} at \[1"
        for ask in questions(generator).values():
            with pytest.raises(ConfigurationError, match=wanted):
                ask()
        with torch.no_grad():  # and no less when it is written past autograd's notice
            dict(generator.named_parameters())[key].data[1] = parameter.detach()[1]
        for ask in questions(generator).values():
            ask()
        if number:
            break


def test_angles_that_are_not_finite_are_refused(name):
    generator = build(name)
    if not generator.capabilities.angles:
        pytest.skip("it has no angles")
    angles = generator.angles().detach().numpy().copy()
    for value in (np.nan, np.inf):
        angles[1, 0, -1] = value
        with pytest.raises(ConfigurationError, match="expected finite numbers"):
            generator.sample_angles(angles, 2, rng=Streams(SEEDS)(0))


# -- controls -------------------------------------------------------------------------------------


class Counted(Objective):
    """A loss of each bitstring by itself, without structure."""

    def __init__(self):
        table = np.random.default_rng(0).normal(size=2**N)
        super().__init__(lambda bits: table[bits.astype(int) @ (1 << np.arange(N))], N)


def packed():
    """A packed network of as many weights, for controls that ask what the network computes."""
    rng = np.random.default_rng(3)
    labels = np.arange(40) % 2
    x = np.where((rng.random((40, 2)) < 0.1) ^ (labels[:, None] > 0), 1.0, -1.0)
    return PackedTarget((2, 2, 2)).objective(Samples(x, labels))


def refusal(control, objective, evaluations):
    """The reason why a control does not begin, if any."""
    search = build_control(control, N)
    try:
        search.search(objective, evaluations=evaluations, rng=Streams(SEEDS)(0, "search"))
    except ConfigurationError as error:
        return str(error)
    return ""


def objective_for(control):
    """What the control can search: the table, unless it refuses that before it spends anything."""
    objective = Counted()
    if "only packed networks" in refusal(control, objective, 5000):
        assert objective.evaluations == 0
        return packed()
    return objective


def run(control, evaluations, seeds=SEEDS, objective=None, **options):
    """Bits [replica, shot, bit] and losses [replica, shot] of a whole search."""
    objective = objective_for(control) if objective is None else objective
    search = build_control(control, N, options)
    batches = list(
        search.search(objective, evaluations=evaluations, rng=Streams(seeds)(0, "search"))
    )
    for batch in batches:
        assert batch.bits.shape[:2] == batch.losses.shape
        assert batch.current.ndim == 2
        assert len(batch.current) == len(seeds)
        assert batch.current.shape[1] >= 1
        assert np.isfinite(batch.current).all()
        if getattr(search, "batch", None) is None:
            assert batch.held is None
        else:
            assert batch.held is not None
            assert (batch.held.shape, batch.held.dtype) == ((len(seeds), N), np.uint8)
    bits, losses = zip(*((batch.bits, batch.losses) for batch in batches), strict=True)
    return np.concatenate(bits, axis=1), np.concatenate(losses, axis=1)


@pytest.fixture(params=sorted(CONTROLS))
def control(request):
    return request.param


@pytest.mark.parametrize("evaluations", [1, 2, 999, 1001, 2049])
def test_a_control_spends_exactly_its_budget_or_refuses_it_unspent(control, evaluations):
    objective = objective_for(control)
    if reason := refusal(control, objective, evaluations):
        assert f"Got {evaluations} evaluations, too few for one generation" in reason
        assert evaluations < 100
        assert objective.evaluations == 0
        return
    bits, losses = run(control, evaluations, objective=objective)
    assert bits.shape == (3, evaluations, N)
    assert bits.dtype == np.uint8
    assert bits.max() <= 1
    assert losses.dtype == np.float64
    assert objective.evaluations == 3 * evaluations


@pytest.mark.parametrize("evaluations", [399, 400])
def test_a_control_of_mini_batches_spends_exactly_its_budget(control, evaluations):
    if not hasattr(build_control(control, N), "batch"):
        pytest.skip("works on all rows alone")
    objective = packed()
    bits, _ = run(control, evaluations, objective=objective, batch=8)
    assert bits.shape == (3, evaluations, N)
    assert objective.evaluations == 3 * evaluations
    assert objective.rows == 3 * 8 * evaluations
    for replica, seed in enumerate(SEEDS):
        alone, _ = run(control, evaluations, seeds=(seed,), objective=packed(), batch=8)
        np.testing.assert_array_equal(alone[0], bits[replica])


def test_a_control_finds_the_same_with_any_number_of_threads(control, monkeypatch):
    found = []
    for threads in (1, 2):
        monkeypatch.setattr("qhyper.threads.n_threads", lambda n=threads: n)
        found.append(run(control, 300, objective=packed()))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_control_finds_something_good(control):
    # Seeds 11 to 13: 5,000 evaluations of 256 strings miss the best one with chance 3e-9 if drawn
    # uniformly; an annealing may end elsewhere, but among the best tenth.
    objective = objective_for(control)
    if not isinstance(objective, Counted):
        pytest.skip("what a network's own errors are good for, its tests say")
    _, losses = run(control, 5000, objective=objective)
    assert (losses.min(axis=1) <= np.quantile(objective(all_bitstrings(N)), 0.1)).all()


def test_a_control_says_what_it_is_and_refuses_no_bits(control):
    assert build_control(control, N).describe().strip()
    with pytest.raises(ConfigurationError, match="n_bits=0"):
        build_control(control, 0)
