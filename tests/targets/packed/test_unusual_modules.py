"""Torch modules that are not what they look like: refused with words, or packed as they are."""

import copy
import math
import random
import types
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from qhyper.errors import ConfigurationError
from qhyper.targets.packed.network import PackedNetwork
from qhyper.targets.packed.torch_module import Affine, Votes
from qhyper.targets.sign import Sign

INPUTS, HIDDEN, CLASSES, ROWS = 16, 32, 4, 2000
"""Sums of 16 signs are often 0, and their root is a whole number."""


def linear(n_in, n_out, *, kind=nn.Linear, bias=True, seed=0):
    rng = np.random.default_rng(seed)
    layer = kind(n_in, n_out, bias=bias)
    layer.weight.data = torch.tensor(rng.choice([-1.0, 1.0], (n_out, n_in)))
    if bias:
        layer.bias.data = torch.tensor(rng.integers(-2, 3, n_out) * 1.0)
    return layer


def normalised(units, *, kind=nn.BatchNorm1d, seed=1, **options):
    rng = np.random.default_rng(seed)
    norm = kind(units, **options)
    if norm.affine:
        norm.weight.data = torch.tensor(rng.normal(size=units))
        norm.bias.data = torch.tensor(rng.normal(size=units))
    if norm.track_running_stats:
        norm.running_mean = torch.tensor(rng.integers(-3, 4, units) * 1.0)
        norm.running_var = torch.tensor(rng.uniform(0.5, 20, units))
    return norm


def plain():
    """Linear, BatchNorm1d, Sign, Linear, BatchNorm1d, in float64 and eval mode."""
    parts = (
        linear(INPUTS, HIDDEN, bias=False),
        normalised(HIDDEN),
        Sign(),
        linear(HIDDEN, CLASSES, seed=2),
        normalised(CLASSES, seed=3),
    )
    return nn.Sequential(*parts).double().eval()


def with_part(number, part):
    net = plain()
    net[number] = part
    return net


def in_place(number, change):
    net = plain()
    change(net[number])
    return net


# -- what is refused -------------------------------------------------------------------------------


class ScaledLinear(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x, self.weight) * 0.1 + self.bias


class OwnSequential(nn.Sequential):
    def forward(self, x):
        return super().forward(x.flip(1))


class OwnDropout(nn.Dropout):
    def forward(self, x):
        return -x


class OwnIdentity(nn.Identity):
    def forward(self, x):
        return x.flip(1)


class OwnNorm(nn.BatchNorm1d):
    def forward(self, x):
        return -super().forward(x)


class OwnSign(Sign):
    def forward(self, x):
        return -super().forward(x)


class OwnVotes(Votes):
    def forward(self, x):
        return -super().forward(x)


class OwnAffine(Affine):
    pass


class OwnParametrised(nn.Linear):
    """With parametrisations, and a forward of its own."""

    def forward(self, x):
        return -super().forward(x)


class OwnTensor(torch.Tensor):
    pass


class Half(nn.Module):
    def forward(self, w):
        return w / 2


class Random(nn.Module):
    """Weights that are drawn anew whenever they are asked for."""

    def forward(self, w):
        return torch.randint_like(w, 0, 2) * 2 - 1


class Signs(nn.Module):
    def forward(self, w):
        return torch.where(w >= 0, 1.0, -1.0).to(w.dtype)


def hooked(register, number=None):
    def change(part):
        getattr(part, register)(lambda module, *values: None)

    net = plain()
    change(net if number is None else net[number])
    return net


def patched(number, name="forward"):
    net = plain()
    part = net if number is None else net[number]
    part.forward = types.MethodType(lambda self, x: -type(self).forward(self, x), part)
    return net


def parametrised(number, parametrisation, name="weight", **options):
    net = plain()
    parametrize.register_parametrization(net[number], name, parametrisation, **options)
    return net


def own_parametrised():
    layer = linear(HIDDEN, CLASSES, kind=OwnParametrised).double()
    parametrize.register_parametrization(layer, "weight", Signs())
    return with_part(3, layer)


def dressed_up():
    """A class of its own that only has what parametrised layers have."""
    layer = linear(HIDDEN, CLASSES, kind=OwnParametrised).double()
    layer.parametrizations = nn.ModuleDict({"weight": nn.Identity()})
    return with_part(3, layer)


def set_to(number, name, value):
    def change(part):
        tensor = getattr(part, name).data
        tensor.view(-1)[0] = value

    return in_place(number, change)


def replaced(number, name, make):
    return in_place(number, lambda part: setattr(part, name, make(getattr(part, name))))


def plain_attribute():
    net = plain()
    weight = net[0].weight.detach()
    del net[0].weight
    net[0].weight = weight.float()
    return net


def without(number, name):
    return in_place(number, lambda part: setattr(part, name, None))


def inputs_of(number, change):
    return with_part(number, change(plain()[number]))


SUBCLASS = "A subclass of {0} may compute anything: make it a plain {0}"
HOOK = r"Got the hook \S+ on the {} of {}: what hooks do is not packed"

REFUSED = {
    "subclass of Linear": (
        lambda: with_part(3, linear(HIDDEN, CLASSES, kind=ScaledLinear)),
        "Got ScaledLinear in layer 1.*" + SUBCLASS.format("Linear"),
    ),
    "own Sequential": (lambda: OwnSequential(*plain()), "Got OwnSequential; expected a torch"),
    "subclass of Dropout": (
        lambda: nn.Sequential(*plain()[:3], OwnDropout(), *plain()[3:]),
        "Got OwnDropout in layer 1.*" + SUBCLASS.format("Dropout"),
    ),
    "subclass of Identity": (
        lambda: nn.Sequential(OwnIdentity(), *plain()),
        "Got OwnIdentity in layer 0.*" + SUBCLASS.format("Identity"),
    ),
    "subclass of BatchNorm1d": (
        lambda: with_part(4, normalised(CLASSES, kind=OwnNorm)),
        "Got OwnNorm in layer 2.*" + SUBCLASS.format("BatchNorm1d"),
    ),
    "subclass of Sign": (lambda: with_part(2, OwnSign()), "Got OwnSign in .*plain Sign"),
    "subclass of Votes": (
        lambda: nn.Sequential(*plain()[:2], Sign(), OwnVotes(8)),
        "Got OwnVotes in .*plain Votes",
    ),
    "subclass of Affine": (
        lambda: with_part(4, OwnAffine(np.ones(CLASSES), np.zeros(CLASSES))),
        "Got OwnAffine in .*plain Affine",
    ),
    "subclass with parametrisations": (own_parametrised, "Got OwnParametrised in layer 1"),
    "subclass that looks parametrised": (dressed_up, "Got OwnParametrised in layer 1"),
    "synchronised normalisation": (
        lambda: nn.SyncBatchNorm.convert_sync_batchnorm(plain()),
        "Got SyncBatchNorm in layer 1",
    ),
    "normalisation of images": (
        lambda: with_part(1, nn.BatchNorm2d(HIDDEN)),
        "Got BatchNorm2d in layer 1",
    ),
    "no layer": (lambda: with_part(2, None), "Got NoneType in layer 1"),
    "nested": (lambda: nn.Sequential(nn.Sequential(*plain()[:3]), *plain()[3:]), "Got Sequential "),
    "flattened": (lambda: nn.Sequential(nn.Flatten(), *plain()), "Got Flatten in layer 0"),
    "softmax": (lambda: plain().append(nn.LogSoftmax(1)), "Got LogSoftmax in layer 2"),
    "convolution": (lambda: with_part(0, nn.Conv1d(1, 1, 1)), "Got Conv1d in layer 0"),
    "bilinear": (lambda: with_part(0, nn.Bilinear(2, 2, 2)), "Got Bilinear in layer 0"),
    "torch's own sign": (lambda: with_part(2, nn.Hardtanh()), "Got Hardtanh in layer 1"),
    "lazy": (lambda: with_part(0, nn.LazyLinear(HIDDEN)), "Got LazyLinear in layer 0"),
    "compiled": (lambda: torch.compile(plain()), "Got OptimizedModule; expected"),
    "data parallel": (lambda: nn.DataParallel(plain()), "Got DataParallel; expected"),
    "averaged": (lambda: torch.optim.swa_utils.AveragedModel(plain()), "Got AveragedModel"),
    "list of modules": (lambda: nn.ModuleList(plain()), "Got ModuleList; expected"),
    "traced": (
        lambda: torch.jit.trace(plain().eval(), torch.ones(2, INPUTS).double()),
        "Got TopLevelTracedModule; expected",
    ),
    "symbolic": (
        lambda: torch.fx.symbolic_trace(plain()),
        r"Got torch\.fx\.graph_module\.\S+; expected",
    ),
    **{
        f"{register}, {where}": (
            lambda register=register, number=number: hooked(register, number),
            HOOK.format(name, where),
        )
        for register in ("register_forward_hook", "register_forward_pre_hook")
        for number, name, where in ((None, "Sequential", "all layers"), (2, "Sign", "layer 0"))
    },
    "weight norm by a hook": (
        lambda: in_place(3, lambda part: nn.utils.weight_norm(part)),
        "Got the hook WeightNorm on the Linear of layer 1.* remove_weight_norm",
    ),
    "spectral norm by a hook": (
        lambda: in_place(3, lambda part: nn.utils.spectral_norm(part)),
        "Got the hook SpectralNorm on the Linear of layer 1.* remove_spectral_norm",
    ),
    "pruned": (
        lambda: in_place(0, lambda part: prune.random_unstructured(part, "weight", 0.2)),
        r"Got the hook RandomUnstructured on the Linear of layer 0.*prune\.remove",
    ),
    "pruned for good": (
        lambda: in_place(
            0,
            lambda part: prune.remove(
                prune.l1_unstructured(part, "weight", amount=3), "weight"
            ),
        ),
        r"weight -?0 in layer 0; expected -1 and \+1 alone",
    ),
    "forward of an instance": (
        lambda: patched(3),
        r"Got the Linear of layer 1 with a method `forward` of its own.* new Linear",
    ),
    "forward of the whole": (lambda: patched(None), "Got the Sequential of all layers with a meth"),
    "eval of an instance": (
        lambda: in_place(1, lambda part: setattr(part, "eval", lambda: part)),
        "Got the BatchNorm1d of layer 0 with a method `eval` of its own",
    ),
    "halved by a parametrisation": (lambda: parametrised(3, Half()), "weight -?0.5 in layer 1"),
    "spectral norm": (
        lambda: in_place(3, lambda part: parametrizations.spectral_norm(part)),
        r"Got the weight \S+ in layer 1",
    ),
    "drawn anew": (
        lambda: parametrised(3, Random(), unsafe=True),
        r"gives other outputs than what it was made from on \d+ of 1000 random rows",
    ),
    "weights of 2": (lambda: set_to(0, "weight", 2.0), "Got the weight 2 in layer 0"),
    "no weight": (lambda: set_to(0, "weight", 0.0), "Got the weight 0 in layer 0"),
    "weights that are no numbers": (lambda: set_to(3, "weight", math.nan), "weight nan in layer 1"),
    "infinite weights": (lambda: set_to(3, "weight", math.inf), "weight inf in layer 1"),
    "biases that are no numbers": (lambda: set_to(3, "bias", math.nan), "not finite in layer 1"),
    "infinite variance": (lambda: set_to(1, "running_var", math.inf), "not finite in layer 0"),
    "variance that is no number": (lambda: set_to(1, "running_var", math.nan), "variances from n"),
    "no variance": (lambda: without(1, "running_var"), "layer 0 has no running statistics"),
    "statistics of the batch": (
        lambda: with_part(1, normalised(HIDDEN, track_running_stats=False)),
        "layer 0 has no running statistics",
    ),
    "overflowing": (
        lambda: in_place(4, lambda part: part.weight.data.fill_(1e308)),
        "do not fit float64",
    ),
    "complex": (
        lambda: replaced(0, "weight", lambda w: nn.Parameter(w.detach().to(torch.complex64))),
        r"Got 0\.weight of torch\.complex64 and",
    ),
    "meta": (lambda: plain().to("meta"), r"Got 0\.weight on the meta device, where there are no n"),
    "sparse": (
        lambda: replaced(0, "weight", lambda w: nn.Parameter(w.detach().to_sparse())),
        r"Got 0\.weight of torch\.float64 and torch\.sparse_coo; expected real numbers",
    ),
    "tensor of a class of its own": (
        lambda: replaced(
            0, "weight", lambda w: nn.Parameter(w.detach().as_subclass(OwnTensor))
        ),
        r"Got 0\.weight as a OwnTensor; expected real numbers in a plain tensor",
    ),
    "whole numbers": (
        lambda: replaced(
            0, "weight", lambda w: nn.Parameter(w.detach().to(torch.int8), requires_grad=False)
        ),
        r"Got the weight of layer 0 as torch\.int8 .*expected a parameter of floating point",
    ),
    "no parameter": (plain_attribute, r"Got the weight of layer 0 as torch\.float32 .*Assign a"),
    "one bias for all": (
        lambda: replaced(3, "bias", lambda b: nn.Parameter(b.detach()[:1])),
        "Got 1 biases for 4 units in layer 1",
    ),
    "one unit": (
        lambda: replaced(3, "weight", lambda w: nn.Parameter(w.detach()[0])),
        r"Got the weight of layer 1 as torch\.float64 and shape \(32,\)",
    ),
    "one scale for all": (
        lambda: with_part(4, Affine(np.ones(1), np.ones(1))),
        "Got 1 numbers behind the 4 units of layer 1",
    ),
    "that cannot be copied": (
        lambda: in_place(0, lambda part: setattr(part, "kept", (part.weight * 1,))),
        "The module cannot be copied .* as parameters",
    ),
}  # fmt: skip


# some of these ways torch itself warns of
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_an_unusual_module_is_refused(name):
    build, message = REFUSED[name]
    with pytest.raises(ConfigurationError, match=message):
        PackedNetwork.from_torch(build(), inputs="signs")


@pytest.mark.filterwarnings("ignore:torch.quantize:UserWarning")
def test_quantised_layers_are_refused():
    quantised = torch.ao.nn.quantized.dynamic.Linear(HIDDEN, CLASSES)
    with pytest.raises(ConfigurationError, match=r"Got torch\.ao\.\S+\.Linear in layer 1; expe"):
        PackedNetwork.from_torch(with_part(3, quantised), inputs="signs")


@pytest.mark.parametrize("kind", ["forward_hook", "forward_pre_hook"])
def test_hooks_of_all_modules_are_refused(kind):
    handle = getattr(nn.modules.module, f"register_module_{kind}")(lambda module, *values: None)
    try:
        with pytest.raises(ConfigurationError, match=r"Got the hook \S+ on all modules"):
            PackedNetwork.from_torch(plain(), inputs="signs")
    finally:
        handle.remove()


@pytest.mark.parametrize("kind", [nn.Linear, nn.BatchNorm1d, Sign])
def test_a_class_that_is_patched_is_seen_by_what_it_gives(kind, monkeypatch):
    before = kind.forward
    monkeypatch.setattr(kind, "forward", lambda self, x: before(self, x).flip(1))
    message = r"The packed network gives other outputs than .* on \d+ of 1000 random rows\. Some"
    with pytest.raises(ConfigurationError, match=message):
        PackedNetwork.from_torch(plain(), inputs="signs")


class Backwards(torch.overrides.TorchFunctionMode):
    """Linear layers read their inputs from the last to the first."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is nn.functional.linear:
            args = (args[0].flip(1), *args[1:])
        return function(*args, **(kwargs or {}))


def test_a_mode_of_torch_is_seen_by_what_it_gives():
    with Backwards(), pytest.raises(ConfigurationError, match="gives other outputs than what"):
        PackedNetwork.from_torch(plain(), inputs="signs")


# -- what is packed --------------------------------------------------------------------------------


def latent(number):
    """Real weights, of which a parametrisation takes the signs."""
    net = plain()
    net[number].weight.data *= torch.rand_like(net[number].weight) + 0.1
    parametrize.register_parametrization(net[number], "weight", Signs())
    return net


def shared():
    layer, norm, sign = linear(INPUTS, INPUTS).double(), normalised(INPUTS).double(), Sign()
    last = linear(INPUTS, CLASSES).double()
    return nn.Sequential(layer, norm, sign, layer, norm, sign, last)


def initialised():
    net = plain()
    net[0] = nn.LazyLinear(HIDDEN, bias=False).double()
    net.eval()(torch.ones(2, INPUTS).double())
    net[0].weight.data = linear(INPUTS, HIDDEN).weight.data
    return net


def compiled():
    net = plain()
    net.compile(backend="eager")
    return net


def unweighted():
    net = plain()
    parametrize.register_parametrization(net[0], "weight", Signs())
    parametrize.remove_parametrizations(net[0], "weight")
    return net


def shifted(step):
    layer = linear(INPUTS, HIDDEN).double()
    layer.bias.data.add_(step)
    return layer


def as_buffer(part):
    weight = part.weight.data
    del part.weight
    part.register_buffer("weight", weight)


def mixed():
    net = plain().bfloat16()
    net[1].float(), net[4].float()
    return net


def voting(of_zero=1):
    return nn.Sequential(
        linear(INPUTS, HIDDEN), Sign(of_zero), linear(HIDDEN, 20), normalised(20), Sign(of_zero),
        Votes(5),
    ).double()  # fmt: skip


PACKED = {
    "plain": plain,
    "printed in words of its own": lambda: in_place(
        0, lambda part: setattr(part, "extra_repr", lambda: "the first")
    ),
    "eval mode": lambda: plain().eval(),
    "one layer": lambda: nn.Sequential(linear(INPUTS, CLASSES)).double(),
    "no gradients": lambda: plain().requires_grad_(False),
    "dropout": lambda: nn.Sequential(nn.Dropout(0.9), *plain()[:3], nn.Identity(), *plain()[3:]),
    "parametrised": lambda: latent(0),
    "parametrised, last": lambda: latent(3),
    "parametrised norm": lambda: parametrised(4, Half()),
    "parametrised bias": lambda: parametrised(3, Half(), "bias"),
    "weight norm": lambda: in_place(0, lambda part: parametrizations.weight_norm(part)),
    "parametrisation removed": unweighted,
    "shared": shared,
    "lazy, initialised": initialised,
    "compiled in place": compiled,
    "backward hooks": lambda: in_place(
        3, lambda part: part.register_full_backward_hook(lambda *a: None)
    ),
    "buffers besides": lambda: in_place(
        0, lambda part: part.register_buffer("more", torch.ones(3))
    ),
    "weight as a buffer": lambda: in_place(
        0,
        as_buffer,
    ),
    "transposed": lambda: replaced(
        0, "weight", lambda w: nn.Parameter(w.detach().t().contiguous().t())
    ),
    "biases that are no whole numbers": lambda: in_place(3, lambda part: part.bias.data.add_(0.3)),
    "hidden biases that are no whole numbers": lambda: with_part(0, shifted(0.1)),
    "gamma negative and zero": lambda: in_place(
        1, lambda part: part.weight.data.neg_()[:5].zero_()
    ),
    "last gamma zero": lambda: in_place(4, lambda part: part.weight.data.zero_()),
    "not affine": lambda: with_part(1, normalised(HIDDEN, affine=False).double()),
    "last not affine": lambda: with_part(4, normalised(CLASSES, affine=False).double()),
    "no gamma": lambda: without(1, "weight"),
    "no beta": lambda: without(4, "bias"),
    "tiny eps": lambda: with_part(1, normalised(HIDDEN, eps=1e-30).double()),
    "no variance but eps": lambda: in_place(1, lambda part: part.running_var.zero_()),
    "huge eps": lambda: with_part(4, normalised(CLASSES, eps=1e6).double()),
    "cumulative average": lambda: with_part(1, normalised(HIDDEN, momentum=None).double()),
    "statistics not tracked any more": lambda: in_place(
        1, lambda part: setattr(part, "track_running_stats", False)
    ),
    "norms of all units the same": lambda: with_part(
        4, nn.BatchNorm1d(CLASSES).double()
    ),
    "scaled after": lambda: with_part(4, Affine(np.full(CLASSES, 0.01), np.arange(CLASSES) * 1.0)),
    "scaled inside": lambda: with_part(
        1, Affine(np.linspace(-1, 1, HIDDEN), np.linspace(-2, 3, HIDDEN))
    ),
    "sign of zero -1": lambda: with_part(2, Sign(-1)),
    "votes": voting,
    "votes, sign of zero -1": lambda: voting(-1),
    "deep": lambda: nn.Sequential(
        *(part for k in range(4) for part in (linear(INPUTS, INPUTS, seed=k), Sign())),
        linear(INPUTS, CLASSES),
    ).double(),
    "float32": lambda: plain().float(),
    "float16": lambda: plain().half(),
    "bfloat16": lambda: plain().bfloat16(),
    "norms of float32 in a module of bfloat16": mixed,
    "first layer of float32": lambda: in_place(0, lambda part: part.float()),
}  # fmt: skip


@pytest.mark.parametrize("inputs", ["signs", "pixels"])
@pytest.mark.parametrize("name", PACKED)
def test_an_unusual_module_keeps_its_predictions(name, inputs):
    net = PACKED[name]()
    rng = np.random.default_rng(5)
    x = rng.integers(0, 2 if inputs == "signs" else 256, (ROWS, INPUTS))
    x[::3] = rng.integers(0, 2, x[::3].shape) * (1 if inputs == "signs" else 3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The module is ")
        packed = PackedNetwork.from_torch(net, inputs=inputs)
    reference = copy.deepcopy(net).double().eval()
    seen = torch.from_numpy(2.0 * x - 1 if inputs == "signs" else 1.0 * x)
    with torch.no_grad():
        expected = reference(seen).numpy()
    assert np.array_equal(packed.predict(x), expected.argmax(axis=1))
    np.testing.assert_allclose(packed.outputs(x), expected, rtol=1e-12, atol=1e-9)


class BiasFirst(torch.overrides.TorchFunctionMode):
    """Linear layers add their weights up from left to right, beginning with the bias."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is not nn.functional.linear:
            return function(*args, **(kwargs or {}))
        x, weight, bias = args
        total = bias.expand(len(x), -1)
        for i in range(x.shape[1]):
            total = total + x[:, i, None] * weight[:, i]
        return total


@pytest.mark.parametrize("bias", [0.1, -0.1])
def test_biases_at_a_tie_are_left_to_rounding(bias):
    """0.1 + 3 - 3 is 0.1 or 0.1000…: a threshold there is a matter of the order of the sum."""
    layer = linear(INPUTS, HIDDEN, bias=False).double()
    layer.bias = nn.Parameter(torch.full((HIDDEN,), bias, dtype=torch.float64))
    norm = nn.BatchNorm1d(HIDDEN, affine=False).double()
    norm.running_mean.copy_(layer.bias.detach())  # most rows have a sum of 0 somewhere
    net = nn.Sequential(layer, norm, Sign(-1), linear(HIDDEN, CLASSES).double())
    x = 2.0 * np.random.default_rng(0).integers(0, 2, (ROWS, INPUTS)) - 1
    message = "class depends on how sums are rounded"
    with BiasFirst(), torch.no_grad():
        there = net.eval()(torch.from_numpy(x)).numpy()
        with pytest.warns(UserWarning, match=message):
            packed = PackedNetwork.from_torch(net, inputs="signs")
    assert (there != packed.outputs((x + 1) / 2)).any()  # the order matters
    assert packed.shape.layers == (INPUTS, HIDDEN, CLASSES)


def test_a_warning_says_on_how_many_rows_rounding_decides():
    """Two classes of the same weights, told apart by nothing but how 0.1 and 0.7 are rounded."""
    last = linear(HIDDEN, 2, bias=False).double()
    last.weight.data[1] = last.weight.data[0]
    last.bias = nn.Parameter(torch.tensor([0.1, 0.7], dtype=torch.float64))
    norm = nn.BatchNorm1d(2, affine=False).double()
    norm.running_mean.copy_(last.bias.detach())
    net = nn.Sequential(*plain()[:3], last, norm).eval()
    message = r"On \d+ of 1000 random rows the module's class depends on how sums are rounded"
    with pytest.warns(UserWarning, match=message) as caught:
        packed = PackedNetwork.from_torch(net, inputs="signs")
    assert [warning.filename for warning in caught] == [__file__]
    x = np.random.default_rng(6).integers(0, 2, (ROWS, INPUTS))
    with torch.no_grad():
        expected = net.eval()(torch.from_numpy(2.0 * x - 1)).numpy()
    np.testing.assert_allclose(packed.outputs(x), expected, rtol=0, atol=1e-12)


# -- numbers below float64 -------------------------------------------------------------------------


def of_type(dtype):
    """Thresholds that are whole sums, where rounding decides."""
    net = plain()
    net[1].running_mean = torch.arange(HIDDEN) % 9 * 2.0 - 8
    net[1].bias.data.zero_()
    return net.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_warning_says_on_how_many_rows_a_module_rounds_otherwise(dtype):
    name = str(dtype).removeprefix("torch.")
    message = rf"is {name}, .* in float64: in {name} \d+ of 1000 random rows get another class"
    with pytest.warns(UserWarning, match=message) as caught:
        PackedNetwork.from_torch(of_type(dtype), inputs="signs")
    assert [warning.filename for warning in caught] == [__file__]
    number = int(str(caught[0].message).split(" of 1000")[0].split()[-1])
    assert number > 0


def test_no_warning_where_nothing_differs():
    exact = nn.Sequential(linear(INPUTS, HIDDEN), Sign(), linear(HIDDEN, CLASSES)).float()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PackedNetwork.from_torch(exact, inputs="signs")
        PackedNetwork.from_torch(of_type(torch.float64), inputs="signs")


# -- what packing leaves alone ---------------------------------------------------------------------


def test_packing_leaves_global_random_streams_alone():
    before = repr(np.random.get_state()[1:3])  # noqa: NPY002
    others = torch.get_rng_state(), random.getstate()
    packed = PackedNetwork.from_torch(latent(0), inputs="signs")
    with pytest.raises(ConfigurationError, match="other outputs"):
        PackedNetwork.from_torch(parametrised(3, Random(), unsafe=True), inputs="signs")
    state = torch.get_rng_state()
    packed.to_torch()
    assert torch.equal(torch.get_rng_state(), state)
    assert repr(np.random.get_state()[1:3]) == before  # noqa: NPY002
    assert random.getstate() == others[1]
