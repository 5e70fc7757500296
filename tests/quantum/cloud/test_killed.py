"""Nothing is paid twice and nothing is lost, wherever a process is killed.

`killed.py` is run as a program of its own, since it forks.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("killed.py")
MODES = ("tags", "late tags", "no tags")
POINTS = {"tags": 12, "late tags": 3, "no tags": 3}


def killed(*arguments):
    quiet = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, PROGRAM, *arguments], capture_output=True, text=True, env=quiet
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("mode", MODES)
def test_a_process_killed_at_every_step_pays_once_and_asks_only_where_nobody_can_know(mode):
    at = killed("at", mode)[mode]
    assert len(at) == POINTS[mode]
    for point, found in at.items():
        outcome = {name: found[name] for name in ("kills", "jobs", "paid twice", "lost")}
        assert outcome == {"kills": 1, "jobs": 22, "paid twice": 0, "lost": 0}, point
        assert found["same gradient"] == 1, point
    asked = {point for point, found in at.items() if found.get("settled by the user")}
    never_taken = {"after the claim"}
    untraceable = {"after acceptance, before the reply", "after the reply, before it is written"}
    assert asked == (never_taken | untraceable if mode == "no tags" else never_taken)


def test_processes_killed_at_random_times_pay_once_and_lose_nothing():
    """4 points a mode, seed 0; the benchmark `killed` has 100."""
    found = killed("random", "4", "0")
    for mode in MODES:
        report = found[mode]
        assert report["jobs"] == report["runs"] * 22, mode
        assert report["same gradient"] == report["runs"], mode
        assert (report["paid twice"], report["lost"]) == (0, 0), mode
        assert report["points"] == 4, mode
