"""What every registered generator must do on every torch device: the same as on the CPU.

On the CPU, circuits run by the torch simulator, whose code is that of a GPU. Draws are equal bit
for bit: a bit could differ only if its uniform number stood within rounding of its probability,
which does not happen with the seeds here.
"""

from importlib.metadata import entry_points

import numpy as np
import pytest
import torch

from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import build_generator
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.quantum.simulators.mps_torch import MatrixProductOn
from qhyper.run.config import TrainingSettings
from qhyper.streams import Streams
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.layout import Block, Layout
from qhyper.targets.objective import Objective
from qhyper.training.trainer import train

SPACE = WeightSpace((2, 2, 2))
LAYOUT = Layout((Block("0.weight", (2, 2), (0, 1)), Block("1.weight", (2, 2), (1, 2))))
N = SPACE.n_bits
SEEDS = (11, 12, 13)
OPTIONS = {key: {"backend": "mps"} for key in ("static-product", "static-entangled")}
"""The simulator that they choose runs on the CPU alone."""


@pytest.fixture(params=sorted({point.name for point in entry_points(group="qhyper.generators")}))
def name(request):
    return request.param


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request):
    return request.param


@pytest.fixture
def pair(name, device):
    """The generator as it is on the CPU and on the device, with the same random parameters."""
    on_cpu = build_generator(name, N, seeds=SEEDS, layout=LAYOUT, options=OPTIONS.get(name))
    there = build_generator(
        name, N, seeds=SEEDS, layout=LAYOUT, options=OPTIONS.get(name), device=device
    )
    for part in circuits_of(there) if device == "cpu" else ():
        part._executable = MatrixProductOn(part.circuit, "cpu", rows=len(SEEDS))
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for parameter in on_cpu.parameters():
            parameter += torch.from_numpy(rng.normal(0, 0.7, parameter.shape))
    there.load_state_dict(on_cpu.state_dict())
    return on_cpu, there


def circuits_of(generator):
    """The circuits that it is, or is made of."""
    return [part for part in generator.modules() if isinstance(part, QuantumHyperNetwork)]


def draw(generator, shots=200):
    return generator.sample(shots, rng=Streams(SEEDS)(0)).bits


def assert_close(tensors, expected):
    for one, other in zip(tensors, expected, strict=True):
        torch.testing.assert_close(one.cpu(), other.cpu(), rtol=0, atol=1e-8)


def test_parameters_and_buffers_are_on_the_device_in_double_precision(pair, device):
    on_cpu, there = pair
    assert there.n_parameters == on_cpu.n_parameters
    for tensor in (*there.parameters(), *there.buffers()):
        assert tensor.device.type == device
        assert tensor.dtype == torch.float64


def test_circuits_run_where_their_parameters_are(pair, device):
    _, there = pair
    for part in circuits_of(there):
        assert isinstance(part._executable, MatrixProductOn)
        assert part._executable.device.type == device


def test_draws_are_the_same(pair):
    on_cpu, there = pair
    np.testing.assert_array_equal(draw(there), draw(on_cpu))


def test_log_p_and_probabilities_are_the_same_and_stay_on_the_device(pair, device):
    on_cpu, there = pair
    bits = draw(on_cpu)
    log_p, p = there.log_prob(bits), there.probabilities()
    assert log_p.device.type == p.device.type == device
    assert log_p.dtype == p.dtype == torch.float64
    assert_close([log_p, p], [on_cpu.log_prob(bits), on_cpu.probabilities()])


def test_gradients_are_the_same(pair):
    bits = draw(pair[0])
    coefficients = np.random.default_rng(1).normal(size=bits.shape[:3])
    gradients = []
    for generator in pair:
        generator.accumulate_scores(bits, coefficients)
        gradients.append([p.grad.clone() for p in generator.parameters()])
        generator.zero_grad()
        generator.log_prob(bits).sum().backward()
        gradients[-1] += [p.grad for p in generator.parameters()]
    assert_close(gradients[1], gradients[0])


def test_scores_of_every_draw_are_the_same(pair):
    on_cpu, there = pair
    bits = draw(on_cpu, 20)
    np.testing.assert_allclose(there.scores(bits), on_cpu.scores(bits), rtol=0, atol=1e-8)


def test_expectations_are_the_same(pair, device):
    on_cpu, there = pair
    costs = torch.from_numpy(np.random.default_rng(2).normal(size=(3, 1, 2**N)))
    assert_close([there.expectation(costs.to(device))], [on_cpu.expectation(costs)])


def test_starts_are_the_same(pair):
    for generator in pair:
        generator.initialise(restart=2)
    assert_close(pair[1].parameters(), pair[0].parameters())


def test_training_is_the_same(pair):
    # Plain steps: Adam would divide gradients that are zero up to rounding by their size.
    table = np.random.default_rng(3).normal(size=2**N)
    settings = TrainingSettings(draws=32, evaluations=64, optimizer="SGD", learning_rate=0.1)
    before = pair[0].state_dict()
    before = {key: value.clone() for key, value in before.items()}
    for generator in pair:
        objective = Objective(lambda bits: table[bits @ (1 << np.arange(N))], N)
        train(generator, objective, settings)
    after = pair[0].state_dict()
    assert any((after[key] != value).any() for key, value in before.items())
    assert_close(pair[1].parameters(), pair[0].parameters())


def test_every_tensor_is_made_on_the_device(pair):
    # A tensor made without `device` would be on the default device, and could not be used here.
    on_cpu, there = pair
    bits, strings = draw(on_cpu), all_bitstrings(N)[None, None]
    coefficients = np.ones(bits.shape[:3])
    expected = on_cpu.log_prob(strings)
    on_cpu.accumulate_scores(bits, coefficients)
    with torch.device("meta"):
        np.testing.assert_array_equal(draw(there), bits)
        log_p = there.log_prob(strings)
        there.accumulate_scores(bits, coefficients)
        there.scores(bits[:, :, :5])
    assert_close([log_p], [expected])
    assert_close(*([p.grad for p in g.parameters()] for g in (there, on_cpu)))


def test_a_generator_moves_there_and_back(name, device):
    on_cpu = build_generator(name, N, seeds=SEEDS, layout=LAYOUT, options=OPTIONS.get(name))
    bits = draw(on_cpu)
    np.testing.assert_array_equal(draw(on_cpu.to(device)), bits)
    np.testing.assert_array_equal(draw(on_cpu.to("cpu")), bits)


@pytest.mark.parametrize("wrong", ["gpu", "cuda:x", "meta", ""])
def test_a_device_that_torch_cannot_use_is_refused_with_those_that_it_can(name, wrong):
    message = rf"Got the device '{wrong}', on which torch cannot compute.*Available: cpu.*Use one"
    with pytest.raises(ConfigurationError, match=message):
        build_generator(name, N, layout=LAYOUT, device=wrong)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_without_a_gpu_is_refused(name):
    message = r"Got the device 'cuda', .*Available: cpu\. Use one of these; cuda needs an NVIDIA"
    with pytest.raises(ConfigurationError, match=message):
        build_generator(name, N, layout=LAYOUT, device="cuda")
