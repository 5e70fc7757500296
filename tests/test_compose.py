"""Generators made of generators, against the same distributions written out by hand."""

import copy
import itertools

import numpy as np
import pytest
import torch
from scipy.special import expit

from classical.autoregressive import Autoregressive
from classical.bernoulli import Bernoulli
from classical.conditional import ConditionalBernoulli
from qhyper.bits import all_bitstrings
from qhyper.compose.chunked import Chunked, chunked
from qhyper.compose.joined import Joined, joined
from qhyper.compose.ordered import Ordered
from qhyper.compose.parts import reordered
from qhyper.data.sets import load
from qhyper.errors import ConfigurationError, UnsuitableError
from qhyper.gradients.natural import NaturalGradient
from qhyper.gradients.parameter_shift import ParameterShift
from qhyper.gradients.score import ScoreFunction
from qhyper.hypernetwork import HyperNetwork, build_generator
from qhyper.quantum.ansatz import Brickwork, Reuploading
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.risk import Expectation
from qhyper.spending import Budget
from qhyper.streams import Streams
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layout import Block, Layout
from qhyper.training.trainer import settings_for, train

SEEDS = (3, 4)
LAYOUT = Layout(
    (Block("0.weight", (2, 2), (0, 1)), Block("0.bias", (2,), (1,)), Block("1.weight", (2, 1)))
)
ORDER = np.array([3, 1, 0, 2])


def conditional(n_bits=2, n_inputs=3, seeds=SEEDS):
    return ConditionalBernoulli(n_bits, n_inputs=n_inputs, hidden=2, seeds=seeds)


def circuit(n_bits=2, n_inputs=2, seeds=SEEDS, **options):
    ansatz = Reuploading(Brickwork(3), n_inputs)
    return QuantumHyperNetwork(n_bits, ansatz=ansatz, seeds=seeds, **options)


def by_chunks(seeds=SEEDS, **options):
    return Chunked(conditional(seeds=seeds), 3, **options)


def circuit_by_chunks(seeds=SEEDS, **options):
    return Chunked(circuit(seeds=seeds), 3, **options)


def joint(seeds=SEEDS):
    return Joined([Autoregressive(3, seeds=seeds), Bernoulli(2, seeds=seeds)])


def nested(seeds=SEEDS):
    inside = Joined([circuit_by_chunks(seeds), Bernoulli(2, seeds=seeds)])
    return Ordered(inside, [7, 0, 6, 1, 5, 2, 4, 3])


def tied(seeds=SEEDS):
    """Chunks by a joined pair that both see the embedding."""
    return Chunked(Joined([conditional(1, seeds=seeds), conditional(2, seeds=seeds)]), 2)


MAKERS = {
    "chunked": by_chunks,
    "chunked-circuit": circuit_by_chunks,
    "chunked-fixed": lambda seeds=SEEDS: by_chunks(seeds, embeddings="random"),
    "chunked-fixed-circuit": lambda seeds=SEEDS: circuit_by_chunks(seeds, embeddings="random"),
    "chunked-joined": tied,
    "chunked-ordered": lambda seeds=SEEDS: Chunked(Ordered(circuit(seeds=seeds), [1, 0]), 2),
    "joined": joint,
    "ordered": lambda seeds=SEEDS: Ordered(Autoregressive(4, seeds=seeds), ORDER.tolist()),
    "nested": nested,
}


@pytest.fixture(params=sorted(MAKERS))
def make(request):
    return MAKERS[request.param]


def moved(generator, scale=0.7):
    """Move the trained parameters well away from the start, each replica by its own seed."""
    with torch.no_grad():
        for parameter in generator.trained_parameters:
            for values, seed in zip(parameter, generator.seeds, strict=True):
                rng = np.random.default_rng([seed, values.numel()])
                values += torch.from_numpy(rng.normal(0, scale, values.shape))
    return generator


def draw(generator, shots, step=0, **options):
    return generator.sample(shots, rng=Streams(generator.seeds)(step), **options).bits


def every(generator):
    strings = all_bitstrings(generator.n_bits)
    return np.repeat(strings[None, None], generator.replicas, axis=0)


def table(generator):
    """p of all strings by log p, [replica, 2^n]."""
    return generator.log_prob(every(generator)).exp().detach().numpy()[:, 0]


def flat_gradient(generator):
    """[replica, parameter], in the order of `parameters()`."""
    each = [p.grad.reshape(generator.replicas, -1) for p in generator.trained_parameters]
    return torch.cat(each, dim=1).numpy()


# -- what all have in common ----------------------------------------------------------------------


def test_log_p_sums_to_one_and_gives_the_probabilities(make):
    generator = moved(make())
    p = table(generator)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=0, atol=1e-12)
    probabilities = generator.probabilities().detach().numpy()
    assert probabilities.shape == (2, 1, 2**generator.n_bits)
    np.testing.assert_allclose(probabilities[:, 0], p, rtol=0, atol=1e-12)


def test_draws_have_the_probabilities(make):
    # Seeds 3 and 4, 20,000 draws each: every frequency within 5 sigma of its probability.
    generator, shots = moved(make()), 20_000
    bits = draw(generator, shots)
    assert bits.shape == (2, 1, shots, generator.n_bits)
    for replica, p in enumerate(table(generator)):
        counts = np.bincount(
            bits[replica, 0] @ (1 << np.arange(generator.n_bits)), minlength=len(p)
        )
        sigma = np.sqrt(p * (1 - p) / shots)
        assert (abs(counts / shots - p) <= 5 * sigma + 1 / shots).all()


def test_probabilities_are_differentiable(make):
    generator = moved(make())
    costs = torch.from_numpy(np.random.default_rng(0).normal(size=2**generator.n_bits))
    generator.expectation(costs.expand(2, 1, -1)).sum().backward()
    by_probabilities = flat_gradient(generator)
    generator.zero_grad()
    (generator.log_prob(every(generator)).exp() * costs).sum().backward()
    np.testing.assert_allclose(by_probabilities, flat_gradient(generator), rtol=0, atol=1e-10)


def test_scores_are_the_central_differences_of_log_p(make):
    generator = moved(make())
    bits = draw(generator, 40)  # more than a block of the generic way
    scores = generator.scores(bits)
    assert scores.shape == (2, 1, 40, generator.n_parameters)
    column, step = 0, 1e-5
    for parameter in generator.trained_parameters:
        flat = parameter.detach().reshape(2, -1)
        for number in range(flat.shape[1]):
            sides = []
            for sign in (1, -1):
                flat[:, number] += sign * step
                sides.append(generator.log_prob(bits).detach().numpy())
                flat[:, number] -= sign * step
            expected = (sides[0] - sides[1]) / (2 * step)
            np.testing.assert_allclose(scores[..., column], expected, rtol=0, atol=2e-7)
            column += 1
    assert column == scores.shape[-1]


def test_accumulated_scores_are_the_scores_and_autograds(make):
    generator = moved(make())
    bits = draw(generator, 40)
    coefficients = np.random.default_rng(1).normal(size=(2, 1, 40))
    generator.accumulate_scores(bits, coefficients)
    accumulated = flat_gradient(generator)
    summed = np.einsum("rik,rikp->rp", coefficients, generator.scores(bits))
    np.testing.assert_allclose(accumulated, summed, rtol=0, atol=1e-10)
    generator.zero_grad()
    HyperNetwork.accumulate_scores(generator, bits, coefficients)
    np.testing.assert_allclose(accumulated, flat_gradient(generator), rtol=0, atol=1e-10)


def test_the_parts_of_a_replica_have_its_seed(make):
    together = moved(make())
    for index, seed in enumerate(SEEDS):
        alone = together.replica(index)
        nets = [module for module in alone.modules() if isinstance(module, HyperNetwork)]
        assert len(nets) > 1
        assert {net.seeds for net in nets} == {(seed,)}
        np.testing.assert_array_equal(draw(alone, 30), draw(together, 30)[index : index + 1])
        np.testing.assert_array_equal(table(alone), table(together)[index : index + 1])
        alone.initialise(1)
        other = make(seeds=(seed,))
        other.initialise(1)
        assert all(torch.equal(a, b) for a, b in zip(*map(_state, (alone, other)), strict=True))


def _state(generator):
    return generator.state_dict().values()


def test_a_deep_copy_and_a_state_are_the_same_distribution(make):
    generator = moved(make())
    copied, loaded = copy.deepcopy(generator), make(seeds=(8, 9))
    loaded.load_state_dict(generator.state_dict())
    for other in (copied, loaded):
        np.testing.assert_array_equal(table(other), table(generator))
    moved(copied)
    assert (table(copied) != table(generator)).any()


def test_a_restart_draws_every_part_anew(make):
    generator = make()
    first = [value.clone() for value in _state(generator)]
    generator.initialise(1)
    second = [value.clone() for value in _state(generator)]
    # buffers without a replica axis, such as masks, stay
    own = [name for name, _ in generator.named_parameters()]
    for name, one, two in zip(generator.state_dict(), first, second, strict=True):
        assert name not in own or not torch.equal(one, two)
    generator.initialise(0)
    assert all(torch.equal(a, b) for a, b in zip(_state(generator), first, strict=True))


# -- joined ---------------------------------------------------------------------------------------


def test_joined_is_its_parts_side_by_side():
    parts = [Autoregressive(3, seeds=SEEDS), Bernoulli(2, seeds=SEEDS)]
    whole = moved(Joined(parts))
    p = table(whole)
    each = [table(part) for part in parts]
    for replica, (first, second) in itertools.product(range(2), np.ndindex(8, 4)):
        expected = each[0][replica, first] * each[1][replica, second]
        assert p[replica, first + 8 * second] == pytest.approx(expected, rel=1e-12)
    rng = Streams(SEEDS)(0)
    in_turn = [part.sample(9, rng=rng).bits for part in parts]
    np.testing.assert_array_equal(draw(whole, 9), np.concatenate(in_turn, axis=-1))


def test_joined_puts_the_bits_of_named_blocks_where_they_are():
    # 0.weight is bits 0 to 3, 0.bias 4 and 5, 1.weight 6 and 7.
    outer = Autoregressive(4, seeds=SEEDS)
    whole = moved(
        Joined(
            {("1.weight", "0.bias"): outer, "0.weight": Bernoulli(4, seeds=SEEDS)}, layout=LAYOUT
        )
    )
    assert whole.describe().startswith("joined: 1.weight, 0.bias by ")
    bits = draw(whole, 50)
    inner = whole.parts[1].log_prob(bits[..., :4])
    expected = outer.log_prob(bits[..., [6, 7, 4, 5]]) + inner
    torch.testing.assert_close(whole.log_prob(bits), expected, rtol=0, atol=1e-12)
    p = whole.probabilities().detach().numpy()[:, 0]
    np.testing.assert_allclose(p, table(whole), rtol=0, atol=1e-12)


def test_equal_parts_neither_start_nor_draw_alike():
    whole = Joined([Bernoulli(20, seeds=SEEDS), Bernoulli(20, seeds=SEEDS)])
    one, two = (part.logits for part in whole.parts)
    assert (one != two).all()
    bits = draw(whole, 10)
    assert (bits[..., :20] != bits[..., 20:]).any()


def test_parts_that_see_an_input_see_the_same():
    inputs = np.random.default_rng(0).normal(size=(4, 3))
    parts = [conditional(2), conditional(1)]
    whole = moved(Joined(parts))
    assert whole.n_inputs == 3
    bits = draw(whole, 5, inputs=inputs)
    assert bits.shape == (2, 4, 5, 3)
    expected = parts[0].log_prob(bits[..., :2], inputs=inputs)
    expected = expected + parts[1].log_prob(bits[..., 2:], inputs=inputs)
    torch.testing.assert_close(whole.log_prob(bits, inputs=inputs), expected)
    scores = whole.scores(bits, inputs=inputs)
    whole.accumulate_scores(bits, np.ones((2, 4, 5)), inputs=inputs)
    np.testing.assert_allclose(scores.sum((1, 2)), flat_gradient(whole), rtol=0, atol=1e-10)
    turned = Ordered(whole, [2, 0, 1])
    log_p = turned.log_prob(bits, inputs=inputs)
    torch.testing.assert_close(log_p, whole.log_prob(bits[..., [2, 0, 1]], inputs=inputs))


def test_capabilities_follow_from_the_parts():
    able = Joined([circuit_by_chunks(), QuantumHyperNetwork(2, ansatz=Brickwork(1), seeds=SEEDS)])
    assert able.capabilities.log_prob
    assert able.capabilities.angles
    assert able.capabilities.quantum
    mixed = nested()
    assert mixed.capabilities.log_prob
    assert not mixed.capabilities.angles
    assert mixed.capabilities.quantum
    assert not joint().capabilities.quantum
    for generator in (able, mixed, joint()):
        assert generator.differentiable_bits == generator.max_probability_bits == 20


class Unknowable(Bernoulli):
    """Bits of which log p is not to be had."""

    from qhyper.hypernetwork import Capabilities

    capabilities = Capabilities()


def test_a_part_without_log_p_leaves_the_whole_without():
    for generator in (
        Joined([Unknowable(2, seeds=SEEDS), Bernoulli(1, seeds=SEEDS)]),
        Ordered(Unknowable(3, seeds=SEEDS), [2, 0, 1]),
    ):
        assert not generator.capabilities.log_prob
        assert generator.differentiable_bits == generator.max_probability_bits == 0
        bits = draw(generator, 4)
        for ask in (
            lambda g, b: g.log_prob(b),
            lambda g, b: g.scores(b),
            lambda g, b: g.accumulate_scores(b, np.ones((2, 1, 4))),
        ):
            with pytest.raises(ConfigurationError, match="has no log p: it can only be sampled"):
                ask(generator, bits)
        with pytest.raises(ConfigurationError, match="the limit is 0 bits"):
            generator.probabilities()


def test_too_many_bits_for_a_table_are_refused():
    whole = Joined([Bernoulli(11, seeds=SEEDS), Bernoulli(10, seeds=SEEDS)])
    with pytest.raises(ConfigurationError, match="the limit is 20 bits"):
        whole.probabilities()


# -- chunked --------------------------------------------------------------------------------------


def test_chunked_is_the_formula_written_out():
    generator = moved(by_chunks())
    W1, b1, W2, b2 = (
        getattr(generator.generator, name).detach().numpy() for name in ("W1", "b1", "W2", "b2")
    )
    embeddings = generator.embeddings.detach().numpy()
    bits = draw(generator, 30)
    log_p = generator.log_prob(bits).detach().numpy()
    for replica, shot in np.ndindex(2, 30):
        total = 0.0
        for chunk in range(3):
            hidden = embeddings[replica, chunk] @ W1[replica] + b1[replica]
            p = expit(hidden @ W2[replica] + b2[replica])
            own = bits[replica, 0, shot, 2 * chunk : 2 * chunk + 2]
            total += np.log(np.where(own, p, 1 - p)).sum()
        assert log_p[replica, 0, shot] == pytest.approx(total, rel=1e-12)


def test_draws_of_the_chunks_are_those_of_the_generator_at_its_embeddings():
    generator = moved(circuit_by_chunks())
    rng = Streams(SEEDS)(5)
    inside = generator.generator.sample(7, rng=rng, inputs=generator.embeddings).bits
    bits = draw(generator, 7, step=5)
    for chunk in range(3):
        np.testing.assert_array_equal(bits[:, 0, :, 2 * chunk : 2 * chunk + 2], inside[:, chunk])


def test_learned_embeddings_start_normal():
    # Seeds 0 to 99, 3,000 numbers: mean within 5 sigma, variance within 5 sigma of 1.
    start = Chunked(conditional(seeds=range(100)), 10).embeddings.detach().numpy()
    assert start.shape == (100, 10, 3)
    assert abs(start.mean()) < 5 / np.sqrt(3000)
    assert abs(start.var() - 1) < 5 * np.sqrt(2 / 3000)


def test_fixed_embeddings_are_kept_and_saved_and_not_trained():
    given = np.random.default_rng(0).normal(size=(3, 3))
    own, random = by_chunks(embeddings=given), by_chunks(embeddings="random")
    for generator, kind in ((own, "given"), (random, "random")):
        assert f"3 chunks of 2 bits, {kind} embeddings of 3 features" in generator.describe()
        assert generator.n_parameters == generator.generator.n_parameters
        assert "embeddings" in generator.state_dict()
        before = generator.embeddings.clone()
        generator.accumulate_scores(draw(generator, 5), np.ones((2, 1, 5)))
        assert generator.embeddings.grad is None
        torch.optim.Adam(generator.parameters(), lr=0.1).step()
        assert torch.equal(generator.embeddings, before)
    np.testing.assert_array_equal(own.embeddings.detach().numpy(), np.stack([given, given]))
    own.initialise(1)
    np.testing.assert_array_equal(own.embeddings.detach().numpy(), np.stack([given, given]))
    assert by_chunks().n_parameters == random.n_parameters + 9


def test_restarts_keep_the_random_embeddings_of_the_better_start():
    # Each replica ends with the parameters of one start, and with the embeddings of the same one.
    generator = by_chunks(embeddings="random")
    settings = settings_for(
        generator, {"restarts": 3, "draws": 8, "learning_rate": 1e-12}, Budget(evaluations=240)
    )
    train(generator, lambda bits: bits.mean(-1), settings)
    starts = []
    for restart in range(3):
        fresh = by_chunks(embeddings="random")
        fresh.initialise(restart)
        starts.append(fresh)
    for replica in range(2):
        chosen = [
            number
            for number, start in enumerate(starts)
            if torch.equal(generator.embeddings[replica], start.embeddings[replica])
        ]
        assert len(chosen) == 1
        kept, began = generator.generator, starts[chosen[0]].generator
        torch.testing.assert_close(kept.W2[replica], began.W2[replica], rtol=0, atol=1e-9)


# -- ordered --------------------------------------------------------------------------------------


def test_ordered_is_the_permuted_table():
    inside = moved(Autoregressive(4, seeds=SEEDS))
    outside = Ordered(inside, ORDER.tolist())
    p, strings = table(inside), all_bitstrings(4)
    expected = np.empty_like(p)
    for number, string in enumerate(strings):
        turned = np.zeros(4, dtype=int)
        for q, bit in enumerate(ORDER):
            turned[bit] = string[q]
        expected[:, turned @ (1 << np.arange(4))] = p[:, number]
    np.testing.assert_allclose(table(outside), expected, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(
        reordered(torch.from_numpy(p), ORDER).numpy(), expected.astype(p.dtype)
    )
    np.testing.assert_array_equal(draw(outside, 20)[..., ORDER], draw(inside, 20))


def test_ordered_is_the_order_of_a_circuit():
    # The same convention as the `order` of a circuit, whose qubit q carries bit order[q].
    inside = QuantumHyperNetwork(4, ansatz=Brickwork(2), order="row", seeds=SEEDS)
    own = QuantumHyperNetwork(4, ansatz=Brickwork(2), order=ORDER.tolist(), seeds=SEEDS)
    outside = Ordered(inside, ORDER.tolist())
    np.testing.assert_array_equal(draw(outside, 20), draw(own, 20))
    np.testing.assert_allclose(table(outside), table(own), rtol=0, atol=1e-12)


def test_the_order_has_a_name_with_a_layout():
    layout = Layout((Block("0.weight", (2, 2), (0, 1)), Block("1.weight", (2, 1), (1, 2))))
    ordered = Ordered(Bernoulli(6), "unit", layout=layout)
    np.testing.assert_array_equal(ordered.order, [0, 2, 4, 1, 3, 5])
    assert ordered.describe() == "Bernoulli, every weight by itself, order unit"
    np.testing.assert_array_equal(Ordered(Bernoulli(6), "row").order, np.arange(6))


def test_ordered_keeps_what_its_generator_learned():
    inside = moved(Autoregressive(4, seeds=SEEDS))
    before = table(inside)
    Ordered(inside, ORDER.tolist())
    np.testing.assert_array_equal(table(inside), before)


# -- gradients ------------------------------------------------------------------------------------


def circuits():
    small = QuantumHyperNetwork(2, ansatz=Brickwork(1), seeds=SEEDS)
    return Ordered(Joined([circuit_by_chunks(), small]), [7, 0, 6, 1, 5, 2, 4, 3])


def test_draws_at_the_angles_are_draws():
    generator = moved(circuits())
    angles = generator.angles()
    assert angles.shape == (2, 1, 3 * 12 + 4)
    bits = generator.sample_angles(angles.detach().numpy(), 6, rng=Streams(SEEDS)(0))
    np.testing.assert_array_equal(bits, draw(generator, 6))
    rows = np.repeat(angles.detach().numpy(), 3, axis=1)
    assert generator.sample_angles(rows, 6, rng=Streams(SEEDS)(0)).shape == (2, 3, 6, 8)


def test_the_shift_rule_is_the_gradient_at_the_embeddings_too():
    # Exact differences of E[L] at shifted angles, by the tables of the parts, against autograd.
    generator = moved(circuit_by_chunks())
    costs = torch.from_numpy(np.random.default_rng(2).normal(size=2**6)).expand(2, 1, -1)
    generator.expectation(costs).sum().backward()
    expected = flat_gradient(generator)
    generator.zero_grad()
    angles = generator.angles()
    slopes = np.zeros(angles.shape)
    inner = generator.generator
    assert list(generator.trained_angles) == list(range(36))

    def value(at):
        tables = inner.executable.at(at.reshape(2, 3, 12)).probabilities()
        whole = np.einsum("rk,rj,ri->rkji", *[tables[:, chunk] for chunk in (2, 1, 0)])
        return (whole.reshape(2, -1) * costs[:, 0].numpy()).sum(-1)

    for number in generator.trained_angles:
        sides = []
        for sign in (1, -1):
            at = angles.detach().numpy().copy()
            at[..., number] += sign * np.pi / 2
            sides.append(value(at))
        slopes[:, 0, number] = (sides[0] - sides[1]) / 2
    torch.autograd.backward(angles, torch.from_numpy(slopes))
    np.testing.assert_allclose(flat_gradient(generator), expected, rtol=0, atol=1e-10)


def test_angles_that_only_the_embedding_moves_are_trained():
    gates = (
        Gate("ry", (0,), 0),
        Gate("rz", (0,), Angle(inputs={0: 1.0})),
        Gate("ry", (0,), Angle(offset=0.3)),
    )
    inside = QuantumHyperNetwork(1, ansatz=Circuit(1, gates), seeds=SEEDS)
    np.testing.assert_array_equal(inside.trained_angles, [0])
    np.testing.assert_array_equal(Chunked(inside, 2).trained_angles, [0, 1, 3, 4])
    fixed = Chunked(inside, 2, embeddings="random")
    np.testing.assert_array_equal(fixed.trained_angles, [0, 3])
    np.testing.assert_array_equal(Ordered(fixed, [1, 0]).trained_angles, [0, 3])
    both = Joined([fixed, QuantumHyperNetwork(1, ansatz=Brickwork(1), seeds=SEEDS)])
    np.testing.assert_array_equal(both.trained_angles, [0, 3, 6, 7])
    inside.theta.requires_grad_(False)
    np.testing.assert_array_equal(Chunked(inside, 2).trained_angles, [1, 4])


@pytest.mark.parametrize("estimator", [ScoreFunction(200), ParameterShift(20)])
def test_estimates_of_the_gradient_are_unbiased(estimator):
    # Seeds 0 to 399, one estimate each from one point: means within 5 standard errors.
    seeds = tuple(range(400))
    generator = circuit_by_chunks(seeds)
    with torch.no_grad():
        for parameter in generator.parameters():
            start = np.random.default_rng(3).normal(0, 0.7, parameter.shape[1:])
            parameter.copy_(torch.from_numpy(start).expand_as(parameter))
    costs = np.random.default_rng(4).normal(size=2**6)
    losses = lambda bits: costs[bits @ (1 << np.arange(6))]  # noqa: E731
    estimator(generator, losses, Expectation(), rng=Streams(seeds)(0))
    estimates = flat_gradient(generator)
    alone = generator.replica(0)
    alone.expectation(torch.from_numpy(costs)[None, None]).sum().backward()
    sigma = estimates.std(axis=0) / np.sqrt(len(seeds))
    assert (abs(estimates.mean(axis=0) - flat_gradient(alone)[0]) <= 5 * sigma + 1e-12).all()


def test_the_natural_gradient_goes_through_the_scores():
    generator = moved(nested())
    losses = lambda bits: bits.mean(-1)  # noqa: E731
    NaturalGradient(64)(generator, losses, Expectation(), rng=Streams(SEEDS)(0))
    assert np.isfinite(flat_gradient(generator)).all()
    assert (flat_gradient(generator) != 0).any(axis=1).all()


@pytest.mark.parametrize("generator", ["quantum", "classical.conditional:ConditionalBernoulli"])
def test_few_qubits_learn_many_weights(generator):
    # Toy data, seeds 0 to 2, 36 bits by 6 chunks of 6, 64 draws a step: after 10,000 evaluations
    # the mean loss of every seed has fallen to less than half of the start's.
    objective = BinaryNetwork((4, 6, 2)).objective(load("toy").train)
    made = build_generator("chunked", 36, seeds=(0, 1, 2), options={"generator": generator})
    assert made.generator.n_bits == 6
    before = objective(draw(made, 1000)).mean(axis=(1, 2))
    train(made, objective, settings_for(made, {"restarts": 1}, Budget(evaluations=10_000)))
    after = objective(draw(made, 1000, step=1)).mean(axis=(1, 2))
    assert (after < before / 2).all()


# -- by name --------------------------------------------------------------------------------------


def test_chunked_by_name_chooses_chunk_and_features():
    for n_bits, size in ((36, 6), (8, 2), (7, 1), (400, 10)):
        made = chunked(n_bits, seeds=SEEDS, depth=2)
        assert (made.generator.n_bits, made.generator.n_inputs) == (size, size)
        assert (made.n_bits, made.seeds) == (n_bits, SEEDS)
    own = chunked(
        12, chunk=4, features=2, embeddings="random", ansatz="ring", rotations=["ry", "rz"]
    )
    assert own.embeddings.shape == (1, 3, 2)
    assert "ring" in own.describe()
    hidden = {"generator": "classical.conditional:ConditionalBernoulli", "hidden": 5}
    assert build_generator("chunked", 8, options=hidden).generator.b1.shape == (1, 5)
    turned = chunked(8, order="unit", layout=LAYOUT_OF_LAYERS)
    assert isinstance(turned, Ordered)
    np.testing.assert_array_equal(turned.order, LAYOUT_OF_LAYERS.order("unit"))
    assert turned.recipe == turned.generator.recipe


LAYOUT_OF_LAYERS = Layout((Block("a", (2, 2), (0, 1)), Block("b", (2, 2), (1, 2))))


def test_joined_by_name():
    parts = {
        "0.bias, 1.weight": {"generator": "quantum", "depth": 2},
        "0.weight": {"generator": "chunked", "chunk": 2},
    }
    made = build_generator("joined", 8, seeds=SEEDS, layout=LAYOUT, options={"parts": parts})
    assert [part.n_bits for part in made.parts] == [4, 4]
    assert isinstance(made.parts[1], Chunked)
    assert made.parts[0].n_parameters == 16
    bare = build_generator("joined", 8, layout=LAYOUT, options={"rest": "autoregressive"})
    assert [part.n_bits for part in bare.parts] == [4, 2, 2]
    assert {type(part) for part in bare.parts} == {Autoregressive}


def test_the_recipe_of_joined_suits_all_parts():
    def part(draws, rate, steps):
        made = Bernoulli(2)
        made.recipe = {"draws": draws, "learning_rate": rate, "start_steps": steps}
        return made

    whole = Joined([part(64, 1.0, 10), part(8, 0.1, 500)])
    assert whole.recipe == {"draws": 64, "learning_rate": 0.1, "start_steps": 500}
    assert Ordered(whole, [3, 2, 1, 0]).recipe == whole.recipe


def test_a_circuit_by_name_sees_inputs():
    made = build_generator("quantum", 3, options={"depth": 2, "n_inputs": 2})
    assert made.n_inputs == 2
    assert "that sees 2 features" in made.describe()


# -- refused --------------------------------------------------------------------------------------


def bits_of(n, seeds=SEEDS):
    return Bernoulli(n, seeds=seeds)


@pytest.mark.parametrize(
    ("parts", "layout", "message"),
    [
        ([], None, "Got no part to join; expected one generator or more"),
        (["bernoulli"], None, "Got a str as a part; expected a HyperNetwork. By name: build_gen"),
        ([bits_of(2, (1, 2)), bits_of(2, (1, 3))], None, r"seeds \(1, 2\) and \(1, 3\); expected"),
        ([bits_of(2), conditional(2)], None, "input features 0 and 3; expected the same for all"),
        ([bits_of(2), bits_of(2)], LAYOUT, "Got n_bits=4, but the layout 0.weight"),
        ({"0.weight": bits_of(8)}, None, r"blocks \['0.weight'\], and no layout to tell where"),
        (
            {"0.weight": bits_of(4), "0.bias": bits_of(2)},
            LAYOUT,
            "Got parts with 1.weight missing; expected each block of the layout 0.weight 2×2",
        ),
        (
            {"0.weight": bits_of(4), ("0.bias", "0.weight"): bits_of(6)},
            LAYOUT,
            "Got parts with 1.weight missing and 0.weight twice; expected each block",
        ),
        (
            {("0.weight", "0.bias", "0.bias"): bits_of(8), "1.weight": bits_of(2)},
            LAYOUT,
            "Got parts with 0.bias twice",
        ),
        ({"0.weigth": bits_of(4)}, LAYOUT, "block of bits '0.weigth'. Did you mean '0.weight'"),
        ({(): bits_of(4)}, LAYOUT, "Got a part for no block; expected the name of one or more"),
        (
            {"0.weight": bits_of(4), "0.bias": bits_of(3), "1.weight": bits_of(2)},
            LAYOUT,
            "The part of 0.bias has 3 bits, and there are 2 in the layout .* n_bits=2",
        ),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused(parts, layout, message):
    with pytest.raises(ConfigurationError, match=message):
        Joined(parts, layout=layout)


def test_one_generator_as_two_parts_is_refused():
    one = bits_of(2)
    with pytest.raises(ConfigurationError, match="Got one generator as two parts, which would"):
        Joined([one, one])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Chunked(bits_of(2), 3), "Got Bernoulli, every weight by itself to be asked once"),
        (lambda: Chunked("quantum", 3), "Got 'quantum' to be asked once a chunk; expected a gener"),
        (lambda: Chunked(conditional(), 0), "chunks is a whole number, at least 1; got 0"),
        (lambda: Chunked(conditional(), 2.0), "chunks is a whole number, at least 1; got 2.0"),
        (lambda: Chunked(conditional(), True), "chunks is a whole number, at least 1; got True"),
        (
            lambda: Chunked(conditional(), 2, embeddings="learnt"),
            "Unknown embeddings 'learnt'. Did you mean 'learned'",
        ),
        (
            lambda: Chunked(conditional(), 2, embeddings=np.zeros((3, 2))),
            r"shape \(3, 2\); expected finite numbers \[chunk, feature\] = \[2, 3\], or one of lea",
        ),
        (
            lambda: Chunked(conditional(), 1, embeddings=[[0.0, np.nan, 1.0]]),
            r"embeddings of shape \(1, 3\); expected finite numbers",
        ),
        (lambda: Ordered(bits_of(3), [0, 1]), r"order \[0, 1\]; expected a permutation of 0 to 2"),
        (lambda: Ordered(bits_of(2), [1, 1]), r"order \[1, 1\]; expected a permutation of 0 to 1"),
        (lambda: Ordered(bits_of(2), "unit"), "The order 'unit' depends on the target: pass its"),
        (lambda: Ordered(bits_of(8), "unti", layout=LAYOUT), "'unti'. Did you mean 'unit'"),
        (lambda: Ordered(bits_of(2), "row", layout=LAYOUT), "Got n_bits=2, but the layout"),
        (lambda: Ordered(None, [0]), "Got a NoneType as a part; expected a HyperNetwork"),
        (lambda: chunked(36, chunk=5), "chunk=5 for 36 bits; all chunks are whole, of one of 1, 2"),
        (lambda: chunked(4, generator="bernoulli"), "'bernoulli' takes no n_inputs, and a generat"),
        (lambda: chunked(4, generator="quantun"), "'quantun'. Did you mean 'quantum'"),
        (lambda: chunked(4, features=9), "Rz gates, with others after them, for . of 9 input feat"),
        (lambda: chunked(0), "at least 1 bit; got n_bits=0"),
        (lambda: joined(0), "at least 1 bit; got n_bits=0"),
        (lambda: joined(9, layout=LAYOUT), "Got n_bits=9, but the layout"),
        (
            lambda: joined(8, parts={"1.wait": "mlp"}, layout=LAYOUT),
            "block of bits '1.wait'. Did you mean '1.weight'",
        ),
        (
            lambda: joined(8, parts={"0.bias": {"depth": 2}}, layout=LAYOUT),
            r"part of 0.bias has the options \['depth'\] and no `generator`; expected its name",
        ),
        (
            lambda: joined(8, parts={"0.bias": {"generator": "mlp", "depht": 2}}, layout=LAYOUT),
            "option of the generator mlp: 'depht'",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_composed_is_refused(call, message):
    with pytest.raises(ConfigurationError, match=message):
        call()


def test_a_circuit_of_ones_own_by_name_sees_what_its_gates_see(tmp_path, monkeypatch):
    (tmp_path / "seeing_circuit_of_mine.py").write_text(
        "from qhyper.quantum.ansatz import Brickwork, Reuploading\n"
        "own = Reuploading(Brickwork(2), 2).build(2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    ansatz = "seeing_circuit_of_mine:own"
    assert chunked(4, ansatz=ansatz).embeddings.shape == (1, 2, 2)
    with pytest.raises(ConfigurationError, match="sees 2 features by its gates; got n_inputs=3"):
        chunked(4, ansatz=ansatz, features=3)


def test_joined_without_a_layout_is_not_made_for_the_target():
    with pytest.raises(UnsuitableError, match="named block of a target, and this one has no lay"):
        joined(8)


def test_bits_and_angles_of_another_shape_are_refused():
    for generator in (by_chunks(), joint(), nested()):
        n = generator.n_bits
        for ask in (generator.scores, generator.log_prob):
            with pytest.raises(ConfigurationError, match=f"of {n + 1} bits, expected {n}"):
                ask(np.zeros((2, 1, 3, n + 1), np.uint8))
        with pytest.raises(ConfigurationError, match="it takes no inputs"):
            generator.scores(np.zeros((2, 1, 3, n), np.uint8), inputs=np.zeros((1, 3)))
    with pytest.raises(ConfigurationError, match=r"angles of shape \(2, 1, 39\); expected .* 40\]"):
        circuits().sample_angles(np.zeros((2, 1, 39)), 4, rng=Streams(SEEDS)(0))
    with pytest.raises(ConfigurationError, match=r"shape \(2, 1, 35\); expected .* rows, 36\]"):
        circuit_by_chunks().sample_angles(np.zeros((2, 1, 35)), 4, rng=Streams(SEEDS)(0))


@pytest.mark.parametrize("make", [by_chunks, joint])
def test_angles_of_what_has_none_are_refused(make):
    with pytest.raises(ConfigurationError, match=r"has no angles\. Use an estimator that needs no"):
        make().angles()
    with pytest.raises(ConfigurationError, match="has no angles"):
        make().trained_angles  # noqa: B018
