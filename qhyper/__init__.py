"""qhyper: compare classical and quantum generators of binary networks, against a proven optimum.

Names are loaded when they are first used, so that `import qhyper` stays quick.
"""

import importlib

# Not from typing: nothing is imported here that a file in the working directory may hide, until
# __main__ has put that folder last.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from qhyper.checks.check import check
    from qhyper.compose.chunked import Chunked
    from qhyper.compose.joined import Joined
    from qhyper.compose.module import FromModule
    from qhyper.compose.ordered import Ordered
    from qhyper.data.images import Images, load_images
    from qhyper.data.samples import Dataset, Samples
    from qhyper.data.sets import load
    from qhyper.errors import QhyperError
    from qhyper.gradients.estimator import build_estimator
    from qhyper.gradients.exact import Exact
    from qhyper.gradients.local_expectation import LocalExpectation
    from qhyper.gradients.natural import NaturalGradient
    from qhyper.gradients.parameter_shift import ParameterShift, StochasticParameterShift
    from qhyper.gradients.score import ScoreFunction
    from qhyper.gradients.spsa import SPSA
    from qhyper.hypernetwork import Capabilities, Draw, HyperNetwork, build_generator
    from qhyper.quantum.ansatz import (
        Brickwork,
        HardwareEfficient,
        Mirrored,
        Product,
        Reuploading,
        Unentangled,
        UnitChain,
    )
    from qhyper.quantum.backends import build_backend
    from qhyper.quantum.circuit import Circuit
    from qhyper.quantum.convert import as_circuit
    from qhyper.quantum.gate import Angle, Gate
    from qhyper.quantum.generator import QuantumHyperNetwork
    from qhyper.report.page import page
    from qhyper.report.table import table
    from qhyper.risk import MMD, CVaR, Expectation, FreeEnergy, build_risk
    from qhyper.run.comparison import Comparison, compare, execute, load_generator, plan
    from qhyper.run.config import Config, Entry, TrainingSettings
    from qhyper.run.directory import Run
    from qhyper.spending import Budget
    from qhyper.streams import Streams
    from qhyper.targets.convolutional.network import ConvolutionalNetwork
    from qhyper.targets.convolutional.target import ConvolutionalTarget
    from qhyper.targets.exact.certificate import Certificate, certify, certify_objective
    from qhyper.targets.exact.table import CostTable, tabulate
    from qhyper.targets.layered.export import to_onnx, to_torch
    from qhyper.targets.layered.network import BinaryNetwork
    from qhyper.targets.layered.space import WeightSpace
    from qhyper.targets.layout import Layout
    from qhyper.targets.objective import Objective
    from qhyper.targets.packed.network import PackedNetwork
    from qhyper.targets.packed.target import PackedTarget
    from qhyper.training.minimise import Minima, minimise
    from qhyper.training.search import Control, Evaluated
    from qhyper.training.space import Tuning
    from qhyper.training.trainer import Trainer, train

    __version__: str

_HOME = {
    "Angle": "qhyper.quantum.gate",
    "BinaryNetwork": "qhyper.targets.layered.network",
    "Brickwork": "qhyper.quantum.ansatz",
    "Budget": "qhyper.spending",
    "CVaR": "qhyper.risk",
    "Capabilities": "qhyper.hypernetwork",
    "Certificate": "qhyper.targets.exact.certificate",
    "Chunked": "qhyper.compose.chunked",
    "Circuit": "qhyper.quantum.circuit",
    "Comparison": "qhyper.run.comparison",
    "Config": "qhyper.run.config",
    "Control": "qhyper.training.search",
    "ConvolutionalNetwork": "qhyper.targets.convolutional.network",
    "ConvolutionalTarget": "qhyper.targets.convolutional.target",
    "CostTable": "qhyper.targets.exact.table",
    "Dataset": "qhyper.data.samples",
    "Draw": "qhyper.hypernetwork",
    "Entry": "qhyper.run.config",
    "Evaluated": "qhyper.training.search",
    "Exact": "qhyper.gradients.exact",
    "Expectation": "qhyper.risk",
    "FreeEnergy": "qhyper.risk",
    "FromModule": "qhyper.compose.module",
    "Gate": "qhyper.quantum.gate",
    "HardwareEfficient": "qhyper.quantum.ansatz",
    "HyperNetwork": "qhyper.hypernetwork",
    "Images": "qhyper.data.images",
    "Joined": "qhyper.compose.joined",
    "Layout": "qhyper.targets.layout",
    "LocalExpectation": "qhyper.gradients.local_expectation",
    "MMD": "qhyper.risk",
    "Minima": "qhyper.training.minimise",
    "Mirrored": "qhyper.quantum.ansatz",
    "NaturalGradient": "qhyper.gradients.natural",
    "Objective": "qhyper.targets.objective",
    "Ordered": "qhyper.compose.ordered",
    "PackedNetwork": "qhyper.targets.packed.network",
    "PackedTarget": "qhyper.targets.packed.target",
    "ParameterShift": "qhyper.gradients.parameter_shift",
    "Product": "qhyper.quantum.ansatz",
    "QhyperError": "qhyper.errors",
    "QuantumHyperNetwork": "qhyper.quantum.generator",
    "Reuploading": "qhyper.quantum.ansatz",
    "Run": "qhyper.run.directory",
    "SPSA": "qhyper.gradients.spsa",
    "Samples": "qhyper.data.samples",
    "ScoreFunction": "qhyper.gradients.score",
    "StochasticParameterShift": "qhyper.gradients.parameter_shift",
    "Streams": "qhyper.streams",
    "Trainer": "qhyper.training.trainer",
    "TrainingSettings": "qhyper.run.config",
    "Tuning": "qhyper.training.space",
    "Unentangled": "qhyper.quantum.ansatz",
    "UnitChain": "qhyper.quantum.ansatz",
    "WeightSpace": "qhyper.targets.layered.space",
    "as_circuit": "qhyper.quantum.convert",
    "build_backend": "qhyper.quantum.backends",
    "build_estimator": "qhyper.gradients.estimator",
    "build_generator": "qhyper.hypernetwork",
    "build_risk": "qhyper.risk",
    "certify": "qhyper.targets.exact.certificate",
    "certify_objective": "qhyper.targets.exact.certificate",
    "check": "qhyper.checks.check",
    "compare": "qhyper.run.comparison",
    "execute": "qhyper.run.comparison",
    "load": "qhyper.data.sets",
    "load_generator": "qhyper.run.comparison",
    "load_images": "qhyper.data.images",
    "minimise": "qhyper.training.minimise",
    "page": "qhyper.report.page",
    "plan": "qhyper.run.comparison",
    "table": "qhyper.report.table",
    "tabulate": "qhyper.targets.exact.table",
    "to_onnx": "qhyper.targets.layered.export",
    "to_torch": "qhyper.targets.layered.export",
    "train": "qhyper.training.trainer",
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
    "Chunked",
    "Circuit",
    "Comparison",
    "Config",
    "Control",
    "ConvolutionalNetwork",
    "ConvolutionalTarget",
    "CostTable",
    "Dataset",
    "Draw",
    "Entry",
    "Evaluated",
    "Exact",
    "Expectation",
    "FreeEnergy",
    "FromModule",
    "Gate",
    "HardwareEfficient",
    "HyperNetwork",
    "Images",
    "Joined",
    "Layout",
    "LocalExpectation",
    "Minima",
    "Mirrored",
    "NaturalGradient",
    "Objective",
    "Ordered",
    "PackedNetwork",
    "PackedTarget",
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
    "Tuning",
    "Unentangled",
    "UnitChain",
    "WeightSpace",
    "as_circuit",
    "build_backend",
    "build_estimator",
    "build_generator",
    "build_risk",
    "certify",
    "certify_objective",
    "check",
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


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("qhyper")
    if name not in _HOME:
        raise AttributeError(f"module 'qhyper' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
