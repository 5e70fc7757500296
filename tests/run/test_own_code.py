"""Which of the user's own files a configuration's results depend on."""

import hashlib
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from qhyper.run.config import Config, Entry
from qhyper.run.own_code import code_of

FILES = {
    "mine_flat.py": "import numpy\nimport mine_helper\n",
    "mine_helper.py": "def late():\n    from mine_package.layers import deep\n",
    "mine_other.py": "",
    "mine_package/__init__.py": "from . import settings\n",
    "mine_package/settings.py": "",
    "mine_package/layers.py": "from .inner.parts import Part\nfrom mine_other import x\n",
    "mine_package/unused.py": "",
    "mine_package/inner/__init__.py": "",
    "mine_package/inner/parts.py": "from .. import layers\nimport mine_broken\n",
    "mine_broken.py": "this is no Python\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def of(name: str) -> dict[str, str]:
    return code_of(Config(entries=[Entry(name=name)]))


def test_a_module_counts_with_all_that_it_imports_from_its_folder(folder: Path) -> None:
    package = {"", ".settings", ".layers", ".inner", ".inner.parts"}
    assert set(of("mine_flat:Mine")) == {
        "mine_flat", "mine_helper", "mine_other", "mine_broken",
        *(f"mine_package{each}" for each in package),
    }  # fmt: skip
    assert set(of("mine_package.inner:Mine")) == {"mine_package", "mine_package.settings",
                                                  "mine_package.inner"}  # fmt: skip


def test_what_is_changed_in_a_helper_is_another_source(folder: Path) -> None:
    before = of("mine_flat:Mine")
    assert before["mine_helper"] == hashlib.sha256(FILES["mine_helper.py"].encode()).hexdigest()
    (folder / "mine_helper.py").write_text("SHIFT = 2\n")
    (folder / "mine_other.py").write_text("SHIFT = 2\n")
    after = of("mine_flat:Mine")
    assert set(after) == {"mine_flat", "mine_helper"}
    assert after["mine_helper"] != before["mine_helper"]
    assert after["mine_flat"] == before["mine_flat"]


def test_options_name_modules_too_and_what_is_no_module_does_not_count(folder: Path) -> None:
    entry = Entry(name="quantum", options={"ansatz": "mine_other:circuit", "order": "no:where"})
    assert set(code_of(Config(entries=[entry]))) == {"mine_other"}
    assert of("classical.mlp:MLP") == {}  # goes by our own source
    assert of("mine_nowhere:Mine") == {}


def test_a_module_that_is_elsewhere_or_compiled_counts_too(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "other_name.py").write_text("import mine_other\n")
    (folder / "mine_link.py").symlink_to(folder / "elsewhere" / "other_name.py")
    assert set(of("mine_link:Mine")) == {"mine_link", "mine_other"}
    compiled = b"\x7fELF \0"
    (folder / f"mine_compiled{EXTENSION_SUFFIXES[0]}").write_bytes(compiled)
    assert of("mine_compiled:Mine") == {"mine_compiled": hashlib.sha256(compiled).hexdigest()}


@pytest.mark.parametrize("module", ["torch.nn.functional", "pydantic.fields", "statistics"])
def test_of_what_is_installed_the_module_alone_counts(module: str) -> None:
    assert set(of(f"{module}:thing")) == {module}
