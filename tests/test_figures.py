import numpy as np

from qhyper.figures import COLOURS, _learning, figures, styles_of


def test_figures_are_svg_that_follow_the_page_and_repeat_exactly(ten_seeds, certified, spectrum):
    comparison = certified(ten_seeds)
    drawn = figures(comparison, ten_seeds, spectrum)
    assert list(drawn) == ["learning", "hits", "draws"]
    for svg in drawn.values():
        assert svg.startswith("<svg")
        assert "currentColor" in svg
        assert len(svg) < 200_000
    assert drawn == figures(comparison, ten_seeds, spectrum)


def test_figures_without_certificate_show_the_best_so_far(ten_seeds, uncertified):
    assert list(figures(uncertified(ten_seeds), ten_seeds, None)) == [
        "learning",
        "best",
        "draws",
    ]


def test_learning_curves_never_rise(certified, result):
    restarted = result("a", "quantum", [1, 1])
    restarted["curve"] = {
        "evaluations": [750, 1500, 2250, 3000],
        "mean_loss": [[0.5, 0.2, 0.6, 0.3], [0.4, 0.45, 0.4, 0.15]],
    }
    canvas = _learning(certified([restarted]), [restarted], styles_of([restarted]))
    (axes,) = canvas.axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.45, 0.3, 0.3, 0.175])
    assert axes.get_ylabel() == "lowest mean loss so far"


def test_figures_with_nothing_to_show_are_left_out(certified, result):
    bare = result("random", "control", [1], steps=False)
    bare["final_losses"] = [[]]
    assert list(figures(certified([bare]), [bare], None)) == ["hits"]


def test_figures_use_no_pyplot_and_change_no_settings(ten_seeds, certified, spectrum):
    import matplotlib

    before = dict(matplotlib.rcParams)
    figures(certified(ten_seeds), ten_seeds, spectrum)
    assert dict(matplotlib.rcParams) == before


def test_styles_differ_by_kind_without_colour_and_by_generator(result):
    results = [result(f"{kind}{k}", kind, [1]) for kind in COLOURS for k in range(6)]
    styles = styles_of(results)
    looks = {(s.colour, s.marker, s.filled, s.dashes) for s in styles.values()}
    assert len(looks) == 18
    assert len({styles[f"{kind}0"].dashes for kind in COLOURS}) == 3
