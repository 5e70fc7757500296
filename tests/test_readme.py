"""The README's Python runs as it stands."""

import re
from pathlib import Path

import pytest

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
