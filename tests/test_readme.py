"""The README's Python runs as it stands."""

import inspect
import re
from pathlib import Path

import pytest

from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.registry import find, names

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_loop_is_there() -> None:
    assert len(BLOCKS) == 9
    loop = BLOCKS[0].split("\n\n")[1]
    assert len(loop.strip().splitlines()) == 10


@pytest.mark.parametrize("block", BLOCKS)
def test_python_of_the_readme(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block, str(README), "exec"), {})  # as a user would paste it
    assert capsys.readouterr().out


@pytest.mark.parametrize("vendor", names("service"))
def test_every_option_of_a_quantum_computer_is_explained(vendor: str) -> None:
    taken = inspect.signature(find("service", vendor)).parameters
    options = [name for name, option in taken.items() if option.kind is option.KEYWORD_ONLY]
    assert [name for name in options if f"`{name}`" not in README.read_text(encoding="utf-8")] == []


def test_every_option_of_all_of_them_is_explained() -> None:
    inner = {"self", "service", "patience", "name", "identity", "formerly"}
    options = set(inspect.signature(CloudBackend).parameters) - inner
    assert [name for name in options if f"`{name}`" not in README.read_text(encoding="utf-8")] == []
