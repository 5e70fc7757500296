"""Files in the working directory that are called as modules of ours, Python's or a package's."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from qhyper.errors import ConfigurationError
from qhyper.registry import find, load_object

ROOT = Path(__file__).parents[2]
NAMES = ["classical", "qhyper", "experiments", "numpy", "torch", "random", "json", "typing"]
SCRIPT = "import sys\nfrom qhyper.cli.main import main\nmain()\n"
COMPARE = ["compare", "--objective", "mine:loss", "--bits", "4", "--generators", "bernoulli,random",
           "--seeds", "2", "--evaluations", "200", "--processes", "1", "--json"]  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory of such files, each of which fails when it is imported."""
    here = tmp_path / "here"
    here.mkdir()
    for name in NAMES:
        (here / f"{name}.py").write_text(f"raise RuntimeError('imported {name}.py')\n")
    (here / "mine.py").write_text("def loss(bits):\n    return bits.sum(axis=1)\n")
    (tmp_path / "qhyper-command").write_text(SCRIPT)  # in a folder of its own, as it is installed
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return here


@pytest.mark.parametrize("way", ["command", "module"])
def test_a_command_takes_its_own_modules_and_finds_those_of_the_user(folder, way):
    start = [str(folder.parent / "qhyper-command")]
    if way == "module":
        start = ["-m", "qhyper"]
        (folder / "qhyper.py").unlink()  # Python itself would run it
    done = subprocess.run(
        [sys.executable, *start, *COMPARE], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [entry["name"] for entry in found["generators"]] == ["bernoulli", "random"]
    assert "Warning" not in done.stderr


def test_a_name_that_is_not_in_the_module_that_stands_first_says_which_files_there_are(
    folder, monkeypatch
):
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigurationError) as caught:
        load_object("json:MyGenerator")
    said = str(caught.value)
    assert f"The name 'json' is that of {Path(json.__file__).resolve()}" in said
    assert f"stands before {folder / 'json.py'}: give your file another name." in said


def test_a_name_that_both_have_comes_with_a_warning(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.warns(UserWarning, match=r"'json:loads' is not from your file\. The name 'json'"):
        assert load_object("json:loads") is json.loads
    with pytest.raises(ConfigurationError, match="expected module:name"):
        load_object("json")


@pytest.mark.parametrize("name", ["qhyper", "classical", "experiments"])
def test_our_own_packages_hide_files_of_their_names_however_they_are_installed(
    folder, monkeypatch, name
):
    package = importlib.import_module(name)
    monkeypatch.chdir(folder)
    # installed in place they are found by the last of the finders, after all of sys.path
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    with pytest.raises(ConfigurationError) as caught:
        load_object(f"{name}:Mine")
    said = str(caught.value)
    assert f"The name '{name}' is that of {Path(package.__file__).resolve()}" in said
    assert f"stands before {folder / name}.py: give your file another name." in said


def test_nothing_is_said_of_what_hides_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)  # where our own files are what is imported
    assert load_object("json:loads") is json.loads
    assert load_object("qhyper.risk:CVaR").__name__ == "CVaR"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        load_object("nowhere:Thing")
    assert "stands before" not in str(caught.value)


def test_a_file_that_python_takes_for_our_package_is_named(folder, monkeypatch):
    (folder / "classical.py").write_text("")
    monkeypatch.syspath_prepend(folder)  # as PYTHONPATH does
    for module in [m for m in sys.modules if m.partition(".")[0] == "classical"]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ConfigurationError) as caught:
        find("generator", "bernoulli")
    taken = f"Python takes {folder / 'classical.py'} for the package 'classical'"
    assert f"{taken}: give that file another name." in str(caught.value)
    del sys.modules["classical"]  # the user's, before ours is put back
