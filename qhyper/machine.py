"""What this machine has: memory, devices that torch computes on, and optional packages."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qhyper.errors import ConfigurationError, MissingError

if TYPE_CHECKING:
    import torch


GIB = 2**30


def memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's limit."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path, encoding="ascii") as file:  # noqa: PTH123 (a system file)
                text = file.read().strip()
        except OSError:
            continue
        if text.isdigit():
            limits.append(int(text))
    return min(limits)


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
