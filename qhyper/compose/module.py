"""FromModule: a plain torch module as a generator."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch.func import functional_call

from qhyper.arrays import as_array
from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import Capabilities, HyperNetwork
from qhyper.registry import check_options, options_of
from qhyper.streams import Rngs
from qhyper.targets.layout import Layout

EXPECTED = (
    "expected `sample(n)`, which gives bits [n, bit], with `log_prob(bits)`, which gives [n], or a "
    "`forward()` without arguments that gives a logit for each bit"
)


class FromModule(HyperNetwork):
    """A torch module of one distribution over bitstrings, with the replica axis added.

    `make()` gives the module, anew for each replica and start: its parameters are those of a
    replica, and `initialise` draws them with torch's, NumPy's and Python's global generators seeded
    by the replica's own stream, and put back afterwards. The same holds for draws. The module has

    - `sample(n)`, zeros and ones [n, bit], and, unless it can only be sampled, `log_prob(bits)`, of
      bits [n, bit] in the dtype of its parameters, log p [n]
    - or else a `forward()` without arguments: the logit of each bit, [bit], of independent bits

    It is asked in `eval` mode, and computes in its own dtype. Its buffers and other attributes are
    those of one module, the same for all replicas and starts. The parameters here are `module`'s,
    each [replica, ...]. Raises ConfigurationError for what is no such module.
    """

    def __init__(
        self, make: Callable[[], torch.nn.Module], n_bits: int, *, seeds: Sequence[int] = (0,)
    ) -> None:
        super().__init__(n_bits, seeds=seeds)
        if isinstance(make, torch.nn.Module):
            raise ConfigurationError(
                f"Got a {type(make).__name__} that is made already; expected what makes one, its "
                "class or a function, so that each replica has its own: FromModule(lambda: "
                f"{type(make).__name__}(...), n_bits)."
            )
        self._make = make
        module = self.module_of(np.random.default_rng(0))
        self._draws = callable(getattr(module, "sample", None))
        able = not self._draws or callable(getattr(module, "log_prob", None))
        self.capabilities = Capabilities(
            log_prob=able, marginals=not self._draws, independent=not self._draws
        )
        self._dtype = next(module.parameters()).dtype
        _add_replicas(module, self.replicas)
        self.module = module
        self.initialise()
        self._try()

    def _try(self) -> None:
        """Draw twice, so that what cannot be asked is refused before anything runs."""
        with torch.no_grad():
            bits = self._sample(2, [np.random.default_rng(0) for _ in self.seeds], None)
            if self.capabilities.log_prob:
                self._log_prob(bits, None)

    def describe(self) -> str:
        """One line on what this generator is, for reports."""
        what = "a torch module" if self._draws else "a torch module of logits"
        return f"{type(self.module).__name__}, {what}"

    def module_of(self, rng: np.random.Generator) -> torch.nn.Module:
        """A new module, of one replica, its random numbers from `rng`.

        Raises ConfigurationError if what is made is no module, or has nothing to train.
        """
        with seeded(rng):
            module = self._make()
        if not isinstance(module, torch.nn.Module):
            raise ConfigurationError(
                f"Got a {type(module).__name__} from {self._make!r}; expected a torch.nn.Module."
            )
        if not any(p.requires_grad for p in module.parameters()):
            raise ConfigurationError(
                f"{type(module).__name__} has no parameters that can be trained. Make them "
                "torch.nn.Parameter, in its constructor."
            )
        return module.eval()

    def _initialise(self, rng: Rngs) -> None:
        for replica, stream in enumerate(rng):
            own = dict(self.module_of(stream).named_parameters())
            for name, parameter in self.module.named_parameters():
                parameter[replica].copy_(own[name])

    def forward(self, question: str, *arguments: Any) -> Any:
        """What the module answers; asked through `_ask`, with the parameters of one replica."""
        return getattr(self.module, question)(*arguments)

    def _ask(self, replica: int, question: str, *arguments: Any) -> Any:
        own = {name: parameter[replica] for name, parameter in _places(self)}
        try:
            return functional_call(self, own, (question, *arguments), tie_weights=False)
        except Exception as error:  # a user's module can fail in any way
            given = ", ".join(_words(argument) for argument in arguments)
            raise ConfigurationError(
                f"{type(self.module).__name__}.{question}({given}) failed: {type(error).__name__}: "
                f"{error}. Of a torch module qhyper {EXPECTED}."
            ) from error

    def _logits(self) -> torch.Tensor:
        """The logits of independent bits, [replica, bit]."""
        return torch.stack(
            [self._checked_logits(self._ask(r, "forward")) for r in range(self.replicas)]
        )

    def _checked_logits(self, logits: Any) -> torch.Tensor:
        whole = isinstance(logits, torch.Tensor) and logits.numel() == self.n_bits
        if not whole or logits.shape[-1] != self.n_bits:
            raise ConfigurationError(
                f"{type(self.module).__name__}() gave {_words(logits)}; expected the logit of each "
                f"bit, a tensor [{self.n_bits}]."
            )
        return logits.reshape(self.n_bits).double()

    def _sample(self, shots: int, rng: Rngs, inputs: Any) -> Bits:
        if not self._draws:
            p = expit(self._logits().cpu().numpy())
            uniforms = np.stack([stream.random((shots, self.n_bits)) for stream in rng])
            return (uniforms < p[:, None]).view(np.uint8)[:, None]
        return np.stack([self._drawn(r, shots, stream) for r, stream in enumerate(rng)])[:, None]

    def _drawn(self, replica: int, shots: int, stream: np.random.Generator) -> Bits:
        with seeded(stream):
            found = self._ask(replica, "sample", shots)
        tensor = isinstance(found, torch.Tensor)
        bits = as_array(found, "draws") if tensor else np.asarray(found)
        if bits.shape != (shots, self.n_bits) or not np.isin(bits, (0, 1)).all():
            raise ConfigurationError(
                f"{type(self.module).__name__}.sample({shots}) gave {_words(found)}; expected "
                f"zeros and ones, [n, bit] = [{shots}, {self.n_bits}]."
            )
        return bits.astype(np.uint8)

    def _log_prob(self, bits: Bits, inputs: Any) -> torch.Tensor:
        device = next(self.module.parameters()).device
        if not self._draws:
            logits = self._logits()[:, None, None]
            w = torch.as_tensor(bits.astype(np.float64), device=logits.device)
            return (w * logits).sum(-1) + torch.nn.functional.logsigmoid(-logits).sum(-1)
        w = torch.as_tensor(bits[:, 0].astype(np.float64), device=device).to(self._dtype)
        return torch.stack([self._own_log_prob(r, w[r]) for r in range(self.replicas)])[:, None]

    def _own_log_prob(self, replica: int, bits: torch.Tensor) -> torch.Tensor:
        found = self._ask(replica, "log_prob", bits)
        if not isinstance(found, torch.Tensor) or found.shape != bits.shape[:1]:
            per_bit = isinstance(found, torch.Tensor) and found.shape == bits.shape
            raise ConfigurationError(
                f"{type(self.module).__name__}.log_prob({_words(bits)}) gave {_words(found)}; "
                f"expected the log p of each string, a tensor [{len(bits)}]"
                f"{': sum over the bits, .sum(-1).' if per_bit else '.'}"
            )
        return found.double()

    def _marginals(self, inputs: Any) -> torch.Tensor:
        if self._draws:
            return super()._marginals(inputs)
        return self._logits().sigmoid()[:, None]


def from_module(
    n_bits: int,
    *,
    module: Callable[..., torch.nn.Module],
    name: str,
    options: Mapping[str, Any],
    layout: Layout | None = None,
    seeds: Sequence[int] = (0,),
) -> FromModule:
    """`FromModule` of a class called `name`, with its options; it gets `n_bits` and `layout` too.

    Those two if it names them. Raises ConfigurationError for an unknown option, or one that is
    missing.
    """
    parameters = options_of("generator", name, module)
    offered = {"n_bits": n_bits, "layout": layout}
    given = {key: value for key, value in offered.items() if key in parameters}
    check_options("generator", name, options_of("generator", name, module, ours=given), options)
    try:
        return FromModule(lambda: module(**given, **options), n_bits, seeds=seeds)
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(
            f"The torch module '{name}' could not be built with {dict(options) or 'no options'}: "
            f"{error}. It gets its options, and n_bits and layout where it names them."
        ) from error


@contextmanager
def seeded(rng: np.random.Generator) -> Iterator[None]:
    """Within, the global generators of torch (CPU), NumPy and Python begin at a draw of `rng`.

    Afterwards they are as they were.
    """
    seed = int(rng.integers(2**32))
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


def _add_replicas(module: torch.nn.Module, replicas: int) -> None:
    """Give every parameter of a module a first axis of so many replicas; tied ones stay tied."""
    own = {id(p): p for p in module.parameters()}
    wide = {
        number: torch.nn.Parameter(p.detach().repeat(replicas, *[1] * p.ndim), p.requires_grad)
        for number, p in own.items()
    }
    for name, parameter in list(_places(module)):
        path, _, last = name.rpartition(".")
        setattr(module.get_submodule(path), last, wide[id(parameter)])


def _places(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Every place of a parameter, by its name: each of a tied one's, and each module once."""
    for path, part in module.named_modules():
        for name, parameter in part.named_parameters(recurse=False, remove_duplicate=False):
            yield f"{path}.{name}" if path else name, parameter


def _words(value: Any) -> str:
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"{value.dtype} of shape {list(value.shape)}"
    return repr(value)
