"""Chunked: one generator that sees an input, asked once a chunk."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from qhyper.arrays import as_float
from qhyper.bits import Bits
from qhyper.compose.fields import Field
from qhyper.compose.ordered import Ordered
from qhyper.compose.parts import (
    Composed,
    Float,
    check_parts,
    count_angles,
    product,
    somewhere,
    with_angles,
)
from qhyper.compose.plans import check_plan
from qhyper.errors import ConfigurationError, unknown
from qhyper.hypernetwork import HyperNetwork, build_generator
from qhyper.streams import Rngs
from qhyper.targets.layout import Layout

MAX_BITS_OF_A_CHUNK = 10
"""Of the chunks that `chunked` chooses by itself."""
EMBEDDINGS = ("learned", "random")


class Chunked(Composed):
    """One generator that sees an input, asked once a chunk: a static hypernetwork.

    The bits are `chunks` runs of `generator.n_bits` bits, independent of one another, of which
    chunk c is drawn at its embedding, an input of `generator.n_inputs` features: few parameters
    and, of a circuit, few qubits for many bits. As the weights of a network by Ha et al. (2016,
    arXiv:1609.09106), by chunks as of von Oswald et al. (2020, arXiv:1906.00695).

    `embeddings`: `learned` with the generator from N(0, 1); `random`, fixed at such a start; or
    fixed numbers [chunk, feature], the same for all replicas. They are the parameter `embeddings`,
    float64 [replica, chunk, feature]. Or a `Field`, whose numbers of a chunk's own bits are its
    embedding: smooth over the image that a unit sees, and of few parameters; chunk c then has the
    bits `plan[c]` of the field's layout. The generator is drawn anew here.

    All chunks are whole: bits of the last one that were left out would have to be summed over in
    log p. Use a generator of fewer bits, or `Joined` with another one for the rest.

    Raises ConfigurationError for a generator without inputs, no chunk, and embeddings of another
    shape.
    """

    generator: HyperNetwork

    def __init__(
        self,
        generator: HyperNetwork,
        chunks: int,
        *,
        embeddings: str | npt.ArrayLike | Field = "learned",
        plan: npt.NDArray[np.int64] | None = None,
    ) -> None:
        if not isinstance(generator, HyperNetwork) or not generator.n_inputs:
            name = generator.describe() if isinstance(generator, HyperNetwork) else repr(generator)
            raise ConfigurationError(
                f"Got {name} to be asked once a chunk; expected a generator that sees an input, "
                "such as ConditionalBernoulli, or a circuit of the ansatz Reuploading."
            )
        check_parts([generator])
        if isinstance(chunks, bool) or not isinstance(chunks, int | np.integer) or chunks < 1:
            raise ConfigurationError(f"chunks is a whole number, at least 1; got {chunks!r}.")
        super().__init__(int(chunks) * generator.n_bits, seeds=generator.seeds)
        self.chunks = int(chunks)
        self.field = embeddings if isinstance(embeddings, Field) else None
        if isinstance(embeddings, Field):
            self._kind = embeddings.describe()
            self._plan = torch.from_numpy(self._checked_plan(plan, generator.n_inputs))
        else:
            self._kind = self._begin(embeddings, _device_of(generator), generator)
        self.generator = generator
        self.capabilities = self.joint_capabilities()
        self._n_angles = count_angles(generator) if self.capabilities.angles else 0
        if generator.recipe:  # one made for mini-batches, whose inputs are many, has few draws
            self.recipe = {**generator.recipe, "draws": max(64, generator.recipe.get("draws", 0))}
        self.initialise()

    def _begin(self, embeddings: Any, device: torch.device, generator: HyperNetwork) -> str:
        """Make the parameter `embeddings`; in words what it is."""
        shape = (self.chunks, generator.n_inputs)
        if isinstance(embeddings, str) and embeddings not in EMBEDDINGS:
            raise unknown("embeddings", embeddings, EMBEDDINGS)
        self._given = None if isinstance(embeddings, str) else _fixed_embeddings(embeddings, shape)
        kind = embeddings if isinstance(embeddings, str) else "given"
        start = torch.empty(self.replicas, *shape, dtype=torch.float64, device=device)
        self.embeddings = torch.nn.Parameter(start, requires_grad=kind == "learned")
        return f"{kind} embeddings of {generator.n_inputs} features"

    def _checked_plan(
        self, plan: npt.NDArray[np.int64] | None, features: int
    ) -> npt.NDArray[np.int64]:
        if plan is None or plan.shape != (self.chunks, features):
            found = None if plan is None else plan.shape
            raise ConfigurationError(
                f"Got a chunk plan of shape {found} for a field; expected [chunk, bit] = "
                f"{[self.chunks, features]}: a chunk's features are the field at its bits."
            )
        check_plan(plan, self.n_bits)
        return plan

    def embedded(self) -> torch.Tensor:
        """The embeddings of all chunks, float64 [replica, chunk, feature], differentiable."""
        return self.embeddings if self.field is None else self.field()[:, self._plan]

    @property
    def _trained(self) -> bool:
        """Whether the embeddings are trained."""
        return self.field is not None or self.embeddings.requires_grad

    def describe(self) -> str:
        """One line on what this generator is, for reports."""
        return (
            f"{self.chunks:,} chunks of {self.generator.n_bits} bits, {self._kind}, each by "
            f"{self.generator.describe()}"
        )

    def _initialise(self, rng: Rngs) -> None:
        if self.field is not None:
            self.field.initialise(rng)
        elif self._given is None:
            start = np.stack([stream.normal(size=self.embeddings.shape[1:]) for stream in rng])
            self.embeddings.copy_(torch.from_numpy(start))
        else:
            self.embeddings.copy_(torch.from_numpy(self._given))
        self.generator._initialise(rng)

    # -- draws and probabilities ------------------------------------------------------------------

    def _side_by_side(self, bits: Bits) -> Bits:
        """[replica, chunk, shot, bit] as [replica, 1, shot, chunk · bit]."""
        replicas, _, shots, _ = bits.shape
        return bits.transpose(0, 2, 1, 3).reshape(replicas, 1, shots, self.n_bits)

    def _by_chunk(self, bits: Bits) -> Bits:
        """The inverse of `_side_by_side`."""
        replicas, _, shots, _ = bits.shape
        split = bits.reshape(replicas, shots, self.chunks, self.generator.n_bits)
        return np.ascontiguousarray(split.transpose(0, 2, 1, 3))

    def _sample(self, shots: int, rng: Rngs, inputs: torch.Tensor | None) -> Bits:
        return self._side_by_side(
            self.generator.sample(shots, rng=rng, inputs=self.embedded()).bits
        )

    def _log_prob(self, bits: Bits, inputs: torch.Tensor | None) -> torch.Tensor:
        each = self.generator.log_prob(self._by_chunk(bits), inputs=self.embedded())
        return each.sum(1, keepdim=True)

    def accumulate_scores(self, bits: Bits, coefficients: Float, *, inputs: Any = None) -> None:
        """As in HyperNetwork, in the way of the generator, whose input is differentiated too."""
        if not self.capabilities.log_prob:
            return super().accumulate_scores(bits, coefficients, inputs=inputs)  # refuses
        by_chunk = self._by_chunk(self._checked(bits, self._as_inputs(inputs)))
        shared = np.broadcast_to(coefficients, by_chunk.shape[:3])
        self.generator.accumulate_scores(
            by_chunk, np.ascontiguousarray(shared), inputs=self.embedded()
        )

    def _scores(self, bits: Bits, inputs: Any) -> Float:
        if not _has_scores_of_its_own(self.generator) or not self.capabilities.log_prob:
            return super()._scores(bits, inputs)  # by autograd, all at once; or refuses
        by_chunk = self._by_chunk(self._checked(bits, self._as_inputs(inputs)))
        columns = []  # in the order of `parameters()`
        if self._trained:
            by_input = _input_scores(self.generator, by_chunk, self.embedded())
            replicas, _, shots, _ = by_input.shape
            flat = by_input.transpose(0, 2, 1, 3).reshape(replicas, shots, -1)
            columns.append((flat if self.field is None else self._by_field(flat))[:, None])
        if self.generator.trained_parameters:
            each = self.generator.scores(by_chunk, inputs=self.embedded())
            columns.append(each.sum(1, keepdims=True))
        return np.concatenate(columns, axis=-1)

    def _by_field(self, by_feature: Float) -> Float:
        """Derivatives by the field's parameters, of those by features [replica, shot, feature]."""
        assert self.field is not None
        numbers = self.embedded().flatten(1)  # [replica, feature]
        each = torch.from_numpy(np.ascontiguousarray(by_feature.swapaxes(0, 1)))
        found = torch.autograd.grad(  # replicas do not mix
            numbers, list(self.field.parameters()), each, is_grads_batched=True
        )
        flat = torch.cat([part.flatten(2) for part in found], dim=-1)
        return flat.transpose(0, 1).numpy()

    def _probabilities(self, inputs: torch.Tensor | None) -> torch.Tensor:
        table = self.generator.probabilities(inputs=self.embedded())
        return product([table[:, chunk, None] for chunk in range(self.chunks)])

    def _marginals(self, inputs: torch.Tensor | None) -> torch.Tensor:
        each = self.generator.marginals(inputs=self.embedded())
        return each.reshape(self.replicas, 1, self.n_bits)

    @property
    def independent_blocks(self) -> npt.NDArray[np.int64] | None:
        """As in HyperNetwork: the chunks."""
        if self.capabilities.independent:
            return super().independent_blocks
        if self.generator.n_bits > self.generator.differentiable_bits:
            return None
        return np.arange(self.n_bits).reshape(self.chunks, -1)

    def block_probabilities(self) -> torch.Tensor:
        """As in HyperNetwork."""
        if self.capabilities.independent:
            return super().block_probabilities()
        return self.generator.probabilities(inputs=self.embedded())

    def block_expectation(self, costs: torch.Tensor) -> torch.Tensor:
        """As in HyperNetwork."""
        if self.capabilities.independent:
            return super().block_expectation(costs)
        return self.generator.expectation(costs, inputs=self.embedded())

    # -- angles -----------------------------------------------------------------------------------

    def angles(self, *, inputs: Any = None) -> torch.Tensor:
        """All chunks' angles in radians, float64 [replica, 1, chunk · angle], differentiable."""
        self._as_inputs(inputs)  # refuses any
        return (
            with_angles(self.generator).angles(inputs=self.embedded()).reshape(self.replicas, 1, -1)
        )

    @property
    def trained_angles(self) -> npt.NDArray[np.int64]:
        """The numbers of the angles that depend on a parameter, int64 [trained angle].

        Embeddings are parameters too.
        """
        own = np.zeros(self._n_angles, dtype=bool)
        if self.generator.trained_parameters:
            own[with_angles(self.generator).trained_angles] = True
        if self._trained:
            own |= _seeing(self.generator)
        return np.flatnonzero(np.tile(own, self.chunks))

    def sample_angles(self, angles: Float, shots: int, *, rng: Rngs) -> Bits:
        """Draws [replica, row, shot, bit] at angles [replica, row, chunk · angle] in radians."""
        at = self.checked_angles(angles, self.chunks * self._n_angles)
        replicas, rows, _ = at.shape
        each = at.reshape(replicas, rows * self.chunks, self._n_angles)
        bits = with_angles(self.generator).sample_angles(each, shots, rng=rng)
        split = bits.reshape(replicas, rows, self.chunks, shots, -1).transpose(0, 1, 3, 2, 4)
        return split.reshape(replicas, rows, shots, self.n_bits)


def chunked(
    n_bits: int,
    *,
    generator: str = "quantum",
    chunk: int | None = None,
    features: int | None = None,
    embeddings: str = "learned",
    order: str | Sequence[int] | None = None,
    layout: Layout | None = None,
    seeds: Sequence[int] = (0,),
    **options: Any,
) -> HyperNetwork:
    """`Chunked` over a generator by its name, whose options come besides.

    - generator: one that takes `n_inputs`: `quantum`, a circuit that sees the embedding, or
      `module:Class`, such as `classical.conditional:ConditionalBernoulli`
    - chunk: bits of a chunk, a divisor of `n_bits`; unless told the largest one up to its square
      root, 10 at most
    - features: of an embedding; unless told one for each bit of a chunk
    - embeddings: `learned` with the generator, or `random`, fixed at such a start
    - order: in which order of the bits they are cut into chunks (`Ordered`); as stored unless told
    - options: those of the generator

    Raises ConfigurationError for a chunk that is no divisor, and for what cannot be built.
    """
    from qhyper.registry import takes_option

    if n_bits < 1:
        raise ConfigurationError(f"A generator needs at least 1 bit; got n_bits={n_bits}.")
    divisors = [size for size in range(1, n_bits + 1) if n_bits % size == 0]
    if chunk is None:
        most = min(MAX_BITS_OF_A_CHUNK, int(np.sqrt(n_bits)))
        chunk = max(size for size in divisors if size <= most)
    if chunk not in divisors:
        raise ConfigurationError(
            f"Got chunk={chunk!r} for {n_bits} bits; all chunks are whole, of one of "
            f"{', '.join(map(str, divisors))} bits. For other bits besides, use joined."
        )
    if not takes_option("generator", generator, "n_inputs"):
        raise ConfigurationError(
            f"'{generator}' takes no n_inputs, and a generator that is asked once a chunk sees an "
            "input. Use quantum, or classical.conditional:ConditionalBernoulli."
        )
    seeing = {**options, "n_inputs": chunk if features is None else features}
    inner = build_generator(generator, chunk, seeds=seeds, options=seeing)
    made = Chunked(inner, n_bits // chunk, embeddings=embeddings)
    if made.capabilities.quantum:
        made.recipe = {**made.recipe, "learning_rate": 0.2}  # measured on 36 bits
    return made if order is None else Ordered(made, order, layout=layout)


def _device_of(generator: HyperNetwork) -> torch.device:
    """Where its parameters are; the CPU if it has none."""
    return next((p.device for p in generator.parameters()), torch.device("cpu"))


def _fixed_embeddings(embeddings: npt.ArrayLike, shape: tuple[int, int]) -> Float:
    given = np.array(as_float(embeddings, "embeddings", "finite numbers [chunk, feature]"))
    if given.shape != shape or not np.isfinite(given).all():
        raise ConfigurationError(
            f"Got embeddings of shape {given.shape}; expected finite numbers [chunk, feature] = "
            f"{list(shape)}, or one of {', '.join(EMBEDDINGS)}."
        )
    return given


def _input_scores(generator: HyperNetwork, bits: Bits, inputs: torch.Tensor) -> Float:
    """∇ log p of every draw in its own input, [replica, input, shot, feature]."""
    replicas, n_inputs, shots, width = bits.shape
    own = inputs.detach().repeat_interleave(shots, dim=1).requires_grad_()  # an input a draw
    log_p = generator.log_prob(bits.reshape(replicas, n_inputs * shots, 1, width), inputs=own)
    (gradient,) = torch.autograd.grad(log_p.sum(), own)
    return gradient.reshape(replicas, n_inputs, shots, -1).cpu().numpy()


def _has_scores_of_its_own(generator: HyperNetwork) -> bool:
    kind = type(generator)
    return kind.scores is not HyperNetwork.scores or kind._scores is not HyperNetwork._scores


def _seeing(generator: HyperNetwork) -> npt.NDArray[np.bool_]:
    """Which angles depend on the input; they are affine in it, so any input tells."""
    inputs = somewhere(generator)
    assert inputs is not None
    inputs.requires_grad_()
    angles = with_angles(generator).angles(inputs=inputs)[0, 0]
    one = torch.eye(len(angles), dtype=angles.dtype, device=angles.device)
    (jacobian,) = torch.autograd.grad(angles, inputs, one, is_grads_batched=True)
    return (jacobian[:, 0, 0] != 0).any(-1).cpu().numpy()
