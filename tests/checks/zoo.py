"""Somebody's own code of every kind: some of it right, the rest wrong in one way each."""
# ruff: noqa: NPY002 (global generators are one of the ways)

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import expit
from torch import nn

from classical.bernoulli import Bernoulli
from classical.random_search import RandomSearch
from qhyper.bits import all_bitstrings
from qhyper.data.samples import Dataset, Samples, Targets
from qhyper.gradients.score import ScoreFunction, measure
from qhyper.hypernetwork import Capabilities, HyperNetwork
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.cloud.door import Limits, LocalJob, Measured, Service, as_measured, kept
from qhyper.quantum.simulators.state_vector import StateVectorBackend
from qhyper.risk import Expectation, Risk
from qhyper.targets.layout import Block, Layout
from qhyper.targets.objective import Objective
from qhyper.targets.target import ObjectiveCapabilities
from qhyper.training.search import Evaluated


class Good(Bernoulli):
    pass


class Twice(Bernoulli):
    def _log_prob(self, b, i):
        return 2 * super()._log_prob(b, i)


class Base2(Bernoulli):
    def _log_prob(self, b, i):
        return super()._log_prob(b, i) / np.log(2)


class Shape(Bernoulli):
    def _log_prob(self, b, i):
        return super()._log_prob(b, i)[:, 0]


class GlobalNumpy(Bernoulli):
    def _sample(self, s, rng, i):
        return (
            np.random.random((self.replicas, 1, s, self.n_bits))
            < expit(self.logits.detach().numpy())[:, None, None]
        ).astype(np.uint8)


class GlobalTorch(Bernoulli):
    def _sample(self, s, rng, i):
        return (
            torch.bernoulli(self.logits.sigmoid()[:, None, None].expand(-1, 1, s, -1))
            .byte()
            .numpy()
        )


class GlobalInit(Bernoulli):
    def _initialise(self, rng):
        self.logits.normal_()


class Unseeded(Bernoulli):
    def _sample(self, s, rng, i):
        return super()._sample(s, [np.random.default_rng() for _ in rng], i)


class Reversed(Bernoulli):
    def _log_prob(self, b, i):
        return super()._log_prob(b[..., ::-1].copy(), i)


class Inverted(Bernoulli):
    def _sample(self, s, rng, i):
        return 1 - super()._sample(s, rng, i)


class Detached(Bernoulli):
    def _log_prob(self, b, i):
        return super()._log_prob(b, i).detach()


class HalfDetached(Bernoulli):
    def _log_prob(self, b, i):
        w = torch.as_tensor(b.astype(float))
        z = self.logits[:, None, None]
        return (w * z).sum(-1) + nn.functional.logsigmoid(-z.detach()).sum(-1)


class SharedNoise(Bernoulli):
    def _sample(self, s, rng, i):
        u = rng[0].random((s, self.n_bits))
        return (u < expit(self.logits.detach().numpy())[:, None]).view(np.uint8)[:, None]


class MixesReplicas(Bernoulli):
    def _log_prob(self, b, i):
        w = torch.as_tensor(b.astype(float))
        z = self.logits.mean(0, keepdim=True).expand_as(self.logits)[:, None, None]
        return (w * z).sum(-1) + nn.functional.logsigmoid(-z).sum(-1)


class HiddenState(Bernoulli):
    def __init__(self, n_bits, *, seeds=(0,)):
        self.scale = None
        super().__init__(n_bits, seeds=seeds)

    def _initialise(self, rng):
        super()._initialise(rng)
        self.scale = 1 + rng[0].random()

    def _log_prob(self, b, i):
        w = torch.as_tensor(b.astype(float))
        z = self.scale * self.logits[:, None, None]
        return (w * z).sum(-1) + nn.functional.logsigmoid(-z).sum(-1)

    def _sample(self, s, rng, i):
        u = np.stack([r.random((s, self.n_bits)) for r in rng])
        return (u < expit(self.scale * self.logits.detach().numpy())[:, None]).view(np.uint8)[
            :, None
        ]

    def _marginals(self, i):
        return (self.scale * self.logits).sigmoid()[:, None]


class Counts(Bernoulli):
    calls = 0

    def _sample(self, s, rng, i):
        self.calls += 1
        return super()._sample(s, rng, i) ^ (self.calls % 2)


class Correlated(Bernoulli):
    """declares independent but first two bits same"""

    def _sample(self, s, rng, i):
        b = super()._sample(s, rng, i).copy()
        b[..., 1] = b[..., 0]
        return b


class Replaces(Bernoulli):
    def initialise(self, restart=0):
        self.logits = nn.Parameter(torch.zeros(self.replicas, self.n_bits).double())
        super().initialise(restart)


class NoReplicas(HyperNetwork):
    capabilities = Capabilities(log_prob=True)

    def __init__(self, n_bits, *, seeds=(0,)):
        super().__init__(n_bits, seeds=seeds)
        self.z = nn.Parameter(torch.zeros(n_bits).double())
        self.initialise()

    def _initialise(self, rng):
        self.z.copy_(torch.from_numpy(rng[0].normal(size=self.n_bits)))

    def _sample(self, s, rng, i):
        return np.stack(
            [
                (r.random((1, s, self.n_bits)) < expit(self.z.detach().numpy())).astype(np.uint8)
                for r in rng
            ]
        )

    def _log_prob(self, b, i):
        return -nn.functional.binary_cross_entropy_with_logits(
            self.z.expand(b.shape), torch.as_tensor(b.astype(float)), reduction="none"
        ).sum(-1)


class WrongMarginals(Bernoulli):
    def _marginals(self, i):
        return 1 - super()._marginals(i)


class Squeezed(Bernoulli):
    def _sample(self, s, rng, i):
        return super()._sample(s, rng, i)[:, 0]


class Signs(Bernoulli):
    def _sample(self, s, rng, i):
        return 2 * super()._sample(s, rng, i).astype(np.int8) - 1


class OwnLogProb(Bernoulli):
    def log_prob(self, bits, *, inputs=None):
        w = torch.as_tensor(np.asarray(bits, dtype=float))
        z = self.logits[:, None, None]
        return (w * z[..., : w.shape[-1]]).sum(-1) + nn.functional.logsigmoid(-z).sum(-1)


class BatchMean(Bernoulli):
    def _log_prob(self, b, i):
        lp = super()._log_prob(b, i)
        return lp - 0.1 * (lp - lp.mean(-1, keepdim=True))


class WrongScores(Bernoulli):
    def accumulate_scores(self, bits, c, *, inputs=None):
        super().accumulate_scores(bits, 0.5 * c, inputs=inputs)


class ThriceScores(Bernoulli):
    def scores(self, bits, *, inputs=None):
        return 3 * super().scores(bits, inputs=inputs)


class ReplacesScores(Bernoulli):
    def accumulate_scores(self, bits, c, *, inputs=None):
        self.zero_grad()
        super().accumulate_scores(bits, c, inputs=inputs)


class Temperature(Bernoulli):
    """With a parameter of one number a replica."""

    def __init__(self, n_bits, *, seeds=(0,)):
        HyperNetwork.__init__(self, n_bits, seeds=seeds)
        self.temperature = nn.Parameter(torch.ones(self.replicas, dtype=torch.float64))
        self.logits = nn.Parameter(torch.zeros(self.replicas, n_bits, dtype=torch.float64))
        self.initialise()

    def _initialise(self, rng):
        super()._initialise(rng)
        self.temperature.fill_(1)

    def _scaled(self):
        return self.logits * self.temperature[:, None]

    def _sample(self, s, rng, i):
        u = np.stack([stream.random((s, self.n_bits)) for stream in rng])
        return (u < expit(self._scaled().detach().numpy())[:, None]).view(np.uint8)[:, None]

    def _log_prob(self, b, i):
        z, w = self._scaled()[:, None, None], torch.as_tensor(b.astype(float))
        return (w * z).sum(-1) + nn.functional.logsigmoid(-z).sum(-1)

    def _marginals(self, i):
        return self._scaled().sigmoid()[:, None]


class SharedTemperature(Temperature):
    def _scaled(self):
        return self.logits * self.temperature[0]


class GoodFrozen(Bernoulli):
    """With a parameter that is not trained, and has to stay as it is."""

    def __init__(self, n_bits, *, seeds=(0,)):
        super().__init__(n_bits, seeds=seeds)
        mass = torch.ones(self.replicas, 1, dtype=torch.float64)
        self.mass = nn.Parameter(mass, requires_grad=False)

    def _log_prob(self, b, i):
        return super()._log_prob(b, i) * self.mass[:, None]


class GoodHalf(Bernoulli):
    """Parameters of bfloat16 that it computes with in float64."""

    def __init__(self, n_bits, *, seeds=(0,)):
        super().__init__(n_bits, seeds=seeds)
        self.logits = nn.Parameter(self.logits.detach().bfloat16())

    def _sample(self, s, rng, i):
        u = np.stack([stream.random((s, self.n_bits)) for stream in rng])
        p = expit(self.logits.detach().double().numpy())
        return (u < p[:, None]).view(np.uint8)[:, None]

    def _log_prob(self, b, i):
        z, w = self.logits.double()[:, None, None], torch.as_tensor(b.astype(float))
        return (w * z).sum(-1) + nn.functional.logsigmoid(-z).sum(-1)

    def _marginals(self, i):
        return self.logits.double().sigmoid()[:, None]


class Coarse(GoodHalf):
    """It computes log p in bfloat16."""

    def _log_prob(self, b, i):
        z = self.logits[:, None, None]
        log_p = torch.as_tensor(b).bfloat16() * z + nn.functional.logsigmoid(-z)
        return log_p.sum(-1).double()


class NeedsWidth(Bernoulli):
    def __init__(self, n_bits, *, width, seeds=(0,)):
        torch.zeros(1).expand(int(width))
        super().__init__(n_bits, seeds=seeds)


class Raises(Bernoulli):
    def _sample(self, s, rng, i):
        return self.missing


# controls
class GoodSearch(RandomSearch):
    pass


class Overspends(RandomSearch):
    def search(self, objective, *, evaluations, rng):
        return super().search(objective, evaluations=-(-evaluations // 64) * 64, rng=rng)


class SecretlyAsks(RandomSearch):
    def search(self, objective, *, evaluations, rng):
        for b in super().search(objective, evaluations=evaluations, rng=rng):
            objective(b.bits[:, :5])
            yield b


class Underspends(RandomSearch):
    def search(self, objective, *, evaluations, rng):
        return super().search(objective, evaluations=max(1, evaluations - 1), rng=rng)


class GlobalSearch(RandomSearch):
    def search(self, objective, *, evaluations, rng):
        bits = np.random.randint(0, 2, (len(rng), evaluations, self.n_bits)).astype(np.uint8)
        z = objective(bits)
        yield Evaluated(bits, z, z)


class OtherLosses(RandomSearch):
    def search(self, objective, *, evaluations, rng):
        for b in super().search(objective, evaluations=evaluations, rng=rng):
            yield Evaluated(b.bits, np.sort(b.losses, axis=1), b.current)


class SharedSearch(RandomSearch):
    def search(self, objective, *, evaluations, rng):
        return super().search(objective, evaluations=evaluations, rng=[rng[0]] * len(rng))


class Endless(RandomSearch):
    def search(self, objective, *, evaluations, rng):
        while True:
            yield from super().search(objective, evaluations=evaluations, rng=rng)


class SameSearch(RandomSearch):
    def search(self, objective, *, evaluations, rng):
        return super().search(
            objective,
            evaluations=evaluations,
            rng=[np.random.default_rng(k) for k in range(len(rng))],
        )


class BoolBits(RandomSearch):
    def search(self, objective, *, evaluations, rng):
        for b in super().search(objective, evaluations=evaluations, rng=rng):
            yield Evaluated(b.bits.astype(float), b.losses, b.current)


class LowCurrent(RandomSearch):
    def search(self, objective, *, evaluations, rng):
        for b in super().search(objective, evaluations=evaluations, rng=rng):
            yield Evaluated(b.bits, b.losses, b.current - 100)


class EarlyCurrent(RandomSearch):
    """Holds the best of the whole search before it is found."""

    def search(self, objective, *, evaluations, rng):
        batches = list(super().search(objective, evaluations=evaluations, rng=rng))
        best = np.concatenate([b.losses for b in batches], axis=1).min(axis=1, keepdims=True)
        for b in batches:
            for k in range(b.losses.shape[1]):
                yield Evaluated(b.bits[:, k : k + 1], b.losses[:, k : k + 1], best)


class SharedCurrent(RandomSearch):
    def search(self, objective, *, evaluations, rng):
        for b in super().search(objective, evaluations=evaluations, rng=rng):
            mean = np.full((len(b.losses), 1), b.losses.mean())
            yield Evaluated(b.bits, b.losses, mean)


# risks
@dataclass(frozen=True)
class GoodRisk(Risk):
    level: float = 2.0

    def costs(self, d, r):
        return abs(d.losses - self.level)


class Squared(Risk):
    """(E L)^2 with costs L^2?"""

    def costs(self, d, r):
        return d.losses**2

    def value(self, d):
        m = d.losses.mean(-1)
        return m**2, d.losses.std(-1)


class SmallRisk(Risk):
    """In units that are small against the losses."""

    def costs(self, drawn, reference):
        return 1e-6 * drawn.losses


class NoCosts(SmallRisk):
    """No costs, of a risk whose changes are small."""

    def costs(self, drawn, reference):
        return 0 * drawn.losses

    def value(self, drawn):
        return 1e-2 * drawn.losses.mean(-1), 0 * drawn.losses.mean(-1)


class GoodLog(Risk):
    """log(E[L] + 20)."""

    needs_reference = True

    def costs(self, drawn, reference):
        return drawn.losses / (reference.losses.mean(-1, keepdims=True) + 20)

    def value(self, drawn):
        return np.log(drawn.losses.mean(-1) + 20), 0 * drawn.losses.mean(-1)


class WrongLog(GoodLog):
    needs_reference = False

    def costs(self, drawn, reference):
        return np.log(drawn.losses + 20)


class SmallExact(SmallRisk):
    def exact(self, p, losses):
        return 1.1e-6 * (p * losses).sum(-1), 1.1e-6 * losses


class SmallExactCosts(SmallRisk):
    def exact(self, p, losses):
        return 1e-6 * (p * losses).sum(-1), 1.1e-6 * losses


class GoodSquared(Risk):
    needs_reference = True

    def costs(self, d, r):
        return 2 * r.losses.mean(-1, keepdims=True) * d.losses

    def value(self, d):
        m = d.losses.mean(-1)
        return m**2, d.losses.std(-1)


class Variance(Risk):
    needs_reference = True

    def costs(self, d, r):
        return (d.losses - r.losses.mean()) ** 2


class HiddenRef(Risk):
    def costs(self, d, r):
        return d.losses - np.median(r.losses, axis=-1, keepdims=True)


class WantsLogP(Risk):
    def costs(self, d, r):
        return d.losses + 0.1 * d.log_prob


class InPlace(Risk):
    def costs(self, d, r):
        d.losses[...] = d.losses**2
        return d.losses


class MeanOnly(Risk):
    def costs(self, d, r):
        return d.losses.mean(-1)


class WrongExact(Expectation):
    def exact(self, p, z):
        return (p * z).sum(-1), 2 * z


class WrongExactValue(Expectation):
    def exact(self, p, z):
        return 2 * (p * z).sum(-1), 2 * z


class NoisyRisk(Risk):
    def costs(self, d, r):
        return d.losses + np.random.normal(size=d.losses.shape)


@dataclass(frozen=True)
class GoodSchedule(Risk):
    """A free energy that ends as the expectation."""

    temperature: float = 1.0
    needs_log_prob = True

    def at(self, progress):
        return type(self)(1 - progress)

    def costs(self, d, r):
        return d.losses + self.temperature * d.log_prob


class LateInfinity(GoodSchedule):
    """In units of the temperature, which ends at 0."""

    def costs(self, d, r):
        with np.errstate(divide="ignore", invalid="ignore"):
            return d.losses / np.float64(self.temperature) + d.log_prob


class LateValue(GoodSchedule):
    """Its value is of another risk, but for the first half."""

    def value(self, d):
        costs = self.costs(d, d) if self.temperature > 0.5 else d.losses**2
        return costs.mean(-1), costs.std(-1)


class LateSign(GoodSchedule):
    needs_log_prob = False

    def costs(self, d, r):
        return d.losses if self.temperature > 0.5 else -d.losses


# estimators
class GoodEstimator(ScoreFunction):
    pass


class Halved(ScoreFunction):
    def __call__(self, g, o, risk, *, rng, inputs=None):
        e = super().__call__(g, o, risk, rng=rng, inputs=inputs)
        for p in g.parameters():
            p.grad *= 0.5
        return e


class WrongSign(ScoreFunction):
    def __call__(self, g, o, risk, *, rng, inputs=None):
        e = super().__call__(g, o, risk, rng=rng, inputs=inputs)
        for p in g.parameters():
            p.grad *= -1
        return e


class Moves(ScoreFunction):
    def __call__(self, g, o, risk, *, rng, inputs=None):
        e = super().__call__(g, o, risk, rng=rng, inputs=inputs)
        with torch.no_grad():
            for p in g.parameters():
                p -= 0.01 * p.grad
        return e


class Spends(ScoreFunction):
    def __call__(self, g, o, risk, *, rng, inputs=None):
        o(g.sample(3, rng=rng, inputs=inputs).bits)
        return super().__call__(g, o, risk, rng=rng, inputs=inputs)


class GlobalEstimator(ScoreFunction):
    def __call__(self, g, o, risk, *, rng, inputs=None):
        return super().__call__(
            g,
            o,
            risk,
            rng=[np.random.default_rng(np.random.randint(99)) for _ in rng],
            inputs=inputs,
        )


class NoBias(ScoreFunction):
    bias = ()


class NoGrad(ScoreFunction):
    def __call__(self, g, o, risk, *, rng, inputs=None):
        e = super().__call__(g, o, risk, rng=rng, inputs=inputs)
        g.zero_grad()
        return e


class BaselineOwn(ScoreFunction):
    """mean of all draws as the baseline, itself included"""

    def __call__(self, g, o, risk, *, rng, inputs=None):
        self.check(g, risk)
        d, c, e = measure(g, o, risk, self.shots, "none", rng, inputs)
        g.accumulate_scores(d.bits, c - c.mean(-1, keepdims=True), inputs=inputs)
        return e


# targets
class GoodTarget:
    def __init__(self, dataset, *, units: int = 2):
        self.layout = Layout((Block("w", (dataset.n_features, units)),))
        self.n_bits = self.layout.n_bits

    kind = Objective

    def objective(self, data, loss="cross_entropy"):
        x, y = data.x, data.y
        return type(self).kind(
            lambda b: self.loss(b, x, y), self.n_bits, name="own", layout=self.layout, n_rows=len(y)
        )

    def loss(self, b, x, y):
        w = 2.0 * b.reshape(len(b), *self.layout.blocks[0].shape) - 1
        return ((np.tanh(x @ w).sum(-1) > 0) != y).mean(-1)


class NoisyTarget(GoodTarget):
    def loss(self, b, x, y):
        return super().loss(b, x, y) + 1e-3 * np.random.default_rng().normal(size=len(b))


class GlobalTarget(GoodTarget):
    def loss(self, b, x, y):
        return super().loss(b, x, y) + 1e-3 * np.random.normal(size=len(b))


class Centred(GoodTarget):
    def loss(self, b, x, y):
        z = super().loss(b, x, y)
        return z - z.mean()


class Ordered(GoodTarget):
    def loss(self, b, x, y):
        return super().loss(b, x, y) + 0.01 * np.arange(len(b))


class Memory(GoodTarget):
    seen = 0

    def loss(self, b, x, y):
        self.seen += len(b)
        return super().loss(b, x, y) + self.seen * 1e-3


class ShortLayout(GoodTarget):
    def __init__(self, dataset):
        super().__init__(dataset)
        self.n_bits += 1

    def loss(self, b, x, y):
        return b.mean(1)


class Flips(Objective):
    def flips(self, bits):
        a, d = super().flips(bits)
        return a, -d


class WrongFlips(GoodTarget):
    kind = Flips


class Free(Objective):
    def count(self, evaluations, n_rows=None):
        pass


class Uncounted(GoodTarget):
    kind = Free


class Changes(Objective):
    def __call__(self, bits):
        found = super().__call__(bits)
        bits[...] = 0
        return found


class ChangesBits(GoodTarget):
    kind = Changes


class BareObjective(GoodTarget):
    def objective(self, data, loss="cross_entropy"):
        return lambda bits: bits.mean(-1)


class NaNTarget(GoodTarget):
    def loss(self, b, x, y):
        return np.log(b.mean(1) - 0.5)


class Certified(Objective):
    """A linear classifier of four weights, with accuracies and a certificate by enumeration."""

    capabilities = ObjectiveCapabilities(flips=True, accuracy=True, certificate=True)
    upside_down = False

    def __init__(self, data, layout):
        super().__init__(None, 4, name="own", layout=layout, n_rows=len(data.y))
        self.data = data

    def right(self, bits, samples):
        z = samples.x[:, :4] @ (2.0 * np.asarray(bits)[..., None] - 1)
        return (z[..., 0] > 0) == samples.y

    def _evaluate(self, bits):
        return 1 - self.right(bits, self.data).mean(-1)

    def accuracy(self, bits, samples=None):
        right = self.right(bits, self.data if samples is None else samples).mean(-1)
        return 1 - right if self.upside_down else right

    def certify(self, *, temperature, method="auto", progress=None):
        bits = all_bitstrings(4)
        losses, accuracies = self(bits), self.accuracy(bits)
        best, most = losses.argmin(), accuracies.argmax()
        found = replace(
            super().certify(temperature=temperature),
            accuracy_at_minimum=accuracies[best],
            best_accuracy=accuracies[most],
            best_accuracy_bits=bits[most],
            best_accuracy_bitstrings=int((accuracies == accuracies[most]).sum()),
        )
        return replace(found, **self.lie(found))

    def lie(self, true):
        return {}


class GoodCertified(GoodTarget):
    kind = Certified

    def __init__(self, dataset):
        super().__init__(dataset, units=1)

    def objective(self, data, loss="accuracy"):
        return type(self).kind(data, self.layout)


class Errors(GoodCertified):
    class kind(Certified):  # noqa: N801
        upside_down = True


class Optima(GoodCertified):
    class kind(Certified):  # noqa: N801
        def lie(self, true):
            return {"multiplicities": true.multiplicities + 6 * (np.arange(len(true.levels)) == 0)}


class Moved(GoodCertified):
    """As many strings, but of other levels."""

    class kind(Certified):  # noqa: N801
        def lie(self, true):
            return {"levels": true.levels + 1e-3 * (np.arange(len(true.levels)) == 1)}


class NoOptimum(GoodCertified):
    class kind(Certified):  # noqa: N801
        def lie(self, true):
            return {"optimum": all_bitstrings(4)[self(all_bitstrings(4)).argmax()]}


class Better(GoodCertified):
    class kind(Certified):  # noqa: N801
        def lie(self, true):
            return {"best_accuracy": 0.123}


class Undeclared(GoodCertified):
    class kind(Certified):  # noqa: N801
        capabilities = ObjectiveCapabilities(flips=True, certificate=True)


# modules, losses
class Coins(nn.Module):
    def __init__(self, n_bits):
        super().__init__()
        self.z = nn.Parameter(torch.randn(n_bits))

    def d(self):
        return torch.distributions.Bernoulli(logits=self.z)

    def sample(self, n):
        return self.d().sample((n,))

    def log_prob(self, b):
        return self.d().log_prob(b).sum(-1)


class TwiceCoins(Coins):
    def log_prob(self, b):
        return 2 * super().log_prob(b)


class Half(nn.Module):
    """Logits, with one parameter of a single number."""

    def __init__(self, n_bits):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))
        self.logits = nn.Parameter(0.1 * torch.randn(n_bits))

    def forward(self):
        return self.scale + self.logits


class RandomBuffer(nn.Module):
    """A mask that is another for each seed in a loop of one's own, and is one for all here."""

    def __init__(self, n_bits):
        super().__init__()
        self.logits = nn.Parameter(torch.randn(n_bits))
        self.register_buffer("mask", torch.randn(n_bits))

    def forward(self):
        return self.logits + self.mask


class RandomAttribute(Coins):
    """Bits in a random order, by an array that torch knows nothing of."""

    def __init__(self, n_bits):
        super().__init__(n_bits)
        self.order = np.random.permutation(n_bits)

    def d(self):
        return torch.distributions.Bernoulli(logits=self.z[self.order])


class ShortHalf(nn.Module):
    """Logits of float16, in which a step of training overflows."""

    def __init__(self, n_bits):
        super().__init__()
        self.logits = nn.Parameter(torch.randn(n_bits).half())

    def forward(self):
        return self.logits


class HalfDraws(nn.Module):
    """Parameters and draws of bfloat16, computed in float64."""

    def __init__(self, n_bits):
        super().__init__()
        self.logits = nn.Parameter((0.1 * torch.randn(n_bits)).bfloat16())

    def sample(self, n):
        return torch.bernoulli(self.logits.double().sigmoid().expand(n, -1)).bfloat16()

    def log_prob(self, w):
        z = self.logits.double()
        return (w.double() * z + nn.functional.logsigmoid(-z)).sum(-1)


class Masked(nn.Module):
    """Autoregressive, by a mask that is a parameter and not trained."""

    def __init__(self, n_bits):
        super().__init__()
        mask = torch.ones(n_bits, n_bits, dtype=torch.float64).tril(-1)
        self.mask = nn.Parameter(mask, requires_grad=False)
        self.weight = nn.Parameter(0.1 * torch.randn(n_bits, n_bits, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(n_bits, dtype=torch.float64))

    def _logits(self, w):
        return w @ (self.mask * self.weight).T + self.bias

    def sample(self, n):
        w = torch.zeros(n, len(self.bias), dtype=torch.float64)
        for bit in range(len(self.bias)):
            w[:, bit] = torch.bernoulli(self._logits(w)[:, bit].sigmoid())
        return w

    def log_prob(self, w):
        z = self._logits(w)
        return (w * z + nn.functional.logsigmoid(-z)).sum(-1)


class NotIt:
    pass


def good_loss(logits, labels):
    return (logits.argmax(1) != labels) * 1.0


entropy = nn.CrossEntropyLoss()


def anything(*given):
    raise RuntimeError("it was called")


def nan_loss(logits, labels):
    return np.full(len(labels), np.nan)


def noisy_loss(logits, labels):
    return np.random.rand(len(labels))


def ordered_loss(logits, labels):
    return np.arange(len(labels)) * 1.0 @ (logits.argmax(1) != labels)


def _entropies(logits, labels):
    z = logits - logits.max(axis=1, keepdims=True)
    return (np.log(np.exp(z).sum(axis=1, keepdims=True)) - z)[np.arange(len(labels)), labels]


def balanced_loss(logits, labels):
    """The mean of the classes' error rates: of all rows, and a mean."""
    wrong = logits.argmax(1) != labels
    return np.mean([wrong[labels == label].mean() for label in np.unique(labels)])


def two_class_loss(logits, labels):
    """Of two classes alone, which it says."""
    if logits.shape[1] != 2:
        raise ValueError("I take two classes")
    return np.log1p(np.exp((logits[:, 1] - logits[:, 0]) * (1 - 2 * labels)))


def summed_loss(logits, labels):
    return _entropies(logits, labels).sum()


def whole_batches_loss(logits, labels):
    rows = len(labels) // 32 * 32 or len(labels)
    return _entropies(logits, labels)[:rows].mean()


def first_batch_loss(logits, labels):
    """Of every row by itself, but for those after the first 64."""
    losses = _entropies(logits, labels)
    losses[64:] = 0
    return losses


def blind_loss(logits, labels):
    """Of two of the classes."""
    return np.log1p(np.exp((logits[:, 1] - logits[:, 0]) * (1 - 2 * (labels % 2))))


def skipping_loss(logits, labels):
    return np.where(labels == 2, 0.0, _entropies(logits, labels))


def merging_loss(logits, labels):
    return _entropies(logits, np.minimum(labels, 1)) + 0.1 * (logits.argmax(1) == 2)


def my_data(*, seed=0):
    r = np.random.default_rng(seed)

    def f(n):
        return Samples(r.normal(size=(n, 2)), r.integers(0, 2, n))

    return Dataset("mine", f(30), f(20))


def same_test(*, seed=0):
    data = my_data(seed=seed)
    return Dataset("same", data.train, data.train)


def part_test(*, seed=0):
    """A fifth of its test rows are training rows."""
    train, test = (my_data(seed=1000 * seed + k).train for k in (1, 2))
    x, y = test.x.copy(), test.y.copy()
    x[:6], y[:6] = train.x[:6], train.y[:6]
    return Dataset("part", train, Samples(x, y))


def coarse_data(*, seed=0):
    """Rows of few values, which are bound to come again."""
    r = np.random.default_rng(seed)
    x = r.integers(0, 3, (300, 2))
    y = np.arange(300) % 2
    return Dataset("coarse", Samples(x[:240], y[:240]), Samples(x[240:], y[240:]))


def numbers_data(*, seed=0):
    r = np.random.default_rng(seed)
    return Dataset("numbers", *(Targets(r.normal(size=(n, 2)), r.normal(size=n)) for n in (30, 20)))


def fixed_data():
    return my_data(seed=3)


def deaf_data(*, seed=0):
    return my_data(seed=3)


def noisy_data(*, seed=0):
    r = np.random

    def f(n):
        return Samples(r.normal(size=(n, 2)), r.randint(0, 2, n))

    return Dataset("mine", f(30), f(20))


class Local(Service):
    """A service of this process, which simulates by counting rotations: only preparations."""

    limits, local, searchable = Limits(5), True, False
    flip = staticmethod(lambda bits: bits)

    def __init__(self):
        from qiskit.providers.fake_provider import GenericBackendV2

        self.device = GenericBackendV2(5, basis_gates=["rz", "sx", "x", "cz"], seed=1)
        self.jobs, self.sent = {}, 0

    def __str__(self):
        return "local"

    def run(self, pubs, shots, *, tag):
        from qiskit_aer import AerSimulator

        self.sent += 1
        ((circuit, rows),) = pubs
        found = []
        for row in rows:
            bound = circuit.assign_parameters(row)
            counts = AerSimulator().run(bound, shots=shots, memory=True, seed_simulator=1)
            memory = counts.result().get_memory()
            found.append([[int(b) for b in word[::-1].replace(" ", "")] for word in memory])
        bits = type(self).flip(np.array(found, np.uint8))
        job = LocalJob(tag, lambda shape, seed: as_measured(bits, shape, str(self)))
        self.jobs[job.job_id] = job
        return job

    def job(self, job_id):
        return kept(self, self.jobs, job_id)


class Backwards(Local):
    flip = staticmethod(lambda bits: bits[..., ::-1])


class RowsBackwards(Local):
    flip = staticmethod(lambda bits: bits[::-1])


class Narrow(Local):
    flip = staticmethod(lambda bits: bits[..., :-1])


class AnyShape(Local):
    def run(self, pubs, shots, *, tag):
        job = super().run(pubs, shots, tag=tag)
        bits = job.measured((2, shots, 3), seed=1).bits
        job._read = lambda shape, seed: Measured(np.resize(bits, shape))
        return job


class Forgets(Local):
    def job(self, job_id):
        return next(iter(self.jobs.values()))


class Paid(Local):
    """Never to be sent anything."""

    local = False

    def run(self, pubs, shots, *, tag):
        raise AssertionError("a paid service was sent a job")


class Lacking(Service):
    limits, device = Limits(5), None

    def run(self, pubs, shots, *, tag):
        raise NotImplementedError


class NoTag(Local):
    def run(self, pubs, shots):
        raise NotImplementedError


class GoodAnsatz:
    def build(self, n_qubits):
        return Circuit(n_qubits, tuple(Gate("ry", (q,), q) for q in range(n_qubits)))


class FewAngles:
    def build(self, n_qubits):
        return Circuit(n_qubits, tuple(Gate("ry", (q,), q) for q in range(n_qubits - 1)))


class RandomAnsatz:
    def build(self, n_qubits):
        order = np.random.permutation(n_qubits)
        gates = [Gate("ry", (int(q),), k) for k, q in enumerate(order)]
        return Circuit(n_qubits, tuple(gates))


class NoCircuit:
    def build(self, n_qubits):
        return [n_qubits]


class GoodSimulator(StateVectorBackend):
    pass


class Mirror(StateVectorBackend):
    """Qubits in reversed order."""

    def compile(self, circuit, *, rows=1):
        made = super().compile(circuit, rows=rows)
        return Mirrored(made)


class Mirrored:
    def __init__(self, made):
        self.made = made

    def at(self, angles):
        at = self.made.at(angles)
        sample = at.sample
        at.sample = lambda shots, rng: sample(shots, rng)[..., ::-1].copy()
        return at
