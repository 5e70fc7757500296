"""Any generator on any target by any estimator: it trains as announced, or is refused unspent.

What is registered is found by its name, so that whatever is added has to be made to fit here, or
named in the tables below.
"""

import importlib
import sys
from functools import cache

import numpy as np
import pytest
import torch

from qhyper import registry
from qhyper.data.samples import Dataset, Samples
from qhyper.errors import ConfigurationError
from qhyper.gradients.estimator import build_estimator
from qhyper.hypernetwork import HyperNetwork, build_generator
from qhyper.risk import Expectation
from qhyper.streams import Streams
from qhyper.training.settings import TrainingSettings
from qhyper.training.trainer import Trainer

SEEDS = (11, 12)
STEPS, DRAWS, ROWS, BATCH = 2, 3, 24, 7

USERS = '''
"""Somebody's own: a loss, and a target with an objective that is no subclass of ours."""

import numpy as np

from qhyper.targets.layout import Block, Layout
from qhyper.targets.target import ObjectiveCapabilities


def loss(bits):
    return (bits * np.arange(1, bits.shape[1] + 1)).sum(axis=1) % 5


class Scored:
    name, loss, layout, capabilities = "own", "own", None, ObjectiveCapabilities()
    usual_training, usual_budget = {}, {"evaluations": 100}

    def __init__(self, layout, data):
        self.layout, self.n_bits, self.n_rows = layout, layout.n_bits, len(data.y)
        self.subject, self.evaluations, self.rows = "own network", 0, 0
        self._x, self._y = data.x, data.y

    def describe(self, bits):
        return ""

    def __call__(self, bits):
        bits = np.asarray(bits)
        self.evaluations += bits[..., 0].size
        self.rows += bits[..., 0].size * self.n_rows
        weights = 2.0 * bits.reshape(*bits.shape[:-1], -1, 4) - 1
        hidden = np.sign(self._x @ weights[..., :2].swapaxes(-1, -2) + 0.5)
        return (np.tanh((hidden * weights[..., None, :, 2]).sum(-1)) != self._y).mean(-1)


class Own:
    """Units of two inputs, an output and a bias each."""

    def __init__(self, dataset, *, units: int = 3):
        shapes = {"in": (units, 2), "out": (units, 2)}
        self.layout = Layout(tuple(Block(name, shape) for name, shape in shapes.items()))
        self.n_bits = self.layout.n_bits

    def objective(self, data, loss="cross_entropy"):
        return Scored(self.layout, data)
'''

TARGETS = {
    "layered": ("layered", {"layers": [2, 3, 2]}),
    "layered with choices": (
        "layered",
        {"layers": [2, 2, 1], "biases": True, "activation": ["sign", "tanh"], "optional": "units"},
    ),
    "packed": ("packed", {"layers": [2, 3, 2]}),
    "packed, two hidden layers": ("packed", {"layers": [2, 2, 2, 2]}),
    "convolutional": (
        "convolutional",
        {"image": [1, 1, 2], "channels": [1], "kernel": 1, "pool": 1},
    ),
    "callable": ("callable", {"function": "pairs_users:loss", "bits": 8}),
    "table": ("table", {"path": "table.npy"}),
    "own": ("pairs_users:Own", {"units": 2}),
}
IN_BATCHES = (
    "layered", "layered with choices", "packed", "packed, two hidden layers", "convolutional"
)  # fmt: skip

GENERATORS = {
    **{name: (name, {}) for name in registry.names("generator")},
    "static-entangled": ("static-entangled", {"chunk": 1}),  # nothing larger cuts these
    "tied-bernoulli": ("tied-bernoulli", {"image": [1, 2], "basis": [1, 2]}),
    "free tied-bernoulli": ("tied-bernoulli", {"basis": None}),
    "mlp": ("mlp", {"hidden": 3, "latent_bits": 2}),
    "chunked bernoulli": (
        "chunked",
        {"generator": "classical.conditional:ConditionalBernoulli", "hidden": 2, "order": "split"},
    ),
    "joined of others": (
        "joined",
        {
            "parts": {
                "0.weight": {"generator": "autoregressive", "hidden": 2},
                "1.weight": {"generator": "quantum", "depth": 1},
            },
            "rest": "product",
        },
    ),
}
ESTIMATORS = {
    **{name: {} for name in registry.names("estimator")},
    "stochastic-parameter-shift": {"angles": 2},
    "natural-gradient": {"damping": 0.1},
}


@pytest.fixture(scope="module", autouse=True)
def users(tmp_path_factory):
    """The user's module and table, where they are found by their names."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "pairs_users.py").write_text(USERS)
    np.save(folder / "table.npy", np.random.default_rng(4).normal(size=2**7))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        importlib.invalidate_caches()
        yield
    sys.modules.pop("pairs_users", None)
    target_of.cache_clear()


@cache
def dataset():
    rng = np.random.default_rng(2)
    samples = Samples(rng.choice((-1.0, 1.0), (ROWS, 2)), rng.integers(0, 2, ROWS))
    return Dataset("pairs", samples, samples)


@cache
def target_of(name):
    registered, options = TARGETS[name]
    return registry.build("target", registered, options=options, offered={"dataset": dataset()})


def objective_of(name):
    return target_of(name).objective(dataset().train)


def generator_of(name, objective):
    registered, options = GENERATORS[name]
    return build_generator(
        registered, objective.n_bits, seeds=SEEDS, layout=objective.layout, options=options
    )


def estimator_of(name):
    return build_estimator(name, DRAWS, ESTIMATORS[name])


# -- what is to be refused, and how ----------------------------------------------------------------


def no_generator(name, layout):
    """Why there is no such generator for a target of this layout, from the layout alone; or None.

    Each of these says what would be possible.
    """
    blocks = layout.bits
    matrices = [block for block in layout.blocks if len(block.layers) == 2]
    if "tied-bernoulli" in name and layout.blocks[0] not in matrices:
        return "needs the layout of a target that begins with a weight matrix; got .* Use Bernoulli"
    if "static" in name and layout.blocks[0] not in matrices:
        return "Patches are of the weights of a first layer; got .* Use runs of the bits"
    if name == "categorical" and len(matrices) != 2:
        return "for one hidden layer, where every bit belongs .* Use Bernoulli or Autoregressive"
    if name == "categorical" and len(blocks) > 2:
        return "targets where every bit belongs to one hidden unit; .* Use Bernoulli or Autoregre"
    if name == "joined of others" and "0.weight" not in blocks:
        return f"Unknown block of bits '0.weight'.*{next(iter(blocks))}"
    return None


def no_gradient(estimator, generator, objective, batch):
    """Why the estimator cannot work, from what the others declare; None if it has to."""
    able = generator.capabilities
    if estimator == "control-variate" and generator.n_bits > 16:
        return "needs all 2.* probabilities and their derivatives, of up to 16 bits, and"
    if estimator in ("score-function", "natural-gradient", "stein") and not able.log_prob:
        return "needs log p, and .* has none.* use an estimator that needs samples alone"
    if "parameter-shift" in estimator and not able.angles:
        return "shifts the angles of a circuit, and .* has none. Use score-function"
    if estimator == "exact" and batch:
        return "every mini-batch is another objective. Use an estimator that draws"
    if estimator == "local-expectation":
        if not generator.has_marginals:
            return "needs the exact probability of each bit, and .* does not give it. Use score-f"
        if not objective.capabilities.flips:
            return "the objective does not give them. Wrap a function .* or use score-function"
    if estimator == "block-expectation" and generator.independent_blocks is None:
        return "needs blocks of bits that are independent of each other, with exact .* Use score-f"
    return None


# -- the contract ----------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize(
    ("target", "batch"), [*((t, None) for t in TARGETS), *((t, BATCH) for t in IN_BATCHES)]
)
def test_a_triple_trains_as_announced_or_is_refused_unspent(
    generator, target, batch, estimator, monkeypatch
):
    objective = objective_of(target)
    reason = no_generator(generator, objective.layout)
    if reason:
        with pytest.raises(ConfigurationError, match=reason):
            generator_of(generator, objective)
        return
    made = generator_of(generator, objective)
    reason = no_gradient(estimator, made, objective, batch)
    if reason:
        with pytest.raises(ConfigurationError, match=reason):
            Trainer(made, objective, settings_of(estimator, batch, 100))
        assert (objective.evaluations, objective.rows) == (0, 0)
        return
    before = parameters_of(made)
    monkeypatch.setattr("qhyper.threads.n_threads", lambda: 1)
    one = trained(made, objective, estimator, batch)
    is_as_announced(one, objective, estimator, batch)
    assert any((a != b).any() for a, b in zip(parameters_of(made), before, strict=True))

    # the same seeds train the same again, with any number of threads
    monkeypatch.setattr("qhyper.threads.n_threads", lambda: 2)
    objective = objective_of(target)
    again = trained(generator_of(generator, objective), objective, estimator, batch)
    for a, b in zip(parameters_of(again.generator), parameters_of(made), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(again.record.best_bits, one.record.best_bits)
    np.testing.assert_array_equal(again.record.best_loss, one.record.best_loss)


def parameters_of(generator):
    return [p.detach().numpy().copy() for p in generator.parameters()]


def settings_of(estimator, batch, circuits, **limits):
    return TrainingSettings(
        draws=DRAWS, estimator=estimator, estimator_options=ESTIMATORS[estimator], batch=batch,
        circuits=circuits, **limits,
    )  # fmt: skip


def trained(generator, objective, estimator, batch):
    """The trainer at the end of STEPS steps, by a budget of as many circuits."""
    circuits = estimator_of(estimator).cost(generator, Expectation(), objective=objective).circuits
    trainer = Trainer(generator, objective, settings_of(estimator, batch, STEPS * circuits))
    assert (objective.evaluations, objective.rows) == (0, 0)
    trainer.run()
    return trainer


def is_as_announced(trainer, objective, estimator, batch):
    generator, replicas = trainer.generator, len(SEEDS)
    assert isinstance(generator, HyperNetwork)
    used, n_rows = estimator_of(estimator), batch or objective.n_rows
    cost = used.cost(generator, Expectation(), objective=objective).on_rows(n_rows)
    once = used.cost_once(generator).on_rows(n_rows)

    # spent as announced, and counted as spent: what comes once is for all replicas together
    assert trainer.total_steps == trainer.step == STEPS
    assert trainer.cost == cost
    for name in ("evaluations", "shots", "circuits", "rows"):
        of_steps = STEPS * getattr(cost, name)
        assert getattr(trainer.spent, name) == of_steps + getattr(once, name)
    assert objective.evaluations == replicas * STEPS * cost.evaluations + once.evaluations
    assert objective.rows == replicas * STEPS * cost.rows + once.rows
    assert objective.evaluations > 0

    # draws and records
    bits = generator.sample(4, rng=Streams(SEEDS)(9)).bits
    assert (bits.shape, bits.dtype) == ((replicas, 1, 4, objective.n_bits), np.uint8)
    losses = objective(bits)
    assert (losses.shape, losses.dtype) == ((replicas, 1, 4), np.float64)
    assert all(torch.isfinite(p).all() for p in generator.parameters())
    record = trainer.record
    assert (record.best_bits.shape, record.best_loss.shape) == (
        (replicas, objective.n_bits),
        (replicas,),
    )
    if batch or estimator == "exact":  # which see no losses that compare, or draw nothing
        assert np.isinf(record.best_loss).all()
    else:
        np.testing.assert_allclose(record.best_loss, objective(record.best_bits), atol=1e-12)
    (point,) = trainer.curve[-1:]
    assert (point["rows"], len(point["mean_loss"])) == (trainer.spent.rows, replicas)


def test_everything_that_is_registered_is_here():
    assert {name for name, _ in TARGETS.values()} >= set(registry.names("target"))
    assert {name for name, _ in GENERATORS.values()} == set(registry.names("generator"))
    assert set(ESTIMATORS) == set(registry.names("estimator"))
    assert any(":" in name for name, _ in TARGETS.values())
    able = [name for name in TARGETS if objective_of(name).capabilities.mini_batches]
    assert able == list(IN_BATCHES)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_is_what_its_objective_says(name):
    target, objective = target_of(name), objective_of(name)
    assert target.n_bits == target.layout.n_bits == objective.n_bits <= 12
    assert objective.layout == target.layout


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_budget_that_is_less_than_one_step_is_refused_unspent(target, estimator):
    objective = objective_of(target)
    generator = generator_of("product", objective)
    if no_gradient(estimator, generator, objective, None):
        return
    used = estimator_of(estimator)
    cost = used.cost(generator, Expectation(), objective=objective).on_rows(objective.n_rows)
    once = used.cost_once(generator).on_rows(objective.n_rows)
    for name in ("evaluations", "rows"):
        least = getattr(cost, name) + getattr(once, name)
        assert least > 1
        settings = settings_of(estimator, None, 10**6, **{name: least - 1})
        reason = f"bitstrings once, which are .* {name}" if once.evaluations else " has 0 steps of "
        with pytest.raises(ConfigurationError, match=f"{reason}.* Raise"):
            Trainer(generator, objective, settings)
    assert (objective.evaluations, objective.rows) == (0, 0)


@pytest.mark.parametrize("target", TARGETS)
def test_a_mini_batch_of_more_rows_than_there_are_is_refused(target):
    objective = objective_of(target)
    settings = TrainingSettings(draws=DRAWS, circuits=5, batch=ROWS + 1)
    reason = {
        True: "Got mini-batches of 25 rows from 24 rows of data; .* Choose a smaller `batch`, or",
        False: "no mini-batches|which has no rows",
    }[objective.capabilities.mini_batches]
    with pytest.raises(ConfigurationError, match=reason):
        Trainer(generator_of("bernoulli", objective), objective, settings)
    assert (objective.evaluations, objective.rows) == (0, 0)
