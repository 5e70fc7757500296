"""A comparison on a cluster whose workers are killed at random moments, and one in one process.

`python killed_cluster.py FOLDER SEED KILLS`; it fails if they differ, or if a result that is there
is written again.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
from distributed import Client, LocalCluster
from killed_workers import config, quiet, written

from qhyper.run.comparison import execute
from qhyper.run.directory import Run


def main(folder: Path, seed: int, kills: int) -> None:
    whole = Run.create(folder / "whole", "compare", config(4_000))
    execute(whole, warn=quiet)
    killed = Run.create(folder / "killed", "compare", config(4_000))
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        thread = threading.Thread(
            target=execute, args=(killed,),
            kwargs={"scheduler": cluster.scheduler_address, "warn": quiet},
        )  # fmt: skip
        thread.start()
        rng, there = np.random.default_rng(seed), {}
        with Client(cluster, set_as_default=False) as client:
            for kill in range(kills):
                while len(written(killed)) < 8 * kill // (kills + 2):
                    time.sleep(0.01)
                time.sleep(rng.uniform(0, 2))
                pids = sorted(client.run(os.getpid).values())
                os.kill(pids[rng.integers(len(pids))], signal.SIGKILL)
                now = written(killed)
                assert there.items() <= now.items(), (there, now)
                there = now
                client.wait_for_workers(2)
        thread.join()
    assert there.items() <= written(killed).items()
    results = [
        {path.parent.name: path.read_bytes() for path in run.path.glob("*/result.json")}
        for run in (whole, killed)
    ]
    assert results[0] == results[1]
    assert len(results[0]) == 8


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
