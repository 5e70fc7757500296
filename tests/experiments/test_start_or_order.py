"""The study of starts and orders: its analysis of variance, and a quick run end to end."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from classical.straight_through import StraightThroughNetwork
from classical.supervised import accuracy, fit_classifier
from experiments.oey import PRECISION, thinned
from experiments.start_or_order import study, tables
from experiments.start_or_order.variance import sums_of_squares, two_way, without_one_row
from experiments.study import find
from qhyper import load
from qhyper.data.sets import availability
from qhyper.errors import ConfigurationError

needs_mnist = pytest.mark.skipif(
    not availability()["mnist"].startswith("found"),
    reason="MNIST: QHYPER_DATA is not set",
)

ROWS, COLUMNS = np.array([-2.0, 0.0, 5.0]), np.array([1.0, -1.0, 3.0, 0.5])


def drawn(rng, sd_rows, sd_columns, sd_rest, shape=(6, 8)):
    rows, columns = rng.normal(0, sd_rows, (shape[0], 1)), rng.normal(0, sd_columns, shape[1])
    return rows + columns + rng.normal(0, sd_rest, shape)


def test_sums_of_squares_by_brute_force():
    table = drawn(np.random.default_rng(0), 1, 2, 0.5, (4, 3))
    found, of = sums_of_squares(table), dict.fromkeys(("rows", "columns", "remainder"), 0.0)
    mean = sum(table[i, j] for i in range(4) for j in range(3)) / 12
    for i in range(4):
        for j in range(3):
            row, column = sum(table[i]) / 3, sum(table[:, j]) / 4
            of["rows"] += (row - mean) ** 2
            of["columns"] += (column - mean) ** 2
            of["remainder"] += (table[i, j] - row - column + mean) ** 2
    assert found == pytest.approx(of)
    assert sum(found.values()) == pytest.approx(12 * table.var())
    stacked = sums_of_squares(np.stack([table, 2 * table]))
    assert stacked["rows"] == pytest.approx([of["rows"], 4 * of["rows"]])


def test_a_sum_of_rows_and_columns_has_no_remainder():
    """The components are the sample variances of the effects that the table is made of."""
    found = two_way(7 + ROWS[:, None] + COLUMNS)
    assert found.remainder.variance == pytest.approx(0, abs=1e-12)
    assert found.rows.variance == pytest.approx(ROWS.var(ddof=1))
    assert found.columns.variance == pytest.approx(COLUMNS.var(ddof=1))
    total = ROWS.var(ddof=1) + COLUMNS.var(ddof=1)
    assert found.total == pytest.approx(total)
    assert found.rows.share == pytest.approx(ROWS.var(ddof=1) / total)
    assert found.rows.against_low == pytest.approx(1)


def test_turning_the_table_turns_the_answer():
    table = drawn(np.random.default_rng(1), 1, 0.3, 0.5)
    one, other = two_way(table), two_way(table.T)
    assert one.rows.variance == pytest.approx(other.columns.variance)
    assert (one.rows.f, one.rows.p) == pytest.approx((other.columns.f, other.columns.p))
    assert one.rows.against_low == pytest.approx(other.columns.against_low)
    assert one.rows.low == pytest.approx(other.columns.low, abs=0.01)  # of 100,000 draws


def test_shares_without_one_row_are_those_of_smaller_tables():
    table = drawn(np.random.default_rng(5), 1, 0.3, 0.5, (4, 5))
    table[0] += 10  # a single row that makes the effect
    found = without_one_row(table)
    for row, share in enumerate(found):
        fewer = np.array([one for k, one in enumerate(table) if k != row])
        assert share == pytest.approx(two_way(fewer).rows.share)
    assert found.argmin() == 0


def test_a_row_that_is_left_out_leaves_two():
    message = r"shape \(1, 3\); expected finite values \[row, column\], two or more of each"
    with pytest.raises(ConfigurationError, match=message):
        without_one_row([[1.0, 2.0, 4.0], [2.0, 1.0, 3.0]])


def test_components_and_intervals_of_known_effects():
    """Of 400 tables, seed 2: unbiased within 5 standard errors; 95 % intervals cover 92 to 100 %.

    The binomial's standard error of a coverage of 0.95 is 0.011; a component near 0 is covered
    more often.
    """
    rng = np.random.default_rng(2)
    truth = np.array([1.0, 0.25, 0.64])
    found, inside, exact = [], [], []
    for _ in range(400):
        table = drawn(rng, *np.sqrt(truth), (10, 10))
        squares = sums_of_squares(table)
        rest = squares["remainder"] / 81
        found.append(
            [(squares["rows"] / 9 - rest) / 10, (squares["columns"] / 9 - rest) / 10, rest]
        )
        with pytest.MonkeyPatch.context() as patch:  # few draws do, for coverage
            patch.setattr("experiments.start_or_order.variance.DRAWS", 2000)
            patch.setattr("experiments.start_or_order.variance.PERMUTATIONS", 1)
            analysis = two_way(table)
        parts = analysis.rows, analysis.columns, analysis.remainder
        shares = truth / truth.sum()
        inside.append(
            [part.low <= share <= part.high for part, share in zip(parts, shares, strict=True)]
        )
        exact.append(analysis.rows.against_low <= 1 / 1.64 <= analysis.rows.against_high)
    error = np.std(found, axis=0) / np.sqrt(400)
    assert (abs(np.mean(found, axis=0) - truth) <= 5 * error).all()
    assert (np.mean(inside, axis=0) >= 0.92).all()
    assert 0.95 - 5 * 0.011 <= np.mean(exact) <= 0.95 + 5 * 0.011


def test_permutations_agree_with_f_where_effects_are_normal():
    table = drawn(np.random.default_rng(3), 0.3, 1, 1)
    found = two_way(table)
    for effect in (found.rows, found.columns):  # 9,999 permutations: 5 standard errors and 0.01
        assert effect.p_permutation == pytest.approx(effect.p, abs=0.02 + 0.01)
    assert found.columns.p < 1e-3 < found.rows.p


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[1.0, 2.0]], r"shape \(1, 2\); expected finite values \[row, column\], two or more"),
        ([1.0, 2.0], r"shape \(2,\); expected finite values"),
        ([[1.0, np.nan], [2.0, 3.0]], "expected finite values"),
        (np.full((3, 3), 0.5), "All values of the table are 0.5: no variance to analyse"),
    ],
)
def test_refuses_what_has_no_variance(table, message):
    with pytest.raises(ConfigurationError, match=message):
        two_way(table)


@pytest.fixture(scope="module")
def results(certified_once):
    """As they are read from files."""
    done = {name: work() for name, work in study.parts(quick=True).items()}
    return json.loads(json.dumps(done))


@needs_mnist
def test_the_quick_setting_gives_tables_pictures_and_numbers(results, tmp_path):
    text = study.tables(results)
    assert text.count("### ") == 7
    assert "nan" not in text
    study.draw(results, tmp_path)
    drawn = sorted(path.name for path in tmp_path.glob("*.svg"))
    assert drawn == ["landscape.svg", "shares.svg", "trainings.svg"]
    for name in drawn:
        ElementTree.parse(tmp_path / name)
    numbers = study.measured(results)
    assert np.isfinite(list(numbers.values())).all()
    assert set(find("start-or-order").expectations(quick=False)) <= set(numbers)
    expected = find("start-or-order").expectations(quick=True)
    assert {name for name, bound in expected.items() if not bound.holds(numbers[name])} == set()


@needs_mnist
def test_cells_are_trainings_of_that_start_and_order(results):
    size = study.QUICK
    data = thinned(load("mnist"), size.thinned)
    for start, order in ((0, 0), (3, 1)):
        alone = StraightThroughNetwork((4, 6, 2), seeds=(start,), dtype=PRECISION)
        before = accuracy(alone, data.test)
        fit_classifier(
            alone, data.train, epochs=size.epochs, batch=75, learning_rate=size.learning_rate,
            orders=(order,),
        )  # fmt: skip
        found = results["mnist"]
        assert found["epochs"][0][start][order] == before
        assert found["epochs"][-1][start][order] == accuracy(alone, data.test)
        loss = float(study.NETWORK.losses(alone.bits(), data.train)[0])
        assert found["loss"][start][order] == pytest.approx(loss)
        minimum = found["landscape"]["certificate"]["minimum_loss"]
        assert found["regret"][start][order] == pytest.approx(loss - minimum)


@needs_mnist
def test_shares_of_networks_below(results):
    """Against 20,000 uniform networks, seed 4, within 5 sigma."""
    data = thinned(load("mnist"), study.QUICK.thinned)
    bits = np.random.default_rng(4).integers(2, size=(20_000, 36), dtype=np.uint8)
    uniform = study.NETWORK.objective(data.train)(bits)
    found = results["mnist"]
    for loss, share in zip(np.ravel(found["loss"]), np.ravel(found["share_below"]), strict=True):
        sigma = np.sqrt(share * (1 - share) / 20_000)
        assert abs((uniform < loss - 1e-9).mean() - share) <= 5 * sigma


def test_both_settings_have_the_same_parts_and_the_tables_know_them():
    assert list(study.parts(True)) == list(study.parts(False)) == list(tables.DATA)
