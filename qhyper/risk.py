"""Risks: what is minimised of the distribution of losses."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Expectation:
    """The mean loss of the draws, E[L]."""

    def costs(self, losses: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The cost of each draw whose mean over shots is the risk: the losses themselves."""
        return losses
