"""qhyper: compare classical and quantum generators of binary networks, against a proven optimum.

Names are loaded when they are first used, so that `import qhyper` stays quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qhyper.comparison import Comparison, compare, load_generator
    from qhyper.config import Entry, TrainingSettings
    from qhyper.data import Dataset, Samples, load
    from qhyper.gradients.score import ScoreFunction
    from qhyper.hypernetwork import Capabilities, Draw, HyperNetwork
    from qhyper.quantum.circuit import Brickwork, Circuit, Gate, Product
    from qhyper.quantum.generator import QuantumHyperNetwork
    from qhyper.risk import Expectation
    from qhyper.search import Evaluated
    from qhyper.streams import Streams
    from qhyper.target.landscape import Certificate, certify
    from qhyper.target.network import BinaryNetwork
    from qhyper.target.objective import Objective
    from qhyper.target.space import WeightSpace
    from qhyper.training import Trainer, train

_HOME = {
    "BinaryNetwork": "qhyper.target.network",
    "Brickwork": "qhyper.quantum.circuit",
    "Capabilities": "qhyper.hypernetwork",
    "Certificate": "qhyper.target.landscape",
    "Circuit": "qhyper.quantum.circuit",
    "Comparison": "qhyper.comparison",
    "Dataset": "qhyper.data",
    "Draw": "qhyper.hypernetwork",
    "Entry": "qhyper.config",
    "Evaluated": "qhyper.search",
    "Expectation": "qhyper.risk",
    "Gate": "qhyper.quantum.circuit",
    "HyperNetwork": "qhyper.hypernetwork",
    "Objective": "qhyper.target.objective",
    "Product": "qhyper.quantum.circuit",
    "QuantumHyperNetwork": "qhyper.quantum.generator",
    "Samples": "qhyper.data",
    "ScoreFunction": "qhyper.gradients.score",
    "Streams": "qhyper.streams",
    "Trainer": "qhyper.training",
    "TrainingSettings": "qhyper.config",
    "WeightSpace": "qhyper.target.space",
    "certify": "qhyper.target.landscape",
    "compare": "qhyper.comparison",
    "load": "qhyper.data",
    "load_generator": "qhyper.comparison",
    "train": "qhyper.training",
}

__all__ = [
    "BinaryNetwork",
    "Brickwork",
    "Capabilities",
    "Certificate",
    "Circuit",
    "Comparison",
    "Dataset",
    "Draw",
    "Entry",
    "Evaluated",
    "Expectation",
    "Gate",
    "HyperNetwork",
    "Objective",
    "Product",
    "QuantumHyperNetwork",
    "Samples",
    "ScoreFunction",
    "Streams",
    "Trainer",
    "TrainingSettings",
    "WeightSpace",
    "certify",
    "compare",
    "load",
    "load_generator",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'qhyper' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
