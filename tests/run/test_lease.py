"""Leases: one process at a time on a piece of work, whatever clocks and deaths there are."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from qhyper.errors import Interrupted, StorageError
from qhyper.run import lease as module
from qhyper.run.lease import Leases
from qhyper.run.processes import Here
from qhyper.run.work import Task, carry_out

ELSEWHERE = {"host": "another", "space": "another", "pid": 1, "began": "5"}


@pytest.fixture
def leases():
    with Leases(beat=0.05, silence=0.4) as held:
        yield held


def claims(folder):
    return sorted(path.name for path in folder.iterdir())


def leave(folder, who, number=1):
    """A claim of another process."""
    folder.mkdir(exist_ok=True)
    (folder / f"attempt-{number}").write_bytes(json.dumps(who).encode() + b"\n")


def ended_process():
    """What a process that has ended had called itself."""
    program = "import json; from qhyper.run import lease; print(json.dumps(lease._this_process()))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_one_process_alone_has_a_claim(tmp_path, leases):
    lease = leases.claim(tmp_path / "work")
    assert lease.number == 1
    assert lease.holds
    with Leases() as others:
        assert others.claim(tmp_path / "work") is None
        leases.release(lease)
        assert claims(tmp_path / "work") == []
        assert others.claim(tmp_path / "work").number == 1
    assert claims(tmp_path / "work") == []  # what is still held is released


def test_of_many_that_claim_at_once_one_gets_it(tmp_path):
    held = [Leases() for _ in range(16)]
    start, found = threading.Barrier(len(held)), []

    def claim(leases):
        start.wait()
        found.append(leases.claim(tmp_path / "work"))

    for _ in range(20):
        found.clear()
        threads = [threading.Thread(target=claim, args=(leases,)) for leases in held]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (lease,) = [each for each in found if each is not None]
        next(each for each in held if lease in each._held).release(lease)


def test_a_process_of_this_machine_that_is_gone_holds_nobody_up(tmp_path, leases):
    leave(tmp_path, ended_process())
    lease = leases.claim(tmp_path)
    assert lease.number == 2
    assert lease.deaths() == []  # nobody saw how it ended
    leases.close(lease)
    assert claims(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="it is seen in /proc")
def test_its_number_may_be_another_process_by_now(tmp_path, leases):
    leave(tmp_path, module._this_process() | {"began": "7"})
    assert leases.claim(tmp_path).number == 2


@pytest.mark.skipif(sys.platform != "linux", reason="it is seen in /proc")
def test_a_process_whose_end_nobody_has_asked_for_is_dead(tmp_path, leases):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    began = module._began(child.pid)
    leave(tmp_path, module._this_process() | {"pid": child.pid, "began": began})
    assert leases.claim(tmp_path) is None
    child.kill()
    while module._began(child.pid) != "ended":
        time.sleep(0.01)
    assert leases.claim(tmp_path).number == 2
    child.communicate()


@pytest.mark.parametrize("who", [ELSEWHERE, [], "", {"host": socket.gethostname()}])
def test_another_machine_is_dead_once_it_is_silent(tmp_path, leases, who):
    leave(tmp_path, who)
    began = time.monotonic()
    while (lease := leases.claim(tmp_path)) is None:
        time.sleep(0.02)
    assert time.monotonic() - began > 0.4
    assert lease.number == 2


@pytest.mark.parametrize("said", [b"", b'{"host": "anoth'])
def test_who_was_killed_before_it_had_said_who_it_is_holds_nobody_up(tmp_path, leases, said):
    (tmp_path / "attempt-1").write_bytes(said)
    began = time.monotonic()
    while (lease := leases.claim(tmp_path)) is None and time.monotonic() - began < 30:
        time.sleep(0.02)
    assert lease is not None
    assert lease.number == 2


@pytest.mark.parametrize("clock", [0, 2**31])
def test_a_claim_whose_clock_is_wrong_is_alive_as_long_as_it_gives_signs(tmp_path, leases, clock):
    leave(tmp_path, ELSEWHERE)
    path, begun = tmp_path / "attempt-1", time.monotonic()
    while time.monotonic() - begun < 1:
        with path.open("ab") as file:
            file.write(b".")
        os.utime(path, (clock, clock))
        assert leases.claim(tmp_path) is None
        time.sleep(0.1)


def test_signs_of_life_are_given(tmp_path, leases):
    lease = leases.claim(tmp_path)
    before = lease.path.stat().st_size
    time.sleep(0.3)
    assert lease.path.stat().st_size > before
    assert lease.holds


def test_who_was_taken_for_dead_removes_nothing_and_gives_no_signs_of_what_is_gone(
    tmp_path, leases
):
    lease = leases.claim(tmp_path)
    leave(tmp_path, ELSEWHERE, 2)
    assert not lease.holds
    leases.release(lease)
    leases.close(lease)
    assert claims(tmp_path) == ["attempt-1", "attempt-2"]
    (tmp_path / "attempt-1").unlink()
    lease.beat()
    assert claims(tmp_path) == ["attempt-2"]


def test_what_was_taken_over_is_not_written(tmp_path):
    """A process that slept: another has the work, and has ended it when this one wakes."""
    task = Task("one", tmp_path, tmp_path / "result")

    def work(*told):
        leave(tmp_path, module._this_process(), 2)
        task.result.write_bytes(b"of the other")
        (tmp_path / "attempt-1").unlink()
        (tmp_path / "attempt-2").unlink()
        return b"of the sleeper"

    here = Here(stop=lambda: False, progress=print, warn=print)
    assert list(carry_out([task], work, here, stop=lambda: False)) == [task]
    assert task.result.read_bytes() == b"of the other"


def test_who_waits_for_another_process_sees_its_result(tmp_path, monkeypatch):
    task = Task("one", tmp_path, tmp_path / "result")
    with Leases() as others:
        lease = others.claim(tmp_path)

        def end():
            task.result.write_bytes(b"of the other")
            others.close(lease)

        threading.Timer(0.5, end).start()
        here = Here(stop=lambda: False, progress=print, warn=print)
        ended = carry_out([task], lambda *told: pytest.fail("worked"), here, stop=lambda: False)
        assert list(ended) == [task]


def test_who_waits_can_be_stopped(tmp_path):
    leave(tmp_path, ELSEWHERE)
    task = Task("one", tmp_path, tmp_path / "result")
    here = Here(stop=lambda: False, progress=print, warn=print)
    began = time.monotonic()
    with pytest.raises(Interrupted):
        list(
            carry_out([task], lambda *told: b"", here, stop=lambda: time.monotonic() > began + 0.5)
        )
    assert claims(tmp_path) == ["attempt-1"]


def test_who_wakes_up_long_after_does_not_touch_a_new_claim_of_its_number(tmp_path, leases):
    sleeper = leases.claim(tmp_path)
    sleeper.path.unlink()  # another took it over, gave the work up, and removed all claims
    with Leases() as others:
        lease = others.claim(tmp_path)
        assert (lease.number, lease.holds, sleeper.holds) == (1, True, False)
        before = lease.path.read_bytes()
        sleeper.beat()
        leases.close(sleeper)
        assert lease.path.read_bytes() == before


@pytest.mark.skipif(sys.platform != "linux", reason="it is seen in /proc")
def test_what_cannot_be_asked_of_a_process_is_no_death(tmp_path, leases, monkeypatch):
    leave(tmp_path, module._this_process() | {"began": "7"})
    monkeypatch.setattr(module, "_began", lambda pid: None)  # /proc with hidepid
    assert leases.claim(tmp_path) is None


def test_a_claim_that_cannot_be_written_is_not_left_behind(tmp_path, leases, monkeypatch):
    def refuse(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", refuse)
    with pytest.raises(StorageError, match="No space left on device"):
        leases.claim(tmp_path)
    assert claims(tmp_path) == []


def test_a_disk_that_fails_for_a_moment_takes_no_claim_away(tmp_path, leases, monkeypatch):
    lease = leases.claim(tmp_path)

    def refuse(*args):
        raise OSError(errno.ESTALE, "Stale file handle")

    for name in ("read_bytes", "exists"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, name, refuse)
            assert lease.holds
            lease.beat()
    lease.path.unlink()
    assert not lease.holds


def test_what_is_given_back_twice_is_not_taken_from_another(tmp_path, leases):
    lease = leases.claim(tmp_path)
    leases.release(lease)
    with Leases() as others:
        assert others.claim(tmp_path).number == 1
        leases.release(lease)
        leases.close(lease)
        assert claims(tmp_path) == ["attempt-1"]


def test_a_folder_that_cannot_be_made(tmp_path, leases):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"Cannot read or write .*file"):
        leases.claim(tmp_path / "file")


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_workers_end_with_whoever_started_them(tmp_path):
    """SIGKILL of the coordinator: its worker is gone before the claim can be taken over."""
    program = f"""
import os, time
from pathlib import Path
from qhyper.run.processes import Processes
from qhyper.run.work import Task, carry_out
folder = Path({str(tmp_path)!r})
def work(task, *told):
    (folder / "pid.part").write_text(str(os.getpid()))
    (folder / "pid.part").rename(folder / "pid")
    time.sleep(1000)
task = Task("one", folder / "one", folder / "one" / "result")
print(list(carry_out([task], work, Processes(1, progress=print, warn=print), stop=bool)))
"""
    coordinator = subprocess.Popen([sys.executable, "-c", program])
    while not (tmp_path / "pid").exists():
        time.sleep(0.02)
    worker = int((tmp_path / "pid").read_text())
    assert module._began(worker) not in (None, "ended")
    os.kill(coordinator.pid, signal.SIGKILL)
    coordinator.wait()
    deadline = time.monotonic() + 5
    while module._began(worker) not in (None, "ended"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with Leases() as leases:
        assert leases.claim(tmp_path / "one").number == 2
