"""Identical images with different labels, which bound the accuracy of every classifier."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qhyper import Samples


@dataclass(frozen=True)
class Identical:
    """What is identical among labelled images."""

    images: int
    different: int
    """images that differ from one another"""
    of_both: int
    """images that share their pixels with one of another class"""
    wrong: int
    """images that any classifier has wrong, at least: it gives identical ones the same class"""

    @property
    def accuracy(self) -> float:
        """The best of any classifier on these images, the Bayes accuracy of their frequencies."""
        return 1 - self.wrong / self.images


def identical(samples: Samples) -> Identical:
    """Count identical images of `samples`; one for each of them is right: its most frequent label.

    No function of the pixels does better (Duda, Hart and Stork 2001, "Pattern Classification",
    section 2.2, with frequencies in the place of probabilities).
    """
    return counted(labels(samples))


def labels(samples: Samples) -> npt.NDArray[np.int64]:
    """How often each different image has each label: int64 [image, label]."""
    different, which = np.unique(samples.x, axis=0, return_inverse=True)
    counts = np.zeros((len(different), int(samples.y.max()) + 1), dtype=np.int64)
    np.add.at(counts, (which.ravel(), samples.y), 1)
    return counts


def counted(counts: npt.NDArray[np.int64]) -> Identical:
    """The same from `labels`, or from some of its columns: images without a label do not count."""
    of_both = (counts > 0).sum(axis=1) > 1
    return Identical(
        images=int(counts.sum()),
        different=int((counts > 0).any(axis=1).sum()),
        of_both=int(counts[of_both].sum()),
        wrong=int(counts.sum() - counts.max(axis=1).sum()),
    )
