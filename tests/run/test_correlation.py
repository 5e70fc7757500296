"""Total correlation, and what a generator loses as the product of its own marginals."""

from itertools import product as strings_of

import numpy as np
import pytest
import torch

from qhyper.bits import all_bitstrings
from qhyper.hypernetwork import Capabilities, HyperNetwork, build_generator
from qhyper.run import correlation
from qhyper.run.correlation import correlation_of
from qhyper.streams import Streams
from qhyper.targets.objective import Objective

SEEDS = (0, 1, 2)


def parity(bits):
    """0 where the first two bits agree, 1 where not; so correlation matters."""
    return (bits[..., 0] ^ bits[..., 1]).astype(float)


def measured(generator, function=parity, shots=1024):
    objective = Objective(function, generator.n_bits)
    bits = generator.sample(shots, rng=Streams(generator.seeds)(0, "evaluate")).bits
    rng = Streams(generator.seeds)(1, "evaluate")
    return correlation_of(generator, objective, bits, objective(bits), rng=rng)


def entangled(name, n_bits, **options):
    generator = build_generator(name, n_bits, seeds=SEEDS, options=options)
    rng = np.random.default_rng(5)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.copy_(torch.from_numpy(rng.uniform(-1.5, 1.5, parameter.shape)))
    return generator


def brute_force(generator, function=parity):
    """(bits, loss, loss of the product) of each replica, by plain loops over all strings."""
    n = generator.n_bits
    table = generator.probabilities()[:, 0].detach().numpy()
    found = []
    for p in table:
        of = {w[::-1]: p[k] for k, w in enumerate(strings_of((0, 1), repeat=n))}  # bit 0 is fastest
        q = [sum(v for w, v in of.items() if w[i]) for i in range(n)]
        entropy = -sum(v * np.log2(v) for v in of.values() if v > 0)
        alone = -sum(a * np.log2(a) for x in q for a in (x, 1 - x) if a > 0)
        losses = {w: float(function(np.array(w))) for w in of}
        independent = {w: np.prod([x if b else 1 - x for b, x in zip(w, q, strict=True)])
                       for w in of}  # fmt: skip
        found.append((alone - entropy, sum(of[w] * losses[w] for w in of),
                      sum(independent[w] * losses[w] for w in of)))  # fmt: skip
    return np.array(found).T


def test_of_independent_chunks_the_total_is_the_sum_of_theirs_and_exact():
    """Two chunks of seven bits, more together than are summed up at once."""
    generator = entangled("chunked", 14, chunk=7)
    found = measured(generator, shots=64)
    expected = 0.0
    for p in generator.block_probabilities().detach().numpy().swapaxes(0, 1):
        q = p @ all_bitstrings(7)
        alone = -(q * np.log2(q) + (1 - q) * np.log2(1 - q)).sum(axis=1)
        expected = expected + alone + (p * np.log2(p)).sum(axis=1)
    np.testing.assert_allclose(found.total_correlation, expected, rtol=1e-9)
    assert min(found.total_correlation) > 0.01
    assert found.total_correlation_error is None


def test_a_certain_bit_takes_nothing_from_the_others():
    """Its frequency may be rounded to above 1; 40 starts of five bits beside one that is sure."""
    blocks = []
    for seed in range(40):
        p = np.random.default_rng(seed).dirichlet(np.ones(32))
        sure = np.concatenate([np.zeros(32), p])[None, None]
        blocks.append(correlation._Blocks(np.arange(6)[None], sure))
        alone = correlation._Blocks(np.arange(5)[None], p[None, None])
        found, expected = (each.total_correlation().mean for each in (blocks[-1], alone))
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    together = correlation._Blocks(
        np.arange(240).reshape(40, 6), np.concatenate([each.p for each in blocks], axis=1)
    ).total_correlation()
    total = sum(each.total_correlation().mean for each in blocks)
    np.testing.assert_allclose(together.mean, total, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "options"),
    [("quantum-depth2", {}), ("quantum-depth4", {"backend": "statevector"}),
     ("autoregressive", {}), ("mlp", {}), ("chunked", {"chunk": 3})],
)  # fmt: skip
def test_of_few_bits_all_is_exact(name, options):
    generator = entangled(name, 6, **options)
    found = measured(generator, shots=64)  # no fewer than there are strings
    total, loss, product_loss = brute_force(generator)
    assert found.total_correlation == pytest.approx(total, abs=1e-10)
    assert found.loss == pytest.approx(loss, abs=1e-10)
    assert found.product_loss == pytest.approx(product_loss, abs=1e-10)
    assert found.total_correlation_error is None
    assert found.loss_error is None
    assert found.excess == pytest.approx(product_loss - loss, abs=1e-10)


@pytest.mark.parametrize(("exact_bits", "known"), [(12, "table"), (0, "marginals"), (0, "draws")])
@pytest.mark.parametrize("name", ["autoregressive", "quantum-depth4"])
def test_estimates_lie_within_their_standard_errors(name, exact_bits, known, monkeypatch):
    """Seed 5, 8,000 draws of 3 seeds, 4.5 sigma; 13 bits would do the same, and take longer."""
    generator = entangled(name, 6)
    total, loss, product_loss = brute_force(generator)
    monkeypatch.setattr(correlation, "EXACT_BITS", exact_bits)
    if known == "marginals":
        generator.capabilities = Capabilities(log_prob=True, marginals=True)
        monkeypatch.setattr(
            generator, "_marginals", lambda inputs: HyperNetwork._marginals(generator, inputs)
        )
    if known == "table":  # losses are drawn where there are more strings than draws
        found = measured(generator, shots=63)
        assert found.total_correlation == pytest.approx(total, abs=1e-10)
        assert found.total_correlation_error is None
    else:
        found = measured(generator, shots=8000)
        errors = np.array(found.total_correlation_error)
        assert (abs(np.array(found.total_correlation) - total) < 4.5 * errors).all()
        assert (errors < 0.05).all()
    far = np.array([found.loss, found.product_loss]) - [loss, product_loss]
    assert (abs(far[1] - far[0]) < 4.5 * np.array(found.loss_error)).all()


def test_where_frequencies_are_marginals_there_is_no_bias(monkeypatch):
    """Of independent bits that do not say so; 40 seeds of 100 draws, 4 sigma of their mean.

    By 20 / (2 · 100 · ln 2) = 0.14 bits the total correlation would be too low.
    """
    generator = build_generator("bernoulli", 20, seeds=range(40))
    generator.capabilities = Capabilities(log_prob=True)
    monkeypatch.setattr(correlation, "EXACT_BITS", 0)
    found = measured(generator, shots=100)
    mean = np.mean(found.total_correlation)
    error = np.std(found.total_correlation, ddof=1) / 40**0.5
    assert abs(mean) < 4 * error < 0.05
    # what each seed says of its own error is about how far they spread
    assert np.mean(found.total_correlation_error) == pytest.approx(error * 40**0.5, rel=0.3)


@pytest.mark.parametrize("name", ["product", "bernoulli", "quantum-depth2"])
def test_independent_bits_have_nothing_to_lose(name):
    options = {"entangled": False} if name == "quantum-depth2" else {}
    generator = build_generator(name, 36, seeds=SEEDS, options=options)
    calls = []

    def counted(bits):
        calls.append(bits.shape)
        return parity(bits)

    found = measured(generator, counted, shots=100)
    assert len(calls) == 1  # the final draws alone
    assert found.total_correlation == [0.0] * 3
    assert found.excess == [0.0] * 3
    assert (found.total_correlation_error, found.loss_error) == (None, None)


def test_a_bell_pair_has_one_bit_at_any_size():
    """36 qubits, of which two are (|00> + |11>) / √2 and the rest |+>: exactly one bit."""
    generator = build_generator("quantum", 36, seeds=SEEDS, options={"depth": 2, "order": "row"})
    gates = list(generator.circuit.numbered())
    theta = np.zeros((3, generator.circuit.n_angles))
    first = {gate.qubits[0]: number for gate, number in reversed(gates) if gate.name == "ry"}
    last = {gate.qubits[0]: number for gate, number in gates if gate.name == "ry"}
    for qubit in range(36):  # CX(1, 2) stands between the two
        theta[:, (first if qubit in (1,) else last)[qubit]] = 0 if qubit == 2 else np.pi / 2
    generator.theta.data = torch.from_numpy(theta)

    def differ(bits):
        return (bits[..., 1] ^ bits[..., 2]).astype(float)

    found = measured(generator, differ, shots=2000)
    assert found.loss == [0.0] * 3
    errors = np.array(found.total_correlation_error)
    assert (abs(np.array(found.total_correlation) - 1) < 4.5 * errors).all()
    assert (errors < 0.01).all()
    away = np.array(found.product_loss) - 0.5
    assert (abs(away) < 4.5 * np.array(found.loss_error)).all()


class SamplesOnly(HyperNetwork):
    """Two equal bits, with neither log p nor probabilities."""

    def _initialise(self, rng):
        pass

    def _sample(self, shots, rng, inputs):
        one = np.stack([stream.integers(2, size=(1, shots, 1)) for stream in rng])
        return np.repeat(one, self.n_bits, axis=-1).astype(np.uint8)


def test_without_log_p_there_is_no_total_correlation_and_the_loss_is_there():
    """512 draws, 4.5 sigma."""
    found = measured(SamplesOnly(2, seeds=SEEDS), shots=512)
    assert found.total_correlation is None
    assert found.total_correlation_error is None
    assert found.loss == [0.0] * 3
    assert (abs(np.array(found.product_loss) - 0.5) < 4.5 * np.array(found.loss_error)).all()


def test_where_noise_is_simulated_there_is_no_total_correlation():
    options = {"backend": "trajectories", "backend_options": {"depolarising": 0.05}}
    found = measured(build_generator("quantum-depth2", 4, seeds=SEEDS, options=options), shots=64)
    assert found.total_correlation is None
    assert len(found.product_loss) == 3


def test_no_number_is_made_of_a_log_p_that_denies_its_own_draws(monkeypatch):
    generator = entangled("autoregressive", 6)
    monkeypatch.setattr(correlation, "EXACT_BITS", 0)
    monkeypatch.setattr(
        generator, "_log_prob", lambda bits, inputs: torch.full(bits.shape[:-1], -np.inf).double()
    )
    found = measured(generator, shots=64)
    assert found.total_correlation is None
    assert np.isfinite(found.excess).all()


def test_strings_are_numbered_as_probabilities_are():
    assert all_bitstrings(2).tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
