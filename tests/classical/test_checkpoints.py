"""Checkpoints: refused where they are of something else, damaged, or cannot be written."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch

from classical.augmentation import Augmentation
from classical.binarized import BinarizedNetwork
from classical.checkpoints import described, digest
from classical.fit_images import fit_images
from classical.resnet import ResNet18
from classical.static_convolutional import Architecture, Generated, StaticConvolutional
from qhyper.data.images import Images
from qhyper.errors import ConfigurationError, StorageError

IMAGE = (1, 8, 8)
SETTINGS = {"epochs": 1, "batch": 4, "learning_rate": 0.01}


def made_images(n=8, seed=0, shape=IMAGE):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (n, 64), dtype=np.uint8)
    return Images(pixels, rng.integers(0, 3, n), shape)


def fit(network, path, images=None, held_out=None, **changed):
    return fit_images(
        network, images or made_images(), held_out or made_images(4, 1), checkpoint=path,
        **SETTINGS | changed,
    )  # fmt: skip


def binarized(**changed):
    return BinarizedNetwork(**{"layers": (64, 4, 3), "binarisation": "none"} | changed)


def resnet(**changed):
    return ResNet18(IMAGE, 3, **{"width": 1 / 64} | changed)


ARCHITECTURE = Architecture(IMAGE, kernel=3, blocks=((16, 16),), classes=3)


def static(generated=None, binary=False, seed=0, **changed):
    architecture = dataclasses.replace(ARCHITECTURE, **changed)
    return StaticConvolutional(architecture, generated=generated, binary=binary, seed=seed)


OF_RESNET = {
    "width": 1 / 32, "weights": "real", "preactivation": False, "recu": False, "shift": 0.1,
    "precision": "cyclic", "cycles": 3,
}  # fmt: skip
OF_ARCHITECTURE = {
    "kernel": 5, "blocks": ((16, 32),), "dense": (4,), "dropout": 0.1, "dense_dropout": 0.1,
    "shift": 1.0, "scale": 2.0, "classes": 4,
}  # fmt: skip
GENERATED = Generated(2, 3)
OF_GENERATED = {"embedding": 3, "projection": 2, "tied": False, "bias": True, "start": 0.1}


def options_of(kind):
    """All options of a network but its images and seed."""
    return set(kind.__init__.__annotations__) - {"image", "classes", "seed", "return"}


def test_the_options_that_are_walked_over_are_all():
    assert options_of(ResNet18) == set(OF_RESNET)
    assert options_of(BinarizedNetwork) == {"layers", "binarisation"}
    assert options_of(StaticConvolutional) == {"architecture", "generated", "binary"}
    fields = {field.name for field in dataclasses.fields(Architecture)}
    assert fields == {"image", *OF_ARCHITECTURE}
    assert {field.name for field in dataclasses.fields(Generated)} == set(OF_GENERATED)


@pytest.mark.parametrize(
    ("new", "others"),
    [
        (binarized, [{"layers": (64, 5, 3)}, {"binarisation": "stochastic"}]),
        (resnet, [{name: value} for name, value in OF_RESNET.items()]),
        (static, [{name: value} for name, value in OF_ARCHITECTURE.items()]),
        (static, [{"binary": True}, {"generated": GENERATED}]),
        (
            partial(static, generated=GENERATED),
            [{"generated": dataclasses.replace(GENERATED, **{name: value})}
             for name, value in OF_GENERATED.items()],
        ),
    ],
    ids=["binarized", "resnet", "architecture", "static", "generated"],
)  # fmt: skip
def test_a_checkpoint_of_other_options_of_the_network_is_refused(new, others, tmp_path):
    path = tmp_path / "training.pt"
    record = fit(new(), path)
    assert fit(new(), path) == record
    for changed in others:
        with pytest.raises(ConfigurationError, match="is of another training: got network = "):
            fit(new(**changed), path)
    with pytest.raises(ConfigurationError, match="is of another training: got dtype = "):
        fit(new().double(), path)


def test_a_checkpoint_of_other_images_is_refused(tmp_path):
    path, images, held_out = tmp_path / "training.pt", made_images(), made_images(4, 1)
    fit(binarized(), path, images, held_out)

    def changed(images):
        labels, pixels = images.labels.copy(), images.pixels.copy()
        labels[-1] = (labels[-1] + 1) % 3
        pixels[-1, -1] ^= 1
        return [
            dataclasses.replace(images, labels=labels),
            dataclasses.replace(images, pixels=pixels),
            dataclasses.replace(images, shape=(4, 4, 4)),
            images.take(slice(len(images) - 1)),
        ]

    for other in changed(images):
        with pytest.raises(ConfigurationError, match="another training: got training images = "):
            fit(binarized(), path, other, held_out)
    for other in changed(held_out):
        with pytest.raises(ConfigurationError, match="another training: got held-out images = "):
            fit(binarized(), path, images, other)


def test_the_digest_of_images_is_of_what_they_hold():
    images = made_images()
    strided = Images(np.asfortranarray(images.pixels), images.labels, images.shape)
    assert digest(images) == digest(strided)
    assert digest(images).startswith("8 of SHA-256 ")


def test_a_changed_byte_is_noticed_wherever_it_matters(tmp_path):
    """Each byte in turn of every 97: refused, or padding that nothing reads."""
    path = tmp_path / "training.pt"
    expected = binarized()
    record = fit(expected, path)
    content, refused = path.read_bytes(), 0
    places = range(0, len(content), 97)
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 16
        path.write_bytes(bytes(changed))
        found = binarized()
        try:
            again = fit(found, path)
        except StorageError as error:
            assert "is damaged or no checkpoint" in str(error)  # noqa: PT017
            refused += 1
            continue
        assert again == record
        for name, value in expected.state_dict().items():
            assert torch.equal(found.state_dict()[name], value), name
    assert refused > len(places) / 3
    weights = expected.latent[0].detach().numpy().tobytes()
    place = content.index(weights) + 9
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(StorageError, match=r"is damaged or no checkpoint.*BadZipFile.*begin anew"):
        fit(binarized(), path)


def test_a_checkpoint_that_cannot_be_written_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    told = []
    with pytest.raises(StorageError, match="choose a checkpoint in a folder that can be written"):
        fit(binarized(), tmp_path / "file" / "training.pt", progress=told.append)
    with pytest.raises(StorageError, match="Check its permissions, or choose another file"):
        fit(binarized(), tmp_path, progress=told.append)
    assert told == []


def test_a_folder_that_takes_no_file_is_refused_before_training(tmp_path, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(StorageError, match=r"denied\. Free some space, or choose a check"):
        fit(binarized(), tmp_path / "training.pt")


@pytest.mark.parametrize(
    ("schedule", "options"),
    [
        ("ExponentialLR", {"gamma": np.float64(0.9)}),
        ("MultiStepLR", {"milestones": [np.int64(1), 2]}),
        ("OneCycleLR", {"max_lr": 0.1, "total_steps": np.int64(4)}),
        ("LambdaLR", {"lr_lambda": lambda step: 0.9**step}),
        ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3}),
        ("CosineAnnealingWarmRestarts", {"T_0": 2}),
        ("cosine", {}),
    ],
)
def test_trainings_of_numpy_numbers_and_any_schedule_resume(schedule, options, tmp_path):
    def run(network, path, **changed):
        return fit(
            network, path, epochs=np.int64(2), batch=np.int32(4), learning_rate=np.float64(0.01),
            optimizer_options={"betas": (np.float64(0.8), np.float32(0.9))},
            schedule=schedule, schedule_options=options, **changed,
        )  # fmt: skip

    def stop(epoch):
        raise KeyboardInterrupt

    path, whole, halves = tmp_path / "training.pt", binarized(), binarized()
    if schedule == "CyclicLR":
        options = options | {"cycle_momentum": False}
    run(whole, None)
    with pytest.raises(KeyboardInterrupt):
        run(binarized(), path, progress=stop)
    assert [epoch.number for epoch in run(halves, path)] == [1, 2]
    for name, value in whole.state_dict().items():
        assert torch.equal(halves.state_dict()[name], value), name


class Shift:
    def __init__(self, by):
        self.by = by

    def __call__(self, x, rng):
        return x

    def method(self, x, rng):
        return x


def test_settings_are_described_without_addresses_and_in_order():
    assert described({"b": 1, "a": (0.5, "c")}) == "{'a': [0.5, 'c'], 'b': 1}"
    name = "tests.classical.test_checkpoints"
    assert described(made_images) == f"{name}.made_images"
    assert described(Shift(3)) == f"{name}.Shift{{'by': 3}}"
    assert described(partial(made_images, 3, seed=1)) == (
        f"partial[{name}.made_images, [3], {{'seed': 1}}]"
    )
    assert described(Augmentation(crop=2)) == "Augmentation(crop=2, flip=False, rotation=0.0)"
    assert "0x" not in described([lambda x: x, Shift(1).method, np.random.default_rng])
    assert described(None) == "None"
