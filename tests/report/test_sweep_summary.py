"""Sweeps: what compares and is ranked, how settings are called, and which of them matter."""

import itertools

import numpy as np
import pytest

from qhyper.report.sweep_effects import effects, groups, mean_shares
from qhyper.report.sweep_summary import (
    rankings,
    short_names,
    summarise_points,
    with_short_names,
)


def row(point, loss, *, seed=0, entry="mlp", path=None, run="seeds-0-1", **told):
    path = path or f"points/{sorted(point.items())}"
    return {
        "point": point, "path": path, "run": f"/sweep/{path}/{run}", "problem": "toy",
        "entry": entry, "kind": "classical", "seed": seed, "final_loss": float(loss),
        "best_loss": float(loss), "hit": None, **told,
    }  # fmt: skip


def points_of(losses, values):
    """Summaries of losses [point, seed], the values of their settings by name."""
    points = [dict(zip(values, point, strict=True)) for point in zip(*values.values(), strict=True)]
    return summarise_points(
        [
            row(point, loss, seed=seed)
            for point, of_seeds in zip(points, losses, strict=True)
            for seed, loss in enumerate(of_seeds)
        ]
    )


def shares_of(losses, values):
    return {effect.key: effect.share for effect in effects(points_of(losses, values))}


def grid(*sizes):
    """Levels of every setting at every point of a grid: one array a setting."""
    return np.array(list(itertools.product(*map(range, sizes)))).T


def omega_squared(losses, at, others, least=0.0):
    """Hays' formula from cell means of a balanced grid; what the points have left is the error."""
    points, seeds = losses.shape
    mean = losses.mean()

    def between(levels):
        found = [losses[levels == level] for level in set(levels)]
        return sum(part.size * (part.mean() - mean) ** 2 for part in found), len(found) - 1

    total = ((losses - mean) ** 2).sum()
    of_points = seeds * ((losses.mean(axis=1) - mean) ** 2).sum()
    explained = [between(levels) for levels in (at, *others)]
    left = of_points - sum(ss for ss, _ in explained)
    error = left / (points - 1 - sum(df for _, df in explained))
    ss, df = explained[0]
    return max(least, (ss - df * error) / (total + error))


def test_shares_of_an_additive_model_are_those_of_its_variances() -> None:
    rng = np.random.default_rng(0)
    a, b = grid(4, 5)
    of_a, of_b, of_seed = rng.normal(size=4), rng.normal(size=5), rng.normal(size=3)
    losses = (of_a[a] + of_b[b])[:, None] + of_seed
    found = shares_of(losses, {"a": a.tolist(), "b": [f"value {x}" for x in b]})
    whole = of_a.var() + of_b.var() + of_seed.var()
    assert found == pytest.approx({"a": of_a.var() / whole, "b": of_b.var() / whole}, abs=1e-12)


def test_shares_of_a_grid_are_hays_omega_squared() -> None:
    rng = np.random.default_rng(1)
    a, b, c = grid(3, 4, 3)
    losses = (0.4 * a - 0.2 * b + 0.3 * a * b)[:, None] + rng.normal(size=(36, 5))
    found = shares_of(losses, {"a": a.tolist(), "b": b.tolist(), "c": c.tolist()})
    expected = {
        "a": omega_squared(losses, a, (b, c)),
        "b": omega_squared(losses, b, (a, c)),
        "c": omega_squared(losses, c, (a, b)),
    }
    assert found == pytest.approx(expected, abs=1e-12)
    assert 0.1 < found["a"] < 1


@pytest.mark.parametrize(("seeds", "most"), [(1, 0.08), (3, 0.03)])
def test_noise_is_explained_by_nothing(seeds, most) -> None:
    rng = np.random.default_rng(2)
    a, b = grid(4, 6)
    found, unclipped = [], []
    for _ in range(200):
        losses = rng.normal(size=(24, seeds))
        values = {"a": a.tolist(), "b": b.tolist(), "c": rng.random(24).tolist()}
        found.append(shares_of(losses, values))
        unclipped.append(omega_squared(losses, a, (b,), least=-1.0))
    assert abs(np.mean(unclipped)) < 3 * np.std(unclipped) / 200**0.5
    for key in "abc":  # clipped at 0, so a little above it: some 0.4 of a standard deviation
        assert np.mean([shares[key] for shares in found]) < most


def test_what_differs_between_points_is_no_effect_however_many_seeds_see_it() -> None:
    rng = np.random.default_rng(3)
    a, b = grid(3, 8)
    found = []
    for _ in range(100):
        of_points = rng.normal(size=(24, 1))  # the same for all seeds
        losses = of_points + 0.01 * rng.normal(size=(24, 5))
        found.append(shares_of(losses, {"a": a.tolist(), "b": b.tolist()})["a"])
    assert np.mean(found) < 0.05


def test_a_drawn_range_counts_in_groups_and_a_list_does_not() -> None:
    rng = np.random.default_rng(4)
    rates = rng.random(40).tolist()
    assert np.bincount(groups(rates)).tolist() == [8] * 5
    order = np.argsort(rates)
    assert (np.diff(groups(rates)[order]) >= 0).all()
    assert groups(["b", "a", "c", "a"]).tolist() == [1, 0, 2, 0]
    losses = (10 * np.array(rates))[:, None] + np.zeros(2)
    # a line over [0, 1] in five equal parts: between them lies 1 - 1/25 of its variance
    assert shares_of(losses, {"rate": rates})["rate"] == pytest.approx(0.96, abs=0.03)


def test_a_range_of_few_points_is_cut_into_few_groups() -> None:
    rng = np.random.default_rng(6)
    rates, kind = np.sort(rng.random(12)), np.arange(12) % 3
    losses = (np.arange(12) // 3 + 2 * kind)[:, None] + np.zeros(2)  # four groups of three
    found = shares_of(losses, {"rate": rates.tolist(), "kind": [f"{x}" for x in kind]})
    assert found == pytest.approx({"rate": 1.25 / (1.25 + 8 / 3), "kind": 8 / 3 / (1.25 + 8 / 3)})


def test_too_few_points_or_of_a_value_tell_nothing() -> None:
    rng = np.random.default_rng(5)
    a, b = grid(3, 3)
    assert shares_of(rng.normal(size=(9, 8)), {"a": a.tolist(), "b": b.tolist()}) == {}
    a, b = grid(2, 6)
    found = shares_of(rng.normal(size=(12, 2)), {"a": a.tolist(), "b": [f"{x}" for x in b]})
    assert set(found) == {"a"}  # of b there are two points each
    assert shares_of(np.ones((12, 2)), {"a": a.tolist()}) == {}


def test_settings_that_change_together_have_no_share() -> None:
    a, b = grid(3, 8)
    values = {"a": a.tolist(), "same": (10 * a).tolist(), "b": b.tolist()}
    losses = (1.0 * a + b)[:, None] + np.zeros(2)
    assert set(shares_of(losses, values)) == {"b"}


def test_mean_shares_are_over_the_entries() -> None:
    a, b = grid(3, 4)
    rows = [
        row({"a": int(i), "b": int(j)}, loss, entry=entry)
        for i, j in zip(a, b, strict=True)
        for entry, loss in (("mlp", i), ("product", j))
    ]
    found = mean_shares(effects(summarise_points(rows)))
    assert found == pytest.approx({"a": 0.5, "b": 0.5})


# -- rankings --------------------------------------------------------------------------------------


def test_ranks_are_within_a_problem_and_a_budget() -> None:
    rows = [
        row({"evaluations": budget, "rate": rate}, loss, entry=entry)
        for budget, rate, entry, loss in (
            (100, 0.1, "mlp", 0.4), (100, 0.2, "mlp", 0.3), (100, 0.1, "product", 0.35),
            (1000, 0.1, "mlp", 0.2), (1000, 0.2, "product", 0.1),
        )
    ]  # fmt: skip
    rows.append(row({"evaluations": 100, "rate": 0.1}, 0.01) | {"problem": "zoo", "entry": "x"})
    found = rankings(summarise_points(rows))
    assert [(each.problem, each.budget) for each in found] == [
        ("toy", {"evaluations": 1000}), ("toy", {"evaluations": 100}), ("zoo", {"evaluations": 100})
    ]  # fmt: skip
    small = found[1]
    assert [each.final_loss.median for each in small.points] == [0.3, 0.35, 0.4]
    assert [(each.entry, each.point["rate"]) for each in small.best] == [
        ("mlp", 0.2), ("product", 0.1)
    ]  # fmt: skip
    assert small.tried == {"mlp": 2, "product": 1}


def test_without_a_budget_among_the_settings_there_is_one_ranking() -> None:
    (found,) = rankings(summarise_points([row({"rate": 0.1}, 1), row({"rate": 0.2}, 2)]))
    assert found.budget == {}


def test_many_budgets_have_one_order_that_is_no_ranking() -> None:
    rows = [row({"evaluations": n}, 1 / n) for n in range(1, 8)]
    (found,) = rankings(summarise_points(rows))
    assert found.budget is None
    assert len(found.points) == 7
    assert len(rankings(summarise_points(rows[:6]))) == 6


def test_a_point_knows_all_its_runs_and_losses() -> None:
    rows = [
        row({"rate": 0.1}, loss, seed=seed, path="points/p", run=run)
        for seed, loss, run in ((0, 3, "seeds-0-1"), (1, 1, "seeds-0-1"), (2, 2, "seeds-2"))
    ]
    (found,) = summarise_points(rows)
    assert found.runs == ["points/p/seeds-0-1", "points/p/seeds-2"]
    assert found.losses == {0: 3, 1: 1, 2: 2}
    assert found.final_loss.median == 2


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        (["evaluations", "entries.mlp.training.learning_rate"], ["evaluations", "learning_rate"]),
        (
            ["entries.mlp.training.rate", "entries.product.training.rate"],
            ["mlp.rate", "product.rate"],
        ),
        (["entries.mlp.options.depth", "entries.mlp.training.depth"],
         ["options.depth", "training.depth"]),
        (["shots", "entries.mlp.options.shots"], ["shots", "options.shots"]),
        (["a.b.x", "b.a.x", "a.a.x"], ["a.b.x", "b.a.x", "a.a.x"]),
    ],
)  # fmt: skip
def test_names_are_as_short_as_they_can_be_told_apart(keys, names) -> None:
    found = short_names(keys)
    assert list(found.values()) == names
    assert len(set(names)) == len(keys)


def test_the_same_setting_of_other_entries_has_one_name() -> None:
    mlp, product = "entries.mlp.training.rate", "entries.product.training.rate"
    rows = [
        row({mlp: 0.1, product: None, "entries.*.training.draws": 8}, 1),
        row({mlp: None, product: 0.2, "entries.*.training.draws": 8}, 2, entry="product"),
    ]
    found = with_short_names(summarise_points(rows))
    assert [each.point for each in found] == [
        {"rate": 0.1, "draws": 8}, {"rate": 0.2, "draws": 8}
    ]  # fmt: skip


def test_settings_that_meet_in_an_entry_stay_apart() -> None:
    every, mlp = "entries.*.training.rate", "entries.mlp.training.rate"
    (found,) = with_short_names(summarise_points([row({every: 0.1, mlp: 0.2}, 1)]))
    assert found.point == {"*.rate": 0.1, "mlp.rate": 0.2}


def test_points_without_all_seeds_stand_last_and_have_no_place() -> None:
    rows = [
        {"point": {"rate": rate}, "path": f"points/{rate}", "run": f"points/{rate}/seeds",
         "problem": "one", "entry": "mlp", "kind": "classical", "seed": seed, "final_loss": loss,
         "best_loss": loss, "hit": None}
        for rate, loss, seeds in ((0.1, 5.0, 4), (0.2, 1.0, 1), (0.3, 6.0, 4))
        for seed in range(seeds)
    ]  # fmt: skip
    (found,) = rankings(summarise_points(rows))
    assert [each.point["rate"] for each in found.points] == [0.1, 0.3, 0.2]
    assert [found.place(each) for each in found.points] == [1, 2, None]
    assert [each.point["rate"] for each in found.best] == [0.1]


def test_an_option_that_is_called_as_a_budget_is_none() -> None:
    rows = [
        {"point": {"entries.*.options.shots": shots}, "path": f"points/{shots}",
         "run": f"points/{shots}/seeds", "problem": "one", "entry": "mine", "kind": "quantum",
         "seed": 0, "final_loss": 1.0, "best_loss": 1.0, "hit": None}
        for shots in (10, 100)
    ]  # fmt: skip
    (found,) = rankings(with_short_names(summarise_points(rows)))
    assert (found.budget, len(found.points)) == ({}, 2)
