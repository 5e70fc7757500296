"""The tables of flips."""

import numpy as np

from experiments.flips.outcome import (
    CLAIMS,
    DATA,
    LIMITS,
    LOSSES,
    METHODS,
    OPTIMISERS,
    PRINTED,
    SCHEDULES,
    Part,
    Results,
    claims,
    having,
    hits,
    part,
    ratio,
)
from experiments.flips.recording import PHASES
from experiments.markdown import table
from qhyper.report.statistics import median_interval

WORDS = OPTIMISERS | LIMITS | SCHEDULES


def tables(results: Results) -> str:
    """Of both data sets: at chosen rates, at printed ones, of every rate; then the claims."""
    found = []
    for data, title in DATA.items():
        parts = {method: part(results, data, method) for method in METHODS}
        found += [_flips(parts, title), _values(parts, title), _losses(parts, title),
                  _rates(parts, title)]  # fmt: skip
    return "\n\n".join([*found, _course(results), _claims(results)])


def _name(one: Part) -> list[str]:
    return [WORDS[one.optimiser], WORDS[one.limit], WORDS[one.schedule]]


HEAD = ["optimiser", "latent weights", "rate over time"]


def _flips(parts: dict[str, Part], title: str) -> str:
    rows = []
    for one in parts.values():
        phases, flips = one.per_step(), one.of("flips").sum(axis=1)
        kept = one.of("changed_in_the_end").sum() / max(1, flips.sum())
        rows.append([
            *_name(one), f"{one.rates[one.chosen()]:g}", f"{phases.mean():.3f}", f"{phases[0]:.3f}",
            f"{phases[-1]:.4f}", f"{one.of('never').mean():.1f} of 36", f"{100 * (1 - kept):.0f} %",
            f"{one.of('moved').mean():.2f}",
        ])  # fmt: skip
    head = [*HEAD, "best of five", "flips a step", "first tenth", "last tenth",
            "weights that never flip", "flips taken back", "way of latent weights"]  # fmt: skip
    return table(f"{title}: how often weights flip, at the best rate", head, rows, words=3)


def _values(parts: dict[str, Part], title: str) -> str:
    rows = []
    for one in parts.values():
        asked, steps = one.of("asked").sum(), one.of("steps_with").sum()
        rows.append([
            *_name(one), _percent(ratio(one, "lower", "asked")),
            _percent(ratio(one, "higher", "asked")), _percent(ratio(one, "chance", "asked")),
            f"{ratio(one, 'alone', 'asked'):+.4f}",
            _percent(ratio(one, "steps_lower", "steps_with")),
            _percent(ratio(one, "steps_higher", "steps_with")),
            f"{ratio(one, 'together', 'steps_with'):+.4f}", f"{asked:,.0f}", f"{steps:,.0f}",
        ])  # fmt: skip
    head = [*HEAD, "a flip lowers the loss", "raises it", "any weight's flip would lower it",
            "change by a flip", "a step with flips lowers it", "raises it", "change by such a step",
            "flips asked", "steps with flips"]  # fmt: skip
    return table(f"{title}: what flips are worth, at the best rate", head, rows, words=3)


def _losses(parts: dict[str, Part], title: str) -> str:
    rows = []
    for one in parts.values():
        printed, nearest = PRINTED[one.optimiser], one.chosen("best")
        rows.append([
            *_name(one), _interval(100 * one.regret("end")), _interval(100 * one.regret("best")),
            f"{hits(one)} of {len(one.loss('best'))}", f"{one.rates[nearest]:g}",
            _interval(100 * one.regret("best", nearest)), f"{hits(one, nearest)}",
            f"{one.per_step(printed).mean():.3f}", f"{one.of('moved', printed).mean():.2f}",
            _interval(100 * one.regret("end", printed)),
            f"{hits(one, printed)}",
        ])  # fmt: skip
    minimum = next(iter(parts.values())).minimum
    head = [*HEAD, "regret at the end", "of the best met", "hit", "rate for the best met",
            "its regret", "hit", "at the printed rate: flips a step", "way of latent weights",
            "regret at the end", "hit"]  # fmt: skip
    return table(f"{title}: above the certified minimum of {minimum:.6f}", head, rows, words=3)


def _rates(parts: dict[str, Part], title: str) -> str:
    rows = []
    for one in parts.values():
        cells = []
        for k, rate in enumerate(one.rates):
            end, course, best = (100 * np.median(one.regret(which, k)) for which in LOSSES)
            cells.append(
                f"{rate:g}: {one.per_step(k).mean():.3f}, {end:.0f} %, {course:.0f} %, "
                f"{best:.1f} %, {hits(one, k)}"
            )
        rows.append([*_name(one), *cells])
    head = [*HEAD, "lowest rate", "second", "third", "fourth", "highest"]
    return table(
        f"{title}: flips a step, median regret at the end, after the tenths in the mean and of the "
        "best met, and hits at every rate", head, rows, words=3,
    )  # fmt: skip


RATES = {"end": "best at the end", "course": "best over the tenths", "printed": "as printed"}


def _course(results: Results) -> str:
    """Of every choice, in the mean over the others and the seeds."""
    levels = dict.fromkeys(level for pair in CLAIMS for level in pair)
    rows = []
    for data, title in DATA.items():
        for level in levels:
            for by, words in RATES.items():
                course = np.mean(
                    [one.course(one.chosen(by)) for one in having(results, data, level)], axis=0
                )
                rows.append([title, WORDS[level], words, *(f"{100 * x:.0f} %" for x in course)])
    head = ["data", "choice", "rates",
            *(f"after {100 * k // PHASES} %" for k in range(1, PHASES + 1))]  # fmt: skip
    return table(
        "Mean regret after each tenth of the training, the other choices averaged over", head, rows,
        words=3,
    )  # fmt: skip


def _claims(results: Results) -> str:
    columns = [
        ("end", "end"),
        ("end", "printed"),
        *(("course", by) for by in RATES),
        ("best", "end"),
        ("best", "best"),
    ]
    rows = []
    for data, title in DATA.items():
        for tests in zip(*(claims(results, data, *column) for column in columns), strict=True):
            rows.append([
                title, f"{WORDS[tests[0].one]} minus {WORDS[tests[0].other]}",
                *(f"{t.median_difference:+.4f} ({t.p_holm:.2g})" for t in tests),
            ])  # fmt: skip
    head = ["data", "choice", "loss at the end", "at rates as printed",
            "mean after the tenths", "at rates best for it",
            "at rates as printed", "best loss met", "at rates best for it"]  # fmt: skip
    return table(
        "What a choice changes, the other choices averaged over: median (p after Holm)", head, rows,
        words=2,
    )  # fmt: skip


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share == share else "–"


def _interval(values: object) -> str:
    one = median_interval(values)  # type: ignore[arg-type]
    ends = "" if one.low is None else f" ({one.low:.1f}–{one.high:.1f})"
    return f"{one.median:.1f} %{ends}"
