"""Errors: a guess at what was meant is made only where something is near."""

import pytest

from qhyper.errors import nearest, unknown

ARRAYS = ("x", "y", "x_test", "y_test")
DATA = ("cifar-10", "cifar-100", "digits", "fashion-mnist", "gaussians", "mnist", "toy")
SETTINGS = ("data", "layers", "learning_rate", "seeds", "test", "evaluations")


@pytest.mark.parametrize(
    ("got", "known", "near"),
    [
        ("X", ARRAYS, "x"),
        ("test_x", ARRAYS, "x_test"),
        ("test_y", ARRAYS, "y_test"),
        ("Y-Test", ARRAYS, "y_test"),
        ("xtest", ARRAYS, "x_test"),
        ("images", ARRAYS, None),
        ("target", ARRAYS, None),
        ("data", ARRAYS, None),
        ("z", ARRAYS, None),
        ("tyo", DATA, "toy"),
        ("MNIST", DATA, "mnist"),
        ("fashion", DATA, "fashion-mnist"),
        ("digit", DATA, "digits"),
        ("gaussian", DATA, "gaussians"),
        ("iris", DATA, None),
        ("moons", DATA, None),
        ("wine", DATA, None),
        ("learning-rate", SETTINGS, "learning_rate"),
        ("dta", SETTINGS, "data"),
        ("steps", SETTINGS, None),
        ("labels", SETTINGS, None),
        ("lr", SETTINGS, None),
        ("cy", ("cx", "cz"), "cz"),
        ("toe", (), None),
        ("", SETTINGS, None),
    ],
)
def test_only_what_is_near_is_guessed(got, known, near):
    assert nearest(got, known) == near


def test_an_unknown_name_comes_with_the_nearest_one_and_with_all():
    told = str(unknown("data set", "tooy", DATA))
    assert told == f"Unknown data set 'tooy'. Did you mean 'toy'? Known: {', '.join(DATA)}."
    assert str(unknown("data set", "iris", DATA)) == (
        f"Unknown data set 'iris'. Known: {', '.join(DATA)}."
    )
