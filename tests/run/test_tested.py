"""Which pairs are tested: chosen ones, and by default those that say what entanglement is worth."""

import re

import numpy as np
import pytest

from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.run.comparison import compare, plan
from qhyper.run.config import Config, Entry
from qhyper.run.problem import Problem
from qhyper.run.tested import chosen_pairs, default_pairs
from qhyper.run.trial import Trial
from qhyper.spending import Budget
from qhyper.targets.objective import Objective
from qhyper.targets.packed.target import PackedTarget

TITLES = ["product", "quantum-depth2", "mine:Generator", "mlp"]


def easy():
    return Objective(lambda bits: bits.mean(-1), 6, name="own")


def pairs_of(entries, **options):
    found = compare(
        easy(), entries, seeds=[0, 1], evaluations=200, warn=lambda _: None, **options
    ).summary
    return [(test.one, test.other) for test in found.tests]


def entry(name, label=None, training=None, **options):
    return Entry(name=name, label=label, options=options, training=training or {})


# -- chosen ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("product:mlp", ("product", "mlp")),
        (" product : mlp ", ("product", "mlp")),
        ("mine:Generator:mlp", ("mine:Generator", "mlp")),
        ("mlp:mine:Generator", ("mlp", "mine:Generator")),
    ],
)
def test_a_pair_is_two_entries_with_a_colon_between(text, pair):
    assert chosen_pairs([text], TITLES, 2) == [pair]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["product"], "Got the test 'product'; expected two entries with a colon between"),
        (["product:"], "Got the test 'product:'; expected two entries with a colon between"),
        (["produkt:mlp"], "Unknown entry of a test 'produkt'. Did you mean 'product'? Known: "),
        (["mlp:quantum-depth4"], "Unknown entry of a test 'quantum-depth4'. Did you mean 'quan"),
        (["mlp:mlp"], "Got the test 'mlp:mlp' of an entry against itself; expected two diff"),
        (["mlp:product", "product:mlp"], "The test 'product:mlp' stands twice: each pair counts"),
    ],
)
def test_what_is_no_pair_is_refused(asked, message):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}"):
        chosen_pairs(asked, TITLES, 2)


def test_a_pair_needs_two_seeds():
    with pytest.raises(ConfigurationError, match="pairs two entries seed by seed, and the run has"):
        chosen_pairs(["product:mlp"], TITLES, 1)
    assert chosen_pairs([], TITLES, 1) == []


def test_pairs_are_checked_before_anything_runs():
    calls = []

    def counted(bits):
        calls.append(len(bits))
        return bits.mean(-1)

    objective = Objective(counted, 6)
    before = len(calls)
    with pytest.raises(ConfigurationError, match="Did you mean 'product'"):
        compare(objective, ["product", "mlp"], seeds=[0, 1], evaluations=200, tests=["prodct:mlp"])
    assert len(calls) == before
    config = Config(data="digits", entries=[Entry(name="product")], tests=["product:product"])
    with pytest.raises(ConfigurationError, match="against itself"):
        plan(config)


def test_chosen_pairs_are_the_only_ones_and_may_have_controls():
    entries = ["product", "quantum-depth2", "random"]
    assert pairs_of(entries, tests=["random:product"]) == [("random", "product")]
    assert pairs_of(entries, tests="random:product") == [("random", "product")]
    assert pairs_of(entries, tests=[]) == []


# -- default ---------------------------------------------------------------------------------------


def test_product_stands_in_for_the_circuit_without_entanglement():
    assert pairs_of(["product", "quantum-depth2"]) == [("quantum-depth2", "product")]


def test_the_same_circuit_without_entanglement_comes_first():
    entries = [
        "product", "quantum-depth2", entry("quantum-depth2", "bare", entangled=False),
        entry("quantum", "three", depth=3), entry("quantum", "two", depth=2),
    ]  # fmt: skip
    assert pairs_of(entries) == [
        ("quantum-depth2", "bare"),
        ("three", "product"),  # the smaller of those that are not the same otherwise
        ("two", "bare"),  # the circuit is the same, whatever it is called
    ]


def test_a_static_hypernetwork_has_a_partner_of_its_own_kind():
    chunks = {"chunk": 3, "depth": 2}
    entries = [
        "product", entry("chunked", "c", **chunks),
        entry("chunked", "bare", **chunks, entangled=False),
        entry("chunked", "frozen", **chunks, frozen=True),
        entry("chunked", "frozen bare", **chunks, frozen=True, entangled=False),
    ]  # fmt: skip
    assert pairs_of(entries) == [("c", "bare"), ("frozen", "frozen bare")]
    assert pairs_of(entries[:2]) == []  # a product circuit is no static hypernetwork
    assert pairs_of(entries[2:4]) == []  # nor are trained chunks what frozen ones stand against


def test_another_circuit_stands_in_where_the_same_field_surrounds_it():
    objective = PackedTarget((16, 4, 2)).objective(
        Samples(np.random.default_rng(0).normal(size=(20, 16)), np.arange(20) % 2)
    )
    names = ("static-entangled", "static-product")
    entries = [Entry(name=name) for name in names]
    others = [
        Entry(name="static-product", label="fewer", options=options)
        for options in ({"kept": 2}, {"chunk": 2}, {"patch": [4, 1]}, {"frozen": True})
    ]
    problem, budget = Problem(objective), Budget(evaluations=4_000)
    for given, expected in ((entries, [names]), *(([entries[0], other], []) for other in others)):
        trials = [Trial(entry, problem, (0, 1), budget) for entry in given]
        assert default_pairs(trials, []) == expected


def test_a_partner_is_trained_in_the_same_way_if_one_is():
    by_spsa = {"estimator": "spsa"}
    entries = [
        entry("product", "a"), entry("product", "b", by_spsa),
        entry("quantum-depth2", "c", by_spsa), entry("quantum-depth2", "d"),
    ]  # fmt: skip
    assert pairs_of(entries) == [("c", "b"), ("d", "a")]


def test_the_best_classical_entry_has_the_lowest_median(result):
    problem, budget = Problem(easy()), Budget(evaluations=200)
    names = ("product", "quantum-depth2", "bernoulli", "mlp", "random")
    trials = [Trial(Entry(name=name), problem, (0, 1), budget) for name in names]
    kinds = ("quantum", "quantum", "classical", "classical", "control")
    named = enumerate(zip(names, kinds, strict=True))
    results = [result(name, kind, [k, k]) for k, (name, kind) in named]
    assert default_pairs(trials, results) == [
        ("quantum-depth2", "product"),
        ("quantum-depth2", "bernoulli"),
    ]
    turned = [*results[:2], result("bernoulli", "classical", [4, 4]), *results[3:]]
    assert default_pairs(trials, turned)[1] == ("quantum-depth2", "mlp")


def test_classical_entries_and_controls_alone_have_no_tests():
    assert pairs_of(["bernoulli", "mlp", "random"]) == []


# -- the same run ----------------------------------------------------------------------------------


def test_what_is_measured_besides_changes_no_training_and_no_budget():
    found = compare(
        easy(), ["quantum-depth2", "bernoulli", "random"], seeds=[0, 1], evaluations=200,
        warn=lambda _: None,
    )  # fmt: skip
    again = compare(
        easy(), ["quantum-depth2"], seeds=[0, 1], evaluations=200, warn=lambda _: None
    )  # fmt: skip
    circuit, bernoulli, random = found.results
    assert circuit.evaluations == 192  # 3 steps of 64 draws
    assert again.results[0].final_loss == circuit.final_loss
    assert again.results[0].correlation == circuit.correlation
    assert random.correlation is None
    assert bernoulli.correlation.total_correlation == [0.0, 0.0]
    # the loss is a sum over bits: a product of the marginals has the same, and all is exact here
    assert circuit.correlation.loss_error is None
    assert circuit.correlation.excess == pytest.approx([0.0, 0.0], abs=1e-12)
    assert np.all(np.array(circuit.correlation.total_correlation) > 0)
    shown = found.summary.to_json()["generators"][0]
    assert shown["total_correlation"]["median"] > 0
    assert shown["product_excess"]["median"] == pytest.approx(0, abs=1e-12)
    assert shown["total_correlation_error"] is None
