from dataclasses import replace

import numpy as np
import pytest

from qhyper.submit.draws import (
    DrawsComparison,
    Marginals,
    ReplicaDraws,
    ScoredDraws,
    Variation,
)
from qhyper.submit.figures import REPLICAS, _losses, _marginals, submission_figures


@pytest.fixture
def outcome():
    """For one replica of three bits."""
    measured = ScoredDraws(100, 1.5, 0.1, 1.0, 0, 0.0, [70, 0, 30])
    simulated = ScoredDraws(1000, 1.5, 0.1, 1.0, 0, 0.0, [900, 100, 0])
    marginals = Marginals(
        measured=[0.9, 0.1, 0.5], simulated=[0.95, 0.0, 0.5], error=[0.03, 0.0, 0.05],
        mean=0.05, mean_noise=0.02, largest=0.1, largest_noise=0.05,
    )  # fmt: skip
    replica = ReplicaDraws(measured, simulated, None, marginals, Variation(0.3, 0.1))
    return DrawsComparison(0.5, [1.0, 2.0, 3.0, 4.0], [replica])


def test_figures_show_shares_and_differences(outcome):
    replicas = outcome.replicas
    (axes,) = _losses(outcome, replicas, ["seed 0"]).axes
    simulator, device = (patch.get_data().values for patch in axes.patches)
    np.testing.assert_allclose(device, [0.7, 0, 0.3])
    np.testing.assert_allclose(simulator, [0.9, 0.1, 0])
    assert axes.lines[0].get_xdata() == [0.5, 0.5]
    assert axes.get_xlim()[0] < 0.5
    (axes,) = _marginals(replicas, ["seed 0"]).axes
    np.testing.assert_allclose(axes.patches[0].get_data().values, [0.06, 0, 0.1])
    _, ones, zeros = axes.lines
    np.testing.assert_allclose(ones.get_xydata(), [[0, -0.05], [2, 0.0]])
    np.testing.assert_allclose(zeros.get_xydata(), [[1, 0.1]])
    assert axes.get_ylim()[1] > 0.1


@pytest.mark.parametrize("replicas", [1, 2, 20])
def test_figures_have_a_row_a_seed_up_to_a_limit(replicas, outcome):
    outcome = replace(outcome, replicas=outcome.replicas * replicas)
    drawn = submission_figures(outcome, list(range(replicas)))
    assert [plot.title for plot in drawn] == ["Losses of the draws", "Each bit"]
    assert drawn == submission_figures(outcome, list(range(replicas)))
    for svg in (plot.svg for plot in drawn):
        assert svg.startswith('<svg role="img"')
        assert "currentColor" in svg
        assert len(svg) < 200_000
    shown = outcome.replicas[:REPLICAS]
    assert len(_marginals(shown, [""] * len(shown)).axes) == min(replicas, 8)
