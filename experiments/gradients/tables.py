"""The tables of the errors at each start and size, and of the losses at equal budgets."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.gradients.settings import (
    CHUNKED_TRAINED,
    SHOWN,
    STARTS,
    TRAINED,
    errors_of,
    regret,
    shown,
)
from experiments.markdown import table
from qhyper.report.statistics import median_interval
from qhyper.report.words import with_interval

LABELS: Mapping[str, str] = {
    "score-function": "score function",
    "score-function-no-baseline": "score function, no baseline",
    "natural-gradient": "natural gradient",
    "control-variate": "control variate",
    "stein": "Stein control variate",
    "block-expectation": "block expectation",
    "local-expectation": "local expectation, biased",
    "rao-blackwell": "Rao-Blackwell, every flip",
    "rao-blackwell-1": "Rao-Blackwell, one flip",
    "parameter-shift": "parameter shift",
    "stochastic-shift": "stochastic shift, 8 angles",
    "spsa": "SPSA",
    "spsa-16": "SPSA, 16 directions",
}
BIASED = ("local-expectation",)
"""Whose error does not fall to 0 with time."""
ALIKE = ("score-function", "natural-gradient")
"""What others are compared with, and what estimates another vector."""
EXACT = 1e-12
"""Relative errors below are rounding."""


def tables(results: Mapping[str, Any]) -> str:
    """All tables."""
    errors = [_errors(name, found) for name, found in errors_of(results)]
    losses = (("training", "shots", TRAINED), ("chunked-training", "evaluations", CHUNKED_TRAINED))
    return "\n\n".join([*errors, *(_losses(results, *which) for which in losses)])


def title_of(name: str) -> str:
    """Size and start of a part on errors, in words."""
    start = STARTS[name.removeprefix("chunked-")][0]
    return f"36 bits in chunks of 6, {start}" if name.startswith("chunked") else f"12 bits, {start}"


def _errors(name: str, found: Mapping[str, Any]) -> str:
    one = shown(found, "score-function")
    rows = []
    for estimator, label in LABELS.items():
        if estimator not in found["errors"]:
            continue
        at = shown(found, estimator)
        rows.append((
            label, f"{at['circuits']}", f"{at['evaluations']:,}", *ratios(estimator, at, one),
            _short(1e3 * at["seconds"]),
            f"{at['signal_to_noise']:.3g}" if at["relative_mse"] > EXACT else "∞",
            f"{at['cosine']:.2f}",
        ))  # fmt: skip
    known = f" ± {found['reference_mse'] ** 0.5:.1%}" if "reference_mse" in found else ""
    head = (
        "estimator", "circuits", "evaluations", "relative MSE", "per evaluation", "per second",
        "pays", "ms", "signal to noise", "cosine",
    )  # fmt: skip
    norm = f"|g| = {found['norm']:.3g}{known}"
    return table(f"{title_of(name)}: {SHOWN:,} evaluations, {norm}", head, rows)


def ratios(
    estimator: str, at: Mapping[str, float], one: Mapping[str, float]
) -> tuple[str, str, str, str]:
    """Relative MSE, as multiples of the score function's by evaluations and seconds; if it pays."""
    if at["relative_mse"] < EXACT:
        return "exact", "0", "0", "yes"
    ratio = at["relative_mse"] / one["relative_mse"]
    mse, by_second = f"{at['relative_mse']:.3g}", ratio * at["seconds"] / one["seconds"]
    if estimator in BIASED:
        return mse, _short(ratio), "–", "biased"
    if estimator in ALIKE:
        return mse, _short(ratio), _short(by_second), "–"
    pays = [word for word, x in (("evaluation", ratio), ("second", by_second)) if x < 1]
    words = {0: "no", 1: f"per {''.join(pays)}", 2: "yes"}[len(pays)]
    return mse, _short(ratio), _short(by_second), words


def _short(number: float) -> str:
    """With two figures."""
    return f"{float(f'{number:.2g}'):,g}"


def _losses(
    results: Mapping[str, Any], part: str, unit: str, names: Sequence[str] | Mapping[str, Any]
) -> str:
    rows = []
    for name in names:
        found = results[f"{part}-{name}"]
        rows.append((
            LABELS[name], f"{found['draws']}", f"{found['learning_rate']}",
            f"{found['circuits']:,}", with_interval(median_interval(found["final_loss"])),
            f"{regret(found):.4f}",
        ))  # fmt: skip
    one = results[f"{part}-score-function"]
    of = "36 bits in chunks of 6" if part.startswith("chunked") else "36 qubits, depth 2"
    title = (
        f"{of}: {one[unit]:,} {unit}, {len(one['final_loss'])} seeds, certified minimum "
        f"{one['minimum']:.6f}"
    )
    head = (
        "estimator", "draws a circuit", "learning rate", "circuits", "final mean loss", "regret",
    )  # fmt: skip
    return table(title, head, rows)
