import numpy as np
import pytest

from qhyper.figures import COLOURS, figures, styles_of


def test_figures_are_svg_that_follow_the_page_and_repeat_exactly(certified, spectrum):
    results = ten_seeds
    comparison = certified(results)
    drawn = figures(comparison, results, spectrum)
    assert list(drawn) == ["learning", "hits", "draws"]
    for svg in drawn.values():
        assert svg.startswith("<svg")
        assert "currentColor" in svg
        assert len(svg) < 200_000
    assert drawn == figures(comparison, results, spectrum)


def test_figures_without_certificate_show_the_best_so_far(uncertified):
    results = ten_seeds
    assert list(figures(uncertified(results), results, None)) == [
        "learning",
        "best",
        "draws",
    ]


def test_figures_with_nothing_to_show_are_left_out(certified, result):
    bare = result("random", "control", [1], steps=False)
    bare["final_losses"] = [[]]
    assert list(figures(certified([bare]), [bare], None)) == ["hits"]


def test_figures_use_no_pyplot_and_change_no_settings(certified, spectrum):
    import matplotlib

    before = dict(matplotlib.rcParams)
    results = ten_seeds
    figures(certified(results), results, spectrum)
    assert dict(matplotlib.rcParams) == before


def test_styles_differ_by_kind_without_colour_and_by_generator(result):
    results = [result(f"{kind}{k}", kind, [1]) for kind in COLOURS for k in range(6)]
    styles = styles_of(results)
    looks = {(s.colour, s.marker, s.filled, s.dashes) for s in styles.values()}
    assert len(looks) == 18
    assert len({styles[f"{kind}0"].dashes for kind in COLOURS}) == 3
