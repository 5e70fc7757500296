"""Exact draws and predictive against brute force; KL by log Z against KL by summation."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import chisquare

from experiments.qhn_posterior import pictures, study, tables
from experiments.qhn_posterior.predictive import exact_draws, predictive
from experiments.study import find
from qhyper import (
    BinaryNetwork,
    Brickwork,
    FreeEnergy,
    QuantumHyperNetwork,
    Samples,
    Streams,
    certify,
)
from qhyper.bits import all_bitstrings
from qhyper.data.sets import availability

needs_mnist = pytest.mark.skipif(
    not availability()["mnist"].startswith("found"),
    reason="MNIST: QHYPER_DATA is not set",
)

NETWORK = BinaryNetwork((2, 2, 2))


def data(seed=0, rows=40):
    rng = np.random.default_rng(seed)
    return Samples(rng.integers(-2, 3, (rows, 2)), rng.integers(0, 2, rows))


def posterior(temperature):
    losses = NETWORK.losses(all_bitstrings(8), data())
    return losses, softmax(-losses / temperature)


def test_kl_by_the_certificate_is_kl_by_summation():
    for temperature in (0.02, 0.3):
        losses, p = posterior(temperature)
        generator = QuantumHyperNetwork(8, ansatz=Brickwork(3), seeds=[0, 1], start="uniform")
        q = generator.probabilities().detach().numpy()[:, 0]
        expected = (q * (np.log(q) - np.log(p))).sum(axis=1)
        free = (q * (losses + temperature * np.log(q))).sum(axis=1)
        log_z = certify(NETWORK, data(), temperature=temperature).log_Z
        np.testing.assert_allclose(FreeEnergy(temperature).kl(free, log_z), expected, rtol=1e-9)
        # and from draws: seeds 0 and 1, 20,000 draws, 5 sigma
        bits = generator.sample(20_000, rng=Streams(generator.seeds)(0, "evaluate")).bits
        log_q = generator.log_prob(bits).detach().numpy()[:, 0]
        costs = NETWORK.objective(data())(bits)[:, 0] / temperature + log_q
        error = costs.std(axis=1) / np.sqrt(20_000)
        assert (np.abs(costs.mean(axis=1) + log_z - expected) < 5 * error).all()


def test_exact_draws_have_the_posterior_of_functions():
    # seed 3, 20,000 draws; functions are told apart by their logits on a grid; bins of 5 or more
    temperature, shots = 0.1, 20_000
    _, p = posterior(temperature)
    grid = np.array([[a, b] for a in (-2, -1, 1, 2) for b in (-2, -1, 1, 2)], dtype=float)
    logits = NETWORK.logits(all_bitstrings(8), grid)
    function = np.unique((logits[..., 1] - logits[..., 0]), axis=0, return_inverse=True)[1].ravel()
    expected = np.bincount(function, weights=p)
    drawn = exact_draws(NETWORK, data(), temperature, shots, np.random.default_rng(3))
    counts = np.bincount(function[drawn @ (1 << np.arange(8))], minlength=len(expected))
    enough = expected * shots > 5
    seen = np.append(counts[enough], counts[~enough].sum())
    wanted = np.append(expected[enough], expected[~enough].sum()) * shots
    assert chisquare(seen[wanted > 0], wanted[wanted > 0]).pvalue > 1e-6


def test_the_predictive_is_the_mean_of_the_networks():
    rng = np.random.default_rng(1)
    bits, test = rng.integers(0, 2, (7, 8), dtype=np.uint8), data(seed=5, rows=60)
    p = softmax(NETWORK.logits(bits, test.x), axis=-1).mean(axis=0)
    found = predictive(NETWORK, bits, test)
    of_truth = p[np.arange(60), test.y]
    assert found["accuracy"] == pytest.approx((p.argmax(axis=1) == test.y).mean())
    assert found["nll"] == pytest.approx(-np.log(of_truth).mean())
    assert found["brier"] == pytest.approx(2 * ((1 - of_truth) ** 2).mean())
    assert sum(count for count, _, _ in found["bins"]) == 60
    confidence = p.max(axis=1)
    edges = np.linspace(0, 1, 16)
    error = 0.0
    for low, high in pairwise(edges):
        some = (confidence >= low) & (confidence < high) | ((high == 1) & (confidence == 1))
        if some.any():
            right = (p.argmax(axis=1) == test.y)[some].mean()
            error += some.mean() * abs(right - confidence[some].mean())
    assert found["ece"] == pytest.approx(error, abs=1e-12)


def test_a_sure_network_that_is_right_is_calibrated():
    # x decides the class, and 3 - 1 = 2 units agree: confidence 1 / (1 + e^-4)
    x = np.array([[1.0, 1.0], [-1.0, -1.0]] * 5)
    bits = NETWORK.space.encode([[[1, 1], [1, 1]], [[-1, 1], [-1, 1]]])[None]
    found = predictive(NETWORK, bits, Samples(x, (x[:, 0] > 0).astype(int)))
    assert found["accuracy"] == 1.0
    assert found["ece"] == pytest.approx(1 - 1 / (1 + np.exp(-4)))


@needs_mnist
def test_a_small_run_gives_tables_and_pictures(monkeypatch, tmp_path):
    small = study.Size(1_280, range(2), range(100, 101), 500)
    monkeypatch.setattr(study, "PREDICTIVE", 50)
    results = {}
    for data_name in study.TEMPERATURE:
        results[f"{data_name}-posterior"] = study.posterior(data_name)
        fitted = study.fitted(data_name, "depth-2-unit", small)
        by_mmd = study.fitted_by_mmd(data_name, "product", small)
        for name in study.MODELS:
            results[f"{data_name}-{name}"] = fitted
        for name in study.WITH_MMD:
            results[f"{data_name}-{name}-mmd"] = by_mmd
    assert set(results) == set(study.parts(True))
    known = results["mnist-posterior"]
    assert known["log_z"] == pytest.approx(
        certify(study.NETWORK, study.load("mnist").train, temperature=0.05).log_Z
    )
    assert (np.array(results["mnist-chain"]["kl"]) > 0).all()
    text = tables.tables(results)
    assert "nan" not in text
    assert "chain of units with signs" in text
    pictures.draw(results, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"kl.svg", "calibration.svg"}
    numbers = study.measured(results)
    for quick in (True, False):
        assert set(find("qhn-posterior").expectations(quick)) <= set(numbers)


def test_data_sets_that_parts_need_are_certified_beforehand(monkeypatch):
    made = []
    monkeypatch.setattr(study, "_certificate", made.append)
    study.prepare(list(study.parts(quick=True)))
    assert sorted(made) == ["mnist", "toy"]
    study.prepare(["toy-product", "toy-posterior"])
    assert made[2:] == ["toy"]
