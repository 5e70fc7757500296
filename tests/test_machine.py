"""What this machine has, and how much of it a process may use: other machines are simulated."""

import builtins
import ctypes
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numba
import pytest

from qhyper import machine, threads
from qhyper.quantum.ansatz import Brickwork
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.streams import Streams

GIB = 2**30
CACHED = (machine._told, machine._machine_memory, machine._folders)


@pytest.fixture(autouse=True)
def read_anew():
    for cached in CACHED:
        cached.cache_clear()
    yield
    for cached in CACHED:
        cached.cache_clear()


@pytest.fixture
def files(monkeypatch) -> dict[str, str]:
    """The system's files, as the test writes them: none at first. 8 cores, 64 GiB of memory."""
    found: dict[str, str] = {}
    monkeypatch.setattr(machine, "_read", lambda path: found.get(path.as_posix(), ""))
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 64 * GIB // 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(machine, "_left_of_limits", list)
    for name in machine.THREADS:
        monkeypatch.delenv(name, raising=False)
    return found


# mount points as Linux lists them: version 2 alone, and version 1 with version 2 beside it
SECOND = "24 1 0:21 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
FIRST = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)
JOB = "/slurm/uid_7/job_3"


@pytest.mark.parametrize("group", [JOB, "/slurm/uid_7", "/slurm", ""])
def test_memory_is_limited_by_any_group_of_version_2(files, group):
    files["/proc/self/cgroup"], files["/proc/self/mountinfo"] = f"0::{JOB}\n", SECOND
    files["/sys/fs/cgroup/slurm/memory.max"] = "max\n"
    assert machine.memory() == 64 * GIB
    machine._machine_memory.cache_clear()
    files[f"/sys/fs/cgroup{group}/memory.max"] = f"{3 * GIB}\n"
    assert machine.memory() == 3 * GIB


@pytest.mark.parametrize("group", [JOB, "/slurm", ""])
def test_memory_is_limited_by_any_group_of_version_1(files, group):
    files["/proc/self/cgroup"] = f"9:name=systemd:/\n4:memory:{JOB}\n2:cpuacct,cpu:/x\n0::/\n"
    files["/proc/self/mountinfo"] = FIRST
    files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = f"{2**63 - 4096}\n"  # no limit
    files[f"/sys/fs/cgroup/memory{group}/memory.limit_in_bytes"] = f"{5 * GIB}\n"
    assert machine.memory() == 5 * GIB


def test_a_container_sees_its_own_group_as_the_root(files):
    """Its files are mounted at the root; the group's name is the host's, or a part of the mount."""
    files["/proc/self/cgroup"], files["/proc/self/mountinfo"] = "0::/docker/abc\n", SECOND
    files["/sys/fs/cgroup/memory.max"] = f"{GIB}\n"
    assert machine.memory() == GIB
    for cached in CACHED:
        cached.cache_clear()
    files["/proc/self/mountinfo"] = SECOND.replace(" / ", " /docker/abc ", 1)
    files["/proc/self/cgroup"] = "0::/docker/abc/inner\n"
    files["/sys/fs/cgroup/inner/memory.max"] = f"{GIB // 2}\n"
    assert machine.memory() == GIB // 2


def test_without_a_list_of_mounts_the_usual_places_are_read(files):
    files["/sys/fs/cgroup/memory.max"] = f"{2 * GIB}\n"
    files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = f"{GIB}\n"
    assert machine.memory() == GIB


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("max 100000", 8),
     ("9900000 100000", 8), ("", 8), ("100000 0", 8)],
)  # fmt: skip
def test_the_cpu_time_of_a_group_limits_threads(files, quota, cores):
    files["/proc/self/cgroup"], files["/proc/self/mountinfo"] = f"0::{JOB}\n", SECOND
    files["/sys/fs/cgroup/slurm/cpu.max"] = quota
    assert machine.cores() == threads.n_threads() == cores
    for cached in CACHED:
        cached.cache_clear()
    files.clear()
    files["/proc/self/cgroup"], files["/proc/self/mountinfo"] = f"2:cpu,cpuacct:{JOB}\n", FIRST
    for part, number in zip(("quota", "period"), quota.replace("max", "-1").split(), strict=False):
        files[f"/sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_{part}_us"] = f"{number}\n"
    assert machine.cores() == cores


@pytest.mark.parametrize("name", machine.THREADS)
@pytest.mark.parametrize(
    ("text", "cores"),
    [("1", 1), ("3", 3), ("64", 8), ("2,4", 2), (" 2 ", 2), ("", 8), ("0", 8), ("-1", 8),
     ("all", 8), ("1.5", 8), ("²", 8)],
)  # fmt: skip
def test_the_environment_limits_threads(files, monkeypatch, name, text, cores):
    monkeypatch.setenv(name, text)
    assert threads.n_threads() == cores
    limits_nothing = text in ("0", "-1", "all", "1.5", "²")
    assert machine.ignored_threads() == ({name: text} if limits_nothing else {})


def test_the_smallest_of_all_limits_counts(files, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    assert threads.n_threads() == 3
    assert machine.environment_threads() == {"OMP_NUM_THREADS": 6, "SLURM_CPUS_PER_TASK": 3}


def without(monkeypatch, *modules: str) -> None:
    """Let these modules be those of no system here."""
    whole = builtins.__import__

    def imported(name, *rest):
        if name in modules:
            raise ImportError(f"No module named '{name}'")
        return whole(name, *rest)

    monkeypatch.setattr(builtins, "__import__", imported)


def test_circuits_run_where_the_system_says_nothing_of_itself(monkeypatch):
    """As on Windows: no sysconf, no affinity, no limits, no /proc."""
    monkeypatch.setattr(machine, "_read", lambda path: "")
    monkeypatch.delattr(os, "sysconf", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    without(monkeypatch, "resource", "fcntl")
    assert machine.memory() == sys.maxsize
    assert machine.memory() == sys.maxsize
    assert 1 <= threads.n_threads() <= (os.cpu_count() or 1)
    for backend in ("mps", "statevector"):
        generator = QuantumHyperNetwork(5, ansatz=Brickwork(depth=2), backend=backend)
        assert generator.sample(3, rng=Streams(generator.seeds)(0)).bits.shape == (1, 1, 3, 5)


@pytest.mark.parametrize("refusal", [ValueError("unrecognized name"), OSError(22, "no")])
def test_a_system_that_does_not_know_its_pages_is_asked_no_further(monkeypatch, refusal):
    def sysconf(name):
        raise refusal

    monkeypatch.setattr(machine, "_read", lambda path: "")
    monkeypatch.setattr(machine, "_left_of_limits", list)
    monkeypatch.setattr(os, "sysconf", sysconf, raising=False)
    assert machine.memory() == sys.maxsize


def test_windows_says_how_much_memory_it_has(monkeypatch):
    def answer(status):
        assert status._obj.length == ctypes.sizeof(status._obj) == 64
        status._obj.total = 16 * GIB
        return 1

    monkeypatch.delattr(os, "sysconf", raising=False)
    monkeypatch.setattr(machine, "_read", lambda path: "")
    monkeypatch.setattr(machine, "_left_of_limits", list)
    kernel32 = SimpleNamespace(GlobalMemoryStatusEx=answer)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel32), raising=False)
    assert machine.memory() == 16 * GIB


def test_what_is_left_of_a_limit_on_the_process_counts(monkeypatch):
    resource = pytest.importorskip("resource")
    of = {resource.RLIMIT_AS: (5 * GIB, -1), resource.RLIMIT_DATA: (-1, -1)}
    monkeypatch.setattr(resource, "getrlimit", of.__getitem__)
    monkeypatch.setattr(resource, "RLIM_INFINITY", -1)
    page = os.sysconf("SC_PAGE_SIZE")
    used = f"{2 * GIB // page} 9 9 9 0 {GIB // page} 0\n"
    monkeypatch.setattr(machine, "_read", lambda path: used if path.name == "statm" else "")
    assert machine._left_of_limits() == [3 * GIB]
    of[resource.RLIMIT_DATA] = (2 * GIB, -1)
    assert machine._left_of_limits() == [3 * GIB, GIB]
    of[resource.RLIMIT_DATA] = (GIB // 2, -1)  # more is in use than may be
    assert machine._left_of_limits() == [3 * GIB, 0]
    monkeypatch.setattr(machine, "_read", lambda path: "")  # no /proc
    assert machine._left_of_limits() == [5 * GIB, GIB // 2]


LIMITED = """
import resource
from qhyper import Brickwork, QuantumHyperNetwork
resource.setrlimit(resource.RLIMIT_AS, (9 * 2**29, resource.RLIM_INFINITY))
for n_bits in (20, 26):  # 72 MiB, and 4.5 GiB beside what the process has already
    QuantumHyperNetwork(n_bits, ansatz=Brickwork(depth=40), backend="statevector")
    print(n_bits)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="a limit that Linux has")
def test_a_circuit_too_large_for_the_processs_own_limit_is_refused():
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True, check=False
    )
    assert done.stdout == "20\n"
    assert "The backend statevector would need about 4.5 GiB for this circuit" in done.stderr


def test_this_machine_has_memory():
    assert 2**26 < machine.memory() < 2**50


# -- a compiler's cache ----------------------------------------------------------------------------


def one(x):
    """Compiled by a test."""
    return x + 1


def two(x):
    """Compiled by a test."""
    return x + 2


@pytest.fixture
def no_cache(monkeypatch, tmp_path: Path) -> Path:
    """No folder but temporary ones can be written: returns the one that these are made in."""
    real = tempfile.TemporaryFile

    def opened(*arguments, dir=None, **options):
        if dir is not None and not Path(dir).is_relative_to(tmp_path):
            raise PermissionError(13, "Permission denied")
        return real(*arguments, dir=dir, **options)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "TemporaryFile", opened)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    machine._other_cache.cache_clear()
    yield tmp_path
    machine._other_cache.cache_clear()


def test_kernels_are_kept_in_a_temporary_folder_where_no_other_can_be_written(no_cache):
    with pytest.warns(UserWarning, match="compiled kernels are kept in .*NUMBA_CACHE_DIR") as told:
        kernels = [machine.njit(error_model="numpy")(function) for function in (one, two)]
    assert len(told) == 1
    assert [kernel(3) for kernel in kernels] == [4, 5]
    for kernel in kernels:
        assert Path(kernel.stats.cache_path).is_relative_to(no_cache)
    assert len(list(no_cache.rglob("*.nbc"))) == 2
    (folder,) = no_cache.iterdir()
    assert not folder.stat().st_mode & 0o077


def refuse_folders(monkeypatch):
    def mkdir(path, *arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", mkdir)


def somebody_elses(monkeypatch):
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)


def open_to_all(monkeypatch):
    folder = Path(tempfile.gettempdir(), f"qhyper-kernels-{os.getuid()}")
    folder.mkdir()
    folder.chmod(0o777)


def a_link(monkeypatch):
    there = Path(tempfile.gettempdir(), "there")
    there.mkdir()
    Path(tempfile.gettempdir(), f"qhyper-kernels-{os.getuid()}").symlink_to(there)


def test_kernels_are_compiled_anew_when_a_part_of_another_module_changes(tmp_path):
    """numba looks at the source of a kernel alone, and would run what it was made of before."""
    part = """
from qhyper.machine import njit

@njit()
def part(x):
    return x + {}
"""
    kernel = """
from part import part
from qhyper.machine import njit

@njit()
def kernel(x):
    return part(x)

print(kernel(1), sum(kernel.stats.cache_hits.values()))
"""
    (tmp_path / "kernel.py").write_text(kernel)
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",  # Python tells sources of one size and second not apart
    }

    def run(added):
        (tmp_path / "part.py").write_text(part.format(added))
        command = [sys.executable, "-c", "import kernel"]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()

    assert [run(1), run(1), run(2)] == [["2", "0"], ["2", "1"], ["3", "0"]]


def test_kernels_of_several_modules_have_no_cache_where_its_stamp_is_not_known(monkeypatch):
    monkeypatch.setattr(machine, "_parts_of", lambda names, seen: {Path(__file__)})
    monkeypatch.setattr(machine, "_stamp", lambda compiled, sources: False)
    kernel = machine.njit()(one)
    assert kernel(3) == 4
    assert kernel.stats.cache_path is None


@pytest.mark.skipif(os.name != "posix", reason="owners and modes of files")
@pytest.mark.parametrize("how", [refuse_folders, somebody_elses, open_to_all, a_link])
def test_kernels_are_kept_nowhere_where_no_folder_is_safe(no_cache, monkeypatch, how):
    how(monkeypatch)
    with pytest.warns(UserWarning, match="kept nowhere, and compiled anew by every process"):
        kernel = machine.njit()(one)
    assert kernel(3) == 4
    assert kernel.stats.cache_path is None
