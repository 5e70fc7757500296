import json
from dataclasses import replace

import numpy as np
import pytest

from qhyper.errors import ConfigurationError, StorageError
from qhyper.report.results import Correlation, Result
from qhyper.report.summary import Reference, Summary, summarise
from qhyper.run.config import Entry
from qhyper.run.problem import Problem
from qhyper.run.trial import Trial
from qhyper.spending import Budget, Spending
from qhyper.targets.objective import Objective

MERITS = ("best_loss", "regret", "hit_share", "evaluations_to_hit", "above_best_seen")


def entries(comparison):
    return {entry.name: entry for entry in comparison.generators}


def test_summarise_measures_from_the_certified_minimum(ten_seeds, certified):
    comparison = certified(ten_seeds)
    assert comparison.reference == Reference(0.1160, "certified minimum")
    assert comparison.evaluations == 3000
    assert comparison.seeds == list(range(10))
    found = entries(comparison)
    assert list(found) == ["product", "quantum", "bernoulli", "autoregressive", "random"]
    assert found["autoregressive"].regret.median == 0.0
    assert found["product"].regret.median == pytest.approx(0.0005)
    assert found["product"].seeds == 10
    assert found["product"].hit_share.value == pytest.approx(0.3)
    assert found["autoregressive"].evaluations_to_hit.median == 501
    assert found["product"].evaluations_to_hit.median is None
    assert found["random"].train_accuracy is None
    json.dumps(comparison.to_json(), allow_nan=False)


@pytest.mark.parametrize(("times", "median"), [([0.1, 0.2, 0.4], 0.2), ([0.3], 0.3), ([], None)])
def test_time_of_a_step_is_the_median_of_steps(times, median, certified, result):
    timed = replace(result("a", "quantum", [0]), seconds_per_step=times)
    seconds = certified([timed]).generators[0].seconds_per_step
    assert (seconds and seconds.median) == median


def test_summarise_without_certificate_measures_from_the_best_loss_seen(uncertified, result):
    alone = result("product", "quantum", [1, 2, 2])
    comparison = uncertified([alone])
    assert comparison.reference == Reference(0.1165, "best loss seen")
    assert comparison.no_certificate == "the network has too many bits"
    found = entries(uncertified([alone, result("a", "classical", [2, 2, 3])]))
    assert found["product"].above_best_seen.median == pytest.approx(0.195 - 0.1165)
    assert found["a"].above_best_seen.median == pytest.approx(0.195 - 0.1165)


def test_without_a_proof_nothing_hits_and_nobody_is_held_against_himself(uncertified, result):
    alone, other = result("product", "quantum", [0, 1]), result("a", "classical", [1, 1])
    held = replace(other, held_out_loss=[0.2, 0.4])
    for results in ([alone], [alone, other], [alone, held]):
        for entry in uncertified(results).generators:
            assert (entry.regret, entry.hit_share, entry.evaluations_to_hit) == (None, None, None)
    assert uncertified([alone]).generators[0].above_best_seen is None
    assert uncertified([alone, held]).generators[0].above_best_seen is None
    assert uncertified([alone]).generators[0].best_loss.median == pytest.approx(0.11625)
    assert not uncertified([alone]).generators[0].drew_nothing


def test_with_a_proof_the_distance_is_a_regret(ten_seeds, certified):
    for entry in certified(ten_seeds).generators:
        assert entry.above_best_seen is None
        assert entry.regret is not None


def test_a_hit_is_a_loss_within_1e_9(certified, result):
    near = replace(
        result("near", "quantum", [0, 0]),
        best_loss=[0.1160 + 5e-10, 0.1160 + 5e-9],
        improvements=[[(1, 0.2), (7, 0.1160 + 5e-10)], [(1, 0.2), (9, 0.1160 + 5e-9)]],
    )
    entry = certified([near]).generators[0]
    assert entry.hit_share.value == 0.5
    assert entry.regret.median == pytest.approx(2.5e-9, rel=1e-3)  # 0 and 5e-9


def test_tests_pair_quantum_with_the_best_classical_and_leave_controls_out(ten_seeds, certified):
    tests = certified(ten_seeds).tests
    assert [(test.one, test.other) for test in tests] == [
        ("product", "autoregressive"),  # of the classical ones the lower in the median
        ("quantum", "autoregressive"),
    ]
    assert [(test.quantum, test.classical) for test in tests] == [
        ("product", "autoregressive"),
        ("quantum", "autoregressive"),
    ]


def test_chosen_pairs_are_tested_and_corrected_among_themselves(ten_seeds):
    about = {"data": "toy", "network": "own", "loss": "own"}
    pairs = [("product", "bernoulli"), ("quantum", "product"), ("bernoulli", "product")]
    tests = summarise(
        ten_seeds, certificate=None, no_certificate=None, pairs=pairs[:2], **about
    ).tests
    assert [(test.one, test.other) for test in tests] == pairs[:2]
    assert tests[0].p == pytest.approx(2 / 2**10)
    assert tests[0].p_holm == pytest.approx(min(2 * tests[0].p, 1))  # of two, not of all
    assert tests[0].median_difference < 0
    assert tests[0].effect == "large"
    assert (tests[0].quantum, tests[0].classical) == ("product", "bernoulli")
    assert (tests[1].quantum, tests[1].classical) == (None, None)  # both are quantum
    (turned,) = summarise(
        ten_seeds, certificate=None, no_certificate=None, pairs=pairs[2:], **about
    ).tests
    assert (turned.quantum, turned.classical) == ("product", "bernoulli")
    assert turned.median_difference == -tests[0].median_difference


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([], "no results"),
        ([("a", "quantum", [1]), ("a", "classical", [1])], "name of its own"),
        ([("a", "quantum", [1]), ("b", "classical", [1, 1])], "same seeds"),
        ([("a", "cat", [1])], "Unknown kind 'cat' of a; known: quantum, classical, control"),
    ],
)
def test_summarise_refuses_what_cannot_be_compared(results, message, certified, result):
    with pytest.raises(ConfigurationError, match=message):
        certified([result(*words) for words in results])


def test_a_loss_below_the_certified_minimum_is_refused(certified, result):
    with pytest.raises(ConfigurationError, match="another objective"):
        certified([result("a", "quantum", [0])], minimum_loss=0.1162)


def test_a_training_without_draws_has_no_regret_and_no_hits(uncertified, certified, result):
    silent = replace(
        result("exact", "quantum", [0, 0]),
        improvements=[[], []], best_loss=[None, None], best_bits=[None, None],
        train_accuracy=None, test_accuracy=None,
    )  # fmt: skip
    other = result("a", "classical", [1, 1])
    for comparison in (uncertified([silent, other]), certified([silent])):
        found = entries(comparison)["exact"]
        for key in (*MERITS, "train_accuracy"):
            assert getattr(found, key) is None
        assert found.drew_nothing
        assert found.final_loss.median == pytest.approx(0.1265)
        json.dumps(comparison.to_json(), allow_nan=False)
    # the others' best loss is the reference, or else the lowest of the final draws
    assert uncertified([silent, other]).reference.loss == 0.1165
    assert uncertified([silent]).reference.loss == pytest.approx(0.116 + 0.01 - 0.005)


def test_how_it_was_trained_is_kept(certified, result):
    step = Spending(evaluations=144, shots=144, circuits=9)
    trained = replace(
        result("a", "quantum", [0, 0]),
        step=step, estimator="spsa", risk="cvar", backend="statevector", final_risk=[0.2, 0.4],
    )  # fmt: skip
    found = entries(certified([trained, result("random", "control", [1, 1])]))
    assert found["a"].step == step
    assert [getattr(found["a"], key) for key in ("estimator", "risk", "backend")] == [
        "spsa",
        "cvar",
        "statevector",
    ]
    assert found["a"].final_risk.median == pytest.approx(0.3)
    for key in ("step", "estimator", "risk", "backend", "final_risk"):
        assert getattr(found["random"], key) is None


def test_networks_chosen_on_held_out_rows_have_no_regret_and_are_no_reference(
    uncertified, certified, result
):
    held = replace(result("held", "quantum", [0, 0]), held_out_loss=[0.01, 0.03])
    other = result("a", "classical", [1, 1])
    for comparison in (uncertified([held, other]), certified([held])):
        assert comparison.chosen_on_held_out
        found = entries(comparison)["held"]
        assert found.held_out_loss.median == pytest.approx(0.02)
        for key in MERITS:
            assert getattr(found, key) is None
        assert not found.drew_nothing
    # 0.1160 was seen on other rows than those of training
    assert uncertified([held, other]).reference.loss == 0.1165


def test_a_summary_comes_back_from_its_json(ten_seeds, certified, uncertified):
    for comparison in (certified(ten_seeds), uncertified(ten_seeds)):
        stored = json.loads(json.dumps(comparison.to_json()))
        assert Summary.from_json(stored) == comparison


def test_a_result_comes_back_from_its_json(result):
    trained = replace(
        result("a", "quantum", [0, 0]), step=Spending(144, 144, 9, 720), held_out_loss=[0.2, 0.4],
        correlation=Correlation(
            total_correlation=[0.5, 1.5], total_correlation_error=[0.1, 0.2], loss=[0.1, 0.2],
            product_loss=[0.2, 0.4], loss_error=None,
        ),
    )  # fmt: skip
    stored = json.loads(json.dumps(trained.to_json()))
    again = Result.from_json(stored)
    assert (again.step, again.curve.shots) == (trained.step, trained.curve.shots)
    assert again.correlation == trained.correlation
    assert json.loads(json.dumps(again.to_json())) == stored
    assert "circuits" not in stored["curve"]  # they were not counted


def test_what_another_version_wrote_is_refused(ten_seeds, certified):
    found = certified(ten_seeds).to_json()
    for entry in found["generators"]:
        del entry["rows"], entry["held_out_loss"]
    with pytest.raises(
        StorageError,
        match=r"^The summary was written by another version of qhyper: it lacks held_out_loss, "
        r"rows. Read it with that version, or carry out the run anew with this one.$",
    ):
        Summary.from_json(found)
    found = ten_seeds[0].to_json() | {"depth": 2}
    with pytest.raises(StorageError, match=r"has depth, which this version does not know\. Read"):
        Result.from_json(found)
    del found["depth"], found["correlation"]
    with pytest.raises(StorageError, match=r"it lacks correlation\. Read it with that version"):
        Result.from_json(found)
    found["correlation"] = {"loss": [0.1] * 10}
    with pytest.raises(StorageError, match=r"it lacks loss_error, product_loss, total_correlation"):
        Result.from_json(found)
    found["correlation"] = None
    del found["curve"]["mean_loss"]
    with pytest.raises(StorageError, match=r"^/run/result.json was .*: it lacks mean_loss. Read"):
        Result.from_json(found, "/run/result.json")


# What a trial stores for all of the above, on f(b) = b0 + 2 b1 + 4 b2.


def trial_result(training, budget, final=200):
    weights = 2.0 ** np.arange(3)
    objective = Objective(lambda bits: bits @ weights, 3, name="own")
    entry = Entry(name="product", training={"final_draws": final, **training})
    said = []
    trial = Trial(entry, Problem(objective), (0, 1), budget)
    return trial.execute(None, lambda: False, lambda *_: None, said.append), said, trial


def test_a_trial_stores_its_steps_and_the_final_risk():
    training = {"draws": 4, "estimator": "spsa", "risk": "cvar", "risk_options": {"alpha": 0.5}}
    result, said, _ = trial_result(training, Budget(shots=1000))
    cost = result.step
    for unit, each in vars(cost).items():
        spent = getattr(result.curve, unit)[-1]
        assert getattr(result.spent, unit) == spent == 1000 // cost.shots * each
    assert (result.risk, result.backend) == ("cvar", "mps")
    assert said == []
    # All of the 200 final draws are kept.
    for losses, risk in zip(result.final_losses, result.final_risk, strict=True):
        assert risk == pytest.approx(np.sort(losses)[:100].mean())


def test_the_final_risk_is_at_the_end_of_its_schedule():
    # Product circuits: log q is a sum over bits, here from all eight probabilities.
    options = {"temperature": 1.0, "end_temperature": 0.25}
    training = {"draws": 8, "risk": "free-energy", "risk_options": options}
    result, _, trial = trial_result(training, Budget(evaluations=800))
    p = trial.generator.probabilities().detach().numpy()[:, 0]
    for losses, risk, q in zip(result.final_losses, result.final_risk, p, strict=True):
        numbers = np.asarray(losses, dtype=int)  # the loss of a bitstring is its number
        assert risk == pytest.approx(np.mean(losses + 0.25 * np.log(q[numbers])))


def test_the_mean_loss_has_no_risk_of_its_own():
    result, _, _ = trial_result({"draws": 8}, Budget(evaluations=800))
    assert result.risk == "expectation"
    assert result.final_risk is None


def test_a_training_of_few_steps_is_warned_of():
    few, said, _ = trial_result({"draws": 8, "restarts": 2}, Budget(evaluations=19 * 8))
    assert said == ["product has only 9 steps in a start: raise the budget or lower draws."]
    assert few.evaluations == 19 * 8
    _, said, _ = trial_result({"draws": 8, "restarts": 2}, Budget(evaluations=20 * 8))
    assert said == []
