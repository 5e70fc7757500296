"""Quantum-Train: probabilities of 13 qubits, through a mapping network, as real weights.

Liu et al. (2024, arXiv:2402.16465 and 2405.11304), as their notebooks for MNIST and Fashion-MNIST
have it (github.com/Hon-Hai-Quantum-Computing/QuantumTrain, commit d5b6541): 16 blocks of U3 on
every qubit and CU3 around the ring, 1,248 angles; a mapping network 14-4-20-4-1 of 249
parameters; 1,497 in all. It is trained by gradients through the target network and through exact
probabilities, which a quantum computer does not give. The notebooks print test accuracies of
91.20 % for MNIST, of 1,000 test images drawn at random (standard error 0.9 %), and of 78.71 % for
Fashion-MNIST, of all 10,000; after one epoch of its own the target network, all 6,690 weights
trained, has 79.42 % there.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch

from classical.convolutional import N_WEIGHTS, ConvolutionalClassifier, ConvolutionalNetwork
from qhyper.errors import ConfigurationError, unknown
from qhyper.streams import Rngs, Streams

Source = Literal["circuit", "frozen", "free"]

N_QUBITS = math.ceil(math.log2(N_WEIGHTS))
"""Qubits of the circuit, 13: one basis state for each weight, and 1,502 that are left over."""

_MAPPING = (N_QUBITS + 1, 4, 20, 4, 1)
"""Units of the mapping network: bits and a probability go in, a weight comes out."""
_GAMMA, _BETA, _ALPHA = 0.1, 0.8, 0.3
"""Published constants of `_feature`."""


def u3(angles: torch.Tensor) -> torch.Tensor:
    """Matrices [..., 2, 2] of U3(θ, φ, λ), angles [..., 3].

    Rows (cos θ/2, -e^{iλ} sin θ/2) and (e^{iφ} sin θ/2, e^{i(φ+λ)} cos θ/2).
    """
    half, phi, lam = angles[..., 0] / 2, angles[..., 1], angles[..., 2]
    left = torch.polar(torch.ones_like(phi), phi)
    right = torch.polar(torch.ones_like(lam), lam)
    c, s = half.cos(), half.sin()
    rows = (c + 0 * left, -s * right, s * left, c * left * right)
    return torch.stack(rows, dim=-1).unflatten(-1, (2, 2))


def basis_probabilities(angles: torch.Tensor) -> torch.Tensor:
    """Probabilities of all bitstrings, [replica, 2^qubits], differentiable, the first qubit first.

    `angles` [replica, block, 2, qubit, 3] are those of each block's U3 on every qubit and then of
    its CU3 with control k and target k + 1, for k from 0, the last qubit controlling the first.
    Raises ConfigurationError for another shape, and for fewer than two qubits.
    """
    if angles.ndim != 5 or angles.shape[2] != 2 or angles.shape[3] < 2 or angles.shape[4] != 3:
        raise ConfigurationError(
            f"Got angles of shape {tuple(angles.shape)}; expected [replica, block, 2, qubit, 3], "
            "of two qubits or more."
        )
    replicas, qubits = len(angles), angles.shape[3]
    state = angles.new_zeros(replicas, 2**qubits, dtype=angles.dtype.to_complex())
    state[:, 0] = 1
    for gate in _ring_gates(angles).flatten(1, 2).unbind(1):
        # The two qubits of a gate come first; then the first goes last, and the next gate's two
        # come first. After a whole ring the order is the old one.
        state = (gate @ state.view(replicas, 4, -1)).view(replicas, 2, -1)
        state = state.transpose(1, 2).reshape(replicas, -1)
    return state.real.square() + state.imag.square()


def _ring_gates(angles: torch.Tensor) -> torch.Tensor:
    """[replica, block, qubit, 4, 4]: CU3 from a qubit to the next, after what U3 they still lack.

    Before the ring's first gate none of the qubits has had its U3; after it, only targets lack it,
    and the last gate's target does not.
    """
    single, controlled = u3(angles).unbind(2)
    none = torch.eye(2, dtype=single.dtype, device=single.device).expand_as(single[:, :, :1])
    of_control = torch.cat([single[:, :, :1], *[none] * (single.shape[2] - 1)], dim=2)
    of_target = torch.cat([single[:, :, 1:], none], dim=2)
    of_target = torch.stack([of_target, controlled @ of_target], dim=3)  # by the control's bit
    return torch.einsum("...ac,...abd->...abcd", of_control, of_target).flatten(-4, -3).flatten(-2)


def _feature(p: torch.Tensor) -> torch.Tensor:
    """What the mapping network is told of probabilities p [replica, bitstring], centred.

    (0.8 tanh(0.1 · 2^12 p))^0.3 of the first N_WEIGHTS bitstrings, less its mean.
    """
    p = p[:, :N_WEIGHTS].clamp_min(torch.finfo(p.dtype).tiny)  # the power has no derivative at 0
    x = (_BETA * (_GAMMA * 2 ** (N_QUBITS - 1) * p).tanh()) ** _ALPHA
    return x - x.mean(dim=-1, keepdim=True)


class QuantumTrain(ConvolutionalClassifier):
    """Quantum-Train: weight i is the mapping network's answer to i's bits and its probability.

    Bits of i are -1 and +1, the first the most significant; weights are centred. The mapping
    network has no activations, as published: whatever its 249 parameters, weight i is
    a · bits(i) + b f(p_i) less its mean, with 13 numbers a, one b, and f of `_feature`.

    Where the probabilities come from, `source`:

    - "circuit": `angles` of `blocks` blocks, trained, that start at U(-π, π); 1,497 parameters
    - "frozen": the same circuit, which stays as it starts; 249 parameters
    - "free": softmax of 2^13 trained numbers, `logits`, that start at logarithms of exponential
      draws: the distribution of probabilities of random states; 8,441 parameters

    With `shots`, whatever asks for logits or weights sees the frequencies of that many new draws,
    with the gradient of the exact probabilities (straight through `_feature`): a way to train that
    knows of the noise, though no device gives that gradient.

    Mapping layers start at torch's default, U(-l, l) with l = 1/√inputs. Published settings:
    pixels in [-1, 1], 50 epochs of batches of 128, Adam at 1e-4 with ε = 1e-6, weight decay 1e-5
    and a rate that halves on plateaus of the loss; `fit_classifier` has a constant rate, ε = 1e-7
    and no decay.

    Raises ConfigurationError as ConvolutionalClassifier does, for another source, and if blocks
    or shots < 1.
    """

    def __init__(
        self,
        source: Source = "circuit",
        *,
        blocks: int = 16,
        shots: int | None = None,
        seeds: Sequence[int] = (0,),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(seeds=seeds, dtype=dtype)
        if source not in get_args(Source):
            raise unknown("source of probabilities", str(source), get_args(Source))
        _check_count("blocks", blocks, "16")
        if shots is not None:
            _check_count("shots", shots, "10_000")
        self.shots = shots
        self._draws = Streams(self.seeds)(0, "batch")
        self._looks = Streams(self.seeds)(0, "evaluate")  # no look changes a training
        self.source: Source = source
        rng = self._start()
        self._start_source(rng, blocks)
        self.matrices, self.biases = torch.nn.ParameterList(), torch.nn.ParameterList()
        for n_in, n_out in pairwise(_MAPPING):
            limit = 1 / math.sqrt(n_in)
            self.matrices.append(self._uniform(rng, (n_in, n_out), limit))
            self.biases.append(self._uniform(rng, (1, n_out), limit))
        places = torch.arange(N_WEIGHTS)[:, None] >> torch.arange(N_QUBITS - 1, -1, -1)
        self.register_buffer("bits", ((places & 1) * 2 - 1).to(self.dtype), persistent=False)

    def _start_source(self, rng: Rngs, blocks: int) -> None:
        if self.source == "free":
            drawn = np.stack([np.log(stream.exponential(size=2**N_QUBITS)) for stream in rng])
            self.logits = torch.nn.Parameter(torch.from_numpy(drawn).to(self.dtype))
            return
        angles = self._uniform(rng, (blocks, 2, N_QUBITS, 3), math.pi)
        if self.source == "circuit":
            self.angles = torch.nn.Parameter(angles)
        else:
            self.register_buffer("frozen", basis_probabilities(angles))

    def probabilities(self) -> torch.Tensor:
        """Probabilities of all bitstrings, [replica, 2^13] of its dtype; the first qubit first."""
        if self.source == "circuit":
            return basis_probabilities(self.angles)
        return self.logits.softmax(dim=-1) if self.source == "free" else self.get_buffer("frozen")

    def frequencies(self, shots: int, *, step: int = 0) -> torch.Tensor:
        """Frequencies of all bitstrings in `shots` draws, [replica, 2^13] of its dtype.

        They are those of the replicas' streams of `step`. Raises ConfigurationError if shots < 1.
        """
        _check_count("shots", shots, "10_000")
        return self._drawn(self.probabilities(), shots, Streams(self.seeds)(step, "evaluate"))

    def weights(self) -> torch.Tensor:
        """The weights of the network, [replica, N_WEIGHTS] of its dtype.

        With `shots`, they are those of new draws.
        """
        p = self.probabilities()
        feature = _feature(p)
        if self.shots is not None:
            rng = self._draws if torch.is_grad_enabled() else self._looks
            drawn = _feature(self._drawn(p, self.shots, rng))
            feature = drawn + (feature - feature.detach())
        return self._mapped(feature)

    @torch.no_grad()
    def network(self, shots: int | None = None, *, step: int = 0) -> ConvolutionalNetwork:
        """The generated network on its own: from exact probabilities, or `frequencies` of shots.

        Raises ConfigurationError if shots < 1.
        """
        p = self.probabilities() if shots is None else self.frequencies(shots, step=step)
        weights = self._mapped(_feature(p))
        return ConvolutionalNetwork(weights=weights, seeds=self.seeds, dtype=self.dtype)

    def _mapped(self, feature: torch.Tensor) -> torch.Tensor:
        """Weights [replica, N_WEIGHTS] of features of the same shape."""
        bits = self.get_buffer("bits").expand(self.replicas, -1, -1)
        h = torch.cat([bits, feature[..., None]], dim=-1)
        for matrix, bias in zip(self.matrices, self.biases, strict=True):
            h = torch.baddbmm(bias, h, matrix)
        return h.squeeze(-1) - h.mean(dim=1)

    @staticmethod
    def _drawn(p: torch.Tensor, shots: int, rng: Rngs) -> torch.Tensor:
        """Frequencies in `shots` draws from p [replica, bitstring], each by its own stream."""
        pairs = zip(rng, p.detach().cpu().double().numpy(), strict=True)
        drawn = np.stack([stream.multinomial(shots, row / row.sum()) for stream, row in pairs])
        return torch.from_numpy(drawn / shots).to(p)


def _check_count(name: str, given: object, example: str) -> None:
    if type(given) is not int or given < 1:
        raise ConfigurationError(
            f"Got {name}={given!r}; expected a whole number of 1 or more, such as {example}."
        )
