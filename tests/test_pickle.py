"""What users make can be sent to other processes: it goes through pickle, and answers the same."""

import multiprocessing
import pickle
from functools import partial
from importlib.metadata import entry_points

import numpy as np
import pytest
import torch

from classical.bernoulli import Bernoulli
from classical.conditional import ConditionalBernoulli
from qhyper.bits import all_bitstrings
from qhyper.compose.chunked import Chunked
from qhyper.compose.joined import Joined
from qhyper.compose.ordered import Ordered
from qhyper.data.images import Images
from qhyper.data.samples import Dataset, Samples
from qhyper.gradients.estimator import build_estimator
from qhyper.hypernetwork import build_generator
from qhyper.quantum.ansatz import Brickwork
from qhyper.quantum.backends import build_backend
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.registry import build
from qhyper.risk import build_risk
from qhyper.run.comparison import compare
from qhyper.run.config import Config
from qhyper.streams import Streams
from qhyper.targets.exact.certificate import certify, certify_objective
from qhyper.targets.exact.table import CostTable, tabulate
from qhyper.targets.layered.conditional_batches import Batches
from qhyper.targets.layered.export import to_torch
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.loss import LOSSES
from qhyper.targets.objective import Objective
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.target import PackedTarget
from qhyper.training.search import build_control
from qhyper.training.settings import TrainingSettings
from qhyper.training.trainer import Trainer

SEEDS = (1, 2)
NET = BinaryNetwork((2, 2, 2))
RNG = np.random.default_rng(0)
DATA = Samples(RNG.choice([-1.0, 1.0], (30, 2)), np.arange(30) % 2)
SPACES = [WeightSpace((2, 3)), WeightSpace((2, 3, 1), biases=True, activation="relu")]
NAMES = {
    kind: sorted({point.name for point in entry_points(group=f"qhyper.{kind}s")})
    for kind in ("generator", "control", "estimator", "risk", "target")
}
BACKENDS = ["mps", "statevector", "pennylane:lightning.qubit", "aer:statevector", "trajectories"]


def sent(thing):
    return pickle.loads(pickle.dumps(thing))


def ones(bits):
    return bits.sum(axis=1)


def objectives():
    """One of every registered target, and of every loss and kernel."""
    given = {
        "callable": {"function": ones, "bits": 6},
        "layered": {"layers": (2, 2, 2)},
        "packed": {"layers": (2, 2, 2)},
        "convolutional": {"image": (1, 1, 2), "channels": (2,), "kernel": 1},
    }
    dataset = Dataset("mine", DATA, DATA)
    for name in NAMES["target"]:
        if name in given:
            target = build("target", name, options=given[name], offered={"dataset": dataset})
            yield name, target.objective(None if name == "callable" else DATA)
    for loss in LOSSES:
        yield loss, NET.objective(DATA, loss)
    for space in SPACES:
        yield str(space), BinaryNetwork(space).objective(DATA)
    yield "table", tabulate(Objective(ones, 6))
    yield "costs", CostTable(np.arange(8.0), name="mine")


OBJECTIVES = dict(objectives())


def test_every_registered_target_has_an_objective_here():
    assert set(NAMES["target"]) - set(OBJECTIVES) <= {"table"}  # which is the file of a CostTable


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_objectives_answer_the_same(objective, used):
    bits = RNG.integers(0, 2, (20, objective.n_bits), dtype=np.uint8)
    if used:  # with whatever they have kept
        objective(bits)
        if objective.capabilities.accuracy:
            objective.accuracy(bits, Samples(DATA.x[:5], DATA.y[:5]))
    again = sent(objective)
    assert again.evaluations == objective.evaluations
    np.testing.assert_array_equal(again(bits), objective(bits))
    for one, other in zip(again.flips(bits), objective.flips(bits), strict=True):
        np.testing.assert_array_equal(one, other)
    if objective.capabilities.mini_batches:
        batch = objective.mini_batches(4).draw(Streams(SEEDS)(0))
        draws = np.broadcast_to(bits, (2, 1, *bits.shape))
        np.testing.assert_array_equal(sent(batch)(draws), batch(draws))


def test_objectives_go_to_processes_that_are_spawned():
    bits = np.array([[0] * 6, [1] * 6])
    own, table = Objective(partial(np.sum, axis=1), 6), OBJECTIVES["table"]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for objective in (own, table):
            np.testing.assert_array_equal(pool.apply(objective, (bits,)), [0, 6])


@pytest.mark.parametrize("scored_on", ["own", "batch"])
def test_batches_of_inputs_answer_the_same(scored_on):
    batch = Batches(NET, DATA, size=4, scored_on=scored_on).draw(Streams(SEEDS)(0))
    draws = RNG.integers(0, 2, (2, 4, 3, NET.n_bits), dtype=np.uint8)
    batch(draws)
    np.testing.assert_array_equal(sent(batch)(draws), batch(draws))


def generators():
    """Every registered one, composed ones, and circuits on every kind of backend."""
    options = {"tied-bernoulli": {"image": (1, 2), "basis": (1, 2)}}
    for name in NAMES["generator"]:
        yield (
            name,
            lambda n=name: build_generator(
                n, NET.n_bits, seeds=SEEDS, layout=NET.layout, options=options.get(n)
            ),
        )
    yield "composed", lambda: Ordered(
        Joined([
            Chunked(ConditionalBernoulli(2, n_inputs=3, seeds=SEEDS), 3),
            Bernoulli(2, seeds=SEEDS),
        ]),
        [3, 1, 0, 2, 7, 5, 6, 4],
    )  # fmt: skip
    for name in BACKENDS:
        yield (
            name,
            lambda n=name: QuantumHyperNetwork(
                NET.n_bits, ansatz=Brickwork(depth=2), backend=n, seeds=SEEDS
            ),
        )


GENERATORS = dict(generators())


@pytest.mark.parametrize("make", GENERATORS.values(), ids=GENERATORS)
def test_generators_draw_the_same(make):
    generator = make()
    drawn = generator.sample(5, rng=Streams(SEEDS)(0)).bits
    if generator.capabilities.log_prob:  # with whatever it has kept
        generator.log_prob(drawn)
    again = sent(generator)
    np.testing.assert_array_equal(again.sample(5, rng=Streams(SEEDS)(0)).bits, drawn)
    if generator.capabilities.log_prob:
        assert torch.equal(again.log_prob(drawn), generator.log_prob(drawn))


@pytest.mark.parametrize("name", BACKENDS)
def test_circuits_at_angles_draw_the_same(name):
    circuit = Brickwork(2).build(4)
    angles = RNG.normal(size=(2, 1, circuit.n_angles))
    at = build_backend(name).compile(circuit).at(angles)
    drawn = at.sample(5, Streams(SEEDS)(0))
    np.testing.assert_array_equal(sent(at).sample(5, Streams(SEEDS)(0)), drawn)


def test_certificates_say_the_same():
    for found in (certify(NET, DATA), certify_objective(Objective(ones, 6))):
        assert sent(found).to_dict() == found.to_dict()
        np.testing.assert_array_equal(sent(found).multiplicities, found.multiplicities)


@pytest.mark.parametrize("schedule", ["CosineAnnealingLR", "linear", "constant"])
def test_trainers_go_on_the_same(schedule):
    chosen = TrainingSettings(evaluations=640, schedule=schedule)
    trainer = Trainer(build_generator("bernoulli", 6), Objective(ones, 6), chosen)
    trainer.advance()
    again = sent(trainer)
    for each in (trainer, again):
        each.run()
    assert torch.equal(again.generator.logits, trainer.generator.logits)
    assert again.record.best_loss == trainer.record.best_loss


def others():
    """Whatever else a user has in hand."""
    yield from (build_control(name, 6) for name in NAMES["control"])
    yield from (build_estimator(name, 8) for name in NAMES["estimator"])
    yield from (build_risk(name) for name in NAMES["risk"])
    packed = PackedNetwork.from_bits((2, 2, 2), np.zeros(8, int))
    yield from (packed, packed.pack(all_bitstrings(2)), packed.to_torch())
    yield from (PackedTarget((2, 2, 2)), NET, NET.layout, to_torch(NET, np.zeros(8, int)))
    yield from (DATA, Dataset("mine", DATA, DATA), Images(np.zeros((2, 3), np.uint8), [0, 1]))
    yield from (Config(), TrainingSettings(), Streams(SEEDS), Brickwork(depth=2).build(4))
    yield from (build_backend(name) for name in BACKENDS)
    yield compare(Objective(ones, 6), ["bernoulli", "random"], seeds=SEEDS, evaluations=640)


def test_everything_else_comes_back_as_what_it_was():
    for thing in others():
        again = sent(thing)
        assert type(again) is type(thing)
        assert vars(again).keys() == vars(thing).keys() if hasattr(thing, "__dict__") else True
