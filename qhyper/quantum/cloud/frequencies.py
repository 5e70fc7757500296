"""Relative frequencies as counts, for services that divide the counts by the shots.

Probabilities that a simulator worked out are no counts of anything; they are refused.
"""

from collections.abc import Mapping

from qhyper.errors import JobError
from qhyper.quantum.cloud.redaction import redacted

_ROUNDING = 1e-6
"""How exact a frequency is taken to be: vendors give six digits or more."""


def counts_of(frequencies: Mapping[str, float], shots: int, where: str) -> dict[str, int]:
    """The counts whose share of `shots` the frequencies are.

    Raises JobError if they are no such shares, as the probabilities of an ideal simulator mostly
    are not: shots are never made up.
    """
    counts: dict[str, int] = {}
    for outcome, share in frequencies.items():
        number = round(share * shots)
        if abs(share * shots - number) > _ROUNDING * shots or number < 0:
            raise JobError(
                f"{where}: got the frequency {share:.6g} of the outcome {redacted(outcome)}, "
                f"which is no whole number of {shots} shots: these are probabilities and not "
                "measured shots. Nothing was made of them; use a backend that samples."
            )
        if number:
            counts[outcome] = number
    if sum(counts.values()) != shots:
        raise JobError(
            f"{where}: got frequencies that make {sum(counts.values())} shots; expected {shots}. "
            "Nothing was made of them; the job's record is kept."
        )
    return counts
