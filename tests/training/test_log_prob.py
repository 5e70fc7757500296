"""What of a wrong log p is seen before a generator trains."""

import random
import threading

import numpy as np
import pytest
import torch

from classical.bernoulli import Bernoulli
from classical.conditional import ConditionalBernoulli
from qhyper.errors import ConfigurationError
from qhyper.targets.objective import Objective
from qhyper.training.log_prob import check_log_prob, total_probability
from qhyper.training.randomness import check_streams
from qhyper.training.settings import TrainingSettings
from qhyper.training.trainer import Trainer


class Times(Bernoulli):
    """log p times a factor."""

    factor = 1.0

    def _log_prob(self, bits, inputs):
        return self.factor * super()._log_prob(bits, inputs)


class Returns(Bernoulli):
    """log p changed by a function."""

    change = staticmethod(lambda log_p: log_p)

    def _log_prob(self, bits, inputs):
        return self.change(super()._log_prob(bits, inputs))


def begin(generator):
    objective = Objective(lambda bits: bits.mean(axis=1), generator.n_bits)
    trainer = Trainer(generator, objective, TrainingSettings(evaluations=640, draws=32))
    trainer.advance()
    return objective


@pytest.mark.parametrize("bits", [1, 5, 12])
@pytest.mark.parametrize("factor", [2.0, 0.5, 0.9])
def test_probabilities_that_do_not_sum_to_one_are_refused(bits, factor):
    generator = Times(bits, seeds=(1, 2))
    generator.factor = factor
    message = rf"sum to [\d.e-]+ over all 2\^{bits} strings; expected 1\..*mend `_log_prob`"
    with pytest.raises(ConfigurationError, match=message):
        begin(generator)


@pytest.mark.parametrize(
    ("bits", "factor", "words"),
    [(13, 2.0, "too small"), (36, 2.0, "too small"), (2000, 1.1, "too small"),
     (36, 0.5, "too large"), (2000, 0.9, "too large")],
)  # fmt: skip
def test_a_log_p_that_its_own_draws_refute_is_refused(bits, factor, words):
    # Seeds 1 and 2, 16 draws: a true one is refused with a chance of 1/5000 at the most
    generator = Times(bits, seeds=(1, 2))
    generator.factor = factor
    with pytest.raises(ConfigurationError, match=rf"is {words} to be that of its draws: of 16 .*"):
        begin(generator)


@pytest.mark.parametrize("bits", [4, 36, 2000])
@pytest.mark.parametrize("spread", [0.0, 1.0, 50.0])
def test_a_true_log_p_passes_wherever_it_begins(bits, spread):
    generator = Bernoulli(bits, seeds=(1, 2))
    rng = np.random.default_rng(bits)
    generator.logits.data += torch.from_numpy(rng.normal(0, spread, (2, bits)))
    assert begin(generator).evaluations == 2 * 32


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda log_p: log_p[:, 0], r"torch\.float64 of shape \[2, 16\]"),
        (lambda log_p: log_p[..., None], r"torch\.float64 of shape \[2, 1, 16, 1\]"),
        (lambda log_p: log_p.float(), r"torch\.float32 of shape \[2, 1, 16\]"),
        (lambda log_p: log_p.detach().numpy(), r"float64 of shape \[2, 1, 16\]"),
        (lambda log_p: None, "None"),
    ],
)
def test_a_log_p_of_another_shape_is_refused_in_words(change, got):
    generator = Returns(4, seeds=(1, 2))
    generator.change = change
    message = rf"Returns\._log_prob returned {got} for bits of shape \[2, 1, 16, 4\]; expected a "
    with pytest.raises(ConfigurationError, match=message):
        begin(generator)
    with pytest.raises(ConfigurationError, match=message):
        generator.probabilities()


class Global(Bernoulli):
    """Draws from a global generator."""

    draw = staticmethod(torch.rand)

    def _sample(self, shots, rng, inputs):
        uniforms = np.asarray(self.draw(self.replicas, 1, shots, self.n_bits))
        return (uniforms < 0.5).astype(np.uint8)


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (torch.rand, "torch's global generator"),
        (np.random.rand, r"NumPy's global generator \(np\.random\)"),
        (lambda *shape: np.full(shape, random.random()), "Python's module random"),
    ],
)
def test_draws_from_a_global_generator_are_refused(draw, name):
    generator = Global(5, seeds=(1, 2))
    generator.draw = draw
    message = rf"\(Global\) draws from {name}, so that the same seeds would give other runs\. Draw"
    with pytest.raises(ConfigurationError, match=message):
        begin(generator)


def test_what_another_thread_draws_is_not_the_generators():
    def draw(*shape):
        if not calls:
            random.random()  # as if by the other thread at this moment
        calls.append(shape)
        return np.zeros(shape)

    generator, calls, done = Global(5, seeds=(1, 2)), [], threading.Event()
    generator.draw = draw
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        check_streams(generator)
    finally:
        done.set()
        thread.join()
    assert len(calls) == 2


def test_a_generator_that_sees_inputs_is_asked_at_them():
    generator = ConditionalBernoulli(4, n_inputs=2, hidden=3, seeds=(1, 2))
    inputs = np.random.default_rng(0).normal(size=(2, 3, 2))
    totals = total_probability(generator, inputs)
    assert totals.shape == (2, 3)
    np.testing.assert_allclose(totals, 1, atol=1e-12)
    check_log_prob(generator, inputs)
