"""The starts of the study, which its tables name too."""

from qhyper.quantum.ansatz import Start

STARTS: tuple[Start, ...] = ("near-product", "uniform", "identity-block")
