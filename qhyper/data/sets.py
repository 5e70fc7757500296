"""Data sets by name: what is registered, `module:function`, or a file of one's own."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from qhyper.data.files import is_data_file, load_files
from qhyper.data.samples import Dataset
from qhyper.errors import ConfigurationError, unknown
from qhyper.registry import build, find, is_registered, names, packages

Maker = TypeVar("Maker", bound=Callable[..., Dataset])
"""A function of options that returns a data set."""

_OF_FILES = ("label", "drop", "missing", "predict")
"""Options of a file; all but the last of a table alone."""


def load(
    name: str | Path,
    *,
    seed: int = 0,
    test: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> Dataset:
    """Load the data set `name`: a registered one, module:function, or your own .npz, .csv or .tsv.

    - toy: 2x2 grey images of two classes; 80,000 + 20,000 rows
    - digits: scikit-learn's digits 0 and 1 in 2x2 pixels; 288 + 72 rows
    - mnist: MNIST's digits 0 and 1 in 2x2 pixels; 12,665 + 2,115 rows; options: digits (a list, or
      "all"), size (1 to 28), pixels ("signed" or "unit")
    - fashion-mnist: Fashion-MNIST's ten classes in 28x28 pixels; 60,000 + 10,000 rows; options:
      classes, size, pixels
    - cifar-10: CIFAR-10's ten classes in 32x32 pixels of three channels; 50,000 + 10,000 rows;
      options: classes, size (1 to 32), channels ("rgb" or "grey"), pixels
    - cifar-100: the same of CIFAR-100's hundred fine classes, from your own copy of its archive
    - gaussians: the mixture of Carrasquilla et al. (arXiv:2301.08292) in the plane; 10,000 + 2,000
      rows
    - `PATH.npz`: arrays x [row, feature] and y [row], and for testing x_test and y_test
    - `PATH.csv`: (or .tsv) the features and, in the last column, the label, any whole numbers or
      text; commas, semicolons or tabs; a header row may come first. Options: label (the name or
      number, from 1, of its column), drop (those of columns to leave out), missing ("drop" leaves
      out rows in which a value is missing); and of any file predict ("classes" or "numbers", for
      squared_error; unless told, labels that are not whole, or are many of which some come once,
      are numbers)

    A data set of yours is a function of options that returns a Dataset, named as module:function or
    registered under the entry-point group `qhyper.datasets`. If it takes a keyword `seed`, it is
    given ours, which decides what is drawn (toy, gaussians) and how rows are split (digits, your
    own file); published images do not depend on it. Features of a file are taken as they are, and
    its classes are numbered in their order. Its test rows come from the file `test` (x and y only),
    else from x_test and y_test, else a random fifth of the rows of each class is set aside, so that
    every class is in both parts.

    Raises ConfigurationError for an unknown name or option, unsuitable contents or a bad
    combination, MissingError if a file is neither there nor downloadable, StorageError if one is
    damaged.
    """
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigurationError(f"The seed of a data set is a whole number from 0; got {seed!r}.")
    if is_data_file(name):
        given = dict(options or {})
        odd = [option for option in given if option not in _OF_FILES]
        if odd:
            raise ConfigurationError(
                f"Got the option(s) {', '.join(odd)} for the file {name}; expected "
                f"{', '.join(_OF_FILES)} alone: its features are taken as they are. Leave them "
                "out, or write the file as you want it."
            )
        rng = np.random.default_rng(np.random.SeedSequence(int(seed)))
        return load_files(name, test, rng, **given)
    name = str(name)
    if not is_registered("data set", name) and Path(name).is_file():
        raise ConfigurationError(
            f"Got the file {name}, whose name does not end with .csv, .tsv or .npz. Unpack it if "
            "it is compressed, save a sheet as CSV, or give a table in text the ending .csv."
        )
    if ":" not in name and not is_registered("data set", name):
        raise unknown("data set", name, (*names("data set"), "PATH.npz", "PATH.csv", "PATH.tsv"))
    if test is not None:
        raise ConfigurationError(
            f"Got the test file {test} for the data set '{name}', which has test rows of its own. "
            "Leave the test file out, or give a training file too."
        )
    made = build("data set", name, options=options, offered={"seed": int(seed)})
    if not isinstance(made, Dataset):
        raise ConfigurationError(
            f"'{name}' made a {type(made).__name__}; expected a qhyper.Dataset. Return "
            "Dataset(name, train=Samples(x, y), test=Samples(x, y))."
        )
    return made


def comes_from(where: Callable[[], str]) -> Callable[[Maker], Maker]:
    """Mark a data set with where it comes from: `where()` is what `qhyper doctor` says of it.

    It stands on the function as the attribute `availability`. It should download nothing.
    """

    def mark(make: Maker) -> Maker:
        setattr(make, "availability", where)  # noqa: B010 (functions declare no attributes)
        return make

    return mark


def availability() -> dict[str, str]:
    """Where each registered data set would come from, in words, by name; never raises."""
    return {name: _availability(name) for name in names("data set")}


def _availability(name: str) -> str:
    try:
        where = getattr(find("data set", name), "availability", None)
        return (
            str(where()) if where else f"registered by {' and '.join(packages('data set', name))}"
        )
    except Exception as error:  # a user's package can fail in any way
        return f"cannot be used: {error}"
