"""What a comparison found, in one paragraph: who won, how far the others were, what tests say."""

from collections.abc import Mapping
from typing import Any

from qhyper.report.summary import CERTIFIED, budget_of
from qhyper.report.words import (
    counts,
    format_loss,
    format_regret,
    listed,
    lower_kind,
    row_cells,
    too_few_seeds,
)


def answer(comparison: Mapping[str, Any]) -> str:
    """What was found, in one paragraph written from the numbers."""
    sentences = [_who_hits(comparison), _how_far(comparison)]
    if comparison["tests"]:
        sentences.append(_what_tests_say(comparison))
    certificate, reason = comparison["certificate"], comparison["no_certificate"]
    if certificate is not None:
        sentences.append(
            f"The optimum is proven: it is the lowest of all {certificate['configurations']:,} "
            "weight settings."
        )
    else:
        because = f": {reason.rstrip('.')}." if reason else "."
        sentences.append(f"Whether a better network exists is not known{because}")
    return " ".join(sentences)


def _goal(comparison: Mapping[str, Any]) -> str:
    reference = comparison["reference"]
    goal = "the proven optimal loss" if reference["kind"] == CERTIFIED else "the best loss seen"
    return f"{goal} ({format_loss(reference['loss'])})"


def _who_hits(comparison: Mapping[str, Any]) -> str:
    entries = [e for e in comparison["generators"] if e["hit_share"] is not None]
    limits = budget_of(comparison)
    goal, budget = _goal(comparison), f"within {counts(limits, list(limits))}"
    if not entries:
        return "No training drew anything on its way."
    share = max(entry["hit_share"]["value"] for entry in entries)
    if share == 0:
        return f"No run reached {goal} {budget}."
    first = [entry for entry in entries if entry["hit_share"]["value"] == share]
    names = listed([entry["name"] for entry in first])
    if first[0]["seeds"] == 1:
        return f"{names} reached {goal} {budget}; one seed cannot tell how often."
    hits, interval = row_cells(first[0])["hit_share"]
    reached = f"{hits} seeds reached {goal} {budget} (95\u00a0% interval {interval})."
    if len(entries) == 1:
        return f"{names}: {reached}"
    if len(first) > 1:
        return f"{names} find the best network equally often: for each, {reached}"
    answer = f"{names} finds the best network most often: {reached}"
    low = first[0]["hit_share"]["low"]
    near = [e["name"] for e in entries if e is not first[0] and e["hit_share"]["high"] >= low]
    if near:
        answer += f" The intervals of {listed(near)} overlap with that."
    return answer


def _how_far(comparison: Mapping[str, Any]) -> str:
    """Median regrets, names with the same one together; and who has none."""
    groups: dict[str, list[str]] = {}
    drew = [entry for entry in comparison["generators"] if entry["regret"] is not None]
    silent = [e["name"] for e in comparison["generators"] if e["regret"] is None]
    for entry in sorted(drew, key=lambda entry: entry["regret"]["median"]):
        groups.setdefault(format_regret(entry["regret"]["median"]), []).append(entry["name"])
    run = "of the run" if len(comparison["seeds"]) == 1 else "in the median run"
    far = "; ".join(f"{distance} for {listed(names)}" for distance, names in groups.items())
    sentences = [f"Distance of the best network {run} from that loss: {far}."] if far else []
    if silent:
        sentences.append(
            f"{listed(silent)} trained without drawing: regret and hits are not defined there."
        )
    return " ".join(sentences)


def _what_tests_say(comparison: Mapping[str, Any]) -> str:
    tests = comparison["tests"]
    lower = [lower_kind(test) for test in tests]
    too_few = f"; {too_few_seeds(comparison)}" if too_few_seeds(comparison) else ""
    pairs = f"{len(tests)} pair{'s' if len(tests) > 1 else ''}"
    return (
        f"By final mean loss, of {pairs} of a quantum and a classical generator, the quantum one "
        f"is lower in {lower.count('quantum')} and the classical one in "
        f"{lower.count('classical')}; {lower.count(None)} cannot be told apart (paired tests with "
        f"Holm's correction{too_few})."
    )
