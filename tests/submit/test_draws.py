"""Measured draws against simulated ones, by hand and against what shot noise gives."""

import json

import numpy as np
import pytest

from qhyper.errors import ConfigurationError
from qhyper.submit.draws import (
    GROUPS,
    MOST_BITS,
    DrawsComparison,
    Mitigated,
    Variation,
    compare_draws,
)
from tests.submit.drawn import MEASURED, SIMULATED, Weights, drawn, linear


def test_each_number_is_the_one_counted_by_hand():
    outcome = compare_draws(MEASURED, SIMULATED, linear, minimum=1.0, quasi=[Weights()])
    stored = json.loads(json.dumps(outcome.to_json(), allow_nan=False))
    assert DrawsComparison.from_json(stored) == outcome
    (replica,) = outcome.replicas
    # losses 1, 2, 4, 4 against 1, 1
    ours, theirs = replica.measured, replica.simulated
    assert (ours.draws, ours.hits, ours.share, ours.best_loss) == (4, 1, 0.25, 1.0)
    assert ours.mean_loss == 2.75
    assert ours.standard_error == pytest.approx(np.sqrt(6.75 / 3 / 4))
    assert (theirs.draws, theirs.hits, theirs.share) == (2, 2, 1.0)
    assert (theirs.mean_loss, theirs.standard_error) == (1.0, 0.0)
    assert replica.mitigated == Mitigated(pytest.approx(0.4), standard_error=0.5, covered=0.25)
    marginals = replica.marginals
    assert marginals.measured == [0.75, 0.5]
    assert marginals.simulated == [0.0, 0.0]
    assert (marginals.mean, marginals.largest) == (0.625, 0.75)
    # bit 0: 3 of 6 are 1, so √(1/4 · (1/4 + 1/2))
    assert marginals.error[0] == pytest.approx(np.sqrt(0.25 * 0.75))
    edges = outcome.edges
    assert (edges[0], edges[-1]) == (1.0, 4.0)
    for side in (ours, theirs):
        assert sum(side.counts) == side.draws
    assert replica.losses.variation == 0.75


def test_without_a_minimum_there_are_no_hits_and_of_one_shot_no_error():
    (replica,) = compare_draws(MEASURED[:, :1], SIMULATED, linear).replicas
    assert replica.measured.hits is None
    assert replica.measured.share is None
    assert replica.measured.standard_error is None
    assert replica.mitigated is None


def test_one_level_of_loss_has_one_bin():
    outcome = compare_draws(SIMULATED, SIMULATED, linear)
    assert outcome.edges == [0.5, 1.5]
    assert outcome.replicas[0].losses == Variation(variation=0.0, noise=0.0)


def test_what_shot_noise_alone_gives_is_what_the_same_distribution_gives():
    # seeds 1 and 2; 400 repetitions of 1,000 against 4,000 shots of 12 bits, as replicas.
    # 5 sigma of the repetitions, and 2 % for counts taken as normal.
    p = np.tile(np.linspace(0.05, 0.95, 12), (400, 1))
    measured, simulated = drawn(p, 1_000, 1), drawn(p, 4_000, 2)
    outcome = compare_draws(measured, simulated, linear)
    for part, value, noise in (
        ("marginals", "mean", "mean_noise"),
        ("marginals", "largest", "largest_noise"),
        ("losses", "variation", "noise"),
    ):
        got = np.array([getattr(getattr(replica, part), value) for replica in outcome.replicas])
        expected = np.mean([getattr(getattr(replica, part), noise) for replica in outcome.replicas])
        slack = 5 * got.std() / np.sqrt(400) + 0.02 * expected
        assert abs(got.mean() - expected) < slack, (part, value)


def test_a_device_that_misreads_stands_out_from_shot_noise():
    p = np.full((1, 10), 0.1)
    measured, simulated = drawn(p + 0.1, 2_000, 3), drawn(p, 2_000, 4)
    (replica,) = compare_draws(measured, simulated, linear).replicas
    marginals = replica.marginals
    assert marginals.mean > 5 * marginals.mean_noise
    assert replica.losses.variation > 3 * replica.losses.noise


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measured": MEASURED[0]}, r"measured draws of shape \(4, 2\); expected \[replica"),
        ({"simulated": SIMULATED[:, :0]}, r"simulated draws of shape \(1, 0, 2\)"),
        ({"simulated": SIMULATED[..., :1]}, "expected the same replicas and bits"),
        ({"quasi": []}, "quasi-probabilities of 0 replicas; expected 1"),
        ({"minimum": 1.5}, r"loss 1.0, below the certified minimum 1.5: this certificate belongs"),
    ],
)
def test_what_cannot_be_compared_is_said(changes, message):
    given = {"measured": MEASURED, "simulated": SIMULATED, "objective": linear} | changes
    with pytest.raises(ConfigurationError, match=message):
        compare_draws(**given)


def test_it_reads_what_mthree_gives():
    pytest.importorskip("mthree")
    from qhyper.quantum.cloud.mthree_mitigation import quasi_probabilities

    matrices = np.tile([[0.9, 0.2], [0.1, 0.8]], (2, 1, 1))
    p = np.array([[0.3, 0.6]])
    rng = np.random.default_rng(9)
    true = drawn(p, 20_000, 10)
    one = np.where(true == 1, 0.8, 0.1)
    measured = (rng.random(true.shape) < one).astype(np.uint8)
    quasi = [quasi_probabilities(measured[0], matrices)]
    (replica,) = compare_draws(measured, true, linear, quasi=quasi).replicas
    # seeds 9 and 10, 20,000 shots: the loss is 1 + 0.3 + 2 · 0.6 in the mean, within 5 sigma
    mitigated = replica.mitigated
    assert abs(mitigated.mean_loss - 2.5) < 5 * mitigated.standard_error
    assert abs(replica.measured.mean_loss - 2.5) > 10 * mitigated.standard_error


# -- many bits ------------------------------------------------------------------------------------


def test_of_many_bits_groups_are_kept_and_their_differences_are_noise():
    """4,096 bits, 400 shots against 2,000, seeds 11 and 12; 5 sigma, Bonferroni over 256 groups.

    Were the groups' order and their means of the same draws, bits mostly at 1 by chance would seem
    to have lost it on the device.
    """
    p = np.linspace(0.02, 0.98, 4096)[None]
    measured, simulated = drawn(p, 400, 11), drawn(p, 2_000, 12)
    outcome = compare_draws(measured, simulated, linear)
    assert DrawsComparison.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome
    marginals = outcome.replicas[0].marginals
    assert (marginals.n_bits, marginals.grouped, len(marginals.measured)) == (4096, 4096, GROUPS)
    ours, theirs, error = map(np.array, (marginals.measured, marginals.simulated, marginals.error))
    assert (np.abs(ours - theirs) < 5 * error).all()
    assert abs((ours - theirs)[-64:].mean()) < 5 * np.sqrt(np.square(error[-64:]).sum()) / 64
    assert theirs[0] < 0.1 < 0.9 < theirs[-1]
    difference = np.abs(measured[0].mean(axis=0) - simulated[0].mean(axis=0))  # of single bits
    assert marginals.mean == pytest.approx(difference.mean())
    assert marginals.largest == pytest.approx(difference.max())
    assert marginals.mean == pytest.approx(marginals.mean_noise, rel=0.05)
    assert marginals.largest == pytest.approx(marginals.largest_noise, rel=0.25)


def test_bits_that_are_misread_are_seen_in_groups():
    """A tenth of all bits is read as 0: the groups mostly at 1 lie low by a tenth of themselves."""
    p = np.linspace(0.02, 0.98, 4096)[None]
    outcome = compare_draws(drawn(0.9 * p, 400, 13), drawn(p, 2_000, 14), linear)
    marginals = outcome.replicas[0].marginals
    ours, theirs, error = map(np.array, (marginals.measured, marginals.simulated, marginals.error))
    assert (np.abs(ours - 0.9 * theirs) < 5 * error).all()
    assert (ours - theirs < -5 * error)[-64:].all()


def test_one_draw_of_the_simulator_is_enough_for_groups():
    p = np.full((1, MOST_BITS + 1), 0.5)
    outcome = compare_draws(drawn(p, 2, 1), drawn(p, 1, 2), linear)
    assert outcome.replicas[0].marginals.grouped == MOST_BITS + 1


def test_test_rows_are_counted_for_all_draws_and_for_the_best():
    outcome = compare_draws(
        MEASURED, SIMULATED, linear, accuracy=lambda bits: 1 - 0.25 * bits.sum(axis=-1)
    )
    (replica,) = outcome.replicas
    # bits 00, 10, 11, 11 with losses 1, 2, 4, 4
    assert replica.measured.accuracy == pytest.approx((1 + 0.75 + 0.5 + 0.5) / 4)
    assert replica.measured.best_accuracy == 1.0
    assert (replica.simulated.accuracy, replica.simulated.best_accuracy) == (1.0, 1.0)
