from dataclasses import replace

import numpy as np
import pytest

from qhyper.report.drawing import COLOURS, loss_axis, new_figure
from qhyper.report.figures import _hits, _learning
from qhyper.report.plots import plots
from qhyper.report.results import Curve
from qhyper.report.styles import styles_of


def test_figures_are_svg_that_follow_the_page_and_repeat_exactly(ten_seeds, certified, spectrum):
    comparison = certified(ten_seeds)
    drawn = plots(comparison, ten_seeds, spectrum)
    assert list(drawn) == ["learning", "hits", "draws"]
    for svg in (plot.svg for plot in drawn.values()):
        assert svg.startswith("<svg")
        assert "currentColor" in svg
        assert len(svg) < 200_000
    assert drawn == plots(comparison, ten_seeds, spectrum)


def test_figures_without_certificate_show_the_best_so_far(ten_seeds, uncertified):
    assert list(plots(uncertified(ten_seeds), ten_seeds, None)) == [
        "learning",
        "best",
        "draws",
    ]


def test_learning_curves_never_rise(certified, result):
    curve = Curve(
        evaluations=[750, 1500, 2250, 3000],
        mean_loss=[[0.5, 0.2, 0.6, 0.3], [0.4, 0.45, 0.4, 0.15]],
    )
    restarted = replace(result("a", "quantum", [1, 1]), curve=curve)
    figure = _learning(certified([restarted]), [restarted], styles_of([restarted]))
    (axes,) = figure.axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.45, 0.3, 0.3, 0.175])
    assert axes.get_ylabel() == "mean loss"


def test_controls_keep_their_own_mean(certified, result):
    curve = Curve(evaluations=[1000, 2000, 3000], mean_loss=[[0.5, 0.4, 0.6]])
    noisy = replace(result("random", "control", [1]), curve=curve)
    figure = _learning(certified([noisy]), [noisy], styles_of([noisy]))
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [0.5, 0.4, 0.6])


def labels(axis):
    """What stands at the ticks inside the limits."""
    low, high = sorted(axis.get_view_interval())
    ticks = axis.get_majorticklocs()
    words = axis.get_major_formatter().format_ticks(ticks)
    return [word for tick, word in zip(ticks, words, strict=True) if low <= tick <= high and word]


@pytest.mark.parametrize("high", [0.2, 0.55, 1.7, 5.0, 40.0])
@pytest.mark.parametrize("low", [0.116, 0.55])
def test_loss_axes_have_labels_enough(low, high):
    _, axes = new_figure(height=3.6)
    logarithmic = loss_axis(axes.yaxis, *sorted((low, high)))
    assert logarithmic == (high / low > 10)
    assert len(labels(axes.yaxis)) >= 4 or low == high


@pytest.mark.parametrize("hits", [0, 1, 3, 4, 8, 10])
def test_shares_are_labelled_with_what_they_are(hits, certified, result):
    one = result("a", "quantum", [0] * hits + [1] * (10 - hits))
    figure = _hits(certified([one]), [one], styles_of([one]))
    axis = figure.axes[0].yaxis
    assert len(labels(axis)) >= 3
    for tick, word in zip(
        axis.get_majorticklocs(),
        axis.get_major_formatter().format_ticks(axis.get_majorticklocs()),
        strict=True,
    ):
        assert 100 * tick == pytest.approx(float(word.removesuffix(" %")))


def test_figures_with_nothing_to_show_are_left_out(certified, result):
    bare = replace(result("random", "control", [1], steps=False), final_losses=[[]])
    assert list(plots(certified([bare]), [bare], None)) == ["hits"]


def test_figures_use_no_pyplot_and_change_no_settings(ten_seeds, certified, spectrum):
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots(certified(ten_seeds), ten_seeds, spectrum)
    assert dict(matplotlib.rcParams) == before


def test_styles_differ_by_kind_without_colour_and_by_generator(result):
    results = [result(f"{kind}{k}", kind, [1]) for kind in COLOURS for k in range(6)]
    styles = styles_of(results)
    looks = {(s.colour, s.marker, s.filled, s.dashes) for s in styles.values()}
    assert len(looks) == 18
    assert len({styles[f"{kind}0"].dashes for kind in COLOURS}) == 3


@pytest.mark.parametrize(
    ("budget", "unit", "curves"),
    [
        ({"evaluations": 600, "circuits": 9}, "evaluations", [[300, 600], [200, 400]]),
        ({"shots": 900}, "shots", [[450, 900], [200, 400]]),
        ({"circuits": 6}, "circuits", [[3, 6]]),  # a control has none
        ({"rows": 12_000}, "rows", [[6000, 12_000], [4000, 8000]]),
    ],
)
def test_learning_counts_along_the_budget(budget, unit, curves, certified, result):
    trained = Curve(
        evaluations=[300, 600], shots=[450, 900], circuits=[3, 6], rows=[6000, 12_000],
        mean_loss=[[0.5, 0.2]],
    )  # fmt: skip
    searched = Curve(
        evaluations=[200, 400], shots=[200, 400], rows=[4000, 8000], mean_loss=[[0.6, 0.5]]
    )
    results = [
        replace(result("a", "quantum", [1]), curve=trained),
        replace(result("random", "control", [1]), curve=searched),
    ]
    summary = replace(certified(results), budget=budget)
    figure = _learning(summary, results, styles_of(results))
    (axes,) = figure.axes
    assert axes.get_xlabel() == unit
    assert [line.get_xdata().tolist() for line in axes.lines[:-1]] == curves
    assert axes.get_xlim() == (0, curves[0][-1])


def test_trainings_without_draws_are_not_in_the_figures_of_what_was_drawn(
    certified, uncertified, result
):
    silent = replace(
        result("exact", "quantum", [0, 0]), improvements=[[], []], best_loss=[None, None],
        evaluations=100_000,
    )  # fmt: skip
    results = [silent, result("a", "quantum", [0, 1])]
    figure = _hits(certified(results), results, styles_of(results))
    assert len(figure.axes[0].lines) == 2  # "a", and the chance of uniform search
    assert figure.axes[0].get_xlim()[1] == 3000
    assert list(plots(uncertified(results), results, None)) == ["learning", "best", "draws"]
    for compared in (certified(results[:1]), uncertified(results[:1])):
        assert list(plots(compared, results[:1], None)) == ["learning", "draws"]


def test_best_networks_of_held_out_rows_are_not_drawn_with_those_of_training(
    certified, uncertified, result
):
    held = replace(result("held", "quantum", [0, 0]), held_out_loss=[0.2, 0.3])
    results = [held, result("a", "quantum", [0, 1])]
    figure = _hits(certified(results), results, styles_of(results))
    assert len(figure.axes[0].lines) == 2  # "a", and the chance of uniform search
    assert list(plots(uncertified(results[:1]), results[:1], None)) == ["learning", "draws"]
