"""The README: short, and every block of it runs as it stands, its commands with small budgets."""

import re
import shlex
from pathlib import Path

import pytest

from qhyper.data.sets import availability

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
PYTHON, SHELL = (re.findall(rf"```{kind}\n(.*?)```", README, flags=re.DOTALL) for kind in
                 ("python", "sh"))  # fmt: skip
COMMANDS = [
    command.strip()
    for block in SHELL
    for line in block.splitlines()
    for command in line.partition("#")[0].split("&&")
]
QHYPER = [command for command in COMMANDS if command.startswith("qhyper ")]

MODULE = """
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter


def loss(bits):
    return 1 - bits.mean(axis=1)


circuit = QuantumCircuit(36)
for qubit in range(36):
    circuit.ry(Parameter(f"t{qubit:02}"), qubit)
"""
SWEEP = """
evaluations = 500
seeds = [0, 1]
[[entries]]
name = "quantum"
[sweep.over]
"entries.quantum.options.depth" = [1, 2]
"""
SMALL = {
    "compare": "--evaluations 500 --seeds 2",
    "train": "--evaluations 1000 --draws 2",
    "fashion-mnist": "--dry-run",
}
"""What is added to commands that have the word, for the time that they take."""


def test_it_is_read_in_ten_minutes() -> None:
    assert len(README.splitlines()) <= 150
    (loop,) = PYTHON
    assert len(loop.split("\n\n")[1].strip().splitlines()) == 10
    assert {command for command in COMMANDS if command not in QHYPER} == {
        "make compare", "make test",
    }  # fmt: skip


def test_the_python_of_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(PYTHON[0], "README.md", "exec"), {})  # as a user would paste it
    assert capsys.readouterr().out


def test_the_commands_of_the_readme(cli, tmp_path: Path) -> None:
    (tmp_path / "mymodule.py").write_text(MODULE)
    (tmp_path / "depths.toml").write_text(SWEEP)
    rows = [f"{k % 7},{k % 5},{k % 3},{k},{'ab'[k % 7 > 3]}" for k in range(60)]
    (tmp_path / "mine.csv").write_text("\n".join(["p,q,r,s,species", *rows]))
    for command in QHYPER:
        if "fashion-mnist" in command and not availability()["fashion-mnist"].startswith("found"):
            continue
        words = [word for key, words in SMALL.items() if key in command for word in words.split()]
        if "runs/…" in command:  # of the circuit that was trained before
            (run,) = (tmp_path / "runs").glob("*-train-*")
            command = command.replace("runs/…", str(run))
        code, out, err = cli(*shlex.split(command)[1:], *words)
        assert code == 0, (command, err)
        assert out, command


def test_its_links_and_pictures_are_of_the_repository_and_there() -> None:
    """The package index shows it too, where nothing lies beside it."""
    root = Path(__file__).parents[1]
    links = re.findall(r"\]\(([^)\s]+)\)", README)
    assert len(links) > 10
    for link in links:
        place = re.fullmatch(
            r"https://(?:github\.com/qhyper/qhyper/(?:tree|blob)"
            r"|raw\.githubusercontent\.com/qhyper/qhyper)/main/(.+)", link
        )  # fmt: skip
        assert place is not None, link
        assert (root / place[1]).exists(), link
