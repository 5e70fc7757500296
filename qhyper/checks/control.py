"""What a control must do: spend its budget exactly, say the losses of its bits, repeat itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.checks.finding import Broken, expect, expect_array, expect_same
from qhyper.checks.generator import LAYOUT, SEEDS
from qhyper.checks.randomness import keeps_to_its_streams
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.streams import Streams
from qhyper.targets.objective import Objective
from qhyper.targets.packed.target import PackedTarget
from qhyper.training.search import Control as Search
from qhyper.training.search import Evaluated

N = LAYOUT.n_bits
BUDGET = 130
"""Evaluations of each seed, no multiple of the usual sizes of a batch."""
TABLE = np.random.default_rng(5).normal(size=1 << N)


@dataclass(frozen=True, eq=False)
class Control:
    """A control to be tried: how one is made, and what it is to search."""

    make: Callable[[], Search]

    def objective(self) -> Objective:
        """A table of random losses, or a packed network for a control of such alone."""
        objective = table()
        try:
            self.make().search(objective, evaluations=BUDGET, rng=Streams(SEEDS)(0, "search"))
        except ConfigurationError:
            return packed()
        return objective

    def search(
        self, objective: Objective, seeds: Sequence[int] = SEEDS, evaluations: int = BUDGET
    ) -> list[Evaluated]:
        """All batches of a whole search; Broken as soon as it asks for more than its budget."""
        rng, spent, batches = Streams(seeds)(0, "search"), 0, []
        for batch in self.make().search(objective, evaluations=evaluations, rng=rng):
            batches.append(batch)
            spent += batch.losses.shape[1]
            if spent > evaluations or objective.evaluations > evaluations * len(seeds):
                break
        asked = objective.evaluations / len(seeds)
        expect(
            spent == evaluations == asked,
            f"With a budget of {evaluations} evaluations of each seed it reported {spent} and "
            f"asked the objective for {asked:g}; expected exactly {evaluations}. Cut the last "
            "batch to what is left, and yield every bitstring that is evaluated once.",
        )
        return batches


def table() -> Objective:
    """Random losses of all strings of eight bits."""
    return Objective(lambda bits: TABLE[bits.astype(int) @ (1 << np.arange(N))], N, layout=LAYOUT)


def packed() -> Objective:
    """A packed network 2-2-2 of eight bits on random rows of signs."""
    rng = np.random.default_rng(3)
    samples = Samples(rng.choice((-1.0, 1.0), (24, 2)), rng.integers(0, 2, 24))
    return PackedTarget((2, 2, 2)).objective(samples)


def together(batches: Sequence[Evaluated]) -> tuple[Bits, npt.NDArray[np.float64]]:
    """Bits [replica, shot, bit] and losses [replica, shot] of all batches."""
    return (
        np.concatenate([batch.bits for batch in batches], axis=1),
        np.concatenate([batch.losses for batch in batches], axis=1),
    )


def held_in(batches: Sequence[Evaluated]) -> npt.NDArray[np.float64]:
    """`current` of all batches, [replica, k]."""
    return np.concatenate([np.asarray(batch.current) for batch in batches], axis=1)


def it_says_what_it_is(subject: Control) -> None:
    """It says in one line what it is, if it has a `describe`."""
    made = subject.make()
    said = getattr(made, "describe", lambda: type(made).__name__)()
    expect(said.strip() and "\n" not in said, f"describe() gave {said!r}; expected one line.")


def it_spends_its_budget_exactly(subject: Control) -> None:
    """It spends exactly its budget, or refuses one that is too small before it spends anything."""
    for evaluations in (1, 7, BUDGET):
        objective = subject.objective()
        try:
            subject.search(objective, evaluations=evaluations)
        except ConfigurationError as error:
            expect(
                objective.evaluations == 0 and evaluations < BUDGET,
                f"A budget of {evaluations} was refused after {objective.evaluations} evaluations: "
                f"{error} Refuse it in `search`, before the first batch.",
            )


def batches_have_their_axes(subject: Control) -> None:
    """Batches are uint8 [replica, shot, bit] with finite losses and `current`, [replica, k]."""
    for batch in subject.search(subject.objective()):
        shape = batch.bits.shape
        expect(len(shape) == 3, f"`bits` has shape {list(shape)}; expected [replica, shot, bit].")
        expect_array("`bits`", batch.bits, (3, shape[1], N), "[replica, shot, bit]", "u")
        expect_array("`losses`", batch.losses, shape[:2], "[replica, shot]")
        current = np.asarray(batch.current)
        fits = current.ndim == 2 and len(current) == 3 and current.shape[1]
        expect(fits, f"`current` has shape {list(current.shape)}; expected [replica, k], k from 1.")
        expect(np.isfinite(current).all(), "`current` has losses that are not finite.")


def what_it_holds_was_evaluated(subject: Control) -> None:
    """`current` are losses of what it holds now: no lower or higher than any reported so far."""
    lowest, highest = np.inf, -np.inf
    for batch in subject.search(subject.objective()):
        low, high = batch.losses.min(1, keepdims=True), batch.losses.max(1, keepdims=True)
        lowest, highest = np.minimum(lowest, low), np.maximum(highest, high)
        current, near = np.asarray(batch.current), 1e-9 * (1 + np.abs(lowest) + np.abs(highest))
        out = (current < lowest - near) | (current > highest + near)
        if out.any():
            replica, k = np.argwhere(out)[0]
            raise Broken(
                f"`current` has {current[replica, k]:.6g}, where the losses of seed "
                f"{SEEDS[replica]} reported so far are {lowest[replica, 0]:.6g} to "
                f"{highest[replica, 0]:.6g}. Give the losses of what the search holds now: their "
                "mean is published as the final loss."
            )


def losses_are_those_of_the_bits(subject: Control) -> None:
    """The losses that it reports are those of its bits, in their order."""
    objective = subject.objective()
    made = subject.make()
    bits, losses = together(subject.search(objective))
    if getattr(made, "batch", None) is not None:
        return  # on mini-batches, each of which is another objective
    expect_same("A loss that is reported", losses, objective(bits),
                "Report each bitstring with the loss that the objective gave for it.")  # fmt: skip


def it_can_be_repeated(subject: Control) -> None:
    """The same streams find the same again, and other streams something else."""
    first, again = (together(subject.search(subject.objective()))[0] for _ in range(2))
    do = "Draw from `rng` alone, and keep nothing from one search for the next."
    expect_same("The bits of a search made twice", again, first, do)
    other, _ = together(subject.search(subject.objective(), (1, 2, 3)))
    if not (other != first).any(axis=(1, 2)).all():
        raise Broken(f"Other seeds find the same bits. {do}")


def it_leaves_global_generators_alone(subject: Control) -> None:
    """It neither reads nor changes a global random generator."""
    keeps_to_its_streams(lambda: list(together(subject.search(subject.objective()))))


def replicas_search_by_themselves(subject: Control) -> None:
    """A replica finds, and holds, what it finds alone."""
    batches = subject.search(subject.objective())
    bits, losses = together(batches)
    do = "Let a replica use its own rng and its own losses alone."
    for replica, seed in enumerate(SEEDS):
        own_batches = subject.search(subject.objective(), (seed,))
        alone, own = together(own_batches)
        expect_same(f"The bits of seed {seed} alone", alone[0], bits[replica], do)
        expect_same(f"The losses of seed {seed} alone", own[0], losses[replica], do)
        held, every = held_in(own_batches)[0], held_in(batches)[replica]
        expect_same(f"`current` of seed {seed} alone", held, every, do)


CHECKS: tuple[Callable[[Any], None], ...] = (
    it_says_what_it_is,
    it_spends_its_budget_exactly,
    batches_have_their_axes,
    losses_are_those_of_the_bits,
    what_it_holds_was_evaluated,
    it_can_be_repeated,
    it_leaves_global_generators_alone,
    replicas_search_by_themselves,
)
