"""Points of a sweep: grids and draws of lists and ranges, and what is refused at once."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qhyper.errors import ConfigurationError
from qhyper.run.points import Axis, Points, configured, read_points


def test_a_grid_is_every_combination() -> None:
    space = read_points({"over": {"a": [1, 2, 3], "b": {"c": ["x", [1, 2]]}}})
    assert [dict(point) for point in space] == [
        {"a": a, "b.c": c} for a, c in itertools.product([1, 2, 3], ["x", [1, 2]])
    ]
    assert space.size == 6


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"low": 1, "high": 4}, [1, 2, 3, 4]),
        ({"low": 0.0, "high": 1.0, "n": 3}, [0.0, 0.5, 1.0]),
        ({"low": 1e-3, "high": 1e-1, "log": True, "n": 3}, [0.001, 0.01, 0.1]),
        ({"low": 1, "high": 1000, "log": True, "n": 4}, [1, 10, 100, 1000]),
        ({"low": 1, "high": 3, "n": 9}, [1, 2, 3]),
    ],
)
def test_ranges_of_a_grid(given, expected) -> None:
    (axis,) = read_points({"over": {"a": given}}).axes
    assert axis.grid() == expected
    assert [type(value) for value in axis.grid()] == [type(value) for value in expected]


@pytest.mark.parametrize("method", ["random", "sobol"])
def test_more_points_begin_with_the_same(method) -> None:
    over = {"a": {"low": 0.0, "high": 1.0}, "b": ["x", "y"], "c": {"low": 1, "high": 6}}

    def points(n, seed=0):
        table = {"method": method, "points": n, "seed": seed, "over": over}
        return [dict(point) for point in read_points(table)]

    assert points(37)[:10] == points(10)
    assert points(10) != points(10, seed=1)


@pytest.mark.parametrize("method", ["random", "sobol"])
def test_draws_are_uniform_over_lists_whole_numbers_and_decades(method) -> None:
    """4,096 points, seed 0: shares within 5 standard errors of a binomial."""
    n = 4096
    space = read_points({
        "method": method, "points": n,
        "over": {
            "list": ["x", "y", "z"], "whole": {"low": 1, "high": 6},
            "log": {"low": 1e-4, "high": 1.0, "log": True},
        },
    })  # fmt: skip
    points = [dict(point) for point in space]
    for key, values, share in (("list", "xyz", 1 / 3), ("whole", range(1, 7), 1 / 6)):
        for value in values:
            found = sum(point[key] == value for point in points) / n
            assert abs(found - share) < 5 * math.sqrt(share * (1 - share) / n)
    logs = np.log10([point["log"] for point in points])
    assert logs.min() >= -4
    assert logs.max() <= 0
    assert np.histogram(logs, bins=[-4, -3, -2, -1, 0])[0] == pytest.approx([n / 4] * 4, abs=139)


def test_sobol_points_fill_space_more_evenly() -> None:
    """Of 64 points in 8 x 8 cells Sobol's first 64 have one in each (a (0, 6, 2)-net)."""
    over = {"a": {"low": 0.0, "high": 1.0}, "b": {"low": 0.0, "high": 1.0}}
    space = read_points({"method": "sobol", "points": 64, "over": over})
    points = np.array([list(point.values()) for point in space])
    cells = {tuple(cell) for cell in np.minimum((8 * points).astype(int), 7)}
    assert len(cells) == 64


@given(st.floats(0, 1), st.integers(-5, 5), st.integers(1, 9))
def test_whole_numbers_stay_in_their_range(share, low, width) -> None:
    value = Axis("a", (), low, low + width, whole=True).at(share)
    assert type(value) is int
    assert low <= value <= low + width


def test_keys_are_set_in_a_copy() -> None:
    base = {"entries": [{"name": "mlp"}], "seeds": [0]}
    found = configured(base, {"entries.mlp.options.hidden": 4, "evaluations": 10})
    assert found == {
        "entries": [{"name": "mlp", "options": {"hidden": 4}}], "seeds": [0], "evaluations": 10,
    }  # fmt: skip
    assert base == {"entries": [{"name": "mlp"}], "seeds": [0]}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "Got sweep = {}; expected a table [sweep.over] with a list or a range"),
        ({"over": {}}, "Got over = {} in [sweep]; expected a table of keys"),
        ({"ovr": {"a": [1]}}, "Unknown key of [sweep] 'ovr'. Did you mean 'over'?"),
        ({"method": "gird", "over": {"a": [1]}}, "method of a sweep 'gird'. Did you mean 'grid'?"),
        ({"points": 3, "over": {"a": [1]}}, "Got points = 3 in [sweep]; a grid has as many as"),
        ({"method": "sobol", "over": {"a": [1]}}, "Got points = None in [sweep]; expected how"),
        ({"method": "random", "points": 0, "over": {"a": [1]}}, "Got points = 0"),
        ({"method": "sobol", "points": 2, "seed": -1, "over": {"a": [1]}}, "Got seed = -1"),
        ({"seed": 7, "over": {"a": [1]}}, "Got seed = 7 in [sweep]; of a grid nothing is drawn"),
        (
            {"method": "random", "points": 2, "over": {"a": {"low": 0.0, "high": 1.0, "n": 2}}},
            "Got n = 2 for a in [sweep.over]; random draws points of the whole range",
        ),
        ({"over": {"a": []}}, "Got an empty list for a in [sweep.over]."),
        ({"over": {"a": 3}}, "Got a = 3 in [sweep.over]; expected a list, or a range such as"),
        ({"over": {"a": {"low": 3, "high": 1}}}, "expected finite numbers low < high."),
        ({"over": {"a": {"low": 0, "high": 1, "log": True}}}, "low < high, above 0 where log"),
        ({"over": {"a": {"low": 0.0, "high": math.inf}}}, "expected finite numbers"),
        ({"over": {"a": {"low": 0.0, "high": True}}}, "expected finite numbers"),
        ({"over": {"a": {"low": 0.0, "high": 1.0, "n": 1}}}, "Got n = 1 for a"),
        ({"over": {"a": {"low": 0.0, "high": 1.0}}}, "for a in a grid; expected how many points"),
        (
            {"over": {"a": {"low": 1, "high": 400}, "b": {"low": 1, "high": 300}}},
            "The sweep has 120,000 points; at most 100,000 are carried out.",
        ),
        (
            {"over": {"a": {"low": 0, "high": 10**30}, "b": {"low": 0.0, "high": 1.0, "n": 10**9}}},
            "points; at most 100,000 are carried out.",
        ),
    ],
)
def test_what_is_no_space_is_refused(table, message) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_points(table)
    assert message in str(refused.value)


def test_a_space_of_one_point() -> None:
    assert list(Points([Axis("a", (5,))])) == [{"a": 5}]


def test_an_option_may_be_called_as_a_part_of_a_range() -> None:
    (axis,) = read_points({"over": {"options": {"n": [1, 2]}}}).axes
    assert (axis.key, axis.values) == ("options.n", (1, 2))
    (axis,) = read_points({"over": {"options": {"n": {"low": 1, "high": 3}}}}).axes
    assert (axis.key, axis.grid()) == ("options.n", [1, 2, 3])


@pytest.mark.parametrize("table", [{"low": 1, "hihg": 3}, {"low": 1, "high": 3, "step": 1}, {}])
def test_a_range_with_a_strange_word_is_refused(table) -> None:
    with pytest.raises(ConfigurationError, match=r"Got draws = .* expected a list, or a range"):
        read_points({"over": {"draws": table}})


def test_the_ends_of_a_range_are_its_own() -> None:
    (axis,) = read_points({"over": {"a": {"low": 0.5, "high": 0.99999999, "n": 3}}}).axes
    assert axis.grid()[-1] == 0.99999999
