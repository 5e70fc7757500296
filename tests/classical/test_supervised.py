"""Training all replicas together is training each by a literal loop with torch's own Adam."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from classical.full_precision import FullPrecisionNetwork
from classical.straight_through import StraightThroughHyperNetwork, StraightThroughNetwork
from classical.supervised import accuracy, fit_classifier
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError
from qhyper.streams import Streams
from qhyper.targets.layered.network import BinaryNetwork

CLASSIFIERS = [FullPrecisionNetwork, StraightThroughNetwork, StraightThroughHyperNetwork]
SETTINGS = {"epochs": 2, "batch": 100, "learning_rate": 0.02}  # 288 digits: 100 + 100 + 88


def fitted(kind, data, *, seeds=(0, 1, 2), dtype=torch.float32, **changes):
    classifier = kind((4, 6, 2), seeds=seeds, dtype=dtype)
    fit_classifier(classifier, data, **SETTINGS | changes)
    return classifier


def mean_losses(classifier, data):
    """The mean cross-entropy of each replica."""
    with torch.no_grad():
        logits = classifier(torch.tensor(data.x, dtype=classifier.dtype))
    y = torch.tensor(data.y)
    return np.array([float(cross_entropy(replica, y)) for replica in logits])


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_is_a_literal_loop_over_a_single_network(kind, digits):
    together = fitted(kind, digits, seeds=(5, 6), dtype=torch.float64)
    for replica, seed in enumerate((5, 6)):
        alone = kind((4, 6, 2), seeds=(seed,), dtype=torch.float64)
        optimiser = torch.optim.Adam(alone.parameters(), lr=0.02, eps=1e-7)
        x, y = torch.tensor(digits.x), torch.tensor(digits.y)
        for epoch in range(2):
            order = torch.from_numpy(Streams((seed,))(epoch)[0].permutation(288))
            for first in (0, 100, 200):
                rows = order[first : first + 100]
                optimiser.zero_grad()
                cross_entropy(alone(x[None, rows])[0], y[rows]).backward()
                optimiser.step()
                if kind is StraightThroughNetwork:
                    for latent in alone.parameters():
                        latent.data.clamp_(-1, 1)
        for trained, expected in zip(together.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(trained[replica], expected[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_replica_does_not_depend_on_the_others(kind, digits):
    # Not bit by bit: vectorised kernels round the elements at the end of a tensor differently.
    together = fitted(kind, digits)
    for replica, seed in enumerate((0, 1, 2)):
        alone = fitted(kind, digits, seeds=(seed,))
        for trained, expected in zip(together.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(trained[replica], expected[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_the_same_seeds_give_the_same_bits(kind, digits):
    one, two = fitted(kind, digits), fitted(kind, digits)
    assert all(torch.equal(*pair) for pair in zip(one.parameters(), two.parameters(), strict=True))


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_starts_and_orders_are_seeded_apart(kind, digits):
    def trained(seeds, orders):
        found = fitted(kind, digits, seeds=seeds, orders=orders, dtype=torch.float64)
        return [parameter.detach() for parameter in found.parameters()]

    usual = [p.detach() for p in fitted(kind, digits, dtype=torch.float64).parameters()]
    assert all(torch.equal(*pair) for pair in zip(trained((0, 1, 2), None), usual, strict=True))
    assert all(
        torch.equal(*pair) for pair in zip(trained((0, 1, 2), (0, 1, 2)), usual, strict=True)
    )
    # replicas 0 and 1 have the same start, and 1 and 2 the same order
    (first, *_) = trained((4, 4, 5), (6, 7, 7))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[1], first[2])
    # the order is all that differs from a training whose start is copied from another seed
    start, other = (kind((4, 6, 2), seeds=(seed,), dtype=torch.float64) for seed in (4, 7))
    other.load_state_dict(start.state_dict())
    fit_classifier(other, digits, **SETTINGS)
    for parameter, expected in zip(trained((4,), (7,)), other.parameters(), strict=True):
        assert torch.equal(parameter, expected.detach())


def test_refuses_orders_that_are_not_one_a_replica(digits):
    with pytest.raises(ConfigurationError, match="Got 2 orders for 3 replicas; expected a seed of"):
        fitted(FullPrecisionNetwork, digits, orders=(0, 1))


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_loss_falls_and_accuracy_rises(kind, digits):
    before = kind((4, 6, 2), seeds=range(5))
    after = fitted(kind, digits, seeds=range(5), epochs=20, batch=32)
    assert mean_losses(after, digits).mean() < mean_losses(before, digits).mean()
    assert accuracy(after, digits).mean() > accuracy(before, digits).mean()


def test_latent_weights_are_clipped_after_every_step(digits):
    largest = []

    class Watched(StraightThroughNetwork):
        def after_step(self):
            largest.append(max(float(latent.detach().abs().max()) for latent in self.latent))
            super().after_step()
            assert max(float(latent.detach().abs().max()) for latent in self.latent) <= 1

    fitted(Watched, digits, learning_rate=0.5)
    assert len(largest) == 2 * 3  # steps
    assert max(largest) > 1


def test_accuracy_is_that_of_the_binary_network():
    rng = np.random.default_rng(0)
    data = Samples(rng.integers(-256, 257, size=(5000, 4)) / 256, np.arange(5000) % 2)
    network = StraightThroughNetwork((4, 6, 2), seeds=range(4))  # its integer logits often tie
    shares = accuracy(network, data)
    assert shares.dtype == np.float64
    np.testing.assert_array_equal(shares, BinaryNetwork((4, 6, 2)).accuracy(network.bits(), data))


def test_progress_is_told_every_epoch(digits):
    told = []
    fitted(FullPrecisionNetwork, digits, epochs=3, progress=lambda *where: told.append(where))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs and batch of 1 or more; got epochs=0 and batch=100"),
        ({"batch": 0}, "epochs and batch of 1 or more; got epochs=2 and batch=0"),
        ({"learning_rate": 0.0}, "learning_rate is a finite number above 0.*got 0.0"),
        ({"learning_rate": np.nan}, "learning_rate is a finite number above 0.*got nan"),
        ({"learning_rate": np.inf}, "learning_rate is a finite number above 0.*got inf"),
        ({"learning_rate": 1e38}, "no longer finite after epoch 1. Choose a smaller"),
    ],
)
def test_refuses_settings_that_cannot_train(changes, message, digits):
    with pytest.raises(ConfigurationError, match=message):
        fitted(FullPrecisionNetwork, digits, **changes)


@pytest.mark.parametrize("layers", [(3, 6, 2), (4, 6, 1)])
@pytest.mark.parametrize("use", [lambda c, d: fit_classifier(c, d, **SETTINGS), accuracy])
def test_refuses_data_that_do_not_fit_the_layers(use, layers, digits):
    message = {
        (3, 6, 2): "4 features, but the classifier .* has 3 inputs. Choose layers that begin",
        (4, 6, 1): "labels up to 1, but the classifier .* has 1 outputs. Choose layers that end",
    }[layers]
    with pytest.raises(ConfigurationError, match=message):
        use(FullPrecisionNetwork(layers), digits)
