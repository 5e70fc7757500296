"""A comparison on a cluster that is killed at random moments, and one in one process.

`python killed_cluster.py FOLDER SEED WHO=KILLS ...`, where WHO is a `worker` or the `scheduler`: as
`killed_workers.py`.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path

import numpy as np
from distributed import Client
from killed_workers import config, quiet, wait_for_moment, written

from qhyper.errors import QhyperError
from qhyper.run.comparison import execute
from qhyper.run.directory import Run


class LocalCluster:
    """A scheduler and two workers, each a program of its own, as on a cluster."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "scheduler.json"
        self._file.unlink(missing_ok=True)
        self._log = (folder / "dask.log").open("a")
        self._scheduler = self._begin("scheduler", "--host", "127.0.0.1", "--port", "0")
        while not self._file.exists():
            time.sleep(0.05)
        self._workers = [
            self._begin("worker", "--host", "127.0.0.1", "--nthreads", "1") for _ in range(2)
        ]
        self.address: str = json.loads(self._file.read_text())["address"]
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(2)

    def _begin(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + what, *options, "--no-dashboard",
             "--scheduler-file", str(self._file)],
            stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def kill_worker(self, k: int) -> None:
        """One that works: a nanny, which begins another, is not killed."""
        with Client(self.address, set_as_default=False) as client:
            with suppress(OSError, IndexError):  # it has just ended
                os.kill(sorted(client.run(os.getpid).values())[k], signal.SIGKILL)
            client.wait_for_workers(2)

    def kill_scheduler(self) -> None:
        """And what is left without it."""
        self._scheduler.kill()
        self._scheduler.wait()
        self.close()

    def close(self) -> None:
        """End all."""
        for process in (*self._workers, self._scheduler):
            process.terminate()
            process.wait()
        self._log.close()


def begin(run: Run, cluster: LocalCluster) -> threading.Thread:
    def carry_out() -> None:
        try:
            execute(run, scheduler=cluster.address, warn=quiet)
        except QhyperError:  # the scheduler is gone, or a trial was struck three times
            pass
        except BaseException:  # nothing else may come out of it
            traceback.print_exc()
            os._exit(1)

    thread = threading.Thread(target=carry_out)
    thread.start()
    return thread


def killed(folder: Path, seed: int, who: str, kills: int, seconds: float) -> list[int]:
    """Carry out a run that takes one process so many seconds, killing `who` on the way."""
    run = Run.create(folder / who, "compare", config(4_000))
    rng, there, left = np.random.default_rng(seed), {}, []
    cluster = LocalCluster(folder)
    coordinator = begin(run, cluster)
    for kill in range(kills):
        wait_for_moment(run, kill, kills, rng.uniform(0, seconds / kills), coordinator.is_alive)
        if who == "worker":
            cluster.kill_worker(int(rng.integers(2)))
        else:
            cluster.kill_scheduler()
            coordinator.join()
        now = written(run)
        assert there.items() <= now.items(), (there, now)
        there, left = now, [*left, len(now)]
        if not coordinator.is_alive():
            if who == "scheduler":
                cluster = LocalCluster(folder)
            coordinator = begin(run, cluster)
    coordinator.join()
    execute(run, scheduler=cluster.address, warn=quiet)
    cluster.close()
    assert there.items() <= written(run).items()
    return left


def main(folder: Path, seed: int, wanted: dict[str, int]) -> None:
    begun = time.monotonic()
    execute(Run.create(folder / "whole", "compare", config(4_000)), warn=quiet)
    seconds = time.monotonic() - begun
    left = {who: killed(folder, seed, who, kills, seconds) for who, kills in wanted.items()}
    json.dump(left, sys.stdout)


if __name__ == "__main__":
    pairs = (argument.partition("=") for argument in sys.argv[3:])
    main(Path(sys.argv[1]), int(sys.argv[2]), {who: int(kills) for who, _, kills in pairs})
