"""qhyper: compare classical and quantum generators of binary networks, against a proven optimum.

Names are loaded when they are first used, so that `import qhyper` stays quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qhyper.comparison import Comparison, compare, execute, load_generator, plan
    from qhyper.config import Config, Entry, TrainingSettings
    from qhyper.data import Dataset, Samples, load
    from qhyper.errors import QhyperError
    from qhyper.gradients.score import ScoreFunction
    from qhyper.hypernetwork import Capabilities, Draw, HyperNetwork
    from qhyper.quantum.ansatz import Brickwork, Product
    from qhyper.quantum.circuit import Circuit, Gate
    from qhyper.quantum.generator import QuantumHyperNetwork
    from qhyper.registry import build_generator
    from qhyper.report import page, table
    from qhyper.risk import Expectation
    from qhyper.runs import Run
    from qhyper.search import Control, Evaluated
    from qhyper.streams import Streams
    from qhyper.target.landscape import Certificate, certify, certify_objective
    from qhyper.target.network import BinaryNetwork
    from qhyper.target.objective import Objective
    from qhyper.target.space import WeightSpace
    from qhyper.training import Trainer, train

_HOME = {
    "BinaryNetwork": "qhyper.target.network",
    "Brickwork": "qhyper.quantum.ansatz",
    "Capabilities": "qhyper.hypernetwork",
    "Certificate": "qhyper.target.landscape",
    "Circuit": "qhyper.quantum.circuit",
    "Comparison": "qhyper.comparison",
    "Config": "qhyper.config",
    "Control": "qhyper.search",
    "Dataset": "qhyper.data",
    "Draw": "qhyper.hypernetwork",
    "Entry": "qhyper.config",
    "Evaluated": "qhyper.search",
    "Expectation": "qhyper.risk",
    "Gate": "qhyper.quantum.circuit",
    "HyperNetwork": "qhyper.hypernetwork",
    "Objective": "qhyper.target.objective",
    "Product": "qhyper.quantum.ansatz",
    "QhyperError": "qhyper.errors",
    "QuantumHyperNetwork": "qhyper.quantum.generator",
    "Run": "qhyper.runs",
    "Samples": "qhyper.data",
    "ScoreFunction": "qhyper.gradients.score",
    "Streams": "qhyper.streams",
    "Trainer": "qhyper.training",
    "TrainingSettings": "qhyper.config",
    "WeightSpace": "qhyper.target.space",
    "build_generator": "qhyper.registry",
    "certify": "qhyper.target.landscape",
    "certify_objective": "qhyper.target.landscape",
    "compare": "qhyper.comparison",
    "execute": "qhyper.comparison",
    "load": "qhyper.data",
    "load_generator": "qhyper.comparison",
    "page": "qhyper.report",
    "plan": "qhyper.comparison",
    "table": "qhyper.report",
    "train": "qhyper.training",
}

__all__ = [
    "BinaryNetwork",
    "Brickwork",
    "Capabilities",
    "Certificate",
    "Circuit",
    "Comparison",
    "Config",
    "Control",
    "Dataset",
    "Draw",
    "Entry",
    "Evaluated",
    "Expectation",
    "Gate",
    "HyperNetwork",
    "Objective",
    "Product",
    "QhyperError",
    "QuantumHyperNetwork",
    "Run",
    "Samples",
    "ScoreFunction",
    "Streams",
    "Trainer",
    "TrainingSettings",
    "WeightSpace",
    "build_generator",
    "certify",
    "certify_objective",
    "compare",
    "execute",
    "load",
    "load_generator",
    "page",
    "plan",
    "table",
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
