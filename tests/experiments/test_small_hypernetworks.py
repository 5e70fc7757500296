"""Optima of small maps against brute force; the null model and the counts against closed forms."""

from dataclasses import replace
from itertools import chain, combinations, product
from math import comb
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.small_hypernetworks import landscape, maps, pictures, study, tables
from experiments.small_hypernetworks.codes import AffineCode, random_code, random_tying, tying
from experiments.small_hypernetworks.landscape import Landscape
from experiments.study import find
from qhyper import BinaryNetwork, Samples
from qhyper.bits import all_bitstrings, pack, unpack
from qhyper.data.sets import availability
from qhyper.errors import UnsuitableError

needs_mnist = pytest.mark.skipif(
    not availability()["mnist"].startswith("found"),
    reason="MNIST: QHYPER_DATA is not set",
)

SMALL = BinaryNetwork((2, 3, 2))  # 12 bits


def small(seed=0, rows=40):
    rng = np.random.default_rng(seed)
    return Landscape(SMALL, Samples(rng.integers(-2, 3, (rows, 2)), rng.integers(0, 2, rows)))


def every_loss(of):
    """By the plain forward pass, by number: bit i of the number is bit i of the string."""
    return SMALL.losses(all_bitstrings(12), of.objective.data)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_list_has_every_string_in_the_order_of_its_loss():
    of = small()
    assert sorted(of.in_order) == list(range(1 << 12))
    losses = every_loss(of)[of.in_order.astype(int)]
    assert (np.diff(losses) > -1e-9).all()


def test_the_best_is_that_of_every_string():
    of = small(5)
    strings = all_bitstrings(12)[rng(5).permutation(1 << 12)]
    best = of.best(np.array_split(strings, 50))  # most are worse on the heaviest rows alone
    assert best.loss == pytest.approx(every_loss(of).min())


def test_a_code_is_gz_plus_b():
    code = random_code(12, rng(1)).first(5)
    columns = unpack(np.array(code.columns, np.uint64)[:, None], 12)
    offset = unpack(np.array([[code.offset]], np.uint64), 12)[0]
    expected = [(z @ columns + offset) % 2 for z in all_bitstrings(5).astype(int)]
    np.testing.assert_array_equal(unpack(code.words()[:, None], 12), expected)
    every = np.arange(1 << 12, dtype=np.uint64)
    np.testing.assert_array_equal(code.contains(every), np.isin(every, code.words()))
    assert len(set(random_code(12, rng(2)).words().tolist())) == 1 << 12


@pytest.mark.parametrize("k", [1, 4, 7, 11, 12])
def test_tied_weights_are_equal_or_opposite(k):
    code = random_tying(12, k, rng(k), signs=True)
    label = rng(k).permutation(np.arange(12) % k)
    bits = unpack(code.words()[:, None], 12) ^ unpack(np.array([[code.offset]], np.uint64), 12)
    assert len(bits) == len({tuple(row) for row in bits.tolist()}) == 1 << k
    for one in range(k):
        assert (bits[:, label == one] == bits[:, label == one][:, :1]).all()
    plain = random_tying(12, k, rng(k), signs=False)
    assert (plain.columns, plain.offset) == (code.columns, 0)


def test_the_best_of_a_code_is_the_same_both_ways():
    of = small(3)
    losses = every_loss(of)
    for k in range(1, 13):
        for code in (random_code(12, rng(k)).first(k), random_tying(12, k, rng(k), signs=True)):
            expected = losses[code.words().astype(int)].min()
            for forward in (0, 12):  # down the list, and by enumeration
                best = of.best_of_code(code, forward=forward)
                assert best.loss == pytest.approx(expected, abs=1e-12)
                assert SMALL.losses(best.bits, of.objective.data) == pytest.approx(best.loss)
                assert code.contains(pack(best.bits[None])[:, 0]).all()


def test_the_best_of_prefixes_is_that_of_every_code(monkeypatch):
    monkeypatch.setattr(landscape, "FORWARD", 6)
    of, code = small(4), random_code(12, rng(9))
    found = of.best_of_prefixes(code, range(1, 13))
    for k, best in enumerate(found, start=1):
        expected = every_loss(of)[code.first(k).words().astype(int)].min()
        assert best.loss == pytest.approx(expected, abs=1e-12)
    assert found[-1].loss == pytest.approx(of.certificate.minimum_loss)


def test_a_large_code_that_the_list_misses_is_refused():
    of = small()
    of.__dict__["in_order"] = np.array([1], np.uint64)
    code = AffineCode(0, tuple(1 << 1 for _ in range(25)))
    with pytest.raises(
        UnsuitableError,
        match=r"^Got a code of 25 bits, of which none of the 1 best strings is a word; expected "
        r"one\. Take a code of at most 24 bits, which is enumerated, or a longer list\.$",
    ):
        of.best_of_code(code, forward=18)


def test_labels_of_minus_one_are_fixed():
    code = tying([0, 0, -1, -1, 1], [0, 1, 0, 1, 0])
    strings = {tuple(row) for row in unpack(code.words()[:, None], 5).tolist()}
    assert strings == {(a, 1 - a, 0, 1, b) for a in (0, 1) for b in (0, 1)}


# -- maps ------------------------------------------------------------------------------------------


def strings(blocks):
    return np.concatenate([bits.copy() for bits in blocks])


def signs(k):
    return 2 * all_bitstrings(k).astype(int) - 1


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_a_linear_map_has_no_sum_of_zero_and_no_opposite_half(k):
    found = strings(maps.linear(36, k, rng(k)))
    constants = 1 if k % 2 == 0 else 2
    matrix = 2 * rng(k).integers(0, 2, (k + constants, 36)) - 1
    for z, bits in zip(signs(k), found, strict=True):
        sums = np.array([*z, *[1] * constants]) @ matrix
        assert (sums != 0).all()
        np.testing.assert_array_equal(bits, sums > 0)


def oeys(k, seed):
    """Hidden sums [z, 16] of k-16-36 with ±1 weights, and its last layer with the bias [17, 36]."""
    draw, constants = rng(seed), 1 if k % 2 == 0 else 2
    above = 2 * draw.integers(0, 2, (17, 36)) - 1
    below = 2 * draw.integers(0, 2, (k + constants, 16)) - 1
    return np.c_[signs(k), np.ones((1 << k, constants), int)] @ below, above


@pytest.mark.parametrize("k", [3, 4])
def test_two_layers_have_oeys_linear_hidden_units(k):
    hidden, above = oeys(k, 5)
    sums = np.c_[hidden, np.ones(1 << k, int)] @ above
    assert (sums != 0).all()
    np.testing.assert_array_equal(strings(maps.two_layers(36, k, rng(5))), sums > 0)


def test_two_sign_layers_are_the_same_with_signs_between():
    hidden, above = oeys(4, 5)
    assert (hidden != 0).all()
    expected = np.c_[np.sign(hidden), np.ones(16, int)] @ above > 0
    np.testing.assert_array_equal(strings(maps.two_sign_layers(36, 4, rng(5))), expected)


def test_oeys_generator_with_all_weights_free_reaches_every_string():
    # 4-16-36, ±1: with hidden sums h, the row w_i sign(h) of the last layer gives the weight w_i
    hidden = oeys(4, 6)[0]
    weights, bias = 2 * rng(7).integers(0, 2, (2, 36)) - 1
    for h in hidden:
        np.testing.assert_array_equal(np.sign(np.outer(weights, np.sign(h)) @ h + bias), weights)


def test_maps_by_unit_against_loops():
    index = maps.by_unit(SMALL)
    first, second = SMALL.layout.bits.values()
    assert index[1].tolist() == [*first[:, 1], *second[1]]
    embedding = signs(2)[rng(3).permutation(4)[:3]]
    found = {tuple(row) for row in strings(maps.learned_layer(SMALL, embedding)).tolist()}
    expected = np.zeros((256, 12), int)
    for layer, bits in zip(signs(8).reshape(256, 4, 2), expected, strict=True):
        bits[index] = [[layer[b] @ embedding[unit] >= 0 for b in range(4)] for unit in range(3)]
    assert found == {tuple(row) for row in expected.tolist()}


@pytest.mark.parametrize(
    ("width", "choices"), [(1, [1]), (2, [4, 2]), (3, [12, 12, 4])]
)  # of pairs that are used again, or left out: they differ in 1, 2 or 3 numbers
def test_kinds_of_embeddings_are_those_of_pairs(width, choices):
    found = list(maps.embeddings(6, width))
    assert [number for number, _ in found] == choices
    for _, embedding in found:
        times = [(embedding == code).all(axis=1).sum() for code in signs(width)]
        assert max(times) - min(times) <= 1


def test_kinds_of_six_corners_of_four_dimensions():
    # 50 by Polya's count, of all choices of 6 of 16
    found = [number for number, _ in maps.embeddings(6, 4)]
    assert (len(found), sum(found)) == (50, comb(16, 6))


def test_choices_of_a_kind_have_the_same_optimum():
    # XOR, seed 4: of random labels all choices have the optimum ln 2
    x = rng(4).integers(-2, 3, (40, 2))
    of = Landscape(SMALL, Samples(x, ((x > 0).sum(axis=1) == 1).astype(int)))

    def least(embedding):
        return round(of.best(maps.learned_layer(SMALL, embedding.astype(np.int8))).loss, 12)

    kinds = [number * [least(embedding)] for number, embedding in maps.embeddings(3, 3)]
    every = [least(signs(3)[[*chosen]]) for chosen in combinations(range(8), 3)]
    assert len(kinds) == 3
    assert sorted(chain.from_iterable(kinds)) == sorted(every)
    assert len(set(every)) > 1


def test_both_learned_in_one_order_has_the_optimum_of_all_orders():
    of = small(8)
    every = np.zeros((128, 12), np.uint8)
    for setting, bits in zip(signs(7), every, strict=True):
        bits[maps.by_unit(SMALL)] = np.outer(setting[:3], setting[3:]) >= 0
    best = of.best(maps.both_learned(SMALL, 1))
    assert best.loss == pytest.approx(SMALL.losses(every, of.objective.data).min())


def test_a_linear_map_is_the_same_in_blocks(monkeypatch):
    whole = strings(maps.linear(36, 5, rng(1)))
    monkeypatch.setattr(maps, "LOW", 2)
    np.testing.assert_array_equal(strings(maps.linear(36, 5, rng(1))), whole)


def test_learned_embeddings_in_one_order_have_the_optimum_of_all_orders():
    of = small(8)
    fixed = 2 * rng(4).integers(0, 2, (2, 4)) - 1
    strings = signs(2) @ fixed >= 0
    every = np.zeros((64, 12), np.uint8)
    for row, units in zip(every, product(range(4), repeat=3), strict=True):
        row[maps.by_unit(SMALL)] = strings[list(units)]
    best = of.best(maps.learned_embeddings(SMALL, 2, rng(4)))
    assert best.loss == pytest.approx(SMALL.losses(every, of.objective.data).min())


@pytest.mark.parametrize("p", [1, 2, 3])
def test_cells_are_all_signs_of_a_real_map(p):
    # 7 planes; every one of 20,000 random points lies in a cell, seed 0
    slopes, offsets = rng(1).standard_normal((7, p)), rng(2).standard_normal(7)
    found = {tuple(row) for row in maps.cells(slopes, offsets).tolist()}
    assert len(found) == sum(comb(7, i) for i in range(p + 1))
    points = rng(0).standard_normal((20_000, p)) * 5
    assert {tuple(row) for row in (points @ slopes.T + offsets > 0).astype(int).tolist()} <= found


def test_planes_through_one_point_are_refused():
    with pytest.raises(
        ArithmeticError,
        match=r"^Got \d+ cells of 4 planes in R\^2, expected 11\. The planes are not in general "
        r"position, or nearly so: draw others\.$",
    ):
        maps.cells(rng().standard_normal((4, 2)), np.zeros(4))


# -- the study -------------------------------------------------------------------------------------


def test_the_null_model_is_the_mean_of_the_best_of_draws():
    certificate = small(2).certificate
    mean = certificate.levels @ (certificate.multiplicities / certificate.configurations)
    assert study.expected_regret(certificate, 1) == pytest.approx(mean - certificate.minimum_loss)
    # best of 8, seed 0, 40,000 times, 5 sigma
    losses = every_loss(small(2))
    drawn = losses[rng().integers(0, 1 << 12, (40_000, 8))].min(axis=1)
    error = drawn.std() / 200
    assert abs(drawn.mean() - losses.min() - study.expected_regret(certificate, 8)) < 5 * error


def test_structures_have_the_bits_that_they_say():
    found = study.structures()
    assert found["all weights"].words().tolist() == [0, (1 << 36) - 1]
    opposite = found["2 units, each used again; opposite outputs"]
    bits = unpack(opposite.words()[:, None], 36)[:, maps.by_unit(study.NETWORK)]
    assert opposite.n_bits == 10
    assert (bits[:, :, 4] != bits[:, :, 5]).all()
    for unit in range(6):
        np.testing.assert_array_equal(bits[:, unit], bits[:, unit % 2])


def test_the_optimal_strings_are_those_of_least_loss():
    of = small(6)
    losses = every_loss(of)
    expected = np.flatnonzero(losses < losses.min() + 1e-12)
    assert sorted(of.optimal.tolist()) == expected.tolist()


def test_a_code_reaches_the_optimum_if_it_has_an_optimal_string(monkeypatch):
    # the offset of the first of two codes is the only optimal string
    optimal = random_code(36, np.random.default_rng(np.random.SeedSequence([1, 0]))).offset
    of = SimpleNamespace(optimal=np.array([optimal], np.uint64))
    monkeypatch.setattr(study, "_landscape", lambda data: of)
    found = study.reach("toy", replace(study.QUICK, many=2))
    assert found["codes"] == [0.5] * (len(study.REACH) - 1) + [1]
    assert found["tied"][0] == 0
    assert (found["tied"][-1], found["tied-signs"][-1]) == (1, 1)


def test_maps_that_reach_the_optimum_are_counted_by_size():
    of = {"sizes": [1, 2], "loss": [[0.5, 0.2, 0.2], [0.3]]}
    many = {"sizes": [2], "maps": 10, "codes": [0.3]}
    results = {
        "toy-others": {"target": {"minimum": 0.2}, "reach": many, "codes": of},
        "toy-long": {"linear": of},
    }
    assert tables.reached(results, "linear", "toy") == {1: (2, 3), 2: (0, 1)}
    assert tables.reached(results, "codes", "toy") == {1: (2, 3), 2: (3, 10)}


def test_half_of_the_maps():
    assert tables.half_reach({1: (9, 20), 2: (10, 20), 3: (20, 20)}) == (2, 3)
    assert tables.half_reach({1: (9, 20), 2: (3, 3)}) == (None, 1)  # too few
    assert tables.half_reach({6: (0, 1), 12: (1, 1)}) == (12, 12)  # there is one


def known(data):
    """In the place of the certificates of 4-6-2, which take longest."""
    return {
        "minimum": {"toy": 0.115973, "mnist": 0.370182}[data],
        "accuracy": 0.9,
        "optimal_strings": 720,
        "functions": 1_884_961,
        "losses": 1_875_337,
        "mean_regret": [2.0**-k for k in range(37)],
        "chance": [min(1.0, 2.0 ** (k - 26)) for k in range(37)],
    }


def many(data, size):
    """In the place of the list of the best strings, which takes long as well."""
    shares = [min(1.0, 2.0 ** (k - 27)) for k in study.REACH]
    names = ("codes", "tied", "tied-signs")
    return {"sizes": list(study.REACH), "maps": 1000, **dict.fromkeys(names, shares)}


@needs_mnist
def test_the_quick_setting_gives_tables_and_pictures(monkeypatch, tmp_path):
    monkeypatch.setattr(study, "target", known)
    monkeypatch.setattr(study, "reach", many)
    results = {name: part() for name, part in study.parts(True).items()}
    text = tables.tables(results)
    assert "nan" not in text
    assert "needs 21 bits or more, and 21 suffice" in text
    assert "| half | 25 | 26 | 26 | 26 | above 9 | above 9 | above 8 |" in text
    pictures.draw(results, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"regret.svg", "least.svg"}
    numbers = study.measured(results)
    expected = find("small-hypernetworks").expectations(True)
    # the minima are those above, in six digits
    assert all(bound.holds(numbers[name]) for name, bound in expected.items())
    assert find("small-hypernetworks").expectations(False)
