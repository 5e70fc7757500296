"""Nothing is paid twice: gradients whose process is killed at random times, and restarted."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bars import Line, bar

POINTS, SEED = 100, 1
_PROGRAM = Path(__file__).parents[1] / "quantum" / "cloud" / "killed.py"
_WHERE = ("claim to acceptance", "acceptance to record", "between calls")


@bar
def killed() -> Iterator[Line]:
    """A gradient of 20 jobs on the stub, killed at 100 random points in each mode of its tags."""
    done = subprocess.run(
        [sys.executable, _PROGRAM, "random", str(POINTS), str(SEED)],
        stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    for mode, found in json.loads(done.stdout).items():
        name = mode.replace(" ", "-")
        fell = ", ".join(f"{found.get(where, 0)} {where}" for where in _WHERE)
        yield Line(
            f"killed-{name}-paid-twice", found["paid twice"], at_most=0,
            detail=f"{found['points']} points, {found['kills']} kills: {fell}; "
            f"{found['jobs']} jobs accepted of {21 * found['runs']}, "
            f"{found.get('settled by the user', 0)} settled by the user, "
            f"{found['seconds']:.0f} s",
        )  # fmt: skip
        yield Line(f"killed-{name}-lost", found["lost"], at_most=0)
        yield Line(
            f"killed-{name}-same-gradient", found["same gradient"] / found["runs"], at_least=1
        )
