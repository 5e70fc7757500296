"""Images of a study: to train on and held out, the same ones for every training."""

from qhyper.data.images import Images
from qhyper.data.samples import hold_out
from qhyper.streams import Streams


def split(training: Images, held_out: int, rows: int | None = None) -> tuple[Images, Images]:
    """So many random images held out, and the first `rows` of the others, or all."""
    (rng,) = Streams([0])(0, "search")
    training, kept = hold_out(training, held_out, rng)
    return training.take(slice(rows)), kept
