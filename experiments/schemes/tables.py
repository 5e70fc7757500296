"""The tables of the three schemes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.markdown import table
from experiments.schemes.outcome import ALL, PROBLEMS, hits, regret
from qhyper.report.statistics import median_interval, paired_tests, wilson


def tables(results: Mapping[str, Any]) -> str:
    """A table of shares and regrets of each problem, and two of paired tests of all."""
    against = [
        (problem, entry, "annealing") for problem in PROBLEMS
        for entry in results[problem]["entries"] if entry != "annealing"
    ]  # fmt: skip
    counting = [
        (problem, "counting-errors", ALL) for problem in PROBLEMS
        if ALL in results[problem]["entries"]
    ]  # fmt: skip
    return "\n\n".join([
        *(_problem(results[name], name) for name in PROBLEMS),
        _tests(results, "Loss minus annealing's on the same seed, median (p after Holm)", against),
        _tests(results, "What the counting adds: loss minus that of all weights alone", counting),
    ])  # fmt: skip


def _problem(found: Mapping[str, Any], problem: str) -> str:
    minimum, rows = found["minimum"], []
    for entry, one in found["entries"].items():
        n, met = len(one["best"]), hits(one, minimum)
        share = wilson(met, n)
        rows.append([
            entry, ", ".join(f"{k} {v}" for k, v in one["options"].items()) or "as it stands",
            f"{met} of {n} ({share.low:.2f}–{share.high:.2f})", _to_hit(one),
            *(_percent(regret(one, which, minimum)) for which in ("best", "final")),
        ])  # fmt: skip
    head = ["search", "settings", "hit", "evaluations to hit, median",
            "regret of the best met", "regret at the end"]  # fmt: skip
    title = f"{PROBLEMS[problem]}: certified minimum {minimum:.6f}"
    return table(title, head, rows, words=2)


def _to_hit(one: Mapping[str, Any]) -> str:
    """The median over the seeds, where those that never hit count as later than all others."""
    median = np.median([np.inf if at is None else at for at in one["hit_at"]])
    return f"{median:,.0f}" if np.isfinite(median) else f"> {one['evaluations']:,}"


def _percent(regrets: Any) -> str:
    one = median_interval(100 * regrets)
    ends = "" if one.low is None else f" ({one.low:.2f}–{one.high:.2f})"
    return f"{one.median:.2f} %{ends}"


def _tests(results: Mapping[str, Any], title: str, pairs: Sequence[tuple[str, str, str]]) -> str:
    """On each problem one search against another, by both losses; Holm over all of each."""
    cells = []
    for which in ("best", "final"):
        losses = {
            f"{entry}-{problem}": one[which]
            for problem in PROBLEMS for entry, one in results[problem]["entries"].items()
        }  # fmt: skip
        names = [(f"{one}-{problem}", f"{other}-{problem}") for problem, one, other in pairs]
        tests = paired_tests(losses, names)
        cells.append([f"{t.median_difference:+.4f} ({t.p_holm:.2g})" for t in tests])
    rows = [
        [PROBLEMS[problem], entry, best, final]
        for (problem, entry, _), best, final in zip(pairs, *cells, strict=True)
    ]
    return table(title, ["problem", "search", "best loss", "loss at the end"], rows, words=2)
