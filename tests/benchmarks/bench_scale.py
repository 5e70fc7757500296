"""Trials on several processes: the same bytes, nothing lost, and what the coordinator costs."""

import heapq
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from bars import Line, bar, paired_seconds

from qhyper.hypernetwork import build_generator
from qhyper.run.comparison import execute, work
from qhyper.run.config import Config
from qhyper.run.directory import Run
from qhyper.run.processes import Processes
from qhyper.run.sweep import carry_out_sweep
from qhyper.run.sweep_file import read_sweep
from qhyper.run.trials import Where
from qhyper.run.work import Executor, Failure, Task, carry_out
from qhyper.streams import Streams

HERE = Path(__file__).parents[1] / "run"
KILLS = 20
TRIALS, SECONDS = 1_000, 0.05
WORKERS = (1, 10, 100, 1_000)


def quiet(*told: object) -> None:
    """Nothing is said."""


@bar
def scale_same() -> Iterator[Line]:
    """Bytes of the default entries' results, carried out in every way, against one process."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(evaluations=5_000, seeds=[0, 1, 2])
        serial = _results(folder, "serial", config, lambda run: execute(run, warn=quiet))
        ways: dict[str, Callable[[Run], object]] = {
            f"{n} processes": lambda run, n=n: execute(run, processes=n, warn=quiet) for n in (2, 4)
        }
        ways["two that work"] = _two_that_work
        if find_spec("distributed") is not None:
            ways["dask"] = _on_dask
        for name, how in ways.items():
            found = _results(folder, name, config, how)
            differing = sum(found.get(entry) != result for entry, result in serial.items())
            yield Line(
                f"scale-same-{name.replace(' ', '-')}", differing, at_most=0,
                detail=f"{len(serial)} entries",
            )  # fmt: skip


def _results(
    folder: str, name: str, config: Config, how: Callable[[Run], object]
) -> dict[str, bytes]:
    run = Run.create(Path(folder) / name, "scale", config)
    how(run)
    return {path.parent.name: path.read_bytes() for path in run.path.glob("*/result.json")}


def _two_that_work(run: Run) -> None:
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            work(run, processes=1, warn=quiet)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def _on_dask(run: Run) -> None:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        execute(run, scheduler=cluster.scheduler_address, warn=quiet)


@bar
def scale_killed() -> Iterator[Line]:
    """SIGKILL at random moments, of who carries a run out."""
    yield from _killed("killed_workers.py", helper=20, worker=20, coordinator=5)


@bar
def scale_killed_on_dask() -> Iterator[Line]:
    """The same of a cluster's workers and of its scheduler."""
    if find_spec("distributed") is None:
        yield Line(
            "scale-killed-on-dask", 0, detail="not measured: needs dask, as `make bench` has"
        )
        return
    yield from _killed("killed_cluster.py", worker=20, scheduler=5)


def _killed(program: str, **kills: int) -> Iterator[Line]:
    """How many results differ from one process's; a result that was written twice raises."""
    with tempfile.TemporaryDirectory() as folder:
        one_thread = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, HERE / program, folder, "0", *(f"{k}={n}" for k, n in kills.items())],
            stdout=subprocess.PIPE, text=True, check=True, env=one_thread,
        )  # fmt: skip
        results = {
            who: {
                path.parent.name: path.read_bytes()
                for path in Path(folder, who).glob("*/*/result.json")
            }
            for who in ("whole", *kills)
        }
        for who, there in json.loads(done.stdout).items():
            differing = sum(results[who].get(k) != v for k, v in results["whole"].items())
            yield Line(
                f"scale-{program[:-3].replace('_', '-')}-{who}", differing, at_most=0,
                detail=f"{len(there)} kills, when {there} of 8 results were there",
            )  # fmt: skip


@bar
def scale_deadly() -> Iterator[Line]:
    """A task that kills its worker, among nine others."""
    with tempfile.TemporaryDirectory() as folder:
        tasks = _tasks(Path(folder), 10)
        executor = Processes(2, progress=quiet, warn=quiet)
        ended = list(carry_out(tasks, _deadly, executor, stop=bool))
        failures = [each for each in ended if isinstance(each, Failure)]
        attempts = len((tasks[0].folder / "deaths").read_text())
        assert [failure.task for failure in failures] == tasks[:1]
        yield Line("scale-deadly-attempts", attempts, at_least=3, at_most=3)


def _deadly(task: Task, *told: object) -> bytes:
    if task.name == "0":
        with (task.folder / "deaths").open("a") as file:
            file.write("x")
        os._exit(9)
    return b"alive"


def _tasks(folder: Path, n: int) -> list[Task]:
    places = [folder / str(k) for k in range(n)]
    return [Task(place.name, place, place / "result") for place in places]


@bar
def scale_overhead() -> Iterator[Line]:
    """1,000 tasks of 50 ms of computing, on two processes and on one worker."""

    def seconds(workers: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            executor = Processes(workers, progress=quiet, warn=quiet)
            begun = time.perf_counter()
            for _ in carry_out(_tasks(Path(folder), TRIALS), _busy, executor, stop=bool):
                pass
            return time.perf_counter() - begun

    one, two = seconds(1), seconds(2)
    overhead = 1000 * (2 * two / TRIALS - SECONDS)
    yield Line("scale-overhead", overhead, " ms", at_most=50, detail=f"{two:.1f} s on two")
    yield Line("scale-speed-up", one / two, "x", at_least=1.7, detail=f"{one:.1f} s on one")


def _busy(task: Task, *told: object) -> bytes:
    begun = time.process_time()
    while time.process_time() - begun < SECONDS:
        pass
    return b"done"


@bar
def scale_compare() -> Iterator[Line]:
    """`qhyper compare` with its defaults on two processes, against one."""

    def execute_on(processes: int) -> Callable[[], object]:
        def carried_out() -> None:
            with tempfile.TemporaryDirectory() as folder:
                run = Run.create(Path(folder), "scale", Config())
                execute(run, processes=processes, warn=quiet)

        return carried_out

    one, two = paired_seconds(execute_on(1), execute_on(2), repeats=3)
    yield Line("scale-compare", two / one, at_most=0.6, detail=f"{two:.1f} s against {one:.1f}")


@bar
def scale_extended() -> Iterator[Line]:
    """A sweep of 1,000 points, extended by 10 seeds: how many of the first trials ran again."""
    with tempfile.TemporaryDirectory() as name:
        folder, file = Path(name), Path(name) / "sweep.toml"

        def carried_out(seeds: str) -> tuple[float, dict[Path, int]]:
            file.write_text(
                f'data = "digits"\nevaluations = 32\nseeds = {seeds}\n[[entries]]\n'
                'name = "bernoulli"\ntraining = { draws = 16 }\n[sweep]\nmethod = "sobol"\n'
                'points = 1000\n[sweep.over]\n"entries.*.training.learning_rate" = '
                "{ low = 0.01, high = 1.0, log = true }\n"
            )
            begun = time.perf_counter()
            carry_out_sweep(read_sweep(file, quiet), folder / "out", Where(2), warn=quiet)
            seconds = time.perf_counter() - begun
            results = (folder / "out").glob("points/*/*/*/result.json")
            return seconds, {path: path.stat().st_mtime_ns for path in results}

        first_seconds, first = carried_out("[0]")
        seconds, both = carried_out(str(list(range(11))))
        again = sum(both.get(path) != at for path, at in first.items())
        yield Line("scale-extended-again", again, at_most=0, detail=f"{len(first)} points")
        yield Line("scale-extended-new", len(both) - len(first), at_least=1000, at_most=1000)
        yield Line(
            "scale-sweep-a-trial", 1000 * first_seconds / 1000, " ms",
            detail=f"checked, carried out, summed up; {1000 * seconds / 1000:.0f} ms with 10 seeds",
        )  # fmt: skip


REAL = """
data = "toy"
evaluations = 20_000
seeds = [0, 1, 2, 3]
[[entries]]
name = "product"
[[entries]]
name = "quantum-depth2"
[[entries]]
name = "mlp"
[[entries]]
name = "annealing"
[sweep.over]
"entries.*.training.learning_rate" = { low = 0.01, high = 0.3, log = true, n = 6 }
"""


@bar
def scale_simulated() -> Iterator[Line]:
    """What 10,000 trials would take on more workers, from the seconds that a sweep's trials took.

    Their seconds are drawn again from those of that sweep. The coordinator serves one after the
    other, and each costs it what a trial of nothing takes of its processor; with dask the
    scheduler, which runs in it, is part of that. A worker waits for it. `work` has no coordinator:
    each process pays for its own trials.
    """
    with tempfile.TemporaryDirectory() as name:
        file, folder = Path(name) / "mine.toml", Path(name) / "sweep"
        file.write_text(REAL)
        carry_out_sweep(read_sweep(file, quiet), folder, Where(2), warn=quiet)
        # a trial that several points share was carried out once, and copied
        told = {path.read_text() for path in folder.glob("points/*/*/*/seconds.json")}
        measured = np.array([json.loads(text)["seconds"] for text in sorted(told)])
    drawn = np.random.default_rng(0).choice(measured, 10_000)
    for way, each in _costs():
        for workers in WORKERS:
            free, served = [0.0] * workers, 0.0
            for seconds in drawn:
                served = max(served, heapq.heappop(free)) + each
                heapq.heappush(free, served + seconds)
            yield Line(
                f"scale-{workers}-workers-{way}", max(free), " s",
                detail=f"10,000 trials of {drawn.mean():.2f} s, drawn from {len(measured)}; "
                f"{1000 * each:.1f} ms of the coordinator each",
            )  # fmt: skip
        yield Line(
            f"scale-workers-at-most-{way}", drawn.mean() / each, "",
            detail="with more of them, trials such as these end no sooner",
        )  # fmt: skip


def _costs() -> Iterator[tuple[str, float]]:
    """Seconds of this process for a trial of nothing on another, and on a worker of a cluster."""
    yield "processes", _cost(Processes(1, progress=quiet, warn=quiet), 200)
    if find_spec("distributed") is not None:
        from distributed import LocalCluster

        from qhyper.run.cluster import Cluster

        with LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as made:
            address = made.scheduler_address
            yield "dask", _cost(Cluster(address, progress=quiet, warn=quiet), 200)


def _cost(executor: Executor, n: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        for _ in carry_out(_tasks(Path(folder), n), _nothing, executor, stop=bool):
            pass
        return (time.process_time() - begun) / n


def _nothing(task: Task, *told: object) -> bytes:
    return b"nothing"


@bar
def scale_cuda() -> Iterator[Line]:
    """A step of training of many replicas at once, on a GPU and on this machine's processor."""
    if not torch.cuda.is_available():
        yield Line("scale-cuda", 0, detail="not measured: no CUDA device")
        return
    for depth in (2, 4):
        for replicas in (1, 16, 256):
            here, there = (_step(depth, replicas, device) for device in ("cpu", "cuda"))
            one, other = paired_seconds(here, there, repeats=5)
            yield Line(
                f"scale-cuda-depth{depth}-{replicas}-replicas", one / other, "x",
                detail=f"{1000 * one:.1f} ms on the processor, {1000 * other:.1f} ms on "
                f"{torch.cuda.get_device_name()}: 64 draws and their scores, 36 qubits",
            )  # fmt: skip


def _step(depth: int, replicas: int, device: str) -> Callable[[], object]:
    """Draws and scores at new parameters each time: nothing is kept from the step before."""
    seeds = range(replicas)
    generator = build_generator(f"quantum-depth{depth}", 36, seeds=seeds).to(device)
    rng, numbers = Streams(seeds)(0), np.random.default_rng(0)

    def step() -> None:
        with torch.no_grad():
            generator.theta.add_(0.01)
        bits = generator.sample(64, rng=rng)
        generator.accumulate_scores(bits, numbers.normal(size=bits.shape[:3]))

    return step
