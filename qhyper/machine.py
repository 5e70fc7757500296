"""What this process may use of its machine: cores, memory, a kernel cache, devices, packages.

Each limit is the least of all that can be found: of the system, of control groups, of the
environment. What a system does not have, such as Linux' control groups, limits nothing.
"""

import hashlib
import os
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from qhyper.errors import ConfigurationError, MissingError

if TYPE_CHECKING:
    import torch

GIB = 2**30

THREADS = (
    "OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS", "SLURM_CPUS_PER_TASK",
)  # fmt: skip
"""Variables of the environment by which users and schedulers say how many threads a process has."""


def cores() -> int:
    """Number of cores that this process may use, 1 or more."""
    try:
        found = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        found = os.cpu_count() or 1
    return max(1, min(found, _told()))


@cache
def _told() -> int:
    """Cores by the environment and the control groups; read once, for kernels ask often."""
    return min([*environment_threads().values(), *_quotas()], default=sys.maxsize)


def environment_threads() -> dict[str, int]:
    """The number of threads by each variable of `THREADS` that is set to one, 1 or more.

    OpenMP's lists (4,2) begin with the number of the outermost level. Other values are none, as for
    OpenMP itself: see `ignored_threads`.
    """
    texts = {name: os.environ.get(name, "").partition(",")[0].strip() for name in THREADS}
    numbers = {name: int(text) for name, text in texts.items() if _whole(text)}
    return {name: number for name, number in numbers.items() if number >= 1}


def ignored_threads() -> dict[str, str]:
    """The variables of `THREADS` that are set to something that is no number of threads."""
    texts = {name: os.environ.get(name, "").strip() for name in THREADS}
    limiting = environment_threads()
    return {name: text for name, text in texts.items() if text and name not in limiting}


def memory() -> int:
    """Bytes of memory that this process may use: the least of the machine's and of what limits.

    Of a limit on its address space (ulimit -v) or data, what is left of it. Where a system does not
    say how much it has, no request is too large.
    """
    return min([*_machine_memory(), *_left_of_limits()], default=sys.maxsize)


def njit(**options: Any) -> Any:
    """numba's decorator `njit` with these options, and a cache of what is compiled.

    The cache is beside the source or in the user's own folder, as numba chooses. Where neither can
    be written, it is in a temporary folder of the user's, or else there is none; a warning says so,
    once. What is kept is of the function's own source and of the modules whose compiled parts it is
    made of: numba itself looks at the first alone.
    """
    import numba

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            compiled = numba.njit(cache=True, **options)(function)
        except RuntimeError:  # there is no folder for a cache
            folder = _other_cache()
            if folder is None:
                return numba.njit(**options)(function)
            numba.config.CACHE_DIR = folder  # type: ignore[attr-defined]
            compiled = numba.njit(cache=True, **options)(function)
        others = sorted(_parts_of(function.__globals__, {function.__globals__["__name__"]}))
        if others and not _stamp(compiled, others):  # a numba that keeps its stamp elsewhere
            return numba.njit(**options)(function)
        return compiled

    return decorate


def _parts_of(names: Mapping[str, Any], seen: set[str]) -> set[Path]:
    """The sources of other modules of whose compiled functions some are among these names."""
    found: set[Path] = set()
    for value in names.values():
        part = getattr(value, "py_func", None) or getattr(value, "_defn", None)
        inside = getattr(part, "__globals__", None)
        if inside is None or inside["__name__"] in seen or "__file__" not in inside:
            continue
        seen.add(inside["__name__"])
        found |= {Path(inside["__file__"])} | _parts_of(inside, seen)
    return found


def _stamp(compiled: Any, sources: Iterable[Path]) -> bool:
    """Add a hash of sources to what numba compares before it loads; False if that is not there."""
    kept: Any = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if not hasattr(kept, "_source_stamp"):
        return False
    kept._source_stamp = (kept._source_stamp, *map(_hash_of, sources))
    return True


@cache
def _hash_of(source: Path) -> str:
    return hashlib.sha256(source.read_bytes()).hexdigest()


@cache
def _other_cache() -> str | None:
    """The temporary folder in which compiled code is kept, None if there is none; warns once."""
    found = _private_folder()
    where = "nowhere, and compiled anew by every process" if found is None else f"in {found}"
    warnings.warn(
        f"numba can write neither beside qhyper's source nor in your own folder: compiled kernels "
        f"are kept {where}. Set NUMBA_CACHE_DIR to a folder that stays.",
        stacklevel=3,
    )
    return found


def _private_folder() -> str | None:
    """A temporary folder that nobody else can write to: what is in it is run."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    try:
        path = Path(tempfile.gettempdir(), f"qhyper-kernels-{user}")
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        tempfile.TemporaryFile(dir=path).close()
    except OSError:
        return None
    of_others = os.name == "posix" and (found.st_uid != user or found.st_mode & 0o022)
    return None if of_others or not stat.S_ISDIR(found.st_mode) else str(path)


def torch_device(name: str) -> "torch.device":
    """The torch device called `name`, such as cpu, cuda or cuda:1.

    Raises ConfigurationError, with what is available, if torch does not know it or cannot compute
    in double precision on it here.
    """
    import torch

    try:
        torch.zeros(1, dtype=torch.complex128, device=name).cpu()
        return torch.device(name)
    except (AssertionError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0].split(". ")[0].rstrip(".")
        available = "cpu and cuda" if torch.cuda.is_available() else "cpu"
        raise ConfigurationError(
            f"Got the device '{name}', on which torch cannot compute in double precision here: "
            f"{reason}. Available: {available}. Use one of these; cuda needs an NVIDIA GPU and a "
            "torch that is built for it."
        ) from error


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Within, `what` imports the packages of an extra; raises MissingError where that fails.

    The message names no versions: pip takes those that the extra asks for.
    """
    try:
        yield
    except ImportError as error:
        raise MissingError(
            f"{what} needs packages that are not installed, or too old ({error}). Install them "
            f"in the checkout of qhyper: pip install -c constraints.txt -e '.[{extra}]'"
        ) from error


# -- memory of the machine -------------------------------------------------------------------------


@cache
def _machine_memory() -> list[int]:
    """Bytes of memory of the machine, and what its control groups allow; read once."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no such call
        found = _windows_memory()
    groups = _of_groups("memory", "memory.max", "memory.limit_in_bytes")
    return [size for size in (found, *groups) if size > 0]


def _windows_memory() -> int:
    """Bytes of memory of a machine with Windows, 0 of any other."""
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_uint32), ("load", ctypes.c_uint32),
            *((name, ctypes.c_uint64) for name in ("total", "free", "c", "d", "e", "f", "g")),
        )  # fmt: skip

    status = Status(length=ctypes.sizeof(Status))
    try:
        answered = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
    except AttributeError:
        return 0
    return status.total if answered else 0


# -- limits on the process -------------------------------------------------------------------------


def _left_of_limits() -> list[int]:
    """Bytes that are left of the limits on this process's address space and data."""
    try:
        import resource
    except ImportError:  # not on Windows
        return []
    of = [
        getattr(resource, name, None) for name in ("RLIMIT_AS", "RLIMIT_DATA")
    ]  # OpenBSD lacks one
    unlimited = resource.RLIM_INFINITY
    found = [unlimited if limit is None else resource.getrlimit(limit)[0] for limit in of]
    if found == [unlimited] * 2:
        return []
    pairs = zip(found, _in_use(), strict=True)
    return [max(0, limit - used) for limit, used in pairs if limit != unlimited]


def _in_use() -> tuple[int, int]:
    """Bytes of address space and of data that this process has now; 0 where nobody says."""
    text = _read(Path("/proc/self/statm")).split()
    if len(text) < 6:
        return 0, 0
    page = os.sysconf("SC_PAGE_SIZE")
    return page * int(text[0]), page * int(text[5])


# -- control groups --------------------------------------------------------------------------------


def _quotas() -> list[int]:
    """Cores by the CPU time that each control group allows, rounded up."""
    words = [_read(folder / "cpu.max").split() for folder in _folders("cpu")]
    words += [
        [_read(folder / f"cpu.cfs_{part}_us").strip() for part in ("quota", "period")]
        for folder in _folders("cpu")
    ]
    pairs = [tuple(map(int, pair)) for pair in words if len(pair) == 2 and all(map(_whole, pair))]
    return [-(-quota // period) for quota, period in pairs if period]


def _of_groups(controller: str, *files: str) -> list[int]:
    """The numbers in these files of the process's control groups and of all above them."""
    texts = [_read(folder / file).strip() for folder in _folders(controller) for file in files]
    return [int(text) for text in texts if _whole(text)]


@cache
def _folders(controller: str) -> tuple[Path, ...]:
    """Folders of the process's control groups that can limit something, and of those above them."""
    return tuple(_found_folders(controller)) or (
        Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup", controller)
    )  # fmt: skip


def _found_folders(controller: str) -> Iterator[Path]:
    groups: dict[str, str] = {}
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, group = line.split(":", 2)
        groups |= dict.fromkeys(controllers.split(","), group)
    for line in _read(Path("/proc/self/mountinfo")).splitlines():
        mount, _, system = line.partition(" - ")
        (root, point), (kind, *_, options) = mount.split()[3:5], system.split()
        of = "" if kind == "cgroup2" else controller  # version 2 has one tree for all
        if kind == "cgroup2" or (kind == "cgroup" and controller in options.split(",")):
            yield from _upwards(Path(point), root, groups.get(of, "/"))


def _upwards(point: Path, root: str, group: str) -> Iterator[Path]:
    """The folder of a group, and those above it, where the tree's `root` is mounted at `point`."""
    inside = PurePosixPath(group)
    if inside.is_relative_to(root):
        inside = inside.relative_to(root)
    inside = PurePosixPath(str(inside).lstrip("/"))  # a container may see the group's outer name
    yield from (point / each for each in (inside, *inside.parents))


def _whole(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
