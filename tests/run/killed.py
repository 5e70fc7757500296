"""A run killed at 20 random moments, and an undisturbed one. A program of its own: it forks.

`python killed.py FOLDER SEED` leaves the runs FOLDER/whole/... and FOLDER/killed/... complete, and
prints as JSON the step of the last checkpoint that each kill left (0 before the first one).
"""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np

from qhyper.run.comparison import execute
from qhyper.run.config import Config, Entry
from qhyper.run.directory import Run

KILLS = 20
EVERY = 7
"""Steps from one checkpoint to the next."""


def config(evaluations: int) -> Config:
    training = {"draws": 16, "checkpoint_every": EVERY, "restarts": 2}
    entries = [Entry(name="random"), Entry(name="quantum-depth2", training=training)]
    return Config(
        data="digits", layers=[4, 3, 2], seeds=[0, 1], evaluations=evaluations, entries=entries
    )


def newest(run: Run) -> int:
    """The step of the last checkpoint, 0 before the first one."""
    found = (run.path / "quantum-depth2" / "checkpoints").glob("step-*.pt")
    steps = [int(re.findall(r"step-(\d+)", file.name)[0]) for file in found]
    return max(steps, default=0)


def main(folder: Path, seed: int) -> None:
    execute(Run.create(folder / "warm", "compare", config(320)))  # loads all that is loaded once
    long = config(16_000)
    begun = time.monotonic()
    execute(Run.create(folder / "whole", "compare", long))
    pause = (time.monotonic() - begun) / (16_000 / 16 / EVERY)
    run = Run.create(folder / "killed", "compare", long)
    rng, left = np.random.default_rng(seed), []
    for kill in range(KILLS):
        child = os.fork()
        if child == 0:
            execute(run)
            os._exit(0)
        # Two of three kills wait for checkpoints: on a machine of any speed, training goes on.
        due = newest(run) + EVERY * (kill % 3)
        while newest(run) < due:
            time.sleep(0.001)
            assert os.waitpid(child, os.WNOHANG) == (0, 0), f"ended after {kill} kills"
        time.sleep(rng.uniform(0, 2 * pause))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"the run ended after {kill} kills: make it longer"
        left.append(newest(run))
    execute(run)
    json.dump(left, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
