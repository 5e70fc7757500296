"""Build the wheel and the source archive, and try the wheel as a person would.

`make package` runs this. `build` makes the wheel from the source archive; its files must be those
of the checkout, byte for byte. Then the wheel alone is installed, with what it depends on, into an
environment of its own, and used in an empty folder.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
ENVIRONMENT = ROOT / "build" / "package"
"""It stays, for whoever wants to look, until the next run: its many files take long to remove."""

LOOK = """
import pathlib, qhyper, classical
print(qhyper.__version__)
for package in (qhyper, classical):
    print(pathlib.Path(package.__file__).parents[1])
"""


def run(*command, **options):
    """What a command prints; where it fails, what it says goes on to stderr."""
    return subprocess.run(
        [str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True, **options
    ).stdout


def tracked(*where):
    """The files of the checkout, as git knows them."""
    names = run("git", "ls-files", "-z", "--", *where, cwd=ROOT).split("\0")
    return {name: (ROOT / name).read_bytes() for name in names if name}


def build(folder):
    """The wheel, made from the source archive: both are in `DIST` then, in place of earlier ones.

    It is built in a folder of its own: what a build leaves would be seen by what runs beside it.
    """
    for name, content in tracked("qhyper", "classical", ":(glob)*").items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    for old in DIST.glob(f"qhyper-{VERSION}[-.]*"):
        old.unlink()
    run(sys.executable, "-m", "build", "--outdir", DIST, folder)
    (wheel,) = DIST.glob(f"qhyper-{VERSION}-*.whl")
    (archive,) = DIST.glob(f"qhyper-{VERSION}.tar.gz")
    for made in (wheel, archive):
        print(f"{made.stat().st_size:,} bytes: {made}")
    return wheel


def check_files(wheel):
    """Every file of the packages is in the wheel, as it is in the checkout, and no other is."""
    expected = tracked("qhyper", "classical")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        found = {name: archive.read(name) for name in names}
    other = {name for name in expected | found if expected.get(name) != found.get(name)}
    assert not other, f"in the wheel or the checkout alone, or not the same: {sorted(other)}"
    print(f"{len(found)} files, as in the checkout")


def install(wheel):
    """The commands of a new environment: of the wheel and what it depends on, and no pip."""
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    run(sys.executable, "-m", "venv", "--without-pip", ENVIRONMENT)
    commands = ENVIRONMENT / "bin"
    pip = (sys.executable, "-m", "pip", "--python", commands / "python", "install")
    run(*pip, "--quiet", "--no-compile", "-c", ROOT / "constraints.txt", wheel)
    return commands


def use(commands, folder):
    """The version, the main comparison, and an import: all in an empty folder."""
    elsewhere = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    options = {"cwd": folder, "env": elsewhere}
    assert VERSION in run(commands / "qhyper", "--version", **options)
    table = run(commands / "qhyper", "compare", "--evaluations", 5000, "--seeds", 2, **options)
    assert "quantum-depth2" in table, table
    (page,) = folder.glob("runs/*/report.html")
    assert "</html>" in page.read_text(encoding="utf-8")
    found, *homes = run(commands / "python", "-c", LOOK, **options).split()
    assert found == VERSION, found
    assert all(commands.parent in Path(home).parents for home in homes), homes
    print(table)


def main():
    """Build, look, install, use."""
    with tempfile.TemporaryDirectory(prefix="qhyper-package-") as folder:
        source, empty = Path(folder, "source"), Path(folder, "empty")
        empty.mkdir()
        wheel = build(source)
        check_files(wheel)
        use(install(wheel), empty)
    print(f"{wheel.name} works from an environment of its own")


if __name__ == "__main__":
    main()
