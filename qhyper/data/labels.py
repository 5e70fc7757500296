"""Labels as files have them: text or whole numbers are classes, other numbers are targets."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qhyper.data.cells import is_missing, is_number, number
from qhyper.errors import ConfigurationError

_SHOWN = 8
_MANY = 20
"""More different numbers, of which some come once, are no classes."""

_CLASSES = {"-", "None", "none"}
"""Signs and words for a value that is missing, and for a class."""

_PLAIN = re.compile(r"[+-]?(0|[1-9][0-9]*)(\.0*)?")
"""A whole number as most people write it."""

_LARGE = 2**31
"""No class has such a number."""


def missing_labels(labels: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which labels are missing, bool [row]: -, none and None beside one other label are classes."""
    missing = {label for label in set(labels) if is_missing(label)}
    if missing <= _CLASSES and len(missing) == 1 and len(set(labels) - missing) <= 1:
        missing = set()
    return np.array([label in missing for label in labels])


def are_targets(labels: Sequence[str]) -> bool:
    """Whether labels are numbers to predict: not whole, huge, or many of which some come once."""
    if not all(map(is_number, labels)):
        return False
    counts = Counter(map(number, labels))
    if not all(value.is_integer() for value in counts):
        return True
    large = max(map(abs, counts)) >= _LARGE
    return large or (len(counts) > _MANY and min(counts.values()) == 1)


def classes_of(labels: Sequence[str], places: Sequence[str]) -> tuple[str, ...]:
    """The classes among labels: numbers by size, or text by the alphabet.

    `places` says where each label stands. Raises ConfigurationError for labels of which some are
    numbers and some are text, and for text that looks the same or differs in case alone.
    """
    numeric = [is_number(label) for label in labels]
    rounded = [i for i, known in enumerate(numeric) if not known and _PLAIN.fullmatch(labels[i])]
    if rounded:
        raise ConfigurationError(
            f"Got the label '{labels[rounded[0]]}' in {places[rounded[0]]}, a number of more "
            "digits than are told apart. Write such labels as text, with a letter in front."
        )
    if not any(numeric):
        return _of_text(labels, places)
    if not all(numeric):
        odd = numeric.index(False)
        raise ConfigurationError(
            f"Got the label '{labels[odd]}' in {places[odd]} beside labels that are numbers; "
            "expected all to be whole numbers, or all to be text. Correct it, or write all as text."
        )
    return tuple(map(_written, sorted({number(label) for label in set(labels)})))


def numbered(
    labels: Sequence[str], classes: Sequence[str], places: Sequence[str]
) -> npt.NDArray[np.int64]:
    """The number of each label's class, int64 [row]; ConfigurationError for one that is none."""
    index = {name: i for i, name in enumerate(classes)}
    found = [index.get(_canonical(label), -1) for label in labels]
    if -1 in found:
        odd = found.index(-1)
        raise ConfigurationError(
            f"Got the label '{labels[odd]}' in {places[odd]}, expected one of the training rows: "
            f"{', '.join(classes[:_SHOWN])}{', ...' * (len(classes) > _SHOWN)}. Correct it, or add "
            "training rows of this class."
        )
    return np.array(found, dtype=np.int64)


def _canonical(label: str) -> str:
    """A number in one spelling; text as it is."""
    return _written(number(label)) if is_number(label) else label


def _written(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def check_one_spelling(labels: Sequence[str], places: Sequence[str]) -> None:
    """Refuse whole numbers in two spellings, as 01 and 1 or 1E1 and 10; 1, +1 and 1.0 are one."""
    seen: dict[str, str] = {}
    for label in dict.fromkeys(labels):
        first = seen.setdefault(_canonical(label), label)
        if first != label and not (_PLAIN.fullmatch(first) and _PLAIN.fullmatch(label)):
            raise _two_spellings(label, places[labels.index(label)], first)


def _of_text(labels: Sequence[str], places: Sequence[str]) -> tuple[str, ...]:
    seen: dict[str, str] = {}
    for label in dict.fromkeys(labels):
        first = seen.setdefault(_look(label), label)
        if first != label:
            raise _two_spellings(label, places[labels.index(label)], first)
    return tuple(sorted(seen.values()))


def _look(label: str) -> str:
    """What is alike of labels that look alike: no case, quotes, widths, spaces."""
    plain = unicodedata.normalize("NFKC", label)
    seen = "".join(sign for sign in plain if unicodedata.category(sign) != "Cf")
    return " ".join(seen.split()).strip("'\"`").casefold()


def _two_spellings(label: str, place: str, first: str) -> ConfigurationError:
    return ConfigurationError(
        f"Got the label {_shown(label)} in {place} beside {_shown(first)}; expected one spelling "
        "of a class. Write both in the same way, or with other names if they are two classes."
    )


def _shown(label: str) -> str:
    """A label in quotes; signs that are not seen, or not told from others, by their numbers."""
    return f"'{label}'" if label.isascii() else ascii(label)
