"""Bars, their lines, and how times are measured: medians, and ratios of runs taken in turn."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """NAME measured bar ok|short; a line without a bar reports."""

    name: str
    measured: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    detail: str = ""

    @property
    def short(self) -> bool:
        low = self.at_least is not None and self.measured < self.at_least
        return low or (self.at_most is not None and self.measured > self.at_most)

    def __str__(self) -> str:
        bar, verdict = "-", "reported"
        if self.at_least is not None:
            bar = f">={self.at_least:g}{self.unit}"
        elif self.at_most is not None:
            bar = f"<={self.at_most:g}{self.unit}"
        if bar != "-":
            verdict = "short" if self.short else "ok"
        detail = f"  ({self.detail})" if self.detail else ""
        return f"{self.name:<34} {self.measured:.4g}{self.unit:<4} {bar:<10} {verdict}{detail}"


@dataclass(frozen=True)
class Bar:
    name: str
    measure: Callable[[], Iterator[Line]]


BARS: list[Bar] = []


def bar(measure: Callable[[], Iterator[Line]]) -> Callable[[], Iterator[Line]]:
    """Add a benchmark to the table, under the name of its function."""
    BARS.append(Bar(measure.__name__.replace("_", "-"), measure))
    return measure


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time of `work`, after one run that is not counted."""
    work()
    return statistics.median(_timed(work) for _ in range(repeats))


def paired_seconds(
    one: Callable[[], object], other: Callable[[], object], repeats: int
) -> tuple[float, float]:
    """Median wall times of two works, timed in turn, after one run each that is not counted."""
    one(), other()
    pairs = [(_timed(one), _timed(other)) for _ in range(repeats)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def process(arguments: list[str], env: dict[str, str] | None = None) -> tuple[float, float]:
    """(wall seconds, peak memory in GiB) of a fresh Python process, which must succeed."""
    # the child of a child, so that its peak is not mixed with that of earlier ones
    script = (
        "import resource, subprocess, sys, time; t = time.perf_counter();"
        "subprocess.run([sys.executable, *sys.argv[1:]], check=True, stdout=subprocess.DEVNULL,"
        " stderr=subprocess.DEVNULL); "
        "print(time.perf_counter() - t,"
        " resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True, text=True, check=True, env=env,
    )  # fmt: skip
    wall, peak = done.stdout.split()
    return float(wall), float(peak)
