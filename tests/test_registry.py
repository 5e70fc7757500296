"""Generators, controls, estimators, risks and backends by name."""

from dataclasses import dataclass

import numpy as np
import pytest

from qhyper.errors import ConfigurationError
from qhyper.gradients.estimator import build_estimator
from qhyper.hypernetwork import build_generator
from qhyper.quantum.ansatz import build_ansatz
from qhyper.registry import load_object, names, takes_option
from qhyper.risk import Sample, build_risk
from qhyper.run.config import COMPARED
from qhyper.targets.layered.space import WeightSpace
from qhyper.training.search import build_control, is_control


def test_what_is_compared_by_default_is_registered() -> None:
    assert set(COMPARED) <= set(names("generator")) | set(names("control"))


def test_a_class_is_accepted_wherever_a_name_is() -> None:
    generator = build_generator("classical.bernoulli:Bernoulli", 5, seeds=[1, 2])
    assert generator.replicas == 2
    assert is_control("classical.annealing:SimulatedAnnealing")


def test_options_and_space_reach_the_generator() -> None:
    space = WeightSpace((4, 6, 2))
    deep = build_generator(
        "quantum", 36, layout=space.layout, options={"depth": 3, "order": "unit"}
    )
    assert deep.n_parameters == 2 * 36 * 3
    assert build_generator("categorical", 36, layout=space.layout).n_bits == 36


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_generator("bernouli", 4), "'bernouli'. Did you mean 'bernoulli'"),
        (lambda: build_generator("quantum", 4, options={"dept": 2}), "Did you mean 'depth'"),
        (
            lambda: build_generator("mlp", 4, options={"seeds": 2}),
            "option of the generator mlp: 'seeds'",
        ),
        (lambda: build_control("annealing", 4, {"t_star": 2}), "Did you mean 't_start'"),
        (lambda: build_generator("nowhere:Thing", 4), "Cannot load 'nowhere:Thing'"),
        (lambda: load_object("classical.bernoulli:B"), "Cannot load 'classical.bernoulli:B'"),
        (
            lambda: build_generator("builtins:dict", 4),
            "'builtins:dict' is the class dict, which is no generator: it has no `sample`",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_refused(call, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        call()


def test_who_takes_a_backend() -> None:
    takers = {
        name
        for kind in ("generator", "control")
        for name in names(kind)
        if takes_option(kind, name, "backend")
    }
    assert takers == {"quantum", "product", "quantum-depth2", "quantum-depth4"}
    assert not takes_option("generator", "quantum", "phase")  # an option of an ansatz, handed on
    assert not takes_option("generator", "classical.bernoulli:Bernoulli", "backend")
    with pytest.raises(ConfigurationError, match="Did you mean 'product'"):
        takes_option("generator", "prodct", "backend")


@dataclass
class Own:
    level: float
    share: int = 2
    rate: float | None = None
    kind: str = "a"

    def __post_init__(self) -> None:
        if self.kind not in "abc":
            raise ValueError(f"no kind {self.kind}")

    def costs(self, drawn: Sample, reference: Sample) -> np.ndarray:
        return drawn.losses

    def value(self, drawn: Sample) -> tuple[np.ndarray, np.ndarray]:
        return drawn.losses.mean(-1), drawn.losses.std(-1)


@pytest.fixture
def own(monkeypatch) -> str:
    """A name under which `Own` is found, wherever pytest imported this file from."""
    monkeypatch.setattr("qhyper.risk.Own", Own, raising=False)
    return "qhyper.risk:Own"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: build_risk("cvar", {"alpha": "abc"}),
            r"Got alpha='abc' \(str\) for the risk cvar; expected a number. Set it as "
            r"risk_options\.alpha\.",
        ),
        (lambda: build_risk("cvar", {"alpha": True}), r"alpha=True \(bool\)"),
        (lambda: build_risk("cvar", {"alpha": None}), r"alpha=None \(NoneType\)"),
        (lambda: build_risk("cvar", {"alpha": 2}), r"CVaR needs 0 < alpha <= 1"),
        (lambda: build_risk("cvar", {"alhpa": 0.5}), r"Did you mean 'alpha'\? Known: alpha\."),
        (
            lambda: build_risk("free-energy", {"temperature": [1]}),
            r"temperature=\[1\] \(list\).* a number",
        ),
        (
            lambda: build_estimator("spsa", 5, {"directions": 2.5}),
            r"directions=2\.5 \(float\) for the estimator spsa; expected a whole number",
        ),
        (lambda: build_estimator("spsa", 5, {"shots": 5}), r"'shots'.* Known: directions, step"),
        (lambda: build_estimator("spsaa", 5), r"Unknown estimator 'spsaa'\. Did you mean 'spsa'"),
        (lambda: build_risk("cvra"), r"Unknown risk 'cvra'\. Did you mean 'cvar'"),
    ],
)
def test_an_option_of_an_estimator_or_a_risk_is_checked(call, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        call()


def test_numbers_of_any_kind_are_taken(own: str) -> None:
    assert build_risk("cvar", {"alpha": 1}).alpha == 1  # type: ignore[attr-defined]
    assert build_risk("cvar", {"alpha": np.float32(0.5)}).alpha == 0.5  # type: ignore[attr-defined]
    built = build_risk(own, {"level": 1, "share": np.int64(3), "rate": None})
    assert (built.share, built.rate) == (3, None)  # type: ignore[attr-defined]


def test_what_a_class_itself_refuses_names_options_values_and_types(own: str) -> None:
    message = (
        rf"The risk '{own}' could not be built with level=1 \(int\), kind='x' \(str\): no kind x\. "
        r"Its options are level, share, rate, kind; set them as risk_options\."
    )
    with pytest.raises(ConfigurationError, match=message):
        build_risk(own, {"level": 1, "kind": "x"})
    with pytest.raises(ConfigurationError, match=r"kind=5 \(int\)"):
        build_risk(own, {"level": 1, "kind": 5})


def test_an_option_without_a_default_is_asked_for(own: str) -> None:
    message = rf"The risk '{own}' needs the option `level`; set it as risk_options\.level\."
    with pytest.raises(ConfigurationError, match=message):
        build_risk(own, {"kind": "b"})


@pytest.mark.parametrize("name", names("ansatz"))
def test_every_ansatz_that_has_a_name_can_be_built(name: str) -> None:
    circuit = build_ansatz(name, order=range(6), layout=WeightSpace((1, 2, 2)).layout).build(6)
    assert circuit.n_qubits == 6
    assert set(circuit.trained) == set(range(circuit.n_angles))


@pytest.mark.parametrize(
    "path", [r"C:\models\mine.py:loss", "models/mine.py:loss", r"D:\data\table.xlsx"]
)
def test_a_path_in_place_of_a_module_is_refused(path):
    with pytest.raises(ConfigurationError, match=r", a path; expected module:name, such as mymod"):
        load_object(path)
