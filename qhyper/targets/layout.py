"""Layout: named blocks of bits, by which whatever follows a target's structure finds its way."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_array, counted
from qhyper.errors import ConfigurationError, unknown

_SHOWN = 8
"""Blocks that are named when a layout is printed."""


@dataclass(frozen=True)
class Block:
    """Named bits that lie together, row-major: `0.weight` of shape (inputs, units), `1.bias`."""

    name: str
    shape: tuple[int, ...]
    layers: tuple[int, ...] = ()
    """the layer of units, inputs being layer 0, that each axis runs over; () where none does"""

    @property
    def size(self) -> int:
        """Number of bits."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Layout:
    """The blocks of a target's bits, in the order of the bits.

    Raises ConfigurationError for no block, an empty one, or two of one name.
    """

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        names = [block.name for block in self.blocks]
        if not names or len(set(names)) < len(names) or min(b.size for b in self.blocks) < 1:
            raise ConfigurationError(
                f"Got the blocks {names}; expected one or more, of different names and of one bit "
                "or more each."
            )

    def __repr__(self) -> str:
        return f"Layout({counted(self.n_bits, 'bit')}: {self._shapes()})"

    def __str__(self) -> str:
        return f"layout {self._shapes()}"

    def _shapes(self) -> str:
        first = ", ".join(f"{b.name} {'×'.join(map(str, b.shape))}" for b in self.blocks[:_SHOWN])
        return first + f", … {len(self.blocks) - _SHOWN} more" * (len(self.blocks) > _SHOWN)

    @cached_property
    def n_bits(self) -> int:
        """Number of bits of all blocks."""
        return sum(block.size for block in self.blocks)

    @cached_property
    def bits(self) -> dict[str, npt.NDArray[np.int64]]:
        """The numbers of the bits of every block, in its shape, by name: [in, out] of a matrix."""
        ends = np.cumsum([block.size for block in self.blocks])
        return {
            block.name: np.arange(end - block.size, end).reshape(block.shape)
            for block, end in zip(self.blocks, ends, strict=True)
        }

    def check(self, n_bits: int) -> None:
        """Raise ConfigurationError unless the layout has `n_bits` bits."""
        if self.n_bits != n_bits:
            raise ConfigurationError(
                f"Got n_bits={n_bits}, but the {self} has {self.n_bits} bits. Pass the n_bits and "
                "the layout of the same target."
            )

    @property
    def layers(self) -> tuple[int, ...]:
        """Units of every layer, inputs first; () for a target without weight matrices."""
        matrices = self._matrices()
        return (matrices[0].shape[0], *(m.shape[1] for m in matrices)) if matrices else ()

    def unit_blocks(self) -> list[npt.NDArray[np.int64]]:
        """The bits [bit] of each unit of the first hidden layer: inputs, its own ones, outputs.

        For (4, 6, 2): six blocks of 4 + 2 bits. Bits of later layers belong to no block.
        Raises ConfigurationError without a hidden layer.
        """
        matrices = self._matrices()
        if len(matrices) < 2:
            raise ConfigurationError(
                f"The {self} has no hidden units, which are asked for: expected two layers of "
                "weights or more. Take another target, or what does not follow its units."
            )
        own = [self.bits[b.name] for b in self.blocks if b.layers == (1,)]
        return [
            np.concatenate([matrices[0][:, unit], *([i[unit]] for i in own), matrices[1][unit]])
            for unit in range(matrices[0].shape[1])
        ]

    def order(self, name: str) -> npt.NDArray[np.int64]:
        """A named order of the bits, int64 [n_bits]: entry q is the bit that stands q-th.

        `row`: as stored. `unit`: the bits of a hidden unit adjacent; `unit-centre`: the same with
        its outputs, the last one first, in the middle of its inputs. `split`: the first matrix as
        stored, every later one output by output (all first outputs, then all second, ...). What
        belongs to none of these comes last, as stored. Raises ConfigurationError for another name,
        and for an order by units of a target that has none.
        """
        if name not in ORDERS:
            raise unknown("order of the bits", name, ORDERS)
        matrices = self._matrices()
        if name == "row" or (name == "split" and not matrices):
            return np.arange(self.n_bits)
        if name == "split":
            first = np.concatenate([matrices[0].ravel(), *(w.T.ravel() for w in matrices[1:])])
        elif name == "unit":
            first = np.concatenate(self.unit_blocks())
        else:
            middle, outputs = self.layers[0] // 2, self.layers[2] if len(self.layers) > 2 else 0
            first = np.concatenate(
                [
                    [*b[:middle], *b[-outputs:][::-1], *b[middle:-outputs]]
                    for b in self.unit_blocks()
                ]
            )
        return np.concatenate([first, np.setdiff1d(np.arange(self.n_bits), first)])

    def _matrices(self) -> list[npt.NDArray[np.int64]]:
        """The bits of every weight matrix, [in, out]."""
        return [self.bits[b.name] for b in self.blocks if len(b.layers) == 2]


ORDERS = ("row", "unit", "unit-centre", "split")


def permutation(
    order: str | Sequence[int], n_bits: int, layout: Layout | None, *, kind: str, entry: str
) -> npt.NDArray[np.int64]:
    """A named order of a layout, or a permutation of 0 to n_bits - 1 as given, int64 [n_bits].

    `kind` and `entry` are words for messages: what it is, and what "entry q is the bit that" does.
    Raises ConfigurationError for a layout of another size, a name without a layout, and for what is
    no permutation.
    """
    if layout is not None:
        layout.check(n_bits)
    if isinstance(order, str):
        if layout is None and order != "row":
            raise ConfigurationError(
                f"The {kind} '{order}' depends on the target: pass its `layout`, or give a "
                "permutation of the bits."
            )
        return np.arange(n_bits) if layout is None else layout.order(order)
    given = as_array(order, f"the {kind}", f"a permutation of 0 to {n_bits - 1}")
    whole = given.shape == (n_bits,) and given.dtype.kind in "iu"
    if not whole or (np.sort(given) != np.arange(n_bits)).any():
        raise ConfigurationError(
            f"Got the {kind} {given.tolist()}; expected a permutation of 0 to {n_bits - 1}: entry "
            f"q is the bit that {entry}."
        )
    return given
