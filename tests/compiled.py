"""Every compiled kernel at work once: `python tests/compiled.py PART` prints what came out.

The last line says whether they were compiled or loaded. They are in numba's cache afterwards.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable

import numpy as np
import torch
from numba.core import event

from qhyper import (
    BinaryNetwork,
    Brickwork,
    ConvolutionalNetwork,
    QuantumHyperNetwork,
    Samples,
    Streams,
    WeightSpace,
)
from qhyper.bits import Bits
from qhyper.targets.convolutional.engine import prepared
from qhyper.targets.convolutional.steps import (
    Affine,
    AvgPool,
    BinaryConvolution,
    Convolution,
    MaxPool,
    Residual,
    Scale,
    Threshold,
    Values,
)
from qhyper.targets.packed.target import PackedTarget


def show(name: str, array: np.ndarray) -> None:
    """Print a name and the hash of an array's bytes."""
    print(name, hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest())


def circuits(backend: str) -> None:
    """Draws, their probabilities and scores by one of our own simulators."""
    generator = QuantumHyperNetwork(8, ansatz=Brickwork(4), seeds=range(2), backend=backend)
    bits = generator.sample(100, rng=Streams(generator.seeds)(0)).bits
    show(f"{backend} log p", generator.log_prob(bits).detach().numpy())
    generator.accumulate_scores(bits, np.random.default_rng(0).normal(size=bits.shape[:3]))
    show(f"{backend} score", generator.theta.grad.numpy())
    if backend == "statevector":
        generator.zero_grad()
        values = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 1, 256)))
        generator.expectation(values).sum().backward()
        show("statevector expectation", generator.theta.grad.numpy())


def targets() -> None:
    """Losses of bitstrings by the kernels of small, dense and packed networks."""
    rng = np.random.default_rng(2)
    rows = Samples(rng.integers(0, 255, (300, 4)) / 128 - 1, np.arange(300) % 2)
    signs = Samples(np.sign(rows.x + 0.1), rows.y)
    for name, network, samples in (
        ("small", BinaryNetwork((4, 3, 3, 2)), rows),
        ("dense", BinaryNetwork(WeightSpace((4, 3, 2), activation="relu")), rows),
        ("packed", PackedTarget((4, 3, 2)), signs),
    ):
        draws: Bits = rng.integers(2, size=(100, network.n_bits)).astype(np.uint8)
        show(f"{name} losses", network.objective(samples)(draws))


def convolutions() -> None:
    """Outputs of a convolutional network with every kind of step, and bits between two of them."""
    rng = np.random.default_rng(3)

    def bits(*shape: int) -> Bits:
        return rng.integers(2, size=shape).astype(np.uint8)

    def threshold(channels: int) -> Threshold:
        return Threshold(rng.integers(-2, 3, channels) / 2, rng.random(channels) < 0.5)

    channels, pool = 8, MaxPool((2, 2), (2, 2))
    binary = BinaryConvolution(bits(channels, channels, 3, 3), padding=(1, 1))
    body = threshold(channels), binary, Scale(rng.normal(size=channels))
    steps = (
        Affine(np.full(3, 1 / 128), np.full(3, -1.0)),
        Convolution(rng.normal(size=(channels, 3, 3, 3)), padding=(1, 1)), MaxPool((2, 2), (2, 2)),
        Residual(body, ()), threshold(channels), binary, pool, threshold(channels),
        BinaryConvolution(bits(8, channels, 1, 1)), AvgPool((2, 2), (2, 2)),
        Convolution(rng.normal(size=(3, 8, 2, 2))),
    )  # fmt: skip
    network = ConvolutionalNetwork((3, 16, 16), steps)
    show("convolutional outputs", network.outputs(rng.integers(256, size=(20, 3, 16, 16))))
    of_bits = Values("bits", (channels, 4, 4))
    made = prepared((Convolution(rng.normal(size=(4, channels, 1, 1))), threshold(4)), of_bits)
    show("bits of a convolution", made(bits(20, channels, 4, 4)))


PARTS = {
    "convolutions": convolutions,
    "mps": lambda: circuits("mps"),
    "statevector": lambda: circuits("statevector"),
    "targets": targets,
}


def outputs(parts: Iterable[str], **environment: str) -> dict[str, list[str]]:
    """What each part prints, line by line, in processes at the same time."""
    running = {
        part: subprocess.Popen(
            [sys.executable, __file__, part],
            env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True,
        )
        for part in parts
    }  # fmt: skip
    lines = {part: process.communicate()[0].splitlines() for part, process in running.items()}
    assert not any(process.returncode for process in running.values()), lines
    return lines


if __name__ == "__main__":
    with event.install_recorder("numba:compile") as compilations:
        PARTS[sys.argv[1]]()
    print("compiled" if compilations.buffer else "loaded")
