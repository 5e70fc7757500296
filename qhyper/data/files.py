"""A user's own data, from files .npz and .csv."""

import csv
import difflib
import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qhyper.data.samples import Dataset, Samples, stratified_split
from qhyper.errors import ConfigurationError, MissingError, StorageError

_SUFFIXES = (".npz", ".csv")
_ARRAYS = ("x", "y", "x_test", "y_test")


def is_data_file(name: str | Path) -> bool:
    """Whether `name` is the path of a file that can be read here, by its end."""
    return Path(name).suffix.lower() in _SUFFIXES


def load_files(path: str | Path, test: str | Path | None, rng: np.random.Generator) -> Dataset:
    """The data set in the file `path`, with test rows from `test`, from it, or set aside by class.

    Raises ConfigurationError for unsuitable contents or test rows in both files, MissingError if a
    file is not there, StorageError if one cannot be read.
    """
    train_rows, test_rows = _read(Path(path))
    if test is None:
        if test_rows is None:
            return Dataset(str(path), *stratified_split(train_rows, rng, str(path)))
        return Dataset(str(path), train_rows, test_rows)
    if not is_data_file(test):
        raise ConfigurationError(f"Got the test file {test}, expected a path to .npz or .csv.")
    given, more = _read(Path(test))
    if test_rows or more:
        raise ConfigurationError(
            f"{path if test_rows else test} holds x_test and y_test, and there is a test file too. "
            "Leave one of them out: with a test file, both files hold x and y only."
        )
    return Dataset(str(path), train_rows, given)


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
