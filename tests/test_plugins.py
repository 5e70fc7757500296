"""A package of somebody else's adds one thing of each kind, by one file and one entry point."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from qhyper.bits import all_bitstrings
from qhyper.data.sets import availability, load
from qhyper.errors import ConfigurationError, UnsuitableError
from qhyper.gradients.estimator import build_estimator
from qhyper.hypernetwork import build_generator
from qhyper.quantum.backends import build_backend
from qhyper.quantum.generator import quantum
from qhyper.registry import KINDS, find, is_registered, names
from qhyper.risk import build_risk
from qhyper.run.config import Config, read
from qhyper.targets.exact.certificate import certify
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.loss import check_loss
from qhyper.training.search import build_control, is_control

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

MODULE = '''
from dataclasses import dataclass

import numpy as np

from classical.bernoulli import Bernoulli
from classical.random_search import RandomSearch
from qhyper.data.samples import Dataset, Samples
from qhyper.gradients.score import ScoreFunction
from qhyper.quantum.backend import BackendCapabilities
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.simulators.state_vector import StateVectorBackend
from qhyper.risk import Risk
from qhyper.targets.objective import Objective
from qhyper.targets.layout import Block, Layout
from qhyper.targets.target import ObjectiveCapabilities


class MyGenerator(Bernoulli):
    def __init__(self, n_bits, *, seeds=(0,), shift: float = 0.0):
        super().__init__(n_bits, seeds=seeds)
        self.shift = shift


class MySearch(RandomSearch):
    pass


class MyEstimator(ScoreFunction):
    pass


@dataclass(frozen=True)
class MyRisk(Risk):
    level: float = 0.0

    def costs(self, drawn, reference):
        return abs(drawn.losses - self.level)


@dataclass(frozen=True)
class MyAnsatz:
    depth: int = 4

    def build(self, n_qubits):
        gates = []
        for layer in range(self.depth):
            gates += [Gate("ry", (q,), layer * n_qubits + q) for q in range(n_qubits)]
            gates += [Gate("cz", (q, q + 1)) for q in range(n_qubits - 1)]
        return Circuit(n_qubits, tuple(gates))


class MySimulator:
    """Draws from our exact state vector, and nothing else."""

    capabilities = BackendCapabilities()

    def __init__(self, copies: int = 1):
        self.copies = copies

    def __str__(self):
        return "mine"

    def compile(self, circuit, *, rows=1):
        return StateVectorBackend().compile(circuit, rows=rows)


class AfterColon(MySimulator):
    after_colon = "copies"


def my_data(rows: int = 40, *, seed=0, bias: float = 0.0):
    """Points in the plane, of two classes by the side of a line."""
    def samples(number, rng):
        x = rng.normal(size=(number, 2))
        return Samples(x, (x.sum(axis=1) > bias).astype(int))

    train, test = (np.random.default_rng([seed, part]) for part in (0, 1))
    return Dataset("halves", samples(rows, train), samples(rows // 2, test))


class MyTarget:
    """A perceptron of signs whose threshold is a number of bits."""

    def __init__(self, dataset: Dataset, *, copies: int = 1):
        self.copies = copies
        width = dataset.n_features
        self.layout = Layout((Block("votes", (copies, width)), Block("threshold", (copies,))))
        self.n_bits = self.layout.n_bits

    def objective(self, data, loss="cross_entropy"):
        return MyObjective(self, data)


class MyObjective(Objective):
    capabilities = ObjectiveCapabilities(accuracy=True)

    def __init__(self, target, data):
        self.target, self.data = target, data
        super().__init__(None, target.n_bits, name="errors of votes", layout=target.layout,
                         n_rows=len(data.y))

    def _evaluate(self, bits):
        return 1 - self.accuracy(bits)

    def accuracy(self, bits, samples=None):
        data = self.data if samples is None else samples
        w = 2.0 * np.asarray(bits) - 1
        votes = self.target.layout.bits["votes"]
        sums = w[..., votes] @ data.x.T + w[..., self.target.layout.bits["threshold"], None]
        return ((np.sign(sums).sum(-2) > 0) == data.y).mean(-1)


def my_nothing(rows: int = 4):
    return [rows]


def hinge(logits):
    """The multi-class hinge loss of Crammer and Singer (2001): no function of a difference."""
    others = np.where(np.eye(logits.shape[-1], dtype=bool), -np.inf, logits[..., None, :])
    return np.maximum(0, 1 + others.max(-1) - logits)


def size(logits):
    return (logits**2).sum(-1, keepdims=True) + 0 * logits


def too_few(logits):
    return logits.sum(-1)


def infinite(logits):
    return np.where(logits > 0, np.inf, 0)
'''

REGISTERED = {
    "generator": "MyGenerator",
    "control": "MySearch",
    "estimator": "MyEstimator",
    "risk": "MyRisk",
    "ansatz": "MyAnsatz",
    "simulator": "MySimulator",
    "data set": "my_data",
    "target": "MyTarget",
    "loss": "hinge",
}


# generators and controls share their names
NAMES = {kind: "my-search" if kind == "control" else "mine" for kind in REGISTERED}


def distribution(folder: Path, package: str, points: dict[str, dict[str, str]]) -> None:
    """What an installed package leaves: its entry points by their group."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    sections = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in of_group.items())
        for group, of_group in points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(sections))


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """The package, as if it were installed."""
    folder = tmp_path / "site-packages"
    points = {
        KINDS[kind].group: {NAMES[kind]: f"mymodule:{name}"} for kind, name in REGISTERED.items()
    }
    distribution(folder, "mypackage", points)
    (folder / "mymodule.py").write_text(MODULE)
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    yield folder
    sys.modules.pop("mymodule", None)


def by(kind: str) -> list[str]:
    return [NAMES[kind], f"mymodule:{REGISTERED[kind]}"]


@pytest.mark.parametrize("kind", REGISTERED)
def test_it_is_found_and_loaded_by_its_name(kind):
    assert NAMES[kind] in names(kind)
    assert is_registered(kind, NAMES[kind])
    assert find(kind, NAMES[kind]).__name__ == REGISTERED[kind]
    assert not is_registered(kind, "nobody's")


RUN = ["--data", "digits", "--evaluations", "200", "--draws", "20", "--json"]


@pytest.mark.parametrize("name", by("generator"))
def test_a_generator(name, cli):
    assert not is_control(name)
    generator = build_generator(name, 5, seeds=[1, 2], options={"shift": 0.5})
    assert (generator.replicas, generator.shift) == (2, 0.5)
    with pytest.raises(ConfigurationError, match=r"Got shift='x' .*Set it as options\.shift\."):
        build_generator(name, 5, options={"shift": "x"})
    code, out, err = cli("train", "--generator", name, "--option", "shift=0.5", *RUN)
    assert code == 0, err
    assert json.loads(out)["generators"][0]["name"] == name


@pytest.mark.parametrize("name", by("control"))
def test_a_control(name, cli):
    assert is_control(name)
    assert hasattr(build_control(name, 5), "search")
    code, out, err = cli("compare", "--generators", name, "--seeds", "1", "--data", "digits",
                         "--evaluations", "200", "--json")  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["generators"][0]["name"] == name


@pytest.mark.parametrize("name", by("estimator"))
def test_an_estimator(name, cli):
    assert build_estimator(name, 7, {"baseline": "none"}).shots == 7
    code, _, err = cli("train", "--generator", "bernoulli", "--estimator", name, *RUN)
    assert code == 0, err


@pytest.mark.parametrize("name", by("risk"))
def test_a_risk(name, cli):
    assert build_risk(name, {"level": 0.25}).level == 0.25
    code, _, err = cli("train", "--generator", "bernoulli", "--risk", name, "--training",
                       "risk_options.level=0.2", *RUN)  # fmt: skip
    assert code == 0, err


@pytest.mark.parametrize("name", by("ansatz"))
def test_an_ansatz_with_its_options(name, cli):
    assert quantum(3, ansatz=name, depth=2).circuit.n_angles == 6
    assert quantum(3, ansatz=name).circuit.n_angles == 12
    with pytest.raises(ConfigurationError, match=r"Unknown option of the ansatz .*'depth'"):
        quantum(3, ansatz=name, dept=2)
    code, out, err = cli("train", "--generator", "quantum", "--option", f"ansatz={name}",
                         "--option", "depth=1", *RUN)  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["generators"][0]["parameters"] == 36


@pytest.mark.parametrize("name", by("simulator"))
def test_a_simulator(name, cli):
    assert build_backend(name, {"copies": 3}).copies == 3
    code, _, err = cli("train", "--generator", "product", "--backend", name, "--estimator", "spsa",
                       "--layers", "4,2,1", "--option", "backend_options.copies=2",
                       *RUN)  # fmt: skip
    assert code == 0, err


def test_what_stands_after_a_colon_is_the_argument_that_the_class_says(package):
    distribution(package, "others", {"qhyper.simulators": {"colon": "mymodule:AfterColon"}})
    importlib.invalidate_caches()
    sys.path.append("anew")  # entry points are read once for each state of sys.path
    try:
        assert build_backend("colon:5").copies == "5"
        assert build_backend("colon").copies == 1
        with pytest.raises(ConfigurationError, match=r"Unknown option .* colon:5: 'copies'"):
            build_backend("colon:5", {"copies": 2})
    finally:
        sys.path.remove("anew")


@pytest.mark.parametrize("name", by("data set"))
def test_a_data_set_with_its_options_and_the_seed(name, cli):
    dataset = load(name, seed=3, options={"rows": 20, "bias": 0.5})
    assert (dataset.name, len(dataset.train), len(dataset.test)) == ("halves", 20, 10)
    np.testing.assert_array_equal(dataset.train.y, dataset.train.x.sum(axis=1) > 0.5)
    assert (load(name, seed=4, options={"rows": 20}).train.x != dataset.train.x).all()
    with pytest.raises(ConfigurationError, match=rf"Unknown option of the data set {name}: 'row'"):
        load(name, options={"row": 3})
    with pytest.raises(
        ConfigurationError, match=r"Got rows='x' \(str\).*Set it as data_options\.ro"
    ):
        load(name, options={"rows": "x"})
    code, out, err = cli("train", "--generator", "bernoulli", "--data", name, "--data-option",
                         "rows=30", "--layers", "2,3,2", *RUN[2:])  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    assert found["data"] == "halves"
    assert found["certificate"]["bits"] == 12


def test_a_data_set_says_where_it_comes_from():
    assert availability()["mine"] == "registered by mypackage"
    with pytest.raises(
        ConfigurationError, match=r"'mymodule:my_nothing' made a list, .*no data set"
    ):
        load("mymodule:my_nothing")


@pytest.mark.parametrize("generator", ["bernoulli", "product", "joined", "random"])
@pytest.mark.parametrize("name", by("target"))
def test_a_target(name, generator, cli):
    run = ["--data", "mine", "--data-option", "rows=30", "--target", name, "--json"]
    code, out, err = cli("compare", "--generators", generator, "--seeds", "2", "--target-option",
                         "copies=3", "--evaluations", "200", *run)  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    (entry,) = found["generators"]
    assert found["network"] == found["loss"] == "errors of votes"
    # of few bits: all are evaluated, and what that cost is said
    assert found["certificate"]["evaluations"] > found["certificate"]["configurations"]
    assert found["no_certificate"] is None
    assert entry["rows"] == 30 * entry["evaluations"] > 0
    assert 0 <= entry["best_loss"]["median"] <= 1
    shares = [entry[f"{part}_accuracy"]["median"] for part in ("train", "test")]
    assert all(0 <= share <= 1 for share in shares)


@pytest.mark.parametrize("name", by("target"))
def test_a_target_trains_from_the_command_line_and_a_file(name, cli):
    run = ["--generator", "bernoulli", "--evaluations", "200", "--draws", "20", "--json"]
    code, out, err = cli("train", "--data", "mine", "--target", name, "--target-option",
                         "copies=3", *run)  # fmt: skip
    assert code == 0, err
    Path("mine.toml").write_text(
        f'data = "mine"\ntarget = "{name}"\n\n[target_options]\ncopies = 3\n'
    )
    code, again, err = cli("train", "--config", "mine.toml", *run)
    assert code == 0, err
    assert without_times(again) == without_times(out)
    for option, message in (
        ("copy=3", f"Unknown option of the target {name}: 'copy'"),
        ("copies=x", "Got copies='x' (str)"),
    ):
        code, _, err = cli("train", "--data", "mine", "--target", name, "--target-option", option,
                           *run)  # fmt: skip
        assert code == 2
        assert message in " ".join(err.split())


def without_times(out):
    (entry,) = json.loads(out)["generators"]
    return {key: value for key, value in entry.items() if key != "seconds_per_step"}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--estimator", "local-expectation"], "needs the differences of single flips"),
        (["--training", "batch=4"], "has no mini-batches"),
        (["--rows", "100"], "has 0 steps of"),
    ],
)
def test_what_a_target_does_not_declare_is_refused(option, message, cli):
    code, _, err = cli("train", "--data", "mine", "--target", "mine", "--generator", "bernoulli",
                       "--draws", "20", "--json", *option)  # fmt: skip
    assert code == 2
    assert message in " ".join(err.split())


# -- losses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "choices"),
    [((2, 2, 2), {}), ((3, 2, 1), {}), ((3, 1, 3), {}), ((2, 2, 1), {"activation": "tanh"}),
     ((2, 1, 3), {"biases": True, "activation": "relu"})],
)  # fmt: skip
@pytest.mark.parametrize("name", ["mine", "mymodule:hinge", "mymodule:size"])
def test_a_loss_on_the_kernels_is_that_of_the_plain_pass(name, layers, choices, samples_of):
    network = BinaryNetwork(WeightSpace(layers, **choices))
    data = samples_of(layers)
    bits = all_bitstrings(network.n_bits)
    logits = network.logits(bits, data.x)
    z = np.concatenate([0 * logits, logits], -1) if layers[-1] == 1 else logits
    of_label = find("loss", name)(z)
    expected = of_label[:, np.arange(len(data.y)), data.y].mean(-1)
    np.testing.assert_allclose(network.objective(data, name)(bits), expected, atol=1e-12)
    np.testing.assert_allclose(network.losses(bits, data, name), expected, atol=1e-12)
    batches = network.batches(data, size=2, scored_on="own", loss=name).take([[3, 1]])
    own = batches(np.broadcast_to(bits[:4], (1, 2, *bits[:4].shape)))
    for k, row in enumerate((3, 1)):
        np.testing.assert_allclose(own[0, k], of_label[:4, row, data.y[row]], atol=1e-12)


@pytest.mark.parametrize("layers", [(2, 2, 2), (3, 2, 1), (2, 1, 3)])
def test_a_loss_is_certified_where_enumeration_is_possible(layers, samples_of):
    network, data = BinaryNetwork(layers), samples_of(layers)
    losses = network.losses(all_bitstrings(network.n_bits), data, "mine")
    certificate = certify(network, data, loss="mine", method="enumeration")
    assert certificate.minimum_loss == pytest.approx(losses.min(), abs=1e-12)
    assert certificate.optimal_bitstrings == (losses <= losses.min() + 1e-9).sum()
    found = certify(network, data, loss="mine")
    assert found.method == ("classes" if layers[-1] == 1 else "enumeration")
    np.testing.assert_allclose(found.levels, certificate.levels, atol=1e-12)
    np.testing.assert_array_equal(found.multiplicities, certificate.multiplicities)


def test_a_certificate_that_needs_a_known_loss_is_refused(samples_of):
    network, data = BinaryNetwork((2, 2, 2)), samples_of((2, 2, 2))
    message = (
        "with two outputs they need a loss of the logits' difference, cross_entropy, "
        "squared_error, accuracy, and 'mymodule:hinge' may be another"
    )
    with pytest.raises(UnsuitableError, match=message):
        certify(network, data, loss="mymodule:hinge", method="classes")
    large = samples_of((4, 6, 2))
    with pytest.raises(UnsuitableError, match=r"enumeration does not apply: it has 2\^36"):
        certify(BinaryNetwork((4, 6, 2)), large, loss="mymodule:hinge")


@pytest.mark.parametrize("name", by("loss"))
def test_a_loss_from_the_command_line_and_a_file(name, cli):
    run = ["--layers", "4,2,2", *RUN]
    code, out, err = cli("train", "--generator", "bernoulli", "--loss", name, *run)
    assert code == 0, err
    found = json.loads(out)
    assert found["loss"] == name
    assert found["certificate"]["method"] == "enumeration"
    Path("mine.toml").write_text(f'loss = "{name}"\n')
    assert Config(**read(Path("mine.toml"))).loss == name
    code, again, err = cli("train", "--config", "mine.toml", "--generator", "bernoulli", *run)
    assert code == 0, err
    assert json.loads(again)["certificate"] == found["certificate"]
    code, out, err = cli("train", "--generator", "bernoulli", "--loss", name, *RUN)
    assert code == 0, err
    assert "may be another" in json.loads(out)["no_certificate"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mymodule:too_few", r"gave float64 of shape \(64, \d+\) for logits of shape \(64, \d+, 2"),
        ("mymodule:infinite", r"gave inf for the label \d of the logits \[.*\]; a loss must be a"),
        ("mymodule:MyRisk", "Got the loss 'mymodule:MyRisk', which is the class MyRisk; expected"),
        ("mymodule:gone", "Cannot load 'mymodule:gone'"),
        ("mymodule:__name__", "which is str; expected a function of logits"),
        ("mines", "Unknown loss 'mines'. Did you mean 'mine'"),
    ],
)
def test_what_is_no_loss_is_refused(name, message, samples_of):
    network, data = BinaryNetwork((2, 1, 2)), samples_of((2, 1, 2))
    with pytest.raises(ConfigurationError, match=message):
        network.objective(data, name)(np.repeat(all_bitstrings(4), 4, axis=0))


def test_hyphens_of_a_loss_are_underscores_unless_it_is_registered_with_them():
    assert check_loss("squared-error") == "squared_error"
    assert check_loss("mymodule:hinge") == "mymodule:hinge"


# -- what is wrong with a package ------------------------------------------------------------------


def test_a_name_that_two_packages_have_registered_is_refused(package, monkeypatch):
    other = package.parent / "elsewhere"
    distribution(other, "otherpackage", {"qhyper.risks": {"mine": "qhyper.risk:CVaR"}})
    monkeypatch.syspath_prepend(other)
    message = (
        r"Several packages have registered the risk 'mine': (otherpackage \(qhyper\.risk:CVaR\) "
        r"and mypackage \(mymodule:MyRisk\)|mypackage .* and otherpackage .*)\. Uninstall all but "
        r"one, or give yours another name, or name it as module:Class\."
    )
    with pytest.raises(ConfigurationError, match=message):
        build_risk("mine")
    assert build_risk("mymodule:MyRisk").level == 0


def test_a_package_that_cannot_be_loaded_is_named(package, monkeypatch):
    other = package.parent / "elsewhere"
    distribution(other, "broken", {"qhyper.risks": {"gone": "qhyper.risk:Gone"}})
    monkeypatch.syspath_prepend(other)
    message = r"The risk 'gone' is registered by broken as qhyper\.risk:Gone, which cannot be load"
    with pytest.raises(ConfigurationError, match=message):
        build_risk("gone")


def test_a_generator_and_a_control_of_one_name_are_refused(package, monkeypatch):
    other = package.parent / "elsewhere"
    distribution(other, "otherpackage", {"qhyper.controls": {"bernoulli": "mymodule:MySearch"}})
    monkeypatch.syspath_prepend(other)
    with pytest.raises(ConfigurationError, match="registered as a generator and as a control"):
        is_control("bernoulli")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: build_estimator("mymodule:MySearch", 4),
            r"'mymodule:MySearch' is the class MySearch, which is no estimator: it has no `check` "
            r"and no `cost`\. It seems to be a control\. Expected an estimator",
        ),
        (
            lambda: build_risk("mymodule:MyAnsatz"),
            "is the class MyAnsatz, which is no risk: .* It seems to be an ansatz",
        ),
        (
            lambda: build_generator("mymodule:MySearch", 4),
            "is the class MySearch, which is no generator: it has no `sample`",
        ),
        (
            lambda: build_control("mymodule:MyGenerator", 4),
            r"which is no control: it has no `search`\. It seems to be a generator",
        ),
        (
            lambda: build_estimator("mymodule:hinge", 4),
            r"needs the option `logits`",
        ),
        (
            lambda: build_risk("mymodule:__name__"),
            "'mymodule:__name__' is of type str; expected the class of a risk",
        ),
    ],
)  # fmt: skip
def test_a_thing_of_another_kind_is_refused_with_what_it_is(build, message):
    with pytest.raises(ConfigurationError, match=message):
        build()


@pytest.fixture
def samples_of():
    """Rows of small integers for a network of these layers, so that many sums are 0."""
    from qhyper.data.samples import Samples

    def make(layers):
        rng = np.random.default_rng(0)
        x = rng.integers(-2, 3, (7, layers[0])).astype(float)
        return Samples(x, rng.integers(0, max(layers[-1], 2), 7))

    return make
