"""The study of DA422's own training: its step in NumPy, parts on made-up images, tables."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch

from classical.fit_images import fit_images
from experiments.da422 import study
from experiments.da422.curves import chosen, kept_accuracy, passes
from experiments.da422.network import ReportNetwork, binarised_gradient, glorot_scale
from experiments.da422.settings import BEST, DECAY, ROWS, SHORT, WAYS
from experiments.fashion.tables import PRINTED
from experiments.study import find
from qhyper.data.images import Images
from qhyper.errors import ConfigurationError


def made_images(n, seed, side=6):
    """Images of ten classes that differ in three pixels each."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n)
    pixels = rng.integers(0, 100, (n, side * side))
    for k in range(3):
        pixels[np.arange(n), 3 * labels + k] += 150
    return Images(pixels.astype(np.uint8), labels)


# -- the step of its section II.E, in NumPy --------------------------------------------------------


def sign(x):
    return np.where(x >= 0, 1.0, -1.0)


def normalised(s, eps=1e-5):
    """Batch normalisation without scale and shift, and the deviations."""
    deviation = np.sqrt(s.var(0) + eps)
    return (s - s.mean(0)) / deviation, deviation


def of_sums(g, scale, z, deviation):
    """The gradient of the sums that batch normalisation takes."""
    g = g * scale
    return (g - g.mean(0) - z * (g * z).mean(0)) / deviation


def numpy_step(weights, scales, shifts, x, labels, rate, *, glorot, signs):
    """One step on all rows, deterministic: weights [out, in], then scales and shifts of units."""
    inputs, kept = x, []
    for k, (weight, scale, shift) in enumerate(zip(weights, scales, shifts, strict=True)):
        z, deviation = normalised(inputs @ sign(weight).T)
        out = scale * z + shift
        kept.append((inputs, z, deviation, out))
        inputs = sign(out) if k == 0 else out
    share = np.exp(inputs - inputs.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    gradient = (share - np.eye(10)[labels]) / len(x)
    for k in (1, 0):
        inputs, z, deviation, out = kept[k]
        if k == 0:
            gradient = gradient * (np.abs(out) <= 1)
        of_scale, of_shift = (gradient * z).sum(0), gradient.sum(0)
        sums = of_sums(gradient, scales[k], z, deviation)
        of_weight = sums.T @ inputs
        gradient = sums @ sign(weights[k])  # of the activations below
        if signs:
            of_weight = np.abs(of_weight).mean() * np.sign(of_weight)
        factor = np.sqrt(sum(of_weight.shape) / 1.5) if glorot else 1.0
        weights[k] = np.clip(weights[k] - factor * rate * of_weight, -1, 1)
        scales[k] = scales[k] - rate * of_scale
        shifts[k] = shifts[k] - rate * of_shift


@pytest.mark.parametrize(("glorot", "signs"), [(False, False), (True, False), (True, True)])
def test_training_is_the_report_s_pseudocode(glorot, signs):
    images, held_out = made_images(60, 0), made_images(10, 1)
    network = ReportNetwork(
        (36, 7, 10), binarisation="deterministic", glorot=glorot, binarised_gradients=signs
    ).double()
    weights = [latent.detach().numpy().copy() for latent in network.latent]
    scales, shifts = [np.ones(7), np.ones(10)], [np.zeros(7), np.zeros(10)]
    x = images.pixels.astype(float)
    rate = 0.2

    def compare(epoch):
        nonlocal rate
        numpy_step(weights, scales, shifts, x, images.labels, rate, glorot=glorot, signs=signs)
        rate *= 0.7
        for k in (0, 1):
            found = network.latent[k].detach().numpy()
            np.testing.assert_allclose(found, weights[k], rtol=0, atol=1e-9)
            np.testing.assert_allclose(network.norms[k].weight.detach(), scales[k], atol=1e-9)
            np.testing.assert_allclose(network.norms[k].bias.detach(), shifts[k], atol=1e-9)

    record = fit_images(
        network, images, held_out, epochs=4, batch=60, learning_rate=0.2, optimizer="SGD",
        schedule="ExponentialLR", schedule_options={"gamma": 0.7}, progress=compare,
    )  # fmt: skip
    assert len(record) == 4


def test_scale_is_one_over_the_glorot_coefficient():
    assert glorot_scale(784, 128) == pytest.approx(1 / np.sqrt(1.5 / (784 + 128)))
    assert glorot_scale(784, 128) == pytest.approx(24.658, abs=5e-4)


def test_binarised_gradient_is_the_nearest_of_one_size():
    g = torch.tensor([[0.5, -2.0], [0.1, -0.4]], dtype=torch.float64)
    found = binarised_gradient(g)
    assert torch.equal(found.sign(), g.sign())
    sizes = np.linspace(0, 2, 2001)
    wrong = [((size * g.sign() - g) ** 2).sum().item() for size in sizes]
    assert found.abs().unique().item() == pytest.approx(sizes[int(np.argmin(wrong))], abs=1e-3)


def test_flags_are_flags():
    with pytest.raises(ConfigurationError, match="Got glorot=1; expected True or False"):
        ReportNetwork((4, 2), binarisation="none", glorot=1)
    with pytest.raises(ConfigurationError, match="Got binarised_gradients='yes'; expected True"):
        ReportNetwork((4, 2), binarisation="none", binarised_gradients="yes")


def test_networks_say_what_they_are():
    one = ReportNetwork((4, 2), binarisation="none", glorot=True)
    assert one.describe().endswith(
        "binarisation=none, glorot=True, binarised_gradients=False, drawn_weights=True, wide=False"
    )


def test_activations_alone_are_drawn():
    """In training the layer of the inputs has the same sums every time, and its signs differ."""
    network = ReportNetwork((36, 20, 10), binarisation="stochastic", drawn_weights=False).train()
    x, (first, last) = torch.tensor(made_images(30, 0).pixels).float(), network.latent
    assert all(
        torch.equal(network._weight(w), torch.where(w >= 0, 1.0, -1.0)) for w in (first, last)
    )
    assert not torch.equal(network(x), network(x))
    assert torch.equal(network.eval()(x), network(x))


def test_a_wide_start_is_uniform_up_to_one_by_the_same_draws():
    options = {"binarisation": "stochastic", "seed": 3}
    narrow, wide = (ReportNetwork((30, 40, 10), wide=w, **options).latent for w in (False, True))
    for one, other, sides in zip(narrow, wide, (70, 50), strict=True):
        torch.testing.assert_close(other, one / np.sqrt(6 / sides))
        assert 0.9 < other.abs().max() <= 1


# -- the study -------------------------------------------------------------------------------------


def test_curves():
    found = {"held_out": [0.1, 0.4, 0.4, 0.6], "tested": [0.2, None, 0.5, 0.3]}
    assert (chosen(found), kept_accuracy(found)) == (4, 0.3)
    assert chosen(found, 3) == 2
    assert np.isnan(kept_accuracy(found, 3))
    assert passes(found, 0.2) == 1
    assert passes(found, 0.4) == 3
    assert passes(found, 0.6) is None


def test_rows_are_the_report_s():
    for name, printed in PRINTED.items():
        kind, hidden = name.split("-")
        assert ROWS[f"{name}{BEST[kind]}"].epochs == printed.epochs
        ways = set(WAYS[kind]) - {BEST[kind], "-activations"}
        epochs = {ROWS[f"{name}{way}"].epochs for way in ways}
        assert epochs <= {printed.epochs if hidden == "128" else SHORT}
    assert pytest.approx(0.5) == DECAY**10_000
    assert set(study.QUICK_ROWS) <= set(ROWS)


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(
        study, "load_images", lambda name: (made_images(240, 0), made_images(60, 1))
    )
    monkeypatch.setattr(study, "CHECKPOINTS", tmp_path / "checkpoints")
    size = study.Size(training=200, held_out=40, test=50, batch=50, epochs=2, turns=1)
    monkeypatch.setattr(study, "QUICK", size)
    return size


def test_tables_and_pictures_of_a_small_run(small, tmp_path):
    results = {name: work() for name, work in study.parts(quick=True).items()}
    results = json.loads(json.dumps(results))
    for name in study.QUICK_ROWS:
        found = results[name]
        assert {len(found[key]) for key in ("losses", "held_out", "tested", "epoch_seconds")} == {2}
    text = study.tables(results)
    found = results["deterministic-128-glorot"]
    lines = [s for s in text.splitlines() if "784-128-10 | deterministic | yes | Glorot |" in s]
    assert len(lines) == 2
    for line, printed in zip(lines, ("67.9", "67.3"), strict=True):
        assert f"| {100 * kept_accuracy(found):.2f} | {printed} |" in line
    assert "| 784-1024-10 | deterministic | " in text.split("### What an epoch takes")[1]
    study.draw(results, tmp_path)
    for name in ("cost", "error", "seconds"):
        ElementTree.parse(tmp_path / f"{name}.svg")
    for quick, names in ((True, study.QUICK_ROWS), (False, ROWS)):
        measured = study.measured(dict.fromkeys(names, found))
        assert set(find("da422").expectations(quick)) <= set(measured)


def test_a_training_goes_on_where_it_was_interrupted(small, monkeypatch):
    whole = study.training("whole", ROWS["decay-stochastic-1"], small)
    again = study.training(
        "whole", ROWS["decay-stochastic-1"], small
    )  # all of it is in the checkpoint
    assert again == whole

    class StoppedError(Exception):
        pass

    def stop(tested, epoch):
        after(tested, epoch)
        raise StoppedError

    after = study._Tested.__call__
    monkeypatch.setattr(study._Tested, "__call__", stop)
    for _ in range(2):
        with pytest.raises(StoppedError):
            study.training("parts", ROWS["decay-stochastic-1"], small)
    monkeypatch.setattr(study._Tested, "__call__", after)
    found = study.training("parts", ROWS["decay-stochastic-1"], small)
    assert {**found, "epoch_seconds": 0} == {**whole, "epoch_seconds": 0}


def test_epochs_that_were_not_tested_and_memory_that_is_not_known_are_dashes():
    found = {"training_accuracy": 0.5, "losses": [1.0], "held_out": [0.4], "tested": [None],
             "epoch_seconds": [1.0]}  # fmt: skip
    epoch = {"seconds": [1.0], "memory": [], "total_memory": []}
    names = [f"{kind}-{n}" for n in (128, 1024) for kind in ("none", "deterministic", "stochastic")]
    text = study.tables({"none-128": found, "epoch": dict.fromkeys(names, epoch)})
    assert (
        "| 784-128-10 | full precision | no | Glorot | 1 of 1000 | – | 82.5 | – | never |" in text
    )
    assert "| 784-128-10 | full precision | 1.00 | 7 | – | – | 1016.32 |" in text
    assert "| 784-128-10 | deterministic | full precision | +0 % | +28 % | – | – | +14 % |" in text
