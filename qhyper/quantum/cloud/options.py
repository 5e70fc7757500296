"""The types of a service's options, which come from a command line, a file or a program."""

from numbers import Integral
from typing import Any

from qhyper.errors import ConfigurationError


def check_whole(what: str, value: Any, *, least: int = 1) -> None:
    """Raise ConfigurationError unless the option is a whole number from `least`, or None."""
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least
    ):
        raise _wrong(what, value, f"a whole number from {least}")


def check_text(what: str, value: Any) -> None:
    """Raise ConfigurationError unless the option is text that is not empty, or None."""
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise _wrong(what, value, "text")


def check_flag(what: str, value: Any) -> None:
    """Raise ConfigurationError unless the option is true, false or None."""
    if value is not None and not isinstance(value, bool):
        raise _wrong(what, value, "true or false")


def _wrong(what: str, value: Any, expected: str) -> ConfigurationError:
    return ConfigurationError(f"Got {what}={value!r}; expected {expected}, or nothing.")
