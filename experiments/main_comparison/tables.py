"""The tables of the main comparison."""

from collections.abc import Mapping, Sequence

from experiments.main_comparison.outcome import (
    DATA,
    MEASURES,
    TUNED,
    Results,
    hits,
    result,
    summary,
    tuned_part,
    within,
)
from experiments.markdown import table
from qhyper.report.statistics import PairedTest, Share, paired_tests
from qhyper.report.summary import Summary
from qhyper.run.config import COMPARED


def tables(results: Results) -> str:
    """Shares of both data sets and the paired tests of each, with recipes and tuned."""
    summaries = {data: summary(results, data) for data in DATA}
    minima = " and ".join(
        f"{one.reference.loss:.6f} on {DATA[data]} "
        f"({(one.certificate or {})['optimal_bitstrings']:,} bitstrings reach it)"
        for data, one in summaries.items()
    )
    tests = [circuits(summaries[data].tests, title) for data, title in DATA.items()]
    tuned = [_tuned(results, data, title) for data, title in DATA.items()]
    tests_tuned = [
        circuits(summary(results, data, "mean").tests, f"{title}, tuned for the mean")
        for data, title in DATA.items()
    ]
    return "\n\n".join([
        _shares(results, summaries), f"Certified minima of the cross-entropy: {minima}.", *tests,
        *tuned, *tests_tuned, *(_found(results, data, title) for data, title in DATA.items()),
    ])  # fmt: skip


def _shares(results: Results, summaries: Mapping[str, Summary]) -> str:
    rows = []
    for index, name in enumerate(COMPARED):
        entries = {data: one.generators[index] for data, one in summaries.items()}
        row = [name, entries["toy"].kind, f"{entries['toy'].parameters:,}"]
        for data, entry in entries.items():
            needed = entry.evaluations_to_hit and entry.evaluations_to_hit.median
            row += [
                *(_share(share(results, f"{name}-{data}")) for share in (within, hits)),
                f"> {entry.evaluations:,}" if needed is None else f"{needed:,.0f}",
            ]
        rows.append(row)
    head = ["generator", "kind", "parameters"]
    for title in DATA.values():
        head += [f"{title}: within 5 %", "hit", "evaluations to hit"]
    one = summaries["toy"]
    title = f"{len(one.seeds)} seeds of {one.evaluations:,} evaluations"
    return table(title, head, rows, words=2)


def _share(share: Share) -> str:
    return f"{share.value:.3f} ({share.low:.2f}–{share.high:.2f})"


def circuits(found: Sequence[PairedTest], title: str) -> str:
    """Final mean losses of circuits minus those of classical models, by their paired tests."""
    tests = {(test.one, test.other): test for test in found}
    classical = list(dict.fromkeys(other for _, other in tests))
    rows = []
    for name in dict.fromkeys(name for name, _ in tests):
        pairs = [tests[name, other] for other in classical]
        rows.append([name, *(f"{p.median_difference:+.4f} ({p.p_holm:.2g})" for p in pairs)])
    return table(
        f"{title}: final mean loss of a circuit minus a classical model's, median (p after Holm)",
        ["circuit", *classical], rows,
    )  # fmt: skip


def _tuned(results: Results, data: str, title: str) -> str:
    """Every entry's shares with its recipe and tuned, and what became of its final mean loss."""
    columns = {name: _variants(name, data) for name in TUNED}
    losses = {
        part: result(results, part).final_loss for own in columns.values() for part in own.values()
    }
    pairs = [(own["mean"], own["recipe"]) for own in columns.values()]
    tests = {test.one: test for test in paired_tests(losses, pairs)}
    rows = []
    for name, own in columns.items():
        row = [name]
        for part in own.values():
            row += [_share(within(results, part)), _share(hits(results, part))]
        test = tests[own["mean"]]
        rows.append([*row, f"{test.median_difference:+.4f} ({test.p_holm:.2g})"])
    head = ["generator"]
    for variant in ("recipe", "tuned for the mean", "tuned for the best"):
        head += [f"{variant}: within 5 %", "hit"]
    return table(
        f"{title}: with recipes, and with what searches found",
        [*head, "final mean loss, tuned for it minus recipe, median (p after Holm)"], rows,
    )  # fmt: skip


def _found(results: Results, data: str, title: str) -> str:
    """The settings that every entry's searches found, and what each search spent."""
    rows = []
    for name in TUNED:
        row = [name]
        for measure in MEASURES:
            search = results[tuned_part(name, data, measure)]["search"]
            settings = {key.rpartition(".")[2]: value for key, value in search["found"].items()}
            row.append(", ".join(f"{key} {value}" for key, value in settings.items()))
        rows.append([*row, f"{search['settings']}", f"{search['spent']['evaluations']:,}"])
    head = ["generator", "for the mean", "for the best", "settings tried", "evaluations"]
    return table(f"{title}: what each search found and spent", head, rows, words=3)


def _variants(name: str, data: str) -> dict[str, str]:
    """The parts of an entry on one data set: with its recipe, and tuned for each measure."""
    tuned = {measure: tuned_part(name, data, measure) for measure in MEASURES}
    return {"recipe": f"{name}-{data}", **tuned}
