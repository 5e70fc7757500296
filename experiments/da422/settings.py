"""The trainings of the study, which its tables and pictures name too."""

from dataclasses import dataclass

from classical.binarized import Binarisation

RATE, BATCH = 0.2, 5_000
"""As printed."""
DECAY = 0.5 ** (1 / 10_000)
"""λ of a step, which is ours: over 1,000 epochs of 10 steps the rate falls to a half."""


@dataclass(frozen=True)
class Row:
    """A training: a network of one hidden layer, on which images, how, and how long."""

    kind: Binarisation
    hidden: int
    epochs: int
    glorot: bool = False
    wide: bool = False
    binarised_gradients: bool = False
    decay: float = DECAY
    images: str = "fashion-mnist"


KINDS: tuple[Binarisation, ...] = ("none", "deterministic", "stochastic")
SIZES = (128, 1024)
"""Units of the hidden layer."""
WAYS: dict[str, dict[str, bool]] = {
    "": {},
    "-glorot": {"glorot": True},
    "-glorot-wide": {"glorot": True, "wide": True},
}
"""How binary networks are trained, by the end of a row's name; real ones know the first alone."""
BEST: dict[Binarisation, str] = {
    "none": "",
    "deterministic": "-glorot",
    "stochastic": "-glorot-wide",
}
"""Of these ways the best on held-out images, with 128 units."""
SHORT = 100
"""Epochs of what the report prints no numbers of, and of other ways than the best with 1,024 units,
each of which would take half an hour or more."""


def _printed(kind: Binarisation, hidden: int, way: str) -> Row:
    """A training for as many epochs as the report's, or a short one."""
    whole = 500 if (kind, hidden) == ("stochastic", 128) else 1_000
    epochs = whole if hidden == 128 or way == BEST[kind] else SHORT
    return Row(kind, hidden, epochs, **WAYS[way])


FALLS = (1, 10, 100)
"""By which the rate falls, over a short training, to see what λ does."""

ROWS: dict[str, Row] = {
    **{
        f"{kind}-{hidden}{way}": _printed(kind, hidden, way)
        for hidden in reversed(SIZES)
        for kind in reversed(KINDS)
        for way in sorted(WAYS, key=lambda way: way != BEST[kind])
        if kind != "none" or way == ""
    },
    **{
        f"{images}-{kind}": Row(kind, 128, SHORT, images=images, **WAYS[BEST[kind]])
        for images in ("cifar-10", "mnist")
        for kind in reversed(KINDS)
    },
    **{
        f"signs-{kind}": Row(kind, 128, SHORT, binarised_gradients=True, **WAYS[BEST[kind]])
        for kind in reversed(KINDS[1:])
    },
    **{
        f"decay-{kind}-{fall}": Row(
            kind, 128, SHORT, decay=fall ** (-1 / (10 * SHORT)), **WAYS[BEST[kind]]
        )
        for kind in KINDS[1:]
        for fall in FALLS
    },
}
"""By name, long ones first. The deterministic network of 128 units and 500 epochs, which the report
sets beside the stochastic one, is the first half of the one of 1,000: λ is the same."""
