"""Certificates against brute force with the plain forward pass, and against known facts."""

import json
import math
import os
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import logsumexp

from qhyper.bits import all_bitstrings, from_string
from qhyper.data.samples import Samples
from qhyper.data.sets import load
from qhyper.errors import ConfigurationError, UnsuitableError
from qhyper.targets.exact import certificate as module
from qhyper.targets.exact.certificate import (
    _level_starts,
    _Survey,
    certify,
    certify_objective,
    nearest_provable,
)
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.loss import LOSSES
from qhyper.targets.objective import Objective
from qhyper.targets.target import SAME_LOSS


def samples(layers, seed=0, rows=40):
    """Rows of small integers, so that many sums are 0."""
    rng = np.random.default_rng(seed)
    return Samples(
        rng.integers(-2, 3, (rows, layers[0])), rng.integers(0, max(layers[-1], 2), rows)
    )


def check_against_brute_force(certificate, network, data, loss):
    bits = all_bitstrings(network.n_bits)
    losses, accuracy = network.losses(bits, data, loss), network.accuracy(bits, data)
    optimal = losses <= losses.min() + 1e-9
    assert certificate.configurations == len(bits)
    assert certificate.minimum_loss == pytest.approx(losses.min(), abs=1e-12)
    assert certificate.optimal_bitstrings == optimal.sum()
    assert certificate.uniform_hit_probability == pytest.approx(optimal.mean(), rel=1e-12)
    assert certificate.expected_draws == pytest.approx(1 / optimal.mean(), rel=1e-12)
    assert certificate.accuracy_at_minimum == pytest.approx(accuracy[optimal].max(), abs=1e-12)
    assert certificate.best_accuracy == pytest.approx(accuracy.max(), abs=1e-12)
    assert certificate.best_accuracy_bitstrings == (accuracy == accuracy.max()).sum()
    for temperature in (0.05, 1.0):
        expected = np.log(np.exp(-losses / temperature).sum())
        assert certificate.log_Z_at(temperature) == pytest.approx(expected, abs=1e-7)
    distance = np.abs(losses[:, None] - certificate.levels)
    assert distance.min(axis=1).max() < 1e-9
    np.testing.assert_array_equal(np.bincount(distance.argmin(axis=1)), certificate.multiplicities)
    check_representatives(certificate, network, data, loss)
    least = losses[accuracy == accuracy.max()].min()  # of the most accurate, one of least loss
    found = network.losses(certificate.best_accuracy_bits, data, loss)
    assert found == pytest.approx(least, abs=1e-9)


def check_representatives(certificate, network, data, loss="cross_entropy"):
    optimum, most = certificate.optimum, certificate.best_accuracy_bits
    assert optimum.dtype == most.dtype == np.uint8
    assert network.losses(optimum, data, loss) == pytest.approx(certificate.minimum_loss, abs=1e-9)
    assert network.accuracy(optimum, data) == pytest.approx(
        certificate.accuracy_at_minimum, abs=1e-12
    )
    assert network.accuracy(most, data) == pytest.approx(certificate.best_accuracy, abs=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("sign_of_zero", [0, 1])
@pytest.mark.parametrize("method", ["classes", "enumeration"])
@pytest.mark.parametrize("layers", [(2, 2, 2), (3, 2, 2), (2, 3, 1), (3, 2, 1), (1, 3, 2)])
def test_one_hidden_layer_against_brute_force(layers, method, sign_of_zero, loss):
    network, data = BinaryNetwork(layers, sign_of_zero=sign_of_zero), samples(layers)
    certificate = certify(network, data, loss=loss, method=method)
    assert certificate.method == method
    check_against_brute_force(certificate, network, data, loss)


@pytest.mark.parametrize("layers", [(3, 3), (4, 1), (2, 2, 2, 2), (9, 1, 1), (2, 2, 3)])
def test_other_networks_are_enumerated(layers):
    network, data = BinaryNetwork(layers), samples(layers)
    certificate = certify(network, data)
    assert certificate.method == "enumeration"
    assert certificate.functions is None
    check_against_brute_force(certificate, network, data, "cross_entropy")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "space",
    [
        WeightSpace((2, 2, 1), biases=True, activation=("relu", "sigmoid")),
        WeightSpace((4, 1), biases=True, values=((0, 1), (-1, 1), (-2, 1), (-3, 1))),
        WeightSpace((2, 2, 1), biases=True, optional=("biases", "units", "layers")),
        WeightSpace((2, 3), values=(-0.5, 0.75)),
    ],
    ids=repr,
)
def test_spaces_with_choices_are_enumerated(space, loss):
    network, data = BinaryNetwork(space), samples(space.layers)
    certificate = certify(network, data, loss=loss)
    assert certificate.method == "enumeration"
    check_against_brute_force(certificate, network, data, loss)


def test_classes_are_of_plain_spaces():
    network = BinaryNetwork(WeightSpace((2, 2, 1), biases=True))
    reason = "need weights of -1 and .1 alone, between signs, and its bits are more"
    with pytest.raises(UnsuitableError, match=rf"'classes' does not apply to .*biases.*{reason}"):
        certify(network, samples((2, 2, 1)), method="classes")
    large = BinaryNetwork(WeightSpace((4, 6, 2), biases=True))
    with pytest.raises(UnsuitableError, match=rf"{reason}; enumeration does not apply: .*2\^44"):
        certify(large, samples((4, 6, 2)))


@pytest.mark.parametrize("sign_of_zero", [0, 1])
def test_inputs_of_plus_and_minus_one(sign_of_zero):
    network = BinaryNetwork((3, 2, 2), sign_of_zero=sign_of_zero)
    data = Samples(2 * all_bitstrings(3).astype(float) - 1, np.array([0, 1, 1, 0, 1, 0, 0, 0]))
    for method in ("classes", "enumeration"):
        check_against_brute_force(
            certify(network, data, method=method), network, data, "cross_entropy"
        )


@pytest.mark.parametrize("sign_of_zero", [0, 1])
@pytest.mark.parametrize("layers", [(3, 4, 2), (2, 5, 1)])
def test_both_methods_agree(layers, sign_of_zero):
    network, data = BinaryNetwork(layers, sign_of_zero=sign_of_zero), samples(layers, rows=200)
    one, other = (certify(network, data, method=method) for method in ("classes", "enumeration"))
    np.testing.assert_allclose(one.levels, other.levels, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(one.multiplicities, other.multiplicities)
    for name in ("optimal_bitstrings", "best_accuracy", "best_accuracy_bitstrings"):
        assert getattr(one, name) == getattr(other, name)
    assert one.accuracy_at_minimum == other.accuracy_at_minimum
    assert one.log_Z == pytest.approx(other.log_Z, abs=1e-7)


@pytest.mark.parametrize(
    ("layers", "sign_of_zero", "functions"),
    [
        ((4, 6, 2), 1, 1_884_961),
        ((4, 6, 2), 0, 40_081),
        ((2, 32, 1), 1, None),
        ((3, 13, 2), 0, None),
    ],
)
def test_multiplicities_sum_to_all_bitstrings(layers, sign_of_zero, functions):
    network, data = BinaryNetwork(layers, sign_of_zero=sign_of_zero), samples(layers, rows=20)
    certificate = certify(network, data)
    total = sum(int(count) for count in certificate.multiplicities)
    assert total == certificate.configurations == 2**network.n_bits
    assert functions in (None, certificate.functions)
    assert sum(certificate.histogram()[1]) == total
    assert certificate.uniform_hit_probability == certificate.optimal_bitstrings / total
    assert (np.diff(certificate.levels) > 1e-9).all()
    check_representatives(certificate, network, data)


def test_toy():
    network, data = BinaryNetwork((4, 6, 2)), load("toy").train
    certificate = certify(network, data)
    assert certificate.minimum_loss == pytest.approx(0.1160, abs=0.002)
    assert certificate.accuracy_at_minimum == pytest.approx(0.9184, abs=0.002)
    assert certificate.best_accuracy == pytest.approx(0.9193, abs=0.002)
    check_representatives(certificate, network, data)


@pytest.mark.skipif("QHYPER_DATA" not in os.environ, reason="MNIST: QHYPER_DATA is not set")
def test_mnist():
    network, data = BinaryNetwork((4, 6, 2)), load("mnist").train
    certificate = certify(network, data)
    assert certificate.minimum_loss == pytest.approx(0.370182, abs=5e-7)
    assert certificate.accuracy_at_minimum == pytest.approx(0.87698, abs=5e-6)
    assert certificate.best_accuracy == pytest.approx(0.88014, abs=5e-6)
    check_representatives(certificate, network, data)


def test_dictionary_and_histogram():
    network, data = BinaryNetwork((2, 3, 2)), samples((2, 3, 2))
    certificate = certify(network, data, temperature=0.1)
    report = json.loads(json.dumps(certificate.to_dict()))
    assert report["bits"] == 12
    assert report["configurations"] == 4096
    assert report["levels"] == len(certificate.levels)
    assert report["log_Z"] == certificate.log_Z == certificate.log_Z_at(0.1)
    np.testing.assert_array_equal(from_string(report["optimum"]), certificate.optimum)
    losses = network.losses(all_bitstrings(12), data)
    edges, counts = certificate.histogram(7)
    assert len(edges) == 8
    assert all(type(count) is int for count in counts)
    assert sum(counts) == 4096
    # counts up to an edge, wherever no loss stands on it
    for edge, below in zip(edges[1:-1], np.cumsum(counts)[:-1], strict=True):
        assert (losses < edge).sum() == below


def test_a_flat_landscape_has_one_level():
    certificate = certify_objective(Objective(lambda bits: np.full(len(bits), 0.5), 4))
    assert certificate.multiplicities.tolist() == [16]
    assert certificate.expected_draws == 1
    assert certificate.log_Z_at(0.5) == pytest.approx(np.log(16) - 1)
    assert sum(certificate.histogram(3)[1]) == 16


def test_own_objective():
    objective = Objective(lambda bits: np.abs(bits.sum(axis=1) - 2.0), 5)
    certificate = certify_objective(objective)
    assert objective.evaluations == 32
    assert certificate.levels.tolist() == [0, 1, 2, 3]
    assert certificate.multiplicities.tolist() == [10, 5 + 10, 1 + 5, 1]
    assert certificate.optimum.sum() == 2
    assert certificate.to_dict()["best_accuracy"] is None
    json.dumps(certificate.to_dict())


def test_levels_are_anchored_at_their_lowest_loss():
    losses = np.array([0.0, 0.6e-9, 1.2e-9, 1.8e-9, 2.6e-9, 1.0, 1.0 + 0.9e-9, 2.0])
    assert _level_starts(losses).tolist() == [0, 2, 4, 5, 7]


@pytest.mark.parametrize(("rows", "wrong"), [(12, 5), (17, 5), (17, 6), (22, 9), (24, 10), (40, 7)])
def test_accuracies_are_whole_numbers_of_samples(rows, wrong):
    """Of equal inputs, of which so many have the other label: rows · (1 - wrong / rows) rounds."""
    data = Samples(np.ones((rows, 1)), (np.arange(rows) >= wrong).astype(int))
    certificate = certify(BinaryNetwork((1, 1)), data, method="enumeration")
    right = max(wrong, rows - wrong)
    assert certificate.best_accuracy == certificate.accuracy_at_minimum == right / rows
    assert certificate.best_accuracy_bitstrings == 1


# -- ties of losses, in one chunk and in several --------------------------------------------------


def surveyed(losses, correct, parts=()):
    """A survey of as many functions, one bitstring each, in chunks that begin at `parts`."""
    survey = _Survey([1], len(losses).bit_length() - 1)
    for first, stop in pairwise((0, *parts, len(losses))):
        kinds = np.zeros(stop - first, np.int32)
        survey.add(first, np.array(losses[first:stop]), np.array(correct[first:stop]), kinds)
    return survey


PARTS = [(), (4,), (3, 6), (1, 2, 3, 4, 5, 6, 7)]
PARTS_IDS = ["one chunk", "two", "three", "each alone"]


@pytest.mark.parametrize("parts", PARTS, ids=PARTS_IDS)
@pytest.mark.parametrize("near", [0.0, 1e-12, 0.9e-9, SAME_LOSS], ids=str)
def test_of_losses_within_1e_9_the_most_accurate_function_is_taken(near, parts):
    """In every order: neither the first nor the least of the losses, and none that is worse."""
    rng = np.random.default_rng(0)
    losses = np.array([0.0, near, near, 0.0, 2.5e-9, 2.5e-9, 1e-4, 0.5])
    correct = np.array([1, 3, 2, 2, 9, 4, 9, 5])
    for _ in range(30):
        order = rng.permutation(8)
        survey = surveyed(losses[order], correct[order], parts)
        lowest = survey.lowest()
        assert (order[lowest.index], lowest.correct, lowest.loss) == (1, 3, near)
        assert survey.spectrum()[1][0] == 4


@pytest.mark.parametrize("parts", PARTS, ids=PARTS_IDS)
def test_of_the_most_accurate_functions_that_of_least_loss_is_taken_and_all_are_counted(parts):
    rng = np.random.default_rng(1)
    losses = np.array([0.4, 0.2, 0.3, 0.1, 0.25, 0.6, 0.2, 0.7])
    correct = np.array([7, 7, 7, 6, 7, 2, 6, 7])
    for _ in range(30):
        order = rng.permutation(8)
        most = surveyed(losses[order], correct[order], parts).most_accurate()
        assert (order[most.index], most.correct, most.loss) == (1, 7, 0.2)
        assert most.bitstrings == 5


@pytest.mark.parametrize("chunk", [7, 256])
@pytest.mark.parametrize("sign_of_zero", [0, 1])
@pytest.mark.parametrize("method", ["classes", "enumeration"])
def test_chunks_change_nothing(method, sign_of_zero, chunk, monkeypatch):
    chunks = module._chunks
    monkeypatch.setattr(
        module, "_chunks", lambda total, progress, _=0: chunks(total, progress, chunk)
    )
    network = BinaryNetwork((3, 2, 2), sign_of_zero=sign_of_zero)
    for loss in ("cross_entropy", "accuracy"):
        data = samples(network.layers, seed=3)
        certificate = certify(network, data, loss=loss, method=method)
        check_against_brute_force(certificate, network, data, loss)


def test_a_level_ends_where_its_lowest_loss_is_1e_9_away():
    """At that distance a loss is in the level still, and what is further is not."""
    assert _level_starts(np.array([0.0, SAME_LOSS])).tolist() == [0]
    assert _level_starts(np.array([0.0, np.nextafter(SAME_LOSS, 1)])).tolist() == [0, 1]
    run = np.array([0.0, 0.5e-9, SAME_LOSS, 1.5e-9, 2e-9, 1.0])
    assert _level_starts(run).tolist() == [0, 3, 5]
    table = np.array([2e-9, 0.0, SAME_LOSS, 1.5e-9])
    certificate = certify_objective(Objective(lambda bits: table[bits @ np.array([1, 2])], 2))
    assert certificate.multiplicities.tolist() == [2, 2]
    assert certificate.levels.tolist() == [0.0, 1.5e-9]
    assert certificate.uniform_hit_probability == 0.5


@pytest.mark.parametrize("n_bits", [2, 61, 62, 63, 64, 65, 69, 70, 71, 95, 96, 127, 200])
def test_counts_are_exact_for_any_number_of_bits(n_bits):
    """Of four functions that all strings compute: sums that fill every digit, and carry over."""
    half = 1 << n_bits - 1
    for losses, expected in (
        ([0.5, 0.5, 0.5, 0.5], [2 * half]),
        ([0.5, 0.25, 0.5, 0.25], [2, 2 * half - 2]),
        ([0.5, 0.5, 0.25, 0.5], [half - 1, half + 1]),
    ):
        survey = _Survey([half - 1, 1], n_bits)
        survey.add(0, np.array(losses), np.array([8, 8, 8, 8]), np.array([0, 1, 0, 1], np.int32))
        levels, counts = survey.spectrum()
        assert levels.tolist() == sorted(set(losses))
        assert [int(count) for count in counts] == expected
        assert counts.dtype == (np.int64 if n_bits <= 62 else object)
        assert survey.most_accurate().bitstrings == 2 * half


def test_counts_that_are_not_all_bitstrings_are_no_certificate():
    survey = surveyed(np.zeros(8), np.zeros(8, int))
    survey.add(8, np.zeros(1), np.zeros(1, int), np.zeros(1, np.int32))
    message = r"Internal error: multiplicities sum to 9 instead of 2\^3"
    with pytest.raises(RuntimeError, match=message):
        survey.spectrum()


@pytest.mark.parametrize(("layers", "n_bits"), [((1, 31, 1), 62), ((1, 32, 1), 64)])
def test_networks_about_63_bits_have_all_their_strings(layers, n_bits):
    """On one row the logit is Σ ±1 over the hidden units: binomial, and 0 is class 0."""
    network, hidden = BinaryNetwork(layers), layers[1]
    certificate = certify(network, Samples(np.array([[1.0]]), np.array([0])), loss="accuracy")
    binomial = [math.comb(hidden, k) << n_bits - hidden for k in range(hidden + 1)]
    right = sum(binomial[: hidden // 2 + 1])  # so many units of +1, or fewer
    assert [int(count) for count in certificate.multiplicities] == [right, 2**n_bits - right]
    assert certificate.best_accuracy_bitstrings == certificate.optimal_bitstrings == right
    assert certificate.configurations == 2**n_bits


def test_log_Z_of_low_temperatures_neither_overflows_nor_vanishes():  # noqa: N802
    network, data = BinaryNetwork((2, 3, 2)), samples((2, 3, 2))
    certificate, losses = certify(network, data), network.losses(all_bitstrings(12), data)
    for temperature in (1e-5, 1e-3, 0.02, 5.0, 1e4):
        expected = logsumexp(-losses / temperature)
        assert certificate.log_Z_at(temperature) == pytest.approx(expected, rel=1e-12)


# -- limits, to the last bit ----------------------------------------------------------------------


def test_enumeration_takes_as_many_bits_and_rows_as_its_limits(monkeypatch):
    network = BinaryNetwork(WeightSpace((2, 2, 1), biases=True))
    data = samples(network.layers)
    size = network.collapse(data).n_rows << network.n_bits
    monkeypatch.setattr(module, "MAX_BITS", network.n_bits)
    monkeypatch.setattr(module, "MAX_ROWS_EVALUATED", size)
    check_against_brute_force(certify(network, data), network, data, "cross_entropy")
    monkeypatch.setattr(module, "MAX_ROWS_EVALUATED", size - 1)
    with pytest.raises(UnsuitableError, match="distinct rows, and the limit for spaces with bia"):
        certify(network, data)
    # plain networks have a kernel that is quick, unless the loss is one's own
    monkeypatch.setattr(module, "MAX_ROWS_EVALUATED", 1)
    plain = BinaryNetwork((2, 2, 1))
    assert certify(plain, data, method="enumeration").method == "enumeration"
    with pytest.raises(UnsuitableError, match="distinct rows, and the limit for spaces with bia"):
        certify(plain, data, loss=OWN_LOSS, method="enumeration")
    monkeypatch.setattr(module, "MAX_BITS", network.n_bits - 1)
    with pytest.raises(UnsuitableError, match=r"has 2\^9 bitstrings, and the limit is 2\^8"):
        certify(network, data)
    with pytest.raises(UnsuitableError, match=r"has 2\^9 bitstrings, and the limit is 2\^8"):
        certify_objective(Objective(lambda bits: bits[:, 0], 9))


OWN_LOSS = "qhyper.targets.loss:squared_error"
"""Named in this way it is one of which nothing is known but its values."""


def test_a_loss_of_ones_own_has_classes_with_one_output_alone():
    for layers, applies in (((2, 2, 1), True), ((2, 2, 2), False)):
        network, data = BinaryNetwork(layers), samples(layers)
        certificate = certify(network, data, loss=OWN_LOSS)
        assert certificate.method == ("classes" if applies else "enumeration")
        check_against_brute_force(certificate, network, data, OWN_LOSS)
    with pytest.raises(UnsuitableError, match="two outputs they need a loss of the logits' diff"):
        certify(network, data, loss=OWN_LOSS, method="classes")


def test_classes_take_as_many_inputs_and_hidden_units_as_their_limits():
    for layers in ((8, 1, 1), (1, 32, 2)):
        assert certify(BinaryNetwork(layers), samples(layers, rows=9)).method == "classes"


@pytest.mark.parametrize("method", ["classes", "enumeration"])
def test_progress_reaches_one(method):
    shares = []
    network = BinaryNetwork((3, 4, 2) if method == "classes" else (21, 1))
    certify(network, samples(network.layers, rows=3), method=method, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) == (1 if method == "classes" else 2)


@pytest.mark.parametrize(
    ("layers", "method", "reason"),
    [
        ((4, 6, 2), "enumeration", r"2\^36 bitstrings, and the limit is 2\^26"),
        ((2, 2, 2, 2), "classes", "exactly one hidden layer, and it has 2"),
        ((2, 2), "classes", "exactly one hidden layer, and it has 0"),
        ((2, 2, 3), "classes", "one or two outputs, and it has 3"),
        ((9, 2, 2), "classes", "9 inputs, and the limit is 8"),
        ((2, 33, 2), "classes", "33 hidden units, and the limit is 32"),
        ((8, 6, 2), "classes", r"\d{3} function classes, and the limit is 2\^26"),
        ((9, 6, 2), "auto", r"classes do not apply: .* enumeration does not apply: .* smaller"),
        ((2, 2), "sampling", "Unknown method 'sampling'.*Known: auto, classes, enumeration"),
    ],
)
def test_refusals_of_methods(layers, method, reason):
    with pytest.raises(ConfigurationError, match=reason):
        certify(BinaryNetwork(layers), samples(layers), method=method)


def test_enumeration_of_many_bits_on_many_rows_is_refused():
    network = BinaryNetwork(
        WeightSpace((2, 5, 1), biases=True, activation="relu", optional=("units",))
    )
    rng = np.random.default_rng(0)
    data = Samples(rng.normal(size=(1100, 2)), rng.integers(0, 2, 1100))
    with pytest.raises(UnsuitableError, match=r"2\^26 bitstrings on 1,100 distinct rows, and"):
        certify(network, data)


def test_other_refusals():
    network, data = BinaryNetwork((2, 2, 2)), samples((2, 2, 2))
    with pytest.raises(ConfigurationError, match="3 features"):
        certify(network, samples((3, 2)))
    with pytest.raises(ConfigurationError, match="Unknown loss"):
        certify(network, data, loss="hinge")
    with pytest.raises(ConfigurationError, match=r"positive number below 1e.100; got 0"):
        certify(network, data, temperature=0)
    with pytest.raises(ConfigurationError, match=r"positive number below 1e.100; got nan"):
        certify(network, data).log_Z_at(float("nan"))
    with pytest.raises(ConfigurationError, match="at least 1 bin; got bins=0"):
        certify(network, data).histogram(0)
    with pytest.raises(ConfigurationError, match=r"mine cannot be certified: it has 2\^27"):
        certify_objective(Objective(lambda bits: bits[:, 0], 27, name="mine"))


@pytest.mark.parametrize(
    ("layers", "nearest"),
    [
        ((13, 6, 3), (13, 1, 3)),  # 16 bits; with two units 32
        ((4, 6, 3), (4, 3, 3)),  # 21 bits; with four 28
        ((4, 9, 9, 2), (4, 2, 2, 2)),  # 16 bits; with three and three 27
        ((20, 30, 1), (20, 1, 1)),
        ((4, 6, 2), (4, 6, 2)),
        ((25, 6, 2), None),
    ],
)
def test_the_nearest_network_that_can_be_certified(layers, nearest):
    assert nearest_provable(layers) == nearest


def test_a_refusal_names_the_nearest_network_that_is_none():
    data = samples((13, 6, 3))
    with pytest.raises(UnsuitableError, match="Choose a smaller network: --layers 13,1,3 is the"):
        certify(BinaryNetwork((13, 6, 3)), data)
    assert certify(BinaryNetwork((13, 1, 3)), data).n_bits == 16
    space = WeightSpace((4, 9, 3), biases=True, activation=("relu", "tanh"))
    with pytest.raises(UnsuitableError, match="--layers 4,2,3 is the nearest that can be"):
        certify(BinaryNetwork(space), samples((4, 9, 3)))  # 20 bits; with three units 28
    with pytest.raises(UnsuitableError, match="No network of 40 inputs can be: choose data of at"):
        certify(BinaryNetwork((40, 6, 2)), samples((40, 6, 2)))
