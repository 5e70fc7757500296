"""Small data sets that need no file: two that are drawn, and digits that scikit-learn ships."""

import numpy as np

from qhyper.data.samples import Dataset, Samples, stratified_split
from qhyper.data.sets import comes_from


@comes_from(lambda: "generated")
def toy(*, seed: int = 0) -> Dataset:
    """2x2 grey images [tl, tr, bl, br]: class 0 has tr = 255, class 1 has bl = 255.

    The other pixels are uniform in 0..254; 80,000 + 20,000 rows, (v - 127.5) / 128.
    """
    rng = _stream(seed)
    images = rng.integers(0, 255, size=(2, 50_000, 4))
    images[0, :, 1] = 255  # right above is white
    images[1, :, 2] = 255  # left under is white
    x = (images - 127.5) / 128

    def part(rows: slice) -> Samples:
        chosen = x[:, rows]
        return Samples(chosen.reshape(-1, 4), np.repeat([0, 1], chosen.shape[1]))

    return Dataset("toy", part(slice(40_000)), part(slice(40_000, None)))


@comes_from(lambda: "shipped with scikit-learn")
def digits(*, seed: int = 0) -> Dataset:
    """scikit-learn's digits 0 and 1, 2x2 means of 4x4 blocks; 288 + 72 rows, (v - 8) / 8.

    `seed` decides which rows of each class are for testing.
    """
    from sklearn.datasets import load_digits

    rng = _stream(seed)
    images, labels = map(np.asarray, load_digits(n_class=2, return_X_y=True))
    blocks = images.reshape(-1, 2, 4, 2, 4).mean(axis=(2, 4))
    return Dataset(
        "digits", *stratified_split(Samples((blocks.reshape(-1, 4) - 8) / 8, labels), rng, "digits")
    )


@comes_from(lambda: "generated")
def gaussians(*, seed: int = 0) -> Dataset:
    """The mixture of Carrasquilla et al. (arXiv:2301.08292) in the plane; 10,000 + 2,000 rows.

    Class 0 is one Gaussian, class 1 is three.
    """
    rng = _stream(seed)
    centres = np.array([[-1, -2], [-2, 1], [1, 1], [2, -2]])

    def draw(n_rows: int) -> Samples:
        y = rng.integers(0, 2, size=n_rows)
        which = y * rng.integers(1, 4, size=n_rows)
        noise = np.sqrt(0.1) * rng.standard_normal((n_rows, 2))
        return Samples(centres[which] + noise, y)

    return Dataset("gaussians", draw(10_000), draw(2_000))


def _stream(seed: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(int(seed)))
