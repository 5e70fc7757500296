"""Random torch modules of binary and real convolutions, as tests of several files take them."""

import numpy as np
import torch

from qhyper.targets.convolutional.modules import Affine2d, ChannelScale, PadMinusOne, Residual
from qhyper.targets.sign import Sign

nn = torch.nn


def binary(rng, n_in, n_out, kernel, *, bias=False, **options):
    """A convolution of weights -1 and +1, its bias of whole numbers."""
    found = nn.Conv2d(n_in, n_out, kernel, bias=bias, dtype=torch.float64, **options)
    found.weight.data = torch.tensor(rng.choice([-1.0, 1.0], tuple(found.weight.shape)))
    if bias:
        found.bias.data = torch.tensor(rng.integers(-3, 4, n_out) * 1.0)
    return found


def real(rng, n_in, n_out, kernel, *, bias=True, **options):
    found = nn.Conv2d(n_in, n_out, kernel, bias=bias, dtype=torch.float64, **options)
    for tensor in found.parameters():
        tensor.data = torch.tensor(rng.normal(size=tuple(tensor.shape)))
    return found


def linear(rng, n_in, n_out, *, ones=False):
    found = nn.Linear(n_in, n_out, bias=not ones, dtype=torch.float64)
    for tensor in found.parameters():
        numbers = rng.normal(size=tuple(tensor.shape))
        tensor.data = torch.tensor(np.where(numbers < 0, -1.0, 1.0) if ones else numbers)
    return found


def norm(rng, channels, *, kind=nn.BatchNorm2d, whole=True):
    """γ of every sign and zero; if `whole`, means are whole and many shifts 0: ties occur."""
    found = kind(channels, dtype=torch.float64)
    found.weight.data = torch.tensor(rng.normal(size=channels))
    found.weight.data[0] = 0
    at_zero = rng.integers(0, 2, channels) if whole else 1
    found.bias.data = torch.tensor(rng.normal(size=channels) * at_zero)
    mean = rng.integers(-3, 4, channels) * 1.0 if whole else rng.normal(size=channels)
    found.running_mean = torch.tensor(mean)
    found.running_var = torch.tensor(rng.uniform(0.1, 9, channels))
    return found


def scale(rng, channels):
    return ChannelScale(torch.tensor(rng.uniform(0.05, 0.3, channels)))


def affine(rng, channels, *, size=1.0):
    numbers = rng.normal(size=(2, channels)) * size
    return Affine2d(torch.tensor(numbers[0]), torch.tensor(numbers[1]))


def residual(rng, n_in, n_out, *, stride=1, minus_one=False):
    """A block BN, Sign, binary convolution, scale; a real 1×1 convolution where shapes change."""
    pad = [PadMinusOne(1, 1)] if minus_one else []
    convolution = binary(rng, n_in, n_out, 3, stride=stride, padding=0 if minus_one else 1)
    body = nn.Sequential(norm(rng, n_in, whole=False), Sign(), *pad, convolution, scale(rng, n_out))
    shortcut = nn.Sequential()
    if stride > 1:
        shortcut.append(nn.AvgPool2d(stride))
    if n_in != n_out:
        shortcut.append(real(rng, n_in, n_out, 1, bias=False))
    return Residual(body, shortcut)


def residual_network(rng, *, channels=(3, 6), classes=5, minus_one=False):
    """In the way of ResNet-18, with preactivation: for images of 3×8×8."""
    first, second = channels
    return nn.Sequential(
        Affine2d(torch.full((3,), 1 / 64), torch.tensor([-1.9, -2.0, -2.1])),
        real(rng, 3, first, 3, padding=1, bias=False),
        norm(rng, first, whole=False),
        nn.Hardtanh(-1.25, 1.5),
        residual(rng, first, first, minus_one=minus_one),
        residual(rng, first, first, minus_one=minus_one),
        residual(rng, first, second, stride=2, minus_one=minus_one),
        nn.Sequential(residual(rng, second, second), nn.Identity()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        norm(rng, second, kind=nn.BatchNorm1d, whole=False),
        linear(rng, second, classes),
    ).eval()


def random_module(rng, image):
    """A network of one to three binary convolutions with all that may stand around them."""
    channels, rows, columns = image
    stem = rng.integers(3)
    width = int(rng.choice([1, 3, 7]))
    if stem == 0:  # the signs of pixels
        parts = [Affine2d(torch.ones(channels), torch.full((channels,), -127.5)).double(), Sign()]
        width = channels
    else:
        of_stem = (binary if stem == 1 else real)(rng, channels, width, 3, padding=1)
        parts = [of_stem, norm(rng, width), Sign(of_zero=int(rng.choice([-1, 1])))]
    size = [rows, columns]
    for _ in range(rng.integers(1, 4)):
        kernel = tuple(int(min(rng.choice([1, 2, 3, 5]), n)) for n in size)
        stride = tuple(int(n) for n in rng.integers(1, 3, 2))
        padding = tuple(int(n) for n in rng.integers(0, 3, 2))
        n_out = int(rng.choice([2, 5, 64, 65]))
        if rng.random() < 0.5:
            parts += [PadMinusOne(*padding), binary(rng, width, n_out, kernel, stride=stride)]
        else:
            bias = bool(rng.integers(2))
            options = {"stride": stride, "padding": padding, "bias": bias}
            parts.append(binary(rng, width, n_out, kernel, **options))
        size = [
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip(size, padding, kernel, stride, strict=True)
        ]
        width = n_out
        if min(size) >= 2:
            side, between = int(rng.integers(4)), nn.MaxPool2d(2, padding=int(rng.integers(2)))
            if side < 3:
                size = [(n + 2 * between.padding - 2) // 2 + 1 for n in size]
        else:
            side, between = 3, None
        if side == 0:
            parts.append(between)
        parts.append(norm(rng, width))
        if side == 1:
            parts.append(between)
        more = rng.integers(4)
        if more == 0:
            parts += [scale(rng, width), affine(rng, width)]
        if more == 1:
            parts.append(nn.Hardtanh(-0.5, 2.0))
        parts.append(Sign(of_zero=int(rng.choice([-1, 1]))))
        if side == 2:
            parts.append(between)
    last = rng.integers(3)
    if last == 0:
        parts += [nn.Flatten(), linear(rng, width * size[0] * size[1], 4)]
    elif last == 1:
        parts += [nn.Flatten(), nn.Dropout(), linear(rng, width * size[0] * size[1], 4, ones=True)]
        parts.append(norm(rng, 4, kind=nn.BatchNorm1d))
    else:
        parts += [real(rng, width, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d((1, 1))]
    return nn.Sequential(*parts).eval()


def images(rng, count, image):
    """Random pixels, half of them of two values alone."""
    found = rng.integers(0, 256, (count, *image), dtype=np.uint8)
    found[::2] = rng.choice([0, 255, 3], size=found[::2].shape)
    return found


def outputs(module, pixels):
    with torch.no_grad():
        return module.double().eval()(torch.tensor(pixels, dtype=torch.float64)).flatten(1).numpy()
