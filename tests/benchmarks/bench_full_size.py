"""Networks of full size from the command line alone, and entries side by side."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from bars import Line, bar

MNIST = [
    "--data", "mnist", "--data-option", "size=28", "--data-option", "digits=all",
    "--layers", "784,128,10", "--generators", "tied-bernoulli", "--json",
]  # fmt: skip


def _command(*arguments: str) -> tuple[float, str]:
    """(wall seconds, standard output) of the command in an empty folder; it must succeed."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "qhyper", *arguments, "--out", folder],
            capture_output=True, text=True, check=True, env=os.environ,
        )  # fmt: skip
        return time.perf_counter() - began, done.stdout


@bar
def full_size_mnist() -> Iterator[Line]:
    """By local expectation, with recipe and budget by default; QHYPER_DATA names the images."""
    wall, printed = _command("compare", *MNIST, "--seeds", "1")
    (entry,) = json.loads(printed)["generators"]
    yield Line("full-size-mnist-minutes", wall / 60, "min", at_most=5)
    yield Line("full-size-mnist-accuracy", entry["test_accuracy"]["median"], at_least=0.945)


@bar
def processes() -> Iterator[Line]:
    """The default comparison with an entry on each core against one after another, in turn."""
    one, all_cores = [], []
    for _ in range(3):
        all_cores.append(_command("compare")[0])
        one.append(_command("compare", "--processes", "1")[0])
    yield Line(
        "compare-on-all-cores", statistics.median(all_cores) / statistics.median(one),
        detail=f"{statistics.median(all_cores):.0f} s against {statistics.median(one):.0f} s",
    )  # fmt: skip
