"""Objective: draws in, one loss a draw out, and a count of what was spent.

The base of all objectives, and, of a function alone, an objective itself.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qhyper.arrays import HUGE, as_array, as_float, counted, is_whole
from qhyper.bits import Bits, as_bits
from qhyper.errors import ConfigurationError, UnsuitableError
from qhyper.targets.layout import Layout
from qhyper.targets.sight import Sight
from qhyper.targets.target import Float, MiniBatches, ObjectiveCapabilities, TakesBits

if TYPE_CHECKING:
    from qhyper.data.samples import Samples

MOST_BLOCK_BITS = 12
"""Of a block whose strings are all evaluated."""
_FLIPPED_TOGETHER = 1 << 22
"""Bits of flipped strings that are evaluated together."""


class Objective(TakesBits):
    """Any loss of bitstrings; `function` gets bits [draws, bit] and gives one number each.

    The bits are 0 and 1 as int64, so that 2 * bits - 1 are the weights -1 and +1 and sums of their
    products are right, and a copy that the function may change. Lower is better. `evaluations`
    counts the draws evaluated so far, and `rows` these times the rows that each was scored on.
    Subclasses give `_evaluate` in the function's place, of bits as uint8, and declare what else
    they can. `losses`, of a table, are those of all bitstrings, float64 [bitstring]. Raises
    ConfigurationError unless `n_bits` is a whole number of 1 or more, and that of the layout.
    """

    capabilities = ObjectiveCapabilities(flips=True)
    usual_training: Mapping[str, Any] = {}
    usual_budget: Mapping[str, int] = {"evaluations": 300_000}
    constant_loss: float
    losses: Float

    def __init__(
        self,
        function: Callable[[npt.NDArray[np.int64]], npt.ArrayLike] | None,
        n_bits: int,
        *,
        name: str = "own objective",
        loss: str | None = None,
        layout: Layout | None = None,
        n_rows: int = 1,
    ) -> None:
        if not is_whole(n_bits, at_least=1):
            raise ConfigurationError(f"An objective needs at least 1 bit; got n_bits={n_bits!r}.")
        if layout is not None:
            layout.check(n_bits)
        self.n_bits = n_bits
        self.name = name
        self.loss = name if loss is None else loss
        self.layout = layout
        self.n_rows = n_rows
        self.evaluations = 0
        self.rows = 0
        self._function = function

    def __repr__(self) -> str:
        said = [self.subject, *([self.loss] if self.loss != self.subject else [])]
        said += [
            counted(self.n_bits, "bit"),
            *([f"{self.n_rows:,} rows"] if self.n_rows > 1 else []),
        ]
        said.append(f"{counted(self.evaluations, 'evaluation')} so far")
        return f"{type(self).__name__}({', '.join(said)})"

    @property
    def subject(self) -> str:
        """What is scored, in words: the network, or the objective itself."""
        return self.name

    def describe(self, bits: npt.ArrayLike) -> str:
        """What a bitstring [bit] stands for, in words; empty where bits are plain weights."""
        return ""

    def __call__(self, bits: npt.ArrayLike) -> Float:
        """The loss of every bitstring: bits [..., bit] to float64 [...].

        Raises ConfigurationError if the bits do not fit, or if the function returns another
        number of losses, or one that is not finite.
        """
        array = as_bits(bits, self.n_bits)
        flat = array.reshape(-1, self.n_bits)
        losses = as_float(self._evaluate(flat), f"losses of {self.name}", "one number each")
        if losses.shape != (len(flat),):
            raise ConfigurationError(
                f"{self.name} returned losses of shape {losses.shape} for {len(flat)} bitstrings; "
                f"expected ({len(flat)},): one number for each."
            )
        sound = np.abs(losses) < HUGE  # false for NaN as well
        if not sound.all():
            first = int(np.flatnonzero(~sound)[0])
            raise ConfigurationError(
                f"{self.name} returned {losses[first]} for bitstring {first} of the batch; a loss "
                f"must be a finite number, and below {HUGE:g} in size."
            )
        self.count(len(flat))
        return losses.reshape(array.shape[:-1])

    def _evaluate(self, bits: Bits) -> npt.ArrayLike:
        """The losses [draw] of bits uint8 [draw, bit]."""
        assert self._function is not None
        return self._function(bits.astype(np.int64))

    def count(self, evaluations: int, n_rows: int | None = None) -> None:
        """Add to what was spent: so many bitstrings, each on all rows, or on `n_rows`."""
        self.evaluations += evaluations
        self.rows += evaluations * (self.n_rows if n_rows is None else n_rows)

    # -- what only some can do ----------------------------------------------------------------

    def accuracy(self, bits: npt.ArrayLike, samples: "Samples | None" = None) -> Float:
        """Share of the samples that each of bits [..., bit] classifies correctly, float64 [...].

        Raises ConfigurationError for an objective that classifies nothing.
        """
        raise ConfigurationError(f"{self.name} classifies nothing: it has no accuracy.")

    def mini_batches(self, size: int) -> MiniBatches:
        """As in the protocol; ConfigurationError for an objective without rows."""
        raise ConfigurationError(
            f"{self.name} has no mini-batches: it scores a bitstring as a whole. Leave `batch` out."
        )

    @property
    def flip_evaluations(self) -> int:
        """Evaluations that `flips` of one draw counts as."""
        return self.n_bits + 1

    def flips(self, bits: npt.ArrayLike) -> tuple[Float, Float]:
        """Losses [...] of bits [..., bit], and L(bit flipped) - L of every bit, [..., bit].

        By evaluating every string with one bit flipped, unless overridden.
        """
        array = as_bits(bits, self.n_bits)
        return flips_by_evaluation(self, array)

    def block_evaluations(self, plan: npt.NDArray[np.int64]) -> int:
        """Evaluations that `blocks` of one draw counts as, with the bits `plan` [block, bit]."""
        return strings_of_blocks(plan)

    def blocks(self, bits: npt.ArrayLike, plan: npt.NDArray[np.int64]) -> tuple[Float, Float]:
        """Losses [...] of bits [..., bit], and L(block as s) - L [..., block, 2^m].

        Bit b of the number s is the bit `plan[block, b]`, and all others are held. By evaluating
        all of these strings; ConfigurationError for more than 12 bits a block.
        """
        return blocks_by_evaluation(self, as_bits(bits, self.n_bits), plan)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The class of every row, int64 [row].

        Raises ConfigurationError for an objective that tells none.
        """
        raise ConfigurationError(f"{self.name} tells no labels of rows.")

    def wrong_weights(self, bits: npt.ArrayLike) -> tuple[Float, npt.NDArray[np.bool_]]:
        """Losses [...] of bits [..., bit], and whether errors are laid to each bit, [..., bit].

        From one pass, and counts as one evaluation of a draw. Raises UnsuitableError for an
        objective that lays errors to no bits.
        """
        raise UnsuitableError(
            f"{self.name} lays errors to no bits: only packed networks that see signs do. Choose "
            "one, such as PackedTarget(layers)."
        )

    def sight(self) -> Sight:
        """As in the protocol; UnsuitableError for an objective that sees no rows."""
        raise UnsuitableError(f"{self.name} sees no rows of features.")

    def certify(
        self, *, temperature: float = 0.05, method: str = "auto", progress: Any = None
    ) -> Any:
        """The Certificate, by evaluating every bitstring; the evaluations count.

        `temperature`, of its log Z, is in the unit of the loss. Raises ConfigurationError for a
        method other than enumeration, UnsuitableError for more than 2^26 bitstrings.
        """
        from qhyper.targets.exact.certificate import certify_objective

        if method not in ("auto", "enumeration"):
            raise UnsuitableError(
                f"Got the method '{method}'; {self.name} is certified by enumeration alone."
            )
        return certify_objective(self, temperature=temperature, progress=progress)


def checked(losses: Any) -> Any:
    """What anything that scores bits is asked through: itself, if it is an Objective of ours.

    What is somebody's own gets bits as int64, as a function in an Objective does: with uint8, as
    draws are, 2 * bits - 1 is 255 for a 0.
    """
    return losses if isinstance(losses, TakesBits) else _Own(losses)


class _Own:
    """Somebody's own objective or mini-batch, in all that it has; bits come as int64 copies."""

    def __init__(self, own: Any) -> None:
        self._own = own

    def __getattr__(self, name: str) -> Any:
        if name == "_own":  # not there yet: while it is unpickled
            raise AttributeError(name)
        return getattr(self._own, name)

    def __call__(self, bits: Bits) -> Float:
        return as_float(self._own(bits.astype(np.int64)), "losses", "one number a bitstring")

    def flips(self, bits: Bits) -> tuple[Float, Float]:
        losses, differences = self._own.flips(bits.astype(np.int64))
        return as_float(losses, "losses"), as_float(differences, "differences of flips")

    def wrong_weights(self, bits: Bits) -> tuple[Float, npt.NDArray[np.bool_]]:
        losses, wrong = self._own.wrong_weights(bits.astype(np.int64))
        return as_float(losses, "losses"), as_array(wrong, "wrong weights", "a bool a bit") != 0

    def accuracy(self, bits: Bits, samples: "Samples | None" = None) -> Float:
        return as_float(self._own.accuracy(bits.astype(np.int64), samples), "accuracies")


def check_blocks(plan: npt.NDArray[np.int64], n_bits: int) -> None:
    """Raise ConfigurationError unless `plan` is of different bits in each block [block, bit].

    And for blocks of too many bits, with what they cost.
    """
    whole = plan.ndim == 2 and plan.dtype.kind in "iu" and plan.size
    ordered = np.sort(plan, axis=1) if whole else plan
    if not whole or plan.min() < 0 or plan.max() >= n_bits or not np.diff(ordered, axis=1).all():
        raise ConfigurationError(
            f"Got blocks of {plan.dtype} and shape {plan.shape}; expected numbers of bits, from 0 "
            f"to {n_bits - 1}, [block, bit], in each block different ones."
        )
    n_blocks, m = plan.shape
    if m > MOST_BLOCK_BITS:
        raise ConfigurationError(
            f"Got blocks of {m} bits: all strings of each are {n_blocks:,} × 2^{m} = "
            f"{n_blocks * 2**m:,} losses a draw of {n_bits:,} bits; at the most {MOST_BLOCK_BITS} "
            "bits are taken. Use a generator of fewer bits a chunk, or score-function."
        )


def strings_of_blocks(plan: npt.NDArray[np.int64]) -> int:
    """How many strings differ from a draw in one block at the most, the draw among them."""
    return 1 + len(plan) * ((1 << plan.shape[1]) - 1)


def blocks_by_evaluation(
    losses: Callable[[Bits], Float], bits: Bits, plan: npt.NDArray[np.int64]
) -> tuple[Float, Float]:
    """What `Objective.blocks` gives, by evaluating every string but the draws' own once."""
    check_blocks(plan, bits.shape[-1])
    own, m = losses(bits), plan.shape[1]
    strings = (np.arange(1 << m)[:, None] >> np.arange(m) & 1).astype(np.uint8)
    differences = np.zeros((*bits.shape[:-1], len(plan), 1 << m))
    together = max(1, _FLIPPED_TOGETHER // max(1, bits.size))
    for block, places in enumerate(plan):
        mine = bits[..., places] @ (1 << np.arange(m))
        for first in range(1, 1 << m, together):
            numbers = np.arange(first, min(first + together, 1 << m))
            others = numbers ^ mine[..., None]  # never the draw's own
            changed = np.repeat(bits[..., None, :], len(numbers), axis=-2)
            changed[..., places] = strings[others]
            shape = changed.shape
            merged = changed.reshape(*shape[:-3], -1, shape[-1]) if bits.ndim > 1 else changed
            found = losses(merged).reshape(shape[:-1]) - own[..., None]
            np.put_along_axis(differences[..., block, :], others, found, axis=-1)
    return own, differences


def flips_by_evaluation(losses: Callable[[Bits], Float], bits: Bits) -> tuple[Float, Float]:
    """Losses [...] of bits [..., bit], and L(bit flipped) - L [..., bit], by evaluating all."""
    n_bits = bits.shape[-1]
    own = losses(bits)
    differences = np.empty(bits.shape)
    together = max(1, _FLIPPED_TOGETHER // max(1, bits.size))
    for first in range(0, n_bits, together):
        flipped = np.arange(first, min(first + together, n_bits))
        # next to the last axis, where a mini-batch has its shots
        strings = np.repeat(bits[..., None, :], len(flipped), axis=-2)
        strings[..., np.arange(len(flipped)), flipped] ^= 1
        shape = strings.shape
        merged = strings.reshape(*shape[:-3], -1, n_bits) if bits.ndim > 1 else strings
        found = losses(merged).reshape(shape[:-1])
        differences[..., flipped] = found - own[..., None]
    return own, differences
