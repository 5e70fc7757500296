"""Chunk plans: which bits of a target's layout a chunk takes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qhyper.compose.fields import image_of
from qhyper.errors import ConfigurationError, UnsuitableError
from qhyper.targets.layout import Block, Layout


def patches(
    layout: Layout | None, chunk: int, *, patch: Sequence[int] | None = None,
    image: Sequence[int] | None = None,
) -> npt.NDArray[np.int64]:  # fmt: skip
    """A plan int64 [chunk, bit]: a chunk is a patch of one unit's weights, or a run of a later one.

    - chunk: bits of each
    - patch: (height, width) of a patch, of as many pixels; the most square one that fills the image
      unless told
    - image: (height, width) that the inputs of the first layer are the pixels of

    Later weight matrices are cut unit by unit, other blocks as they are stored. Raises
    UnsuitableError for a layout without a first weight matrix, and ConfigurationError where chunks
    are not whole.
    """
    if layout is None or len(layout.blocks[0].layers) != 2:
        raise UnsuitableError(
            f"Patches are of the weights of a first layer; got {layout}. Use runs of the bits."
        )
    if layout.n_bits < chunk:
        raise ConfigurationError(
            f"Got chunks of {chunk} bits for the {layout}, which has {layout.n_bits}. Use a "
            "smaller generator."
        )
    first, *later = layout.blocks
    sides = image_of(first.shape[0], image)
    shape = _most_square(chunk, sides) if patch is None else tuple(patch)
    if (
        len(shape) != 2
        or shape[0] * shape[1] != chunk
        or sides[0] % shape[0]
        or sides[1] % shape[1]
    ):
        raise ConfigurationError(
            f"Got patches of {tuple(shape)} pixels for chunks of {chunk} bits and images of "
            f"{sides}; expected {chunk} pixels that fill the image without a rest."
        )
    bits = layout.bits[first.name].T.reshape(-1, *sides)  # [unit, row, column]
    rows, columns = (side // part for side, part in zip(sides, shape, strict=True))
    cut = bits.reshape(len(bits), rows, shape[0], columns, shape[1]).transpose(0, 1, 3, 2, 4)
    plan = [cut.reshape(-1, chunk)]
    for block in later:
        if _row(block) % chunk:
            raise ConfigurationError(
                f"Of the block {block.name}, the {_row(block)} weights of a unit are no whole "
                f"number of chunks of {chunk} bits. Use another chunk, or `Joined` with another "
                "generator for them."
            )
        own = layout.bits[block.name]
        plan.append((own.T if len(block.layers) == 2 else own).reshape(-1, chunk))
    return np.concatenate(plan)


def largest_chunk(layout: Layout | None, most: int, *, image: Sequence[int] | None = None) -> int:
    """The most bits of a chunk, up to `most`, of which `patches` makes a plan; 1 always does."""
    if layout is None or len(layout.blocks[0].layers) != 2:
        return 1
    first, *later = layout.blocks
    sides = image_of(first.shape[0], image)
    return next(
        chunk
        for chunk in range(min(most, layout.n_bits), 0, -1)
        if _fitting(chunk, sides) and not any(_row(block) % chunk for block in later)
    )


def _row(block: Block) -> int:
    """Bits that are cut into chunks together: the weights of one unit, or all of a vector."""
    return block.shape[0] if len(block.layers) == 2 else block.size


def check_plan(plan: npt.NDArray[np.int64], n_bits: int) -> None:
    """Raise ConfigurationError unless every bit of 0 to n_bits - 1 is in a plan once."""
    whole = plan.ndim == 2 and plan.dtype.kind in "iu"
    inside = plan[(plan >= 0) & (plan < n_bits)] if whole else np.zeros(0, np.int64)
    times = np.bincount(inside.ravel(), minlength=n_bits)
    if not whole or inside.size < plan.size or (times != 1).any():
        raise ConfigurationError(
            f"Got a chunk plan of {plan.dtype} and shape {plan.shape}; expected every bit of 0 to "
            f"{n_bits - 1} once in [chunk, bit]. Missing: {_listed(times == 0)}. More than once: "
            f"{_listed(times > 1)}. Outside: {plan.size - inside.size}."
        )


def _fitting(chunk: int, sides: tuple[int, int]) -> list[tuple[int, int]]:
    """The patches (height, width) of so many pixels that fill an image without a rest."""
    return [
        (rows, chunk // rows)
        for rows in range(1, chunk + 1)
        if chunk % rows == 0 and sides[0] % rows == 0 and sides[1] % (chunk // rows) == 0
    ]


def _most_square(chunk: int, sides: tuple[int, int]) -> tuple[int, int]:
    fitting = _fitting(chunk, sides)
    if not fitting:
        raise ConfigurationError(
            f"No patch of {chunk} pixels fills images of {sides} without a rest. Use chunks of "
            "another size."
        )
    return min(fitting, key=lambda shape: abs(shape[0] - shape[1]))


def _listed(wrong: npt.NDArray[np.bool_]) -> str:
    numbers = np.flatnonzero(wrong).tolist()
    more = f" and {len(numbers) - 8} more" * (len(numbers) > 8)
    return ", ".join(map(str, numbers[:8])) + more if numbers else "none"
