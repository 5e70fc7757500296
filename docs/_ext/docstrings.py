"""Docstrings are plain text with code in backticks and bullets: as reStructuredText for autodoc."""

import re
from typing import Any

import numpy.typing as npt
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

_BULLET = re.compile(r"(\s*)- ")
_NAMED = re.compile(r"- ([\w-]+(?:, [\w-]+)*): ")
_ARRAY = re.compile(r"~numpy\.ndarray\[tuple\[~typing\.Any, \.\.\.\], ~numpy\.dtype\[(~[\w.]+)\]\]")
_OBJECT = re.compile(r"= <(?:[^<>]|<[^<>]*>)*>")
_ARRAY_LIKE = stringify_annotation(npt.ArrayLike, "smart")


def as_text(lines: list[str]) -> list[str]:
    """Lines in which nothing but backticks, bullets and blocks after `::` is markup."""
    found: list[str] = []
    code = literal = False
    for line in lines:
        literal = literal and (not line.strip() or line.startswith(" "))
        if literal:
            found.append(line)
            continue
        escaped, code = _escaped(_with_code(line), code)
        bullet = _BULLET.match(line)
        last = found[-1] if found else ""
        if bullet and last.strip() and not _in_list(found):
            found.append("")
        if last.strip() and not bullet and _in_list(found) and not line.startswith(" "):
            found.append("")
        found.append(escaped)
        literal = line.endswith("::")
    return found


def _with_code(line: str) -> str:
    """A line of a bullet whose names, before the colon, are code."""
    bullet = _NAMED.match(line)
    if bullet is None:
        return line
    names = ", ".join(f"`{name}`" for name in bullet[1].split(", "))
    return f"- {names}: {line[bullet.end() :]}"


def _in_list(lines: list[str]) -> bool:
    """Whether the paragraph that stands last is a bullet of a list."""
    for line in reversed(lines):
        if not line.strip():
            return False
        if _BULLET.match(line):
            return True
    return False


def _escaped(line: str, code: bool) -> tuple[str, bool]:
    """A line with its markup escaped outside of code, and whether code goes on after it."""
    parts = line.split("`")
    for nth, part in enumerate(parts):
        if not code ^ bool(nth % 2):
            parts[nth] = re.sub(r"([*|\\_])", r"\\\1", part)
    # code that a letter follows at once would not end: p's -> `p`\ s
    text = parts[0]
    for nth, part in enumerate(parts[1:], 1):
        closes = code ^ (nth % 2 == 0)
        glued = closes and part[:1].isalnum()
        text += "`" + ("\\ " if glued else "") + part
    return text, code ^ (len(parts) % 2 == 0)


def in_short(signature: str) -> str:
    """A signature with arrays as they are written, NDArray[float64], and no addresses."""
    arrays = _ARRAY.sub(r"NDArray[\1]", signature).replace(_ARRAY_LIKE, "ArrayLike")
    return _OBJECT.sub("= ...", arrays)


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx to pass docstrings through."""

    def process(_app: Any, _what: str, _name: str, _it: Any, _how: Any, lines: list[str]) -> None:
        lines[:] = as_text(lines)

    def shorten(
        _app: Any, what: str, _name: str, it: Any, _how: Any, given: str | None, back: str | None
    ) -> tuple[str | None, str | None]:
        if what == "class" and hasattr(it, "model_fields"):
            return "(**settings)", None  # they have tables of their own
        return given and in_short(given), back and in_short(back)

    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
