"""From results to figures of merit: regret, hits, evaluations to a hit, and paired tests."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from qhyper.arrays import counted
from qhyper.errors import ConfigurationError
from qhyper.report.results import BySeed, Correlation, Result, first_hits
from qhyper.report.statistics import (
    CensoredMedian,
    Median,
    PairedTest,
    Share,
    censored_median,
    median_interval,
    paired_tests,
    wilson,
)
from qhyper.report.tuning import Searches
from qhyper.spending import Spending
from qhyper.storage import restored
from qhyper.targets.target import SAME_LOSS

CERTIFIED = "certified minimum"
BEST_SEEN = "best loss seen"
_SHOWN = 9
"""Entries that are named when a summary is printed."""
KINDS = ("quantum", "classical", "control")


@dataclass(frozen=True)
class Reference:
    """The loss that best losses are held against; only a certified one makes regret and hits."""

    loss: float
    kind: str
    """certified minimum, or best loss seen"""


@dataclass(frozen=True, kw_only=True)
class EntrySummary:
    """The figures of merit of one entry over all seeds; None where they are not defined."""

    name: str
    kind: str
    description: str
    parameters: int
    seeds: int
    """how many"""
    evaluations: int
    """spent by each seed; so are the next three"""
    shots: int
    circuits: int
    rows: int
    step: Spending | None
    """what a step costs each seed"""
    estimator: str | None
    risk: str | None
    backend: str | None
    best_loss: Median | None
    """this and the next four are None where nothing was drawn, or where the best network was not
    chosen by training loss"""
    regret: Median | None
    """best loss minus the certified minimum; None, as the next two, without a certificate"""
    hit_share: Share | None
    evaluations_to_hit: CensoredMedian | None
    above_best_seen: Median | None
    """best loss minus the best that any entry saw, where there is no certificate and the best of
    more than one entry to compare"""
    held_out_loss: Median | None
    """of the best network, where it was chosen on held-out rows"""
    final_loss: Median
    final_risk: Median | None
    train_accuracy: Median | None
    test_accuracy: Median | None
    seconds_per_step: Median | None
    total_correlation: Median | None
    """in bits, between the bits of the trained generator; None, as the rest, where not measured"""
    total_correlation_error: float | None
    """standard error of a seed, in the median; None where it is exact, and so is the last one"""
    joint_loss: Median | None
    """mean loss of the generator, exact where the next is: else the final loss"""
    product_loss: Median | None
    """mean loss once it is replaced by the product of its own marginals"""
    product_excess: Median | None
    """the second minus the first, seed by seed"""
    product_excess_error: float | None

    def __repr__(self) -> str:
        merits = {"final loss": self.final_loss, "best loss": self.best_loss, "regret": self.regret}
        said = [f"{name} {m.median:.6g}" for name, m in merits.items() if m is not None]
        if self.hit_share is not None:
            said.append(f"hits {self.hit_share.value:.0%}")
        return f"EntrySummary({self.name}, {counted(self.seeds, 'seed')}: {', '.join(said)})"

    @property
    def spent(self) -> Spending:
        """All that each seed spent."""
        return Spending(self.evaluations, self.shots, self.circuits, self.rows)

    @property
    def drew_nothing(self) -> bool:
        """Whether there was no best network to choose, as with exact gradients."""
        return self.best_loss is None and self.held_out_loss is None

    @classmethod
    def from_json(cls, found: Mapping[str, Any], where: str = "The summary") -> Self:
        """The inverse of `Summary.to_json` for one entry; StorageError for another version's."""
        values = dict(found)
        for name, kind in _NESTED.items():
            if found.get(name) is not None:
                values[name] = restored(kind, found[name], where)
        return restored(cls, values, where)


_NESTED: dict[str, type] = {
    "step": Spending,
    "hit_share": Share,
    "evaluations_to_hit": CensoredMedian,
    "regret": Median,
    "best_loss": Median,
    "above_best_seen": Median,
    "held_out_loss": Median,
    "final_loss": Median,
    "final_risk": Median,
    "train_accuracy": Median,
    "test_accuracy": Median,
    "seconds_per_step": Median,
    "total_correlation": Median,
    "joint_loss": Median,
    "product_loss": Median,
    "product_excess": Median,
}
"""Fields of an `EntrySummary` that are dataclasses themselves."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a comparison found: all that its tables and its answer say, and `--json` prints."""

    data: str
    network: str
    loss: str
    evaluations: int
    """the most that any entry spent for a seed"""
    budget: Mapping[str, int]
    """what each seed could spend: the limits that were set, by name"""
    seeds: Sequence[int]
    certificate: Mapping[str, Any] | None
    """as `Certificate.to_dict` gives it, with the name of the data"""
    no_certificate: str | None
    """why there is none"""
    reference: Reference
    generators: Sequence[EntrySummary]
    """in the order of the entries, controls too"""
    tests: Sequence[PairedTest]
    """of chosen pairs, or else of every circuit against the best classical generator"""
    warnings: Sequence[str]
    """what the numbers do not say of themselves, and what to do about it"""
    tuning: Searches | None = None
    """what found the entries' settings, on other seeds; None where they are as they stand"""

    def __repr__(self) -> str:
        return f"Summary {self.brief()}"

    def brief(self) -> str:
        """What was compared, and which entries did best, in three lines."""
        names = [entry.name for entry in self.generators]
        more = ", …" * (len(names) > _SHOWN)
        lowest = min(self.generators, key=lambda entry: entry.final_loss.median)
        best = [f"lowest final loss {lowest.name}, {lowest.final_loss.median:.6g}"]
        shares = {e.name: e.hit_share.value for e in self.generators if e.hit_share is not None}
        if most := max(shares.values(), default=0):
            first = [name for name, share in shares.items() if share == most]
            others = f" and {len(first) - 1} more" * (len(first) > 1)
            best.append(f"most hits {first[0]}{others}, {most:.0%} of the seeds")
        elif shares:
            best.append("no hits")
        about = dict.fromkeys((self.data, self.network, self.loss.replace("_", " ")))
        budget = " and ".join(f"{limit:,} {unit}" for unit, limit in self.budget.items())
        setting = (
            f"{', '.join(about)}; {budget} for "
            f"{f'each of {len(self.seeds)} seeds' if len(self.seeds) > 1 else 'one seed'}; "
            f"{self.reference.kind} {self.reference.loss:.6g}"
        )
        lines = [f"of {', '.join(names[:_SHOWN])}{more}", setting, "; ".join(best)]
        return "\n  ".join(lines)

    @property
    def chosen_on_held_out(self) -> bool:
        """Whether any best networks were chosen on held-out rows."""
        return any(entry.held_out_loss is not None for entry in self.generators)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, lists and dictionaries."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any], where: str = "The summary") -> Self:
        """The summary that `to_json` wrote; `where` it stands is named in the error.

        Raises StorageError for what another version wrote.
        """
        values = dict(found)
        if "generators" in found:
            values["generators"] = [
                EntrySummary.from_json(entry, where) for entry in found["generators"]
            ]
        if "tests" in found:
            values["tests"] = [restored(PairedTest, test, where) for test in found["tests"]]
        if "reference" in found:
            values["reference"] = restored(Reference, found["reference"], where)
        if found.get("tuning") is not None:
            values["tuning"] = Searches.from_json(found["tuning"], where)
        return restored(cls, values, where, optional={"tuning"})


def summarise(
    results: Sequence[Result],
    *,
    certificate: Mapping[str, Any] | None,
    no_certificate: str | None,
    data: str,
    network: str,
    loss: str,
    budget: Mapping[str, int] | None = None,
    warnings: Sequence[str] = (),
    pairs: Sequence[tuple[str, str]] | None = None,
    tuning: Searches | None = None,
) -> Summary:
    """Results of several searches over the same seeds as one comparison.

    The reference is the certified minimum, and a hit is a loss within 1e-9 of it. Without a
    certificate it is the best loss that any of them saw (after training, where no search drew
    anything on its way): there is no regret and no hit then, only a distance to it, and none where
    a single entry is its own reference. A training without draws, and one whose best network was
    chosen on held-out rows, has none of these. Medians over the seeds come with bootstrap
    intervals, shares with Wilson's. `budget` is what each seed could spend, evaluations alone
    unless told. `pairs` are tested by final loss: every quantum entry and the classical one with
    the lowest median unless told. `tuning` is what found the entries' settings. Raises
    ConfigurationError if there are no results, names repeat, a kind is unknown, seeds differ, or a
    loss lies below the certified minimum.
    """
    _check(results)
    best = min(_seen(results))
    if certificate is None:
        reference = Reference(float(best), BEST_SEEN)
    else:
        reference = Reference(float(certificate["minimum_loss"]), CERTIFIED)
        if best < reference.loss - SAME_LOSS:
            raise ConfigurationError(
                f"A search found the loss {best}, below the certified minimum {reference.loss}: "
                "this certificate belongs to another objective. Certify this data and loss, or "
                "compare without a certificate."
            )
    to_compare = sum(result.best_by_training_loss for result in results) > 1
    evaluations = max(result.evaluations for result in results)
    return Summary(
        data=data,
        network=network,
        loss=loss,
        evaluations=evaluations,
        budget=dict(budget or {"evaluations": evaluations}),
        seeds=list(results[0].seeds),
        certificate=None if certificate is None else dict(certificate),
        no_certificate=no_certificate,
        reference=reference,
        generators=[_summary(result, reference, to_compare) for result in results],
        tests=_tests(results, pairs),
        warnings=list(warnings),
        tuning=tuning,
    )


def _tests(results: Sequence[Result], pairs: Sequence[tuple[str, str]] | None) -> list[PairedTest]:
    losses = {result.name: result.final_loss for result in results}
    kinds = {result.name: result.kind for result in results}
    if pairs is None:
        classical = [name for name, kind in kinds.items() if kind == "classical"]
        best = sorted(classical, key=lambda name: float(np.median(losses[name])))[:1]
        pairs = [(name, b) for b in best for name, kind in kinds.items() if kind == "quantum"]
    tests = paired_tests(losses, pairs)
    return [replace(test, **_by_kind(test, kinds)) for test in tests]


def _by_kind(test: PairedTest, kinds: Mapping[str, str]) -> dict[str, str]:
    """Which is quantum and which classical, where there is one of each."""
    found = {kinds[name]: name for name in (test.one, test.other)}
    return found if set(found) == {"quantum", "classical"} else {}


def _seen(results: Sequence[Result]) -> list[float]:
    """The best training losses, or else, where no entry has any, the losses after training."""
    best = [
        loss
        for result in results
        if result.best_by_training_loss
        for loss in result.best_loss
        if loss is not None
    ]
    if best:
        return best
    return [
        loss
        for result in results
        for losses in (result.final_loss, *result.final_losses)
        for loss in losses
    ]


def _check(results: Sequence[Result]) -> None:
    if not results:
        raise ConfigurationError("There are no results to compare.")
    for result in results:
        if result.kind not in KINDS:
            raise ConfigurationError(
                f"Unknown kind '{result.kind}' of {result.name}; known: {', '.join(KINDS)}."
            )
    names = [result.name for result in results]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"Each result needs a name of its own; got {', '.join(names)}.")
    if any(list(result.seeds) != list(results[0].seeds) for result in results):
        seeds = {result.name: result.seeds for result in results}
        raise ConfigurationError(f"A comparison needs the same seeds for all; got {seeds}.")


def _summary(result: Result, reference: Reference, to_compare: bool) -> EntrySummary:
    return EntrySummary(
        name=result.name,
        kind=result.kind,
        description=result.description,
        parameters=result.parameters,
        seeds=len(result.seeds),
        **vars(result.spent),
        step=result.step,
        estimator=result.estimator,
        risk=result.risk,
        backend=result.backend,
        **_merits_of_best(result, reference, to_compare),
        held_out_loss=_median(result.held_out_loss),
        final_loss=median_interval(result.final_loss),
        final_risk=_median(result.final_risk),
        train_accuracy=_median(result.train_accuracy),
        test_accuracy=_median(result.test_accuracy),
        seconds_per_step=_median(result.seconds_per_step),
        **_of_correlation(result.correlation),
    )


def _of_correlation(found: Correlation | None) -> dict[str, Any]:
    """What the bits are worth together."""
    told = found or Correlation(
        total_correlation=None, total_correlation_error=None, loss=[], product_loss=[],
        loss_error=None,
    )  # fmt: skip
    return {
        "total_correlation": _median(told.total_correlation),
        "total_correlation_error": _typical(told.total_correlation_error),
        "joint_loss": _median(told.loss),
        "product_loss": _median(told.product_loss),
        "product_excess": _median(told.excess),
        "product_excess_error": _typical(told.loss_error),
    }


def _typical(errors: BySeed) -> float | None:
    return None if errors is None else float(np.median(errors))


def _merits_of_best(result: Result, reference: Reference, to_compare: bool) -> dict[str, Any]:
    """How good the draws on the way were, and when."""
    found: dict[str, Any] = dict.fromkeys(
        ("best_loss", "regret", "hit_share", "evaluations_to_hit", "above_best_seen")
    )
    if not result.best_by_training_loss:
        return found
    best = np.asarray(result.best_loss, dtype=np.float64)
    found["best_loss"] = median_interval(best)
    above = best - reference.loss
    above[np.abs(above) < SAME_LOSS] = 0.0
    if reference.kind == CERTIFIED:
        hits = first_hits(result.improvements, reference.loss)
        found["regret"] = median_interval(above)
        found["hit_share"] = wilson(sum(hit is not None for hit in hits), len(hits))
        found["evaluations_to_hit"] = censored_median(hits, result.evaluations)
    elif to_compare:  # an entry alone would be held against itself
        found["above_best_seen"] = median_interval(above)
    return found


def _median(values: BySeed) -> Median | None:
    return median_interval(values) if values is not None and len(values) else None
