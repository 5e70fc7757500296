"""What this machine has: memory, a compiler's cache, devices of torch, and optional packages."""

import os
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qhyper import limits
from qhyper.errors import ConfigurationError, MissingError

if TYPE_CHECKING:
    import torch


GIB = 2**30


def memory() -> int:
    """Bytes of memory that this process may use: the machine's, or what a limit leaves of them.

    Where a system does not say how much it has, no request is too large.
    """
    found = limits.memory()
    return sys.maxsize if found is None else found


def njit(**options: Any) -> Any:
    """numba's decorator `njit` with these options, and a cache of what is compiled.

    The cache is beside the source or in the user's own folder, as numba chooses. Where neither can
    be written, it is in a temporary folder of the user's, or else there is none; a warning says so,
    once.
    """
    import numba

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # there is no folder for a cache
            folder = _other_cache()
        if folder is None:
            return numba.njit(**options)(function)
        numba.config.CACHE_DIR = folder  # type: ignore[attr-defined]
        return numba.njit(cache=True, **options)(function)

    return decorate


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
            f'with: pip install "qhyper[{extra}]", or in a checkout: pip install -e ".[{extra}]"'
        ) from error
