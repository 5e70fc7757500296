"""Flips of straight-through training: recorded ones against a plain loop, updates against torch."""

import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from classical.recu import rectified
from classical.straight_through import StraightThroughNetwork
from experiments.flips import outcome, study, training
from experiments.flips.recording import PHASES, Record
from experiments.study import find
from qhyper import BinaryNetwork
from qhyper.data.samples import Samples
from qhyper.data.sets import availability
from qhyper.streams import Streams
from qhyper.threads import one_torch_thread

needs_mnist = pytest.mark.skipif(
    not availability()["mnist"].startswith("found"),
    reason="MNIST: QHYPER_DATA is not set",
)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(3)
    return Samples(rng.uniform(-1, 1, (60, 4)), rng.integers(0, 2, 60))


def plain_loss(bits, rows):
    """Cross-entropy of one network, by the formula."""
    w1, w2 = (2.0 * bits[:24] - 1).reshape(4, 6), (2.0 * bits[24:] - 1).reshape(6, 2)
    z = np.where(rows.x @ w1 >= 0, 1, -1) @ w2
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(len(rows)), rows.y]).mean()


def test_recorded_flips_and_their_values_are_those_of_a_plain_loop(rows):
    rng = np.random.default_rng(0)
    steps, replicas = 20, 3
    walk = np.cumsum(rng.random((steps + 1, replicas, 36)) < 0.04, axis=0).astype(np.uint8) % 2
    record = Record(
        BinaryNetwork((4, 6, 2)).objective(rows), replicas=replicas, steps=steps, every=2
    )
    for step, bits in enumerate(walk):
        record(step, bits)
    found = record.to_json()
    for r in range(replicas):
        losses = [plain_loss(bits, rows) for bits in walk[:, r]]
        expected = dict.fromkeys(("asked", "lower", "higher"), 0) | {"alone": 0.0, "chance": 0.0}
        phases, changes = np.zeros(PHASES), []
        for step, (old, new) in enumerate(pairwise(walk[:, r]), 1):
            bits = np.flatnonzero(old != new)
            phases[(step - 1) // 2] += len(bits)
            changes += [losses[step] - losses[step - 1]] if len(bits) else []
            if step % 2:
                continue
            flipped = [old ^ (np.arange(36) == b) for b in range(36)]
            gains = np.array([plain_loss(f, rows) - losses[step - 1] for f in flipped])
            expected["asked"] += len(bits)
            expected["lower"] += int((gains[bits] < -1e-9).sum())
            expected["higher"] += int((gains[bits] > 1e-9).sum())
            expected["alone"] += gains[bits].sum()
            expected["chance"] += len(bits) * (gains < -1e-9).mean()
        for key, value in expected.items():
            assert found[key][r] == pytest.approx(value, abs=1e-9), key
        assert found["flips"][r] == phases.tolist()
        assert found["course"][r] == pytest.approx(losses[2::2])
        assert found["best"][r] == pytest.approx(min(losses))
        assert found["end"][r] == pytest.approx(losses[-1])
        assert found["together"][r] == pytest.approx(losses[-1] - losses[0])
        assert found["steps_with"][r] == len(changes)
        assert found["steps_lower"][r] == sum(c < -1e-9 for c in changes)
        assert found["steps_higher"][r] == sum(c > 1e-9 for c in changes)
        assert found["never"][r] == (walk[1:, r] == walk[:-1, r]).all(axis=0).sum()
        assert found["changed_in_the_end"][r] == (walk[0, r] != walk[-1, r]).sum()


def test_a_step_is_that_of_plain_sgd_with_momentum(rows):
    """v = 0.9 v + g and w = w - rate v, with the gradient of each seed's own mini-batches."""
    steps, batch, rate, told = 3, 16, 0.05, []
    training.train(
        rows, training.Method("sgd", "clip", "constant"), seeds=(5, 2), rate=rate, steps=steps,
        batch=batch, told=lambda step, bits: told.append(bits),
    )  # fmt: skip
    for replica, seed in enumerate((5, 2)):
        network = StraightThroughNetwork(training.LAYERS, seeds=[seed])
        (rng,) = Streams([seed])(0, "batch")
        momenta = [torch.zeros_like(latent) for latent in network.latent]
        for step in range(steps):
            np.testing.assert_array_equal(told[step][replica], network.bits()[0])
            drawn = rng.integers(len(rows), size=batch)
            x = torch.tensor(rows.x[drawn], dtype=torch.float32)
            loss = cross_entropy(network(x)[0], torch.tensor(rows.y[drawn]))
            gradients = torch.autograd.grad(loss, list(network.latent))
            for latent, momentum, gradient in zip(network.latent, momenta, gradients, strict=True):
                momentum.mul_(0.9).add_(gradient)
                latent.data -= rate * momentum
            network.after_step()
        np.testing.assert_array_equal(told[steps][replica], network.bits()[0])


def test_standardised_is_recu_of_every_replica_and_quantiles_are_numpys():
    latent = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 4, 6)))
    for replica, found in zip(latent, training.standardised(latent, 0.9), strict=True):
        torch.testing.assert_close(found.T, rectified(replica.T[:, :, None, None], 0.9)[..., 0, 0])
    low, high = np.quantile(latent.flatten(1).numpy(), [0.1, 0.9], axis=1)[:, :, None, None]
    clamped = np.clip(latent.numpy(), low, high)
    np.testing.assert_allclose(training.between_quantiles(latent, 0.9).numpy(), clamped)


def test_rates_share_starts_and_seeds_do_not_mix(rows):
    """A seed is the same beside other seeds, and starts where it does at every rate."""
    seen = {}
    for seeds, rate in (((0, 4), 0.01), ((4,), 0.01), ((0, 4), 0.1)):
        told = []
        moved = training.train(
            rows, training.Method("adam", "quantiles", "cosine"), seeds=seeds, rate=rate,
            steps=30, batch=16, told=lambda step, bits, told=told: told.append(bits),
        )  # fmt: skip
        seen[seeds, rate] = np.array(told), moved
    (both, ways), (alone, way), (faster, _) = seen.values()
    assert both.shape == (31, 2, 36)
    assert (alone[:, 0] == both[:, 1]).all()
    np.testing.assert_allclose(way, ways[1:], atol=1e-6)
    assert (faster[0] == both[0]).all()
    assert (faster[-1] != both[-1]).any()


def made_up(shift):
    """Results of three seeds and two of tuning, where every method's losses are drawn alike.

    `shift` is added to the best loss of Adam, and at its fourth rate taken from it on tuning seeds.
    """
    rng, results = np.random.default_rng(7), {f"{data}-certificate": 0.1 for data in outcome.DATA}
    for data in outcome.DATA:
        for method in outcome.METHODS:
            end, best = rng.uniform(1, 2, (2, 5, 5))
            if method.startswith("adam"):
                best += shift
                best[3, 3:] = 0.5
            results[f"{data}-{method}"] = {
                "seeds": [0, 1, 2, 1000, 1001], "steps": 10, "end": end.ravel().tolist(),
                "best": best.ravel().tolist(), "course": rng.uniform(1, 2, (25, 10)).tolist(),
            }  # fmt: skip
    return results


def test_claims_compare_means_over_methods_at_rates_that_tuning_seeds_choose():
    results = made_up(shift=0.25)
    for by in ("end", "best"):
        mean = {"adam": np.zeros(3), "sgd": np.zeros(3)}
        for method in outcome.METHODS:
            found = results[f"toy-{method}"]
            rate = np.reshape(found[by], (5, 5))[:, 3:].mean(axis=1).argmin()
            assert rate == 3 or by == "end" or method.startswith("sgd")
            mean[method.split("-")[0]] += np.reshape(found["best"], (5, 5))[rate, :3] / 6
        first = outcome.claims(results, "toy", "best", by)[0]
        assert (first.one, first.other) == ("adam", "sgd")
        assert first.median_difference == pytest.approx(np.median(mean["adam"] - mean["sgd"]))
    one = outcome.part(results, "toy", "adam-clip-constant")
    course = np.reshape(results["toy-adam-clip-constant"]["course"], (5, 5, 10))
    np.testing.assert_allclose(one.course(2), course[2, :3].mean(axis=0) / 0.1 - 1)
    np.testing.assert_allclose(one.loss("course", 2), course[2, :3].mean(axis=1))
    assert one.rates[one.chosen("printed")] == 0.0025


@needs_mnist
def test_tables_pictures_and_numbers_of_the_quick_setting(certified_once, tmp_path):
    with one_torch_thread():
        results = {name: work() for name, work in study.parts(quick=True).items()}
    text = study.tables(results)
    one = outcome.part(results, "mnist", "sgd-recu-cosine")
    found = results["mnist-sgd-recu-cosine"]
    end = np.reshape(found["end"], (5, 5))  # rates, and three seeds and two of tuning
    assert one.chosen() == end[:, 3:].mean(axis=1).argmin()
    np.testing.assert_allclose(one.loss("end"), end[one.chosen(), :3])
    np.testing.assert_array_equal(np.array(found["course"])[:, -1], found["end"])
    assert f"{100 * np.median(one.regret('end')):.1f} % | " in text
    assert "| SGD with momentum | ReCU | cosine |" in text
    assert min(found["best"]) >= one.minimum - 1e-12
    study.draw(results, tmp_path)
    for name in ("flips.svg", "course.svg", "regret.svg"):
        ElementTree.parse(tmp_path / name)
    measured = study.measured(results)
    for quick in (True, False):
        assert set(find("flips").expectations(quick)) <= set(measured)
    for name, expected in find("flips").expectations(quick=True).items():
        assert expected.holds(measured[name]), name
