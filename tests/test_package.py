"""What the package index is told, and shows: see also `make package`."""

import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import qhyper

ROOT = Path(__file__).parents[1]
TOLD = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SHOWN = TOLD["project"]["readme"]


def test_the_version_is_that_of_the_package():
    assert qhyper.__version__ == TOLD["project"]["version"]
    assert not [path for path in ROOT.glob("*/__init__.py") if "__version__ =" in path.read_text()]


def test_every_package_and_all_its_data_are_in_the_wheel():
    setuptools = TOLD["tool"]["setuptools"]
    inits = [path for top in ("qhyper", "classical") for path in (ROOT / top).rglob("__init__.py")]
    found = [".".join(path.parent.relative_to(ROOT).parts) for path in inits]
    assert sorted(setuptools["packages"]) == sorted(found)
    for top, patterns in setuptools["package-data"].items():
        taken = {path for pattern in patterns for path in (ROOT / top).glob(pattern)}
        files = (path for path in (ROOT / top).rglob("*") if path.is_file())
        data = {p for p in files if p.suffix != ".py" and "__pycache__" not in p.parts}
        assert taken == data
        assert ROOT / top / "py.typed" in taken


def test_every_address_is_of_one_home():
    for address in TOLD["project"]["urls"].values():
        assert address.startswith("https://github.com/qhyper/qhyper")


def targets(text):
    """What links and pictures of Markdown point to, code left out."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`\n]*`", "", text)
    inline = re.findall(r"\]\(\s*<?([^)\s>]+)", text)
    defined = re.findall(r"^\s*\[[^\]]+\]:\s*<?(\S+?)>?\s*$", text, flags=re.MULTILINE)
    html = re.findall(r"""\b(?:href|src|srcset)\s*=\s*["']([^"'\s]+)""", text)
    return [*inline, *defined, *html]


def test_links_and_pictures_of_every_kind_are_found():
    text = (
        "[a](one.md) ![b](two.png 'title') [![c](three.svg)](four) <img src='five.png'>\n"
        '<a href="six"></a> [d][e]\n\n[e]: seven\n\n`[f](eight)`\n\n```\n[g](nine)\n```\n'
    )
    expected = ["one.md", "two.png", "three.svg", "four", "seven", "five.png", "six"]
    assert targets(text) == expected


def test_the_package_index_can_follow_every_link_of_the_readme():
    """It shows the text alone, so that addresses are absolute, or of a heading of the same text."""
    text = (ROOT / SHOWN).read_text(encoding="utf-8")
    outside = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ +(.+)$", outside, flags=re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings]
    for target in targets(text):
        if target.startswith("#"):
            assert target[1:] in plain, target
        else:
            address = urlsplit(target)
            assert address.scheme == "https", target
            assert address.netloc, target
