"""What runs the steps: the compiled engine, or NumPy where numba cannot be imported."""

import warnings
from collections.abc import Sequence

import numpy.typing as npt

from qhyper.targets.convolutional.steps import Step, Values


def run(steps: Sequence[Step], values: Values, x: npt.NDArray) -> npt.NDArray:
    """What the steps make of `x` [image, channel, row, column], the `values` before them.

    Bits are uint8, sums int64 and real numbers float64; `x` may be of any type that holds these.
    """
    try:
        from qhyper.targets.convolutional import numba_engine as engine
    except ImportError as error:
        from qhyper.targets.convolutional import numpy_engine as engine

        warnings.warn(
            f"numba cannot be imported ({error}): convolutional networks run on NumPy alone, which "
            "is correct but slower. Install numba for speed.",
            stacklevel=3,
        )
    return engine.run(steps, values, x)
