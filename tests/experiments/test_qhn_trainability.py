"""The study of trainability: its quick setting end to end, and what its own functions compute."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from experiments.qhn_trainability import study, tables
from experiments.study import find
from qhyper import BinaryNetwork, Samples
from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.quantum.ansatz import initial_parameters
from qhyper.quantum.simulators import mps_kernels
from qhyper.quantum.simulators.mps_program import compile_circuit


@pytest.fixture(scope="module")
def results():
    return {name: work() for name, work in study.parts(quick=True).items()}


def test_the_quick_setting_gives_tables_pictures_and_numbers(results, tmp_path):
    text = study.tables(results)
    assert text.count("### ") == 6
    assert "nan" not in text
    assert "inf" not in text
    for title in tables.COSTS.values():
        for start in study.STARTS:
            assert text.count(f"| {title} | {start} | ") == 2 * len(study.QUICK.sublayers)
    found = results["uniform-32-4"]["perceptron"]
    value = f"{found['value']['mean']:.2g} ± {found['value']['sd']:.2g}"
    assert f"| loss of the perceptron | uniform | 4 | {value} | " in text
    study.draw(results, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["depth.svg", "qubits.svg"]
    for path in tmp_path.iterdir():
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    numbers = study.measured(results)
    assert np.isfinite(list(numbers.values())).all()
    for name, expected in find("qhn-trainability").expectations(quick=True).items():
        assert expected.holds(numbers[name]), (name, numbers[name])


def test_what_the_full_setting_expects_is_measured(results):
    deep = {
        f"{start}-{n}-{sublayers}": results[f"{start}-{n}-4"]
        for start in study.STARTS
        for n in study.QUICK.qubits
        for sublayers in study.FULL.sublayers
    }
    assert set(find("qhn-trainability").expectations(quick=False)) <= set(study.measured(deep))


def test_the_same_seeds_give_the_same_numbers(results):
    again = study.parts(quick=True)["uniform-8-4"]()
    assert again == results["uniform-8-4"]


@pytest.mark.parametrize("sublayers", study.FULL.sublayers)
@pytest.mark.parametrize("start", study.STARTS)
def test_circuits_have_so_many_sublayers_and_bonds_of_16(start, sublayers):
    n = 8
    circuit = study.build(start, n, sublayers)
    entanglers = sum(gate.name == "cx" for gate in circuit.gates)
    half = sublayers // 2
    odd = half if start != "identity-block" else 2 * (half // 2)  # of mirrored halves
    assert entanglers == (sublayers - odd) * n // 2 + odd * (n // 2 - 1)
    assert compile_circuit(circuit).bond.max() <= 16
    middle = {(g.name, g.qubits[0]) for g, k in circuit.numbered()
              if k in range(circuit.n_angles)[study._middle(n, sublayers)]}  # fmt: skip
    assert middle == {("ry", q) for q in range(n)}


@pytest.mark.parametrize("start", study.STARTS)
def test_angles_that_are_left_out_change_no_probability(start):
    circuit = study.build(start, 5, 4)
    effective = study._effective(circuit)
    assert effective.sum() == circuit.n_angles - (0 if start == "identity-block" else 5)
    rng = np.random.default_rng(0)
    angles = initial_parameters(circuit, start, rng)[None]
    moved = angles + np.where(effective, 0.0, rng.normal(size=angles.shape))
    program = compile_circuit(circuit)
    one, other = (mps_kernels.site_tensors(program, at) for at in (angles, moved))
    matrices = mps_kernels.weight_matrices(program, one)
    bits = mps_kernels.sample(program, one, matrices, rng.random((1, 50, 5)))
    log_p = mps_kernels.log_prob(program, one, bits)
    np.testing.assert_allclose(mps_kernels.log_prob(program, other, bits), log_p, rtol=1e-12)


def test_the_teacher_is_never_wrong():
    data = study.taught(16, 50)
    rng = np.random.default_rng(16)
    teacher = rng.choice([-1.0, 1.0], 16)
    cost = study.perceptron(data, "accuracy")
    assert cost((teacher > 0).astype(np.uint8)) == 0


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error", "accuracy"])
def test_perceptrons_are_binary_networks_of_one_output(loss):
    rng = np.random.default_rng(1)
    data = Samples(rng.choice([-1.0, 1.0], (7, 9)), rng.integers(2, size=7))
    bits = all_bitstrings(9)
    network = BinaryNetwork((9, 1)).objective(data, loss)(bits)
    found = study.perceptron(data, loss)(bits)
    np.testing.assert_allclose(found, network, rtol=1e-12, atol=1e-12)


def test_perceptrons_of_other_rows_or_labels_are_refused():
    with pytest.raises(ConfigurationError, match=r"Got features other than -1 and \+1"):
        study.perceptron(Samples(np.array([[1.0, -1.0], [0.5, 1.0]]), np.array([0, 1])))
    with pytest.raises(ConfigurationError, match="labels are 0 to 1"):
        study.perceptron(Samples(np.array([[1.0, -1.0]]), np.array([2])))


# -- closed forms ----------------------------------------------------------------------------------


def test_identity_blocks_begin_at_the_uniform_distribution(results):
    """So ⟨C⟩ is the mean over all strings, and the last Ry alone give one string's 4^-n."""
    for n in study.QUICK.qubits:
        found = results[f"identity-block-{n}-2"]
        assert found["mean"]["value"]["mean"] == pytest.approx(0, abs=1e-12)
        assert found["neighbours"]["value"]["mean"] == pytest.approx(0, abs=1e-12)
        assert found["string"]["value"]["mean"] == pytest.approx(0.5**n, rel=1e-9)
        assert found["string"]["value"]["sd"] < 1e-9 * 0.5**n


def test_mean_squares_and_variances_of_gaussians():
    """Means b and spread s of two angles, 4,000 starts, seed 3: within 5 sigma."""
    n, spread, unit = 4_000, np.array([0.5, 2.0]), 1e-200
    means = np.array([3.0, 0.0])
    derivatives = means + spread * np.random.default_rng(3).normal(size=(n, 2))
    found = study.spread(derivatives, unit)
    offset = 2 * np.log2(unit)
    for what, expected, error in (
        ("variance", (spread**2).mean(), np.sqrt(2 * (spread**4).sum() / n) / 2),
        (
            "mean_square",
            (spread**2 + means**2).mean(),
            np.sqrt((2 * spread**4 + 4 * spread**2 * means**2).sum() / n) / 2,
        ),
    ):
        value, low, high = (2 ** (found[what][key] - offset) for key in ("log2", "low", "high"))
        assert abs(value - expected) < 5 * error
        assert low < value < high
        assert high - low == pytest.approx(2 * 1.96 * error, rel=0.25)
    by_start = np.log2((derivatives**2).mean(axis=1)) + offset
    np.testing.assert_allclose(found["by_start"], by_start, rtol=1e-12)


def test_rounding_counts_as_nothing():
    noise = 1e-16 * np.random.default_rng(1).normal(size=(20, 3))
    found = study.spread(1.0 + noise, unit=0.5)
    assert found["variance"]["log2"] == found["variance"]["high"] == study.NOTHING
    assert found["mean_square"]["log2"] == pytest.approx(-2)
    assert tables._number(study.NOTHING) == "0"


def test_laws_of_known_series():
    n = [8, 16, 32, 64]
    power = tables.law(n, [-2 * np.log2(k) + 1 for k in n])
    assert power["power"] == pytest.approx(-2)
    assert power["power_left"] == pytest.approx(0, abs=1e-12)
    rate = tables.law(n, [3 - 1.5 * k for k in n])
    assert rate["rate"] == pytest.approx(1.5)
    assert rate["rate_left"] == pytest.approx(0, abs=1e-12)
    assert tables._law(n, [3 - 1.5 * k for k in n]) == "2^-1.500n (0.00)"
    assert tables._law(n, [3 - 1.5 * k for k in n[:-1]] + [study.NOTHING]) == "–"


def test_numbers_of_any_size_are_written():
    assert tables._number(np.log2(0.00123)) == "1.2e-3"
    assert tables._number(np.log2(0.009996)) == "1.0e-2"
    assert tables._number(-2000.0) == "8.7e-603"  # 2^-2000


def test_the_share_of_the_largest_start():
    assert tables.share_of_largest({"by_start": [-2000.0, -2001.0, -2001.0]}) == pytest.approx(0.5)


def test_both_settings_have_parts_of_every_start():
    for quick, size in ((True, study.QUICK), (False, study.FULL)):
        assert len(study.parts(quick)) == len(size.qubits) * len(size.sublayers) * len(study.STARTS)
