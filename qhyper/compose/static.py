"""Static hypernetworks as entries: one small generator, asked once a chunk of a target's weights.

Ha et al. (2016, arXiv:1609.09106) with measured bits: a circuit of a few qubits, or a classical
generator of as many parameters, gives all weights of a network that no device holds.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from qhyper.compose.chunked import Chunked
from qhyper.compose.fields import Field, Rest
from qhyper.compose.ordered import Ordered
from qhyper.compose.plans import largest_chunk, patches
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import HyperNetwork, build_generator
from qhyper.targets.layout import Layout

MOST_BITS = 8
"""Of a chunk that is chosen by itself."""
CIRCUITS: Mapping[str, Mapping[str, Any]] = {"product": {"depth": 0}, "entangled": {"depth": 2}}
"""Depths of the circuits `Encoded` by their names here."""
RECIPE: Mapping[str, Any] = {
    "estimator": "local-expectation",
    "draws": 1,
    "learning_rate": 0.3,
    "optimizer_options": {"betas": [0.9, 0.99], "eps": 1e-12, "fused": True},
    "schedule": "linear",
    "final_draws": 64,
}
"""What suits a field of cosines at full size, as `TiedBernoulli`; by blocks where a chunk's bits
are tied."""


def static(
    n_bits: int,
    *,
    generator: str = "product",
    chunk: int | None = None,
    kept: int = 10,
    each: int | None = None,
    rest: Rest = "free",
    patch: Sequence[int] | None = None,
    image: Sequence[int] | None = None,
    layout: Layout | None = None,
    seeds: Sequence[int] = (0,),
    **options: Any,
) -> HyperNetwork:
    """One generator of `chunk` bits for all weights of a target, told apart by a `Field`.

    - generator: `product`, a circuit that turns each qubit by its number of the field;
      `entangled`, the same and then CZ and Ry in turn (`Encoded`, with its options); or a classical
      one that takes `n_inputs`, such as `classical.conditional:InputLogits`, with its options
    - chunk: bits of the generator; the most up to 8 that cut the layout, unless told
    - kept: frequencies along each side of the image that a unit sees, of which a shorter side keeps
      all it has
    - each: how many of these a unit has, random ones; all unless told
    - rest: what the weights of later layers have: `free`, a trained number each; `signs`, fixed
      random signs times one trained strength a layer
    - image: (height, width) that the inputs are the pixels of; a square unless told
    - patch: (height, width) of the patch of pixels that a chunk is; the most square one unless told
    - options: those of the generator: of circuits `depth`, `pairs`, `scale`, `entangled`, `frozen`,
      `backend` and `backend_options`; of the classical one of `static-mlp` `hidden` units

    Raises UnsuitableError for a layout without a first weight matrix, ConfigurationError for what
    cannot be built, and for `entangled` where only chunks of 1 bit cut the layout.
    """
    if n_bits < 1:
        raise ConfigurationError(f"A generator needs at least 1 bit; got n_bits={n_bits}.")
    if chunk is None:
        chunk = largest_chunk(layout, MOST_BITS, image=image)
        if chunk == 1 and generator == "entangled" and options.get("entangled", True):
            raise ConfigurationError(
                f"The largest chunk that cuts the {layout} has 1 bit, and a circuit of 1 qubit "
                "entangles nothing. Use static-product, or numbers of units that share a divisor "
                f"with the image, such as {MOST_BITS}."
            )
    plan = patches(layout, chunk, patch=patch, image=image)
    assert layout is not None
    layout.check(n_bits)
    field = Field(layout, replicas=len(seeds), kept=kept, each=each, rest=rest, image=image)
    fixed = {"n_inputs": chunk} | ({"ansatz": "encoded"} if generator in CIRCUITS else {})
    for option in fixed:
        if option in options:
            raise ConfigurationError(
                f"Got {option}={options[option]!r} for a static hypernetwork by {generator}, which "
                f"has {option}={fixed[option]!r} of its own. Leave it out."
            )
    given = {**options, **fixed}
    if generator in CIRCUITS:
        given = {**CIRCUITS[generator], "backend": "statevector", **given}
        generator = "quantum"
    inner = build_generator(generator, chunk, seeds=seeds, options=given)
    made = Ordered(Chunked(inner, len(plan), embeddings=field, plan=plan), plan.ravel().tolist())
    alone = made.capabilities.independent or made.independent_blocks is None
    made.recipe = RECIPE if alone else {**RECIPE, "estimator": "block-expectation"}
    return made


static_product = partial(static, generator="product")
static_bernoulli = partial(static, generator="classical.conditional:InputLogits")
static_mlp = partial(static, generator="classical.conditional:InputLogits", hidden=16)
static_entangled = partial(static, generator="entangled")
