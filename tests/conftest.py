"""Shared by all tests: a small problem that trains in milliseconds, and results of searches."""

import sys
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import numpy as np
import pytest
import torch

from qhyper.cli.main import main
from qhyper.data.samples import Samples
from qhyper.data.sets import load
from qhyper.report.results import Curve, Result, Spectrum
from qhyper.report.summary import Summary, summarise
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layered.objective import NetworkObjective
from qhyper.threads import one_torch_thread
from tests.compiled import PARTS, outputs

_COMPILED = pytest.StashKey[dict[str, list[str]]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that are marked `cuda` where there is no such device."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device, and torch finds none"))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Compile the kernels once before the workers of the whole suite, who would do it each."""
    if node.config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    if _COMPILED not in node.config.stash:
        node.config.stash[_COMPILED] = outputs(PARTS)
    node.workerinput["compiled"] = node.config.stash[_COMPILED]


@pytest.fixture(autouse=True)
def _one_torch_thread() -> Iterator[None]:
    """Tests run on busy machines."""
    with one_torch_thread():
        yield


@pytest.fixture(scope="session")
def digits() -> Samples:
    return load("digits").train


@pytest.fixture
def objective(digits: Samples) -> NetworkObjective:
    """Cross-entropy of a 4-6-2 network on the digits 0 and 1; 36 bits."""
    return BinaryNetwork((4, 6, 2)).objective(digits)


# -- made-up results, for summary, figures and report ---------------------------------------------

LEVELS = np.array([0.1160, 0.1165, 0.195, 0.24, 0.45, 0.693])
BUDGET = 3000
CERTIFICATE = {
    "data": "toy",
    "bits": 36,
    "configurations": 2**36,
    "functions": 1884961,
    "minimum_loss": 0.1160,
    "accuracy_at_minimum": 0.9184,
    "best_accuracy": 0.9193,
    "optimal_bitstrings": 768,
    "optimum": "01" * 18,
    "temperature": 0.02,
    "log_Z": 19.5,
    "uniform_hit_probability": 768 / 2**36,
    "expected_draws": 2**36 / 768,
    "method": "every function counted",
}
ABOUT = {"data": "toy", "network": "BinaryNetwork((4, 6, 2))", "loss": "cross_entropy"}


def search_result(
    name: str, kind: str, ends: list[int], *, shift: float = 0.0, steps: bool = True
) -> Result:
    """One search whose seeds end at the given levels, finding a level every 100 evaluations."""
    seeds = len(ends)
    final = [float(LEVELS[end]) + shift + 0.01 + 0.001 * seed for seed, end in enumerate(ends)]
    evaluations = np.arange(64, BUDGET + 1, 64)
    return Result(
        name=name,
        kind=kind,
        description=f"the {name} of the tests",
        parameters=72,
        seeds=list(range(seeds)),
        evaluations=BUDGET,
        shots=BUDGET,
        circuits=0,
        best_loss=[float(LEVELS[end]) for end in ends],
        best_bits=["01" * 18] * seeds,
        improvements=[
            [(1 + 100 * k, float(LEVELS[5 - k])) for k in range(6 - end)] for end in ends
        ],
        final_loss=final,
        final_losses=[[value - 0.005, value + 0.005] for value in final],
        train_accuracy=[0.9] * seeds if steps else None,
        test_accuracy=[0.89] * seeds if steps else None,
        seconds_per_step=[0.0123] if steps else [],
        curve=Curve(
            evaluations=evaluations.tolist() if steps else [],
            shots=evaluations.tolist() if steps else [],
            mean_loss=[
                (value + 0.8 * np.exp(-evaluations / 400)).tolist() if steps else []
                for value in final
            ],
        ),
    )


@pytest.fixture
def result() -> Callable[..., Result]:
    return search_result


@pytest.fixture
def ten_seeds() -> list[Result]:
    return [
        search_result("product", "quantum", [0, 0, 0] + [1] * 7),
        search_result("quantum", "quantum", [1] * 10, shift=-0.005),
        search_result("bernoulli", "classical", [1] * 9 + [2], shift=0.05),
        search_result("autoregressive", "classical", [0] * 8 + [1] * 2),
        search_result("random", "control", [3] * 10, shift=0.5, steps=False),
    ]


@pytest.fixture
def certified() -> Callable[..., Summary]:
    """A comparison of results with a certificate, of which keywords change items."""
    return lambda results, **changes: summarise(
        results, certificate=CERTIFICATE | changes, no_certificate=None, **ABOUT
    )


@pytest.fixture
def uncertified() -> Callable[..., Summary]:
    return lambda results, reason="the network has too many bits": summarise(
        results, certificate=None, no_certificate=reason, **ABOUT
    )


@pytest.fixture
def spectrum() -> Spectrum:
    """Counts of bitstrings over a range of losses, as a certificate has them."""
    return Spectrum(
        edges=np.linspace(0.1, 3.0, 30).tolist(),
        bitstrings=[768, 10**6, 0, *[10**9 + k for k in range(26)]],
    )


_CERTIFICATES: dict[Any, Any] = {}


def certified_once(self: NetworkObjective, *, temperature: float = 0.05, method: Any = "auto",
                   progress: Any = None) -> Any:  # fmt: skip
    """`certify` that remembers what it found of the same data, for the tests of other things."""
    asked = repr(self.network), self.loss, self.data.x.tobytes(), self.data.y.tobytes(), temperature
    if (asked, method) not in _CERTIFICATES:
        found = _certify(self, temperature=temperature, method=method, progress=progress)
        _CERTIFICATES[asked, method] = found
    elif callable(progress):
        progress(1.0)
    return _CERTIFICATES[asked, method]


_certify = NetworkObjective.certify


@pytest.fixture
def certified_before(monkeypatch):
    """Problems that other tests have certified are not certified again."""
    monkeypatch.setattr(NetworkObjective, "certify", certified_once)


@pytest.fixture
def undrawn(monkeypatch):
    """Pages with empty figures, where nobody looks at them: drawing takes longer than the rest."""
    import qhyper.report.plots
    import qhyper.report.sweep_figures
    import qhyper.submit.figures

    def svg(figure: Any, name: str, title: str, description: str = "") -> str:
        told = f'<title id="{name}-title">{escape(title)}</title>'
        told += f'<desc id="{name}-desc">{escape(description)}</desc>' if description else ""
        return f'<svg role="img" aria-labelledby="{name}-title {name}-desc">{told}</svg>'

    for module in (qhyper.report.plots, qhyper.report.sweep_figures, qhyper.submit.figures):
        monkeypatch.setattr(module, "svg", svg)


@pytest.fixture
def cli(monkeypatch, tmp_path, capsys):
    """Run the command in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["qhyper", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return stopped.value.code or 0, out, err

    return call
