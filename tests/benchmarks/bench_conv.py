"""How fast packed convolutions and a whole packed ResNet-18 are against torch's float32."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from bars import Line, bar, seconds

from classical.resnet import ResNet18
from qhyper.machine import cores
from qhyper.targets.convolutional.network import ConvolutionalNetwork
from qhyper.targets.convolutional.numba_engine import Prepared
from qhyper.targets.convolutional.steps import BinaryConvolution, Threshold, Values

IMAGES, ROUNDS, REPEATS = 100, 5, 3
FORMATS = (torch.contiguous_format, torch.channels_last)


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


def resnet18(pixels: np.ndarray) -> tuple[torch.nn.Module, ConvolutionalNetwork]:
    """A binary ResNet-18 at full width, untrained, as plain float64 layers of torch and packed.

    Its batch normalisations have the statistics of these images.
    """
    model = ResNet18((3, 32, 32), 10)
    with torch.no_grad():
        model.train()(torch.tensor(pixels))
    module = model.eval().evaluation_network()
    return module, ConvolutionalNetwork.from_torch(module, image=(3, 32, 32))


@bar
def conv_resnet18() -> Iterator[Line]:
    """The whole network at full width on 100 images of 32×32, and its file."""
    torch.set_num_threads(cores())
    counts, wide = _popcount()
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, 3, 32, 32), dtype=np.uint8)
    module, network = resnet18(pixels)
    x = torch.tensor(pixels)
    with torch.inference_mode():
        expected = module(x.double()).argmax(1).numpy()
    module, x = module.float(), x.float()

    def in_torch(format: torch.memory_format) -> Callable[[], torch.Tensor]:
        inputs, formatted = x.contiguous(memory_format=format), module.to(memory_format=format)
        return lambda: formatted(inputs)

    with torch.inference_mode():
        quicker = min(FORMATS, key=lambda f: seconds(in_torch(f), 2))
        works = {quicker: in_torch(quicker)}  # a module has one format at a time
        ratio, slow, fast = _ratio(works, lambda: network.predict(pixels))
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
        torch.save(module.state_dict(), real)
        yield Line(
            "conv-resnet18-file-vs-torch", real.stat().st_size / packed.stat().st_size, "x",
            at_least=20, detail=f"{packed.stat().st_size:,} bytes",
        )  # fmt: skip
