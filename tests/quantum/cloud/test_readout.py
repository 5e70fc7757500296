"""Known bitstrings: what a preflight prepares, and what it finds wrong."""

import numpy as np
import pytest

from qhyper.errors import JobError
from qhyper.quantum.backends import build_backend
from qhyper.quantum.cloud.readout import (
    AGREEMENT,
    PREFLIGHT_SHOTS,
    angles_of,
    check_preflight,
    pattern,
    preflight_bits,
    preparation,
)
from qhyper.streams import Streams

WIDTHS = range(1, 130)


def measured(n):
    """What a perfect device returns, [row, shot, qubit]."""
    return np.repeat(preflight_bits(n)[:, None], PREFLIGHT_SHOTS, axis=1)


def test_the_pattern_begins_with_the_binary_numbers():
    assert "".join(map(str, pattern(13))) == "1101110010111"  # 1 10 11 100 101 11(0)


@pytest.mark.parametrize("n", WIDTHS)
def test_the_pattern_is_no_other_when_reversed_or_shifted(n):
    bits = pattern(n)
    assert bits.shape == (n,)
    assert bits.dtype == np.uint8
    assert bits.any()
    if n > 1:
        assert not (bits == bits[::-1]).all()
        assert not (bits == np.roll(bits, 1)).all()
    np.testing.assert_array_equal(preflight_bits(n).sum(axis=0), 1)  # every bit is 0 and 1 once


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_circuit_prepares_any_bitstring(n):
    """On the exact state vector: every shot is the string."""
    bits = ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(np.uint8)
    executable = build_backend("statevector").compile(preparation(n), rows=2**n)
    drawn = executable.at(angles_of(bits)[None]).sample(16, Streams((0,))(0))
    np.testing.assert_array_equal(drawn[0], np.repeat(bits[:, None], 16, axis=1))


@pytest.mark.parametrize("n", WIDTHS)
def test_what_comes_back_as_prepared_passes(n):
    check_preflight(measured(n), tuple(range(n)), "stub")


def test_readout_errors_of_a_usual_size_pass():
    """36 bits, each wrong with 6 %, 64 shots: P(share < 0.8) = 5e-6 a bit; seed 0."""
    flips = np.random.default_rng(0).random((2, PREFLIGHT_SHOTS, 36)) < 0.06
    check_preflight(measured(36) ^ flips, tuple(range(36)), "stub")


CASES = {
    "reversed": (
        lambda bits: bits[..., ::-1],
        "Preflight of stub: the bits come back in reversed order: got 01011, expected 11010",
    ),
    "zeros": (
        np.zeros_like,
        "Preflight of stub: got zeros alone where 11010 and its complement were prepared. It "
        "returns counts where shots are read",
    ),
    "inverted": (
        lambda bits: 1 - bits,
        "Preflight of stub: every bit comes back inverted: got 00101, expected 11010",
    ),
    "stuck": (
        lambda bits: np.where(np.arange(5) == 2, 1, bits),
        r"Preflight of stub: 1 of 5 bits are not as prepared in 80% of 64 shots: bit 2 \(the "
        r"device's qubit 12\): 50%. No job .* with the option avoid=\[12\]",
    ),
    "shifted": (lambda bits: np.roll(bits, 1, axis=-1), "4 of 5 bits are not as prepared"),
    "noise": (
        lambda bits: np.random.default_rng(0).integers(0, 2, bits.shape, dtype=np.uint8),
        "5 of 5 bits are not as prepared",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_named(case):
    spoil, message = CASES[case]
    with pytest.raises(JobError, match=message) as wrong:
        check_preflight(spoil(measured(5)), (10, 11, 12, 13, 14), "stub")
    assert wrong.value.exit_code == 4
    assert "No job of this circuit was sent: what it measured could not be" in str(wrong.value)


@pytest.mark.parametrize("n", range(2, 130))
def test_reversed_order_is_caught_at_every_width(n):
    with pytest.raises(JobError, match=r"reversed order|not as prepared"):
        check_preflight(measured(n)[..., ::-1], tuple(range(n)), "stub")


def test_many_wrong_bits_are_not_all_listed():
    bits = measured(36)
    bits[:, :, 4:16] = 1
    with pytest.raises(JobError, match=r"12 of 36 bits .*: bit 4 .* and 4 more. No job"):
        check_preflight(bits, tuple(range(36)), "stub")


def test_the_threshold_is_a_share_of_the_shots():
    bits = measured(3)
    enough = int(np.ceil(AGREEMENT * 2 * PREFLIGHT_SHOTS))  # 52 of 64
    flat = bits.reshape(-1, 3)
    flat[enough:, 0] ^= 1
    check_preflight(bits, (0, 1, 2), "stub")
    flat[enough - 1, 0] ^= 1
    with pytest.raises(JobError, match=r"bit 0 \(the device's qubit 0\): 80%"):
        check_preflight(bits, (0, 1, 2), "stub")
