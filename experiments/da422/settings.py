"""The trainings of the study, which its tables and pictures name too."""

from dataclasses import dataclass

from classical.binarized import Binarisation

RATE, BATCH = 0.2, 5_000
"""As printed."""
DECAY = 0.1 ** (1 / 10_000)
"""λ of a step, which is ours: over 1,000 epochs of 10 steps the rate falls to a tenth."""


@dataclass(frozen=True)
class Row:
    """A training: a network of one hidden layer, on which images, how, and how long."""

    kind: Binarisation
    hidden: int
    epochs: int
    glorot: bool = False
    binarised_gradients: bool = False
    decay: float = DECAY
    images: str = "fashion-mnist"


KINDS: tuple[Binarisation, ...] = ("none", "deterministic", "stochastic")
SIZES = (128, 1024)
"""Units of the hidden layer."""
SHORT = 100
"""Epochs of what the report names and prints no numbers of."""


def _printed(kind: Binarisation, hidden: int, glorot: bool) -> Row:
    """A training for as many epochs as the report's."""
    return Row(kind, hidden, 500 if (kind, hidden) == ("stochastic", 128) else 1_000, glorot)


FALLS = (1, 10, 100)
"""By which the rate falls, over a short training, to see what λ does."""

ROWS: dict[str, Row] = {
    **{
        f"{kind}-{hidden}{'-glorot' if glorot else ''}": _printed(kind, hidden, glorot)
        for hidden in reversed(SIZES)
        for glorot in (True, False)
        for kind in reversed(KINDS)
        if kind != "none" or not glorot
    },
    **{
        f"{images}-{kind}": Row(kind, 128, SHORT, kind != "none", images=images)
        for images in ("cifar-10", "mnist")
        for kind in reversed(KINDS)
    },
    **{
        f"signs-{kind}": Row(kind, 128, SHORT, True, binarised_gradients=True)
        for kind in reversed(KINDS[1:])
    },
    **{
        f"decay-{fall}": Row("deterministic", 128, SHORT, True, decay=fall ** (-1 / (10 * SHORT)))
        for fall in FALLS
    },
}
"""By name, long ones first. The deterministic network of 128 units and 500 epochs, which the report
sets beside the stochastic one, is the first half of the one of 1,000: λ is the same."""
