"""Which generator finds the best 4-6-2 binary network? Forty seeds of all that `compare` has.

python -m experiments run main-comparison
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing import TEXT
from experiments.markdown import table
from qhyper import BinaryNetwork, load
from qhyper.report.figures import figures
from qhyper.report.results import Result
from qhyper.report.statistics import Share, wilson
from qhyper.report.summary import EntrySummary, Summary, summarise
from qhyper.run.comparison import compare
from qhyper.run.config import COMPARED
from qhyper.storage import write_whole

TITLE = "Which generator finds the best 4-6-2 binary network, at the same budget?"

DATA = {"toy": "toy", "mnist": "MNIST 0/1 at 2×2"}
NETWORK = BinaryNetwork((4, 6, 2))

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    seeds: int
    evaluations: int
    """of each seed"""


FULL = Size(seeds=40, evaluations=300_000)
QUICK = Size(seeds=3, evaluations=4_000)


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """Every generator and control on every data set; the controls, which are quick, come last."""
    size = QUICK if quick else FULL
    return {
        f"{name}-{data}": partial(search, name, data, size) for name in COMPARED for data in DATA
    }


def search(name: str, data: str, size: Size) -> dict[str, Any]:
    """One entry with its own recipe over all seeds, and the certificate of what it looked for."""
    dataset = load(data)
    outcome = compare(
        NETWORK.objective(dataset.train), [name], seeds=range(size.seeds),
        evaluations=size.evaluations, test=dataset.test, name=data,
    )  # fmt: skip
    return {"certificate": outcome.summary.certificate, "result": outcome.results[0].to_json()}


# -- what came out ---------------------------------------------------------------------------------


def summary(results: Results, data: str) -> Summary:
    """All entries on one data set, as if they had been compared in one run."""
    trials = _trials(results, data)
    quantum, classical = (
        [trial.name for trial in trials if trial.kind == kind] for kind in ("quantum", "classical")
    )
    return summarise(
        trials, certificate=results[f"{COMPARED[0]}-{data}"]["certificate"],
        no_certificate=None, data=data, network=str(NETWORK), loss="cross_entropy",
        pairs=[(one, other) for one in quantum for other in classical],
    )  # fmt: skip


def within(results: Results, name: str, data: str) -> Share:
    """Share of the seeds whose final mean loss is within 5 % of the certified minimum."""
    minimum = results[f"{name}-{data}"]["certificate"]["minimum_loss"]
    final = np.array(result(results, name, data).final_loss)
    return wilson(int((final <= 1.05 * minimum).sum()), len(final))


def result(results: Results, name: str, data: str) -> Result:
    """What the trial of one entry on one data set measured."""
    return Result.from_json(results[f"{name}-{data}"]["result"])


def tables(results: Results) -> str:
    """Shares of both data sets, and the paired tests of each."""
    summaries = {data: summary(results, data) for data in DATA}
    minima = " and ".join(
        f"{one.reference.loss:.6f} on {DATA[data]} "
        f"({(one.certificate or {})['optimal_bitstrings']:,} bitstrings reach it)"
        for data, one in summaries.items()
    )
    tests = [_tests(summaries[data], title) for data, title in DATA.items()]
    return "\n\n".join(
        [_shares(results, summaries), f"Certified minima of the cross-entropy: {minima}.", *tests]
    )


def draw(results: Results, folder: Path) -> None:
    """Write hits.svg, when the minimum is found on toy."""
    found = summary(results, "toy")
    drawn = figures(found, _trials(results, "toy"), None)["hits"]
    write_whole(folder / "hits.svg", drawn.replace("currentColor", TEXT).encode())


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    found: dict[str, Any] = {}
    for data in DATA:
        one = summary(results, data)
        found[f"{data}-minimum-loss"] = one.reference.loss
        for entry in one.generators:
            name = entry.name
            found[f"{data}-{name}-within-5-percent"] = within(results, name, data).value
            found[f"{data}-{name}-hit"] = _hits(entry).value
    return found


def _trials(results: Results, data: str) -> list[Result]:
    return [result(results, name, data) for name in COMPARED]


def _shares(results: Results, summaries: Mapping[str, Summary]) -> str:
    rows = []
    for index, name in enumerate(COMPARED):
        entries = {data: one.generators[index] for data, one in summaries.items()}
        row = [name, entries["toy"].kind, f"{entries['toy'].parameters:,}"]
        for data, entry in entries.items():
            needed = entry.evaluations_to_hit and entry.evaluations_to_hit.median
            row += [
                _share(within(results, name, data)),
                _share(_hits(entry)),
                f"> {entry.evaluations:,}" if needed is None else f"{needed:,.0f}",
            ]
        rows.append(row)
    head = ["generator", "kind", "parameters"]
    for title in DATA.values():
        head += [f"{title}: within 5 %", "hit", "evaluations to hit"]
    one = summaries["toy"]
    title = f"{len(one.seeds)} seeds of {one.evaluations:,} evaluations"
    return table(title, head, rows, words=2)


def _hits(entry: EntrySummary) -> Share:
    assert entry.hit_share is not None, f"{entry.name} drew nothing"
    return entry.hit_share


def _share(share: Share) -> str:
    return f"{share.value:.3f} ({share.low:.2f}–{share.high:.2f})"


def _tests(found: Summary, title: str) -> str:
    tests = {(test.one, test.other): test for test in found.tests}
    classical = list(dict.fromkeys(other for _, other in tests))
    rows = []
    for name in dict.fromkeys(name for name, _ in tests):
        pairs = [tests[name, other] for other in classical]
        rows.append([name, *(f"{p.median_difference:+.4f} ({p.p_holm:.2g})" for p in pairs)])
    return table(
        f"{title}: final mean loss of a circuit minus a classical model's, median (p after Holm)",
        ["circuit", *classical], rows,
    )  # fmt: skip
