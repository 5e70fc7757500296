"""Sequential minimisation of ⟨C⟩, one angle after the other (Nakanishi, Fujii and Todo, 2020).

Phys. Rev. Research 2, 043158. With all other angles as they are, ⟨C⟩ is a sinusoid of an angle, so
two more values give its minimum exactly. That needs no derivatives, and holds under noise that
does not depend on the angles.
"""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]

NOTHING = 1e-12
"""An angle whose sinusoid is smaller stays where it is."""


def sweep(cost: Callable[[Float], Float], angles: Float, order: Iterable[int]) -> Float:
    """Angles [angle] after each of those in `order` is set to its minimum, in this order.

    `cost` gives ⟨C⟩ [row] at angles [row, angle]; it is called once, and once for each of `order`
    with two rows. ⟨C⟩ never rises.
    """
    angles = angles.copy()
    here = float(cost(angles[None])[0])
    for angle in order:
        rows = np.stack([angles, angles])
        rows[:, angle] += (np.pi / 2, -np.pi / 2)
        up, down = cost(rows)
        middle = (up + down) / 2
        sine, cosine = (up - down) / 2, here - middle
        size = float(np.hypot(sine, cosine))
        if size > NOTHING:
            angles[angle] += np.arctan2(-sine, -cosine)
            here = float(middle) - size
    return angles
