"""Known bitstrings: what a preflight prepares, and what it finds wrong."""

from itertools import combinations, permutations

import numpy as np
import pytest

from qhyper.errors import JobError
from qhyper.quantum.backends import build_backend
from qhyper.quantum.cloud.readout import (
    AGREEMENT,
    PREFLIGHT_SHOTS,
    PreflightError,
    angles_of,
    check_preflight,
    preflight_bits,
    preparation,
)
from qhyper.streams import Streams

WIDTHS = [*range(1, 67), 100, 128, 129]


def measured(n, wrong=0.0, seed=0):
    """What a device returns, [row, shot, qubit], that reads a bit wrongly so often."""
    bits = np.repeat(preflight_bits(n)[:, None], PREFLIGHT_SHOTS, axis=1)
    flips = np.random.default_rng(seed).random(bits.shape) < wrong
    return bits ^ flips.astype(np.uint8)


def check(bits):
    check_preflight(bits, tuple(range(bits.shape[-1])), "stub")


def passes(bits):
    try:
        check(bits)
    except PreflightError:
        return False
    return True


# -- what is prepared ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "rows"), [(1, 2), (2, 2), (3, 4), (4, 4), (5, 6), (32, 10), (36, 12)]
)
def test_rows_are_binary_digits_and_their_complements(n, rows):
    bits = preflight_bits(n)
    assert bits.shape == (rows, n)
    assert bits.dtype == np.uint8
    np.testing.assert_array_equal(bits[rows // 2 :], 1 - bits[: rows // 2])


@pytest.mark.parametrize("n", WIDTHS)
def test_no_two_qubits_and_no_two_rows_are_alike(n):
    """And so no order but the right one looks right."""
    bits = preflight_bits(n)
    assert len(np.unique(bits, axis=1).T) == n
    assert len(np.unique(bits, axis=0)) == len(bits)


@pytest.mark.parametrize("n", [17, 24, 33, 36, 57])
def test_orders_of_qubits_and_rows_together_are_seen_too(n):
    """The docstring's claim: each order of the digits, each digit or its complement, is another set
    of words, but the words' own."""
    digits = len(preflight_bits(n)) // 2
    words = 2 ** np.arange(digits) @ preflight_bits(n)[:digits]
    flips = np.arange(2**digits)[:, None]
    alike = 0
    for order in permutations(range(digits)):
        other = sum(((words >> digit) & 1) << place for place, digit in enumerate(order))
        alike += (np.sort(other ^ flips, axis=1) == np.sort(words)).all(axis=1).sum()
    assert alike == 1


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_circuit_prepares_any_bitstring(n):
    """On the exact state vector: every shot is the string."""
    bits = ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(np.uint8)
    executable = build_backend("statevector").compile(preparation(n), rows=2**n)
    drawn = executable.at(angles_of(bits)[None]).sample(16, Streams((0,))(0))
    np.testing.assert_array_equal(drawn[0], np.repeat(bits[:, None], 16, axis=1))


# -- what passes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", WIDTHS)
def test_what_comes_back_as_prepared_passes(n):
    check(measured(n))


@pytest.mark.parametrize("n", [1, 2, 36])
def test_readout_errors_of_a_usual_size_pass(n):
    """6 % of the bits are wrong, seeds 0 to 29: each falls short with less than 1e-6."""
    assert all(passes(measured(n, 0.06, seed)) for seed in range(30))


@pytest.mark.parametrize("wrong", [0.0, 0.06])
@pytest.mark.parametrize("axis", [-1, 0], ids=["bits", "rows"])
@pytest.mark.parametrize("n", [*range(2, 10), 16, 17, 24, 32, 36])
def test_no_order_but_the_right_one_passes(n, axis, wrong):
    """All exchanges of two, and random orders, seed n, with 6 % readout errors too."""
    bits = measured(n, wrong, seed=n)
    places = np.arange(bits.shape[axis])
    rng = np.random.default_rng(n)
    orders = [rng.permutation(places) for _ in range(20)]
    for one, other in combinations(places, 2):
        orders.append(places.copy())
        orders[-1][[one, other]] = other, one
    for order in orders:
        moved = np.take(bits, order, axis=axis)
        assert passes(moved) == (order == places).all()


@pytest.mark.parametrize("n", [3, 36])
def test_a_bit_that_is_wrong_in_one_row_does_not_pass_by_its_mean(n):
    bits = measured(n, 0.06)
    bits[3, :, 1] ^= 1
    with pytest.raises(
        JobError, match=r"1 of .* bit 1 \(the device's qubit 1\): .*, wrong in row 3"
    ):
        check(bits)


def test_the_threshold_is_a_share_of_the_shots():
    bits = measured(3)
    enough = int(AGREEMENT * 4 * PREFLIGHT_SHOTS)  # 96 of 128
    wrong = np.arange(4 * PREFLIGHT_SHOTS).reshape(PREFLIGHT_SHOTS, 4).T  # [row, shot], in all rows
    bits[..., 0] ^= (wrong >= enough).astype(np.uint8)
    check(bits)
    bits[..., 0] ^= (wrong == enough - 1).astype(np.uint8)
    with pytest.raises(JobError, match=r"bit 0 \(the device's qubit 0\): 74%. No job"):
        check(bits)


# -- what is wrong ---------------------------------------------------------------------------------


def order_of(*order, axis=-1):
    return lambda bits: np.take(bits, order, axis=axis)


CASES = {
    "reversed": (order_of(4, 3, 2, 1, 0), "the bits come back in reversed order"),
    "exchanged": (order_of(0, 3, 2, 1, 4), "bits come back exchanged: 1 and 3"),
    "two pairs": (order_of(1, 0, 4, 3, 2), "bits come back exchanged: 0 and 1, 2 and 4"),
    "shifted": (
        order_of(4, 0, 1, 2, 3),
        "the bits come back in another order: bit 0 carries qubit 4, bit 1 carries qubit 0, bit 2 "
        "carries qubit 1, bit 3 carries qubit 2, bit 4 carries qubit 3",
    ),
    "rows reversed": (order_of(5, 4, 3, 2, 1, 0, axis=0), "the rows come back in reversed order"),
    "rows exchanged": (order_of(0, 1, 5, 3, 4, 2, axis=0), "rows come back exchanged: 2 and 5"),
    "rows shifted": (
        order_of(1, 2, 3, 4, 5, 0, axis=0),
        "the rows come back in another order: row 0 carries row 1, row 1 carries row 2, row 2 "
        "carries row 3, row 3 carries row 4, row 4 carries row 5, row 5 carries row 0",
    ),
    "inverted": (
        lambda bits: 1 - bits,
        "every bit comes back inverted, or rows come back exchanged: 0 and 3, 1 and 4, 2 and 5",
    ),
    "zeros": (
        np.zeros_like,
        "got zeros alone where known bitstrings and their complements were prepared. It returns "
        "counts where shots are read, or does not run the circuit",
    ),
    "noise": (
        lambda bits: np.random.default_rng(0).integers(0, 2, bits.shape, dtype=np.uint8),
        "it returns noise: every bit of every row is 0 about as often as 1",
    ),
}


@pytest.mark.parametrize("wrong", [0.0, 0.06])
@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_named(case, wrong):
    """Seed 1; also with 6 % readout errors, but for zeros, where there are none."""
    spoil, message = CASES[case]
    with pytest.raises(PreflightError) as found:
        check_preflight(spoil(measured(5, wrong, seed=1)), (10, 11, 12, 13, 14), "stub")
    assert str(found.value) == (
        f"Preflight of stub: {message}. No job of this circuit was sent: what it measured could "
        "not be trusted."
    )
    assert found.value.exit_code == 4


def test_two_bits_have_several_explanations():
    with pytest.raises(JobError, match=r"reversed order, or every bit .* inverted, or the r"):
        check(measured(2)[..., ::-1])


def test_a_bit_that_never_changes_is_named():
    bits = np.where(np.arange(5) == 2, 1, measured(5))
    message = (
        r"Preflight of stub: 1 of 5 bits are not as prepared in 75% of 192 shots, and in 40% of "
        r"every row's: bit 2 \(the device's qubit 12\): 50%. No job .* Leave them out with the "
        r"option avoid=\[12\]"
    )
    with pytest.raises(JobError, match=message):
        check_preflight(bits, (10, 11, 12, 13, 14), "stub")


def test_a_bit_that_carries_another_one_is_named():
    bits = measured(9)
    bits[..., 3] = bits[..., 5]
    with pytest.raises(JobError, match=r"1 of 9 bits .*: bit 3 .*%, it carries qubit 5. No"):
        check(bits)


def test_many_wrong_bits_are_not_all_listed():
    bits = measured(36)
    bits[:, :, 4:16] = 1
    with pytest.raises(JobError, match=r"12 of 36 bits .*: bit 4 .* and 4 more. No job"):
        check(bits)
    with pytest.raises(JobError, match=r"another order: bit 0 carries .* and 28 more. No job"):
        check(np.roll(measured(36), 1, axis=-1))
