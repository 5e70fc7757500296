"""The trainer of image classifiers, on the smallest of them."""

import dataclasses

import numpy as np
import pytest
import torch

from classical import fit_images as fitting
from classical.binarized import BinarizedNetwork
from classical.fit_images import accuracy, fit_images
from classical.image_classifier import ImageClassifier
from qhyper.data.images import Images
from qhyper.errors import ConfigurationError, StorageError
from tests.classical.test_binarized import KINDS, made_images, np_logits


def trained(kind, seed=0, **changed):
    network = BinarizedNetwork((12, 16, 3), binarisation=kind, seed=seed)
    settings = {"epochs": 8, "batch": 20, "learning_rate": 0.03} | changed
    return network, fit_images(network, made_images(300), made_images(100, 1), **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_training_learns(kind):
    network, record = trained(kind)
    assert record[-1].loss < record[0].loss
    assert accuracy(network, made_images(300, 2)) > 0.9
    if kind != "none":
        assert all(float(latent.detach().abs().max()) <= 1 for latent in network.latent)
    assert not network.training


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_result_and_another_seed_another(kind):
    def numbers(seed):
        network, record = trained(kind, seed, epochs=2)
        found = [(epoch.number, epoch.loss, epoch.accuracy) for epoch in record]
        return found, [tensor.tolist() for tensor in network.state_dict().values()]

    assert numbers(5) == numbers(5)
    assert numbers(5) != numbers(6)


def test_the_network_ends_as_in_the_first_best_epoch():
    seen = []
    states = []
    network = BinarizedNetwork((12, 4, 3), binarisation="deterministic")

    def progress(epoch):
        seen.append(epoch)
        states.append({name: t.clone() for name, t in network.state_dict().items()})

    held_out = made_images(40, 1)
    record = fit_images(
        network, made_images(60), held_out, epochs=12, batch=20, learning_rate=0.3,
        progress=progress,
    )  # fmt: skip
    assert record == seen
    assert [epoch.number for epoch in record] == list(range(1, 13))
    shares = [epoch.accuracy for epoch in record]
    best = shares.index(max(shares))
    assert best < 11  # else the test says nothing
    assert accuracy(network, held_out) == max(shares)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, states[best][name]), name


@pytest.mark.parametrize("kind", ["none", "deterministic"])
def test_training_is_adam_with_a_cosine_on_batch_statistics(kind):
    """Against a plain loop: Adam's formulas, the cosine's, and statistics of the first rows."""
    images, steps, rate = made_images(47), 6, 0.05
    x, y = torch.tensor(images.pixels), torch.tensor(images.labels)
    found, plain = (BinarizedNetwork((12, 6, 3), binarisation=kind, seed=2) for _ in range(2))
    record = fit_images(found, images, images, epochs=3, batch=20, learning_rate=rate)
    states, losses = [], []
    parameters = list(plain.parameters())
    first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    for step in range(steps):
        epoch = step // 2 + 1
        (rng,) = plain.streams(epoch, "batch")
        rows = rng.permutation(47)[20 * (step % 2) :][:20]
        plain.train()
        loss = torch.nn.functional.cross_entropy(plain(x[rows]), y[rows])
        losses.append(loss.item())
        now = rate * (1 + np.cos(np.pi * step / steps)) / 2
        for p, m, v, g in zip(
            parameters, first, second, torch.autograd.grad(loss, parameters), strict=True
        ):
            m.mul_(0.9).add_(0.1 * g)
            v.mul_(0.999).add_(0.001 * g**2)
            t = step + 1
            with torch.no_grad():
                p -= now * m / (1 - 0.9**t) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        plain.after_step()
        if step % 2:
            plain.set_statistics(x)  # 47 rows are fewer than STATISTICS
            states.append({name: t.clone() for name, t in plain.state_dict().items()})
    np.testing.assert_allclose(
        [epoch.loss for epoch in record], np.reshape(losses, (3, 2)).mean(1), rtol=1e-4
    )
    shares = [epoch.accuracy for epoch in record]
    for name, expected in states[shares.index(max(shares))].items():
        torch.testing.assert_close(found.state_dict()[name], expected, rtol=1e-3, atol=1e-3)


def test_every_epoch_sees_whole_batches_in_a_new_order():
    network = BinarizedNetwork((12, 3), binarisation="none", seed=8)
    orders = []
    for epoch in (1, 2):
        batches = list(fitting._batches(network.streams, epoch, 25, 10))
        assert [len(batch) for batch in batches] == [10, 10]
        orders.append(torch.cat(batches).tolist())
        assert len(set(orders[-1])) == 20
    assert orders[0] != orders[1]


def test_accuracy_counts_over_chunks(monkeypatch):
    network, _ = trained("deterministic", epochs=1)
    images = made_images(101, 3)
    right = np_logits(network.double(), images.pixels).argmax(1) == images.labels
    assert accuracy(network, images) == right.mean()
    monkeypatch.setattr(fitting, "_CHUNK", 7)
    assert accuracy(network, images) == right.mean()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": 0}, "Got epochs=0 and batch=20; expected 1 epoch or more"),
        ({"batch": 1}, "Got epochs=8 and batch=1; expected 1 epoch or more"),
        ({"batch": 301}, "no more than the 300 of the training set"),
        ({"learning_rate": 0.0}, r"learning_rate is a finite number above 0.*got 0\.0"),
        ({"learning_rate": float("nan")}, r"learning_rate is a finite number above 0.*got nan"),
        ({"learning_rate": "a"}, r"learning_rate is a finite number above 0.*got 'a'"),
        ({"epochs": 2.5}, r"Got epochs=2.5 and batch=20; expected 1 epoch"),
        ({"batch": 16.0}, r"Got epochs=8 and batch=16.0; expected 1 epoch"),
        ({"warm_up": 0.5}, r"Got warm_up=0.5 epochs of 8; expected 0 or more"),
    ],
)
def test_settings_that_cannot_work_are_refused(changed, message):
    with pytest.raises(ConfigurationError, match=message):
        trained("none", **changed)


def test_images_that_do_not_fit_are_refused():
    network = BinarizedNetwork((12, 3), binarisation="none")
    good = made_images(20)
    wrong = [
        (made_images(20, inputs=11), r"pixels of shape \(20, 11\).*has 12 inputs"),
        (dataclasses.replace(good, labels=good.labels + 1), "labels from 1 to 3.*has 3 outputs"),
        (dataclasses.replace(good, labels=good.labels - 1), "labels from -1 to 1.*has 3 outputs"),
        (good.take(slice(0)), "Got no images"),
    ]
    for images, message in wrong:
        with pytest.raises(ConfigurationError, match=message):
            accuracy(network, images)
        with pytest.raises(ConfigurationError, match=message):
            fit_images(network, good, images, epochs=1, batch=2, learning_rate=0.1)


def test_a_loss_that_is_not_finite_is_refused():
    network = BinarizedNetwork((12, 3), binarisation="none")
    with torch.no_grad():
        network.latent[0].fill_(float("nan"))
    with pytest.raises(ConfigurationError, match="no longer finite in epoch 1"):
        fit_images(network, made_images(20), made_images(5), epochs=1, batch=10, learning_rate=0.1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_have_no_accuracy(value):
    network, _ = trained("none", epochs=1)
    with torch.no_grad():
        network.norms[-1].bias[1] = value
    with pytest.raises(ConfigurationError, match="Got logits that are not finite"):
        accuracy(network, made_images(10))


# -- schedules -------------------------------------------------------------------------------------


class Counting(ImageClassifier):
    """A linear classifier of 2x2 images that keeps what it is told, with random dropout."""

    def __init__(self, seed=0):
        super().__init__((1, 2, 2), 3, seed=seed)
        self.weight = torch.nn.Parameter(torch.zeros(3, 4))
        self.told, self.rates = [], []

    def forward(self, x):
        h = x.flatten(1).float() / 255
        if self.training:
            h = h * (torch.rand(h.shape, generator=self.draws) < 0.8)
        return h @ self.weight.T

    def begin_epoch(self, number, epochs):
        self.told.append(("epoch", number, epochs))

    def begin_step(self, step, steps):
        self.told.append((step, steps))

    def after_epoch(self, x):
        assert x.dtype == torch.uint8
        self.told.append(("after", *x.shape))


def squares(rows=40, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (rows, 4), dtype=np.uint8)
    return Images(pixels, pixels[:, :3].argmax(1))


def noisy(x, rng):
    return (x + torch.from_numpy(rng.integers(0, 3, x.shape, dtype=np.uint8))).clamp(0, 255)


def test_the_network_is_told_of_epochs_and_steps():
    network = Counting()
    fit_images(network, squares(25), squares(5), epochs=2, batch=10, learning_rate=0.1)
    epoch = [(0, 4), (1, 4)], [(2, 4), (3, 4)]
    assert network.told == [
        ("epoch", 1, 2), *epoch[0], ("after", 25, 1, 2, 2),
        ("epoch", 2, 2), *epoch[1], ("after", 25, 1, 2, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"schedule": "constant"}, [1, 1, 1, 1, 1, 1, 1, 1]),
        ({}, [(1 + np.cos(np.pi * k / 8)) / 2 for k in range(8)]),
        ({"schedule": "ExponentialLR", "schedule_options": {"gamma": 0.9}}, 0.9 ** np.arange(8)),
        ({"schedule": "constant", "warm_up": 2}, [0.25, 0.4375, 0.625, 0.8125, 1, 1, 1, 1]),
        (
            {"warm_up": 2},
            [0.25, 0.4375, 0.625, 0.8125, *((1 + np.cos(np.pi * k / 4)) / 2 for k in range(4))],
        ),
    ],
)
def test_the_rate_follows_its_schedule_step_by_step(monkeypatch, settings, expected):
    rates = []

    class Plain(torch.optim.SGD):
        def step(self, *arguments):
            rates.append(self.param_groups[0]["lr"])
            return super().step(*arguments)

    monkeypatch.setattr(torch.optim, "SGD", Plain)
    fit_images(
        Counting(), squares(20), squares(5), epochs=4, batch=10, learning_rate=0.5,
        optimizer="SGD", **settings,
    )  # fmt: skip
    assert rates == pytest.approx(0.5 * np.array(expected), abs=1e-12)


def test_augmentation_has_random_numbers_of_the_seed():
    def weights(seed):
        network = Counting(seed)
        fit_images(
            network, squares(), squares(5), epochs=2, batch=10, learning_rate=0.1,
            augmentation=noisy,
        )  # fmt: skip
        return network.weight.tolist()

    assert weights(1) == weights(1)
    assert weights(1) != weights(2)


def test_autocast_computes_products_of_steps_in_few_digits_and_accuracies_in_all():
    seen = []

    class Seeing(Counting):
        def forward(self, x):
            logits = super().forward(x)
            seen.append((self.training, logits.dtype))
            return logits

    network = Seeing()
    settings = {"epochs": 1, "batch": 10, "learning_rate": 0.1}
    fit_images(network, squares(20), squares(5), autocast=torch.bfloat16, **settings)
    assert set(seen) == {(True, torch.bfloat16), (False, torch.float32)}
    plain = Counting()
    fit_images(plain, squares(20), squares(5), **settings)
    assert not torch.equal(plain.weight, network.weight)
    torch.testing.assert_close(plain.weight, network.weight, rtol=0, atol=0.02)


# -- checkpoints -----------------------------------------------------------------------------------

SETTINGS = {"epochs": 5, "batch": 10, "learning_rate": 0.1, "warm_up": 1, "augmentation": noisy}


class StopError(Exception):
    pass


def stops_after(number):
    def progress(epoch):
        if epoch.number == number:
            raise StopError

    return progress


def without_seconds(record):
    return [dataclasses.replace(epoch, seconds=0.0) for epoch in record]


@pytest.mark.parametrize("optimizer", ["Adam", "SGD"])
@pytest.mark.parametrize("number", [1, 3, 5])
def test_an_interrupted_training_ends_as_an_undisturbed_one(tmp_path, optimizer, number):
    settings = SETTINGS | {"optimizer": optimizer}
    if optimizer == "SGD":
        settings |= {"optimizer_options": {"momentum": 0.9, "weight_decay": 5e-4}}
    undisturbed = Counting()
    expected = fit_images(undisturbed, squares(), squares(20, 1), **settings)
    path = tmp_path / "deep" / "training.pt"
    with pytest.raises(StopError):
        fit_images(
            Counting(), squares(), squares(20, 1), checkpoint=path, progress=stops_after(number),
            **settings,
        )  # fmt: skip
    resumed, said = Counting(), []
    record = fit_images(
        resumed, squares(), squares(20, 1), checkpoint=path, progress=said.append, **settings
    )
    assert [epoch.number for epoch in said] == list(range(number + 1, 6))
    assert without_seconds(record) == without_seconds(expected)
    for name, tensor in undisturbed.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name


def test_a_stochastic_network_resumes_too(tmp_path):
    path, made = tmp_path / "training.pt", made_images(60)
    networks = [BinarizedNetwork((12, 8, 3), binarisation="stochastic", seed=1) for _ in range(3)]
    settings = {"epochs": 3, "batch": 20, "learning_rate": 0.03}
    fit_images(networks[0], made, made, **settings)
    with pytest.raises(StopError):
        fit_images(networks[1], made, made, checkpoint=path, progress=stops_after(2), **settings)
    fit_images(networks[2], made, made, checkpoint=path, **settings)
    for name, tensor in networks[0].state_dict().items():
        assert torch.equal(networks[2].state_dict()[name], tensor), name


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": 6}, "got epochs = 6, and it has 5"),
        ({"learning_rate": 0.2}, r"got learning_rate = 0\.2, and it has 0\.1"),
        ({"optimizer": "SGD"}, "got optimizer = 'SGD', and it has 'Adam'"),
        ({"augmentation": None}, "got augmentation = 'None'"),
        ({"autocast": torch.bfloat16}, "got autocast = 'torch.bfloat16'"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(tmp_path, changed, message):
    path = tmp_path / "training.pt"
    fit_images(Counting(), squares(), squares(5), checkpoint=path, **SETTINGS)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=f"is of another training: {message}"):
        fit_images(Counting(), squares(), squares(5), checkpoint=path, **SETTINGS | changed)
    assert path.read_bytes() == before


def test_a_checkpoint_of_another_seed_or_network_is_refused(tmp_path):
    path, made = tmp_path / "training.pt", made_images(20)
    settings = {"epochs": 1, "batch": 10, "learning_rate": 0.1, "checkpoint": path}
    fit_images(BinarizedNetwork((12, 3), binarisation="none"), made, made, **settings)
    with pytest.raises(ConfigurationError, match=r"seeds = \(1,\), and it has \(0,\)"):
        fit_images(BinarizedNetwork((12, 3), binarisation="none", seed=1), made, made, **settings)
    with pytest.raises(ConfigurationError, match="is of another training: got network = "):
        fit_images(BinarizedNetwork((12, 4, 3), binarisation="none"), made, made, **settings)


def test_a_damaged_checkpoint_is_refused_and_kept(tmp_path):
    path = tmp_path / "training.pt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(StorageError, match=r"is damaged or no checkpoint.*remove it to begin anew"):
        fit_images(Counting(), squares(), squares(5), checkpoint=path, **SETTINGS)
    assert path.read_bytes() == b"not a checkpoint"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"optimizer": "Adamm"}, "optimiser of torch.optim .Adamm.. Did you mean"),
        ({"optimizer_options": {"momentun": 1}}, "torch.optim.Adam refused its options"),
        ({"schedule": "cosin"}, "schedule of torch.optim.lr_scheduler .cosin.. Did you mean"),
        ({"schedule": "StepLR"}, "lr_scheduler.StepLR refused its options"),
        ({"schedule": "_LRScheduler"}, "Known: ConstantLR, "),
        (
            {"schedule": "OneCycleLR", "schedule_options": {"max_lr": 1.0, "total_steps": 3}},
            "The schedule OneCycleLR refused its options .*'total_steps': 3.*Tried to step 4 times",
        ),
        (
            {"schedule": "CosineAnnealingLR", "schedule_options": {"T_max": 0}},
            "CosineAnnealingLR refused its options {'T_max': 0}: .*zero",
        ),
        ({"warm_up": 5}, "Got warm_up=5 epochs of 5; expected 0 or more, and fewer than all"),
        ({"threads": 0}, "Got threads=0; expected 1 or more"),
        ({"autocast": torch.float16}, "Got autocast=torch.float16; expected None or torch.bfloat"),
    ],
)
def test_more_settings_that_cannot_work_are_refused(changed, message):
    settings = SETTINGS | {"warm_up": 0} | changed
    with pytest.raises(ConfigurationError, match=message):
        fit_images(Counting(), squares(), squares(5), **settings)


def test_images_of_another_shape_are_refused():
    images = Images(np.zeros((3, 12), np.uint8), np.zeros(3, np.int64), (3, 2, 2))
    with pytest.raises(ConfigurationError, match=r"\(3, 2, 2\); the network takes \(1, 2, 2\)"):
        accuracy(Counting(), images)


@pytest.mark.parametrize(
    ("image", "classes", "message"),
    [
        ((3, 32), 10, r"image=\(3, 32\); expected \(channels, rows, columns\)"),
        ((3, 0, 32), 10, r"image=\(3, 0, 32\)"),
        ((3, 32, 32), 0, "classes=0; expected"),
    ],
)
def test_a_network_of_no_images_is_refused(image, classes, message):
    class Some(ImageClassifier):
        def forward(self, x):
            return x

    with pytest.raises(ConfigurationError, match=message):
        Some(image, classes, seed=0)
