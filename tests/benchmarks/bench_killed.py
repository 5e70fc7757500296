"""Nothing is paid twice: gradients whose process is killed at random times, and restarted."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bars import Line, bar

POINTS, SEED = 100, 1
_MODES = ("tags", "late tags", "no tags")
_PROGRAM = Path(__file__).parents[1] / "quantum" / "cloud" / "killed.py"
_WHERE = ("claim to acceptance", "acceptance to record", "between calls")


@bar
def killed() -> Iterator[Line]:
    """A gradient of 20 jobs on the stub, killed at 100 random points in each mode of its tags.

    The modes run at the same time. Users who settle unknown jobs are killed too.
    """
    begun = time.perf_counter()
    quiet = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(_PROGRAM), "random", str(POINTS), str(SEED)]
    running = [
        subprocess.Popen([*command, mode], stdout=subprocess.PIPE, text=True, env=quiet)
        for mode in _MODES
    ]
    outputs = [process.communicate()[0] for process in running]
    assert not any(process.returncode for process in running)
    for output in outputs:
        yield from _lines(json.loads(output))
    yield Line("killed-minutes-of-all-modes", (time.perf_counter() - begun) / 60, at_most=4.0)


def _lines(report: dict[str, dict[str, float]]) -> Iterator[Line]:
    ((mode, found),) = report.items()
    name = mode.replace(" ", "-")
    fell = ", ".join(f"{found.get(where, 0)} {where}" for where in _WHERE)
    yield Line(
        f"killed-{name}-paid-twice", found["paid twice"], at_most=0,
        detail=f"{found['points']} points, {found['kills']} kills: {fell}; "
        f"{found['jobs']} jobs accepted of {21 * found['runs']}, "
        f"{found.get('settled by the user', 0)} settled by the user, "
        f"{found.get('kills while settling', 0)} kills while settling, "
        f"{found['seconds']:.0f} s",
    )  # fmt: skip
    yield Line(f"killed-{name}-lost", found["lost"], at_most=0)
    yield Line(f"killed-{name}-same-gradient", found["same gradient"] / found["runs"], at_least=1)
