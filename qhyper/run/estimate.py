"""How long trials take, about: a moment of each is carried out, and the rest of it is like that.

Nothing is stored, and nothing is sent to a quantum computer. The user's own code is tried with the
rest, for two steps, since nobody knows what a call of it costs or does. The final draws, the
certificate and the page come on top; they take seconds, as a rule.
"""

import heapq
import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qhyper.errors import ConfigurationError, Interrupted
from qhyper.run.trials import executor_for
from qhyper.run.work import Progress, Stop, Task, Warn

if TYPE_CHECKING:  # torch takes its time: what can be refused without it is
    from qhyper.run.trial import Trial

MOMENT = 0.5
"""Seconds of each trial that are measured, after its first step."""
LONG = 5.0
"""Seconds of a first step after which no other is tried."""
HALF = 0.5
"""Share of a budget after which no other step is tried."""
STEPS = 2
"""Of each trial, at the most, where the user's own code is tried."""
EVALUATIONS = 32
"""Of a control, at the most, where the user's own code is tried, in one search or each of two."""
PARTS = 4
"""Of the budget of a control; one is tried, or two where it is one step."""


def seconds_of(
    trials: "Sequence[Trial]", *, processes: int, own: bool, stop: Stop, warn: Warn
) -> list[float | None]:
    """The seconds that each trial takes, about, where so many `processes` work side by side.

    `own` says whether they call code of the user's own. None for what sends jobs to a quantum
    computer, whose queue nobody knows, for what fails, of which `warn` hears, and for own code of
    one step in all. Raises Interrupted once `stop` returns true.
    """
    found: dict[Path, float | None] = {}
    places = [Path(f"{number}") for number in range(len(trials))]  # in which nothing is stored
    measured = {place: t for place, t in zip(places, trials, strict=True) if not t.paid}
    waiting = deque(Task(trial.entry.title, place, Path()) for place, trial in measured.items())
    if not waiting:
        return [None] * len(trials)
    work = _Moment(measured, own)
    quiet: Progress = lambda *told: None  # noqa: E731
    executor = executor_for(
        work, measured.values(), processes=min(processes, len(measured)), apart=True, stop=stop,
        progress=quiet, warn=warn,
    )  # fmt: skip
    running = 0
    try:
        while waiting or running:
            if stop():
                raise Interrupted("Stopped by a signal.")
            while waiting and running < executor.slots:
                executor.start(waiting.popleft(), work)
                running += 1
            for ended in executor.wait(0.1):
                running -= 1
                if ended.result is None:
                    reason = str(ended.error or ended.death).partition(". Its traceback")[0]
                    warn(f"{ended.task.name} failed when a moment of it was tried: {reason}")
                found[ended.task.folder] = (
                    None if ended.result is None else json.loads(ended.result)
                )
    finally:
        executor.close()
    return [found.get(place) for place in places]


def together(seconds: Sequence[float], processes: int) -> float:
    """The seconds that trials take which so many processes carry out, each the next that waits."""
    ends = [0.0] * processes
    for each in seconds:
        heapq.heappush(ends, heapq.heappop(ends) + each)
    return max(ends)


class _Moment:
    """Carries out a moment of a trial; the result is its seconds in all."""

    def __init__(self, trials: "dict[Path, Trial]", own: bool) -> None:
        self.trials, self.own = trials, own

    def __call__(self, task: Task, stop: Stop, progress: Progress, warn: Warn) -> bytes:
        return json.dumps(extrapolated(self.trials[task.folder], stop, own=self.own)).encode()


def extrapolated(trial: "Trial", stop: Stop, *, own: bool) -> float | None:
    """Seconds of the whole, by the steps of a moment after the first one, which loads kernels.

    With the user's `own` code these are two steps at the most, and None where they would be all.
    """
    if own and trial.steps < (2 if trial.generator is not None else 2 * PARTS):
        return None
    evaluations = max(1, min(trial.steps // PARTS, EVALUATIONS if own else trial.steps))
    begun = time.perf_counter()
    try:
        shares = trial.shares(evaluations)
        first = next(shares)
    except ConfigurationError:  # too few for a control that needs them together
        if own:
            return None
        shares = trial.shares()
        first = next(shares)
    warm = time.perf_counter()
    seconds = (warm - begun) / first
    if warm - begun < LONG and first < HALF:
        for steps, share in enumerate(_after(first, shares, trial, evaluations), 2):
            now = time.perf_counter()
            seconds = (now - warm) / (share - first)
            enough = now - warm > MOMENT or share >= HALF or (own and steps == STEPS)
            if enough or stop():
                break
    return seconds if trial.most_seconds is None else min(seconds, trial.most_seconds)


def _after(
    first: float, shares: Iterator[float], trial: "Trial", evaluations: int
) -> Iterator[float]:
    """The shares after the first one; of a control that has no more, those of a second search."""
    ended = True
    for share in shares:
        ended = False
        yield share
    if ended:
        yield from (first + share for share in trial.shares(evaluations))
