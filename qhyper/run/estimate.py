"""How long trials take, about: a moment of each is carried out, and the rest of it is like that.

Nothing is written, and nothing is sent to a quantum computer. The final draws, the certificate and
the page come on top; they take seconds, as a rule.
"""

import heapq
import json
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qhyper.errors import Interrupted
from qhyper.run.trials import executor_for
from qhyper.run.work import Progress, Stop, Task, Warn

if TYPE_CHECKING:  # torch takes its time: what can be refused without it is
    from qhyper.run.trial import Trial

MOMENT = 0.5
"""Seconds of each trial that are measured, and at least two of its steps."""


def seconds_of(
    trials: "Sequence[Trial]", *, processes: int, stop: Stop, warn: Warn
) -> list[float | None]:
    """The seconds that each trial takes, about, where so many `processes` work side by side.

    None for what sends jobs to a quantum computer, whose queue nobody knows, and for what fails,
    of which `warn` hears. Raises Interrupted once `stop` returns true.
    """
    found: dict[str, float | None] = {}
    measured = [trial for trial in trials if not trial.paid]
    waiting = deque(Task(trial.entry.title, Path(), Path()) for trial in measured)
    if not waiting:
        return [None] * len(trials)
    work = _Moment({trial.entry.title: trial for trial in measured})
    quiet: Progress = lambda *told: None  # noqa: E731
    executor = executor_for(
        work, measured, processes=min(processes, len(measured)), apart=True, stop=stop,
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
                found[ended.task.name] = None if ended.result is None else json.loads(ended.result)
    finally:
        executor.close()
    return [found.get(trial.entry.title) for trial in trials]


def together(seconds: Sequence[float], processes: int) -> float:
    """The seconds that trials take which so many processes carry out, each the next that waits."""
    ends = [0.0] * processes
    for each in seconds:
        heapq.heappush(ends, heapq.heappop(ends) + each)
    return max(ends)


class _Moment:
    """Carries out a moment of a trial; the result is its seconds in all."""

    def __init__(self, trials: "dict[str, Trial]") -> None:
        self.trials = trials

    def __call__(self, task: Task, stop: Stop, progress: Progress, warn: Warn) -> bytes:
        trial = self.trials[task.name]
        return json.dumps(_extrapolated(trial, stop)).encode()


def _extrapolated(trial: "Trial", stop: Stop) -> float:
    """Seconds of the whole, by the steps of a moment after the first one, which loads kernels.

    A trial of one step is measured whole.
    """
    begun = time.perf_counter()
    shares = trial.shares()
    first = next(shares)
    warm = time.perf_counter()
    seconds = (warm - begun) / first
    for share in shares:
        now = time.perf_counter()
        seconds = (now - warm) / (share - first)
        if now - warm > MOMENT or stop():
            break
    return seconds if trial.most_seconds is None else min(seconds, trial.most_seconds)
