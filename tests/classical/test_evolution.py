"""The steps of the three schemes against the printed pseudo-code, with the same random numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classical.evolution import (
    ONE,
    CountingErrors,
    EliteEvolution,
    NaivePerturbation,
    Population,
    counting_step,
    elite_step,
    evolve,
    naive_step,
)
from classical.majority import MajorityNetwork, PackedSamples
from qhyper.errors import ConfigurationError
from qhyper.targets.packed.inputs import pack_bits
from qhyper.targets.packed.wrong import READINGS

# The network as it is printed, in plain Python: weights[layer][unit][input].


def printed_weights(network, words):
    """The weights that are XORed with inputs: the stored bits, complemented."""
    return [(1 - bits).tolist() for bits in network.shape.unpack(words)]


def forward(weights, x):
    """Outputs of every layer for one row, inputs first."""
    layers = [list(x)]
    for matrix in weights:
        outputs = []
        for unit in matrix:
            ones = sum(a ^ w for a, w in zip(layers[-1], unit, strict=True))
            zeros = len(unit) - ones
            outputs.append(0 if zeros > ones else 1)
        layers.append(outputs)
    return layers


def predicted_class(network, outputs):
    groups = [
        sum(outputs[c * network.label_bits : (c + 1) * network.label_bits])
        for c in range(network.classes)
    ]
    return groups.index(max(groups))


def count_correct(network, weights, x, labels):
    return sum(
        predicted_class(network, forward(weights, row)[-1]) == label
        for row, label in zip(x, labels, strict=True)
    )


def literal_wrong(network, weights, x, labels, reading="all-weights", voters_below=False):
    """Wrong weights by loops, in the shape of `weights`, as sections 4.1.5 and .3 have them."""
    wrong = [[[False] * len(unit) for unit in matrix] for matrix in weights]
    rows, half = [forward(weights, row) for row in x], len(x) / 2
    last = len(weights) - 1
    blamed = {}  # wrong units, and the rows on which each of them erred
    for o in range(len(weights[-1])):
        should = [int(label == o // network.label_bits) for label in labels]
        errors = [k for k, row in enumerate(rows) if row[-1][o] != should[k]]
        if len(errors) >= half:
            blamed[o] = errors
    for layer in range(last, -1, -1):
        inputs, votes_of_input = len(weights[layer][0]), {}
        for i in range(inputs):
            votes = {
                o: sum((rows[k][layer][i] ^ weights[layer][o][i]) == rows[k][layer + 1][o]
                       for k in errors)
                for o, errors in blamed.items()
            }  # fmt: skip
            votes_of_input[i] = sum(votes.values())
            for o in blamed:
                all_of_them = layer < last and not voters_below
                wrong[layer][o][i] = all_of_them or votes[o] >= half
        below = {}
        for i in range(inputs):
            of_input = sum(unit[i] for unit in wrong[layer])
            if {
                "all-weights": of_input > len(weights[layer]) / 2,
                "wrong-bits": of_input > len(blamed) / 2,
                "contributions": votes_of_input[i] >= half,
            }[reading]:
                below[i] = range(len(x))
        blamed = below
    return wrong


def as_matrices(network, where, masks):
    """Wrong weights as `literal_wrong` gives them."""
    words = np.zeros(network.shape.n_words, np.uint64)
    assert len(set(where.tolist())) == len(where)
    words[where] = masks
    np.testing.assert_array_equal(words & ~network.shape.ones, 0)
    return [bits.astype(bool).tolist() for bits in network.shape.unpack(words)]


SHAPES = [((9, 5, 6), 2), ((70, 6, 3), 1), ((5, 4, 5, 6), 2), ((4, 3, 3, 3, 3, 9), 3)]
"""Of three classes; the last one is of five layers."""
STEPS = 6


class Draws:
    """Whether a weight of a child flips: the draws of `flip` over words of a network.

    The words are counted in the order in which they are given; a bit of a word that is no weight
    is drawn for too, and nobody asks.
    """

    def __init__(self, network, children, words, p, rng):
        self.place = {word: k for k, word in enumerate(words)}
        self.bits = 64 * len(words)
        self.first = []  # number of the first word of every unit
        at = 0
        for n_out, n_in in network.shape.matrices:
            size = -(-n_in // 64)
            self.first.append([at + u * size for u in range(n_out)])
            at += n_out * size
        n = children * self.bits
        drawn = p > 0 and n > 0
        self.chosen = set(rng.choice(n, rng.binomial(n, p), False, shuffle=False)) if drawn else ()

    def __call__(self, child, layer, unit, i):
        word = self.first[layer][unit] + i // 64
        return child * self.bits + 64 * self.place[word] + i % 64 in self.chosen


def flip_each(weights, draws, child, may=lambda layer, unit, i: True):
    """For each weight: flip it if drawn and if it may flip."""
    return [
        [
            [
                1 - w if may(layer, u, i) and draws(child, layer, u, i) else w
                for i, w in enumerate(unit)
            ]
            for u, unit in enumerate(matrix)
        ]
        for layer, matrix in enumerate(weights)
    ]


def batches(network, rng, rows=7):
    while True:
        x = rng.integers(2, size=(rows, network.layers[0]), dtype=np.uint8)
        labels = rng.integers(network.classes, size=rows)
        yield x, labels, PackedSamples(pack_bits(x), labels)


def start(layers, label_bits, seed):
    """A network, random words of three, batches, and the same stream of random numbers twice."""
    network = MajorityNetwork(layers, label_bits, 3)
    rng = np.random.default_rng(seed)
    words = network.random(3, rng)
    streams = np.random.default_rng(seed + 1), np.random.default_rng(seed + 1)
    return network, words, batches(network, rng), *streams


@pytest.mark.parametrize(("layers", "label_bits"), SHAPES)
def test_naive_step_is_the_printed_one(layers, label_bits):
    network, words, rows, rng, same = start(layers, label_bits, seed=0)
    ours, literal = words[0], printed_weights(network, words[0])
    everything, kept = range(network.shape.n_words), 0
    for _, (x, labels, batch) in zip(range(4 * STEPS), rows, strict=False):
        ours = naive_step(network, ours, batch, p=0.1, rng=rng)
        draws = Draws(network, 1, everything, 0.1, same)
        new = flip_each(literal, draws, 0)
        if count_correct(network, literal, x, labels) > count_correct(network, new, x, labels):
            kept += 1
        else:
            literal = new
        assert printed_weights(network, ours) == literal
    assert 0 < kept < 4 * STEPS


@pytest.mark.parametrize(("layers", "label_bits"), SHAPES)
@pytest.mark.parametrize("weights", [(1, 0), (1, 1), (2, 3)])
def test_elite_step_is_the_printed_one(layers, label_bits, weights):
    network, words, rows, rng, same = start(layers, label_bits, seed=10)
    a, b = weights
    elite = Population(words, np.zeros(3, np.int64))
    literal = [(printed_weights(network, own), 0) for own in words]
    for size, (x, labels, batch) in zip((3, 2, 4, 1, 3, 3), rows, strict=False):
        elite = elite_step(
            network, elite, batch, p=0.05, children=4, elite_size=size, weights=weights, rng=rng
        )
        draws = Draws(network, 4 * len(literal), range(network.shape.n_words), 0.05, same)
        population = []
        for n, (parent, ancestors) in enumerate(literal):
            for c in range(4):
                child = flip_each(parent, draws, 4 * n + c)
                own = count_correct(network, child, x, labels)
                population.append((child, (a * own * ONE + b * ancestors) // (a + b)))
        literal = sorted(population, key=lambda pair: -pair[1])[:size]
        assert [printed_weights(network, own) for own in elite.words] == [n for n, _ in literal]
        assert elite.scores.tolist() == [score for _, score in literal]


@pytest.mark.parametrize(("layers", "label_bits"), SHAPES)
@pytest.mark.parametrize("p_all", [0.0, 0.05])
@pytest.mark.parametrize(
    "how",
    [{}, {"reading": "contributions"}, {"reading": "wrong-bits", "voters_below": True}],
    ids=["default", "contributions", "wrong-bits"],
)
def test_counting_step_is_the_printed_one(layers, label_bits, p_all, how):
    network, words, rows, rng, same = start(layers, label_bits, seed=20)
    ours, literal = words[0], printed_weights(network, words[0])
    children = 5
    for _, (x, labels, batch) in zip(range(STEPS), rows, strict=False):
        ours = counting_step(
            network, ours, batch, p=0.3, p_all=p_all, children=children, rng=rng, **how
        )
        wrong = literal_wrong(network, literal, x, labels, **how)
        draws = Draws(network, children, words_of(network, wrong), 0.3, same)
        again = Draws(network, children, range(network.shape.n_words), p_all, same)
        population = []
        for n in range(children):
            child = flip_each(literal, draws, n, lambda layer, u, i, w=wrong: w[layer][u][i])
            population.append(flip_each(child, again, n))
        right = [count_correct(network, child, x, labels) for child in population]
        literal = population[right.index(max(right))]
        assert printed_weights(network, ours) == literal


def words_of(network, wrong):
    """Numbers of the words that hold wrong weights, the last layer's first."""
    found, end = [], network.shape.n_words
    for matrix in reversed(wrong):
        size = -(-len(matrix[0]) // 64)
        first = end - size * len(matrix)
        for u, unit in enumerate(matrix):
            found += [first + u * size + k for k in range(size) if any(unit[64 * k : 64 * k + 64])]
        end = first
    return found


# Wrong weights


def problem(layers, label_bits, classes, rows, seed):
    network = MajorityNetwork(layers, label_bits, classes)
    rng = np.random.default_rng(seed)
    x = rng.integers(2, size=(rows, layers[0]), dtype=np.uint8)
    labels = rng.integers(classes, size=rows)
    return network, network.random(3, rng), x, labels


@st.composite
def problems(draw):
    label_bits, classes = draw(st.integers(1, 3)), draw(st.integers(2, 3))
    below = draw(st.lists(st.sampled_from((1, 2, 5, 63, 64, 65)), min_size=2, max_size=5))
    layers = (*below, label_bits * classes)
    return problem(layers, label_bits, classes, draw(st.integers(1, 6)), draw(st.integers(0, 99)))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(problems(), st.sampled_from(READINGS), st.booleans())
def test_wrong_weights_are_those_of_the_printed_rule(found, reading, voters_below):
    network, population, x, labels = found
    batch = PackedSamples(pack_bits(x), labels)
    how = {"reading": reading, "voters_below": voters_below}
    for words in population:
        wrong = as_matrices(network, *network.wrong_weights(words, batch, **how))
        weights = printed_weights(network, words)
        assert wrong == literal_wrong(network, weights, x, labels, **how)


def test_errors_reach_the_lower_layers_where_they_should():
    # three layers: some batches lay the errors to all layers, some to the last one, some to none
    reached = set()
    for seed in range(60):
        network, population, x, labels = problem((5, 4, 3, 2), 1, 2, 1, seed)
        wrong = as_matrices(
            network, *network.wrong_weights(population[0], PackedSamples(pack_bits(x), labels))
        )
        assert wrong == literal_wrong(network, printed_weights(network, population[0]), x, labels)
        reached.add(tuple(bool(np.any(matrix)) for matrix in wrong))
    assert {(True, True, True), (False, False, True), (False, False, False)} <= reached


# Training


def stripes(rows, seed):
    """Two classes that differ in the left half of 20 bits, with every bit noisy."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=rows)
    clean = np.where(np.arange(20) < 10, labels[:, None], 0)
    x = (clean ^ (rng.random((rows, 20)) < 0.1)).astype(np.uint8)
    return PackedSamples(pack_bits(x), labels)


SCHEMES = [
    NaivePerturbation(p=0.01, rows=300),
    EliteEvolution(p=0.01, rows=100, children=5, networks=4),
    CountingErrors(p=0.02, rows=3, children=1, one_class=True),
    CountingErrors(p=0.02, rows=2, children=4, p_all=0.001),
    CountingErrors(p=0.02, rows=1, children=1, reading="wrong-bits", voters_below=True),
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
def test_training_learns_an_easy_problem(scheme):
    # seed 0. The nearest of two patterns ten bits apart, with one bit in ten flipped, is right
    # with probability 0.998, which leaves the schemes much room above 0.8.
    network = MajorityNetwork((20, 15, 10), 5, 2)
    data, held_out = stripes(1000, 1), stripes(500, 2)
    seen = []
    trained = evolve(
        network, scheme, data, held_out, rng=np.random.default_rng(0), generations=500,
        check_every=50, progress=seen.append,
    )  # fmt: skip
    assert seen == trained.history
    assert [check.generation for check in seen] == list(range(0, 501, 50))
    assert sorted(check.seconds for check in seen) == [check.seconds for check in seen]
    best = max(check.accuracy for check in seen)
    assert network.correct(trained.words[None], held_out)[0] == best * 500
    assert best > 0.8


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
def test_the_same_stream_gives_the_same_network(scheme):
    network = MajorityNetwork((20, 15, 10), 5, 2)
    data = stripes(200, 1)
    runs = [
        evolve(network, scheme, data, data, rng=np.random.default_rng(seed), generations=30)
        for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(runs[0].words, runs[1].words)
    assert (runs[0].words != runs[2].words).any()


def test_training_ends_in_time():
    network = MajorityNetwork((20, 15, 10), 5, 2)
    data = stripes(200, 1)
    trained = evolve(
        network, SCHEMES[0], data, data, rng=np.random.default_rng(0), minutes=0.002, check_every=1
    )
    assert trained.history[-1].seconds >= 0.12
    assert trained.history[-2].seconds < 0.12


def test_batches_of_one_class_are_of_one_class(monkeypatch):
    from classical import evolution

    seen = []
    step = evolution.counting_step
    monkeypatch.setattr(
        evolution,
        "counting_step",
        lambda network, words, batch, **rest: (
            seen.append(batch) or step(network, words, batch, **rest)
        ),
    )
    network, data = MajorityNetwork((20, 15, 10), 5, 2), stripes(200, 1)
    evolve(network, SCHEMES[2], data, data, rng=np.random.default_rng(0), generations=40)
    assert {len(batch) for batch in seen} == {3}
    assert all(len(set(batch.labels.tolist())) == 1 for batch in seen)
    assert {int(batch.labels[0]) for batch in seen} == {0, 1}


# What is refused


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_refuses_what_is_no_probability(p):
    network, words, rows, rng, _ = start((9, 5, 6), 2, seed=0)
    _, _, batch = next(rows)
    elite = Population(words, np.zeros(3, np.int64))
    counting = {"children": 2, "rng": rng}
    with pytest.raises(ConfigurationError, match=f"Got p={p}; expected a probability"):
        naive_step(network, words[0], batch, p=p, rng=rng)
    with pytest.raises(ConfigurationError, match=f"Got p={p}; expected a probability"):
        elite_step(network, elite, batch, p=p, children=1, elite_size=1, weights=(1, 1), rng=rng)
    with pytest.raises(ConfigurationError, match=f"Got p={p}; expected a probability"):
        counting_step(network, words[0], batch, p=p, p_all=0, **counting)
    with pytest.raises(ConfigurationError, match=f"Got p={p}; expected a probability"):
        counting_step(network, words[0], batch, p=0.5, p_all=p, **counting)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"elite_size": 0}, "Got an elite of 0 from 3 networks with 2 children each"),
        ({"elite_size": 7}, "Got an elite of 7 from 3 networks with 2 children each"),
        ({"children": 0}, "Got an elite of 2 from 3 networks with 0 children each"),
        ({"weights": (0, 1)}, "Got weights=\\(0, 1\\)"),
        ({"weights": (1, -1)}, "Got weights=\\(1, -1\\)"),
    ],
)
def test_refuses_an_elite_that_cannot_be(change, text):
    network, words, rows, rng, _ = start((9, 5, 6), 2, seed=0)
    elite = Population(words, np.zeros(3, np.int64))
    given = {"p": 0.1, "children": 2, "elite_size": 2, "weights": (1, 1), "rng": rng} | change
    with pytest.raises(ConfigurationError, match=text):
        elite_step(network, elite, next(rows)[2], **given)


def test_refuses_no_children():
    network, words, rows, rng, _ = start((9, 5, 6), 2, seed=0)
    _, _, batch = next(rows)
    with pytest.raises(ConfigurationError, match="Got children=0"):
        counting_step(network, words[0], batch, p=0.1, p_all=0, children=0, rng=rng)


@pytest.mark.parametrize(
    "limits", [{}, {"minutes": 0}, {"generations": 0}, {"generations": 5, "check_every": 0}]
)
def test_refuses_training_without_an_end(limits):
    network, data = MajorityNetwork((20, 15, 10), 5, 2), stripes(20, 1)
    with pytest.raises(ConfigurationError, match="minutes or generations, or both"):
        evolve(network, SCHEMES[0], data, data, rng=np.random.default_rng(0), **limits)


def test_refuses_labels_that_are_no_classes_and_batches_of_nothing():
    network, data = MajorityNetwork((20, 15, 10), 5, 2), stripes(20, 1)
    rng = np.random.default_rng(0)
    foreign = PackedSamples(data.inputs, data.labels + 1)
    with pytest.raises(ConfigurationError, match="expected them from 0 to 1"):
        evolve(network, SCHEMES[0], foreign, data, rng=rng, generations=1)
    with pytest.raises(ConfigurationError, match="Got batches of 0 rows"):
        evolve(network, NaivePerturbation(0.1, 0), data, data, rng=rng, generations=1)
