import math

import numpy as np
import pytest
import torch

from classical.augmentation import Augmentation, rotated
from qhyper.errors import ConfigurationError


def some(n=20, channels=3, height=8, width=8):
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (n, channels, height, width), dtype=np.uint8)
    )


def literally(images, crop, flip, seed):
    """Padded, cut and flipped one image after another; the draws in the order of the settings."""
    rng = np.random.default_rng(seed)
    n, _, height, width = images.shape
    corners = rng.integers(0, 2 * crop + 1, (2, n)) if crop else np.zeros((2, n), int)
    flips = rng.random(n) < 0.5 if flip else np.zeros(n, bool)
    out = []
    for image, top, left, flipped in zip(images.numpy(), *corners, flips, strict=True):
        padded = np.pad(image, ((0, 0), (crop, crop), (crop, crop)))
        cut = padded[:, top : top + height, left : left + width]
        out.append(cut[:, :, ::-1] if flipped else cut)
    return np.array(out)


def turned_literally(image, degrees):
    """An image float64 [row, column] turned counter-clockwise, pixel by pixel."""
    height, width = image.shape
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def pixel(row, column):
        return image[row, column] if 0 <= row < height and 0 <= column < width else 0.0

    out = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            right, up = column - (width - 1) / 2, (height - 1) / 2 - row
            x = cos * right + sin * up + (width - 1) / 2  # turned back, clockwise
            y = (height - 1) / 2 - (cos * up - sin * right)
            left, top = math.floor(x), math.floor(y)
            out[row, column] = sum(
                pixel(top + a, left + b) * abs(1 - a - (y - top)) * abs(1 - b - (x - left))
                for a in (0, 1)
                for b in (0, 1)
            )
    return out


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 9)])
@pytest.mark.parametrize(("crop", "flip"), [(4, True), (2, False), (0, True)])
def test_crops_and_flips_are_those_of_a_loop_over_images(crop, flip, height, width):
    images = some(height=height, width=width)
    found = Augmentation(crop=crop, flip=flip)(images, np.random.default_rng(3))
    assert found.dtype == torch.uint8
    assert np.array_equal(found.numpy(), literally(images, crop, flip, seed=3))


def test_all_windows_and_both_sides_are_equally_likely():
    images = torch.zeros((9000, 1, 5, 5), dtype=torch.uint8)
    images[:, :, 2, 2] = 1
    images[:, :, 2, 3] = 2  # to the right of it, unless flipped
    found = Augmentation(crop=1, flip=True)(images, np.random.default_rng(0)).numpy()[:, 0]
    places = np.argwhere(found == 1)
    flipped = found[np.arange(9000), places[:, 1], places[:, 2] - 1] == 2
    counts = np.zeros((2, 3, 3))
    np.add.at(counts, (flipped.astype(int), places[:, 1] - 1, places[:, 2] - 1), 1)
    assert counts.sum() == 9000
    # 17 degrees of freedom: beyond 40.8 once in a thousand seeds
    assert ((counts - 500) ** 2 / 500).sum() < 40.8


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 9)])
def test_a_rotation_is_the_bilinear_one_of_a_loop_over_pixels(height, width):
    images = some(6, 2, height, width)
    degrees = torch.tensor([-170.0, -15.0, 0.0, 3.5, 40.0, 90.0], dtype=torch.float64)
    found = rotated(images, degrees)
    assert found.dtype == torch.uint8
    for image, angle, turned in zip(images.numpy(), degrees.tolist(), found.numpy(), strict=True):
        expected = [turned_literally(channel.astype(float), angle) for channel in image]
        # half of a rounding, and float32's error of places times the step between two pixels
        assert np.abs(turned - np.array(expected)).max() <= 0.5 + 1e-2


def test_quarter_turns_move_whole_pixels_counter_clockwise():
    images = some(4)
    turns = rotated(images, torch.tensor([0.0, 90.0, 180.0, -90.0], dtype=torch.float64))
    expected = [torch.rot90(image, k, (1, 2)) for k, image in enumerate(images)]
    assert (turns.int() - torch.stack(expected).int()).abs().max() <= 1


def test_angles_are_uniform_and_of_each_image_by_itself(monkeypatch):
    seen = []

    def turn(images, degrees):
        seen.append(degrees)
        return images

    monkeypatch.setattr("classical.augmentation.rotated", turn)
    Augmentation(rotation=15)(some(2000, 1, 2, 2), np.random.default_rng(0))
    (degrees,) = seen
    assert degrees.abs().max() <= 15
    assert len(set(degrees.tolist())) == 2000
    below = (degrees.sort().values + 15) / 30 - (torch.arange(2000) + 0.5) / 2000
    assert below.abs().max() < 1.95 / math.sqrt(2000)  # Kolmogorov-Smirnov, one seed in a thousand


def test_everything_together_is_one_after_the_other():
    images = some()
    rng = np.random.default_rng(5)
    first = Augmentation(crop=2, flip=True)(images, rng)
    expected = Augmentation(rotation=20)(first, rng)
    both = Augmentation(crop=2, flip=True, rotation=20)(images, np.random.default_rng(5))
    assert torch.equal(both, expected)


def test_by_default_nothing_is_changed_or_drawn():
    images, rng = some(), np.random.default_rng(0)
    assert torch.equal(Augmentation()(images, rng), images)
    assert rng.random() == np.random.default_rng(0).random()


def test_the_images_given_and_the_global_streams_are_left_alone():
    images = some()
    before, state, numpys = images.clone(), torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    Augmentation(crop=2, flip=True, rotation=20)(images, np.random.default_rng(0))
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpys)  # noqa: NPY002


def test_a_view_of_images_is_taken_as_well():
    images = some()
    view = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)[::2]
    augment = Augmentation(crop=2, flip=True, rotation=20)
    found = augment(view, np.random.default_rng(0))
    assert torch.equal(found, augment(images[::2].contiguous(), np.random.default_rng(0)))
    assert augment(images[:0], np.random.default_rng(0)).shape == (0, 3, 8, 8)


@pytest.mark.cuda
def test_on_a_cuda_device_the_same_is_drawn():
    images = some()
    for augment in (Augmentation(crop=2, flip=True), Augmentation(rotation=20)):
        here = augment(images, np.random.default_rng(0))
        there = augment(images.cuda(), np.random.default_rng(0))
        assert there.is_cuda
        assert (there.cpu().int() - here.int()).abs().max() <= bool(augment.rotation)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop": -1}, "Got crop=-1; expected a whole number of pixels"),
        ({"crop": 1.5}, "Got crop=1.5; expected a whole number"),
        ({"crop": True}, "Got crop=True"),
        ({"flip": 1}, "Got flip=1; expected True or False"),
        ({"rotation": -3}, "Got rotation=-3; expected the largest angle in degrees, from 0"),
        ({"rotation": 181.0}, "Got rotation=181.0"),
        ({"rotation": math.nan}, "Got rotation=nan"),
        ({"rotation": "15"}, "Got rotation='15'"),
        ({"rotation": True}, "Got rotation=True"),
    ],
)
def test_settings_that_there_are_not_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Augmentation(**settings)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            some().float(),
            r"images of torch.float32 and shape \(20, 3, 8, 8\); expected torch.uint8",
        ),
        (some()[0], r"shape \(3, 8, 8\); expected torch.uint8 \[image, channel, row, column\]"),
        (some(height=3), "crop=3 for images of 3 x 8 pixels; expected less than they have"),
    ],
)
def test_other_images_are_refused(images, message):
    with pytest.raises(ConfigurationError, match=message):
        Augmentation(crop=3)(images, np.random.default_rng(0))
