"""What do flips of straight-through training do, and do Adam, ReCU and cosine change them?

python -m experiments run flips
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from typing import Any, get_args

from experiments.flips import outcome, pictures
from experiments.flips import tables as written
from experiments.flips.outcome import DATA, FIRST_TUNING_SEED, METHODS, RATES
from experiments.flips.recording import Record
from experiments.flips.training import LAYERS, Limit, Method, Optimiser, Schedule, train
from qhyper import BinaryNetwork, certify, load
from qhyper.data.samples import Samples

TITLE = "What do flips of straight-through training do, and do Adam, ReCU and cosine change them?"

NETWORK = BinaryNetwork(LAYERS)


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    seeds: int
    tuning_seeds: int
    """from `FIRST_TUNING_SEED`: on them the rate is chosen"""
    steps: int
    batch: int
    every: int
    """so many steps the value of each flip is asked"""


FULL = Size(seeds=12, tuning_seeds=6, steps=1000, batch=128, every=5)
QUICK = Size(seeds=3, tuning_seeds=2, steps=20, batch=64, every=2)


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """Every method on every data set, at all its rates; and the certificates."""
    size = QUICK if quick else FULL
    ways = product(get_args(Optimiser), get_args(Limit), get_args(Schedule))
    methods = {"-".join(way): Method(*way) for way in ways}
    assert list(methods) == METHODS
    found = {
        f"{data}-{name}": partial(measure, data, method, size)
        for data in DATA
        for name, method in methods.items()
    }
    return found | {f"{data}-certificate": partial(minimum, data) for data in DATA}


def minimum(data: str) -> float:
    """The certified minimum on a data set."""
    return certify(NETWORK, _rows(data)).minimum_loss


def measure(data: str, method: Method, size: Size) -> dict[str, Any]:
    """Counts of flips and their values [rate, seed], flattened."""
    rows = _rows(data)
    objective = NETWORK.objective(rows)
    tuning = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + size.tuning_seeds)
    seeds = [*range(size.seeds), *tuning]
    found: dict[str, list[Any]] = defaultdict(list)
    for rate in RATES[method.optimiser]:
        record = Record(objective, replicas=len(seeds), steps=size.steps, every=size.every)
        moved = train(
            rows, method, seeds=seeds, rate=rate, steps=size.steps, batch=size.batch, told=record
        )
        for key, counts in {**record.to_json(), "moved": moved.tolist()}.items():
            found[key] += counts
    return {"seeds": seeds, "steps": size.steps, **found}


@cache
def _rows(data: str) -> Samples:
    return load(data).train


tables = written.tables
draw = pictures.draw
measured = outcome.measured
