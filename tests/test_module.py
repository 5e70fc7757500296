"""A plain torch module as a generator: wrapped, trained, saved, resumed; and refused in words."""

import json
import random

import numpy as np
import pytest
import torch
from torch import nn

from qhyper.bits import all_bitstrings
from qhyper.compose.module import FromModule, seeded
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import build_generator
from qhyper.run.comparison import load_generator
from qhyper.streams import Streams

N, SEEDS = 5, (3, 4, 5)

MODULES = '''
import numpy as np
import torch
from torch import nn


def missing(bits):
    return 1 - bits.mean(axis=1)


class Coins(nn.Module):
    """Independent bits by torch.distributions, from torch's global generator."""

    def __init__(self, n_bits, *, spread: float = 0.1):
        super().__init__()
        self.logits = nn.Parameter(torch.randn(n_bits) * spread)

    def distribution(self):
        return torch.distributions.Bernoulli(logits=self.logits)

    def sample(self, n):
        return self.distribution().sample((n,))

    def log_prob(self, bits):
        return self.distribution().log_prob(bits).sum(-1)


class Recurrent(nn.Module):
    """Bit by bit with a GRU, a buffer, a tied parameter, and dropout, which eval() leaves out."""

    def __init__(self, n_bits):
        super().__init__()
        self.cell, self.out = nn.GRU(1, 6, batch_first=True), nn.Linear(6, 1)
        self.again, self.drop = self.out, nn.Dropout(0.5)
        self.register_buffer("order", torch.as_tensor(np.random.permutation(n_bits)))

    def logits(self, bits):
        before = torch.cat([torch.zeros_like(bits[:, :1]), bits[:, :-1]], dim=1)
        return self.again(self.drop(self.cell(before[..., None])[0]))[..., 0]

    def sample(self, n):
        bits = torch.zeros(n, len(self.order))
        for i in range(bits.shape[1]):
            bits[:, i] = torch.bernoulli(self.logits(bits)[:, i].sigmoid())
        return bits[:, self.order]

    def log_prob(self, bits):
        bits = bits[:, self.order.argsort()]
        wrong = nn.functional.binary_cross_entropy_with_logits
        return -wrong(self.logits(bits), bits, reduction="none").sum(-1)


class Logits(nn.Module):
    """Only logits, from no input, in float64."""

    def __init__(self, n_bits):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(n_bits).double().normal_())

    def forward(self):
        return self.logits[None]


class Samples(nn.Module):
    """Only samples, by NumPy's global generator."""

    def __init__(self, n_bits):
        super().__init__()
        self.p = nn.Parameter(torch.rand(n_bits))

    def sample(self, n):
        return np.random.random((n, len(self.p))) < self.p.detach().numpy()


class PerBit(Coins):
    def log_prob(self, bits):
        return self.distribution().log_prob(bits)


class Signs(Coins):
    def sample(self, n):
        return 2 * super().sample(n) - 1


class Seeing(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(x)


class Constant(nn.Module):
    def forward(self):
        return torch.zeros(5)
'''


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """The module, where it is found by its name."""
    (tmp_path / "wrapped_modules.py").write_text(MODULES)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    import sys

    sys.modules.pop("wrapped_modules", None)


def build(name, seeds=SEEDS, **options):
    return build_generator(f"wrapped_modules:{name}", N, seeds=seeds, options=options)


def draw(generator, shots=40):
    return generator.sample(shots, rng=Streams(generator.seeds)(0)).bits


NAMES = ("Coins", "Recurrent", "Logits", "Samples")
WITH_LOG_P = NAMES[:3]


@pytest.mark.parametrize("name", NAMES)
def test_each_replica_is_a_module_of_its_own_seed(name):
    generator = build(name)
    assert isinstance(generator, FromModule)
    assert name in generator.describe()
    assert (generator.n_bits, generator.seeds) == (N, SEEDS)
    assert all(p.shape[0] == 3 for p in generator.parameters())
    bits = draw(generator)
    assert (bits.shape, bits.dtype) == ((3, 1, 40, N), np.uint8)
    for replica, seed in enumerate(SEEDS):
        for alone in (build(name, seeds=(seed,)), generator.replica(replica)):
            np.testing.assert_array_equal(draw(alone)[0], bits[replica])
            for one, every in zip(alone.parameters(), generator.parameters(), strict=True):
                assert torch.equal(one[0], every[replica])
    assert all((p[0] != p[1]).any() for p in generator.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_global_random_numbers_are_neither_read_nor_changed(name):
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        states = torch.get_rng_state(), np.random.get_state()[1], random.getstate()  # noqa: NPY002
        generator = build(name)
        generator.initialise(restart=2)
        found.append((draw(generator), [p.detach().clone() for p in generator.parameters()]))
        assert torch.equal(states[0], torch.get_rng_state())
        assert (states[1] == np.random.get_state()[1]).all()  # noqa: NPY002
        assert states[2] == random.getstate()
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert all(torch.equal(a, b) for a, b in zip(found[0][1], found[1][1], strict=True))


@pytest.mark.parametrize("name", WITH_LOG_P)
def test_log_p_is_the_modules_own(name):
    generator = build(name)
    bits = draw(generator)
    log_p = generator.log_prob(bits)
    assert log_p.dtype == torch.float64
    assert (generator.probabilities().sum(-1) - 1).abs().max() < 1e-5  # float32 inside
    log_p.sum().backward()
    assert all((p.grad != 0).flatten(1).any(1).all() for p in generator.parameters())
    for replica in range(3):
        alone = generator.replica(replica)
        torch.testing.assert_close(alone.log_prob(bits[replica][None])[0], log_p[replica])
    assert generator.capabilities.independent == (name == "Logits")
    ones = generator.probabilities() @ torch.from_numpy(all_bitstrings(N).astype(float))
    torch.testing.assert_close(generator.marginals(), ones, rtol=0, atol=1e-5)


def test_log_p_of_coins_is_the_closed_form():
    generator = build("Coins", spread=2.0)
    p = generator.module.logits.detach().sigmoid().double()[:, None]
    strings = torch.from_numpy(all_bitstrings(N).astype(float))
    expected = torch.where(strings == 1, p, 1 - p).log().sum(-1)
    found = generator.log_prob(all_bitstrings(N)[None, None])[:, 0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_dict_gives_the_same_distribution(name):
    generator, other = build(name), build(name, seeds=(7, 8, 9))
    other.load_state_dict(generator.state_dict())
    rng = Streams(SEEDS)
    np.testing.assert_array_equal(
        generator.sample(20, rng=rng(1)).bits, other.sample(20, rng=rng(1)).bits
    )


def test_a_start_draws_parameters_anew_and_can_be_repeated():
    generator, again = build("Recurrent"), build("Recurrent")
    before, order = draw(generator), generator.module.order.clone()
    generator.initialise(restart=1)
    again.initialise(restart=1)
    assert (draw(generator) != before).any()
    np.testing.assert_array_equal(draw(generator), draw(again))
    assert torch.equal(generator.module.order, order)
    generator.initialise(restart=0)
    np.testing.assert_array_equal(draw(generator), before)


@pytest.mark.parametrize("name", ["Coins", "Logits"])
def test_it_is_compared_saved_and_resumed(name, cli, tmp_path, monkeypatch):
    run = ["compare", "--objective", "wrapped_modules:missing", "--bits", "6", "--seeds", "2",
           "--evaluations", "20000", "--generators", f"wrapped_modules:{name},random",
           "--processes", "1", "--json"]  # fmt: skip
    code, out, err = cli(*run)
    assert code == 0, err
    entry = json.loads(out)["generators"][0]
    assert (entry["kind"], entry["parameters"]) == ("classical", 6)
    assert entry["final_loss"]["median"] < 0.1  # of 0.5 at the start
    (folder,) = (tmp_path / "runs").iterdir()
    trained = load_generator(folder, title=f"wrapped_modules:{name}")
    assert draw(trained).mean() > 0.9
    assert cli("resume", str(folder), "--json")[:2] == (0, out)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("PerBit", {}, r"PerBit\.log_prob\(.*\) gave torch\.float32 of shape \[2, 5\]; expected the"
         r" log p of each string, a tensor \[2\]: sum over the bits, \.sum\(-1\)\."),
        ("Signs", {}, r"Signs\.sample\(2\) gave .*; expected zeros and ones, \[n, bit\] = \[2, 5"),
        ("Seeing", {}, r"Seeing\.forward\(\) failed: TypeError: .*expected `sample\(n\)`"),
        ("Constant", {}, r"Constant has no parameters that can be trained"),
        ("Coins", {"sprad": 1.0}, r"Unknown option of .*Coins: 'sprad'\. Did you mean 'spread'"),
        ("Coins", {"spread": "wide"}, r"Got spread='wide' \(str\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_wrapped_is_refused(name, options, message):
    with pytest.raises(ConfigurationError, match=message):
        build(name, **options)


def test_a_module_that_is_made_already_is_refused():
    with pytest.raises(ConfigurationError, match=r"expected what makes one.*FromModule\(lambda: "):
        FromModule(nn.Linear(2, 2), 4)
    with pytest.raises(
        ConfigurationError, match=r"Got a int from .*; expected a torch\.nn\.Module"
    ):
        FromModule(lambda: 3, 4)


def test_random_numbers_are_put_back_after_an_error():
    before = torch.get_rng_state()

    def fails():
        with seeded(np.random.default_rng(0)):
            torch.rand(3)
            raise ZeroDivisionError("of the user's")

    with pytest.raises(ZeroDivisionError, match="of the user's"):
        fails()
    assert torch.equal(torch.get_rng_state(), before)
