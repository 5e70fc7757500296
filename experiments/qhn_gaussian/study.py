"""A 2-4-1 network on a Gaussian mixture: its weights, biases and activation from 18 qubits.

python -m experiments run qhn-gaussian
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments import qhn, qhn_tables
from experiments.qhn import Size

TITLE = "Carrasquilla et al. on a Gaussian mixture: weights and activation from one circuit"
SHARED = ("qhn.py",)
prepare = qhn.prepare

RANDOM = {("uniform", depth): 30 for depth in (0, 2, 4, 6, 8)}
FULL = Size({"gaussian": RANDOM | {("near", 0): 30, ("near", 4): 30}}, seeds=5)
QUICK = Size({"gaussian": {("uniform", 0): 5, ("uniform", 2): 5}}, seeds=2)


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
