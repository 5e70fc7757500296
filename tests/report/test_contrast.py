"""Colours of pages and figures against WCAG 2.2: 4.5 to 1 for text, 3 to 1 for lines."""

import re
from importlib.resources import files

import numpy as np
import pytest

from qhyper.report.drawing import COLOURS, ink_on


def luminance(colour):
    """Relative luminance of red, green and blue from 0 to 1."""
    c = np.asarray(colour, dtype=float)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [
        0.2126,
        0.7152,
        0.0722,
    ]


def contrast(one, other):
    low, high = sorted([float(luminance(one)), float(luminance(other))])
    return (high + 0.05) / (low + 0.05)


def rgb(name):
    return [int(name[k : k + 2], 16) / 255 for k in (1, 3, 5)]


def themes():
    sheet = files("qhyper").joinpath("report/layout.html.j2").read_text(encoding="utf-8")
    found = [
        {key: rgb(value) for key, value in re.findall(r"--qhyper-(\w+): (#\w{6})", line)}
        for line in re.findall(r":root \{(.*?)\}", sheet)
    ]
    assert [theme["page"] for theme in found] == [rgb("#ffffff"), rgb("#15181c")]
    return found


def test_black_on_white_is_21_to_1():
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
    assert contrast(rgb("#767676"), (1, 1, 1)) == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize("theme", themes(), ids=["light", "dark"])
def test_words_and_lines_read_on_every_ground(theme):
    for text in ("ink", "faint"):
        for ground in ("page", "raised"):
            assert contrast(theme[text], theme[ground]) >= 4.5
    for colours in COLOURS.values():
        for colour in colours:
            assert contrast(rgb(colour), theme["page"]) >= 3


def test_numbers_read_on_any_colour():
    rng = np.random.default_rng(0)
    grounds = {"black": (0, 0, 0), "white": (1, 1, 1)}
    for colour in [*rng.random((200, 3)), (0.5, 0.5, 0.5), (0, 0, 0), (1, 1, 1)]:
        assert contrast(grounds[ink_on(colour)], colour) >= 4.5
