"""What this machine has: memory, devices that torch computes on, and optional packages."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

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
