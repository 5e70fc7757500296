"""Majority networks: nothing but XOR and majority votes, and a group of output bits a class.

The networks of Fontana (2022), section 4.1: a unit takes the XOR of every input with its weight and
is 1 unless zeros are the majority. The last layer has `label_bits` units a class, group by group,
and the class is that of most ones; ties go to the lower class.

Weights are kept as the words of a packed network of signs (`qhyper.targets.packed`), complemented:
the XOR of an input with a weight is 1 where the input equals the *stored* bit, and a majority with
ties to 1 is a sign with sign(0) = +1. All that comes out is whole numbers.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_array
from qhyper.bits import WORD, Words
from qhyper.errors import ConfigurationError
from qhyper.targets.packed.inputs import PackedInputs
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.population import correct
from qhyper.targets.packed.shape import PackedShape
from qhyper.targets.packed.wrong import Reading, wrong_weights

DEPTHS = range(2, 6)
"""How many layers such a network may have."""
_DRAWN_TOGETHER = 1 << 22
"""Bits that `flip` draws from at once: a draw may need memory for each."""


@dataclass(frozen=True)
class PackedSamples:
    """Packed rows of bits, and labels int64 [row].

    Raises ConfigurationError unless inputs are packed bits, there is a row, and a whole number as
    label for each.
    """

    inputs: PackedInputs
    labels: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, PackedInputs) or self.inputs.planes != 1:
            got = "pixels" if isinstance(self.inputs, PackedInputs) else type(self.inputs).__name__
            raise ConfigurationError(
                f"Got a batch of {got}; expected packed bits, such as pack_bits(images.bits)."
            )
        object.__setattr__(self, "labels", as_array(self.labels, "labels", "a whole number a row"))
        if self.labels.shape != (len(self.inputs),) or self.labels.dtype.kind not in "iu":
            raise ConfigurationError(
                f"Got labels of {self.labels.dtype} and shape {self.labels.shape} for "
                f"{len(self.inputs)} rows; expected a whole number for each."
            )
        if not len(self):
            raise ConfigurationError("Got a batch without rows; expected 1 or more.")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.integer] | slice) -> "PackedSamples":
        """Only these rows, in this order."""
        return PackedSamples(self.inputs.take(rows), self.labels[rows])


@dataclass(frozen=True)
class MajorityNetwork:
    """The shape of a majority network: sizes of its layers, inputs first, and bits a label.

    Raises ConfigurationError unless there are 2 to 5 layers, and the last one has `label_bits`
    units for each of 2 classes or more.
    """

    layers: tuple[int, ...]
    label_bits: int
    classes: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", self.shape.layers)
        depth = len(self.layers) - 1
        if depth not in DEPTHS:
            raise ConfigurationError(
                f"Got {depth} layers of weights, {self.layers}; expected {DEPTHS[0]} to "
                f"{DEPTHS[-1]}. Leave out or add hidden layers."
            )
        whole = all(type(number) is int for number in (self.classes, self.label_bits))
        if not whole or self.classes < 2 or self.label_bits < 1:
            raise ConfigurationError(
                f"Got {self.classes} classes of {self.label_bits} label bits; expected 2 classes "
                "or more, of 1 bit or more each."
            )
        needed = self.classes * self.label_bits
        if self.layers[-1] != needed:
            narrow = self.layers[-1] < needed
            raise ConfigurationError(
                f"The network {self.layers} is too {'deep' if narrow else 'wide'} for the label "
                f"bits: its last layer has {self.layers[-1]} units, but {self.classes} classes of "
                f"{self.label_bits} bits need {needed}. Choose a last layer of {needed} units, or "
                "other label bits."
            )

    @cached_property
    def shape(self) -> PackedShape:
        """How words hold the weights."""
        return PackedShape(self.layers)

    def random(self, networks: int, rng: np.random.Generator) -> Words:
        """Uniformly random networks, uint64 [network, word]."""
        words = rng.integers(2**64, size=(networks, self.shape.n_words), dtype=np.uint64)
        return words & self.shape.ones

    def check(self, batch: PackedSamples) -> None:
        """Raise ConfigurationError unless the labels of `batch` are classes of this network."""
        if batch.labels.min() < 0 or batch.labels.max() >= self.classes:
            raise ConfigurationError(
                f"Got labels {np.unique(batch.labels).tolist()}; expected them from 0 to "
                f"{self.classes - 1}."
            )

    def correct(self, words: Words, batch: PackedSamples) -> npt.NDArray[np.int64]:
        """Rows that each network of words [network, word] classifies correctly, int64 [network]."""
        return correct(self.shape, words, batch.inputs, batch.labels, self.label_bits)

    def wrong_weights(
        self,
        words: Words,
        batch: PackedSamples,
        *,
        reading: Reading = "all-weights",
        voters_below: bool = False,
    ) -> tuple[npt.NDArray[np.int64], Words]:
        """The weights of one network, words [word], that the errors of a batch are laid to.

        Numbers of words int64 [k] and masks of them uint64 [k], as `qhyper.targets.packed.wrong`
        gives them, where `reading` and `voters_below` are explained; raises ConfigurationError as
        that does, and for labels that are no classes.
        """
        self.check(batch)
        return wrong_weights(
            self.shape, words, batch.inputs, batch.labels, self.label_bits, reading=reading,
            voters_below=voters_below,
        )  # fmt: skip

    def packed(self, words: Words) -> PackedNetwork:
        """One network, words [word], as it is saved, loaded and asked for predictions."""
        limits = self.shape.limits(of_last=True)
        return PackedNetwork(self.shape, words, limits, label_bits=self.label_bits)


def mutate(
    words: Words, where: npt.NDArray[np.int64], masks: Words, p: float, rng: np.random.Generator
) -> None:
    """Flip every weight in `masks` with probability p, independently in each network, in place.

    `words` [network, word]; bits of masks[k] are of words[:, where[k]]. A binomial number of bits,
    drawn without replacement, has the same law as a draw for every weight.
    """
    bits = masks.size * WORD
    if not bits or not p:
        return
    together = max(1, _DRAWN_TOGETHER // bits)
    for first in range(0, len(words), together):
        part = words[first : first + together]
        n = len(part) * bits
        chosen = rng.choice(n, rng.binomial(n, p), replace=False, shuffle=False)
        own, bit = chosen % bits // WORD, (chosen % WORD).astype(np.uint64)
        np.bitwise_xor.at(part, (chosen // bits, where[own]), masks[own] & np.uint64(1) << bit)
