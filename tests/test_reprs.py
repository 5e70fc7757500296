"""What Python prints of a thing: one to five lines, what a person wants to know, and no dump."""

import functools
import re

import numpy as np
import pytest
import torch

import qhyper
from qhyper import (
    MMD,
    SPSA,
    Angle,
    BinaryNetwork,
    Brickwork,
    Budget,
    Capabilities,
    Chunked,
    Circuit,
    Config,
    CostTable,
    CVaR,
    Dataset,
    Entry,
    Evaluated,
    Exact,
    Expectation,
    FreeEnergy,
    FromModule,
    Gate,
    HardwareEfficient,
    Images,
    Joined,
    LocalExpectation,
    Mirrored,
    NaturalGradient,
    Objective,
    Ordered,
    PackedNetwork,
    PackedTarget,
    ParameterShift,
    Product,
    QhyperError,
    QuantumHyperNetwork,
    Reuploading,
    Run,
    Samples,
    ScoreFunction,
    StochasticParameterShift,
    Streams,
    Trainer,
    TrainingSettings,
    Tuning,
    Unentangled,
    UnitChain,
    WeightSpace,
    build_backend,
    build_estimator,
    build_generator,
    build_risk,
    certify,
    certify_objective,
    check,
    compare,
    minimise,
    plan,
    registry,
    tabulate,
    to_torch,
    train,
)
from qhyper.quantum.ansatz import build_ansatz
from qhyper.targets.convolutional.target import convolutional
from qhyper.targets.layout import Block, Layout

SEEDS = range(12)
NETWORK = BinaryNetwork((4, 6, 2))
RNG = np.random.default_rng(0)
DATA = Dataset(
    "noise",
    train=Samples(RNG.normal(size=(50, 4)), np.arange(50) % 2),
    test=Samples(RNG.normal(size=(10, 4)), np.arange(10) % 2),
)
MANY = [Entry(name="mlp", label=f"mlp-{width}") for width in range(40)]
OWN_36 = Objective(lambda bits: bits.mean(axis=1), n_bits=36)
OWN = Objective(lambda bits: bits.mean(axis=1), n_bits=8)


class Logits(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.zeros(36))

    def forward(self):
        return self.logits


def bernoulli(n_bits=36, seeds=SEEDS):
    return build_generator("bernoulli", n_bits, seeds=seeds)


def sees(n_qubits, n_inputs):
    ansatz = Reuploading(Brickwork(depth=2), n_inputs=n_inputs)
    return QuantumHyperNetwork(n_qubits, ansatz=ansatz, seeds=SEEDS)


def trainer(steps=3):
    settings = TrainingSettings(evaluations=steps * 64)
    return train(bernoulli(), NETWORK.objective(DATA.train), settings)


def estimate():
    objective = NETWORK.objective(DATA.train)
    rng = Streams(SEEDS)(0)
    return ScoreFunction(shots=8)(bernoulli(), objective, Expectation(), rng=rng)


def images():
    x = RNG.integers(0, 2, (10, 64))
    rows = Samples(x, np.arange(10) % 2)
    return convolutional(Dataset("squares", train=rows, test=rows), image=(1, 8, 8))


def minima():
    circuit = QuantumHyperNetwork(8, ansatz=Product(), seeds=SEEDS, backend="statevector")
    return minimise(circuit, tabulate(OWN), max_iterations=2)


@pytest.fixture(scope="module")
def outcome():
    said = []
    entries = ["bernoulli", "random"]
    return compare(OWN, entries, seeds=SEEDS, evaluations=256, warn=said.append)


def reads_well(thing):
    text = repr(thing)
    assert len(text) <= 400, text
    if not hasattr(thing, "findings"):  # a report of checks is printed in full
        assert len(str(thing)) <= 400, str(thing)
    assert text.count("\n") < 5, text
    for dump in ("0x", "array([", "tensor(", "object at"):
        assert dump not in text, text


THINGS = {
    "a data set": lambda: DATA,
    "samples": lambda: DATA.train,
    "images": lambda: Images(np.zeros((10, 784), np.uint8), np.zeros(10, np.int64)),
    "a layout": lambda: NETWORK.layout,
    "a layout of many blocks": lambda: Layout(tuple(Block(f"{i}.w", (2, 3)) for i in range(99))),
    "a space of weights": lambda: WeightSpace((2, 2, 1), biases=True, optional=("units",)),
    "a layered network": lambda: NETWORK,
    "a packed network": lambda: PackedNetwork.from_bits((20, 3), np.zeros(60, np.uint8)),
    "a packed target": lambda: PackedTarget((784, 128, 10)),
    "a convolutional target": images,
    "a convolutional network": lambda: images().network,
    "a torch module": lambda: to_torch(NETWORK, np.zeros(36, np.uint8)),
    "an objective": lambda: NETWORK.objective(DATA.train),
    "an own objective": lambda: OWN,
    "mini-batches": lambda: NETWORK.objective(DATA.train).mini_batches(8),
    "conditional mini-batches": lambda: NETWORK.batches(DATA.train, size=4, scored_on="own"),
    "a conditional mini-batch": lambda: NETWORK.batches(
        DATA.train, size=4, scored_on="batch"
    ).draw(Streams(SEEDS)(0, "batch")),
    "a table of costs": lambda: tabulate(OWN),
    "a table of given costs": lambda: CostTable(np.zeros(1024)),
    "a certificate": lambda: certify(NETWORK, DATA.train),
    "a certificate without accuracies": lambda: certify_objective(OWN),
    "a circuit": lambda: Brickwork(depth=4).build(36),
    "a circuit that sees inputs": lambda: Reuploading(Brickwork(depth=2), 4).build(4),
    "the affine map of angles": lambda: Brickwork(depth=4).build(36).affine(),
    "a gate": lambda: Gate("rx", (0,), Angle({0: 2.0}, offset=0.1)),
    "a generator in parts": lambda: Joined(
        {"0.weight": bernoulli(24), "1.weight": bernoulli(12)}, layout=NETWORK.layout
    ),
    "a generator in many parts": lambda: Joined([bernoulli(1) for _ in range(40)]),
    "a generator in chunks": lambda: Chunked(sees(6, 3), chunks=6),
    "a generator in another order": lambda: Ordered(bernoulli(), order=list(range(36))[::-1]),
    "a module as a generator": lambda: FromModule(Logits, 36, seeds=SEEDS),
    "a generator that sees inputs": lambda: sees(4, 2),
    "a circuit as a generator": lambda: QuantumHyperNetwork(
        2, ansatz=Circuit(2, (Gate("ry", (0,), 0), Gate("cx", (0, 1))))
    ),
    "what a generator can do": Capabilities,
    "draws": lambda: bernoulli().sample(100, rng=Streams(SEEDS)(0)),
    "many draws of many bits": lambda: bernoulli(5000).sample(9, rng=Streams(SEEDS)(0)),
    "random streams": lambda: Streams(range(1000)),
    "an estimate": estimate,
    "evaluated draws": lambda: Evaluated(
        np.zeros((3, 9, 4), np.uint8), np.ones((3, 9)), np.ones((3, 1))
    ),
    "a trainer": trainer,
    "a record": lambda: trainer().record,
    "minima": minima,
    "settings of a training": lambda: TrainingSettings(evaluations=1000, draws=8),
    "a budget": lambda: Budget(evaluations=3),
    "a configuration": lambda: Config(seeds=list(range(200)), entries=MANY),
    "an entry": lambda: Entry(name="mlp", options={"hidden": 4}),
    "a tuning": Tuning,
    "a plan": lambda: plan(Config(data="toy", evaluations=2000, seeds=[0])),
    "a report of checks": lambda: check(Expectation),
    "an error": lambda: QhyperError("It cannot work."),
    "ansatz with pairs": lambda: HardwareEfficient(pairs=[(q, q + 1) for q in range(99)]),
    "a mirrored ansatz": lambda: Mirrored(Unentangled(Reuploading(Brickwork(), 3))),
    "a chain": lambda: UnitChain(6, 4),
}  # fmt: skip
for backend in ("aer", "mps", "statevector", "trajectories"):
    THINGS[f"the backend {backend}"] = lambda name=backend: build_backend(name)
for thing in (Exact(), LocalExpectation(shots=1), ParameterShift(shots=1), SPSA(shots=1), CVaR(),
             NaturalGradient(shots=4), StochasticParameterShift(shots=1, angles=2), MMD(),
             FreeEnergy(temperature=0.1),
              Brickwork(), Product(), Expectation(), ScoreFunction(shots=2), Angle({0: 1.0}),
              Unentangled(Brickwork()), Reuploading(Brickwork(), 3)):  # fmt: skip
    THINGS[type(thing).__name__] = lambda it=thing: it


@functools.cache
def made(name):
    return THINGS[name]()


@pytest.mark.parametrize("name", THINGS)
def test_what_is_printed_is_short(name):
    reads_well(made(name))


@pytest.mark.parametrize("name", registry.names("generator"))
def test_generators_say_their_sizes_and_what_they_are(name):
    generator = build_generator(name, 36, seeds=range(3), layout=NETWORK.layout)
    reads_well(generator)
    assert f"(36 bits, 3 replicas, {generator.n_parameters:,} parameters each)" in repr(generator)


@pytest.mark.parametrize("name", registry.names("estimator"))
def test_estimators_are_printed_in_a_line(name):
    reads_well(build_estimator(name, 8))


@pytest.mark.parametrize("name", registry.names("risk"))
def test_risks_are_printed_in_a_line(name):
    reads_well(build_risk(name))


@pytest.mark.parametrize("name", registry.names("ansatz"))
def test_ansaetze_are_printed_in_a_line(name):
    reads_well(build_ansatz(name, {}, order=list(range(36)), layout=NETWORK.layout))


def test_an_outcome_and_all_that_it_holds_is_short(outcome):
    parts = [outcome.summary, outcome.spectrum, *outcome.summary.generators, *outcome.results]
    for thing in (outcome, *parts, *(result.curve for result in outcome.results)):
        reads_well(thing)


def test_an_outcome_says_what_was_compared_and_who_did_best(outcome):
    text = repr(outcome)
    assert text.startswith("Comparison of bernoulli, random\n")
    assert "certified minimum 0" in text
    lowest = min(outcome.summary.generators, key=lambda entry: entry.final_loss.median)
    assert f"lowest final loss {lowest.name}, {lowest.final_loss.median:.6g}" in text


def test_a_run_says_where_it_is_and_whether_it_is_complete(tmp_path):
    run = Run.create(tmp_path, "mine", Config(entries=[Entry(name="mlp"), Entry(name="random")]))
    assert repr(run) == f"Run({run.path}, not complete: mlp, random)"


def test_a_certificate_says_its_numbers():
    table = np.ones(1024)
    table[[3, 5]] = 0.25
    assert repr(CostTable(table).certify()) == (
        "Certificate by enumeration: all 1,024 strings of 10 bits, 2 levels of loss\n"
        "  minimum loss 0.25, of 2 bitstrings"
    )


def test_a_certificate_is_a_table_in_a_notebook():
    html = CostTable(np.arange(4.0)).certify()._repr_html_()
    assert "<th style='text-align:left'>optimum</th>" in html
    assert "<code>00</code>" in html
    assert "accuracy" not in html  # there is none


def test_a_trainer_says_how_far_it_is_and_what_it_found():
    lines = repr(trainer(steps=3)).splitlines()
    assert lines[0].startswith("Trainer of Bernoulli, 36 bits, 12 replicas: score-function")
    assert lines[1] == "  step 3 of 3, start 1 of 1"
    assert lines[2].startswith("  spent 192 evaluations")
    assert [line.split()[0] for line in lines[3:]] == ["mean", "best"]


def test_a_data_set_is_a_table_of_its_classes_in_a_notebook():
    html = DATA._repr_html_()
    assert "<th scope='row'>training rows</th><td>25</td><td>25</td>" in html
    assert "<th scope='row'>test rows</th><td>5</td><td>5</td>" in html
    many = Samples(np.zeros((40, 4)), np.arange(40) % 20)
    assert Dataset("many", train=many, test=many)._repr_html_() is None


def test_a_trainer_draws_a_line_a_replica_in_a_notebook():
    html = trainer(steps=3)._repr_html_()
    assert html.startswith("<pre>Trainer of Bernoulli")
    assert html.count("<polyline ") == len(SEEDS)
    assert 'aria-label="Mean loss from step 1 to 3, between' in html
    points = re.findall(r'points="([^"]*)"', html)
    heights = [float(point.split(",")[1]) for line in points for point in line.split()]
    assert (min(heights), max(heights)) == (8, 100)  # of the largest and the smallest loss


def test_a_trainer_that_has_not_begun_draws_nothing():
    begun = Trainer(bernoulli(), OWN_36, TrainingSettings(evaluations=640))
    assert "svg" not in begun._repr_html_()
    reads_well(begun)


def test_settings_say_what_is_not_usual():
    assert repr(Config(layers=[4, 6, 2])) == "Config(layers=[4, 6, 2])"


def test_every_public_class_is_printed_here():
    classes = {name for name in qhyper.__all__ if isinstance(getattr(qhyper, name), type)}
    built = {type(made(name)).__name__ for name in THINGS}
    built |= {"Comparison", "Run"}  # above
    abstract = {"Control", "HyperNetwork"}
    assert classes - built - abstract == set()
