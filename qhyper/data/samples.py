"""Labelled rows, and a data set: rows to train on and rows to test on."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_float
from qhyper.data.scaling import Scaling, fit
from qhyper.errors import ConfigurationError

_SHOWN = 10
"""Classes that are named, and counted in a notebook."""
_LABEL_LIMIT = 2**31  # larger labels are a mistake, and would not survive the cast to integers


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """Labelled rows: x float64 [row, feature], y int64 [row] with labels 0 to classes - 1.

    Any arrays of numbers are taken; they are copied, and the copies are read-only. Only an x that
    is read-only already, float64 and in C order is taken as it is, so that large data need not be
    there twice. Raises ConfigurationError if the shapes do not fit, there is no row or no feature,
    a feature is not finite, or a label is not a whole number from 0.
    """

    x: npt.NDArray[np.float64]
    y: npt.NDArray[Any]

    def __post_init__(self) -> None:
        x = _numbers(self.x, "x", ("row", "feature"))
        y = _numbers(self.y, "y", ("row",))
        if len(x) != len(y):
            raise ConfigurationError(
                f"Got {len(x)} rows in x and {len(y)} labels in y, expected one label for each row."
            )
        if x.size == 0:
            raise ConfigurationError(
                f"Got x of shape {x.shape}, expected at least one row and one feature. Check that "
                "the source of the data is not empty."
            )
        _check_finite(x)
        object.__setattr__(self, "x", _read_only(x))
        object.__setattr__(self, "y", _read_only(self._of_rows(y)))

    def _of_rows(self, y: npt.NDArray[np.float64]) -> npt.NDArray:
        """What is to be predicted of each row, checked."""
        _check_labels(y)
        return y.astype(np.int64)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} of {self.x.shape[1]} features)"

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: npt.NDArray[np.integer] | npt.NDArray[np.bool_] | slice) -> "Samples":
        """Only these rows, in this order."""
        return type(self)(_read_only(self.x[rows]), self.y[rows])


class Targets(Samples):
    """Rows of a regression: x float64 [row, feature], y float64 [row], a number for each row.

    They are for the loss `squared_error` of a layered network with one output; everything else
    needs classes. Raises ConfigurationError as Samples does, and for targets that are not finite.
    """

    def _of_rows(self, y: npt.NDArray[np.float64]) -> npt.NDArray:
        if not np.isfinite(y).all():
            row = np.argmin(np.isfinite(y))
            raise ConfigurationError(
                f"Got the target {y[row]} in row {row} (counted from 0), expected a finite number."
            )
        return y.copy()


def check_classes(data: Samples) -> None:
    """Raise ConfigurationError if rows have numbers to predict, and no classes."""
    if isinstance(data, Targets):
        raise ConfigurationError(
            f"Got numbers such as {data.y[0]:g} as labels, which are no classes. Predict them with "
            "--loss squared_error and a layered target of one output (--layers "
            f"{data.x.shape[1]},6,1). If they are classes, --data-option predict=classes; if "
            "another column is the label, --label NAME."
        )


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A named data set with its training and test rows.

    Of a file it also says what the file does: the names of the features if it has a header, those
    of the classes and of the label's column, how many rows were left out, and notes of what may be
    meant in another way; of scaled features, by what.

    Raises ConfigurationError if the two differ in their number of features, if the training rows
    are all of one class or lack a label below their largest, or if a test label is above all
    labels of the training rows.
    """

    name: str
    train: Samples
    test: Samples
    features: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    label: str | None = None
    left_out: int = 0
    scaling: Scaling | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        width, test_width = self.n_features, self.test.x.shape[1]
        if width != test_width:
            raise ConfigurationError(
                f"Data set '{self.name}': got {width} features in the training rows and "
                f"{test_width} in the test rows, expected the same number in both."
            )
        if isinstance(self.train, Targets):
            return
        if (self.train.y == self.train.y[0]).all():
            raise ConfigurationError(
                f"Data set '{self.name}': got only the class "
                f"{_class_name(self.train.y[0], self.classes)} in the training "
                "rows, expected at least two classes. Add rows of another class; if another "
                "column of a table is the label, --label NAME, or its number, such as --label 1."
            )
        present = np.unique(self.train.y)
        if len(present) != self.n_classes:
            raise ConfigurationError(
                f"Data set '{self.name}': got the labels {', '.join(map(str, present))} in the "
                f"training rows, expected every label from 0 to {self.n_classes - 1}. Number the "
                "classes from 0 without gaps."
            )
        if self.test.y.max() >= self.n_classes:
            raise ConfigurationError(
                f"Data set '{self.name}': got the label {self.test.y.max()} in the test rows, "
                f"expected 0 to {self.n_classes - 1}, as in the training rows. Correct it, or add "
                "training rows of this class."
            )

    def __repr__(self) -> str:
        said = [f"{len(self.train):,} + {len(self.test):,} rows of {self.n_features} features"]
        of_label = f" of '{self.label}'" if self.label else ""
        if isinstance(self.train, Targets):
            said.append("a number to predict" + of_label)
        else:
            classes = self.classes or tuple(map(str, range(self.n_classes)))
            more = ", ..." * (len(classes) > _SHOWN)
            names = ", ".join(classes[:_SHOWN])
            said.append(f"{len(classes)} classes{of_label} ({names}{more})")
        if self.scaling is not None:
            said.append(f"scaled by {self.scaling.by}")
        if self.left_out:
            said.append(f"{self.left_out:,} rows with missing values left out")
        return f"{self.name}: {', '.join(said)}"

    def _repr_html_(self) -> str | None:
        """Rows of each class, as a notebook's table; None without classes, or for many."""
        if isinstance(self.train, Targets) or self.n_classes > _SHOWN:
            return None
        classes = self.classes or tuple(map(str, range(self.n_classes)))
        head = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in classes)
        body = ""
        for name, rows in (("training rows", self.train), ("test rows", self.test)):
            counts = np.bincount(rows.y, minlength=self.n_classes)
            cells = "".join(f"<td>{count:,}</td>" for count in counts)
            body += f"<tr><th scope='row'>{name}</th>{cells}</tr>"
        return (
            f"<table><caption style='white-space: nowrap'>{html.escape(repr(self))}</caption>"
            f"<thead><tr><th scope='col'>class</th>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def about(self) -> dict[str, Any]:
        """What is known besides the rows, as JSON has it: names, rows left out, scaling."""
        known = {
            "features": self.features,
            "classes": self.classes,
            "label": self.label,
            "left_out": self.left_out or None,
            "notes": self.notes or None,
            "scaling": None if self.scaling is None else vars(self.scaling),
        }
        return {key: value for key, value in known.items() if value is not None}

    def scaled(self, by: str) -> "Dataset":
        """With training and test rows scaled as the training rows say; see ScaleName.

        Numbers to predict (Targets) are scaled in the same way. Raises ConfigurationError for an
        unknown way.
        """
        if by == "none":
            return self
        scaling, of_target = fit(self.train.x, by), None
        if isinstance(self.train, Targets):
            fitted = fit(self.train.y[:, None], by)
            of_target = fitted.shift[0], fitted.scale[0]

        def part(rows: Samples) -> Samples:
            y = rows.y if of_target is None else (rows.y - of_target[0]) / of_target[1]
            return replace(rows, x=scaling(rows.x), y=y)

        scaling = replace(scaling, of_target=of_target)
        return replace(self, train=part(self.train), test=part(self.test), scaling=scaling)

    @property
    def n_features(self) -> int:
        """Number of features of a row."""
        return self.train.x.shape[1]

    @property
    def n_classes(self) -> int:
        """Number of classes: the largest training label plus 1; 1 where there are none."""
        if isinstance(self.train, Targets):
            return 1
        return int(self.train.y.max()) + 1


class Rows(Protocol):
    """Labelled rows of which some can be taken, as Samples and Images are."""

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def take(self, rows: npt.NDArray[np.integer], /) -> Any:
        """Only these rows, in this order."""
        ...


SomeRows = TypeVar("SomeRows", bound=Rows)
"""Samples or Images: what is held out of either is of its kind."""


def hold_out(rows: SomeRows, n: int, rng: np.random.Generator) -> tuple[SomeRows, SomeRows]:
    """Training and held-out rows: a random `n` of them are held out; both stay in order.

    Raises ConfigurationError unless some are held out and some are left.
    """
    if not 1 <= n < len(rows):
        raise ConfigurationError(
            f"Got n={n} to hold out of {len(rows)}; expected 1 to {len(rows) - 1}."
        )
    order = rng.permutation(len(rows))
    return rows.take(np.sort(order[n:])), rows.take(np.sort(order[:n]))


def stratified_split(
    samples: Samples,
    rng: np.random.Generator,
    name: str,
    classes: Sequence[str] | None = None,
) -> tuple[Samples, Samples]:
    """Set a random fifth of the rows of each class aside, at least one; rows stay in order.

    Targets have no classes: of them it is a random fifth.

    Raises ConfigurationError, naming the data set `name` and the class as in `classes`, if one has
    a single row.
    """
    for_test = np.zeros(len(samples), dtype=bool)
    of_rows = np.zeros(len(samples), int) if isinstance(samples, Targets) else samples.y
    for label in np.unique(of_rows):
        rows = np.flatnonzero(of_rows == label)
        if len(rows) == 1:
            raise ConfigurationError(
                f"Data set '{name}': got a single row of class {_class_name(label, classes)}, "
                "expected at least two of each class, so that one can be set aside for testing. "
                "Add rows, or give test rows of your own; of numbers to predict, say --data-option "
                "predict=numbers."
            )
        for_test[rng.permutation(rows)[: max(1, round(len(rows) / 5))]] = True
    return samples.take(~for_test), samples.take(for_test)


def _class_name(label: int, classes: Sequence[str] | None) -> str:
    return str(label) if classes is None else classes[label]


def _numbers(values: npt.ArrayLike, name: str, axes: tuple[str, ...]) -> npt.NDArray[np.float64]:
    """`values` as float64, copied if they can change; they must be numbers with these axes."""
    expected = f"numbers in the shape [{', '.join(axes)}]"
    array = as_float(values, name, expected)
    if array.ndim != len(axes):
        raise ConfigurationError(
            f"Got {name} of {array.dtype} and shape {array.shape}; expected {expected}."
        )
    return array.astype(np.float64, order="C", copy=not _is_constant(array))


def _is_constant(array: npt.NDArray | None) -> bool:
    """Whether nobody can write to the memory of an array, through it or what it is a view of."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None  # and not a buffer of another kind


def _check_finite(x: npt.NDArray[np.float64]) -> None:
    finite = np.isfinite(x)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise ConfigurationError(
            f"Got the feature {x[row, column]} in row {row}, column {column} (counted from 0), "
            "expected a finite number. Remove the row or fill in the value."
        )


def _check_labels(y: npt.NDArray[np.float64]) -> None:
    right = (y >= 0) & (y < _LABEL_LIMIT) & (y == np.floor(y))  # false for NaN as well
    if not right.all():
        row = np.argmin(right)
        raise ConfigurationError(
            f"Got the label {y[row]:g} in row {row} (counted from 0), expected a whole number from "
            "0: number the classes 0, 1, 2, ..."
        )


def _read_only(array: npt.NDArray) -> npt.NDArray:
    array.setflags(write=False)
    return array
