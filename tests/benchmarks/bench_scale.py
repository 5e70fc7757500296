"""Trials on several processes: the same bytes, nothing lost, and what the coordinator costs."""

import heapq
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bars import Line, bar, paired_seconds

from qhyper.run.comparison import execute, work
from qhyper.run.config import Config
from qhyper.run.directory import Run
from qhyper.run.processes import Processes
from qhyper.run.sweep import carry_out_sweep, read_sweep
from qhyper.run.trials import Where
from qhyper.run.work import Failure, Task, carry_out

HERE = Path(__file__).parents[1] / "run"
KILLS = 20
TRIALS, SECONDS = 1_000, 0.05
WORKERS = (1, 2, 10, 100, 1_000)


def quiet(*told: object) -> None:
    """Nothing is said."""


@bar
def scale_same() -> Iterator[Line]:
    """Bytes of the default entries' results: 2 and 4 processes and two `work`, against serial."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(evaluations=5_000, seeds=[0, 1, 2])
        serial = _results(folder, "serial", config, lambda run: execute(run, warn=quiet))
        ways: dict[str, Callable[[Run], object]] = {
            f"{n} processes": lambda run, n=n: execute(run, processes=n, warn=quiet) for n in (2, 4)
        }
        ways["two that work"] = _two_that_work
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


@bar
def scale_killed() -> Iterator[Line]:
    """Of two that work on a run, one is killed at 20 random moments, and begun again."""
    with tempfile.TemporaryDirectory() as folder:
        one_thread = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, HERE / "killed_workers.py", folder, "0", str(KILLS), "2"],
            capture_output=True, text=True, check=True, env=one_thread,
        )  # fmt: skip
        results = [
            {
                path.parent.name: path.read_bytes()
                for path in Path(folder, name).glob("*/*/result.json")
            }
            for name in ("whole", "killed")
        ]
        differing = sum(results[1].get(entry) != found for entry, found in results[0].items())
        there = json.loads(done.stdout)
        yield Line(
            "scale-killed-differing", differing, at_most=0,
            detail=f"{len(there)} kills, when {there} of {len(results[0])} results were there",
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
    yield from _simulated(max(0.0, one / TRIALS - SECONDS))


def _busy(task: Task, *told: object) -> bytes:
    begun = time.process_time()
    while time.process_time() - begun < SECONDS:
        pass
    return b"done"


def _simulated(each: float) -> Iterator[Line]:
    """What more workers would take, from the measured cost of a task to the coordinator.

    The coordinator serves one task after another; a worker waits until it is served.
    """
    for seconds_of_a_trial in (SECONDS, 5.0):
        for workers in WORKERS:
            free, served = [0.0] * workers, 0.0
            for _ in range(TRIALS):
                served = max(served, heapq.heappop(free)) + each
                heapq.heappush(free, served + seconds_of_a_trial)
            yield Line(
                f"scale-{workers}-workers-{seconds_of_a_trial:g}-s", max(free), " s",
                detail=f"{TRIALS:,} trials, {1000 * each:.1f} ms of the coordinator each",
            )  # fmt: skip


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
