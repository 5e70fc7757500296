"""A conversion is compared with what it was made from, on random rows, before it is returned.

Layers are told by what they are called, and compute what they please: only the numbers that come
out say whether a conversion is right. Rows come from generators of their own, always the same ones.
"""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from qhyper.errors import ConfigurationError
from qhyper.targets.sign import Sign

ROUNDING = 1e-9
"""How far two outputs may be apart, by the largest of their class, and a sum from its sign's zero,
by the largest of its unit, where they differ by rounding alone."""
_SHORT = 2**20
"""Numbers are short if so many times each of them is whole: sums of them do not round."""

Float = npt.NDArray[np.float64]


def check_same(
    what: str, found: npt.NDArray, expected: Float,
    tied: Callable[[], npt.NDArray[np.bool_]] | None = None, *, rows: str = "rows",
) -> None:  # fmt: skip
    """Raise ConfigurationError if outputs `found` are not the `expected` ones, [row, class] both.

    They may differ by rounding, and freely in rows [row] that are `tied`: that is asked only if
    any do. `what` begins the message: "The packed network"; `rows` says what rows are.
    """
    if found.shape != expected.shape:
        raise ConfigurationError(
            f"{what} gives outputs of shape {found.shape} where it was made from something that "
            f"gives {expected.shape}. {_ADVICE}"
        )
    if not np.isfinite(expected).all():
        raise ConfigurationError(
            f"{what} was made from something whose outputs are not finite on "
            f"{(~np.isfinite(expected)).any(axis=1).sum()} of {len(expected)} random {rows}. Make "
            "its numbers smaller."
        )
    size = np.abs(expected).max(axis=0)
    near = np.abs(found - expected) <= ROUNDING * size + 1e-15 * size.max()
    other = ~near.all(axis=1)
    if tied is not None and other.any():
        other &= ~tied()
    if other.any():
        raise ConfigurationError(
            f"{what} gives other outputs than what it was made from on {other.sum()} of "
            f"{len(other)} random {rows}. {_ADVICE}"
        )


_ADVICE = "Something in it computes otherwise than its layers say: replace that by plain layers."


@torch.no_grad()
def tied_rows(module: torch.nn.Sequential, x: torch.Tensor) -> npt.NDArray[np.bool_]:
    """Rows [row] of x [row, input] in which a sign depends on how sums were rounded.

    That is where the sum of numbers that are not short is as near to zero as rounding can take it.
    A unit whose sums are 0 in all rows, as behind a normalisation that multiplies them by 0, is
    always the same, however they are rounded.
    """
    tied = torch.zeros(len(x), dtype=torch.bool, device="cpu")
    rounds = torch.zeros_like(tied)
    for part in module:
        if isinstance(part, torch.nn.Linear):
            weights = [t for t in (part.weight, part.bias) if t is not None]
            rounds = ~short(x).all(1) | ~torch.stack([short(t).all() for t in weights]).all()
        if isinstance(part, Sign):
            largest = x.abs().amax(0)
            tied |= rounds & ((largest > 0) & (x.abs() <= ROUNDING * largest)).any(1)
        x = part(x)
    return tied.numpy()


def short(numbers: torch.Tensor) -> torch.Tensor:
    """Which numbers have so few binary digits that sums of them do not round."""
    many = numbers * _SHORT
    return many == many.round()


@torch.no_grad()
def scale_and_shift(norm: Any) -> tuple[Float, Float]:
    """What a batch normalisation multiplies with and adds, as torch works them out: [channel]."""
    zeros = torch.zeros_like(norm.running_mean)
    at_zero, at_one = (torch.full((1, len(zeros)), value, dtype=torch.float64) for value in (0, 1))
    run = torch.nn.functional.batch_norm
    scale = run(at_one, zeros, norm.running_var, norm.weight, zeros, eps=norm.eps)
    shift = run(at_zero, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return scale[0].numpy(), shift[0].numpy()


# -- warnings of other classes ---------------------------------------------------------------------


def warn_of_ties(found: npt.NDArray, expected: Float, advice: str, *, rows: str = "rows") -> None:
    """Warn if outputs that are the same but for rounding have their largest in another class."""
    differ = int((_classes(found) != _classes(expected)).sum())
    if differ:
        warnings.warn(
            f"On {differ} of {len(found)} random {rows} the module's class depends on how sums are "
            f"rounded, and is another one packed. {advice}",
            stacklevel=5,
        )


def warn_of_mode(
    module: torch.nn.Sequential, x: torch.Tensor, expected: Float, *, rows: str = "rows"
) -> None:  # fmt: skip
    """Warn if the module in the mode that it is in has other classes than in eval mode."""
    if not any(part.training for part in module.modules()):
        return
    try:
        found = copy.deepcopy(module).to("cpu", torch.float64)(x)
        differ = int((_classes(found.flatten(1).numpy()) != _classes(expected)).sum())
    except Exception:  # it runs in eval mode alone, so that there is nothing to differ from
        return
    if differ:
        warnings.warn(
            "The module is in train mode, or parts of it are, and is packed as it computes in eval "
            f"mode: as it is, {differ} of {len(x)} random {rows} get another class. Compare with "
            "module.eval(), and call that first if it is what you mean.",
            stacklevel=5,
        )


def warn_of_rounding(
    module: torch.nn.Sequential, x: torch.Tensor, packed: npt.NDArray, *, rows: str = "rows"
) -> None:  # fmt: skip
    """Warn if the module in its own type has other classes than the `packed` outputs."""
    numbers = [t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()]
    if not numbers:
        return
    own = min((t.dtype for t in numbers), key=lambda dtype: dtype.itemsize)
    if own.itemsize == 8:
        return
    try:
        found = copy.deepcopy(module).to("cpu").eval()(x.to(own)).flatten(1)
        differ = int((_classes(found.double().numpy()) != _classes(packed)).sum())
    except Exception:  # it runs in float64 alone, so that there is nothing to differ from
        return
    if differ or own.itemsize < 4:
        name = str(own).removeprefix("torch.")
        warnings.warn(
            f"The module is {name}, and is packed as it computes in float64: in {name} {differ} of "
            f"{len(x)} random {rows} get another class. Compare with module.double().eval().",
            stacklevel=5,
        )


def _classes(outputs: npt.NDArray) -> npt.NDArray[np.int64]:
    """The class [row] of outputs [row, class]; of a single output, whether it is above 0."""
    return outputs.argmax(axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0).astype(np.int64)
