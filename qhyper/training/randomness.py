"""Whether a generator draws from the global generators of torch, NumPy or Python."""

import random
import threading
from typing import Any

import numpy as np
import torch

from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import HyperNetwork
from qhyper.streams import Streams

_TRIES = 5
_PYTHONS = "Python's module random"


def check_streams(generator: HyperNetwork, inputs: Any = None) -> None:
    """Raise ConfigurationError if a draw changes a global random generator.

    Tried on generators with log p, whose draws cost nothing. `inputs` [replica, input, feature] are
    those of a generator that sees them.
    """
    if not generator.capabilities.log_prob:
        return
    for _ in range(_TRIES):
        changed = _changed_by_a_draw(generator, inputs)
        if changed is None:
            return
        if changed != _PYTHONS or threading.active_count() == 1:
            break  # else another thread may have drawn, as those of dask.distributed do: once more
    raise ConfigurationError(
        f"{generator.describe()} ({type(generator).__name__}) draws from {changed}, so that the "
        "same seeds would give other runs. Draw from `rng`, which has one NumPy generator a "
        "replica: rng[r].random(...). To try it: qhyper check."
    )


def _changed_by_a_draw(generator: HyperNetwork, inputs: Any) -> str | None:
    """The global generator that is another after a draw, None if each is what it was."""
    before = global_states()
    generator.sample(1, rng=Streams(generator.seeds)(0), inputs=inputs)
    after = global_states()
    return next((name for name, state in after.items() if state != before[name]), None)


def global_states() -> dict[str, Any]:
    """The states of the global generators, by their names in words."""
    name, key, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "torch's global generator": torch.get_rng_state().numpy().tobytes(),
        "NumPy's global generator (np.random)": (name, np.asarray(key).tobytes(), *rest),
        _PYTHONS: random.getstate(),
    }
