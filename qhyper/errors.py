"""Errors that a user can act on, each with the exit code of the command line.

Every message says what was got, what was expected and what to do next.
"""

import difflib
from collections.abc import Iterable


class QhyperError(Exception):
    """Base of all errors that qhyper raises on purpose."""

    exit_code = 2


class ConfigurationError(QhyperError, ValueError):
    """A value, name or combination that cannot work (exit code 2)."""


class UnsuitableError(ConfigurationError):
    """A generator or method that is not made for this target; defaults do without it."""


class MissingError(QhyperError):
    """Something outside the program is missing: data, an extra, credentials (exit code 3)."""

    exit_code = 3


class StorageError(QhyperError):
    """A file or folder cannot be read or written, or is not what it should be (exit code 2)."""


class JobError(QhyperError):
    """A job on a quantum computer failed, or nobody knows what became of it (exit code 4)."""

    exit_code = 4


class PendingError(QhyperError):
    """A job on a quantum computer is not done yet; nothing is lost (exit code 5)."""

    exit_code = 5


class Interrupted(QhyperError):  # noqa: N818 (it is no error of anybody)
    """A signal asked the run to stop; its state is saved (exit code 130)."""

    exit_code = 130


def unknown(kind: str, got: str, known: Iterable[str]) -> ConfigurationError:
    """The error for a name that is not known, with the nearest one that is."""
    names = sorted(known)
    near = difflib.get_close_matches(got, names, n=1, cutoff=0.5)
    near = near or [name for name in names if len(got) > 2 and name.startswith(got)]
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return ConfigurationError(f"Unknown {kind} '{got}'.{hint} Known: {', '.join(names)}.")
