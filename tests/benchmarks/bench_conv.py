"""How fast packed convolutions and a whole packed ResNet-18 are against torch's float32."""

import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from bars import Line, bar, seconds

from qhyper.machine import cores
from qhyper.targets.convolutional.network import ConvolutionalNetwork
from qhyper.targets.convolutional.numba_engine import Prepared
from qhyper.targets.convolutional.steps import (
    Affine,
    AvgPool,
    BinaryConvolution,
    Clamp,
    Convolution,
    Residual,
    Scale,
    Step,
    Threshold,
    Values,
)

IMAGES, ROUNDS, REPEATS = 100, 5, 3
FORMATS = (torch.contiguous_format, torch.channels_last)
WIDTHS = (64, 128, 256, 512)


def _popcount() -> tuple[str, bool]:
    """What this processor counts ones with, and whether it is AVX-512 VPOPCNTDQ."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("flags")[2]
        found = set(flags.partition("\n")[0].split())
    except OSError:
        found = set()
    if "avx512_vpopcntdq" in found:
        return "AVX-512 VPOPCNTDQ", True
    return ("AVX2" if "avx2" in found else "neither AVX-512 nor AVX2"), False


def _ratio(
    in_torch: dict[torch.memory_format, Callable[[], object]], packed: Callable[[], object]
) -> tuple[float, float, float]:
    """Median ratio of both, timed in turn, of torch in its quicker format; and seconds of each.

    All threads on both sides; a run of each that is not counted comes before every block of times,
    so that torch's threads, which wait busily for a while, do not take cores from the other.
    """
    slow = min(in_torch.values(), key=lambda work: seconds(work, 3))
    pairs = [(seconds(slow, REPEATS), seconds(packed, REPEATS)) for _ in range(ROUNDS)]
    ratios = [a / b for a, b in pairs]
    return (
        float(np.median(ratios)),
        float(np.median([a for a, _ in pairs])),
        float(np.median([b for _, b in pairs])),
    )


@bar
def conv_packed() -> Iterator[Line]:
    """3×3 kernels with zero padding on 100 images, from bits to thresholded bits."""
    torch.set_num_threads(cores())
    counts, wide = _popcount()
    rng = np.random.default_rng(0)
    for channels, size in ((128, 16), (128, 32), (256, 16), (256, 32)):
        values = Values("bits", (channels, size, size))
        x = rng.integers(0, 2, (IMAGES, *values.shape), dtype=np.uint8)
        kernel = rng.integers(0, 2, (channels, channels, 3, 3), dtype=np.uint8)
        above = np.ones(channels, bool)
        steps = BinaryConvolution(kernel, padding=(1, 1)), Threshold(np.zeros(channels), above)
        packed = Prepared(steps, values)
        a, b = (torch.tensor(2.0 * bits - 1, dtype=torch.float32) for bits in (x, kernel))

        def in_torch(format: torch.memory_format, a=a, b=b) -> Callable[[], torch.Tensor]:
            inputs, weights = (t.contiguous(memory_format=format) for t in (a, b))
            return lambda: torch.nn.functional.conv2d(inputs, weights, padding=1)

        with torch.inference_mode():
            ratio, slow, fast = _ratio(
                {f: in_torch(f) for f in FORMATS},
                lambda packed=packed, x=x: packed.words(x),
            )
        yield Line(
            f"conv-{channels}-at-{size}x{size}-vs-torch", ratio, "x", at_least=12 if wide else 4,
            detail=f"{counts}, {cores()} threads: float32 {1e3 * slow:.1f} ms, "
            f"packed {1e3 * fast:.2f} ms",
        )  # fmt: skip
    torch.set_num_threads(1)


# -- ResNet-18 -------------------------------------------------------------------------------------


class _Sign(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


class _Scale(torch.nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.rand(channels, 1, 1) + 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


class _Residual(torch.nn.Module):
    def __init__(self, body: torch.nn.Module, shortcut: torch.nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) + self.shortcut(x)


def _half(n_in: int, n_out: int) -> tuple[torch.nn.Module, Step]:
    """Preactivation, a binary convolution and its factors, and the way around them."""
    stride = 1 if n_in == n_out else 2
    body = torch.nn.Sequential(
        torch.nn.BatchNorm2d(n_in), _Sign(),
        torch.nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False), _Scale(n_out),
    )  # fmt: skip
    norm, conv, scale = body[0], body[2], body[3]
    with torch.no_grad():
        norm.running_mean.normal_(std=0.5)
        conv.weight.copy_(torch.where(conv.weight >= 0, 1.0, -1.0))
    steps: tuple[Step, ...] = (
        Threshold(norm.running_mean.double().numpy(), np.ones(n_in, bool)),
        BinaryConvolution((conv.weight > 0).numpy(), (stride, stride), (1, 1)),
        Scale(scale.factor.detach().double().numpy().ravel()),
    )
    if stride == 1:
        return _Residual(body, torch.nn.Identity()), Residual(steps)
    if n_in == WIDTHS[0]:  # one of either kind: a learned shortcut, and channels of zeros
        real = torch.nn.Conv2d(n_in, n_out, 1, bias=False)
    else:
        real = torch.nn.Conv2d(n_in, n_out, 1, bias=False)
        with torch.no_grad():
            real.weight.copy_(torch.eye(n_out, n_in)[:, :, None, None])
    weight = real.weight.detach().double().numpy()
    around = AvgPool((2, 2), (2, 2)), Convolution(weight)
    return (
        _Residual(body, torch.nn.Sequential(torch.nn.AvgPool2d(2), real)),
        Residual(steps, around),
    )


def resnet18() -> tuple[torch.nn.Module, ConvolutionalNetwork]:
    """A binary ResNet-18 at full width with random weights, in torch and as steps."""
    torch.manual_seed(0)
    stem, last = torch.nn.Conv2d(3, 64, 3, padding=1), torch.nn.Linear(512, 10)
    pairs = [_half(n, n) for n in (64,) * 4]
    for before, after in pairwise(WIDTHS):
        pairs += [_half(before, after), *(_half(after, after) for _ in range(3))]
    module = torch.nn.Sequential(
        stem, *(m for m, _ in pairs), torch.nn.ReLU(), torch.nn.AvgPool2d(4),
        torch.nn.Flatten(), last,
    ).eval()  # fmt: skip
    of_stem, of_last = (
        Convolution(
            layer.weight.detach().double().numpy().reshape(*shape),
            layer.bias.detach().double().numpy(),
            padding=padding,
        )
        for layer, shape, padding in (
            (stem, (64, 3, 3, 3), (1, 1)),
            (last, (10, 512, 1, 1), (0, 0)),
        )
    )
    pixels = Affine(np.full(3, 1 / 128), np.full(3, -1.0))
    steps = (*(s for _, s in pairs), Clamp(0, np.inf), AvgPool((4, 4), (4, 4)), of_last)
    return module, ConvolutionalNetwork((3, 32, 32), (pixels, of_stem, *steps))


@bar
def conv_resnet18() -> Iterator[Line]:
    """The whole network at full width on 100 images of 32×32, and its file."""
    torch.set_num_threads(cores())
    counts, wide = _popcount()
    module, network = resnet18()
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, 3, 32, 32), dtype=np.uint8)
    x = torch.tensor(pixels) / 128.0 - 1

    def in_torch(format: torch.memory_format) -> Callable[[], torch.Tensor]:
        inputs, formatted = x.contiguous(memory_format=format), module.to(memory_format=format)
        return lambda: formatted(inputs)

    with torch.inference_mode():
        quicker = min(FORMATS, key=lambda f: seconds(in_torch(f), 2))
        works = {quicker: in_torch(quicker)}  # a module has one format at a time
        ratio, slow, fast = _ratio(works, lambda: network.predict(pixels))
        expected = module.double()(x.double()).argmax(1).numpy()
    other = int((network.predict(pixels) != expected).sum())
    torch.set_num_threads(1)
    yield Line(
        "conv-resnet18-vs-torch", ratio, "x", at_least=4 if wide else 2.5,
        detail=f"{counts}, {cores()} threads: float32 {1e3 * slow:.0f} ms, "
        f"packed {1e3 * fast:.0f} ms",
    )  # fmt: skip
    yield Line("conv-resnet18-other-predictions", other, at_most=0, detail=f"of {IMAGES} images")
    with tempfile.TemporaryDirectory() as folder:
        packed, real = Path(folder, "packed.npz"), Path(folder, "real.pt")
        network.save(packed)
        torch.save(module.float().state_dict(), real)
        yield Line(
            "conv-resnet18-file-vs-torch", real.stat().st_size / packed.stat().st_size, "x",
            at_least=20, detail=f"{packed.stat().st_size:,} bytes",
        )  # fmt: skip
