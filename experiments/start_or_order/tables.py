"""Whose the variance is, and where the trainings end."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from experiments.markdown import table
from experiments.start_or_order.variance import Component, Effect, TwoWay, two_way, without_one_row
from qhyper.targets.target import SAME_LOSS

Results = Mapping[str, Any]

DATA = {"mnist": "MNIST", "toy": "toy"}
PRINTED = {"mnist": (0.6336, 0.1680), "toy": (0.8440, 0.0242)}
"""Mean and standard deviation of ten test accuracies (table 1 of the thesis)."""
CLOSE = 1.05
"""A loss within 5 % of the certified minimum."""

VALUES: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "end": ("test accuracy at the end", lambda found: found["epochs"][-1]),
    "mean": ("test accuracy, mean of the last epoch", lambda found: found["last_epoch_mean"]),
    "loss": ("training loss at the end", lambda found: found["loss"]),
}
"""What is analysed of each training: tables [start][order]."""

EPOCHS = (0, 1, 2, 5, 10, 20, 30, 40, 50)


def tables(results: Results) -> str:
    """All tables, in Markdown."""
    sections = [_shares(results), _tests(results), _deviations(results), _epochs(results)]
    sections += [_ends(results), *(_each(results, data) for data in DATA)]
    return "\n\n".join(sections)


def _analysed(results: Results) -> Iterator[tuple[str, str, np.ndarray, TwoWay]]:
    for data, title in DATA.items():
        for what, value in VALUES.values():
            values = np.array(value(results[data]))
            yield title, what, values, two_way(values)


def _interval(part: Component) -> str:
    return f"{part.share:.2f} ({part.low:.2f}–{part.high:.2f})"


def _shares(results: Results) -> str:
    rows = [
        (title, what, _interval(found.rows), _range(without_one_row(values)),
         _interval(found.columns), _range(without_one_row(values.T)), _interval(found.remainder))
        for title, what, values, found in _analysed(results)
    ]  # fmt: skip
    head = (
        "data", "of the variance of", "start", "one start left out", "order of batches",
        "one order left out", "remainder",
    )  # fmt: skip
    return table("Shares of the variance, with 95 % intervals", head, rows, words=2)


def _range(shares: np.ndarray) -> str:
    return f"{shares.min():.2f} to {shares.max():.2f}"


def _tests(results: Results) -> str:
    rows = [
        (title, what, *_tested(found.rows), *_tested(found.columns))
        for title, what, _, found in _analysed(results)
    ]
    of = ("F", "p", "p of permutations", "share beside the remainder alone, if normal")
    head = ("data", "effects on", *(f"{name}: {w}" for name in ("start", "order") for w in of))
    return table("Is there an effect?", head, rows, words=2)


def _tested(effect: Effect) -> tuple[str, ...]:
    return (
        f"{effect.f:.2f}", f"{effect.p:.2g}", f"{effect.p_permutation:.2g}",
        f"{effect.against_low:.2f}–{effect.against_high:.2f}",
    )  # fmt: skip


def _deviations(results: Results) -> str:
    rows = []
    for data, title in DATA.items():
        found = results[data]
        end = np.array(found["epochs"][-1])
        parts, settled = two_way(end), two_way(found["last_epoch_mean"])
        within = np.sqrt(np.mean(np.square(found["last_epoch_sd"])))
        mean, sd = PRINTED[data]
        rows.append((
            title, f"{mean:.4f} ± {sd:.4f}", _spread(np.diag(end)), _spread(end),
            f"{np.sqrt(parts.total):.3f}",
            *(f"{np.sqrt(part.variance):.3f}" for part in (parts.rows, parts.columns,
                                                           parts.remainder)),
            f"{within:.3f}", f"{np.sqrt(settled.total):.3f}",
            f"{np.sqrt(settled.remainder.variance):.3f}",
        ))  # fmt: skip
    head = (
        "data", "printed, ten trainings", "start k with order k, as in the study thesis",
        "all trainings here", "sd of a new start and order", "of it start", "order", "remainder",
        "sd of one training over its last epoch", "sd of means of the last epoch",
        "of it remainder",
    )  # fmt: skip
    return table("Test accuracy at the end, in standard deviations", head, rows)


def _spread(values: np.ndarray) -> str:
    """Mean and standard deviation, of n and not n - 1 as in the published notebook."""
    return f"{values.mean():.4f} ± {values.std():.4f}"


def by_epoch(found: Mapping[str, Any]) -> list[TwoWay]:
    """The analysis of the test accuracy before training and after each epoch."""
    return [two_way(accuracy) for accuracy in found["epochs"]]


def _epochs(results: Results) -> str:
    rows = []
    for data, title in DATA.items():
        analyses = by_epoch(results[data])
        for epoch in EPOCHS:
            if epoch < len(analyses):
                one = analyses[epoch]
                parts = one.rows, one.columns, one.remainder
                mean = np.mean(results[data]["epochs"][epoch])
                rows.append((title, str(epoch), f"{mean:.3f}", f"{np.sqrt(one.total):.3f}",
                             *map(_interval, parts)))  # fmt: skip
        shares = np.array([
            [part.share for part in (one.rows, one.columns, one.remainder)]
            for one in analyses[1:-1]
        ])  # fmt: skip
        for what, of in (("mean", shares.mean(axis=0)), ("most", shares.max(axis=0))):
            name = f"{what} of 1 to {len(shares)}"
            rows.append((title, name, "–", "–", *(f"{share:.3f}" for share in of)))
    head = ("data", "epoch", "mean test accuracy", "sd", "start", "order", "remainder")
    return table("Shares of the variance of the test accuracy, as training goes on", head, rows)


def _ends(results: Results) -> str:
    rows = []
    for data, title in DATA.items():
        found, known = results[data], results[data]["landscape"]["certificate"]
        loss = np.array(found["loss"])
        minimum = known["minimum_loss"]
        rows += [
            (title, what, *(form(q) for q in np.quantile(found[name], (0, 0.25, 0.5, 0.75, 1))))
            for what, name, form in (
                ("training loss", "loss", "{:.4f}".format),
                ("regret: loss above the certified minimum", "regret", "{:.4f}".format),
                (f"levels of the spectrum below, of {known['levels']:,}", "levels_below",
                 "{:,.0f}".format),
                ("share of all 2^36 networks below", "share_below", "{:.2g}".format),
                ("hidden units without effect, of 6", "null_units", "{:.0f}".format),
            )
        ]  # fmt: skip
        counts = (loss <= CLOSE * minimum).sum(), (loss <= minimum + SAME_LOSS).sum()
        rows.append((
            title, f"trainings within 5 % of the minimum {minimum:.4f} / at it",
            f"{counts[0]} / {counts[1]} of {loss.size}", *["–"] * 4,
        ))  # fmt: skip
    head = ("data", "", "least", "quarter", "median", "three quarters", "most")
    return table("Where all trainings end, against the certificate", head, rows, words=2)


def _each(results: Results, data: str) -> str:
    accuracy = np.array(results[data]["epochs"][-1])
    rows = [
        (f"start {k}", *(f"{one:.3f}" for one in row), f"{row.mean():.3f}")
        for k, row in enumerate(accuracy)
    ]
    rows.append(
        ("mean", *(f"{one:.3f}" for one in accuracy.mean(axis=0)), f"{accuracy.mean():.3f}")
    )
    head = ("", *(f"order {k}" for k in range(accuracy.shape[1])), "mean")
    return table(f"Test accuracy at the end of every training, {DATA[data]}", head, rows)


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    found: dict[str, float] = {}
    for data in DATA:
        landscape = results[data]["landscape"]
        found[f"{data}-minimum-loss"] = landscape["certificate"]["minimum_loss"]
        found[f"{data}-mean-accuracy"] = float(np.mean(results[data]["epochs"][-1]))
        found[f"{data}-thesis-accuracy"] = float(np.diag(results[data]["epochs"][-1]).mean())
        found[f"{data}-least-regret"] = float(np.min(results[data]["regret"]))
        found[f"{data}-median-regret"] = float(np.median(results[data]["regret"]))
        for name, (_, value) in VALUES.items():
            values = np.array(value(results[data]))
            analysis, without = two_way(values), without_one_row(values)
            found[f"{data}-{name}-sd"] = float(np.sqrt(analysis.total))
            found[f"{data}-{name}-share-of-start"] = analysis.rows.share
            found[f"{data}-{name}-share-of-start-one-left-out-least"] = float(without.min())
            found[f"{data}-{name}-share-of-start-one-left-out-most"] = float(without.max())
            found[f"{data}-{name}-share-of-order"] = analysis.columns.share
            found[f"{data}-{name}-share-of-remainder"] = analysis.remainder.share
    return found
