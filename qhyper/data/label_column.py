"""Which column of a table is the label, unless its user says so: the last, or refused in words."""

import re
from collections.abc import Sequence

import numpy as np

from qhyper.data.cells import numbers
from qhyper.data.headers import LABELS
from qhyper.data.ids import has_name_of_ids
from qhyper.data.tables import Table
from qhyper.errors import ConfigurationError

_WORDS = {*LABELS, "klasse", "kind", "category"} - {"y"}
"""Words of a name that say so, too: class_label, Target Class, ..."""
_PREDICTED = re.compile(r"(?i)y[_ ]?(true|train|label|target)")
_ENOUGH = 8
"""Of fewer rows, columns of 0 and 1 may have one 1 in each by chance."""


def label_column(table: Table, kept: Sequence[int]) -> int:
    """The last column that is kept; ConfigurationError if the header calls another one the label.

    Where there is a column x, y is a coordinate.
    """
    if not kept:
        raise ConfigurationError("Got every column to leave out; expected features and a label.")
    header, last = table.header, kept[-1]
    if header is None:
        return last
    names = {i: header[i].lower() for i in kept}
    coordinate = "y" if "x" in names.values() or names[last] in LABELS else ""
    labels = [i for i in kept if names[i] in LABELS and i != last and names[i] != coordinate]
    if names[last] == "y" or not (_says_label(header[last]) or has_name_of_ids(header[last])):
        labels = labels or [i for i in kept if i != last and _says_label(header[i])]
    if not labels:
        return last
    called = [last] * (names[last] in LABELS) + labels
    raise ConfigurationError(
        f"Got the column{'s' * (len(called) > 1)} "
        f"{' and '.join(repr(header[i]) for i in called)} in a header that ends with "
        f"'{header[last]}'; expected the label in the last column. Say which column it is: "
        f"--label {quoted(header[labels[0]])}, or --label {quoted(header[last])}."
    )


def quoted(name: str) -> str:
    """The name of a column as a shell takes it."""
    return f'"{name}"' if " " in name else name


def _says_label(name: str) -> bool:
    """Whether a name has a word that says label, other than y alone."""
    if _PREDICTED.fullmatch(name):
        return True
    words = re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", name)
    return any(word.lower() in _WORDS for word in words)


def check_not_one_hot(table: Table, kept: Sequence[int], label: int) -> None:
    """Refuse a label that is one of several columns at the end of which one is 1 in each row."""
    if len(table.rows) < _ENOUGH:
        return
    total = np.zeros(len(table.rows))
    for n, i in enumerate(reversed(kept), 1):
        values = numbers([row[i] for row in table.rows])
        if not np.isin(values, (0, 1)).all():
            return
        total += values
        group = kept[len(kept) - n :]
        if n > 1 and (total == 1).all() and label in group:
            raise ConfigurationError(
                f"Got {', '.join(table.name(j) for j in group)} at the end, of which one is 1 in "
                "every row, as where each class has a column (one-hot): as features they tell the "
                "label. Write them as one column of classes, or leave the others out with --drop."
            )
