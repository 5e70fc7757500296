"""The tables of the study, beside the numbers that the report printed."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np

from experiments.da422.curves import chosen, kept_accuracy, passes
from experiments.da422.settings import BEST, FALLS, KINDS, ROWS, SIZES, WAYS, Row
from experiments.fashion.tables import KINDS as WORDS
from experiments.fashion.tables import PRINTED, SHORTER, Printed
from experiments.markdown import table

Results = Mapping[str, Any]

COMPARED = (("deterministic", "none"), ("stochastic", "none"), ("stochastic", "deterministic"))
"""Binarisations, and what the report holds their time and memory against."""


def tables(results: Results) -> str:
    """Accuracy, what an epoch costs, and what the report names without numbers.

    Trainings that `results` lacks are left out.
    """
    return "\n\n".join(
        [
            _accuracy(results),
            *_epoch(results.get("epoch")),
            _signs(results),
            _decays(results),
            _others(results),
        ]
    )


def percent(share: float) -> str:
    """A share in percent; a dash for NaN."""
    return "–" if np.isnan(share) else f"{100 * share:.2f}"


def _rows(results: Results) -> Iterator[tuple[Row, Mapping[str, Any], Printed, int | None]]:
    """Those that are printed: how, what was found, what was printed, and epochs if fewer."""
    for hidden in SIZES:
        for kind in KINDS:
            for name in (f"{kind}-{hidden}{way}" for way in WAYS[kind]):
                if name in results:
                    yield ROWS[name], results[name], PRINTED[f"{kind}-{hidden}"], None
                    if (kind, hidden) == ("deterministic", 128):
                        yield ROWS[name], results[name], SHORTER, SHORTER.epochs


def _accuracy(results: Results) -> str:
    rows = []
    for row, found, printed, epochs in _rows(results):
        kept, first = kept_accuracy(found, epochs), passes(found, printed.test / 100)
        ran = len(found["held_out"][:epochs])
        rows.append(
            [
                f"784-{row.hidden}-10", _binarised(row), "yes" if row.glorot else "no",
                "[-1, 1]" if row.wide else "Glorot",
                f"{ran} of {printed.epochs}", percent(kept), f"{printed.test:.1f}",
                "–" if np.isnan(kept) else f"{100 * kept - printed.test:+.1f}",
                "never" if first is None else f"{first}", f"{chosen(found, epochs)}",
                "–" if epochs else percent(found["training_accuracy"]), f"{printed.training:.1f}",
            ]
        )  # fmt: skip
    head = ["network", "binarisation", "γ", "start", "epochs, of the report's", "test accuracy, %",
            "printed", "difference", "at or above it first after epoch", "epoch chosen",
            "training accuracy, %", "printed"]  # fmt: skip
    return table("Accuracy, as printed and with its own optimiser", head, rows, words=4)


def _binarised(row: Row) -> str:
    return f"{WORDS[row.kind]}{'' if row.drawn_weights else ', activations alone'}"


def _epoch(found: Mapping[str, Any] | None) -> list[str]:
    """What an epoch takes, and what is saved, if that was measured."""
    if found is None:
        return []
    rows = []
    for hidden, kind in product(SIZES, KINDS):
        one, printed = found[f"{kind}-{hidden}"], PRINTED[f"{kind}-{hidden}"]
        rows.append(
            [
                f"784-{hidden}-10", WORDS[kind], f"{np.median(one['seconds']):.2f}",
                printed.epoch_seconds, _megabytes(one["memory"]), _megabytes(one["total_memory"]),
                f"{printed.memory:.2f}",
            ]
        )  # fmt: skip
    head = ["network", "binarisation", "s an epoch", "printed", "memory for it, MB",
            "of the process, MB", "printed"]  # fmt: skip
    return [table("What an epoch takes", head, rows, words=2), _savings(found)]


def _savings(found: Mapping[str, Any]) -> str:
    rows = []
    for hidden, (kind, other) in product(SIZES, COMPARED):
        one, against = found[f"{kind}-{hidden}"], found[f"{other}-{hidden}"]
        of_one, of_other = PRINTED[f"{kind}-{hidden}"], PRINTED[f"{other}-{hidden}"]
        if (kind, other, hidden) == ("stochastic", "deterministic", 128):
            of_other = SHORTER  # the run that the report sets beside it
        rows.append(
            [
                f"784-{hidden}-10", WORDS[kind], WORDS[other],
                _saving(one["seconds"], against["seconds"]),
                _saving(of_one.seconds, of_other.seconds),
                _saving(one["memory"], against["memory"]),
                _saving(one["total_memory"], against["total_memory"]),
                _saving(of_one.memory, of_other.memory),
            ]
        )  # fmt: skip
    head = ["network", "binarisation", "against", "time saved", "printed", "memory for it saved",
            "of the process saved", "printed"]  # fmt: skip
    return table("Saved in training", head, rows, words=3)


def _megabytes(found: list[float]) -> str:
    return f"{np.median(found):.0f}" if found else "–"


def _saving(found: Any, real: Any) -> str:
    """What is saved, in percent of `real`: numbers or lists of them, of which medians are taken."""
    known = all(numbers is not None and np.size(numbers) for numbers in (found, real))
    return f"{100 * (1 - np.median(found) / np.median(real)):+.0f} %" if known else "–"


def _signs(results: Results) -> str:
    rows = []
    for kind in KINDS[1:]:
        names = (f"signs-{kind}", f"{kind}-128{BEST[kind]}")
        if not all(name in results for name in names):
            continue
        signs, real = (results[name] for name in names)
        epochs = len(signs["held_out"])
        as_long = len(real["held_out"]) >= epochs
        rows.append(
            [
                WORDS[kind], f"{epochs}", percent(kept_accuracy(signs)),
                percent(kept_accuracy(real, epochs)) if as_long else "–",
                f"{signs['losses'][-1]:.3f}",
                f"{real['losses'][epochs - 1]:.3f}" if as_long else "–",
            ]
        )  # fmt: skip
    head = ["binarisation", "epochs", "test accuracy of mean(\\|g\\|) sign(g), %", "of g, %",
            "cost of mean(\\|g\\|) sign(g)", "of g"]  # fmt: skip
    return table("Binarised gradients of the weights, 784-128-10 with γ", head, rows)


def _decays(results: Results) -> str:
    rows = []
    for kind, fall in product(KINDS[1:], FALLS):
        if (name := f"decay-{kind}-{fall}") in results:
            found = results[name]
            rows.append(
                [
                    WORDS[kind], f"{fall}", f"{ROWS[name].decay:.5f}", f"{len(found['held_out'])}",
                    percent(max(found["held_out"])), percent(kept_accuracy(found)),
                ]
            )  # fmt: skip
    head = ["binarisation", "η falls by", "λ of a step", "epochs", "held-out accuracy, %",
            "test accuracy, %"]  # fmt: skip
    return table("The decay λ, 784-128-10 with γ", head, rows)


def _others(results: Results) -> str:
    rows = []
    for images, words in (("mnist", "MNIST"), ("cifar-10", "CIFAR-10")):
        for kind in KINDS:
            if (name := f"{images}-{kind}") in results:
                found = results[name]
                rows.append(
                    [
                        words, WORDS[kind], f"{len(found['held_out'])}",
                        percent(kept_accuracy(found)), percent(found["training_accuracy"]),
                        f"{chosen(found)}", f"{np.median(found['epoch_seconds']):.2f}",
                    ]
                )  # fmt: skip
    head = ["images", "binarisation", "epochs", "test accuracy, %", "training accuracy, %",
            "epoch chosen", "s an epoch"]  # fmt: skip
    return table("Other images, 128 units, each binarisation in its best way", head, rows, words=2)
