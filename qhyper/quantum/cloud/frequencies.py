"""Relative frequencies as counts, for services that divide the counts by the shots.

Probabilities that a simulator worked out are no counts of anything; they are refused.
"""

import math
from collections.abc import Mapping
from decimal import Decimal

from qhyper.errors import JobError
from qhyper.quantum.cloud.redaction import redacted

_DIGITS = 6
"""Decimals that vendors give at the least; trailing zeros are not written."""
_ROUNDING = 1e-12
"""What a few roundings of doubles may cost a frequency."""
_BY_DIGITS = 1e-3
"""How likely probabilities may look like counts for want of digits."""
_BY_CHANCE = 1e-6
"""How likely measured counts are refused because they are all multiples of one number."""


def counts_of(frequencies: Mapping[str, float], shots: int, where: str) -> dict[str, int]:
    """The counts whose share of `shots` the frequencies are, as the vendor gave them.

    With d decimals and m outcomes, probabilities that know nothing of the shots N are all within
    half a digit of some counts with a chance of (N / 10^d)^(m - 1) at the most: where that is more
    than a thousandth, nobody can tell, and all are refused. At a million shots and six decimals
    that is always so. Probabilities such as 1/2 and 1/4 are shares of counts for certain, but all
    of these are multiples of one number g; shots are that with a chance of about g^-(m - 1), and
    below a millionth they are refused too. A single outcome of frequency 1 is N shots either way.

    Raises JobError if they are not such shares: shots are never made up.
    """
    digits = max([_DIGITS, *map(_decimals, frequencies.values())])
    counts = {
        outcome: _count(share, shots, digits, f"{where}: got the frequency {share:.6g} of the "
                        f"outcome {redacted(outcome)}")
        for outcome, share in frequencies.items()
    }  # fmt: skip
    counts = {outcome: number for outcome, number in counts.items() if number}
    if sum(counts.values()) != shots:
        raise JobError(
            f"{where}: got frequencies that make {sum(counts.values())} shots; expected {shots}. "
            "Nothing was made of them; the job's record is kept."
        )
    _check_digits(len(counts), shots, digits, where)
    _check_scatter(counts, shots, where)
    return counts


def _decimals(share: float) -> int:
    exponent = Decimal(repr(share)).as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def _count(share: float, shots: int, digits: int, got: str) -> int:
    number = round(share * shots) if math.isfinite(share) else -1
    within = 0.5 * 10.0**-digits + _ROUNDING
    if number < 0 or abs(share - number / shots) > within:
        raise JobError(
            f"{got}; expected a whole number of {shots} shots, as a share of them. These are "
            "probabilities and not measured shots: nothing was made of them. Use a backend that "
            "samples."
        )
    return number


def _check_digits(outcomes: int, shots: int, digits: int, where: str) -> None:
    if outcomes > 1 and (shots / 10.0**digits) ** (outcomes - 1) > _BY_DIGITS:
        raise JobError(
            f"{where}: got {outcomes} frequencies of {digits} digits; expected more digits, or "
            f"fewer than {shots} shots: they could be probabilities as well as measured shots. "
            "Nothing was made of them; the job's record is kept."
        )


def _check_scatter(counts: Mapping[str, int], shots: int, where: str) -> None:
    common = math.gcd(*counts.values())
    if float(common) ** -(len(counts) - 1) < _BY_CHANCE:
        raise JobError(
            f"{where}: got frequencies whose counts are all multiples of {common}; expected the "
            f"scatter of {shots} shots. These are probabilities and not measured shots: nothing "
            "was made of them. Use a backend that samples."
        )
