"""Which settings of a sweep matter: an analysis of variance, corrected for chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qhyper.report.statistics import ROUNDING
from qhyper.report.sweep_summary import PointSummary, distinct, is_drawn, settings

MIN_POINTS = 10
"""Points of an entry without which nothing is said of its settings."""
MIN_MEMBERS = 3
"""Points that every value of a setting needs."""
GROUPS = 5
"""Groups of neighbours that the values of a drawn range are put into, at the most."""


@dataclass(frozen=True)
class Effect:
    """How much of the spread of an entry's final loss one setting explains alone."""

    entry: str
    kind: str
    key: str
    share: float
    """from 0, none, to 1, all"""


def effects(summaries: Sequence[PointSummary]) -> list[Effect]:
    """The share of every setting of every entry, as far as the points can tell; of one problem.

    An analysis of variance of the final losses [point, seed], of the seeds that all points of an
    entry have. The share of a setting is omega squared (Hays, 1963, "Statistics for
    psychologists"), corrected for what chance alone would explain:

        (SS - df * MS) / (SS_total + MS),

    and 0 where that is below 0. SS_total is the spread of all losses. SS, with df degrees of
    freedom, is what the setting explains beyond all other settings, each by a value of its own (no
    products of settings: type II, Yates, 1934). MS is the mean square of what points then differ
    by, not of seeds: values are given to points, and the seeds of one are no repeats of that.

    Values of a drawn range are put into groups of neighbours of equal size. There is no share for
    fewer than ten points, of a setting that has less than three of a value, or where settings take
    more than half of the points' degrees of freedom.
    """
    found = []
    for entry in dict.fromkeys(each.entry for each in summaries):
        own = [each for each in summaries if each.entry == entry]
        shares = _shares(own) if len(own) >= MIN_POINTS else {}
        found += [Effect(entry, own[0].kind, key, share) for key, share in shares.items()]
    return found


def _shares(own: Sequence[PointSummary]) -> dict[str, float]:
    seeds = sorted(set.intersection(*(set(each.losses) for each in own)))
    factors = _factors(own)
    losses = np.array([[each.losses[seed] for seed in seeds] for each in own])
    if not seeds or not factors or np.ptp(losses) <= ROUNDING * np.abs(losses).max():
        return {}
    total, means = ((losses - losses.mean()) ** 2).sum(), losses.mean(axis=1)
    left, rank = _left(means, factors.values())
    error = len(seeds) * left / (len(own) - rank)
    shares = {}
    for key in factors:
        without, smaller = _left(means, [at for other, at in factors.items() if other != key])
        df = rank - smaller
        if df:  # none if other settings change with it
            explained = len(seeds) * (without - left)
            shares[key] = max(0.0, float((explained - df * error) / (total + error)))
    return shares


def _factors(own: Sequence[PointSummary]) -> dict[str, np.ndarray]:
    """The group of each point by every setting, with as many groups of ranges as points allow."""
    keys = [key for key in settings(own) if all(each.point.get(key) is not None for each in own)]
    values = {key: [each.point[key] for each in own] for key in keys}
    for n in range(min(GROUPS, len(own) // MIN_MEMBERS), 1, -1):
        found = {key: groups(each, n) for key, each in values.items()}
        found = {key: at for key, at in found.items() if np.bincount(at).min() >= MIN_MEMBERS}
        if found and 2 * sum(at.max() for at in found.values()) < len(own):
            return found
    return {}


def groups(values: Sequence[Any], n: int = GROUPS) -> np.ndarray:
    """The group of each value, from 0: equal values, or n of neighbours for a drawn range."""
    order = {repr(value): place for place, value in enumerate(distinct(values))}
    at = np.array([order[repr(value)] for value in values])
    return at * n // len(order) if is_drawn(values) and len(order) > n else at


def _left(means: np.ndarray, factors: Any) -> tuple[float, int]:
    """What is left of means [point] after all factors, as a sum of squares; and their rank."""
    columns = [np.ones((len(means), 1)), *(np.eye(at.max() + 1)[at] for at in factors)]
    design = np.hstack(columns)
    fitted, _, rank, _ = np.linalg.lstsq(design, means, rcond=None)
    return float(((means - design @ fitted) ** 2).sum()), int(rank)


def mean_shares(found: Sequence[Effect]) -> Mapping[str, float]:
    """Of every setting its share, in the mean over the entries; the largest first."""
    by_key: dict[str, list[float]] = {}
    for effect in found:
        by_key.setdefault(effect.key, []).append(effect.share)
    means = {key: float(np.mean(shares)) for key, shares in by_key.items()}
    return dict(sorted(means.items(), key=lambda pair: -pair[1]))
