"""Elite evolution against the printed pseudo-code, on all rows and on mini-batches."""

import numpy as np
import pytest

from classical.elite_search import EliteSearch
from classical.generations import flipped
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.streams import Streams
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.objective import Objective

N = 10
SEEDS = (5, 6)


def network_objective():
    rng = np.random.default_rng(0)
    data = Samples(rng.normal(size=(30, 3)), np.arange(30) % 2)
    return BinaryNetwork((3, 2, 2)).objective(data, "accuracy")  # few levels: many ties


def run(search, objective, evaluations, seeds=SEEDS):
    return list(search.search(objective, evaluations=evaluations, rng=Streams(seeds)(0, "search")))


def literal(objective, rng, evaluations, *, p, networks, children, weights, batch):
    """Bits, own losses and the elite's (bits, score, loss) of every generation, by loops."""
    a, b = weights
    elite, spent = None, 0
    while spent < evaluations:
        n = min(networks * children, evaluations - spent)
        if elite is None:
            population = [
                (bits, None) for bits in rng.integers(2, size=(n, objective.n_bits), dtype=np.uint8)
            ]
        else:
            parents = [elite[k // children] for k in range(n)]
            flips = flipped(np.zeros((n, objective.n_bits), np.uint8), p, rng)
            population = [
                (parent[0] ^ flip, parent[1]) for parent, flip in zip(parents, flips, strict=True)
            ]
        rows = np.arange(30) if batch is None else rng.choice(30, batch, replace=False)
        scored = []
        for bits, inherited in population:
            own = objective.on_rows(rows).losses(bits[None])[0]
            score = own if inherited is None else (a * own + b * inherited) / (a + b)
            scored.append((bits, score, own))
        elite = sorted(scored, key=lambda one: one[1])[:networks]
        spent += n
        yield scored, elite


@pytest.mark.parametrize("batch", [None, 7])
@pytest.mark.parametrize("weights", [(1, 0), (1, 1), (2, 3.5)])
def test_it_is_the_printed_scheme(batch, weights):
    # seeds 5 and 6, six generations of twelve and one of five
    options = {"p": 0.1, "networks": 3, "children": 4, "weights": weights, "batch": batch}
    objective, evaluations = network_objective(), 6 * 12 + 5
    found = run(EliteSearch(N, **options), objective, evaluations)
    assert objective.evaluations == 2 * evaluations
    assert objective.rows == 2 * evaluations * (batch or 30)
    assert [part.losses.shape[1] for part in found] == [12] * 6 + [5]
    for replica, seed in enumerate(SEEDS):
        (rng,) = Streams((seed,))(0, "search")
        expected = literal(objective, rng, evaluations, **options)
        for part, (scored, elite) in zip(found, expected, strict=True):
            np.testing.assert_array_equal(part.bits[replica], [one[0] for one in scored])
            losses = [one[2] for one in scored]
            np.testing.assert_allclose(part.losses[replica], losses, rtol=0, atol=1e-12)
            current = [one[2] for one in elite]
            np.testing.assert_allclose(part.current[replica], current, rtol=0, atol=1e-12)
            if batch is None:
                assert part.held is None
            else:
                np.testing.assert_array_equal(part.held[replica], elite[0][0])


def test_finds_the_optimum_of_a_separable_objective():
    # seeds 0 to 4, 3,000 evaluations of 12 bits
    gains = np.random.default_rng(0).normal(size=12)
    found = run(EliteSearch(12), Objective(lambda b: b @ gains, 12), 3000, range(5))
    best = np.min([part.losses.min(axis=1) for part in found], axis=0)
    np.testing.assert_allclose(best, gains[gains < 0].sum())


def test_says_what_it_is():
    assert EliteSearch(36).p == 6**0.5 / 36
    assert EliteSearch(36, networks=3, children=5).describe() == (
        "Elite evolution, 5 children of each of 3, 2.45 flips on average"
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"networks": 0}, "Got an elite of networks=0 with children=8 each"),
        ({"children": 0}, "Got an elite of networks=2 with children=0 each"),
        ({"weights": (0, 1)}, r"Got weights=\(0, 1\) of a child's own loss"),
        ({"weights": (1, -1)}, r"Got weights=\(1, -1\)"),
        ({"weights": (1,)}, r"Got weights=\(1,\)"),
        ({"weights": (1, np.nan)}, r"Got weights=\(1, nan\)"),
        ({"p": -1}, "Got p=-1; expected a probability"),
        ({"batch": 0}, "Got batch=0"),
    ],
)
def test_refuses_what_cannot_be(options, text):
    with pytest.raises(ConfigurationError, match=text):
        EliteSearch(N, **options)


def test_refuses_too_few_evaluations_before_any_is_spent():
    objective = network_objective()
    with pytest.raises(
        ConfigurationError,
        match=r"Got 15 evaluations, too few .* of 16\. Give more, or fewer networks",
    ):
        EliteSearch(N).search(objective, evaluations=15, rng=[])
    assert objective.evaluations == 0
