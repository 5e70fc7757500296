"""Numbers at the edges of float64: the right number, or a refusal in words; no warning, no NaN."""

import math
import warnings

import numpy as np
import pytest
import torch

from classical.annealing import SimulatedAnnealing
from classical.straight_through import StraightThroughNetwork
from classical.supervised import fit_classifier
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import build_generator
from qhyper.risk import FreeEnergy
from qhyper.streams import Streams
from qhyper.targets.exact.certificate import certify, certify_objective
from qhyper.targets.exact.table import CostTable
from qhyper.targets.layered.conditional_batches import Batches
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.loss import LOSSES
from qhyper.targets.objective import Objective
from qhyper.training.settings import TrainingSettings
from qhyper.training.trainer import train

SIGNS = np.random.default_rng(0).choice([-1.0, 1.0], (6, 3))
Y = np.array([0, 1, 0, 1, 1, 0])
SPACES = [
    (3, 2),
    (3, 1),
    (3, 3),
    (3, 2, 2),
    (3, 3, 3, 1),
    WeightSpace((3, 2, 2), activation="relu", biases=True),
    WeightSpace((3, 3, 2), activation="relu", optional=("layers",)),
    WeightSpace((3, 2, 1), activation="tanh"),
    WeightSpace((3, 2, 2), values=(-1e80, 1e80), activation="relu"),
]


@pytest.fixture(autouse=True)
def _no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("size", [1e308, 1e200, 1e101])
def test_features_whose_sums_leave_the_range_are_refused(space, size, loss):
    network, data = BinaryNetwork(space), Samples(SIGNS * size, Y)
    bits = np.zeros((1, network.n_bits), np.uint8)
    for ask in (
        lambda: network.objective(data, loss),
        lambda: network.losses(bits, data, loss),
        lambda: network.accuracy(bits, data),
        lambda: certify(network, data, loss=loss),
        lambda: Batches(network, data, size=2, scored_on="own", loss=loss),
    ):
        with pytest.raises(ConfigurationError, match=r"features reach .* Scale the features"):
            ask()


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-30, 1e30, 1e80])
@pytest.mark.parametrize("layers", [(3, 2, 2), (3, 3, 1), (3, 2, 2, 3)])
def test_networks_of_signs_ignore_the_scale_of_their_inputs(layers, size):
    network = BinaryNetwork(layers)
    bits = np.random.default_rng(1).integers(0, 2, (50, network.n_bits))
    for loss in LOSSES:
        found = network.objective(Samples(SIGNS * size, Y), loss)(bits)
        np.testing.assert_allclose(
            found, network.objective(Samples(SIGNS, Y), loss)(bits), atol=1e-12
        )
        np.testing.assert_allclose(
            found, network.losses(bits, Samples(SIGNS * size, Y), loss), atol=1e-12
        )


@pytest.mark.parametrize("layers", [(3, 2), (3, 1), (3, 3)])
def test_large_logits_have_large_losses(layers):
    network, data = BinaryNetwork(layers), Samples(SIGNS * 1e60, Y)
    bits = np.random.default_rng(1).integers(0, 2, (50, network.n_bits))
    found = network.objective(data)(bits)
    assert 1e59 < found.max() < 1e62
    np.testing.assert_allclose(found, network.losses(bits, data), rtol=1e-12)


@pytest.mark.parametrize("size", [1e300, 1e13, 1e-40])
def test_features_beyond_float32_are_refused_where_training_is_in_it(size):
    network = StraightThroughNetwork((3, 4, 2))
    with pytest.raises(ConfigurationError, match=r"reach .* in torch.float32 expects .* Scale"):
        fit_classifier(network, Samples(SIGNS * size, Y), epochs=1, batch=3, learning_rate=0.1)
    wide = StraightThroughNetwork((3, 4, 2), dtype=torch.float64)
    if size < 1e100:
        fit_classifier(wide, Samples(SIGNS * size, Y), epochs=1, batch=3, learning_rate=0.1)


# -- temperatures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [5e-324, 1e-310, 1e-305])
def test_log_z_at_temperatures_near_zero(temperature):
    # of losses 0, 1, ..., 3 only the lowest counts, which one string has
    found = certify_objective(Objective(lambda bits: bits.sum(axis=1), 3))
    assert found.log_Z_at(temperature) == 0.0
    shifted = certify_objective(Objective(lambda bits: bits.sum(axis=1) + 1e4, 3))
    with pytest.raises(ConfigurationError, match=r"beyond float64, with a minimum loss of 10000"):
        shifted.log_Z_at(temperature)


@pytest.mark.parametrize("temperature", [0.05, 1.0, 1e-3])
def test_log_z_is_that_of_the_sum(temperature):
    losses = np.random.default_rng(2).normal(size=64)
    expected = np.logaddexp.reduce(-losses / temperature)
    found = CostTable(losses).certify(temperature=temperature)
    assert found.log_Z == pytest.approx(expected, rel=1e-12)


BAD_TEMPERATURES = [0, -1.0, math.nan, math.inf, 1e101, 1e308, 10**400, "warm", None, 1j, [0.1]]


@pytest.mark.parametrize("temperature", BAD_TEMPERATURES, ids=lambda t: repr(t)[:9])
def test_temperatures_that_are_none_are_refused(temperature):
    objective = Objective(lambda bits: bits.sum(axis=1), 3)
    with pytest.raises(ConfigurationError, match=r"a positive number below 1e\+100; got"):
        certify_objective(objective, temperature=temperature)
    with pytest.raises(ConfigurationError, match=r"a positive number below 1e\+100; got"):
        certify(BinaryNetwork((3, 2)), Samples(SIGNS, Y), temperature=temperature)
    if temperature != 0:
        with pytest.raises(ConfigurationError, match=r"of 0 or more, below 1e\+100; got"):
            FreeEnergy(temperature=temperature)
    with pytest.raises(ConfigurationError, match="Annealing cools from t_start to t_end"):
        SimulatedAnnealing(3, t_start=temperature, t_end=temperature)


def test_the_free_energy_near_zero_temperature():
    with pytest.raises(ConfigurationError, match="KL at the temperature 1e-310 is no finite"):
        FreeEnergy(1e-310).kl(0.3, 1.0)
    assert FreeEnergy(1e-310).kl(0.0, 1.0) == 1.0
    assert FreeEnergy(np.float32(0.5)).kl(1.0, 1.0) == 3.0
    assert FreeEnergy(1.0, 1e-310).at(0.5).temperature == pytest.approx(1e-155)


@pytest.mark.parametrize("ends", [(1.0, 1e-310), (1e-300, 5e-324), (9e99, 1e-300)])
def test_annealing_between_extreme_temperatures(ends):
    search = SimulatedAnnealing(6, t_start=ends[0], t_end=ends[1])
    objective = Objective(lambda bits: bits.sum(axis=1), 6)
    *_, last = search.search(objective, evaluations=300, rng=Streams([0])(0))
    assert np.isfinite(last.losses).all()
    if ends[0] <= 1:  # it ends cold, where no rise is accepted, and every bit is tried
        assert last.current == 0


# -- losses and learning rates --------------------------------------------------------------------


@pytest.mark.parametrize("value", [1e308, -1e200, 1e100, math.inf, math.nan])
def test_losses_that_are_too_large_are_refused(value):
    objective = Objective(lambda bits: np.where(bits[:, 0] == 1, value, 0.0), 2, name="mine")
    with pytest.raises(ConfigurationError, match="for bitstring 1 of the batch; a loss must be a"):
        objective([[0, 0], [1, 0]])
    assert objective.evaluations == 0
    with pytest.raises(ConfigurationError, match=r"bitstring 1 is .*must be a finite"):
        CostTable([0.0, value])


@pytest.mark.parametrize("risk", ["expectation", "cvar", "free-energy", "mmd"])
@pytest.mark.parametrize("value", [9e99, 1e-310, 5e-324])
def test_losses_of_extreme_size_train(value, risk):
    objective = Objective(lambda bits: np.where(bits[:, 0] == 1, value, -value), 3)
    trained = train(
        build_generator("bernoulli", 3), objective, TrainingSettings(evaluations=2000, risk=risk)
    )
    assert trained.record.best_loss == -value if value > 1e-9 else True
    trained.generator.check_parameters()


@pytest.mark.parametrize("optimizer", ["Adam", "SGD"])
@pytest.mark.parametrize("name", ["bernoulli", "mlp", "autoregressive", "product", "chunked"])
@pytest.mark.parametrize("learning_rate", [5e-324, 1e-300, 1e150, 1e308])
def test_learning_rates_of_extreme_size(name, learning_rate, optimizer):
    objective = Objective(lambda bits: bits.sum(axis=1), 4)
    generator = build_generator(name, 4)
    chosen = TrainingSettings(
        evaluations=640, learning_rate=learning_rate, optimizer=optimizer, schedule="constant"
    )
    if learning_rate < 1:
        before = [p.detach().clone() for p in generator.parameters()]
        train(generator, objective, chosen)
        for old, new in zip(before, generator.parameters(), strict=True):
            torch.testing.assert_close(old, new.detach(), rtol=0, atol=1e-12)
    else:
        with pytest.raises(ConfigurationError, match=r"expected finite numbers .*lower"):
            train(generator, objective, chosen)


@pytest.mark.parametrize("shots", [0, -1, 2.5, math.nan, "3", None, True, np.float64(3)])
def test_shots_that_are_no_whole_number_are_refused(shots):
    with pytest.raises(ConfigurationError, match="shots must be at least 1; got "):
        build_generator("bernoulli", 3).sample(shots, rng=Streams([0])(0))
    with pytest.raises(ConfigurationError, match="at least 1 bit"):
        Objective(lambda bits: bits.sum(axis=1), shots)
    with pytest.raises(ConfigurationError, match="at least 1 bin"):
        CostTable([0.0, 1.0]).certify().histogram(shots)


@pytest.mark.parametrize("values", [(1e100, 1), (math.nan, 1), (10**400, 0), (1j, 1), "ab"])
def test_values_of_weights_that_are_no_numbers_are_refused(values):
    with pytest.raises(ConfigurationError, match=r"Got values=.*expected the two numbers"):
        WeightSpace((2, 2), values=values)


@pytest.mark.parametrize("value", [2.0**40, 2.0**53, 2.0**70, 1e60])
def test_large_values_of_weights_are_not_cut(value):
    network = BinaryNetwork(WeightSpace((1, 1), values=(-value, value)))
    assert network.logits([[0], [1]], [[1.0]]).ravel().tolist() == [-value, value]
