"""The documentation: whatever can be set is explained where it is made."""

import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

import qhyper
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.registry import KINDS, options_of
from qhyper.run.config import COMPARED, FULL_SIZE, Config, Entry, TrainingSettings
from qhyper.training.space import Range, Space, Tuning

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

described, docstrings = map(importlib.import_module, ("described", "docstrings"))

OF_QUANTUM_COMPUTERS = ("service", "patience", "name", "identity", "formerly")
"""Arguments of a CloudBackend that are no options: `build_backend` gives them."""


@pytest.mark.parametrize(("kind", "name"), described.registered())
def test_every_option_of_whatever_has_a_name_is_explained(kind: str, name: str) -> None:
    without = [one.name for one in described.options(kind, name) if not one.meaning]
    assert without == [], f"give the docstring of the {kind} {name} a bullet `- option: meaning`"


def test_every_option_of_all_quantum_computers_is_explained() -> None:
    known = options_of("service", "all", CloudBackend, ours=OF_QUANTUM_COMPUTERS)
    found = described.read(known, described.text_of(CloudBackend))
    assert [one.name for one in found if not one.meaning] == []
    assert {"level", "layout", "avoid", "deadline", "grace", "mitigate"} == set(known)


@pytest.mark.parametrize("model", [Config, Entry, TrainingSettings, Tuning, Space, Range])
def test_every_setting_is_explained(model: type) -> None:
    assert [one.name for one in described.fields(model) if not one.meaning] == []


def test_a_bullet_may_go_on_and_speak_of_two_names() -> None:
    text = "First.\n\n- one, two: begins\n  and goes on\n- three: ends\n\nNo - bullet: this."
    assert described.bullets(text) == {
        "one": "begins and goes on", "two": "begins and goes on", "three": "ends",
    }  # fmt: skip


def test_defaults_are_written_as_in_a_file() -> None:
    shown = [described.default(value) for value in (True, (16, 16), "cx", 0.05, None)]
    assert shown == ["`true`", "`[16, 16]`", "`cx`", "`0.05`", "–"]


def test_what_is_no_code_in_a_docstring_is_no_markup() -> None:
    lines = ["L* of `a_b*` and *:", "- one: |p|", "  goes on", "Ends::", "", "  a_ b*"]
    assert docstrings.as_text(lines) == [
        r"L\* of `a_b*` and \*:", "", r"- `one`: \|p\|", "  goes on", "", "Ends::", "", "  a_ b*",
    ]  # fmt: skip


def test_every_kind_of_thing_with_a_name_has_its_page() -> None:
    pages = "".join(page.read_text("utf-8") for page in DOCS.glob("reference/options/*.md"))
    assert [kind for kind in KINDS if f"```{{options}} {kind}\n" not in pages] == []
    names = (DOCS / "reference" / "names.md").read_text("utf-8")
    assert [kind for kind in KINDS.values() if f"`{kind.group}`" not in names] == []


def test_every_public_name_is_in_the_reference_once() -> None:
    pages = "".join(page.read_text("utf-8") for page in DOCS.glob("reference/api/*.md"))
    found = re.findall(r"\.\. auto(?:class|function):: qhyper\.(\w+)\n", pages)
    assert sorted(found) == sorted(qhyper.__all__)


def test_what_the_guides_import_is_in_the_reference() -> None:
    pages = "".join(page.read_text("utf-8") for page in DOCS.glob("reference/api/*.md"))
    guides = "".join(page.read_text("utf-8") for page in DOCS.glob("guide/*.md"))
    found = re.findall(r"^from ((?:qhyper|classical)[\w.]*) import ([\w, ]+)$", guides, re.M)
    paths = {f"{module}.{name.strip()}" for module, names in found for name in names.split(",")}
    assert len(paths) > 20
    ours = {f"{getattr(qhyper, name).__module__}.{name}" for name in qhyper.__all__}
    assert sorted(path for path in paths - ours if f":: {path}\n" not in pages) == []


def test_tests_that_are_said_to_show_something_are_there() -> None:
    linked = re.findall(r"\[([^]]+)\]\(https[^)]*/main/([^)]+)\)", _page("exact-or-estimated.md"))
    assert len(linked) > 30
    for words, file in linked:
        text = (ROOT / file).read_text("utf-8")
        assert f"def test_{words.replace(' ', '_')}(" in text or file.endswith(words), words


def test_the_entries_that_are_compared_unless_told_are_said() -> None:
    text = _page("reference/options/configuration.md").partition("Entries unless told are ")[2]
    few, _, full = text.partition("\n\n")[0].partition("of networks of\nfull size")
    assert tuple(re.findall(r"`([\w-]+)`", few)) == COMPARED
    assert tuple(re.findall(r"`([\w-]+)`", full)) == FULL_SIZE


def test_configurations_that_are_shown_can_be_read() -> None:
    shown = [
        text
        for page in DOCS.rglob("*.md")
        for text in re.findall(r"^```toml\n(data = .*?)^```$", page.read_text("utf-8"), re.M | re.S)
    ]
    assert len(shown) >= 4
    for text in shown:
        settings = tomllib.loads(text)
        settings.pop("sweep", None)
        assert Config.model_validate(settings).entries


def test_what_is_said_to_be_somewhere_is_there() -> None:
    first = re.findall(r"^\| (.*?) \|", _page("reference/source.md"), flags=re.MULTILINE)
    paths = [path for cell in first for path in re.findall(r"`([\w./]+)`", cell)]
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path).exists()] == []


def _page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")
