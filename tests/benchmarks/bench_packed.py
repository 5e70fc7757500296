"""How fast packed layers and networks are at full size against torch's float32, and how small."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from bars import Line, bar, paired_seconds, seconds

from qhyper.targets.packed.inputs import pack_bits
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.population import activations, correct, sums
from qhyper.targets.packed.shape import PackedShape

ROWS, LAYERS = 10_000, (784, 1024, 10)
ROUNDS, REPEATS = 5, 7


def _against_torch(in_torch: Callable[[], object], packed: Callable[[], object]) -> list[float]:
    """Median seconds of both, in blocks in turn.

    For a while after a product torch's threads wait busily for the next one, and would take the
    cores of whatever is timed then.
    """
    found = []
    for _ in range(ROUNDS):
        slow = seconds(in_torch, REPEATS)
        time.sleep(0.5)
        found.append((slow, seconds(packed, REPEATS)))
    return [statistics.median(times) for times in zip(*found, strict=True)]


def _signs(bits: np.ndarray) -> torch.Tensor:
    return torch.tensor(2.0 * bits - 1, dtype=torch.float32)


@bar
def packed_layer() -> Iterator[Line]:
    """784 to 1,024 on 10,000 rows, both sides with inputs and weights as they like them best."""
    torch.set_num_threads(os.cpu_count() or 1)
    rng = np.random.default_rng(0)
    shape = PackedShape(LAYERS[:2])
    x = rng.integers(0, 2, (ROWS, LAYERS[0]), dtype=np.uint8)
    bits = rng.integers(0, 2, shape.matrices[0], dtype=np.uint8)
    inputs, words = pack_bits(x), shape.pack([bits])[None]
    a, b = _signs(x), _signs(bits).T.contiguous()
    out = torch.empty(ROWS, LAYERS[1])

    def in_torch() -> None:
        torch.mm(a, b, out=out)

    slow, fast = _against_torch(in_torch, lambda: activations(shape, words, inputs))
    slower, whole = _against_torch(in_torch, lambda: sums(shape, words, inputs))
    torch.set_num_threads(1)
    yield Line(
        "packed-layer-vs-torch", slow / fast, "x", at_least=15,
        detail=f"float32 {1e3 * slow:.1f} ms, packed activations {1e3 * fast:.2f} ms",
    )  # fmt: skip
    yield Line("packed-layer-sums-vs-torch", slower / whole, "x", detail="sums as int32")


@bar
def packed_network() -> Iterator[Line]:
    """784-1024-10 on 10,000 rows of bits, already packed, to classes; and its file."""
    torch.set_num_threads(os.cpu_count() or 1)
    rng = np.random.default_rng(0)
    shape = PackedShape(LAYERS)
    x = rng.integers(0, 2, (ROWS, LAYERS[0]), dtype=np.uint8)
    matrices = [rng.integers(0, 2, size, dtype=np.uint8) for size in shape.matrices]
    network = PackedNetwork(shape, shape.pack(matrices), shape.limits())
    inputs, a = network.pack(x), _signs(x)
    first, second = (_signs(bits).T.contiguous() for bits in matrices)

    def in_torch() -> torch.Tensor:
        return (torch.mm(a, first).sign_() @ second).argmax(1)

    slow, fast = _against_torch(in_torch, lambda: network.predict(inputs))
    torch.set_num_threads(1)
    yield Line(
        "packed-network-vs-torch", slow / fast, "x", at_least=12,
        detail=f"float32 {1e3 * slow:.1f} ms, packed {1e3 * fast:.2f} ms",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        packed, real = Path(folder, "packed.npz"), Path(folder, "real.pt")
        network.save(packed)
        torch.save({"0": first, "1": second}, real)
        ratio = real.stat().st_size / packed.stat().st_size
        yield Line(
            "packed-file-vs-torch", ratio, "x", at_least=28,
            detail=f"{packed.stat().st_size:,} bytes",
        )  # fmt: skip


@bar
def packed_population() -> Iterator[Line]:
    """1,000 networks 784-32-10 on 1,000 rows, one forward pass each."""
    rng = np.random.default_rng(0)
    shape = PackedShape((784, 32, 10))
    inputs = pack_bits(rng.integers(0, 2, (1000, 784), dtype=np.uint8))
    labels = rng.integers(0, 10, 1000)
    words = shape.from_bits(rng.integers(0, 2, (1000, shape.n_weights), dtype=np.uint8))
    one = words[:1]
    alone, together = paired_seconds(
        lambda: correct(shape, one, inputs, labels),
        lambda: correct(shape, words, inputs, labels),
        9,
    )
    yield Line("networks-scored-a-second", 1000 / together, detail=f"alone {1e6 * alone:.0f} us")
