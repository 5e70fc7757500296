"""The parts of a torch module that can be packed: which there are, and where they stand."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from qhyper.errors import ConfigurationError
from qhyper.targets.convolutional.modules import Affine2d, ChannelScale, PadMinusOne, Residual
from qhyper.targets.convolutional.steps import Float
from qhyper.targets.packed.plain_module import (
    called,
    check_plain,
    kind_of,
    other_than_numbers,
)
from qhyper.targets.sign import Sign

WITHOUT_EFFECT = (torch.nn.Identity, torch.nn.Dropout, torch.nn.Dropout2d)
"""What is left out: in eval mode these do nothing."""
NORMS = (torch.nn.BatchNorm2d, torch.nn.BatchNorm1d)
PER_CHANNEL = (*NORMS, ChannelScale, Affine2d, torch.nn.ReLU, torch.nn.Hardtanh)
PARTS = (
    torch.nn.Conv2d,
    torch.nn.Linear,
    *PER_CHANNEL,
    Sign,
    torch.nn.MaxPool2d,
    torch.nn.AvgPool2d,
    torch.nn.AdaptiveAvgPool2d,
    torch.nn.Flatten,
    Residual,
    PadMinusOne,
    *WITHOUT_EFFECT,
)
EXPECTED = f"expected a torch.nn.Sequential of {', '.join(part.__name__ for part in PARTS)}"


class Part(NamedTuple):
    """A part of a module, and where it stands: "3.body.0"."""

    name: str
    module: torch.nn.Module


def plain_parts(module: torch.nn.Module, within: str = "") -> list[Part]:
    """The parts of a Sequential, of those in it too, and without those that do nothing.

    Raises ConfigurationError for what is none, for parts that we do not know and for subclasses of
    those that we do, for hooks and patched methods; also inside a Residual.
    """
    if not isinstance(module, torch.nn.Sequential) or kind_of(module) is not torch.nn.Sequential:
        raise ConfigurationError(
            f"Got {called(type(module), PARTS)}{f' as {within}' * bool(within)}; {EXPECTED}."
        )
    check_plain(module, within or "all layers")
    parts: list[Part] = []
    for name, part in module._modules.items():  # also those that stand there twice
        assert part is not None
        name, kind = f"{within}.{name}" if within else name, kind_of(part)
        if kind is torch.nn.Sequential:
            parts += plain_parts(part, name)
            continue
        if kind not in PARTS:
            above = next((known.__name__ for known in PARTS if isinstance(part, known)), None)
            hint = f" A subclass of {above} may compute anything: make it a plain {above}."
            raise ConfigurationError(
                f"Got {called(kind, PARTS)} as layer {name}; {EXPECTED}.{hint if above else ''}"
            )
        check_plain(part, f"layer {name}")
        if isinstance(part, Residual):
            plain_parts(part.body, f"{name}.body")
            plain_parts(part.shortcut, f"{name}.shortcut")
        if not isinstance(part, WITHOUT_EFFECT):
            parts.append(Part(name, part))
    return parts


def made(part: Part, make: Callable[..., Any], *fields: Any, **options: Any) -> Any:
    """What `make` makes of the rest; its ConfigurationError with the part's name."""
    try:
        return make(*fields, **options)
    except ConfigurationError as problem:
        raise ConfigurationError(f"Layer {_named(part)}: {problem}") from None


def numbers(part: Part, tensor: Any, what: str, dimensions: int) -> Float:
    """A tensor of float64 with so many dimensions as an array, or ConfigurationError."""
    if got := other_than_numbers(tensor, dimensions):
        raise error(
            part, f"got its {what} as {got}; expected floating point numbers in {dimensions} "
            "dimensions. Assign a torch.nn.Parameter",
        )  # fmt: skip
    return tensor.detach().numpy()


def _named(part: Part) -> str:
    return f"{part.name}, {type(part.module).__name__}"


def error(part: Part, text: str) -> ConfigurationError:
    """A ConfigurationError that says which part it is about, and `text`."""
    return ConfigurationError(f"Layer {_named(part)}: {text}.")
