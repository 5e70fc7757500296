"""The study of noise: a small setting end to end, and what its own functions compute."""

import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from experiments.qhn import circuit, cost_table
from experiments.qhn_noise import bounds, study, tables
from experiments.qhn_noise.sequential import sweep
from experiments.study import find
from qhyper import Brickwork, Product, QuantumHyperNetwork
from qhyper.data.sets import availability
from qhyper.errors import MissingError
from qhyper.quantum.simulators.qiskit_aer_simulator import AerBackend
from qhyper.training.minimise import minimise

NAME = "small-37"
SMALL = study.Size(
    {NAME: study.Work(2, 500, 2, 10, 1e-6)}, (0, 2), (0.0, 2.0), (0.0, 2.0), (8,), None
)  # fmt: skip
DEVICES = study.Devices(
    ("fake_torino",), {NAME: (0, 2)}, shots=10, trained=NAME, seeds=(0,)
)  # fmt: skip

BEFORE_AFTER = {
    "device": "fake_torino",
    "minimum": 0.25,
    "circuits": 141,
    "before_after": {
        "found": {"cost": [0.3, 0.29], "p_optimum": [0.8, 0.81], "p_near": [0.82, 0.83]},
        "start": {"cost": [0.7, 0.31], "p_optimum": [0.0, 0.79], "p_near": [0.01, 0.8]},
    },
}

needs_mnist = pytest.mark.skipif(
    not availability()["mnist"].startswith("found"),
    reason="MNIST: QHYPER_DATA is not set",
)


@pytest.fixture(scope="module")
def results():
    return {name: work() for name, work in study.parts_of(SMALL).items()}


@needs_mnist
def test_a_small_setting_gives_tables_pictures_and_numbers(results, tmp_path):
    text = study.tables(results)
    assert text.count("### ") == 6
    assert "nan" not in text
    assert "inf" not in text
    found = results[f"circuit-{NAME}-2"]
    last = found["trajectories"]["p_optimum"][-1]
    assert f"| {last['mean']:.4f} ± {last['error']:.4f} |" in text
    study.draw(results, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["strength.svg", "training.svg"]
    for path in tmp_path.iterdir():
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    numbers = study.measured(results)
    assert np.isfinite(list(numbers.values())).all()
    for depth in SMALL.depths:  # 500 trajectories of seed 0; 5 standard errors
        assert numbers[f"{NAME}-depth-{depth}-deviation"] <= 5
        assert numbers[f"{NAME}-depth-{depth}-beyond-bound"] <= 5
        assert numbers[f"{NAME}-depth-{depth}-below-least"] <= 5
    assert numbers[f"{NAME}-product-off"] <= 1e-4
    assert numbers[f"{NAME}-exactly-below-least"] <= 1e-9


@needs_mnist
@pytest.mark.parametrize("quick", [True, False])
def test_what_is_expected_is_measured(results, quick):
    """Whatever the numbers: their names, of results that stand for all parts of a setting."""
    size = study.QUICK if quick else study.FULL
    stand_in = {}
    for part in study.parts(quick):
        kind, depth = part.split("-")[0], min(2, int(part.split("-")[-1]))
        if kind == "snapshot":
            stand_in[part] = BEFORE_AFTER
            continue
        own = results[f"circuit-{NAME}-{depth}" if kind == "circuit" else f"training-{NAME}-8"]
        stand_in[part] = own | {"exact": own.get("exact") if NAME in part else None}
    assert set(find("qhn-noise").expectations(quick)) <= set(study.measured(stand_in))
    assert set(tables.problems(stand_in)) == set(size.work)
    assert tables.depths(stand_in, NAME) == list(size.depths)


@needs_mnist
def test_the_same_seeds_give_the_same_numbers(results):
    assert study.parts_of(SMALL)[f"circuit-{NAME}-2"]() == results[f"circuit-{NAME}-2"]


@needs_mnist
def test_training_under_no_noise_is_training_without_it():
    size = replace(SMALL, work={NAME: replace(SMALL.work[NAME], starts=1)})
    found = study.under_noise(NAME, 0, size)
    assert found["own"]["under"] == pytest.approx(found["ideal"], abs=1e-9)
    assert found["difference"] == pytest.approx([0.0], abs=1e-9)


def test_the_strengths_of_the_paper():
    """Probabilities of another Pauli string than the identity, 3/4 and 15/16 of the strengths."""
    assert study.noise(2.0) == pytest.approx({"one": 0.002 * 4 / 3, "two": 0.0075 * 16 / 15})


@pytest.mark.parametrize("s", [0.0, 2.0, 50.0])
def test_what_survives_of_a_product_circuit_that_is_in_one_bitstring(s):
    """Against the exact channel, as Aer computes it."""
    generator = QuantumHyperNetwork(5, ansatz=Product(), seeds=[0])
    bits = np.array([0, 1, 1, 0, 1])
    with torch.no_grad():
        next(generator.parameters()).copy_(torch.from_numpy(np.pi * bits)[None])
    p = study.probabilities(generator, s)
    assert p is not None
    assert p[0, bits @ (1 << np.arange(5))] == pytest.approx(bounds.survives(5, s), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_no_circuit_that_ends_with_rotations_survives_better(seed):
    generator = QuantumHyperNetwork(4, ansatz=Brickwork(3, phase=1), seeds=[seed], start="uniform")
    for s in (2.0, 50.0):
        p = study.probabilities(generator, s)
        assert p is not None
        assert p.max() <= bounds.survives(4, s)
    with torch.no_grad():
        next(generator.parameters()).zero_()  # in |0000>: two noisy rotations at the end
    p = study.probabilities(generator, 2.0)
    assert p is not None
    assert p.max() < bounds.survives(4, 2.0)


@needs_mnist
def test_a_device_by_shots_against_the_same_exactly():
    """Noise and readout errors; 4000 shots of seed 0, 5 standard errors."""
    options = {"depolarising": study.noise(20.0), "readout": 0.02}
    generator = circuit(NAME, 2, [1])
    exact = study.on_device(generator, NAME, AerBackend(**options), 0)
    shots = AerBackend(method="matrix_product_state", **options)  # it has no probabilities
    drawn = study.on_device(generator, NAME, shots, 4000)
    for key, at in exact.items():
        assert at["error"] == 0.0
        assert abs(drawn[key]["mean"] - at["mean"]) <= 5 * max(drawn[key]["error"], 1 / 4000)
    spread = cost_table(NAME).losses.std()
    assert 0 < drawn["cost"]["error"] < 3 * spread / 4000**0.5


@needs_mnist
def test_a_missing_package_shows_before_any_training(monkeypatch):
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime", None)
    monkeypatch.setattr(study, "minimise", lambda *_, **__: pytest.fail("it has trained"))
    works = study.parts_of(replace(SMALL, devices=DEVICES))
    assert len(works) == len(study.parts_of(SMALL)) + 1
    for part in (f"circuit-{NAME}-2", f"training-{NAME}-8", f"snapshot-{NAME}-0"):
        with pytest.raises(MissingError, match=r"ibm"):
            works[part]()


@needs_mnist
def test_devices_have_a_table(results):
    """A device that is worse than any strength that ran, and one that is as good as s = 1."""
    with_devices = {part: dict(found) for part, found in results.items()}
    product, deep = (results[f"circuit-{NAME}-{depth}"]["exact"]["p_optimum"] for depth in (0, 2))
    half = {"fine": 0.5 * (deep[0] / product[0] + deep[1] / product[1]), "poor": 0.01}
    for depth in (0, 2):
        with_devices[f"circuit-{NAME}-{depth}"]["devices"] = {
            device: {
                "cost": {"mean": 0.6, "error": 0.0},
                "p_optimum": {"mean": 0.9 * left if depth else 0.9, "error": 0.0},
                "p_near": {"mean": 0.5, "error": 0.01},
            }
            for device, left in half.items()
        }
    text = study.tables(with_devices)
    (fine,) = [line for line in text.splitlines() if "| fine | 2 sublayers |" in line]
    (poor,) = [line for line in text.splitlines() if "| poor | 2 sublayers |" in line]
    assert fine.endswith("| 1.0 |")
    assert "| 0.5000 ± 0.0100 |" in fine
    assert poor.endswith("| 0.010 | > 2 |")


@needs_mnist
def test_training_with_devices_has_tables(results):
    part = f"training-{NAME}-8"
    minimum = results[part]["minimum"]
    judged = {
        "without": {"cost": [minimum + 0.2] * 2, "p_near": [0.5] * 2},
        "under": {"cost": [minimum + 0.1, minimum + 0.25], "p_near": [0.6] * 2},
    }
    with_devices = {
        **results,
        part: results[part] | {"devices": {"fake_torino": judged}},
        f"snapshot-{NAME}-0": BEFORE_AFTER,
    }
    text = study.tables(with_devices)
    (line,) = [line for line in text.splitlines() if "| torino | 8 |" in line]
    assert "| 1 of 2 | 0.5000 | 0.6000 |" in line
    assert (
        "| found without noise | torino | 0 | 0.05000 | 0.04000 | -1.0e-02 | 0.82000 | 0.83000 |"
        in text
    )
    assert tables.problems(with_devices) == [NAME]
    rises = study.measured(with_devices)
    assert rises[f"snapshot-{NAME}-0-start-rise"] == pytest.approx(-0.39)


# -- bounds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("s", [0.0, 2.0, 200.0])
def test_the_least_cost_by_brute_force(s):
    """Of 4 bits and random costs: every flip of every bitstring."""
    costs = np.random.default_rng(0).normal(size=16)
    f = 2 / 3 * 0.001 * s
    flips = np.array([[bin(a ^ b).count("1") for a in range(16)] for b in range(16)])
    chances = f**flips * (1 - f) ** (4 - flips)
    means = chances @ costs
    deviation = (chances @ costs**2 - means**2).clip(0)[means.argmin()] ** 0.5
    found = bounds.least(costs, s)
    assert found["mean"] == pytest.approx(means.min(), abs=1e-12)
    assert found["deviation"] == pytest.approx(deviation, abs=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_no_circuit_that_ends_with_rotations_costs_less(seed):
    """Against exact channels, at random angles and at those of the least cost."""
    costs = np.random.default_rng(seed).normal(size=16)
    for ansatz in (Product(), Brickwork(3, phase=1)):
        generator = QuantumHyperNetwork(4, ansatz=ansatz, seeds=[seed], start="uniform")
        minimise(generator, lambda bits: costs[bits @ (1 << np.arange(4))])
        for s in (2.0, 50.0):
            p = study.probabilities(generator, s)
            assert p is not None
            assert (p @ costs).item() >= bounds.least(costs, s)["mean"] - 1e-12


def test_trajectories_that_met_no_error_are_not_below_the_least():
    """At a mean of 1.36 errors, as of the product circuit at s = 0.4, there may be none."""
    bound = bounds.least(np.arange(2.0**17), 0.4)
    found = {"count": 300, "least": [bound], "trajectories": {"cost": [{"mean": 0, "error": 0}]}}
    assert 0 < tables._below_least(found) < 5
    assert tables._below_least(found | {"count": 300_000}) > 5


# -- training on a device --------------------------------------------------------------------------


def test_a_sweep_against_a_grid():
    """Every angle in turn goes to the minimum that a fine grid finds; ⟨C⟩ is never above it."""
    generator = QuantumHyperNetwork(3, ansatz=Brickwork(2), seeds=[0], start="uniform")
    executable: Any = AerBackend(depolarising=0.05, readout=0.02).compile(generator.circuit)
    costs = np.random.default_rng(0).normal(size=8)
    angles = generator.angles().detach().numpy()[0, 0]

    def cost(rows):
        return executable.at(rows[None]).probabilities()[0] @ costs

    for angle in (3, 0, 5):
        grid = np.tile(angles, (181, 1))
        grid[:, angle] += np.linspace(-np.pi, np.pi, 181)
        angles = sweep(cost, angles, [angle])
        least = cost(grid).min()
        assert least - 1e-3 <= cost(angles[None])[0] <= least + 1e-12


def test_a_sweep_takes_two_circuits_an_angle_and_leaves_what_does_not_matter():
    rows = []

    def cost(angles):
        rows.append(len(angles))
        return 2.0 + np.cos(angles[:, 0] - 0.3) + np.sin(angles[:, 2])

    found = sweep(cost, np.array([0.1, 0.2, 0.4]), [2, 1, 0])
    assert rows == [1, 2, 2, 2]
    assert np.cos(found) == pytest.approx(np.cos([0.3 + np.pi, 0.2, -np.pi / 2]))
    assert found[1] == 0.2


@needs_mnist
def test_training_on_a_snapshot():
    """The product circuit, exact in one sweep: from anywhere as good as one found without noise."""
    pytest.importorskip("qiskit_ibm_runtime")
    found = study.on_snapshot(NAME, 0, 0, "fake_torino")
    assert found["circuits"] == 21
    before, after = (np.array([of["cost"][k] for of in found["before_after"].values()])
                     for k in (0, 1))  # fmt: skip
    assert (after <= before + 1e-12).all()
    assert before[1] - after[1] > 0.1
    assert found["ideal"] < before[0]


def test_an_rz_before_the_measurement_does_not_matter():
    deep, product = Brickwork(2), Product()
    assert study._before_measurement(QuantumHyperNetwork(3, ansatz=deep)) == 9
    assert study._before_measurement(QuantumHyperNetwork(3, ansatz=product)) == 3


# -- numbers ---------------------------------------------------------------------------------------


def test_the_largest_deviation_counts_standard_errors():
    found = {
        "trajectories": {
            "cost": [{"mean": 1.0, "error": 0.0}, {"mean": 1.2, "error": 0.1}],
            "p_optimum": [{"mean": 1.0, "error": 0.0}, {"mean": 0.7, "error": 0.01}],
        },
        "exact": {"cost": [1.0 + 1e-12, 1.3], "p_optimum": [1.0, 0.73]},
    }
    assert tables.deviation(found) == pytest.approx(3)
