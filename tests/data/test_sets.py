import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from qhyper.data.samples import Dataset, Samples
from qhyper.data.sets import availability, comes_from, load
from qhyper.errors import ConfigurationError
from qhyper.registry import names

X = [[0.5, 1.0], [2.0, -3.0], [4.0, 5.0], [6.0, 7.0]]
Y = [0, 1, 0, 1]


def test_importing_the_module_loads_neither_scikit_learn_nor_pooch():
    program = (
        "import sys, qhyper.data.sets; print([m for m in ('sklearn', 'pooch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(ConfigurationError, match=f"whole number from 0; got {seed}"):
        load("toy", seed=seed)


@pytest.mark.parametrize("name", ["tyo", "data.txt"])
def test_an_unknown_name_is_answered_with_the_known_ones(name):
    with pytest.raises(ConfigurationError, match=rf"Unknown data set '{name}'.*PATH\.csv.*toy"):
        load(name)


def test_a_built_in_data_set_takes_no_test_file():
    with pytest.raises(ConfigurationError, match="'toy', which has test rows of its own"):
        load("toy", test="test.csv")


# Data sets of a user's own


def mine(*, seed, rows=4, shift: float = 0.0):
    return Dataset(f"mine {seed}", Samples(np.array(X[:rows]) + shift, Y[:rows]), Samples(X, Y))


def without_seed():
    return Dataset("still", Samples(X, Y), Samples(X, Y))


class Own(Dataset):
    def __init__(self, rows: int = 4):
        super().__init__("own", Samples(X[:rows], Y[:rows]), Samples(X, Y))


@dataclass
class Alike:
    train: str = ""
    test: str = ""


ready = without_seed()


@pytest.fixture
def module(monkeypatch):
    """This module, under a name by which it can be loaded."""
    monkeypatch.setitem(sys.modules, "owndata", sys.modules[__name__])
    return "owndata"


@pytest.fixture
def registered(monkeypatch, tmp_path):
    """Register data sets of a package `own-data`, given as name=value."""

    def register(**values):
        folder = tmp_path / "own_data-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: own-data\nVersion: 1\n")
        lines = "\n".join(f"{name} = {value}" for name, value in values.items())
        (folder / "entry_points.txt").write_text(f"[qhyper.datasets]\n{lines}\n")
        monkeypatch.syspath_prepend(tmp_path)

    return register


def test_a_function_or_class_of_a_users_own_takes_options_and_our_seed(module):
    made = load(f"{module}:mine", seed=3, options={"rows": 2, "shift": 1})
    assert made.name == "mine 3"
    assert made.train.x.tolist() == [[1.5, 2.0], [3.0, -2.0]]
    assert load(f"{module}:without_seed", seed=3).name == "still"
    assert len(load(f"{module}:Own", options={"rows": 3}).train) == 3


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mine", {"row": 2}, "option of the data set owndata:mine: 'row'. Did you mean 'rows'"),
        ("mine", {"seed": 2}, "Unknown option of the data set owndata:mine: 'seed'"),
        ("mine", {"shift": "far"}, r"Got shift='far' \(str\) .* expected a number"),
        ("nothing", {}, "Cannot load 'owndata:nothing': AttributeError"),
        ("ready", {}, "ready' is of type Dataset; expected the class of a data set, or a function"),
        ("counts", {}, "made a list, which is no data set: it has no `train` and no `test`"),
        ("Alike", {}, r"made a Alike; expected a qhyper.Dataset. Return Dataset\(name, train=Samp"),
    ],
)  # fmt: skip
def test_what_makes_no_data_set_is_refused(module, name, options, message):
    with pytest.raises(ConfigurationError, match=message):
        load(f"{module}:{name}", options=options)


def test_a_data_set_of_ones_own_takes_no_test_file(module):
    with pytest.raises(ConfigurationError, match="'owndata:mine', which has test rows of its own"):
        load(f"{module}:mine", test="test.csv")


def test_a_data_set_without_options_says_so():
    message = r"Unknown option of the data set toy: 'rows'.*Known: \(none\)"
    with pytest.raises(ConfigurationError, match=message):
        load("toy", options={"rows": 5})


# Where they come from


def test_availability_names_every_data_set():
    found = availability()
    assert list(found) == names("data set")
    assert {"toy", "digits", "mnist", "fashion-mnist", "gaussians"} <= set(found)
    assert {"cifar-10", "cifar-100"} <= set(found)
    assert found["toy"] == "generated"
    assert found["digits"] == "shipped with scikit-learn"


def test_a_new_data_set_is_a_function_and_an_entry_point(module, registered):
    registered(
        own="owndata:mine", marked="owndata:marked", broken="owndata:broken", gone="owndata:gone"
    )
    assert load("own", seed=2, options={"rows": 3}).name == "mine 2"
    found = availability()
    assert found["own"] == "registered by own-data"
    assert found["marked"] == "made of chalk"
    assert found["broken"] == "cannot be used: no chalk"
    assert found["gone"].startswith(
        "cannot be used: The data set 'gone' is registered by own-data as owndata:gone, which "
        "cannot be loaded: AttributeError"
    )
    with pytest.raises(ConfigurationError, match=r"Unknown data set 'ownn'. Did you mean 'own'"):
        load("ownn")


@comes_from(lambda: "made of chalk")
def marked():
    return without_seed()


def fail():
    raise RuntimeError("no chalk")


broken = comes_from(fail)(lambda: without_seed())


def counts():
    return [1, 2]
