"""Generators and controls by name."""

import pytest

from qhyper.config import COMPARED
from qhyper.errors import ConfigurationError
from qhyper.registry import (
    CONTROLS,
    GENERATORS,
    build_control,
    build_generator,
    is_control,
    load_object,
    names,
)
from qhyper.target.space import WeightSpace


def test_what_is_compared_by_default_is_registered() -> None:
    assert set(COMPARED) <= set(names(GENERATORS)) | set(names(CONTROLS))


def test_a_class_is_accepted_wherever_a_name_is() -> None:
    generator = build_generator("classical.bernoulli:Bernoulli", 5, seeds=[1, 2])
    assert generator.replicas == 2
    assert is_control("classical.annealing:SimulatedAnnealing")


def test_options_and_space_reach_the_generator() -> None:
    space = WeightSpace((4, 6, 2))
    deep = build_generator("quantum", 36, space=space, options={"depth": 3, "order": "unit"})
    assert deep.n_parameters == 2 * 36 * 3
    assert build_generator("categorical", 36, space=space).n_bits == 36


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_generator("bernouli", 4), "'bernouli'. Did you mean 'bernoulli'"),
        (lambda: build_generator("quantum", 4, options={"dept": 2}), "Did you mean 'depth'"),
        (lambda: build_generator("mlp", 4, options={"seeds": 2}), "option for mlp: 'seeds'"),
        (lambda: build_control("annealing", 4, {"t_star": 2}), "Did you mean 't_start'"),
        (lambda: build_generator("nowhere:Thing", 4), "Cannot load 'nowhere:Thing'"),
        (lambda: load_object("classical.bernoulli:B"), "Cannot load 'classical.bernoulli:B'"),
        (lambda: build_generator("builtins:dict", 4), "is not a class or function that builds"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_refused(call, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        call()
