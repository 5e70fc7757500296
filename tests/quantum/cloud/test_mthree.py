import sys
import time

import numpy as np
import pytest

from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError, MissingError
from qhyper.quantum.cloud.mthree_mitigation import (
    calibration_bits,
    check_installed,
    confusion,
    quasi_probabilities,
)


@pytest.fixture
def mthree():
    return pytest.importorskip("mthree")


def asymmetric(n, rng, largest=0.06):
    """Assignment matrices [qubit, measured, prepared], another one for every qubit."""
    wrong0, wrong1 = rng.uniform(0.005, largest / 2, n), rng.uniform(largest / 3, largest, n)
    return np.stack([np.stack([1 - wrong0, wrong1], -1), np.stack([wrong0, 1 - wrong1], -1)], 1)


def misread(bits, matrices, rng):
    """Each qubit read independently, by its matrix; bits [..., qubit]."""
    one = np.where(bits == 1, matrices[:, 1, 1], matrices[:, 1, 0])
    return (rng.random(bits.shape) < one).astype(np.uint8)


def drawn(p, shots, rng):
    return (rng.random((shots, len(p))) < p).astype(np.uint8)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 36])
def test_calibration_prepares_every_pair_of_qubits_equally_often_in_all_states(n):
    bits = calibration_bits(n)
    rows = len(bits)
    assert bits.dtype == np.uint8
    assert n < rows <= 2 * n
    assert (bits.sum(axis=0) == rows // 2).all()
    for other in range(1, n):
        both = 2 * bits[:, :-other] + bits[:, other:]
        for state in range(4):
            assert ((both == state).sum(axis=0) == rows // 4).all()


def test_confusion_counts_what_was_measured_by_what_was_prepared():
    # two qubits are prepared in 00, 10, 01 and 11 (qubit 0 first)
    measured = np.array([
        [[0, 1], [0, 0]], [[1, 0], [1, 1]], [[1, 1], [0, 1]], [[1, 0], [1, 1]],
    ], np.uint8)  # fmt: skip
    np.testing.assert_array_equal(calibration_bits(2), [[0, 0], [1, 0], [0, 1], [1, 1]])
    np.testing.assert_array_equal(
        confusion(measured), [[[0.75, 0], [0.25, 1]], [[0.5, 0.25], [0.5, 0.75]]]
    )


def test_confusion_finds_the_matrices_within_their_shot_noise():
    # seed 1, 64 rows × 500 shots, and so 16,000 shots a state; 5 sigma for each of 144 entries
    rng = np.random.default_rng(1)
    matrices = asymmetric(36, rng)
    shots = np.repeat(calibration_bits(36)[:, None], 500, axis=1)
    sigma = np.sqrt(matrices * (1 - matrices) / 16_000)
    assert (np.abs(confusion(misread(shots, matrices, rng)) - matrices) < 5 * sigma).all()


@pytest.mark.usefixtures("mthree")
def test_the_weights_are_those_of_the_exact_inverse_where_all_strings_were_measured():
    rng = np.random.default_rng(2)
    n, matrices = 4, asymmetric(4, np.random.default_rng(3), 0.2)
    noise = misread(np.zeros((500, n), np.uint8), matrices, rng)
    bits = np.concatenate([all_bitstrings(n), noise])
    quasi = quasi_probabilities(bits, matrices)
    # qubit 0 changes fastest in all_bitstrings, and so it stands last in the Kronecker product
    inverse = np.ones((1, 1))
    for matrix in matrices:
        inverse = np.kron(np.linalg.inv(matrix), inverse)
    number = bits @ (1 << np.arange(n))
    exact = inverse @ (np.bincount(number, minlength=16) / len(bits))
    np.testing.assert_allclose(
        quasi.weights, exact[quasi.strings @ (1 << np.arange(n))], rtol=0, atol=2e-6
    )
    assert quasi.weights.sum() == pytest.approx(1, abs=1e-12)
    assert quasi.weights.min() < 0
    assert quasi.covered == pytest.approx(1, abs=1e-4)


def test_the_weights_are_those_of_mthree_itself(mthree):
    rng = np.random.default_rng(4)
    n, matrices = 36, asymmetric(36, rng)
    bits = misread(drawn(np.where(np.arange(n) % 3, 0.02, 0.9), 512, rng), matrices, rng)
    quasi = quasi_probabilities(bits, matrices)
    counts = {}
    for row in bits:
        name = "".join("01"[bit] for bit in row[::-1])
        counts[name] = counts.get(name, 0) + 1
    theirs = mthree.M3Mitigation()
    theirs.cals_from_matrices(list(matrices))
    expected = theirs.apply_correction(counts, list(range(n)), distance=-1)
    assert len(expected) == len(quasi.strings)
    for row, count, weight in zip(quasi.strings, quasi.counts, quasi.weights, strict=True):
        name = "".join("01"[bit] for bit in row[::-1])
        assert counts[name] == count
        assert expected[name] == pytest.approx(weight, abs=1e-5)


@pytest.mark.usefixtures("mthree")
def test_identity_matrices_leave_the_frequencies_as_they_are():
    rng = np.random.default_rng(5)
    bits = drawn(np.full(6, 0.3), 300, rng)
    quasi = quasi_probabilities(bits, np.tile(np.eye(2), (6, 1, 1)))
    np.testing.assert_allclose(quasi.weights, quasi.counts / 300, rtol=0, atol=1e-9)
    losses = quasi.strings @ np.arange(6.0)
    mean, error = quasi.mean(losses)
    plain = bits @ np.arange(6.0)
    assert mean == pytest.approx(plain.mean(), abs=1e-9)
    assert error == pytest.approx(plain.std(ddof=1) / np.sqrt(300), rel=1e-6)
    assert quasi.covered is None


@pytest.mark.usefixtures("mthree")
def test_means_are_unbiased_and_their_standard_error_is_their_spread():
    # seed 6, 200 repetitions of 4,000 shots at 8 qubits. The mean of the means: 5 sigma. Their
    # standard deviation from 200: its relative error is 1/√400, and 5 sigma of that is 25 %.
    rng = np.random.default_rng(6)
    n, shots, repetitions = 8, 4_000, 200
    matrices, slope = asymmetric(n, rng, 0.1), rng.normal(size=n)
    p = rng.uniform(0.2, 0.8, n)
    means, errors = [], []
    for _ in range(repetitions):
        bits = misread(drawn(p, shots, rng), matrices, rng)
        quasi = quasi_probabilities(bits, matrices)
        mean, error = quasi.mean(quasi.strings @ slope)
        means.append(mean)
        errors.append(error)
    assert abs(np.mean(means) - p @ slope) < 5 * np.std(means) / np.sqrt(repetitions)
    assert np.std(means, ddof=1) == pytest.approx(np.mean(errors), rel=0.25)
    raw = np.array([matrices[q, 1, 0] * (1 - p[q]) + matrices[q, 1, 1] * p[q] for q in range(n)])
    assert abs(raw @ slope - p @ slope) > 5 * np.mean(errors) / np.sqrt(repetitions)


@pytest.mark.usefixtures("mthree")
def test_marginals_are_those_of_the_exact_inverse_within_five_sigma():
    # seed 7, 20,000 shots at 8 qubits: each marginal is that of the qubit's own inverse matrix
    rng = np.random.default_rng(7)
    n, shots = 8, 20_000
    matrices, p = asymmetric(n, rng), rng.uniform(0.2, 0.8, n)
    bits = misread(drawn(p, shots, rng), matrices, rng)
    quasi = quasi_probabilities(bits, matrices)
    contrast = matrices[:, 1, 1] - matrices[:, 1, 0]
    for qubit in range(n):
        mean, error = quasi.mean(quasi.strings[:, qubit])
        exact = (bits[:, qubit].mean() - matrices[qubit, 1, 0]) / contrast[qubit]
        assert abs(mean - exact) < 5 * error
        assert abs(mean - p[qubit]) < 5 * error


@pytest.mark.usefixtures("mthree")
def test_36_qubits_take_seconds_and_marginals_improve_as_far_as_misreadings_are_covered():
    # seed 8, 4,096 shots, calibration from 64 × 1,024; observed: error 0.0302 → 0.0189, 0.2 s
    rng = np.random.default_rng(8)
    n = 36
    matrices = asymmetric(n, rng)
    known = np.repeat(calibration_bits(n)[:, None], 1024, axis=1)
    found = confusion(misread(known, matrices, rng))
    p = np.where(rng.random(n) < 0.5, 0.0, 1.0)
    p[:4] = 0.5
    bits = misread(drawn(p, 4096, rng), matrices, rng)
    start = time.perf_counter()
    quasi = quasi_probabilities(bits, found)
    assert time.perf_counter() - start < 20
    raw = np.abs(bits.mean(axis=0) - p).mean()
    mitigated = np.abs(quasi.weights @ quasi.strings - p).mean()
    assert mitigated < 0.75 * raw
    assert 0.2 < quasi.covered < 0.9
    # nearly every shot another string: nothing can be corrected, and it says so
    flat = quasi_probabilities(misread(drawn(np.full(n, 0.5), 1024, rng), matrices, rng), found)
    assert flat.covered < 0.01
    np.testing.assert_allclose(flat.weights, flat.counts / 1024, atol=1e-5)


@pytest.mark.usefixtures("mthree")
def test_a_single_shot_has_no_standard_error():
    quasi = quasi_probabilities(np.zeros((1, 3), np.uint8), np.tile(np.eye(2), (3, 1, 1)))
    assert quasi.mean([2.0]) == (2.0, None)


GOOD = np.tile([[0.9, 0.2], [0.1, 0.8]], (3, 1, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibration_bits(0), "needs 1 qubit or more; got 0"),
        (lambda: confusion(np.zeros((4, 3), np.uint8)), r"of shape \(4, 3\); expected \[row, shot"),
        (lambda: confusion(np.zeros((5, 9, 3), np.uint8)), "of 5 rows; expected 4, .* 3 qubits"),
        (lambda: quasi_probabilities(np.zeros(3, np.uint8), GOOD), r"of shape \(3,\); expected"),
        (lambda: quasi_probabilities(np.zeros((9, 2), np.uint8), GOOD), r"for 2 qubits; expected"),
        (lambda: quasi_probabilities(np.full((9, 3), 2), GOOD), "Bits must be 0 or 1"),
        (
            lambda: quasi_probabilities(np.zeros((9, 3), np.uint8), GOOD.swapaxes(1, 2)),
            "each column must sum to 1",
        ),
        (
            lambda: quasi_probabilities(
                np.zeros((9, 3), np.uint8), np.stack([GOOD[0], np.full((2, 2), 0.5), GOOD[0]])
            ),
            r"Qubit 1 is read as noise: P\(1 \| 1\) - P\(1 \| 0\) is 0.00; expected 0.2 or more.*"
            "choose other qubits with the option `layout`",
        ),
        (
            lambda: quasi_probabilities(np.zeros((9, 3), np.uint8), GOOD).mean([1.0, 2.0]),
            r"losses of shape \(2,\); expected one for each of the 1 strings",
        ),
    ],
)
@pytest.mark.usefixtures("mthree")
def test_what_cannot_be_mitigated_is_said(call, message):
    with pytest.raises(ConfigurationError, match=message):
        call()


def test_too_many_strings_are_refused_before_their_matrix_is_made(monkeypatch):
    monkeypatch.setattr("qhyper.quantum.cloud.mthree_mitigation.MOST_STRINGS", 4)
    with pytest.raises(ConfigurationError, match="Got 8 different strings; at the most 4 are"):
        quasi_probabilities(all_bitstrings(3), GOOD)


def test_without_mthree_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mthree", None)
    for call in (check_installed, lambda: quasi_probabilities(all_bitstrings(3), GOOD)):
        with pytest.raises(MissingError, match=r"pip install .* '\.\[mitigate\]'"):
            call()
