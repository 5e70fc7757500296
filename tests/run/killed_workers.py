"""Processes that help with one run, killed at random moments. A program of its own: it forks.

`python killed_workers.py FOLDER SEED KILLS WORKERS` leaves the runs FOLDER/whole/... of one
process, and FOLDER/killed/... of so many that were killed, and prints as JSON how many results were
there at each kill. A result that is there is never written again, or it says which.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

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


def begin(run: Run) -> int:
    child = os.fork()
    if child == 0:
        work(run, processes=1, warn=quiet)
        os._exit(0)
    return child


def written(run: Run) -> dict[str, tuple[int, int]]:
    """Every result that is there, with what changes if it is written again."""
    found = {path: path.stat() for path in run.path.glob("*/result.json")}
    return {path.parent.name: (each.st_ino, each.st_mtime_ns) for path, each in found.items()}


def main(folder: Path, seed: int, kills: int, workers: int) -> None:
    execute(Run.create(folder / "warm", "compare", config(320)), warn=quiet)
    long = config(4_000)
    begun = time.monotonic()
    execute(Run.create(folder / "whole", "compare", long), warn=quiet)
    seconds = time.monotonic() - begun
    run = Run.create(folder / "killed", "compare", long)
    rng, there, left = np.random.default_rng(seed), {}, []
    running = [begin(run) for _ in range(workers)]
    for kill in range(kills):
        while len(written(run)) < len(run.config.entries or []) * kill // (kills + 2):
            time.sleep(0.001)  # on a machine of any speed, at all times of the run
        time.sleep(rng.uniform(0, seconds / kills))
        victim = running[rng.integers(workers)]
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        now = written(run)
        assert there.items() <= now.items(), (there, now)
        there, left = now, [*left, len(now)]
        running[running.index(victim)] = begin(run)
    for child in running:
        os.waitpid(child, 0)
    assert there.items() <= written(run).items()
    execute(run, warn=quiet)
    json.dump(left, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
