"""The three schemes on 36 weights: the signed problem against others, and a small run."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from classical.counting_search import CountingSearch
from experiments.schemes import outcome, study
from experiments.schemes.signed import SignedObjective, signs
from experiments.study import find
from qhyper import BinaryNetwork, load
from qhyper.data.samples import Samples
from qhyper.data.sets import availability
from qhyper.streams import Streams
from qhyper.targets.packed.target import PackedTarget
from qhyper.threads import one_torch_thread

needs_mnist = pytest.mark.skipif(
    not availability()["mnist"].startswith("found"),
    reason="MNIST: QHYPER_DATA is not set",
)


@pytest.fixture
def rows():
    rng = np.random.default_rng(5)
    return Samples(rng.integers(-2, 3, (41, 4)) / 2, rng.integers(0, 2, 41))


@pytest.mark.parametrize("n", [40, 41])
def test_the_signed_objective_is_that_of_packed_and_layered_networks(rows, n):
    data = signs(rows.take(slice(n)))
    bits = np.random.default_rng(0).integers(0, 2, (3, 200, 36), dtype=np.uint8)
    ours, packed = SignedObjective(data), PackedTarget((4, 6, 2), scale=1).objective(data)
    losses, wrong = ours.wrong_weights(bits)
    np.testing.assert_allclose(losses, BinaryNetwork((4, 6, 2)).objective(data)(bits), atol=1e-12)
    np.testing.assert_allclose(ours(bits), losses, atol=1e-15)
    expected_losses, expected = packed.wrong_weights(bits)
    np.testing.assert_allclose(losses, expected_losses, atol=1e-12)
    assert (wrong == expected).all()
    assert 0 < wrong[..., :24].mean() < wrong[..., 24:].mean() < 0.9  # both layers have some
    assert ours.evaluations == 2 * 600


def test_signs_are_minus_and_plus_one_and_that_of_zero_plus(rows):
    assert (signs(rows).x == np.where(rows.x < 0, -1, 1)).all()
    assert (signs(rows).y == rows.y).all()


@needs_mnist
@pytest.mark.parametrize(("data", "standing"), [("toy", 20), ("mnist", 10)])
def test_wrong_weights_alone_soon_stand_still(data, standing):
    """On all rows, seeds 0 to 19: nothing counts as wrong, or flips of what does lower no loss."""
    objective = SignedObjective(signs(load(data).train))
    search = CountingSearch(36, children=16, p=0.1, p_all=0.0)
    generations = [
        found.bits[:, 0]
        for found in search.search(
            objective, evaluations=17 * 40, rng=Streams(range(20))(0, "search")
        )
    ]
    assert all((bits == generations[10]).all() for bits in generations[10:])
    _losses, wrong = objective.wrong_weights(generations[10])
    assert (wrong.sum(axis=1) == 0).sum() == standing
    _, change = objective.flips(generations[10])
    assert (change[wrong] >= 0).all()


@needs_mnist
def test_tables_picture_and_numbers_of_the_quick_setting(certified_once, tmp_path):
    with one_torch_thread():
        results = {name: work() for name, work in study.parts(quick=True).items()}
    text = study.tables(results)
    lines = text.splitlines()
    for problem, title in outcome.PROBLEMS.items():
        minimum, entries = (results[problem][key] for key in ("minimum", "entries"))
        first = next(k for k, line in enumerate(lines) if line.startswith(f"### {title}: "))
        assert list(entries) == outcome.entries(problem)
        for row, (name, found) in zip(lines[first + 4 :], entries.items(), strict=False):
            assert min(found["best"]) >= minimum - 1e-12
            met = sum(at is not None for at in found["hit_at"])
            assert met == outcome.hits(found, minimum)
            assert row.startswith(f"| {name} | ")
            assert f"| {met} of 3 (" in row
            for which in ("best", "final"):
                assert f"| {np.median(100 * (np.array(found[which]) / minimum - 1)):.2f} % |" in row
    study.draw(results, tmp_path)
    ElementTree.parse(tmp_path / "regret.svg")
    measured = study.measured(results)
    for quick in (True, False):
        assert set(find("schemes").expectations(quick)) <= set(measured)
    for name, expected in find("schemes").expectations(quick=True).items():
        assert expected.holds(measured[name]), name
