"""A study: a folder of experiments/ with README.md, study.py and, where it is verifiable, numbers.

study.py defines

- TITLE, one line
- parts(quick), the independent pieces of work by name, in the order in which they are best begun
  (long ones first): functions without arguments that return JSON-able data. They are found again
  by name in another process.
- tables(results), Markdown of all tables, from the parts' results alone
- draw(results, folder), which writes SVG pictures into a folder
- measured(results), numbers by name, if expected.toml has some to hold them against

- SHARED, if its parts use modules of experiments/ itself: their file names
- prepare(names), if parts share what takes long to make: called once with the names of those that
  are still to be worked out, before workers are forked, and kept (functools.cache), it is there in
  all of them. Where workers are not forked it is not called, and each part makes it itself.

Modules called tables.py and pictures.py beside it may change without making results out of date:
nothing that a part computes belongs there.

expected.toml has the tables [full] and [quick], or one of them, with entries such as

    regret = { at_most = 0.001 }
    accuracy = { value = 0.92, tolerance = 0.005, source = "whose number it is" }
"""

import functools
import importlib.util
import math
import re
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qhyper.errors import ConfigurationError, unknown

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Expectation:
    """What a measured number should be: value ± tolerance, or bounds; all that are given hold."""

    value: float | None = None
    tolerance: float = 0.0
    at_least: float = -math.inf
    at_most: float = math.inf

    def holds(self, measured: float) -> bool:
        """Whether `measured` is as expected; NaN never is."""
        near = self.value is None or abs(measured - self.value) <= self.tolerance
        return near and self.at_least <= measured <= self.at_most

    def __str__(self) -> str:
        parts = [] if self.value is None else [f"{self.value:g} ± {self.tolerance:g}"]
        parts += [f"≥ {self.at_least:g}"] if self.at_least > -math.inf else []
        parts += [f"≤ {self.at_most:g}"] if self.at_most < math.inf else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Study:
    """The study in `folder`."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name with hyphens, as on the command line."""
        return self.folder.name.replace("_", "-")

    @property
    def title(self) -> str:
        """TITLE of study.py, or else the heading of README.md; nothing is imported for it."""
        title = re.search(r'^TITLE(?:: str)? = "(.+)"$', self._text("study.py"), re.MULTILINE)
        heading = re.search(r"^# (.+)$", self._text("README.md"), re.MULTILINE)
        found = title or heading
        return found[1] if found else self.name

    @property
    def runnable(self) -> bool:
        """Whether study.py defines parts."""
        return "\ndef parts(" in self._text("study.py")

    @property
    def module(self) -> Any:
        """study.py, imported once in a process; ConfigurationError if it defines no parts."""
        self.check()
        return _imported(self.folder)

    @property
    def shared(self) -> list[Path]:
        """The modules of experiments/ that its results depend on."""
        return [FOLDER / name for name in getattr(self.module, "SHARED", ())]

    @property
    def prepare(self) -> Callable[[Collection[str]], None] | None:
        """Makes what the parts of these names share; None if study.py does not define it."""
        return getattr(self.module, "prepare", None)

    def check(self) -> None:
        """Raise ConfigurationError unless study.py defines parts."""
        if not self.runnable:
            raise ConfigurationError(
                f"The study '{self.name}' has no parts to run; {self.folder / 'README.md'} tells "
                "how it is run."
            )

    def parts(self, quick: bool) -> dict[str, Callable[[], Any]]:
        """The study's pieces of work; ConfigurationError for a name that is not kebab-case."""
        parts = self.module.parts(quick)
        for name in parts:
            if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):  # it names a file
                raise ConfigurationError(
                    f"Got the part '{name}' of the study '{self.name}'; expected small letters and "
                    "digits with hyphens between. Rename it."
                )
        return parts

    @property
    def verifiable(self) -> bool:
        """Whether there are expected numbers, sound or not."""
        path = self.folder / "expected.toml"
        return path.is_file() and bool(path.read_text(encoding="utf-8").strip())

    def expectations(self, quick: bool) -> dict[str, Expectation]:
        """What expected.toml says of this setting.

        Raises ConfigurationError if that is nothing, and for what is malformed.
        """
        path, setting = self.folder / "expected.toml", "quick" if quick else "full"
        try:
            tables = tomllib.loads(self._text("expected.toml"))
        except ValueError as error:
            raise ConfigurationError(f"{path} is not TOML: {error}. Mend it.") from None
        for table in tables:
            if table not in ("full", "quick"):
                raise unknown(f"table in {path}", table, ("full", "quick"))
        if not tables.get(setting):
            raise ConfigurationError(
                f"The study '{self.name}' has no expected numbers for the {setting} setting. "
                f"Give them as the table [{setting}] of {path}, or use `run`."
            )
        return {name: _expectation(path, name, entry) for name, entry in tables[setting].items()}

    def _text(self, name: str) -> str:
        """A file of the study, empty if it is not there."""
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.is_file() else ""


def studies() -> Iterator[Study]:
    """All studies, by name."""
    for folder in sorted(FOLDER.iterdir()):
        if (folder / "README.md").is_file() or (folder / "study.py").is_file():
            yield Study(folder)


def find(name: str) -> Study:
    """The study of that name; ConfigurationError if there is none."""
    known = {study.name: study for study in studies()}
    if name not in known:
        raise unknown("study", name, known)
    return known[name]


@functools.cache
def _imported(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location(
        f"experiments.{folder.name}.study", folder / "study.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _expectation(path: Path, name: str, entry: Any) -> Expectation:
    bounds = {key: entry[key] for key in entry if key != "source"} if type(entry) is dict else {}
    if (
        not bounds
        or not bounds.keys() <= {"value", "tolerance", "at_least", "at_most"}
        or ("value" in bounds) != ("tolerance" in bounds)
        or not all(type(x) in (int, float) and math.isfinite(x) for x in bounds.values())
        or bounds.get("tolerance", 0) < 0
    ):
        raise ConfigurationError(
            f"Got {name} = {entry!r} in {path}; expected value and tolerance, at_least or at_most, "
            "finite numbers all of them. Mend it."
        )
    return Expectation(**bounds)
