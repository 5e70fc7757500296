"""What flips are worth: bits of step after step against the exact loss of all rows."""

from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.targets.target import SAME_LOSS, Objective

PHASES = 10
"""Equal parts of the training, tenths of it, for which flips are counted apart."""


class Record:
    """Counts of flips, and their values, of every replica; `record(step, bits)` is told all steps.

    The loss of a network is that of all rows, after every step. What each flip of a step would have
    changed alone, and what every flip of any weight would, is asked at every `every`-th step.
    """

    def __init__(self, objective: Objective, *, replicas: int, steps: int, every: int) -> None:
        self.objective, self.steps, self.every = objective, steps, every
        shape, n_bits = (replicas,), objective.n_bits
        self.flips = np.zeros((replicas, PHASES), np.int64)
        """[replica, phase]"""
        self.course = np.zeros((replicas, PHASES))
        """[replica, phase]: the loss at the end of each phase"""
        self.of_weight = np.zeros((replicas, n_bits), np.int64)
        """[replica, bit]: how often it flipped"""
        self.best = np.full(shape, np.inf)
        self.steps_with, self.steps_lower, self.steps_higher = (
            np.zeros(shape, np.int64) for _ in range(3)
        )
        self.together = np.zeros(shape)
        """summed change of the loss over all steps"""
        self.asked, self.lower, self.higher = (np.zeros(shape, np.int64) for _ in range(3))
        self.alone, self.chance = np.zeros(shape), np.zeros(shape)
        """summed over the flips that were asked: what each changes alone, and the share of all
        weights whose flip would lower the loss there"""

    def __call__(self, step: int, bits: Bits) -> None:
        """Take the bits uint8 [replica, bit] after a step; step 0 is the start."""
        if step == 0:
            self.start, self.bits, self.loss = bits, bits, self.objective(bits)
            self.best = self.loss.copy()
            return
        changed = bits != self.bits
        phase = (step - 1) * PHASES // self.steps
        self.flips[:, phase] += changed.sum(axis=1)
        self.of_weight += changed
        some = np.flatnonzero(changed.any(axis=1))
        if len(some) and step % self.every == 0:
            self._ask(some, changed[some])
        after = self.loss.copy()
        if len(some):
            after[some] = self.objective(bits[some])
        change = after - self.loss
        self.steps_with[some] += 1
        self.steps_lower += change < -SAME_LOSS
        self.steps_higher += change > SAME_LOSS
        self.together += change
        self.course[:, phase] = after  # the last step of a phase stays
        self.bits, self.loss, self.best = bits, after, np.minimum(self.best, after)

    def _ask(self, some: npt.NDArray[np.int64], changed: npt.NDArray[np.bool_]) -> None:
        """What each of the flips would have changed alone."""
        _, differences = self.objective.flips(self.bits[some])
        self.asked[some] += changed.sum(axis=1)
        self.lower[some] += (changed & (differences < -SAME_LOSS)).sum(axis=1)
        self.higher[some] += (changed & (differences > SAME_LOSS)).sum(axis=1)
        self.alone[some] += (changed * differences).sum(axis=1)
        self.chance[some] += changed.sum(axis=1) * (differences < -SAME_LOSS).mean(axis=1)

    def to_json(self) -> dict[str, Any]:
        """All counts [replica], as lists."""
        return {
            "flips": self.flips.tolist(),
            "course": self.course.tolist(),
            "never": (self.of_weight == 0).sum(axis=1).tolist(),
            "changed_in_the_end": (self.bits != self.start).sum(axis=1).tolist(),
            "best": self.best.tolist(),
            "end": self.loss.tolist(),
        } | {
            name: getattr(self, name).tolist()
            for name in ("steps_with", "steps_lower", "steps_higher", "together", "asked", "lower",
                         "higher", "alone", "chance")
        }  # fmt: skip
