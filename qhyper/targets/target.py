"""Target and Objective: what the bits of a draw mean, and what they cost. Read this second.

A target says which bits are which weights (its `layout`), and makes objectives: losses of draws on
data. An objective is a black box to whatever trains: losses arrive as plain numbers, and it counts
what they cost, in evaluations (bitstrings scored) and in rows (a bitstring scored on one row). What
only some objectives can do, they declare, and everybody asks `capabilities`, never the class.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.streams import Rngs
from qhyper.targets.layout import Layout
from qhyper.targets.sight import Sight

if TYPE_CHECKING:
    from qhyper.data.samples import Samples

Float = npt.NDArray[np.float64]

SAME_LOSS = 1e-9
"""Losses within this distance are one level; a hit is a loss within it of the minimum."""

Losses = Callable[[Bits], Float]
"""Any bits [..., bit] to losses [...]: an Objective is one."""


class TakesBits:
    """What takes draws as they are, uint8, and checks them itself: all that scores bits here."""


@dataclass(frozen=True)
class ObjectiveCapabilities:
    """What an objective can do besides losses; everybody asks here, never by type."""

    accuracy: bool = False
    """`accuracy` of draws on any samples"""
    mini_batches: bool = False
    """`mini_batches`: losses on some rows at a time"""
    flips: bool = False
    """`flips`: the exact difference that each single flip of a bit makes"""
    certificate: bool = False
    """`certify`: the proven minimum"""
    module: bool = False
    """`target.to_torch(bits)`: a draw as a torch module"""
    packed: bool = False
    """`target.to_packed(bits)`: a draw as a PackedNetwork or ConvolutionalNetwork, with its file"""
    wrong_weights: bool = False
    """`wrong_weights`: the bits that a draw's errors are laid to, and `labels` of all rows"""
    constant: bool = False
    """`constant_loss`: the loss of the best number for all rows, where numbers are predicted"""
    table: bool = False
    """`losses`: those of all bitstrings, in memory"""
    sight: bool = False
    """`sight`: how much of its rows the network can tell apart, and `labels` of all rows"""


class Objective(Protocol):
    """Losses of draws: bits [..., bit] to float64 [...], lower is better."""

    n_bits: int
    name: str
    """what it is, in words"""
    loss: str
    """the name of the loss"""
    capabilities: ObjectiveCapabilities
    layout: Layout | None
    """the target's, or None: what follows a target's structure then refuses"""
    n_rows: int
    """rows that one evaluation reads; 1 for what has no rows"""
    usual_training: Mapping[str, Any]
    """training settings that suit it, unless a recipe or a user says otherwise"""
    usual_budget: Mapping[str, int]
    """what a seed may spend unless told"""
    constant_loss: float
    """this and the next only where `capabilities` say so"""
    losses: Float
    """[bitstring]"""
    evaluations: int
    """bitstrings scored so far"""
    rows: int
    """bitstrings times rows scored so far"""

    def __call__(self, bits: npt.ArrayLike) -> Float:
        """The loss [...] of every bitstring, of bits [..., bit]; counts what it costs."""
        ...

    @property
    def subject(self) -> str:
        """What is scored, in words: the network, or the objective itself."""
        ...

    def describe(self, bits: npt.ArrayLike) -> str:
        """What a bitstring [bit] stands for, in words; empty where bits are plain weights."""
        ...

    def accuracy(self, bits: npt.ArrayLike, samples: "Samples | None" = None) -> Float:
        """Share of the samples (of the objective's own data unless told) classified correctly.

        bits [..., bit] to float64 [...]; costs nothing of a budget.
        """
        ...

    def mini_batches(self, size: int) -> "MiniBatches":
        """Mini-batches of `size` rows of the data."""
        ...

    @property
    def flip_evaluations(self) -> int:
        """Evaluations that `flips` of one draw counts as: its passes over the rows."""
        ...

    def flips(self, bits: npt.ArrayLike) -> tuple[Float, Float]:
        """Losses [...] of bits [..., bit], and L(bit flipped) - L of every bit, [..., bit]."""
        ...

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The class of every row, int64 [row]."""
        ...

    def wrong_weights(self, bits: npt.ArrayLike) -> tuple[Float, npt.NDArray[np.bool_]]:
        """Losses [...] of bits [..., bit], and whether errors are laid to a bit, [..., bit].

        From one pass, and counts as one evaluation of a draw.
        """
        ...

    def sight(self) -> Sight:
        """How much of the rows the first layer of the network leaves."""
        ...

    def certify(self, *, temperature: float, method: str = "auto", progress: Any = None) -> Any:
        """The Certificate of the landscape; see `qhyper.targets.exact.certificate`.

        `temperature`, of its log Z, is in the unit of the loss.
        """
        ...


@runtime_checkable
class MiniBatches(Protocol):
    """Mini-batches of `size` rows, chosen anew in every step, each replica's by itself."""

    size: int
    n_rows: int
    """rows that one evaluation reads"""
    n_features: int
    """features that a generator has to see; 0 where draws are scored without them"""
    capabilities: ObjectiveCapabilities
    flip_evaluations: int

    def draw(self, rng: Rngs) -> "MiniBatch":
        """A mini-batch of each replica; `rng` has one generator each."""
        ...

    def take(self, rows: npt.NDArray[np.int64]) -> "MiniBatch":
        """The mini-batches of these rows, whole numbers [replica, row]."""
        ...


class MiniBatch(Protocol):
    """An objective of one step: draws [replica, input, shot, bit] to losses, on its own rows."""

    @property
    def inputs(self) -> npt.NDArray[np.float64] | None:
        """[replica, input, feature] for a generator that sees them, else None."""
        ...

    def __call__(self, bits: npt.ArrayLike) -> Float:
        """The loss of every draw, float64 [replica, input, shot]."""
        ...

    def flips(self, bits: npt.ArrayLike) -> tuple[Float, Float]:
        """As `Objective.flips`, on the rows of this mini-batch."""
        ...

    def wrong_weights(self, bits: npt.ArrayLike) -> tuple[Float, npt.NDArray[np.bool_]]:
        """As `Objective.wrong_weights`, on the rows of this mini-batch."""
        ...


class Target(Protocol):
    """What bits mean: usually a network, whose weights and choices they are.

    Registered under the entry-point group `qhyper.targets`, or named as `module:Class`: a class or
    function of its options, and of the Dataset that it is to be trained on if it has an argument
    `dataset`. It may have `usual_held_out`, the share of the training rows on which networks are
    chosen, unless told. Its objectives subclass `qhyper.targets.objective.Objective`, or, with
    mini-batches of rows, `qhyper.targets.batches.RowObjective`.
    """

    n_bits: int
    layout: Layout

    def objective(self, data: "Samples", loss: str = "cross_entropy") -> Objective:
        """The mean loss of draws over `data`; ConfigurationError if they do not fit."""
        ...
