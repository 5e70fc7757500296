"""A user's function as a target."""

import importlib
import sys

import numpy as np
import pytest

from qhyper import registry
from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError, UnsuitableError
from qhyper.targets.callable import CallableTarget
from qhyper.targets.layout import Block, Layout


def ones(bits):
    """Ones, less ten for the string of all ones."""
    return bits.sum(axis=1) - 10.0 * bits.all(axis=1)


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "usersloss.py").write_text(
        "def count(bits):\n    return bits.sum(1)\n\nseven = 7\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield "usersloss"
    sys.modules.pop("usersloss", None)


def test_a_function_is_an_objective_of_bits_without_structure():
    target = CallableTarget(function=ones, bits=5)
    objective = target.objective()
    assert (target.n_bits, target.name, objective.name, objective.loss) == (5, *["ones"] * 3)
    assert target.layout == objective.layout == Layout((Block("bits", (5,)),))
    strings = all_bitstrings(5)
    np.testing.assert_array_equal(
        objective(strings.reshape(2, 16, 5)), ones(strings).reshape(2, 16)
    )
    assert (objective.evaluations, objective.rows, objective.n_rows) == (32, 32, 1)
    assert target.objective().evaluations == 0  # each has a count of its own


def test_flips_are_evaluated_and_counted():
    objective, strings = CallableTarget(function=ones, bits=4).objective(), all_bitstrings(4)
    losses, differences = objective.flips(strings)
    np.testing.assert_array_equal(losses, ones(strings))
    for bit in range(4):
        other = strings ^ np.eye(4, dtype=np.uint8)[bit]
        np.testing.assert_array_equal(differences[:, bit], ones(other) - ones(strings))
    assert objective.flip_evaluations == 5
    assert (objective.evaluations, objective.rows) == (16 * 5, 16 * 5)


def test_it_is_certified_by_enumeration():
    certificate = CallableTarget(function=ones, bits=6).objective().certify()
    assert (certificate.minimum_loss, certificate.optimal_bitstrings) == (-4.0, 1)


def test_by_its_name(module):
    target = CallableTarget(function=f"{module}:count", bits=3)
    assert target.name == f"{module}:count"
    assert target.objective()(np.ones((1, 3))) == 3
    made = registry.build("target", "callable", options={"function": f"{module}:count", "bits": 3})
    assert made.n_bits == 3


def test_what_only_some_objectives_can_it_refuses():
    objective = CallableTarget(function=ones, bits=3).objective()
    able = objective.capabilities
    assert able.flips
    assert not any((able.accuracy, able.mini_batches, able.module, able.packed))
    for match, ask in (
        ("ones classifies nothing: it has no accuracy", lambda: objective.accuracy(np.zeros(3))),
        ("ones has no mini-batches: .* Leave `batch` out", lambda: objective.mini_batches(1)),
        ("ones tells no labels of rows", lambda: objective.labels),
    ):
        with pytest.raises(ConfigurationError, match=match):
            ask()
    with pytest.raises(UnsuitableError, match="ones lays errors to no bits"):
        objective.wrong_weights(np.zeros(3))
    with pytest.raises(UnsuitableError, match="certified by enumeration alone"):
        objective.certify(method="classes")


def test_what_is_no_function_of_bits_is_refused(module):
    for options, match in (
        ({"function": ones}, r"'ones' needs the number of bits: set `bits` \(--bits\)"),
        ({"function": f"{module}:gone", "bits": 3}, f"Cannot load '{module}:gone'"),
        ({"function": "count", "bits": 3}, "Got 'count'; expected module:name"),
        (
            {"function": f"{module}:seven", "bits": 3},
            f"'{module}:seven' is a int; expected a funct",
        ),
        ({"function": 7, "bits": 3}, "is a int; expected a function of bits"),
    ):
        with pytest.raises(ConfigurationError, match=match):
            CallableTarget(**options)
    with pytest.raises(ConfigurationError, match="expected one or more"):
        CallableTarget(function=ones, bits=0).objective()
    with pytest.raises(ConfigurationError, match=r"Got bits='3' \(str\).* expected a whole number"):
        registry.build("target", "callable", options={"function": ones, "bits": "3"})
    with pytest.raises(ConfigurationError, match="needs the option `function`"):
        registry.build("target", "callable")
