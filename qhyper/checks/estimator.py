"""What an estimator must do: add the gradient that it declares, and count what it spends."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from qhyper.checks.finding import Broken, LeftOut, expect, expect_array, expect_same
from qhyper.checks.randomness import keeps_to_its_streams
from qhyper.errors import ConfigurationError
from qhyper.gradients.estimator import UNBIASED, GradientEstimate, GradientEstimator
from qhyper.gradients.exact import Exact
from qhyper.hypernetwork import HyperNetwork
from qhyper.quantum.ansatz import Brickwork, Product
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.risk import MMD, CVaR, Expectation, FreeEnergy, Risk
from qhyper.streams import Streams
from qhyper.targets.objective import Objective

N, SEEDS = 4, (11, 12)
TABLE = np.random.default_rng(1).normal(size=1 << N) + 2
REPEATS, SIGMAS = 2000, 5.0
"""Estimates whose mean is compared with the exact gradient, and by how many standard errors."""
RISKS = (Expectation(), FreeEnergy(0.5), MMD(2.0, 0.4), CVaR(0.9))
SHOTS = 3
"""As few as all risks can do with."""


@dataclass(frozen=True, eq=False)
class Estimator:
    """An estimator to be tried: how one is made, with few shots if it takes any."""

    make: Callable[[], GradientEstimator]

    def pairs(self) -> Iterator[tuple[Callable[[Sequence[int]], HyperNetwork], Risk]]:
        """Generators and risks that it works for, by its own `check`; LeftOut if there are none."""
        made, some = self.make(), False
        for ansatz in (Product(), Brickwork(2)):
            for risk in RISKS:
                make = _circuit(ansatz)
                try:
                    made.check(make(SEEDS), risk)
                except ConfigurationError:
                    continue
                some = True
                yield make, risk
        if not some:
            raise LeftOut("it works for none of the circuits and risks that are tried here")


def _circuit(ansatz: Any) -> Callable[[Sequence[int]], HyperNetwork]:
    """A small circuit on the matrix product, which has log p, angles and marginals."""
    return lambda seeds: QuantumHyperNetwork(
        N, ansatz=ansatz, start="uniform", backend="mps", seeds=seeds
    )


def objective() -> Objective:
    """Random losses of all strings of four bits."""
    return Objective(lambda bits: TABLE[bits.astype(int) @ (1 << np.arange(N))], N)


def gradient_of(generator: HyperNetwork) -> Any:
    """The gradients of all parameters, [replica, parameter]."""
    parts = []
    for name, parameter in generator.named_parameters():
        expect(
            parameter.grad is not None and parameter.grad.shape == parameter.shape,
            f"'{name}' has no gradient afterwards: add it to `.grad` of every parameter.",
        )
        parts.append(parameter.grad.reshape(generator.replicas, -1))  # type: ignore[union-attr]
    return torch.cat(parts, dim=1).numpy().copy()


def estimate(
    estimator: GradientEstimator, generator: HyperNetwork, risk: Risk, losses: Any = None
) -> tuple[Any, GradientEstimate]:
    """The gradient [replica, parameter], and what was measured."""
    generator.zero_grad()
    rng = Streams(generator.seeds)(3)
    got = estimator(generator, losses or objective(), risk, rng=rng)
    return gradient_of(generator), got


def it_declares_its_bias(subject: Estimator) -> None:
    """It says which risks it supports, and what is known of its bias for each."""
    made = subject.make()
    expect(isinstance(made, GradientEstimator), "Subclass GradientEstimator.")
    bias = getattr(made, "bias", None)
    fits = hasattr(bias, "items") and bias
    expect(fits, "It has no `bias`: a mapping of each Risk that it supports to words.")
    for kind, words in bias.items():  # type: ignore[union-attr]
        a_risk = isinstance(kind, type) and issubclass(kind, Risk) and isinstance(words, str)
        expect(a_risk, f"`bias` has {kind!r}: {words!r}; expected a class of Risk and words.")


def it_adds_a_gradient(subject: Estimator) -> None:
    """It adds a finite gradient to what is there, and leaves the parameters as they are."""
    for make, risk in subject.pairs():
        made, generator = subject.make(), make(SEEDS)
        before = [p.detach().clone() for p in generator.parameters()]
        found, _ = estimate(made, generator, risk)
        expect(np.isfinite(found).all(), f"The gradient of {risk} is not finite.")
        expect(found.any(), f"The gradient of {risk} is zero throughout.")
        for parameter, value in zip(generator.parameters(), before, strict=True):
            expect(torch.equal(parameter, value), "It changed the parameters: leave them.")
        made(generator, objective(), risk, rng=Streams(SEEDS)(3))
        do = "Add to `.grad`, do not replace it: optimisers clear it."
        expect_same("A gradient added twice", gradient_of(generator), 2 * found, do, 1e-9)


def it_spends_what_it_says(subject: Estimator) -> None:
    """It spends what `cost` and `cost_once` say, and reports it."""
    for make, risk in subject.pairs():
        made, generator, losses = subject.make(), make(SEEDS), objective()
        promised = made.cost(generator, risk, objective=losses) + made.cost_once(generator)
        once = made.cost_once(generator).evaluations
        _, got = estimate(made, generator, risk, losses)
        expect(
            got.spent == promised,
            f"For {risk} it reports {got.spent}; `cost` and `cost_once` say {promised}.",
        )
        asked = (promised.evaluations - once) * len(SEEDS) + once
        expect(
            losses.evaluations == asked,
            f"For {risk} it asked for {losses.evaluations} losses; by `cost` there are {asked}.",
        )


def what_it_measured_is_true(subject: Estimator) -> None:
    """Draws, losses and the value that it reports are those of the objective, by replica."""
    for make, risk in subject.pairs():
        _, got = estimate(subject.make(), make(SEEDS), risk)
        for name in ("value", "standard_error", "mean_loss"):
            found = getattr(got, name)
            missing = f"`{name}` is None: training needs it. Measure it where `value` is asked for."
            expect(found is not None, missing)
            expect_array(f"`{name}`", found, (len(SEEDS),), "[replica]")
        if got.draw is None or got.losses is None:
            continue
        bits = got.draw.bits
        expect_array("A draw", bits, (*got.losses.shape, N), "[replica, input, shot, bit]", "u")
        expect_same("A loss", got.losses, objective()(bits), "Report each draw with its own loss.")


def it_keeps_to_its_streams(subject: Estimator) -> None:
    """The same streams give the same gradient, whatever the global random generators."""
    for make, risk in subject.pairs():
        keeps_to_its_streams(
            lambda make=make, risk=risk: estimate(subject.make(), make(SEEDS), risk)[0]
        )


def replicas_are_independent(subject: Estimator) -> None:
    """A replica has the gradient that it has alone."""
    for make, risk in subject.pairs():
        found, _ = estimate(subject.make(), make(SEEDS), risk)
        alone, _ = estimate(subject.make(), make(SEEDS[1:]), risk)
        do = "Let a replica use its own draws, losses and rng alone."
        expect_same(f"The gradient of {risk} of seed 12 alone", alone[0], found[1], do, 1e-9)


def what_it_calls_unbiased_is(subject: Estimator) -> None:
    """Where it declares no bias, 2,000 estimates have the exact gradient as their mean: 5 sigma."""
    declared = dict(subject.make().bias)
    tried = False
    for make, risk in subject.pairs():
        one, many, made = make((5,)), make(range(REPEATS)), subject.make()
        words = [said for kind, said in declared.items() if isinstance(risk, kind)][:1]
        own = getattr(made, "bias_for", lambda generator: UNBIASED)(one)
        if words not in ([UNBIASED], ["exact"]) or own != UNBIASED:
            continue
        tried = True
        for parameter, every in zip(one.parameters(), many.parameters(), strict=True):
            every.data[:] = parameter.data
        expected, _ = estimate(Exact(), one, risk)
        found, _ = estimate(made, many, risk)
        error = SIGMAS * found.std(axis=0, ddof=1) / np.sqrt(REPEATS) + 1e-9
        off = np.abs(found.mean(axis=0) - expected[0])
        if (off > error).any():
            worst = int((off / error).argmax())
            raise Broken(
                f"For {risk} the mean of {REPEATS} estimates is {found.mean(axis=0)[worst]:.4g} "
                f"in parameter {worst}, and the exact gradient {expected[0][worst]:.4g}: "
                f"{SIGMAS * off[worst] / error[worst]:.3g} standard errors away. Mend it, or say "
                "in `bias` what is known of it."
            )
    if not tried:
        said = "; ".join(sorted({str(words) for words in declared.values()}))
        raise LeftOut(f"it declares: {said}")


CHECKS = (
    it_declares_its_bias,
    it_adds_a_gradient,
    it_spends_what_it_says,
    what_it_measured_is_true,
    it_keeps_to_its_streams,
    replicas_are_independent,
    what_it_calls_unbiased_is,
)
