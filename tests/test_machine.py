"""What this machine has: its memory, its container's limits among it."""

import io

from qhyper import machine


def test_the_memory_is_the_least_of_the_machine_and_the_limits_of_its_container(monkeypatch):
    files = {}

    def opened(path, encoding):
        if path not in files:
            raise FileNotFoundError(path)
        return io.StringIO(files[path])

    monkeypatch.setattr(machine, "open", opened, raising=False)
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}
    monkeypatch.setattr(machine.os, "sysconf", pages.__getitem__)
    assert machine.memory() == 4_096_000
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert machine.memory() == 4_096_000
    files["/sys/fs/cgroup/memory.max"] = "9000000\n"
    assert machine.memory() == 4_096_000
    files["/sys/fs/cgroup/memory.max"] = "3000000\n"
    assert machine.memory() == 3_000_000
    files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "2000000\n"
    assert machine.memory() == 2_000_000


def test_this_machine_has_memory():
    assert 2**26 < machine.memory() < 2**50
