"""The study of gradients: its quick setting end to end, and what its own functions compute."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch

from experiments.gradients import study
from experiments.study import find
from qhyper import Brickwork, Expectation, QuantumHyperNetwork
from qhyper.threads import one_torch_thread


@pytest.fixture(scope="module")
def results():
    with one_torch_thread():
        return {name: work() for name, work in study.parts(quick=True).items()}


def test_the_tables_show_what_the_parts_found(results):
    text = study.tables(results)
    assert "nan" not in text
    errors = results["error-adam"]
    assert f"20 exact steps of Adam, |g| = {errors['norm']:.3g}" in text
    for name, (label, *_) in study.ESTIMATORS.items():
        *_, at = errors["errors"][name]
        assert at["shots"] == study.SHOWN
        assert f"| {label} | {at['circuits']} | {at['relative_mse']:.3g} |" in text
        found = results[f"training-{name}"]
        chosen = f"| {label} | {found['draws']} | {found['learning_rate']} | "
        loss = f"{found['circuits']:,} | {np.median(found['final_loss']):.4f} |"
        assert chosen + loss in text


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


def test_the_same_seeds_give_the_same_numbers(results):
    again = study.parts(quick=True)["error-near-product"]()
    assert again == results["error-near-product"]


@pytest.mark.parametrize("shots", [1_000, 10_000])
def test_every_estimator_spends_the_shots_of_its_column(shots):
    generator = QuantumHyperNetwork(study.QUBITS, ansatz=Brickwork(study.DEPTH), seeds=[0])
    assert generator.circuit.n_angles == study.ANGLES
    estimators = study._estimators(shots)
    assert set(estimators) == set(study.ESTIMATORS)
    for name, estimator in estimators.items():
        spent = estimator.cost(generator, Expectation()).shots
        assert 0.9 * shots < spent <= shots, name


def test_parameter_shift_needs_a_shot_for_every_circuit():
    assert "parameter-shift" in study._estimators(2 * study.ANGLES)
    assert "parameter-shift" not in study._estimators(2 * study.ANGLES - 1)


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
