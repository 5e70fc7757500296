"""A user's own loss of logits and labels, on every target, against the plain pass."""

import gc
import json
import sys
import tracemalloc

import numpy as np
import pytest
import torch

from qhyper.bits import all_bitstrings
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError, UnsuitableError
from qhyper.targets.exact.certificate import certify
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.loss import is_by_row, label_losses, mean_losses
from qhyper.targets.own_loss import asked
from qhyper.targets.packed.target import PackedTarget

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

MODULE = '''
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F


def hinge(logits, labels):
    """By row, in NumPy: the multi-class hinge loss of Crammer and Singer (2001)."""
    rows = np.arange(len(labels))
    own = logits[rows, labels]
    logits[rows, labels] = -np.inf  # a copy, which may be changed
    return np.maximum(0, 1 + logits.max(axis=1) - own)


def by_row(logits, labels):
    """By row, in torch, which takes tensors alone; with a gradient, and labels in a wide type."""
    assert (logits.dtype, labels.dtype) == (torch.float64, torch.int64)
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    return F.cross_entropy(scale * logits, labels, reduction="none")


def mean(logits, labels):
    """One number, in torch: cross_entropy's own mean."""
    return F.cross_entropy(logits, labels)


def balanced(logits, labels):
    """One number: the mean error of the classes."""
    wrong = logits.argmax(axis=1) != labels
    return np.mean([wrong[labels == label].mean() for label in np.unique(labels)])


def ranked(logits, labels):
    """Of each row, but by the others too."""
    margin = logits[:, 1] - logits[:, 0]
    return (margin - margin.mean()) * (1 - 2 * labels)


def inverse(logits, labels):
    """Of each row, weighted by how rare its class is among them."""
    each = F.cross_entropy(torch.tensor(logits), torch.tensor(labels), reduction="none")
    classes, of_row, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return each.numpy() / counts[of_row] * len(labels) / len(classes)


def small(logits, labels):
    return 1e-6 * inverse(logits, labels)


def small_by_row(logits, labels):
    return 1e-6 * hinge(logits, labels)


def hardest(logits, labels, reduction="mean"):
    """One number: the mean of the two worst rows."""
    each = torch.sort(F.cross_entropy(logits, labels, reduction="none")).values[-2:]
    return each.mean() if reduction == "mean" else each


def flooded(logits, labels, reduction="mean"):
    """One number: a mean that is kept above 1."""
    found = (F.cross_entropy(logits, labels, reduction=reduction) - 1).abs() + 1
    return found


def weighted(logits, labels, weight=2.0):
    return weight * (logits.argmax(1) != labels)


def per_class(logits, labels):
    return logits


def words(logits, labels):
    return ["far"] * len(labels)


def infinite(logits, labels):
    return np.where(logits[:, 0] > 0, np.inf, 0.0)


def masked(logits, labels):
    return np.ma.masked_less(logits[:, 0], 0)


def broken(logits, labels):
    return logits[0].missing


def three(logits, labels, weights):
    return logits[:, 0]


@dataclass
class Hinge:
    """What cannot be hashed."""

    margin: float

    def __call__(self, logits, labels):
        return self.margin * hinge(logits, labels)


unhashable = Hinge(2.0)
standard = torch.nn.CrossEntropyLoss()
uneven = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0, 2.0]).double())
soft = torch.nn.CrossEntropyLoss(label_smoothing=0.1, reduction="none")
'''

BY_ROW = ("hinge", "by_row", "weighted", "soft", "unhashable", "standard", "small_by_row")
OF_ALL = ("mean", "balanced", "ranked", "inverse", "small", "hardest", "flooded")
IN_TORCH = ("by_row", "mean", "soft", "standard", "hardest", "flooded")


@pytest.fixture(scope="module", autouse=True)
def users(tmp_path_factory):
    """The user's module, where it is found by its name."""
    folder = tmp_path_factory.mktemp("losses")
    (folder / "own_losses.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield
    sys.modules.pop("own_losses", None)


def function(name):
    import own_losses

    return getattr(own_losses, name)


def plain(name, logits, labels):
    """The mean loss of each draw, called by hand: logits [draw, row, output]."""
    if logits.shape[-1] == 1:
        logits = np.concatenate([0 * logits, logits], axis=-1)
    own, in_torch = function(name), name in IN_TORCH
    found = []
    for one in logits:
        if in_torch:
            found.append(own(torch.from_numpy(one.copy()), torch.tensor(labels)).detach())
        else:
            found.append(own(one.copy(), labels))
    return np.array([float(np.asarray(each).mean()) for each in found])


def samples(features, classes, rows=9):
    rng = np.random.default_rng(0)
    x = rng.choice((-1.0, 1.0), (rows, features))  # many rows are the same
    return Samples(x, rng.integers(0, classes, rows))


@pytest.mark.parametrize("name", BY_ROW + OF_ALL)
@pytest.mark.parametrize(
    ("layers", "choices"),
    [((2, 2, 2), {}), ((3, 2, 1), {}), ((2, 3), {}), ((2, 2, 1), {"activation": "tanh"})],
)
def test_a_layered_network_has_the_loss_of_the_plain_pass(name, layers, choices):
    if name == "ranked" and layers[-1] == 3:
        pytest.skip("a loss of two classes")
    network, loss = BinaryNetwork(WeightSpace(layers, **choices)), f"own_losses:{name}"
    data = samples(layers[0], max(2, layers[-1]))
    bits = all_bitstrings(network.n_bits)[:64]
    expected = plain(name, network.logits(bits, data.x), data.y)
    np.testing.assert_allclose(network.objective(data, loss)(bits), expected, atol=1e-12)
    np.testing.assert_allclose(network.losses(bits, data, loss), expected, atol=1e-12)
    batch = network.objective(data, loss).mini_batches(4).take(np.array([[7, 1, 2, 5]]))
    some = plain(name, network.logits(bits, data.x[[7, 1, 2, 5]]), data.y[[7, 1, 2, 5]])
    np.testing.assert_allclose(batch(bits[None, None])[0, 0], some, atol=1e-12)


@pytest.mark.parametrize("name", BY_ROW + OF_ALL)
@pytest.mark.parametrize("layers", [(3, 2, 2), (3, 4, 2, 3)])
def test_a_packed_network_has_the_loss_of_its_logits(name, layers, monkeypatch):
    if name == "ranked" and layers[-1] == 3:
        pytest.skip("a loss of two classes")
    target, data = PackedTarget(layers), samples(3, layers[-1])
    bits = np.random.default_rng(1).integers(0, 2, (20, target.n_bits), dtype=np.uint8)
    sums = np.stack([target.to_packed(one).outputs((data.x > 0).astype(int)) for one in bits])
    expected = plain(name, sums / target.scale, data.y)
    objective = target.objective(data, f"own_losses:{name}")
    np.testing.assert_allclose(objective(bits), expected, atol=1e-12)
    # a draw is not cut where it fills the memory for logits, unless its loss is by row
    monkeypatch.setattr("qhyper.targets.packed.target._LOGITS_BYTES", 64)
    np.testing.assert_allclose(objective(bits), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["hinge", "by_row", "mean", "balanced"])
def test_inputs_that_draw_weights_of_their_own_are_scored_one_by_one(name):
    network, data = BinaryNetwork((2, 2, 2)), samples(2, 2)
    batches = network.batches(data, size=2, scored_on="own", loss=f"own_losses:{name}")
    bits = np.random.default_rng(2).integers(0, 2, (1, 2, 5, 8), dtype=np.uint8)
    found = batches.take(np.array([[4, 1]]))(bits)
    for k, row in enumerate((4, 1)):
        logits = network.logits(bits[0, k], data.x[[row]])
        expected = plain(name, logits, data.y[[row]])
        np.testing.assert_allclose(found[0, k], expected, atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_which_losses_are_by_row(n_classes):
    for name in BY_ROW + OF_ALL:
        assert is_by_row(f"own_losses:{name}", n_classes) == (name in BY_ROW), name
    assert is_by_row("cross_entropy", n_classes)
    assert is_by_row("torch.nn.functional:cross_entropy", n_classes)
    assert is_by_row("torch.nn.functional:multi_margin_loss", n_classes)
    with pytest.raises(UnsuitableError, match="'own_losses:mean' gives one number for all rows"):
        label_losses(np.zeros((4, n_classes)), "own_losses:mean")


def test_torch_weights_of_classes_are_by_no_row():
    """Its mean divides by the weights of the rows that there are."""
    assert not is_by_row("own_losses:uneven", 3)
    network, data = BinaryNetwork((2, 3)), samples(2, 3)
    bits = all_bitstrings(6)
    weights, labels = function("uneven").weight.numpy(), data.y
    z = network.logits(bits, data.x)
    each = np.log(np.exp(z).sum(-1)) - z[:, np.arange(len(labels)), labels]
    expected = each @ weights[labels] / weights[labels].sum()
    found = network.objective(data, "own_losses:uneven")(bits)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("choices", [{}, {"biases": True}])
def test_all_samples_count_for_the_memory_of_a_loss_of_all(choices, monkeypatch):
    """Four distinct rows, and 600 samples: few draws have their logits held together."""
    monkeypatch.setattr("qhyper.targets.layered.kernel._LOGITS", 4000)
    network, data, held = BinaryNetwork(WeightSpace((2, 2, 2), **choices)), samples(2, 2, 600), []

    def counted(logits, labels, loss):
        held.append(logits.size)
        return mean_losses(logits, labels, loss)

    monkeypatch.setattr("qhyper.targets.layered.kernel.mean_losses", counted)
    bits = all_bitstrings(network.n_bits)[:10]
    found = network.objective(data, "own_losses:mean")(bits)
    np.testing.assert_allclose(found, plain("mean", network.logits(bits, data.x), data.y))
    assert held == [3600, 3600, 3600, 1200]


def test_the_copies_for_a_loss_in_torch_are_given_back():
    """What fails on NumPy's arrays first keeps nothing: an error kept would keep its arrays."""
    logits, labels = np.zeros((1000, 2)), np.zeros(1000, np.int64)
    asked(function("by_row"), logits, labels)  # imports torch
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(20):
            asked(function("by_row"), logits, labels)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert held < logits.nbytes


def test_all_samples_count_for_the_proof_of_a_loss_of_all():
    """2^16 bitstrings on 4 distinct rows are few; on 2 million samples they are not."""
    network, data = BinaryNetwork((2, 4, 2)), samples(2, 2, 2_000_000)
    message = r"2\^16 bitstrings on 2,000,000 rows \(all count, since 'own_losses:mean' gives one"
    with pytest.raises(UnsuitableError, match=message):
        certify(network, data, loss="own_losses:mean")
    ours = certify(network, data)
    assert certify(network, data, loss="own_losses:standard").minimum_loss == pytest.approx(
        ours.minimum_loss, abs=1e-9
    )


@pytest.mark.parametrize("name", ["hinge", "mean", "balanced"])
@pytest.mark.parametrize("layers", [(2, 2, 2), (3, 2, 1)])
def test_a_certificate_is_the_least_of_all_losses(name, layers):
    network, data, loss = BinaryNetwork(layers), samples(layers[0], 2), f"own_losses:{name}"
    losses = network.losses(all_bitstrings(network.n_bits), data, loss)
    found = certify(network, data, loss=loss)
    by_classes = name == "hinge" and layers[-1] == 1
    assert found.method == ("classes" if by_classes else "enumeration")
    assert found.minimum_loss == pytest.approx(losses.min(), abs=1e-12)
    assert found.optimal_bitstrings == (losses <= losses.min() + 1e-9).sum()


def test_what_cannot_be_proved_is_said():
    data = samples(4, 2)
    message = r"they need a loss of each row by itself, and 'own_losses:mean' gives one number for"
    with pytest.raises(UnsuitableError, match=message):
        certify(BinaryNetwork((4, 6, 1)), data, loss="own_losses:mean")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("per_class", r"The loss 'per_class' gave float64 of shape \(\d, 2\) for logits of shape "
         r"\(\d, 2\) and labels of shape \(\d,\); expected the loss of each row, \[row\], or one"),
        ("words", r"The loss 'words' gave <U3 of shape"),
        ("infinite", r"The loss 'infinite' gave inf for the logits \[.*\] and the label \d; a"),
        ("masked", r"masked array with entries that are masked; .*\.filled\(value\)"),
        ("broken", r"The loss 'broken' failed on float64 logits .* With NumPy arrays: Attribute"
         r"Error: .*missing.* With torch tensors: AttributeError"),
        ("three", r"Got a loss of logits, labels, weights; expected a function of \(logits, labe"),
    ],
)  # fmt: skip
def test_what_is_no_loss_is_refused_in_words(name, message):
    network, data = BinaryNetwork((2, 2, 2)), samples(2, 2)
    with pytest.raises(ConfigurationError, match=message):
        network.objective(data, f"own_losses:{name}")(all_bitstrings(8))


@pytest.mark.parametrize("target", ["layered", "packed"])
@pytest.mark.parametrize("loss", ["own_losses:by_row", "torch.nn.functional:cross_entropy"])
def test_compare_with_a_loss_of_ones_own(target, loss, cli):
    run = ["compare", "--data", "digits", "--layers", "4,2,2", "--target", target, "--seeds", "2",
           "--generators", "bernoulli,random", "--processes", "1", "--evaluations", "256",
           "--json"]  # fmt: skip
    found = []
    for name in (loss, "cross_entropy"):
        code, out, err = cli(*run, "--loss", name)
        assert code == 0, err
        found.append(json.loads(out))
    own, ours = found
    assert own["loss"] == loss
    for one, other in zip(own["generators"], ours["generators"], strict=True):
        assert one["best_loss"]["median"] == pytest.approx(other["best_loss"]["median"], abs=1e-9)


def test_a_loss_that_fails_is_refused_before_anything_runs(cli, tmp_path):
    code, _, err = cli("compare", "--data", "digits", "--loss", "own_losses:per_class")
    assert code == 2
    assert "The loss 'per_class' gave float64 of shape" in err
    assert not (tmp_path / "runs").exists()


def test_a_function_in_place_of_its_name_is_refused_with_what_to_do(digits):
    def mine(logits, labels):
        return logits[:, 0]

    with pytest.raises(ConfigurationError, match=r"Got the loss mine itself; .* 'mymodule:mine'"):
        BinaryNetwork((4, 6, 2)).objective(digits, mine)
