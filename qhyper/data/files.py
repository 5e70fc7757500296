"""A user's own data, from files .npz, .csv and .tsv."""

import filecmp
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.data.cells import is_number, number
from qhyper.data.columns import called, columns, has_column
from qhyper.data.labels import are_targets, check_one_spelling, classes_of, missing_labels, numbered
from qhyper.data.marks import check_marks
from qhyper.data.samples import Dataset, Samples, Targets, stratified_split
from qhyper.data.tables import SUFFIXES, Table, read_table
from qhyper.errors import ConfigurationError, MissingError, StorageError, nearest

_ARRAYS = ("x", "y", "x_test", "y_test")


def is_data_file(name: str | Path) -> bool:
    """Whether `name` is the path of a file that can be read here, by its end."""
    return Path(name).suffix.lower() in (".npz", *SUFFIXES)


def load_files(
    path: str | Path,
    test: str | Path | None,
    rng: np.random.Generator,
    *,
    label: str | int | None = None,
    drop: str | int | Sequence[str | int] = (),
    missing: str | None = None,
    predict: str | None = None,
) -> Dataset:
    """The data set in the file `path`, with test rows from `test`, from it, or set aside by class.

    `label`, `drop` and `missing` are those of `columns`; a column to leave out may be in one of
    two files alone. `predict` is classes or numbers, which the labels tell unless told. Raises
    ConfigurationError for unsuitable contents or test rows in both files, MissingError if a file is
    not there, StorageError if one cannot be read.
    """
    if test is not None and not is_data_file(test):
        raise ConfigurationError(
            f"Got the test file {test}, expected a path to .npz, .csv or .tsv."
        )
    _check_other(Path(path), test)
    dropped = _names(drop, "drop")
    label = None if label is None else _names(label, "label")[0]
    files = [_read(Path(file)) for file in (path, test) if file is not None]
    tables = [file for file in files if isinstance(file, Table)]
    if not tables and (label is not None or dropped or missing is not None):
        raise ConfigurationError(
            f"Got a label, columns to leave out, or what to do where values are missing, for "
            f"{path}; its arrays x and y say what is what. Leave --label, --drop and --missing out."
        )
    with _of_file(path):
        if tables:  # by name: the test file may have another order
            label = None if label is None else called(tables, label, "--label")
            dropped = [called(tables, name, "--drop") for name in dropped]
            _check_alike(tables)
    parts: list[_Part | None] = []
    read: list[tuple[Table, Mapping[str | int, int]]] = []
    for name, file, where in zip((path, test), files, ("", " of the test file"), strict=False):
        with _of_file(name):
            if isinstance(file, Table):
                part = _of_table(file, label, dropped, missing, where)
                label = part.label  # of the test file too
                parts.append(part)
                read.append((file, part.used))
                check_marks(*zip(*read, strict=True))
            else:
                parts += [_of_arrays(file, ""), _of_arrays(file, "_test")]
    return _dataset(path, test, [part for part in parts if part is not None], rng, predict)


def _names(given: Any, option: str) -> list[str]:
    """Names or numbers of columns, one or several, as text."""
    found = [given] if isinstance(given, str | int) else given
    whole = isinstance(found, Sequence) and all(
        isinstance(name, str | int) and not isinstance(name, bool) for name in found
    )
    if not whole or (option == "label" and len(found) != 1):
        raise ConfigurationError(
            f"Got {option}={given!r}; expected the name of a column, or its number from 1."
        )
    return [str(name) for name in found]


def _check_other(path: Path, test: str | Path | None) -> None:
    """Refuse the training file, or a copy of it, as the test file."""
    if test is None or not (path.is_file() and Path(test).is_file()):
        return
    if filecmp.cmp(path, test, shallow=False):
        raise ConfigurationError(
            f"Got the test file {test}, which has what is in {path}; expected other rows than "
            "those to train on. Give a file of other rows, or none: then some rows are set aside."
        )


def _check_alike(tables: Sequence[Table]) -> None:
    """Refuse a header in one of two tables alone, and unnamed columns in the test file alone."""
    if len({table.header is None for table in tables}) > 1:
        raise ConfigurationError(
            "Got names of columns in one of two files alone; expected the same header in both, so "
            "that columns can be told. Write it into the other one too."
        )
    first, last = tables[0].header or (), tables[-1].header or ()
    if last.count("") > first.count(""):
        raise ConfigurationError(
            "Got a column without a name in the test file alone, perhaps row numbers; expected the "
            "columns of the training file. Give it a name, and leave it out with --drop NAME."
        )


@dataclass(frozen=True)
class _Part:
    """Rows to train on, or to test on, as they stand in a file."""

    x: npt.NDArray
    y: Sequence[str]
    places: Sequence[str]
    """where each row stands, in words"""
    features: tuple[str, ...] | None = None
    label: str | int | None = None
    """name or number of the column of labels"""
    left_out: int = 0
    used: Mapping[str | int, int] = field(default_factory=dict)
    """where the columns in use are in the table, by their names, or numbers from 1"""
    notes: tuple[str, ...] = ()
    """what its user should know of how it was read"""


def _dataset(
    path: str | Path,
    test: str | Path | None,
    parts: Sequence[_Part],
    rng: np.random.Generator,
    predict: str | None,
) -> Dataset:
    """Labels as classes or targets, and test rows set aside if there are none."""
    if predict not in (None, "classes", "numbers"):
        raise ConfigurationError(f"Got predict={predict!r}; expected classes or numbers.")
    if len(parts) > 2 or (test is not None and len(parts) != 2):
        raise ConfigurationError(
            f"Got x_test and y_test in {path} or {test}, and there is a test file too. Leave one "
            "of them out: with a test file, both files hold x and y only."
        )
    given, held = parts[0], parts[1] if len(parts) == 2 else None
    left_out = sum(part.left_out for part in parts)
    with _of_file(path):
        if held is not None:
            held = _in_order(held, given.features)
        if predict == "numbers" or (predict is None and are_targets(given.y)):
            classes, make = None, _targets
        else:
            classes = classes_of(given.y, given.places)
            everything = [part for part in (given, held) if part is not None]
            check_one_spelling(
                [label for part in everything for label in part.y],
                [place for part in everything for place in part.places],
            )

            def make(part: _Part) -> Samples:
                return Samples(part.x, numbered(part.y, classes, part.places))

        train = make(given)
        split = (
            stratified_split(train, rng, str(path), classes)
            if held is None
            else (train, make(held))
        )
        label = given.label if isinstance(given.label, str) else None
        notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
        return Dataset(
            str(path), *split, given.features, classes, label, left_out=left_out, notes=notes
        )


def _targets(part: _Part) -> Samples:
    """Rows with numbers to predict; ConfigurationError for a label that is none."""
    for label, place in zip(part.y, part.places, strict=True):
        if not is_number(label):
            raise ConfigurationError(
                f"Got the label '{label}' in {place}, expected a number, as in the training rows."
            )
    return Targets(part.x, np.array([number(label) for label in part.y]))


def _in_order(part: _Part, wanted: tuple[str, ...] | None) -> _Part:
    """With the features in the order of the training file, by their names."""
    mine = part.features
    if mine == wanted:
        return part
    if mine is None or wanted is None:
        raise ConfigurationError(
            "Got names of columns in one of two files alone; expected two tables with headers, or "
            "two archives, so that columns can be told. Write both in the same way."
        )
    odd = [name for name in (*wanted, *mine) if (name in mine) != (name in wanted)]
    if odd:
        where = "training" if odd[0] in wanted else "test"
        raise ConfigurationError(
            f"Got the column '{odd[0]}' in the {where} file alone; expected the same names in "
            f"both. Correct its name, or leave it out with --drop {odd[0]}."
        )
    return replace(part, x=part.x[:, [mine.index(name) for name in wanted]], features=wanted)


@contextmanager
def _of_file(path: str | Path | None) -> Iterator[None]:
    """Within, errors in the contents begin with the path."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _read(path: Path) -> Table | dict[str, npt.NDArray]:
    """What a file holds: a table, or arrays by name."""
    if not path.is_file():
        raise MissingError(f"There is no file {path.absolute()}. Check the path.")
    with _of_file(path):
        return read_table(path) if path.suffix.lower() in SUFFIXES else _read_npz(path)


def _of_table(
    table: Table,
    label: str | int | None,
    drop: Sequence[str | int],
    missing: str | None,
    where: str,
) -> _Part:
    """The rows of a table, without those of the columns to leave out that it has."""
    if label is not None and not has_column(table, label):
        raise ConfigurationError(
            f"Got no column '{label}'{where}; expected the label of every row there."
        )
    there = [column for column in drop if has_column(table, column)]
    found = columns(table, label=label, drop=there, missing=missing)
    places = [f"line {line}{where}" for line in found.lines]
    left_out = len(table.rows) - len(found.y)
    return _Part(
        found.x, found.y, places, found.names, found.label, left_out, found.used, found.notes
    )


def _of_arrays(arrays: dict[str, npt.NDArray], end: str) -> _Part | None:
    """The rows of x and y, or of x_test and y_test if there are some."""
    if f"x{end}" not in arrays:
        return None
    x, y = arrays[f"x{end}"], arrays[f"y{end}"]
    if y.ndim == 2 and len(y) == len(x):
        how = "y.ravel()" if y.shape[1] == 1 else "y.argmax(axis=1) of one column a class"
        raise ConfigurationError(
            f"Got y{end} of shape {y.shape}, expected one label for each row. Write {how}."
        )
    if y.ndim != 1 or not len(y) or y.dtype.kind not in "biufU":
        Samples(x, y)  # says what is wrong
    if y.dtype.kind == "f" and np.isnan(y).any():
        raise ConfigurationError(
            f"Got {int(np.isnan(y).sum())} missing value(s) in y{end}, the first in row "
            f"{int(np.argmax(np.isnan(y)))} (counted from 0); expected a label for each row."
        )
    names = [str(name).strip() for name in (y if y.dtype.kind == "U" else y.tolist())]
    missing = np.flatnonzero(missing_labels(names))
    if len(missing):
        raise ConfigurationError(
            f"Got {len(missing)} missing value(s) in y{end}, the first, '{names[missing[0]]}', in "
            f"row {missing[0]} (counted from 0); expected a label for each row. Leave these rows "
            "out; if it is a class, write it in another way."
        )
    places = [f"row {i} of y{end} (counted from 0)" for i in range(len(y))]
    return _Part(x, names, places)


def _read_npz(path: Path) -> dict[str, npt.NDArray]:
    if not zipfile.is_zipfile(path):
        raise StorageError(f"{path} is not an .npz archive. Write it with numpy.savez.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise StorageError(
            f"Cannot read {path}: {error}. Write plain arrays of numbers with numpy.savez; labels "
            "of text by y.astype(str), without the rows in which it is None or NaN."
        ) from error
    _check_keys(sorted(arrays))
    return arrays


def _check_keys(keys: list[str]) -> None:
    """Refuse other names than the known ones: a misspelt x_test would otherwise be ignored."""
    expected = "expected x and y, and for testing x_test and y_test"
    for key in keys:
        if key not in _ARRAYS:
            near = nearest(re.sub("[-_ ]?train(ing)?[-_ ]?", "", key.lower()), _ARRAYS)
            hint = f" Did you mean '{near}'?" if near else ""
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
