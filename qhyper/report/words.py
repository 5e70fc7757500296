"""How numbers and outcomes are said: the same words for terminal, page and figures."""

from collections.abc import Callable, Mapping, Sequence

from qhyper.report.statistics import MIN_VALUES, CensoredMedian, Median, PairedTest, Share
from qhyper.report.summary import EntrySummary, Summary

SIGNIFICANT = 0.05
"""A pair of generators is told apart by a corrected p below this."""
COLUMNS = (
    ("parameters", "Parameters"),
    ("shots", "Shots"),
    ("circuits", "Circuits"),
    ("rows", "Rows"),
    ("above_best_seen", "Above best seen"),
    ("regret", "Regret"),
    ("hit_share", "Seeds that hit"),
    ("evaluations_to_hit", "Evaluations to hit"),
    ("held_out_loss", "Held-out loss"),
    ("final_loss", "Final mean loss"),
    ("final_risk", "Final risk"),
    ("train_accuracy", "Train accuracy"),
    ("test_accuracy", "Test accuracy"),
    ("seconds_per_step", "ms per step"),
)
TEST_COLUMNS = (
    "Entry", "Against", "Median difference", "p", "p (Holm)", "Effect", "Final mean loss",
)  # fmt: skip
CORRELATION_COLUMNS = (
    "Generator", "Total correlation (bits)", "Mean loss", "As a product", "Difference",
)  # fmt: skip
CORRELATION_NOTE = (
    "Total correlation is by how many bits of entropy a trained generator lies below the product "
    "of its own marginals. As a product is its mean loss once it is replaced by that: where this "
    "differs little, it is not the entanglement, nor any other correlation"
)
RISK_NOTE = "Entries are compared by mean loss, whatever risk they were trained for."
HELD_OUT_NOTE = (
    "Best networks were chosen on held-out rows, by the share of errors there (of numbers that are "
    "predicted, by the loss), not by training loss."
)
NONE = ("–", "")


def format_loss(value: float) -> str:
    """Four decimals tell the plateaus apart; smaller losses keep one digit, larger ones three."""
    if 0 < abs(value) < 5e-5:
        return f"{value:.0e}"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.3f}"


def format_count(value: float) -> str:
    """950, 4.52k, 131k, 1.2M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def format_regret(value: float) -> str:
    """As a loss, and 0 where there is none."""
    return "0" if value == 0 else format_loss(value)


def _share(value: float) -> str:
    return f"{100 * value:.0f}"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g}" if seconds < 1 else f"{1000 * seconds:,.0f}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def listed(names: Sequence[str]) -> str:
    """Names in quotes: one may be called "quantum", and is not the whole kind."""
    words = [f"“{name}”" for name in names]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def counts(spent: Mapping[str, int], units: Sequence[str], joined: str = " and ") -> str:
    """What is spent, unit by unit, without those of which nothing is: "64 shots in 1 circuit"."""
    words = [
        f"{spent[unit]:,} {unit.removesuffix('s') if spent[unit] == 1 else unit}"
        for unit in units
        if spent.get(unit)
    ]
    return joined.join(words)


def _interval(interval: Median | CensoredMedian | Share, show: Callable[[float], str]) -> str:
    low, high = interval.low, interval.high
    if low is None or high is None or low == high or show(low) == show(high):
        return ""
    return f"{show(low)}–{show(high)}"


def with_interval(median: Median, form: str = ".4f") -> str:
    """A median with its interval in brackets, alone where it has none: "0.12 (0.11–0.14)"."""
    if median.low is None or median.high is None:
        return f"{median.median:{form}}"
    return f"{median.median:{form}} ({median.low:{form}}–{median.high:{form}})"


def row_cells(entry: EntrySummary) -> dict[str, tuple[str, str]]:
    """One row as words: for each column the value and, in a second line, its interval or ""."""
    return {
        "parameters": (f"{entry.parameters:,}", ""),
        "shots": (f"{entry.shots:,}", ""),
        "circuits": (f"{entry.circuits:,}" if entry.circuits else "–", ""),
        "rows": (format_count(entry.rows) if entry.rows else "–", ""),
        "above_best_seen": _median(entry.above_best_seen, format_regret),
        "regret": _median(entry.regret, format_regret),
        "hit_share": _hits(entry.hit_share, entry.seeds),
        "evaluations_to_hit": _to_hit(entry.evaluations_to_hit, entry.evaluations),
        "held_out_loss": _median(entry.held_out_loss, format_loss),
        "final_loss": _median(entry.final_loss, format_loss),
        "final_risk": _median(entry.final_risk, format_loss),
        "train_accuracy": _median(entry.train_accuracy, "{:.4f}".format),
        "test_accuracy": _median(entry.test_accuracy, "{:.4f}".format),
        "seconds_per_step": _median(entry.seconds_per_step, _milliseconds),
    }


def _median(interval: Median | None, show: Callable[[float], str]) -> tuple[str, str]:
    if interval is None:
        return NONE
    return show(interval.median), _interval(interval, show)


def _hits(share: Share | None, seeds: int) -> tuple[str, str]:
    if share is None:
        return NONE
    return f"{round(share.value * seeds)} of {seeds}", _interval(share, _share) + "\u00a0%"


def _to_hit(interval: CensoredMedian | None, budget: int) -> tuple[str, str]:
    if interval is None:
        return NONE
    median, low, high = interval.median, interval.low, interval.high
    beyond = f"> {format_count(budget)}"
    value = beyond if median is None else format_count(median)
    if low is not None and high is None:
        return value, f"{format_count(low)} to {beyond}"
    return value, _interval(interval, format_count)


def setting_line(summary: Summary) -> str:
    """What was compared, in one line."""
    seeds, budget = len(summary.seeds), summary.budget
    left = [
        [getattr(entry.spent, unit) < limit for unit, limit in budget.items()]
        for entry in summary.generators
    ]
    some_less = any(map(any, left))
    in_steps = any(map(all, left))  # no limit is met, since one more step would be past it
    named = (summary.data, summary.network, summary.loss.replace("_", " "))
    return (
        f"{', '.join(dict.fromkeys(named))}; "  # an own objective has one name for all three
        f"{'up to ' * some_less}{counts(budget, list(budget))}"
        f"{', in whole steps,' * in_steps} for "
        f"{f'each of {seeds} seeds' if seeds > 1 else 'one seed'}; {summary.reference.kind} "
        f"{summary.reference.loss:.6f}"
    )


def kind_words(entry: EntrySummary) -> str:
    """The kind, and where and how it was trained as far as that is not the usual way."""
    ways = (
        (entry.backend, "mps"),
        (entry.estimator, "score-function"),
        (entry.risk, "expectation"),
    )
    unusual = [way for way, usual in ways if way is not None and way != usual]
    return " · ".join([entry.kind, *unusual])


def other_risks(summary: Summary) -> bool:
    """Whether anything was trained for another risk than the expectation."""
    return any(entry.risk not in (None, "expectation") for entry in summary.generators)


def columns_shown(summary: Summary) -> list[tuple[str, str]]:
    """The columns that say something: without accuracies or steps theirs are left out.

    Spending has its columns where the budget is in it, shots and circuits for other estimators too.
    Without a certificate the distance to the best loss seen stands in the place of the regret.
    """
    entries = summary.generators
    optional = {"above_best_seen", "held_out_loss", "final_risk", "train_accuracy",
                "test_accuracy", "seconds_per_step"}  # fmt: skip
    if summary.chosen_on_held_out:
        optional |= {"regret", "hit_share", "evaluations_to_hit"}
    hidden = {key for key in optional if all(getattr(entry, key) is None for entry in entries)}
    if "above_best_seen" not in hidden:
        hidden.add("regret")
    estimators = {entry.estimator for entry in entries} - {None, "score-function"}
    if not estimators and not {"shots", "circuits"} & set(summary.budget):
        hidden |= {"shots", "circuits"}
    if "rows" not in summary.budget:
        hidden.add("rows")
    return [(key, title) for key, title in COLUMNS if key not in hidden]


def lower_entry(test: PairedTest) -> str | None:
    """Which of the two has the lower losses, or None where the test cannot tell."""
    if test.p_holm >= SIGNIFICANT:
        return None
    return test.one if test.rank_correlation < 0 else test.other


def no_proof(summary: Summary) -> str:
    """That there is no certificate, and why; empty where there is one."""
    if summary.certificate is not None:
        return ""
    because = f": {summary.no_certificate.rstrip('.')}" if summary.no_certificate else ""
    return f"The optimum is not proven, so there is no regret and no hit{because}."


def remarks(summary: Summary) -> list[str]:
    """What is to be said below the tables: warnings, and why there is no certificate."""
    said = [f"Warning: {warning}" for warning in summary.warnings]
    return [*said, *filter(None, [no_proof(summary)])]


def best_note(summary: Summary) -> str:
    """What a best network is held against; empty where no column says it."""
    shown = dict(columns_shown(summary))
    if "above_best_seen" in shown:
        return (
            "“Above best seen” is the loss of the best network of a run minus the lowest that any "
            "run saw, which may lie above the true minimum. Without a proof there is no regret and "
            "no hit."
        )
    if "regret" not in shown or summary.certificate is None:
        return ""
    return (
        f"Regret is the loss of the best network of a run minus the {summary.reference.kind}, and "
        "a hit has a regret of 0."
    )


def interval_note(summary: Summary) -> str:
    """What the small print of values and shares is."""
    medians = len(summary.seeds) >= MIN_VALUES
    shares = any(entry.hit_share is not None for entry in summary.generators)
    if medians:
        ways = "bootstrap for medians" + ", Wilson for shares" * shares
        return (
            f"Values are medians over the seeds, small print is the approximate 95\u00a0% interval "
            f"({ways})."
        )
    few = (
        f"Values are medians over the seeds; fewer than {MIN_VALUES} seeds give no 95\u00a0% "
        "interval of a median."
    )
    of_shares = " Small print is Wilson’s approximate 95\u00a0% interval of a share."
    return few + of_shares * shares


def test_cells(test: PairedTest) -> tuple[str, ...]:
    """One paired test as words, a cell for each of TEST_COLUMNS."""
    lower = lower_entry(test)
    return (
        test.one,
        test.other,
        _signed(test.median_difference),
        _p(test.p),
        _p(test.p_holm),
        f"{test.effect} ({_signed(test.rank_correlation, 2)})",
        "not told apart" if lower is None else f"{lower} is lower",
    )


def _signed(value: float, digits: int = 4) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def correlation_rows(summary: Summary) -> list[tuple[str, ...]]:
    """What bits are worth together, a cell for each of CORRELATION_COLUMNS; where it is known."""
    return [
        _correlation_cells(entry) for entry in summary.generators if entry.product_loss is not None
    ]


def _correlation_cells(entry: EntrySummary) -> tuple[str, ...]:
    assert entry.joint_loss is not None
    assert entry.product_loss is not None
    assert entry.product_excess is not None
    total = "–"
    if entry.total_correlation is not None:
        total = f"{entry.total_correlation.median:.3f}".replace("-", "−")
        total += _plus_minus(entry.total_correlation_error, 3)
    excess = entry.product_excess.median
    difference = "0" if excess == 0 else _signed(excess)
    return (
        entry.name,
        total,
        format_loss(entry.joint_loss.median),
        format_loss(entry.product_loss.median),
        difference + _plus_minus(entry.product_excess_error, 4),
    )


def _plus_minus(error: float | None, digits: int) -> str:
    return "" if error is None else f" ± {error:.{digits}f}"


def correlation_note(summary: Summary) -> str:
    """What that table shows, and which of it is estimated."""
    errors = [
        error
        for entry in summary.generators
        for error in (entry.total_correlation_error, entry.product_excess_error)
    ]
    if all(error is None for error in errors):
        return f"{CORRELATION_NOTE}. All is exact, in the median over the seeds."
    return (
        f"{CORRELATION_NOTE}. Medians over the seeds; ± is the standard error of a seed where it "
        "is estimated from draws, and the rest is exact."
    )


def too_few_seeds(summary: Summary) -> str:
    """Says so where no outcome could pass the corrected tests: 2 / 2^seeds is the smallest p."""
    tests, seeds = summary.tests, len(summary.seeds)
    if not tests or len(tests) * 2.0 ** (1 - seeds) < SIGNIFICANT:
        return ""
    return f"{seeds} seeds are too few for any outcome to tell a pair apart"
