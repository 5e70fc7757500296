"""Data sets of labelled rows by name, from what is generated, from images or a user's own files."""

import csv
import difflib
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from qhyper.data.images import Images, images_availability, load_images
from qhyper.errors import ConfigurationError, MissingError, StorageError, unknown

_LABEL_LIMIT = 2**31  # larger labels are a mistake, and would not survive the cast to integers
_SUFFIXES = (".npz", ".csv")
_ARRAYS = ("x", "y", "x_test", "y_test")


@dataclass(frozen=True, eq=False)
class Samples:
    """Labelled rows: x float64 [row, feature], y int64 [row] with labels 0 to classes - 1.

    Any arrays of numbers are taken; they are copied, and the copies are read-only. Raises
    ConfigurationError if the shapes do not fit, there is no row or no feature, a feature is not
    finite, or a label is not a whole number from 0.
    """

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.int64]

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
        _check_labels(y)
        object.__setattr__(self, "x", _read_only(x))
        object.__setattr__(self, "y", _read_only(y.astype(np.int64)))


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named data set with its training and test rows.

    Raises ConfigurationError if the two differ in their number of features, if the training rows
    are all of one class or lack a label below their largest, or if a test label is above all
    labels of the training rows.
    """

    name: str
    train: Samples
    test: Samples

    def __post_init__(self) -> None:
        width, test_width = self.n_features, self.test.x.shape[1]
        if width != test_width:
            raise ConfigurationError(
                f"Data set '{self.name}': got {width} features in the training rows and "
                f"{test_width} in the test rows, expected the same number in both."
            )
        if (self.train.y == self.train.y[0]).all():
            raise ConfigurationError(
                f"Data set '{self.name}': got only the class {self.train.y[0]} in the training "
                "rows, expected at least two classes. Add rows of another class."
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

    @property
    def n_features(self) -> int:
        """Number of features of a row."""
        return self.train.x.shape[1]

    @property
    def n_classes(self) -> int:
        """Number of classes: the largest training label plus 1."""
        return int(self.train.y.max()) + 1


def load(name: str | Path, *, seed: int = 0, test: str | Path | None = None) -> Dataset:
    """Load the data set `name`: one of DATASETS, or the path of your own .npz or .csv file.

    toy        2x2 grey images [tl, tr, bl, br]: class 0 has tr = 255, class 1 has bl = 255, the
               other pixels are uniform in 0..254; 80,000 + 20,000 rows, (v - 127.5) / 128
    digits     scikit-learn's digits 0 and 1, 2x2 means of 4x4 blocks; 288 + 72 rows, (v - 8) / 8
    mnist      MNIST's digits 0 and 1 in 2x2 pixels (bilinear, half-pixel centres, no
               antialiasing); 12,665 + 2,115 rows, (v - 127.5) / 128; others: `mnist`
    gaussians  the mixture of Carrasquilla et al. (arXiv:2301.08292) in the plane; class 0 is one
               Gaussian, class 1 is three; 10,000 + 2,000 rows
    PATH.npz   arrays x [row, feature] and y [row], and for testing x_test and y_test
    PATH.csv   the features and, in the last column, the label; commas; a header row may come first

    `seed` decides what is drawn (toy, gaussians) and how rows are split (digits, your own file);
    mnist does not depend on it. Your own features are taken as they are. Test rows come from the
    file `test` (x and y only, .npz or .csv), else from x_test and y_test, else a random fifth of
    the rows of each class is set aside, so that every class is in both parts.

    Raises ConfigurationError for an unknown name, unsuitable contents or a bad combination,
    MissingError if a file is neither there nor downloadable, StorageError if one is damaged.
    """
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigurationError(f"The seed of a data set is a whole number from 0; got {seed!r}.")
    rng = np.random.default_rng(np.random.SeedSequence(int(seed)))
    make = _BUILT_IN.get(str(name))
    if make is None:
        return Dataset(str(name), *_own(name, test, rng))
    if test is not None:
        raise ConfigurationError(
            f"Got the test file {test} for the data set '{name}', which has test rows of its own. "
            "Leave the test file out, or give a training file too."
        )
    return Dataset(str(name), *make(rng))


def availability() -> dict[str, str]:
    """Where each built-in data set would come from, in words. Downloads nothing, never raises."""
    return {
        "toy": "generated",
        "digits": "shipped with scikit-learn",
        "mnist": images_availability("mnist"),
        "gaussians": "generated",
    }


# Checks of arrays


def _numbers(values: npt.ArrayLike, name: str, axes: tuple[str, ...]) -> npt.NDArray[np.float64]:
    """Copy `values` as float64; they must be numbers with the axes `axes`."""
    expected = f"expected numbers in the shape [{', '.join(axes)}]"
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ConfigurationError(f"Got rows of different lengths in {name}, {expected}.") from error
    if array.ndim != len(axes) or array.dtype.kind not in "biuf":
        raise ConfigurationError(
            f"Got {name} of type {array.dtype} and shape {array.shape}, {expected}."
        )
    return array.astype(np.float64, order="C")


def _check_finite(x: npt.NDArray[np.float64]) -> None:
    wrong = np.argwhere(~np.isfinite(x))
    if len(wrong):
        row, column = wrong[0]
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


# Built-in data sets: each takes a random stream and returns its training and test rows


def _toy(rng: np.random.Generator) -> tuple[Samples, Samples]:
    images = rng.integers(0, 255, size=(2, 50_000, 4))
    images[0, :, 1] = 255  # right above is white
    images[1, :, 2] = 255  # left under is white
    x = (images - 127.5) / 128

    def part(rows: slice) -> Samples:
        chosen = x[:, rows]
        return Samples(chosen.reshape(-1, 4), np.repeat([0, 1], chosen.shape[1]))

    return part(slice(40_000)), part(slice(40_000, None))


def _digits(rng: np.random.Generator) -> tuple[Samples, Samples]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(n_class=2, return_X_y=True)
    blocks = images.reshape(-1, 2, 4, 2, 4).mean(axis=(2, 4))
    return _split(Samples((blocks.reshape(-1, 4) - 8) / 8, labels), rng, "digits")


def _gaussians(rng: np.random.Generator) -> tuple[Samples, Samples]:
    centres = np.array([[-1, -2], [-2, 1], [1, 1], [2, -2]])

    def draw(n_rows: int) -> Samples:
        y = rng.integers(0, 2, size=n_rows)
        which = y * rng.integers(1, 4, size=n_rows)
        noise = np.sqrt(0.1) * rng.standard_normal((n_rows, 2))
        return Samples(centres[which] + noise, y)

    return draw(10_000), draw(2_000)


def mnist(
    *, digits: Sequence[int] = (0, 1), size: int = 2, pixels: Literal["signed", "unit"] = "signed"
) -> Dataset:
    """MNIST's images of some digits in size × size pixels; digit number k of `digits` has label k.

    The resizing is bilinear, with half-pixel centres and no antialiasing: 4 x 4 takes the pixels
    3, 10, 17 and 24 in each direction. Pixels v from 0 to 255 are (v - 127.5) / 128 (`signed`),
    which signs need to have exact ties, or v / 255 (`unit`). Raises ConfigurationError for digits
    or a size that there are not, and as `load` does.
    """
    known = isinstance(digits, Sequence) and set(digits) <= set(range(10))
    if not known or not len(digits) == len(set(digits)) >= 2:
        raise ConfigurationError(
            f"Got digits={digits!r}; expected two or more different ones from 0 to 9, such as "
            "(3, 7)."
        )
    chosen = [int(digit) for digit in digits]
    if not isinstance(size, int | np.integer) or isinstance(size, bool) or not 1 <= size <= 28:
        raise ConfigurationError(f"Got size={size!r}; expected 1 to 28 pixels in each direction.")
    if pixels not in ("signed", "unit"):
        raise unknown("form of the pixels", str(pixels), ("signed", "unit"))

    def part(images: Images) -> Samples:
        label_of = np.full(10, -1)
        label_of[chosen] = np.arange(len(chosen))
        rows = label_of[images.labels] >= 0
        grey = images.pixels[rows].reshape(-1, 28, 28)
        v = _resized(grey, int(size)).reshape(len(grey), -1)
        x = (v - 127.5) / 128 if pixels == "signed" else v / 255
        return Samples(x, label_of[images.labels[rows]])

    which = "".join(map(str, chosen))
    train, test = load_images("mnist")
    return Dataset(f"mnist {which} at {size}x{size}", part(train), part(test))


def _mnist(_rng: np.random.Generator) -> tuple[Samples, Samples]:
    whole = mnist()
    return whole.train, whole.test


def _resized(images: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.float64]:
    """Bilinear resize of images [image, 28, 28] to [image, size, size]: rows first, then columns.

    Weights are exact in binary where the centres fall on pixels or half-way between two.
    """
    whole = images.shape[1]
    centre = (np.arange(size) + 0.5) * whole / size - 0.5
    low = np.minimum(np.floor(centre).astype(np.int64), whole - 2)
    share = centre - low
    rows = images[:, low] * (1 - share)[:, None] + images[:, low + 1] * share[:, None]
    return rows[:, :, low] * (1 - share) + rows[:, :, low + 1] * share


_BUILT_IN: dict[str, Callable[[np.random.Generator], tuple[Samples, Samples]]] = {
    "toy": _toy,
    "digits": _digits,
    "mnist": _mnist,
    "gaussians": _gaussians,
}

DATASETS = tuple(_BUILT_IN)
"""Names of the built-in data sets."""


def _split(samples: Samples, rng: np.random.Generator, name: str) -> tuple[Samples, Samples]:
    """Set a random fifth of the rows of each class aside, at least one; rows stay in order."""
    for_test = np.zeros(len(samples.y), dtype=bool)
    for label in np.unique(samples.y):
        rows = np.flatnonzero(samples.y == label)
        if len(rows) == 1:
            raise ConfigurationError(
                f"Data set '{name}': got a single row of class {label}, expected at least two of "
                "each class, so that one can be set aside for testing. Add rows, or give test "
                "rows of your own."
            )
        for_test[rng.permutation(rows)[: max(1, round(len(rows) / 5))]] = True
    return (
        Samples(samples.x[~for_test], samples.y[~for_test]),
        Samples(samples.x[for_test], samples.y[for_test]),
    )


# A user's own files


def _own(
    name: str | Path, test: str | Path | None, rng: np.random.Generator
) -> tuple[Samples, Samples]:
    """Training and test rows from a user's own file or files."""
    if Path(name).suffix.lower() not in _SUFFIXES:
        raise unknown("data set", str(name), (*DATASETS, *(f"PATH{end}" for end in _SUFFIXES)))
    train_rows, test_rows = _read(Path(name))
    if test is None:
        if test_rows is None:
            return _split(train_rows, rng, str(name))
        return train_rows, test_rows
    if Path(test).suffix.lower() not in _SUFFIXES:
        raise ConfigurationError(f"Got the test file {test}, expected a path to .npz or .csv.")
    given, more = _read(Path(test))
    if test_rows or more:
        raise ConfigurationError(
            f"{name if test_rows else test} holds x_test and y_test, and there is a test file too. "
            "Leave one of them out: with a test file, both files hold x and y only."
        )
    return train_rows, given


def _read(path: Path) -> tuple[Samples, Samples | None]:
    """Rows of a file, and its test rows if it has any."""
    if not path.is_file():
        raise MissingError(f"There is no file {path.absolute()}. Check the path.")
    try:
        return _read_npz(path) if path.suffix.lower() == ".npz" else (_read_csv(path), None)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _read_npz(path: Path) -> tuple[Samples, Samples | None]:
    if not zipfile.is_zipfile(path):
        raise StorageError(f"{path} is not an .npz archive. Write it with numpy.savez.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise StorageError(
            f"Cannot read {path}: {error}. Write plain arrays of numbers with numpy.savez."
        ) from error
    _check_keys(sorted(arrays))
    test = Samples(arrays["x_test"], arrays["y_test"]) if "x_test" in arrays else None
    return Samples(arrays["x"], arrays["y"]), test


def _check_keys(keys: list[str]) -> None:
    """Refuse other names than the known ones: a misspelt x_test would otherwise be ignored."""
    expected = "expected x and y, and for testing x_test and y_test"
    for key in keys:
        if key not in _ARRAYS:
            near = difflib.get_close_matches(key.lower(), _ARRAYS, n=1, cutoff=0.2)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise ConfigurationError(
                f"Got the array '{key}', {expected}.{hint} Rename the array or leave it out."
            )
    needed = _ARRAYS if "x_test" in keys or "y_test" in keys else _ARRAYS[:2]
    missing = [key for key in needed if key not in keys]
    if missing:
        raise ConfigurationError(
            f"Got no array '{missing[0]}' beside {', '.join(keys) or 'nothing'}, "
            f"{expected}. Add it."
        )


def _read_csv(path: Path) -> Samples:
    rows: list[npt.NDArray[np.float64]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for i, cells in enumerate(cells for cells in reader if cells):
                numbers = np.array([_number(cell) for cell in cells])
                if i == 0 and np.isnan(numbers).all():
                    continue  # a header; with some numbers in it, it is a row with wrong cells
                _check_line(cells, numbers, reader.line_num, len(rows[0]) if rows else None)
                rows.append(numbers)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StorageError(f"Cannot read {path} as CSV in UTF-8: {error}.") from error
    if not rows:
        raise ConfigurationError("Got no rows, expected features and a label in each line.")
    table: npt.NDArray = np.array(rows)
    return Samples(table[:, :-1], table[:, -1])


def _number(cell: str) -> float:
    """Convert a cell to a number, NaN if it holds something else."""
    try:
        return float(cell)
    except ValueError:
        return np.nan


def _check_line(
    cells: list[str], numbers: npt.NDArray[np.float64], line: int, width: int | None
) -> None:
    """Refuse a line with a wrong cell, or with other than `width` columns (None: at least two)."""
    if not np.isfinite(numbers).all():
        column = np.argmin(np.isfinite(numbers))
        raise ConfigurationError(
            f"Got '{cells[column]}' in line {line}, column {column + 1}, expected a finite number, "
            "and commas between the columns. Correct the cell, or remove the line."
        )
    if len(cells) != width if width else len(cells) < 2:
        raise ConfigurationError(
            f"Got {len(cells)} column(s) in line {line}, expected {width or 'at least 2'}: the "
            "features and, in the last column, the label, with commas between them."
        )
