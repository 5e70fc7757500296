"""Compiled just now or loaded from numba's cache, kernels round alike: a run can be run again."""

import os
import subprocess
import sys

PROGRAM = """
import hashlib
import numpy as np
import torch
from qhyper import BinaryNetwork, Brickwork, QuantumHyperNetwork, Samples, Streams

def show(name, array):
    print(name, hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest())

rng = np.random.default_rng(0)
for backend in ("mps", "statevector"):
    generator = QuantumHyperNetwork(8, ansatz=Brickwork(4), seeds=range(2), backend=backend)
    bits = generator.sample(100, rng=Streams(generator.seeds)(0)).bits
    show(f"{backend} log p", generator.log_prob(bits).detach().numpy())
    generator.accumulate_scores(bits, rng.normal(size=bits.shape[:3]))
    show(f"{backend} score", generator.theta.grad.numpy())
generator.zero_grad()
generator.expectation(torch.from_numpy(rng.normal(size=(1, 1, 256)))).sum().backward()
show("statevector expectation", generator.theta.grad.numpy())
data = Samples(rng.integers(0, 255, (300, 4)) / 128 - 1, np.arange(300) % 2)
network = BinaryNetwork((4, 3, 3, 2))
show("losses", network.objective(data)(rng.integers(2, size=(100, network.n_bits))))
"""


def test_results_do_not_depend_on_the_cache_of_compiled_kernels(tmp_path):
    def lines():
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    compiled = lines()
    assert len(compiled) == 6
    assert any(tmp_path.rglob("*.nbc"))
    assert lines() == compiled
