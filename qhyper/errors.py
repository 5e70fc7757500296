"""Errors that a user can act on, each with the exit code of the command line.

Every message says what was got, what was expected and what to do next.
"""

import difflib
import re
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
    """The error for a name that is not known, with the nearest one that is, if one is near."""
    names = sorted(known)
    near = nearest(got, names)
    hint = f" Did you mean '{near}'?" if near else ""
    return ConfigurationError(f"Unknown {kind} '{got}'.{hint} Known: {', '.join(names)}.")


NEAR = 0.7
"""From which similarity on (0 to 1) a name is near: iris is no misspelt digits."""


def nearest(got: str, known: Iterable[str]) -> str | None:
    """The known name that `got` was probably meant to be; None where none is near.

    Near are the same words in any order and case, what begins with it, what is one letter or two
    swapped ones away, and what is similar by more than `NEAR`.
    """
    nearness, name = max(((_nearness(got, name), name) for name in known), default=(0.0, ""))
    return name if nearness else None


def _nearness(got: str, name: str) -> float:
    """How near a name is, 0 if it is not."""
    words = [sorted(re.findall(r"[^\W_]+", text.casefold())) for text in (got, name)]
    if words[0] and words[0] == words[1]:
        return 2.0
    similarity = difflib.SequenceMatcher(None, name, got).ratio()
    begins = len(got) > 2 and name.startswith(got)
    return similarity if similarity >= NEAR or begins or _one_slip(got, name) else 0.0


def _one_slip(a: str, b: str) -> bool:
    """Whether a letter too many, too few, another, or two swapped ones make one the other."""
    if min(len(a), len(b)) < 2:
        return False
    start = _alike(a, b)
    a, b = a[start:], b[start:]
    end = _alike(a[::-1], b[::-1])
    a, b = a[: len(a) - end], b[: len(b) - end]
    return max(len(a), len(b)) == 1 or (len(a) == 2 and a == b[::-1])


def _alike(a: str, b: str) -> int:
    """With how many letters both begin."""
    return next(
        (k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
