"""Times of works beside each other: medians of turns."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np


def medians(*works: Callable[[], Any], repeats: int) -> list[float]:
    """Median seconds of each, one after the other in turn; the first turn does not count."""
    seconds = np.zeros((repeats + 1, len(works)))
    for turn in seconds:
        for k, work in enumerate(works):
            began = time.perf_counter()
            work()
            turn[k] = time.perf_counter() - began
    return np.median(seconds[1:], axis=0).tolist()
