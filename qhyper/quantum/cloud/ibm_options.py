"""Options of IBM's sampler, checked."""

from collections.abc import Mapping
from typing import Any

from qhyper.errors import ConfigurationError, unknown
from qhyper.quantum.cloud.options import check_flag, check_whole

DECOUPLINGS = ("XX", "XpXm", "XY4")
_RANDOMIZATIONS, _FEWEST = 32, 8
"""Randomizations of twirling, and how few still turn errors into noise without a direction."""


def checked_decoupling(given: bool | str | None) -> str | None:
    """The sequence of dynamical decoupling, or None; ConfigurationError for an unknown one."""
    if given is None or given is False:
        return None
    if given is True:
        return DECOUPLINGS[0]
    if given not in DECOUPLINGS:
        raise unknown("sequence of dynamical decoupling", str(given), DECOUPLINGS)
    return given


def checked_twirling(given: bool | Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The options of twirling, complete, or None; ConfigurationError for others than those."""
    if given is None or given is False:
        return None
    options = {"gates": True, "measure": True, "num_randomizations": _RANDOMIZATIONS}
    if given is not True:
        if not isinstance(given, Mapping):
            raise ConfigurationError(
                f"Got twirling={given!r}; expected true, false, or a mapping of "
                f"{', '.join(options)}."
            )
        for key in given:
            if key not in options:
                raise unknown("option of twirling:", str(key), options)
        options |= given
    for name in ("gates", "measure"):
        check_flag(name, options[name])
    if options["num_randomizations"] is None:
        options["num_randomizations"] = _RANDOMIZATIONS
    check_whole("num_randomizations", options["num_randomizations"], least=_FEWEST)
    return options if options["gates"] or options["measure"] else None


def shared_out(shots: int, most: int) -> int:
    """The most randomizations up to `most` that `shots` can be shared out over, none left over.

    Raises ConfigurationError if they are too few for twirling to do what it is for.
    """
    number = next(n for n in range(min(most, shots), 0, -1) if shots % n == 0)
    if number < _FEWEST:
        multiple = -(-shots // most) * most
        raise ConfigurationError(
            f"Got {shots:,} shots of a row with twirling: they can be shared out evenly over "
            f"{number} randomization{'s' * (number != 1)} of up to {most}, expected {_FEWEST} at "
            f"the least. Take a multiple of {most}, such as {multiple:,} shots, or leave twirling "
            "out."
        )
    return number
