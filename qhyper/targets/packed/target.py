"""PackedTarget: binary networks of any size as a target; a draw's bits are its packed weights.

The network sees signs of the features, or whole pixels, and stays packed. Its logits are sums of
-1 and +1, divided by `scale`: without that, the softmax of a layer of a hundred units is all but
a step. They are the sums of the last layer, or those of the signs of `label_bits` of its units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits, Words, as_bits
from qhyper.data.samples import Dataset, Samples, check_classes
from qhyper.errors import ConfigurationError, unknown
from qhyper.targets.batches import RowObjective
from qhyper.targets.layout import Block, Layout
from qhyper.targets.loss import LossName, check_loss, is_by_row, label_losses, mean_losses
from qhyper.targets.objective import blocks_by_evaluation, check_blocks, flips_by_evaluation
from qhyper.targets.packed.inputs import PackedInputs, pack_bits, pack_pixels
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.population import check_groups, correct, sums, votes
from qhyper.targets.packed.shape import PackedShape
from qhyper.targets.packed.wrong import wrong_weights
from qhyper.targets.sight import Sight, looked_at, sight
from qhyper.targets.target import Float, ObjectiveCapabilities

if TYPE_CHECKING:
    import torch

Inputs = Literal["signs", "pixels"]

_HIDDEN = 128
"""Hidden units, unless told."""
_BATCH = 4000
"""Rows of a mini-batch, unless told, where there are more."""
_FINAL_DRAWS = 64
_LOGITS_BYTES = 2**26
"""Memory for the logits of the networks that are scored together."""


class PackedTarget:
    """Binary networks of the given layers, weights and activations -1 and +1, without biases.

    - inputs: what the first layer sees of a feature: `signs`, +1 from 0 up, or `pixels`, the whole
      numbers v from 0 to 255 that features (v - 127.5) / 128 stand for
    - scale: by which the sums are divided before the loss
    - label_bits: None for one unit a class, whose sum is its logit; or that many units a class,
      group by group, which vote: a logit is the sum of a group's signs (Fontana 2022)

    Bits are in the order of `WeightSpace`: layer by layer, each matrix row-major [in, out]. Ties of
    logits go to the lower class. Raises ConfigurationError for layers that cannot be or are no
    whole number of groups, and unless scale is at least 0.01.
    """

    usual_held_out = 1 / 6
    """share of the training rows on which networks are chosen, and not trained, unless told"""

    def __init__(
        self,
        layers: Sequence[int],
        *,
        inputs: Inputs = "signs",
        scale: float = 4.0,
        label_bits: int | None = None,
    ) -> None:
        if inputs not in get_args(Inputs):
            raise unknown("inputs of a packed network", str(inputs), get_args(Inputs))
        if not isinstance(scale, int | float) or not 0.01 <= scale < np.inf:
            raise ConfigurationError(
                f"scale divides the sums: a finite number of at least 0.01; got {scale!r}."
            )
        self.shape = PackedShape(tuple(layers))
        self.inputs: Inputs = inputs
        self.scale = float(scale)
        if label_bits is not None:
            check_groups(self.shape, label_bits)
        self.label_bits = label_bits

    @property
    def n_bits(self) -> int:
        """Number of weights."""
        return self.shape.n_weights

    @property
    def layers(self) -> tuple[int, ...]:
        """Units of every layer, inputs first."""
        return self.shape.layers

    @property
    def classes(self) -> int:
        """Number of outputs: units of the last layer, or groups of them."""
        return self.layers[-1] // (self.label_bits or 1)

    @property
    def layout(self) -> Layout:
        """The weight matrices, [in, out]."""
        sizes = enumerate(zip(self.layers, self.layers[1:], strict=False))
        return Layout(tuple(Block(f"{k}.weight", size, (k, k + 1)) for k, size in sizes))

    def __repr__(self) -> str:
        votes = "" if self.label_bits is None else f", {self.label_bits} votes a class"
        return f"PackedTarget({'-'.join(map(str, self.layers))} on {self.inputs}{votes})"

    def check(self, data: Samples) -> None:
        """Raise ConfigurationError unless `data` fit the inputs and outputs."""
        features, outputs, each = data.x.shape[1], self.classes, self.label_bits or 1
        if features != self.layers[0]:
            raise ConfigurationError(
                f"The data have {features} features, but the network {self.layers} has "
                f"{self.layers[0]} inputs. Choose layers that begin with {features}, or other data."
            )
        check_classes(data)
        if outputs < 2 or data.y.max() >= outputs:
            raise ConfigurationError(
                f"The data have {data.y.max() + 1} classes, but the network {self.layers} has "
                f"{outputs} outputs: a packed network has one for each class. Choose layers that "
                f"end with {max(2, data.y.max() + 1) * each}."
            )

    def pack(self, data: Samples) -> PackedInputs:
        """The inputs of `data` as the network sees them.

        Raises ConfigurationError for `pixels` unless the features are (v - 127.5) / 128.
        """
        if self.inputs == "signs":
            return pack_bits((data.x >= 0).view(np.uint8))
        pixels = data.x * 128 + 127.5
        if (pixels != np.rint(pixels)).any() or pixels.min() < 0 or pixels.max() > 255:
            raise ConfigurationError(
                "Inputs of whole pixels need features (v - 127.5) / 128 with whole v from 0 to "
                "255, as images have them that are not made smaller. Use inputs='signs'."
            )
        return pack_pixels(pixels.astype(np.uint8))

    def objective(self, data: Samples, loss: LossName | str = "cross_entropy") -> "PackedObjective":
        """The mean loss of draws over `data`; ConfigurationError if they do not fit."""
        self.check(data)
        return PackedObjective(PackedRows(self, self.pack(data), data.y, check_loss(loss)), data)

    def to_packed(self, bits: npt.ArrayLike) -> PackedNetwork:
        """The network of one draw, bits [n_bits], which can be saved and asked for predictions."""
        array = as_bits(bits, self.n_bits)
        planes, shape = 1 if self.inputs == "signs" else 8, self.shape
        limits = shape.limits(planes=planes, of_last=self.label_bits is not None)
        return PackedNetwork(shape, shape.from_bits(array), limits, planes, self.label_bits)

    def to_torch(self, bits: npt.ArrayLike) -> "torch.nn.Sequential":
        """The network of one draw, bits [n_bits], as a torch module in float64."""
        return self.to_packed(bits).to_torch()


class PackedObjective(RowObjective):
    """The mean loss of packed networks over a data set, on the packed kernel.

    `flips` of cross-entropy takes one pass where the network has one hidden layer and sees signs,
    and counts as one evaluation (`qhyper.targets.packed.flips`: some 25 times the time of one);
    otherwise every string with a bit flipped is evaluated, and counts. `wrong_weights` is there for
    networks that see signs.
    """

    usual_budget: Mapping[str, int] = {"rows": 40_000_000}

    def __init__(self, rows: "PackedRows", data: Samples | None = None) -> None:
        self.all_rows, self.data, target = rows, data, rows.target
        self.capabilities = ObjectiveCapabilities(
            accuracy=True, mini_batches=True, flips=True, module=True, packed=True,
            wrong_weights=target.inputs == "signs",
            sight=data is not None and data.y.dtype.kind == "i",
        )  # fmt: skip
        batch = {"batch": _BATCH} if rows.n_rows > _BATCH else {}
        self.usual_training: Mapping[str, Any] = {"final_draws": _FINAL_DRAWS, **batch}
        self._other: tuple[Samples, PackedRows] | None = None
        super().__init__(
            None, target.n_bits, name=f"{rows.loss} of {target}", loss=rows.loss,
            layout=target.layout, n_rows=rows.n_rows,
        )  # fmt: skip

    @property
    def subject(self) -> str:
        """The network, in words."""
        return str(self.all_rows.target)

    def _evaluate(self, bits: Bits) -> npt.ArrayLike:
        return self.all_rows.losses(bits)

    def accuracy(self, bits: npt.ArrayLike, samples: Samples | None = None) -> Float:
        """As in the protocol; ConfigurationError if the samples do not fit the network."""
        rows, target = self.all_rows, self.all_rows.target
        if samples is not None and (self._other is None or self._other[0] is not samples):
            target.check(samples)
            packed_rows = PackedRows(target, target.pack(samples), samples.y, rows.loss)
            self._other = samples, packed_rows  # the same are asked for again
        if samples is not None:
            assert self._other is not None
            rows = self._other[1]
        array = as_bits(bits, self.n_bits)
        right = rows.correct(array.reshape(-1, self.n_bits))
        return (right / rows.n_rows).reshape(array.shape[:-1])

    def on_rows(self, rows: npt.NDArray[np.int64]) -> "PackedRows":
        """The target on these rows alone, their numbers [row]."""
        whole = self.all_rows
        return PackedRows(whole.target, whole.inputs.take(rows), whole.labels[rows], whole.loss)

    @property
    def flip_evaluations(self) -> int:
        """Evaluations that `flips` of one draw counts as."""
        return 1 if self.all_rows.in_one_pass else self.n_bits + 1

    def flips(self, bits: npt.ArrayLike) -> tuple[Float, Float]:
        """As in the protocol, on all rows."""
        array = as_bits(bits, self.n_bits)
        flat = array.reshape(-1, self.n_bits)
        losses, differences = self.all_rows.flips(flat)
        self.count(len(flat) * self.flip_evaluations)
        return losses.reshape(array.shape[:-1]), differences.reshape(array.shape)

    def block_evaluations(self, plan: npt.NDArray[np.int64]) -> int:
        """Evaluations that `blocks` of one draw counts as: one, where one pass gives them all."""
        return 1 if self.all_rows.in_one_pass_of(plan) else super().block_evaluations(plan)

    def blocks(self, bits: npt.ArrayLike, plan: npt.NDArray[np.int64]) -> tuple[Float, Float]:
        """As in Objective, on all rows; in one pass where a block is of one unit's weights."""
        array = as_bits(bits, self.n_bits)
        flat = array.reshape(-1, self.n_bits)
        losses, differences = self.all_rows.blocks(flat, plan)
        self.count(len(flat) * self.block_evaluations(plan))
        return losses.reshape(array.shape[:-1]), differences.reshape(
            *array.shape[:-1], *differences.shape[1:]
        )

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The class of every row, int64 [row]."""
        return self.all_rows.labels

    def sight(self) -> Sight:
        """As in the protocol: whole pixels are all seen, and of other features the sign."""
        if self.data is None:
            return super().sight()
        rows = looked_at(len(self.data.y))
        x = self.data.x[rows]
        seen = x >= 0 if self.all_rows.target.inputs == "signs" else x
        return sight(x, self.data.y[rows], seen)

    def wrong_weights(self, bits: npt.ArrayLike) -> tuple[Float, npt.NDArray[np.bool_]]:
        """As in the protocol, on all rows, in the words of `qhyper.targets.packed.wrong`.

        Raises ConfigurationError for a network that sees pixels.
        """
        array = as_bits(bits, self.n_bits)
        losses, wrong = self.all_rows.wrong_weights(array.reshape(-1, self.n_bits))
        self.count(len(losses))
        return losses.reshape(array.shape[:-1]), wrong.reshape(array.shape)


@dataclass(frozen=True, eq=False)
class PackedRows:
    """Packed rows with labels, on which networks are scored: a Scorer."""

    target: PackedTarget
    inputs: PackedInputs
    labels: npt.NDArray[np.int64]
    loss: LossName

    @property
    def n_rows(self) -> int:
        """How many rows."""
        return len(self.labels)

    @property
    def in_one_pass(self) -> bool:
        """Whether all flips of a network are had from one pass."""
        hidden, sums_alone = len(self.target.layers) - 2, self.target.label_bits is None
        signs = self.inputs.planes == 1
        return hidden == 1 and self.loss == "cross_entropy" and signs and sums_alone

    def in_one_pass_of(self, plan: npt.NDArray[np.int64]) -> bool:
        """Whether all strings of blocks [block, bit] are: each is of the weights of one unit."""
        if not self.in_one_pass:
            return False
        n_inputs, n_hidden, n_classes = self.target.layers
        first = n_inputs * n_hidden
        unit = np.where(plan < first, plan % n_hidden, n_hidden + (plan - first) % n_classes)
        return bool((unit == unit[:, :1]).all())

    def correct(self, bits: Bits) -> npt.NDArray[np.int64]:
        """Rows that each of bits [draw, bit] classifies correctly, int64 [draw]."""
        words = self.target.shape.from_bits(bits)
        label_bits = self.target.label_bits
        return correct(self.target.shape, words, self.inputs, self.labels, label_bits)

    def losses(self, bits: Bits) -> Float:
        """The mean loss, float64 [draw], of bits uint8 [draw, bit]."""
        if self.loss == "accuracy":
            return 1 - self.correct(bits) / self.n_rows
        words = self.target.shape.from_bits(bits)
        each = 8 * self.n_rows * self.target.classes
        together = max(1, _LOGITS_BYTES // each)
        parts = [self._losses(words[k : k + together]) for k in range(0, len(words), together)]
        return np.concatenate(parts)

    def _losses(self, words: Words) -> Float:
        total = np.zeros(len(words))
        rows = max(1, _LOGITS_BYTES // (8 * len(words) * self.target.classes))
        if not (by_row := is_by_row(self.loss, self.target.classes)):
            rows = self.n_rows
        for first in range(0, self.n_rows, rows):
            some = slice(first, first + rows)
            inputs = self.inputs if rows >= self.n_rows else self.inputs.take(some)
            labels = self.labels[some]
            found = self._sums(words, inputs)
            if self.loss == "cross_entropy":
                total += self._cross_entropy(found, labels).sum(axis=1)
            elif not by_row:
                return mean_losses(found / self.target.scale, labels, self.loss)
            else:
                per_label = label_losses(found / self.target.scale, self.loss)
                total += per_label[:, np.arange(len(labels)), labels].sum(axis=1)
        return total / self.n_rows

    def _sums(self, words: Words, inputs: PackedInputs) -> npt.NDArray[np.int32]:
        """The logits before they are divided by the scale, int32 [draw, row, class]."""
        shape, label_bits = self.target.shape, self.target.label_bits
        if label_bits is None:
            return sums(shape, words, inputs)
        return 2 * votes(shape, words, inputs, label_bits) - label_bits

    def _cross_entropy(self, found: npt.NDArray[np.int32], labels: npt.NDArray[np.int64]) -> Float:
        """Of sums [draw, row, class], [draw, row]: exponentials of whole numbers are looked up."""
        scale, most = self.target.scale, self.target.shape.matrices[-1][1]
        if len(self.target.layers) == 2:
            most *= (1 << self.inputs.planes) - 1
        most = self.target.label_bits or most
        table = np.exp(-2 * np.arange(most + 1) / scale)
        top = found.max(axis=-1)
        # two sums of 32 bits may be further apart than 31 bits
        total = table[(top[..., None] - found).view(np.uint32) >> 1].sum(axis=-1)
        own = found[:, np.arange(len(labels)), labels]
        return np.log(total) + (top - own).view(np.uint32) / scale

    def flips(self, bits: Bits) -> tuple[Float, Float]:
        """Losses [draw] and L(bit flipped) - L [draw, bit] of bits uint8 [draw, bit]."""
        if not self.in_one_pass:

            def losses(strings: Bits) -> Float:
                flat = strings.reshape(-1, strings.shape[-1])
                return self.losses(flat).reshape(strings.shape[:-1])

            return flips_by_evaluation(losses, bits)
        # compiled, and only whoever flips needs it
        from qhyper.targets.packed.flips import flip_differences

        shape = self.target.shape
        own, differences = np.empty(len(bits)), np.empty(bits.shape)
        for draw, words in enumerate(shape.from_bits(bits)):
            own[draw], by_layer = flip_differences(
                shape, words, self.inputs, self.labels, self.target.scale
            )
            differences[draw] = np.concatenate([d.T.ravel() for d in by_layer])
        return own, differences

    def blocks(self, bits: Bits, plan: npt.NDArray[np.int64]) -> tuple[Float, Float]:
        """Losses [draw] and L(block as s) - L [draw, block, 2^m] of bits uint8 [draw, bit]."""
        check_blocks(plan, bits.shape[-1])
        if not self.in_one_pass_of(plan):
            return blocks_by_evaluation(self.losses, bits, plan)
        # compiled, and only whoever takes blocks needs it
        from qhyper.targets.packed.blocks import block_differences

        shape, scale = self.target.shape, self.target.scale
        differences = np.empty((len(bits), len(plan), 1 << plan.shape[1]))
        losses = [
            block_differences(shape, words, self.inputs, self.labels, scale, plan, out)
            for words, out in zip(shape.from_bits(bits), differences, strict=True)
        ]
        return np.array(losses), differences

    def wrong_weights(self, bits: Bits) -> tuple[Float, npt.NDArray[np.bool_]]:
        """Losses [draw] of bits uint8 [draw, bit], and the weights errors are laid to, as bits."""
        shape, label_bits = self.target.shape, self.target.label_bits or 1
        wrong = np.zeros((len(bits), shape.n_words), np.uint64)
        for found, words in zip(wrong, shape.from_bits(bits), strict=True):
            numbers, masks = wrong_weights(shape, words, self.inputs, self.labels, label_bits)
            found[numbers] = masks
        return self.losses(bits), shape.to_bits(wrong).astype(bool)


def packed(
    dataset: Dataset,
    *,
    layers: Sequence[int] | None = None,
    inputs: Inputs = "signs",
    scale: float = 4.0,
    label_bits: int | None = None,
) -> PackedTarget:
    """The target `packed`: a PackedTarget for a data set, (features, 128, classes) unless told.

    - layers: units of every layer, inputs first
    - inputs: what the first layer sees of a feature: `signs`, +1 from 0 up, or `pixels`, whole
      pixels from 0 to 255
    - scale: what the sums of the last layer are divided by before the softmax
    - label_bits: so many units a class, which vote; unless told one, whose sum is its logit

    Raises ConfigurationError as PackedTarget does.
    """
    outputs = dataset.n_classes * (label_bits or 1)
    sizes = layers or (dataset.n_features, _HIDDEN, outputs)
    return PackedTarget(sizes, inputs=inputs, scale=scale, label_bits=label_bits)
