"""The tables of the three schemes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.markdown import table
from experiments.schemes.outcome import PROBLEMS, entries, hits, regret
from qhyper.report.statistics import median_interval, paired_tests, wilson


def tables(results: Mapping[str, Any]) -> str:
    """A table of shares and regrets of each problem, and one of paired tests of all."""
    return "\n\n".join([*(_problem(results, name) for name in PROBLEMS), _tests(results)])


def _problem(results: Mapping[str, Any], problem: str) -> str:
    rows = []
    for entry in entries(problem):
        found = results[f"{entry}-{problem}"]
        n, met = len(found["best"]), hits(found)
        share = wilson(met, n)
        rows.append([
            entry, _settings(found["settings"]),
            f"{met} of {n} ({share.low:.2f}–{share.high:.2f})",
            _to_hit(found), _percent(found, "best"), _percent(found, "final"),
        ])  # fmt: skip
    head = ["search", "settings found", "hit", "evaluations to hit, median",
            "regret of the best met", "regret at the end"]  # fmt: skip
    minimum = results[f"{entries(problem)[0]}-{problem}"]["minimum"]
    title = f"{PROBLEMS[problem]}: certified minimum {minimum:.6f}"
    return table(title, head, rows, words=2)


def _settings(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    return ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in found.items())


def _to_hit(found: Mapping[str, Any]) -> str:
    """The median over the seeds, where those that never hit count as later than all others."""
    median = np.median([np.inf if at is None else at for at in found["hit_at"]])
    return f"{median:,.0f}" if np.isfinite(median) else f"> {found['evaluations']:,}"


def _percent(found: Mapping[str, Any], which: str) -> str:
    one = median_interval(100 * regret(found, which))
    ends = "" if one.low is None else f" ({one.low:.2f}–{one.high:.2f})"
    return f"{one.median:.2f} %{ends}"


def _tests(results: Mapping[str, Any]) -> str:
    """Each scheme against annealing, by the best loss and the final one; Holm over all of each."""
    found = {}
    for which in ("best", "final"):
        losses = {part: results[part][which] for part in results}
        pairs = [
            (f"{entry}-{problem}", f"annealing-{problem}")
            for problem in PROBLEMS
            for entry in entries(problem)
            if entry != "annealing"
        ]
        found[which] = {test.one: test for test in paired_tests(losses, pairs)}
    rows = []
    for problem, title in PROBLEMS.items():
        for entry in entries(problem):
            if entry == "annealing":
                continue
            one = [found[which].get(f"{entry}-{problem}") for which in ("best", "final")]
            cells = [f"{t.median_difference:+.4f} ({t.p_holm:.2g})" if t else "–" for t in one]
            rows.append([title, entry, *cells])
    head = ["problem", "search", "best loss", "loss at the end"]
    return table(
        "Loss minus annealing's on the same seed, median (p after Holm)", head, rows, words=2
    )
