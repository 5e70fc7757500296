"""What a comparison found, in one paragraph: who won, how far the others were, what tests say."""

from collections.abc import Callable, Mapping

from qhyper.report.statistics import Median, PairedTest
from qhyper.report.summary import Summary
from qhyper.report.words import (
    counts,
    format_loss,
    format_regret,
    listed,
    lower_entry,
    row_cells,
    too_few_seeds,
)


def answer(summary: Summary) -> str:
    """What was found, in one paragraph written from the numbers."""
    sentences = [_who_hits(summary), _how_far(summary), _held_out(summary)]
    if summary.tests:
        sentences.append(_what_tests_say(summary))
    certificate, reason = summary.certificate, summary.no_certificate
    if certificate is not None:
        sentences.append(
            f"The optimum is proven: it is the lowest of all {certificate['configurations']:,} "
            "weight settings."
        )
    else:
        because = f": {reason.rstrip('.')}." if reason else "."
        sentences.append(f"Whether a better network exists is not known{because}")
    return " ".join(filter(None, sentences))


def _who_hits(summary: Summary) -> str:
    shares = {e.name: e.hit_share for e in summary.generators if e.hit_share is not None}
    limits = summary.budget
    goal = f"the proven optimal loss ({format_loss(summary.reference.loss)})"
    budget = f"within {counts(limits, list(limits))}"
    if all(entry.drew_nothing for entry in summary.generators):
        return "No training drew anything on its way."
    if not shares:
        return _best_seen(summary, budget)
    most = max(share.value for share in shares.values())
    if most == 0:
        return f"No run reached {goal} {budget}."
    first = [name for name, share in shares.items() if share.value == most]
    best = next(entry for entry in summary.generators if entry.name == first[0])
    names = listed(first)
    if best.seeds == 1:
        return f"{names} reached {goal} {budget}; one seed cannot tell how often."
    hits, interval = row_cells(best)["hit_share"]
    reached = f"{hits} seeds reached {goal} {budget} (95\u00a0% interval {interval})."
    if len(shares) == 1:
        return f"{names}: {reached}"
    if len(first) > 1:
        return f"{names} find the best network equally often: for each, {reached}"
    answer = f"{names} finds the best network most often: {reached}"
    low = shares[first[0]].low
    near = [name for name, share in shares.items() if name != first[0] and share.high >= low]
    if near:
        answer += f" The intervals of {listed(near)} overlap with that."
    return answer


def _best_seen(summary: Summary, budget: str) -> str:
    """The lowest loss found, where nothing proves that there is none below it."""
    found = [entry.name for entry in summary.generators if entry.best_loss is not None]
    if summary.certificate is not None or not found:
        return ""
    loss = format_loss(summary.reference.loss)
    if len(found) == 1:
        return f"The best loss that {listed(found)} found {budget} is {loss}."
    return f"The best loss seen {budget} is {loss}."


def _how_far(summary: Summary) -> str:
    """Median distances from the reference; and who has none."""
    distances = {e.name: e.regret or e.above_best_seen for e in summary.generators}
    far = _by_median(distances, format_regret)
    silent = [entry.name for entry in summary.generators if entry.drew_nothing]
    run = _of_the_run(summary)
    sentences = [f"Distance of the best network {run} from that loss: {far}."] if far else []
    if silent:
        sentences.append(
            f"{listed(silent)} trained without drawing: regret and hits are not defined there."
        )
    return " ".join(sentences)


def _held_out(summary: Summary) -> str:
    """Median losses of the best networks on the held-out rows that they were chosen on."""
    losses = _by_median({e.name: e.held_out_loss for e in summary.generators}, format_loss)
    if not losses:
        return ""
    return (
        "Best networks were chosen on held-out rows; their loss there "
        f"{_of_the_run(summary)}: {losses}."
    )


def _of_the_run(summary: Summary) -> str:
    return "of the run" if len(summary.seeds) == 1 else "in the median run"


def _by_median(medians: Mapping[str, Median | None], show: Callable[[float], str]) -> str:
    """The medians that there are, the lowest first, names with the same one together."""
    known = [(m.median, name) for name, m in medians.items() if m is not None]
    groups: dict[str, list[str]] = {}
    for median, name in sorted(known, key=lambda one: one[0]):
        groups.setdefault(show(median), []).append(name)
    return "; ".join(f"{median} for {listed(names)}" for median, names in groups.items())


def _what_tests_say(summary: Summary) -> str:
    tests = summary.tests
    too_few = f"; {too_few_seeds(summary)}" if too_few_seeds(summary) else ""
    pairs = f"{len(tests)} tested pair{'s' if len(tests) > 1 else ''}"
    said = [_told_apart(test) for test in tests if lower_entry(test) is not None]
    unclear = len(tests) - len(said)
    if unclear:
        said.append(f"{unclear} cannot be told apart")
    return (
        f"By final mean loss, of {pairs}: {'; '.join(said)} (paired tests with Holm's "
        f"correction{too_few})."
    )


def _told_apart(test: PairedTest) -> str:
    lower = lower_entry(test)
    higher = test.other if lower == test.one else test.one
    return f"{listed([str(lower)])} is lower than {listed([higher])} ({test.effect} effect)"
