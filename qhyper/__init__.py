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
    from qhyper.gradients.exact import Exact
    from qhyper.gradients.natural import NaturalGradient
    from qhyper.gradients.parameter_shift import ParameterShift, StochasticParameterShift
    from qhyper.gradients.score import ScoreFunction
    from qhyper.gradients.spsa import SPSA
    from qhyper.hypernetwork import Capabilities, Draw, HyperNetwork
    from qhyper.images import Images, load_images
    from qhyper.lbfgs import Minima, minimise
    from qhyper.quantum.ansatz import (
        Brickwork,
        HardwareEfficient,
        Mirrored,
        Product,
        Reuploading,
        UnitChain,
    )
    from qhyper.quantum.backend import build_backend
    from qhyper.quantum.circuit import Angle, Circuit, Gate
    from qhyper.quantum.convert import as_circuit
    from qhyper.quantum.generator import QuantumHyperNetwork
    from qhyper.registry import build_estimator, build_generator, build_risk
    from qhyper.report import page, table
    from qhyper.risk import MMD, CVaR, Expectation, FreeEnergy
    from qhyper.runs import Run
    from qhyper.search import Control, Evaluated
    from qhyper.spending import Budget
    from qhyper.streams import Streams
    from qhyper.target.export import to_onnx, to_torch
    from qhyper.target.landscape import Certificate, certify, certify_objective
    from qhyper.target.network import BinaryNetwork
    from qhyper.target.objective import Objective
    from qhyper.target.packed import PackedNetwork
    from qhyper.target.space import WeightSpace
    from qhyper.target.table import CostTable, tabulate
    from qhyper.training import Trainer, train

_HOME = {
    "Angle": "qhyper.quantum.circuit",
    "BinaryNetwork": "qhyper.target.network",
    "Brickwork": "qhyper.quantum.ansatz",
    "Budget": "qhyper.spending",
    "CVaR": "qhyper.risk",
    "Capabilities": "qhyper.hypernetwork",
    "Certificate": "qhyper.target.landscape",
    "Circuit": "qhyper.quantum.circuit",
    "Comparison": "qhyper.comparison",
    "Config": "qhyper.config",
    "Control": "qhyper.search",
    "CostTable": "qhyper.target.table",
    "Dataset": "qhyper.data",
    "Draw": "qhyper.hypernetwork",
    "Entry": "qhyper.config",
    "Evaluated": "qhyper.search",
    "Exact": "qhyper.gradients.exact",
    "Expectation": "qhyper.risk",
    "FreeEnergy": "qhyper.risk",
    "Gate": "qhyper.quantum.circuit",
    "HardwareEfficient": "qhyper.quantum.ansatz",
    "HyperNetwork": "qhyper.hypernetwork",
    "Images": "qhyper.images",
    "MMD": "qhyper.risk",
    "Minima": "qhyper.lbfgs",
    "Mirrored": "qhyper.quantum.ansatz",
    "NaturalGradient": "qhyper.gradients.natural",
    "Objective": "qhyper.target.objective",
    "PackedNetwork": "qhyper.target.packed",
    "ParameterShift": "qhyper.gradients.parameter_shift",
    "Product": "qhyper.quantum.ansatz",
    "QhyperError": "qhyper.errors",
    "QuantumHyperNetwork": "qhyper.quantum.generator",
    "Reuploading": "qhyper.quantum.ansatz",
    "Run": "qhyper.runs",
    "SPSA": "qhyper.gradients.spsa",
    "Samples": "qhyper.data",
    "ScoreFunction": "qhyper.gradients.score",
    "StochasticParameterShift": "qhyper.gradients.parameter_shift",
    "Streams": "qhyper.streams",
    "Trainer": "qhyper.training",
    "TrainingSettings": "qhyper.config",
    "UnitChain": "qhyper.quantum.ansatz",
    "WeightSpace": "qhyper.target.space",
    "as_circuit": "qhyper.quantum.convert",
    "build_backend": "qhyper.quantum.backend",
    "build_estimator": "qhyper.registry",
    "build_generator": "qhyper.registry",
    "build_risk": "qhyper.registry",
    "certify": "qhyper.target.landscape",
    "certify_objective": "qhyper.target.landscape",
    "compare": "qhyper.comparison",
    "execute": "qhyper.comparison",
    "load": "qhyper.data",
    "load_generator": "qhyper.comparison",
    "load_images": "qhyper.images",
    "minimise": "qhyper.lbfgs",
    "page": "qhyper.report",
    "plan": "qhyper.comparison",
    "table": "qhyper.report",
    "tabulate": "qhyper.target.table",
    "to_onnx": "qhyper.target.export",
    "to_torch": "qhyper.target.export",
    "train": "qhyper.training",
}

__all__ = [
    "MMD",
    "SPSA",
    "Angle",
    "BinaryNetwork",
    "Brickwork",
    "Budget",
    "CVaR",
    "Capabilities",
    "Certificate",
    "Circuit",
    "Comparison",
    "Config",
    "Control",
    "CostTable",
    "Dataset",
    "Draw",
    "Entry",
    "Evaluated",
    "Exact",
    "Expectation",
    "FreeEnergy",
    "Gate",
    "HardwareEfficient",
    "HyperNetwork",
    "Images",
    "Minima",
    "Mirrored",
    "NaturalGradient",
    "Objective",
    "PackedNetwork",
    "ParameterShift",
    "Product",
    "QhyperError",
    "QuantumHyperNetwork",
    "Reuploading",
    "Run",
    "Samples",
    "ScoreFunction",
    "StochasticParameterShift",
    "Streams",
    "Trainer",
    "TrainingSettings",
    "UnitChain",
    "WeightSpace",
    "as_circuit",
    "build_backend",
    "build_estimator",
    "build_generator",
    "build_risk",
    "certify",
    "certify_objective",
    "compare",
    "execute",
    "load",
    "load_generator",
    "load_images",
    "minimise",
    "page",
    "plan",
    "table",
    "tabulate",
    "to_onnx",
    "to_torch",
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
