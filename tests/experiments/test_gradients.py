"""The study of gradients: its quick setting end to end, and what its own functions compute."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments.gradients import pictures, study, tables
from experiments.study import find
from qhyper import BinaryNetwork, Brickwork, Expectation, QuantumHyperNetwork, load
from qhyper.threads import one_torch_thread


@pytest.fixture(scope="module")
def results(certified_once):
    """Of the settings that each training chooses among, for the time it takes, two are tried."""
    with one_torch_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "RATES", (0.1,))
        return {name: work() for name, work in study.parts(quick=True).items()}


def test_the_tables_show_what_the_parts_found(results):
    text = study.tables(results)
    assert "nan" not in text
    assert f"12 bits, after 20 steps of Adam: 10,000 evaluations, |g| = {0.133}" in text
    for part, found in results.items():
        if part.startswith(("error", "chunked-near", "chunked-adam")):
            one = study.shown(found, "score-function")
            for name, points in found["errors"].items():
                at = points[-1]
                assert at["budget"] == study.SHOWN
                cost = f"| {tables.LABELS[name]} | {at['circuits']} | {at['evaluations']:,} | "
                assert f"{cost}{' | '.join(tables.ratios(name, at, one))} |" in text
        else:
            label = tables.LABELS[part.partition("training-")[2]]
            chosen = f"| {label} | {found['draws']} | {found['learning_rate']} | "
            loss = f"{found['circuits']:,} | {np.median(found['final_loss']):.4f} |"
            assert chosen + loss in text


@pytest.mark.parametrize(
    ("name", "mse", "seconds", "expected"),
    [
        ("stein", 0.05, 0.04, ("0.05", "0.5", "2", "per evaluation")),
        ("stein", 0.05, 0.01, ("0.05", "0.5", "0.5", "yes")),
        ("spsa", 171.0, 0.01, ("171", "1,700", "1,700", "no")),
        ("block-expectation", 0.2, 0.004, ("0.2", "2", "0.8", "per second")),
        ("block-expectation", 1e-29, 0.004, ("exact", "0", "0", "yes")),
        ("local-expectation", 0.05, 0.004, ("0.05", "0.5", "–", "biased")),
        ("natural-gradient", 0.05, 0.02, ("0.05", "0.5", "1", "–")),
    ],
)
def test_what_pays_by_hand(name, mse, seconds, expected):
    one = {"relative_mse": 0.1, "seconds": 0.01}
    assert tables.ratios(name, {"relative_mse": mse, "seconds": seconds}, one) == expected


def test_every_estimator_has_a_name_and_a_style(results):
    drawn = {name for _, found in study.errors_of(results) for name in found["errors"]}
    assert drawn == set(tables.LABELS) == set(pictures.STYLES)


def test_the_quick_setting_gives_pictures_and_numbers(results, tmp_path):
    study.draw(results, tmp_path)
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert drawn == ["error.svg", "training.svg"]
    for name in drawn:
        assert ElementTree.parse(tmp_path / name).getroot().tag.endswith("svg")
    numbers = study.measured(results)
    assert np.isfinite(list(numbers.values())).all()
    assert set(find("gradients").expectations(quick=False)) <= set(numbers)
    for name, expected in find("gradients").expectations(quick=True).items():
        assert expected.holds(numbers[name]), (name, numbers[name])


def test_the_same_seeds_give_the_same_numbers():
    small = replace(study.QUICK, estimates=10, budgets=(1_000,))
    one, other = (_timeless(study.error("near-product", small)) for _ in range(2))
    assert one == other


def _timeless(found):
    errors = {
        name: [{**point, "seconds": None} for point in points]
        for name, points in found["errors"].items()
    }
    return {**found, "errors": errors}


@pytest.mark.parametrize("budget", [5_000, 10_000])
def test_every_estimator_spends_the_evaluations_of_its_column(budget):
    generator = study._circuit([0])
    assert generator.circuit.n_angles == study.ANGLES
    objective = BinaryNetwork((2, 3, 2)).objective(load("gaussians").train)
    for name, estimator in study._estimators(budget).items():
        spent = estimator.cost(generator, Expectation(), objective=objective).evaluations
        least = 4_096 if name == "block-expectation" else 0.9 * budget
        assert least <= spent <= budget, name


@pytest.mark.parametrize("budget", [1_000, 10_000])
def test_every_estimator_spends_them_on_chunks_too(budget):
    generator = study._chunked([0])
    assert 2 * len(generator.trained_angles) == study.SHIFTED
    assert generator.independent_blocks.shape == (6, 6)
    objective = study._network()
    for name, estimator in study._chunked_estimators(budget).items():
        spent = estimator.cost(generator, Expectation(), objective=objective).evaluations
        assert 0.5 * budget < spent <= budget, name


def test_some_estimators_need_more():
    assert "parameter-shift" in study._estimators(2 * study.ANGLES)
    assert "parameter-shift" not in study._estimators(2 * study.ANGLES - 1)
    assert "block-expectation" in study._estimators(2**study.QUBITS)
    assert "block-expectation" not in study._estimators(2**study.QUBITS - 1)


def test_the_reference_is_known_better_than_the_estimates(results):
    for start in study.STARTS:
        found = results[f"chunked-{start}"]
        least = min(study.shown(found, name)["relative_mse"] for name in found["errors"])
        assert found["reference_mse"] < least / 2  # of a tenth of the full run's draws


def test_an_estimate_without_noise_has_no_bound_on_its_signal():
    found = study._compared(np.ones((3, 2)), np.ones(2))
    assert (found["relative_mse"], found["signal_to_noise"]) == (0.0, np.inf)


def test_errors_of_two_estimates_by_hand():
    found = study._compared(np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([1.0, 0.0]))
    # mean (1, 0), variance 2 by n - 1, and so 2 / 2 of the mean: there is no signal beside it
    assert found["relative_mse"] == pytest.approx(1.0)
    assert found["signal_to_noise"] == pytest.approx(0.0, abs=1e-9)
    assert found["cosine"] == pytest.approx(np.sqrt(0.5))


def test_errors_of_gaussian_estimates():
    """Noise of known variance and a known bias; seed 4, 20,000 estimates, within 5 sigma."""
    n, angles, sigma = 20_000, 5, 0.5
    exact, bias = np.full(angles, 1.0), np.full(angles, 0.2)
    noise = np.random.default_rng(4).normal(scale=sigma, size=(n, angles))
    found = study._compared(exact + bias + noise, exact)
    mse = (angles * sigma**2 + bias @ bias) / (exact @ exact)
    # the squares' variance: 2 P s^4 of chi-squared, 4 s² |b|² of the mixed term
    error = np.sqrt((2 * angles * sigma**4 + 4 * sigma**2 * (bias @ bias)) / n) / (exact @ exact)
    assert abs(found["relative_mse"] - mse) < 5 * error
    signal, spread = np.linalg.norm(exact + bias), sigma * np.sqrt(angles)
    # by error propagation: sigma / √n along the mean, and half of √(2 / P) / √n of the spread
    relative = np.sqrt((sigma / signal) ** 2 + 1 / (2 * angles)) / np.sqrt(n)
    assert abs(found["signal_to_noise"] - signal / spread) < 5 * relative * signal / spread


def test_the_exact_natural_gradient_is_that_of_finite_differences():
    """Fisher matrix Σ ∂p ∂pᵀ / p over all bitstrings, with central differences of p."""
    generator = QuantumHyperNetwork(study.QUBITS, ansatz=Brickwork(study.DEPTH), seeds=[0])
    step, differences = 1e-5, []

    def probabilities():
        return generator.probabilities().detach().numpy()[0, 0].copy()

    p = probabilities()
    with torch.no_grad():
        for k in range(study.ANGLES):
            values = []
            for shift in (step, -2 * step):
                generator.theta[0, k] += shift
                values.append(probabilities())
            generator.theta[0, k] += step
            differences.append((values[0] - values[1]) / (2 * step))
    slopes = np.array(differences)
    gradient = np.random.default_rng(6).normal(size=study.ANGLES)
    damped = (slopes / p) @ slopes.T + study.DAMPING * np.eye(study.ANGLES)
    found = study._exact_natural(generator, gradient)
    np.testing.assert_allclose(damped @ found, gradient, rtol=0, atol=1e-5)


def test_both_settings_have_the_same_parts():
    assert list(study.parts(True)) == list(study.parts(False))
