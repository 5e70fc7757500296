"""Devices that torch computes on."""

from typing import TYPE_CHECKING

from qhyper.errors import ConfigurationError

if TYPE_CHECKING:
    import torch


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
