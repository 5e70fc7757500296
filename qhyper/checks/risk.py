"""What a risk must do: costs that are the first variation of its value."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.bits import all_bitstrings
from qhyper.checks.finding import Broken, LeftOut, expect, expect_array, expect_same
from qhyper.risk import Risk as AnyRisk
from qhyper.risk import Sample

Float = npt.NDArray[np.float64]

N = 4
DRAWS = 2000
"""Draws of a population whose shares are those of its strings."""
MOVED = 2
"""Draws of the population that are of another string in a finite difference."""
_FEWEST = 41
"""Draws of any string, more than are moved."""
_RNG = np.random.default_rng(7)
LOSSES = _RNG.normal(size=1 << N) + 2
COUNTS = _RNG.multinomial(DRAWS - _FEWEST * (1 << N), _RNG.dirichlet(np.full(1 << N, 3.0)))
COUNTS = COUNTS + _FEWEST
"""Draws of each string."""
PAIRS = ((int(LOSSES.argmin()), int(LOSSES.argmax())), (0, 5), (3, 12), (15, 1), (7, 8), (10, 2))
"""Strings (one, other) between which draws are moved, the best and the worst first."""
NEAR = 0.003
"""How near changes have to be, in units of the largest: whatever the units of the risk are."""


TURNED = 0.9
"""A correlation of costs from which their sign is turned round."""
MOMENTS = (0.0, 0.3, 0.7, 1.0)
"""Shares of a training at which a risk with a schedule is tried, its end among them."""


@dataclass(frozen=True, eq=False)
class Risk:
    """A risk to be tried, at several moments of its schedule if it has one."""

    risk: AnyRisk

    @property
    def moments(self) -> dict[float, AnyRisk]:
        """The risk at every share of a training that is tried; one if it is always the same."""
        moments = {progress: self.risk.at(progress) for progress in MOMENTS}
        if all(now is self.risk for now in moments.values()):
            return {0.0: self.risk}
        return moments


def at_every_moment(check: Callable[[AnyRisk], None]) -> Callable[[Risk], None]:
    """The check of a risk at every moment of its schedule, which is named where it breaks."""

    @wraps(check)
    def tried(subject: Risk) -> None:
        moments = subject.moments
        for progress, now in moments.items():
            try:
                check(now)
            except Broken as problem:
                when = f"At {progress} of the training: " if len(moments) > 1 else ""
                raise Broken(f"{when}{problem}") from problem

    return tried


def population(risk: AnyRisk, counts: npt.NDArray[np.int64] = COUNTS) -> Sample:
    """Draws that are a distribution: of string k, `counts[k]`, with the log p that this is."""
    strings = np.repeat(np.arange(1 << N), counts)
    log_p = np.log(counts / counts.sum(), where=counts > 0, out=np.full(1 << N, -np.inf))
    return Sample(
        all_bitstrings(N)[strings], LOSSES[strings], log_p[strings] if risk.needs_log_prob else None
    )


def some_draws(risk: AnyRisk, shape: tuple[int, ...] = (2, 3), shots: int = 40) -> Sample:
    """Random draws [..., shot, bit] of several distributions."""
    rng = np.random.default_rng(1)
    strings = rng.integers(0, 1 << N, (*shape, shots))
    log_p = rng.normal(-3, 0.5, strings.shape) if risk.needs_log_prob else None
    return Sample(all_bitstrings(N)[strings], LOSSES[strings], log_p)


def it_is_a_risk(subject: Risk) -> None:
    """It is a Risk at every moment of a training, and says what it needs."""
    for progress, made in subject.moments.items():
        what = f"at({progress}) gave a {type(made).__name__}; expected a Risk: subclass Risk."
        expect(isinstance(made, AnyRisk), what)
        least = made.min_shots
        whole = isinstance(least, int | np.integer) and least >= 1
        expect(whole, f"min_shots is {least!r}; expected a whole number from 1.")


@at_every_moment
def costs_have_their_axes(risk: AnyRisk) -> None:
    """Costs are finite float64 [..., shot], values and their errors [...]."""
    drawn = some_draws(risk)
    costs = expect_array("`costs`", risk.costs(drawn, drawn), (2, 3, 40), "[..., shot]")
    expect(np.isfinite(costs).all(), "`costs` are not all finite.")
    value, error = risk.value(drawn)
    value = expect_array("The value", value, (2, 3), "[...]")
    expect(np.isfinite(value).all(), "The value is not finite.")
    expect_array("Its standard error", error, (2, 3), "[...]")
    own, baseline = risk.own_costs(drawn)
    expect_array("Own costs", own, (2, 3, 40), "[..., shot]")
    expect_array("Baselines", np.broadcast_to(baseline, (2, 3, 40)), (2, 3, 40), "[..., shot]")


@at_every_moment
def distributions_do_not_mix(risk: AnyRisk) -> None:
    """Costs and value of one distribution do not depend on the others that are asked with it."""
    drawn = some_draws(risk)
    costs, value = risk.costs(drawn, drawn), risk.value(drawn)[0]
    do = "Take means and quantiles over the last axis alone, axis=-1."
    for index in np.ndindex(2, 3):
        log_p = None if drawn.log_prob is None else drawn.log_prob[index]
        alone = Sample(drawn.bits[index], drawn.losses[index], log_p)
        expect_same("A cost alone", risk.costs(alone, alone), costs[index], do, 1e-9)
        expect_same("A value alone", risk.value(alone)[0], value[index], do, 1e-9)


@at_every_moment
def draws_are_left_as_they_are(risk: AnyRisk) -> None:
    """Costs and value leave the draws and losses that they get unchanged, and can be repeated."""
    drawn, kept = some_draws(risk), some_draws(risk)
    first = risk.costs(drawn, drawn)
    risk.value(drawn)
    risk.own_costs(drawn)
    do = "Copy before changing in place."
    expect_same("A loss after it was asked", drawn.losses, kept.losses, do)
    expect_same("A bit after it was asked", drawn.bits, kept.bits, do)
    again = risk.costs(drawn, drawn)
    expect_same("A cost asked for twice", again, first, "Let it depend on the draws alone.")


@at_every_moment
def the_reference_is_declared(risk: AnyRisk) -> None:
    """Costs depend on the reference only if `needs_reference` says so."""
    if risk.needs_reference:
        raise LeftOut("it needs the reference")
    drawn, other = some_draws(risk), population(risk)
    lead = (2, 3)
    log_p = None if other.log_prob is None else np.broadcast_to(other.log_prob, (*lead, DRAWS))
    reference = Sample(
        np.broadcast_to(other.bits, (*lead, *other.bits.shape)),
        np.broadcast_to(other.losses, (*lead, DRAWS)),
        log_p,
    )
    expect_same("A cost about another reference", risk.costs(drawn, reference),
                risk.costs(drawn, drawn), "Say needs_reference = True.", 1e-12)  # fmt: skip


def changes(risk: AnyRisk) -> Float:
    """How the value changes, per share, as draws of `other` become draws of `one`: [pair]."""
    found = []
    for one, other in PAIRS:
        step = np.zeros(1 << N, dtype=np.int64)
        step[one], step[other] = MOVED, -MOVED
        up, down = (risk.value(population(risk, COUNTS + sign * step))[0] for sign in (1, -1))
        found.append((up - down) / (2 * MOVED / DRAWS))
    return np.array(found, dtype=np.float64)


@at_every_moment
def costs_are_the_first_variation(risk: AnyRisk) -> None:
    """Costs are the first variation of the value: 2 of 2,000 draws moved from string to string."""
    drawn = population(risk)
    costs = np.asarray(risk.costs(drawn, drawn), dtype=np.float64)
    first = np.concatenate([[0], COUNTS.cumsum()[:-1]])  # a draw of each string
    expect(np.isfinite(costs).all(), "`costs` are not all finite.")
    differences = np.array([costs[first[one]] - costs[first[other]] for one, other in PAIRS])
    expected = changes(risk)
    near = NEAR * np.abs(expected).max() + _rounding(risk.value(drawn)[0])
    for found, change in zip(differences, expected, strict=True):
        expect(
            abs(found - change) <= near,
            f"Where draws of one string become draws of another, costs differ by {found:.4g}, and "
            f"the value changes by {change:.4g} a share. Costs are dR/dq(w) up to a constant: "
            "of f(E[L]) they are f'(E[L]) · L, for instance, and not f(L).",
        )


def its_schedule_does_not_turn_round(subject: Risk) -> None:
    """What is better at one moment of its schedule is not worse at another."""
    moments = subject.moments
    if len(moments) == 1:
        raise LeftOut("it has no schedule")
    draws = {when: population(risk) for when, risk in moments.items()}
    costs = [np.asarray(risk.costs(draws[when], draws[when])) for when, risk in moments.items()]
    first = costs[0] - costs[0].mean()
    for when, other in zip(moments, costs, strict=True):
        along = first @ (other - other.mean())
        size = np.linalg.norm(first) * np.linalg.norm(other - other.mean())
        expect(
            not along < -TURNED * size,
            f"Costs at {when} of the training are those at 0.0 with the sign turned round (their "
            f"correlation is {along / size:.3g}): what was minimised is maximised. Keep the sign.",
        )


@at_every_moment
def exact_is_the_same_risk(risk: AnyRisk) -> None:
    """`exact` gives the value, and costs that are its first variation, of all probabilities."""
    if type(risk).exact is AnyRisk.exact:
        raise LeftOut("it has no `exact`, and works with estimators that draw")
    p = COUNTS / DRAWS
    value, costs = risk.exact(p, LOSSES)
    expect_array("The exact value", value, (), "[...]")
    costs = np.broadcast_to(costs, p.shape)
    sampled = risk.value(population(risk))[0]
    expect(
        abs(value - sampled) <= NEAR * np.abs(changes(risk)).max() + _rounding(sampled),
        f"exact() gives {float(value):.6g}, and value() of draws of these probabilities "
        f"{float(sampled):.6g}. Let both be of one risk.",
    )
    size = 1e-6
    steps = np.random.default_rng(3).normal(size=(4, *p.shape))
    steps -= steps.mean(axis=1, keepdims=True)
    steps *= size / np.abs(steps).max(axis=1, keepdims=True)
    change = np.array(
        [(risk.exact(p + s, LOSSES)[0] - risk.exact(p - s, LOSSES)[0]) / 2 for s in steps]
    )
    found = (steps * costs).sum(axis=1)
    off = np.abs(found - change)
    worst = int(off.argmax())
    expect(
        off[worst] <= 1e-3 * np.abs(change).max() + size * _rounding(value),
        f"Along a small change of the probabilities the exact costs give {found[worst]:.6g}, and "
        f"the exact value changes by {change[worst]:.6g}. Let them be its derivatives.",
    )


def _rounding(value: Any) -> float:
    """What rounding of a value can do to its change a share: 0 for a value of 0."""
    return 1e-8 * float(np.abs(value))


CHECKS = (
    it_is_a_risk,
    costs_have_their_axes,
    draws_are_left_as_they_are,
    distributions_do_not_mix,
    the_reference_is_declared,
    costs_are_the_first_variation,
    its_schedule_does_not_turn_round,
    exact_is_the_same_risk,
)
