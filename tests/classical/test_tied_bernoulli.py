"""The tied Bernoulli: its basis, its distribution and its derivatives against literal ones."""

import itertools

import numpy as np
import pytest
import torch
from scipy.special import expit

from classical.tied_bernoulli import Cosines, TiedBernoulli
from qhyper.bits import all_bitstrings
from qhyper.errors import ConfigurationError, UnsuitableError
from qhyper.hypernetwork import build_generator
from qhyper.spending import Budget
from qhyper.streams import Streams
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.layout import Block, Layout
from qhyper.targets.packed.target import PackedTarget
from qhyper.training.trainer import settings_for

SEEDS = (11, 12)
LAYOUT = PackedTarget((6, 2, 2)).layout
WITH_BIASES = BinaryNetwork(WeightSpace((4, 2, 1), biases=True)).layout


def tied(layout=LAYOUT, seeds=SEEDS, **options):
    return TiedBernoulli(layout.n_bits, layout=layout, seeds=seeds, **options)


MAKERS = {
    "cosines": lambda seeds=SEEDS: tied(seeds=seeds, image=(2, 3), basis=(2, 2)),
    "free": lambda seeds=SEEDS: tied(seeds=seeds, basis=None),
    "with biases": lambda seeds=SEEDS: tied(WITH_BIASES, seeds, basis=(1, 2)),
}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


def logits_by_hand(generator, basis):
    """[replica, bit], by the definition: the first layer's images, and all else as it is."""
    first, *others = (p.detach().numpy() for p in generator.coefficients)
    if basis is not None:
        first = np.einsum("rukl,klx->rux", first, basis)
    matrices = [np.swapaxes(m, 1, -1) for m in (first, *others)]
    return np.concatenate([m.reshape(len(m), -1) for m in matrices], axis=1)


def vectors(image, kept):
    """The images of the basis, [row of frequencies, column of frequencies, pixel]."""
    return Cosines(image, kept).images(np.eye(np.prod(kept)).reshape(-1, *kept)).reshape(*kept, -1)


BASES = {"cosines": vectors((2, 3), (2, 2)), "free": None, "with biases": vectors((2, 2), (1, 2))}


# -- the basis ------------------------------------------------------------------------------------


def test_the_basis_is_that_of_the_cosine_transform():
    basis = Cosines((5, 4), (3, 2))
    for k, m in itertools.product(range(3), range(2)):
        rows = np.cos(np.pi * (2 * np.arange(5) + 1) * k / 10) * np.sqrt((2 if k else 1) / 5)
        columns = np.cos(np.pi * (2 * np.arange(4) + 1) * m / 8) * np.sqrt((2 if m else 1) / 4)
        one = np.zeros((3, 2))
        one[k, m] = 1
        np.testing.assert_allclose(basis.images(one), np.outer(rows, columns).ravel(), atol=1e-14)


@pytest.mark.parametrize("kept", [(28, 28), (12, 12), (3, 7)])
def test_the_basis_is_orthonormal(kept):
    basis = Cosines((28, 28), kept)
    size = np.prod(kept)
    images_of = basis.images(np.eye(size).reshape(size, *kept))
    np.testing.assert_allclose(images_of @ images_of.T, np.eye(size), atol=1e-13)
    images = np.random.default_rng(0).normal(size=(6, 784))
    np.testing.assert_allclose(
        basis.coefficients(images).reshape(6, -1), images @ images_of.T, atol=1e-13
    )


# -- the distribution -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
def test_marginals_and_log_p_are_those_of_the_logits(name):
    generator, strings = MAKERS[name](), all_bitstrings(MAKERS[name]().n_bits)[::37]
    p = expit(logits_by_hand(generator, BASES[name]))
    np.testing.assert_allclose(generator.marginals().detach()[:, 0], p, rtol=1e-12)
    log_p = generator.log_prob(strings[None, None]).detach().numpy()[:, 0]
    own = np.where(strings[None], p[:, None], 1 - p[:, None])
    np.testing.assert_allclose(log_p, np.log(own).sum(-1), rtol=1e-12)


def test_draws_compare_each_replicas_uniforms_block_by_block(make):
    generator = make()
    bits = generator.sample(3, rng=Streams(SEEDS)(5)).bits
    for replica, stream in enumerate(Streams(SEEDS)(5)):
        probabilities = [p[replica] for p in generator.matrix_probabilities()]
        for shot in range(3):
            blocks = [stream.random(p.shape) < p for p in probabilities]
            expected = np.concatenate([block.T.ravel() for block in blocks])  # [in, out]
            np.testing.assert_array_equal(bits[replica, 0, shot], expected)


def test_starts_normal_block_by_block(make):
    generator = make()
    for replica, stream in enumerate(Streams(SEEDS)(0, "initialise")):
        for parameter in generator.coefficients:
            expected = stream.normal(size=parameter.shape[1:])
            np.testing.assert_array_equal(parameter[replica].detach(), expected)


def test_bits_of_a_unit_that_keeps_one_frequency_are_all_alike():
    generator = tied(image=(2, 3), basis=1)
    first = generator.marginals().detach().numpy()[:, 0, :12].reshape(2, 6, 2)
    np.testing.assert_allclose(first, np.repeat(first[:, :1], 6, axis=1), rtol=1e-14)
    assert abs(first[:, 0, 0] - first[:, 0, 1]).min() > 1e-3


# -- derivatives ----------------------------------------------------------------------------------


@pytest.mark.parametrize("image", [(3, 4), None], ids=["cosines", "free"])
def test_the_gradient_is_that_of_the_probabilities_weighted_by_slopes(image):
    layout = PackedTarget((12, 5, 3)).layout
    basis = None if image is None else (2, 3)
    generator = tied(layout, image=image, basis=basis)
    slopes = np.random.default_rng(0).normal(size=(2, 1, layout.n_bits))

    def surrogate():
        with torch.no_grad():
            return (generator.marginals().numpy() * slopes).sum()

    torch.autograd.backward(generator.marginals(), torch.from_numpy(slopes))
    for parameter in generator.coefficients:
        assert parameter.grad.shape == parameter.shape
        values = parameter.detach().numpy()
        for i in np.ndindex(*parameter.shape):
            at = values[i]
            values[i] = at + 1e-5
            above = surrogate()
            values[i] = at - 1e-5
            below = surrogate()
            values[i] = at
            central = (above - below) / 2e-5
            assert parameter.grad[i].item() == pytest.approx(central, rel=1e-6, abs=1e-9)


def test_scores_are_those_of_autograd_through_the_marginals(make):
    # log p = Σ w log p_i + (1 - w) log (1 - p_i), and the marginals have derivatives of their own
    generator = make()
    bits = generator.sample(4, rng=Streams(SEEDS)(0)).bits
    coefficients = np.random.default_rng(1).normal(size=(2, 1, 4))
    generator.accumulate_scores(bits, coefficients)
    found = [p.grad.clone() for p in generator.parameters()]
    generator.zero_grad()
    p, w = generator.marginals()[:, :, None], torch.from_numpy(bits.astype(float))
    log_p = (w * p.log() + (1 - w) * (1 - p).log()).sum(-1)
    torch.autograd.backward(log_p, torch.from_numpy(coefficients))
    for one, parameter in zip(found, generator.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, rtol=1e-9, atol=1e-12)


# -- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "shapes", "told"),
    [
        ({}, [(2, 3, 8, 8), (2, 2, 3)], "first layer tied by 8×8 cosines of 8×8 inputs"),
        ({"basis": 3}, [(2, 3, 3, 3), (2, 2, 3)], "tied by 3×3 cosines of 8×8 inputs"),
        ({"basis": [2, 5]}, [(2, 3, 2, 5), (2, 2, 3)], "tied by 2×5 cosines of 8×8 inputs"),
        ({"image": [4, 16]}, [(2, 3, 4, 10), (2, 2, 3)], "tied by 4×10 cosines of 4×16 inputs"),
        ({"basis": None}, [(2, 3, 64), (2, 2, 3)], "every weight by itself, from N"),
    ],
)
def test_basis_and_image(options, shapes, told):
    layout = PackedTarget((64, 3, 2)).layout
    generator = build_generator(
        "tied-bernoulli", layout.n_bits, seeds=SEEDS, layout=layout, options=options
    )
    assert [tuple(p.shape) for p in generator.parameters()] == shapes
    assert told in generator.describe()
    assert generator.n_parameters == sum(np.prod(shape[1:]) for shape in shapes)
    assert generator.marginals().shape == (2, 1, layout.n_bits)


def test_inputs_that_are_no_square_are_no_image():
    generator = tied()  # of 6 inputs
    assert generator.basis is None
    assert [tuple(p.shape) for p in generator.parameters()] == [(2, 2, 6), (2, 2, 2)]
    free = tied(basis=None)
    assert torch.equal(generator.marginals(), free.marginals())


def test_its_recipe_is_local_expectation_with_one_draw():
    settings = settings_for(tied(basis=None), {}, Budget(circuits=5))
    assert (settings.estimator, settings.draws, settings.restarts) == ("local-expectation", 1, 1)
    assert (settings.schedule, settings.learning_rate) == ("linear", 0.3)


def test_what_does_not_fit_is_refused():
    def refused(
        match, kind=ConfigurationError, layout: Layout | None = LAYOUT, n_bits=16, **options
    ):
        with pytest.raises(kind, match=match):
            TiedBernoulli(n_bits, layout=layout, **options)

    refused("needs the layout of a target that begins .*; got None. Use Bernoulli", UnsuitableError,
            None)  # fmt: skip
    plain = Layout((Block("bits", (16,)),))
    refused("begins with a weight matrix; got layout bits 16", UnsuitableError, plain)
    refused("Got n_bits=15, but the layout .* has 16 bits", n_bits=15)
    refused(r"Got images of \(4, 2\) for 6 inputs\. Say which image .* weights free, basis=None",
            image=(4, 2))  # fmt: skip
    refused(r"Got images of \(6,\) for 6 inputs", image=(6,))
    for basis in ((0, 3), (3, 1), (2,), (1, 2, 3), 0):
        refused("expected two numbers of frequencies, each from 1 to the side", image=(2, 3),
                basis=basis)  # fmt: skip
    with pytest.raises(ConfigurationError, match=r"'bases'.*Did you mean 'basis'"):
        build_generator("tied-bernoulli", 16, layout=LAYOUT, options={"bases": 3})
