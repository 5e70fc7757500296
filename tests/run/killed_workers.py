"""Processes that carry out a run, killed at random moments. A program of its own: it forks.

`python killed_workers.py FOLDER SEED WHO=KILLS ...` leaves the runs FOLDER/whole/... of one
process, and FOLDER/WHO/... of several, and prints as JSON how many results were there at each kill,
by WHO. A result that is there is never written again, or it says which. WHO is killed:

    helper       one of two processes that each carry out the run (`qhyper work`)
    coordinator  the process that has two workers
    worker       one of the two workers
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from qhyper.errors import QhyperError
from qhyper.run.comparison import execute, work
from qhyper.run.config import Config, Entry
from qhyper.run.directory import Run


def config(evaluations: int) -> Config:
    entries = [
        Entry(name=name, label=f"{name} {k}", training=training)
        for k in range(4)
        for name, training in (
            ("random", {}),
            ("quantum-depth2", {"draws": 16, "checkpoint_every": 7, "learning_rate": 0.1 + k / 50}),
        )
    ]
    return Config(
        data="digits", layers=[4, 3, 2], seeds=[0, 1], evaluations=evaluations, entries=entries
    )


def quiet(*told: object) -> None:
    """Nothing is said."""


def begin(run: Run, processes: int) -> int:
    child = os.fork()
    if child == 0:
        with suppress(QhyperError):  # a trial that was struck three times is given up
            work(run, processes=processes, warn=quiet)
        os._exit(0)
    return child


def workers_of(process: int) -> list[int]:
    """Its children that are forks of it, not git, say; none if it has ended."""
    found, ours = [], Path("/proc/self/cmdline").read_bytes()
    with suppress(OSError):
        for number in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            if Path(f"/proc/{number}/cmdline").read_bytes() == ours:
                found.append(int(number))
    return found


def written(run: Run) -> dict[str, tuple[int, int]]:
    """Every result that is there, with what changes if it is written again."""
    found = {path: path.stat() for path in run.path.glob("*/result.json")}
    return {path.parent.name: (each.st_ino, each.st_mtime_ns) for path, each in found.items()}


def wait_for_moment(
    run: Run, kill: int, kills: int, wait: float, alive: Callable[[], bool]
) -> None:
    """A random moment of the run, at all times of it on a machine of any speed.

    It is over at once if nothing is alive that carries the run out.
    """
    least = len(run.config.entries or []) * kill // (kills + 2)
    while len(written(run)) < least and alive():
        time.sleep(0.001)
    moment = time.monotonic() + wait
    while time.monotonic() < moment and len(written(run)) < least + 2 and alive():
        time.sleep(0.001)


def killed(run: Run, rng: np.random.Generator, who: str, kills: int, seconds: float) -> list[int]:
    """Carry a run out that takes one process so many seconds, killing `who` on the way."""
    there, left = {}, []
    processes = 1 if who == "helper" else 2
    running = [begin(run, processes) for _ in range(2 if who == "helper" else 1)]
    for kill in range(kills):
        wait_for_moment(
            run, kill, kills, rng.uniform(0, seconds / kills),
            lambda: os.waitid(os.P_PID, running[0], os.WEXITED | os.WNOHANG | os.WNOWAIT) is None,
        )  # fmt: skip
        k = int(rng.integers(len(running)))
        if who == "worker":
            victims = workers_of(running[k])
            with suppress(IndexError, ProcessLookupError):  # it has just ended
                os.kill(victims[int(rng.integers(8)) % 2], signal.SIGKILL)
        else:
            os.kill(running[k], signal.SIGKILL)
            os.waitpid(running[k], 0)
        now = written(run)
        assert there.items() <= now.items(), (there, now)
        there, left = now, [*left, len(now)]
        if who != "worker":
            running[k] = begin(run, processes)
    for child in running:
        os.waitpid(child, 0)
    assert there.items() <= written(run).items()
    execute(run, warn=quiet)
    return left


def main(folder: Path, seed: int, wanted: dict[str, int]) -> None:
    execute(Run.create(folder / "warm", "compare", config(320)), warn=quiet)
    long = config(4_000)
    begun = time.monotonic()
    execute(Run.create(folder / "whole", "compare", long), warn=quiet)
    seconds = time.monotonic() - begun
    left = {
        who: killed(
            Run.create(folder / who, "compare", long), np.random.default_rng(seed), who, kills,
            seconds,
        )
        for who, kills in wanted.items()
    }  # fmt: skip
    json.dump(left, sys.stdout)


if __name__ == "__main__":
    pairs = (argument.partition("=") for argument in sys.argv[3:])
    main(Path(sys.argv[1]), int(sys.argv[2]), {who: int(kills) for who, _, kills in pairs})
