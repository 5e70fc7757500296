import json

import pytest

from qhyper.errors import ConfigurationError


def entries(comparison):
    return {entry["name"]: entry for entry in comparison["generators"]}


def test_summarise_measures_from_the_certified_minimum(ten_seeds, certified):
    comparison = certified(ten_seeds)
    assert comparison["reference"] == {"loss": 0.1160, "kind": "certified minimum"}
    assert comparison["evaluations"] == 3000
    assert comparison["seeds"] == list(range(10))
    found = entries(comparison)
    assert list(found) == ["product", "quantum", "bernoulli", "autoregressive", "random"]
    assert found["autoregressive"]["regret"]["median"] == 0.0
    assert found["product"]["regret"]["median"] == pytest.approx(0.0005)
    assert found["product"]["seeds"] == 10
    assert found["product"]["hit_share"]["value"] == pytest.approx(0.3)
    assert found["autoregressive"]["evaluations_to_hit"]["median"] == 501
    assert found["product"]["evaluations_to_hit"]["median"] is None
    assert found["random"]["train_accuracy"] is None
    json.dumps(comparison, allow_nan=False)


@pytest.mark.parametrize(
    ("times", "median"), [([0.1, 0.2, 0.4], 0.2), (0.3, 0.3), ([], None), (None, None)]
)
def test_time_of_a_step_is_the_median_of_steps(times, median, certified, result):
    timed = result("a", "quantum", [0])
    timed["seconds_per_step"] = times
    seconds = certified([timed])["generators"][0]["seconds_per_step"]
    assert (seconds and seconds["median"]) == median


def test_summarise_without_certificate_measures_from_the_best_loss_seen(uncertified, result):
    comparison = uncertified([result("product", "quantum", [1, 2, 2])])
    assert comparison["reference"] == {"loss": 0.1165, "kind": "best loss seen"}
    assert comparison["generators"][0]["hit_share"]["value"] == pytest.approx(1 / 3)
    assert comparison["no_certificate"] == "the network has too many bits"


def test_a_hit_is_a_loss_within_1e_9(certified, result):
    near = result("near", "quantum", [0, 0])
    near["best_loss"] = [0.1160 + 5e-10, 0.1160 + 5e-9]
    near["improvements"] = [[[1, 0.2], [7, 0.1160 + 5e-10]], [[1, 0.2], [9, 0.1160 + 5e-9]]]
    entry = certified([near])["generators"][0]
    assert entry["hit_share"]["value"] == 0.5
    assert entry["regret"]["median"] == pytest.approx(2.5e-9, rel=1e-3)  # 0 and 5e-9


def test_tests_pair_quantum_with_classical_and_leave_controls_out(ten_seeds, certified):
    tests = certified(ten_seeds)["tests"]
    assert [(test["quantum"], test["classical"]) for test in tests] == [
        ("product", "bernoulli"),
        ("product", "autoregressive"),
        ("quantum", "bernoulli"),
        ("quantum", "autoregressive"),
    ]
    assert tests[0]["p"] == pytest.approx(2 / 2**10)
    assert tests[0]["median_difference"] < 0


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
