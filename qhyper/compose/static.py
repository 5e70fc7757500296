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
from qhyper.compose.plans import patches
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import HyperNetwork, build_generator
from qhyper.quantum.ansatz import Encoded
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.targets.layout import Layout

RECIPE: Mapping[str, Any] = {
    "estimator": "local-expectation",
    "draws": 1,
    "learning_rate": 0.3,
    "optimizer_options": {"betas": [0.9, 0.99], "eps": 1e-12, "fused": True},
    "schedule": "linear",
    "final_draws": 64,
}
"""What suits a field of cosines at full size, as `TiedBernoulli`."""


def static(
    n_bits: int,
    *,
    generator: str = "product",
    chunk: int = 8,
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
    - kept, each, rest, image: of the `Field`
    - patch: of the chunks (`patches`)

    Raises UnsuitableError for a layout without a first weight matrix, ConfigurationError for what
    cannot be built.
    """
    plan = patches(layout, chunk, patch=patch, image=image)
    assert layout is not None
    field = Field(layout, replicas=len(seeds), kept=kept, each=each, rest=rest, image=image)
    inner: HyperNetwork
    if generator in ("product", "entangled"):
        inner = _circuit(generator, chunk, seeds, options)
    else:
        given = {**options, "n_inputs": chunk}
        inner = build_generator(generator, chunk, seeds=seeds, options=given)
    made = Ordered(Chunked(inner, len(plan), embeddings=field, plan=plan), plan.ravel())
    made.recipe = RECIPE
    return made


def _circuit(
    name: str, chunk: int, seeds: Sequence[int], options: Mapping[str, Any]
) -> QuantumHyperNetwork:
    if name == "product" and options:
        raise ConfigurationError(
            f"A product circuit takes no options; got {', '.join(options)}. Use entangled."
        )
    ansatz = Encoded(0) if name == "product" else Encoded(**options)
    return QuantumHyperNetwork(chunk, ansatz=ansatz, backend="statevector", seeds=seeds)


static_bernoulli = partial(static, generator="classical.conditional:InputLogits")
static_entangled = partial(static, generator="entangled")
