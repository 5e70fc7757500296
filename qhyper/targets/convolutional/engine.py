"""What runs the steps: the compiled engine, or NumPy where numba cannot be imported."""

import warnings
from collections.abc import Callable, Sequence

import numpy.typing as npt

from qhyper.targets.convolutional.steps import Step, Values


def prepared(steps: Sequence[Step], values: Values) -> Callable[[npt.NDArray], npt.NDArray]:
    """The steps ready to run: from x [image, channel, row, column], `values`, to what they make.

    Bits are uint8, sums int64 and real numbers float64; x may be of any type that holds these.
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
    return engine.Prepared(steps, values)
