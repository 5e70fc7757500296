"""The generator of kernels against its formula in plain loops, and parameter counts as printed."""

import numpy as np
import pytest
import torch

from classical.kernel_hypernetwork import KernelHyperNetwork, count_kernels, put_together
from qhyper.errors import ConfigurationError


def made(seed=0, **options):
    sizes = {"embedding": 4, "projection": 5, "kernel": 3, "kernels": 6, **options}
    return KernelHyperNetwork(**sizes, rng=np.random.default_rng(seed))


def spread(generator, seed=1):
    """Other numbers for all parameters, biases too."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=parameter.shape)))
    return generator.double()


def slow_kernel(generator, number):
    """K [16 f, 16 f] of one embedding: the formula as it is printed, in NumPy."""
    z, W, B, W_out, B_out = (
        getattr(generator, name).detach().numpy()
        for name in ("embeddings", "W", "B", "W_out", "B_out")
    )
    slices = []
    for i in range(16):
        a = W[i] @ z[number] + B[i]
        K_i = np.zeros(B_out.shape)
        for row in range(K_i.shape[0]):
            for column in range(K_i.shape[1]):
                K_i[row, column] = W_out[row, column] @ a + B_out[row, column]
        slices.append(K_i)
    return np.concatenate(slices)


@pytest.mark.parametrize(("embedding", "projection", "kernel"), [(4, 5, 3), (5, 2, 7), (1, 1, 1)])
def test_kernels_are_those_of_the_formula(embedding, projection, kernel):
    generator = spread(
        made(embedding=embedding, projection=projection, kernel=kernel, kernels=2)
    )  # fmt: skip
    found, f = generator().detach().numpy(), kernel
    assert found.shape == (2, 16, 16, f, f)
    for number in range(2):
        K = slow_kernel(generator, number)
        for c_in in range(16):
            for c_out in range(16):
                window = K[c_in * f : (c_in + 1) * f, c_out * f : (c_out + 1) * f]
                np.testing.assert_allclose(found[number, c_out, c_in], window, atol=1e-12)


def test_a_larger_kernel_is_put_together_of_basic_ones():
    basic = torch.arange(6.0)[:, None, None, None, None].expand(6, 16, 16, 3, 3)
    whole = put_together(basic, c_in=48, c_out=32)
    assert whole.shape == (32, 48, 3, 3)
    for c_out in range(32):
        for c_in in range(48):
            assert (whole[c_out, c_in] == 3 * (c_out // 16) + c_in // 16).all()


def test_channels_within_a_basic_kernel_keep_their_places():
    basic = torch.randn(6, 16, 16, 2, 2, generator=torch.Generator().manual_seed(0))
    whole = put_together(basic, c_in=32, c_out=48)
    assert torch.equal(whole[16:32, 16:32], basic[3])


@pytest.mark.parametrize("channels", [(16, 24), (8, 16), (0, 16), (16, 15)])
def test_channels_that_are_no_multiple_of_a_basic_kernel_are_refused(channels):
    with pytest.raises(ConfigurationError, match="no multiple of the 16 of a basic kernel"):
        count_kernels(*channels)
    with pytest.raises(ConfigurationError, match="a kernel of its own"):
        put_together(torch.zeros(1, 16, 16, 3, 3), *channels)


@pytest.mark.parametrize("shape", [(5, 16, 16, 3, 3), (6, 16, 8, 3, 3), (6, 16, 16, 9), (0,)])
def test_another_number_or_shape_of_kernels_is_refused(shape):
    with pytest.raises(ConfigurationError, match=r"48 to 32 channels; expected .* = \[6, 16, 16\]"):
        put_together(torch.zeros(shape), c_in=48, c_out=32)


@pytest.mark.parametrize("start", [float("nan"), float("inf"), 0, -0.1, "a"])
def test_a_start_is_a_finite_number_above_0(start):
    with pytest.raises(ConfigurationError, match=f"Got start={start!r}; expected the deviation"):
        made(start=start)


@pytest.mark.parametrize("name", ["embedding", "projection", "kernel", "kernels"])
@pytest.mark.parametrize("size", [0, 1.5, True])
def test_sizes_are_whole_numbers_from_1(name, size):
    with pytest.raises(ConfigurationError, match=f"Got {name}={size!r}; expected a whole number"):
        made(**{name: size})


@pytest.mark.parametrize("kernel", [3, 7])
def test_kernels_start_with_mean_0_and_variance_1(kernel):
    numbers = made(embedding=60, projection=60, kernel=kernel, kernels=60)()
    assert abs(numbers.mean().item()) < 0.02
    assert numbers.var().item() == pytest.approx(1, abs=0.05)


def test_a_start_of_ones_own_is_the_deviation_of_all_but_the_biases():
    generator = KernelHyperNetwork(
        embedding=30, projection=30, kernel=3, kernels=30, rng=np.random.default_rng(0), start=0.01
    )
    for parameter in (generator.embeddings, generator.W, generator.W_out):
        assert parameter.std().item() == pytest.approx(0.01, rel=0.1)
    assert not generator.B.any()
    assert not generator.B_out.any()


def test_all_kernels_lie_in_a_space_of_as_many_dimensions_as_an_embedding():
    """Affinely: differences from the first; and slices in one of as many as the projection."""
    generator = spread(made(embedding=3, projection=5, kernels=9))
    kernels = generator().detach()
    differences = (kernels[1:] - kernels[0]).flatten(1)
    assert torch.linalg.matrix_rank(differences) == 3
    slices = kernels.transpose(1, 2).flatten(2).flatten(0, 1)
    assert torch.linalg.matrix_rank(slices[1:] - slices[0]) == 5


def test_the_same_numbers_start_the_same_generator():
    one, same, other = made(0)(), made(0)(), made(1)()
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
