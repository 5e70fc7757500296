"""QuantumHyperNetwork: a measured circuit as a distribution over weight bitstrings."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import Capabilities, HyperNetwork
from qhyper.quantum.circuit import Ansatz, Brickwork, Product, Start, initial_angles
from qhyper.streams import Rngs
from qhyper.target.space import WeightSpace

Order = str | Sequence[int]


class QuantumHyperNetwork(HyperNetwork):
    """The circuit of an ansatz on n_bits qubits; a measurement is a bitstring.

    Parameters: `angles` float64 [replica, angle]. Qubit q carries bit `order[q]`; `order` is a
    permutation or a name that `WeightSpace.order` knows: `row`, `unit` or `split`, of which all
    but `row` need the target's `space`. Unless told it is `split` with a space, the best one for
    optimising, and `row` without. Draws always come back in weight order. `start`: see
    `initial_angles`. Runs on the exact matrix-product simulator; raises ConfigurationError if that
    would not fit in memory.
    """

    capabilities = Capabilities(log_prob=True, quantum=True)

    def __init__(
        self,
        n_bits: int,
        *,
        ansatz: Ansatz,
        order: Order | None = None,
        start: Start = "near-product",
        space: WeightSpace | None = None,
        seeds: Sequence[int] = (0,),
    ) -> None:
        # numba is slow to import, and only whoever runs a circuit needs it
        from qhyper.quantum.simulators import mps

        super().__init__(n_bits, seeds=seeds)
        self.ansatz = ansatz
        self.circuit = ansatz.build(n_bits)
        self.start: Start = start
        self.order = _permutation(order, n_bits, space)
        self._mps = mps
        self._program = mps.compile_circuit(self.circuit, replicas=self.replicas)
        self.angles = torch.nn.Parameter(
            torch.zeros(self.replicas, self.circuit.n_angles, dtype=torch.float64)
        )
        self.initialise()

    def describe(self) -> str:
        """The ansatz, and the size of its circuit."""
        entangling = sum(gate.angle is None for gate in self.circuit.gates)
        return (
            f"{self.ansatz}: {self.n_bits} qubits, {self.circuit.n_angles} angles, {entangling} "
            f"two-qubit gates, {self.start} start"
        )

    def _initialise(self, rng: Rngs) -> None:
        angles = [initial_angles(self.circuit, self.start, r) for r in rng]
        self.angles.copy_(torch.from_numpy(np.stack(angles)))

    def _sample(self, shots: int, rng: Rngs, inputs: Any) -> Bits:
        uniforms = np.stack([r.random((shots, self.n_bits)) for r in rng])
        measured = self._mps.sample(self._program, self.angles.detach().numpy(), uniforms)
        bits = np.empty_like(measured)
        bits[..., self.order] = measured
        return bits[:, None]

    def _log_prob(self, bits: Bits, inputs: Any) -> torch.Tensor:
        return _LogProb.apply(self.angles, self, self._measured(bits)).reshape(bits.shape[:3])

    def accumulate_scores(
        self, bits: Bits, coefficients: npt.NDArray[np.float64], *, inputs: Any = None
    ) -> None:
        """As in HyperNetwork, in one pass: log p itself is not needed."""
        score = self._mps.score(
            self._program,
            self.angles.detach().numpy(),
            self._measured(self._checked(bits, inputs)),
            np.ascontiguousarray(coefficients.reshape(self.replicas, -1), dtype=np.float64),
        )
        torch.autograd.backward(self.angles, torch.from_numpy(score))

    def _measured(self, bits: Bits) -> Bits:
        """Bits [replica, input, shot, bit], in weight order, as measured [replica, shot, qubit]."""
        return np.ascontiguousarray(bits[..., self.order].reshape(self.replicas, -1, self.n_bits))


class _LogProb(torch.autograd.Function):
    """log p of the exact simulator, whose backward pass is its score."""

    @staticmethod
    def forward(
        ctx: Any, angles: torch.Tensor, generator: QuantumHyperNetwork, measured: Bits
    ) -> torch.Tensor:
        ctx.save_for_backward(angles)
        ctx.generator, ctx.measured = generator, measured
        simulator, program = generator._mps, generator._program
        return torch.from_numpy(simulator.log_prob(program, angles.detach().numpy(), measured))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (angles,) = ctx.saved_tensors
        simulator, program = ctx.generator._mps, ctx.generator._program
        coefficients = np.ascontiguousarray(gradient.numpy())
        score = simulator.score(program, angles.detach().numpy(), ctx.measured, coefficients)
        return torch.from_numpy(score), None, None


def _permutation(
    order: Order | None, n_bits: int, space: WeightSpace | None
) -> npt.NDArray[np.int64]:
    if space is not None:
        space.check(n_bits)
    if order is None:
        order = "row" if space is None else "split"
    if isinstance(order, str):
        if space is None and order != "row":
            raise ConfigurationError(
                f"The qubit order '{order}' depends on the target: pass its WeightSpace as "
                "`space`, or give a permutation of the bits."
            )
        return np.arange(n_bits) if space is None else space.order(order)
    permutation = np.asarray(order)
    if permutation.shape != (n_bits,) or (np.sort(permutation) != np.arange(n_bits)).any():
        raise ConfigurationError(
            f"Got the qubit order {list(order)}; expected a permutation of 0 to {n_bits - 1}: "
            "entry q is the bit that qubit q carries."
        )
    return permutation


# -- the registered ones, with the settings that suit them -----------------------------------------


def brickwork(
    n_bits: int,
    *,
    depth: int = 4,
    phase: int = 0,
    order: Order | None = None,
    start: Start = "near-product",
    space: WeightSpace | None = None,
    seeds: Sequence[int] = (0,),
) -> QuantumHyperNetwork:
    """The brickwork ansatz, in the order `split` unless told otherwise."""
    ansatz = Brickwork(depth, phase)  # type: ignore[arg-type]
    each = 30_000 if depth < 4 else 60_000
    recipe = {"draws": 64, "learning_rate": 0.1, "start_evaluations": each}
    return _with_recipe(recipe, n_bits, ansatz, order, start, space, seeds)


depth2 = partial(brickwork, depth=2)
depth4 = partial(brickwork, depth=4)


def product(
    n_bits: int,
    *,
    order: Order | None = None,
    start: Start = "near-product",
    space: WeightSpace | None = None,
    seeds: Sequence[int] = (0,),
) -> QuantumHyperNetwork:
    """The product ansatz: the control without entanglement."""
    recipe = {"draws": 64, "learning_rate": 0.2, "start_evaluations": 10_000}
    return _with_recipe(recipe, n_bits, Product(), order, start, space, seeds)


def _with_recipe(
    recipe: dict[str, Any],
    n_bits: int,
    ansatz: Ansatz,
    order: Order | None,
    start: Start,
    space: WeightSpace | None,
    seeds: Sequence[int],
) -> QuantumHyperNetwork:
    generator = QuantumHyperNetwork(
        n_bits, ansatz=ansatz, order=order, start=start, space=space, seeds=seeds
    )
    generator.recipe = recipe
    return generator
