"""Torch modules that are what they look like: exact types, no hooks, nothing patched.

A subclass, a hook or a method that an instance has of its own can make a layer compute anything,
whatever its weights are. Parametrised layers are the one exception: their weights are computed, and
are then weights like any other.
"""

import copy
from collections.abc import Sequence

import torch
from torch.nn.modules import module as torch_module
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from qhyper.errors import ConfigurationError


def kind_of(part: torch.nn.Module) -> type:
    """What a module is: its type, or of a parametrised one the type that it had before."""
    if not isinstance(part, torch.nn.Module) or not is_parametrized(part):
        return type(part)
    before = type_before_parametrizations(part)
    return before if type(part).forward is before.forward else type(part)


def check_plain(part: torch.nn.Module, where: str) -> None:
    """Raise ConfigurationError for forward hooks, and for methods that an instance has of its own.

    But for `extra_repr`, which is for print alone. `where` says which part it is: "layer 0".
    """
    name = f"{kind_of(part).__name__} of {where}"
    hooks = [*part._forward_pre_hooks.values(), *part._forward_hooks.values()]
    if hooks:
        raise ConfigurationError(
            f"Got the hook {_name(hooks[0])} on the {name}: what hooks do is not packed. Remove it "
            "first; weights that a hook makes become plain by torch.nn.utils.prune.remove, "
            "remove_weight_norm or remove_spectral_norm."
        )
    methods = (key for key in vars(part) if callable(getattr(type(part), key, None)))
    patched = [key for key in methods if key != "extra_repr"]
    if patched:
        raise ConfigurationError(
            f"Got the {name} with a method `{patched[0]}` of its own: what it does is not packed. "
            f"Delete it, or put the numbers into a new {kind_of(part).__name__}."
        )


def check_numbers(module: torch.nn.Module) -> None:
    """Raise ConfigurationError for parameters and buffers that are no arrays of real numbers."""
    for key, tensor in (*module.named_parameters(), *module.named_buffers()):
        reason = _no_plain_numbers(tensor)
        if reason:
            raise ConfigurationError(
                f"Got {key} {reason}; expected real numbers in a plain tensor. Convert it first."
            )


def check_no_global_hooks() -> None:
    """Raise ConfigurationError if a forward hook of all modules is registered."""
    hooks = (
        *torch_module._global_forward_pre_hooks.values(),
        *torch_module._global_forward_hooks.values(),
    )
    if hooks:
        raise ConfigurationError(
            f"Got the hook {_name(hooks[0])} on all modules, by torch.nn.modules.module: what "
            "hooks do is not packed. Remove it first."
        )


def copy_in_float64(module: torch.nn.Sequential) -> torch.nn.Sequential:
    """A copy of all numbers on the CPU, in float64 and eval mode.

    Raises ConfigurationError if the module cannot be copied.
    """
    try:
        return copy.deepcopy(module).to("cpu", torch.float64).eval()
    except Exception as error:  # whatever a module carries with it
        raise ConfigurationError(
            f"The module cannot be copied ({error}). Put its weights into a new "
            "torch.nn.Sequential, as parameters."
        ) from error


def other_than_numbers(tensor: object, dimensions: int) -> str | None:
    """What something is, if it is no tensor of float64 with so many dimensions.

    In a copy of float64 those are what is no parameter or buffer, or holds whole numbers.
    """
    if not isinstance(tensor, torch.Tensor):
        return type(tensor).__name__
    right = tensor.dtype == torch.float64 and tensor.ndim == dimensions
    return None if right else f"{tensor.dtype} and shape {tuple(tensor.shape)}"


def called(kind: type, parts: Sequence[type]) -> str:
    """The name of a class, with its module if it is but the name of one of the known parts."""
    known = (torch.nn.Sequential, *parts)
    alike = kind not in known and kind.__name__ in {part.__name__ for part in known}
    return f"{kind.__module__}.{kind.__qualname__}" if alike else kind.__name__


def _no_plain_numbers(tensor: torch.Tensor) -> str | None:
    """Why a tensor is no array of real numbers, None if it is one."""
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        return f"as a {type(tensor).__name__}"
    if tensor.is_meta:
        return "on the meta device, where there are no numbers"
    if tensor.is_complex() or tensor.is_quantized or tensor.layout is not torch.strided:
        return f"of {tensor.dtype} and {tensor.layout}"
    return None


def _name(hook: object) -> str:
    return getattr(hook, "__name__", type(hook).__name__)
