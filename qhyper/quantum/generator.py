"""QuantumHyperNetwork: a measured circuit as a distribution over weight bitstrings."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import torch

from qhyper.arrays import as_float
from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import Capabilities, HyperNetwork
from qhyper.quantum.ansatz import (
    STARTS,
    Ansatz,
    Reuploading,
    Start,
    Unentangled,
    build_ansatz,
    initial_parameters,
)
from qhyper.quantum.backend import Backend, suitable
from qhyper.quantum.backends import build_backend
from qhyper.quantum.circuit import Circuit
from qhyper.registry import load_object
from qhyper.streams import Rngs, check_rng
from qhyper.targets.layout import Layout, permutation

Order = str | Sequence[int]
Floats = npt.NDArray[np.float64]


class QuantumHyperNetwork(HyperNetwork):
    """A circuit on n_bits qubits; a measurement is a bitstring.

    - ansatz: what builds the circuit, or the Circuit itself
    - order: qubit q carries bit `order[q]`. A permutation, or a name that `Layout.order`
      knows: `row`, `unit`, `unit-centre` or `split`, of which all but `row` need the target's
      `layout`. Unless told it is `row` for a Circuit: qubit q carries bit q. For an ansatz it is
      its own, or `split` with a layout, the best one for optimising, and `row` without. Draws
      always come back in weight order.
    - start: see `initial_parameters`, or parameters [n_parameters] to begin at. Unless told it is
      that of the ansatz, near-product for most, and uniform for a circuit of one's own.
    - backend: where the circuit runs, or its name (`build_backend`). Unless told it is chosen by
      what the circuit needs.
    - frozen: the parameters stay at their start, and only what surrounds the circuit is trained,
      such as the embeddings of `Chunked`

    Parameters: `theta` float64 [replica, parameter]; the gates' angles are affine in them. Raises
    ConfigurationError if the backend cannot hold the circuit.
    """

    def __init__(
        self,
        n_bits: int,
        *,
        ansatz: Ansatz | Circuit,
        order: Order | None = None,
        start: Start | Sequence[float] | None = None,
        backend: Backend | str | None = None,
        frozen: bool = False,
        layout: Layout | None = None,
        seeds: Sequence[int] = (0,),
    ) -> None:
        super().__init__(n_bits, seeds=seeds)
        if not isinstance(ansatz, Circuit) and not hasattr(ansatz, "build"):
            raise ConfigurationError(
                f"Got ansatz={ansatz!r}; expected a Circuit, or an ansatz such as "
                "Brickwork(depth=4). A circuit of Qiskit or PennyLane becomes one by "
                "as_circuit(...). By name: build_generator('quantum', n_bits, "
                "options={'ansatz': ...})."
            )
        circuit = ansatz if isinstance(ansatz, Circuit) else ansatz.build(n_bits)
        self.n_inputs = circuit.n_inputs
        if circuit.n_qubits != n_bits:
            raise ConfigurationError(
                f"Got a circuit of {circuit.n_qubits} qubits for {n_bits} bits; expected one qubit "
                "a bit."
            )
        if not len(circuit.trained):
            raise ConfigurationError(
                "The circuit has no parameter to train: give some of its rotations one."
            )
        if frozen and not circuit.n_inputs:
            raise ConfigurationError(
                "A frozen circuit keeps the parameters of its start, and without inputs nothing "
                "surrounds it that could be trained. Leave frozen out, or give the circuit "
                "embeddings to see: the generator chunked with the option frozen=true."
            )
        self.ansatz, self.circuit = ansatz, circuit
        own = isinstance(ansatz, Circuit)
        usual: Start = "uniform" if own else getattr(ansatz, "start", "near-product")
        self.start: Start | Sequence[float] = usual if start is None else start
        if order is None and layout is not None:
            order = "row" if own else getattr(ansatz, "order", None)
        self.order = qubit_order(order, n_bits, layout)
        self._in_order = bool((self.order == np.arange(n_bits)).all())
        if backend is None:
            backend = suitable(circuit)
        self.backend = build_backend(backend) if isinstance(backend, str) else backend
        self._executable: Any = self.backend.compile(circuit, rows=self.replicas)
        self._kept: tuple[Any, Floats, Any] | None = None
        able = self.backend.capabilities
        turned = able.log_prob and not circuit.entangled
        self.capabilities = Capabilities(
            log_prob=able.log_prob,
            angles=True,
            probability_bits=able.probability_bits if able.log_prob or able.expectation else 0,
            marginals=turned,
            independent=turned,
            quantum=True,
            mitigates=able.mitigates,
        )
        self._affine = None if circuit.plain else circuit.affine()
        self.theta = torch.nn.Parameter(
            torch.zeros(self.replicas, circuit.n_parameters, dtype=torch.float64),
            requires_grad=not frozen,
        )
        self.initialise()

    def describe(self) -> str:
        """The ansatz, the size of its circuit, and where it runs."""
        entangling = sum(gate.angle is None for gate in self.circuit.gates)
        name = "own circuit" if isinstance(self.ansatz, Circuit) else str(self.ansatz)
        start = f"{self.start} start" if isinstance(self.start, str) else "own start"
        device = self.theta.device.type
        frozen = ", frozen" * (not self.theta.requires_grad)
        where = f", on {self.backend}" * (str(self.backend) != "mps")
        where += f", on {device}" * (device != "cpu")
        return (
            f"{name}: {self.n_bits} qubits, {self.circuit.n_angles} angles, {entangling} "
            f"two-qubit gates, {start}{frozen}{where}"
        )

    def _initialise(self, rng: Rngs) -> None:
        if isinstance(self.start, str):
            rows = [initial_parameters(self.circuit, self.start, stream) for stream in rng]
        else:
            own = as_float(self.start, "a start", "finite parameters")
            if own.shape != (self.circuit.n_parameters,) or not np.isfinite(own).all():
                raise ConfigurationError(
                    f"Got a start of shape {own.shape}; expected {self.circuit.n_parameters} "
                    f"finite parameters, or one of {', '.join(STARTS)}."
                )
            rows = [own] * len(rng)
        self.theta.copy_(torch.from_numpy(np.stack(rows)))

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Behind `to` and `cuda`: the matrix product runs where the parameters are."""
        before = self.theta.device
        super()._apply(fn, recurse)
        if self.theta.device == before:
            return self
        if str(self.backend) != "mps":
            raise ConfigurationError(
                f"The backend {self.backend} runs on the cpu alone; got the device "
                f"{self.theta.device}. Use the backend mps, or the device cpu."
            )
        self.backend = build_backend("mps", {"device": str(self.theta.device)})
        self._executable = self.backend.compile(self.circuit, rows=self.replicas)
        self._kept = None
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Of copies and files: without what is kept, which is made anew."""
        return {**self.__dict__, "_kept": None}

    @property
    def executable(self) -> Any:
        """The circuit as its backend has compiled it."""
        return self._executable

    def _at(self, angles: torch.Tensor) -> Any:
        """The executable at angles [replica, input, angle], by its last state if this is the same.

        Sampling and the scores of a step so share what they compute. Bits are compared, not
        versions of tensors: however theta or the inputs were changed, a state is never stale.
        """
        values = _numpy(angles)
        if self._kept is not None:
            executable, before, prepared = self._kept
            if executable is self._executable and np.array_equal(
                before.view(np.int64), values.view(np.int64)
            ):
                return prepared
        prepared = self._executable.at(values)
        self._kept = (self._executable, values.copy(), prepared)
        return prepared

    # -- angles -------------------------------------------------------------------------------

    def angles(self, *, inputs: Any = None) -> torch.Tensor:
        """The angles of the gates in radians, float64 [replica, input, angle], differentiable."""
        return self._angles(self._as_inputs(inputs))

    def _angles(self, inputs: torch.Tensor | None) -> torch.Tensor:
        x = self.theta[:, None]
        if self._affine is None:
            return x
        if inputs is not None:
            inputs = inputs.to(x.device)
            x = torch.cat([x.expand(-1, inputs.shape[1], -1), inputs], dim=-1)
        affine = self._affine
        terms = x[..., affine.column] * torch.as_tensor(affine.coefficient, device=x.device)
        offset = torch.as_tensor(affine.offset, device=x.device).expand(*x.shape[:2], -1)
        return offset.index_add(2, torch.as_tensor(affine.angle, device=x.device), terms)

    @property
    def trained_angles(self) -> npt.NDArray[np.int64]:
        """The numbers of the angles that depend on a parameter, int64 [trained angle]."""
        return self.circuit.trained

    def sample_angles(self, angles: npt.NDArray[np.float64], shots: int, *, rng: Rngs) -> Bits:
        """Draws [replica, row, shot, bit] at angles [replica, row, angle] in radians, in one call.

        Raises ConfigurationError if `shots` < 1, or if the angles or `rng` do not fit.
        """
        if shots < 1:
            raise ConfigurationError(f"shots must be at least 1; got {shots}.")
        angles = np.ascontiguousarray(as_float(angles, "angles", "finite numbers"))
        self._check_angles(angles)
        check_rng(rng, self.replicas)
        return self._by_bit(self._executable.at(angles).sample(shots, rng))

    def mitigated(self, bits: Bits, losses: Floats) -> Floats:
        """Losses [..., shot] whose means have no readout errors, of bits [..., shot, bit].

        `losses` [..., shot] are those of the bits as they were measured.

        With the capability `mitigates` alone; see `qhyper.quantum.backend.Executable`.
        """
        return self._executable.mitigated(self._measured(bits), losses)

    def _check_angles(self, angles: npt.NDArray[np.float64]) -> None:
        rows = angles.shape[1] if angles.ndim == 3 else 0
        expected = (self.replicas, rows, self.circuit.n_angles)
        if angles.shape != expected or not np.isfinite(angles).all():
            raise ConfigurationError(
                f"Got angles of shape {angles.shape}; expected finite numbers [replica, row, "
                f"angle] = [{self.replicas}, rows, {self.circuit.n_angles}]."
            )

    # -- draws and probabilities --------------------------------------------------------------

    def _sample(self, shots: int, rng: Rngs, inputs: torch.Tensor | None) -> Bits:
        return self._by_bit(self._at(self._angles(inputs)).sample(shots, rng))

    def _log_prob(self, bits: Bits, inputs: torch.Tensor | None) -> torch.Tensor:
        angles = self._angles(inputs)
        return _LogProb.apply(angles, self._at(angles), self._measured(bits))

    def accumulate_scores(
        self, bits: Bits, coefficients: npt.NDArray[np.float64], *, inputs: Any = None
    ) -> None:
        """As in HyperNetwork, in one pass: log p itself is not needed.

        Raises ConfigurationError unless there is a coefficient for each draw.
        """
        if not self.capabilities.log_prob:
            return super().accumulate_scores(bits, coefficients, inputs=inputs)  # refuses
        checked = self._as_inputs(inputs)
        angles = self._angles(checked)
        measured = self._measured(self._checked(bits, checked))
        factors = np.ascontiguousarray(coefficients, dtype=np.float64)
        if factors.shape != measured.shape[:3]:
            raise ConfigurationError(
                f"Got coefficients of shape {factors.shape}; expected one a draw, [replica, input, "
                f"shot] = {list(measured.shape[:3])}."
            )
        score = self._at(angles).score(measured, factors)
        torch.autograd.backward(angles, torch.from_numpy(score).to(angles.device))

    def scores(self, bits: Bits, *, inputs: Any = None) -> npt.NDArray[np.float64]:
        """As in HyperNetwork, by the backend's own derivatives."""
        if not self.capabilities.log_prob:
            return super().scores(bits, inputs=inputs)  # refuses
        checked = self._as_inputs(inputs)
        measured = self._measured(self._checked(bits, checked))
        scores = self._at(self._angles(checked)).scores(measured)
        if self._affine is None:
            return scores
        affine, n_parameters = self._affine, self.circuit.n_parameters
        by_parameter = np.zeros((*scores.shape[:3], n_parameters + self.n_inputs))
        for angle, column, coefficient in zip(
            affine.angle, affine.column, affine.coefficient, strict=True
        ):
            by_parameter[..., column] += coefficient * scores[..., angle]
        return by_parameter[..., :n_parameters]

    def _probabilities(self, inputs: torch.Tensor | None) -> torch.Tensor:
        if not self.backend.capabilities.expectation:
            if self.capabilities.log_prob:
                return super()._probabilities(inputs)
            table = self._at(self._angles(inputs)).probabilities()
            return self._by_weight(torch.from_numpy(table))  # without derivatives
        angles = self._angles(inputs)
        return self._by_weight(_Probabilities.apply(angles, self._at(angles)))

    def _marginals(self, inputs: torch.Tensor | None) -> torch.Tensor:
        if not self.capabilities.marginals:
            return super()._marginals(inputs)
        if any(gate.name != "ry" for gate in self.circuit.gates):
            return self._turned(self._angles(inputs))
        # Ry alone: the angles of a qubit add up to t, and |1> has the amplitude sin(t / 2)
        qubits = [gate.qubits[0] for gate in self.circuit.gates]
        angles = self._angles(inputs)
        turns = angles.new_zeros(*angles.shape[:2], self.n_bits)
        of_angles = torch.as_tensor(self.order[qubits], device=angles.device)
        return (turns.index_add(2, of_angles, angles) / 2).sin().square()

    def _turned(self, angles: torch.Tensor) -> torch.Tensor:
        """The probability of a 1 of every bit, of rotations alone: each qubit's turned sphere."""
        zero = angles.new_zeros(angles.shape[:2])
        of_bit = [[zero, zero, zero + 1] for _ in range(self.n_bits)]  # <X>, <Y>, <Z> of |0>
        for gate, number in self.circuit.numbered():
            axes = of_bit[self.order[gate.qubits[0]]]
            one, other = {"rx": (1, 2), "ry": (2, 0), "rz": (0, 1)}[gate.name]
            cos, sin = angles[..., number].cos(), angles[..., number].sin()
            axes[one], axes[other] = (
                axes[one] * cos - axes[other] * sin,
                axes[one] * sin + axes[other] * cos,
            )
        return ((1 - torch.stack([z for _, _, z in of_bit], dim=-1)) / 2).clamp(0, 1)

    @property
    def max_probability_bits(self) -> int:
        """Those of the backend: a noisy one has probabilities without derivatives."""
        return max(self.differentiable_bits, self.backend.capabilities.probability_bits)

    def expectation(self, costs: torch.Tensor, *, inputs: Any = None) -> torch.Tensor:
        """As in HyperNetwork; in one adjoint pass where the backend has it."""
        if not self.backend.capabilities.expectation:
            return super().expectation(costs, inputs=inputs)
        angles = self._angles(self._as_inputs(inputs))
        costs = costs.expand(*angles.shape[:2], 1 << self.n_bits)
        return _Expectation.apply(angles, self._at(angles), _numpy(self._by_qubit(costs)))

    # -- bits and qubits ----------------------------------------------------------------------

    def _by_bit(self, measured: Bits) -> Bits:
        """Draws [..., qubit] as bits [..., bit], in weight order."""
        if self._in_order:
            return measured
        bits = np.empty_like(measured)
        bits[..., self.order] = measured
        return bits

    def _measured(self, bits: Bits) -> Bits:
        """A copy of bits [..., bit], in weight order, as measured [..., qubit]."""
        return np.array(bits, order="C") if self._in_order else bits.take(self.order, axis=-1)

    def _by_weight(self, table: torch.Tensor) -> torch.Tensor:
        """A table over strings of qubits, [..., 2^n], as one over bitstrings in weight order."""
        return self._permuted(table, np.argsort(self.order))

    def _by_qubit(self, table: torch.Tensor) -> torch.Tensor:
        """The inverse of `_by_weight`."""
        return self._permuted(table, self.order)

    def _permuted(self, table: torch.Tensor, new: npt.NDArray[np.int64]) -> torch.Tensor:
        """Position i of the new strings is position new[i] of the old ones."""
        if (new == np.arange(self.n_bits)).all():
            return table
        n, lead = self.n_bits, table.ndim - 1
        axes = table.reshape(*table.shape[:-1], *[2] * n)  # the last position comes first
        order = [lead + n - 1 - int(new[n - 1 - i]) for i in range(n)]
        return axes.permute(*range(lead), *order).reshape(table.shape)


class _LogProb(torch.autograd.Function):
    """log p of a circuit at angles [replica, row, shot], whose backward pass is its score."""

    @staticmethod
    def forward(ctx: Any, angles: torch.Tensor, prepared: Any, measured: Bits) -> torch.Tensor:
        ctx.prepared, ctx.measured = prepared, measured
        return torch.from_numpy(prepared.log_prob(measured)).to(angles.device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        score = ctx.prepared.score(ctx.measured, _numpy(gradient))
        return torch.from_numpy(score).to(gradient.device), None, None


class _Probabilities(torch.autograd.Function):
    """p of every string: its backward pass is the gradient of an expectation."""

    @staticmethod
    def forward(ctx: Any, angles: torch.Tensor, prepared: Any) -> torch.Tensor:
        ctx.prepared = prepared
        return torch.from_numpy(prepared.probabilities()).to(angles.device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        _, derivatives = ctx.prepared.expectation(_numpy(gradient))
        return torch.from_numpy(derivatives).to(gradient.device), None


class _Expectation(torch.autograd.Function):
    """Σ p · costs, with its derivatives computed in the same pass."""

    @staticmethod
    def forward(
        ctx: Any, angles: torch.Tensor, prepared: Any, costs: npt.NDArray[np.float64]
    ) -> torch.Tensor:
        value, derivatives = prepared.expectation(costs)
        ctx.save_for_backward(torch.from_numpy(derivatives).to(angles.device))
        return torch.from_numpy(value).to(angles.device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (derivatives,) = ctx.saved_tensors
        return gradient[..., None] * derivatives, None, None


def _numpy(tensor: torch.Tensor) -> npt.NDArray[np.float64]:
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), dtype=np.float64)


def qubit_order(order: Order | None, n_bits: int, layout: Layout | None) -> npt.NDArray[np.int64]:
    """The qubit order [n_bits]: entry q is the bit that qubit q carries."""
    if order is None:
        order = "row" if layout is None else "split"
    return permutation(order, n_bits, layout, kind="qubit order", entry="qubit q carries")


# -- the registered ones, with the settings that suit them -----------------------------------------


def quantum(
    n_bits: int,
    *,
    ansatz: str = "brickwork",
    order: Order | None = None,
    start: Start | Sequence[float] | None = None,
    backend: Backend | str | None = None,
    backend_options: Mapping[str, Any] | None = None,
    n_inputs: int = 0,
    entangled: bool = True,
    frozen: bool = False,
    layout: Layout | None = None,
    seeds: Sequence[int] = (0,),
    **ansatz_options: Any,
) -> QuantumHyperNetwork:
    """A circuit by the name of its ansatz (`build_ansatz`), whose options come besides.

    - ansatz: its name, `module:Class` of one of your own, or `module:object` of a circuit: a
      Circuit, a Qiskit QuantumCircuit or a PennyLane function, which take no options
    - order: which bit each qubit carries: `row`, `unit`, `unit-centre`, `split` or a permutation.
      Unless told `split` for an ansatz, `row` for a circuit of your own
    - start: where training starts, or the parameters themselves; the ansatz's own unless told, for
      most `near-product`, and `uniform` for a circuit of your own
    - backend: where the circuit runs; chosen by the circuit unless told
    - backend_options: those of the backend
    - n_inputs: features that the circuit of an ansatz sees (`Reuploading`)
    - entangled: whether it has its CX and CZ gates: without, the parameters are the same
      (`Unentangled`)
    - frozen: of circuits that see an input, as in `chunked`: whether they stay at their start, and
      only what surrounds them is trained
    - ansatz_options: those of the ansatz

    Raises ConfigurationError for what cannot be built.
    """
    for name, value in (("entangled", entangled), ("frozen", frozen)):
        if not isinstance(value, bool):
            raise ConfigurationError(f"{name} is true or false; got {value!r}.")
    own: Any = load_object(ansatz) if ":" in ansatz else None
    built: Ansatz | Circuit
    if own is None or (isinstance(own, type) and hasattr(own, "build")):
        qubits = qubit_order(order, n_bits, layout).tolist()
        built = build_ansatz(ansatz, ansatz_options, order=qubits, layout=layout)
    elif ansatz_options:
        raise ConfigurationError(
            f"The own circuit {ansatz} takes no options; got {', '.join(ansatz_options)}. Options "
            "are for the class of an ansatz, with a method `build`."
        )
    elif hasattr(own, "build"):
        built = cast(Ansatz, own)
    else:
        from qhyper.quantum.convert import as_circuit

        built = as_circuit(own, n_bits)
        if n_inputs not in (0, built.n_inputs):
            raise ConfigurationError(
                f"The own circuit {ansatz} sees {built.n_inputs} features by its gates; got "
                f"n_inputs={n_inputs}."
            )
    if getattr(built, "sees_inputs", False):
        if n_inputs != n_bits:
            raise ConfigurationError(
                f"The ansatz {ansatz} sees one feature a qubit; got n_inputs={n_inputs} for "
                f"{n_bits} qubits."
            )
    elif n_inputs and not isinstance(built, Circuit):
        built = Reuploading(built, n_inputs)
    if not entangled:
        built = built.unentangled if isinstance(built, Circuit) else Unentangled(built)
    if backend_options is not None and not isinstance(backend, str):
        raise ConfigurationError("backend_options need the name of a backend: set `backend` too.")
    if isinstance(backend, str):
        backend = build_backend(backend, backend_options)
    generator = QuantumHyperNetwork(
        n_bits, ansatz=built, order=order, start=start, backend=backend, frozen=frozen,
        layout=layout, seeds=seeds,
    )  # fmt: skip
    deep = ansatz_options.get("depth", 4) >= 4
    generator.recipe = (
        {"draws": 64, "learning_rate": 0.2, "start_steps": 156}
        if ansatz == "product"
        else {"draws": 64, "learning_rate": 0.1, "start_steps": 937 if deep else 468}
    )
    return generator


product = partial(quantum, ansatz="product")
depth2 = partial(quantum, ansatz="brickwork", depth=2)
depth4 = partial(quantum, ansatz="brickwork", depth=4)
