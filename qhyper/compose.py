"""Generators made of generators: behaviour is added by wrapping, and composes.

- Joined: a generator for each block of bits, side by side
- Chunked: one generator that sees an input, asked once a chunk with a learned embedding of it
- Ordered: the bits of a generator in another order

What a composed generator can do follows from its parts. All parts have the seeds of the whole; its
stream of each replica goes through them in turn, so that equal parts neither start nor draw alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError, UnsuitableError, unknown
from qhyper.hypernetwork import MAX_BITS_OF_PROBABILITIES, Capabilities, HyperNetwork
from qhyper.streams import Rngs
from qhyper.targets.target import Layout

Float = npt.NDArray[np.float64]

MAX_BITS_OF_A_CHUNK = 10
"""Of the chunks that `chunked` chooses by itself."""
EMBEDDINGS = ("learned", "random")


class _Composed(HyperNetwork):
    """What independent parts have in common: probabilities are the product of theirs."""

    @property
    def parts(self) -> list[HyperNetwork]:
        """The generators that this one is made of."""
        return [part for part in self.children() if isinstance(part, HyperNetwork)]

    @property
    def differentiable_bits(self) -> int:
        """As in HyperNetwork: 0 if a part has no such probabilities of its own bits."""
        return self.capabilities.probability_bits

    @property
    def max_probability_bits(self) -> int:
        """As in HyperNetwork: 0 if a part has no probabilities of its own bits."""
        able = all(part.n_bits <= part.max_probability_bits for part in self.parts)
        return MAX_BITS_OF_PROBABILITIES if able else 0

    def _joint_capabilities(self) -> Capabilities:
        able = [part.capabilities for part in self.parts]
        tables = all(part.n_bits <= part.differentiable_bits for part in self.parts)
        return Capabilities(
            log_prob=all(each.log_prob for each in able),
            angles=all(each.angles for each in able),
            probability_bits=MAX_BITS_OF_PROBABILITIES if tables else 0,
            quantum=any(each.quantum for each in able),
        )

    def _checked_angles(self, angles: npt.ArrayLike, n_angles: int) -> Float:
        array = np.asarray(angles, dtype=np.float64)
        if array.ndim != 3 or array.shape[::2] != (self.replicas, n_angles):
            raise ConfigurationError(
                f"Got angles of shape {array.shape}; expected [replica, row, angle] = "
                f"[{self.replicas}, rows, {n_angles}]."
            )
        return array


class Joined(_Composed):
    """A generator for each block of bits, independent of one another: log p is the sum of theirs.

    `parts` maps the name of a block of `layout`, or a tuple of names, to the generator of these
    bits; together they cover the layout exactly once. A list of generators stands for consecutive
    runs of bits. Parts that see inputs all see the same ones. The parts are drawn anew here; load
    a state afterwards to join trained ones.

    Raises ConfigurationError if blocks are missing, unknown or named twice, if a part has another
    number of bits than its blocks, and for parts of different seeds or inputs.
    """

    def __init__(
        self,
        parts: Mapping[str | tuple[str, ...], HyperNetwork] | Sequence[HyperNetwork],
        *,
        layout: Layout | None = None,
    ) -> None:
        by_name = isinstance(parts, Mapping)
        generators = list(parts.values() if by_name else parts)
        _check_parts(generators)
        first, n_bits = generators[0], sum(part.n_bits for part in generators)
        super().__init__(n_bits, seeds=first.seeds, n_inputs=first.n_inputs)
        self._bits, self._names = _named(parts, layout) if by_name else _consecutive(generators)
        if layout is not None:
            layout.check(n_bits)
        self.generators = torch.nn.ModuleList(generators)
        self.capabilities = self._joint_capabilities()
        self._n_angles = (
            [_n_angles(part) for part in generators] if self.capabilities.angles else []
        )
        self.recipe = _common_recipe(generators)
        self.initialise()

    @property
    def parts(self) -> list[HyperNetwork]:
        """The generators of the blocks, in the order in which they were given."""
        return [part for part in self.generators if isinstance(part, HyperNetwork)]

    def describe(self) -> str:
        """One line on what this generator is, for reports."""
        each = zip(self._names, self.parts, strict=True)
        return "joined: " + "; ".join(f"{name} by {part.describe()}" for name, part in each)

    def _initialise(self, rng: Rngs) -> None:
        for part in self.parts:
            part._initialise(rng)

    # -- draws and probabilities ------------------------------------------------------------------

    def _placed(self, draws: Iterable[Bits]) -> Bits:
        """Draws of the parts, [..., bit of the part], as draws of the whole."""
        bits = np.concatenate(list(draws), axis=-1)
        placed = np.empty_like(bits)
        placed[..., np.concatenate(self._bits)] = bits
        return placed

    def _split(self, bits: Bits) -> list[tuple[HyperNetwork, Bits]]:
        """Each part with its own bits."""
        own = [np.ascontiguousarray(bits[..., columns]) for columns in self._bits]
        return list(zip(self.parts, own, strict=True))

    def _sample(self, shots: int, rng: Rngs, inputs: torch.Tensor | None) -> Bits:
        return self._placed(part.sample(shots, rng=rng, inputs=inputs).bits for part in self.parts)

    def _log_prob(self, bits: Bits, inputs: torch.Tensor | None) -> torch.Tensor:
        each = [part.log_prob(own, inputs=inputs) for part, own in self._split(bits)]
        return torch.stack(each).sum(0)

    def accumulate_scores(self, bits: Bits, coefficients: Float, *, inputs: Any = None) -> None:
        """As in HyperNetwork, each part in its own way."""
        if self.n_inputs or not self.capabilities.log_prob:
            # inputs may have a graph of their own, which is gone through once; or this refuses
            return super().accumulate_scores(bits, coefficients, inputs=inputs)
        for part, own in self._split(self._checked(bits, self._as_inputs(inputs))):
            part.accumulate_scores(own, coefficients)

    def _scores(self, bits: Bits, inputs: Any) -> Float:
        if not self.capabilities.log_prob:
            return super()._scores(bits, inputs)  # refuses
        checked = self._as_inputs(inputs)
        each = self._split(self._checked(bits, checked))
        trained = [(part, own) for part, own in each if part.trained_parameters]
        return np.concatenate([part.scores(own, inputs=checked) for part, own in trained], axis=-1)

    def _probabilities(self, inputs: torch.Tensor | None) -> torch.Tensor:
        table = _product([part.probabilities(inputs=inputs) for part in self.parts])
        return reordered(table, np.concatenate(self._bits))

    # -- angles -----------------------------------------------------------------------------------

    def angles(self, *, inputs: Any = None) -> torch.Tensor:
        """The angles of all parts, [replica, input, angle], differentiable in the parameters."""
        return torch.cat([_angles(part, inputs) for part in self.parts], dim=-1)

    @property
    def trained_angles(self) -> npt.NDArray[np.int64]:
        """The numbers of the angles that depend on a parameter."""
        first = np.cumsum([0, *self._n_angles[:-1]])
        each = zip(first, self.parts, strict=True)
        return np.concatenate([at + _trained_angles(part) for at, part in each])

    def sample_angles(self, angles: Float, shots: int, *, rng: Rngs) -> Bits:
        """Draws [replica, row, shot, bit] at angles [replica, row, angle] of all parts."""
        own = self._checked_angles(angles, sum(self._n_angles))
        each = np.split(own, np.cumsum(self._n_angles)[:-1], axis=-1)
        return self._placed(
            _sample_angles(part, at, shots, rng) for part, at in zip(self.parts, each, strict=True)
        )


class Chunked(_Composed):
    """One generator that sees an input, asked once a chunk: a static hypernetwork.

    The bits are `chunks` runs of `generator.n_bits` bits, independent of one another, of which
    chunk c is drawn at its embedding, an input of `generator.n_inputs` features: few parameters
    and, of a circuit, few qubits for many bits. As the weights of a network by Ha et al. (2016,
    arXiv:1609.09106), by chunks as of von Oswald et al. (2020, arXiv:1906.00695).

    `embeddings`: `learned` with the generator from N(0, 1); `random`, fixed at such a start; or
    fixed numbers [chunk, feature], the same for all replicas. They are the parameter `embeddings`,
    float64 [replica, chunk, feature]. The generator is drawn anew here.

    All chunks are whole: bits of the last one that were left out would have to be summed over in
    log p. Use a generator of fewer bits, or `Joined` with another one for the rest.

    Raises ConfigurationError for a generator without inputs, no chunk, and embeddings of another
    shape.
    """

    embeddings: torch.nn.Parameter
    generator: HyperNetwork

    def __init__(
        self, generator: HyperNetwork, chunks: int, *, embeddings: str | npt.ArrayLike = "learned"
    ) -> None:
        if not isinstance(generator, HyperNetwork) or not generator.n_inputs:
            name = generator.describe() if isinstance(generator, HyperNetwork) else repr(generator)
            raise ConfigurationError(
                f"Got {name} to be asked once a chunk; expected a generator that sees an input, "
                "such as ConditionalBernoulli, or a circuit of the ansatz Reuploading."
            )
        if isinstance(chunks, bool) or not isinstance(chunks, int | np.integer) or chunks < 1:
            raise ConfigurationError(f"chunks is a whole number, at least 1; got {chunks!r}.")
        super().__init__(int(chunks) * generator.n_bits, seeds=generator.seeds)
        self.chunks = int(chunks)
        shape = (self.chunks, generator.n_inputs)
        self._given = None if isinstance(embeddings, str) else _fixed_embeddings(embeddings, shape)
        if isinstance(embeddings, str) and embeddings not in EMBEDDINGS:
            raise unknown("embeddings", embeddings, EMBEDDINGS)
        self._kind = embeddings if isinstance(embeddings, str) else "given"
        device = next(generator.parameters()).device
        start = torch.empty(self.replicas, *shape, dtype=torch.float64, device=device)
        self.embeddings = torch.nn.Parameter(start, requires_grad=self._kind == "learned")
        self.generator = generator
        self.capabilities = self._joint_capabilities()
        self._n_angles = _n_angles(generator) if self.capabilities.angles else 0
        if generator.recipe:  # one made for mini-batches, whose inputs are many, has few draws
            self.recipe = {**generator.recipe, "draws": max(64, generator.recipe.get("draws", 0))}
        self.initialise()

    def describe(self) -> str:
        """One line on what this generator is, for reports."""
        return (
            f"{self.chunks} chunks of {self.generator.n_bits} bits, {self._kind} embeddings of "
            f"{self.generator.n_inputs} features, each by {self.generator.describe()}"
        )

    def _initialise(self, rng: Rngs) -> None:
        if self._given is None:
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
            self.generator.sample(shots, rng=rng, inputs=self.embeddings).bits
        )

    def _log_prob(self, bits: Bits, inputs: torch.Tensor | None) -> torch.Tensor:
        each = self.generator.log_prob(self._by_chunk(bits), inputs=self.embeddings)
        return each.sum(1, keepdim=True)

    def accumulate_scores(self, bits: Bits, coefficients: Float, *, inputs: Any = None) -> None:
        """As in HyperNetwork, in the way of the generator, whose input is differentiated too."""
        if not self.capabilities.log_prob:
            return super().accumulate_scores(bits, coefficients, inputs=inputs)  # refuses
        by_chunk = self._by_chunk(self._checked(bits, self._as_inputs(inputs)))
        shared = np.broadcast_to(coefficients, by_chunk.shape[:3])
        self.generator.accumulate_scores(
            by_chunk, np.ascontiguousarray(shared), inputs=self.embeddings
        )

    def _scores(self, bits: Bits, inputs: Any) -> Float:
        if not _has_scores_of_its_own(self.generator) or not self.capabilities.log_prob:
            return super()._scores(bits, inputs)  # by autograd, all at once; or refuses
        by_chunk = self._by_chunk(self._checked(bits, self._as_inputs(inputs)))
        columns = []  # in the order of `parameters()`
        if self.embeddings.requires_grad:
            by_input = _input_scores(self.generator, by_chunk, self.embeddings)
            replicas, _, shots, _ = by_input.shape
            columns.append(by_input.transpose(0, 2, 1, 3).reshape(replicas, 1, shots, -1))
        if self.generator.trained_parameters:
            each = self.generator.scores(by_chunk, inputs=self.embeddings)
            columns.append(each.sum(1, keepdims=True))
        return np.concatenate(columns, axis=-1)

    def _probabilities(self, inputs: torch.Tensor | None) -> torch.Tensor:
        table = self.generator.probabilities(inputs=self.embeddings)
        return _product([table[:, chunk, None] for chunk in range(self.chunks)])

    # -- angles -----------------------------------------------------------------------------------

    def angles(self, *, inputs: Any = None) -> torch.Tensor:
        """The angles of all chunks, [replica, 1, chunk · angle], differentiable."""
        self._as_inputs(inputs)  # refuses any
        return _angles(self.generator, self.embeddings).reshape(self.replicas, 1, -1)

    @property
    def trained_angles(self) -> npt.NDArray[np.int64]:
        """The numbers of the angles that depend on a parameter: the embeddings count."""
        own = np.zeros(self._n_angles, dtype=bool)
        if self.generator.trained_parameters:
            own[_trained_angles(self.generator)] = True
        if self.embeddings.requires_grad:
            own |= _seeing(self.generator)
        return np.flatnonzero(np.tile(own, self.chunks))

    def sample_angles(self, angles: Float, shots: int, *, rng: Rngs) -> Bits:
        """Draws [replica, row, shot, bit] at angles [replica, row, chunk · angle]."""
        at = self._checked_angles(angles, self.chunks * self._n_angles)
        replicas, rows, _ = at.shape
        each = at.reshape(replicas, rows * self.chunks, self._n_angles)
        bits = _sample_angles(self.generator, each, shots, rng)
        split = bits.reshape(replicas, rows, self.chunks, shots, -1).transpose(0, 1, 3, 2, 4)
        return split.reshape(replicas, rows, shots, self.n_bits)


class Ordered(HyperNetwork):
    """Another generator with its bits in another order: bit q of `generator` becomes `order[q]`.

    `order` is a permutation, or a name that `Layout.order` knows, with the target's `layout`. The
    generator keeps its parameters. Raises ConfigurationError for what is no permutation of its
    bits.
    """

    generator: HyperNetwork

    def __init__(
        self, generator: HyperNetwork, order: str | Sequence[int], *, layout: Layout | None = None
    ) -> None:
        _check_parts([generator])
        super().__init__(generator.n_bits, seeds=generator.seeds, n_inputs=generator.n_inputs)
        self.order = _permutation(order, self.n_bits, layout)
        self._name = f"order {order}" if isinstance(order, str) else "bits in an order of their own"
        self.generator = generator
        self.capabilities, self.recipe = generator.capabilities, generator.recipe

    def describe(self) -> str:
        """One line on what this generator is, for reports."""
        return f"{self.generator.describe()}, {self._name}"

    def _initialise(self, rng: Rngs) -> None:
        self.generator._initialise(rng)

    def _placed(self, bits: Bits) -> Bits:
        placed = np.empty_like(bits)
        placed[..., self.order] = bits
        return placed

    def _inner(self, bits: Bits) -> Bits:
        return np.ascontiguousarray(bits[..., self.order])

    def _sample(self, shots: int, rng: Rngs, inputs: torch.Tensor | None) -> Bits:
        return self._placed(self.generator.sample(shots, rng=rng, inputs=inputs).bits)

    def _log_prob(self, bits: Bits, inputs: torch.Tensor | None) -> torch.Tensor:
        return self.generator.log_prob(self._inner(bits), inputs=inputs)

    def accumulate_scores(self, bits: Bits, coefficients: Float, *, inputs: Any = None) -> None:
        """As in HyperNetwork, in the way of the generator."""
        own = self._inner(self._checked(bits, self._as_inputs(inputs)))
        self.generator.accumulate_scores(own, coefficients, inputs=inputs)

    def _scores(self, bits: Bits, inputs: Any) -> Float:
        own = self._inner(self._checked(bits, self._as_inputs(inputs)))
        return self.generator.scores(own, inputs=inputs)

    @property
    def differentiable_bits(self) -> int:
        """Those of the generator."""
        return self.generator.differentiable_bits

    @property
    def max_probability_bits(self) -> int:
        """Those of the generator."""
        return self.generator.max_probability_bits

    def _probabilities(self, inputs: torch.Tensor | None) -> torch.Tensor:
        return reordered(self.generator.probabilities(inputs=inputs), self.order)

    def expectation(self, costs: torch.Tensor, *, inputs: Any = None) -> torch.Tensor:
        """As in HyperNetwork, in the way of the generator."""
        own = reordered(torch.as_tensor(costs), np.argsort(self.order))
        return self.generator.expectation(own, inputs=inputs)

    def angles(self, *, inputs: Any = None) -> torch.Tensor:
        """Those of the generator, [replica, input, angle], differentiable in the parameters."""
        return _angles(self.generator, inputs)

    @property
    def trained_angles(self) -> npt.NDArray[np.int64]:
        """The numbers of the angles that depend on a parameter."""
        return _trained_angles(self.generator)

    def sample_angles(self, angles: Float, shots: int, *, rng: Rngs) -> Bits:
        """Draws [replica, row, shot, bit] at angles [replica, row, angle]."""
        return self._placed(_sample_angles(self.generator, angles, shots, rng))


# -- tables over bitstrings ------------------------------------------------------------------------


def reordered(table: torch.Tensor, order: npt.NDArray[np.int64]) -> torch.Tensor:
    """A table over bitstrings [..., 2^n] as one over strings whose bit `order[q]` was bit q."""
    n, lead = len(order), table.ndim - 1
    if (order == np.arange(n)).all():
        return table
    old = np.argsort(order)
    axes = table.reshape(*table.shape[:-1], *[2] * n)  # the last bit comes first
    axis = [lead + n - 1 - int(old[n - 1 - i]) for i in range(n)]
    return axes.permute(*range(lead), *axis).reshape(table.shape)


def _product(tables: Sequence[torch.Tensor]) -> torch.Tensor:
    """Probabilities of independent bits side by side, the first ones changing fastest."""
    whole = tables[0]
    for table in tables[1:]:
        whole = (table[..., :, None] * whole[..., None, :]).flatten(-2)
    return whole


# -- what is asked of a part -----------------------------------------------------------------------


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


def _with_angles(generator: HyperNetwork) -> Any:
    if not generator.capabilities.angles:
        raise ConfigurationError(
            f"{generator.describe()} has no angles. Use an estimator that needs none, such as "
            "score-function."
        )
    return generator


def _angles(generator: HyperNetwork, inputs: Any) -> torch.Tensor:
    return _with_angles(generator).angles(inputs=inputs)


def _trained_angles(generator: HyperNetwork) -> npt.NDArray[np.int64]:
    return _with_angles(generator).trained_angles


def _sample_angles(generator: HyperNetwork, angles: Float, shots: int, rng: Rngs) -> Bits:
    return _with_angles(generator).sample_angles(angles, shots, rng=rng)


def _somewhere(generator: HyperNetwork) -> torch.Tensor | None:
    """An input that the generator takes, or None for an unconditional one."""
    if not generator.n_inputs:
        return None
    return torch.zeros(generator.replicas, 1, generator.n_inputs, dtype=torch.float64)


def _n_angles(generator: HyperNetwork) -> int:
    return _angles(generator, _somewhere(generator)).shape[-1]


def _seeing(generator: HyperNetwork) -> npt.NDArray[np.bool_]:
    """Which angles depend on the input; they are affine in it, so any input tells."""
    inputs = _somewhere(generator)
    assert inputs is not None
    inputs.requires_grad_()
    angles = _angles(generator, inputs)[0, 0]
    one = torch.eye(len(angles), dtype=angles.dtype, device=angles.device)
    (jacobian,) = torch.autograd.grad(angles, inputs, one, is_grads_batched=True)
    return (jacobian[:, 0, 0] != 0).any(-1).cpu().numpy()


def _common_recipe(generators: Sequence[HyperNetwork]) -> Mapping[str, Any]:
    """The most draws and steps and the lowest learning rate that a part asks for."""
    recipes = [generator.recipe for generator in generators]
    choose = {"draws": max, "learning_rate": min, "start_steps": max}
    return {
        key: best(recipe[key] for recipe in recipes)
        for key, best in choose.items()
        if all(key in recipe for recipe in recipes)
    }


# -- checks ----------------------------------------------------------------------------------------


def _check_parts(parts: Sequence[HyperNetwork]) -> None:
    for part in parts:
        if not isinstance(part, HyperNetwork):
            raise ConfigurationError(
                f"Got a {type(part).__name__} as a part; expected a HyperNetwork. By name: "
                "build_generator."
            )
    if not parts:
        raise ConfigurationError("Got no part to join; expected one generator or more.")
    if len({id(part) for part in parts}) < len(parts):
        raise ConfigurationError(
            "Got one generator as two parts, which would train and draw as one; expected another "
            "for each. For one that is asked many times, use Chunked."
        )
    for what, values in (
        ("seeds", [part.seeds for part in parts]),
        ("numbers of input features", [part.n_inputs for part in parts]),
    ):
        if len(set(values)) > 1:
            raise ConfigurationError(
                f"The parts have the {what} {' and '.join(map(str, values))}; expected the same "
                "for all."
            )


def _consecutive(parts: Sequence[HyperNetwork]) -> tuple[list[npt.NDArray[np.int64]], list[str]]:
    """The bits of each part, one after the other, and its name."""
    ends = np.cumsum([part.n_bits for part in parts])
    bits = [np.arange(end - part.n_bits, end) for end, part in zip(ends, parts, strict=True)]
    return bits, [f"bits {own[0]} to {own[-1]}" for own in bits]


def _named(
    parts: Mapping[str | tuple[str, ...], HyperNetwork], layout: Layout | None
) -> tuple[list[npt.NDArray[np.int64]], list[str]]:
    """The bits of each part, and its name; ConfigurationError unless they cover the layout once."""
    if layout is None:
        raise ConfigurationError(
            f"Got parts for the blocks {list(parts)}, and no layout to tell where these are. Pass "
            "the target's `layout`, or a list of generators for consecutive bits."
        )
    blocks = [(key,) if isinstance(key, str) else tuple(key) for key in parts]
    _check_cover(blocks, layout)
    bits, titles = [], []
    for names, part in zip(blocks, parts.values(), strict=True):
        own = np.concatenate([layout.bits[name].ravel() for name in names])
        title = ", ".join(names)
        if len(own) != part.n_bits:
            raise ConfigurationError(
                f"The part of {title} has {part.n_bits} bits, and there are {len(own)} in the "
                f"{layout}. Make it with n_bits={len(own)}."
            )
        bits.append(own)
        titles.append(title)
    return bits, titles


def _check_cover(blocks: Sequence[tuple[str, ...]], layout: Layout) -> None:
    """Raise ConfigurationError unless each block of the layout is named once."""
    named = [name for names in blocks for name in names]
    for name in named:
        if name not in layout.bits:
            raise unknown("block of bits", name, layout.bits)
    if () in blocks:
        raise ConfigurationError("Got a part for no block; expected the name of one or more.")
    missing = [name for name in layout.bits if name not in named]
    twice = sorted({name for name in named if named.count(name) > 1})
    if missing or twice:
        wrong = [f"{', '.join(missing)} missing"] * bool(missing)
        wrong += [f"{', '.join(twice)} twice"] * bool(twice)
        raise ConfigurationError(
            f"Got parts with {' and '.join(wrong)}; expected each block of the {layout} once."
        )


def _fixed_embeddings(embeddings: npt.ArrayLike, shape: tuple[int, int]) -> Float:
    given = np.array(embeddings, dtype=np.float64)
    if given.shape != shape or not np.isfinite(given).all():
        raise ConfigurationError(
            f"Got embeddings of shape {given.shape}; expected finite numbers [chunk, feature] = "
            f"{list(shape)}, or one of {', '.join(EMBEDDINGS)}."
        )
    return given


def _permutation(
    order: str | Sequence[int], n_bits: int, layout: Layout | None
) -> npt.NDArray[np.int64]:
    if layout is not None:
        layout.check(n_bits)
    if isinstance(order, str):
        if layout is None and order != "row":
            raise ConfigurationError(
                f"The order '{order}' depends on the target: pass its `layout`, or give a "
                "permutation of the bits."
            )
        return np.arange(n_bits) if layout is None else layout.order(order)
    given = np.asarray(order)
    whole = given.shape == (n_bits,) and given.dtype.kind in "iu"
    if not whole or (np.sort(given) != np.arange(n_bits)).any():
        raise ConfigurationError(
            f"Got the order {given.tolist()}; expected a permutation of 0 to {n_bits - 1}: entry q "
            "is the bit that the generator's bit q becomes."
        )
    return given.astype(np.int64)


# -- the registered ones ---------------------------------------------------------------------------


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
    - order: in which order of the bits they are cut into chunks (`Ordered`); as stored unless told

    Raises ConfigurationError for a chunk that is no divisor, and for what cannot be built.
    """
    from qhyper.registry import build_generator, takes_option

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
    if not takes_option(generator, "n_inputs"):
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


def joined(
    n_bits: int,
    *,
    parts: Mapping[str, str | Mapping[str, Any]] | None = None,
    rest: str = "bernoulli",
    layout: Layout | None = None,
    seeds: Sequence[int] = (0,),
) -> Joined:
    """`Joined` over generators by their names.

    `parts` maps the name of a block, or several with commas, to the name of a generator, or to
    `{"generator": name, ...}` with its options. Blocks that are not named have one of `rest` each.
    Raises UnsuitableError for a target without layout, and ConfigurationError for what cannot be
    built.
    """
    from qhyper.registry import build_generator

    if n_bits < 1:
        raise ConfigurationError(f"A generator needs at least 1 bit; got n_bits={n_bits}.")
    if layout is None:
        raise UnsuitableError(
            "joined has a generator for each named block of a target, and this one has no layout. "
            "Use another generator, or a target whose bits have names."
        )
    layout.check(n_bits)
    given = {tuple(name.strip() for name in key.split(",")): v for key, v in (parts or {}).items()}
    named = {name for names in given for name in names}
    every = given | {(name,): rest for name in layout.bits if name not in named}
    _check_cover(list(every), layout)
    built = {}
    for names, what in every.items():
        options = {"generator": what} if isinstance(what, str) else dict(what)
        if "generator" not in options:
            raise ConfigurationError(
                f"The part of {', '.join(names)} has the options {sorted(options)} and no "
                "`generator`; expected its name besides."
            )
        size = sum(layout.bits[name].size for name in names)
        name = options.pop("generator")
        built[names] = build_generator(name, size, seeds=seeds, options=options)
    return Joined(built, layout=layout)
