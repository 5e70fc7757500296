"""Logistic regression on 4×4 MNIST: its weights, and what values they have, found by one circuit.

python -m experiments run qhn-mnist
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments import qhn, qhn_tables
from experiments.qhn import Size

TITLE = "Carrasquilla et al. on 4×4 MNIST: does entanglement help to find the best network?"
SHARED = ("qhn.py",)
prepare = qhn.prepare

RANDOM = {("uniform", depth): 30 for depth in (0, 2, 4, 6, 8)}
NEAR = {("near", 0): 100, ("near", 4): 100}
FULL = Size(
    {
        "digits-01": RANDOM | NEAR,
        "digits-37": RANDOM | NEAR,
        "values-01": RANDOM,
        "values-37": RANDOM,
    },
    seeds=5,
)
QUICK = Size(
    {"digits-01": {("uniform", 0): 10, ("uniform", 2): 5, ("near", 4): 10}},
    seeds=2,
)


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """Every problem at every depth; what draws at the same budget; the costs themselves."""
    return qhn.parts(QUICK if quick else FULL)


def tables(results: Mapping[str, Any]) -> str:
    """All tables."""
    return qhn_tables.tables(results, _size(results))


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write depth.svg and spectrum.svg."""
    size = _size(results)
    qhn_tables.draw_depths(results, size, folder / "depth.svg")
    qhn_tables.draw_spectrum(results, list(size.restarts), folder / "spectrum.svg")


def measured(results: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    return qhn_tables.measured(results, _size(results))


def _size(results: Mapping[str, Any]) -> Size:
    return next(size for size in (FULL, QUICK) if set(qhn.parts(size)) == set(results))
