"""Joined: a generator for each block of bits."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from qhyper.bits import Bits
from qhyper.compose.parts import (
    Composed,
    Float,
    check_parts,
    count_angles,
    product,
    reordered,
    with_angles,
)
from qhyper.errors import ConfigurationError, UnsuitableError, unknown
from qhyper.hypernetwork import HyperNetwork, build_generator
from qhyper.streams import Rngs
from qhyper.targets.layout import Layout


class Joined(Composed):
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
        check_parts(generators)
        first, n_bits = generators[0], sum(part.n_bits for part in generators)
        super().__init__(n_bits, seeds=first.seeds, n_inputs=first.n_inputs)
        self._bits, self._names = _named(parts, layout) if by_name else _consecutive(generators)
        if layout is not None:
            layout.check(n_bits)
        self.generators = torch.nn.ModuleList(generators)
        self.capabilities = self.joint_capabilities()
        self._n_angles = (
            [count_angles(part) for part in generators] if self.capabilities.angles else []
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
        table = product([part.probabilities(inputs=inputs) for part in self.parts])
        return reordered(table, np.concatenate(self._bits))

    def _marginals(self, inputs: torch.Tensor | None) -> torch.Tensor:
        each = torch.cat([part.marginals(inputs=inputs) for part in self.parts], dim=-1)
        return each[..., np.argsort(np.concatenate(self._bits))]

    @property
    def independent_blocks(self) -> npt.NDArray[np.int64] | None:
        """As in HyperNetwork: those of all parts, if they are of one size."""
        each = self._blocks_of_parts()
        if each is None:
            return super().independent_blocks
        pairs = zip(self._bits, each, strict=True)
        return np.concatenate([np.asarray(bits)[plan] for bits, plan in pairs])

    def _blocks_of_parts(self) -> list[npt.NDArray[np.int64]] | None:
        """The independent blocks of each part, if these are not all bits alone and of one size."""
        if self.capabilities.independent:
            return None
        each = [plan for part in self.parts if (plan := part.independent_blocks) is not None]
        same = len(each) == len(self.parts) and len({plan.shape[1] for plan in each}) == 1
        return each if same else None

    def block_probabilities(self) -> torch.Tensor:
        """As in HyperNetwork, each part in its own way."""
        if self._blocks_of_parts() is None:
            return super().block_probabilities()
        return torch.cat([part.block_probabilities() for part in self.parts], dim=1)

    def block_expectation(self, costs: torch.Tensor) -> torch.Tensor:
        """As in HyperNetwork, each part in its own way."""
        each = self._blocks_of_parts()
        if each is None:
            return super().block_expectation(costs)
        parts = zip(self.parts, costs.split([len(plan) for plan in each], dim=1), strict=True)
        return torch.cat([part.block_expectation(own) for part, own in parts], dim=1)

    def mode(self) -> Bits | None:
        """As in HyperNetwork, each part in its own way."""
        each = [part.mode() for part in self.parts]
        known = [mode for mode in each if mode is not None]
        return self._placed(known) if len(known) == len(each) else None

    # -- angles -----------------------------------------------------------------------------------

    def angles(self, *, inputs: Any = None) -> torch.Tensor:
        """The angles of all parts in radians, differentiable float64 [replica, input, angle]."""
        return torch.cat([with_angles(part).angles(inputs=inputs) for part in self.parts], dim=-1)

    @property
    def trained_angles(self) -> npt.NDArray[np.int64]:
        """The numbers of the angles that depend on a parameter, int64 [trained angle]."""
        first = np.cumsum([0, *self._n_angles[:-1]])
        each = zip(first, self.parts, strict=True)
        return np.concatenate([at + with_angles(part).trained_angles for at, part in each])

    def sample_angles(self, angles: Float, shots: int, *, rng: Rngs) -> Bits:
        """Draws [replica, row, shot, bit] at all parts' angles [replica, row, angle] in radians."""
        own = self.checked_angles(angles, sum(self._n_angles))
        each = np.split(own, np.cumsum(self._n_angles)[:-1], axis=-1)
        return self._placed(
            with_angles(part).sample_angles(at, shots, rng=rng)
            for part, at in zip(self.parts, each, strict=True)
        )


def joined(
    n_bits: int,
    *,
    parts: Mapping[str, str | Mapping[str, Any]] | None = None,
    rest: str = "bernoulli",
    layout: Layout | None = None,
    seeds: Sequence[int] = (0,),
) -> Joined:
    """`Joined` over generators by their names.

    - parts: a generator for each name of a block, or several names with commas: its own name, or
      `{"generator": name, ...}` with its options
    - rest: the generator that each block has which is not named

    Raises UnsuitableError for a target without layout, and ConfigurationError for what cannot be
    built.
    """
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
        own = Layout(tuple(block for block in layout.blocks if block.name in names))
        built[names] = build_generator(name, size, seeds=seeds, layout=own, options=options)
    return Joined(built, layout=layout)


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


def _common_recipe(generators: Sequence[HyperNetwork]) -> Mapping[str, Any]:
    """The most draws and steps and the lowest learning rate that a part asks for.

    And the estimator, schedule and whatever else all ask for alike.
    """
    recipes = [generator.recipe for generator in generators]
    alike = {
        key: value
        for key, value in recipes[0].items()
        if all(key in recipe and recipe[key] == value for recipe in recipes)
    }
    choose = {"draws": max, "learning_rate": min, "start_steps": max}
    return alike | {
        key: best(recipe[key] for recipe in recipes)
        for key, best in choose.items()
        if all(key in recipe for recipe in recipes)
    }
