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
    drawn_weights: bool = True
    binarised_gradients: bool = False
    decay: float = DECAY
    images: str = "fashion-mnist"


KINDS: tuple[Binarisation, ...] = ("none", "deterministic", "stochastic")
SIZES = (128, 1024)
"""Units of the hidden layer."""
OPTIONS: dict[str, dict[str, bool]] = {
    "": {},
    "-glorot": {"glorot": True},
    "-glorot-wide": {"glorot": True, "wide": True},
    "-activations": {"glorot": True, "drawn_weights": False},
}
"""Ways to train, by the end of a row's name."""
WAYS: dict[Binarisation, tuple[str, ...]] = {
    "none": ("",),
    "deterministic": ("-glorot", "", "-glorot-wide"),
    "stochastic": ("-glorot-wide", "-activations", "", "-glorot"),
}
"""Of each binarisation, the best on held-out images first, of those that draw weights too."""
BEST: dict[Binarisation, str] = {kind: ways[0] for kind, ways in WAYS.items()}
SHORT = 100
"""Epochs of what the report prints no numbers of, and of other ways than the best with 1,024 units,
each of which would take half an hour or more."""


def _printed(kind: Binarisation, hidden: int, way: str) -> Row:
    """A training for as many epochs as the report's, or a short one."""
    whole = 500 if (kind, hidden) == ("stochastic", 128) else 1_000
    short = hidden == 1024 and way not in (BEST[kind], "-activations")
    return Row(kind, hidden, SHORT if short else whole, **OPTIONS[way])


FALLS = (1, 10, 100)
"""By which the rate falls, over a short training, to see what λ does."""

ROWS: dict[str, Row] = {
    **{
        f"{kind}-{hidden}{way}": _printed(kind, hidden, way)
        for hidden in reversed(SIZES)
        for kind in reversed(KINDS)
        for way in WAYS[kind]
    },
    **{
        f"{images}-{kind}": Row(kind, 128, SHORT, images=images, **OPTIONS[BEST[kind]])
        for images in ("cifar-10", "mnist")
        for kind in reversed(KINDS)
    },
    **{
        f"signs-{kind}": Row(kind, 128, SHORT, binarised_gradients=True, **OPTIONS[BEST[kind]])
        for kind in reversed(KINDS[1:])
    },
    **{
        f"decay-{kind}-{fall}": Row(
            kind, 128, SHORT, decay=fall ** (-1 / (10 * SHORT)), **OPTIONS[BEST[kind]]
        )
        for kind in KINDS[1:]
        for fall in FALLS
    },
}
"""By name, long ones first. The deterministic network of 128 units and 500 epochs, which the report
sets beside the stochastic one, is the first half of the one of 1,000: λ is the same."""
