"""What is spent, and how many steps a budget has."""

import pytest

from qhyper.errors import ConfigurationError
from qhyper.spending import Budget, Spending


def test_spendings_add_up():
    assert Spending(1, 20, 300) + Spending(4, 5, 6) == Spending(5, 25, 306)
    assert Spending() == Spending(0, 0, 0)


def test_a_spending_is_readable():
    text = "1,234,567 evaluations, 20 shots and 3,000 circuits"
    assert str(Spending(1_234_567, 20, 3000)) == text


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        (Budget(300_000), "300,000 evaluations"),
        (Budget(circuits=7), "7 circuits"),
        (Budget(5, 6, 7000), "5 evaluations and 6 shots and 7,000 circuits"),
    ],
)
def test_a_budget_is_readable(budget, text):
    assert str(budget) == text


def test_only_limits_that_are_set_count():
    assert Budget(shots=5).limits() == {"shots": 5}
    assert Budget(1, 2, 3).limits() == {"evaluations": 1, "shots": 2, "circuits": 3}


@pytest.mark.parametrize(
    ("budget", "steps"),
    [
        (Budget(100), 10),
        (Budget(109), 10),
        (Budget(110), 11),
        (Budget(9), 0),
        (Budget(100, circuits=8), 4),
        (Budget(100, 60, 1000), 3),
        (Budget(shots=20), 1),
        (Budget(circuits=1), 0),
    ],
)
def test_whole_steps_fit_in_the_limit_that_is_met_first(budget, steps):
    cost = Spending(evaluations=10, shots=20, circuits=2)
    assert budget.steps(cost) == steps
    spent = Spending()
    for _ in range(steps):
        spent += cost
    more = spent + cost
    assert all(getattr(spent, name) <= limit for name, limit in budget.limits().items())
    assert any(getattr(more, name) > limit for name, limit in budget.limits().items())


def test_rows_are_evaluations_times_those_of_the_data():
    assert Spending(3, 4, 5).on_rows(10) == Spending(3, 4, 5, 30)
    assert Spending(3, 4, 5, 7).on_rows(2) == Spending(3, 4, 5, 6)


@pytest.mark.parametrize("every", [1, 2, 5, 100])
@pytest.mark.parametrize("more", [0, 1, 3, 25])
@pytest.mark.parametrize("each", [1, 4, 10])
def test_what_comes_after_every_so_many_steps_and_after_the_last_is_in_the_limit(each, more, every):
    def spent(steps):
        return steps * each + -(-steps // every) * more

    for limit in range(1, 90):
        steps = Budget(limit).steps(Spending(each), every=every, besides=Spending(more))
        assert spent(steps) <= limit < spent(steps + 1)


def test_a_cost_that_meets_no_limit_has_no_number_of_steps():
    assert Budget(100, 100).steps(Spending(circuits=1)) is None
    assert Budget(100, circuits=5).steps(Spending(circuits=1)) == 5
    assert Budget(1).steps(Spending()) is None


@pytest.mark.parametrize(
    "limits", [{}, {"shots": 0}, {"evaluations": 5, "circuits": -1}, {"rows": 0}]
)
def test_no_limit_and_limits_below_one_are_refused(limits):
    message = (
        "at least one of evaluations, shots, circuits and rows, each a whole number of 1 or more"
    )
    with pytest.raises(ConfigurationError, match=message) as caught:
        Budget(**limits)
    assert f"Got the budget {limits}" in str(caught.value)
